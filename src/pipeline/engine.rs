//! The networks on a device, behind one interface that knows host tensors only.

use super::files::Files;
use super::{PipelineError, TapKey};
use crate::compute::{Precision, Tensor, with_precision};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::checkpoint::{Checkpoint, CheckpointSource};
use crate::model::clip::{ClipTextConfig, ClipTextModel};
use crate::model::params::Params;
use crate::model::taps::Taps;
use crate::model::tokenizer::ClipTokenizer;
use crate::model::unet::{TextContext, TimeContext, UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The three networks of a latent diffusion model, whatever they run on.
pub(super) trait Engine: Send {
    /// What matrix products are computed in from now on.
    fn set_precision(&mut self, precision: Precision);
    /// Token ids of `batch` prompts -> `[batch, L, D]`.
    fn encode_text(&self, ids: &[u32], batch: usize) -> Result<HostTensor, PipelineError>;
    /// `[B, 3, H, W]` in -1..1 -> mean of the unscaled latents.
    fn encode(&self, pictures: &HostTensor) -> Result<HostTensor, PipelineError>;
    /// Unscaled latents -> `[B, 3, H, W]`, about -1..1.
    fn decode(&self, latents: &HostTensor) -> Result<HostTensor, PipelineError>;
    /// One evaluation of the U-Net on the same latents `[1, C, h, w]` at one timestep for each of `texts: [1, L, D]`.
    fn predict(&self, x: &HostTensor, timestep: f64, texts: &[&HostTensor]) -> Result<Vec<HostTensor>, PipelineError>;
    /// What `keys` name inside the U-Net during such an evaluation, of all texts in one batch.
    fn inspect(
        &self,
        x: &HostTensor,
        timestep: f64,
        texts: &[&HostTensor],
        keys: &[TapKey],
    ) -> Result<BTreeMap<TapKey, HostTensor>, PipelineError>;
}

/// The networks over one kind of tensor.
pub(super) struct Networks<T: Tensor> {
    pub unet: UNet2DConditionModel<T>,
    pub vae: AutoencoderKl<T>,
    pub text: ClipTextModel<T>,
    device: T::Device,
    precision: Precision,
    kept: Mutex<Kept<T>>,
}

/// What does not change from step to step, kept for the next.
struct Kept<T: Tensor> {
    /// Of the timesteps that were visited last, with the number of samples.
    times: Vec<((u64, usize), TimeContext<T>)>,
    /// Of the prompts that were used last, alone or as a batch.
    texts: Vec<(HostTensor, TextContext<T>)>,
}

impl<T: Tensor> Default for Kept<T> {
    fn default() -> Self {
        Self { times: Vec::new(), texts: Vec::new() }
    }
}

/// Timesteps kept: 44 kB each of the shipped model, 145 kB of Stable Diffusion 1.5.
const TIMES: usize = 256;
/// Prompts kept: up to 8 MB each of Stable Diffusion 1.5.
const TEXTS: usize = 6;

impl<T: Tensor> Networks<T> {
    /// Builds the networks from the files of a model.
    pub fn load(files: &Files, device: T::Device) -> Result<Self, PipelineError> {
        let unet_config = UNet2DConditionConfig::from_json(&files.read("unet/config.json")?)?;
        let vae_config = AutoencoderKlConfig::from_json(&files.read("vae/config.json")?)?;
        let text_config = ClipTextConfig::from_json(&files.read("text_encoder/config.json")?)?;
        check(&unet_config, &vae_config, &text_config)?;
        let unet = build(files, "unet/diffusion_pytorch_model", &device, |p| UNet2DConditionModel::new(&unet_config, p))?;
        let vae = build(files, "vae/diffusion_pytorch_model", &device, |p| AutoencoderKl::new(&vae_config, p))?;
        let text = build(files, "text_encoder/model", &device, |p| ClipTextModel::new(&text_config, p))?;
        let kept = Mutex::default();
        Ok(Self { unet, vae, text, device, precision: Precision::Split, kept })
    }

    /// The tokenizer that belongs to the text encoder.
    pub fn tokenizer(&self, files: &Files) -> Result<ClipTokenizer, PipelineError> {
        let config = self.text.config();
        let (vocab, merges) = (files.read("tokenizer/vocab.json")?, files.read("tokenizer/merges.txt")?);
        let mut tokenizer = ClipTokenizer::from_files(&vocab, &merges, config.max_position_embeddings)?;
        if let Some(json) = files.read_optional("tokenizer/tokenizer_config.json")? {
            tokenizer = tokenizer.with_config(&json)?;
        }
        if tokenizer.vocab_size() > config.vocab_size {
            return Err(PipelineError::Mismatch(format!(
                "the tokenizer knows {} tokens, but the text encoder {}",
                tokenizer.vocab_size(),
                config.vocab_size
            )));
        }
        Ok(tokenizer)
    }
}

fn build<T: Tensor, M>(
    files: &Files,
    stem: &str,
    device: &T::Device,
    new: impl FnOnce(&Params<T>) -> Result<M, ModelError>,
) -> Result<M, PipelineError> {
    let (name, bytes) = files.read_weights(stem)?;
    let checkpoint = Checkpoint::from_bytes(name, &bytes)?;
    let source = Mutex::new(CheckpointSource::<T>::new(&checkpoint, device.clone()));
    Ok(new(&Params::root(&source))?)
}

fn check(unet: &UNet2DConditionConfig, vae: &AutoencoderKlConfig, text: &ClipTextConfig) -> Result<(), PipelineError> {
    let mismatch = |message: String| Err(PipelineError::Mismatch(message));
    if unet.in_channels != vae.latent_channels || unet.out_channels != vae.latent_channels {
        return mismatch(format!(
            "the U-Net takes {} channels and gives {}, but the latents have {}",
            unet.in_channels, unet.out_channels, vae.latent_channels
        ));
    }
    if unet.cross_attention_dim != text.hidden_size {
        return mismatch(format!(
            "the U-Net attends to text of width {}, but the text encoder gives {}",
            unet.cross_attention_dim, text.hidden_size
        ));
    }
    if !unet.sample_size.is_multiple_of(unet.downsampling()) {
        return mismatch(format!("latents of side {} cannot be halved {} times", unet.sample_size, unet.block_out_channels.len() - 1));
    }
    Ok(())
}

/// Finds `key` in what is kept, or makes and keeps it; what was asked for the longest ago goes first.
fn kept<K: PartialEq, V: Clone>(
    list: &mut Vec<(K, V)>,
    limit: usize,
    key: K,
    make: impl FnOnce() -> Result<V, PipelineError>,
) -> Result<V, PipelineError> {
    if let Some(at) = list.iter().position(|(known, _)| *known == key) {
        let found = list.remove(at);
        let value = found.1.clone();
        list.push(found);
        return Ok(value);
    }
    let value = make()?;
    if list.len() >= limit {
        list.remove(0);
    }
    list.push((key, value.clone()));
    Ok(value)
}

impl<T: Tensor> Networks<T> {
    fn host(&self, tensor: &T) -> Result<HostTensor, PipelineError> {
        Ok(tensor.to_host()?)
    }

    fn device(&self, tensor: &HostTensor) -> Result<T, PipelineError> {
        Ok(T::from_host(tensor, &self.device)?)
    }

    /// What the network makes of a timestep and of prompts, each for as many samples as a prompt `[B, L, D]` holds.
    fn contexts(&self, timestep: f64, texts: &[&HostTensor]) -> Result<(TimeContext<T>, Vec<TextContext<T>>), PipelineError> {
        let kept_ones = &mut *self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let samples = texts.first().map_or(1, |text| text.shape()[0]);
        let make = || Ok(self.unet.time(&vec![timestep; samples], &self.device)?);
        let time = kept(&mut kept_ones.times, TIMES, (timestep.to_bits(), samples), make)?;
        let texts = texts
            .iter()
            .map(|&text| kept(&mut kept_ones.texts, TEXTS, text.clone(), || Ok(self.unet.text(&self.device(text)?)?)))
            .collect::<Result<_, PipelineError>>()?;
        Ok((time, texts))
    }
}

impl<T: Tensor> Engine for Networks<T> {
    fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
        self.kept = Mutex::default();
    }

    fn encode_text(&self, ids: &[u32], batch: usize) -> Result<HostTensor, PipelineError> {
        with_precision(self.precision, || self.host(&self.text.forward(ids, batch)?))
    }

    fn encode(&self, pictures: &HostTensor) -> Result<HostTensor, PipelineError> {
        with_precision(self.precision, || {
            let (mean, _) = self.vae.encode(&self.device(pictures)?)?;
            self.host(&mean)
        })
    }

    fn decode(&self, latents: &HostTensor) -> Result<HostTensor, PipelineError> {
        with_precision(self.precision, || self.host(&self.vae.decode(&self.device(latents)?)?))
    }

    fn predict(&self, x: &HostTensor, timestep: f64, texts: &[&HostTensor]) -> Result<Vec<HostTensor>, PipelineError> {
        let alike = texts.iter().all(|text| text.shape() == texts[0].shape());
        if T::BATCHES && texts.len() > 1 && alike {
            let (batch, text) = (HostTensor::cat_outer(&vec![x; texts.len()]), HostTensor::cat_outer(texts));
            let outputs = with_precision(self.precision, || {
                let (time, text) = self.contexts(timestep, &[&text])?;
                self.host(&self.unet.predict(&self.device(&batch)?, &time, &text[0], &mut Taps::none())?)
            })?;
            return Ok((0..texts.len()).map(|i| outputs.outer(i)).collect());
        }
        let (time, texts) = with_precision(self.precision, || self.contexts(timestep, texts))?;
        // Each prompt on threads of its own: no operation waits for the other's.
        let outputs = T::at_once(texts, |text| {
            with_precision(self.precision, || self.host(&self.unet.predict(&self.device(x)?, &time, &text, &mut Taps::none())?))
        });
        outputs.into_iter().collect()
    }

    fn inspect(
        &self,
        x: &HostTensor,
        timestep: f64,
        texts: &[&HostTensor],
        keys: &[TapKey],
    ) -> Result<BTreeMap<TapKey, HostTensor>, PipelineError> {
        let (batch, text) = (vec![x; texts.len()], HostTensor::cat_outer(texts));
        let mut taps = Taps::of(keys.iter().cloned());
        with_precision(self.precision, || {
            let timesteps = vec![timestep; texts.len()];
            self.unet.forward(&self.device(&HostTensor::cat_outer(&batch))?, &timesteps, &self.device(&text)?, &self.device, &mut taps)?;
            taps.into_taken().into_iter().map(|(key, tensor)| Ok((key, self.host(&tensor)?))).collect()
        })
    }
}
