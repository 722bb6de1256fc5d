//! Training of the denoiser: the noise in noised latents, given the caption (Ho et al. 2020, arXiv 2006.11239, eq. 14; Rombach et
//! al. 2022, arXiv 2112.10752, eq. 3), weighted by min-SNR (Hang et al. 2023, arXiv 2303.09556). It sees no scene with a held-out
//! pair of kind and colour.

use super::assemble::{NUM_TRAIN_TIMESTEPS, PREDICTION};
use super::losses;
use super::optimizer::AdamWConfig;
use super::record::Part;
use super::runner::{Objective, Share, StopFlag};
use super::sampling::{Painter, training_schedule};
use super::scenes::{below, step_rng, unit};
use super::sheet;
use super::vars::{Leaves, Variable, Weights, start};
use super::{HELD_OUT, Result, TrainError};
use crate::compute::{Differentiable, Precision, Tensor, with_precision};
use crate::diffusion::NoiseSchedule;
use crate::diffusion::objective::{MIN_SNR_GAMMA, min_snr_weight, target};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::clip::ClipTextModel;
use crate::model::params::Params;
use crate::model::taps::Taps;
use crate::model::tokenizer::ClipTokenizer;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::AutoencoderKl;
use crate::noise::{self, Stream};
use crate::world::{MAX_OBJECTS, Scene};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// AdamW as the denoiser is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 1e-2, clip: 1.0, ema: 0.9985 };
/// The share of captions that are replaced by the empty prompt, for guidance.
const CAPTION_DROPOUT: f64 = 0.1;
/// The share of the other captions that are the full, canonical sentence.
const FULL_CAPTIONS: f64 = 0.3;
/// Buckets of timesteps in the record.
const BUCKETS: usize = 10;
/// Parts of the loss: after the loss, the mean squared error, over all and of each tenth of the timesteps, cleanest first.
pub(super) const COLUMNS: [&str; 2 + BUCKETS] =
    ["loss", "mse", "mse_000", "mse_100", "mse_200", "mse_300", "mse_400", "mse_500", "mse_600", "mse_700", "mse_800", "mse_900"];
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
pub struct Frozen<T: Tensor> {
    /// Text to tokens.
    pub tokenizer: ClipTokenizer,
    /// Tokens to embeddings.
    pub text: ClipTextModel<T>,
    /// For sample sheets.
    pub vae: AutoencoderKl<T>,
    /// `[N, C, h, w]`, unit deviation.
    pub latents: HostTensor,
    /// The scenes of the latents, by seed.
    pub seeds: Vec<u64>,
}

/// How the denoiser is trained.
#[derive(Debug, Clone)]
pub struct UnetPlan {
    /// The network.
    pub config: UNet2DConditionConfig,
    /// How often scenes with one, two and three objects are drawn, relative to their share of all scenes. Positive.
    pub object_weights: [f64; MAX_OBJECTS],
    /// Decides the start, the data and every draw.
    pub seed: u64,
    /// Samples a step.
    pub batch: usize,
    /// Of matrix products.
    pub precision: Precision,
}

/// The denoiser in training.
pub struct UnetObjective<T: Tensor> {
    plan: UnetPlan,
    frozen: Frozen<T>,
    schedule: NoiseSchedule,
    device: T::Device,
    stop: StopFlag,
}

/// The data of a part of a step.
#[derive(Debug)]
pub struct UnetBatch {
    /// What the network is told.
    pub(super) told: Told,
    /// The tokens of the captions, one after another.
    ids: Vec<u32>,
}

/// Noised latents and what is to be said of them.
#[derive(Debug)]
pub(super) struct Told {
    pub noisy: HostTensor,
    pub target: HostTensor,
    pub timesteps: Vec<usize>,
    pub weights: Vec<f64>,
}

impl<T: Differentiable> UnetObjective<T> {
    /// The training of a network, and its variables at the start.
    ///
    /// # Errors
    /// When it cannot be built, or a weight is not positive.
    pub fn new(plan: UnetPlan, frozen: Frozen<T>, device: &T::Device, stop: StopFlag) -> Result<(Self, Vec<Variable>)> {
        if !plan.object_weights.iter().all(|weight| weight.is_finite() && *weight > 0.0) {
            return Err(TrainError::Missing(format!("the weights {:?} of scenes are not positive", plan.object_weights)));
        }
        let seed = plan.seed ^ 0x756e_6574;
        let objective = Self { plan, frozen, schedule: training_schedule()?, device: device.clone(), stop };
        let (_, variables) = start(seed, device, |p| objective.build(p))?;
        Ok((objective, variables))
    }

    /// A scene to train on.
    fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        draw(rng, self.frozen.latents.shape()[0], &self.plan.object_weights, |index| self.scene(index).objects.len())
    }

    fn scene(&self, index: usize) -> Scene {
        Scene::sample(self.frozen.seeds[index])
    }

    /// One of the examples of a step, each from a stream of its own.
    fn example(&self, step: u64, sample: usize) -> Example {
        let mut rng = step_rng(self.plan.seed, "unet", step * self.plan.batch as u64 + sample as u64);
        let Frozen { tokenizer, latents, .. } = &self.frozen;
        let index = self.draw(&mut rng);
        let timestep = below(&mut rng, self.schedule.len());
        let level = self.schedule.level(timestep);
        let x0 = latents.outer(index);
        let eps = noise::gaussian_from(&mut rng, x0.shape());
        let (dropped, full, caption_seed) = (unit(&mut rng) < CAPTION_DROPOUT, unit(&mut rng) < FULL_CAPTIONS, rng.next_u64());
        let caption = if dropped {
            String::new()
        } else {
            let scene = self.scene(index);
            if full { scene.full_caption() } else { scene.caption(caption_seed) }
        };
        Example {
            noisy: level.add_noise(&x0, &eps),
            target: target(PREDICTION, &x0, &eps, level),
            weight: min_snr_weight(PREDICTION, level, MIN_SNR_GAMMA),
            timestep,
            ids: tokenizer.encode(&caption).ids,
        }
    }
}

/// A noised latent and what is to be said of it, with the tokens of its caption.
struct Example {
    noisy: HostTensor,
    target: HostTensor,
    weight: f64,
    timestep: usize,
    ids: Vec<u32>,
}

/// One of `count` scenes by chance, each as likely as the weight of its number of objects says.
fn draw(rng: &mut ChaCha8Rng, count: usize, weights: &[f64; MAX_OBJECTS], objects: impl Fn(usize) -> usize) -> usize {
    let largest = weights.iter().fold(0.0, |largest: f64, &weight| largest.max(weight));
    loop {
        let index = below(rng, count);
        if unit(rng) * largest < weights[objects(index).clamp(1, MAX_OBJECTS) - 1] {
            return index;
        }
    }
}

/// The share of a part of a batch: the noise that `unet` sees in it, given the text embeddings.
///
/// # Errors
/// When the network fails.
pub(super) fn share<T: Differentiable>(
    leaves: &Leaves<T>,
    unet: &UNet2DConditionModel<T>,
    told: &Told,
    text: &T,
    device: &T::Device,
) -> Result<Share> {
    let Told { noisy, target, timesteps, weights } = told;
    let times: Vec<f64> = timesteps.iter().map(|&timestep| timestep as f64).collect();
    let output = unet.forward(&T::from_host(noisy, device)?, &times, text, device, &mut Taps::none())?;
    let (errors, loss, gradient) = losses::weighted_mse(&output.to_host()?, target, weights);
    let mut buckets = [(0.0, 0.0); BUCKETS];
    for (error, timestep) in errors.iter().zip(timesteps) {
        let (sum, count) = &mut buckets[timestep * BUCKETS / NUM_TRAIN_TIMESTEPS];
        *sum += error;
        *count += 1.0;
    }
    let mse = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
    let mut parts = vec![Part::one(loss), Part::one(mse)];
    parts.extend(buckets.iter().map(|&(sum, count)| Part { value: if count > 0.0 { sum / count } else { 0.0 }, weight: count }));
    Share::of(leaves, &[(&output, &gradient)], parts, timesteps.len() as u64)
}

impl<T: Differentiable> Objective for UnetObjective<T> {
    type Tensor = T;
    type Model = UNet2DConditionModel<T>;
    type Batch = UnetBatch;

    fn device(&self) -> &T::Device {
        &self.device
    }

    fn build(&self, p: &Params<'_, T>) -> std::result::Result<UNet2DConditionModel<T>, ModelError> {
        UNet2DConditionModel::new(&self.plan.config, p)
    }

    fn name(&self) -> &'static str {
        "unet"
    }

    fn fingerprint(&self) -> String {
        let UnetPlan { config, object_weights, seed, batch, .. } = &self.plan;
        let (scenes, last) = (self.frozen.latents.shape()[0], self.frozen.seeds.last().copied().unwrap_or_default());
        format!("unet, seed {seed}, batch {batch}, {scenes} scenes up to {last} weighted {object_weights:?}, {}", config.to_json())
    }

    fn parts(&self) -> Vec<&'static str> {
        COLUMNS.to_vec()
    }

    fn batch(&self, step: u64, _: usize) -> Result<Vec<UnetBatch>> {
        let size = self.plan.batch.div_ceil(T::PARTS);
        let part = |start: usize| {
            let samples = start..self.plan.batch.min(start + size);
            let examples: Vec<Example> = samples.into_par_iter().map(|sample| self.example(step, sample)).collect();
            let joined = |part: fn(&Example) -> &HostTensor| HostTensor::cat_outer(&examples.iter().map(part).collect::<Vec<_>>());
            let told = Told {
                noisy: joined(|e| &e.noisy),
                target: joined(|e| &e.target),
                timesteps: examples.iter().map(|e| e.timestep).collect(),
                weights: examples.iter().map(|e| e.weight).collect(),
            };
            UnetBatch { told, ids: examples.iter().flat_map(|e| e.ids.iter().copied()).collect() }
        };
        Ok((0..self.plan.batch).step_by(size.max(1)).map(part).collect())
    }

    fn share(&self, leaves: &Leaves<T>, unet: &UNet2DConditionModel<T>, part: UnetBatch) -> Result<Share> {
        with_precision(self.plan.precision, || {
            let text = self.frozen.text.forward(&part.ids, part.told.timesteps.len())?;
            share(leaves, unet, &part.told, &text, &self.device)
        })
    }

    fn sheet(&self, ema: &Weights) -> Result<Option<image::RgbImage>> {
        let unet = ema.build(&self.device, |p| self.build(p))?;
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
        let (channels, side) = (self.plan.config.in_channels, self.plan.config.sample_size);
        let start = noise::gaussian(HELD_OUT, Stream::Eval, [PROMPTS.len(), channels, side, side]);
        let Some(latents) = painter.latents(&PROMPTS, &start, 20, 5.0)? else { return Ok(None) };
        Ok(Some(sheet::grid(&sheet::unbatch(&painter.decode(&latents)?), 4)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenes_are_drawn_by_their_weights() {
        let mut rng = step_rng(0, "test", 0);
        let mut counts = [0_usize; 3];
        for _ in 0..9000 {
            counts[draw(&mut rng, 3, &[1.0, 2.0, 1.5], |index| index + 1)] += 1;
        }
        for (count, want) in counts.into_iter().zip([2000_usize, 4000, 3000]) {
            assert!(count.abs_diff(want) < 150, "{counts:?}");
        }
    }
}
