//! The race that was asked for, and its lanes as far as they have come.

use crate::host::HostTensor;
use crate::worker::protocol::{JobId, RaceEnd, RaceLane, RaceMap, RaceRequest, RaceStep};
use std::sync::Arc;

/// A lane as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Lane {
    /// What was asked for.
    pub lane: RaceLane,
    /// Its steps, in their order.
    pub steps: Vec<Arc<RaceStep>>,
    /// Its end, once it is there.
    pub end: Option<Arc<RaceEnd>>,
}

impl Lane {
    /// The step that the lane is in when the noise has fallen to `timestep`: the last one begun at that or more noise.
    pub fn at(&self, timestep: f64) -> Option<&Arc<RaceStep>> {
        let after = self.steps.partition_point(|step| step.timestep >= timestep - 0.5);
        self.steps.get(after.saturating_sub(1))
    }

    /// The end, when no noise is left at `timestep`.
    pub fn finished(&self, timestep: f64) -> Option<&Arc<RaceEnd>> {
        self.end.as_ref().filter(|_| timestep < 0.5)
    }

    /// The picture at `timestep`: the end's, else the newest that was decoded; in a long lane that may be some steps back.
    pub fn picture(&self, timestep: f64) -> Option<&HostTensor> {
        if let Some(end) = self.finished(timestep) {
            return Some(&end.picture);
        }
        let step = self.at(timestep)?;
        self.steps.iter().take(step.index + 1).rev().find_map(|step| step.x0_picture.as_ref())
    }
}

/// The race.
#[derive(Debug, Clone, Default)]
pub struct Race {
    asked: Option<RaceRequest>,
    job: Option<JobId>,
    running: bool,
    stopped: bool,
    lanes: Vec<Lane>,
    map: Option<Arc<RaceMap>>,
}

impl Race {
    /// The newest request.
    pub fn asked(&self) -> Option<&RaceRequest> {
        self.asked.as_ref()
    }

    /// Whether it is still running.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether it was cancelled or failed.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Its lanes.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// How all lanes lie to the reference, once all have arrived.
    pub fn map(&self) -> Option<&Arc<RaceMap>> {
        self.map.as_ref()
    }

    /// How far a lane is from the reference at the level that it is at when the noise has fallen to `timestep`, once that is known.
    pub fn off(&self, lane: usize, timestep: f64) -> Option<f64> {
        let (places, lane) = (self.map.as_ref()?.lanes.get(lane)?, self.lanes.get(lane)?);
        let place = if lane.finished(timestep).is_some() { places.last() } else { places.get(lane.at(timestep)?.index) };
        place.map(|place| place.distance)
    }

    /// Forgets that it was stopped, so that it is asked for again.
    pub fn retry(&mut self) {
        if self.stopped {
            (self.asked, self.stopped) = (None, false);
        }
    }

    pub(super) fn sent(&mut self, request: RaceRequest, job: JobId) {
        // Lanes of the same race that stay keep what they have: it comes again, and is the same.
        let same = self.asked.as_ref().is_some_and(|asked| asked.run == request.run);
        let before = if same { std::mem::take(&mut self.lanes) } else { Vec::new() };
        let kept = |lane: &RaceLane| before.iter().find(|old| old.lane == *lane).cloned();
        self.lanes =
            request.lanes.iter().map(|lane| kept(lane).unwrap_or_else(|| Lane { lane: lane.clone(), ..Lane::default() })).collect();
        self.map = None;
        (self.asked, self.job, self.running, self.stopped) = (Some(request), Some(job), true, false);
    }

    pub(super) fn step(&mut self, job: JobId, lane: usize, step: Arc<RaceStep>) {
        let Some(lane) = self.lanes.get_mut(lane).filter(|_| self.job == Some(job)) else { return };
        match lane.steps.get_mut(step.index) {
            Some(place) => *place = step,
            None => lane.steps.push(step),
        }
    }

    pub(super) fn arrived(&mut self, job: JobId, lane: usize, end: Arc<RaceEnd>) {
        if let Some(lane) = self.lanes.get_mut(lane).filter(|_| self.job == Some(job)) {
            lane.end = Some(end);
        }
    }

    pub(super) fn done(&mut self, job: JobId, map: Arc<RaceMap>) {
        if self.job == Some(job) {
            self.map = Some(map);
            self.running = false;
        }
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
    use crate::worker::protocol::RunRequest;

    fn lane(sampler: &str) -> RaceLane {
        RaceLane { sampler: sampler.into(), steps: 2, ..RaceLane::default() }
    }

    fn step(index: usize, timestep: f64) -> Arc<RaceStep> {
        let x = HostTensor::full([1, 1, 1, 1], 0.0);
        let (alpha, sigma, evaluations) = (0.6, 0.8, index + 1);
        Arc::new(RaceStep { index, count: 2, timestep, alpha, sigma, evaluations, elapsed_ms: 1.0, x0: x.clone(), x, x0_picture: None })
    }

    #[test]
    fn a_lane_that_stays_keeps_its_steps_and_another_prompt_empties_all() {
        let mut race = Race::default();
        let request = RaceRequest { lanes: vec![lane("a"), lane("b")], reference_steps: 9, ..RaceRequest::default() };
        race.sent(request.clone(), JobId(1));
        race.step(JobId(1), 1, step(0, 999.0));
        race.step(JobId(1), 1, step(1, 500.0));
        race.step(JobId(7), 0, step(0, 999.0));
        assert!(race.lanes()[0].steps.is_empty(), "of another job");
        race.sent(RaceRequest { lanes: vec![lane("b"), lane("c")], ..request.clone() }, JobId(2));
        assert_eq!(race.lanes().iter().map(|lane| lane.steps.len()).collect::<Vec<_>>(), [2, 0]);
        race.step(JobId(2), 0, step(0, 999.0));
        assert_eq!(race.lanes()[0].steps.len(), 2, "the same again");
        let lane = &race.lanes()[0];
        assert_eq!([999.0, 700.0, 500.0, 3.0].map(|t| lane.at(t).unwrap().index), [0, 0, 1, 1]);
        race.sent(RaceRequest { run: RunRequest { seed: 5, ..RunRequest::default() }, ..request }, JobId(3));
        assert!(race.lanes().iter().all(|lane| lane.steps.is_empty()));
        race.stop(JobId(3));
        assert!(race.is_stopped());
        race.retry();
        assert!(race.asked().is_none());
    }
}
