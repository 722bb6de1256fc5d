//! The trained model as a diffusers pipeline folder, part by part, and reading the parts back.

use super::state::write_atomically;
use super::vars::Weights;
use super::{Result, TrainError};
use crate::compute::Tensor;
use crate::diffusion::PredictionType;
use crate::model::ModelError;
use crate::model::checkpoint::{Checkpoint, CheckpointSource, StoredType, save_safetensors};
use crate::model::clip::{ClipTextConfig, ClipTextModel};
use crate::model::params::Params;
use crate::model::tokenizer::ClipTokenizer;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Number of timesteps that the U-Net is trained on.
pub const NUM_TRAIN_TIMESTEPS: usize = 1000;
/// The schedule that it is trained on, by diffusers' name.
pub const BETA_SCHEDULE: &str = "squaredcos_cap_v2";
/// Tokens of a prompt.
pub const MAX_TOKENS: usize = 32;
/// What it predicts.
pub const PREDICTION: PredictionType = PredictionType::Epsilon;

/// The file of weights of diffusers' own models.
const DIFFUSERS_WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
/// The file of weights of transformers' models, and of ours.
const WEIGHTS: &str = "model.safetensors";

/// The folders of a training run.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Where everything goes.
    pub out: PathBuf,
}

/// The weights of one of diffusers' models, in its folder.
///
/// # Errors
/// When there are none or they are broken.
pub fn weights_of(folder: &Path) -> Result<Weights> {
    let path = folder.join(DIFFUSERS_WEIGHTS);
    let bytes = std::fs::read(&path).map_err(|error| TrainError::file(&path, error))?;
    let checkpoint = Checkpoint::from_bytes(path.display().to_string(), &bytes)?;
    let list = checkpoint.names().into_iter().map(|name| Ok((name.to_owned(), checkpoint.get(name)?))).collect::<Result<_>>()?;
    Ok(Weights::new(list))
}

impl Folders {
    /// A part of the diffusers folder.
    pub fn part(&self, name: &str) -> PathBuf {
        self.out.join("pipeline").join(name)
    }

    /// The judge.
    pub fn judge(&self) -> PathBuf {
        self.out.join("judge").join(WEIGHTS)
    }

    /// CLIP's picture encoder and text projection.
    pub fn image_encoder(&self) -> PathBuf {
        self.out.join("image_encoder").join(WEIGHTS)
    }

    /// Writes the autoencoder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save_vae(&self, config: &AutoencoderKlConfig, weights: &Weights) -> Result<()> {
        self.save_part("vae", &config.to_json(), DIFFUSERS_WEIGHTS, weights)
    }

    /// Writes the text encoder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save_text_encoder(&self, config: &ClipTextConfig, weights: &Weights) -> Result<()> {
        self.save_part("text_encoder", &config.to_json(), WEIGHTS, weights)
    }

    /// Writes the U-Net, the scheduler's configuration and the index.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save_unet(&self, config: &UNet2DConditionConfig, weights: &Weights) -> Result<()> {
        self.save_part("unet", &config.to_json(), DIFFUSERS_WEIGHTS, weights)?;
        write_json(
            &self.part("scheduler").join("scheduler_config.json"),
            &json!({
                "_class_name": "DDIMScheduler",
                "_diffusers_version": DIFFUSERS_VERSION,
                "beta_end": 0.02,
                "beta_schedule": BETA_SCHEDULE,
                "beta_start": 0.0001,
                "clip_sample": false,
                "num_train_timesteps": NUM_TRAIN_TIMESTEPS,
                "prediction_type": "epsilon",
                "rescale_betas_zero_snr": false,
                "set_alpha_to_one": true,
                "steps_offset": 0,
                "thresholding": false,
                "timestep_spacing": "leading",
                "trained_betas": null,
            }),
        )?;
        write_json(
            &self.out.join("pipeline").join("model_index.json"),
            &json!({
                "_class_name": "StableDiffusionPipeline",
                "_diffusers_version": DIFFUSERS_VERSION,
                "feature_extractor": [null, null],
                "requires_safety_checker": false,
                "safety_checker": [null, null],
                "scheduler": ["diffusers", "DDIMScheduler"],
                "text_encoder": ["transformers", "CLIPTextModel"],
                "tokenizer": ["transformers", "CLIPTokenizer"],
                "unet": ["diffusers", "UNet2DConditionModel"],
                "vae": ["diffusers", "AutoencoderKL"],
            }),
        )
    }

    /// Writes the tokenizer's files.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save_tokenizer(&self, vocab_json: &str, merges_txt: &str) -> Result<()> {
        let folder = self.part("tokenizer");
        write_text(&folder.join("vocab.json"), vocab_json)?;
        write_text(&folder.join("merges.txt"), merges_txt)?;
        let (bos, eos) = ("<|startoftext|>", "<|endoftext|>");
        let special = json!({ "bos_token": bos, "eos_token": eos, "unk_token": eos, "pad_token": eos });
        write_json(&folder.join("special_tokens_map.json"), &special)?;
        let config = json!({
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": MAX_TOKENS,
            "bos_token": bos,
            "eos_token": eos,
            "unk_token": eos,
            "pad_token": eos,
        });
        write_json(&folder.join("tokenizer_config.json"), &config)
    }

    /// Reads the tokenizer.
    ///
    /// # Errors
    /// When it is not there yet or broken.
    pub fn load_tokenizer(&self) -> Result<ClipTokenizer> {
        let folder = self.part("tokenizer");
        let read = |name: &str| read(&folder.join(name), "train clip");
        let tokenizer = ClipTokenizer::from_files(&read("vocab.json")?, &read("merges.txt")?, MAX_TOKENS);
        tokenizer.map_err(|error| TrainError::content(&folder, error))
    }

    /// Reads the autoencoder.
    ///
    /// # Errors
    /// When it is not there yet or broken.
    pub fn load_vae<T: Tensor>(&self, device: &T::Device) -> Result<AutoencoderKl<T>> {
        let config = AutoencoderKlConfig::from_json(&read(&self.part("vae").join("config.json"), "train vae")?)?;
        load_weights(&self.part("vae").join(DIFFUSERS_WEIGHTS), "train vae", device, |p| AutoencoderKl::new(&config, p))
    }

    /// Reads the autoencoder's configuration and weights.
    ///
    /// # Errors
    /// When it is not there yet or broken.
    pub fn vae_weights(&self) -> Result<(AutoencoderKlConfig, Weights)> {
        let config = AutoencoderKlConfig::from_json(&read(&self.part("vae").join("config.json"), "train vae")?)?;
        Ok((config, weights_of(&self.part("vae"))?))
    }

    /// Reads the text encoder.
    ///
    /// # Errors
    /// When it is not there yet or broken.
    pub fn load_text_encoder<T: Tensor>(&self, device: &T::Device) -> Result<ClipTextModel<T>> {
        let folder = self.part("text_encoder");
        let config = ClipTextConfig::from_json(&read(&folder.join("config.json"), "train clip")?)?;
        load_weights(&folder.join(WEIGHTS), "train clip", device, |p| ClipTextModel::new(&config, p))
    }

    /// Reads the U-Net.
    ///
    /// # Errors
    /// When it is not there yet or broken.
    pub fn load_unet<T: Tensor>(&self, device: &T::Device) -> Result<UNet2DConditionModel<T>> {
        let folder = self.part("unet");
        let config = UNet2DConditionConfig::from_json(&read(&folder.join("config.json"), "train unet")?)?;
        load_weights(&folder.join(DIFFUSERS_WEIGHTS), "train unet", device, |p| UNet2DConditionModel::new(&config, p))
    }

    fn save_part(&self, name: &str, config: &Value, file: &str, weights: &Weights) -> Result<()> {
        save_weights(&self.part(name).join(file), weights)?;
        write_json(&self.part(name).join("config.json"), config)
    }
}

/// The version of diffusers that the folder's form is taken from.
const DIFFUSERS_VERSION: &str = "0.42.1";

/// Writes weights as f16.
///
/// # Errors
/// Those of the file system.
pub fn save_weights(path: &Path, weights: &Weights) -> Result<()> {
    make_parent(path)?;
    Ok(save_safetensors(path, &weights.list, StoredType::F16)?)
}

/// Builds a network from a file of weights; `made_by` is the command that writes it.
///
/// # Errors
/// When the file is not there or does not fit.
pub fn load_weights<T: Tensor, M>(
    path: &Path,
    made_by: &str,
    device: &T::Device,
    build: impl FnOnce(&Params<'_, T>) -> std::result::Result<M, ModelError>,
) -> Result<M> {
    build_from(&path.display().to_string(), &read(path, made_by)?, device, build)
}

/// Builds a network from the content of a file of weights.
///
/// # Errors
/// When it does not fit.
pub fn build_from<T: Tensor, M>(
    name: &str,
    bytes: &[u8],
    device: &T::Device,
    build: impl FnOnce(&Params<'_, T>) -> std::result::Result<M, ModelError>,
) -> Result<M> {
    let checkpoint = Checkpoint::from_bytes(name, bytes)?;
    let source = Mutex::new(CheckpointSource::<T>::new(&checkpoint, device.clone()));
    Ok(build(&Params::root(&source))?)
}

fn read(path: &Path, made_by: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => TrainError::Missing(format!("{} is not there; run `diffuscope {made_by}` first", path.display())),
        _ => TrainError::file(path, error),
    })
}

fn make_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|error| TrainError::file(folder, error)),
        None => Ok(()),
    }
}

/// Writes a text file atomically.
///
/// # Errors
/// Those of the file system.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    make_parent(path)?;
    write_atomically(path, |partial| std::fs::write(partial, text))
}

/// Writes JSON atomically.
///
/// # Errors
/// Those of the file system.
pub fn write_json(path: &Path, value: &Value) -> Result<()> {
    write_text(path, &format!("{value:#}\n"))
}
