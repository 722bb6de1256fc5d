//! The one place that decides which levels a run visits and where it ends.

use crate::diffusion::level::Level;
use crate::diffusion::level_spacing::LevelSpacing;
use crate::diffusion::schedule::NoiseSchedule;
use crate::diffusion::schedule::flow::shifted;
use crate::diffusion::spacing::TimestepSpacing;

/// One evaluation of the model: when, and how noisy its input is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Visit {
    /// The timestep that the network is told, from 0 to `num_train - 1`; fractional for samplers in sigma-space.
    pub timestep: f64,
    /// The level of the sample there.
    pub level: Level,
}

/// The levels of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Where the model is evaluated, from noisy to clean.
    pub visits: Vec<Visit>,
    /// Where the last step arrives.
    pub last: Level,
}

/// A run that cannot be planned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Too few or too many steps.
    #[error("{steps} steps were asked for; between 1 and {num_train} are possible with {num_train} training timesteps")]
    Steps {
        /// Asked for.
        steps: usize,
        /// Timesteps of the schedule.
        num_train: usize,
    },
    /// The offset leads past the noisiest timestep.
    #[error("steps_offset {steps_offset} leads past the last of {num_train} training timesteps when {steps} steps are taken")]
    Offset {
        /// The offset.
        steps_offset: usize,
        /// Steps asked for.
        steps: usize,
        /// Timesteps of the schedule.
        num_train: usize,
    },
    /// A timestep that the schedule does not have.
    #[error("timestep {timestep} does not exist; the schedule has {num_train}, counted from 0")]
    Timestep {
        /// Asked for.
        timestep: usize,
        /// Timesteps of the schedule.
        num_train: usize,
    },
    /// A step that the run does not have.
    #[error("a run of {steps} steps cannot go on at step {index}; they are counted from 0")]
    Step {
        /// Asked for.
        index: usize,
        /// Steps of the run.
        steps: usize,
    },
}

/// Plans a run over whole timesteps, as DDIM and DDPM take it.
///
/// The last step arrives at clean data (`alpha_bar = 1`), or at the level of timestep 0 where `set_alpha_to_one` is false, as
/// Stable Diffusion 1.x has it. Every step arrives at the level that is visited next; diffusers' DDIM goes to
/// `timestep - num_train / steps` instead, which is the same with `Leading`, and with `Trailing` where `steps` divides
/// `num_train`, but misses the next level otherwise.
///
/// # Errors
/// [`PlanError`] when the number of steps or the offset does not fit the schedule.
pub fn plan(
    schedule: &NoiseSchedule,
    spacing: TimestepSpacing,
    steps: usize,
    steps_offset: usize,
    set_alpha_to_one: bool,
) -> Result<Plan, PlanError> {
    let timesteps = spacing.timesteps(schedule.len(), steps, steps_offset)?;
    let visits = timesteps.into_iter().map(|t| Visit { timestep: t as f64, level: schedule.level(t) }).collect();
    Ok(Plan { visits, last: if set_alpha_to_one { Level::CLEAN } else { schedule.level(0) } })
}

/// Plans a run over whole timesteps, as the multistep samplers of diffusers take it: the spacing is made for one step more, and its
/// cleanest timestep left out, since the last step arrives at clean data. Where every timestep is visited none can be left out.
///
/// # Errors
/// [`PlanError`] when the number of steps or the offset does not fit the schedule.
pub fn plan_but_last(schedule: &NoiseSchedule, spacing: TimestepSpacing, steps: usize, steps_offset: usize) -> Result<Plan, PlanError> {
    let is_short = spacing != TimestepSpacing::Trailing && (1..schedule.len()).contains(&steps);
    let mut whole = plan(schedule, spacing, steps + usize::from(is_short), steps_offset, true)?;
    whole.visits.truncate(steps);
    Ok(whole)
}

/// Plans a run whose levels are spread by a rule between the noisiest and the cleanest timestep of the spacing, and arrive at
/// `last`. Each is visited at the timestep that has its log-SNR, which lies between two as a rule.
///
/// Where a rule has no even spread from pure noise, or `pure_noise` forbids it, `alpha_bar` there counts as `2^-24`.
///
/// # Errors
/// [`PlanError`] when the number of steps or the offset does not fit the schedule.
pub fn plan_spread(
    schedule: &NoiseSchedule,
    spacing: TimestepSpacing,
    levels: LevelSpacing,
    steps: usize,
    steps_offset: usize,
    pure_noise: bool,
    last: Level,
) -> Result<Plan, PlanError> {
    let timesteps = spacing.timesteps(schedule.len(), steps, steps_offset)?;
    let (first, end) = (timesteps[0], timesteps[steps - 1]);
    let noisy = if pure_noise { schedule.level(first) } else { with_signal(schedule.level(first)) };
    let Some(levels) = levels.levels(noisy, schedule.level(end), steps) else {
        return plan_in_sigma_space(schedule, spacing, steps, steps_offset);
    };
    let mut visits: Vec<Visit> = levels.into_iter().map(|level| Visit { timestep: schedule.timestep_of(level), level }).collect();
    visits[steps - 1].timestep = end as f64;
    visits[0].timestep = first as f64;
    Ok(Plan { visits, last })
}

/// Plans a run of a flow: levels `(1 - s, s)` with flow time `s`, shifted as in [`shifted`], from pure noise to clean data.
///
/// As in diffusers, the network is told `s num_train`, and before the shift the cleanest visited time is that of the first training
/// timestep, which has been shifted itself: `shifted(shift, 1 / num_train)`.
///
/// # Errors
/// [`PlanError::Steps`] when there are no steps or more than training timesteps.
pub fn plan_flow(num_train: usize, steps: usize, shift: f64) -> Result<Plan, PlanError> {
    if steps == 0 || steps > num_train {
        return Err(PlanError::Steps { steps, num_train });
    }
    let cleanest = shifted(shift, (num_train as f64).recip());
    let share = |index: usize| index as f64 / (steps - 1).max(1) as f64;
    let time = |index: usize| shifted(shift, 1.0 + share(index) * (cleanest - 1.0));
    let visit = |time: f64| Visit { timestep: time * num_train as f64, level: Level { alpha: 1.0 - time, sigma: time } };
    Ok(Plan { visits: (0..steps).map(|index| visit(time(index))).collect(), last: Level::CLEAN })
}

/// The level itself, or where it holds no signal one that holds next to none: `alpha_bar = 2^-24`, as in diffusers.
fn with_signal(level: Level) -> Level {
    const SMALLEST_ALPHA_BAR: f64 = 1.0 / (1 << 24) as f64;
    if level.alpha > 0.0 { level } else { Level::from_alpha_bar(SMALLEST_ALPHA_BAR) }
}

/// Plans a run in sigma-space, as Euler takes it: `Linspace` may fall between two timesteps, where `sigma / alpha` is
/// interpolated linearly, and the last step always arrives at clean data.
///
/// At zero terminal signal-to-noise ratio `sigma / alpha` is infinite; `alpha_bar` there counts as `2^-24`, as in diffusers.
///
/// # Errors
/// [`PlanError`] when the number of steps or the offset does not fit the schedule.
pub fn plan_in_sigma_space(
    schedule: &NoiseSchedule,
    spacing: TimestepSpacing,
    steps: usize,
    steps_offset: usize,
) -> Result<Plan, PlanError> {
    let whole = |timestep: usize| with_signal(schedule.level(timestep));
    let level_at = |timestep: f64| {
        let (below, weight) = (timestep.floor() as usize, timestep.fract());
        if weight == 0.0 {
            return whole(below);
        }
        Level::from_sigma_ratio((1.0 - weight) * whole(below).sigma_ratio() + weight * whole(below + 1).sigma_ratio())
    };
    let timesteps = spacing.fractional_timesteps(schedule.len(), steps, steps_offset)?;
    Ok(Plan { visits: timesteps.into_iter().map(|timestep| Visit { timestep, level: level_at(timestep) }).collect(), last: Level::CLEAN })
}

impl Plan {
    /// The rest of this run for a sample that is only as noisy as `timestep`: a first visit there, then the planned ones that
    /// are cleaner.
    ///
    /// # Errors
    /// [`PlanError::Timestep`] when the schedule has no such timestep.
    pub fn starting_at(&self, schedule: &NoiseSchedule, timestep: usize) -> Result<Self, PlanError> {
        if timestep >= schedule.len() {
            return Err(PlanError::Timestep { timestep, num_train: schedule.len() });
        }
        let first = Visit { timestep: timestep as f64, level: schedule.level(timestep) };
        let mut visits: Vec<Visit> = self.visits.iter().copied().filter(|visit| visit.timestep < first.timestep).collect();
        visits.insert(0, first);
        Ok(Self { visits, last: self.last })
    }

    /// The rest of this run from step `index` on: the same visits, less those before.
    ///
    /// # Errors
    /// [`PlanError::Step`] when the run has no such step.
    pub fn continued_at(&self, index: usize) -> Result<Self, PlanError> {
        if index >= self.visits.len() {
            return Err(PlanError::Step { index, steps: self.visits.len() });
        }
        Ok(Self { visits: self.visits[index..].to_vec(), last: self.last })
    }

    /// The same levels for a network that knows them by the timesteps of another schedule; beyond its ends, by those of the ends.
    pub fn told_by(&self, schedule: &NoiseSchedule) -> Self {
        let told = |visit: &Visit| Visit { timestep: schedule.timestep_of(visit.level), ..*visit };
        Self { visits: self.visits.iter().map(told).collect(), last: self.last }
    }

    /// The timestep at which this plan visits exactly `level`; how a [`crate::diffusion::Denoise`] that is told the level
    /// finds the timestep for its network without rounding.
    pub fn timestep_of(&self, level: Level) -> Option<f64> {
        self.visits.iter().find(|visit| visit.level == level).map(|visit| visit.timestep)
    }
}
