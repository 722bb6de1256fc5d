//! More training for the decoder alone, with the encoder frozen: pictures get crisper while every latent stays what it is, so a
//! denoiser trained on the latents goes on to fit. A critic ([`super::adversary`]) sees to it that edges are edges. The latents are
//! noisier than the encoder makes them, some a little and some more, so that those of a denoiser, which are never quite those of a
//! picture, come out crisp too.

use super::Result;
use super::adversary::{self, Critic};
use super::losses::{self, Reconstruction};
use super::optimizer::AdamWConfig;
use super::record::Part;
use super::runner::{Objective, Share};
use super::vae::{self, Moments, VaeBatch, VaeObjective};
use super::vars::{Leaves, Variable, Weights, start};
use crate::compute::{Differentiable, Precision, Tensor, with_precision};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::params::{Init, ParamSource, Params};
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use std::sync::Mutex;

/// AdamW as the decoder is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, clip: 1.0, ema: 0.999 };

/// The critic's pull on the pixels, as a share of the norm of the reconstruction's gradient.
const PULL: f64 = 0.5;
/// Steps in which the critic finds its feet, before it pulls, and in which its pull then grows.
const WARMUP_STEPS: u64 = 300;
/// The largest deviation of the noise on latents, as a share of their own; each sample of a batch gets another, evenly spread.
const LATENT_NOISE: f64 = 0.2;
/// Where the critic's variables lie.
const CRITIC: &str = "critic";

/// Whether a weight of the autoencoder belongs to its decoder.
fn of_decoder(path: &str) -> bool {
    path.starts_with("decoder.") || path.starts_with("post_quant_conv.")
}

/// The decoder in training.
pub struct DecoderObjective<T: Tensor> {
    data: VaeObjective<T>,
    frozen: Weights,
    /// Of the latents, over all scenes.
    latent_deviation: f64,
}

impl<T: Differentiable> DecoderObjective<T> {
    /// The training of the decoder of an autoencoder with these `weights`, and its variables.
    ///
    /// # Errors
    /// When the weights do not fit the configuration.
    pub fn new(
        config: &AutoencoderKlConfig,
        weights: Weights,
        seed: u64,
        batch: usize,
        device: &T::Device,
        precision: Precision,
    ) -> Result<(Self, Vec<Variable>)> {
        let (data, _) = VaeObjective::<T>::new(config, seed ^ 0x6465_636f, batch, device, precision)?;
        let (own, frozen): (Vec<_>, Vec<_>) = weights.list.into_iter().partition(|(path, _)| of_decoder(path));
        let mut variables: Vec<_> = own.into_iter().map(|(path, values)| Variable { path, values }).collect();
        let (_, critic) = start::<T, _>(seed ^ 0x6372_6974, device, |p| Critic::new(&p.pp(CRITIC)))?;
        variables.extend(critic);
        Ok((Self { data, frozen: Weights::new(frozen), latent_deviation: 1.0 / config.scaling_factor }, variables))
    }

    /// The whole autoencoder's weights, with those of the decoder in training.
    pub fn whole(&self, decoder: &Weights) -> Weights {
        let own = decoder.list.iter().filter(|(path, _)| of_decoder(path));
        Weights::new(self.frozen.list.iter().chain(own).cloned().collect())
    }
}

/// Variables for the decoder, frozen weights for the rest.
struct Both<'a, 'p, T: Tensor> {
    variables: &'a Params<'p, T>,
    frozen: &'a Weights,
    device: &'a T::Device,
}

impl<T: Tensor> ParamSource<T> for Both<'_, '_, T> {
    fn param(&mut self, path: &str, shape: &[usize], init: Init) -> std::result::Result<T, ModelError> {
        match self.frozen.get(path) {
            Some(values) if values.shape() == shape => Ok(T::from_host(values, self.device)?),
            Some(values) => Err(ModelError::Internal(format!("the weight {path} has the shape {:?}, expected {shape:?}", values.shape()))),
            None => self.variables.get(path, shape, init),
        }
    }

    fn has(&self, path: &str) -> bool {
        self.frozen.get(path).is_some() || self.variables.has(path)
    }
}

/// The autoencoder and its critic.
pub struct Pair<T: Tensor> {
    autoencoder: AutoencoderKl<T>,
    critic: Critic<T>,
}

/// The data of a step.
#[derive(Debug)]
pub struct DecoderBatch {
    pictures: VaeBatch,
    /// The critic's pull in this step.
    pull: f64,
}

impl<T: Differentiable> Objective for DecoderObjective<T> {
    type Tensor = T;
    type Model = Pair<T>;
    type Batch = DecoderBatch;

    fn device(&self) -> &T::Device {
        self.data.device()
    }

    fn build(&self, p: &Params<'_, T>) -> std::result::Result<Pair<T>, ModelError> {
        let both = Mutex::new(Both { variables: p, frozen: &self.frozen, device: self.device() });
        Ok(Pair { autoencoder: self.data.build(&Params::root(&both))?, critic: Critic::new(&p.pp(CRITIC))? })
    }

    fn name(&self) -> &'static str {
        "decoder"
    }

    fn fingerprint(&self) -> String {
        format!("decoder with a critic of {}", self.data.fingerprint())
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["loss", "l1", "mse", "edges", "psnr", "critic"]
    }

    fn phase(&self, fraction: f64) -> usize {
        self.data.phase(fraction)
    }

    fn batch(&self, step: u64, phase: usize) -> Result<Vec<DecoderBatch>> {
        let pull = PULL * (step.saturating_sub(WARMUP_STEPS) as f64 / WARMUP_STEPS as f64).min(1.0);
        Ok(self.data.batch(step, phase)?.into_iter().map(|pictures| DecoderBatch { pictures, pull }).collect())
    }

    fn share(&self, leaves: &Leaves<T>, model: &Pair<T>, part: DecoderBatch) -> Result<Share> {
        with_precision(self.data.precision(), || {
            let DecoderBatch { pictures: VaeBatch { pictures, noise }, pull } = part;
            let samples = pictures.shape()[0] as u64;
            let Pair { autoencoder, critic } = model;
            let (mean, logvar) = autoencoder.encode(&T::from_host(&pictures, self.device())?)?;
            let logvar = noisier(&logvar.to_host()?, LATENT_NOISE * self.latent_deviation);
            let latents = Moments { mean: mean.to_host()?, logvar }.sample(&noise);
            let output = autoencoder.decode(&T::from_host(&latents, self.device())?)?;
            let picture = output.to_host()?;
            let Reconstruction { l1, mse, edges, total, gradient } = losses::reconstruction(&picture, &pictures);
            let verdict = adversary::criticise(self, leaves, critic, &pictures, &picture)?;
            let gradient = adversary::balanced(&gradient, &verdict.by_output, pull);
            let mut gradients = T::backward(&[(&output, &gradient)], &leaves.tensors())?;
            vae::join(&mut gradients, verdict.own);
            // Pixels are in -1..1 here, so their peak is 2.
            let psnr = -10.0 * (mse / 4.0).max(1e-12).log10();
            let parts = [total, l1, mse, edges, psnr, verdict.loss].map(Part::one).to_vec();
            Ok(Share { parts, samples, gradients })
        })
    }

    fn sheet(&self, ema: &Weights) -> Result<Option<image::RgbImage>> {
        self.data.sheet(&self.whole(ema))
    }
}

/// The log variances `[B, ..]` with that of more noise added, of deviation 0 for the first sample up to nearly `most` for the last.
fn noisier(logvar: &HostTensor, most: f64) -> HostTensor {
    let batch = logvar.shape()[0];
    let of_a_sample = logvar.len() / batch.max(1);
    let more = |at: usize| (most * (at / of_a_sample.max(1)) as f64 / batch as f64).powi(2);
    HostTensor::from_fn(logvar.shape(), |at| (f64::from(logvar.data()[at]).exp() + more(at)).ln() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::CpuTensor;
    use crate::train::runner;

    #[test]
    fn noise_is_spread_over_the_batch() {
        let logvar = HostTensor::full([4, 2, 1, 1], (0.09_f32).ln());
        let deviations = noisier(&logvar, 0.8).map(|l| (0.5 * l).exp());
        for (at, want) in [0.3, 0.3, 0.13_f32.sqrt(), 0.13_f32.sqrt(), 0.5, 0.5, 0.45_f32.sqrt(), 0.45_f32.sqrt()].into_iter().enumerate() {
            assert!((deviations.data()[at] - want).abs() < 1e-5, "{at}: {} against {want}", deviations.data()[at]);
        }
    }

    /// Every variable of the decoder gets a gradient, and the encoder is none of them.
    #[test]
    fn the_decoder_is_trained_and_nothing_else() {
        let config = AutoencoderKlConfig { block_out_channels: vec![8, 8], norm_num_groups: 4, ..AutoencoderKlConfig::littleworld() };
        let (_, all) = start::<CpuTensor, _>(3, &(), |p| AutoencoderKl::new(&config, p)).unwrap();
        let weights = Weights::new(all.iter().map(|v| (v.path.clone(), v.values.clone())).collect());
        let (objective, variables) = DecoderObjective::<CpuTensor>::new(&config, weights, 0, 4, &(), Precision::F32).unwrap();
        let decoders = variables.iter().filter(|v| of_decoder(&v.path)).count();
        assert!(decoders > 0 && variables.iter().all(|v| of_decoder(&v.path) || v.path.starts_with(CRITIC)));
        assert_eq!(objective.frozen.list.len() + decoders, all.len());
        let optimizer = crate::train::optimizer::AdamW::new(variables, ADAMW);
        let shares = runner::evaluate(&objective, &optimizer, objective.batch(0, 0).unwrap()).unwrap();
        assert!(shares.iter().all(|share| share.gradients.iter().all(Option::is_some)));
        let sheet_weights = objective.whole(&optimizer.ema());
        assert_eq!(sheet_weights.list.len(), all.len());
        assert!(objective.batch(0, 0).unwrap().iter().all(|part| part.pull == 0.0));
        assert!(objective.batch(2 * WARMUP_STEPS, 0).unwrap().iter().all(|part| part.pull == PULL));
    }
}
