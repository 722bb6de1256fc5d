//! Schedules: how fast the signal fades, in many ways, under one playhead.
//!
//! The table of schedules and their papers is [`SCHEDULES`](crate::diffusion::SCHEDULES), and behind it stands the one that is learned;
//! the same picture stands below under the same noise in each. Their curves can be drawn by hand; the weights show where training spends
//! its effort by them; sampling, what the model makes along their levels; learning, how a network finds one.

mod chart;
mod curves;
mod figure;
mod handles;
mod known;
mod learning;
mod sampling;
mod side;
mod tiles;
mod weights;

pub use known::Learnt;

use super::forward_reverse::{ClosedForm, ForwardNoise, Signed};
use super::reading::{Kind, Reading};
use super::rest::Resting;
use super::zoom::{self, Operation, Part};
use super::{Lab, LabContext};
use crate::diffusion::{PredictionType, SamplerInfo};
use crate::figure::Figure;
use crate::ui::clock::{Direction, Pace, Stops};
use crate::ui::export::ink::Ink;
use crate::ui::theme::Theme;
use crate::ui::widgets::controls::segmented;
use crate::ui::widgets::textures::Scale;
use crate::worker::protocol::RaceRequest;
use curves::Curves;
use egui::{Rect, Ui, UiBuilder};
use known::{COUNT, LEARNED, Recipe, known, position};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the middle shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// The curves over the timestep.
    #[default]
    Curves,
    /// How often training looks at a signal-to-noise ratio, and what that weighs.
    Weights,
    /// What the model makes along the levels of each schedule.
    Sampling,
    /// A schedule being learned.
    Learning,
}

const VIEWS: &[(View, &str, &str)] = &[
    (View::Curves, "Curves", "The schedules over the timestep; drag the points of ᾱ to draw one by hand."),
    (View::Weights, "Weights", "Where on the axis of the signal-to-noise ratio training spends its effort."),
    (View::Sampling, "Sampling", "What the model makes when it is asked for the levels of each schedule."),
    (View::Learning, "Learning", "A network learns the schedule along which the model's loss is known best."),
];

/// What a loss compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compared {
    /// The noise.
    #[default]
    Noise,
    /// The clean picture.
    Picture,
    /// The velocity.
    Velocity,
}

const COMPARED: &[(Compared, &str, &str)] = &[
    (Compared::Noise, "noise ε", "The loss is the squared error of the noise, as in DDPM."),
    (Compared::Picture, "picture x", "The loss is the squared error of the clean picture."),
    (Compared::Velocity, "velocity v", "The loss is the squared error of the velocity."),
];

const MIN_SNR: &[(bool, &str, &str)] = &[
    (false, "Plain", "Every timestep counts alike."),
    (true, "Min-SNR", "Weighted by Min-SNR-5 (Hang et al. 2023, arXiv 2303.09556): timesteps with little noise count less."),
];

impl Compared {
    const fn prediction(self) -> PredictionType {
        match self {
            Self::Noise => PredictionType::Epsilon,
            Self::Picture => PredictionType::Sample,
            Self::Velocity => PredictionType::VPrediction,
        }
    }
}

/// What is remembered of this lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Id of the schedule in focus.
    pub focus: String,
    /// Parameters of each schedule, by id, where they are not the defaults.
    pub params: BTreeMap<String, Vec<f64>>,
    /// Ids of those that are shifted to zero terminal SNR.
    pub zero_terminal: BTreeSet<String>,
    /// What the middle shows.
    pub view: View,
    /// What the loss of the weights compares.
    pub compared: Compared,
    /// Whether it is weighted by Min-SNR.
    pub min_snr: bool,
    /// Id of the sampler that follows all of them.
    pub sampler: String,
    /// Its steps.
    pub steps: usize,
    /// Whether the model is told the other schedule's timestep instead of its own of the same noise.
    pub mistaken: bool,
    /// The network that was learned here.
    pub learned: Option<Learnt>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            focus: "squaredcos_cap_v2".to_owned(),
            params: BTreeMap::new(),
            zero_terminal: BTreeSet::new(),
            view: View::Curves,
            compared: Compared::Noise,
            min_snr: false,
            sampler: "ddim".to_owned(),
            steps: 20,
            mistaken: false,
            learned: None,
        }
    }
}

/// Steps of the sampler.
const STEPS: (usize, usize) = (4, 100);
/// Parameters that a remembered network may have.
const MOST_PARAMS: usize = 1000;

impl Settings {
    /// Brings what was read back into range.
    pub fn tidy(&mut self) {
        let usual = Self::default();
        if position(&self.focus).is_none() {
            self.focus = usual.focus;
        }
        self.params.retain(|id, values| {
            position(id).is_some_and(|index| known(index).params.len() == values.len()) && values.iter().all(|v| v.is_finite())
        });
        for (id, values) in &mut self.params {
            let infos = position(id).map_or(&[][..], |index| known(index).params);
            values.iter_mut().zip(infos).for_each(|(value, info)| *value = value.clamp(info.min, info.max));
        }
        self.zero_terminal.retain(|id| position(id).is_some());
        if SamplerInfo::find(&self.sampler).is_none() {
            self.sampler = usual.sampler;
        }
        self.steps = self.steps.clamp(STEPS.0, STEPS.1);
        self.learned = self.learned.take().filter(|learnt| learnt.params.len() <= MOST_PARAMS && learnt.network().is_some());
    }

    fn params_of(&self, index: usize) -> Vec<f64> {
        let known = known(index);
        self.params.get(known.id).cloned().unwrap_or_else(|| known.params.iter().map(|param| param.default).collect())
    }
}

/// The lab's state that need not be remembered.
#[derive(Default)]
pub struct Schedules {
    signed: Signed,
    noise: ForwardNoise,
    closed: [ClosedForm; COUNT],
    curves: [Curves; COUNT],
    /// What is to be sampled.
    sampling: Resting<RaceRequest>,
    learning: learning::State,
}

impl Lab for Schedules {
    fn logic(&mut self, cx: &mut LabContext<'_>) -> Pace {
        cx.session.want_scene(cx.work.scene_seed);
        self.keep_learned(cx);
        let count = cx.session.levels.count();
        for index in 0..COUNT {
            let recipe = if index == LEARNED { self.learned_recipe(cx) } else { Recipe::Table(index, cx.work.schedules.params_of(index)) };
            self.curves[index].refresh(recipe, cx.work.schedules.zero_terminal.contains(known(index).id), count);
        }
        if cx.work.schedules.view != View::Sampling {
            return Pace { stops: Stops::Every(10), ..Pace::default() };
        }
        self.ask_sampling(cx);
        let ready = cx.session.crossing.lanes().iter().any(|lane| !lane.steps.is_empty());
        Pace { ready, stops: Stops::Every(10), ..Pace::default() }
    }

    fn main_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let room = ui.available_rect_before_wrap();
        let bar = room.with_max_y(room.top() + theme.px(36.0));
        self.bar(cx, ui, bar);
        let below = room.with_min_y(bar.bottom() + theme.px(8.0));
        if cx.work.schedules.view == View::Sampling && !cx.zoom.is_near() {
            self.sampling_ui(cx, ui, below);
            return;
        }
        let height = tiles::edge(theme, below.width()) + theme.px(tiles::HEAD + tiles::FOOT);
        let tiles = below.with_min_y(below.bottom() - height);
        let plots = below.with_max_y(tiles.top() - theme.px(8.0));
        if cx.zoom.is_near() {
            let operation = self.operation(cx);
            zoom::show(cx, ui, plots, operation);
            zoom::dim(ui, tiles);
        } else {
            match cx.work.schedules.view {
                View::Curves => self.curves_ui(cx, ui, plots),
                View::Weights => self.weights_ui(cx, ui, plots),
                View::Learning => self.learning_ui(cx, ui, plots),
                View::Sampling => {}
            }
        }
        self.tiles_ui(cx, ui, tiles);
    }

    fn side_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.explain(cx, ui);
    }

    fn is_settled(&self, cx: &LabContext<'_>) -> bool {
        let pictured = cx.session.picture.is_some() && !cx.session.picture_is_coming();
        let sampled = cx.work.schedules.view != View::Sampling || self.sampling_is_settled(cx);
        pictured && sampled && !cx.session.learning.is_running()
    }

    fn figure(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Option<Figure> {
        self.as_figure(cx, ink)
    }

    fn film(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        self.as_film(cx, ink)
    }
}

impl Schedules {
    /// The place of the schedule in focus.
    fn focus(cx: &LabContext<'_>) -> usize {
        position(&cx.work.schedules.focus).unwrap_or(0)
    }

    /// The noise that the schedule in focus gives the picture at the clock's timestep.
    fn operation(&mut self, cx: &LabContext<'_>) -> Option<Operation> {
        let index = Self::focus(cx);
        let picture = cx.session.picture.clone()?;
        let level = self.curves[index].level(cx.clock.timestep())?;
        let x0 = self.signed.of(&picture.pixels);
        let eps = self.noise.of(cx.work.seed, x0.shape());
        let x = self.closed[index].at(&x0, &eps, level).x.clone();
        let reading = Reading::Sum { chain: false, coefficients: [level.alpha, level.sigma], tensors: [x0, eps, x] };
        let given = Part::operands(&reading)?;
        let title = format!("{} at t = {}", known(index).label, cx.clock.timestep());
        Some(Operation { title, kind: Kind::Pixels, reading, given, look: (1.0, Scale::Linear) })
    }

    /// The line above: what is shown at the right, what that can be set to at the left.
    fn bar(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let mut child = ui.new_child(UiBuilder::new().max_rect(rect).layout(egui::Layout::right_to_left(egui::Align::Center)));
        if segmented(&mut child, theme, &mut cx.work.schedules.view, VIEWS) {
            cx.zoom.go(zoom::Level::Overview);
            if cx.work.schedules.view == View::Sampling {
                cx.clock.turn(Direction::Reverse);
            }
        }
        let rest = child.available_rect_before_wrap();
        let mut left = ui.new_child(UiBuilder::new().max_rect(rest).layout(egui::Layout::left_to_right(egui::Align::Center)));
        match cx.work.schedules.view {
            View::Curves => invite(&mut left, theme),
            View::Weights => {
                segmented(&mut left, theme, &mut cx.work.schedules.compared, COMPARED);
                left.add_space(theme.px(8.0));
                segmented(&mut left, theme, &mut cx.work.schedules.min_snr, MIN_SNR);
            }
            View::Sampling => self.sampling_bar(cx, &mut left),
            View::Learning => self.learning_bar(cx, &mut left),
        }
    }
}

/// Says that the curve can be drawn.
fn invite(ui: &mut Ui, theme: &Theme) {
    let text = "Drag the points of ᾱ: the curve bends, and the picture with it.";
    ui.label(egui::RichText::new(text).font(theme.body()).color(theme.palette().dim));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::SCHEDULES;
    use crate::diffusion::schedule::MonotoneNetwork;

    #[test]
    fn damaged_settings_are_brought_back() {
        let mut s = Settings {
            focus: "nope".into(),
            params: [("linear".into(), vec![f64::NAN, 1.0]), ("x".into(), vec![]), ("free".into(), vec![9.0, 0.8, 0.5, 0.2, -1.0])].into(),
            zero_terminal: ["y".to_owned(), "linear".to_owned()].into(),
            sampler: "magic".into(),
            steps: 0,
            learned: Some(Learnt { ends: [3.0, 1.0], params: vec![0.0; 4] }),
            ..Settings::default()
        };
        s.tidy();
        assert_eq!((s.focus.as_str(), s.sampler.as_str(), s.steps), ("squaredcos_cap_v2", "ddim", STEPS.0));
        assert_eq!(s.params.keys().collect::<Vec<_>>(), ["free"]);
        assert!(SCHEDULES[LEARNED - 1].build(&s.params["free"], 1000).is_ok(), "{:?}", s.params);
        assert_eq!(s.zero_terminal.iter().collect::<Vec<_>>(), ["linear"]);
        assert_eq!(s.learned, None);
        let kept = Settings {
            focus: "learned".into(),
            learned: Some(Learnt::of(&MonotoneNetwork::straight(-5.0, 5.0, 6))),
            view: View::Learning,
            ..Settings::default()
        };
        let mut again: Settings = serde_json::from_str(&serde_json::to_string(&kept).expect("writes")).expect("reads");
        again.tidy();
        assert_eq!(again, kept);
    }
}
