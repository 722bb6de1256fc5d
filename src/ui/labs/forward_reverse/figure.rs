//! The lab as a figure: the two pictures of this moment, what the noisy one is made of, and the equation with its numbers.

use super::{ForwardReverse, Process, Space};
use crate::diffusion::Level;
use crate::figure::{Body, Figure, Line, Paint, Panel, Picture, Row, Run};
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::export::ink::{Ink, RunFacts, line};
use crate::ui::labs::LabContext;
use crate::ui::theme::Symbol;
use crate::ui::widgets::channels::Grid;
use crate::ui::widgets::textures::Scale;
use crate::ui::widgets::tile::Badge;
use crate::worker::protocol::Frame;

const LATENT_RANGE: f32 = 4.0;
/// Small pictures below the two large ones.
const THUMBS: usize = 7;

/// A panel with a picture: its symbol, a word about it, its badge.
fn tile(ink: &Ink, label: &str, symbol: [Run; 2], picture: Picture, badge: Badge) -> Panel {
    let heading = line(symbol.into_iter().chain([ink.aside(label)]));
    Panel::new(label, Body::Picture(picture)).heading(heading).remark(badge.label())
}

fn facts<'a>(cx: &'a LabContext<'_>) -> RunFacts<'a> {
    let own = &cx.work.forward_reverse;
    RunFacts { sampler: &own.sampler, steps: own.steps, guidance_scale: ForwardReverse::scale(cx) }
}

/// `0.812` in the colour of its symbol.
fn number(ink: &Ink, value: f64, symbol: Symbol) -> Run {
    ink.number(format!("{value:.3}"), symbol)
}

impl ForwardReverse {
    pub(super) fn as_figure(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        match cx.clock.direction {
            Direction::Forward => self.forward_figure(cx, ink),
            Direction::Reverse => reverse_figure(cx, ink),
        }
    }

    /// Forward the picture dissolves, along the timesteps at which the model has looked; reverse it is the run, step by step.
    pub(super) fn as_film(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        match cx.clock.direction {
            Direction::Forward => self.forward_film(cx, ink),
            Direction::Reverse => reverse_film(cx, ink),
        }
    }

    /// The noisy picture at a level, in pixels.
    fn noisy(&mut self, cx: &LabContext<'_>, pixels: &HostTensor, level: Level) -> HostTensor {
        let x0 = self.signed.of(pixels);
        let eps = self.pixel_noise.of(cx.work.seed, x0.shape());
        level.add_noise(&x0, &eps)
    }

    fn forward_figure(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        let picture = cx.session.picture.clone()?;
        let timestep = cx.clock.timestep();
        let level = cx.session.levels.level(timestep);
        let look = cx.session.forward.nearest(timestep as f64).cloned();
        let chain = cx.work.forward_reverse.process == Process::Chain;
        let mut rows = Vec::new();
        let mut large = Vec::new();
        let predicted = look.as_ref().and_then(|look| {
            let picture = Picture::new("x̂0", look.x0_picture.clone()?, Paint::Rgb);
            let exact = (look.timestep - timestep as f64).abs() < 0.6;
            let label = if exact { "what the model sees".to_owned() } else { format!("seen at t = {:.0}", look.timestep) };
            Some(Panel { label: "what the model sees".into(), ..tile(ink, &label, ink.x0_hat(), picture, Badge::Prediction) })
        });
        if cx.work.forward_reverse.space == Space::Pixels {
            let (parts, beta) = if chain {
                let beta = cx.session.levels.beta(self.chain.standing()?.taken.saturating_sub(1));
                (self.chain.parts(beta)?, Some(beta))
            } else {
                let x0 = self.signed.of(&picture.pixels);
                let eps = self.pixel_noise.of(cx.work.seed, x0.shape());
                (self.closed.at(&x0, &eps, level).clone(), None)
            };
            let noisy = Picture::new("x_t", parts.x.clone(), Paint::Signed);
            large.push(tile(ink, "the noisy picture", ink.x("t", Symbol::Plain), noisy, Badge::ExactPixels));
            large.extend(predicted);
            rows.push(Row::of(large));
            let (keep, add) = beta.map_or((level.alpha, level.sigma), |beta| ((1.0 - beta).sqrt(), beta.sqrt()));
            let before = if chain { ink.x("t−1", Symbol::Signal) } else { ink.x("0", Symbol::Signal) };
            let small = |name: &str, tensor: &HostTensor, foot: Vec<Run>| {
                Panel::new(name, Body::Picture(Picture::new(name, tensor.clone(), Paint::Signed))).foot(foot)
            };
            let times = |value, symbol, of: Vec<Run>| line([number(ink, value, symbol), ink.word(" · ", symbol)].into_iter().chain(of));
            let mut sum = vec![
                small("the signal part", &parts.signal, times(keep, Symbol::Signal, before.into())),
                small("the noise part", &parts.noise, times(add, Symbol::Noise, vec![ink.sym("ε", Symbol::Noise)])),
                small("their sum", &parts.x, ink.x("t", Symbol::Plain).into()),
            ];
            for (name, tensor, foot) in [
                ("the original", &picture.pixels, "original".to_owned()),
                ("the autoencoder's", &picture.reconstruction, format!("VAE {:.1} dB", picture.reconstruction_psnr_db)),
            ] {
                let body = Body::Picture(Picture::new(name, tensor.clone(), Paint::Rgb));
                sum.push(Panel::new(name, body).foot(vec![ink.word(foot, Symbol::Quiet)]));
            }
            rows.push(Row { panels: sum, glue: vec!["+".into(), "=".into()] });
        } else {
            let latents = self.latents_at(cx);
            let exact = latents.as_ref().and_then(|l| cx.session.decoded(l).cloned());
            let from_run = look.as_ref().filter(|_| !chain).and_then(|look| look.x_picture.clone());
            if let Some(shown) = exact.or(from_run) {
                let picture = Picture::new("x_t", shown, Paint::Rgb);
                large.push(tile(ink, "noisy latents, decoded", ink.x("t", Symbol::Plain), picture, Badge::Decoded));
            }
            large.extend(predicted);
            rows.push(Row::of(large));
            rows.extend(grids(cx, ink, latents.as_ref(), look.as_ref().map(|look| &look.x0)));
        }
        rows.push(forward_equation(cx, ink, level, chain, timestep));
        Some(Figure::new("Forward", rows, ink.caption(cx, None, Some(timestep as f64)), ink.inks.clone()))
    }

    fn forward_film(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        let Some(picture) = cx.session.picture.clone() else { return Vec::new() };
        let run = &cx.session.forward;
        let complete = run.is_current() && run.end().is_some();
        let frames = run.frames().iter().rev().filter(|_| complete);
        let film = frames.filter_map(|frame| {
            let left = match cx.work.forward_reverse.space {
                Space::Pixels => {
                    let level = Level { alpha: frame.alpha, sigma: frame.sigma };
                    let noisy = Picture::new("x_t", self.noisy(cx, &picture.pixels, level), Paint::Signed);
                    tile(ink, "the noisy picture", ink.x("t", Symbol::Plain), noisy, Badge::ExactPixels)
                }
                Space::Latents => {
                    let decoded = Picture::new("x_t", frame.x_picture.clone()?, Paint::Rgb);
                    tile(ink, "noisy latents, decoded", ink.x("t", Symbol::Plain), decoded, Badge::Decoded)
                }
            };
            let predicted = Picture::new("x̂0", frame.x0_picture.clone()?, Paint::Rgb);
            let right = tile(ink, "what the model sees", ink.x0_hat(), predicted, Badge::Prediction);
            let level = Level { alpha: frame.alpha, sigma: frame.sigma };
            let rows = vec![Row::of([left, right]), now_line(ink, frame.timestep, level, "")];
            Some(Figure::new("Forward run", rows, ink.caption(cx, None, None), ink.inks.clone()))
        });
        film.collect()
    }
}

/// The channels under the two large pictures, and their scale.
fn grids(cx: &LabContext<'_>, ink: &Ink, left: Option<&HostTensor>, right: Option<&HostTensor>) -> Vec<Row> {
    let columns = Grid::low(cx.latent_channels());
    let grid = |name: &str, tensor: &HostTensor, symbol: [Run; 2], text: &str| {
        let heading = line(symbol.into_iter().chain([ink.aside(text)]));
        Panel::new(format!("latents of {name}"), ink.channels(&format!("latents of {name}"), tensor, columns, LATENT_RANGE, Scale::Linear))
            .heading(heading)
    };
    let (Some(left), Some(right)) = (left, right) else { return Vec::new() };
    let panels = [grid("x_t", left, ink.x("t", Symbol::Plain), "latents"), grid("x̂0", right, ink.x0_hat(), "latents")];
    vec![Row::of(panels), Row::of([Panel::new("scale", ink.scale(LATENT_RANGE, Scale::Linear))])]
}

fn equation(runs: Vec<Run>, right: Vec<Run>) -> Row {
    Row::of([Panel::new("equation", Body::Lines(vec![Line { left: runs, right, size: 19.0 }]))])
}

fn forward_equation(cx: &LabContext<'_>, ink: &Ink, level: Level, chain: bool, timestep: usize) -> Row {
    use Symbol::{Noise, Plain, Quiet, Signal};
    let equals = || ink.word(" = ", Plain);
    let plus = || ink.word(" + ", Plain);
    let gap = || ink.word("\u{202f}", Plain);
    let mut runs: Vec<Run> = ink.x("t", Plain).into();
    let right = vec![ink.word("ᾱ = ", Quiet), ink.number(format!("{:.4}", level.alpha_bar()), Signal)];
    if chain {
        let beta = cx.session.levels.beta(timestep);
        let root = |text: &str, symbol| [ink.word(format!("√{text}"), symbol), ink.sym("β", symbol), ink.index("t", symbol)];
        runs.push(equals());
        runs.extend(root("(1 − ", Plain));
        runs.extend([ink.word(")", Plain), gap()]);
        runs.extend(ink.x("t−1", Plain));
        runs.push(plus());
        runs.extend(root("", Noise));
        runs.extend([
            gap(),
            ink.sym("ε", Noise),
            ink.index("t", Noise),
            equals(),
            ink.number(format!("{:.4}", (1.0 - beta).sqrt()), Plain),
            gap(),
        ]);
        runs.extend(ink.x("t−1", Plain));
        runs.extend([plus(), ink.number(format!("{:.4}", beta.sqrt()), Noise), gap(), ink.sym("ε", Noise), ink.index("t", Noise)]);
    } else {
        runs.extend([equals(), ink.word("√", Signal), ink.sym("ᾱ", Signal), ink.index("t", Signal), gap()]);
        runs.extend(ink.x("0", Signal));
        runs.extend([plus(), ink.word("√(1 − ", Noise), ink.sym("ᾱ", Noise), ink.index("t", Noise), ink.word(")", Noise), gap()]);
        runs.extend([ink.sym("ε", Noise), equals(), number(ink, level.alpha, Signal), gap()]);
        runs.extend(ink.x("0", Signal));
        runs.extend([plus(), number(ink, level.sigma, Noise), gap(), ink.sym("ε", Noise)]);
    }
    equation(runs, right)
}

/// Where a frame of an animation stands.
fn now_line(ink: &Ink, timestep: f64, level: Level, step: &str) -> Row {
    let mut left = vec![ink.sym("t", Symbol::Plain), ink.number(format!(" = {timestep:.0}"), Symbol::Plain)];
    if !step.is_empty() {
        left.push(ink.aside(step));
    }
    let share = |symbol, text: String| ink.number(text, symbol);
    let right = vec![
        ink.word("signal ", Symbol::Quiet),
        share(Symbol::Signal, format!("{:.3}", level.alpha)),
        ink.word("\u{2003}noise ", Symbol::Quiet),
        share(Symbol::Noise, format!("{:.3}", level.sigma)),
    ];
    Row::of([Panel::new("now", Body::Lines(vec![Line { left, right, size: 17.0 }]))])
}

fn reverse_figure(cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
    let run = &cx.session.reverse;
    let frame = run.at(cx.clock.position())?.clone();
    let finished = run.end().filter(|_| cx.clock.position() < 0.5);
    let (shown, latents) = match finished {
        Some(end) => (end.picture.clone(), &end.latents),
        None => (frame.x_picture.clone()?, &frame.x),
    };
    let (symbol, text) = if finished.is_some() {
        (ink.x("0", Symbol::Signal), "the finished picture")
    } else {
        (ink.x("t", Symbol::Plain), "noisy latents, decoded")
    };
    let mut large = vec![tile(ink, text, symbol, Picture::new("x_t", shown, Paint::Rgb), Badge::Decoded)];
    if let Some(predicted) = frame.x0_picture.clone() {
        let predicted = Picture::new("x̂0", predicted, Paint::Rgb);
        large.push(tile(ink, "what the model sees", ink.x0_hat(), predicted, Badge::Prediction));
    }
    let mut rows = vec![Row::of(large)];
    if cx.work.forward_reverse.space == Space::Latents {
        rows.extend(grids(cx, ink, Some(latents), Some(&frame.x0)));
    } else {
        rows.extend(strip(run.frames(), ink));
    }
    rows.push(reverse_equation(ink, &frame));
    let caption = ink.caption(cx, Some(facts(cx)), Some(if finished.is_some() { 0.0 } else { frame.timestep }));
    Some(Figure::new("Reverse", rows, caption, ink.inks.clone()))
}

/// Steps of the run as small pictures.
fn strip(frames: &[std::sync::Arc<Frame>], ink: &Ink) -> Option<Row> {
    let count = frames.len().min(THUMBS);
    if count < 2 {
        return None;
    }
    let panels = (0..count).map(|i| &frames[(i * (frames.len() - 1) + (count - 1) / 2) / (count - 1)]).filter_map(|frame| {
        let label = format!("step at t = {:.0}", frame.timestep);
        let picture = Picture::new(label.clone(), frame.x_picture.clone()?, Paint::Rgb);
        let foot = vec![ink.sym("t", Symbol::Quiet), ink.word(format!(" = {:.0}", frame.timestep), Symbol::Quiet)];
        Some(Panel::new(label, Body::Picture(picture)).foot(foot))
    });
    Some(Row::of(panels.collect::<Vec<_>>()))
}

fn reverse_equation(ink: &Ink, frame: &Frame) -> Row {
    use Symbol::{Guided, Noise, Plain, Quiet, Signal};
    let mut runs: Vec<Run> = ink.x0_hat().into();
    runs.push(ink.word(" = (", Plain));
    runs.extend(ink.x("t", Plain));
    runs.extend([
        ink.word(" − ", Plain),
        ink.word("√(1 − ", Noise),
        ink.sym("ᾱ", Noise),
        ink.index("t", Noise),
        ink.word(")\u{202f}", Noise),
    ]);
    runs.extend([
        ink.sym("ε\u{303}", Guided),
        ink.word(") / ", Plain),
        ink.word("√", Signal),
        ink.sym("ᾱ", Signal),
        ink.index("t", Signal),
    ]);
    runs.push(ink.word(" = (", Plain));
    runs.extend(ink.x("t", Plain));
    runs.extend([ink.word(" − ", Plain), number(ink, frame.sigma, Noise), ink.word("\u{202f}", Plain), ink.sym("ε\u{303}", Guided)]);
    runs.extend([ink.word(") / ", Plain), number(ink, frame.alpha, Signal)]);
    let right = vec![ink.word(format!("step {} of {}", frame.index + 1, frame.count), Quiet)];
    equation(runs, right)
}

fn reverse_film(cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
    let run = &cx.session.reverse;
    let Some(end) = run.end().filter(|_| run.is_current()) else { return Vec::new() };
    let caption = ink.caption(cx, Some(facts(cx)), None);
    let still = |left: Panel, right: HostTensor, now: Row| {
        let predicted = tile(ink, "what the model sees", ink.x0_hat(), Picture::new("x̂0", right, Paint::Rgb), Badge::Prediction);
        Figure::new("Reverse run", vec![Row::of([left, predicted]), now], caption.clone(), ink.inks.clone())
    };
    let mut film: Vec<Figure> = run
        .frames()
        .iter()
        .filter_map(|frame| {
            let noisy = Picture::new("x_t", frame.x_picture.clone()?, Paint::Rgb);
            let left = tile(ink, "noisy latents, decoded", ink.x("t", Symbol::Plain), noisy, Badge::Decoded);
            let level = Level { alpha: frame.alpha, sigma: frame.sigma };
            let now = now_line(ink, frame.timestep, level, &format!("step {} of {}", frame.index + 1, frame.count));
            Some(still(left, frame.x0_picture.clone()?, now))
        })
        .collect();
    if let Some(predicted) = run.frames().last().and_then(|frame| frame.x0_picture.clone()) {
        let finished = Picture::new("x_0", end.picture.clone(), Paint::Rgb);
        let left = tile(ink, "the finished picture", ink.x("0", Symbol::Signal), finished, Badge::Decoded);
        film.push(still(left, predicted, now_line(ink, 0.0, Level::CLEAN, "finished")));
    }
    film
}
