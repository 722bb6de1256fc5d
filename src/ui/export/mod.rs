//! Saving what a lab shows: the sheet that asks what and how, and the way back from a file.
//!
//! A lab describes itself as a [`Figure`](crate::figure::Figure); nothing is drawn or written on the ui thread.

mod files;
mod formula;
pub mod ink;
mod restore;
mod sheet;

pub use restore::Check;
pub use sheet::{Pressed, Sheet};

use self::ink::Ink;
use super::theme::{self, Palette, ThemeChoice};
use crate::figure::{FORMATS, Format};
use serde::{Deserialize, Serialize};

/// What lies behind a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ground {
    /// White, for paper.
    #[default]
    White,
    /// Nothing: what the figure is laid on shows through.
    Transparent,
    /// As the window looks now.
    Screen,
}

/// How figures are saved; remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Id of the format for what stands still.
    pub format: String,
    /// Id of the format for what moves.
    pub film_format: String,
    /// Pixels per design unit.
    pub scale: u8,
    /// What lies behind.
    pub ground: Ground,
    /// Whether lines below say what it is and how it was made.
    pub caption: bool,
    /// Frames a second of what moves.
    pub pace: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: "png".into(), film_format: "apng".into(), scale: 2, ground: Ground::White, caption: true, pace: 5 }
    }
}

impl Settings {
    /// Scales to choose from.
    pub const SCALES: [u8; 3] = [1, 2, 4];
    /// Paces to choose from, in frames a second.
    pub const PACES: [u8; 4] = [2, 5, 10, 20];

    /// Brings what was read back into range.
    pub fn tidy(&mut self) {
        let own = Self::default();
        for (id, default, moves) in [(&mut self.format, own.format, false), (&mut self.film_format, own.film_format, true)] {
            let fits = FORMATS.iter().any(|format| format.id == id && (format.holds == crate::figure::Holds::Film) == moves);
            if !fits {
                *id = default;
            }
        }
        if !Self::SCALES.contains(&self.scale) {
            self.scale = own.scale;
        }
        if !Self::PACES.contains(&self.pace) {
            self.pace = own.pace;
        }
    }

    /// The colours that follow, in a window of this theme.
    pub fn ink(&self, choice: ThemeChoice) -> Ink {
        match self.ground {
            Ground::White => Ink::new(ThemeChoice::Light, Some(theme::PAPER), self.caption),
            Ground::Transparent => Ink::new(ThemeChoice::Light, None, self.caption),
            Ground::Screen => Ink::new(choice, Some(Palette::of(choice).ground), self.caption),
        }
    }
}

/// A part of the lab that can be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// All that the lab shows.
    #[default]
    Whole,
    /// One picture or plot of it, by its place.
    Alone(usize),
    /// The run, frame by frame.
    Film,
    /// What the screen shows in the middle of the window, pixel by pixel.
    LabShot,
    /// The same of the whole window.
    WindowShot,
}

/// What a command asks of the window: which part, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Which part.
    pub part: Part,
    /// Its format.
    pub format: &'static str,
    /// How it is saved.
    pub settings: Settings,
}

impl Ask {
    fn format(&self) -> &'static Format {
        Format::find(self.format).unwrap_or(&FORMATS[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_settings_are_brought_back() {
        let mut s = Settings { format: "gif".into(), film_format: "doc".into(), scale: 3, pace: 0, ..Settings::default() };
        s.tidy();
        assert_eq!(s, Settings::default());
    }
}
