//! The worker from outside: what is asked comes, in order and of the newest job alone; what cannot be done is said; nothing hangs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod common;

use common::{LATENTS, SIDE, TOKENS, TinyPipeline};
use diffuscope::diffusion::{Level, NoiseSchedule, ScheduleInfo};
use diffuscope::host::HostTensor;
use diffuscope::noise::{Stream, gaussian};
use diffuscope::pipeline::{GenerateRequest, Pipeline};
use diffuscope::worker::Worker;
use diffuscope::worker::protocol::{
    Command, DeviceKind, Event, ForwardRequest, Frame, GuidanceInterval, JobId, LearnRequest, LearnStep, ModelSource, OtherLevels,
    PictureSource, RaceEnd, RaceLane, RaceMap, RaceRequest, Ruler, RunRequest, Slot, Start, StripRequest, SweepPoint, SweepRequest, Told,
};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Far beyond what any of this takes; a test that reaches it hangs.
const LIMIT: Duration = Duration::from_secs(120);

fn open(tiny: &TinyPipeline) -> Worker {
    let mut worker = Worker::spawn(Arc::new(|| {}));
    worker.send(Command::OpenModel { source: ModelSource::Folder(tiny.path()), device: DeviceKind::Cpu });
    worker
}

/// All events up to the first that `last` is true for.
fn until(worker: &mut Worker, last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let started = Instant::now();
    let mut events = Vec::new();
    loop {
        for event in worker.poll(1) {
            let found = last(&event);
            events.push(event);
            if found {
                return events;
            }
        }
        assert!(started.elapsed() < LIMIT, "waited for an event that did not come; before it came {events:?}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// All events until there is nothing left to do.
fn until_idle(worker: &mut Worker) -> Vec<Event> {
    let started = Instant::now();
    let mut events = Vec::new();
    while worker.is_busy() {
        events.extend(worker.poll(usize::MAX));
        assert!(started.elapsed() < LIMIT, "still busy after {events:?}");
        std::thread::sleep(Duration::from_micros(100));
    }
    events.extend(worker.poll(usize::MAX));
    events
}

fn request(steps: usize) -> RunRequest {
    RunRequest {
        prompt: "a red house".into(),
        negative: "snow".into(),
        seed: 3,
        steps,
        guidance_scale: 4.0,
        guidance_interval: None,
        sampler: "ddim".into(),
        decode_every_step: true,
        ..RunRequest::default()
    }
}

fn frames(events: &[Event], of: JobId) -> Vec<Arc<Frame>> {
    let one = |event: &Event| match event {
        Event::Frame { job, frame, .. } if *job == of => Some(Arc::clone(frame)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

fn failure(events: &[Event]) -> &str {
    events
        .iter()
        .find_map(|event| if let Event::Failed { message, .. } = event { Some(message.as_str()) } else { None })
        .expect("a failure")
}

#[test]
fn a_model_opens_and_tells_about_itself() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let events = until(&mut worker, |event| matches!(event, Event::ModelReady { .. }));
    assert!(matches!(events[0], Event::Started { slot: Slot::Model, .. }));
    let Some(Event::ModelReady { card, alphas_cumprod, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!((card.picture_side, card.latent_shape), (SIDE, [LATENTS[1], LATENTS[2], LATENTS[3]]));
    assert_eq!(alphas_cumprod.len(), 1000);
    assert!(alphas_cumprod.windows(2).all(|pair| pair[0] > pair[1]));
}

#[test]
fn a_reverse_run_streams_what_the_pipeline_makes() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let job = worker.send(Command::Reverse(Slot::Reverse, request(5))).unwrap();
    let events = until(&mut worker, |event| matches!(event, Event::RunDone { .. } | Event::Failed { .. }));
    let Some(Event::RunDone { latents, picture, .. }) = events.last() else { panic!("{events:?}") };

    let pipeline = Pipeline::load(&ModelSource::Folder(tiny.path()), DeviceKind::Cpu).unwrap();
    let RunRequest { prompt, negative, seed, steps, guidance_scale, .. } = request(5);
    let same = GenerateRequest { prompt, negative, seed, steps, guidance_scale, ..Default::default() };
    let mut steps = Vec::new();
    let generated = pipeline
        .generate(&same, &mut |step| {
            steps.push((step.timestep, step.x.clone(), step.x0.clone(), step.eps.clone()));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(latents, &generated.latents);
    assert_eq!(picture, &pipeline.decode(&generated.latents).unwrap());

    // First every step with its x0 decoded, then every step again with x decoded too.
    let frames = frames(&events, job);
    assert_eq!(frames.iter().map(|frame| frame.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    for (frame, (timestep, x, x0, eps)) in frames.iter().zip(steps.iter().cycle()) {
        assert_eq!((frame.timestep, &frame.x, &frame.x0, &frame.eps, frame.count), (*timestep, x, x0, eps, 5));
        assert_eq!(frame.x0_picture.as_ref(), Some(&pipeline.decode(x0).unwrap()));
        assert!((frame.alpha.powi(2) + frame.sigma.powi(2) - 1.0).abs() < 1e-9);
    }
    assert!(frames[..5].iter().all(|frame| frame.x_picture.is_none()));
    assert!(frames[5..].iter().all(|frame| frame.x_picture == Some(pipeline.decode(&frame.x).unwrap())));
}

#[test]
fn pictures_forward_runs_tokens_and_decodings_come() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    worker.send(Command::OpenPicture(PictureSource::Scene { seed: 11 }));
    let events = until(&mut worker, |event| matches!(event, Event::PictureReady { .. } | Event::Failed { .. }));
    let Some(Event::PictureReady { picture, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!((picture.pixels.shape(), picture.latents.shape()), (&[3, SIDE, SIDE][..], &LATENTS[..]));
    assert_eq!(picture.reconstruction.shape(), [3, SIDE, SIDE]);
    assert!(picture.reconstruction_psnr_db.is_finite() && !picture.caption.is_empty());

    let forward = ForwardRequest {
        latents: picture.latents.clone(),
        seed: 5,
        timesteps: vec![900, 10, 500],
        prompt: "a house".into(),
        negative: String::new(),
        guidance_scale: 2.0,
    };
    let job = worker.send(Command::Forward(forward)).unwrap();
    let events = until(&mut worker, |event| matches!(event, Event::RunDone { .. } | Event::Failed { .. }));
    let frames = frames(&events, job);
    assert_eq!(frames.iter().map(|frame| frame.timestep).collect::<Vec<_>>(), [900.0, 10.0, 500.0]);
    let noise = diffuscope::noise::gaussian(5, diffuscope::noise::Stream::Forward, LATENTS);
    for frame in &frames {
        assert_eq!(frame.x, picture.latents.lincomb(frame.alpha, &noise, frame.sigma));
        let again = frame.x0.lincomb(frame.alpha, &frame.eps, frame.sigma);
        let off = again.lincomb(1.0, &frame.x, -1.0).norm() / frame.x.norm();
        assert!(off < 1e-4, "x = alpha x0 + sigma eps is off by {off}");
        assert!(frame.x_picture.is_some() && frame.x0_picture.is_some());
    }

    let asked = worker.send(Command::Tokenize { prompt: "ab".into(), negative: String::new() });
    assert!(asked.is_none());
    let events = until(&mut worker, |event| matches!(event, Event::Tokenized { .. }));
    let Some(Event::Tokenized { prompt, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!((prompt.ids.len(), prompt.dropped), (TOKENS, 0));

    worker.send(Command::Decode(picture.latents.clone()));
    let events = until(&mut worker, |event| matches!(event, Event::Decoded { .. } | Event::Failed { .. }));
    let Some(Event::Decoded { picture: decoded, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!(decoded, &picture.reconstruction);
}

#[test]
fn the_newest_job_of_a_slot_is_the_only_one_heard() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    until(&mut worker, |event| matches!(event, Event::ModelReady { .. }));
    let jobs: Vec<_> =
        (0..30).map(|seed| worker.send(Command::Reverse(Slot::Guidance, RunRequest { seed, ..request(20) })).unwrap()).collect();
    let last = *jobs.last().unwrap();
    assert!(jobs.windows(2).all(|pair| pair[0] < pair[1]));
    let events = until_idle(&mut worker);
    let heard = |event: &Event| match event {
        Event::Started { job, .. } | Event::Frame { job, .. } | Event::RunDone { job, .. } => *job == last,
        _ => false,
    };
    assert!(events.iter().all(heard), "{events:?}");
    assert!(matches!(events.last(), Some(Event::RunDone { .. })));
}

#[test]
fn short_jobs_are_served_between_the_steps_of_a_long_one() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let run = worker.send(Command::Reverse(Slot::Reverse, request(400))).unwrap();
    until(&mut worker, |event| matches!(event, Event::Frame { .. }));
    worker.send(Command::Decode(HostTensor::full(LATENTS, 0.0)));
    let events = until(&mut worker, |event| matches!(event, Event::Decoded { .. } | Event::RunDone { .. }));
    assert!(matches!(events.last(), Some(Event::Decoded { .. })), "the long run was finished first");
    worker.send(Command::Cancel(Slot::Reverse));
    let events = until(&mut worker, |event| matches!(event, Event::Cancelled { .. } | Event::RunDone { .. }));
    assert!(matches!(events.last(), Some(Event::Cancelled { job, slot: Slot::Reverse }) if *job == run));
}

#[test]
fn a_cancelled_job_says_so_and_the_next_one_works() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let running = worker.send(Command::Reverse(Slot::Reverse, request(400))).unwrap();
    until(&mut worker, |event| matches!(event, Event::Frame { .. }));
    let (done, total) = worker.progress(Slot::Reverse).expect("a running job has progress");
    assert!((1..=total).contains(&done), "{done} of {total}");
    let waiting = worker.send(Command::Forward(ForwardRequest {
        latents: HostTensor::full(LATENTS, 0.1),
        seed: 0,
        timesteps: vec![5],
        prompt: String::new(),
        negative: String::new(),
        guidance_scale: 1.0,
    }));
    worker.send(Command::Cancel(Slot::Forward));
    worker.send(Command::Cancel(Slot::Reverse));
    worker.send(Command::Cancel(Slot::Picture));
    let events = until_idle(&mut worker);
    let cancelled: Vec<_> =
        events.iter().filter_map(|event| if let Event::Cancelled { job, .. } = event { Some(*job) } else { None }).collect();
    assert!(cancelled.contains(&running) && cancelled.contains(&waiting.unwrap()) && cancelled.len() == 2, "{cancelled:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::RunDone { .. })));
    assert_eq!(worker.progress(Slot::Reverse), None);

    worker.send(Command::Reverse(Slot::Reverse, request(2)));
    assert!(matches!(until_idle(&mut worker).last(), Some(Event::RunDone { .. })));
}

#[test]
fn dropping_the_worker_in_the_middle_of_work_ends_it() {
    let tiny = TinyPipeline::new();
    for unread in [false, true] {
        let mut worker = open(&tiny);
        worker.send(Command::Reverse(Slot::Reverse, request(900)));
        worker.send(Command::OpenPicture(PictureSource::Scene { seed: 1 }));
        if unread {
            // Nothing is read, so the queue of answers fills up and the worker waits for room in it.
            std::thread::sleep(Duration::from_millis(300));
        } else {
            until(&mut worker, |event| matches!(event, Event::Frame { .. }));
        }
        drop(worker);
    }
}

#[test]
fn without_a_model_everything_else_says_what_to_do() {
    let mut worker = Worker::spawn(Arc::new(|| {}));
    worker.send(Command::OpenModel { source: ModelSource::Folder("/no/such/model".into()), device: DeviceKind::Cpu });
    let events = until_idle(&mut worker);
    assert!(failure(&events).contains("/no/such/model"), "{events:?}");
    worker.send(Command::OpenPicture(PictureSource::Scene { seed: 1 }));
    let events = until_idle(&mut worker);
    let message = failure(&events);
    assert!(
        message.contains("no model is open") && message.contains("/no/such/model") && message.contains("open a model folder"),
        "{message}"
    );
    worker.send(Command::Tokenize { prompt: "a".into(), negative: "b".into() });
    assert!(until_idle(&mut worker).is_empty());
    // Writing a file needs no model.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    worker.send(Command::SavePng { path: path.clone(), width: 2, height: 1, rgba: Arc::from([9; 8]) });
    assert!(matches!(until_idle(&mut worker).last(), Some(Event::Saved { path: saved, .. }) if *saved == path));
    assert_eq!(image::open(path).unwrap().to_rgba8().into_raw(), [9; 8]);
}

#[test]
fn a_model_that_cannot_be_opened_leaves_the_one_that_is() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    until_idle(&mut worker);
    worker.send(Command::OpenModel { source: ModelSource::Folder(tiny.file("unet")), device: DeviceKind::Cpu });
    failure(&until_idle(&mut worker));
    worker.send(Command::Decode(HostTensor::full(LATENTS, 0.0)));
    assert!(matches!(until_idle(&mut worker).last(), Some(Event::Decoded { .. })));
}

#[test]
fn what_cannot_be_done_is_said_and_the_worker_lives_on() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    until_idle(&mut worker);
    let forward = |timesteps: &[usize], latents: HostTensor| {
        Command::Forward(ForwardRequest {
            latents,
            seed: 0,
            timesteps: timesteps.to_vec(),
            prompt: String::new(),
            negative: String::new(),
            guidance_scale: 1.0,
        })
    };
    let right = HostTensor::full(LATENTS, 0.0);
    let cases = [
        (Command::Reverse(Slot::Reverse, RunRequest { sampler: "magic".into(), ..request(3) }), "magic"),
        (Command::Reverse(Slot::Reverse, request(0)), "0 steps"),
        (Command::Reverse(Slot::Reverse, request(100_000)), "100000 steps"),
        (Command::Reverse(Slot::Reverse, RunRequest { start: Start::Noised { x0: right.clone(), timestep: 5000 }, ..request(3) }), "5000"),
        (forward(&[1000], right.clone()), "timestep 1000"),
        (forward(&[], right), "at least one timestep"),
        (forward(&[5], HostTensor::full([1, 3, 8, 8], 0.0)), "3"),
        (Command::Decode(HostTensor::full([7], 0.0)), "[7]"),
        (Command::OpenPicture(PictureSource::File("/no/such/picture.png".into())), "/no/such/picture.png"),
        (Command::SavePng { path: "/no/such/folder/a.png".into(), width: 1, height: 1, rgba: Arc::from([0; 4]) }, "/no/such/folder/a.png"),
        (Command::SavePng { path: "a.png".into(), width: 3, height: 1, rgba: Arc::from([0; 4]) }, "12 bytes"),
    ];
    for (command, part) in cases {
        worker.send(command.clone());
        let events = until_idle(&mut worker);
        let message = failure(&events);
        assert!(message.contains(part), "{command:?}: {message}");
        assert!(!message.contains("made a mistake"), "{command:?} ended in a panic: {message}");
    }
    worker.send(Command::Reverse(Slot::Reverse, request(2)));
    assert!(matches!(until_idle(&mut worker).last(), Some(Event::RunDone { .. })));
}

#[test]
fn the_window_is_woken_for_what_comes() {
    let tiny = TinyPipeline::new();
    let woken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&woken);
    let mut worker = Worker::spawn(Arc::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    }));
    worker.send(Command::OpenModel { source: ModelSource::Folder(tiny.path()), device: DeviceKind::Cpu });
    worker.send(Command::Reverse(Slot::Reverse, request(4)));
    let events = until_idle(&mut worker);
    assert!(woken.load(Ordering::Relaxed) >= events.len() / 2, "{} events, woken {woken:?} times", events.len());
}

/// The program's own model, and measurements kept in `cache`.
fn open_own(cache: &std::path::Path) -> Worker {
    let mut worker = Worker::spawn_with_cache(Arc::new(|| {}), Some(cache.to_owned()));
    worker.send(Command::OpenModel { source: ModelSource::Embedded, device: DeviceKind::Cpu });
    worker
}

fn own_run(steps: usize) -> RunRequest {
    RunRequest { prompt: "a red house at sea at night".into(), negative: String::new(), decode_every_step: false, ..request(steps) }
}

#[test]
fn a_strip_is_made_quickly_first_and_each_picture_is_that_of_the_sliders_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = open_own(folder.path());
    let scales = vec![0.0, 1.0, 3.0, 7.5, 12.0, 20.0];
    for guidance_interval in [None, Some(GuidanceInterval { low: 300.0, high: 800.0 })] {
        let run = RunRequest { guidance_interval, ..own_run(4) };
        worker.send(Command::Strip(StripRequest { run: run.clone(), scales: scales.clone(), coarse_steps: 2 }));
        let events = until(&mut worker, |event| matches!(event, Event::StripDone { .. } | Event::Failed { .. }));
        let pictures: Vec<(usize, usize, &HostTensor)> = events
            .iter()
            .filter_map(
                |event| if let Event::StripPicture { index, steps, picture, .. } = event { Some((*steps, *index, picture)) } else { None },
            )
            .collect();
        let order: Vec<_> = pictures.iter().map(|(steps, index, _)| (*steps, *index)).collect();
        assert_eq!(order, [2, 4].into_iter().flat_map(|steps| (0..6).map(move |index| (steps, index))).collect::<Vec<_>>());
        // One evaluation a step gives, for w = 0 and 1, what two give; and an interval acts in both ways alike.
        for (steps, index, picture) in pictures.into_iter().filter(|(steps, index, _)| *steps == 4 || *index == 3) {
            worker.send(Command::Reverse(Slot::Guidance, RunRequest { steps, guidance_scale: scales[index], ..run.clone() }));
            let events = until(&mut worker, |event| matches!(event, Event::RunDone { .. } | Event::Failed { .. }));
            let Some(Event::RunDone { picture: slider, .. }) = events.last() else { panic!("{events:?}") };
            assert!(slider == picture, "w = {}, {steps} steps, {guidance_interval:?}", scales[index]);
        }
    }
}

#[test]
fn the_sliders_run_goes_before_a_strip_that_is_being_made() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let strip = worker.send(Command::Strip(StripRequest { run: request(300), scales: vec![1.0, 4.0], coarse_steps: 200 })).unwrap();
    until(&mut worker, |event| matches!(event, Event::Started { slot: Slot::Strip, .. }));
    worker.send(Command::Reverse(Slot::Guidance, request(3)));
    let done = |event: &Event| matches!(event, Event::RunDone { slot: Slot::Guidance, .. } | Event::StripDone { .. });
    assert!(matches!(until(&mut worker, done).last(), Some(Event::RunDone { .. })), "the strip was finished first");
    worker.send(Command::Cancel(Slot::Strip));
    let events = until_idle(&mut worker);
    assert!(events.iter().any(|event| matches!(event, Event::Cancelled { job, slot: Slot::Strip } if *job == strip)), "{events:?}");
}

/// A run at several guidance scales.
fn at(run: RunRequest, scales: &[f64]) -> Vec<RunRequest> {
    scales.iter().map(|&guidance_scale| RunRequest { guidance_scale, ..run.clone() }).collect()
}

fn points(events: &[Event]) -> Vec<Arc<SweepPoint>> {
    events.iter().filter_map(|event| if let Event::SweepPoint { point, .. } = event { Some(Arc::clone(point)) } else { None }).collect()
}

fn ruler(events: &[Event]) -> &Ruler {
    events.iter().find_map(|event| if let Event::SweepBegun { ruler, .. } = event { Some(ruler) } else { None }).expect("begun")
}

#[test]
fn a_sweep_is_gone_on_with_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let sweep = |rounds: &[usize]| SweepRequest { runs: at(own_run(2), &[1.0, 7.5]), rounds: rounds.to_vec() };
    let ended =
        |event: &Event| matches!(event, Event::SweepDone { .. } | Event::Cancelled { slot: Slot::Sweep, .. } | Event::Failed { .. });
    let mut worker = open_own(folder.path());
    let job = worker.send(Command::Sweep(Slot::Sweep, sweep(&[3, 500]))).unwrap();
    until(&mut worker, |event| matches!(event, Event::SweepPoint { point, .. } if point.index == 1));
    worker.send(Command::Cancel(Slot::Sweep));
    let events = until(&mut worker, ended);
    assert!(matches!(events.last(), Some(Event::Cancelled { job: cancelled, .. }) if *cancelled == job), "{events:?}");
    drop(worker);

    let mut worker = open_own(folder.path());
    worker.send(Command::Sweep(Slot::Sweep, sweep(&[3])));
    let events = until(&mut worker, ended);
    assert_eq!(ruler(&events), &Ruler::Judge);
    let first = points(&events);
    assert_eq!(first.iter().map(|point| (point.index, point.cached, point.pictures.len())).collect::<Vec<_>>(), [(0, 3, 3), (1, 3, 3)]);
    for point in &first {
        let adherence = point.adherence.expect("a caption that the judge can check");
        assert!((0.0..=1.0).contains(&adherence.low) && (0.0..=1.0).contains(&adherence.high), "{adherence:?}");
        assert!(point.diversity.value > 0.0 && point.diversity.high > point.diversity.value, "{:?}", point.diversity);
        assert!((0.0..=1.0).contains(&point.saturation.value) && point.clipped.value >= 0.0);
    }

    // A damaged file is as good as none: the same is measured again, and comes out the same.
    let index = walk(folder.path()).into_iter().find(|path| path.ends_with("sweep.json")).expect("an index");
    std::fs::write(&index, b"{\"version\":1,").unwrap();
    worker.send(Command::Sweep(Slot::Sweep, sweep(&[3])));
    let again = points(&until(&mut worker, ended));
    assert_eq!(again.iter().map(|point| point.cached).collect::<Vec<_>>(), [0, 0]);
    for (a, b) in first.iter().zip(&again) {
        assert!(a.pictures == b.pictures && a.adherence == b.adherence);
        assert!((a.diversity.value - b.diversity.value).abs() < 1e-9 && (a.saturation.value - b.saturation.value).abs() < 1e-9);
    }
    // What no caption says is held against CLIP's word.
    let run = RunRequest { prompt: "something quite other".into(), ..own_run(2) };
    worker.send(Command::Sweep(Slot::Sweep, SweepRequest { runs: at(run, &[1.0]), rounds: vec![3] }));
    let events = until(&mut worker, ended);
    assert_eq!(ruler(&events), &Ruler::Similarity);
    assert!(points(&events)[0].adherence.is_some_and(|adherence| (-1.0..=1.0).contains(&adherence.value)));
}

#[test]
fn a_model_without_a_judge_is_measured_as_far_as_that_goes() {
    let (tiny, folder) = (TinyPipeline::new(), tempfile::tempdir().unwrap());
    let mut worker = Worker::spawn_with_cache(Arc::new(|| {}), Some(folder.path().join("cache")));
    worker.send(Command::OpenModel { source: ModelSource::Folder(tiny.path()), device: DeviceKind::Cpu });
    worker.send(Command::Sweep(Slot::Ladder, SweepRequest { runs: at(request(3), &[2.0]), rounds: vec![3] }));
    let events = until(&mut worker, |event| matches!(event, Event::SweepDone { .. } | Event::Failed { .. }));
    assert!(matches!(ruler(&events), Ruler::None(why) if why.contains("adherence")), "{events:?}");
    let point = &points(&events)[0];
    assert!(point.adherence.is_none() && point.diversity.value > 0.0 && point.pictures.len() == 3);
    // A folder that cannot be written to keeps nothing, and the measuring goes on.
    std::fs::write(folder.path().join("file"), b"").unwrap();
    let mut worker = Worker::spawn_with_cache(Arc::new(|| {}), Some(folder.path().join("file")));
    worker.send(Command::OpenModel { source: ModelSource::Folder(tiny.path()), device: DeviceKind::Cpu });
    worker.send(Command::Sweep(Slot::Ladder, SweepRequest { runs: at(request(3), &[2.0]), rounds: vec![3] }));
    let events = until(&mut worker, |event| matches!(event, Event::SweepDone { .. } | Event::Failed { .. }));
    assert_eq!(points(&events).len(), 1, "{events:?}");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

fn race_ends(events: &[Event]) -> Vec<Arc<RaceEnd>> {
    events.iter().filter_map(|event| if let Event::RaceLane { end, .. } = event { Some(Arc::clone(end)) } else { None }).collect()
}

fn race_map(events: &[Event]) -> &Arc<RaceMap> {
    events.iter().find_map(|event| if let Event::RaceDone { map, .. } = event { Some(map) } else { None }).expect("done")
}

#[test]
fn a_race_starts_from_one_noise_and_a_lane_is_the_run_that_it_would_be_alone() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let lane = |sampler: &str, steps, seed| RaceLane { sampler: sampler.into(), steps, seed, levels: None };
    let lanes =
        vec![lane("ddim", 5, 3), lane("ddim", 40, 3), lane("euler_ancestral", 5, 3), lane("euler_ancestral", 5, 4), lane("heun", 4, 3)];
    let wanted = RaceRequest { run: request(1), lanes, reference_steps: 100 };
    let ended = |event: &Event| matches!(event, Event::RaceDone { .. } | Event::Failed { .. } | Event::Cancelled { slot: Slot::Race, .. });
    worker.send(Command::Race(Slot::Race, wanted.clone()));
    let events = until(&mut worker, ended);
    let (ends, map) = (race_ends(&events), race_map(&events));
    assert_eq!(ends.iter().map(|end| end.evaluations).collect::<Vec<_>>(), [5, 40, 5, 5, 7]);
    assert_ne!(ends[2].latents, ends[3].latents, "another seed on the way");

    let steps = |of: usize| -> Vec<_> {
        let step =
            |event: &Event| if let Event::RaceStep { lane, step, .. } = event { (*lane == of).then(|| Arc::clone(step)) } else { None };
        events.iter().filter_map(step).collect()
    };
    let first = steps(0);
    assert_eq!(first.len(), 5);
    assert!(first.windows(2).all(|pair| pair[1].evaluations == pair[0].evaluations + 1 && pair[1].elapsed_ms >= pair[0].elapsed_ms));
    assert!(first.iter().all(|step| step.x0_picture.is_some()));
    assert_eq!(first[0].x, steps(1)[0].x.clone(), "all start from one noise");

    let pipeline = Pipeline::load(&ModelSource::Folder(tiny.path()), DeviceKind::Cpu).unwrap();
    let timestep = first[0].timestep as usize;
    for (at, name) in [(0, "ddim"), (2, "euler_ancestral")] {
        let alone = GenerateRequest {
            start: Start::At { x: gaussian(3, Stream::Start, LATENTS), timestep },
            prompt: "a red house".into(),
            negative: "snow".into(),
            seed: 3,
            steps: 5,
            guidance_scale: 4.0,
            sampler: diffuscope::diffusion::SamplerInfo::find(name).unwrap(),
            ..GenerateRequest::default()
        };
        let generated = pipeline.generate(&alone, &mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(generated.latents, ends[at].latents, "{name}");
    }

    assert_eq!(map.lanes.iter().map(Vec::len).collect::<Vec<_>>(), [6, 41, 6, 6, 5]);
    let end = |lane: usize| map.lanes[lane].last().unwrap().distance;
    assert!(end(1) < 0.5 * end(0), "more steps come nearer: {} {}", end(1), end(0));
    assert!(map.lanes.iter().all(|lane| lane[0].distance < 1e-6), "all start from the reference");
    assert!(map.explained > 0.3 && map.explained <= 1.0, "{map:?}");

    // With one lane changed the others are there at once, and are the same.
    let mut changed = wanted;
    changed.lanes[2] = lane("ddpm", 6, 3);
    worker.send(Command::Race(Slot::Race, changed));
    let again = until(&mut worker, ended);
    let others = race_ends(&again);
    for at in [0, 1, 3, 4] {
        assert!(Arc::ptr_eq(&ends[at], &others[at]), "lane {at} is not run again");
    }
    assert_eq!(race_map(&again).lanes[2].len(), 7);
}

#[test]
fn what_cannot_race_is_said() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let lane = RaceLane { sampler: "magic".into(), steps: 5, seed: 3, levels: None };
    worker.send(Command::Race(Slot::Race, RaceRequest { run: request(1), lanes: vec![lane], reference_steps: 10 }));
    let events = until(&mut worker, |event| matches!(event, Event::RaceDone { .. } | Event::Failed { .. }));
    assert!(
        matches!(events.last(), Some(Event::Failed { message, .. }) if message.contains("magic") && message.contains("ddim")),
        "{events:?}"
    );
}

fn learn_steps(events: &[Event]) -> Vec<Arc<LearnStep>> {
    events.iter().filter_map(|event| if let Event::Learned { step, .. } = event { Some(Arc::clone(step)) } else { None }).collect()
}

#[test]
fn a_lane_follows_the_levels_of_another_schedule_and_the_model_hears_of_its_noise() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let pipeline = Pipeline::load(&ModelSource::Folder(tiny.path()), DeviceKind::Cpu).unwrap();
    let count = pipeline.schedule().len();
    let sigmoid = ScheduleInfo::find("sigmoid").unwrap().build(&[], count).unwrap();
    let lane = |levels| RaceLane { sampler: "ddim".into(), steps: 6, seed: 3, levels };
    let with = |schedule: &NoiseSchedule, told| lane(Some(OtherLevels { schedule: schedule.clone(), told }));
    let lanes = vec![
        lane(None),
        with(pipeline.schedule(), Told::SameNoise),
        with(pipeline.schedule(), Told::SameTimestep),
        with(&sigmoid, Told::SameNoise),
        with(&sigmoid, Told::SameTimestep),
    ];
    worker.send(Command::Race(Slot::Levels, RaceRequest { run: request(1), lanes, reference_steps: 60 }));
    let events = until(&mut worker, |event| matches!(event, Event::RaceDone { .. } | Event::Failed { .. }));
    assert!(events.iter().all(|event| !matches!(event, Event::RaceStep { slot, .. } if *slot != Slot::Levels)));
    let ends = race_ends(&events);
    assert_eq!(ends[0].latents, ends[1].latents, "its own levels are its own levels");
    assert_eq!(ends[0].latents, ends[2].latents);
    assert_ne!(ends[0].latents, ends[3].latents);
    assert_ne!(ends[3].latents, ends[4].latents, "what the model is told matters");
    let steps = |of: usize| {
        events.iter().filter_map(move |event| match event {
            Event::RaceStep { lane, step, .. } if *lane == of => Some(Arc::clone(step)),
            _ => None,
        })
    };
    for (true_noise, same_timestep) in steps(3).zip(steps(4)) {
        assert_eq!((true_noise.alpha, true_noise.sigma), (same_timestep.alpha, same_timestep.sigma), "the levels are the same");
        let level = Level { alpha: true_noise.alpha, sigma: true_noise.sigma };
        assert_eq!(true_noise.timestep, pipeline.schedule().timestep_of(level));
        assert_eq!(same_timestep.timestep, sigmoid.timestep_of(level));
        assert!((level.alpha_bar() - sigmoid.level(same_timestep.timestep as usize).alpha_bar()).abs() < 1e-12);
    }

    let short = ScheduleInfo::find("linear").unwrap().build(&[], 10).unwrap();
    let lanes = vec![with(&short, Told::SameNoise)];
    worker.send(Command::Race(Slot::Levels, RaceRequest { run: request(1), lanes, reference_steps: 10 }));
    let events = until(&mut worker, |event| matches!(event, Event::RaceDone { .. } | Event::Failed { .. }));
    assert!(matches!(events.last(), Some(Event::Failed { message, .. }) if message.contains("10 timesteps")), "{events:?}");
}

#[test]
fn a_schedule_is_learned_step_by_step_and_can_be_stopped() {
    let tiny = TinyPipeline::new();
    let mut worker = open(&tiny);
    let ended =
        |event: &Event| matches!(event, Event::LearnDone { .. } | Event::Failed { .. } | Event::Cancelled { slot: Slot::Learn, .. });
    let learn = |worker: &mut Worker| {
        worker.send(Command::Learn(LearnRequest { seed: 5, losses: 64 }));
        let events = until(worker, ended);
        assert!(matches!(events.last(), Some(Event::LearnDone { .. })), "{events:?}");
        learn_steps(&events)
    };
    let steps = learn(&mut worker);
    assert!(steps.len() >= 2 && steps.last().unwrap().losses == 64);
    assert!(steps.windows(2).all(|pair| pair[0].losses < pair[1].losses && pair[0].network != pair[1].network), "the curve bends");
    for step in &steps {
        assert!(step.learned.estimate.mean > 0.0 && step.learned.estimate.variance.is_finite());
        assert_eq!(step.beside.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["linear", "squaredcos_cap_v2"]);
        assert!(step.beside.iter().all(|(_, spread)| spread.count > 0 && spread.estimate.variance > 0.0));
    }
    let again = learn(&mut worker);
    assert_eq!(again.last().unwrap().network, steps.last().unwrap().network, "the same seed, the same curve");

    worker.send(Command::Learn(LearnRequest { seed: 5, losses: 1_000_000 }));
    until(&mut worker, |event| matches!(event, Event::Learned { .. }));
    worker.send(Command::Cancel(Slot::Learn));
    let events = until(&mut worker, ended);
    assert!(matches!(events.last(), Some(Event::Cancelled { slot: Slot::Learn, .. })), "{events:?}");
}
