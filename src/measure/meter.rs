//! The judge and CLIP as one ruler for single pictures, whatever they run on: host tensors in, numbers out.

use super::image_encoder::{ImageEncoder, TextProjection};
use super::judge::Judge;
use super::trunk::SIDE;
use super::{MeasureError, Result, Verdict, halve};
use crate::compute::cpu::CpuTensor;
use crate::compute::{Precision, Tensor, with_precision};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::checkpoint::{Checkpoint, CheckpointSource};
use crate::model::params::Params;
use std::sync::Mutex;

/// The networks that measure.
pub struct Meter {
    judge: Judge<CpuTensor>,
    image: ImageEncoder<CpuTensor>,
    text: TextProjection<CpuTensor>,
}

fn build<M>(name: &str, bytes: &[u8], new: impl FnOnce(&Params<CpuTensor>) -> std::result::Result<M, ModelError>) -> Result<M> {
    let checkpoint = Checkpoint::from_bytes(name.to_owned(), bytes)?;
    let source = Mutex::new(CheckpointSource::<CpuTensor>::new(&checkpoint, ()));
    Ok(new(&Params::root(&source))?)
}

impl Meter {
    /// From the content of `judge/model.safetensors` and `image_encoder/model.safetensors`; `text_width` is that of the text
    /// encoder's hidden states.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(judge: &[u8], image_encoder: &[u8], text_width: usize) -> Result<Self> {
        let judge = build("judge/model.safetensors", judge, Judge::new)?;
        let (image, text) = build("image_encoder/model.safetensors", image_encoder, |p| {
            Ok((ImageEncoder::new(&p.pp("image_encoder"))?, TextProjection::new(&p.pp("text_projection"), text_width)?))
        })?;
        Ok(Self { judge, image, text })
    }

    /// Side of the pictures that it takes, in pixels.
    pub const SIDE: usize = 2 * SIDE;

    /// What both networks take: `[1, 3, 64, 64]` in -1..1.
    fn input(picture: &HostTensor) -> Result<CpuTensor> {
        if picture.shape() != [3, Self::SIDE, Self::SIDE] {
            let expected = format!("[3, {0}, {0}]", Self::SIDE);
            return Err(MeasureError::Shape { operation: "judging", expected, found: picture.shape().to_vec() });
        }
        let small = halve(&picture.map(|v| 2.0 * v.clamp(0.0, 1.0) - 1.0));
        let batch = HostTensor::from_fn([1, 3, SIDE, SIDE], |i| small.data()[i]);
        Ok(CpuTensor::from_host(&batch, &())?)
    }

    /// What is on a picture `[3, 128, 128]` in 0..1 by the judge's word, and the features that it is read from.
    ///
    /// # Errors
    /// When the shape is another or the network fails.
    pub fn judge(&self, picture: &HostTensor) -> Result<(Option<Verdict>, Vec<f32>)> {
        with_precision(Precision::Split, || {
            let output = self.judge.forward(&Self::input(picture)?)?;
            let verdict = Verdict::read(&output.logits.to_host()?).pop();
            Ok((verdict, output.features.to_host()?.data().to_vec()))
        })
    }

    /// CLIP's features of a text: `hidden: [1, L, D]` of the text encoder, `end`: the place of the end token.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn text(&self, hidden: &HostTensor, end: usize) -> Result<Vec<f32>> {
        with_precision(Precision::Split, || Ok(self.text.forward(&CpuTensor::from_host(hidden, &())?, &[end])?.to_host()?.data().to_vec()))
    }

    /// Cosine between CLIP's features of a picture `[3, 128, 128]` in 0..1 and of a text.
    ///
    /// # Errors
    /// When the shape is another or the network fails.
    pub fn similarity(&self, picture: &HostTensor, text: &[f32]) -> Result<f64> {
        let features = with_precision(Precision::Split, || -> Result<_> { Ok(self.image.forward(&Self::input(picture)?)?.to_host()?) })?;
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let norms = (dot(features.data(), features.data()) * dot(text, text)).sqrt();
        Ok(if norms > 0.0 { dot(features.data(), text) / norms } else { 0.0 })
    }
}
