//! The training loop: data ahead on a thread of its own, one update a step, records, checkpoints, a clean stop.

use super::budget::{Budget, RateSchedule};
use super::optimizer::{AdamW, Gradients};
use super::record::{Means, Part, Progress, Table};
use super::sheet;
use super::state::{self, Position};
use super::vars::{Leaves, Weights};
use super::{Result, TrainError};
use crate::compute::{Differentiable, Tensor};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::params::Params;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Batches made ahead of the step that uses them.
const AHEAD: u64 = 3;

/// Set from a signal handler or another thread; the run saves and ends at the next step.
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks for the end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one part of a batch gives.
#[derive(Debug)]
pub struct Share {
    /// The loss itself and its parts, in the order of [`Objective::parts`].
    pub parts: Vec<Part>,
    /// Samples in this part of the batch.
    pub samples: u64,
    /// The gradients of the loss.
    pub gradients: Gradients,
}

impl Share {
    /// The share whose loss has these gradients with respect to `outputs` of the network on `leaves`.
    ///
    /// # Errors
    /// When a gradient does not have its output's shape.
    pub fn of<T: Differentiable>(leaves: &Leaves<T>, outputs: &[(&T, &HostTensor)], parts: Vec<Part>, samples: u64) -> Result<Self> {
        Ok(Self { parts, samples, gradients: T::backward(outputs, &leaves.tensors())? })
    }
}

/// Runs `work` on each of `parts` at the same time where tensors of this kind are computed by the host's threads: each part then
/// runs its operations where it is, without waking other threads for every one of them.
///
/// # Errors
/// The first that any of them met.
pub fn at_once<T: Tensor, P: Send, R: Send>(parts: Vec<P>, work: impl Fn(P) -> Result<R> + Sync + Send) -> Result<Vec<R>> {
    T::at_once(parts, work).into_iter().collect()
}

/// A network and how it is trained.
pub trait Objective: Sync {
    /// What it computes with.
    type Tensor: Differentiable;

    /// The network.
    type Model: Send + Sync;

    /// The data of one step, or of a part of it.
    type Batch: Send;

    /// Where it computes.
    fn device(&self) -> &<Self::Tensor as Tensor>::Device;

    /// The network on weights from `p`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    fn build(&self, p: &Params<'_, Self::Tensor>) -> std::result::Result<Self::Model, ModelError>;

    /// A short name, used for files too.
    fn name(&self) -> &'static str;

    /// What resumed runs must have in common, in words.
    fn fingerprint(&self) -> String;

    /// Names of the parts of the loss; the first is the loss itself.
    fn parts(&self) -> Vec<&'static str>;

    /// The phase of training at `fraction` of the budget.
    fn phase(&self, _fraction: f64) -> usize {
        0
    }

    /// The data of step `step`: a pure function of the run's seed, the step and the phase. Equal parts of one batch, which are
    /// worked on at the same time; their losses are averaged.
    ///
    /// # Errors
    /// When it cannot be made.
    fn batch(&self, step: u64, phase: usize) -> Result<Vec<Self::Batch>>;

    /// The loss of a part of a batch and its gradients, under `model`, which is built on `leaves`.
    ///
    /// # Errors
    /// When the network fails.
    fn share(&self, leaves: &Leaves<Self::Tensor>, model: &Self::Model, part: Self::Batch) -> Result<Share>;

    /// The losses and gradients of the parts of a batch, worked on at the same time.
    ///
    /// # Errors
    /// When the network fails.
    fn shares(&self, leaves: &Leaves<Self::Tensor>, model: &Self::Model, parts: Vec<Self::Batch>) -> Result<Vec<Share>> {
        at_once::<Self::Tensor, _, _>(parts, |part| self.share(leaves, model, part))
    }

    /// A sheet of samples drawn with the averaged weights.
    ///
    /// # Errors
    /// When the network fails.
    fn sheet(&self, _ema: &Weights) -> Result<Option<image::RgbImage>> {
        Ok(None)
    }
}

/// The losses and gradients of a batch under `optimizer`'s weights. No tensor outlives it.
///
/// # Errors
/// When the network fails.
pub fn evaluate<O: Objective>(objective: &O, optimizer: &AdamW, batch: Vec<O::Batch>) -> Result<Vec<Share>> {
    let leaves = optimizer.leaves(objective.device())?;
    let model = leaves.build(|p| objective.build(p))?;
    objective.shares(&leaves, &model, batch)
}

/// How a run is run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The folder of checkpoints, tables and sheets.
    pub out: PathBuf,
    /// When it ends.
    pub budget: Budget,
    /// The learning rate.
    pub rate: RateSchedule,
    /// Whether to go on from a checkpoint that is there.
    pub resume: bool,
    /// Time between checkpoints.
    pub checkpoint_every: Duration,
    /// Time between sheets of samples.
    pub sheet_every: Duration,
    /// Steps per row of the table.
    pub row_every: u64,
    /// Whether to show progress.
    pub progress: bool,
    /// How to end it early.
    pub stop: StopFlag,
}

impl RunOptions {
    /// Where the checkpoint of the objective `name` lies.
    pub fn state_path(&self, name: &str) -> PathBuf {
        self.out.join(format!("{name}.state.safetensors"))
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The averaged weights.
    pub ema: Weights,
    /// Steps, samples and seconds.
    pub position: Position,
    /// Whether the budget was used up; otherwise it was stopped.
    pub finished: bool,
}

/// The running state of [`run`].
struct Run<'a, O: Objective> {
    objective: &'a O,
    optimizer: &'a mut AdamW,
    options: &'a RunOptions,
    position: Position,
    elapsed_before: Duration,
    started: Instant,
    progress: Progress,
    table: Table,
}

/// Trains `objective` with `optimizer` until the budget is used up or the flag is set. Either way the state is saved.
///
/// # Errors
/// When a step fails, the loss is not finite, or a file cannot be written.
pub fn run<O: Objective>(objective: &O, optimizer: &mut AdamW, options: &RunOptions) -> Result<Outcome> {
    std::fs::create_dir_all(&options.out).map_err(|error| TrainError::file(&options.out, error))?;
    let name = objective.name();
    let state_path = options.state_path(name);
    let mut position = Position { step: 0, samples: 0, seconds: 0.0, fingerprint: objective.fingerprint() };
    if state_path.exists() {
        if !options.resume {
            return Err(TrainError::content(&state_path, "a run is there already; add --resume to go on with it, or choose another --out"));
        }
        let (saved, found) = state::load(&state_path)?;
        if found.fingerprint != position.fingerprint {
            let detail = format!("it belongs to another run ({}), not to this one ({})", found.fingerprint, position.fingerprint);
            return Err(TrainError::content(&state_path, detail));
        }
        optimizer.restore(&saved, found.step)?;
        position = found;
    }
    let table = Table::open(&options.out.join(format!("{name}.csv")), &objective.parts(), position.step)?;
    let progress = Progress::new(name, options.progress);
    let elapsed_before = Duration::try_from_secs_f64(position.seconds).unwrap_or_default();
    if position.step > 0 {
        progress.note(&format!("going on from step {} after {:.0} s", position.step, position.seconds));
    }
    let mut run = Run { objective, optimizer, options, position, elapsed_before, started: Instant::now(), progress, table };
    let finished = run.steps()?;
    run.save(&state_path)?;
    if finished {
        run.sheet()?;
    }
    run.progress.finish();
    Ok(Outcome { ema: run.optimizer.ema(), position: run.position, finished })
}

impl<O: Objective> Run<'_, O> {
    fn elapsed(&self) -> Duration {
        self.elapsed_before + self.started.elapsed()
    }

    /// Runs to the end; whether the budget was used up.
    fn steps(&mut self) -> Result<bool> {
        let objective = self.objective;
        std::thread::scope(|scope| {
            // Both channels hold no more than the batches asked for ahead.
            let (ask, asked) = mpsc::sync_channel::<(u64, usize)>(AHEAD as usize);
            let (give, given) = mpsc::sync_channel::<Result<Vec<O::Batch>>>(AHEAD as usize);
            scope.spawn(move || {
                for (step, phase) in asked {
                    if give.send(objective.batch(step, phase)).is_err() {
                        break;
                    }
                }
            });
            // `ask` and `given` are dropped at the end of the loop, which ends the thread.
            self.follow(&ask, &given)
        })
    }

    fn follow(&mut self, ask: &mpsc::SyncSender<(u64, usize)>, given: &mpsc::Receiver<Result<Vec<O::Batch>>>) -> Result<bool> {
        let gone = || TrainError::Missing("the thread that makes the data has ended".into());
        let Self { options, .. } = *self;
        let mut means = Means::new(self.objective.parts().len());
        let (mut asked, mut norm_sum, mut row_samples) = (self.position.step, 0.0, 0);
        let mut row_started = self.started;
        let (mut last_save, mut last_sheet) = (Instant::now(), Instant::now());
        loop {
            if options.budget.is_spent(self.position.step, self.elapsed()) {
                return Ok(true);
            }
            if options.stop.is_set() {
                return Ok(false);
            }
            while asked < self.position.step + AHEAD {
                let fraction = options.budget.fraction(asked, self.elapsed());
                ask.send((asked, self.objective.phase(fraction))).map_err(|_| gone())?;
                asked += 1;
            }
            let batch = given.recv().map_err(|_| gone())??;
            let shares = evaluate(self.objective, self.optimizer, batch)?;
            let step = self.position.step;
            let rate = options.rate.at(step, options.budget.fraction(step, self.elapsed()));
            let (mut parts, mut samples, mut gradients) = (Vec::new(), 0, Vec::new());
            for share in shares {
                samples += share.samples;
                parts.push(share.parts);
                gradients.push(share.gradients);
            }
            let norm = self.optimizer.update(&gradients, rate)?;
            let loss = parts.iter().filter_map(|part| part.first()).map(|part| part.value).sum::<f64>() / parts.len() as f64;
            if !norm.is_finite() || !loss.is_finite() {
                return Err(TrainError::Diverged { step, loss, norm });
            }
            parts.iter().for_each(|parts| means.add(parts));
            norm_sum += norm;
            row_samples += samples;
            self.position.step += 1;
            self.position.samples += samples;
            self.position.seconds = self.elapsed().as_secs_f64();
            let per_second = row_samples as f64 / row_started.elapsed().as_secs_f64().max(1e-9);
            self.progress.show(options.budget, self.position.step, self.elapsed(), loss, per_second);
            if self.position.step.is_multiple_of(options.row_every) {
                let rates = [per_second, rate, norm_sum / options.row_every as f64];
                self.table.row(self.position.step, self.position.seconds, self.position.samples, rates, &means.take())?;
                (norm_sum, row_samples, row_started) = (0.0, 0, Instant::now());
            }
            if last_save.elapsed() >= options.checkpoint_every {
                self.save(&options.state_path(self.objective.name()))?;
                last_save = Instant::now();
            }
            if last_sheet.elapsed() >= options.sheet_every {
                self.sheet()?;
                last_sheet = Instant::now();
            }
        }
    }

    fn save(&self, path: &Path) -> Result<()> {
        state::save(path, &self.optimizer.snapshot(), &self.position)
    }

    fn sheet(&self) -> Result<()> {
        let Some(picture) = self.objective.sheet(&self.optimizer.ema())? else { return Ok(()) };
        let folder = self.options.out.join("sheets");
        std::fs::create_dir_all(&folder).map_err(|error| TrainError::file(&folder, error))?;
        let path = folder.join(format!("{}-{:07}.png", self.objective.name(), self.position.step));
        sheet::save(&path, &picture)
    }
}
