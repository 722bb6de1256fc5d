//! One thread that owns the model and does one job at a time, so that the window never waits.
//!
//! A newer job replaces the older one of its slot; a job looks whether it is still wanted between two evaluations of the U-Net
//! and between two decodings. What a stale job says is dropped on the way.

mod cache;
mod jobs;
mod kernels;
mod mailbox;
pub mod picture;
pub mod protocol;

pub use jobs::{FIRST_SCENE, loss_example, race_map, race_start};

use crate::pipeline::keep_compiled;
use jobs::Room;
use mailbox::{Job, Mailbox};
use protocol::{Command, Event, JobId, Slot};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a closing window waits for the work in hand; a model that is still being read from the disk then ends with the
/// program.
const PATIENCE: Duration = Duration::from_secs(3);
/// Stack of the worker's thread.
const STACK_BYTES: usize = 8 << 20;

/// The window's handle on the worker. Dropping it stops the work and ends the thread.
pub struct Worker {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
    wake: Arc<dyn Fn() + Send + Sync>,
    last_id: u64,
    /// Id of the newest job of each slot.
    newest: [JobId; Slot::ALL.len()],
    /// Answers that the handle gives itself: at most one per slot.
    own: Vec<Event>,
    /// Why there is no thread, where the system refused one.
    refused: Option<String>,
}

impl Worker {
    /// Starts the thread; `wake` is called from it whenever there is something new to see.
    pub fn spawn(wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self::spawn_with_cache(wake, cache::default_folder())
    }

    /// The same with the folder in which measurements are kept; none keeps nothing.
    pub fn spawn_with_cache(wake: Arc<dyn Fn() + Send + Sync>, folder: Option<PathBuf>) -> Self {
        if let Some(folder) = &folder {
            keep_compiled(Box::new(kernels::Kernels::within(folder)));
        }
        let mailbox = Arc::new(Mailbox::new());
        let (inside, wake_inside) = (Arc::clone(&mailbox), Arc::clone(&wake));
        let spawned = std::thread::Builder::new().name("worker".into()).stack_size(STACK_BYTES).spawn(move || {
            let mut room = Room::new(folder);
            while let Some(job) = inside.take() {
                jobs::serve(&mut room, &inside, &*wake_inside, &job);
            }
        });
        let (thread, refused) = match spawned {
            Ok(thread) => (Some(thread), None),
            Err(error) => (None, Some(format!("the system gives no thread to work in ({error}); close other programs and start again"))),
        };
        Self { mailbox, thread, wake, last_id: 0, newest: Default::default(), own: Vec::new(), refused }
    }

    /// Asks for something and returns at once, with the id of the new job where the command makes one.
    ///
    /// The earlier job of the same slot is dropped, or stopped when it is running. Opening a model also stops what runs on the
    /// model before it.
    pub fn send(&mut self, command: Command) -> Option<JobId> {
        if let Command::Cancel(slot) = command {
            if let Some(job) = self.mailbox.cancel(slot) {
                self.answer_self(slot, Event::Cancelled { job, slot });
            }
            return None;
        }
        self.last_id += 1;
        let (id, slot) = (JobId(self.last_id), command.slot());
        if let Some(slot) = slot {
            self.newest[slot as usize] = id;
            self.own.retain(|event| event_source(event).is_none_or(|(_, other)| other != slot));
            if let Some(message) = &self.refused {
                let event = Event::Failed { job: id, slot, message: message.clone() };
                self.answer_self(slot, event);
                return Some(id);
            }
        }
        if slot == Some(Slot::Model) {
            for other in Slot::ALL.into_iter().filter(|slot| !matches!(slot, Slot::Model | Slot::Save)) {
                self.mailbox.interrupt(other);
            }
        }
        self.mailbox.put(Job { id, command });
        slot.map(|_| id)
    }

    fn answer_self(&mut self, slot: Slot, event: Event) {
        self.own.retain(|event| event_source(event).is_none_or(|(_, other)| other != slot));
        self.own.push(event);
        (self.wake)();
    }

    /// Up to `max` answers, oldest first, without waiting. What stale jobs said is not among them.
    pub fn poll(&mut self, max: usize) -> Vec<Event> {
        let mut events: Vec<_> = self.own.drain(..self.own.len().min(max)).collect();
        while events.len() < max {
            let Some(event) = self.mailbox.next_answer() else { break };
            if event_source(&event).is_none_or(|(job, slot)| self.newest[slot as usize] == job) {
                events.push(event);
            }
        }
        events
    }

    /// How far the running job of a slot is: done and total.
    pub fn progress(&self, slot: Slot) -> Option<(usize, usize)> {
        self.mailbox.progress(slot)
    }

    /// Whether a job waits or runs, or an answer has not been fetched yet.
    pub fn is_busy(&self) -> bool {
        !self.own.is_empty() || (self.thread.is_some() && self.mailbox.is_busy())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.mailbox.close();
        let Some(thread) = self.thread.take() else { return };
        let closed = Instant::now();
        while !thread.is_finished() && closed.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
        // A thread that is inside one long evaluation ends after it, or with the program, whichever comes first.
        if thread.is_finished() && thread.join().is_err() {
            log::error!("the worker's thread ended in a panic");
        }
    }
}

/// The job and the slot that an event comes from; `None` for tokenizing, which has neither.
fn event_source(event: &Event) -> Option<(JobId, Slot)> {
    match *event {
        Event::Started { job, slot }
        | Event::Frame { job, slot, .. }
        | Event::RunDone { job, slot, .. }
        | Event::Cancelled { job, slot }
        | Event::Failed { job, slot, .. }
        | Event::DeviceFailed { job, slot, .. } => Some((job, slot)),
        Event::Devices { job, .. } => Some((job, Slot::Devices)),
        Event::ModelReady { job, .. } => Some((job, Slot::Model)),
        Event::StateRead { job, .. } | Event::PictureReady { job, .. } => Some((job, Slot::Picture)),
        Event::StripPicture { job, .. } | Event::StripDone { job } => Some((job, Slot::Strip)),
        Event::SweepBegun { job, slot, .. } | Event::SweepPoint { job, slot, .. } | Event::SweepDone { job, slot } => Some((job, slot)),
        Event::RaceStep { job, slot, .. } | Event::RaceLane { job, slot, .. } | Event::RaceDone { job, slot, .. } => Some((job, slot)),
        Event::Learned { job, .. } | Event::LearnDone { job } => Some((job, Slot::Learn)),
        Event::Decoded { job, .. } => Some((job, Slot::Probe)),
        Event::Saved { job, .. } | Event::Compared { job, .. } => Some((job, Slot::Save)),
        Event::Tokenized { .. } => None,
    }
}

/// An error with its causes as one sentence, for a person; a cause that is in the text already is not said twice.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
