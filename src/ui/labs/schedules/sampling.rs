//! What the model makes when one sampler follows the levels of each schedule, from the same noise.

use super::known::{COUNT, known};
use super::{Schedules, tiles};
use crate::diffusion::SamplerInfo;
use crate::ui::labs::LabContext;
use crate::ui::labs::samplers::{REFERENCE_STEPS, sampler_entries};
use crate::ui::race::Lane;
use crate::ui::session::ModelState;
use crate::ui::theme::Weight;
use crate::ui::widgets::controls::{segmented, tip};
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile;
use crate::worker::protocol::{OtherLevels, RaceLane, RaceRequest, RunRequest, Slot, Told};
use egui::{Align2, Rect, Role, Ui, WidgetInfo, pos2, vec2};

/// Seconds for which nothing may have changed before it starts.
const REST_SECS: f64 = 0.3;
/// Schedules side by side.
const COLUMNS: usize = 4;

const TOLD: &[(bool, &str, &str)] = &[
    (false, "Same noise", "The model is told the timestep of its own schedule that is as noisy: it hears what is true."),
    (
        true,
        "Same timestep",
        "The model is told the other schedule's timestep, as if it had been trained with it: what comes of a wrong scheduler_config.json.",
    ),
];

impl Schedules {
    /// Which lane follows a schedule: those that are there have one each, in their order.
    fn lane_at(&self, index: usize) -> Option<usize> {
        let is_there = |index: &usize| self.curves[*index].schedule.is_some();
        is_there(&index).then(|| (0..index).filter(is_there).count())
    }

    /// The run that all have in common.
    pub(super) fn sampling_run(cx: &LabContext<'_>) -> RunRequest {
        RunRequest {
            prompt: cx.session.prompt.clone(),
            seed: cx.work.seed,
            guidance_scale: cx.session.card.as_ref().map_or(5.0, |card| card.default_guidance),
            ..RunRequest::default()
        }
    }

    fn sampling_request(&self, cx: &LabContext<'_>) -> RaceRequest {
        let own = &cx.work.schedules;
        let told = if own.mistaken { Told::SameTimestep } else { Told::SameNoise };
        let lanes = self.curves.iter().filter_map(|curves| curves.schedule.clone()).map(|schedule| RaceLane {
            sampler: own.sampler.clone(),
            steps: own.steps,
            seed: cx.work.seed,
            levels: Some(OtherLevels { schedule, told }),
        });
        RaceRequest { lanes: lanes.collect(), run: Self::sampling_run(cx), reference_steps: REFERENCE_STEPS }
    }

    /// Starts sampling while it is in view and what it depends on is at rest.
    pub(super) fn ask_sampling(&mut self, cx: &mut LabContext<'_>) {
        if cx.session.card.is_none() {
            return;
        }
        let wanted = self.sampling_request(cx);
        if self.sampling.observe(&wanted, cx.now_secs).is_some_and(|secs| secs > REST_SECS) {
            cx.session.ask_race(Slot::Levels, wanted);
        }
    }

    pub(super) fn sampling_is_settled(&self, cx: &LabContext<'_>) -> bool {
        let crossing = &cx.session.crossing;
        crossing.is_stopped() || (crossing.asked() == Some(&self.sampling_request(cx)) && crossing.map().is_some())
    }

    /// The lane of a schedule, as far as it has come.
    pub(super) fn lane_of<'a>(&self, cx: &'a LabContext<'_>, index: usize) -> Option<&'a Lane> {
        cx.session.crossing.lanes().get(self.lane_at(index)?)
    }

    /// How far a lane is from the reference at the clock's level, once all have arrived.
    pub(super) fn off(&self, cx: &LabContext<'_>, index: usize, position: f64) -> Option<f64> {
        cx.session.crossing.off(self.lane_at(index)?, position)
    }

    /// What the sampler is and what the model is told.
    pub(super) fn sampling_bar(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let own = &mut cx.work.schedules;
        let label = SamplerInfo::find(&own.sampler).map_or("", |info| info.label);
        let text = egui::RichText::new(label).font(theme.font(Weight::Medium, 14.0));
        let response = egui::ComboBox::from_id_salt("sampler of all")
            .selected_text(text)
            .width(theme.px(150.0))
            .height(theme.px(460.0))
            .show_ui(ui, |ui| {
                sampler_entries(ui, theme, &mut own.sampler);
            })
            .response;
        response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, "Sampler"));
        ui.add_space(theme.px(8.0));
        segmented(ui, theme, &mut own.mistaken, TOLD);
    }

    /// All schedules, each with what the model sees along its levels.
    pub(super) fn sampling_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let rows = COUNT.div_ceil(COLUMNS);
        let (head, foot, gap) = (theme.px(tiles::HEAD), theme.px(tiles::FOOT), theme.px(16.0));
        let across = (rect.width() - gap * (COLUMNS - 1) as f32) / COLUMNS as f32;
        let down = (rect.height() - gap * (rows - 1) as f32) / rows as f32 - head - foot;
        let edge = across.min(down).max(32.0).floor();
        // What the width leaves of the height goes between the rows, up to a point.
        let spare = (rect.height() - rows as f32 * (edge + head + foot + gap) + gap).clamp(0.0, theme.px(24.0));
        let step = vec2((rect.width() - edge) / (COLUMNS - 1) as f32, edge + head + foot + gap + spare);
        let current = cx.session.crossing.asked().is_some_and(|asked| self.sampling.value() == Some(asked));
        for index in 0..COUNT {
            let at = rect.min + vec2((index % COLUMNS) as f32 * step.x, (index / COLUMNS) as f32 * step.y);
            self.sample_ui(cx, ui, index, Rect::from_min_size(at.round(), vec2(edge, edge + head + foot)), current);
        }
    }

    fn sample_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, index: usize, rect: Rect, current: bool) {
        let theme = cx.theme;
        let p = theme.palette();
        let place = tiles::head(ui, theme, index, rect, Self::focus(cx) == index);
        let position = cx.clock.position();
        let lane = self.lane_of(cx, index).cloned();
        let picture = lane.as_ref().and_then(|lane| lane.picture(position));
        let texture = picture.map(|picture| cx.textures.get(ui.ctx(), theme, ("crossing", index), picture, Mapping::Rgb, true));
        let waiting = match cx.session.model {
            _ if self.curves[index].schedule.is_none() => "Nothing has been learned yet: see Learning.",
            ModelState::Failed(_) => "No model is open.",
            ModelState::Opening => "Opening the model…",
            ModelState::Ready if cx.session.crossing.is_stopped() => "Stopped.",
            ModelState::Ready => "Waiting for its turn…",
        };
        tile::frame(ui, theme, place, texture, waiting);
        let response = Self::press(cx, ui, index, rect, place);
        let font = theme.font(Weight::Medium, 13.0);
        let y = place.bottom() + theme.px(15.0);
        if let Some(lane) = &lane
            && let Some(step) = lane.at(position)
        {
            let text = match (current, lane.finished(position)) {
                (false, _) => "as it was before".to_owned(),
                (true, Some(_)) => "finished".to_owned(),
                (true, None) => format!("x̂₀ of step {} of {}", step.index + 1, step.count),
            };
            let at = ui.painter().text(pos2(place.left(), y), Align2::LEFT_CENTER, text, font.clone(), p.text);
            if let Some(off) = self.off(cx, index, position).filter(|off| off.is_finite()) {
                let galley = ui.painter().layout_no_wrap(format!("off {off:.3}"), font, p.dim);
                let left = place.right() - galley.size().x;
                if left > at.right() + theme.px(6.0) {
                    ui.painter().galley(pos2(left, y - galley.size().y * 0.5), galley, p.dim);
                }
            }
        }
        response.on_hover_ui(|ui| {
            tip(ui, theme, known(index).label, "What the model sees along these levels at the clock's timestep; at the end the finished picture. “off” is the root-mean-square distance of the latents from those of 500 DDIM steps along the model's own levels, at the same noise.");
        });
    }
}
