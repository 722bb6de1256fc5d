//! Pictures as PNG: 8 bits a channel, sRGB.

use super::raster::Pixels;
use super::state::KEYWORD;
use super::{FigureError, write_atomic};
use crate::host::HostTensor;
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use std::io::Write;
use std::path::Path;

/// The most pixels that one file may hold: what 8-bit RGBA fits into 1 GiB.
pub const MAX_PIXELS: u64 = 1 << 28;

/// Bytes of an RGB picture, row by row: `round(255 v)` of each value, clamped to 0..1. A value that is no number becomes 0.
///
/// # Shapes
/// `picture: [3, H, W]` in 0..1; the result holds `H * W * 3` bytes.
///
/// # Errors
/// [`FigureError::NotAPicture`] for any other shape.
pub fn to_rgb8(picture: &HostTensor) -> Result<Vec<u8>, FigureError> {
    let &[3, height, width] = picture.shape() else {
        return Err(FigureError::NotAPicture { shape: picture.shape().to_vec() });
    };
    let plane = height * width;
    if plane == 0 {
        return Err(FigureError::NotAPicture { shape: picture.shape().to_vec() });
    }
    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    let data = picture.data();
    let mut bytes = Vec::with_capacity(3 * plane);
    for i in 0..plane {
        bytes.extend([byte(data[i]), byte(data[plane + i]), byte(data[2 * plane + i])]);
    }
    Ok(bytes)
}

/// A picture as the bytes of a PNG file.
///
/// # Shapes
/// `picture: [3, H, W]` in 0..1.
///
/// # Errors
/// [`FigureError::NotAPicture`], [`FigureError::Encode`].
pub fn encode_tensor(picture: &HostTensor) -> Result<Vec<u8>, FigureError> {
    let rgb = to_rgb8(picture)?;
    let (height, width) = (picture.shape()[1] as u32, picture.shape()[2] as u32);
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(&rgb, width, height, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

/// RGB pixels as the bytes of a PNG file.
///
/// # Shapes
/// `rgb` holds `width * height * 3` bytes, row by row.
///
/// # Errors
/// [`FigureError::Pixels`] when it does not, [`FigureError::Encode`].
pub fn encode_rgb(width: u32, height: u32, rgb: &[u8]) -> Result<Vec<u8>, FigureError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS || pixels * 3 != rgb.len() as u64 {
        return Err(FigureError::Pixels { width, height, expected: pixels * 3, len: rgb.len() });
    }
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(rgb, width, height, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

/// The pixels of a figure as the bytes of a PNG file with its size on paper (96 design units an inch) and the state of its lab.
///
/// # Errors
/// [`FigureError::EncodePng`].
pub fn encode(pixels: &Pixels, opaque: bool, scale: f32, state: Option<&str>) -> Result<Vec<u8>, FigureError> {
    let mut bytes = Vec::new();
    let mut writer = header(&mut bytes, pixels.width, pixels.height, opaque, scale, state)?.write_header()?;
    if opaque {
        writer.write_image_data(&without_alpha(&pixels.rgba))?;
    } else {
        writer.write_image_data(&pixels.rgba)?;
    }
    writer.finish()?;
    Ok(bytes)
}

/// An encoder that has everything but the pixels.
pub(super) fn header<W: Write>(
    sink: W,
    width: u32,
    height: u32,
    opaque: bool,
    scale: f32,
    state: Option<&str>,
) -> Result<png::Encoder<'static, W>, FigureError> {
    let mut encoder = png::Encoder::new(sink, width, height);
    encoder.set_color(if opaque { png::ColorType::Rgb } else { png::ColorType::Rgba });
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::RelativeColorimetric);
    let per_metre = (f64::from(scale) * 96.0 / 0.0254).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: per_metre, yppu: per_metre, unit: png::Unit::Meter }));
    encoder.add_text_chunk("Software".to_owned(), concat!("Diffuscope ", env!("CARGO_PKG_VERSION")).to_owned())?;
    if let Some(state) = state {
        encoder.add_itxt_chunk(KEYWORD.to_owned(), state.to_owned())?;
    }
    Ok(encoder)
}

/// RGBA without its A.
pub(super) fn without_alpha(rgba: &[u8]) -> Vec<u8> {
    rgba.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

/// RGBA pixels as the bytes of a PNG file.
///
/// # Shapes
/// `rgba` holds `width * height * 4` bytes, row by row, alpha not multiplied in.
///
/// # Errors
/// [`FigureError::Pixels`] when it does not, [`FigureError::Encode`].
pub fn encode_rgba(width: u32, height: u32, rgba: &[u8]) -> Result<Vec<u8>, FigureError> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS || pixels * 4 != rgba.len() as u64 {
        return Err(FigureError::Pixels { width, height, expected: pixels * 4, len: rgba.len() });
    }
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes).write_image(rgba, width, height, ExtendedColorType::Rgba8)?;
    Ok(bytes)
}

/// Writes a picture `[3, H, W]` in 0..1 as a PNG file, in one piece.
///
/// # Errors
/// As [`encode_tensor`] and [`write_atomic`].
pub fn write_png(path: &Path, picture: &HostTensor) -> Result<(), FigureError> {
    write_atomic(path, &encode_tensor(picture)?)
}

/// Writes RGBA pixels as a PNG file, in one piece.
///
/// # Errors
/// As [`encode_rgba`] and [`write_atomic`].
pub fn write_rgba(path: &Path, width: u32, height: u32, rgba: &[u8]) -> Result<(), FigureError> {
    write_atomic(path, &encode_rgba(width, height, rgba)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_and_clamp_and_channels_interleave() {
        let picture = HostTensor::new([3, 1, 2], vec![0.0, 1.0, 0.5, 2.0, -1.0, f32::NAN]).unwrap();
        assert_eq!(to_rgb8(&picture).unwrap(), [0, 128, 0, 255, 255, 0]);
    }

    #[test]
    fn a_png_reads_back_as_it_was() {
        let picture = HostTensor::from_fn([3, 5, 7], |i| (i * 37 % 256) as f32 / 255.0);
        let back = image::load_from_memory(&encode_tensor(&picture).unwrap()).unwrap().to_rgb8();
        assert_eq!((back.width(), back.height()), (7, 5));
        assert_eq!(back.into_raw(), to_rgb8(&picture).unwrap());
    }

    #[test]
    fn what_is_no_picture_is_refused_with_its_shape() {
        let message = encode_tensor(&HostTensor::full([1, 4, 4], 0.0)).unwrap_err().to_string();
        assert!(message.contains("[1, 4, 4]"), "{message}");
        assert!(encode_tensor(&HostTensor::full([3, 0, 4], 0.0)).is_err());
        let message = encode_rgba(2, 2, &[0; 15]).unwrap_err().to_string();
        assert!(message.contains("16 bytes, but 15 came"), "{message}");
    }
}
