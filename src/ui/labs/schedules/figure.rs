//! The lab as a figure: the plots in view over the same picture in each schedule, or what was sampled along each.

use super::curves::{Curves, Quantity, in_order};
use super::known::{COUNT, LEARNED, known};
use super::{Schedules, View, learning, weights};
use crate::figure::{Axis, Body, Chart, Figure, Paint, Panel, Picture, Rgb, Row, Run, Series};
use crate::ui::export::ink::{Ink, line, rgb};
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol};
use crate::ui::widgets::math::{row, scientific, sym, word};
use crate::worker::protocol::{LearnRequest, RunRequest};
use std::sync::Arc;

/// Timesteps of an animation, evenly from the first to the last.
const FRAMES: usize = 26;
/// Pictures side by side.
const COLUMNS: usize = 4;

impl Schedules {
    pub(super) fn as_figure(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        self.at(cx, ink, cx.clock.timestep())
    }

    pub(super) fn as_film(&mut self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        let sampling = cx.work.schedules.view == View::Sampling;
        if sampling && cx.session.crossing.map().is_none() {
            return Vec::new();
        }
        let last = cx.session.levels.count().saturating_sub(1);
        let frame = |i: usize| if sampling { FRAMES - 1 - i } else { i };
        (0..FRAMES).map(frame).filter_map(|i| self.at(cx, ink, i * last / (FRAMES - 1))).collect()
    }

    fn at(&mut self, cx: &LabContext<'_>, ink: &Ink, timestep: usize) -> Option<Figure> {
        let focus = Self::focus(cx);
        let plots: Vec<Panel> = match cx.work.schedules.view {
            View::Curves => Quantity::ALL.into_iter().map(|quantity| self.plot_panel(cx, ink, quantity, focus, timestep)).collect(),
            View::Weights => weights::Quantity::ALL.into_iter().map(|quantity| self.weight_panel(cx, ink, quantity)).collect(),
            View::Learning => self.learning_panels(cx, ink, focus, timestep),
            View::Sampling => return self.samples_at(cx, ink, timestep),
        };
        let pictures = self.noisy(cx, ink, focus, timestep)?;
        let rows: Vec<Row> = plots.chunks(2).chain(pictures.chunks(COLUMNS)).map(|panels| Row::of(panels.to_vec())).collect();
        Some(Figure::new("Schedules", rows, self.told(cx, ink, None, timestep), ink.inks.clone()))
    }

    /// The name of a schedule with its colour.
    fn name_of(ink: &Ink, index: usize, strong: bool) -> Vec<Run> {
        let hue = rgb(ink.palette.schedules[index]);
        let name = Run::plain(known(index).label, if strong { ink.inks.text } else { ink.inks.dim });
        line([Run::plain("—\u{a0}", hue).weight(600), name.weight(if strong { 600 } else { 500 })])
    }

    /// The same picture under the same noise in each schedule.
    fn noisy(&mut self, cx: &LabContext<'_>, ink: &Ink, focus: usize, timestep: usize) -> Option<Vec<Panel>> {
        let picture = cx.session.picture.clone()?;
        let x0 = self.signed.of(&picture.pixels);
        let eps = self.noise.of(cx.work.seed, x0.shape());
        let panel = |(index, curves): (usize, &Curves)| {
            let level = curves.level(timestep)?;
            let label = known(index).label;
            let noisy = Picture::new(format!("x_t, {label}"), level.add_noise(&x0, &eps), Paint::Signed);
            let mut foot = ink.math(&sym("α", Symbol::Quiet).bar());
            foot.extend([
                ink.number(format!(" {:.4}", level.alpha_bar()), Symbol::Plain),
                ink.word(format!("\u{2003}SNR {}", scientific(level.snr())), Symbol::Quiet),
            ]);
            Some(Panel::new(label, Body::Picture(noisy)).heading(Self::name_of(ink, index, index == focus)).foot(foot))
        };
        Some(self.curves.iter().enumerate().filter_map(panel).collect())
    }

    /// What the model makes along the levels of each schedule.
    fn samples_at(&self, cx: &LabContext<'_>, ink: &Ink, timestep: usize) -> Option<Figure> {
        let position = timestep as f64;
        let panel = |index: usize| {
            let lane = self.lane_of(cx, index)?;
            let picture = Picture::new(format!("sampled, {}", known(index).label), lane.picture(position)?.clone(), Paint::Rgb);
            let off = self.off(cx, index, position).filter(|off| off.is_finite());
            let foot = off.map(|off| vec![ink.word(format!("off {off:.3}"), Symbol::Quiet)]).unwrap_or_default();
            Some(Panel::new(known(index).label, Body::Picture(picture)).heading(Self::name_of(ink, index, true)).foot(foot))
        };
        let panels: Vec<Panel> = (0..COUNT).filter_map(panel).collect();
        if panels.is_empty() {
            return None;
        }
        let rows = panels.chunks(COLUMNS).map(|panels| Row::of(panels.to_vec())).collect();
        let own = &cx.work.schedules;
        let run = RunRequest { sampler: own.sampler.clone(), steps: own.steps, ..Self::sampling_run(cx) };
        Some(Figure::new("Sampling with other schedules", rows, self.told(cx, ink, Some(&run), timestep), ink.inks.clone()))
    }

    /// The caption, with the parameters of the schedule in focus, or with the run.
    fn told(&self, cx: &LabContext<'_>, ink: &Ink, run: Option<&RunRequest>, timestep: usize) -> Vec<String> {
        let mut caption = ink.caption(cx, run, None);
        let focus = Self::focus(cx);
        let info = known(focus);
        let params = info.params.iter().zip(self.curves[focus].params());
        let mut params: Vec<String> = params.map(|(param, value)| format!("{} {value}", param.label.to_lowercase())).collect();
        if cx.work.schedules.zero_terminal.contains(info.id) {
            params.push("zero terminal SNR".to_owned());
        }
        if let Some(last) = caption.last_mut() {
            if run.is_some() {
                let told =
                    if cx.work.schedules.mistaken { "the other schedule's timesteps" } else { "its own timesteps of the same noise" };
                *last = format!("{last}, t = {timestep}; the model is told {told}");
            } else {
                let with = if params.is_empty() { String::new() } else { format!(" ({})", params.join(", ")) };
                let model = cx.session.card.as_ref().map_or_else(String::new, |card| format!("{}, ", card.name));
                *last = format!("{model}seed {}, t = {timestep}, in focus {}{with}", cx.work.seed, info.label.to_lowercase());
            }
        }
        caption
    }

    fn over_time(cx: &LabContext<'_>, ink: &Ink) -> Axis {
        let last = cx.session.levels.count().saturating_sub(1) as f64;
        Axis { label: vec![ink.word("timestep ", Symbol::Quiet), Run::symbol("t", ink.inks.dim)], range: (0.0, last), log: false }
    }

    fn plot_panel(&self, cx: &LabContext<'_>, ink: &Ink, quantity: Quantity, focus: usize, timestep: usize) -> Panel {
        let mut series = Vec::new();
        let mut dots = Vec::new();
        for index in in_order(focus).filter(|index| self.curves[*index].schedule.is_some()) {
            let curves = &self.curves[index];
            let strong = index == focus;
            let hue = rgb(ink.palette.schedules[index]);
            for (name, color, value) in parts(quantity, ink, index, strong) {
                let name = format!("{}{name}", known(index).label);
                let points = points(curves, value);
                series.push(Series { name, color, width: if strong { 3.0 } else { 1.6 }, opacity: 1.0, points });
                if quantity != Quantity::Roots && curves.schedule.as_ref().is_some_and(|s| timestep < s.len()) {
                    dots.push((timestep as f64, value(curves, timestep), hue));
                }
            }
        }
        let range = decades(quantity.bounds(), quantity.is_log());
        let y = Axis { label: Vec::new(), range, log: quantity.is_log() };
        let x = Self::over_time(cx, ink);
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

    fn weight_panel(&self, cx: &LabContext<'_>, ink: &Ink, quantity: weights::Quantity) -> Panel {
        let focus = Self::focus(cx);
        let curves = self.weights(cx, quantity);
        let y = match quantity {
            weights::Quantity::Density => Axis { label: Vec::new(), range: (0.0, Self::most_dense(&curves)), log: false },
            weights::Quantity::Weight => Axis { label: Vec::new(), range: decades(weights::UP, true), log: true },
        };
        let (data, noise) = weights::ACROSS;
        let x = Axis { label: vec![ink.word("signal-to-noise ratio", Symbol::Quiet)], range: decades((noise, data), true), log: true };
        let there = in_order(focus).filter(|index| !curves[*index].is_empty());
        let series = there.map(|index| stroke(ink, index, index == focus, curves[index].iter().copied().collect())).collect();
        let chart = Chart { x, y, series, playhead: None, dots: Vec::new(), legend: false, aspect: 0.6 };
        Panel::new(quantity.name(), Body::Chart(chart)).heading(ink.math(&Self::weight_title(cx, quantity)))
    }

    fn learning_panels(&mut self, cx: &LabContext<'_>, ink: &Ink, focus: usize, timestep: usize) -> Vec<Panel> {
        let power = |points: Vec<[f64; 2]>| points.into_iter().map(|[t, decade]| [t, 10_f64.powf(decade)]).collect();
        let series = self.bending_curves(cx).into_iter().map(|(index, points)| stroke(ink, index, index == LEARNED, power(points)));
        let up = |range| Axis { label: Vec::new(), range: decades(range, true), log: true };
        let plain = |x, y, series| Chart { x, y, series, playhead: None, dots: Vec::new(), legend: false, aspect: 0.6 };
        let now = Some(timestep as f64);
        let bending = Chart { playhead: now, ..plain(Self::over_time(cx, ink), up(learning::SNR), series.collect()) };
        let losses =
            Axis { label: vec![ink.word("losses measured", Symbol::Quiet)], range: (0.0, LearnRequest::LOSSES as f64), log: false };
        let measured = learning::variance_curves(cx.session.learning.steps()).into_iter();
        let measured = measured.map(|(index, points)| stroke(ink, index, index == LEARNED, points.into())).collect();
        let bounds = self.curves[focus].schedule.as_ref().map(learning::step_back);
        let bounds = bounds.into_iter().flatten().map(|points| stroke(ink, focus, true, points.into())).collect();
        let over = Axis { range: (1.0, cx.session.levels.count() as f64), log: true, ..Self::over_time(cx, ink) };
        let bounds = Chart { playhead: now.map(|t| t + 1.0), ..plain(over, up(learning::STEP_BACK), bounds) };
        vec![
            Panel::new("SNR over time", Body::Chart(bending)).heading(ink.titled(&word("SNR", Symbol::Plain), "between the same ends")),
            Panel::new("variance of the loss", Body::Chart(plain(losses, up(learning::VARIANCE), measured)))
                .heading(vec![ink.word("variance of the loss at one random time, measured", Symbol::Quiet)]),
            Panel::new("variance of a step back", Body::Chart(bounds)).heading(ink.math(&Self::bounds_title())),
        ]
    }
}

fn decades((low, high): (f64, f64), log: bool) -> (f64, f64) {
    if log { (10_f64.powf(low), 10_f64.powf(high)) } else { (low, high) }
}

/// A curve of a schedule.
fn stroke(ink: &Ink, index: usize, strong: bool, points: Arc<[[f64; 2]]>) -> Series {
    let (color, width) = (rgb(ink.palette.schedules[index]), if strong { 3.0 } else { 1.6 });
    Series { name: known(index).label.to_owned(), color, width, opacity: 1.0, points }
}

type Value = fn(&Curves, usize) -> f64;

/// The curves that a schedule has in a plot: what is added to its name, the colour, the value.
fn parts(quantity: Quantity, ink: &Ink, index: usize, strong: bool) -> Vec<(&'static str, Rgb, Value)> {
    let faint = rgb(Palette::mix(ink.palette.panel, ink.palette.schedules[index], 0.45));
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
