//! Two-dimensional cross-correlation with a backward pass: blocked im2col over a matrix product.
//!
//! A picture is copied once with its zero border, so that tap `(c, ky, kx)` of the output pixel at `(y, x)` lies at
//! `tap_offset + pixel_offset` without a test for the edge. Blocks of output pixels are gathered into a
//! `[C K K, pixels]` matrix that stays in the cache and multiplied by the weights. The gradient of the input is the
//! correlation of the (dilated) gradient with the turned weights; the gradient of the weights is the product of the
//! gathered block with the gradient. Sums over pictures run in a fixed order, so a result depends on nothing but the
//! operands and the number of threads.

use super::amx::{self, Packed};
use super::gemm::{Mat, gemm, shares};
use super::shared::SharedMut;
use super::vectorized;
use crate::compute::Conv2d;
use crate::compute::Precision;
use rayon::prelude::*;

/// Extents of one convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub batch: usize,
    pub in_channels: usize,
    pub height: usize,
    pub width: usize,
    pub out_channels: usize,
    pub kernel: usize,
    pub geometry: Conv2d,
}

impl ConvShape {
    pub fn out_height(&self) -> usize {
        self.geometry.output_extent(self.height, self.kernel).unwrap_or(0)
    }

    pub fn out_width(&self) -> usize {
        self.geometry.output_extent(self.width, self.kernel).unwrap_or(0)
    }

    pub fn out_pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    fn taps(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }

    fn padded_width(&self) -> usize {
        self.width + self.geometry.pad_before + self.geometry.pad_after
    }

    fn padded_plane(&self) -> usize {
        (self.height + self.geometry.pad_before + self.geometry.pad_after) * self.padded_width()
    }

    fn needs_padding(&self) -> bool {
        self.geometry.pad_before + self.geometry.pad_after > 0
    }

    fn tap_offsets(&self) -> Vec<usize> {
        let (k, plane, width) = (self.kernel, self.padded_plane(), self.padded_width());
        (0..self.taps()).map(|tap| tap / (k * k) * plane + tap / k % k * width + tap % k).collect()
    }

    fn pixel_offsets(&self) -> Vec<usize> {
        let (out_width, width, stride) = (self.out_width(), self.padded_width(), self.geometry.stride);
        (0..self.out_pixels()).map(|p| p / out_width * stride * width + p % out_width * stride).collect()
    }

    /// Length of the runs of output pixels whose sources are neighbours, as far as the gather can use it.
    fn run(&self) -> usize {
        let width = self.out_width();
        match self.geometry.stride {
            1 if width.is_multiple_of(16) => 16,
            1 if width.is_multiple_of(8) => 8,
            _ => 1,
        }
    }

    /// Output pixels gathered at a time: few enough for the cache, many enough blocks for all threads.
    fn block(&self) -> usize {
        let share = (self.batch * self.out_pixels()).div_ceil(2 * rayon::current_num_threads().max(1));
        share.next_multiple_of(64).clamp(64, 1024)
    }
}

/// One picture `[C, H, W]` with its zero border.
fn pad(shape: &ConvShape, picture: &[f32], padded: &mut Vec<f32>) {
    let (width, plane, before) = (shape.padded_width(), shape.padded_plane(), shape.geometry.pad_before);
    padded.clear();
    padded.resize(shape.in_channels * plane, 0.0);
    for (c, source) in picture.chunks_exact(shape.height * shape.width).enumerate() {
        for (y, row) in source.chunks_exact(shape.width).enumerate() {
            let start = c * plane + (y + before) * width + before;
            padded[start..start + shape.width].copy_from_slice(row);
        }
    }
}

/// Calls `f(picture, border-extended picture)` for each picture of `range`.
fn for_padded(shape: &ConvShape, x: &[f32], range: std::ops::Range<usize>, mut f: impl FnMut(usize, &[f32])) {
    let size = shape.in_channels * shape.height * shape.width;
    let mut padded = Vec::new();
    for b in range {
        let picture = &x[b * size..(b + 1) * size];
        if shape.needs_padding() {
            pad(shape, picture, &mut padded);
            f(b, &padded);
        } else {
            f(b, picture);
        }
    }
}

/// Gathers `[taps, pixels]` in f32.
fn im2col(source: &[f32], taps: &[usize], pixels: &[usize], run: usize, columns: &mut Vec<f32>) {
    columns.resize(taps.len() * pixels.len(), 0.0);
    vectorized(|| {
        for (row, &tap) in columns.chunks_exact_mut(pixels.len()).zip(taps) {
            if run >= 8 {
                for (target, pixel) in row.chunks_mut(run).zip(pixels.chunks(run)) {
                    let start = tap + pixel[0];
                    target.copy_from_slice(&source[start..start + target.len()]);
                }
            } else {
                for (target, &pixel) in row.iter_mut().zip(pixels) {
                    *target = source[tap + pixel];
                }
            }
        }
    });
}

fn use_tiles(precision: Precision) -> bool {
    precision == Precision::Bf16 && amx::available()
}

/// `y[b, o, p] = sum_k w[o, k] col(x[b])[k, p] + bias[o]`.
pub(crate) fn forward(shape: &ConvShape, x: &[f32], weight: &[f32], bias: Option<&[f32]>, precision: Precision) -> Vec<f32> {
    let (taps, pixels, run) = (shape.tap_offsets(), shape.pixel_offsets(), shape.run());
    let (o, k, p) = (shape.out_channels, taps.len(), pixels.len());
    let mut y = vec![0.0; shape.batch * o * p];
    let direct = shape.kernel == 1 && shape.geometry == Conv2d::POINTWISE;
    let tiles = use_tiles(precision);
    let mut left = Packed::default();
    if tiles {
        left.left_rows(o, k, |i| &weight[i * k..(i + 1) * k]);
    }
    let out = SharedMut::new(&mut y);
    let block = shape.block();
    let blocks = p.div_ceil(block);
    let padded: Vec<Vec<f32>> = if direct || !shape.needs_padding() {
        Vec::new()
    } else {
        let size = shape.in_channels * shape.height * shape.width;
        x.par_chunks_exact(size)
            .map(|picture| {
                let mut padded = Vec::new();
                pad(shape, picture, &mut padded);
                padded
            })
            .collect()
    };
    let size = shape.in_channels * shape.height * shape.width;
    shares(shape.batch * blocks, 1).into_par_iter().for_each(|range| {
        let (mut columns, mut right, mut product) = (Vec::new(), Packed::default(), Vec::new());
        for task in range {
            let (b, start) = (task / blocks, task % blocks * block);
            let source = padded.get(b).map_or_else(|| &x[b * size..(b + 1) * size], Vec::as_slice);
            let these = &pixels[start..(start + block).min(p)];
            let n = these.len();
            product.resize(o * n, 0.0);
            if tiles {
                right.right_gather(source, &taps, these, run);
                amx::gemm_packed(&left, &right, &mut product, n, false);
            } else if direct {
                gemm(o, n, k, 1.0, Mat::rows(weight, k), Mat::rows(&source[start..], p), &mut product, n, false);
            } else {
                im2col(source, &taps, these, run, &mut columns);
                gemm(o, n, k, 1.0, Mat::rows(weight, k), Mat::rows(&columns, n), &mut product, n, false);
            }
            for (i, row) in product.chunks_exact(n).enumerate() {
                let add = bias.map_or(0.0, |bias| bias[i]);
                out.write((b * o + i) * p + start, row, |v| v + add);
            }
        }
    });
    y
}

/// The shape of the correlation that turns a gradient of the output into one of the input.
fn backward_shape(shape: &ConvShape) -> ConvShape {
    let dilated = |extent: usize| (extent - 1) * shape.geometry.stride + 1;
    let (height, width) = (dilated(shape.out_height()), dilated(shape.out_width()));
    let before = shape.kernel - 1 - shape.geometry.pad_before;
    // The bottom and right border make up for what the stride left over.
    let after = shape.height + shape.kernel - 1 - height - before;
    ConvShape {
        batch: shape.batch,
        in_channels: shape.out_channels,
        height,
        width,
        out_channels: shape.in_channels,
        kernel: shape.kernel,
        geometry: Conv2d { stride: 1, pad_before: before, pad_after: after },
    }
}

/// Gradient of the input from the gradient of the output.
pub(crate) fn backward_input(shape: &ConvShape, weight: &[f32], grad: &[f32], precision: Precision) -> Vec<f32> {
    let back = backward_shape(shape);
    let (o, c, kk) = (shape.out_channels, shape.in_channels, shape.kernel * shape.kernel);
    let mut turned = vec![0.0; weight.len()];
    for i in 0..o {
        for j in 0..c {
            for t in 0..kk {
                turned[(j * o + i) * kk + kk - 1 - t] = weight[(i * c + j) * kk + t];
            }
        }
    }
    if shape.geometry.stride == 1 {
        return forward(&back, grad, &turned, None, precision);
    }
    let (stride, out_width) = (shape.geometry.stride, shape.out_width());
    let plane = back.height * back.width;
    let mut dilated = vec![0.0; shape.batch * o * plane];
    dilated.par_chunks_exact_mut(plane).zip(grad.par_chunks_exact(shape.out_pixels())).for_each(|(target, source)| {
        for (i, &v) in source.iter().enumerate() {
            target[i / out_width * stride * back.width + i % out_width * stride] = v;
        }
    });
    forward(&back, &dilated, &turned, None, precision)
}

/// Gradients of the weights `[O, C, K, K]` and of the bias `[O]`.
pub(crate) fn backward_weight(shape: &ConvShape, x: &[f32], grad: &[f32], precision: Precision) -> (Vec<f32>, Vec<f32>) {
    let (taps, pixels, run) = (shape.tap_offsets(), shape.pixel_offsets(), shape.run());
    let (o, k, p) = (shape.out_channels, taps.len(), pixels.len());
    let tiles = use_tiles(precision);
    let parts: Vec<(Vec<f32>, Vec<f32>)> = shares(shape.batch, 1)
        .into_par_iter()
        .map(|range| {
            let mut transposed = vec![0.0f32; k * o]; // [taps, O]
            let mut bias = vec![0.0f32; o];
            let (mut columns, mut left, mut right) = (Vec::new(), Packed::default(), Packed::default());
            for_padded(shape, x, range, |b, source| {
                let grad = &grad[b * o * p..(b + 1) * o * p];
                for start in (0..p).step_by(1024) {
                    let these = &pixels[start..(start + 1024).min(p)];
                    let n = these.len();
                    if tiles {
                        left.left_gather(source, &taps, these, run);
                        right.right_cols(n, o, |i| &grad[i * p + start..][..n]);
                        amx::gemm_packed(&left, &right, &mut transposed, o, true);
                    } else {
                        im2col(source, &taps, these, run, &mut columns);
                        let g = Mat::rows(&grad[start..], p).t();
                        gemm(k, o, n, 1.0, Mat::rows(&columns, n), g, &mut transposed, o, true);
                    }
                }
                for (sum, row) in bias.iter_mut().zip(grad.chunks_exact(p)) {
                    *sum += vectorized(|| sum_lanes(row));
                }
            });
            (transposed, bias)
        })
        .collect();
    let mut weight = vec![0.0f32; o * k];
    let mut bias = vec![0.0f32; o];
    for (transposed, part) in parts {
        for (i, row) in transposed.chunks_exact(o).enumerate() {
            for (j, v) in row.iter().enumerate() {
                weight[j * k + i] += v;
            }
        }
        bias.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
    }
    (weight, bias)
}

/// Sum in sixteen lanes, in a fixed order.
#[inline(always)]
pub(crate) fn sum_lanes(values: &[f32]) -> f32 {
    let (lanes, rest) = values.as_chunks::<16>();
    let mut sums = [0.0f32; 16];
    for lane in lanes {
        for (s, v) in sums.iter_mut().zip(lane) {
            *s += v;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(s: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f32> {
        let (oh, ow, k) = (s.out_height(), s.out_width(), s.kernel);
        let mut y = vec![0.0; s.batch * s.out_channels * oh * ow];
        for (i, v) in y.iter_mut().enumerate() {
            let (b, o, oy, ox) = (i / (s.out_channels * oh * ow), i / (oh * ow) % s.out_channels, i / ow % oh, i % ow);
            for c in 0..s.in_channels {
                for t in 0..k * k {
                    let (yy, xx) = (oy * s.geometry.stride + t / k, ox * s.geometry.stride + t % k);
                    let (Some(yy), Some(xx)) = (yy.checked_sub(s.geometry.pad_before), xx.checked_sub(s.geometry.pad_before)) else {
                        continue;
                    };
                    if yy < s.height && xx < s.width {
                        *v += x[((b * s.in_channels + c) * s.height + yy) * s.width + xx] * w[(o * s.in_channels + c) * k * k + t];
                    }
                }
            }
        }
        y
    }

    fn shapes() -> Vec<ConvShape> {
        let same = Conv2d::SAME_3X3;
        let half = Conv2d { stride: 2, pad_before: 1, pad_after: 1 };
        let vae = Conv2d { stride: 2, pad_before: 0, pad_after: 1 };
        [
            (1, 3, 5, 7, 4, 3, same),
            (2, 5, 16, 16, 33, 3, same),
            (3, 4, 8, 8, 6, 1, Conv2d::POINTWISE),
            (2, 6, 8, 8, 5, 3, half),
            (1, 3, 9, 9, 2, 3, half),
            (2, 4, 16, 16, 7, 3, vae),
            (1, 2, 48, 40, 3, 3, same),
        ]
        .map(|(batch, in_channels, height, width, out_channels, kernel, geometry)| ConvShape {
            batch,
            in_channels,
            height,
            width,
            out_channels,
            kernel,
            geometry,
        })
        .to_vec()
    }

    fn wave(n: usize, f: f32) -> Vec<f32> {
        // Values that bf16 holds exactly, so that both precisions must agree with the definition.
        (0..n).map(|i| ((i as f32 * f).sin() * 64.0).round() / 64.0).collect()
    }

    fn close(a: &[f32], b: &[f32], tolerance: f32) {
        let norm: f32 = b.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-6);
        let error: f32 = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>().sqrt();
        assert_eq!(a.len(), b.len());
        assert!(error / norm < tolerance, "relative error {}", error / norm);
    }

    #[test]
    fn forward_matches_the_definition() {
        for s in shapes() {
            let x = wave(s.batch * s.in_channels * s.height * s.width, 0.7);
            let w = wave(s.out_channels * s.taps(), 1.3);
            let y = naive(&s, &x, &w);
            close(&forward(&s, &x, &w, None, Precision::F32), &y, 1e-5);
            close(&forward(&s, &x, &w, None, Precision::Bf16), &y, 1e-5);
        }
    }

    #[test]
    fn gradients_match_the_adjoint() {
        // <conv(x, w), g> is linear in x and in w, so its gradients are exact: <x, dx> = <w, dw> = <y, g>.
        for s in shapes() {
            let x = wave(s.batch * s.in_channels * s.height * s.width, 0.7);
            let w = wave(s.out_channels * s.taps(), 1.3);
            let g = wave(s.batch * s.out_channels * s.out_pixels(), 0.9);
            for precision in [Precision::F32, Precision::Bf16] {
                let tolerance = 1e-4;
                let dx = backward_input(&s, &w, &g, precision);
                let (dw, db) = backward_weight(&s, &x, &g, precision);
                assert_eq!((dx.len(), dw.len(), db.len()), (x.len(), w.len(), s.out_channels));
                // Perturb single elements: the change of <y, g> is the gradient times the step.
                let mut expected_dx = Vec::new();
                let mut got_dx = Vec::new();
                for i in (0..x.len()).step_by((x.len() / 13).max(1)) {
                    let mut unit = vec![0.0; x.len()];
                    unit[i] = 1.0;
                    expected_dx.push(naive(&s, &unit, &w).iter().zip(&g).map(|(a, b)| a * b).sum::<f32>());
                    got_dx.push(dx[i]);
                }
                close(&got_dx, &expected_dx, tolerance);
                let (mut expected_dw, mut got_dw) = (Vec::new(), Vec::new());
                for i in (0..w.len()).step_by((w.len() / 13).max(1)) {
                    let mut unit = vec![0.0; w.len()];
                    unit[i] = 1.0;
                    expected_dw.push(naive(&s, &x, &unit).iter().zip(&g).map(|(a, b)| a * b).sum::<f32>());
                    got_dw.push(dw[i]);
                }
                close(&got_dw, &expected_dw, tolerance);
            }
        }
    }
}
