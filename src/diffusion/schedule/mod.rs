//! Noise schedules: how noisy each training timestep is. One file each, one table.

mod continuous;
mod cosine;
pub mod flow;
mod free;
mod interpolation;
pub(in crate::diffusion) mod karras;
pub mod learned;
mod linear;
mod monotone_network;
mod noise_schedule;
mod scaled_linear;
mod sigmoid;
mod stretch;
#[cfg(test)]
mod tests;

pub use continuous::ContinuousSchedule;
pub use free::FreeCurve;
pub use interpolation::MonotoneCubic;
pub use monotone_network::{Gamma, MonotoneNetwork, Ready};
pub use noise_schedule::{MAX_TRAIN_TIMESTEPS, NoiseSchedule, ScheduleError};
pub use stretch::Stretch;

/// A parameter of a schedule, with what a slider needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ParamInfo {
    /// Stable name, that of `scheduler_config.json` where it has one.
    pub id: &'static str,
    /// Name on screen.
    pub label: &'static str,
    /// The value in the paper or in common use.
    pub default: f64,
    /// Smallest value that makes sense to try.
    pub min: f64,
    /// Largest value that makes sense to try.
    pub max: f64,
}

/// What defines the levels of the training timesteps.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// The variance added at each of so many training timesteps, for parameters in the order of [`ScheduleInfo::params`]. These
    /// are the schedules that `scheduler_config.json` has names for.
    Betas(fn(&[f64], usize) -> Vec<f64>),
    /// [`ScheduleInfo::log_snr`] at `time = (timestep + 1) / num_train_timesteps`.
    LogSnr,
}

/// A family of schedules.
#[derive(Debug, Clone, Copy)]
pub struct ScheduleInfo {
    /// Stable name: the `beta_schedule` of `scheduler_config.json`.
    pub id: &'static str,
    /// Name on screen.
    pub label: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// The formula, in plain text.
    pub formula: &'static str,
    /// The same typeset, in TeX: `u` is the time, `t` of `T` the timestep, `a` and `b` the first and the last value.
    pub tex: &'static str,
    /// Its parameters, in the order that the functions take them.
    pub params: &'static [ParamInfo],
    /// What defines it at whole timesteps.
    pub rule: Rule,
    /// Log-SNR at a time from 0 to 1 for parameters in the order of [`Self::params`] (missing ones take their defaults) and so
    /// many training timesteps; see [`ContinuousSchedule`].
    log_snr: fn(&[f64], f64, usize) -> f64,
}

/// Every schedule.
pub const SCHEDULES: &[ScheduleInfo] =
    &[linear::INFO, scaled_linear::INFO, cosine::INFO, sigmoid::INFO, karras::INFO, flow::INFO, free::INFO];

impl ScheduleInfo {
    /// The schedule of that [`Self::id`].
    pub fn find(id: &str) -> Option<&'static Self> {
        SCHEDULES.iter().find(|info| info.id == id)
    }

    /// The default of each parameter.
    pub fn defaults(&self) -> Vec<f64> {
        self.params.iter().map(|param| param.default).collect()
    }

    /// The schedule in continuous time, with these parameters (missing ones take their defaults).
    pub fn continuous(&'static self, params: &[f64], num_train_timesteps: usize) -> ContinuousSchedule {
        ContinuousSchedule::new(self, params, num_train_timesteps)
    }

    /// The schedule with these parameters (missing ones take their defaults) and so many training timesteps.
    ///
    /// # Errors
    /// [`ScheduleError`] when the parameters lead to impossible betas or the number of timesteps is 0 or absurd.
    pub fn build(&self, params: &[f64], num_train_timesteps: usize) -> Result<NoiseSchedule, ScheduleError> {
        if num_train_timesteps == 0 || num_train_timesteps > MAX_TRAIN_TIMESTEPS {
            return Err(ScheduleError::Length(num_train_timesteps));
        }
        match self.rule {
            Rule::Betas(betas) => NoiseSchedule::from_betas(betas(params, num_train_timesteps)),
            Rule::LogSnr => NoiseSchedule::from_log_snr(|time| (self.log_snr)(params, time, num_train_timesteps), num_train_timesteps),
        }
    }
}

/// The `index`-th parameter, or its default.
fn param(params: &[f64], infos: &[ParamInfo], index: usize) -> f64 {
    params.get(index).copied().unwrap_or(infos[index].default)
}

/// `count` values from `start` to `end`, both included.
fn linspace(start: f64, end: f64, count: usize) -> impl Iterator<Item = f64> {
    let intervals = count.saturating_sub(1).max(1) as f64;
    (0..count).map(move |index| start + (end - start) * (index as f64 / intervals))
}
