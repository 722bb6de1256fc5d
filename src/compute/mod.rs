//! Tensors and the layer-sized operations that models are written in; knows nothing of diffusion.
//!
//! A model is written once over [`Tensor`] and runs on every implementer: [`cpu`] (our own kernels, differentiable), [`mod@wgpu`]
//! (our own kernels on any graphics card), [`mod@candle`] (CUDA, differentiable; also the second opinion in tests) and [`meta`]
//! (shapes only, for parameter and operation counts). The trait stays narrow: an operation is the size of a layer, so that an
//! implementer can fuse what belongs together.

pub mod candle;
pub mod cpu;
mod kind;
pub mod meta;
pub mod peak;
mod precision;
pub mod wgpu;

pub use kind::{DeviceKind, Graphics};
pub use precision::{Precision, with_precision};
pub use wgpu::{AdapterCard, AdapterKind, Convolving, Shelf, Storage, WgpuDevice, WgpuTensor, adapters, keep_compiled};

use crate::host::HostTensor;
use std::fmt;

/// What goes wrong in a tensor operation.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ComputeError {
    /// Operands that do not fit together.
    #[error("{operation}: {detail}")]
    Shape {
        /// The operation.
        operation: &'static str,
        /// What was expected and what came.
        detail: String,
    },
    /// A device that this build or machine does not have.
    #[error("the device {device} cannot be used: {detail}")]
    Device {
        /// The device asked for.
        device: &'static str,
        /// Why, and what to do.
        detail: String,
    },
    /// Asking a tensor that has a shape only for its values.
    #[error("a shape-only tensor holds no values")]
    NoValues,
    /// The library underneath failed.
    #[error("{0}")]
    Backend(String),
}

/// The result of a tensor operation.
pub type Result<T> = std::result::Result<T, ComputeError>;

/// Shorthand for a [`ComputeError::Shape`].
pub(crate) fn shape_error<T>(operation: &'static str, detail: impl fmt::Display) -> Result<T> {
    Err(ComputeError::Shape { operation, detail: detail.to_string() })
}

/// An elementwise nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `x / (1 + exp(-x))` (Elfwing et al. 2017, arXiv 1702.03118).
    Silu,
    /// `x Phi(x)` with the exact error function (Hendrycks and Gimpel 2016, arXiv 1606.08415).
    Gelu,
    /// `x / (1 + exp(-1.702 x))`, CLIP's approximation of [`Self::Gelu`].
    QuickGelu,
}

/// Geometry of a convolution. The same padding applies to both axes; it is smaller than the kernel, and the stride is not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Distance between the windows, in pixels.
    pub stride: usize,
    /// Zeros added above and to the left.
    pub pad_before: usize,
    /// Zeros added below and to the right.
    pub pad_after: usize,
}

impl Conv2d {
    /// Stride 1, with as much padding as keeps the size for a 3x3 kernel.
    pub const SAME_3X3: Self = Self { stride: 1, pad_before: 1, pad_after: 1 };
    /// Stride 1 without padding.
    pub const POINTWISE: Self = Self { stride: 1, pad_before: 0, pad_after: 0 };

    /// Output extent along an axis of `extent` under a kernel of `kernel`; `None` when the kernel does not fit.
    pub fn output_extent(self, extent: usize, kernel: usize) -> Option<usize> {
        (extent + self.pad_before + self.pad_after).checked_sub(kernel)?.checked_div(self.stride).map(|steps| steps + 1)
    }
}

/// Group normalisation and an activation, before a [`Convolution`].
#[derive(Debug, Clone, Copy)]
pub struct GroupNormalization<'a, T> {
    /// `[C]`.
    pub weight: &'a T,
    /// `[C]`.
    pub bias: &'a T,
    /// Number of groups.
    pub groups: usize,
    /// Added to variances.
    pub eps: f64,
    /// Afterwards.
    pub activation: Activation,
}

/// A convolution with what surrounds it in the models, so that an implementer can do it all in one pass.
#[derive(Debug, Clone, Copy)]
pub struct Convolution<'a, T> {
    /// Normalisation and activation of the input.
    pub norm: Option<GroupNormalization<'a, T>>,
    /// Whether the input, after its normalisation, is doubled in height and width by repetition.
    pub repeat: bool,
    /// `[O, C, K, K]`.
    pub weight: &'a T,
    /// `[O]`.
    pub bias: Option<&'a T>,
    /// Stride and padding.
    pub geometry: Conv2d,
    /// `[B, O]`, added at every place.
    pub channels: Option<&'a T>,
    /// `[B, O, H', W']`, added.
    pub residual: Option<&'a T>,
}

impl<'a, T> Convolution<'a, T> {
    /// A convolution alone.
    pub fn plain(weight: &'a T, bias: Option<&'a T>, geometry: Conv2d) -> Self {
        Self { norm: None, repeat: false, weight, bias, geometry, channels: None, residual: None }
    }
}

impl<T: Tensor> Convolution<'_, T> {
    /// The shape `[B, O, H', W']` of what it makes of `x`, `[B, C, H, W]`. The normalisation is not looked at.
    ///
    /// # Errors
    /// When its parts do not fit together or to `x`.
    fn output_shape(&self, x: &T) -> Result<[usize; 4]> {
        let [batch, channels, height, width] = dims("convolution", x.shape())?;
        let [outputs, expected, kernel, other] = dims("convolution", self.weight.shape())?;
        let g = self.geometry;
        if g.pad_before.max(g.pad_after) >= kernel.max(1) {
            return shape_error("convolution", format!("a padding of {} for a kernel of {kernel}", g.pad_before.max(g.pad_after)));
        }
        let extent = |side: usize| g.output_extent(if self.repeat { 2 * side } else { side }, kernel);
        let (Some(rows), Some(columns)) = (extent(height), extent(width)) else {
            return shape_error("convolution", format!("the kernel {:?} is larger than the input {:?}", self.weight.shape(), x.shape()));
        };
        let holds_nothing = |tensor: &T| tensor.shape().contains(&0);
        let misfits = expected != channels || kernel != other || self.bias.is_some_and(|bias| bias.shape() != [outputs]);
        if misfits || holds_nothing(self.weight) || holds_nothing(x) {
            return shape_error("convolution", format!("the weight {:?} does not fit the input {:?}", self.weight.shape(), x.shape()));
        }
        let shape = [batch, outputs, rows, columns];
        if self.channels.is_some_and(|added| added.shape() != [batch, outputs]) || self.residual.is_some_and(|added| added.shape() != shape)
        {
            let added = (self.channels.map(T::shape), self.residual.map(T::shape));
            return shape_error("convolution", format!("{added:?} cannot be added to {shape:?}"));
        }
        Ok(shape)
    }
}

/// Which keys a query may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// All.
    None,
    /// Those up to its own position.
    Causal,
}

/// A dense tensor on some device, and the operations that the models are made of.
///
/// Shapes are row-major, pictures `[B, C, H, W]`, sequences `[B, N, C]`.
pub trait Tensor: Clone + Send + Sync + fmt::Debug + Sized + 'static {
    /// What tensors are made on.
    type Device: Clone + Send + Sync + fmt::Debug;

    /// Whether the same work on several samples is done in one batch rather than sample by sample: where starting an operation
    /// costs more than a sample.
    const BATCHES: bool = false;

    /// Copies a host tensor to `device`.
    fn from_host(host: &HostTensor, device: &Self::Device) -> Result<Self>;

    /// Copies the values to the host.
    ///
    /// # Errors
    /// [`ComputeError::NoValues`] for shape-only tensors.
    fn to_host(&self) -> Result<HostTensor>;

    /// Extents, outermost first.
    fn shape(&self) -> &[usize];

    /// `y = x W^T + b`. `x: [.., I]`, `weight: [O, I]`, `bias: [O]` -> `[.., O]`.
    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self>;

    /// `x W^T + b + residual`, as [`Self::linear`] and [`Self::add`] define it.
    fn linear_add(&self, weight: &Self, bias: Option<&Self>, residual: &Self) -> Result<Self> {
        residual.add(&self.linear(weight, bias)?)
    }

    /// `activation(x W^T + b)`, as [`Self::linear`] and [`Self::activate`] define it.
    fn linear_activate(&self, weight: &Self, bias: Option<&Self>, activation: Activation) -> Result<Self> {
        self.linear(weight, bias)?.activate(activation)
    }

    /// Normalisation, activation, enlargement, convolution and sums, as the single operations define them.
    fn convolution(&self, c: &Convolution<'_, Self>) -> Result<Self> {
        let mut x = self.clone();
        if let Some(norm) = &c.norm {
            x = x.group_norm(norm.weight, norm.bias, norm.groups, norm.eps, norm.activation)?;
        }
        if c.repeat {
            x = x.upsample_nearest2x()?;
        }
        x = x.conv2d(c.weight, c.bias, c.geometry)?;
        if let Some(channels) = c.channels {
            x = x.add_channels(channels)?;
        }
        match c.residual {
            Some(residual) => residual.add(&x),
            None => Ok(x),
        }
    }

    /// Runs `work` on independent tasks, on the host's threads where that is where tensors are computed; results in order.
    fn at_once<P: Send, R: Send>(tasks: Vec<P>, work: impl Fn(P) -> R + Sync + Send) -> Vec<R> {
        tasks.into_iter().map(work).collect()
    }

    /// Cross-correlation. `x: [B, C, H, W]`, `weight: [O, C, K, K]`, `bias: [O]` -> `[B, O, H', W']`.
    fn conv2d(&self, weight: &Self, bias: Option<&Self>, geometry: Conv2d) -> Result<Self>;

    /// Group normalisation (Wu and He 2018, arXiv 1803.08494) and an activation. `x: [B, C, H, W]`, `weight, bias: [C]`.
    fn group_norm(&self, weight: &Self, bias: &Self, groups: usize, eps: f64, activation: Activation) -> Result<Self>;

    /// Layer normalisation over the last axis (Ba et al. 2016, arXiv 1607.06450). `weight, bias: [C]`.
    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self>;

    /// Multi-head attention, `softmax(q k^T / sqrt(d)) v` in each head (Vaswani et al. 2017, arXiv 1706.03762).
    ///
    /// `q: [B, N, C]`, `k, v: [B, M, C]` -> `[B, N, C]`, and the weights `[B, heads, N, M]` when `keep_weights`.
    fn attention(q: &Self, k: &Self, v: &Self, heads: usize, mask: Mask, keep_weights: bool) -> Result<(Self, Option<Self>)>;

    /// An elementwise nonlinearity.
    fn activate(&self, activation: Activation) -> Result<Self>;

    /// `a * gelu(g)` with `[a, g]` the halves of the last axis (Shazeer 2020, arXiv 2002.05202). `[.., 2 C]` -> `[.., C]`.
    fn geglu(&self) -> Result<Self>;

    /// `x + y`, where the shape of `y` is that of `x` or a suffix of it.
    fn add(&self, other: &Self) -> Result<Self>;

    /// `x[b, c, h, w] + y[b, c]`. `x: [B, C, H, W]`, `y: [B, C]`.
    fn add_channels(&self, other: &Self) -> Result<Self>;

    /// `factor * x`.
    fn scale(&self, factor: f64) -> Result<Self>;

    /// Joins along `axis`.
    fn cat(parts: &[&Self], axis: usize) -> Result<Self>;

    /// `len` elements from `start` along `axis`.
    fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Self>;

    /// The same values under another shape.
    fn reshape(&self, shape: &[usize]) -> Result<Self>;

    /// Reorders the axes: axis `i` of the result is axis `axes[i]` of `self`.
    fn permute(&self, axes: &[usize]) -> Result<Self>;

    /// Doubles height and width by repetition. `[B, C, H, W]` -> `[B, C, 2 H, 2 W]`.
    fn upsample_nearest2x(&self) -> Result<Self>;

    /// Rows of `table: [V, C]` by index, `ids` of length `B * N` -> `[B, N, C]`.
    fn embedding(table: &Self, ids: &[u32], batch: usize) -> Result<Self>;

    /// Mean over height and width. `[B, C, H, W]` -> `[B, C]`.
    fn mean_pool(&self) -> Result<Self>;
}

/// A tensor that remembers how it was made, so that gradients can be taken through it.
pub trait Differentiable: Tensor {
    /// Parts that a batch is divided into, worked on at the same time ([`Tensor::at_once`]): with two on the host's threads, what
    /// runs on a single one in one part overlaps with the other's work. Fixed, so that what a run sees does not depend on the machine.
    const PARTS: usize = 1;

    /// A leaf that gradients are taken of.
    fn variable(host: &HostTensor, device: &Self::Device) -> Result<Self>;

    /// The same values, cut off from what they were made of.
    fn detached(&self) -> Self;

    /// For each of `variables` the gradient of `sum_i <gradient_i, output_i>` over the `outputs`, row-major in the variable's
    /// shape; `None` where no output depends on it.
    ///
    /// # Errors
    /// When a gradient does not have its output's shape.
    fn backward(outputs: &[(&Self, &HostTensor)], variables: &[&Self]) -> Result<Vec<Option<Vec<f32>>>>;
}

/// Checks that `shape` has `N` axes and returns them.
pub(crate) fn dims<const N: usize>(operation: &'static str, shape: &[usize]) -> Result<[usize; N]> {
    <[usize; N]>::try_from(shape).or_else(|_| shape_error(operation, format!("expected {N} axes, got the shape {shape:?}")))
}
