//! Drawing many pictures at once from the networks themselves: for sample sheets and for measuring.

use super::assemble::{BETA_SCHEDULE, NUM_TRAIN_TIMESTEPS, PREDICTION};
use super::runner::StopFlag;
use super::{Result, TrainError};
use crate::compute::Tensor;
use crate::diffusion::{DenoiseError, Level, NoiseSchedule, PredictionType, SCHEDULES, SamplerInfo, TimestepSpacing, guide, sample};
use crate::host::HostTensor;
use crate::model::clip::ClipTextModel;
use crate::model::taps::Taps;
use crate::model::tokenizer::ClipTokenizer;
use crate::model::unet::UNet2DConditionModel;
use crate::model::vae::AutoencoderKl;
use std::ops::ControlFlow;

/// The networks that draw.
pub struct Painter<'a, T: Tensor> {
    /// Text to tokens.
    pub tokenizer: &'a ClipTokenizer,
    /// Tokens to embeddings.
    pub text: &'a ClipTextModel<T>,
    /// The denoiser.
    pub unet: &'a UNet2DConditionModel<T>,
    /// Latents to pictures.
    pub vae: &'a AutoencoderKl<T>,
    /// What the denoiser predicts.
    pub prediction: PredictionType,
    /// The schedule that it was trained on.
    pub schedule: &'a NoiseSchedule,
    /// Where to compute.
    pub device: &'a T::Device,
    /// Ends the drawing early.
    pub stop: StopFlag,
}

/// The schedule that our U-Net is trained on.
///
/// # Errors
/// When the table lacks it.
pub fn training_schedule() -> Result<NoiseSchedule> {
    let info = SCHEDULES.iter().find(|info| info.id == BETA_SCHEDULE);
    let info = info.ok_or_else(|| TrainError::Missing(format!("there is no schedule {BETA_SCHEDULE}")))?;
    info.build(&[], NUM_TRAIN_TIMESTEPS).map_err(|error| TrainError::Sampling(error.to_string()))
}

/// The prediction type of our U-Net.
pub fn training_prediction() -> PredictionType {
    PREDICTION
}

/// Text embeddings of `prompts`: `[B, L, D]`.
///
/// # Errors
/// When the encoder fails.
pub fn embed<T: Tensor>(tokenizer: &ClipTokenizer, text: &ClipTextModel<T>, prompts: &[&str]) -> Result<T> {
    let ids: Vec<u32> = prompts.iter().flat_map(|prompt| tokenizer.encode(prompt).ids).collect();
    Ok(text.forward(&ids, prompts.len())?)
}

impl<T: Tensor> Painter<'_, T> {
    /// Draws one picture for each prompt by DDIM over `steps` leading timesteps, from the unit Gaussian latents `start`.
    ///
    /// `guidance_scale` w: `eps = uncond + w (cond - uncond)` (Ho and Salimans 2022, arXiv 2207.12598, in the w convention);
    /// w = 1 asks the network once only. Returns scaled latents, or nothing when it was stopped.
    ///
    /// # Shapes
    /// `start: [B, C, h, w]` -> the same.
    ///
    /// # Errors
    /// When a network fails.
    pub fn latents(&self, prompts: &[&str], start: &HostTensor, steps: usize, guidance_scale: f64) -> Result<Option<HostTensor>> {
        let fail = |error: &dyn std::fmt::Display| TrainError::Sampling(error.to_string());
        let ddim = SamplerInfo::find("ddim").ok_or_else(|| fail(&"there is no sampler ddim"))?;
        let plan = ddim.plan(self.schedule, TimestepSpacing::Leading, steps, 0, true).map_err(|error| fail(&error))?;
        let batch = prompts.len();
        let guided = guidance_scale != 1.0;
        let cond = embed(self.tokenizer, self.text, prompts)?;
        let context = if guided {
            let uncond = embed(self.tokenizer, self.text, &[""])?;
            T::cat(&[vec![&uncond; batch], vec![&cond]].concat(), 0)?
        } else {
            cond
        };
        let predict = |x: &HostTensor, timestep: f64| -> Result<HostTensor> {
            let input = if guided { HostTensor::cat_outer(&[x, x]) } else { x.clone() };
            let timesteps = vec![timestep; input.shape()[0]];
            let x = T::from_host(&input, self.device)?;
            let output = self.unet.forward(&x, &timesteps, &context, self.device, &mut Taps::none())?;
            if !guided {
                return Ok(output.to_host()?);
            }
            let (uncond, cond) = (output.narrow(0, 0, batch)?.to_host()?, output.narrow(0, batch, batch)?.to_host()?);
            Ok(guide(&uncond, &cond, guidance_scale))
        };
        let mut denoise = |x: &HostTensor, level: Level| -> std::result::Result<HostTensor, DenoiseError> {
            let timestep = plan.timestep_of(level).unwrap_or_else(|| self.schedule.timestep_of(level));
            let output = predict(x, timestep).map_err(|error| DenoiseError::from(error.to_string()))?;
            Ok(self.prediction.to_x0(x, &output, level))
        };
        let mut no_noise = |shape: &[usize]| HostTensor::full(shape, 0.0);
        let mut on_step =
            |_: &crate::diffusion::Step<'_>| if self.stop.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let outcome =
            sample(ddim, &mut denoise, &plan.visits, plan.last, start, &mut no_noise, &mut on_step).map_err(|error| fail(&error))?;
        Ok((!outcome.cancelled).then_some(outcome.x))
    }

    /// The pictures of scaled latents: `[B, 3, H, W]` in -1..1, not clamped.
    ///
    /// # Errors
    /// When the decoder fails.
    pub fn decode(&self, latents: &HostTensor) -> Result<HostTensor> {
        let unscaled = latents.map(|v| (f64::from(v) / self.vae.config().scaling_factor) as f32);
        Ok(self.vae.decode(&T::from_host(&unscaled, self.device)?)?.to_host()?)
    }
}
