//! The schedule as it is learned: the curve bends, the variance of the loss falls beside that along others, and beside it the two bounds
//! of the variance of a step back, which another network may learn.

use super::Schedules;
use super::chart::{self, Axes, Span, Ticks};
use super::curves::{decade, scrub};
use super::known::{LEARNED, Learnt, Recipe, known, position};
use crate::diffusion::schedule::{MonotoneNetwork, Stretch};
use crate::diffusion::{Level, NoiseSchedule, SCHEDULES, Variance};
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol};
use crate::ui::widgets::controls::text_button;
use crate::ui::widgets::math::{Math, row, sym, word};
use crate::worker::protocol::{BESIDE, LearnRequest, LearnStep, Slot};
use egui::{Rect, Stroke, Ui, vec2};
use egui_plot::{FilledArea, Line, PlotPoints, Points};
use std::f64::consts::LN_10;
use std::sync::Arc;

/// Points of a curve over time.
const POINTS: usize = 160;
/// Decades of the variance up, of the signal-to-noise ratio and of the variance of a step.
pub(super) const VARIANCE: (f64, f64) = (-1.5, 4.0);
pub(super) const SNR: (f64, f64) = (-5.0, 5.0);
pub(super) const STEP_BACK: (f64, f64) = (-6.0, 0.3);

/// The curves that the learned one is measured beside, for the ends that they were made for.
#[derive(Default)]
pub(super) struct State {
    ends: [f64; 2],
    beside: Vec<(usize, Vec<[f64; 2]>)>,
    /// Whether the newest network is not remembered yet.
    unkept: bool,
}

/// Points over the timestep of a log-SNR, as powers of ten.
fn over_time(count: usize, log_snr: impl Fn(f64) -> f64) -> Vec<[f64; 2]> {
    let point = |i: usize| {
        let time = i as f64 / POINTS as f64;
        [time * count as f64 - 1.0, log_snr(time) / LN_10]
    };
    (0..=POINTS).map(point).collect()
}

/// The lower and the upper bound of the variance of a step back from a timestep to the one before it, over the timestep counted from
/// 1: for all of the first ones, where the two part, and for ever fewer of the others. The last step, to clean data, adds nothing.
pub(super) fn step_back(schedule: &NoiseSchedule) -> [Vec<[f64; 2]>; 2] {
    let next = |t: &usize| Some(t + 1 + t / 40).filter(|t| *t < schedule.len());
    let visited = std::iter::successors(Some(1).filter(|t| *t < schedule.len()), next);
    let bounds: Vec<(f64, [f64; 2])> = visited.map(|t| ((t + 1) as f64, step_back_at(schedule, t))).collect();
    [0, 1].map(|of| bounds.iter().map(|(t, both)| [*t, both[of]]).collect())
}

impl Schedules {
    /// What the learned schedule is made of: the network that is being learned, the one that was, or what the model brings.
    pub(super) fn learned_recipe(&self, cx: &LabContext<'_>) -> Recipe {
        let newest = cx.session.learning.newest().filter(|_| self.learning.unkept);
        if let Some(step) = newest {
            return Recipe::Network(Learnt::of(&step.network));
        }
        match (&cx.work.schedules.learned, &cx.session.learned) {
            (Some(learnt), _) => Recipe::Network(learnt.clone()),
            (None, Some(alphas_cumprod)) => Recipe::Given(Arc::clone(alphas_cumprod)),
            (None, None) => Recipe::Nothing,
        }
    }

    /// Remembers the network once its learning has ended, however it ended.
    pub(super) fn keep_learned(&mut self, cx: &mut LabContext<'_>) {
        if cx.session.learning.is_running() {
            self.learning.unkept = true;
        } else if self.learning.unkept {
            self.learning.unkept = false;
            if let Some(step) = cx.session.learning.newest() {
                cx.work.schedules.learned = Some(Learnt::of(&step.network));
            }
        }
    }

    /// Begins to learn.
    pub(super) fn learn(cx: &mut LabContext<'_>) {
        cx.session.learn(LearnRequest { seed: cx.work.seed, losses: LearnRequest::LOSSES });
        cx.work.schedules.focus = known(LEARNED).id.to_owned();
    }

    pub(super) fn learning_bar(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        if cx.session.learning.is_running() {
            if text_button(ui, theme, None, "Stop learning", "Stops here; the curve stays as it is.").clicked() {
                cx.session.cancel(Slot::Learn);
            }
        } else {
            let hint = "Fits the curve to real losses of the open model, from a straight line on.";
            let ready = cx.session.card.is_some();
            let again = if cx.session.learning.newest().is_some() { "Learn again" } else { "Learn a schedule" };
            if ui.add_enabled_ui(ready, |ui| text_button(ui, theme, None, again, hint)).inner.clicked() {
                Self::learn(cx);
            }
        }
        let told = match (cx.session.learning.newest(), cx.session.learning.is_running(), cx.session.progress(Slot::Learn)) {
            (Some(step), running, _) => {
                let ended = if running {
                    ""
                } else if cx.session.learning.is_stopped() {
                    ", stopped"
                } else {
                    ", done"
                };
                format!("{} losses in {:.1} s{ended}", step.losses, step.elapsed_ms / 1e3)
            }
            (None, true, Some((done, total))) => format!("preparing scenes, {done} of {total}"),
            (None, true, None) => "waiting".to_owned(),
            (None, false, _) => String::new(),
        };
        ui.add_space(theme.px(10.0));
        ui.label(egui::RichText::new(told).font(theme.body()).color(theme.palette().dim));
    }

    pub(super) fn learning_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let (gap, between) = (theme.px(18.0), theme.px(6.0));
        let width = ((rect.width() - gap) * 0.5).floor();
        let right = rect.with_min_x(rect.right() - width);
        let height = (rect.height() - between) * 0.5;
        self.bending(cx, ui, rect.with_max_x(rect.left() + width));
        self.variances(cx, ui, right.with_max_y(right.top() + height));
        self.bounds(cx, ui, right.with_min_y(right.bottom() - height));
    }

    /// The learned curve over the timestep, with those that it is measured beside.
    pub(super) fn bending_curves(&mut self, cx: &LabContext<'_>) -> Vec<(usize, Vec<[f64; 2]>)> {
        let count = cx.session.levels.count();
        let learned = match self.learned_recipe(cx) {
            Recipe::Network(learnt) => learnt.network(),
            _ => None,
        };
        let of_network = |network: &MonotoneNetwork| {
            let ready = network.ready();
            over_time(count, |time| -ready.at(time).value)
        };
        let of_schedule = |schedule: &NoiseSchedule| {
            let level = |t: usize| [t as f64, schedule.level(t).log_snr().max(-60.0) / LN_10];
            (0..count).step_by((count / POINTS).max(1)).chain([count - 1]).map(level).collect::<Vec<_>>()
        };
        let ends = learned.as_ref().map_or_else(
            || {
                let levels = [0, count - 1].map(|t| -cx.session.levels.level(t).log_snr());
                [levels[0], levels[1].min(10.0)]
            },
            MonotoneNetwork::ends,
        );
        if self.learning.ends != ends || self.learning.beside.is_empty() {
            let of = |id: &str| {
                let index = position(id)?;
                let stretch = Stretch::new(SCHEDULES[index].continuous(&[], count), ends);
                Some((index, over_time(count, |time| -stretch.at(time).0)))
            };
            self.learning.beside = BESIDE.into_iter().filter_map(of).collect();
            self.learning.ends = ends;
        }
        let mut curves = self.learning.beside.clone();
        match (learned, &self.curves[LEARNED].schedule) {
            (Some(network), _) => curves.push((LEARNED, of_network(&network))),
            (None, Some(schedule)) => curves.push((LEARNED, of_schedule(schedule))),
            (None, None) => {}
        }
        curves
    }

    fn bending(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let axes = Axes {
            name: "Plot of the learned curve",
            title: row([word("SNR ", Symbol::Plain), word("over time, between the same ends", Symbol::Quiet)]),
            hint: "The learned curve beside linear and cosine, stretched between the same ends as they are measured. Where the loss is large it goes slowly, so that every look is worth the same. Drag to set the clock.",
            x: Span { low: 0.0, high: cx.clock.last() + 1.0, every: 250.0, ticks: Ticks::Plain(0) },
            y: Span { low: SNR.0, high: SNR.1, every: 2.0, ticks: Ticks::Decades },
            playhead: Some(cx.clock.position()),
            still: false,
        };
        let curves = self.bending_curves(cx);
        let now = self.curves[LEARNED].level(cx.clock.timestep()).map(|level| decade(level.snr()));
        let dot = now.map(|y| [cx.clock.position(), y]);
        let (plot, rect) = chart::show(ui, theme, rect, &axes, move |plot| {
            for (index, points) in curves {
                let width = theme.px(if index == LEARNED { 4.0 } else { 1.8 });
                let line = Line::new(known(index).label, PlotPoints::from(points));
                plot.line(line.stroke(Stroke::new(width, p.schedules[index])).allow_hover(false));
            }
            if let Some(dot) = dot {
                plot.points(Points::new("now", dot).radius(theme.px(4.0)).color(p.schedules[LEARNED]));
            }
        });
        scrub(cx, ui, &plot.response, rect, &|pointer| plot.transform.value_from_position(pointer).x);
    }

    fn variances(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let axes = Axes {
            name: "Plot of the variance of the loss",
            title: word("variance of the loss at one random time", Symbol::Quiet),
            hint: "Measured on real losses of the open model along each schedule, in the same way; bars are standard errors. The mean is the same for all: only how well it is known from few looks differs. That of the learned curve is of its newest 256 losses.",
            x: Span { low: 0.0, high: LearnRequest::LOSSES as f64, every: 512.0, ticks: Ticks::Plain(0) },
            y: Span { low: VARIANCE.0, high: VARIANCE.1, every: 1.0, ticks: Ticks::Decades },
            playhead: None,
            still: true,
        };
        let curves = variance_curves(cx.session.learning.steps());
        let newest = cx.session.learning.newest().map(|step| errors(step)).unwrap_or_default();
        let empty = curves.is_empty();
        let (_, shown) = chart::show(ui, theme, rect, &axes, move |plot| {
            for (index, points) in curves {
                let points: Vec<[f64; 2]> = points.into_iter().map(|[losses, value]| [losses, decade(value)]).collect();
                let width = theme.px(if index == LEARNED { 4.0 } else { 1.8 });
                let line = Line::new(known(index).label, PlotPoints::from(points));
                plot.line(line.stroke(Stroke::new(width, p.schedules[index])).allow_hover(false));
            }
            for (index, [x, value, error]) in newest {
                let ends = [decade(value - error), decade(value + error)];
                let bar = Line::new("standard error", PlotPoints::from(ends.map(|y| [x, y]).to_vec()));
                plot.line(bar.stroke(Stroke::new(theme.px(1.5), p.schedules[index])).allow_hover(false));
                plot.points(Points::new("now", [x, decade(value)]).radius(theme.px(4.0)).color(p.schedules[index]));
            }
        });
        if empty {
            let text = "Press “Learn a schedule”: losses are measured along the curve and along two others.";
            let galley = ui.painter().layout(text.to_owned(), theme.body(), p.dim, shown.width() - theme.px(80.0));
            ui.painter().galley(shown.center() - galley.size() * 0.5 + vec2(theme.px(16.0), 0.0), galley, p.dim);
        }
    }

    /// The title of the plot of the bounds.
    pub(super) fn bounds_title() -> Math {
        row([
            word("variance of a step back: between ", Symbol::Quiet),
            sym("β", Symbol::Plain).tilde(),
            word(" and ", Symbol::Quiet),
            sym("β", Symbol::Plain),
        ])
    }

    fn bounds(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let focus = Self::focus(cx);
        let (low, high) = STEP_BACK;
        let axes = Axes {
            name: "Plot of the bounds of the variance of a step back",
            title: Self::bounds_title(),
            hint: "For the schedule in focus. β is right for data that is pure noise, β̃ for data that is a single point. Improved DDPM (Nichol and Dhariwal 2021) learns where between the two, in the logarithm; the model here does not, so its sampler takes one of them. They part only near the picture, so the timestep is on a logarithmic axis, counted from 1. Drag to set the clock.",
            x: Span { low: 0.0, high: (cx.clock.last() + 1.0).log10(), every: 1.0, ticks: Ticks::Decades },
            y: Span { low, high, every: 2.0, ticks: Ticks::Decades },
            playhead: Some((cx.clock.position() + 1.0).log10()),
            still: false,
        };
        let bounds = self.curves[focus].schedule.as_ref().map(step_back);
        let bounds = bounds.map(|bounds| bounds.map(|bound| bound.into_iter().map(|point| point.map(decade)).collect::<Vec<_>>()));
        let (plot, rect) = chart::show(ui, theme, rect, &axes, move |plot| {
            let Some([small, large]) = bounds else { return };
            let hue = p.schedules[focus];
            let fill = Palette::faint(hue, 0.25);
            let column = |points: &[[f64; 2]], of: usize| points.iter().map(|point| point[of]).collect::<Vec<f64>>();
            let band = FilledArea::new("between", &column(&small, 0), &column(&small, 1), &column(&large, 1));
            plot.add(band.fill_color(fill).allow_hover(false));
            for (points, width) in [(small, 1.5), (large, 3.0)] {
                let line = Line::new("bound", PlotPoints::from(points));
                plot.line(line.stroke(Stroke::new(theme.px(width), hue)).allow_hover(false));
            }
        });
        scrub(cx, ui, &plot.response, rect, &|pointer| 10_f64.powf(plot.transform.value_from_position(pointer).x) - 1.0);
    }
}

/// What was measured along each schedule: losses along the learned one, and the variance.
pub(super) fn variance_curves(steps: &[Arc<LearnStep>]) -> Vec<(usize, Vec<[f64; 2]>)> {
    let mut curves: Vec<(usize, Vec<[f64; 2]>)> = Vec::new();
    // Long learnings are thinned to what a plot can show.
    let every = steps.len().div_ceil(200).max(1);
    let last = steps.len().saturating_sub(1);
    for (_, step) in steps.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last) {
        for (index, [losses, variance, _]) in errors(step) {
            match curves.iter_mut().find(|(other, _)| *other == index) {
                Some((_, points)) => points.push([losses, variance]),
                None => curves.push((index, vec![[losses, variance]])),
            }
        }
    }
    curves
}

/// Of one report, for each schedule: losses along the learned one, the variance and its standard error; the learned one last.
pub(super) fn errors(step: &LearnStep) -> Vec<(usize, [f64; 3])> {
    let beside = step.beside.iter().filter_map(|(id, spread)| Some((position(id)?, spread)));
    beside
        .chain([(LEARNED, &step.learned)])
        .map(|(index, spread)| (index, [step.losses as f64, spread.estimate.variance, spread.error]))
        .collect()
}

/// The lower and the upper bound of the variance of the step back from a timestep.
pub(super) fn step_back_at(schedule: &NoiseSchedule, timestep: usize) -> [f64; 2] {
    let level = |t: usize| if t == 0 { Level::CLEAN } else { schedule.level(t - 1) };
    let timestep = timestep.min(schedule.len() - 1);
    Variance::ALL.map(|variance| variance.between(schedule.level(timestep), level(timestep)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::schedule::learned::{Estimate, Spread};

    #[test]
    fn the_bounds_of_a_step_back_are_those_of_the_paper() {
        let schedule = SCHEDULES[0].build(&[], 1000).expect("linear");
        let [small, large] = step_back(&schedule);
        assert!(small.len() > 100 && small.last().is_some_and(|[t, _]| *t > 950.0), "{}", small.len());
        for ([t, small], [_, large]) in small.into_iter().zip(large) {
            let t = t as usize - 1;
            let alphas = schedule.alphas_cumprod();
            let tilde = (1.0 - alphas[t - 1]) / (1.0 - alphas[t]) * schedule.betas()[t];
            assert!((large / schedule.betas()[t] - 1.0).abs() < 1e-9 && (small / tilde - 1.0).abs() < 1e-9);
            assert!(small <= large);
            assert_eq!(step_back_at(&schedule, t), [small, large]);
        }
        assert_eq!(step_back_at(&schedule, 0)[0], 0.0, "the last step adds nothing");
    }

    #[test]
    fn what_is_reported_becomes_a_curve_for_each_schedule() {
        let spread = |variance| Spread { count: 4, estimate: Estimate { mean: 1.0, variance }, error: 0.5 };
        let step = |losses: usize| {
            Arc::new(LearnStep {
                network: MonotoneNetwork::straight(-5.0, 5.0, 3),
                losses,
                learned: spread(2.0 / losses as f64),
                beside: vec![("linear", spread(9.0)), ("no such schedule", spread(1.0))],
                elapsed_ms: 1.0,
            })
        };
        let steps: Vec<_> = (1..=500).map(step).collect();
        let curves = variance_curves(&steps);
        assert_eq!(curves.len(), 2);
        assert_eq!((curves[0].0, curves[1].0), (0, LEARNED));
        assert!(curves[1].1.len() <= 201 && curves[1].1.last() == Some(&[500.0, 2.0 / 500.0]));
    }
}
