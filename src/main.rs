//! Arguments to the window or to a command; nothing else.

use clap::Parser;
use diffuscope::worker::Worker;
use diffuscope::worker::protocol::{Command, Event, JobId, Slot};
use diffuscope::{cli, ui};
use std::process::ExitCode;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("off,diffuscope=warn")).format_timestamp(None).init();
    let cli = cli::Cli::parse();
    match cli.command {
        Some(command) => cli::run(command, &offscreen_window()),
        None => cli::finish(open_window(cli.window)),
    }
}

/// The worker as the window asks it.
struct Engine(Worker);

impl ui::Backend for Engine {
    fn send(&mut self, command: Command) -> Option<JobId> {
        self.0.send(command)
    }
    fn poll(&mut self, max: usize) -> Vec<Event> {
        self.0.poll(max)
    }
    fn progress(&self, slot: Slot) -> Option<(usize, usize)> {
        self.0.progress(slot)
    }
    fn is_busy(&self) -> bool {
        self.0.is_busy()
    }
}
