//! Samplers: how a run steps from noise to data. One function in one file each, one table.
//!
//! A sampler sees only a [`Denoise`], which predicts the clean sample; what the network behind it answers is no concern of
//! the sampler. Samples have the form `alpha x0 + sigma eps` of the levels in the plan, whatever space a sampler computes in: all
//! preserve variance in a plan over a [`NoiseSchedule`]. Arithmetic is f64, storage f32.

mod ddim;
mod ddpm;
mod dpmpp_2m;
mod dpmpp_2m_sde;
mod euler;
mod euler_ancestral;
mod flow_euler;
mod heun;
mod lcm;
mod lms;
mod options;
mod run;
#[cfg(test)]
mod tests;
mod unipc;

use crate::diffusion::level::Level;
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::plan::{self, Plan, PlanError, Visit};
use crate::diffusion::schedule::{NoiseSchedule, ParamInfo};
use crate::diffusion::spacing::TimestepSpacing;
use crate::host::HostTensor;
pub use options::{SampleOptions, SolverType, Variance};
use run::{Run, Stop};
use std::ops::ControlFlow;

/// Predicts the clean sample from a noisy one.
///
/// Implemented by `pipeline` over a network, by [`crate::diffusion::ideal`] over known data, by
/// [`crate::diffusion::guidance::Guided`] over two others, and by closures.
pub trait Denoise {
    /// The clean sample in `x`, which is `alpha x0 + sigma eps` at `level`.
    ///
    /// # Shapes
    /// `x` and the result: alike, any.
    ///
    /// # Errors
    /// [`DenoiseError`] with whatever kept it from answering.
    fn denoise(&mut self, x: &HostTensor, level: Level) -> Result<HostTensor, DenoiseError>;
}

impl<F: FnMut(&HostTensor, Level) -> Result<HostTensor, DenoiseError>> Denoise for F {
    fn denoise(&mut self, x: &HostTensor, level: Level) -> Result<HostTensor, DenoiseError> {
        self(x, level)
    }
}

/// Why a denoiser did not answer. Made from any error or message by `into()`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DenoiseError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

impl From<String> for DenoiseError {
    fn from(message: String) -> Self {
        Self(message.into())
    }
}

impl From<&str> for DenoiseError {
    fn from(message: &str) -> Self {
        Self(message.into())
    }
}

/// Why a run did not end.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// Nothing to visit.
    #[error("there is no step to take: the plan visits no timestep")]
    NoVisits,
    /// A plan that does not lead from noise to data.
    #[error("step {} of {count}: level (alpha {alpha}, sigma {sigma}) cannot be stepped from to the next: {problem}", .index + 1)]
    Level {
        /// Step, from 0.
        index: usize,
        /// Steps in the run.
        count: usize,
        /// Its alpha.
        alpha: f64,
        /// Its sigma.
        sigma: f64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A form that a multistep sampler does not have.
    #[error("{sampler} has no solver_type {form:?}; known are {known}")]
    SolverType {
        /// The sampler.
        sampler: &'static str,
        /// What was asked for.
        form: &'static str,
        /// What it may be.
        known: String,
    },
    /// An option out of range.
    #[error("{name} is {value}, but {expected}")]
    Option {
        /// Which.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// A tensor of another shape than the sample.
    #[error("step {} of {count}: {what} has shape {got:?}, but the sample has {expected:?}", .index + 1)]
    Shape {
        /// Step, from 0.
        index: usize,
        /// Steps in the run.
        count: usize,
        /// Whose shape.
        what: &'static str,
        /// The sample's.
        expected: Vec<usize>,
        /// What came.
        got: Vec<usize>,
    },
    /// A value that is not finite.
    #[error("step {} of {count} (timestep {timestep}): {what} holds NaN or infinite values", .index + 1)]
    NotFinite {
        /// Step, from 0.
        index: usize,
        /// Steps in the run.
        count: usize,
        /// Its timestep.
        timestep: f64,
        /// What holds them.
        what: &'static str,
    },
    /// The denoiser failed.
    #[error("step {} of {count} (timestep {timestep}): {source}", .index + 1)]
    Denoise {
        /// Step, from 0.
        index: usize,
        /// Steps in the run.
        count: usize,
        /// Its timestep.
        timestep: f64,
        /// Why.
        source: DenoiseError,
    },
}

/// One finished step of a run; samples in the form of their levels whatever the sampler computes in.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Which, from 0.
    pub index: usize,
    /// Steps in the run.
    pub count: usize,
    /// The timestep of [`Self::x`].
    pub timestep: f64,
    /// The level of [`Self::x`].
    pub level: Level,
    /// The level of [`Self::x_next`].
    pub next_level: Level,
    /// The sample before the step.
    pub x: &'a HostTensor,
    /// The clean sample predicted from it, as the denoiser gave it.
    pub x0: &'a HostTensor,
    /// The sample after the step.
    pub x_next: &'a HostTensor,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The sample after the last step taken.
    pub x: HostTensor,
    /// Steps taken.
    pub steps: usize,
    /// Whether `on_step` broke the run off before its end.
    pub cancelled: bool,
}

/// The form in which the diffusers library keeps a sampler's samples; here it matters for comparing with it only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleSpace {
    /// `alpha x0 + sigma eps`.
    VariancePreserving,
    /// `x0 + (sigma / alpha) eps`: the former divided by alpha.
    Sigma,
    /// `(1 - s) x0 + s eps`: the first divided by `alpha + sigma`.
    Flow,
}

impl SampleSpace {
    /// All forms.
    pub const ALL: [Self; 3] = [Self::VariancePreserving, Self::Sigma, Self::Flow];

    /// What a sample at a level is divided by to take this form.
    pub fn divisor(self, level: Level) -> f64 {
        match self {
            Self::VariancePreserving => 1.0,
            Self::Sigma => level.alpha,
            Self::Flow => level.alpha + level.sigma,
        }
    }
}

/// What a sampler can be given. Every one works with whatever a network predicts, since it asks for the clean sample alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supports {
    /// Levels of a flow (`alpha + sigma = 1`), besides those that preserve variance.
    pub flow_levels: bool,
    /// A first level without any signal, as zero terminal SNR has it; plans for the others replace it by one with next to none.
    pub pure_noise: bool,
    /// Any denoiser; the others need a consistency model to give samples of the data.
    pub any_denoiser: bool,
}

/// Which timesteps a sampler visits for a spacing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grid {
    /// Whole ones.
    Whole,
    /// Whole ones out of one more, the cleanest of which is where the last step arrives.
    ButLast,
    /// Those of the spacing, between whole ones if need be; in sigma-space.
    Between,
}

/// A sampler.
#[derive(Debug, Clone, Copy)]
pub struct SamplerInfo {
    /// Stable name.
    pub id: &'static str,
    /// Name on screen.
    pub label: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    /// Order of accuracy: with twice the steps its error at the end, or that of its mean, falls `2^order`-fold. None where steps are
    /// not there to be exact.
    pub order: Option<u32>,
    /// How often it asks the model in a step; the step that arrives at clean data needs one only.
    pub evaluations_per_step: usize,
    /// How many earlier steps it looks back on. A run begun in the middle lacks them and begins with a lower order.
    pub history: usize,
    /// Whether it draws fresh noise on its way, without being asked to.
    pub stochastic: bool,
    /// What it can be given.
    pub supports: Supports,
    /// The options of [`SampleOptions`] that it has sliders for.
    pub params: &'static [ParamInfo],
    /// In what form diffusers keeps its samples.
    pub space: SampleSpace,
    /// The spacing that diffusers' sampler takes where a configuration names none.
    pub default_spacing: TimestepSpacing,
    grid: Grid,
    /// How its levels are spread where nothing else is asked for.
    pub levels: LevelSpacing,
    /// What unit Gaussian noise is multiplied by to start at this level, in variance-preserving form.
    start_scale: fn(TimestepSpacing, Level) -> f64,
    run: fn(&mut Run<'_>) -> Result<(), Stop>,
}

/// Every sampler.
pub const SAMPLERS: &[SamplerInfo] = &[
    ddim::INFO,
    ddpm::INFO,
    euler::INFO,
    euler_ancestral::INFO,
    heun::INFO,
    lms::INFO,
    dpmpp_2m::INFO,
    dpmpp_2m_sde::INFO,
    unipc::INFO,
    lcm::INFO,
    flow_euler::INFO,
];

impl PartialEq for SamplerInfo {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl SamplerInfo {
    /// The sampler of that [`Self::id`].
    pub fn find(id: &str) -> Option<&'static Self> {
        SAMPLERS.iter().find(|info| info.id == id)
    }

    /// How often the model is asked in a run of `steps`.
    pub fn evaluations(&self, steps: usize) -> usize {
        (self.evaluations_per_step * steps).saturating_sub(self.evaluations_per_step - 1)
    }

    /// The most steps that ask the model so often: the inverse of [`Self::evaluations`].
    pub fn steps_within(&self, evaluations: usize) -> usize {
        evaluations.div_ceil(self.evaluations_per_step)
    }

    /// Plans a run as this sampler takes it by itself; see [`Self::plan_with`].
    ///
    /// # Errors
    /// [`PlanError`] when the number of steps or the offset does not fit the schedule.
    pub fn plan(
        &self,
        schedule: &NoiseSchedule,
        spacing: TimestepSpacing,
        steps: usize,
        steps_offset: usize,
        set_alpha_to_one: bool,
    ) -> Result<Plan, PlanError> {
        self.plan_with(schedule, spacing, self.levels, steps, steps_offset, set_alpha_to_one)
    }

    /// Plans a run as this sampler takes it: over whole timesteps or in sigma-space, with the levels between its ends spread by a
    /// rule. Samplers other than DDIM arrive at clean data whatever `set_alpha_to_one` says, as those of diffusers do.
    ///
    /// # Errors
    /// [`PlanError`] when the number of steps or the offset does not fit the schedule.
    pub fn plan_with(
        &self,
        schedule: &NoiseSchedule,
        spacing: TimestepSpacing,
        levels: LevelSpacing,
        steps: usize,
        steps_offset: usize,
        set_alpha_to_one: bool,
    ) -> Result<Plan, PlanError> {
        let last = if *self == ddim::INFO && !set_alpha_to_one { schedule.level(0) } else { Level::CLEAN };
        if levels != LevelSpacing::Timesteps {
            let pure_noise = self.supports.pure_noise && matches!(levels, LevelSpacing::Flow { .. });
            return plan::plan_spread(schedule, spacing, levels, steps, steps_offset, pure_noise, last);
        }
        match self.grid {
            Grid::Whole => plan::plan(schedule, spacing, steps, steps_offset, last == Level::CLEAN),
            Grid::ButLast => plan::plan_but_last(schedule, spacing, steps, steps_offset),
            Grid::Between => plan::plan_in_sigma_space(schedule, spacing, steps, steps_offset),
        }
    }

    /// The sample to start from: `unit_noise` (unit Gaussian) scaled to what this sampler expects at the plan's first level,
    /// in variance-preserving form. In the words of diffusers it is `init_noise_sigma`, times alpha for those in sigma-space.
    pub fn start(&self, spacing: TimestepSpacing, plan: &Plan, unit_noise: &HostTensor) -> HostTensor {
        let scale = plan.visits.first().map_or(1.0, |visit| (self.start_scale)(spacing, visit.level));
        if scale == 1.0 { unit_noise.clone() } else { unit_noise.map(|value| (f64::from(value) * scale) as f32) }
    }

    /// What unit Gaussian noise is multiplied by to start, in the form of this sampler's [`Self::space`], as in diffusers.
    pub fn init_noise_sigma(&self, spacing: TimestepSpacing, plan: &Plan) -> f64 {
        plan.visits.first().map_or(1.0, |visit| (self.start_scale)(spacing, visit.level) / self.space.divisor(visit.level))
    }
}

/// Runs a sampler with its default options; see [`sample_with`].
///
/// # Errors
/// As for [`sample_with`].
pub fn sample(
    info: &SamplerInfo,
    denoise: &mut dyn Denoise,
    visits: &[Visit],
    last: Level,
    x_start: &HostTensor,
    noise: &mut dyn FnMut(&[usize]) -> HostTensor,
    on_step: &mut dyn FnMut(&Step<'_>) -> ControlFlow<()>,
) -> Result<Outcome, SampleError> {
    sample_with(info, &SampleOptions::default(), denoise, visits, last, x_start, noise, on_step)
}

/// Runs a sampler from `x_start` over `visits` to `last`.
///
/// The denoiser is asked once per visit, with exactly the level of the visit, and by Heun once more with that of the next. `noise` is called with the sample's shape by
/// stochastic samplers only: once in every step that does not arrive at clean data, in the order of the steps. `on_step`
/// hears of every step after it was taken; when it breaks, the run ends there with what it has.
///
/// # Shapes
/// `x_start`, what `noise` and the denoiser give, and every sample: alike, any.
///
/// # Errors
/// [`SampleError`] when the plan is empty or does not lead from noise to data, when an option is out of range, when a shape
/// differs, when the denoiser fails or answers with NaN or infinity (the error names the step), or when `x_start` holds such.
#[expect(clippy::too_many_arguments, reason = "each is a different kind of thing, and a struct of closures is no clearer")]
pub fn sample_with(
    info: &SamplerInfo,
    options: &SampleOptions,
    denoise: &mut dyn Denoise,
    visits: &[Visit],
    last: Level,
    x_start: &HostTensor,
    noise: &mut dyn FnMut(&[usize]) -> HostTensor,
    on_step: &mut dyn FnMut(&Step<'_>) -> ControlFlow<()>,
) -> Result<Outcome, SampleError> {
    let mut run = Run::new(options, info.supports, denoise, visits, last, x_start, noise, on_step)?;
    let cancelled = match (info.run)(&mut run) {
        Ok(()) => false,
        Err(Stop::Cancelled) => true,
        Err(Stop::Failed(error)) => return Err(error),
    };
    Ok(run.outcome(cancelled))
}
