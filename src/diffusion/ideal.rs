//! Denoisers that are exact because the data is known: lesson, lab and oracle for tests.
//!
//! The best answer in squared error is the posterior mean `E[x0 | x]` (Karras et al. 2022, arXiv 2206.00364, appendix B.3).

use crate::diffusion::level::Level;
use crate::diffusion::sampler::{Denoise, DenoiseError};
use crate::host::HostTensor;

/// The exact denoiser for independent Gaussian data, `x0 ~ N(mean, std^2)` per element:
/// `x0 = mean + std^2 alpha / (std^2 alpha^2 + sigma^2) (x - alpha mean)`.
#[derive(Debug, Clone)]
pub struct GaussianData {
    /// Mean of each element.
    pub mean: HostTensor,
    /// Standard deviation of each element, not negative; alike in shape.
    pub std: HostTensor,
}

impl Denoise for GaussianData {
    fn denoise(&mut self, x: &HostTensor, level: Level) -> Result<HostTensor, DenoiseError> {
        if x.shape() != self.mean.shape() || x.shape() != self.std.shape() {
            return Err(format!("the data has shape {:?}, but the sample has {:?}", self.mean.shape(), x.shape()).into());
        }
        let Level { alpha, sigma } = level;
        Ok(HostTensor::from_fn(x.shape(), |i| {
            let (x, mean, std) = (f64::from(x.data()[i]), f64::from(self.mean.data()[i]), f64::from(self.std.data()[i]));
            let variance = std * std;
            let spread = variance * alpha * alpha + sigma * sigma;
            let gain = if spread > 0.0 { variance * alpha / spread } else { 0.0 };
            gain.mul_add(x - alpha * mean, mean) as f32
        }))
    }
}

/// The exact denoiser for data that is one of finitely many points, all equally likely: the average of the points, each
/// weighted by how likely it is to have become `x`.
#[derive(Debug, Clone)]
pub struct PointData {
    points: Vec<HostTensor>,
}

impl PointData {
    /// Data that consists of `points`.
    ///
    /// # Errors
    /// [`DenoiseError`] when there is no point or their shapes differ.
    pub fn new(points: Vec<HostTensor>) -> Result<Self, DenoiseError> {
        match points.as_slice() {
            [] => Err("at least one point is needed".to_owned().into()),
            [first, rest @ ..] if rest.iter().all(|point| point.shape() == first.shape()) => Ok(Self { points }),
            _ => Err("all points need the same shape".to_owned().into()),
        }
    }

    /// The points.
    pub fn points(&self) -> &[HostTensor] {
        &self.points
    }

    /// Posterior probability of each point given `x`: `softmax(-||x - alpha point||^2 / (2 sigma^2))`. They sum to 1.
    /// Clean samples belong to the nearest point.
    ///
    /// # Panics
    /// When `x` has another number of values than the points.
    pub fn posterior(&self, x: &HostTensor, level: Level) -> Vec<f64> {
        let Level { alpha, sigma } = level;
        let distances: Vec<f64> = self
            .points
            .iter()
            .map(|point| {
                assert_eq!(point.len(), x.len(), "a sample and the data have different lengths");
                x.data().iter().zip(point.data()).map(|(&x, &p)| (f64::from(x) - alpha * f64::from(p)).powi(2)).sum()
            })
            .collect();
        let nearest = distances.iter().copied().fold(f64::INFINITY, f64::min);
        let weight = |distance: f64| if distance == nearest { 1.0 } else { (-(distance - nearest) / (2.0 * sigma * sigma)).exp() };
        let weights: Vec<f64> = distances.into_iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / total).collect()
    }
}

impl Denoise for PointData {
    fn denoise(&mut self, x: &HostTensor, level: Level) -> Result<HostTensor, DenoiseError> {
        let shape = self.points[0].shape();
        if x.shape() != shape {
            return Err(format!("the data has shape {shape:?}, but the sample has {:?}", x.shape()).into());
        }
        let posterior = self.posterior(x, level);
        let mean = |i: usize| posterior.iter().zip(&self.points).map(|(weight, point)| weight * f64::from(point.data()[i])).sum::<f64>();
        Ok(HostTensor::from_fn(shape, |i| mean(i) as f32))
    }
}
