//! The probe: point at a pixel or at a cell of the latents, and its numbers are told; press, and it stays.

use super::{ForwardReverse, main::LATENT_RANGE};
use crate::ui::labs::LabContext;
use crate::ui::labs::reading::{Cell, Kind, Reading, flat};
use crate::ui::labs::zoom::Level;
use crate::ui::theme::{self, Palette, Theme, Weight};
use crate::ui::widgets::math::{self, Math};
use crate::ui::widgets::meaning::{self, Meaning};
use egui::{
    EventFilter, Id, Key, LayerId, Modifiers, Order, Painter, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2,
};

/// Side of the magnified neighbourhood in cells, odd.
const NEAR: usize = 7;

/// A picture on screen that has cells.
#[derive(Debug, Clone)]
struct Place {
    name: String,
    rect: Rect,
    kind: Kind,
    /// The one channel that it shows; none where it shows all.
    channel: Option<usize>,
    /// Rows and columns.
    size: [usize; 2],
    /// Whether it is large enough to be pointed at.
    open: bool,
    id: Id,
}

impl Place {
    fn cell_at(&self, at: Pos2) -> Cell {
        let along = |v: f32, from: f32, size: f32, count: usize| (((v - from) / size * count as f32).max(0.0) as usize).min(count - 1);
        let [height, width] = self.size;
        let y = along(at.y, self.rect.top(), self.rect.height(), height);
        let x = along(at.x, self.rect.left(), self.rect.width(), width);
        Cell { kind: self.kind, channel: self.channel.unwrap_or(0), y, x }
    }

    /// Where a cell lies here: itself, the coarser cell that it is in, or the patch of finer ones that it covers.
    fn outline(&self, cell: Cell, of: [usize; 2]) -> Option<Rect> {
        let other = self.channel.is_some_and(|c| cell.kind == Kind::Latents && c != cell.channel);
        if other {
            return None;
        }
        let [height, width] = self.size;
        let span = |at: usize, of: usize, here: usize| {
            if here < of { ((at * here / of) as f32 / here as f32, 1.0 / here as f32) } else { (at as f32 / of as f32, 1.0 / of as f32) }
        };
        let ((y, h), (x, w)) = (span(cell.y, of[0], height), span(cell.x, of[1], width));
        let size = self.rect.size();
        Some(Rect::from_min_size(self.rect.min + vec2(x * size.x, y * size.y), vec2(w * size.x, h * size.y)))
    }
}

/// What is pointed at and what is pinned.
#[derive(Default)]
pub struct Probe {
    pinned: Option<(Cell, Id)>,
    hovered: Option<(Cell, Id)>,
    places: Vec<Place>,
}

impl Probe {
    /// The pinned cell.
    pub fn pinned(&self) -> Option<Cell> {
        self.pinned.map(|(cell, _)| cell)
    }

    /// Marks a picture as what a symbol stands for; while the probe points at something, nothing else steps back.
    pub(super) fn mark(&self, ui: &Ui, theme: &Theme, rect: Rect, meaning: Meaning) {
        if self.hovered.is_none() {
            meaning::mark(ui, theme, rect, meaning);
        } else if ui.rect_contains_pointer(rect) {
            meaning::point(ui.ctx(), meaning);
        }
    }

    /// Begins a frame of the window.
    pub(super) fn begin(&mut self) {
        self.places.clear();
    }

    /// A large picture whose pixels can be pointed at.
    pub(super) fn picture(&mut self, name: &str, rect: Rect, side: usize) {
        self.place(name, rect, Kind::Pixels, None, [side, side], true);
    }

    /// A small picture, on which the cell is outlined only.
    pub(super) fn small(&mut self, rect: Rect, side: usize) {
        self.place("", rect, Kind::Pixels, None, [side, side], false);
    }

    /// A channel of the latents in the field `slot`.
    pub(super) fn channel(&mut self, slot: &str, rect: Rect, channel: usize, size: [usize; 2]) {
        self.place(&format!("Channel {channel}"), rect, Kind::Latents, Some(channel), size, true);
        if let Some(place) = self.places.last_mut() {
            place.id = place.id.with(slot);
        }
    }

    fn place(&mut self, name: &str, rect: Rect, kind: Kind, channel: Option<usize>, size: [usize; 2], open: bool) {
        let id = Id::unique(("probe", name, channel));
        self.places.push(Place { name: name.to_owned(), rect, kind, channel, size: size.map(|n| n.max(1)), open, id });
    }

    /// Takes in pointer and keys; returns the cell to tell about, its place on screen and the number of cells of its kind.
    fn attend(&mut self, cx: &mut LabContext<'_>, ui: &Ui) -> Option<(Cell, Rect, [usize; 2])> {
        self.hovered = None;
        let kinds = |cell: Cell| self.places.iter().any(|p| p.open && p.kind == cell.kind && p.channel.is_none_or(|c| c == cell.channel));
        if self.pinned.is_some_and(|(cell, _)| !kinds(cell)) {
            self.pinned = None;
        }
        let typing = ui.ctx().text_edit_focused();
        if self.pinned.is_some() && !typing && ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Escape)) {
            self.pinned = None;
        }
        for place in self.places.iter().filter(|p| p.open) {
            let focused = ui.memory(|m| m.has_focus(place.id));
            if focused && let Some((cell, _)) = &mut self.pinned {
                // The picture has the keyboard: arrows move the cell, and Space is the clock's as everywhere.
                let taken = |key| ui.input_mut(|i| i.consume_key(Modifiers::NONE, key));
                let [height, width] = place.size;
                cell.x = (cell.x + usize::from(taken(Key::ArrowRight))).min(width - 1) - usize::from(taken(Key::ArrowLeft) && cell.x > 0);
                cell.y = (cell.y + usize::from(taken(Key::ArrowDown))).min(height - 1) - usize::from(taken(Key::ArrowUp) && cell.y > 0);
                if taken(Key::Space) {
                    cx.clock.playing = !cx.clock.playing;
                }
            }
            let response = ui.interact(place.rect, place.id, Sense::click());
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &place.name));
            if focused {
                let filter = EventFilter { horizontal_arrows: true, vertical_arrows: true, ..EventFilter::default() };
                ui.memory_mut(|m| m.set_focus_lock_filter(place.id, filter));
                ui.painter().rect_stroke(place.rect.expand(3.0), 4.0, Stroke::new(2.0, cx.theme.palette().dim), StrokeKind::Outside);
            }
            let pointer = response.interact_pointer_pos().or(response.hover_pos());
            if response.hovered()
                && let Some(at) = pointer
            {
                self.hovered = Some((place.cell_at(at), place.id));
            }
            if response.double_clicked()
                && let Some(at) = pointer
            {
                cx.zoom.look_at(Level::Operation, place.cell_at(at), place.size);
            } else if response.clicked() {
                let by_pointer = pointer.filter(|at| place.rect.contains(*at)).map(|at| place.cell_at(at));
                let pinned = self.pinned.map(|(cell, _)| cell);
                // By key there is no place pressed: what is pinned is let go, else the middle is taken.
                let cell = by_pointer.or(pinned).unwrap_or_else(|| place.cell_at(place.rect.center()));
                self.pinned = (pinned != Some(cell)).then_some((cell, place.id));
                response.request_focus();
            }
        }
        let (cell, id) = self.pinned.or(self.hovered)?;
        let fits = |p: &&Place| p.open && p.kind == cell.kind && p.channel.is_none_or(|c| c == cell.channel);
        let place = self.places.iter().find(|p| p.id == id && fits(p)).or_else(|| self.places.iter().find(fits))?;
        Some((cell, place.outline(cell, place.size)?, place.size))
    }

    /// The cell on every picture that has it.
    fn outlines(&self, painter: &Painter, theme: &Theme, cell: Cell, of: [usize; 2]) {
        let p = theme.palette();
        for place in &self.places {
            let Some(rect) = place.outline(cell, of) else { continue };
            let least = theme.px(if place.open { 9.0 } else { 6.0 });
            let rect = Rect::from_center_size(rect.center(), rect.size().max(vec2(least, least))).expand(1.0);
            let faint = if place.kind == cell.kind { 1.0 } else { 0.6 };
            painter.rect_stroke(rect, 1.0, Stroke::new(3.5, Palette::faint(p.ground, 0.75 * faint)), StrokeKind::Middle);
            painter.rect_stroke(rect, 1.0, Stroke::new(1.5, Palette::faint(p.text, faint)), StrokeKind::Middle);
        }
    }
}

impl ForwardReverse {
    /// The pinned cell is what a nearer look goes to.
    pub(super) fn look_at_pinned(&self, cx: &mut LabContext<'_>) {
        if let Some((cell, id)) = self.probe.pinned
            && let Some(place) = self.probe.places.iter().find(|place| place.id == id)
        {
            cx.zoom.look_at(cx.zoom.level, cell, place.size);
        }
    }

    /// After everything is drawn: outlines the cell and tells its numbers.
    pub(super) fn probe_ui(&mut self, cx: &mut LabContext<'_>, ui: &Ui) {
        let Some((cell, anchor, size)) = self.probe.attend(cx, ui) else { return };
        let Some(reading) = self.reading(cx, cell.kind) else { return };
        self.probe.outlines(ui.painter(), cx.theme, cell, size);
        card(ui, cx.theme, &reading, cell, anchor, self.probe.pinned.is_some());
    }
}

/// The card with the numbers, beside the cell.
fn card(ui: &Ui, theme: &Theme, reading: &Reading, cell: Cell, anchor: Rect, pinned: bool) {
    let p = theme.palette();
    let painter = ui.ctx().layer_painter(LayerId::new(Order::Tooltip, Id::unique("probe card")));
    let index = |channel: usize| format!("x[0, {channel}, {}, {}]", cell.y, cell.x);
    let mut spoken = Vec::new();
    let mut table: Vec<(String, Vec<Math>)> = vec![(String::new(), reading.heads())];
    for channel in reading.channels(cell) {
        let Some(values) = reading.values(channel, cell) else { continue };
        spoken.push(format!("{} {}", index(channel), reading.spoken(&values)));
        table.push((index(channel), reading.numbers(&values)));
    }
    let (size, pad, gap) = (14.0, theme.px(12.0), theme.px(8.0));
    let line = theme.px(25.0);
    let width = |m: &Math| math::width(&painter, theme, m, size);
    let columns = reading.heads().len();
    let widths: Vec<f32> =
        (0..columns).map(|c| table.iter().filter_map(|(_, row)| row.get(c)).map(width).fold(0.0, f32::max).ceil()).collect();
    let font = theme.font(Weight::Medium, 12.5);
    let galleys: Vec<_> = table.iter().map(|(text, _)| painter.layout_no_wrap(text.clone(), font.clone(), p.dim)).collect();
    let first = galleys.iter().map(|g| g.size().x).fold(0.0, f32::max).ceil();
    let near = theme.px(74.0);
    let hint = if pinned { "  Arrows move it, Esc lets go." } else { "  Click to pin, twice for the operation." };
    let room = near + theme.px(14.0) + first + gap + widths.iter().sum::<f32>() + gap * columns as f32;
    let note = painter.layout(format!("{}{hint}", reading.note(cell.kind)), theme.font(Weight::Regular, 12.5), p.dim, room);
    let body = (table.len() as f32 * line).max(near);
    let whole = vec2(room, body + theme.px(6.0) + note.size().y) + 2.0 * vec2(pad, pad);
    // Beside the cell, towards the side with more room, and always inside of the window.
    let window = ui.ctx().content_rect().shrink(theme.px(6.0));
    let away = theme.px(22.0);
    let left = if anchor.center().x + away + whole.x < window.right() { anchor.right() + away } else { anchor.left() - away - whole.x };
    let top = if anchor.center().y + away + whole.y < window.bottom() { anchor.bottom() + away } else { anchor.top() - away - whole.y };
    let limit = |v: f32, low: f32, high: f32| v.min(high).max(low);
    let corner = pos2(limit(left, window.left(), window.right() - whole.x), limit(top, window.top(), window.bottom() - whole.y)).round();
    let rect = Rect::from_min_size(corner, whole);
    painter.add(ui.visuals().popup_shadow.as_shape(rect, theme.radius()));
    painter.rect(rect, theme.radius(), p.panel, Stroke::new(1.0, if pinned { p.dim } else { p.line }), StrokeKind::Inside);

    let inner = rect.min + vec2(pad, pad);
    neighbourhood(&painter, theme, reading, cell, Rect::from_min_size(inner, vec2(near, near)));
    for (i, ((_, row), galley)) in table.iter().zip(galleys).enumerate() {
        let baseline = inner.y + i as f32 * line + line * 0.7;
        let mut x = inner.x + near + theme.px(14.0);
        painter.galley(pos2(x, baseline - galley.size().y * 0.78), galley, p.dim);
        x += first + gap;
        for (c, (piece, wide)) in row.iter().zip(&widths).enumerate() {
            // Heads and signs stand in the middle of their column, numbers at its right end.
            let spare = wide - width(piece);
            let shift = if i == 0 || c % 2 == 1 { spare * 0.5 } else { spare };
            math::inline(&painter, theme, piece, size, pos2(x + shift, baseline));
            x += wide + gap;
        }
    }
    painter.galley(pos2(inner.x, rect.bottom() - pad - note.size().y), note, p.dim);
    let response = ui.interact(rect, ui.scope_id().with("probe card"), Sense::hover());
    let text = format!("Probe {}", spoken.join(", "));
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &text));
}

/// The cells round the one that is told about, of x_t.
fn neighbourhood(painter: &Painter, theme: &Theme, reading: &Reading, cell: Cell, rect: Rect) {
    let Some(tensor) = reading.tensors().get(reading.noisy()) else { return };
    let p = theme.palette();
    painter.rect_filled(rect, 2.0, p.ground);
    let half = (NEAR / 2) as isize;
    let side = rect.width() / NEAR as f32;
    let value = |channel: usize, y: usize, x: usize| flat(tensor.shape(), channel, y, x).map(|i| tensor.data()[i]);
    let signed = !matches!(reading, Reading::Shown { .. });
    for dy in -half..=half {
        for dx in -half..=half {
            let (Some(y), Some(x)) = (cell.y.checked_add_signed(dy), cell.x.checked_add_signed(dx)) else { continue };
            let color = match cell.kind {
                Kind::Latents => value(cell.channel, y, x).map(|v| p.diverging(v / LATENT_RANGE)),
                Kind::Pixels => {
                    let light = |c: usize| value(c, y, x).map(|v| if signed { 0.5 * v + 0.5 } else { v });
                    light(0).zip(light(1)).zip(light(2)).map(|((r, g), b)| theme::pixel(r, g, b))
                }
            };
            let Some(color) = color else { continue };
            let corner = rect.min + vec2((dx + half) as f32, (dy + half) as f32) * side;
            painter.rect_filled(Rect::from_min_size(corner, vec2(side, side)).shrink(0.5), 0.0, color);
        }
    }
    let middle = Rect::from_center_size(rect.center(), vec2(side, side)).expand(0.5);
    painter.rect_stroke(middle, 0.0, Stroke::new(3.0, p.ground), StrokeKind::Outside);
    painter.rect_stroke(middle, 0.0, Stroke::new(1.5, p.text), StrokeKind::Outside);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(kind: Kind, channel: Option<usize>, side: usize) -> Place {
        let rect = Rect::from_min_size(pos2(100.0, 50.0), vec2(64.0, 64.0));
        Place { name: String::new(), rect, kind, channel, size: [side, side], open: true, id: Id::unique("test") }
    }

    #[test]
    fn a_point_is_in_the_cell_whose_outline_holds_it() {
        for (kind, channel, side) in [(Kind::Pixels, None, 128), (Kind::Latents, Some(3), 16)] {
            let place = place(kind, channel, side);
            for (x, y) in [(100.0, 50.0), (131.3, 77.7), (163.9, 113.9), (150.0, 60.0)] {
                let cell = place.cell_at(pos2(x, y));
                let rect = place.outline(cell, place.size).expect("here").expand(1e-3);
                assert!(rect.contains(pos2(x, y)), "{cell:?} lies at {rect}");
            }
        }
    }

    #[test]
    fn a_latent_cell_is_a_patch_of_pixels_and_a_pixel_lies_in_one_cell() {
        let (pixels, latents) = (place(Kind::Pixels, None, 128), place(Kind::Latents, Some(0), 16));
        let cell = Cell { kind: Kind::Latents, channel: 0, y: 2, x: 5 };
        let patch = pixels.outline(cell, latents.size).expect("here");
        assert_eq!(patch, Rect::from_min_size(pos2(120.0, 58.0), vec2(4.0, 4.0)));
        let pixel = Cell { kind: Kind::Pixels, channel: 0, y: 23, x: 47 };
        assert_eq!(latents.outline(pixel, pixels.size), latents.outline(cell, latents.size));
        assert_eq!(latents.outline(Cell { channel: 1, ..cell }, latents.size), None, "another channel");
    }
}
