//! What holds for the window whatever lab is open: nothing is clipped or overprinted at any size, every control has a name, the
//! keyboard reaches what the pointer does, ten thousand random events do no harm.

mod support;

use diffuscope::ui::labs::LABS;
use diffuscope::ui::labs::zoom::Level;
use diffuscope::ui::{App, Direction, Options, Settings, ThemeChoice};
use diffuscope::worker::protocol::{Command, PictureSource};
use egui::accesskit::{Action, Role};
use egui::{Key, Modifiers, Pos2, Rect, Shape};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use support::{Control, StandIn, settle_within, window};

/// The sizes that every lab has to fit.
const SIZES: [[f32; 2]; 3] = [[1100.0, 700.0], [1440.0, 900.0], [2560.0, 1440.0]];

fn open_at(size: [f32; 2], lab: &str) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let backend = Box::new(StandIn::new(control.clone()));
    // What a random click saves goes there without a dialog; the stand-in writes nothing.
    let save_into = Some(std::env::temp_dir());
    let options = Options { playing: false, lab: Some(lab.to_owned()), save_into, ..Options::default() };
    let mut harness = window(backend, options, size);
    settle(&mut harness);
    (harness, control)
}

/// Frames until all that is to be seen is there.
fn settle(harness: &mut Harness<'_, App>) {
    settle_within(harness, 600);
}

/// What an equation says here: its ink is measured, its words are not known.
const EQUATION: &str = "(an equation)";

/// Every visible text and equation of the last frame: what it says, where its ink is, what it is clipped to, whether it was cut short.
fn texts_in(output: &egui::FullOutput) -> Vec<(String, Rect, Rect, bool)> {
    fn visit(shape: &Shape, clip: Rect, found: &mut Vec<(String, Rect, Rect, bool)>) {
        match shape {
            Shape::Vec(shapes) => shapes.iter().for_each(|shape| visit(shape, clip, found)),
            Shape::Text(text) if !text.galley.text().trim().is_empty() => {
                let ink = text.galley.mesh_bounds.translate(text.pos.to_vec2());
                found.push((text.galley.text().to_owned(), ink, clip, text.galley.elided));
            }
            // Equations are meshes of glyphs, in a texture of their own.
            Shape::Mesh(mesh) if mesh.texture_id != egui::TextureId::default() && !mesh.vertices.is_empty() => {
                found.push((EQUATION.to_owned(), mesh.calc_bounds(), clip, false));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for clipped in &output.shapes {
        visit(&clipped.shape, clipped.clip_rect, &mut found);
    }
    found.retain(|(_, ink, clip, _)| ink.is_positive() && ink.intersects(*clip));
    found
}

/// What is clipped, cut short, or printed over something else.
fn faults(harness: &Harness<'_, App>) -> Vec<String> {
    let side = harness.state().lab_rect().map_or(f32::INFINITY, |rect| rect.right());
    faults_in(&texts_in(harness.output()), side)
}

/// The same; right of `side` lies the panel that scrolls.
fn faults_in(texts: &[(String, Rect, Rect, bool)], side: f32) -> Vec<String> {
    let mut faults = Vec::new();
    for (i, (text, ink, clip, elided)) in texts.iter().enumerate() {
        let room = clip.expand(1.0);
        // The panel at the side scrolls up and down.
        let scrolls = ink.left() >= side;
        if ink.left() < room.left() || ink.right() > room.right() || (!scrolls && (ink.top() < room.top() || ink.bottom() > room.bottom()))
        {
            faults.push(format!("clipped: {text:?} at {ink} in {clip}"));
        }
        if *elided {
            faults.push(format!("cut short: {text:?} at {ink}"));
        }
        for (other, place, within, _) in &texts[..i] {
            // What has scrolled out of sight is over nothing.
            let common = ink.intersect(*clip).intersect(place.intersect(*within));
            if common.is_positive() && common.area() > 0.15 * ink.area().min(place.area()) {
                faults.push(format!("printed over each other: {text:?} at {ink} and {other:?} at {place}"));
            }
        }
    }
    faults
}

#[test]
fn no_text_is_clipped_cut_short_or_printed_over_at_any_size() {
    let mut all = Vec::new();
    for size in SIZES {
        for lab in LABS {
            let (mut harness, _) = open_at(size, lab.id);
            for (direction, timestep) in [lab.pose, (Direction::Forward, 999.0), (Direction::Reverse, 420.0)] {
                harness.state_mut().clock_mut().turn(direction);
                harness.state_mut().clock_mut().set(timestep);
                settle(&mut harness);
                harness.run_steps(3);
                all.extend(faults(&harness).into_iter().map(|fault| format!("{} at {size:?}, {direction:?} {timestep}: {fault}", lab.id)));
            }
        }
    }
    all.dedup();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// A lab in one of its faces: what is pressed, which way the clock runs, how near it is looked at.
#[derive(Debug, Clone, Copy)]
struct Face {
    lab: &'static str,
    direction: Direction,
    buttons: &'static [&'static str],
    key: Option<Key>,
    level: Level,
}

fn faces() -> Vec<Face> {
    use Direction::{Forward, Reverse};
    let face = |lab, direction, buttons, key| Face { lab, direction, buttons, key, level: Level::Overview };
    let first = |direction, buttons, key| face("forward-reverse", direction, buttons, key);
    let mut faces = vec![
        first(Forward, &["Latent space"], None),
        first(Forward, &["Step by step"], None),
        first(Forward, &["Latent space", "Step by step"], None),
        first(Forward, &[], Some(Key::B)),
        first(Reverse, &["Latent space"], None),
        first(Reverse, &[], Some(Key::N)),
        first(Reverse, &["Latent space"], Some(Key::N)),
        face("guidance", Reverse, &["Plane"], None),
        face("guidance", Reverse, &["Measured"], None),
        face("guidance", Reverse, &["lin", "±4"], None),
    ];
    for buttons in
        [&["Weights"][..], &["Weights", "velocity v", "Min-SNR"], &["Sampling"], &["Learning"], &["Zero terminal SNR"], &["Free curve"]]
    {
        faces.push(face("schedules", if buttons[0] == "Sampling" { Reverse } else { Forward }, buttons, None));
    }
    for schedule in ["Linear", "Scaled linear", "Sigmoid"] {
        faces.push(face(
            "schedules",
            Forward,
            match schedule {
                "Linear" => &["Linear"],
                "Sigmoid" => &["Sigmoid"],
                _ => &["Scaled linear"],
            },
            None,
        ));
    }
    for level in [Level::Operation, Level::Numbers] {
        for lab in LABS {
            faces.push(Face { level, ..face(lab.id, lab.pose.0, &[], None) });
        }
        for face in [
            first(Forward, &["Latent space"], None),
            first(Forward, &["Step by step"], None),
            first(Forward, &[], Some(Key::B)),
            first(Reverse, &[], None),
            first(Reverse, &["Latent space"], Some(Key::N)),
            face("schedules", Forward, &["Sigmoid"], None),
        ] {
            faces.push(Face { level, ..face });
        }
    }
    faces
}

/// Opens a face; the pointer is away from everything.
fn open_face(size: [f32; 2], face: Face) -> Harness<'static, App> {
    let (mut harness, _) = open_at(size, face.lab);
    for label in face.buttons {
        harness.get_by_role_and_label(Role::RadioButton, label).click();
        harness.run_steps(2);
    }
    harness.state_mut().clock_mut().turn(face.direction);
    harness.state_mut().clock_mut().set(420.0);
    harness.run_steps(6);
    settle(&mut harness);
    if let Some(key) = face.key {
        harness.key_press(key);
        harness.run_steps(6);
        settle(&mut harness);
    }
    harness.state_mut().set_level(face.level);
    harness.hover_at(Pos2::new(3.0, 3.0));
    harness.run_steps(3);
    settle(&mut harness);
    harness.run_steps(3);
    harness
}

#[test]
fn the_labs_other_faces_are_as_legible_at_every_level() {
    let mut all = Vec::new();
    for size in SIZES {
        for face in faces() {
            let harness = open_face(size, face);
            all.extend(faults(&harness).into_iter().map(|fault| format!("{face:?} at {size:?}: {fault}")));
        }
    }
    all.dedup();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn larger_and_smaller_text_is_as_legible() {
    let mut all = Vec::new();
    for zoom in [0.8, 1.2, 1.6] {
        for lab in LABS {
            for level in Level::ALL {
                let backend = Box::new(StandIn::new(Control::default()));
                let settings = Settings { zoom, lab: lab.id.to_owned(), ..Settings::default() };
                let options = Options { playing: false, ..Options::default() };
                let mut harness = Harness::builder()
                    .with_size([1440.0, 900.0])
                    .with_step_dt(1.0 / 30.0)
                    .build_eframe(move |cc| App::with_settings(&cc.egui_ctx, backend, options, Ok(settings)));
                harness.state_mut().pose();
                settle(&mut harness);
                harness.state_mut().set_level(level);
                harness.run_steps(6);
                settle(&mut harness);
                // Larger than it fits, the lab scrolls, so that some of it is beyond its edge; a prompt scrolls in its field.
                let beyond = |fault: &&String| zoom > 1.0 && (fault.starts_with("clipped") || fault.contains("Negative prompt"));
                let found = faults(&harness);
                let found = found.iter().filter(|fault| !beyond(fault));
                all.extend(found.map(|fault| format!("{} at zoom {zoom}, {level:?}: {fault}", lab.id)));
            }
        }
    }
    all.dedup();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// What lies over the lab: the list of shortcuts, the sheet of figures, the menus. What is below it is covered, so only what is clipped
/// or cut short counts.
#[test]
fn what_opens_over_a_lab_is_not_clipped() {
    let mut all = Vec::new();
    for size in SIZES {
        for lab in LABS {
            for opener in ["Help", "Save a figure…", "View", "Reset", "Open", "Speed 1×"] {
                let (mut harness, _) = open_at(size, lab.id);
                harness.get_by_label(opener).click();
                harness.run_steps(8);
                let found = faults(&harness).into_iter().filter(|fault| !fault.starts_with("printed over"));
                all.extend(found.map(|fault| format!("{opener} over {} at {size:?}: {fault}", lab.id)));
            }
        }
    }
    all.dedup();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn what_is_clipped_or_printed_over_is_found() {
    let mut drawn = false;
    let draw = move |ui: &mut egui::Ui| {
        if !std::mem::replace(&mut drawn, true) {
            return diffuscope::ui::theme::install_fonts(ui.ctx());
        }
        let painter = ui.painter().clone();
        let font = egui::FontId::proportional(20.0);
        for (x, text) in [(380.0, "beyond the edge"), (50.0, "one over"), (60.0, "the other")] {
            painter.text(Pos2::new(x, 50.0), egui::Align2::LEFT_TOP, text, font.clone(), ui.visuals().text_color());
        }
    };
    let mut harness = Harness::builder().with_size([400.0, 200.0]).build_ui(draw);
    harness.run_steps(3);
    let found = faults_in(&texts_in(harness.output()), f32::INFINITY);
    assert!(found.iter().any(|fault| fault.starts_with("clipped")), "{found:?}");
    assert!(found.iter().any(|fault| fault.starts_with("printed over each other")), "{found:?}");
}

#[test]
fn every_control_has_a_name_a_role_and_a_place() {
    let whole = LABS.iter().map(|lab| Face { lab: lab.id, direction: lab.pose.0, buttons: &[], key: None, level: Level::Overview });
    for face in whole.chain(faces()) {
        let harness = open_face([1440.0, 900.0], face);
        let mut controls = Vec::new();
        for node in harness.root().children_recursive() {
            let about = node.accesskit_node();
            let pressed = [Action::Click, Action::Focus].into_iter().any(|action| about.data().supports_action(action));
            // A scroll bar says what it is by its role.
            if !pressed || about.is_hidden() || about.role() == Role::ScrollBar || node.rect().area() == 0.0 {
                continue;
            }
            let name = about.label().or_else(|| about.value()).unwrap_or_default();
            let labelled = about.labelled_by().next().is_some();
            let (role, rect) = (about.role(), node.rect());
            assert!(!name.trim().is_empty() || labelled, "{face:?}: a {role:?} at {rect} has no name");
            assert!(!matches!(role, Role::Unknown | Role::GenericContainer), "{face:?}: {name} at {rect} has no role");
            assert!(rect.is_positive(), "{face:?}: {name} has no place");
            controls.push((role, name, rect));
        }
        assert!(controls.len() > 20, "{face:?}: {}", controls.len());
        for (i, (role, name, rect)) in controls.iter().enumerate() {
            let twin = controls[..i].iter().find(|(r, n, at)| r == role && n == name && at != rect && !name.is_empty());
            let channel = name.starts_with("Channel ");
            assert!(twin.is_none() || channel, "{face:?}: two controls are called {name}: {rect} and {twin:?}");
        }
    }
}

#[test]
fn the_keyboard_reaches_every_button() {
    let (mut harness, _) = open_at([1440.0, 900.0], LABS[0].id);
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..120 {
        harness.key_press(Key::Tab);
        harness.step();
        for node in harness.root().children_recursive() {
            if node.accesskit_node().is_focused() {
                reached.insert(node.accesskit_node().label().unwrap_or_default());
            }
        }
    }
    for name in ["Play", "Step towards noise", "Timestep", "Roll the seed", "View", "Reset", "Help", "Latent space", "Prompt"] {
        assert!(reached.contains(name), "{name} is not reached by Tab: {reached:?}");
    }
}

/// Gives the lab the whole screen, and reads how to leave it.
fn present(harness: &mut Harness<'_, App>) {
    harness.key_press(Key::F11);
    harness.run_steps(5);
    assert!(harness.query_by_label_contains("Esc leads back").is_some());
    harness.get_by_label("Dismiss").click();
    harness.run_steps(3);
}

#[test]
fn presenting_hides_the_bars_and_makes_everything_larger() {
    let (mut harness, _) = open_at([1440.0, 900.0], LABS[0].id);
    let before = harness.get_by_label("Play").rect().width();
    assert!(harness.query_by_label("Help").is_some());
    present(&mut harness);
    assert!(harness.query_by_label("Help").is_none() && harness.query_by_label("Prompt").is_none());
    assert!(harness.get_by_label("Play").rect().width() > before * 1.1);
    settle(&mut harness);
    assert!(faults(&harness).is_empty(), "{:?}", faults(&harness));
    for size in SIZES {
        for lab in LABS {
            let (mut harness, _) = open_at(size, lab.id);
            present(&mut harness);
            settle(&mut harness);
            harness.run_steps(3);
            assert!(faults(&harness).is_empty(), "{} at {size:?}: {:?}", lab.id, faults(&harness));
            let bars = harness
                .root()
                .children_recursive()
                .filter(|n| n.accesskit_node().role() == Role::ScrollBar && n.rect().left() < size[0] * 0.7);
            assert_eq!(bars.count(), 0, "{} at {size:?}: the lab fits", lab.id);
        }
    }
    harness.key_press(Key::Escape);
    harness.run_steps(5);
    assert!(harness.query_by_label("Help").is_some());
}

#[test]
fn a_lab_is_reset_alone_and_the_reset_is_undone() {
    let (mut harness, _) = open_at([1440.0, 900.0], "guidance");
    let steps = harness.get_by_role_and_label(Role::Slider, "Steps");
    steps.set_value_accesskit(60.0);
    harness.run_steps(40);
    harness.get_by_label("Roll the seed").click();
    harness.run_steps(40);
    let seed = harness.state().settings().work.seed;
    assert_eq!(harness.state().settings().work.guidance.steps, 60);
    harness.key_press_modifiers(Modifiers::SHIFT, Key::R);
    harness.run_steps(40);
    assert_eq!(harness.state().settings().work.guidance, Settings::default().work.guidance);
    assert_eq!(harness.state().settings().work.seed, seed, "the seed belongs to no lab");
    harness.get_by_label("Undo").click();
    harness.run_steps(3);
    assert_eq!(harness.state().settings().work.guidance.steps, 60);
    harness.get_by_label("Reset").click();
    harness.run_steps(3);
    harness.get_by_label_contains("All labs").click();
    harness.run_steps(40);
    assert_eq!(harness.state().settings().work.seed, Settings::default().work.seed);
}

#[test]
fn one_control_is_put_back_by_a_double_click_or_the_delete_key() {
    let (mut harness, _) = open_at([1440.0, 900.0], "guidance");
    let steps = |harness: &Harness<'_, App>| harness.state().settings().work.guidance.steps;
    let usual = steps(&harness);
    for by_key in [false, true] {
        harness.get_by_role_and_label(Role::Slider, "Steps").set_value_accesskit(60.0);
        harness.run_steps(20);
        assert_eq!(steps(&harness), 60);
        if by_key {
            harness.get_by_role_and_label(Role::Slider, "Steps").focus();
            harness.run_steps(2);
            harness.key_press(Key::Delete);
        } else {
            for _ in 0..2 {
                harness.get_by_role_and_label(Role::Slider, "Steps").click();
                harness.step();
            }
        }
        harness.run_steps(20);
        assert_eq!(steps(&harness), usual, "by key {by_key}");
    }
}

#[test]
fn the_view_menu_sets_theme_size_and_motion() {
    let (mut harness, _) = open_at([1440.0, 900.0], LABS[0].id);
    let mut choose = |label: &str| {
        harness.get_by_label("View").click();
        harness.run_steps(3);
        harness.get_by_label_contains(label).click();
        harness.run_steps(3);
        harness.state().settings().clone()
    };
    assert_eq!(choose("Light theme").theme, ThemeChoice::Light);
    assert_eq!(choose("Dark theme").theme, ThemeChoice::Dark);
    assert!((choose("Larger").zoom - 1.1).abs() < 1e-6);
    assert!((choose("Normal size").zoom - 1.0).abs() < 1e-6);
    assert!(choose("Reduce motion").reduced_motion);
    assert!(!choose("Glide again").reduced_motion);
}

#[test]
fn with_reduced_motion_nothing_plays_unasked() {
    let backend = Box::new(StandIn::new(Control::default()));
    let settings = Settings { reduced_motion: true, ..Settings::default() };
    let mut harness = Harness::builder()
        .with_size([1440.0, 900.0])
        .with_step_dt(1.0 / 30.0)
        .build_eframe(move |cc| App::with_settings(&cc.egui_ctx, backend, Options::default(), Ok(settings)));
    harness.run_steps(30);
    assert_eq!(harness.state().clock().position(), 0.0);
    harness.get_by_label("Play").click();
    harness.run_steps(10);
    assert!(harness.state().clock().position() > 0.0);
}

#[test]
fn pictures_opened_lately_are_opened_again_from_the_menu() {
    let control = Control::default();
    let backend = Box::new(StandIn::new(control.clone()));
    let options = Options { playing: false, picture: Some(PictureSource::File("/pictures/cat.png".into())), ..Options::default() };
    let mut harness = Harness::builder()
        .with_size([1440.0, 900.0])
        .with_step_dt(1.0 / 30.0)
        .build_eframe(move |cc| App::new(&cc.egui_ctx, backend, options));
    settle(&mut harness);
    assert_eq!(harness.state().settings().recent, [std::path::PathBuf::from("/pictures/cat.png")]);
    let files = |control: &Control| {
        control.commands().iter().filter(|c| matches!(c, Command::OpenPicture(PictureSource::File(p)) if p.ends_with("cat.png"))).count()
    };
    assert_eq!(files(&control), 1);
    harness.get_by_label("Open").click();
    harness.run_steps(3);
    harness.get_by_label("cat.png").click();
    settle(&mut harness);
    assert_eq!(files(&control), 2);
}

#[test]
fn pointing_at_a_symbol_says_what_it_stands_for() {
    let (mut harness, _) = open_at([1440.0, 900.0], LABS[0].id);
    let equation = harness.get_by_label_contains("x t equals root alpha bar").rect();
    let mut told = std::collections::BTreeSet::new();
    for step in 0..60 {
        harness.hover_at(Pos2::new(equation.left() + equation.width() * step as f32 / 60.0, equation.center().y));
        harness.run_steps(14);
        for name in
            ["the noisy picture at t", "the share of the signal", "the clean picture", "the share of the noise", "the noise, unit Gaussian"]
        {
            if harness.query_by_label_contains(name).is_some() {
                told.insert(name);
            }
        }
    }
    assert_eq!(told.len(), 5, "{told:?}");
}

/// For how long this thread has been at work. Where the system does not tell, the time that has passed.
fn busy_for() -> std::time::Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| START.elapsed(), std::time::Duration::from_nanos)
}

/// Ten thousand random clicks, drags, keys and letters in each lab: nothing panics, the clock stays in its range, what is asked of the
/// worker stays bounded, and the window comes to rest afterwards.
#[test]
fn ten_thousand_random_events_in_every_lab_do_no_harm() {
    const EVENTS: u64 = 10_000;
    let keys = [
        Key::Space,
        Key::ArrowLeft,
        Key::ArrowRight,
        Key::ArrowUp,
        Key::ArrowDown,
        Key::Home,
        Key::End,
        Key::B,
        Key::D,
        Key::L,
        Key::N,
        Key::Z,
        Key::R,
        Key::T,
        Key::Tab,
        Key::Enter,
        Key::Escape,
        Key::OpenBracket,
        Key::CloseBracket,
        Key::Backspace,
        Key::F11,
    ];
    for (number, lab) in LABS.iter().enumerate() {
        let (mut harness, control) = open_at([1100.0, 700.0], lab.id);
        // A person may type what the typeface lacks.
        harness.ctx.set_missing_glyph_policy(egui::MissingGlyphPolicy::Tofu);
        let mut dice = 88_172_645_463_325_252_u64 + number as u64;
        let mut roll = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % below
        };
        let mut slowest = std::time::Duration::ZERO;
        for event in 0..EVENTS {
            let at = Pos2::new(roll(1100) as f32, roll(700) as f32);
            // The system's dialogs are not for tests: the buttons that open one are left alone.
            let dialogs = ["Open…", "Open a picture…"];
            let on_dialog =
                dialogs.iter().any(|name| harness.query_all_by_label_contains(name).any(|node| node.rect().expand(4.0).contains(at)));
            match roll(8) {
                0 | 1 => harness.key_press(keys[roll(keys.len() as u64) as usize]),
                2 => harness.key_press_modifiers(Modifiers::SHIFT, keys[roll(keys.len() as u64) as usize]),
                3 => harness.event(egui::Event::Text(["a", "?", "é", "漢", "7", " "][roll(6) as usize].to_owned())),
                4 if !on_dialog => harness.drag_at(at),
                5 if !on_dialog => harness.drop_at(at),
                6 => harness.event(egui::Event::MouseWheel {
                    unit: egui::MouseWheelUnit::Line,
                    source: egui::MouseWheelSource::Wheel,
                    delta: egui::vec2(0.0, roll(7) as f32 - 3.0),
                    phase: egui::TouchPhase::Move,
                    modifiers: Modifiers::NONE,
                }),
                _ => harness.hover_at(at),
            }
            let started = busy_for();
            harness.step();
            slowest = slowest.max(busy_for() - started);
            let state = harness.state_mut();
            assert!((0.0..=999.0).contains(&state.clock().position()), "{} at event {event}", lab.id);
            if state.lab().id != lab.id {
                state.show_lab(lab.id);
            }
        }
        println!("{}: the slowest of {EVENTS} frames took {slowest:?}", lab.id);
        assert!(slowest.as_millis() < 100, "{}: a frame took {slowest:?}", lab.id);
        assert!((control.commands().len() as u64) < 2 * EVENTS, "{}: {} commands", lab.id, control.commands().len());
        let waiting = control.most_waiting();
        println!("{}: at most {waiting} jobs waited", lab.id);
        assert!(waiting <= 16, "{}: {waiting} jobs waited for the worker", lab.id);
        assert!(harness.state().session().notices.list().len() <= 4, "{}", lab.id);
        harness.state_mut().clock_mut().playing = false;
        harness.drop_at(Pos2::new(550.0, 350.0));
        for _ in 0..3 {
            harness.key_press(Key::Escape);
            harness.run_steps(3);
        }
        settle(&mut harness);
    }
}
