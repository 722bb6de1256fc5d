//! The lanes: a sampler, its picture now, how far it is and what it took.

use super::{LaneChoice, MOST_LANES, MOST_STEPS, Matching, Samplers};
use crate::diffusion::{SAMPLERS, SamplerInfo};
use crate::ui::labs::LabContext;
use crate::ui::race::Lane;
use crate::ui::session::ModelState;
use crate::ui::theme::{Palette, Theme, Weight};
use crate::ui::widgets::controls::{Look, icon_button, tip};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::textures::Mapping;
use crate::ui::widgets::tile;
use egui::{Align, Align2, Layout, Rect, Role, Sense, Stroke, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, pos2, vec2};

/// Height of the line with the sampler, in design units.
const HEAD: f32 = 46.0;
/// Height of the two lines below a picture, in design units.
const FOOT: f32 = 42.0;

/// Height of what is around a picture.
pub(super) fn around(theme: &Theme) -> f32 {
    theme.px(HEAD + FOOT)
}

/// What is changed by the controls of a lane, once all are drawn.
enum Change {
    Remove(usize),
    Add,
}

impl Samplers {
    pub(super) fn lanes_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, edge: f32) {
        let theme = cx.theme;
        self.pointed = None;
        let step = if MOST_LANES > 1 { (rect.width() - edge) / (MOST_LANES - 1) as f32 } else { 0.0 };
        let mut change = None;
        let current = cx.session.race.asked() == Some(&Self::request(cx));
        for index in 0..cx.work.samplers.lanes.len() {
            let column = Rect::from_min_size(pos2(rect.left() + index as f32 * step, rect.top()).round(), vec2(edge, rect.height()));
            self.head(cx, ui, index, column.with_max_y(column.top() + theme.px(HEAD)));
            let picture = Rect::from_min_size(pos2(column.left(), column.top() + theme.px(HEAD)), Vec2::splat(edge));
            self.picture(cx, ui, index, picture, current);
            if cx.work.samplers.lanes.len() > 1 && self.remove_ui(cx, ui, index, picture) {
                change = Some(Change::Remove(index));
            }
        }
        let count = cx.work.samplers.lanes.len();
        if count < MOST_LANES {
            let left = rect.left() + count as f32 * step;
            let place = Rect::from_min_size(pos2(left, rect.top() + theme.px(HEAD)).round(), Vec2::splat(edge));
            if add_tile(ui, theme, place) {
                change = Some(Change::Add);
            }
        }
        let own = &mut cx.work.samplers;
        match change {
            Some(Change::Remove(index)) => {
                own.lanes.remove(index);
                own.focus = own.focus.min(own.lanes.len() - 1);
            }
            Some(Change::Add) => {
                // Another seed of a sampler that adds noise, else a sampler that is not there yet.
                let mut lane = own.lanes.last().cloned().unwrap_or_default();
                let free = SAMPLERS.iter().find(|info| !own.lanes.iter().any(|lane| lane.sampler == info.id));
                match (SamplerInfo::find(&lane.sampler), free) {
                    (Some(info), _) if info.stochastic => lane.seed = 1 + own.lanes.iter().map(|lane| lane.seed).max().unwrap_or(0),
                    (_, Some(info)) => lane = LaneChoice { sampler: info.id.to_owned(), seed: 0, ..lane },
                    _ => {}
                }
                own.lanes.push(lane);
                own.focus = own.lanes.len() - 1;
            }
            None => {}
        }
    }

    /// The line above a lane.
    fn head(&self, cx: &mut LabContext<'_>, ui: &mut Ui, index: usize, rect: Rect) {
        let theme = cx.theme;
        let hue = theme.palette().lanes[index];
        let swatch = Rect::from_min_max(pos2(rect.left(), rect.top() + theme.px(2.0)), pos2(rect.right(), rect.top() + theme.px(5.0)));
        ui.painter().rect_filled(swatch, 1.5, hue);
        let row = Rect::from_min_max(pos2(rect.left(), swatch.bottom() + theme.px(3.0)), rect.max - vec2(0.0, theme.px(4.0)));
        let mut child = ui.new_child(UiBuilder::new().max_rect(row).layout(Layout::left_to_right(Align::Center)).id_salt(("lane", index)));
        // The columns are narrow, and every name is to be read to its end.
        let spacing = child.spacing_mut();
        (spacing.button_padding.x, spacing.icon_width, spacing.item_spacing.x) = (theme.px(6.0), theme.px(9.0), theme.px(4.0));
        spacing.icon_spacing = theme.px(4.0);
        let own = &mut cx.work.samplers;
        let lane = &mut own.lanes[index];
        let label = SamplerInfo::find(&lane.sampler).map_or("", |info| info.label);
        let seeded = if lane.seed > 0 { format!("{label} +{}", lane.seed) } else { label.to_owned() };
        let width = child.available_width();
        let (usual, room) = (13.5, width - theme.px(30.0));
        let font = theme.font(Weight::Medium, usual);
        let needed = child.painter().layout_no_wrap(seeded.clone(), font, theme.palette().text).size().x;
        let font = theme.font(Weight::Medium, usual * (room / needed.max(1.0)).min(1.0));
        let response = egui::ComboBox::from_id_salt(("sampler of lane", index))
            .selected_text(egui::RichText::new(seeded).font(font))
            .width(width)
            .truncate()
            .height(theme.px(460.0))
            .show_ui(&mut child, |ui| {
                if sampler_entries(ui, theme, &mut lane.sampler) {
                    lane.seed = 0;
                }
            })
            .response;
        response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, format!("Sampler of lane {}", index + 1)));
    }

    /// The number of steps of a lane that has its own, at the right end of the second line below its picture.
    fn steps_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, index: usize, line: Rect) {
        let theme = cx.theme;
        let steps = &mut cx.work.samplers.lanes[index].steps;
        let speed = (*steps as f64 * 0.02).max(0.2);
        let place = line.with_min_x(line.right() - theme.px(54.0));
        let mut child = ui.new_child(UiBuilder::new().max_rect(place).id_salt(("steps", index)));
        child.spacing_mut().interact_size = place.size();
        child.spacing_mut().button_padding = vec2(theme.px(4.0), 0.0);
        child.style_mut().override_font_id = Some(theme.font(Weight::Medium, 12.5));
        let response = child.put(place, egui::DragValue::new(steps).range(1..=MOST_STEPS).speed(speed));
        response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::SpinButton, true, format!("Steps of lane {}", index + 1));
            info.value = Some(*steps as f64);
            info
        });
        self.held |= response.dragged();
        response.on_hover_text("Steps of this lane: drag, or click and type.");
    }

    /// The button that takes a lane away, in the corner of its picture. Returns whether it was pressed.
    fn remove_ui(&self, cx: &LabContext<'_>, ui: &mut Ui, index: usize, picture: Rect) -> bool {
        let theme = cx.theme;
        let side = theme.px(24.0);
        let corner = Rect::from_min_size(picture.right_top() + vec2(-side - theme.px(4.0), theme.px(4.0)), Vec2::splat(side));
        let mut child = ui.new_child(UiBuilder::new().max_rect(corner).id_salt(("remove", index)));
        if self.pointed == Some(index) || child.rect_contains_pointer(corner) {
            child.painter().rect_filled(corner, side * 0.5, Palette::faint(theme.palette().panel, 0.86));
        } else {
            // There, and found by the keyboard, but seen only where the hand is.
            child.set_opacity(0.0);
        }
        let name = format!("Remove lane {}", index + 1);
        icon_button(&mut child, theme, Icon::Close, 24.0, Look::Plain, false, &name, "").clicked()
    }

    /// The picture of a lane at the clock's level, with what was spent on it.
    fn picture(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, index: usize, place: Rect, current: bool) {
        let theme = cx.theme;
        let p = theme.palette();
        let lane = cx.session.race.lanes().get(index).cloned().unwrap_or_default();
        let position = cx.clock.position();
        let finished = lane.finished(position);
        let step = lane.at(position);
        let picture = lane.picture(position);
        let texture = picture.map(|picture| cx.textures.get(ui.ctx(), theme, ("lane", index), picture, Mapping::Rgb, true));
        let name = format!("Lane {}", index + 1);
        let focused = cx.work.samplers.focus == index;
        let response = ui.interact(place, ui.scope_id().with(("lane picture", index)), Sense::click());
        let label = cx.work.samplers.lanes.get(index).and_then(|lane| SamplerInfo::find(&lane.sampler)).map_or("", |info| info.label);
        let (first, second) = told(&lane, step.map(|step| &**step), finished.is_some());
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, focused, format!("{name}, {label}, {first}, {second}")));
        if response.clicked() {
            cx.work.samplers.focus = index;
        }
        if response.hovered() || response.has_focus() {
            self.pointed = Some(index);
        }
        let waiting = match cx.session.model {
            ModelState::Failed(_) => "No model is open.",
            ModelState::Opening => "Opening the model…",
            ModelState::Ready if cx.session.race.is_stopped() => "Stopped.",
            ModelState::Ready => "Waiting for its turn…",
        };
        tile::frame(ui, theme, place, texture, waiting);
        if focused || response.hovered() || response.has_focus() {
            let stroke = Stroke::new(theme.px(2.5), if focused { p.lanes[index] } else { p.dim });
            ui.painter().rect_stroke(place.expand(theme.px(2.0)), theme.px(7.0), stroke, StrokeKind::Outside);
        }
        if texture.is_some() {
            // What stood there before the last change is said to be that.
            let badge = if !current {
                "the race before"
            } else if finished.is_some() {
                "finished"
            } else {
                ""
            };
            plate(ui, theme, place, badge);
        }
        let font = theme.font(Weight::Medium, 12.5);
        let line = |row: f32| pos2(place.left(), place.bottom() + theme.px(13.0 + 18.0 * row));
        let distance = cx.session.race.off(index, position);
        let at = ui.painter().text(line(0.0), Align2::LEFT_CENTER, &first, font.clone(), p.text);
        ui.painter().text(line(1.0), Align2::LEFT_CENTER, &second, font.clone(), p.dim);
        if let Some(distance) = distance {
            let galley = ui.painter().layout_no_wrap(format!("off {distance:.3}"), font, p.lanes[index]);
            let left = place.right() - galley.size().x;
            if left > at.right() + theme.px(4.0) {
                ui.painter().galley(pos2(left, line(0.0).y - galley.size().y * 0.5), galley, p.lanes[index]);
            }
        }
        if cx.work.samplers.matching == Matching::Free {
            let below = Rect::from_center_size(pos2(place.center().x, line(1.0).y), vec2(place.width(), theme.px(20.0)));
            self.steps_ui(cx, ui, index, below);
        }
        response.on_hover_ui(|ui| {
            tip(ui, theme, label, "What the model sees at the clock's noise level; at the end the finished picture. It is the x̂₀ that the model sees in the latents of the step that the lane is in. “off” is the root-mean-square distance of the latents from the reference at the same level. Click to read about this sampler.");
        });
    }
}

/// How far a lane is, and what that took.
fn told(lane: &Lane, step: Option<&crate::worker::protocol::RaceStep>, finished: bool) -> (String, String) {
    let spent = |evaluations: usize, ms: f64| format!("{evaluations} ev., {}", seconds(ms));
    match (step, &lane.end) {
        (Some(step), Some(end)) if finished => (format!("{} steps", step.count), spent(end.evaluations, end.elapsed_ms)),
        (Some(step), _) => (format!("x̂₀ of step {} of {}", step.index + 1, step.count), spent(step.evaluations, step.elapsed_ms)),
        _ => (String::new(), String::new()),
    }
}

/// A time, short.
pub(super) fn seconds(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.1} s", ms / 1000.0) }
}

/// The samplers to choose from, in a menu. Returns whether another was chosen.
pub fn sampler_entries(ui: &mut Ui, theme: &Theme, sampler: &mut String) -> bool {
    let mut changed = false;
    for info in SAMPLERS {
        let response = ui.selectable_label(sampler == info.id, info.label);
        if response.on_hover_ui(|ui| tip(ui, theme, info.label, info.paper)).clicked() && sampler != info.id {
            info.id.clone_into(sampler);
            changed = true;
        }
    }
    changed
}

/// A word in the corner of a picture.
fn plate(ui: &Ui, theme: &Theme, place: Rect, text: &str) {
    if text.is_empty() {
        return;
    }
    let p = theme.palette();
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme.font(Weight::Regular, 12.0), p.text);
    let size = galley.size() + vec2(theme.px(12.0), theme.px(4.0));
    let plate = Rect::from_min_size(place.left_bottom() + vec2(theme.px(5.0), -theme.px(5.0) - size.y), size);
    ui.painter().rect_filled(plate, plate.height() * 0.5, Palette::faint(p.panel, 0.86));
    ui.painter().galley(plate.center() - galley.size() * 0.5, galley, p.text);
}

/// An empty place that makes a lane. Returns whether it was pressed.
fn add_tile(ui: &mut Ui, theme: &Theme, place: Rect) -> bool {
    let p = theme.palette();
    let response = ui.interact(place, ui.scope_id().with("add lane"), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Add a lane"));
    let over = response.hovered() || response.has_focus();
    let color = if over { p.text } else { p.dim };
    ui.painter().rect(place, theme.px(6.0), if over { p.raised } else { p.panel }, theme.hairline(), StrokeKind::Inside);
    let arm = theme.px(11.0);
    let stroke = Stroke::new(theme.px(2.0), color);
    ui.painter().hline(place.center().x - arm..=place.center().x + arm, place.center().y, stroke);
    ui.painter().vline(place.center().x, place.center().y - arm..=place.center().y + arm, stroke);
    let clicked = response.clicked();
    response.on_hover_text("Adds a lane: the next sampler, or another seed of one that adds noise.");
    clicked
}
