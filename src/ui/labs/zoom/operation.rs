//! The operation: what is given above, the operands with their coefficients below, and as large as both what they make.

use super::Level;
use crate::host::HostTensor;
use crate::ui::labs::LabContext;
use crate::ui::labs::reading::{Cell, Kind, Reading};
use crate::ui::theme::{Palette, Theme, Weight};
use crate::ui::widgets::channels::{self, Grid, Look};
use crate::ui::widgets::controls::focus_ring;
use crate::ui::widgets::math::{self, Math, row, word};
use crate::ui::widgets::meaning::{self, Meaning};
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile::{self, Badge, HEADER};
use egui::{Align2, Painter, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, pos2, vec2};

/// An operation that a lab shows large.
pub struct Operation {
    /// What it is and when, in a few words.
    pub title: String,
    /// What its tensors are made of.
    pub kind: Kind,
    /// The tensors and the formula that joins them.
    pub reading: Reading,
    /// What stands in the upper row: where the operands come from.
    pub given: [Part; 2],
    /// The range of the heat maps, and how values spread over their colours.
    pub look: (f32, Scale),
}

/// A tensor of the operation.
pub struct Part {
    symbol: Math,
    words: &'static str,
    meaning: Meaning,
    tensor: HostTensor,
}

impl Part {
    /// A tensor, its symbol, what it is in words, what it stands for.
    pub fn new(symbol: Math, words: &'static str, meaning: Meaning, tensor: HostTensor) -> Self {
        Self { symbol, words, meaning, tensor }
    }

    /// The first two tensors of a formula, as they are.
    pub fn operands(reading: &Reading) -> Option<[Self; 2]> {
        let [first, second, _] = reading.terms()?;
        let part = |term: super::super::reading::Term, i: usize| {
            Some(Self::new(term.symbol, term.words, term.meaning, reading.tensors().get(i)?.clone()))
        };
        Some([part(first, 0)?, part(second, 1)?])
    }
}

/// Height of the equation and the line below it, in design units.
const FOOT: f32 = 122.0;
/// The place of the result among the five pictures.
const RESULT: usize = 4;
/// Size of the equation, in design units.
const EQUATION: f32 = 29.0;

/// How large everything is: the four pictures at the left and the one at the right.
struct Plan {
    small: Grid,
    large: Grid,
    origin: Pos2,
    signs: [f32; 2],
    gap: f32,
    header: f32,
}

impl Plan {
    /// The largest pictures that fit into `room`, of which `signs` are left free between the columns. A picture in colour is a grid
    /// of one channel.
    fn new(theme: &Theme, room: Rect, channels: usize, signs: [f32; 2]) -> Self {
        let (header, gap) = (theme.px(HEADER), theme.px(12.0));
        let space = if channels > 4 { theme.px(4.0) } else { theme.px(6.0) };
        let columns = (1..=channels.max(1)).filter(|columns| channels.max(1).is_multiple_of(*columns));
        let plan = |columns: usize| {
            let rows = channels.max(1) / columns;
            let grid = |cell: f32| Grid { channels: channels.max(1), columns, cell, gap: space };
            let aspect = rows as f32 / columns as f32;
            // Where there are more rows than columns there are more gaps between them.
            let more = space * (aspect - 1.0).max(0.0);
            let wide = (room.width() - (header + gap) / aspect - signs.iter().sum::<f32>() - space) / 4.0;
            let high = (room.height() - theme.px(FOOT) - 2.0 * (header + more) - gap) / (2.0 * aspect);
            let side = wide.min(high).max(8.0);
            let small = grid(((side - (columns - 1) as f32 * space) / columns as f32).floor().max(4.0));
            let height = 2.0 * small.size().y + header + gap;
            let large = grid(((height - (rows - 1) as f32 * space) / rows as f32).floor());
            Self { small, large, origin: room.min, signs, gap, header }
        };
        let mut best = plan(1);
        for other in columns.map(plan) {
            if other.small.cell > best.small.cell {
                best = other;
            }
        }
        let spare = room.size() - best.size() - vec2(0.0, theme.px(FOOT));
        best.origin = (room.min + vec2(spare.x.max(0.0) * 0.5, spare.y.max(0.0) * 0.4)).floor();
        best
    }

    fn size(&self) -> Vec2 {
        let (small, large) = (self.small.size(), self.large.size());
        vec2(2.0 * small.x + self.signs[0] + self.signs[1] + large.x, self.header + large.y)
    }

    /// Place of a small picture with its header.
    fn small(&self, column: usize, line: usize) -> Rect {
        let size = self.small.size() + vec2(0.0, self.header);
        let x = column as f32 * (size.x + self.signs[0]);
        Rect::from_min_size(self.origin + vec2(x, line as f32 * (size.y + self.gap)), size)
    }

    /// Place of the large one.
    fn large(&self) -> Rect {
        let left = self.small(1, 0).right() + self.signs[1];
        Rect::from_min_size(pos2(left, self.origin.y), self.large.size() + vec2(0.0, self.header))
    }
}

/// Shows the operation in `room`. Returns whether there was one to show.
pub fn show(cx: &mut LabContext<'_>, ui: &mut Ui, room: Rect, operation: &Operation) -> bool {
    let theme = cx.theme;
    let Operation { kind, reading, given, look, .. } = operation;
    let (Some([_, _, result]), Some(names), Some(parts)) = (reading.terms(), reading.part_names(), cx.zoom.parts(reading)) else {
        return false;
    };
    let [tensor, ..] = reading.tensors() else { return false };
    let [.., channels, height, width] = *tensor.shape() else { return false };
    let signs = reading.signs();
    let room_of = |sign: &Math| math::width(ui.painter(), theme, sign, 24.0) + theme.px(22.0);
    let channels = if *kind == Kind::Pixels { 1 } else { channels };
    let plan = Plan::new(theme, room, channels, [room_of(&signs[0]), room_of(&signs[1])]);
    let badge = if *kind == Kind::Pixels { Badge::ExactPixels } else { Badge::Latents };
    let right = pos2(plan.large().right(), plan.large().top() + plan.header * 0.5);
    let pill = tile::badge_at(ui, theme, right, badge.label());
    ui.interact(pill, ui.scope_id().with("badge of the operation"), Sense::hover()).on_hover_text(badge.hint());
    let mut pointed = None;
    let mut pressed = None;
    let mut grids = Vec::new();
    let mut picture = |cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect, grid: Grid, slot: usize, part: &Part, name: &str| {
        let until = if slot == RESULT { pill.left() - theme.px(8.0) } else { rect.right() };
        heading(ui, theme, rect.with_max_x(until), plan.header, part);
        let corner = pos2(rect.left(), rect.top() + plan.header);
        let place = Rect::from_min_size(corner, grid.size());
        let response = ui.interact(place, ui.scope_id().with(("operand", slot)), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, name));
        if *kind == Kind::Pixels {
            let texture = cx.textures.get(ui.ctx(), theme, ("operand", slot), &part.tensor, Mapping::SignedRgb, false);
            tile::frame(ui, theme, place, Some(texture), "");
        } else {
            let look = Look { slot: ("operand", slot), range: look.0, scale: look.1 };
            channels::paint(ui, theme, cx.textures, corner, &grid, Some(&part.tensor), look);
        }
        focus_ring(ui, theme, &response, place, 6.0);
        meaning::mark(ui, theme, place, part.meaning);
        let under = response.hover_pos().or(response.interact_pointer_pos()).and_then(|at| grid.place_at(corner, at));
        pressed = pressed.take().or(response.clicked().then_some(under));
        pointed = pointed.take().or(under);
        response.on_hover_cursor(egui::CursorIcon::ZoomIn);
        grids.push((grid, corner));
    };
    for (column, part) in given.iter().enumerate() {
        picture(cx, ui, plan.small(column, 0), plan.small, column, part, &format!("Numbers of {}", part.words));
    }
    for (column, ((symbol, meaning), tensor)) in names.into_iter().zip(parts).enumerate() {
        let part = Part { symbol, words: "", meaning, tensor };
        let name = if column == 0 { "Numbers of the first operand" } else { "Numbers of the second operand" };
        picture(cx, ui, plan.small(column, 1), plan.small, 2 + column, &part, name);
    }
    let whole = Part { symbol: result.symbol, words: result.words, meaning: result.meaning, tensor: reading.tensors()[2].clone() };
    picture(cx, ui, plan.large(), plan.large, RESULT, &whole, &format!("Numbers of {}", result.words));

    let between = |left: Rect, right: f32| pos2((left.right() + right) * 0.5, left.center().y + plan.header * 0.5);
    let (first, second) = (plan.small(0, 1), plan.small(1, 1));
    sign(ui.painter(), theme, &signs[0], between(first, second.left()));
    sign(ui.painter(), theme, &signs[1], between(second, plan.large().left()));
    if matches!(reading, Reading::Guided { .. }) {
        let upper = plan.small(0, 0);
        sign(ui.painter(), theme, &word("−", crate::ui::theme::Symbol::Plain), between(upper, plan.small(1, 0).left()));
    }
    let foot = Rect::from_min_max(pos2(room.left(), plan.large().bottom() + theme.px(12.0)), room.max);
    let cell = pointed.map(|(channel, at): (usize, [f32; 2])| {
        let along = |share: f32, count: usize| ((share * count as f32) as usize).min(count - 1);
        Cell { kind: *kind, channel, y: along(at[1], height.max(1)), x: along(at[0], width.max(1)) }
    });
    if let Some(cell) = cell {
        for (grid, corner) in &grids {
            outline(ui.painter(), theme, grid.cell(*corner, cell.channel), cell, [height, width]);
        }
    }
    words(ui, theme, foot, operation, cell);
    if let Some(place) = pressed {
        match place {
            Some((channel, at)) => cx.zoom.look(Level::Numbers, channel, at),
            None => cx.zoom.go(Level::Numbers),
        }
    }
    true
}

/// The line above a picture: its symbol, and what it is where there is room.
fn heading(ui: &Ui, theme: &Theme, rect: Rect, header: f32, part: &Part) {
    let p = theme.palette();
    let baseline = rect.top() + header * 0.5 + theme.px(5.0);
    let size = fit(ui.painter(), theme, &part.symbol, 19.0, rect.width());
    let left = rect.left() + math::inline(ui.painter(), theme, &part.symbol, size, pos2(rect.left(), baseline)) + theme.px(10.0);
    let galley = ui.painter().layout_no_wrap(part.words.to_owned(), theme.font(Weight::Regular, 14.0), p.dim);
    if left + galley.size().x <= rect.right() {
        ui.painter().galley(pos2(left, baseline - galley.size().y * 0.78), galley, p.dim);
    }
}

fn sign(painter: &Painter, theme: &Theme, sign: &Math, middle: Pos2) {
    let width = math::width(painter, theme, sign, 24.0);
    math::inline(painter, theme, sign, 24.0, middle + vec2(-width * 0.5, theme.px(8.0)));
}

/// The size at which mathematics fits into a width, at most `size`.
pub(super) fn fit(painter: &Painter, theme: &Theme, math: &Math, size: f32, room: f32) -> f32 {
    let width = math::width(painter, theme, math, size);
    if width > room { (size * room / width * 0.99).max(6.0) } else { size }
}

/// Where a cell is, on a picture of so many rows and columns.
fn outline(painter: &Painter, theme: &Theme, picture: Rect, cell: Cell, [height, width]: [usize; 2]) {
    let p = theme.palette();
    let size = picture.size() / vec2(width.max(1) as f32, height.max(1) as f32);
    let least = Vec2::splat(theme.px(7.0));
    let middle = picture.min + size * vec2(cell.x as f32 + 0.5, cell.y as f32 + 0.5);
    let rect = Rect::from_center_size(middle, size.max(least)).expand(1.0);
    painter.rect_stroke(rect, 1.0, Stroke::new(3.5, Palette::faint(p.ground, 0.75)), StrokeKind::Middle);
    painter.rect_stroke(rect, 1.0, Stroke::new(1.5, p.text), StrokeKind::Middle);
}

/// The equation large, and below it its numbers at the place under the pointer.
fn words(ui: &mut Ui, theme: &Theme, foot: Rect, operation: &Operation, cell: Option<Cell>) {
    let reading = &operation.reading;
    let mut line = pos2(foot.center().x, foot.top() + theme.px(70.0));
    if let Some((equation, spoken)) = reading.equation() {
        let width = math::width(ui.painter(), theme, &equation, EQUATION).min(foot.width());
        let rect = Rect::from_min_max(pos2(foot.center().x - width * 0.5, foot.top()), pos2(foot.center().x + width * 0.5, foot.bottom()));
        let mut child = ui.new_child(UiBuilder::new().max_rect(rect).id_salt("operation equation"));
        let set = math::equation(&mut child, theme, &equation, EQUATION, &format!("The operation, {spoken}"));
        line.y = line.y.max(set.rect.bottom() + theme.px(22.0));
    }
    let Some((cell, values)) = cell.and_then(|cell| Some((cell, reading.values(cell.channel, cell)?))) else {
        let text = "Point at a cell: the same cell in every tensor, and what is computed there.";
        ui.painter().text(line, Align2::CENTER_CENTER, text, theme.small(), theme.palette().dim);
        return;
    };
    let index = format!("[{}, {}, {}]", cell.channel, cell.y, cell.x);
    let font = theme.font(Weight::Medium, 14.0);
    let galley = ui.painter().layout_no_wrap(index, font, theme.palette().dim);
    let numbers = row(reading.numbers(&values));
    let gap = theme.px(16.0);
    let size = fit(ui.painter(), theme, &numbers, 19.0, foot.width() - galley.size().x - gap);
    let width = galley.size().x + gap + math::width(ui.painter(), theme, &numbers, size);
    let left = line.x - width * 0.5;
    let baseline = line.y + theme.px(6.0);
    let shift = galley.size().x + gap;
    ui.painter().galley(pos2(left, baseline - galley.size().y * 0.78), galley, theme.palette().dim);
    math::inline(ui.painter(), theme, &numbers, size, pos2(left + shift, baseline));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::theme::ThemeChoice;

    #[test]
    fn everything_lies_in_its_room_whatever_the_channels() {
        for (width, height) in [(650.0, 420.0), (930.0, 600.0), (1700.0, 1100.0)] {
            let theme = Theme { choice: ThemeChoice::Dark, scale: width / 930.0 };
            let room = Rect::from_min_size(pos2(10.0, 20.0), vec2(width, height));
            for channels in [1, 3, 4, 8, 16] {
                let plan = Plan::new(&theme, room, channels, [40.0, 90.0]);
                assert!(room.contains_rect(plan.large()) && room.contains_rect(plan.small(0, 0)), "{channels} in {width} x {height}");
                assert!(plan.large().bottom() + theme.px(FOOT) <= room.bottom() + 1.0);
                assert!(plan.small(1, 1).right() + 89.0 <= plan.large().left());
                assert!((plan.small(0, 1).bottom() - plan.large().bottom()).abs() < 2.0 * channels as f32, "they end on one line");
                assert!(plan.small.cell >= 12.0, "{channels} in {width} x {height}: {}", plan.small.cell);
            }
        }
    }
}
