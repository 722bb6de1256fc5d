//! The squared-cosine schedule of Nichol and Dhariwal 2021 (arXiv 2102.09672, eq. 17).
//!
//! `alpha_bar(time) = cos^2((time + s) / (1 + s) pi / 2)` for time from 0 to 1, in steps of
//! `beta = min(1 - alpha_bar(next) / alpha_bar(this), max_beta)`. With the defaults alpha_bar ends at about 2e-9, so an
//! epsilon prediction says next to nothing about x0 at the last timestep.

use super::{ParamInfo, ScheduleInfo, param};
use std::f64::consts::FRAC_PI_2;

const PARAMS: &[ParamInfo] = &[
    ParamInfo { id: "offset", label: "Offset s", default: 0.008, min: 0.0, max: 0.2 },
    ParamInfo { id: "max_beta", label: "Largest β", default: 0.999, min: 0.01, max: 0.9999 },
];

pub(super) const INFO: ScheduleInfo = ScheduleInfo {
    id: "squaredcos_cap_v2",
    label: "Cosine",
    paper: "Nichol and Dhariwal 2021, arXiv 2102.09672",
    formula: "ᾱ = cos²((time + s) / (1 + s) · π/2), β at most the largest",
    params: PARAMS,
    betas,
};

fn betas(params: &[f64], count: usize) -> Vec<f64> {
    let (offset, max_beta) = (param(params, PARAMS, 0), param(params, PARAMS, 1));
    let alpha_bar = |index: usize| ((index as f64 / count as f64 + offset) / (1.0 + offset) * FRAC_PI_2).cos().powi(2);
    (0..count).map(|index| (1.0 - alpha_bar(index + 1) / alpha_bar(index)).min(max_beta)).collect()
}
