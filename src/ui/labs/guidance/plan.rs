//! Where the heat maps lie: x_t in one broad grid, below it two by two fields, below these the colour scale.

use crate::ui::theme::Theme;
use crate::ui::widgets::channels::Grid;
use crate::ui::widgets::tile::HEADER;
use egui::{Pos2, Rect, Vec2, pos2, vec2};

/// The measures of all heat maps.
pub struct Plan {
    /// The grid of one field.
    pub grid: Grid,
    has_input: bool,
}

/// Between the two fields of a row.
const ASIDE: f32 = 20.0;
/// Between the rows of fields.
const APART: f32 = 10.0;
/// The row of the colour scale, with the distance above it.
const LEGEND: f32 = 46.0;

impl Plan {
    /// The largest cells that fit into `room`. x_t is left out where it would make them too small to read, or the
    /// fields too narrow for their headings.
    pub fn new(theme: &Theme, room: Vec2, channels: usize) -> Self {
        let columns = Grid::compact(channels);
        let gap = theme.px(if columns > 2 { 4.0 } else { 6.0 });
        let grid = Grid { channels, columns, cell: 1.0, gap };
        let cell = |has_input: bool| {
            // What is left when every cell is one point wide, shared among them.
            let plan = Self { grid, has_input };
            let rows = 2 * grid.rows() + if has_input { plan.input_grid(theme).rows() } else { 0 };
            let left = room - plan.size(theme);
            (1.0 + left.x / (2 * columns) as f32).min(1.0 + left.y / rows as f32).max(16.0).floor()
        };
        let (with, without) = (cell(true), cell(false));
        let wide = Grid { cell: with, ..grid }.size().x >= theme.px(180.0);
        let has_input = with >= without || (with >= theme.px(40.0) && wide);
        Self { grid: Grid { cell: if has_input { with } else { without }, ..grid }, has_input }
    }

    /// Twice the columns of a field; the cells are a little larger, so that the grid is as wide as the two fields below it.
    fn input_grid(&self, theme: &Theme) -> Grid {
        let columns = 2 * self.grid.columns;
        Grid { columns, cell: self.grid.cell + (theme.px(ASIDE) - self.grid.gap) / columns as f32, ..self.grid }
    }

    fn input_height(&self, theme: &Theme) -> f32 {
        if self.has_input { theme.px(HEADER) + self.input_grid(theme).size().y + theme.px(APART) } else { 0.0 }
    }

    fn field_height(&self, theme: &Theme) -> f32 {
        theme.px(HEADER) + self.grid.size().y
    }

    /// Width and height of everything.
    pub fn size(&self, theme: &Theme) -> Vec2 {
        let fields = 2.0 * self.field_height(theme) + theme.px(APART);
        vec2(2.0 * self.grid.size().x + theme.px(ASIDE), self.input_height(theme) + fields + theme.px(LEGEND))
    }

    /// Corner and grid of x_t, where there is room for it.
    pub fn input(&self, theme: &Theme, origin: Pos2) -> Option<(Pos2, Grid)> {
        self.has_input.then(|| (origin, self.input_grid(theme)))
    }

    /// Corner of field `i` of four.
    pub fn field(&self, theme: &Theme, origin: Pos2, i: usize) -> Pos2 {
        let step = vec2(self.grid.size().x + theme.px(ASIDE), self.field_height(theme) + theme.px(APART));
        origin + vec2(0.0, self.input_height(theme)) + vec2((i % 2) as f32, (i / 2) as f32) * step
    }

    /// The row of the colour scale.
    pub fn legend(&self, theme: &Theme, origin: Pos2) -> Rect {
        let size = self.size(theme);
        let height = theme.px(36.0);
        Rect::from_min_size(pos2(origin.x, origin.y + size.y - height), vec2(size.x, height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::theme::ThemeChoice;

    #[test]
    fn everything_lies_in_its_room_and_x_t_is_as_wide_as_two_fields() {
        for (channels, size) in [(4, vec2(500.0, 700.0)), (8, vec2(500.0, 600.0)), (16, vec2(600.0, 1200.0))] {
            let theme = Theme::for_window(ThemeChoice::Dark, vec2(1400.0, 860.0), 1.0);
            let plan = Plan::new(&theme, size, channels);
            let whole = plan.size(&theme);
            assert!(whole.x <= size.x && whole.y <= size.y, "{channels}: {whole} in {size}");
            let (corner, grid) = plan.input(&theme, pos2(3.0, 7.0)).expect("there is room");
            assert!((grid.size().x - whole.x).abs() < 1e-3, "{channels}");
            let bottom = corner.y + theme.px(HEADER) + grid.size().y;
            assert!(bottom <= plan.field(&theme, corner, 0).y, "{channels}");
            let end = plan.field(&theme, corner, 3) + vec2(0.0, theme.px(HEADER)) + plan.grid.size();
            assert!(end.y <= plan.legend(&theme, corner).top() && (end.x - corner.x - whole.x).abs() < 1e-3, "{channels}");
        }
    }

    #[test]
    fn where_there_is_no_room_x_t_goes_first() {
        let theme = Theme::for_window(ThemeChoice::Dark, vec2(1400.0, 860.0), 1.0);
        assert!(Plan::new(&theme, vec2(500.0, 380.0), 16).input(&theme, Pos2::ZERO).is_none());
        assert!(Plan::new(&theme, vec2(10.0, 10.0), 8).grid.cell >= 16.0);
    }
}
