//! What the model looks at, and its answer in three ways; the picture that follows from an answer with an error in it.

use super::{ANSWERS, Targets, hat, word_of};
use crate::diffusion::PredictionType;
use crate::ui::labs::LabContext;
use crate::ui::session::ModelState;
use crate::ui::theme::{Symbol, Theme, Weight};
use crate::ui::widgets::channels::{self, Grid, Look};
use crate::ui::widgets::math::{self, Math, row, sym};
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile::{self, Badge, HEADER, Tile};
use crate::worker::protocol::Slot;
use egui::{Align2, Rect, Ui, Vec2, pos2, vec2};

/// Half the range of the heat maps.
pub(super) const RANGE: f32 = 3.0;

/// Distance between two tiles at least, in design units.
const GAP: f32 = 16.0;

/// Height of the tiles in a room of this size.
pub(super) fn height(theme: &Theme, room: Vec2) -> f32 {
    let side = ((room.x - 4.0 * theme.px(GAP)) / 5.0).min(room.y * 0.5 - theme.px(HEADER));
    side.max(40.0).floor() + theme.px(HEADER)
}

impl Targets {
    pub(super) fn tiles_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let header = theme.px(HEADER);
        let side = rect.height() - header;
        // Five columns over the whole width: x_t, three answers, what follows.
        let step = (rect.width() - side) / 4.0;
        let column =
            |index: usize| Rect::from_min_size(pos2(rect.left() + index as f32 * step, rect.top()).round(), vec2(side, side + header));
        let frame = self.now(cx).map(|answers| std::sync::Arc::clone(&answers.frame));
        let waiting = match (&cx.session.model, cx.session.progress(Slot::Forward)) {
            (ModelState::Failed(_), _) => "No model is open.".to_owned(),
            (_, Some((done, total))) => format!("The model looks, {done} of {total}"),
            _ => "The model has not looked yet.".to_owned(),
        };
        let texture = frame.as_ref().and_then(|frame| frame.x_picture.clone());
        let texture = texture.map(|picture| cx.textures.get(ui.ctx(), theme, "targets x_t", &picture, Mapping::Rgb, true));
        let at = frame.as_ref().map_or_else(String::new, |frame| format!("t = {:.0}", frame.timestep));
        let noisy = Tile {
            symbol: row([sym("x", Symbol::Plain).with_index("t")]),
            title: "noisy latents",
            badge: texture.map(|_| (Badge::Decoded, "")),
            texture,
            waiting: &waiting,
            remark: &at,
        };
        show(ui, theme, column(0), &noisy);
        for (index, answer) in ANSWERS.into_iter().enumerate() {
            self.answer_ui(cx, ui, column(index + 1), index, answer);
        }
        self.off_ui(cx, ui, column(4));
    }

    /// One of the answers: the clean picture decoded, the others as heat maps.
    fn answer_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, index: usize, answer: PredictionType) {
        let theme = cx.theme;
        let (frame, error) = match self.now(cx) {
            Some(answers) => (Some(std::sync::Arc::clone(&answers.frame)), Some(answers.errors[index])),
            None => (None, None),
        };
        let remark = error.map_or_else(String::new, |error| format!("off by {error:.3}"));
        if answer == PredictionType::Sample {
            let picture = frame.and_then(|frame| frame.x0_picture.clone());
            let texture = picture.map(|picture| cx.textures.get(ui.ctx(), theme, "targets x0", &picture, Mapping::Rgb, true));
            let tile = Tile {
                symbol: hat(answer),
                title: word_of(answer),
                badge: texture.map(|_| (Badge::Prediction, "")),
                texture,
                waiting: "",
                remark: &remark,
            };
            show(ui, theme, rect, &tile);
            return;
        }
        let channels = cx.latent_channels();
        let columns = Grid::compact(channels);
        let gap = theme.px(4.0);
        let cell = ((rect.width() - gap * (columns - 1) as f32) / columns as f32).floor();
        let grid = Grid { channels, columns, cell, gap };
        let header = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(HEADER)));
        heading(ui, theme, header, &hat(answer), word_of(answer));
        let picture = Rect::from_min_size(pos2(rect.left(), header.bottom()), Vec2::splat(rect.width()));
        let corner = picture.min + vec2(0.0, ((picture.height() - grid.size().y) * 0.5).max(0.0));
        let tensor = self.now(cx).map(|answers| answers.said[index].clone());
        let look = Look { slot: ("answer", index), range: RANGE, scale: Scale::Linear };
        channels::show(ui, theme, cx.textures, corner, &grid, tensor.as_ref(), look);
        if !remark.is_empty() {
            let y = (corner.y + grid.size().y + theme.px(14.0)).min(picture.bottom() - theme.px(6.0));
            let font = theme.font(Weight::Medium, 13.0);
            ui.painter().text(pos2(rect.left(), y), Align2::LEFT_CENTER, remark, font, theme.palette().dim);
        }
    }

    /// The clean picture that follows from the answer with the error.
    fn off_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let source = cx.work.targets.source();
        let latents = self.off(cx);
        let finite = latents.as_ref().is_some_and(crate::host::HostTensor::is_finite);
        let picture = latents.as_ref().and_then(|latents| cx.session.decoded(latents).cloned());
        let texture = picture.map(|picture| cx.textures.get(ui.ctx(), theme, "targets off", &picture, Mapping::Rgb, true));
        let gain = self.now(cx).map(|answers| source.sensitivity(PredictionType::Sample, answers.level));
        let remark = gain.map_or_else(String::new, |gain| format!("off by {:.3} more", gain * cx.work.targets.delta));
        let waiting = if latents.is_some() && !finite { "The error has no bounds here." } else { "Decoding…" };
        let tile = Tile {
            symbol: hat(PredictionType::Sample),
            title: match source {
                PredictionType::Epsilon => "with the error in ε",
                PredictionType::Sample => "with the error in x₀",
                _ => "with the error in v",
            },
            badge: None,
            texture,
            waiting,
            remark: &remark,
        };
        show(ui, theme, rect, &tile);
    }
}

/// A tile; where it is narrow its badge, which its title says already, is left out.
fn show(ui: &mut Ui, theme: &Theme, rect: Rect, tile: &Tile<'_>) {
    let narrow = Tile { symbol: tile.symbol.clone(), badge: tile.badge.filter(|_| rect.width() > theme.px(250.0)), ..*tile };
    tile::show(ui, theme, rect, &narrow);
}

/// The line above heat maps.
fn heading(ui: &Ui, theme: &Theme, rect: Rect, symbol: &Math, title: &str) {
    let baseline = rect.center().y + theme.px(5.0);
    let left = rect.left() + math::inline(ui.painter(), theme, symbol, 22.0, pos2(rect.left(), baseline)) + theme.px(12.0);
    let galley = ui.painter().layout_no_wrap(title.to_owned(), theme.font(Weight::Regular, 14.0), theme.palette().dim);
    if left + galley.size().x <= rect.right() {
        ui.painter().galley(pos2(left, baseline - galley.size().y * 0.78), galley, theme.palette().dim);
    }
}
