//! The strip: the same noise under six guidance scales, all of them quickly first and then with all steps.

use super::{COARSE_STEPS, Guidance};
use crate::host::HostTensor;
use crate::ui::labs::rest::Resting;
use crate::ui::labs::{LabContext, Wish};
use crate::ui::theme::{Palette, Theme, Weight};
use crate::ui::widgets::controls::{Look, icon_button};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile;
use crate::worker::protocol::{RunRequest, Slot, StripRequest};
use egui::{Align2, Rect, Ui, UiBuilder, pos2, vec2};

/// The scales of the strip. The first two need one evaluation a step, all others two.
pub const SCALES: [f64; 6] = [0.0, 1.0, 3.0, 7.5, 12.0, 20.0];
/// Seconds for which nothing but w may have changed before the strip is begun.
const REST_SECS: f64 = 0.35;
/// Height of the line below a picture, in design units.
const LINE: f32 = 23.0;
/// Where the strip begins, in design units: below the track of the slider.
pub const COLUMN: f32 = 150.0;

/// What is wanted, and since when.
#[derive(Default)]
pub struct State {
    wanted: Resting<StripRequest>,
}

impl Guidance {
    fn strip_request(cx: &LabContext<'_>) -> StripRequest {
        let run = RunRequest { guidance_scale: 1.0, ..Self::request(cx, cx.work.guidance.steps) };
        StripRequest { run, scales: SCALES.to_vec(), coarse_steps: COARSE_STEPS }
    }

    /// Asks for the strip once what it depends on has come to rest.
    pub(super) fn ask_strip(&mut self, cx: &mut LabContext<'_>) {
        if cx.session.card.is_none() {
            return;
        }
        let wanted = Self::strip_request(cx);
        let rested = self.strip.wanted.observe(&wanted, cx.now_secs).is_some_and(|secs| secs > REST_SECS);
        if rested && !self.held {
            cx.session.ask_strip(wanted);
        }
    }

    pub(super) fn strip_is_settled(&self, cx: &LabContext<'_>) -> bool {
        let strip = &cx.session.strip;
        strip.is_stopped() || (strip.asked() == Some(&Self::strip_request(cx)) && !strip.is_running())
    }

    /// The strip's picture of the slider's run, where it has one: its scale, steps, pixels and wall time.
    pub(super) fn strip_picture<'a>(&self, cx: &'a LabContext<'_>) -> Option<(f64, usize, &'a HostTensor, f64)> {
        let strip = &cx.session.strip;
        let scale = Self::scale(cx);
        let index = SCALES.iter().position(|other| *other == scale)?;
        let picture = strip.picture(index).filter(|_| strip.asked() == Some(&Self::strip_request(cx)))?;
        Some((scale, picture.steps, &picture.picture, picture.elapsed_ms))
    }

    fn strip_side(theme: &Theme, room: f32) -> f32 {
        theme.px(100.0).min(room * 0.24).max(40.0).floor()
    }

    /// Height of the strip in a lab with so much room below the slider.
    pub(super) fn strip_height(theme: &Theme, room: f32) -> f32 {
        Self::strip_side(theme, room) + theme.px(LINE)
    }

    pub(super) fn strip_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let side = rect.height() - theme.px(LINE);
        let column = theme.px(COLUMN);
        self.strip_column(cx, ui, rect.with_max_x(rect.left() + column - theme.px(10.0)));
        let room = rect.width() - column;
        let gap = ((room - theme.px(14.0) - 6.0 * side) / 5.0).min(theme.px(64.0)).max(2.0);
        let side = side.min((room - 5.0 * gap) / 6.0).floor();
        let current = Self::scale(cx);
        let mut chosen = None;
        for (index, &scale) in SCALES.iter().enumerate() {
            let min = pos2(rect.left() + column + index as f32 * (side + gap), rect.top()).round();
            let picture_rect = Rect::from_min_size(min, egui::Vec2::splat(side));
            let picture = cx.session.strip.picture(index).cloned();
            let texture =
                picture.as_ref().map(|picture| cx.textures.get(ui.ctx(), theme, ("strip", index), &picture.picture, Mapping::Rgb, true));
            let is_current = scale == current;
            let name = format!("Picture at w = {scale}");
            let response = tile::thumb(ui, theme, picture_rect, texture, is_current, &name);
            let color = if is_current { p.symbol(crate::ui::theme::Symbol::Guided) } else { p.text };
            let at = pos2(picture_rect.center().x, rect.bottom() - theme.px(LINE * 0.5) + theme.px(2.0));
            ui.painter().text(at, Align2::CENTER_CENTER, format!("w = {scale}"), theme.font(Weight::Medium, 14.0), color);
            let coarse = picture.as_ref().is_some_and(|picture| picture.steps == COARSE_STEPS);
            if coarse {
                let galley = ui.painter().layout_no_wrap("coarse".to_owned(), theme.font(Weight::Regular, 11.5), p.text);
                let size = galley.size() + vec2(theme.px(10.0), theme.px(3.0));
                let plate = Rect::from_min_size(picture_rect.left_bottom() + vec2(theme.px(4.0), -theme.px(4.0) - size.y), size);
                ui.painter().rect_filled(plate, plate.height() * 0.5, Palette::faint(p.panel, 0.86));
                ui.painter().galley(plate.center() - galley.size() * 0.5, galley, p.text);
            }
            if response.clicked() {
                chosen = Some(scale);
            }
            let what = picture.as_ref().map_or("Not there yet.".to_owned(), |picture| {
                let evaluations = if scale == 0.0 || scale == 1.0 { "one evaluation" } else { "two evaluations" };
                format!("{} steps, {evaluations} each, {:.2} s.", picture.steps, picture.elapsed_ms / 1000.0)
            });
            response.on_hover_text(format!("The same noise with w = {scale}. {what} Click to set w."));
        }
        if let Some(scale) = chosen {
            cx.work.guidance.guidance_scale = Some(scale);
        }
    }

    /// What the strip is and how far it is, with its two buttons.
    fn strip_column(&self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let strip = &cx.session.strip;
        let (refined, steps) = (strip.refined(), cx.work.guidance.steps);
        let state = match (strip.asked(), cx.session.progress(Slot::Strip)) {
            _ if strip.is_stopped() => "stopped".to_owned(),
            (None, _) => "waiting".to_owned(),
            (_, Some((done, total))) if strip.is_running() => format!("{}%, refined {refined}/6", 100 * done / total.max(1)),
            _ if strip.is_running() => "waiting".to_owned(),
            _ => format!("refined, {steps} steps"),
        };
        let painter = ui.painter();
        let line = |y: f32, text: &str, weight, size: f32, color| {
            painter.text(pos2(rect.left(), rect.top() + theme.px(y)), Align2::LEFT_CENTER, text, theme.font(weight, size), color)
        };
        line(9.0, "Same noise, six w", Weight::Medium, 14.5, p.text);
        line(30.0, &state, Weight::Regular, 13.0, p.dim);
        let low = Rect::from_min_size(rect.left_top() + vec2(-theme.px(6.0), theme.px(44.0)), vec2(rect.width(), theme.px(34.0)));
        let mut child = ui.new_child(UiBuilder::new().max_rect(low).layout(egui::Layout::left_to_right(egui::Align::Center)));
        child.spacing_mut().item_spacing.x = theme.px(2.0);
        let pictures: Vec<HostTensor> = strip.labelled().into_iter().map(|(_, picture)| picture).collect();
        let (running, stopped) = (strip.is_running(), strip.is_stopped());
        child.add_enabled_ui(pictures.len() == SCALES.len(), |ui| {
            let hint = "All six pictures side by side as one PNG, at their own size, in the order of w.";
            if icon_button(ui, theme, Icon::Save, 32.0, Look::Plain, false, "Save the strip…", hint).clicked() {
                let name = format!("diffuscope-strip-seed{}.png", cx.work.seed);
                cx.wishes.push(Wish::SaveRow { name, pictures });
            }
        });
        if running {
            let hint = "Stops making the strip; its pictures so far stay.";
            if icon_button(&mut child, theme, Icon::Close, 32.0, Look::Plain, false, "Cancel the strip", hint).clicked() {
                cx.session.cancel(Slot::Strip);
            }
        } else if stopped
            && icon_button(&mut child, theme, Icon::Reset, 32.0, Look::Plain, false, "Make the strip", "Starts the strip anew.").clicked()
        {
            cx.session.strip.retry();
        }
    }
}
