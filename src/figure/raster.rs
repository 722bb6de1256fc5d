//! From SVG to pixels, with the program's own type, so that a figure looks the same on every machine.

use super::{FigureError, MAX_PIXELS};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};
use std::sync::{Arc, LazyLock};

/// Pixels: RGBA, 8 bits a channel, sRGB, alpha not multiplied in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 4` bytes, row by row.
    pub rgba: Vec<u8>,
}

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    for bytes in super::measure::FACES {
        fonts.load_font_data(bytes.to_vec());
    }
    fonts.set_sans_serif_family("Inter Tabular");
    Arc::new(fonts)
});

/// Reads an SVG text of our own.
///
/// # Errors
/// [`FigureError::Svg`].
pub fn parse(svg: &str) -> Result<usvg::Tree, FigureError> {
    let options = usvg::Options { font_family: "Inter Tabular".into(), fontdb: Arc::clone(&FONTS), ..usvg::Options::default() };
    usvg::Tree::from_str(svg, &options).map_err(|error| FigureError::Svg(error.to_string()))
}

/// Draws an SVG text at `scale` pixels per design unit.
///
/// # Errors
/// [`FigureError::Svg`], and [`FigureError::TooLarge`] for more than [`MAX_PIXELS`].
pub fn render(svg: &str, scale: f32) -> Result<Pixels, FigureError> {
    let tree = parse(svg)?;
    let size = tree.size();
    let (width, height) = ((size.width() * scale).round(), (size.height() * scale).round());
    let too_large = || FigureError::TooLarge { width: f64::from(width), height: f64::from(height) };
    if !(1.0..=65_535.0).contains(&width) || !(1.0..=65_535.0).contains(&height) {
        return Err(too_large());
    }
    let (width, height) = (width as u32, height as u32);
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(too_large());
    }
    let mut pixmap = Pixmap::new(width, height).ok_or_else(too_large)?;
    let fit = Transform::from_scale(width as f32 / size.width(), height as f32 / size.height());
    resvg::render(&tree, fit, &mut pixmap.as_mut());
    let mut rgba = pixmap.take();
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        if alpha != 0 && alpha != 255 {
            for channel in &mut pixel[..3] {
                *channel = ((u32::from(*channel) * 255 + alpha / 2) / alpha).min(255) as u8;
            }
        }
    }
    Ok(Pixels { width, height, rgba })
}
