//! A plot over two logarithmic axes, painted, with numbers beside them.

use super::math::raised;
use crate::ui::theme::{Theme, Weight};
use egui::{Align2, Painter, Pos2, Rect, Stroke, StrokeKind, pos2};

/// A plot over two logarithmic axes.
#[derive(Debug, Clone, Copy)]
pub struct LogPlot {
    /// Where the curves lie.
    pub field: Rect,
    /// Decades across, from left to right; it may fall.
    pub x: (f64, f64),
    /// Decades up.
    pub y: (f64, f64),
}

impl LogPlot {
    /// Place of a value across; beyond the ends at them.
    pub fn across(&self, value: f64) -> f32 {
        let share = (value.max(1e-300).log10() - self.x.0) / (self.x.1 - self.x.0);
        self.field.left() + share.clamp(0.0, 1.0) as f32 * self.field.width()
    }

    /// Place of a value upwards; beyond the ends at them.
    pub fn up(&self, value: f64) -> f32 {
        let share = (value.max(1e-300).log10() - self.y.0) / (self.y.1 - self.y.0);
        self.field.bottom() - share.clamp(0.0, 1.0) as f32 * self.field.height()
    }

    /// The place of a point.
    pub fn at(&self, x: f64, y: f64) -> Pos2 {
        pos2(self.across(x), self.up(y))
    }

    /// Whole decades of an axis, the lowest first.
    fn decades((from, to): (f64, f64)) -> impl Iterator<Item = i32> {
        let (low, high) = (from.min(to).ceil() as i32, from.max(to).floor() as i32);
        low..=high
    }

    /// The ground, the lines of the decades and their numbers: left of the field and below it.
    pub fn paint(&self, painter: &Painter, theme: &Theme) {
        let p = theme.palette();
        painter.rect(self.field, theme.px(5.0), p.panel, theme.hairline(), StrokeKind::Inside);
        let font = theme.font(Weight::Medium, 12.0);
        let line = Stroke::new(1.0, p.line);
        let text = |power: i32| if (-1..=2).contains(&power) { format!("{}", 10_f64.powi(power)) } else { format!("10{}", raised(power)) };
        let spare = Self::decades(self.y).count() > 5 && self.field.height() < theme.px(170.0);
        for power in Self::decades(self.y).filter(|power| !spare || power % 2 == 0) {
            let y = self.up(10_f64.powi(power));
            painter.hline(self.field.x_range(), y, line);
            painter.text(pos2(self.field.left() - theme.px(6.0), y), Align2::RIGHT_CENTER, text(power), font.clone(), p.dim);
        }
        for power in Self::decades(self.x) {
            let x = self.across(10_f64.powi(power));
            painter.vline(x, self.field.y_range(), line);
            painter.text(pos2(x, self.field.bottom() + theme.px(10.0)), Align2::CENTER_CENTER, text(power), font.clone(), p.dim);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_by_their_decades_and_never_outside() {
        let plot = LogPlot { field: Rect::from_min_max(pos2(0.0, 0.0), pos2(100.0, 50.0)), x: (2.0, -2.0), y: (-3.0, 0.0) };
        assert_eq!([100.0, 1.0, 0.01].map(|v| plot.across(v)), [0.0, 50.0, 100.0]);
        assert_eq!([1e-3, 1.0].map(|v| plot.up(v)), [50.0, 0.0]);
        assert_eq!((plot.across(0.0), plot.up(f64::INFINITY), plot.up(0.0)), (100.0, 0.0, 50.0));
        assert_eq!(LogPlot::decades((1.5, -0.5)).collect::<Vec<_>>(), [0, 1]);
    }
}
