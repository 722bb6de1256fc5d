//! The squared-cosine schedule of Nichol and Dhariwal 2021 (arXiv 2102.09672, eq. 17).
//!
//! `alpha_bar(time) = cos^2((time + s) / (1 + s) pi / 2)` for time from 0 to 1, in steps of
//! `beta = min(1 - alpha_bar(next) / alpha_bar(this), max_beta)`. With the defaults alpha_bar ends at about 2e-9, so an
//! epsilon prediction says next to nothing about x0 at the last timestep.

use super::{ParamInfo, Rule, ScheduleInfo, param};
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
    tex: r"\bar\alpha(u) \propto \cos^2\left(\frac{u + s}{1 + s}\cdot\frac{\pi}{2}\right)",
    params: PARAMS,
    rule: Rule::Betas(betas),
    log_snr,
};

fn betas(params: &[f64], count: usize) -> Vec<f64> {
    let (offset, max_beta) = (param(params, PARAMS, 0), param(params, PARAMS, 1));
    let alpha_bar = |index: usize| ((index as f64 / count as f64 + offset) / (1.0 + offset) * FRAC_PI_2).cos().powi(2);
    (0..count).map(|index| (1.0 - alpha_bar(index + 1) / alpha_bar(index)).min(max_beta)).collect()
}

/// `alpha_bar(time) / alpha_bar(0)`, without the cap: at time 1 nothing of the signal is left.
fn log_snr(params: &[f64], time: f64, _: usize) -> f64 {
    let offset = param(params, PARAMS, 0);
    let angle = |time: f64| (time + offset) / (1.0 + offset) * FRAC_PI_2;
    // 1 - cos^2(a) / cos^2(b) = sin(a - b) sin(a + b) / cos^2(b), without the cancellation near time 0.
    let (here, clean) = (angle(time), angle(0.0));
    let signal = if time < 1.0 { here.cos().powi(2) } else { 0.0 };
    (signal / ((here - clean).sin() * (here + clean).sin())).ln()
}
