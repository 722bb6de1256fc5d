//! Decoding latents on request.

use super::{Desk, JobError};
use crate::host::HostTensor;
use crate::worker::protocol::Event;

pub(super) fn run(desk: &Desk, latents: &HostTensor) -> Result<(), JobError> {
    let picture = desk.room.pipeline()?.decode(latents)?;
    desk.answer(Event::Decoded { job: desk.job.id, picture })
}
