//! The rail of labs at the left.

use crate::ui::labs::LABS;
use crate::ui::theme::{Theme, Weight};
use crate::ui::widgets::controls::focus_ring;
use crate::ui::widgets::icons;
use egui::{Align, Rect, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};

/// Width of the rail in design units.
pub const WIDTH: f32 = 96.0;

/// Shows the labs; returns the one pressed.
pub fn show(ui: &mut Ui, theme: &Theme, open: &str) -> Option<&'static str> {
    let p = theme.palette();
    let mut pressed = None;
    ui.spacing_mut().item_spacing.y = theme.px(6.0);
    for (number, lab) in LABS.iter().enumerate() {
        let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(88.0)), Sense::click());
        let chosen = lab.id == open;
        response.widget_info(|| WidgetInfo::selected(Role::Tab, true, chosen, lab.label));
        if chosen {
            ui.painter().rect_filled(rect, theme.radius(), p.raised);
            let bar = Rect::from_min_size(
                pos2(rect.left() - theme.px(8.0), rect.top() + theme.px(16.0)),
                vec2(theme.px(3.0), rect.height() - theme.px(32.0)),
            );
            ui.painter().rect_filled(bar, 2.0, p.accent);
        } else if response.hovered() {
            ui.painter().rect_filled(rect, theme.radius(), crate::ui::theme::Palette::mix(p.panel, p.raised, 0.6));
        }
        let ink = if chosen || response.hovered() { p.text } else { p.dim };
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
            pressed = Some(lab.id);
        }
        response.on_hover_ui(|ui| crate::ui::widgets::controls::tip(ui, theme, &format!("{}  ({})", lab.label, number + 1), lab.about));
    }
    pressed
}
