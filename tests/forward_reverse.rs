//! The lab "Forward and reverse", worked by real clicks and keys on its real widgets, without a window; the worker behind it is the
//! stand-in of `tests/support`.

mod support;

use diffuscope::ui::theme::ThemeChoice;
use diffuscope::ui::{App, Backend, Direction, Options};
use diffuscope::worker::Worker;
use diffuscope::worker::protocol::{Command, PictureSource, RunRequest, Slot, Start};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use support::{Control, Real, StandIn, settle, window};

fn open_with(size: [f32; 2], theme: ThemeChoice) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    (open_over(Box::new(StandIn::new(control.clone())), size, theme), control)
}

fn open_over(backend: Box<dyn Backend>, size: [f32; 2], theme: ThemeChoice) -> Harness<'static, App> {
    let options = Options { playing: false, theme: Some(theme), lab: Some("forward-reverse".to_owned()), ..Options::default() };
    window(backend, options, size)
}

fn open() -> (Harness<'static, App>, Control) {
    let (mut harness, control) = open_with([1400.0, 860.0], ThemeChoice::Dark);
    settle(&mut harness);
    (harness, control)
}

fn at(harness: &mut Harness<'_, App>, timestep: f64, direction: Direction) {
    harness.state_mut().clock_mut().turn(direction);
    harness.state_mut().clock_mut().set(timestep);
    harness.run_steps(8);
    settle(harness);
}

fn requests(control: &Control, slot: Slot) -> Vec<RunRequest> {
    control.commands().into_iter().filter_map(|c| if let Command::Reverse(s, r) = c { (s == slot).then_some(r) } else { None }).collect()
}

fn says(harness: &Harness<'_, App>, text: &str) -> bool {
    harness.query_all_by_label_contains(text).next().is_some()
}

/// The point in the middle of a cell of a picture `side` cells wide.
fn cell(rect: egui::Rect, side: usize, x: usize, y: usize) -> egui::Pos2 {
    rect.min + egui::vec2(rect.width() * (x as f32 + 0.5) / side as f32, rect.height() * (y as f32 + 0.5) / side as f32)
}

fn click(harness: &mut Harness<'_, App>, at: egui::Pos2) {
    harness.drag_at(at);
    harness.step();
    harness.drop_at(at);
    harness.run_steps(2);
}

#[test]
fn the_probe_tells_the_numbers_of_a_pixel_stays_and_moves() {
    let (mut harness, _) = open();
    at(&mut harness, 380.0, Direction::Forward);
    let picture = harness.get_by_label("Probe x t").rect();
    harness.hover_at(cell(picture, 128, 77, 31));
    harness.run_steps(3);
    assert!(says(&harness, "x[0, 2, 31, 77]"), "pointing tells all three colours");
    // The numbers are those of the tensors.
    let state = harness.state();
    let session = state.session();
    let pixels = &session.picture.as_ref().expect("picture").pixels;
    let level = session.levels.level(380);
    let x0 = 2.0 * pixels.data()[31 * 128 + 77] - 1.0;
    let eps = diffuscope::noise::gaussian(state.settings().work.seed, diffuscope::noise::Stream::Forward, [3, 128, 128]);
    let x = level.alpha * f64::from(x0) + level.sigma * f64::from(eps.data()[31 * 128 + 77]);
    let shown = diffuscope::ui::widgets::math::format_number(x, 1, 3);
    assert!(says(&harness, &format!("= {shown}")), "{shown}");

    click(&mut harness, cell(picture, 128, 77, 31));
    harness.hover_at(egui::pos2(5.0, 855.0));
    harness.run_steps(3);
    assert!(says(&harness, "x[0, 0, 31, 77]"), "pinned");
    let before = harness.state().clock().position();
    harness.key_press(Key::ArrowRight);
    harness.run_steps(2);
    harness.key_press(Key::ArrowUp);
    harness.run_steps(2);
    assert!(says(&harness, "x[0, 0, 30, 78]"), "the arrows move it");
    assert_eq!(harness.state().clock().position(), before, "and not the clock");
    harness.key_press(Key::Escape);
    harness.run_steps(2);
    assert!(!says(&harness, "x[0, 0, "), "let go");
    click(&mut harness, cell(picture, 128, 10, 12));
    click(&mut harness, cell(picture, 128, 10, 12));
    harness.hover_at(egui::pos2(5.0, 855.0));
    harness.run_steps(3);
    assert!(!says(&harness, "x[0, 0, "), "a second press lets go");
}

#[test]
fn the_probe_reads_latents_in_both_directions() {
    let (mut harness, _) = open();
    harness.get_by_label("Latent space").click();
    at(&mut harness, 300.0, Direction::Forward);
    let channel = harness.get_all_by_label("Channel 5").next().expect("channel").rect();
    harness.hover_at(cell(channel, 16, 9, 3));
    harness.run_steps(3);
    assert!(says(&harness, "x[0, 5, 3, 9]"));
    assert!(!says(&harness, "x[0, 4, 3, 9]"), "one number alone");
    at(&mut harness, 500.0, Direction::Reverse);
    harness.run_steps(3);
    assert!(says(&harness, "x[0, 5, 3, 9] ("), "the guess is a quotient");
    let picture = harness.get_by_label("Probe x 0 hat").rect();
    harness.hover_at(cell(picture, 128, 64, 64));
    harness.run_steps(3);
    assert!(says(&harness, "x[0, 1, 64, 64] 0."), "decoded pictures are told as such");
}

#[test]
fn the_probe_works_by_keyboard_alone() {
    let (mut harness, _) = open();
    at(&mut harness, 380.0, Direction::Forward);
    harness.get_by_label("Probe x t").focus();
    harness.run_steps(2);
    harness.key_press(Key::Enter);
    harness.run_steps(2);
    assert!(says(&harness, "x[0, 0, 64, 64]"), "the middle is taken");
    harness.key_press(Key::Space);
    harness.run_steps(2);
    assert!(harness.state().clock().playing && says(&harness, "x[0, 0, 64, 64]"), "Space stays the clock's");
}

#[test]
fn the_histogram_measures_and_follows_the_clock() {
    let (mut harness, _) = open();
    at(&mut harness, 999.0, Direction::Forward);
    let noisy = harness.get_by_label_contains("x t measured").rect();
    assert!(noisy.width() > 50.0);
    let label = |harness: &Harness<'_, App>| {
        let node = harness.get_by_label_contains("x t measured");
        format!("{node:?}")
    };
    let far = label(&harness);
    at(&mut harness, 100.0, Direction::Forward);
    assert_ne!(far, label(&harness));
    assert!(says(&harness, "x t predicted") && says(&harness, "unit Gaussian"));
}

#[test]
fn both_processes_are_measured_side_by_side_and_agree() {
    let (mut harness, _) = open();
    harness.get_by_label("Step by step").click();
    at(&mut harness, 400.0, Direction::Forward);
    assert!(says(&harness, "closed form measured"));
    assert!(says(&harness, "The distribution is the same"));
    harness.get_by_label("Latent space").click();
    at(&mut harness, 250.0, Direction::Forward);
    assert!(says(&harness, "The distribution is the same"));
}

#[test]
fn the_film_puts_the_clock_where_it_is_pressed() {
    let (mut harness, _) = open();
    for (space, direction) in [
        ("Pixel space", Direction::Forward),
        ("Latent space", Direction::Forward),
        ("Pixel space", Direction::Reverse),
        ("Latent space", Direction::Reverse),
    ] {
        harness.get_by_label(space).click();
        at(&mut harness, 0.0, direction);
        let frames: Vec<_> = harness.get_all_by_label_contains("Go to t ").map(|n| n.rect()).collect();
        assert!(frames.len() >= 8, "{space}, {direction:?}: {}", frames.len());
        assert!(frames.windows(2).all(|w| w[0].right() < w[1].left()), "in a row");
        click(&mut harness, frames[frames.len() / 2].center());
        let t = harness.state().clock().timestep();
        assert!((300..700).contains(&t), "{space}, {direction:?}: {t}");
    }
}

#[test]
fn the_bridge_restores_from_the_clock_coarse_first_and_measures_it() {
    let (mut harness, control) = open();
    at(&mut harness, 300.0, Direction::Forward);
    harness.get_by_label("Restore from here").click();
    settle(&mut harness);
    let runs = requests(&control, Slot::Bridge);
    let last = runs.last().expect("a restoration");
    assert!(runs.len() >= 2 && runs[0].steps < last.steps, "few steps first");
    assert!(matches!(last.start, Start::Noised { timestep: 300, .. }));
    assert!(last.prompt.contains("house"), "the caption is its prompt");
    assert!(says(&harness, "restored against the original") && says(&harness, "the autoencoder alone"));
    assert!(says(&harness, "restored, refined"));
    let reverse = requests(&control, Slot::Reverse).len();

    // Dragging the clock asks for coarse pictures on the way.
    let before = runs.len();
    let track = harness.get_by_label("Timestep").rect();
    let place = |share: f32| egui::pos2(track.left() + track.width() * share, track.center().y);
    harness.drag_at(place(0.4));
    harness.step();
    for i in 0..20 {
        harness.hover_at(place(0.4 + 0.02 * i as f32));
        harness.step();
    }
    let during = requests(&control, Slot::Bridge).split_off(before);
    assert!(during.len() >= 2 && during.iter().all(|r| r.steps == 6), "{during:?}");
    harness.drop_at(place(0.78));
    settle(&mut harness);

    // A prompt of its own.
    let field = harness.get_by_role_and_label(Role::TextInput, "Prompt of the restoration");
    field.focus();
    harness.run_steps(2);
    harness.get_by_role_and_label(Role::TextInput, "Prompt of the restoration").type_text(" in blue");
    harness.run_steps(3);
    settle(&mut harness);
    assert!(requests(&control, Slot::Bridge).last().is_some_and(|r| r.prompt.contains("in blue") && r.steps == 20));
    assert!(harness.state().settings().work.forward_reverse.bridge_prompt.is_some());
    assert_eq!(requests(&control, Slot::Reverse).len(), reverse, "the reverse run is not disturbed");

    harness.key_press(Key::Escape);
    harness.run_steps(2);
    harness.key_press(Key::Escape);
    harness.run_steps(2);
    assert!(!harness.state().settings().work.forward_reverse.bridge, "Esc leads back");
    harness.key_press(Key::B);
    harness.run_steps(2);
    assert!(harness.state().settings().work.forward_reverse.bridge);
}

#[test]
fn a_branch_leaves_the_run_and_both_are_kept() {
    let (mut harness, control) = open();
    at(&mut harness, 480.0, Direction::Reverse);
    let trunk = harness.state().session().reverse.frames().to_vec();
    harness.key_press(Key::N);
    harness.run_steps(3);
    settle(&mut harness);
    assert!(says(&harness, "Branch 1, nothing changed yet, from t = "));
    let unchanged = requests(&control, Slot::Branch);
    let Start::Continue { x, index } = &unchanged[0].start else { panic!("{unchanged:?}") };
    assert_eq!(x, &trunk[*index].x, "it starts from the run's own x_t");

    let field = harness.get_by_role_and_label(Role::TextInput, "Prompt of the branch");
    field.focus();
    harness.run_steps(2);
    harness.get_by_role_and_label(Role::TextInput, "Prompt of the branch").type_text(" in pink");
    harness.run_steps(3);
    settle(&mut harness);
    assert!(says(&harness, "in pink, from t = "));
    assert!(requests(&control, Slot::Branch).last().is_some_and(|r| r.prompt.contains("in pink")));
    assert_eq!(requests(&control, Slot::Reverse).len(), 1, "the run was not made again");
    let now = harness.state().session().reverse.frames().to_vec();
    assert!(trunk.iter().zip(&now).all(|(a, b)| std::sync::Arc::ptr_eq(a, b)), "nor was anything of it lost");

    // A second one from the first, at a later step; then back to the run by its lane.
    harness.key_press(Key::Escape);
    harness.run_steps(2);
    at(&mut harness, 200.0, Direction::Reverse);
    harness.get_by_label("Branch here").click();
    harness.run_steps(3);
    settle(&mut harness);
    assert!(says(&harness, "Branch 2, "));
    let lane = harness.get_by_label_contains("The run, prompt").rect();
    click(&mut harness, lane.left_center() + egui::vec2(50.0, 0.0));
    assert!(harness.query_by_label("Prompt of the branch").is_none(), "the run is under the clock again");
    harness.run_steps(40);

    harness.get_by_label("Delete Branch 1").click();
    harness.run_steps(40);
    assert!(!says(&harness, "in pink, from t = "));
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert!(says(&harness, "in pink, from t = "), "undo brings it back");
    let asked = requests(&control, Slot::Branch).len();
    harness.run_steps(30);
    assert_eq!(requests(&control, Slot::Branch).len(), asked, "with its frames");
}

#[test]
fn a_branch_outlives_the_settings_that_its_run_had() {
    let (mut harness, _) = open();
    at(&mut harness, 480.0, Direction::Reverse);
    harness.get_by_label("Branch here").click();
    harness.run_steps(3);
    settle(&mut harness);
    harness.get_by_label("Roll the seed").click();
    harness.run_steps(3);
    settle(&mut harness);
    assert!(says(&harness, "An earlier run, ") && says(&harness, "Branch 1, "), "what was computed is still there");
}

#[test]
fn one_branch_too_many_is_refused_with_a_notice() {
    let (mut harness, _) = open();
    at(&mut harness, 480.0, Direction::Reverse);
    for _ in 0..25 {
        harness.key_press(Key::N);
        harness.run_steps(2);
    }
    assert_eq!(harness.state().settings().work.forward_reverse.branches.len(), 24);
    assert!(says(&harness, "24 branches are kept"));
    settle(&mut harness);
}

#[test]
fn a_pasted_picture_is_opened_and_its_prompt_stays() {
    let (mut harness, control) = open();
    let prompt = harness.state().settings().work.prompt.clone();
    let image = egui::ColorImage::filled([40, 30], egui::Color32::from_rgb(200, 40, 90));
    harness.input_mut().events.push(egui::Event::PasteImage(std::sync::Arc::new(image)));
    harness.run_steps(2);
    settle(&mut harness);
    let pasted = |c: &Command| matches!(c, Command::OpenPicture(PictureSource::Rgba { width: 40, height: 30, bytes }) if bytes[..4] == [200, 40, 90, 255]);
    assert!(control.commands().iter().any(pasted));
    assert_eq!(harness.state().settings().work.prompt, prompt);
}

/// With `LOOK=DIR` in the environment, writes the lab in its states at every size and in both themes to DIR; with `LOOK_REAL` of the
/// shipped model.
#[test]
fn the_lab_to_look_at() {
    let Ok(folder) = std::env::var("LOOK") else { return };
    let wanted = std::env::var("LOOK_AT").unwrap_or_default();
    std::fs::create_dir_all(&folder).expect("a folder to write to");
    for size in [[1100.0, 700.0], [1440.0, 900.0], [2560.0, 1440.0]] {
        for theme in ThemeChoice::ALL {
            for state in STATES {
                let name = format!("{}-{}x{}-{}", state, size[0], size[1], theme.label().to_lowercase());
                if !wanted.split(',').all(|w| name.contains(w)) {
                    continue;
                }
                let backend: Box<dyn Backend> = if std::env::var_os("LOOK_REAL").is_some() {
                    Box::new(Real(Worker::spawn(std::sync::Arc::new(|| {}))))
                } else {
                    Box::new(StandIn::new(Control::default()))
                };
                let mut harness = open_over(backend, size, theme);
                settle(&mut harness);
                stage(&mut harness, state);
                harness.render().expect("rendered").save(format!("{folder}/{name}.png")).expect("written");
            }
        }
    }
}

const STATES: [&str; 9] = [
    "forward",
    "forward-probe",
    "latent-probe",
    "chain",
    "bridge",
    "reverse",
    "reverse-latent-probe",
    "reverse-tree",
    "reverse-latent-tree",
];

fn stage(harness: &mut Harness<'static, App>, state: &str) {
    if state.contains("latent") {
        harness.get_by_label("Latent space").click();
    }
    if state.contains("chain") {
        harness.get_by_label("Step by step").click();
    }
    let direction = if state.contains("reverse") { Direction::Reverse } else { Direction::Forward };
    at(harness, 380.0, direction);
    if state.contains("bridge") {
        harness.get_by_label("Restore from here").click();
        settle(harness);
    }
    if state.contains("tree") {
        for (t, text) in [(700.0, " in pink"), (380.0, " in blue")] {
            at(harness, t, direction);
            harness.key_press(Key::N);
            harness.run_steps(3);
            harness.get_by_role_and_label(Role::TextInput, "Prompt of the branch").focus();
            harness.run_steps(2);
            harness.get_by_role_and_label(Role::TextInput, "Prompt of the branch").type_text(text);
            harness.run_steps(3);
            settle(harness);
            harness.key_press(Key::Escape);
            harness.run_steps(2);
        }
    }
    if state.contains("probe") {
        let (name, side) = if state.contains("latent") { ("Channel 1", 16) } else { ("Probe x t", 128) };
        let rect = harness.get_all_by_label(name).next().expect("a place").rect();
        click(harness, cell(rect, side, side / 2, side / 3));
        harness.run_steps(4);
    }
}
