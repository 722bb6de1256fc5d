//! `diffuscope train schedule`: a noise schedule learned for a finished model.

use super::interrupt;
use super::train::TrainArgs;
use crate::diffusion::schedule::learned::{Spread, estimate};
use crate::diffusion::schedule::{MonotoneNetwork, Stretch};
use crate::diffusion::{SCHEDULES, SchedulerConfig};
use crate::noise::{Stream, rng};
use crate::pipeline::schedule_learner::{LossExample, ScheduleLearner};
use crate::pipeline::{LEARNED_SCHEDULE, ModelSource, Pipeline};
use crate::train::assemble::write_json;
use crate::train::budget::Budget;
use crate::train::scenes::training_seeds;
use crate::worker::{FIRST_SCENE, loss_example};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Scenes that losses are measured on.
const SCENES: u64 = 128;
/// Losses measured in a round, and steps of the fit after them.
const LOSSES: u64 = 64;
const STEPS: usize = 16;
/// Losses that the finished schedule and the ones beside it are measured with.
const MEASURED: usize = 2048;

/// Learns until the budget is spent or Ctrl-C; writes the schedule and what it was measured at.
///
/// # Errors
/// A model that cannot be opened, a network that fails, a folder that cannot be written.
pub(super) fn run(args: &TrainArgs) -> Result<()> {
    interrupt::listen();
    let source = args.from.clone().map_or(ModelSource::Embedded, ModelSource::Folder);
    let pipeline = Pipeline::load(&source, args.device)?;
    let scenes = args.scenes.unwrap_or(SCENES) as usize;
    let examples =
        training_seeds(FIRST_SCENE, scenes).into_iter().map(|seed| loss_example(&pipeline, seed)).collect::<Result<Vec<_>, _>>()?;
    let mut learner = ScheduleLearner::new(pipeline.schedule(), args.seed);
    let budget = args.steps.map_or_else(|| Budget::Time(args.budget.unwrap_or(Duration::from_secs(300))), Budget::Steps);
    let losses = args.batch.unwrap_or(LOSSES) as usize;
    let (started, mut rounds, mut told) = (Instant::now(), 0, Instant::now());
    while !budget.is_spent(rounds, started.elapsed()) && interrupt::check().is_ok() {
        learner.round(&pipeline, &examples, losses, STEPS, budget.fraction(rounds, started.elapsed()))?;
        rounds += 1;
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            let ready = learner.fit.network.ready();
            let now = estimate(learner.samples(), |sample| ready.at(ready.time_of(sample.gamma)).slope);
            eprintln!("{} losses: the estimate's variance is {:.4}", rounds * losses as u64, now.variance);
        }
    }
    ensure!(rounds > 0, "nothing was learned before it was stopped");
    eprintln!("{} losses in {:.0} s; now measuring", rounds * losses as u64, started.elapsed().as_secs_f64());
    let measured = args.steps.map_or(MEASURED, |steps| MEASURED.min(losses * steps as usize).max(16));
    finish(args, &pipeline, &examples, &learner.fit.network, measured, rounds * losses as u64)
}

/// Measures the learned schedule beside the others of the table between the same ends, tells, and writes.
fn finish(
    args: &TrainArgs,
    pipeline: &Pipeline,
    examples: &[LossExample],
    network: &MonotoneNetwork,
    count: usize,
    losses: u64,
) -> Result<()> {
    let measure = |name: &str, schedule: &dyn Fn(f64) -> (f64, f64)| -> Result<Value> {
        let Spread { estimate: found, error, .. } =
            Spread::of(&pipeline.measure_losses(examples, schedule, count, &mut rng(args.seed, Stream::Eval))?);
        let (mean, variance) = (found.mean, found.variance);
        super::output::print(&format!("{name:>14}: loss {mean:.4}, variance of its estimate {variance:.4} +- {error:.4}"))?;
        Ok(json!({ "loss": mean, "variance": variance, "standard_error": error }))
    };
    let ready = network.ready();
    let mut table = serde_json::Map::new();
    table.insert("learned".into(), measure("learned", &|time| ready.along(time))?);
    let timesteps = pipeline.schedule().len();
    for info in SCHEDULES.iter().filter(|info| ["linear", "scaled_linear", "squaredcos_cap_v2"].contains(&info.id)) {
        let stretch = Stretch::new(info.continuous(&[], timesteps), network.ends());
        table.insert(info.id.into(), measure(&info.label.to_lowercase(), &|time| stretch.at(time))?);
    }
    let schedule = network.schedule(timesteps)?;
    let config = SchedulerConfig {
        trained_betas: Some(schedule.betas().to_vec()),
        schedule_id: "trained_betas".to_owned(),
        num_train_timesteps: timesteps,
        prediction: pipeline.prediction(),
        ..SchedulerConfig::default()
    };
    let folder = args.out.join("schedules").join("learned");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let path = args.out.join(LEARNED_SCHEDULE);
    crate::figure::write_atomic(&path, config.to_json().as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    let record =
        json!({ "gamma_ends": network.ends(), "network": network.params(), "losses": losses, "measured": count, "schedules": table });
    write_json(&folder.join("learned.json"), &record)?;
    super::output::print(&folder.display().to_string())
}
