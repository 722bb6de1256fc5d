//! The model at work: what is run and timed, and profiled.

use super::turns::timed;
use crate::cli::interrupt;
use crate::host::HostTensor;
use crate::noise::{Stream, gaussian};
use crate::pipeline::{DeviceKind, GenerateRequest, ModelSource, Pipeline, Precision, Start};
use anyhow::Result;
use std::ops::ControlFlow;
use std::time::Duration;

/// The prompt of everything.
pub const PROMPT: &str = "a red house left of a yellow balloon by the sea at night";

/// An open model and what it is given.
pub struct Work {
    /// The model.
    pub pipeline: Pipeline,
    /// Unit Gaussian latents `[1, C, h, w]`.
    pub latents: HostTensor,
    /// The timestep of a single evaluation.
    pub timestep: f64,
    /// A whole run.
    pub request: GenerateRequest,
    /// The picture of the last run.
    pub picture: Option<HostTensor>,
    /// Embeddings of the negative and of the positive prompt.
    text: [HostTensor; 2],
}

impl Work {
    /// Opens a model that computes its matrix products in `precision`.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(source: &ModelSource, device: DeviceKind, precision: Precision) -> Result<Self> {
        let mut pipeline = Pipeline::load(source, device)?;
        pipeline.set_precision(precision);
        let card = pipeline.card();
        let [channels, height, width] = card.latent_shape;
        let latents = gaussian(0, Stream::Start, [1, channels, height, width]);
        let timestep = (card.num_train_timesteps * 2 / 5) as f64;
        let request = GenerateRequest {
            prompt: PROMPT.into(),
            steps: 20,
            guidance_scale: card.default_guidance,
            start: Start::Latents(latents.clone()),
            ..Default::default()
        };
        let text = [pipeline.encode_text("")?, pipeline.encode_text(PROMPT)?];
        Ok(Self { pipeline, latents, timestep, request, picture: None, text })
    }

    /// Times one evaluation of the U-Net for both prompts.
    ///
    /// # Errors
    /// When the network fails.
    pub fn unet_guided(&self) -> Result<Duration> {
        let [negative, positive] = &self.text;
        Ok(timed(|| self.pipeline.predict(&self.latents, self.timestep, negative, positive))?)
    }

    /// Times one decoding.
    ///
    /// # Errors
    /// When the network fails.
    pub fn vae_decode(&self) -> Result<Duration> {
        Ok(timed(|| self.pipeline.decode(&self.latents))?)
    }

    /// Times both prompts through the tokenizer and the text encoder.
    ///
    /// # Errors
    /// When the network fails.
    pub fn text_encode(&self) -> Result<Duration> {
        Ok(timed(|| self.pipeline.encode_text("").and_then(|_| self.pipeline.encode_text(PROMPT)))?)
    }

    /// Times a whole run and the decoding of what it ends with; Ctrl-C breaks it off.
    ///
    /// # Errors
    /// When a network fails.
    pub fn generate_20(&mut self) -> Result<Duration> {
        timed(|| {
            let mut on_step = |_: &_| if interrupt::check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            let generated = self.pipeline.generate(&self.request, &mut on_step)?;
            self.picture = Some(self.pipeline.decode(&generated.latents)?);
            Ok(())
        })
    }
}
