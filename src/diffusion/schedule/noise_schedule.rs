//! A schedule made concrete: beta and alpha_bar of every training timestep.

use crate::diffusion::level::Level;
use std::sync::Arc;

/// The largest number of training timesteps that is accepted.
pub const MAX_TRAIN_TIMESTEPS: usize = 1_000_000;

/// A schedule that cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// No training timesteps, or absurdly many.
    #[error("{0} training timesteps were asked for; between 1 and {MAX_TRAIN_TIMESTEPS} are possible")]
    Length(usize),
    /// Zero terminal SNR with nothing to rescale.
    #[error("a schedule of one training timestep cannot be rescaled to zero terminal SNR")]
    SingleTimestep,
    /// A variance out of range.
    #[error("beta at timestep {timestep} is {beta}, but it lies above 0 and below 1 (1 itself only at the last timestep)")]
    Beta {
        /// Where, from 0.
        timestep: usize,
        /// The value.
        beta: f64,
    },
    /// Points of a curve that is none.
    #[error("the curve cannot be drawn at point {point}: {problem}")]
    Curve {
        /// Which, from 0.
        point: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A cumulative product out of range or out of order.
    #[error("alpha_bar at timestep {timestep} is {alpha_bar}, but it falls from timestep to timestep, within 0 to 1")]
    AlphaBar {
        /// Where, from 0.
        timestep: usize,
        /// The value.
        alpha_bar: f64,
    },
}

/// Beta and `alpha_bar = prod (1 - beta)` of every training timestep (Ho et al. 2020, arXiv 2006.11239, eq. 4), in f64.
/// Index 0 is the first noisy timestep. Cloning shares the data.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    betas: Arc<[f64]>,
    alphas_cumprod: Arc<[f64]>,
}

impl NoiseSchedule {
    /// The schedule that adds variance `betas[i]` at timestep `i`.
    ///
    /// # Errors
    /// [`ScheduleError`] when there is none, too many, or one is out of range.
    pub fn from_betas(betas: impl Into<Arc<[f64]>>) -> Result<Self, ScheduleError> {
        let betas = betas.into();
        if betas.is_empty() || betas.len() > MAX_TRAIN_TIMESTEPS {
            return Err(ScheduleError::Length(betas.len()));
        }
        for (timestep, &beta) in betas.iter().enumerate() {
            let last = timestep + 1 == betas.len();
            if !(beta > 0.0 && (beta < 1.0 || (last && beta == 1.0))) {
                return Err(ScheduleError::Beta { timestep, beta });
            }
        }
        let product = |product: &mut f64, &beta: &f64| {
            *product *= 1.0 - beta;
            Some(*product)
        };
        let alphas_cumprod: Arc<[f64]> = betas.iter().scan(1.0, product).collect();
        // A product that underflowed, or a beta so small that it changes nothing, leaves the order.
        Self::check_order(&alphas_cumprod)?;
        Ok(Self { betas, alphas_cumprod })
    }

    /// The schedule with these cumulative products, for instance those of a model that is open elsewhere.
    ///
    /// # Errors
    /// [`ScheduleError`] when they do not fall from timestep to timestep within 0 to 1.
    pub fn from_alphas_cumprod(alphas_cumprod: impl Into<Arc<[f64]>>) -> Result<Self, ScheduleError> {
        let alphas_cumprod = alphas_cumprod.into();
        if alphas_cumprod.is_empty() || alphas_cumprod.len() > MAX_TRAIN_TIMESTEPS {
            return Err(ScheduleError::Length(alphas_cumprod.len()));
        }
        Self::check_order(&alphas_cumprod)?;
        let ratio = |previous: &mut f64, &alpha_bar: &f64| Some(1.0 - alpha_bar / std::mem::replace(previous, alpha_bar));
        Ok(Self { betas: alphas_cumprod.iter().scan(1.0, ratio).collect(), alphas_cumprod })
    }

    /// The schedule whose timestep `i` has `log_snr((i + 1) / num_train_timesteps)`.
    ///
    /// # Errors
    /// [`ScheduleError`] when there are no timesteps or too many, or when log-SNR does not fall from timestep to timestep.
    pub fn from_log_snr(log_snr: impl Fn(f64) -> f64, num_train_timesteps: usize) -> Result<Self, ScheduleError> {
        if num_train_timesteps > MAX_TRAIN_TIMESTEPS {
            return Err(ScheduleError::Length(num_train_timesteps));
        }
        let time = |timestep: usize| (timestep + 1) as f64 / num_train_timesteps as f64;
        let alpha_bar = |timestep| (1.0 + (-log_snr(time(timestep))).exp()).recip();
        Self::from_alphas_cumprod((0..num_train_timesteps).map(alpha_bar).collect::<Vec<f64>>())
    }

    fn check_order(alphas_cumprod: &[f64]) -> Result<(), ScheduleError> {
        let mut previous = 1.0;
        for (timestep, &alpha_bar) in alphas_cumprod.iter().enumerate() {
            if !(alpha_bar < previous && alpha_bar >= 0.0) {
                return Err(ScheduleError::AlphaBar { timestep, alpha_bar });
            }
            previous = alpha_bar;
        }
        Ok(())
    }

    /// Variance added at each timestep.
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// `alpha_bar` at each timestep, falling.
    pub fn alphas_cumprod(&self) -> &[f64] {
        &self.alphas_cumprod
    }

    /// `sqrt(1 - alpha_bar)` at each timestep, rising.
    pub fn sigmas(&self) -> impl Iterator<Item = f64> + '_ {
        self.alphas_cumprod.iter().map(|alpha_bar| (1.0 - alpha_bar).sqrt())
    }

    /// Signal-to-noise ratio `alpha_bar / (1 - alpha_bar)` at each timestep, falling.
    pub fn snrs(&self) -> impl Iterator<Item = f64> + '_ {
        self.alphas_cumprod.iter().map(|alpha_bar| alpha_bar / (1.0 - alpha_bar))
    }

    /// Number of training timesteps, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a schedule is never empty")]
    pub fn len(&self) -> usize {
        self.betas.len()
    }

    /// The first `count` timesteps of this schedule alone, as if it ended there.
    ///
    /// # Panics
    /// When `count` is 0 or more than [`Self::len`].
    pub fn truncated(&self, count: usize) -> Self {
        assert!((1..=self.len()).contains(&count), "a schedule of {} timesteps has no first {count}", self.len());
        Self { betas: self.betas[..count].into(), alphas_cumprod: self.alphas_cumprod[..count].into() }
    }

    /// The level at a timestep.
    ///
    /// # Panics
    /// When `timestep` is not below [`Self::len`].
    pub fn level(&self, timestep: usize) -> Level {
        Level::from_alpha_bar(self.alphas_cumprod[timestep])
    }

    /// The level between two timesteps, log-SNR interpolated linearly; beyond the ends, the level at the end. NaN stays NaN.
    ///
    /// Towards a terminal level without any signal, where log-SNR has no end, alpha is interpolated instead.
    pub fn level_at(&self, timestep: f64) -> Level {
        if timestep.is_nan() {
            return Level { alpha: f64::NAN, sigma: f64::NAN };
        }
        let timestep = timestep.clamp(0.0, (self.len() - 1) as f64);
        let (below, weight) = (timestep.floor() as usize, timestep.fract());
        if weight == 0.0 {
            return self.level(below);
        }
        let (from, to) = (self.level(below), self.level(below + 1));
        if to.alpha > 0.0 {
            Level::from_log_snr((1.0 - weight) * from.log_snr() + weight * to.log_snr())
        } else {
            Level::from_alpha_bar(((1.0 - weight) * from.alpha).powi(2))
        }
    }

    /// The timestep with that level, fractional between two: the inverse of [`Self::level_at`]. Levels beyond the ends give the
    /// ends, NaN stays NaN; within 1e-6 of a whole timestep it is that timestep exactly.
    pub fn timestep_of(&self, level: Level) -> f64 {
        let alpha_bar = level.alpha_bar();
        if alpha_bar.is_nan() {
            return alpha_bar;
        }
        // The first timestep that is at least as noisy.
        let above = self.alphas_cumprod.partition_point(|&here| here > alpha_bar);
        if above == 0 || above == self.len() {
            return above.min(self.len() - 1) as f64;
        }
        let (from, to) = (self.level(above - 1), self.level(above));
        let weight = if to.alpha > 0.0 {
            (from.log_snr() - level.log_snr()) / (from.log_snr() - to.log_snr())
        } else {
            1.0 - alpha_bar.sqrt() / from.alpha
        };
        let timestep = (above - 1) as f64 + weight.clamp(0.0, 1.0);
        if (timestep - timestep.round()).abs() < 1e-6 { timestep.round() } else { timestep }
    }

    /// The same schedule as it is where everything is kept in single precision: betas, `1 - beta` and every product rounded to f32, as
    /// in the diffusers library. What differs is what a comparison with such a program can differ by.
    ///
    /// # Errors
    /// [`ScheduleError`] when neighbouring timesteps become the same by that.
    pub fn in_single_precision(&self) -> Result<Self, ScheduleError> {
        let betas: Arc<[f64]> = self.betas.iter().map(|beta| f64::from(*beta as f32)).collect();
        let product = |product: &mut f32, beta: &f64| {
            *product *= 1.0 - *beta as f32;
            Some(f64::from(*product))
        };
        let alphas_cumprod: Arc<[f64]> = betas.iter().scan(1.0_f32, product).collect();
        Self::check_order(&alphas_cumprod)?;
        Ok(Self { betas, alphas_cumprod })
    }

    /// The same schedule shifted and stretched so that the last timestep holds no signal at all, while the first stays
    /// (Lin et al. 2023, arXiv 2305.08891, algorithm 1): linear in `sqrt(alpha_bar)`.
    ///
    /// # Errors
    /// [`ScheduleError`] when there is a single timestep, which cannot both stay and lose its signal, or when neighbouring
    /// timesteps hold too little signal to tell apart.
    pub fn rescaled_zero_terminal_snr(&self) -> Result<Self, ScheduleError> {
        let roots: Vec<f64> = self.alphas_cumprod.iter().map(|alpha_bar| alpha_bar.sqrt()).collect();
        let (first, last) = (roots[0], roots[roots.len() - 1]);
        if roots.len() == 1 {
            return Err(ScheduleError::SingleTimestep);
        }
        let scale = first / (first - last);
        Self::from_alphas_cumprod(roots.iter().map(|root| ((root - last) * scale).powi(2)).collect::<Vec<f64>>())
    }
}
