//! From a file, bytes, pixels or a seed to a square picture of the model's size.
//!
//! A file is judged by its header before a single pixel is decoded, so that a huge one costs nothing.

use super::protocol::PictureSource;
use crate::host::HostTensor;
use crate::world::{self, Scene};
use image::imageops::{FilterType, resize};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

/// Largest width or height that is read, in pixels.
pub const MAX_PICTURE_SIDE: u32 = 16_384;
/// Most pixels that are read.
pub const MAX_PICTURE_PIXELS: u64 = 100_000_000;
/// Largest file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Most memory that a decoder may take, in bytes.
const MAX_DECODER_BYTES: u64 = 2 << 30;
/// What is read, for messages.
const FORMATS: &str = "PNG, JPEG, WebP, GIF or BMP";

/// A picture that cannot be opened. Each message names the picture, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be read.
    #[error("cannot read {name}{}", hint(.source))]
    Read {
        /// The file.
        name: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A folder.
    #[error("{name} is a folder; choose a picture in it")]
    Folder {
        /// The folder.
        name: String,
    },
    /// A device, a pipe or the like, which might never end.
    #[error("{name} is not a file; choose a picture file")]
    NotAFile {
        /// Its path.
        name: String,
    },
    /// Nothing in it.
    #[error("{name} is empty; choose another picture")]
    Empty {
        /// The file.
        name: String,
    },
    /// The bytes are of no format that is known.
    #[error("{name} is not a picture that can be read; choose a {FORMATS} file")]
    Unknown {
        /// The file.
        name: String,
    },
    /// Too large.
    #[error(
        "{name} is too large: {width} x {height} pixels, where {MAX_PICTURE_SIDE} a side and {} million in all are read; make it smaller first",
        MAX_PICTURE_PIXELS / 1_000_000
    )]
    TooLarge {
        /// The file.
        name: String,
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
    },
    /// Too many bytes.
    #[error("{name} is too large: {bytes} bytes, where {MAX_FILE_BYTES} are read; make it smaller first")]
    TooManyBytes {
        /// The file.
        name: String,
        /// Its length.
        bytes: u64,
    },
    /// Too much memory.
    #[error("{name} is too large: opening it would take more than {} GiB of memory; make it smaller first", MAX_DECODER_BYTES >> 30)]
    TooMuchMemory {
        /// The file.
        name: String,
    },
    /// A width or height of zero, or pixels that do not fill it.
    #[error("{name} is damaged: {width} x {height} RGBA pixels take {expected} bytes, but {len} came")]
    Pixels {
        /// What it is called.
        name: String,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes that it takes.
        expected: u64,
        /// Bytes that came.
        len: usize,
    },
    /// The decoder gave up.
    #[error("{name} is damaged or of a kind of {FORMATS} that is not read; open it in another program and save it as PNG")]
    Damaged {
        /// The file.
        name: String,
        /// What the decoder says.
        source: ImageError,
    },
    /// The model asks for a size that nothing can be drawn at.
    #[error("the model's pictures are {side} pixels wide; 1 to {} can be drawn", world::MAX_SIDE)]
    Side {
        /// The size asked for.
        side: usize,
    },
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => " (there is no such file; was it moved?)",
        std::io::ErrorKind::PermissionDenied => " (you have no right to read it)",
        _ => "",
    }
}

/// A picture as it is before a model has seen it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What to call it.
    pub name: String,
    /// What is on it, where that is known.
    pub caption: String,
    /// `[3, side, side]` in 0..1.
    pub pixels: HostTensor,
}

/// Reads or draws a picture: turned as its EXIF orientation says, transparent parts on white, the middle square, resized with
/// Lanczos3 (three lobes, 8-bit sRGB values).
///
/// # Errors
/// [`PictureError`].
pub fn open(source: &PictureSource, side: usize) -> Result<Opened, PictureError> {
    if !(1..=world::MAX_SIDE).contains(&side) {
        return Err(PictureError::Side { side });
    }
    let (name, caption, pixels) = match source {
        PictureSource::Scene { seed } => {
            let scene = Scene::sample(*seed);
            (format!("Littleworld {seed}"), scene.full_caption(), world::render_rgb(&scene, side))
        }
        PictureSource::File(path) => (short_name(path), String::new(), square(read_file(path)?, side)),
        PictureSource::Bytes { name, bytes } => {
            if bytes.is_empty() {
                return Err(PictureError::Empty { name: name.clone() });
            }
            (name.clone(), String::new(), square(decode(Cursor::new(&bytes[..]), name)?, side))
        }
        PictureSource::Rgba { width, height, bytes } => {
            let name = "The pasted picture".to_owned();
            (name.clone(), String::new(), square(from_rgba(&name, *width, *height, bytes)?, side))
        }
    };
    Ok(Opened { name, caption, pixels })
}

fn short_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn read_file(path: &Path) -> Result<DynamicImage, PictureError> {
    let name = path.display().to_string();
    let failed = |source| PictureError::Read { name: path.display().to_string(), source };
    let about = fs::metadata(path).map_err(failed)?;
    if about.is_dir() {
        return Err(PictureError::Folder { name });
    }
    // Opening a pipe would wait for its other end.
    if !about.is_file() {
        return Err(PictureError::NotAFile { name });
    }
    match about.len() {
        0 => return Err(PictureError::Empty { name }),
        bytes if bytes > MAX_FILE_BYTES => return Err(PictureError::TooManyBytes { name, bytes }),
        _ => {}
    }
    decode(BufReader::new(File::open(path).map_err(failed)?), &name)
}

/// Decodes a picture after its header has been judged.
fn decode(bytes: impl BufRead + Seek, name: &str) -> Result<DynamicImage, PictureError> {
    let name = || name.to_owned();
    let damaged = |source| match source {
        ImageError::Limits(_) => PictureError::TooMuchMemory { name: name() },
        source => PictureError::Damaged { name: name(), source },
    };
    let mut reader = ImageReader::new(bytes).with_guessed_format().map_err(|source| PictureError::Read { name: name(), source })?;
    // A reader that guessed no format, or one that is not built in, knows nothing of the content.
    if reader.format().is_none_or(|format| !format.reading_enabled()) {
        return Err(PictureError::Unknown { name: name() });
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    check_size(&name(), u64::from(width), u64::from(height))?;
    // A picture whose orientation cannot be read is shown as it is stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn check_size(name: &str, width: u64, height: u64) -> Result<(), PictureError> {
    let side = u64::from(MAX_PICTURE_SIDE);
    if width == 0 || height == 0 {
        return Err(PictureError::Empty { name: name.to_owned() });
    }
    if width > side || height > side || width * height > MAX_PICTURE_PIXELS {
        return Err(PictureError::TooLarge { name: name.to_owned(), width, height });
    }
    Ok(())
}

fn from_rgba(name: &str, width: usize, height: usize, bytes: &[u8]) -> Result<DynamicImage, PictureError> {
    check_size(name, width as u64, height as u64)?;
    let expected = width as u64 * height as u64 * 4;
    let whole = if bytes.len() as u64 == expected { image::RgbaImage::from_raw(width as u32, height as u32, bytes.to_vec()) } else { None };
    whole.map(DynamicImage::ImageRgba8).ok_or(PictureError::Pixels { name: name.to_owned(), width, height, expected, len: bytes.len() })
}

/// The middle square on white at `side` pixels, as `[3, side, side]` in 0..1.
fn square(picture: DynamicImage, side: usize) -> HostTensor {
    let (width, height) = (picture.width(), picture.height());
    let short = width.min(height);
    let middle = picture.crop_imm((width - short) / 2, (height - short) / 2, short, short);
    let rgb = on_white(middle);
    let rgb = if short as usize == side { rgb } else { resize(&rgb, side as u32, side as u32, FilterType::Lanczos3) };
    let (bytes, plane) = (rgb.into_raw(), side * side);
    HostTensor::from_fn([3, side, side], |i| f32::from(bytes[i % plane * 3 + i / plane]) / 255.0)
}

/// Blends on white, on the stored (sRGB) values, as browsers do.
fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let rgba = picture.into_rgba8();
    let (width, height) = rgba.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(u32::from);
        image::Rgb([r, g, b].map(|v| ((v * a + 255 * (255 - a) + 127) / 255) as u8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn rgba(width: usize, height: usize, pixel: impl Fn(usize, usize) -> [u8; 4]) -> PictureSource {
        let bytes: Vec<u8> = (0..width * height).flat_map(|i| pixel(i % width, i / width)).collect();
        PictureSource::Rgba { width, height, bytes: Arc::from(bytes) }
    }

    #[test]
    fn the_middle_square_is_taken() {
        let wide = rgba(6, 2, |x, _| if (2..4).contains(&x) { [255, 0, 0, 255] } else { [0, 0, 255, 255] });
        let opened = open(&wide, 2).unwrap();
        assert_eq!(opened.pixels.data(), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn transparency_lies_on_white() {
        let half = open(&rgba(2, 2, |_, _| [0, 0, 0, 128]), 2).unwrap();
        assert!(half.pixels.data().iter().all(|v| (v - 127.0 / 255.0).abs() < 1e-6), "{:?}", half.pixels.data());
        let clear = open(&rgba(2, 2, |_, _| [9, 9, 9, 0]), 2).unwrap();
        assert!(clear.pixels.data().iter().all(|&v| v == 1.0));
    }

    #[test]
    fn orientation_is_respected() {
        // A JPEG stored 16 wide and 8 high, left half black, whose EXIF tag says to turn it by 90 degrees clockwise.
        let mut jpeg = Vec::new();
        let stored = RgbImage::from_fn(16, 8, |x, _| image::Rgb(if x < 8 { [0; 3] } else { [255; 3] }));
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 100).encode_image(&stored).unwrap();
        let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        jpeg.splice(2..2, exif.iter().copied());
        let turned = open(&PictureSource::Bytes { name: "turned.jpg".into(), bytes: Arc::from(jpeg) }, 8).unwrap();
        // Turned, it is 8 wide and 16 high, top half black; its middle square is half black above half white.
        assert!(turned.pixels.data()[..16].iter().all(|&v| v < 0.1), "{:?}", turned.pixels.data());
        assert!(turned.pixels.data()[48..64].iter().all(|&v| v > 0.9));
    }

    #[test]
    fn a_scene_is_drawn_at_the_size_asked_for() {
        let opened = open(&PictureSource::Scene { seed: 5 }, 32).unwrap();
        assert_eq!(opened.pixels.shape(), [3, 32, 32]);
        assert!(!opened.caption.is_empty());
        assert!(open(&PictureSource::Scene { seed: 5 }, 0).is_err());
    }
}
