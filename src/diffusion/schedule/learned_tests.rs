//! Learning a schedule for a denoiser whose losses are known in closed form.
//!
//! For Gaussian data of deviation `s` the exact denoiser's noise is off by a Gaussian of variance
//! `m(gamma) = s^2 alpha^2 / (s^2 alpha^2 + sigma^2)` per element, so over `n` elements `E loss = m` and `E loss^2 = m^2 (1 + 2 / n)`.
//! The least mean square of the estimate has `gamma' ~ 1 / m`: it is `(1 + 2 / n) (1/2 integral m dgamma)^2`, since Cauchy and Schwarz
//! allow no less.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::*;
use crate::diffusion::ideal::GaussianData;
use crate::diffusion::level::Level;
use crate::diffusion::objective::eps_loss;
use crate::diffusion::sampler::Denoise;
use crate::diffusion::schedule::{ScheduleInfo, Stretch};
use crate::host::HostTensor;
use crate::noise::{Stream, gaussian_from, rng};
use rand::RngExt;
use std::sync::OnceLock;

const ENDS: [f64; 2] = [-6.0, 6.0];
const ELEMENTS: usize = 8;
const STD: f64 = 0.5;

/// Measures losses of the exact denoiser at evenly drawn times of a schedule, given as gamma and its slope at a time.
fn measure(schedule: impl Fn(f64) -> (f64, f64), count: usize, seed: u64) -> Vec<LossSample> {
    let mut draws = rng(seed, Stream::Train);
    let mut data = GaussianData { mean: HostTensor::full([ELEMENTS], 0.3), std: HostTensor::full([ELEMENTS], STD as f32) };
    (0..count)
        .map(|_| {
            let (gamma, slope) = schedule(draws.random());
            let level = Level::from_log_snr(-gamma);
            let x0 = gaussian_from(&mut draws, [ELEMENTS]).map(|z| 0.3 + STD as f32 * z);
            let eps = gaussian_from(&mut draws, [ELEMENTS]);
            let denoised = data.denoise(&level.add_noise(&x0, &eps), level).unwrap();
            LossSample { gamma, density: slope.recip(), loss: eps_loss(&x0, &denoised, level) }
        })
        .collect()
}

fn along(network: &MonotoneNetwork) -> impl Fn(f64) -> (f64, f64) + '_ {
    let ready = network.ready();
    move |time| {
        let here = ready.at(time);
        (here.value, here.slope)
    }
}

fn m(gamma: f64) -> f64 {
    let Level { alpha, sigma } = Level::from_log_snr(-gamma);
    (STD * alpha).powi(2) / ((STD * alpha).powi(2) + sigma * sigma)
}

/// The integral over gamma from end to end, by the midpoint rule.
fn integral(f: impl Fn(f64) -> f64) -> f64 {
    let count = 20_000;
    let width = (ENDS[1] - ENDS[0]) / f64::from(count);
    (0..count).map(|i| f(ENDS[0] + (f64::from(i) + 0.5) * width) * width).sum()
}

/// The exact mean square of the estimate for a schedule with such a slope at gamma.
fn exact_square(slope: impl Fn(f64) -> f64) -> f64 {
    (1.0 + 2.0 / ELEMENTS as f64) * integral(|gamma| 0.25 * slope(gamma) * m(gamma).powi(2))
}

/// A fit to 20,000 losses, made once.
fn learned() -> &'static (Vec<LossSample>, ScheduleFit) {
    static LEARNED: OnceLock<(Vec<LossSample>, ScheduleFit)> = OnceLock::new();
    LEARNED.get_or_init(fit)
}

fn fit() -> (Vec<LossSample>, ScheduleFit) {
    let mut fit = ScheduleFit::new(MonotoneNetwork::straight(ENDS[0], ENDS[1], 24), 0.03);
    let samples = measure(along(&fit.network), 20_000, 1);
    for step in 0..600 {
        if step == 400 {
            fit.learning_rate *= 0.1;
        }
        fit.step(&samples[step % 20 * 1000..][..1000]);
    }
    (samples, fit)
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    let network = MonotoneNetwork::straight(ENDS[0], ENDS[1], 4);
    let samples = measure(along(&network), 50, 3);
    let (square, gradient) = mean_square(&network, &samples);
    assert!((square - estimate(&samples, |sample| network.at(network.time_of(sample.gamma)).slope).square()).abs() < 1e-12 * square);
    for (index, expected) in gradient.into_iter().enumerate() {
        let moved = |by: f64| {
            let mut other = network.clone();
            other.params_mut()[index] += by;
            mean_square(&other, &samples).0
        };
        let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((numeric - expected).abs() < 1e-6 * square, "{index}: {expected}, not {numeric}");
    }
}

#[test]
fn the_learned_schedule_is_close_to_the_best_there_is() {
    let (samples, fit) = learned();
    let ready = fit.network.ready();
    let slope = |gamma: f64| ready.at(ready.time_of(gamma)).slope;
    let best = (1.0 + 2.0 / ELEMENTS as f64) * (0.5 * integral(m)).powi(2);
    let (straight, found) = (exact_square(|_| ENDS[1] - ENDS[0]), exact_square(slope));
    println!("mean square: straight {straight:.4}, learned {found:.4}, least possible {best:.4}");
    assert!(found >= best && found < 1.03 * best, "{found}, but {best} is possible");
    assert!(straight > 1.5 * best);
    // The loss itself is that of the closed form for both, as it does not depend on the schedule.
    let known = estimate(samples, |sample| slope(sample.gamma)).mean;
    assert!((known / (0.5 * integral(m)) - 1.0).abs() < 0.05, "{known}");
    // gamma' m is the same wherever there is much to lose.
    let evenness: Vec<f64> = (0..7).map(|i| -5.0 + f64::from(i)).map(|gamma| slope(gamma) * m(gamma)).collect();
    let mean = evenness.iter().sum::<f64>() / 7.0;
    assert!(evenness.iter().all(|value| (value / mean - 1.0).abs() < 0.25), "{evenness:?}");
}

#[test]
fn freshly_measured_losses_vary_less_along_the_learned_schedule() {
    let (_, fit) = learned();
    let cosine = ScheduleInfo::find("squaredcos_cap_v2").unwrap().continuous(&[], 1000);
    let cosine = Stretch::new(cosine, ENDS);
    let along_cosine = |time: f64| cosine.at(time);
    // An estimate from one time, by what was measured there alone.
    let estimates = |samples: &[LossSample]| -> Vec<f64> { samples.iter().map(|s| 0.5 * s.loss / s.density).collect() };
    let variance = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: Vec<f64> = values.iter().map(|value| (value - mean).powi(2)).collect();
        let variance = squares.iter().sum::<f64>() / values.len() as f64;
        let spread = squares.iter().map(|square| (square - variance).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance, (spread / values.len() as f64).sqrt())
    };
    let count = 40_000;
    let straight = variance(&estimates(&measure(along(&MonotoneNetwork::straight(ENDS[0], ENDS[1], 24)), count, 11)));
    let cosine = variance(&estimates(&measure(along_cosine, count, 12)));
    let learned = variance(&estimates(&measure(along(&fit.network), count, 13)));
    println!("mean, variance and its standard error: straight {straight:.4?}, cosine {cosine:.4?}, learned {learned:.4?}");
    for (name, other) in [("straight", straight), ("cosine", cosine)] {
        // Five standard errors of the difference: 99.9999 % confidence, one-sided.
        assert!(other.1 - learned.1 > 5.0 * other.2.hypot(learned.2), "{name}: {other:?}, learned {learned:?}");
        let errors = ((other.1 + learned.1) / count as f64).sqrt();
        assert!((other.0 - learned.0).abs() < 4.5 * errors, "the loss itself differs: {} and {}", other.0, learned.0);
    }
}

#[test]
fn a_learned_schedule_is_one_like_any_other() {
    let (_, fit) = learned();
    let schedule = fit.network.schedule(1000).unwrap();
    assert!((schedule.level(999).log_snr() + ENDS[1]).abs() < 1e-9);
    assert!(schedule.alphas_cumprod().windows(2).all(|pair| pair[1] < pair[0]));
    assert!(fit.network.schedule(0).is_err());
}
