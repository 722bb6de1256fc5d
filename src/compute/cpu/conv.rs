//! Convolutions and linear layers with what surrounds them: normalisation and activation before, bias, time embedding and
//! residual after, and the gradient of their input.
//!
//! Pictures are worked on one by one, or in bands of rows where there are more threads than pictures, so that a band with its
//! border stays in the cache from the normalisation to the sum with the residual. Windows are read where they lie: in
//! `[row, column, channel]` order the values of one kernel row `(kx, c)` are neighbours, so nothing is gathered.

use super::parallel::ranges;
use super::product::{PANEL, Product};
use super::tiles::{self, BLOCK, Left, Right, multiply, with_tiles};
use super::vectorized;
use super::weights::{Extents, Prepared, Way};
use super::window::{Entry, Floats, Lines, Planes, Rounded, Window, lay_out};
use crate::compute::Precision;
use std::cell::RefCell;
use std::ops::Range;

/// Output rows of a band, at least, when a picture is divided.
const BAND: usize = 8;

/// Values of the input of a band, at most, where a picture has more.
const BAND_VALUES: usize = 1 << 18;

/// A weight and its forms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weight<'a> {
    pub values: &'a [f32],
    pub prepared: &'a Prepared,
    pub extents: Extents,
}

/// What is added to the sums, for one picture.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Added<'a> {
    /// `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// `[outputs]`.
    pub channels: Option<&'a [f32]>,
    /// `[rows, columns, outputs]`.
    pub residual: Option<&'a [f32]>,
}

/// How products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// f32.
    Float,
    /// Three products of bf16 halves.
    Split,
    /// bf16.
    Rounded,
}

impl Mode {
    /// What `precision` means on this processor.
    pub fn of(precision: Precision) -> Self {
        match precision {
            Precision::Split if tiles::available() => Self::Split,
            Precision::Bf16 if tiles::available() => Self::Rounded,
            _ => Self::Float,
        }
    }
}

/// Working memory of a thread.
#[derive(Default)]
pub(super) struct Scratch {
    pub lines: Lines,
    floats: Floats,
    rounded: Rounded,
    pub planes: Planes,
    pub right: Right,
    added: Vec<f32>,
    map: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

pub(super) fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take();
    let result = f(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// Makes the form of a weight that [`band`] will ask for, so that its threads do not wait for one of them.
pub(crate) fn prepare(weight: Weight<'_>, way: Way, mode: Mode) {
    let Weight { values, prepared, extents } = weight;
    match mode {
        Mode::Float => _ = prepared.floats(values, extents, way),
        Mode::Rounded => _ = prepared.rounded(values, extents, way),
        Mode::Split => _ = (prepared.rounded(values, extents, way), prepared.rest(values, extents)),
    }
}

/// The output rows `rows` of one picture: `out: [rows, columns, outputs]`.
#[allow(clippy::too_many_arguments)] // what a fused layer is made of
pub(crate) fn band(
    window: &Window,
    x: &[f32],
    entry: Option<&Entry<'_>>,
    weight: Weight<'_>,
    way: Way,
    added: Added<'_>,
    mode: Mode,
    rows: Range<usize>,
    out: &mut [f32],
) {
    debug_assert!(mode != Mode::Split || way == Way::Forward, "gradients are not split");
    with_scratch(|scratch| {
        let Scratch { lines, floats, rounded, added: sum, map, .. } = scratch;
        let (outputs, columns) = (window.outputs, window.out_width());
        sum.clear();
        sum.resize(outputs, 0.0);
        for part in [added.bias, added.channels].into_iter().flatten() {
            sum.iter_mut().zip(part).for_each(|(s, &v)| *s += v);
        }
        let residual = added.residual.map(|residual| &residual[rows.start * columns * outputs..][..out.len()]);
        let mut write = writer(
            #[inline(always)]
            |at: usize, col: usize, values: &[f32]| {
                let start = at * outputs + col;
                let range = start..start + values.len();
                finish(&mut out[range.clone()], values, &sum[col..col + values.len()], residual.map(|residual| &residual[range]));
            },
        );
        if mode == Mode::Float {
            let panels = weight.prepared.floats(weight.values, weight.extents, way);
            let values: &[f32] = if entry.is_none() && window.is_plain() && window.kernel == 1 && window.stride == 1 {
                &x[rows.start * columns * window.channels..]
            } else {
                lay_out(window, x, entry, &rows, lines, floats);
                &floats.values
            };
            let (pitch, len) = (window.padded_width() * window.channels, window.kernel * window.channels);
            // All rows at once, so that a panel of the weight is read from the nearer cache for all of them.
            let product = Product {
                a: values,
                a_row: window.stride * window.channels,
                line: columns,
                a_line: window.stride * pitch,
                a_group: 0,
                a_run: pitch,
                a_step: 1,
                b: panels,
                b_panel: window.kernel * len * PANEL,
                b_group: 0,
                b_run: len * PANEL,
                b_step: PANEL,
                groups: 1,
                runs: window.kernel,
                len,
                rows: rows.len() * columns,
                cols: outputs,
            };
            product.run(write);
            return;
        }
        rounded.split = mode == Mode::Split;
        lay_out(window, x, entry, &rows, lines, rounded);
        let high = weight.prepared.rounded(weight.values, weight.extents, way);
        let low = rounded.split.then(|| weight.prepared.rest(weight.values, weight.extents));
        let places = Places::new(window, rows.len());
        places.list(map);
        let mut block = [0.0_f32; BLOCK * BLOCK];
        let (row, run) = (window.stride * window.channels, window.padded_width() * window.channels);
        let left = |values| Left { values, row, run };
        with_tiles(|| {
            vectorized(
                #[inline(always)]
                || {
                    for panel in 0..outputs.div_ceil(BLOCK) {
                        let cols = (outputs - panel * BLOCK).min(BLOCK);
                        for pair in 0..places.tiles.div_ceil(2) {
                            let starts = [2 * pair, 2 * pair + 1].map(|tile| places.start(tile.min(places.tiles - 1)) * window.channels);
                            multiply(&left(&rounded.high), starts, high, panel, &mut block, BLOCK, false);
                            if let Some(low) = low {
                                multiply(&left(&rounded.low), starts, high, panel, &mut block, BLOCK, true);
                                multiply(&left(&rounded.high), starts, low, panel, &mut block, BLOCK, true);
                            }
                            for (values, &at) in block.chunks_exact(BLOCK).zip(&map[pair * BLOCK..]) {
                                if at != NOWHERE {
                                    write(at as usize, panel * BLOCK, &values[..cols]);
                                }
                            }
                        }
                    }
                },
            );
        });
    });
}

/// A closure may be marked for inlining only where it is an argument.
#[inline(always)]
fn writer<F: FnMut(usize, usize, &[f32])>(write: F) -> F {
    write
}

/// `out = values + sum + residual`.
#[inline(always)]
fn finish(out: &mut [f32], values: &[f32], sum: &[f32], residual: Option<&[f32]>) {
    match residual {
        Some(residual) => out.iter_mut().zip(values).zip(sum).zip(residual).for_each(|(((o, v), s), r)| *o = v + s + r),
        None => out.iter_mut().zip(values).zip(sum).for_each(|((o, v), s)| *o = v + s),
    }
}

/// A window that is no output place.
const NOWHERE: u32 = u32::MAX;

/// Which output places the rows of a tile belong to.
struct Places {
    /// Output columns.
    columns: usize,
    /// From one output row to the next, in windows.
    pitch: usize,
    /// Distance between windows, in places.
    stride: usize,
    /// Tiles of 16 windows.
    tiles: usize,
    /// Windows in all.
    count: usize,
    /// Whether tiles lie within rows.
    aligned: bool,
}

impl Places {
    fn new(window: &Window, rows: usize) -> Self {
        let (columns, stride, pitch) = (window.out_width(), window.stride, window.padded_width());
        let aligned = columns.is_multiple_of(16);
        let count = if aligned { rows * columns } else { (rows - 1) * pitch + columns };
        Self { columns, pitch, stride, tiles: count.div_ceil(16), count, aligned }
    }

    /// The place with border at which the first window of a tile begins.
    #[inline(always)]
    fn start(&self, tile: usize) -> usize {
        if self.aligned {
            let (row, column) = (tile * 16 / self.columns, tile * 16 % self.columns);
            (row * self.pitch + column) * self.stride
        } else {
            tile * 16 * self.stride
        }
    }

    /// The output place of each row of each block of two tiles, or [`NOWHERE`].
    fn list(&self, map: &mut Vec<u32>) {
        map.clear();
        let rows = self.tiles.div_ceil(2) * BLOCK;
        if self.aligned {
            map.extend((0..rows).map(|window| if window < self.count { window as u32 } else { NOWHERE }));
            return;
        }
        let (mut row, mut column) = (0, 0);
        for window in 0..rows {
            let inside = window < self.count && column < self.columns;
            map.push(if inside { (row * self.columns + column) as u32 } else { NOWHERE });
            column += 1;
            if column == self.pitch {
                (row, column) = (row + 1, 0);
            }
        }
    }
}

/// A whole batch: `out: [batch, rows, columns, outputs]`. `entry(b)` and `added(b)` are those of picture `b`.
#[allow(clippy::too_many_arguments)] // what a fused layer is made of
pub(crate) fn forward<'a>(
    window: &Window,
    batch: usize,
    x: &[f32],
    entry: impl Fn(usize) -> Option<Entry<'a>> + Sync,
    weight: Weight<'_>,
    added: impl Fn(usize) -> Added<'a> + Sync,
    mode: Mode,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let (columns, height) = (window.out_width(), window.out_height());
    // Bands that stay in the cache with their border, and one for each thread at least.
    let fit = (BAND_VALUES / (window.padded_width() * window.channels * window.stride).max(1)).max(BAND);
    let bands: Vec<Range<usize>> = ranges(height, batch, BAND)
        .into_iter()
        .flat_map(|rows| rows.clone().step_by(fit).map(move |start| start..(start + fit).min(rows.end)))
        .collect();
    let mut tasks = Vec::with_capacity(batch * bands.len());
    for (b, mut rest) in out.chunks_exact_mut(window.out_len()).enumerate() {
        for rows in &bands {
            let (now, later) = rest.split_at_mut(rows.len() * columns * window.outputs);
            tasks.push((b, rows.clone(), now));
            rest = later;
        }
    }
    super::parallel::each(tasks, |(b, rows, out)| {
        let x = &x[b * window.in_len()..][..window.in_len()];
        band(window, x, entry(b).as_ref(), weight, Way::Forward, added(b), mode, rows, out);
    });
}

/// The gradient with respect to the enlarged and prepared input of one picture: `[rows, columns, channels]` of it.
pub(crate) fn input_gradient(window: &Window, grad: &[f32], weight: Weight<'_>, mode: Mode, out: &mut [f32]) {
    let back = window.transposed();
    let rows = 0..back.out_height();
    band(&back, grad, None, weight, Way::Back, Added::default(), mode, rows, out);
}

/// Adds the sum over places of `grad: [places, outputs]` to `sums`.
pub(crate) fn add_places(grad: &[f32], sums: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for row in grad.chunks_exact(sums.len()) {
                sums.iter_mut().zip(row).for_each(|(s, &g)| *s += g);
            }
        },
    );
}

/// Sums the gradient of a picture enlarged by repetition over the four copies of each place.
pub(crate) fn fold(window: &Window, large: &[f32], small: &mut [f32]) {
    let (width, channels) = (window.width, window.channels);
    let row = 2 * width * channels;
    if row == 0 {
        return;
    }
    vectorized(
        #[inline(always)]
        || {
            for (small, large) in small.chunks_exact_mut(width * channels).zip(large.chunks_exact(2 * row)) {
                let (above, below) = large.split_at(row);
                for (x, small) in small.chunks_exact_mut(channels).enumerate() {
                    let at = 2 * x * channels;
                    for (c, s) in small.iter_mut().enumerate() {
                        *s = above[at + c] + above[at + channels + c] + below[at + c] + below[at + channels + c];
                    }
                }
            }
        },
    );
}
