//! Charts and pictures as data, and their way into files.
//!
//! Everything is written in one piece: a file that is there is complete, whatever happens while it is written.

mod file;
mod png;

pub use file::write_atomic;
pub use png::{MAX_PIXELS, encode_rgba, encode_tensor, to_rgb8, write_png, write_rgba};

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
    #[error("a picture of {width} x {height} RGBA pixels takes {expected} bytes, but {len} came")]
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
    #[error("cannot encode the picture as PNG")]
    Encode(#[from] image::ImageError),
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
