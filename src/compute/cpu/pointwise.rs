//! Operations on values one by one or row by row, as steps of a computation.

use super::buffer::Buffer;
use super::math::{activate, gelu, gelu_and_slope, slope};
use super::parallel::{each, parts, ranges};
use super::tape::Gradient;
use super::{CpuTensor, norm, profile, vectorized};
use crate::compute::Activation;
use std::sync::Arc;

/// Fewest values for which another thread is asked.
const GRAIN: usize = 1 << 15;

/// Fills `out` in stretches, at the same time where they are long; `work(start, stretch)`.
fn fill(out: &mut [f32], unit: usize, work: impl Fn(usize, &mut [f32]) + Sync + Send) {
    let grain = GRAIN.div_ceil(unit.max(1)) * unit.max(1);
    let size = ranges(out.len(), 1, grain).first().map_or(1, ExactSizeIterator::len).max(1);
    let tasks: Vec<(usize, &mut [f32])> = out.chunks_mut(size).enumerate().map(|(i, chunk)| (i * size, chunk)).collect();
    each(tasks, |(start, chunk)| {
        vectorized(
            #[inline(always)]
            || work(start, chunk),
        )
    });
}

#[inline(always)]
fn map(x: &[f32], f: impl Fn(f32) -> f32 + Sync + Send) -> Buffer {
    let mut y = Buffer::any(x.len());
    fill(
        &mut y,
        1,
        #[inline(always)]
        |start, y| y.iter_mut().zip(&x[start..]).for_each(|(y, &x)| *y = f(x)),
    );
    y
}

#[inline(always)]
fn map2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync + Send) -> Buffer {
    let mut y = Buffer::any(a.len());
    fill(
        &mut y,
        1,
        #[inline(always)]
        |start, y| y.iter_mut().zip(&a[start..]).zip(&b[start..]).for_each(|((y, &a), &b)| *y = f(a, b)),
    );
    y
}

/// An activation.
pub(super) fn activation(x: &CpuTensor, activation: Activation) -> CpuTensor {
    let values = x.values();
    // One loop for each, so that the choice is not made at every element.
    let y = profile::span("activation", || match activation {
        Activation::Identity => Buffer::copy(values),
        Activation::Silu => map(
            values,
            #[inline(always)]
            |x| activate(Activation::Silu, x),
        ),
        Activation::Gelu => map(
            values,
            #[inline(always)]
            |x| activate(Activation::Gelu, x),
        ),
        Activation::QuickGelu => map(
            values,
            #[inline(always)]
            |x| activate(Activation::QuickGelu, x),
        ),
    });
    let origin = x.clone();
    CpuTensor::result(x.0.shape.clone(), x.0.last, y, vec![x.clone()], || {
        Box::new(move |grad: &Gradient| {
            let x = origin.values();
            let dx = match activation {
                Activation::Identity => return vec![Some(Arc::clone(grad))],
                Activation::Silu => map2(
                    x,
                    grad,
                    #[inline(always)]
                    |x, g| g * slope(Activation::Silu, x),
                ),
                Activation::Gelu => map2(
                    x,
                    grad,
                    #[inline(always)]
                    |x, g| g * slope(Activation::Gelu, x),
                ),
                Activation::QuickGelu => map2(
                    x,
                    grad,
                    #[inline(always)]
                    |x, g| g * slope(Activation::QuickGelu, x),
                ),
            };
            vec![Some(Arc::new(dx))]
        })
    })
}

/// `[.., a, g]` -> `a gelu(g)`.
pub(super) fn geglu(x: &CpuTensor) -> CpuTensor {
    let mut shape = x.0.shape.clone();
    let width = shape.pop().unwrap_or(0) / 2;
    shape.push(width);
    let values = x.values();
    let mut y = Buffer::any(values.len() / 2);
    profile::span("geglu", || {
        fill(
            &mut y,
            width,
            #[inline(always)]
            |start, y| {
                for (y, x) in y.chunks_exact_mut(width).zip(values[2 * start..].chunks_exact(2 * width)) {
                    let (a, g) = x.split_at(width);
                    y.iter_mut().zip(a).zip(g).for_each(|((y, &a), &g)| *y = a * gelu(g));
                }
            },
        );
    });
    let origin = x.clone();
    CpuTensor::result(shape, false, y, vec![x.clone()], || {
        Box::new(move |grad: &Gradient| {
            let x = origin.values();
            let mut dx = Buffer::any(x.len());
            profile::span("geglu, back", || {
                fill(
                    &mut dx,
                    2 * width,
                    #[inline(always)]
                    |start, dx| {
                        let rows = dx.chunks_exact_mut(2 * width).zip(x[start..].chunks_exact(2 * width));
                        for ((dx, x), d) in rows.zip(grad[start / 2..].chunks_exact(width)) {
                            let ((a, g), (da, dg)) = (x.split_at(width), dx.split_at_mut(width));
                            // Two short loops: with all five operands in one the compiler gives up on vectors.
                            for ((value, slope), &g) in da.iter_mut().zip(dg.iter_mut()).zip(g) {
                                (*value, *slope) = gelu_and_slope(g);
                            }
                            for ((da, dg), (&d, &a)) in da.iter_mut().zip(dg).zip(d.iter().zip(a)) {
                                *da *= d;
                                *dg *= d * a;
                            }
                        }
                    },
                );
            });
            vec![Some(Arc::new(dx))]
        })
    })
}

/// `x + y`; `y` has as many values or as many as the last axes of `x`, in the same order.
pub(super) fn add(x: &CpuTensor, y: &CpuTensor) -> CpuTensor {
    let (a, b) = (x.values(), y.values());
    let size = b.len();
    let sum = profile::span("add", || {
        if a.len() == size {
            return map2(
                a,
                b,
                #[inline(always)]
                |a, b| a + b,
            );
        }
        let mut sum = Buffer::any(a.len());
        fill(
            &mut sum,
            size,
            #[inline(always)]
            |start, sum| {
                for (sum, a) in sum.chunks_exact_mut(size).zip(a[start..].chunks_exact(size)) {
                    sum.iter_mut().zip(a).zip(b).for_each(|((s, a), b)| *s = a + b);
                }
            },
        );
        sum
    });
    let same = a.len() == size;
    CpuTensor::result(x.0.shape.clone(), x.0.last, sum, vec![x.clone(), y.clone()], || {
        Box::new(move |grad: &Gradient| {
            let dy = if same {
                Arc::clone(grad)
            } else {
                let mut sum = Buffer::zeros(size);
                super::conv::add_places(grad, &mut sum);
                Arc::new(sum)
            };
            vec![Some(Arc::clone(grad)), Some(dy)]
        })
    })
}

/// `x[b, .., c] + y[b, c]`, `x` stored with channels last.
pub(super) fn add_channels(x: &CpuTensor, y: &CpuTensor) -> CpuTensor {
    let (values, added) = (x.values(), y.values());
    let channels = y.0.shape[1];
    let size = values.len() / y.0.shape[0].max(1);
    let mut sum = Buffer::any(values.len());
    fill(
        &mut sum,
        channels,
        #[inline(always)]
        |start, sum| {
            for (i, (sum, x)) in sum.chunks_exact_mut(channels).zip(values[start..].chunks_exact(channels)).enumerate() {
                let b = (start + i * channels) / size;
                sum.iter_mut().zip(x).zip(&added[b * channels..]).for_each(|((s, x), y)| *s = x + y);
            }
        },
    );
    CpuTensor::result(x.0.shape.clone(), x.0.last, sum, vec![x.clone(), y.clone()], || {
        Box::new(move |grad: &Gradient| {
            let mut dy = Buffer::zeros(grad.len() / size * channels);
            for (sums, g) in dy.chunks_exact_mut(channels).zip(grad.chunks_exact(size)) {
                super::conv::add_places(g, sums);
            }
            vec![Some(Arc::clone(grad)), Some(Arc::new(dy))]
        })
    })
}

/// `factor x`.
pub(super) fn scale(x: &CpuTensor, factor: f32) -> CpuTensor {
    let y = map(
        x.values(),
        #[inline(always)]
        |v| factor * v,
    );
    CpuTensor::result(x.0.shape.clone(), x.0.last, y, vec![x.clone()], || {
        Box::new(move |grad: &Gradient| {
            vec![Some(Arc::new(map(
                grad,
                #[inline(always)]
                |g| factor * g,
            )))]
        })
    })
}

/// Layer normalisation over the last axis.
pub(super) fn layer_norm(x: &CpuTensor, weight: &CpuTensor, bias: &CpuTensor, eps: f32) -> CpuTensor {
    let (values, width) = (x.values(), weight.values().len());
    let mut y = Buffer::any(values.len());
    profile::span("layer norm", || {
        fill(
            &mut y,
            width,
            #[inline(always)]
            |start, y| norm::layer_norm(&values[start..start + y.len()], weight.values(), bias.values(), eps, y),
        );
    });
    let (origin, scale) = (x.clone(), weight.clone());
    CpuTensor::result(x.0.shape.clone(), false, y, vec![x.clone(), weight.clone(), bias.clone()], || {
        Box::new(move |grad: &Gradient| {
            profile::span("layer norm, back", || {
                let (x, width) = (origin.values(), scale.values().len());
                let mut dx = Buffer::any(x.len());
                let mut tasks = Vec::new();
                let mut rest = &mut dx[..];
                for rows in ranges(x.len() / width, 1, 16) {
                    let (now, later) = rest.split_at_mut(rows.len() * width);
                    tasks.push((rows.start * width, now));
                    rest = later;
                }
                let done = parts(tasks, |(start, dx)| {
                    let (mut by_weight, mut by_bias) = (Buffer::zeros(width), Buffer::zeros(width));
                    let range = start..start + dx.len();
                    norm::layer_norm_back(&x[range.clone()], scale.values(), &grad[range], eps, dx, (&mut by_weight, &mut by_bias));
                    (by_weight, by_bias)
                });
                let (mut by_weight, mut by_bias) = (Buffer::zeros(width), Buffer::zeros(width));
                for (w, b) in &done {
                    by_weight.iter_mut().zip(w.iter()).for_each(|(s, v)| *s += v);
                    by_bias.iter_mut().zip(b.iter()).for_each(|(s, v)| *s += v);
                }
                vec![Some(Arc::new(dx)), Some(Arc::new(by_weight)), Some(Arc::new(by_bias))]
            })
        })
    })
}

/// Mean over places, `x` stored with channels last: `[B, H, W, C]` -> `[B, C]`.
pub(super) fn mean_pool(x: &CpuTensor) -> CpuTensor {
    let (batch, channels) = (x.0.shape[0], x.0.shape[1]);
    let places = (x.values().len() / (batch * channels).max(1)).max(1);
    let share = 1.0 / places as f32;
    let mut y = Buffer::zeros(batch * channels);
    for (sums, x) in y.chunks_exact_mut(channels).zip(x.values().chunks_exact(places * channels)) {
        super::conv::add_places(x, sums);
        sums.iter_mut().for_each(|s| *s *= share);
    }
    CpuTensor::result(vec![batch, channels], false, y, vec![x.clone()], || {
        Box::new(move |grad: &Gradient| {
            let mut dx = Buffer::any(batch * places * channels);
            for (dx, g) in dx.chunks_exact_mut(places * channels).zip(grad.chunks_exact(channels)) {
                dx.chunks_exact_mut(channels).for_each(|dx| dx.iter_mut().zip(g).for_each(|(d, g)| *d = share * g));
            }
            vec![Some(Arc::new(dx))]
        })
    })
}

/// Rows of a table.
pub(super) fn embedding(table: &CpuTensor, ids: &[u32], batch: usize) -> CpuTensor {
    let width = table.0.shape[1];
    let mut y = Buffer::any(ids.len() * width);
    for (y, &id) in y.chunks_exact_mut(width.max(1)).zip(ids) {
        y.copy_from_slice(&table.values()[id as usize * width..][..width]);
    }
    let (rows, ids): (usize, Vec<u32>) = (table.0.shape[0], ids.to_vec());
    CpuTensor::result(vec![batch, ids.len() / batch, width], false, y, vec![table.clone()], || {
        Box::new(move |grad: &Gradient| {
            let mut sums = Buffer::zeros(rows * width);
            for (g, &id) in grad.chunks_exact(width.max(1)).zip(&ids) {
                sums[id as usize * width..][..width].iter_mut().zip(g).for_each(|(s, g)| *s += g);
            }
            vec![Some(Arc::new(sums))]
        })
    })
}
