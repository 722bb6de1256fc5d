//! The lab "Forward and reverse", worked by real clicks and keys on its real widgets, without a window; the worker behind it is the
//! stand-in of `tests/support`.

#[allow(dead_code, reason = "what the other file of window tests uses")]
mod support;

use diffuscope::ui::theme::ThemeChoice;
use diffuscope::ui::{App, Direction, Options};
use diffuscope::worker::protocol::{Command, PictureSource, RunRequest, Slot, Start};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use support::{Control, StandIn};

fn open_with(size: [f32; 2], theme: ThemeChoice) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let backend = Box::new(StandIn::new(control.clone()));
    let options = Options { playing: false, theme: Some(theme), lab: Some("forward-reverse".to_owned()), ..Options::default() };
    let harness = Harness::builder()
        .with_size(size)
        .with_max_steps(400)
        .with_step_dt(1.0 / 30.0)
        .build_eframe(move |cc| App::new(&cc.egui_ctx, backend, options));
    (harness, control)
}

fn open() -> (Harness<'static, App>, Control) {
    let (mut harness, control) = open_with([1400.0, 860.0], ThemeChoice::Dark);
    settle(&mut harness);
    (harness, control)
}

/// Frames until all that is to be seen is there.
fn settle(harness: &mut Harness<'_, App>) {
    for _ in 0..900 {
        harness.step();
        if harness.state().is_settled() {
            return;
        }
    }
    panic!("the window did not come to rest: busy {}", harness.state().session().is_busy());
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
    assert!(says(&harness, "x[0, 1, 64, 64] x t"), "decoded pictures are told as such");
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
    for (space, direction) in
        [("Pixel space", Direction::Forward), ("Latent space", Direction::Forward), ("Pixel space", Direction::Reverse), ("Latent space", Direction::Reverse)]
    {
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

/// With `LOOK=DIR` in the environment, writes the lab in its states at every size and in both themes to DIR.
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
                let (mut harness, _) = open_with(size, theme);
                settle(&mut harness);
                stage(&mut harness, state);
                harness.render().expect("rendered").save(format!("{folder}/{name}.png")).expect("written");
            }
        }
    }
}

const STATES: [&str; 6] = ["forward", "forward-probe", "latent-probe", "chain", "reverse", "reverse-latent-probe"];

fn stage(harness: &mut Harness<'static, App>, state: &str) {
    if state.contains("latent") {
        harness.get_by_label("Latent space").click();
    }
    if state.contains("chain") {
        harness.get_by_label("Step by step").click();
    }
    let direction = if state.contains("reverse") { Direction::Reverse } else { Direction::Forward };
    at(harness, 380.0, direction);
    if state.contains("probe") {
        let (name, side) = if state.contains("latent") { ("Channel 1", 16) } else { ("Probe x t", 128) };
        let rect = harness.get_all_by_label(name).next().expect("a place").rect();
        click(harness, cell(rect, side, side / 2, side / 3));
        harness.run_steps(4);
    }
}
