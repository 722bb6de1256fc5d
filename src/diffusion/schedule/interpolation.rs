//! A smooth curve through falling points that never rises between them.
//!
//! Piecewise cubic Hermite polynomials whose slopes keep to the shape of the points (Fritsch and Butland 1984, "A method for
//! constructing local monotone piecewise cubic interpolants", SIAM Journal on Scientific and Statistical Computing 5). An ordinary
//! cubic spline would overshoot, and a schedule that overshoots would take noise away on its way to noise.

/// The curve through points whose positions rise and whose values fall.
#[derive(Debug, Clone, PartialEq)]
pub struct MonotoneCubic {
    positions: Vec<f64>,
    values: Vec<f64>,
    slopes: Vec<f64>,
}

impl MonotoneCubic {
    /// The curve through `(positions[i], values[i])`.
    ///
    /// The slope at a point is a harmonic mean of the secants `d` on both sides, `1 / slope = share / d_left + (1 - share) / d_right`
    /// with `share = (1 + h_right / (h_left + h_right)) / 3` for parts of the widths `h`; at an end it is the secant. No slope is
    /// more than three times a secant beside it, which is what keeps the curve falling.
    ///
    /// # Panics
    /// When there are fewer than two points, their numbers differ, positions do not rise or values do not fall.
    pub fn falling(positions: Vec<f64>, values: Vec<f64>) -> Self {
        assert!(positions.len() >= 2 && positions.len() == values.len(), "a curve needs two points, each a position and a value");
        assert!(positions.windows(2).all(|pair| pair[1] > pair[0]), "positions rise: {positions:?}");
        assert!(values.windows(2).all(|pair| pair[1] < pair[0]), "values fall: {values:?}");
        let secant = |i: usize| (values[i + 1] - values[i]) / (positions[i + 1] - positions[i]);
        let secants: Vec<f64> = (0..positions.len() - 1).map(secant).collect();
        let mut slopes = vec![secants[0]];
        slopes.extend((1..secants.len()).map(|i| {
            let share = (1.0 + (positions[i + 1] - positions[i]) / (positions[i + 1] - positions[i - 1])) / 3.0;
            (share / secants[i - 1] + (1.0 - share) / secants[i]).recip()
        }));
        slopes.push(secants[secants.len() - 1]);
        Self { positions, values, slopes }
    }

    /// The curve at `position`; beyond its ends the value at the end.
    pub fn at(&self, position: f64) -> f64 {
        let last = self.positions.len() - 1;
        let position = position.clamp(self.positions[0], self.positions[last]);
        let right = self.positions.partition_point(|&here| here < position).clamp(1, last);
        let left = right - 1;
        let width = self.positions[right] - self.positions[left];
        let share = (position - self.positions[left]) / width;
        let rest = 1.0 - share;
        // The four cubic Hermite polynomials.
        self.values[left] * (1.0 + 2.0 * share) * rest * rest
            + self.values[right] * share * share * (3.0 - 2.0 * share)
            + width * share * rest * (self.slopes[left] * rest - self.slopes[right] * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_goes_through_its_points_and_never_rises() {
        let positions = vec![0.0, 0.1, 0.5, 0.55, 1.0];
        let values = vec![9.0, 8.9, 0.0, -0.01, -7.0];
        let curve = MonotoneCubic::falling(positions.clone(), values.clone());
        for (position, value) in positions.iter().zip(&values) {
            assert!((curve.at(*position) - value).abs() < 1e-12, "at {position}");
        }
        let mut previous = f64::INFINITY;
        for step in 0..=10_000 {
            let here = curve.at(f64::from(step) / 10_000.0);
            assert!(here < previous, "rises at {step}: {previous} to {here}");
            previous = here;
        }
        assert_eq!((curve.at(-1.0), curve.at(2.0)), (9.0, -7.0));
    }

    #[test]
    fn a_straight_line_stays_straight_and_slopes_are_continuous() {
        let line = MonotoneCubic::falling(vec![0.0, 0.3, 1.0], vec![1.0, 0.7, 0.0]);
        let bent = MonotoneCubic::falling(vec![0.0, 0.4, 1.0], vec![5.0, 4.0, -4.0]);
        for step in 0..=100 {
            let position = f64::from(step) / 100.0;
            assert!((line.at(position) - (1.0 - position)).abs() < 1e-12);
        }
        let slope = |at: f64| (bent.at(at + 1e-7) - bent.at(at - 1e-7)) / 2e-7;
        assert!((slope(0.4 - 1e-5) - slope(0.4 + 1e-5)).abs() < 1e-2);
    }

    #[test]
    #[should_panic(expected = "values fall")]
    fn rising_values_are_refused() {
        MonotoneCubic::falling(vec![0.0, 1.0], vec![0.0, 1.0]);
    }
}
