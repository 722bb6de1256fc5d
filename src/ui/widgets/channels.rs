//! The channels of a latent tensor: a heat map for each, in a grid of equal cells.

use super::math::format_number;
use super::textures::{Mapping, Scale, Textures};
use super::tile;
use crate::host::HostTensor;
use crate::ui::theme::Theme;
use egui::{Pos2, Rect, Role, Sense, Ui, Vec2, WidgetInfo, vec2};
use std::fmt::Debug;
use std::hash::Hash;

/// Where the channels lie: row by row, in square cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// How many there are.
    pub channels: usize,
    /// How many lie side by side.
    pub columns: usize,
    /// Side of a cell.
    pub cell: f32,
    /// Distance between two cells.
    pub gap: f32,
}

impl Grid {
    /// Columns of the grid nearest to a square that has no hole: 2 for 4 channels, 4 for 8 and for 16. It is never higher than wide.
    pub fn compact(channels: usize) -> usize {
        let least = (channels as f64).sqrt().ceil().max(1.0) as usize;
        (least..=2 * least).find(|columns| channels.is_multiple_of(*columns)).unwrap_or(least)
    }

    /// Columns of a grid of at most two rows: 4 for up to 8 channels, 8 for 16.
    pub fn low(channels: usize) -> usize {
        channels.div_ceil(2).max(4)
    }

    /// How many lie one above the other.
    pub fn rows(&self) -> usize {
        self.channels.div_ceil(self.columns)
    }

    /// Width and height of the whole.
    pub fn size(&self) -> Vec2 {
        let along = |count: usize| count as f32 * self.cell + count.saturating_sub(1) as f32 * self.gap;
        vec2(along(self.columns), along(self.rows()))
    }

    /// The cell of a channel in the grid with its upper left corner at `corner`, on whole points.
    pub fn cell(&self, corner: Pos2, channel: usize) -> Rect {
        let (column, row) = (channel % self.columns, channel / self.columns);
        let min = corner + vec2(column as f32, row as f32) * (self.cell + self.gap);
        Rect::from_min_max(min.round(), (min + Vec2::splat(self.cell)).round())
    }

    /// The channel whose cell a point is in, and the place in that cell, in shares of its width and height.
    pub fn place_at(&self, corner: Pos2, at: Pos2) -> Option<(usize, [f32; 2])> {
        let cells = (0..self.channels).map(|channel| (channel, self.cell(corner, channel)));
        let (channel, cell) = cells.into_iter().find(|(_, cell)| cell.contains(at))?;
        Some((channel, ((at - cell.min) / cell.size()).into()))
    }
}

/// How numbers become colours, and the name that the textures are kept under.
#[derive(Debug, Clone, Copy)]
pub struct Look<S> {
    /// Tells this tensor from others on screen.
    pub slot: S,
    /// Largest value shown without clipping.
    pub range: f32,
    /// How values spread over the colours.
    pub scale: Scale,
}

/// Shows a tensor `[1, C, H, W]`; a cell that it has no channel for is an empty field. A value is told when pointed at.
pub fn show<S: Hash + Debug + Copy>(
    ui: &mut Ui,
    theme: &Theme,
    textures: &mut Textures,
    corner: Pos2,
    grid: &Grid,
    tensor: Option<&HostTensor>,
    look: Look<S>,
) {
    paint(ui, theme, textures, corner, grid, tensor, look);
    for channel in 0..grid.channels {
        let rect = grid.cell(corner, channel);
        if let Some(tensor) = with_channel(tensor, channel) {
            let response = ui.interact(rect, ui.scope_id().with((look.slot, channel)), Sense::hover());
            response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("Channel {channel}")));
            response.on_hover_ui(|ui| tip(ui, rect, tensor, channel));
        }
    }
}

/// Only paints it, for a caller that tells its values in another way.
pub fn paint<S: Hash + Debug + Copy>(
    ui: &Ui,
    theme: &Theme,
    textures: &mut Textures,
    corner: Pos2,
    grid: &Grid,
    tensor: Option<&HostTensor>,
    look: Look<S>,
) {
    for channel in 0..grid.channels {
        let mapping = Mapping::Heat { channel, range: look.range, scale: look.scale };
        let tensor = with_channel(tensor, channel);
        let texture = tensor.map(|t| textures.get(ui.ctx(), theme, (look.slot, channel), t, mapping, false));
        tile::frame(ui, theme, grid.cell(corner, channel), texture, "");
    }
}

fn with_channel(tensor: Option<&HostTensor>, channel: usize) -> Option<&HostTensor> {
    tensor.filter(|t| t.shape().len() == 4 && t.shape()[1] > channel)
}

/// The value under the pointer.
fn tip(ui: &mut Ui, rect: Rect, tensor: &HostTensor, channel: usize) {
    let (height, width) = (tensor.shape()[2], tensor.shape()[3]);
    let Some(pointer) = ui.ctx().pointer_latest_pos() else { return };
    let at = |v: f32, from: f32, size: f32, count: usize| (((v - from) / size * count as f32).max(0.0) as usize).min(count - 1);
    let (x, y) = (at(pointer.x, rect.left(), rect.width(), width), at(pointer.y, rect.top(), rect.height(), height));
    let value = tensor.data()[channel * height * width + y * width + x];
    ui.label(format!("[0, {channel}, {y}, {x}]  {}", format_number(f64::from(value), 1, 4)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_a_place_for_every_channel_and_no_two_share_one() {
        for channels in 1..=64 {
            for columns in [Grid::compact(channels), Grid::low(channels)] {
                let grid = Grid { channels, columns, cell: 10.0, gap: 2.0 };
                let whole = Rect::from_min_size(Pos2::ZERO, grid.size());
                let cells: Vec<Rect> = (0..channels).map(|c| grid.cell(Pos2::ZERO, c)).collect();
                for (i, cell) in cells.iter().enumerate() {
                    assert!(whole.contains_rect(*cell), "{channels} in {columns}: {i} at {cell}");
                    assert!(cells[..i].iter().all(|other| !other.intersects(*cell)), "{channels} in {columns}: {i} at {cell}");
                }
                assert!(grid.rows() <= columns, "{channels} in {columns}");
            }
            assert!(channels.div_ceil(Grid::low(channels)) <= 2);
        }
        assert_eq!([4, 8, 16].map(Grid::compact), [2, 4, 4]);
        let grid = Grid { channels: 8, columns: 2, cell: 20.0, gap: 4.0 };
        let (channel, at) = grid.place_at(Pos2::new(100.0, 100.0), Pos2::new(129.0, 153.0)).expect("a cell");
        assert!(channel == 5 && at.iter().all(|share| (share - 0.25).abs() < 1e-6));
        assert!(grid.place_at(Pos2::new(100.0, 100.0), Pos2::new(122.0, 110.0)).is_none(), "between two cells");
        assert_eq!([1, 4, 8, 16].map(Grid::low), [4, 4, 4, 8]);
    }
}
