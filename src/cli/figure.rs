//! `diffuscope figure`: what a lab shows, into a file, without a window.

use super::options::{ModelArgs, WindowArgs};
use super::stage::{FigureAsk, FigureGround, Player, Window};
use super::{interrupt, output};
use crate::figure::{FORMATS, Format, Holds, State, StateError};
use crate::pipeline::Pipeline;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Draw what a lab shows into a PNG, SVG, CSV, GIF or APNG file
///
/// Restores the lab from a PNG that was saved with Ctrl+S, runs it again, writes the figure and says whether the result is the same
/// as then, to the last bit. The exit code is 1 when it is not. Without such a file, --lab draws a lab as it opens. No graphics
/// adapter is needed.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope figure guidance.png -o guidance.svg\n  \
    diffuscope figure guidance.png -o run.gif --part run --pace 10\n  \
    diffuscope figure --lab schedules -o schedules.csv\n  \
    diffuscope figure --lab schedules -o beta.png --part plot-of-beta --scale 4 --background transparent")]
pub struct FigureArgs {
    /// A PNG that holds the state of a lab
    #[arg(value_name = "STATE.png", required_unless_present = "lab", conflicts_with_all = ["lab", "seed"])]
    state: Option<PathBuf>,
    /// The file to write; its ending says the format, a folder takes numbered PNG files
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// What of the lab: lab, run (frame by frame), or one picture or plot by its name
    #[arg(long, value_name = "NAME", default_value = "lab")]
    part: String,
    /// Pixels per design unit: 1, 2 or 4
    #[arg(long, value_name = "X", default_value_t = 2, value_parser = parse_scale)]
    scale: u8,
    /// What lies behind
    #[arg(long, value_enum, default_value_t = Background::White)]
    background: Background,
    /// Leaves the lines below the figure out
    #[arg(long)]
    no_caption: bool,
    /// Frames a second of an animation: 2, 5, 10 or 20
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = parse_pace)]
    pace: u8,
    /// This lab as it opens, in place of a state
    #[arg(long, value_name = "ID")]
    lab: Option<String>,
    /// Seed of all noise, with --lab
    #[arg(long, value_name = "N", requires = "lab")]
    seed: Option<u64>,
    /// Longest wait for the pictures, in seconds
    #[arg(long, value_name = "SECS", default_value_t = 120)]
    wait: u64,
    #[command(flatten)]
    model: ModelArgs,
}

/// What lies behind a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Background {
    White,
    Transparent,
    Dark,
}

fn parse_scale(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|scale| [1, 2, 4].contains(scale)).ok_or_else(|| "expected 1, 2 or 4".to_owned())
}

fn parse_pace(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|pace| [2, 5, 10, 20].contains(pace)).ok_or_else(|| "expected 2, 5, 10 or 20".to_owned())
}

/// The format for a file: by its ending, and a moving one for a run.
fn format_of(output: &Path, is_run: bool) -> Result<&'static Format> {
    if is_run && output.is_dir() {
        return Format::find("frames").ok_or_else(|| anyhow!("numbered files are not in the table of formats"));
    }
    let ending = output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let ending = if ending == "apng" { "png" } else { &ending };
    let fits = |format: &&Format| format.extension == Some(ending) && (format.holds == Holds::Film) == is_run;
    FORMATS.iter().find(fits).ok_or_else(|| {
        let known: Vec<_> = FORMATS.iter().filter(|f| (f.holds == Holds::Film) == is_run).filter_map(|f| f.extension).collect();
        let what = if is_run { "a run" } else { "a figure" };
        anyhow!("cannot tell the format of {} from its ending; {what} goes into .{}", output.display(), known.join(", ."))
    })
}

/// Restores, draws, writes and compares.
///
/// # Errors
/// No state in the file, no such lab or part, a model that cannot be opened, a file that cannot be written, a result that differs.
pub fn run(args: &FigureArgs, window: &Window) -> Result<()> {
    if let Some(id) = &args.lab
        && !window.labs.iter().any(|lab| lab.id == id)
    {
        let known: Vec<_> = window.labs.iter().map(|lab| lab.id).collect();
        bail!("there is no lab \"{id}\"; there are {}", known.join(", "));
    }
    let format = format_of(&args.output, args.part == "run")?;
    let state = match &args.state {
        Some(path) => {
            let name = path.display().to_string();
            Some(Arc::new(State::of_file(path)?.ok_or(StateError::None { name })?))
        }
        None => None,
    };
    interrupt::listen();
    // A model that cannot be opened is told here, with its reasons.
    drop(Pipeline::load(&args.model.source(), args.model.device())?);
    let options = WindowArgs { model: args.model.clone(), lab: args.lab.clone(), theme: None, seed: args.seed };
    let mut player = Player::open(window, &options, eframe::egui::vec2(1440.0, 900.0), 1.0);
    match &state {
        Some(state) => player.stage().restore(Arc::clone(state)).map_err(|message| anyhow!(message))?,
        None => player.pose(),
    }
    let bar = output::progress(0, "");
    bar.set_message("running the lab");
    player.settle(Duration::from_secs(args.wait), |mut output| output.textures_delta.clear()).context("cannot draw the lab")?;
    let ask = FigureAsk {
        part: args.part.clone(),
        format: format.id,
        scale: args.scale,
        ground: match args.background {
            Background::White => FigureGround::White,
            Background::Transparent => FigureGround::Transparent,
            Background::Dark => FigureGround::Dark,
        },
        caption: !args.no_caption,
        pace: args.pace,
    };
    let mut export = player.stage().export(&ask).map_err(|message| anyhow!(message))?;
    export.target.clone_from(&args.output);
    ensure!(format.fits(&export.figures), "there is nothing in \"{}\" that {} can hold", args.part, format.label);
    export.perform(&mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        interrupt::check().is_ok()
    })?;
    bar.finish_and_clear();
    output::print(&args.output.display().to_string())?;
    let Some(state) = state else { return Ok(()) };
    match (&state.shown, &export.shown) {
        (Some(then), Some(now)) => {
            let verdict = then.compare(now);
            let model = export.state.as_ref().map(|state| &state.model).filter(|model| **model != state.model);
            ensure!(
                verdict.same,
                "{}{} It was made on {}.",
                model.map_or_else(String::new, |_| format!("The file was made with another model ({}). ", state.model.name)),
                verdict.text,
                state.machine
            );
            output::note(&verdict.text);
        }
        _ => output::note("The file holds no digest, so the result was not compared."),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_format() {
        let id = |path: &str, run| format_of(Path::new(path), run).map(|format| format.id).map_err(|error| error.to_string());
        assert_eq!([id("a.png", false), id("a.SVG", false), id("a.csv", false)], ["png", "svg", "csv"].map(Ok));
        assert_eq!([id("a.png", true), id("a.apng", true), id("a.gif", true)], ["apng", "apng", "gif"].map(Ok));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(format_of(folder.path(), true).unwrap().id, "frames");
        assert!(id("a.gif", false).unwrap_err().contains("a figure goes into .png, .svg, .csv"));
        assert!(id("a", true).unwrap_err().contains(".gif"));
    }
}
