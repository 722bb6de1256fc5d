//! `diffuscope bench first`: from choosing a device to the first picture.

use super::turns::{Summary, rounded};
use super::window::first_picture;
use super::work::PROMPT;
use crate::cli::options::ModelArgs;
use crate::cli::{interrupt, output, tensors};
use crate::compute::DeviceKind;
use crate::worker::Worker;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Measure how long it takes from choosing a device to the first picture
///
/// Opening the model, compiling kernels, and the first step of a reverse run with its picture decoded, each time in a process of
/// its own.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  diffuscope bench first --device wgpu\n  diffuscope bench first --device cpu --runs 10 --json\n\n\
    cold_ms  nothing was ever compiled\n\
    kept_ms  at the second start: what was compiled lies on the disk, where the driver hands it out\n\n\
    Mesa's and NVIDIA's drivers for Linux keep compiled kernels too; they are told to begin anew, elsewhere it is on them.")]
pub struct FirstArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Pairs of starts behind each median
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    #[command(flatten)]
    model: ModelArgs,
    /// One start, with what is kept in this folder: prints its milliseconds
    #[arg(long, value_name = "DIR", hide = true)]
    once_in: Option<PathBuf>,
}

/// Measures and prints.
///
/// # Errors
/// A model or device that cannot be opened, no temporary folder, Ctrl-C.
pub fn run(args: &FirstArgs) -> Result<()> {
    if let Some(folder) = &args.once_in {
        let worker = Worker::spawn_with_cache(Arc::new(|| {}), Some(folder.clone()));
        let milliseconds = first_picture(worker, &args.model, PROMPT)?;
        // What is compiled ahead is put away when all of it is done.
        if let DeviceKind::Wgpu(choice) = args.model.device() {
            let device = tensors::graphics(choice)?;
            while device.compiling().is_some() {
                interrupt::check()?;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        return output::print(&milliseconds.to_string());
    }
    let bar = output::progress(u64::from(args.runs) * 2, "bench");
    let (mut cold, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        for times in [&mut cold, &mut kept] {
            times.push(start(args, folder.path())?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let device = args.model.device().label();
    let rows = [("cold_ms", Summary::of(&cold)), ("kept_ms", Summary::of(&kept))];
    if args.json {
        let mut object = json!({ "device": device, "runs": args.runs, "ratio": rounded(rows[0].1.median / rows[1].1.median) });
        for (name, summary) in rows {
            object[name] = summary.to_json();
        }
        return output::print(&object.to_string());
    }
    output::print(&format!("from choosing {device} to the first picture"))?;
    rows.iter().try_for_each(|(name, summary)| output::print(&format!("{name:16}  {}", summary.show(1))))
}

/// Milliseconds of one start in a process of its own.
fn start(args: &FirstArgs, folder: &Path) -> Result<f64> {
    let program = std::env::current_exe().context("the program does not know where it lies")?;
    let mut command = Command::new(program);
    command.args(["bench", "first", "--device", args.model.device().label(), "--once-in"]).arg(folder);
    if let Some(model) = &args.model.model {
        command.arg("--model").arg(model);
    }
    for (name, inside) in [("MESA_SHADER_CACHE_DIR", "mesa"), ("__GL_SHADER_DISK_CACHE_PATH", "nvidia"), ("CUDA_CACHE_PATH", "cuda")] {
        let inside = folder.join(inside);
        std::fs::create_dir_all(&inside).with_context(|| format!("cannot make {}", inside.display()))?;
        command.env(name, inside);
    }
    let ended = command.output().context("the program cannot be started again")?;
    interrupt::check()?;
    ensure!(ended.status.success(), "a start ended with {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim());
    let told = String::from_utf8_lossy(&ended.stdout);
    told.trim().parse().with_context(|| format!("a start answered \"{}\"", told.trim()))
}
