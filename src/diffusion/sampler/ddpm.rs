//! DDPM: draw from the posterior of the next sample given the present and the predicted clean one.
//!
//! Ho et al. 2020, arXiv 2006.11239, eq. 7, between any two levels: with `a = alpha^2 / alpha_next^2` and `b = 1 - a`,
//! `mean = alpha_next b / sigma^2 x0 + sqrt(a) sigma_next^2 / sigma^2 x`. The variance is one of [`Variance`](super::Variance). The step to clean data
//! adds no noise whichever it is; diffusers' `fixed_large` does there, unless that step starts at timestep 0.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports};
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::spacing::TimestepSpacing;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "ddpm",
    label: "DDPM",
    paper: "Ho et al. 2020, arXiv 2006.11239",
    order: Some(1),
    evaluations_per_step: 1,
    history: 0,
    stochastic: true,
    supports: Supports { flow_levels: false, pure_noise: true, any_denoiser: true },
    params: &[],
    space: SampleSpace::VariancePreserving,
    default_spacing: TimestepSpacing::Leading,
    grid: Grid::Whole,
    levels: LevelSpacing::Timesteps,
    start_scale: |_, _| 1.0,
    run,
};

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    for index in 0..run.count() {
        let (level, next) = run.levels(index);
        let x0 = run.denoise(index)?;
        let kept = (level.alpha / next.alpha).powi(2);
        let added = 1.0 - kept;
        let shrink = (next.sigma / level.sigma).powi(2);
        let mut x_next = run.clip(&x0).lincomb(next.alpha * added / (level.sigma * level.sigma), &run.x, kept.sqrt() * shrink);
        if next.sigma > 0.0 {
            let variance = run.options.variance.between(level, next);
            x_next = x_next.lincomb(1.0, &run.draw(index)?, variance.sqrt());
        }
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
