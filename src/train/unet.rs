//! Training of the denoiser: the noise in noised latents, given the caption (Ho et al. 2020, arXiv 2006.11239, eq. 14; Rombach et
//! al. 2022, arXiv 2112.10752, eq. 3), weighted by min-SNR (Hang et al. 2023, arXiv 2303.09556).

use super::assemble::PREDICTION;
use super::losses;
use super::optimizer::AdamWConfig;
use super::record::Part;
use super::runner::{Loss, Objective, PARTS, StopFlag};
use super::sampling::{Painter, training_schedule};
use super::scenes::{below, step_rng, unit};
use super::sheet;
use super::vars::{VarStore, Weights};
use super::{HELD_OUT, Result};
use crate::compute::Tensor as _;
use crate::compute::{Precision, with_precision};
use crate::diffusion::NoiseSchedule;
use crate::diffusion::objective::{MIN_SNR_GAMMA, min_snr_weight, target};
use crate::host::HostTensor;
use crate::model::clip::ClipTextModel;
use crate::model::params::Params;
use crate::model::taps::Taps;
use crate::model::tokenizer::ClipTokenizer;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::AutoencoderKl;
use crate::noise::{self, Stream};
use crate::world::Scene;
use candle_core::{Device, Tensor};
use rand::Rng;
use std::sync::Mutex;

/// AdamW as the denoiser is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 1e-2, clip: 1.0, ema: 0.9985 };
/// The share of captions that are replaced by the empty prompt, for guidance.
const CAPTION_DROPOUT: f64 = 0.1;
/// The share of the other captions that are the full, canonical sentence.
const FULL_CAPTIONS: f64 = 0.3;
/// Buckets of timesteps in the record.
const BUCKETS: usize = 10;
/// What the sample sheets show.
const PROMPTS: [&str; 8] = [
    "a red house left of a yellow hot air balloon at sea at night",
    "a purple castle in the desert at sunset",
    "a white sailboat at sea by day",
    "a green pine tree in the snow by day",
    "a yellow rocket over the meadow at night",
    "a blue lighthouse at sea at sunset",
    "a red mushroom in the meadow by day",
    "a pink windmill right of a blue house in the snow at sunset",
];

/// What the denoiser is trained with, all of it frozen.
pub struct Frozen {
    /// Text to tokens.
    pub tokenizer: ClipTokenizer,
    /// Tokens to embeddings.
    pub text: ClipTextModel<Tensor>,
    /// For sample sheets.
    pub vae: AutoencoderKl<Tensor>,
    /// `[N, C, h, w]`, unit deviation.
    pub latents: HostTensor,
    /// The scene of the first latents; the others follow.
    pub first_scene: u64,
}

/// The denoiser in training.
pub struct UnetObjective {
    unet: UNet2DConditionModel<Tensor>,
    config: UNet2DConditionConfig,
    frozen: Frozen,
    schedule: NoiseSchedule,
    seed: u64,
    batch: usize,
    device: Device,
    precision: Precision,
    stop: StopFlag,
}

/// The data of a step.
#[derive(Debug)]
pub struct UnetBatch {
    noisy: HostTensor,
    target: HostTensor,
    timesteps: Vec<usize>,
    weights: Vec<f64>,
    ids: Vec<u32>,
}

impl UnetObjective {
    /// A fresh network of `config`, and its variables.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn new(
        config: &UNet2DConditionConfig,
        frozen: Frozen,
        seed: u64,
        batch: usize,
        device: &Device,
        precision: Precision,
        stop: StopFlag,
    ) -> Result<(Self, VarStore)> {
        let store = Mutex::new(VarStore::new(seed ^ 0x756e_6574, device));
        let unet = UNet2DConditionModel::new(config, &Params::root(&store))?;
        let schedule = training_schedule()?;
        let (config, device) = (config.clone(), device.clone());
        let objective = Self { unet, config, frozen, schedule, seed, batch, device, precision, stop };
        Ok((objective, store.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)))
    }
}

impl Objective for UnetObjective {
    type Batch = UnetBatch;

    fn name(&self) -> &'static str {
        "unet"
    }

    fn fingerprint(&self) -> String {
        let scenes = self.frozen.latents.shape()[0];
        format!("unet, seed {}, batch {}, {scenes} scenes, {}", self.seed, self.batch, self.config.to_json())
    }

    fn parts(&self) -> Vec<&'static str> {
        // After the loss, the mean squared error of each tenth of the timesteps, cleanest first.
        vec!["loss", "mse", "mse_000", "mse_100", "mse_200", "mse_300", "mse_400", "mse_500", "mse_600", "mse_700", "mse_800", "mse_900"]
    }

    fn batch(&self, step: u64, _: usize) -> Result<Vec<UnetBatch>> {
        let mut rng = step_rng(self.seed, "unet", step);
        let Frozen { tokenizer, latents, first_scene, .. } = &self.frozen;
        let size = self.batch.div_ceil(PARTS);
        let mut left = self.batch;
        let mut parts = Vec::new();
        while left > 0 {
            let count = size.min(left);
            left -= count;
            let (mut noisy, mut targets, mut ids) = (Vec::new(), Vec::new(), Vec::new());
            let (mut timesteps, mut weights) = (Vec::new(), Vec::new());
            for _ in 0..count {
                let index = below(&mut rng, latents.shape()[0]);
                let timestep = below(&mut rng, self.schedule.len());
                let level = self.schedule.level(timestep);
                let x0 = latents.outer(index);
                let eps = noise::gaussian_from(&mut rng, x0.shape());
                let (dropped, full, caption_seed) = (unit(&mut rng) < CAPTION_DROPOUT, unit(&mut rng) < FULL_CAPTIONS, rng.next_u64());
                let caption = if dropped {
                    String::new()
                } else {
                    let scene = Scene::sample(first_scene + index as u64);
                    if full { scene.full_caption() } else { scene.caption(caption_seed) }
                };
                ids.extend(tokenizer.encode(&caption).ids);
                noisy.push(level.add_noise(&x0, &eps));
                targets.push(target(PREDICTION, &x0, &eps, level));
                weights.push(min_snr_weight(PREDICTION, level, MIN_SNR_GAMMA));
                timesteps.push(timestep);
            }
            let joined = |parts: &[HostTensor]| HostTensor::cat_outer(&parts.iter().collect::<Vec<_>>());
            parts.push(UnetBatch { noisy: joined(&noisy), target: joined(&targets), timesteps, weights, ids });
        }
        Ok(parts)
    }

    fn loss(&self, batch: UnetBatch) -> Result<Loss> {
        with_precision(self.precision, || {
            let UnetBatch { noisy, target, timesteps, weights, ids } = batch;
            let text = self.frozen.text.forward(&ids, timesteps.len())?.detach();
            let told: Vec<f64> = timesteps.iter().map(|&timestep| timestep as f64).collect();
            let x = Tensor::from_host(&noisy, &self.device)?;
            let output = self.unet.forward(&x, &told, &text, &self.device, &mut Taps::none())?;
            let (errors, loss, gradient) = losses::weighted_mse(&output.to_host()?, &target, &weights);
            let objective = losses::objective(&output, &gradient)?;
            let mut buckets = [(0.0, 0.0); BUCKETS];
            for (error, timestep) in errors.iter().zip(&timesteps) {
                let (sum, count) = &mut buckets[timestep * BUCKETS / self.schedule.len()];
                *sum += error;
                *count += 1.0;
            }
            let mse = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
            let mut parts = vec![Part::one(loss), Part::one(mse)];
            parts.extend(buckets.iter().map(|&(sum, count)| Part { value: if count > 0.0 { sum / count } else { 0.0 }, weight: count }));
            Ok(Loss { objective, parts, samples: timesteps.len() as u64 })
        })
    }

    fn sheet(&self, ema: &Weights) -> Result<Option<image::RgbImage>> {
        let unet = ema.build(|p| UNet2DConditionModel::new(&self.config, p))?;
        let Frozen { tokenizer, text, vae, .. } = &self.frozen;
        let painter = Painter {
            tokenizer,
            text,
            unet: &unet,
            vae,
            prediction: PREDICTION,
            schedule: &self.schedule,
            device: &self.device,
            stop: self.stop.clone(),
        };
        let (channels, side) = (self.config.in_channels, self.config.sample_size);
        let start = noise::gaussian(HELD_OUT, Stream::Eval, [PROMPTS.len(), channels, side, side]);
        let Some(latents) = painter.latents(&PROMPTS, &start, 20, 5.0)? else { return Ok(None) };
        Ok(Some(sheet::grid(&sheet::unbatch(&painter.decode(&latents)?), 4)))
    }
}
