//! Choosing what to compute on, and going on elsewhere when a device fails, in the window.
//!
//! With `LOOK=DIR` in the environment what is seen is written to DIR.

mod support;

use diffuscope::ui::{App, Options, Settings};
use diffuscope::worker::protocol::{Command, DeviceKind};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use support::{Control, StandIn, settle_within, window};

fn open(device: DeviceKind, failure: Option<&str>) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    if let Some(message) = failure {
        control.fail_device(message);
    }
    let backend = Box::new(StandIn::with_channels(control.clone(), support::CHANNELS));
    let options = Options { playing: false, device: Some(device), ..Options::default() };
    let harness = window(backend, options, [1400.0, 860.0]);
    (harness, control)
}

/// Frames until all that is to be seen is there.
fn settle(harness: &mut Harness<'_, App>) {
    settle_within(harness, 600);
}

fn look(harness: &mut Harness<'_, App>, name: &str) {
    if let Ok(folder) = std::env::var("LOOK") {
        harness.render().expect("a picture").save(std::path::Path::new(&folder).join(name)).expect("a file");
    }
}

fn opened_on(control: &Control) -> Vec<DeviceKind> {
    let device = |command| if let Command::OpenModel { device, .. } = command { Some(device) } else { None };
    control.commands().into_iter().filter_map(device).collect()
}

#[test]
fn the_models_name_opens_the_list_of_devices() {
    let (mut harness, control) = open(DeviceKind::Cpu, None);
    settle(&mut harness);
    assert!(!control.commands().iter().any(|command| matches!(command, Command::Devices)), "nothing is tried unasked");
    harness.get_by_label("Model Stand-in on closed form, cpu").click();
    harness.run_steps(8);
    look(&mut harness, "devices.png");
    assert_eq!(control.commands().iter().filter(|command| matches!(command, Command::Devices)).count(), 1);
    for told in ["in use, 14.2 ms a step", "the fastest, 2.9 ms", "off by 40.0 %", "by a detour", "it was lost", "not measured yet"] {
        harness.get_by_label_contains(told);
    }
    let runs = control.commands().iter().filter(|command| matches!(command, Command::Reverse(..))).count();
    harness.get_by_label_contains("GeForce RTX 4070 (Vulkan), the fastest").click();
    settle(&mut harness);
    assert_eq!(opened_on(&control), [DeviceKind::Cpu, DeviceKind::ALL[2]]);
    harness.get_by_label("Model Stand-in on closed form, wgpu");
    let again = control.commands().iter().filter(|command| matches!(command, Command::Reverse(..))).count();
    assert_eq!(again, runs, "what was computed stays");
}

#[test]
fn a_device_that_fails_leaves_everything_and_offers_the_processor() {
    let card = DeviceKind::ALL[2];
    let (mut harness, control) = open(card, Some("the device wgpu cannot be used: it was lost (asleep)"));
    for _ in 0..60 {
        harness.step();
    }
    look(&mut harness, "device-lost.png");
    let picture = harness.state().session().picture.clone().expect("the picture is still there");
    harness.get_by_label("Use the processor").click();
    settle(&mut harness);
    assert_eq!(opened_on(&control), [card, DeviceKind::Cpu]);
    assert!(std::sync::Arc::ptr_eq(&picture, harness.state().session().picture.as_ref().expect("a picture")));
    assert!(harness.query_by_label("Use the processor").is_none());
    let session = harness.state().session();
    assert!(session.reverse.is_current() && !session.reverse.is_stopped(), "the run that failed was made again");
}

#[test]
fn a_device_that_cannot_be_opened_leaves_the_one_before() {
    let (mut harness, control) = open(DeviceKind::Cpu, None);
    settle(&mut harness);
    control.fail_model("the device wgpu cannot be used: no such card");
    harness.get_by_label("Model Stand-in on closed form, cpu").click();
    harness.run_steps(8);
    harness.get_by_label_contains("GeForce RTX 4070 (Vulkan), the fastest").click();
    settle(&mut harness);
    harness.get_by_label("Model Stand-in on closed form, cpu");
    assert_eq!(harness.state().session().device, DeviceKind::Cpu);
}

/// A window that finds its device by itself, with what it remembers.
fn finding(control: &Control, device: Option<&str>) -> Harness<'static, App> {
    let backend = Box::new(StandIn::new(control.clone()));
    let options = Options { playing: false, find_device: true, ..Options::default() };
    let settings = Settings { device: device.map(str::to_owned), ..Settings::default() };
    Harness::builder()
        .with_size([1400.0, 860.0])
        .with_max_steps(400)
        .with_step_dt(1.0 / 30.0)
        .build_eframe(move |cc| App::with_settings(&cc.egui_ctx, backend, options, Ok(settings)))
}

#[test]
fn at_first_use_the_fastest_that_agrees_is_found_taken_and_remembered() {
    let control = Control::default();
    let mut harness = finding(&control, None);
    settle(&mut harness);
    harness.run_steps(8);
    settle(&mut harness);
    let card = DeviceKind::ALL[2];
    assert_eq!(opened_on(&control), [DeviceKind::Cpu, card], "not the one that is faster and wrong, not the one in software");
    assert_eq!(harness.state().settings().device.as_deref(), Some(card.label()));
    harness.get_by_label_contains("2.9 ms a step, where the processor takes 14.2");
    look(&mut harness, "found.png");
    harness.run_steps(30);
    assert_eq!(opened_on(&control).len(), 2, "once");
    harness.get_by_label("Use the processor").click();
    harness.run_steps(3);
    settle(&mut harness);
    assert_eq!(opened_on(&control).last(), Some(&DeviceKind::Cpu));
    assert_eq!(harness.state().settings().device.as_deref(), Some("cpu"), "the person's word is remembered");
}

#[test]
fn what_was_chosen_is_opened_at_the_next_start_and_nothing_is_tried() {
    let control = Control::default();
    let mut harness = finding(&control, Some("wgpu"));
    settle(&mut harness);
    harness.run_steps(8);
    assert_eq!(opened_on(&control), [DeviceKind::ALL[2]]);
    assert!(!control.commands().iter().any(|command| matches!(command, Command::Devices)));
}

#[test]
fn a_remembered_device_that_is_gone_gives_way_to_the_processor() {
    let control = Control::default();
    control.fail_model("there is no graphics adapter 0");
    let mut harness = finding(&control, Some("wgpu"));
    harness.run_steps(8);
    assert_eq!(opened_on(&control), [DeviceKind::ALL[2], DeviceKind::Cpu]);
    harness.get_by_label_contains("no graphics adapter");
    assert_eq!(harness.state().settings().device, None, "it is not tried again at the next start");
}
