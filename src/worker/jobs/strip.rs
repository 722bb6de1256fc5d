//! Finished pictures of one noise at several guidance scales: all of them with few steps first, then each with all steps.

use super::reverse::generate_request;
use super::{Desk, JobError, or_break};
use crate::host::HostTensor;
use crate::worker::protocol::{Event, RunRequest, StripRequest};
use std::time::Instant;

pub(super) fn run(desk: &Desk, request: &StripRequest) -> Result<(), JobError> {
    let rounds = [request.coarse_steps, request.run.steps];
    let total = rounds.iter().sum::<usize>().saturating_mul(request.scales.len());
    let mut before = 0;
    desk.progress(0, total);
    for steps in rounds {
        for (index, &guidance_scale) in request.scales.iter().enumerate() {
            let started = Instant::now();
            let run = RunRequest { steps, guidance_scale, ..request.run.clone() };
            let picture = draw(desk, &run, |done| desk.progress(before + done, total))?;
            before += steps;
            let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
            desk.answer(Event::StripPicture { job: desk.job.id, index, steps, picture, elapsed_ms })?;
        }
    }
    desk.answer(Event::StripDone { job: desk.job.id })
}

/// The finished picture of a run, `[3, H, W]` in 0..1.
fn draw(desk: &Desk, run: &RunRequest, progress: impl FnMut(usize)) -> Result<HostTensor, JobError> {
    Ok(desk.room.pipeline()?.decode(&latents(desk, run, progress)?)?)
}

/// The last latents of a run; other work is served between its steps.
pub(super) fn latents(desk: &Desk, run: &RunRequest, mut progress: impl FnMut(usize)) -> Result<HostTensor, JobError> {
    let pipeline = desk.room.pipeline()?;
    let request = generate_request(run)?;
    desk.breathe()?;
    let mut failure = None;
    let generated = pipeline.draw(&request, &mut |done, _| {
        progress(done);
        or_break(desk.breathe(), &mut failure)
    })?;
    failure.map_or(Ok(generated.latents), Err)
}
