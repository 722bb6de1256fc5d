//! Buttons, switches and readouts in the instrument's look.

use super::icons::{self, Icon};
use super::math::{self, Math};
use super::meaning::{self, Meaning};
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use egui::{Align2, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, vec2};

/// How an icon button looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Look {
    /// No ground until the pointer is over it.
    #[default]
    Plain,
    /// On a raised ground.
    Raised,
    /// The one primary action: filled with the accent.
    Primary,
}

/// A square button with an icon. `label` names it for screen readers and in its tooltip, with `hint` below.
#[allow(clippy::too_many_arguments, reason = "one short call per button, in rows")]
pub fn icon_button(ui: &mut Ui, theme: &Theme, icon: Icon, size: f32, look: Look, selected: bool, label: &str, hint: &str) -> Response {
    let p = theme.palette();
    let side = theme.px(size);
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::selected(Role::Button, enabled, selected, label));
    if ui.is_rect_visible(rect) {
        let over = response.hovered() && enabled;
        let (fill, ink) = match look {
            Look::Primary => (Some(if over { Palette::mix(p.accent, p.ground, 0.12) } else { p.accent }), p.on_accent),
            Look::Raised => (Some(if over { p.hover } else { p.raised }), p.text),
            Look::Plain if selected => (Some(p.raised), p.text),
            Look::Plain => (over.then_some(p.raised), if over { p.text } else { p.dim }),
        };
        let radius = if look == Look::Primary { side * 0.5 } else { f32::from(theme.radius().nw) };
        if let Some(fill) = fill {
            ui.painter().rect_filled(rect, radius, fill);
        }
        let ink = if enabled { ink } else { Palette::faint(ink, 0.4) };
        icons::paint(ui.painter(), rect.shrink(side * 0.29), icon, ink);
        focus_ring(ui, theme, &response, rect, radius);
    }
    response.on_hover_ui(|ui| tip(ui, theme, label, hint))
}

/// The two lines of a tooltip.
pub fn tip(ui: &mut Ui, theme: &Theme, title: &str, text: &str) {
    ui.label(egui::RichText::new(title).font(theme.font(Weight::Medium, 14.0)));
    if !text.is_empty() {
        ui.label(egui::RichText::new(text).font(theme.small()).color(theme.palette().dim));
    }
}

/// A button with an icon and a word.
pub fn text_button(ui: &mut Ui, theme: &Theme, icon: Option<Icon>, label: &str, hint: &str) -> Response {
    let p = theme.palette();
    let galley = ui.painter().layout_no_wrap(label.to_owned(), theme.font(Weight::Medium, 14.0), p.text);
    let (pad, mark) = (theme.px(12.0), if icon.is_some() { theme.px(24.0) } else { 0.0 });
    let size = vec2(galley.size().x + 2.0 * pad + mark, theme.px(34.0));
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let enabled = ui.is_enabled();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, label));
    if ui.is_rect_visible(rect) {
        let fill = if response.hovered() && enabled { p.hover } else { p.raised };
        ui.painter().rect_filled(rect, theme.radius(), fill);
        let ink = if enabled { p.text } else { Palette::faint(p.text, 0.4) };
        if let Some(icon) = icon {
            let middle = rect.left_center() + vec2(pad + theme.px(7.0), 0.0);
            icons::paint(ui.painter(), Rect::from_center_size(middle, Vec2::splat(theme.px(16.0))), icon, ink);
        }
        let left = rect.left() + pad + mark;
        ui.painter().galley_with_override_text_color(egui::pos2(left, rect.center().y - galley.size().y * 0.5), galley, ink);
        focus_ring(ui, theme, &response, rect, f32::from(theme.radius().nw));
    }
    if hint.is_empty() { response } else { response.on_hover_text(hint) }
}

/// A row of choices of which one holds. Returns whether it changed.
pub fn segmented<T: Copy + PartialEq>(ui: &mut Ui, theme: &Theme, value: &mut T, options: &[(T, &str, &str)]) -> bool {
    let p = theme.palette();
    let font = theme.font(Weight::Medium, 14.0);
    let pad = theme.px(12.0);
    let galleys: Vec<_> =
        options.iter().map(|(_, label, _)| ui.painter().layout_no_wrap((*label).to_owned(), font.clone(), p.text)).collect();
    let widths: Vec<f32> = galleys.iter().map(|g| (g.size().x + 2.0 * pad).ceil()).collect();
    let (rect, _) = ui.allocate_exact_size(vec2(widths.iter().sum::<f32>() + 4.0, theme.px(34.0)), Sense::hover());
    ui.painter().rect_filled(rect, theme.radius(), p.raised);
    let mut left = rect.left() + 2.0;
    let mut changed = false;
    for ((option, label, hint), (galley, width)) in options.iter().zip(galleys.into_iter().zip(widths)) {
        let cell = Rect::from_min_size(egui::pos2(left, rect.top() + 2.0), vec2(width, rect.height() - 4.0));
        left += width;
        let id = ui.scope_id().with(("segment", *label, options[0].1));
        let response = ui.interact(cell, id, Sense::click());
        let enabled = ui.is_enabled();
        let chosen = *value == *option;
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, enabled, chosen, *label));
        let round = f32::from(theme.radius().nw) - 1.0;
        if chosen {
            ui.painter().rect_filled(cell, round, if enabled { p.accent } else { p.hover });
        } else if response.hovered() {
            ui.painter().rect_filled(cell, round, p.hover);
        }
        let ink = match (chosen, enabled) {
            (true, true) => p.on_accent,
            (false, true) => p.text,
            _ => Palette::faint(p.text, 0.45),
        };
        ui.painter().galley_with_override_text_color(cell.center() - galley.size() * 0.5, galley, ink);
        focus_ring(ui, theme, &response, cell, round);
        if response.clicked() && !chosen {
            *value = *option;
            changed = true;
        }
        if !hint.is_empty() {
            response.on_hover_text(*hint);
        }
    }
    changed
}

/// Shows where the keyboard is.
pub fn focus_ring(ui: &Ui, theme: &Theme, response: &Response, rect: Rect, radius: f32) {
    if response.has_focus() {
        ui.painter().rect_stroke(rect.expand(2.0), radius + 2.0, Stroke::new(2.0, theme.palette().dim), StrokeKind::Outside);
    }
}

/// A small title over a group of controls.
pub fn section(ui: &mut Ui, theme: &Theme, text: &str) {
    ui.add_space(theme.px(10.0));
    ui.label(egui::RichText::new(text).font(theme.font(Weight::SemiBold, 13.0)).color(theme.palette().dim));
}

/// A paragraph of plain text.
pub fn paragraph(ui: &mut Ui, theme: &Theme, text: &str) {
    ui.label(egui::RichText::new(text).font(theme.body()).color(theme.palette().text).line_height(Some(theme.px(22.0))));
}

/// A line with a name at the left and a number at the right, in tabular figures.
pub fn readout(ui: &mut Ui, theme: &Theme, name: &str, value: &str, symbol: Symbol) {
    let p = theme.palette();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(24.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{name} {value}")));
    let painter = ui.painter();
    painter.text(rect.left_center(), Align2::LEFT_CENTER, name, theme.font(Weight::Regular, 14.0), p.dim);
    painter.text(rect.right_center(), Align2::RIGHT_CENTER, value, theme.font(Weight::Medium, 15.0), p.symbol(symbol));
}

/// A line with mathematics at the left and a number at the right.
pub fn math_readout(ui: &mut Ui, theme: &Theme, name: &Math, spoken: &str, value: &str, symbol: Symbol) {
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(25.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{spoken} {value}")));
    let painter = ui.painter();
    math::inline(painter, theme, name, 15.0, egui::pos2(rect.left(), rect.center().y + theme.px(5.0)));
    let color = theme.palette().symbol(symbol);
    painter.text(rect.right_center(), Align2::RIGHT_CENTER, value, theme.font(Weight::Medium, 15.0), color);
}

/// A bar that is shared between signal and noise: `signal` in 0..1.
pub fn share_bar(ui: &mut Ui, theme: &Theme, signal: f64) {
    let p = theme.palette();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(10.0)), Sense::hover());
    let signal = signal.clamp(0.0, 1.0);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("signal {:.0} percent of the variance", signal * 100.0)));
    let radius = rect.height() * 0.5;
    ui.painter().rect_filled(rect, radius, p.symbol(Symbol::Noise));
    let mut left = rect;
    left.set_width(rect.width() * signal as f32);
    let clip = ui.painter().with_clip_rect(left.intersect(ui.clip_rect()));
    clip.rect_filled(rect, radius, p.symbol(Symbol::Signal));
    ui.painter().vline(left.right(), rect.y_range().expand(2.0), Stroke::new(2.0, p.panel));
    meaning::mark_gently(ui, theme, left, Meaning::AlphaBar);
    meaning::mark_gently(ui, theme, rect.with_min_x(left.right()), Meaning::NoiseShare);
    response.on_hover_text("Share of the variance: signal ᾱ at the left, noise 1 − ᾱ at the right.");
}

/// Progress of a job with a way to stop it. Returns whether it was asked to stop.
pub fn progress(ui: &mut Ui, theme: &Theme, what: &str, done: usize, total: usize) -> bool {
    let p = theme.palette();
    let mut stop = false;
    ui.horizontal(|ui| {
        let width = (ui.available_width() - theme.px(38.0)).max(theme.px(60.0));
        let (rect, response) = ui.allocate_exact_size(vec2(width, theme.px(30.0)), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, format!("{what} {done} of {total}")));
        let rail = Rect::from_min_max(egui::pos2(rect.left(), rect.bottom() - theme.px(5.0)), rect.max);
        ui.painter().rect_filled(rail, 2.0, p.raised);
        let mut full = rail;
        full.set_width(rail.width() * (done as f32 / total.max(1) as f32).clamp(0.0, 1.0));
        ui.painter().rect_filled(full, 2.0, p.accent);
        let text = rect.left_top() + vec2(0.0, theme.px(10.0));
        ui.painter().text(text, Align2::LEFT_CENTER, what, theme.small(), p.dim);
        let count = format!("{done}/{total}");
        ui.painter().text(egui::pos2(rect.right(), text.y), Align2::RIGHT_CENTER, count, theme.small(), p.dim);
        stop =
            icon_button(ui, theme, Icon::Close, 30.0, Look::Plain, false, "Cancel", "Stops this work; what is computed stays.").clicked();
    });
    stop
}
