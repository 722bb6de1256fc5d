//! Guidance: two predictions, and how far to go beyond them.
//!
//! Classifier-free guidance, Ho and Salimans 2022 (arXiv 2207.12598). Here `eps~ = eps_uncond + w (eps_cond - eps_uncond)`;
//! the paper writes `(1 + w') eps_cond - w' eps_uncond` with `w' = w - 1`. Both are on the screen. It may act at some timesteps
//! only (Kynkäänniemi et al. 2024, arXiv 2404.07724).

mod figure;
mod interval;
mod plan;
mod plane;
mod projection;
mod strip;
mod sweep;
mod view;

use super::{Lab, LabContext, zoom};
use crate::diffusion::GuidanceInterval;
use crate::diffusion::guidance::{Comparison, Plane, compare, guide, scale_at};
use crate::figure::Figure;
use crate::host::HostTensor;
use crate::ui::clock::{Pace, Stops};
use crate::ui::export::ink::Ink;
use crate::ui::widgets::controls::segmented;
use crate::ui::widgets::textures::Scale;
use crate::ui::widgets::tile::HEADER;
use crate::ui::widgets::track;
use crate::worker::protocol::{Frame, RunRequest, Slot};
use egui::{Rect, Sense, Ui, UiBuilder, pos2, vec2};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Steps of the quick run that answers a drag.
pub const COARSE_STEPS: usize = 6;

/// What the right half of the middle shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// The predictions as heat maps.
    #[default]
    Fields,
    /// The predictions as arrows in the plane that they span.
    Plane,
    /// Adherence, diversity and saturation over the scale.
    Measured,
}

/// What is remembered of this lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Guidance scale w; none is the model's own.
    pub guidance_scale: Option<f64>,
    /// The timesteps at which it acts, from the first up to but without the second; none is all of them.
    pub interval: Option<[usize; 2]>,
    /// What the right half shows.
    pub view: View,
    /// Steps of the full run.
    pub steps: usize,
    /// Half the range of the heat maps' scale.
    pub range: f32,
    /// How values spread over it.
    pub scale: Scale,
}

impl Default for Settings {
    fn default() -> Self {
        Self { guidance_scale: None, interval: None, view: View::Fields, steps: 20, range: 2.0, scale: Scale::Root }
    }
}

const VIEWS: &[(View, &str, &str)] = &[
    (View::Fields, "Fields", "The predictions as heat maps, one for each latent channel."),
    (View::Plane, "Plane", "The predictions as arrows in the plane that they span, to scale."),
    (View::Measured, "Measured", "Adherence, diversity and saturation over w, measured on pictures of this prompt."),
];

const RANGES: [f32; 3] = [1.0, 2.0, 4.0];

impl Settings {
    /// Brings what was read back into range.
    pub fn tidy(&mut self) {
        self.guidance_scale = self.guidance_scale.filter(|w| w.is_finite()).map(|w| w.clamp(0.0, 20.0));
        self.interval = self.interval.filter(|[low, high]| low <= high);
        self.steps = self.steps.clamp(COARSE_STEPS + 1, 100);
        if !RANGES.contains(&self.range) {
            self.range = 2.0;
        }
    }
}

/// The four fields at one timestep.
struct Fields {
    uncond: HostTensor,
    cond: HostTensor,
    scale: f64,
    difference: HostTensor,
    guided: HostTensor,
    comparison: Comparison,
    plane: Plane,
    guided_norm: f64,
}

/// The lab's state that need not be remembered.
#[derive(Default)]
pub struct Guidance {
    wanted: Option<RunRequest>,
    changed_secs: f64,
    held: bool,
    /// The last finished picture and what it was asked with.
    picture: Option<(RunRequest, HostTensor, f64)>,
    /// The frames that the heat maps are taken from: those of the last full run for these prompts and this seed.
    frames: Option<(RunRequest, Vec<Arc<Frame>>)>,
    fields: Option<Fields>,
    strip: strip::State,
    plane: plane::State,
    sweep: sweep::State,
}

fn same_start(a: &RunRequest, b: &RunRequest) -> bool {
    a.prompt == b.prompt && a.negative == b.negative && a.seed == b.seed
}

impl Guidance {
    fn scale(cx: &LabContext<'_>) -> f64 {
        let own = cx.session.card.as_ref().map_or(7.5, |card| card.default_guidance);
        cx.work.guidance.guidance_scale.unwrap_or(own)
    }

    /// The timesteps that are guided; none where that is all of them.
    fn interval(cx: &LabContext<'_>) -> Option<GuidanceInterval> {
        let count = cx.session.levels.count();
        let [low, high] = cx.work.guidance.interval?.map(|t| t.min(count));
        (low > 0 || high < count).then_some(GuidanceInterval { low: low as f64, high: high as f64 })
    }

    /// The scale that acts where the frame in view was computed, or at the clock's timestep without one.
    fn acting_scale(&self, cx: &LabContext<'_>) -> f64 {
        let timestep = self.frame(cx.clock.position()).map_or(cx.clock.position(), |frame| frame.timestep);
        scale_at(Self::scale(cx), Self::interval(cx), timestep)
    }

    fn request(cx: &LabContext<'_>, steps: usize) -> RunRequest {
        RunRequest {
            prompt: cx.session.prompt.clone(),
            negative: cx.session.negative.clone(),
            seed: cx.work.seed,
            steps,
            guidance_scale: Self::scale(cx),
            guidance_interval: Self::interval(cx),
            sampler: "ddim".to_owned(),
            ..RunRequest::default()
        }
    }

    /// Coarse while the hand is on the slider, full once it rests. A coarse run is let finish, so that a picture comes while dragging.
    fn ask(&mut self, cx: &mut LabContext<'_>) {
        if cx.session.card.is_none() {
            return;
        }
        let (coarse, full) = (Self::request(cx, COARSE_STEPS), Self::request(cx, cx.work.guidance.steps));
        if self.wanted.as_ref() != Some(&full) {
            self.wanted = Some(full.clone());
            self.changed_secs = cx.now_secs;
        }
        let run = &cx.session.guidance;
        let busy_coarse = run.is_running() && run.asked().is_some_and(|r| r.steps == COARSE_STEPS && same_start(r, &coarse));
        match run.asked() {
            Some(asked) if *asked == full => {}
            Some(asked) if *asked == coarse => {
                let rested = cx.now_secs - self.changed_secs > 0.2 && !self.held;
                if !run.is_running() && !run.is_stopped() && rested {
                    cx.session.ask_reverse(Slot::Guidance, full);
                }
            }
            _ if busy_coarse => {}
            _ => cx.session.ask_reverse(Slot::Guidance, coarse),
        }
    }

    /// Keeps what has finished.
    fn keep(&mut self, cx: &LabContext<'_>) {
        let run = &cx.session.guidance;
        let Some(request) = run.request() else { return };
        if let Some(end) = run.end()
            && self.picture.as_ref().is_none_or(|(r, p, _)| r != request || !std::ptr::eq(p.data(), end.picture.data()))
        {
            self.picture = Some((request.clone(), end.picture.clone(), end.elapsed_ms));
        }
        let better = match &self.frames {
            None => !run.frames().is_empty(),
            Some((kept, frames)) => {
                let finished_full = run.end().is_some() && request.steps > COARSE_STEPS;
                let other = !same_start(kept, request) && !run.frames().is_empty();
                let growing = kept == request && frames.len() != run.frames().len();
                let first = kept.steps == COARSE_STEPS && run.end().is_some();
                (finished_full && kept != request) || other || growing || (first && kept != request)
            }
        };
        if better {
            self.frames = Some((request.clone(), run.frames().to_vec()));
        }
    }

    fn frame(&self, timestep: f64) -> Option<&Arc<Frame>> {
        let (_, frames) = self.frames.as_ref()?;
        let after = frames.partition_point(|f| f.timestep >= timestep - 0.5);
        frames.get(after.saturating_sub(1))
    }

    fn refresh_fields(&mut self, cx: &LabContext<'_>) {
        let scale = self.acting_scale(cx);
        let Some(frame) = self.frame(cx.clock.position()).cloned() else {
            self.fields = None;
            return;
        };
        let (uncond, cond) = (&frame.eps_uncond, &frame.eps_cond);
        let kept = self.fields.as_ref().is_some_and(|f| std::ptr::eq(f.uncond.data(), uncond.data()) && f.scale == scale);
        if !kept && uncond.shape() == cond.shape() {
            let guided = guide(uncond, cond, scale);
            self.fields = Some(Fields {
                difference: cond.lincomb(1.0, uncond, -1.0),
                comparison: compare(uncond, cond),
                plane: Plane::spanned(uncond, cond),
                guided_norm: guided.norm(),
                uncond: uncond.clone(),
                cond: cond.clone(),
                guided,
                scale,
            });
        }
    }
}

impl Lab for Guidance {
    fn logic(&mut self, cx: &mut LabContext<'_>) -> Pace {
        cx.session.want_scene(cx.work.scene_seed);
        self.ask(cx);
        self.keep(cx);
        self.refresh_fields(cx);
        self.ask_strip(cx);
        self.ask_sweep(cx);
        let marks: Vec<(f64, bool)> = self.frames.iter().flat_map(|(_, f)| f.iter()).map(|f| (f.timestep, true)).collect();
        let stops = if marks.is_empty() { Stops::Every(50) } else { Stops::At(marks.iter().map(|m| m.0).collect()) };
        Pace { ready: !marks.is_empty(), floor: 0.0, stops, marks }
    }

    fn main_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let mut scale = Self::scale(cx);
        let (changed, held) = track::show(ui, theme, &mut scale);
        if changed {
            cx.work.guidance.guidance_scale = Some(scale);
        }
        self.held = held;
        let (row, _) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(44.0)), Sense::hover());
        let mut child = ui.new_child(UiBuilder::new().max_rect(row).layout(egui::Layout::right_to_left(egui::Align::Center)));
        if segmented(&mut child, theme, &mut cx.work.guidance.view, VIEWS) {
            cx.zoom.go(zoom::Level::Overview);
        }
        let rest = child.available_rect_before_wrap();
        self.held |= self.interval_ui(cx, ui, rest.with_max_x(rest.right() - theme.px(16.0)));
        ui.add_space(theme.px(6.0));
        let room = ui.available_rect_before_wrap();
        let (gap, header) = (theme.px(28.0), theme.px(HEADER));
        // The numbers need the height.
        let shows_strip = cx.zoom.level < zoom::Level::Numbers;
        let strip = if shows_strip { Self::strip_height(theme, room.height()) } else { 0.0 };
        let below = Rect::from_min_max(pos2(room.left(), room.bottom() - strip), room.max);
        let room = room.with_max_y(below.top() - theme.px(14.0));
        let side = (room.height() - header).min((room.width() - gap) * 0.5).max(64.0).floor();
        let picture = Rect::from_min_size(room.min, vec2(side, side + header));
        let right = Rect::from_min_max(pos2(picture.right() + gap, room.top()), room.max);
        if cx.zoom.is_near() {
            let operation = self.operation(cx);
            zoom::show(cx, ui, room, operation);
        } else {
            self.picture_tile(cx, ui, picture);
            match cx.work.guidance.view {
                View::Fields => self.heat_maps(cx, ui, right),
                View::Plane => self.held |= self.plane_ui(cx, ui, right.with_max_y(picture.bottom())),
                View::Measured => self.sweep_ui(cx, ui, right.with_max_y(picture.bottom())),
            }
        }
        if cx.zoom.is_near() {
            zoom::dim(ui, below);
        }
        if shows_strip {
            self.strip_ui(cx, ui, below);
        }
        self.refresh_fields(cx);
    }

    fn side_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.explain(cx, ui);
    }

    fn is_settled(&self, cx: &LabContext<'_>) -> bool {
        let full = Self::request(cx, cx.work.guidance.steps);
        let stopped = cx.session.guidance.is_stopped();
        let picture = (self.picture.as_ref().is_some_and(|(r, ..)| *r == full) && self.frames.is_some()) || stopped;
        picture && self.strip_is_settled(cx) && self.sweep_is_settled(cx)
    }

    fn figure(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Option<Figure> {
        self.as_figure(cx, ink)
    }

    fn film(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        self.as_film(cx, ink)
    }
}
