//! The kernels of this room as differentiable operations of candle's graph (CPU).

use super::attention::{self, AttentionShape};
use super::conv::{self, ConvShape};
use super::linear;
use super::norm::{self, GroupShape};
use crate::compute::Activation;
use crate::compute::Precision;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Error, Layout, Result, Shape, Storage, Tensor};

/// The values of a contiguous f32 operand.
pub(super) fn slice<'a>(operation: &'static str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(|| Error::RequiresContiguous { op: operation }.bt())?;
    match storage {
        CpuStorage::F32(data) => Ok(&data[start..end]),
        other => Err(Error::UnsupportedDTypeForOp(storage_dtype(other), operation).bt()),
    }
}

fn storage_dtype(storage: &CpuStorage) -> candle_core::DType {
    use candle_core::backend::BackendStorage;
    storage.dtype()
}

/// Runs `f` on the values of a tensor, made contiguous first where need be.
pub(super) fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice("backward", storage, layout)?),
        _ => candle_core::bail!("a host operation was given a tensor on another device"),
    }
}

pub(super) fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(data, shape, &Device::Cpu)
}

pub(super) fn done(data: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(data), shape.into()))
}

/// A map that is linear in its input and in its weight, with a bias or without: convolutions and linear layers.
pub(crate) trait Affine: Send + Sync + 'static {
    const NAME: &'static str;

    /// Shape of the result.
    fn output(&self) -> Vec<usize>;
    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32>;
    fn backward_input(&self, weight: &[f32], grad: &[f32]) -> Vec<f32>;
    /// Gradients of the weight and of the bias.
    fn backward_weight(&self, x: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>);
}

/// An [`Affine`] map as an operation of two operands, or of three with the bias.
pub(crate) struct AffineOp<A>(pub A);

impl<A: Affine> AffineOp<A> {
    fn gradients(&self, x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        with_values(grad, |g| {
            let dx = if x.track_op() { Some(tensor(with_values(w, |w| Ok(self.0.backward_input(w, g)))?, x.shape())?) } else { None };
            if !w.track_op() {
                return Ok((dx, None, None));
            }
            let (dw, db) = with_values(x, |x| Ok(self.0.backward_weight(x, g)))?;
            let outputs = db.len();
            Ok((dx, Some(tensor(dw, w.shape())?), Some(tensor(db, outputs)?)))
        })
    }
}

impl<A: Affine> CustomOp2 for AffineOp<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (slice(A::NAME, x, xl)?, slice(A::NAME, w, wl)?);
        done(self.0.forward(x, w, None), self.0.output())
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.gradients(x, w, grad)?;
        Ok((dx, dw))
    }
}

impl<A: Affine> CustomOp3 for AffineOp<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, b) = (slice(A::NAME, x, xl)?, slice(A::NAME, w, wl)?, slice(A::NAME, b, bl)?);
        done(self.0.forward(x, w, Some(b)), self.0.output())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, db) = self.gradients(x, w, grad)?;
        Ok((dx, dw, db.filter(|_| b.track_op())))
    }
}

pub(crate) struct Conv {
    pub shape: ConvShape,
    pub precision: Precision,
}

impl Affine for Conv {
    const NAME: &'static str = "conv2d";

    fn output(&self) -> Vec<usize> {
        vec![self.shape.batch, self.shape.out_channels, self.shape.out_height(), self.shape.out_width()]
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        conv::forward(&self.shape, x, weight, bias, self.precision)
    }

    fn backward_input(&self, weight: &[f32], grad: &[f32]) -> Vec<f32> {
        conv::backward_input(&self.shape, weight, grad, self.precision)
    }

    fn backward_weight(&self, x: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
        conv::backward_weight(&self.shape, x, grad, self.precision)
    }
}

pub(crate) struct Linear {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub precision: Precision,
    pub shape: Vec<usize>,
}

impl Affine for Linear {
    const NAME: &'static str = "linear";

    fn output(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        linear::forward(self.rows, self.inputs, self.outputs, x, weight, bias, self.precision)
    }

    fn backward_input(&self, weight: &[f32], grad: &[f32]) -> Vec<f32> {
        linear::backward_input(self.rows, self.inputs, self.outputs, weight, grad, self.precision)
    }

    fn backward_weight(&self, x: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
        linear::backward_weight(self.rows, self.inputs, self.outputs, x, grad, self.precision)
    }
}

pub(crate) struct GroupNorm {
    pub shape: GroupShape,
    pub eps: f32,
    pub activation: Activation,
}

impl CustomOp3 for GroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, b) = (slice("group_norm", x, xl)?, slice("group_norm", w, wl)?, slice("group_norm", b, bl)?);
        done(norm::group_norm(&self.shape, x, w, b, self.eps, self.activation), xl.shape().clone())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, db) = with_values(x, |xs| {
            with_values(w, |w| {
                with_values(b, |b| {
                    with_values(grad, |g| Ok(norm::group_norm_backward(&self.shape, xs, w, b, g, self.eps, self.activation)))
                })
            })
        })?;
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, w.shape())?), Some(tensor(db, b.shape())?)))
    }
}

pub(crate) struct LayerNorm {
    pub eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w, b) = (slice("layer_norm", x, xl)?, slice("layer_norm", w, wl)?, slice("layer_norm", b, bl)?);
        done(norm::layer_norm(x, w, b, self.eps), xl.shape().clone())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, db) =
            with_values(x, |xs| with_values(w, |w| with_values(grad, |g| Ok(norm::layer_norm_backward(xs, w, g, self.eps)))))?;
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, w.shape())?), Some(tensor(db, b.shape())?)))
    }
}

pub(crate) struct Attention(pub AttentionShape);

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (q, k, v) = (slice("attention", q, ql)?, slice("attention", k, kl)?, slice("attention", v, vl)?);
        done(attention::attention(&self.0, q, k, v), ql.shape().clone())
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dq, dk, dv) = with_values(q, |q| {
            with_values(k, |k| with_values(v, |v| with_values(grad, |g| Ok(attention::attention_backward(&self.0, q, k, v, g)))))
        })?;
        Ok((Some(tensor(dq, q.shape())?), Some(tensor(dk, k.shape())?), Some(tensor(dv, v.shape())?)))
    }
}

/// The attention weights alone, for looking at; no gradient.
pub(crate) struct AttentionWeights(pub AttentionShape);

impl CustomOp2 for AttentionWeights {
    fn name(&self) -> &'static str {
        "attention weights"
    }

    fn cpu_fwd(&self, q: &CpuStorage, ql: &Layout, k: &CpuStorage, kl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (q, k) = (slice("attention", q, ql)?, slice("attention", k, kl)?);
        done(attention::weights(&self.0, q, k), vec![self.0.batch, self.0.heads, self.0.queries, self.0.keys])
    }
}
