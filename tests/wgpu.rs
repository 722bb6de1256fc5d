//! Whole models on the graphics card against the processor: the U-Net tap by tap, the other networks, and a guided run.
//!
//! Runs on whatever adapter comes first, one in software included.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use diffuscope::compute::cpu::CpuTensor;
use diffuscope::compute::{Convolving, Graphics, Storage, Tensor, WgpuDevice, WgpuTensor};
use diffuscope::host::HostTensor;
use diffuscope::model::checkpoint::{Checkpoint, CheckpointSource};
use diffuscope::model::params::Params;
use diffuscope::model::taps::{TapKey, Taps};
use diffuscope::model::unet::{UNet2DConditionConfig, UNet2DConditionModel};
use diffuscope::noise::{Stream, gaussian};
use diffuscope::pipeline::{DeviceKind, GenerateRequest, ModelSource, Pipeline, Precision, embedded_file};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

fn relative_error(a: &HostTensor, b: &HostTensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.lincomb(1.0, b, -1.0).norm() / b.norm().max(1e-12)
}

/// The device in single precision, for one test at a time, so that each knows by which way it convolves.
struct Card(WgpuDevice, #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Card {
    fn open() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self(WgpuDevice::open(0, Storage::F32).unwrap(), alone)
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.0.convolve_by(Convolving::default());
    }
}

/// Everything that can be tapped in one evaluation of the program's own U-Net for two prompts.
fn taps<T: Tensor>(device: &T::Device) -> BTreeMap<TapKey, HostTensor> {
    let config = UNet2DConditionConfig::from_json(embedded_file("unet/config.json").unwrap()).unwrap();
    let checkpoint = Checkpoint::from_bytes("unet", embedded_file("unet/diffusion_pytorch_model.safetensors").unwrap()).unwrap();
    let source = Mutex::new(CheckpointSource::<T>::new(&checkpoint, device.clone()));
    let model = UNet2DConditionModel::<T>::new(&config, &Params::root(&source)).unwrap();
    let (side, width) = (config.sample_size, config.cross_attention_dim);
    let x = T::from_host(&gaussian(1, Stream::Start, [2, config.in_channels, side, side]), device).unwrap();
    let text = T::from_host(&gaussian(2, Stream::Start, [2, 32, width]), device).unwrap();
    let mut taps = Taps::all();
    model.forward(&x, &[400.0, 30.0], &text, device, &mut taps).unwrap();
    taps.into_taken().into_iter().map(|(key, tensor)| (key, tensor.to_host().unwrap())).collect()
}

/// Where a tap stands in an evaluation: the part of the network, the block, the layer, and what comes first in a layer.
fn place((path, _): &TapKey) -> (usize, Vec<usize>, bool, usize) {
    const PARTS: [&str; 7] = ["time_embedding", "conv_in", "down_blocks", "mid_block", "up_blocks", "conv_act", "conv_out"];
    let part = PARTS.iter().position(|part| path.starts_with(part)).unwrap_or(PARTS.len());
    let numbers = path.split('.').filter_map(|name| name.parse().ok()).take(2).collect();
    // In the middle a residual block comes before the attention and another one after it.
    let sampler = path.contains("samplers");
    let after = usize::from(path.contains("attentions")) + 2 * usize::from(path == "mid_block.resnets.1" || path == "mid_block");
    (part, numbers, sampler, after)
}

#[test]
fn the_u_net_agrees_tap_by_tap() {
    let card = Card::open();
    let theirs = taps::<CpuTensor>(&());
    let mut keys: Vec<&TapKey> = theirs.keys().collect();
    keys.sort_by_key(|key| place(key));
    for way in Convolving::ALL {
        card.0.convolve_by(way);
        let ours = taps::<WgpuTensor>(&card.0);
        assert!(theirs.len() > 30 && ours.keys().eq(theirs.keys()));
        let errors: Vec<_> = keys.iter().map(|&key| (key, relative_error(&ours[key], &theirs[key]))).collect();
        let worst = errors.iter().map(|(_, error)| *error).fold(0.0, f64::max);
        println!("{} taps, {}: the worst is off by {worst:.1e}", errors.len(), way.label());
        if let Some((key, error)) = errors.iter().find(|(_, error)| *error > 2e-5) {
            panic!("{}: the first tap that differs is {key:?}, by {error:.1e}", way.label());
        }
    }
}

/// The program's own model on the processor in plain f32, and on the card.
fn both(half: bool) -> [Pipeline; 2] {
    let mut cpu = Pipeline::load(&ModelSource::Embedded, DeviceKind::Cpu).unwrap();
    cpu.set_precision(Precision::F32);
    [cpu, Pipeline::load(&ModelSource::Embedded, DeviceKind::Wgpu(Graphics { adapter: 0, half })).unwrap()]
}

#[test]
fn text_encoder_and_autoencoder_agree() {
    let device = Card::open();
    let [cpu, card] = both(false);
    let compare = |what: &str, f: &dyn Fn(&Pipeline) -> HostTensor| {
        let expected = f(&cpu);
        for way in Convolving::ALL {
            device.0.convolve_by(way);
            let error = relative_error(&f(&card), &expected);
            println!("{what}, {}: off by {error:.1e}", way.label());
            assert!(error < 2e-5, "{what}, {}, is off by {error:.1e}", way.label());
        }
    };
    compare("the text encoder", &|p| p.encode_text("a red house left of a tree in the snow").unwrap());
    let side = cpu.card().picture_side;
    let picture = HostTensor::from_fn([3, side, side], |i| ((i * i) % 251) as f32 / 250.0);
    compare("the encoder", &|p| p.encode_picture(&picture).unwrap());
    let [c, h, w] = cpu.card().latent_shape;
    let latents = gaussian(3, Stream::Start, [1, c, h, w]);
    compare("the decoder", &|p| p.decode_unclamped(&latents).unwrap());
}

/// Rounding grows over a run, and must not grow into another picture.
#[test]
fn the_same_seed_gives_the_same_picture() {
    let card = Card::open();
    let [cpu, on_card] = both(false);
    let request = GenerateRequest {
        prompt: "a red house left of a yellow balloon by the sea at night".into(),
        steps: 25,
        guidance_scale: 5.0,
        seed: 4,
        ..GenerateRequest::default()
    };
    let drawn = |pipeline: &Pipeline| {
        let generated = pipeline.generate(&request, &mut |_| ControlFlow::Continue(())).unwrap();
        let picture = pipeline.decode(&generated.latents).unwrap();
        (generated.latents, picture)
    };
    let (expected, expected_picture) = drawn(&cpu);
    for way in Convolving::ALL {
        card.0.convolve_by(way);
        let (latents, picture) = drawn(&on_card);
        let (error, picture_error) = (relative_error(&latents, &expected), relative_error(&picture, &expected_picture));
        let told = format!("latents off by {error:.1e}, the picture by {picture_error:.1e}");
        println!("after 25 guided steps, {}: {told}", way.label());
        assert!(error < 1e-3 && picture_error < 1e-3, "{}: {told}", way.label());
    }
}

/// Tensors in half precision lose digits, not the picture.
#[test]
fn half_precision_draws_nearly_the_same() {
    if !WgpuDevice::open(0, Storage::F32).unwrap().card().has_f16 {
        println!("this adapter has no half precision");
        return;
    }
    let [cpu, card] = both(true);
    let [c, h, w] = cpu.card().latent_shape;
    let (x, text) = (gaussian(5, Stream::Start, [1, c, h, w]), ["", "a green tent in the desert"]);
    let opened = WgpuDevice::open(0, Storage::F16).unwrap();
    let compiled = opened.pipelines();
    let eps = [cpu, card].map(|p| {
        p.decode(&x).unwrap();
        p.encode_picture(&HostTensor::full([3, p.card().picture_side, p.card().picture_side], 0.3)).unwrap();
        let [negative, positive] = text.map(|text| p.encode_text(text).unwrap());
        p.predict(&x, 500.0, &negative, &positive).unwrap().cond
    });
    let error = relative_error(&eps[1], &eps[0]);
    // Nothing had to be compiled that had not been ahead; no other test here has the device in half precision.
    let device = WgpuDevice::open(0, Storage::F16).unwrap();
    assert!(device.compiling().is_none());
    assert_eq!(device.pipelines(), compiled, "kernels were compiled in the middle of the work");
    println!("one evaluation in half precision is off by {error:.1e}");
    assert!(error > 1e-6 && error < 1e-2, "{error:.1e}");
}

#[test]
fn the_device_in_use_is_named() {
    let _alone = Card::open();
    let [_, card] = both(false);
    let name = &card.card().device;
    assert!(name.starts_with("wgpu, ") && name.contains('('), "{name}");
}
