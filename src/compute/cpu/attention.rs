//! Multi-head attention over interleaved heads, some queries at a time, and its gradients.

use super::buffer::Buffer;
use super::math::exp;
use super::parallel::{each, ranges};
use super::product::{PANEL, Product};
use super::vectorized;
use crate::compute::Mask;

/// Queries worked on at a time: their scores stay in the cache.
const QUERIES: usize = 64;

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

/// A matrix of rows as a right operand: `[panel][row][PANEL]`.
struct Panels {
    values: Buffer,
    rows: usize,
}

impl Panels {
    /// The columns `first..first + cols` of rows that are `stride` apart.
    fn rows(data: &[f32], rows: usize, stride: usize, first: usize, cols: usize) -> Self {
        let mut values = Buffer::any(cols.div_ceil(PANEL) * rows * PANEL);
        for (panel, block) in values.chunks_exact_mut((rows * PANEL).max(1)).enumerate() {
            let count = (cols - panel * PANEL).min(PANEL);
            for (i, row) in block.chunks_exact_mut(PANEL).enumerate() {
                row[..count].copy_from_slice(&data[i * stride + first + panel * PANEL..][..count]);
                row[count..].fill(0.0);
            }
        }
        Self { values, rows }
    }

    /// The same, transposed: columns become rows.
    fn columns(data: &[f32], rows: usize, stride: usize, first: usize, cols: usize) -> Self {
        let mut values = Buffer::any(rows.div_ceil(PANEL) * cols * PANEL);
        for (panel, block) in values.chunks_exact_mut((cols * PANEL).max(1)).enumerate() {
            let count = (rows - panel * PANEL).min(PANEL);
            if count < PANEL {
                block.fill(0.0);
            }
            for n in 0..count {
                let source = &data[(panel * PANEL + n) * stride + first..][..cols];
                for (i, &v) in source.iter().enumerate() {
                    block[i * PANEL + n] = v;
                }
            }
        }
        Self { values, rows: cols }
    }

    /// `a` times this: element `(m, i)` of `a` is `a[m * row + i * step]`.
    fn product(&self, a: &[f32], (row, step): (usize, usize), rows: usize, cols: usize, sink: impl FnMut(usize, usize, &[f32])) {
        Product {
            a,
            a_row: row,
            line: rows,
            a_line: 0,
            a_group: 0,
            a_run: 0,
            a_step: step,
            b: &self.values,
            b_panel: self.rows * PANEL,
            b_group: 0,
            b_run: 0,
            b_step: PANEL,
            groups: 1,
            runs: 1,
            len: self.rows,
            rows,
            cols,
        }
        .run(sink);
    }
}

impl AttentionShape {
    fn depth(&self) -> usize {
        self.channels / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.depth() as f32).sqrt()
    }

    /// The weights of the queries from `start` on, `[queries, keys]`, of the head whose first channel is `first`.
    fn probabilities(&self, q: &[f32], keys: &Panels, (start, first): (usize, usize), p: &mut [f32]) {
        let (m, scale) = (self.keys, self.scale());
        let count = p.len() / m;
        keys.product(
            &q[start * self.channels + first..],
            (self.channels, 1),
            count,
            m,
            #[inline(always)]
            |row, col, values| {
                p[row * m + col..][..values.len()].iter_mut().zip(values).for_each(|(p, v)| *p = scale * v);
            },
        );
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in p.chunks_exact_mut(m).enumerate() {
                    let seen = if self.mask == Mask::Causal { (start + i + 1).min(m) } else { m };
                    softmax(&mut row[..seen]);
                    row[seen..].fill(0.0);
                }
            },
        );
    }

    fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let queries = self.queries;
        (0..queries).step_by(QUERIES).map(move |start| (start, (queries - start).min(QUERIES)))
    }
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    let mut tops = [f32::NEG_INFINITY; 16];
    let (lanes, rest) = row.as_chunks::<16>();
    for lane in lanes {
        tops.iter_mut().zip(lane).for_each(|(t, &v)| *t = t.max(v));
    }
    let top = tops.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0.0_f32; 16];
    let (lanes, rest) = row.as_chunks_mut::<16>();
    for lane in lanes {
        for (s, v) in sums.iter_mut().zip(lane) {
            *v = exp(*v - top);
            *s += *v;
        }
    }
    let mut sum = sums.iter().sum::<f32>();
    for v in rest {
        *v = exp(*v - top);
        sum += *v;
    }
    let total = 1.0 / sum;
    row.iter_mut().for_each(|v| *v *= total);
}

/// `softmax(q k^T / sqrt(d)) v` in each head; the weights `[batch, heads, queries, keys]` too where there is room for them.
pub(crate) fn attention(s: &AttentionShape, q: &[f32], k: &[f32], v: &[f32], out: &mut [f32], weights: Option<&mut [f32]>) {
    let (n, m, c, d) = (s.queries, s.keys, s.channels, s.depth());
    let kept = weights.is_some();
    let mut weights: Vec<Option<&mut [f32]>> = match weights {
        Some(weights) => weights.chunks_exact_mut(s.heads * n * m).map(Some).collect(),
        None => (0..s.batch).map(|_| None).collect(),
    };
    // With fewer pictures than threads, queries are shared out; the weights are kept for looking only, picture by picture.
    let pieces = if kept { std::iter::once(0..n).collect() } else { ranges(n, s.batch, 16) };
    let mut tasks = Vec::new();
    for ((b, mut rest), weights) in out.chunks_exact_mut((n * c).max(1)).enumerate().zip(&mut weights) {
        let mut weights = weights.take();
        for rows in &pieces {
            let (now, later) = rest.split_at_mut(rows.len() * c);
            tasks.push((b, rows.clone(), now, weights.take()));
            rest = later;
        }
    }
    each(tasks, |(b, rows, out, mut weights)| {
        let (q, k, v) = (&q[b * n * c..][..n * c], &k[b * m * c..][..m * c], &v[b * m * c..][..m * c]);
        let mut p = Buffer::any(QUERIES * m);
        for head in 0..s.heads {
            let first = head * d;
            let (keys, values) = (Panels::columns(k, m, c, first, d), Panels::rows(v, m, c, first, d));
            for start in rows.clone().step_by(QUERIES) {
                let count = (rows.end - start).min(QUERIES);
                let p = &mut p[..count * m];
                s.probabilities(q, &keys, (start, first), p);
                values.product(
                    p,
                    (m, 1),
                    count,
                    d,
                    #[inline(always)]
                    |row, col, values| {
                        out[(start - rows.start + row) * c + first + col..][..values.len()].copy_from_slice(values);
                    },
                );
                if let Some(weights) = &mut weights {
                    weights[(head * n + start) * m..][..count * m].copy_from_slice(p);
                }
            }
        }
    });
}

/// The gradients of [`attention`] with respect to queries, keys and values, into `dq`, `dk` and `dv`.
#[allow(clippy::too_many_arguments)] // three operands, their gradients and the incoming one
pub(crate) fn attention_back(
    s: &AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    grad: &[f32],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let (n, m, c, d) = (s.queries, s.keys, s.channels, s.depth());
    let tasks: Vec<_> = dq
        .chunks_exact_mut((n * c).max(1))
        .zip(dk.chunks_exact_mut((m * c).max(1)).zip(dv.chunks_exact_mut((m * c).max(1))))
        .enumerate()
        .collect();
    each(tasks, |(b, (dq, (dk, dv)))| {
        dk.fill(0.0);
        dv.fill(0.0);
        let of = |data: &'_ [f32], rows: usize| -> std::ops::Range<usize> {
            debug_assert!(data.len() >= (b + 1) * rows * c);
            b * rows * c..(b + 1) * rows * c
        };
        let (q, k, v, grad) = (&q[of(q, n)], &k[of(k, m)], &v[of(v, m)], &grad[of(grad, n)]);
        let (mut p, mut ds) = (Buffer::any(QUERIES * m), Buffer::any(QUERIES * m));
        for head in 0..s.heads {
            let first = head * d;
            let keys = Panels::columns(k, m, c, first, d);
            let (key_rows, value_columns) = (Panels::rows(k, m, c, first, d), Panels::columns(v, m, c, first, d));
            for (start, count) in s.blocks() {
                let (p, ds) = (&mut p[..count * m], &mut ds[..count * m]);
                s.probabilities(q, &keys, (start, first), p);
                let here = &grad[start * c..];
                let add = |into: &mut [f32], factor: f32, row: usize, col: usize, values: &[f32]| {
                    into[row * c + first + col..][..values.len()].iter_mut().zip(values).for_each(|(x, v)| *x += factor * v);
                };
                Panels::rows(here, count, c, first, d).product(
                    p,
                    (1, m),
                    m,
                    d,
                    #[inline(always)]
                    |row, col, values| add(&mut *dv, 1.0, row, col, values),
                );
                value_columns.product(
                    &here[first..],
                    (c, 1),
                    count,
                    m,
                    #[inline(always)]
                    |row, col, values| {
                        ds[row * m + col..][..values.len()].copy_from_slice(values);
                    },
                );
                vectorized(
                    #[inline(always)]
                    || {
                        for (ds, p) in ds.chunks_exact_mut(m).zip(p.chunks_exact(m)) {
                            let mut sums = [0.0_f32; 16];
                            let ((d16, d_rest), (p16, p_rest)) = (ds.as_chunks::<16>(), p.as_chunks::<16>());
                            for (d, p) in d16.iter().zip(p16) {
                                for ((s, d), p) in sums.iter_mut().zip(d).zip(p) {
                                    *s += d * p;
                                }
                            }
                            let mean = sums.iter().sum::<f32>() + d_rest.iter().zip(p_rest).map(|(d, p)| d * p).sum::<f32>();
                            ds.iter_mut().zip(p).for_each(|(d, p)| *d = p * (*d - mean));
                        }
                    },
                );
                let scale = s.scale();
                key_rows.product(
                    ds,
                    (m, 1),
                    count,
                    d,
                    #[inline(always)]
                    |row, col, values| {
                        let start = (start + row) * c + first + col;
                        dq[start..start + values.len()].iter_mut().zip(values).for_each(|(x, v)| *x = scale * v);
                    },
                );
                Panels::rows(&q[start * c..], count, c, first, d).product(
                    ds,
                    (1, m),
                    m,
                    d,
                    #[inline(always)]
                    |row, col, values| add(&mut *dk, scale, row, col, values),
                );
            }
        }
    });
}
