//! Whether two runs gave the same: a digest of every number that a figure shows (SHA-256, FIPS 180-4).
//!
//! The same machine gives the same bits. Another processor may round differently; then the picture that the file carries is
//! compared with the new one, and the largest difference is told.

use super::picture::Picture;
use super::sheet::{Body, Figure};
use super::state::Carried;
use crate::host::HostTensor;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a figure showed, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Digest of the digests below.
    pub digest: String,
    /// The digest of each thing shown, by name.
    pub parts: Vec<Part>,
    /// The first picture shown, to be compared where digests differ.
    pub picture: Option<Carried>,
}

/// One thing shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is.
    pub name: String,
    /// SHA-256 of its numbers, in hexadecimal digits.
    pub digest: String,
}

/// How a result compares with what a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether every number is the same.
    pub same: bool,
    /// For the person: what is the same or what differs.
    pub text: String,
}

impl Evidence {
    /// Digests of all tensors and curves of a figure.
    pub fn of(figure: &Figure) -> Self {
        let mut parts = Vec::new();
        for panel in figure.panels() {
            match &panel.body {
                Body::Chart(chart) => {
                    let mut hash = Sha256::new();
                    for series in &chart.series {
                        hash.update(series.name.as_bytes());
                        for value in series.points.as_flattened() {
                            hash.update(value.to_bits().to_le_bytes());
                        }
                    }
                    parts.push(Part { name: panel.label.clone(), digest: hex(&hash.finalize()) });
                }
                body => {
                    // The channels of one tensor are one thing.
                    let mut last: Option<&HostTensor> = None;
                    for picture in body.pictures() {
                        if last.is_none_or(|last| !std::ptr::eq(last.data(), picture.tensor.data())) {
                            parts.push(Part { name: picture.name.clone(), digest: digest_of(&picture.tensor) });
                        }
                        last = Some(&picture.tensor);
                    }
                }
            }
        }
        let mut hash = Sha256::new();
        for part in &parts {
            hash.update(part.digest.as_bytes());
        }
        let picture = first_picture(figure).and_then(|picture| Carried::of(picture).ok());
        Self { digest: hex(&hash.finalize()), parts, picture }
    }

    /// Compares what a file says with what is shown now.
    pub fn compare(&self, now: &Figure) -> Verdict {
        let new = Self::of(now);
        if new.digest == self.digest && new.parts.len() == self.parts.len() {
            return Verdict { same: true, text: "The run matches the digest of the file: every value is the same.".to_owned() };
        }
        let changed: Vec<&str> = self
            .parts
            .iter()
            .zip(new.parts.iter().map(Some).chain(std::iter::repeat(None)))
            .filter(|(old, new)| new.is_none_or(|new| new.digest != old.digest))
            .map(|(old, _)| old.name.as_str())
            .collect();
        let what = match changed.as_slice() {
            [] => "in the number of things shown".to_owned(),
            few if few.len() <= 3 => format!("in {}", few.join(", ")),
            [first, rest @ ..] => format!("in {first} and {} more", rest.len()),
        };
        let difference = self.picture.as_ref().and_then(|old| largest_difference(old, first_picture(now)?));
        let told = match difference {
            Some((0, name)) => format!(" To the eye it is the same: the picture “{name}” has the same 8-bit colours everywhere."),
            Some((most, name)) => format!(" In the picture “{name}” colours are at most {most} of 255 apart."),
            None => String::new(),
        };
        Verdict { same: false, text: format!("The result differs from the file {what}.{told}") }
    }
}

fn first_picture(figure: &Figure) -> Option<&Picture> {
    figure.panels().find_map(|panel| if let Body::Picture(picture) = &panel.body { Some(picture) } else { None })
}

/// The largest difference of 8-bit colours, where the pictures are of one size.
fn largest_difference(old: &Carried, now: &Picture) -> Option<(u8, String)> {
    let (old, now, name) = (old.pixels()?, now.rgb8().ok()?, old.name.clone());
    if (old.width, old.height) != (now.width, now.height) {
        return None;
    }
    Some((old.bytes.iter().zip(&now.bytes).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0), name))
}

/// SHA-256 over the shape (each extent as 64 bits) and the bits of every value, little-endian, in hexadecimal digits.
pub fn digest_of(tensor: &HostTensor) -> String {
    let mut hash = Sha256::new();
    for extent in tensor.shape() {
        hash.update((*extent as u64).to_le_bytes());
    }
    let mut bytes = Vec::with_capacity(4 * tensor.len());
    bytes.extend(tensor.data().iter().flat_map(|value| value.to_bits().to_le_bytes()));
    hash.update(&bytes);
    hex(&hash.finalize())
}

/// SHA-256 of bytes, in hexadecimal digits.
pub fn digest_of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Inks, Paint, Panel, Row};

    fn figure(values: &[f32]) -> Figure {
        let inks = Inks { text: [0; 3], dim: [0; 3], line: [0; 3], ground: None };
        let tensor = HostTensor::new([3, 1, values.len() / 3], values.to_vec()).expect("shape");
        let panel = Panel::new("x_t", Body::Picture(Picture::new("x_t", tensor, Paint::Rgb)));
        Figure::new("f", vec![Row::of([panel])], Vec::new(), inks)
    }

    #[test]
    fn sha_256_is_sha_256() {
        assert_eq!(digest_of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn the_same_numbers_match_and_a_bit_does_not() {
        let file = Evidence::of(&figure(&[0.5, 0.25, 1.0]));
        assert!(file.compare(&figure(&[0.5, 0.25, 1.0])).same);
        let nearly = file.compare(&figure(&[0.5, f32::from_bits(0.25_f32.to_bits() + 1), 1.0]));
        assert!(!nearly.same && nearly.text.contains("To the eye it is the same"), "{}", nearly.text);
        let far = file.compare(&figure(&[0.5, 0.5, 1.0]));
        assert!(far.text.contains("in x_t") && far.text.contains("at most 64 of 255 apart"), "{}", far.text);
        let other = file.compare(&figure(&[0.5, 0.25, 1.0, 0.0, 0.0, 0.0]));
        assert!(!other.same && !other.text.contains("255"), "{}", other.text);
    }

    #[test]
    fn a_shape_is_part_of_the_digest() {
        assert_ne!(digest_of(&HostTensor::full([2, 3], 1.0)), digest_of(&HostTensor::full([3, 2], 1.0)));
    }
}
