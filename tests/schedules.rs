//! The lab of schedules, worked by real clicks, drags and keys. See `tests/ui.rs` for the stand-in, which samples with the program's own
//! samplers over a closed-form denoiser.

mod support;

use diffuscope::diffusion::SCHEDULES;
use diffuscope::ui::labs::schedules::View;
use diffuscope::ui::{App, Options};
use diffuscope::worker::protocol::{Command, LearnRequest, RaceMap, RaceRequest, Slot, Told};
use egui::accesskit::Role;
use egui::{Key, Modifiers, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use support::{Control, StandIn, settle, window};

fn open() -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let backend = Box::new(StandIn::new(control.clone()));
    let options = Options { playing: false, lab: Some("schedules".to_owned()), ..Options::default() };
    let mut harness = window(backend, options, [1400.0, 860.0]);
    settle(&mut harness);
    (harness, control)
}

fn choose(harness: &mut Harness<'_, App>, label: &str) {
    harness.get_by_role_and_label(Role::RadioButton, label).click();
    harness.run_steps(3);
    settle(harness);
}

fn settings(harness: &Harness<'_, App>) -> diffuscope::ui::labs::schedules::Settings {
    harness.state().settings().work.schedules.clone()
}

fn sampled(control: &Control) -> Vec<RaceRequest> {
    let race = |command| if let Command::Race(Slot::Levels, request) = command { Some(request) } else { None };
    control.commands().into_iter().filter_map(race).collect()
}

#[test]
fn dragging_a_point_bends_the_curve_and_the_picture_with_it() {
    let (mut harness, _) = open();
    harness.state_mut().clock_mut().set(500.0);
    harness.run_steps(3);
    let free = harness.get_by_role_and_label(Role::RadioButton, "Free curve").rect();
    let pixels = |harness: &mut Harness<'_, App>| {
        let image = harness.render().expect("rendered");
        let scale = image.width() as f32 / 1400.0;
        let at = |v: f32| (v * scale) as u32;
        let side = at(free.width()) - 4;
        let corner = (at(free.left()) + 2, at(free.bottom()) - side - at(30.0));
        image::imageops::crop_imm(&image, corner.0, corner.1, side, side).to_image().into_raw()
    };
    let before = pixels(&mut harness);
    let point = harness.get_by_label("Point at time one half").rect().center();
    harness.drag_at(point);
    harness.step();
    harness.hover_at(point - vec2(0.0, 40.0));
    harness.run_steps(2);
    let during = settings(&harness);
    assert_eq!(during.focus, "free", "the free curve goes on from the one that was in focus");
    assert_ne!(pixels(&mut harness), before, "the picture follows while the point is held");
    harness.drop_at(point - vec2(0.0, 40.0));
    harness.run_steps(30);
    let values = settings(&harness).params["free"].clone();
    let cosine = SCHEDULES.iter().find(|info| info.id == "squaredcos_cap_v2").expect("in the table").build(&[], 1000).expect("valid");
    for (k, t) in [(1, 249), (3, 749)] {
        assert!((values[k] - cosine.alphas_cumprod()[t]).abs() < 2e-3, "the other points stay: {values:?}");
    }
    assert!(values[2] > cosine.alphas_cumprod()[499] + 0.05, "{values:?}");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert_eq!((settings(&harness).focus.as_str(), settings(&harness).params.len()), ("squaredcos_cap_v2", 0), "undo");
}

#[test]
fn a_point_is_moved_by_keys_and_by_screen_readers() {
    let (mut harness, _) = open();
    choose(&mut harness, "Free curve");
    harness.get_by_label("Point at time three quarters").focus();
    harness.run_steps(2);
    harness.key_press(Key::ArrowRight);
    harness.run_steps(2);
    assert!((settings(&harness).params["free"][3] - 0.16).abs() < 1e-3);
    harness.get_by_label("Point at time 1").set_value_accesskit(0.9);
    harness.run_steps(2);
    let values = settings(&harness).params["free"].clone();
    assert!(values[4] < values[3] && values[4] > values[3] - 1e-3, "it stays below its neighbour: {values:?}");
}

#[test]
fn zero_terminal_snr_leaves_nothing_of_the_picture() {
    let (mut harness, _) = open();
    harness.state_mut().clock_mut().set(999.0);
    for schedule in ["Linear", "Rectified flow", "Free curve"] {
        choose(&mut harness, schedule);
        let before = harness.query_by_label("signal-to-noise ratio 0").is_some();
        assert_eq!(before, schedule == "Rectified flow", "{schedule}: this one ends there by itself");
        choose(&mut harness, "Zero terminal SNR");
        assert!(harness.query_by_label("signal-to-noise ratio 0").is_some(), "{schedule}");
    }
    assert_eq!(settings(&harness).zero_terminal.len(), 3);
    choose(&mut harness, "Linear");
    harness.get_by_role_and_label(Role::Button, "Defaults").click();
    harness.run_steps(3);
    assert_eq!(settings(&harness).zero_terminal.len(), 2);
}

#[test]
fn the_weights_tell_what_the_loss_compares_and_set_the_clock() {
    let (mut harness, _) = open();
    choose(&mut harness, "Weights");
    assert_eq!(settings(&harness).view, View::Weights);
    harness.state_mut().clock_mut().set(100.0);
    harness.run_steps(2);
    let counts = |harness: &Harness<'_, App>, text: &str| harness.query_by_label(&format!("what an error of ε counts, c {text}")).is_some();
    assert!(counts(&harness, "1.00"), "comparing the noise, every error counts alike");
    choose(&mut harness, "velocity v");
    assert!(!counts(&harness, "1.00"));
    let plot = harness.get_by_label("Plot of what the loss weighs").rect();
    harness.hover_at(plot.center());
    harness.step();
    harness.drag_at(plot.center());
    harness.step();
    harness.drop_at(plot.center());
    harness.run_steps(2);
    let cosine = SCHEDULES.iter().find(|info| info.id == "squaredcos_cap_v2").expect("in the table").build(&[], 1000).expect("valid");
    let level = cosine.level(harness.state().clock().timestep());
    assert!(level.snr() < 10.0 && level.snr() > 0.1, "the middle of the axis is where picture and noise are alike: {}", level.snr());
}

#[test]
fn sampling_follows_every_schedule_from_one_noise_when_it_is_looked_at() {
    let (mut harness, control) = open();
    assert!(sampled(&control).is_empty(), "nothing is sampled that nobody looks at");
    choose(&mut harness, "Sampling");
    let asked = sampled(&control);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].lanes.len(), SCHEDULES.len(), "what was not learned cannot be followed");
    for (lane, info) in asked[0].lanes.iter().zip(SCHEDULES) {
        let levels = lane.levels.as_ref().expect("levels");
        assert_eq!(levels.schedule, info.build(&info.defaults(), 1000).expect("valid"), "{}", info.id);
        assert_eq!((levels.told, lane.steps), (Told::SameNoise, 20));
    }
    let crossing = &harness.state().session().crossing;
    let map = crossing.map().expect("a map");
    assert!(map.lanes.iter().flatten().all(|place| place.distance.is_finite()));
    let most = |map: &RaceMap| map.lanes.iter().flatten().map(|place| place.distance).fold(0.0, f64::max);
    let right = most(map);
    choose(&mut harness, "Same timestep");
    let asked = sampled(&control);
    assert!(asked[1].lanes.iter().all(|lane| lane.levels.as_ref().is_some_and(|levels| levels.told == Told::SameTimestep)));
    let wrong = most(harness.state().session().crossing.map().expect("a map"));
    assert!(wrong > 1.2 * right, "a model that is told wrong strays farther: {wrong}, not {right}");

    control.slow();
    harness.get_by_role_and_label(Role::Slider, "Steps").set_value_accesskit(9.0);
    harness.run_steps(40);
    harness.get_by_label("Cancel").click();
    harness.run_steps(3);
    assert!(harness.state().session().crossing.is_stopped());
    control.fast();
    harness.get_by_label("Sample again").click();
    settle(&mut harness);
    assert!(sampled(&control).last().expect("asked").lanes.iter().all(|lane| lane.steps == 9));
}

#[test]
fn a_schedule_is_learned_live_and_kept() {
    let (mut harness, control) = open();
    choose(&mut harness, "Learning");
    harness.get_by_label("Learn a schedule").click();
    harness.run_steps(4);
    assert!(harness.state().session().learning.is_running());
    assert_eq!(settings(&harness).learned, None, "not before it has ended");
    let bent = harness.state().session().learning.steps().len();
    settle(&mut harness);
    harness.run_steps(40);
    assert!(harness.state().session().learning.steps().len() > bent);
    let asked = control.commands().into_iter().filter_map(|c| if let Command::Learn(request) = c { Some(request) } else { None });
    assert_eq!(asked.collect::<Vec<_>>(), [LearnRequest { seed: harness.state().settings().work.seed, losses: 1536 }]);
    let newest = harness.state().session().learning.newest().expect("a report").network.clone();
    assert_eq!(settings(&harness).learned.expect("kept").network(), Some(newest));
    assert_eq!(settings(&harness).focus, "learned");
    choose(&mut harness, "Sampling");
    assert_eq!(sampled(&control)[0].lanes.len(), SCHEDULES.len() + 1, "and it can be sampled along");
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert_eq!(settings(&harness).learned, None, "undo");
}

#[test]
fn learning_that_is_stopped_keeps_what_it_has() {
    let (mut harness, control) = open();
    choose(&mut harness, "Learning");
    control.slow();
    harness.get_by_label("Learn a schedule").click();
    harness.run_steps(110);
    harness.get_by_label("Stop learning").click();
    harness.run_steps(3);
    control.fast();
    settle(&mut harness);
    assert!(harness.state().session().learning.is_stopped());
    assert!(settings(&harness).learned.is_some());
    assert!(harness.query_by_label("Learn again").is_some());
}
