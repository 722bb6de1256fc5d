//! Messages to the person at the screen: failures stay until dismissed, confirmations go by themselves.

use super::theme::{Palette, Theme, Weight};
use super::widgets::controls::{Look, icon_button, text_button};
use super::widgets::icons::Icon;
use egui::{Align2, Context, Id, Stroke, vec2};

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Something failed.
    Failure,
    /// Something is done.
    Done,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    id: u64,
    /// How it is meant.
    pub tone: Tone,
    /// The text.
    pub text: String,
    /// What can be done about it at once.
    offer: Option<&'static str>,
    count: usize,
    since_secs: Option<f64>,
}

impl Notice {
    /// How long it stays, where it goes by itself.
    fn lasting_secs(&self) -> f64 {
        if self.offer.is_some() { Notices::OFFER_SECS } else { Notices::DONE_SECS }
    }
}

/// What was pressed on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressed {
    /// To take it away.
    Dismiss,
    /// What it offers.
    Offer,
}

/// The messages on screen, oldest first.
#[derive(Debug, Default)]
pub struct Notices {
    list: Vec<Notice>,
    next_id: u64,
}

impl Notices {
    const DONE_SECS: f64 = 6.0;
    const OFFER_SECS: f64 = 20.0;
    const MOST: usize = 4;

    /// Adds a message; one that is on screen already is counted instead of shown twice.
    pub fn push(&mut self, tone: Tone, text: impl Into<String>) {
        self.add(tone, text.into(), None);
    }

    /// Adds a failure with something that can be done about it.
    pub fn offer(&mut self, text: impl Into<String>, offer: &'static str) {
        self.add(Tone::Failure, text.into(), Some(offer));
    }

    /// Adds a confirmation with a way back; it stays longer than others.
    pub fn done_but(&mut self, text: impl Into<String>, offer: &'static str) {
        self.add(Tone::Done, text.into(), Some(offer));
    }

    fn add(&mut self, tone: Tone, text: String, offer: Option<&'static str>) {
        log::info!("{tone:?}: {text}");
        if let Some(same) = self.list.iter_mut().find(|n| n.text == text) {
            same.count += 1;
            same.since_secs = None;
            return;
        }
        self.list.push(Notice { id: self.next_id, tone, text, offer, count: 1, since_secs: None });
        self.next_id += 1;
    }

    /// The messages on screen.
    pub fn list(&self) -> &[Notice] {
        &self.list
    }

    /// Shows them over the lab, at its upper edge. Returns what was pressed; that message is gone.
    pub fn show(&mut self, ctx: &Context, theme: &Theme, top: f32) -> Option<Pressed> {
        let now = ctx.input(|i| i.time);
        self.list.retain_mut(|n| n.tone == Tone::Failure || now - *n.since_secs.get_or_insert(now) < n.lasting_secs());
        let p = theme.palette();
        let mut pressed = None;
        if !self.list.is_empty() {
            egui::Area::new(Id::unique("notices")).order(egui::Order::Foreground).anchor(Align2::CENTER_TOP, vec2(0.0, top)).show(
                ctx,
                |ui| {
                    let hidden = self.list.len().saturating_sub(Self::MOST);
                    for notice in self.list.iter().take(Self::MOST) {
                        let edge = if notice.tone == Tone::Failure { p.danger } else { p.line };
                        let fill = Palette::mix(p.panel, p.raised, 0.6);
                        let frame = egui::Frame::new().fill(fill).stroke(Stroke::new(1.5, edge)).corner_radius(theme.radius());
                        frame.inner_margin(theme.margin_xy(16.0, 10.0)).shadow(theme.style().visuals.popup_shadow).show(ui, |ui| {
                            ui.horizontal_top(|ui| {
                                let room = theme.px(560.0).min(ctx.content_rect().width() * 0.6);
                                ui.allocate_ui_with_layout(vec2(room, 0.0), egui::Layout::top_down(egui::Align::LEFT), |ui| {
                                    ui.set_min_width(room);
                                    let times = if notice.count > 1 { format!("  ({} times)", notice.count) } else { String::new() };
                                    let text =
                                        egui::RichText::new(format!("{}{times}", notice.text)).font(theme.font(Weight::Medium, 14.5));
                                    ui.add(egui::Label::new(text.color(p.text)).wrap().selectable(true));
                                    if let Some(offer) = notice.offer {
                                        ui.add_space(theme.px(8.0));
                                        if text_button(ui, theme, None, offer, "").clicked() {
                                            pressed = Some((notice.id, Pressed::Offer));
                                        }
                                    }
                                });
                                if icon_button(ui, theme, Icon::Close, 30.0, Look::Plain, false, "Dismiss", "").clicked() {
                                    pressed = Some((notice.id, Pressed::Dismiss));
                                }
                            });
                        });
                        ui.add_space(theme.px(6.0));
                    }
                    if hidden > 0 {
                        ui.label(format!("and {hidden} more"));
                    }
                },
            );
            if let Some(first) = self.list.iter().filter_map(|n| Some(n.since_secs? + n.lasting_secs() - now)).reduce(f64::min) {
                ctx.request_repaint_after_secs(first.max(0.0) as f32 + 0.05);
            }
        }
        let (id, pressed) = pressed?;
        self.list.retain(|n| n.id != id);
        Some(pressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_failure_is_counted_not_stacked() {
        let mut notices = Notices::default();
        (0..50).for_each(|_| notices.push(Tone::Failure, "no such file"));
        notices.push(Tone::Done, "saved");
        assert_eq!(notices.list().len(), 2);
        assert_eq!(notices.list()[0].count, 50);
    }
}
