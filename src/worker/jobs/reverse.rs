//! The reverse run: each step goes to the window with its predicted x0 decoded as soon as it is made; the noisy pictures follow.

use super::{Desk, JobError};
use crate::diffusion::{SAMPLERS, SamplerInfo};
use crate::pipeline::{GenerateRequest, GenerateStep};
use crate::worker::protocol::{Event, Frame, RunRequest, Slot};
use std::sync::Arc;
use std::time::Instant;

pub(super) fn run(desk: &Desk, slot: Slot, request: &RunRequest) -> Result<(), JobError> {
    let started = Instant::now();
    let pipeline = desk.room.pipeline()?;
    let generate = generate_request(request)?;
    // One unit of progress is one step, or one decoding of x_t afterwards.
    let total = |count: usize| if request.decode_every_step { 2 * count } else { count };
    let send = |frame: &Arc<Frame>| desk.answer(Event::Frame { job: desk.job.id, slot, frame: Arc::clone(frame) });
    desk.progress(0, total(request.steps));
    desk.breathe()?;

    // The frames share their tensors with those that went to the window, so keeping them costs no second copy.
    let mut frames = Vec::new();
    let generated = super::generate(pipeline, &generate, |step| {
        desk.breathe()?;
        let x0_picture = pipeline.decode(&step.x0)?;
        let frame = Arc::new(frame_of(step, x0_picture));
        desk.progress(step.index + 1, total(step.count));
        send(&frame)?;
        if request.decode_every_step {
            frames.push(frame);
        }
        desk.breathe()
    })?;
    let picture = pipeline.decode(&generated.latents)?;
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;

    for frame in frames {
        desk.breathe()?;
        let x_picture = Some(pipeline.decode(&frame.x)?);
        desk.progress(frame.count + frame.index + 1, 2 * frame.count);
        send(&Arc::new(Frame { x_picture, ..Frame::clone(&frame) }))?;
    }
    desk.answer(Event::RunDone { job: desk.job.id, slot, latents: generated.latents, picture, elapsed_ms })
}

/// What the pipeline is asked for.
pub(super) fn generate_request(request: &RunRequest) -> Result<GenerateRequest, JobError> {
    let sampler = SamplerInfo::find(&request.sampler).ok_or_else(|| {
        let known: Vec<_> = SAMPLERS.iter().map(|info| info.id).collect();
        JobError::Request(format!("there is no sampler \"{}\"; there are {}", request.sampler, known.join(", ")))
    })?;
    Ok(GenerateRequest {
        prompt: request.prompt.clone(),
        negative: request.negative.clone(),
        seed: request.seed,
        steps: request.steps,
        guidance_scale: request.guidance_scale,
        guidance_interval: request.guidance_interval,
        guidance_rescale: 0.0,
        sampler,
        start: request.start.clone(),
        levels: None,
    })
}

fn frame_of(step: &GenerateStep, x0_picture: crate::host::HostTensor) -> Frame {
    Frame {
        index: step.index,
        count: step.count,
        timestep: step.timestep,
        alpha: step.level.alpha,
        sigma: step.level.sigma,
        x: step.x.clone(),
        x0: step.x0.clone(),
        eps_uncond: step.eps_uncond.clone(),
        eps_cond: step.eps_cond.clone(),
        eps: step.eps.clone(),
        x_picture: None,
        x0_picture: Some(x0_picture),
    }
}
