//! A schedule drawn by hand: a falling curve through points that one can move.
//!
//! The points are `(time, alpha_bar)`. Between them log-SNR is interpolated by [`MonotoneCubic`] (Fritsch and Butland 1984),
//! since log-SNR has no ends that a curve could overshoot and resolves alpha_bar near 0 as well as near 1.

use super::interpolation::MonotoneCubic;
use super::{ParamInfo, Rule, ScheduleError, ScheduleInfo, param};

/// Values of alpha_bar at these times, evenly spread from 0 to 1.
const PARAMS: &[ParamInfo] = &[
    ParamInfo { id: "alpha_bar_0", label: "ᾱ at time 0", default: 0.9999, min: 1e-4, max: 0.9999 },
    ParamInfo { id: "alpha_bar_1", label: "ᾱ at time ¼", default: 0.85, min: 1e-4, max: 0.9999 },
    ParamInfo { id: "alpha_bar_2", label: "ᾱ at time ½", default: 0.5, min: 1e-4, max: 0.9999 },
    ParamInfo { id: "alpha_bar_3", label: "ᾱ at time ¾", default: 0.15, min: 1e-4, max: 0.9999 },
    ParamInfo { id: "alpha_bar_4", label: "ᾱ at time 1", default: 1e-4, min: 1e-5, max: 0.9999 },
];

/// By how much log-SNR falls at least from point to point when a point pushes the others before it.
const SMALLEST_FALL: f64 = 0.01;

pub(super) const INFO: ScheduleInfo = ScheduleInfo {
    id: "free",
    label: "Free curve",
    paper: "Fritsch and Butland 1984, SIAM J. Sci. Stat. Comput. 5 (the interpolation)",
    formula: "log SNR is a monotone cubic through log(ᾱ / (1 - ᾱ)) of the points",
    tex: r"\log\frac{\bar\alpha}{1-\bar\alpha}\;\mathrm{through\;the\;points}",
    params: PARAMS,
    rule: Rule::LogSnr,
    log_snr,
};

fn log_snr(params: &[f64], time: f64, _: usize) -> f64 {
    let alpha_bars: Vec<f64> = (0..PARAMS.len()).map(|index| param(params, PARAMS, index)).collect();
    FreeCurve::pushed(&alpha_bars).log_snr(time)
}

/// A schedule drawn by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct FreeCurve {
    curve: MonotoneCubic,
}

impl FreeCurve {
    /// The curve through `(time, alpha_bar)`.
    ///
    /// # Errors
    /// [`ScheduleError::Curve`] when there are fewer than two points, when their times do not rise from 0 to 1, or when their
    /// alpha_bar do not fall within 0 to 1, both excluded.
    pub fn new(points: &[[f64; 2]]) -> Result<Self, ScheduleError> {
        let wrong = |point: usize, problem| Err(ScheduleError::Curve { point, problem });
        if points.len() < 2 {
            return wrong(points.len(), "a curve needs a point at time 0 and one at time 1");
        }
        let mut previous = [f64::NEG_INFINITY, 1.0];
        for (point, &[time, alpha_bar]) in points.iter().enumerate() {
            let is_end = if point == 0 { time == 0.0 } else { point + 1 < points.len() || time == 1.0 };
            if !(time > previous[0] && is_end) {
                return wrong(point, "times rise from 0 at the first point to 1 at the last");
            }
            if !(alpha_bar < previous[1] && alpha_bar > 0.0) {
                return wrong(point, "alpha_bar falls from point to point, above 0 and below 1");
            }
            previous = [time, alpha_bar];
        }
        let (times, log_snrs) = points.iter().map(|&[time, alpha_bar]| (time, log_odds(alpha_bar))).unzip();
        Ok(Self { curve: MonotoneCubic::falling(times, log_snrs) })
    }

    /// The curve through `alpha_bars` at times spread evenly from 0 to 1. A point that does not lie below the one before it is
    /// pushed down until it does, so that every set of values is a schedule.
    ///
    /// # Panics
    /// When there are fewer than two values, or one is not above 0 and below 1.
    pub fn pushed(alpha_bars: &[f64]) -> Self {
        assert!(alpha_bars.len() >= 2, "a curve needs two points");
        assert!(alpha_bars.iter().all(|value| *value > 0.0 && *value < 1.0), "alpha_bar lies above 0 and below 1: {alpha_bars:?}");
        let times = (0..alpha_bars.len()).map(|index| index as f64 / (alpha_bars.len() - 1) as f64).collect();
        let push = |ceiling: &mut f64, &alpha_bar: &f64| {
            let value = log_odds(alpha_bar).min(*ceiling);
            *ceiling = value - SMALLEST_FALL;
            Some(value)
        };
        Self { curve: MonotoneCubic::falling(times, alpha_bars.iter().scan(f64::INFINITY, push).collect()) }
    }

    /// Log-SNR at a time from 0 (clean) to 1 (noise).
    pub fn log_snr(&self, time: f64) -> f64 {
        self.curve.at(time)
    }
}

/// `log(alpha_bar / (1 - alpha_bar))`, the log-SNR of a variance-preserving level.
fn log_odds(alpha_bar: f64) -> f64 {
    alpha_bar.ln() - (-alpha_bar).ln_1p()
}
