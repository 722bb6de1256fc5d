//! Over the signal-to-noise ratio: what an error of one answer becomes in the others, and the errors that the model makes.

use super::{ANSWERS, Targets, hat, symbol, word_of};
use crate::diffusion::{Level, PredictionType};
use crate::ui::labs::LabContext;
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use crate::ui::widgets::log_plot::LogPlot;
use crate::ui::widgets::math::{self, row, word};
use crate::ui::widgets::tile::HEADER;
use egui::{Align2, Painter, Pos2, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Decades of the signal-to-noise ratio across, from data to noise.
pub(super) const ACROSS: (f64, f64) = (4.6, -4.0);
/// Decades of an error up.
pub(super) const UP: (f64, f64) = (-3.0, 2.0);
/// An error that grows to more than so many times itself is called ill-conditioned.
pub(super) const ILL: f64 = 10.0;

/// The level at a share of the way across a plot.
fn level_at(share: f64) -> Level {
    Level::from_log_snr((ACROSS.0 + share * (ACROSS.1 - ACROSS.0)) * std::f64::consts::LN_10)
}

/// What an error of size `delta` in one answer becomes in another, at points evenly across the plot: signal-to-noise ratio and size.
pub(super) fn carried(from: PredictionType, to: PredictionType, delta: f64) -> Vec<[f64; 2]> {
    let points = 160;
    (0..=points)
        .map(|i| level_at(f64::from(i) / f64::from(points)))
        .map(|level| [level.snr(), delta * from.sensitivity(to, level)])
        .collect()
}

impl Targets {
    pub(super) fn plots_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) {
        let theme = cx.theme;
        let gap = theme.px(28.0);
        let width = ((rect.width() - gap) * 0.5).floor();
        let left = Rect::from_min_size(rect.min, vec2(width, rect.height()));
        let right = Rect::from_min_max(pos2(left.right() + gap, rect.top()), rect.max);
        let source = cx.work.targets.source();
        let title = row([word("an error in ", Symbol::Quiet), hat(source), word(" becomes", Symbol::Quiet)]);
        self.plot(cx, ui, left, &title, "Error carried over", |lab, cx, painter, plot| lab.carried_ui(cx, painter, plot));
        let title = row([word("measured errors of the model", Symbol::Quiet)]);
        self.plot(cx, ui, right, &title, "Errors of the model", |lab, _, painter, plot| lab.measured_ui(painter, plot, theme));
    }

    /// A plot with its title; dragging across sets the clock.
    fn plot(
        &self,
        cx: &mut LabContext<'_>,
        ui: &mut Ui,
        rect: Rect,
        title: &math::Math,
        name: &str,
        curves: impl Fn(&Self, &LabContext<'_>, &Painter, &LogPlot),
    ) {
        let theme = cx.theme;
        let p = theme.palette();
        let header = Rect::from_min_size(rect.min, vec2(rect.width(), theme.px(HEADER)));
        let width = math::inline(ui.painter(), theme, title, 16.0, pos2(rect.left(), header.center().y + theme.px(5.0)));
        legend(ui, theme, header, rect.left() + width);
        let field = Rect::from_min_max(pos2(rect.left() + theme.px(40.0), header.bottom()), rect.max - vec2(0.0, theme.px(40.0)));
        if field.width() < 40.0 || field.height() < 30.0 {
            return;
        }
        let plot = LogPlot { field, x: ACROSS, y: UP };
        plot.paint(ui.painter(), theme);
        let text = "signal-to-noise ratio, data at the left";
        let at = pos2(field.center().x, field.bottom() + theme.px(28.0));
        ui.painter().text(at, Align2::CENTER_CENTER, text, theme.font(Weight::Regular, 13.0), p.dim);
        let response = ui.interact(field, ui.scope_id().with(name), Sense::click_and_drag());
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, format!("{name}: {}", self.spoken(cx, name))));
        if let Some(pointer) = response.interact_pointer_pos() {
            let share = f64::from(((pointer.x - field.left()) / field.width()).clamp(0.0, 1.0));
            cx.clock.playing &= !response.dragged();
            let wanted = level_at(share).snr();
            let levels = &cx.session.levels;
            let timestep = (0..levels.count()).find(|t| levels.level(*t).snr() <= wanted).unwrap_or(levels.count() - 1);
            cx.clock.set(timestep as f64);
        }
        let painter = ui.painter().with_clip_rect(field);
        curves(self, cx, &painter, &plot);
        let x = plot.across(cx.session.levels.level(cx.clock.timestep()).snr());
        ui.painter().vline(x, field.y_range(), Stroke::new(theme.px(2.0), p.text));
        response.on_hover_cursor(egui::CursorIcon::ResizeHorizontal).on_hover_text(if name == "Errors of the model" {
            "Root-mean-square errors of the three answers at each look of the model along the forward run: the noise and the latents that x_t was made of are known. One error, told in three ways. Looks at less signal than the axis holds are left out. Drag to set the clock."
        } else {
            "Exact: converting multiplies an error by a factor that depends on the level alone. Shaded where it grows more than tenfold in some answer. Drag to set the clock."
        });
    }

    fn carried_ui(&self, cx: &LabContext<'_>, painter: &Painter, plot: &LogPlot) {
        let theme = cx.theme;
        let p = theme.palette();
        let (source, delta) = (cx.work.targets.source(), cx.work.targets.delta);
        // Where an answer is ill-conditioned, from the first point of each such stretch to its last.
        let curves = ANSWERS.map(|target| carried(source, target, delta));
        let ill = |i: usize| [0, 1, 2].map(|of| curves[of][i][1] > ILL * delta);
        let all: Vec<usize> = (0..curves[0].len()).collect();
        for stretch in all.chunk_by(|a, b| ill(*a) == ill(*b)) {
            let which: Vec<&str> =
                ANSWERS.iter().zip(ill(stretch[0])).filter(|(_, ill)| *ill).map(|(answer, _)| word_of(*answer)).collect();
            if which.is_empty() || stretch.len() < 2 {
                continue;
            }
            let [a, b] = [stretch[0], stretch[stretch.len() - 1]].map(|i| plot.across(curves[0][i][0]));
            let band = Rect::from_x_y_ranges(a..=b, plot.field.y_range());
            painter.rect_filled(band, 0.0, Palette::faint(p.dim, 0.16));
            let text = format!("{} ill-conditioned", which.join(" and "));
            let galley =
                painter.layout(text, theme.font(Weight::Regular, 12.0), p.dim, (band.width() - theme.px(10.0)).max(theme.px(60.0)));
            if galley.size().x < band.width() - theme.px(8.0) {
                painter.galley(pos2(band.left() + theme.px(6.0), plot.field.bottom() - theme.px(6.0) - galley.size().y), galley, p.dim);
            }
        }
        for target in ANSWERS {
            let line: Vec<Pos2> = carried(source, target, delta).into_iter().map(|[snr, error]| plot.at(snr, error)).collect();
            let strong = target != source;
            let color = p.symbol(symbol(target));
            let stroke = Stroke::new(theme.px(if strong { 3.0 } else { 1.5 }), color);
            if strong {
                painter.add(Shape::line(line, stroke));
            } else {
                painter.extend(Shape::dashed_line(&line, stroke, theme.px(6.0), theme.px(5.0)));
            }
        }
        if let Some(answers) = self.now(cx) {
            for target in ANSWERS {
                let error = delta * source.sensitivity(target, answers.level);
                painter.circle_filled(plot.at(answers.level.snr(), error), theme.px(5.0), p.symbol(symbol(target)));
            }
        }
    }

    fn measured_ui(&self, painter: &Painter, plot: &LogPlot, theme: &Theme) {
        let p = theme.palette();
        let curves = [0, 1, 2].map(|index| self.answers.iter().map(|a| [a.level.snr(), a.errors[index]]).collect::<Vec<_>>());
        for (answer, curve) in ANSWERS.into_iter().zip(&curves) {
            let color = p.symbol(symbol(answer));
            let inside = curve.iter().filter(|[snr, _]| (10_f64.powf(ACROSS.1)..=10_f64.powf(ACROSS.0)).contains(snr));
            let line: Vec<Pos2> = inside.map(|[snr, error]| plot.at(*snr, *error)).collect();
            painter.add(Shape::line(line.clone(), Stroke::new(theme.px(2.5), color)));
            for at in line {
                painter.circle_filled(at, theme.px(3.5), color);
            }
        }
    }

    /// The numbers of a plot at the clock, in words.
    fn spoken(&self, cx: &LabContext<'_>, name: &str) -> String {
        let Some(answers) = self.now(cx) else { return "not there yet".to_owned() };
        let (source, delta) = (cx.work.targets.source(), cx.work.targets.delta);
        let of = |index: usize| {
            if name == "Errors of the model" { answers.errors[index] } else { delta * source.sensitivity(ANSWERS[index], answers.level) }
        };
        [0, 1, 2].map(|index| format!("{} {:.3}", word_of(ANSWERS[index]), of(index))).join(", ")
    }
}

/// The symbols of the three answers and what they stand for, at the right end of a line; the words only where there is room.
fn legend(ui: &Ui, theme: &Theme, line: Rect, left: f32) {
    let painter = ui.painter();
    let font = theme.font(Weight::Regular, 13.0);
    for worded in [true, false] {
        let entries = ANSWERS.map(|answer| {
            let word = if worded { word_of(answer) } else { "" };
            let galley = painter.layout_no_wrap(word.to_owned(), font.clone(), theme.palette().symbol(symbol(answer)));
            (hat(answer), math::width(painter, theme, &hat(answer), 17.0), galley)
        });
        let gap = theme.px(if worded { 16.0 } else { 12.0 });
        let width = |(_, mark, galley): &(math::Math, f32, std::sync::Arc<egui::Galley>)| mark + theme.px(6.0) + galley.size().x;
        let total = entries.iter().map(width).sum::<f32>() + 2.0 * gap;
        let mut x = line.right() - total;
        if x < left + theme.px(16.0) {
            continue;
        }
        let baseline = line.center().y + theme.px(5.0);
        for (mark, mark_width, galley) in entries {
            math::inline(painter, theme, &mark, 17.0, pos2(x, baseline));
            let height = galley.size().y;
            let word_width = galley.size().x;
            painter.galley(pos2(x + mark_width + theme.px(6.0), baseline - height * 0.78), galley, theme.palette().text);
            x += mark_width + theme.px(6.0) + word_width + gap;
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_as_the_formulas_say() {
        let level = level_at(0.5);
        assert!((level.snr().log10() - 0.5 * (ACROSS.0 + ACROSS.1)).abs() < 1e-9);
        for [snr, error] in carried(PredictionType::Epsilon, PredictionType::Sample, 0.2) {
            assert!((error - 0.2 / snr.sqrt()).abs() < 1e-9 * error.max(1.0), "x0 = (x - sigma eps) / alpha");
        }
        for [_, error] in carried(PredictionType::VPrediction, PredictionType::Sample, 1.0) {
            assert!(error <= 1.0, "an error of v never grows");
        }
        assert!(carried(PredictionType::Sample, PredictionType::Sample, 0.3).iter().all(|[_, error]| (error - 0.3).abs() < 1e-12));
    }
}
