//! How the levels of a run are spread between the noisiest and the cleanest one that it visits.
//!
//! A spacing of timesteps ([`crate::diffusion::spacing`]) decides where a run begins and ends; between its ends the levels may be
//! those of the timesteps, or follow a rule of their own.

use crate::diffusion::level::Level;
use crate::diffusion::schedule::flow::{SHIFT, shifted};
use crate::diffusion::schedule::{ParamInfo, karras};

/// A rule for the levels between the ends of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum LevelSpacing {
    /// Those of the visited timesteps.
    #[default]
    Timesteps,
    /// A power of `sigma / alpha` falls evenly (Karras et al. 2022, arXiv 2206.00364, eq. 5).
    Karras {
        /// The power is `1 / rho`.
        rho: f64,
    },
    /// Log-SNR rises evenly, as DPM-Solver recommends (Lu et al. 2022, arXiv 2206.00927).
    LogSnr,
    /// Flow time `sigma / (alpha + sigma)` falls evenly, shifted (Esser et al. 2024, arXiv 2403.03206, eq. 23).
    Flow {
        /// Above 1 more levels lie near noise.
        shift: f64,
    },
}

impl LevelSpacing {
    /// All rules, with the parameters of the papers.
    pub const ALL: [Self; 4] = [Self::Timesteps, Self::Karras { rho: 7.0 }, Self::LogSnr, Self::Flow { shift: 1.0 }];

    /// Name on screen.
    pub fn label(self) -> &'static str {
        match self {
            Self::Timesteps => "Timesteps",
            Self::Karras { .. } => "Karras",
            Self::LogSnr => "Even in log SNR",
            Self::Flow { .. } => "Even in flow time",
        }
    }

    /// Its parameter, where it has one.
    pub fn param(self) -> Option<ParamInfo> {
        match self {
            Self::Timesteps | Self::LogSnr => None,
            Self::Karras { .. } => Some(ParamInfo { id: "rho", label: "Power ρ", default: 7.0, min: 1.0, max: 15.0 }),
            Self::Flow { .. } => Some(SHIFT),
        }
    }

    /// `steps` variance-preserving levels from `noisy` to `clean`, both included; a single one is `noisy`. `None` where the levels
    /// are those of the timesteps, or where the rule has no even spread from `noisy`, which holds no signal: only flow time has.
    pub fn levels(self, noisy: Level, clean: Level, steps: usize) -> Option<Vec<Level>> {
        let share = |index: usize| index as f64 / steps.saturating_sub(1).max(1) as f64;
        let spread = |level: &dyn Fn(f64) -> Level| {
            let at = |index| {
                if index == 0 {
                    noisy
                } else if index + 1 == steps {
                    clean
                } else {
                    level(share(index))
                }
            };
            Some((0..steps).map(at).collect())
        };
        match self {
            Self::Timesteps => None,
            Self::Karras { .. } | Self::LogSnr if noisy.alpha == 0.0 => None,
            Self::Karras { rho } => {
                let (max, min) = (noisy.sigma_ratio(), clean.sigma_ratio());
                spread(&|share| Level::from_sigma_ratio(karras::sigma(min, max, rho, 1.0 - share)))
            }
            Self::LogSnr => {
                let (from, to) = (noisy.log_snr(), clean.log_snr());
                spread(&|share| Level::from_log_snr(from + share * (to - from)))
            }
            Self::Flow { shift } => {
                // The ends are given, so what is even is the time before the shift.
                let (from, to) = (shifted(shift.recip(), noisy.flow_time()), shifted(shift.recip(), clean.flow_time()));
                spread(&|share| Level::from_flow_time(shifted(shift, from + share * (to - from))))
            }
        }
    }
}
