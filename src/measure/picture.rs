//! Measures of pictures alone. Pictures are `[3, H, W]` in 0..1.

use super::{MeasureError, Result};
use crate::host::HostTensor;

/// Mean squared error over all values.
///
/// # Errors
/// When the shapes differ.
pub fn mean_squared_error(a: &HostTensor, b: &HostTensor) -> Result<f64> {
    if a.shape() != b.shape() {
        return Err(MeasureError::Shape {
            operation: "mean squared error",
            expected: format!("{:?}", b.shape()),
            found: a.shape().to_vec(),
        });
    }
    Ok(a.data().iter().zip(b.data()).map(|(&a, &b)| f64::from(a - b).powi(2)).sum::<f64>() / a.len().max(1) as f64)
}

/// Peak signal-to-noise ratio in dB for a peak of 1: `-10 log10(MSE)`.
///
/// # Errors
/// When the shapes differ.
pub fn psnr(a: &HostTensor, b: &HostTensor) -> Result<f64> {
    Ok(-10.0 * mean_squared_error(a, b)?.max(1e-12).log10())
}

/// Half the width of the SSIM window.
const RADIUS: usize = 5;

/// Structural similarity of the luma (Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Trans. Image Process. 13(4), eq. 13):
/// Gaussian windows of 11x11 with deviation 1.5, K1 = 0.01, K2 = 0.03, averaged over all places where the window fits.
/// Luma is `0.299 R + 0.587 G + 0.114 B`.
///
/// # Errors
/// When the shapes differ, are not `[3, H, W]`, or a side is below 11.
pub fn ssim(a: &HostTensor, b: &HostTensor) -> Result<f64> {
    let [3, height, width] = *a.shape() else {
        return Err(MeasureError::Shape { operation: "SSIM", expected: "[3, H, W]".into(), found: a.shape().to_vec() });
    };
    if a.shape() != b.shape() || height.min(width) < 2 * RADIUS + 1 {
        let expected = "two pictures of one size, at least 11 pixels a side".to_owned();
        return Err(MeasureError::Shape { operation: "SSIM", expected, found: b.shape().to_vec() });
    }
    let mut window: Vec<f64> = (0..=2 * RADIUS).map(|i| (-(i as f64 - RADIUS as f64).powi(2) / (2.0 * 1.5 * 1.5)).exp()).collect();
    let sum: f64 = window.iter().sum();
    window.iter_mut().for_each(|w| *w /= sum);
    let (x, y) = (luma(a), luma(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<f64>>();
    let [mean_x, mean_y, xx, yy, xy] =
        [&x, &y, &product(&x, &x), &product(&y, &y), &product(&x, &y)].map(|v| blur(v, width, height, &window));
    let (c1, c2) = (0.01_f64.powi(2), 0.03_f64.powi(2));
    let total: f64 = (0..mean_x.len())
        .map(|i| {
            let (mx, my) = (mean_x[i], mean_y[i]);
            let (vx, vy, cov) = (xx[i] - mx * mx, yy[i] - my * my, xy[i] - mx * my);
            (2.0 * mx * my + c1) * (2.0 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
        })
        .sum();
    Ok(total / mean_x.len() as f64)
}

fn luma(picture: &HostTensor) -> Vec<f64> {
    let plane = picture.len() / 3;
    let (r, rest) = picture.data().split_at(plane);
    let (g, b) = rest.split_at(plane);
    r.iter().zip(g).zip(b).map(|((&r, &g), &b)| 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)).collect()
}

/// Separable filtering, kept where the window fits.
fn blur(values: &[f64], width: usize, height: usize, window: &[f64]) -> Vec<f64> {
    let (out_width, out_height) = (width + 1 - window.len(), height + 1 - window.len());
    let across: Vec<f64> = values
        .chunks(width)
        .flat_map(|row| row.windows(window.len()).map(|part| part.iter().zip(window).map(|(v, w)| v * w).sum::<f64>()))
        .collect();
    let down = |at: usize| window.iter().enumerate().map(|(i, w)| w * across[at + i * out_width]).sum();
    (0..out_height * out_width).map(down).collect()
}

/// How strong the colours of a picture are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saturation {
    /// Share of channel values that were cut to the ends of the range.
    pub clipped: f64,
    /// Mean of HSV's saturation, `1 - min / max` over each pixel's channels.
    pub hsv: f64,
}

/// Measures a picture before clamping to 0..1: `clipped` counts values outside of [-0.005, 1.005], a rounding beyond the ends.
///
/// # Errors
/// When the shape is not `[3, H, W]`.
pub fn saturation(picture: &HostTensor) -> Result<Saturation> {
    let [3, height, width] = *picture.shape() else {
        return Err(MeasureError::Shape { operation: "saturation", expected: "[3, H, W]".into(), found: picture.shape().to_vec() });
    };
    let (pixels, data) = (height * width, picture.data());
    let clipped = data.iter().filter(|v| !(-0.005..=1.005).contains(*v)).count() as f64 / data.len().max(1) as f64;
    let hsv = (0..pixels)
        .map(|i| {
            let channels = [data[i], data[pixels + i], data[2 * pixels + i]].map(|v| f64::from(v.clamp(0.0, 1.0)));
            let (low, high) = channels.iter().fold((1.0_f64, 0.0_f64), |(low, high), &v| (low.min(v), high.max(v)));
            if high > 0.0 { 1.0 - low / high } else { 0.0 }
        })
        .sum::<f64>()
        / pixels.max(1) as f64;
    Ok(Saturation { clipped, hsv })
}

/// Averages squares of 2x2 pixels. `[.., H, W]` -> `[.., H / 2, W / 2]`.
///
/// # Panics
/// When there are fewer than two axes.
pub fn halve(picture: &HostTensor) -> HostTensor {
    let axes = picture.shape().len();
    assert!(axes >= 2, "pictures have two axes of extent");
    let (height, width) = (picture.shape()[axes - 2], picture.shape()[axes - 1]);
    let (half_height, half_width) = (height / 2, width / 2);
    let mut shape = picture.shape().to_vec();
    (shape[axes - 2], shape[axes - 1]) = (half_height, half_width);
    let data = picture.data();
    HostTensor::from_fn(shape, |at| {
        let (plane, rest) = (at / (half_height * half_width), at % (half_height * half_width));
        let corner = plane * height * width + 2 * (rest / half_width) * width + 2 * (rest % half_width);
        0.25 * (data[corner] + data[corner + 1] + data[corner + width] + data[corner + width + 1])
    })
}

/// Diversity: the root-mean-square difference between two items, averaged over all pairs. Items are the rows of `[N, ..]`.
/// NaN for fewer than two.
pub fn mean_pairwise_distance(items: &HostTensor) -> f64 {
    let count = items.shape().first().copied().unwrap_or(0);
    let width = items.len() / count.max(1);
    let rows: Vec<&[f32]> = items.data().chunks(width.max(1)).collect();
    let distance = |a: &[f32], b: &[f32]| (a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / width as f64).sqrt();
    let total: f64 = (0..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| distance(rows[i], rows[j])).sum();
    total / (count * count.saturating_sub(1) / 2) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, gaussian};

    #[test]
    fn psnr_of_a_known_error() {
        let a = HostTensor::full([3, 16, 16], 0.5);
        assert!((psnr(&a, &HostTensor::full([3, 16, 16], 0.6)).unwrap() - 20.0).abs() < 1e-4);
        assert!(psnr(&a, &HostTensor::full([3, 16, 17], 0.6)).is_err());
    }

    #[test]
    fn ssim_of_constants_is_its_luminance_term() {
        let (a, b) = (HostTensor::full([3, 16, 20], 0.5), HostTensor::full([3, 16, 20], 0.6));
        let want = (2.0 * 0.3 + 1e-4) / (0.25 + 0.36 + 1e-4);
        assert!((ssim(&a, &b).unwrap() - want).abs() < 1e-6);
        assert!((ssim(&a, &a).unwrap() - 1.0).abs() < 1e-12);
        assert!(ssim(&HostTensor::full([3, 10, 20], 0.5), &HostTensor::full([3, 10, 20], 0.5)).is_err());
    }

    #[test]
    fn ssim_falls_with_noise() {
        let clean = HostTensor::from_fn([3, 32, 32], |i| ((i % 32) as f32 / 32.0 + (i / 32 % 32) as f32 / 32.0) / 2.0);
        let noise = gaussian(1, Stream::Eval, [3, 32, 32]);
        let at = |s: f64| ssim(&clean, &clean.lincomb(1.0, &noise, s)).unwrap();
        assert!(at(0.01) > at(0.05) && at(0.05) > at(0.2));
    }

    #[test]
    fn saturation_of_known_colours() {
        let red = HostTensor::from_fn([3, 2, 2], |i| if i < 4 { 1.2 } else { 0.0 });
        assert_eq!(saturation(&red).unwrap(), Saturation { clipped: 1.0 / 3.0, hsv: 1.0 });
        assert_eq!(saturation(&HostTensor::full([3, 2, 2], 0.3)).unwrap(), Saturation { clipped: 0.0, hsv: 0.0 });
    }

    #[test]
    fn distances_between_items() {
        let items = HostTensor::new([3, 2], vec![0.0, 0.0, 3.0, 3.0, 0.0, 0.0]).unwrap();
        assert!((mean_pairwise_distance(&items) - 2.0).abs() < 1e-12);
        assert!(mean_pairwise_distance(&HostTensor::full([1, 2], 0.0)).is_nan());
    }
}
