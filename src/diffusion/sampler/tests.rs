//! Every sampler of the table against closed forms: convergence, identities between samplers, marginals.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::*;
use crate::diffusion::ideal::GaussianData;
use crate::diffusion::schedule::ScheduleInfo;
use crate::noise::{Stream, gaussian, gaussian_from, rng};

fn schedule(id: &str) -> NoiseSchedule {
    ScheduleInfo::find(id).unwrap().build(&[], 1000).unwrap()
}

fn vector(values: &[f32]) -> HostTensor {
    HostTensor::new([values.len()], values.to_vec()).unwrap()
}

fn find(id: &str) -> &'static SamplerInfo {
    SamplerInfo::find(id).unwrap()
}

fn go_on(_: &Step<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The end of a run, with noise from a seed.
fn end(info: &SamplerInfo, options: &SampleOptions, data: &mut dyn Denoise, plan: &Plan, x: &HostTensor, seed: u64) -> HostTensor {
    let mut draws = rng(seed, Stream::Steps);
    let mut noise = |shape: &[usize]| gaussian_from(&mut draws, shape);
    sample_with(info, options, data, &plan.visits, plan.last, x, &mut noise, &mut go_on).unwrap().x
}

fn distance(a: &HostTensor, b: &HostTensor) -> f64 {
    a.lincomb(1.0, b, -1.0).norm() / b.norm()
}

/// Where the probability-flow equation takes `x` for Gaussian data: the deviation from the mean scales with the deviation of the
/// noisy data, `sqrt(alpha^2 std^2 + sigma^2)`.
fn exact(data: &GaussianData, x: &HostTensor, from: Level, to: Level) -> HostTensor {
    HostTensor::from_fn(x.shape(), |i| {
        let (mean, std, x) = (f64::from(data.mean.data()[i]), f64::from(data.std.data()[i]), f64::from(x.data()[i]));
        let spread = |level: Level| (level.alpha * std).hypot(level.sigma);
        (to.alpha * mean + spread(to) / spread(from) * (x - from.alpha * mean)) as f32
    })
}

/// A run over levels even in log-SNR between two that both hold noise, so that no step is cut down to first order.
fn smooth_plan(noisy: f64, steps: usize) -> Plan {
    let (noisy, clean) = (Level::from_log_snr(noisy), Level::from_log_snr(3.0));
    let levels = LevelSpacing::LogSnr.levels(noisy, clean, steps + 1).unwrap();
    let visits = levels[..steps].iter().enumerate().map(|(i, level)| Visit { timestep: (steps - i) as f64, level: *level }).collect();
    Plan { visits, last: levels[steps] }
}

/// Errors at the end of runs of these many steps, relative to the closed form, and the order that each doubling shows.
fn orders(info: &SamplerInfo, options: &SampleOptions, noisy: f64, steps: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let data = GaussianData { mean: vector(&[0.5, -0.25, 0.0, 0.8]), std: vector(&[0.5, 0.3, 1.5, 0.2]) };
    let x = gaussian(5, Stream::Start, [4]);
    let error = |steps: &usize| {
        let plan = smooth_plan(noisy, *steps);
        let reference = exact(&data, &x, plan.visits[0].level, plan.last);
        distance(&end(info, options, &mut data.clone(), &plan, &x, 0), &reference)
    };
    let errors: Vec<f64> = steps.iter().map(error).collect();
    let orders = errors.windows(2).map(|pair| (pair[0] / pair[1]).log2()).collect();
    (errors, orders)
}

#[test]
fn deterministic_samplers_converge_with_the_order_they_declare() {
    let options = SampleOptions { lower_order_final: false, ..SampleOptions::default() };
    let of_order = |order| SampleOptions { solver_order: Some(order), ..options };
    let form = |solver_type| SampleOptions { solver_type: Some(solver_type), ..options };
    let mut cases: Vec<(&SamplerInfo, SampleOptions, f64)> = Vec::new();
    for info in SAMPLERS.iter().filter(|info| !info.stochastic) {
        cases.push((info, options, f64::from(info.order.unwrap())));
    }
    for order in 1..=3 {
        cases.push((find("lms"), of_order(order), order as f64));
        // The corrector raises the order of the predictor by one.
        cases.push((find("unipc"), of_order(order), order as f64 + 1.0));
    }
    cases.push((find("dpmpp_2m"), of_order(1), 1.0));
    cases.push((find("dpmpp_2m"), form(SolverType::Heun), 2.0));
    cases.push((find("unipc"), form(SolverType::Bh1), 3.0));
    for (info, options, declared) in cases {
        // f32 storage keeps errors above some 1e-7, which the high orders reach soon. LMS begins with a step of first order, whose error
        // is of second order; from nearly pure noise, where paths are straight lines in sigma-space, it has none to speak of.
        let (noisy, steps): (f64, &[usize]) = match (info.id, declared > 2.5) {
            ("lms", true) => (-14.0, &[40, 80, 160]),
            (_, true) => (-4.0, &[10, 20, 40]),
            _ => (-4.0, &[20, 40, 80, 160]),
        };
        let (errors, orders) = orders(info, &options, noisy, steps);
        let name = format!("{} of order {:?} {:?}", info.id, options.solver_order, options.solver_type);
        println!("{name}: declared {declared}, measured {orders:.2?}, errors {errors:.8?}");
        let last = orders[orders.len() - 1];
        assert!((last - declared).abs() < 0.35, "{name}: orders {orders:?} of errors {errors:?}");
    }
}

/// Data of several means and deviations, and a start.
fn some_data() -> (GaussianData, HostTensor) {
    let data = GaussianData { mean: gaussian(1, Stream::World, [64]), std: gaussian(2, Stream::World, [64]).map(f32::abs) };
    (data, gaussian(3, Stream::Start, [64]))
}

#[test]
fn samplers_that_are_the_same_over_the_same_levels_agree() {
    let (mut data, x) = some_data();
    let full = SampleOptions { eta: 1.0, ..SampleOptions::default() };
    let first = SampleOptions { solver_order: Some(1), ..SampleOptions::default() };
    let plain = SampleOptions::default();
    for id in ["linear", "scaled_linear", "squaredcos_cap_v2"] {
        let plan = find("ddim").plan(&schedule(id), TimestepSpacing::Trailing, 25, 0, true).unwrap();
        let mut run = |sampler: &str, options: &SampleOptions| end(find(sampler), options, &mut data, &plan, &x, 7);
        let (ddim, random) = (run("ddim", &plain), run("ddim", &full));
        // DDIM without fresh noise is Euler in sigma-space, and in flow time, and every multistep sampler of first order.
        for (sampler, options) in [("euler", &plain), ("flow_euler", &plain), ("lms", &first), ("dpmpp_2m", &first)] {
            let apart = distance(&run(sampler, options), &ddim);
            assert!(apart < 1e-5, "{id}: {sampler} is {apart:e} away from DDIM");
        }
        // With all of it, DDIM is DDPM with the lower bound of its variance, and Euler ancestral.
        for sampler in ["ddpm", "euler_ancestral"] {
            let apart = distance(&run(sampler, &plain), &random);
            assert!(apart < 1e-5, "{id}: {sampler} is {apart:e} away from DDIM with eta 1");
        }
        assert!(distance(&ddim, &random) > 0.1);
    }
}

#[test]
fn the_two_variances_of_ddpm_are_one_in_the_limit_of_many_steps() {
    let (mut data, x) = some_data();
    let full = SampleOptions { eta: 1.0, ..SampleOptions::default() };
    let large = SampleOptions { variance: Variance::FixedLarge, ..SampleOptions::default() };
    let mut apart = |steps: usize| {
        let plan = find("ddpm").plan(&schedule("linear"), TimestepSpacing::Trailing, steps, 0, true).unwrap();
        let (a, b) = (end(find("ddpm"), &large, &mut data, &plan, &x, 7), end(find("ddim"), &full, &mut data, &plan, &x, 7));
        a.lincomb(1.0, &b, -1.0).norm() / (a.len() as f64).sqrt()
    };
    let measured = [10, 100, 1000].map(&mut apart);
    assert!(measured[1] < 0.6 * measured[0] && measured[2] < 0.6 * measured[1] && measured[2] < 0.02, "{measured:?}");
}

/// The mean and the deviation with which a run ends over Gaussian data. Every step is affine in the sample and in each draw, so one run
/// for the start and one for each draw tell both without any chance.
fn moments(info: &SamplerInfo, options: &SampleOptions, plan: &Plan, mean: f32, std: f32) -> (f64, f64) {
    let mut data = GaussianData { mean: vector(&[mean]), std: vector(&[std]) };
    let mut ends = |start: f32, kicked: Option<usize>| {
        let mut drawn = 0;
        let mut noise = |shape: &[usize]| {
            drawn += 1;
            HostTensor::full(shape, if kicked == Some(drawn - 1) { 1.0 } else { 0.0 })
        };
        let end = sample_with(info, options, &mut data, &plan.visits, plan.last, &vector(&[start]), &mut noise, &mut go_on).unwrap();
        f64::from(end.x.data()[0])
    };
    let (base, started) = (ends(0.0, None), ends(1.0, None));
    let drawn: f64 = (0..plan.visits.len()).map(|draw| (ends(0.0, Some(draw)) - base).powi(2)).sum();
    (base, ((started - base).powi(2) + drawn).sqrt())
}

#[test]
fn stochastic_samplers_give_samples_of_the_data() {
    let (mean, std, count) = (0.5, 0.7, 200_000);
    let mut data = GaussianData { mean: HostTensor::full([count], mean), std: HostTensor::full([count], std) };
    let large = SampleOptions { variance: Variance::FixedLarge, ..SampleOptions::default() };
    let full = SampleOptions { eta: 1.0, ..SampleOptions::default() };
    let half = SampleOptions { eta: 0.5, ..SampleOptions::default() };
    let plain = SampleOptions::default();
    let cases = [("ddpm", plain), ("ddpm", large), ("ddim", full), ("ddim", half), ("euler_ancestral", plain), ("dpmpp_2m_sde", plain)];
    for ((id, options), seed) in cases.into_iter().zip(20..) {
        let info = find(id);
        let planned = |steps| info.plan(&schedule("squaredcos_cap_v2"), TimestepSpacing::Leading, steps, 0, true).unwrap();
        let plan = planned(100);
        let (mean_there, std_there) = moments(info, &options, &plan, mean, std);
        // Without chance: the chain's moments come closer to the data's with more steps.
        let off = |(m, s): (f64, f64)| (m - f64::from(mean)).hypot(s - f64::from(std));
        let (few, many) = (off(moments(info, &options, &planned(25), mean, std)), off((mean_there, std_there)));
        assert!(many < 0.6 * few + 1e-3 && many < 0.03, "{id}: off by {few} with 25 steps, by {many} with 100");
        // With chance: mean, variance and fourth moment of 200,000 samples are those of the chain. Each lies within 4.5 of its standard
        // errors with a probability of 1 - 7e-6; all eighteen of this test hold with 99.98 % confidence.
        let x = info.start(TimestepSpacing::Leading, &plan, &gaussian(seed, Stream::Start, [count]));
        let samples = end(info, &options, &mut data, &plan, &x, seed);
        let n = count as f64;
        let power = |p: i32| samples.data().iter().map(|x| ((f64::from(*x) - mean_there) / std_there).powi(p)).sum::<f64>() / n;
        let z = [power(1) * n.sqrt(), (power(2) - 1.0) * (n / 2.0).sqrt(), (power(4) - 3.0) * (n / 96.0).sqrt()];
        println!(
            "{id} eta {} {:?}: off by {few:.4} and {many:.4}; z of mean, variance, fourth moment {z:.2?}",
            options.eta, options.variance
        );
        assert!(z.iter().all(|z| z.abs() < 4.5), "{id}: {z:?} standard errors");
    }
}

#[test]
fn lcm_gives_samples_of_the_data_where_the_denoiser_is_a_consistency_model() {
    let (mean, std, count) = (0.5, 0.7, 200_000);
    let data = GaussianData { mean: HostTensor::full([count], mean), std: HostTensor::full([count], std) };
    let mut ends = |x: &HostTensor, level: Level| Ok(exact(&data, x, level, Level::CLEAN));
    for steps in [1, 2, 4] {
        let plan = find("lcm").plan(&schedule("scaled_linear"), TimestepSpacing::Trailing, steps, 0, true).unwrap();
        let first = plan.visits[0].level;
        // The path begins at noised data, not at unit noise: alpha is 0.07 there.
        let x = first.add_noise(&gaussian(4, Stream::World, [count]).map(|z| z * std + mean), &gaussian(4, Stream::Start, [count]));
        let samples = end(find("lcm"), &SampleOptions::default(), &mut ends, &plan, &x, 11);
        let (n, std) = (count as f64, f64::from(std));
        let power = |p: i32| samples.data().iter().map(|x| ((f64::from(*x) - f64::from(mean)) / std).powi(p)).sum::<f64>() / n;
        let z = [power(1) * n.sqrt(), (power(2) - 1.0) * (n / 2.0).sqrt()];
        // As above: all six hold with 99.99 % confidence.
        assert!(z.iter().all(|z| z.abs() < 4.5), "{steps} steps: {z:?} standard errors");
    }
}

#[test]
fn flow_levels_are_stepped_over_where_that_is_declared_and_refused_elsewhere() {
    let (mut data, x) = some_data();
    let plan = plan::plan_flow(1000, 40, 3.0).unwrap();
    // In sigma-space pure noise has no level; a flow begun a little later has.
    let later = Plan { visits: plan.visits[1..].to_vec(), last: plan.last };
    let first = later.visits[0].level;
    let noised = first.add_noise(&data.mean, &x);
    for info in SAMPLERS {
        let mut zero = |shape: &[usize]| HostTensor::full(shape, 0.0);
        let mut run = |data: &mut dyn Denoise| {
            sample_with(info, &SampleOptions::default(), data, &later.visits, later.last, &noised, &mut zero, &mut go_on)
        };
        if info.supports.flow_levels {
            let end = run(&mut data).unwrap().x;
            if !info.stochastic {
                let apart = distance(&end, &exact(&data, &noised, first, Level::CLEAN));
                assert!(apart < 0.05, "{}: {apart}", info.id);
            }
        } else {
            let message = run(&mut data).unwrap_err().to_string();
            assert!(message.contains("preserve variance"), "{}: {message}", info.id);
        }
    }
}

#[test]
fn what_a_sampler_declares_is_what_it_does() {
    let mut data = GaussianData { mean: vector(&[0.1]), std: vector(&[0.4]) };
    let whole = schedule("scaled_linear").rescaled_zero_terminal_snr().unwrap();
    for info in SAMPLERS {
        let mut asked = 0;
        let mut counted = |x: &HostTensor, level: Level| {
            asked += 1;
            data.denoise(x, level)
        };
        let plan = info.plan(&whole, TimestepSpacing::Trailing, 9, 0, true).unwrap();
        let mut draws = 0;
        let mut noise = |shape: &[usize]| {
            draws += 1;
            HostTensor::full(shape, 0.1)
        };
        let x = vector(&[0.3]);
        sample_with(info, &SampleOptions::default(), &mut counted, &plan.visits, plan.last, &x, &mut noise, &mut go_on).unwrap();
        assert_eq!(asked, info.evaluations(9), "{}", info.id);
        assert_eq!(draws > 0, info.stochastic, "{}", info.id);
        assert_eq!(plan.visits[0].level.alpha == 0.0, info.supports.pure_noise, "{}", info.id);
        assert_eq!(info.order.is_none(), info.id == "lcm");
    }
}

#[test]
fn options_that_no_sampler_has_are_named() {
    let (mut data, x) = some_data();
    let mut message = |id: &str, options: SampleOptions| {
        let plan = find(id).plan(&schedule("linear"), TimestepSpacing::Leading, 5, 0, true).unwrap();
        let mut noise = |shape: &[usize]| HostTensor::full(shape, 0.0);
        sample_with(find(id), &options, &mut data, &plan.visits, plan.last, &x, &mut noise, &mut go_on).unwrap_err().to_string()
    };
    let of_order = |order| SampleOptions { solver_order: Some(order), ..SampleOptions::default() };
    assert!(message("dpmpp_2m", of_order(3)).contains("solver_order is 3"));
    assert!(message("unipc", of_order(0)).contains("orders from 1 to 3"));
    assert!(message("lms", of_order(5)).contains("orders from 1 to 4"));
    let form = |solver_type| SampleOptions { solver_type: Some(solver_type), ..SampleOptions::default() };
    assert!(message("unipc", form(SolverType::Heun)).contains("\"heun\"; known are bh2, bh1"));
    assert!(message("dpmpp_2m_sde", form(SolverType::Bh2)).contains("\"bh2\"; known are midpoint, heun"));
}

#[test]
fn levels_spread_by_a_rule_keep_the_ends_and_the_rule() {
    let schedule = schedule("scaled_linear");
    for rule in LevelSpacing::ALL {
        assert!(!rule.label().is_empty());
        for info in SAMPLERS {
            for steps in [1, 2, 20, 333] {
                let plan = info.plan_with(&schedule, TimestepSpacing::Linspace, rule, steps, 0, true).unwrap();
                assert_eq!(plan.visits.len(), steps);
                assert!(plan.visits.windows(2).all(|pair| pair[1].timestep < pair[0].timestep), "{rule:?} {steps}");
                assert!(
                    plan.visits.iter().all(|visit| (schedule.level_at(visit.timestep).alpha - visit.level.alpha).abs() < 1e-6
                        || rule == LevelSpacing::Timesteps)
                );
            }
        }
    }
    let plan = |rule| find("euler").plan_with(&schedule, TimestepSpacing::Linspace, rule, 11, 0, true).unwrap();
    let middle = |rule: LevelSpacing| {
        let visits = plan(rule).visits;
        (visits[0].level, visits[5].level, visits[10].level)
    };
    let (a, b, c) = middle(LevelSpacing::LogSnr);
    assert!((a.log_snr() + c.log_snr() - 2.0 * b.log_snr()).abs() < 1e-9);
    let (a, b, c) = middle(LevelSpacing::Karras { rho: 7.0 });
    let root = |level: Level| level.sigma_ratio().powf(1.0 / 7.0);
    assert!((root(a) + root(c) - 2.0 * root(b)).abs() < 1e-9);
    let (a, b, c) = middle(LevelSpacing::Flow { shift: 1.0 });
    assert!((a.flow_time() + c.flow_time() - 2.0 * b.flow_time()).abs() < 1e-9);
    let shifted = middle(LevelSpacing::Flow { shift: 3.0 }).1;
    assert!(shifted.flow_time() > b.flow_time());
    assert_eq!((a, c), (schedule.level(999), schedule.level(0)));
}
