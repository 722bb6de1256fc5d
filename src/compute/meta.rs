//! Tensors that are nothing but their shape: they run a model to count its operations and to list its taps.

use super::{Activation, ComputeError, Conv2d, Mask, Result, Tensor, dims, shape_error};
use crate::host::HostTensor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted while a model runs on shapes.
#[derive(Debug, Default)]
pub struct Count {
    flops: AtomicU64,
    values: AtomicU64,
    largest: AtomicU64,
}

impl Count {
    /// Floating-point operations of matrix products and convolutions, a multiply-add as two.
    pub fn flops(&self) -> u64 {
        self.flops.load(Ordering::Relaxed)
    }

    /// Values that the same operations read and write, each operand and each result once: what has to be moved at least where
    /// nothing that stands between two of them is.
    pub fn values(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }

    /// Values in the largest result of an operation.
    pub fn largest(&self) -> u64 {
        self.largest.load(Ordering::Relaxed)
    }
}

/// A count that the operations of one run share.
pub type FlopCounter = Arc<Count>;

/// A shape, and the counter that the operations on it report to.
#[derive(Debug, Clone)]
pub struct Meta {
    shape: Vec<usize>,
    flops: Option<FlopCounter>,
}

impl Meta {
    /// A weight: it reports nowhere, its users do.
    pub fn weight(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), flops: None }
    }

    /// An input whose operations, and those on what comes of it, add to `flops`.
    pub fn input(shape: &[usize], flops: &FlopCounter) -> Self {
        Self { shape: shape.to_vec(), flops: Some(Arc::clone(flops)) }
    }

    fn like(&self, shape: Vec<usize>) -> Self {
        if let Some(counter) = &self.flops {
            counter.largest.fetch_max(shape.iter().product::<usize>() as u64, Ordering::Relaxed);
        }
        Self { shape, flops: self.flops.clone() }
    }

    /// Counts a product of `operands`, this one among them, that gives `results` values.
    fn count(&self, flops: usize, operands: &[&Self], results: usize) {
        if let Some(counter) = &self.flops {
            counter.flops.fetch_add(flops as u64, Ordering::Relaxed);
            let values = results + operands.iter().map(|operand| operand.elements()).sum::<usize>();
            counter.values.fetch_add(values as u64, Ordering::Relaxed);
        }
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Tensor for Meta {
    type Device = ();

    fn from_host(host: &HostTensor, (): &()) -> Result<Self> {
        Ok(Self::weight(host.shape()))
    }

    fn to_host(&self) -> Result<HostTensor> {
        Err(ComputeError::NoValues)
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn linear(&self, weight: &Self, _: Option<&Self>) -> Result<Self> {
        let [outputs, inputs] = dims("linear", &weight.shape)?;
        if self.shape.last() != Some(&inputs) {
            return shape_error("linear", format!("the weight {:?} does not fit the input {:?}", weight.shape, self.shape));
        }
        self.count(2 * self.elements() * outputs, &[self, weight], self.elements() / inputs * outputs);
        let mut shape = self.shape.clone();
        shape.pop();
        shape.push(outputs);
        Ok(self.like(shape))
    }

    fn conv2d(&self, weight: &Self, _: Option<&Self>, geometry: Conv2d) -> Result<Self> {
        let [b, c, h, w] = dims("conv2d", &self.shape)?;
        let [o, expected, k, _] = dims("conv2d", &weight.shape)?;
        match (geometry.output_extent(h, k), geometry.output_extent(w, k)) {
            (Some(oh), Some(ow)) if expected == c => {
                self.count(2 * b * o * oh * ow * c * k * k, &[self, weight], b * o * oh * ow);
                Ok(self.like(vec![b, o, oh, ow]))
            }
            _ => shape_error("conv2d", format!("the weight {:?} does not fit the input {:?}", weight.shape, self.shape)),
        }
    }

    fn group_norm(&self, weight: &Self, _: &Self, groups: usize, _: f64, _: Activation) -> Result<Self> {
        let [_, c, _, _] = dims("group_norm", &self.shape)?;
        if groups == 0 || c % groups != 0 || weight.shape != [c] {
            return shape_error("group_norm", format!("{groups} groups and the weight {:?} do not fit {:?}", weight.shape, self.shape));
        }
        Ok(self.clone())
    }

    fn layer_norm(&self, weight: &Self, _: &Self, _: f64) -> Result<Self> {
        if self.shape.last() != weight.shape.first() {
            return shape_error("layer_norm", format!("the weight {:?} does not fit {:?}", weight.shape, self.shape));
        }
        Ok(self.clone())
    }

    fn attention(q: &Self, k: &Self, v: &Self, heads: usize, _: Mask, keep_weights: bool) -> Result<(Self, Option<Self>)> {
        let [b, n, c] = dims("attention", &q.shape)?;
        let [_, m, _] = dims("attention", &k.shape)?;
        if k.shape != [b, m, c] || v.shape != k.shape || heads == 0 || c % heads != 0 {
            return shape_error("attention", format!("queries {:?}, keys {:?}, values {:?}, {heads} heads", q.shape, k.shape, v.shape));
        }
        q.count(4 * b * n * m * c, &[q, k, v], q.elements());
        Ok((q.clone(), keep_weights.then(|| q.like(vec![b, heads, n, m]))))
    }

    fn activate(&self, _: Activation) -> Result<Self> {
        Ok(self.clone())
    }

    fn geglu(&self) -> Result<Self> {
        let mut shape = self.shape.clone();
        match shape.last_mut() {
            Some(width) if *width % 2 == 0 => *width /= 2,
            _ => return shape_error("geglu", format!("the last axis of {:?} is not even", self.shape)),
        }
        Ok(self.like(shape))
    }

    fn add(&self, other: &Self) -> Result<Self> {
        if !self.shape.ends_with(&other.shape) {
            return shape_error("add", format!("{:?} is not the end of {:?}", other.shape, self.shape));
        }
        Ok(self.clone())
    }

    fn add_channels(&self, other: &Self) -> Result<Self> {
        if self.shape.len() != 4 || other.shape != self.shape[..2] {
            return shape_error("add_channels", format!("{:?} to {:?}", other.shape, self.shape));
        }
        Ok(self.clone())
    }

    fn scale(&self, _: f64) -> Result<Self> {
        Ok(self.clone())
    }

    fn cat(parts: &[&Self], axis: usize) -> Result<Self> {
        let Some(first) = parts.first() else { return shape_error("cat", "nothing to join") };
        let mut shape = first.shape.clone();
        let fits =
            |p: &&Self| p.shape.len() == shape.len() && p.shape.iter().zip(&shape).enumerate().all(|(i, (a, b))| i == axis || a == b);
        if axis >= shape.len() || !parts.iter().all(fits) {
            return shape_error("cat", format!("along axis {axis}: {:?}", parts.iter().map(|p| &p.shape).collect::<Vec<_>>()));
        }
        shape[axis] = parts.iter().map(|p| p.shape[axis]).sum();
        Ok(first.like(shape))
    }

    fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Self> {
        let mut shape = self.shape.clone();
        match shape.get_mut(axis) {
            Some(extent) if start + len <= *extent => *extent = len,
            _ => return shape_error("narrow", format!("{len} from {start} along axis {axis} of {:?}", self.shape)),
        }
        Ok(self.like(shape))
    }

    fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if shape.iter().product::<usize>() != self.elements() {
            return shape_error("reshape", format!("{:?} to {shape:?}", self.shape));
        }
        Ok(self.like(shape.to_vec()))
    }

    fn permute(&self, axes: &[usize]) -> Result<Self> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..self.shape.len()) {
            return shape_error("permute", format!("{axes:?} of {:?}", self.shape));
        }
        Ok(self.like(axes.iter().map(|&axis| self.shape[axis]).collect()))
    }

    fn upsample_nearest2x(&self) -> Result<Self> {
        let [b, c, h, w] = dims("upsample_nearest2x", &self.shape)?;
        Ok(self.like(vec![b, c, 2 * h, 2 * w]))
    }

    fn embedding(table: &Self, ids: &[u32], batch: usize) -> Result<Self> {
        let [_, width] = dims("embedding", &table.shape)?;
        if batch == 0 || !ids.len().is_multiple_of(batch) {
            return shape_error("embedding", format!("{} ids in a batch of {batch}", ids.len()));
        }
        Ok(Self::weight(&[batch, ids.len() / batch, width]))
    }

    fn mean_pool(&self) -> Result<Self> {
        let [b, c, _, _] = dims("mean_pool", &self.shape)?;
        Ok(self.like(vec![b, c]))
    }
}
