//! The middle of the lab: two large pictures and a strip below them.

use super::{ForwardReverse, Process, Settings, Space};
use crate::diffusion::Level;
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::labs::{LabContext, Wish};
use crate::ui::session::ModelState;
use crate::ui::settings;
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::channels::{self, Grid, Look};
use crate::ui::widgets::controls::{segmented, text_button};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::math::{self, Math, format_number, num, row, sym, word};
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile::{self, Badge, HEADER, Tile};
use crate::worker::protocol::{Frame, Slot};
use egui::{Align2, Pos2, Rect, TextureId, Ui, UiBuilder, Vec2, pos2, vec2};
use std::sync::Arc;

/// Range of the latents' heat maps: latents have unit deviation, so this clips nothing that matters and never jumps.
const LATENT_RANGE: f32 = 4.0;

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
        let gap = theme.px(24.0);
        let header = theme.px(HEADER);
        let (widest, above) = ((room.width() - gap) * 0.5, header + theme.px(14.0));
        let latents = cx.work.forward_reverse.space == Space::Latents;
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
            let least = theme.px(112.0);
            let side = widest.min(room.height() - least - above).max(64.0).floor();
            (side, (room.height() - above - side).clamp(least, theme.px(190.0)).floor())
        };
        let left = (room.center().x - side - gap * 0.5).round();
        let spare = (room.height() - above - side - strip).max(0.0);
        let top = room.top() + (spare * 0.3).min(theme.px(40.0)).floor();
        let place = |i: f32| Rect::from_min_size(pos2(left + i * (side + gap), top), vec2(side, side + header));
        let moment = match cx.clock.direction {
            Direction::Forward => self.forward_moment(cx, ui),
            Direction::Reverse => self.reverse_moment(cx, ui),
        };
        for (i, view) in [moment.left, moment.right].into_iter().enumerate() {
            let View { symbol, title, badge, texture, waiting, remark } = view;
            let badge = badge.map(|b| (b, "")).filter(|_| texture.is_some());
            let tile = Tile { symbol, title, badge, texture, waiting: &waiting, remark: &remark };
            tile::show(ui, theme, place(i as f32), &tile);
        }
        let strip = Rect::from_min_size(pos2(left, top + above + side), vec2(2.0 * side + gap, strip));
        let mut child = ui.new_child(UiBuilder::new().max_rect(strip).id_salt("strip"));
        match (cx.work.forward_reverse.space, cx.clock.direction) {
            (Space::Latents, _) => self.latent_strip(cx, &mut child, strip.min, gap, &grid, [moment.x.as_ref(), moment.x0.as_ref()]),
            (Space::Pixels, Direction::Forward) => self.sum_strip(cx, &mut child, strip, side, gap),
            (Space::Pixels, Direction::Reverse) => film_strip(cx, &mut child, strip),
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
            if text_button(ui, theme, Some(Icon::Open), "Open…", "Opens a picture of yours; you can also drop one on the window.").clicked()
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
            let exact = x_latents.as_ref().and_then(|l| cx.session.decoded(l).cloned());
            let from_run = look.as_ref().filter(|_| cx.work.forward_reverse.process == Process::Closed);
            let shown = exact.clone().or_else(|| from_run.and_then(|f| f.x_picture.clone()));
            moment.left.title = "noisy latents, decoded";
            moment.left.badge = Some(Badge::Decoded);
            moment.left.texture = shown.as_ref().map(|p| cx.textures.get(ui.ctx(), theme, "x_t", p, Mapping::Rgb, true));
            moment.left.waiting = "Decoding the noisy latents…".to_owned();
            if exact.is_none() {
                moment.left.remark = look.as_ref().map_or(String::new(), |f| at_remark("decoded at", f, timestep));
            }
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
        let run = &cx.session.reverse;
        let position = cx.clock.position();
        let waiting = match cx.session.progress(Slot::Reverse) {
            Some((done, total)) => format!("Denoising, step {done} of {total}"),
            None if run.is_stopped() => "The run was stopped. Change the prompt or the seed, or press “Run again”.".to_owned(),
            None => "Waiting for the model…".to_owned(),
        };
        let stale = if run.is_current() { "" } else { "the run before" };
        let finished = run.end().filter(|_| position < 0.5);
        let frame = run.at(position).cloned();
        let mut moment = Moment {
            left: View::new(row([sym("x", Symbol::Plain).with_index("t")]), "noisy latents, decoded", &waiting),
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

    /// What the noisy picture is made of, and what the autoencoder keeps of the clean one.
    fn sum_strip(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, strip: Rect, side: f32, gap: f32) {
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
    fn picture_card(&self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, edge: f32) {
        let theme = cx.theme;
        let p = theme.palette();
        let Some(picture) = cx.session.picture.clone() else { return };
        let mut x = rect.left();
        let kept = format!("autoencoder {} dB", format_number(picture.reconstruction_psnr_db, 2, 1));
        for (i, (tensor, label)) in [(&picture.pixels, "original"), (&picture.reconstruction, &kept)].into_iter().enumerate() {
            let cell = Rect::from_min_size(pos2(x, rect.top()), vec2(edge, edge));
            let texture = cx.textures.get(ui.ctx(), theme, ("card", i), tensor, Mapping::Rgb, true);
            tile::frame(ui, theme, cell, Some(texture), "");
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
            child.set_clip_rect(text);
            child.spacing_mut().item_spacing.y = theme.px(3.0);
            let name = egui::RichText::new(&picture.name).font(theme.font(Weight::Medium, 13.5)).color(p.text);
            child.add(egui::Label::new(name).truncate());
            if !picture.caption.is_empty() {
                child.label(egui::RichText::new(&picture.caption).font(theme.small()).color(p.dim));
            }
        }
    }

    /// The channels of x_t under the left picture and of the predicted x0 under the right one, each grid as wide as its picture.
    fn latent_strip(&self, cx: &mut LabContext<'_>, ui: &mut Ui, corner: Pos2, gap: f32, grid: &Grid, shown: [Option<&HostTensor>; 2]) {
        let theme = cx.theme;
        let Vec2 { x: side, y: height } = grid.size();
        for (i, (tensor, slot)) in shown.into_iter().zip(["x", "x0"]).enumerate() {
            let corner = corner + vec2(i as f32 * (side + gap), 0.0);
            let look = Look { slot, range: LATENT_RANGE, scale: Scale::Linear };
            channels::show(ui, theme, cx.textures, corner, grid, tensor, look);
            let y = corner.y + height + theme.px(15.0);
            let label = if i == 0 { "latents of the left picture, exactly at t" } else { "latents of the right picture" };
            let font = theme.small();
            ui.painter().text(pos2(corner.x, y), Align2::LEFT_CENTER, label, font, theme.palette().dim);
            if i == 1 {
                let width = (side * 0.5).min(theme.px(190.0));
                let rect = Rect::from_min_size(pos2(corner.x + side - width, y - theme.px(9.0)), vec2(width, theme.px(18.0)));
                tile::legend(ui, theme, rect, LATENT_RANGE, Scale::Linear);
            }
        }
    }
}

fn at_remark(what: &str, frame: &Frame, timestep: usize) -> String {
    if (frame.timestep - timestep as f64).abs() < 0.6 { String::new() } else { format!("{what} t = {:.0}", frame.timestep) }
}

fn sum_labels(level: Level) -> [Math; 2] {
    let times = |symbol| word("·", symbol);
    [
        row([num(level.alpha, 1, 3, Symbol::Signal), times(Symbol::Signal), sym("x", Symbol::Signal).with_index("0")]),
        row([num(level.sigma, 1, 3, Symbol::Noise), times(Symbol::Noise), sym("ε", Symbol::Noise)]),
    ]
}

/// The kept steps of the reverse run as small pictures; pressing one puts the clock there.
fn film_strip(cx: &mut LabContext<'_>, ui: &mut Ui, strip: Rect) {
    let theme = cx.theme;
    let gap = theme.px(8.0);
    let edge = strip.height() - theme.px(24.0);
    let places = ((strip.width() + gap) / (edge + gap)).floor().max(2.0) as usize;
    let step = (strip.width() - edge) / (places - 1) as f32;
    let run = &cx.session.reverse;
    let count = run.count().max(cx.work.forward_reverse.steps).max(1);
    let now = run.at(cx.clock.position()).map(|f| f.index);
    let chosen: Vec<Option<Arc<Frame>>> = (0..places)
        .map(|i| (i * (count - 1) + (places - 1) / 2) / (places - 1))
        .map(|index| run.frames().iter().find(|f| f.index == index).cloned())
        .collect();
    let nearest = now.and_then(|now| {
        let distance = |f: &Option<Arc<Frame>>| f.as_ref().map_or(usize::MAX, |f| f.index.abs_diff(now));
        (0..places).min_by_key(|i| distance(&chosen[*i]))
    });
    for (i, frame) in chosen.iter().enumerate() {
        let rect = Rect::from_min_size(pos2(strip.left() + step * i as f32, strip.top()), vec2(edge, edge));
        let texture =
            frame.as_ref().and_then(|f| f.x_picture.as_ref()).map(|p| cx.textures.get(ui.ctx(), theme, ("film", i), p, Mapping::Rgb, true));
        let label = frame.as_ref().map_or(String::new(), |f| format!("t {:.0}", f.timestep));
        let name = if label.is_empty() { format!("Step not computed yet {i}") } else { format!("Go to {label}") };
        let response = tile::thumb(ui, theme, rect, texture, nearest == Some(i) && texture.is_some(), &name);
        ui.painter().text(
            pos2(rect.center().x, rect.bottom() + theme.px(13.0)),
            Align2::CENTER_CENTER,
            label,
            theme.font(Weight::Medium, 13.0),
            theme.palette().dim,
        );
        if let (true, Some(frame)) = (response.clicked(), frame) {
            cx.clock.playing = false;
            cx.clock.set(frame.timestep);
        }
    }
}
