//! How long steps of training take: the shipped networks on synthetic data, whole steps, nothing read or written.

use super::optimizer::AdamW;
use super::runner::{Objective, Share, evaluate};
use super::scenes::{SIDE, below, divide, step_rng, unit};
use super::unet::{self, Told};
use super::vae::{self, VaeBatch, VaeObjective};
use super::vars::{Leaves, start};
use super::{Result, assemble};
use crate::compute::{Differentiable, Precision, with_precision};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::params::Params;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::AutoencoderKlConfig;
use crate::noise;
use std::time::{Duration, Instant};

/// The learning rate of the timed steps.
pub const RATE: f64 = 1e-4;

/// A network whose training is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The denoiser, on random latents and random text embeddings.
    Unet,
    /// The autoencoder, on random pictures of the size of its cut-outs.
    Vae,
}

/// One timed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTime {
    /// Building the network on its weights, forward, loss and backward.
    pub gradients: Duration,
    /// The optimizer's update.
    pub update: Duration,
}

impl StepTime {
    /// The whole step.
    pub fn total(&self) -> Duration {
        self.gradients + self.update
    }
}

/// A network in training, to be timed step by step.
pub struct Steps {
    /// Trained values.
    pub parameters: usize,
    /// The shape of the network's input in each step.
    pub input: Vec<usize>,
    /// Makes the next step.
    next: Box<dyn FnMut() -> Result<StepTime>>,
}

impl Steps {
    /// The training of `network` with `batch` samples a step.
    ///
    /// # Errors
    /// When the network cannot be built.
    pub fn new<T: Differentiable>(network: Network, batch: usize, precision: Precision, device: &T::Device) -> Result<Self> {
        match network {
            Network::Unet => {
                let objective = UnetSteps::<T> { config: UNet2DConditionConfig::littleworld(), batch, device: device.clone(), precision };
                let (_, variables) = start(0, device, |p| objective.build(p))?;
                let UNet2DConditionConfig { in_channels, sample_size, .. } = objective.config;
                let input = vec![batch, in_channels, sample_size, sample_size];
                Ok(Self::of(objective, AdamW::new(variables, unet::ADAMW), input, |objective, step| objective.batch(step, 0)))
            }
            Network::Vae => {
                let config = AutoencoderKlConfig::littleworld();
                let (objective, variables) = VaeObjective::<T>::new(&config, 0, batch, device, precision)?;
                let input = vec![batch, config.in_channels, SIDE / 2, SIDE / 2];
                let shape = input.clone();
                Ok(Self::of(objective, AdamW::new(variables, vae::ADAMW), input, move |_, step| {
                    let mut rng = step_rng(0, "bench", step);
                    let pictures = HostTensor::from_fn(shape.clone(), |_| (2.0 * unit(&mut rng) - 1.0) as f32);
                    let side = SIDE / 2 / config.downsampling();
                    let noise = noise::gaussian_from(&mut rng, [batch, config.latent_channels, side, side]);
                    let parts = divide(T::PARTS, &pictures).into_iter().zip(divide(T::PARTS, &noise));
                    Ok(parts.map(|(pictures, noise)| VaeBatch { pictures, noise }).collect())
                }))
            }
        }
    }

    fn of<O: Objective + 'static>(
        objective: O,
        mut optimizer: AdamW,
        input: Vec<usize>,
        batch: impl Fn(&O, u64) -> Result<Vec<O::Batch>> + 'static,
    ) -> Self {
        let parameters = optimizer.count();
        let next = move || {
            let batch = batch(&objective, optimizer.step_count())?;
            let started = Instant::now();
            let shares = evaluate(&objective, &optimizer, batch)?;
            let between = Instant::now();
            let gradients: Vec<_> = shares.into_iter().map(|share| share.gradients).collect();
            optimizer.update(&gradients, RATE)?;
            // The gradients' memory is part of what a step costs.
            drop(gradients);
            Ok(StepTime { gradients: between - started, update: between.elapsed() })
        };
        Self { parameters, input, next: Box::new(next) }
    }

    /// Makes one step; the making of its data is not timed.
    ///
    /// # Errors
    /// When the network fails.
    pub fn step(&mut self) -> Result<StepTime> {
        (self.next)()
    }
}

/// The denoiser without its text encoder.
struct UnetSteps<T: Differentiable> {
    config: UNet2DConditionConfig,
    batch: usize,
    device: T::Device,
    precision: Precision,
}

impl<T: Differentiable> Objective for UnetSteps<T> {
    type Tensor = T;
    type Model = UNet2DConditionModel<T>;
    type Batch = (Told, HostTensor);

    fn device(&self) -> &T::Device {
        &self.device
    }

    fn build(&self, p: &Params<'_, T>) -> std::result::Result<UNet2DConditionModel<T>, ModelError> {
        UNet2DConditionModel::new(&self.config, p)
    }

    fn name(&self) -> &'static str {
        "unet"
    }

    fn fingerprint(&self) -> String {
        format!("unet bench, batch {}, {}", self.batch, self.config.to_json())
    }

    fn parts(&self) -> Vec<&'static str> {
        unet::COLUMNS.to_vec()
    }

    fn batch(&self, step: u64, _: usize) -> Result<Vec<(Told, HostTensor)>> {
        let mut rng = step_rng(0, "bench", step);
        let UNet2DConditionConfig { in_channels, sample_size, cross_attention_dim, .. } = self.config;
        let size = self.batch.div_ceil(T::PARTS).max(1);
        let mut part = |count: usize| {
            let latents = [count, in_channels, sample_size, sample_size];
            let (noisy, target) = (noise::gaussian_from(&mut rng, latents), noise::gaussian_from(&mut rng, latents));
            let text = noise::gaussian_from(&mut rng, [count, assemble::MAX_TOKENS, cross_attention_dim]);
            let timesteps = (0..count).map(|_| below(&mut rng, assemble::NUM_TRAIN_TIMESTEPS)).collect();
            (Told { noisy, target, timesteps, weights: vec![1.0; count] }, text)
        };
        Ok((0..self.batch).step_by(size).map(|first| part(size.min(self.batch - first))).collect())
    }

    fn share(&self, leaves: &Leaves<T>, unet: &UNet2DConditionModel<T>, (told, text): (Told, HostTensor)) -> Result<Share> {
        with_precision(self.precision, || unet::share(leaves, unet, &told, &T::from_host(&text, &self.device)?, &self.device))
    }
}
