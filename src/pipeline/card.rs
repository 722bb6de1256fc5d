//! What an open model is, in one place.

use super::PipelineError;
use super::engine::Networks;
use super::files::{Files, ModelSource};
use crate::compute::Tensor;
use crate::diffusion::{PredictionType, SchedulerConfig};

/// The facts of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCard {
    /// What to call it.
    pub name: String,
    /// Where it comes from: "embedded" or the folder.
    pub source: String,
    /// Side of the pictures that it was trained on, in pixels.
    pub picture_side: usize,
    /// Channels, height and width of its latents.
    pub latent_shape: [usize; 3],
    /// Picture sides must be multiples of this.
    pub side_multiple: usize,
    /// Latent sides must be multiples of this.
    pub latent_multiple: usize,
    /// Tokens in a prompt, with those for its begin and end.
    pub max_tokens: usize,
    /// Number of training timesteps.
    pub num_train_timesteps: usize,
    /// Id of its schedule in `diffusion::SCHEDULES`.
    pub schedule_id: String,
    /// What its network answers.
    pub prediction: PredictionType,
    /// Latents are multiplied by this to give them unit deviation.
    pub scaling_factor: f64,
    /// Parameters of the U-Net.
    pub unet_parameters: usize,
    /// Parameters of the autoencoder.
    pub vae_parameters: usize,
    /// Parameters of the text encoder.
    pub text_parameters: usize,
    /// The device in use.
    pub device: String,
    /// Guidance scale to begin with.
    pub default_guidance: f64,
    /// Number of steps to begin with.
    pub default_steps: usize,
}

/// How a model reads a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Token ids, padded to the model's length.
    pub ids: Vec<u32>,
    /// What each token between begin and end spells.
    pub pieces: Vec<String>,
    /// Tokens beyond the model's length, which it does not see.
    pub dropped: usize,
}

impl ModelCard {
    pub(super) fn new<T: Tensor>(
        source: &ModelSource,
        files: &Files,
        networks: &Networks<T>,
        config: &SchedulerConfig,
        device: String,
    ) -> Result<Self, PipelineError> {
        let (unet, vae, text) = (networks.unet.config(), networks.vae.config(), networks.text.config());
        let side = unet.sample_size;
        Ok(Self {
            name: match source {
                ModelSource::Embedded => "Littleworld".to_owned(),
                ModelSource::Folder(path) => {
                    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
                }
            },
            source: files.label(),
            picture_side: side * vae.downsampling(),
            latent_shape: [vae.latent_channels, side, side],
            side_multiple: vae.downsampling() * unet.downsampling(),
            latent_multiple: unet.downsampling(),
            max_tokens: text.max_position_embeddings,
            num_train_timesteps: config.num_train_timesteps,
            schedule_id: config.schedule_id.clone(),
            prediction: config.prediction,
            scaling_factor: vae.scaling_factor,
            unet_parameters: unet.parameter_count()?,
            vae_parameters: vae.parameter_count()?,
            text_parameters: text.parameter_count()?,
            device,
            default_guidance: if matches!(source, ModelSource::Embedded) { 5.0 } else { 7.5 },
            default_steps: 20,
        })
    }
}
