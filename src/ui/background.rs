//! What is computed while nobody waits for it: the strip of guidance scales, and what is measured over runs.

use crate::host::HostTensor;
use crate::worker::protocol::{JobId, Ruler, StripRequest, SweepPoint, SweepRequest};
use std::sync::Arc;

/// A finished picture of a strip.
#[derive(Debug, Clone)]
pub struct StripPicture {
    /// Steps that it took.
    pub steps: usize,
    /// `[3, H, W]` in 0..1.
    pub picture: HostTensor,
    /// Wall time in milliseconds, measured.
    pub elapsed_ms: f64,
}

/// The strip that was asked for, and its pictures as far as they have come.
#[derive(Debug, Clone, Default)]
pub struct Strip {
    asked: Option<StripRequest>,
    job: Option<JobId>,
    running: bool,
    stopped: bool,
    pictures: Vec<Option<StripPicture>>,
}

impl Strip {
    /// The newest request.
    pub fn asked(&self) -> Option<&StripRequest> {
        self.asked.as_ref()
    }

    /// Whether pictures are still to come.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether it was cancelled or failed.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// The best picture so far of the scale at `index` in the request.
    pub fn picture(&self, index: usize) -> Option<&StripPicture> {
        self.pictures.get(index)?.as_ref()
    }

    /// How many pictures have all their steps.
    pub fn refined(&self) -> usize {
        let steps = self.asked.as_ref().map_or(0, |asked| asked.run.steps);
        self.pictures.iter().flatten().filter(|picture| picture.steps == steps).count()
    }

    /// The pictures with what to write beside each, in the order of the request; those that have not come are left out.
    pub fn labelled(&self) -> Vec<(String, HostTensor)> {
        let scales = self.asked.iter().flat_map(|asked| &asked.scales);
        scales
            .zip(&self.pictures)
            .filter_map(|(scale, picture)| Some((format!("w = {scale}"), picture.as_ref()?.picture.clone())))
            .collect()
    }

    /// Forgets that it was stopped, so that it is asked for again.
    pub fn retry(&mut self) {
        if self.stopped {
            (self.asked, self.stopped) = (None, false);
        }
    }

    pub(super) fn sent(&mut self, request: StripRequest, job: JobId) {
        self.pictures = vec![None; request.scales.len()];
        (self.asked, self.job, self.running, self.stopped) = (Some(request), Some(job), true, false);
    }

    pub(super) fn came(&mut self, job: JobId, index: usize, picture: StripPicture) {
        if self.job == Some(job)
            && let Some(place) = self.pictures.get_mut(index)
        {
            *place = Some(picture);
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

/// The measuring that was asked for, and what has been found so far.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    asked: Option<SweepRequest>,
    job: Option<JobId>,
    running: bool,
    stopped: bool,
    ruler: Option<Ruler>,
    points: Vec<Option<Arc<SweepPoint>>>,
}

impl Sweep {
    /// The newest request.
    pub fn asked(&self) -> Option<&SweepRequest> {
        self.asked.as_ref()
    }

    /// Whether it is still being measured.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether it was cancelled or failed.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// How adherence is measured, once that is known.
    pub fn ruler(&self) -> Option<&Ruler> {
        self.ruler.as_ref()
    }

    /// What was found of the run at `index` in the request.
    pub fn point(&self, index: usize) -> Option<&Arc<SweepPoint>> {
        self.points.get(index)?.as_ref()
    }

    /// All that was found.
    pub fn points(&self) -> impl Iterator<Item = &Arc<SweepPoint>> {
        self.points.iter().flatten()
    }

    /// Forgets that it was stopped, so that it is asked for again.
    pub fn retry(&mut self) {
        if self.stopped {
            (self.asked, self.stopped) = (None, false);
        }
    }

    pub(super) fn sent(&mut self, request: SweepRequest, job: JobId) {
        self.points = vec![None; request.runs.len()];
        self.ruler = None;
        (self.asked, self.job, self.running, self.stopped) = (Some(request), Some(job), true, false);
    }

    pub(super) fn began(&mut self, job: JobId, ruler: Ruler) {
        if self.job == Some(job) {
            self.ruler = Some(ruler);
        }
    }

    pub(super) fn came(&mut self, job: JobId, point: Arc<SweepPoint>) {
        if self.job == Some(job)
            && let Some(place) = self.points.get_mut(point.index)
        {
            *place = Some(point);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_another_job_are_not_taken() {
        let mut strip = Strip::default();
        let request = StripRequest { scales: vec![0.0, 7.5], ..StripRequest::default() };
        strip.sent(request, JobId(2));
        let picture = StripPicture { steps: 0, picture: HostTensor::full([3, 1, 1], 0.0), elapsed_ms: 1.0 };
        strip.came(JobId(1), 0, picture.clone());
        assert!(strip.picture(0).is_none());
        strip.came(JobId(2), 1, picture.clone());
        strip.came(JobId(2), 9, picture);
        assert_eq!(strip.labelled().iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["w = 7.5"]);
        strip.stop(JobId(1));
        assert!(strip.is_running() && !strip.is_stopped());
        strip.stop(JobId(2));
        assert!(!strip.is_running() && strip.is_stopped());
        strip.retry();
        assert!(strip.asked().is_none());
    }
}
