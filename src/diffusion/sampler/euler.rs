//! Euler: follow the straight line that the predicted clean sample points to, in sigma-space.
//!
//! Karras et al. 2022, arXiv 2206.00364, algorithm 1 without its second-order correction. With `s = sigma / alpha` and
//! `y = x / alpha = x0 + s eps`, the probability-flow equation is `dy/ds = (y - x0) / s`, so
//! `y_next = y + (s_next - s) (y - x0) / s`. Over the same levels this is DDIM with `eta = 0`; what differs is that levels may
//! lie between two timesteps.

use super::run::{Run, Stop};
use super::{SampleError, SampleSpace, SamplerInfo};
use crate::diffusion::level::Level;
use crate::diffusion::spacing::TimestepSpacing;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "euler",
    label: "Euler",
    paper: "Karras et al. 2022, arXiv 2206.00364",
    stochastic: false,
    params: &[],
    space: SampleSpace::Sigma,
    default_spacing: TimestepSpacing::Linspace,
    start_scale,
    run,
};

/// In sigma-space diffusers starts from `s` times unit noise, or `sqrt(s^2 + 1)` times with leading spacing; times alpha that
/// is sigma and 1.
fn start_scale(spacing: TimestepSpacing, level: Level) -> f64 {
    match spacing {
        TimestepSpacing::Leading => 1.0,
        TimestepSpacing::Linspace | TimestepSpacing::Trailing => level.sigma,
    }
}

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    let count = run.count();
    for index in 0..count {
        let (level, next) = run.levels(index);
        let Level { alpha, sigma } = level;
        if alpha == 0.0 {
            let problem = "Euler works in sigma-space, where pure noise has no finite level";
            return Err(SampleError::Level { index, count, alpha, sigma, problem }.into());
        }
        let x0 = run.denoise(index)?;
        let (s, s_next) = (level.sigma_ratio(), next.sigma_ratio());
        // y + (s_next - s) (y - x0) / s = (s_next / s) y + (1 - s_next / s) x0, without the cancellation at large s.
        let ratio = s_next / s;
        let x_next = run.x.lincomb(next.alpha * ratio / alpha, &x0, next.alpha * (1.0 - ratio));
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
