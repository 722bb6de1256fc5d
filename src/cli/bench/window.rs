//! What the person in front of the window waits for: the first picture, and every frame.

use crate::cli::interrupt;
use crate::cli::options::{ModelArgs, WindowArgs};
use crate::cli::stage::{Player, Window};
use crate::pipeline::GenerateRequest;
use crate::worker::Worker;
use crate::worker::protocol::{Command, Event, RunRequest, Slot};
use anyhow::{Context, Result, bail, ensure};
use std::time::{Duration, Instant};

/// Frames per lab behind the percentiles.
const FRAMES: usize = 120;
/// Longest wait for the window's pictures or for the first picture.
const WAIT: Duration = Duration::from_secs(300);

/// Opens the model and begins a run as the window does, and waits for the first picture: milliseconds.
pub fn first_picture(mut worker: Worker, model: &ModelArgs, prompt: &str) -> Result<f64> {
    let started = Instant::now();
    worker.send(Command::OpenModel { source: model.source(), device: model.device() });
    worker.send(Command::Reverse(
        Slot::Reverse,
        RunRequest {
            prompt: prompt.into(),
            seed: 0,
            steps: 20,
            guidance_scale: 5.0,
            guidance_interval: None,
            sampler: GenerateRequest::default().sampler.id.into(),
            decode_every_step: true,
            ..RunRequest::default()
        },
    ));
    await_event(&mut worker, |event| {
        ensure!(started.elapsed() < WAIT, "no picture came within {} seconds", WAIT.as_secs());
        Ok(matches!(event, Some(Event::Frame { frame, .. }) if frame.x0_picture.is_some()))
    })?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// Takes in what the worker answers, one after the other, until `found` has what it looks for; between two answers it is asked with
/// none. A failure of the worker ends it.
pub fn await_event(worker: &mut Worker, mut found: impl FnMut(Option<&Event>) -> Result<bool>) -> Result<()> {
    loop {
        interrupt::check()?;
        let event = worker.poll(1).pop();
        if let Some(Event::Failed { message, .. } | Event::DeviceFailed { message, .. }) = &event {
            bail!("{message}");
        }
        if found(event.as_ref())? {
            return Ok(());
        }
        if event.is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Times of the window's frames in milliseconds, all labs in turn.
pub fn ui_frames(model: &ModelArgs, window: &Window) -> Result<Vec<f64>> {
    let options = WindowArgs { model: model.clone(), ..Default::default() };
    let mut player = Player::open(window, &options, eframe::egui::vec2(1600.0, 1000.0), 1.0);
    let mut times = Vec::new();
    for lab in &window.labs {
        player.show_lab(lab.id);
        player
            .settle(WAIT, |mut output| output.textures_delta.clear())
            .with_context(|| format!("cannot measure the lab \"{}\"", lab.label))?;
        for _ in 0..FRAMES {
            interrupt::check()?;
            let started = Instant::now();
            let mut output = player.frame();
            let shapes = std::mem::take(&mut output.shapes);
            std::hint::black_box(player.ctx.tessellate(shapes, output.pixels_per_point));
            times.push(started.elapsed().as_secs_f64() * 1e3);
            output.textures_delta.clear();
        }
    }
    Ok(times)
}
