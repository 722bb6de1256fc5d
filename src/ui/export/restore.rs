//! The way back: a file that holds a state restores its lab, runs it again and says whether the result is the same.

use super::files::model_mark;
use crate::figure::State;
use crate::ui::app::App;
use crate::ui::clock::Direction;
use crate::ui::labs::LABS;
use crate::ui::labs::zoom::Level;
use crate::ui::notices::Tone;
use crate::ui::settings::Work;
use egui::Context;
use std::sync::Arc;

/// A result that is to be compared once it is there.
pub struct Check {
    state: Arc<State>,
    work: Work,
    settled_secs: Option<f64>,
}

impl App {
    /// The lab needs so long to notice that the clock rests, and to ask for what it shows only then.
    const REST_SECS: f64 = 0.4;

    /// Restores what a file holds: the lab, its settings as one step of undo, the picture, the clock. The result is compared as soon
    /// as it is there.
    ///
    /// # Errors
    /// What to tell the person when the state is of a lab or of settings that this program does not know.
    pub fn restore(&mut self, state: Arc<State>) -> Result<(), String> {
        if !LABS.iter().any(|lab| lab.id == state.lab) {
            return Err(format!("The file was saved in the lab “{}”, which this program does not have. A newer one may.", state.lab));
        }
        let work = Work::read(state.work.clone())?;
        if let Some(carried) = &state.picture {
            let bytes = carried.bytes().ok_or("The picture inside the file is damaged. Nothing was changed.")?;
            self.session.open_own(&carried.name, bytes.into(), work.scene_seed);
        } else {
            self.session.open_scene(work.scene_seed);
        }
        self.settings.work = work.clone();
        (self.session.prompt, self.session.negative) = (work.prompt.clone(), work.negative.clone());
        self.show_lab(&state.lab);
        let (index, look) = (self.lab_index(), &state.look);
        let level = Level::ALL.get(look.level).copied().unwrap_or_default();
        self.set_level(level);
        self.zooms[index].look(level, look.channel, look.at);
        self.clock.playing = false;
        self.clock.turn(if state.clock.forward { Direction::Forward } else { Direction::Reverse });
        self.clock.set(state.clock.timestep);
        self.export = None;
        if state.shown.is_none() {
            self.session
                .notices
                .push(Tone::Done, "The lab is as the file says. The file holds no digest of the result, so it is not compared.");
        }
        self.check = state.shown.is_some().then_some(Check { state, work, settled_secs: None });
        Ok(())
    }

    /// Takes in a state that the worker has read, and compares a result once it has been at rest for a moment.
    pub(in crate::ui) fn follow_restored(&mut self, ctx: &Context, now_secs: f64) {
        if let Some(state) = self.session.restored.take()
            && let Err(message) = self.restore(state)
        {
            self.session.notices.push(Tone::Failure, message);
        }
        let Some(mut check) = self.check.take() else { return };
        let state = &check.state;
        let same_clock = (self.clock.position() - state.clock.timestep).abs() < 1e-9 && !self.clock.playing;
        if self.settings.work != check.work || self.settings.lab != state.lab || !same_clock {
            let text = "Something was changed before the result was there, so it was not compared with the file.";
            self.session.notices.push(Tone::Done, text);
            return;
        }
        if !self.is_settled() {
            check.settled_secs = None;
        } else if now_secs - *check.settled_secs.get_or_insert(now_secs) >= Self::REST_SECS {
            if let (Some(figure), Some(shown)) = (self.figure(), &state.shown) {
                let mark = model_mark(&self.session);
                let known = if mark == state.model {
                    String::new()
                } else {
                    format!("The file was made with another model ({}). ", state.model.name)
                };
                self.session.compare(shown.clone(), figure, known);
            }
            return;
        }
        ctx.request_repaint_after_secs(0.05);
        self.check = Some(check);
    }
}
