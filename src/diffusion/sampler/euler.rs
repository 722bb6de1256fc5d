//! Euler: follow the straight line that the predicted clean sample points to, in sigma-space.
//!
//! Karras et al. 2022, arXiv 2206.00364, algorithm 1 without its second-order correction. With `s = sigma / alpha` and
//! `y = x / alpha = x0 + s eps`, the probability-flow equation is `dy/ds = (y - x0) / s`, so
//! `y_next = y + (s_next - s) (y - x0) / s`. Over the same levels this is DDIM with `eta = 0`; what differs is that levels may
//! lie between two timesteps.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports};
use crate::diffusion::level::Level;
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::spacing::TimestepSpacing;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "euler",
    label: "Euler",
    paper: "Karras et al. 2022, arXiv 2206.00364",
    order: Some(1),
    evaluations_per_step: 1,
    history: 0,
    stochastic: false,
    supports: Supports { flow_levels: true, pure_noise: false, any_denoiser: true },
    params: &[],
    space: SampleSpace::Sigma,
    default_spacing: TimestepSpacing::Linspace,
    grid: Grid::Between,
    levels: LevelSpacing::Timesteps,
    start_scale,
    run,
};

/// In sigma-space diffusers starts from `s` times unit noise, or `sqrt(s^2 + 1)` times with leading spacing; times alpha that
/// is sigma and 1.
pub(super) fn start_scale(spacing: TimestepSpacing, level: Level) -> f64 {
    match spacing {
        TimestepSpacing::Leading => 1.0,
        TimestepSpacing::Linspace | TimestepSpacing::Trailing => level.sigma,
    }
}

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    for index in 0..run.count() {
        let (level, next) = run.signal_levels(index)?;
        let x0 = run.denoise(index)?;
        let (s, s_next) = (level.sigma_ratio(), next.sigma_ratio());
        // y + (s_next - s) (y - x0) / s = (s_next / s) y + (1 - s_next / s) x0, without the cancellation at large s.
        let ratio = s_next / s;
        let x_next = run.x.lincomb(next.alpha * ratio / level.alpha, &x0, next.alpha * (1.0 - ratio));
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
