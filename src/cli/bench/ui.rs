//! How the window answers a hand: frames while something is dragged and a generation runs, the first answer to a drag, the finished
//! picture.

use super::turns::{percentile, rounded};
use crate::cli::options::{ModelArgs, WindowArgs};
use crate::cli::stage::{Player, Window};
use crate::cli::{interrupt, output};
use anyhow::{Context, Result};
use eframe::egui::{self, Event, Modifiers, PointerButton, Pos2, Rect};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Measure how quickly the window answers a drag while a picture is generated
///
/// A scripted hand on the real window and the real worker, frame by frame at 60 a second, off screen: layout and tessellation on the
/// processor, without the graphics adapter's share.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  diffuscope bench ui\n  diffuscope bench ui --drags 20 --json\n\n\
    frame_p50, frame_p99, frame_max  one frame while a control is dragged and a generation runs, ms\n\
    over_33                          such frames that took more than 33 ms\n\
    answer                           from a movement of the hand to the end of the frame that shows another picture or field for it, ms:\n\
    \u{20}                                something true and labelled, coarse where need be\n\
    finished                         from letting go until all that is shown is refined and decoded, ms\n\n\
    Medians over the drags.")]
pub struct UiArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Drags in each lab
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=1000))]
    drags: u32,
    /// Width and height of the window, in points
    #[arg(long, value_name = "WxH", default_value = "1440x900", value_parser = size)]
    size: [u16; 2],
    #[command(flatten)]
    model: ModelArgs,
}

fn size(text: &str) -> Result<[u16; 2], String> {
    let parts: Vec<u16> = text.split('x').filter_map(|part| part.parse().ok()).collect();
    match parts.as_slice() {
        &[width, height] if (640..=8192).contains(&width) && (400..=8192).contains(&height) => Ok([width, height]),
        _ => Err("give width and height as in 1440x900, from 640x400 to 8192x8192".into()),
    }
}

/// Longest wait for anything.
const WAIT: Duration = Duration::from_secs(300);
/// Time from frame to frame.
const FRAME: Duration = Duration::from_micros(16_667);
/// Movements of the hand in one drag.
const MOVES: usize = 45;
/// What is dragged in a lab that is not named here.
const EVERYWHERE: &str = "Timestep";
/// What is dragged in a lab, by its name for screen readers, and from where to where, in shares of its width.
const HANDLES: [(&str, &str, [f32; 2]); 1] = [("guidance", "Guidance scale w", [0.3, 0.9])];

/// What was measured in a lab, in milliseconds.
#[derive(Debug, Clone, Default)]
struct Felt {
    frames: Vec<f64>,
    answers: Vec<f64>,
    finished: Vec<f64>,
}

/// Measures and prints.
///
/// # Errors
/// A window that does not settle, a control that is not there, Ctrl-C.
pub fn run(args: &UiArgs, window: &Window) -> Result<()> {
    let bar = output::progress(window.labs.len() as u64, "bench ui");
    let options = WindowArgs { model: args.model.clone(), ..Default::default() };
    let [width, height] = args.size.map(f32::from);
    let mut player = Player::open(window, &options, egui::vec2(width, height), 1.0);
    let mut all = Vec::new();
    for lab in &window.labs {
        bar.set_message(lab.label);
        let felt = drag_in(&mut player, lab.id, args.drags).with_context(|| format!("cannot measure the lab \"{}\"", lab.label))?;
        all.push((lab.label, felt));
        bar.inc(1);
    }
    bar.finish_and_clear();
    if args.json {
        let labs: serde_json::Map<String, Value> = all.into_iter().map(|(label, felt)| (label.to_owned(), felt.to_json())).collect();
        return output::print(&Value::from(labs).to_string());
    }
    output::print(&format!(
        "{:22} {:>9} {:>9} {:>9} {:>7} {:>8} {:>9}",
        "ms", "frame_p50", "frame_p99", "frame_max", "over_33", "answer", "finished"
    ))?;
    for (label, felt) in all {
        let [p50, p99, most, answer, finished] = felt.numbers();
        let line = format!("{label:22} {p50:9.2} {p99:9.2} {most:9.2} {:7} {answer:8.2} {finished:9.0}", felt.over());
        output::print(&line)?;
    }
    Ok(())
}

impl Felt {
    fn over(&self) -> usize {
        self.frames.iter().filter(|frame| **frame > 33.0).count()
    }

    fn numbers(&self) -> [f64; 5] {
        let sorted = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            values
        };
        let [frames, answers, finished] = [&self.frames, &self.answers, &self.finished].map(|values| sorted(values));
        [
            percentile(&frames, 0.5),
            percentile(&frames, 0.99),
            percentile(&frames, 1.0),
            percentile(&answers, 0.5),
            percentile(&finished, 0.5),
        ]
    }

    fn to_json(&self) -> Value {
        let [p50, p99, most, answer, finished] = self.numbers().map(rounded);
        json!({
            "ui_frame_ms_p50": p50, "ui_frame_ms_p99": p99, "ui_frame_ms_max": most, "frames": self.frames.len(),
            "frames_over_33_ms": self.over(), "drag_to_first_response_ms": answer, "drag_to_finished_ms": finished,
        })
    }
}

/// Drags the lab's own handle to and fro, each time while a new generation runs.
fn drag_in(player: &mut Player, lab: &str, drags: u32) -> Result<Felt> {
    player.show_lab(lab);
    settle(player)?;
    let (name, [from, to]) = HANDLES.iter().find(|(id, ..)| *id == lab).map_or((EVERYWHERE, [0.15, 0.85]), |(_, name, way)| (*name, *way));
    let handle = place(player, name)?;
    let dice = place(player, "Roll the seed")?.center();
    let at = |share: f32| Pos2::new(handle.left() + share * handle.width(), handle.top() + handle.height().min(60.0) * 0.5);
    let mut felt = Felt::default();
    for drag in 0..drags {
        interrupt::check()?;
        // A click on the dice begins a generation.
        press(player, dice, true);
        paced(player, None);
        press(player, dice, false);
        paced(player, None);
        let (from, to) = if drag % 2 == 0 { (from, to) } else { (to, from) };
        press(player, at(from), true);
        paced(player, Some(&mut felt));
        let mut waiting: Option<Instant> = None;
        for step in 1..=MOVES {
            let moved = Instant::now();
            player.push(Event::PointerMoved(at(from + (to - from) * step as f32 / MOVES as f32)));
            let since = *waiting.get_or_insert(moved);
            if let Some(shown) = paced(player, Some(&mut felt)) {
                felt.answers.push((shown - since).as_secs_f64() * 1e3);
                waiting = None;
            }
        }
        press(player, at(to), false);
        let released = Instant::now();
        settle_paced(player, &mut felt)?;
        felt.finished.push(released.elapsed().as_secs_f64() * 1e3);
    }
    Ok(felt)
}

fn press(player: &mut Player, pos: Pos2, pressed: bool) {
    player.push(Event::PointerMoved(pos));
    player.push(Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers: Modifiers::NONE });
}

/// A frame, and the rest of its sixtieth of a second; the time of work goes to `felt`. Returns when it was ready, if a picture changed
/// in it.
fn paced(player: &mut Player, felt: Option<&mut Felt>) -> Option<Instant> {
    let started = Instant::now();
    let mut output = player.frame();
    let shapes = std::mem::take(&mut output.shapes);
    std::hint::black_box(player.ctx.tessellate(shapes, output.pixels_per_point));
    let ready = Instant::now();
    let took = ready - started;
    let changed = !output.textures_delta.set.is_empty();
    output.textures_delta.clear();
    if let Some(felt) = felt {
        felt.frames.push(took.as_secs_f64() * 1e3);
    }
    std::thread::sleep(FRAME.saturating_sub(took));
    changed.then_some(ready)
}

fn settle(player: &mut Player) -> Result<()> {
    player.settle(WAIT, |mut output| output.textures_delta.clear())
}

/// Waits until all has come, at the pace of a screen.
fn settle_paced(player: &mut Player, felt: &mut Felt) -> Result<()> {
    let started = Instant::now();
    // The first frames after a release have not asked for anything yet.
    let mut frames = 0;
    while frames < 3 || !player.is_settled() {
        interrupt::check()?;
        anyhow::ensure!(started.elapsed() < WAIT, "the window is still waiting for its pictures after {} seconds", WAIT.as_secs());
        paced(player, Some(felt));
        frames += 1;
    }
    Ok(())
}

/// Where the control with this name for screen readers lies, in points.
fn place(player: &mut Player, name: &str) -> Result<Rect> {
    player.ctx.enable_accesskit();
    let mut found = None;
    // Two frames: sizes are known after the first.
    for _ in 0..2 {
        let mut output = player.frame();
        output.textures_delta.clear();
        let update = output.platform_output.accesskit_update.take();
        let bounds =
            update.iter().flat_map(|update| &update.nodes).find(|(_, node)| node.label() == Some(name)).and_then(|(_, node)| node.bounds());
        found = bounds.map(|b| Rect::from_min_max(Pos2::new(b.x0 as f32, b.y0 as f32), Pos2::new(b.x1 as f32, b.y1 as f32)));
    }
    player.ctx.disable_accesskit();
    found.with_context(|| format!("there is no control named \"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_or_refused_with_an_example() {
        assert_eq!(size("1440x900"), Ok([1440, 900]));
        for odd in ["", "x", "1440", "10x10", "99999x900", "1440x900x3", "ax900"] {
            assert!(size(odd).is_err_and(|message| message.contains("1440x900")), "{odd}");
        }
    }

    #[test]
    fn numbers_are_percentiles_of_what_was_felt() {
        let felt = Felt { frames: vec![1.0, 2.0, 40.0], answers: vec![5.0], finished: vec![300.0, 100.0, 200.0] };
        assert_eq!(felt.numbers(), [2.0, 40.0, 40.0, 5.0, 200.0]);
        assert_eq!(felt.over(), 1);
    }
}
