//! Weights as the inner loops want them, each form made once for a weight.

use super::product::{PANEL, pack};
use super::tiles::{Right, pair, rest};
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
            let (taps, kernel) = (e.kernel * e.kernel, e.kernel);
            let mut packed = pack(0, 0, |_, _| 0.0);
            packed.resize(cols.div_ceil(PANEL) * taps * inner * PANEL, 0.0);
            gathered(weight, e, way, PANEL, |panel, rows| {
                packed[panel * taps * inner * PANEL..][..taps * inner * PANEL].copy_from_slice(rows);
            });
            debug_assert!(kernel > 0);
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
        for n in 0..count {
            let column = group * width + n;
            match way {
                Way::Forward => {
                    let filter = &weight[column * channels * taps..][..channels * taps];
                    for (c, taps_of) in filter.chunks_exact(taps).enumerate() {
                        for (t, &v) in taps_of.iter().enumerate() {
                            rows[(t * inner + c) * width + n] = v;
                        }
                    }
                }
                Way::Back => {
                    for o in 0..inner {
                        let taps_of = &weight[(o * channels + column) * taps..][..taps];
                        for (t, &v) in taps_of.iter().enumerate() {
                            rows[((taps - 1 - t) * inner + o) * width + n] = v;
                        }
                    }
                }
            }
        }
        take(group, &rows);
    }
}

fn tiled(weight: &[f32], e: Extents, way: Way, part: impl Fn(f32) -> f32) -> Right {
    let (inner, cols) = e.ends(way);
    let len = e.kernel * inner;
    let mut right = Right::zeros(e.kernel, len, cols);
    gathered(weight, e, way, 16, |group, rows| {
        super::vectorized(
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
