//! A schedule learned for the open model while one looks on: losses measured along it bend it, beside others measured in the same way.

use super::{Desk, JobError};
use crate::diffusion::ScheduleInfo;
use crate::diffusion::schedule::Stretch;
use crate::diffusion::schedule::learned::{LossSample, Spread};
use crate::noise::{Stream, rng};
use crate::pipeline::schedule_learner::{LossExample, ScheduleLearner};
use crate::pipeline::{Pipeline, PipelineError};
use crate::worker::protocol::{BESIDE, Event, LearnRequest, LearnStep};
use crate::world::{Scene, render_rgb};
use std::sync::Arc;

/// The first of the scenes that losses are measured on: far from those that models are trained on.
pub const FIRST_SCENE: u64 = 40_000_000;
const SCENES: u64 = 48;
/// Losses measured along the schedule in a round, along each of those beside it, and steps of the fit after them.
const LOSSES: usize = 16;
const LOSSES_BESIDE: usize = 4;
const STEPS: usize = 8;
/// The newest losses along the schedule that tell how well the loss is known by it: it bends, so the older ones tell of another.
const NEWEST: usize = 256;

pub(super) fn run(desk: &Desk, request: &LearnRequest) -> Result<(), JobError> {
    let pipeline = desk.room.pipeline()?;
    let rounds = request.losses.div_ceil(LOSSES).max(1);
    let total = SCENES as usize + rounds;
    let mut examples = Vec::new();
    for scene in 0..SCENES {
        desk.progress(examples.len(), total);
        desk.breathe()?;
        examples.push(loss_example(pipeline, FIRST_SCENE + scene)?);
    }
    let mut learner = ScheduleLearner::new(pipeline.schedule(), request.seed);
    let ends = learner.fit.network.ends();
    let count = pipeline.schedule().len();
    let beside = BESIDE.into_iter().filter_map(ScheduleInfo::find);
    let mut beside: Vec<(&str, Stretch, Vec<LossSample>)> =
        beside.map(|info| (info.id, Stretch::new(info.continuous(&[], count), ends), Vec::new())).collect();
    let mut draws = rng(request.seed, Stream::Eval);
    let watch = desk.watch();
    for round in 0..rounds {
        for (_, stretch, samples) in &mut beside {
            desk.breathe()?;
            samples.extend(pipeline.measure_losses(&examples, |time| stretch.at(time), LOSSES_BESIDE, &mut draws)?);
        }
        desk.breathe()?;
        learner.round(pipeline, &examples, LOSSES, STEPS, round as f64 / rounds as f64)?;
        let newest = &learner.samples()[learner.samples().len().saturating_sub(NEWEST)..];
        let step = LearnStep {
            network: learner.fit.network.clone(),
            losses: (round + 1) * LOSSES,
            learned: Spread::of(newest),
            beside: beside.iter().map(|(id, _, samples)| (*id, Spread::of(samples))).collect(),
            elapsed_ms: watch.elapsed_ms(),
        };
        desk.progress(SCENES as usize + round + 1, total);
        desk.answer(Event::Learned { job: desk.job.id, step: Arc::new(step) })?;
    }
    desk.answer(Event::LearnDone { job: desk.job.id })
}

/// The scene of a seed with its caption, to measure losses on.
///
/// # Errors
/// When a network fails.
pub fn loss_example(pipeline: &Pipeline, seed: u64) -> Result<LossExample, PipelineError> {
    let scene = Scene::sample(seed);
    let picture = render_rgb(&scene, pipeline.card().picture_side);
    Ok(LossExample { latents: pipeline.encode_picture(&picture)?, text: pipeline.encode_text(&scene.caption(seed))? })
}
