//! Seeded Gaussian noise: the same seed gives the same noise on every run, device and platform.
//!
//! ChaCha8 (D. J. Bernstein 2008) is counter-based and value-stable, so a stream is a function of
//! `(seed, stream)` alone. Normal deviates come from `rand_distr::StandardNormal` (ziggurat,
//! Marsaglia and Tsang 2000), which uses the generator's bits and table look-ups only.

use crate::host::{HostTensor, Shape};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What the noise is for. Each use draws from a stream of its own, so that asking for more of one never shifts another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Stream {
    /// The starting latents of a reverse run.
    Start = 0,
    /// The fresh noise of stochastic samplers, one draw per step.
    Steps = 1,
    /// The noise that the forward process adds.
    Forward = 2,
    /// Training: timesteps, noise, caption choice.
    Train = 3,
    /// Initial weights.
    Init = 4,
    /// Scenes.
    World = 5,
    /// Evaluation.
    Eval = 6,
    /// Pictures that are not scenes.
    Generic = 7,
}

/// A portable generator for `seed` and `stream`.
pub fn rng(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream as u64);
    rng
}

/// Unit Gaussian noise of `shape` from `(seed, stream)`.
pub fn gaussian(seed: u64, stream: Stream, shape: impl Into<Shape>) -> HostTensor {
    gaussian_from(&mut rng(seed, stream), shape)
}

/// The next unit Gaussian noise of `shape` from `rng`.
pub fn gaussian_from(rng: &mut ChaCha8Rng, shape: impl Into<Shape>) -> HostTensor {
    HostTensor::from_fn(shape, |_| StandardNormal.sample(rng))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_noise_and_streams_differ() {
        let a = gaussian(7, Stream::Start, [4, 16]);
        assert_eq!(a, gaussian(7, Stream::Start, [4, 16]));
        assert_ne!(a, gaussian(7, Stream::Steps, [4, 16]));
        assert_ne!(a, gaussian(8, Stream::Start, [4, 16]));
    }

    #[test]
    fn a_longer_draw_begins_with_the_shorter_one() {
        let (a, b) = (gaussian(3, Stream::Start, [8]), gaussian(3, Stream::Start, [64]));
        assert_eq!(a.data(), &b.data()[..8]);
    }

    #[test]
    fn moments_are_those_of_a_unit_gaussian() {
        let x = gaussian(1, Stream::Forward, [200_000]);
        let n = x.len() as f64;
        let mean = x.data().iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let var = x.norm().powi(2) / n - mean * mean;
        assert!(mean.abs() < 0.01, "mean {mean}");
        assert!((var - 1.0).abs() < 0.02, "variance {var}");
    }
}
