//! The straight path of rectified flow, with its time shifted (Liu et al. 2022, arXiv 2209.03003; Esser et al. 2024, arXiv
//! 2403.03206, eq. 23).
//!
//! A flow sample is `(1 - s) x0 + s eps`. Its time `s = shift time / (1 + (shift - 1) time)` is even for `shift = 1`; a larger
//! shift spends more of the time on noise, as large pictures need. As a [`super::NoiseSchedule`] it is the variance-preserving
//! schedule of the same signal-to-noise ratio, `(1 - s)^2 / s^2`; at time 1 nothing of the signal is left.

use super::{ParamInfo, Rule, ScheduleInfo, param};

const PARAMS: &[ParamInfo] = &[SHIFT];

/// The shift of flow time.
pub const SHIFT: ParamInfo = ParamInfo { id: "shift", label: "Time shift", default: 1.0, min: 0.2, max: 12.0 };

pub(super) const INFO: ScheduleInfo = ScheduleInfo {
    id: "flow",
    label: "Rectified flow",
    paper: "Liu et al. 2022, arXiv 2209.03003; Esser et al. 2024, arXiv 2403.03206",
    formula: "√SNR = (1 - s) / s, s = shift · time / (1 + (shift - 1) · time)",
    tex: r"\frac{\sigma}{\alpha + \sigma} = \frac{k u}{1 + (k-1)\,u}",
    params: PARAMS,
    rule: Rule::LogSnr,
    log_snr,
};

fn log_snr(params: &[f64], time: f64, _: usize) -> f64 {
    let flow_time = shifted(param(params, PARAMS, 0), time);
    2.0 * ((1.0 - flow_time).ln() - flow_time.ln())
}

/// `shift time / (1 + (shift - 1) time)`: 0 and 1 stay where they are.
pub fn shifted(shift: f64, time: f64) -> f64 {
    shift * time / (shift * time + (1.0 - time))
}
