//! Tensors on the processor: what the program draws with and trains with.
//!
//! Pictures are stored `[batch, row, column, channel]` whatever their shape says, so tokens and pictures are the same memory and
//! no layer rearranges anything. A convolution takes the normalisation before it and the sums after it into its own pass
//! ([`conv`]); its products run in f32 vectors ([`product`]) or on matrix units ([`tiles`]). Results come from a pool of blocks
//! ([`buffer`]). A tensor made of variables remembers how ([`tape`]), so gradients can be taken.

mod attention;
mod buffer;
mod conv;
mod layer;
mod math;
mod norm;
mod order;
mod parallel;
mod pointwise;
mod product;
pub mod profile;
mod tape;
mod tiles;
mod weight_gradient;
mod weights;
mod window;

use super::{Activation, ComputeError, Conv2d, Convolution, Differentiable, Mask, Precision, Result, Tensor, dims, shape_error};
use crate::host::HostTensor;
use attention::AttentionShape;
use buffer::Buffer;
use conv::Mode;
use layer::{Layer, Norm};
use norm::{GroupShape, Moments};
use std::fmt;
use std::sync::{Arc, OnceLock};
use tape::{Backward, Gradient, Node};
use weights::Prepared;
use window::{Enlarge, Entry, Window};

/// Runs `f` compiled for the widest vectors that the processor has, chosen at run time.
#[inline(always)]
pub(crate) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Whether [`Precision::Bf16`] and [`Precision::Split`] run on matrix units here.
pub fn has_bf16_units() -> bool {
    tiles::available()
}

/// Values, shared between tensors of different shapes.
#[derive(Clone)]
enum Data {
    Host(HostTensor),
    Own(Arc<Buffer>),
}

struct Inner {
    shape: Vec<usize>,
    /// Whether a shape [B, C, H, W] is stored as [B, H, W, C].
    last: bool,
    data: Data,
    node: Option<Node>,
    prepared: OnceLock<Box<Prepared>>,
}

/// A tensor on the processor. Cloning shares it.
#[derive(Clone)]
pub struct CpuTensor(Arc<Inner>);

impl fmt::Debug for CpuTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuTensor{:?}", self.0.shape)
    }
}

impl CpuTensor {
    fn new(shape: Vec<usize>, last: bool, data: Data, node: Option<Node>) -> Self {
        Self(Arc::new(Inner { shape, last, data, node, prepared: OnceLock::new() }))
    }

    /// What was computed from `parents`; how to go back is asked for only when one of them remembers how it was made.
    fn result(shape: Vec<usize>, last: bool, values: Buffer, parents: Vec<Self>, backward: impl FnOnce() -> Backward) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        let node = parents.iter().any(|parent| parent.node().is_some()).then(|| Node::result(parents, backward()));
        Self::new(shape, last, Data::Own(Arc::new(values)), node)
    }

    /// The same values under another shape.
    fn view(&self, shape: Vec<usize>, last: bool) -> Self {
        let node = self.node().map(|_| {
            let back: Backward = Box::new(|grad: &Gradient| vec![Some(Arc::clone(grad))]);
            Node::result(vec![self.clone()], back)
        });
        Self::new(shape, last, self.0.data.clone(), node)
    }

    /// The values as they are stored.
    fn values(&self) -> &[f32] {
        match &self.0.data {
            Data::Host(host) => host.data(),
            Data::Own(buffer) => buffer,
        }
    }

    fn node(&self) -> Option<&Node> {
        self.0.node.as_ref()
    }

    fn prepared(&self) -> &Prepared {
        self.0.prepared.get_or_init(Box::default)
    }

    /// The four extents of a tensor that is stored with channels last.
    fn picture_shape(&self) -> [usize; 4] {
        <[usize; 4]>::try_from(&self.0.shape[..]).unwrap_or_else(|_| unreachable!("pictures have four axes"))
    }

    /// An error for a tensor without values.
    fn filled(&self, operation: &'static str) -> Result<()> {
        if self.values().is_empty() { shape_error(operation, format!("the input {:?} has no values", self.0.shape)) } else { Ok(()) }
    }

    fn layer(&self, c: &Convolution<'_, Self>) -> Result<Layer> {
        let [mut batch, outputs, ..] = c.output_shape(self)?;
        let [_, channels, height, width] = dims("convolution", &self.0.shape)?;
        let kernel = c.weight.0.shape[2];
        let g = c.geometry;
        let x = order::channels_last(self);
        let norm = c.norm.as_ref().map(|norm| self.norm(norm.weight, norm.bias, norm.groups, norm.eps, norm.activation)).transpose()?;
        let mut window = Window {
            height,
            width,
            channels,
            outputs,
            kernel,
            stride: g.stride,
            before: g.pad_before,
            below: g.pad_after,
            right: g.pad_after,
            enlarge: if c.repeat { Enlarge::Repeat } else { Enlarge::No },
        };
        if kernel == 1 && g.stride == 1 && window.is_plain() && norm.is_none() && c.channels.is_none() {
            window = Window::linear(batch * height * width, channels, outputs);
            batch = 1;
        }
        Ok(Layer {
            window,
            batch,
            x,
            norm,
            weight: c.weight.clone(),
            bias: c.bias.cloned(),
            channels: c.channels.cloned(),
            residual: c.residual.map(order::channels_last),
            mode: Mode::of(Precision::current()),
        })
    }

    fn norm(&self, weight: &Self, bias: &Self, groups: usize, eps: f64, activation: Activation) -> Result<Norm> {
        let [_, channels, _, _] = dims("group_norm", &self.0.shape)?;
        if groups == 0 || !channels.is_multiple_of(groups) || weight.0.shape != [channels] || bias.0.shape != [channels] {
            let detail = format!("{groups} groups and the weight {:?} do not fit the input {:?}", weight.0.shape, self.0.shape);
            return shape_error("group_norm", detail);
        }
        Ok(Norm { weight: weight.clone(), bias: bias.clone(), shape: GroupShape { channels, groups, eps }, activation })
    }

    fn affine(&self, weight: &Self, bias: Option<&Self>, residual: Option<&Self>) -> Result<Self> {
        let [outputs, inputs] = dims("linear", &weight.0.shape)?;
        if self.0.shape.last() != Some(&inputs)
            || weight.values().is_empty()
            || bias.is_some_and(|bias| bias.0.shape != [outputs])
            || self.values().is_empty()
        {
            return shape_error("linear", format!("the weight {:?} does not fit the input {:?}", weight.0.shape, self.0.shape));
        }
        let x = order::dense(self);
        let mut shape = self.0.shape.clone();
        shape.pop();
        shape.push(outputs);
        let residual = residual.map(order::dense);
        if residual.as_ref().is_some_and(|residual| residual.0.shape != shape) {
            return shape_error("linear", format!("{:?} cannot be added to {shape:?}", residual.map(|r| r.0.shape.clone())));
        }
        let layer = Layer {
            window: Window::linear(self.values().len() / inputs, inputs, outputs),
            batch: 1,
            x,
            norm: None,
            weight: weight.clone(),
            bias: bias.cloned(),
            channels: None,
            residual,
            mode: Mode::of(Precision::current()),
        };
        Ok(layer.run(shape, false))
    }
}

impl Tensor for CpuTensor {
    type Device = ();

    fn from_host(host: &HostTensor, (): &()) -> Result<Self> {
        Ok(Self::new(host.shape().to_vec(), false, Data::Host(host.clone()), None))
    }

    fn to_host(&self) -> Result<HostTensor> {
        let dense = order::dense(&self.detached());
        match &dense.0.data {
            Data::Host(host) if host.shape() == self.0.shape => Ok(host.clone()),
            _ => HostTensor::new(self.0.shape.clone(), dense.values()).map_err(|e| ComputeError::Backend(e.to_string())),
        }
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn at_once<P: Send, R: Send>(tasks: Vec<P>, work: impl Fn(P) -> R + Sync + Send) -> Vec<R> {
        parallel::parts(tasks, work)
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        self.affine(weight, bias, None)
    }

    fn linear_add(&self, weight: &Self, bias: Option<&Self>, residual: &Self) -> Result<Self> {
        self.affine(weight, bias, Some(residual))
    }

    fn conv2d(&self, weight: &Self, bias: Option<&Self>, geometry: Conv2d) -> Result<Self> {
        self.convolution(&Convolution::plain(weight, bias, geometry))
    }

    fn convolution(&self, c: &Convolution<'_, Self>) -> Result<Self> {
        let [batch, _, height, width] = dims("convolution", &self.0.shape)?;
        let layer = self.layer(c)?;
        let side = |extent: usize| c.geometry.output_extent(if c.repeat { 2 * extent } else { extent }, c.weight.0.shape[2]).unwrap_or(0);
        let shape = vec![batch, c.weight.0.shape[0], side(height), side(width)];
        Ok(layer.run(shape, true))
    }

    fn group_norm(&self, weight: &Self, bias: &Self, groups: usize, eps: f64, activation: Activation) -> Result<Self> {
        let norm = self.norm(weight, bias, groups, eps, activation)?;
        self.filled("group_norm")?;
        let x = order::channels_last(self);
        let size = x.values().len() / self.0.shape[0].max(1);
        let mut y = Buffer::any(x.values().len());
        let tasks: Vec<_> = x.values().chunks_exact(size.max(1)).zip(y.chunks_exact_mut(size.max(1))).collect();
        let moments: Vec<Moments> = profile::span("group norm", || {
            parallel::parts(tasks, |(x, y)| {
                let moments = norm.shape.moments(x);
                let (scale, shift) = norm.shape.affine(&moments, weight.values(), bias.values());
                norm::apply(x, &Entry { scale: &scale, shift: &shift, activation }, y);
                moments
            })
        });
        let origin = x.clone();
        Ok(Self::result(self.0.shape.clone(), true, y, vec![x, weight.clone(), bias.clone()], || {
            Box::new(move |grad: &Gradient| {
                let (weight, channels) = (norm.weight.values(), norm.shape.channels);
                let mut dx = Buffer::copy(grad);
                let tasks: Vec<_> = dx.chunks_exact_mut(size).zip(origin.values().chunks_exact(size)).zip(&moments).collect();
                let done = parallel::parts(tasks, |((dx, x), moments)| {
                    let mut sums = (vec![0.0; channels], vec![0.0; channels]);
                    let (scale, shift) = norm.shape.affine(moments, weight, norm.bias.values());
                    let entry = Entry { scale: &scale, shift: &shift, activation };
                    norm.shape.pull_back(x, moments, &entry, weight, dx, (&mut sums.0, &mut sums.1));
                    sums
                });
                let (mut by_weight, mut by_bias) = (Buffer::zeros(channels), Buffer::zeros(channels));
                for (w, b) in &done {
                    by_weight.iter_mut().zip(w).for_each(|(s, v)| *s += v);
                    by_bias.iter_mut().zip(b).for_each(|(s, v)| *s += v);
                }
                vec![Some(Arc::new(dx)), Some(Arc::new(by_weight)), Some(Arc::new(by_bias))]
            })
        }))
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        if self.0.shape.last() != weight.0.shape.first() || weight.0.shape.len() != 1 || weight.0.shape != bias.0.shape {
            return shape_error("layer_norm", format!("the weight {:?} does not fit the input {:?}", weight.0.shape, self.0.shape));
        }
        self.filled("layer_norm")?;
        Ok(pointwise::layer_norm(&order::dense(self), weight, bias, eps as f32))
    }

    fn attention(q: &Self, k: &Self, v: &Self, heads: usize, mask: Mask, keep_weights: bool) -> Result<(Self, Option<Self>)> {
        let [batch, queries, channels] = dims("attention", &q.0.shape)?;
        let [_, keys, _] = dims("attention", &k.0.shape)?;
        if k.0.shape != [batch, keys, channels]
            || v.0.shape != k.0.shape
            || heads == 0
            || channels % heads != 0
            || [batch, queries, keys, channels].contains(&0)
        {
            let detail = format!("queries {:?}, keys {:?}, values {:?}, {heads} heads", q.0.shape, k.0.shape, v.0.shape);
            return shape_error("attention", detail);
        }
        let shape = AttentionShape { batch, queries, keys, channels, heads, mask };
        let mut y = Buffer::any(q.values().len());
        let mut weights = keep_weights.then(|| Buffer::any(batch * heads * queries * keys));
        profile::span("attention", || {
            attention::attention(&shape, q.values(), k.values(), v.values(), &mut y, weights.as_deref_mut());
        });
        let weights = weights.map(|w| Self::new(vec![batch, heads, queries, keys], false, Data::Own(Arc::new(w)), None));
        let origins = (q.clone(), k.clone(), v.clone());
        let y = Self::result(q.0.shape.clone(), false, y, vec![q.clone(), k.clone(), v.clone()], || {
            Box::new(move |grad: &Gradient| {
                let (q, k, v) = (origins.0.values(), origins.1.values(), origins.2.values());
                let (mut dq, mut dk, mut dv) = (Buffer::any(q.len()), Buffer::any(k.len()), Buffer::any(v.len()));
                profile::span("attention, back", || attention::attention_back(&shape, q, k, v, grad, &mut dq, &mut dk, &mut dv));
                vec![Some(Arc::new(dq)), Some(Arc::new(dk)), Some(Arc::new(dv))]
            })
        });
        Ok((y, weights))
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        Ok(match activation {
            Activation::Identity => self.clone(),
            _ => pointwise::activation(self, activation),
        })
    }

    fn geglu(&self) -> Result<Self> {
        if self.0.shape.last().is_none_or(|width| width % 2 != 0 || *width == 0) {
            return shape_error("geglu", format!("the last axis of {:?} is not even", self.0.shape));
        }
        Ok(pointwise::geglu(&order::dense(self)))
    }

    fn add(&self, other: &Self) -> Result<Self> {
        if !self.0.shape.ends_with(&other.0.shape) {
            return shape_error("add", format!("{:?} is not the end of {:?}", other.0.shape, self.0.shape));
        }
        if self.0.last && other.0.shape.len() == 4 {
            return Ok(pointwise::add(self, &order::channels_last(other)));
        }
        Ok(pointwise::add(&order::dense(self), &order::dense(other)))
    }

    fn add_channels(&self, other: &Self) -> Result<Self> {
        let [b, c, _, _] = dims("add_channels", &self.0.shape)?;
        if other.0.shape != [b, c] {
            return shape_error("add_channels", format!("{:?} to {:?}", other.0.shape, self.0.shape));
        }
        self.filled("add_channels")?;
        Ok(pointwise::add_channels(&order::channels_last(self), other))
    }

    fn scale(&self, factor: f64) -> Result<Self> {
        Ok(pointwise::scale(self, factor as f32))
    }

    fn cat(parts: &[&Self], axis: usize) -> Result<Self> {
        let fits = |part: &&Self| {
            let (shape, first) = (&part.0.shape, &parts[0].0.shape);
            shape.len() == first.len() && axis < shape.len() && (0..shape.len()).all(|i| i == axis || shape[i] == first[i])
        };
        if parts.is_empty() || !parts.iter().all(fits) {
            return shape_error("cat", format!("{:?} along axis {axis}", parts.iter().map(|part| &part.0.shape).collect::<Vec<_>>()));
        }
        let last = parts.iter().any(|part| part.0.last);
        let parts: Vec<Self> = parts.iter().map(|&part| if last { order::channels_last(part) } else { part.clone() }).collect();
        Ok(order::cat(&parts.iter().collect::<Vec<_>>(), axis))
    }

    fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        if self.0.shape.get(axis).is_none_or(|&extent| start.checked_add(len).is_none_or(|end| end > extent)) {
            return shape_error("narrow", format!("{len} from {start} along axis {axis} of {:?}", self.0.shape));
        }
        Ok(order::narrow(self, axis, start, len))
    }

    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if shape.iter().product::<usize>() != self.values().len() {
            return shape_error("reshape", format!("{:?} to {shape:?}", self.0.shape));
        }
        Ok(order::dense(self).view(shape.to_vec(), false))
    }

    fn permute(&self, axes: &[usize]) -> Result<Self> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted.iter().enumerate().any(|(i, &axis)| i != axis) || axes.len() != self.0.shape.len() {
            return shape_error("permute", format!("{axes:?} of {:?}", self.0.shape));
        }
        Ok(order::permute(self, axes))
    }

    fn upsample_nearest2x(&self) -> Result<Self> {
        let [_, _, _, _] = dims("upsample_nearest2x", &self.0.shape)?;
        self.filled("upsample_nearest2x")?;
        Ok(order::upsample(&order::channels_last(self)))
    }

    fn embedding(table: &Self, ids: &[u32], batch: usize) -> Result<Self> {
        let [vocabulary, _] = dims("embedding", &table.0.shape)?;
        if batch == 0 || !ids.len().is_multiple_of(batch) {
            return shape_error("embedding", format!("{} ids in a batch of {batch}", ids.len()));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            return shape_error("embedding", format!("the token {id} is outside of a vocabulary of {vocabulary}"));
        }
        Ok(pointwise::embedding(table, ids, batch))
    }

    fn mean_pool(&self) -> Result<Self> {
        let [_, _, _, _] = dims("mean_pool", &self.0.shape)?;
        self.filled("mean_pool")?;
        Ok(pointwise::mean_pool(&order::channels_last(self)))
    }
}

impl Differentiable for CpuTensor {
    const PARTS: usize = 2;

    fn variable(host: &HostTensor, (): &()) -> Result<Self> {
        Ok(Self::new(host.shape().to_vec(), false, Data::Host(host.clone()), Some(Node::leaf())))
    }

    fn detached(&self) -> Self {
        match self.node() {
            None => self.clone(),
            Some(_) => Self::new(self.0.shape.clone(), self.0.last, self.0.data.clone(), None),
        }
    }

    fn backward(outputs: &[(&Self, &HostTensor)], variables: &[&Self]) -> Result<Vec<Option<Vec<f32>>>> {
        let mut given = Vec::new();
        for (output, gradient) in outputs {
            if gradient.shape() != output.0.shape {
                return shape_error("backward", format!("the gradient {:?} of the output {:?}", gradient.shape(), output.0.shape));
            }
            // In the order in which the output is stored.
            let gradient = Self::from_host(gradient, &())?;
            let gradient = if output.0.last { order::channels_last(&gradient) } else { gradient };
            given.push((*output, Arc::new(Buffer::copy(gradient.values()))));
        }
        Ok(tape::walk(given, variables).into_iter().map(|gradient| gradient.map(|values| values.to_vec())).collect())
    }
}

#[cfg(test)]
mod tests;
