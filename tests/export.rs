//! Saving figures and coming back from them, by real clicks and keys: the sheet, the command that it ends in, the file, the way
//! back and the comparison.
//!
//! The worker is the stand-in of `tests/support`; where a file is written or read, it is done here by the same calls as the worker's
//! jobs make.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use diffuscope::figure::{Export, FORMATS, Holds, State};
use diffuscope::ui::export::{Ask, Part, Settings};
use diffuscope::ui::labs::LABS;
use diffuscope::ui::labs::zoom::Level;
use diffuscope::ui::{App, Direction, Options};
use diffuscope::worker::protocol::Command;
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use std::path::Path;
use std::sync::Arc;
use support::{Control, StandIn, window};

fn open(folder: &Path) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let backend = Box::new(StandIn::new(control.clone()));
    let options = Options { playing: false, save_into: Some(folder.to_owned()), ..Options::default() };
    let mut harness = window(backend, options, [1400.0, 860.0]);
    settle(&mut harness);
    (harness, control)
}

/// Frames until all that is to be seen is there, and a little longer, so that what waits for rest has come too.
fn settle(harness: &mut Harness<'_, App>) {
    for _ in 0..2 {
        harness.run_steps(8);
        let rested = (0..900).any(|_| {
            harness.step();
            harness.state().is_settled()
        });
        assert!(rested, "the window did not come to rest");
    }
}

/// The exports asked for so far.
fn exports(control: &Control) -> Vec<Export> {
    control.commands().into_iter().filter_map(|c| if let Command::Export(export) = c { Some(*export) } else { None }).collect()
}

/// Frames until the dialog's thread has answered and the command is there.
fn wait_for_export(harness: &mut Harness<'_, App>, control: &Control, count: usize) -> Export {
    for _ in 0..2000 {
        harness.step();
        let found = exports(control);
        if found.len() >= count {
            return found.into_iter().last().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("no export was asked for");
}

fn click(harness: &mut Harness<'_, App>, role: Role, label: &str) {
    harness.get_by_role_and_label(role, label).click();
    harness.run_steps(2);
}

fn open_sheet(harness: &mut Harness<'_, App>) {
    harness.key_press_modifiers(Modifiers::COMMAND, Key::S);
    harness.run_steps(3);
    assert!(harness.query_by_label("Save a figure").is_some(), "the sheet is open");
}

#[test]
fn the_sheet_ends_in_the_command_that_was_clicked_together() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, control) = open(folder.path());
    harness.state_mut().show_lab("schedules");
    settle(&mut harness);
    click(&mut harness, Role::Button, "Save a figure…");
    harness.run_steps(2);
    click(&mut harness, Role::RadioButton, "Plot of beta");
    click(&mut harness, Role::RadioButton, "PNG");
    click(&mut harness, Role::RadioButton, "4×");
    click(&mut harness, Role::RadioButton, "Transparent");
    click(&mut harness, Role::RadioButton, "Without");
    click(&mut harness, Role::Button, "Save…");
    let export = wait_for_export(&mut harness, &control, 1);
    assert_eq!((export.format.id, export.scale, export.figures.len()), ("png", 4.0, 1));
    assert_eq!(export.target, folder.path().join("schedules-plot-of-beta-seed-3.png"));
    let figure = &export.figures[0];
    assert_eq!((figure.label.as_str(), figure.inks.ground, figure.caption.len()), ("Plot of beta", None, 0));
    assert_eq!(figure.charts().next().unwrap().1.series.len(), 7, "nothing is learned yet");
    assert!(export.state.is_some() && export.shown.is_some());
    assert!(harness.query_by_label("Save a figure").is_none(), "the sheet is gone");
    harness.run_steps(4);
    assert!(harness.query_by_label_contains("Saved to").is_some());
    // What was chosen is remembered, and a table of numbers is offered where there are curves.
    open_sheet(&mut harness);
    assert_eq!((harness.state().settings().export.scale, harness.state().settings().export.caption), (4, false));
    click(&mut harness, Role::RadioButton, "CSV");
    assert!(harness.query_by_label("4×").is_none(), "a table has no scale");
    harness.key_press(Key::Enter);
    let export = wait_for_export(&mut harness, &control, 2);
    assert_eq!((export.format.id, export.format.holds), ("csv", Holds::Curves));
}

#[test]
fn a_run_is_saved_as_animation_at_its_pace_and_as_numbered_files() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, control) = open(folder.path());
    harness.get_by_label("← Denoising").click();
    settle(&mut harness);
    open_sheet(&mut harness);
    click(&mut harness, Role::RadioButton, "The run as animation, 21 frames");
    click(&mut harness, Role::RadioButton, "Transparent");
    click(&mut harness, Role::RadioButton, "GIF");
    assert!(harness.query_by_label("Transparent").is_none(), "a GIF has no soft edges");
    click(&mut harness, Role::RadioButton, "10");
    click(&mut harness, Role::RadioButton, "1×");
    click(&mut harness, Role::Button, "Save…");
    let export = wait_for_export(&mut harness, &control, 1);
    assert_eq!((export.format.id, export.frames().len(), export.frames_per_second), ("gif", 21, 10.0));
    assert_eq!(export.figures[0].inks.ground, Some([255; 3]));
    open_sheet(&mut harness);
    click(&mut harness, Role::RadioButton, "The run as animation, 21 frames");
    click(&mut harness, Role::RadioButton, "PNG files");
    click(&mut harness, Role::Button, "Choose a folder…");
    let export = wait_for_export(&mut harness, &control, 2);
    assert_eq!((export.format.id, export.target.as_path()), ("frames", folder.path()));
}

#[test]
fn the_sheet_is_left_by_its_button_and_by_escape_and_its_keys_reach_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, control) = open(folder.path());
    let before = harness.state().settings().clone();
    open_sheet(&mut harness);
    for key in [Key::Num2, Key::R, Key::T, Key::Space, Key::ArrowRight] {
        harness.key_press(key);
        harness.run_steps(2);
    }
    assert_eq!(*harness.state().settings(), before);
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(harness.query_by_label("Save a figure").is_none());
    open_sheet(&mut harness);
    click(&mut harness, Role::Button, "Do not save");
    assert!(harness.query_by_label("Save a figure").is_none());
    assert!(exports(&control).is_empty());
}

/// Writes a part of the open lab in every format that holds it. Moving formats take their time; GIF stands for them.
fn write_part(harness: &mut Harness<'_, App>, part: Part, caption: bool, folder: &Path) {
    let lab = harness.state().lab().id;
    for format in FORMATS.iter().filter(|format| if part == Part::Film { format.id == "gif" } else { format.holds != Holds::Film }) {
        let settings = Settings { scale: 1, caption, ..Settings::default() };
        let Some(export) = harness.state_mut().export_of(&Ask { part, format: format.id, settings }) else {
            // The stand-in decodes no step of the run behind guidance.
            assert_eq!((lab, part), ("guidance", Part::Film));
            continue;
        };
        if format.fits(&export.figures) {
            let target = folder.join(format!("{lab}.{}", format.id));
            let export = Export { target: target.clone(), ..export };
            export.perform(&mut |_, _| true).unwrap_or_else(|error| panic!("{lab} {part:?} {}: {error}", format.id));
            assert!(target.metadata().unwrap().len() > 100, "{}", target.display());
        }
    }
}

#[test]
fn every_part_of_every_lab_is_drawn_in_every_format_that_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, _) = open(folder.path());
    for lab in LABS {
        harness.state_mut().show_lab(lab.id);
        harness.run_steps(2);
        for space in ["Pixel space", "Latent space"] {
            let has_spaces = harness.query_by_label(space).map(|node| node.click()).is_some();
            if !has_spaces && space == "Latent space" {
                continue;
            }
            for direction in Direction::ALL {
                harness.state_mut().clock_mut().turn(direction);
                harness.state_mut().clock_mut().set(420.0);
                settle(&mut harness);
                let whole = harness.state_mut().figure().expect("something to see");
                for i in 0..whole.alone().len() {
                    write_part(&mut harness, Part::Alone(i), i % 2 == 0, folder.path());
                }
                write_part(&mut harness, Part::Whole, true, folder.path());
                if direction == Direction::Reverse {
                    write_part(&mut harness, Part::Film, true, folder.path());
                }
            }
        }
    }
}

/// A dropped file that the window must not read itself.
#[derive(Debug)]
struct Dropped(std::path::PathBuf);

impl egui::DroppedFile for Dropped {
    fn path(&self) -> &Path {
        &self.0
    }
    fn bytes(&self) -> Result<Vec<u8>, String> {
        panic!("the window reads no file")
    }
}

#[test]
fn a_file_dropped_on_another_window_restores_the_lab_and_its_result_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, control) = open(folder.path());
    harness.get_by_label("Roll the seed").click();
    harness.get_by_label("Another scene").click();
    harness.get_by_label("Latent space").click();
    harness.state_mut().clock_mut().turn(Direction::Forward);
    harness.state_mut().clock_mut().set(333.0);
    harness.state_mut().set_level(Level::Numbers);
    settle(&mut harness);
    open_sheet(&mut harness);
    click(&mut harness, Role::Button, "Save…");
    let export = wait_for_export(&mut harness, &control, 1);
    export.perform(&mut |_, _| true).unwrap();
    let saved = harness.state().settings().work.clone();
    assert_eq!(State::of_file(&export.target).unwrap().unwrap().lab, "forward-reverse");

    let (mut other, control) = open(folder.path());
    let before = other.state().settings().work.clone();
    other.state_mut().show_lab("guidance");
    settle(&mut other);
    other.input_mut().dropped_files.push(Arc::new(Dropped(export.target)));
    settle(&mut other);
    other.run_steps(30);
    let state = other.state();
    assert_eq!((state.lab().id, &state.settings().work, state.clock().timestep()), ("forward-reverse", &saved, 333));
    assert_eq!(state.level(), Level::Numbers, "it is looked at from as near");
    assert!(other.query_by_label_contains("matches the digest of the file").is_some(), "{:?}", other.state().session().notices.list());
    assert!(control.commands().iter().any(|c| matches!(c, Command::Compare(_))));
    other.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    other.run_steps(3);
    assert_eq!(other.state().settings().work, before, "one step of undo");
}

#[test]
fn a_result_that_differs_is_told_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, control) = open(folder.path());
    harness.state_mut().show_lab("guidance");
    settle(&mut harness);
    open_sheet(&mut harness);
    click(&mut harness, Role::Button, "Save…");
    let export = wait_for_export(&mut harness, &control, 1);
    export.perform(&mut |_, _| true).unwrap();
    let mut state = State::of_file(&export.target).unwrap().unwrap();
    let mut shown = state.shown.take().unwrap();
    shown.parts[0].digest = "0".repeat(64);
    shown.digest = "1".repeat(64);
    state.shown = Some(shown);
    state.model.name = "Otherworld".into();
    state.model.digest.clear();
    harness.state_mut().restore(Arc::new(state.clone())).unwrap();
    settle(&mut harness);
    harness.run_steps(30);
    for part in ["another model (Otherworld)", "differs from the file in x_0", "To the eye it is the same"] {
        assert!(harness.query_by_label_contains(part).is_some(), "{part}: {:?}", harness.state().session().notices.list());
    }
    // What this program does not know changes nothing.
    let before = harness.state().settings().clone();
    let strange = State { lab: "kitchen".into(), ..state.clone() };
    assert!(harness.state_mut().restore(Arc::new(strange)).unwrap_err().contains("kitchen"));
    let strange = State { work: serde_json::json!({ "seed": "seven" }), ..state };
    assert!(harness.state_mut().restore(Arc::new(strange)).unwrap_err().contains("cannot be read"));
    assert_eq!(*harness.state().settings(), before);
}

#[test]
fn the_worker_writes_what_was_saved_reads_it_back_and_compares() {
    use diffuscope::worker::Worker;
    use diffuscope::worker::protocol::{Event, PictureSource};
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, _) = open(folder.path());
    let ask = Ask { part: Part::Whole, format: "png", settings: Settings { scale: 1, ..Settings::default() } };
    let export = harness.state_mut().export_of(&ask).unwrap();
    let target = folder.path().join("lab.png");
    let export = Export { target: target.clone(), ..export };
    let mut worker = Worker::spawn(Arc::new(|| {}));
    let mut answer = |command: Command| {
        worker.send(command);
        for _ in 0..20_000 {
            let last = worker.poll(16).into_iter().find(|event| !matches!(event, Event::Started { .. }));
            if let Some(event) = last {
                return event;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("no answer");
    };
    let figure = export.shown.clone().unwrap();
    assert!(matches!(answer(Command::Export(Box::new(export.clone()))), Event::Saved { path, .. } if path == target));
    let Event::StateRead { state, .. } = answer(Command::OpenPicture(PictureSource::File(target.clone()))) else { panic!("no state") };
    let shown = state.shown.clone().unwrap();
    let verdict = answer(Command::Compare(Box::new((shown, figure, "So. ".into()))));
    assert!(matches!(&verdict, Event::Compared { same: true, text, .. } if text.starts_with("So. The run matches")), "{verdict:?}");
    // What cannot be written, and a state that is damaged, are told.
    let nowhere = Export { target: folder.path().join("none/lab.png"), ..export };
    let told = answer(Command::Export(Box::new(nowhere)));
    assert!(matches!(&told, Event::Failed { message, .. } if message.contains("does not exist")), "{told:?}");
    let mut bytes = std::fs::read(&target).unwrap();
    let at = bytes.windows(10).position(|w| w == b"diffuscope").unwrap();
    bytes[at + 15] = b'!';
    std::fs::write(&target, bytes).unwrap();
    let told = answer(Command::OpenPicture(PictureSource::File(target)));
    assert!(matches!(&told, Event::Failed { message, .. } if message.contains("state inside lab.png is damaged")), "{told:?}");
}

/// With `LOOK=DIR` in the environment: the sheet at three sizes in both themes.
#[test]
fn the_sheet_to_look_at() {
    use diffuscope::ui::ThemeChoice;
    let Ok(look) = std::env::var("LOOK") else { return };
    std::fs::create_dir_all(&look).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (size, theme) in
        [([1100.0, 700.0], ThemeChoice::Dark), ([1440.0, 900.0], ThemeChoice::Light), ([2560.0, 1440.0], ThemeChoice::Dark)]
    {
        for (lab, entry) in
            [("forward-reverse", "The run as animation, 17 frames"), ("schedules", "Plot of beta"), ("guidance", "The lab Guidance")]
        {
            let (mut harness, _) = open(folder.path());
            harness.set_size(size.into());
            harness.state_mut().set_theme(theme);
            harness.state_mut().show_lab(lab);
            settle(&mut harness);
            open_sheet(&mut harness);
            harness.get_by_role_and_label(Role::RadioButton, entry).click();
            harness.run_steps(8);
            let name = format!("{look}/sheet-{lab}-{}x{}.png", size[0], size[1]);
            harness.render().unwrap().save(name).unwrap();
        }
    }
}

#[test]
fn the_bridge_comes_back_out_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (mut harness, _) = open(folder.path());
    harness.state_mut().clock_mut().set(420.0);
    settle(&mut harness);
    harness.get_by_label("Restore from here").click();
    settle(&mut harness);
    assert_eq!(harness.state_mut().figure().expect("a bridge").label, "Bridge");
    let export = harness.state_mut().export_of(&Ask { part: Part::Whole, format: "png", settings: Settings::default() }).unwrap();
    let target = folder.path().join("bridge.png");
    Export { target: target.clone(), ..export }.perform(&mut |_, _| true).unwrap();
    let (mut other, _) = open(folder.path());
    other.state_mut().restore(Arc::new(State::of_file(&target).unwrap().unwrap())).unwrap();
    settle(&mut other);
    other.run_steps(30);
    assert!(other.query_by_label_contains("matches the digest of the file").is_some(), "{:?}", other.state().session().notices.list());
}
