//! The stand-in for the worker: see `tests/ui.rs`.
#![allow(dead_code, reason = "each test file uses its own share")]

use diffuscope::diffusion::guidance::scale_at;
use diffuscope::diffusion::ideal::PointData;
use diffuscope::diffusion::prediction::eps_from_x0;
use diffuscope::diffusion::schedule::MonotoneNetwork;
use diffuscope::diffusion::schedule::learned::{Estimate as MeanAndVariance, Spread};
use diffuscope::diffusion::{
    Denoise, Level, NoiseSchedule, PredictionType, SampleOptions, SamplerInfo, ScheduleInfo, Step, TimestepSpacing, guide, sample_with,
};
use diffuscope::figure::State;
use diffuscope::host::HostTensor;
use diffuscope::measure::Path;
use diffuscope::noise::{Stream, gaussian, gaussian_from, rng};
use diffuscope::ui::{App, Backend, Options};
use diffuscope::worker::protocol::{
    Command, DeviceCard, DeviceKind, DeviceRow, Estimate, Event, ForwardRequest, Frame, JobId, LearnRequest, LearnStep, ModelCard,
    OtherLevels, Picture, PictureSource, RaceEnd, RaceLane, RaceMap, RaceRequest, RaceStep, Ruler, RunRequest, Slot, Start, StripRequest,
    SweepPoint, SweepRequest, Tokens, Told, Trial,
};
use diffuscope::worker::{Worker, race_map, race_start};
use egui_kittest::Harness;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};

const SIDE: usize = 128;
const LATENT: usize = 16;
/// As many channels as the shipped model's latents have.
pub const CHANNELS: usize = 8;

#[derive(Default)]
struct Shared {
    commands: Vec<Command>,
    fail_picture: Option<String>,
    fail_model: Option<String>,
    fail_device: Option<String>,
    slow: bool,
    most_waiting: usize,
}

/// What a test sees of the stand-in, and how it makes it misbehave.
#[derive(Clone, Default)]
pub struct Control(Arc<Mutex<Shared>>);

impl Control {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().expect("no test panicked holding it")
    }

    /// Every command so far, oldest first.
    pub fn commands(&self) -> Vec<Command> {
        self.lock().commands.clone()
    }

    /// Opening the next picture fails with this message.
    pub fn fail_next_picture(&self, message: &str) {
        self.lock().fail_picture = Some(message.to_owned());
    }

    /// Opening the model fails with this message.
    pub fn fail_model(&self, message: &str) {
        self.lock().fail_model = Some(message.to_owned());
    }

    /// The most jobs and answers that have waited at one time.
    #[allow(dead_code, reason = "one test file asks")]
    pub fn most_waiting(&self) -> usize {
        self.lock().most_waiting
    }

    /// The device fails with this message in the middle of the next reverse run.
    pub fn fail_device(&self, message: &str) {
        self.lock().fail_device = Some(message.to_owned());
    }

    /// From now on runs hardly get on.
    pub fn slow(&self) {
        self.lock().slow = true;
    }

    /// From now on they do.
    pub fn fast(&self) {
        self.lock().slow = false;
    }
}

/// A house, a tree or a boat before a sky, by plain distance tests.
pub fn draw(seed: u64) -> HostTensor {
    let hue = |i: u64| ((seed.wrapping_mul(2_654_435_761) >> (8 * i)) & 255) as f32 / 255.0;
    let (a, b) = (hue(0), hue(1));
    let color = [[0.82, 0.28, 0.24], [0.95, 0.75, 0.25], [0.30, 0.50, 0.85], [0.85, 0.45, 0.70]][(seed % 4) as usize];
    HostTensor::from_fn([3, SIDE, SIDE], |i| {
        let (c, y, x) = (i / (SIDE * SIDE), (i / SIDE) % SIDE, i % SIDE);
        let (u, v) = (x as f32 / SIDE as f32, y as f32 / SIDE as f32);
        let sky = [0.98 - 0.45 * (1.0 - v), 0.72 + 0.1 * v - 0.25 * (1.0 - v), 0.55 + 0.35 * (1.0 - v)];
        let hill = 0.66 + 0.06 * (6.0 * u + 5.0 * a).sin();
        let sun = (u - 0.2 - 0.5 * b).powi(2) + (v - 0.25).powi(2) < 0.008;
        let (hx, hy) = (u - 0.30 - 0.35 * a, v - 0.58);
        let wall = hx.abs() < 0.13 && hy.abs() < 0.11;
        let roof = hy < -0.11 && hy > -0.24 && hx.abs() < 0.17 * (hy + 0.24) / 0.13;
        let door = hx.abs() < 0.03 && hy > 0.02 && hy < 0.11;
        let value = if door {
            [0.28, 0.18, 0.14]
        } else if roof {
            [0.35, 0.22, 0.22]
        } else if wall {
            color
        } else if v > hill {
            [0.36 - 0.2 * (v - hill), 0.62 - 0.3 * (v - hill), 0.30]
        } else if sun {
            [1.0, 0.93, 0.62]
        } else {
            sky
        };
        value[c]
    })
}

/// Block averages of the colours and of their differences, and slopes within the blocks, to about unit deviation. Channels beyond
/// the eighth are the first ones again, of the picture upside down.
fn encode(picture: &HostTensor, channels: usize) -> HostTensor {
    let block = SIDE / LATENT;
    let mean = |c: usize, y: usize, x: usize| {
        let data = picture.data();
        let sum: f32 = (0..block * block).map(|i| data[c * SIDE * SIDE + (y * block + i / block) * SIDE + x * block + i % block]).sum();
        (sum / (block * block) as f32 - 0.55) * 4.0
    };
    HostTensor::from_fn([1, channels, LATENT, LATENT], |i| {
        let (c, y, x) = (i / (LATENT * LATENT), (i / LATENT) % LATENT, i % LATENT);
        let y = if c < 8 { y } else { LATENT - 1 - y };
        let (below, beside) = ((y + 1).min(LATENT - 1), (x + 1).min(LATENT - 1));
        match c % 8 {
            c @ 0..3 => mean(c, y, x),
            3 => mean(0, y, x) - mean(2, y, x),
            4 => mean(1, y, x) - mean(0, y, x),
            5 => 2.0 * (mean(1, y, beside) - mean(1, y, x)),
            6 => 2.0 * (mean(0, below, x) - mean(0, y, x)),
            _ => mean(2, y, x) * mean(1, y, x),
        }
    })
}

/// Bilinear enlargement of the first three channels.
fn decode(latents: &HostTensor) -> HostTensor {
    let data = latents.data();
    HostTensor::from_fn([3, SIDE, SIDE], |i| {
        let (c, y, x) = (i / (SIDE * SIDE), (i / SIDE) % SIDE, i % SIDE);
        let at = |v: usize| ((v as f32 + 0.5) * LATENT as f32 / SIDE as f32 - 0.5).clamp(0.0, LATENT as f32 - 1.0);
        let (fy, fx) = (at(y), at(x));
        let (y0, x0) = (fy as usize, fx as usize);
        let (y1, x1) = ((y0 + 1).min(LATENT - 1), (x0 + 1).min(LATENT - 1));
        let v = |y: usize, x: usize| data[c * LATENT * LATENT + y * LATENT + x];
        let (wy, wx) = (fy - y0 as f32, fx - x0 as f32);
        let mixed = (v(y0, x0) * (1.0 - wx) + v(y0, x1) * wx) * (1.0 - wy) + (v(y1, x0) * (1.0 - wx) + v(y1, x1) * wx) * wy;
        (mixed / 4.0 + 0.55).clamp(0.0, 1.0)
    })
}

/// The worker itself behind a window: a frame waits a little for it, so that work goes on between frames.
pub struct Real(pub Worker);

impl Backend for Real {
    fn send(&mut self, command: Command) -> Option<JobId> {
        self.0.send(command)
    }

    fn poll(&mut self, max: usize) -> Vec<Event> {
        std::thread::sleep(std::time::Duration::from_millis(20));
        self.0.poll(max)
    }

    fn progress(&self, slot: Slot) -> Option<(usize, usize)> {
        self.0.progress(slot)
    }

    fn is_busy(&self) -> bool {
        self.0.is_busy()
    }
}

/// A window over a backend, at a thirtieth of a second a frame.
pub fn window(backend: Box<dyn Backend>, options: Options, size: [f32; 2]) -> Harness<'static, App> {
    Harness::builder()
        .with_size(size)
        .with_max_steps(400)
        .with_step_dt(1.0 / 30.0)
        .build_eframe(move |cc| App::new(&cc.egui_ctx, backend, options))
}

/// Frames until all that is to be seen is there, at most 900.
pub fn settle(harness: &mut Harness<'_, App>) {
    settle_within(harness, 900);
}

/// Frames until all that is to be seen is there.
pub fn settle_within(harness: &mut Harness<'_, App>, frames: usize) {
    for _ in 0..frames {
        harness.step();
        if harness.state().is_settled() {
            return;
        }
    }
    let session = harness.state().session();
    panic!("the window did not come to rest: busy {}, {:?}", session.is_busy(), session.notices);
}

enum Work {
    Forward(ForwardRequest, usize),
    Reverse(RunRequest, HostTensor, usize),
    /// A strip, how many of its pictures are made (those of the quick round first), and where the next one is.
    Strip(StripRequest, usize, Option<HostTensor>, usize),
    /// A sweep, and how many of its points are measured, round by round.
    Sweep(SweepRequest, usize),
    Race(RaceRequest, Vec<Vec<(Level, HostTensor)>>),
    /// A learning, and how many of its rounds are over.
    Learn(LearnRequest, usize),
    Once(Box<Command>),
}

struct Job {
    id: JobId,
    slot: Slot,
    work: Work,
    total: usize,
    done: usize,
}

/// Does one frame of one job per poll.
pub struct StandIn {
    control: Control,
    channels: usize,
    schedule: NoiseSchedule,
    all: PointData,
    /// Those of each colour.
    colored: [PointData; 4],
    next: u64,
    queue: VecDeque<Job>,
    events: VecDeque<Event>,
    polls: usize,
    /// Whether what was done last is enough for one frame.
    heavy: bool,
}

impl StandIn {
    /// A stand-in watched by `control`, with as many channels as the shipped model.
    pub fn new(control: Control) -> Self {
        Self::with_channels(control, CHANNELS)
    }

    /// A stand-in whose latents have so many channels.
    pub fn with_channels(control: Control, channels: usize) -> Self {
        let schedule = ScheduleInfo::find("squaredcos_cap_v2").expect("in the table").build(&[], 1000).expect("valid");
        let all = PointData::new((0..24).map(|seed| encode(&draw(seed), channels)).collect()).expect("points");
        let of = |color: u64| (0..24).filter(|seed| seed % 4 == color).map(|seed| encode(&draw(seed), channels)).collect();
        let colored = [0, 1, 2, 3].map(|color| PointData::new(of(color)).expect("points"));
        Self { control, channels, schedule, all, colored, next: 0, queue: VecDeque::new(), events: VecDeque::new(), polls: 0, heavy: false }
    }

    fn level(&self, timestep: usize) -> Level {
        self.schedule.level(timestep.min(999))
    }

    /// What the prompt stands for: the pictures whose colour word is in it.
    fn conditional(&mut self, prompt: &str) -> &mut PointData {
        let colors = ["red", "yellow", "blue", "pink"];
        let color = colors.iter().position(|color| prompt.contains(color)).unwrap_or(prompt.len() % 4);
        &mut self.colored[color]
    }

    fn frame(&mut self, x: &HostTensor, timestep: usize, prompt: &str, scale: f64, place: (usize, usize), pictures: bool) -> Frame {
        let level = self.level(timestep);
        // The ideal posterior is sharp, the more so the more numbers; a temperature on the level keeps the two answers apart for longer.
        let soft = Level { alpha: level.alpha, sigma: level.sigma * 7.0 * (self.channels as f64).sqrt() };
        let x0_uncond = self.all.denoise(x, soft).expect("same shape");
        let x0_cond = self.conditional(prompt).denoise(x, soft).expect("same shape");
        let (eps_uncond, eps_cond) = (eps_from_x0(x, &x0_uncond, level), eps_from_x0(x, &x0_cond, level));
        let eps = guide(&eps_uncond, &eps_cond, scale);
        let x0 = PredictionType::Epsilon.to_x0(x, &eps, level).map(|v| v.clamp(-4.0, 4.0));
        Frame {
            index: place.0,
            count: place.1,
            timestep: timestep as f64,
            alpha: level.alpha,
            sigma: level.sigma,
            x_picture: pictures.then(|| decode(x)),
            x0_picture: pictures.then(|| decode(&x0)),
            x: x.clone(),
            x0,
            eps_uncond,
            eps_cond,
            eps,
        }
    }

    /// Where a run starts, and at which of its steps.
    fn start(&self, request: &RunRequest) -> (HostTensor, usize) {
        match &request.start {
            Start::Noise => (gaussian(request.seed, Stream::Start, [1, self.channels, LATENT, LATENT]), 0),
            Start::Latents(x) | Start::At { x, .. } => (x.clone(), 0),
            Start::Noised { x0, timestep } => {
                (self.level(*timestep).add_noise(x0, &gaussian(request.seed, Stream::Forward, x0.shape())), 0)
            }
            Start::Continue { x, index } => (x.clone(), *index),
        }
    }

    /// Step `place` of a run from `x`: its frame and where it arrives.
    fn step(&mut self, request: &RunRequest, x: &HostTensor, place: usize) -> (Frame, HostTensor) {
        let mut steps = TimestepSpacing::Leading.timesteps(1000, request.steps, 0).expect("steps");
        if let Start::Noised { timestep, .. } = request.start {
            steps.retain(|t| *t < timestep);
            steps.insert(0, timestep);
        }
        let scale = scale_at(request.guidance_scale, request.guidance_interval, steps[place] as f64);
        let frame = self.frame(x, steps[place], &request.prompt, scale, (place, steps.len()), request.decode_every_step);
        let next = steps.get(place + 1).map_or(Level::CLEAN, |t| self.level(*t));
        let x_next = frame.x0.lincomb(next.alpha, &eps_from_x0(x, &frame.x0, self.level(steps[place])), next.sigma);
        (frame, x_next)
    }

    /// All samples of a run of a sampler of the table, from the noise of `start`, with their levels.
    fn sample(
        &mut self,
        run: &RunRequest,
        levels: Option<&OtherLevels>,
        start: u64,
        on_step: &mut dyn FnMut(&Step<'_>),
    ) -> Vec<(Level, HostTensor)> {
        let info = SamplerInfo::find(&run.sampler).expect("in the table");
        let own = levels.map_or(&self.schedule, |levels| &levels.schedule);
        let schedule = own.truncated(race_start(own) + 1);
        let told = match levels {
            Some(OtherLevels { told: Told::SameTimestep, .. }) => schedule.clone(),
            _ => self.schedule.clone(),
        };
        // A window test has this done between two of its frames.
        let steps = run.steps.min(32);
        let plan = info.plan(&schedule, TimestepSpacing::Trailing, steps, 0, true).expect("a plan");
        let from = gaussian(start, Stream::Start, [1, self.channels, LATENT, LATENT]);
        let mut fresh = rng(run.seed, Stream::Steps);
        let (mut path, mut last) = (Vec::new(), Level::CLEAN);
        let mut denoise = |x: &HostTensor, level: Level| {
            let timestep = told.timestep_of(level).round() as usize;
            Ok(self.frame(x, timestep, &run.prompt, run.guidance_scale, (0, 1), false).x0)
        };
        let outcome = sample_with(
            info,
            &SampleOptions::default(),
            &mut denoise,
            &plan.visits,
            plan.last,
            &from,
            &mut |shape| gaussian_from(&mut fresh, shape),
            &mut |step| {
                path.push((step.level, step.x.clone()));
                last = step.next_level;
                on_step(step);
                ControlFlow::Continue(())
            },
        );
        path.push((last, outcome.expect("a run").x));
        path
    }

    /// A lane of a race, whole.
    fn drive(&mut self, job: JobId, slot: Slot, request: &RaceRequest, lane: usize) -> Vec<(Level, HostTensor)> {
        let RaceLane { sampler, steps, seed, levels } = request.lanes[lane].clone();
        let info = SamplerInfo::find(&sampler).expect("in the table");
        let run = RunRequest { sampler, steps, seed, ..request.run.clone() };
        let mut events = Vec::new();
        let path = self.sample(&run, levels.as_ref(), request.run.seed, &mut |step| {
            let wanted = step.index.is_multiple_of(step.count.div_ceil(10)) || step.index + 1 == step.count;
            let evaluations = (step.index + 1) * info.evaluations_per_step;
            let step = RaceStep {
                index: step.index,
                count: step.count,
                timestep: step.timestep,
                alpha: step.level.alpha,
                sigma: step.level.sigma,
                evaluations,
                elapsed_ms: 15.5 * evaluations as f64,
                x: step.x.clone(),
                x0: step.x0.clone(),
                x0_picture: wanted.then(|| decode(step.x0)),
            };
            events.push(Event::RaceStep { job, slot, lane, step: Arc::new(step) });
        });
        self.events.extend(events);
        let latents = path.last().expect("an end").1.clone();
        let evaluations = info.evaluations(steps);
        let end = RaceEnd { picture: decode(&latents), latents, evaluations, elapsed_ms: 15.5 * evaluations as f64 };
        self.events.push_back(Event::RaceLane { job, slot, lane, end: Arc::new(end) });
        path
    }

    /// One step of the first job; a strip is only gone on with where nothing else is to be done.
    fn work(&mut self) {
        let at = (0..self.queue.len()).min_by_key(|at| self.queue[*at].slot.max(Slot::Save)).unwrap_or(0);
        let Some(mut job) = self.queue.remove(at) else { return };
        let (id, slot) = (job.id, job.slot);
        match &mut job.work {
            Work::Once(command) => {
                let command = command.clone();
                self.once(id, slot, *command);
                return;
            }
            Work::Forward(request, at) => {
                let (request, place) = (request.clone(), *at);
                let timestep = request.timesteps[place];
                let eps = gaussian(request.seed, Stream::Forward, request.latents.shape());
                let x = self.level(timestep).add_noise(&request.latents, &eps);
                let frame = self.frame(&x, timestep, &request.prompt, request.guidance_scale, (place, request.timesteps.len()), true);
                self.events.push_back(Event::Frame { job: id, slot, frame: Arc::new(frame) });
                *at += 1;
                if *at == request.timesteps.len() {
                    let picture = decode(&request.latents);
                    self.events.push_back(Event::RunDone { job: id, slot, latents: request.latents, picture, elapsed_ms: 600.0 });
                    return;
                }
            }
            Work::Reverse(request, x, at) => {
                let (request, here, place) = (request.clone(), x.clone(), *at);
                let (frame, x_next) = self.step(&request, &here, place);
                let count = frame.count;
                self.events.push_back(Event::Frame { job: id, slot, frame: Arc::new(frame) });
                (*x, *at) = (x_next.clone(), place + 1);
                if place + 1 == count {
                    let picture = decode(&x_next);
                    self.events.push_back(Event::RunDone { job: id, slot, latents: x_next, picture, elapsed_ms: 31.0 * count as f64 });
                    return;
                }
            }
            Work::Strip(request, at, x, step) => {
                let (request, place) = (request.clone(), *at);
                let (round, index) = (place / request.scales.len(), place % request.scales.len());
                let steps = [request.coarse_steps, request.run.steps][round];
                let run = RunRequest { steps, guidance_scale: request.scales[index], ..request.run.clone() };
                let here = x.take().unwrap_or_else(|| self.start(&run).0);
                let next = self.step(&run, &here, *step).1;
                if *step + 1 < steps {
                    (*x, *step) = (Some(next), *step + 1);
                    self.queue.push_front(job);
                    return;
                }
                (*x, *step) = (None, 0);
                let (picture, elapsed_ms) = (decode(&next), 31.0 * steps as f64);
                self.events.push_back(Event::StripPicture { job: id, index, steps, picture, elapsed_ms });
                *at += 1;
                if *at == 2 * request.scales.len() {
                    self.events.push_back(Event::StripDone { job: id });
                    return;
                }
            }
            Work::Sweep(request, at) => {
                let (request, place) = (request.clone(), *at);
                let (round, index) = (place / request.runs.len(), place % request.runs.len());
                if place == 0 {
                    self.events.push_back(Event::SweepBegun { job: id, slot, ruler: Ruler::Judge });
                }
                let point = Arc::new(measured(&request, index, request.rounds[round]));
                self.events.push_back(Event::SweepPoint { job: id, slot, point });
                *at += 1;
                if *at == request.rounds.len() * request.runs.len() {
                    self.events.push_back(Event::SweepDone { job: id, slot });
                    return;
                }
            }
            Work::Learn(request, at) => {
                *at += 1;
                let step = learned(request, *at);
                let done = step.losses >= request.losses;
                self.events.push_back(Event::Learned { job: id, step: Arc::new(step) });
                if done {
                    self.events.push_back(Event::LearnDone { job: id });
                    return;
                }
            }
            Work::Race(request, driven) => {
                self.heavy = true;
                let request = request.clone();
                if driven.len() < request.lanes.len() {
                    let lane = driven.len();
                    let path = self.drive(id, slot, &request, lane);
                    driven.push(path);
                } else if driven.len() == request.lanes.len() {
                    let run = RunRequest { sampler: "ddim".into(), steps: request.reference_steps, ..request.run.clone() };
                    let path = self.sample(&run, None, request.run.seed, &mut |_| {});
                    driven.push(path);
                } else if let Some((path, lanes)) = driven.split_last() {
                    let angle = |level: &Level| level.sigma.atan2(level.alpha);
                    let reference = Path::new(path.iter().map(|(level, x)| (angle(level), x.clone())).collect());
                    let picture = path.last().map(|(_, x)| decode(x));
                    let map = RaceMap { picture, ..race_map(lanes, &reference) };
                    self.events.push_back(Event::RaceDone { job: id, slot, map: Arc::new(map) });
                    return;
                }
            }
        }
        job.done += 1;
        self.queue.push_front(job);
    }

    fn once(&mut self, job: JobId, slot: Slot, command: Command) {
        match command {
            Command::OpenModel { device, .. } => {
                let failure = self.control.lock().fail_model.clone();
                self.events.push_back(match failure {
                    Some(message) => Event::Failed { job, slot, message },
                    None => Event::ModelReady {
                        job,
                        card: Arc::new(ModelCard { device: format!("closed form, {}", device.label()), ..card(self.channels) }),
                        alphas_cumprod: self.schedule.alphas_cumprod().into(),
                        learned: None,
                    },
                });
            }
            Command::OpenPicture(PictureSource::File(path)) if matches!(State::of_file(&path), Ok(Some(_))) => {
                let state = State::of_file(&path).ok().flatten().expect("looked at above");
                self.events.push_back(Event::StateRead { job, state: Arc::new(state) });
            }
            Command::OpenPicture(source) => {
                let failure = self.control.lock().fail_picture.take();
                if let Some(message) = failure {
                    self.events.push_back(Event::Failed { job, slot, message });
                    return;
                }
                let own = !matches!(source, PictureSource::Scene { .. });
                let (seed, name) = match source {
                    PictureSource::Scene { seed } => (seed % 24, format!("Scene {seed}")),
                    _ => (3, "a picture".to_owned()),
                };
                let pixels = draw(seed);
                let latents = encode(&pixels, self.channels);
                let reconstruction = decode(&latents);
                let mse = pixels.lincomb(1.0, &reconstruction, -1.0).norm().powi(2) / pixels.len() as f64;
                let colour = ["red", "yellow", "blue", "pink"][(seed % 4) as usize];
                let caption = if own { String::new() } else { format!("a {colour} house on a green hill at sunset") };
                let reconstruction_psnr_db = -10.0 * mse.log10();
                let picture = Picture { name, caption, pixels, latents, reconstruction, reconstruction_psnr_db };
                self.events.push_back(Event::PictureReady { job, picture: Arc::new(picture) });
            }
            Command::Decode(latents) => self.events.push_back(Event::Decoded { job, picture: decode(&latents) }),
            Command::Devices => self.events.push_back(Event::Devices { job, rows: devices().into(), done: true }),
            Command::Export(export) => self.events.push_back(Event::Saved { job, path: export.target }),
            Command::Compare(both) => {
                let verdict = both.0.compare(&both.1);
                self.events.push_back(Event::Compared { job, same: verdict.same, text: format!("{}{}", both.2, verdict.text) });
            }
            Command::SavePng { path, .. } | Command::SaveRow { path, .. } => self.events.push_back(Event::Saved { job, path }),
            _ => {}
        }
    }
}

/// Pictures that the stand-in draws, and numbers that look as such numbers do.
fn measured(request: &SweepRequest, index: usize, count: usize) -> SweepPoint {
    let run = &request.runs[index];
    let w = run.guidance_scale * run.steps as f64 / 20.0;
    let root = (count as f64).sqrt();
    let of = |value: f64, width: f64| Estimate { value, low: value - width / root, high: value + width / root };
    let adherence = 0.2 + 0.75 * (1.0 - (-w).exp()) - 0.0006 * w * w;
    let pictures = (0..count as u64).map(|seed| draw(4 * seed + index as u64 % 4)).collect();
    SweepPoint {
        index,
        cached: 0,
        adherence: Some(of(adherence, 0.5)),
        diversity: of(2.0 + 1.2 * (-0.7_f64 * w).exp(), 0.8),
        saturation: of(0.44 + 0.006 * w, 0.06),
        clipped: of(0.0003 * w * w, 0.01),
        latency_ms: of(15.5 * run.steps as f64, 4.0),
        pictures,
    }
}

/// A network that bends as one does that is learned, and numbers that look as such numbers do.
fn learned(request: &LearnRequest, round: usize) -> LearnStep {
    let losses = (round * request.losses / 24).min(request.losses);
    let done = losses as f64 / request.losses.max(1) as f64;
    let mut network = MonotoneNetwork::straight(-9.0, 10.0, 12);
    let params = network.params_mut();
    // The unit nearest to noise steps ever higher.
    let count = params.len();
    params[count - 10] += 6.0 * done;
    let spread = |variance: f64, error: f64| Spread { count: losses.max(1), estimate: MeanAndVariance { mean: 1.6, variance }, error };
    LearnStep {
        network,
        losses,
        learned: spread(0.25 + 2.0 * (-6.0 * done).exp(), 0.1),
        beside: vec![("linear", spread(900.0, 500.0)), ("squaredcos_cap_v2", spread(300.0, 120.0))],
        elapsed_ms: 15.0 * losses as f64,
    }
}

/// A machine with a card, half of the precision on it, a card in software and a card that cannot be used.
fn devices() -> Vec<DeviceRow> {
    let row = |at: usize, name: &str, software: bool, tried| {
        let card = DeviceCard { kind: DeviceKind::ALL[at], name: name.to_owned(), software };
        DeviceRow { card, tried }
    };
    let did = |step_ms, error| Some(Ok(Trial { step_ms, error, tolerance: 1e-3 }));
    vec![
        row(0, "Processor, 8 threads", false, did(14.2, 0.0)),
        row(2, "GeForce RTX 4070 (Vulkan)", false, did(2.9, 4e-7)),
        row(3, "GeForce RTX 4070 (Vulkan), half precision", false, did(2.6, 0.4)),
        row(4, "llvmpipe (Vulkan, in software)", true, None),
        row(6, "Old Card (Vulkan)", false, Some(Err("the device wgpu cannot be used: it was lost; choose it again".into()))),
        row(8, "New Card (Vulkan)", false, None),
    ]
}

fn card(channels: usize) -> ModelCard {
    ModelCard {
        name: "Stand-in".to_owned(),
        source: "tests".to_owned(),
        picture_side: SIDE,
        latent_shape: [channels, LATENT, LATENT],
        side_multiple: 8,
        latent_multiple: 1,
        max_tokens: 32,
        num_train_timesteps: 1000,
        schedule_id: "squaredcos_cap_v2".to_owned(),
        prediction: PredictionType::Epsilon,
        scaling_factor: 1.0,
        unet_parameters: 0,
        vae_parameters: 0,
        text_parameters: 0,
        device: "closed form, cpu".to_owned(),
        default_guidance: 5.0,
        default_steps: 20,
    }
}

impl Backend for StandIn {
    fn send(&mut self, command: Command) -> Option<JobId> {
        self.control.lock().commands.push(command.clone());
        if let Command::Tokenize { prompt, negative } = &command {
            let tokens = |text: &str| Tokens {
                ids: vec![0; 32],
                pieces: text.split_whitespace().map(str::to_owned).collect(),
                dropped: text.split_whitespace().count().saturating_sub(30),
            };
            self.events.push_back(Event::Tokenized { prompt: tokens(prompt), negative: tokens(negative) });
        }
        if let Command::Cancel(slot) = command {
            if let Some(at) = self.queue.iter().position(|j| j.slot == slot) {
                let job = self.queue.remove(at).expect("found").id;
                self.events.push_back(Event::Cancelled { job, slot });
            }
            return None;
        }
        let slot = command.slot()?;
        self.queue.retain(|j| j.slot != slot);
        self.next += 1;
        let id = JobId(self.next);
        let (work, total) = match command {
            Command::Forward(request) | Command::Look(request) => {
                let total = request.timesteps.len();
                (Work::Forward(request, 0), total)
            }
            Command::Reverse(_, request) => {
                if let Some(message) = self.control.lock().fail_device.take() {
                    self.events.push_back(Event::DeviceFailed { job: id, slot, message });
                    return Some(id);
                }
                let (start, at) = self.start(&request);
                let total = request.steps;
                (Work::Reverse(request, start, at), total)
            }
            Command::Strip(request) => {
                let total = 2 * request.scales.len();
                (Work::Strip(request, 0, None, 0), total)
            }
            Command::Sweep(_, request) => {
                let total = request.rounds.len() * request.runs.len();
                (Work::Sweep(request, 0), total)
            }
            Command::Learn(request) => (Work::Learn(request, 0), 24),
            Command::Race(_, request) => {
                let total = request.lanes.len() + 2;
                (Work::Race(request, Vec::new()), total)
            }
            other => (Work::Once(Box::new(other)), 1),
        };
        self.queue.push_back(Job { id, slot, work, total, done: 0 });
        Some(id)
    }

    fn poll(&mut self, max: usize) -> Vec<Event> {
        self.polls += 1;
        let slow = self.control.lock().slow;
        let portions = if slow { usize::from(self.polls.is_multiple_of(50)) } else { 4 };
        self.heavy = false;
        for _ in 0..portions {
            self.work();
            if self.heavy {
                break;
            }
        }
        let count = self.events.len().min(max);
        let taken = self.events.drain(..count).collect();
        let waiting = self.queue.len() + self.events.len();
        let mut shared = self.control.lock();
        shared.most_waiting = shared.most_waiting.max(waiting);
        taken
    }

    fn progress(&self, slot: Slot) -> Option<(usize, usize)> {
        self.queue.iter().find(|j| j.slot == slot).map(|j| (j.done, j.total))
    }

    fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !self.events.is_empty()
    }
}
