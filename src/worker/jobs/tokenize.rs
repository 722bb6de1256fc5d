//! How the model's tokenizer reads the prompts. Without a model there is nothing to say; the failure to open one has been told.

use super::{Desk, JobError};
use crate::worker::protocol::Event;

pub(super) fn run(desk: &Desk, prompt: &str, negative: &str) -> Result<(), JobError> {
    let pipeline = desk.room.pipeline()?;
    desk.answer(Event::Tokenized { prompt: pipeline.tokenize(prompt), negative: pipeline.tokenize(negative) })
}
