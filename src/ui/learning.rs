//! The schedule that is being learned, as far as it has come.

use crate::worker::protocol::{JobId, LearnStep};
use std::sync::Arc;

/// The learning.
#[derive(Debug, Clone, Default)]
pub struct Learning {
    job: Option<JobId>,
    running: bool,
    stopped: bool,
    steps: Vec<Arc<LearnStep>>,
}

impl Learning {
    /// Whether it is still learned.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether it was cancelled or failed.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// What was reported, the oldest first.
    pub fn steps(&self) -> &[Arc<LearnStep>] {
        &self.steps
    }

    /// The newest report.
    pub fn newest(&self) -> Option<&Arc<LearnStep>> {
        self.steps.last()
    }

    pub(super) fn sent(&mut self, job: JobId) {
        *self = Self { job: Some(job), running: true, ..Self::default() };
    }

    pub(super) fn came(&mut self, job: JobId, step: Arc<LearnStep>) {
        if self.job == Some(job) {
            self.steps.push(step);
        }
    }

    pub(super) fn done(&mut self, job: JobId) {
        self.running &= self.job != Some(job);
    }

    pub(super) fn stop(&mut self, job: JobId) {
        if self.job == Some(job) {
            (self.running, self.stopped) = (false, true);
        }
    }
}
