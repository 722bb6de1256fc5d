//! The noise levels of EDM (Karras et al. 2022, arXiv 2206.00364, eq. 5): a power of sigma / alpha grows evenly.
//!
//! `sigma / alpha = (min^(1/rho) + time (max^(1/rho) - min^(1/rho)))^rho`. With `rho = 7` most levels lie near clean data, where
//! errors of a step hurt most; `rho = 1` is even, and a large `rho` is even in log-SNR.

use super::{ParamInfo, Rule, ScheduleInfo, param};

const PARAMS: &[ParamInfo] = &[
    ParamInfo { id: "sigma_min", label: "Smallest σ/α", default: 0.002, min: 5e-4, max: 0.1 },
    ParamInfo { id: "sigma_max", label: "Largest σ/α", default: 80.0, min: 2.0, max: 500.0 },
    ParamInfo { id: "rho", label: "Power ρ", default: 7.0, min: 1.0, max: 15.0 },
];

pub(super) const INFO: ScheduleInfo = ScheduleInfo {
    id: "karras",
    label: "Karras",
    paper: "Karras et al. 2022, arXiv 2206.00364",
    formula: "(σ/α)^(1/ρ) grows evenly from smallest to largest",
    tex: r"\left(\frac{\sigma}{\alpha}\right)^{1/\rho} = (1-u)\,\sigma_a^{1/\rho} + u\,\sigma_b^{1/\rho}",
    params: PARAMS,
    rule: Rule::LogSnr,
    log_snr,
};

fn log_snr(params: &[f64], time: f64, _: usize) -> f64 {
    let (min, max, rho) = (param(params, PARAMS, 0), param(params, PARAMS, 1), param(params, PARAMS, 2));
    -2.0 * sigma(min, max, rho, time).ln()
}

/// Eq. 5 at a time from 0, where it is `min`, to 1, where it is `max`.
pub(in crate::diffusion) fn sigma(min: f64, max: f64, rho: f64, time: f64) -> f64 {
    let (low, high) = (min.powf(rho.recip()), max.powf(rho.recip()));
    (low + time * (high - low)).powf(rho)
}
