//! A run as an animated GIF (CompuServe 1989): 256 colours a frame, times in hundredths of a second.

use super::FigureError;
use super::export::{Export, Tick, film};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame, RgbaImage};

/// Speed of the choice of colours, 1 (best) to 30.
const SPEED: i32 = 8;

/// The bytes of the file. Each frame stays for `1 / frames_per_second`, rounded to 1/100 s; the last stays eight times as long.
///
/// # Errors
/// As [`film`], [`FigureError::Encode`].
pub fn gif(export: &Export, tick: &mut Tick<'_>) -> Result<Vec<u8>, FigureError> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, SPEED);
    encoder.set_repeat(Repeat::Infinite)?;
    let count = export.frames().len();
    film(export, tick, |index, pixels| {
        let hold = if index + 1 == count { Export::LAST_HOLD } else { 1 };
        let hundredths = (100.0 / export.frames_per_second).round().max(2.0) as u32 * hold;
        let picture = RgbaImage::from_raw(pixels.width, pixels.height, pixels.rgba)
            .ok_or(FigureError::TooLarge { width: f64::from(pixels.width), height: f64::from(pixels.height) })?;
        let delay = Delay::from_numer_denom_ms(hundredths * 10, 1);
        Ok(encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay))?)
    })?;
    drop(encoder);
    Ok(bytes)
}
