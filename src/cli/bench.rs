//! `diffuscope bench`: how long things take on this machine, measured.

use super::options::{ModelArgs, WindowArgs};
use super::stage::{Player, Window};
use super::{interrupt, output};
use crate::host::HostTensor;
use crate::noise::{Stream, gaussian};
use crate::pipeline::{GenerateRequest, Pipeline};
use crate::worker::Worker;
use crate::worker::protocol::{Command, Event, RunRequest, Slot};
use anyhow::{Context, Result, bail, ensure};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Measure how fast everything is on this machine
///
/// Medians over repeated runs after a warm-up, in milliseconds of wall time.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  diffuscope bench\n  diffuscope bench --json --runs 40 > bench.json\n\n\
    unet_guided_ms    one evaluation of the U-Net at batch 2 (negative and positive prompt)\n\
    vae_decode_ms     latents to a picture\n\
    text_encode_ms    both prompts through the text encoder\n\
    generate_20_ms    prompt to picture: 20 guided DDIM steps and a decode\n\
    first_picture_ms  from asking for the model to the first decoded picture of a reverse run, through the worker\n\
    ui_frame_ms_p50   one frame of the window: layout and tessellation on the processor, while the clock plays, all labs in turn;\n\
    ui_frame_ms_p99   without the graphics adapter's share\n\
    resident_mb       memory of the process at the end, in 10^6 bytes\n\
    binary_mb         size of the program with its built-in model, in 10^6 bytes")]
pub struct BenchArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Runs behind each median
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    #[command(flatten)]
    model: ModelArgs,
}

/// Frames per lab behind the percentiles.
const FRAMES: usize = 120;
/// Runs before the measured ones.
const WARM_UP: u32 = 3;
/// Longest wait for the window's pictures or for the first picture.
const WAIT: Duration = Duration::from_secs(300);
const PROMPT: &str = "a red house left of a yellow balloon by the sea at night";

/// Measures and prints.
///
/// # Errors
/// A model that cannot be opened, a window that does not settle, Ctrl-C.
pub fn run(args: &BenchArgs, window: &Window) -> Result<()> {
    interrupt::listen();
    let bar = output::progress(6, "bench");
    let next = |what: &'static str| {
        bar.inc(1);
        bar.set_message(what);
    };
    bar.set_message("the first picture");
    // Before anything else, so that nothing is warm.
    let first_picture_ms = first_picture(args)?;

    next("the model");
    let pipeline = Pipeline::load(&args.model.source(), args.model.device)?;
    let card = pipeline.card();
    let [channels, height, width] = card.latent_shape;
    let latents = gaussian(0, Stream::Start, [1, channels, height, width]);
    let timestep = (card.num_train_timesteps * 2 / 5) as f64;
    let (negative, positive) = (pipeline.encode_text("")?, pipeline.encode_text(PROMPT)?);
    let text_encode_ms = median(args.runs, || pipeline.encode_text("").and_then(|_| pipeline.encode_text(PROMPT)))?;
    let unet_guided_ms = median(args.runs, || pipeline.predict(&latents, timestep, &negative, &positive))?;
    next("decoding");
    let vae_decode_ms = median(args.runs, || pipeline.decode(&latents))?;
    next("generating");
    let request = GenerateRequest { prompt: PROMPT.into(), steps: 20, guidance_scale: card.default_guidance, ..Default::default() };
    let generate_20_ms = median(args.runs.div_ceil(4), || -> Result<HostTensor> {
        let generated = pipeline
            .generate(&request, &mut |_| if interrupt::check().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })?;
        Ok(pipeline.decode(&generated.latents)?)
    })?;
    let (model, device) = (card.name.clone(), card.device.clone());
    drop(pipeline);

    next("the window");
    let mut frames = ui_frames(args, window)?;
    frames.sort_by(f64::total_cmp);
    bar.finish_and_clear();
    let binary_mb = std::env::current_exe().and_then(std::fs::metadata).map(|about| about.len() as f64 / 1e6).ok();

    let rows = [
        ("unet_guided_ms", Some(unet_guided_ms)),
        ("vae_decode_ms", Some(vae_decode_ms)),
        ("text_encode_ms", Some(text_encode_ms)),
        ("generate_20_ms", Some(generate_20_ms)),
        ("first_picture_ms", Some(first_picture_ms)),
        ("ui_frame_ms_p50", Some(percentile(&frames, 0.5))),
        ("ui_frame_ms_p99", Some(percentile(&frames, 0.99))),
        ("resident_mb", resident_mb()),
        ("binary_mb", binary_mb),
    ];
    if args.json {
        let mut object = serde_json::Map::new();
        object.insert("model".into(), model.into());
        object.insert("device".into(), device.into());
        object.insert("runs".into(), args.runs.into());
        object.extend(rows.iter().map(|&(key, value)| (key.to_owned(), value.map(rounded).into())));
        return output::print(&serde_json::Value::Object(object).to_string());
    }
    output::print(&format!("model             {model} on {device}"))?;
    for (key, value) in rows {
        output::print(&format!("{key:16}  {}", value.map_or("unknown here".into(), |value| rounded(value).to_string())))?;
    }
    output::print("frames of the window are laid out and tessellated without a graphics adapter")
}

/// To a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Median wall time of `work` in milliseconds.
fn median<T, E>(runs: u32, mut work: impl FnMut() -> Result<T, E>) -> Result<f64>
where
    anyhow::Error: From<E>,
{
    let mut times = Vec::new();
    for run in 0..WARM_UP.min(runs) + runs {
        interrupt::check()?;
        let started = Instant::now();
        work()?;
        if run >= WARM_UP.min(runs) {
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(percentile(&times, 0.5))
}

/// The value below which a share of sorted values lies: the nearest rank.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Opens the model and begins a run as the window does, and waits for the first picture.
fn first_picture(args: &BenchArgs) -> Result<f64> {
    let started = Instant::now();
    let mut worker = Worker::spawn(Arc::new(|| {}));
    worker.send(Command::OpenModel { source: args.model.source(), device: args.model.device });
    worker.send(Command::Reverse(
        Slot::Reverse,
        RunRequest {
            prompt: PROMPT.into(),
            negative: String::new(),
            seed: 0,
            steps: 20,
            guidance_scale: 5.0,
            sampler: GenerateRequest::default().sampler.id.into(),
            restore: None,
            decode_every_step: true,
        },
    ));
    loop {
        interrupt::check()?;
        ensure!(started.elapsed() < WAIT, "no picture came within {} seconds", WAIT.as_secs());
        for event in worker.poll(16) {
            match event {
                Event::Frame { frame, .. } if frame.x0_picture.is_some() => return Ok(started.elapsed().as_secs_f64() * 1e3),
                Event::Failed { message, .. } => bail!(message),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Times of the window's frames in milliseconds, all labs in turn.
fn ui_frames(args: &BenchArgs, window: &Window) -> Result<Vec<f64>> {
    let options = WindowArgs { model: args.model.clone(), ..Default::default() };
    let mut player = Player::open(window, &options, eframe::egui::vec2(1600.0, 1000.0), 1.0);
    let mut times = Vec::new();
    for lab in &window.labs {
        player.show_lab(lab.id);
        player
            .settle(WAIT, |mut output| output.textures_delta.clear())
            .with_context(|| format!("cannot measure the lab \"{}\"", lab.label))?;
        for _ in 0..FRAMES {
            interrupt::check()?;
            let started = Instant::now();
            let mut output = player.frame();
            let shapes = std::mem::take(&mut output.shapes);
            std::hint::black_box(player.ctx.tessellate(shapes, output.pixels_per_point));
            times.push(started.elapsed().as_secs_f64() * 1e3);
            output.textures_delta.clear();
        }
    }
    Ok(times)
}

/// Memory of this process in 10^6 bytes, where the system tells.
fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99), percentile(&values[..1], 0.99)), (50.0, 99.0, 1.0));
        assert!(percentile(&[], 0.5).is_nan());
    }
}
