//! The clock at the bottom: play, pause, step, speed, direction, scrub, loop.

use crate::ui::clock::{Clock, Direction, Pace};
use crate::ui::settings::Settings;
use crate::ui::theme::{Symbol, Theme, Weight};
use crate::ui::widgets::controls::{Look, icon_button, segmented};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::math::{inline, sym};
use crate::ui::widgets::scrubber;
use egui::{Align, Align2, Layout, Role, Sense, Ui, WidgetInfo, pos2, vec2};

/// Shows the clock and lets it be worked.
pub fn show(ui: &mut Ui, theme: &Theme, clock: &mut Clock, settings: &mut Settings, pace: &Pace) {
    ui.horizontal_centered(|ui| {
        ui.spacing_mut().item_spacing.x = theme.px(4.0);
        let (label, icon) = if clock.playing { ("Pause", Icon::Pause) } else { ("Play", Icon::Play) };
        if icon_button(ui, theme, Icon::ToStart, 36.0, Look::Plain, false, "To the picture", "t = 0. Key Home").clicked() {
            clock.playing = false;
            clock.set(0.0);
        }
        if icon_button(ui, theme, Icon::StepLeft, 36.0, Look::Plain, false, "Step towards the picture", "Key ←, one timestep with Shift")
            .clicked()
        {
            clock.step(Direction::Reverse, &pace.stops);
        }
        if icon_button(ui, theme, icon, 52.0, Look::Primary, false, label, "Key Space").clicked() {
            clock.toggle(settings.looping);
        }
        if icon_button(ui, theme, Icon::StepRight, 36.0, Look::Plain, false, "Step towards noise", "Key →, one timestep with Shift")
            .clicked()
        {
            clock.step(Direction::Forward, &pace.stops);
        }
        if icon_button(ui, theme, Icon::ToEnd, 36.0, Look::Plain, false, "To noise", "The last t. Key End").clicked() {
            clock.playing = false;
            let last = clock.last();
            clock.set(last);
        }
        ui.add_space(theme.px(10.0));
        let mut direction = clock.direction;
        let options = [
            (Direction::Forward, "Noising →", "The clock runs towards noise. Key D turns it."),
            (Direction::Reverse, "← Denoising", "The clock runs back to a picture. Key D turns it."),
        ];
        if segmented(ui, theme, &mut direction, &options) {
            clock.turn(direction);
        }
        ui.add_space(theme.px(4.0));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if icon_button(ui, theme, Icon::Loop, 36.0, Look::Plain, settings.looping, "Loop", "At either end the clock turns round. Key L")
                .clicked()
            {
                settings.looping = !settings.looping;
            }
            speed(ui, theme, settings);
            ui.add_space(theme.px(8.0));
            timestep(ui, theme, clock);
            ui.add_space(theme.px(8.0));
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                let (response, asked) = scrubber::show(ui, theme, clock.position(), clock.last(), &pace.marks);
                if let Some(timestep) = asked {
                    if response.dragged() || response.clicked() || response.is_pointer_button_down_on() {
                        clock.playing = false;
                    }
                    clock.set(timestep);
                }
            });
        });
    });
}

fn timestep(ui: &mut Ui, theme: &Theme, clock: &Clock) {
    let p = theme.palette();
    let (rect, response) = ui.allocate_exact_size(vec2(theme.px(104.0), theme.px(48.0)), Sense::hover());
    let value = clock.timestep();
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("t = {value}")));
    let baseline = rect.center().y + theme.px(11.0);
    inline(ui.painter(), theme, &sym("t", Symbol::Plain), 30.0, pos2(rect.left() + theme.px(4.0), baseline));
    let font = theme.font(Weight::Medium, 32.0);
    ui.painter().text(pos2(rect.right(), rect.center().y), Align2::RIGHT_CENTER, format!("{value}"), font, p.text);
    response.on_hover_text("The timestep: how many steps of noise have been added. It drives everything on the screen.");
}

fn speed(ui: &mut Ui, theme: &Theme, settings: &mut Settings) {
    let text = |speed: f64| if speed < 1.0 { format!("1/{:.0}×", 1.0 / speed) } else { format!("{speed:.0}×") };
    let label = text(settings.speed);
    let (rect, response) = ui.allocate_exact_size(vec2(theme.px(48.0), theme.px(36.0)), Sense::click());
    let p = theme.palette();
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Speed {label}")));
    if response.hovered() {
        ui.painter().rect_filled(rect, theme.radius(), p.raised);
    }
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, &label, theme.font(Weight::Medium, 16.0), p.text);
    crate::ui::widgets::controls::focus_ring(ui, theme, &response, rect, 6.0);
    egui::Popup::menu(&response).show(|ui| {
        for speed in Clock::SPEEDS {
            if ui.selectable_label(settings.speed == speed, text(speed)).clicked() {
                settings.speed = speed;
            }
        }
    });
    response.on_hover_text("Speed of the clock. Keys [ and ]");
}
