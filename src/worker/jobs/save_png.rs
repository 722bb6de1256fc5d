//! Writing a picture of the window.

use super::{Desk, JobError};
use crate::figure;
use crate::worker::protocol::Event;
use std::path::Path;

pub(super) fn run(desk: &Desk, path: &Path, width: u32, height: u32, rgba: &[u8]) -> Result<(), JobError> {
    figure::write_rgba(path, width, height, rgba)?;
    desk.answer(Event::Saved { job: desk.job.id, path: path.to_owned() })
}
