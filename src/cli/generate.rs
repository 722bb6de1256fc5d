//! `diffuscope generate`: from a prompt to a picture.

use super::dump::{Dump, read_latents};
use super::options::ModelArgs;
use super::{interrupt, output};
use crate::diffusion::{GuidanceInterval, SAMPLERS, SamplerInfo};
use crate::figure;
use crate::pipeline::{GenerateRequest, Pipeline, Start};
use anyhow::{Context, Result, bail, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Make a picture from a prompt
///
/// The same prompt, seed and options give the same picture on every machine, up to rounding. The picture's path is printed.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope generate \"a red house by the sea at night\" -o house.png\n  \
    diffuscope generate \"a yellow balloon\" --negative \"snow\" --seed 7 --steps 25 --guidance 3 --sampler euler\n  \
    diffuscope generate \"a blue boat\" --guidance 12 --guidance-interval 200 700\n  \
    diffuscope generate \"a windmill\" --guidance 12 --guidance-rescale 0.7 --sampler dpmpp_2m --steps 12\n  \
    diffuscope generate \"a windmill\" --model stable-diffusion-v1-5 --dump run.safetensors\n\n\
    The dump holds token_ids [2, L] (negative, positive), text_embeddings, latents_00 .. latents_NN, eps_uncond_00 ..,\n\
    eps_cond_00 .. as the U-Net gives them, and image; for Euler and its kin the latents are in sigma space, x / alpha.")]
pub struct GenerateArgs {
    /// What to draw; an empty prompt leaves it to the model
    prompt: String,
    /// What to stay away from
    #[arg(long, value_name = "PROMPT", default_value = "")]
    negative: String,
    /// Seed of the starting noise
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Steps of the sampler; as the model likes it by default
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Guidance scale w: 0 ignores the prompt, 1 takes it as it is, more exaggerates it; as the model likes it by default
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    guidance: Option<f64>,
    /// Timesteps at which the guidance acts, from LO up to but without HI; at all others w is 1
    #[arg(long, value_names = ["LO", "HI"], num_args = 2)]
    guidance_interval: Option<Vec<usize>>,
    /// Bring the guided prediction back to the contrast of the plain one by this share, from 0 to 1
    #[arg(long, value_name = "PHI", default_value_t = 0.0)]
    guidance_rescale: f64,
    /// How the next level's latents follow from a prediction
    #[arg(long, value_parser = sampler_parser(), default_value = SAMPLERS[0].id)]
    sampler: &'static SamplerInfo,
    #[command(flatten)]
    model: ModelArgs,
    /// Start from the unit Gaussian tensor "latents" [1, C, h, w] of this safetensors file, not from the seed
    #[arg(long, value_name = "FILE")]
    latents: Option<PathBuf>,
    /// Write the tensors of the whole run to this safetensors file
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// The picture's file
    #[arg(short, long, value_name = "FILE", default_value = "out.png")]
    output: PathBuf,
}

fn sampler_parser() -> impl TypedValueParser<Value = &'static SamplerInfo> {
    PossibleValuesParser::new(SAMPLERS.iter().map(|info| info.id)).map(|id| SamplerInfo::find(&id).unwrap_or(&SAMPLERS[0]))
}

/// Makes the picture.
///
/// # Errors
/// A model or a file of latents that cannot be opened, a request out of range, a file that cannot be written, Ctrl-C.
pub fn run(args: &GenerateArgs) -> Result<()> {
    ensure!(args.guidance.is_none_or(f64::is_finite), "--guidance must be a number");
    let guidance_interval = match args.guidance_interval.as_deref() {
        Some(&[low, high]) => {
            ensure!(low <= high, "--guidance-interval takes its lower end first: {high} {low}, not {low} {high}");
            Some(GuidanceInterval { low: low as f64, high: high as f64 })
        }
        _ => None,
    };
    interrupt::listen();
    let bar = output::progress(0, "steps");
    bar.set_message("opening the model");
    let pipeline = Pipeline::load(&args.model.source(), args.model.device())?;
    interrupt::check()?;
    let card = pipeline.card();
    let [channels, height, width] = card.latent_shape;
    let start = match &args.latents {
        Some(path) => Start::Latents(read_latents(path, [1, channels, height, width])?),
        None => Start::Noise,
    };
    let dropped = pipeline.tokenize(&args.prompt).dropped;
    if dropped > 0 {
        log::warn!("the prompt is longer than the model's {} tokens; its last {dropped} are not seen", card.max_tokens);
    }
    let request = GenerateRequest {
        prompt: args.prompt.clone(),
        negative: args.negative.clone(),
        seed: args.seed,
        steps: args.steps.unwrap_or(card.default_steps),
        guidance_scale: args.guidance.unwrap_or(card.default_guidance),
        guidance_interval,
        guidance_rescale: args.guidance_rescale,
        sampler: args.sampler,
        start,
        levels: None,
    };
    log::info!("{} steps on {}, model {}", request.steps, card.device, card.name);
    bar.set_length(request.steps as u64);
    bar.set_message("");
    let mut dump = args.dump.as_ref().map(|_| Dump::new(args.sampler.space));
    let generated = pipeline.generate(&request, &mut |step| {
        if let Some(dump) = &mut dump {
            dump.step(step);
        }
        bar.set_position(step.index as u64 + 1);
        if interrupt::check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    interrupt::check()?;
    if generated.cancelled {
        bail!("the run ended before its last step");
    }
    let picture = pipeline.decode(&generated.latents)?;
    bar.finish_and_clear();
    if let (Some(dump), Some(path)) = (dump, &args.dump) {
        figure::write_atomic(path, &dump.finish(&generated, &picture)?).context("cannot write the dump")?;
    }
    figure::write_png(&args.output, &picture)?;
    output::print(&args.output.display().to_string())
}
