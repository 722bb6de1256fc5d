//! What the lab's formula joins now, for the probe and for the operation.

use super::main::LATENT_RANGE;
use super::{ForwardReverse, Process, Space};
use crate::ui::clock::Direction;
use crate::ui::labs::LabContext;
use crate::ui::labs::formula;
use crate::ui::labs::reading::{Kind, Reading};
use crate::ui::labs::zoom::{Operation, Part};
use crate::ui::theme::Symbol;
use crate::ui::widgets::math::{Math, sym};
use crate::ui::widgets::meaning::Meaning;
use crate::ui::widgets::textures::Scale;

fn x_t() -> Math {
    sym("x", Symbol::Plain).with_index("t")
}

fn x0_hat() -> Math {
    sym("x", Symbol::Signal).hat().with_index("0")
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
        self.sum(cx, pixels)
    }

    /// The forward formula in pixels or in latents.
    fn sum(&mut self, cx: &LabContext<'_>, pixels: bool) -> Option<Reading> {
        if cx.work.forward_reverse.process == Process::Chain {
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

    /// The operation behind what is shown: how x_t is made, or what is taken from it.
    pub(super) fn operation(&mut self, cx: &LabContext<'_>) -> Option<Operation> {
        let look = (LATENT_RANGE, Scale::Linear);
        if cx.clock.direction == Direction::Reverse {
            let frame = self.shown_run(cx.session).at(cx.clock.position())?.clone();
            let given = [
                Part::new(formula::eps_uncond(), "without the prompt", Meaning::Unconditional, frame.eps_uncond.clone()),
                Part::new(formula::eps_cond(), "with the prompt", Meaning::Conditional, frame.eps_cond.clone()),
            ];
            let reading = Reading::Guess {
                coefficients: [frame.alpha, frame.sigma],
                tensors: [frame.x.clone(), frame.eps.clone(), frame.x0.clone()],
            };
            let title = format!("What the model sees at t = {:.0}, step {} of {}", frame.timestep, frame.index + 1, frame.count);
            return Some(Operation { title, kind: Kind::Latents, reading, given, look });
        }
        let pixels = cx.work.forward_reverse.space == Space::Pixels && !Self::bridge_is_open(cx);
        let reading = self.sum(cx, pixels)?;
        let given = Part::operands(&reading)?;
        let chain = matches!(reading, Reading::Sum { chain: true, .. });
        let timestep = match self.standing(cx, pixels).filter(|_| chain) {
            Some(taken) => taken.saturating_sub(1),
            None => cx.clock.timestep(),
        };
        let title = format!("{} at t = {timestep}", if chain { "One step of noise" } else { "Noise in one stroke" });
        Some(Operation { title, kind: if pixels { Kind::Pixels } else { Kind::Latents }, reading, given, look })
    }

    /// Steps that the chain has taken.
    fn standing(&self, cx: &LabContext<'_>, pixels: bool) -> Option<usize> {
        let chain = if pixels { &self.chain } else { &self.latent_chain };
        chain.standing().filter(|_| cx.work.forward_reverse.process == Process::Chain).map(|standing| standing.taken)
    }
}
