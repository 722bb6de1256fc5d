//! Samplers: a race from one noise.
//!
//! Up to six lanes start from the same noise under the same prompt and guidance; each has its sampler and its number of steps. What
//! they are held against is the path of the probability-flow differential equation (Song et al. 2021, arXiv 2011.13456, eq. 13;
//! in sigma-space Karras et al. 2022, arXiv 2206.00364, eq. 1), followed in 500 small steps.

mod distance;
mod figure;
mod lanes;
mod plane;
mod presets;
mod quality;
mod side;

pub(super) use lanes::sampler_entries;
pub use presets::{PRESETS, Preset};

use super::reading::{Kind, Reading};
use super::rest::Resting;
use super::zoom::{self, Operation, Part};
use super::{Lab, LabContext};
use crate::diffusion::prediction::eps_from_x0;
use crate::diffusion::{Level, SAMPLERS, SamplerInfo};
use crate::figure::Figure;
use crate::ui::clock::{Pace, Stops};
use crate::ui::export::ink::Ink;
use crate::ui::widgets::controls::segmented;
use crate::ui::widgets::textures::Scale;
use crate::ui::widgets::tile::HEADER;
use crate::worker::protocol::{RaceLane, RaceRequest, RunRequest, Slot};
use egui::{Rect, Ui, UiBuilder, pos2, vec2};
use serde::{Deserialize, Serialize};

/// Lanes that a race has at most.
pub const MOST_LANES: usize = 6;
/// Steps of the dense reference.
pub(super) const REFERENCE_STEPS: usize = 500;
/// Steps that a lane has at most.
const MOST_STEPS: usize = 1000;
/// Seconds for which nothing may have changed before a race starts.
const REST_SECS: f64 = 0.15;

/// What the lanes have in common besides the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// The number of evaluations of the model, which is what time goes into.
    #[default]
    Evaluations,
    /// The number of steps.
    Steps,
    /// Nothing: each lane has its own number of steps.
    Free,
}

const MATCHINGS: &[(Matching, &str, &str)] = &[
    (Matching::Evaluations, "Evaluations", "Every lane may ask the model as often: a sampler that asks twice a step takes half the steps."),
    (Matching::Steps, "Steps", "Every lane takes as many steps, however often it asks the model."),
    (Matching::Free, "Free", "Every lane has its own number of steps, to be set above its picture."),
];

/// What is shown below the lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// Their distances from the reference and their paths.
    #[default]
    Paths,
    /// What is measured of their pictures over the number of evaluations.
    Quality,
}

const VIEWS: &[(View, &str, &str)] = &[
    (View::Paths, "Paths", "How far each lane is from the reference at every noise level, and the ways that they take."),
    (View::Quality, "Quality", "How often the picture is right, how long it takes: measured for each sampler over the evaluations."),
];

/// A lane as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneChoice {
    /// Id of the sampler.
    pub sampler: String,
    /// Its own number of steps, for [`Matching::Free`].
    pub steps: usize,
    /// What is added to the seed for the fresh noise on the way: lanes of one sampler may differ in it alone.
    pub seed: u64,
}

impl Default for LaneChoice {
    fn default() -> Self {
        Self { sampler: SAMPLERS[0].id.to_owned(), steps: 20, seed: 0 }
    }
}

/// What is remembered of this lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The lanes.
    pub lanes: Vec<LaneChoice>,
    /// What they have in common.
    pub matching: Matching,
    /// How many of it.
    pub budget: usize,
    /// The lane that the panel tells about.
    pub focus: usize,
    /// What is shown below.
    pub view: View,
    /// Guidance scale w; none is the model's own.
    pub guidance_scale: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        PRESETS[0].settings()
    }
}

impl Settings {
    /// Brings what was read back into range.
    pub fn tidy(&mut self) {
        self.lanes.retain(|lane| SamplerInfo::find(&lane.sampler).is_some());
        self.lanes.truncate(MOST_LANES);
        if self.lanes.is_empty() {
            self.lanes = Self::default().lanes;
        }
        for lane in &mut self.lanes {
            lane.steps = lane.steps.clamp(1, MOST_STEPS);
            lane.seed %= 1000;
        }
        self.budget = self.budget.clamp(2, 200);
        self.focus = self.focus.min(self.lanes.len() - 1);
        self.guidance_scale = self.guidance_scale.filter(|w| w.is_finite()).map(|w| w.clamp(0.0, 20.0));
    }

    /// The number of steps that a lane takes.
    pub fn steps_of(&self, lane: &LaneChoice) -> usize {
        let steps = match self.matching {
            Matching::Evaluations => SamplerInfo::find(&lane.sampler).map_or(self.budget, |info| info.steps_within(self.budget)),
            Matching::Steps => self.budget,
            Matching::Free => lane.steps,
        };
        steps.clamp(1, MOST_STEPS)
    }
}

/// The lab's state that need not be remembered.
#[derive(Default)]
pub struct Samplers {
    wanted: Resting<RaceRequest>,
    held: bool,
    /// The lane that the pointer is over.
    pointed: Option<usize>,
    quality: quality::State,
}

impl Samplers {
    fn scale(cx: &LabContext<'_>) -> f64 {
        let own = cx.session.card.as_ref().map_or(5.0, |card| card.default_guidance);
        cx.work.samplers.guidance_scale.unwrap_or(own)
    }

    /// What all lanes have in common.
    fn run(cx: &LabContext<'_>) -> RunRequest {
        RunRequest {
            prompt: cx.session.prompt.clone(),
            negative: cx.session.negative.clone(),
            seed: cx.work.seed,
            guidance_scale: Self::scale(cx),
            ..RunRequest::default()
        }
    }

    fn request(cx: &LabContext<'_>) -> RaceRequest {
        let own = &cx.work.samplers;
        let lane = |choice: &LaneChoice| RaceLane {
            sampler: choice.sampler.clone(),
            steps: own.steps_of(choice),
            seed: cx.work.seed.wrapping_add(choice.seed),
            levels: None,
        };
        RaceRequest { run: Self::run(cx), lanes: own.lanes.iter().map(lane).collect(), reference_steps: REFERENCE_STEPS }
    }

    /// Starts the race once what it depends on has come to rest.
    fn ask(&mut self, cx: &mut LabContext<'_>) {
        if cx.session.card.is_none() {
            return;
        }
        let wanted = Self::request(cx);
        let rested = self.wanted.observe(&wanted, cx.now_secs).is_some_and(|secs| secs > REST_SECS);
        if rested && !self.held {
            cx.session.ask_race(Slot::Race, wanted);
        }
    }

    /// The lane that is lit: the one under the pointer, else the one in focus.
    fn lit(&self, cx: &LabContext<'_>) -> usize {
        self.pointed.unwrap_or(cx.work.samplers.focus)
    }
}

impl Lab for Samplers {
    fn logic(&mut self, cx: &mut LabContext<'_>) -> Pace {
        cx.session.want_scene(cx.work.scene_seed);
        self.ask(cx);
        self.ask_quality(cx);
        let mut stops: Vec<f64> = cx.session.race.lanes().iter().flat_map(|lane| lane.steps.iter().map(|step| step.timestep)).collect();
        stops.sort_by(|a, b| b.total_cmp(a));
        stops.dedup_by(|a, b| (*a - *b).abs() < 0.5);
        // A lane of a thousand steps would fill the track with marks.
        let marks = if stops.len() > 200 { Vec::new() } else { stops.iter().map(|t| (*t, true)).collect() };
        let ready = !stops.is_empty();
        Pace { ready, floor: 0.0, stops: if ready { Stops::At(stops) } else { Stops::Every(50) }, marks }
    }

    fn main_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.held = false;
        let theme = cx.theme;
        let room = ui.available_rect_before_wrap();
        let bar = Rect::from_min_size(room.min, vec2(room.width(), theme.px(36.0)));
        self.bar(cx, ui, bar);
        let gap = theme.px(14.0);
        let below = Rect::from_min_max(pos2(room.left(), bar.bottom() + theme.px(10.0)), room.max);
        if cx.zoom.is_near() {
            let operation = self.operation(cx);
            zoom::show(cx, ui, below, operation);
            return;
        }
        let edge = ((below.width() - gap * (MOST_LANES - 1) as f32) / MOST_LANES as f32).min(below.height() * 0.36).max(48.0).floor();
        let lanes = Rect::from_min_size(below.min, vec2(below.width(), edge + lanes::around(theme)));
        self.lanes_ui(cx, ui, lanes, edge);
        let rest = Rect::from_min_max(pos2(below.left(), lanes.bottom() + theme.px(8.0)), below.max);
        match cx.work.samplers.view {
            View::Paths => {
                let header = theme.px(HEADER);
                let plane = (rest.height() - header).min(rest.width() * 0.45) + theme.px(60.0);
                let gap = theme.px(24.0);
                self.distance_ui(cx, ui, rest.with_max_x(rest.right() - plane - gap));
                self.plane_ui(cx, ui, rest.with_min_x(rest.right() - plane));
            }
            View::Quality => self.quality_ui(cx, ui, rest),
        }
    }

    fn side_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.explain(cx, ui);
    }

    fn is_settled(&self, cx: &LabContext<'_>) -> bool {
        let race = &cx.session.race;
        let raced = race.is_stopped() || (race.asked() == Some(&Self::request(cx)) && race.map().is_some());
        raced && self.quality_is_settled(cx)
    }

    fn figure(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Option<Figure> {
        self.as_figure(cx, ink)
    }

    fn film(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        self.as_film(cx, ink)
    }
}

impl Samplers {
    /// What the lane in focus makes of the sample at the clock's level: the guess that its step goes by.
    fn operation(&self, cx: &LabContext<'_>) -> Option<Operation> {
        let index = cx.work.samplers.focus;
        let lane = cx.session.race.lanes().get(index)?;
        let step = lane.at(cx.clock.position())?;
        let level = Level { alpha: step.alpha, sigma: step.sigma };
        let eps = eps_from_x0(&step.x, &step.x0, level);
        let reading = Reading::Guess { coefficients: [step.alpha, step.sigma], tensors: [step.x.clone(), eps, step.x0.clone()] };
        let given = Part::operands(&reading)?;
        let label = SamplerInfo::find(&lane.lane.sampler).map_or("", |info| info.label);
        let title = format!("{label}, step {} of {}", step.index + 1, step.count);
        Some(Operation { title, kind: Kind::Latents, reading, given, look: (4.0, Scale::Linear) })
    }

    /// The line above the lanes: a race to choose, what is the same for all, what is shown below.
    fn bar(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let mut child = ui.new_child(UiBuilder::new().max_rect(rect).layout(egui::Layout::right_to_left(egui::Align::Center)));
        if segmented(&mut child, theme, &mut cx.work.samplers.view, VIEWS) {
            cx.zoom.go(zoom::Level::Overview);
        }
        let rest = child.available_rect_before_wrap();
        let mut left = ui.new_child(UiBuilder::new().max_rect(rest).layout(egui::Layout::left_to_right(egui::Align::Center)));
        presets::menu(cx, &mut left);
        left.add_space(theme.px(8.0));
        let before = cx.work.samplers.matching;
        if segmented(&mut left, theme, &mut cx.work.samplers.matching, MATCHINGS) && cx.work.samplers.matching == Matching::Free {
            // What was matched is where each lane goes on from.
            let matched = Settings { matching: before, ..cx.work.samplers.clone() };
            cx.work.samplers.lanes.iter_mut().for_each(|lane| lane.steps = matched.steps_of(lane));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_matched_by_what_they_ask_of_the_model() {
        let lane = |sampler: &str| LaneChoice { sampler: sampler.into(), steps: 7, seed: 0 };
        let with = |matching| Settings { matching, budget: 20, ..Settings::default() };
        for info in SAMPLERS {
            let steps = with(Matching::Evaluations).steps_of(&lane(info.id));
            assert!(info.evaluations(steps) <= 20 && info.evaluations(steps + 1) > 20, "{}: {steps}", info.id);
            assert_eq!(with(Matching::Steps).steps_of(&lane(info.id)), 20);
            assert_eq!(with(Matching::Free).steps_of(&lane(info.id)), 7);
        }
    }

    #[test]
    fn damaged_settings_are_brought_back() {
        let lane = LaneChoice { sampler: "ddim".into(), steps: 0, seed: u64::MAX };
        let odd = LaneChoice { sampler: "magic".into(), ..LaneChoice::default() };
        let mut settings = Settings { lanes: [vec![odd], vec![lane; 9]].concat(), budget: 0, focus: 99, ..Settings::default() };
        settings.tidy();
        assert_eq!((settings.lanes.len(), settings.budget, settings.focus), (MOST_LANES, 2, MOST_LANES - 1));
        assert!(settings.lanes.iter().all(|lane| lane.steps == 1 && lane.seed < 1000));
        let mut none = Settings { lanes: Vec::new(), ..Settings::default() };
        none.tidy();
        assert_eq!(none, Settings::default());
    }
}
