//! A schedule in continuous time: how noisy a sample is at every time from 0 (clean) to 1 (noise).
//!
//! Kingma et al. 2021 (arXiv 2107.00630, section 3) and Song et al. 2021 (arXiv 2011.13456, section 3.4): a variance-preserving
//! process is a function `log_snr(time)` and nothing else. Timestep `i` of `n` stands at `time = (i + 1) / n`. What is defined by
//! its betas becomes `alpha_bar(time) = exp(-n integral of beta)`, the limit of many small steps; a cap on beta has no such limit.

use super::ScheduleInfo;
use crate::diffusion::level::Level;

/// A schedule with its parameters, in continuous time.
#[derive(Debug, Clone)]
pub struct ContinuousSchedule {
    info: &'static ScheduleInfo,
    params: Vec<f64>,
    num_train_timesteps: usize,
}

impl ContinuousSchedule {
    /// The schedule with these parameters (missing ones take their defaults); `num_train_timesteps` is how many betas make up
    /// the whole time, where it is defined by betas.
    pub fn new(info: &'static ScheduleInfo, params: &[f64], num_train_timesteps: usize) -> Self {
        Self { info, params: params.to_vec(), num_train_timesteps }
    }

    /// `log(alpha^2 / sigma^2)`, falling; may be infinite at the ends.
    pub fn log_snr(&self, time: f64) -> f64 {
        (self.info.log_snr)(&self.params, time.clamp(0.0, 1.0), self.num_train_timesteps)
    }

    /// The variance-preserving level.
    pub fn level(&self, time: f64) -> Level {
        Level::from_log_snr(self.log_snr(time))
    }

    /// `alpha_bar(time)`.
    pub fn alpha_bar(&self, time: f64) -> f64 {
        self.level(time).alpha_bar()
    }

    /// The rate `beta(time) = -d log(alpha_bar) / d time = -sigma^2 d log_snr / d time`, by central differences: the variance that
    /// is added per unit of time, some `num_train_timesteps` times the beta of a single step. Not finite where log-SNR is not.
    pub fn beta(&self, time: f64) -> f64 {
        let (before, after) = ((time - 1e-5).max(0.0), (time + 1e-5).min(1.0));
        let slope = (self.log_snr(after) - self.log_snr(before)) / (after - before);
        -self.level(time).sigma.powi(2) * slope
    }
}

/// The log-SNR that belongs to `log(alpha_bar) = -exponent`: `1 / (exp(exponent) - 1)` is the SNR.
pub(super) fn log_snr_of_exponent(exponent: f64) -> f64 {
    -exponent.exp_m1().ln()
}
