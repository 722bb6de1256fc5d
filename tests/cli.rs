//! The program from outside: exit codes, what goes to standard output and what to standard error, files, Ctrl-C.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod common;

use common::{LATENTS, TOKENS, TinyPipeline};
use diffuscope::host::HostTensor;
use diffuscope::model::checkpoint::{StoredType, save_safetensors};
use safetensors::SafeTensors;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diffuscope"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The command must fail with exit code 1, silent on standard output, with all `parts` on standard error.
fn fails(args: &[&str], parts: &[&str]) {
    let output = run(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
    assert_eq!(stdout(&output), "", "{args:?}");
    for part in parts {
        assert!(stderr(&output).contains(part), "{args:?}: the message lacks \"{part}\": {}", stderr(&output));
    }
    assert!(!stderr(&output).contains("panicked"), "{args:?}: {}", stderr(&output));
}

#[test]
fn help_shows_examples_and_a_wrong_command_line_is_a_usage_error() {
    for command in ["generate", "world", "gallery", "figure", "train", "eval", "bench"] {
        let output = run(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        let text = stdout(&output);
        assert!(text.contains("Example") && text.contains(&format!("diffuscope {command}")), "{text}");
        assert_eq!(run(&[command, "--no-such-option"]).status.code(), Some(2));
    }
    assert!(stdout(&run(&["--help"])).contains("diffuscope generate"));
    assert!(stdout(&run(&["--version"])).contains(env!("CARGO_PKG_VERSION")));
    for wrong in
        [&["generate"][..], &["paint"], &["generate", "a", "--sampler", "magic"], &["generate", "a", "--device", "abacus"], &["gallery"]]
    {
        let output = run(wrong);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{wrong:?}");
    }
}

#[test]
fn generate_writes_a_picture_and_prints_its_path_alone() {
    let tiny = TinyPipeline::new();
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = (tiny.path(), folder.path().join("a.png"));
    let args = ["generate", "hut", "--model", model.to_str().unwrap(), "--steps", "3", "--seed", "5", "-o", path.to_str().unwrap()];
    let output = run(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).trim(), path.to_str().unwrap());
    assert_eq!(stderr(&output), "", "nothing is said where there is no terminal");
    let first = fs::read(&path).unwrap();
    assert_eq!(image::load_from_memory(&first).unwrap().width() as usize, common::SIDE);
    assert!(run(&args).status.success());
    assert_eq!(fs::read(&path).unwrap(), first, "the same seed gives the same picture");
    assert!(run(&[&args[..], &["--guidance-interval", "0", "1000"]].concat()).status.success());
    assert_eq!(fs::read(&path).unwrap(), first, "an interval of all timesteps is no interval");
    let other = run(&["generate", "hut", "--model", model.to_str().unwrap(), "--steps", "3", "--seed", "6", "-o", path.to_str().unwrap()]);
    assert!(other.status.success());
    assert_ne!(fs::read(&path).unwrap(), first);
}

/// The dump is compared with diffusers' key by key elsewhere; here its keys, types and shapes, and the two forms of latents.
#[test]
fn the_dump_has_every_key_in_its_type_and_shape() {
    let tiny = TinyPipeline::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let unit = HostTensor::from_fn(LATENTS, |i| (i as f32 * 0.37).sin());
    save_safetensors(Path::new(&file("in.safetensors")), &[("latents".into(), unit.clone())], StoredType::F32).unwrap();
    let floats = |tensors: &SafeTensors, name: &str| -> Vec<f32> {
        let view = tensors.tensor(name).unwrap();
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    for sampler in diffuscope::diffusion::SAMPLERS {
        let (out, model) = (file("out.safetensors"), tiny.path());
        let output = run(&[
            "generate",
            "a red house",
            "--negative",
            "snow",
            "--model",
            model.to_str().unwrap(),
            "--steps",
            "4",
            "--guidance",
            "3",
            "--sampler",
            sampler.id,
            "--latents",
            &file("in.safetensors"),
            "--dump",
            &out,
            "-o",
            &file("a.png"),
        ]);
        assert!(output.status.success(), "{}", stderr(&output));
        let bytes = fs::read(&out).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let mut names: Vec<_> = tensors.names().into_iter().map(|name| name.to_string()).collect();
        names.sort();
        let mut expected: Vec<String> = ["image", "text_embeddings", "token_ids"].map(String::from).into();
        expected.extend((0..=4).map(|i| format!("latents_{i:02}")));
        expected.extend((0..4).flat_map(|i| [format!("eps_cond_{i:02}"), format!("eps_uncond_{i:02}")]));
        expected.sort();
        assert_eq!(names, expected);
        let shape = |name: &str| tensors.tensor(name).unwrap().shape().to_vec();
        assert_eq!(tensors.tensor("token_ids").unwrap().dtype(), safetensors::Dtype::I64);
        assert_eq!((shape("token_ids"), shape("text_embeddings")), (vec![2, TOKENS], vec![2, TOKENS, 16]));
        assert_eq!((shape("image"), shape("latents_04"), shape("eps_cond_03")), (vec![3, 32, 32], LATENTS.to_vec(), LATENTS.to_vec()));
        let first = floats(&tensors, "latents_00");
        let scale = first[1] / unit.data()[1];
        assert!(first.iter().zip(unit.data()).all(|(a, b)| (a - scale * b).abs() <= 1e-4 * scale), "{}", sampler.id);
        match sampler.space {
            diffuscope::diffusion::SampleSpace::VariancePreserving => assert!((scale - 1.0).abs() < 1e-6, "{scale}"),
            diffuscope::diffusion::SampleSpace::Sigma => assert!(scale > 1.0, "{scale}"),
            diffuscope::diffusion::SampleSpace::Flow => assert!(scale < 1.0 && scale > 0.5, "{scale}"),
        }
    }
}

#[test]
fn what_generate_cannot_do_is_said() {
    let tiny = TinyPipeline::new();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let model = tiny.path().to_str().unwrap().to_owned();
    let with = |more: &[&str], parts: &[&str]| {
        let out = file("a.png");
        let mut args = vec!["generate", "a", "--model", &model];
        args.extend(more);
        if !more.contains(&"--steps") {
            args.extend(["--steps", "2"]);
        }
        if !more.contains(&"-o") {
            args.extend(["-o", &out]);
        }
        fails(&args, parts);
        assert!(!Path::new(&out).exists());
    };
    fs::write(file("text"), "no tensors").unwrap();
    let save = |name: &str, key: &str, tensor: HostTensor| {
        save_safetensors(Path::new(&file(name)), &[(key.into(), tensor)], StoredType::F32).unwrap()
    };
    save("shape", "latents", HostTensor::full([1, 8, 9, 8], 0.0));
    save("key", "noise", HostTensor::full(LATENTS, 0.0));
    save("nan", "latents", HostTensor::full(LATENTS, f32::NAN));
    save_safetensors(Path::new(&file("half")), &[("latents".into(), HostTensor::full(LATENTS, 0.0))], StoredType::F16).unwrap();
    with(&["--latents", &file("none")], &["none", "latents"]);
    with(&["--latents", &file("text")], &["text", "safetensors"]);
    with(&["--latents", &file("shape")], &["[1, 8, 9, 8]", "[1, 8, 8, 8]"]);
    with(&["--latents", &file("key")], &["\"latents\"", "noise"]);
    with(&["--latents", &file("half")], &["F32", "F16"]);
    with(&["--latents", &file("nan")], &["not finite"]);
    with(&["--latents", folder.path().to_str().unwrap()], &["not a file"]);
    with(&["--steps", "0"], &[]);
    with(&["--guidance", "nan"], &["--guidance"]);
    with(&["--guidance-interval", "700", "200"], &["--guidance-interval", "200 700"]);
    with(&["-o", &file("none/a.png")], &["none/a.png", "does not exist"]);
    with(&["-o", &file("text/a.png")], &["text/a.png", "not a folder"]);
    with(&["-o", folder.path().to_str().unwrap()], &["is a folder"]);
    with(&["--dump", &file("none/a.safetensors")], &["none/a.safetensors"]);
    if cfg!(target_os = "linux") {
        with(&["-o", "/dev/full"], &["/dev/full", "no room is left"]);
    }
    fails(&["generate", "a", "--model", &file("nowhere")], &["nowhere"]);
    fails(&["generate", "a", "--model", folder.path().to_str().unwrap()], &["model_index.json"]);
    if !cfg!(feature = "cuda") {
        fails(&["generate", "a", "--device", "cuda"], &["cuda"]);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_with_130_and_leaves_nothing_behind() {
    let tiny = TinyPipeline::new();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a.png");
    let mut child = program()
        .args([
            "generate",
            "a",
            "--model",
            tiny.path().to_str().unwrap(),
            "--steps",
            "1000",
            "--sampler",
            "ddpm",
            "-o",
            out.to_str().unwrap(),
        ])
        .env("RUST_LOG", "diffuscope=info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It says when it begins, so that the signal does not come before it listens.
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.as_mut().unwrap()), &mut said).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it goes on in spite of Ctrl-C");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let tiny = TinyPipeline::new();
    let folder = tempfile::tempdir().unwrap();
    let mut child = program()
        .args([
            "generate",
            "a",
            "--steps",
            "1",
            "--model",
            tiny.path().to_str().unwrap(),
            "-o",
            folder.path().join("a.png").to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}

#[test]
fn world_writes_a_sheet_and_says_what_it_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let sheet = folder.path().join("sheet.png");
    assert!(run(&["world", "--seed", "3", "--count", "6", "--size", "32", "-o", sheet.to_str().unwrap()]).status.success());
    assert!(image::open(&sheet).unwrap().width() > 64);
    fails(&["world", "--count", "1", "-o", folder.path().join("none/s.png").to_str().unwrap()], &["none/s.png"]);
    fails(&["world", "--count", "1", "-o", sheet.join("s.png").to_str().unwrap()], &["s.png"]);
    fails(&["world", "--count", "0", "-o", sheet.to_str().unwrap()], &["--count"]);
}

#[test]
fn every_lab_is_drawn_into_a_file_on_any_adapter() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/gallery");
    for (theme, size) in [("dark", "1100x700"), ("light", "1300x800")] {
        let output = run(&["gallery", "--out", out.to_str().unwrap(), "--size", size, "--theme", theme]);
        assert!(output.status.success(), "{}", stderr(&output));
        let labs = diffuscope::ui::labs::LABS;
        assert_eq!(stdout(&output).lines().count(), labs.len());
        for lab in labs {
            let picture = image::open(out.join(format!("{}.png", lab.id))).unwrap().to_rgb8();
            assert_eq!(format!("{}x{}", picture.width(), picture.height()), size);
            let brightness: f64 = picture.pixels().map(|p| f64::from(p.0[1])).sum::<f64>() / f64::from(picture.width() * picture.height());
            assert_eq!(brightness > 128.0, theme == "light", "{}: brightness {brightness}", lab.id);
            let mut colors: Vec<_> = picture.pixels().map(|p| p.0).collect();
            colors.sort_unstable();
            colors.dedup();
            assert!(colors.len() > 1000, "{} has {} colours and can hold no picture", lab.id, colors.len());
        }
    }
    fails(&["gallery", "--out", out.to_str().unwrap(), "--lab", "kitchen"], &["kitchen", diffuscope::ui::labs::LABS[0].id]);
    fails(&["gallery", "--out", out.join("guidance.png").to_str().unwrap()], &["guidance.png"]);
}

#[test]
fn a_figure_is_written_restored_and_compared_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (state, table, again) = (at("schedules.png"), at("schedules.csv"), at("again.svg"));
    let output = run(&["figure", "--lab", "schedules", "--seed", "11", "-o", &state, "--scale", "1"]);
    assert_eq!((output.status.code(), stdout(&output).trim()), (Some(0), state.as_str()), "{}", stderr(&output));
    let output = run(&["figure", &state, "-o", &table]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("every value is the same"), "{}", stderr(&output));
    let rows = fs::read_to_string(&table).unwrap();
    assert_eq!(rows.lines().count(), 1001);
    assert!(rows.lines().nth(500).unwrap().starts_with("499,"));
    // Another digest in the file: the figure is written all the same, and the exit code tells.
    let mut bytes = fs::read(&state).unwrap();
    let shown = bytes.windows(8).position(|w| w == b"\"shown\":").unwrap();
    let digit = shown + bytes[shown..].windows(10).position(|w| w == b"\"digest\":\"").unwrap() + 10;
    bytes[digit] = if bytes[digit] == b'0' { b'1' } else { b'0' };
    fs::write(&state, bytes).unwrap();
    let output = run(&["figure", &state, "-o", &again, "--part", "plot-of-beta", "--background", "transparent"]);
    assert_eq!((output.status.code(), Path::new(&again).exists()), (Some(1), true));
    assert!(stderr(&output).contains("differs from the file"), "{}", stderr(&output));
    fails(&["figure", &state, "-o", &at("a.docx")], &["a.docx", ".png, .svg, .csv"]);
    fails(&["figure", &state, "-o", &at("a.png"), "--part", "kitchen"], &["kitchen", "plot-of-beta"]);
    fails(&["figure", &table, "-o", &at("a.png")], &["holds no state", "Ctrl+S"]);
    fails(&["figure", &at("none.png"), "-o", &at("a.png")], &["none.png"]);
    fails(&["figure", "--lab", "kitchen", "-o", &at("a.png")], &["kitchen", "schedules"]);
}

#[test]
fn bench_measures_every_key() {
    let tiny = TinyPipeline::new();
    let output = run(&["bench", "--json", "--runs", "1", "--model", tiny.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let value: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    let keys = [
        "unet_guided_ms",
        "vae_decode_ms",
        "text_encode_ms",
        "generate_20_ms",
        "first_picture_ms",
        "ui_frame_ms_p50",
        "ui_frame_ms_p99",
        "resident_mb",
        "binary_mb",
    ];
    for key in keys {
        let measured = value[key].as_f64();
        assert!(measured.is_some_and(|v| v > 0.0) || (key == "resident_mb" && !cfg!(target_os = "linux")), "{key}: {value}");
    }
    assert!(value["f32_peak_gflops"].as_f64().is_some_and(|peak| peak > 0.0), "{value}");
    for name in ["unet_guided", "vae_decode", "generate_20"] {
        let gflop = value["operations"][name]["gflop"].as_f64();
        assert!(gflop.is_some_and(|gflop| gflop > 0.0), "{name}: {value}");
    }
    assert!(value.get("peers").is_none());
}

#[test]
fn bench_first_starts_twice() {
    let tiny = TinyPipeline::new();
    let output = run(&["bench", "first", "--json", "--runs", "1", "--device", "wgpu", "--model", tiny.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(json["device"], "wgpu");
    for key in ["cold_ms", "kept_ms"] {
        assert!(json[key]["median"].as_f64().unwrap() > 0.0, "{json}");
    }
}

#[test]
fn bench_train_measures_both_networks() {
    let output = run(&["bench", "train", "--json", "--runs", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let value: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    for name in ["unet_f32", "vae_f32"] {
        for key in ["batch", "parameters", "samples_per_s"] {
            assert!(value["steps"][name][key].as_f64().is_some_and(|v| v > 0.0), "{name} {key}: {value}");
        }
        assert!(value["operations"][name]["gflop"].as_f64().is_some_and(|gflop| gflop > 1.0), "{name}: {value}");
    }
}

#[test]
fn where_training_starts_is_looked_at_before_it_starts() {
    let tiny = TinyPipeline::new();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run").to_str().unwrap().to_owned();
    let nowhere = folder.path().join("nowhere").to_str().unwrap().to_owned();
    let train = |what: &str, from: &str, parts: &[&str]| {
        fails(&["train", what, "--out", &out, "--steps", "1", "--from", from], parts);
    };
    train("vae", &nowhere, &["nowhere", "diffusion_pytorch_model.safetensors"]);
    train("unet", &nowhere, &["nowhere", "diffusion_pytorch_model.safetensors"]);
    train("clip", &nowhere, &["--from", "train unet"]);
    train("vae", tiny.path().to_str().unwrap(), &["vae", "shape", "the network that is trained has"]);
}

#[test]
fn who_is_no_peer_is_said_before_anything_is_measured() {
    for command in [&["bench"][..], &["bench", "train"]] {
        fails(&[command, &["--peer", "/no/such/python"]].concat(), &["/no/such/python", "--peer"]);
    }
    if cfg!(unix) {
        fails(&["bench", "--peer", "true"], &["true is no Python", "torch"]);
        fails(&["bench", "--peer", "cat"], &["cat is no Python", "answered"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_desktop_or_an_adapter_one_message_says_what_to_do() {
    let mut window = program();
    let display = ["DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"];
    for name in display {
        window.env_remove(name);
    }
    let output = window.output().unwrap();
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), ""));
    for part in ["window cannot be opened", "mesa-vulkan-drivers", "diffuscope generate", "diffuscope gallery"] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));

    let folder = tempfile::tempdir().unwrap();
    let mut gallery = program();
    gallery.args(["gallery", "--out", folder.path().to_str().unwrap()]);
    // No driver for Vulkan, and no other interface.
    let output = gallery.env("VK_DRIVER_FILES", "/none").env("VK_ICD_FILENAMES", "/none").env("WGPU_BACKEND", "vulkan").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    for part in ["no graphics adapter", "mesa-vulkan-drivers", "diffuscope generate"] {
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    let unknown = run(&["--lab", "kitchen"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("kitchen"), "{}", stderr(&unknown));
}

#[test]
fn traces_are_printed_as_json_and_what_is_unknown_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let trace = |args: &[&str]| {
        let output = run(&[&["trace"], args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let ddim = r#"{"sampler": "ddim", "steps": 4, "schedule": "linear", "mu": [0.5], "s": [0.0], "x_start": [1.0]}"#;
    let traced = trace(&[&write("runs.json", &format!(r#"{{"note": "kept", "runs": [{ddim}]}}"#))]);
    let steps = traced["runs"][0]["trajectory"].as_array().unwrap();
    // Data that is a single point is found exactly.
    assert_eq!((steps.len(), &steps[3]["x"][0], &traced["note"]), (4, &serde_json::json!(0.5), &serde_json::json!("kept")));
    assert_eq!(steps[0]["timestep"], 750.0);
    let lists = write(
        "s.json",
        r#"{"schedules": [{"schedule": "linear", "index": [0]}], "spacings": [{"timestep_spacing": "trailing", "steps": 2}]}"#,
    );
    let filled = trace(&["--schedules", &lists]);
    assert_eq!(filled["schedules"][0]["beta"], serde_json::json!([1e-4]));
    assert_eq!(filled["spacings"][0]["timesteps"], serde_json::json!([999, 499]));
    let single = trace(&["--schedules", &lists, "--single"]);
    assert_eq!(single["schedules"][0]["beta"], serde_json::json!([f64::from(1e-4_f32)]));
    for (text, named) in [(ddim.replace("ddim", "euler_magic"), "euler_magic"), ("{".to_owned(), "is not JSON")] {
        let file = write("bad.json", &format!(r#"{{"runs": [{text}]}}"#));
        let output = run(&["trace", &file]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(named) && stderr(&output).contains("bad.json"), "{}", stderr(&output));
    }
    assert!(stderr(&run(&["trace", "/nowhere.json"])).contains("cannot read /nowhere.json"));
}

#[test]
fn a_schedule_is_learned_for_a_model_and_written_as_one() {
    let tiny = TinyPipeline::new();
    let folder = tempfile::tempdir().unwrap();
    let (out, model) = (folder.path().join("run"), tiny.path());
    let (out_arg, model_arg) = (out.to_str().unwrap(), model.to_str().unwrap());
    let output =
        run(&["train", "schedule", "--out", out_arg, "--from", model_arg, "--steps", "3", "--batch", "8", "--scenes", "2", "--seed", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("learned: loss") && told.contains("cosine: loss"), "{told}");
    let written = out.join("schedules/learned");
    let config = diffuscope::diffusion::SchedulerConfig::from_json(&fs::read(written.join("scheduler_config.json")).unwrap()).unwrap();
    assert_eq!(config.schedule().unwrap().len(), config.num_train_timesteps);
    let record: serde_json::Value = serde_json::from_slice(&fs::read(written.join("learned.json")).unwrap()).unwrap();
    assert!(record["schedules"]["learned"]["variance"].as_f64().unwrap() > 0.0);
    assert_eq!(record["losses"], 24);
}
