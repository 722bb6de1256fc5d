//! A schedule that is learned: the one along which the loss of a denoiser is known best from few samples.
//!
//! Kingma et al. 2021, arXiv 2107.00630 (minimum variance schedules). In continuous time the loss is
//! `1/2 integral gamma'(time) E |eps - eps_hat|^2 dtime = 1/2 integral E |eps - eps_hat|^2 dgamma`: it depends on the ends of
//! `gamma = -log SNR` alone. What a schedule decides is the variance of its estimate from random times,
//! `l = 1/2 gamma'(time) |eps - eps_hat|^2`. Its mean is fixed, so the least variance is the least mean square,
//! `E l^2 = 1/4 integral gamma' E |eps - eps_hat|^4 dgamma`, and that is what is fitted.
//!
//! Losses are measured at given `gamma`; only how densely time passes there changes with the parameters. The mean square over samples
//! of density `q` in gamma is therefore `1/4 mean(gamma'(time(gamma_i)) loss_i^2 / q_i)`, whose gradient needs none of the denoiser:
//! at fixed gamma, `d gamma' = partial gamma' - gamma'' / gamma' partial gamma`.

use super::monotone_network::MonotoneNetwork;

/// A loss measured once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossSample {
    /// Where: the negative log-SNR.
    pub gamma: f64,
    /// How densely gamma was sampled there: `d time / d gamma` where times are drawn evenly from 0 to 1.
    pub density: f64,
    /// `|eps - eps_hat|^2`, the mean over the elements; see [`crate::diffusion::objective::eps_loss`].
    pub loss: f64,
}

/// What samples say of the estimate of the loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The loss, whatever the schedule.
    pub mean: f64,
    /// The variance of its estimate from one evenly drawn time.
    pub variance: f64,
}

impl Estimate {
    /// The mean square of the estimate.
    pub fn square(&self) -> f64 {
        self.variance + self.mean * self.mean
    }
}

/// The mean and variance of `1/2 slope loss` for times drawn evenly along a schedule whose `d gamma / d time` at each sample is
/// `slope`. Samples may come from another schedule than that.
///
/// # Panics
/// When there are no samples.
pub fn estimate(samples: &[LossSample], slope: impl Fn(&LossSample) -> f64) -> Estimate {
    assert!(!samples.is_empty(), "an estimate from no samples");
    let count = samples.len() as f64;
    let mean = samples.iter().map(|sample| 0.5 * sample.loss / sample.density).sum::<f64>() / count;
    let square = samples.iter().map(|sample| 0.25 * slope(sample) * sample.loss.powi(2) / sample.density).sum::<f64>() / count;
    Estimate { mean, variance: square - mean * mean }
}

/// What an estimate of the loss from one time each came to, along one schedule, and how well that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Losses that it was measured with.
    pub count: usize,
    /// Mean and variance of `1/2 gamma' |eps - eps_hat|^2`.
    pub estimate: Estimate,
    /// Standard error of the variance.
    pub error: f64,
}

impl Spread {
    /// Measured on losses whose times were drawn evenly along the schedule itself.
    ///
    /// # Panics
    /// When there are no samples.
    pub fn of(samples: &[LossSample]) -> Self {
        let count = samples.len();
        let mean_of = |value: &dyn Fn(&LossSample) -> f64| samples.iter().map(value).sum::<f64>() / count as f64;
        // Where the sample was drawn along the schedule, its slope is one over the density.
        let estimate = estimate(samples, |sample| sample.density.recip());
        let square_off = |sample: &LossSample| (0.5 * sample.loss / sample.density - estimate.mean).powi(2);
        let spread = mean_of(&|sample| (square_off(sample) - estimate.variance).powi(2));
        Self { count, estimate, error: (spread / count as f64).sqrt() }
    }
}

/// A network being fitted, by Adam (Kingma and Ba 2014, arXiv 1412.6980) on the logarithm of the mean square, whose step does not
/// depend on how large losses are.
#[derive(Debug, Clone)]
pub struct ScheduleFit {
    /// The schedule so far.
    pub network: MonotoneNetwork,
    /// How far a step goes; lower it towards the end.
    pub learning_rate: f64,
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

impl ScheduleFit {
    /// A fit that begins at a network.
    ///
    /// # Panics
    /// When `learning_rate` is not positive.
    pub fn new(network: MonotoneNetwork, learning_rate: f64) -> Self {
        assert!(learning_rate > 0.0, "the learning rate is {learning_rate}, but it is positive");
        let count = network.params().len();
        Self { network, learning_rate, first: vec![0.0; count], second: vec![0.0; count], steps: 0 }
    }

    /// One step down from these samples; returns the mean square of the estimate before it.
    ///
    /// # Panics
    /// When there are no samples.
    pub fn step(&mut self, samples: &[LossSample]) -> f64 {
        const DECAY: [f64; 2] = [0.9, 0.999];
        let (square, gradient) = mean_square(&self.network, samples);
        self.steps += 1;
        let [first_scale, second_scale] = DECAY.map(|decay| (1.0 - decay.powi(self.steps)).recip());
        for (k, param) in self.network.params_mut().iter_mut().enumerate() {
            let slope = gradient[k] / square;
            self.first[k] = DECAY[0] * self.first[k] + (1.0 - DECAY[0]) * slope;
            self.second[k] = DECAY[1] * self.second[k] + (1.0 - DECAY[1]) * slope * slope;
            *param -= self.learning_rate * self.first[k] * first_scale / ((self.second[k] * second_scale).sqrt() + 1e-8);
        }
        square
    }
}

/// `E l^2` by these samples, and its gradient by the network's stored parameters.
fn mean_square(network: &MonotoneNetwork, samples: &[LossSample]) -> (f64, Vec<f64>) {
    assert!(!samples.is_empty(), "a fit to no samples");
    let (ready, mut square) = (network.ready(), 0.0);
    let terms = samples.iter().map(|sample| {
        let time = ready.time_of(sample.gamma);
        let gamma = ready.at(time);
        let weight = 0.25 * sample.loss.powi(2) / sample.density / samples.len() as f64;
        square += weight * gamma.slope;
        (time, weight, gamma.curvature / gamma.slope)
    });
    let gradient = ready.gradient(terms);
    (square, gradient)
}

#[cfg(test)]
#[path = "learned_tests.rs"]
mod tests;
