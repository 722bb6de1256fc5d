//! Charts and pictures as data, and their way into files.
//!
//! [`Figure`] says what is seen, `layout` where it lies, `svg` writes that as text, `raster` draws the text, and each format of
//! [`FORMATS`] is a file here. A PNG carries the [`State`] of the lab that it shows.
//!
//! Everything is written in one piece: a file that is there is complete, whatever happens while it is written.

mod apng;
mod chart;
mod csv;
mod digest;
mod export;
mod file;
mod gif;
mod layout;
mod measure;
mod picture;
mod png;
mod raster;
mod sheet;
mod state;
mod svg;
#[cfg(test)]
mod tests;

pub use chart::{Axis, Chart, Series};
pub use csv::csv;
pub use digest::{Evidence, Part, Verdict, digest_of, digest_of_bytes};
pub use export::{Export, FORMATS, Format, Holds, Tick};
pub use file::write_atomic;
pub use picture::{Paint, Picture, Rgb8};
pub use png::{MAX_PIXELS, encode_rgb, encode_rgba, encode_tensor, to_rgb8, write_png, write_rgba};
pub use raster::{Pixels, parse as parse_svg, render as render_svg};
pub use sheet::{Body, Figure, Formula, Inks, Line, Panel, Rgb, Rich, Row, Run, Scale, Script, text_of};
pub use state::{Carried, ClockMark, KEYWORD, LookMark, ModelMark, State, StateError, VERSION};
pub use svg::svg;

use std::path::PathBuf;

/// What can go wrong between a picture and its file.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// The file cannot be written: no such folder, no right to, no room left.
    #[error("cannot write {}{}", .path.display(), hint(.source))]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The name is not one of a file.
    #[error("cannot write {}: {problem}", .path.display())]
    Target {
        /// The name given.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The tensor is no picture.
    #[error("a picture has the shape [3, H, W] with H and W above 0, but {shape:?} came")]
    NotAPicture {
        /// The shape that came.
        shape: Vec<usize>,
    },
    /// The pixels do not fill the picture.
    #[error("a picture of {width} x {height} pixels takes {expected} bytes, but {len} came")]
    Pixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes that it takes.
        expected: u64,
        /// Bytes that came.
        len: usize,
    },
    /// The encoder refused.
    #[error("cannot encode the picture")]
    Encode(#[from] image::ImageError),
    /// The encoder of figures refused.
    #[error("cannot encode the figure as PNG")]
    EncodePng(#[from] ::png::EncodingError),
    /// Our own SVG cannot be read.
    #[error("the figure cannot be drawn: {0}")]
    Svg(String),
    /// More pixels than one file may hold.
    #[error("the figure would have {width} x {height} pixels, and one file holds {MAX_PIXELS}; choose a smaller scale")]
    TooLarge {
        /// Width in pixels.
        width: f64,
        /// Height in pixels.
        height: f64,
    },
    /// The frames of an animation are not of one size.
    #[error("frame {} of the animation is not of the size of the first, {width} x {height} pixels", .index + 1)]
    Frames {
        /// Its index, from 0.
        index: usize,
        /// Width of the first in pixels.
        width: u32,
        /// Height of the first in pixels.
        height: u32,
    },
    /// There is nothing that the format could hold.
    #[error("there is nothing here that {format} can hold; choose another format, or another part of the lab")]
    Nothing {
        /// The format.
        format: &'static str,
    },
    /// Not a failure: whoever asked does not want it any more.
    #[error("stopped")]
    Stopped,
}

/// What a person can do about a write that failed, to stand behind the path.
fn hint(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => " (no room is left there; free some or choose another folder)",
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => " (that place is read-only for you; choose another folder)",
        ErrorKind::NotFound => " (its folder does not exist)",
        ErrorKind::NotADirectory => " (a part of its path is a file, not a folder)",
        _ => "",
    }
}
