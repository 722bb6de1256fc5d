//! Traces against what the diffusers library computed, and what is said of files that cannot be traced.
//!
//! `tests/golden/` was made with diffusers 0.42 and PyTorch 2.15: whole runs with the exact denoiser of Gaussian data, two elements each.
//! That library computes its schedules and much of a step in f32. The schedule's part of it is repeated here
//! ([`NoiseSchedule::in_single_precision`](crate::diffusion::NoiseSchedule::in_single_precision)). The rest is bounded: a coefficient or
//! a sample rounded to f32 is off by 2^-24 of itself, so the clean sample `(x - sigma eps) / alpha` is by `2^-24 |x| / alpha`, and how far
//! that carries the rest of the run is measured with the sampler itself, one evaluation after the other. It is much with the cosine
//! schedule alone, whose noisiest level has 1 / alpha = 20,000.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::runs::Run;
use super::{Precision, runs, schedules};
use crate::diffusion::ideal::GaussianData;
use crate::diffusion::{Denoise, DenoiseError, Level};
use crate::host::HostTensor;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is allowed beside the rounding of the reference, relative to the largest value of its sample.
const TOLERANCE: f64 = 1e-5;

fn golden(name: &str) -> Value {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn without(list: &Value, names: &[&str]) -> Value {
    let mut list = list.clone();
    for value in list.as_array_mut().unwrap() {
        value.as_object_mut().unwrap().retain(|name, _| !names.contains(&name.as_str()));
    }
    list
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn size(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |size, value| size.max(value.abs()))
}

/// The largest difference of any element.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

/// The exact denoiser, off by the rounding of the reference at one evaluation.
struct Kicked {
    data: GaussianData,
    asked: usize,
    kicked: usize,
}

impl Denoise for Kicked {
    fn denoise(&mut self, x: &HostTensor, level: Level) -> Result<HostTensor, DenoiseError> {
        let x0 = self.data.denoise(x, level)?;
        self.asked += 1;
        let rounding = (-24.0_f64).exp2() / level.alpha;
        Ok(if self.asked == self.kicked + 1 { x0.zip(x, |x0, x| x0 + (rounding * f64::from(x.abs())) as f32) } else { x0 })
    }
}

/// How far the rounding of the reference carries each sample of a run.
fn rounding(run: &Run) -> Vec<f64> {
    let exact = run.evaluations(&mut run.data.clone()).unwrap();
    let mut carried = vec![0.0; exact.len()];
    for kicked in 0..exact.len() {
        let other = run.evaluations(&mut Kicked { data: run.data.clone(), asked: 0, kicked }).unwrap();
        exact.iter().zip(&other).zip(&mut carried).for_each(|((a, b), carried)| *carried += apart(&a.x, &b.x));
    }
    carried
}

#[test]
fn runs_are_those_of_diffusers() {
    let golden = golden("samplers.json");
    let asked = without(&golden["runs"], &["trajectory"]);
    let mut worst: BTreeMap<String, [f64; 3]> = BTreeMap::new();
    let mut double = json!({ "runs": asked });
    runs::fill(&mut double, Precision::Double).unwrap();
    let mut single = json!({ "runs": asked });
    runs::fill(&mut single, Precision::Single).unwrap();
    assert_eq!(golden["runs"].as_array().unwrap().len(), 58);
    for (index, reference) in golden["runs"].as_array().unwrap().iter().enumerate() {
        let run = Run::read(reference, index, Precision::Single).unwrap();
        let is_flow = reference["space"] == "flow";
        let theirs = reference["trajectory"].as_array().unwrap();
        let carried = if is_flow { vec![0.0; theirs.len()] } else { rounding(&run) };
        let karras = if reference["karras_sigmas"] == true { " with Karras levels" } else { "" };
        let name = format!("{}{karras}, {}", run.sampler.id, reference["schedule"].as_str().unwrap_or("flow"));
        let ours = |of: &Value| of["runs"][index]["trajectory"].as_array().unwrap().clone();
        let (single, double) = (ours(&single), ours(&double));
        assert_eq!(single.len(), theirs.len(), "{name}");
        for (step, reference) in theirs.iter().enumerate() {
            let at = format!("{name}, {} steps, evaluation {step}", theirs.len());
            let (x, ours) = (numbers(&reference["x"]), &single[step]);
            let error = apart(&numbers(&ours["x"]), &x);
            assert!(error < TOLERANCE * size(&x) + 2.0 * carried[step], "{at}: off by {error:e}, rounding by {:e}", carried[step]);
            // Timesteps between whole ones come from f32 logarithms there.
            let timestep = ours["timestep"].as_f64().unwrap() - reference["timestep"].as_f64().unwrap();
            assert!(timestep.abs() < 1e-3, "{at}: timestep off by {timestep}");
            assert_eq!(ours.get("alpha_bar").is_some(), !is_flow);
            if let Some(alpha_bar) = reference["alpha_bar"].as_f64() {
                assert!((ours["alpha_bar"].as_f64().unwrap() / alpha_bar - 1.0).abs() < TOLERANCE, "{at}: alpha_bar");
            }
            let entry = worst.entry(name.clone()).or_default();
            let errors = [apart(&numbers(&double[step]["x"]), &x), error, carried[step]];
            entry.iter_mut().zip(errors).for_each(|(worst, error)| *worst = worst.max(error / size(&x)));
        }
    }
    for (name, [double, single, carried]) in worst {
        println!("{name}: {double:.1e} in double precision, {single:.1e} with the schedule in single, rounding {carried:.1e}");
    }
}

#[test]
fn schedules_and_spacings_are_those_of_diffusers() {
    let golden = golden("schedules.json");
    let outputs = ["beta", "alphas_cumprod", "snr"];
    let mut ours =
        json!({ "schedules": without(&golden["schedules"], &outputs), "spacings": without(&golden["spacings"], &["timesteps"]) });
    schedules::fill(&mut ours, Precision::Single).unwrap();
    assert_eq!(ours["spacings"], golden["spacings"]);
    for (ours, theirs) in ours["schedules"].as_array().unwrap().iter().zip(golden["schedules"].as_array().unwrap()) {
        let alpha_bars = numbers(&theirs["alphas_cumprod"]);
        for output in outputs.iter().filter(|output| theirs.get(*output).is_some()) {
            for ((got, expected), alpha_bar) in numbers(&ours[output]).iter().zip(numbers(&theirs[output])).zip(&alpha_bars) {
                // An alpha_bar near 1 has few digits of 1 - alpha_bar in f32; rescaling subtracts the last root from its neighbours.
                let few_digits = (-24.0_f64).exp2() / (1.0 - alpha_bar).min(alpha_bar.sqrt()).max(f64::MIN_POSITIVE);
                let off = (got - expected).abs();
                assert!(
                    off <= (TOLERANCE + 2.0 * few_digits) * expected.abs(),
                    "{} {output}: {got:e}, not {expected:e}",
                    theirs["schedule"]
                );
            }
        }
    }
}

#[test]
fn what_is_unknown_is_named_with_what_is_known() {
    let run = |fields: Value| {
        let mut run = json!({ "sampler": "ddim", "steps": 4, "schedule": "cosine", "mu": [0.5], "s": [0.2], "x_start": [1.3] });
        for (name, value) in fields.as_object().unwrap() {
            run[name] = value.clone();
        }
        runs::fill(&mut json!({ "runs": [run] }), Precision::Double).unwrap_err().to_string()
    };
    for (fields, named) in [
        (json!({ "sampler": "rk4" }), "run 1: sampler is \"rk4\", which is unknown; known are ddim, ddpm, euler,"),
        (json!({ "schedule": "laplace" }), "schedule is \"laplace\", which is unknown; known are linear, scaled_linear,"),
        (json!({ "timestep_spacing": "even" }), "known are leading, linspace, trailing"),
        (json!({ "prediction_type": "noise" }), "known are epsilon, sample, v_prediction, flow"),
        (json!({ "sampler": "ddpm", "variance_type": "learned" }), "known are fixed_small, fixed_large"),
        (json!({ "sampler": "unipc", "solver_type": "bh3" }), "known are midpoint, heun, bh1, bh2"),
        (json!({ "sampler": "unipc", "solver_type": "heun" }), "run 1 (unipc): UniPC has no solver_type \"heun\"; known are bh2, bh1"),
        (json!({ "sampler": "dpmpp_2m", "solver_order": 3 }), "solver_order is 3, but DPM-Solver++ 2M has the orders 1 and 2"),
        (json!({ "space": "sigma" }), "run 1 (ddim): its samples are in the space variance_preserving, not sigma"),
        (json!({ "temperature": 1.0 }), "the field \"temperature\" is unknown here; known are sampler, steps,"),
        (json!({ "sampler": "euler", "eta": 0.5 }), "the field \"eta\" is unknown here"),
        (json!({ "sampler": "flow_euler" }), "the field \"schedule\" is unknown here"),
        (json!({ "steps": null }), "steps is missing"),
        (json!({ "steps": 2.5 }), "steps is 2.5, but it should be a whole number"),
        (json!({ "steps": 0 }), "between 1 and 1000"),
        (json!({ "x_start": [1.0, 2.0] }), "the same number of values"),
        (json!({ "s": [-1.0] }), "cannot be negative"),
        (json!({ "beta_start": 0.1 }), "the field \"beta_start\" is unknown here"),
        (json!({ "schedule": "linear", "beta_start": -0.1 }), "beta at timestep 0 is -0.1"),
        (json!({ "sampler": "ddpm", "noise": [[0.1]] }), "run 1 (ddpm): it draws noise 3 times, but \"noise\" lists 1"),
        (json!({ "eta": 2.0 }), "eta is 2, but it lies between 0 and 1"),
        (json!({ "init_noise_sigma": 0.0 }), "init_noise_sigma is 0"),
    ] {
        let message = run(fields.clone());
        assert!(message.contains(named), "{fields}: {message}");
    }
    for (mut file, named) in [
        (json!([]), "an object with a list \"runs\""),
        (json!({ "steps": 4 }), "there is no list \"runs\""),
        (json!({ "runs": [3] }), "run 1 is not an object"),
    ] {
        let message = runs::fill(&mut file, Precision::Double).unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
    }
    for (mut file, named) in [
        (json!({}), "neither a list \"schedules\" nor a list \"spacings\""),
        (json!({ "schedules": [{ "schedule": "linear", "index": [1000] }] }), "schedule 1: index 1000 does not exist"),
        (json!({ "schedules": [{ "schedule": "linear" }] }), "index is missing"),
        (json!({ "schedules": [{ "schedule": "linear", "index": [0], "eta": 1 }] }), "the field \"eta\" is unknown here"),
        (json!({ "spacings": [{ "timestep_spacing": "leading", "steps": 5, "steps_offset": 999 }] }), "spacing 1: steps_offset 999"),
    ] {
        let message = schedules::fill(&mut file, Precision::Double).unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
    }
}
