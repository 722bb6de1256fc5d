//! The predictions as arrows in the plane that they span, to scale, with the line of all scales through their tips.

use super::view::{eps_cond, eps_guided, eps_uncond};
use super::{Fields, Guidance};
use crate::diffusion::guidance::Plane;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use crate::ui::widgets::controls::focus_ring;
use crate::ui::widgets::math::{self, Math};
use crate::ui::widgets::tile::HEADER;
use crate::ui::widgets::{slider, track};
use egui::{Align2, CursorIcon, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, pos2, vec2};

/// Scales that have a tick on the line.
const TICKS: [f64; 6] = [0.0, 1.0, 3.0, 7.5, 12.0, 20.0];
/// How far along the line the view reaches: to the first of these that is beyond the scale in use.
const REACHES: [f64; 3] = [8.5, 13.0, 20.5];
const HINT: &str = "Every w has its place on this line. Drag to set w.";

/// What is kept from frame to frame.
#[derive(Default)]
pub struct State {
    /// The part of the plane in view while the handle is held, so that it does not run from under the hand.
    held: Option<Bounds>,
}

/// A part of the plane, along its [`Axes`].
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bounds {
    min: [f64; 2],
    max: [f64; 2],
}

/// How the plane is turned: the scale grows to the right, as on the slider, and the origin lies below the line.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axes {
    right: [f64; 2],
    up: [f64; 2],
}

impl Axes {
    fn of(plane: &Plane) -> Self {
        let difference = plane.difference();
        let length = Plane::norm(difference);
        if length == 0.0 {
            return Self { right: [1.0, 0.0], up: [0.0, 1.0] };
        }
        let right = difference.map(|v| v / length);
        let up = [-right[1], right[0]];
        let below = up[0] * plane.uncond[0] + up[1] * plane.uncond[1] >= 0.0;
        Self { right, up: if below { up } else { up.map(|v| -v) } }
    }

    fn turn(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.right[0] * x + self.right[1] * y, self.up[0] * x + self.up[1] * y]
    }

    fn back(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.right[0] * x + self.up[0] * y, self.right[1] * x + self.up[1] * y]
    }
}

impl Bounds {
    /// What has to be seen: the origin, both predictions, and the line from a little below `w = 0` to beyond the scale in use.
    fn around(plane: &Plane, scale: f64) -> Self {
        let axes = Axes::of(plane);
        let reach = REACHES.into_iter().find(|reach| scale < *reach).unwrap_or(REACHES[2]);
        let mut bounds = Self { min: [0.0; 2], max: [0.0; 2] };
        for point in [plane.uncond, plane.cond, plane.at(-0.2), plane.at(reach)].map(|point| axes.turn(point)) {
            for axis in 0..2 {
                bounds.min[axis] = bounds.min[axis].min(point[axis]);
                bounds.max[axis] = bounds.max[axis].max(point[axis]);
            }
        }
        bounds
    }
}

/// From the plane to the screen: one scale for both axes.
#[derive(Debug, Clone, Copy)]
struct Projection {
    axes: Axes,
    origin: Pos2,
    points_per_unit: f64,
}

impl Projection {
    fn new(axes: Axes, bounds: Bounds, room: Rect) -> Self {
        let size = [0, 1].map(|axis| (bounds.max[axis] - bounds.min[axis]).max(1e-9));
        let points_per_unit = (f64::from(room.width()) / size[0]).min(f64::from(room.height()) / size[1]).max(1e-9);
        let middle = [0, 1].map(|axis| (points_per_unit * 0.5 * (bounds.min[axis] + bounds.max[axis])) as f32);
        Self { axes, origin: room.center() + vec2(-middle[0], middle[1]), points_per_unit }
    }

    fn place(&self, point: [f64; 2]) -> Pos2 {
        let [x, y] = self.axes.turn(point).map(|v| (v * self.points_per_unit) as f32);
        self.origin + vec2(x, -y)
    }

    fn back(&self, place: Pos2) -> [f64; 2] {
        let offset = place - self.origin;
        self.axes.back([offset.x, -offset.y].map(|v| f64::from(v) / self.points_per_unit))
    }
}

/// A round distance between two circles of equal norm that are at least `points` apart.
fn ring_step(projection: &Projection, points: f64) -> f64 {
    let least = points / projection.points_per_unit;
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// Labels that do not lie over each other: a later one that would is left out.
struct Labels<'a> {
    painter: Painter,
    theme: &'a Theme,
    taken: Vec<Rect>,
}

impl Labels<'_> {
    fn is_free(&self, rect: Rect) -> bool {
        self.painter.clip_rect().contains_rect(rect) && !self.taken.iter().any(|other| other.intersects(rect))
    }

    /// Text in the middle of `at`, on a plate of the ground's colour.
    fn text(&mut self, at: Pos2, text: String, color: egui::Color32) {
        let galley = self.painter.layout_no_wrap(text, self.theme.font(Weight::Medium, 12.5), color);
        let rect = Rect::from_center_size(at, galley.size() + vec2(4.0, 0.0));
        if self.is_free(rect) {
            self.painter.rect_filled(rect, 3.0, Palette::faint(self.theme.palette().panel, 0.8));
            self.painter.galley(rect.center() - galley.size() * 0.5, galley, color);
            self.taken.push(rect);
        }
    }

    /// A symbol and its norm above `at`, ending there for an `anchor` of 1 and beginning for 0; where that is taken, at another
    /// side or a row higher.
    fn symbol(&mut self, at: Pos2, anchor: f32, symbol: &Math, norm: f64, color: egui::Color32) {
        let width = math::width(&self.painter, self.theme, symbol, 19.0);
        let galley = self.painter.layout_no_wrap(format!("{norm:.1}"), self.theme.font(Weight::Medium, 14.0), color);
        let size = vec2(width + self.theme.px(8.0) + galley.size().x, self.theme.px(22.0));
        let place = |(row, anchor): (f32, f32)| Rect::from_min_size(at - vec2(size.x * anchor, size.y * (row + 1.0)), size);
        let choices = [0.0, 1.0, 2.0].into_iter().flat_map(|row| [anchor, 0.0, 1.0].map(|anchor| (row, anchor)));
        let rect = choices.map(place).find(|rect| self.is_free(*rect)).unwrap_or_else(|| place((0.0, anchor)));
        self.painter.rect_filled(rect.expand(2.0), 3.0, Palette::faint(self.theme.palette().panel, 0.8));
        let baseline = rect.center().y + self.theme.px(5.0);
        math::inline(&self.painter, self.theme, symbol, 19.0, pos2(rect.left(), baseline));
        self.painter.galley(pos2(rect.right() - galley.size().x, baseline - galley.size().y * 0.78), galley, color);
        self.taken.push(rect);
    }
}

fn arrow(painter: &Painter, from: Pos2, to: Pos2, stroke: Stroke) {
    let way = to - from;
    if way.length() < 1.0 {
        return;
    }
    let (along, head) = (way.normalized(), (stroke.width * 4.0).min(way.length()));
    let side = 0.42 * head * along.rot90();
    painter.line_segment([from, to - along * head * 0.8], stroke);
    painter.add(Shape::convex_polygon(vec![to, to - along * head + side, to - along * head - side], stroke.color, Stroke::NONE));
}

impl Guidance {
    /// Shows the plane in `rect`. Returns whether the handle is held.
    pub(super) fn plane_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) -> bool {
        let theme = cx.theme;
        let p = theme.palette();
        let header = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(HEADER)));
        let title = "the plane that both predictions span, to scale";
        ui.painter().text(header.left_center(), Align2::LEFT_CENTER, title, theme.font(Weight::Regular, 14.0), p.dim);
        let field = Rect::from_min_max(pos2(rect.left(), header.bottom()), rect.max);
        ui.painter().rect(field, theme.px(6.0), p.panel, theme.hairline(), egui::StrokeKind::Inside);
        let Some(fields) = &self.fields else {
            let font = theme.body();
            ui.painter().text(field.center(), Align2::CENTER_CENTER, "Waiting for the model…", font, p.dim);
            return false;
        };
        let plane = fields.plane;
        let picture = ui.interact(field, ui.scope_id().with("plane"), Sense::hover());
        let spoken = format!(
            "Plane of the predictions: unconditional {:.1}, conditional {:.1}, guided {:.1} long, {:.1} degrees between the first two",
            fields.comparison.norm_uncond, fields.comparison.norm_cond, fields.guided_norm, fields.comparison.angle_degrees
        );
        picture.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));

        let note = theme.px(44.0);
        let inner = Rect::from_min_max(field.min, field.max - vec2(0.0, note));
        let room = Rect::from_min_max(inner.min + vec2(theme.px(60.0), theme.px(66.0)), inner.max - vec2(theme.px(34.0), theme.px(20.0)));
        let scale = Self::scale(cx);
        let bounds = self.plane.held.unwrap_or_else(|| Bounds::around(&plane, scale));
        let projection = Projection::new(Axes::of(&plane), bounds, room);

        let handle = projection.place(plane.at(scale));
        let grip = Rect::from_center_size(handle, Vec2::splat(theme.px(26.0)));
        let response = ui.interact(grip, ui.scope_id().with("plane handle"), Sense::click_and_drag());
        slider::declare(ui, &response, "Guidance scale w in the plane", scale, &(0.0..=track::MOST), 0.1);
        let (steps, set, _) = slider::asked(ui, &response, grip);
        let place = response.interact_pointer_pos().filter(|_| response.dragged());
        let dragged = place.and_then(|place| plane.scale_near(projection.back(place)));
        if let Some(next) = dragged.or(set).or((steps != 0.0).then_some(scale + 0.1 * steps)).filter(|next| next.is_finite()) {
            cx.work.guidance.guidance_scale = Some((next.clamp(0.0, track::MOST) * 10.0).round() / 10.0);
        }
        let held = response.is_pointer_button_down_on();
        self.plane.held = held.then_some(bounds);

        let painter = ui.painter().with_clip_rect(inner);
        paint(&painter, theme, fields, &projection, track::MOST);
        let handle = projection.place(plane.at(Self::scale(cx)));
        let over = response.hovered() || held;
        let color = p.symbol(Symbol::Guided);
        painter.circle(handle, theme.px(if over { 9.0 } else { 8.0 }), p.accent, Stroke::new(theme.px(3.0), color));
        focus_ring(ui, theme, &response, grip, grip.width());
        let response = response.on_hover_cursor(CursorIcon::Grab);
        if !held {
            response.on_hover_text(HINT);
        }

        let count = fields.uncond.len();
        let note = if fields.scale == Self::scale(cx) {
            format!(
                "Lengths and angle are those of the {count} numbers. The guided one lies exactly in this plane: it is a weighted sum of the other two."
            )
        } else {
            "This t is outside the interval: w = 1 acts, and the guided prediction is the conditional one.".to_owned()
        };
        let pad = theme.px(12.0);
        let galley = ui.painter().layout(note, theme.small(), p.dim, field.width() - 2.0 * pad);
        let at = pos2(field.left() + pad, field.bottom() - theme.px(8.0) - galley.size().y);
        ui.painter().galley(at, galley, p.dim);
        held
    }
}

/// Everything but the handle.
fn paint(painter: &Painter, theme: &Theme, fields: &Fields, projection: &Projection, most: f64) {
    let p = theme.palette();
    let plane = &fields.plane;
    let place = |point: [f64; 2]| projection.place(point);
    let origin = projection.origin;
    let mut labels = Labels { painter: painter.clone(), theme, taken: Vec::new() };
    let (uncond, cond, guided) = (p.symbol(Symbol::Unconditional), p.symbol(Symbol::Conditional), p.symbol(Symbol::Guided));

    let step = ring_step(projection, f64::from(theme.px(64.0)));
    let radius_of = |ring: usize| (ring as f64 * step * projection.points_per_unit) as f32;
    let farthest = painter.clip_rect().size().length();
    let rings: Vec<usize> = (1..60).take_while(|ring| radius_of(*ring) < farthest).collect();
    for ring in &rings {
        painter.circle_stroke(origin, radius_of(*ring), Stroke::new(1.0, Palette::faint(p.line, 0.8)));
    }

    // The line of all scales, in the colours of the slider.
    let cells = 80;
    for cell in 0..cells {
        let at = |i: i32| most * f64::from(i) / f64::from(cells);
        let w = at(cell) as f32;
        let color = if w < 1.0 { Palette::mix(uncond, cond, w) } else { Palette::mix(cond, guided, (w - 1.0) / 9.0) };
        painter.line_segment(
            [place(plane.at(at(cell))), place(plane.at(at(cell + 1)))],
            Stroke::new(theme.px(3.0), Palette::mix(p.panel, color, 0.6)),
        );
    }

    // The angle between the two predictions.
    let angle = Plane::angle(plane.cond);
    let radius = 0.45 * Plane::norm(plane.uncond).min(Plane::norm(plane.cond));
    let arc = (0..=24).map(|i| angle * f64::from(i) / 24.0).map(|a| place([radius * a.cos(), radius * a.sin()])).collect();
    painter.add(Shape::line(arc, Stroke::new(theme.px(2.0), p.text)));

    let thin = Stroke::new(theme.px(3.0), uncond);
    arrow(painter, origin, place(plane.uncond), thin);
    arrow(painter, origin, place(plane.cond), Stroke { color: cond, ..thin });
    arrow(painter, origin, place(plane.at(fields.scale)), Stroke::new(theme.px(4.0), guided));
    painter.circle_filled(origin, theme.px(4.0), p.text);

    // What is said of the tips comes first, then the ticks, then the circles.
    let above = vec2(0.0, -theme.px(12.0));
    let acting = place(plane.at(fields.scale));
    labels.taken.push(Rect::from_center_size(acting, Vec2::splat(theme.px(20.0))));
    labels.symbol(place(plane.uncond) + above + vec2(theme.px(4.0), 0.0), 1.0, &eps_uncond(), fields.comparison.norm_uncond, uncond);
    if fields.scale != 1.0 {
        labels.symbol(place(plane.cond) + above, 0.0, &eps_cond(), fields.comparison.norm_cond, cond);
    }
    if fields.scale != 0.0 {
        labels.symbol(acting + above, 0.5, &eps_guided(), fields.guided_norm, guided);
    }
    // Beside the arrow at the left, where no other arrow is.
    let way = (place(plane.uncond) - origin).normalized();
    let beside = if way.x < 0.7 { vec2(way.y, -way.x) } else { vec2(0.0, 1.0) };
    let at = place([radius, 0.0]) + beside * theme.px(24.0);
    labels.text(at, format!("{:.1}°", fields.comparison.angle_degrees), p.text);
    for tick in TICKS {
        let at = place(plane.at(tick));
        painter.vline(at.x, at.y - theme.px(6.0)..=at.y + theme.px(6.0), Stroke::new(theme.px(2.0), p.dim));
        labels.text(at + vec2(0.0, theme.px(17.0)), format!("{tick}"), p.dim);
    }
    for ring in rings {
        for across in [-radius_of(ring), radius_of(ring)] {
            labels.text(origin + vec2(across, 0.0), format!("{}", ring as f64 * step), p.dim);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANE: Plane = Plane { uncond: [50.0, 0.0], cond: [48.0, 5.0] };

    #[test]
    fn the_plane_is_shown_to_scale_and_points_lead_back() {
        let room = Rect::from_min_size(pos2(10.0, 20.0), vec2(300.0, 200.0));
        for scale in [0.0, 5.0, 9.0, 20.0] {
            let bounds = Bounds::around(&PLANE, scale);
            let projection = Projection::new(Axes::of(&PLANE), bounds, room);
            for point in [[0.0, 0.0], PLANE.uncond, PLANE.cond, PLANE.at(scale)] {
                let place = projection.place(point);
                assert!(room.expand(0.1).contains(place), "{scale}: {point:?} at {place}");
                let back = projection.back(place);
                assert!((back[0] - point[0]).hypot(back[1] - point[1]) < 1e-3, "{back:?}");
            }
            let [low, high] = [0.0, 20.0].map(|w| projection.place(PLANE.at(w)));
            assert!((low.y - high.y).abs() < 0.1 && low.x < high.x && projection.origin.y > low.y, "w grows to the right above the origin");
            let drawn = (projection.place(PLANE.cond) - projection.place(PLANE.uncond)).length();
            let length = Plane::norm(PLANE.difference()) * projection.points_per_unit;
            assert!((f64::from(drawn) / length - 1.0).abs() < 1e-4);
        }
        let nothing = Plane { uncond: [0.0; 2], cond: [0.0; 2] };
        assert!(Projection::new(Axes::of(&nothing), Bounds::around(&nothing, 5.0), room).place([0.0; 2]).x.is_finite());
    }

    #[test]
    fn circles_stand_at_round_norms() {
        for points_per_unit in [0.3, 1.0, 7.0, 130.0] {
            let step = ring_step(&Projection { axes: Axes::of(&PLANE), origin: Pos2::ZERO, points_per_unit }, 60.0);
            assert!((60.0..=150.1).contains(&(step * points_per_unit)), "{step}");
            let digit = step / 10_f64.powf(step.log10().floor() + 1e-9);
            assert!([1.0, 2.0, 5.0, 10.0].iter().any(|d| (d - digit).abs() < 1e-6), "{step}");
        }
    }
}
