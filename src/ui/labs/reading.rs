//! Tensors on screen, the formula that joins them, and its numbers at one place.

use super::formula;
use crate::diffusion::Level;
use crate::host::HostTensor;
use crate::ui::theme::Symbol;
use crate::ui::widgets::math::{Math, figures, format_number, num, raw, row, sym, word};
use crate::ui::widgets::meaning::Meaning;

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

/// Tensors and how they are joined.
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
    /// `uncond + scale (cond - uncond) = guided`.
    Guided {
        /// The guidance scale.
        scale: f64,
        /// Without the prompt, with it, guided.
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

/// A tensor of the formula.
pub struct Term {
    /// What stands before it: a coefficient, an operator, brackets.
    pub lead: Math,
    /// Its symbol.
    pub symbol: Math,
    /// What it is, in words.
    pub words: &'static str,
    /// What it stands for.
    pub meaning: Meaning,
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
            Self::Sum { tensors, .. } | Self::Guess { tensors, .. } | Self::Guided { tensors, .. } => tensors,
            Self::Shown { tensors, .. } => tensors,
        }
    }

    /// Whether it is this one: the same tensors in memory, the same coefficients.
    pub fn is(&self, other: &Self) -> bool {
        let tensors = self.tensors().iter().zip(other.tensors()).all(|(a, b)| std::ptr::eq(a.data(), b.data()));
        let formula = match (self, other) {
            (Self::Sum { chain: a, coefficients: c, .. }, Self::Sum { chain: b, coefficients: d, .. }) => a == b && c == d,
            (Self::Guess { coefficients: c, .. }, Self::Guess { coefficients: d, .. }) => c == d,
            (Self::Guided { scale: a, .. }, Self::Guided { scale: b, .. }) => a == b,
            (Self::Shown { .. }, Self::Shown { .. }) => true,
            _ => false,
        };
        formula && tensors && self.tensors().len() == other.tensors().len()
    }

    /// The tensors with what stands before each, as the formula is written; none where no formula joins them.
    pub fn terms(&self) -> Option<[Term; 3]> {
        let plain = |text: &str| word(text, Symbol::Plain);
        let nothing = || row([]);
        let space = || raw(r"\;");
        let times = |c: f64, decimals, symbol| row([num(c, 1, decimals, symbol), space(), word("·", symbol)]);
        let term = |lead, symbol, words, meaning| Term { lead, symbol, words, meaning };
        let noisy = |lead| term(lead, formula::x_t(), "the noisy picture", Meaning::Xt);
        match self {
            Self::Sum { chain: false, coefficients: [a, b], .. } => Some([
                term(times(*a, 3, Symbol::Signal), formula::x_0(), "the clean picture", Meaning::X0),
                term(row([plain("+"), space(), times(*b, 3, Symbol::Noise)]), formula::noise(), "unit Gaussian noise", Meaning::Noise),
                noisy(plain("=")),
            ]),
            Self::Sum { chain: true, coefficients: [a, b], .. } => Some([
                term(times(*a, 4, Symbol::Plain), formula::before(), "one step before", Meaning::Before),
                term(row([plain("+"), space(), times(*b, 4, Symbol::Noise)]), formula::step_noise(), "fresh noise", Meaning::Noise),
                noisy(plain("=")),
            ]),
            Self::Guess { coefficients: [a, s], .. } => {
                let over = row([plain(")"), space(), plain("/"), space(), num(*a, 1, 3, Symbol::Signal), space(), plain("=")]);
                Some([
                    noisy(plain("(")),
                    term(
                        row([plain("−"), space(), times(*s, 3, Symbol::Noise)]),
                        formula::eps_guided(),
                        "the predicted noise",
                        Meaning::Guided,
                    ),
                    term(over, formula::x0_hat(), "what the model sees in it", Meaning::X0Hat),
                ])
            }
            Self::Guided { scale, .. } => {
                let further = row([plain("+"), space(), figures(*scale, Symbol::Guided), space(), plain("·"), space(), plain("(")]);
                let back = row([plain("−"), space(), formula::eps_uncond(), plain(")"), space(), plain("=")]);
                Some([
                    term(nothing(), formula::eps_uncond(), "without the prompt", Meaning::Unconditional),
                    term(further, formula::eps_cond(), "with the prompt", Meaning::Conditional),
                    term(back, formula::eps_guided(), "guided", Meaning::Guided),
                ])
            }
            Self::Shown { .. } => None,
        }
    }

    /// The two tensors whose sum or difference, divided where need be, is the third: the operands with their coefficients.
    pub fn parts(&self) -> Option<[HostTensor; 2]> {
        let times = |c: f64, t: &HostTensor| t.map(|v| (c * f64::from(v)) as f32);
        match self {
            Self::Sum { coefficients: [a, b], tensors: [x, eps, _], .. } => Some([times(*a, x), times(*b, eps)]),
            Self::Guess { coefficients: [_, s], tensors: [x, eps, _] } => Some([x.clone(), times(*s, eps)]),
            Self::Guided { scale, tensors: [uncond, cond, _] } => Some([uncond.clone(), cond.lincomb(*scale, uncond, -scale)]),
            Self::Shown { .. } => None,
        }
    }

    /// What the [`Self::parts`] are called.
    pub fn part_names(&self) -> Option<[(Math, Meaning); 2]> {
        let plain = |text: &str| word(text, Symbol::Plain);
        match self {
            Self::Sum { chain, coefficients: [a, b], .. } => {
                let (first, second, meaning) = if *chain {
                    (row([num(*a, 1, 4, Symbol::Plain), formula::after(formula::before())]), formula::step_noise(), Meaning::Before)
                } else {
                    (row([num(*a, 1, 3, Symbol::Signal), formula::after(formula::x_0())]), formula::noise(), Meaning::X0)
                };
                let decimals = if *chain { 4 } else { 3 };
                Some([(first, meaning), (row([num(*b, 1, decimals, Symbol::Noise), formula::after(second)]), Meaning::Noise)])
            }
            Self::Guess { coefficients: [_, s], .. } => {
                let taken = row([num(*s, 1, 3, Symbol::Noise), formula::after(formula::eps_guided())]);
                Some([(formula::x_t(), Meaning::Xt), (taken, Meaning::Guided)])
            }
            Self::Guided { scale, .. } => {
                let bracket = [plain(" ("), formula::eps_cond(), plain(" − "), formula::eps_uncond(), plain(")")];
                let further = row([vec![figures(*scale, Symbol::Guided)], bracket.into()].concat());
                Some([(formula::eps_uncond(), Meaning::Unconditional), (further, Meaning::Scale)])
            }
            Self::Shown { .. } => None,
        }
    }

    /// What joins the parts, and what leads from them to the result.
    pub fn signs(&self) -> [Math; 2] {
        let plain = |text: &str| word(text, Symbol::Plain);
        match self {
            Self::Guess { coefficients: [a, _], .. } => {
                let space = || raw(r"\;");
                [plain("−"), row([plain("/"), space(), num(*a, 1, 3, Symbol::Signal), space(), plain("=")])]
            }
            _ => [plain("+"), plain("=")],
        }
    }

    /// The whole formula with its numbers.
    pub fn equation(&self) -> Option<formula::Spoken> {
        match self {
            Self::Sum { chain: false, coefficients: [alpha, sigma], .. } => {
                Some(formula::noised_at(Level { alpha: *alpha, sigma: *sigma }))
            }
            Self::Sum { chain: true, coefficients: [_, b], .. } => Some(formula::step_at(b * b)),
            Self::Guess { coefficients: [alpha, sigma], .. } => Some(formula::guess_at(Level { alpha: *alpha, sigma: *sigma })),
            Self::Guided { scale, .. } => Some(formula::guided_at(*scale)),
            Self::Shown { .. } => None,
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
            Self::Guided { .. } => {
                let (uncond, cond) = (sym("ε", Symbol::Unconditional).with_index("∅"), sym("ε", Symbol::Conditional).with_index("c"));
                let bracket = |text: &str| word(text, Symbol::Plain);
                let further = row([sym("w", Symbol::Guided), bracket(" ("), cond, minus, uncond.clone(), bracket(")")]);
                vec![uncond, plus, further, equals, sym("ε", Symbol::Guided).tilde()]
            }
            Self::Shown { symbols, .. } => symbols.clone(),
        }
    }

    /// What each of [`Self::tensors`] stands for.
    fn meanings(&self) -> Option<[Meaning; 3]> {
        self.terms().map(|terms| terms.map(|term| term.meaning))
    }

    /// One line of numbers under the heads.
    pub fn numbers(&self, values: &[f32]) -> Vec<Math> {
        let meanings = self.meanings();
        let meant = |i: usize, math: Math| meanings.and_then(|all| all.get(i).copied()).map_or(math.clone(), |of| math.meaning(of));
        let value = |i: usize, symbol| {
            let v = f64::from(values[i]);
            let number = if v < 0.0 { row([word("(", symbol), num(v, 1, 3, symbol), word(")", symbol)]) } else { num(v, 1, 3, symbol) };
            meant(i, number)
        };
        let plain = |i: usize, symbol| meant(i, num(f64::from(values[i]), 1, 3, symbol));
        let (plus, minus, equals) = (word("+", Symbol::Plain), word("−", Symbol::Plain), word("=", Symbol::Plain));
        let bracket = |text: &str| word(text, Symbol::Plain);
        let times = |c: f64, i: usize, symbol| row([num(c, 1, 3, symbol), word("·", symbol), value(i, symbol)]);
        match self {
            Self::Sum { chain, coefficients: [a, b], .. } => {
                let first = if *chain { Symbol::Plain } else { Symbol::Signal };
                vec![times(*a, 0, first), plus, times(*b, 1, Symbol::Noise), equals, plain(2, Symbol::Plain)]
            }
            Self::Guess { coefficients: [a, s], .. } => vec![
                row([bracket("("), plain(0, Symbol::Plain)]),
                minus,
                row([num(*s, 1, 3, Symbol::Noise), word("·", Symbol::Noise), value(1, Symbol::Guided), bracket(")")]),
                row([bracket("/"), raw(r"\,"), num(*a, 1, 3, Symbol::Signal), raw(r"\,"), equals]),
                plain(2, Symbol::Signal),
            ],
            Self::Guided { scale, .. } => {
                let inner = [plain(1, Symbol::Conditional), minus, value(0, Symbol::Unconditional), bracket(")")];
                let further = row([vec![figures(*scale, Symbol::Guided).meaning(Meaning::Scale), bracket("·(")], inner.into()].concat());
                vec![plain(0, Symbol::Unconditional), plus, further, equals, plain(2, Symbol::Guided)]
            }
            Self::Shown { tensors, .. } => (0..tensors.len()).map(|i| plain(i, Symbol::Plain)).collect(),
        }
    }

    /// The same line for a screen reader.
    pub fn spoken(&self, values: &[f32]) -> String {
        let v: Vec<String> = values.iter().map(|v| format_number(f64::from(*v), 1, 3)).collect();
        match self {
            Self::Sum { coefficients: [a, b], .. } => format!("{a:.3} · {} + {b:.3} · {} = {}", v[0], v[1], v[2]),
            Self::Guess { coefficients: [a, s], .. } => format!("({} − {s:.3} · {}) / {a:.3} = {}", v[0], v[1], v[2]),
            Self::Guided { scale, .. } => format!("{} + {scale:.2} · ({} − {}) = {}", v[0], v[1], v[0], v[2]),
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
            Reading::Guided { scale: 3.0, tensors: three() },
            Reading::Shown { symbols: vec![x_t(), formula::x0_hat()], tensors: vec![t(), t()] },
        ] {
            let cell = Cell { kind: Kind::Pixels, channel: 0, y: 1, x: 1 };
            let values = reading.values(2, cell).expect("inside");
            assert_eq!(reading.heads().len(), reading.numbers(&values).len());
            assert!(reading.spoken(&values).contains("−0.500"));
        }
    }

    #[test]
    fn the_parts_make_the_result() {
        let noise = |seed| gaussian(seed, Stream::Forward, [1, 4, 3, 5]);
        let (a, b) = (noise(1), noise(2));
        let level = Level::from_alpha_bar(0.4);
        let x = level.add_noise(&a, &b);
        let guided = crate::diffusion::guide(&a, &b, 7.5);
        let near = |result: &HostTensor, wanted: &HostTensor| {
            assert!(result.lincomb(1.0, wanted, -1.0).norm() < 1e-4 * wanted.norm(), "{result:?} is not {wanted:?}");
        };
        let [signal, noise] = [[level.alpha, level.sigma], [1.0, -1.0]];
        let sum = Reading::Sum { chain: false, coefficients: signal, tensors: [a.clone(), b.clone(), x.clone()] };
        let [p, q] = sum.parts().expect("a formula");
        near(&p.lincomb(noise[0], &q, 1.0), &x);
        let guess = Reading::Guess { coefficients: signal, tensors: [x, b.clone(), a.clone()] };
        let [p, q] = guess.parts().expect("a formula");
        near(&p.lincomb(1.0 / level.alpha, &q, -1.0 / level.alpha), &a);
        let reading = Reading::Guided { scale: 7.5, tensors: [a, b, guided.clone()] };
        let [p, q] = reading.parts().expect("a formula");
        near(&p.lincomb(1.0, &q, 1.0), &guided);
        for reading in [sum, guess, reading] {
            assert!(reading.is(&reading.clone()) && reading.terms().is_some() && reading.part_names().is_some());
        }
    }
}
