//! Ctrl-C: the first asks the work to end in order, the second ends the program at once.

use super::INTERRUPTED;
use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The end of a command by Ctrl-C.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("stopped by Ctrl-C")]
pub struct Interrupted;

/// Listens to Ctrl-C from now on.
pub fn listen() {
    on_interrupt(|| {});
}

/// As [`listen`], and calls `told` at the first Ctrl-C. Where the system refuses, Ctrl-C ends the program as it always does.
pub fn on_interrupt(told: impl Fn() + Send + 'static) {
    let listening = ctrlc::set_handler(move || {
        if REQUESTED.swap(true, Ordering::AcqRel) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        told();
    });
    if let Err(error) = listening {
        log::warn!("Ctrl-C cannot be caught: {error}");
    }
}

/// Goes on unless Ctrl-C has been pressed.
///
/// # Errors
/// [`Interrupted`].
pub fn check() -> Result<(), Interrupted> {
    if REQUESTED.load(Ordering::Acquire) { Err(Interrupted) } else { Ok(()) }
}
