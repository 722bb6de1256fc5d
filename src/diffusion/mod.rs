//! The mathematics of diffusion: coefficients in f64, samples as [`crate::host::HostTensor`], no device and no window.
//!
//! One noisy sample is `x_t = alpha x0 + sigma eps` ([`level`]). A [`schedule`] says which level each training timestep has,
//! [`spacing`] and [`mod@plan`] which of them a run visits, [`prediction`] what a network's answer means, [`guidance`] how two
//! answers are combined, [`sampler`] how a run steps from one level to the next, [`objective`] what a network is trained on,
//! and [`ideal`] what it would answer if it knew the data exactly.
//!
//! Nothing here depends on a model: whatever implements [`Denoise`] can be sampled from. All levels of a [`NoiseSchedule`]
//! preserve variance (`alpha^2 + sigma^2 = 1`); formulas that also hold for flow levels (`alpha + sigma = 1`) say so.

pub mod guidance;
pub mod ideal;
pub mod level;
pub mod level_spacing;
pub mod objective;
pub mod plan;
pub mod prediction;
pub mod sampler;
pub mod schedule;
pub mod scheduler_config;
pub mod spacing;

pub use guidance::{Guidance, GuidanceInterval, guide};
pub use level::Level;
pub use level_spacing::LevelSpacing;
pub use plan::{Plan, PlanError, Visit, plan};
pub use prediction::PredictionType;
pub use sampler::{
    Denoise, DenoiseError, Outcome, SAMPLERS, SampleError, SampleOptions, SampleSpace, SamplerInfo, SolverType, Step, Supports, Variance,
    sample, sample_with,
};
pub use schedule::{ContinuousSchedule, FreeCurve, NoiseSchedule, ParamInfo, SCHEDULES, ScheduleError, ScheduleInfo};
pub use scheduler_config::{ConfigError, SchedulerConfig};
pub use spacing::TimestepSpacing;
