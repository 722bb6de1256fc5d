//! The lab as a figure: the lanes' pictures at the clock's level, their distances from the reference, their ways.

use super::distance::{ACROSS, NONE, range};
use super::lanes::seconds;
use super::{Samplers, Settings};
use crate::diffusion::SamplerInfo;
use crate::figure::{Axis, Body, Chart, Figure, Line, Paint, Panel, Picture, Rich, Row, Run, Series};
use crate::ui::export::ink::{Ink, line, rgb};
use crate::ui::labs::LabContext;
use crate::ui::theme::Symbol;
use crate::ui::widgets::math::{num, op, row, sym};
use crate::worker::protocol::RaceMap;

/// Pictures of the lanes side by side.
const COLUMNS: usize = 3;
/// Frames of an animation.
const FRAMES: usize = 26;

/// A lane's name: its sampler, its steps, its seed where it has one of its own.
fn name_of(settings: &Settings, index: usize) -> String {
    let Some(lane) = settings.lanes.get(index) else { return String::new() };
    let label = SamplerInfo::find(&lane.sampler).map_or("", |info| info.label);
    let seed = if lane.seed > 0 { format!(", seed +{}", lane.seed) } else { String::new() };
    format!("{label}, {} steps{seed}", settings.steps_of(lane))
}

impl Samplers {
    pub(super) fn as_figure(&self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        let mut rows = self.pictures_at(cx, ink, cx.clock.position())?;
        if let Some(map) = cx.session.race.map() {
            rows.push(Row::of([distances(cx, ink, map)]));
            rows.push(Row::of([ways(cx, ink, map)]));
        }
        Some(Figure::new("Samplers", rows, self.told(cx, ink, Some(cx.clock.position())), ink.inks.clone()))
    }

    /// The pictures of all lanes at one level, in rows.
    fn pictures_at(&self, cx: &LabContext<'_>, ink: &Ink, position: f64) -> Option<Vec<Row>> {
        let mut panels = Vec::new();
        for (index, lane) in cx.session.race.lanes().iter().enumerate() {
            let (finished, step) = (lane.finished(position), lane.at(position)?);
            let picture = lane.picture(position)?.clone();
            let name = name_of(&cx.work.samplers, index);
            let hue = rgb(*ink.palette.lanes.get(index)?);
            let heading = line([Run::plain("—\u{a0}", hue).weight(600), Run::plain(name.clone(), ink.inks.text).weight(500)]);
            let (evaluations, ms) = finished.map_or((step.evaluations, step.elapsed_ms), |end| (end.evaluations, end.elapsed_ms));
            let foot: Rich = vec![ink.word(format!("{evaluations} evaluations, {}", seconds(ms)), Symbol::Quiet)];
            panels.push(
                Panel::new(name, Body::Picture(Picture::new(format!("lane {}", index + 1), picture, Paint::Rgb)))
                    .heading(heading)
                    .foot(foot),
            );
        }
        if panels.is_empty() {
            return None;
        }
        Some(panels.chunks(COLUMNS).map(|panels| Row::of(panels.to_vec())).collect())
    }

    /// The race, level by level.
    pub(super) fn as_film(&self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        if cx.session.race.lanes().iter().any(|lane| lane.end.is_none()) {
            return Vec::new();
        }
        let last = cx.clock.last();
        let frames = (0..FRAMES).rev().filter_map(|i| {
            let position = last * i as f64 / (FRAMES - 1) as f64;
            let mut rows = self.pictures_at(cx, ink, position)?;
            let now = Line {
                left: ink.math(&row([sym("t", Symbol::Plain), op("="), num(position, 1, 0, Symbol::Plain)])),
                right: Vec::new(),
                size: 17.0,
            };
            rows.push(Row::of([Panel::new("now", Body::Lines(vec![now]))]));
            Some(Figure::new("Race", rows, self.told(cx, ink, None), ink.inks.clone()))
        });
        frames.collect()
    }

    fn told(&self, cx: &LabContext<'_>, ink: &Ink, position: Option<f64>) -> Vec<String> {
        let mut caption = ink.caption(cx, None, None);
        if let Some(last) = caption.last_mut() {
            let model = cx.session.card.as_ref().map_or_else(String::new, |card| format!("{}, ", card.name));
            let at = position.map_or_else(String::new, |position| format!(", t = {position:.0}"));
            *last = format!("{model}seed {}, w {:.1}{at}", cx.work.seed, Self::scale(cx));
        }
        if let Some(first) = caption.first_mut() {
            *first = format!("“{}”", cx.session.prompt.trim());
        }
        caption
    }
}

fn distances(cx: &LabContext<'_>, ink: &Ink, map: &RaceMap) -> Panel {
    let (low, high) = range(map);
    let smallest = 10_f64.powf(ACROSS.1);
    let series = map.lanes.iter().enumerate().map(|(index, places)| Series {
        name: name_of(&cx.work.samplers, index),
        color: rgb(ink.palette.lanes[index.min(ink.palette.lanes.len() - 1)]),
        width: 2.2,
        opacity: 1.0,
        // The end has no noise level; it stands at the edge.
        points: places
            .iter()
            .filter(|p| p.distance > NONE)
            .map(|p| [p.sigma_ratio.max(smallest), p.distance.max(10_f64.powf(low))])
            .collect(),
    });
    let x = Axis {
        label: vec![ink.word("noise level σ/α, the end at the left edge", Symbol::Quiet)],
        range: (smallest, 10_f64.powf(ACROSS.0)),
        log: true,
    };
    let y = Axis { label: Vec::new(), range: (10_f64.powf(low), 10_f64.powf(high)), log: true };
    let chart = Chart { x, y, series: series.collect(), playhead: None, dots: Vec::new(), legend: true, aspect: 0.42 };
    Panel::new("Distance from the reference", Body::Chart(chart)).heading(vec![ink.word("Distance from the reference", Symbol::Plain)])
}

fn ways(cx: &LabContext<'_>, ink: &Ink, map: &RaceMap) -> Panel {
    let mut series = vec![Series {
        name: "reference".to_owned(),
        color: ink.inks.dim,
        width: 5.0,
        opacity: 0.5,
        points: map.reference.iter().copied().collect(),
    }];
    series.extend(map.lanes.iter().enumerate().map(|(index, places)| Series {
        name: name_of(&cx.work.samplers, index),
        color: rgb(ink.palette.lanes[index.min(ink.palette.lanes.len() - 1)]),
        width: 1.8,
        opacity: 1.0,
        points: places.iter().map(|place| place.place).collect(),
    }));
    let bounds = |axis: usize| {
        let all = series.iter().flat_map(|series| series.points.iter()).map(|point| point[axis]);
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let pad = 0.05 * (high - low).max(1e-6);
        (low - pad, high + pad)
    };
    let axis = |text: &str, range| Axis { label: vec![ink.word(text, Symbol::Quiet)], range, log: false };
    let (x, y) = (axis("first principal component", bounds(0)), axis("second", bounds(1)));
    let chart = Chart { x, y, series, playhead: None, dots: Vec::new(), legend: false, aspect: 0.5 };
    let heading = format!("Their ways, {:.0}% of the variance", 100.0 * map.explained);
    Panel::new("Their ways", Body::Chart(chart)).heading(vec![ink.word(heading, Symbol::Plain)])
}
