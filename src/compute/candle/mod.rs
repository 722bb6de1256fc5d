//! Tensors of the candle library: models and their training on CUDA, and the second opinion on our own kernels.
//!
//! Layers are compositions of candle's differentiable operations, on whatever device candle has. Where a thread works with
//! [`Precision::Bf16`], a card's matrix products are of operands rounded to TF32 (10 bits after the point) with f32 sums.

mod attached;
mod composed;
#[cfg(feature = "cuda")]
mod cuda;

use super::{Activation, ComputeError, Conv2d, DeviceKind, Differentiable, Mask, Precision, Result, Tensor, dims, shape_error};
use crate::host::HostTensor;
use candle_core::{DType, Device};

pub use candle_core::Tensor as CandleTensor;

/// The candle device of a kind.
///
/// # Errors
/// [`ComputeError::Device`] when this build or machine does not have it.
pub fn device(kind: DeviceKind) -> Result<Device> {
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Cuda => {
            if cfg!(feature = "cuda") {
                let refused = |e| ComputeError::Device { device: "cuda", detail: format!("{e}; use --device cpu") };
                let device = Device::new_cuda(0).map_err(refused)?;
                keep_memory(&device).map_err(refused)?;
                Ok(device)
            } else {
                Err(ComputeError::Device {
                    device: "cuda",
                    detail: "this program was built without it; build with `cargo build --release --features cuda`, or use --device cpu"
                        .into(),
                })
            }
        }
        DeviceKind::Wgpu(_) => Err(ComputeError::Device { device: kind.label(), detail: "candle does not compute there".into() }),
    }
}

/// Lets the card's memory pool keep what is freed: it would be given back at every readback, and asked for again in the next step.
#[cfg(feature = "cuda")]
#[allow(unsafe_code)] // The library has no safe call for it.
fn keep_memory(device: &Device) -> candle_core::Result<()> {
    use candle_core::cuda::WrapErr;
    use candle_core::cuda::cudarc::driver::{result, sys::CUmemPool_attribute};
    let stream = device.as_cuda_device()?.cuda_stream();
    let mut threshold = u64::MAX;
    // SAFETY: the device is that of a living context, its default pool lives as long as it does, and the attribute is of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(stream.context().cu_device()).w()?;
        result::mem_pool::set_attribute(pool, CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, (&raw mut threshold).cast()).w()
    }
}

#[cfg(not(feature = "cuda"))]
fn keep_memory(_: &Device) -> candle_core::Result<()> {
    Ok(())
}

/// Brings candle's switch for the card's matrix units in line with what this thread computes in.
fn follow_precision() {
    candle_core::cuda::set_gemm_reduced_precision_f32(Precision::current() == Precision::Bf16);
}

impl From<candle_core::Error> for ComputeError {
    fn from(error: candle_core::Error) -> Self {
        Self::Backend(error.to_string())
    }
}

impl Tensor for CandleTensor {
    type Device = Device;

    fn from_host(host: &HostTensor, device: &Device) -> Result<Self> {
        Ok(CandleTensor::from_slice(host.data(), host.shape(), device)?)
    }

    fn to_host(&self) -> Result<HostTensor> {
        let data = self.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        HostTensor::new(self.dims(), data).map_err(|e| ComputeError::Backend(e.to_string()))
    }

    fn shape(&self) -> &[usize] {
        self.dims()
    }

    fn linear(&self, weight: &Self, bias: Option<&Self>) -> Result<Self> {
        let [outputs, inputs] = dims("linear", weight.dims())?;
        if self.dims().last() != Some(&inputs) {
            return shape_error("linear", format!("the weight {:?} does not fit the input {:?}", weight.dims(), self.dims()));
        }
        let mut shape = self.dims().to_vec();
        shape.pop();
        shape.push(outputs);
        follow_precision();
        composed::linear(self, weight, bias, &shape)
    }

    fn conv2d(&self, weight: &Self, bias: Option<&Self>, geometry: Conv2d) -> Result<Self> {
        let [_, in_channels, height, width] = dims("conv2d", self.dims())?;
        let [_, expected, kernel, other] = dims("conv2d", weight.dims())?;
        let fits = geometry.output_extent(height, kernel).is_some() && geometry.output_extent(width, kernel).is_some();
        if expected != in_channels || kernel != other || !fits {
            return shape_error("conv2d", format!("the weight {:?} does not fit the input {:?}", weight.dims(), self.dims()));
        }
        follow_precision();
        #[cfg(feature = "cuda")]
        if self.device().is_cuda() {
            return Ok(cuda::conv2d(self, weight, bias, geometry)?);
        }
        composed::conv2d(self, weight, bias, geometry)
    }

    fn group_norm(&self, weight: &Self, bias: &Self, groups: usize, eps: f64, activation: Activation) -> Result<Self> {
        let [_, channels, _, _] = dims("group_norm", self.dims())?;
        if groups == 0 || channels % groups != 0 || weight.dims() != [channels] || bias.dims() != [channels] {
            return shape_error(
                "group_norm",
                format!("{groups} groups and the weight {:?} do not fit the input {:?}", weight.dims(), self.dims()),
            );
        }
        #[cfg(feature = "cuda")]
        if self.device().is_cuda() {
            return cuda::group_norm(self, weight, bias, groups, eps, activation);
        }
        composed::group_norm(self, weight, bias, groups, eps, activation)
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        if self.dims().last() != weight.dims().first() || weight.dims() != bias.dims() {
            return shape_error("layer_norm", format!("the weight {:?} does not fit the input {:?}", weight.dims(), self.dims()));
        }
        composed::layer_norm(self, weight, bias, eps)
    }

    fn attention(q: &Self, k: &Self, v: &Self, heads: usize, mask: Mask, keep_weights: bool) -> Result<(Self, Option<Self>)> {
        let [batch, _, channels] = dims("attention", q.dims())?;
        let [_, keys, _] = dims("attention", k.dims())?;
        if k.dims() != [batch, keys, channels] || v.dims() != k.dims() || heads == 0 || channels % heads != 0 {
            return shape_error("attention", format!("queries {:?}, keys {:?}, values {:?}, {heads} heads", q.dims(), k.dims(), v.dims()));
        }
        follow_precision();
        composed::attention(q, k, v, heads, mask, keep_weights)
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        composed::activate(self, activation)
    }

    fn geglu(&self) -> Result<Self> {
        if self.dims().last().is_none_or(|width| width % 2 != 0) {
            return shape_error("geglu", format!("the last axis of {:?} is not even", self.dims()));
        }
        composed::geglu(self)
    }

    fn add(&self, other: &Self) -> Result<Self> {
        if !self.dims().ends_with(other.dims()) {
            return shape_error("add", format!("{:?} is not the end of {:?}", other.dims(), self.dims()));
        }
        Ok(self.broadcast_add(other)?)
    }

    fn add_channels(&self, other: &Self) -> Result<Self> {
        let [b, c, _, _] = dims("add_channels", self.dims())?;
        if other.dims() != [b, c] {
            return shape_error("add_channels", format!("{:?} to {:?}", other.dims(), self.dims()));
        }
        Ok(self.broadcast_add(&CandleTensor::reshape(other, (b, c, 1, 1))?)?)
    }

    fn scale(&self, factor: f64) -> Result<Self> {
        Ok(self.affine(factor, 0.0)?)
    }

    fn cat(parts: &[&Self], axis: usize) -> Result<Self> {
        Ok(CandleTensor::cat(parts, axis)?)
    }

    fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        Ok(CandleTensor::narrow(self, axis, start, len)?)
    }

    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        Ok(CandleTensor::reshape(self, shape)?)
    }

    fn permute(&self, axes: &[usize]) -> Result<Self> {
        Ok(CandleTensor::permute(self, axes)?.contiguous()?)
    }

    fn upsample_nearest2x(&self) -> Result<Self> {
        let [_, _, _, _] = dims("upsample_nearest2x", self.dims())?;
        composed::upsample_nearest2x(self)
    }

    fn embedding(table: &Self, ids: &[u32], batch: usize) -> Result<Self> {
        let [vocabulary, width] = dims("embedding", table.dims())?;
        if batch == 0 || !ids.len().is_multiple_of(batch) {
            return shape_error("embedding", format!("{} ids in a batch of {batch}", ids.len()));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocabulary) {
            return shape_error("embedding", format!("the token {id} is outside of a vocabulary of {vocabulary}"));
        }
        let ids = CandleTensor::from_slice(ids, ids.len(), table.device())?;
        let length = ids.elem_count() / batch;
        Ok(CandleTensor::reshape(&table.index_select(&ids, 0)?, (batch, length, width))?)
    }

    fn mean_pool(&self) -> Result<Self> {
        let [b, c, _, _] = dims("mean_pool", self.dims())?;
        Ok(CandleTensor::reshape(self, (b, c, ()))?.mean(2)?)
    }
}

impl Differentiable for CandleTensor {
    fn variable(host: &HostTensor, device: &Device) -> Result<Self> {
        Ok(candle_core::Var::from_tensor(&Self::from_host(host, device)?)?.into_inner())
    }

    fn detached(&self) -> Self {
        self.detach()
    }

    fn backward(outputs: &[(&Self, &HostTensor)], variables: &[&Self]) -> Result<Vec<Option<Vec<f32>>>> {
        // A scalar whose gradient with respect to each output is the one that was given.
        let mut objective: Option<CandleTensor> = None;
        for (output, gradient) in outputs {
            if output.dims() != gradient.shape() {
                return shape_error("backward", format!("the gradient {:?} of the output {:?}", gradient.shape(), output.dims()));
            }
            let term = output.mul(&Self::from_host(gradient, output.device())?)?.sum_all()?;
            objective = Some(match objective {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
        let Some(objective) = objective else { return Ok(vec![None; variables.len()]) };
        follow_precision();
        let store = objective.backward()?;
        let values = |variable: &&Self| store.get(variable).map(|g| Ok(g.flatten_all()?.to_vec1::<f32>()?)).transpose();
        variables.iter().map(values).collect()
    }
}
