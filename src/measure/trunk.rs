//! The small convolutional network under the judge and under CLIP's picture encoder. They never share weights, and the judge's
//! is deeper.

use crate::compute::{Activation, Conv2d, Tensor};
use crate::model::ModelError;
use crate::model::layers::{Conv, GroupNorm, Linear};
use crate::model::params::Params;

/// Side of the pictures that it takes.
pub const SIDE: usize = 64;

/// Side of the maps that it ends with.
pub const MAP_SIDE: usize = SIDE / 8;

/// Outputs and stride of each 3x3 convolution, from 64x64 pixels to 8x8.
pub(super) type Stages = &'static [(usize, usize)];

/// CLIP's: 65 million multiplications a picture.
pub(super) const SMALL: Stages = &[(32, 2), (64, 1), (64, 2), (96, 1), (96, 2), (128, 1), (128, 1)];
/// The judge's: 113 million.
pub(super) const DEEP: Stages = &[(32, 2), (64, 1), (64, 2), (96, 1), (96, 1), (128, 2), (160, 1), (160, 1), (160, 1)];

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
    pub fn new(p: &Params<T>, form: Stages) -> Result<Self, ModelError> {
        let (mut stages, mut inputs) = (Vec::new(), 3);
        for (index, &(outputs, stride)) in form.iter().enumerate() {
            let conv = Conv::new(&p.pp(format!("conv.{index}")), inputs, outputs, 3, Conv2d { stride, pad_before: 1, pad_after: 1 })?;
            let norm = GroupNorm::new(&p.pp(format!("norm.{index}")), GROUPS, outputs, 1e-5, Activation::Silu)?;
            stages.push((conv, norm, inputs == outputs && stride == 1));
            inputs = outputs;
        }
        Ok(Self {
            stages,
            narrow: Conv::new(&p.pp("narrow"), inputs, LAID_OUT, 1, Conv2d::POINTWISE)?,
            narrow_norm: GroupNorm::new(&p.pp("narrow_norm"), GROUPS, LAID_OUT, 1e-5, Activation::Silu)?,
            join: Linear::new(&p.pp("join"), LAID_OUT * MAP_SIDE * MAP_SIDE, Self::WIDTH, true)?,
        })
    }

    /// What is seen where: `pictures: [B, 3, 64, 64]` in -1..1 -> `[B, C, 8, 8]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn maps(&self, pictures: &T) -> Result<T, ModelError> {
        let mut x = pictures.clone();
        for (conv, norm, residual) in &self.stages {
            let y = norm.forward(&conv.forward(&x)?)?;
            x = if *residual { y.add(&x)? } else { y };
        }
        Ok(x)
    }

    /// What all of it amounts to: the result of [`Self::maps`] -> `[B, WIDTH]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn join(&self, maps: &T) -> Result<T, ModelError> {
        let x = self.narrow_norm.forward(&self.narrow.forward(maps)?)?;
        let batch = x.shape()[0];
        let width: usize = x.shape()[1..].iter().product();
        self.join.forward_activated(&x.reshape(&[batch, width])?, Activation::Silu)
    }

    /// Both: `pictures: [B, 3, 64, 64]` in -1..1 -> `[B, WIDTH]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, pictures: &T) -> Result<T, ModelError> {
        self.join(&self.maps(pictures)?)
    }
}
