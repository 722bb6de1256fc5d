//! A run as an animated PNG (PNG 3rd edition, W3C 2025, section 11.3.6): all colours, and transparency. It carries the state.

use super::FigureError;
use super::export::{Export, Tick, film};
use super::png::{header, without_alpha};

/// The bytes of the file. Each frame stays for `1 / frames_per_second`; the last stays eight times as long.
///
/// # Errors
/// As [`film`], [`FigureError::EncodePng`].
pub fn apng(export: &Export, state: Option<&str>, tick: &mut Tick<'_>) -> Result<Vec<u8>, FigureError> {
    let frames = export.frames();
    let opaque = frames.first().is_some_and(|frame| frame.inks.ground.is_some());
    let mut bytes = Vec::new();
    let mut sink = Some(&mut bytes);
    let mut writer = None;
    let count = frames.len() as u32;
    film(export, tick, |index, pixels| {
        let data = if opaque { without_alpha(&pixels.rgba) } else { pixels.rgba };
        if let Some(sink) = sink.take() {
            let mut encoder = header(sink, pixels.width, pixels.height, opaque, export.scale, state)?;
            encoder.set_animated(count, 0)?;
            encoder.set_blend_op(png::BlendOp::Source)?;
            writer = Some(encoder.write_header()?);
        }
        let Some(writer) = &mut writer else { return Ok(()) };
        let hold = if index as u32 + 1 == count { Export::LAST_HOLD } else { 1 };
        writer.set_frame_delay((hold * 100) as u16, (export.frames_per_second * 100.0).round().clamp(1.0, 65_535.0) as u16)?;
        Ok(writer.write_image_data(&data)?)
    })?;
    writer.map_or(Ok(()), png::Writer::finish)?;
    Ok(bytes)
}
