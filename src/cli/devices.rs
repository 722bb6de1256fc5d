//! `diffuscope devices`: what there is to compute on, and how each does.

use super::output;
use crate::pipeline::{DeviceCard, Trial, devices, try_device};
use crate::worker::explain;
use anyhow::Result;
use serde_json::{Value, json};

/// List what there is to compute on
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope devices\n  \
    diffuscope devices --measure\n  \
    diffuscope devices --measure --json\n\n\
    The first word of a line is what --device takes. A graphics card in software is the processor by a detour: right, and slow.\n\
    --measure evaluates the built-in U-Net for two prompts on each device and holds the answer against the processor's.")]
pub struct DevicesArgs {
    /// Try each device
    #[arg(long)]
    measure: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// Lists, and measures where asked to.
///
/// # Errors
/// When the list cannot be printed.
pub fn run(args: &DevicesArgs) -> Result<()> {
    let tried: Vec<_> = devices().into_iter().map(|card| (args.measure.then(|| try_device(card.kind)), card)).collect();
    if args.json {
        let of = |(tried, card): &(Option<_>, DeviceCard)| {
            let mut object = json!({ "device": card.kind.label(), "name": card.name, "software": card.software });
            match tried {
                Some(Ok(Trial { step_ms, error, .. })) => {
                    (object["step_ms"], object["relative_error"]) = (json!(step_ms), json!(error));
                }
                Some(Err(error)) => object["failure"] = json!(explain(error)),
                None => {}
            }
            object
        };
        return output::print(&Value::Array(tried.iter().map(of).collect()).to_string());
    }
    for (tried, card) in &tried {
        let told = match tried {
            Some(Ok(trial)) => {
                let verdict = if trial.passes() { "agrees" } else { "DIFFERS" };
                format!("  {:8.1} ms a step, {verdict} with the processor to {:.0e}", trial.step_ms, trial.error)
            }
            Some(Err(error)) => format!("  cannot be used: {}", explain(error)),
            None => String::new(),
        };
        output::print(&format!("{:12}  {}{told}", card.kind.label(), card.name))?;
    }
    Ok(())
}
