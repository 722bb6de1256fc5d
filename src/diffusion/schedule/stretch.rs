//! The stretch of a schedule between two levels, as gamma over a time of its own from 0 to 1.
//!
//! Schedules can only be compared by what they do between the same ends ([`super::learned`]); each is cut there, and its time counted
//! anew.

use super::ContinuousSchedule;

/// A schedule between two values of `gamma = -log SNR`.
#[derive(Debug, Clone)]
pub struct Stretch {
    schedule: ContinuousSchedule,
    from: f64,
    to: f64,
}

impl Stretch {
    /// The part of `schedule` between gamma `ends`. Where it does not reach an end, its own end is taken.
    pub fn new(schedule: ContinuousSchedule, ends: [f64; 2]) -> Self {
        let [from, to] = ends.map(|gamma| time_of(&schedule, gamma));
        Self { schedule, from, to }
    }

    /// Gamma at a time from 0 to 1, and its slope there.
    pub fn at(&self, time: f64) -> (f64, f64) {
        let width = self.to - self.from;
        let at = self.from + width * time;
        // One-sided at the schedule's own ends, where log-SNR may be infinite beyond.
        let (before, after) = ((at - 1e-6).max(self.from), (at + 1e-6).min(self.to));
        let slope = (self.schedule.log_snr(before) - self.schedule.log_snr(after)) / (after - before);
        (-self.schedule.log_snr(at), slope * width)
    }

    /// The slope where the schedule passes `gamma`.
    pub fn slope_at(&self, gamma: f64) -> f64 {
        let time = (time_of(&self.schedule, gamma) - self.from) / (self.to - self.from);
        self.at(time.clamp(0.0, 1.0)).1
    }
}

/// The time at which a schedule passes `gamma`, by halving.
fn time_of(schedule: &ContinuousSchedule, gamma: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if -schedule.log_snr(middle) < gamma {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::super::SCHEDULES;
    use super::*;

    #[test]
    fn a_stretch_goes_from_end_to_end_with_its_slope() {
        for info in SCHEDULES {
            let stretch = Stretch::new(info.continuous(&[], 1000), [-5.0, 5.0]);
            assert!((stretch.at(0.0).0 + 5.0).abs() < 1e-6 && (stretch.at(1.0).0 - 5.0).abs() < 1e-6, "{}", info.id);
            // The slope is what gamma rises by: its mean is the whole rise.
            let mean = (0..2000).map(|i| stretch.at((f64::from(i) + 0.5) / 2000.0).1).sum::<f64>() / 2000.0;
            assert!((mean / 10.0 - 1.0).abs() < 0.02, "{}: {mean}", info.id);
            let (gamma, slope) = stretch.at(0.4);
            assert!((stretch.slope_at(gamma) / slope - 1.0).abs() < 1e-4, "{}", info.id);
        }
    }
}
