//! Prediction targets: noise, clean picture or velocity, three ways to say one thing, and what an error in each is worth.
//!
//! The model looks along the forward run of the picture, so what it should have said is known: the noise that was added and the
//! latents that it was added to. Velocity is that of Salimans and Ho 2022 (arXiv 2202.00512).

mod figure;
mod plots;
mod side;
mod tiles;

use super::forward_reverse::{ForwardNoise, ForwardReverse};
use super::reading::{Kind, Reading};
use super::rest::{Resting, clock_rests};
use super::zoom::{self, Operation, Part};
use super::{Lab, LabContext};
use crate::diffusion::{Level, PredictionType};
use crate::figure::Figure;
use crate::host::HostTensor;
use crate::noise::{Stream, gaussian};
use crate::ui::clock::{Pace, Stops};
use crate::ui::export::ink::Ink;
use crate::ui::theme::Symbol;
use crate::ui::widgets::controls::segmented;
use crate::ui::widgets::math::{Math, sym};
use crate::ui::widgets::textures::Scale;
use crate::worker::protocol::Frame;
use egui::{Rect, Ui, UiBuilder, pos2, vec2};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The three answers of this lab.
pub const ANSWERS: [PredictionType; 3] = [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction];

/// The symbol of an answer, with a hat.
pub fn hat(answer: PredictionType) -> Math {
    match answer {
        PredictionType::Sample => sym("x", Symbol::Signal).hat().with_index("0"),
        PredictionType::Epsilon => sym("ε", Symbol::Noise).hat(),
        PredictionType::VPrediction | PredictionType::Flow => sym("v", Symbol::Conditional).hat(),
    }
}

/// The colour of an answer.
const fn symbol(answer: PredictionType) -> Symbol {
    match answer {
        PredictionType::Sample => Symbol::Signal,
        PredictionType::Epsilon => Symbol::Noise,
        PredictionType::VPrediction | PredictionType::Flow => Symbol::Conditional,
    }
}

/// An answer in words.
const fn word_of(answer: PredictionType) -> &'static str {
    match answer {
        PredictionType::Sample => "clean picture",
        PredictionType::Epsilon => "noise",
        PredictionType::VPrediction | PredictionType::Flow => "velocity",
    }
}

const CHOICES: &[(PredictionType, &str, &str)] = &[
    (PredictionType::Epsilon, "in ε", "The error is made in the noise."),
    (PredictionType::Sample, "in x₀", "The error is made in the clean picture."),
    (PredictionType::VPrediction, "in v", "The error is made in the velocity."),
];

/// What is remembered of this lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// In which answer the error is made: the id of a prediction type.
    pub answer: String,
    /// Its size, root mean square.
    pub delta: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { answer: PredictionType::Epsilon.id().to_owned(), delta: 0.2 }
    }
}

/// Sizes that an error can have.
pub const DELTAS: (f64, f64) = (0.01, 1.0);

impl Settings {
    /// Brings what was read back into range.
    pub fn tidy(&mut self) {
        if !ANSWERS.iter().any(|answer| answer.id() == self.answer) {
            self.answer = Self::default().answer;
        }
        if !self.delta.is_finite() {
            self.delta = Self::default().delta;
        }
        self.delta = self.delta.clamp(DELTAS.0, DELTAS.1);
    }

    /// In which answer the error is made.
    pub fn source(&self) -> PredictionType {
        PredictionType::from_id(&self.answer).unwrap_or_default()
    }
}

/// What one look of the model says, in the three ways, and how far off each is.
struct Answers {
    frame: Arc<Frame>,
    level: Level,
    /// In the order of [`ANSWERS`].
    said: [HostTensor; 3],
    /// Root-mean-square errors, where the truth is known.
    errors: [f64; 3],
}

impl Answers {
    /// The answers of `frame`, held against the latents `x0` and the noise `eps` that it was made of.
    fn of(frame: &Arc<Frame>, x0: &HostTensor, eps: &HostTensor) -> Self {
        let level = Level { alpha: frame.alpha, sigma: frame.sigma };
        let said = ANSWERS.map(|answer| match answer {
            PredictionType::Epsilon => frame.eps.clone(),
            PredictionType::Sample => PredictionType::Epsilon.to_x0(&frame.x, &frame.eps, level),
            other => other.from_parts(&PredictionType::Epsilon.to_x0(&frame.x, &frame.eps, level), &frame.eps, level),
        });
        let errors = [0, 1, 2].map(|i| {
            let truth = ANSWERS[i].from_parts(x0, eps, level);
            said[i].lincomb(1.0, &truth, -1.0).norm() / (truth.len().max(1) as f64).sqrt()
        });
        Self { frame: Arc::clone(frame), level, said, errors }
    }
}

/// The lab's state that need not be remembered.
#[derive(Default)]
pub struct Targets {
    noise: ForwardNoise,
    /// Those of every look, by falling timestep, and what they were made of.
    answers: Vec<Answers>,
    made_of: Option<(HostTensor, u64, usize)>,
    /// Where the clock rests.
    resting: Resting<(f64, bool)>,
    /// The picture with the error: where and how it was made, and its latents.
    off: Option<(f64, PredictionType, f64, HostTensor)>,
}

impl Targets {
    /// Works out what the looks say, once for each that has come.
    fn refresh(&mut self, cx: &LabContext<'_>) {
        let run = &cx.session.forward;
        let Some(picture) = cx.session.picture.clone() else { return };
        let own = run.request().is_some_and(|request| {
            std::ptr::eq(request.latents.data(), picture.latents.data()) && request.seed == cx.work.seed && request.guidance_scale == 1.0
        });
        if !own {
            self.answers.clear();
            self.made_of = None;
            return;
        }
        let of = (picture.latents.clone(), cx.work.seed, run.frames().len());
        let same = |(x0, seed, count): &(HostTensor, u64, usize)| std::ptr::eq(x0.data(), of.0.data()) && *seed == of.1 && *count == of.2;
        let replaced = self.answers.iter().zip(run.frames()).any(|(answers, frame)| !Arc::ptr_eq(&answers.frame, frame));
        if self.made_of.as_ref().is_some_and(same) && !replaced {
            return;
        }
        let eps = self.noise.of(cx.work.seed, picture.latents.shape());
        let mut old = std::mem::take(&mut self.answers);
        self.answers = run
            .frames()
            .iter()
            .map(|frame| match old.iter().position(|answers| Arc::ptr_eq(&answers.frame, frame)) {
                Some(at) => old.swap_remove(at),
                None => Answers::of(frame, &picture.latents, &eps),
            })
            .collect();
        self.made_of = Some(of);
    }

    /// The look that is nearest to the clock.
    fn now(&self, cx: &LabContext<'_>) -> Option<&Answers> {
        let position = cx.clock.position();
        self.answers.iter().min_by(|a, b| (a.frame.timestep - position).abs().total_cmp(&(b.frame.timestep - position).abs()))
    }

    /// How the clean picture follows from the noise that the model says.
    fn operation(&self, cx: &LabContext<'_>) -> Option<Operation> {
        let answers = self.now(cx)?;
        let [eps, x0, _] = &answers.said;
        let coefficients = [answers.level.alpha, answers.level.sigma];
        let reading = Reading::Guess { coefficients, tensors: [answers.frame.x.clone(), eps.clone(), x0.clone()] };
        let given = Part::operands(&reading)?;
        let title = format!("One answer at t = {:.0}", answers.frame.timestep);
        Some(Operation { title, kind: Kind::Latents, reading, given, look: (tiles::RANGE, Scale::Linear) })
    }

    /// The clean latents that follow when the answer in focus is off by the error: a fixed noise of its size is added to the answer,
    /// which is then converted.
    fn off(&mut self, cx: &LabContext<'_>) -> Option<HostTensor> {
        let (source, delta) = (cx.work.targets.source(), cx.work.targets.delta);
        let (timestep, x, said, level) = {
            let answers = self.now(cx)?;
            let at = ANSWERS.iter().position(|answer| *answer == source).unwrap_or(0);
            (answers.frame.timestep, answers.frame.x.clone(), answers.said[at].clone(), answers.level)
        };
        if let Some((t, answer, size, latents)) = &self.off
            && (*t, *answer, *size) == (timestep, source, delta)
        {
            return Some(latents.clone());
        }
        let wrong = said.lincomb(1.0, &gaussian(cx.work.seed, Stream::Eval, said.shape()), delta);
        let latents = source.to_x0(&x, &wrong, level);
        self.off = Some((timestep, source, delta, latents.clone()));
        Some(latents)
    }
}

impl Lab for Targets {
    fn logic(&mut self, cx: &mut LabContext<'_>) -> Pace {
        ForwardReverse::ask_looks(cx);
        // When the clock rests, the model looks at exactly its timestep.
        if clock_rests(&mut self.resting, cx) {
            cx.session.ask_look(cx.clock.timestep());
        }
        self.refresh(cx);
        if cx.session.card.is_some()
            && let Some(latents) = self.off(cx).filter(HostTensor::is_finite)
        {
            cx.session.ask_decode(&latents);
        }
        let stops: Vec<f64> = self.answers.iter().map(|answers| answers.frame.timestep).collect();
        let marks = stops.iter().map(|t| (*t, true)).collect();
        Pace { ready: !stops.is_empty(), floor: 0.0, stops: if stops.is_empty() { Stops::Every(50) } else { Stops::At(stops) }, marks }
    }

    fn main_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let room = ui.available_rect_before_wrap();
        let bar = Rect::from_min_size(room.min, vec2(room.width(), theme.px(36.0)));
        let mut child = ui.new_child(UiBuilder::new().max_rect(bar).layout(egui::Layout::left_to_right(egui::Align::Center)));
        child.label(egui::RichText::new("An error").font(theme.body()).color(theme.palette().dim));
        let mut source = cx.work.targets.source();
        if segmented(&mut child, theme, &mut source, CHOICES) {
            cx.work.targets.answer = source.id().to_owned();
        }
        let below = Rect::from_min_max(pos2(room.left(), bar.bottom() + theme.px(8.0)), room.max);
        if cx.zoom.is_near() {
            let operation = self.operation(cx);
            zoom::show(cx, ui, below, operation);
            return;
        }
        let tiles = below.with_max_y(below.top() + tiles::height(theme, below.size()));
        self.tiles_ui(cx, ui, tiles);
        self.plots_ui(cx, ui, below.with_min_y(tiles.bottom() + theme.px(14.0)));
    }

    fn side_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.explain(cx, ui);
    }

    fn is_settled(&self, cx: &LabContext<'_>) -> bool {
        let run = &cx.session.forward;
        let looked = run.is_stopped() || (run.is_current() && !run.is_running() && !self.answers.is_empty());
        let decoded = self.off.as_ref().is_none_or(|(.., latents)| !latents.is_finite() || cx.session.decoded(latents).is_some());
        let exactly = cx.clock.playing || cx.session.looked_at(cx.clock.timestep());
        cx.session.picture.is_some() && looked && exactly && decoded
    }

    fn figure(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Option<Figure> {
        self.as_figure(cx, ink)
    }

    fn film(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        self.as_film(cx, ink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_held_against_what_the_sample_was_made_of() {
        let shape = [1, 2, 4, 4];
        let [x0, eps, error] = [1, 2, 3].map(|seed| gaussian(seed, Stream::Eval, shape));
        let level = Level::from_alpha_bar(0.3);
        let x = level.add_noise(&x0, &eps);
        let said = eps.lincomb(1.0, &error, 0.1);
        let frame = |eps: HostTensor| {
            Arc::new(Frame {
                index: 0,
                count: 1,
                timestep: 500.0,
                alpha: level.alpha,
                sigma: level.sigma,
                x: x.clone(),
                x0: x0.clone(),
                eps_uncond: eps.clone(),
                eps_cond: eps.clone(),
                eps,
                x_picture: None,
                x0_picture: None,
            })
        };
        let right = Answers::of(&frame(eps.clone()), &x0, &eps);
        assert!(right.errors.iter().all(|error| *error < 1e-5), "{:?}", right.errors);
        let wrong = Answers::of(&frame(said), &x0, &eps);
        let size = 0.1 * error.norm() / (error.len() as f64).sqrt();
        for (answer, measured) in ANSWERS.iter().zip(wrong.errors) {
            let want = size * PredictionType::Epsilon.sensitivity(*answer, level);
            assert!((measured - want).abs() < 1e-4 * want, "{answer:?}: {measured} against {want}");
        }
    }

    #[test]
    fn damaged_settings_are_brought_back() {
        let mut settings = Settings { answer: "magic".into(), delta: f64::NAN };
        settings.tidy();
        assert_eq!(settings, Settings::default());
        let mut far = Settings { answer: "sample".into(), delta: 1e9 };
        far.tidy();
        assert_eq!((far.source(), far.delta), (PredictionType::Sample, DELTAS.1));
    }
}
