//! The scaled linear schedule of latent diffusion (Rombach et al. 2022, arXiv 2112.10752; its code): sqrt(beta) grows evenly.

use super::continuous::log_snr_of_exponent;
use super::{ParamInfo, Rule, ScheduleInfo, linspace, param};

const PARAMS: &[ParamInfo] = &[
    ParamInfo { id: "beta_start", label: "First β", default: 0.00085, min: 1e-5, max: 0.02 },
    ParamInfo { id: "beta_end", label: "Last β", default: 0.012, min: 1e-3, max: 0.1 },
];

pub(super) const INFO: ScheduleInfo = ScheduleInfo {
    id: "scaled_linear",
    label: "Scaled linear",
    paper: "Rombach et al. 2022, arXiv 2112.10752",
    formula: "√β grows evenly from first to last",
    tex: r"\sqrt{\beta_t} = \sqrt{\beta_a} + \frac{t}{T-1}\,(\sqrt{\beta_b} - \sqrt{\beta_a})",
    params: PARAMS,
    rule: Rule::Betas(betas),
    log_snr,
};

fn betas(params: &[f64], count: usize) -> Vec<f64> {
    let (start, end) = (param(params, PARAMS, 0).sqrt(), param(params, PARAMS, 1).sqrt());
    linspace(start, end, count).map(|root| root * root).collect()
}

/// With `r = first root` and `d = last root - first root`: `integral of beta = r^2 time + r d time^2 + d^2 time^3 / 3`.
fn log_snr(params: &[f64], time: f64, count: usize) -> f64 {
    let root = param(params, PARAMS, 0).sqrt();
    let rise = (param(params, PARAMS, 1).sqrt() - root) * time;
    log_snr_of_exponent(count as f64 * time * (root * root + root * rise + rise * rise / 3.0))
}
