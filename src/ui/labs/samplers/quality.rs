//! What the samplers of the lanes are worth: how often the picture is right and how long it takes, over the number of evaluations.
//! Measured in the background on the same noises for all, kept on the disk.

use super::lanes::seconds;
use super::{Samplers, View};
use crate::diffusion::SamplerInfo;
use crate::ui::labs::rest::Resting;
use crate::ui::labs::{LabContext, measuring};
use crate::ui::theme::{Palette, Theme, Weight};
use crate::ui::widgets::log_plot::LogPlot;
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile::{self, HEADER};
use crate::worker::protocol::{Estimate, Ruler, RunRequest, Slot, SweepPoint, SweepRequest};
use egui::{Align2, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2};
use std::sync::Arc;

/// Evaluations at which every sampler is measured.
pub const BUDGETS: [usize; 6] = [3, 5, 9, 15, 25, 41];
/// Samples of each after each round.
const ROUNDS: [usize; 3] = [4, 8, 16];
/// Seconds for which what it depends on may not have changed.
const REST_SECS: f64 = 0.6;
/// Pictures shown of a point.
const PICTURES: usize = 8;

/// What is wanted, and since when; the point that is looked at.
#[derive(Default)]
pub struct State {
    wanted: Resting<SweepRequest>,
    chosen: Option<(usize, usize)>,
}

/// What is plotted over the evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Adherence,
    Latency,
}

/// What was found, for every sampler at every budget in turn.
type Found = [Option<Arc<SweepPoint>>];

/// A point of a plot that can be pointed at.
struct Grip {
    index: usize,
    budget: usize,
    info: &'static SamplerInfo,
    estimate: Estimate,
    /// Pictures behind it.
    count: usize,
    at: Pos2,
}

/// The steps that a sampler takes within one of the budgets.
fn steps_at(info: &SamplerInfo, budget: usize) -> usize {
    info.steps_within(BUDGETS[budget]).max(1)
}

impl Samplers {
    /// The samplers that are measured: those of the lanes, each once, with the first lane that has it.
    fn measured(cx: &LabContext<'_>) -> Vec<(usize, &'static SamplerInfo)> {
        let mut found: Vec<(usize, &'static SamplerInfo)> = Vec::new();
        for (index, lane) in cx.work.samplers.lanes.iter().enumerate() {
            if let Some(info) = SamplerInfo::find(&lane.sampler)
                && !found.iter().any(|(_, other)| *other == info)
            {
                found.push((index, info));
            }
        }
        found
    }

    fn quality_request(cx: &LabContext<'_>) -> SweepRequest {
        let run = RunRequest { seed: 0, ..Self::run(cx) };
        let of = |info: &'static SamplerInfo| {
            let run = &run;
            (0..BUDGETS.len()).map(move |b| RunRequest { sampler: info.id.to_owned(), steps: steps_at(info, b), ..run.clone() })
        };
        SweepRequest { runs: Self::measured(cx).into_iter().flat_map(|(_, info)| of(info)).collect(), rounds: ROUNDS.to_vec() }
    }

    /// Asks for the measurements while they are in view and what they depend on is at rest.
    pub(super) fn ask_quality(&mut self, cx: &mut LabContext<'_>) {
        if cx.session.card.is_none() || cx.work.samplers.view != View::Quality {
            return;
        }
        let wanted = Self::quality_request(cx);
        match self.quality.wanted.observe(&wanted, cx.now_secs) {
            None => self.quality.chosen = None,
            Some(secs) if secs > REST_SECS && !self.held => cx.session.ask_sweep(Slot::Ladder, wanted),
            Some(_) => {}
        }
    }

    pub(super) fn quality_is_settled(&self, cx: &LabContext<'_>) -> bool {
        let ladder = &cx.session.ladder;
        cx.work.samplers.view != View::Quality
            || ladder.is_stopped()
            || (ladder.asked() == Some(&Self::quality_request(cx)) && !ladder.is_running())
    }

    pub(super) fn quality_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let header = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(HEADER)));
        state_line(cx, ui, header);
        let body = rect.with_min_y(header.bottom());
        let gap = theme.px(20.0);
        let pictures = (body.height() - theme.px(24.0)).min(body.width() * 0.34);
        let plots = body.with_max_x(body.right() - pictures - gap);
        let width = ((plots.width() - gap) * 0.5).floor();
        let found = Self::found(cx);
        let mut pointed = None;
        for (i, quantity) in [Quantity::Adherence, Quantity::Latency].into_iter().enumerate() {
            let place = Rect::from_min_size(plots.min + vec2(i as f32 * (width + gap), 0.0), vec2(width, plots.height()));
            if let Some((at, clicked)) = self.quality_plot(cx, ui, quantity, place, &found) {
                pointed = Some(at);
                if clicked {
                    self.quality.chosen = if self.quality.chosen == Some(at) { None } else { Some(at) };
                }
            }
        }
        let last = BUDGETS.len() - 1;
        let focus = cx.work.samplers.lanes.get(cx.work.samplers.focus).map_or("", |lane| lane.sampler.as_str());
        let own = Self::measured(cx).iter().position(|(_, info)| info.id == focus).unwrap_or(0);
        let shown = pointed.or(self.quality.chosen).unwrap_or((own, last.min(3)));
        self.behind(cx, ui, Rect::from_min_max(pos2(plots.right() + gap, body.top()), body.max), shown, &found);
    }

    /// What was found so far of what is wanted now.
    fn found(cx: &LabContext<'_>) -> Vec<Option<Arc<SweepPoint>>> {
        let (ladder, wanted) = (&cx.session.ladder, Self::quality_request(cx));
        let current = ladder.asked() == Some(&wanted);
        (0..wanted.runs.len()).map(|index| ladder.point(index).filter(|_| current).cloned()).collect()
    }

    /// One plot. Returns the point under the pointer (sampler and budget), and whether it was clicked.
    fn quality_plot(
        &self,
        cx: &LabContext<'_>,
        ui: &mut Ui,
        quantity: Quantity,
        rect: Rect,
        found: &Found,
    ) -> Option<((usize, usize), bool)> {
        let theme = cx.theme;
        let p = theme.palette();
        let ruler = cx.session.ladder.ruler();
        let title = match (quantity, ruler) {
            (Quantity::Adherence, Some(Ruler::Similarity)) => "CLIP similarity",
            (Quantity::Adherence, _) => "Picture right, as judged",
            (Quantity::Latency, _) => "Wall time of a picture",
        };
        let line = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(22.0)));
        ui.painter().text(line.left_center(), Align2::LEFT_CENTER, title, theme.font(Weight::Medium, 14.0), p.text);
        let field = Rect::from_min_max(pos2(rect.left() + theme.px(44.0), line.bottom()), rect.max - vec2(0.0, theme.px(38.0)));
        ui.painter().rect(field, theme.px(5.0), p.panel, theme.hairline(), StrokeKind::Inside);
        if let (Quantity::Adherence, Some(Ruler::None(why))) = (quantity, ruler) {
            let galley = ui.painter().layout(why.clone(), theme.small(), p.dim, field.width() - theme.px(16.0));
            ui.painter().galley(field.center() - galley.size() * 0.5, galley, p.dim);
            return None;
        }
        let ends = |v: f64| v.log10();
        let plot = LogPlot { field: field.shrink2(vec2(theme.px(10.0), theme.px(10.0))), x: (ends(2.6), ends(46.0)), y: (1.0, 4.0) };
        let samplers = Self::measured(cx);
        let value = |point: &SweepPoint| if quantity == Quantity::Latency { Some(point.latency_ms) } else { point.adherence };
        let place_of = |at: usize| (at / BUDGETS.len(), at % BUDGETS.len());
        let all: Vec<(usize, usize, Estimate)> =
            found.iter().enumerate().filter_map(|(at, point)| Some((place_of(at).0, place_of(at).1, value(point.as_ref()?)?))).collect();
        let values = || all.iter().map(|(.., estimate)| estimate.value);
        let (low, high) = match quantity {
            Quantity::Adherence if matches!(ruler, Some(Ruler::Similarity)) => {
                let (low, high) = values().fold((1.0_f64, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
                if low < high { (low - 0.05, high + 0.05) } else { (0.0, 1.0) }
            }
            Quantity::Adherence => (0.0, 1.0),
            Quantity::Latency => (0.0, values().fold(0.0_f64, f64::max).max(1.0) * 1.08),
        };
        let up = |v: f64| plot.field.bottom() - ((v - low) / (high - low)).clamp(0.0, 1.0) as f32 * plot.field.height();
        axes(ui, theme, &plot, field, quantity, (low, high), &up);
        let lit = self.lit(cx);
        let lit = cx.work.samplers.lanes.get(lit).map_or("", |lane| lane.sampler.as_str());
        let painter = ui.painter().with_clip_rect(field);
        for strong in [false, true] {
            for (index, (lane, info)) in samplers.iter().enumerate().filter(|(_, (_, info))| (info.id == lit) == strong) {
                let hue = p.lanes[*lane];
                let color = if strong { hue } else { Palette::mix(p.panel, hue, 0.75) };
                let own = all.iter().filter(|(other, ..)| *other == index);
                let place = |budget: usize| plot.across(info.evaluations(steps_at(info, budget)) as f64);
                let way: Vec<Pos2> = own.clone().map(|(_, b, estimate)| pos2(place(*b), up(estimate.value))).collect();
                painter.add(Shape::line(way, Stroke::new(theme.px(if strong { 3.0 } else { 1.8 }), color)));
                for (_, b, estimate) in own {
                    let x = place(*b);
                    if strong && estimate.low.is_finite() && estimate.high.is_finite() {
                        painter.vline(x, up(estimate.high)..=up(estimate.low), Stroke::new(theme.px(2.0), color));
                    }
                    painter.circle_filled(pos2(x, up(estimate.value)), theme.px(if strong { 4.5 } else { 3.5 }), color);
                }
            }
        }
        let counted = all.into_iter().map(|(index, b, estimate)| {
            let info = samplers[index].1;
            let at = pos2(plot.across(info.evaluations(steps_at(info, b)) as f64), up(estimate.value));
            let count = found[index * BUDGETS.len() + b].as_ref().map_or(0, |point| point.pictures.len());
            Grip { index, budget: b, info, estimate, count, at }
        });
        self.grips(cx, ui, quantity, field, counted)
    }

    /// Lets the points be pointed at. Returns the one that is, and whether it was clicked.
    fn grips(
        &self,
        cx: &LabContext<'_>,
        ui: &mut Ui,
        quantity: Quantity,
        field: Rect,
        grips: impl Iterator<Item = Grip>,
    ) -> Option<((usize, usize), bool)> {
        let theme = cx.theme;
        let mut pointed = None;
        for Grip { index, budget, info, estimate, count, at } in grips {
            let grip = Rect::from_center_size(at, Vec2::splat(theme.px(16.0))).intersect(field);
            let response = ui.interact(grip, ui.scope_id().with(("quality", quantity as usize, index, budget)), Sense::click());
            let number = |v: f64| match quantity {
                Quantity::Latency => seconds(v),
                Quantity::Adherence if matches!(cx.session.ladder.ruler(), Some(Ruler::Similarity)) => format!("{v:.2}"),
                Quantity::Adherence => format!("{:.0}%", 100.0 * v),
            };
            let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(number);
            let steps = steps_at(info, budget);
            let evaluations = info.evaluations(steps);
            let spoken = format!("{}, {steps} steps, {evaluations} evaluations: {value}, from {low} to {high}, n = {count}", info.label);
            let chosen = self.quality.chosen == Some((index, budget));
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, chosen, &spoken));
            if response.hovered() || response.has_focus() || chosen {
                let ring = Stroke::new(theme.px(2.0), theme.palette().text);
                ui.painter().circle_stroke(grip.center(), theme.px(8.0), ring);
            }
            if response.hovered() || response.has_focus() {
                pointed = Some(((index, budget), response.clicked()));
            }
            response.on_hover_text(format!("{spoken}. Click to keep its pictures at the right."));
        }
        pointed
    }

    /// The pictures behind a point.
    fn behind(&self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, (index, budget): (usize, usize), found: &Found) {
        let theme = cx.theme;
        let p = theme.palette();
        let Some((lane, info)) = Self::measured(cx).get(index).copied() else { return };
        let steps = steps_at(info, budget);
        let line = rect.with_max_y(rect.top() + theme.px(22.0));
        let words = format!("{}, {} steps", info.label, steps);
        ui.painter().text(line.left_center(), Align2::LEFT_CENTER, words, theme.font(Weight::Medium, 14.0), p.lanes[lane]);
        let room = rect.with_min_y(line.bottom() + theme.px(2.0));
        let gap = theme.px(5.0);
        let side_of = |columns: usize| {
            let along = |length: f32, count: usize| (length - gap * (count - 1) as f32) / count as f32;
            along(room.width(), columns).min(along(room.height(), PICTURES.div_ceil(columns)))
        };
        let columns = [2, 3, 4, 8].into_iter().max_by(|a, b| side_of(*a).total_cmp(&side_of(*b))).unwrap_or(4);
        let side = side_of(columns).floor().max(4.0);
        let point = found.get(index * BUDGETS.len() + budget).and_then(Option::as_ref);
        for number in 0..PICTURES {
            let at = vec2((number % columns) as f32, (number / columns) as f32) * (side + gap);
            let cell = Rect::from_min_size((room.min + at).round(), Vec2::splat(side));
            let Some(picture) = point.and_then(|point| point.pictures.get(number)) else {
                tile::frame(ui, theme, cell, None, "");
                continue;
            };
            let texture = cx.textures.get(ui.ctx(), theme, ("quality picture", number), picture, Mapping::Rgb, true);
            tile::frame(ui, theme, cell, Some(texture), "");
            let response = ui.interact(cell, ui.scope_id().with(("quality picture", number)), Sense::hover());
            response
                .widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Sample {} of {}, {steps} steps", number + 1, info.label)));
            response.on_hover_text(format!("Seed {number}, shown small"));
        }
    }
}

/// Numbers beside and below a plot.
fn axes(ui: &Ui, theme: &Theme, plot: &LogPlot, field: Rect, quantity: Quantity, (low, high): (f64, f64), up: &dyn Fn(f64) -> f32) {
    let p = theme.palette();
    let font = theme.font(Weight::Medium, 12.0);
    let line = Stroke::new(1.0, p.line);
    // Without anything measured there is nothing to number.
    let numbered = quantity == Quantity::Adherence || high > 2.0;
    for part in [0.0, 0.5, 1.0].into_iter().filter(|_| numbered) {
        let value = low + part * (high - low);
        let text = match quantity {
            Quantity::Latency => seconds(value),
            Quantity::Adherence if (low, high) == (0.0, 1.0) => format!("{:.0}%", 100.0 * value),
            Quantity::Adherence => format!("{value:.2}"),
        };
        ui.painter().hline(field.x_range(), up(value), line);
        ui.painter().text(pos2(field.left() - theme.px(5.0), up(value)), Align2::RIGHT_CENTER, text, font.clone(), p.dim);
    }
    for budget in BUDGETS {
        let x = plot.across(budget as f64);
        ui.painter().vline(x, field.y_range(), line);
        ui.painter().text(pos2(x, field.bottom() + theme.px(10.0)), Align2::CENTER_CENTER, format!("{budget}"), font.clone(), p.dim);
    }
    let at = pos2(field.center().x, field.bottom() + theme.px(27.0));
    ui.painter().text(at, Align2::CENTER_CENTER, "evaluations of the model", theme.font(Weight::Regular, 12.5), p.dim);
}

/// How far the measuring is, and what kind of numbers these are.
fn state_line(cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
    let theme = cx.theme;
    let p = theme.palette();
    let about = "So many pictures of this prompt at each point, from the noise of seeds 0, 1, 2 and on, the same for all samplers. Bars are 95% intervals, drawn for the sampler in focus. Wall time includes decoding. Kept on the disk.";
    measuring::controls(cx, ui, rect, Slot::Ladder, about);
    let (running, stopped, progress) = (cx.session.ladder.is_running(), cx.session.ladder.is_stopped(), cx.session.progress(Slot::Ladder));
    let text = match (running, progress) {
        (true, Some((done, total))) if total > 0 => format!("Quality over evaluations: measuring {done} of {total}"),
        (true, _) => "Quality over evaluations: waiting".to_owned(),
        _ if stopped => "Quality over evaluations: stopped".to_owned(),
        _ => "Quality over evaluations, for this prompt".to_owned(),
    };
    ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, text, theme.font(Weight::Medium, 15.0), p.text);
}
