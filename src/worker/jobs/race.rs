//! A race: samplers on the same noise, one lane after the other, then the dense reference, then how all of them lie to it.

use super::reverse::generate_request;
use super::{Desk, JobError};
use crate::diffusion::{Level, NoiseSchedule, SamplerInfo};
use crate::host::HostTensor;
use crate::measure::{Path, PrincipalPlane, rms_distance};
use crate::noise::{Stream, gaussian};
use crate::pipeline::{GenerateRequest, OtherLevels, Pipeline, Start};
use crate::worker::protocol::{Event, RaceEnd, RaceLane, RaceMap, RacePlace, RaceRequest, RaceStep, RunRequest, Slot};
use std::rc::Rc;
use std::sync::Arc;

/// Steps of a lane that are decoded for the screen, at most.
const DECODED: usize = 40;
/// Points of a path that decide where the plane lies, at most; the reference has as many.
const IN_PLANE: usize = 40;
/// Lanes that are remembered.
const REMEMBERED: usize = 24;
/// The largest `sigma / alpha` that a race starts from: from more noise than this a prediction of the noise says next to nothing of the
/// picture, since its errors are multiplied by as much.
const NOISIEST: f64 = 15.0;
/// The sampler that follows the probability flow.
const REFERENCE: &str = "ddim";

/// A lane that has arrived.
pub(super) struct Driven {
    steps: Vec<Arc<RaceStep>>,
    end: Arc<RaceEnd>,
}

/// The reference that has arrived.
struct Reference {
    steps: usize,
    path: Path,
    picture: HostTensor,
}

/// What is kept from race to race.
#[derive(Default)]
pub(super) struct Memory {
    /// What the lanes have in common, as text.
    key: String,
    /// The newest last.
    lanes: Vec<(RaceLane, Rc<Driven>)>,
    reference: Option<Rc<Reference>>,
}

impl Memory {
    fn reference(&self, key: &str, steps: usize) -> Option<Rc<Reference>> {
        self.reference.clone().filter(|reference| self.key == key && reference.steps == steps)
    }

    fn keep_reference(&mut self, key: &str, reference: Rc<Reference>) {
        if self.key == key {
            self.reference = Some(reference);
        }
    }

    /// Forgets everything unless it belongs to `key`.
    fn open(&mut self, key: String) {
        if self.key != key {
            *self = Self { key, ..Self::default() };
        }
    }

    /// The lane as it was driven for `key`.
    fn lane(&self, key: &str, lane: &RaceLane) -> Option<Rc<Driven>> {
        if self.key != key {
            return None;
        }
        self.lanes.iter().find(|(other, _)| other == lane).map(|(_, driven)| Rc::clone(driven))
    }

    /// Keeps a lane that was driven for `key`, unless a race of another key was run within this one.
    fn keep(&mut self, key: &str, lane: RaceLane, driven: Rc<Driven>) {
        if self.key != key {
            return;
        }
        self.lanes.retain(|(other, _)| *other != lane);
        self.lanes.push((lane, driven));
        let surplus = self.lanes.len().saturating_sub(REMEMBERED);
        self.lanes.drain(..surplus);
    }
}

pub(super) fn run(desk: &Desk, slot: Slot, request: &RaceRequest) -> Result<(), JobError> {
    let pipeline = desk.room.pipeline()?;
    let key = key(pipeline, &request.run);
    let job = desk.job.id;
    desk.room.race.borrow_mut().open(key.clone());
    let mut costs = Vec::new();
    for lane in &request.lanes {
        costs.push(generate_request(&run_of(request, lane))?.sampler.evaluations(lane.steps));
    }
    let total = costs.iter().sum::<usize>() + request.reference_steps;
    let mut before = 0;
    desk.progress(0, total);
    let mut lanes = Vec::new();
    for (index, (lane, cost)) in request.lanes.iter().zip(costs).enumerate() {
        desk.breathe()?;
        let known = desk.room.race.borrow().lane(&key, lane);
        let driven = match known {
            Some(driven) => {
                for step in &driven.steps {
                    desk.answer(Event::RaceStep { job, slot, lane: index, step: Arc::clone(step) })?;
                }
                driven
            }
            None => {
                let driven = Rc::new(drive(desk, pipeline, request, (slot, index), &mut |done| desk.progress(before + done, total))?);
                desk.room.race.borrow_mut().keep(&key, lane.clone(), Rc::clone(&driven));
                driven
            }
        };
        desk.answer(Event::RaceLane { job, slot, lane: index, end: Arc::clone(&driven.end) })?;
        before += cost;
        desk.progress(before, total);
        lanes.push(driven);
    }
    let known = desk.room.race.borrow().reference(&key, request.reference_steps);
    let reference = match known {
        Some(reference) => reference,
        None => {
            let reference = Rc::new(follow(desk, pipeline, request, &mut |done| desk.progress(before + done, total))?);
            desk.room.race.borrow_mut().keep_reference(&key, Rc::clone(&reference));
            reference
        }
    };
    let paths: Vec<Vec<(Level, HostTensor)>> = lanes.iter().map(|lane| samples(lane)).collect();
    let map = RaceMap { picture: Some(reference.picture.clone()), ..map(&paths, &reference.path) };
    desk.answer(Event::RaceDone { job, slot, map: Arc::new(map) })
}

/// What all lanes have in common, as text.
fn key(pipeline: &Pipeline, run: &RunRequest) -> String {
    let RunRequest { prompt, negative, seed, guidance_scale, guidance_interval, .. } = run;
    let interval = guidance_interval.map(|interval| [interval.low, interval.high]);
    let model = [pipeline.fingerprint(), pipeline.card().device.clone()];
    serde_json::json!([model, prompt, negative, seed, guidance_scale, interval]).to_string()
}

/// The run of a lane. Where it starts is the noise of the race; what it adds on its way is its own.
fn run_of(request: &RaceRequest, lane: &RaceLane) -> RunRequest {
    RunRequest { sampler: lane.sampler.clone(), steps: lane.steps, seed: lane.seed, ..request.run.clone() }
}

/// The timestep that all lanes and the reference start from: the noisiest that a prediction is worth something at.
pub fn start(schedule: &NoiseSchedule) -> usize {
    (0..schedule.len()).rev().find(|timestep| schedule.level(*timestep).sigma_ratio() <= NOISIEST).unwrap_or(0)
}

/// What the pipeline is asked for, from the noise of the race. A lane of more steps than there are timesteps below the start takes
/// every timestep of the schedule instead.
fn from_noise(
    pipeline: &Pipeline,
    request: &RaceRequest,
    run: &RunRequest,
    levels: Option<&OtherLevels>,
) -> Result<GenerateRequest, JobError> {
    let [c, h, w] = pipeline.card().latent_shape;
    let unit = gaussian(request.run.seed, Stream::Start, [1, c, h, w]);
    let timestep = start(levels.map_or(pipeline.schedule(), |levels| &levels.schedule));
    let start = if run.steps > timestep + 1 { Start::Latents(unit) } else { Start::At { x: unit, timestep } };
    Ok(GenerateRequest { start, levels: levels.cloned(), ..generate_request(run)? })
}

/// Runs a lane.
fn drive(
    desk: &Desk,
    pipeline: &Pipeline,
    request: &RaceRequest,
    (slot, lane): (Slot, usize),
    progress: &mut dyn FnMut(usize),
) -> Result<Driven, JobError> {
    let run = run_of(request, &request.lanes[lane]);
    let generate = from_noise(pipeline, request, &run, request.lanes[lane].levels.as_ref())?;
    let every = run.steps.div_ceil(DECODED).max(1);
    let (mut steps, mut decoding_ms) = (Vec::new(), 0.0);
    let watch = desk.watch();
    let generated = super::generate(pipeline, &generate, |step| {
        let elapsed_ms = watch.elapsed_ms() - decoding_ms;
        let evaluations = evaluations(generate.sampler, step.index, step.count);
        progress(evaluations);
        desk.breathe()?;
        let wanted = step.index % every == 0 || step.index + 1 == step.count;
        let decoding = desk.watch();
        let x0_picture = if wanted { Some(pipeline.decode(&step.x0)?) } else { None };
        decoding_ms += decoding.elapsed_ms();
        let step = Arc::new(RaceStep {
            index: step.index,
            count: step.count,
            timestep: step.timestep,
            alpha: step.level.alpha,
            sigma: step.level.sigma,
            evaluations,
            elapsed_ms,
            x: step.x.clone(),
            x0: step.x0.clone(),
            x0_picture,
        });
        steps.push(Arc::clone(&step));
        desk.answer(Event::RaceStep { job: desk.job.id, slot, lane, step })
    })?;
    let elapsed_ms = watch.elapsed_ms() - decoding_ms;
    let picture = pipeline.decode(&generated.latents)?;
    let evaluations = generate.sampler.evaluations(run.steps);
    Ok(Driven { steps, end: Arc::new(RaceEnd { latents: generated.latents, picture, evaluations, elapsed_ms }) })
}

/// Evaluations of the model when step `index` of `count` is done.
fn evaluations(sampler: &SamplerInfo, index: usize, count: usize) -> usize {
    if index + 1 == count { sampler.evaluations(count) } else { (index + 1) * sampler.evaluations_per_step }
}

/// Runs the reference.
fn follow(desk: &Desk, pipeline: &Pipeline, request: &RaceRequest, progress: &mut dyn FnMut(usize)) -> Result<Reference, JobError> {
    let steps = request.reference_steps;
    let run = RunRequest { sampler: REFERENCE.to_owned(), steps, ..request.run.clone() };
    let generate = from_noise(pipeline, request, &run, None)?;
    let (mut points, mut last) = (Vec::new(), Level::CLEAN);
    desk.breathe()?;
    let generated = super::generate(pipeline, &generate, |step| {
        progress(step.index + 1);
        points.push((angle(step.level), step.x.clone()));
        last = step.next_level;
        desk.breathe()
    })?;
    let picture = pipeline.decode(&generated.latents)?;
    points.push((angle(last), generated.latents));
    Ok(Reference { steps, path: Path::new(points), picture })
}

/// The angle of a level, `tan(phi) = sigma / alpha`.
fn angle(level: Level) -> f64 {
    level.sigma.atan2(level.alpha)
}

/// The samples of a lane with their levels, the end included.
fn samples(lane: &Driven) -> Vec<(Level, HostTensor)> {
    let steps = lane.steps.iter().map(|step| (Level { alpha: step.alpha, sigma: step.sigma }, step.x.clone()));
    steps.chain([(Level::CLEAN, lane.end.latents.clone())]).collect()
}

/// How lanes, given by their samples in the order of their steps, lie to the reference and to each other.
pub fn map(lanes: &[Vec<(Level, HostTensor)>], reference: &Path) -> RaceMap {
    let along: Vec<&HostTensor> = thinned(reference.points()).map(|(_, x)| x).collect();
    let mut points = along.clone();
    points.extend(lanes.iter().flat_map(|lane| thinned(lane).map(|(_, x)| x)));
    let plane = PrincipalPlane::of(&points);
    let place = |x: &HostTensor| plane.as_ref().map_or([0.0; 2], |plane| plane.place(x));
    let of = |(level, x): &(Level, HostTensor)| RacePlace {
        place: place(x),
        sigma_ratio: level.sigma_ratio(),
        distance: reference.at(angle(*level)).map_or(f64::NAN, |there| rms_distance(x, &there)),
    };
    RaceMap {
        lanes: lanes.iter().map(|lane| lane.iter().map(of).collect()).collect(),
        reference: along.into_iter().map(place).collect(),
        explained: plane.as_ref().map_or(0.0, PrincipalPlane::explained),
        picture: None,
    }
}

/// At most [`IN_PLANE`] of `points`, evenly, the first and the last among them.
fn thinned<T>(points: &[T]) -> impl Iterator<Item = &T> {
    let every = points.len().div_ceil(IN_PLANE).max(1);
    let last = points.len().saturating_sub(1);
    points.iter().enumerate().filter(move |(i, _)| i % every == 0 || *i == last).map(|(_, point)| point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(steps: usize) -> RaceLane {
        RaceLane { sampler: "ddim".into(), steps, ..RaceLane::default() }
    }

    fn driven() -> Rc<Driven> {
        let latents = HostTensor::full([1, 1, 1, 1], 0.0);
        let end = RaceEnd { picture: latents.clone(), latents, evaluations: 1, elapsed_ms: 1.0 };
        Rc::new(Driven { steps: Vec::new(), end: Arc::new(end) })
    }

    #[test]
    fn lanes_are_remembered_for_one_prompt_and_the_oldest_are_forgotten() {
        let mut memory = Memory::default();
        memory.open("a".into());
        (1..=REMEMBERED + 3).for_each(|steps| memory.keep("a", lane(steps), driven()));
        assert!(memory.lane("a", &lane(3)).is_none() && memory.lane("a", &lane(4)).is_some());
        memory.open("a".into());
        assert!(memory.lane("a", &lane(REMEMBERED)).is_some());
        memory.open("b".into());
        assert!(memory.lane("b", &lane(REMEMBERED)).is_none());
        memory.keep("a", lane(5), driven());
        assert!(memory.lane("b", &lane(5)).is_none(), "what was driven for another key is not taken");
    }

    #[test]
    fn a_lane_on_the_reference_is_at_no_distance_from_it() {
        let at = |angle: f64| HostTensor::from_fn([4], |i| (angle * (i + 1) as f64).sin() as f32);
        let angles: Vec<f64> = (0..=200).rev().map(|i| std::f64::consts::FRAC_PI_2 * f64::from(i) / 200.0).collect();
        let reference = Path::new(angles.iter().map(|a| (*a, at(*a))).collect());
        let level = |a: f64| Level { alpha: a.cos(), sigma: a.sin() };
        let on: Vec<(Level, HostTensor)> = [1.5, 0.7, 0.33, 0.0].map(|a| (level(a), at(a))).into();
        let off: Vec<(Level, HostTensor)> = on.iter().map(|(level, x)| (*level, x.map(|v| v + 0.5))).collect();
        let map = map(&[on, off], &reference);
        assert!(map.lanes[0].iter().all(|p| p.distance < 1e-3), "{:?}", map.lanes[0]);
        assert!(map.lanes[1].iter().all(|p| (p.distance - 0.5).abs() < 1e-3), "{:?}", map.lanes[1]);
        assert_eq!(map.lanes[1].last().unwrap().sigma_ratio, 0.0);
        assert!(map.explained > 0.5 && map.reference.len() <= IN_PLANE + 2);
    }
}
