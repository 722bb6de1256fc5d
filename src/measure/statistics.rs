//! Means and shares with 95 % confidence.

/// A share of trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proportion {
    /// Trials that came out right.
    pub hits: usize,
    /// All trials.
    pub trials: usize,
}

/// The normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.959_964;

impl Proportion {
    /// Counts one trial; `None` is no trial.
    pub fn add(&mut self, hit: Option<bool>) {
        if let Some(hit) = hit {
            self.trials += 1;
            self.hits += usize::from(hit);
        }
    }

    /// Counts a sequence of trials.
    pub fn of(trials: impl IntoIterator<Item = Option<bool>>) -> Self {
        let mut all = Self::default();
        trials.into_iter().for_each(|trial| all.add(trial));
        all
    }

    /// The share, NaN without trials.
    pub fn value(&self) -> f64 {
        self.hits as f64 / self.trials as f64
    }

    /// Half the width of the 95 % score interval (Wilson 1927, J. Am. Stat. Assoc. 22), which stays sensible at 0 and 1.
    pub fn half_width(&self) -> f64 {
        let (n, p) = (self.trials as f64, self.value());
        Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt() / (1.0 + Z * Z / n)
    }
}

/// A sample of values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    values: Vec<f64>,
}

impl Sample {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The mean, NaN without values.
    pub fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// Half the width of the 95 % interval of the mean, by the normal approximation.
    pub fn half_width(&self) -> f64 {
        let (n, mean) = (self.values.len() as f64, self.mean());
        let variance = self.values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Z * (variance / n).sqrt()
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self { values: values.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_intervals() {
        // Wilson 95 % interval of 81 in 263: 0.2553 to 0.3662 (Newcombe 1998, Stat. Med. 17, table I, method 3).
        let share = Proportion { hits: 81, trials: 263 };
        assert!((share.half_width() - 0.5 * (0.3662 - 0.2553)).abs() < 1e-4);
        let sure = Proportion::of([Some(true), None, Some(true)]);
        assert_eq!((sure.value(), sure.trials), (1.0, 2));
        assert!(sure.half_width() > 0.1);
    }

    #[test]
    fn the_mean_and_its_interval() {
        let sample: Sample = [1.0, 2.0, 3.0, 4.0].into_iter().collect();
        assert_eq!(sample.mean(), 2.5);
        assert!((sample.half_width() - 1.96 * (5.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-3);
    }
}
