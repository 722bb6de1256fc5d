//! Opening the window anew after the card that drew it was lost.

use anyhow::{Context as _, Result, bail};
use std::process::Command;
use std::time::Duration;

/// A window that stood for less is not opened anew: it would only be lost again.
const STOOD: Duration = Duration::from_secs(20);

/// Starts the program again with the arguments that it was started with, after its window `stood` so long and the card that drew
/// it was lost, for the driver's reason `why`.
///
/// # Errors
/// When that would not help, or fails; the message says what to do.
pub fn open_again(why: &str, stood: Duration) -> Result<()> {
    let told = format!("the graphics card that draws the window was lost ({why})");
    if stood < STOOD {
        bail!(
            "{told} soon after the start, so the window is not opened anew; the settings are kept. Look after the card's driver, or draw \
             by another card (`WGPU_POWER_PREF=low diffuscope`) or in another way (`WGPU_BACKEND=opengl diffuscope`)"
        );
    }
    log::warn!("{told}; the window is opened anew with the settings that it had");
    let program = std::env::current_exe().with_context(|| format!("{told}, and the program does not find itself to start again"))?;
    Command::new(program).args(std::env::args_os().skip(1)).spawn().with_context(|| format!("{told}, and cannot be started again"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_is_lost_at_once_is_not_opened_for_ever() {
        let error = open_again("device removed", Duration::from_secs(3)).unwrap_err().to_string();
        assert!(error.contains("device removed") && error.contains("driver"), "{error}");
    }
}
