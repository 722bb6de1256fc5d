//! What the window asks of the worker and what it gets back: plain data, never a device tensor.
//!
//! Commands go in by a bounded channel. Results that must arrive come out by a bounded channel; previews, of which only the
//! newest matters, come through a latest-wins mailbox. Every event carries the id of the job that made it, so that a stale
//! one can be dropped.

mod learning;
mod race;

pub use crate::diffusion::GuidanceInterval;
use crate::figure::{Evidence, Export, Figure, State};
use crate::host::HostTensor;
pub use crate::measure::Estimate;
pub use crate::pipeline::{DeviceCard, DeviceKind, GenerateStep, ModelCard, ModelSource, Start, Tokens, Trial};
pub use crate::pipeline::{OtherLevels, Told};
pub use learning::{BESIDE, LearnRequest, LearnStep};
pub use race::{RaceEnd, RaceLane, RaceMap, RacePlace, RaceRequest, RaceStep};
use std::path::PathBuf;
use std::sync::Arc;

/// Names one piece of work. Ids only grow, so a larger one is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct JobId(pub u64);

/// What a job is for. Within one slot a new job replaces the one before it, which is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// Opening a model.
    Model,
    /// Opening or drawing a picture.
    Picture,
    /// The forward run of the first lab.
    Forward,
    /// The reverse run that the clock scrubs through.
    Reverse,
    /// The reverse run behind the guidance slider.
    Guidance,
    /// The restoration of a picture from a timestep of the forward run.
    Bridge,
    /// A reverse run that goes on from a step of another.
    Branch,
    /// Decoding or predicting at one level, for what is under the pointer now.
    Probe,
    /// One more look at the forward run, where the clock rests.
    Look,
    /// Writing a file.
    Save,
    /// The finished pictures of one noise at several guidance scales.
    Strip,
    /// Adherence, diversity and saturation measured over guidance scales.
    Sweep,
    /// Several samplers on one noise.
    Race,
    /// One sampler along the levels of several schedules.
    Levels,
    /// A schedule being learned.
    Learn,
    /// Adherence and latency measured over samplers and their steps.
    Ladder,
    /// What there is to compute on, and how each does.
    Devices,
}

impl Slot {
    /// All slots.
    pub const ALL: [Self; 17] = [
        Self::Model,
        Self::Picture,
        Self::Forward,
        Self::Reverse,
        Self::Guidance,
        Self::Bridge,
        Self::Branch,
        Self::Probe,
        Self::Look,
        Self::Save,
        Self::Strip,
        Self::Sweep,
        Self::Race,
        Self::Levels,
        Self::Learn,
        Self::Ladder,
        Self::Devices,
    ];
}

/// Where a picture comes from.
#[derive(Debug, Clone)]
pub enum PictureSource {
    /// A Littleworld scene drawn from this seed.
    Scene {
        /// Seed of the scene.
        seed: u64,
    },
    /// A file of the user's.
    File(PathBuf),
    /// Bytes of an image file, dropped on the window.
    Bytes {
        /// What to call it in messages.
        name: String,
        /// The file's content.
        bytes: Arc<[u8]>,
    },
    /// Decoded pixels, pasted: RGBA, 8 bits a channel.
    Rgba {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// `width * height * 4` bytes.
        bytes: Arc<[u8]>,
    },
}

/// A picture ready for the labs.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What to call it.
    pub name: String,
    /// What is on it, where that is known (a scene's caption), else empty.
    pub caption: String,
    /// The picture at the model's size, `[3, H, W]` in 0..1.
    pub pixels: HostTensor,
    /// Its scaled latents `[1, C, h, w]`.
    pub latents: HostTensor,
    /// The latents decoded again, `[3, H, W]` in 0..1: what the autoencoder keeps.
    pub reconstruction: HostTensor,
    /// Peak signal-to-noise ratio of the reconstruction in dB, measured.
    pub reconstruction_psnr_db: f64,
}

/// A reverse run to make.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunRequest {
    /// The positive prompt.
    pub prompt: String,
    /// The negative prompt; empty is the unconditional one.
    pub negative: String,
    /// Seed of the starting noise.
    pub seed: u64,
    /// Number of steps.
    pub steps: usize,
    /// Guidance scale w in `eps_uncond + w (eps_cond - eps_uncond)`.
    pub guidance_scale: f64,
    /// The timesteps at which that scale acts, where it is not all of them.
    pub guidance_interval: Option<GuidanceInterval>,
    /// Id of the sampler in `diffusion::sampler::SAMPLERS`.
    pub sampler: String,
    /// Where it starts: pure noise, latents noised to a timestep, or the middle of another run.
    pub start: Start,
    /// Decode x_t and the predicted x0 of every step, not of the last alone.
    pub decode_every_step: bool,
}

/// The same noise denoised at several guidance scales.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StripRequest {
    /// The run that they have in common; its own scale is not used.
    pub run: RunRequest,
    /// The scales, in the order wanted.
    pub scales: Vec<f64>,
    /// Steps of the first, quick round; the second takes those of [`Self::run`].
    pub coarse_steps: usize,
}

/// Adherence, diversity, saturation and latency to be measured on several ways of making the same picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SweepRequest {
    /// The runs to compare, of one prompt; their seeds are not used: the samples have the seeds 0, 1, 2, ..
    pub runs: Vec<RunRequest>,
    /// Samples of each run after each round, growing.
    pub rounds: Vec<usize>,
}

/// How adherence is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruler {
    /// Share of pictures on which the judge finds all that the prompt says; diversity in the judge's features.
    Judge,
    /// Cosine between CLIP's features of text and picture, for a prompt that is no caption; diversity in the judge's features.
    Similarity,
    /// Not at all, and why; diversity in pixels.
    None(String),
}

/// What was measured on one of the runs, 95 % intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepPoint {
    /// Which of the runs asked for.
    pub index: usize,
    /// How many of the samples were on the disk already.
    pub cached: usize,
    /// Adherence, where there is a ruler for it.
    pub adherence: Option<Estimate>,
    /// Root-mean-square difference of two samples, mean over all pairs.
    pub diversity: Estimate,
    /// Mean HSV saturation.
    pub saturation: Estimate,
    /// Share of channel values beyond black and white.
    pub clipped: Estimate,
    /// Wall time of a sample in milliseconds, with its decoding.
    pub latency_ms: Estimate,
    /// The samples, small, `[3, H, W]` in 0..1.
    pub pictures: Vec<HostTensor>,
}

/// The closed-form forward run of a picture, decoded and answered by the model at each timestep.
#[derive(Debug, Clone, PartialEq)]
pub struct ForwardRequest {
    /// Scaled latents of the picture.
    pub latents: HostTensor,
    /// Seed of the noise.
    pub seed: u64,
    /// Timesteps to visit, in the order wanted.
    pub timesteps: Vec<usize>,
    /// Prompt under which the model predicts x0; may be empty.
    pub prompt: String,
    /// Negative prompt.
    pub negative: String,
    /// Guidance scale of that prediction.
    pub guidance_scale: f64,
}

/// One moment of a forward or reverse run: everything the labs draw, already on the host.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Position in its run, from 0.
    pub index: usize,
    /// Frames in the run.
    pub count: usize,
    /// The timestep (0 to 999).
    pub timestep: f64,
    /// Coefficient of x0 at this timestep.
    pub alpha: f64,
    /// Coefficient of the noise at this timestep.
    pub sigma: f64,
    /// Latents x_t `[1, C, h, w]`.
    pub x: HostTensor,
    /// Predicted clean latents.
    pub x0: HostTensor,
    /// The model's answer to the negative (or empty) prompt.
    pub eps_uncond: HostTensor,
    /// The model's answer to the prompt.
    pub eps_cond: HostTensor,
    /// The guided combination.
    pub eps: HostTensor,
    /// `x` decoded, `[3, H, W]` in 0..1, where asked for.
    pub x_picture: Option<HostTensor>,
    /// `x0` decoded, `[3, H, W]` in 0..1, where asked for.
    pub x0_picture: Option<HostTensor>,
}

/// A device and how it did: one evaluation of the program's own U-Net, held against the processor's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceRow {
    /// What it is.
    pub card: DeviceCard,
    /// How it did, or why it cannot be used; none where it was not tried yet.
    pub tried: Option<Result<Trial, String>>,
}

/// What the window asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Open a model on a device; every other job waits for it.
    OpenModel {
        /// Which.
        source: ModelSource,
        /// Where.
        device: DeviceKind,
    },
    /// Make a picture ready.
    OpenPicture(PictureSource),
    /// Make a forward run in slot [`Slot::Forward`].
    Forward(ForwardRequest),
    /// The same in slot [`Slot::Look`], for a timestep or a few.
    Look(ForwardRequest),
    /// Make a reverse run in the given slot.
    Reverse(Slot, RunRequest),
    /// Make finished pictures at several guidance scales, all of them quickly first.
    Strip(StripRequest),
    /// Measure in slot [`Slot::Sweep`] or [`Slot::Ladder`], going on from what is on the disk.
    Sweep(Slot, SweepRequest),
    /// Let samplers race in slot [`Slot::Race`] or [`Slot::Levels`].
    Race(Slot, RaceRequest),
    /// Learn a schedule for the open model.
    Learn(LearnRequest),
    /// List the devices of this machine, and try each when nothing else is to be done.
    Devices,
    /// Decode latents; the newest wins.
    Decode(HostTensor),
    /// How the model's tokenizer sees these prompts.
    Tokenize {
        /// The positive prompt.
        prompt: String,
        /// The negative prompt.
        negative: String,
    },
    /// Write 8-bit RGBA pixels as a PNG.
    SavePng {
        /// Where to.
        path: PathBuf,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// `width * height * 4` bytes.
        rgba: Arc<[u8]>,
    },
    /// Write a figure.
    Export(Box<Export>),
    /// Compare a figure with what a file says of it; the text stands before the verdict.
    Compare(Box<(Evidence, Figure, String)>),
    /// Write pictures side by side into one PNG, at their own size.
    SaveRow {
        /// Where to.
        path: PathBuf,
        /// Pictures `[3, H, W]` in 0..1 of one height.
        pictures: Vec<HostTensor>,
    },
    /// Stop what a slot is doing and forget what it waits for.
    Cancel(Slot),
}

impl Command {
    /// The slot that the command's job lives in; `None` for a cancellation and for tokenizing, which takes no time.
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::OpenModel { .. } => Some(Slot::Model),
            Self::OpenPicture(_) => Some(Slot::Picture),
            Self::Forward(_) => Some(Slot::Forward),
            Self::Look(_) => Some(Slot::Look),
            Self::Reverse(slot, _) => Some(*slot),
            Self::Strip(_) => Some(Slot::Strip),
            Self::Sweep(slot, _) => Some(*slot),
            Self::Race(slot, _) => Some(*slot),
            Self::Learn(_) => Some(Slot::Learn),
            Self::Devices => Some(Slot::Devices),
            Self::Decode(_) => Some(Slot::Probe),
            Self::SavePng { .. } | Self::SaveRow { .. } | Self::Export(_) | Self::Compare(_) => Some(Slot::Save),
            Self::Tokenize { .. } | Self::Cancel(_) => None,
        }
    }
}

/// What the worker answers.
#[derive(Debug, Clone)]
pub enum Event {
    /// A job has begun.
    Started {
        /// Its id.
        job: JobId,
        /// Its slot.
        slot: Slot,
    },
    /// A model is open.
    ModelReady {
        /// The job.
        job: JobId,
        /// What it is.
        card: Arc<ModelCard>,
        /// Its cumulative products of alpha, one per training timestep.
        alphas_cumprod: Arc<[f64]>,
        /// Those of the schedule that was learned for it, where its folder has one.
        learned: Option<Arc<[f64]>>,
    },
    /// A picture is ready.
    PictureReady {
        /// The job.
        job: JobId,
        /// The picture.
        picture: Arc<Picture>,
    },
    /// The file to be opened as a picture holds the state of a lab.
    StateRead {
        /// The job.
        job: JobId,
        /// The state.
        state: Arc<State>,
    },
    /// How a figure compares with what a file says of it.
    Compared {
        /// The job.
        job: JobId,
        /// Whether every number is the same.
        same: bool,
        /// For the person at the screen.
        text: String,
    },
    /// A frame of a run.
    Frame {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// The frame.
        frame: Arc<Frame>,
    },
    /// A run is complete.
    RunDone {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// The last latents.
        latents: HostTensor,
        /// The last latents decoded.
        picture: HostTensor,
        /// Wall time in milliseconds, measured.
        elapsed_ms: f64,
    },
    /// A finished picture of a strip.
    StripPicture {
        /// The job.
        job: JobId,
        /// Which of the scales asked for.
        index: usize,
        /// Steps that it took.
        steps: usize,
        /// `[3, H, W]` in 0..1.
        picture: HostTensor,
        /// Wall time in milliseconds, measured.
        elapsed_ms: f64,
    },
    /// All pictures of a strip are there.
    StripDone {
        /// The job.
        job: JobId,
    },
    /// A sweep has begun, and how it measures.
    SweepBegun {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// How.
        ruler: Ruler,
    },
    /// A run of a sweep was measured, with more samples than before.
    SweepPoint {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// What was found.
        point: Arc<SweepPoint>,
    },
    /// All of a sweep is measured.
    SweepDone {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
    },
    /// A step of a race.
    RaceStep {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// Which of the lanes asked for.
        lane: usize,
        /// The step.
        step: Arc<RaceStep>,
    },
    /// A lane has arrived.
    RaceLane {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// Which of the lanes asked for.
        lane: usize,
        /// Its end.
        end: Arc<RaceEnd>,
    },
    /// The reference has arrived, and the race is over.
    RaceDone {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// How all lie to each other.
        map: Arc<RaceMap>,
    },
    /// How far the learning of a schedule is.
    Learned {
        /// The job.
        job: JobId,
        /// How far.
        step: Arc<LearnStep>,
    },
    /// The schedule is learned.
    LearnDone {
        /// The job.
        job: JobId,
    },
    /// The devices of this machine, as far as they were tried.
    Devices {
        /// The job.
        job: JobId,
        /// All of them, the processor first.
        rows: Arc<[DeviceRow]>,
        /// Whether no more of them will be tried.
        done: bool,
    },
    /// The device that a job was on cannot go on; the message says why and what to do. Another one may do.
    DeviceFailed {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// For the person at the screen.
        message: String,
    },
    /// Latents decoded on request.
    Decoded {
        /// The job.
        job: JobId,
        /// `[3, H, W]` in 0..1.
        picture: HostTensor,
    },
    /// How the prompts are read.
    Tokenized {
        /// The positive prompt.
        prompt: Tokens,
        /// The negative prompt.
        negative: Tokens,
    },
    /// A file is written.
    Saved {
        /// The job.
        job: JobId,
        /// Where it lies.
        path: PathBuf,
    },
    /// A job was stopped before its end.
    Cancelled {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
    },
    /// A job failed; the message says what was wrong and what to do.
    Failed {
        /// The job.
        job: JobId,
        /// The slot.
        slot: Slot,
        /// For the person at the screen.
        message: String,
    },
}
