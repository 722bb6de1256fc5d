//! Euler ancestral: an Euler step to a level cleaner than the next, and fresh noise back up to it.
//!
//! Song et al. 2021, arXiv 2011.13456, appendix F, in the form of Crowson's k-diffusion. With `s = sigma / alpha`:
//! `s_up^2 = s_next^2 (s^2 - s_next^2) / s^2`, `s_down^2 = s_next^2 - s_up^2`, and
//! `y_next = y + (s_down - s) (y - x0) / s + s_up z`. Over the same levels it is DDIM with `eta = 1`, so it never settles: a
//! longer run does not come closer to the same picture.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports, euler};
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::spacing::TimestepSpacing;
use crate::host::HostTensor;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "euler_ancestral",
    label: "Euler ancestral",
    paper: "Song et al. 2021, arXiv 2011.13456",
    order: Some(1),
    evaluations_per_step: 1,
    history: 0,
    stochastic: true,
    supports: Supports { flow_levels: false, pure_noise: false, any_denoiser: true },
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
        let (s, s_next) = (level.sigma_ratio(), next.sigma_ratio());
        let ratio = s_next / s;
        let (down, up) = (s_next * ratio, s_next * ((1.0 - ratio) * (1.0 + ratio)).sqrt());
        let kept = down / s;
        let fresh = if next.sigma > 0.0 { Some(run.draw(index)?) } else { None };
        let mut terms = vec![(next.alpha * kept / level.alpha, &run.x), (next.alpha * (1.0 - kept), &x0)];
        terms.extend(fresh.as_ref().map(|fresh| (next.alpha * up, fresh)));
        let x_next = HostTensor::weighted_sum(&terms);
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
