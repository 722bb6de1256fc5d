//! Our networks against those of candle-transformers on the same weights: two programs written apart from each other.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use candle_transformers::models::clip::text_model as their_clip;
use candle_transformers::models::stable_diffusion::{unet_2d, vae as their_vae};
use diffuscope::compute::Tensor;
use diffuscope::compute::candle::CandleTensor;
use diffuscope::compute::cpu::CpuTensor;
use diffuscope::host::HostTensor;
use diffuscope::model::ModelError;
use diffuscope::model::checkpoint::{Checkpoint, CheckpointSource, StoredType, to_bytes};
use diffuscope::model::params::{Init, ParamSource, Params};
use diffuscope::model::taps::Taps;
use diffuscope::model::{clip, unet, vae};
use diffuscope::noise::{Stream, gaussian};
use std::sync::Mutex;

const TOLERANCE: f64 = 1e-4;
/// candle-transformers approximates the gelu of the U-Net's feed-forward layers by tanh, where diffusers and we take the exact
/// one (the goldens from diffusers agree to 1e-6): that alone parts the two by 1.4e-4 here.
const APPROXIMATE_GELU: f64 = 1e-3;

fn read(part: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/golden/pipelines/sd1_shape/{part}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn ours<M>(bytes: &[u8], new: impl FnOnce(&Params<CpuTensor>) -> M) -> M {
    let checkpoint = Checkpoint::from_bytes("golden", bytes).unwrap();
    let source = Mutex::new(CheckpointSource::<CpuTensor>::new(&checkpoint, ()));
    new(&Params::root(&source))
}

fn theirs(bytes: &[u8]) -> VarBuilder<'static> {
    VarBuilder::from_buffered_safetensors(bytes.to_vec(), DType::F32, &Device::Cpu).unwrap()
}

/// The same values for us and for them.
fn both(host: &HostTensor) -> (CpuTensor, CandleTensor) {
    (CpuTensor::from_host(host, &()).unwrap(), <CandleTensor as Tensor>::from_host(host, &Device::Cpu).unwrap())
}

fn agree(what: &str, tolerance: f64, a: &CpuTensor, b: &CandleTensor) {
    let (a, b) = (a.to_host().unwrap(), b.to_host().unwrap());
    let error = a.lincomb(1.0, &b, -1.0).norm() / b.norm();
    assert!(error < tolerance, "{what}: relative error {error:e}");
}

/// Random weights, kept by name as they are asked for.
#[derive(Default)]
struct RandomSource(Vec<(String, HostTensor)>);

impl ParamSource<CpuTensor> for RandomSource {
    fn param(&mut self, path: &str, shape: &[usize], _: Init) -> Result<CpuTensor, ModelError> {
        let fan_in: usize = shape[1..].iter().product();
        let noise = gaussian(self.0.len() as u64, Stream::Init, shape);
        let is_scale = shape.len() == 1 && path.contains("norm") && path.ends_with("weight");
        let host =
            noise.map(|v| if is_scale { 1.0 + 0.1 * v } else { v / (fan_in as f32).sqrt() * if shape.len() == 1 { 0.1 } else { 1.0 } });
        let tensor = CpuTensor::from_host(&host, &())?;
        self.0.push((path.to_owned(), host));
        Ok(tensor)
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}

#[test]
fn unet() {
    // candle-transformers takes 32 groups in its transformers whatever the configuration says, so this one has 32 everywhere.
    let config = unet::UNet2DConditionConfig {
        block_out_channels: vec![32, 64],
        norm_num_groups: 32,
        layers_per_block: vec![2, 2],
        heads: vec![4, 8],
        cross_attention_dim: 24,
        down_attention: vec![true, false],
        up_attention: vec![false, true],
        ..unet::UNet2DConditionConfig::littleworld()
    };
    let channels = config.in_channels;
    let source = Mutex::new(RandomSource::default());
    let model = unet::UNet2DConditionModel::new(&config, &Params::root(&source)).unwrap();
    let weights = source.into_inner().unwrap().0;
    let bytes = to_bytes(&weights, StoredType::F32).unwrap();
    let blocks = (0..config.block_out_channels.len())
        .map(|i| unet_2d::BlockConfig {
            out_channels: config.block_out_channels[i],
            use_cross_attn: config.down_attention[i].then_some(config.transformer_layers_per_block[i]),
            attention_head_dim: config.heads[i],
        })
        .collect();
    let their_config = unet_2d::UNet2DConditionModelConfig {
        blocks,
        layers_per_block: config.layers_per_block[0],
        norm_num_groups: config.norm_num_groups,
        cross_attention_dim: config.cross_attention_dim,
        ..Default::default()
    };
    let other = unet_2d::UNet2DConditionModel::new(theirs(&bytes), channels, channels, false, their_config).unwrap();
    let (x, their_x) = both(&gaussian(1, Stream::Start, [2, channels, 8, 8]));
    let (text, their_text) = both(&gaussian(2, Stream::Start, [2, 16, config.cross_attention_dim]));
    for timestep in [0.0, 1.0, 8.0, 437.0, 999.0] {
        let a = model.forward(&x, &[timestep; 2], &text, &(), &mut Taps::none()).unwrap();
        agree("unet", APPROXIMATE_GELU, &a, &other.forward(&their_x, timestep, &their_text).unwrap());
    }
}

#[test]
fn autoencoder() {
    let bytes = read("vae/diffusion_pytorch_model.safetensors");
    let config = vae::AutoencoderKlConfig::from_json(&read("vae/config.json")).unwrap();
    let model = ours(&bytes, |p| vae::AutoencoderKl::new(&config, p).unwrap());
    let their_config = their_vae::AutoEncoderKLConfig {
        block_out_channels: config.block_out_channels.clone(),
        layers_per_block: config.layers_per_block,
        latent_channels: config.latent_channels,
        norm_num_groups: config.norm_num_groups,
        use_quant_conv: true,
        use_post_quant_conv: true,
    };
    let other = their_vae::AutoEncoderKL::new(theirs(&bytes), 3, 3, their_config).unwrap();
    let (z, their_z) = both(&gaussian(3, Stream::Start, [1, 4, 8, 8]));
    agree("decoder", TOLERANCE, &model.decode(&z).unwrap(), &other.decode(&their_z).unwrap());
}

#[test]
fn text_encoder() {
    let bytes = read("text_encoder/model.safetensors");
    let config = clip::ClipTextConfig::from_json(&read("text_encoder/config.json")).unwrap();
    let model = ours(&bytes, |p| clip::ClipTextModel::new(&config, p).unwrap());
    let their_config = their_clip::ClipTextConfig {
        vocab_size: config.vocab_size,
        embed_dim: config.hidden_size,
        activation: their_clip::Activation::QuickGelu,
        intermediate_size: config.intermediate_size,
        max_position_embeddings: config.max_position_embeddings,
        pad_with: None,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        projection_dim: config.hidden_size,
    };
    let root = theirs(&bytes);
    let root = if root.contains_tensor("text_model.final_layer_norm.weight") { root.pp("text_model") } else { root };
    let other = their_clip::ClipTextTransformer::new(root, &their_config).unwrap();
    let ids: Vec<u32> = (0..16).map(|i| (i * 37 + 5) % config.vocab_size as u32).collect();
    let a = model.forward(&ids, 1).unwrap();
    let ids = CandleTensor::from_vec(ids, (1, 16), &Device::Cpu).unwrap();
    // The mask hides nothing beyond causality when it starts after the last token.
    agree("text encoder", TOLERANCE, &a, &other.forward_with_mask(&ids, usize::MAX).unwrap());
}
