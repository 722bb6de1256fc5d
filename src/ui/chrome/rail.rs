//! The rail at the left: the labs, and below them how near the open one is looked at.

use crate::ui::labs::LABS;
use crate::ui::labs::zoom::Level;
use crate::ui::theme::{Palette, Theme, Weight};
use crate::ui::widgets::controls::{focus_ring, tip};
use crate::ui::widgets::icons::{self, Icon};
use egui::{Align, Align2, Rect, Response, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};

/// Width of the rail in design units.
pub const WIDTH: f32 = 96.0;

/// What was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressed {
    /// A lab, by its id.
    Lab(&'static str),
    /// A level of looking.
    Level(Level),
}

/// Shows the labs and the levels; returns the one pressed.
pub fn show(ui: &mut Ui, theme: &Theme, open: &str, level: Level) -> Option<Pressed> {
    let mut pressed = None;
    ui.spacing_mut().item_spacing.y = theme.px(6.0);
    for (number, lab) in LABS.iter().enumerate() {
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(88.0)), Sense::click());
        let chosen = lab.id == open;
        response.widget_info(|| WidgetInfo::selected(Role::Tab, true, chosen, lab.label));
        let ink = ground(ui, theme, rect, &response, chosen);
        let icon = Rect::from_center_size(pos2(rect.center().x, rect.top() + theme.px(28.0)), Vec2::splat(theme.px(30.0)));
        icons::paint(ui.painter(), icon, lab.icon, ink);
        let mut job =
            egui::text::LayoutJob::simple(lab.label.to_owned(), theme.font(Weight::Medium, 12.5), ink, rect.width() - theme.px(4.0));
        job.halign = Align::Center;
        let galley = ui.painter().layout_job(job);
        let top = rect.top() + theme.px(52.0);
        ui.painter().galley(pos2(rect.center().x, top), galley, ink);
        focus_ring(ui, theme, &response, rect, 6.0);
        if response.clicked() {
            pressed = Some(Pressed::Lab(lab.id));
        }
        response.on_hover_ui(|ui| tip(ui, theme, &format!("{}  ({})", lab.label, number + 1), lab.about));
    }
    let line = theme.px(46.0);
    let height = Level::ALL.len() as f32 * line;
    let room = ui.available_rect_before_wrap();
    if room.height() < height {
        return pressed;
    }
    let top = room.bottom() - height;
    ui.painter().hline(room.x_range(), top - theme.px(8.0), theme.hairline());
    for (i, step) in Level::ALL.into_iter().enumerate() {
        let rect = Rect::from_min_size(pos2(room.left(), top + i as f32 * line), vec2(room.width(), line - theme.px(4.0)));
        let response = ui.interact(rect, ui.scope_id().with(("level", i)), Sense::click());
        let chosen = step == level;
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, step.label()));
        let ink = ground(ui, theme, rect, &response, chosen);
        let icon = Rect::from_center_size(pos2(rect.center().x, rect.top() + theme.px(14.0)), Vec2::splat(theme.px(16.0)));
        icons::paint(ui.painter(), icon, [Icon::Overview, Icon::Operation, Icon::Numbers][i], ink);
        let at = pos2(rect.center().x, rect.bottom() - theme.px(10.0));
        ui.painter().text(at, Align2::CENTER_CENTER, step.label(), theme.font(Weight::Medium, 12.5), ink);
        focus_ring(ui, theme, &response, rect, 6.0);
        if response.clicked() {
            pressed = Some(Pressed::Level(step));
        }
        response.on_hover_ui(|ui| tip(ui, theme, step.label(), step.hint()));
    }
    pressed
}

/// Paints the ground of an entry; returns the ink on it.
fn ground(ui: &Ui, theme: &Theme, rect: Rect, response: &Response, chosen: bool) -> egui::Color32 {
    let p = theme.palette();
    if chosen {
        ui.painter().rect_filled(rect, theme.radius(), p.raised);
        let inset = rect.height() * 0.18;
        let bar = Rect::from_min_max(
            pos2(rect.left() - theme.px(8.0), rect.top() + inset),
            pos2(rect.left() - theme.px(5.0), rect.bottom() - inset),
        );
        ui.painter().rect_filled(bar, 2.0, p.accent);
    } else if response.hovered() {
        ui.painter().rect_filled(rect, theme.radius(), Palette::mix(p.panel, p.raised, 0.6));
    }
    if chosen || response.hovered() { p.text } else { p.dim }
}
