//! DDIM: keep the predicted clean sample and the predicted noise, mix them anew at the next level.
//!
//! Song et al. 2020, arXiv 2010.02502, eq. 12 and 16:
//! `x_next = alpha_next x0 + sqrt(sigma_next^2 - s^2) eps + s z` with fresh noise `z` and
//! `s = eta sigma_next / sigma sqrt(1 - alpha^2 / alpha_next^2)`.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports};
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::prediction::eps_from_x0;
use crate::diffusion::schedule::ParamInfo;
use crate::diffusion::spacing::TimestepSpacing;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "ddim",
    label: "DDIM",
    paper: "Song et al. 2020, arXiv 2010.02502",
    order: Some(1),
    evaluations_per_step: 1,
    history: 0,
    stochastic: false,
    supports: Supports { flow_levels: false, pure_noise: true, any_denoiser: true },
    params: &[ParamInfo { id: "eta", label: "Fresh noise η", default: 0.0, min: 0.0, max: 1.0 }],
    space: SampleSpace::VariancePreserving,
    default_spacing: TimestepSpacing::Leading,
    grid: Grid::Whole,
    levels: LevelSpacing::Timesteps,
    start_scale: |_, _| 1.0,
    run,
};

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    let eta = run.options.eta;
    for index in 0..run.count() {
        let (level, next) = run.levels(index);
        let x0 = run.denoise(index)?;
        // As in diffusers, clipping concerns x0 alone: the noise stays the one that was predicted.
        let eps = eps_from_x0(&run.x, &x0, level);
        let deviation = eta * (next.sigma / level.sigma) * (1.0 - (level.alpha / next.alpha).powi(2)).sqrt();
        let direction = (next.sigma * next.sigma - deviation * deviation).max(0.0).sqrt();
        let mut x_next = run.clip(&x0).lincomb(next.alpha, &eps, direction);
        if deviation > 0.0 {
            x_next = x_next.lincomb(1.0, &run.draw(index)?, deviation);
        }
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
