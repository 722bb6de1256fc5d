//! The values of x_t as a distribution, against the Gaussian that they end as.
//!
//! Given x0, each element of x_t is drawn from `N(sqrt(abar) x0, 1 - abar)` (Ho et al. 2020, arXiv 2006.11239, eq. 4). Over all
//! elements of one picture that is a mixture of one Gaussian per value of x0; its mean is `sqrt(abar) mean(x0)`, its variance
//! `abar var(x0) + 1 - abar`. Both tend to those of N(0, 1).

use super::{ForwardReverse, Process, Space};
use crate::diffusion::Level;
use crate::host::HostTensor;
use crate::ui::clock::Direction;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use crate::ui::widgets::controls::{paragraph, section};
use crate::ui::widgets::math::{self, Math, format_number, row, sym, word};
use crate::ui::widgets::meaning::{self, Meaning};
use egui::{Align2, Color32, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Values from `-RANGE` to `RANGE` have bins; what lies outside is counted apart.
pub const RANGE: f64 = 4.0;
/// Bins over that range.
pub const BINS: usize = 64;

/// How the values of a tensor are distributed.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Share of the values per unit, in each bin.
    pub density: Vec<f64>,
    /// Share of the values beyond the bins.
    pub outside: f64,
    /// Mean of all values.
    pub mean: f64,
    /// Deviation of all values, `sqrt(mean((v - mean)^2))`.
    pub deviation: f64,
    /// How many values there are.
    pub count: usize,
}

impl Histogram {
    /// Counts `values`. The bins' density times their width, and what lies outside of them, add up to one.
    pub fn of(values: &[f32]) -> Self {
        let count = values.len();
        let n = count.max(1) as f64;
        let (mut bins, mut outside, mut sum, mut squares) = (vec![0_u32; BINS], 0_u32, 0.0, 0.0);
        let per_unit = BINS as f64 / (2.0 * RANGE);
        for value in values.iter().map(|&v| f64::from(v)) {
            sum += value;
            squares += value * value;
            let place = (value + RANGE) * per_unit;
            if place >= 0.0 && place < BINS as f64 {
                bins[place as usize] += 1;
            } else {
                outside += 1;
            }
        }
        let mean = sum / n;
        let deviation = (squares / n - mean * mean).max(0.0).sqrt();
        let density = bins.into_iter().map(|bin| f64::from(bin) / n * per_unit).collect();
        Self { density, outside: f64::from(outside) / n, mean, deviation, count }
    }
}

/// A histogram, kept until another tensor is asked for.
#[derive(Default)]
pub struct Kept(Option<(HostTensor, Histogram)>);

impl Kept {
    /// That of `tensor`.
    pub fn of(&mut self, tensor: &HostTensor) -> &Histogram {
        let known = self.0.as_ref().is_some_and(|(key, _)| std::ptr::eq(key.data(), tensor.data()));
        if !known {
            self.0 = None;
        }
        &self.0.get_or_insert_with(|| (tensor.clone(), Histogram::of(tensor.data()))).1
    }
}

/// Mean and deviation of the mixture at `level`: `alpha mean(x0)` and `sqrt(alpha^2 var(x0) + sigma^2)`.
pub fn mixture(x0: &Histogram, level: Level) -> (f64, f64) {
    (level.alpha * x0.mean, (level.alpha.powi(2) * x0.deviation.powi(2) + level.sigma.powi(2)).sqrt())
}

/// Whether two draws of x_t at noise `sigma` are as alike in mean and deviation as draws of that many values are: each differs by
/// less than four standard errors of a difference, `4 sqrt(2 / n) sigma`.
pub fn agree(a: &Histogram, b: &Histogram, sigma: f64) -> bool {
    let allowed = 4.0 * (2.0 / a.count.min(b.count).max(1) as f64).sqrt() * sigma + 1e-6;
    (a.mean - b.mean).abs() < allowed && (a.deviation - b.deviation).abs() < allowed
}

fn gaussian(x: f64, mean: f64, deviation: f64) -> f64 {
    let deviation = deviation.max(1e-3);
    (-0.5 * ((x - mean) / deviation).powi(2)).exp() / (deviation * std::f64::consts::TAU.sqrt())
}

/// What is drawn beside the bars and the unit Gaussian.
pub enum Beside<'a> {
    /// The Gaussian with the mixture's mean and deviation.
    Mixture(f64, f64),
    /// Another draw of the same x_t, in closed form.
    Closed(&'a Histogram),
}

/// Draws `bars` with what stands beside it, and says both in numbers.
pub fn show(ui: &mut Ui, theme: &Theme, bars: &Histogram, beside: &Beside<'_>) {
    let p = theme.palette();
    section(ui, theme, "How the values are spread");
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(112.0)), Sense::hover());
    let spoken = format!("Histogram of x t, mean {:.3}, deviation {:.3}", bars.mean, bars.deviation);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &spoken));
    let plot = Rect::from_min_max(rect.min, pos2(rect.right(), rect.bottom() - theme.px(18.0)));
    meaning::mark_gently(ui, theme, rect, Meaning::Xt);
    let peak = |h: &Histogram| h.density.iter().copied().fold(0.0, f64::max);
    let tallest = match beside {
        Beside::Mixture(mean, deviation) => gaussian(*mean, *mean, *deviation).min(3.0),
        Beside::Closed(other) => peak(other),
    };
    let top = peak(bars).max(tallest).max(0.44) * 1.06;
    let x_of = |v: f64| plot.left() + ((v + RANGE) / (2.0 * RANGE)) as f32 * plot.width();
    let y_of = |d: f64| plot.bottom() - (d / top).min(1.0) as f32 * plot.height();
    let painter = ui.painter();
    let width = 2.0 * RANGE / BINS as f64;
    let edge = |i: usize| -RANGE + i as f64 * width;
    let mut mesh = egui::Mesh::default();
    let fill = Palette::mix(p.panel, p.text, 0.36);
    for (i, density) in bars.density.iter().enumerate() {
        let bar = Rect::from_min_max(pos2(x_of(edge(i)), y_of(*density)), pos2(x_of(edge(i + 1)), plot.bottom()));
        mesh.add_colored_rect(bar, fill);
    }
    painter.add(mesh);
    let curve = |mean: f64, deviation: f64, stroke: Stroke| {
        let points = (0..=160).map(|i| -RANGE + 2.0 * RANGE * f64::from(i) / 160.0);
        painter.add(Shape::line(points.map(|v| pos2(x_of(v), y_of(gaussian(v, mean, deviation)))).collect(), stroke));
    };
    match beside {
        Beside::Mixture(mean, deviation) => curve(*mean, *deviation, Stroke::new(theme.px(1.5), p.text)),
        Beside::Closed(other) => {
            let steps = other.density.iter().enumerate();
            let points = steps.flat_map(|(i, d)| [pos2(x_of(edge(i)), y_of(*d)), pos2(x_of(edge(i + 1)), y_of(*d))]).collect();
            painter.add(Shape::line(points, Stroke::new(theme.px(1.5), p.symbol(Symbol::Signal))));
        }
    }
    curve(0.0, 1.0, Stroke::new(theme.px(2.0), p.symbol(Symbol::Noise)));
    painter.hline(plot.x_range(), plot.bottom(), theme.hairline());
    for tick in [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0] {
        let text = format_number(tick, 1, 0);
        let at = pos2(x_of(tick), plot.bottom() + theme.px(10.0));
        painter.text(at, Align2::CENTER_CENTER, text, theme.font(Weight::Regular, 12.0), p.dim);
    }
    response.on_hover_text(
        "How often each value occurs in the noisy picture. With time the values take the shape of N(0, 1), whatever the picture was; that is why a \
         reverse run can start from noise alone.",
    );
    let x_t = || sym("x", Symbol::Plain).with_index("t");
    let of = |text: &str| row([x_t(), word(text, Symbol::Quiet)]);
    let (name, second) = match beside {
        Beside::Mixture(..) => (of("  measured"), None),
        Beside::Closed(other) => (of("  step by step"), Some((of("  closed form"), p.symbol(Symbol::Signal), *other))),
    };
    heads(ui, theme);
    line(ui, theme, fill, &name, "x t measured", bars.mean, bars.deviation);
    if let Some((name, color, other)) = second {
        line(ui, theme, color, &name, "closed form measured", other.mean, other.deviation);
    }
    if let Beside::Mixture(mean, deviation) = beside {
        line(ui, theme, p.text, &row([x_t(), word("  predicted", Symbol::Quiet)]), "x t predicted", *mean, *deviation);
    }
    line(ui, theme, p.symbol(Symbol::Noise), &word("N(0, 1)", Symbol::Noise), "unit Gaussian", 0.0, 1.0);
}

impl ForwardReverse {
    /// The histogram of x_t as it stands, live while the clock runs.
    pub(super) fn values(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let (theme, timestep) = (cx.theme, cx.clock.timestep());
        let pixels = cx.work.forward_reverse.space == Space::Pixels && !Self::bridge_is_open(cx);
        if cx.clock.direction == Direction::Reverse {
            let run = self.shown_run(cx.session);
            let Some(frame) = run.at(cx.clock.position()).cloned() else { return };
            let x0 = run.end().map_or_else(|| frame.x0.clone(), |end| end.latents.clone());
            let level = Level { alpha: frame.alpha, sigma: frame.sigma };
            let [bars, _, clean] = &mut self.histograms;
            let (mean, deviation) = mixture(clean.of(&x0), level);
            show(ui, theme, bars.of(&frame.x), &Beside::Mixture(mean, deviation));
            return;
        }
        let Some(picture) = cx.session.picture.clone() else { return };
        let level = cx.session.levels.level(timestep);
        let x0 = if pixels { self.signed.of(&picture.pixels) } else { picture.latents.clone() };
        let eps = if pixels { &mut self.pixel_noise } else { &mut self.latent_noise }.of(cx.work.seed, x0.shape());
        let closed = if pixels { &mut self.closed } else { &mut self.closed_latents }.at(&x0, &eps, level).x.clone();
        let [bars, beside, clean] = &mut self.histograms;
        if cx.work.forward_reverse.process == Process::Closed {
            let (mean, deviation) = mixture(clean.of(&x0), level);
            show(ui, theme, bars.of(&closed), &Beside::Mixture(mean, deviation));
            return;
        }
        let chain = if pixels { &self.chain } else { &self.latent_chain };
        let Some(standing) = chain.standing() else { return };
        let (walked, other) = (bars.of(&standing.x), beside.of(&closed));
        show(ui, theme, walked, &Beside::Closed(other));
        ui.add_space(theme.px(6.0));
        let text = if !self.chain_there {
            "The chain is still on its way to this t.".to_owned()
        } else if agree(walked, other, level.sigma) {
            let (mean, deviation) = ((walked.mean - other.mean).abs(), (walked.deviation - other.deviation).abs());
            format!(
                "The means differ by {mean:.3} and the deviations by {deviation:.3}, no more than two draws of {} values do. The \
                 distribution is the same; the particular noise is not.",
                walked.count
            )
        } else {
            "Mean and deviation differ by more than two draws of the same distribution would.".to_owned()
        };
        paragraph(ui, theme, &text);
    }
}

fn columns(rect: Rect, theme: &Theme) -> (f32, f32) {
    (rect.right() - theme.px(84.0), rect.right())
}

fn heads(ui: &mut Ui, theme: &Theme) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(16.0)), Sense::hover());
    let (mean, deviation) = columns(rect, theme);
    for (x, text) in [(mean, "mean"), (deviation, "deviation")] {
        let font = theme.font(Weight::Regular, 12.0);
        ui.painter().text(pos2(x, rect.center().y), Align2::RIGHT_CENTER, text, font, theme.palette().dim);
    }
}

fn line(ui: &mut Ui, theme: &Theme, color: Color32, name: &Math, spoken: &str, mean: f64, deviation: f64) {
    ui.spacing_mut().item_spacing.y = 0.0;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(21.0)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{spoken}, mean {mean:.3}, deviation {deviation:.3}")));
    let swatch = Rect::from_center_size(pos2(rect.left() + theme.px(6.0), rect.center().y), vec2(theme.px(12.0), theme.px(4.0)));
    ui.painter().rect_filled(swatch, 2.0, color);
    math::inline(ui.painter(), theme, name, 13.5, pos2(rect.left() + theme.px(20.0), rect.center().y + theme.px(4.5)));
    let (first, second) = columns(rect, theme);
    for (x, value) in [(first, mean), (second, deviation)] {
        let font = theme.font(Weight::Medium, 14.0);
        let text = format_number(value, 1, 3);
        ui.painter().text(pos2(x, rect.center().y), Align2::RIGHT_CENTER, text, font, theme.palette().text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, gaussian as noise};

    #[test]
    fn shares_add_up_to_one_and_known_values_lie_in_their_bins() {
        let h = Histogram::of(&[0.0, 0.01, -0.01, 1.0, 3.99, -4.0, 4.0, 100.0]);
        let width = 2.0 * RANGE / BINS as f64;
        let inside: f64 = h.density.iter().map(|d| d * width).sum();
        assert!((inside + h.outside - 1.0).abs() < 1e-12);
        assert!((h.outside - 0.25).abs() < 1e-12, "4 and 100 lie beyond the half-open range");
        let share = |bin: usize| (h.density[bin] * width * 8.0).round() as usize;
        assert_eq!([share(0), share(31), share(32), share(40), share(63)], [1, 1, 2, 1, 1]);
        let two = Histogram::of(&[1.0, 3.0]);
        assert!((two.mean - 2.0).abs() < 1e-12 && (two.deviation - 1.0).abs() < 1e-12);
        assert_eq!(Histogram::of(&[]).mean, 0.0);
    }

    #[test]
    fn noise_has_the_unit_gaussian_as_its_shape() {
        let h = Histogram::of(noise(4, Stream::Forward, [200_000]).data());
        let width = 2.0 * RANGE / BINS as f64;
        for (i, density) in h.density.iter().enumerate() {
            let middle = -RANGE + (i as f64 + 0.5) * width;
            assert!((density - gaussian(middle, 0.0, 1.0)).abs() < 0.02, "bin {i}");
        }
    }

    #[test]
    fn the_mixture_is_what_is_measured() {
        let x0 = HostTensor::from_fn([3, 64, 64], |i| if i % 3 == 0 { 0.9 } else { -0.4 });
        let eps = noise(9, Stream::Forward, [3, 64, 64]);
        for alpha_bar in [1.0, 0.9, 0.5, 0.1, 0.0] {
            let level = Level::from_alpha_bar(alpha_bar);
            let measured = Histogram::of(level.add_noise(&x0, &eps).data());
            let (mean, deviation) = mixture(&Histogram::of(x0.data()), level);
            assert!((mean - measured.mean).abs() < 0.03 && (deviation - measured.deviation).abs() < 0.03, "at {alpha_bar}");
        }
    }

    #[test]
    fn two_draws_agree_and_another_level_does_not() {
        let x0 = HostTensor::from_fn([3, 64, 64], |i| (i as f32 * 0.01).sin());
        let draw = |seed, alpha_bar: f64| {
            let level = Level::from_alpha_bar(alpha_bar);
            Histogram::of(level.add_noise(&x0, &noise(seed, Stream::Forward, [3, 64, 64])).data())
        };
        assert!(agree(&draw(1, 0.5), &draw(2, 0.5), 0.5_f64.sqrt()));
        assert!(!agree(&draw(1, 0.5), &draw(2, 0.8), 0.5_f64.sqrt()));
    }
}
