//! Every control of every lab, worked by a real click and by a real key: something has to come of it. The controls are found by what
//! the window tells screen readers, so that a new one is worked at once.

mod support;

use diffuscope::ui::labs::zoom::Level;
use diffuscope::ui::{App, Direction, Options};
use egui::accesskit::{Action, Role, Toggled};
use egui::{Key, Pos2, Rect, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use std::fmt::Write;
use support::{Control, StandIn, settle, window};

/// A lab in one of its faces.
#[derive(Debug, Clone, Copy)]
struct Face {
    lab: &'static str,
    direction: Direction,
    chosen: &'static [&'static str],
    key: Option<Key>,
    level: Level,
}

/// A control as a screen reader has it.
#[derive(Debug, Clone, PartialEq)]
struct Found {
    role: Role,
    name: String,
    rect: Rect,
    /// Whether the keyboard reaches it.
    keys: bool,
    /// Which of those with this role and name.
    number: usize,
}

fn open(face: Face) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let backend = Box::new(StandIn::new(control.clone()));
    let save_into = Some(std::env::temp_dir());
    let options = Options { playing: false, lab: Some(face.lab.to_owned()), save_into, ..Options::default() };
    let mut harness = window(backend, options, [1440.0, 900.0]);
    settle(&mut harness);
    for label in face.chosen {
        harness.get_by_role_and_label(Role::RadioButton, label).click();
        harness.run_steps(2);
    }
    harness.state_mut().clock_mut().turn(face.direction);
    harness.state_mut().clock_mut().set(430.0);
    harness.run_steps(4);
    settle(&mut harness);
    if let Some(key) = face.key {
        harness.key_press(key);
        harness.run_steps(4);
        settle(&mut harness);
    }
    harness.state_mut().set_level(face.level);
    harness.hover_at(Pos2::new(3.0, 3.0));
    harness.run_steps(4);
    settle(&mut harness);
    // Let undo take in what was done so far.
    harness.run_steps(40);
    (harness, control)
}

/// All controls that can be worked now. What would open a dialog of the system is left out, and what is chosen already.
fn controls(harness: &Harness<'_, App>) -> Vec<Found> {
    const DIALOGS: [&str; 1] = ["Open…"];
    let mut found: Vec<Found> = Vec::new();
    for node in harness.root().children_recursive() {
        let about = node.accesskit_node();
        let worked = matches!(
            about.role(),
            Role::Button
                | Role::CheckBox
                | Role::RadioButton
                | Role::Slider
                | Role::SpinButton
                | Role::Tab
                | Role::TextInput
                | Role::ComboBox
                | Role::Image
        ) && about.data().supports_action(Action::Click);
        let name = about.label().or_else(|| about.value()).unwrap_or_default();
        let chosen = about.is_selected() == Some(true) || about.toggled() == Some(Toggled::True);
        let is_choice = matches!(about.role(), Role::RadioButton | Role::Tab) || name.starts_with("Branch ");
        if !worked || about.is_disabled() || (is_choice && chosen) || DIALOGS.contains(&name.as_str()) {
            continue;
        }
        let number = found.iter().filter(|other| other.role == about.role() && other.name == name).count();
        let keys = about.data().supports_action(Action::Focus);
        found.push(Found { role: about.role(), name, rect: node.rect(), keys, number });
    }
    found
}

/// All that a person could notice, and what was asked of the worker.
fn state_of(harness: &Harness<'_, App>, control: &Control) -> String {
    let state = harness.state();
    let clock = state.clock();
    let mut text = format!(
        "{} {:?} {} {} {:?} {}",
        state.saved_settings(),
        clock.direction,
        clock.position(),
        clock.playing,
        state.level(),
        control.commands().len()
    );
    let _ = write!(text, " {:?}", state.settings().work.forward_reverse.branches.len());
    for node in harness.root().children_recursive() {
        let about = node.accesskit_node();
        let _ = write!(text, "|{:?} {:?} {:?} {:?} {:?}", about.role(), about.label(), about.value(), about.is_selected(), about.toggled());
    }
    text
}

/// Whether something comes of what was done, within a few frames. A file's name comes from a thread of its own.
fn answered(harness: &mut Harness<'_, App>, control: &Control, before: &str) -> bool {
    for _ in 0..10 {
        if state_of(harness, control) != before {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
        harness.step();
    }
    false
}

fn drag(harness: &mut Harness<'_, App>, from: Pos2, by: f32) {
    harness.drag_at(from);
    harness.step();
    for share in [0.5, 1.0] {
        harness.hover_at(from + vec2(by * share, 0.0));
        harness.step();
    }
    harness.drop_at(from + vec2(by, 0.0));
    harness.run_steps(2);
}

/// Works a control with the pointer.
fn click(harness: &mut Harness<'_, App>, found: &Found) {
    // Between the cells of a grid there is nothing to press, and in the middle of the numbers is the cell that they are of already.
    let cells = found.rect.size().min_elem() > 60.0;
    let at = if cells { found.rect.center() - found.rect.size() * 0.27 } else { found.rect.center() };
    harness.hover_at(at);
    harness.step();
    harness.drag_at(at);
    harness.step();
    harness.drop_at(at);
    harness.run_steps(3);
}

fn work_all(faces: &[Face]) {
    let mut idle = Vec::new();
    let mut worked = 0;
    for face in faces {
        let (harness, _) = open(*face);
        let all = controls(&harness);
        assert!(all.len() > 15, "{face:?}: {}", all.len());
        drop(harness);
        for found in all {
            for by_key in [false, true].into_iter().filter(|by_key| found.keys || !by_key) {
                let (mut harness, control) = open(*face);
                let before = state_of(&harness, &control);
                if by_key {
                    let node = harness.get_all_by_role(found.role).filter(|n| {
                        let about = n.accesskit_node();
                        about.label().or_else(|| about.value()).unwrap_or_default() == found.name
                    });
                    let Some(node) = node.into_iter().nth(found.number) else {
                        idle.push(format!("{face:?}: {found:?} is not there again"));
                        continue;
                    };
                    node.focus();
                    harness.run_steps(2);
                    // Focus alone, or a text cursor, is not what is asked for.
                    let before = state_of(&harness, &control);
                    let keys: &[Key] = match found.role {
                        Role::Slider => &[Key::ArrowRight, Key::ArrowLeft],
                        Role::SpinButton => &[Key::Enter, Key::Num7, Key::Enter],
                        // A picture is pressed, a plot moves its playhead.
                        Role::Image => &[Key::Enter, Key::ArrowRight],
                        _ if found.name.starts_with("Cells of ") => &[Key::ArrowRight],
                        _ => &[Key::Enter],
                    };
                    let mut any = false;
                    for key in keys {
                        if found.role == Role::TextInput {
                            harness.event(egui::Event::Text("x".to_owned()));
                        } else {
                            harness.key_press(*key);
                        }
                        any |= answered(&mut harness, &control, &before);
                    }
                    if !any {
                        idle.push(format!("{face:?}: nothing comes of the keyboard on {found:?}"));
                    }
                } else {
                    if found.role == Role::Slider {
                        for by in [50.0, -50.0] {
                            drag(&mut harness, found.rect.center(), by);
                            if answered(&mut harness, &control, &before) {
                                break;
                            }
                        }
                    } else {
                        click(&mut harness, &found);
                        if found.role == Role::TextInput {
                            harness.event(egui::Event::Text("x".to_owned()));
                            harness.run_steps(2);
                        }
                    }
                    if !answered(&mut harness, &control, &before) {
                        idle.push(format!("{face:?}: nothing comes of a click on {found:?}"));
                    }
                }
                worked += 1;
            }
        }
    }
    println!("{worked} times a control was worked");
    assert!(idle.is_empty(), "{}", idle.join("\n"));
}

const FORWARD: Face = Face { lab: "forward-reverse", direction: Direction::Forward, chosen: &[], key: None, level: Level::Overview };
const REVERSE: Face = Face { direction: Direction::Reverse, ..FORWARD };

#[test]
fn every_control_of_the_forward_leg_answers() {
    work_all(&[FORWARD]);
}

#[test]
fn every_control_over_latents_and_on_the_bridge_answers() {
    work_all(&[Face { chosen: &["Latent space"], ..FORWARD }, Face { key: Some(Key::B), ..FORWARD }]);
}

#[test]
fn every_control_of_the_reverse_leg_and_its_tree_answers() {
    work_all(&[REVERSE, Face { key: Some(Key::N), ..REVERSE }]);
}

#[test]
fn every_control_of_the_schedules_answers() {
    work_all(&[Face { lab: "schedules", ..FORWARD }]);
}

#[test]
fn every_control_of_the_schedules_other_views_answers() {
    for chosen in [&["Weights"][..], &["Learning"]] {
        work_all(&[Face { lab: "schedules", chosen, ..FORWARD }]);
    }
    work_all(&[Face { lab: "schedules", chosen: &["Sampling"], ..REVERSE }]);
}

#[test]
fn every_control_of_the_guidance_lab_answers() {
    let guidance = Face { lab: "guidance", ..REVERSE };
    work_all(&[guidance, Face { chosen: &["Plane"], ..guidance }, Face { chosen: &["Measured"], ..guidance }]);
}

#[test]
fn every_control_of_the_operation_and_of_the_numbers_answers() {
    for level in [Level::Operation, Level::Numbers] {
        work_all(&[Face { level, ..FORWARD }, Face { level, lab: "guidance", ..REVERSE }]);
    }
}
