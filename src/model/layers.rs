//! The layers that the models share, with their weights under diffusers' names.

use super::ModelError;
use super::params::{Init, Params};
use crate::compute::{Activation, Conv2d, Convolution, GroupNormalization, Tensor};

/// An affine map of the last axis.
#[derive(Debug, Clone)]
pub struct Linear<T> {
    weight: T,
    bias: Option<T>,
}

impl<T: Tensor> Linear<T> {
    /// `weight: [outputs, inputs]` and `bias: [outputs]`, or no bias.
    pub fn new(p: &Params<T>, inputs: usize, outputs: usize, bias: bool) -> Result<Self, ModelError> {
        Self::with_init(p, inputs, outputs, bias, Init::FanIn(inputs))
    }

    /// As [`Self::new`], with another start of the weight in training.
    pub fn with_init(p: &Params<T>, inputs: usize, outputs: usize, bias: bool, init: Init) -> Result<Self, ModelError> {
        let weight = p.get("weight", &[outputs, inputs], init)?;
        let bias_init = if init == Init::Zeros { Init::Zeros } else { Init::FanIn(inputs) };
        let bias = bias.then(|| p.get("bias", &[outputs], bias_init)).transpose()?;
        Ok(Self { weight, bias })
    }

    /// `[.., inputs]` -> `[.., outputs]`.
    pub fn forward(&self, x: &T) -> Result<T, ModelError> {
        Ok(x.linear(&self.weight, self.bias.as_ref())?)
    }

    /// [`Self::forward`] and an activation.
    pub fn forward_activated(&self, x: &T, activation: Activation) -> Result<T, ModelError> {
        Ok(x.linear_activate(&self.weight, self.bias.as_ref(), activation)?)
    }

    /// [`Self::forward`], and `residual: [.., outputs]` added.
    pub fn forward_add(&self, x: &T, residual: &T) -> Result<T, ModelError> {
        Ok(x.linear_add(&self.weight, self.bias.as_ref(), residual)?)
    }
}

/// A convolution with bias.
#[derive(Debug, Clone)]
pub struct Conv<T> {
    weight: T,
    bias: T,
    geometry: Conv2d,
}

impl<T: Tensor> Conv<T> {
    /// `weight: [outputs, inputs, kernel, kernel]`, `bias: [outputs]`.
    pub fn new(p: &Params<T>, inputs: usize, outputs: usize, kernel: usize, geometry: Conv2d) -> Result<Self, ModelError> {
        Self::with_init(p, inputs, outputs, kernel, geometry, Init::FanIn(inputs * kernel * kernel))
    }

    /// As [`Self::new`], with another start in training.
    pub fn with_init(
        p: &Params<T>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        geometry: Conv2d,
        init: Init,
    ) -> Result<Self, ModelError> {
        let weight = p.get("weight", &[outputs, inputs, kernel, kernel], init)?;
        let bias = p.get("bias", &[outputs], init)?;
        Ok(Self { weight, bias, geometry })
    }

    /// A 3x3 convolution that keeps the size.
    pub fn same(p: &Params<T>, inputs: usize, outputs: usize) -> Result<Self, ModelError> {
        Self::new(p, inputs, outputs, 3, Conv2d::SAME_3X3)
    }

    /// `[B, inputs, H, W]` -> `[B, outputs, H', W']`.
    pub fn forward(&self, x: &T) -> Result<T, ModelError> {
        Ok(x.conv2d(&self.weight, Some(&self.bias), self.geometry)?)
    }

    /// The convolution alone, to be surrounded by what comes before and after it.
    pub fn plain(&self) -> Convolution<'_, T> {
        Convolution::plain(&self.weight, Some(&self.bias), self.geometry)
    }

    /// The convolution of the normalised input.
    pub fn after<'a>(&'a self, norm: &'a GroupNorm<T>) -> Convolution<'a, T> {
        Convolution { norm: Some(norm.operation()), ..self.plain() }
    }

    /// The convolution of the input doubled in height and width: `[B, inputs, H, W]` -> `[B, outputs, 2 H, 2 W]`.
    pub fn forward_doubled(&self, x: &T) -> Result<T, ModelError> {
        Ok(x.convolution(&Convolution { repeat: true, ..self.plain() })?)
    }
}

/// Group normalisation and an activation.
#[derive(Debug, Clone)]
pub struct GroupNorm<T> {
    weight: T,
    bias: T,
    groups: usize,
    eps: f64,
    activation: Activation,
}

impl<T: Tensor> GroupNorm<T> {
    /// `weight, bias: [channels]`.
    pub fn new(p: &Params<T>, groups: usize, channels: usize, eps: f64, activation: Activation) -> Result<Self, ModelError> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(ModelError::config(
                "norm_num_groups",
                format!("{groups} groups do not divide the {channels} channels of {}", p.path()),
            ));
        }
        let weight = p.get("weight", &[channels], Init::Ones)?;
        let bias = p.get("bias", &[channels], Init::Zeros)?;
        Ok(Self { weight, bias, groups, eps, activation })
    }

    /// `[B, C, H, W]` -> the same.
    pub fn forward(&self, x: &T) -> Result<T, ModelError> {
        Ok(x.group_norm(&self.weight, &self.bias, self.groups, self.eps, self.activation)?)
    }

    /// The normalisation as what comes before a convolution.
    pub fn operation(&self) -> GroupNormalization<'_, T> {
        let Self { weight, bias, groups, eps, activation } = self;
        GroupNormalization { weight, bias, groups: *groups, eps: *eps, activation: *activation }
    }
}

/// Layer normalisation over the last axis.
#[derive(Debug, Clone)]
pub struct LayerNorm<T> {
    weight: T,
    bias: T,
    eps: f64,
}

impl<T: Tensor> LayerNorm<T> {
    /// `weight, bias: [width]`.
    pub fn new(p: &Params<T>, width: usize, eps: f64) -> Result<Self, ModelError> {
        let weight = p.get("weight", &[width], Init::Ones)?;
        let bias = p.get("bias", &[width], Init::Zeros)?;
        Ok(Self { weight, bias, eps })
    }

    /// `[.., width]` -> the same.
    pub fn forward(&self, x: &T) -> Result<T, ModelError> {
        Ok(x.layer_norm(&self.weight, &self.bias, self.eps)?)
    }
}

/// `[B, C, H, W]` -> `[B, H W, C]`.
pub fn to_tokens<T: Tensor>(x: &T) -> Result<T, ModelError> {
    let [b, c, h, w] = crate::compute::dims("to_tokens", x.shape())?;
    Ok(x.permute(&[0, 2, 3, 1])?.reshape(&[b, h * w, c])?)
}

/// `[B, H W, C]` -> `[B, C, H, W]`.
pub fn to_picture<T: Tensor>(x: &T, h: usize, w: usize) -> Result<T, ModelError> {
    let [b, _, c] = crate::compute::dims("to_picture", x.shape())?;
    Ok(x.reshape(&[b, h, w, c])?.permute(&[0, 3, 1, 2])?)
}

/// A residual block (diffusers' `ResnetBlock2D`): norm, SiLU, convolution, the time embedding added, norm, SiLU,
/// convolution, and the input added.
#[derive(Debug, Clone)]
pub struct ResnetBlock<T> {
    path: String,
    norm1: GroupNorm<T>,
    conv1: Conv<T>,
    time_emb_proj: Option<Linear<T>>,
    norm2: GroupNorm<T>,
    conv2: Conv<T>,
    conv_shortcut: Option<Conv<T>>,
}

impl<T: Tensor> ResnetBlock<T> {
    /// `time_width` is the width of the time embedding, if there is one.
    pub fn new(
        p: &Params<T>,
        inputs: usize,
        outputs: usize,
        time_width: Option<usize>,
        groups: usize,
        eps: f64,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            path: p.path().to_owned(),
            norm1: GroupNorm::new(&p.pp("norm1"), groups, inputs, eps, Activation::Silu)?,
            conv1: Conv::same(&p.pp("conv1"), inputs, outputs)?,
            time_emb_proj: time_width.map(|width| Linear::new(&p.pp("time_emb_proj"), width, outputs, true)).transpose()?,
            norm2: GroupNorm::new(&p.pp("norm2"), groups, outputs, eps, Activation::Silu)?,
            // Starting at zero makes a new block the identity, which trains faster from the first step.
            conv2: Conv::with_init(&p.pp("conv2"), outputs, outputs, 3, Conv2d::SAME_3X3, Init::Zeros)?,
            conv_shortcut: (inputs != outputs)
                .then(|| Conv::new(&p.pp("conv_shortcut"), inputs, outputs, 1, Conv2d::POINTWISE))
                .transpose()?,
        })
    }

    /// The checkpoint path of the block.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the block adds at every place for a time embedding after its SiLU: `[B, time_width]` -> `[B, O]`.
    pub fn time(&self, time: &T) -> Result<Option<T>, ModelError> {
        self.time_emb_proj.as_ref().map(|proj| proj.forward(time)).transpose()
    }

    /// `x: [B, I, H, W]`, `time: [B, O]` of [`Self::time`] -> `[B, O, H, W]`.
    pub fn forward(&self, x: &T, time: Option<&T>) -> Result<T, ModelError> {
        let h = x.convolution(&Convolution { channels: time, ..self.conv1.after(&self.norm1) })?;
        let shortcut = self.conv_shortcut.as_ref().map(|shortcut| shortcut.forward(x)).transpose()?;
        Ok(h.convolution(&Convolution { residual: Some(shortcut.as_ref().unwrap_or(x)), ..self.conv2.after(&self.norm2) })?)
    }
}
