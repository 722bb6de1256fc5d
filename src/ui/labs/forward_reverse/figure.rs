//! The lab as a figure: the two pictures of this moment, what the noisy one is made of, and the equation with its numbers.

use super::bridge::{DARKEST, Difference};
use super::{ForwardReverse, Process, Space};
use crate::diffusion::Level;
use crate::figure::{Body, Figure, Line, Paint, Panel, Picture, Row, Run};
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::export::ink::Ink;
use crate::ui::labs::LabContext;
use crate::ui::session::Run as Asked;
use crate::ui::theme::Symbol;
use crate::ui::widgets::channels::Grid;
use crate::ui::widgets::math::{Math, num, op, row, sym, word};
use crate::ui::widgets::textures::Scale;
use crate::ui::widgets::tile::Badge;
use crate::worker::protocol::{Frame, RunRequest};

const LATENT_RANGE: f32 = 4.0;
/// Small pictures below the two large ones.
const THUMBS: usize = 7;

fn x_t() -> Math {
    sym("x", Symbol::Plain).with_index("t")
}

fn x_0() -> Math {
    sym("x", Symbol::Signal).with_index("0")
}

fn x0_hat() -> Math {
    sym("x", Symbol::Signal).hat().with_index("0")
}

fn signal_root() -> Math {
    sym("α", Symbol::Signal).bar().with_index("t").sqrt()
}

fn noise_root() -> Math {
    row([word("1", Symbol::Noise), word(" − ", Symbol::Noise), sym("α", Symbol::Noise).bar().with_index("t")]).sqrt()
}

/// A panel with a picture: its symbol, a word about it, its badge.
fn tile(ink: &Ink, label: &str, symbol: &Math, picture: Picture, badge: Badge) -> Panel {
    Panel::new(label, Body::Picture(picture)).heading(ink.titled(symbol, label)).remark(badge.label())
}

impl ForwardReverse {
    pub(super) fn as_figure(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        match cx.clock.direction {
            Direction::Forward if Self::bridge_is_open(cx) => self.bridge_figure(cx, ink),
            Direction::Forward => self.forward_figure(cx, ink),
            Direction::Reverse => self.reverse_figure(cx, ink),
        }
    }

    /// Forward the picture dissolves, along the timesteps at which the model has looked; reverse it is the run, step by step.
    pub(super) fn as_film(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        match cx.clock.direction {
            Direction::Forward if Self::bridge_is_open(cx) => reverse_film(&cx.session.bridge, cx, ink),
            Direction::Forward => self.forward_film(cx, ink),
            Direction::Reverse => reverse_film(self.shown_run(cx.session), cx, ink),
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
            Some(Panel { label: "what the model sees".into(), ..tile(ink, &label, &x0_hat(), picture, Badge::Prediction) })
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
            large.push(tile(ink, "the noisy picture", &x_t(), noisy, Badge::ExactPixels));
            large.extend(predicted);
            rows.push(Row::of(large));
            let (keep, add) = beta.map_or((level.alpha, level.sigma), |beta| ((1.0 - beta).sqrt(), beta.sqrt()));
            let before = if chain { sym("x", Symbol::Signal).with_index("t−1") } else { x_0() };
            let small = |name: &str, tensor: &HostTensor, foot: Vec<Run>| {
                Panel::new(name, Body::Picture(Picture::new(name, tensor.clone(), Paint::Signed))).foot(foot)
            };
            let times = |value, symbol, of: Math| ink.math(&row([num(value, 1, 3, symbol), word("·", symbol), of]));
            let mut sum = vec![
                small("the signal part", &parts.signal, times(keep, Symbol::Signal, before)),
                small("the noise part", &parts.noise, times(add, Symbol::Noise, sym("ε", Symbol::Noise))),
                small("their sum", &parts.x, ink.math(&x_t())),
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
                large.push(tile(ink, "noisy latents", &x_t(), picture, Badge::Decoded));
            }
            large.extend(predicted);
            rows.push(Row::of(large));
            rows.extend(grids(cx, ink, latents.as_ref(), look.as_ref().map(|look| &look.x0)));
        }
        rows.push(forward_equation(cx, ink, level, chain, timestep));
        Some(Figure::new("Forward", rows, ink.caption(cx, None, Some(timestep as f64)), ink.inks.clone()))
    }

    fn reverse_figure(&self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        let run = self.shown_run(cx.session);
        let frame = run.at(cx.clock.position())?.clone();
        let finished = run.end().filter(|_| cx.clock.position() < 0.5);
        let (shown, latents) = match finished {
            Some(end) => (end.picture.clone(), &end.latents),
            None => (frame.x_picture.clone()?, &frame.x),
        };
        let (symbol, text) = if finished.is_some() { (x_0(), "the finished picture") } else { (x_t(), "noisy latents") };
        let mut large = vec![tile(ink, text, &symbol, Picture::new("x_t", shown, Paint::Rgb), Badge::Decoded)];
        if let Some(predicted) = frame.x0_picture.clone() {
            let predicted = Picture::new("x̂0", predicted, Paint::Rgb);
            large.push(tile(ink, "what the model sees", &x0_hat(), predicted, Badge::Prediction));
        }
        let mut rows = vec![Row::of(large)];
        if cx.work.forward_reverse.space == Space::Latents {
            rows.extend(grids(cx, ink, Some(latents), Some(&frame.x0)));
        } else {
            rows.extend(strip(run.frames(), ink));
        }
        rows.push(reverse_equation(ink, &frame));
        let timestep = if finished.is_some() { 0.0 } else { frame.timestep };
        let figure = Figure::new("Reverse", rows, ink.caption(cx, run.request(), Some(timestep)), ink.inks.clone());
        // A branch ends with the window, so no file brings it back.
        Some(Figure { repeatable: self.tree.shown_branch().is_none(), ..figure })
    }

    /// The original, noised and restored, and how the restoration differs.
    fn bridge_figure(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        let picture = cx.session.picture.clone()?;
        let timestep = cx.clock.timestep();
        let (noisy, _) = self.noisy_decoded(cx, timestep);
        let (Some(restored), Some(badge), Some(from)) = self.restored(cx) else { return None };
        let difference = Difference::of(&picture.pixels, &restored)?;
        let tilde = sym("x", Symbol::Signal).tilde().with_index("0");
        let shown = |name: &str, tensor: &HostTensor| Picture::new(name, tensor.clone(), Paint::Rgb);
        let above = [
            tile(ink, "the original", &x_0(), shown("the original", &picture.pixels), Badge::Original),
            tile(ink, "noised", &x_t(), shown("x_t", &noisy?), Badge::Decoded),
            tile(ink, "restored", &tilde, shown("restored", &restored), badge),
        ];
        let map = Picture::new("restored less original", difference.map.clone(), ink.heat(0, DARKEST, Scale::Linear));
        let map = Panel::new("restored less original", Body::Picture(map)).heading(ink.math(&row([tilde, op("−"), x_0()])));
        let entry = |name: &str, value: String| Line {
            left: vec![ink.word(name, Symbol::Quiet)],
            right: vec![ink.number(value, Symbol::Plain)],
            size: 15.5,
        };
        let level = cx.session.levels.level(from);
        let lines = vec![
            entry("restored from timestep", from.to_string()),
            entry("signal in the variance there", format!("{:.0} %", 100.0 * level.alpha_bar())),
            entry("restored against the original", format!("{:.1} dB", difference.psnr_db)),
            entry("the autoencoder alone, without any noise", format!("{:.1} dB", picture.reconstruction_psnr_db)),
            entry("pixels that differ by more than a tenth", format!("{:.0} %", 100.0 * difference.changed)),
        ];
        let beside = vec![Panel::new("numbers", Body::Lines(lines)), Panel::new("scale", ink.scale(DARKEST, Scale::Linear))];
        let rows = vec![Row::of(above), Row::of([map, Panel::new("beside", Body::Stack(beside)).share(2.0)])];
        let caption = ink.caption(cx, cx.session.bridge.request(), Some(timestep as f64));
        Some(Figure::new("Bridge", rows, caption, ink.inks.clone()))
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
                    tile(ink, "the noisy picture", &x_t(), noisy, Badge::ExactPixels)
                }
                Space::Latents => {
                    let decoded = Picture::new("x_t", frame.x_picture.clone()?, Paint::Rgb);
                    tile(ink, "noisy latents", &x_t(), decoded, Badge::Decoded)
                }
            };
            let predicted = Picture::new("x̂0", frame.x0_picture.clone()?, Paint::Rgb);
            let right = tile(ink, "what the model sees", &x0_hat(), predicted, Badge::Prediction);
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
    let grid = |name: &str, tensor: &HostTensor, symbol: &Math| {
        let name = format!("latents of {name}");
        let body = ink.channels(&name, tensor, columns, LATENT_RANGE, Scale::Linear);
        Panel::new(name, body).heading(ink.titled(symbol, "latents"))
    };
    let (Some(left), Some(right)) = (left, right) else { return Vec::new() };
    let panels = [grid("x_t", left, &x_t()), grid("x̂0", right, &x0_hat())];
    vec![Row::of(panels), Row::of([Panel::new("scale", ink.scale(LATENT_RANGE, Scale::Linear))])]
}

fn equation(runs: Vec<Run>, right: Vec<Run>) -> Row {
    Row::of([Panel::new("equation", Body::Lines(vec![Line { left: runs, right, size: 19.0 }]))])
}

fn forward_equation(cx: &LabContext<'_>, ink: &Ink, level: Level, chain: bool, timestep: usize) -> Row {
    use Symbol::{Noise, Plain, Signal};
    let math = if chain {
        let beta = cx.session.levels.beta(timestep);
        let before = || sym(" x", Plain).with_index("t−1");
        let beta_t = || sym("β", Noise).with_index("t");
        let eps = || sym(" ε", Noise).with_index("t");
        let keep = row([word("1 − ", Plain), beta_t()]).sqrt();
        let live = [num((1.0 - beta).sqrt(), 1, 4, Plain), before(), op("+"), num(beta.sqrt(), 1, 4, Noise), eps()];
        row([x_t(), op("="), keep, before(), op("+"), beta_t().sqrt(), eps(), op("="), row(live)])
    } else {
        let clean = || sym(" x", Signal).with_index("0");
        let eps = || sym(" ε", Noise);
        let live = [num(level.alpha, 1, 3, Signal), clean(), op("+"), num(level.sigma, 1, 3, Noise), eps()];
        row([x_t(), op("="), signal_root(), clean(), op("+"), noise_root(), eps(), op("="), row(live)])
    };
    let right = ink.math(&row([sym("α", Signal).bar().with_index("t"), op("="), num(level.alpha_bar(), 1, 4, Signal)]));
    equation(ink.math(&math), right)
}

/// Where a frame of an animation stands.
fn now_line(ink: &Ink, timestep: f64, level: Level, step: &str) -> Row {
    let mut left = ink.math(&row([sym("t", Symbol::Plain), op("="), num(timestep, 1, 0, Symbol::Plain)]));
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

/// Steps of the run as small pictures.
fn strip(frames: &[std::sync::Arc<Frame>], ink: &Ink) -> Option<Row> {
    let count = frames.len().min(THUMBS);
    if count < 2 {
        return None;
    }
    let panels = (0..count).map(|i| &frames[(i * (frames.len() - 1) + (count - 1) / 2) / (count - 1)]).filter_map(|frame| {
        let label = format!("step at t = {:.0}", frame.timestep);
        let picture = Picture::new(label.clone(), frame.x_picture.clone()?, Paint::Rgb);
        let foot = ink.math(&row([sym("t", Symbol::Quiet), op("="), num(frame.timestep, 1, 0, Symbol::Quiet)]));
        Some(Panel::new(label, Body::Picture(picture)).foot(foot))
    });
    Some(Row::of(panels.collect::<Vec<_>>()))
}

fn reverse_equation(ink: &Ink, frame: &Frame) -> Row {
    use Symbol::{Guided, Noise, Quiet, Signal};
    let eps = || sym(" ε", Guided).tilde();
    let formula = row([x_t(), op("−"), noise_root(), eps()]).over(signal_root());
    let live = row([x_t(), op("−"), num(frame.sigma, 1, 3, Noise), eps()]).over(num(frame.alpha, 1, 3, Signal));
    let runs = ink.math(&row([x0_hat(), op("="), formula, op("="), live]));
    equation(runs, vec![ink.word(format!("step {} of {}", frame.index + 1, frame.count), Quiet)])
}

fn reverse_film(run: &Asked<RunRequest>, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
    let Some(end) = run.end() else { return Vec::new() };
    let caption = ink.caption(cx, run.request(), None);
    let still = |left: Panel, right: HostTensor, now: Row| {
        let predicted = tile(ink, "what the model sees", &x0_hat(), Picture::new("x̂0", right, Paint::Rgb), Badge::Prediction);
        Figure::new("Reverse run", vec![Row::of([left, predicted]), now], caption.clone(), ink.inks.clone())
    };
    let mut film: Vec<Figure> = run
        .frames()
        .iter()
        .filter_map(|frame| {
            let noisy = Picture::new("x_t", frame.x_picture.clone()?, Paint::Rgb);
            let left = tile(ink, "noisy latents", &x_t(), noisy, Badge::Decoded);
            let level = Level { alpha: frame.alpha, sigma: frame.sigma };
            let now = now_line(ink, frame.timestep, level, &format!("step {} of {}", frame.index + 1, frame.count));
            Some(still(left, frame.x0_picture.clone()?, now))
        })
        .collect();
    if let Some(predicted) = run.frames().last().and_then(|frame| frame.x0_picture.clone()) {
        let finished = Picture::new("x_0", end.picture.clone(), Paint::Rgb);
        let left = tile(ink, "the finished picture", &x_0(), finished, Badge::Decoded);
        film.push(still(left, predicted, now_line(ink, 0.0, Level::CLEAN, "finished")));
    }
    film
}
