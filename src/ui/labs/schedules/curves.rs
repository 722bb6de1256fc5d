//! The schedules as curves over the timestep.

use super::chart::{self, Axes, Span, Ticks};
use super::known::{Recipe, known};
use super::{Schedules, weights};
use crate::diffusion::{Level, NoiseSchedule};
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol, Theme};
use crate::ui::widgets::math::{self, Math, row, sym, word};
use crate::ui::widgets::meaning::{self, Meaning};
use crate::ui::widgets::slider;
use egui::{Color32, Pos2, Rect, Stroke, StrokeKind, Ui, vec2};
use egui_plot::{Line, LineStyle, PlotPoint, PlotPoints, Points};

/// The quantities plotted, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    AlphaBar,
    Roots,
    Snr,
    Beta,
}

impl Quantity {
    pub const ALL: [Self; 4] = [Self::AlphaBar, Self::Roots, Self::Snr, Self::Beta];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AlphaBar => "Plot of alpha bar",
            Self::Roots => "Plot of the roots of both shares",
            Self::Snr => "Plot of the signal-to-noise ratio",
            Self::Beta => "Plot of beta",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::AlphaBar => "ᾱ: how much of the variance is still the picture. Drag the points to draw a schedule of your own.",
            Self::Roots => "√ᾱ multiplies the picture, √(1 − ᾱ) the noise. The schedule in focus is drawn strong.",
            Self::Snr => "Signal-to-noise ratio ᾱ / (1 − ᾱ) on a logarithmic axis: a straight line here is an even fade.",
            Self::Beta => "β: the variance added at each step, on a logarithmic axis.",
        }
    }

    /// Bounds of the vertical axis; decades where it is logarithmic.
    pub const fn bounds(self) -> (f64, f64) {
        match self {
            Self::AlphaBar | Self::Roots => (-0.03, 1.08),
            Self::Snr => (-7.0, 5.0),
            Self::Beta => (-5.3, 0.6),
        }
    }

    pub const fn is_log(self) -> bool {
        matches!(self, Self::Snr | Self::Beta)
    }

    /// What it shows, where that is one thing.
    const fn meaning(self) -> Option<Meaning> {
        match self {
            Self::AlphaBar => Some(Meaning::AlphaBar),
            Self::Beta => Some(Meaning::Beta),
            Self::Roots | Self::Snr => None,
        }
    }

    fn title(self) -> Math {
        let a = |symbol| sym("α", symbol).bar();
        match self {
            Self::AlphaBar => a(Symbol::Plain),
            Self::Roots => {
                row([a(Symbol::Signal).sqrt(), math::raw(r"\quad"), row([word("1 − ", Symbol::Noise), a(Symbol::Noise)]).sqrt()])
            }
            Self::Snr => row([word("SNR", Symbol::Plain), word("  logarithmic", Symbol::Quiet)]),
            Self::Beta => row([sym("β", Symbol::Plain), word("  logarithmic", Symbol::Quiet)]),
        }
    }
}

/// A logarithm to the base of ten that has an end.
pub(super) fn decade(value: f64) -> f64 {
    value.max(1e-12).log10()
}

/// One schedule, computed for what it is made of, and its curves.
#[derive(Default)]
pub(super) struct Curves {
    made_of: Option<(Recipe, bool, usize)>,
    pub schedule: Option<NoiseSchedule>,
    pub problem: Option<String>,
    alpha_bar: Vec<PlotPoint>,
    signal: Vec<PlotPoint>,
    noise: Vec<PlotPoint>,
    snr: Vec<PlotPoint>,
    beta: Vec<PlotPoint>,
    /// How often training looks along the axis of the signal-to-noise ratio.
    pub density: Vec<[f64; 2]>,
}

impl Curves {
    /// Computes the schedule anew if what it is made of has changed. One that cannot be keeps the curves of the last that could.
    pub fn refresh(&mut self, recipe: Recipe, zero_terminal: bool, count: usize) {
        let made_of = (recipe, zero_terminal, count);
        if self.made_of.as_ref() == Some(&made_of) {
            return;
        }
        match made_of.0.build(count, zero_terminal) {
            Ok(Some(schedule)) => {
                let stride = (count / 250).max(1);
                let steps: Vec<usize> = (0..count).step_by(stride).chain([count - 1]).collect();
                let curve = |f: &dyn Fn(usize) -> f64| steps.iter().map(|&t| PlotPoint::new(t as f64, f(t))).collect::<Vec<_>>();
                self.alpha_bar = curve(&|t| schedule.alphas_cumprod()[t]);
                self.signal = curve(&|t| schedule.level(t).alpha);
                self.noise = curve(&|t| schedule.level(t).sigma);
                self.snr = curve(&|t| decade(schedule.level(t).snr()));
                self.beta = curve(&|t| decade(schedule.betas()[t]));
                self.density = weights::density(&schedule);
                (self.schedule, self.problem) = (Some(schedule), None);
            }
            Ok(None) => *self = Self::default(),
            Err(problem) => self.problem = Some(problem),
        }
        self.made_of = Some(made_of);
    }

    /// The parameters that it was made with, where it has any.
    pub fn params(&self) -> &[f64] {
        match &self.made_of {
            Some((Recipe::Table(_, params), ..)) => params,
            _ => &[],
        }
    }

    pub fn level(&self, timestep: usize) -> Option<Level> {
        self.schedule.as_ref().map(|s| s.level(timestep.min(s.len() - 1)))
    }

    pub fn beta_at(&self, timestep: usize) -> Option<f64> {
        self.schedule.as_ref().map(|s| s.betas()[timestep.min(s.len() - 1)])
    }
}

/// Lets the arrow keys and dragging across a plot move the clock; `timestep_at` tells which timestep lies under the pointer.
pub(super) fn scrub(cx: &mut LabContext<'_>, ui: &Ui, response: &egui::Response, rect: Rect, timestep_at: &dyn Fn(Pos2) -> f64) {
    if response.has_focus() {
        // A plot with the keyboard moves its playhead, as the track below does.
        let (steps, _, _) = slider::asked(ui, response, rect);
        if steps != 0.0 {
            cx.clock.playing = false;
            cx.clock.set(cx.clock.position().round() + 10.0 * steps);
        }
    }
    if let Some(pointer) = response.interact_pointer_pos() {
        cx.clock.playing &= !response.dragged();
        cx.clock.set(timestep_at(pointer));
    }
    response.clone().on_hover_cursor(egui::CursorIcon::ResizeHorizontal);
}

impl Schedules {
    /// The four plots.
    pub(super) fn curves_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let (gap, between) = (cx.theme.px(18.0), cx.theme.px(6.0));
        let cell = vec2((rect.width() - gap) * 0.5, (rect.height() - between) * 0.5);
        for (i, quantity) in Quantity::ALL.into_iter().enumerate() {
            let offset = vec2((i % 2) as f32 * (cell.x + gap), (i / 2) as f32 * (cell.y + between));
            self.plot(cx, ui, quantity, Rect::from_min_size(rect.min + offset, cell));
        }
    }

    fn plot(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, quantity: Quantity, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let (last, timestep) = (cx.clock.last(), cx.clock.position());
        let focus = Self::focus(cx);
        let (low, high) = quantity.bounds();
        let every = if !quantity.is_log() {
            0.5
        } else if quantity == Quantity::Snr && rect.height() < theme.px(190.0) {
            4.0
        } else {
            2.0
        };
        let axes = Axes {
            name: quantity.name(),
            title: quantity.title(),
            hint: quantity.hint(),
            x: Span { low: 0.0, high: last + 1.0, every: 250.0, ticks: Ticks::Plain(0) },
            y: Span { low, high, every, ticks: if quantity.is_log() { Ticks::Decades } else { Ticks::Plain(1) } },
            playhead: Some(timestep),
            still: false,
        };
        let curves = &self.curves;
        let scale = [f64::from(rect.width()) / (last + 1.0), f64::from(rect.height()) / (high - low)];
        let (plot, rect) = chart::show(ui, theme, rect, &axes, |plot| {
            for index in in_order(focus) {
                lines(plot, theme, quantity, (index, &curves[index]), scale, index == focus);
            }
            for (index, curves) in curves.iter().enumerate() {
                let Some(level) = curves.level(timestep.round() as usize) else { continue };
                let y = match quantity {
                    Quantity::AlphaBar => level.alpha_bar(),
                    Quantity::Roots => continue,
                    Quantity::Snr => decade(level.snr()),
                    Quantity::Beta => decade(curves.beta_at(timestep.round() as usize).unwrap_or(0.0)),
                };
                plot.points(Points::new("now", [timestep, y]).radius(theme.px(4.0)).color(p.schedules[index]));
            }
        });
        if let Some(meaning) = quantity.meaning() {
            meaning::mark(ui, theme, rect, meaning);
        }
        scrub(cx, ui, &plot.response, rect, &|pointer| plot.transform.value_from_position(pointer).x);
        if quantity == Quantity::AlphaBar {
            self.handles(cx, ui, &plot.transform);
        }
    }
}

/// All schedules, the one in focus on top of the others.
pub(super) fn in_order(focus: usize) -> impl Iterator<Item = usize> {
    (0..super::known::COUNT).filter(move |index| *index != focus).chain([focus])
}

/// Points that lie at least a little apart on screen, where `scale` is how many pixels a unit is; the ends stay. Closer ones would make a
/// steep line thin.
pub(super) fn thinned(points: impl IntoIterator<Item = [f64; 2]>, scale: [f64; 2]) -> Vec<[f64; 2]> {
    const LEAST: f64 = 2.5;
    let (mut kept, mut last): (Vec<[f64; 2]>, Option<[f64; 2]>) = (Vec::new(), None);
    for point in points {
        let far = |from: &[f64; 2]| ((point[0] - from[0]) * scale[0]).hypot((point[1] - from[1]) * scale[1]) >= LEAST;
        last = if kept.last().is_none_or(far) {
            kept.push(point);
            None
        } else {
            Some(point)
        };
    }
    kept.extend(last);
    kept
}

fn lines<'a>(
    plot: &mut egui_plot::PlotUi<'a>,
    theme: &Theme,
    quantity: Quantity,
    (index, curves): (usize, &'a Curves),
    scale: [f64; 2],
    strong: bool,
) {
    let p = theme.palette();
    let (color, width) = (p.schedules[index], theme.px(if strong { 4.0 } else { 1.8 }));
    let mut line = |points: &'a [PlotPoint], color: Color32| {
        let line = Line::new(known(index).label, PlotPoints::from(thinned(points.iter().map(|point| [point.x, point.y]), scale)));
        plot.line(line.stroke(Stroke::new(width, color)).style(LineStyle::Solid).allow_hover(false));
    };
    match quantity {
        Quantity::AlphaBar => line(&curves.alpha_bar, color),
        Quantity::Snr => line(&curves.snr, color),
        Quantity::Beta => line(&curves.beta, color),
        Quantity::Roots if strong => {
            line(&curves.signal, p.symbol(Symbol::Signal));
            line(&curves.noise, p.symbol(Symbol::Noise));
        }
        Quantity::Roots => {
            let faint = Palette::mix(p.panel, color, 0.3);
            line(&curves.signal, faint);
            line(&curves.noise, faint);
        }
    }
}

/// A ring round a tile.
pub(super) fn ring(ui: &Ui, theme: &Theme, rect: Rect, color: Color32) {
    ui.painter().rect_stroke(rect.expand(theme.px(2.0)), theme.px(7.0), Stroke::new(theme.px(2.0), color), StrokeKind::Outside);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::SCHEDULES;

    #[test]
    fn impossible_parameters_keep_the_last_curves() {
        let mut curves = Curves::default();
        curves.refresh(Recipe::Table(0, SCHEDULES[0].defaults()), false, 1000);
        assert!(curves.problem.is_none());
        let kept = curves.alpha_bar.len();
        curves.refresh(Recipe::Table(0, vec![0.5, 7.0]), false, 1000);
        assert!(curves.problem.is_some());
        assert_eq!(curves.alpha_bar.len(), kept);
        assert!(curves.level(5).is_some());
        curves.refresh(Recipe::Nothing, false, 1000);
        assert!(curves.level(5).is_none() && curves.problem.is_none());
    }

    #[test]
    fn points_of_a_line_lie_apart_and_its_ends_stay() {
        let steep: Vec<[f64; 2]> = (0..=1000).map(|i| [f64::from(i), (f64::from(i) - 500.0).tanh()]).collect();
        let kept = thinned(steep.iter().copied(), [0.3, 100.0]);
        assert!(kept.len() > 50 && kept.len() < 250, "{}", kept.len());
        assert_eq!((kept[0], kept[kept.len() - 1]), (steep[0], steep[1000]));
        let apart = |pair: &[[f64; 2]]| ((pair[1][0] - pair[0][0]) * 0.3).hypot((pair[1][1] - pair[0][1]) * 100.0);
        assert!(kept[..kept.len() - 1].windows(2).all(|pair| apart(pair) >= 2.5));
        assert_eq!(thinned([[1.0, 2.0]], [1.0, 1.0]), [[1.0, 2.0]]);
    }
}
