//! Sheets of pictures: a grid as one RGB image.

use super::Result;
use super::state::write_atomically;
use crate::host::HostTensor;
use image::{Rgb, RgbImage};
use std::path::Path;

/// Pixels between pictures.
const GAP: u32 = 4;

/// Lays out pictures `[3, S, S]` in 0..1 (values beyond are clamped) in rows of `columns`, on white.
pub fn grid(pictures: &[HostTensor], columns: usize) -> RgbImage {
    let side = pictures.first().and_then(|picture| picture.shape().last().copied()).unwrap_or(0);
    let columns = columns.max(1);
    let rows = pictures.len().div_ceil(columns);
    let extent = |count: usize| count as u32 * (side as u32 + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(extent(columns), extent(rows), Rgb([255; 3]));
    for (index, picture) in pictures.iter().enumerate() {
        let (left, top) = (extent(index % columns), extent(index / columns));
        for at in 0..side * side {
            let [r, g, b] = [0, 1, 2].map(|channel| {
                let value = picture.data().get(channel * side * side + at).copied().unwrap_or(0.0);
                (value * 255.0).round().clamp(0.0, 255.0) as u8
            });
            sheet.put_pixel(left + (at % side) as u32, top + (at / side) as u32, Rgb([r, g, b]));
        }
    }
    sheet
}

/// The pictures of a batch `[B, 3, H, W]` in -1..1, each `[3, H, W]` in 0..1, not clamped.
pub fn unbatch(batch: &HostTensor) -> Vec<HostTensor> {
    let shape = batch.shape().to_vec();
    (0..shape[0])
        .map(|index| {
            let one = batch.outer(index).map(|v| 0.5 * (v + 1.0));
            one.reshape(&shape[1..]).unwrap_or(one)
        })
        .collect()
}

/// Writes a sheet as a PNG file, atomically.
///
/// # Errors
/// Those of the file system.
pub fn save(path: &Path, sheet: &RgbImage) -> Result<()> {
    write_atomically(path, |partial| sheet.save_with_format(partial, image::ImageFormat::Png).map_err(std::io::Error::other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_their_places() {
        let red = HostTensor::from_fn([3, 2, 2], |i| if i < 4 { 1.0 } else { 0.0 });
        let blue = HostTensor::from_fn([3, 2, 2], |i| if i < 8 { -1.0 } else { 2.0 });
        let sheet = grid(&[red, blue], 2);
        assert_eq!(sheet.dimensions(), (16, 10));
        assert_eq!(sheet.get_pixel(4, 4), &Rgb([255, 0, 0]));
        assert_eq!(sheet.get_pixel(11, 5), &Rgb([0, 0, 255]));
        assert_eq!(sheet.get_pixel(8, 4), &Rgb([255; 3]));
    }
}
