//! The three levels of looking, in every lab, by click and by key; the worker behind the window is the stand-in of `tests/support`.

mod support;

use diffuscope::ui::labs::LABS;
use diffuscope::ui::labs::zoom::Level;
use diffuscope::ui::{App, Direction, Options};
use egui::accesskit::Role;
use egui::{Key, Modifiers, Rect, pos2, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use support::{Control, StandIn, settle, window};

fn open(lab: &str) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let backend = Box::new(StandIn::new(control.clone()));
    let options = Options { playing: false, lab: Some(lab.to_owned()), ..Options::default() };
    let mut harness = window(backend, options, [1440.0, 900.0]);
    harness.state_mut().pose();
    settle(&mut harness);
    (harness, control)
}

fn press(harness: &mut Harness<'_, App>, key: Key) {
    harness.key_press(key);
    harness.run_steps(3);
}

fn click(harness: &mut Harness<'_, App>, at: egui::Pos2) {
    harness.drag_at(at);
    harness.step();
    harness.drop_at(at);
    harness.run_steps(3);
}

fn level(harness: &Harness<'_, App>) -> Level {
    harness.state().level()
}

/// The names of the pictures of the operation, and their places.
fn pictures(harness: &Harness<'_, App>) -> Vec<(String, Rect)> {
    harness.get_all_by_label_contains("Numbers of ").map(|n| (n.accesskit_node().label().unwrap_or_default(), n.rect())).collect()
}

/// What is said of the computation at the place that is looked at.
fn computed(harness: &Harness<'_, App>) -> String {
    let found = harness.root().children_recursive().filter_map(|node| node.accesskit_node().value());
    found.into_iter().find(|text| text.starts_with("Computed at ")).expect("a computation")
}

/// The point in the middle of a cell of a picture `side` cells wide.
fn cell(rect: Rect, side: usize, x: usize, y: usize) -> egui::Pos2 {
    rect.min + rect.size() * vec2((x as f32 + 0.5) / side as f32, (y as f32 + 0.5) / side as f32)
}

#[test]
fn every_lab_has_three_levels_by_key_and_escape_leads_back() {
    for lab in LABS {
        let (mut harness, _) = open(lab.id);
        assert_eq!(level(&harness), Level::Overview, "{}", lab.id);
        for wanted in [Level::Operation, Level::Numbers, Level::Numbers] {
            press(&mut harness, Key::Z);
            assert_eq!(level(&harness), wanted, "{}", lab.id);
            match wanted {
                Level::Operation => assert_eq!(pictures(&harness).len(), 5, "{}: {:?}", lab.id, pictures(&harness)),
                _ => assert_eq!(harness.get_all_by_label_contains("Cells of ").count(), 3, "{}", lab.id),
            }
            settle(&mut harness);
        }
        for wanted in [Level::Operation, Level::Overview, Level::Overview] {
            press(&mut harness, Key::Escape);
            assert_eq!(level(&harness), wanted, "{}", lab.id);
        }
        settle(&mut harness);
    }
}

#[test]
fn every_lab_has_three_levels_by_click() {
    for lab in LABS {
        let (mut harness, _) = open(lab.id);
        for wanted in Level::ALL.into_iter().rev() {
            harness.get_by_role_and_label(Role::RadioButton, wanted.label()).click();
            harness.run_steps(3);
            assert_eq!(level(&harness), wanted, "{}", lab.id);
        }
        harness.get_by_role_and_label(Role::RadioButton, "Operation").click();
        harness.run_steps(3);
        for (name, rect) in pictures(&harness) {
            click(&mut harness, rect.center() - rect.size() * 0.1);
            assert_eq!(level(&harness), Level::Numbers, "{}, {name}", lab.id);
            harness.get_by_label("Back to the operation").click();
            harness.run_steps(3);
            assert_eq!(level(&harness), Level::Operation, "{}, {name}", lab.id);
        }
        harness.get_by_label("Back to the overview").click();
        harness.run_steps(3);
        assert_eq!(level(&harness), Level::Overview, "{}", lab.id);
    }
}

#[test]
fn what_is_shown_leads_to_the_operation_behind_it() {
    let (mut harness, _) = open("forward-reverse");
    harness.get_by_label("Operand 2 of the operation").click();
    harness.run_steps(3);
    assert_eq!(level(&harness), Level::Operation);
    press(&mut harness, Key::Escape);
    harness.run_steps(30);
    let picture = harness.get_by_label("Probe x t").rect();
    for _ in 0..2 {
        harness.drag_at(cell(picture, 128, 40, 90));
        harness.step();
        harness.drop_at(cell(picture, 128, 40, 90));
        harness.step();
    }
    harness.run_steps(3);
    assert_eq!(level(&harness), Level::Operation, "a double click looks nearer");
    press(&mut harness, Key::Z);
    assert!(computed(&harness).contains(", 90, 40]"), "at the place that was pressed: {}", computed(&harness));

    let (mut harness, _) = open("schedules");
    harness.get_by_role_and_label(Role::RadioButton, "Linear").click();
    harness.run_steps(3);
    assert_eq!(level(&harness), Level::Overview, "the first press chooses");
    harness.run_steps(30);
    harness.get_by_role_and_label(Role::RadioButton, "Linear").click();
    harness.run_steps(3);
    assert_eq!(level(&harness), Level::Operation, "the second looks nearer");
    harness.get_by_role_and_label(Role::RadioButton, "Cosine").click();
    harness.run_steps(3);
    assert!(harness.query_by_label_contains("The operation, x t is").is_some(), "and there another can be chosen");

    let (mut harness, _) = open("guidance");
    let field = harness.get_by_label("Field, prompt").rect();
    click(&mut harness, field.center() + vec2(5.0, 5.0));
    assert_eq!(level(&harness), Level::Operation);
    harness.get_by_role_and_label(Role::RadioButton, "Plane").click();
    harness.run_steps(3);
    assert_eq!(level(&harness), Level::Overview, "another view is a view of the whole");
}

#[test]
fn the_numbers_are_those_of_the_tensors_and_the_arrows_move() {
    let (mut harness, _) = open("forward-reverse");
    harness.get_by_role_and_label(Role::RadioButton, "Operation").click();
    harness.run_steps(3);
    let (_, noisy) = pictures(&harness).into_iter().find(|(name, _)| name == "Numbers of the noisy picture").expect("the result");
    click(&mut harness, cell(noisy, 128, 77, 31));
    let state = harness.state();
    let session = state.session();
    let pixels = &session.picture.as_ref().expect("picture").pixels;
    let level = session.levels.level(380);
    let at = |c: usize, y: usize, x: usize| (c * 128 + y) * 128 + x;
    let eps = diffuscope::noise::gaussian(state.settings().work.seed, diffuscope::noise::Stream::Forward, [3, 128, 128]);
    let wanted = |c: usize, y: usize, x: usize| {
        let (x0, eps) = (2.0 * pixels.data()[at(c, y, x)] - 1.0, eps.data()[at(c, y, x)]);
        let sum = level.alpha * f64::from(x0) + level.sigma * f64::from(eps);
        format!("[0, {c}, {y}, {x}]").to_owned() + " … " + &diffuscope::ui::widgets::math::format_number(sum, 1, 3)
    };
    let said = |text: &str, wanted: &str| {
        let (place, number) = wanted.split_once(" … ").expect("two parts");
        assert!(text.contains(place) && text.ends_with(&format!("= {number}")), "{text} should be {wanted}");
    };
    let expected = [wanted(0, 31, 77), wanted(0, 32, 78), wanted(2, 32, 78)];
    said(&computed(&harness), &expected[0]);
    let before = harness.state().clock().position();
    // Looking by key, the neighbourhood has the keyboard at once.
    press(&mut harness, Key::Escape);
    press(&mut harness, Key::Z);
    press(&mut harness, Key::ArrowRight);
    press(&mut harness, Key::ArrowDown);
    said(&computed(&harness), &expected[1]);
    press(&mut harness, Key::PageDown);
    harness.get_by_label("Channel after").click();
    harness.run_steps(3);
    said(&computed(&harness), &expected[2]);
    assert_eq!(harness.state().clock().position(), before, "the clock stays where it is");
    let map = harness.get_by_label("Where the numbers are").rect();
    click(&mut harness, cell(map, 128, 5, 120));
    assert!(computed(&harness).contains(", 120, 5]"), "{}", computed(&harness));
    let grid = harness.get_by_label_contains("Cells of the clean picture").rect();
    click(&mut harness, cell(grid, 5, 4, 0));
    assert!(computed(&harness).contains(", 118, 7]"), "a press on a neighbour goes there: {}", computed(&harness));
}

#[test]
fn the_numbers_follow_the_clock_and_the_slider() {
    for (lab, direction) in
        [("forward-reverse", Direction::Forward), ("forward-reverse", Direction::Reverse), ("schedules", Direction::Forward)]
    {
        let (mut harness, _) = open(lab);
        harness.state_mut().clock_mut().turn(direction);
        harness.state_mut().clock_mut().set(200.0);
        settle(&mut harness);
        harness.state_mut().set_level(Level::Numbers);
        harness.run_steps(3);
        let before = computed(&harness);
        harness.state_mut().clock_mut().set(700.0);
        harness.run_steps(3);
        assert_ne!(before, computed(&harness), "{lab}, {direction:?}");
    }
    let (mut harness, _) = open("guidance");
    harness.state_mut().set_level(Level::Numbers);
    harness.run_steps(3);
    harness.get_by_label("Guidance scale w").set_value_accesskit(12.0);
    harness.run_steps(3);
    assert!(computed(&harness).contains("12.00 · ("), "{}", computed(&harness));
    assert_eq!(level(&harness), Level::Numbers);
    settle(&mut harness);
}

#[test]
fn the_place_stays_from_pixels_to_latents() {
    let (mut harness, _) = open("forward-reverse");
    harness.state_mut().set_level(Level::Operation);
    harness.run_steps(3);
    let (_, noisy) = pictures(&harness).into_iter().find(|(name, _)| name == "Numbers of the noisy picture").expect("the result");
    click(&mut harness, cell(noisy, 128, 100, 20));
    assert!(computed(&harness).contains("20, 100]"));
    harness.get_by_label("Latent space").click();
    harness.run_steps(3);
    assert!(computed(&harness).contains("2, 12]"), "{}", computed(&harness));
    settle(&mut harness);
}

#[test]
fn escape_closes_what_is_nearest_first() {
    let (mut harness, _) = open("forward-reverse");
    press(&mut harness, Key::F11);
    press(&mut harness, Key::Z);
    press(&mut harness, Key::Escape);
    assert_eq!(level(&harness), Level::Overview);
    assert!(harness.query_by_label("Help").is_none(), "still on the whole screen");
    press(&mut harness, Key::Escape);
    assert!(harness.query_by_label("Help").is_some());
    // In a text field Z is a letter.
    harness.get_by_role_and_label(Role::TextInput, "Prompt").focus();
    harness.run_steps(2);
    press(&mut harness, Key::Z);
    assert_eq!(level(&harness), Level::Overview);
    press(&mut harness, Key::Escape);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(3);
    assert_eq!(level(&harness), Level::Overview, "Ctrl Z undoes");
}

#[test]
fn a_lab_without_anything_to_show_says_so_at_every_level() {
    let control = Control::default();
    control.fail_model("unet/config.json: unknown block type");
    let backend = Box::new(StandIn::new(control));
    let options = Options { playing: false, ..Options::default() };
    let mut harness = Harness::builder().with_size([1100.0, 700.0]).build_eframe(move |cc| App::new(&cc.egui_ctx, backend, options));
    harness.run_steps(10);
    for lab in LABS {
        harness.state_mut().show_lab(lab.id);
        for level in Level::ALL {
            harness.state_mut().set_level(level);
            harness.run_steps(3);
        }
        harness.hover_at(pos2(400.0, 400.0));
        harness.run_steps(3);
    }
}
