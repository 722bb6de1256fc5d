//! What the probe reads: the elements of the tensors on screen at one place, and the formula that joins them.

use super::{ForwardReverse, Process, Space};
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::labs::LabContext;
use crate::ui::theme::Symbol;
use crate::ui::widgets::math::{Math, format_number, num, row, sym, word};

/// What has a cell: pixels of a picture or numbers of the latents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `[3, H, W]`.
    Pixels,
    /// `[1, C, h, w]`.
    Latents,
}

/// One element, or one pixel with its three colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Of what.
    pub kind: Kind,
    /// The channel; a pixel shows all its channels, beginning with 0.
    pub channel: usize,
    /// Row.
    pub y: usize,
    /// Column.
    pub x: usize,
}

/// The tensors under the probe and how they are joined.
#[derive(Debug, Clone)]
pub enum Reading {
    /// `a first + b second = sum`: the closed form, or one step of the chain.
    Sum {
        /// Whether it is a step of the chain.
        chain: bool,
        /// Both coefficients.
        coefficients: [f64; 2],
        /// x0 (or the state before), eps, x_t.
        tensors: [HostTensor; 3],
    },
    /// `(x_t - sigma eps) / alpha = x0`: the guess of the reverse run.
    Guess {
        /// alpha and sigma.
        coefficients: [f64; 2],
        /// x_t, the guided eps, the predicted x0.
        tensors: [HostTensor; 3],
    },
    /// What no formula joins: decoded pictures, or the end of a run.
    Shown {
        /// What they are called.
        symbols: Vec<Math>,
        /// As many tensors.
        tensors: Vec<HostTensor>,
    },
}

fn x_t() -> Math {
    sym("x", Symbol::Plain).with_index("t")
}

fn x0_hat() -> Math {
    sym("x", Symbol::Signal).hat().with_index("0")
}

/// Flat index of an element: the channel's plane, the row, the column.
pub fn flat(shape: &[usize], channel: usize, y: usize, x: usize) -> Option<usize> {
    let [.., channels, height, width] = *shape else { return None };
    (channel < channels && y < height && x < width).then_some((channel * height + y) * width + x)
}

impl Reading {
    /// The tensors.
    pub fn tensors(&self) -> &[HostTensor] {
        match self {
            Self::Sum { tensors, .. } | Self::Guess { tensors, .. } => tensors,
            Self::Shown { tensors, .. } => tensors,
        }
    }

    /// Which of [`Self::tensors`] is x_t.
    pub fn noisy(&self) -> usize {
        if matches!(self, Self::Sum { .. }) { 2 } else { 0 }
    }

    /// The values at a cell, one for each tensor; none where a tensor has no such cell.
    pub fn values(&self, channel: usize, cell: Cell) -> Option<Vec<f32>> {
        let value = |t: &HostTensor| flat(t.shape(), channel, cell.y, cell.x).and_then(|i| t.data().get(i).copied());
        self.tensors().iter().map(value).collect()
    }

    /// The channels that are told of a cell.
    pub fn channels(&self, cell: Cell) -> std::ops::Range<usize> {
        if cell.kind == Kind::Pixels { 0..3 } else { cell.channel..cell.channel + 1 }
    }

    /// The columns' heads: pieces of the formula in the symbols' colours.
    pub fn heads(&self) -> Vec<Math> {
        let (plus, minus, equals) = (word("+", Symbol::Plain), word("−", Symbol::Plain), word("=", Symbol::Plain));
        let alpha_bar = |s| sym("α", s).bar().with_index("t");
        let noise_root = || row([word("1 − ", Symbol::Noise), alpha_bar(Symbol::Noise)]).sqrt();
        match self {
            Self::Sum { chain: false, .. } => vec![
                row([alpha_bar(Symbol::Signal).sqrt(), sym(" x", Symbol::Signal).with_index("0")]),
                plus,
                row([noise_root(), sym(" ε", Symbol::Noise)]),
                equals,
                x_t(),
            ],
            Self::Sum { chain: true, .. } => {
                let beta = || sym("β", Symbol::Noise).with_index("t");
                let kept = row([word("1 − ", Symbol::Plain), beta()]).sqrt();
                let drawn = row([beta().sqrt(), sym(" ε", Symbol::Noise).with_index("t")]);
                vec![row([kept, sym(" x", Symbol::Plain).with_index("t−1")]), plus, drawn, equals, x_t()]
            }
            Self::Guess { .. } => vec![
                row([word("( ", Symbol::Plain), x_t()]),
                minus,
                row([noise_root(), sym(" ε", Symbol::Guided).tilde(), word(" )", Symbol::Plain)]),
                row([word("/ ", Symbol::Plain), alpha_bar(Symbol::Signal).sqrt(), word(" =", Symbol::Plain)]),
                sym("x", Symbol::Signal).hat().with_index("0"),
            ],
            Self::Shown { symbols, .. } => symbols.clone(),
        }
    }

    /// One line of numbers under the heads.
    pub fn numbers(&self, values: &[f32]) -> Vec<Math> {
        let value = |i: usize, symbol| {
            let v = f64::from(values[i]);
            if v < 0.0 { row([word("(", symbol), num(v, 1, 3, symbol), word(")", symbol)]) } else { num(v, 1, 3, symbol) }
        };
        let plain = |i: usize, symbol| num(f64::from(values[i]), 1, 3, symbol);
        let (plus, minus, equals) = (word("+", Symbol::Plain), word("−", Symbol::Plain), word("=", Symbol::Plain));
        let times = |c: f64, i: usize, symbol| row([num(c, 1, 3, symbol), word("·", symbol), value(i, symbol)]);
        match self {
            Self::Sum { chain, coefficients: [a, b], .. } => {
                let first = if *chain { Symbol::Plain } else { Symbol::Signal };
                vec![times(*a, 0, first), plus, times(*b, 1, Symbol::Noise), equals, plain(2, Symbol::Plain)]
            }
            Self::Guess { coefficients: [a, s], .. } => vec![
                row([word("( ", Symbol::Plain), plain(0, Symbol::Plain)]),
                minus,
                row([num(*s, 1, 3, Symbol::Noise), word("·", Symbol::Noise), value(1, Symbol::Guided), word(" )", Symbol::Plain)]),
                row([word("/ ", Symbol::Plain), num(*a, 1, 3, Symbol::Signal), word(" =", Symbol::Plain)]),
                plain(2, Symbol::Signal),
            ],
            Self::Shown { tensors, .. } => (0..tensors.len()).map(|i| plain(i, Symbol::Plain)).collect(),
        }
    }

    /// The same line for a screen reader.
    pub fn spoken(&self, values: &[f32]) -> String {
        let v: Vec<String> = values.iter().map(|v| format_number(f64::from(*v), 1, 3)).collect();
        match self {
            Self::Sum { coefficients: [a, b], .. } => format!("{a:.3} · {} + {b:.3} · {} = {}", v[0], v[1], v[2]),
            Self::Guess { coefficients: [a, s], .. } => format!("({} − {s:.3} · {}) / {a:.3} = {}", v[0], v[1], v[2]),
            Self::Shown { .. } => v.join(", "),
        }
    }

    /// What there is to say about the numbers.
    pub fn note(&self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Shown { .. }, Kind::Pixels) => "Decoded by the VAE, 0 black to 1 white. The sum holds in the latents.",
            (_, Kind::Pixels) => "Red, green, blue; −1 is black, 1 is white.",
            (Self::Guess { .. }, Kind::Latents) => "One number of the latents, as the sampler has it.",
            (_, Kind::Latents) => "One number of the latents.",
        }
    }
}

impl ForwardReverse {
    /// What the probe reads now of pixels or latents.
    pub(super) fn reading(&mut self, cx: &LabContext<'_>, kind: Kind) -> Option<Reading> {
        let own = &cx.work.forward_reverse;
        let pixels = own.space == Space::Pixels;
        if cx.clock.direction == Direction::Reverse {
            let run = self.shown_run(cx.session);
            let frame = run.at(cx.clock.position())?.clone();
            if let Some(end) = run.end().filter(|_| cx.clock.position() < 0.5) {
                let symbols = vec![sym("x", Symbol::Signal).with_index("0"), x0_hat()];
                let tensors = match kind {
                    Kind::Latents => vec![end.latents.clone(), frame.x0.clone()],
                    Kind::Pixels => vec![end.picture.clone(), frame.x0_picture.clone()?],
                };
                return Some(Reading::Shown { symbols, tensors });
            }
            return match kind {
                Kind::Latents => Some(Reading::Guess {
                    coefficients: [frame.alpha, frame.sigma],
                    tensors: [frame.x.clone(), frame.eps.clone(), frame.x0.clone()],
                }),
                Kind::Pixels => {
                    let tensors = vec![frame.x_picture.clone()?, frame.x0_picture.clone()?];
                    Some(Reading::Shown { symbols: vec![x_t(), x0_hat()], tensors })
                }
            };
        }
        if (kind == Kind::Pixels) != pixels {
            let look = cx.session.forward.nearest(cx.clock.position())?;
            let exact = self.latents_at(cx).and_then(|l| cx.session.decoded(&l).cloned()).or_else(|| look.x_picture.clone())?;
            let tensors = vec![exact, look.x0_picture.clone()?];
            return (kind == Kind::Pixels).then(|| Reading::Shown { symbols: vec![x_t(), x0_hat()], tensors });
        }
        if own.process == Process::Chain {
            let chain = if pixels { &self.chain } else { &self.latent_chain };
            let standing = chain.standing().filter(|s| s.taken > 0)?;
            let beta = cx.session.levels.beta(standing.taken - 1);
            let tensors = [standing.before.clone(), standing.eps.clone(), standing.x.clone()];
            return Some(Reading::Sum { chain: true, coefficients: [(1.0 - beta).sqrt(), beta.sqrt()], tensors });
        }
        let picture = cx.session.picture.clone()?;
        let level = cx.session.levels.level(cx.clock.timestep());
        let (x0, eps, x) = if pixels {
            let x0 = self.signed.of(&picture.pixels);
            let eps = self.pixel_noise.of(cx.work.seed, x0.shape());
            let x = self.closed.at(&x0, &eps, level).x.clone();
            (x0, eps, x)
        } else {
            let eps = self.latent_noise.of(cx.work.seed, picture.latents.shape());
            let x = self.closed_latents.at(&picture.latents, &eps, level).x.clone();
            (picture.latents.clone(), eps, x)
        };
        Some(Reading::Sum { chain: false, coefficients: [level.alpha, level.sigma], tensors: [x0, eps, x] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Level;
    use crate::noise::{Stream, gaussian};

    #[test]
    fn the_numbers_are_the_tensors_elements_and_the_sum_holds() {
        let (x0, eps) = (gaussian(1, Stream::World, [1, 8, 4, 6]), gaussian(2, Stream::Forward, [1, 8, 4, 6]));
        let level = Level::from_alpha_bar(0.3);
        let x = level.add_noise(&x0, &eps);
        let reading =
            Reading::Sum { chain: false, coefficients: [level.alpha, level.sigma], tensors: [x0.clone(), eps.clone(), x.clone()] };
        for (channel, y, column) in [(0, 0, 0), (7, 3, 5), (4, 2, 1)] {
            let cell = Cell { kind: Kind::Latents, channel, y, x: column };
            let values = reading.values(channel, cell).expect("inside");
            let i = ((channel * 4) + y) * 6 + column;
            assert_eq!(values, [x0.data()[i], eps.data()[i], x.data()[i]]);
            let sum = level.alpha * f64::from(values[0]) + level.sigma * f64::from(values[1]);
            assert!((sum - f64::from(values[2])).abs() < 1e-6);
        }
        assert!(reading.values(8, Cell { kind: Kind::Latents, channel: 8, y: 0, x: 0 }).is_none());
        assert!(reading.values(0, Cell { kind: Kind::Latents, channel: 0, y: 4, x: 0 }).is_none());
    }

    #[test]
    fn every_head_has_its_column_of_numbers() {
        let t = || HostTensor::full([3, 2, 2], -0.5);
        let three = || [t(), t(), t()];
        for reading in [
            Reading::Sum { chain: false, coefficients: [0.6, 0.8], tensors: three() },
            Reading::Sum { chain: true, coefficients: [0.6, 0.8], tensors: three() },
            Reading::Guess { coefficients: [0.6, 0.8], tensors: three() },
            Reading::Shown { symbols: vec![x_t(), x0_hat()], tensors: vec![t(), t()] },
        ] {
            let cell = Cell { kind: Kind::Pixels, channel: 0, y: 1, x: 1 };
            let values = reading.values(2, cell).expect("inside");
            assert_eq!(reading.heads().len(), reading.numbers(&values).len());
            assert!(reading.spoken(&values).contains("−0.500"));
        }
    }
}
