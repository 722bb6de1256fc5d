//! How noisy a sample is: `x_t = alpha x0 + sigma eps`.
//!
//! Two numbers instead of one keep every convention finite: variance-preserving (`alpha^2 + sigma^2 = 1`, Ho et al. 2020,
//! arXiv 2006.11239, eq. 4), flow (`alpha + sigma = 1`, Lipman et al. 2022, arXiv 2210.02747), clean data and pure noise.

use crate::host::HostTensor;

/// A noise level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Coefficient of the data, `sqrt(alpha_bar)` where variance is preserved.
    pub alpha: f64,
    /// Coefficient of unit Gaussian noise, `sqrt(1 - alpha_bar)` where variance is preserved.
    pub sigma: f64,
}

impl Level {
    /// Clean data.
    pub const CLEAN: Self = Self { alpha: 1.0, sigma: 0.0 };

    /// The variance-preserving level with `alpha_bar = alpha^2`.
    ///
    /// # Panics
    /// When `alpha_bar` is outside of 0..=1.
    pub fn from_alpha_bar(alpha_bar: f64) -> Self {
        assert!((0.0..=1.0).contains(&alpha_bar), "alpha_bar is {alpha_bar}, but it lies between 0 and 1");
        Self { alpha: alpha_bar.sqrt(), sigma: (1.0 - alpha_bar).sqrt() }
    }

    /// The variance-preserving level with `log(alpha^2 / sigma^2) = log_snr`; both infinities are allowed.
    pub fn from_log_snr(log_snr: f64) -> Self {
        Self { alpha: (1.0 + (-log_snr).exp()).recip().sqrt(), sigma: (1.0 + log_snr.exp()).recip().sqrt() }
    }

    /// The variance-preserving level with `sigma / alpha = ratio`, the sigma of Karras et al. 2022 (arXiv 2206.00364).
    ///
    /// # Panics
    /// When `ratio` is negative or not finite.
    pub fn from_sigma_ratio(ratio: f64) -> Self {
        assert!(ratio >= 0.0 && ratio.is_finite(), "sigma / alpha is {ratio}, but it is finite and not negative");
        let alpha = ratio.mul_add(ratio, 1.0).sqrt().recip();
        Self { alpha, sigma: ratio * alpha }
    }

    /// The variance-preserving level with `sigma / (alpha + sigma) = time`, the inverse of [`Self::flow_time`].
    ///
    /// # Panics
    /// When `time` is outside of 0..=1.
    pub fn from_flow_time(time: f64) -> Self {
        assert!((0.0..=1.0).contains(&time), "flow time is {time}, but it lies between 0 and 1");
        let length = (1.0 - time).hypot(time);
        Self { alpha: (1.0 - time) / length, sigma: time / length }
    }

    /// `alpha^2 / (alpha^2 + sigma^2)`, which is `alpha^2` where variance is preserved. In 0..=1.
    pub fn alpha_bar(self) -> f64 {
        let (signal, noise) = (self.alpha * self.alpha, self.sigma * self.sigma);
        signal / (signal + noise)
    }

    /// Signal-to-noise ratio `alpha^2 / sigma^2`; infinite for clean data.
    pub fn snr(self) -> f64 {
        (self.alpha / self.sigma).powi(2)
    }

    /// Natural logarithm of [`Self::snr`].
    pub fn log_snr(self) -> f64 {
        2.0 * (self.alpha.ln() - self.sigma.ln())
    }

    /// `sigma / alpha`: the noise level in sigma-space, where a sample is `x0 + (sigma / alpha) eps`. Infinite for pure noise.
    pub fn sigma_ratio(self) -> f64 {
        self.sigma / self.alpha
    }

    /// `sigma / (alpha + sigma)`: the time of a flow with the same signal-to-noise ratio. In 0..=1.
    pub fn flow_time(self) -> f64 {
        self.sigma / (self.alpha + self.sigma)
    }

    /// The forward process in closed form: `alpha x0 + sigma eps`.
    ///
    /// # Shapes
    /// `x0`, `eps` and the result: alike, any.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn add_noise(self, x0: &HostTensor, eps: &HostTensor) -> HostTensor {
        x0.lincomb(self.alpha, eps, self.sigma)
    }
}
