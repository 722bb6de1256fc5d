//! What guidance does, measured: adherence, diversity and saturation over w, with the pictures behind every point.

use super::strip::SCALES;
use super::{Guidance, View};
use crate::ui::labs::rest::Resting;
use crate::ui::labs::{LabContext, measuring};
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use crate::ui::widgets::controls::focus_ring;
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile::{self, HEADER};
use crate::worker::protocol::{Estimate, Ruler, RunRequest, Slot, SweepPoint, SweepRequest};
use egui::{Align2, Color32, Rect, Role, Sense, Stroke, Ui, Vec2, WidgetInfo, pos2, vec2};

/// Samples at each scale after each round.
const ROUNDS: [usize; 3] = [4, 8, 16];
/// Seconds for which the request may not have changed before it is sent.
const REST_SECS: f64 = 0.6;

/// What is kept from frame to frame.
#[derive(Default)]
pub struct State {
    wanted: Resting<SweepRequest>,
    /// The point whose pictures are shown while none is pointed at.
    chosen: Option<usize>,
}

/// A quantity with a plot of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Adherence,
    Diversity,
    Saturation,
}

impl Quantity {
    const ALL: [Self; 3] = [Self::Adherence, Self::Diversity, Self::Saturation];

    const fn name(self) -> &'static str {
        match self {
            Self::Adherence => "Adherence",
            Self::Diversity => "Diversity",
            Self::Saturation => "Saturation",
        }
    }

    fn of(self, point: &SweepPoint) -> Option<Estimate> {
        let found = match self {
            Self::Adherence => point.adherence,
            Self::Diversity => Some(point.diversity),
            Self::Saturation => Some(point.saturation),
        };
        found.filter(|estimate| estimate.value.is_finite())
    }

    /// Colour by what it speaks of: the prompt, the noise it starts from, the picture.
    const fn symbol(self) -> Symbol {
        match self {
            Self::Adherence => Symbol::Conditional,
            Self::Diversity => Symbol::Noise,
            Self::Saturation => Symbol::Signal,
        }
    }

    fn is_share(self, ruler: Option<&Ruler>) -> bool {
        self == Self::Saturation || (self == Self::Adherence && ruler == Some(&Ruler::Judge))
    }

    fn format(self, ruler: Option<&Ruler>, value: f64) -> String {
        if self.is_share(ruler) { format!("{:.0}%", 100.0 * value) } else { format!("{value:.2}") }
    }

    const fn hint(self, ruler: Option<&Ruler>) -> &'static str {
        match (self, ruler) {
            (Self::Adherence, Some(Ruler::Similarity)) => {
                "Cosine between CLIP's features of the prompt and of the picture: this prompt is no caption of Littleworld that a judge could check. Bars are 95% intervals of the mean (Student)."
            }
            (Self::Adherence, _) => {
                "Share of pictures on which an independent classifier finds everything that the prompt says. Bars are 95% intervals (Wilson)."
            }
            (Self::Diversity, Some(Ruler::None(_)) | None) => {
                "How much two pictures of the same prompt differ: root-mean-square difference of their pixels, mean over all pairs. Bars are 95% intervals (jackknife)."
            }
            (Self::Diversity, _) => {
                "How much two pictures of the same prompt differ: root-mean-square difference of the judge's features, mean over all pairs. Bars are 95% intervals (jackknife)."
            }
            (Self::Saturation, _) => {
                "Strength of the colours: mean saturation of the pixels (HSV). Bars are 95% intervals of the mean (Student)."
            }
        }
    }

    /// Ends of the vertical axis: those of a share where it fills them, else a little beyond all bars.
    fn range(self, ruler: Option<&Ruler>, estimates: &[Estimate]) -> (f64, f64) {
        if self == Self::Adherence && self.is_share(ruler) {
            return (0.0, 1.0);
        }
        // Values spread the axis with room for the bars; the very wide ones of few samples may leave it.
        let low = estimates.iter().map(|e| e.value).fold(f64::INFINITY, f64::min);
        let high = estimates.iter().map(|e| e.value).fold(f64::NEG_INFINITY, f64::max);
        let widths = estimates.iter().map(|e| e.high - e.low).filter(|width| width.is_finite());
        let pad = (0.55 * widths.fold(0.0, f64::max)).clamp(0.02, 0.5 * high.abs().max(0.1));
        if low.is_finite() && high.is_finite() { ((low - pad).max(0.0), high + pad) } else { (0.0, 1.0) }
    }
}

/// Where a scale lies among the equally spaced ones that were measured, 0 to their number less one.
fn place_of(scale: f64) -> f64 {
    let after = SCALES.iter().position(|other| scale <= *other).unwrap_or(SCALES.len() - 1);
    if after == 0 {
        return 0.0;
    }
    let (low, high) = (SCALES[after - 1], SCALES[after]);
    (after - 1) as f64 + ((scale - low) / (high - low)).clamp(0.0, 1.0)
}

impl Guidance {
    fn sweep_request(cx: &LabContext<'_>) -> SweepRequest {
        let run = RunRequest { seed: 0, ..Self::request(cx, cx.work.guidance.steps) };
        let runs = SCALES.iter().map(|&guidance_scale| RunRequest { guidance_scale, ..run.clone() }).collect();
        SweepRequest { runs, rounds: ROUNDS.to_vec() }
    }

    /// Asks for the measurements while they are in view and what they depend on is at rest.
    pub(super) fn ask_sweep(&mut self, cx: &mut LabContext<'_>) {
        if cx.session.card.is_none() || cx.work.guidance.view != View::Measured {
            return;
        }
        let wanted = Self::sweep_request(cx);
        let rested = self.sweep.wanted.observe(&wanted, cx.now_secs).is_some_and(|secs| secs > REST_SECS);
        if rested && !self.held {
            cx.session.ask_sweep(Slot::Sweep, wanted);
        }
    }

    pub(super) fn sweep_is_settled(&self, cx: &LabContext<'_>) -> bool {
        let sweep = &cx.session.sweep;
        cx.work.guidance.view != View::Measured
            || sweep.is_stopped()
            || (sweep.asked() == Some(&Self::sweep_request(cx)) && !sweep.is_running())
    }

    pub(super) fn sweep_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let header = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(HEADER)));
        sweep_header(cx, ui, header);
        let body = Rect::from_min_max(pos2(rect.left(), header.bottom()), rect.max);
        let gap = theme.px(12.0);
        let plots = body.with_max_y(body.top() + (body.height() * 0.56).floor());
        let width = ((plots.width() - 2.0 * gap) / 3.0).floor();
        let mut pointed = None;
        for (i, quantity) in Quantity::ALL.into_iter().enumerate() {
            let min = plots.min + vec2(i as f32 * (width + gap), 0.0);
            let place = Rect::from_min_size(min.round(), vec2(width, plots.height()));
            if let Some((index, clicked)) = self.plot(cx, ui, quantity, place) {
                pointed = Some(index);
                if clicked {
                    self.sweep.chosen = if self.sweep.chosen == Some(index) { None } else { Some(index) };
                }
            }
        }
        let nearest = place_of(Self::scale(cx)).round() as usize;
        let shown = pointed.or(self.sweep.chosen).unwrap_or(nearest);
        pictures(cx, ui, body.with_min_y(plots.bottom() + theme.px(10.0)), shown);
    }

    /// One plot. Returns the point under the pointer, and whether it was clicked.
    fn plot(&self, cx: &LabContext<'_>, ui: &mut Ui, quantity: Quantity, rect: Rect) -> Option<(usize, bool)> {
        let theme = cx.theme;
        let p = theme.palette();
        let (sweep, ruler) = (&cx.session.sweep, cx.session.sweep.ruler());
        let color = p.symbol(quantity.symbol());
        let name = match (quantity, ruler) {
            (Quantity::Adherence, Some(Ruler::Similarity)) => "CLIP similarity",
            _ => quantity.name(),
        };
        let title = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(22.0)));
        ui.painter().text(title.left_center(), Align2::LEFT_CENTER, name, theme.font(Weight::Medium, 14.0), color);
        ui.interact(title, ui.scope_id().with(("measured", name)), Sense::hover()).on_hover_text(quantity.hint(ruler));
        let field = Rect::from_min_max(pos2(rect.left(), title.bottom()), rect.max - vec2(0.0, theme.px(18.0)));
        ui.painter().rect(field, theme.px(5.0), p.panel, theme.hairline(), egui::StrokeKind::Inside);
        if let (Quantity::Adherence, Some(Ruler::None(why))) = (quantity, ruler) {
            let galley = ui.painter().layout(why.clone(), theme.small(), p.dim, field.width() - theme.px(16.0));
            ui.painter().galley(field.center() - galley.size() * 0.5, galley, p.dim);
            return None;
        }
        let points: Vec<(usize, Estimate)> = sweep.points().filter_map(|point| Some((point.index, quantity.of(point)?))).collect();
        let estimates: Vec<Estimate> = points.iter().map(|(_, estimate)| *estimate).collect();
        let (low, high) = quantity.range(ruler, &estimates);
        let inside = field.shrink2(vec2(theme.px(12.0), theme.px(8.0)));
        let x_of = |place: f64| inside.left() + (place / (SCALES.len() - 1) as f64) as f32 * inside.width();
        let y_of = |value: f64| inside.bottom() - ((value - low) / (high - low)) as f32 * inside.height();
        let painter = ui.painter().with_clip_rect(field.intersect(ui.clip_rect()));
        let current = x_of(place_of(Self::scale(cx)));
        painter.vline(current, field.y_range(), Stroke::new(theme.px(2.0), Palette::mix(p.panel, p.symbol(Symbol::Guided), 0.7)));
        let line: Vec<_> = points.iter().map(|(index, estimate)| pos2(x_of(*index as f64), y_of(estimate.value))).collect();
        painter.line(line, Stroke::new(theme.px(1.5), Palette::mix(p.panel, color, 0.6)));
        for (index, estimate) in &points {
            bar(&painter, theme, x_of(*index as f64), [estimate.low, estimate.value, estimate.high].map(y_of), color);
        }
        if !estimates.is_empty() {
            let text = format!("{} – {}", quantity.format(ruler, low), quantity.format(ruler, high));
            ui.painter().text(title.right_center(), Align2::RIGHT_CENTER, text, theme.font(Weight::Regular, 12.0), p.dim);
        }
        let step = inside.width() / (SCALES.len() - 1) as f32;
        let mut pointed = None;
        for (index, scale) in SCALES.iter().enumerate() {
            let x = x_of(index as f64);
            let at = pos2(x, field.bottom() + theme.px(10.0));
            ui.painter().text(at, Align2::CENTER_CENTER, format!("{scale}"), theme.font(Weight::Medium, 11.5), p.dim);
            let Some((_, estimate)) = points.iter().find(|(other, _)| *other == index) else { continue };
            let band = Rect::from_x_y_ranges(x - step * 0.5..=x + step * 0.5, field.y_range());
            let response = ui.interact(band, ui.scope_id().with(("measured", quantity.name(), index)), Sense::click());
            let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|v| quantity.format(ruler, v));
            let count = sweep.point(index).map_or(0, |point| point.pictures.len());
            let spoken = format!("{name} at w = {scale}: {value}, from {low} to {high}, n = {count}");
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, self.sweep.chosen == Some(index), &spoken));
            if self.sweep.chosen == Some(index) {
                let mark = Rect::from_x_y_ranges(band.x_range(), field.bottom() - theme.px(3.0)..=field.bottom());
                ui.painter().rect_filled(mark, 0.0, p.accent);
            }
            focus_ring(ui, theme, &response, band, 3.0);
            if response.hovered() || response.has_focus() {
                pointed = Some((index, response.clicked()));
            }
            response.on_hover_text(format!("{spoken}. Click to keep its pictures below."));
        }
        pointed
    }
}

/// A value with its error bar.
fn bar(painter: &egui::Painter, theme: &Theme, x: f32, [low, value, high]: [f32; 3], color: Color32) {
    let stroke = Stroke::new(theme.px(2.0), color);
    if low.is_finite() && high.is_finite() {
        painter.vline(x, high..=low, stroke);
        for end in [low, high] {
            painter.hline(x - theme.px(4.0)..=x + theme.px(4.0), end, stroke);
        }
    }
    painter.circle_filled(pos2(x, value), theme.px(4.0), color);
}

/// What kind of numbers these are, and how far the measuring is.
fn sweep_header(cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
    let theme = cx.theme;
    let p = theme.palette();
    let about = "So many pictures of this prompt at each w, from the noise of seeds 0, 1, 2 and on, the same for every w. Bars are 95% intervals. Measurements are kept on the disk.";
    measuring::controls(cx, ui, rect, Slot::Sweep, about);
    let (running, stopped, progress) = (cx.session.sweep.is_running(), cx.session.sweep.is_stopped(), cx.session.progress(Slot::Sweep));
    let text = match (running, progress) {
        (true, Some((done, total))) if total > 0 => format!("measuring {done}/{total}"),
        (true, _) => "waiting".to_owned(),
        _ if stopped => "stopped".to_owned(),
        _ => "over w, for this prompt".to_owned(),
    };
    ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, text, theme.font(Weight::Regular, 14.0), p.dim);
}

/// The pictures behind a point, and its numbers.
fn pictures(cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, index: usize) {
    let theme = cx.theme;
    let p = theme.palette();
    let point = cx.session.sweep.point(index).cloned();
    let line = rect.with_max_y(rect.top() + theme.px(22.0));
    let words = match &point {
        Some(point) => format!(
            "{} pictures at w = {}, {:.1}% of their values clipped",
            point.pictures.len(),
            SCALES[index],
            100.0 * point.clipped.value
        ),
        None => format!("Pictures at w = {} are still to come", SCALES[index]),
    };
    ui.painter().text(line.left_center(), Align2::LEFT_CENTER, words, theme.font(Weight::Regular, 13.5), p.dim);
    let room = Rect::from_min_max(pos2(rect.left(), line.bottom() + theme.px(2.0)), rect.max);
    let most = ROUNDS[ROUNDS.len() - 1];
    let gap = theme.px(5.0);
    let side_of = |columns: usize| {
        let rows = most.div_ceil(columns);
        let along = |length: f32, count: usize| (length - gap * (count - 1) as f32) / count as f32;
        along(room.width(), columns).min(along(room.height(), rows))
    };
    let columns = [4, 6, 8, 16].into_iter().max_by(|a, b| side_of(*a).total_cmp(&side_of(*b))).unwrap_or(8);
    let side = side_of(columns).floor().max(4.0);
    let count = point.as_ref().map_or(0, |point| point.pictures.len());
    for number in 0..most {
        let at = vec2((number % columns) as f32, (number / columns) as f32) * (side + gap);
        let cell = Rect::from_min_size((room.min + at).round(), Vec2::splat(side));
        let Some(picture) = point.as_ref().and_then(|point| point.pictures.get(number)) else {
            tile::frame(ui, theme, cell, None, "");
            continue;
        };
        let texture = cx.textures.get(ui.ctx(), theme, ("sweep", number), picture, Mapping::Rgb, true);
        tile::frame(ui, theme, cell, Some(texture), "");
        let response = ui.interact(cell, ui.scope_id().with(("sweep picture", number)), Sense::hover());
        response
            .widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Sample {} of {count} at w = {}", number + 1, SCALES[index])));
        response.on_hover_ui(|ui| {
            let large = theme.px(200.0);
            let (place, _) = ui.allocate_exact_size(Vec2::splat(large), Sense::hover());
            tile::frame(ui, theme, place, Some(texture), "");
            ui.label(egui::RichText::new(format!("Seed {number}, w = {}, shown small", SCALES[index])).font(theme.small()));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_lie_between_those_measured() {
        assert_eq!([0.0, 0.5, 1.0, 2.0, 7.5, 20.0, 25.0].map(place_of), [0.0, 0.5, 1.0, 1.5, 3.0, 5.0, 5.0]);
    }

    #[test]
    fn axes_hold_every_value_whatever_the_bars_do() {
        let wide = |value| Estimate { value, low: f64::NEG_INFINITY, high: f64::INFINITY };
        for quantity in Quantity::ALL {
            for estimates in [vec![], vec![wide(0.4), wide(0.6)], vec![Estimate { value: 2.0, low: 1.0, high: 3.0 }]] {
                let (low, high) = quantity.range(Some(&Ruler::Similarity), &estimates);
                assert!(low < high && estimates.iter().all(|e| (low..=high).contains(&e.value)), "{quantity:?} {low} {high}");
            }
        }
        assert_eq!(Quantity::Adherence.range(Some(&Ruler::Judge), &[wide(0.9)]), (0.0, 1.0));
    }
}
