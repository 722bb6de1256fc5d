//! What people and other programs get wrong: each is refused with a message that names what is wrong, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod common;

use common::{LATENTS, TOKENS, TinyPipeline, explain, file_as_folder, safetensors_of};
use diffuscope::figure::{write_atomic, write_png};
use diffuscope::host::HostTensor;
use diffuscope::pipeline::{DeviceKind, GenerateRequest, ModelSource, Pipeline, Start};
use diffuscope::worker::picture;
use diffuscope::worker::protocol::PictureSource;
use serde_json::Value;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";

fn load(folder: &Path) -> Result<Pipeline, String> {
    Pipeline::load(&ModelSource::Folder(folder.to_owned()), DeviceKind::Cpu).map_err(|error| explain(&error))
}

/// Loading must fail, with all `parts` in the message.
fn refused(tiny: &TinyPipeline, what: &str, parts: &[&str]) {
    match load(&tiny.path()) {
        Ok(_) => panic!("{what}: was opened all the same"),
        Err(message) => {
            for part in parts {
                assert!(message.contains(part), "{what}: the message lacks \"{part}\": {message}");
            }
        }
    }
}

#[test]
fn the_tiny_model_itself_is_sound() {
    let pipeline = load(&TinyPipeline::new().path()).unwrap();
    let picture = pipeline.decode(&HostTensor::full(LATENTS, 0.1)).unwrap();
    assert!(picture.is_finite());
}

#[test]
fn broken_safetensors_are_refused() {
    for (file, part) in [(UNET, "unet"), (VAE, "vae"), (TEXT, "text_encoder")] {
        let tiny = TinyPipeline::new();
        let whole = fs::read(tiny.file(file)).unwrap();
        let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let huge = |length: u64| [&length.to_le_bytes()[..], &whole[8..]].concat();
        let cases = [
            ("empty", Vec::new()),
            ("seven bytes", whole[..7].to_vec()),
            ("cut in its header", whole[..8 + header / 2].to_vec()),
            ("cut behind its header", whole[..8 + header].to_vec()),
            ("cut by a byte", whole[..whole.len() - 1].to_vec()),
            ("too long by a byte", [&whole[..], b"x"].concat()),
            ("a header of 2^64 - 1 bytes", huge(u64::MAX)),
            ("a header of 2^63 bytes", huge(1 << 63)),
            ("a header of 2^40 bytes", huge(1 << 40)),
            ("a header as long as the file", huge(whole.len() as u64)),
            ("a text", b"This is not a model.\n".repeat(9)),
            ("zeros", vec![0; 4096]),
            ("no JSON", safetensors_of("{\"a\": [", b"")),
            ("a JSON list", safetensors_of("[]", b"")),
            ("deep JSON", safetensors_of(&"[".repeat(100_000), b"")),
            (
                "overlapping tensors",
                safetensors_of(
                    r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
                    &[0; 12],
                ),
            ),
            ("offsets beyond its end", safetensors_of(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8000]}}"#, &[0; 8])),
            ("offsets that run backwards", safetensors_of(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, &[0; 8])),
            (
                "a shape that overflows",
                safetensors_of(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}"#, &[0; 8]),
            ),
            ("a shape that lies", safetensors_of(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, &[0; 8])),
            ("negative offsets", safetensors_of(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}"#, &[0; 8])),
            ("an unknown type", safetensors_of(r#"{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}"#, &[0; 8])),
        ];
        for (what, bytes) in cases {
            tiny.write(file, &bytes);
            refused(&tiny, what, &[part]);
        }
        tiny.write(file, &whole);
        assert!(load(&tiny.path()).is_ok());
    }
}

/// Rewrites one entry of a file's header, and its bytes where they change in length.
fn edit_header(bytes: &[u8], change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    safetensors_of(&Value::Object(header).to_string(), &bytes[8 + length..])
}

#[test]
fn weights_of_another_type_shape_or_name_are_refused_by_name() {
    let tiny = TinyPipeline::new();
    let whole = fs::read(tiny.file(UNET)).unwrap();
    let name = "conv_in.weight";
    let edited = |change: &dyn Fn(&mut Value)| edit_header(&whole, |header| change(&mut header[name]));

    tiny.write(UNET, &edited(&|tensor| tensor["dtype"] = "I32".into()));
    refused(&tiny, "integers", &[name, "I32", "unet"]);
    tiny.write(UNET, &edited(&|tensor| tensor["shape"].as_array_mut().unwrap().reverse()));
    refused(&tiny, "another shape", &[name, "unet", "[3, 3, 8, 8]", "[8, 8, 3, 3]"]);
    let renamed = edit_header(&whole, |header| {
        let tensor = header.remove(name).unwrap();
        header.insert("conv_inn.weight".into(), tensor);
    });
    tiny.write(UNET, &renamed);
    refused(&tiny, "another name", &[name, "unet"]);
}

#[test]
fn weights_that_are_not_numbers_are_told_when_they_are_used() {
    let tiny = TinyPipeline::new();
    let mut bytes = fs::read(tiny.file(UNET)).unwrap();
    let length = bytes.len();
    bytes[length - 4000..].fill(0xff);
    tiny.write(UNET, &bytes);
    let message = match load(&tiny.path()) {
        Err(message) => message,
        Ok(pipeline) => {
            let text = pipeline.encode_text("").unwrap();
            explain(&pipeline.predict(&HostTensor::full(LATENTS, 0.5), 500.0, &text, &text).unwrap_err())
        }
    };
    assert!(message.contains("finite"), "{message}");
}

#[test]
fn folders_that_lack_something_are_refused_by_its_name() {
    let files = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        UNET,
        "vae/config.json",
        VAE,
        "text_encoder/config.json",
        TEXT,
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
    ];
    let tiny = TinyPipeline::new();
    for file in files {
        let bytes = fs::read(tiny.file(file)).unwrap();
        fs::remove_file(tiny.file(file)).unwrap();
        refused(&tiny, file, &[file]);
        // A folder in the place of the file.
        fs::create_dir(tiny.file(file)).unwrap();
        refused(&tiny, file, &[file]);
        fs::remove_dir(tiny.file(file)).unwrap();
        tiny.write(file, &bytes);
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(load(&folder.path().join("none")).err().unwrap().contains("none"));
    assert!(load(folder.path()).err().unwrap().contains("model_index.json"));
    assert!(load(&file_as_folder(folder.path())).err().unwrap().contains("a-file"));
}

#[test]
fn configurations_that_are_wrong_are_refused_by_key() {
    let set = |key: &'static str, value: Value| move |config: &mut Value| config[key] = value;
    let cases: Vec<(&str, &str, Value, &[&str])> = vec![
        ("unet/config.json", "block_out_channels", serde_json::json!([]), &["block_out_channels"]),
        ("unet/config.json", "block_out_channels", serde_json::json!([0, 16]), &["block_out_channels"]),
        ("unet/config.json", "block_out_channels", serde_json::json!("many"), &["block_out_channels"]),
        ("unet/config.json", "block_out_channels", serde_json::json!([8, 16, 32]), &["down_block_types"]),
        ("unet/config.json", "down_block_types", serde_json::json!(["DownBlock2D", "MagicBlock"]), &["MagicBlock"]),
        ("unet/config.json", "norm_num_groups", serde_json::json!(3), &["norm_num_groups"]),
        ("unet/config.json", "norm_num_groups", serde_json::json!(0), &["norm_num_groups"]),
        ("unet/config.json", "attention_head_dim", serde_json::json!(5), &["attention_head_dim"]),
        ("unet/config.json", "act_fn", serde_json::json!("snake"), &["snake"]),
        ("unet/config.json", "layers_per_block", serde_json::json!(-1), &["layers_per_block"]),
        ("unet/config.json", "cross_attention_dim", serde_json::json!(24), &["24"]),
        ("unet/config.json", "in_channels", serde_json::json!(9), &["9"]),
        ("unet/config.json", "class_embed_type", serde_json::json!("timestep"), &["class_embed_type"]),
        ("vae/config.json", "latent_channels", serde_json::json!(16), &["16"]),
        ("vae/config.json", "norm_num_groups", serde_json::json!(7), &["norm_num_groups"]),
        ("vae/config.json", "scaling_factor", serde_json::json!(0.0), &["scaling_factor"]),
        ("vae/config.json", "scaling_factor", serde_json::json!("big"), &["scaling_factor"]),
        ("text_encoder/config.json", "hidden_act", serde_json::json!("loud"), &["loud"]),
        ("text_encoder/config.json", "num_attention_heads", serde_json::json!(3), &["num_attention_heads"]),
        ("text_encoder/config.json", "vocab_size", serde_json::json!(100), &["token_embedding", "100"]),
        ("scheduler/scheduler_config.json", "beta_schedule", serde_json::json!("zigzag"), &["zigzag"]),
        ("scheduler/scheduler_config.json", "prediction_type", serde_json::json!("horoscope"), &["horoscope"]),
        ("scheduler/scheduler_config.json", "num_train_timesteps", serde_json::json!(0), &["0 training timesteps"]),
        ("model_index.json", "_class_name", serde_json::json!("FluxPipeline"), &["FluxPipeline"]),
    ];
    for (file, key, value, parts) in cases {
        let tiny = TinyPipeline::new();
        tiny.edit(file, set(key, value.clone()));
        refused(&tiny, &format!("{file} with {key} = {value}"), parts);
    }
    for file in [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/vocab.json",
    ] {
        for text in ["", "{", "null", "[1, 2]", "\u{feff}{}", "{}"] {
            // A scheduler that says nothing has diffusers' defaults.
            if text == "{}" && file.starts_with("scheduler") {
                continue;
            }
            let tiny = TinyPipeline::new();
            tiny.write(file, text.as_bytes());
            refused(&tiny, &format!("{file} holding {text:?}"), &[]);
        }
    }
}

/// Configurations so large that building the model would take all memory must be refused before it does.
#[test]
fn a_gigantic_configuration_costs_nothing() {
    for (file, key) in [
        ("unet/config.json", "cross_attention_dim"),
        ("text_encoder/config.json", "intermediate_size"),
        ("text_encoder/config.json", "num_hidden_layers"),
    ] {
        let tiny = TinyPipeline::new();
        tiny.edit(file, |config| config[key] = 1_000_000_000_000_u64.into());
        refused(&tiny, key, &[]);
    }
}

#[test]
fn a_tokenizer_that_is_wrong_is_refused() {
    let tiny = TinyPipeline::new();
    tiny.write("tokenizer/merges.txt", b"#version: 0.2\nh o u s e\n");
    refused(&tiny, "a merge of five", &["merge"]);
    let tiny = TinyPipeline::new();
    tiny.write("tokenizer/merges.txt", "#version: 0.2\nq zebra\n".as_bytes());
    refused(&tiny, "a merge of what is not there", &["zebra"]);
    let tiny = TinyPipeline::new();
    tiny.edit("tokenizer/vocab.json", |vocab| {
        vocab.as_object_mut().unwrap().remove("<|endoftext|>");
    });
    refused(&tiny, "no end token", &["<|endoftext|>"]);
}

#[test]
fn any_prompt_can_be_read() {
    let tiny = TinyPipeline::new();
    let pipeline = load(&tiny.path()).unwrap();
    let long = "a red house ".repeat(20_000);
    let prompts =
        ["", " ", "\n\t", "\0", "家と月", "مرحبا", "🏠🎈👩‍👩‍👧", "e\u{301}\u{301}\u{301}", "\u{202e}abc", "<|endoftext|>", "ＡＢＣ", &long];
    for prompt in prompts {
        let tokens = pipeline.tokenize(prompt);
        assert_eq!(tokens.ids.len(), TOKENS, "{prompt:.20?}");
        let embedding = pipeline.encode_text(prompt).unwrap();
        assert!(embedding.is_finite(), "{prompt:.20?}");
        let request = GenerateRequest { prompt: prompt.into(), negative: prompt.into(), steps: 1, ..Default::default() };
        let generated = pipeline.generate(&request, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(generated.latents.is_finite(), "{prompt:.20?}");
    }
    assert_eq!(pipeline.tokenize("").dropped, 0);
    assert!(pipeline.tokenize(&long).dropped > 100_000, "what is not seen is counted");
}

#[test]
fn requests_out_of_range_are_refused() {
    let tiny = TinyPipeline::new();
    let pipeline = load(&tiny.path()).unwrap();
    let refused = |request: GenerateRequest, part: &str| {
        let message = explain(&pipeline.generate(&request, &mut |_| ControlFlow::Continue(())).err().unwrap());
        assert!(message.contains(part), "{message}");
    };
    refused(GenerateRequest { steps: 0, ..Default::default() }, "0 steps");
    refused(GenerateRequest { steps: usize::MAX, ..Default::default() }, "steps");
    refused(GenerateRequest { guidance_scale: f64::NAN, ..Default::default() }, "guidance");
    refused(GenerateRequest { start: Start::Latents(HostTensor::full([1, 8, 7, 8], 0.0)), ..Default::default() }, "[1, 8, 7, 8]");
    refused(GenerateRequest { start: Start::Latents(HostTensor::full([0], 0.0)), ..Default::default() }, "[0]");
    refused(GenerateRequest { start: Start::Noised { x0: HostTensor::full(LATENTS, 0.0), timestep: 1000 }, ..Default::default() }, "1000");
    assert!(pipeline.encode_picture(&HostTensor::full([3, 31, 32], 0.0)).is_err());
    assert!(pipeline.encode_picture(&HostTensor::full([3, 0, 0], 0.0)).is_err());
}

/// A PNG whose header claims a size, with no pixels behind it.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(width.to_be_bytes());
    chunk.extend(height.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let crc = chunk.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(chunk);
    bytes.extend((!crc).to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    bytes
}

fn bytes(name: &str, bytes: Vec<u8>) -> PictureSource {
    PictureSource::Bytes { name: name.into(), bytes: Arc::from(bytes) }
}

fn png(width: u32, height: u32) -> Vec<u8> {
    diffuscope::figure::encode_tensor(&HostTensor::from_fn([3, height as usize, width as usize], |i| (i % 7) as f32 / 6.0)).unwrap()
}

#[test]
fn what_is_no_picture_is_refused() {
    let whole = png(40, 30);
    let cases = [
        (bytes("empty.png", Vec::new()), &["empty.png", "empty"][..]),
        (bytes("letter.txt", b"Dear reader, this is a letter and no picture at all.".to_vec()), &["letter.txt", "PNG, JPEG"]),
        (bytes("noise.bin", (0..9999_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()), &["noise.bin"]),
        (bytes("page.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()), &["page.svg", "PNG, JPEG"]),
        (bytes("scan.tiff", b"II*\0\x08\0\0\0\0\0\0\0\0\0".to_vec()), &["scan.tiff", "PNG, JPEG"]),
        (bytes("cut.png", whole[..whole.len() / 2].to_vec()), &["cut.png", "damaged"]),
        (bytes("head.png", whole[..20].to_vec()), &["head.png", "damaged"]),
        (bytes("cut.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec()), &["cut.jpg", "damaged"]),
        (bytes("cut.gif", b"GIF89a\x10\0\x10\0\0\0\0".to_vec()), &["cut.gif", "damaged"]),
        (bytes("wide.png", png_header(20_000, 10)), &["wide.png", "20000 x 10", "16384"]),
        (bytes("tall.png", png_header(10, 20_000)), &["tall.png", "10 x 20000"]),
        (bytes("bomb.png", png_header(16_000, 16_000)), &["bomb.png", "16000 x 16000"]),
        (bytes("vast.png", png_header(0x7fff_ffff, 0x7fff_ffff)), &["vast.png", "too large"]),
        (PictureSource::Rgba { width: 3, height: 2, bytes: Arc::from([0; 23]) }, &["24 bytes, but 23"]),
        (PictureSource::Rgba { width: usize::MAX, height: usize::MAX, bytes: Arc::from([0; 4]) }, &["too large"]),
        (PictureSource::Rgba { width: 0, height: 0, bytes: Arc::from([]) }, &["empty"]),
    ];
    for (source, parts) in cases {
        let message = explain(&picture::open(&source, 32).unwrap_err());
        for part in parts {
            assert!(message.contains(part), "the message lacks \"{part}\": {message}");
        }
    }
}

#[test]
fn files_that_are_no_pictures_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wide = folder.path().join("wide.png");
    fs::write(&wide, png(20_000, 2)).unwrap();
    let empty = folder.path().join("empty.jpg");
    fs::write(&empty, b"").unwrap();
    let under_a_file = file_as_folder(folder.path()).join("x.png");
    let mut cases = vec![
        (wide, "20000 x 2"),
        (empty, "empty"),
        (folder.path().to_owned(), "is a folder"),
        (folder.path().join("gone.png"), "no such file"),
        (under_a_file, "x.png"),
    ];
    if cfg!(target_os = "linux") {
        cases.push(("/dev/zero".into(), "not a file"));
        cases.push(("/proc/self/status".into(), "empty"));
    }
    for (path, part) in cases {
        let message = explain(&picture::open(&PictureSource::File(path.clone()), 32).unwrap_err());
        assert!(message.contains(part) && message.contains(&path.display().to_string()), "{message}");
    }
}

#[test]
fn pictures_of_odd_sizes_and_kinds_open() {
    for (width, height) in [(1, 1), (1, 900), (900, 1), (31, 33), (16_384, 1)] {
        let opened = picture::open(&bytes("odd.png", png(width, height)), 32).unwrap();
        assert_eq!(opened.pixels.shape(), [3, 32, 32]);
        assert!(opened.pixels.data().iter().all(|v| (0.0..=1.0).contains(v)));
    }
    let gray = image::DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(9, 5, image::Luma([0x8000])));
    for format in
        [image::ImageFormat::Png, image::ImageFormat::Bmp, image::ImageFormat::Gif, image::ImageFormat::Jpeg, image::ImageFormat::WebP]
    {
        let picture = if format == image::ImageFormat::Png { gray.clone() } else { gray.to_rgb8().into() };
        let mut file = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        // The name's ending says nothing; the content does.
        let opened = picture::open(&bytes("misnamed.txt", file.into_inner()), 16).unwrap();
        assert!(opened.pixels.data().iter().all(|v| (v - 0.5).abs() < 0.03), "{format:?}");
    }
}

#[test]
fn places_that_cannot_be_written_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let picture = HostTensor::full([3, 4, 4], 0.5);
    let mut cases = vec![
        (file_as_folder(folder.path()).join("a.png"), "not a folder"),
        (folder.path().join("none/a.png"), "does not exist"),
        (folder.path().to_owned(), "is a folder"),
    ];
    if cfg!(target_os = "linux") {
        cases.push(("/dev/full".into(), "no room is left"));
        cases.push(("/proc/sys/a.png".into(), "/proc/sys/a.png"));
    }
    for (path, part) in cases {
        let message = explain(&write_png(&path, &picture).unwrap_err());
        assert!(message.contains(part) && message.contains(&path.display().to_string()), "{message}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    // What was there before stays whole when a write fails.
    let kept = folder.path().join("kept.png");
    write_atomic(&kept, b"before").unwrap();
    assert!(write_png(&kept, &HostTensor::full([2, 2], 0.0)).is_err());
    assert_eq!(fs::read(kept).unwrap(), b"before");
}
