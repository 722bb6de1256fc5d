//! Elementwise operations and rearrangements as differentiable operations of candle's graph (CPU).

use super::conv::sum_lanes;
use super::math::{activate, gelu, gelu_slope, slope};
use super::ops::{done, slice, tensor, with_values};
use super::vectorized;
use crate::compute::Activation;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// Elements that a thread handles at a time.
const GRAIN: usize = 1 << 14;

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
        let dy = with_values(grad, |g| Ok(g.chunks_exact(plane).map(|row| vectorized(|| sum_lanes(row))).collect::<Vec<_>>()))?;
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
