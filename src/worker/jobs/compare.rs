//! Whether a lab that was restored from a file shows what the file says.

use super::{Desk, JobError};
use crate::figure::{Evidence, Figure, Verdict};
use crate::worker::protocol::Event;

pub(super) fn run(desk: &Desk, shown: &Evidence, now: &Figure, before: &str) -> Result<(), JobError> {
    let Verdict { same, text } = shown.compare(now);
    desk.answer(Event::Compared { job: desk.job.id, same, text: format!("{before}{text}") })
}
