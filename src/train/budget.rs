//! How long to train, and the learning rate over that time.

use std::time::Duration;

/// When training ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// After this much training time, counted across resumes.
    Time(Duration),
    /// After this many steps.
    Steps(u64),
}

impl Budget {
    /// The share of the budget that is used up, in 0..=1, after `step` steps and `elapsed` of training.
    pub fn fraction(self, step: u64, elapsed: Duration) -> f64 {
        let fraction = match self {
            Self::Time(total) => elapsed.as_secs_f64() / total.as_secs_f64().max(1e-9),
            Self::Steps(total) => step as f64 / total.max(1) as f64,
        };
        fraction.clamp(0.0, 1.0)
    }

    /// Whether it is used up.
    pub fn is_spent(self, step: u64, elapsed: Duration) -> bool {
        match self {
            Self::Time(total) => elapsed >= total,
            Self::Steps(total) => step >= total,
        }
    }

    /// The time left, when `elapsed` of training made `step` steps; unknown before the first.
    pub fn time_left(self, step: u64, elapsed: Duration) -> Option<Duration> {
        match self {
            Self::Time(total) => Some(total.saturating_sub(elapsed)),
            Self::Steps(total) => (step > 0).then(|| elapsed.mul_f64(total.saturating_sub(step) as f64 / step as f64)),
        }
    }
}

/// Warm-up, a plateau, and a linear decay over the last part of the budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateSchedule {
    /// The plateau.
    pub peak: f64,
    /// Steps of linear warm-up from zero.
    pub warmup_steps: u64,
    /// The share of the budget after which the rate falls.
    pub decay_from: f64,
    /// What is left of the peak at the end, as a fraction.
    pub floor: f64,
}

impl RateSchedule {
    /// The rate of the step with index `step`, at `fraction` of the budget.
    pub fn at(&self, step: u64, fraction: f64) -> f64 {
        let warm = ((step + 1) as f64 / self.warmup_steps.max(1) as f64).min(1.0);
        let left = ((1.0 - fraction) / (1.0 - self.decay_from).max(1e-9)).clamp(0.0, 1.0);
        self.peak * warm * (self.floor + (1.0 - self.floor) * left)
    }
}

/// Reads a duration such as `90s`, `30m`, `1.5h` or `1h30m`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration; write for example 90s, 30m, 1.5h or 1h30m");
    let (mut seconds, mut number) = (0.0_f64, String::new());
    for character in text.trim().chars() {
        let unit = match character {
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            digit if digit.is_ascii_digit() || digit == '.' => {
                number.push(digit);
                continue;
            }
            _ => return Err(bad()),
        };
        seconds += number.parse::<f64>().map_err(|_| bad())? * unit;
        number.clear();
    }
    if !number.is_empty() || !seconds.is_finite() || seconds <= 0.0 || seconds > 1e8 {
        return Err(bad());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_secs(5400)));
        for bad in ["", "30", "m", "-3m", "3 weeks", "0s", "1e9h", "1..2m"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rate_warms_up_stays_and_decays() {
        let schedule = RateSchedule { peak: 1.0, warmup_steps: 10, decay_from: 0.75, floor: 0.0 };
        assert!((schedule.at(0, 0.0) - 0.1).abs() < 1e-12);
        assert!((schedule.at(100, 0.5) - 1.0).abs() < 1e-12);
        assert!((schedule.at(100, 0.875) - 0.5).abs() < 1e-12);
        assert!(schedule.at(100, 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_budget_knows_what_is_left() {
        let budget = Budget::Steps(10);
        assert_eq!(budget.time_left(5, Duration::from_secs(5)), Some(Duration::from_secs(5)));
        assert!(budget.is_spent(10, Duration::ZERO) && !budget.is_spent(9, Duration::ZERO));
        assert_eq!(Budget::Time(Duration::from_secs(8)).fraction(3, Duration::from_secs(2)), 0.25);
    }
}
