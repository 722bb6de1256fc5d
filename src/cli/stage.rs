//! The window as a command sees it: something to draw, frame by frame, without a screen.
//!
//! Commands do not know the window; `main` puts it behind this trait.

use super::options::{Level, WindowArgs};
use crate::figure::{Export, State};
use anyhow::{Result, bail};
use eframe::egui;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A window that is drawn off screen.
pub trait Stage {
    /// Draws one frame.
    fn ui(&mut self, ui: &mut egui::Ui);
    /// Goes to a lab.
    fn show_lab(&mut self, id: &str);
    /// Stops the clock where the lab on view is worth a picture.
    fn pose(&mut self);
    /// Looks at the lab on view from so near.
    fn look(&mut self, level: Level);
    /// Whether everything that the lab on view asked for has come.
    fn is_settled(&self) -> bool;
    /// Whether nothing will come, because the model could not be opened.
    fn has_failed(&self) -> bool;
    /// Restores what a file holds.
    ///
    /// # Errors
    /// What to tell the person when it cannot be.
    fn restore(&mut self, state: Arc<State>) -> Result<(), String>;
    /// What is to be written, all but where to.
    ///
    /// # Errors
    /// What to tell the person when there is nothing of the kind.
    fn export(&mut self, ask: &FigureAsk) -> Result<Export, String>;
}

/// What lies behind a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FigureGround {
    /// White paper.
    White,
    /// Nothing.
    Transparent,
    /// The dark theme's ground.
    Dark,
}

/// Which figure a command wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FigureAsk {
    /// `lab`, `run`, or the name of a picture or plot.
    pub part: String,
    /// Id of its format.
    pub format: &'static str,
    /// Pixels per design unit.
    pub scale: u8,
    /// What lies behind it.
    pub ground: FigureGround,
    /// Whether there are lines below it.
    pub caption: bool,
    /// Frames a second of an animation.
    pub pace: u8,
}

/// A lab by its id and its name on screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lab {
    /// Names its file.
    pub id: &'static str,
    /// Names it on screen.
    pub label: &'static str,
}

/// Opens the window in an egui context that nobody sees.
pub type OpenStage = dyn Fn(&egui::Context, &WindowArgs) -> Box<dyn Stage>;

/// What a command is told about the window.
pub struct Window {
    /// Its labs.
    pub labs: Vec<Lab>,
    /// Opens it.
    pub open: Box<OpenStage>,
}

/// Time between two frames, in seconds.
const FRAME_SECS: f64 = 1.0 / 60.0;

/// A stage with the time and the input that a screen would give it.
pub struct Player {
    /// The context that is drawn in.
    pub ctx: egui::Context,
    stage: Box<dyn Stage>,
    input: egui::RawInput,
    frame: u64,
}

impl Player {
    /// Opens `window` at `size` points with `pixels_per_point`.
    pub fn open(window: &Window, args: &WindowArgs, size: egui::Vec2, pixels_per_point: f32) -> Self {
        let ctx = egui::Context::default();
        let mut input = egui::RawInput { screen_rect: Some(egui::Rect::from_min_size(egui::Pos2::ZERO, size)), ..Default::default() };
        input.max_texture_side = Some(super::offscreen::MAX_SIDE as usize);
        input.focused = true;
        let viewport = input.viewports.entry(egui::ViewportId::ROOT).or_default();
        viewport.native_pixels_per_point = Some(pixels_per_point);
        viewport.inner_rect = input.screen_rect;
        let stage = (window.open)(&ctx, args);
        Self { ctx, stage, input, frame: 0 }
    }

    /// The window itself.
    pub fn stage(&mut self) -> &mut dyn Stage {
        self.stage.as_mut()
    }

    /// Goes to a lab.
    pub fn show_lab(&mut self, id: &str) {
        self.stage.show_lab(id);
    }

    /// Stops the clock where the lab is worth a picture.
    pub fn pose(&mut self) {
        self.stage.pose();
    }

    /// Looks at the lab from so near.
    pub fn look(&mut self, level: Level) {
        self.stage.look(level);
    }

    /// What a hand does before the next frame.
    pub fn push(&mut self, event: egui::Event) {
        self.input.events.push(event);
    }

    /// Whether everything that the lab on view asked for has come.
    pub fn is_settled(&self) -> bool {
        self.stage.is_settled()
    }

    /// Draws the next frame, a sixtieth of a second after the last one by the clock that the window sees.
    pub fn frame(&mut self) -> egui::FullOutput {
        let events = std::mem::take(&mut self.input.events);
        let mut input = egui::RawInput { events, ..self.input.clone() };
        input.time = Some(self.frame as f64 * FRAME_SECS);
        input.predicted_dt = FRAME_SECS as f32;
        self.frame += 1;
        let stage = &mut self.stage;
        self.ctx.run_ui(input, |ui| stage.ui(ui))
    }

    /// Draws frames until everything has come; each goes to `seen`. Waits for the worker between them.
    ///
    /// # Errors
    /// When the model cannot be opened, `limit` passes first, or Ctrl-C is pressed.
    pub fn settle(&mut self, limit: Duration, mut seen: impl FnMut(egui::FullOutput)) -> Result<()> {
        // Sizes are known after the first frame, fades end within half a second.
        const QUIET_FRAMES: usize = 40;
        let started = Instant::now();
        let mut quiet = 0;
        while quiet < QUIET_FRAMES {
            super::interrupt::check()?;
            seen(self.frame());
            if self.stage.has_failed() {
                bail!("the model could not be opened in the window");
            }
            if self.stage.is_settled() {
                quiet += 1;
            } else {
                quiet = 0;
                if started.elapsed() > limit {
                    bail!("the window is still waiting for its pictures after {} seconds", limit.as_secs());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }
}
