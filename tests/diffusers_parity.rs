//! Our networks and samplers against what the diffusers library computed from the same folder, prompt and starting latents.
//!
//! `golden/pipelines/*` are pipelines of several shapes with random weights, saved by diffusers 0.42 (PyTorch 2.15), with the
//! tensors of one guided run each: the shape of Stable Diffusion 1.x (two blocks a layer, `attention_head_dim` as a number),
//! of 2.x (linear projections, v-prediction, a list of head counts, two transformer layers, gelu), and a small one that
//! predicts the sample. `golden/littleworld.safetensors` is a run of the embedded model.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use diffuscope::diffusion::{Level, SamplerInfo};
use diffuscope::host::HostTensor;
use diffuscope::model::checkpoint::Checkpoint;
use diffuscope::pipeline::{DeviceKind, GenerateRequest, ModelSource, Pipeline, Start};
use std::ops::ControlFlow;
use std::path::Path;

const TOLERANCE: f64 = 1e-3;

fn relative_error(ours: &HostTensor, reference: &HostTensor) -> f64 {
    assert_eq!(ours.shape(), reference.shape());
    ours.lincomb(1.0, reference, -1.0).norm() / reference.norm().max(1e-12)
}

fn compare(source: &ModelSource, expected: &Path) {
    let bytes = std::fs::read(expected).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let meta = header.metadata().clone().expect("the run's settings");
    let golden = Checkpoint::from_bytes(expected.display().to_string(), &bytes).unwrap();
    let steps: usize = meta["steps"].parse().unwrap();
    let sampler = SamplerInfo::find(&meta["sampler"]).unwrap();
    let pipeline = Pipeline::load(source, DeviceKind::Cpu).unwrap();
    let check = |name: &str, ours: &HostTensor| {
        let error = relative_error(ours, &golden.get(name).unwrap());
        assert!(error < TOLERANCE, "{}: {name}: relative error {error:e}", expected.display());
    };
    let request = GenerateRequest {
        prompt: meta["prompt"].clone(),
        negative: meta["negative"].clone(),
        steps,
        guidance_scale: meta["guidance"].parse().unwrap(),
        sampler,
        start: Start::Latents(golden.get("latents").unwrap()),
        ..GenerateRequest::default()
    };
    // diffusers keeps the samples of its sigma-space samplers divided by alpha; the last level has alpha 1.
    let as_theirs = |x: &HostTensor, level: Level| x.map(|v| (f64::from(v) / sampler.space.divisor(level)) as f32);
    let mut first = Level::CLEAN;
    let generated = pipeline
        .generate(&request, &mut |step| {
            if step.index == 0 {
                first = step.level;
                check("eps_uncond_00", &step.output_uncond);
                check("eps_cond_00", &step.output_cond);
            }
            if step.index + 1 == steps {
                check(&format!("eps_cond_{:02}", step.index), &step.output_cond);
                check(&format!("latents_{steps:02}"), &as_theirs(&step.x_next, step.next_level));
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let ids = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let ids: Vec<u32> = ids.tensor("token_ids").unwrap().data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect();
    let ours: Vec<u32> = generated.token_ids.iter().flat_map(|t| t.ids.clone()).collect();
    assert_eq!(ours, ids, "{}: token ids", expected.display());
    check("text_embeddings", &generated.text_embeddings);
    check("latents_00", &as_theirs(&generated.start, first));
    check("image", &pipeline.decode(&generated.latents).unwrap());
}

#[test]
fn pipelines_of_other_shapes_run_as_in_diffusers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pipelines");
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        compare(&ModelSource::Folder(path.clone()), &path.join("expected.safetensors"));
        compared += 1;
    }
    assert!(compared >= 3, "only {compared} pipelines were found");
}

#[test]
fn the_embedded_model_runs_as_in_diffusers() {
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/littleworld.safetensors");
    compare(&ModelSource::Embedded, &expected);
}
