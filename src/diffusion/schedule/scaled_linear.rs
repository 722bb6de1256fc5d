//! The scaled linear schedule of latent diffusion (Rombach et al. 2022, arXiv 2112.10752; its code): sqrt(beta) grows evenly.

use super::{ParamInfo, ScheduleInfo, linspace, param};

const PARAMS: &[ParamInfo] = &[
    ParamInfo { id: "beta_start", label: "First β", default: 0.00085, min: 1e-5, max: 0.02 },
    ParamInfo { id: "beta_end", label: "Last β", default: 0.012, min: 1e-3, max: 0.1 },
];

pub(super) const INFO: ScheduleInfo = ScheduleInfo {
    id: "scaled_linear",
    label: "Scaled linear",
    paper: "Rombach et al. 2022, arXiv 2112.10752",
    formula: "√β grows evenly from first to last",
    params: PARAMS,
    betas,
};

fn betas(params: &[f64], count: usize) -> Vec<f64> {
    let (start, end) = (param(params, PARAMS, 0).sqrt(), param(params, PARAMS, 1).sqrt());
    linspace(start, end, count).map(|root| root * root).collect()
}
