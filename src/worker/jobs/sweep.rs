//! Adherence, diversity, saturation and latency of several runs of one prompt: a few samples of each first, then more. What is on the disk is gone
//! on from, and every sample is kept there.

use super::strip::latents;
use super::{Desk, JobError};
use crate::host::HostTensor;
use crate::measure::{Estimate, Meter, Proportion, Sample, halve, pairwise_diversity, saturation, score};
use crate::pipeline::Pipeline;
use crate::worker::cache::{Entry, Measured};
use crate::worker::protocol::{Event, Ruler, RunRequest, Slot, Start, SweepPoint, SweepRequest};
use crate::world::Facts;
use std::rc::Rc;
use std::sync::Arc;

/// Pictures are kept halved until their longer side is at most this.
const KEPT_SIDE: usize = 96;

/// What a sample is held against.
enum Goal {
    Facts(Rc<Meter>, Facts),
    Text(Rc<Meter>, Vec<f32>),
    Nothing(String),
}

impl Goal {
    fn ruler(&self) -> Ruler {
        match self {
            Self::Facts(..) => Ruler::Judge,
            Self::Text(..) => Ruler::Similarity,
            Self::Nothing(why) => Ruler::None(why.clone()),
        }
    }
}

pub(super) fn run(desk: &Desk, slot: Slot, request: &SweepRequest) -> Result<(), JobError> {
    let pipeline = desk.room.pipeline()?;
    let rounds = &request.rounds;
    let most = rounds.last().copied().unwrap_or(0);
    let Some(first) = request.runs.first() else { return Err(JobError::Request("there is no run to measure".into())) };
    let total = most * request.runs.len();
    desk.progress(0, total);
    let goal = goal(desk, pipeline, &first.prompt)?;
    desk.answer(Event::SweepBegun { job: desk.job.id, slot, ruler: goal.ruler() })?;
    // What starts elsewhere than in noise is not told apart by its key.
    let folder = desk.room.cache.as_ref().filter(|_| request.runs.iter().all(|run| run.start == Start::Noise));
    let entry = folder.map(|folder| Entry::new(folder, key(pipeline, request)));
    let mut samples = entry.as_ref().map_or_else(|| vec![Vec::new(); request.runs.len()], |entry| entry.read(request.runs.len()));
    samples.iter_mut().for_each(|of| of.truncate(most));
    let cached: Vec<usize> = samples.iter().map(Vec::len).collect();
    let mut keeps = entry.is_some();
    let tell = |samples: &[Vec<Measured>], index: usize| -> Result<(), JobError> {
        let point = point(index, &samples[index], cached[index]);
        desk.answer(Event::SweepPoint { job: desk.job.id, slot, point: Arc::new(point) })
    };
    let mut done: usize = cached.iter().sum();
    desk.progress(done, total);
    for index in 0..samples.len() {
        if samples[index].len() >= rounds.first().copied().unwrap_or(0) {
            tell(&samples, index)?;
        }
    }
    for &round in rounds {
        for (index, run) in request.runs.iter().enumerate() {
            let before = samples[index].len();
            while samples[index].len() < round {
                let number = samples[index].len();
                let watch = desk.watch();
                let latents = latents(desk, &RunRequest { seed: number as u64, ..run.clone() }, |_| {})?;
                let picture = pipeline.decode_unclamped(&latents)?;
                let sample = measure(&goal, &picture, watch.elapsed_ms())?;
                if let (true, Some(entry), Some(picture)) = (keeps, &entry, &sample.picture) {
                    keeps = kept(entry.write_picture(index, number, picture));
                }
                samples[index].push(sample);
                if let (true, Some(entry)) = (keeps, &entry) {
                    keeps = kept(entry.write(&samples));
                }
                done += 1;
                desk.progress(done, total);
            }
            if samples[index].len() > before {
                tell(&samples, index)?;
            }
        }
    }
    if let Some(entry) = &entry {
        entry.tidy();
    }
    desk.answer(Event::SweepDone { job: desk.job.id, slot })
}

/// Whether the disk took it; where it did not, the sweep goes on without it.
fn kept(written: Result<(), String>) -> bool {
    if let Err(problem) = &written {
        log::warn!("the measurements are not kept on the disk: {problem}");
    }
    written.is_ok()
}

/// Everything that the measurements depend on.
fn key(pipeline: &Pipeline, request: &SweepRequest) -> String {
    let runs = request.runs.iter().map(|run| {
        let interval = run.guidance_interval.map(|interval| [interval.low, interval.high]);
        serde_json::json!({
            "prompt": run.prompt,
            "negative": run.negative,
            "steps": run.steps,
            "sampler": run.sampler,
            "interval": interval,
            "scale": run.guidance_scale,
        })
    });
    let runs: Vec<_> = runs.collect();
    serde_json::json!({ "model": pipeline.fingerprint(), "device": pipeline.card().device, "runs": runs }).to_string()
}

/// The ruler that this model and this prompt allow.
fn goal(desk: &Desk, pipeline: &Pipeline, prompt: &str) -> Result<Goal, JobError> {
    if prompt.trim().is_empty() {
        return Ok(Goal::Nothing("Without a prompt there is nothing to adhere to.".into()));
    }
    if pipeline.card().picture_side != Meter::SIDE {
        return Ok(Goal::Nothing("The judge knows Littleworld's pictures only, so adherence is not measured for this model.".into()));
    }
    let hidden = pipeline.encode_text(prompt)?;
    let fingerprint = pipeline.fingerprint();
    let known = desk.room.meter.borrow().as_ref().filter(|(of, _)| *of == fingerprint).map(|(_, meter)| Rc::clone(meter));
    let meter = match known {
        Some(meter) => meter,
        None => {
            let files = ["judge/model.safetensors", "image_encoder/model.safetensors"].map(|name| pipeline.companion(name));
            let [Some(judge), Some(encoder)] = [files[0].as_ref(), files[1].as_ref()].map(|file| file.ok().and_then(Option::as_ref)) else {
                return Ok(Goal::Nothing("This model folder has no judge/ and image_encoder/, so adherence is not measured.".into()));
            };
            let width = hidden.shape().last().copied().unwrap_or(0);
            let meter = Rc::new(Meter::new(judge, encoder, width)?);
            desk.room.meter.replace(Some((fingerprint, Rc::clone(&meter))));
            meter
        }
    };
    Ok(match Facts::read(prompt) {
        Some(facts) => Goal::Facts(meter, facts),
        None => {
            let end = pipeline.tokenize(prompt).pieces.len() + 1;
            let text = meter.text(&hidden, end.min(hidden.shape()[1] - 1))?;
            Goal::Text(meter, text)
        }
    })
}

/// What is to be kept of a picture whose values may lie beyond black and white.
fn measure(goal: &Goal, whole: &HostTensor, latency_ms: f64) -> Result<Measured, JobError> {
    let strength = saturation(whole)?;
    let (mut hit, mut similarity, mut features) = (None, None, Vec::new());
    match goal {
        Goal::Facts(meter, facts) => {
            let (verdict, seen) = meter.judge(whole)?;
            hit = verdict.map(|verdict| score(&verdict, facts).all);
            features = seen;
        }
        Goal::Text(meter, text) => {
            similarity = Some(meter.similarity(whole, text)?);
            features = meter.judge(whole)?.1;
        }
        Goal::Nothing(_) => {}
    }
    let mut small = whole.map(|v| v.clamp(0.0, 1.0));
    while small.shape()[1].max(small.shape()[2]) > KEPT_SIDE {
        small = halve(&small);
    }
    // As a file keeps it, so that what is read back is the same.
    let picture = Some(small.map(|v| (v * 255.0).round() / 255.0));
    Ok(Measured { hit, similarity, clipped: strength.clipped, saturation: strength.hsv, latency_ms, features, picture })
}

fn point(index: usize, samples: &[Measured], cached: usize) -> SweepPoint {
    let mean = |value: fn(&Measured) -> f64| samples.iter().map(value).collect::<Sample>().estimate();
    let share = |of: Estimate| Estimate { value: of.value, low: of.low.max(0.0), high: of.high.min(1.0) };
    let latency_ms = mean(|sample| sample.latency_ms);
    let hits = Proportion::of(samples.iter().map(|sample| sample.hit));
    let similarities: Sample = samples.iter().filter_map(|sample| sample.similarity).collect();
    let adherence = if hits.trials > 0 { Some(hits.estimate()) } else { (!similarities.is_empty()).then(|| similarities.estimate()) };
    let pictures: Vec<HostTensor> = samples.iter().filter_map(|sample| sample.picture.clone()).collect();
    let in_features = samples.iter().all(|sample| !sample.features.is_empty());
    let rows: Vec<&[f32]> = if in_features {
        samples.iter().map(|sample| sample.features.as_slice()).collect()
    } else {
        pictures.iter().map(HostTensor::data).collect()
    };
    SweepPoint {
        index,
        cached: cached.min(samples.len()),
        adherence,
        diversity: pairwise_diversity(&rows),
        saturation: share(mean(|sample| sample.saturation)),
        clipped: share(mean(|sample| sample.clipped)),
        latency_ms: Estimate { low: latency_ms.low.max(0.0), ..latency_ms },
        pictures,
    }
}
