//! From figures to files: the formats, one line each, and what writes them.

use super::digest::Evidence;
use super::raster::{Pixels, render};
use super::sheet::Figure;
use super::state::State;
use super::{FigureError, apng, csv, gif, png, svg, write_atomic};
use std::path::{Path, PathBuf};

/// Told how far the work is: done and to do. Answers whether it is to go on.
pub type Tick<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// What a format holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// One figure.
    Figure,
    /// The curves of a figure.
    Curves,
    /// A run, frame by frame.
    Film,
}

/// A format of files.
pub struct Format {
    /// Its name in settings and on the command line.
    pub id: &'static str,
    /// Its name on screen.
    pub label: &'static str,
    /// What it is good for.
    pub hint: &'static str,
    /// The ending of its files; none where it fills a folder.
    pub extension: Option<&'static str>,
    /// What it holds.
    pub holds: Holds,
    /// Whether it is made of pixels, so that a scale matters.
    pub pixels: bool,
    /// Whether what lies behind may be transparent.
    pub alpha: bool,
    /// Whether the state of the lab travels inside.
    pub carries_state: bool,
    write: fn(&Export, Option<&str>, &mut Tick<'_>) -> Result<(), FigureError>,
}

/// The formats, in the order of menus.
pub const FORMATS: &[Format] = &[
    Format {
        id: "png",
        label: "PNG",
        hint: "Pixels. The lab's state travels inside: drop the file on the window and the lab is back.",
        extension: Some("png"),
        holds: Holds::Figure,
        pixels: true,
        alpha: true,
        carries_state: true,
        write: write_png,
    },
    Format {
        id: "svg",
        label: "SVG",
        hint: "Lines and letters that stay sharp at any size; pictures lie inside.",
        extension: Some("svg"),
        holds: Holds::Figure,
        pixels: false,
        alpha: true,
        carries_state: false,
        write: |export, _, _| write_atomic(&export.target, svg::svg(export.figure()?)?.as_bytes()),
    },
    Format {
        id: "csv",
        label: "CSV",
        hint: "The curves as a table of numbers.",
        extension: Some("csv"),
        holds: Holds::Curves,
        pixels: false,
        alpha: false,
        carries_state: false,
        write: write_csv,
    },
    Format {
        id: "apng",
        label: "APNG",
        hint: "Animated PNG: all colours, and the lab's state inside. Browsers and slides show it.",
        extension: Some("png"),
        holds: Holds::Film,
        pixels: true,
        alpha: true,
        carries_state: true,
        write: |export, state, tick| write_atomic(&export.target, &apng::apng(export, state, tick)?),
    },
    Format {
        id: "gif",
        label: "GIF",
        hint: "256 colours a frame. Everything shows it.",
        extension: Some("gif"),
        holds: Holds::Film,
        pixels: true,
        alpha: false,
        carries_state: false,
        write: |export, _, tick| write_atomic(&export.target, &gif::gif(export, tick)?),
    },
    Format {
        id: "frames",
        label: "PNG files",
        hint: "Every frame as a numbered PNG in a folder of your choice.",
        extension: None,
        holds: Holds::Film,
        pixels: true,
        alpha: true,
        carries_state: false,
        write: write_frames,
    },
];

impl Format {
    /// The format with this id.
    pub fn find(id: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.id == id)
    }

    /// Whether it can hold what these figures are: one, or the frames of a run.
    pub fn fits(&self, figures: &[Figure]) -> bool {
        match (self.holds, figures) {
            (Holds::Film, frames) => frames.len() > 1,
            (Holds::Curves, [figure]) => figure.charts().next().is_some(),
            (Holds::Figure, [_]) => true,
            _ => false,
        }
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

/// A file to be written.
#[derive(Debug, Clone)]
pub struct Export {
    /// The file, or for numbered files the folder.
    pub target: PathBuf,
    /// Its format.
    pub format: &'static Format,
    /// One figure, or the frames of a run, all of one size.
    pub figures: Vec<Figure>,
    /// Pixels per design unit: 1, 2 or 4.
    pub scale: f32,
    /// Pace of an animation.
    pub frames_per_second: f32,
    /// What travels inside, where the format carries it.
    pub state: Option<State>,
    /// The whole lab as it is shown, whose digest travels with the state; none while it is still being computed.
    pub shown: Option<Figure>,
}

impl Export {
    /// How many times as long as the others the last frame of an animation stays.
    pub const LAST_HOLD: u32 = 8;

    /// The frames of an animation.
    pub fn frames(&self) -> &[Figure] {
        &self.figures
    }

    fn figure(&self) -> Result<&Figure, FigureError> {
        self.figures.first().ok_or(FigureError::Nothing { format: self.format.label })
    }

    /// Writes the file, in one piece; of numbered files each. `tick` is told how far it is, and may stop it.
    ///
    /// # Errors
    /// [`FigureError`]; [`FigureError::Stopped`] when `tick` says so, and nothing is written then.
    pub fn perform(&self, tick: &mut Tick<'_>) -> Result<(), FigureError> {
        if !self.format.fits(&self.figures) {
            return Err(FigureError::Nothing { format: self.format.label });
        }
        let state = self.state.as_ref().filter(|_| self.format.carries_state).map(|state| {
            let shown = self.shown.as_ref().map(Evidence::of);
            State { shown, ..state.clone() }.text()
        });
        (self.format.write)(self, state.as_deref(), tick)
    }
}

fn write_png(export: &Export, state: Option<&str>, tick: &mut Tick<'_>) -> Result<(), FigureError> {
    const PARTS: usize = 3;
    go_on(tick, 0, PARTS)?;
    let figure = export.figure()?;
    let pixels = render(&svg::svg(figure)?, export.scale)?;
    go_on(tick, 1, PARTS)?;
    let bytes = png::encode(&pixels, figure.inks.ground.is_some(), export.scale, state)?;
    go_on(tick, 2, PARTS)?;
    write_atomic(&export.target, &bytes)
}

fn write_csv(export: &Export, _: Option<&str>, _: &mut Tick<'_>) -> Result<(), FigureError> {
    let table = csv::csv(export.figure()?).ok_or(FigureError::Nothing { format: "CSV" })?;
    write_atomic(&export.target, table.as_bytes())
}

fn write_frames(export: &Export, _: Option<&str>, tick: &mut Tick<'_>) -> Result<(), FigureError> {
    let opaque = export.figure()?.inks.ground.is_some();
    let name = export.figure()?.file_name();
    film(export, tick, |index, pixels| {
        write_atomic(&frame_path(&export.target, &name, index), &png::encode(&pixels, opaque, export.scale, None)?)
    })
}

/// Where the numbered file of a frame lies in its folder.
fn frame_path(folder: &Path, name: &str, index: usize) -> PathBuf {
    folder.join(format!("{name}-{:03}.png", index + 1))
}

fn go_on(tick: &mut Tick<'_>, done: usize, total: usize) -> Result<(), FigureError> {
    if tick(done, total) { Ok(()) } else { Err(FigureError::Stopped) }
}

/// Draws the frames one after the other; each goes to `seen` with its number. All have the size of the first.
///
/// # Errors
/// What `seen` says, [`FigureError::Svg`], [`FigureError::TooLarge`], [`FigureError::Frames`] and [`FigureError::Stopped`].
pub fn film(
    export: &Export,
    tick: &mut Tick<'_>,
    mut seen: impl FnMut(usize, Pixels) -> Result<(), FigureError>,
) -> Result<(), FigureError> {
    let mut size = None;
    for (index, figure) in export.figures.iter().enumerate() {
        go_on(tick, index, export.figures.len())?;
        let pixels = render(&svg::svg(figure)?, export.scale)?;
        let (width, height) = *size.get_or_insert((pixels.width, pixels.height));
        if (pixels.width, pixels.height) != (width, height) {
            return Err(FigureError::Frames { index, width, height });
        }
        seen(index, pixels)?;
    }
    go_on(tick, export.figures.len(), export.figures.len())
}
