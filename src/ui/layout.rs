//! How the window is laid out: the bars at its edges, the panel at the side, the lab in the middle, and how large everything is.

use super::app::App;
use super::chrome::top_bar::{Asked, Looks};
use super::chrome::{clock_bar, rail, top_bar};
use super::labs::{LABS, Lab, Wish};
use super::theme::{self, Theme, ThemeChoice};
use crate::worker::protocol::PictureSource;
use egui::containers::scroll_area::{DragScroll, ScrollSource};
use egui::{Context, Frame, Panel, Rect, ScrollArea, Ui};
use std::sync::Arc;

/// How much larger everything is at most on the whole screen, where it is seen from the back of a room.
const PRESENTED: f32 = 1.2;
/// Width of the panel at the side, height of the clock, margins of the lab at its sides and above and below, in design units.
const SIDE: f32 = 348.0;
const CLOCK: f32 = 88.0;
const MARGIN: [f32; 2] = [22.0, 16.0];
/// The least room that a lab is drawn in, in design units; where larger text leaves less, it scrolls.
const LEAST: [f32; 2] = [812.0, 638.0];

impl App {
    /// The theme of this frame, for the window as it is now.
    pub(super) fn restyle(&mut self, ui: &mut Ui) {
        let ctx = ui.ctx().clone();
        let size = ctx.content_rect().size();
        let theme = |zoom| Theme::for_window(self.settings.theme, size, zoom);
        self.theme = theme(self.settings.zoom);
        if self.presenting {
            // As much as leaves a lab, between the panel at its side and the clock below it, the room that it needs.
            let whole = egui::Vec2::from(LEAST) + egui::vec2(SIDE + 2.0 * MARGIN[0], CLOCK + 2.0 * MARGIN[1]);
            let fits = (size / whole).min_elem() / theme(1.0).scale * 0.995;
            self.theme = theme(self.settings.zoom * fits.clamp(1.0, PRESENTED));
        }
        let motion = if self.settings.reduced_motion { 0.0 } else { theme::FADE_SECS };
        if self.styled.as_ref().is_none_or(|(theme, style)| *theme != self.theme || style.animation_time != motion) {
            let style = Arc::new(egui::Style { animation_time: motion, ..self.theme.style() });
            let (ours, kind) = match self.settings.theme {
                ThemeChoice::Dark => (egui::Theme::Dark, egui::ThemePreference::Dark),
                ThemeChoice::Light => (egui::Theme::Light, egui::ThemePreference::Light),
            };
            ctx.set_theme(kind);
            ctx.set_style_of(ours, Arc::clone(&style));
            self.styled = Some((self.theme, style));
        }
        if let Some((_, style)) = &self.styled {
            ui.set_style(Arc::clone(style));
        }
    }

    /// The bars round the lab.
    pub(super) fn bars(&mut self, ui: &mut Ui) {
        let theme = self.theme;
        let p = theme.palette();
        let frame = |x, y| Frame::new().fill(p.panel).inner_margin(theme.margin_xy(x, y));
        if !self.presenting {
            self.upper_bars(ui);
        }
        Panel::bottom("clock").exact_size(theme.px(CLOCK)).resizable(false).frame(frame(18.0, 8.0)).show(ui, |ui| {
            clock_bar::show(ui, &theme, &mut self.clock, &mut self.settings, &self.pace);
        });
    }

    /// The rail and the top bar, which leave while the lab has the whole screen.
    fn upper_bars(&mut self, ui: &mut Ui) {
        let theme = self.theme;
        let fill = theme.palette().panel;
        let frame = |x, y| Frame::new().fill(fill).inner_margin(theme.margin_xy(x, y));
        Panel::left("rail").exact_size(theme.px(rail::WIDTH)).resizable(false).frame(frame(8.0, 10.0)).show(ui, |ui| {
            match rail::show(ui, &theme, &self.settings.lab.clone(), self.level()) {
                Some(rail::Pressed::Lab(id)) => self.show_lab(id),
                Some(rail::Pressed::Level(level)) => self.set_level(level),
                None => {}
            }
        });
        let mut asked = None;
        Panel::top("top bar").exact_size(theme.px(64.0)).resizable(false).frame(frame(18.0, 6.0)).show(ui, |ui| {
            let state = top_bar::State {
                history: (self.history.can_undo(&self.settings.work), self.history.can_redo()),
                work: &mut self.settings.work,
                session: &self.session,
                negative: LABS.iter().any(|lab| lab.id == self.settings.lab && lab.negative),
                settings: Looks {
                    choice: self.settings.theme,
                    zoom: self.settings.zoom,
                    reduced_motion: self.settings.reduced_motion,
                    recent: &self.settings.recent,
                },
            };
            asked = top_bar::show(ui, &theme, state);
        });
        match asked {
            Some(Asked::Act(action)) => self.act(ui.ctx(), action),
            Some(Asked::OpenRecent(path)) => self.session.open_picture(PictureSource::File(path)),
            Some(Asked::Devices) => self.session.ask_devices(),
            Some(Asked::Device(device)) => self.use_device(device),
            None => {}
        }
    }

    /// The lab and its panel.
    pub(super) fn lab_ui(&mut self, ui: &mut Ui, lab: &mut dyn Lab, wishes: &mut Vec<Wish>, now: f64) {
        let theme = self.theme;
        let p = theme.palette();
        // The bar of the panel that scrolls lies in its margin, not over its numbers.
        let bar = theme.px(14.0);
        let mut side = Frame::new().fill(p.panel).inner_margin(theme.margin_xy(22.0, 20.0));
        side.inner_margin.right -= bar.min(127.0) as i8;
        Panel::right("side").exact_size(theme.px(SIDE)).resizable(false).frame(side).show(ui, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                ui.set_max_width(ui.available_width() - bar);
                lab.side_ui(&mut self.context(wishes, now), ui);
            });
        });
        let middle = Frame::new().fill(p.ground).inner_margin(theme.margin_xy(MARGIN[0], MARGIN[1]));
        let shown = egui::CentralPanel::default().frame(middle).show(ui, |ui| {
            let least = egui::Vec2::from(LEAST.map(|units| theme.px(units)));
            if ui.available_width() >= least.x && ui.available_height() >= least.y {
                return lab.main_ui(&mut self.context(wishes, now), ui);
            }
            // Dragging is for what lies in the lab.
            let source = ScrollSource { drag: DragScroll::Never, ..ScrollSource::ALL };
            ScrollArea::both().auto_shrink(false).scroll_source(source).show(ui, |ui| {
                let room = Rect::from_min_size(ui.max_rect().min, least.max(ui.max_rect().size()));
                ui.scope_builder(egui::UiBuilder::new().max_rect(room), |ui| lab.main_ui(&mut self.context(wishes, now), ui));
                ui.expand_to_include_rect(room);
            });
        });
        self.lab_rect = Some(shown.response.rect);
    }
}

/// Says that a file may be let go.
pub(super) fn drop_hint(ctx: &Context, theme: &Theme) {
    let p = theme.palette();
    let painter = ctx.layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop")));
    let rect = ctx.content_rect();
    painter.rect_filled(rect, 0.0, theme::Palette::faint(p.ground, 0.85));
    let font = theme.font(theme::Weight::SemiBold, 26.0);
    painter.text(rect.center(), egui::Align2::CENTER_CENTER, "Drop the picture to open it", font, p.text);
}
