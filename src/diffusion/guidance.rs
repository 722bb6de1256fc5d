//! Classifier-free guidance: pushing a prediction away from what the model says without the prompt.
//!
//! Ho and Salimans 2022, arXiv 2207.12598. This project, like the diffusers library and Stable Diffusion, writes
//! `eps_uncond + w (eps_cond - eps_uncond)`: `w = 0` ignores the prompt, `w = 1` is the plain conditional model. The paper
//! writes `(1 + w') eps_cond - w' eps_uncond` (eq. 6), so `w = 1 + w'`.

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
