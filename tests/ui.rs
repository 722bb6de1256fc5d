//! The window, worked by real clicks and keys on its real widgets, without a window.
//!
//! The worker behind it is a stand-in that lives here only. It computes truly, with the project's own noise, levels and
//! samples' arithmetic, on pictures that it draws itself; in place of the networks stands the closed-form denoiser of
//! `diffusion::ideal` for a handful of these pictures, and a block average in place of the autoencoder.
//!
//! With `LOOK=DIR` in the environment, `every_lab_to_look_at` writes every lab at every size and in both themes to DIR; with
//! `LOOK_CHANNELS=N` of a model whose latents have N channels.

mod support;

use diffuscope::ui::labs::LABS;
use diffuscope::ui::labs::zoom::Level;
use diffuscope::ui::theme::ThemeChoice;
use diffuscope::ui::{App, Direction, Options, Settings};
use diffuscope::worker::protocol::{Command, PictureSource, RunRequest, Slot};
use egui::accesskit::Role;
use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, SnapshotOptions, SnapshotResults};
use support::{Control, StandIn};

fn options() -> Options {
    Options { playing: false, ..Options::default() }
}

fn open_with(options: Options, size: [f32; 2]) -> (Harness<'static, App>, Control) {
    open_channels(options, size, support::CHANNELS)
}

fn open_channels(options: Options, size: [f32; 2], channels: usize) -> (Harness<'static, App>, Control) {
    open_scaled(options, size, channels, 1.0)
}

fn open_scaled(options: Options, size: [f32; 2], channels: usize, pixels_per_point: f32) -> (Harness<'static, App>, Control) {
    let control = Control::default();
    let backend = Box::new(StandIn::with_channels(control.clone(), channels));
    let harness = Harness::builder()
        .with_size(size)
        .with_pixels_per_point(pixels_per_point)
        .with_max_steps(400)
        .with_step_dt(1.0 / 30.0)
        .build_eframe(move |cc| App::new(&cc.egui_ctx, backend, options));
    (harness, control)
}

fn open() -> (Harness<'static, App>, Control) {
    let (mut harness, control) = open_with(options(), [1400.0, 860.0]);
    settle(&mut harness);
    (harness, control)
}

/// Frames until all that is to be seen is there.
fn settle(harness: &mut Harness<'_, App>) {
    for _ in 0..600 {
        harness.step();
        if harness.state().is_settled() {
            return;
        }
    }
    let session = harness.state().session();
    panic!(
        "the window did not come to rest: busy {}, reverse {:?}",
        session.is_busy(),
        (
            session.reverse.is_running(),
            session.reverse.is_stopped(),
            session.reverse.is_current(),
            session.reverse.frames().len(),
            session.forward.is_running()
        )
    );
}

fn reverse_requests(control: &Control, slot: Slot) -> Vec<RunRequest> {
    control.commands().into_iter().filter_map(|c| if let Command::Reverse(s, r) = c { (s == slot).then_some(r) } else { None }).collect()
}

#[test]
fn opens_alive_and_asks_for_a_scene_and_a_run() {
    let (mut harness, control) = open_with(Options::default(), [1400.0, 860.0]);
    for _ in 0..20 {
        harness.step();
    }
    assert!(harness.state().session().picture.is_some(), "a picture is there within a second of frames");
    assert!(harness.state().clock().playing);
    assert!(harness.state().clock().position() > 0.0, "and it is being noised");
    for _ in 0..30 {
        harness.step();
    }
    let commands = control.commands();
    assert!(matches!(commands[0], Command::OpenModel { .. }));
    assert!(commands.iter().any(|c| matches!(c, Command::OpenPicture(PictureSource::Scene { .. }))));
    assert_eq!(commands.iter().filter(|c| matches!(c, Command::Forward(_))).count(), 1);
    let runs = reverse_requests(&control, Slot::Reverse);
    assert_eq!(runs.len(), 1, "one reverse run, not one per frame");
    let caption = &harness.state().session().picture.as_ref().expect("picture").caption;
    assert_eq!(&runs[0].prompt, caption, "the caption of the scene is the first prompt");
}

#[test]
fn the_clock_plays_there_and_back() {
    let (mut harness, _) = open();
    harness.get_by_label("Play").click();
    harness.step();
    let mut seen = [false; 2];
    for _ in 0..700 {
        harness.step();
        seen[usize::from(harness.state().clock().direction == Direction::Reverse)] = true;
    }
    assert_eq!(seen, [true, true]);
    harness.get_by_label("Pause").click();
    harness.step();
    let at = harness.state().clock().position();
    harness.run_steps(5);
    assert_eq!(harness.state().clock().position(), at);
}

#[test]
fn buttons_and_keys_step_the_clock() {
    let (mut harness, _) = open();
    harness.get_by_label("Step towards noise").click();
    harness.run_steps(2);
    assert_eq!(harness.state().clock().timestep(), 20);
    harness.get_by_label("Step towards the picture").click();
    harness.run_steps(2);
    assert_eq!(harness.state().clock().timestep(), 0);
    for (key, expected) in [(Key::End, 999), (Key::ArrowLeft, 980), (Key::ArrowRight, 999), (Key::Home, 0)] {
        harness.key_press(key);
        harness.run_steps(2);
        assert_eq!(harness.state().clock().timestep(), expected, "{key:?}");
    }
    harness.key_press_modifiers(Modifiers::SHIFT, Key::ArrowRight);
    harness.run_steps(2);
    assert_eq!(harness.state().clock().timestep(), 1);
    harness.key_press(Key::Space);
    harness.run_steps(2);
    assert!(harness.state().clock().playing);
    harness.key_press(Key::D);
    harness.run_steps(2);
    assert_eq!(harness.state().clock().direction, Direction::Reverse);
}

#[test]
fn scrubbing_shows_kept_frames_without_asking_again() {
    let (mut harness, control) = open();
    harness.get_by_label("← Denoising").click();
    settle(&mut harness);
    let asked = control.commands().len();
    let track = harness.get_by_label("Timestep").rect();
    let mut shown = Vec::new();
    for i in 0..=20 {
        let at = egui::pos2(track.left() + 20.0 + (track.width() - 40.0) * i as f32 / 20.0, track.center().y);
        if i == 0 {
            harness.drag_at(at)
        } else {
            harness.hover_at(at)
        }
        harness.step();
        let state = harness.state();
        let frame = state.session().reverse.at(state.clock().position()).expect("kept");
        assert!(frame.x_picture.is_some());
        shown.push(frame.index);
    }
    harness.drop_at(egui::pos2(track.right() - 20.0, track.center().y));
    harness.step();
    shown.dedup();
    assert!(shown.len() > 10, "{shown:?}");
    assert_eq!(control.commands().len(), asked, "nothing was asked for while scrubbing");
}

#[test]
fn the_track_answers_to_a_screen_reader() {
    let (mut harness, _) = open();
    let node = harness.get_by_role_and_label(Role::Slider, "Timestep");
    node.set_value_accesskit(640.0);
    harness.run_steps(2);
    assert_eq!(harness.state().clock().timestep(), 640);
    harness.get_by_label("Timestep").increment_accesskit();
    harness.run_steps(2);
    assert_eq!(harness.state().clock().timestep(), 641);
}

#[test]
fn the_seed_changes_by_its_dice_alone() {
    let (mut harness, control) = open();
    let seed = harness.state().settings().work.seed;
    harness.get_by_label("Another scene").click();
    settle(&mut harness);
    assert_eq!(harness.state().settings().work.seed, seed);
    harness.get_by_label("Roll the seed").click();
    settle(&mut harness);
    let next = harness.state().settings().work.seed;
    assert_ne!(next, seed);
    assert_eq!(reverse_requests(&control, Slot::Reverse).last().map(|r| r.seed), Some(next));
}

#[test]
fn labs_switch_by_click_and_by_key() {
    let (mut harness, _) = open();
    for lab in LABS {
        harness.get_by_role_and_label(Role::Tab, lab.label).click();
        harness.run_steps(2);
        assert_eq!(harness.state().lab().id, lab.id);
    }
    for (key, lab) in [Key::Num1, Key::Num2, Key::Num3].into_iter().zip(LABS) {
        harness.key_press(key);
        harness.run_steps(2);
        assert_eq!(harness.state().lab().id, lab.id);
    }
    assert!(harness.query_by_label("Negative prompt").is_some(), "the guidance lab has a negative prompt");
    harness.key_press(Key::Num1);
    harness.run_steps(2);
    assert!(harness.query_by_label("Negative prompt").is_none());
}

#[test]
fn dragging_guidance_asks_coarse_first_then_fine() {
    let (mut harness, control) = open();
    harness.state_mut().show_lab("guidance");
    settle(&mut harness);
    let before = reverse_requests(&control, Slot::Guidance).len();
    let slider = harness.get_by_label("Guidance scale w").rect();
    let at = |share: f32| egui::pos2(slider.left() + 200.0 + (slider.width() - 260.0) * share, slider.top() + 30.0);
    harness.drag_at(at(0.2));
    harness.step();
    for i in 0..15 {
        harness.hover_at(at(0.2 + 0.04 * i as f32));
        harness.step();
    }
    let during = reverse_requests(&control, Slot::Guidance).split_off(before);
    assert!(during.len() >= 2, "the picture follows the drag: {during:?}");
    assert!(during.iter().all(|r| r.steps == 6 && !r.decode_every_step), "coarse while the hand is on the slider: {during:?}");
    harness.drop_at(at(0.76));
    settle(&mut harness);
    let after = reverse_requests(&control, Slot::Guidance).split_off(before);
    let last = after.last().expect("a full run");
    assert_eq!(last.steps, 20);
    assert_eq!(Some(last.guidance_scale), harness.state().settings().work.guidance.guidance_scale);
    assert!(harness.query_by_label_contains("refined, 20 steps").is_some());
}

#[test]
fn a_failure_is_shown_until_it_is_dismissed() {
    let (mut harness, control) = open();
    control.fail_next_picture("cat.txt is no picture: expected PNG, JPEG, WebP, BMP or GIF");
    harness.get_by_label("Another scene").click();
    harness.run_steps(200);
    let message = "cat.txt is no picture: expected PNG, JPEG, WebP, BMP or GIF";
    assert!(harness.query_by_label_contains(message).is_some());
    harness.get_by_label("Dismiss").click();
    harness.run_steps(3);
    assert!(harness.query_by_label_contains(message).is_none());
    assert!(harness.state().session().picture.is_some(), "the picture before is still there");
}

#[test]
fn a_model_that_cannot_be_opened_leaves_a_window_that_works() {
    let control = Control::default();
    control.fail_model("unet/config.json: unknown block type");
    let backend = Box::new(StandIn::new(control));
    let mut harness = Harness::builder().with_size([1100.0, 700.0]).build_eframe(move |cc| App::new(&cc.egui_ctx, backend, options()));
    harness.run_steps(10);
    assert!(harness.query_by_label_contains("unknown block type").is_some());
    for lab in LABS {
        harness.state_mut().show_lab(lab.id);
        harness.run_steps(3);
    }
    assert!(harness.state().has_failed());
}

#[test]
fn settings_are_undone_and_redone_and_reset() {
    let (mut harness, _) = open();
    let seed = harness.state().settings().work.seed;
    harness.get_by_label("Roll the seed").click();
    harness.run_steps(40);
    let rolled = harness.state().settings().work.seed;
    harness.get_by_label("Undo").click();
    harness.run_steps(2);
    assert_eq!(harness.state().settings().work.seed, seed);
    harness.key_press_modifiers(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    harness.run_steps(2);
    assert_eq!(harness.state().settings().work.seed, rolled);
    harness.get_by_label("Latent space").click();
    harness.run_steps(40);
    harness.get_by_label("Reset").click();
    harness.run_steps(3);
    harness.get_by_label_contains("All labs").click();
    harness.run_steps(40);
    assert_eq!(harness.state().settings().work.seed, Settings::default().work.seed);
    harness.key_press_modifiers(Modifiers::COMMAND, Key::Z);
    harness.run_steps(2);
    assert_eq!(harness.state().settings().work.seed, rolled);
}

#[test]
fn typing_a_prompt_asks_once_when_it_rests() {
    let (mut harness, control) = open();
    let before = reverse_requests(&control, Slot::Reverse).len();
    harness.get_by_role_and_label(Role::TextInput, "Prompt").focus();
    harness.run_steps(2);
    for letter in ["a", " ", "b", "o", "a", "t", " ", "4"] {
        harness.get_by_role_and_label(Role::TextInput, "Prompt").type_text(letter);
        harness.step();
    }
    assert_eq!(harness.state().lab().id, LABS[0].id, "digits in a text field open no lab");
    settle(&mut harness);
    harness.run_steps(30);
    settle(&mut harness);
    let runs = reverse_requests(&control, Slot::Reverse).split_off(before);
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert!(runs[0].prompt.contains("a boat 4"), "{:?}", runs[0].prompt);
    assert!(!harness.state().settings().work.prompt_follows_picture);
}

#[test]
fn long_work_can_be_cancelled_and_begun_again() {
    let (mut harness, control) = open();
    control.slow();
    harness.get_by_label("← Denoising").click();
    harness.get_by_label("Roll the seed").click();
    harness.run_steps(4);
    harness.get_all_by_label("Cancel").next().expect("a way to stop").click();
    harness.run_steps(4);
    assert!(control.commands().iter().any(|c| matches!(c, Command::Cancel(_))));
    control.fast();
    harness.get_by_label("Run again").click();
    settle(&mut harness);
    assert!(harness.state().session().reverse.end().is_some());
}

#[test]
fn step_by_step_arrives_at_the_same_marginals_and_goes_back() {
    let (mut harness, _) = open();
    harness.get_by_label("Step by step").click();
    harness.run_steps(2);
    for timestep in [300.0, 20.0, 999.0] {
        harness.state_mut().clock_mut().set(timestep);
        settle(&mut harness);
    }
    assert!(harness.query_by_label_contains("beta is").is_some());
}

#[test]
fn a_dropped_file_is_opened_by_the_worker() {
    let (mut harness, control) = open();
    #[derive(Debug)]
    struct Dropped;
    impl egui::DroppedFile for Dropped {
        fn path(&self) -> &std::path::Path {
            std::path::Path::new("/pictures/mine.png")
        }
        fn bytes(&self) -> Result<Vec<u8>, String> {
            panic!("the window reads no file")
        }
    }
    harness.input_mut().dropped_files.push(std::sync::Arc::new(Dropped));
    harness.run_steps(2);
    let opened =
        control.commands().into_iter().any(|c| matches!(c, Command::OpenPicture(PictureSource::File(p)) if p.ends_with("mine.png")));
    assert!(opened);
}

#[test]
fn a_schedule_is_chosen_and_its_parameters_move_its_curve() {
    let (mut harness, _) = open();
    harness.state_mut().show_lab("schedules");
    settle(&mut harness);
    harness.get_by_role_and_label(Role::RadioButton, "Linear").click();
    harness.run_steps(2);
    assert_eq!(harness.state().settings().work.schedules.focus, "linear");
    let plot = harness.get_by_label("Plot of alpha bar").rect();
    harness.drag_at(plot.center());
    harness.step();
    harness.hover_at(plot.center() + egui::vec2(plot.width() * 0.2, 0.0));
    harness.step();
    harness.drop_at(plot.center() + egui::vec2(plot.width() * 0.2, 0.0));
    harness.run_steps(2);
    let timestep = harness.state().clock().timestep();
    assert!((600..850).contains(&timestep), "the playhead was dragged to {timestep}");
}

#[test]
fn a_damaged_store_is_reported_and_the_defaults_hold() {
    let backend = Box::new(StandIn::new(Control::default()));
    let mut harness = Harness::builder()
        .with_size([1400.0, 860.0])
        .build_eframe(move |cc| App::with_settings(&cc.egui_ctx, backend, options(), Settings::read("{\"work\": 3")));
    settle(&mut harness);
    assert!(harness.query_by_label_contains("The remembered settings could not be read").is_some());
    assert_eq!(harness.state().settings().work, {
        let mut work = Settings::default().work;
        work.prompt.clone_from(&harness.state().settings().work.prompt);
        work
    });
}

#[test]
fn help_opens_and_closes() {
    let (mut harness, _) = open();
    harness.get_by_label("Help").click();
    harness.run_steps(3);
    assert!(harness.query_by_label("Shortcuts").is_some());
    harness.key_press(Key::Escape);
    harness.run_steps(3);
    assert!(harness.query_by_label("Shortcuts").is_none());
}

fn pose(lab: &str, size: [f32; 2], theme: ThemeChoice, channels: usize) -> Harness<'static, App> {
    let (mut harness, _) = open_channels(Options { lab: Some(lab.to_owned()), theme: Some(theme), ..options() }, size, channels);
    harness.state_mut().pose();
    settle(&mut harness);
    harness.run_steps(3);
    harness
}

/// The other views of the schedules, in the smallest window, as far as a click on each control leads.
#[test]
fn the_schedules_other_views_look_as_they_did() {
    let mut results = SnapshotResults::new();
    for (view, direction, clicks) in [
        ("weights", Direction::Forward, &["Weights", "velocity v"][..]),
        ("sampling", Direction::Reverse, &["Sampling"]),
        ("learning", Direction::Forward, &["Learning", "Learn a schedule"]),
    ] {
        let mut harness = pose("schedules", [1100.0, 700.0], ThemeChoice::Dark, support::CHANNELS);
        for label in clicks {
            harness.get_by_label(label).click();
            harness.run_steps(3);
            settle(&mut harness);
        }
        harness.state_mut().clock_mut().turn(direction);
        harness.state_mut().clock_mut().set(400.0);
        harness.hover_at(egui::pos2(3.0, 3.0));
        harness.run_steps(6);
        settle(&mut harness);
        let options = SnapshotOptions::new().threshold(1.0).max_failed_pixels(600);
        harness.snapshot_options(format!("schedules-{view}-1100x700-dark"), &options);
        results.extend_harness(&mut harness);
    }
}

/// Every lab at every size and in both themes, and in the smallest window its operation and its numbers. The larger windows are kept at
/// half their pixels.
#[test]
fn every_lab_looks_as_it_did() {
    let mut results = SnapshotResults::new();
    let mut compare = |lab: &str, size: [f32; 2], theme: ThemeChoice, level: Level| {
        let scale = if size[0] > 1200.0 { 0.5 } else { 1.0 };
        let options = Options { lab: Some(lab.to_owned()), theme: Some(theme), ..options() };
        let (mut harness, _) = open_scaled(options, size, support::CHANNELS, scale);
        harness.state_mut().pose();
        settle(&mut harness);
        harness.state_mut().set_level(level);
        harness.run_steps(4);
        settle(&mut harness);
        // Adapters round edges differently; a moved or changed thing fails more pixels than this.
        let options = SnapshotOptions::new().threshold(1.0).max_failed_pixels(600);
        let near = if level == Level::Overview { String::new() } else { format!("-{}", level.label().to_lowercase()) };
        harness.snapshot_options(format!("{lab}{near}-{}x{}-{}", size[0], size[1], theme.label().to_lowercase()), &options);
        results.extend_harness(&mut harness);
    };
    for lab in LABS {
        for theme in ThemeChoice::ALL {
            for size in [[1100.0, 700.0], [1440.0, 900.0], [2560.0, 1440.0]] {
                compare(lab.id, size, theme, Level::Overview);
            }
        }
        for level in [Level::Operation, Level::Numbers] {
            compare(lab.id, [1100.0, 700.0], ThemeChoice::Dark, level);
        }
    }
}

#[test]
fn every_channel_of_every_model_has_its_place() {
    for channels in [4, 8, 16] {
        let (mut harness, _) = open_channels(options(), [1400.0, 860.0], channels);
        settle(&mut harness);
        harness.get_by_label("Latent space").click();
        harness.run_steps(3);
        settle(&mut harness);
        let text = format!("into the {channels} latent channels");
        assert!(harness.query_by_label_contains(&text).is_some(), "{text}");
        for lab in ["forward-reverse", "guidance"] {
            harness.state_mut().show_lab(lab);
            settle(&mut harness);
            harness.run_steps(3);
            let mut places: Vec<egui::Rect> = Vec::new();
            for channel in 0..channels {
                let before = places.len();
                places.extend(harness.get_all_by_label(&format!("Channel {channel}")).map(|node| node.rect()));
                assert_eq!(places.len() * channel, before * (channel + 1), "{lab}: every field shows every channel");
            }
            for (i, place) in places.iter().enumerate() {
                assert!(place.width() >= 30.0 && (place.width() - place.height()).abs() <= 1.0, "{lab}, {channels} channels: {place}");
                assert!(places[..i].iter().all(|other| !other.intersects(*place)), "{lab}, {channels} channels: {place}");
            }
            let last = places.last().expect("cells").center();
            harness.hover_at(last);
            harness.run_steps(30);
            assert!(harness.query_by_label_contains(&format!("[0, {}, ", channels - 1)).is_some(), "{lab}: the value under the pointer");
        }
        assert!(harness.query_by_label(&format!("Channel {channels}")).is_none());
    }
}

#[test]
fn every_lab_to_look_at() {
    let Ok(folder) = std::env::var("LOOK") else { return };
    let wanted = std::env::var("LOOK_AT").unwrap_or_default();
    let channels = std::env::var("LOOK_CHANNELS").map_or(support::CHANNELS, |count| count.parse().expect("a number of channels"));
    std::fs::create_dir_all(&folder).expect("a folder to write to");
    for lab in LABS {
        for (size, ppp) in [([1100.0, 700.0], 1.0), ([1600.0, 1000.0], 1.0), ([2560.0, 1440.0], 1.0), ([3840.0, 2160.0], 1.0)] {
            for theme in ThemeChoice::ALL {
                let mut variants = vec![("", lab.pose)];
                if lab.id == "forward-reverse" {
                    variants.extend([
                        ("-reverse", (Direction::Reverse, 420.0)),
                        ("-latent", (Direction::Forward, 300.0)),
                        ("-chain", (Direction::Forward, 300.0)),
                    ]);
                }
                if lab.id == "schedules" {
                    variants.extend([
                        ("-weights", lab.pose),
                        ("-sampling", (Direction::Reverse, 400.0)),
                        ("-learning", lab.pose),
                        ("-free", lab.pose),
                    ]);
                }
                variants.extend(
                    [("-help", lab.pose), ("-failure", lab.pose), ("-start", lab.pose)].into_iter().filter(|_| lab.id != "schedules"),
                );
                for (variant, (direction, timestep)) in variants {
                    let name = format!("{}{variant}-{}x{}-{}", lab.id, size[0], size[1], theme.label().to_lowercase());
                    if !wanted.split(',').all(|w| name.contains(w)) {
                        continue;
                    }
                    let mut harness = pose(lab.id, size, theme, channels);
                    harness.set_pixels_per_point(ppp);
                    harness.state_mut().clock_mut().turn(direction);
                    harness.state_mut().clock_mut().set(timestep);
                    for (word, label) in [
                        ("latent", "Latent space"),
                        ("chain", "Step by step"),
                        ("weights", "Weights"),
                        ("sampling", "Sampling"),
                        ("learning", "Learning"),
                        ("learning", "Learn a schedule"),
                        ("free", "Free curve"),
                    ] {
                        if variant.contains(word) {
                            harness.run_steps(2);
                            harness.get_by_label(label).click();
                        }
                    }
                    harness.run_steps(3);
                    settle(&mut harness);
                    harness.run_steps(10);
                    if variant == "-help" {
                        harness.get_by_label("Help").click();
                        harness.run_steps(5);
                    }
                    if variant == "-failure" || variant == "-start" {
                        let control = Control::default();
                        let message = "cat.txt is no picture: it begins with <!doctype html>. PNG, JPEG, WebP, BMP and GIF can be opened.";
                        control.fail_next_picture(message);
                        if variant == "-start" {
                            control.slow();
                        }
                        let options = Options {
                            lab: Some(lab.id.to_owned()),
                            theme: Some(theme),
                            picture: (variant == "-failure").then(|| PictureSource::File("cat.txt".into())),
                            ..options()
                        };
                        let backend = Box::new(StandIn::new(control));
                        harness = Harness::builder().with_size(size).build_eframe(move |cc| App::new(&cc.egui_ctx, backend, options));
                        harness.run_steps(12);
                    }
                    harness.render().expect("rendered").save(format!("{folder}/{name}.png")).expect("written");
                }
            }
        }
    }
}
