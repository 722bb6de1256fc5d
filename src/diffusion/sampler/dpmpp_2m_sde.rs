//! DPM-Solver++ SDE-2M: as 2M, with as much fresh noise as the reverse stochastic equation has.
//!
//! Lu et al. 2022, arXiv 2211.01095 (SDE-DPM-Solver++ 2M). With `h` as in [`super::dpmpp_2m`] and fresh noise `z`:
//! `x_next = sigma_next / sigma exp(-h) x + alpha_next (1 - exp(-2 h)) (x0 + h / (2 h_before) (x0 - x0_before)) +
//! sigma_next sqrt(1 - exp(-2 h)) z`.

use super::dpmpp_2m::LookBack;
use super::run::{Run, Stop};
use super::{Grid, SampleSpace, SamplerInfo, Supports};
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::schedule::ParamInfo;
use crate::diffusion::spacing::TimestepSpacing;
use crate::host::HostTensor;

pub(super) const INFO: SamplerInfo = SamplerInfo {
    id: "dpmpp_2m_sde",
    label: "DPM-Solver++ SDE-2M",
    paper: "Lu et al. 2022, arXiv 2211.01095",
    order: Some(2),
    evaluations_per_step: 1,
    history: 1,
    stochastic: true,
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
        let decay = next.sigma_ratio() / level.sigma_ratio();
        let replaced = (1.0 - decay) * (1.0 + decay);
        let slope = look_back.weight(run, index, 2.0, before.as_ref());
        let fresh = if next.sigma > 0.0 { Some(run.draw(index)?) } else { None };
        let mut terms = vec![(next.sigma / level.sigma * decay, &run.x), (next.alpha * (replaced + slope), &x0)];
        terms.extend(before.as_ref().map(|(earlier, _)| (-next.alpha * slope, earlier)));
        terms.extend(fresh.as_ref().map(|fresh| (next.sigma * replaced.sqrt(), fresh)));
        let x_next = HostTensor::weighted_sum(&terms);
        run.advance(index, &x0, x_next)?;
        before = Some((x0, level));
    }
    Ok(())
}
