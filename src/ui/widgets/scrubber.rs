//! The track of the clock: from the picture at the left to noise at the right.

use super::slider;
use crate::ui::theme::{Symbol, Theme, Weight};
use egui::{Align2, Rect, Response, Sense, Stroke, Ui, pos2, vec2};

/// Where a timestep lies on the track, and back.
fn x_of(track: Rect, timestep: f64, last: f64) -> f32 {
    track.left() + (timestep / last) as f32 * track.width()
}

/// Shows the track in the space that is left. Returns the timestep asked for by pointer, key or screen reader.
pub fn show(ui: &mut Ui, theme: &Theme, timestep: f64, last: f64, marks: &[(f64, bool)]) -> (Response, Option<f64>) {
    let p = theme.palette();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(68.0)), Sense::click_and_drag());
    slider::declare(ui, &response, "Timestep", timestep.round(), &(0.0..=last), 1.0);
    let track = Rect::from_min_max(
        pos2(rect.left() + theme.px(12.0), rect.center().y + theme.px(1.0)),
        pos2(rect.right() - theme.px(12.0), rect.center().y + theme.px(11.0)),
    );
    // The arrow keys belong to the clock, with or without focus here.
    let (steps, set, place) = slider::asked(ui, &response, track);
    let asked = place.map(|place| place.clamp(0.0, 1.0) * last).or(set).or((steps != 0.0).then_some(timestep.round() + steps));

    let painter = ui.painter();
    let (signal, noise) = (p.symbol(Symbol::Signal), p.symbol(Symbol::Noise));
    slider::gradient(ui, track, |share| p.fade(share));
    let radius = track.height() * 0.5;
    for (mark, kept) in marks {
        let x = x_of(track, *mark, last);
        let color = if *kept { p.text } else { p.line };
        painter.vline(x, track.bottom() + theme.px(5.0)..=track.bottom() + theme.px(11.0), Stroke::new(theme.px(2.0), color));
    }
    let font = theme.font(Weight::Medium, 13.0);
    let top = rect.top() + theme.px(8.0);
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
