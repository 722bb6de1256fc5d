//! `diffuscope eval`: how good a model is, in numbers.

use super::interrupt::{self, Interrupted};
use super::output;
use super::tensors::OnCpu;
use crate::diffusion::SchedulerConfig;
use crate::measure::{Judge, Proportion, Sample};
use crate::model::clip::{ClipTextConfig, ClipTextModel};
use crate::model::tokenizer::ClipTokenizer;
use crate::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use crate::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use crate::pipeline;
use crate::train::assemble::{build_from, write_json};
use crate::train::clip::ClipPair;
use crate::train::evaluate::{Plan, Report, SAMPLE_COLUMNS, Scores, Subject, Tally};
use crate::train::runner::StopFlag;
use crate::train::sampling::Painter;
use crate::train::sheet;
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Measure how good a model is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope eval\n  \
    diffuscope eval --model runs/first --captions 64 --guidance 3,5,7.5 --json\n\n\
    Printed: reconstruction by the autoencoder, retrieval by CLIP, and for each guidance scale how often an independent\n\
    classifier (the judge) finds in the drawn picture what the caption says; beside it the same for rendered scenes.")]
pub struct EvalArgs {
    /// The folder of a training run, or a model folder with judge/ and image_encoder/ in it; the built-in model by default
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Held-out captions for each guidance scale
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u64).range(8..=100_000))]
    pub captions: u64,
    /// Guidance scales, separated by commas
    #[arg(long, value_name = "W,..", value_delimiter = ',', default_value = "1,2,3,5,7.5,12")]
    pub guidance: Vec<f64>,
    /// DDIM steps
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub steps: u64,
    /// Print JSON rather than a table
    #[arg(long)]
    pub json: bool,
    /// Also write report.json and samples.png into this folder
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
    let device = ();
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
        files
            .read(text_file)
            .and_then(|bytes| Ok(build_from::<OnCpu, _>(text_file, &bytes, &device, |p| ClipTextModel::new(&text_config, p))?))
    };
    let unet = build_from::<OnCpu, _>(unet_file, &files.read(unet_file)?, &device, |p| UNet2DConditionModel::new(&unet_config, p))?;
    let vae = build_from::<OnCpu, _>(vae_file, &files.read(vae_file)?, &device, |p| AutoencoderKl::new(&vae_config, p))?;
    let judge = build_from::<OnCpu, _>("judge/model.safetensors", &files.read("judge/model.safetensors")?, &device, Judge::new)?;
    let pair_text = text()?;
    let pair = build_from::<OnCpu, _>(image_file, &files.read(image_file)?, &device, |p| ClipPair::with_text(pair_text, p))?;

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
        device: &device,
        stop: stop.clone(),
    };
    let subject = Subject { painter, pair: &pair, judge: &judge, device: &device, stop: stop.clone() };
    let plan = Plan { captions: args.captions as usize, guidance: args.guidance, steps: args.steps as usize };
    let bar = output::progress(1, "pictures");
    let report = std::thread::scope(|scope| {
        let watched = scope.spawn(|| {
            subject.measure(&plan, |done, total| {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
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
    let record = to_json(&report, &plan);
    if let Some(folder) = &args.out {
        write(folder, &record, &report)?;
    }
    if args.json { output::print(&format!("{record:#}")) } else { output::print(&table(&report, &plan)) }
}

fn write(folder: &Path, record: &Value, report: &Report) -> anyhow::Result<()> {
    let told = || format!("cannot write into {}", folder.display());
    std::fs::create_dir_all(folder).with_context(told)?;
    write_json(&folder.join("report.json"), record).with_context(told)?;
    sheet::save(&folder.join("samples.png"), &sheet::grid(&report.samples, SAMPLE_COLUMNS)).with_context(told)
}

fn percent(share: &Proportion) -> String {
    if share.trials == 0 { "-".to_owned() } else { format!("{:.1} ± {:.1}", 100.0 * share.value(), 100.0 * share.half_width()) }
}

/// A column's heading and where its share is found.
type Column = (&'static str, fn(&Tally) -> &Proportion);
/// A set of captions and where its shares are found.
type Set = (&'static str, fn(&Scores) -> &Tally);

/// Columns of the table of shares.
const COLUMNS: [Column; 7] = [
    ("kind", |tally| &tally.kind),
    ("colour", |tally| &tally.color),
    ("ground", |tally| &tally.ground),
    ("time", |tally| &tally.time),
    ("left/right", |tally| &tally.left_right),
    ("count", |tally| &tally.count),
    ("all", |tally| &tally.all),
];

fn rows(report: &Report) -> Vec<(String, &Scores)> {
    let mut rows = vec![("rendered".to_owned(), &report.real), ("reconstructed".to_owned(), &report.reconstructed)];
    rows.extend(report.guided.iter().map(|(scale, scores)| (format!("w = {scale}"), scores)));
    rows
}

fn table(report: &Report, plan: &Plan) -> String {
    let (psnr, ssim) = (&report.fidelity.psnr, &report.fidelity.ssim);
    let mut lines = vec![
        format!("Autoencoder, {} held-out scenes", report.held_out),
        format!("  PSNR {:.2} ± {:.2} dB, SSIM {:.4} ± {:.4}", psnr.mean(), psnr.half_width(), ssim.mean(), ssim.half_width()),
        format!("CLIP, top-1 among {} held-out scenes (equal captions count as right)", report.held_out),
        format!(
            "  caption of a picture {:.1} %, picture of a caption {:.1} %",
            100.0 * report.retrieval.text_of_picture,
            100.0 * report.retrieval.picture_of_text
        ),
    ];
    let sets: [Set; 2] = [("one object", |s| &s.one), ("two objects side by side", |s| &s.two)];
    for (name, tally) in sets {
        let count = tally(&report.real).all.trials;
        lines.push(format!("Judged right, captions of {name} ({count}), % ± half of the 95 % interval, DDIM {} steps", plan.steps));
        lines.push(format!("  {:<14}{}", "", COLUMNS.map(|(name, _)| format!("{name:>14}")).concat()));
        for (label, scores) in rows(report) {
            let cells = COLUMNS.map(|(_, share)| format!("{:>14}", percent(share(tally(scores)))));
            lines.push(format!("  {label:<14}{}", cells.concat()));
        }
    }
    lines.push("Diversity among samples of one caption (mean RMS difference of pairs) and strength of colour".to_owned());
    lines.push(format!("  {:<14}{:>18}{:>18}{:>16}{:>18}", "", "judge's features", "pixels", "clipped %", "HSV saturation"));
    for (label, scores) in rows(report) {
        let mean = |sample: &Sample, factor: f64| match sample.is_empty() {
            true => "-".to_owned(),
            false => format!("{:.3} ± {:.3}", factor * sample.mean(), factor * sample.half_width()),
        };
        lines.push(format!(
            "  {label:<14}{:>18}{:>18}{:>16}{:>18}",
            mean(&scores.feature_diversity, 1.0),
            mean(&scores.pixel_diversity, 1.0),
            mean(&scores.clipped, 100.0),
            mean(&scores.hsv, 1.0)
        ));
    }
    lines.join("\n")
}

fn to_json(report: &Report, plan: &Plan) -> Value {
    let sample = |sample: &Sample| json!({ "mean": sample.mean(), "half_width": sample.half_width(), "count": sample.len() });
    let tally = |tally: &Tally| -> Value {
        let cells = COLUMNS.iter().filter(|(_, share)| share(tally).trials > 0).map(|(name, share)| {
            let share = share(tally);
            ((*name).to_owned(), json!({ "share": share.value(), "half_width": share.half_width(), "pictures": share.trials }))
        });
        Value::Object(cells.collect())
    };
    let scores = |scores: &Scores| {
        json!({
            "one_object": tally(&scores.one),
            "two_objects": tally(&scores.two),
            "feature_diversity": sample(&scores.feature_diversity),
            "pixel_diversity": sample(&scores.pixel_diversity),
            "clipped": sample(&scores.clipped),
            "hsv_saturation": sample(&scores.hsv),
        })
    };
    let guided = report.guided.iter().map(|(scale, found)| json!({ "guidance_scale": scale, "scores": scores(found) }));
    json!({
        "captions": plan.captions,
        "steps": plan.steps,
        "sampler": "ddim",
        "held_out_scenes": report.held_out,
        "vae": { "psnr_db": sample(&report.fidelity.psnr), "ssim": sample(&report.fidelity.ssim) },
        "retrieval": { "text_of_picture": report.retrieval.text_of_picture, "picture_of_text": report.retrieval.picture_of_text },
        "rendered": scores(&report.real),
        "reconstructed": scores(&report.reconstructed),
        "guided": guided.collect::<Vec<_>>(),
    })
}
