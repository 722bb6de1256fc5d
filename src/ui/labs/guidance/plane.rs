//! The predictions as arrows in the plane that they span, to scale, with the line of all scales through their tips.

use super::projection::{Axes, Bounds, Projection, ring_step};
use super::{Fields, Guidance};
use crate::diffusion::guidance::Plane;
use crate::ui::labs::LabContext;
use crate::ui::labs::formula::{eps_cond, eps_guided, eps_uncond};
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use crate::ui::widgets::controls::focus_ring;
use crate::ui::widgets::math::{self, Math};
use crate::ui::widgets::meaning::{self, Meaning};
use crate::ui::widgets::tile::HEADER;
use crate::ui::widgets::{slider, track};
use egui::{Align2, CursorIcon, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, Vec2, WidgetInfo, pos2, vec2};

/// Scales that have a tick on the line.
const TICKS: [f64; 6] = [0.0, 1.0, 3.0, 7.5, 12.0, 20.0];
const HINT: &str = "Every w has its place on this line. Drag to set w.";

/// Where both tips are nearer to each other than this, in design units, the tips are shown enlarged and the whole in the corner.
const TOO_NEAR: f32 = 16.0;

/// What is seen of the plane: a part of it, and whether that is the tips alone.
#[derive(Debug, Clone, Copy)]
struct View {
    bounds: Bounds,
    tips: bool,
}

/// What is kept from frame to frame.
#[derive(Default)]
pub struct State {
    /// The part of the plane in view while the handle is held, so that it does not run from under the hand.
    held: Option<View>,
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
        let scale = Self::scale(cx);
        let room = Rect::from_min_max(inner.min + vec2(theme.px(60.0), theme.px(66.0)), inner.max - vec2(theme.px(34.0), theme.px(20.0)));
        let axes = Axes::of(&plane);
        let whole = Projection::new(axes, Bounds::around(&plane, scale), room);
        let view = self.plane.held.unwrap_or_else(|| {
            let apart = Plane::norm(plane.difference()) * whole.points_per_unit;
            let tips = apart < f64::from(theme.px(TOO_NEAR)) && fields.comparison.norm_difference > 0.0;
            View { bounds: if tips { Bounds::of_tips(&plane, scale) } else { Bounds::around(&plane, scale) }, tips }
        });
        let corner = Rect::from_min_size(inner.left_bottom() - vec2(-theme.px(10.0), theme.px(116.0)), Vec2::splat(theme.px(108.0)));
        let room = if view.tips { room.with_min_x(corner.right() + theme.px(48.0)) } else { room };
        let projection = Projection::new(axes, view.bounds, room);

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
        self.plane.held = held.then_some(view);

        let painter = ui.painter().with_clip_rect(inner.intersect(ui.clip_rect()));
        point_at(ui, theme, fields, &projection, inner);
        paint(&painter, theme, fields, &projection, view.tips);
        if view.tips {
            paint_whole(&painter, theme, fields, &projection, corner);
        }
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
            let exact = "The guided one lies exactly in this plane: it is a weighted sum of the other two.";
            if view.tips {
                let times = projection.points_per_unit / whole.points_per_unit;
                format!("The tips, {times:.0}× enlarged; the whole is in the corner. {exact}")
            } else {
                format!("Lengths and angle are those of the {count} numbers. {exact}")
            }
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

/// The arrow under the pointer lights its symbol.
fn point_at(ui: &Ui, theme: &Theme, fields: &Fields, projection: &Projection, field: Rect) {
    let Some(pointer) = ui.ctx().pointer_hover_pos().filter(|at| field.contains(*at) && ui.rect_contains_pointer(field)) else { return };
    let plane = &fields.plane;
    let arrows = [(plane.uncond, Meaning::Unconditional), (plane.cond, Meaning::Conditional), (plane.at(fields.scale), Meaning::Guided)];
    let away = |tip: [f64; 2]| {
        let (from, along) = (projection.origin, projection.place(tip) - projection.origin);
        let share = ((pointer - from).dot(along) / along.length_sq().max(1.0)).clamp(0.0, 1.0);
        (pointer - from - along * share).length()
    };
    let nearest = arrows.into_iter().map(|(tip, of)| (away(tip), of)).min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, of)) = nearest.filter(|(away, _)| *away < theme.px(7.0)) {
        meaning::point(ui.ctx(), of);
    }
}

/// Everything but the handle.
fn paint(painter: &Painter, theme: &Theme, fields: &Fields, projection: &Projection, tips: bool) {
    let most = track::MOST;
    let p = theme.palette();
    let plane = &fields.plane;
    let place = |point: [f64; 2]| projection.place(point);
    let origin = projection.origin;
    let mut labels = Labels { painter: painter.clone(), theme, taken: Vec::new() };
    let shade = |symbol, of| meaning::shade(painter.ctx(), theme, p.symbol(symbol), of);
    let (uncond, cond) = (shade(Symbol::Unconditional, Meaning::Unconditional), shade(Symbol::Conditional, Meaning::Conditional));
    let guided = shade(Symbol::Guided, Meaning::Guided);

    let step = ring_step(projection, f64::from(theme.px(64.0)));
    let radius_of = |ring: usize| (ring as f64 * step * projection.points_per_unit) as f32;
    let clip = painter.clip_rect();
    let (nearest, farthest) = (if tips { origin.y - clip.bottom() } else { 0.0 }, clip.distance_to_pos(origin) + clip.size().length());
    let in_view = |ring: &usize| (nearest..farthest).contains(&radius_of(*ring));
    let rings: Vec<usize> = (1..2000).filter(in_view).take(60).collect();
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
        let norm = format!("{}", ring as f64 * step);
        if tips {
            let across = clip.right() - theme.px(18.0) - origin.x;
            let down = (radius_of(ring).powi(2) - across * across).max(0.0).sqrt();
            labels.text(origin + vec2(across, -down), norm, p.dim);
            continue;
        }
        for across in [-radius_of(ring), radius_of(ring)] {
            labels.text(origin + vec2(across, 0.0), norm.clone(), p.dim);
        }
    }
}

/// The whole plane in a corner, with a frame around the part that is shown enlarged.
fn paint_whole(painter: &Painter, theme: &Theme, fields: &Fields, shown: &Projection, corner: Rect) {
    let p = theme.palette();
    let plane = &fields.plane;
    let field = painter.clip_rect().with_min_x(corner.right());
    painter.rect(corner, theme.px(5.0), p.ground, theme.hairline(), egui::StrokeKind::Inside);
    let room = Rect::from_min_max(corner.min + vec2(theme.px(12.0), theme.px(16.0)), corner.max - vec2(theme.px(12.0), theme.px(24.0)));
    let whole = Projection::new(shown.axes, Bounds::around(plane, fields.scale), room);
    let painter = painter.with_clip_rect(corner.intersect(painter.clip_rect()));
    let [left, right] = [0.0, track::MOST].map(|w| whole.place(plane.at(w)));
    painter.line_segment([left, right], Stroke::new(1.0, p.dim));
    let tips = [
        (plane.uncond, p.symbol(Symbol::Unconditional)),
        (plane.cond, p.symbol(Symbol::Conditional)),
        (plane.at(fields.scale), p.symbol(Symbol::Guided)),
    ];
    for (tip, color) in tips {
        arrow(&painter, whole.origin, whole.place(tip), Stroke::new(theme.px(1.5), color));
    }
    painter.circle_filled(whole.origin, theme.px(2.5), p.text);
    let [a, b] = [field.min, field.max].map(|place| whole.place(shown.back(place)));
    let frame = Rect::from_two_pos(a, b).intersect(corner.shrink(3.0));
    painter.rect_stroke(frame, 2.0, Stroke::new(1.0, p.text), egui::StrokeKind::Outside);
    let angle = format!("angle {:.1}°", fields.comparison.angle_degrees);
    let at = pos2(corner.left() + theme.px(8.0), corner.bottom() - theme.px(9.0));
    painter.text(at, Align2::LEFT_CENTER, angle, theme.font(Weight::Medium, 11.5), p.text);
}
