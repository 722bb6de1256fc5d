//! The kernels of this room as differentiable operations of candle's graph (CPU).

use super::attention::{self, AttentionShape};
use super::conv::{self, ConvShape};
use super::math::{activate, gelu, gelu_slope, slope};
use super::norm::{self, GroupShape};
use super::{Precision, linear, vectorized};
use crate::compute::Activation;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, Error, Layout, Result, Shape, Storage, Tensor};
use rayon::prelude::*;

/// Elements that a thread handles at a time in elementwise operations.
const GRAIN: usize = 1 << 14;

/// The values of a contiguous f32 operand.
fn slice<'a>(operation: &'static str, storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
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
fn with_values<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice("backward", storage, layout)?),
        _ => candle_core::bail!("a host operation was given a tensor on another device"),
    }
}

fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(data, shape, &Device::Cpu)
}

fn done(data: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(data), shape.into()))
}

/// `f` elementwise, in parallel.
fn map1(x: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(GRAIN).zip(x.par_chunks(GRAIN)).for_each(|(y, x)| vectorized(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x))));
    y
}

/// `f` on pairs of elements, in parallel.
fn map2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    let mut y = vec![0.0; a.len()];
    y.par_chunks_mut(GRAIN)
        .zip(a.par_chunks(GRAIN).zip(b.par_chunks(GRAIN)))
        .for_each(|(y, (a, b))| vectorized(|| y.iter_mut().zip(a).zip(b).for_each(|((y, &a), &b)| *y = f(a, b))));
    y
}

pub(crate) struct Conv {
    pub shape: ConvShape,
    pub precision: Precision,
}

impl Conv {
    fn output(&self) -> [usize; 4] {
        [self.shape.batch, self.shape.out_channels, self.shape.out_height(), self.shape.out_width()]
    }

    fn gradients(&self, x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        with_values(grad, |g| {
            let dx = if x.track_op() {
                let dx = with_values(w, |w| Ok(conv::backward_input(&self.shape, w, g, self.precision)))?;
                Some(tensor(dx, x.shape())?)
            } else {
                None
            };
            let (dw, db) = if w.track_op() {
                let (dw, db) = with_values(x, |x| Ok(conv::backward_weight(&self.shape, x, g, self.precision)))?;
                (Some(tensor(dw, w.shape())?), Some(tensor(db, self.shape.out_channels)?))
            } else {
                (None, None)
            };
            Ok((dx, dw, db))
        })
    }
}

impl CustomOp2 for Conv {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (slice("conv2d", x, xl)?, slice("conv2d", w, wl)?);
        done(conv::forward(&self.shape, x, w, None, self.precision), self.output().to_vec())
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.gradients(x, w, grad)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Conv {
    fn name(&self) -> &'static str {
        "conv2d"
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
        let (x, w, b) = (slice("conv2d", x, xl)?, slice("conv2d", w, wl)?, slice("conv2d", b, bl)?);
        done(conv::forward(&self.shape, x, w, Some(b), self.precision), self.output().to_vec())
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

pub(crate) struct Linear {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub precision: Precision,
    pub shape: Vec<usize>,
}

impl Linear {
    fn gradients(&self, x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (rows, i, o) = (self.rows, self.inputs, self.outputs);
        with_values(grad, |g| {
            let dx = if x.track_op() {
                let dx = with_values(w, |w| Ok(linear::backward_input(rows, i, o, w, g, self.precision)))?;
                Some(tensor(dx, x.shape())?)
            } else {
                None
            };
            let (dw, db) = if w.track_op() {
                let (dw, db) = with_values(x, |x| Ok(linear::backward_weight(rows, i, o, x, g, self.precision)))?;
                (Some(tensor(dw, w.shape())?), Some(tensor(db, o)?))
            } else {
                (None, None)
            };
            Ok((dx, dw, db))
        })
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (slice("linear", x, xl)?, slice("linear", w, wl)?);
        done(linear::forward(self.rows, self.inputs, self.outputs, x, w, None, self.precision), self.shape.clone())
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw, _) = self.gradients(x, w, grad)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        let (x, w, b) = (slice("linear", x, xl)?, slice("linear", w, wl)?, slice("linear", b, bl)?);
        done(linear::forward(self.rows, self.inputs, self.outputs, x, w, Some(b), self.precision), self.shape.clone())
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

pub(crate) struct Activate(pub Activation);

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice("activation", x, xl)?;
        // One loop for each, so that the choice is not made at every element.
        let y = match self.0 {
            Activation::Identity => x.to_vec(),
            Activation::Silu => map1(x, |x| activate(Activation::Silu, x)),
            Activation::Gelu => map1(x, |x| activate(Activation::Gelu, x)),
            Activation::QuickGelu => map1(x, |x| activate(Activation::QuickGelu, x)),
        };
        done(y, xl.shape().clone())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_values(x, |x| {
            with_values(grad, |g| {
                Ok(match self.0 {
                    Activation::Identity => g.to_vec(),
                    Activation::Silu => map2(x, g, |x, g| g * slope(Activation::Silu, x)),
                    Activation::Gelu => map2(x, g, |x, g| g * slope(Activation::Gelu, x)),
                    Activation::QuickGelu => map2(x, g, |x, g| g * slope(Activation::QuickGelu, x)),
                })
            })
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// `[.., a, g]` -> `a gelu(g)`.
pub(crate) struct Geglu;

impl CustomOp1 for Geglu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice("geglu", x, xl)?;
        let mut shape = xl.dims().to_vec();
        let width = shape.pop().unwrap_or(0) / 2;
        shape.push(width);
        let mut y = vec![0.0; x.len() / 2];
        y.par_chunks_mut(16 * width).zip(x.par_chunks(32 * width)).for_each(|(y, x)| {
            vectorized(|| {
                for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(2 * width)) {
                    let (a, g) = x.split_at(width);
                    y.iter_mut().zip(a).zip(g).for_each(|((y, &a), &g)| *y = a * gelu(g));
                }
            });
        });
        done(y, shape)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let width = grad.dims().last().copied().unwrap_or(0);
        let dx = with_values(x, |x| {
            with_values(grad, |d| {
                let mut dx = vec![0.0; x.len()];
                dx.par_chunks_mut(32 * width).zip(x.par_chunks(32 * width).zip(d.par_chunks(16 * width))).for_each(|(dx, (x, d))| {
                    vectorized(|| {
                        for ((dx, x), d) in dx.chunks_exact_mut(2 * width).zip(x.chunks_exact(2 * width)).zip(d.chunks_exact(width)) {
                            let ((a, g), (da, dg)) = (x.split_at(width), dx.split_at_mut(width));
                            da.iter_mut().zip(d).zip(g).for_each(|((da, &d), &g)| *da = d * gelu(g));
                            dg.iter_mut().zip(d).zip(a).zip(g).for_each(|(((dg, &d), &a), &g)| *dg = d * a * gelu_slope(g));
                        }
                    });
                });
                Ok(dx)
            })
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// `x + y`, the shape of `y` a suffix of that of `x`.
pub(crate) struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, y: &CpuStorage, yl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, y) = (slice("add", x, xl)?, slice("add", y, yl)?);
        if x.len() == y.len() {
            return done(map2(x, y, |x, y| x + y), xl.shape().clone());
        }
        let sum = x.chunks_exact(y.len()).flat_map(|x| x.iter().zip(y).map(|(x, y)| x + y)).collect();
        done(sum, xl.shape().clone())
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dx = x.track_op().then(|| grad.clone());
        if !y.track_op() {
            return Ok((dx, None));
        }
        if x.elem_count() == y.elem_count() {
            return Ok((dx, Some(grad.clone())));
        }
        let dy = with_values(grad, |g| {
            let mut sum = vec![0.0f32; y.elem_count()];
            for row in g.chunks_exact(sum.len()) {
                sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
            }
            Ok(sum)
        })?;
        Ok((dx, Some(tensor(dy, y.shape())?)))
    }
}

/// `x[b, c, ..] + y[b, c]`.
pub(crate) struct AddChannels;

impl CustomOp2 for AddChannels {
    fn name(&self) -> &'static str {
        "add_channels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, y: &CpuStorage, yl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, y) = (slice("add_channels", x, xl)?, slice("add_channels", y, yl)?);
        let plane = x.len() / y.len().max(1);
        let mut z = vec![0.0; x.len()];
        z.par_chunks_mut(plane).zip(x.par_chunks(plane)).zip(y).with_min_len(16).for_each(|((z, x), y)| {
            z.iter_mut().zip(x).for_each(|(z, x)| *z = x + y);
        });
        done(z, xl.shape().clone())
    }

    fn bwd(&self, _: &Tensor, y: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let plane = grad.elem_count() / y.elem_count().max(1);
        let dy = with_values(grad, |g| Ok(g.chunks_exact(plane).map(|row| vectorized(|| conv::sum_lanes(row))).collect::<Vec<_>>()))?;
        Ok((Some(grad.clone()), Some(tensor(dy, y.shape())?)))
    }
}

/// Doubles height and width by repetition.
pub(crate) struct Upsample2x;

impl CustomOp1 for Upsample2x {
    fn name(&self) -> &'static str {
        "upsample_nearest2x"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, c, h, w) = xl.shape().dims4()?;
        let x = slice("upsample_nearest2x", x, xl)?;
        let mut y = vec![0.0; 4 * x.len()];
        y.par_chunks_exact_mut(4 * w).zip(x.par_chunks_exact(w)).with_min_len(64).for_each(|(y, x)| {
            let (first, second) = y.split_at_mut(2 * w);
            for (pair, &v) in first.chunks_exact_mut(2).zip(x) {
                pair.fill(v);
            }
            second.copy_from_slice(first);
        });
        done(y, (b, c, 2 * h, 2 * w))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let w = x.dim(3)?;
        let dx = with_values(grad, |g| {
            let mut dx = vec![0.0; g.len() / 4];
            dx.par_chunks_exact_mut(w).zip(g.par_chunks_exact(4 * w)).with_min_len(64).for_each(|(dx, g)| {
                let (first, second) = g.split_at(2 * w);
                for (i, d) in dx.iter_mut().enumerate() {
                    *d = first[2 * i] + first[2 * i + 1] + second[2 * i] + second[2 * i + 1];
                }
            });
            Ok(dx)
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}

/// Swaps the last two axes of `[batch, rows, cols]`, whatever the tensor's own shape; `shape` is that of the result.
pub(crate) struct Transpose {
    pub batch: usize,
    pub rows: usize,
    pub cols: usize,
    pub shape: Vec<usize>,
}

fn transpose(batch: usize, rows: usize, cols: usize, x: &[f32]) -> Vec<f32> {
    const TILE: usize = 16;
    let mut y = vec![0.0; x.len()];
    if x.is_empty() {
        return y;
    }
    debug_assert_eq!(x.len(), batch * rows * cols);
    y.par_chunks_exact_mut(rows * cols).zip(x.par_chunks_exact(rows * cols)).for_each(|(y, x)| {
        for r0 in (0..rows).step_by(TILE) {
            for c0 in (0..cols).step_by(TILE) {
                for c in c0..(c0 + TILE).min(cols) {
                    for r in r0..(r0 + TILE).min(rows) {
                        y[c * rows + r] = x[r * cols + c];
                    }
                }
            }
        }
    });
    y
}

impl CustomOp1 for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        done(transpose(self.batch, self.rows, self.cols, slice("transpose", x, xl)?), self.shape.clone())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_values(grad, |g| Ok(transpose(self.batch, self.cols, self.rows, g)))?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}
