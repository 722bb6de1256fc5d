//! Joins the networks and the mathematics: prompt, picture and seed in, latents and decoded pictures out.

mod card;
mod devices;
mod engine;
mod files;
mod footprint;
mod generate;
mod operations;
pub mod schedule_learner;

pub use crate::compute::{DeviceKind, Graphics, Precision, Shelf, keep_compiled};
pub use crate::model::taps::{TapKey, TapKind};
pub use card::{ModelCard, Tokens};
pub use devices::{DeviceCard, Trial, devices, try_device};
pub use files::{FNV_START, ModelSource, embedded_file, fnv1a, write_embedded};
pub use generate::{GenerateRequest, GenerateStep, Generated, OtherLevels, Start, Told};
pub use operations::{Load, Operations, decode_load, encode_load, unet_load};

use crate::compute::candle::CandleTensor;
use crate::compute::cpu::CpuTensor;
use crate::compute::{ComputeError, Storage, WgpuDevice, WgpuTensor};
use crate::diffusion::{ConfigError, NoiseSchedule, PlanError, PredictionType, SampleError, SchedulerConfig};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::tokenizer::{ClipTokenizer, TokenizerError};
use engine::{Engine, Networks};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Where the schedule that was learned for a model lies in its folder.
pub const LEARNED_SCHEDULE: &str = "schedules/learned/scheduler_config.json";

/// What goes wrong in opening or running a model.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The folder is not there or is none.
    #[error("{} is not a folder; --model takes the folder of a diffusers pipeline, with model_index.json in it", .0.display())]
    NoFolder(PathBuf),
    /// A file that belongs to every pipeline folder is missing.
    #[error("{} has no {missing}; a diffusers pipeline folder has model_index.json, unet/, vae/, text_encoder/, tokenizer/ and scheduler/", folder.display())]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// What it lacks.
        missing: String,
    },
    /// A pipeline of another kind.
    #[error("model_index.json describes a {0}; only StableDiffusionPipeline can be opened")]
    UnknownPipeline(String),
    /// Parts that do not fit each other.
    #[error("the parts of this model do not fit each other: {0}")]
    Mismatch(String),
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A network cannot be built or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer cannot be read.
    #[error("the tokenizer cannot be used: {0}")]
    Tokenizer(#[from] TokenizerError),
    /// The scheduler's configuration cannot be followed.
    #[error(transparent)]
    Scheduler(#[from] ConfigError),
    /// The number of steps or the timestep does not fit the schedule.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The run failed.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A tensor of a shape that the model does not take.
    #[error("{what} of shape {got:?} cannot be used; this model takes {expected}")]
    Shape {
        /// What was given.
        what: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// What would do.
        expected: String,
    },
    /// The networks answered with values that are no numbers.
    #[error("{0} gave values that are not finite numbers; the weights may be damaged")]
    NotFinite(&'static str),
}

impl PipelineError {
    /// Whether the device is what failed, so that another one may do.
    pub fn is_of_device(&self) -> bool {
        match self {
            Self::Model(ModelError::Compute(ComputeError::Device { .. })) => true,
            Self::Sample(SampleError::Denoise { source, .. }) => source.0.downcast_ref::<Self>().is_some_and(Self::is_of_device),
            _ => false,
        }
    }
}

impl From<ComputeError> for PipelineError {
    fn from(error: ComputeError) -> Self {
        Self::Model(ModelError::Compute(error))
    }
}

/// The model's two answers at one level, both as predicted noise.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// To the negative (or empty) prompt.
    pub uncond: HostTensor,
    /// To the prompt.
    pub cond: HostTensor,
}

/// An open model on a device.
pub struct Pipeline {
    card: ModelCard,
    config: SchedulerConfig,
    schedule: NoiseSchedule,
    tokenizer: ClipTokenizer,
    engine: Box<dyn Engine>,
    files: files::Files,
}

impl Pipeline {
    /// Opens a model.
    ///
    /// # Errors
    /// [`PipelineError`] saying which file or value is wrong, or that the device is not there.
    pub fn load(source: &ModelSource, device: DeviceKind) -> Result<Self, PipelineError> {
        Self::load_with(source, device, &mut |_, _| ())
    }

    /// The same, telling how many of how many kernels a graphics card has compiled.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(source: &ModelSource, device: DeviceKind, on_progress: &mut dyn FnMut(usize, usize)) -> Result<Self, PipelineError> {
        let files = files::Files::open(source)?;
        files.check_index()?;
        let config = SchedulerConfig::from_json(&files.read("scheduler/scheduler_config.json")?)?;
        let schedule = config.schedule()?;
        let name = device.label().to_owned();
        let (tokenizer, card, engine): (_, _, Box<dyn Engine>) = match device {
            DeviceKind::Cpu => {
                let networks = Networks::<CpuTensor>::load(&files, ())?;
                (networks.tokenizer(&files)?, ModelCard::new(source, &files, &networks, &config, name)?, Box::new(networks))
            }
            DeviceKind::Cuda => {
                let networks = Networks::<CandleTensor>::load(&files, crate::compute::candle::device(device)?)?;
                (networks.tokenizer(&files)?, ModelCard::new(source, &files, &networks, &config, name)?, Box::new(networks))
            }
            DeviceKind::Wgpu(Graphics { adapter, half }) => {
                let storage = if half { Storage::F16 } else { Storage::F32 };
                let opened = WgpuDevice::open(adapter.into(), storage)?;
                footprint::Footprint::of(&files)?.check(opened.card(), storage)?;
                let name = format!("{name}, {}", opened.card());
                let networks = Networks::<WgpuTensor>::load(&files, opened.clone())?;
                while let Some((done, total)) = opened.compiling() {
                    on_progress(done, total);
                    std::thread::sleep(Duration::from_millis(5));
                }
                (networks.tokenizer(&files)?, ModelCard::new(source, &files, &networks, &config, name)?, Box::new(networks))
            }
        };
        Ok(Self { card, config, schedule, tokenizer, engine, files })
    }

    /// Chooses what matrix products are computed in. A model is opened with [`Precision::Split`]: f32 to about 1e-5, on matrix
    /// units where the processor has them.
    pub fn set_precision(&mut self, precision: Precision) {
        self.engine.set_precision(precision);
    }

    /// A file beside the networks in the model's folder, such as `judge/model.safetensors`; none where there is no such file.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn companion(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, PipelineError> {
        self.files.read_optional(name)
    }

    /// Tells this model from others: a digest of its weights where the program carries them, else of the place, length and time
    /// of its files.
    pub fn fingerprint(&self) -> String {
        self.files.fingerprint()
    }

    /// What this model is.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The noise schedule that it was trained with.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }

    /// The schedule that was learned for it by `diffuscope train schedule`, where its folder has one.
    ///
    /// # Errors
    /// When it is there but cannot be read, or does not have as many timesteps as the model's own.
    pub fn learned_schedule(&self) -> Result<Option<NoiseSchedule>, PipelineError> {
        let Some(bytes) = self.companion(LEARNED_SCHEDULE)? else { return Ok(None) };
        let schedule = SchedulerConfig::from_json(&bytes)?.schedule()?;
        if schedule.len() != self.schedule.len() {
            let (learned, own) = (schedule.len(), self.schedule.len());
            return Err(PipelineError::Mismatch(format!(
                "{LEARNED_SCHEDULE} has {learned} timesteps, but scheduler/scheduler_config.json has {own}; take the folder schedules away, or learn one anew"
            )));
        }
        Ok(Some(schedule))
    }

    /// What its network answers.
    pub fn prediction(&self) -> PredictionType {
        self.config.prediction
    }

    /// How the model reads a prompt.
    pub fn tokenize(&self, text: &str) -> Tokens {
        let encoding = self.tokenizer.encode(text);
        Tokens { ids: encoding.ids, pieces: encoding.pieces, dropped: encoding.dropped }
    }

    /// The text embedding of a prompt, `[1, L, D]`.
    ///
    /// # Errors
    /// When the network fails.
    pub fn encode_text(&self, text: &str) -> Result<HostTensor, PipelineError> {
        self.engine.encode_text(&self.tokenizer.encode(text).ids, 1)
    }

    /// The scaled latents of a picture: the mean of their Gaussian times the scaling factor.
    ///
    /// # Shapes
    /// `picture: [3, H, W]` in 0..1, sides multiples of the model's -> `[1, C, H / f, W / f]`.
    ///
    /// # Errors
    /// When the shape does not fit or the network fails.
    pub fn encode_picture(&self, picture: &HostTensor) -> Result<HostTensor, PipelineError> {
        let multiple = self.card.side_multiple;
        let fits = |side: usize| side > 0 && side.is_multiple_of(multiple);
        match picture.shape() {
            [3, h, w] if fits(*h) && fits(*w) => {
                let x = HostTensor::from_fn([1, 3, *h, *w], |i| 2.0 * picture.data()[i] - 1.0);
                let latents = self.engine.encode(&x)?.map(|v| v * self.card.scaling_factor as f32);
                finite(latents, "the autoencoder")
            }
            other => Err(PipelineError::Shape {
                what: "a picture",
                got: other.to_vec(),
                expected: format!("[3, H, W] with sides that are multiples of {multiple}"),
            }),
        }
    }

    /// The picture of scaled latents, clamped to 0..1.
    ///
    /// # Shapes
    /// `latents: [1, C, h, w]` -> `[3, f h, f w]`.
    ///
    /// # Errors
    /// When the shape does not fit or the network fails.
    pub fn decode(&self, latents: &HostTensor) -> Result<HostTensor, PipelineError> {
        Ok(self.decode_unclamped(latents)?.map(|v| v.clamp(0.0, 1.0)))
    }

    /// The same before clamping: black is 0 and white 1, and what a picture would need beyond them is still there.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_unclamped(&self, latents: &HostTensor) -> Result<HostTensor, PipelineError> {
        self.check_latents(latents)?;
        let z = latents.map(|v| (f64::from(v) / self.card.scaling_factor) as f32);
        let picture = self.engine.decode(&z)?;
        let shape = picture.shape()[1..].to_vec();
        finite(HostTensor::from_fn(shape, |i| picture.data()[i] * 0.5 + 0.5), "the autoencoder")
    }

    /// The model's answers to the negative and the positive prompt, as noise, by two evaluations at once.
    ///
    /// # Shapes
    /// `x: [1, C, h, w]`, `negative, positive: [1, L, D]` of [`Self::encode_text`].
    ///
    /// # Errors
    /// When a shape does not fit or the network fails.
    pub fn predict(
        &self,
        x: &HostTensor,
        timestep: f64,
        negative: &HostTensor,
        positive: &HostTensor,
    ) -> Result<Prediction, PipelineError> {
        let (uncond, cond) = self.outputs(x, timestep, negative, positive)?;
        let level = self.schedule.level_at(timestep);
        let eps = |output: &HostTensor| self.config.prediction.to_eps(x, output, level);
        Ok(Prediction { uncond: eps(&uncond), cond: eps(&cond) })
    }

    /// What `keys` name inside the U-Net during one evaluation like that of [`Self::predict`]; negative first in each batch.
    ///
    /// # Errors
    /// When a shape does not fit or the network fails.
    pub fn inspect(
        &self,
        x: &HostTensor,
        timestep: f64,
        negative: &HostTensor,
        positive: &HostTensor,
        keys: &[TapKey],
    ) -> Result<BTreeMap<TapKey, HostTensor>, PipelineError> {
        self.check_latents(x)?;
        if negative.shape() != positive.shape() {
            return Err(PipelineError::Shape {
                what: "a text embedding",
                got: negative.shape().to_vec(),
                expected: format!("{:?}, as the other prompt's", positive.shape()),
            });
        }
        self.engine.inspect(x, timestep, &[negative, positive], keys)
    }

    /// The raw outputs of the network for the negative and the positive prompt.
    fn outputs(
        &self,
        x: &HostTensor,
        timestep: f64,
        negative: &HostTensor,
        positive: &HostTensor,
    ) -> Result<(HostTensor, HostTensor), PipelineError> {
        self.check_latents(x)?;
        let outputs = self.engine.predict(x, timestep, &[negative, positive])?;
        match <[HostTensor; 2]>::try_from(outputs) {
            Ok([uncond, cond]) => Ok((finite(uncond, "the U-Net")?, finite(cond, "the U-Net")?)),
            Err(_) => Err(PipelineError::NotFinite("the U-Net")),
        }
    }

    /// The raw output of the network for one prompt.
    fn output(&self, x: &HostTensor, timestep: f64, text: &HostTensor) -> Result<HostTensor, PipelineError> {
        self.check_latents(x)?;
        let output = self.engine.predict(x, timestep, &[text])?.pop();
        finite(output.ok_or(PipelineError::NotFinite("the U-Net"))?, "the U-Net")
    }

    fn check_latents(&self, latents: &HostTensor) -> Result<(), PipelineError> {
        let multiple = self.card.latent_multiple;
        match latents.shape() {
            [1, c, h, w] if *c == self.card.latent_shape[0] && *h > 0 && *w > 0 && h % multiple == 0 && w % multiple == 0 => Ok(()),
            other => Err(PipelineError::Shape {
                what: "latents",
                got: other.to_vec(),
                expected: format!("[1, {}, h, w] with sides that are multiples of {multiple}", self.card.latent_shape[0]),
            }),
        }
    }
}

fn finite(tensor: HostTensor, what: &'static str) -> Result<HostTensor, PipelineError> {
    if tensor.is_finite() { Ok(tensor) } else { Err(PipelineError::NotFinite(what)) }
}
