//! Training of the autoencoder: reconstruction with a small pull towards unit Gaussian latents (Kingma and Welling 2013, arXiv
//! 1312.6114).
//!
//! The network is convolutional, so most of the time it sees square cut-outs of half the side, four times as many a second; whole
//! pictures come last.

use super::losses::{self, Reconstruction};
use super::optimizer::AdamWConfig;
use super::record::Part;
use super::runner::{Loss, Objective, PARTS};
use super::scenes::{PicturePool, SIDE, below, divide, step_rng};
use super::vars::{VarStore, Weights};
use super::{HELD_OUT, Result, sheet};
use crate::compute::Tensor as _;
use crate::compute::{Precision, with_precision};
use crate::host::HostTensor;
use crate::measure::{self, Sample};
use crate::model::params::Params;
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use crate::noise;
use candle_core::{Device, Tensor};
use std::sync::Mutex;

/// AdamW as the autoencoder is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, clip: 1.0, ema: 0.998 };
/// Weight of the divergence from unit Gaussian latents, per element.
const KL_WEIGHT: f64 = 1e-3;
/// The share of the budget that is spent on cut-outs.
const CROPS_UNTIL: f64 = 0.8;
/// Cut-outs taken of each picture, so that drawing pictures does not hold the training up.
const CROPS_PER_PICTURE: usize = 2;
/// Scenes that it is trained on.
const SCENES: usize = 12_288;

/// The autoencoder in training.
pub struct VaeObjective {
    model: AutoencoderKl<Tensor>,
    config: AutoencoderKlConfig,
    pool: PicturePool,
    seed: u64,
    batch: usize,
    device: Device,
    precision: Precision,
}

/// The data of a step.
#[derive(Debug)]
pub struct VaeBatch {
    pictures: HostTensor,
    noise: HostTensor,
}

/// How well an autoencoder keeps pictures.
#[derive(Debug, Clone)]
pub struct Fidelity {
    /// Peak signal-to-noise ratio of each picture, dB.
    pub psnr: Sample,
    /// Structural similarity of each picture.
    pub ssim: Sample,
    /// Standard deviation of the latents' means over all pictures and channels.
    pub latent_deviation: f64,
}

impl VaeObjective {
    /// A fresh network of `config`, and its variables.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn new(config: &AutoencoderKlConfig, seed: u64, batch: usize, device: &Device, precision: Precision) -> Result<(Self, VarStore)> {
        let store = Mutex::new(VarStore::new(seed, device));
        let model = AutoencoderKl::new(config, &Params::root(&store))?;
        let pool = PicturePool::new(0, SCENES, SIDE);
        let objective = Self { model, config: config.clone(), pool, seed, batch, device: device.clone(), precision };
        Ok((objective, store.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)))
    }
}

impl Objective for VaeObjective {
    type Batch = VaeBatch;

    fn name(&self) -> &'static str {
        "vae"
    }

    fn fingerprint(&self) -> String {
        format!("vae, seed {}, batch {}, {}", self.seed, self.batch, self.config.to_json())
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
        let pictures = if whole {
            let indices: Vec<usize> = (0..count).map(|_| below(&mut rng, self.pool.len())).collect();
            self.pool.batch(&indices)
        } else {
            let crops: Vec<_> = (0..count.div_ceil(CROPS_PER_PICTURE))
                .flat_map(|_| {
                    let index = below(&mut rng, self.pool.len());
                    [(); CROPS_PER_PICTURE].map(|()| (index, below(&mut rng, SIDE - side + 1), below(&mut rng, SIDE - side + 1)))
                })
                .take(count)
                .collect();
            self.pool.crops(&crops, side)
        };
        let latent = side / self.config.downsampling();
        let noise = noise::gaussian_from(&mut rng, [count, self.config.latent_channels, latent, latent]);
        let parts = divide(PARTS, &pictures).into_iter().zip(divide(PARTS, &noise));
        Ok(parts.map(|(pictures, noise)| VaeBatch { pictures, noise }).collect())
    }

    fn loss(&self, batch: VaeBatch) -> Result<Loss> {
        with_precision(self.precision, || {
            let VaeBatch { pictures, noise } = batch;
            let samples = pictures.shape()[0] as u64;
            let (mean, logvar) = self.model.encode(&Tensor::from_host(&pictures, &self.device)?)?;
            let (kl, [by_mean, by_logvar]) = losses::kl(&mean.to_host()?, &logvar.to_host()?, KL_WEIGHT);
            let noise = Tensor::from_host(&noise, &self.device)?;
            let latents = (&mean + logvar.affine(0.5, 0.0)?.exp()?.mul(&noise)?)?;
            let output = self.model.decode(&latents)?;
            let Reconstruction { l1, mse, edges, total, gradient } = losses::reconstruction(&output.to_host()?, &pictures);
            let pull = (losses::objective(&mean, &by_mean)? + losses::objective(&logvar, &by_logvar)?)?;
            let objective = (losses::objective(&output, &gradient)? + pull)?;
            // Pixels are in -1..1 here, so their peak is 2.
            let psnr = -10.0 * (mse / 4.0).max(1e-12).log10();
            let parts = [total + KL_WEIGHT * kl, l1, mse, edges, kl, psnr].map(Part::one).to_vec();
            Ok(Loss { objective, parts, samples })
        })
    }

    fn sheet(&self, ema: &Weights) -> Result<Option<image::RgbImage>> {
        let model = ema.build(|p| AutoencoderKl::new(&self.config, p))?;
        let held_out = PicturePool::new(HELD_OUT, 8, SIDE);
        let pictures = held_out.batch(&(0..8).collect::<Vec<_>>());
        let (mean, _) = model.encode(&Tensor::from_host(&pictures, &self.device)?)?;
        let output = model.decode(&mean)?.to_host()?;
        Ok(Some(sheet::grid(&[sheet::unbatch(&pictures), sheet::unbatch(&output)].concat(), 8)))
    }
}

/// Measures `model` on `count` held-out scenes. Latents are the means.
///
/// # Errors
/// When the network fails.
pub fn fidelity(model: &AutoencoderKl<Tensor>, count: usize, device: &Device) -> Result<Fidelity> {
    let pool = PicturePool::new(HELD_OUT, count, SIDE);
    let (mut psnr, mut ssim) = (Sample::default(), Sample::default());
    let (mut sum, mut squares, mut values) = (0.0_f64, 0.0_f64, 0.0_f64);
    for start in (0..count).step_by(16) {
        let indices: Vec<usize> = (start..count.min(start + 16)).collect();
        let pictures = pool.batch(&indices);
        let (mean, _) = model.encode(&Tensor::from_host(&pictures, device)?)?;
        let output = model.decode(&mean)?.to_host()?.map(|v| v.clamp(-1.0, 1.0));
        for (picture, output) in sheet::unbatch(&pictures).iter().zip(sheet::unbatch(&output)) {
            psnr.add(measure::psnr(&output, picture)?);
            ssim.add(measure::ssim(&output, picture)?);
        }
        for &value in mean.to_host()?.data() {
            sum += f64::from(value);
            squares += f64::from(value) * f64::from(value);
            values += 1.0;
        }
    }
    let mean = sum / values;
    Ok(Fidelity { psnr, ssim, latent_deviation: (squares / values - mean * mean).sqrt() })
}
