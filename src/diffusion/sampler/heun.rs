//! Heun: an Euler step, and a second look where it arrives; the mean of both slopes is followed.
//!
//! Karras et al. 2022, arXiv 2206.00364, algorithm 1 without fresh noise. With `s = sigma / alpha`, `y = x / alpha` and
//! `r = s_next / s`: `y' = r y + (1 - r) x0`, then `y_next = y + (s_next - s) / 2 ((y - x0) / s + (y' - x0') / s_next)`. Sorted by
//! what is known, which spares differences of large numbers, that is
//! `y_next = r y + (1 - r) (2 - 1 / r) / 2 x0 + (1 / r - 1) / 2 x0'`. The step to clean data has no second look.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports, euler};
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::spacing::TimestepSpacing;
use crate::host::HostTensor;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "heun",
    label: "Heun",
    paper: "Karras et al. 2022, arXiv 2206.00364",
    order: Some(2),
    evaluations_per_step: 2,
    history: 0,
    stochastic: false,
    supports: Supports { flow_levels: true, pure_noise: false, any_denoiser: true },
    params: &[],
    space: SampleSpace::Sigma,
    default_spacing: TimestepSpacing::Linspace,
    grid: Grid::Between,
    levels: LevelSpacing::Timesteps,
    start_scale: euler::start_scale,
    run,
};

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    for index in 0..run.count() {
        let (level, next) = run.signal_levels(index)?;
        let x0 = run.denoise(index)?;
        let ratio = next.sigma_ratio() / level.sigma_ratio();
        let kept = next.alpha * ratio / level.alpha;
        let mut x_next = run.x.lincomb(kept, &x0, next.alpha * (1.0 - ratio));
        if next.sigma > 0.0 {
            let second = run.denoise_at(index, &x_next, next)?;
            let (first, weight) = (0.5 * (1.0 - ratio) * (2.0 - ratio.recip()), 0.5 * (ratio.recip() - 1.0));
            x_next = HostTensor::weighted_sum(&[(kept, &run.x), (next.alpha * first, &x0), (next.alpha * weight, &second)]);
        }
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
