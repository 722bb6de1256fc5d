//! Writing a figure: drawn here, never on the window's thread.

use super::{Desk, JobError};
use crate::figure::{Export, FigureError};
use crate::worker::protocol::Event;

pub(super) fn run(desk: &Desk, request: &Export) -> Result<(), JobError> {
    let written = request.perform(&mut |done, total| {
        desk.progress(done, total.max(1));
        desk.breathe().is_ok()
    });
    match written {
        Ok(()) => desk.answer(Event::Saved { job: desk.job.id, path: request.target.clone() }),
        Err(FigureError::Stopped) => Err(JobError::Stopped),
        Err(error) => Err(error.into()),
    }
}
