//! The labs of samplers and of prediction targets, worked by real clicks and keys. See `tests/ui.rs` for the stand-in, which races
//! with the program's own samplers over a closed-form denoiser.

mod support;

use diffuscope::diffusion::{PredictionType, SamplerInfo};
use diffuscope::ui::labs::samplers::{MOST_LANES, Matching, PRESETS, View};
use diffuscope::ui::{App, Options};
use diffuscope::worker::protocol::{Command, RaceRequest, Slot};
use egui::accesskit::Role;
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use support::{Control, StandIn, settle, window};

fn open(lab: &str) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let backend = Box::new(StandIn::new(control.clone()));
    let options = Options { playing: false, lab: Some(lab.to_owned()), ..Options::default() };
    let mut harness = window(backend, options, [1400.0, 860.0]);
    settle(&mut harness);
    (harness, control)
}

fn races(control: &Control) -> Vec<RaceRequest> {
    control
        .commands()
        .into_iter()
        .filter_map(|command| if let Command::Race(Slot::Race, request) = command { Some(request) } else { None })
        .collect()
}

#[test]
fn the_lab_opens_with_a_race_on_one_noise_at_equal_cost() {
    let (harness, control) = open("samplers");
    let asked = races(&control);
    assert_eq!(asked.len(), 1, "one race, not one per frame");
    assert_eq!(asked[0].lanes.len(), MOST_LANES);
    for lane in &asked[0].lanes {
        let info = SamplerInfo::find(&lane.sampler).expect("in the table");
        assert!(info.evaluations(lane.steps) <= 20 && info.evaluations(lane.steps + 1) > 20, "{lane:?}");
        assert_eq!(lane.seed, asked[0].run.seed);
    }
    let race = &harness.state().session().race;
    let map = race.map().expect("a map");
    for (lane, places) in race.lanes().iter().zip(&map.lanes) {
        assert_eq!(places.len(), lane.steps.len() + 1);
        assert!(places.iter().all(|place| place.distance.is_finite() && place.place.iter().all(|v| v.is_finite())));
    }
    // What follows the equation keeps nearer to the reference than what adds noise on its way; they start from the same place.
    let most = |sampler: &str| {
        let index = race.lanes().iter().position(|lane| lane.lane.sampler == sampler).expect("a lane");
        assert!(map.lanes[index][0].distance < 1e-6, "{sampler}");
        map.lanes[index].iter().map(|place| place.distance).fold(0.0, f64::max)
    };
    assert!(most("dpmpp_2m") < 0.5 * most("euler_ancestral"), "{} {}", most("dpmpp_2m"), most("euler_ancestral"));
}

#[test]
fn lanes_are_changed_added_and_taken_away() {
    let (mut harness, control) = open("samplers");
    harness.get_by_label("Remove lane 2").click();
    settle(&mut harness);
    let after = races(&control);
    assert_eq!(after.last().expect("a race").lanes.len(), MOST_LANES - 1);
    assert!(!after.last().expect("a race").lanes.iter().any(|lane| lane.sampler == "euler"));
    harness.get_by_role_and_label(Role::Button, "Add a lane").click();
    settle(&mut harness);
    let lanes = &races(&control).last().expect("a race").lanes.clone();
    assert_eq!(lanes.len(), MOST_LANES);
    assert_eq!((lanes[5].sampler.as_str(), lanes[5].seed), ("euler_ancestral", lanes[4].seed + 1), "another seed of what adds noise");
    assert!(harness.query_by_label("Add a lane").is_none());
    harness.get_by_label("Sampler of lane 1").click();
    harness.run_steps(3);
    let label = SamplerInfo::find("lms").expect("in the table").label;
    harness.get_by_role_and_label(Role::Button, label).click();
    settle(&mut harness);
    assert_eq!(races(&control).last().expect("a race").lanes[0].sampler, "lms");
}

#[test]
fn what_is_matched_is_chosen_and_free_lanes_keep_their_steps() {
    let (mut harness, control) = open("samplers");
    harness.get_by_role_and_label(Role::RadioButton, "Steps").click();
    settle(&mut harness);
    assert!(races(&control).last().expect("a race").lanes.iter().all(|lane| lane.steps == 20));
    harness.get_by_role_and_label(Role::RadioButton, "Evaluations").click();
    harness.get_by_label("Evaluations").set_value_accesskit(9.0);
    settle(&mut harness);
    let matched = races(&control).last().expect("a race").lanes.clone();
    harness.get_by_role_and_label(Role::RadioButton, "Free").click();
    settle(&mut harness);
    assert_eq!(harness.state().settings().work.samplers.matching, Matching::Free);
    assert_eq!(races(&control).last().expect("a race").lanes, matched, "nothing is run again for it");
    harness.get_by_label("Steps of lane 3").set_value_accesskit(31.0);
    settle(&mut harness);
    assert_eq!(races(&control).last().expect("a race").lanes[2].steps, 31);
}

#[test]
fn every_preset_is_run_as_it_says() {
    let (mut harness, control) = open("samplers");
    for preset in &PRESETS[2..4] {
        harness.get_by_role_and_label(Role::ComboBox, "Race").click();
        harness.run_steps(3);
        harness.get_by_role_and_label(Role::Button, preset.label).click();
        settle(&mut harness);
        let lanes = races(&control).last().expect("a race").lanes.clone();
        assert_eq!(lanes.len(), preset.lanes.len());
        for (lane, (sampler, steps, _)) in lanes.iter().zip(preset.lanes) {
            assert_eq!((lane.sampler.as_str(), lane.steps), (*sampler, *steps), "{}", preset.label);
        }
    }
}

#[test]
fn a_race_is_cancelled_and_started_again() {
    let (mut harness, control) = open("samplers");
    control.slow();
    harness.get_by_label("Roll the seed").click();
    harness.run_steps(40);
    harness.get_by_label("Cancel").click();
    harness.run_steps(3);
    assert!(control.commands().iter().any(|command| matches!(command, Command::Cancel(Slot::Race))));
    assert!(harness.state().session().race.is_stopped());
    control.fast();
    harness.get_by_label("Race again").click();
    settle(&mut harness);
    assert!(harness.state().session().race.map().is_some());
}

#[test]
fn the_clock_shows_every_lane_at_one_level() {
    let (mut harness, _) = open("samplers");
    for timestep in [999.0, 480.0, 0.0] {
        harness.state_mut().clock_mut().set(timestep);
        harness.run_steps(3);
        for (index, lane) in harness.state().session().race.lanes().iter().enumerate() {
            let step = lane.at(timestep).expect("a step");
            let said = if timestep < 0.5 {
                format!("{} steps", step.count)
            } else {
                format!("x̂₀ of step {} of {}", step.index + 1, step.count)
            };
            let name = format!("Lane {}, ", index + 1);
            let told = harness.get_all_by_role(Role::RadioButton).filter_map(|node| node.accesskit_node().label());
            let told = told.into_iter().find(|label| label.starts_with(&name)).unwrap_or_default();
            assert!(told.contains(&said), "{told} does not say {said}");
        }
    }
}

#[test]
fn quality_is_measured_when_it_is_looked_at() {
    let (mut harness, control) = open("samplers");
    let ladders = |control: &Control| control.commands().into_iter().filter(|c| matches!(c, Command::Sweep(Slot::Ladder, _))).count();
    assert_eq!(ladders(&control), 0, "nothing is measured that nobody looks at");
    harness.get_by_role_and_label(Role::RadioButton, "Quality").click();
    settle(&mut harness);
    assert_eq!((ladders(&control), harness.state().settings().work.samplers.view), (1, View::Quality));
    assert!(harness.query_by_label("measured, n = 16").is_some());
    let label = SamplerInfo::find("heun").expect("in the table").label;
    let points = harness.get_all_by_role(Role::Button).filter_map(|node| node.accesskit_node().label());
    let points = points.filter(|name| name.starts_with(label) && name.contains("evaluations")).count();
    assert_eq!(points, 12, "six budgets in two plots");
}

#[test]
fn an_error_is_made_in_what_is_chosen_and_its_size_follows_the_slider() {
    let (mut harness, control) = open("targets");
    let decoded = |control: &Control| control.commands().into_iter().filter(|c| matches!(c, Command::Decode(_))).count();
    let before = decoded(&control);
    assert!(before >= 1, "the picture with the error");
    for (choice, want) in [("in v", PredictionType::VPrediction), ("in x₀", PredictionType::Sample), ("in ε", PredictionType::Epsilon)] {
        harness.get_by_role_and_label(Role::RadioButton, choice).click();
        settle(&mut harness);
        assert_eq!(harness.state().settings().work.targets.source(), want);
    }
    assert!(decoded(&control) > before);
    let now = decoded(&control);
    harness.get_by_role_and_label(Role::Slider, "Size δ of the error").set_value_accesskit(0.7);
    settle(&mut harness);
    assert_eq!(harness.state().settings().work.targets.delta, 0.7);
    assert!(decoded(&control) > now);
    assert!(harness.query_by_label_contains("Errors of the model: noise ").is_some());
}
