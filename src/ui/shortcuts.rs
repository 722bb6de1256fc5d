//! The keyboard, and what its keys and the buttons of the top bar do.

use super::app::App;
use super::chrome::top_bar::Action;
use super::clock::{Clock, Direction};
use super::labs::zoom::Level;
use super::labs::{LABS, LabInfo};
use super::notices::Tone;
use super::settings::{History, Work, roll};
use egui::{Context, Key, KeyboardShortcut, Modifiers};

/// The lab whose settings are all that differs between two states of the work.
fn only_changed(before: &Work, after: &Work) -> Option<&'static str> {
    let alike = |lab: &&LabInfo| {
        let [a, b] = [before, after].map(|work| {
            let mut work = work.clone();
            (lab.reset)(&mut work);
            work
        });
        a == b
    };
    LABS.iter().find(alike).filter(|_| before != after).map(|lab| lab.id)
}

impl App {
    pub(super) fn act(&mut self, ctx: &Context, action: Action) {
        match action {
            Action::Undo => self.walk_back(History::undo),
            Action::Redo => self.walk_back(History::redo),
            Action::Reset => {
                self.settings.work = Work::default();
                self.session.want_scene(self.settings.work.scene_seed);
            }
            Action::Save => self.export_wanted = true,
            Action::ResetLab => {
                (self.lab().reset)(&mut self.settings.work);
            }
            Action::Theme => self.settings.theme = self.settings.theme.other(),
            Action::Larger => self.settings.enlarge(0.1),
            Action::Smaller => self.settings.enlarge(-0.1),
            Action::NormalSize => self.settings.zoom = 1.0,
            Action::ReducedMotion => self.settings.reduced_motion = !self.settings.reduced_motion,
            Action::Present => {
                self.presenting = !self.presenting;
                if self.presenting {
                    self.session.notices.push(Tone::Done, "Esc leads back. Space plays, 1 to 5 are the labs, ? lists all keys.");
                }
                ctx.send_viewport_cmd(egui::ViewportCommand::Fullscreen(self.presenting));
            }
            Action::Open => self.ask_open(ctx),
            Action::Help => self.help = !self.help,
        }
        ctx.request_repaint();
    }

    pub(super) fn keys(&mut self, ctx: &Context) {
        // The sheet has its own keys.
        if self.export.is_some() {
            return;
        }
        let command = Modifiers::COMMAND;
        let shift = Modifiers::SHIFT;
        let shortcuts = [
            (KeyboardShortcut::new(command | shift, Key::Z), Action::Redo),
            (KeyboardShortcut::new(command, Key::Y), Action::Redo),
            (KeyboardShortcut::new(command, Key::Z), Action::Undo),
            (KeyboardShortcut::new(command, Key::S), Action::Save),
            (KeyboardShortcut::new(command, Key::O), Action::Open),
            (KeyboardShortcut::new(command, Key::Plus), Action::Larger),
            (KeyboardShortcut::new(command, Key::Equals), Action::Larger),
            (KeyboardShortcut::new(command, Key::Minus), Action::Smaller),
            (KeyboardShortcut::new(command, Key::Num0), Action::NormalSize),
            (KeyboardShortcut::new(Modifiers::NONE, Key::F11), Action::Present),
        ];
        let typing = ctx.egui_wants_keyboard_input() && ctx.text_edit_focused();
        for (shortcut, action) in shortcuts {
            let ours = !typing || !matches!(action, Action::Undo | Action::Redo);
            if ours && ctx.input_mut(|i| i.consume_shortcut(&shortcut)) {
                self.act(ctx, action);
            }
        }
        // A slow frame may hold both the click into a field and the first letters for it.
        let clicked = ctx.input(|i| i.pointer.any_pressed());
        if typing || clicked {
            return;
        }
        let pressed = |modifiers: Modifiers, key: Key| ctx.input_mut(|i| i.consume_key(modifiers, key));
        if ctx.input(|i| i.events.iter().any(|e| matches!(e, egui::Event::Text(t) if t == "?"))) {
            self.help = !self.help;
        }
        if self.help {
            if pressed(Modifiers::NONE, Key::Escape) {
                self.help = false;
            }
            return;
        }
        if self.level() != Level::Overview && pressed(Modifiers::NONE, Key::Escape) {
            self.set_level(self.level().farther());
        }
        if pressed(Modifiers::NONE, Key::Z) {
            self.set_level(self.level().nearer());
        }
        if self.presenting && pressed(Modifiers::NONE, Key::Escape) {
            self.act(ctx, Action::Present);
        }
        let focused = ctx.memory(|m| m.focused().is_some());
        if !focused && pressed(Modifiers::NONE, Key::Space) {
            self.clock.toggle(self.settings.looping);
        }
        for (key, towards, sign) in [(Key::ArrowLeft, Direction::Reverse, -1.0), (Key::ArrowRight, Direction::Forward, 1.0)] {
            if !focused && pressed(shift, key) {
                self.clock.playing = false;
                let next = self.clock.position().round() + sign;
                self.clock.set(next);
            } else if !focused && pressed(Modifiers::NONE, key) {
                self.clock.step(towards, &self.pace.stops);
            }
        }
        for (key, timestep) in [(Key::Home, 0.0), (Key::End, self.clock.last())] {
            if pressed(Modifiers::NONE, key) {
                self.clock.playing = false;
                self.clock.set(timestep);
            }
        }
        if pressed(Modifiers::NONE, Key::D) {
            let other = self.clock.direction.other();
            self.clock.turn(other);
        }
        if pressed(Modifiers::NONE, Key::L) {
            self.settings.looping = !self.settings.looping;
        }
        // With Shift first: a key without modifiers is taken whatever else is held.
        if pressed(shift, Key::R) {
            self.act(ctx, Action::ResetLab);
        }
        if pressed(Modifiers::NONE, Key::R) {
            self.settings.work.seed = roll(self.settings.work.seed);
        }
        if pressed(Modifiers::NONE, Key::T) {
            self.act(ctx, Action::Theme);
        }
        let speeds = Clock::SPEEDS;
        let at = speeds.iter().position(|s| *s == self.settings.speed).unwrap_or(2);
        if pressed(Modifiers::NONE, Key::OpenBracket) {
            self.settings.speed = speeds[at.saturating_sub(1)];
        }
        if pressed(Modifiers::NONE, Key::CloseBracket) {
            self.settings.speed = speeds[(at + 1).min(speeds.len() - 1)];
        }
        for (lab, key) in
            LABS.iter().zip([Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9])
        {
            if pressed(Modifiers::NONE, key) {
                self.show_lab(lab.id);
            }
        }
    }

    /// Goes back or forward in what was done; what was done in another lab is shown there.
    fn walk_back(&mut self, walk: impl FnOnce(&mut History, &mut Work)) {
        let before = self.settings.work.clone();
        walk(&mut self.history, &mut self.settings.work);
        if let Some(lab) = only_changed(&before, &self.settings.work)
            && lab != self.settings.lab
        {
            self.show_lab(lab);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_in_one_lab_alone_is_told_from_what_changed_in_all() {
        let work = Work::default();
        assert_eq!(only_changed(&work, &work), None);
        let mut other = work.clone();
        other.schedules.focus = "linear".into();
        assert_eq!(only_changed(&work, &other), Some("schedules"));
        other.seed += 1;
        assert_eq!(only_changed(&work, &other), None, "the seed is everybody's");
    }
}
