//! The numbers: the neighbourhood of one place in each tensor of the formula, and the formula with the numbers of that place.

use super::operation::{Operation, fit};
use crate::host::HostTensor;
use crate::ui::labs::LabContext;
use crate::ui::labs::reading::{Cell, Kind, Term, flat};
use crate::ui::theme::{self, Palette, Theme, Weight};
use crate::ui::widgets::controls::{Look, icon_button};
use crate::ui::widgets::icons::Icon;
use crate::ui::widgets::math::{self, format_number, row};
use crate::ui::widgets::meaning;
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile::{self, HEADER};
use egui::{
    Align2, Color32, EventFilter, Key, Modifiers, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, pos2,
    vec2,
};

/// Cells along a side of the neighbourhood, odd; fewer where they would be too small to be read.
const NEAR: [usize; 2] = [5, 3];
/// Least side of a cell, in design units.
const LEAST: f32 = 38.0;
/// Height of what stands below the neighbourhoods, in design units.
const FOOT: f32 = 150.0;
/// Size of what stands between them, in design units.
const LEAD: f32 = 21.0;

/// Shows the numbers in `room`. Returns whether there were any.
pub fn show(cx: &mut LabContext<'_>, ui: &mut Ui, room: Rect, operation: &Operation) -> bool {
    let theme = cx.theme;
    let reading = &operation.reading;
    let (Some(terms), [first, ..]) = (reading.terms(), reading.tensors()) else { return false };
    let cell = cx.zoom.cell(operation.kind, first);
    let Some(values) = reading.values(cell.channel, cell) else { return false };
    let leads = terms.each_ref().map(|term| math::width(ui.painter(), theme, &term.lead, LEAD));
    let lead_gap = theme.px(12.0);
    let between: f32 = leads.iter().map(|width| if *width > 0.0 { width + 2.0 * lead_gap } else { 0.0 }).sum();
    let header = theme.px(HEADER);
    let wide = (room.width() - between) / 3.0;
    let high = room.height() - header - theme.px(FOOT) - theme.px(16.0);
    let cell_of = |count: usize| (wide.min(high) / count as f32).floor().max(14.0);
    let count = NEAR.into_iter().find(|count| cell_of(*count) >= theme.px(LEAST)).unwrap_or(NEAR[1]);
    let near = cell_of(count);
    let side = near * count as f32;
    let left = room.left() + ((room.width() - between - 3.0 * side) * 0.5).max(0.0).floor();
    let mut x = left;
    let spare = (high - side).max(0.0);
    let top = room.top() + (spare * 0.4).floor();
    let mut next = cell;
    let mut grids = Vec::new();
    for (i, (term, tensor)) in terms.iter().zip(reading.tensors()).enumerate() {
        if leads[i] > 0.0 {
            let baseline = top + header + side * 0.5 + theme.px(7.0);
            math::inline(ui.painter(), theme, &term.lead, LEAD, pos2(x + lead_gap, baseline));
            x += leads[i] + 2.0 * lead_gap;
        }
        let rect = Rect::from_min_size(pos2(x, top), vec2(side, side + header));
        let response = neighbourhood(ui, theme, (rect, count), operation, (term, tensor), cell);
        if let Some(at) = response.interact_pointer_pos().filter(|_| response.clicked()) {
            next = moved(cell, tensor, [(at.x, x), (at.y, top + header)].map(|(at, from)| step_to(at - from, near, count)));
            response.request_focus();
        }
        x += side;
        grids.push(response);
    }
    if std::mem::take(&mut cx.zoom.wants_keys)
        && let Some(last) = grids.last()
    {
        last.request_focus();
    }
    let focused = grids.iter().find(|response| response.has_focus());
    if let Some(response) = focused {
        next = by_keys(cx, ui, response, next, first);
    }
    let foot = Rect::from_min_max(pos2(left, top + header + side + theme.px(20.0)), room.max);
    let foot = foot.with_max_y((foot.top() + theme.px(FOOT)).min(room.bottom()));
    next = below(cx, ui, (foot, count), operation, next, &values);
    if let [.., height, width] = *first.shape() {
        cx.zoom.look_at(cx.zoom.level, next, [height, width]);
    }
    true
}

/// How many cells from the middle a point lies.
fn step_to(from: f32, near: f32, count: usize) -> isize {
    ((from / near).floor() as isize).clamp(0, count as isize - 1) - (count / 2) as isize
}

/// The cell so many columns and rows further, within the tensor.
fn moved(cell: Cell, tensor: &HostTensor, [dx, dy]: [isize; 2]) -> Cell {
    let [.., height, width] = *tensor.shape() else { return cell };
    let within = |at: usize, by: isize, count: usize| at.saturating_add_signed(by).min(count.max(1) - 1);
    Cell { x: within(cell.x, dx, width), y: within(cell.y, dy, height), ..cell }
}

/// The arrows move the cell while a neighbourhood has the keyboard, Page up and down change the channel; Space is the clock's as
/// everywhere.
fn by_keys(cx: &mut LabContext<'_>, ui: &Ui, response: &Response, cell: Cell, tensor: &HostTensor) -> Cell {
    let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
    ui.memory_mut(|m| m.set_focus_lock_filter(response.id, filter));
    let taken = |key| ui.input_mut(|i| i.consume_key(Modifiers::NONE, key));
    let towards = |more: Key, less: Key| isize::from(taken(more)) - isize::from(taken(less));
    let by = [towards(Key::ArrowRight, Key::ArrowLeft), towards(Key::ArrowDown, Key::ArrowUp)];
    if taken(Key::Space) {
        cx.clock.playing = !cx.clock.playing;
    }
    other_channel(moved(cell, tensor, by), tensor, towards(Key::PageDown, Key::PageUp))
}

fn other_channel(cell: Cell, tensor: &HostTensor, by: isize) -> Cell {
    let [.., channels, _, _] = *tensor.shape() else { return cell };
    Cell { channel: cell.channel.saturating_add_signed(by).min(channels.max(1) - 1), ..cell }
}

/// The colour of a number, or of a pixel.
fn color_of(theme: &Theme, (range, scale): (f32, Scale), tensor: &HostTensor, cell: Cell) -> Option<Color32> {
    let value = |channel: usize| flat(tensor.shape(), channel, cell.y, cell.x).and_then(|i| tensor.data().get(i).copied());
    match cell.kind {
        Kind::Latents => value(cell.channel).map(|v| theme.palette().diverging(scale.place(v / range))),
        Kind::Pixels => {
            let light = |channel| value(channel).map(|v| 0.5 * v + 0.5);
            Some(theme::pixel(light(0)?, light(1)?, light(2)?))
        }
    }
}

/// The cells round the one that is looked at, each with its number; the others step back.
fn neighbourhood(
    ui: &mut Ui,
    theme: &Theme,
    (rect, count): (Rect, usize),
    operation: &Operation,
    (term, tensor): (&Term, &HostTensor),
    cell: Cell,
) -> Response {
    let p = theme.palette();
    let header = theme.px(HEADER);
    let grid = rect.with_min_y(rect.top() + header);
    let baseline = rect.top() + header * 0.5 + theme.px(5.0);
    let left = rect.left() + math::inline(ui.painter(), theme, &term.symbol, 19.0, pos2(rect.left(), baseline)) + theme.px(10.0);
    let galley = ui.painter().layout_no_wrap(term.words.to_owned(), theme.font(Weight::Regular, 14.0), p.dim);
    if left + galley.size().x <= rect.right() {
        ui.painter().galley(pos2(left, baseline - galley.size().y * 0.78), galley, p.dim);
    }
    let response = ui.interact(grid, ui.scope_id().with(("neighbourhood", term.words)), Sense::click());
    let spoken = format!("Cells of {} round {}, {}", term.words, cell.y, cell.x);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &spoken));
    let painter = ui.painter();
    painter.rect_filled(grid, 2.0, p.panel);
    let near = grid.width() / count as f32;
    let half = (count / 2) as isize;
    let size = ((near - 6.0) / 3.4 / theme.scale).min(19.0);
    for dy in -half..=half {
        for dx in -half..=half {
            let (Some(y), Some(x)) = (cell.y.checked_add_signed(dy), cell.x.checked_add_signed(dx)) else { continue };
            let other = Cell { x, y, ..cell };
            let (Some(color), Some(value)) = (
                color_of(theme, operation.look, tensor, other),
                flat(tensor.shape(), cell.channel, y, x).and_then(|i| tensor.data().get(i).copied()),
            ) else {
                continue;
            };
            let place = Rect::from_min_size(grid.min + vec2((dx + half) as f32, (dy + half) as f32) * near, Vec2::splat(near));
            let middle = dx == 0 && dy == 0;
            let color = if middle { color } else { Palette::mix(color, p.ground, 0.5) };
            painter.rect_filled(place.shrink(0.5), 0.0, color);
            let weight = if middle { Weight::SemiBold } else { Weight::Regular };
            let text = format_number(f64::from(value), 1, 2);
            painter.text(place.center(), Align2::CENTER_CENTER, text, theme.font(weight, size), p.over(color));
        }
    }
    let middle = Rect::from_center_size(grid.center(), Vec2::splat(near));
    painter.rect_stroke(middle, 0.0, Stroke::new(theme.px(4.0), p.ground), StrokeKind::Outside);
    painter.rect_stroke(middle, 0.0, Stroke::new(theme.px(2.5), p.text), StrokeKind::Outside);
    if response.has_focus() {
        painter.rect_stroke(grid.expand(2.0), 2.0, Stroke::new(2.0, p.dim), StrokeKind::Outside);
    }
    meaning::mark_gently(ui, theme, grid, term.meaning);
    response.on_hover_cursor(egui::CursorIcon::PointingHand)
}

/// Where in the tensor this is, and the formula with the numbers of the place. Returns the cell to look at.
fn below(cx: &mut LabContext<'_>, ui: &mut Ui, (foot, count): (Rect, usize), operation: &Operation, cell: Cell, values: &[f32]) -> Cell {
    let theme = cx.theme;
    let p = theme.palette();
    let reading = &operation.reading;
    let Some(tensor) = reading.tensors().get(2).cloned() else { return cell };
    let [.., channels, height, width] = *tensor.shape() else { return cell };
    let mut next = cell;
    let map = Rect::from_min_size(foot.min, Vec2::splat(foot.height().min(theme.px(132.0))));
    let mapping = match operation.kind {
        Kind::Pixels => Mapping::SignedRgb,
        Kind::Latents => Mapping::Heat { channel: cell.channel, range: operation.look.0, scale: operation.look.1 },
    };
    let texture = cx.textures.get(ui.ctx(), theme, "map of the numbers", &tensor, mapping, false);
    tile::frame(ui, theme, map, Some(texture), "");
    let size = map.size() / vec2(width.max(1) as f32, height.max(1) as f32);
    let middle = map.min + size * vec2(cell.x as f32 + 0.5, cell.y as f32 + 0.5);
    let window = Rect::from_center_size(middle, (size * count as f32).max(Vec2::splat(theme.px(8.0)))).intersect(map);
    for dark in [
        map.with_max_y(window.top()),
        map.with_min_y(window.bottom()),
        Rect::from_x_y_ranges(map.left()..=window.left(), window.y_range()),
        Rect::from_x_y_ranges(window.right()..=map.right(), window.y_range()),
    ] {
        ui.painter().rect_filled(dark, 0.0, Palette::faint(p.ground, 0.5));
    }
    ui.painter().rect_stroke(window, 1.0, Stroke::new(theme.px(2.0), p.text), StrokeKind::Outside);
    // The neighbourhoods have the keyboard, the map has the pointer alone.
    let response = ui.interact(map, ui.scope_id().with("map of the numbers"), Sense::CLICK | Sense::DRAG);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Where the numbers are"));
    if let Some(at) = response.interact_pointer_pos() {
        let along = |v: f32, size: f32, count: usize| ((v / size).max(0.0) as usize).min(count.max(1) - 1);
        let at = at - map.min;
        next = Cell { x: along(at.x, size.x, width), y: along(at.y, size.y, height), ..next };
    }
    response.on_hover_text("Where in the whole tensor the numbers are. Press or drag to look elsewhere.");

    let left = map.right() + theme.px(20.0);
    let line = Rect::from_min_max(pos2(left, foot.top()), pos2(foot.right(), foot.top() + theme.px(36.0)));
    let mut child = ui.new_child(UiBuilder::new().max_rect(line).layout(egui::Layout::left_to_right(egui::Align::Center)));
    let index = format!("[0, {}, {}, {}]", cell.channel, cell.y, cell.x);
    child.label(egui::RichText::new(index).font(theme.font(Weight::SemiBold, 18.0)).color(p.text));
    child.add_space(theme.px(10.0));
    for (icon, name, by) in [(Icon::StepLeft, "Channel before", -1), (Icon::StepRight, "Channel after", 1)] {
        let there = other_channel(next, &tensor, by);
        child.add_enabled_ui(there.channel != cell.channel, |ui| {
            if icon_button(ui, theme, icon, 30.0, Look::Plain, false, name, "Keys Page up, Page down").clicked() {
                next = there;
            }
        });
    }
    let channel = match operation.kind {
        Kind::Pixels => ["red", "green", "blue"].get(cell.channel).copied().unwrap_or_default().to_owned(),
        Kind::Latents => format!("channel {} of {channels}", cell.channel + 1),
    };
    child.label(egui::RichText::new(channel).font(theme.font(Weight::Regular, 14.0)).color(p.dim));

    let numbers = row(reading.numbers(values));
    let calculation = Rect::from_min_max(pos2(left, line.bottom()), foot.max);
    let size = fit(ui.painter(), theme, &numbers, 30.0, calculation.width());
    let baseline = calculation.top() + theme.px(44.0);
    math::inline(ui.painter(), theme, &numbers, size, pos2(left, baseline));
    let spoken = format!("Computed at [0, {}, {}, {}]: {}", cell.channel, cell.y, cell.x, reading.spoken(values));
    let response = ui.interact(calculation, ui.scope_id().with("calculation"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &spoken));
    let at = pos2(left, baseline + theme.px(32.0));
    ui.painter().text(at, Align2::LEFT_CENTER, reading.note(operation.kind), theme.small(), p.dim);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_move_within_the_tensor() {
        let tensor = HostTensor::full([1, 4, 6, 8], 0.0);
        let cell = Cell { kind: Kind::Latents, channel: 3, y: 5, x: 0 };
        assert_eq!(moved(cell, &tensor, [-2, 2]), cell);
        assert_eq!(moved(cell, &tensor, [2, -2]), Cell { x: 2, y: 3, ..cell });
        assert_eq!(other_channel(cell, &tensor, 1), cell);
        assert_eq!(other_channel(cell, &tensor, -1).channel, 2);
    }

    #[test]
    fn a_press_leads_to_the_cell_under_it() {
        assert_eq!([0.0, 19.9, 20.1, 45.0, 99.9, 400.0, -3.0].map(|from| step_to(from, 20.0, 5)), [-2, -2, -1, 0, 2, 2, -2]);
    }
}
