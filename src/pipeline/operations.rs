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
use std::ops::{Add, Mul};
use std::sync::Mutex;

/// The matrix products and convolutions of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Floating-point operations, a multiply-add as two, convolutions by their definition: what a kernel saves by another algorithm
    /// is not taken off.
    pub flops: u64,
    /// Values read and written: each operand and each result once, what stands between two of them not at all.
    pub values: u64,
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, values: self.values + other.values }
    }
}

impl Mul<u64> for Load {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self { flops: self.flops * times, values: self.values * times }
    }
}

/// How much arithmetic the parts of a model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operations {
    /// One evaluation of the U-Net at batch 2.
    pub unet_guided: Load,
    /// Latents to a picture.
    pub vae_decode: Load,
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
        Ok(Self { unet_guided: unet_load(&unet, 2, tokens, unet.sample_size)?, vae_decode: decode_load(&vae, 1, unet.sample_size)? })
    }
}

/// One evaluation of a U-Net on latents of `side` by `side`; the projections of the text are in it, those of the timestep are not:
/// less than a thousandth of the operations, a few hundredths of the values at batch 1.
///
/// # Errors
/// When the configuration cannot be built.
pub fn unet_load(config: &UNet2DConditionConfig, batch: usize, tokens: usize, side: usize) -> Result<Load, ModelError> {
    let source = Mutex::new(ShapeSource::default());
    let model = UNet2DConditionModel::new(config, &Params::root(&source))?;
    count(|flops| {
        let x = Meta::input(&[batch, config.in_channels, side, side], flops);
        let text = Meta::input(&[batch, tokens, config.cross_attention_dim], flops);
        model.forward(&x, &vec![0.0; batch], &text, &(), &mut Taps::none())
    })
}

/// Encoding pictures of `side` by `side` pixels.
///
/// # Errors
/// When the configuration cannot be built.
pub fn encode_load(config: &AutoencoderKlConfig, batch: usize, side: usize) -> Result<Load, ModelError> {
    let source = Mutex::new(ShapeSource::default());
    let model = AutoencoderKl::new(config, &Params::root(&source))?;
    count(|flops| model.encode(&Meta::input(&[batch, config.in_channels, side, side], flops)))
}

/// Decoding latents of `side` by `side`.
///
/// # Errors
/// When the configuration cannot be built.
pub fn decode_load(config: &AutoencoderKlConfig, batch: usize, side: usize) -> Result<Load, ModelError> {
    let source = Mutex::new(ShapeSource::default());
    let model = AutoencoderKl::new(config, &Params::root(&source))?;
    count(|flops| model.decode(&Meta::input(&[batch, config.latent_channels, side, side], flops)))
}

fn count<R>(run: impl FnOnce(&FlopCounter) -> Result<R, ModelError>) -> Result<Load, ModelError> {
    let flops = FlopCounter::default();
    run(&flops)?;
    Ok(Load { flops: flops.flops(), values: flops.values() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_grow_with_the_batch_and_those_of_convolutions_with_the_area() {
        let (unet, vae) = (UNet2DConditionConfig::littleworld(), AutoencoderKlConfig::littleworld());
        let of = |batch| unet_load(&unet, batch, 32, unet.sample_size).unwrap();
        assert_eq!(of(2).flops, 2 * of(1).flops);
        assert!((3e8..3e9).contains(&(of(2).flops as f64)), "{:?}", of(2));
        // Weights are read once, whatever the batch.
        let weights = 2 * of(1).values - of(2).values;
        assert!((4_000_000..7_000_000).contains(&weights), "{weights}");
        // The attention in the middle grows faster than the area.
        let (small, large) = (decode_load(&vae, 1, 8).unwrap().flops, decode_load(&vae, 1, 16).unwrap().flops);
        assert!((4 * small..5 * small).contains(&large), "{small} {large}");
        assert!(encode_load(&vae, 3, 64).unwrap().flops < 3 * small);
    }

    #[test]
    fn the_programs_own_model_can_be_counted() {
        let Operations { unet_guided, vae_decode } = Operations::of(&ModelSource::Embedded).unwrap();
        assert!(unet_guided.flops > 1_000_000 && vae_decode.flops > 1_000_000);
    }
}
