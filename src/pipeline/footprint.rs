//! What a model needs of a device, known before anything is put there.

use super::PipelineError;
use super::files::Files;
use crate::compute::meta::{FlopCounter, Meta};
use crate::compute::{AdapterCard, ComputeError, Storage};
use crate::model::ModelError;
use crate::model::clip::{ClipTextConfig, ClipTextModel};
use crate::model::params::{Params, ShapeSource};
use crate::model::taps::Taps;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use std::sync::Mutex;

/// Sizes, in values, of a model at work on the pictures that it was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    /// All weights.
    weights: u64,
    /// The largest single tensor: a weight, or the result of an operation.
    largest: u64,
}

impl Footprint {
    /// Counted by running the model on shapes alone: a guided evaluation of the U-Net, and a decoding.
    pub fn of(files: &Files) -> Result<Self, PipelineError> {
        let unet = UNet2DConditionConfig::from_json(&files.read("unet/config.json")?)?;
        let vae = AutoencoderKlConfig::from_json(&files.read("vae/config.json")?)?;
        let text = ClipTextConfig::from_json(&files.read("text_encoder/config.json")?)?;
        let (source, results) = (Mutex::new(ShapeSource::default()), FlopCounter::default());
        {
            let p = Params::root(&source);
            ClipTextModel::new(&text, &p)?;
            let (side, channels) = (unet.sample_size, unet.in_channels);
            let denoiser = UNet2DConditionModel::new(&unet, &p)?;
            let words = Meta::input(&[2, text.max_position_embeddings, unet.cross_attention_dim], &results);
            denoiser.forward(&Meta::input(&[2, channels, side, side], &results), &[0.0; 2], &words, &(), &mut Taps::none())?;
            AutoencoderKl::new(&vae, &p)?.decode(&Meta::input(&[1, vae.latent_channels, side, side], &results))?;
        }
        let asked = source.into_inner().map_err(|_| ModelError::Internal("the weight source was poisoned".into()))?.asked;
        let sizes = asked.iter().map(|(_, shape)| shape.iter().product::<usize>() as u64);
        Ok(Self { weights: sizes.clone().sum(), largest: sizes.max().unwrap_or(0).max(results.largest()) })
    }

    /// Refuses a model of which a tensor is larger than an adapter computes with.
    ///
    /// # Errors
    /// The numbers, and what to do.
    pub fn check(&self, card: &AdapterCard, storage: Storage) -> Result<(), PipelineError> {
        let megabytes = |values: u64| (values * storage.bytes()) as f64 / 1e6;
        if self.largest * storage.bytes() <= card.max_tensor_bytes {
            return Ok(());
        }
        let advice = match storage {
            Storage::F32 if card.has_f16 => "store tensors in half precision (--device wgpu-f16), or use --device cpu",
            _ => "use --device cpu",
        };
        let detail = format!(
            "this model has a tensor of {:.0} MB, and {card} takes {:.0} MB at most (its weights are {:.0} MB in all); {advice}",
            megabytes(self.largest),
            card.max_tensor_bytes as f64 / 1e6,
            megabytes(self.weights),
        );
        Err(ComputeError::Device { device: "wgpu", detail }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::AdapterKind;
    use crate::pipeline::ModelSource;

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_its_numbers() {
        let footprint = Footprint::of(&Files::open(&ModelSource::Embedded).unwrap()).unwrap();
        assert!(footprint.weights > footprint.largest && footprint.largest > 10_000, "{footprint:?}");
        let card = |max_tensor_bytes| AdapterCard {
            name: "A small card".into(),
            backend: "Vulkan".into(),
            kind: AdapterKind::Discrete,
            max_tensor_bytes,
            has_f16: true,
        };
        assert!(footprint.check(&card(4 * footprint.largest), Storage::F32).is_ok());
        assert!(footprint.check(&card(2 * footprint.largest), Storage::F16).is_ok());
        let message = footprint.check(&card(1_000_000), Storage::F32).unwrap_err().to_string();
        for part in ["A small card", "1 MB at most", "wgpu-f16", "--device cpu"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
