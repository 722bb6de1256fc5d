//! `diffuscope bench`: how long things take on this machine, measured.

mod first;
mod guest;
mod labs;
mod large;
mod marks;
mod peer;
mod profile;
mod report;
mod train;
mod turns;
mod ui;
mod ways;
mod window;
mod work;

use super::options::ModelArgs;
use super::stage::Window;
use super::{interrupt, output};
use crate::compute::{DeviceKind, Precision};
use crate::pipeline::{Load, Operations};
use crate::worker::Worker;
use anyhow::{Result, ensure};
use guest::{Guest, Scene};
use marks::Marks;
use profile::Profile;
use report::{Speed, rival_json, rival_tables, speed_json, speed_table};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use turns::{Summary, Times, measure, percentile, rounded};
use ways::Ways;
use work::{PROMPT, Work};

/// Measure how fast everything is on this machine
///
/// Medians over repeated runs after a warm-up, in milliseconds of wall time.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  diffuscope bench\n  diffuscope bench --json --runs 40 > bench.json\n  \
    diffuscope bench --peer .venv/bin/python\n  diffuscope bench train --peer .venv/bin/python\n  \
    diffuscope bench ui\n  diffuscope bench labs\n  diffuscope bench large --device wgpu-f16\n  diffuscope bench first --device wgpu\n  diffuscope bench --profile\n\n\
    unet_guided_ms    one evaluation of the U-Net at batch 2 (negative and positive prompt)\n\
    vae_decode_ms     latents to a picture\n\
    text_encode_ms    both prompts through the text encoder\n\
    generate_20_ms    prompt to picture: 20 guided DDIM steps and a decode\n\
    first_picture_ms  from asking for the model to the first decoded picture of a reverse run, through the worker\n\
    ui_frame_ms_p50   one frame of the window: layout and tessellation on the processor, while the clock plays, all labs in turn;\n\
    ui_frame_ms_p99   without the graphics adapter's share\n\
    resident_mb       memory of the process at the end, in 10^6 bytes\n\
    binary_mb         size of the program with its built-in model, in 10^6 bytes\n\n\
    Operations are those of matrix products and convolutions, a multiply-add as two, convolutions by their definition; bytes are those\n\
    of their operands and results, each moved once. The peak is what f32 multiply-adds reach here in registers, on all threads of the\n\
    processor or on a whole graphics card; matrix units, or an algorithm that needs fewer of them, may go beyond it.\n\n\
    On a graphics card 3x3 convolutions are implicit matrix products; Winograd's minimal filtering is measured in turn with them.\n\n\
    --peer PYTHON runs the same model in PyTorch through diffusers, and in OpenVINO (f32) where that is installed, in a child\n\
    process with as many threads: one run of ours, one of each of theirs, and so on. The ratio is theirs over ours, turn by turn:\n\
    above 1 we are faster. OpenMP's threads wait awake for a while after their work, so everybody rests 25 ms between turns.\n\
    Our matrix products are put together from bf16 halves where the processor has matrix units, to about 1e-5 of f32 (--f32 turns\n\
    that off); the largest difference between the two pictures of generate_20 is told.\n\
    To make such a Python:\n\
    python3 -m venv .venv && .venv/bin/pip install torch diffusers transformers openvino")]
pub struct BenchArgs {
    /// What to measure instead of the model at work
    #[command(subcommand)]
    instead: Option<Instead>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Runs behind each median
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// A Python with torch, diffusers and transformers, to be measured beside us in turn
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,
    /// Show where the time goes instead, by kind of operation
    #[arg(long, conflicts_with = "peer")]
    profile: bool,
    /// Compute matrix products in plain f32 vectors, also where there are matrix units
    #[arg(long)]
    f32: bool,
    #[command(flatten)]
    model: ModelArgs,
}

impl BenchArgs {
    fn precision(&self) -> Precision {
        if self.f32 { Precision::F32 } else { Precision::Split }
    }
}

/// What else can be measured.
#[derive(Debug, Clone, clap::Subcommand)]
enum Instead {
    First(first::FirstArgs),
    Labs(labs::LabsArgs),
    Large(large::LargeArgs),
    Train(train::TrainArgs),
    Ui(ui::UiArgs),
}

/// The networks' times, and what is to be said of them.
struct Networks {
    model: String,
    device: String,
    times: Vec<Times>,
    speeds: Vec<Speed>,
    /// What the device does at most.
    marks: Marks,
    /// On a graphics card, either way of its convolutions.
    ways: Vec<Ways>,
    /// Largest difference between a value of our picture of `generate_20` and of PyTorch's.
    difference: Option<f64>,
}

/// Measures and prints.
///
/// # Errors
/// A model that cannot be opened, a window that does not settle, Ctrl-C; after the numbers, what went wrong beside us.
pub fn run(args: &BenchArgs, window: &Window) -> Result<()> {
    interrupt::listen();
    match &args.instead {
        Some(Instead::First(args)) => return first::run(args),
        Some(Instead::Labs(args)) => return labs::run(args),
        Some(Instead::Large(args)) => return large::run(args),
        Some(Instead::Train(args)) => return train::run(args),
        Some(Instead::Ui(args)) => return ui::run(args, window),
        None => {}
    }
    if args.profile {
        return profiles(args);
    }
    let bar = output::progress(7, "bench");
    let next = |what: &'static str| {
        bar.inc(1);
        bar.set_message(what);
    };
    // The libraries alone: a wrong path is said before anything is measured.
    bar.set_message("the other side");
    let mut guest = args.peer.as_deref().map(|python| Guest::start(python, args.model.device())).transpose()?;
    // Before anything else of ours, so that nothing is warm.
    next("the first picture");
    let first_picture_ms = window::first_picture(Worker::spawn(Arc::new(|| {})), &args.model, PROMPT)?;
    next("the model");
    let networks = networks(args, guest.as_mut(), &next)?;
    // The other side has left before the window is looked at.
    if let Some(guest) = &mut guest {
        guest.leave();
    }
    next("the window");
    let mut frames = window::ui_frames(&args.model, window)?;
    frames.sort_by(f64::total_cmp);
    bar.finish_and_clear();
    let binary_mb = std::env::current_exe().and_then(std::fs::metadata).map(|about| about.len() as f64 / 1e6).ok();

    let keys = ["unet_guided_ms", "vae_decode_ms", "text_encode_ms", "generate_20_ms"];
    let medians = networks.times.iter().map(|times| Some(Summary::of(&times.ours).median));
    let mut rows: Vec<(&str, Option<f64>)> = keys.into_iter().zip(medians).collect();
    rows.extend([
        ("first_picture_ms", Some(first_picture_ms)),
        ("ui_frame_ms_p50", Some(percentile(&frames, 0.5))),
        ("ui_frame_ms_p99", Some(percentile(&frames, 0.99))),
        ("resident_mb", resident_mb()),
        ("binary_mb", binary_mb),
    ]);
    if args.json {
        output::print(&json(args, &networks, &rows, guest.as_ref()).to_string())?;
    } else {
        print(&networks, &rows, guest.as_ref())?;
    }
    guest.map_or(Ok(()), |guest| guest.verdict())
}

/// Measures the networks, in turn with the other side.
fn networks(args: &BenchArgs, mut guest: Option<&mut Guest>, next: &dyn Fn(&'static str)) -> Result<Networks> {
    let source = args.model.source();
    let mut work = Work::open(&source, args.model.device(), args.precision())?;
    if let Some(guest) = guest.as_deref_mut() {
        guest.open(&Scene { source: &source, latents: &work.latents, timestep: work.timestep, request: &work.request })?;
    }
    let mut times = Vec::new();
    let mut add = |name: &'static str, runs: u32, ours: &mut dyn FnMut() -> Result<Duration>| -> Result<()> {
        let rivals = guest.as_deref().map(|guest| guest.rivals(name)).unwrap_or_default();
        times.push(measure(name, runs, guest.as_deref_mut(), &rivals, ours)?);
        Ok(())
    };
    add("unet_guided", args.runs, &mut || work.unet_guided())?;
    next("decoding");
    add("vae_decode", args.runs, &mut || work.vae_decode())?;
    add("text_encode", args.runs, &mut || work.text_encode())?;
    next("generating");
    add("generate_20", args.runs.div_ceil(4), &mut || work.generate_20())?;
    let compared = times.last().is_some_and(|times| !times.theirs.is_empty());
    let theirs = guest.filter(|_| compared).map_or(Ok(None), Guest::picture)?;
    let difference = work.picture.take().zip(theirs).filter(|(ours, theirs)| ours.shape() == theirs.shape()).map(|(ours, theirs)| {
        ours.data().iter().zip(theirs.data()).map(|(ours, theirs)| f64::from((ours - theirs).abs())).fold(0.0, f64::max)
    });

    let Operations { unet_guided, vae_decode } = Operations::of(&source)?;
    let counted = [("unet_guided", unet_guided), ("vae_decode", vae_decode), ("generate_20", unet_guided * 20 + vae_decode)];
    let speed = |(name, load): (&'static str, Load)| {
        let times = times.iter().find(|times| times.name == name)?;
        Some(Speed::new(name, load, args.model.device(), Summary::of(&times.ours).median))
    };
    let speeds = counted.into_iter().filter_map(speed).collect();
    let marks = Marks::of(args.model.device())?;
    next("the ways of convolutions");
    let mut ways = Vec::new();
    ways.extend(Ways::of(args.model.device(), "unet_guided", args.runs, &mut || work.unet_guided())?);
    ways.extend(Ways::of(args.model.device(), "vae_decode", args.runs, &mut || work.vae_decode())?);
    let card = work.pipeline.card();
    Ok(Networks { ways, model: card.name.clone(), device: card.device.clone(), speeds, marks, difference, times })
}

/// Where the time goes in the networks.
fn profiles(args: &BenchArgs) -> Result<()> {
    ensure!(args.model.device() == DeviceKind::Cpu, "--profile looks into the kernels for the processor; use --device cpu");
    let mut work = Work::open(&args.model.source(), args.model.device(), args.precision())?;
    let profiles = [
        Profile::of("unet_guided", args.runs, || work.unet_guided())?,
        Profile::of("vae_decode", args.runs, || work.vae_decode())?,
        Profile::of("text_encode", args.runs, || work.text_encode())?,
        Profile::of("generate_20", args.runs.div_ceil(4), || work.generate_20())?,
    ];
    profile::print(&profiles, args.json)
}

fn json(args: &BenchArgs, networks: &Networks, rows: &[(&str, Option<f64>)], guest: Option<&Guest>) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    object.insert("model".into(), networks.model.clone().into());
    object.insert("device".into(), networks.device.clone().into());
    object.insert("threads".into(), rayon::current_num_threads().into());
    object.insert("runs".into(), args.runs.into());
    object.extend(rows.iter().map(|&(key, value)| (key.to_owned(), value.map(rounded).into())));
    object.insert("operations".into(), speed_json(&networks.speeds, &networks.marks));
    if !networks.ways.is_empty() {
        object.insert("convolutions".into(), Ways::json(&networks.ways));
    }
    if let Some(guest) = guest {
        object.insert("peers".into(), rival_json(networks.times.iter(), guest));
        object.insert("picture_difference".into(), networks.difference.into());
        object.insert("notes".into(), guest.notes().into());
    }
    let mut object = object.into();
    networks.marks.add_to(&mut object);
    object
}

fn print(networks: &Networks, rows: &[(&str, Option<f64>)], guest: Option<&Guest>) -> Result<()> {
    output::print(&format!("model             {} on {}, {} threads", networks.model, networks.device, rayon::current_num_threads()))?;
    for (key, value) in rows {
        output::print(&format!("{key:16}  {}", value.map_or("unknown here".into(), |value| rounded(value).to_string())))?;
    }
    output::print("frames of the window are laid out and tessellated without a graphics adapter\n")?;
    output::print(&speed_table(&networks.speeds, &networks.marks))?;
    if !networks.ways.is_empty() {
        output::print(&format!("\n{}", Ways::table(&networks.ways)))?;
    }
    let Some(guest) = guest else { return Ok(()) };
    for table in rival_tables(networks.times.iter(), guest) {
        output::print(&format!("\n{table}"))?;
    }
    if let Some(difference) = networks.difference {
        output::print(&format!("\nthe two pictures of generate_20 differ by {difference:.1e} at most, of a range of 1"))?;
    }
    guest.notes().iter().try_for_each(|note| output::print(note))
}

/// Memory of this process in 10^6 bytes, where the system tells.
fn resident_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
