//! The ways that the lanes take, in the plane in which all their latents spread most.

use super::Samplers;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Weight};
use crate::ui::widgets::tile::{self, HEADER};
use crate::worker::protocol::RaceMap;
use egui::{Align2, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Where the plane lies on screen: one scale for both axes.
struct Chart {
    middle: [f64; 2],
    center: Pos2,
    per_unit: f64,
}

impl Chart {
    /// The chart of `points` that fills `room` as far as it can.
    fn around(points: impl Iterator<Item = [f64; 2]>, room: Rect) -> Self {
        let mut bounds = [[f64::INFINITY, f64::NEG_INFINITY]; 2];
        for point in points {
            for (bound, v) in bounds.iter_mut().zip(point) {
                *bound = [bound[0].min(v), bound[1].max(v)];
            }
        }
        let size = bounds.map(|[low, high]| (high - low).max(1e-6));
        let per_unit = (f64::from(room.width()) / size[0]).min(f64::from(room.height()) / size[1]);
        Self { middle: bounds.map(|[low, high]| 0.5 * (low + high)), center: room.center(), per_unit }
    }

    /// From noise at the left to data at the right: the first axis is turned round, since the first point lies at its upper end.
    fn at(&self, [x, y]: [f64; 2]) -> Pos2 {
        let along = |v: f64, axis: usize| ((v - self.middle[axis]) * self.per_unit) as f32;
        pos2(self.center.x - along(x, 0), self.center.y - along(y, 1))
    }
}

impl Samplers {
    pub(super) fn plane_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let header = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(HEADER)));
        ui.painter().text(header.left_center(), Align2::LEFT_CENTER, "Their ways", theme.font(Weight::Medium, 15.0), p.text);
        let field = Rect::from_min_max(pos2(rect.left(), header.bottom()), rect.max);
        ui.painter().rect(field, theme.px(5.0), p.panel, theme.hairline(), egui::StrokeKind::Inside);
        let response = ui.interact(field, ui.scope_id().with("ways"), Sense::hover());
        let Some(map) = cx.session.race.map().cloned() else {
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, "Ways of the lanes, not measured yet"));
            let text = "Drawn once the lanes and the reference have arrived";
            let galley = ui.painter().layout(text.to_owned(), theme.body(), p.dim, field.width() - theme.px(24.0));
            ui.painter().galley(field.center() - galley.size() * 0.5, galley, p.dim);
            return;
        };
        let share = format!("{:.0}% of the variance", 100.0 * map.explained);
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Ways of the lanes in the plane that holds {share}")));
        if header.width() > theme.px(240.0) {
            tile::badge_at(ui, theme, header.right_center(), &share);
        }
        let room = field.shrink(theme.px(30.0));
        let chart = Chart::around(map.lanes.iter().flatten().map(|p| p.place).chain(map.reference.iter().copied()), room);
        let painter = ui.painter().with_clip_rect(field);
        self.ways(cx, &painter, &chart, &map);
        response.on_hover_text("The latents of all lanes and of the reference, seen along the two directions in which they spread most (principal components); both axes have one scale. The thick grey line is the reference. Rings are where the lanes are now.");
    }

    fn ways(&self, cx: &LabContext<'_>, painter: &Painter, chart: &Chart, map: &RaceMap) {
        let theme = cx.theme;
        let p = theme.palette();
        let reference: Vec<Pos2> = map.reference.iter().map(|place| chart.at(*place)).collect();
        let ends = [reference.first().copied(), reference.last().copied()];
        painter.add(Shape::line(reference, Stroke::new(theme.px(6.0), Palette::mix(p.panel, p.dim, 0.45))));
        let lit = self.lit(cx);
        let position = cx.clock.position();
        for index in (0..map.lanes.len()).filter(|index| *index != lit).chain([lit]) {
            let Some((places, hue)) = map.lanes.get(index).zip(p.lanes.get(index)) else { continue };
            let strong = index == lit;
            let color = if strong { *hue } else { Palette::mix(p.panel, *hue, 0.75) };
            let way: Vec<Pos2> = places.iter().map(|place| chart.at(place.place)).collect();
            painter.add(Shape::line(way.clone(), Stroke::new(theme.px(if strong { 2.5 } else { 1.5 }), color)));
            if way.len() <= 61 {
                for at in &way {
                    painter.circle_filled(*at, theme.px(if strong { 3.0 } else { 2.0 }), color);
                }
            }
            let step = cx.session.race.lanes().get(index).and_then(|lane| lane.at(position)).map_or(0, |step| step.index);
            let now = if position < 0.5 { way.len().saturating_sub(1) } else { step };
            if let Some(at) = way.get(now) {
                painter.circle(*at, theme.px(if strong { 7.0 } else { 5.0 }), p.panel, Stroke::new(theme.px(2.5), color));
            }
        }
        let font = theme.font(Weight::Medium, 12.5);
        for (at, text, anchor, shift) in [(ends[0], "noise", Align2::LEFT_BOTTOM, -12.0), (ends[1], "picture", Align2::RIGHT_TOP, 12.0)] {
            if let Some(at) = at {
                painter.text(at + vec2(0.0, theme.px(shift)), anchor, text, font.clone(), p.dim);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_lies_in_the_chart_to_one_scale() {
        let room = Rect::from_min_max(pos2(10.0, 20.0), pos2(210.0, 120.0));
        let points = [[3.0, -1.0], [-5.0, 2.0], [0.5, 0.5]];
        let chart = Chart::around(points.into_iter(), room);
        assert!(points.iter().all(|point| room.expand(0.01).contains(chart.at(*point))));
        let way = chart.at([1.0, 1.0]) - chart.at([0.0, 0.0]);
        assert!((way.x + way.y.abs()).abs() < 1e-4 && way.x < 0.0 && way.y < 0.0, "{way}");
        let alone = Chart::around([[1.0, 1.0]].into_iter(), room);
        assert_eq!(alone.at([1.0, 1.0]), room.center());
    }
}
