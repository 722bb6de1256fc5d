//! Three levels of looking: the lab as a whole, the one operation behind what it shows, the numbers of that operation at one place.
//!
//! A lab says what its operation is ([`Operation`]); the levels are the same in all labs. A click or Z leads deeper, Esc leads back.

mod numbers;
mod operation;

pub use operation::{Operation, Part};

use super::LabContext;
use super::reading::{Cell, Kind, Reading};
use crate::figure::LookMark;
use crate::host::HostTensor;
use crate::ui::theme::Weight;
use crate::ui::widgets::controls::{Look, icon_button};
use crate::ui::widgets::icons::Icon;
use egui::{Align2, Rect, Ui, UiBuilder, pos2};

/// How near a lab is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// All of it.
    #[default]
    Overview,
    /// The operation behind what it shows: its operands, what becomes of them, the result.
    Operation,
    /// The numbers of the operation round one place.
    Numbers,
}

impl Level {
    /// All levels, the farthest first.
    pub const ALL: [Self; 3] = [Self::Overview, Self::Operation, Self::Numbers];

    /// Name on screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Operation => "Operation",
            Self::Numbers => "Numbers",
        }
    }

    /// What is seen there.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Overview => "The lab as a whole. Key Esc",
            Self::Operation => "The one operation behind what the lab shows now, with its operands. Key Z",
            Self::Numbers => "The numbers of that operation at one place. Key Z once more",
        }
    }

    /// One level nearer.
    #[must_use]
    pub fn nearer(self) -> Self {
        if self == Self::Overview { Self::Operation } else { Self::Numbers }
    }

    /// One level back.
    #[must_use]
    pub fn farther(self) -> Self {
        if self == Self::Numbers { Self::Operation } else { Self::Overview }
    }
}

/// How near a lab is looked at, and where.
pub struct Zoom {
    /// How near.
    pub level: Level,
    /// The place, in shares of the width and the height: it stays when pixels give way to latents.
    at: [f32; 2],
    channel: usize,
    /// Whether the arrow keys are to move the place from the next frame on.
    wants_keys: bool,
    /// The operands with their coefficients, kept until the formula changes.
    parts: Option<(Reading, [HostTensor; 2])>,
}

impl Default for Zoom {
    fn default() -> Self {
        Self { level: Level::Overview, at: [0.5, 0.5], channel: 0, wants_keys: false, parts: None }
    }
}

impl Zoom {
    /// Whether the lab as a whole is out of sight.
    pub fn is_near(&self) -> bool {
        self.level != Level::Overview
    }

    /// Goes to a level.
    pub fn go(&mut self, level: Level) {
        self.wants_keys = level == Level::Numbers && self.level != level;
        self.level = level;
    }

    /// Goes to a level, to look at a place there; `at` in shares of the width and the height.
    pub fn look(&mut self, level: Level, channel: usize, at: [f32; 2]) {
        self.go(level);
        (self.channel, self.at) = (channel, at.map(|share| if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.5 }));
    }

    /// What a file keeps of it.
    pub fn mark(&self) -> LookMark {
        LookMark { level: self.level as usize, at: self.at, channel: self.channel }
    }

    /// Looks at a cell of a tensor with so many rows and columns.
    pub fn look_at(&mut self, level: Level, cell: Cell, [height, width]: [usize; 2]) {
        let share = |at: usize, count: usize| (at as f32 + 0.5) / count.max(1) as f32;
        self.look(level, cell.channel, [share(cell.x, width), share(cell.y, height)]);
    }

    /// The cell of a tensor `[.., C, H, W]` that is looked at.
    fn cell(&self, kind: Kind, tensor: &HostTensor) -> Cell {
        let [.., channels, height, width] = *tensor.shape() else { return Cell { kind, channel: 0, y: 0, x: 0 } };
        let along = |share: f32, count: usize| ((share * count as f32) as usize).min(count.max(1) - 1);
        Cell { kind, channel: self.channel.min(channels.max(1) - 1), y: along(self.at[1], height), x: along(self.at[0], width) }
    }

    /// The operands with their coefficients, computed once for each formula.
    fn parts(&mut self, reading: &Reading) -> Option<[HostTensor; 2]> {
        if self.parts.as_ref().is_none_or(|(kept, _)| !kept.is(reading)) {
            self.parts = reading.parts().map(|parts| (reading.clone(), parts));
        }
        self.parts.as_ref().map(|(_, parts)| parts.clone())
    }
}

/// Height of the line above the operation and the numbers, in design units.
const TITLE: f32 = 40.0;

/// Shows the operation, or its numbers, in `room`.
pub fn show(cx: &mut LabContext<'_>, ui: &mut Ui, room: Rect, operation: Option<Operation>) {
    let theme = cx.theme;
    let p = theme.palette();
    let line = Rect::from_min_max(room.min, pos2(room.right(), room.top() + theme.px(TITLE)));
    let below = room.with_min_y(line.bottom());
    let level = cx.zoom.level;
    let mut child = ui.new_child(UiBuilder::new().max_rect(line).layout(egui::Layout::right_to_left(egui::Align::Center)));
    let back = format!("Back to the {}", level.farther().label().to_lowercase());
    if icon_button(&mut child, theme, Icon::Close, 34.0, Look::Plain, false, &back, "Key Esc").clicked() {
        cx.zoom.go(level.farther());
    }
    let rest = child.available_rect_before_wrap();
    let title = operation.as_ref().map_or("", |operation| operation.title.as_str());
    let at = pos2(room.left(), line.center().y);
    let title = ui.painter().text(at, Align2::LEFT_CENTER, title, theme.font(Weight::SemiBold, 17.0), p.text);
    let hint = if level == Level::Numbers { "Arrows move, Esc goes back" } else { "Click a picture for its numbers, Esc goes back" };
    let hint = ui.painter().layout_no_wrap(hint.to_owned(), theme.small(), p.dim);
    if rest.right() - hint.size().x > title.right() + theme.px(20.0) {
        ui.painter().galley(pos2(rest.right() - hint.size().x, line.center().y - hint.size().y * 0.5), hint, p.dim);
    }
    let shown = operation.is_some_and(|operation| match level {
        Level::Numbers => numbers::show(cx, ui, below, &operation),
        _ => operation::show(cx, ui, below, &operation),
    });
    if !shown {
        ui.painter().text(below.center(), Align2::CENTER_CENTER, "Nothing has been computed here yet.", theme.body(), p.dim);
    }
}

/// What lies in `rect` and is drawn from now on steps back behind the operation, until the pointer is over it.
pub fn dim(ui: &mut Ui, rect: Rect) {
    if !ui.rect_contains_pointer(rect) {
        ui.set_opacity(0.6);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_one_another_and_end() {
        assert_eq!(Level::ALL.map(Level::nearer), [Level::Operation, Level::Numbers, Level::Numbers]);
        assert_eq!(Level::ALL.map(Level::farther), [Level::Overview, Level::Overview, Level::Operation]);
    }

    #[test]
    fn the_place_stays_when_the_tensor_changes() {
        let (pixels, latents) = (HostTensor::full([3, 128, 128], 0.0), HostTensor::full([1, 8, 16, 16], 0.0));
        let mut zoom = Zoom::default();
        zoom.look_at(Level::Numbers, Cell { kind: Kind::Pixels, channel: 2, y: 31, x: 77 }, [128, 128]);
        assert_eq!(zoom.cell(Kind::Pixels, &pixels), Cell { kind: Kind::Pixels, channel: 2, y: 31, x: 77 });
        assert_eq!(zoom.cell(Kind::Latents, &latents), Cell { kind: Kind::Latents, channel: 2, y: 3, x: 9 });
        zoom.look(Level::Numbers, 99, [7.0, -1.0]);
        assert_eq!(zoom.cell(Kind::Latents, &latents), Cell { kind: Kind::Latents, channel: 7, y: 0, x: 15 });
        assert_eq!(zoom.cell(Kind::Latents, &HostTensor::full([3], 0.0)).x, 0, "an odd tensor has a cell too");
    }

    #[test]
    fn the_operands_are_computed_once() {
        let tensors = [0.1, 0.2, 0.3].map(|v| HostTensor::full([1, 2, 2, 2], v));
        let reading = Reading::Guided { scale: 5.0, tensors: tensors.clone() };
        let mut zoom = Zoom::default();
        let [first, again] = [zoom.parts(&reading), zoom.parts(&reading)].map(|parts| parts.expect("a formula"));
        assert!(std::ptr::eq(first[1].data(), again[1].data()));
        let other = zoom.parts(&Reading::Guided { scale: 6.0, tensors }).expect("a formula");
        assert!(!std::ptr::eq(first[1].data(), other[1].data()));
    }
}
