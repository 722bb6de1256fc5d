//! The networks from outside: what they refuse, what can be looked at inside, what they cost, and that a run is repeatable.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use diffuscope::compute::Tensor;
use diffuscope::compute::candle::CandleTensor;
use diffuscope::compute::meta::{FlopCounter, Meta};
use diffuscope::diffusion::{GuidanceInterval, SAMPLERS};
use diffuscope::host::HostTensor;
use diffuscope::model::checkpoint::{Checkpoint, CheckpointSource};
use diffuscope::model::clip::ClipTextConfig;
use diffuscope::model::params::{Params, ShapeSource};
use diffuscope::model::taps::{TapKind, Taps};
use diffuscope::model::unet::{UNet2DConditionConfig, UNet2DConditionModel, timestep_embedding};
use diffuscope::model::vae::{AutoencoderKl, AutoencoderKlConfig};
use diffuscope::noise::{Stream, gaussian};
use diffuscope::pipeline::{DeviceKind, GenerateRequest, GenerateStep, ModelSource, Pipeline, PipelineError, Start};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Mutex;

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pipelines").join(path)
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(golden(path)).unwrap()
}

fn unet(name: &str) -> (UNet2DConditionConfig, UNet2DConditionModel<CandleTensor>) {
    let config = UNet2DConditionConfig::from_json(&read(&format!("{name}/unet/config.json"))).unwrap();
    let bytes = read(&format!("{name}/unet/diffusion_pytorch_model.safetensors"));
    let checkpoint = Checkpoint::from_bytes(name, &bytes).unwrap();
    let source = Mutex::new(CheckpointSource::new(&checkpoint, candle_core::Device::Cpu));
    let model = UNet2DConditionModel::new(&config, &Params::root(&source)).unwrap();
    (config, model)
}

fn device(host: &HostTensor) -> CandleTensor {
    <CandleTensor as Tensor>::from_host(host, &candle_core::Device::Cpu).unwrap()
}

#[test]
fn configurations_round_trip() {
    for config in [UNet2DConditionConfig::littleworld(), unet("sd1_shape").0, unet("sd2_shape").0] {
        assert_eq!(UNet2DConditionConfig::from_json(config.to_json().to_string().as_bytes()).unwrap(), config);
    }
    for name in ["sd1_shape", "sd2_shape", "small_shape"] {
        let vae = AutoencoderKlConfig::from_json(&read(&format!("{name}/vae/config.json"))).unwrap();
        assert_eq!(AutoencoderKlConfig::from_json(vae.to_json().to_string().as_bytes()).unwrap(), vae);
        let text = ClipTextConfig::from_json(&read(&format!("{name}/text_encoder/config.json"))).unwrap();
        assert_eq!(ClipTextConfig::from_json(text.to_json().to_string().as_bytes()).unwrap(), text);
    }
}

#[test]
fn unknown_configurations_are_refused_by_name() {
    let base: Value = serde_json::from_slice(&read("sd1_shape/unet/config.json")).unwrap();
    for (key, value) in [
        ("down_block_types", json!(["AttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"])),
        ("up_block_types", json!(["UpBlock2D"])),
        ("act_fn", json!("mish")),
        ("class_embed_type", json!("timestep")),
        ("addition_embed_type", json!("text_time")),
        ("mid_block_type", json!("UNetMidBlock2DSimpleCrossAttn")),
        ("attention_head_dim", json!([8, 8])),
        ("attention_head_dim", json!(5)),
        ("norm_num_groups", json!(7)),
        ("only_cross_attention", json!(true)),
        ("something_new", json!(3)),
        ("block_out_channels", json!("wide")),
        ("block_out_channels", json!([0, 24, 32])),
    ] {
        let mut config = base.clone();
        config[key] = value;
        let message = UNet2DConditionConfig::from_json(config.to_string().as_bytes()).unwrap_err().to_string();
        assert!(message.contains(key), "the message does not name {key}: {message}");
    }
    let mut config = base;
    config.as_object_mut().unwrap().remove("block_out_channels");
    assert!(UNet2DConditionConfig::from_json(config.to_string().as_bytes()).unwrap_err().to_string().contains("block_out_channels"));
}

#[test]
fn weights_of_another_shape_are_refused_by_name() {
    let mut config = unet("small_shape").0;
    config.cross_attention_dim = 20;
    let bytes = read("small_shape/unet/diffusion_pytorch_model.safetensors");
    let checkpoint = Checkpoint::from_bytes("weights", &bytes).unwrap();
    let source = Mutex::new(CheckpointSource::<CandleTensor>::new(&checkpoint, candle_core::Device::Cpu));
    let message = UNet2DConditionModel::new(&config, &Params::root(&source)).err().unwrap().to_string();
    assert!(message.contains("attn2.to_k.weight") && message.contains("20]"), "{message}");
}

#[test]
fn taps_are_named_as_in_the_checkpoint_and_only_when_asked_for() {
    let (config, model) = unet("sd2_shape");
    let x = device(&gaussian(1, Stream::Start, [2, 4, 8, 8]));
    let text = device(&gaussian(2, Stream::Start, [2, 20, config.cross_attention_dim]));
    let cpu = candle_core::Device::Cpu;
    let mut all = Taps::all();
    let out = model.forward(&x, &[500.0; 2], &text, &cpu, &mut all).unwrap();
    let attention = "down_blocks.0.attentions.1.transformer_blocks.1.attn2";
    let weights = all.taken()[&(attention.to_owned(), TapKind::Attention)].to_host().unwrap();
    assert_eq!(weights.shape(), [2, config.heads[0], 64, 20]);
    for row in weights.data().chunks_exact(20) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5 && row.iter().all(|&p| p >= 0.0));
    }
    for (path, kind) in [
        ("conv_in", TapKind::Output),
        ("time_embedding", TapKind::Output),
        ("mid_block", TapKind::Output),
        ("up_blocks.0.resnets.0", TapKind::Skip),
    ] {
        assert!(all.taken().contains_key(&(path.to_owned(), kind)), "{path}");
    }
    assert_eq!(all.taken()[&("conv_out".to_owned(), TapKind::Output)].to_host().unwrap(), out.to_host().unwrap());
    let key = (attention.to_owned(), TapKind::Attention);
    let mut one = Taps::of([key.clone()]);
    model.forward(&x, &[500.0; 2], &text, &cpu, &mut one).unwrap();
    assert_eq!(one.taken().keys().collect::<Vec<_>>(), [&key]);
    let mut none = Taps::none();
    model.forward(&x, &[500.0; 2], &text, &cpu, &mut none).unwrap();
    assert!(none.taken().is_empty());
}

#[test]
fn a_batch_is_its_parts() {
    let (config, model) = unet("sd1_shape");
    let x = gaussian(1, Stream::Start, [3, 4, 8, 8]);
    let text = gaussian(2, Stream::Start, [3, 16, config.cross_attention_dim]);
    let run = |x: &HostTensor, t: &[f64], text: &HostTensor| {
        model.forward(&device(x), t, &device(text), &candle_core::Device::Cpu, &mut Taps::none()).unwrap().to_host().unwrap()
    };
    let times = [10.0, 500.5, 999.0];
    let whole = run(&x, &times, &text);
    for i in 0..3 {
        let part = run(&x.outer(i), &times[i..=i], &text.outer(i));
        assert!(part.lincomb(1.0, &whole.outer(i), -1.0).norm() / part.norm() < 1e-5);
    }
}

#[test]
fn shapes_alone_give_parameters_and_operations() {
    // Counted by diffusers and by PyTorch's counter of operations for the same configuration: 864 million an evaluation.
    let config = UNet2DConditionConfig::littleworld();
    assert_eq!(config.parameter_count().unwrap(), 5_552_712);
    let source = Mutex::new(ShapeSource::default());
    let model = UNet2DConditionModel::<Meta>::new(&config, &Params::root(&source)).unwrap();
    let flops = FlopCounter::default();
    let out = model.forward(&Meta::input(&[1, 8, 16, 16], &flops), &[0.0], &Meta::weight(&[1, 32, 128]), &(), &mut Taps::none()).unwrap();
    assert_eq!(out.shape(), [1, 8, 16, 16]);
    let million = flops.flops() as f64 / 1e6;
    assert!((833.0..885.0).contains(&million), "{million} million operations");

    let config = AutoencoderKlConfig::littleworld();
    let source = Mutex::new(ShapeSource::default());
    let model = AutoencoderKl::<Meta>::new(&config, &Params::root(&source)).unwrap();
    let flops = FlopCounter::default();
    let (mean, logvar) = model.encode(&Meta::input(&[1, 3, 128, 128], &flops)).unwrap();
    assert_eq!((mean.shape(), logvar.shape()), (&[1, 8, 16, 16][..], &[1, 8, 16, 16][..]));
    assert_eq!(model.decode(&mean).unwrap().shape(), [1, 3, 128, 128]);
}

#[test]
fn the_time_embedding_is_the_published_formula() {
    let e = timestep_embedding(&[3.0], 8, true, 0.0);
    for i in 0..4 {
        let phase = 3.0 * 10_000f64.powf(-(i as f64) / 4.0);
        assert!((f64::from(e.data()[i]) - phase.cos()).abs() < 1e-6);
        assert!((f64::from(e.data()[4 + i]) - phase.sin()).abs() < 1e-6);
    }
}

fn open(name: &str) -> Pipeline {
    Pipeline::load(&ModelSource::Folder(golden(name)), DeviceKind::Cpu).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_latents_and_another_seed_others() {
    let pipeline = open("sd1_shape");
    for sampler in SAMPLERS {
        let run = |seed| {
            let request = GenerateRequest { prompt: "a house".into(), seed, steps: 4, sampler, ..GenerateRequest::default() };
            pipeline.generate(&request, &mut |_| ControlFlow::Continue(())).unwrap().latents
        };
        assert_eq!(run(7), run(7), "{}", sampler.id);
        assert_ne!(run(7), run(8), "{}", sampler.id);
    }
}

#[test]
fn a_run_can_be_broken_off_and_begun_in_the_middle() {
    let pipeline = open("small_shape");
    let request = GenerateRequest { steps: 8, ..GenerateRequest::default() };
    let mut steps = 0;
    let broken = pipeline
        .generate(&request, &mut |step| {
            steps += 1;
            if step.index == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert!(broken.cancelled && steps == 3);
    let x0 = gaussian(5, Stream::World, [1, 4, 8, 8]);
    let restore = GenerateRequest { start: Start::Noised { x0: x0.clone(), timestep: 0 }, steps: 8, seed: 3, ..GenerateRequest::default() };
    let restored = pipeline.generate(&restore, &mut |_| ControlFlow::Continue(())).unwrap();
    let level = pipeline.schedule().level(0);
    assert_eq!(restored.start, level.add_noise(&x0, &gaussian(3, Stream::Forward, [1, 4, 8, 8])));
}

#[test]
fn a_run_goes_on_from_its_middle_bit_for_bit() {
    let pipeline = Pipeline::load(&ModelSource::Embedded, DeviceKind::Cpu).unwrap();
    for sampler in SAMPLERS {
        let whole = GenerateRequest { prompt: "a red boat".into(), steps: 5, seed: 11, sampler, ..GenerateRequest::default() };
        let mut steps: Vec<GenerateStep> = Vec::new();
        let mut keep = |step: &GenerateStep| {
            steps.push(step.clone());
            ControlFlow::Continue(())
        };
        let end = pipeline.generate(&whole, &mut keep).unwrap();
        let other = pipeline.generate(&GenerateRequest { seed: 12, ..whole.clone() }, &mut |_| ControlFlow::Continue(())).unwrap();
        let distance = |latents: &HostTensor| latents.lincomb(1.0, &end.latents, -1.0).norm() / end.latents.norm();
        for index in [0, 2, 4] {
            let start = Start::Continue { x: steps[index].x.clone(), index };
            let mut next = index;
            // Samplers that look back begin anew there; all others take the very same steps.
            let is_same = sampler.history == 0;
            let again = pipeline
                .generate(&GenerateRequest { start: start.clone(), ..whole.clone() }, &mut |step| {
                    let before = &steps[next];
                    assert_eq!((step.index, step.count, step.timestep), (next, 5, before.timestep), "{}", sampler.id);
                    let (ours, theirs) = ((&step.x, &step.x0, &step.x_next), (&before.x, &before.x0, &before.x_next));
                    assert!(ours == theirs || !is_same, "{} from {index}", sampler.id);
                    // What it goes on from, and what the model sees in it, is the same for all.
                    assert!((ours.0, ours.1) == (theirs.0, theirs.1) || next > index, "{} from {index}", sampler.id);
                    next += 1;
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert!(next == 5 && (again.latents == end.latents || !is_same), "{} from {index}", sampler.id);
            // And it ends nearer to where the whole run did than another run does.
            let (apart, elsewhere) = (distance(&again.latents), distance(&other.latents));
            assert!(apart < elsewhere, "{} from {index}: {apart}, another run {elsewhere}", sampler.id);
            println!("{} from {index}: {apart:.3}, another run {elsewhere:.3}", sampler.id);
            // The seed matters from there on where fresh noise is drawn, and nowhere else.
            let reseeded =
                pipeline.generate(&GenerateRequest { start, seed: 12, ..whole.clone() }, &mut |_| ControlFlow::Continue(())).unwrap();
            let draws = sampler.stochastic && index < 4;
            assert_eq!(reseeded.latents != again.latents, draws, "{} from {index}", sampler.id);
        }
        let beyond = GenerateRequest { start: Start::Continue { x: steps[0].x.clone(), index: 5 }, ..whole };
        let message = pipeline.generate(&beyond, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
        assert!(message.contains("5 steps") && message.contains("step 5"), "{message}");
    }
}

#[test]
fn a_guidance_interval_of_all_is_constant_and_one_of_nothing_is_no_guidance() {
    let pipeline = open("sd1_shape");
    let base = GenerateRequest { prompt: "a house".into(), negative: "snow".into(), steps: 6, ..GenerateRequest::default() };
    let with = |guidance_scale, ends: Option<[f64; 2]>, sampler| {
        let guidance_interval = ends.map(|[low, high]| GuidanceInterval { low, high });
        let request = GenerateRequest { guidance_scale, guidance_interval, sampler, ..base.clone() };
        let mut eps = Vec::new();
        let generated = pipeline.generate(&request, &mut |step| {
            eps.push(step.eps.clone());
            ControlFlow::Continue(())
        });
        let (generated, drawn) = (generated.unwrap().latents, pipeline.draw(&request, &mut |_, _| ControlFlow::Continue(())).unwrap());
        assert_eq!(generated, drawn.latents, "one evaluation in place of two changes nothing");
        (generated, eps)
    };
    for sampler in SAMPLERS {
        let all = pipeline.card().num_train_timesteps as f64;
        assert_eq!(with(7.5, Some([0.0, all]), sampler), with(7.5, None, sampler), "{}", sampler.id);
        assert_eq!(with(7.5, Some([400.0, 400.0]), sampler), with(1.0, None, sampler), "{}", sampler.id);
        let some = with(7.5, Some([200.0, 600.0]), sampler).0;
        assert!(some != with(7.5, None, sampler).0 && some != with(1.0, None, sampler).0, "{}", sampler.id);
        with(0.0, None, sampler);
    }
}

#[test]
fn what_is_hardly_noised_comes_back_better() {
    let pipeline = Pipeline::load(&ModelSource::Embedded, DeviceKind::Cpu).unwrap();
    let scene =
        diffuscope::worker::picture::open(&diffuscope::worker::protocol::PictureSource::Scene { seed: 32 }, pipeline.card().picture_side)
            .unwrap();
    let x0 = pipeline.encode_picture(&scene.pixels).unwrap();
    let psnr = |timestep: usize| {
        let start = Start::Noised { x0: x0.clone(), timestep };
        let request = GenerateRequest { prompt: scene.caption.clone(), steps: 10, seed: 7, start, ..GenerateRequest::default() };
        let restored = pipeline.generate(&request, &mut |_| ControlFlow::Continue(())).unwrap();
        let d = pipeline.decode(&restored.latents).unwrap().lincomb(1.0, &scene.pixels, -1.0);
        -10.0 * (d.dot(&d) / d.len() as f64).log10()
    };
    let measured = [50, 400, 900].map(psnr);
    assert!(measured[0] > measured[1] && measured[1] > measured[2], "{measured:?} dB");
}

#[test]
fn misfits_are_errors_that_say_what_would_fit() {
    let pipeline = open("sd1_shape");
    let message = |error: PipelineError| error.to_string();
    assert!(message(pipeline.decode(&HostTensor::full([1, 3, 8, 8], 0.0)).unwrap_err()).contains("[1, 4, h, w]"));
    assert!(message(pipeline.encode_picture(&HostTensor::full([3, 17, 16], 0.0)).unwrap_err()).contains("multiples of 8"));
    let too_many = GenerateRequest { steps: 5000, ..GenerateRequest::default() };
    assert!(message(pipeline.generate(&too_many, &mut |_| ControlFlow::Continue(())).unwrap_err()).contains("5000"));
    let nan = GenerateRequest { guidance_scale: f64::NAN, ..GenerateRequest::default() };
    assert!(pipeline.generate(&nan, &mut |_| ControlFlow::Continue(())).is_err());
    assert!(message(Pipeline::load(&ModelSource::Folder("/nowhere".into()), DeviceKind::Cpu).err().unwrap()).contains("/nowhere"));
    if !cfg!(feature = "cuda") {
        assert!(message(Pipeline::load(&ModelSource::Embedded, DeviceKind::Cuda).err().unwrap()).contains("--features cuda"));
    }
}
