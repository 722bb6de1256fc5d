//! Convolutions and linear layers as steps of a computation.

use super::buffer::Buffer;
use super::conv::{self, Added, Mode, Weight};
use super::norm::{GroupShape, Moments};
use super::parallel::{each, parts, ranges};
use super::tape::Gradient;
use super::weight_gradient::{WeightGradient, WeightSum};
use super::weights::{Extents, Way};
use super::window::{Enlarge, Entry, Window};
use super::{CpuTensor, profile};
use crate::compute::Activation;
use std::ops::Range;
use std::sync::Arc;

/// Rows of a linear layer that are worked on at a time.
const ROWS: usize = 64;

/// A normalisation before a convolution.
#[derive(Clone)]
pub(super) struct Norm {
    pub weight: CpuTensor,
    pub bias: CpuTensor,
    pub shape: GroupShape,
    pub activation: Activation,
}

/// A convolution and what surrounds it; the input is stored `[batch, row, column, channel]`.
#[derive(Clone)]
pub(super) struct Layer {
    pub window: Window,
    pub batch: usize,
    pub x: CpuTensor,
    pub norm: Option<Norm>,
    pub weight: CpuTensor,
    pub bias: Option<CpuTensor>,
    pub channels: Option<CpuTensor>,
    pub residual: Option<CpuTensor>,
    pub mode: Mode,
}

/// The normalisations of a batch, picture by picture.
struct Normalised {
    moments: Vec<Moments>,
    affine: Vec<(Vec<f32>, Vec<f32>)>,
}

impl Layer {
    fn kind(&self) -> &'static str {
        match (self.window.kernel, self.window.height) {
            (1, 1) => "linear",
            (1, _) => "convolution 1x1",
            (3, _) => "convolution 3x3",
            _ => "convolution",
        }
    }

    fn extents(&self) -> Extents {
        Extents { outputs: self.window.outputs, channels: self.window.channels, kernel: self.window.kernel }
    }

    fn weight(&self) -> Weight<'_> {
        Weight { values: self.weight.values(), prepared: self.weight.prepared(), extents: self.extents() }
    }

    fn picture<'a>(&self, tensor: &'a CpuTensor, b: usize) -> &'a [f32] {
        let size = tensor.values().len() / self.batch;
        &tensor.values()[b * size..(b + 1) * size]
    }

    fn normalised(&self) -> Option<Normalised> {
        let norm = self.norm.as_ref()?;
        let moments: Vec<Moments> =
            profile::span("group norm", || parts((0..self.batch).collect(), |b| norm.shape.moments(self.picture(&self.x, b))));
        let affine = moments.iter().map(|m| norm.shape.affine(m, norm.weight.values(), norm.bias.values())).collect();
        Some(Normalised { moments, affine })
    }

    fn entry<'a>(&self, normalised: Option<&'a Normalised>, b: usize) -> Option<Entry<'a>> {
        let (scale, shift) = &normalised?.affine[b];
        let activation = self.norm.as_ref().map_or(Activation::Identity, |norm| norm.activation);
        Some(Entry { scale, shift, activation })
    }

    /// The result, of this shape and order.
    pub fn run(self, shape: Vec<usize>, last: bool) -> CpuTensor {
        let normalised = self.normalised();
        let out = profile::span(self.kind(), || {
            conv::prepare(self.weight(), Way::Forward, self.mode);
            let mut out = Buffer::any(self.batch * self.window.out_len());
            let added = |b: usize| Added {
                bias: self.bias.as_ref().map(CpuTensor::values),
                channels: self.channels.as_ref().map(|channels| self.picture(channels, b)),
                residual: self.residual.as_ref().map(|residual| self.picture(residual, b)),
            };
            if self.is_linear() {
                self.linear(&mut out);
            } else {
                let entry = |b| self.entry(normalised.as_ref(), b);
                conv::forward(&self.window, self.batch, self.x.values(), entry, self.weight(), added, self.mode, &mut out);
            }
            out
        });
        let mut parents = vec![self.x.clone(), self.weight.clone()];
        parents.extend([&self.bias, &self.channels, &self.residual].into_iter().flatten().cloned());
        parents.extend(self.norm.iter().flat_map(|norm| [norm.weight.clone(), norm.bias.clone()]));
        CpuTensor::result(shape, last, out, parents, || Box::new(move |grad| self.back(grad, normalised.as_ref())))
    }

    fn is_linear(&self) -> bool {
        let w = &self.window;
        self.batch == 1 && self.norm.is_none() && self.channels.is_none() && *w == Window::linear(w.width, w.channels, w.outputs)
    }

    /// Ranges of rows of a linear layer, few enough that each thread has some.
    fn row_ranges(&self) -> Vec<Range<usize>> {
        let rows = self.window.width;
        let mut all = Vec::new();
        for range in ranges(rows, 1, 16) {
            all.extend(range.clone().step_by(ROWS).map(|start| start..(start + ROWS).min(range.end)));
        }
        all
    }

    fn linear(&self, out: &mut [f32]) {
        let (inputs, outputs) = (self.window.channels, self.window.outputs);
        let mut tasks = Vec::new();
        let mut rest = out;
        for rows in self.row_ranges() {
            let (now, later) = rest.split_at_mut(rows.len() * outputs);
            tasks.push((rows, now));
            rest = later;
        }
        each(tasks, |(rows, out)| {
            let part = Window { width: rows.len(), ..self.window };
            let x = &self.x.values()[rows.start * inputs..rows.end * inputs];
            let residual = self.residual.as_ref().map(|residual| &residual.values()[rows.start * outputs..rows.end * outputs]);
            let added = Added { bias: self.bias.as_ref().map(CpuTensor::values), channels: None, residual };
            conv::band(&part, x, None, self.weight(), Way::Forward, added, self.mode, 0..1, out);
        });
    }

    fn back(&self, grad: &Gradient, normalised: Option<&Normalised>) -> Vec<Option<Gradient>> {
        profile::span(if self.is_linear() { "linear, back" } else { "convolution, back" }, || self.gradients(grad, normalised))
    }

    fn gradients(&self, grad: &Gradient, normalised: Option<&Normalised>) -> Vec<Option<Gradient>> {
        let mode = if self.mode == Mode::Split { Mode::Float } else { self.mode };
        let window = &self.window;
        let tracked = |tensor: &CpuTensor| tensor.node().is_some();
        let by_input = tracked(&self.x) || self.norm.as_ref().is_some_and(|norm| tracked(&norm.weight) || tracked(&norm.bias));
        let by_channels = self.channels.as_ref().is_some_and(tracked);
        // Pieces: pictures, or rows of a linear layer, each part of them on a thread.
        let linear = self.is_linear();
        let pieces: Vec<Range<usize>> = if linear { self.row_ranges() } else { (0..self.batch).map(|b| b..b + 1).collect() };
        let (size_in, size_out) = if linear { (window.channels, window.outputs) } else { (window.in_len(), window.out_len()) };
        if by_input {
            conv::prepare(self.weight(), Way::Back, mode);
        }
        let mut dx = Buffer::any(if by_input { self.x.values().len() } else { 0 });
        let mut dch = Buffer::any(if by_channels { self.batch * window.outputs } else { 0 });
        let mut tasks = Vec::new();
        let (mut rest_x, mut rest_ch) = (&mut dx[..], &mut dch[..]);
        for range in ranges(pieces.len(), 1, 1) {
            let pieces = &pieces[range];
            let count: usize = pieces.iter().map(Range::len).sum();
            let (now_x, later_x) = rest_x.split_at_mut(if by_input { count * size_in } else { 0 });
            let (now_ch, later_ch) = rest_ch.split_at_mut(if by_channels { count * window.outputs } else { 0 });
            tasks.push((pieces, now_x, now_ch));
            (rest_x, rest_ch) = (later_x, later_ch);
        }
        struct Sums {
            weight: Option<WeightGradient>,
            bias: Vec<f32>,
            norm: (Vec<f32>, Vec<f32>),
        }
        let done = parts(tasks, |(pieces, dx, dch)| {
            let part_of = |piece: &Range<usize>| if linear { Window { width: piece.len(), ..*window } } else { *window };
            let mut weight = tracked(&self.weight).then(|| WeightSum::new(&part_of(&pieces[0]), mode));
            let mut sums =
                Sums { weight: None, bias: vec![0.0; window.outputs], norm: (vec![0.0; window.channels], vec![0.0; window.channels]) };
            let (mut at, mut large) = (0, Buffer::any(0));
            for piece in pieces {
                let part = part_of(piece);
                let x = &self.x.values()[piece.start * size_in..piece.end * size_in];
                let g = &grad[piece.start * size_out..piece.end * size_out];
                let entry = self.entry(normalised, piece.start);
                if let Some(weight) = &mut weight {
                    weight.of(&part).add(x, entry.as_ref(), g);
                }
                if by_channels {
                    let own = &mut dch[at * window.outputs..(at + 1) * window.outputs];
                    own.fill(0.0);
                    conv::add_places(g, own);
                    sums.bias.iter_mut().zip(own).for_each(|(s, v)| *s += *v);
                } else if self.bias.is_some() {
                    conv::add_places(g, &mut sums.bias);
                }
                if by_input {
                    let dx = &mut dx[at * size_in..(at + piece.len()) * size_in];
                    if part.enlarge == Enlarge::Repeat {
                        if large.len() != 4 * dx.len() {
                            large = Buffer::any(4 * dx.len());
                        }
                        conv::input_gradient(&part, g, self.weight(), mode, &mut large);
                        conv::fold(&part, &large, dx);
                    } else {
                        conv::input_gradient(&part, g, self.weight(), mode, dx);
                    }
                    if let (Some(norm), Some(normalised), Some(entry)) = (&self.norm, normalised, &entry) {
                        let moments = &normalised.moments[piece.start];
                        let into = (&mut sums.norm.0[..], &mut sums.norm.1[..]);
                        norm.shape.pull_back(x, moments, entry, norm.weight.values(), dx, into);
                    }
                }
                at += piece.len();
            }
            sums.weight = weight.map(WeightSum::finish);
            sums
        });
        let total = |of: &dyn Fn(&Sums) -> Vec<f32>| -> Gradient {
            let mut all = done.iter().map(of);
            let mut sum = Buffer::copy(&all.next().unwrap_or_default());
            all.for_each(|more| sum.iter_mut().zip(&more).for_each(|(s, v)| *s += v));
            Arc::new(sum)
        };
        let mut gradients = vec![by_input.then(|| Arc::new(dx))];
        gradients.push(tracked(&self.weight).then(|| {
            let mut sum = Buffer::zeros(self.weight.values().len());
            done.iter().filter_map(|sums| sums.weight.as_ref()).for_each(|weight| weight.add_to(&mut sum));
            Arc::new(sum)
        }));
        if let Some(bias) = &self.bias {
            gradients.push(tracked(bias).then(|| total(&|sums| sums.bias.clone())));
        }
        if self.channels.is_some() {
            gradients.push(by_channels.then(|| Arc::new(dch)));
        }
        if self.residual.is_some() {
            gradients.push(Some(Arc::clone(grad)));
        }
        if self.norm.is_some() {
            gradients.push(Some(total(&|sums| sums.norm.0.clone())));
            gradients.push(Some(total(&|sums| sums.norm.1.clone())));
        }
        gradients
    }
}
