//! A tensor and how its numbers become colours.

use super::{FigureError, Rgb};
use crate::host::HostTensor;
use std::sync::Arc;

/// How numbers become colours.
#[derive(Debug, Clone, PartialEq)]
pub enum Paint {
    /// `[3, H, W]` in 0..1, as it is.
    Rgb,
    /// `[3, H, W]` around zero: -1 is black, 0 mid grey, 1 white.
    Signed,
    /// One channel of `[1, C, H, W]` or `[C, H, W]` on a scale of colours.
    Heat {
        /// Which channel.
        channel: usize,
        /// The scale spans `-range` to `range`; values beyond it are clipped.
        range: f32,
        /// Whether the square root of the value, its sign kept, is what is placed on the scale.
        root: bool,
        /// The scale from its lowest to its highest value, evenly.
        colors: Arc<[Rgb]>,
        /// What stands for a value that is no number.
        odd: Rgb,
    },
}

/// A picture in a figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// What it is: names it where results are compared.
    pub name: String,
    /// Its numbers.
    pub tensor: HostTensor,
    /// How they become colours.
    pub paint: Paint,
    /// Whether it is smoothed when enlarged; otherwise its pixels stay squares.
    pub smooth: bool,
}

/// Pixels of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb8 {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `width * height * 3` bytes, row by row.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// A picture that is smoothed where it shows colours as they are, and keeps its squares otherwise.
    pub fn new(name: impl Into<String>, tensor: HostTensor, paint: Paint) -> Self {
        let smooth = paint == Paint::Rgb;
        Self { name: name.into(), tensor, paint, smooth }
    }

    /// Width and height in pixels.
    ///
    /// # Errors
    /// [`FigureError::NotAPicture`].
    pub fn size(&self) -> Result<(usize, usize), FigureError> {
        let wrong = || FigureError::NotAPicture { shape: self.tensor.shape().to_vec() };
        let [.., channels, height, width] = *self.tensor.shape() else { return Err(wrong()) };
        let needs = if let Paint::Heat { channel, .. } = self.paint { channel + 1 } else { 3 };
        if channels < needs || width == 0 || height == 0 || self.tensor.len() != channels * height * width {
            return Err(wrong());
        }
        Ok((width, height))
    }

    /// Its pixels: `round(255 v)` of each value, clamped to 0..1. A value that is no number becomes 0, or the odd colour of its scale.
    ///
    /// # Errors
    /// [`FigureError::NotAPicture`].
    pub fn rgb8(&self) -> Result<Rgb8, FigureError> {
        let (width, height) = self.size()?;
        let plane = width * height;
        let data = self.tensor.data();
        let mut bytes = Vec::with_capacity(3 * plane);
        match &self.paint {
            Paint::Rgb | Paint::Signed => {
                let (scale, shift) = if self.paint == Paint::Rgb { (1.0, 0.0) } else { (0.5, 0.5) };
                let byte = |v: f32| ((v * scale + shift).clamp(0.0, 1.0) * 255.0).round() as u8;
                for i in 0..plane {
                    bytes.extend([byte(data[i]), byte(data[plane + i]), byte(data[2 * plane + i])]);
                }
            }
            Paint::Heat { channel, range, root, colors, odd } => {
                let last = colors.len().saturating_sub(1) as f32;
                for &value in &data[channel * plane..(channel + 1) * plane] {
                    let share = value / range;
                    let place = if *root { share.signum() * share.abs().sqrt() } else { share };
                    let index = ((place.clamp(-1.0, 1.0) + 1.0) * 0.5 * last).round() as usize;
                    let known = colors.get(index).filter(|_| !place.is_nan());
                    bytes.extend(known.unwrap_or(odd));
                }
            }
        }
        Ok(Rgb8 { width: width as u32, height: height as u32, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_colours() {
        let rgb = Picture::new("a", HostTensor::new([3, 1, 2], vec![0.0, 1.0, 0.5, 2.0, -1.0, f32::NAN]).unwrap(), Paint::Rgb);
        assert_eq!(rgb.rgb8().unwrap().bytes, [0, 128, 0, 255, 255, 0]);
        let signed = Picture::new("b", HostTensor::new([3, 1, 1], vec![-1.0, 0.0, 1.0]).unwrap(), Paint::Signed);
        assert_eq!(signed.rgb8().unwrap().bytes, [0, 128, 255]);
        let paint =
            Paint::Heat { channel: 1, range: 4.0, root: true, colors: Arc::from([[0; 3], [5; 3], [6; 3], [7; 3], [9; 3]]), odd: [1, 2, 3] };
        let heat = HostTensor::new([1, 2, 1, 4], vec![9.0, 9.0, 9.0, 9.0, -8.0, 0.0, 1.0, f32::NAN]).unwrap();
        assert_eq!(Picture::new("c", heat, paint).rgb8().unwrap().bytes, [0, 0, 0, 6, 6, 6, 7, 7, 7, 1, 2, 3]);
    }

    #[test]
    fn what_is_no_picture_says_its_shape() {
        for shape in [vec![5], vec![2, 4, 4], vec![3, 0, 4], vec![2, 3, 4, 4]] {
            let error = Picture::new("x", HostTensor::full(shape.clone(), 0.0), Paint::Rgb).rgb8().unwrap_err();
            assert!(error.to_string().contains(&format!("{shape:?}")), "{error}");
        }
    }
}
