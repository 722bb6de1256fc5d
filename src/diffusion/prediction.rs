//! What a network's answer means, and the conversions between the four meanings.
//!
//! With `x = alpha x0 + sigma eps`:
//!
//! | type | the network answers | paper |
//! | --- | --- | --- |
//! | epsilon | `eps` | Ho et al. 2020, arXiv 2006.11239, eq. 11 |
//! | sample | `x0` | the same, eq. 8 |
//! | v | `v = alpha eps - sigma x0` | Salimans and Ho 2022, arXiv 2202.00512, appendix D |
//! | flow | `u = eps - x0` | Lipman et al. 2022, arXiv 2210.02747; Esser et al. 2024, arXiv 2403.03206 |
//!
//! The formulas hold at every level, variance-preserving or not. Where one divides by a coefficient that is zero (epsilon at
//! pure noise, anything about `eps` at clean data) the answer is not finite: there the question has none.

use crate::diffusion::level::Level;
use crate::host::HostTensor;

/// What a denoising network was trained to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PredictionType {
    /// The noise `eps`.
    #[default]
    Epsilon,
    /// The clean sample `x0`.
    Sample,
    /// The velocity `v = alpha eps - sigma x0`.
    VPrediction,
    /// The flow velocity `u = eps - x0`.
    Flow,
}

impl PredictionType {
    /// All types.
    pub const ALL: [Self; 4] = [Self::Epsilon, Self::Sample, Self::VPrediction, Self::Flow];

    /// Name on screen.
    pub fn label(self) -> &'static str {
        match self {
            Self::Epsilon => "Noise ε",
            Self::Sample => "Clean sample x₀",
            Self::VPrediction => "Velocity v",
            Self::Flow => "Flow velocity u",
        }
    }

    /// Name in a `scheduler_config.json`.
    pub fn id(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::Sample => "sample",
            Self::VPrediction => "v_prediction",
            Self::Flow => "flow_prediction",
        }
    }

    /// The type of that [`Self::id`].
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// The clean sample that `output` implies for `x`.
    ///
    /// - epsilon: `x0 = (x - sigma eps) / alpha`
    /// - v: `x0 = (alpha x - sigma v) / (alpha^2 + sigma^2)`
    /// - flow: `x0 = (x - sigma u) / (alpha + sigma)`
    ///
    /// # Shapes
    /// `x`, `output` and the result: alike, any.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn to_x0(self, x: &HostTensor, output: &HostTensor, level: Level) -> HostTensor {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => x.lincomb(alpha.recip(), output, -sigma / alpha),
            Self::Sample => output.clone(),
            Self::VPrediction => {
                let power = alpha * alpha + sigma * sigma;
                x.lincomb(alpha / power, output, -sigma / power)
            }
            Self::Flow => x.lincomb((alpha + sigma).recip(), output, -sigma / (alpha + sigma)),
        }
    }

    /// The noise that `output` implies for `x`.
    ///
    /// - sample: `eps = (x - alpha x0) / sigma`
    /// - v: `eps = (sigma x + alpha v) / (alpha^2 + sigma^2)`
    /// - flow: `eps = (x + alpha u) / (alpha + sigma)`
    ///
    /// # Shapes
    /// `x`, `output` and the result: alike, any.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn to_eps(self, x: &HostTensor, output: &HostTensor, level: Level) -> HostTensor {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => output.clone(),
            Self::Sample => eps_from_x0(x, output, level),
            Self::VPrediction => {
                let power = alpha * alpha + sigma * sigma;
                x.lincomb(sigma / power, output, alpha / power)
            }
            Self::Flow => x.lincomb((alpha + sigma).recip(), output, alpha / (alpha + sigma)),
        }
    }

    /// What a network of this type answers to `x` when it means `x0`: the inverse of [`Self::to_x0`].
    ///
    /// With `eps = (x - alpha x0) / sigma`: v is `(alpha x - (alpha^2 + sigma^2) x0) / sigma`, flow is
    /// `(x - (alpha + sigma) x0) / sigma`.
    ///
    /// # Shapes
    /// `x`, `x0` and the result: alike, any.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn from_x0(self, x: &HostTensor, x0: &HostTensor, level: Level) -> HostTensor {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => eps_from_x0(x, x0, level),
            Self::Sample => x0.clone(),
            Self::VPrediction => x.lincomb(alpha / sigma, x0, -(alpha * alpha + sigma * sigma) / sigma),
            Self::Flow => x.lincomb(sigma.recip(), x0, -(alpha + sigma) / sigma),
        }
    }

    /// What a network of this type should answer at `alpha x0 + sigma eps`; finite at every level.
    ///
    /// # Shapes
    /// `x0`, `eps` and the result: alike, any.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn from_parts(self, x0: &HostTensor, eps: &HostTensor, level: Level) -> HostTensor {
        match self {
            Self::Epsilon => eps.clone(),
            Self::Sample => x0.clone(),
            Self::VPrediction => eps.lincomb(level.alpha, x0, -level.sigma),
            Self::Flow => eps.lincomb(1.0, x0, -1.0),
        }
    }

    /// `|d x0 / d output|`: how far an error of the answer carries into the clean sample.
    pub fn x0_sensitivity(self, level: Level) -> f64 {
        self.sensitivity(Self::Sample, level)
    }

    /// `|d other / d output|` for one sample: how far an error of this answer carries into another that is made of it. Infinite where
    /// the other does not follow from this one: from `eps` at pure noise, from `x0` at clean data.
    ///
    /// All answers are affine in `x0`, `d output = -slope / sigma d x0`, with the slopes `alpha` (epsilon), `sigma` (sample, but for the
    /// sign), `alpha^2 + sigma^2` (v) and `alpha + sigma` (flow); hence it is the ratio of two slopes.
    pub fn sensitivity(self, other: Self, level: Level) -> f64 {
        if self == other { 1.0 } else { other.slope(level) / self.slope(level) }
    }

    fn slope(self, level: Level) -> f64 {
        let Level { alpha, sigma } = level;
        match self {
            Self::Epsilon => alpha,
            Self::Sample => sigma,
            Self::VPrediction => alpha * alpha + sigma * sigma,
            Self::Flow => alpha + sigma,
        }
    }

    /// The answer of a network of the type `other` that says the same about `x`, by way of the clean sample and the noise.
    ///
    /// # Shapes
    /// `x`, `output` and the result: alike, any.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn convert(self, other: Self, x: &HostTensor, output: &HostTensor, level: Level) -> HostTensor {
        match other {
            _ if self == other => output.clone(),
            Self::Sample => self.to_x0(x, output, level),
            Self::Epsilon => self.to_eps(x, output, level),
            Self::VPrediction | Self::Flow => other.from_parts(&self.to_x0(x, output, level), &self.to_eps(x, output, level), level),
        }
    }
}

/// The noise that is left when `x0` is taken out of `x`: `(x - alpha x0) / sigma`.
///
/// # Shapes
/// `x`, `x0` and the result: alike, any.
///
/// # Panics
/// When the shapes differ.
pub fn eps_from_x0(x: &HostTensor, x0: &HostTensor, level: Level) -> HostTensor {
    x.lincomb(level.sigma.recip(), x0, -level.alpha / level.sigma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, gaussian};

    #[test]
    fn errors_carry_over_as_the_sensitivity_says() {
        let [x0, eps, error] = [1, 2, 3].map(|seed| gaussian(seed, Stream::Eval, [64]));
        for level in [Level::from_alpha_bar(0.9), Level::from_alpha_bar(0.02), Level { alpha: 0.3, sigma: 0.7 }] {
            let x = level.add_noise(&x0, &eps);
            for from in PredictionType::ALL {
                let said = from.from_parts(&x0, &eps, level);
                let wrong = from.to_x0(&x, &said.lincomb(1.0, &error, 0.1), level);
                for to in PredictionType::ALL {
                    let truth = to.from_parts(&x0, &eps, level);
                    let off = to.from_x0(&x, &wrong, level).lincomb(1.0, &truth, -1.0).norm() / (0.1 * error.norm());
                    let gain = from.sensitivity(to, level);
                    assert!((off - gain).abs() < 2e-4 * gain.max(1.0), "{from:?} to {to:?} at {level:?}: {off} against {gain}");
                }
            }
        }
        assert!(PredictionType::Epsilon.sensitivity(PredictionType::Sample, Level { alpha: 0.0, sigma: 1.0 }).is_infinite());
    }
}
