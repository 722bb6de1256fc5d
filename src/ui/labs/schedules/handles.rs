//! The points by which a curve is drawn by hand.

use super::known::{FREE, known, position};
use super::{Schedules, Settings};
use crate::diffusion::SCHEDULES;
use crate::ui::labs::LabContext;
use crate::ui::widgets::slider;
use egui::{Rect, Sense, Stroke, Ui, Vec2};
use egui_plot::{PlotPoint, PlotTransform};

impl Schedules {
    /// The points by which the curve in focus is drawn by hand. Moving one of another schedule's takes that schedule over into the free
    /// curve first.
    pub(super) fn handles(&mut self, cx: &mut LabContext<'_>, ui: &mut Ui, transform: &PlotTransform) {
        const NAMES: [&str; 5] =
            ["Point at time 0", "Point at time one quarter", "Point at time one half", "Point at time three quarters", "Point at time 1"];
        let theme = cx.theme;
        let p = theme.palette();
        let focus = Self::focus(cx);
        let Some(values) = self.at_handles(focus) else { return };
        for (k, name) in NAMES.into_iter().enumerate() {
            let at = transform.position_from_point(&PlotPoint::new(timestep_of(k, cx.clock.last()), values[k]));
            let grip = Rect::from_center_size(at, Vec2::splat(theme.px(22.0)));
            let response = ui.interact(grip, ui.scope_id().with(("point", k)), Sense::click_and_drag());
            slider::declare(ui, &response, name, values[k], &(0.0..=1.0), 0.01);
            let (steps, value, _) = slider::asked(ui, &response, grip);
            let held = response.dragged() || response.is_pointer_button_down_on();
            let wanted = match response.interact_pointer_pos() {
                Some(pointer) if response.dragged() => Some(transform.value_from_position(pointer).y),
                _ if steps != 0.0 => Some(values[k] + 0.01 * steps),
                _ => value,
            };
            if let Some(wanted) = wanted {
                pull(&mut cx.work.schedules, values, k, wanted);
            }
            if response.clicked() {
                cx.clock.set(timestep_of(k, cx.clock.last()));
            }
            let radius = theme.px(if response.hovered() || held { 7.5 } else { 5.5 });
            ui.painter().circle(at, radius, p.panel, Stroke::new(theme.px(2.5), p.schedules[focus]));
            if response.has_focus() {
                ui.painter().circle_stroke(at, radius + theme.px(4.0), Stroke::new(2.0, p.dim));
            }
            let response = response.on_hover_cursor(egui::CursorIcon::ResizeVertical);
            if held || steps != 0.0 {
                // What is dragged is to be seen.
                continue;
            }
            response.on_hover_text(if known(focus).id == FREE {
                "Drag up or down: the curve follows, and so does the picture below."
            } else {
                "Drag up or down: the free curve goes on from this one, and the picture below follows."
            });
        }
    }

    /// `alpha_bar` of a schedule at the five points.
    fn at_handles(&self, index: usize) -> Option<[f64; 5]> {
        let schedule = self.curves[index].schedule.as_ref()?;
        let last = (schedule.len() - 1) as f64;
        Some([0, 1, 2, 3, 4].map(|k| schedule.level_at(timestep_of(k, last)).alpha_bar()))
    }
}

/// The timestep at which a point stands: timestep `i` of `n` is at time `(i + 1) / n`.
fn timestep_of(point: usize, last: f64) -> f64 {
    (point as f64 / 4.0 * (last + 1.0) - 1.0).max(0.0)
}

/// Moves a point of the free curve to `wanted`, between its neighbours; `values` are what the points are at now.
fn pull(settings: &mut Settings, values: [f64; 5], point: usize, wanted: f64) {
    const APART: f64 = 1e-5;
    let Some(index) = position(FREE) else { return };
    let infos = SCHEDULES[index].params;
    let mut values: Vec<f64> = values.iter().zip(infos).map(|(value, info)| value.clamp(info.min, info.max)).collect();
    let above = if point == 0 { infos[point].max } else { values[point - 1] - APART };
    let below = values.get(point + 1).map_or(infos[point].min, |value| value + APART).max(infos[point].min);
    // Where the neighbours leave no room the point stays.
    if wanted.is_finite() && below <= above {
        values[point] = wanted.clamp(below, above.min(infos[point].max));
    }
    settings.zero_terminal.remove(FREE);
    settings.params.insert(FREE.to_owned(), values);
    settings.focus = FREE.to_owned();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::labs::schedules::known::{LEARNED, Recipe};

    #[test]
    fn a_point_goes_where_it_is_pulled_between_its_neighbours() {
        let mut lab = Schedules::default();
        let linear = position("linear").expect("in the table");
        lab.curves[linear].refresh(Recipe::Table(linear, SCHEDULES[linear].defaults()), false, 1000);
        let values = lab.at_handles(linear).expect("a schedule");
        assert!(values.windows(2).all(|w| w[1] < w[0]));
        let mut settings = Settings { focus: "linear".into(), ..Settings::default() };
        settings.zero_terminal.insert(FREE.into());
        pull(&mut settings, values, 2, 0.3);
        assert_eq!(settings.focus, FREE);
        let taken = settings.params[FREE].clone();
        assert!((taken[2] - 0.3).abs() < 1e-12 && (taken[1] - values[1]).abs() < 1e-12, "{taken:?} from {values:?}");
        assert!(settings.zero_terminal.is_empty());
        let five = |v: &[f64]| [v[0], v[1], v[2], v[3], v[4]];
        pull(&mut settings, five(&taken), 2, 7.0);
        assert!(settings.params[FREE][2] < taken[1]);
        pull(&mut settings, five(&taken), 3, f64::NAN);
        assert_eq!(settings.params[FREE], taken);
        pull(&mut settings, [0.5; 5], 2, 0.9);
        // Whatever the points are, they are a schedule.
        assert!(Recipe::Table(LEARNED - 1, settings.params[FREE].clone()).build(1000, false).is_ok());
        assert_eq!(known(LEARNED - 1).id, FREE);
    }
}
