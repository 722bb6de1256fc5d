//! A plot of this lab: its axes and its playhead, and dragging across.

use crate::ui::theme::{Theme, Weight};
use crate::ui::widgets::math::{self, Math};
use egui::{Rangef, Rect, Role, Sense, Stroke, Ui, UiBuilder, WidgetInfo, vec2};
use egui_plot::{AxisHints, GridMark, Plot, PlotBounds, PlotResponse, PlotUi, VLine};

/// How the numbers beside an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticks {
    /// As they are, with so many decimals.
    Plain(usize),
    /// As powers of ten.
    Decades,
    /// As powers of ten that fall.
    Falling,
}

/// An axis: its ends, how far its marks are apart, how they are written.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Lowest value.
    pub low: f64,
    /// Highest value.
    pub high: f64,
    /// From mark to mark.
    pub every: f64,
    /// How they are written.
    pub ticks: Ticks,
}

impl Span {
    fn text(self, mark: f64) -> String {
        let power = |value: f64| {
            let power = value.round() as i32;
            match power {
                _ if (value - f64::from(power)).abs() > 0.01 => String::new(),
                0 => "1".to_owned(),
                1 => "10".to_owned(),
                _ => format!("10{}", math::raised(power)),
            }
        };
        match self.ticks {
            Ticks::Plain(decimals) => format!("{mark:.decimals$}"),
            Ticks::Decades => power(mark),
            Ticks::Falling => power(-mark),
        }
    }

    fn marks(self) -> Vec<GridMark> {
        let first = (self.low / self.every).ceil() * self.every;
        let count = ((self.high - first) / self.every + 1e-6).floor().max(0.0) as usize;
        (0..=count).map(|i| GridMark { value: first + i as f64 * self.every, step_size: self.every }).collect()
    }
}

/// What a plot is called and what it lies over.
pub struct Axes<'a> {
    /// Its name for screen readers.
    pub name: &'a str,
    /// What stands above it.
    pub title: Math,
    /// What it shows, in its tooltip.
    pub hint: &'a str,
    /// Across.
    pub x: Span,
    /// Up.
    pub y: Span,
    /// Where the playhead stands.
    pub playhead: Option<f64>,
    /// Whether it is to look at alone.
    pub still: bool,
}

/// Height of the line above a plot, in design units.
const HEADER: f32 = 26.0;

/// Shows a plot with what `add` puts into it. Returns it, and where it lies.
pub fn show<'a>(
    ui: &mut Ui,
    theme: &Theme,
    rect: Rect,
    axes: &Axes<'_>,
    add: impl FnOnce(&mut PlotUi<'a>) + 'a,
) -> (PlotResponse<()>, Rect) {
    let p = theme.palette();
    math::inline(ui.painter(), theme, &axes.title, 16.0, rect.min + vec2(theme.px(40.0), theme.px(18.0)));
    let rect = rect.with_min_y(rect.top() + theme.px(HEADER));
    let mut child = ui.new_child(UiBuilder::new().max_rect(rect).id_salt(axes.name));
    let small = theme.font(Weight::Medium, 12.5);
    child.visuals_mut().extreme_bg_color = p.panel;
    let (x, y, playhead) = (axes.x, axes.y, axes.playhead);
    let stroke = Stroke::new(theme.px(2.0), p.text);
    // A little room beyond both ends, so that numbers, curves and the points that are dragged are whole there.
    let room = 0.025 * (x.high - x.low);
    let response = Plot::new(axes.name)
        .width(rect.width())
        .height(rect.height())
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .allow_axis_zoom_drag(false)
        .sense(if axes.still { Sense::hover() } else { Sense::click_and_drag() })
        .show_x(false)
        .show_y(false)
        .show_axes([true, true])
        .show_grid([true, true])
        .grid_color(p.line)
        .cursor_color(crate::ui::theme::NO_INK)
        .set_margin_fraction(egui::Vec2::ZERO)
        .custom_x_axes(vec![
            AxisHints::new_x()
                .formatter(move |mark, _| x.text(mark.value))
                .label_spacing(Rangef::new(theme.px(22.0), theme.px(34.0)))
                .tick_label_color(p.dim)
                .tick_label_font(small.clone()),
        ])
        .custom_y_axes(vec![
            AxisHints::new_y()
                .formatter(move |mark, _| y.text(mark.value))
                .min_thickness(theme.px(40.0))
                .tick_label_color(p.dim)
                .tick_label_font(small),
        ])
        .x_grid_spacer(move |_| x.marks())
        .y_grid_spacer(move |_| y.marks())
        .label_formatter(|_| None)
        .show(&mut child, move |plot| {
            plot.set_plot_bounds(PlotBounds::from_min_max([x.low - room, y.low], [x.high + room, y.high]));
            add(plot);
            if let Some(playhead) = playhead {
                plot.vline(VLine::new("playhead", playhead).stroke(stroke));
            }
        });
    response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, axes.name));
    if response.response.has_focus() {
        ui.painter().rect_stroke(rect, theme.px(4.0), Stroke::new(2.0, p.dim), egui::StrokeKind::Outside);
    }
    if !axes.hint.is_empty() && !response.response.dragged() {
        response.response.clone().on_hover_text(axes.hint);
    }
    (response, rect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_even_and_inside_and_powers_may_fall() {
        let span = Span { low: -4.6, high: 4.0, every: 2.0, ticks: Ticks::Falling };
        assert_eq!(span.marks().iter().map(|mark| mark.value).collect::<Vec<_>>(), [-4.0, -2.0, 0.0, 2.0, 4.0]);
        assert_eq!([-4.0, 0.0, 2.0, 0.5].map(|mark| span.text(mark)), ["10⁴", "1", "10⁻²", ""]);
        assert_eq!(Span { ticks: Ticks::Plain(1), ..span }.text(0.25), "0.2");
    }
}
