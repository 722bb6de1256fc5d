//! Group and layer normalisation with their backward passes; group normalisation has its activation fused in.
//!
//! Means and variances are taken in two passes, so that a large mean does not cancel.

use super::conv::sum_lanes;
use super::math::{activate, slope};
use super::vectorized;
use crate::compute::Activation;
use rayon::prelude::*;

/// Extents of a group normalisation: `[batch, channels, pixels]` in `groups` groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupShape {
    pub batch: usize,
    pub channels: usize,
    pub pixels: usize,
    pub groups: usize,
}

impl GroupShape {
    fn group_channels(&self) -> usize {
        self.channels / self.groups
    }
}

#[inline(always)]
fn moments(values: &[f32], eps: f32) -> (f32, f32) {
    let n = values.len() as f32;
    let mean = sum_lanes(values) / n;
    let (lanes, rest) = values.as_chunks::<16>();
    let mut sums = [0.0f32; 16];
    for lane in lanes {
        for (s, v) in sums.iter_mut().zip(lane) {
            *s += (v - mean) * (v - mean);
        }
    }
    let variance = (sums.iter().sum::<f32>() + rest.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>()) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// `act(weight (x - mean) / sqrt(var + eps) + bias)`, moments over each group.
pub(crate) fn group_norm(s: &GroupShape, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, activation: Activation) -> Vec<f32> {
    let size = s.group_channels() * s.pixels;
    let mut y = vec![0.0; x.len()];
    y.par_chunks_exact_mut(size).zip(x.par_chunks_exact(size)).enumerate().for_each(|(i, (y, x))| {
        let first = i % s.groups * s.group_channels();
        vectorized(|| {
            let (mean, rstd) = moments(x, eps);
            for (c, (y, x)) in y.chunks_exact_mut(s.pixels).zip(x.chunks_exact(s.pixels)).enumerate() {
                let scale = weight[first + c] * rstd;
                let shift = bias[first + c] - mean * scale;
                match activation {
                    Activation::Silu => y.iter_mut().zip(x).for_each(|(y, &x)| *y = activate(Activation::Silu, x * scale + shift)),
                    other => y.iter_mut().zip(x).for_each(|(y, &x)| *y = activate(other, x * scale + shift)),
                }
            }
        });
    });
    y
}

/// Gradients of input, weight and bias of [`group_norm`].
pub(crate) fn group_norm_backward(
    s: &GroupShape,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    grad: &[f32],
    eps: f32,
    activation: Activation,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let size = s.group_channels() * s.pixels;
    let mut dx = vec![0.0; x.len()];
    // Per picture and channel: sums of dz and of dz x_hat.
    let mut sums = vec![[0.0f32; 2]; s.batch * s.channels];
    dx.par_chunks_exact_mut(size)
        .zip(sums.par_chunks_exact_mut(s.group_channels()))
        .zip(x.par_chunks_exact(size).zip(grad.par_chunks_exact(size)))
        .enumerate()
        .for_each(|(i, ((dx, sums), (x, grad)))| {
            let first = i % s.groups * s.group_channels();
            vectorized(|| {
                let (mean, rstd) = moments(x, eps);
                let (mut mean_d, mut mean_dx) = (0.0, 0.0);
                for (c, sums) in sums.iter_mut().enumerate() {
                    let range = c * s.pixels..(c + 1) * s.pixels;
                    let (w, b) = (weight[first + c], bias[first + c]);
                    let (x, grad, dz) = (&x[range.clone()], &grad[range.clone()], &mut dx[range]);
                    // The choice stands outside of the loop, which is vector code only without it.
                    match activation {
                        Activation::Silu => times_slope(dz, x, grad, |x| slope(Activation::Silu, (x - mean) * rstd * w + b)),
                        Activation::Identity => dz.copy_from_slice(grad),
                        other => times_slope(dz, x, grad, |x| slope(other, (x - mean) * rstd * w + b)),
                    }
                    let total = sum_lanes(dz);
                    let weighted = (dot_lanes(dz, x) - mean * total) * rstd;
                    *sums = [total, weighted];
                    mean_d += w * total;
                    mean_dx += w * weighted;
                }
                let n = size as f32;
                let (mean_d, mean_dx) = (mean_d / n, mean_dx / n);
                for (c, (dx, x)) in dx.chunks_exact_mut(s.pixels).zip(x.chunks_exact(s.pixels)).enumerate() {
                    let w = weight[first + c];
                    for (d, &x) in dx.iter_mut().zip(x) {
                        *d = rstd * (*d * w - mean_d - (x - mean) * rstd * mean_dx);
                    }
                }
            });
        });
    let (mut dw, mut db) = (vec![0.0; s.channels], vec![0.0; s.channels]);
    for (i, [total, weighted]) in sums.into_iter().enumerate() {
        db[i % s.channels] += total;
        dw[i % s.channels] += weighted;
    }
    (dx, dw, db)
}

/// `dz = grad slope(x)`.
#[inline(always)]
fn times_slope(dz: &mut [f32], x: &[f32], grad: &[f32], slope: impl Fn(f32) -> f32) {
    for ((dz, &x), &g) in dz.iter_mut().zip(x).zip(grad) {
        *dz = g * slope(x);
    }
}

#[inline(always)]
fn dot_lanes(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sums = [0.0f32; 16];
    for (a, b) in a.iter().zip(b) {
        for ((s, a), b) in sums.iter_mut().zip(a).zip(b) {
            *s += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Layer normalisation of rows of `weight.len()` values.
pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let n = weight.len();
    let mut y = vec![0.0; x.len()];
    y.par_chunks_mut(64 * n).zip(x.par_chunks(64 * n)).for_each(|(y, x)| {
        vectorized(|| {
            for (y, x) in y.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
                let (mean, rstd) = moments(x, eps);
                for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                    *y = (x - mean) * rstd * w + b;
                }
            }
        });
    });
    y
}

/// Gradients of input, weight and bias of [`layer_norm`].
pub(crate) fn layer_norm_backward(x: &[f32], weight: &[f32], grad: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let n = weight.len();
    let rows = x.len() / n;
    let each = rows.div_ceil(rayon::current_num_threads().max(1)).max(1) * n;
    let mut dx = vec![0.0; x.len()];
    let parts: Vec<(Vec<f32>, Vec<f32>)> = dx
        .par_chunks_mut(each)
        .zip(x.par_chunks(each).zip(grad.par_chunks(each)))
        .map(|(dx, (x, grad))| {
            let (mut dw, mut db) = (vec![0.0; n], vec![0.0; n]);
            vectorized(|| {
                for ((dx, x), grad) in dx.chunks_exact_mut(n).zip(x.chunks_exact(n)).zip(grad.chunks_exact(n)) {
                    let (mean, rstd) = moments(x, eps);
                    for i in 0..n {
                        let hat = (x[i] - mean) * rstd;
                        dw[i] += grad[i] * hat;
                        db[i] += grad[i];
                        dx[i] = grad[i] * weight[i];
                    }
                    let mean_d = sum_lanes(dx) / n as f32;
                    let mean_dx = (dot_lanes(dx, x) / n as f32 - mean * mean_d) * rstd;
                    for (d, &x) in dx.iter_mut().zip(x) {
                        *d = rstd * (*d - mean_d - (x - mean) * rstd * mean_dx);
                    }
                }
            });
            (dw, db)
        })
        .collect();
    let (mut dw, mut db) = (vec![0.0; n], vec![0.0; n]);
    for (pw, pb) in parts {
        dw.iter_mut().zip(pw).for_each(|(a, b)| *a += b);
        db.iter_mut().zip(pb).for_each(|(a, b)| *a += b);
    }
    (dx, dw, db)
}
