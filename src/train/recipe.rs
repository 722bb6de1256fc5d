//! What `diffuscope train` does: each network in turn, with the settings that worked.

use super::assemble::{Folders, save_weights, weights_of, write_json};
use super::budget::{Budget, RateSchedule};
use super::optimizer::{AdamW, AdamWConfig};
use super::runner::{self, Objective, Outcome, RunOptions, StopFlag};
use super::scenes::training_seeds;
use super::unet::{Frozen, UnetObjective, UnetPlan};
use super::vars::{Variable, Weights, begin_with};
use super::{Result, TrainError, clip, decoder, judge, latents, unet, vae};
use crate::compute::{Differentiable, Precision, Tensor};
use crate::measure::Judge;
use crate::model::unet::UNet2DConditionConfig;
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use crate::world::MAX_OBJECTS;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// How a training command was called.
#[derive(Debug, Clone)]
pub struct Setup<T: Tensor> {
    /// Where everything goes.
    pub folders: Folders,
    /// For how long.
    pub budget: Budget,
    /// Whether to go on from a checkpoint.
    pub resume: bool,
    /// Where to compute.
    pub device: T::Device,
    /// Of matrix products.
    pub precision: Precision,
    /// Samples a step; the recipe's by default.
    pub batch: Option<usize>,
    /// A model folder whose weights the autoencoder or the denoiser starts from; a random start by default.
    pub from: Option<PathBuf>,
    /// Peak learning rate; the recipe's by default.
    pub learning_rate: Option<f64>,
    /// Scenes that the denoiser is trained on; the recipe's by default.
    pub scenes: Option<usize>,
    /// Whether the autoencoder sees no generic pictures, so that it can be measured what these cost.
    pub scenes_only: bool,
    /// Decides the start, the data and every draw.
    pub seed: u64,
    /// Whether to show progress.
    pub progress: bool,
    /// How to end early.
    pub stop: StopFlag,
}

/// Weights that a training starts from.
struct Beginning {
    folder: PathBuf,
    weights: Weights,
}

/// Time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(120);

impl<T: Differentiable> Setup<T> {
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

    fn train<O: Objective>(&self, objective: &O, variables: Vec<Variable>, adamw: AdamWConfig, options: &RunOptions) -> Result<Outcome> {
        let mut optimizer = AdamW::new(variables, adamw);
        self.say(&format!("{}: {:.2} M parameters", objective.name(), optimizer.count() as f64 / 1e6));
        runner::run(objective, &mut optimizer, options)
    }

    /// The weights that the training of `part` starts from, where a folder was given.
    fn beginning(&self, part: &str) -> Result<Option<Beginning>> {
        let folder = self.from.as_ref().map(|from| from.join(part));
        folder.map(|folder| Ok(Beginning { weights: weights_of(&folder)?, folder })).transpose()
    }

    /// `variables` with the values of their `beginning`, if there is one.
    fn begin(&self, mut variables: Vec<Variable>, beginning: Option<Beginning>) -> Result<Vec<Variable>> {
        if let Some(Beginning { folder, weights }) = beginning {
            self.say(&format!("starting from the weights in {}", folder.display()));
            begin_with(&mut variables, &weights).map_err(|detail| TrainError::Content { path: folder, detail })?;
        }
        Ok(variables)
    }

    /// The same with a share of the time.
    fn with_share(&self, share: f64) -> Self {
        let budget = match self.budget {
            Budget::Time(total) => Budget::Time(total.mul_f64(share)),
            steps @ Budget::Steps(_) => steps,
        };
        Self { budget, ..self.clone() }
    }

    fn say(&self, text: &str) {
        if self.progress {
            eprintln!("{text}");
        }
    }

    /// Says how well an autoencoder keeps pictures, and writes it to the record of the part `name`.
    fn tell_fidelity(&self, name: &str, outcome: &Outcome, fidelity: &vae::Fidelity, scaling_factor: f64) -> Result<()> {
        let vae::Fidelity { psnr, ssim, generic_psnr, generic_ssim, .. } = fidelity;
        for (what, psnr, ssim) in [("held-out scenes", psnr, ssim), ("held-out generic pictures", generic_psnr, generic_ssim)] {
            let (of_psnr, of_ssim) = (psnr.half_width(), ssim.half_width());
            let count = psnr.len();
            self.say(&format!(
                "{name}: PSNR {:.2} +- {of_psnr:.2} dB, SSIM {:.4} +- {of_ssim:.4} on {count} {what}",
                psnr.mean(),
                ssim.mean()
            ));
        }
        write_json(
            &self.folders.out.join(format!("{name}.json")),
            &json!({
                "steps": outcome.position.step, "samples": outcome.position.samples, "seconds": outcome.position.seconds,
                "psnr_db": psnr.mean(), "psnr_db_half_width": psnr.half_width(), "ssim": ssim.mean(), "ssim_half_width": ssim.half_width(),
                "held_out_scenes": psnr.len(), "held_out_generic": generic_psnr.len(),
                "generic_psnr_db": generic_psnr.mean(), "generic_psnr_db_half_width": generic_psnr.half_width(),
                "generic_ssim": generic_ssim.mean(), "generic_ssim_half_width": generic_ssim.half_width(), "scaling_factor": scaling_factor,
            }),
        )
    }
}

/// Held-out scenes that the autoencoder is measured on.
const HELD_OUT_PICTURES: usize = 256;

/// Trains the autoencoder, measures it, and writes it with its scaling factor. False when it was stopped early.
///
/// # Errors
/// When training fails.
pub fn train_vae<T: Differentiable>(setup: &Setup<T>) -> Result<bool> {
    let beginning = setup.beginning("vae")?;
    let config = AutoencoderKlConfig::littleworld();
    let batch = setup.batch.unwrap_or(16);
    let (objective, variables) = vae::VaeObjective::<T>::new(&config, setup.seed, batch, &setup.device, setup.precision)?;
    let objective = if setup.scenes_only { objective.of_scenes() } else { objective };
    let rate = RateSchedule { peak: 1.5e-3, warmup_steps: 100, decay_from: 0.6, floor: 0.02 };
    let variables = setup.begin(variables, beginning)?;
    let outcome = setup.train(&objective, variables, vae::ADAMW, &setup.options(rate, Duration::from_secs(180)))?;
    if !outcome.finished {
        return Ok(false);
    }
    let model = outcome.ema.build::<T, _>(&setup.device, |p| AutoencoderKl::new(&config, p))?;
    let fidelity = vae::fidelity(&model, HELD_OUT_PICTURES, &setup.device)?;
    let scaling_factor = 1.0 / fidelity.latent_deviation;
    setup.folders.save_vae(&AutoencoderKlConfig { scaling_factor, ..config }, &outcome.ema)?;
    setup.say(&format!("vae: scaling factor {scaling_factor:.4}"));
    setup.tell_fidelity("vae", &outcome, &fidelity, scaling_factor)?;
    Ok(true)
}

/// Goes on training the decoder of the autoencoder that is there, with the encoder frozen, and writes the autoencoder again, its
/// latents unchanged. False when it was stopped early.
///
/// # Errors
/// When there is no autoencoder yet or training fails.
pub fn train_decoder<T: Differentiable>(setup: &Setup<T>) -> Result<bool> {
    let (config, weights) = setup.folders.vae_weights()?;
    let batch = setup.batch.unwrap_or(16);
    let (objective, variables) = decoder::DecoderObjective::<T>::new(&config, weights, setup.seed, batch, &setup.device, setup.precision)?;
    let rate = RateSchedule { peak: 1e-3, warmup_steps: 100, decay_from: 0.4, floor: 0.02 };
    let outcome = setup.train(&objective, variables, decoder::ADAMW, &setup.options(rate, Duration::from_secs(180)))?;
    if !outcome.finished {
        return Ok(false);
    }
    let weights = objective.whole(&outcome.ema);
    let model = weights.build::<T, _>(&setup.device, |p| AutoencoderKl::new(&config, p))?;
    let fidelity = vae::fidelity(&model, HELD_OUT_PICTURES, &setup.device)?;
    setup.folders.save_vae(&config, &weights)?;
    setup.tell_fidelity("decoder", &outcome, &fidelity, config.scaling_factor)?;
    Ok(true)
}

/// Learns the vocabulary, trains the text encoder against a picture encoder, measures and writes them. False when it was
/// stopped early.
///
/// # Errors
/// When training fails.
pub fn train_clip<T: Differentiable>(setup: &Setup<T>) -> Result<bool> {
    let Setup { folders, device, .. } = setup;
    if !(setup.resume && folders.part("tokenizer").join("vocab.json").exists()) {
        let (vocab, merges) = clip::learn_vocabulary();
        folders.save_tokenizer(&vocab, &merges)?;
    }
    let tokenizer = folders.load_tokenizer()?;
    setup.say(&format!("clip: {} tokens", tokenizer.vocab_size()));
    let batch = setup.batch.unwrap_or(256);
    let (objective, variables) = clip::ClipObjective::<T>::new(tokenizer.clone(), setup.seed, batch, device, setup.precision)?;
    let rate = RateSchedule { peak: 1.5e-3, warmup_steps: 40, decay_from: 0.4, floor: 0.02 };
    let outcome = setup.train(&objective, variables, clip::ADAMW, &setup.options(rate, Duration::MAX))?;
    if !outcome.finished {
        return Ok(false);
    }
    let pair = outcome.ema.build::<T, _>(device, |p| clip::ClipPair::new(objective.config(), p))?;
    let retrieval = clip::retrieval(&pair, &tokenizer, HELD_OUT_PICTURES, device)?;
    let binding = clip::binding(&pair, &tokenizer, HELD_OUT_PICTURES, device)?;
    let (text, rest) = clip::split(&outcome.ema);
    folders.save_text_encoder(objective.config(), &text)?;
    save_weights(&folders.image_encoder(), &rest)?;
    setup.say(&format!(
        "clip: top-1 in {HELD_OUT_PICTURES} held-out scenes: caption of picture {:.3}, picture of caption {:.3}",
        retrieval.text_of_picture, retrieval.picture_of_text
    ));
    setup.say(&format!(
        "clip: scene rather than twin: with colours exchanged {:.3}, with places exchanged {:.3}",
        binding.colors.value(),
        binding.places.value()
    ));
    write_json(
        &folders.out.join("clip.json"),
        &json!({
            "steps": outcome.position.step, "samples": outcome.position.samples, "seconds": outcome.position.seconds,
            "held_out_scenes": HELD_OUT_PICTURES, "text_of_picture": retrieval.text_of_picture,
            "picture_of_text": retrieval.picture_of_text, "colours_exchanged": binding.colors.value(),
            "places_exchanged": binding.places.value(), "tokens": tokenizer.vocab_size(),
        }),
    )?;
    Ok(true)
}

/// Held-out scenes of one object, and of two, that the judge is measured on.
const HELD_OUT_JUDGED: usize = 768;

/// Trains the judge, measures and writes it; with an autoencoder at hand, on its reconstructions too. False when it was
/// stopped early.
///
/// # Errors
/// When training fails.
pub fn train_judge<T: Differentiable>(setup: &Setup<T>) -> Result<bool> {
    let Setup { folders, device, .. } = setup;
    let vae = match folders.load_vae::<T>(device) {
        Ok(vae) => Some(vae),
        Err(TrainError::Missing(_)) => None,
        Err(error) => return Err(error),
    };
    let batch = setup.batch.unwrap_or(96);
    let (objective, variables) = judge::JudgeObjective::new(vae.as_ref(), setup.seed, batch, device, setup.precision)?;
    let rate = RateSchedule { peak: 2e-3, warmup_steps: 50, decay_from: 0.4, floor: 0.02 };
    let outcome = setup.train(&objective, variables, judge::ADAMW, &setup.options(rate, Duration::MAX))?;
    if !outcome.finished {
        return Ok(false);
    }
    let trained = outcome.ema.build::<T, _>(device, Judge::new)?;
    let accuracy = judge::accuracy(&trained, vae.as_ref(), HELD_OUT_JUDGED, device)?;
    save_weights(&folders.judge(), &outcome.ema)?;
    let mut record = json!({
        "steps": outcome.position.step, "samples": outcome.position.samples, "seconds": outcome.position.seconds,
        "held_out_scenes": HELD_OUT_JUDGED,
    });
    for (seen, tallies) in [("rendered", accuracy.rendered), ("reconstructed", accuracy.reconstructed)] {
        for (objects, tally) in ["one_object", "two_objects"].into_iter().zip(tallies) {
            let asked: Vec<_> = tally.columns().filter(|(_, share)| share.trials > 0).collect();
            if asked.is_empty() {
                continue;
            }
            let told = asked.iter().map(|(name, share)| format!("{name} {:.3} +- {:.3}", share.value(), share.half_width()));
            setup.say(&format!("judge: {seen}, {objects}: {}", told.collect::<Vec<_>>().join(", ")));
            for (name, share) in asked {
                record[seen][objects][name] = json!({ "share": share.value(), "half_width": share.half_width(), "scenes": share.trials });
            }
        }
    }
    write_json(&folders.out.join("judge.json"), &record)?;
    Ok(true)
}

/// Scenes that the denoiser is trained on.
const LATENT_SCENES: usize = 20_480;
/// How often scenes with one, two and three objects are drawn, relative to their share: two objects are what is hard.
const OBJECT_WEIGHTS: [f64; MAX_OBJECTS] = [1.0, 2.0, 1.0];

/// Encodes the scenes, trains the denoiser and completes the pipeline folder. False when it was stopped early.
///
/// # Errors
/// When training fails.
pub fn train_unet<T: Differentiable>(setup: &Setup<T>) -> Result<bool> {
    let Setup { folders, device, stop, .. } = setup;
    let beginning = setup.beginning("unet")?;
    let (tokenizer, text, vae) = (folders.load_tokenizer()?, folders.load_text_encoder::<T>(device)?, folders.load_vae(device)?);
    let scenes = setup.scenes.unwrap_or(LATENT_SCENES);
    let seeds = training_seeds(0, scenes);
    let path = folders.out.join("latents.safetensors");
    let told = |done: usize, total: usize| {
        if done.is_multiple_of(2048) {
            setup.say(&format!("latents: {done} of {total}"));
        }
    };
    let Some(latents) = latents::encode_scenes(&vae, &seeds, &path, device, stop, told)? else { return Ok(false) };
    let frozen = Frozen { tokenizer, text, vae, latents, seeds };
    let config = UNet2DConditionConfig::littleworld();
    let plan = UnetPlan {
        config: config.clone(),
        object_weights: OBJECT_WEIGHTS,
        seed: setup.seed,
        batch: setup.batch.unwrap_or(64),
        precision: setup.precision,
    };
    let (objective, variables) = UnetObjective::new(plan, frozen, device, stop.clone())?;
    let rate = RateSchedule { peak: 8e-4, warmup_steps: 200, decay_from: 0.75, floor: 0.01 };
    let variables = setup.begin(variables, beginning)?;
    let outcome = setup.train(&objective, variables, unet::ADAMW, &setup.options(rate, Duration::from_secs(300)))?;
    // Also a denoiser that is not done yet makes a folder that can be looked at.
    folders.save_unet(&config, &outcome.ema)?;
    let position = &outcome.position;
    write_json(
        &folders.out.join("unet.json"),
        &json!({ "steps": position.step, "samples": position.samples, "seconds": position.seconds, "scenes": scenes }),
    )?;
    Ok(outcome.finished)
}

/// Trains everything in turn: a quarter of the budget for the autoencoder, about a twelfth each for CLIP and the judge, the
/// rest for the denoiser. False when it was stopped early.
///
/// # Errors
/// When training fails.
pub fn train_all<T: Differentiable>(setup: &Setup<T>) -> Result<bool> {
    type Train<T> = fn(&Setup<T>) -> Result<bool>;
    let parts: [(&str, Train<T>, f64); 4] =
        [("vae", train_vae, 0.25), ("clip", train_clip, 0.09), ("judge", train_judge, 0.07), ("unet", train_unet, 0.59)];
    for (name, train, share) in parts {
        // Its record is written when a part is through; a resumed run does not do it again.
        if setup.resume && name != "unet" && setup.folders.out.join(format!("{name}.json")).exists() {
            continue;
        }
        if !train(&setup.with_share(share))? {
            return Ok(false);
        }
    }
    Ok(true)
}
