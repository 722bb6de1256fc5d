//! The sigmoid schedule of GeoDiff (Xu et al. 2022, arXiv 2203.02923; its code): beta follows a logistic curve.

use super::continuous::log_snr_of_exponent;
use super::{ParamInfo, Rule, ScheduleInfo, linspace, param};

const PARAMS: &[ParamInfo] = &[
    ParamInfo { id: "beta_start", label: "First β", default: 1e-4, min: 1e-5, max: 0.02 },
    ParamInfo { id: "beta_end", label: "Last β", default: 0.02, min: 1e-3, max: 0.1 },
    ParamInfo { id: "steepness", label: "Steepness", default: 6.0, min: 0.5, max: 12.0 },
];

pub(super) const INFO: ScheduleInfo = ScheduleInfo {
    id: "sigmoid",
    label: "Sigmoid",
    paper: "Xu et al. 2022, arXiv 2203.02923",
    formula: "β = first + (last - first) / (1 + exp(-z)), z from -steepness to steepness",
    tex: r"\beta_t = \beta_a + \frac{\beta_b - \beta_a}{1 + e^{-z}},\; z = -k \ldots k",
    params: PARAMS,
    rule: Rule::Betas(betas),
    log_snr,
};

fn betas(params: &[f64], count: usize) -> Vec<f64> {
    let (start, end, steepness) = (param(params, PARAMS, 0), param(params, PARAMS, 1), param(params, PARAMS, 2));
    linspace(-steepness, steepness, count).map(|z| start + (end - start) / (1.0 + (-z).exp())).collect()
}

/// The integral of the logistic curve is `softplus(z) = log(1 + exp(z))`, here from `-steepness` to `z`, over `dz = 2 steepness dtime`.
fn log_snr(params: &[f64], time: f64, count: usize) -> f64 {
    let (start, end, steepness) = (param(params, PARAMS, 0), param(params, PARAMS, 1), param(params, PARAMS, 2));
    let softplus = |z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p();
    let risen = (softplus(steepness * (2.0 * time - 1.0)) - softplus(-steepness)) / (2.0 * steepness);
    log_snr_of_exponent(count as f64 * (start * time + (end - start) * risen))
}
