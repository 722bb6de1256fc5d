//! Weights as the inner loops want them, each form made once for a weight.

use super::product::PANEL;
use super::tiles::{self, Right, pair, rest};
use super::vectorized;
use std::sync::OnceLock;

/// Which way a weight is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From inputs to outputs.
    Forward,
    /// From outputs to inputs: the kernel turned by half a circle and its axes exchanged.
    Back,
}

/// Extents of a weight `[outputs, channels, kernel, kernel]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extents {
    pub outputs: usize,
    pub channels: usize,
    pub kernel: usize,
}

impl Extents {
    /// Contracted channels, and columns of the right operand.
    fn ends(self, way: Way) -> (usize, usize) {
        match way {
            Way::Forward => (self.channels, self.outputs),
            Way::Back => (self.outputs, self.channels),
        }
    }
}

/// The forms of one weight.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    floats: [OnceLock<Vec<f32>>; 2],
    rounded: [OnceLock<Right>; 2],
    split: OnceLock<Right>,
}

impl Prepared {
    /// Panels of f32, `[panel][ky][kx, channel][PANEL]`.
    pub fn floats(&self, weight: &[f32], e: Extents, way: Way) -> &[f32] {
        self.floats[way as usize].get_or_init(|| {
            let (inner, cols) = e.ends(way);
            let mut packed = Vec::with_capacity(cols.div_ceil(PANEL) * PANEL * e.kernel * e.kernel * inner);
            gathered(weight, e, way, PANEL, |_, rows| packed.extend_from_slice(rows));
            packed
        })
    }

    /// Tiles of bf16.
    pub fn rounded(&self, weight: &[f32], e: Extents, way: Way) -> &Right {
        self.rounded[way as usize].get_or_init(|| tiled(weight, e, way, |v| v))
    }

    /// Tiles of what [`Self::rounded`] left.
    pub fn rest(&self, weight: &[f32], e: Extents) -> &Right {
        self.split.get_or_init(|| tiled(weight, e, Way::Forward, rest))
    }
}

/// Hands out the columns in groups of `width`: `rows[(ky kernel + kx) inner + i][width]`, zeros behind the last column.
fn gathered(weight: &[f32], e: Extents, way: Way, width: usize, mut take: impl FnMut(usize, &[f32])) {
    let Extents { channels, kernel, .. } = e;
    let taps = kernel * kernel;
    let (inner, cols) = e.ends(way);
    let mut rows = vec![0.0; taps * inner * width];
    for group in 0..cols.div_ceil(width) {
        let count = (cols - group * width).min(width);
        if count < width {
            rows.fill(0.0);
        }
        for first in (0..count).step_by(16) {
            let column = group * width + first;
            let some = (count - first).min(16);
            let mut put = |row: usize, values: &[f32; 16]| rows[row * width + first..][..some].copy_from_slice(&values[..some]);
            match way {
                Way::Forward => {
                    let filter = channels * taps;
                    turned(&weight[column * filter..], filter, some, filter, |i, values| put(i % taps * inner + i / taps, values));
                }
                Way::Back => {
                    for o in 0..inner {
                        let from = &weight[(o * channels + column) * taps..];
                        turned(from, taps, some, taps, |t, values| put((taps - 1 - t) * inner + o, values));
                    }
                }
            }
        }
        take(group, &rows);
    }
}

/// The columns of up to 16 rows of `len` values, `stride` apart: `put(i, column)` for each, zeros in rows that are not there.
fn turned(source: &[f32], stride: usize, count: usize, len: usize, mut put: impl FnMut(usize, &[f32; 16])) {
    for start in (0..len).step_by(16) {
        let size = (len - start).min(16);
        let mut square = [[0_u32; 16]; 16];
        for (line, row) in square.iter_mut().zip(source.chunks(stride)).take(count) {
            for (bits, value) in line.iter_mut().zip(&row[start..start + size]) {
                *bits = value.to_bits();
            }
        }
        for (i, column) in tiles::transpose(&square).iter().enumerate().take(size) {
            put(start + i, &column.map(f32::from_bits));
        }
    }
}

fn tiled(weight: &[f32], e: Extents, way: Way, part: impl Fn(f32) -> f32) -> Right {
    let (inner, cols) = e.ends(way);
    let len = e.kernel * inner;
    let mut right = Right::zeros(e.kernel, len, cols);
    gathered(weight, e, way, 16, |group, rows| {
        vectorized(
            #[inline(always)]
            || {
                for run in 0..e.kernel {
                    for i in (0..len).step_by(2) {
                        let row = |i: usize| -> &[f32] { &rows[(run * len + i) * 16..][..16] };
                        let line = right.line(group, run, i);
                        if i + 1 < len {
                            for ((word, &x), &y) in line.iter_mut().zip(row(i)).zip(row(i + 1)) {
                                *word = pair(part(x), part(y));
                            }
                        } else {
                            for (word, &x) in line.iter_mut().zip(row(i)) {
                                *word = pair(part(x), 0.0);
                            }
                        }
                    }
                }
            },
        );
    });
    right
}
