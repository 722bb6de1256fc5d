//! The lab as a figure: the answers at the clock's level, what an error becomes, the errors that the model makes.

use super::plots::{ACROSS, UP, carried};
use super::tiles::RANGE;
use super::{ANSWERS, Answers, Targets, hat, symbol, word_of};
use crate::diffusion::PredictionType;
use crate::figure::{Axis, Body, Chart, Figure, Paint, Panel, Picture, Row, Series};
use crate::ui::export::ink::{Ink, rgb};
use crate::ui::labs::LabContext;
use crate::ui::theme::Symbol;
use crate::ui::widgets::channels::Grid;
use crate::ui::widgets::math::{row, sym, word};
use crate::ui::widgets::textures::Scale;
use std::sync::Arc;

impl Targets {
    pub(super) fn as_figure(&self, cx: &LabContext<'_>, ink: &Ink) -> Option<Figure> {
        let answers = self.now(cx)?;
        let (source, delta) = (cx.work.targets.source(), cx.work.targets.delta);
        let title = ink.math(&row([word("an error in ", Symbol::Quiet), hat(source), word(" becomes, in the others", Symbol::Quiet)]));
        let carry = ANSWERS.map(|target| (word_of(target), symbol(target), carried(source, target, delta).into_iter().collect()));
        let measured = [0, 1, 2].map(|index| {
            let points = self.answers.iter().map(|answers| [answers.level.snr(), answers.errors[index]]).collect();
            (word_of(ANSWERS[index]), symbol(ANSWERS[index]), points)
        });
        let heading = vec![ink.word("errors that the model makes, measured", Symbol::Quiet)];
        let charts = Row::of([
            Panel::new("error carried over", Body::Chart(chart(ink, carry))).heading(title),
            Panel::new("errors of the model", Body::Chart(chart(ink, measured))).heading(heading),
        ]);
        let rows = vec![pictures(cx, ink, answers)?, charts];
        Some(Figure::new("Prediction targets", rows, ink.caption(cx, None, Some(answers.frame.timestep)), ink.inks.clone()))
    }

    /// The answers level by level, from data to noise.
    pub(super) fn as_film(&self, cx: &LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        let film = self.answers.iter().rev().filter_map(|answers| {
            let caption = ink.caption(cx, None, Some(answers.frame.timestep));
            Some(Figure::new("Prediction targets", vec![pictures(cx, ink, answers)?], caption, ink.inks.clone()))
        });
        film.collect()
    }
}

/// What the model looks at, and its answer in three ways.
fn pictures(cx: &LabContext<'_>, ink: &Ink, answers: &Answers) -> Option<Row> {
    let x = Picture::new("x_t", answers.frame.x_picture.clone()?, Paint::Rgb);
    let heading = ink.titled(&sym("x", Symbol::Plain).with_index("t"), "noisy latents");
    let mut panels = vec![Panel::new("noisy latents", Body::Picture(x)).heading(heading)];
    for (index, answer) in ANSWERS.into_iter().enumerate() {
        let body = if answer == PredictionType::Sample {
            Body::Picture(Picture::new("x̂0", answers.frame.x0_picture.clone()?, Paint::Rgb))
        } else {
            ink.channels(word_of(answer), &answers.said[index], Grid::compact(cx.latent_channels()), RANGE, Scale::Linear)
        };
        let foot = vec![ink.word(format!("off by {:.3}", answers.errors[index]), Symbol::Quiet)];
        panels.push(Panel::new(word_of(answer), body).heading(ink.titled(&hat(answer), word_of(answer))).foot(foot));
    }
    Some(Row::of(panels))
}

/// A curve: its name, whose colour it has, its points.
type Curve<'a> = (&'a str, Symbol, Arc<[[f64; 2]]>);

fn chart(ink: &Ink, curves: [Curve<'_>; 3]) -> Chart {
    let range = |(from, to): (f64, f64)| (10_f64.powf(from.min(to)), 10_f64.powf(from.max(to)));
    let x = Axis { label: vec![ink.word("signal-to-noise ratio", Symbol::Quiet)], range: range(ACROSS), log: true };
    let y = Axis { label: Vec::new(), range: range(UP), log: true };
    let series = curves.map(|(name, symbol, points)| Series {
        name: name.to_owned(),
        color: rgb(ink.palette.symbol(symbol)),
        width: 2.2,
        opacity: 1.0,
        points,
    });
    Chart { x, y, series: series.into(), playhead: None, dots: Vec::new(), legend: true, aspect: 0.7 }
}
