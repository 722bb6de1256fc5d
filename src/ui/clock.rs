//! The one clock: a timestep that every lab reads, and the rules by which it moves.

/// Which way the clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Towards noise: the timestep grows.
    #[default]
    Forward,
    /// Towards the picture: the timestep falls.
    Reverse,
}

impl Direction {
    /// Both directions.
    pub const ALL: [Self; 2] = [Self::Forward, Self::Reverse];

    /// Name on screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Forward => "Noising",
            Self::Reverse => "Denoising",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }
}

/// Where the step buttons stop.
#[derive(Debug, Clone, PartialEq)]
pub enum Stops {
    /// At every so many timesteps.
    Every(usize),
    /// At these timesteps, in any order.
    At(Vec<f64>),
}

/// What a lab lets the clock do in this frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// Whether there is something to play yet.
    pub ready: bool,
    /// The reverse leg waits here until more of the run is computed.
    pub floor: f64,
    /// Where the step buttons stop.
    pub stops: Stops,
    /// Timesteps drawn under the track, and whether each is already kept.
    pub marks: Vec<(f64, bool)>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { ready: true, floor: 0.0, stops: Stops::Every(20), marks: Vec::new() }
    }
}

/// The clock. Its timestep is a real number while it plays; labs read the nearest whole one.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    timestep: f64,
    last: f64,
    /// Whether it runs by itself.
    pub playing: bool,
    /// Which way it runs.
    pub direction: Direction,
    hold_secs: f64,
}

impl Clock {
    /// Seconds from one end to the other at speed 1.
    pub const LEG_SECS: f64 = 7.0;
    /// Seconds that it rests at either end before it turns.
    pub const HOLD_SECS: f64 = 0.9;
    /// Speeds to choose from.
    pub const SPEEDS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

    /// A clock at timestep 0 of `count` timesteps.
    pub fn new(count: usize) -> Self {
        Self { timestep: 0.0, last: count.max(2) as f64 - 1.0, playing: true, direction: Direction::Forward, hold_secs: 0.0 }
    }

    /// The whole timestep it stands at.
    pub fn timestep(&self) -> usize {
        self.timestep.round() as usize
    }

    /// The exact position.
    pub fn position(&self) -> f64 {
        self.timestep
    }

    /// The last timestep.
    pub fn last(&self) -> f64 {
        self.last
    }

    /// Fits the clock to a model with `count` timesteps.
    pub fn set_count(&mut self, count: usize) {
        self.last = count.max(2) as f64 - 1.0;
        self.timestep = self.timestep.min(self.last);
    }

    /// Puts it at `timestep` (clamped); any rest at an end is over.
    pub fn set(&mut self, timestep: f64) {
        if timestep.is_finite() {
            self.timestep = timestep.clamp(0.0, self.last);
            self.hold_secs = 0.0;
        }
    }

    /// Turns it round.
    pub fn turn(&mut self, direction: Direction) {
        self.direction = direction;
        self.hold_secs = 0.0;
    }

    /// Plays or pauses. Playing from the far end of a leg begins that leg anew when it does not loop.
    pub fn toggle(&mut self, looping: bool) {
        self.playing = !self.playing;
        let end = if self.direction == Direction::Forward { self.last } else { 0.0 };
        if self.playing && !looping && (self.timestep - end).abs() < 0.5 {
            self.set(self.last - end);
        }
    }

    /// Moves on by `dt_secs` of wall time.
    pub fn advance(&mut self, dt_secs: f64, speed: f64, looping: bool, pace: &Pace) {
        if !self.playing || !pace.ready || dt_secs <= 0.0 {
            return;
        }
        let delta = dt_secs * speed * self.last / Self::LEG_SECS;
        let (target, end) = match self.direction {
            Direction::Forward => ((self.timestep + delta).min(self.last), self.last),
            Direction::Reverse => ((self.timestep - delta).max(pace.floor.min(self.timestep)).max(0.0), 0.0),
        };
        self.timestep = target;
        if (target - end).abs() > 1e-9 {
            return;
        }
        self.hold_secs += dt_secs;
        if self.hold_secs >= Self::HOLD_SECS {
            self.hold_secs = 0.0;
            if looping {
                self.direction = self.direction.other();
            } else {
                self.playing = false;
            }
        }
    }

    /// Steps to the neighbouring stop: towards noise or towards the picture. Pauses.
    pub fn step(&mut self, towards: Direction, stops: &Stops) {
        self.playing = false;
        let here = self.timestep;
        let target = match (stops, towards) {
            (Stops::Every(by), Direction::Forward) => ((here / *by as f64 + 1e-6).floor() + 1.0) * *by as f64,
            (Stops::Every(by), Direction::Reverse) => ((here / *by as f64 - 1e-6).ceil() - 1.0) * *by as f64,
            (Stops::At(stops), Direction::Forward) => stops.iter().copied().filter(|s| *s > here + 0.5).fold(self.last, f64::min),
            (Stops::At(stops), Direction::Reverse) => stops.iter().copied().filter(|s| *s < here - 0.5).fold(0.0, f64::max),
        };
        self.set(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_there_and_back() {
        let mut clock = Clock::new(1000);
        let pace = Pace::default();
        let mut turned = 0;
        let mut before = clock.direction;
        for _ in 0..(60 * 20) {
            clock.advance(1.0 / 60.0, 1.0, true, &pace);
            if clock.direction != before {
                turned += 1;
                before = clock.direction;
            }
            assert!((0.0..=999.0).contains(&clock.position()));
        }
        assert_eq!(turned, 2);
    }

    #[test]
    fn waits_for_what_is_not_computed() {
        let mut clock = Clock::new(1000);
        clock.turn(Direction::Reverse);
        clock.set(999.0);
        let pace = Pace { floor: 700.0, ..Pace::default() };
        (0..600).for_each(|_| clock.advance(1.0 / 60.0, 1.0, true, &pace));
        assert_eq!(clock.timestep(), 700);
        clock.set(300.0);
        clock.advance(0.1, 1.0, true, &pace);
        assert_eq!(clock.timestep(), 300, "scrubbing below the floor does not jump back");
    }

    #[test]
    fn stops_at_the_end_without_looping_and_starts_over() {
        let mut clock = Clock::new(1000);
        (0..2000).for_each(|_| clock.advance(1.0 / 60.0, 4.0, false, &Pace::default()));
        assert!(!clock.playing);
        assert_eq!(clock.timestep(), 999);
        clock.toggle(false);
        assert!(clock.playing);
        assert_eq!(clock.timestep(), 0);
    }

    #[test]
    fn steps_between_stops() {
        let mut clock = Clock::new(1000);
        let stops = Stops::At(vec![900.0, 500.0, 100.0]);
        clock.step(Direction::Forward, &stops);
        assert_eq!(clock.timestep(), 100);
        clock.step(Direction::Forward, &stops);
        clock.step(Direction::Forward, &stops);
        clock.step(Direction::Forward, &stops);
        assert_eq!(clock.timestep(), 999);
        clock.step(Direction::Reverse, &stops);
        assert_eq!(clock.timestep(), 900);
        clock.set(37.0);
        clock.step(Direction::Forward, &Stops::Every(20));
        assert_eq!(clock.timestep(), 40);
        clock.step(Direction::Reverse, &Stops::Every(20));
        assert_eq!(clock.timestep(), 20);
        clock.set(f64::NAN);
        assert_eq!(clock.timestep(), 20);
    }
}
