//! No gradient is severed, and a killed run goes on as if nothing had happened.

#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use diffuscope::compute::Precision;
use diffuscope::compute::Tensor as _;
use diffuscope::host::HostTensor;
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
use diffuscope::train::runner::{Evaluated, Loss, Objective, RunOptions, StopFlag, run};
use diffuscope::train::unet::{Frozen, UnetObjective};
use diffuscope::train::vae::VaeObjective;
use diffuscope::train::vars::{VarStore, Weights};
use diffuscope::train::{Result, TrainError, state};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

const DEVICE: Device = Device::Cpu;

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

fn vae_objective(precision: Precision) -> (VaeObjective, VarStore) {
    VaeObjective::new(&small_vae(), 3, 4, &DEVICE, precision).unwrap()
}

fn unet_objective(precision: Precision) -> (UnetObjective, VarStore) {
    let tokenizer = small_tokenizer();
    let text = ClipTextConfig { hidden_size: 16, intermediate_size: 32, ..ClipTextConfig::littleworld(tokenizer.vocab_size()) };
    let store = Mutex::new(VarStore::new(1, &DEVICE));
    let text = ClipTextModel::new(&text, &Params::root(&store)).unwrap();
    let store = Mutex::new(VarStore::new(2, &DEVICE));
    let vae = AutoencoderKl::new(&small_vae(), &Params::root(&store)).unwrap();
    let latents = gaussian(5, Stream::Eval, [12, 4, 16, 16]);
    let frozen = Frozen { tokenizer, text, vae, latents, first_scene: 0 };
    UnetObjective::new(&small_unet(), frozen, 3, 4, &DEVICE, precision, StopFlag::default()).unwrap()
}

/// Every variable of `store` gets a finite gradient that is not zero.
///
/// Some layers start at zero by design, which blocks what lies before them until the first update; so all variables are moved a
/// little first. The bias of attention keys adds the same to all scores of a query, which the softmax takes out again: its
/// gradient is zero by mathematics, and rounding alone is left of it.
fn every_variable_has_a_gradient<O: Objective>(objective: &O, store: VarStore) {
    let vars = store.into_vars();
    for (index, named) in vars.iter().enumerate() {
        let noise = gaussian(index as u64, Stream::Init, named.var.dims());
        let moved = named.var.as_tensor().to_host().unwrap().lincomb(1.0, &noise, 0.05);
        named.var.set(&Tensor::from_host(&moved, &DEVICE).unwrap()).unwrap();
    }
    let evaluated = objective.evaluate(objective.batch(0, 0).unwrap()).unwrap();
    let mut largest = 0.0_f64;
    let mut norms = Vec::new();
    for named in &vars {
        let norm: f64 = evaluated
            .gradients
            .iter()
            .map(|store| {
                let gradient = store.get(named.var.as_tensor()).unwrap_or_else(|| panic!("{}: no gradient", named.path));
                let gradient = gradient.to_host().unwrap();
                assert_eq!(gradient.shape(), named.var.dims(), "{}", named.path);
                assert!(gradient.is_finite(), "{}: not finite", named.path);
                gradient.norm()
            })
            .sum();
        largest = largest.max(norm);
        norms.push((named.path.clone(), norm));
    }
    assert!(norms.len() > 10 && largest > 0.0);
    for (path, norm) in norms {
        if path.ends_with("k_proj.bias") || path.ends_with("to_k.bias") {
            assert!(norm < 1e-3 * largest, "{path}: {norm}");
        } else {
            assert!(norm > 1e-7 * largest, "{path}: {norm} where the largest is {largest}");
        }
    }
}

#[test]
fn vae_gradients() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (objective, store) = vae_objective(precision);
        every_variable_has_a_gradient(&objective, store);
    }
}

#[test]
fn unet_gradients() {
    for precision in [Precision::F32, Precision::Bf16] {
        let (objective, store) = unet_objective(precision);
        every_variable_has_a_gradient(&objective, store);
    }
}

#[test]
fn clip_gradients() {
    let (objective, store) = ClipObjective::new(small_tokenizer(), 3, 6, &DEVICE, Precision::F32).unwrap();
    every_variable_has_a_gradient(&objective, store);
}

#[test]
fn judge_gradients() {
    let (objective, store) = JudgeObjective::new(None, 3, 6, &DEVICE, Precision::F32).unwrap();
    every_variable_has_a_gradient(&objective, store);
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
    type Batch = O::Batch;

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

    fn loss(&self, part: O::Batch) -> Result<Loss> {
        self.inner.loss(part)
    }

    fn evaluate(&self, parts: Vec<O::Batch>) -> Result<Evaluated> {
        self.inner.evaluate(parts)
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
fn resumes_exactly<O: Objective>(make: impl Fn() -> (O, VarStore)) {
    let (straight, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let n = 3;
    let train = |out: &Path, resume: bool, kill: Option<u64>| {
        let (objective, store) = make();
        let mut optimizer = AdamW::new(store.into_vars(), ADAMW).unwrap();
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
    let load = |folder: &Path| -> Vec<(String, HostTensor)> { state::load(&file(folder, "state.safetensors"), &DEVICE).unwrap().0.list };
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
    resumes_exactly(|| vae_objective(Precision::Bf16));
}

#[test]
fn unet_resumes_exactly() {
    resumes_exactly(|| unet_objective(Precision::Bf16));
}

#[test]
fn clip_resumes_exactly() {
    resumes_exactly(|| ClipObjective::new(small_tokenizer(), 3, 6, &DEVICE, Precision::Bf16).unwrap());
}

#[test]
fn another_run_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let train = |seed: u64| {
        let (objective, store) = VaeObjective::new(&small_vae(), seed, 2, &DEVICE, Precision::F32).unwrap();
        let mut optimizer = AdamW::new(store.into_vars(), ADAMW).unwrap();
        let objective = Killed { inner: &objective, at: u64::MAX };
        run(&objective, &mut optimizer, &options(folder.path(), 1, true))
    };
    train(1).unwrap();
    assert!(train(2).unwrap_err().to_string().contains("another run"));
}
