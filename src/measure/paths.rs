//! Paths of samplers through the space of latents: how far one is from another, and the plane in which all of them spread most.
//!
//! Places along a path are told by the angle `phi` with `x = cos(phi) x0 + sin(phi) eps` (Salimans and Ho 2022, arXiv 2202.00512,
//! appendix D): it is finite at every level, from `pi / 2` at pure noise to 0 at clean data.

use crate::host::HostTensor;

/// A path from noise to data.
#[derive(Debug, Clone, Default)]
pub struct Path {
    /// Angle and sample of each point, by falling angle.
    points: Vec<(f64, HostTensor)>,
}

impl Path {
    /// The path through samples of one shape, by falling angle in 0..=pi/2.
    ///
    /// # Panics
    /// When an angle does not fall, or the shapes differ.
    pub fn new(points: Vec<(f64, HostTensor)>) -> Self {
        assert!(points.windows(2).all(|w| w[1].0 < w[0].0 && w[1].1.shape() == w[0].1.shape()), "a path goes from noise to data");
        Self { points }
    }

    /// Its points: angle and sample.
    pub fn points(&self) -> &[(f64, HostTensor)] {
        &self.points
    }

    /// The sample at an angle, between two points by linear interpolation; beyond the ends the end itself. None for an empty path.
    pub fn at(&self, angle: f64) -> Option<HostTensor> {
        let after = self.points.partition_point(|(other, _)| *other > angle);
        let (Some((low, clean)), Some((high, noisy))) = (self.points.get(after), after.checked_sub(1).and_then(|i| self.points.get(i)))
        else {
            return self.points.get(after).or(self.points.last()).map(|(_, x)| x.clone());
        };
        let share = (angle - low) / (high - low);
        Some(clean.lincomb(1.0 - share, noisy, share))
    }
}

/// Root-mean-square difference of two samples, `|a - b| / sqrt(n)`: latents have unit deviation, so 1 is as far as a picture is from
/// grey.
///
/// # Panics
/// When the shapes differ.
pub fn rms_distance(a: &HostTensor, b: &HostTensor) -> f64 {
    a.lincomb(1.0, b, -1.0).norm() / (a.len().max(1) as f64).sqrt()
}

/// The plane through the mean of a set of points along the two directions in which they spread most (principal component analysis,
/// Pearson 1901, Phil. Mag. 2).
#[derive(Debug, Clone)]
pub struct PrincipalPlane {
    mean: Vec<f64>,
    axes: [Vec<f64>; 2],
    explained: f64,
}

impl PrincipalPlane {
    /// The plane of points of one shape. The first point lies in its upper right quarter, so that the axes keep their senses. None for
    /// fewer than three points, or when all are the same.
    pub fn of(points: &[&HostTensor]) -> Option<Self> {
        let count = points.len();
        let size = points.first()?.len();
        if count < 3 || points.iter().any(|point| point.len() != size) {
            return None;
        }
        let mean: Vec<f64> = (0..size).map(|i| points.iter().map(|p| f64::from(p.data()[i])).sum::<f64>() / count as f64).collect();
        let rows: Vec<Vec<f64>> = points.iter().map(|p| p.data().iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect()).collect();
        // The points are fewer than their numbers, so the eigenvectors come from the matrix of their products.
        let mut gram = vec![vec![0.0; count]; count];
        for i in 0..count {
            for j in 0..=i {
                let product = dot(&rows[i], &rows[j]);
                (gram[i][j], gram[j][i]) = (product, product);
            }
        }
        let total: f64 = (0..count).map(|i| gram[i][i]).sum();
        if total <= 0.0 || !total.is_finite() {
            return None;
        }
        let mut explained = 0.0;
        let axes = [(); 2].map(|()| {
            let (value, vector) = largest(&gram);
            explained += value / total;
            for i in 0..count {
                for j in 0..count {
                    gram[i][j] -= value * vector[i] * vector[j];
                }
            }
            let mut axis = vec![0.0; size];
            for (row, weight) in rows.iter().zip(&vector) {
                axis.iter_mut().zip(row).for_each(|(a, v)| *a += weight * v);
            }
            let length = dot(&axis, &axis).sqrt();
            let sense = if dot(&axis, &rows[0]) < 0.0 { -1.0 } else { 1.0 };
            if length > 0.0 {
                axis.iter_mut().for_each(|a| *a *= sense / length);
            }
            axis
        });
        Some(Self { mean, axes, explained: explained.min(1.0) })
    }

    /// Where a point lies in the plane: its coordinates along both axes, from the mean.
    pub fn place(&self, point: &HostTensor) -> [f64; 2] {
        let along = |axis: &Vec<f64>| point.data().iter().zip(&self.mean).zip(axis).map(|((v, m), a)| (f64::from(*v) - m) * a).sum();
        [along(&self.axes[0]), along(&self.axes[1])]
    }

    /// The share of the points' variance that lies in the plane, 0 to 1.
    pub fn explained(&self) -> f64 {
        self.explained
    }
}

/// In eight sums side by side, which the processor's vectors take at once.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// The largest eigenvalue of a symmetric matrix without negative ones, and its unit vector, by powers of the matrix.
fn largest(matrix: &[Vec<f64>]) -> (f64, Vec<f64>) {
    let count = matrix.len();
    // Any start with a part along the vector will do; this one is no mean of columns, which centred points cancel.
    let mut vector: Vec<f64> = (0..count).map(|i| 1.0 + (i as f64 * 1.7).sin()).collect();
    let mut value = 0.0;
    for _ in 0..300 {
        let next: Vec<f64> = matrix.iter().map(|row| dot(row, &vector)).collect();
        let length = dot(&next, &next).sqrt();
        if length <= f64::MIN_POSITIVE {
            return (0.0, vec![0.0; count]);
        }
        let change = next.iter().zip(&vector).map(|(a, b)| (a / length - b).abs()).fold(0.0, f64::max);
        vector = next.into_iter().map(|v| v / length).collect();
        value = length;
        if change < 1e-9 {
            break;
        }
    }
    (value, vector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, gaussian};

    fn tensor(values: &[f32]) -> HostTensor {
        HostTensor::from_fn([values.len()], |i| values[i])
    }

    #[test]
    fn a_path_is_its_points_and_straight_between_them() {
        let path = Path::new(vec![(1.5, tensor(&[4.0, 0.0])), (0.5, tensor(&[2.0, 2.0])), (0.0, tensor(&[0.0, 2.0]))]);
        for (angle, want) in
            [(2.0, [4.0, 0.0]), (1.5, [4.0, 0.0]), (1.0, [3.0, 1.0]), (0.5, [2.0, 2.0]), (0.25, [1.0, 2.0]), (0.0, [0.0, 2.0])]
        {
            assert_eq!(path.at(angle).unwrap().data(), want, "{angle}");
        }
        assert!(Path::default().at(1.0).is_none());
        assert!((rms_distance(&tensor(&[1.0, 1.0]), &tensor(&[4.0, -3.0])) - (25.0_f64 / 2.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn the_plane_of_points_in_a_plane_holds_them_all() {
        // Two directions at right angles in 50 dimensions, and an offset.
        let [a, b, offset] = [1, 2, 3].map(|seed| gaussian(seed, Stream::Eval, [50]));
        let b = b.lincomb(1.0, &a, -a.dot(&b) / a.dot(&a));
        let weights = [(9.0, 1.0), (4.0, -1.0), (0.0, 2.0), (-3.0, -2.5), (-10.0, 0.5)];
        let points: Vec<HostTensor> = weights.iter().map(|(u, v)| a.lincomb(*u, &b, *v).lincomb(1.0, &offset, 5.0)).collect();
        let plane = PrincipalPlane::of(&points.iter().collect::<Vec<_>>()).unwrap();
        assert!((plane.explained() - 1.0).abs() < 1e-9, "{}", plane.explained());
        let places: Vec<[f64; 2]> = points.iter().map(|p| plane.place(p)).collect();
        assert!(places[0][0] > 0.0 && places[0][1] > 0.0);
        for (i, p) in places.iter().enumerate() {
            for (j, q) in places.iter().enumerate() {
                let there = points[i].lincomb(1.0, &points[j], -1.0).norm();
                assert!(((p[0] - q[0]).hypot(p[1] - q[1]) - there).abs() < 1e-4 * (1.0 + there), "{i} {j}");
            }
        }
    }

    #[test]
    fn the_first_axis_takes_the_larger_spread() {
        let noise = gaussian(5, Stream::Eval, [40, 2]);
        let points: Vec<HostTensor> = noise.data().chunks(2).map(|p| tensor(&[0.1, 10.0 * p[0], 3.0 * p[1], 0.2, 0.3])).collect();
        let plane = PrincipalPlane::of(&points.iter().collect::<Vec<_>>()).unwrap();
        let spread = |axis: usize| points.iter().map(|p| plane.place(p)[axis].powi(2)).sum::<f64>();
        assert!(spread(0) > 4.0 * spread(1));
        assert!(plane.explained() > 0.999);
        assert!(PrincipalPlane::of(&[&points[0], &points[0], &points[0]]).is_none(), "all the same");
        assert!(PrincipalPlane::of(&[&points[0]]).is_none());
    }
}
