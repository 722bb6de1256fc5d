//! Learning a schedule for an open model, whose networks stay as they are: losses measured along the schedule so far bend it further.

use super::{Pipeline, PipelineError};
use crate::diffusion::schedule::MonotoneNetwork;
use crate::diffusion::schedule::learned::{LossSample, ScheduleFit};
use crate::diffusion::{Level, NoiseSchedule};
use crate::host::HostTensor;
use crate::noise::{Stream, gaussian_from, rng};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Hidden units of the network.
const HIDDEN: usize = 24;
/// How far a step of the fit goes at first.
const LEARNING_RATE: f64 = 0.03;
/// Losses that are remembered.
const MEMORY: usize = 8192;
/// Losses in a step of the fit.
const BATCH: usize = 512;
/// Where learning ends at the noisy end, whatever the schedule does beyond: `alpha_bar = 4.5e-5`, as the linear schedule ends.
const NOISIEST_GAMMA: f64 = 10.0;

/// A picture to measure losses on.
#[derive(Debug, Clone)]
pub struct LossExample {
    /// Scaled clean latents `[1, C, h, w]`.
    pub latents: HostTensor,
    /// The text embedding of its caption `[1, L, D]`.
    pub text: HostTensor,
}

/// A schedule being learned.
#[derive(Debug, Clone)]
pub struct ScheduleLearner {
    /// The network and its optimizer.
    pub fit: ScheduleFit,
    /// What was measured, the oldest first.
    samples: Vec<LossSample>,
    draws: ChaCha8Rng,
}

impl ScheduleLearner {
    /// Learning for a model with this schedule, whose ends stay, from a straight line between them.
    pub fn new(schedule: &NoiseSchedule, seed: u64) -> Self {
        let gamma = |timestep: usize| -schedule.level(timestep).log_snr();
        let noisy = gamma(schedule.len() - 1).min(NOISIEST_GAMMA);
        let network = MonotoneNetwork::straight(gamma(0).min(noisy - 1.0), noisy, HIDDEN);
        Self { fit: ScheduleFit::new(network, LEARNING_RATE), samples: Vec::new(), draws: rng(seed, Stream::Train) }
    }

    /// Measures `count` losses along the schedule so far and takes `steps` steps of the fit over what is remembered. `progress` is how
    /// much of the learning is done, from 0 to 1: towards the end the steps become small.
    ///
    /// # Errors
    /// When the network fails.
    ///
    /// # Panics
    /// When there are no examples or `count` is 0.
    pub fn round(
        &mut self,
        pipeline: &Pipeline,
        examples: &[LossExample],
        count: usize,
        steps: usize,
        progress: f64,
    ) -> Result<(), PipelineError> {
        let network = self.fit.network.clone();
        let ready = network.ready();
        self.samples.extend(pipeline.measure_losses(examples, |time| ready.along(time), count, &mut self.draws)?);
        self.samples.drain(..self.samples.len().saturating_sub(MEMORY));
        self.fit.learning_rate = LEARNING_RATE * (1.0 - progress).clamp(0.02, 1.0);
        for _ in 0..steps {
            let pick = |_| self.samples[self.draws.random_range(0..self.samples.len())];
            let batch: Vec<LossSample> = (0..BATCH.min(self.samples.len())).map(pick).collect();
            self.fit.step(&batch);
        }
        Ok(())
    }

    /// What was measured and is remembered.
    pub fn samples(&self) -> &[LossSample] {
        &self.samples
    }
}

impl Pipeline {
    /// Losses of this model along a schedule, given as gamma and its slope at a time: `count` times, one drawn in each of as many
    /// equal parts of the time, each with an example and noise of its own.
    ///
    /// # Errors
    /// When the network fails.
    ///
    /// # Panics
    /// When there are no examples.
    pub fn measure_losses(
        &self,
        examples: &[LossExample],
        schedule: impl Fn(f64) -> (f64, f64),
        count: usize,
        draws: &mut ChaCha8Rng,
    ) -> Result<Vec<LossSample>, PipelineError> {
        let measure = |part: usize| {
            let time: f64 = (part as f64 + draws.random::<f64>()) / count as f64;
            let (gamma, slope) = schedule(time);
            let LossExample { latents, text } = &examples[draws.random_range(0..examples.len())];
            let eps = gaussian_from(draws, latents.shape());
            let loss = self.eps_loss(latents, text, &eps, gamma)?;
            Ok(LossSample { gamma, density: slope.recip(), loss })
        };
        (0..count).map(measure).collect()
    }

    /// `|eps - eps_hat|^2`, the mean over the elements, for latents noised to `gamma = -log SNR`.
    fn eps_loss(&self, latents: &HostTensor, text: &HostTensor, eps: &HostTensor, gamma: f64) -> Result<f64, PipelineError> {
        let level = Level::from_log_snr(-gamma);
        let x = level.add_noise(latents, eps);
        let output = self.output(&x, self.schedule.timestep_of(level), text)?;
        let off = self.prediction().to_eps(&x, &output, level).lincomb(1.0, eps, -1.0);
        Ok(off.dot(&off) / off.len() as f64)
    }
}
