//! What `diffuscope train` does: each network in turn, with the settings that worked.

use super::assemble::{Folders, write_json};
use super::budget::{Budget, RateSchedule};
use super::optimizer::{AdamW, AdamWConfig};
use super::runner::{self, Objective, Outcome, RunOptions, StopFlag};
use super::vars::VarStore;
use super::{Result, vae};
use crate::compute::candle::Precision;
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use candle_core::Device;
use serde_json::json;
use std::time::Duration;

/// How a training command was called.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where everything goes.
    pub folders: Folders,
    /// For how long.
    pub budget: Budget,
    /// Whether to go on from a checkpoint.
    pub resume: bool,
    /// Where to compute.
    pub device: Device,
    /// Of matrix products.
    pub precision: Precision,
    /// Samples a step; the recipe's by default.
    pub batch: Option<usize>,
    /// Peak learning rate; the recipe's by default.
    pub learning_rate: Option<f64>,
    /// Decides the start, the data and every draw.
    pub seed: u64,
    /// Whether to show progress.
    pub progress: bool,
    /// How to end early.
    pub stop: StopFlag,
}

/// Time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);

impl Setup {
    fn options(&self, rate: RateSchedule, sheet_every: Duration) -> RunOptions {
        RunOptions {
            out: self.folders.out.clone(),
            budget: self.budget,
            rate: RateSchedule { peak: self.learning_rate.unwrap_or(rate.peak), ..rate },
            resume: self.resume,
            checkpoint_every: CHECKPOINT_EVERY,
            sheet_every,
            row_every: 50,
            progress: self.progress,
            stop: self.stop.clone(),
        }
    }

    fn train<O: Objective>(&self, objective: &O, store: VarStore, adamw: AdamWConfig, options: &RunOptions) -> Result<Outcome> {
        let mut optimizer = AdamW::new(store.into_vars(), adamw)?;
        self.say(&format!("{}: {:.2} M parameters", objective.name(), optimizer.count() as f64 / 1e6));
        runner::run(objective, &mut optimizer, options)
    }

    fn say(&self, text: &str) {
        if self.progress {
            eprintln!("{text}");
        }
    }
}

/// Held-out scenes that the autoencoder is measured on.
const HELD_OUT_PICTURES: usize = 256;

/// Trains the autoencoder, measures it, and writes it with its scaling factor. False when it was stopped early.
///
/// # Errors
/// When training fails.
pub fn train_vae(setup: &Setup) -> Result<bool> {
    let config = AutoencoderKlConfig::littleworld();
    let batch = setup.batch.unwrap_or(16);
    let (objective, store) = vae::VaeObjective::new(&config, setup.seed, batch, &setup.device, setup.precision)?;
    let rate = RateSchedule { peak: 1.5e-3, warmup_steps: 100, decay_from: 0.6, floor: 0.02 };
    let outcome = setup.train(&objective, store, vae::ADAMW, &setup.options(rate, Duration::from_secs(180)))?;
    if !outcome.finished {
        return Ok(false);
    }
    let model = outcome.ema.build(|p| AutoencoderKl::new(&config, p))?;
    let fidelity = vae::fidelity(&model, HELD_OUT_PICTURES, &setup.device)?;
    let scaling_factor = 1.0 / fidelity.latent_deviation;
    setup.folders.save_vae(&AutoencoderKlConfig { scaling_factor, ..config }, &outcome.ema)?;
    let (psnr, ssim) = (&fidelity.psnr, &fidelity.ssim);
    setup.say(&format!(
        "vae: PSNR {:.2} +- {:.2} dB, SSIM {:.4} +- {:.4} on {HELD_OUT_PICTURES} held-out scenes; scaling factor {scaling_factor:.4}",
        psnr.mean(),
        psnr.half_width(),
        ssim.mean(),
        ssim.half_width()
    ));
    write_json(
        &setup.folders.out.join("vae.json"),
        &json!({
            "steps": outcome.position.step, "samples": outcome.position.samples, "seconds": outcome.position.seconds,
            "psnr_db": psnr.mean(), "psnr_db_half_width": psnr.half_width(), "ssim": ssim.mean(), "ssim_half_width": ssim.half_width(),
            "held_out_scenes": HELD_OUT_PICTURES, "scaling_factor": scaling_factor,
        }),
    )?;
    Ok(true)
}
