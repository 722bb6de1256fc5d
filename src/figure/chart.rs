//! Curves over axes, as data, and where ticks stand.

use super::{Rgb, Rich};
use std::sync::Arc;

/// A curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Names it in legends and in tables.
    pub name: String,
    /// Its colour.
    pub color: Rgb,
    /// Width of its line in design units.
    pub width: f32,
    /// Opacity of its line, 0 to 1.
    pub opacity: f32,
    /// Its points: x and y, in the order in which they are joined.
    pub points: Arc<[[f64; 2]]>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Names it under the axis, and heads its column in tables.
    pub label: Rich,
    /// Lowest and highest value shown.
    pub range: (f64, f64),
    /// Whether it goes by powers of ten; its values are above zero then.
    pub log: bool,
}

/// Curves over two axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// The curves, the last on top.
    pub series: Vec<Series>,
    /// Where a vertical line stands.
    pub playhead: Option<f64>,
    /// Single points: x, y and colour.
    pub dots: Vec<(f64, f64, Rgb)>,
    /// Whether the curves are named above the plot.
    pub legend: bool,
    /// Height over width.
    pub aspect: f32,
}

impl Axis {
    /// Place of a value along the axis: 0 at its beginning, 1 at its end. Not finite where a value cannot be placed.
    pub fn place(&self, value: f64) -> f64 {
        let at = |v: f64| if self.log { v.log10() } else { v };
        let (low, high) = (at(self.range.0), at(self.range.1));
        (at(value) - low) / (high - low)
    }

    /// Values and texts of about `count` ticks: 1, 2 or 5 times a power of ten apart, or every so many powers of ten.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let count = count.max(1) as f64;
        if self.log {
            let (low, high) = (self.range.0.log10(), self.range.1.log10());
            if !low.is_finite() || !high.is_finite() || high <= low {
                return Vec::new();
            }
            let step = ((high - low) / count).ceil().max(1.0);
            let first = (low / step - 1e-9).ceil() as i32;
            let last = (high / step + 1e-9).floor() as i32;
            return (first..=last).map(|i| i * step as i32).map(|power| (10_f64.powi(power), power_text(power))).collect();
        }
        let span = self.range.1 - self.range.0;
        if !span.is_finite() || span <= 0.0 {
            return Vec::new();
        }
        let rough = span / count;
        let unit = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * unit).find(|s| *s >= rough * 0.999).unwrap_or(10.0 * unit);
        let decimals = (0..9).find(|d| (step * 10_f64.powi(*d) - (step * 10_f64.powi(*d)).round()).abs() < 1e-6).unwrap_or(9) as usize;
        let first = (self.range.0 / step - 1e-9).ceil() as i64;
        let last = (self.range.1 / step + 1e-9).floor() as i64;
        (first..=last).take(100).map(|i| i as f64 * step).map(|v| (v, format!("{v:.decimals$}").replace('-', "−"))).collect()
    }
}

/// A power of ten in superscript digits.
fn power_text(power: i32) -> String {
    if power == 0 {
        return "1".to_owned();
    }
    let raise = |c: char| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        d => char::from_u32(u32::from('⁰') + u32::from(d) - u32::from('0')).unwrap_or(d),
    };
    format!("10{}", power.to_string().chars().map(raise).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(low: f64, high: f64, log: bool) -> Axis {
        Axis { label: Vec::new(), range: (low, high), log }
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |axis: &Axis, n| axis.ticks(n).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(&axis(0.0, 1000.0, false), 4), ["0", "250", "500", "750", "1000"]);
        assert_eq!(texts(&axis(-0.03, 1.08, false), 5), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(texts(&axis(1e-7, 1e5, true), 6), ["10⁻⁶", "10⁻⁴", "10⁻²", "1", "10²", "10⁴"]);
        assert_eq!(texts(&axis(-2.0, 2.0, false), 4), ["−2", "−1", "0", "1", "2"]);
        for odd in [axis(0.0, 0.0, false), axis(1.0, f64::NAN, false), axis(-1.0, 1.0, true), axis(2.0, 1.0, true)] {
            assert!(odd.ticks(5).is_empty(), "{odd:?}");
        }
    }

    #[test]
    fn places_run_from_the_beginning_to_the_end() {
        assert_eq!(axis(0.0, 10.0, false).place(2.5), 0.25);
        assert!((axis(1e-2, 1e2, true).place(1.0) - 0.5).abs() < 1e-12);
        assert!(!axis(1.0, 10.0, true).place(0.0).is_finite());
    }
}
