//! Results with gradients of our own.
//!
//! An operation is computed outside of candle's graph and then attached to what it was made of, with the formula of its gradients:
//! one node in the place of a dozen, each of which would clear a gradient and add to it.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, D, Error, Layout, Result, Shape, Storage, Tensor};
use std::sync::{Mutex, PoisonError};

/// The gradients with respect to the arguments, given the result and the gradient with respect to it; a formula over tensors.
type Backward<const N: usize> = dyn Fn(&Tensor, &Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync;

/// A result in the graph, as made of `N` arguments.
struct Attached<const N: usize> {
    name: &'static str,
    /// Taken when it gets into the graph.
    result: Mutex<Option<Tensor>>,
    backward: Box<Backward<N>>,
}

impl<const N: usize> Attached<N> {
    fn new(
        name: &'static str,
        result: Tensor,
        backward: impl Fn(&Tensor, &Tensor) -> Result<[Option<Tensor>; N]> + Send + Sync + 'static,
    ) -> Self {
        Self { name, result: Mutex::new(Some(result)), backward: Box::new(backward) }
    }

    fn take(&self) -> Result<Tensor> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.ok_or_else(|| self.elsewhere())
    }

    fn elsewhere(&self) -> Error {
        Error::Msg(format!("{}: the result is elsewhere than its arguments", self.name))
    }

    /// The storage of a result that was just made: whole and in order.
    fn copy<S: BackendStorage>(&self, storage: &S, layout: &Layout) -> Result<(S, Shape)> {
        if !layout.is_contiguous() || layout.start_offset() != 0 {
            return Err(self.elsewhere());
        }
        Ok((storage.try_clone(layout)?, layout.shape().clone()))
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        let result = self.take()?;
        let (storage, layout) = result.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => self.copy(storage, layout),
            _ => Err(self.elsewhere()),
        }
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        let result = self.take()?;
        let (storage, layout) = result.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => self.copy(storage, layout),
            _ => Err(self.elsewhere()),
        }
    }

    fn gradients(&self, result: &Tensor, gradient: &Tensor) -> Result<[Option<Tensor>; N]> {
        (self.backward)(&result.detach(), &gradient.contiguous()?)
    }
}

impl CustomOp2 for Attached<2> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.gradients(result, gradient)?;
        Ok((a, b))
    }
}

impl CustomOp3 for Attached<3> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.gradients(result, gradient)?;
        Ok((a, b, c))
    }
}

/// `result` as made of two arguments.
pub(super) fn attach2(
    name: &'static str,
    [a, b]: [&Tensor; 2],
    result: Tensor,
    backward: impl Fn(&Tensor, &Tensor) -> Result<[Option<Tensor>; 2]> + Send + Sync + 'static,
) -> Result<Tensor> {
    a.apply_op2(b, Attached::new(name, result, backward))
}

/// `result` as made of three arguments.
#[cfg(feature = "cuda")]
pub(super) fn attach3(
    name: &'static str,
    [a, b, c]: [&Tensor; 3],
    result: Tensor,
    backward: impl Fn(&Tensor, &Tensor) -> Result<[Option<Tensor>; 3]> + Send + Sync + 'static,
) -> Result<Tensor> {
    a.apply_op3(b, c, Attached::new(name, result, backward))
}

/// `(x - mean) / sqrt(variance + eps)` over the last axis.
///
/// With `y` the result, the gradient is `(g - mean(g) - y mean(g y)) / sqrt(variance + eps)` (Ioffe and Szegedy 2015, arXiv
/// 1502.03167, section 3, joined).
pub(super) fn normalise(x: &Tensor, eps: f64) -> Result<Tensor> {
    let input = x.detach();
    let centred = input.broadcast_sub(&input.mean_keepdim(D::Minus1)?)?;
    let scale = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?;
    let y = centred.broadcast_mul(&scale)?;
    if !x.track_op() {
        return Ok(y);
    }
    attach2("normalise", [x, &scale.clone()], y, move |y, g| {
        let along = (g * y)?.mean_keepdim(D::Minus1)?;
        let slope = g.broadcast_sub(&g.mean_keepdim(D::Minus1)?)?.sub(&y.broadcast_mul(&along)?)?;
        Ok([Some(slope.broadcast_mul(&scale)?), None])
    })
}

/// The softmax over the last axis. With `p` the result, the gradient is `p (g - sum(g p))`.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    let scores = x.detach();
    let exp = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
    let scale = exp.sum_keepdim(D::Minus1)?.recip()?;
    let p = exp.broadcast_mul(&scale)?;
    if !x.track_op() {
        return Ok(p);
    }
    attach2("softmax", [x, &scale], p, move |p, g| {
        let along = (g * p)?.sum_keepdim(D::Minus1)?;
        Ok([Some((p * g.broadcast_sub(&along)?)?), None])
    })
}
