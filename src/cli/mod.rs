//! The commands: one file each. Results go to standard output, everything else to standard error.

mod again;
mod bench;
mod devices;
mod dump;
mod eval;
mod figure;
mod gallery;
mod generate;
mod interrupt;
mod learn;
mod offscreen;
mod options;
mod output;
mod report;
mod stage;
mod tensors;
mod trace;
mod train;
mod world;

pub use again::open_again;
pub use interrupt::{Interrupted, check as check_interrupt, on_interrupt};
pub use options::{Level, Theme, WindowArgs};
pub use stage::{FigureAsk, FigureGround, Lab, OpenStage, Stage, Window};

use clap::Subcommand;
use std::process::ExitCode;

/// Exit code of a command that Ctrl-C ended, as shells count it: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;
/// Exit code of a failure. A wrong command line is 2, by clap.
pub const FAILURE: u8 = 1;

/// See, touch and understand how diffusion models make pictures.
#[derive(Debug, clap::Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        diffuscope                                   open the window\n  \
        diffuscope --theme light --lab guidance      open it at a lab\n  \
        diffuscope generate \"a red house at night\"   make a picture without a window"
)]
pub struct Cli {
    /// What to do; the window opens when nothing is named
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How the window opens
    #[command(flatten)]
    pub window: WindowArgs,
}

/// What the program does without a window. The help of each is that of its arguments.
#[derive(Debug, Subcommand)]
pub enum Command {
    Generate(generate::GenerateArgs),
    World(world::WorldArgs),
    Gallery(gallery::GalleryArgs),
    Figure(figure::FigureArgs),
    /// Train the models
    Train(train::TrainArgs),
    /// Measure how good a model is
    Eval(eval::EvalArgs),
    Bench(bench::BenchArgs),
    Devices(devices::DevicesArgs),
    Trace(trace::TraceArgs),
}

/// What has to happen before any thread starts; the first thing in `main`.
pub fn prepare() {}

/// Does what the command says. `window` is what [`Command::Gallery`], [`Command::Figure`] and [`Command::Bench`] look at.
pub fn run(command: Command, window: &Window) -> ExitCode {
    finish(match command {
        Command::Generate(args) => generate::run(&args),
        Command::World(args) => world::run(args),
        Command::Gallery(args) => gallery::run(&args, window),
        Command::Figure(args) => figure::run(&args, window),
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Bench(args) => bench::run(&args, window),
        Command::Devices(args) => devices::run(&args),
        Command::Trace(args) => trace::run(&args),
    })
}

/// What to say when the window cannot be opened: what is missing, what to install, what works without.
pub fn no_window(cause: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the window cannot be opened ({cause}). It needs a desktop session (Wayland or X11) and a graphics adapter; one in software will \
         do (Debian, Ubuntu: apt install mesa-vulkan-drivers; Fedora: dnf install mesa-vulkan-drivers). Without a desktop, \
         `diffuscope generate \"a red house\" -o house.png` makes pictures, `diffuscope gallery --out DIR` draws every lab into a file, \
         and `diffuscope --help` lists the rest"
    )
}

/// The exit code of a result; an error is told in one message with its causes.
pub fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough: `diffuscope world ... | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&crate::worker::explain(error.as_ref()));
            ExitCode::from(if error.is::<Interrupted>() { INTERRUPTED } else { FAILURE })
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_sound_and_every_command_shows_an_example() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        for command in cli.get_subcommands().chain([&cli]) {
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains("diffuscope"), "{} shows no example in --help", command.get_name());
        }
    }

    #[test]
    fn no_command_opens_the_window() {
        let cli = Cli::try_parse_from(["diffuscope", "--lab", "schedules", "--seed", "7", "--theme", "light"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!((cli.window.lab.as_deref(), cli.window.seed, cli.window.theme), (Some("schedules"), Some(7), Some(Theme::Light)));
    }

    #[test]
    fn a_broken_pipe_is_no_failure() {
        let pipe = anyhow::Error::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe)).context("cannot write the result");
        assert!(is_broken_pipe(&pipe));
        assert!(!is_broken_pipe(&anyhow::anyhow!("something else")));
    }
}
