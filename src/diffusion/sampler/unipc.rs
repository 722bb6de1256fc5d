//! UniPC: predict along a polynomial through the last clean samples, and correct with the newest one at no further evaluation.
//!
//! Zhao et al. 2023, arXiv 2302.04867, in its form for predictions of the clean sample. With `lambda = log(alpha / sigma)`,
//! `h` the step in lambda, `r_k = (lambda_k - lambda) / h` for the levels looked back on and `D_k = (x0_k - x0) / r_k`:
//! `x_next = sigma_next / sigma x + alpha_next (1 - exp(-h)) x0 - alpha_next B(h) sum_k a_k D_k`. The weights satisfy
//! `sum_k r_k^(n-1) a_k = phi_n(-h) n! / B(h)` for as many `n` as there are weights. The corrector is the same formula over the step
//! that was just made, with the answer at its end (`r = 1`) as one more `D`; an evaluation thus serves twice.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, SolverType, Supports};
use crate::diffusion::level::Level;
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::schedule::ParamInfo;
use crate::diffusion::spacing::TimestepSpacing;
use crate::host::HostTensor;
use std::collections::VecDeque;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "unipc",
    label: "UniPC",
    paper: "Zhao et al. 2023, arXiv 2302.04867",
    order: Some(3),
    evaluations_per_step: 1,
    history: 2,
    stochastic: false,
    supports: Supports { flow_levels: true, pure_noise: true, any_denoiser: true },
    params: &[ParamInfo { id: "solver_order", label: "Order of the predictor", default: 2.0, min: 1.0, max: 3.0 }],
    space: SampleSpace::VariancePreserving,
    default_spacing: TimestepSpacing::Linspace,
    grid: Grid::ButLast,
    levels: LevelSpacing::Timesteps,
    start_scale: |_, _| 1.0,
    run,
};

/// A clean sample and the level at which it was predicted.
type Seen = (HostTensor, Level);

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    let most = run.options.order(2, 3, "UniPC has orders from 1 to 3")?;
    let form = run.options.form(INFO.label, &[SolverType::Bh2, SolverType::Bh1])?;
    // The newest first.
    let mut seen: VecDeque<Seen> = VecDeque::new();
    // The sample that the last step set out from, after its own correction, and the order of that step.
    let mut set_out: Option<(HostTensor, usize)> = None;
    for index in 0..run.count() {
        let (level, next) = run.levels(index);
        let x0 = run.denoise(index)?;
        let x = match &set_out {
            Some((x, order)) => step(x, &seen, level, *order, form, Some(&x0)),
            None => run.x.clone(),
        };
        seen.push_front((x0.clone(), level));
        seen.truncate(most);
        let left = if run.options.lower_order_final { run.count() - index } else { usize::MAX };
        let order = if next.sigma > 0.0 { most.min(left).min(seen.len()) } else { 1 };
        let x_next = step(&x, &seen, next, order, form, None);
        run.advance(index, &x0, x_next)?;
        set_out = Some((x, order));
    }
    Ok(())
}

/// A step of `order` from `x` at the level seen last to `next`; with the `answer` there it is the corrector's.
fn step(x: &HostTensor, seen: &VecDeque<Seen>, next: Level, order: usize, form: SolverType, answer: Option<&HostTensor>) -> HostTensor {
    let lambda = |level: Level| 0.5 * level.log_snr();
    let (x0, level) = &seen[0];
    let h = lambda(next) - lambda(*level);
    let faded = (-h).exp_m1();
    let mut terms = vec![(next.sigma / level.sigma, x), (-next.alpha * faded, x0)];
    // What is looked back on from pure noise lies infinitely far away and adds nothing.
    let earlier = seen.iter().skip(1).take(order - 1).filter(|(_, level)| lambda(*level).is_finite());
    let mut others: Vec<(f64, &HostTensor)> = earlier.map(|(x0, at)| ((lambda(*at) - lambda(*level)) / h, x0)).collect();
    others.extend(answer.map(|answer| (1.0, answer)));
    let ratios: Vec<f64> = others.iter().map(|(ratio, _)| *ratio).collect();
    let scale = if form == SolverType::Bh2 { faded } else { -h };
    for ((ratio, other), weight) in others.iter().zip(weights(&ratios, h, scale)) {
        let share = -next.alpha * scale * weight / ratio;
        terms.push((share, other));
        terms[1].0 -= share;
    }
    HostTensor::weighted_sum(&terms)
}

/// The weights `a_k` for ratios `r_k` over a step `h` with `B(h) = scale`. A single one is 1/2 whatever `h` is, which has the order
/// asked for and stays finite when `h` does not.
fn weights(ratios: &[f64], h: f64, scale: f64) -> Vec<f64> {
    let count = ratios.len();
    if count <= 1 {
        return vec![0.5; count];
    }
    // phi_1(z) = (e^z - 1) / z and phi_(n+1)(z) = (phi_n(z) - 1 / n!) / z at z = -h; here times z.
    let (mut phi, mut factorial) = ((-h).exp_m1() / -h - 1.0, 1.0);
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for n in 1..=count {
        let mut row: Vec<f64> = ratios.iter().map(|ratio| ratio.powi(n as i32 - 1)).collect();
        row.push(phi * factorial / scale);
        rows.push(row);
        factorial *= (n + 1) as f64;
        phi = phi / -h - factorial.recip();
    }
    solve(rows)
}

/// The solution of a small linear system, each row its coefficients and then its right-hand side (Gauss and Jordan, with pivots).
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let count = rows.len();
    for column in 0..count {
        let size = |row: usize| rows[row][column].abs();
        let pivot = (column..count).max_by(|a, b| size(*a).total_cmp(&size(*b))).unwrap_or(column);
        rows.swap(column, pivot);
        let (head, scale) = (rows[column].clone(), rows[column][column]);
        for (index, row) in rows.iter_mut().enumerate() {
            let share = if index == column { 1.0 - scale.recip() } else { row[column] / scale };
            row.iter_mut().zip(&head).for_each(|(value, above)| *value -= share * above);
        }
    }
    rows.into_iter().map(|row| row[count]).collect()
}

#[cfg(test)]
mod tests {
    use super::{solve, weights};

    #[test]
    fn a_small_system_is_solved_with_pivots() {
        let solution = solve(vec![vec![0.0, 2.0, 1.0, 7.0], vec![1.0, 1.0, 1.0, 6.0], vec![2.0, -1.0, 3.0, 9.0]]);
        for (got, expected) in solution.iter().zip([1.0, 2.0, 3.0]) {
            assert!((got - expected).abs() < 1e-12, "{solution:?}");
        }
    }

    #[test]
    fn the_weights_integrate_polynomials_exactly() {
        // A clean sample that changes as a polynomial q(r) of the share r of the step, with q(0) = 0, adds
        // alpha_next h times the integral of exp(-(1 - r) h) q(r); divided by -B(h) that is the sum of a_k q(r_k) / r_k.
        let (ratios, h) = ([-1.3, -0.4, 1.0], 0.7_f64);
        let scale = (-h).exp_m1();
        let a = weights(&ratios, h, scale);
        for power in 1..=3 {
            let count = 20_000;
            let integral: f64 = (0..count)
                .map(|i| (f64::from(i) + 0.5) / f64::from(count))
                .map(|r| h * (-(1.0 - r) * h).exp() * r.powi(power) / f64::from(count))
                .sum();
            let sum: f64 = a.iter().zip(ratios).map(|(a, r)| a * r.powi(power - 1)).sum();
            assert!((-scale * sum - integral).abs() < 1e-8, "power {power}: {} and {integral}", -scale * sum);
        }
    }
}
