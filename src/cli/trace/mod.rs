//! `diffuscope trace`: sampling runs and schedules as numbers, to compare with by hand or by another program.
//!
//! The denoiser is the exact one for Gaussian data, so no network is involved and every digit has a reason. Reads and prints JSON.

mod fields;
mod runs;
mod schedules;
#[cfg(test)]
mod tests;

use super::output;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 26;

/// Sampling runs and schedules as numbers, to check homework or this program with
///
/// FILE.json holds {"runs": [...]}. Each run names its sampler, steps, schedule (linear, cosine, ...) with its parameters,
/// timestep_spacing, the mean mu and standard deviation s of its Gaussian data, unit Gaussian x_start, and the unit Gaussian noise that
/// it draws, in order. The same is printed with "trajectory" filled: for every evaluation of the denoiser its timestep, the alpha_bar of
/// its level, and x after it, in the form of the run's space (variance_preserving, sigma or flow). With --schedules the file holds
/// {"schedules": [...], "spacings": [...]}: beta, alphas_cumprod and snr are filled at every "index", and timesteps for every spacing.
/// What is unknown is an error that names it and lists what is known. All arithmetic is in double precision, samples are stored in single; --single
/// shows how much of a difference to another program comes from its single precision.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope trace runs.json\n  \
    diffuscope trace --schedules schedules.json --single\n  \
    echo '{\"runs\": [{\"sampler\": \"ddim\", \"steps\": 4, \"schedule\": \"cosine\", \"mu\": [0.5], \"s\": [0.2], \"x_start\": [1.3]}]}' | \
    diffuscope trace -")]
pub struct TraceArgs {
    /// What to run; - reads standard input
    #[arg(value_name = "FILE.json")]
    file: PathBuf,
    /// The file lists schedules and spacings instead of runs
    #[arg(long)]
    schedules: bool,
    /// Keep schedules in single precision, as the diffusers library does
    #[arg(long)]
    single: bool,
}

/// In what a schedule is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Single,
    Double,
}

/// Reads, fills in, prints.
///
/// # Errors
/// A file that cannot be read or is no such JSON, anything in it that is unknown, missing or out of range.
pub fn run(args: &TraceArgs) -> Result<()> {
    let name = args.file.display();
    let text = read(&args.file).with_context(|| format!("cannot read {name}"))?;
    let mut value: Value = serde_json::from_str(&text).with_context(|| format!("{name} is not JSON"))?;
    let precision = if args.single { Precision::Single } else { Precision::Double };
    let filled = if args.schedules { schedules::fill(&mut value, precision) } else { runs::fill(&mut value, precision) };
    filled.with_context(|| format!("{name} cannot be traced"))?;
    output::print(&value.to_string())
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MAX_BYTES + 1).read_to_string(&mut text)?
    } else {
        std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?
    };
    ensure!(read as u64 <= MAX_BYTES, "it is larger than {MAX_BYTES} bytes");
    Ok(text)
}
