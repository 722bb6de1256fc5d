//! What a convolution reads: its input with normalisation, activation, enlargement and border, laid out for the inner loops.
//!
//! Everything here is `[row, column, channel]`. A linear layer is a convolution with a 1x1 kernel over one row of places.

use super::buffer::Buffer;
use super::math::{activate, slope};
use super::tiles::{self, BLOCK, DEPTH, Right, bf16, pair, rest};
use super::vectorized;
use crate::compute::Activation;
use std::ops::Range;

/// How the input is enlarged before the convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enlarge {
    /// Not at all.
    No,
    /// Every place twice along both axes.
    Repeat,
    /// Zeros between places, this far apart: what the gradient of a strided convolution needs.
    Spread(usize),
}

/// Extents of a convolution of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Rows of the input as stored.
    pub height: usize,
    /// Columns of the input as stored.
    pub width: usize,
    /// Input channels.
    pub channels: usize,
    /// Output channels.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Distance between windows.
    pub stride: usize,
    /// Zeros above and to the left.
    pub before: usize,
    /// Zeros below.
    pub below: usize,
    /// Zeros to the right.
    pub right: usize,
    /// What happens to the input first.
    pub enlarge: Enlarge,
}

impl Window {
    /// A linear layer over `rows` places.
    pub fn linear(rows: usize, inputs: usize, outputs: usize) -> Self {
        let (height, kernel, stride) = (1, 1, 1);
        let enlarge = Enlarge::No;
        Self { height, width: rows, channels: inputs, outputs, kernel, stride, before: 0, below: 0, right: 0, enlarge }
    }

    fn enlarged(&self, extent: usize) -> usize {
        match self.enlarge {
            Enlarge::No => extent,
            Enlarge::Repeat => 2 * extent,
            Enlarge::Spread(by) => (extent - 1) * by + 1,
        }
    }

    /// Rows of the input after enlargement.
    pub fn in_height(&self) -> usize {
        self.enlarged(self.height)
    }

    /// Columns of the input after enlargement.
    pub fn in_width(&self) -> usize {
        self.enlarged(self.width)
    }

    /// Columns with the border.
    pub fn padded_width(&self) -> usize {
        self.in_width() + self.before + self.right
    }

    /// Rows with the border.
    pub fn padded_height(&self) -> usize {
        self.in_height() + self.before + self.below
    }

    pub fn out_height(&self) -> usize {
        (self.padded_height() - self.kernel) / self.stride + 1
    }

    pub fn out_width(&self) -> usize {
        (self.padded_width() - self.kernel) / self.stride + 1
    }

    /// Values of the input of one picture.
    pub fn in_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Values of the output of one picture.
    pub fn out_len(&self) -> usize {
        self.out_height() * self.out_width() * self.outputs
    }

    /// Whether windows read the input as it is.
    pub fn is_plain(&self) -> bool {
        self.enlarge == Enlarge::No && self.before + self.below + self.right == 0
    }

    /// Rows with border that the output rows `rows` read.
    pub fn padded_rows(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.stride..(rows.end - 1) * self.stride + self.kernel
    }

    /// The convolution that takes the gradient of this one's output to that of its enlarged input.
    pub fn transposed(&self) -> Self {
        let (height, width) = (self.out_height(), self.out_width());
        let back = self.kernel - 1 - self.before.min(self.kernel - 1);
        let enlarge = if self.stride == 1 { Enlarge::No } else { Enlarge::Spread(self.stride) };
        let spread = |extent: usize| (extent - 1) * self.stride + 1;
        let behind = |inputs: usize, extent: usize| inputs + self.kernel - 1 - back - spread(extent);
        Self {
            height,
            width,
            channels: self.outputs,
            outputs: self.channels,
            kernel: self.kernel,
            stride: 1,
            before: back,
            below: behind(self.in_height(), height),
            right: behind(self.in_width(), width),
            enlarge,
        }
    }
}

/// What happens to a value on its way into a convolution: `act(scale[c] x + shift[c])`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// For each channel.
    pub scale: &'a [f32],
    /// For each channel.
    pub shift: &'a [f32],
    /// Afterwards.
    pub activation: Activation,
}

impl Entry<'_> {
    /// `y = act(scale x + shift)` over a row; `scale` and `shift` repeated as often as there are columns.
    #[inline(always)]
    pub fn apply(activation: Activation, scale: &[f32], shift: &[f32], x: &[f32], y: &mut [f32]) {
        let items = y.iter_mut().zip(x).zip(scale.iter().zip(shift));
        match activation {
            Activation::Identity => items.for_each(|((y, &x), (&a, &b))| *y = a * x + b),
            Activation::Silu => items.for_each(|((y, &x), (&a, &b))| *y = activate(Activation::Silu, a * x + b)),
            other => items.for_each(|((y, &x), (&a, &b))| *y = activate(other, a * x + b)),
        }
    }

    /// The slope of the activation at `scale x + shift`, times `grad`, into `grad`.
    #[inline(always)]
    pub fn pull_back(activation: Activation, scale: &[f32], shift: &[f32], x: &[f32], grad: &mut [f32]) {
        let items = grad.iter_mut().zip(x).zip(scale.iter().zip(shift));
        match activation {
            Activation::Identity => {}
            Activation::Silu => items.for_each(|((g, &x), (&a, &b))| *g *= slope(Activation::Silu, a * x + b)),
            other => items.for_each(|((g, &x), (&a, &b))| *g *= slope(other, a * x + b)),
        }
    }
}

/// `values` again and again, `times` times.
pub(crate) fn repeated(values: &[f32], times: usize, into: &mut Vec<f32>) {
    into.clear();
    for _ in 0..times {
        into.extend_from_slice(values);
    }
}

/// A place that prepared rows are written to.
pub(crate) trait Target {
    /// Prepares for the rows with border that `rows` of `window` read, the border and what lies behind all zero.
    fn start(&mut self, window: &Window, rows: &Range<usize>);
    /// Puts `values`, one row without border, at the row `row` and the column `column`.
    fn put(&mut self, row: usize, column: usize, values: &[f32]);
}

/// Working memory of [`lay_out`].
#[derive(Debug, Default)]
pub(crate) struct Lines {
    scale: Vec<f32>,
    shift: Vec<f32>,
    small: Vec<f32>,
    line: Vec<f32>,
}

/// Writes the rows with border that the output rows `rows` of `window` read to `target`, from the picture `x`.
pub(crate) fn lay_out(
    window: &Window,
    x: &[f32],
    entry: Option<&Entry<'_>>,
    rows: &Range<usize>,
    lines: &mut Lines,
    target: &mut impl Target,
) {
    let (width, channels) = (window.width, window.channels);
    let padded = window.padded_rows(rows);
    target.start(window, rows);
    if let Some(entry) = entry {
        repeated(entry.scale, width, &mut lines.scale);
        repeated(entry.shift, width, &mut lines.shift);
        lines.small.resize(width * channels, 0.0);
    }
    if window.enlarge != Enlarge::No {
        lines.line.clear();
        lines.line.resize(window.in_width() * channels, 0.0);
    }
    vectorized(
        #[inline(always)]
        || {
            let mut prepared = None;
            for (at, row) in padded.enumerate() {
                if row < window.before || row >= window.before + window.in_height() {
                    continue;
                }
                let row = row - window.before;
                let source = match window.enlarge {
                    Enlarge::No => row,
                    Enlarge::Repeat => row / 2,
                    Enlarge::Spread(by) if row.is_multiple_of(by) => row / by,
                    Enlarge::Spread(_) => continue,
                };
                let stored = &x[source * width * channels..][..width * channels];
                let Lines { scale, shift, small, line } = &mut *lines;
                if prepared != Some(source) {
                    if let Some(entry) = entry {
                        Entry::apply(entry.activation, scale, shift, stored, small);
                    }
                    let values: &[f32] = if entry.is_some() { small } else { stored };
                    match window.enlarge {
                        Enlarge::No => {}
                        Enlarge::Repeat => {
                            for (pair, value) in line.chunks_exact_mut(2 * channels).zip(values.chunks_exact(channels)) {
                                let (first, second) = pair.split_at_mut(channels);
                                first.copy_from_slice(value);
                                second.copy_from_slice(value);
                            }
                        }
                        Enlarge::Spread(by) => {
                            for (place, value) in line.chunks_mut(by * channels).zip(values.chunks_exact(channels)) {
                                place[..channels].copy_from_slice(value);
                            }
                        }
                    }
                    prepared = Some(source);
                }
                let ready: &[f32] = match (window.enlarge, entry) {
                    (Enlarge::No, None) => stored,
                    (Enlarge::No, Some(_)) => small,
                    _ => line,
                };
                target.put(at, window.before, ready);
            }
        },
    );
}

/// Rows as f32: `[row, column, channel]`.
#[derive(Debug, Default)]
pub(crate) struct Floats {
    pub values: Vec<f32>,
    layout: Layout,
}

/// What is laid out now. The next picture of the same layer writes over the same places, so its border is still zero.
#[derive(Debug, Default, PartialEq, Eq)]
struct Layout {
    of: Option<(Window, Range<usize>)>,
    split: bool,
    pitch: usize,
    channels: usize,
}

impl Layout {
    /// Values in all, when this layout is not the one that is there.
    fn change(&mut self, window: &Window, rows: &Range<usize>, split: bool) -> Option<usize> {
        let (pitch, channels) = (window.padded_width() * window.channels, window.channels);
        let next = Self { of: Some((*window, rows.clone())), split, pitch, channels };
        if *self == next {
            return None;
        }
        *self = next;
        Some(window.padded_rows(rows).len() * pitch)
    }

    fn start(&self, row: usize, column: usize) -> usize {
        row * self.pitch + column * self.channels
    }
}

impl Target for Floats {
    fn start(&mut self, window: &Window, rows: &Range<usize>) {
        if let Some(len) = self.layout.change(window, rows, false) {
            self.values.clear();
            self.values.resize(len, 0.0);
        }
    }

    #[inline(always)]
    fn put(&mut self, row: usize, column: usize, values: &[f32]) {
        self.values[self.layout.start(row, column)..][..values.len()].copy_from_slice(values);
    }
}

/// Pictures as f32 behind each other, each `[row, column, channel]`.
pub(crate) struct Stack {
    pub values: Buffer,
    /// Values of a picture.
    pub size: usize,
    /// The picture that is written.
    pub at: usize,
    pitch: usize,
    channels: usize,
}

impl Stack {
    /// Room for all rows of `count` pictures, all zero.
    pub fn new(window: &Window, count: usize) -> Self {
        let (pitch, channels) = (window.padded_width() * window.channels, window.channels);
        let size = window.padded_rows(&(0..window.out_height())).len() * pitch;
        Self { values: Buffer::zeros(count * size), size, at: 0, pitch, channels }
    }
}

impl Target for Stack {
    /// Every picture has the same extent, so the border stays as it was made.
    fn start(&mut self, window: &Window, rows: &Range<usize>) {
        debug_assert_eq!(self.size, window.padded_rows(rows).len() * self.pitch);
    }

    #[inline(always)]
    fn put(&mut self, row: usize, column: usize, values: &[f32]) {
        self.values[self.at * self.size + row * self.pitch + column * self.channels..][..values.len()].copy_from_slice(values);
    }
}

/// Rows as bf16, and what the rounding left when it is wanted.
#[derive(Debug, Default)]
pub(crate) struct Rounded {
    pub high: Vec<u16>,
    pub low: Vec<u16>,
    /// Whether the rest is kept.
    pub split: bool,
    layout: Layout,
}

impl Target for Rounded {
    fn start(&mut self, window: &Window, rows: &Range<usize>) {
        if let Some(len) = self.layout.change(window, rows, self.split) {
            for part in [&mut self.high, &mut self.low].into_iter().take(1 + usize::from(self.split)) {
                part.clear();
                part.resize(len + tail(window), 0);
            }
        }
    }

    #[inline(always)]
    fn put(&mut self, row: usize, column: usize, values: &[f32]) {
        let start = self.layout.start(row, column);
        tiles::round_row(&mut self.high[start..start + values.len()], values);
        if self.split {
            for (low, &v) in self.low[start..start + values.len()].iter_mut().zip(values) {
                *low = bf16(rest(v)) as u16;
            }
        }
    }
}

/// Channels as planes of bf16, places with border side by side: the left operand of a gradient of weights.
#[derive(Debug, Default)]
pub(crate) struct Planes {
    pub values: Vec<u16>,
    /// Places of a plane.
    pub plane: usize,
    columns: usize,
    channels: usize,
    layout: Layout,
}

impl Target for Planes {
    fn start(&mut self, window: &Window, rows: &Range<usize>) {
        (self.columns, self.channels) = (window.padded_width(), window.channels);
        if self.layout.change(window, rows, false).is_some() {
            // Behind the last place lies what a tile that begins at the last tap may read.
            const BEHIND: usize = 2 * BLOCK;
            self.plane = (window.padded_rows(rows).len() * self.columns + BEHIND).div_ceil(DEPTH) * DEPTH;
            self.values.clear();
            self.values.resize(self.channels.div_ceil(16) * 16 * self.plane + BEHIND, 0);
        }
    }

    #[inline(always)]
    fn put(&mut self, row: usize, column: usize, values: &[f32]) {
        let start = row * self.columns + column;
        let channels = self.channels;
        let places = values.len() / channels;
        let part = |place: usize, c0: usize| -> &[f32] {
            if place >= places {
                return &[];
            }
            &values[place * channels + c0..][..(channels - c0).min(16)]
        };
        for c0 in (0..channels).step_by(16) {
            for p0 in (0..places).step_by(32) {
                let size = (places - p0).min(32);
                let mut pairs = [[0_u32; 16]; 16];
                for (q, line) in pairs.iter_mut().enumerate().take(size.div_ceil(2)) {
                    *line = pairs_of(part(p0 + 2 * q, c0), part(p0 + 2 * q + 1, c0));
                }
                let turned = tiles::transpose(&pairs);
                for (c, line) in turned.iter().enumerate().take((channels - c0).min(16)) {
                    let target = &mut self.values[(c0 + c) * self.plane + start + p0..][..size];
                    let (two, odd) = target.as_chunks_mut::<2>();
                    for (two, &word) in two.iter_mut().zip(line) {
                        *two = [word as u16, (word >> 16) as u16];
                    }
                    if let [last] = odd {
                        *last = line[size / 2] as u16;
                    }
                }
            }
        }
    }
}

/// The gradient of a convolution's output as a right operand over the places with border of its input: one run, zeros where no
/// window begins.
pub(crate) fn lay_out_gradient(window: &Window, grad: &[f32], right: &mut Right) {
    let (pitch, outputs, stride) = (window.padded_width(), window.outputs, window.stride);
    let (height, width) = (window.out_height(), window.out_width());
    let places = (height - 1) * stride * pitch + (width - 1) * stride + 1;
    right.reset(1, places, outputs);
    // The gradient at a place with border, counted along with it.
    let (mut row, mut column) = (0, 0);
    let mut next = || {
        let inside = row % stride == 0 && column % stride == 0 && column / stride < width && row / stride < height;
        let found = inside.then(|| &grad[(row / stride * width + column / stride) * outputs..][..outputs]);
        column += 1;
        if column == pitch {
            (row, column) = (row + 1, 0);
        }
        found.unwrap_or_default()
    };
    let groups = right.groups();
    vectorized(
        #[inline(always)]
        || {
            for place in (0..places.div_ceil(DEPTH) * DEPTH).step_by(2) {
                let (first, second) = (next(), next());
                for group in 0..groups {
                    let line = right.line(group, 0, place);
                    if first.is_empty() && second.is_empty() || group * 16 >= outputs {
                        *line = [0; 16];
                        continue;
                    }
                    let columns = group * 16..(group * 16 + 16).min(outputs);
                    *line = pairs_of(first.get(columns.clone()).unwrap_or_default(), second.get(columns).unwrap_or_default());
                }
            }
        },
    );
}

/// The pairs of up to 16 values of two rows; what is missing is zero.
#[inline(always)]
fn pairs_of(first: &[f32], second: &[f32]) -> [u32; 16] {
    let (first, second) = (sixteen(first), sixteen(second));
    let mut pairs = [0; 16];
    for i in 0..16 {
        pairs[i] = pair(first[i], second[i]);
    }
    pairs
}

/// Up to 16 values, and zeros.
#[inline(always)]
fn sixteen(row: &[f32]) -> [f32; 16] {
    if let Ok(values) = <[f32; 16]>::try_from(row) {
        return values;
    }
    let mut values = [0.0; 16];
    values[..row.len()].copy_from_slice(row);
    values
}

/// Places behind the last one that a block of [`BLOCK`] rows may touch, in values.
pub(crate) fn tail(window: &Window) -> usize {
    2 * BLOCK * window.stride * window.channels + 2 * DEPTH
}
