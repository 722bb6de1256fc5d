//! Multi-head attention over interleaved heads, without copies into head-major order, and its backward pass.

use super::gemm::{Mat, gemm};
use super::math::exp;
use super::shared::SharedMut;
use super::vectorized;
use crate::compute::Mask;
use rayon::prelude::*;

/// Extents of one attention: queries `[batch, queries, channels]`, keys and values `[batch, keys, channels]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionShape {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub channels: usize,
    pub heads: usize,
    pub mask: Mask,
}

impl AttentionShape {
    fn depth(&self) -> usize {
        self.channels / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.depth() as f32).sqrt()
    }

    /// The `head` of picture `b` as a matrix `[length, depth]`.
    fn head<'a>(&self, data: &'a [f32], length: usize, task: usize) -> Mat<'a> {
        let (b, head) = (task / self.heads, task % self.heads);
        Mat::rows(&data[b * length * self.channels + head * self.depth()..], self.channels)
    }

    fn probabilities(&self, q: &[f32], k: &[f32], task: usize, p: &mut Vec<f32>) {
        let (n, m) = (self.queries, self.keys);
        p.resize(n * m, 0.0);
        gemm(n, m, self.depth(), self.scale(), self.head(q, n, task), self.head(k, m, task).t(), p, m, false);
        vectorized(|| {
            for (i, row) in p.chunks_exact_mut(m).enumerate() {
                let seen = if self.mask == Mask::Causal { (i + 1).min(m) } else { m };
                softmax(&mut row[..seen]);
                row[seen..].fill(0.0);
            }
        });
    }
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for v in row.iter_mut() {
        *v = exp(*v - top);
    }
    let total = 1.0 / super::conv::sum_lanes(row);
    for v in row.iter_mut() {
        *v *= total;
    }
}

/// Writes the `[rows, depth]` product of one head back between the other heads.
fn scatter(shape: &AttentionShape, out: &SharedMut, rows: usize, task: usize, values: &[f32]) {
    let (b, head, d) = (task / shape.heads, task % shape.heads, shape.depth());
    for (i, row) in values.chunks_exact(d).enumerate() {
        out.write((b * rows + i) * shape.channels + head * d, row, |v| v);
    }
}

/// `softmax(q k^T / sqrt(d)) v` in each head.
pub(crate) fn attention(s: &AttentionShape, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let (n, m, d) = (s.queries, s.keys, s.depth());
    let mut y = vec![0.0; s.batch * n * s.channels];
    let out = SharedMut::new(&mut y);
    (0..s.batch * s.heads).into_par_iter().for_each_init(
        || (Vec::new(), vec![0.0; n * d]),
        |(p, o), task| {
            s.probabilities(q, k, task, p);
            gemm(n, d, m, 1.0, Mat::rows(p, m), s.head(v, m, task), o, d, false);
            scatter(s, &out, n, task, o);
        },
    );
    y
}

/// The weights `[batch, heads, queries, keys]`.
pub(crate) fn weights(s: &AttentionShape, q: &[f32], k: &[f32]) -> Vec<f32> {
    (0..s.batch * s.heads)
        .flat_map(|task| {
            let mut p = Vec::new();
            s.probabilities(q, k, task, &mut p);
            p
        })
        .collect()
}

/// Gradients of queries, keys and values.
pub(crate) fn attention_backward(s: &AttentionShape, q: &[f32], k: &[f32], v: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (n, m, d) = (s.queries, s.keys, s.depth());
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    let (out_q, out_k, out_v) = (SharedMut::new(&mut dq), SharedMut::new(&mut dk), SharedMut::new(&mut dv));
    (0..s.batch * s.heads).into_par_iter().for_each_init(
        || (Vec::new(), vec![0.0; n * m], vec![0.0; n * d], vec![0.0; m * d]),
        |(p, ds, rows_q, rows_k), task| {
            s.probabilities(q, k, task, p);
            let g = s.head(grad, n, task);
            gemm(m, d, n, 1.0, Mat::rows(p, m).t(), g, rows_k, d, false);
            scatter(s, &out_v, m, task, rows_k);
            gemm(n, m, d, 1.0, g, s.head(v, m, task).t(), ds, m, false);
            vectorized(|| {
                for (ds, p) in ds.chunks_exact_mut(m).zip(p.chunks_exact(m)) {
                    let mean: f32 = ds.iter().zip(p).map(|(a, b)| a * b).sum();
                    for (d, &p) in ds.iter_mut().zip(p) {
                        *d = p * (*d - mean);
                    }
                }
            });
            gemm(n, d, m, s.scale(), Mat::rows(ds, m), s.head(k, m, task), rows_q, d, false);
            scatter(s, &out_q, n, task, rows_q);
            gemm(m, d, n, s.scale(), Mat::rows(ds, m).t(), s.head(q, n, task), rows_k, d, false);
            scatter(s, &out_k, m, task, rows_k);
        },
    );
    (dq, dk, dv)
}
