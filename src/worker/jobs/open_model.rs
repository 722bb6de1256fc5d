//! Opening a model. The one before it stays open until the new one is, and where the new one cannot be opened.

use super::{JobError, Room};
use crate::pipeline::Pipeline;
use crate::worker::explain;
use crate::worker::mailbox::{Job, Mailbox};
use crate::worker::protocol::{DeviceKind, Event, ModelSource};
use std::sync::Arc;

pub(super) fn run(
    room: &mut Room,
    mailbox: &Mailbox,
    wake: &dyn Fn(),
    job: &Job,
    source: &ModelSource,
    device: DeviceKind,
) -> Result<(), JobError> {
    let mut on_progress = |done, total| {
        mailbox.set_progress(job, done, total);
        wake();
    };
    let opened = Pipeline::load_with(source, device, &mut on_progress).and_then(|pipeline| {
        let learned = pipeline.learned_schedule()?;
        Ok((pipeline, learned))
    });
    let (pipeline, learned) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            room.failure = Some(explain(&error));
            return Err(error.into());
        }
    };
    if !mailbox.is_wanted(job) {
        return Err(JobError::Stopped);
    }
    let card = Arc::new(pipeline.card().clone());
    let alphas_cumprod = Arc::from(pipeline.schedule().alphas_cumprod());
    let learned = learned.map(|schedule| Arc::from(schedule.alphas_cumprod()));
    room.pipeline = Some(pipeline);
    room.failure = None;
    if mailbox.answer(job, Event::ModelReady { job: job.id, card, alphas_cumprod, learned }) {
        wake();
    }
    Ok(())
}
