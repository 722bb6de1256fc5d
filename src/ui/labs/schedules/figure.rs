//! The lab as a figure: the four plots over the same picture in each schedule.

use super::{Curves, Quantity, Schedules};
use crate::diffusion::SCHEDULES;
use crate::figure::{Axis, Body, Chart, Figure, Paint, Panel, Picture, Rgb, Row, Run, Series};
use crate::ui::export::ink::{Ink, line, rgb};
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol};
use crate::ui::widgets::math::{row, scientific, sym, word};
use std::sync::Arc;

/// Timesteps of an animation, evenly from the first to the last.
const FRAMES: usize = 26;

impl Schedules {
    pub(super) fn as_figure(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        self.at(cx, ink, cx.clock.timestep())
    }

    pub(super) fn as_film(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        let last = cx.session.levels.count().saturating_sub(1);
        (0..FRAMES).filter_map(|i| self.at(cx, ink, i * last / (FRAMES - 1))).collect()
    }

    fn at(&mut self, cx: &LabContext<'_>, ink: &Ink, timestep: usize) -> Option<Figure> {
        let picture = cx.session.picture.clone()?;
        let focus = SCHEDULES.iter().position(|s| s.id == cx.work.schedules.focus).unwrap_or(0);
        let plots: Vec<Panel> = Quantity::ALL.into_iter().map(|quantity| self.plot_panel(cx, ink, quantity, focus, timestep)).collect();
        let (above, below) = plots.split_at(2);
        let x0 = self.signed.of(&picture.pixels);
        let eps = self.noise.of(cx.work.seed, x0.shape());
        let pictures = self.curves.iter().enumerate().filter_map(|(index, curves)| {
            let level = curves.level(timestep)?;
            let label = SCHEDULES[index].label;
            let noisy = Picture::new(format!("x_t, {label}"), level.add_noise(&x0, &eps), Paint::Signed);
            let hue = rgb(ink.palette.schedules[index]);
            let name =
                Run::plain(label, if index == focus { ink.inks.text } else { ink.inks.dim }).weight(if index == focus { 600 } else { 500 });
            let mut foot = ink.math(&sym("α", Symbol::Quiet).bar());
            foot.extend([
                ink.number(format!(" {:.4}", level.alpha_bar()), Symbol::Plain),
                ink.word(format!("\u{2003}SNR {}", scientific(level.snr())), Symbol::Quiet),
            ]);
            let heading = line([Run::plain("—\u{a0}", hue).weight(600), name]);
            Some(Panel::new(label, Body::Picture(noisy)).heading(heading).foot(foot))
        });
        let rows = vec![Row::of(above), Row::of(below), Row::of(pictures.collect::<Vec<_>>())];
        Some(Figure::new("Schedules", rows, self.told(cx, ink, focus, timestep), ink.inks.clone()))
    }

    /// The caption, with the parameters of the schedule in focus.
    fn told(&self, cx: &LabContext<'_>, ink: &Ink, focus: usize, timestep: usize) -> Vec<String> {
        let mut caption = ink.caption(cx, None, None);
        let info = &SCHEDULES[focus];
        let params =
            info.params.iter().zip(&self.curves[focus].params).map(|(param, value)| format!("{} {value}", param.label.to_lowercase()));
        let params: Vec<String> = params.collect();
        if let Some(last) = caption.last_mut() {
            let with = if params.is_empty() { String::new() } else { format!(" ({})", params.join(", ")) };
            let model = cx.session.card.as_ref().map_or_else(String::new, |card| format!("{}, ", card.name));
            *last = format!("{model}seed {}, t = {timestep}, in focus {}{with}", cx.work.seed, info.label.to_lowercase());
        }
        caption
    }

    fn plot_panel(&self, cx: &LabContext<'_>, ink: &Ink, quantity: Quantity, focus: usize, timestep: usize) -> Panel {
        let mut series = Vec::new();
        let mut dots = Vec::new();
        for index in (0..self.curves.len()).filter(|i| *i != focus).chain([focus]) {
            let curves = &self.curves[index];
            let strong = index == focus;
            let hue = rgb(ink.palette.schedules[index]);
            for (name, color, value) in parts(quantity, ink, index, strong) {
                let name = format!("{}{name}", SCHEDULES[index].label);
                let points = points(curves, value);
                series.push(Series { name, color, width: if strong { 3.0 } else { 1.6 }, opacity: 1.0, points });
                if quantity != Quantity::Roots && curves.schedule.as_ref().is_some_and(|s| timestep < s.len()) {
                    dots.push((timestep as f64, value(curves, timestep), hue));
                }
            }
        }
        let (low, high) = quantity.bounds();
        let range = if quantity.is_log() { (10_f64.powf(low), 10_f64.powf(high)) } else { (low, high) };
        let last = cx.session.levels.count().saturating_sub(1) as f64;
        let x = Axis { label: vec![ink.word("timestep ", Symbol::Quiet), Run::symbol("t", ink.inks.dim)], range: (0.0, last), log: false };
        let y = Axis { label: Vec::new(), range, log: quantity.is_log() };
        let chart = Chart { x, y, series, playhead: Some(timestep as f64), dots, legend: false, aspect: 0.6 };
        let alpha = |symbol| sym("α", symbol).bar();
        let (symbol, text) = match quantity {
            Quantity::AlphaBar => (alpha(Symbol::Plain), "share of the picture in the variance"),
            Quantity::Roots => {
                let noise = row([word("1 − ", Symbol::Noise), alpha(Symbol::Noise)]).sqrt();
                (row([alpha(Symbol::Signal).sqrt(), word("\u{2007}", Symbol::Plain), noise]), "times picture, times noise")
            }
            Quantity::Snr => (word("SNR", Symbol::Plain), "signal to noise"),
            Quantity::Beta => (sym("β", Symbol::Plain), "variance added at each step"),
        };
        let heading = ink.titled(&symbol, text);
        Panel::new(quantity.name(), Body::Chart(chart)).heading(heading)
    }
}

type Value = fn(&Curves, usize) -> f64;

/// The curves that a schedule has in a plot: what is added to its name, the colour, the value.
fn parts(quantity: Quantity, ink: &Ink, index: usize, strong: bool) -> Vec<(&'static str, Rgb, Value)> {
    let faint = rgb(Palette::mix(ink.palette.panel, ink.palette.schedules[index], 0.55));
    let hue = rgb(ink.palette.schedules[index]);
    let two = |symbol| if strong { rgb(ink.palette.symbol(symbol)) } else { faint };
    match quantity {
        Quantity::AlphaBar => vec![("", hue, |c, t| c.level(t).map_or(f64::NAN, |l| l.alpha_bar()))],
        Quantity::Roots => vec![
            (", signal", two(Symbol::Signal), |c, t| c.level(t).map_or(f64::NAN, |l| l.alpha)),
            (", noise", two(Symbol::Noise), |c, t| c.level(t).map_or(f64::NAN, |l| l.sigma)),
        ],
        Quantity::Snr => vec![("", hue, |c, t| c.level(t).map_or(f64::NAN, |l| l.snr()))],
        Quantity::Beta => vec![("", hue, |c, t| c.beta_at(t).unwrap_or(f64::NAN))],
    }
}

fn points(curves: &Curves, value: Value) -> Arc<[[f64; 2]]> {
    let count = curves.schedule.as_ref().map_or(0, |s| s.len());
    (0..count).map(|t| [t as f64, value(curves, t)]).collect()
}
