//! The forward run in closed form, `x_t = alpha x0 + sigma eps` with one eps for all timesteps (Ho et al. 2020, arXiv 2006.11239,
//! equation 4), and the model's answer at each timestep.

use super::{Desk, JobError};
use crate::diffusion::{PredictionType, guide};
use crate::noise::{self, Stream};
use crate::worker::protocol::{Event, ForwardRequest, Frame, Slot};
use std::sync::Arc;
use std::time::Instant;

pub(super) fn run(desk: &Desk, slot: Slot, request: &ForwardRequest) -> Result<(), JobError> {
    let started = Instant::now();
    let pipeline = desk.room.pipeline()?;
    let ForwardRequest { latents, seed, timesteps, prompt, negative, guidance_scale } = request;
    let schedule = pipeline.schedule();
    if let Some(beyond) = timesteps.iter().find(|&&timestep| timestep >= schedule.len()) {
        return Err(JobError::Request(format!(
            "timestep {beyond} was asked for, but this model has {} (0 to {})",
            schedule.len(),
            schedule.len() - 1
        )));
    }
    let count = timesteps.len();
    desk.progress(0, count);
    let eps_true = noise::gaussian(*seed, Stream::Forward, latents.shape());
    let negative = pipeline.encode_text(negative)?;
    let positive = pipeline.encode_text(prompt)?;
    let mut last = None;
    for (index, &timestep) in timesteps.iter().enumerate() {
        desk.breathe()?;
        let level = schedule.level(timestep);
        let x = level.add_noise(latents, &eps_true);
        let prediction = pipeline.predict(&x, timestep as f64, &negative, &positive)?;
        let eps = guide(&prediction.uncond, &prediction.cond, *guidance_scale);
        let x0 = PredictionType::Epsilon.to_x0(&x, &eps, level);
        desk.breathe()?;
        let x_picture = pipeline.decode(&x)?;
        desk.breathe()?;
        let x0_picture = pipeline.decode(&x0)?;
        last = Some((x.clone(), x_picture.clone()));
        let frame = Frame {
            index,
            count,
            timestep: timestep as f64,
            alpha: level.alpha,
            sigma: level.sigma,
            x,
            x0,
            eps_uncond: prediction.uncond,
            eps_cond: prediction.cond,
            eps,
            x_picture: Some(x_picture),
            x0_picture: Some(x0_picture),
        };
        desk.progress(index + 1, count);
        desk.answer(Event::Frame { job: desk.job.id, slot, frame: Arc::new(frame) })?;
    }
    let (latents, picture) =
        last.ok_or_else(|| JobError::Request("a forward run visits at least one timestep, but none was asked for".into()))?;
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    desk.answer(Event::RunDone { job: desk.job.id, slot, latents, picture, elapsed_ms })
}
