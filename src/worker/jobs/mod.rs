//! One file per kind of job, and what all jobs have in common: they can be stopped, they can fail, and they never take the
//! thread with them.

mod compare;
mod decode;
mod devices;
mod export;
mod forward;
mod learn;
mod open_model;
mod open_picture;
mod race;
mod reverse;
mod save_png;
mod save_row;
mod strip;
mod sweep;
mod tokenize;

pub use learn::{FIRST_SCENE, loss_example};
pub use race::{map as race_map, start as race_start};

use super::explain;
use super::mailbox::{Job, Mailbox};
use super::picture::PictureError;
use super::protocol::{Command, Event, Slot};
use crate::figure::{FigureError, StateError};
use crate::measure::{MeasureError, Meter};
use crate::pipeline::{GenerateRequest, GenerateStep, Generated, Pipeline, PipelineError};
use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What the thread keeps from job to job.
#[derive(Default)]
pub(super) struct Room {
    pipeline: Option<Pipeline>,
    /// Where measurements are kept.
    cache: Option<PathBuf>,
    /// The networks that measure, with the fingerprint of the model that they belong to.
    meter: RefCell<Option<(String, Rc<Meter>)>>,
    /// The lanes and the reference of the last race, so that a lane that stays is not run again.
    race: RefCell<race::Memory>,
    /// Why no model is open, after an attempt to open one.
    failure: Option<String>,
}

impl Room {
    /// A room without a model, and the folder in which measurements are kept.
    pub fn new(cache: Option<PathBuf>) -> Self {
        Self { cache, ..Self::default() }
    }

    fn pipeline(&self) -> Result<&Pipeline, JobError> {
        self.pipeline
            .as_ref()
            .ok_or_else(|| JobError::NoModel(self.failure.clone().unwrap_or_else(|| "none has been asked for yet".into())))
    }
}

/// Why a job did not end well.
#[derive(Debug, thiserror::Error)]
enum JobError {
    /// Not a failure: the job is not wanted any more.
    #[error("stopped")]
    Stopped,
    #[error("no model is open ({0}); open a model folder, or start again with the built-in model")]
    NoModel(String),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error(transparent)]
    Figure(#[from] FigureError),
    #[error(transparent)]
    State(#[from] StateError),
    /// What was asked makes no sense.
    #[error("{0}")]
    Request(String),
}

/// Makes a run. What goes wrong in a step ends the run, and is what comes of it.
///
/// # Errors
/// Those of the run and of `on_step`.
fn generate(
    pipeline: &Pipeline,
    request: &GenerateRequest,
    mut on_step: impl FnMut(&GenerateStep) -> Result<(), JobError>,
) -> Result<Generated, JobError> {
    let mut failure = None;
    let generated = pipeline.generate(request, &mut |step| or_break(on_step(step), &mut failure))?;
    failure.map_or(Ok(generated), Err)
}

/// Goes on after a step, or breaks and leaves the reason in `failure`.
fn or_break(step: Result<(), JobError>, failure: &mut Option<JobError>) -> ControlFlow<()> {
    match step {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *failure = Some(error);
            ControlFlow::Break(())
        }
    }
}

/// A job at work: where it reports to and whether it is still wanted.
struct Desk<'a> {
    room: &'a Room,
    mailbox: &'a Mailbox,
    wake: &'a dyn Fn(),
    job: &'a Job,
    /// Time that other jobs took in between.
    away: &'a Cell<Duration>,
}

/// Measures the time that a job itself takes.
struct Watch<'a> {
    started: Instant,
    away: &'a Cell<Duration>,
    away_before: Duration,
}

impl Watch<'_> {
    /// Milliseconds since it was made, without those of the jobs that were served in between.
    fn elapsed_ms(&self) -> f64 {
        let away = self.away.get().saturating_sub(self.away_before);
        self.started.elapsed().saturating_sub(away).as_secs_f64() * 1e3
    }
}

impl Desk<'_> {
    /// A watch that begins now.
    fn watch(&self) -> Watch<'_> {
        Watch { started: Instant::now(), away: self.away, away_before: self.away.get() }
    }

    /// Hands an answer over.
    ///
    /// # Errors
    /// [`JobError::Stopped`] when nobody wants it any more.
    fn answer(&self, event: Event) -> Result<(), JobError> {
        if self.mailbox.answer(self.job, event) {
            (self.wake)();
            Ok(())
        } else {
            Err(JobError::Stopped)
        }
    }

    /// Notes how far the job is.
    fn progress(&self, done: usize, total: usize) {
        self.mailbox.set_progress(self.job, done, total);
        (self.wake)();
    }

    /// Called between two evaluations or decodings: serves what goes before and waits, then goes on or stops.
    ///
    /// # Errors
    /// [`JobError::Stopped`] when the job is not wanted any more.
    fn breathe(&self) -> Result<(), JobError> {
        while self.mailbox.is_wanted(self.job)
            && let Some(other) = self.mailbox.take_within(self.job)
        {
            let (begun, before) = (Instant::now(), self.away.get());
            begin(self.mailbox, self.wake, &other);
            let desk = Desk { job: &other, ..*self };
            finish(self.mailbox, self.wake, &other, guarded(|| desk.work()));
            // What was served within that job is in its time already.
            self.away.set(before + begun.elapsed());
        }
        if self.mailbox.is_wanted(self.job) { Ok(()) } else { Err(JobError::Stopped) }
    }

    /// Does the job, whichever it is; opening a model is apart, since it changes the room.
    fn work(&self) -> Result<(), JobError> {
        match &self.job.command {
            Command::OpenPicture(source) => open_picture::run(self, source),
            Command::Forward(request) => forward::run(self, Slot::Forward, request),
            Command::Look(request) => forward::run(self, Slot::Look, request),
            Command::Reverse(slot, request) => reverse::run(self, *slot, request),
            Command::Strip(request) => strip::run(self, request),
            Command::Sweep(slot, request) => sweep::run(self, *slot, request),
            Command::Race(slot, request) => race::run(self, *slot, request),
            Command::Learn(request) => learn::run(self, request),
            Command::Devices => devices::run(self),
            Command::Decode(latents) => decode::run(self, latents),
            Command::Tokenize { prompt, negative } => tokenize::run(self, prompt, negative),
            Command::SavePng { path, width, height, rgba } => save_png::run(self, path, *width, *height, rgba),
            Command::Export(request) => export::run(self, request),
            Command::Compare(both) => compare::run(self, &both.0, &both.1, &both.2),
            Command::SaveRow { path, pictures } => save_row::run(self, path, pictures),
            Command::OpenModel { .. } | Command::Cancel(_) => Ok(()),
        }
    }
}

/// Does one job to its end, whatever happens in it.
pub(super) fn serve(room: &mut Room, mailbox: &Mailbox, wake: &dyn Fn(), job: &Job) {
    begin(mailbox, wake, job);
    let result = if let Command::OpenModel { source, device } = &job.command {
        guarded(|| open_model::run(room, mailbox, wake, job, source, *device))
    } else {
        let desk = Desk { room, mailbox, wake, job, away: &Cell::default() };
        guarded(|| desk.work())
    };
    finish(mailbox, wake, job, result);
}

/// The begin of a job.
fn begin(mailbox: &Mailbox, wake: &dyn Fn(), job: &Job) {
    if let Some(slot) = job.command.slot()
        && mailbox.answer(job, Event::Started { job: job.id, slot })
    {
        wake();
    }
}

/// The end of a job: its last word, and its place free.
fn finish(mailbox: &Mailbox, wake: &dyn Fn(), job: &Job, result: Result<(), JobError>) {
    log::debug!("job {} in {:?}: {}", job.id.0, job.command.slot(), result.as_ref().map_or_else(ToString::to_string, |()| "done".into()));
    if let (Some(slot), Err(error)) = (job.command.slot(), result) {
        let event = match error {
            JobError::Stopped => Event::Cancelled { job: job.id, slot },
            JobError::Pipeline(error) if error.is_of_device() => Event::DeviceFailed { job: job.id, slot, message: explain(&error) },
            error => Event::Failed { job: job.id, slot, message: explain(&error) },
        };
        mailbox.last_word(event);
    }
    mailbox.finish(job);
    wake();
}

/// Runs `work`; a panic in it becomes a failure with the panic's text.
fn guarded(work: impl FnOnce() -> Result<(), JobError>) -> Result<(), JobError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("no reason was given");
        Err(JobError::Request(format!("the program made a mistake here and stopped this piece of work ({text}); everything else goes on")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure_that_says_so() {
        let error = guarded(|| panic!("index 7 of 3")).unwrap_err();
        assert!(error.to_string().contains("index 7 of 3"), "{error}");
        let error = guarded(|| std::panic::panic_any(5)).unwrap_err();
        assert!(error.to_string().contains("no reason was given"), "{error}");
    }

    #[test]
    fn causes_stand_behind_what_they_caused_and_nothing_stands_twice() {
        let cause = std::io::Error::other("the disk is on fire");
        let error = JobError::from(FigureError::Write { path: "a.png".into(), source: cause });
        assert_eq!(explain(&error), "cannot write a.png: the disk is on fire");
    }

    #[test]
    fn without_a_model_the_message_says_what_to_do() {
        let message = Room::default().pipeline().err().unwrap().to_string();
        assert!(message.contains("no model is open") && message.contains("open a model folder"), "{message}");
    }
}
