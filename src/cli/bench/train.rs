//! `diffuscope bench train`: how long a step of training takes.

use super::guest::{Guest, Rival};
use super::marks::Marks;
use super::profile::{self, Profile};
use super::report::{Speed, rival_json, rival_tables, speed_json, speed_table};
use super::turns::{Summary, Times, measure, rounded};
use crate::cli::options::training_device_parser;
use crate::cli::output;
use crate::cli::tensors::{self, OnCpu, OnCuda};
use crate::compute::{DeviceKind, Precision, cpu};
use crate::model::unet::UNet2DConditionConfig;
use crate::model::vae::AutoencoderKlConfig;
use crate::pipeline::{decode_load, encode_load, unet_load};
use crate::train::assemble::MAX_TOKENS;
use crate::train::bench::{Network, RATE, Steps};
use crate::train::optimizer::AdamWConfig;
use crate::train::{unet, vae};
use anyhow::{Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Measure how fast the networks are trained on this machine
///
/// Medians over whole steps of training: building the network on its weights, forward, loss, backward, AdamW.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  diffuscope bench train\n  diffuscope bench train --peer .venv/bin/python --json > train.json\n\n\
    unet_f32, unet_bf16  the denoiser on 32 random latents\n\
    vae_f32, vae_bf16    the autoencoder on 16 random pictures of 64 x 64, the size of its cut-outs\n\n\
    bf16 is measured where the processor has units for it: operands of matrix products rounded to 16 bits, sums in 32; on an NVIDIA\n\
    card it is TF32, operands of 19 bits. Our step\n\
    also cuts the gradient's norm and keeps the running average of the weights. Operations are three times those of a forward pass.\n\n\
    --peer PYTHON makes the same step in PyTorch: the network that diffusers builds from our configuration, a batch of the same\n\
    shapes, the same loss, torch.optim.AdamW (fused), channels_last, and autocast for bf16; one step of ours, one of theirs, and so\n\
    on, as `diffuscope bench --help` says.")]
pub struct TrainArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Steps behind each median
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
    /// A Python with torch and diffusers, to be measured beside us in turn
    #[arg(long, value_name = "PYTHON")]
    peer: Option<PathBuf>,
    /// Show where the time goes instead, by kind of operation
    #[arg(long, conflicts_with = "peer")]
    profile: bool,
    /// Where to compute
    #[arg(long, value_parser = training_device_parser(), default_value = DeviceKind::default().label())]
    device: DeviceKind,
    /// Samples a step, instead of those above
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: Option<u32>,
}

/// What is measured: name, network, number type, samples a step.
const ROWS: [(&str, Network, Precision, usize); 4] = [
    ("unet_f32", Network::Unet, Precision::F32, 32),
    ("unet_bf16", Network::Unet, Precision::Bf16, 32),
    ("vae_f32", Network::Vae, Precision::F32, 16),
    ("vae_bf16", Network::Vae, Precision::Bf16, 16),
];

/// What was measured.
struct Row {
    times: Times,
    batch: usize,
    parameters: usize,
    /// Floating-point operations of a step.
    operations: u64,
}

impl Row {
    fn step_ms(&self) -> Summary {
        Summary::of(&self.times.ours)
    }

    fn per_second(&self, times: &[f64]) -> f64 {
        1e3 * self.batch as f64 / Summary::of(times).median
    }

    fn speed(&self) -> Speed {
        Speed { name: self.times.name, gflop: self.operations as f64 / 1e9, gigabytes: None, milliseconds: self.step_ms().median }
    }
}

/// Measures and prints.
///
/// # Errors
/// A network that fails, Ctrl-C; after the numbers, what went wrong beside us.
pub fn run(args: &TrainArgs) -> Result<()> {
    if args.profile {
        return profiles(args);
    }
    let bar = output::progress(ROWS.len() as u64 + 1, "bench");
    bar.set_message("the other side");
    let mut guest = args.peer.as_deref().map(|python| Guest::start(python, args.device)).transpose()?;
    let mut measured = Vec::new();
    for (name, network, precision, batch) in rows(args) {
        bar.inc(1);
        bar.set_message(name);
        measured.push(row(args, guest.as_mut(), name, network, precision, batch)?);
    }
    bar.finish_and_clear();
    let marks = Marks::of(args.device)?;
    if args.json {
        output::print(&json(args, &measured, &marks, guest.as_ref()).to_string())?;
    } else {
        print(args, &measured, &marks, guest.as_ref())?;
        if measured.len() < ROWS.len() {
            output::print("\nno units for bf16 here")?;
        }
    }
    guest.map_or(Ok(()), |guest| guest.verdict())
}

/// Where the time goes in a step.
fn profiles(args: &TrainArgs) -> Result<()> {
    ensure!(args.device == DeviceKind::Cpu, "--profile looks into the kernels for the processor; use --device cpu");
    let mut profiles = Vec::new();
    for (name, network, precision, batch) in rows(args) {
        let mut steps = open(args.device, network, batch, precision)?;
        profiles.push(Profile::of(name, args.runs, || Ok(steps.step()?.total()))?);
    }
    profile::print(&profiles, args.json)
}

/// Those of [`ROWS`] that the device has units for.
fn rows(args: &TrainArgs) -> impl Iterator<Item = (&'static str, Network, Precision, usize)> {
    let batch = args.batch;
    let has_bf16 = args.device == DeviceKind::Cuda || cpu::has_bf16_units();
    let shown = ROWS.into_iter().filter(move |(_, _, precision, _)| *precision == Precision::F32 || has_bf16);
    shown.map(move |(name, network, precision, usual)| (name, network, precision, batch.map_or(usual, |batch| batch as usize)))
}

fn open(device: DeviceKind, network: Network, batch: usize, precision: Precision) -> Result<Steps> {
    Ok(match device {
        DeviceKind::Cpu => Steps::new::<OnCpu>(network, batch, precision, &())?,
        DeviceKind::Cuda => Steps::new::<OnCuda>(network, batch, precision, &tensors::cuda()?)?,
        DeviceKind::Wgpu(_) => bail!(tensors::NO_GRADIENTS),
    })
}

fn row(
    args: &TrainArgs,
    mut guest: Option<&mut Guest>,
    name: &'static str,
    network: Network,
    precision: Precision,
    batch: usize,
) -> Result<Row> {
    let mut steps = open(args.device, network, batch, precision)?;
    let side = steps.input.last().copied().unwrap_or_default();
    let (kind, config, AdamWConfig { beta1, beta2, eps, weight_decay, .. }, forward) = match network {
        Network::Unet => {
            let config = UNet2DConditionConfig::littleworld();
            ("unet", config.to_json(), unet::ADAMW, unet_load(&config, batch, MAX_TOKENS, config.sample_size)?)
        }
        Network::Vae => {
            let config = AutoencoderKlConfig::littleworld();
            let forward = encode_load(&config, batch, side)? + decode_load(&config, batch, side / config.downsampling())?;
            ("vae", config.to_json(), vae::ADAMW, forward)
        }
    };
    let mut rivals = Vec::new();
    if let Some(guest) = guest.as_deref_mut() {
        let given = json!({
            "name": name, "network": kind, "config": config, "batch": batch, "side": side, "tokens": MAX_TOKENS, "rate": RATE,
            "betas": [beta1, beta2], "eps": eps, "weight_decay": weight_decay,
            "precision": if precision == Precision::Bf16 { "bf16" } else { "f32" },
        });
        if guest.open_network("train", &given)? {
            rivals = guest.rivals(name);
        }
    }
    let times = measure(name, args.runs, guest, &rivals, || steps.step().map(|step| step.total()))?;
    // Two gradients, each as much work as the product that they belong to.
    Ok(Row { times, batch, parameters: steps.parameters, operations: 3 * forward.flops })
}

fn json(args: &TrainArgs, rows: &[Row], marks: &Marks, guest: Option<&Guest>) -> Value {
    let speeds: Vec<Speed> = rows.iter().map(Row::speed).collect();
    let one = |row: &Row| {
        let mut about = json!({
            "batch": row.batch, "parameters": row.parameters, "step_ms": row.step_ms().to_json(),
            "samples_per_s": rounded(row.per_second(&row.times.ours)),
        });
        for (rival, theirs) in &row.times.theirs {
            about[format!("{}_samples_per_s", rival.id())] = rounded(row.per_second(theirs)).into();
        }
        (row.times.name.to_owned(), about)
    };
    let mut object = json!({
        "device": args.device.label(), "threads": rayon::current_num_threads(), "runs": args.runs,
        "operations": speed_json(&speeds, marks), "steps": rows.iter().map(one).collect::<Map<_, _>>(),
    });
    marks.add_to(&mut object);
    if let Some(guest) = guest {
        object["peers"] = rival_json(rows.iter().map(|row| &row.times), guest);
    }
    object
}

fn print(args: &TrainArgs, rows: &[Row], marks: &Marks, guest: Option<&Guest>) -> Result<()> {
    output::print(&format!("steps of training on {}, {} threads\n", args.device.label(), rayon::current_num_threads()))?;
    output::print(&samples_table(rows))?;
    let speeds: Vec<Speed> = rows.iter().map(Row::speed).collect();
    output::print(&format!("\n{}", speed_table(&speeds, marks)))?;
    let Some(guest) = guest else { return Ok(()) };
    rival_tables(rows.iter().map(|row| &row.times), guest).iter().try_for_each(|table| output::print(&format!("\n{table}")))
}

/// Steps, and samples a second of ours and of each rival.
fn samples_table(rows: &[Row]) -> String {
    let mut text = format!("{:16}  {:>5}  {:28}  {:>9}", "", "batch", "step, ms", "samples/s");
    let rivals: Vec<Rival> = Rival::ALL.into_iter().filter(|rival| rows.iter().any(|row| row.times.of(*rival).is_some())).collect();
    for rival in &rivals {
        write!(text, "  {:>9}", rival.label()).ok();
    }
    for row in rows {
        let ours = row.per_second(&row.times.ours);
        write!(text, "\n{:16}  {:>5}  {:28}  {ours:>9.1}", row.times.name, row.batch, row.step_ms().show(1)).ok();
        for theirs in rivals.iter().map(|rival| row.times.of(*rival)) {
            write!(text, "  {:>9}", theirs.map_or(String::new(), |theirs| format!("{:.1}", row.per_second(theirs)))).ok();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_a_second_are_told_of_whoever_ran() {
        let row =
            |name, theirs| Row { times: Times { name, ours: vec![500.0], theirs }, batch: 32, parameters: 7, operations: 10_000_000_000 };
        let rows = [row("unet_f32", vec![(Rival::PyTorch, vec![250.0])]), row("unet_bf16", vec![])];
        let table = samples_table(&rows);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0].last(), Some(&"PyTorch"));
        assert_eq!((lines[1].last(), lines[2].last()), (Some(&"128.0"), Some(&"64.0")), "{table}");
        assert_eq!(rows[0].speed().gflops(), 20.0);
    }
}
