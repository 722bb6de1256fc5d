//! Which training timesteps a run of few steps visits.
//!
//! The three rules of Lin et al. 2023 (arXiv 2305.08891, table 2), with the diffusers library's rounding (half to even).

use crate::diffusion::plan::PlanError;

/// How the visited timesteps are spread over the training timesteps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestepSpacing {
    /// `0, k, 2k, ..` with `k = num_train / steps` rounded down: ends at the cleanest, never reaches the noisiest timestep.
    #[default]
    Leading,
    /// Evenly from the noisiest to the cleanest timestep, both included.
    Linspace,
    /// Evenly downwards from the noisiest timestep, which is included; the cleanest is not.
    Trailing,
}

impl TimestepSpacing {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::Leading, Self::Linspace, Self::Trailing];

    /// Name on screen.
    pub fn label(self) -> &'static str {
        match self {
            Self::Leading => "Leading",
            Self::Linspace => "Linspace",
            Self::Trailing => "Trailing",
        }
    }

    /// Name in a `scheduler_config.json`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Leading => "leading",
            Self::Linspace => "linspace",
            Self::Trailing => "trailing",
        }
    }

    /// The rule of that [`Self::id`].
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|spacing| spacing.id() == id)
    }

    /// The timesteps of a run of `steps`, descending, from 0 to `num_train - 1`. `steps_offset` shifts `Leading` towards noise
    /// (Stable Diffusion 1.x uses 1) and does not concern the others. A single step visits 0 except with `Trailing`.
    ///
    /// # Errors
    /// [`PlanError`] when `steps` is 0 or exceeds `num_train`, or when the offset leaves the training range.
    pub fn timesteps(self, num_train: usize, steps: usize, steps_offset: usize) -> Result<Vec<usize>, PlanError> {
        let whole = |times: Vec<f64>| times.into_iter().map(|time| time.round_ties_even() as usize).collect();
        self.fractional_timesteps(num_train, steps, steps_offset).map(whole)
    }

    /// [`Self::timesteps`] before rounding where `Linspace` falls between two timesteps; the others are whole.
    ///
    /// # Errors
    /// As for [`Self::timesteps`].
    pub fn fractional_timesteps(self, num_train: usize, steps: usize, steps_offset: usize) -> Result<Vec<f64>, PlanError> {
        if steps == 0 || steps > num_train {
            return Err(PlanError::Steps { steps, num_train });
        }
        let descending = (0..steps).rev();
        Ok(match self {
            Self::Leading => {
                let stride = num_train / steps;
                if steps_offset > num_train - 1 - (steps - 1) * stride {
                    return Err(PlanError::Offset { steps_offset, steps, num_train });
                }
                descending.map(|index| (index * stride + steps_offset) as f64).collect()
            }
            Self::Linspace => {
                let last = (num_train - 1) as f64;
                let stride = if steps > 1 { last / (steps - 1) as f64 } else { 0.0 };
                descending.map(|index| if index > 0 && index == steps - 1 { last } else { index as f64 * stride }).collect()
            }
            Self::Trailing => {
                let stride = num_train as f64 / steps as f64;
                (0..steps).map(|index| (num_train as f64 - index as f64 * stride).round_ties_even() - 1.0).collect()
            }
        })
    }
}
