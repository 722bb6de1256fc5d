//! The diffusion room against the diffusers library, against closed forms, and against its own invariants.
//!
//! `golden/` was made with diffusers 0.42 and PyTorch 2.15, which keep their schedules in f32; here they are f64. Where that
//! is visible the tolerance says why.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use diffuscope::diffusion::guidance::{Guided, compare};
use diffuscope::diffusion::ideal::{GaussianData, PointData};
use diffuscope::diffusion::objective::{MIN_SNR_GAMMA, min_snr_weight, target};
use diffuscope::diffusion::*;
use diffuscope::host::HostTensor;
use diffuscope::noise::{Stream, gaussian, gaussian_from, rng};
use serde::Deserialize;
use std::ops::ControlFlow;

#[derive(Deserialize)]
struct GoldenSchedules {
    schedules: Vec<GoldenSchedule>,
    spacings: Vec<GoldenSpacing>,
}

#[derive(Deserialize)]
struct GoldenSchedule {
    schedule: String,
    num_train_timesteps: usize,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    #[serde(default)]
    zero_terminal_snr: bool,
    index: Vec<usize>,
    alphas_cumprod: Vec<f64>,
    #[serde(default)]
    beta: Vec<f64>,
    #[serde(default)]
    snr: Vec<f64>,
}

#[derive(Deserialize)]
struct GoldenSpacing {
    timestep_spacing: String,
    steps: usize,
    timesteps: Vec<usize>,
}

#[derive(Deserialize)]
struct GoldenSamplers {
    runs: Vec<GoldenRun>,
}

#[derive(Deserialize)]
struct GoldenRun {
    sampler: String,
    steps: usize,
    #[serde(default)]
    schedule: String,
    beta_start: Option<f64>,
    beta_end: Option<f64>,
    #[serde(default)]
    timestep_spacing: String,
    #[serde(default)]
    karras_sigmas: bool,
    #[serde(default)]
    eta: f64,
    mu: Vec<f32>,
    s: Vec<f32>,
    x_start: Vec<f32>,
    init_noise_sigma: f64,
    noise: Vec<Vec<f32>>,
    trajectory: Vec<GoldenStep>,
}

#[derive(Deserialize)]
struct GoldenStep {
    timestep: f64,
    #[serde(default)]
    alpha_bar: f64,
    x: Vec<f64>,
}

fn golden<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
}

fn build(id: &str, range: Option<(f64, f64)>, num_train: usize) -> NoiseSchedule {
    let info = ScheduleInfo::find(if id == "cosine" { "squaredcos_cap_v2" } else { id }).unwrap();
    info.build(&range.map_or_else(Vec::new, |(first, last)| vec![first, last]), num_train).unwrap()
}

fn relative(got: f64, expected: f64) -> f64 {
    (got - expected).abs() / expected.abs().max(f64::MIN_POSITIVE)
}

fn vector(values: &[f32]) -> HostTensor {
    HostTensor::new([1, values.len()], values.to_vec()).unwrap()
}

fn no_noise(_: &[usize]) -> HostTensor {
    panic!("this sampler draws no noise")
}

fn go_on(_: &Step<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn schedules_agree_with_diffusers() {
    let golden: GoldenSchedules = golden("schedules.json");
    assert!(golden.schedules.len() >= 9);
    for case in golden.schedules {
        let mut schedule = build(&case.schedule, case.beta_start.zip(case.beta_end), case.num_train_timesteps);
        let name = format!("{} {} zero terminal {}", case.schedule, case.num_train_timesteps, case.zero_terminal_snr);
        if case.zero_terminal_snr {
            schedule = schedule.rescaled_zero_terminal_snr().unwrap();
        }
        for (place, &index) in case.index.iter().enumerate() {
            // In f32 one minus the cosine schedule's largest beta, 0.999, is off by 1.3e-5, and rescaling subtracts
            // neighbouring roots; everything else keeps 1e-5.
            let (got, expected) = (schedule.alphas_cumprod()[index], case.alphas_cumprod[place]);
            let tolerance =
                if case.zero_terminal_snr || (case.schedule == "cosine" && index + 1 == case.num_train_timesteps) { 1e-4 } else { 1e-5 };
            if expected == 0.0 {
                assert_eq!(got, 0.0, "{name}, alpha_bar at {index}");
            } else {
                assert!(relative(got, expected) < tolerance, "{name}, alpha_bar at {index}: {got:e}, not {expected:e}");
            }
            if let Some(&expected) = case.beta.get(place) {
                // Betas come from a difference of cosines near 1, in f64 there too, then rounded.
                let got = schedule.betas()[index];
                assert!(relative(got, expected) < 1e-5, "{name}, beta at {index}: {got:e}, not {expected:e}");
            }
            if let Some(&expected) = case.snr.get(place) {
                // alpha_bar close to 1 in f32 leaves few digits of 1 - alpha_bar.
                let got = schedule.level(index).snr();
                let rounding = 2e-7 / (1.0 - case.alphas_cumprod[place]);
                assert!(relative(got, expected) < tolerance + rounding, "{name}, snr at {index}: {got:e}, not {expected:e}");
            }
        }
    }
}

#[test]
fn spacings_agree_with_diffusers() {
    let golden: GoldenSchedules = golden("schedules.json");
    assert!(golden.spacings.len() >= 9);
    for case in golden.spacings {
        let spacing = TimestepSpacing::from_id(&case.timestep_spacing).unwrap();
        assert_eq!(spacing.timesteps(1000, case.steps, 0).unwrap(), case.timesteps, "{} {}", case.timestep_spacing, case.steps);
    }
    assert_eq!(TimestepSpacing::Leading.timesteps(1000, 4, 1).unwrap(), [751, 501, 251, 1]);
}

/// The clean sample as diffusers' DDIM and DDPM arrive at it: by way of the noise, with coefficients in f32. The result is
/// `a x + b x0` for the exact `x0`; at the cosine schedule's noisiest level, where 1 / alpha is 20,000, `sqrt(1 - alpha_bar)`
/// rounds to 1 and this differs from `x0` by some 2e-5. Returns `(a, b)`.
fn reference_rounding(level: Level) -> (f64, f64) {
    let alpha_bar = level.alpha_bar() as f32;
    let (alpha, sigma) = (f64::from(alpha_bar.sqrt()), f64::from((1.0 - alpha_bar).sqrt()));
    ((1.0 - sigma / level.sigma) / alpha, sigma * level.alpha / (level.sigma * alpha))
}

/// Runs a golden case over the given levels and returns the worst error of any sample relative to the largest value of the
/// reference's sample at that step, and the number of draws.
fn worst_error(case: &GoldenRun, plan: &Plan, rounded: bool) -> (f64, usize) {
    let info = SamplerInfo::find(&case.sampler).unwrap();
    let options = SampleOptions { eta: case.eta, ..SampleOptions::default() };
    let spacing = TimestepSpacing::from_id(&case.timestep_spacing).unwrap();
    let mut exact = GaussianData { mean: vector(&case.mu), std: vector(&case.s) };
    let mut data = |x: &HostTensor, level: Level| {
        let x0 = exact.denoise(x, level)?;
        let (a, b) = if rounded { reference_rounding(level) } else { (0.0, 1.0) };
        Ok(x.lincomb(a, &x0, b))
    };
    let x_start = info.start(spacing, plan, &vector(&case.x_start));
    let (mut drawn, mut worst) = (0, 0.0_f64);
    let mut noise = |shape: &[usize]| {
        drawn += 1;
        HostTensor::new(shape, case.noise[drawn - 1].clone()).unwrap()
    };
    let mut compare = |step: &Step<'_>| {
        let reference = &case.trajectory[step.index];
        assert_eq!((step.count, step.timestep as f32), (case.steps, reference.timestep as f32));
        // A reference in sigma-space is x / alpha.
        let unit = if info.space == SampleSpace::Sigma { step.next_level.alpha } else { 1.0 };
        let size = reference.x.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
        for (&got, &expected) in step.x_next.data().iter().zip(&reference.x) {
            worst = worst.max((f64::from(got) / unit - expected).abs() / size);
        }
        ControlFlow::Continue(())
    };
    let outcome = sample_with(info, &options, &mut data, &plan.visits, plan.last, &x_start, &mut noise, &mut compare).unwrap();
    assert_eq!((outcome.steps, outcome.cancelled), (case.steps, false));
    (worst, drawn)
}

#[test]
fn samplers_agree_with_diffusers_step_by_step() {
    // The first samplers of the table, step by step; all of them are compared evaluation by evaluation by `cli::trace`.
    let golden: GoldenSamplers = golden("samplers.json");
    let judged = |case: &&GoldenRun| ["ddim", "ddpm", "euler"].contains(&case.sampler.as_str()) && !case.karras_sigmas;
    let runs: Vec<&GoldenRun> = golden.runs.iter().filter(judged).collect();
    assert_eq!(runs.len(), 24, "DDIM with two etas, DDPM and Euler, on three schedules, with 5 and 20 steps");
    for case in runs {
        let name = format!("{} {} {} eta {}", case.sampler, case.schedule, case.steps, case.eta);
        let schedule = build(&case.schedule, case.beta_start.zip(case.beta_end), 1000);
        let info = SamplerInfo::find(&case.sampler).unwrap();
        let spacing = TimestepSpacing::from_id(&case.timestep_spacing).unwrap();
        let planned = info.plan(&schedule, spacing, case.steps, 0, true).unwrap();

        // The sampler alone: over the very levels that the reference had, in f32 storage.
        let mut theirs = planned.clone();
        for (visit, step) in theirs.visits.iter_mut().zip(&case.trajectory) {
            assert_eq!(visit.timestep as f32, step.timestep as f32, "{name}");
            visit.level = Level::from_alpha_bar(step.alpha_bar);
        }
        let (error, draws) = worst_error(case, &theirs, info.space == SampleSpace::VariancePreserving);
        // diffusers' Euler casts the sample to f32 and subtracts its sigmas in f32. At the cosine schedule's sigma of 20,291 half a
        // unit in the last place is 1e-3, against samples of size 1 after the step; redone that way the reference comes out to
        // the last digit, and in f64 it is off by what is allowed here.
        let tolerance = if case.schedule == "cosine" && case.sampler == "euler" { 1e-4 } else { 2e-6 };
        assert!(error < tolerance, "{name}: the sampler differs by {error:e}");
        // diffusers also draws where the noise is multiplied by nothing: in the last step.
        assert_eq!(draws, case.noise.len().saturating_sub(1), "{name}");

        // The whole, without imitating any rounding: this project's f64 schedule against the reference's f32 one.
        let (error, _) = worst_error(case, &planned, false);
        let tolerance = if case.schedule == "cosine" { 6e-5 } else { 1e-5 };
        assert!(error < tolerance, "{name}: the run differs by {error:e}");

        if info.space == SampleSpace::Sigma {
            let sigma = planned.visits[0].level.sigma_ratio();
            assert!(relative(sigma, case.init_noise_sigma) < 3e-5, "{name}: starts at sigma {sigma}, not {}", case.init_noise_sigma);
        }
    }
}

#[test]
fn every_schedule_keeps_its_invariants() {
    for info in SCHEDULES {
        for num_train in [1, 2, 10, 100, 1000] {
            let schedule = info.build(&info.defaults(), num_train).unwrap();
            assert_eq!(schedule.len(), num_train);
            assert!(schedule.alphas_cumprod().windows(2).all(|pair| pair[1] < pair[0]), "{}: alpha_bar falls", info.id);
            for timestep in 0..num_train {
                let level = schedule.level(timestep);
                assert!((level.alpha.powi(2) + level.sigma.powi(2) - 1.0).abs() < 1e-12);
                assert_eq!(schedule.timestep_of(level), timestep as f64, "{} {num_train}", info.id);
            }
        }
        for param in info.params {
            assert!(param.min < param.max && (param.min..=param.max).contains(&param.default), "{} {}", info.id, param.id);
        }
        // The ends of every slider give a schedule, alone and together with the other ends.
        for corner in 0..1_usize << info.params.len() {
            let params: Vec<f64> = info.params.iter().zip(0..).map(|(p, bit)| if corner >> bit & 1 == 1 { p.max } else { p.min }).collect();
            info.build(&params, 1000).unwrap_or_else(|error| panic!("{} at {params:?}: {error}", info.id));
        }
        assert!(info.build(&[], 0).is_err());
        assert!(info.build(&[], usize::MAX).is_err());
    }
}

#[test]
fn levels_between_timesteps_are_found_again() {
    for info in SCHEDULES {
        let schedule = info.build(&[], 1000).unwrap();
        for schedule in [schedule.clone(), schedule.rescaled_zero_terminal_snr().unwrap()] {
            for step in 0..4000 {
                let timestep = f64::from(step) * 0.24975;
                let back = schedule.timestep_of(schedule.level_at(timestep));
                assert!((back - timestep).abs() < 2e-6, "{}: {timestep} came back as {back}", info.id);
            }
            assert_eq!(schedule.level_at(-5.0), schedule.level(0));
            assert_eq!(schedule.level_at(1e9), schedule.level(999));
            assert!(schedule.level_at(f64::NAN).alpha.is_nan() && schedule.timestep_of(schedule.level_at(f64::NAN)).is_nan());
            assert_eq!(schedule.timestep_of(Level::CLEAN), 0.0);
            assert_eq!(schedule.timestep_of(Level { alpha: 0.0, sigma: 1.0 }), 999.0);
        }
    }
}

#[test]
fn zero_terminal_snr_keeps_the_first_level_and_empties_the_last() {
    let schedule = build("linear", None, 1000);
    let rescaled = schedule.rescaled_zero_terminal_snr().unwrap();
    assert!(relative(rescaled.alphas_cumprod()[0], schedule.alphas_cumprod()[0]) < 1e-12);
    assert_eq!(rescaled.alphas_cumprod()[999], 0.0);
    assert_eq!(rescaled.betas()[999], 1.0);
    assert!(build("linear", None, 1).rescaled_zero_terminal_snr().is_err());
    let again = NoiseSchedule::from_betas(rescaled.betas()).unwrap();
    assert!(again.alphas_cumprod().iter().zip(rescaled.alphas_cumprod()).all(|(a, b)| (a - b).abs() < 1e-12));
}

#[test]
fn trained_betas_are_checked() {
    assert_eq!(NoiseSchedule::from_betas(vec![0.5, 0.5]).unwrap().alphas_cumprod(), [0.5, 0.25]);
    for bad in
        [vec![], vec![0.1, 0.0], vec![-0.1], vec![1.0, 0.5], vec![f64::NAN], vec![0.1, f64::INFINITY], vec![1e-30], vec![0.9999; 1000]]
    {
        assert!(NoiseSchedule::from_betas(bad).is_err());
    }
    assert!(NoiseSchedule::from_alphas_cumprod(vec![0.9, 0.95]).is_err());
}

/// Variance-preserving and flow levels, none at an end.
fn levels() -> Vec<Level> {
    let preserving = [0.9999, 0.9, 0.5, 0.1, 1e-3].map(Level::from_alpha_bar);
    let flow = [0.01, 0.3, 0.99].map(|time| Level { alpha: 1.0 - time, sigma: time });
    preserving.into_iter().chain(flow).collect()
}

#[test]
fn predictions_convert_into_each_other_and_back() {
    let (x0, eps) = (gaussian(1, Stream::Start, [2, 3, 5]), gaussian(2, Stream::Start, [2, 3, 5]));
    let close = |a: &HostTensor, b: &HostTensor, tolerance: f64| a.lincomb(1.0, b, -1.0).norm() <= tolerance * b.norm();
    for level in levels() {
        let x = level.add_noise(&x0, &eps);
        for kind in PredictionType::ALL {
            let answer = target(kind, &x0, &eps, level);
            // f32 storage: an error of 1e-7 grows by sigma / alpha on the way to x0 and by alpha / sigma on the way to eps.
            let tolerance = 1e-6 * (1.0 + level.sigma_ratio() + level.sigma_ratio().recip());
            assert!(close(&kind.to_x0(&x, &answer, level), &x0, tolerance), "{kind:?} to x0 at {level:?}");
            assert!(close(&kind.to_eps(&x, &answer, level), &eps, tolerance), "{kind:?} to eps at {level:?}");
            assert!(close(&kind.from_x0(&x, &x0, level), &answer, tolerance), "{kind:?} from x0 at {level:?}");
            for other in PredictionType::ALL {
                let (there, expected) = (kind.convert(other, &x, &answer, level), target(other, &x0, &eps, level));
                assert!(close(&there, &expected, 4.0 * tolerance), "{kind:?} to {other:?} at {level:?}");
                // An error of the one becomes an error of the other, that much larger.
                let off = kind.convert(other, &x, &answer.map(|v| v + 0.5), level).lincomb(1.0, &there, -1.0);
                let expected = kind.sensitivity(other, level) * 0.5 * (off.len() as f64).sqrt();
                assert!(relative(off.norm(), expected) < 1e-3, "{kind:?} to {other:?} at {level:?}: {} and {expected}", off.norm());
            }
            assert_eq!(PredictionType::from_id(kind.id()), Some(kind));
            assert!(!kind.label().is_empty());
        }
    }
}

#[test]
fn guidance_of_any_prediction_is_guidance_of_the_clean_sample() {
    let (x, uncond, cond) = (gaussian(1, Stream::Start, [8]), gaussian(2, Stream::Start, [8]), gaussian(3, Stream::Start, [8]));
    assert_eq!(guide(&uncond, &cond, 0.0), uncond);
    assert_eq!(guide(&uncond, &cond, 1.0), cond);
    for level in levels() {
        for kind in PredictionType::ALL {
            let late = kind.to_x0(&x, &guide(&uncond, &cond, 7.5), level);
            let early = guide(&kind.to_x0(&x, &uncond, level), &kind.to_x0(&x, &cond, level), 7.5);
            assert!(late.lincomb(1.0, &early, -1.0).norm() < 1e-5 * early.norm(), "{kind:?} at {level:?}");
        }
    }
    let (a, b) = (vector(&[1.0, 0.0]), vector(&[0.0, 2.0]));
    let seen = compare(&a, &b);
    assert!((seen.angle_degrees - 90.0).abs() < 1e-9 && (seen.norm_difference - 5.0_f64.sqrt()).abs() < 1e-6);
    let mut guided = Guided {
        uncond: |x: &HostTensor, _: Level| Ok(x.map(|_| 1.0)),
        cond: |x: &HostTensor, _: Level| Ok(x.map(|_| 2.0)),
        guidance_scale: 3.0,
    };
    assert_eq!(guided.denoise(&a, Level::CLEAN).unwrap(), vector(&[4.0, 4.0]));
}

#[test]
fn min_snr_weights_agree_with_the_paper() {
    for level in levels().into_iter().take(5) {
        let (snr, capped) = (level.snr(), level.snr().min(MIN_SNR_GAMMA));
        let weight = |kind| min_snr_weight(kind, level, MIN_SNR_GAMMA);
        assert!(relative(weight(PredictionType::Epsilon), capped / snr) < 1e-9);
        assert!(relative(weight(PredictionType::VPrediction), capped / (snr + 1.0)) < 1e-9);
        assert!(relative(weight(PredictionType::Sample), capped) < 1e-9);
    }
    for kind in PredictionType::ALL {
        for level in [Level::CLEAN, Level { alpha: 0.0, sigma: 1.0 }] {
            let weight = min_snr_weight(kind, level, MIN_SNR_GAMMA);
            assert!(weight.is_finite() && weight >= 0.0, "{kind:?} at {level:?}: {weight}");
        }
    }
    assert_eq!(min_snr_weight(PredictionType::Epsilon, Level { alpha: 0.0, sigma: 1.0 }, MIN_SNR_GAMMA), 1.0);
}

#[test]
fn the_true_noise_recovers_the_sample_at_once() {
    let (x0, eps) = (gaussian(1, Stream::World, [1, 4, 4, 4]), gaussian(1, Stream::Forward, [1, 4, 4, 4]));
    let schedule = build("scaled_linear", None, 1000);
    for info in SAMPLERS {
        let plan = info.plan(&schedule, TimestepSpacing::Trailing, 10, 0, true).unwrap();
        let first = plan.visits[0].level;
        let mut knowing = |x: &HostTensor, level: Level| Ok(PredictionType::Epsilon.to_x0(x, &eps, level));
        let mut noise = |shape: &[usize]| HostTensor::full(shape, 0.0);
        let x = first.add_noise(&x0, &eps);
        let mut first_x0 = None;
        let mut on_step = |step: &Step<'_>| {
            first_x0.get_or_insert_with(|| step.x0.clone());
            ControlFlow::Continue(())
        };
        let end = sample(info, &mut knowing, &plan.visits, plan.last, &x, &mut noise, &mut on_step).unwrap().x;
        // sigma / alpha is 15 at the start, and f32 storage carries that much more of its rounding into x0.
        assert!(first_x0.unwrap().lincomb(1.0, &x0, -1.0).norm() < 1e-5 * x0.norm(), "{}", info.id);
        if !info.stochastic {
            assert!(end.lincomb(1.0, &x0, -1.0).norm() < 1e-5 * x0.norm(), "{}", info.id);
        }
    }
}

#[test]
fn point_data_ends_at_its_points() {
    let points = vec![vector(&[1.0, 0.0]), vector(&[-1.0, 0.5]), vector(&[0.0, -1.0])];
    let mut data = PointData::new(points.clone()).unwrap();
    let schedule = build("squaredcos_cap_v2", None, 1000);
    for info in SAMPLERS {
        for seed in 0..8 {
            let plan = info.plan(&schedule, TimestepSpacing::Leading, 50, 0, true).unwrap();
            let x = gaussian(seed, Stream::Start, [1, 2]);
            let mut draws = rng(seed, Stream::Steps);
            let mut noise = |shape: &[usize]| gaussian_from(&mut draws, shape);
            let end = sample(info, &mut data, &plan.visits, plan.last, &x, &mut noise, &mut go_on).unwrap().x;
            let nearest = points.iter().map(|point| end.lincomb(1.0, point, -1.0).norm()).fold(f64::INFINITY, f64::min);
            // A jump from timestep 0 is the sample itself, by its boundary condition, with the noise that it has there.
            let tolerance = if info.supports.any_denoiser { 1e-3 } else { 4.0 * schedule.level(0).sigma };
            assert!(nearest < tolerance, "{} with seed {seed} ends {nearest} away from every point", info.id);
        }
    }
    let posterior = data.posterior(&vector(&[0.9, 0.1]), Level::CLEAN);
    assert_eq!(posterior, [1.0, 0.0, 0.0]);
    assert!(PointData::new(vec![]).is_err());
    assert!(PointData::new(vec![vector(&[1.0]), vector(&[1.0, 2.0])]).is_err());
}

#[test]
fn fresh_noise_is_drawn_only_where_it_is_used() {
    let mut data = GaussianData { mean: vector(&[0.0]), std: vector(&[1.0]) };
    let schedule = build("linear", None, 1000);
    for (id, eta, to_one, expected) in
        [("ddim", 0.0, true, 0), ("ddim", 0.3, true, 9), ("ddim", 0.3, false, 9), ("ddpm", 0.0, false, 9), ("euler", 0.0, true, 0)]
    {
        let info = SamplerInfo::find(id).unwrap();
        let plan = info.plan(&schedule, TimestepSpacing::Trailing, 10, 0, to_one).unwrap();
        let mut draws = 0;
        let mut noise = |shape: &[usize]| {
            draws += 1;
            HostTensor::full(shape, 0.1)
        };
        let options = SampleOptions { eta, ..SampleOptions::default() };
        sample_with(info, &options, &mut data, &plan.visits, plan.last, &vector(&[0.3]), &mut noise, &mut go_on).unwrap();
        let last_draws = usize::from(!to_one && id == "ddim");
        assert_eq!(draws, expected + last_draws, "{id} eta {eta}");
    }
}

#[test]
fn a_run_can_be_broken_off_after_any_step() {
    let mut data = GaussianData { mean: vector(&[0.0]), std: vector(&[1.0]) };
    let schedule = build("linear", None, 1000);
    for info in SAMPLERS {
        let plan = info.plan(&schedule, TimestepSpacing::Leading, 5, 0, true).unwrap();
        for stop in 0..5 {
            let mut heard = Vec::new();
            let mut on_step = |step: &Step<'_>| {
                heard.push(step.x_next.clone());
                if step.index == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let mut noise = |shape: &[usize]| HostTensor::full(shape, 0.1);
            let outcome = sample(info, &mut data, &plan.visits, plan.last, &vector(&[0.3]), &mut noise, &mut on_step).unwrap();
            assert_eq!((outcome.steps, outcome.cancelled), (stop + 1, stop < 4), "{}", info.id);
            assert_eq!(Some(&outcome.x), heard.last());
        }
    }
}

#[test]
fn what_goes_wrong_is_named_with_its_step() {
    let schedule = build("linear", None, 1000);
    let x = vector(&[0.3, 0.1]);
    for info in SAMPLERS {
        let plan = info.plan(&schedule, TimestepSpacing::Leading, 5, 0, true).unwrap();
        let run = |denoise: &mut dyn Denoise, visits: &[Visit], x: &HostTensor| {
            let mut noise = |shape: &[usize]| HostTensor::full(shape, 0.1);
            sample(info, denoise, visits, plan.last, x, &mut noise, &mut go_on).map(|_| ()).unwrap_err().to_string()
        };
        let mut calls = 0;
        let mut nan = |x: &HostTensor, _: Level| {
            calls += 1;
            Ok(if calls == 1 + 2 * info.evaluations_per_step { x.map(|_| f32::NAN) } else { x.clone() })
        };
        let message = run(&mut nan, &plan.visits, &x);
        assert!(message.contains(&format!("step 3 of 5 (timestep {})", plan.visits[2].timestep)) && message.contains("NaN"), "{message}");

        let message = run(&mut |_: &HostTensor, _: Level| Err("the device is gone".into()), &plan.visits, &x);
        assert!(message.contains(&format!("step 1 of 5 (timestep {}): the device is gone", plan.visits[0].timestep)), "{message}");

        let message = run(&mut |_: &HostTensor, _: Level| Ok(vector(&[1.0])), &plan.visits, &x);
        assert!(message.contains("[1, 1]") && message.contains("[1, 2]"), "{message}");

        let mut same = |x: &HostTensor, _: Level| Ok(x.clone());
        assert!(run(&mut same, &[], &x).contains("no step"));
        assert!(run(&mut same, &plan.visits, &vector(&[f32::INFINITY, 0.0])).contains("starting sample"));
        let reversed: Vec<Visit> = plan.visits.iter().rev().copied().collect();
        assert!(run(&mut same, &reversed, &x).contains("cleaner"));
        let clean = [Visit { timestep: 0.0, level: Level::CLEAN }];
        assert!(run(&mut same, &clean, &x).contains("holds noise"));
    }
    let plan = plan(&schedule, TimestepSpacing::Leading, 5, 0, true).unwrap();
    let mut same = |x: &HostTensor, _: Level| Ok(x.clone());
    let options = SampleOptions { eta: 1.5, ..SampleOptions::default() };
    let outcome = sample_with(&SAMPLERS[0], &options, &mut same, &plan.visits, plan.last, &x, &mut no_noise, &mut go_on);
    assert!(outcome.unwrap_err().to_string().contains("eta is 1.5"));
}

#[test]
fn impossible_plans_are_refused() {
    let schedule = build("linear", None, 1000);
    for info in SAMPLERS {
        for spacing in TimestepSpacing::ALL {
            for steps in [0, 1001, usize::MAX] {
                let message = info.plan(&schedule, spacing, steps, 0, true).unwrap_err().to_string();
                assert!(message.contains("between 1 and 1000"), "{message}");
            }
            for steps in [1, 2, 3, 7, 49, 333, 999, 1000] {
                let plan = info.plan(&schedule, spacing, steps, 0, true).unwrap();
                assert_eq!(plan.visits.len(), steps);
                assert!(plan.visits.windows(2).all(|pair| pair[1].timestep < pair[0].timestep));
                assert!(plan.visits.iter().all(|visit| (0.0..1000.0).contains(&visit.timestep)));
                assert!(plan.visits.iter().all(|visit| plan.timestep_of(visit.level) == Some(visit.timestep)));
            }
        }
        assert!(info.plan(&schedule, TimestepSpacing::Leading, 1000, 1, true).is_err());
        assert!(info.plan(&schedule, TimestepSpacing::Leading, 10, usize::MAX, true).is_err());
    }
}

#[test]
fn a_restoration_starts_at_its_own_timestep() {
    let schedule = build("squaredcos_cap_v2", None, 1000);
    let whole = plan(&schedule, TimestepSpacing::Leading, 10, 0, true).unwrap();
    let rest = whole.starting_at(&schedule, 450).unwrap();
    assert_eq!(rest.visits.iter().map(|visit| visit.timestep).collect::<Vec<_>>(), [450.0, 400.0, 300.0, 200.0, 100.0, 0.0]);
    assert_eq!(rest.visits[0].level, schedule.level(450));
    assert_eq!(whole.starting_at(&schedule, 300).unwrap().visits, whole.visits[6..]);
    assert!(whole.starting_at(&schedule, 1000).is_err());
}

#[test]
fn zero_terminal_snr_can_be_sampled_with_a_velocity() {
    let schedule = build("scaled_linear", None, 1000).rescaled_zero_terminal_snr().unwrap();
    for info in SAMPLERS {
        let plan = info.plan(&schedule, TimestepSpacing::Trailing, 20, 0, true).unwrap();
        let mut data = GaussianData { mean: vector(&[0.5, -0.2]), std: vector(&[0.1, 0.2]) };
        let mut noise = |shape: &[usize]| HostTensor::full(shape, 0.1);
        let x = info.start(TimestepSpacing::Trailing, &plan, &vector(&[1.0, -1.0]));
        let end = sample(info, &mut data, &plan.visits, plan.last, &x, &mut noise, &mut go_on).unwrap().x;
        assert!(end.is_finite(), "{}", info.id);

        // An epsilon prediction says nothing there, and that is an error with a name, not a picture.
        let mut eps = |x: &HostTensor, level: Level| Ok(PredictionType::Epsilon.to_x0(x, &x.map(|v| 0.9 * v), level));
        let outcome = sample(info, &mut eps, &plan.visits, plan.last, &x, &mut noise, &mut go_on);
        if info.space == SampleSpace::VariancePreserving {
            assert!(outcome.unwrap_err().to_string().contains("step 1 of 20 (timestep 999)"), "{}", info.id);
        }
    }
}

#[test]
fn clipping_bounds_the_predicted_sample() {
    let schedule = build("linear", None, 1000);
    let plan = plan(&schedule, TimestepSpacing::Leading, 10, 0, true).unwrap();
    let options = SampleOptions { clip_sample_range: Some(1.0), ..SampleOptions::default() };
    for id in ["ddim", "ddpm"] {
        let mut far = |x: &HostTensor, _: Level| Ok(x.map(|_| 7.0));
        let mut noise = |shape: &[usize]| HostTensor::full(shape, 0.1);
        let info = SamplerInfo::find(id).unwrap();
        let end = sample_with(info, &options, &mut far, &plan.visits, plan.last, &vector(&[0.3]), &mut noise, &mut go_on).unwrap().x;
        assert_eq!(end, vector(&[1.0]), "{id}");
    }
}

#[test]
fn tables_have_unique_ids_and_find_them() {
    for info in SCHEDULES {
        assert_eq!(ScheduleInfo::find(info.id).map(|found| found.label), Some(info.label));
        assert!(!info.paper.is_empty() && !info.formula.is_empty());
        assert_eq!(SCHEDULES.iter().filter(|other| other.id == info.id).count(), 1);
    }
    for info in SAMPLERS {
        assert_eq!(SamplerInfo::find(info.id), Some(info));
        assert!(!info.paper.is_empty() && !info.label.is_empty());
        assert_eq!(SAMPLERS.iter().filter(|other| other.id == info.id).count(), 1);
    }
}

#[test]
fn scheduler_configurations_are_read_and_written() {
    let read = |json: &str| SchedulerConfig::from_json(json.as_bytes());
    // Stable Diffusion 1.5 as it is published.
    let config = read(
        r#"{"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1,
            "trained_betas": null, "clip_sample": false}"#,
    )
    .unwrap();
    assert_eq!((config.steps_offset, config.set_alpha_to_one, config.prediction), (1, false, PredictionType::Epsilon));
    assert_eq!(config.schedule().unwrap(), build("scaled_linear", None, 1000));
    assert_eq!(config.spacing_for(SamplerInfo::find("ddim").unwrap()), TimestepSpacing::Leading);
    assert_eq!(config.spacing_for(SamplerInfo::find("euler").unwrap()), TimestepSpacing::Linspace);
    let plan = SAMPLERS[0].plan(&config.schedule().unwrap(), TimestepSpacing::Leading, 20, 1, config.set_alpha_to_one).unwrap();
    assert_eq!((plan.visits[0].timestep, plan.visits[19].timestep), (951.0, 1.0));
    assert_eq!(plan.last, config.schedule().unwrap().level(0));

    // Stable Diffusion 2.1.
    let config = read(r#"{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "prediction_type": "v_prediction", "rescale_betas_zero_snr": true, "timestep_spacing": "trailing"}"#).unwrap();
    assert_eq!(config.prediction, PredictionType::VPrediction);
    assert_eq!(config.schedule().unwrap().alphas_cumprod()[999], 0.0);

    let trained = read(r#"{"trained_betas": [0.1, 0.2, 0.3]}"#).unwrap();
    assert_eq!((trained.num_train_timesteps, trained.schedule().unwrap().betas()), (3, &[0.1, 0.2, 0.3][..]));

    for config in [SchedulerConfig::default(), config, trained] {
        assert_eq!(read(&config.to_json()).unwrap(), config);
    }
}

#[test]
fn bad_scheduler_configurations_are_refused_by_name() {
    for (json, named) in [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        (r#"{"num_train_timesteps": -1}"#, "cannot be read"),
        (r#"{"beta_start": "small"}"#, "cannot be read"),
        (r#"{"beta_schedule": "laplace"}"#, "laplace"),
        (r#"{"prediction_type": "noise"}"#, "noise"),
        (r#"{"prediction_type": "flow_prediction"}"#, "flow_prediction"),
        (r#"{"timestep_spacing": "karras"}"#, "karras"),
        (r#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#, "FlowMatch"),
        (r#"{"use_karras_sigmas": true}"#, "use_karras_sigmas"),
        (r#"{"thresholding": true}"#, "thresholding"),
        (r#"{"variance_type": "learned_range"}"#, "learned_range"),
        (r#"{"num_train_timesteps": 0}"#, "0 training timesteps"),
        (r#"{"num_train_timesteps": 18446744073709551615}"#, "training timesteps"),
        (r#"{"beta_start": -0.1}"#, "beta at timestep 0"),
        (r#"{"beta_end": 2.0}"#, "beta at timestep"),
        (r#"{"beta_schedule": "scaled_linear", "beta_start": -1.0}"#, "beta at timestep 0"),
        (r#"{"trained_betas": [0.1], "num_train_timesteps": 1000}"#, "trained_betas lists 1"),
        (r#"{"trained_betas": []}"#, "0 training timesteps"),
        (r#"{"steps_offset": 1000}"#, "steps_offset"),
        (r#"{"clip_sample": true, "clip_sample_range": 0.0}"#, "clip_sample_range"),
        (r#"{"rescale_betas_zero_snr": true}"#, "v_prediction"),
    ] {
        let message = SchedulerConfig::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(message.contains(named), "{json}: {message}");
    }
}
