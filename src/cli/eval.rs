//! `diffuscope eval`: how good a model is, in numbers.

use super::interrupt::{self, Interrupted};
use super::options::device_parser;
use super::tensors::{self, OnCpu, OnCuda, OnGraphics};
use super::{output, report};
use crate::compute::{DeviceKind, Precision, Tensor, with_precision};
use crate::diffusion::SchedulerConfig;
use crate::figure::write_atomic;
use crate::measure::Judge;
use crate::model::clip::{ClipTextConfig, ClipTextModel};
use crate::model::tokenizer::ClipTokenizer;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use crate::pipeline;
use crate::train::assemble::{build_from, write_json};
use crate::train::clip::ClipPair;
use crate::train::evaluate::{Plan, Report, Subject};
use crate::train::runner::StopFlag;
use crate::train::sampling::Painter;
use crate::train::sheet;
use anyhow::{Context, bail};
use serde_json::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Measure how good a model is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope eval\n  \
    diffuscope eval --model runs/first --captions 64 --guidance 3,5,7.5 --json\n  \
    diffuscope eval --captions 256 --two 256 --pairs 96 --out card\n\n\
    Printed: reconstruction by the autoencoder, retrieval by CLIP, and for each guidance scale how often an independent\n\
    classifier (the judge) finds in the drawn picture what the caption says; beside it the same for rendered scenes.")]
pub struct EvalArgs {
    /// The folder of a training run, or a model folder with judge/ and image_encoder/ in it; the built-in model by default
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_parser = device_parser(), default_value = DeviceKind::default().label())]
    pub device: DeviceKind,
    /// Held-out captions of one object for each guidance scale
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = clap::value_parser!(u64).range(8..=100_000))]
    pub captions: u64,
    /// Held-out captions of two objects side by side for each guidance scale
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub two: u64,
    /// Captions of one object of a pair of kind and colour that was held out, for each guidance scale
    #[arg(long, value_name = "N", default_value_t = 48, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    pub pairs: u64,
    /// Guidance scales, separated by commas
    #[arg(long, value_name = "W,..", value_delimiter = ',', default_value = "1,2,3,5,7.5,12,20")]
    pub guidance: Vec<f64>,
    /// DDIM steps
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub steps: u64,
    /// Print JSON rather than a table
    #[arg(long)]
    pub json: bool,
    /// Also write report.json, tables.md (the same figures), samples.png (100 unselected ones at the best scale) and guidance.png
    /// (the first captions at every scale) into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Reads the files of a model.
struct Files {
    folder: Option<PathBuf>,
}

impl Files {
    /// The content of `name`, a path within a model folder. A training run keeps the pipeline one folder below.
    fn read(&self, name: &str) -> anyhow::Result<Cow<'static, [u8]>> {
        let Some(folder) = &self.folder else {
            return pipeline::embedded_file(name).map(Cow::Borrowed).with_context(|| format!("the built-in model has no {name}"));
        };
        let places = [folder.join(name), folder.join("pipeline").join(name)];
        let path = places.iter().find(|path| path.is_file()).unwrap_or(&places[0]);
        let hint = "; eval needs a finished training run, or a model folder with judge/ and image_encoder/ in it";
        std::fs::read(path).map(Cow::Owned).with_context(|| format!("cannot read {}{hint}", path.display()))
    }
}

/// Measures and prints.
///
/// # Errors
/// A message for the terminal; [`Interrupted`] on Ctrl-C.
pub fn run(args: EvalArgs) -> anyhow::Result<()> {
    if let Some(scale) = args.guidance.iter().find(|scale| !scale.is_finite() || scale.abs() > 1e3) {
        bail!("a guidance scale of {scale} is not possible");
    }
    match args.device {
        DeviceKind::Cpu => measure::<OnCpu>(args, &()),
        DeviceKind::Cuda => measure::<OnCuda>(args, &tensors::cuda()?),
        DeviceKind::Wgpu(choice) => measure::<OnGraphics>(args, &tensors::graphics(choice)?),
    }
}

fn measure<T: Tensor>(args: EvalArgs, device: &T::Device) -> anyhow::Result<()> {
    let files = Files { folder: args.model };
    let text_config = ClipTextConfig::from_json(&files.read("text_encoder/config.json")?)?;
    let tokenizer = ClipTokenizer::from_files(
        &files.read("tokenizer/vocab.json")?,
        &files.read("tokenizer/merges.txt")?,
        text_config.max_position_embeddings,
    )?;
    let unet_config = UNet2DConditionConfig::from_json(&files.read("unet/config.json")?)?;
    let vae_config = AutoencoderKlConfig::from_json(&files.read("vae/config.json")?)?;
    let scheduler = SchedulerConfig::from_json(&files.read("scheduler/scheduler_config.json")?)?;
    let schedule = scheduler.schedule()?;
    let (text_file, unet_file) = ("text_encoder/model.safetensors", "unet/diffusion_pytorch_model.safetensors");
    let (vae_file, image_file) = ("vae/diffusion_pytorch_model.safetensors", "image_encoder/model.safetensors");
    let text = || {
        files.read(text_file).and_then(|bytes| Ok(build_from::<T, _>(text_file, &bytes, device, |p| ClipTextModel::new(&text_config, p))?))
    };
    let unet = build_from::<T, _>(unet_file, &files.read(unet_file)?, device, |p| UNet2DConditionModel::new(&unet_config, p))?;
    let vae = build_from::<T, _>(vae_file, &files.read(vae_file)?, device, |p| AutoencoderKl::new(&vae_config, p))?;
    let judge = build_from::<T, _>("judge/model.safetensors", &files.read("judge/model.safetensors")?, device, Judge::new)?;
    let pair_text = text()?;
    let pair = build_from::<T, _>(image_file, &files.read(image_file)?, device, |p| ClipPair::with_text(pair_text, p))?;

    interrupt::listen();
    let stop = StopFlag::default();
    let text = text()?;
    let painter = Painter {
        tokenizer: &tokenizer,
        text: &text,
        unet: &unet,
        vae: &vae,
        prediction: scheduler.prediction,
        schedule: &schedule,
        device,
        stop: stop.clone(),
    };
    let subject = Subject { painter, pair: &pair, judge: &judge, device, stop: stop.clone() };
    let plan = Plan {
        captions: [args.captions, args.two, args.pairs].map(|count| count as usize),
        guidance: args.guidance,
        steps: args.steps as usize,
    };
    let bar = output::progress(1, "pictures");
    let report = std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            // As pictures are made in the window.
            with_precision(Precision::Split, || {
                subject.measure(&plan, |done, total| {
                    bar.set_length(total as u64);
                    bar.set_position(done as u64);
                })
            })
        });
        while !watched.is_finished() {
            if interrupt::check().is_err() {
                stop.stop();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        watched.join()
    });
    bar.finish_and_clear();
    let report = report.map_err(|_| anyhow::anyhow!("the measuring has panicked"))??;
    let Some(report) = report else { return Err(Interrupted.into()) };
    let record = report::to_json(&report, &plan);
    if let Some(folder) = &args.out {
        write(folder, &record, &report::to_markdown(&report, &plan), &report)?;
    }
    if args.json { output::print(&format!("{record:#}")) } else { output::print(&report::to_text(&report, &plan)) }
}

fn write(folder: &Path, record: &Value, tables: &str, report: &Report) -> anyhow::Result<()> {
    let told = || format!("cannot write into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(told)?;
    write_json(&folder.join("report.json"), record).with_context(told)?;
    write_atomic(&folder.join("tables.md"), tables.as_bytes()).with_context(told)?;
    let samples: Vec<_> = report.samples.iter().map(|(_, picture)| picture.clone()).collect();
    sheet::save(&folder.join("samples.png"), &sheet::grid(&samples, report::SAMPLE_COLUMNS)).with_context(told)?;
    sheet::save(&folder.join("guidance.png"), &sheet::grid(&report.sheet, report.sheet_columns)).with_context(told)
}
