//! What can be asked of samplers beyond the plan.

use super::SampleError;
use crate::diffusion::level::Level;

/// What can be asked of samplers beyond the plan; each ignores what does not concern it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// DDIM's share of fresh noise: 0 is deterministic, 1 is as random as DDPM.
    pub eta: f64,
    /// Clamps predicted clean samples to `-range..=range` (DDIM, DDPM and LCM; for pixels, not for latents).
    pub clip_sample_range: Option<f64>,
    /// How much fresh noise DDPM adds.
    pub variance: Variance,
    /// The highest order of a multistep sampler; none is its own default.
    pub solver_order: Option<usize>,
    /// Which of its forms a multistep sampler takes; none is its own default.
    pub solver_type: Option<SolverType>,
    /// Whether multistep samplers end with lower orders: UniPC always, DPM-Solver++ in runs of fewer than 15 steps. A step that
    /// arrives at clean data is of first order in any case.
    pub lower_order_final: bool,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            eta: 0.0,
            clip_sample_range: None,
            variance: Variance::FixedSmall,
            solver_order: None,
            solver_type: None,
            lower_order_final: true,
        }
    }
}

/// The two choices of Ho et al. 2020 (arXiv 2006.11239, section 3.2) for the variance of DDPM's fresh noise: the lower and the
/// upper bound of the entropy of a step back. Improved DDPM (Nichol and Dhariwal 2021, arXiv 2102.09672, eq. 15) learns where
/// between the two, in the logarithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Variance {
    /// `sigma_next^2 / sigma^2 b`: exact where the data is a single point.
    #[default]
    FixedSmall,
    /// `b`, the beta between the two levels: exact where the data is unit Gaussian.
    FixedLarge,
}

impl Variance {
    /// Both.
    pub const ALL: [Self; 2] = [Self::FixedSmall, Self::FixedLarge];

    /// The variance of the noise that a step back from `level` to `next` adds.
    pub fn between(self, level: Level, next: Level) -> f64 {
        let added = 1.0 - (level.alpha / next.alpha).powi(2);
        match self {
            Self::FixedSmall => (next.sigma / level.sigma).powi(2) * added,
            Self::FixedLarge => added,
        }
    }

    /// Name on screen.
    pub fn label(self) -> &'static str {
        match self {
            Self::FixedSmall => "Lower bound",
            Self::FixedLarge => "Upper bound",
        }
    }

    /// Name in diffusers' `variance_type`.
    pub fn id(self) -> &'static str {
        match self {
            Self::FixedSmall => "fixed_small",
            Self::FixedLarge => "fixed_large",
        }
    }

    /// The choice of that [`Self::id`].
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variance| variance.id() == id)
    }
}

/// Forms of multistep samplers, all of the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SolverType {
    /// DPM-Solver++: the slope weighted as at the middle of the step (Lu et al. 2022, arXiv 2211.01095).
    Midpoint,
    /// DPM-Solver++: the slope integrated exactly.
    Heun,
    /// UniPC with `B(h) = h` (Zhao et al. 2023, arXiv 2302.04867).
    Bh1,
    /// UniPC with `B(h) = exp(h) - 1`.
    Bh2,
}

impl SolverType {
    /// All forms.
    pub const ALL: [Self; 4] = [Self::Midpoint, Self::Heun, Self::Bh1, Self::Bh2];

    /// Name in diffusers' `solver_type`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Midpoint => "midpoint",
            Self::Heun => "heun",
            Self::Bh1 => "bh1",
            Self::Bh2 => "bh2",
        }
    }

    /// The form of that [`Self::id`].
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.id() == id)
    }
}

impl SampleOptions {
    /// Refuses what no sampler could do.
    pub(super) fn check(&self) -> Result<(), SampleError> {
        if !(0.0..=1.0).contains(&self.eta) {
            return Err(SampleError::Option { name: "eta", value: self.eta, expected: "it lies between 0 and 1" });
        }
        if let Some(value) = self.clip_sample_range.filter(|range| range.is_nan() || *range <= 0.0) {
            return Err(SampleError::Option { name: "clip_sample_range", value, expected: "it is positive" });
        }
        Ok(())
    }

    /// The order for a sampler that has orders from 1 to `most`.
    pub(super) fn order(&self, default: usize, most: usize, expected: &'static str) -> Result<usize, SampleError> {
        let order = self.solver_order.unwrap_or(default);
        let wrong = SampleError::Option { name: "solver_order", value: order as f64, expected };
        if (1..=most).contains(&order) { Ok(order) } else { Err(wrong) }
    }

    /// The form for a sampler that has the forms `known`, the first by default.
    pub(super) fn form(&self, sampler: &'static str, known: &'static [SolverType]) -> Result<SolverType, SampleError> {
        let form = self.solver_type.unwrap_or(known[0]);
        let names = || known.iter().map(|form| form.id()).collect::<Vec<_>>().join(", ");
        if known.contains(&form) { Ok(form) } else { Err(SampleError::SolverType { sampler, form: form.id(), known: names() }) }
    }
}
