//! The keyboard, and what its keys and the buttons of the top bar do.

use super::app::App;
use super::chrome::top_bar::Action;
use super::clock::{Clock, Direction};
use super::labs::LABS;
use super::labs::zoom::Level;
use super::settings::{Work, roll};
use egui::{Context, Key, KeyboardShortcut, Modifiers};

impl App {
    pub(super) fn act(&mut self, ctx: &Context, action: Action) {
        match action {
            Action::Undo => self.history.undo(&mut self.settings.work),
            Action::Redo => self.history.redo(&mut self.settings.work),
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
        if typing {
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
}
