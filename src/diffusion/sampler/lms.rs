//! LMS: a polynomial through the last slopes, followed over the step.
//!
//! The linear multistep method of Adams and Bashforth over uneven steps, in sigma-space, as Crowson's k-diffusion has it. With
//! `s = sigma / alpha`, `y = x / alpha` and the slope `dy/ds = (y - x0) / s`, which is the predicted noise `eps`:
//! `y_next = y + sum_j c_j eps_j`, where `c_j` is the integral from `s` to `s_next` of the Lagrange polynomial that is 1 at `s_j` and
//! 0 at the other levels. One evaluation a step whatever the order; the first steps have fewer slopes to look back on.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports, euler};
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::prediction::eps_from_x0;
use crate::diffusion::schedule::ParamInfo;
use crate::diffusion::spacing::TimestepSpacing;
use crate::host::HostTensor;
use std::collections::VecDeque;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "lms",
    label: "Linear multistep",
    paper: "Karras et al. 2022, arXiv 2206.00364; Crowson, k-diffusion",
    order: Some(4),
    evaluations_per_step: 1,
    history: 3,
    stochastic: false,
    supports: Supports { flow_levels: true, pure_noise: false, any_denoiser: true },
    params: &[ParamInfo { id: "solver_order", label: "Order", default: 4.0, min: 1.0, max: 4.0 }],
    space: SampleSpace::Sigma,
    default_spacing: TimestepSpacing::Linspace,
    grid: Grid::Between,
    levels: LevelSpacing::Timesteps,
    start_scale: euler::start_scale,
    run,
};

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    let order = run.options.order(4, 4, "LMS has orders from 1 to 4")?;
    // The newest first.
    let mut slopes: VecDeque<(f64, HostTensor)> = VecDeque::new();
    for index in 0..run.count() {
        let (level, next) = run.signal_levels(index)?;
        let x0 = run.denoise(index)?;
        let (s, s_next) = (level.sigma_ratio(), next.sigma_ratio());
        slopes.push_front((s, eps_from_x0(&run.x, &x0, level)));
        slopes.truncate(order);
        let knots: Vec<f64> = slopes.iter().map(|(s, _)| *s).collect();
        let weights = coefficients(&knots, s_next);
        // y = x0 + s eps, so that the difference of two large numbers is one of coefficients in f64.
        let mut terms = vec![(next.alpha, &x0)];
        terms.extend(slopes.iter().zip(&weights).map(|((_, slope), weight)| (next.alpha * weight, slope)));
        terms[1].0 += next.alpha * s;
        let x_next = HostTensor::weighted_sum(&terms);
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}

/// The integrals from `knots[0]` to `end` of the Lagrange polynomials over `knots`. Two points of Gauss and Legendre integrate
/// polynomials up to degree 3 exactly, hence orders up to 4.
fn coefficients(knots: &[f64], end: f64) -> Vec<f64> {
    let (middle, half) = (0.5 * (knots[0] + end), 0.5 * (end - knots[0]));
    let nodes = [middle - half / 3.0_f64.sqrt(), middle + half / 3.0_f64.sqrt()];
    let basis = |j: usize, at: f64| -> f64 {
        knots.iter().enumerate().filter(|(k, _)| *k != j).map(|(_, knot)| (at - knot) / (knots[j] - knot)).product()
    };
    (0..knots.len()).map(|j| half * nodes.iter().map(|at| basis(j, *at)).sum::<f64>()).collect()
}

#[cfg(test)]
mod tests {
    use super::coefficients;

    #[test]
    fn even_steps_give_the_coefficients_of_adams_and_bashforth() {
        let table: [&[f64]; 4] = [&[1.0], &[1.5, -0.5], &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0], &[55.0, -59.0, 37.0, -9.0]];
        for (order, expected) in table.into_iter().enumerate() {
            let knots: Vec<f64> = (0..=order).map(|j| 3.0 - j as f64).collect();
            let scale = if order == 3 { 24.0 } else { 1.0 };
            for (got, expected) in coefficients(&knots, 4.0).iter().zip(expected) {
                assert!((got - expected / scale).abs() < 1e-12, "order {}: {got}", order + 1);
            }
        }
    }

    #[test]
    fn cubic_slopes_are_integrated_exactly_over_uneven_steps() {
        let knots = [2.0, 3.1, 7.0, 7.5];
        let slope = |s: f64| 1.0 - 2.0 * s + 0.5 * s * s + 0.25 * s * s * s;
        let integral = |s: f64| s - s * s + s.powi(3) / 6.0 + s.powi(4) / 16.0;
        let got: f64 = coefficients(&knots, 0.3).iter().zip(knots).map(|(c, s)| c * slope(s)).sum();
        assert!((got - (integral(0.3) - integral(2.0))).abs() < 1e-9, "{got}");
    }
}
