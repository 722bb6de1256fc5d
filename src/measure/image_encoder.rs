//! CLIP's two ends that diffusion itself does not need: the picture encoder and the projection of the text.

use super::trunk::{SMALL, Trunk};
use crate::compute::Tensor;
use crate::model::ModelError;
use crate::model::layers::Linear;
use crate::model::params::Params;

/// Width of the space in which pictures and texts meet.
pub const FEATURES: usize = 128;

/// Pictures to features.
#[derive(Debug, Clone)]
pub struct ImageEncoder<T> {
    trunk: Trunk<T>,
    projection: Linear<T>,
}

impl<T: Tensor> ImageEncoder<T> {
    /// Its weights at `p`: `trunk.*` and `projection.weight`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(p: &Params<T>) -> Result<Self, ModelError> {
        let projection = Linear::new(&p.pp("projection"), Trunk::<T>::WIDTH, FEATURES, false)?;
        Ok(Self { trunk: Trunk::new(&p.pp("trunk"), SMALL)?, projection })
    }

    /// `pictures: [B, 3, 64, 64]` in -1..1 -> `[B, FEATURES]`, not normalised.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, pictures: &T) -> Result<T, ModelError> {
        self.projection.forward(&self.trunk.forward(pictures)?)
    }
}

/// The text's state at its end token to features.
#[derive(Debug, Clone)]
pub struct TextProjection<T> {
    projection: Linear<T>,
}

impl<T: Tensor> TextProjection<T> {
    /// Its weight at `p`: `weight`, `[FEATURES, width]`.
    ///
    /// # Errors
    /// When the weight is missing or has another shape.
    pub fn new(p: &Params<T>, width: usize) -> Result<Self, ModelError> {
        Ok(Self { projection: Linear::new(p, width, FEATURES, false)? })
    }

    /// `hidden: [B, L, D]`, `ends`: the place of each end token -> `[B, FEATURES]`, not normalised.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn forward(&self, hidden: &T, ends: &[usize]) -> Result<T, ModelError> {
        let [batch, length, width] = crate::compute::dims("text projection", hidden.shape())?;
        let rows: Vec<u32> = ends.iter().enumerate().map(|(index, end)| (index * length + end) as u32).collect();
        let table = hidden.reshape(&[batch * length, width])?;
        let pooled = T::embedding(&table, &rows, 1)?.reshape(&[ends.len(), width])?;
        self.projection.forward(&pooled)
    }
}
