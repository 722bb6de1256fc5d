//! What measurements that grow in the background have in common on screen: what kind of numbers they are, and the way to stop them
//! and to go on.

use super::LabContext;
use crate::ui::widgets::controls::{Look, icon_button};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::tile;
use crate::worker::protocol::Slot;
use egui::{Rect, Role, Sense, Ui, UiBuilder, WidgetInfo};

/// At the right end of `rect` the badge of the measurements in `slot`, explained by `about`, and their buttons.
pub fn controls(cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, slot: Slot, about: &str) {
    let theme = cx.theme;
    let sweep = cx.session.sweep_of(slot);
    let counts: Vec<(usize, usize)> = sweep.points().map(|point| (point.pictures.len(), point.cached)).collect();
    let (running, stopped) = (sweep.is_running(), sweep.is_stopped());
    let mut child = ui.new_child(UiBuilder::new().max_rect(rect).layout(egui::Layout::right_to_left(egui::Align::Center)));
    let hint = "What is measured stays, on the disk too.";
    if running && icon_button(&mut child, theme, Icon::Close, 28.0, Look::Plain, false, "Cancel the measuring", hint).clicked() {
        cx.session.cancel(slot);
    }
    let hint = "Goes on from what is on the disk.";
    if stopped && icon_button(&mut child, theme, Icon::Reset, 28.0, Look::Plain, false, "Go on measuring", hint).clicked() {
        cx.session.sweep_of(slot).retry();
    }
    let numbers = counts.iter().map(|(count, _)| *count);
    let (Some(least), Some(most)) = (numbers.clone().min(), numbers.max()) else { return };
    let cached = counts.iter().all(|(count, cached)| count == cached);
    let n = if least == most { format!("n = {least}") } else { format!("n = {least} to {most}") };
    let text = format!("measured, {n}{}", if cached { ", cached" } else { "" });
    let right = child.available_rect_before_wrap().right_center();
    let badge = tile::badge_at(&child, theme, right, &text);
    let response = child.interact(badge, child.scope_id().with("measured badge"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &text));
    response.on_hover_text(about);
}
