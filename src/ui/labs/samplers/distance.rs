//! How far each lane is from the reference, at every noise level that it visits and at its end.

use super::Samplers;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol, Weight};
use crate::ui::widgets::log_plot::LogPlot;
use crate::ui::widgets::math::{self, row, sym, word};
use crate::ui::widgets::tile::HEADER;
use crate::worker::protocol::{RaceMap, RacePlace, Slot};
use egui::{Align2, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, UiBuilder, WidgetInfo, pos2, vec2};

/// Decades of `sigma / alpha` across, from noise to data.
pub(super) const ACROSS: (f64, f64) = (2.0, -1.7);
/// Decades of the distance at most: below the lowest is as good as nothing.
pub(super) const LOWEST: f64 = -3.5;
pub(super) const HIGHEST: f64 = 0.3;

/// Less than this is no distance.
pub(super) const NONE: f64 = 1e-6;

/// Lowest and highest decade that hold all distances.
pub(super) fn range(map: &RaceMap) -> (f64, f64) {
    let all = map.lanes.iter().flatten().map(|place| place.distance).filter(|d| d.is_finite() && *d > NONE);
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), d| (low.min(d), high.max(d)));
    if low > high {
        return (LOWEST, HIGHEST);
    }
    ((low.log10() - 0.15).max(LOWEST), (high.log10() + 0.15).clamp(LOWEST + 1.0, 1.0))
}

impl Samplers {
    pub(super) fn distance_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let header = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(HEADER)));
        let title = "Distance from the reference";
        ui.painter().text(header.left_center(), Align2::LEFT_CENTER, title, theme.font(Weight::Medium, 15.0), p.text);
        self.race_state(cx, ui, header);
        // The place of the end is a column of its own: there the noise is gone, and with it the logarithm.
        let column = theme.px(46.0);
        let field = Rect::from_min_max(pos2(rect.left() + theme.px(38.0), header.bottom()), rect.max - vec2(column, theme.px(40.0)));
        if field.width() < 40.0 || field.height() < 30.0 {
            return;
        }
        let end = Rect::from_min_max(pos2(field.right() + theme.px(8.0), field.top()), pos2(rect.right(), field.bottom()));
        let map = cx.session.race.map().cloned();
        let plot = LogPlot { field, x: ACROSS, y: map.as_ref().map_or((LOWEST, HIGHEST), |map| range(map)) };
        plot.paint(ui.painter(), theme);
        ui.painter().rect(end, theme.px(5.0), p.panel, theme.hairline(), egui::StrokeKind::Inside);
        let label = row([word("noise level ", Symbol::Quiet), sym("σ", Symbol::Quiet), word("/", Symbol::Quiet), sym("α", Symbol::Quiet)]);
        let width = math::width(ui.painter(), theme, &label, 15.0);
        math::inline(ui.painter(), theme, &label, 15.0, pos2(field.center().x - width * 0.5, field.bottom() + theme.px(34.0)));
        let at = pos2(end.center().x, field.bottom() + theme.px(11.0));
        ui.painter().text(at, Align2::CENTER_CENTER, "end", theme.font(Weight::Medium, 12.0), p.dim);
        let response = ui.interact(field.union(end), ui.scope_id().with("distances"), Sense::click_and_drag());
        let spoken = map.as_ref().map_or("not measured yet".to_owned(), |map| spoken(cx, map));
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Distance from the reference: {spoken}")));
        // Dragging across sets the clock to the level under the pointer.
        if let Some(pointer) = response.interact_pointer_pos().filter(|at| at.x <= field.right()) {
            let share = f64::from(((pointer.x - field.left()) / field.width()).clamp(0.0, 1.0));
            let ratio = 10_f64.powf(ACROSS.0 + share * (ACROSS.1 - ACROSS.0));
            cx.clock.playing &= !response.dragged();
            cx.clock.set(timestep_of(cx, ratio));
        } else if response.is_pointer_button_down_on() {
            cx.clock.set(0.0);
        }
        let ratio = cx.session.levels.level(cx.clock.timestep()).sigma_ratio();
        let x = if cx.clock.position() < 0.5 { end.center().x } else { plot.across(ratio) };
        if map.is_some() {
            ui.painter().vline(x, field.y_range(), Stroke::new(theme.px(2.0), p.text));
        }
        match map {
            Some(map) => self.curves(cx, &ui.painter().with_clip_rect(rect), &plot, end, &map),
            None => {
                let text = match cx.session.progress(Slot::Race) {
                    _ if cx.session.race.is_stopped() => "The race was stopped.",
                    Some(_) => "Measured once the lanes and the reference have arrived",
                    None => "Waiting…",
                };
                let galley = ui.painter().layout(text.to_owned(), theme.body(), p.dim, field.width() - theme.px(24.0));
                ui.painter().galley(field.center() - galley.size() * 0.5, galley, p.dim);
            }
        }
        response.on_hover_cursor(egui::CursorIcon::ResizeHorizontal).on_hover_text("Root-mean-square difference of a lane's latents from those of the reference at the same noise level: DDIM in 500 steps from the same noise at the same level, which follows the differential equation. Latents have unit deviation. Dots are steps. Samplers that add noise are not meant to follow it. Drag to set the clock.");
    }

    fn curves(&self, cx: &LabContext<'_>, painter: &Painter, plot: &LogPlot, end: Rect, map: &RaceMap) {
        let theme = cx.theme;
        let p = theme.palette();
        let lit = self.lit(cx);
        let order = (0..map.lanes.len()).filter(|index| *index != lit).chain([lit]);
        for index in order {
            let Some((places, hue)) = map.lanes.get(index).zip(p.lanes.get(index)) else { continue };
            let Some((last, steps)) = places.split_last() else { continue };
            let strong = index == lit;
            let color = if strong { *hue } else { Palette::mix(p.panel, *hue, 0.75) };
            let at = |place: &RacePlace| plot.at(place.sigma_ratio, place.distance);
            // They all start on the reference, which has no place on this axis.
            let mut line: Vec<Pos2> = steps.iter().filter(|place| place.distance > NONE).map(at).collect();
            let arrival = pos2(end.center().x, plot.up(last.distance));
            line.push(arrival);
            painter.add(Shape::line(line.clone(), Stroke::new(theme.px(if strong { 3.0 } else { 1.8 }), color)));
            if steps.len() <= 60 {
                for at in line {
                    painter.circle_filled(at, theme.px(if strong { 3.5 } else { 2.5 }), color);
                }
            }
            painter.circle_filled(arrival, theme.px(if strong { 5.5 } else { 4.5 }), color);
        }
    }

    /// How far the race is, at the right of a line.
    fn race_state(&self, cx: &mut LabContext<'_>, ui: &mut Ui, line: Rect) {
        let theme = cx.theme;
        let race = &cx.session.race;
        let text = match cx.session.progress(Slot::Race) {
            _ if race.is_stopped() => "stopped".to_owned(),
            Some((done, total)) if race.is_running() && total > 0 => {
                let lanes = race.lanes().iter().filter(|lane| lane.end.is_some()).count();
                if lanes < race.lanes().len() {
                    format!("racing, {done} of {total} evaluations")
                } else {
                    format!("following the reference, {done} of {total}")
                }
            }
            _ if race.is_running() => "waiting".to_owned(),
            _ => return,
        };
        let mut child = ui.new_child(UiBuilder::new().max_rect(line).layout(egui::Layout::right_to_left(egui::Align::Center)));
        child.label(egui::RichText::new(text).font(theme.font(Weight::Regular, 13.5)).color(theme.palette().dim));
    }
}

/// The timestep at which the model's schedule has this ratio of noise to signal.
fn timestep_of(cx: &LabContext<'_>, ratio: f64) -> f64 {
    let levels = &cx.session.levels;
    (0..levels.count()).find(|t| levels.level(*t).sigma_ratio() >= ratio).unwrap_or(levels.count() - 1) as f64
}

/// The final distances in words.
fn spoken(cx: &LabContext<'_>, map: &RaceMap) -> String {
    let lanes = map.lanes.iter().zip(&cx.work.samplers.lanes).enumerate();
    let said = lanes
        .filter_map(|(i, (places, lane))| Some(format!("lane {}, {}, {:.3} at the end", i + 1, lane.sampler, places.last()?.distance)));
    said.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_holds_every_distance() {
        let place = |distance| RacePlace { place: [0.0; 2], sigma_ratio: 1.0, distance };
        let map = |distances: &[f64]| RaceMap { lanes: vec![distances.iter().map(|d| place(*d)).collect()], ..RaceMap::default() };
        assert_eq!(range(&map(&[])), (LOWEST, HIGHEST));
        for distances in [&[0.1][..], &[0.001, 2.0], &[1e-9, f64::NAN, 0.5], &[0.0, 0.0]] {
            let (low, high) = range(&map(distances));
            assert!(low < high && low >= LOWEST, "{distances:?}: {low} {high}");
            let seen = distances.iter().filter(|d| **d > 10_f64.powf(LOWEST));
            assert!(seen.map(|d| d.log10()).all(|d| d >= low && d <= high), "{distances:?}: {low} {high}");
        }
    }
}
