//! Forward and reverse: a picture dissolves into noise, and a picture comes back out of it.
//!
//! A film of the whole run lies along the lower edge. A probe tells the numbers of any pixel or latent; the histogram shows how x_t
//! comes to be N(0, 1). The bridge restores the picture from the clock's timestep; branches leave the reverse run at any step.
//!
//! Forward is Ho et al. 2020 (arXiv 2006.11239), eq. 2 (step by step) and eq. 4 (closed form); reverse is the run of the
//! sampler chosen, every step kept.

mod branches;
mod bridge;
mod figure;
mod histogram;
mod main;
mod noising;
mod operation;
mod probe;
mod reading;
mod side;
mod strip;
mod tree;

pub use branches::{Branch, Shown};
pub use bridge::Difference;
pub use histogram::Histogram;
pub use noising::{ClosedForm, ForwardNoise, Signed};
pub use probe::Probe;

use super::rest::{Resting, clock_rests};
use super::{Lab, LabContext};
use crate::diffusion::SAMPLERS;
use crate::figure::Figure;
use crate::host::HostTensor;
use crate::ui::clock::{Direction, Pace, Stops};
use crate::ui::export::ink::Ink;
use crate::ui::settings::Work;
use crate::worker::protocol::{ForwardRequest, RunRequest, Slot};
use egui::Ui;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where the noise is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// To the picture itself.
    #[default]
    Pixels,
    /// To its latents.
    Latents,
}

/// How the forward process is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Process {
    /// In one stroke from x0.
    #[default]
    Closed,
    /// Step by step.
    Chain,
}

/// What is remembered of this lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Pixels or latents.
    pub space: Space,
    /// Closed form or chain.
    pub process: Process,
    /// Steps of the reverse run.
    pub steps: usize,
    /// Guidance scale w; none is the model's own.
    pub guidance_scale: Option<f64>,
    /// The sampler's id.
    pub sampler: String,
    /// Whether the picture is restored from the clock's timestep.
    pub bridge: bool,
    /// The prompt of the restoration; none is the picture's caption.
    pub bridge_prompt: Option<String>,
    /// Branches of the reverse run; their frames are kept in memory, so they end with the window.
    #[serde(skip)]
    pub branches: Vec<Branch>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            space: Space::Pixels,
            process: Process::Closed,
            steps: 20,
            guidance_scale: None,
            sampler: SAMPLERS[0].id.to_owned(),
            bridge: false,
            bridge_prompt: None,
            branches: Vec::new(),
        }
    }
}

impl Settings {
    /// Brings what was read back into range.
    pub fn tidy(&mut self) {
        self.steps = self.steps.clamp(2, 100);
        self.guidance_scale = self.guidance_scale.filter(|w| w.is_finite()).map(|w| w.clamp(0.0, 20.0));
        let too_long = |prompt: &String| prompt.chars().count() > Work::LONGEST_PROMPT;
        self.bridge_prompt = self.bridge_prompt.take().filter(|prompt| !too_long(prompt));
        if !SAMPLERS.iter().any(|s| s.id == self.sampler) {
            self.sampler = SAMPLERS[0].id.to_owned();
        }
    }
}

/// The lab's state that need not be remembered.
#[derive(Default)]
pub struct ForwardReverse {
    signed: Signed,
    pixel_noise: ForwardNoise,
    latent_noise: ForwardNoise,
    closed: ClosedForm,
    closed_latents: ClosedForm,
    chain: noising::Chain,
    latent_chain: noising::Chain,
    chain_there: bool,
    resting: Resting<(f64, bool)>,
    film: strip::Film,
    bridge: bridge::Bridge,
    tree: branches::Tree,
    probe: Probe,
    /// Of x_t, of the closed form beside the chain, and of x0.
    histograms: [histogram::Kept; 3],
}

/// Timesteps at which the model answers along the forward run.
const LOOKS: usize = 21;

impl ForwardReverse {
    fn scale(cx: &LabContext<'_>) -> f64 {
        let own = cx.session.card.as_ref().map_or(5.0, |card| card.default_guidance);
        cx.work.forward_reverse.guidance_scale.unwrap_or(own)
    }

    /// The timesteps of the forward run, coarse first: the middle, the quarters, and so on.
    fn looks(last: usize) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::new();
        for parts in [2, 4, 8, LOOKS - 1] {
            for i in 0..=parts {
                let timestep = (i * last + parts / 2) / parts;
                if !order.iter().any(|t| t.abs_diff(timestep) * (LOOKS + 3) < last) {
                    order.push(timestep);
                }
            }
        }
        order
    }

    /// Asks what the model sees along the forward run of the picture. Returns the prompt under which it looks, once all that is known.
    pub(in crate::ui::labs) fn ask_looks(cx: &mut LabContext<'_>) -> Option<String> {
        cx.session.want_scene(cx.work.scene_seed);
        cx.session.card.as_ref()?;
        let picture = cx.session.picture.clone()?;
        let prompt_is_known = !cx.work.prompt_follows_picture || picture.caption.is_empty() || cx.work.prompt == picture.caption;
        if !prompt_is_known || cx.session.picture_is_coming() {
            return None;
        }
        let prompt = cx.session.prompt.clone();
        cx.session.ask_forward(ForwardRequest {
            latents: picture.latents.clone(),
            seed: cx.work.seed,
            timesteps: Self::looks(cx.session.levels.count() - 1),
            prompt: prompt.clone(),
            negative: String::new(),
            guidance_scale: 1.0,
        });
        Some(prompt)
    }

    fn ask(&mut self, cx: &mut LabContext<'_>) {
        let Some(prompt) = Self::ask_looks(cx) else { return };
        if cx.clock.direction == Direction::Reverse || !cx.session.forward.is_running() {
            let guidance_scale = Self::scale(cx);
            let own = &cx.work.forward_reverse;
            let request = RunRequest {
                prompt,
                seed: cx.work.seed,
                steps: own.steps,
                guidance_scale,
                guidance_interval: None,
                sampler: own.sampler.clone(),
                decode_every_step: true,
                ..RunRequest::default()
            };
            cx.session.ask_reverse(Slot::Reverse, request);
        }
    }

    /// The latents x_t of the forward leg, exactly at the clock's timestep.
    fn latents_at(&mut self, cx: &LabContext<'_>) -> Option<HostTensor> {
        let picture = cx.session.picture.as_ref()?;
        if cx.work.forward_reverse.process == Process::Chain {
            return self.latent_chain.standing().map(|s| s.x.clone());
        }
        let eps = self.latent_noise.of(cx.work.seed, picture.latents.shape());
        Some(self.closed_latents.at(&picture.latents, &eps, cx.session.levels.level(cx.clock.timestep())).x.clone())
    }

    /// The film in pixels is computed over several frames of the window.
    fn film_is_whole(&self, cx: &LabContext<'_>) -> bool {
        let Settings { space, process, .. } = cx.work.forward_reverse;
        let computed =
            cx.clock.direction == Direction::Forward && space == Space::Pixels && process == Process::Closed && !Self::bridge_is_open(cx);
        !computed || self.film.is_whole()
    }

    fn walk(&mut self, cx: &LabContext<'_>) {
        self.chain_there = true;
        let settings = &cx.work.forward_reverse;
        if settings.process != Process::Chain || cx.clock.direction != Direction::Forward {
            return;
        }
        let Some(picture) = cx.session.picture.clone() else { return };
        let levels = &cx.session.levels;
        let (timestep, count) = (cx.clock.timestep(), levels.count());
        let budget = Duration::from_millis(9);
        self.chain_there = match settings.space {
            Space::Pixels => {
                let x0 = self.signed.of(&picture.pixels);
                self.chain.walk(&x0, cx.work.seed, timestep, count, |t| levels.beta(t), budget)
            }
            Space::Latents => self.latent_chain.walk(&picture.latents, cx.work.seed, timestep, count, |t| levels.beta(t), budget),
        };
    }
}

impl Lab for ForwardReverse {
    fn logic(&mut self, cx: &mut LabContext<'_>) -> Pace {
        self.ask(cx);
        self.ask_bridge(cx);
        self.ask_branches(cx);
        self.walk(cx);
        // When the clock rests on the forward leg in latent space, the exact x_t is decoded.
        let rested = clock_rests(&mut self.resting, cx);
        let forward = cx.clock.direction == Direction::Forward;
        let decoded_is_shown = cx.work.forward_reverse.space == Space::Latents || Self::bridge_is_open(cx);
        let decode = rested && forward && self.chain_there && decoded_is_shown && cx.session.card.is_some();
        if rested && forward {
            cx.session.ask_look(cx.clock.timestep());
        }
        if decode && let Some(latents) = self.latents_at(cx) {
            cx.session.ask_decode(&latents);
        }
        if forward {
            let stops = if cx.work.forward_reverse.process == Process::Chain { Stops::Every(1) } else { Stops::Every(20) };
            return Pace { ready: cx.session.picture.is_some(), floor: 0.0, stops, marks: Vec::new() };
        }
        let run = self.shown_run(cx.session);
        let frames = run.frames();
        let floor = match frames.last() {
            Some(_) if run.is_current() && run.end().is_some() => 0.0,
            Some(last) if run.is_current() => last.timestep,
            _ => cx.clock.last(),
        };
        let marks: Vec<(f64, bool)> = frames.iter().map(|f| (f.timestep, true)).collect();
        let stops = if marks.is_empty() { Stops::Every(20) } else { Stops::At(frames.iter().map(|f| f.timestep).collect()) };
        Pace { ready: !frames.is_empty() || cx.clock.position() < cx.clock.last(), floor, stops, marks }
    }

    fn main_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.show(cx, ui);
    }

    fn side_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.explain(cx, ui);
    }

    fn is_settled(&self, cx: &LabContext<'_>) -> bool {
        let run = &cx.session.reverse;
        let drawn = self.chain_there && self.film_is_whole(cx) && self.bridge_is_settled(cx) && self.branches_are_settled(cx);
        let looked = cx.clock.direction == Direction::Reverse || cx.clock.playing || cx.session.looked_at(cx.clock.timestep());
        cx.session.picture.is_some() && looked && drawn && run.is_current() && run.end().is_some() && !cx.session.forward.is_running()
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
    fn the_forward_run_looks_everywhere_coarse_first() {
        let looks = ForwardReverse::looks(999);
        assert!(looks.len() >= 15, "{looks:?}");
        assert!(looks.iter().all(|t| *t <= 999));
        assert!(looks[..3].contains(&0) && looks[..3].contains(&999));
        let mut sorted = looks.clone();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|w| w[1] > w[0] && w[1] - w[0] < 90), "{sorted:?}");
    }

    #[test]
    fn damaged_settings_are_brought_back() {
        let mut s = Settings { steps: 0, guidance_scale: Some(f64::NAN), sampler: "magic".into(), ..Settings::default() };
        s.tidy();
        assert_eq!(s, Settings { steps: 2, ..Settings::default() });
    }
}
