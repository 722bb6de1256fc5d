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
    Convention::Beyond.of_w(guidance_scale)
}

/// The two ways of writing a guidance scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Convention {
    /// `uncond + w (cond - uncond)`: 1 is no guidance. This project, diffusers, Stable Diffusion, Imagen.
    #[default]
    FromUncond,
    /// `(1 + w') cond - w' uncond`: 0 is no guidance. Ho and Salimans 2022, eq. 6; Kynkäänniemi et al. 2024 write the former.
    Beyond,
}

impl Convention {
    /// Both.
    pub const ALL: [Self; 2] = [Self::FromUncond, Self::Beyond];

    /// Name on screen.
    pub fn label(self) -> &'static str {
        match self {
            Self::FromUncond => "w, where 1 is no guidance",
            Self::Beyond => "w′, where 0 is no guidance",
        }
    }

    /// The scale in this convention for a `w`.
    pub fn of_w(self, w: f64) -> f64 {
        match self {
            Self::FromUncond => w,
            Self::Beyond => w - 1.0,
        }
    }

    /// The `w` for a scale in this convention.
    pub fn to_w(self, scale: f64) -> f64 {
        match self {
            Self::FromUncond => scale,
            Self::Beyond => scale + 1.0,
        }
    }
}

/// Brings a guided answer back to the contrast of the conditional one, by a share `phi` from 0 (not at all) to 1 (fully):
/// `phi std(cond) / std(guided) guided + (1 - phi) guided` (Lin et al. 2023, arXiv 2305.08891, section 3.4, eq. 15 and 16).
///
/// Deviations are taken over each sample of the batch by itself. It is meant for what the network answers: the result depends on what
/// that is, since a deviation is not affine. Where the guided answer is the same everywhere it stays as it is.
///
/// # Shapes
/// `guided`, `cond` and the result: alike, `[B, ..]`.
///
/// # Panics
/// When the shapes differ.
pub fn rescale(guided: &HostTensor, cond: &HostTensor, phi: f64) -> HostTensor {
    assert_eq!(guided.shape(), cond.shape(), "rescaling an answer by one of another shape");
    if phi == 0.0 || guided.is_empty() {
        return guided.clone();
    }
    let size = guided.len() / guided.shape().first().copied().unwrap_or(1);
    let factors: Vec<f64> = guided
        .data()
        .chunks(size)
        .zip(cond.data().chunks(size))
        .map(|(guided, cond)| {
            let from = deviation(guided);
            if from > 0.0 { phi * deviation(cond) / from + (1.0 - phi) } else { 1.0 }
        })
        .collect();
    HostTensor::from_fn(guided.shape(), |i| (f64::from(guided.data()[i]) * factors[i / size]) as f32)
}

/// The standard deviation of values around their own mean.
fn deviation(values: &[f32]) -> f64 {
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
    (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// Everything that guidance can be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guidance {
    /// `w` in `uncond + w (cond - uncond)`.
    pub scale: f64,
    /// `phi` of [`rescale`], from 0 to 1.
    pub rescale: f64,
    /// The timesteps at which it acts, where it is not all of them.
    pub interval: Option<GuidanceInterval>,
}

impl Default for Guidance {
    /// None: the plain conditional model.
    fn default() -> Self {
        Self { scale: 1.0, rescale: 0.0, interval: None }
    }
}

impl Guidance {
    /// The scale that acts at a timestep.
    pub fn scale_at(&self, timestep: f64) -> f64 {
        scale_at(self.scale, self.interval, timestep)
    }

    /// Which of the two answers a timestep needs: `(uncond, cond)`.
    pub fn needs(&self, timestep: f64) -> (bool, bool) {
        let scale = self.scale_at(timestep);
        (scale != 1.0, scale != 0.0 || self.rescale != 0.0)
    }

    /// The guided answer of the network at a timestep.
    ///
    /// # Shapes
    /// `uncond` (to the empty or the negative prompt), `cond` and the result: alike, `[B, ..]`.
    ///
    /// # Panics
    /// When the shapes differ.
    pub fn guide(&self, uncond: &HostTensor, cond: &HostTensor, timestep: f64) -> HostTensor {
        let scale = self.scale_at(timestep);
        let guided = guide(uncond, cond, scale);
        if scale == 1.0 { guided } else { rescale(&guided, cond, self.rescale) }
    }
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
    fn the_conventions_name_the_same_guidance() {
        let (uncond, cond) = (gaussian(1, Stream::Eval, [8]), gaussian(2, Stream::Eval, [8]));
        for w in [0.0, 1.0, 7.5] {
            let beyond = Convention::Beyond.of_w(w);
            let paper = cond.lincomb(1.0 + beyond, &uncond, -beyond);
            assert!(guide(&uncond, &cond, w).lincomb(1.0, &paper, -1.0).norm() < 1e-5);
            for convention in Convention::ALL {
                assert_eq!(convention.to_w(convention.of_w(w)), w);
            }
            assert_eq!(paper_scale(w), beyond);
        }
    }

    #[test]
    fn rescaling_gives_back_the_contrast_of_the_conditional_answer() {
        let (uncond, cond) = (gaussian(1, Stream::Eval, [2, 4, 8]), gaussian(2, Stream::Eval, [2, 4, 8]).map(|v| 0.5 * v + 0.2));
        let guided = guide(&uncond, &cond, 7.5);
        assert_eq!(rescale(&guided, &cond, 0.0), guided);
        let [full, half] = [1.0, 0.5].map(|phi| rescale(&guided, &cond, phi));
        for sample in 0..2 {
            let of = |tensor: &HostTensor| deviation(tensor.outer(sample).data());
            assert!(close(of(&full), of(&cond)) && of(&guided) > 2.0 * of(&cond));
            assert!(close(of(&half), 0.5 * (of(&cond) + of(&guided))));
        }
        // A factor for each sample, so directions stay.
        assert!((compare(&full.outer(0), &guided.outer(0)).angle_degrees).abs() < 0.1);
        let flat = HostTensor::full([1, 4], 3.0);
        assert_eq!(rescale(&flat, &flat, 1.0), flat);
    }

    #[test]
    fn guidance_asks_for_what_it_needs_and_no_more() {
        let interval = Some(GuidanceInterval { low: 100.0, high: 600.0 });
        let all = Guidance { scale: 7.5, rescale: 0.7, interval };
        assert_eq!((all.needs(50.0), all.needs(300.0)), ((false, true), (true, true)));
        assert_eq!(Guidance { scale: 0.0, ..Guidance::default() }.needs(300.0), (true, false));
        assert_eq!(Guidance { scale: 0.0, rescale: 0.7, interval: None }.needs(300.0), (true, true));
        let (uncond, cond) = (gaussian(1, Stream::Eval, [1, 8]), gaussian(2, Stream::Eval, [1, 8]));
        assert_eq!(all.guide(&uncond, &cond, 50.0), cond);
        assert_eq!(all.guide(&uncond, &cond, 300.0), rescale(&guide(&uncond, &cond, 7.5), &cond, 0.7));
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
