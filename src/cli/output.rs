//! Where words go: results to standard output, complaints and progress to standard error.

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write, stderr, stdout};

/// Prints a line of the result.
///
/// # Errors
/// When standard output cannot be written; a broken pipe is among the causes then and ends the command quietly.
pub fn print(line: &str) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write the result to standard output")
}

/// Prints a failure.
pub fn complain(message: &str) {
    // Nowhere is left to complain about standard error.
    writeln!(stderr().lock(), "diffuscope: {message}").ok();
}

/// Prints something worth knowing that is no result.
pub fn note(message: &str) {
    writeln!(stderr().lock(), "{message}").ok();
}

/// A bar of `total` units on a terminal, nothing elsewhere.
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    let target = if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:32} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}
