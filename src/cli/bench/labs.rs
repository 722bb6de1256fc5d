//! What the labs compute while one looks on: a race of samplers, and the learning of a schedule, through the worker as in the window.

use super::window::await_event;
use crate::cli::options::ModelArgs;
use crate::cli::output;
use crate::worker::Worker;
use crate::worker::protocol::{Command, Event, LearnRequest, RaceLane, RaceRequest, RunRequest, Slot};
use anyhow::{Result, bail};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

/// The race: six samplers at the cost of 20 evaluations each, and 500 steps of the reference.
const LANES: [(&str, usize); 6] = [("ddim", 20), ("euler", 20), ("heun", 10), ("dpmpp_2m", 20), ("unipc", 20), ("euler_ancestral", 20)];
const REFERENCE_STEPS: usize = 500;

/// Measure how fast samplers race, and how long a schedule takes to be learned
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "race_pictures_per_s     finished pictures of the six lanes, 20 evaluations each, every step decoded for the screen\n\
    race_evaluations_per_s  guided evaluations of the U-Net in the lanes\n\
    reference_s             the 500 steps that they are held against\n\
    learn_s                 to learn a schedule from 1536 losses along it, beside 384 along each of two others\n\
    learned_variance        of the estimate of the loss at one random time, with its standard error; and along the two others"
)]
pub(super) struct LabsArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// Measures and prints.
///
/// # Errors
/// A model that cannot be opened, Ctrl-C.
pub(super) fn run(args: &LabsArgs) -> Result<()> {
    let mut worker = Worker::spawn_with_cache(Arc::new(|| {}), None);
    worker.send(Command::OpenModel { source: args.model.source(), device: args.model.device() });
    await_event(&mut worker, |event| Ok(matches!(event, Some(Event::ModelReady { .. }))))?;

    let lane = |(sampler, steps): (&str, usize)| RaceLane { sampler: sampler.to_owned(), steps, seed: 7, levels: None };
    let run = RunRequest { prompt: super::work::PROMPT.to_owned(), seed: 7, guidance_scale: 5.0, ..RunRequest::default() };
    worker.send(Command::Race(Slot::Race, RaceRequest { run, lanes: LANES.map(lane).to_vec(), reference_steps: REFERENCE_STEPS }));
    let started = Instant::now();
    let (mut evaluations, mut arrived) = (0, 0);
    await_event(&mut worker, |event| {
        if let Some(Event::RaceLane { end, .. }) = event {
            (evaluations, arrived) = (evaluations + end.evaluations, arrived + 1);
        }
        Ok(arrived == LANES.len())
    })?;
    let lanes_s = started.elapsed().as_secs_f64();
    await_event(&mut worker, |event| Ok(matches!(event, Some(Event::RaceDone { .. }))))?;
    let reference_s = started.elapsed().as_secs_f64() - lanes_s;

    worker.send(Command::Learn(LearnRequest { seed: 7, losses: LearnRequest::LOSSES }));
    let mut newest = None;
    await_event(&mut worker, |event| {
        if let Some(Event::Learned { step, .. }) = event {
            newest = Some(Arc::clone(step));
        }
        Ok(matches!(event, Some(Event::LearnDone { .. })))
    })?;
    let Some(step) = newest else { bail!("nothing was learned") };
    let learn_s = step.elapsed_ms / 1e3;
    let (pictures, rate) = (LANES.len() as f64 / lanes_s, evaluations as f64 / lanes_s);
    let spreads: Vec<_> = [("learned", &step.learned)].into_iter().chain(step.beside.iter().map(|(id, spread)| (*id, spread))).collect();
    if args.json {
        let of = |(id, spread): &(&str, &crate::diffusion::schedule::learned::Spread)| {
            ((*id).to_owned(), json!({ "variance": spread.estimate.variance, "standard_error": spread.error, "losses": spread.count }))
        };
        let variances: serde_json::Map<String, serde_json::Value> = spreads.iter().map(of).collect();
        let all = json!({
            "race_pictures_per_s": pictures, "race_evaluations_per_s": rate, "reference_s": reference_s, "learn_s": learn_s,
            "variances": variances,
        });
        return output::print(&all.to_string());
    }
    output::print(&format!(
        "race_pictures_per_s     {pictures:9.2}\nrace_evaluations_per_s  {rate:9.1}\nreference_s             {reference_s:9.2}\nlearn_s                 {learn_s:9.2}"
    ))?;
    for (id, spread) in spreads {
        let (variance, error, count) = (spread.estimate.variance, spread.error, spread.count);
        output::print(&format!("variance, {id:17} {variance:9.3} +- {error:.3} from {count} losses"))?;
    }
    Ok(())
}
