//! No gradient is severed, and a killed run goes on as if nothing had happened.

#![allow(clippy::unwrap_used)]

use diffuscope::compute::candle::{self, CandleTensor};
use diffuscope::compute::cpu::CpuTensor;
use diffuscope::compute::{DeviceKind, Differentiable, Precision, Tensor};
use diffuscope::host::HostTensor;
use diffuscope::model::ModelError;
use diffuscope::model::clip::{ClipTextConfig, ClipTextModel};
use diffuscope::model::params::Params;
use diffuscope::model::tokenizer::{ClipTokenizer, train_bpe};
use diffuscope::model::unet::UNet2DConditionConfig;
use diffuscope::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use diffuscope::noise::{Stream, gaussian};
use diffuscope::train::budget::{Budget, RateSchedule};
use diffuscope::train::clip::ClipObjective;
use diffuscope::train::judge::JudgeObjective;
use diffuscope::train::optimizer::{AdamW, AdamWConfig};
use diffuscope::train::runner::{Objective, RunOptions, Share, StopFlag, run};
use diffuscope::train::unet::{Frozen, UnetObjective, UnetPlan};
use diffuscope::train::vae::VaeObjective;
use diffuscope::train::vars::{Leaves, Variable, Weights, start};
use diffuscope::train::{Result, TrainError, state};
use std::path::Path;
use std::time::Duration;

/// candle's tensors live on the processor here; in the program they train on a card.
fn candle_device() -> <CandleTensor as Tensor>::Device {
    candle::device(DeviceKind::Cpu).unwrap()
}

fn small_vae() -> AutoencoderKlConfig {
    AutoencoderKlConfig { block_out_channels: vec![8, 8, 8, 16], norm_num_groups: 4, ..AutoencoderKlConfig::littleworld() }
}

fn small_tokenizer() -> ClipTokenizer {
    let (vocab, merges) = train_bpe(["a red house in the snow", "a red house at sea"].into_iter(), 20);
    ClipTokenizer::from_files(vocab.as_bytes(), merges.as_bytes(), 32).unwrap()
}

fn small_unet() -> UNet2DConditionConfig {
    UNet2DConditionConfig {
        block_out_channels: vec![8, 16],
        heads: vec![2, 2],
        cross_attention_dim: 16,
        norm_num_groups: 4,
        ..UNet2DConditionConfig::littleworld()
    }
}

fn vae_objective<T: Differentiable>(device: &T::Device, precision: Precision) -> (VaeObjective<T>, Vec<Variable>) {
    VaeObjective::new(&small_vae(), 3, 4, device, precision).unwrap()
}

fn unet_objective<T: Differentiable>(device: &T::Device, precision: Precision) -> (UnetObjective<T>, Vec<Variable>) {
    let tokenizer = small_tokenizer();
    let text = ClipTextConfig { hidden_size: 16, intermediate_size: 32, ..ClipTextConfig::littleworld(tokenizer.vocab_size()) };
    let (text, _) = start(1, device, |p| ClipTextModel::new(&text, p)).unwrap();
    let (vae, _) = start(2, device, |p| AutoencoderKl::new(&small_vae(), p)).unwrap();
    let config = small_unet();
    let latents = gaussian(5, Stream::Eval, [12, config.in_channels, config.sample_size, config.sample_size]);
    let frozen = Frozen { tokenizer, text, vae, latents, seeds: (0..12).collect() };
    let plan = UnetPlan { config, object_weights: [1.0, 2.0, 1.5], seed: 3, batch: 4, precision };
    UnetObjective::new(plan, frozen, device, StopFlag::default()).unwrap()
}

fn clip_objective<T: Differentiable>(device: &T::Device, precision: Precision) -> (ClipObjective<T>, Vec<Variable>) {
    ClipObjective::new(small_tokenizer(), 3, 6, device, precision).unwrap()
}

fn judge_objective<T: Differentiable>(device: &T::Device, precision: Precision) -> (JudgeObjective<T>, Vec<Variable>) {
    JudgeObjective::new(None, 3, 6, device, precision).unwrap()
}

/// The gradients of the first step, the mean over its parts, by path.
type Found = Vec<(String, HostTensor)>;

/// Every one of `variables` gets a finite gradient that is not zero.
///
/// Some layers start at zero by design, which blocks what lies before them until the first update; so all variables are moved a
/// little first. The bias of attention keys adds the same to all scores of a query, which the softmax takes out again: its
/// gradient is zero by mathematics, and rounding alone is left of it.
fn every_variable_has_a_gradient<O: Objective>((objective, mut variables): (O, Vec<Variable>)) -> Found {
    for (index, variable) in variables.iter_mut().enumerate() {
        let noise = gaussian(index as u64, Stream::Init, variable.values.shape());
        variable.values = variable.values.lincomb(1.0, &noise, 0.05);
    }
    let leaves = Leaves::new(&variables, objective.device()).unwrap();
    let model = leaves.build(|p| objective.build(p)).unwrap();
    let shares = objective.shares(&leaves, &model, objective.batch(0, 0).unwrap()).unwrap();
    assert!(shares.iter().all(|share| share.gradients.len() == variables.len()));
    let mut largest = 0.0_f64;
    let (mut norms, mut found) = (Vec::new(), Vec::new());
    for (index, Variable { path, values }) in variables.iter().enumerate() {
        let mut mean = HostTensor::full(values.shape(), 0.0);
        let mut sum_of_norms = 0.0;
        for share in &shares {
            let gradient = share.gradients[index].clone().unwrap_or_else(|| panic!("{path}: no gradient"));
            let gradient = HostTensor::new(values.shape(), gradient).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(gradient.is_finite(), "{path}: not finite");
            sum_of_norms += gradient.norm();
            mean = mean.lincomb(1.0, &gradient, 1.0 / shares.len() as f64);
        }
        largest = largest.max(sum_of_norms);
        norms.push((path.clone(), sum_of_norms));
        found.push((path.clone(), mean));
    }
    assert!(norms.len() > 10 && largest > 0.0);
    for (path, norm) in norms {
        if path.ends_with("k_proj.bias") || path.ends_with("to_k.bias") {
            assert!(norm < 1e-3 * largest, "{path}: {norm}");
        } else {
            assert!(norm > 1e-7 * largest, "{path}: {norm} where the largest is {largest}");
        }
    }
    found
}

/// The same step with tensors of two makes gives the same gradients, but for rounding.
fn agree(ours: &Found, theirs: &Found) {
    let largest = theirs.iter().map(|(_, gradient)| gradient.norm()).fold(0.0, f64::max);
    for ((path, ours), (other, theirs)) in ours.iter().zip(theirs) {
        assert_eq!(path, other);
        let difference = ours.lincomb(1.0, theirs, -1.0).norm();
        assert!(difference < 1e-3 * theirs.norm() + 1e-5 * largest, "{path}: {difference} of {}", theirs.norm());
    }
}

/// Backward starts from the gradients that it is given, at a leaf too, and says where none arrives.
fn gradients_are_carried_to_the_leaves<T: Differentiable>(device: &T::Device) {
    let leaf = |values: [f32; 2]| T::variable(&HostTensor::new([1, 2], values.to_vec()).unwrap(), device).unwrap();
    let (a, b, other) = (leaf([1.0, 2.0]), leaf([3.0, 5.0]), leaf([0.0, 0.0]));
    let gradient = HostTensor::new([1, 2], vec![0.5, -1.0]).unwrap();
    // <g, 3 a> + <g, b>, where what was cut off counts for nothing.
    let tripled = a.scale(3.0).unwrap().add(&other.detached()).unwrap();
    let found = T::backward(&[(&tripled, &gradient), (&b, &gradient)], &[&a, &b, &other]).unwrap();
    assert_eq!(found, [Some(vec![1.5, -3.0]), Some(vec![0.5, -1.0]), None]);
    let again = T::backward(&[(&b.scale(2.0).unwrap(), &gradient), (&b, &gradient)], &[&other, &b]).unwrap();
    assert_eq!(again, [None, Some(vec![1.5, -3.0])]);
    assert!(T::backward(&[(&a, &HostTensor::full([2, 1], 1.0))], &[&a]).is_err());
    assert_eq!(T::backward(&[], &[&a]).unwrap(), [None]);
}

#[test]
fn gradients_start_where_they_are_given() {
    gradients_are_carried_to_the_leaves::<CpuTensor>(&());
    gradients_are_carried_to_the_leaves::<CandleTensor>(&candle_device());
}

#[test]
fn vae_gradients() {
    let ours = every_variable_has_a_gradient(vae_objective::<CpuTensor>(&(), Precision::F32));
    let theirs = every_variable_has_a_gradient(vae_objective::<CandleTensor>(&candle_device(), Precision::F32));
    agree(&ours, &theirs);
    every_variable_has_a_gradient(vae_objective::<CpuTensor>(&(), Precision::Bf16));
}

#[test]
fn unet_gradients() {
    let ours = every_variable_has_a_gradient(unet_objective::<CpuTensor>(&(), Precision::F32));
    let theirs = every_variable_has_a_gradient(unet_objective::<CandleTensor>(&candle_device(), Precision::F32));
    agree(&ours, &theirs);
    every_variable_has_a_gradient(unet_objective::<CpuTensor>(&(), Precision::Bf16));
}

#[test]
fn clip_gradients() {
    let ours = every_variable_has_a_gradient(clip_objective::<CpuTensor>(&(), Precision::F32));
    let theirs = every_variable_has_a_gradient(clip_objective::<CandleTensor>(&candle_device(), Precision::F32));
    agree(&ours, &theirs);
}

#[test]
fn judge_gradients() {
    let ours = every_variable_has_a_gradient(judge_objective::<CpuTensor>(&(), Precision::F32));
    let theirs = every_variable_has_a_gradient(judge_objective::<CandleTensor>(&candle_device(), Precision::F32));
    agree(&ours, &theirs);
}

const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.01, clip: 1.0, ema: 0.9 };

fn options(out: &Path, steps: u64, resume: bool) -> RunOptions {
    RunOptions {
        out: out.to_owned(),
        budget: Budget::Steps(steps),
        rate: RateSchedule { peak: 1e-3, warmup_steps: 2, decay_from: 0.5, floor: 0.1 },
        resume,
        checkpoint_every: Duration::ZERO,
        sheet_every: Duration::MAX,
        row_every: 1,
        progress: false,
        stop: StopFlag::default(),
    }
}

/// An objective whose data gives out at a step, as if the run were killed there.
struct Killed<'a, O> {
    inner: &'a O,
    at: u64,
}

impl<O: Objective> Objective for Killed<'_, O> {
    type Tensor = O::Tensor;
    type Model = O::Model;
    type Batch = O::Batch;

    fn device(&self) -> &<O::Tensor as Tensor>::Device {
        self.inner.device()
    }

    fn build(&self, p: &Params<'_, O::Tensor>) -> std::result::Result<O::Model, ModelError> {
        self.inner.build(p)
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn fingerprint(&self) -> String {
        self.inner.fingerprint()
    }

    fn parts(&self) -> Vec<&'static str> {
        self.inner.parts()
    }

    fn phase(&self, fraction: f64) -> usize {
        self.inner.phase(fraction)
    }

    fn batch(&self, step: u64, phase: usize) -> Result<Vec<O::Batch>> {
        if step >= self.at { Err(TrainError::Missing("killed".into())) } else { self.inner.batch(step, phase) }
    }

    fn share(&self, leaves: &Leaves<O::Tensor>, model: &O::Model, part: O::Batch) -> Result<Share> {
        self.inner.share(leaves, model, part)
    }

    fn shares(&self, leaves: &Leaves<O::Tensor>, model: &O::Model, parts: Vec<O::Batch>) -> Result<Vec<Share>> {
        self.inner.shares(leaves, model, parts)
    }

    fn sheet(&self, _: &Weights) -> Result<Option<image::RgbImage>> {
        Ok(None)
    }
}

/// The table without the columns that tell the time.
fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| line.split(',').enumerate().filter(|(column, _)| ![1, 3].contains(column)).map(|(_, cell)| cell.to_owned()).collect())
        .collect()
}

/// `2 n` steps straight are, bit for bit, `n` steps, a kill, and `n` steps more.
fn resumes_exactly<O: Objective>(make: impl Fn() -> (O, Vec<Variable>)) {
    let (straight, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let n = 3;
    let train = |out: &Path, resume: bool, kill: Option<u64>| {
        let (objective, variables) = make();
        let mut optimizer = AdamW::new(variables, ADAMW);
        let objective = Killed { inner: &objective, at: kill.unwrap_or(u64::MAX) };
        run(&objective, &mut optimizer, &options(out, 2 * n, resume))
    };
    assert!(train(straight.path(), false, None).unwrap().finished);
    assert!(train(broken.path(), false, Some(n)).is_err());
    assert!(train(broken.path(), false, None).is_err(), "an existing run is not overwritten unasked");
    let outcome = train(broken.path(), true, None).unwrap();
    assert!(outcome.finished);
    assert_eq!(outcome.position.step, 2 * n);

    let (objective, _) = make();
    let file = |folder: &Path, end: &str| folder.join(format!("{}.{end}", objective.name()));
    let load = |folder: &Path| -> Vec<(String, HostTensor)> { state::load(&file(folder, "state.safetensors")).unwrap().0.list };
    let (mut a, mut b) = (load(straight.path()), load(broken.path()));
    a.sort_by(|x, y| x.0.cmp(&y.0));
    b.sort_by(|x, y| x.0.cmp(&y.0));
    assert_eq!(a.len(), b.len());
    for ((name, x), (other, y)) in a.iter().zip(&b) {
        assert_eq!(name, other);
        let bits = |t: &HostTensor| t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(bits(x) == bits(y), "{name} differs");
    }
    assert_eq!(rows(&file(straight.path(), "csv")), rows(&file(broken.path(), "csv")));
}

#[test]
fn vae_resumes_exactly() {
    resumes_exactly(|| vae_objective::<CpuTensor>(&(), Precision::Bf16));
}

#[test]
fn unet_resumes_exactly() {
    resumes_exactly(|| unet_objective::<CpuTensor>(&(), Precision::Bf16));
}

#[test]
fn clip_resumes_exactly() {
    resumes_exactly(|| clip_objective::<CpuTensor>(&(), Precision::Bf16));
}

#[test]
fn another_run_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let train = |seed: u64| {
        let (objective, variables) = VaeObjective::<CpuTensor>::new(&small_vae(), seed, 2, &(), Precision::F32).unwrap();
        let mut optimizer = AdamW::new(variables, ADAMW);
        let objective = Killed { inner: &objective, at: u64::MAX };
        run(&objective, &mut optimizer, &options(folder.path(), 1, true))
    };
    train(1).unwrap();
    assert!(train(2).unwrap_err().to_string().contains("another run"));
}
