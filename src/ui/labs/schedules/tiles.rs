//! The same picture under the same noise, as noisy as each schedule has it at the clock's timestep.

use super::Schedules;
use super::curves::ring;
use super::known::{COUNT, known};
use crate::ui::labs::{LabContext, zoom};
use crate::ui::theme::{Theme, Weight};
use crate::ui::widgets::math::scientific;
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile;
use egui::{Align2, Rect, Response, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};

/// Height of the line with the name above a picture, and of that with the numbers below, in design units.
pub(super) const HEAD: f32 = 30.0;
pub(super) const FOOT: f32 = 26.0;
/// From picture to picture, in design units.
const GAP: f32 = 10.0;

/// The side of the pictures of a row that is so wide.
pub(super) fn edge(theme: &Theme, width: f32) -> f32 {
    ((width - theme.px(GAP) * (COUNT - 1) as f32) / COUNT as f32).floor().max(8.0)
}

/// The name of a schedule with its colour above it. Returns where its picture lies.
pub(super) fn head(ui: &Ui, theme: &Theme, index: usize, rect: Rect, chosen: bool) -> Rect {
    let p = theme.palette();
    let swatch = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(if chosen { 5.0 } else { 3.0 })));
    ui.painter().rect_filled(swatch, 1.5, p.schedules[index]);
    let weight = if chosen { Weight::SemiBold } else { Weight::Medium };
    let at = pos2(rect.left(), rect.top() + theme.px(18.0));
    ui.painter().text(at, Align2::LEFT_CENTER, known(index).label, theme.font(weight, 13.0), if chosen { p.text } else { p.dim });
    Rect::from_min_size(pos2(rect.left(), rect.top() + theme.px(HEAD)), Vec2::splat(rect.width()))
}

impl Schedules {
    /// A row of all schedules.
    pub(super) fn tiles_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let edge = edge(cx.theme, rect.width());
        let step = (rect.width() - edge) / (COUNT - 1) as f32;
        for index in 0..COUNT {
            let left = (rect.left() + index as f32 * step).round();
            self.tile(cx, ui, index, Rect::from_min_size(pos2(left, rect.top()), vec2(edge, rect.height())));
        }
    }

    /// A schedule's place: pressing it brings it into focus.
    pub(super) fn press(cx: &mut LabContext<'_>, ui: &Ui, index: usize, rect: Rect, picture: Rect) -> Response {
        let id = known(index).id;
        let chosen = cx.work.schedules.focus == id;
        let response = ui.interact(rect, ui.scope_id().with(("schedule", id)), Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, known(index).label));
        if response.clicked() {
            if chosen {
                cx.zoom.go(cx.zoom.level.max(zoom::Level::Operation));
            }
            cx.work.schedules.focus = id.to_owned();
        }
        if chosen || response.hovered() || response.has_focus() {
            let p = cx.theme.palette();
            ring(ui, cx.theme, picture, if chosen { p.schedules[index] } else { p.dim });
        }
        response
    }

    fn tile(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, index: usize, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let place = head(ui, theme, index, rect, Self::focus(cx) == index);
        let level = self.curves[index].level(cx.clock.timestep());
        let texture = cx.session.picture.clone().zip(level).map(|(picture, level)| {
            let x0 = self.signed.of(&picture.pixels);
            let eps = self.noise.of(cx.work.seed, x0.shape());
            let x = &self.closed[index].at(&x0, &eps, level).x;
            cx.textures.get(ui.ctx(), theme, ("schedule", index), x, Mapping::SignedRgb, false)
        });
        tile::frame(ui, theme, place, texture, "");
        let response = Self::press(cx, ui, index, rect, place);
        let y = place.bottom() + theme.px(15.0);
        let font = theme.font(Weight::Medium, 13.0);
        match level {
            Some(level) => {
                let alpha = format!("ᾱ {:.4}", level.alpha_bar());
                let alpha = ui.painter().text(pos2(place.left(), y), Align2::LEFT_CENTER, alpha, font.clone(), p.text);
                let snr = ui.painter().layout_no_wrap(format!("SNR {}", scientific(level.snr())), font, p.dim);
                let left = place.right() - snr.size().x;
                if left > alpha.right() + theme.px(8.0) {
                    ui.painter().galley(pos2(left, y - snr.size().y * 0.5), snr, p.dim);
                }
            }
            None => {
                ui.painter().text(pos2(place.left(), y), Align2::LEFT_CENTER, "not learned yet", font, p.dim);
            }
        }
        response.on_hover_text(format!(
            "{}. Press to bring it into focus and set its parameters at the right; press again for its operation.",
            known(index).paper
        ));
    }
}
