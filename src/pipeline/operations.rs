//! How much arithmetic a model is, counted by running it on shapes alone.

use super::files::Files;
use super::{ModelSource, PipelineError};
use crate::compute::meta::{FlopCounter, Meta};
use crate::model::ModelError;
use crate::model::clip::ClipTextConfig;
use crate::model::params::{Params, ShapeSource};
use crate::model::taps::Taps;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use std::sync::Mutex;

/// Floating-point operations in the matrix products and convolutions of a model, a multiply-add as two, convolutions by their
/// definition: what a kernel saves by another algorithm is not taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operations {
    /// One evaluation of the U-Net at batch 2.
    pub unet_guided: u64,
    /// Latents to a picture.
    pub vae_decode: u64,
}

impl Operations {
    /// Those of a model, at the size that it was trained at.
    ///
    /// # Errors
    /// When its configurations cannot be read or do not fit each other.
    pub fn of(source: &ModelSource) -> Result<Self, PipelineError> {
        let files = Files::open(source)?;
        let unet = UNet2DConditionConfig::from_json(&files.read("unet/config.json")?)?;
        let vae = AutoencoderKlConfig::from_json(&files.read("vae/config.json")?)?;
        let tokens = ClipTextConfig::from_json(&files.read("text_encoder/config.json")?)?.max_position_embeddings;
        Ok(Self { unet_guided: unet_operations(&unet, 2, tokens)?, vae_decode: decode_operations(&vae, 1, unet.sample_size)? })
    }
}

/// Operations of one evaluation of a U-Net on latents of its own size, as in [`Operations`]; the projections of the text are in it,
/// those of the timestep are not (they are less than a thousandth).
///
/// # Errors
/// When the configuration cannot be built.
pub fn unet_operations(config: &UNet2DConditionConfig, batch: usize, tokens: usize) -> Result<u64, ModelError> {
    let source = Mutex::new(ShapeSource::default());
    let model = UNet2DConditionModel::new(config, &Params::root(&source))?;
    let side = config.sample_size;
    count(|flops| {
        let x = Meta::input(&[batch, config.in_channels, side, side], flops);
        let text = Meta::input(&[batch, tokens, config.cross_attention_dim], flops);
        model.forward(&x, &vec![0.0; batch], &text, &(), &mut Taps::none())
    })
}

/// Operations of encoding pictures of `side` by `side` pixels, as in [`Operations`].
///
/// # Errors
/// When the configuration cannot be built.
pub fn encode_operations(config: &AutoencoderKlConfig, batch: usize, side: usize) -> Result<u64, ModelError> {
    let source = Mutex::new(ShapeSource::default());
    let model = AutoencoderKl::new(config, &Params::root(&source))?;
    count(|flops| model.encode(&Meta::input(&[batch, config.in_channels, side, side], flops)))
}

/// Operations of decoding latents of `side` by `side`, as in [`Operations`].
///
/// # Errors
/// When the configuration cannot be built.
pub fn decode_operations(config: &AutoencoderKlConfig, batch: usize, side: usize) -> Result<u64, ModelError> {
    let source = Mutex::new(ShapeSource::default());
    let model = AutoencoderKl::new(config, &Params::root(&source))?;
    count(|flops| model.decode(&Meta::input(&[batch, config.latent_channels, side, side], flops)))
}

fn count<R>(run: impl FnOnce(&FlopCounter) -> Result<R, ModelError>) -> Result<u64, ModelError> {
    let flops = FlopCounter::default();
    run(&flops)?;
    Ok(flops.flops())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_grow_with_the_batch_and_those_of_convolutions_with_the_area() {
        let (unet, vae) = (UNet2DConditionConfig::littleworld(), AutoencoderKlConfig::littleworld());
        let of_two = unet_operations(&unet, 2, 32).unwrap();
        assert_eq!(of_two, 2 * unet_operations(&unet, 1, 32).unwrap());
        assert!((3e8..3e9).contains(&(of_two as f64)), "{of_two}");
        // The attention in the middle grows faster than the area.
        let (small, large) = (decode_operations(&vae, 1, 8).unwrap(), decode_operations(&vae, 1, 16).unwrap());
        assert!((4 * small..5 * small).contains(&large), "{small} {large}");
        assert!(encode_operations(&vae, 3, 64).unwrap() < 3 * small);
    }

    #[test]
    fn the_programs_own_model_can_be_counted() {
        let Operations { unet_guided, vae_decode } = Operations::of(&ModelSource::Embedded).unwrap();
        assert!(unet_guided > 1_000_000 && vae_decode > 1_000_000);
    }
}
