//! What all samplers share: asking the denoiser, checking what comes, reporting each step.

use super::{Denoise, Outcome, SampleError, SampleOptions, Step, Supports};
use crate::diffusion::level::Level;
use crate::diffusion::plan::Visit;
use crate::host::HostTensor;
use std::ops::ControlFlow;

/// Why a sampler's function returns before its end.
pub(super) enum Stop {
    Cancelled,
    Failed(SampleError),
}

impl From<SampleError> for Stop {
    fn from(error: SampleError) -> Self {
        Self::Failed(error)
    }
}

/// A run under way.
pub(super) struct Run<'a> {
    pub options: &'a SampleOptions,
    /// The present sample.
    pub x: HostTensor,
    denoise: &'a mut dyn Denoise,
    visits: &'a [Visit],
    last: Level,
    noise: &'a mut dyn FnMut(&[usize]) -> HostTensor,
    on_step: &'a mut dyn FnMut(&Step<'_>) -> ControlFlow<()>,
    steps: usize,
}

impl<'a> Run<'a> {
    #[expect(clippy::too_many_arguments, reason = "as `sample_with`, which it is the beginning of")]
    pub fn new(
        options: &'a SampleOptions,
        supports: Supports,
        denoise: &'a mut dyn Denoise,
        visits: &'a [Visit],
        last: Level,
        x_start: &HostTensor,
        noise: &'a mut dyn FnMut(&[usize]) -> HostTensor,
        on_step: &'a mut dyn FnMut(&Step<'_>) -> ControlFlow<()>,
    ) -> Result<Self, SampleError> {
        options.check()?;
        let run = Self { options, x: x_start.clone(), denoise, visits, last, noise, on_step, steps: 0 };
        run.check_levels(supports)?;
        if !x_start.is_finite() {
            return Err(run.not_finite(0, "the starting sample"));
        }
        Ok(run)
    }

    fn check_levels(&self, supports: Supports) -> Result<(), SampleError> {
        if self.visits.is_empty() {
            return Err(SampleError::NoVisits);
        }
        for index in 0..self.count() {
            let (Level { alpha, sigma }, next) = self.levels(index);
            let wrong = |problem| Err(SampleError::Level { index, count: self.count(), alpha, sigma, problem });
            if !(alpha >= 0.0 && alpha.is_finite() && sigma > 0.0 && sigma.is_finite()) {
                return wrong("a visited level holds noise, and its coefficients are finite and not negative");
            }
            if !supports.flow_levels && (alpha.hypot(sigma) - 1.0).abs() > 1e-6 {
                return wrong("this sampler needs levels that preserve variance");
            }
            if !(next.alpha > 0.0 && next.sigma >= 0.0 && next.sigma_ratio() < sigma / alpha) {
                return wrong("levels become cleaner from visit to visit");
            }
        }
        Ok(())
    }

    /// Steps to take.
    pub fn count(&self) -> usize {
        self.visits.len()
    }

    /// The level visited at step `index`, and the one where the step arrives.
    pub fn levels(&self, index: usize) -> (Level, Level) {
        (self.visits[index].level, self.visits.get(index + 1).map_or(self.last, |visit| visit.level))
    }

    /// [`Self::levels`] for samplers in sigma-space, which cannot start from pure noise.
    pub fn signal_levels(&self, index: usize) -> Result<(Level, Level), Stop> {
        let (level, next) = self.levels(index);
        if level.alpha > 0.0 {
            return Ok((level, next));
        }
        let (Level { alpha, sigma }, count) = (level, self.count());
        let problem = "this sampler works in sigma-space, where pure noise has no finite level";
        Err(SampleError::Level { index, count, alpha, sigma, problem }.into())
    }

    /// The timestep visited at step `index`.
    pub fn timestep(&self, index: usize) -> f64 {
        self.visits[index].timestep
    }

    /// Asks for the clean sample in the present one.
    pub fn denoise(&mut self, index: usize) -> Result<HostTensor, Stop> {
        let x = self.x.clone();
        self.denoise_at(index, &x, self.visits[index].level)
    }

    /// Asks for the clean sample in `x` at a level, in step `index`.
    pub fn denoise_at(&mut self, index: usize, x: &HostTensor, level: Level) -> Result<HostTensor, Stop> {
        let (timestep, count) = (self.timestep(index), self.count());
        let x0 = self.denoise.denoise(x, level).map_err(|source| SampleError::Denoise { index, count, timestep, source })?;
        self.check_shape(index, &x0, "the predicted clean sample")?;
        if x0.is_finite() { Ok(x0) } else { Err(self.not_finite(index, "the predicted clean sample").into()) }
    }

    /// `x0` clamped where the options ask for it.
    pub fn clip(&self, x0: &HostTensor) -> HostTensor {
        self.options.clip_sample_range.map_or_else(|| x0.clone(), |range| x0.map(|v| f64::from(v).clamp(-range, range) as f32))
    }

    /// Fresh unit Gaussian noise for step `index`.
    pub fn draw(&mut self, index: usize) -> Result<HostTensor, Stop> {
        let noise = (self.noise)(self.x.shape());
        self.check_shape(index, &noise, "the fresh noise")?;
        Ok(noise)
    }

    /// Ends step `index`: reports it and makes `x_next` the present sample.
    pub fn advance(&mut self, index: usize, x0: &HostTensor, x_next: HostTensor) -> Result<(), Stop> {
        if !x_next.is_finite() {
            return Err(self.not_finite(index, "the sample after the step").into());
        }
        let (level, next_level) = self.levels(index);
        let timestep = self.visits[index].timestep;
        let flow = (self.on_step)(&Step { index, count: self.visits.len(), timestep, level, next_level, x: &self.x, x0, x_next: &x_next });
        self.x = x_next;
        self.steps += 1;
        match flow {
            // Breaking after the last step changes nothing.
            ControlFlow::Break(()) if self.steps < self.count() => Err(Stop::Cancelled),
            _ => Ok(()),
        }
    }

    pub fn outcome(self, cancelled: bool) -> Outcome {
        Outcome { x: self.x, steps: self.steps, cancelled }
    }

    fn check_shape(&self, index: usize, tensor: &HostTensor, what: &'static str) -> Result<(), SampleError> {
        let (expected, got) = (self.x.shape().to_vec(), tensor.shape().to_vec());
        if got == expected { Ok(()) } else { Err(SampleError::Shape { index, count: self.count(), what, expected, got }) }
    }

    fn not_finite(&self, index: usize, what: &'static str) -> SampleError {
        SampleError::NotFinite { index, count: self.count(), timestep: self.visits[index].timestep, what }
    }
}
