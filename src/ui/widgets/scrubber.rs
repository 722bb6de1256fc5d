//! The track of the clock: from the picture at the left to noise at the right.

use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use egui::{Align2, Rect, Response, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Where a timestep lies on the track, and back.
fn x_of(track: Rect, timestep: f64, last: f64) -> f32 {
    track.left() + (timestep / last) as f32 * track.width()
}

/// Shows the track in the space that is left. Returns the timestep asked for by pointer, key or screen reader.
pub fn show(ui: &mut Ui, theme: &Theme, timestep: f64, last: f64, marks: &[(f64, bool)]) -> (Response, Option<f64>) {
    let p = theme.palette();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(56.0)), Sense::click_and_drag());
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::slider(enabled, timestep.round(), "Timestep"));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        use egui::accesskit::Action;
        node.set_min_numeric_value(0.0);
        node.set_max_numeric_value(last);
        node.set_numeric_value_step(1.0);
        [Action::SetValue, Action::Increment, Action::Decrement].into_iter().for_each(|action| node.add_action(action));
    });
    let track = Rect::from_min_max(
        pos2(rect.left() + theme.px(12.0), rect.center().y - theme.px(5.0)),
        pos2(rect.right() - theme.px(12.0), rect.center().y + theme.px(5.0)),
    );
    let mut asked = ui.input(|i| {
        use egui::accesskit::{Action, ActionData};
        i.accesskit_action_requests(response.id, Action::SetValue).find_map(|request| match request.data {
            Some(ActionData::NumericValue(value)) => Some(value),
            _ => None,
        })
    });
    let nudges = ui.input(|i| {
        use egui::accesskit::Action;
        i.num_accesskit_action_requests(response.id, Action::Increment) as f64
            - i.num_accesskit_action_requests(response.id, Action::Decrement) as f64
    });
    if nudges != 0.0 {
        asked = Some(timestep.round() + nudges);
    }
    if let Some(pointer) = response.interact_pointer_pos() {
        asked = Some(f64::from((pointer.x - track.left()) / track.width()).clamp(0.0, 1.0) * last);
    }

    let painter = ui.painter();
    let (signal, noise) = (p.symbol(Symbol::Signal), p.symbol(Symbol::Noise));
    let cells = 96;
    let radius = track.height() * 0.5;
    painter.circle_filled(pos2(track.left(), track.center().y), radius, signal);
    painter.circle_filled(pos2(track.right(), track.center().y), radius, noise);
    let mut mesh = egui::Mesh::default();
    for i in 0..=cells {
        let share = i as f32 / cells as f32;
        let color = Palette::mix(signal, noise, share);
        let x = track.left() + share * track.width();
        mesh.colored_vertex(pos2(x, track.top()), color);
        mesh.colored_vertex(pos2(x, track.bottom()), color);
        if i > 0 {
            let n = 2 * i as u32;
            mesh.add_triangle(n - 2, n - 1, n);
            mesh.add_triangle(n - 1, n, n + 1);
        }
    }
    painter.add(mesh);
    for (mark, kept) in marks {
        let x = x_of(track, *mark, last);
        let color = if *kept { p.text } else { p.line };
        painter.vline(x, track.bottom() + theme.px(5.0)..=track.bottom() + theme.px(11.0), Stroke::new(theme.px(2.0), color));
    }
    let font = theme.font(Weight::Medium, 13.0);
    let top = rect.top() + theme.px(6.0);
    painter.text(pos2(track.left() - radius, top), Align2::LEFT_CENTER, "picture", font.clone(), signal);
    painter.text(pos2(track.right() + radius, top), Align2::RIGHT_CENTER, "noise", font, noise);

    let x = x_of(track, timestep, last);
    let over = response.hovered() || response.dragged();
    let size = vec2(theme.px(if over { 14.0 } else { 12.0 }), theme.px(34.0));
    let handle = Rect::from_center_size(pos2(x, track.center().y), size);
    painter.rect_filled(handle.expand(theme.px(3.0)), size.x, p.panel);
    painter.rect_filled(handle, size.x, p.accent);
    super::controls::focus_ring(ui, theme, &response, rect, 6.0);
    let response = response.on_hover_cursor(egui::CursorIcon::ResizeHorizontal);
    (response, asked)
}
