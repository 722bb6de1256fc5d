//! Tensors on a graphics card, through wgpu: Vulkan, Metal or DX12, whatever the maker.
//!
//! Each operation is one kernel, a file of its own in `shaders/` ([`kernels`]). Pictures are stored `[batch, row, column,
//! channel]` whatever their shape says, as on the processor, so that tokens and pictures are the same memory. Work is recorded
//! and handed to the device in pieces ([`recorder`]); only reading values back waits for it. Buffers are recycled ([`pool`]).

mod adapters;
mod compiled;
mod device;
mod kernels;
mod layout;
mod operations;
mod peak;
mod pool;
mod recorder;
mod winograd;

pub use adapters::{AdapterCard, AdapterKind, adapters, ready};
pub use compiled::{Shelf, keep_compiled};
pub use device::{Storage, WgpuDevice};
pub use peak::Peak;
pub use winograd::Convolving;

use super::{Activation, ComputeError, Conv2d, Convolution, Mask, Result, Tensor, dims, shape_error};
use crate::host::HostTensor;
use device::Fault;
use pool::Block;
use std::fmt;
use std::sync::{Arc, OnceLock};

struct Inner {
    shape: Vec<usize>,
    /// Whether a shape [B, C, H, W] is stored as [B, H, W, C].
    last: bool,
    block: Arc<Block>,
    device: WgpuDevice,
    /// Of the weight of a convolution: what Winograd's minimal filtering takes in its place, once it has been asked for.
    transformed: OnceLock<Arc<Block>>,
}

/// A tensor on a graphics card. Cloning shares it.
#[derive(Clone)]
pub struct WgpuTensor(Arc<Inner>);

impl fmt::Debug for WgpuTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WgpuTensor{:?}", self.0.shape)
    }
}

/// A number of workgroups, of which at most 65535 may stand in a row.
fn folded(count: usize) -> [u32; 3] {
    let rows = count.div_ceil(65_535).max(1);
    [count.div_ceil(rows) as u32, rows as u32, 1]
}

impl WgpuTensor {
    fn new(shape: Vec<usize>, last: bool, block: Arc<Block>, device: WgpuDevice) -> Self {
        Self(Arc::new(Inner { shape, last, block, device, transformed: OnceLock::new() }))
    }

    /// A tensor beside this one, with whatever is in its memory.
    fn empty(&self, shape: Vec<usize>, last: bool) -> Result<Self> {
        let device = &self.0.device;
        let block = device.allocate(shape.iter().product(), device.storage().bytes())?;
        Ok(Self::new(shape, last, block, device.clone()))
    }

    /// The same values under another shape.
    fn view(&self, shape: Vec<usize>, last: bool) -> Self {
        Self::new(shape, last, Arc::clone(&self.0.block), self.0.device.clone())
    }

    fn elements(&self) -> usize {
        self.0.shape.iter().product()
    }

    /// An error for a tensor without values.
    fn filled(&self, operation: &'static str) -> Result<()> {
        if self.elements() == 0 { shape_error(operation, format!("the input {:?} has no values", self.0.shape)) } else { Ok(()) }
    }
}

impl Tensor for WgpuTensor {
    type Device = WgpuDevice;

    const BATCHES: bool = true;

    fn from_host(host: &HostTensor, device: &WgpuDevice) -> Result<Self> {
        let shape = host.shape().to_vec();
        // Pictures, and the weights of convolutions, with channels last from the start.
        if let Ok(extents) = <[usize; 4]>::try_from(host.shape()) {
            let block = device.upload(&layout::on_host(host.data(), extents, true))?;
            return Ok(Self::new(shape, true, block, device.clone()));
        }
        Ok(Self::new(shape, false, device.upload(host.data())?, device.clone()))
    }

    fn to_host(&self) -> Result<HostTensor> {
        let values = self.0.device.download(&self.0.block, self.elements())?;
        let host = match <[usize; 4]>::try_from(&self.0.shape[..]) {
            Ok(extents) if self.0.last => HostTensor::new(self.0.shape.clone(), layout::on_host(&values, extents, false)),
            _ => HostTensor::new(self.0.shape.clone(), values),
        };
        host.map_err(|e| ComputeError::Backend(e.to_string()))
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        operations::linear(self, weight, bias, Activation::Identity, None)
    }

    fn linear_activate(&self, weight: &Self, bias: Option<&Self>, activation: Activation) -> Result<Self> {
        operations::linear(self, weight, bias, activation, None)
    }

    fn linear_add(&self, weight: &Self, bias: Option<&Self>, residual: &Self) -> Result<Self> {
        operations::linear(self, weight, bias, Activation::Identity, Some(residual))
    }

    fn conv2d(&self, weight: &Self, bias: Option<&Self>, geometry: Conv2d) -> Result<Self> {
        self.convolution(&Convolution::plain(weight, bias, geometry))
    }

    fn convolution(&self, c: &Convolution<'_, Self>) -> Result<Self> {
        match &c.norm {
            Some(norm) => {
                let x = self.group_norm(norm.weight, norm.bias, norm.groups, norm.eps, norm.activation)?;
                operations::convolution(&x, c)
            }
            None => operations::convolution(self, c),
        }
    }

    fn group_norm(&self, weight: &Self, bias: &Self, groups: usize, eps: f64, activation: Activation) -> Result<Self> {
        operations::group_norm(self, weight, bias, groups, eps, activation)
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        operations::layer_norm(self, weight, bias, eps)
    }

    fn attention(q: &Self, k: &Self, v: &Self, heads: usize, mask: Mask, keep_weights: bool) -> Result<(Self, Option<Self>)> {
        operations::attention(q, k, v, heads, mask, keep_weights)
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        operations::activate(self, activation)
    }

    fn geglu(&self) -> Result<Self> {
        operations::geglu(self)
    }

    fn add(&self, other: &Self) -> Result<Self> {
        if !self.0.shape.ends_with(&other.0.shape) {
            return shape_error("add", format!("{:?} is not the end of {:?}", other.0.shape, self.0.shape));
        }
        if self.0.last && other.0.shape.len() == 4 {
            return operations::add(self, &layout::channels_last(other)?);
        }
        operations::add(&layout::dense(self)?, &layout::dense(other)?)
    }

    fn add_channels(&self, other: &Self) -> Result<Self> {
        operations::add_channels(self, other)
    }

    fn scale(&self, factor: f64) -> Result<Self> {
        operations::scale(self, factor as f32)
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
        let parts = parts.iter().map(|&part| if last { layout::channels_last(part) } else { Ok(part.clone()) });
        layout::cat(&parts.collect::<Result<Vec<_>>>()?, axis)
    }

    fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        if self.0.shape.get(axis).is_none_or(|&extent| start.checked_add(len).is_none_or(|end| end > extent)) {
            return shape_error("narrow", format!("{len} from {start} along axis {axis} of {:?}", self.0.shape));
        }
        layout::narrow(self, axis, start, len)
    }

    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if shape.iter().product::<usize>() != self.elements() {
            return shape_error("reshape", format!("{:?} to {shape:?}", self.0.shape));
        }
        Ok(layout::dense(self)?.view(shape.to_vec(), false))
    }

    fn permute(&self, axes: &[usize]) -> Result<Self> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted.iter().enumerate().any(|(i, &axis)| i != axis) || axes.len() != self.0.shape.len() {
            return shape_error("permute", format!("{axes:?} of {:?}", self.0.shape));
        }
        layout::permute(self, axes)
    }

    fn upsample_nearest2x(&self) -> Result<Self> {
        operations::upsample_nearest2x(self)
    }

    fn embedding(table: &Self, ids: &[u32], batch: usize) -> Result<Self> {
        let [vocabulary, _] = dims("embedding", &table.0.shape)?;
        if batch == 0 || !ids.len().is_multiple_of(batch) {
            return shape_error("embedding", format!("{} ids in a batch of {batch}", ids.len()));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            return shape_error("embedding", format!("the token {id} is outside of a vocabulary of {vocabulary}"));
        }
        operations::embedding(table, ids, batch)
    }

    fn mean_pool(&self) -> Result<Self> {
        operations::mean_pool(self)
    }
}

#[cfg(test)]
mod tests;
