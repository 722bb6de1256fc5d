//! The middle of the lab: two large pictures and a strip below them.

use super::{ForwardReverse, Process, Settings, Space, strip};
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::labs::{LabContext, Wish, zoom};
use crate::ui::session::ModelState;
use crate::ui::settings;
use crate::ui::theme::Symbol;
use crate::ui::widgets::channels::Grid;
use crate::ui::widgets::controls::{segmented, text_button};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::math::{Math, row, sym};
use crate::ui::widgets::meaning::Meaning;
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile::{self, Badge, HEADER, Tile};
use crate::worker::protocol::{Frame, Slot};
use egui::{Rect, TextureId, Ui, UiBuilder, pos2, vec2};

/// Range of the latents' heat maps: latents have unit deviation, so this clips nothing that matters and never jumps.
pub(super) const LATENT_RANGE: f32 = 4.0;

/// One of the two large pictures.
struct View {
    symbol: Math,
    title: &'static str,
    badge: Option<Badge>,
    texture: Option<TextureId>,
    waiting: String,
    remark: String,
}

impl View {
    fn new(symbol: Math, title: &'static str, waiting: &str) -> Self {
        Self { symbol, title, badge: None, texture: None, waiting: waiting.to_owned(), remark: String::new() }
    }
}

/// Everything that one moment shows.
struct Moment {
    left: View,
    right: View,
    x: Option<HostTensor>,
    x0: Option<HostTensor>,
}

impl ForwardReverse {
    pub(super) fn show(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        ui.horizontal(|ui| self.controls(cx, ui));
        ui.add_space(theme.px(8.0));
        let room = ui.available_rect_before_wrap();
        self.probe.begin();
        let tree = if cx.clock.direction == Direction::Reverse { self.tree_height(cx) } else { 0.0 };
        let (upper, lower) = (room.bottom() - tree - strip::height(theme, room.height() - tree), room.bottom() - tree);
        let film = Rect::from_min_max(pos2(room.left(), upper), pos2(room.right(), lower));
        let body = Rect::from_min_max(room.min, pos2(room.right(), film.top() - theme.px(12.0)));
        self.keys(cx, ui);
        if cx.zoom.is_near() {
            let operation = self.operation(cx);
            zoom::show(cx, ui, body, operation);
        } else if Self::bridge_is_open(cx) {
            self.bridge_ui(cx, ui, body);
        } else {
            self.body(cx, ui, body);
        }
        if cx.zoom.is_near() {
            zoom::dim(ui, film.with_max_y(room.bottom()));
        }
        self.film_strip(cx, ui, film, room.height() - tree);
        if tree > 0.0 {
            self.tree_ui(cx, ui, Rect::from_min_max(pos2(room.left(), lower + theme.px(6.0)), room.max));
        }
        if !cx.zoom.is_near() {
            self.probe_ui(cx, ui);
            self.look_at_pinned(cx);
        }
    }

    /// The lab's own keys, where nobody types.
    fn keys(&mut self, cx: &mut LabContext<'_>, ui: &Ui) {
        if ui.ctx().text_edit_focused() {
            return;
        }
        let pressed = |key| ui.input_mut(|i| i.consume_key(egui::Modifiers::NONE, key));
        let leave = Self::bridge_is_open(cx) && self.probe.pinned().is_none() && pressed(egui::Key::Escape);
        if leave || pressed(egui::Key::B) {
            Self::cross_bridge(cx);
        }
        if pressed(egui::Key::N) {
            self.branch_here(cx);
        }
    }

    /// Two large pictures, and below them the operation that joins them.
    fn body(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, room: Rect) {
        let theme = cx.theme;
        let gap = theme.px(24.0);
        let header = theme.px(HEADER);
        let (widest, above) = ((room.width() - gap) * 0.5, header + theme.px(12.0));
        let latents = cx.work.forward_reverse.space == Space::Latents;
        let forward = cx.clock.direction == Direction::Forward;
        let channels = cx.latent_channels();
        let mut grid = Grid { channels, columns: Grid::low(channels), cell: 0.0, gap: theme.px(6.0) };
        // What height the pictures leave over goes to the strip.
        let (side, strip) = if latents {
            let (columns, rows) = (grid.columns as f32, grid.rows() as f32);
            let label = theme.px(26.0);
            // A picture of side s over its channels, as wide: s + rows * cell + (rows - 1) * gap, where s = columns * cell + (columns - 1) * gap.
            let high = (room.height() - above - label - (columns + rows - 2.0) * grid.gap) / (columns + rows);
            grid.cell = high.min((widest - (columns - 1.0) * grid.gap) / columns).max(64.0 / columns).floor();
            (grid.size().x, grid.size().y + label)
        } else {
            let least = if forward { theme.px(100.0) } else { 0.0 };
            let side = widest.min(room.height() - least - above).max(64.0).floor();
            (side, (room.height() - above - side).clamp(least, theme.px(190.0)).floor())
        };
        let left = (room.center().x - side - gap * 0.5).round();
        let spare = (room.height() - above - side - strip).max(0.0);
        let top = room.top() + (spare * 0.3).min(theme.px(40.0)).floor();
        let place = |i: f32| Rect::from_min_size(pos2(left + i * (side + gap), top), vec2(side, side + header));
        let moment = if forward { self.forward_moment(cx, ui) } else { self.reverse_moment(cx, ui) };
        for (i, view) in [moment.left, moment.right].into_iter().enumerate() {
            let View { symbol, title, badge, texture, waiting, remark } = view;
            let badge = badge.map(|b| (b, "")).filter(|_| texture.is_some());
            let shown = texture.is_some();
            let tile = Tile { symbol, title, badge, texture, waiting: &waiting, remark: &remark };
            let response = tile::show(ui, theme, place(i as f32), &tile);
            self.probe.mark(ui, theme, response.rect, [Meaning::Xt, Meaning::X0Hat][i]);
            if let Some(card) = cx.session.card.as_ref().filter(|_| shown) {
                self.probe.picture(["Probe x t", "Probe x 0 hat"][i], response.rect, card.picture_side);
            }
        }
        // The sum stands under the left picture, which may be narrower than it.
        let strip = Rect::from_min_size(pos2(left, top + above + side), vec2(2.0 * side + gap, strip));
        let mut child = ui.new_child(UiBuilder::new().max_rect(strip).id_salt("strip"));
        if latents {
            self.latent_strip(cx, &mut child, strip.min, gap, &grid, [moment.x.as_ref(), moment.x0.as_ref()]);
        } else if forward {
            self.sum_strip(cx, &mut child, strip, side, gap);
        }
    }

    fn controls(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let fewer = cx.latent_saving().map_or_else(|| "far fewer numbers".to_owned(), |ratio| format!("{ratio:.0} times fewer numbers"));
        let latents = format!("Noise is added to the autoencoder's latents: {} channels, {fewer}.", cx.latent_channels());
        let Settings { space, process, .. } = &mut cx.work.forward_reverse;
        segmented(
            ui,
            theme,
            space,
            &[(Space::Pixels, "Pixel space", "Noise is added to the picture itself."), (Space::Latents, "Latent space", &latents)],
        );
        ui.add_enabled_ui(cx.clock.direction == Direction::Forward, |ui| {
            segmented(
                ui,
                theme,
                process,
                &[
                    (Process::Closed, "Closed form", "Jumps to any timestep in one stroke."),
                    (Process::Chain, "Step by step", "Adds a little fresh noise at every timestep, as the chain is defined."),
                ],
            );
        });
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if text_button(
                ui,
                theme,
                Some(Icon::Open),
                "Open…",
                "Opens a picture of yours. You can also drop one on the window, or paste one with Ctrl+V.",
            )
            .clicked()
            {
                cx.wishes.push(Wish::OpenPicture);
            }
            if text_button(ui, theme, Some(Icon::Dice), "Another scene", "Draws another Littleworld scene. The seed of the noise stays.")
                .clicked()
            {
                cx.work.scene_seed = settings::roll(cx.work.scene_seed);
            }
        });
    }

    fn forward_moment(&mut self, cx: &mut LabContext<'_>, ui: &Ui) -> Moment {
        let theme = cx.theme;
        let timestep = cx.clock.timestep();
        let x_t = row([sym("x", Symbol::Plain).with_index("t")]);
        let x0_hat = row([sym("x", Symbol::Signal).hat().with_index("0")]);
        let waiting_picture = match &cx.session.model {
            ModelState::Failed(_) => "No model is open.",
            ModelState::Opening => "Opening the model…",
            ModelState::Ready if cx.session.picture_is_coming() => "Drawing the scene…",
            ModelState::Ready => "There is no picture yet. Press “Another scene” or “Open…”.",
        };
        let mut moment = Moment {
            left: View::new(x_t.clone(), "the noisy picture", waiting_picture),
            right: View::new(x0_hat.clone(), "what the model sees in it", waiting_picture),
            x: None,
            x0: None,
        };
        let Some(picture) = cx.session.picture.clone() else { return moment };
        let look = cx.session.forward.nearest(timestep as f64).cloned();
        let x_latents = self.latents_at(cx);
        if cx.work.forward_reverse.space == Space::Pixels {
            let x = self.pixels_at(cx, &picture.pixels);
            let texture = x.as_ref().map(|x| cx.textures.get(ui.ctx(), theme, "x_t", x, Mapping::SignedRgb, false));
            moment.left.badge = Some(Badge::ExactPixels);
            moment.left.texture = texture;
            moment.left.remark = self.chain_remark(timestep);
        } else {
            let (shown, remark) = self.noisy_decoded(cx, timestep);
            moment.left.title = "noisy latents";
            moment.left.badge = Some(Badge::Decoded);
            moment.left.texture = shown.as_ref().map(|p| cx.textures.get(ui.ctx(), theme, "x_t", p, Mapping::Rgb, true));
            moment.left.waiting = "Decoding the noisy latents…".to_owned();
            moment.left.remark = remark;
            moment.x = x_latents;
        }
        let waiting = match cx.session.progress(Slot::Forward) {
            Some((done, total)) => format!("The model looks at the noisy latents, {done} of {total}"),
            None => "The model has not looked yet.".to_owned(),
        };
        moment.right.waiting = waiting;
        if let Some(frame) = look {
            moment.right.texture = frame.x0_picture.as_ref().map(|p| cx.textures.get(ui.ctx(), theme, "x0_hat", p, Mapping::Rgb, true));
            moment.right.badge = Some(Badge::Prediction);
            moment.right.remark = at_remark("predicted at", &frame, timestep);
            moment.x0 = Some(frame.x0.clone());
        }
        moment
    }

    fn chain_remark(&self, timestep: usize) -> String {
        match self.chain.standing() {
            Some(standing) if !self.chain_there => format!("walking the chain, step {} of {}", standing.taken, timestep + 1),
            _ => String::new(),
        }
    }

    fn pixels_at(&mut self, cx: &LabContext<'_>, pixels: &HostTensor) -> Option<HostTensor> {
        if cx.work.forward_reverse.process == Process::Chain {
            return self.chain.standing().map(|s| s.x.clone());
        }
        let x0 = self.signed.of(pixels);
        let eps = self.pixel_noise.of(cx.work.seed, x0.shape());
        Some(self.closed.at(&x0, &eps, cx.session.levels.level(cx.clock.timestep())).x.clone())
    }

    fn reverse_moment(&mut self, cx: &mut LabContext<'_>, ui: &Ui) -> Moment {
        let theme = cx.theme;
        let run = self.shown_run(cx.session);
        let position = cx.clock.position();
        let slot = if self.tree.shown_branch().is_some() { Slot::Branch } else { Slot::Reverse };
        let waiting = match cx.session.progress(slot) {
            Some((done, total)) if done > total / 2 => format!("Decoding, {} of {}", done - total / 2, total / 2),
            Some((done, total)) => format!("Denoising, step {done} of {}", total / 2),
            None if run.is_stopped() => "The run was stopped. Change the prompt or the seed, or press “Run again”.".to_owned(),
            None => "Waiting for the model…".to_owned(),
        };
        let stale = if self.shown_is_current(cx) { "" } else { "the run before" };
        let finished = run.end().filter(|_| position < 0.5);
        let frame = run.at(position).cloned();
        let mut moment = Moment {
            left: View::new(row([sym("x", Symbol::Plain).with_index("t")]), "noisy latents", &waiting),
            right: View::new(row([sym("x", Symbol::Signal).hat().with_index("0")]), "what the model sees in it", &waiting),
            x: frame.as_ref().map(|f| f.x.clone()),
            x0: frame.as_ref().map(|f| f.x0.clone()),
        };
        if let Some(frame) = &frame {
            let remark = if stale.is_empty() { format!("step {} of {}", frame.index + 1, frame.count) } else { stale.to_owned() };
            let mut get =
                |slot: &str, p: &Option<HostTensor>| p.as_ref().map(|p| cx.textures.get(ui.ctx(), theme, slot, p, Mapping::Rgb, true));
            moment.left.texture = get("x_t", &frame.x_picture);
            moment.right.texture = get("x0_hat", &frame.x0_picture);
            moment.left.badge = Some(Badge::Decoded);
            moment.right.badge = Some(Badge::Prediction);
            moment.left.remark = remark;
        }
        if let Some(end) = finished {
            let texture = cx.textures.get(ui.ctx(), theme, "x_t", &end.picture, Mapping::Rgb, true);
            moment.left.symbol = row([sym("x", Symbol::Signal).with_index("0")]);
            moment.left.title = "the finished picture";
            moment.left.texture = Some(texture);
            moment.left.remark = if stale.is_empty() { format!("made in {:.2} s", end.elapsed_ms / 1000.0) } else { stale.to_owned() };
            moment.x = Some(end.latents.clone());
        }
        moment
    }
}

pub(super) fn at_remark(what: &str, frame: &Frame, timestep: usize) -> String {
    if (frame.timestep - timestep as f64).abs() < 0.6 { String::new() } else { format!("{what} t = {:.0}", frame.timestep) }
}
