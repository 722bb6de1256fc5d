//! DPM-Solver++ 2M: the clean sample, drawn on along a line through the last two predictions.
//!
//! Lu et al. 2022, arXiv 2211.01095, algorithm 2. With `lambda = log(alpha / sigma)`, `h = lambda_next - lambda` and
//! `h_before` the step before, the equation is solved exactly but for the clean sample, which is taken to change linearly:
//! `x_next = sigma_next / sigma x + alpha_next (1 - exp(-h)) (x0 + h / (2 h_before) (x0 - x0_before))`. Without the second term
//! it is DDIM, which is how a run begins and how it arrives at clean data.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, SolverType, Supports};
use crate::diffusion::level::Level;
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::schedule::ParamInfo;
use crate::diffusion::spacing::TimestepSpacing;
use crate::host::HostTensor;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "dpmpp_2m",
    label: "DPM-Solver++ 2M",
    paper: "Lu et al. 2022, arXiv 2211.01095",
    order: Some(2),
    evaluations_per_step: 1,
    history: 1,
    stochastic: false,
    supports: Supports { flow_levels: true, pure_noise: true, any_denoiser: true },
    params: &[ParamInfo { id: "solver_order", label: "Order", default: 2.0, min: 1.0, max: 2.0 }],
    space: SampleSpace::VariancePreserving,
    default_spacing: TimestepSpacing::Linspace,
    grid: Grid::ButLast,
    levels: LevelSpacing::Timesteps,
    start_scale: |_, _| 1.0,
    run,
};

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    let look_back = LookBack::new(run, INFO.label)?;
    let mut before = None;
    for index in 0..run.count() {
        let (level, next) = run.levels(index);
        let x0 = run.denoise(index)?;
        // exp(-h); 0 towards clean data and from pure noise.
        let decay = next.sigma_ratio() / level.sigma_ratio();
        let gain = next.alpha * (1.0 - decay);
        let slope = look_back.weight(run, index, 1.0, before.as_ref());
        let mut terms = vec![(next.sigma / level.sigma, &run.x), (gain + next.alpha * slope, &x0)];
        terms.extend(before.as_ref().map(|(earlier, _)| (-next.alpha * slope, earlier)));
        let x_next = HostTensor::weighted_sum(&terms);
        run.advance(index, &x0, x_next)?;
        before = Some((x0, level));
    }
    Ok(())
}

/// When and how strongly a step follows the line through the last two clean samples.
pub(super) struct LookBack {
    order: usize,
    form: SolverType,
}

impl LookBack {
    /// What the options ask for.
    pub fn new(run: &Run<'_>, sampler: &'static str) -> Result<Self, Stop> {
        let order = run.options.order(2, 2, "DPM-Solver++ 2M has the orders 1 and 2")?;
        Ok(Self { order, form: run.options.form(sampler, &[SolverType::Midpoint, SolverType::Heun])? })
    }

    /// The weight of `x0 - x0_before`, less its factor `alpha_next`; 0 in a step of first order.
    ///
    /// `power` is 1 for the deterministic solver and 2 for the stochastic one, whose clean samples fade with `exp(-2 h)`. With
    /// `h' = power h`: midpoint gives `h / h_before (1 - exp(-h')) / 2`, the exact integral `h / h_before (1 - (1 - exp(-h')) / h')`.
    pub fn weight(&self, run: &Run<'_>, index: usize, power: f64, before: Option<&(HostTensor, Level)>) -> f64 {
        let (level, next) = run.levels(index);
        let is_last = index + 1 == run.count();
        let is_lowered = is_last && (next.sigma == 0.0 || (run.options.lower_order_final && run.count() < 15));
        let Some((_, earlier)) = before.filter(|_| self.order > 1 && !is_lowered) else { return 0.0 };
        let h = 0.5 * (next.log_snr() - level.log_snr());
        let h_before = 0.5 * (level.log_snr() - earlier.log_snr());
        let faded = -(-power * h).exp_m1();
        h / h_before * if self.form == SolverType::Heun { 1.0 - faded / (power * h) } else { 0.5 * faded }
    }
}
