//! The small convolutional network under the judge and under CLIP's picture encoder. They share its form, never its weights.

use crate::compute::{Activation, Conv2d, Tensor};
use crate::model::ModelError;
use crate::model::layers::{Conv, GroupNorm, Linear};
use crate::model::params::Params;

/// Side of the pictures that it takes.
pub const SIDE: usize = 64;

/// Outputs and stride of each 3x3 convolution, from 64x64 pixels to 8x8.
const STAGES: [(usize, usize); 7] = [(32, 2), (64, 1), (64, 2), (96, 1), (96, 2), (128, 1), (128, 1)];
/// Channels that are laid out by place at the end.
const LAID_OUT: usize = 32;
/// Groups of each normalisation.
const GROUPS: usize = 8;

/// Convolutions with group norm and SiLU, then one linear layer that still sees where everything is.
#[derive(Debug, Clone)]
pub struct Trunk<T> {
    stages: Vec<(Conv<T>, GroupNorm<T>, bool)>,
    narrow: Conv<T>,
    narrow_norm: GroupNorm<T>,
    join: Linear<T>,
}

impl<T: Tensor> Trunk<T> {
    /// Width of what it returns.
    pub const WIDTH: usize = 256;

    /// Its weights at `p`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(p: &Params<T>) -> Result<Self, ModelError> {
        let (mut stages, mut inputs) = (Vec::new(), 3);
        for (index, (outputs, stride)) in STAGES.into_iter().enumerate() {
            let conv = Conv::new(&p.pp(format!("conv.{index}")), inputs, outputs, 3, Conv2d { stride, pad_before: 1, pad_after: 1 })?;
            let norm = GroupNorm::new(&p.pp(format!("norm.{index}")), GROUPS, outputs, 1e-5, Activation::Silu)?;
            stages.push((conv, norm, inputs == outputs && stride == 1));
            inputs = outputs;
        }
        let cells = (SIDE / 8) * (SIDE / 8);
        Ok(Self {
            stages,
            narrow: Conv::new(&p.pp("narrow"), inputs, LAID_OUT, 1, Conv2d::POINTWISE)?,
            narrow_norm: GroupNorm::new(&p.pp("narrow_norm"), GROUPS, LAID_OUT, 1e-5, Activation::Silu)?,
            join: Linear::new(&p.pp("join"), LAID_OUT * cells, Self::WIDTH, true)?,
        })
    }

    /// `pictures: [B, 3, 64, 64]` in -1..1 -> `[B, WIDTH]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, pictures: &T) -> Result<T, ModelError> {
        let mut x = pictures.clone();
        for (conv, norm, residual) in &self.stages {
            let y = norm.forward(&conv.forward(&x)?)?;
            x = if *residual { y.add(&x)? } else { y };
        }
        let x = self.narrow_norm.forward(&self.narrow.forward(&x)?)?;
        let batch = x.shape()[0];
        let width: usize = x.shape()[1..].iter().product();
        Ok(self.join.forward(&x.reshape(&[batch, width])?)?.activate(Activation::Silu)?)
    }
}
