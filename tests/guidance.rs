//! The lab of guidance, worked by real clicks and keys: the strip, the interval, the plane. See `tests/ui.rs` for the stand-in.
//!
//! With `LOOK=DIR` in the environment, `the_lab_to_look_at` writes every view of the lab at several sizes and in both themes to
//! DIR; with `LOOK_REAL=1` of the program's own model in place of the stand-in.

mod support;

use diffuscope::ui::theme::ThemeChoice;
use diffuscope::ui::{App, Backend, Options};
use diffuscope::worker::Worker;
use diffuscope::worker::protocol::{Command, GuidanceInterval, RunRequest, Slot, StripRequest};
use egui::accesskit::Role;
use egui::{Key, pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use std::sync::Arc;
use support::{Control, Real, StandIn, window};

fn open_at(size: [f32; 2], theme: ThemeChoice) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let real = std::env::var("LOOK_REAL").is_ok();
    let backend: Box<dyn Backend> =
        if real { Box::new(Real(Worker::spawn(Arc::new(|| {})))) } else { Box::new(StandIn::new(control.clone())) };
    let options = Options { playing: false, lab: Some("guidance".into()), theme: Some(theme), ..Options::default() };
    let harness = window(backend, options, size);
    (harness, control)
}

fn open() -> (Harness<'static, App>, Control) {
    let (mut harness, control) = open_at([1400.0, 860.0], ThemeChoice::Dark);
    settle(&mut harness);
    (harness, control)
}

fn settle(harness: &mut Harness<'_, App>) {
    let patience = if std::env::var("LOOK_REAL").is_ok() { 20_000 } else { 900 };
    for _ in 0..patience {
        harness.step();
        if harness.state().is_settled() {
            return;
        }
    }
    panic!("the window did not come to rest");
}

fn runs(control: &Control) -> Vec<RunRequest> {
    let of = |command| if let Command::Reverse(Slot::Guidance, request) = command { Some(request) } else { None };
    control.commands().into_iter().filter_map(of).collect()
}

fn strips(control: &Control) -> Vec<StripRequest> {
    control.commands().into_iter().filter_map(|command| if let Command::Strip(request) = command { Some(request) } else { None }).collect()
}

fn scale(harness: &Harness<'_, App>) -> Option<f64> {
    harness.state().settings().work.guidance.guidance_scale
}

#[test]
fn the_strip_comes_quickly_first_and_a_click_shows_its_picture_large() {
    let (mut harness, control) = open_at([1400.0, 860.0], ThemeChoice::Dark);
    let mut seen = Vec::new();
    for _ in 0..900 {
        harness.step();
        let strip = &harness.state().session().strip;
        let steps: Vec<usize> = (0..6).filter_map(|i| strip.picture(i)).map(|picture| picture.steps).collect();
        if seen.last() != Some(&steps) {
            seen.push(steps);
        }
        if harness.state().is_settled() {
            break;
        }
    }
    let quick_first = seen.iter().all(|steps| steps.len() == 6 || !steps.contains(&20));
    assert!(quick_first && seen.iter().any(|steps| steps.contains(&6)), "all six are there before the first is refined: {seen:?}");
    assert_eq!(seen.last(), Some(&vec![20; 6]));
    let asked = strips(&control);
    assert_eq!(asked.len(), 1, "one strip, not one per frame");
    assert_eq!(asked[0].scales, [0.0, 1.0, 3.0, 7.5, 12.0, 20.0]);
    assert_eq!((asked[0].coarse_steps, asked[0].run.steps), (6, 20));

    control.slow();
    harness.get_by_role_and_label(Role::Button, "Picture at w = 12").click();
    harness.run_steps(3);
    assert_eq!(scale(&harness), Some(12.0));
    assert!(runs(&control).last().is_some_and(|run| run.guidance_scale == 12.0), "its predictions are asked for");
    assert!(harness.query_by_label_contains("the finished picture, refined, 20 steps").is_some(), "the strip's picture is large at once");
    control.fast();
    settle(&mut harness);
    assert_eq!(strips(&control).len(), 1, "w alone changes nothing in the strip");
    assert_eq!(harness.state().session().strip.labelled().len(), 6);
}

#[test]
fn the_strip_is_cancelled_and_made_again() {
    let (mut harness, control) = open();
    control.slow();
    harness.get_by_label("Roll the seed").click();
    harness.run_steps(40);
    harness.get_by_label("Cancel the strip").click();
    harness.run_steps(3);
    assert!(control.commands().iter().any(|command| matches!(command, Command::Cancel(Slot::Strip))));
    assert!(harness.state().session().strip.is_stopped());
    control.fast();
    harness.get_by_label("Make the strip").click();
    settle(&mut harness);
    assert_eq!(harness.state().session().strip.refined(), 6);
    assert!(harness.query_by_label("Save the strip…").is_some());
}

#[test]
fn the_interval_is_dragged_typed_and_taken_back() {
    let (mut harness, control) = open();
    let low = harness.get_by_role_and_label(Role::Slider, "Guidance on from t").rect();
    let high = harness.get_by_role_and_label(Role::Slider, "Guidance on up to t").rect();
    let (from, width) = (low.center(), high.center().x - low.center().x);
    harness.drag_at(from);
    harness.step();
    let before = runs(&control).len();
    for i in 1..=10 {
        harness.hover_at(from + vec2(0.03 * width * i as f32, 0.0));
        harness.step();
    }
    assert!(runs(&control)[before..].iter().all(|run| run.steps == 6), "coarse while the hand is on the handle");
    harness.drop_at(from + vec2(0.3 * width, 0.0));
    settle(&mut harness);
    let [low, high] = harness.state().settings().work.guidance.interval.expect("an interval");
    assert!((270..=330).contains(&low) && high == 1000, "{low} {high}");
    let interval = Some(GuidanceInterval { low: low as f64, high: 1000.0 });
    let last = runs(&control).pop().expect("a run");
    assert_eq!((last.guidance_interval, last.steps), (interval, 20));
    assert_eq!(strips(&control).last().expect("a strip").run.guidance_interval, interval, "the strip follows");

    harness.get_by_label("Guidance on up to t").set_value_accesskit(700.0);
    harness.run_steps(2);
    harness.get_by_label("Guidance on up to t").focus();
    harness.run_steps(2);
    harness.key_press(Key::ArrowLeft);
    harness.run_steps(2);
    assert_eq!(harness.state().settings().work.guidance.interval, Some([low, 690]));
    assert_eq!(harness.state().clock().timestep(), 0, "the clock stays while a handle has the keyboard");
    harness.get_by_label("Guidance on up to t").set_value_accesskit(0.0);
    harness.run_steps(2);
    assert_eq!(harness.state().settings().work.guidance.interval, Some([low, low]), "the other handle holds it back");
    harness.get_by_label("Guidance on up to t").set_value_accesskit(1000.0);
    harness.get_by_label("Guidance on from t").set_value_accesskit(0.0);
    settle(&mut harness);
    assert_eq!(harness.state().settings().work.guidance.interval, None);
    assert_eq!(runs(&control).last().expect("a run").guidance_interval, None, "all of it is no interval");
}

#[test]
fn outside_the_interval_w_is_one() {
    let (mut harness, _) = open();
    harness.get_by_label("Guidance on up to t").set_value_accesskit(400.0);
    harness.state_mut().clock_mut().set(900.0);
    settle(&mut harness);
    assert!(harness.query_by_label("w is 1.0").is_some(), "the equation's w");
    assert!(harness.query_by_label_contains("this t is outside the interval").is_some());
    harness.state_mut().clock_mut().set(200.0);
    settle(&mut harness);
    assert!(harness.query_by_label("w is 5.0").is_some());
}

#[test]
fn the_handle_in_the_plane_is_dragged_along_the_line() {
    let (mut harness, control) = open();
    harness.state_mut().clock_mut().set(500.0);
    harness.get_by_role_and_label(Role::RadioButton, "Plane").click();
    settle(&mut harness);
    let node = harness.get_by_role_and_label(Role::Slider, "Guidance scale w in the plane");
    let (five, _) = (node.rect().center(), node.click());
    harness.run_steps(2);
    harness.get_by_label("Guidance scale w in the plane").set_value_accesskit(3.0);
    settle(&mut harness);
    let three = harness.get_by_label("Guidance scale w in the plane").rect().center();
    assert!((five - three).length() > 10.0, "{five} {three}");
    // Half as far again beyond, and off the line: the nearest w counts.
    let along = (five - three) / 2.0;
    let target = five + along + 0.3 * along.rot90();
    harness.drag_at(three);
    harness.step();
    for share in [0.3, 0.6, 1.0] {
        harness.hover_at(three + (target - three) * share);
        harness.step();
    }
    assert!(runs(&control).last().is_some_and(|run| run.steps == 6), "coarse while held");
    harness.drop_at(target);
    settle(&mut harness);
    let w = scale(&harness).expect("set");
    assert!((5.8..=6.2).contains(&w), "{w}");
    assert!(harness.query_by_label_contains("Plane of the predictions").is_some());
    assert_eq!(runs(&control).last().map(|run| (run.guidance_scale, run.steps)), Some((w, 20)));
    harness.get_by_label("Guidance scale w in the plane").focus();
    harness.run_steps(2);
    harness.key_press(Key::ArrowRight);
    harness.run_steps(2);
    assert!((scale(&harness).expect("set") - w - 0.1).abs() < 1e-9);
}

#[test]
fn measurements_are_asked_for_when_they_are_looked_at_and_show_their_pictures() {
    let (mut harness, control) = open();
    let sweeps = |control: &Control| control.commands().into_iter().filter(|command| matches!(command, Command::Sweep(..))).count();
    assert_eq!(sweeps(&control), 0, "nothing is measured that nobody looks at");
    harness.get_by_role_and_label(Role::RadioButton, "Measured").click();
    settle(&mut harness);
    assert_eq!(sweeps(&control), 1);
    assert!(harness.query_by_label("measured, n = 16").is_some());
    for name in ["Adherence", "Diversity", "Saturation"] {
        assert_eq!(harness.get_all_by_label_contains(&format!("{name} at w = ")).count(), 6);
    }
    let point = harness.get_by_label_contains("Diversity at w = 12:").rect();
    harness.hover_at(point.center());
    harness.run_steps(3);
    assert!(harness.query_by_label("Sample 16 of 16 at w = 12").is_some(), "the pictures of the point under the pointer");
    harness.get_by_label_contains("Diversity at w = 12:").click();
    harness.run_steps(2);
    harness.hover_at(pos2(5.0, 400.0));
    harness.run_steps(3);
    assert!(harness.query_by_label("Sample 1 of 16 at w = 12").is_some(), "which a click keeps");
    harness.get_by_label("Guidance scale w").set_value_accesskit(1.0);
    settle(&mut harness);
    assert_eq!(sweeps(&control), 1, "w alone changes nothing in what is measured");
    harness.get_by_label_contains("Diversity at w = 12:").click();
    harness.run_steps(2);
    harness.hover_at(pos2(5.0, 400.0));
    harness.run_steps(3);
    assert!(harness.query_by_label("Sample 1 of 16 at w = 1").is_some(), "without a choice those of the w in use");
}

#[test]
fn the_measuring_is_cancelled_and_gone_on_with() {
    let (mut harness, control) = open();
    control.slow();
    harness.get_by_role_and_label(Role::RadioButton, "Measured").click();
    harness.run_steps(120);
    harness.get_by_label("Cancel the measuring").click();
    harness.run_steps(3);
    assert!(harness.state().session().sweep.is_stopped());
    control.fast();
    harness.get_by_label("Go on measuring").click();
    settle(&mut harness);
    assert_eq!(harness.state().session().sweep.points().count(), 6);
}

#[test]
fn the_lab_to_look_at() {
    let Ok(folder) = std::env::var("LOOK") else { return };
    let wanted = std::env::var("LOOK_AT").unwrap_or_default();
    std::fs::create_dir_all(&folder).expect("a folder to write to");
    for size in [[1100.0, 700.0], [1440.0, 900.0], [2560.0, 1440.0]] {
        for theme in ThemeChoice::ALL {
            for (view, interval, w) in [
                ("Measured", None, 5.0),
                ("Fields", None, 5.0),
                ("Plane", None, 5.0),
                ("Plane", Some([300, 300]), 20.0),
                ("Fields", Some([200, 640]), 7.5),
            ] {
                let name = format!("{}-{}-{}-w{w}", view.to_lowercase(), size[0], theme.label().to_lowercase());
                if !wanted.split(',').all(|w| name.contains(w)) {
                    continue;
                }
                let (mut harness, _) = open_at(size, theme);
                harness.state_mut().pose();
                settle(&mut harness);
                harness.get_by_role_and_label(Role::RadioButton, view).click();
                harness.get_by_label("Guidance scale w").set_value_accesskit(w);
                if let Some([low, high]) = interval {
                    harness.get_by_label("Guidance on from t").set_value_accesskit(f64::from(low));
                    harness.get_by_label("Guidance on up to t").set_value_accesskit(f64::from(high));
                }
                settle(&mut harness);
                harness.hover_at(pos2(5.0, 5.0));
                harness.run_steps(5);
                harness.render().expect("rendered").save(format!("{folder}/{name}.png")).expect("written");
            }
        }
    }
}
