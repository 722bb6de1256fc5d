//! What has been asked of the worker and what has come back: the labs read it, and ask through it.

use super::background::{Strip, StripPicture, Sweep};
use super::learning::Learning;
use super::notices::{Notices, Tone};
use super::race::Race;
pub use super::run::{Run, RunEnd};
use crate::diffusion::{Level, ScheduleInfo};
use crate::figure::{Evidence, Export, Figure, State};
use crate::host::HostTensor;
use crate::worker::protocol::{
    Command, DeviceKind, DeviceRow, Event, ForwardRequest, JobId, LearnRequest, ModelCard, ModelSource, Picture, PictureSource,
    RaceRequest, RunRequest, Slot, StripRequest, SweepRequest, Tokens,
};
use std::path::PathBuf;
use std::sync::Arc;

/// The worker as the window sees it. No call may block.
pub trait Backend {
    /// Sends a command; the id of the job that it became, or none where it is no job or could not be taken.
    fn send(&mut self, command: Command) -> Option<JobId>;
    /// At most `max` events, oldest first; those of jobs that were replaced are not among them.
    fn poll(&mut self, max: usize) -> Vec<Event>;
    /// Steps done and to do of the job that runs in a slot.
    fn progress(&self, slot: Slot) -> Option<(usize, usize)>;
    /// Whether any job runs or waits.
    fn is_busy(&self) -> bool;
}

/// Where the model stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelState {
    /// Being opened.
    Opening,
    /// Ready.
    Ready,
    /// Could not be opened; the message.
    Failed(String),
}

/// The noise levels in use: the model's, once it is open.
#[derive(Debug, Clone)]
pub struct Levels {
    alphas_cumprod: Arc<[f64]>,
}

impl Levels {
    /// The level of a training timestep (clamped to the last).
    pub fn level(&self, timestep: usize) -> Level {
        Level::from_alpha_bar(self.alphas_cumprod[timestep.min(self.alphas_cumprod.len() - 1)].clamp(0.0, 1.0))
    }

    /// `beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}`, with `alpha_bar_{-1} = 1`.
    pub fn beta(&self, timestep: usize) -> f64 {
        let here = self.alphas_cumprod[timestep.min(self.alphas_cumprod.len() - 1)];
        let before = if timestep == 0 { 1.0 } else { self.alphas_cumprod[timestep.min(self.alphas_cumprod.len()) - 1] };
        (1.0 - here / before).clamp(0.0, 1.0)
    }

    /// Number of training timesteps.
    pub fn count(&self) -> usize {
        self.alphas_cumprod.len()
    }
}

/// Looks at the forward run that are kept besides its own.
const MOST_LOOKS: usize = 40;

/// Whether a look is one at this run.
fn is_of(look: &ForwardRequest, run: &ForwardRequest) -> bool {
    ForwardRequest { timesteps: run.timesteps.clone(), ..look.clone() } == *run
}

/// Everything asked and answered.
pub struct Session {
    backend: Box<dyn Backend>,
    source: ModelSource,
    /// What the model computes on, or is being opened on.
    pub device: DeviceKind,
    /// What it computed on before, while it is being opened on another one.
    device_before: DeviceKind,
    /// What there is to compute on, once that was asked for.
    pub devices: Option<Arc<[DeviceRow]>>,
    /// Whether no more of them will be tried.
    pub devices_tried: bool,
    devices_asked: bool,
    /// Whether the processor is taken where the device that the model was to be opened on first cannot be used.
    pub may_fall_back: bool,
    /// What the model is, once it is open.
    pub card: Option<Arc<ModelCard>>,
    /// Where the model stands.
    pub model: ModelState,
    /// Its noise levels; the cosine schedule until it is open.
    pub levels: Levels,
    /// The picture in use.
    pub picture: Option<Arc<Picture>>,
    wanted_scene: Option<u64>,
    picture_job: Option<JobId>,
    picture_is_scene: bool,
    opening: Option<PathBuf>,
    /// Files of the person's that became pictures, to be remembered.
    pub opened: Vec<PathBuf>,
    was_scene: bool,
    /// The forward run of the first lab.
    pub forward: Run<ForwardRequest>,
    /// One more look that is being taken, and the timestep of the last that could not be.
    look: Option<(JobId, ForwardRequest)>,
    blind: Option<usize>,
    /// The reverse run of the first lab.
    pub reverse: Run<RunRequest>,
    /// The run behind the guidance slider.
    pub guidance: Run<RunRequest>,
    /// The restoration from a timestep of the forward run.
    pub bridge: Run<RunRequest>,
    /// The branch that is being computed or was last.
    pub branch: Run<RunRequest>,
    /// The strip of guidance scales.
    pub strip: Strip,
    /// What is measured over guidance scales.
    pub sweep: Sweep,
    /// Several samplers on one noise.
    pub race: Race,
    /// One sampler along the levels of several schedules.
    pub crossing: Race,
    /// The schedule that is being learned or was last.
    pub learning: Learning,
    /// What `alpha_bar` is at each timestep of the schedule that the open model brings, learned for it.
    pub learned: Option<Arc<[f64]>>,
    /// What is measured over samplers and their steps.
    pub ladder: Sweep,
    probe: Option<(JobId, HostTensor)>,
    decoded: Option<(HostTensor, HostTensor)>,
    /// How the model reads the prompts.
    pub tokens: Option<(Tokens, Tokens)>,
    tokenized: Option<(String, String)>,
    /// The prompt as it stands once the person has stopped typing.
    pub prompt: String,
    /// The negative prompt, likewise.
    pub negative: String,
    /// A state that was read out of a file, until the window takes it.
    pub restored: Option<Arc<State>>,
    /// Messages to the person.
    pub notices: Notices,
}

impl Session {
    /// A session that begins by opening a model.
    pub fn new(backend: Box<dyn Backend>, source: ModelSource, device: DeviceKind) -> Self {
        let cosine = ScheduleInfo::find("squaredcos_cap_v2").and_then(|info| info.build(&[], 1000).ok());
        let alphas_cumprod = cosine.map_or_else(|| [0.9999, 1e-4].into(), |schedule| schedule.alphas_cumprod().into());
        let mut session = Self {
            backend,
            source: source.clone(),
            device,
            device_before: device,
            devices: None,
            devices_tried: false,
            devices_asked: false,
            may_fall_back: false,
            card: None,
            model: ModelState::Opening,
            levels: Levels { alphas_cumprod },
            picture: None,
            wanted_scene: None,
            picture_job: None,
            picture_is_scene: false,
            opening: None,
            opened: Vec::new(),
            was_scene: false,
            forward: Run::default(),
            look: None,
            blind: None,
            reverse: Run::default(),
            guidance: Run::default(),
            bridge: Run::default(),
            branch: Run::default(),
            strip: Strip::default(),
            sweep: Sweep::default(),
            race: Race::default(),
            crossing: Race::default(),
            learning: Learning::default(),
            learned: None,
            ladder: Sweep::default(),
            probe: None,
            decoded: None,
            tokens: None,
            tokenized: None,
            prompt: String::new(),
            negative: String::new(),
            restored: None,
            notices: Notices::default(),
        };
        session.backend.send(Command::OpenModel { source, device });
        session
    }

    /// Takes in what the worker has answered. Returns whether anything came.
    pub fn poll(&mut self) -> bool {
        let events = self.backend.poll(256);
        let any = !events.is_empty();
        events.into_iter().for_each(|event| self.take(event));
        any
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Started { .. } => {}
            Event::ModelReady { card, alphas_cumprod, learned, .. } => {
                self.learned = learned;
                if alphas_cumprod.len() >= 2 {
                    self.levels = Levels { alphas_cumprod };
                }
                self.card = Some(card);
                self.model = ModelState::Ready;
                self.blind = None;
                // What the device before this one could not finish.
                [&mut self.reverse, &mut self.guidance, &mut self.bridge, &mut self.branch].into_iter().for_each(Run::retry);
                self.forward.retry();
            }
            Event::PictureReady { job, picture } => {
                if self.picture_job.is_none_or(|mine| mine == job) {
                    self.picture_job = None;
                    self.picture = Some(picture);
                    self.opened.extend(self.opening.take());
                }
            }
            Event::Frame { job, slot: Slot::Forward, frame } => self.forward.frame(job, frame),
            Event::Frame { job, slot: Slot::Look, frame } => {
                // Kept only where the run is still the one that it belongs to.
                if let Some((_, request)) = self.look.take_if(|(mine, _)| *mine == job)
                    && let Some(run) = self.forward.request().filter(|run| is_of(&request, run))
                {
                    let own: Vec<usize> = run.timesteps.clone();
                    self.forward.add(frame, MOST_LOOKS, |t| own.contains(&(t.round() as usize)));
                }
            }
            Event::Frame { job, slot, frame } => {
                if let Some(run) = self.run_of(slot) {
                    run.frame(job, frame);
                }
            }
            Event::RunDone { job, slot, latents, picture, elapsed_ms } => {
                let end = Some(RunEnd { latents, picture, elapsed_ms });
                if slot == Slot::Forward {
                    self.forward.done(job, end);
                } else if let Some(run) = self.run_of(slot) {
                    run.done(job, end);
                }
            }
            Event::StripPicture { job, index, steps, picture, elapsed_ms } => {
                self.strip.came(job, index, StripPicture { steps, picture, elapsed_ms });
            }
            Event::StripDone { job } => self.strip.done(job),
            Event::SweepBegun { job, slot, ruler } => self.sweep_of(slot).began(job, ruler),
            Event::SweepPoint { job, slot, point } => self.sweep_of(slot).came(job, point),
            Event::SweepDone { job, slot } => self.sweep_of(slot).done(job),
            Event::RaceStep { job, slot, lane, step } => self.race_of(slot).step(job, lane, step),
            Event::RaceLane { job, slot, lane, end } => self.race_of(slot).arrived(job, lane, end),
            Event::RaceDone { job, slot, map } => self.race_of(slot).done(job, map),
            Event::Learned { job, step } => self.learning.came(job, step),
            Event::LearnDone { job } => self.learning.done(job),
            Event::Decoded { job, picture } => {
                if let Some((_, latents)) = self.probe.take_if(|(mine, _)| *mine == job) {
                    self.decoded = Some((latents, picture));
                }
            }
            Event::Tokenized { prompt, negative } => self.tokens = Some((prompt, negative)),
            Event::StateRead { job, state } => {
                if self.picture_job == Some(job) {
                    self.picture_job = None;
                    self.picture_is_scene = self.was_scene;
                    self.opened.extend(self.opening.take());
                    self.restored = Some(state);
                }
            }
            Event::Compared { same, text, .. } => self.notices.push(if same { Tone::Done } else { Tone::Failure }, text),
            Event::Saved { path, .. } => self.notices.push(Tone::Done, format!("Saved to {}", path.display())),
            Event::Cancelled { job, slot } => self.stopped(job, slot),
            Event::Devices { rows, done, .. } => (self.devices, self.devices_tried) = (Some(rows), done),
            Event::Failed { job, slot, message } => {
                self.failed(job, slot, &message);
                self.notices.push(Tone::Failure, message);
            }
            Event::DeviceFailed { job, slot, message } => {
                self.failed(job, slot, &message);
                if self.device == DeviceKind::Cpu {
                    self.notices.push(Tone::Failure, message);
                } else {
                    self.notices.offer(message, "Use the processor");
                }
            }
        }
    }

    fn failed(&mut self, job: JobId, slot: Slot, message: &str) {
        if slot == Slot::Model && self.card.is_none() && self.may_fall_back && self.device != DeviceKind::Cpu {
            self.open_on(DeviceKind::Cpu);
        } else if slot == Slot::Model && self.card.is_some() {
            // The model as it was before is still open.
            (self.model, self.device) = (ModelState::Ready, self.device_before);
        } else if slot == Slot::Model {
            self.model = ModelState::Failed(message.to_owned());
        }
        self.stopped(job, slot);
    }

    /// Opens the model anew on another device; everything else stays as it is.
    pub fn open_on(&mut self, device: DeviceKind) {
        if self.backend.send(Command::OpenModel { source: self.source.clone(), device }).is_some() {
            (self.device_before, self.device, self.model) = (self.device, device, ModelState::Opening);
        } else {
            self.notices.push(Tone::Failure, "The device could not be changed: too much is waiting. Try again.");
        }
    }

    /// Asks what there is to compute on, once.
    pub fn ask_devices(&mut self) {
        if !self.devices_asked {
            self.devices_asked = self.backend.send(Command::Devices).is_some();
        }
    }

    fn stopped(&mut self, job: JobId, slot: Slot) {
        match slot {
            Slot::Forward => self.forward.stop(job),
            Slot::Look => {
                self.blind = self.look.take_if(|(mine, _)| *mine == job).and_then(|(_, request)| request.timesteps.first().copied())
            }
            Slot::Strip => self.strip.stop(job),
            Slot::Sweep | Slot::Ladder => self.sweep_of(slot).stop(job),
            Slot::Race | Slot::Levels => self.race_of(slot).stop(job),
            Slot::Learn => self.learning.stop(job),
            Slot::Picture if self.picture_job == Some(job) => {
                self.picture_job = None;
                // Without any picture the scene that this one pushed aside is wanted again.
                if self.picture.is_none() && !self.picture_is_scene {
                    self.wanted_scene = None;
                } else if !self.picture_is_scene {
                    // The picture in use stays, and is what it was.
                    self.picture_is_scene = self.was_scene;
                }
            }
            Slot::Probe => drop(self.probe.take_if(|(mine, _)| *mine == job)),
            _ => {
                if let Some(run) = self.run_of(slot) {
                    run.stop(job);
                }
            }
        }
    }

    /// The reverse run of a slot, where it has one.
    fn run_of(&mut self, slot: Slot) -> Option<&mut Run<RunRequest>> {
        match slot {
            Slot::Reverse => Some(&mut self.reverse),
            Slot::Guidance => Some(&mut self.guidance),
            Slot::Bridge => Some(&mut self.bridge),
            Slot::Branch => Some(&mut self.branch),
            _ => None,
        }
    }

    /// Asks for the scene of a seed, once.
    pub fn want_scene(&mut self, seed: u64) {
        if self.wanted_scene != Some(seed) {
            let job = self.backend.send(Command::OpenPicture(PictureSource::Scene { seed }));
            if job.is_some() {
                (self.wanted_scene, self.picture_job, self.picture_is_scene) = (Some(seed), job, true);
                self.opening = None;
            }
        }
    }

    /// Opens a picture of the person's; it stays until another scene is asked for.
    pub fn open_picture(&mut self, source: PictureSource) {
        let path = if let PictureSource::File(path) = &source { Some(path.clone()) } else { None };
        let job = self.backend.send(Command::OpenPicture(source));
        if job.is_some() {
            self.was_scene = self.picture_is_scene;
            (self.picture_job, self.picture_is_scene, self.opening) = (job, false, path);
        } else {
            self.notices.push(Tone::Failure, "The picture could not be opened: too much is waiting. Try again.");
        }
    }

    /// Whether the picture in use is one of the person's.
    pub fn picture_is_own(&self) -> bool {
        self.picture.is_some() && !self.picture_is_scene
    }

    /// Opens a picture of the person's out of a file's bytes, in place of the scene of this seed.
    pub fn open_own(&mut self, name: &str, bytes: Arc<[u8]>, seed: u64) {
        self.wanted_scene = Some(seed);
        self.open_picture(PictureSource::Bytes { name: name.to_owned(), bytes });
    }

    /// Goes back to a scene from whatever picture is in use.
    pub fn open_scene(&mut self, seed: u64) {
        if !self.picture_is_scene {
            self.wanted_scene = None;
        }
        self.want_scene(seed);
    }

    /// Whether a picture is on its way.
    pub fn picture_is_coming(&self) -> bool {
        self.picture_job.is_some()
    }

    /// Asks for a forward run unless it is the one asked for last.
    pub fn ask_forward(&mut self, request: ForwardRequest) {
        if self.forward.asked() != Some(&request)
            && let Some(job) = self.backend.send(Command::Forward(request.clone()))
        {
            self.forward.sent(request, job);
            self.blind = None;
        }
    }

    /// Asks what the model sees at exactly this timestep of the forward run, once that is whole.
    pub fn ask_look(&mut self, timestep: usize) {
        let Some(run) = self.forward.request().filter(|_| self.forward.is_current() && !self.forward.is_running()).cloned() else { return };
        let request = ForwardRequest { timesteps: vec![timestep], ..run };
        let asked = self.look.as_ref().is_some_and(|(_, other)| *other == request);
        if !asked
            && !self.looked_at(timestep)
            && let Some(job) = self.backend.send(Command::Look(request.clone()))
        {
            (self.look, self.blind) = (Some((job, request)), None);
        }
    }

    /// Whether the model has looked at exactly this timestep of the forward run, or cannot.
    pub fn looked_at(&self, timestep: usize) -> bool {
        let near = |frame: &Arc<crate::worker::protocol::Frame>| (frame.timestep - timestep as f64).abs() < 0.5;
        self.blind == Some(timestep) || self.forward.is_stopped() || self.forward.nearest(timestep as f64).is_some_and(near)
    }

    /// Asks for a reverse run in a slot that has one ([`Slot::Reverse`], [`Slot::Guidance`], [`Slot::Bridge`], [`Slot::Branch`])
    /// unless it is the one asked for last there.
    pub fn ask_reverse(&mut self, slot: Slot, request: RunRequest) {
        if self.run_of(slot).is_some_and(|run| run.asked() != Some(&request))
            && let Some(job) = self.backend.send(Command::Reverse(slot, request.clone()))
            && let Some(run) = self.run_of(slot)
        {
            run.sent(request, job);
        }
    }

    /// Asks for a strip unless it is the one asked for last.
    pub fn ask_strip(&mut self, request: StripRequest) {
        if self.strip.asked() != Some(&request)
            && let Some(job) = self.backend.send(Command::Strip(request.clone()))
        {
            self.strip.sent(request, job);
        }
    }

    /// The measurements of a slot: [`Slot::Ladder`], else those over guidance scales.
    pub fn sweep_of(&mut self, slot: Slot) -> &mut Sweep {
        if slot == Slot::Ladder { &mut self.ladder } else { &mut self.sweep }
    }

    /// Asks for measurements in [`Slot::Sweep`] or [`Slot::Ladder`] unless they are those asked for last there.
    pub fn ask_sweep(&mut self, slot: Slot, request: SweepRequest) {
        if self.sweep_of(slot).asked() != Some(&request)
            && let Some(job) = self.backend.send(Command::Sweep(slot, request.clone()))
        {
            self.sweep_of(slot).sent(request, job);
        }
    }

    /// The race of a slot: [`Slot::Levels`], else that of samplers.
    pub fn race_of(&mut self, slot: Slot) -> &mut Race {
        if slot == Slot::Levels { &mut self.crossing } else { &mut self.race }
    }

    /// Asks for a race in [`Slot::Race`] or [`Slot::Levels`] unless it is the one asked for last there.
    pub fn ask_race(&mut self, slot: Slot, request: RaceRequest) {
        if self.race_of(slot).asked() != Some(&request)
            && let Some(job) = self.backend.send(Command::Race(slot, request.clone()))
        {
            self.race_of(slot).sent(request, job);
        }
    }

    /// Begins to learn a schedule for the open model, anew.
    pub fn learn(&mut self, request: LearnRequest) {
        if let Some(job) = self.backend.send(Command::Learn(request)) {
            self.learning.sent(job);
        } else {
            self.notices.push(Tone::Failure, "The learning could not begin: too much is waiting. Try again.");
        }
    }

    /// Asks for latents to be decoded unless they are decoded or on their way.
    pub fn ask_decode(&mut self, latents: &HostTensor) {
        let same = |other: &HostTensor| std::ptr::eq(other.data(), latents.data());
        if self.probe.as_ref().is_some_and(|(_, l)| same(l)) || self.decoded(latents).is_some() {
            return;
        }
        if let Some(job) = self.backend.send(Command::Decode(latents.clone())) {
            self.probe = Some((job, latents.clone()));
        }
    }

    /// These latents decoded, if that was asked for last and has come.
    pub fn decoded(&self, latents: &HostTensor) -> Option<&HostTensor> {
        self.decoded.as_ref().filter(|(l, _)| std::ptr::eq(l.data(), latents.data())).map(|(_, picture)| picture)
    }

    /// Asks how the model reads the prompts, once for each pair.
    pub fn ask_tokens(&mut self, prompt: &str, negative: &str) {
        let pair = (prompt.to_owned(), negative.to_owned());
        if self.model == ModelState::Ready && self.tokenized.as_ref() != Some(&pair) {
            self.backend.send(Command::Tokenize { prompt: pair.0.clone(), negative: pair.1.clone() });
            self.tokenized = Some(pair);
        }
    }

    /// Stops the work of a slot; what is computed stays.
    pub fn cancel(&mut self, slot: Slot) {
        self.backend.send(Command::Cancel(slot));
    }

    /// Writes a screenshot.
    pub fn save_png(&mut self, path: std::path::PathBuf, image: &egui::ColorImage) {
        let rgba: Arc<[u8]> = image.as_raw().into();
        let command = Command::SavePng { path, width: image.width() as u32, height: image.height() as u32, rgba };
        if self.backend.send(command).is_none() {
            self.notices.push(Tone::Failure, "The picture could not be saved: too much is waiting. Try again.");
        }
    }

    /// Writes a figure.
    pub fn export(&mut self, export: Box<Export>) {
        if self.backend.send(Command::Export(export)).is_none() {
            self.notices.push(Tone::Failure, "The figure could not be saved: too much is waiting. Try again.");
        }
    }

    /// Compares what is shown with what a file says; `before` stands before the verdict.
    pub fn compare(&mut self, shown: Evidence, now: Figure, before: String) {
        self.backend.send(Command::Compare(Box::new((shown, now, before))));
    }

    /// Writes pictures side by side.
    pub fn save_row(&mut self, path: std::path::PathBuf, pictures: Vec<HostTensor>) {
        if self.backend.send(Command::SaveRow { path, pictures }).is_none() {
            self.notices.push(Tone::Failure, "The pictures could not be saved: too much is waiting. Try again.");
        }
    }

    /// Steps done and to do of the job in a slot.
    pub fn progress(&self, slot: Slot) -> Option<(usize, usize)> {
        self.backend.progress(slot)
    }

    /// Whether anything is being computed or is on its way.
    pub fn is_busy(&self) -> bool {
        let opening = self.model == ModelState::Opening;
        let reverse = [&self.reverse, &self.guidance, &self.bridge, &self.branch];
        let measured = self.sweep.is_running() || self.ladder.is_running();
        let races = self.race.is_running() || self.crossing.is_running();
        let background = self.strip.is_running() || measured || races || self.learning.is_running();
        let runs = self.forward.is_running() || background || reverse.iter().any(|run| run.is_running());
        opening || runs || self.look.is_some() || self.picture_job.is_some() || self.probe.is_some() || self.backend.is_busy()
    }
}
