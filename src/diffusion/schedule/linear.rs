//! The linear schedule of Ho et al. 2020 (arXiv 2006.11239, section 4): beta grows evenly.

use super::continuous::log_snr_of_exponent;
use super::{ParamInfo, Rule, ScheduleInfo, linspace, param};

const PARAMS: &[ParamInfo] = &[
    ParamInfo { id: "beta_start", label: "First β", default: 1e-4, min: 1e-5, max: 0.02 },
    ParamInfo { id: "beta_end", label: "Last β", default: 0.02, min: 1e-3, max: 0.1 },
];

pub(super) const INFO: ScheduleInfo = ScheduleInfo {
    id: "linear",
    label: "Linear",
    paper: "Ho et al. 2020, arXiv 2006.11239",
    formula: "β grows evenly from first to last",
    tex: r"\beta_t = \beta_a + \frac{t}{T-1}\,(\beta_b - \beta_a)",
    params: PARAMS,
    rule: Rule::Betas(betas),
    log_snr,
};

fn betas(params: &[f64], count: usize) -> Vec<f64> {
    linspace(param(params, PARAMS, 0), param(params, PARAMS, 1), count).collect()
}

/// `integral of beta = first time + (last - first) time^2 / 2` (Song et al. 2021, arXiv 2011.13456).
fn log_snr(params: &[f64], time: f64, count: usize) -> f64 {
    let (start, end) = (param(params, PARAMS, 0), param(params, PARAMS, 1));
    log_snr_of_exponent(count as f64 * time * (start + 0.5 * (end - start) * time))
}
