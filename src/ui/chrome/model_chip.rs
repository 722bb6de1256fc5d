//! The model and what it computes on, in the top bar; a click lists the devices of this machine, each with what it measured.

use super::top_bar::Asked;
use crate::ui::device_choice::fastest;
use crate::ui::session::{ModelState, Session};
use crate::ui::theme::{Theme, Weight};
use crate::worker::protocol::{DeviceKind, DeviceRow, Slot};
use egui::{Role, Sense, Ui, WidgetInfo, vec2};

/// Shows it. Returns what was asked: the list, or another device.
pub fn show(ui: &mut Ui, theme: &Theme, session: &Session) -> Option<Asked> {
    let p = theme.palette();
    let (name, device) = match (&session.model, &session.card) {
        (ModelState::Ready, Some(card)) => (card.name.clone(), card.device.clone()),
        (ModelState::Failed(_), _) => ("No model".to_owned(), "see the message".to_owned()),
        _ => ("Opening…".to_owned(), opening(session)),
    };
    let wide = theme.px(132.0);
    let (rect, response) = ui.allocate_exact_size(vec2(wide, theme.px(44.0)), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Model {name} on {device}")));
    if response.hovered() || response.has_focus() {
        ui.painter().rect_filled(rect.expand2(vec2(theme.px(6.0), 0.0)), theme.radius(), p.hover);
    }
    for (text, font, color, y) in [
        (&name, theme.font(Weight::Medium, 13.5), p.text, rect.top() + theme.px(5.0)),
        (&device, theme.font(Weight::Regular, 12.5), p.dim, rect.top() + theme.px(24.0)),
    ] {
        let mut job = egui::text::LayoutJob::simple_singleline(text.clone(), font, color);
        job.wrap = egui::text::TextWrapping::truncate_at_width(wide);
        let galley = ui.painter().layout_job(job);
        ui.painter().galley(egui::pos2(rect.left(), y), galley, color);
    }
    let mut asked = None;
    let menu = egui::Popup::menu(&response).show(|ui| asked = devices(ui, theme, session));
    if menu.is_none() {
        card(&response, theme, session);
    }
    asked.or_else(|| (menu.is_some() && session.devices.is_none()).then_some(Asked::Devices))
}

/// How far the opening is.
fn opening(session: &Session) -> String {
    session.progress(Slot::Model).map_or_else(String::new, |(done, total)| format!("kernels, {done} of {total}"))
}

/// The facts of the model, under the pointer.
fn card(response: &egui::Response, theme: &Theme, session: &Session) {
    let Some(card) = &session.card else { return };
    response.clone().on_hover_ui(|ui| {
        let millions = |n: usize| format!("{:.2} M", n as f64 / 1e6);
        let lines = [
            ("source", card.source.clone()),
            ("device in use", card.device.clone()),
            ("picture", format!("{0} × {0}", card.picture_side)),
            ("latents", format!("{} × {} × {}", card.latent_shape[0], card.latent_shape[1], card.latent_shape[2])),
            ("schedule", card.schedule_id.clone()),
            ("predicts", card.prediction.label().to_owned()),
            ("U-Net", millions(card.unet_parameters)),
            ("autoencoder", millions(card.vae_parameters)),
            ("text encoder", millions(card.text_parameters)),
        ];
        ui.label(egui::RichText::new(&card.name).font(theme.font(Weight::SemiBold, 15.0)));
        egui::Grid::new("card").num_columns(2).show(ui, |ui| {
            for (name, value) in lines {
                ui.label(egui::RichText::new(name).font(theme.small()).color(theme.palette().dim));
                ui.label(egui::RichText::new(value).font(theme.small()));
                ui.end_row();
            }
        });
        ui.label(egui::RichText::new("Click to compute on another device").font(theme.small()).color(theme.palette().dim));
    });
}

/// The list of devices.
fn devices(ui: &mut Ui, theme: &Theme, session: &Session) -> Option<Asked> {
    let p = theme.palette();
    ui.set_width(theme.px(380.0));
    ui.horizontal(|ui| {
        ui.add_space(theme.px(10.0));
        ui.label(egui::RichText::new("Compute on").font(theme.small()).color(p.dim));
    });
    let Some(rows) = &session.devices else {
        ui.label(egui::RichText::new("looking for devices…").font(theme.small()).color(p.dim));
        return None;
    };
    let mut asked = None;
    let fastest = fastest(rows);
    ui.spacing_mut().item_spacing.y = theme.px(2.0);
    for row in rows.iter() {
        let in_use = row.card.kind == session.device;
        if entry(ui, theme, row, in_use, fastest.is_some_and(|fastest| fastest == row)) && !in_use {
            asked = Some(Asked::Device(row.card.kind));
            ui.close();
        }
    }
    asked
}

/// One device: its name, and below it what is known of it. Returns whether it was chosen.
fn entry(ui: &mut Ui, theme: &Theme, row: &DeviceRow, in_use: bool, is_fastest: bool) -> bool {
    let p = theme.palette();
    let usable = !matches!(row.tried, Some(Err(_)));
    let told = told(row, in_use, is_fastest);
    let pad = theme.px(10.0);
    let size = vec2(ui.available_width(), theme.px(46.0));
    let (rect, response) = ui.allocate_exact_size(size, if usable { Sense::click() } else { Sense::hover() });
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, usable, in_use, format!("{}, {told}", row.card.name)));
    let fill = if in_use { Some(p.raised) } else { (usable && (response.hovered() || response.has_focus())).then_some(p.hover) };
    if let Some(fill) = fill {
        ui.painter().rect_filled(rect, theme.radius(), fill);
    }
    let ink = if usable { p.text } else { p.dim };
    for (text, font, color, y) in [
        (&row.card.name, theme.font(Weight::Medium, 14.0), ink, rect.top() + theme.px(5.0)),
        (&told, theme.font(Weight::Regular, 12.5), p.dim, rect.top() + theme.px(25.0)),
    ] {
        let mut job = egui::text::LayoutJob::simple_singleline(text.clone(), font, color);
        job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width() - 2.0 * pad);
        let galley = ui.painter().layout_job(job);
        ui.painter().galley(egui::pos2(rect.left() + pad, y), galley, color);
    }
    let chosen = response.clicked();
    if !usable {
        response.on_hover_text(told);
    }
    chosen
}

/// What is known of a device.
fn told(row: &DeviceRow, in_use: bool, is_fastest: bool) -> String {
    let measured = match &row.tried {
        None if row.card.software => "the processor by a detour, and slower".to_owned(),
        None => "not measured yet".to_owned(),
        Some(Err(message)) => message.clone(),
        Some(Ok(trial)) if row.card.kind == DeviceKind::Cpu => format!("{:.1} ms a step", trial.step_ms),
        Some(Ok(trial)) if trial.passes() => format!("{:.1} ms a step, agrees with the processor", trial.step_ms),
        Some(Ok(trial)) => format!("its answers are off by {:.1} %, do not trust it", 100.0 * trial.error),
    };
    let mut parts = vec![measured];
    if is_fastest {
        parts.insert(0, "the fastest".to_owned());
    }
    if in_use {
        parts.insert(0, "in use".to_owned());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::device_choice::tests::row;

    #[test]
    fn what_is_known_of_a_device_is_told() {
        let [cuda, half] = [DeviceKind::ALL[1], DeviceKind::ALL[3]];
        assert!(told(&row(cuda, false, 1.0, 0.5), false, false).contains("off by 50.0 %"));
        assert!(told(&row(half, false, 9.0, 1e-4), true, true).starts_with("in use, the fastest, 9.0 ms"));
    }
}
