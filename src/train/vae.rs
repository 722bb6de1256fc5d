//! Training of the autoencoder: reconstruction with a small pull towards unit Gaussian latents (Kingma and Welling 2013, arXiv
//! 1312.6114).
//!
//! The network is convolutional, so most of the time it sees square cut-outs of half the side, four times as many a second, most of
//! them around an object; whole pictures come last. A quarter of what it sees is no scene at all ([`crate::world::generic_rgb`]), so that other people's pictures come
//! through it too.

use super::losses::{self, Reconstruction};
use super::optimizer::{AdamWConfig, Gradients};
use super::record::Part;
use super::runner::{Objective, Share};
use super::scenes::{self, PicturePool, SIDE, below, divide, step_rng};
use super::vars::{Leaves, Variable, Weights, start};
use super::{HELD_OUT, Result, TrainError, sheet};
use crate::compute::{Differentiable, Precision, Tensor, with_precision};
use crate::host::HostTensor;
use crate::measure::{self, Sample};
use crate::model::ModelError;
use crate::model::params::Params;
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use crate::noise;
use crate::world::Scene;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::collections::VecDeque;
use std::ops::Range;

/// AdamW as the autoencoder is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, clip: 1.0, ema: 0.998 };
/// Weight of the divergence from unit Gaussian latents, per element: enough to keep them compact, little enough to keep fine detail.
const KL_WEIGHT: f64 = 2e-4;
/// The share of the budget that is spent on cut-outs.
const CROPS_UNTIL: f64 = 0.8;
/// Cut-outs taken of each picture, so that drawing pictures does not hold the training up.
const CROPS_PER_PICTURE: usize = 2;
/// Scenes that it is trained on.
const SCENES: usize = 12_288;
/// Of so many pictures one is generic, drawn anew each time.
const ONE_GENERIC_IN: usize = 4;

/// The autoencoder in training.
pub struct VaeObjective<T: Tensor> {
    config: AutoencoderKlConfig,
    pool: PicturePool,
    seed: u64,
    batch: usize,
    device: T::Device,
    precision: Precision,
    /// Of so many pictures one is generic; none where it is 0.
    one_generic_in: usize,
}

/// The data of a step.
#[derive(Debug)]
pub struct VaeBatch {
    pub(super) pictures: HostTensor,
    pub(super) noise: HostTensor,
}

/// How well an autoencoder keeps pictures.
#[derive(Debug, Clone)]
pub struct Fidelity {
    /// Peak signal-to-noise ratio of each picture, dB.
    pub psnr: Sample,
    /// Structural similarity of each picture.
    pub ssim: Sample,
    /// Peak signal-to-noise ratio of each generic picture, dB.
    pub generic_psnr: Sample,
    /// Structural similarity of each generic picture.
    pub generic_ssim: Sample,
    /// Standard deviation of the latents' means over all scenes and channels.
    pub latent_deviation: f64,
}

impl<T: Differentiable> VaeObjective<T> {
    /// What matrix products are computed in.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// The training of a network of `config`, and its variables at the start.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn new(
        config: &AutoencoderKlConfig,
        seed: u64,
        batch: usize,
        device: &T::Device,
        precision: Precision,
    ) -> Result<(Self, Vec<Variable>)> {
        let pool = PicturePool::new(0, SCENES, SIDE);
        let (device, one_generic_in) = (device.clone(), ONE_GENERIC_IN);
        let objective = Self { config: config.clone(), pool, seed, batch, device, precision, one_generic_in };
        let (_, variables) = start(seed, &objective.device, |p| objective.build(p))?;
        Ok((objective, variables))
    }

    /// The same on scenes alone.
    pub fn of_scenes(self) -> Self {
        Self { one_generic_in: 0, ..self }
    }
}

impl<T: Differentiable> Objective for VaeObjective<T> {
    type Tensor = T;
    type Model = AutoencoderKl<T>;
    type Batch = VaeBatch;

    fn device(&self) -> &T::Device {
        &self.device
    }

    fn build(&self, p: &Params<'_, T>) -> std::result::Result<AutoencoderKl<T>, ModelError> {
        AutoencoderKl::new(&self.config, p)
    }

    fn name(&self) -> &'static str {
        "vae"
    }

    fn fingerprint(&self) -> String {
        let Self { seed, batch, one_generic_in, .. } = self;
        format!("vae, seed {seed}, batch {batch}, one of {one_generic_in} generic, {}", self.config.to_json())
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["loss", "l1", "mse", "edges", "kl", "psnr"]
    }

    fn phase(&self, fraction: f64) -> usize {
        usize::from(fraction >= CROPS_UNTIL)
    }

    fn batch(&self, step: u64, phase: usize) -> Result<Vec<VaeBatch>> {
        let mut rng = step_rng(self.seed, "vae", step);
        let whole = phase > 0;
        let (count, side) = if whole { ((self.batch / 4).max(1), SIDE) } else { (self.batch, SIDE / 2) };
        let generic = count.checked_div(self.one_generic_in).unwrap_or(0);
        let per_picture = if whole { 1 } else { CROPS_PER_PICTURE };
        let mut crops = Vec::with_capacity(count);
        while crops.len() < count - generic {
            let index = below(&mut rng, self.pool.len());
            let scene = self.pool.scene(index);
            for _ in 0..per_picture.min(count - generic - crops.len()) {
                let [x, y] = cut_out(scene, side, &mut rng);
                crops.push((index, x, y));
            }
        }
        let scenes = self.pool.crops(&crops, side);
        let seeds: Vec<u64> = (0..generic).map(|_| u64::from(rng.next_u32())).collect();
        let pictures = if generic > 0 { interleaved(&scenes, &scenes::generic(&seeds, side)) } else { scenes };
        let latent = side / self.config.downsampling();
        let noise = noise::gaussian_from(&mut rng, [count, self.config.latent_channels, latent, latent]);
        let parts = divide(T::PARTS, &pictures).into_iter().zip(divide(T::PARTS, &noise));
        Ok(parts.map(|(pictures, noise)| VaeBatch { pictures, noise }).collect())
    }

    fn share(&self, leaves: &Leaves<T>, model: &AutoencoderKl<T>, part: VaeBatch) -> Result<Share> {
        with_precision(self.precision, || {
            let VaeBatch { pictures, noise } = part;
            let samples = pictures.shape()[0] as u64;
            let (mean, logvar) = model.encode(&T::from_host(&pictures, &self.device)?)?;
            let moments = Moments { mean: mean.to_host()?, logvar: logvar.to_host()? };
            let (kl, [mut by_mean, mut by_logvar]) = losses::kl(&moments.mean, &moments.logvar, KL_WEIGHT);
            let variables = leaves.tensors();
            // The latents are made on the host, so the decoder begins at a leaf of its own.
            let (sums, mut gradients, by_latents) = {
                let latents = T::variable(&moments.sample(&noise), &self.device)?;
                let output = model.decode(&latents)?;
                let loss = losses::reconstruction(&output.to_host()?, &pictures);
                let ends: Vec<&T> = variables.iter().copied().chain([&latents]).collect();
                let mut gradients = T::backward(&[(&output, &loss.gradient)], &ends)?;
                let by_latents = gradients.pop().flatten();
                (loss, gradients, by_latents.ok_or_else(|| TrainError::Missing("no gradient reaches the latents".into()))?)
            };
            moments.add_slopes(&noise, &by_latents, by_mean.data_mut(), by_logvar.data_mut());
            join(&mut gradients, T::backward(&[(&mean, &by_mean), (&logvar, &by_logvar)], &variables)?);
            let Reconstruction { l1, mse, edges, total, .. } = sums;
            // Pixels are in -1..1 here, so their peak is 2.
            let psnr = -10.0 * (mse / 4.0).max(1e-12).log10();
            let parts = [total + KL_WEIGHT * kl, l1, mse, edges, kl, psnr].map(Part::one).to_vec();
            Ok(Share { parts, samples, gradients })
        })
    }

    fn sheet(&self, ema: &Weights) -> Result<Option<image::RgbImage>> {
        let model = ema.build(&self.device, |p| self.build(p))?;
        let scenes = PicturePool::new(HELD_OUT, 8, SIDE).batch(&(0..8).collect::<Vec<_>>());
        let generic = scenes::generic(&(HELD_OUT..HELD_OUT + 8).collect::<Vec<_>>(), SIDE);
        let mut rows = Vec::new();
        for pictures in [scenes, generic] {
            let (mean, _) = model.encode(&T::from_host(&pictures, &self.device)?)?;
            let output = model.decode(&mean)?.to_host()?;
            rows.extend([sheet::unbatch(&pictures), sheet::unbatch(&output)].concat());
        }
        Ok(Some(sheet::grid(&rows, 8)))
    }
}

/// Of so many cut-outs all but one lie around an object: that is where the detail is.
const ONE_ANYWHERE_IN: usize = 4;

/// The upper left corner of a cut-out of `side` pixels.
fn cut_out(scene: &Scene, side: usize, rng: &mut ChaCha8Rng) -> [usize; 2] {
    let room = SIDE - side;
    let anywhere = [below(rng, room + 1), below(rng, room + 1)];
    if below(rng, ONE_ANYWHERE_IN) == 0 || scene.objects.is_empty() {
        return anywhere;
    }
    let center = scene.objects[below(rng, scene.objects.len())].center();
    center.map(|at| {
        let shift = below(rng, side / 2 + 1) as f64 - side as f64 / 4.0;
        (f64::from(at) * SIDE as f64 - side as f64 / 2.0 + shift).round().clamp(0.0, room as f64) as usize
    })
}

/// The Gaussian of the latents.
pub(super) struct Moments {
    pub mean: HostTensor,
    pub logvar: HostTensor,
}

impl Moments {
    /// `mean + exp(logvar / 2) noise` (Kingma and Welling 2013, arXiv 1312.6114, section 2.4).
    pub fn sample(&self, noise: &HostTensor) -> HostTensor {
        let spread = self.logvar.zip(noise, |logvar, noise| (0.5 * logvar).exp() * noise);
        self.mean.zip(&spread, |mean, spread| mean + spread)
    }

    /// Adds to the gradients with respect to the moments what [`Self::sample`] passes on of the gradient `by_sample`.
    fn add_slopes(&self, noise: &HostTensor, by_sample: &[f32], by_mean: &mut [f32], by_logvar: &mut [f32]) {
        by_mean.iter_mut().zip(by_sample).for_each(|(sum, slope)| *sum += slope);
        let spread = self.logvar.data().iter().zip(noise.data()).map(|(logvar, noise)| 0.5 * (0.5 * logvar).exp() * noise);
        by_logvar.iter_mut().zip(spread.zip(by_sample)).for_each(|(sum, (spread, slope))| *sum += spread * slope);
    }
}

/// Joins the gradients of two parts of a network; a variable of both gets the sum.
pub(super) fn join(sum: &mut Gradients, other: Gradients) {
    for (sum, other) in sum.iter_mut().zip(other) {
        match (sum.as_mut(), other) {
            (Some(sum), Some(other)) => sum.iter_mut().zip(other).for_each(|(sum, value)| *sum += value),
            (None, other) => *sum = other,
            (Some(_), None) => {}
        }
    }
}

/// Spreads the rows of `b` evenly among those of `a`, so that every part of a batch has its share.
fn interleaved(a: &HostTensor, b: &HostTensor) -> HostTensor {
    let [mut a, mut b] = [a, b].map(|x| (0..x.shape()[0]).map(|row| x.outer(row)).collect::<VecDeque<_>>());
    let every = (a.len() + b.len()) / b.len().max(1);
    let rows: Vec<HostTensor> = (1..=a.len() + b.len())
        .filter_map(|at| if at % every == 0 { b.pop_front().or_else(|| a.pop_front()) } else { a.pop_front().or_else(|| b.pop_front()) })
        .collect();
    HostTensor::cat_outer(&rows.iter().collect::<Vec<_>>())
}

/// Held-out generic pictures are a part of this of the held-out scenes.
const GENERIC_SHARE: usize = 2;

/// Measures `model` on `count` held-out scenes and on half as many held-out generic pictures. Latents are the means.
///
/// # Errors
/// When the network fails.
pub fn fidelity<T: Tensor>(model: &AutoencoderKl<T>, count: usize, device: &T::Device) -> Result<Fidelity> {
    let pool = PicturePool::new(HELD_OUT, count, SIDE);
    let (mut sum, mut squares, mut values) = (0.0_f64, 0.0_f64, 0.0_f64);
    let (psnr, ssim) = kept(
        model,
        count,
        device,
        |range| pool.batch(&range.collect::<Vec<_>>()),
        |mean| {
            for &value in mean.data() {
                sum += f64::from(value);
                squares += f64::from(value) * f64::from(value);
                values += 1.0;
            }
        },
    )?;
    let generic = |range: Range<usize>| scenes::generic(&range.map(|index| HELD_OUT + index as u64).collect::<Vec<_>>(), SIDE);
    let (generic_psnr, generic_ssim) = kept(model, count / GENERIC_SHARE, device, generic, |_| ())?;
    let mean = sum / values;
    Ok(Fidelity { psnr, ssim, generic_psnr, generic_ssim, latent_deviation: (squares / values - mean * mean).sqrt() })
}

/// PSNR and SSIM of what `model` makes of `count` pictures in -1..1; the means of the latents go to `latents`.
fn kept<T: Tensor>(
    model: &AutoencoderKl<T>,
    count: usize,
    device: &T::Device,
    pictures: impl Fn(Range<usize>) -> HostTensor,
    mut latents: impl FnMut(&HostTensor),
) -> Result<(Sample, Sample)> {
    let (mut psnr, mut ssim) = (Sample::default(), Sample::default());
    for start in (0..count).step_by(16) {
        let pictures = pictures(start..count.min(start + 16));
        let (mean, _) = model.encode(&T::from_host(&pictures, device)?)?;
        let output = model.decode(&mean)?.to_host()?.map(|v| v.clamp(-1.0, 1.0));
        for (picture, output) in sheet::unbatch(&pictures).iter().zip(sheet::unbatch(&output)) {
            psnr.add(measure::psnr(&output, picture)?);
            ssim.add(measure::ssim(&output, picture)?);
        }
        latents(&mean.to_host()?);
    }
    Ok((psnr, ssim))
}
