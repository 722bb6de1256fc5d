//! Schedules: how fast the signal fades, four ways, under one playhead.
//!
//! The table of schedules and their papers is [`SCHEDULES`]; the same picture stands below under the same noise in each.

mod figure;
mod side;

use super::forward_reverse::{ClosedForm, ForwardNoise, Signed};
use super::reading::{Kind, Reading};
use super::zoom::{self, Operation, Part};
use super::{Lab, LabContext};
use crate::diffusion::{Level, NoiseSchedule, SCHEDULES};
use crate::figure::Figure;
use crate::ui::clock::{Pace, Stops};
use crate::ui::export::ink::Ink;
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use crate::ui::widgets::math::{self, Math, row, scientific, sym, word};
use crate::ui::widgets::meaning::{self, Meaning};
use crate::ui::widgets::slider;
use crate::ui::widgets::textures::{Mapping, Scale};
use crate::ui::widgets::tile;
use egui::{Align2, Color32, Rect, Role, Sense, Stroke, Ui, UiBuilder, WidgetInfo, pos2, vec2};
use egui_plot::{AxisHints, GridMark, Line, LineStyle, Plot, PlotBounds, PlotPoint, PlotPoints, Points, VLine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many schedules stand beside each other: the first of the table.
const SHOWN: usize = 4;

/// What is remembered of this lab.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Id of the schedule in focus.
    pub focus: String,
    /// Parameters of each schedule, by id, where they are not the defaults.
    pub params: BTreeMap<String, Vec<f64>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { focus: "squaredcos_cap_v2".to_owned(), params: BTreeMap::new() }
    }
}

impl Settings {
    /// Brings what was read back into range.
    pub fn tidy(&mut self) {
        if !SCHEDULES.iter().take(SHOWN).any(|s| s.id == self.focus) {
            *self = Self { params: std::mem::take(&mut self.params), ..Self::default() };
        }
        self.params.retain(|id, values| {
            SCHEDULES.iter().any(|s| s.id == id && s.params.len() == values.len() && values.iter().all(|v| v.is_finite()))
        });
    }

    fn params_of(&self, index: usize) -> Vec<f64> {
        let info = &SCHEDULES[index];
        self.params.get(info.id).cloned().unwrap_or_else(|| info.defaults())
    }
}

/// The quantities plotted, in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    AlphaBar,
    Roots,
    Snr,
    Beta,
}

impl Quantity {
    const ALL: [Self; 4] = [Self::AlphaBar, Self::Roots, Self::Snr, Self::Beta];

    const fn name(self) -> &'static str {
        match self {
            Self::AlphaBar => "Plot of alpha bar",
            Self::Roots => "Plot of the roots of both shares",
            Self::Snr => "Plot of the signal-to-noise ratio",
            Self::Beta => "Plot of beta",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::AlphaBar => "ᾱ: how much of the variance is still the picture.",
            Self::Roots => "√ᾱ multiplies the picture, √(1 − ᾱ) the noise. The schedule in focus is drawn strong.",
            Self::Snr => "Signal-to-noise ratio ᾱ / (1 − ᾱ) on a logarithmic axis: a straight line here is an even fade.",
            Self::Beta => "β: the variance added at each step, on a logarithmic axis.",
        }
    }

    /// Bounds of the vertical axis; decades where it is logarithmic.
    const fn bounds(self) -> (f64, f64) {
        match self {
            Self::AlphaBar | Self::Roots => (-0.03, 1.08),
            Self::Snr => (-7.0, 5.0),
            Self::Beta => (-5.3, 0.6),
        }
    }

    const fn is_log(self) -> bool {
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

/// One schedule, computed for its parameters, and its curves.
#[derive(Default)]
struct Curves {
    params: Vec<f64>,
    count: usize,
    schedule: Option<NoiseSchedule>,
    problem: Option<String>,
    alpha_bar: Vec<PlotPoint>,
    signal: Vec<PlotPoint>,
    noise: Vec<PlotPoint>,
    snr: Vec<PlotPoint>,
    beta: Vec<PlotPoint>,
}

impl Curves {
    /// Computes the schedule anew if its parameters have changed. One that cannot be keeps the curves of the last that could.
    fn refresh(&mut self, index: usize, params: Vec<f64>, count: usize) {
        if self.params == params && self.count == count {
            return;
        }
        let built = SCHEDULES[index].build(&params, count);
        (self.params, self.count) = (params, count);
        match built {
            Ok(schedule) => {
                self.problem = None;
                let stride = (count / 250).max(1);
                let steps: Vec<usize> = (0..count).step_by(stride).chain([count - 1]).collect();
                let curve = |f: &dyn Fn(usize) -> f64| steps.iter().map(|&t| PlotPoint::new(t as f64, f(t))).collect::<Vec<_>>();
                let decade = |v: f64| v.max(1e-12).log10();
                self.alpha_bar = curve(&|t| schedule.alphas_cumprod()[t]);
                self.signal = curve(&|t| schedule.level(t).alpha);
                self.noise = curve(&|t| schedule.level(t).sigma);
                self.snr = curve(&|t| decade(schedule.level(t).snr()));
                self.beta = curve(&|t| decade(schedule.betas()[t]));
                self.schedule = Some(schedule);
            }
            Err(error) => self.problem = Some(error.to_string()),
        }
    }

    fn level(&self, timestep: usize) -> Option<Level> {
        self.schedule.as_ref().map(|s| s.level(timestep.min(s.len() - 1)))
    }

    fn beta_at(&self, timestep: usize) -> Option<f64> {
        self.schedule.as_ref().map(|s| s.betas()[timestep.min(s.len() - 1)])
    }
}

/// The lab's state that need not be remembered.
#[derive(Default)]
pub struct Schedules {
    signed: Signed,
    noise: ForwardNoise,
    closed: [ClosedForm; SHOWN],
    curves: [Curves; SHOWN],
}

impl Lab for Schedules {
    fn logic(&mut self, cx: &mut LabContext<'_>) -> Pace {
        cx.session.want_scene(cx.work.scene_seed);
        let count = cx.session.levels.count();
        for (index, curves) in self.curves.iter_mut().enumerate() {
            curves.refresh(index, cx.work.schedules.params_of(index), count);
        }
        Pace { stops: Stops::Every(10), ..Pace::default() }
    }

    fn main_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        let theme = cx.theme;
        let room = ui.available_rect_before_wrap();
        let (gap, label, numbers) = (theme.px(18.0), theme.px(32.0), theme.px(28.0));
        let most = (room.width() - 3.0 * gap) / 4.0;
        // Beside the operation the pictures are there to choose from.
        let share = if cx.zoom.is_near() { 0.28 } else { 0.42 };
        let edge = most.min(room.height() * share - label - numbers).max(64.0).floor();
        let pictures = room.bottom() - edge - label - numbers;
        let plots = Rect::from_min_max(room.min, pos2(room.right(), pictures - theme.px(10.0)));
        let cell = vec2((plots.width() - gap) * 0.5, (plots.height() - theme.px(6.0)) * 0.5);
        if cx.zoom.is_near() {
            let operation = self.operation(cx);
            zoom::show(cx, ui, plots, operation);
        } else {
            for (i, quantity) in Quantity::ALL.into_iter().enumerate() {
                let offset = vec2((i % 2) as f32 * (cell.x + gap), (i / 2) as f32 * (cell.y + theme.px(6.0)));
                self.plot(cx, ui, quantity, Rect::from_min_size(plots.min + offset, cell));
            }
        }
        if cx.zoom.is_near() {
            zoom::dim(ui, room.with_min_y(pictures));
        }
        let step = edge + if most > edge { (room.width() - 4.0 * edge) / 3.0 } else { gap };
        for index in 0..SCHEDULES.len().min(SHOWN) {
            let left = room.left() + index as f32 * step;
            self.picture(cx, ui, index, Rect::from_min_size(pos2(left, pictures), vec2(edge, edge + label + numbers)), label);
        }
    }

    fn side_ui(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui) {
        self.explain(cx, ui);
    }

    fn is_settled(&self, cx: &LabContext<'_>) -> bool {
        cx.session.picture.is_some() && !cx.session.picture_is_coming()
    }

    fn figure(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Option<Figure> {
        self.as_figure(cx, ink)
    }

    fn film(&mut self, cx: &mut LabContext<'_>, ink: &Ink) -> Vec<Figure> {
        self.as_film(cx, ink)
    }
}

impl Schedules {
    /// The noise that the schedule in focus gives the picture at the clock's timestep.
    fn operation(&mut self, cx: &LabContext<'_>) -> Option<Operation> {
        let index = SCHEDULES.iter().position(|s| s.id == cx.work.schedules.focus).unwrap_or(0);
        let picture = cx.session.picture.clone()?;
        let level = self.curves[index].level(cx.clock.timestep())?;
        let x0 = self.signed.of(&picture.pixels);
        let eps = self.noise.of(cx.work.seed, x0.shape());
        let x = self.closed[index].at(&x0, &eps, level).x.clone();
        let reading = Reading::Sum { chain: false, coefficients: [level.alpha, level.sigma], tensors: [x0, eps, x] };
        let given = Part::operands(&reading)?;
        let title = format!("{} at t = {}", SCHEDULES[index].label, cx.clock.timestep());
        Some(Operation { title, kind: Kind::Pixels, reading, given, look: (1.0, Scale::Linear) })
    }

    fn plot(&self, cx: &mut LabContext<'_>, ui: &mut Ui, quantity: Quantity, rect: Rect) {
        let theme = cx.theme;
        let p = theme.palette();
        let last = cx.clock.last();
        let timestep = cx.clock.position();
        let focus = cx.work.schedules.focus.clone();
        let (low, high) = quantity.bounds();
        let header = theme.px(26.0);
        math::inline(ui.painter(), theme, &quantity.title(), 16.0, rect.min + vec2(theme.px(40.0), theme.px(18.0)));
        let rect = Rect::from_min_max(rect.min + vec2(0.0, header), rect.max);
        let mut child = ui.new_child(UiBuilder::new().max_rect(rect).id_salt(quantity.name()));
        let small = theme.font(Weight::Medium, 12.5);
        child.visuals_mut().extreme_bg_color = p.panel;
        let y_label = move |mark: GridMark, _: &std::ops::RangeInclusive<f64>| {
            if quantity.is_log() {
                let power = mark.value.round() as i32;
                if (mark.value - f64::from(power)).abs() > 0.01 { String::new() } else { scientific_power(power) }
            } else {
                format!("{:.1}", mark.value)
            }
        };
        let spacing = if !quantity.is_log() {
            0.5
        } else if quantity == Quantity::Snr && rect.height() < theme.px(165.0) {
            4.0
        } else {
            2.0
        };
        let response = Plot::new(quantity.name())
            .width(rect.width())
            .height(rect.height())
            .allow_drag(false)
            .allow_zoom(false)
            .allow_scroll(false)
            .allow_boxed_zoom(false)
            .allow_double_click_reset(false)
            .allow_axis_zoom_drag(false)
            .show_x(false)
            .show_y(false)
            .show_axes([true, true])
            .show_grid([true, true])
            .grid_color(p.line)
            .cursor_color(crate::ui::theme::NO_INK)
            .set_margin_fraction(egui::Vec2::ZERO)
            .custom_x_axes(vec![
                AxisHints::new_x().formatter(|mark, _| format!("{:.0}", mark.value)).tick_label_color(p.dim).tick_label_font(small.clone()),
            ])
            .custom_y_axes(vec![
                AxisHints::new_y().formatter(y_label).min_thickness(theme.px(40.0)).tick_label_color(p.dim).tick_label_font(small),
            ])
            .x_grid_spacer(move |_| marks(0.0, last + 1.0, 250.0))
            .y_grid_spacer(move |_| marks((low / spacing).ceil() * spacing, high, spacing))
            .label_formatter(|_| None)
            .show(&mut child, |plot| {
                plot.set_plot_bounds(PlotBounds::from_min_max([-last * 0.012, low], [last * 1.012, high]));
                for pass in [false, true] {
                    for (index, curves) in self.curves.iter().enumerate().filter(|(i, _)| (SCHEDULES[*i].id == focus) == pass) {
                        self.lines(plot, theme, quantity, index, curves, pass);
                    }
                }
                plot.vline(VLine::new("playhead", timestep).stroke(Stroke::new(theme.px(2.0), p.text)));
                for (index, curves) in self.curves.iter().enumerate() {
                    let Some(level) = curves.level(timestep.round() as usize) else { continue };
                    let decade = |v: f64| v.max(1e-12).log10();
                    let beta = curves.beta_at(timestep.round() as usize).unwrap_or(0.0);
                    let y = match quantity {
                        Quantity::AlphaBar => level.alpha_bar(),
                        Quantity::Roots => continue,
                        Quantity::Snr => decade(level.snr()),
                        Quantity::Beta => decade(beta),
                    };
                    plot.points(Points::new("now", [timestep, y]).radius(theme.px(4.0)).color(p.schedules[index]));
                }
            });
        response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, quantity.name()));
        if let Some(meaning) = quantity.meaning() {
            meaning::mark(ui, theme, rect, meaning);
        }
        if response.response.has_focus() {
            // A plot with the keyboard moves its playhead, as the track below does.
            let (steps, _, _) = slider::asked(ui, &response.response, rect);
            if steps != 0.0 {
                cx.clock.playing = false;
                cx.clock.set(timestep.round() + 10.0 * steps);
            }
            ui.painter().rect_stroke(rect, theme.px(4.0), Stroke::new(2.0, p.dim), egui::StrokeKind::Outside);
        }
        if let Some(pointer) = response.response.interact_pointer_pos() {
            cx.clock.playing &= !response.response.dragged();
            cx.clock.set(response.transform.value_from_position(pointer).x);
        }
        response.response.on_hover_cursor(egui::CursorIcon::ResizeHorizontal).on_hover_text(quantity.hint());
    }

    fn lines<'a>(
        &'a self,
        plot: &mut egui_plot::PlotUi<'a>,
        theme: &Theme,
        quantity: Quantity,
        index: usize,
        curves: &'a Curves,
        strong: bool,
    ) {
        let p = theme.palette();
        let (color, width) = (p.schedules[index], theme.px(if strong { 4.0 } else { 2.0 }));
        let mut line = |points: &'a [PlotPoint], color: Color32, style: LineStyle| {
            let line = Line::new(SCHEDULES[index].label, PlotPoints::Borrowed(points));
            plot.line(line.stroke(Stroke::new(width, color)).style(style).allow_hover(false));
        };
        match quantity {
            Quantity::AlphaBar => line(&curves.alpha_bar, color, LineStyle::Solid),
            Quantity::Snr => line(&curves.snr, color, LineStyle::Solid),
            Quantity::Beta => line(&curves.beta, color, LineStyle::Solid),
            Quantity::Roots => {
                let (signal, noise) = if strong { (p.symbol(Symbol::Signal), p.symbol(Symbol::Noise)) } else { (color, color) };
                line(&curves.signal, if strong { signal } else { Palette::mix(p.panel, signal, 0.55) }, LineStyle::Solid);
                line(&curves.noise, if strong { noise } else { Palette::mix(p.panel, noise, 0.55) }, LineStyle::Solid);
            }
        }
    }

    fn picture(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, index: usize, rect: Rect, label: f32) {
        let theme = cx.theme;
        let p = theme.palette();
        let info = &SCHEDULES[index];
        let chosen = cx.work.schedules.focus == info.id;
        let response = ui.interact(rect, ui.scope_id().with(("schedule", info.id)), Sense::click());
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, info.label));
        if response.clicked() {
            if chosen {
                cx.zoom.go(cx.zoom.level.max(zoom::Level::Operation));
            }
            cx.work.schedules.focus = info.id.to_owned();
        }
        let hue = p.schedules[index];
        let title = Rect::from_min_size(rect.min, vec2(rect.width(), label));
        let swatch = Rect::from_center_size(
            pos2(title.left() + theme.px(9.0), title.center().y),
            vec2(theme.px(18.0), theme.px(if chosen { 5.0 } else { 3.0 })),
        );
        ui.painter().rect_filled(swatch, 2.0, hue);
        let weight = if chosen { Weight::SemiBold } else { Weight::Medium };
        let text = pos2(swatch.right() + theme.px(8.0), title.center().y);
        ui.painter().text(text, Align2::LEFT_CENTER, info.label, theme.font(weight, 15.0), if chosen { p.text } else { p.dim });
        let picture = Rect::from_min_size(pos2(rect.left(), title.bottom()), egui::Vec2::splat(rect.width()));
        let level = self.curves[index].level(cx.clock.timestep());
        let texture = cx.session.picture.clone().zip(level).map(|(picture, level)| {
            let x0 = self.signed.of(&picture.pixels);
            let eps = self.noise.of(cx.work.seed, x0.shape());
            let x = &self.closed[index].at(&x0, &eps, level).x;
            cx.textures.get(ui.ctx(), theme, ("schedule", index), x, Mapping::SignedRgb, false)
        });
        tile::frame(ui, theme, picture, texture, "Drawing the scene…");
        if chosen || response.hovered() || response.has_focus() {
            let stroke = Stroke::new(theme.px(2.0), if chosen { hue } else { p.dim });
            ui.painter().rect_stroke(picture.expand(theme.px(2.0)), theme.px(7.0), stroke, egui::StrokeKind::Outside);
        }
        if let Some(level) = level {
            let y = picture.bottom() + theme.px(16.0);
            let font = theme.font(Weight::Medium, 13.5);
            let alpha = format!("ᾱ {:.4}", level.alpha_bar());
            let alpha = ui.painter().text(pos2(rect.left(), y), Align2::LEFT_CENTER, alpha, font.clone(), p.text);
            let snr = ui.painter().layout_no_wrap(format!("SNR {}", scientific(level.snr())), font, p.dim);
            let left = rect.right() - snr.size().x;
            if left > alpha.right() + theme.px(8.0) {
                ui.painter().galley(pos2(left, y - snr.size().y * 0.5), snr, p.dim);
            }
        }
        response.on_hover_text(format!(
            "{}. Press to bring it into focus and set its parameters at the right; press again for its operation.",
            info.paper
        ));
    }
}

fn marks(from: f64, to: f64, by: f64) -> Vec<GridMark> {
    let count = ((to - from) / by).floor().max(0.0) as usize;
    (0..=count).map(|i| GridMark { value: from + i as f64 * by, step_size: by }).collect()
}

fn scientific_power(power: i32) -> String {
    match power {
        0 => "1".to_owned(),
        _ => format!("10{}", math::raised(power)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_parameters_keep_the_last_curves() {
        let mut curves = Curves::default();
        curves.refresh(0, SCHEDULES[0].defaults(), 1000);
        assert!(curves.problem.is_none());
        let kept = curves.alpha_bar.len();
        curves.refresh(0, vec![0.5, 7.0], 1000);
        assert!(curves.problem.is_some());
        assert_eq!(curves.alpha_bar.len(), kept);
        assert!(curves.level(5).is_some());
    }

    #[test]
    fn damaged_settings_are_brought_back() {
        let mut s = Settings { focus: "nope".into(), params: [("linear".into(), vec![f64::NAN, 1.0]), ("x".into(), vec![])].into() };
        s.tidy();
        assert_eq!(s, Settings::default());
        let mut s = Settings { focus: SCHEDULES[SHOWN].id.into(), ..Settings::default() };
        s.tidy();
        assert_eq!(s, Settings::default(), "a schedule that has no place here cannot be in focus");
    }
}
