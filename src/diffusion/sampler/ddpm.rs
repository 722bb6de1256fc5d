//! DDPM: draw from the posterior of the next sample given the present and the predicted clean one.
//!
//! Ho et al. 2020, arXiv 2006.11239, eq. 7, between any two levels: with `a = alpha^2 / alpha_next^2` and `b = 1 - a`,
//! `mean = alpha_next b / sigma^2 x0 + sqrt(a) sigma_next^2 / sigma^2 x` and `variance = sigma_next^2 / sigma^2 b`, the smaller
//! of the paper's two choices (`fixed_small` in diffusers).

use super::run::{Run, Stop};
use super::{SampleSpace, SamplerInfo};
use crate::diffusion::spacing::TimestepSpacing;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "ddpm",
    label: "DDPM",
    paper: "Ho et al. 2020, arXiv 2006.11239",
    stochastic: true,
    params: &[],
    space: SampleSpace::VariancePreserving,
    default_spacing: TimestepSpacing::Leading,
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
            x_next = x_next.lincomb(1.0, &run.draw(index)?, (shrink * added).sqrt());
        }
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
