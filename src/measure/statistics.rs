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

/// A number with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Student's quantiles of a two-sided 95 % interval for 1, 2, .. degrees of freedom; beyond them the normal one is near.
const STUDENT: [f64; 16] =
    [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120];

fn student(freedom: usize) -> f64 {
    STUDENT.get(freedom.wrapping_sub(1)).copied().unwrap_or(if freedom == 0 { f64::NAN } else { Z })
}

impl Proportion {
    /// The share and its 95 % score interval (Wilson 1927), which lies within 0 and 1.
    pub fn estimate(&self) -> Estimate {
        let (n, p) = (self.trials as f64, self.value());
        let (middle, half) = ((p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n), self.half_width());
        Estimate { value: p, low: (middle - half).min(p), high: (middle + half).max(p) }
    }
}

impl Sample {
    /// The mean and its 95 % interval for few values (Student 1908, Biometrika 6).
    pub fn estimate(&self) -> Estimate {
        let half = self.half_width() / Z * student(self.len().saturating_sub(1));
        Estimate { value: self.mean(), low: self.mean() - half, high: self.mean() + half }
    }
}

/// Diversity ([`super::mean_pairwise_distance`]) with a 95 % interval by the jackknife (Tukey 1958, Ann. Math. Stat. 29): the
/// pairs are not independent, but leaving one item out at a time shows how much each of them matters. NaN for fewer than three.
///
/// # Shapes
/// `items`: rows of one length.
pub fn pairwise_diversity(items: &[&[f32]]) -> Estimate {
    let count = items.len();
    let distance =
        |a: &[f32], b: &[f32]| (a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len().max(1) as f64).sqrt();
    let of: Vec<f64> = (0..count).map(|i| (0..count).filter(|j| *j != i).map(|j| distance(items[i], items[j])).sum()).collect();
    let total = 0.5 * of.iter().sum::<f64>();
    let pairs = |n: usize| (n * n.saturating_sub(1) / 2) as f64;
    let value = total / pairs(count);
    let without: Vec<f64> = of.iter().map(|own| (total - own) / pairs(count.saturating_sub(1))).collect();
    let mean = without.iter().sum::<f64>() / count as f64;
    let n = count as f64;
    let deviation = ((n - 1.0) / n * without.iter().map(|v| (v - mean).powi(2)).sum::<f64>()).sqrt();
    let half = deviation * student(count.saturating_sub(1));
    Estimate { value, low: (value - half).max(0.0), high: value + half }
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

    #[test]
    fn estimates_of_few_are_wider_and_stay_in_range() {
        let all = Proportion { hits: 4, trials: 4 }.estimate();
        assert!((all.value, all.high) == (1.0, 1.0) && (0.4..0.6).contains(&all.low), "{all:?}");
        let sample: Sample = [1.0, 2.0, 3.0, 4.0].into_iter().collect();
        let half = 3.182 * (5.0_f64 / 3.0 / 4.0).sqrt();
        assert!((sample.estimate().high - 2.5 - half).abs() < 1e-3);
        assert!(Sample::default().estimate().value.is_nan());
    }

    #[test]
    fn diversity_is_that_of_all_pairs_and_its_interval_shrinks() {
        let items = crate::noise::gaussian(1, crate::noise::Stream::Eval, [16, 32]);
        let rows: Vec<&[f32]> = items.data().chunks(32).collect();
        let (four, all) = (pairwise_diversity(&rows[..4]), pairwise_diversity(&rows));
        assert!((all.value - crate::measure::mean_pairwise_distance(&items)).abs() < 1e-9);
        assert!(all.low < all.value && all.high - all.low < four.high - four.low, "{all:?} {four:?}");
        // Two unit Gaussians differ by the root of two.
        assert!(all.low < 2.0_f64.sqrt() && all.high > 2.0_f64.sqrt() * 0.95, "{all:?}");
        let same = pairwise_diversity(&[rows[0], rows[0], rows[0]]);
        assert_eq!((same.value, same.low, same.high), (0.0, 0.0, 0.0));
        assert!(pairwise_diversity(&rows[..1]).value.is_nan());
    }
}
