//! What a denoising network is trained on: the target and the weight of its squared error.

use crate::diffusion::level::Level;
use crate::diffusion::prediction::PredictionType;
use crate::diffusion::schedule::NoiseSchedule;
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

/// How densely training visits the log-SNR axis when timesteps are drawn evenly: at the middle of every `every` timesteps the log-SNR
/// and the density `p = 1 / n / |d log_snr|` per unit of it (Kingma and Gao 2023, arXiv 2303.00848, section 2.1). Where log-SNR has an
/// end nowhere (zero terminal SNR), that stretch is left out.
///
/// # Panics
/// When `every` is 0.
pub fn log_snr_density(schedule: &NoiseSchedule, every: usize) -> Vec<[f64; 2]> {
    let count = schedule.len();
    let stretch = |from: usize| {
        let to = (from + every).min(count - 1);
        let (high, low) = (schedule.level(from).log_snr(), schedule.level(to).log_snr());
        let density = (to - from) as f64 / count as f64 / (high - low);
        (density.is_finite() && low.is_finite()).then_some([0.5 * (high + low), density])
    };
    (0..count - 1).step_by(every).filter_map(stretch).collect()
}

/// What a squared error of the noise weighs in a loss that compares the answers of a network: `(d output / d eps)^2`, and times
/// [`min_snr_weight`] where `min_snr` is given. Times [`log_snr_density`] it is the weight of the loss in the form
/// `1/2 integral weight |eps - eps_hat|^2 d log_snr` that all of them have (Kingma and Gao 2023, arXiv 2303.00848, table 1).
pub fn eps_weight(prediction: PredictionType, level: Level, min_snr: Option<f64>) -> f64 {
    let compared = PredictionType::Epsilon.sensitivity(prediction, level).powi(2);
    compared * min_snr.map_or(1.0, |gamma| min_snr_weight(prediction, level, gamma))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::SCHEDULES;

    #[test]
    fn the_density_over_log_snr_integrates_to_the_share_of_the_timesteps() {
        for info in SCHEDULES {
            let schedule = info.build(&[], 1000).expect("the defaults are a schedule");
            for every in [1, 4, 7] {
                let density = log_snr_density(&schedule, every);
                assert!(density.iter().all(|[_, p]| *p > 0.0));
                let stretch = |from: usize| {
                    let to = (from + every).min(999);
                    (schedule.level(to).alpha > 0.0)
                        .then(|| (schedule.level(from).log_snr() - schedule.level(to).log_snr(), (to - from) as f64 / 1000.0))
                };
                let stretches: Vec<(f64, f64)> = (0..999).step_by(every).filter_map(stretch).collect();
                assert_eq!(stretches.len(), density.len());
                let whole: f64 = stretches.iter().zip(&density).map(|((width, _), [_, p])| p * width).sum();
                let share: f64 = stretches.iter().map(|(_, share)| share).sum();
                assert!((whole - share).abs() < 1e-9 && share > 0.99, "{}: {whole}, not {share}", info.id);
            }
            let zero = schedule.rescaled_zero_terminal_snr().expect("can be rescaled");
            assert_eq!(log_snr_density(&zero, 1).len(), 998, "the stretch without an end is left out");
        }
    }

    #[test]
    fn even_log_snr_is_an_even_density() {
        let schedule = NoiseSchedule::from_log_snr(|time| 5.0 - 10.0 * time, 500).expect("falls");
        assert!(log_snr_density(&schedule, 1).iter().all(|[_, p]| (p - 0.1).abs() < 1e-6));
    }

    #[test]
    fn losses_weigh_the_noise_as_their_definitions_say() {
        use PredictionType::{Epsilon, Flow, Sample, VPrediction};
        let weight = |prediction, log_snr, min_snr| eps_weight(prediction, Level::from_log_snr(log_snr), min_snr);
        for log_snr in [-6.0_f64, -1.0, 0.0, 2.0, 7.0] {
            let snr = log_snr.exp();
            let near = |got: f64, expected: f64| assert!((got / expected - 1.0).abs() < 1e-9, "{got}, not {expected}, at {log_snr}");
            near(weight(Epsilon, log_snr, None), 1.0);
            near(weight(Sample, log_snr, None), snr.recip());
            near(weight(VPrediction, log_snr, None), 1.0 + snr.recip());
            near(weight(Flow, log_snr, None), (1.0 + snr.sqrt().recip()).powi(2));
            // Min-SNR makes the gradient the same whatever is predicted.
            for prediction in [Epsilon, Sample, VPrediction, Flow] {
                near(weight(prediction, log_snr, Some(MIN_SNR_GAMMA)), (MIN_SNR_GAMMA / snr).min(1.0));
            }
        }
    }
}
