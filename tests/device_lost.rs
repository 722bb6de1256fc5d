//! A graphics card that goes away in the middle of the work, for real: the device under the models is destroyed, as when a card
//! is taken out or its driver starts anew. It is said, nothing made is lost, and work goes on elsewhere or on the card opened anew.
//!
//! In a file, and so a process, of its own, and in one test: the device is shared by all that compute on it.
//! With `LOOK=DIR` in the environment what is seen is written to DIR.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod common;
mod support;

use common::TinyPipeline;
use diffuscope::compute::{Storage, WgpuDevice};
use diffuscope::host::HostTensor;
use diffuscope::pipeline::{GenerateRequest, ModelSource, Pipeline};
use diffuscope::ui::{App, Options};
use diffuscope::worker::Worker;
use diffuscope::worker::protocol::DeviceKind;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use std::ops::ControlFlow;
use std::sync::Arc;
use support::{Real, window};

/// The first adapter, in single precision.
const CARD: DeviceKind = DeviceKind::ALL[2];

/// Takes away the device that the models compute on.
fn take_away() {
    WgpuDevice::open(0, Storage::F32).unwrap().give_up();
}

fn request() -> GenerateRequest {
    GenerateRequest { prompt: "a red house".into(), steps: 6, guidance_scale: 4.0, seed: 3, ..GenerateRequest::default() }
}

fn draw(pipeline: &Pipeline) -> HostTensor {
    pipeline.generate(&request(), &mut |_| ControlFlow::Continue(())).unwrap().latents
}

/// Frames until `found` says so; a minute at most.
fn step_until(harness: &mut Harness<'_, App>, what: &str, found: impl Fn(&Harness<'_, App>) -> bool) {
    for _ in 0..3000 {
        harness.step();
        if found(harness) {
            return;
        }
    }
    let session = harness.state().session();
    panic!("{what} did not come: busy {}, {:?}", session.is_busy(), session.notices);
}

#[test]
fn a_card_that_goes_away_takes_nothing_with_it() {
    let tiny = TinyPipeline::new();
    let source = ModelSource::Folder(tiny.path());

    // In the middle of a run: the step after it says so, and so does everything else that is asked of this device.
    let pipeline = Pipeline::load(&source, CARD).unwrap();
    let expected = draw(&pipeline);
    let mut steps = 0;
    let lost = pipeline.generate(&request(), &mut |_| {
        steps += 1;
        if steps == 3 {
            take_away();
        }
        ControlFlow::Continue(())
    });
    let lost = [lost.err().unwrap(), pipeline.decode(&expected).unwrap_err(), pipeline.encode_text("a tree").unwrap_err()];
    assert_eq!(steps, 3);
    for error in lost {
        let told = diffuscope::worker::explain(&error);
        assert!(error.is_of_device() && told.contains("it was lost") && told.contains("--device cpu"), "{told}");
    }

    // Opened anew it draws the same, with the lost one still held.
    let again = Pipeline::load(&source, CARD).unwrap();
    assert_eq!(draw(&again), expected);
    let on_the_processor = draw(&Pipeline::load(&source, DeviceKind::Cpu).unwrap());
    let error = expected.lincomb(1.0, &on_the_processor, -1.0).norm() / on_the_processor.norm();
    assert!(error < 1e-3, "{error:e}");
    drop((pipeline, again));

    // In the window: all that was made stays, and the processor is offered and taken.
    let options = Options { playing: false, device: Some(CARD), model: source, ..Options::default() };
    let mut harness = window(Box::new(Real(Worker::spawn(Arc::new(|| {})))), options, [1400.0, 860.0]);
    step_until(&mut harness, "the first picture", |harness| harness.state().is_settled());
    let session = harness.state().session();
    assert!(session.reverse.is_current() && session.device == CARD, "{:?}", session.notices);
    let (made, picture) = (session.reverse.frames().len(), session.picture.clone().unwrap());
    assert!(made > 1);
    take_away();
    let prompt = harness.state().settings().work.prompt.clone();
    harness.get_by_label("Roll the seed").click();
    step_until(&mut harness, "the offer", |harness| harness.query_by_label("Use the processor").is_some());
    harness.get_by_label_contains("it was lost");
    if let Ok(folder) = std::env::var("LOOK") {
        harness.render().expect("a picture").save(std::path::Path::new(&folder).join("lost.png")).expect("a file");
    }
    assert!(Arc::ptr_eq(&picture, harness.state().session().picture.as_ref().unwrap()));
    assert_eq!(harness.state().settings().work.prompt, prompt);
    harness.get_by_label("Use the processor").click();
    harness.step();
    step_until(&mut harness, "rest on the processor", |harness| harness.state().is_settled());
    let session = harness.state().session();
    assert_eq!(session.device, DeviceKind::Cpu);
    assert!(session.reverse.is_current() && !session.reverse.is_stopped() && session.reverse.frames().len() == made);
}
