//! One run as it was asked for and as far as it has come.

use crate::host::HostTensor;
use crate::worker::protocol::{Frame, JobId};
use std::sync::Arc;

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// The last latents.
    pub latents: HostTensor,
    /// The last latents decoded.
    pub picture: HostTensor,
    /// Wall time in milliseconds, measured.
    pub elapsed_ms: f64,
}

/// A run that was asked for, and the frames of it (or of the one before, until the first new frame comes).
#[derive(Debug, Clone)]
pub struct Run<R> {
    asked: Option<R>,
    job: Option<JobId>,
    running: bool,
    begun: bool,
    stopped: bool,
    request: Option<R>,
    frames: Vec<Arc<Frame>>,
    end: Option<RunEnd>,
    count: usize,
}

impl<R> Default for Run<R> {
    fn default() -> Self {
        Self {
            asked: None,
            job: None,
            running: false,
            begun: false,
            stopped: false,
            request: None,
            frames: Vec::new(),
            end: None,
            count: 0,
        }
    }
}

impl<R: Clone + PartialEq> Run<R> {
    /// A run that is over: the request, its frames by falling timestep, and its end.
    pub fn kept(request: R, frames: Vec<Arc<Frame>>, end: Option<RunEnd>) -> Self {
        let count = frames.first().map_or(0, |frame| frame.count);
        Self { asked: Some(request.clone()), request: Some(request), frames, end, count, ..Self::default() }
    }

    /// The newest request.
    pub fn asked(&self) -> Option<&R> {
        self.asked.as_ref()
    }

    /// The request that the kept frames answer.
    pub fn request(&self) -> Option<&R> {
        self.request.as_ref()
    }

    /// The kept frames, by falling timestep.
    pub fn frames(&self) -> &[Arc<Frame>] {
        &self.frames
    }

    /// How the run of the kept frames ended, if it has.
    pub fn end(&self) -> Option<&RunEnd> {
        self.end.as_ref()
    }

    /// Whether the newest request is still being worked on.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether the newest request was cancelled or failed.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether the kept frames answer the newest request.
    pub fn is_current(&self) -> bool {
        self.asked.is_some() && self.asked == self.request
    }

    /// How many frames the run has when complete.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The frame of a falling run at `timestep`: the last one visited before the level drops below it.
    pub fn at(&self, timestep: f64) -> Option<&Arc<Frame>> {
        let after = self.frames.partition_point(|f| f.timestep >= timestep - 0.5);
        self.frames.get(after.saturating_sub(1))
    }

    /// The frame whose timestep is nearest.
    pub fn nearest(&self, timestep: f64) -> Option<&Arc<Frame>> {
        self.frames.iter().min_by(|a, b| (a.timestep - timestep).abs().total_cmp(&(b.timestep - timestep).abs()))
    }

    pub(super) fn sent(&mut self, request: R, job: JobId) {
        (self.asked, self.job) = (Some(request), Some(job));
        (self.running, self.begun, self.stopped) = (true, false, false);
    }

    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.frames.clear();
            self.end = None;
            self.request.clone_from(&self.asked);
        }
    }

    pub(super) fn frame(&mut self, job: JobId, frame: Arc<Frame>) {
        if self.job == Some(job) {
            self.begin();
            self.count = frame.count;
            let at = self.frames.partition_point(|f| f.timestep > frame.timestep);
            match self.frames.get_mut(at) {
                Some(same) if (same.timestep - frame.timestep).abs() < 1e-9 => *same = frame,
                _ => self.frames.insert(at, frame),
            }
        }
    }

    /// Adds a frame that was computed apart from the run, but as it. At most `most` of those that are not the run's `own` are kept.
    pub(super) fn add(&mut self, frame: Arc<Frame>, most: usize, own: impl Fn(f64) -> bool) {
        let place = |frames: &[Arc<Frame>], timestep: f64| frames.partition_point(|f| f.timestep > timestep);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        let at = place(&self.frames, frame.timestep);
        if self.frames.get(at).is_none_or(|same| !near(same.timestep, frame.timestep)) {
            let guests: Vec<f64> = self.frames.iter().map(|f| f.timestep).filter(|t| !own(*t)).collect();
            if guests.len() >= most {
                // The one farthest off is missed least.
                let farthest = guests.into_iter().max_by(|a, b| (a - frame.timestep).abs().total_cmp(&(b - frame.timestep).abs()));
                self.frames.retain(|f| Some(f.timestep) != farthest);
            }
            let at = place(&self.frames, frame.timestep);
            self.frames.insert(at, frame);
        }
    }

    pub(super) fn done(&mut self, job: JobId, end: Option<RunEnd>) {
        if self.job == Some(job) {
            self.begin();
            self.running = false;
            self.end = end;
        }
    }

    pub(super) fn stop(&mut self, job: JobId) {
        if self.job == Some(job) {
            self.running = false;
            self.stopped = true;
        }
    }

    /// Forgets that the newest request was stopped, so that it is asked again.
    pub fn retry(&mut self) {
        if self.stopped {
            self.asked = None;
            self.stopped = false;
        }
    }
}
