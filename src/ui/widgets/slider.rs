//! A slider in the instrument's look: its name, its number to type, and a track over the whole width.

use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use egui::{Color32, Key, Rect, Response, Sense, Ui, WidgetInfo, pos2, vec2};
use std::ops::RangeInclusive;

/// What a slider is about.
#[derive(Debug, Clone)]
pub struct Spec<'a> {
    /// Its name on screen and for screen readers.
    pub name: &'a str,
    /// What it does, shown in its tooltip.
    pub hint: &'a str,
    /// Smallest and largest value.
    pub range: RangeInclusive<f64>,
    /// Whether equal ways are equal ratios.
    pub logarithmic: bool,
    /// Decimals shown and kept.
    pub decimals: usize,
    /// What its number stands for.
    pub symbol: Symbol,
}

impl Spec<'_> {
    fn share_of(&self, value: f64) -> f64 {
        let (low, high) = (*self.range.start(), *self.range.end());
        if self.logarithmic { (value / low).ln() / (high / low).ln() } else { (value - low) / (high - low) }
    }

    fn at(&self, share: f64) -> f64 {
        let (low, high) = (*self.range.start(), *self.range.end());
        let share = share.clamp(0.0, 1.0);
        let value = if self.logarithmic { low * (high / low).powf(share) } else { low + share * (high - low) };
        self.tidy(value)
    }

    fn tidy(&self, value: f64) -> f64 {
        let unit = 10_f64.powi(self.decimals as i32);
        ((value * unit).round() / unit).clamp(*self.range.start(), *self.range.end())
    }

    fn step(&self) -> f64 {
        10_f64.powi(-(self.decimals as i32))
    }
}

/// What the pointer, the arrow keys and screen readers ask of a slider: a number of steps, a value, or a place on the track.
pub fn asked(ui: &Ui, response: &Response, track: Rect) -> (f64, Option<f64>, Option<f64>) {
    let focused = response.has_focus();
    if focused {
        let filter = egui::EventFilter { horizontal_arrows: true, ..Default::default() };
        ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
    }
    let (steps, value) = ui.input(|i| {
        use egui::accesskit::{Action, ActionData};
        let arrows = if focused { i.num_presses(Key::ArrowRight) as f64 - i.num_presses(Key::ArrowLeft) as f64 } else { 0.0 };
        let nudges = i.num_accesskit_action_requests(response.id, Action::Increment) as f64
            - i.num_accesskit_action_requests(response.id, Action::Decrement) as f64;
        let value = i.accesskit_action_requests(response.id, Action::SetValue).find_map(|request| match request.data {
            Some(ActionData::NumericValue(value)) => Some(value),
            _ => None,
        });
        (arrows + nudges, value)
    });
    let place = response.interact_pointer_pos().map(|pointer| f64::from((pointer.x - track.left()) / track.width()));
    (steps, value, place)
}

/// Tells screen readers that this is a slider, and over what.
pub fn declare(ui: &Ui, response: &Response, name: &str, value: f64, range: &RangeInclusive<f64>, step: f64) {
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::slider(enabled, value, name));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        use egui::accesskit::Action;
        node.set_min_numeric_value(*range.start());
        node.set_max_numeric_value(*range.end());
        node.set_numeric_value_step(step);
        [Action::SetValue, Action::Increment, Action::Decrement].into_iter().for_each(|action| node.add_action(action));
    });
}

/// A strip of colour from left to right, with round ends.
pub fn gradient(ui: &Ui, track: Rect, color: impl Fn(f32) -> Color32) {
    let painter = ui.painter();
    let radius = track.height() * 0.5;
    painter.circle_filled(pos2(track.left(), track.center().y), radius, color(0.0));
    painter.circle_filled(pos2(track.right(), track.center().y), radius, color(1.0));
    let mut mesh = egui::Mesh::default();
    let cells = 120;
    for i in 0..=cells {
        let share = i as f32 / cells as f32;
        let (x, color) = (track.left() + share * track.width(), color(share));
        mesh.colored_vertex(pos2(x, track.top()), color);
        mesh.colored_vertex(pos2(x, track.bottom()), color);
        if i > 0 {
            let n = 2 * i as u32;
            mesh.add_triangle(n - 2, n - 1, n);
            mesh.add_triangle(n - 1, n, n + 1);
        }
    }
    painter.add(mesh);
}

/// Shows a slider over the width there is. Returns whether the value changed. A double click, or the key Delete with the focus on it,
/// puts it back to `default`.
pub fn show_with_default(ui: &mut Ui, theme: &Theme, value: &mut f64, spec: &Spec<'_>, default: f64) -> bool {
    let p = theme.palette();
    let before = *value;
    let hint = format!("{} Double click or Delete puts back {default:.*}.", spec.hint, spec.decimals);
    ui.horizontal(|ui| {
        let name = ui.label(egui::RichText::new(spec.name).font(theme.font(Weight::Regular, 14.0)).color(p.dim));
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            ui.style_mut().drag_value_text_style = egui::TextStyle::Button;
            ui.visuals_mut().override_text_color = Some(p.symbol(spec.symbol));
            let drag = egui::DragValue::new(value).range(spec.range.clone()).fixed_decimals(spec.decimals);
            let drag = drag.speed((spec.range.end() - spec.range.start()) / 400.0).update_while_editing(false);
            ui.add_sized(vec2(theme.px(72.0), theme.px(28.0)), drag).labelled_by(name.id).on_hover_text(&hint);
        });
    });
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(24.0)), Sense::click_and_drag());
    declare(ui, &response, spec.name, *value, &spec.range, spec.step());
    let pad = theme.px(8.0);
    let track = Rect::from_center_size(rect.center(), vec2(rect.width() - 2.0 * pad, theme.px(5.0)));
    let (steps, set, place) = asked(ui, &response, track);
    let reset = response.double_clicked() || (response.has_focus() && ui.input(|i| i.key_pressed(Key::Delete)));
    if reset {
        *value = spec.tidy(default);
    } else if let Some(place) = place {
        *value = spec.at(place);
    } else if let Some(set) = set.filter(|v| v.is_finite()) {
        *value = spec.tidy(set);
    } else if steps != 0.0 {
        let step = if spec.logarithmic { (*value * 0.05).max(spec.step()) } else { spec.step() };
        *value = spec.tidy(*value + steps * step);
    }
    let x = track.left() + spec.share_of(*value).clamp(0.0, 1.0) as f32 * track.width();
    ui.painter().rect_filled(track, track.height(), p.hover);
    let full = Rect::from_min_max(track.min, pos2(x, track.bottom()));
    ui.painter().rect_filled(full, track.height(), Palette::mix(p.hover, p.symbol(spec.symbol), 0.75));
    let over = response.hovered() || response.dragged();
    ui.painter().circle_filled(pos2(x, track.center().y), theme.px(if over { 9.0 } else { 8.0 }) + 2.0, p.panel);
    ui.painter().circle_filled(pos2(x, track.center().y), theme.px(if over { 9.0 } else { 8.0 }), p.accent);
    super::controls::focus_ring(ui, theme, &response, rect, 6.0);
    response.on_hover_text(hint);
    (*value - before).abs() > f64::EPSILON
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_values_agree() {
        for logarithmic in [false, true] {
            let spec = Spec { name: "", hint: "", range: 0.5..=20.0, logarithmic, decimals: 3, symbol: Symbol::Plain };
            for value in [0.5, 1.0, 7.5, 20.0] {
                assert!((spec.at(spec.share_of(value)) - value).abs() < 1e-3, "{value}");
            }
            assert_eq!(spec.at(-3.0), 0.5);
            assert_eq!(spec.at(9.0), 20.0);
        }
    }
}
