//! The one currency that crosses every room: a dense `f32` array on the host, cheap to clone.

use std::fmt;
use std::sync::Arc;

/// Extents of a tensor, outermost first, row-major: `[B, C, H, W]` for pictures and latents.
pub type Shape = Vec<usize>;

/// A dense row-major `f32` tensor on the host. Cloning shares the data.
#[derive(Clone, PartialEq)]
pub struct HostTensor {
    shape: Shape,
    data: Arc<[f32]>,
}

/// A shape that does not hold the data it was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tensor of shape {shape:?} holds {} values, but {len} were given", .shape.iter().product::<usize>())]
pub struct ShapeError {
    /// The shape asked for.
    pub shape: Shape,
    /// How many values there were.
    pub len: usize,
}

impl HostTensor {
    /// Wraps `data` as a tensor of `shape`.
    ///
    /// # Errors
    /// [`ShapeError`] when the product of `shape` is not `data.len()`.
    pub fn new(shape: impl Into<Shape>, data: impl Into<Arc<[f32]>>) -> Result<Self, ShapeError> {
        let (shape, data) = (shape.into(), data.into());
        if shape.iter().product::<usize>() == data.len() {
            Ok(Self { shape, data })
        } else {
            let len = data.len();
            Err(ShapeError { shape, len })
        }
    }

    /// A tensor whose element at flat index `i` is `f(i)`.
    pub fn from_fn(shape: impl Into<Shape>, f: impl FnMut(usize) -> f32) -> Self {
        let shape = shape.into();
        let data = (0..shape.iter().product()).map(f).collect();
        Self { shape, data }
    }

    /// All elements equal to `value`.
    pub fn full(shape: impl Into<Shape>, value: f32) -> Self {
        Self::from_fn(shape, |_| value)
    }

    /// Extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values, to be changed in place; they are copied first where they are shared.
    pub fn data_mut(&mut self) -> &mut [f32] {
        Arc::make_mut(&mut self.data)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The same values under another shape.
    ///
    /// # Errors
    /// [`ShapeError`] when the number of values differs.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Self, ShapeError> {
        Self::new(shape, Arc::clone(&self.data))
    }

    /// `f` applied to each value.
    pub fn map(&self, mut f: impl FnMut(f32) -> f32) -> Self {
        Self { shape: self.shape.clone(), data: self.data.iter().map(|&v| f(v)).collect() }
    }

    /// `f` applied to each pair of values.
    ///
    /// # Panics
    /// When the shapes differ: both operands come from one computation, so a difference is a broken invariant.
    pub fn zip(&self, other: &Self, mut f: impl FnMut(f32, f32) -> f32) -> Self {
        assert_eq!(self.shape, other.shape, "elementwise operation on tensors of different shapes");
        Self { shape: self.shape.clone(), data: self.data.iter().zip(other.data.iter()).map(|(&a, &b)| f(a, b)).collect() }
    }

    /// `a * self + b * other`, computed in f64: the form of every diffusion update.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn lincomb(&self, a: f64, other: &Self, b: f64) -> Self {
        self.zip(other, |x, y| (a * f64::from(x) + b * f64::from(y)) as f32)
    }

    /// The sum of `weight * tensor` over all terms, computed in f64 and rounded once.
    ///
    /// # Panics
    /// When there is no term or the shapes differ.
    pub fn weighted_sum(terms: &[(f64, &Self)]) -> Self {
        let shape = terms[0].1.shape.clone();
        assert!(terms.iter().all(|(_, tensor)| tensor.shape == shape), "sum of tensors of different shapes");
        Self::from_fn(shape, |i| terms.iter().map(|(weight, tensor)| weight * f64::from(tensor.data[i])).sum::<f64>() as f32)
    }

    /// The `index`-th slice along the outermost dimension, which stays with extent 1.
    ///
    /// # Panics
    /// When `index` is outside that dimension.
    pub fn outer(&self, index: usize) -> Self {
        let inner: usize = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        assert!(index < shape[0], "index {index} outside of the outermost extent {}", shape[0]);
        shape[0] = 1;
        Self { shape, data: self.data[index * inner..(index + 1) * inner].into() }
    }

    /// Joins tensors along the outermost dimension.
    ///
    /// # Panics
    /// When `parts` is empty or the inner extents differ.
    pub fn cat_outer(parts: &[&Self]) -> Self {
        let mut shape = parts[0].shape.clone();
        assert!(parts.iter().all(|p| p.shape[1..] == shape[1..]), "joining tensors of different inner extents");
        shape[0] = parts.iter().map(|p| p.shape[0]).sum();
        Self { shape, data: parts.iter().flat_map(|p| p.data.iter().copied()).collect() }
    }

    /// Euclidean norm over all values, accumulated in f64.
    pub fn norm(&self) -> f64 {
        self.data.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
    }

    /// Inner product over all values, accumulated in f64.
    ///
    /// # Panics
    /// When the numbers of values differ.
    pub fn dot(&self, other: &Self) -> f64 {
        assert_eq!(self.len(), other.len(), "inner product of tensors of different lengths");
        self.data.iter().zip(other.data.iter()).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    /// Whether every value is finite.
    pub fn is_finite(&self) -> bool {
        self.data.iter().all(|v| v.is_finite())
    }
}

impl fmt::Debug for HostTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostTensor{:?}[norm {:.6}]", self.shape, self.norm())
    }
}

/// IEEE 754 binary16 to binary32, exactly.
pub fn half_to_f32(h: u16) -> f32 {
    let (sign, exponent, fraction) = (u32::from(h >> 15) << 31, u32::from(h >> 10 & 0x1f), u32::from(h & 0x3ff));
    match (exponent, fraction) {
        (0, f) => f32::from_bits(sign | (f as f32 * f32::from_bits(0x3380_0000)).to_bits()), // f * 2^-24
        (0x1f, f) => f32::from_bits(sign | 0x7f80_0000 | f << 13),
        (e, f) => f32::from_bits(sign | (e + 112) << 23 | f << 13),
    }
}

/// binary32 to binary16, rounded to nearest even; beyond the range to infinity.
pub fn f32_to_half(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Subnormal: in units of 2^-24, rounded by the addition of 2^23 units.
        let units = f32::from_bits(magnitude) * 16_777_216.0 + 8_388_608.0;
        return sign | (units.to_bits() - 8_388_608f32.to_bits()) as u16;
    }
    let rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    sign | ((rounded - (112 << 23)) >> 13) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_trip() {
        for h in 0..=u16::MAX {
            let x = half_to_f32(h);
            if x.is_nan() {
                assert!(half_to_f32(f32_to_half(x)).is_nan());
            } else {
                assert_eq!(f32_to_half(x), h, "{h:#x} = {x}");
            }
        }
        assert_eq!(f32_to_half(65_504.0), 0x7bff);
        assert_eq!(f32_to_half(65_519.9), 0x7bff);
        assert_eq!(f32_to_half(65_520.0), 0x7c00);
        assert_eq!(f32_to_half(1.0 + 1.0 / 2048.0), 0x3c00); // half way, to even
        assert_eq!(f32_to_half(-2.0f32.powi(-26)), 0x8000);
    }
}
