//! What a denoising network is trained on: the target and the weight of its squared error.

use crate::diffusion::level::Level;
use crate::diffusion::prediction::PredictionType;
use crate::host::HostTensor;

/// The gamma that Hang et al. 2023 recommend for [`min_snr_weight`].
pub const MIN_SNR_GAMMA: f64 = 5.0;

/// What the network should answer at `x = alpha x0 + sigma eps`; see [`PredictionType::from_parts`].
///
/// # Shapes
/// `x0`, `eps` and the result: alike, any.
///
/// # Panics
/// When the shapes differ.
pub fn target(prediction: PredictionType, x0: &HostTensor, eps: &HostTensor, level: Level) -> HostTensor {
    prediction.from_parts(x0, eps, level)
}

/// The squared error of the noise that a predicted clean sample implies: `|eps - eps_hat|^2 = SNR |x0 - x0_hat|^2`, the mean over the
/// elements. Half of it, integrated over `gamma = -log SNR`, is the loss in continuous time (Kingma et al. 2021, arXiv 2107.00630).
///
/// # Shapes
/// `x0`, `denoised`: alike, any.
///
/// # Panics
/// When the shapes differ.
pub fn eps_loss(x0: &HostTensor, denoised: &HostTensor, level: Level) -> f64 {
    let off = x0.lincomb(level.alpha / level.sigma, denoised, -level.alpha / level.sigma);
    off.dot(&off) / off.len() as f64
}

/// Min-SNR weight of the squared error of an answer (Hang et al. 2023, arXiv 2303.09556, section 3.4).
///
/// On `x0` the weight is `min(snr, gamma)`; for other answers it is that times `(d x0 / d output)^2`, so that the gradient
/// is the same whatever the network predicts: `min(1, gamma / snr)` for epsilon, `min(snr, gamma) / (snr + 1)` for v.
///
/// Never negative, and finite at every level: pure noise and clean data included.
pub fn min_snr_weight(prediction: PredictionType, level: Level, gamma: f64) -> f64 {
    let snr = level.snr();
    match prediction {
        // The product would be 0 * infinity at pure noise.
        PredictionType::Epsilon => (gamma / snr).min(1.0),
        other => snr.min(gamma) * other.x0_sensitivity(level).powi(2),
    }
}
