//! The list of shortcuts and the way around, over the window.

use crate::ui::theme::{Palette, Theme, Weight};
use crate::ui::widgets::controls::text_button;
use egui::{Context, Id, Modal, Ui};

/// Every shortcut: keys and what they do.
pub const SHORTCUTS: &[(&str, &str)] = &[
    ("Space", "Play or pause"),
    ("←  →", "Step to the picture, to noise"),
    ("Shift ←  →", "One timestep"),
    ("Home  End", "The picture, pure noise"),
    ("D", "Noising or denoising"),
    ("L", "Loop on or off"),
    ("[  ]", "Slower, faster"),
    ("1 … 5", "The labs"),
    ("Z  Esc", "Nearer, to the numbers; and back"),
    ("R", "Roll the seed"),
    ("Shift R", "Reset the lab"),
    ("Delete", "Reset the slider in focus"),
    ("T", "Dark or light"),
    ("F11", "Present on the whole screen"),
    ("B", "Restore the picture from here"),
    ("N", "Branch the reverse run here"),
    ("Ctrl V", "Paste a picture"),
    ("Ctrl Z", "Undo"),
    ("Ctrl Shift Z", "Redo"),
    ("Ctrl O", "Open a picture"),
    ("Ctrl S", "Save a figure"),
    ("Ctrl +  −  0", "Larger, smaller, normal"),
    ("?", "This list"),
    ("Esc", "Close, or leave a field"),
];

/// Shows the overlay. Returns whether it is to be closed.
pub fn show(ctx: &Context, theme: &Theme) -> bool {
    let p = theme.palette();
    let frame = egui::Frame::new().fill(p.panel).stroke(theme.hairline()).corner_radius(theme.radius()).inner_margin(theme.margin(28.0));
    let modal = Modal::new(Id::unique("help")).frame(frame).backdrop_color(Palette::faint(p.ground, 0.75)).show(ctx, |ui| {
        ui.set_width(theme.px(760.0).min(ctx.content_rect().width() * 0.9));
        ui.label(egui::RichText::new("Shortcuts").font(theme.font(Weight::SemiBold, 22.0)));
        ui.add_space(theme.px(8.0));
        ui.label(
            egui::RichText::new(
                "One clock drives everything: drag the track at the bottom or the playhead in a plot. A colour is a symbol, \
                 everywhere. Hover anything to learn what it is.",
            )
            .color(p.dim),
        );
        ui.add_space(theme.px(12.0));
        let half = SHORTCUTS.len().div_ceil(2);
        ui.horizontal_top(|ui| {
            for list in SHORTCUTS.chunks(half) {
                ui.vertical(|ui| rows(ui, theme, list));
                ui.add_space(theme.px(28.0));
            }
        });
        ui.add_space(theme.px(14.0));
        text_button(ui, theme, None, "Close", "").clicked()
    });
    modal.inner || modal.should_close()
}

fn rows(ui: &mut Ui, theme: &Theme, list: &[(&str, &str)]) {
    let p = theme.palette();
    egui::Grid::new(list[0].0).num_columns(2).spacing([theme.px(14.0), theme.px(9.0)]).show(ui, |ui| {
        for (keys, does) in list {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = theme.px(4.0);
                for key in keys.split_whitespace() {
                    egui::Frame::new().fill(p.raised).corner_radius(4.0).inner_margin(theme.margin_xy(6.0, 2.0)).show(ui, |ui| {
                        ui.label(egui::RichText::new(key).font(theme.font(Weight::Medium, 13.0)));
                    });
                }
            });
            ui.add(egui::Label::new(egui::RichText::new(*does).font(theme.font(Weight::Regular, 14.0))).extend());
            ui.end_row();
        }
    });
}
