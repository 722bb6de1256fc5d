//! A picture with its symbol, a word about it, and a badge that says what kind of picture it is.

use super::math::{self, Math};
use super::textures::Scale;
use crate::ui::theme::{Palette, Theme, Weight};
use egui::{Align2, Rect, Response, Role, Sense, Stroke, StrokeKind, TextureId, Ui, WidgetInfo, pos2, vec2};

/// What kind of picture it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Badge {
    /// Computed in pixels by the closed form or the chain, nothing approximate.
    ExactPixels,
    /// Latents as they are, a colour for each number.
    Latents,
    /// Latents turned into a picture by the autoencoder.
    Decoded,
    /// What the model believes, turned into a picture by the autoencoder.
    Prediction,
    /// Finished picture of a short run.
    Coarse,
    /// Finished picture of the full run.
    Refined,
    /// The picture as it was given.
    Original,
}

impl Badge {
    /// Name on screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ExactPixels => "exact pixels",
            Self::Latents => "latents, not decoded",
            Self::Decoded => "decoded by the VAE",
            Self::Prediction => "model's prediction",
            Self::Coarse => "coarse",
            Self::Refined => "refined",
            Self::Original => "original",
        }
    }

    /// What it means.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::ExactPixels => {
                "Each pixel is computed by the formula on the right. Values outside black and white are clipped for display."
            }
            Self::Latents => "Each number of the latents as it is, all on one colour scale.",
            Self::Decoded => "The latents at this timestep, turned into pixels by the autoencoder's decoder.",
            Self::Prediction => "The clean latents that the model predicts from the noisy ones, decoded by the autoencoder.",
            Self::Coarse => "Finished picture of a run with few steps, shown first. The full run follows.",
            Self::Refined => "Finished picture of the full run.",
            Self::Original => "The picture as it was opened or drawn, at the model's size.",
        }
    }
}

/// What a tile shows.
pub struct Tile<'a> {
    /// The symbol, in its colour.
    pub symbol: Math,
    /// A word about it.
    pub title: &'a str,
    /// What kind of picture, if one is shown.
    pub badge: Option<(Badge, &'a str)>,
    /// The picture; none while it is computed.
    pub texture: Option<TextureId>,
    /// What is going on while there is no picture.
    pub waiting: &'a str,
    /// A remark in the lower left corner of the picture.
    pub remark: &'a str,
}

/// Height of the line above a picture, in design units.
pub const HEADER: f32 = 34.0;

/// Shows a tile in `rect`: a header line and the picture below it.
pub fn show(ui: &mut Ui, theme: &Theme, rect: Rect, tile: &Tile<'_>) -> Response {
    let p = theme.palette();
    let header = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(HEADER)));
    let picture = Rect::from_min_max(pos2(rect.left(), header.bottom()), rect.max);
    let response = ui.allocate_rect(picture, Sense::hover());
    let spoken = format!("{}{}", tile.title, tile.badge.map_or(String::new(), |(b, extra)| format!(", {}{extra}", b.label())));
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));

    let painter = ui.painter().clone();
    let baseline = header.center().y + theme.px(5.0);
    let mut left = header.left();
    left += math::inline(&painter, theme, &tile.symbol, 22.0, pos2(left, baseline)) + theme.px(12.0);
    let mut right = header.right();
    if let Some((badge, extra)) = tile.badge {
        let rect = badge_at(ui, theme, pos2(right, header.center().y), &format!("{}{extra}", badge.label()));
        right = rect.left() - theme.px(8.0);
        let id = ui.scope_id().with(("badge", tile.title));
        ui.interact(rect, id, Sense::hover()).on_hover_text(badge.hint());
    }
    let font = theme.font(Weight::Regular, 14.0);
    let galley = painter.layout_no_wrap(tile.title.to_owned(), font, p.dim);
    if left + galley.size().x <= right {
        painter.galley(pos2(left, baseline - galley.size().y * 0.78), galley, p.dim);
    }
    frame(ui, theme, picture, tile.texture, tile.waiting);
    if !tile.remark.is_empty() && tile.texture.is_some() {
        let galley = painter.layout_no_wrap(tile.remark.to_owned(), theme.small(), p.text);
        let pad = vec2(theme.px(9.0), theme.px(4.0));
        let size = galley.size() + 2.0 * pad;
        let plate = Rect::from_min_size(picture.left_bottom() + vec2(theme.px(8.0), -theme.px(8.0) - size.y), size);
        painter.rect_filled(plate, plate.height() * 0.5, Palette::faint(p.panel, 0.86));
        painter.galley(plate.min + pad, galley, p.text);
    }
    response
}

/// A pill with its right end at `right`; returns its place.
pub fn badge_at(ui: &Ui, theme: &Theme, right: egui::Pos2, text: &str) -> Rect {
    let p = theme.palette();
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme.font(Weight::Medium, 12.5), p.dim);
    let size = galley.size() + vec2(theme.px(18.0), theme.px(7.0));
    let rect = Rect::from_min_size(pos2(right.x - size.x, right.y - size.y * 0.5), size);
    ui.painter().rect(rect, rect.height() * 0.5, p.panel, theme.hairline(), StrokeKind::Inside);
    ui.painter().galley(rect.center() - galley.size() * 0.5, galley, p.dim);
    rect
}

/// A picture, or a calm field that says what it waits for.
pub fn frame(ui: &Ui, theme: &Theme, rect: Rect, texture: Option<TextureId>, waiting: &str) {
    let p = theme.palette();
    let radius = theme.px(6.0).min(rect.width() * 0.06);
    if let Some(texture) = texture {
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().add(egui::epaint::RectShape::filled(rect, radius, crate::ui::theme::UNTINTED).with_texture(texture, whole));
        ui.painter().rect_stroke(rect, radius, Stroke::new(1.0, Palette::faint(p.line, 0.7)), StrokeKind::Outside);
    } else {
        ui.painter().rect_filled(rect, radius, Palette::mix(p.ground, p.raised, 0.45));
        if rect.width() > theme.px(90.0) && !waiting.is_empty() {
            let room = rect.width() - theme.px(32.0);
            let galley = ui.painter().layout(waiting.to_owned(), theme.body(), p.dim, room);
            ui.painter().galley(rect.center() - galley.size() * 0.5, galley, p.dim);
        }
    }
}

/// A small picture with a line below it, that can be pressed. The ring says that it is the one shown now.
pub fn thumb(ui: &mut Ui, theme: &Theme, rect: Rect, texture: Option<TextureId>, chosen: bool, name: &str) -> Response {
    let p = theme.palette();
    let response = ui.interact(rect, ui.scope_id().with(("thumb", name)), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, chosen, name));
    frame(ui, theme, rect, texture, "");
    if chosen || response.hovered() || response.has_focus() {
        let color = if chosen { p.accent } else { p.dim };
        ui.painter().rect_stroke(rect.expand(1.0), theme.px(6.0), Stroke::new(theme.px(2.0), color), StrokeKind::Outside);
    }
    response
}

/// The diverging scale with its numbers.
pub fn legend(ui: &mut Ui, theme: &Theme, rect: Rect, range: f32, scale: Scale) {
    let p = theme.palette();
    let font = theme.font(Weight::Medium, 12.5);
    let (low, high) = (format!("−{range}"), format!("+{range}"));
    let pad = theme.px(7.0);
    let left = ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, &low, font.clone(), p.dim).right() + pad;
    let right = ui.painter().text(rect.right_center(), Align2::RIGHT_CENTER, &high, font, p.dim).left() - pad;
    let bar = Rect::from_min_max(pos2(left, rect.center().y - theme.px(4.0)), pos2(right, rect.center().y + theme.px(4.0)));
    let cells = 64;
    for i in 0..cells {
        let (a, b) = (i as f32 / cells as f32, (i + 1) as f32 / cells as f32);
        let cell =
            Rect::from_min_max(pos2(bar.left() + a * bar.width(), bar.top()), pos2(bar.left() + b * bar.width() + 0.5, bar.bottom()));
        ui.painter().rect_filled(cell, 0.0, p.diverging(a + b - 1.0));
    }
    if scale == Scale::Root {
        let font = theme.font(Weight::Medium, 11.5);
        for part in [-0.25_f32, 0.25] {
            let x = bar.center().x + scale.place(part) * bar.width() * 0.5;
            ui.painter().vline(x, bar.bottom()..=bar.bottom() + theme.px(3.0), Stroke::new(1.0, p.dim));
            let sign = if part < 0.0 { "−" } else { "+" };
            let text = format!("{sign}{}", range * 0.25);
            ui.painter().text(pos2(x, bar.bottom() + theme.px(10.0)), Align2::CENTER_CENTER, text, font.clone(), p.dim);
        }
    }
    ui.painter().vline(bar.center().x, bar.y_range().expand(2.0), Stroke::new(1.0, p.dim));
    let response = ui.interact(rect, ui.scope_id().with("legend"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("colour scale from minus {range} to plus {range}")));
    let spread = if scale == Scale::Root { " Colours go by the square root, so that small values show beside large ones." } else { "" };
    response.on_hover_text(format!("One scale for all heat maps here: blue below zero, orange above.{spread}"));
}
