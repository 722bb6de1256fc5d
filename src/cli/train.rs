//! `diffuscope train`: the models' trainer.

use super::options::training_device_parser;
use super::tensors::{self, OnCpu, OnCuda};
use crate::compute::{DeviceKind, Differentiable, Precision, Tensor, cpu};
use crate::train::assemble::Folders;
use crate::train::budget::{Budget, parse_duration};
use crate::train::recipe::{self, Setup};
use crate::train::runner::StopFlag;
use anyhow::{Context, bail};
use std::path::PathBuf;
use std::time::Duration;

/// What to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// The autoencoder between pictures and latents
    Vae,
    /// The decoder alone, for longer; latents stay what they are; needs vae
    Decoder,
    /// The tokenizer, the text encoder and its picture encoder
    Clip,
    /// The denoising network; needs vae and clip
    Unet,
    /// The classifier that measures adherence
    Judge,
    /// A noise schedule for a finished model, whose networks stay as they are: the one along which its loss is known best from few
    /// samples
    Schedule,
    /// All of them in turn, sharing the budget
    All,
}

/// The number type of matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PrecisionArg {
    /// 32 bits throughout
    F32,
    /// 16-bit operands, 32-bit sums, on the processor's matrix units; TF32 on an NVIDIA card; f32 where there is neither
    Bf16,
}

/// Train the models
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    diffuscope train all --out runs/first --budget 90m\n  \
    diffuscope train unet --out runs/first --budget 60m --resume\n  \
    diffuscope train unet --out runs/more --from assets/models/littleworld --lr 4e-4\n  \
    diffuscope train schedule --out runs/schedule --budget 5m\n\n\
    Ctrl-C saves; the same command with --resume goes on where it stopped, on the same stream of data.")]
pub struct TrainArgs {
    /// What to train
    #[arg(value_enum)]
    pub what: What,
    /// Folder for checkpoints, records, sample sheets and the finished model
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Training time, counted across resumes, such as 30m or 1h30m [default: 30m, 90m for all, 5m for the schedule]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "steps")]
    pub budget: Option<Duration>,
    /// Train each network for this many steps instead (the schedule: rounds of losses)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// Go on with the run that is in the folder
    #[arg(long)]
    pub resume: bool,
    /// Where to compute
    #[arg(long, value_parser = training_device_parser(), default_value = DeviceKind::default().label())]
    pub device: DeviceKind,
    /// Samples a step (the schedule: losses a round)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub batch: Option<u64>,
    /// Scenes that the denoising network is trained on, or that the losses along a schedule are measured on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub scenes: Option<u64>,
    /// Start from the weights in this model folder, rather than at random (autoencoder or denoising network); the model that a schedule
    /// is learned for, rather than the built-in one
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Train the autoencoder without generic pictures, to see what these cost
    #[arg(long)]
    pub scenes_only: bool,
    /// Peak learning rate
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,
    /// Number type of matrix products
    #[arg(long, value_enum, default_value = "bf16")]
    pub precision: PrecisionArg,
    /// Decides the random start and every draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// Trains; Ctrl-C and a request to terminate save and end.
///
/// # Errors
/// A message for the terminal.
pub fn run(args: TrainArgs) -> anyhow::Result<()> {
    if args.lr.is_some_and(|lr| !lr.is_finite() || lr <= 0.0) {
        bail!("--lr must be a positive number");
    }
    if args.from.is_some() && !matches!(args.what, What::Vae | What::Unet | What::Schedule) {
        bail!("--from goes with `train vae`, `train unet` and `train schedule`");
    }
    if args.what == What::Schedule {
        return super::learn::run(&args);
    }
    let stop = StopFlag::default();
    let on_signal = stop.clone();
    ctrlc::set_handler(move || {
        if on_signal.is_set() {
            std::process::exit(i32::from(super::INTERRUPTED));
        }
        eprintln!("saving; press Ctrl-C again to end at once");
        on_signal.stop();
    })
    .context("Ctrl-C cannot be listened to")?;
    let default_minutes = if args.what == What::All { 90 } else { 30 };
    let budget = args.steps.map_or_else(|| Budget::Time(args.budget.unwrap_or(Duration::from_secs(60 * default_minutes))), Budget::Steps);
    let precision = match args.precision {
        PrecisionArg::Bf16 if args.device == DeviceKind::Cuda || cpu::has_bf16_units() => Precision::Bf16,
        _ => Precision::F32,
    };
    let job = Job { args, budget, precision, stop };
    let finished = match job.args.device {
        DeviceKind::Cpu => job.run::<OnCpu>(())?,
        DeviceKind::Cuda => job.run::<OnCuda>(tensors::cuda()?)?,
        DeviceKind::Wgpu(_) => bail!(tensors::NO_GRADIENTS),
    };
    if !finished {
        eprintln!("stopped and saved; add --resume to go on");
    }
    Ok(())
}

/// What is to be done, before it is known with which tensors.
struct Job {
    args: TrainArgs,
    budget: Budget,
    precision: Precision,
    stop: StopFlag,
}

impl Job {
    /// Trains on `device`; whether it was not stopped early.
    fn run<T: Differentiable>(self, device: <T as Tensor>::Device) -> anyhow::Result<bool> {
        let Self { args, budget, precision, stop } = self;
        let setup = Setup::<T> {
            folders: Folders { out: args.out },
            budget,
            resume: args.resume,
            device,
            precision,
            batch: args.batch.map(|batch| batch as usize),
            learning_rate: args.lr,
            scenes: args.scenes.map(|scenes| scenes as usize),
            scenes_only: args.scenes_only,
            from: args.from,
            seed: args.seed,
            progress: true,
            stop,
        };
        Ok(match args.what {
            What::Vae => recipe::train_vae(&setup)?,
            What::Decoder => recipe::train_decoder(&setup)?,
            What::Clip => recipe::train_clip(&setup)?,
            What::Judge => recipe::train_judge(&setup)?,
            What::Unet => recipe::train_unet(&setup)?,
            What::All => recipe::train_all(&setup)?,
            What::Schedule => unreachable!("a schedule is learned without this kind of job"),
        })
    }
}
