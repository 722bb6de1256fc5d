//! Classifier-free guidance: pushing a prediction away from what the model says without the prompt.
//!
//! Ho and Salimans 2022, arXiv 2207.12598. This project, like the diffusers library and Stable Diffusion, writes
//! `eps_uncond + w (eps_cond - eps_uncond)`: `w = 0` ignores the prompt, `w = 1` is the plain conditional model. The paper
//! writes `(1 + w') eps_cond - w' eps_uncond` (eq. 6), so `w = 1 + w'`. [`GuidanceInterval`] lets it act at some timesteps only.

use crate::diffusion::level::Level;
use crate::diffusion::sampler::{Denoise, DenoiseError};
use crate::host::HostTensor;

/// `uncond + w (cond - uncond)`.
///
/// The same formula holds for predictions of every type, since for one sample and level they are affine in each other.
///
/// # Shapes
/// `uncond`, `cond` and the result: alike, any.
///
/// # Panics
/// When the shapes differ.
pub fn guide(uncond: &HostTensor, cond: &HostTensor, guidance_scale: f64) -> HostTensor {
    uncond.lincomb(1.0 - guidance_scale, cond, guidance_scale)
}

/// The paper's `w'` for this project's `w`: `w' = w - 1`.
pub fn paper_scale(guidance_scale: f64) -> f64 {
    guidance_scale - 1.0
}

/// How the two predictions lie to each other, for display.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// `||uncond||`.
    pub norm_uncond: f64,
    /// `||cond||`.
    pub norm_cond: f64,
    /// `||cond - uncond||`.
    pub norm_difference: f64,
    /// Angle between the two, in degrees from 0 to 180; 0 where one of them vanishes.
    pub angle_degrees: f64,
}

/// Norms and angle of two predictions, seen as vectors.
///
/// # Panics
/// When the shapes differ.
pub fn compare(uncond: &HostTensor, cond: &HostTensor) -> Comparison {
    let (norm_uncond, norm_cond) = (uncond.norm(), cond.norm());
    let norms = norm_uncond * norm_cond;
    let cosine = if norms > 0.0 { (uncond.dot(cond) / norms).clamp(-1.0, 1.0) } else { 1.0 };
    Comparison {
        norm_uncond,
        norm_cond,
        norm_difference: cond.lincomb(1.0, uncond, -1.0).norm(),
        angle_degrees: cosine.acos().to_degrees(),
    }
}

/// Two predictions as vectors in the plane that they span, and with them every guided one: `uncond + w (cond - uncond)` is a
/// weighted sum of the two, so it lies in that plane whatever `w` is.
///
/// The orthonormal basis is that of Gram and Schmidt: `e1 = uncond / ||uncond||`, and `e2` along `cond - (cond . e1) e1`. Lengths
/// and angles in the plane are those between the tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    /// Coordinates of `uncond`: its norm, and 0.
    pub uncond: [f64; 2],
    /// Coordinates of `cond`; the second is not negative.
    pub cond: [f64; 2],
}

impl Plane {
    /// The plane of two predictions, in f64. Where `uncond` vanishes, `e1` goes along `cond`.
    ///
    /// # Shapes
    /// `uncond`, `cond`: alike, any.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn spanned(uncond: &HostTensor, cond: &HostTensor) -> Self {
        assert_eq!(uncond.shape(), cond.shape(), "a plane spanned by predictions of different shapes");
        let norm = uncond.norm();
        if norm == 0.0 {
            return Self { uncond: [0.0; 2], cond: [cond.norm(), 0.0] };
        }
        let along = uncond.dot(cond) / norm;
        // The rest is measured itself rather than as a difference of squares, which would lose small angles.
        let share = along / norm;
        let rest = uncond.data().iter().zip(cond.data()).map(|(&u, &c)| (f64::from(c) - share * f64::from(u)).powi(2)).sum::<f64>();
        Self { uncond: [norm, 0.0], cond: [along, rest.sqrt()] }
    }

    /// `cond - uncond`: the way along which the scale moves the guided prediction.
    pub fn difference(&self) -> [f64; 2] {
        [self.cond[0] - self.uncond[0], self.cond[1] - self.uncond[1]]
    }

    /// The guided prediction at a scale `w`: [`guide`] in these coordinates.
    pub fn at(&self, guidance_scale: f64) -> [f64; 2] {
        let [x, y] = self.difference();
        [self.uncond[0] + guidance_scale * x, self.uncond[1] + guidance_scale * y]
    }

    /// The scale whose guided prediction is nearest to `point`; none where both predictions are the same.
    pub fn scale_near(&self, point: [f64; 2]) -> Option<f64> {
        let [x, y] = self.difference();
        let square = x * x + y * y;
        (square > 0.0).then(|| ((point[0] - self.uncond[0]) * x + (point[1] - self.uncond[1]) * y) / square)
    }

    /// Length of a vector in the plane.
    pub fn norm([x, y]: [f64; 2]) -> f64 {
        x.hypot(y)
    }

    /// Angle of a vector in the plane to `uncond`, in radians from `-pi` to `pi`.
    pub fn angle([x, y]: [f64; 2]) -> f64 {
        y.atan2(x)
    }
}

/// The timesteps at which guidance acts; at all others `w = 1`, the plain conditional model, which needs one evaluation only.
///
/// Kynkäänniemi et al. 2024, arXiv 2404.07724, section 3: the scale is `w` for noise levels in `(sigma_lo, sigma_hi]` and 1
/// elsewhere, in the convention of this file. Levels are named by their timesteps here, and the lower end belongs to the
/// interval, the upper one does not: `0..num_train` holds every timestep, and `t..t` none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuidanceInterval {
    /// The cleanest timestep that is guided.
    pub low: f64,
    /// The first noisier one that is not.
    pub high: f64,
}

impl GuidanceInterval {
    /// Whether a timestep is guided.
    pub fn contains(&self, timestep: f64) -> bool {
        (self.low..self.high).contains(&timestep)
    }
}

/// The scale that acts at a timestep: `w` within the interval, 1 outside; `w` everywhere without an interval.
pub fn scale_at(guidance_scale: f64, interval: Option<GuidanceInterval>, timestep: f64) -> f64 {
    if interval.is_none_or(|interval| interval.contains(timestep)) { guidance_scale } else { 1.0 }
}

/// A guided denoiser around two others.
pub struct Guided<U, C> {
    /// Answers without the prompt, or to the negative one.
    pub uncond: U,
    /// Answers to the prompt.
    pub cond: C,
    /// `w` in `uncond + w (cond - uncond)`.
    pub guidance_scale: f64,
}

impl<U: Denoise, C: Denoise> Denoise for Guided<U, C> {
    fn denoise(&mut self, x: &HostTensor, level: Level) -> Result<HostTensor, DenoiseError> {
        Ok(guide(&self.uncond.denoise(x, level)?, &self.cond.denoise(x, level)?, self.guidance_scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, gaussian};

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0)
    }

    #[test]
    fn the_plane_keeps_norms_angles_and_inner_products() {
        let uncond = gaussian(1, Stream::Eval, [1, 8, 16, 16]);
        for share in [1.0, 0.1, 1e-3] {
            let cond = uncond.lincomb(1.0 - share, &gaussian(2, Stream::Eval, [1, 8, 16, 16]), share);
            let (plane, known) = (Plane::spanned(&uncond, &cond), compare(&uncond, &cond));
            assert!(close(Plane::norm(plane.uncond), known.norm_uncond) && close(Plane::norm(plane.cond), known.norm_cond));
            assert!(close(Plane::norm(plane.difference()), known.norm_difference), "{share}");
            let dot = plane.uncond[0] * plane.cond[0] + plane.uncond[1] * plane.cond[1];
            assert!(close(dot, uncond.dot(&cond)), "{dot}");
            assert!((Plane::angle(plane.cond).to_degrees() - known.angle_degrees).abs() < 1e-4, "{share}");
            for w in [0.0, 1.0, 3.0, 7.5, 20.0] {
                let (flat, guided) = (plane.at(w), guide(&uncond, &cond, w));
                // The tensor is rounded to f32, which the plane is not.
                assert!((Plane::norm(flat) / guided.norm() - 1.0).abs() < 1e-6, "{share}, {w}");
                assert!((flat[0] * plane.uncond[0] - guided.dot(&uncond)).abs() < 1e-6 * guided.norm() * uncond.norm(), "{share}, {w}");
                assert!((plane.scale_near(flat).unwrap() - w).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn the_nearest_scale_is_the_foot_of_the_perpendicular() {
        let plane = Plane { uncond: [2.0, 0.0], cond: [2.0, 1.0] };
        assert_eq!(plane.scale_near([9.0, 7.5]), Some(7.5));
        assert_eq!(plane.scale_near([-9.0, -2.0]), Some(-2.0));
        assert_eq!(Plane { uncond: [2.0, 0.0], cond: [2.0, 0.0] }.scale_near([1.0, 1.0]), None);
    }

    #[test]
    fn a_plane_of_nothing_is_flat_and_finite() {
        let (zero, one) = (HostTensor::full([4], 0.0), HostTensor::full([4], 1.0));
        assert_eq!(Plane::spanned(&zero, &zero), Plane { uncond: [0.0; 2], cond: [0.0; 2] });
        assert_eq!(Plane::spanned(&zero, &one), Plane { uncond: [0.0; 2], cond: [2.0, 0.0] });
        assert_eq!(Plane::spanned(&one, &zero), Plane { uncond: [2.0, 0.0], cond: [0.0, 0.0] });
    }

    #[test]
    fn an_interval_holds_its_lower_end_and_not_its_upper_one() {
        let some = Some(GuidanceInterval { low: 200.0, high: 600.0 });
        let scales = [199.9, 200.0, 599.0, 600.0].map(|t| scale_at(7.5, some, t));
        assert_eq!(scales, [1.0, 7.5, 7.5, 1.0]);
        for timestep in 0..1000 {
            let timestep = f64::from(timestep);
            assert_eq!(scale_at(7.5, Some(GuidanceInterval { low: 0.0, high: 1000.0 }), timestep), 7.5);
            assert_eq!(scale_at(7.5, Some(GuidanceInterval { low: 300.0, high: 300.0 }), timestep), 1.0);
            assert_eq!(scale_at(7.5, None, timestep), 7.5);
        }
    }
}
