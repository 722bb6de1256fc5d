//! What the window remembers, and the way back: undo and redo over it.

use super::export;
use super::labs;
use super::theme::ThemeChoice;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that is kept from one start to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Dark or light.
    pub theme: ThemeChoice,
    /// The lab that is open.
    pub lab: String,
    /// Speed of the clock.
    pub speed: f64,
    /// Whether the clock turns at its ends.
    pub looping: bool,
    /// How much larger than usual everything is.
    pub zoom: f32,
    /// Whether things jump where they would glide, and nothing plays unasked.
    pub reduced_motion: bool,
    /// What the model computes on, by its label; none until that was chosen or found.
    pub device: Option<String>,
    /// Pictures opened lately, the newest first.
    pub recent: Vec<PathBuf>,
    /// How figures are saved.
    pub export: export::Settings,
    /// What undo goes back over.
    pub work: Work,
}

/// The settings of the work itself: what undo and redo go over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Work {
    /// The positive prompt.
    pub prompt: String,
    /// Whether the prompt is the picture's caption until the person writes another.
    pub prompt_follows_picture: bool,
    /// The negative prompt.
    pub negative: String,
    /// Seed of all noise; changed by the seed field and its dice alone.
    pub seed: u64,
    /// Seed of the Littleworld scene.
    pub scene_seed: u64,
    /// Of the first lab.
    pub forward_reverse: labs::forward_reverse::Settings,
    /// Of the second lab.
    pub schedules: labs::schedules::Settings,
    /// Of the third lab.
    pub guidance: labs::guidance::Settings,
    /// Of the fourth lab.
    pub samplers: labs::samplers::Settings,
    /// Of the fifth lab.
    pub targets: labs::targets::Settings,
}

/// Seeds shown and diced stay below this, so that they can be read out.
pub const SEEDS: u64 = 100_000;

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: ThemeChoice::Dark,
            lab: labs::LABS[0].id.to_owned(),
            speed: 1.0,
            looping: true,
            zoom: 1.0,
            reduced_motion: false,
            device: None,
            recent: Vec::new(),
            export: Default::default(),
            work: Work::default(),
        }
    }
}

impl Default for Work {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            prompt_follows_picture: true,
            negative: String::new(),
            seed: 3,
            scene_seed: 32,
            forward_reverse: Default::default(),
            schedules: Default::default(),
            guidance: Default::default(),
            samplers: Default::default(),
            targets: Default::default(),
        }
    }
}

impl Settings {
    /// Smallest and largest zoom.
    pub const ZOOM: (f32, f32) = (0.8, 1.6);

    /// Pictures that are remembered as opened lately.
    pub const MOST_RECENT: usize = 8;

    /// Puts a picture in front of those opened lately.
    pub fn opened(&mut self, path: &Path) {
        self.recent.retain(|other| other != path);
        self.recent.insert(0, path.to_owned());
        self.recent.truncate(Self::MOST_RECENT);
    }

    /// Larger or smaller by `by`, to a tenth.
    pub fn enlarge(&mut self, by: f32) {
        self.zoom = (((self.zoom + by) * 10.0).round() / 10.0).clamp(Self::ZOOM.0, Self::ZOOM.1);
    }

    /// Reads what was kept. What is out of range is brought back into it.
    ///
    /// # Errors
    /// What to tell the person when it cannot be read; the defaults are to be used then.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut settings: Self = serde_json::from_str(text)
            .map_err(|err| format!("The remembered settings could not be read ({err}). The defaults are in use."))?;
        settings.tidy();
        Ok(settings)
    }

    /// As text.
    pub fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn tidy(&mut self) {
        if !labs::LABS.iter().any(|lab| lab.id == self.lab) {
            self.lab = labs::LABS[0].id.to_owned();
        }
        if !super::clock::Clock::SPEEDS.contains(&self.speed) {
            self.speed = 1.0;
        }
        if !self.zoom.is_finite() {
            self.zoom = 1.0;
        }
        self.zoom = self.zoom.clamp(Self::ZOOM.0, Self::ZOOM.1);
        self.recent.truncate(Self::MOST_RECENT);
        self.export.tidy();
        let work = &mut self.work;
        for prompt in [&mut work.prompt, &mut work.negative] {
            if prompt.chars().count() > Work::LONGEST_PROMPT {
                *prompt = prompt.chars().take(Work::LONGEST_PROMPT).collect();
            }
        }
        work.forward_reverse.tidy();
        work.schedules.tidy();
        work.guidance.tidy();
        work.samplers.tidy();
        work.targets.tidy();
    }
}

impl Work {
    /// Characters that a prompt may have.
    pub const LONGEST_PROMPT: usize = 600;

    /// The settings that a file holds. What is out of range is brought back into it.
    ///
    /// # Errors
    /// What to tell the person when they cannot be read.
    pub fn read(value: serde_json::Value) -> Result<Self, String> {
        let work = serde_json::from_value(value)
            .map_err(|err| format!("The settings inside the file cannot be read ({err}). Nothing was changed."))?;
        let mut settings = Settings { work, ..Settings::default() };
        settings.tidy();
        Ok(settings.work)
    }
}

/// Another seed below [`SEEDS`]: a fixed walk (splitmix64, Steele, Lea and Flood 2014), so that the same dice fall the same way.
pub fn roll(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let next = (z ^ (z >> 31)) % SEEDS;
    if next == seed { (next + 1) % SEEDS } else { next }
}

/// Undo and redo. A change is kept once the hand is off the control.
#[derive(Debug, Clone)]
pub struct History {
    past: Vec<Work>,
    present: Work,
    future: Vec<Work>,
    changed_secs: Option<f64>,
}

impl History {
    const MOST: usize = 200;
    const REST_SECS: f64 = 0.5;

    /// A history that begins at `work`.
    pub fn new(work: Work) -> Self {
        Self { past: Vec::new(), present: work, future: Vec::new(), changed_secs: None }
    }

    /// Looks at the settings once a frame. `busy` is true while a control is held. Returns the seconds after which to look again.
    pub fn observe(&mut self, work: &Work, now_secs: f64, busy: bool) -> Option<f64> {
        if *work == self.present {
            self.changed_secs = None;
            return None;
        }
        let since = *self.changed_secs.get_or_insert(now_secs);
        if busy {
            self.changed_secs = Some(now_secs);
            return Some(Self::REST_SECS);
        }
        if now_secs - since < Self::REST_SECS {
            return Some(Self::REST_SECS - (now_secs - since));
        }
        self.keep(work);
        None
    }

    /// Takes over a change that is no act of the person's (a caption that became the prompt), so that undo does not stop at it.
    pub fn adopt(&mut self, before: &Work, after: &Work) {
        if self.present == *before {
            self.present = after.clone();
        }
    }

    fn keep(&mut self, work: &Work) {
        self.past.push(std::mem::replace(&mut self.present, work.clone()));
        if self.past.len() > Self::MOST {
            self.past.remove(0);
        }
        self.future.clear();
        self.changed_secs = None;
    }

    /// Whether there is something to take back.
    pub fn can_undo(&self, work: &Work) -> bool {
        !self.past.is_empty() || *work != self.present
    }

    /// Whether there is something to do again.
    pub fn can_redo(&self) -> bool {
        !self.future.is_empty()
    }

    /// Goes back one change.
    pub fn undo(&mut self, work: &mut Work) {
        if *work != self.present {
            self.keep(&work.clone());
        }
        if let Some(before) = self.past.pop() {
            self.future.push(std::mem::replace(&mut self.present, before.clone()));
            *work = before;
        }
    }

    /// Goes forward again.
    pub fn redo(&mut self, work: &mut Work) {
        if let Some(after) = self.future.pop() {
            self.past.push(std::mem::replace(&mut self.present, after.clone()));
            *work = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_opened_again_comes_to_the_front() {
        let mut settings = Settings::default();
        for name in ["a", "b", "a", "c"] {
            settings.opened(Path::new(name));
        }
        assert_eq!(settings.recent, ["c", "a", "b"].map(PathBuf::from));
        (0..20).for_each(|i| settings.opened(Path::new(&i.to_string())));
        assert_eq!(settings.recent.len(), Settings::MOST_RECENT);
        assert_eq!(Settings::read(&settings.write()).expect("own writing"), settings);
    }

    #[test]
    fn the_size_of_text_stays_in_its_range() {
        let mut settings = Settings::default();
        (0..20).for_each(|_| settings.enlarge(0.1));
        assert_eq!(settings.zoom, Settings::ZOOM.1);
        (0..20).for_each(|_| settings.enlarge(-0.1));
        assert_eq!(settings.zoom, Settings::ZOOM.0);
    }

    #[test]
    fn a_damaged_store_gives_a_message_not_a_panic() {
        for text in ["", "{", "{\"speed\": \"fast\"}", "\u{0}", "{\"work\": {\"seed\": -1}}"] {
            assert!(Settings::read(text).is_err(), "{text:?}");
        }
        let odd = Settings::read("{\"lab\": \"nowhere\", \"speed\": 3e300, \"unknown\": 1}").expect("readable");
        assert_eq!(odd, Settings::default());
        let kept = Settings { speed: 2.0, ..Settings::default() };
        assert_eq!(Settings::read(&kept.write()).expect("own writing"), kept);
    }

    #[test]
    fn undo_and_redo_walk_over_settled_changes() {
        let mut work = Work::default();
        let mut history = History::new(work.clone());
        for (i, seed) in [1, 2, 3].into_iter().enumerate() {
            work.seed = seed;
            let now = i as f64;
            assert!(history.observe(&work, now, true).is_some(), "held");
            assert!(history.observe(&work, now + 0.2, false).is_some(), "not at rest yet");
            assert!(history.observe(&work, now + 0.9, false).is_none());
        }
        history.undo(&mut work);
        assert_eq!(work.seed, 2);
        history.undo(&mut work);
        history.undo(&mut work);
        assert_eq!(work, Work::default());
        history.undo(&mut work);
        history.redo(&mut work);
        assert_eq!(work.seed, 1);
        assert!(history.can_redo());
        work.seed = 9;
        history.undo(&mut work);
        assert_eq!(work.seed, 1);
    }

    #[test]
    fn dice_give_another_seed_within_reach() {
        let mut seed = 7;
        for _ in 0..1000 {
            let next = roll(seed);
            assert!(next != seed && next < SEEDS);
            seed = next;
        }
    }
}
