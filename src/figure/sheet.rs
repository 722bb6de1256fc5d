//! A grid of pictures of one size with margins between them.

use super::FigureError;
use crate::host::HostTensor;

/// A grid of pictures, filled row by row.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// Pictures in a row.
    pub columns: usize,
    /// Pixels around and between pictures.
    pub margin: usize,
    /// The colour of what is not covered, RGB in 0..1.
    pub paper: [f32; 3],
}

impl Default for Sheet {
    fn default() -> Self {
        Self { columns: 8, margin: 4, paper: [1.0; 3] }
    }
}

impl Sheet {
    /// Lays `pictures` out, row by row.
    ///
    /// # Shapes
    /// Each `[3, h, w]`; the result is `[3, rows (h + margin) + margin, columns (w + margin) + margin]`, with no more columns
    /// than there are pictures.
    ///
    /// # Errors
    /// [`FigureError::NotAPicture`] for another shape or for no picture at all, [`FigureError::MixedSizes`].
    pub fn lay_out(&self, pictures: &[HostTensor]) -> Result<HostTensor, FigureError> {
        let first = pictures.first().ok_or(FigureError::NotAPicture { shape: Vec::new() })?;
        let size = size_of(first)?;
        let [height, width] = size;
        let columns = self.columns.clamp(1, pictures.len());
        let rows = pictures.len().div_ceil(columns);
        let (sheet_height, sheet_width) = (rows * (height + self.margin) + self.margin, columns * (width + self.margin) + self.margin);
        let plane = sheet_height * sheet_width;
        let mut data: Vec<f32> = self.paper.iter().flat_map(|&v| std::iter::repeat_n(v, plane)).collect();
        for (index, picture) in pictures.iter().enumerate() {
            let got = size_of(picture)?;
            if got != size {
                return Err(FigureError::MixedSizes { expected: size, got });
            }
            let top = index / columns * (height + self.margin) + self.margin;
            let left = index % columns * (width + self.margin) + self.margin;
            for (row, values) in picture.data().chunks_exact(width).enumerate() {
                let (channel, y) = (row / height, row % height);
                let start = channel * plane + (top + y) * sheet_width + left;
                data[start..start + width].copy_from_slice(values);
            }
        }
        Ok(HostTensor::from_fn([3, sheet_height, sheet_width], |i| data[i]))
    }
}

fn size_of(picture: &HostTensor) -> Result<[usize; 2], FigureError> {
    match picture.shape() {
        &[3, height, width] if height * width > 0 => Ok([height, width]),
        other => Err(FigureError::NotAPicture { shape: other.to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_where_they_should() {
        let pictures: Vec<_> = (0..3).map(|k| HostTensor::full([3, 2, 3], k as f32 / 10.0)).collect();
        let sheet = Sheet { columns: 2, margin: 1, ..Sheet::default() }.lay_out(&pictures).unwrap();
        assert_eq!(sheet.shape(), [3, 7, 9]);
        let at = |channel: usize, y: usize, x: usize| sheet.data()[channel * 63 + y * 9 + x];
        for channel in 0..3 {
            assert_eq!([at(channel, 0, 0), at(channel, 1, 1), at(channel, 2, 3), at(channel, 1, 4)], [1.0, 0.0, 0.0, 1.0]);
            assert_eq!([at(channel, 1, 5), at(channel, 4, 1), at(channel, 4, 5)], [0.1, 0.2, 1.0]);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let sheet = Sheet::default();
        assert!(sheet.lay_out(&[]).is_err());
        let mixed = sheet.lay_out(&[HostTensor::full([3, 2, 2], 0.0), HostTensor::full([3, 2, 3], 0.0)]).unwrap_err().to_string();
        assert!(mixed.contains("[2, 2]") && mixed.contains("[2, 3]"), "{mixed}");
    }
}
