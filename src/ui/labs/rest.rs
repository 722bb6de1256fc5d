//! What is looked at once a frame and acted on when it has come to rest.

use super::LabContext;

/// Seconds for which the clock rests before what it shows is made exact.
const CLOCK_SECS: f64 = 0.12;

/// Whether the clock has stood still for a moment; `resting` is its position, and whether it plays.
pub fn clock_rests(resting: &mut Resting<(f64, bool)>, cx: &LabContext<'_>) -> bool {
    let rested = resting.observe(&(cx.clock.position(), cx.clock.playing), cx.now_secs).is_some_and(|secs| secs > CLOCK_SECS);
    rested && !cx.clock.playing
}

/// Something that changes while a hand is on it, and since when it has been the same.
#[derive(Debug)]
pub struct Resting<T> {
    value: Option<T>,
    since_secs: f64,
}

impl<T> Default for Resting<T> {
    fn default() -> Self {
        Self { value: None, since_secs: 0.0 }
    }
}

impl<T: PartialEq + Clone> Resting<T> {
    /// Takes in what it is in this frame. Returns for how many seconds it has been that; none in the frame in which it changed.
    pub fn observe(&mut self, value: &T, now_secs: f64) -> Option<f64> {
        if self.value.as_ref() != Some(value) {
            (self.value, self.since_secs) = (Some(value.clone()), now_secs);
            return None;
        }
        Some(now_secs - self.since_secs)
    }

    /// What it was when it was last taken in.
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_is_counted_from_the_last_change() {
        let mut resting = Resting::default();
        assert_eq!(resting.value(), None);
        assert_eq!(
            [(1, 5.0), (1, 5.5), (2, 6.0), (2, 6.25), (1, 7.0)].map(|(v, now)| resting.observe(&v, now)),
            [None, Some(0.5), None, Some(0.25), None]
        );
        assert_eq!(resting.value(), Some(&1));
    }
}
