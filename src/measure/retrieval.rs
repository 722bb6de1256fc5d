//! Finding a picture's caption among those of a batch, and the reverse.

use super::{MeasureError, Result};
use crate::host::HostTensor;

/// How often the most similar item is the right one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retrieval {
    /// The share of pictures whose most similar caption is theirs.
    pub text_of_picture: f64,
    /// The share of captions whose most similar picture is theirs.
    pub picture_of_text: f64,
}

/// Top-1 retrieval by cosine in a batch of `pictures, texts: [B, D]`. An item that has an equal `caption` counts as right too:
/// nothing in the words tells the two apart.
///
/// # Errors
/// When the shapes do not fit.
pub fn retrieve(pictures: &HostTensor, texts: &HostTensor, captions: &[String]) -> Result<Retrieval> {
    let batch = captions.len();
    if pictures.shape() != texts.shape() || pictures.shape().first() != Some(&batch) {
        let expected = format!("[{batch}, D] for pictures and texts");
        return Err(MeasureError::Shape { operation: "retrieval", expected, found: texts.shape().to_vec() });
    }
    let width = pictures.len() / batch.max(1);
    let rows = |features: &HostTensor| -> Vec<Vec<f64>> {
        features
            .data()
            .chunks(width)
            .map(|row| {
                let norm = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(1e-12);
                row.iter().map(|&v| f64::from(v) / norm).collect()
            })
            .collect()
    };
    let (pictures, texts) = (rows(pictures), rows(texts));
    let top1 = |from: &[Vec<f64>], to: &[Vec<f64>]| {
        let cosine = |i: usize, j: usize| from[i].iter().zip(&to[j]).map(|(a, b)| a * b).sum::<f64>();
        let right = (0..batch).filter(|&i| {
            let best = (0..batch).max_by(|&a, &b| cosine(i, a).total_cmp(&cosine(i, b)));
            best.is_some_and(|best| captions[best] == captions[i])
        });
        right.count() as f64 / batch as f64
    };
    Ok(Retrieval { text_of_picture: top1(&pictures, &texts), picture_of_text: top1(&texts, &pictures) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_captions_count_as_right() {
        let pictures = HostTensor::new([3, 2], vec![1.0, 0.0, 0.0, 1.0, 0.9, 0.1]).unwrap();
        let texts = HostTensor::new([3, 2], vec![1.0, 0.1, 0.0, 1.0, 1.0, 0.0]).unwrap();
        let named = |names: [&str; 3]| names.map(str::to_owned).to_vec();
        let strict = retrieve(&pictures, &texts, &named(["a", "b", "c"])).unwrap();
        let fair = retrieve(&pictures, &texts, &named(["a", "b", "a"])).unwrap();
        assert!(strict.text_of_picture < 0.5 && fair.text_of_picture == 1.0 && fair.picture_of_text == 1.0);
        assert!(retrieve(&pictures, &texts, &named(["a", "b", "a"])[..2]).is_err());
    }
}
