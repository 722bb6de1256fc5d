//! Tensors of the candle library: on the CPU with kernels of our own, on CUDA composed of candle's operations.
//!
//! candle's own CPU convolution and elementwise operations run on one thread at a fraction of what the processor can do,
//! so every layer-sized operation is an own differentiable `CustomOp` here ([`ops`]) over plain slices. On CUDA the same
//! layers are compositions of candle's differentiable operations.

mod amx;
mod attention;
mod composed;
mod conv;
mod elementwise;
mod gemm;
mod linear;
mod math;
mod norm;
mod ops;
mod shared;

use super::{Activation, ComputeError, Conv2d, DeviceKind, Differentiable, Mask, Precision, Result, Tensor, dims, shape_error};
use crate::host::HostTensor;
use attention::AttentionShape;
use candle_core::{DType, Device};
use conv::ConvShape;
use norm::GroupShape;

pub use candle_core::Tensor as CandleTensor;

/// Whether [`Precision::Bf16`] runs on matrix units here.
pub fn has_bf16_units() -> bool {
    amx::available()
}

/// Keeps candle's own elementwise operations on the calling thread; to be called first thing in `main`.
///
/// candle shares them out to a pool that waits by spinning. Beside the threads of our own kernels, and whenever another
/// program wants a core, that costs more than it gains: a training step took 0.75 s with the pool and 0.34 s without, on two
/// cores beside a compiler.
#[allow(unsafe_code)] // the only door to this setting of candle's is the environment
pub fn settle_threads() {
    const NAME: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(NAME).is_none() {
        // SAFETY: called at the start of `main`, before any other thread exists that could read the environment.
        unsafe { std::env::set_var(NAME, "1") };
    }
}

/// Runs `f` compiled for the widest vectors that the processor has, chosen at run time.
#[inline(always)]
pub(crate) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// The candle device of a kind.
///
/// # Errors
/// [`ComputeError::Device`] when this build or machine does not have it.
pub fn device(kind: DeviceKind) -> Result<Device> {
    match kind {
        DeviceKind::Cpu => Ok(Device::Cpu),
        DeviceKind::Cuda => {
            if cfg!(feature = "cuda") {
                Device::new_cuda(0).map_err(|e| ComputeError::Device { device: "cuda", detail: format!("{e}; use --device cpu") })
            } else {
                Err(ComputeError::Device {
                    device: "cuda",
                    detail: "this program was built without it; build with `cargo build --release --features cuda`, or use --device cpu"
                        .into(),
                })
            }
        }
    }
}

impl From<candle_core::Error> for ComputeError {
    fn from(error: candle_core::Error) -> Self {
        Self::Backend(error.to_string())
    }
}

fn on_host(tensor: &CandleTensor) -> bool {
    tensor.device().is_cpu()
}

/// The longest common form of the permutations that models use: swapping two neighbouring groups of axes behind the batch.
fn as_transpose(shape: &[usize], axes: &[usize]) -> Option<(usize, usize, usize)> {
    match (shape, axes) {
        ([b, n, c], [0, 2, 1]) => Some((*b, *n, *c)),
        ([b, c, h, w], [0, 2, 3, 1]) => Some((*b, *c, h * w)),
        ([b, h, w, c], [0, 3, 1, 2]) => Some((*b, h * w, *c)),
        _ => None,
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
        if !on_host(self) {
            return composed::linear(self, weight, bias, &shape);
        }
        let map = ops::Linear { rows: self.elem_count() / inputs, inputs, outputs, precision: Precision::current(), shape };
        let op = ops::AffineOp(map);
        let x = self.contiguous()?;
        Ok(match bias {
            Some(bias) => x.apply_op3(weight, bias, op)?,
            None => x.apply_op2(weight, op)?,
        })
    }

    fn conv2d(&self, weight: &Self, bias: Option<&Self>, geometry: Conv2d) -> Result<Self> {
        let [batch, in_channels, height, width] = dims("conv2d", self.dims())?;
        let [out_channels, expected, kernel, other] = dims("conv2d", weight.dims())?;
        let fits = geometry.output_extent(height, kernel).is_some() && geometry.output_extent(width, kernel).is_some();
        if expected != in_channels || kernel != other || !fits {
            return shape_error("conv2d", format!("the weight {:?} does not fit the input {:?}", weight.dims(), self.dims()));
        }
        if !on_host(self) {
            return composed::conv2d(self, weight, bias, geometry);
        }
        let shape = ConvShape { batch, in_channels, height, width, out_channels, kernel, geometry };
        let op = ops::AffineOp(ops::Conv { shape, precision: Precision::current() });
        let x = self.contiguous()?;
        Ok(match bias {
            Some(bias) => x.apply_op3(weight, bias, op)?,
            None => x.apply_op2(weight, op)?,
        })
    }

    fn group_norm(&self, weight: &Self, bias: &Self, groups: usize, eps: f64, activation: Activation) -> Result<Self> {
        let [batch, channels, height, width] = dims("group_norm", self.dims())?;
        if groups == 0 || channels % groups != 0 || weight.dims() != [channels] || bias.dims() != [channels] {
            return shape_error(
                "group_norm",
                format!("{groups} groups and the weight {:?} do not fit the input {:?}", weight.dims(), self.dims()),
            );
        }
        if !on_host(self) {
            return composed::group_norm(self, weight, bias, groups, eps, activation);
        }
        let shape = GroupShape { batch, channels, pixels: height * width, groups };
        Ok(self.contiguous()?.apply_op3(weight, bias, ops::GroupNorm { shape, eps: eps as f32, activation })?)
    }

    fn layer_norm(&self, weight: &Self, bias: &Self, eps: f64) -> Result<Self> {
        if self.dims().last() != weight.dims().first() || weight.dims() != bias.dims() {
            return shape_error("layer_norm", format!("the weight {:?} does not fit the input {:?}", weight.dims(), self.dims()));
        }
        if !on_host(self) {
            return composed::layer_norm(self, weight, bias, eps);
        }
        Ok(self.contiguous()?.apply_op3(weight, bias, ops::LayerNorm { eps: eps as f32 })?)
    }

    fn attention(q: &Self, k: &Self, v: &Self, heads: usize, mask: Mask, keep_weights: bool) -> Result<(Self, Option<Self>)> {
        let [batch, queries, channels] = dims("attention", q.dims())?;
        let [_, keys, _] = dims("attention", k.dims())?;
        if k.dims() != [batch, keys, channels] || v.dims() != k.dims() || heads == 0 || channels % heads != 0 {
            return shape_error("attention", format!("queries {:?}, keys {:?}, values {:?}, {heads} heads", q.dims(), k.dims(), v.dims()));
        }
        if !on_host(q) {
            return composed::attention(q, k, v, heads, mask, keep_weights);
        }
        let shape = AttentionShape { batch, queries, keys, channels, heads, mask };
        let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
        let weights = if keep_weights { Some(q.apply_op2_no_bwd(&k, &ops::AttentionWeights(shape))?) } else { None };
        Ok((q.apply_op3(&k, &v, ops::Attention(shape))?, weights))
    }

    fn activate(&self, activation: Activation) -> Result<Self> {
        match activation {
            Activation::Identity => Ok(self.clone()),
            _ if on_host(self) => Ok(self.contiguous()?.apply_op1(elementwise::Activate(activation))?),
            _ => composed::activate(self, activation),
        }
    }

    fn geglu(&self) -> Result<Self> {
        if self.dims().last().is_none_or(|width| width % 2 != 0) {
            return shape_error("geglu", format!("the last axis of {:?} is not even", self.dims()));
        }
        if on_host(self) { Ok(self.contiguous()?.apply_op1(elementwise::Geglu)?) } else { composed::geglu(self) }
    }

    fn add(&self, other: &Self) -> Result<Self> {
        if !self.dims().ends_with(other.dims()) {
            return shape_error("add", format!("{:?} is not the end of {:?}", other.dims(), self.dims()));
        }
        if !on_host(self) {
            return Ok(self.broadcast_add(other)?);
        }
        Ok(self.contiguous()?.apply_op2(&other.contiguous()?, elementwise::Add)?)
    }

    fn add_channels(&self, other: &Self) -> Result<Self> {
        let [b, c, _, _] = dims("add_channels", self.dims())?;
        if other.dims() != [b, c] {
            return shape_error("add_channels", format!("{:?} to {:?}", other.dims(), self.dims()));
        }
        if !on_host(self) {
            return Ok(self.broadcast_add(&CandleTensor::reshape(other, (b, c, 1, 1))?)?);
        }
        Ok(self.contiguous()?.apply_op2(&other.contiguous()?, elementwise::AddChannels)?)
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
        let x = self.contiguous()?;
        match as_transpose(self.dims(), axes) {
            Some((batch, rows, cols)) if on_host(self) => {
                let shape = axes.iter().map(|&axis| self.dims()[axis]).collect();
                Ok(x.apply_op1(elementwise::Transpose { batch, rows, cols, shape })?)
            }
            _ => Ok(CandleTensor::permute(&x, axes)?.contiguous()?),
        }
    }

    fn upsample_nearest2x(&self) -> Result<Self> {
        let [_, _, height, width] = dims("upsample_nearest2x", self.dims())?;
        if on_host(self) {
            Ok(self.contiguous()?.apply_op1(elementwise::Upsample2x)?)
        } else {
            Ok(self.upsample_nearest2d(2 * height, 2 * width)?)
        }
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
        let store = objective.backward()?;
        let values = |variable: &&Self| store.get(variable).map(|g| Ok(g.flatten_all()?.to_vec1::<f32>()?)).transpose();
        variables.iter().map(values).collect()
    }
}

#[cfg(test)]
mod tests;
