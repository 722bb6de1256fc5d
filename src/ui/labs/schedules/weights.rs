//! Where on the axis of the signal-to-noise ratio training spends its effort: how often it looks there, and what a look weighs.

use super::chart::{self, Axes, Span, Ticks};
use super::curves::{in_order, scrub};
use super::known::known;
use super::{Compared, Schedules};
use crate::diffusion::objective::{MIN_SNR_GAMMA, eps_weight, log_snr_density};
use crate::diffusion::{Level, NoiseSchedule};
use crate::ui::labs::LabContext;
use crate::ui::labs::targets::hat;
use crate::ui::theme::Symbol;
use crate::ui::widgets::math::{Math, row, word};
use egui::{Rect, Stroke, Ui};
use egui_plot::{Line, PlotPoints, Points};
use std::f64::consts::LN_10;

/// Decades of the signal-to-noise ratio across, from data to noise.
pub(super) const ACROSS: (f64, f64) = (5.0, -5.0);
/// Decades of a weight up.
pub(super) const UP: (f64, f64) = (-4.0, 4.0);
/// Timesteps from point to point of a curve.
const EVERY: usize = 4;

/// The two curves of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// How often training looks at a signal-to-noise ratio.
    Density,
    /// What the loss there weighs in all.
    Weight,
}

impl Quantity {
    pub const ALL: [Self; 2] = [Self::Density, Self::Weight];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Density => "Plot of how often training looks",
            Self::Weight => "Plot of what the loss weighs",
        }
    }
}

/// How often training looks along a schedule: log-SNR, and the density per decade of the signal-to-noise ratio.
pub(super) fn density(schedule: &NoiseSchedule) -> Vec<[f64; 2]> {
    log_snr_density(schedule, EVERY).into_iter().map(|[log_snr, density]| [log_snr, density * LN_10]).collect()
}

/// Points of a schedule's curve: signal-to-noise ratio, and how often it is looked at per decade or what the loss there weighs.
fn points(density: &[[f64; 2]], quantity: Quantity, compared: Compared, min_snr: bool) -> Vec<[f64; 2]> {
    let inside = density.iter().filter(|[log_snr, _]| (ACROSS.1..=ACROSS.0).contains(&(log_snr / LN_10)));
    let value = |log_snr: f64, density: f64| match quantity {
        Quantity::Density => density,
        Quantity::Weight => density * eps_weight(compared.prediction(), Level::from_log_snr(log_snr), min_snr.then_some(MIN_SNR_GAMMA)),
    };
    inside.map(|&[log_snr, density]| [log_snr.exp(), value(log_snr, density)]).collect()
}

/// How often training looks at a level, by the density along a schedule; none beyond its ends.
pub(super) fn density_at(density: &[[f64; 2]], level: Level) -> Option<f64> {
    density.iter().find(|[log_snr, _]| *log_snr <= level.log_snr()).map(|[_, density]| *density)
}

impl Schedules {
    pub(super) fn weights_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let gap = cx.theme.px(18.0);
        let width = ((rect.width() - gap) * 0.5).floor();
        self.weight_plot(cx, ui, Quantity::Density, rect.with_max_x(rect.left() + width));
        self.weight_plot(cx, ui, Quantity::Weight, rect.with_min_x(rect.right() - width));
    }

    /// The points of all schedules.
    pub(super) fn weights(&self, cx: &LabContext<'_>, quantity: Quantity) -> Vec<Vec<[f64; 2]>> {
        let own = &cx.work.schedules;
        self.curves.iter().map(|curves| points(&curves.density, quantity, own.compared, own.min_snr)).collect()
    }

    /// What stands above a plot.
    pub(super) fn weight_title(cx: &LabContext<'_>, quantity: Quantity) -> Math {
        match quantity {
            Quantity::Density => row([word("p, how often training looks, per decade of SNR", Symbol::Quiet)]),
            Quantity::Weight => {
                let hat = hat(cx.work.schedules.compared.prediction());
                let what = row([word("w, weight of an error, comparing ", Symbol::Quiet), hat]);
                if cx.work.schedules.min_snr { row([what, word(", Min-SNR", Symbol::Quiet)]) } else { what }
            }
        }
    }

    /// The highest value of the density's axis.
    pub(super) fn most_dense(curves: &[Vec<[f64; 2]>]) -> f64 {
        let highest = curves.iter().flatten().map(|[_, density]| *density).fold(0.0, f64::max);
        ((highest * 1.08 / 0.2).ceil() * 0.2).clamp(0.4, 2.0)
    }

    fn weight_plot(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, quantity: Quantity, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let focus = Self::focus(cx);
        let curves = self.weights(cx, quantity);
        let y = match quantity {
            Quantity::Density => {
                let high = Self::most_dense(&curves);
                Span { low: 0.0, high, every: if high > 1.0 { 0.5 } else { 0.2 }, ticks: Ticks::Plain(1) }
            }
            Quantity::Weight => Span { low: UP.0, high: UP.1, every: 2.0, ticks: Ticks::Decades },
        };
        let up = move |value: f64| if quantity == Quantity::Weight { value.max(1e-12).log10() } else { value };
        let at = |level: Level| -level.log_snr() / LN_10;
        let now = |index: usize| self.curves[index].level(cx.clock.timestep());
        let axes = Axes {
            name: quantity.name(),
            title: Self::weight_title(cx, quantity),
            hint: match quantity {
                Quantity::Density => {
                    "Timesteps are drawn evenly in training, so where a schedule changes slowly it looks often. Data at the left, noise at the right. Drag to set the clock by the schedule in focus."
                }
                Quantity::Weight => {
                    "How often training looks times what a squared error of the noise counts there, in the form that all losses share. Drag to set the clock by the schedule in focus."
                }
            },
            x: Span { low: -ACROSS.0, high: -ACROSS.1, every: 2.0, ticks: Ticks::Falling },
            y,
            playhead: now(focus).map(at).filter(|x| (-ACROSS.0..=-ACROSS.1).contains(x)),
            still: false,
        };
        // Where each schedule is at the clock's timestep, on its curve.
        let dots: Vec<(usize, [f64; 2])> = curves
            .iter()
            .enumerate()
            .filter_map(|(index, curve)| {
                let snr = now(index)?.snr();
                let after = curve.iter().position(|[other, _]| *other <= snr)?;
                Some((index, [-snr.max(1e-300).log10(), up(curve[after][1])]))
            })
            .collect();
        let (plot, rect) = chart::show(ui, theme, rect, &axes, move |plot| {
            for index in in_order(focus) {
                let points: Vec<[f64; 2]> = curves[index].iter().map(|[snr, value]| [-snr.log10(), up(*value)]).collect();
                let width = theme.px(if index == focus { 4.0 } else { 1.8 });
                let line = Line::new(known(index).label, PlotPoints::from(points));
                plot.line(line.stroke(Stroke::new(width, p.schedules[index])).allow_hover(false));
            }
            for (index, dot) in dots {
                plot.points(Points::new("now", dot).radius(theme.px(4.0)).color(p.schedules[index]));
            }
        });
        let schedule = self.curves[focus].schedule.as_ref();
        let (now, transform) = (cx.clock.position(), plot.transform);
        scrub(cx, ui, &plot.response, rect, &|pointer| {
            let level = Level::from_log_snr(-transform.value_from_position(pointer).x * LN_10);
            schedule.map_or(now, |schedule| schedule.timestep_of(level))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::SCHEDULES;

    #[test]
    fn a_loss_on_the_noise_weighs_as_often_as_it_looks() {
        for info in SCHEDULES {
            let schedule = info.build(&info.defaults(), 1000).expect("the defaults");
            let dense = density(&schedule);
            let density = points(&dense, Quantity::Density, Compared::Noise, false);
            assert!(density.len() > 20 && density.iter().all(|[snr, _]| (1e-5..=1e5).contains(snr)), "{}", info.id);
            assert_eq!(points(&dense, Quantity::Weight, Compared::Noise, false), density);
            let picture = points(&dense, Quantity::Weight, Compared::Picture, false);
            for ([snr, density], [_, weight]) in density.iter().zip(picture) {
                assert!((weight * snr / density - 1.0).abs() < 1e-6);
            }
            let [noise, velocity] = [Compared::Noise, Compared::Velocity].map(|c| points(&dense, Quantity::Weight, c, true));
            for (a, b) in noise.iter().zip(&velocity) {
                assert!((a[1] / b[1] - 1.0).abs() < 1e-6, "Min-SNR is the same whatever is compared");
            }
        }
    }
}
