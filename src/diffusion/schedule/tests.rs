//! What holds for every schedule of the table, and what each of the newer ones promises.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::*;
use crate::diffusion::level::Level;

fn relative(got: f64, expected: f64) -> f64 {
    (got - expected).abs() / expected.abs().max(f64::MIN_POSITIVE)
}

fn find(id: &str) -> &'static ScheduleInfo {
    ScheduleInfo::find(id).unwrap()
}

#[test]
fn continuous_time_is_the_limit_of_many_small_steps() {
    for info in SCHEDULES {
        for count in [100, 1000, 10_000] {
            let (discrete, continuous) = (info.build(&[], count).unwrap(), info.continuous(&[], count));
            for (timestep, &alpha_bar) in discrete.alphas_cumprod().iter().enumerate() {
                let limit = continuous.alpha_bar((timestep + 1) as f64 / count as f64);
                match info.rule {
                    Rule::LogSnr => assert!((alpha_bar - limit).abs() < 1e-15, "{} at {timestep}", info.id),
                    // Where beta is capped, as the cosine's last is, the continuous form has no signal left.
                    Rule::Betas(_) if limit < 1e-4 => {}
                    Rule::Betas(_) => {
                        // -log(1 - b) - b is between b^2 / 2 and b^2 / (2 (1 - b)); a sum of a rising function differs from its
                        // integral by less than its last term.
                        let betas = &discrete.betas()[..=timestep];
                        let bound = betas.iter().map(|b| 0.5 * b * b / (1.0 - b)).sum::<f64>() + betas[timestep];
                        assert!((alpha_bar.ln() - limit.ln()).abs() <= bound, "{} at {timestep} of {count}", info.id);
                    }
                }
            }
        }
    }
}

#[test]
fn continuous_time_falls_everywhere_and_its_beta_is_its_slope() {
    for info in SCHEDULES {
        let continuous = info.continuous(&[], 1000);
        let mut previous = f64::INFINITY;
        for step in 1..1000 {
            let time = f64::from(step) / 1000.0;
            let log_snr = continuous.log_snr(time);
            assert!(log_snr < previous, "{}: log-SNR rises at {time}", info.id);
            previous = log_snr;
            assert!(continuous.beta(time) >= 0.0, "{} at {time}: {}", info.id, continuous.beta(time));
        }
        // The integral of the rate is what has faded: Simpson's rule from 0.1 to 0.9.
        let (count, width) = (400, 0.8);
        let weight = |i: i32| if i == 0 || i == count { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
        let sum: f64 = (0..=count).map(|i| weight(i) * continuous.beta(0.1 + width * f64::from(i) / f64::from(count))).sum();
        let integral = sum * width / f64::from(count) / 3.0;
        let faded = continuous.alpha_bar(0.1).ln() - continuous.alpha_bar(0.9).ln();
        assert!(relative(integral, faded) < 1e-4, "{}: {integral} is not {faded}", info.id);
    }
    // beta(time) of the linear schedule is n times the beta of a step.
    let (linear, rate) = (find("linear").build(&[], 1000).unwrap(), find("linear").continuous(&[], 1000));
    assert!(relative(rate.beta(0.4), 1000.0 * linear.betas()[400]) < 0.01);
}

#[test]
fn every_quantity_of_a_schedule_says_the_same() {
    for info in SCHEDULES {
        let schedule = info.build(&[], 1000).unwrap();
        let mut product = 1.0;
        for (timestep, ((beta, sigma), snr)) in schedule.betas().iter().zip(schedule.sigmas()).zip(schedule.snrs()).enumerate() {
            product *= 1.0 - beta;
            let (alpha_bar, level) = (schedule.alphas_cumprod()[timestep], schedule.level(timestep));
            assert!((product - alpha_bar).abs() < 1e-12, "{} at {timestep}", info.id);
            assert!((sigma * sigma + alpha_bar - 1.0).abs() < 1e-12 && sigma == level.sigma);
            assert!((snr - level.snr()).abs() <= 1e-9 * snr, "{} at {timestep}: {snr} and {}", info.id, level.snr());
        }
    }
}

#[test]
fn karras_levels_are_those_of_the_paper() {
    let [min, max, rho] = [0.002, 80.0, 7.0];
    assert!(relative(karras::sigma(min, max, rho, 0.0), min) < 1e-12);
    assert!(relative(karras::sigma(min, max, rho, 1.0), max) < 1e-12);
    // The example of EDM's code: 18 steps, the second noisiest of them.
    assert!(relative(karras::sigma(min, max, rho, 16.0 / 17.0), 57.586) < 1e-4);
    assert!(relative(karras::sigma(min, max, 1.0, 0.5), 40.001) < 1e-12);
    // A large rho is even in the logarithm.
    assert!(relative(karras::sigma(min, max, 1e6, 0.5), (min * max).sqrt()) < 1e-4);
    let schedule = find("karras").build(&[], 1000).unwrap();
    assert!(relative(schedule.level(999).sigma_ratio(), max) < 1e-9);
}

#[test]
fn flow_time_keeps_its_ends_and_the_ratio_of_signal_to_noise() {
    for shift in [0.2, 1.0, 3.0, 12.0] {
        assert_eq!((flow::shifted(shift, 0.0), flow::shifted(shift, 1.0)), (0.0, 1.0));
        let schedule = find("flow").build(&[shift], 1000).unwrap();
        assert_eq!(schedule.alphas_cumprod()[999], 0.0);
        for timestep in [0, 250, 500, 998] {
            let time = flow::shifted(shift, (timestep + 1) as f64 / 1000.0);
            let straight = Level { alpha: 1.0 - time, sigma: time };
            assert!(relative(schedule.level(timestep).snr(), straight.snr()) < 1e-9, "shift {shift} at {timestep}");
        }
    }
    assert!((flow::shifted(3.0, 0.5) - 0.75).abs() < 1e-15);
    // Shifting by one factor and then by another is shifting by their product.
    assert!((flow::shifted(2.0, flow::shifted(3.0, 0.3)) - flow::shifted(6.0, 0.3)).abs() < 1e-15);
}

#[test]
fn a_free_curve_goes_through_its_points_and_names_those_it_cannot() {
    let points = [[0.0, 0.999], [0.3, 0.9], [0.35, 0.2], [1.0, 1e-4]];
    let curve = FreeCurve::new(&points).unwrap();
    for [time, alpha_bar] in points {
        assert!((Level::from_log_snr(curve.log_snr(time)).alpha_bar() - alpha_bar).abs() < 1e-12, "at {time}");
    }
    assert!(NoiseSchedule::from_log_snr(|time| curve.log_snr(time), 1000).is_ok());
    for (points, named) in [
        (vec![[0.0, 0.9]], "time 0 and one at time 1"),
        (vec![[0.1, 0.9], [1.0, 0.1]], "point 0: times rise"),
        (vec![[0.0, 0.9], [0.5, 0.5], [0.5, 0.4], [1.0, 0.1]], "point 2: times rise"),
        (vec![[0.0, 0.9], [0.9, 0.1]], "point 1: times rise"),
        (vec![[0.0, 0.9], [0.5, 0.9], [1.0, 0.1]], "point 1: alpha_bar falls"),
        (vec![[0.0, 1.0], [1.0, 0.1]], "point 0: alpha_bar falls"),
        (vec![[0.0, 0.9], [1.0, 0.0]], "point 1: alpha_bar falls"),
        (vec![[0.0, f64::NAN], [1.0, 0.1]], "point 0: alpha_bar falls"),
        (vec![[f64::NAN, 0.9], [1.0, 0.1]], "point 0: times rise"),
    ] {
        let message = FreeCurve::new(&points).unwrap_err().to_string();
        assert!(message.contains(named), "{points:?}: {message}");
    }
}

#[test]
fn a_dragged_point_pushes_the_ones_after_it() {
    let evenly = FreeCurve::pushed(&[0.99, 0.8, 0.5, 0.2, 0.01]);
    assert!((evenly.log_snr(0.5)).abs() < 1e-12);
    let dragged = FreeCurve::pushed(&[0.99, 0.8, 0.1, 0.2, 0.01]);
    let alpha_bar = |time: f64| Level::from_log_snr(dragged.log_snr(time)).alpha_bar();
    assert!((alpha_bar(0.5) - 0.1).abs() < 1e-12 && alpha_bar(0.75) < 0.1 && alpha_bar(0.75) > 0.098, "{}", alpha_bar(0.75));
    assert!((alpha_bar(1.0) - 0.01).abs() < 1e-12);
}

#[test]
fn any_schedule_can_be_rescaled_to_zero_terminal_snr() {
    for info in SCHEDULES {
        let schedule = info.build(&[], 1000).unwrap();
        let rescaled = schedule.rescaled_zero_terminal_snr().unwrap();
        assert_eq!((rescaled.alphas_cumprod()[999], rescaled.betas()[999]), (0.0, 1.0), "{}", info.id);
        assert!(relative(rescaled.alphas_cumprod()[0], schedule.alphas_cumprod()[0]) < 1e-12, "{}", info.id);
        // Algorithm 1 is affine in the roots: equal differences stay equal ones.
        let root = |of: &NoiseSchedule, timestep: usize| of.alphas_cumprod()[timestep].sqrt();
        let ratio = |of: &NoiseSchedule| (root(of, 100) - root(of, 300)) / (root(of, 100) - root(of, 700));
        assert!(relative(ratio(&rescaled), ratio(&schedule)) < 1e-9, "{}", info.id);
    }
}
