//! The sheet over the window that asks what is to be saved and how.

use super::{Ground, Part, Settings};
use crate::figure::{FORMATS, Figure, Format, Holds};
use crate::ui::theme::{Palette, Theme, Weight};
use crate::ui::widgets::controls::{focus_ring, segmented, text_button};
use egui::{Context, Id, Key, Modal, Response, Role, Sense, Ui, WidgetInfo, vec2};

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    part: Part,
    label: String,
    has_curves: bool,
}

/// The sheet, as long as it is open.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    entries: Vec<Entry>,
    chosen: usize,
}

/// How the sheet was left.
#[derive(Debug, Clone, PartialEq)]
pub enum Pressed {
    /// Nothing is to be saved.
    Cancel,
    /// This part, in the format with this id.
    Save(Part, &'static str),
}

/// Between two groups of controls, in design units.
const APART: f32 = 12.0;

impl Sheet {
    /// A sheet for what a lab shows; `frames` is how many its animation has.
    pub fn new(lab: &str, whole: Option<&Figure>, frames: usize) -> Self {
        let mut entries = Vec::new();
        if let Some(figure) = whole {
            let has_curves = figure.charts().next().is_some();
            entries.push(Entry { part: Part::Whole, label: format!("The lab {lab}"), has_curves });
            if frames > 1 {
                entries.push(Entry { part: Part::Film, label: format!("The run as animation, {frames} frames"), has_curves: false });
            }
            let alone = figure.alone().into_iter().enumerate().map(|(i, alone)| {
                let has_curves = alone.charts().next().is_some();
                let mut label = alone.label;
                if let Some(first) = label.get(..1) {
                    label.replace_range(..1, &first.to_uppercase());
                }
                Entry { part: Part::Alone(i), label, has_curves }
            });
            entries.extend(alone);
        }
        for (part, label) in [(Part::LabShot, "Screenshot of the lab"), (Part::WindowShot, "Screenshot of the window")] {
            entries.push(Entry { part, label: label.to_owned(), has_curves: false });
        }
        Self { entries, chosen: 0 }
    }

    /// The formats that can hold an entry.
    fn formats(entry: &Entry) -> impl Iterator<Item = &'static Format> {
        let (part, curves) = (entry.part, entry.has_curves);
        FORMATS.iter().filter(move |format| match part {
            Part::Film => format.holds == Holds::Film,
            Part::LabShot | Part::WindowShot => format.id == "png",
            _ => format.holds == Holds::Figure || (format.holds == Holds::Curves && curves),
        })
    }

    /// Shows the sheet over everything else.
    pub fn show(&mut self, ctx: &Context, theme: &Theme, settings: &mut Settings) -> Option<Pressed> {
        let p = theme.palette();
        let frame =
            egui::Frame::new().fill(p.panel).stroke(theme.hairline()).corner_radius(theme.radius()).inner_margin(theme.margin(26.0));
        let shown = Modal::new(Id::unique("export")).frame(frame).backdrop_color(Palette::faint(p.ground, 0.75)).show(ctx, |ui| {
            ui.set_width(theme.px(720.0).min(ctx.content_rect().width() * 0.92));
            ui.label(egui::RichText::new("Save a figure").font(theme.font(Weight::SemiBold, 22.0)));
            ui.add_space(theme.px(APART));
            ui.horizontal_top(|ui| {
                let wide = theme.px(300.0);
                ui.allocate_ui_with_layout(vec2(wide, 0.0), egui::Layout::top_down(egui::Align::LEFT), |ui| {
                    ui.set_width(wide);
                    self.list(ui, theme);
                });
                ui.add_space(theme.px(24.0));
                ui.vertical(|ui| self.options(ui, theme, settings)).inner
            })
            .inner
        });
        let enter = ctx.input_mut(|i| i.consume_key(egui::Modifiers::NONE, Key::Enter)) && ctx.memory(|m| m.focused().is_none());
        if enter && let Some((entry, format)) = self.wanted(settings) {
            return Some(Pressed::Save(entry.part, format.id));
        }
        let close = shown.should_close();
        shown.inner.or_else(|| close.then_some(Pressed::Cancel))
    }

    /// What would be saved now: the entry, and the format chosen or the first that fits.
    fn wanted(&self, settings: &Settings) -> Option<(&Entry, &'static Format)> {
        let entry = self.entries.get(self.chosen)?;
        let id = if entry.part == Part::Film { &settings.film_format } else { &settings.format };
        let format = Self::formats(entry).find(|format| format.id == id).or_else(|| Self::formats(entry).next())?;
        Some((entry, format))
    }

    fn list(&mut self, ui: &mut Ui, theme: &Theme) {
        let p = theme.palette();
        title(ui, theme, "What");
        let room = ui.ctx().content_rect().height() * 0.55;
        egui::ScrollArea::vertical().max_height(room).min_scrolled_height(room).auto_shrink([false, true]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = theme.px(2.0);
            for (i, entry) in self.entries.iter().enumerate() {
                let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(32.0)), Sense::click());
                let chosen = self.chosen == i;
                response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, &entry.label));
                if chosen {
                    ui.painter().rect_filled(rect, theme.radius(), p.accent);
                } else if response.hovered() {
                    ui.painter().rect_filled(rect, theme.radius(), p.hover);
                }
                let ink = if chosen { p.on_accent } else { p.text };
                let mut job = egui::text::LayoutJob::simple_singleline(entry.label.clone(), theme.font(Weight::Medium, 14.0), ink);
                job.wrap = egui::text::TextWrapping::truncate_at_width(rect.width() - theme.px(20.0));
                let galley = ui.painter().layout_job(job);
                let at = rect.left_center() + vec2(theme.px(10.0), -galley.size().y * 0.5);
                ui.painter().galley(at, galley, ink);
                focus_ring(ui, theme, &response, rect.shrink(2.0), f32::from(theme.radius().nw) - 2.0);
                if response.clicked() {
                    self.chosen = i;
                }
                response.on_hover_text(match entry.part {
                    Part::Whole => "Everything that the lab shows now, laid out for paper.",
                    Part::Film => "Every step of the run, one after the other.",
                    Part::Alone(_) => "This alone. Without a caption a picture fills its file to the edge.",
                    Part::LabShot => "The middle of the window as it is on the screen, pixel by pixel.",
                    Part::WindowShot => "The window as it is on the screen, pixel by pixel.",
                });
            }
        });
    }

    fn options(&mut self, ui: &mut Ui, theme: &Theme, settings: &mut Settings) -> Option<Pressed> {
        let (entry, format) = self.wanted(settings)?;
        let (part, shot) = (entry.part, matches!(entry.part, Part::LabShot | Part::WindowShot));
        title(ui, theme, "Format");
        let options: Vec<_> = Self::formats(entry).map(|f| (f.id, f.label, f.hint)).collect();
        let mut id = format.id;
        segmented(ui, theme, &mut id, &options);
        let chosen = if part == Part::Film { &mut settings.film_format } else { &mut settings.format };
        if id != format.id {
            id.clone_into(chosen);
        }
        let format = Format::find(id).unwrap_or(format);
        ui.add_space(theme.px(2.0));
        let hint = if shot { "What the screen shows, with everything on it." } else { format.hint };
        ui.add(egui::Label::new(egui::RichText::new(hint).font(theme.small()).color(theme.palette().dim)).wrap());
        if !shot {
            if format.pixels {
                ui.add_space(theme.px(APART));
                title(ui, theme, "Scale");
                let scales = Settings::SCALES.map(|s| (s, format!("{s}×")));
                let scales: Vec<_> =
                    scales.iter().map(|(s, label)| (*s, label.as_str(), "Pixels for each pixel of a page at 96 dots an inch.")).collect();
                segmented(ui, theme, &mut settings.scale, &scales);
            }
            if format.holds != Holds::Curves {
                ui.add_space(theme.px(APART));
                title(ui, theme, "Background");
                let mut grounds = vec![
                    (Ground::White, "White", "For paper and light slides."),
                    (Ground::Transparent, "Transparent", "What the figure is laid on shows through. Dark text, for light slides."),
                    (Ground::Screen, "As on screen", "The colours of the window, for slides that look like it."),
                ];
                grounds.retain(|(ground, ..)| format.alpha || *ground != Ground::Transparent);
                let mut ground = if format.alpha || settings.ground != Ground::Transparent { settings.ground } else { Ground::White };
                if segmented(ui, theme, &mut ground, &grounds) {
                    settings.ground = ground;
                }
                ui.add_space(theme.px(APART));
                title(ui, theme, "Caption");
                segmented(
                    ui,
                    theme,
                    &mut settings.caption,
                    &[
                        (true, "With caption", "Below it the prompt, the model, the seed, the steps, the sampler, w and the schedule."),
                        (false, "Without", "Nothing below it."),
                    ],
                );
            }
            if format.holds == Holds::Film && format.extension.is_some() {
                ui.add_space(theme.px(APART));
                title(ui, theme, "Frames a second");
                let paces = Settings::PACES.map(|pace| (pace, pace.to_string()));
                let paces: Vec<_> = paces.iter().map(|(pace, label)| (*pace, label.as_str(), "The last frame stays longer.")).collect();
                segmented(ui, theme, &mut settings.pace, &paces);
            }
        }
        ui.add_space(theme.px(22.0));
        ui.horizontal(|ui| {
            let word = if format.extension.is_some() { "Save…" } else { "Choose a folder…" };
            if primary(ui, theme, word, "Asks where to. Key Enter").clicked() {
                return Some(Pressed::Save(part, format.id));
            }
            text_button(ui, theme, None, "Do not save", "Key Esc").clicked().then_some(Pressed::Cancel)
        })
        .inner
    }
}

/// The one button that does what the sheet is for.
fn primary(ui: &mut Ui, theme: &Theme, label: &str, hint: &str) -> Response {
    let p = theme.palette();
    let galley = ui.painter().layout_no_wrap(label.to_owned(), theme.font(Weight::SemiBold, 14.0), p.on_accent);
    let (rect, response) = ui.allocate_exact_size(vec2(galley.size().x + theme.px(32.0), theme.px(34.0)), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, label));
    let fill = if response.hovered() { Palette::mix(p.accent, p.ground, 0.12) } else { p.accent };
    ui.painter().rect_filled(rect, theme.radius(), fill);
    ui.painter().galley(rect.center() - galley.size() * 0.5, galley, p.on_accent);
    focus_ring(ui, theme, &response, rect, f32::from(theme.radius().nw));
    response.on_hover_text(hint)
}

fn title(ui: &mut Ui, theme: &Theme, text: &str) {
    ui.label(egui::RichText::new(text).font(theme.font(Weight::SemiBold, 13.0)).color(theme.palette().dim));
}
