//! Flow Euler: straight steps along the predicted velocity of a flow.
//!
//! Liu et al. 2022, arXiv 2209.03003; Lipman et al. 2022, arXiv 2210.02747. With `s = sigma / (alpha + sigma)` and
//! `y = x / (alpha + sigma) = (1 - s) x0 + s eps`, the flow is `dy/ds = eps - x0 = (y - x0) / s`, so
//! `y_next = y + (s_next - s) (y - x0) / s`. The model may be one for any level: of one that preserves variance the levels are those
//! with the same signal-to-noise ratio, spread evenly in `s`.

use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports};
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::spacing::TimestepSpacing;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "flow_euler",
    label: "Flow Euler",
    paper: "Liu et al. 2022, arXiv 2209.03003",
    order: Some(1),
    evaluations_per_step: 1,
    history: 0,
    stochastic: false,
    supports: Supports { flow_levels: true, pure_noise: true, any_denoiser: true },
    params: &[],
    space: SampleSpace::Flow,
    default_spacing: TimestepSpacing::Linspace,
    grid: Grid::Between,
    levels: LevelSpacing::Flow { shift: 1.0 },
    start_scale: |_, _| 1.0,
    run,
};

fn run(run: &mut Run<'_>) -> Result<(), Stop> {
    for index in 0..run.count() {
        let (level, next) = run.levels(index);
        let x0 = run.denoise(index)?;
        let (sum, sum_next) = (level.alpha + level.sigma, next.alpha + next.sigma);
        let ratio = next.flow_time() / level.flow_time();
        let x_next = run.x.lincomb(sum_next * ratio / sum, &x0, sum_next * (1.0 - ratio));
        run.advance(index, &x0, x_next)?;
    }
    Ok(())
}
