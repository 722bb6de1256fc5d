//! The labs: one file or folder each and one line in [`LABS`]; and what they share: formulas, readings, the levels of looking.

pub mod formula;
pub mod forward_reverse;
pub mod guidance;
mod measuring;
pub mod reading;
mod rest;
pub mod samplers;
pub mod schedules;
pub mod targets;
pub mod zoom;

use super::clock::{Clock, Direction, Pace};
use super::export::ink::Ink;
use super::session::Session;
use super::settings::Work;
use super::theme::Theme;
use super::widgets::icons::Icon;
use super::widgets::textures::Textures;
use crate::figure::Figure;
use crate::host::HostTensor;
use egui::Ui;

/// What a lab works with.
pub struct LabContext<'a> {
    /// The settings, which controls change.
    pub work: &'a mut Work,
    /// What was asked and answered.
    pub session: &'a mut Session,
    /// The one clock.
    pub clock: &'a mut Clock,
    /// Colours and measures.
    pub theme: &'a Theme,
    /// Tensors as textures.
    pub textures: &'a mut Textures,
    /// How near the lab is looked at.
    pub zoom: &'a mut zoom::Zoom,
    /// What the lab wants done that it cannot do itself.
    pub wishes: &'a mut Vec<Wish>,
    /// Seconds since the start.
    pub now_secs: f64,
}

impl LabContext<'_> {
    /// Channels of the open model's latents; as many as our own has while none is open.
    pub fn latent_channels(&self) -> usize {
        self.session.card.as_ref().map_or(8, |card| card.latent_shape[0])
    }

    /// How many times fewer numbers the latents are than the picture, `3 side^2 / (C h w)`; none while no model is open.
    pub fn latent_saving(&self) -> Option<f64> {
        let card = self.session.card.as_ref()?;
        Some((3 * card.picture_side.pow(2)) as f64 / card.latent_shape.iter().product::<usize>().max(1) as f64)
    }
}

/// What a lab asks of the window.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Ask the person for a picture.
    OpenPicture,
    /// Ask the person where to write pictures side by side.
    SaveRow {
        /// A name for the file.
        name: String,
        /// The pictures, `[3, H, W]` in 0..1, of one height.
        pictures: Vec<HostTensor>,
    },
}

/// A lab: asks for what it needs, draws the middle and the right panel.
pub trait Lab {
    /// Asks the session for what is to be seen, and says how the clock may run.
    fn logic(&mut self, cx: &mut LabContext<'_>) -> Pace;
    /// The middle: pictures and plots.
    fn main_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui);
    /// The right panel: the equation with live numbers, a few sentences, the lab's settings.
    fn side_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui);
    /// Whether all that is to be seen is there.
    fn is_settled(&self, cx: &LabContext<'_>) -> bool;
    /// What it shows now, as data, to be saved; none while there is nothing.
    fn figure(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Option<Figure>;
    /// What runs in it, frame by frame, all frames of one size; empty while it is not complete.
    fn film(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Vec<Figure>;
}

/// A lab's line in the table.
pub struct LabInfo {
    /// Its name in settings and file names.
    pub id: &'static str,
    /// Its name on screen.
    pub label: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its icon in the rail.
    pub icon: Icon,
    /// Whether the negative prompt is shown.
    pub negative: bool,
    /// Which way the clock runs when it is photographed at rest, and where it stands.
    pub pose: (Direction, f64),
    /// Which way the clock is turned when it is opened, where it is about that way.
    pub turns: Option<Direction>,
    /// Puts its settings back to their defaults.
    pub reset: fn(&mut Work),
    /// Makes it.
    pub make: fn() -> Box<dyn Lab>,
}

/// The labs, in the order of the rail.
pub const LABS: &[LabInfo] = &[
    LabInfo {
        id: "forward-reverse",
        label: "Forward and reverse",
        about: "A picture dissolves into noise, and a picture comes back out of it.",
        icon: Icon::ForwardReverse,
        negative: false,
        pose: (Direction::Forward, 380.0),
        turns: None,
        reset: |work| work.forward_reverse = Default::default(),
        make: || Box::new(forward_reverse::ForwardReverse::default()),
    },
    LabInfo {
        id: "schedules",
        label: "Schedules",
        about: "How fast the signal fades is a choice: noise schedules under one playhead, drawn by hand or learned.",
        icon: Icon::Schedules,
        negative: false,
        pose: (Direction::Forward, 500.0),
        turns: None,
        reset: |work| work.schedules = Default::default(),
        make: || Box::new(schedules::Schedules::default()),
    },
    LabInfo {
        id: "guidance",
        label: "Guidance",
        about: "Two predictions, and how far to go beyond them: classifier-free guidance.",
        icon: Icon::Guidance,
        negative: true,
        pose: (Direction::Reverse, 500.0),
        turns: None,
        reset: |work| work.guidance = Default::default(),
        make: || Box::new(guidance::Guidance::default()),
    },
    LabInfo {
        id: "samplers",
        label: "Samplers",
        about: "One noise, many ways to a picture: a race of samplers against the path of the equation.",
        icon: Icon::Samplers,
        negative: true,
        pose: (Direction::Reverse, 420.0),
        turns: Some(Direction::Reverse),
        reset: |work| work.samplers = Default::default(),
        make: || Box::new(samplers::Samplers::default()),
    },
    LabInfo {
        id: "targets",
        label: "Targets",
        about: "Noise, picture or velocity: one answer told in three ways, and what an error in each is worth.",
        icon: Icon::Targets,
        negative: false,
        pose: (Direction::Forward, 650.0),
        turns: None,
        reset: |work| work.targets = Default::default(),
        make: || Box::new(targets::Targets::default()),
    },
];
