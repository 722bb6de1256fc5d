//! LCM: jump to clean data, noise it again to the next level, jump again.
//!
//! Luo et al. 2023, arXiv 2310.04378, algorithm 3, the multistep sampling of consistency models (Song et al. 2023, arXiv
//! 2303.01469). The jump is `c_skip x + c_out x0` with `u = 10 timestep`, `c_skip = d^2 / (u^2 + d^2)`, `c_out = u / sqrt(u^2 + d^2)` and
//! `d = 0.5`: the sample itself at timestep 0, the predicted clean sample elsewhere. It is meant for networks
//! that were trained to answer with the end of their path, which is one of the pictures; any other answers with the mean of all
//! pictures that are possible, and few steps stay blurred.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports};
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::spacing::TimestepSpacing;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "lcm",
    label: "LCM",
    paper: "Luo et al. 2023, arXiv 2310.04378",
    order: None,
    evaluations_per_step: 1,
    history: 0,
    stochastic: true,
    supports: Supports { flow_levels: false, pure_noise: true, any_denoiser: false },
    params: &[],
    space: SampleSpace::VariancePreserving,
    default_spacing: TimestepSpacing::Trailing,
    grid: Grid::Whole,
    levels: LevelSpacing::Timesteps,
    start_scale: |_, _| 1.0,
    run,
};

/// `d`, the standard deviation that the paper assumes of latents.
const SIGMA_DATA: f64 = 0.5;
/// How much a timestep counts.
const TIMESTEP_SCALING: f64 = 10.0;

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    for index in 0..run.count() {
        let (_, next) = run.levels(index);
        let x0 = run.denoise(index)?;
        let scaled = TIMESTEP_SCALING * run.timestep(index);
        let c_skip = SIGMA_DATA * SIGMA_DATA / (scaled * scaled + SIGMA_DATA * SIGMA_DATA);
        let c_out = scaled / scaled.hypot(SIGMA_DATA);
        let jumped = run.clip(&x0).lincomb(c_out, &run.x, c_skip);
        let x_next = if next.sigma > 0.0 { next.add_noise(&jumped, &run.draw(index)?) } else { jumped };
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
