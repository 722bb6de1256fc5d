//! The gradient of a weight: for every tap a product of the prepared input and the gradient of the output, summed over all places of
//! all pictures.

use super::buffer::Buffer;
use super::conv::{Mode, Scratch, with_scratch};
use super::product::{PANEL, Product};
use super::tiles::{BLOCK, Left, multiply, with_tiles};
use super::window::{Entry, Stack, Window, lay_out, lay_out_gradient};

/// The sum of gradients of a weight, in the order in which they are computed.
pub(crate) struct WeightSum {
    values: Buffer,
    window: Window,
    mode: Mode,
    /// In f32.
    waiting: Option<Waiting>,
}

/// Places that a product of a gradient in f32 runs over, about: their panels stay in the nearest cache, and there are enough of
/// them that adding the result to the sum does not matter.
const PLACES: usize = 256;

/// Pictures whose gradients are computed together, as many small ones as make up [`PLACES`].
struct Waiting {
    /// The prepared inputs.
    inputs: Stack,
    /// `[panel][place][PANEL]` of the gradients of the outputs, a picture's places after another's.
    panels: Buffer,
    /// Pictures that are here.
    count: usize,
    /// Pictures that fit.
    room: usize,
    /// Rows of a picture that are worked on at once.
    rows: usize,
}

impl Waiting {
    fn new(window: &Window) -> Self {
        let (height, width) = (window.out_height(), window.out_width());
        let rows = (PLACES / width.max(1)).clamp(1, height.max(1));
        let room = (PLACES / (height * width).max(1)).max(1);
        let panels = Buffer::zeros(window.outputs.div_ceil(PANEL) * room * rows * width * PANEL);
        Self { inputs: Stack::new(window, room), panels, count: 0, room, rows }
    }

    /// Puts the gradient `grad: [places, outputs]` of the output of picture `picture` into panels.
    fn pack(&mut self, picture: usize, grad: &[f32], outputs: usize, places: usize) {
        let panel_len = self.panels.len() / outputs.div_ceil(PANEL);
        for (panel, packed) in self.panels.chunks_exact_mut(panel_len).enumerate() {
            let columns = panel * PANEL..((panel + 1) * PANEL).min(outputs);
            let packed = packed[picture * places * PANEL..].chunks_exact_mut(PANEL);
            for (row, packed) in grad.chunks_exact(outputs).zip(packed) {
                packed[..columns.len()].copy_from_slice(&row[columns.clone()]);
            }
        }
    }

    /// Adds the gradient of the weight by the output rows from `first` on, of all pictures that are here, which then leave.
    fn add_to(&mut self, window: &Window, first: usize, sums: &mut [f32]) {
        let (outputs, channels, width) = (window.outputs, window.channels, window.out_width());
        let rows = self.rows.min(window.out_height() - first);
        let (line, len) = (window.padded_width() * channels, window.kernel * channels);
        for ky in 0..window.kernel {
            let product = Product {
                a: &self.inputs.values[(first * window.stride + ky) * line..],
                a_row: 1,
                line: len,
                a_line: 0,
                a_group: self.inputs.size,
                a_run: window.stride * line,
                a_step: window.stride * channels,
                b: &self.panels,
                b_panel: self.panels.len() / outputs.div_ceil(PANEL),
                b_group: rows * width * PANEL,
                b_run: width * PANEL,
                b_step: PANEL,
                groups: self.count,
                runs: rows,
                len: width,
                rows: len,
                cols: outputs,
            };
            product.run(
                #[inline(always)]
                |row, col, values| {
                    let start = (ky * len + row) * outputs + col;
                    sums[start..start + values.len()].iter_mut().zip(values).for_each(|(s, v)| *s += v);
                },
            );
        }
        self.count = 0;
    }
}

impl WeightSum {
    /// Rows of the sum, and its columns, in memory.
    fn extents(window: &Window, mode: Mode) -> (usize, usize) {
        let taps = window.kernel * window.kernel;
        match mode {
            Mode::Float => (taps * window.channels, window.outputs),
            _ => ((taps * window.channels.div_ceil(16)).div_ceil(2) * BLOCK, window.outputs.div_ceil(BLOCK) * BLOCK),
        }
    }

    /// Zero.
    pub fn new(window: &Window, mode: Mode) -> Self {
        let mode = if mode == Mode::Split { Mode::Float } else { mode };
        let (rows, columns) = Self::extents(window, mode);
        let waiting = (mode == Mode::Float).then(|| Waiting::new(window));
        Self { values: Buffer::zeros(rows * columns), window: *window, mode, waiting }
    }

    /// The same sum for pictures of another extent.
    pub fn of(&mut self, window: &Window) -> &mut Self {
        if self.window != *window {
            self.add_waiting();
            self.window = *window;
            self.waiting = self.waiting.is_some().then(|| Waiting::new(window));
        }
        self
    }

    /// Adds that of one picture, given the gradient of its output.
    pub fn add(&mut self, x: &[f32], entry: Option<&Entry<'_>>, grad: &[f32]) {
        let Self { values: sums, window, mode, waiting } = self;
        let (_, pitch) = Self::extents(window, *mode);
        let all = 0..window.out_height();
        let (outputs, channels) = (window.outputs, window.channels);
        with_scratch(|scratch| {
            let Scratch { lines, planes, right, .. } = scratch;
            if let Some(waiting) = waiting {
                waiting.inputs.at = waiting.count;
                lay_out(window, x, entry, &all, lines, &mut waiting.inputs);
                // A picture of many places is added rows by rows, and there is room for one of it.
                let places = waiting.rows * window.out_width();
                for (first, grad) in all.step_by(waiting.rows).zip(grad.chunks(places * outputs)) {
                    waiting.pack(waiting.count, grad, outputs, places);
                    waiting.count += 1;
                    if waiting.count == waiting.room {
                        waiting.add_to(window, first, sums);
                    }
                }
                return;
            }
            lay_out(window, x, entry, &all, lines, planes);
            lay_out_gradient(window, grad, right);
            let groups = channels.div_ceil(16);
            let units = window.kernel * window.kernel * groups;
            let start = |unit: usize| {
                let (tap, group) = (unit.min(units - 1) / groups, unit.min(units - 1) % groups);
                group * 16 * planes.plane + tap / window.kernel * window.padded_width() + tap % window.kernel
            };
            let left = Left { values: &planes.values, row: planes.plane, run: 0 };
            with_tiles(|| {
                for pair in 0..units.div_ceil(2) {
                    let starts = [start(2 * pair), start(2 * pair + 1)];
                    for panel in 0..outputs.div_ceil(BLOCK) {
                        let block = &mut sums[pair * BLOCK * pitch + panel * BLOCK..][..(BLOCK - 1) * pitch + BLOCK];
                        multiply(&left, starts, right, panel, block, pitch, true);
                    }
                }
            });
        });
    }

    /// Adds what waits for more pictures.
    fn add_waiting(&mut self) {
        if let Some(waiting) = self.waiting.as_mut().filter(|waiting| waiting.count > 0) {
            waiting.add_to(&self.window, 0, &mut self.values);
        }
    }

    /// The sum over all pictures that were added.
    pub fn finish(mut self) -> WeightGradient {
        self.add_waiting();
        WeightGradient { values: self.values, window: self.window, mode: self.mode }
    }
}

/// The gradient of a weight, in the order in which it was computed.
pub(crate) struct WeightGradient {
    values: Buffer,
    window: Window,
    mode: Mode,
}

impl WeightGradient {
    /// The gradient `[outputs, channels, kernel, kernel]`, added to `out`.
    pub fn add_to(&self, out: &mut [f32]) {
        let Self { values, window, mode } = self;
        let (_, pitch) = WeightSum::extents(window, *mode);
        let (channels, taps) = (window.channels, window.kernel * window.kernel);
        let groups = channels.div_ceil(16);
        // Some filters at a time, so that their lines stay in the cache while the taps are filled in.
        for first in (0..window.outputs).step_by(16) {
            let last = (first + 16).min(window.outputs);
            for c in 0..channels {
                for tap in 0..taps {
                    let row = match mode {
                        Mode::Float => tap * channels + c,
                        _ => (tap * groups + c / 16) * 16 + c % 16,
                    };
                    for (o, sum) in (first..last).zip(&values[row * pitch + first..]) {
                        out[(o * channels + c) * taps + tap] += sum;
                    }
                }
            }
        }
    }
}
