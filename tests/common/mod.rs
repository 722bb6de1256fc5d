//! A diffusers folder with tiny random networks, written where a test wants it: loads in milliseconds, and is whole in every part.
#![allow(dead_code, reason = "each test file uses its own share")]

use diffuscope::compute::meta::Meta;
use diffuscope::host::HostTensor;
use diffuscope::model::checkpoint::{StoredType, save_safetensors};
use diffuscope::model::clip::{ClipTextConfig, ClipTextModel};
use diffuscope::model::params::{Params, ShapeSource};
use diffuscope::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use diffuscope::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use diffuscope::noise::{Stream, gaussian_from, rng};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;

/// Pictures of the tiny model are as wide.
pub const SIDE: usize = 32;
/// Its latents.
pub const LATENTS: [usize; 4] = [1, 8, 8, 8];
/// Its prompts are as long.
pub const TOKENS: usize = 8;

/// The tiny pipeline's folder, and the temporary folder around it.
pub struct TinyPipeline {
    pub folder: TempDir,
}

impl TinyPipeline {
    /// Writes the folder.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tiny = Self { folder };
        tiny.json("model_index.json", &json!({
            "_class_name": "StableDiffusionPipeline",
            "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
        }));
        tiny.json("scheduler/scheduler_config.json", &json!({
            "_class_name": "DDIMScheduler", "beta_schedule": "squaredcos_cap_v2", "beta_start": 0.0001, "beta_end": 0.02,
            "num_train_timesteps": 1000, "prediction_type": "epsilon", "set_alpha_to_one": true, "steps_offset": 0, "clip_sample": false,
            "timestep_spacing": "leading", "trained_betas": null,
        }));
        tiny.tokenizer();
        let text = json!({
            "architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "hidden_act": "quick_gelu", "hidden_size": 16,
            "intermediate_size": 32, "layer_norm_eps": 1e-5, "max_position_embeddings": TOKENS, "num_attention_heads": 2,
            "num_hidden_layers": 1, "vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513, "pad_token_id": 513, "projection_dim": 16,
        });
        let unet = json!({
            "_class_name": "UNet2DConditionModel", "act_fn": "silu", "attention_head_dim": 2, "block_out_channels": [8, 16],
            "cross_attention_dim": 16, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "mid_block_type": "UNetMidBlock2DCrossAttn", "in_channels": LATENTS[1],
            "out_channels": LATENTS[1], "layers_per_block": 1, "norm_eps": 1e-5, "norm_num_groups": 4, "sample_size": LATENTS[2],
            "flip_sin_to_cos": true, "freq_shift": 0, "center_input_sample": false, "downsample_padding": 1, "mid_block_scale_factor": 1,
            "use_linear_projection": false,
        });
        let down = ["DownEncoderBlock2D"; 3];
        let up = ["UpDecoderBlock2D"; 3];
        let vae = json!({
            "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [4, 8, 8], "down_block_types": down, "up_block_types": up,
            "in_channels": 3, "out_channels": 3, "latent_channels": LATENTS[1], "layers_per_block": 1, "norm_num_groups": 2, "sample_size": SIDE,
            "scaling_factor": 0.8,
        });
        let shapes = |source: Mutex<ShapeSource>| source.into_inner().unwrap().asked;
        let bytes = |config: &Value| config.to_string().into_bytes();
        let source = Mutex::new(ShapeSource::default());
        ClipTextModel::<Meta>::new(&ClipTextConfig::from_json(&bytes(&text)).unwrap(), &Params::root(&source)).unwrap();
        tiny.part("text_encoder", "model.safetensors", &text, shapes(source));
        let source = Mutex::new(ShapeSource::default());
        UNet2DConditionModel::<Meta>::new(&UNet2DConditionConfig::from_json(&bytes(&unet)).unwrap(), &Params::root(&source)).unwrap();
        tiny.part("unet", "diffusion_pytorch_model.safetensors", &unet, shapes(source));
        let source = Mutex::new(ShapeSource::default());
        AutoencoderKl::<Meta>::new(&AutoencoderKlConfig::from_json(&bytes(&vae)).unwrap(), &Params::root(&source)).unwrap();
        tiny.part("vae", "diffusion_pytorch_model.safetensors", &vae, shapes(source));
        tiny
    }

    /// The folder's path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a JSON file.
    pub fn json(&self, name: &str, value: &Value) {
        self.write(name, value.to_string().as_bytes());
    }

    /// Changes a JSON file.
    pub fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.file(name)).unwrap()).unwrap();
        change(&mut value);
        self.json(name, &value);
    }

    /// Writes a file.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn part(&self, name: &str, file: &str, config: &Value, shapes: Vec<(String, Vec<usize>)>) {
        self.json(&format!("{name}/config.json"), config);
        let mut rng = rng(name.len() as u64, Stream::Init);
        let tensors: Vec<(String, HostTensor)> = shapes
            .into_iter()
            .map(|(path, shape)| {
                let tensor = match shape.as_slice() {
                    [_] => HostTensor::full(shape.clone(), if path.ends_with("weight") { 1.0 } else { 0.0 }),
                    _ => {
                        let fan_in: usize = shape[1..].iter().product();
                        gaussian_from(&mut rng, shape.clone()).map(|v| v / (fan_in as f32).sqrt())
                    }
                };
                (path, tensor)
            })
            .collect();
        save_safetensors(&self.file(&format!("{name}/{file}")), &tensors, StoredType::F32).unwrap();
    }

    /// A vocabulary of all bytes, inside of a word and at its end, without merges.
    fn tokenizer(&self) {
        let plain: Vec<u32> = (33..=126).chain(161..=172).chain(174..=255).collect();
        let others = (0..=255).filter(|byte| !plain.contains(byte)).count() as u32;
        let symbols: Vec<char> = plain.iter().copied().chain((0..others).map(|n| 256 + n)).filter_map(char::from_u32).collect();
        let names = symbols.iter().map(ToString::to_string).chain(symbols.iter().map(|symbol| format!("{symbol}</w>")));
        let names = names.chain(["<|startoftext|>".to_owned(), "<|endoftext|>".to_owned()]);
        let vocab: serde_json::Map<String, Value> = names.enumerate().map(|(id, name)| (name, id.into())).collect();
        self.json("tokenizer/vocab.json", &Value::Object(vocab));
        self.write("tokenizer/merges.txt", b"#version: 0.2\n");
        let special = json!({ "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>" });
        self.json("tokenizer/special_tokens_map.json", &special);
        let mut config = special;
        config["tokenizer_class"] = "CLIPTokenizer".into();
        config["model_max_length"] = TOKENS.into();
        self.json("tokenizer/tokenizer_config.json", &config);
    }
}

/// An error with all its causes.
pub fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A safetensors file from a header and the bytes behind it.
pub fn safetensors_of(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// The path of a file that is no folder, to stand where a folder is needed.
pub fn file_as_folder(folder: &Path) -> PathBuf {
    let path = folder.join("a-file");
    fs::write(&path, b"x").unwrap();
    path
}
