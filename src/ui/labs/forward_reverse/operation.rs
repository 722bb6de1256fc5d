//! The operation that one moment is made of: the sum in pixels, or the channels of the latents; and the picture's card.

use super::main::LATENT_RANGE;
use super::{ForwardReverse, Process};
use crate::diffusion::Level;
use crate::host::HostTensor;
use crate::ui::labs::{LabContext, zoom};
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::channels::{self, Grid, Look};
use crate::ui::widgets::math::{self, Math, format_number, num, row, sym, word};
use crate::ui::widgets::meaning::Meaning;
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile;
use egui::{Align2, Pos2, Rect, Ui, UiBuilder, Vec2, pos2, vec2};

impl ForwardReverse {
    /// What the noisy picture is made of, and what the autoencoder keeps of the clean one.
    pub(super) fn sum_strip(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, strip: Rect, side: f32, gap: f32) {
        let theme = cx.theme;
        let Some(picture) = cx.session.picture.clone() else { return };
        let timestep = cx.clock.timestep();
        let level = cx.session.levels.level(timestep);
        let edge = (strip.height() - theme.px(24.0)).min((side - 2.0 * theme.px(34.0)) / 3.0);
        let chain = cx.work.forward_reverse.process == Process::Chain;
        let (parts, labels) = if chain {
            let Some(taken) = self.chain.standing().map(|s| s.taken) else { return };
            let beta = cx.session.levels.beta(taken.saturating_sub(1));
            let Some(parts) = self.chain.parts(beta) else { return };
            let noise = |name: &str| sym(name, Symbol::Noise);
            let labels = [
                row([num((1.0 - beta).sqrt(), 1, 3, Symbol::Quiet), word("·", Symbol::Quiet), sym("x", Symbol::Plain).with_index("t−1")]),
                row([num(beta.sqrt(), 1, 3, Symbol::Noise), word("·", Symbol::Noise), noise("ε").with_index("t")]),
            ];
            ([parts.signal, parts.noise, parts.x], labels)
        } else {
            let x0 = self.signed.of(&picture.pixels);
            let eps = self.pixel_noise.of(cx.work.seed, x0.shape());
            let parts = self.closed.at(&x0, &eps, level).clone();
            ([parts.signal, parts.noise, parts.x], sum_labels(level))
        };
        let [a, b] = labels;
        let labels = [a, b, row([sym("x", Symbol::Plain).with_index("t")])];
        let mut x = strip.left();
        for (i, (part, label)) in parts.iter().zip(labels).enumerate() {
            let rect = Rect::from_min_size(pos2(x, strip.top()), vec2(edge, edge));
            let texture = cx.textures.get(ui.ctx(), theme, ("part", i), part, Mapping::SignedRgb, false);
            tile::frame(ui, theme, rect, Some(texture), "");
            self.probe.small(rect, part.shape()[2]);
            let first = if chain { Meaning::Before } else { Meaning::X0 };
            self.probe.mark(ui, theme, rect, [first, Meaning::Noise, Meaning::Xt][i]);
            // A click looks nearer; the probe's outlines lie over it.
            let name = ["Operand 1 of the operation", "Operand 2 of the operation", "Result of the operation"][i];
            let response = ui.interact(rect, ui.scope_id().with(("part", i)), egui::Sense::click());
            response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name));
            crate::ui::widgets::controls::focus_ring(ui, theme, &response, rect, 6.0);
            if response.clicked() {
                cx.zoom.go(zoom::Level::Operation);
            }
            response.on_hover_cursor(egui::CursorIcon::ZoomIn).on_hover_text("Press to see the operation large. Key Z");
            let width = math::width(ui.painter(), theme, &label, 14.0);
            math::inline(ui.painter(), theme, &label, 14.0, pos2(rect.center().x - width * 0.5, rect.bottom() + theme.px(18.0)));
            x += edge + theme.px(34.0);
            if i < 2 {
                let middle = pos2(rect.right() + theme.px(17.0), rect.center().y);
                let font = theme.font(Weight::Medium, 22.0);
                ui.painter().text(middle, Align2::CENTER_CENTER, ["+", "="][i], font, theme.palette().text);
            }
        }
        let right = Rect::from_min_max(pos2(strip.left() + side + gap, strip.top()), strip.max);
        self.picture_card(cx, ui, right, edge);
    }

    /// The clean picture, what the autoencoder keeps of it, and what it is called.
    fn picture_card(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, edge: f32) {
        let theme = cx.theme;
        let p = theme.palette();
        let Some(picture) = cx.session.picture.clone() else { return };
        let mut x = rect.left();
        let kept = format!("VAE {} dB", format_number(picture.reconstruction_psnr_db, 2, 1));
        for (i, (tensor, label)) in [(&picture.pixels, "original"), (&picture.reconstruction, &kept)].into_iter().enumerate() {
            let cell = Rect::from_min_size(pos2(x, rect.top()), vec2(edge, edge));
            let texture = cx.textures.get(ui.ctx(), theme, ("card", i), tensor, Mapping::Rgb, true);
            tile::frame(ui, theme, cell, Some(texture), "");
            self.probe.small(cell, tensor.shape()[2]);
            if i == 0 {
                self.probe.mark(ui, theme, cell, Meaning::X0);
            }
            ui.painter().text(
                pos2(cell.center().x, cell.bottom() + theme.px(13.0)),
                Align2::CENTER_CENTER,
                label,
                theme.font(Weight::Regular, 12.5),
                p.dim,
            );
            ui.interact(cell, ui.scope_id().with(("card", i)), egui::Sense::hover()).on_hover_text(if i == 0 {
                "The picture at the model's size.".to_owned()
            } else {
                format!(
                    "What the autoencoder keeps: encoded to {} latent channels and decoded again. The number is the measured peak \
                     signal-to-noise ratio of this picture.",
                    cx.latent_channels()
                )
            });
            x += edge + theme.px(12.0);
        }
        let text = Rect::from_min_max(pos2(x + theme.px(4.0), rect.top()), pos2(rect.right(), rect.top() + edge));
        if text.width() > theme.px(70.0) {
            let mut child = ui.new_child(UiBuilder::new().max_rect(text).id_salt("card text"));
            child.shrink_clip_rect(text);
            child.spacing_mut().item_spacing.y = theme.px(3.0);
            let name = egui::RichText::new(&picture.name).font(theme.font(Weight::Medium, 13.5)).color(p.text);
            child.add(egui::Label::new(name).truncate());
            if !picture.caption.is_empty() {
                child.label(egui::RichText::new(&picture.caption).font(theme.small()).color(p.dim));
            }
        }
    }

    /// The channels of x_t under the left picture and of the predicted x0 under the right one, each grid as wide as its picture.
    pub(super) fn latent_strip(
        &mut self,
        cx: &mut LabContext<'_>,
        ui: &mut Ui,
        corner: Pos2,
        gap: f32,
        grid: &Grid,
        shown: [Option<&HostTensor>; 2],
    ) {
        let theme = cx.theme;
        let Vec2 { x: side, y: height } = grid.size();
        for (i, (tensor, slot)) in shown.into_iter().zip(["x", "x0"]).enumerate() {
            let corner = corner + vec2(i as f32 * (side + gap), 0.0);
            let look = Look { slot, range: LATENT_RANGE, scale: Scale::Linear };
            channels::paint(ui, theme, cx.textures, corner, grid, tensor, look);
            self.probe.mark(ui, theme, Rect::from_min_size(corner, grid.size()), [Meaning::Xt, Meaning::X0Hat][i]);
            if let Some(&[_, channels, height, width]) = tensor.map(HostTensor::shape) {
                let cells = (0..channels.min(grid.channels)).map(|channel| (channel, grid.cell(corner, channel)));
                cells.for_each(|(channel, rect)| self.probe.channel(slot, rect, channel, [height, width]));
            }
            let y = corner.y + height + theme.px(15.0);
            let label = if i == 0 { "latents, exactly at t" } else { "latents of the guess" };
            let font = theme.small();
            let width = (side * 0.5).min(theme.px(190.0));
            let galley = ui.painter().layout_no_wrap(label.to_owned(), font, theme.palette().dim);
            if i == 0 || galley.size().x + theme.px(12.0) < side - width {
                ui.painter().galley(pos2(corner.x, y - galley.size().y * 0.5), galley, theme.palette().dim);
            }
            if i == 1 {
                let rect = Rect::from_min_size(pos2(corner.x + side - width, y - theme.px(9.0)), vec2(width, theme.px(18.0)));
                tile::legend(ui, theme, rect, LATENT_RANGE, Scale::Linear);
            }
        }
    }
}

fn sum_labels(level: Level) -> [Math; 2] {
    let times = |symbol| word("·", symbol);
    [
        row([num(level.alpha, 1, 3, Symbol::Signal), times(Symbol::Signal), sym("x", Symbol::Signal).with_index("0")]),
        row([num(level.sigma, 1, 3, Symbol::Noise), times(Symbol::Noise), sym("ε", Symbol::Noise)]),
    ]
}
