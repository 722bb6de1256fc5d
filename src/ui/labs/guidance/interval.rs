//! Where in time guidance acts: a range of timesteps with two handles (Kynkäänniemi et al. 2024, arXiv 2404.07724).

use super::Guidance;
use super::strip::COLUMN;
use crate::ui::labs::LabContext;
use crate::ui::theme::{Symbol, Weight};
use crate::ui::widgets::controls::focus_ring;
use crate::ui::widgets::slider;
use egui::{Align2, CursorIcon, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};

/// Handles stop at multiples of this many timesteps.
const STEP: f64 = 10.0;
const HINT: &str = "Guidance with w acts for t from the left handle up to the right one. At all other t, w is 1, the plain \
    conditional prediction. Double-click for every t. Kynkäänniemi et al. 2024, arXiv 2404.07724.";

/// Puts a handle at `timestep`; the other one holds it back.
fn moved([low, high]: [usize; 2], upper: bool, timestep: f64, count: usize) -> [usize; 2] {
    let timestep = timestep.clamp(0.0, count as f64);
    let round = (timestep / STEP).round() * STEP;
    // The end may lie between two multiples.
    let nearest = if (count as f64 - timestep) <= (round - timestep).abs() { count as f64 } else { round.min(count as f64) };
    let timestep = nearest as usize;
    if upper { [low, timestep.max(low)] } else { [timestep.min(high), high] }
}

impl Guidance {
    /// Shows the range in `rect`. Returns whether a handle is held.
    pub(super) fn interval_ui(&self, cx: &mut LabContext<'_>, ui: &mut Ui, rect: Rect) -> bool {
        let theme = cx.theme;
        let p = theme.palette();
        let count = cx.session.levels.count();
        let before = cx.work.guidance.interval.map_or([0, count], |ends| ends.map(|t| t.min(count)));
        let mut ends = before;
        let track = Rect::from_min_max(
            pos2(rect.left() + theme.px(COLUMN), rect.top() + theme.px(11.0)),
            pos2(rect.right() - theme.px(8.0), rect.top() + theme.px(17.0)),
        );
        let x_of = |timestep: f64| track.left() + (timestep / count as f64) as f32 * track.width();
        // The handles have the keyboard, the line between them has the pointer alone.
        let whole = ui.interact(track.expand2(vec2(theme.px(8.0), theme.px(10.0))), ui.scope_id().with("interval"), Sense::CLICK);
        whole.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Where guidance acts"));
        if whole.double_clicked() {
            ends = [0, count];
        } else if whole.clicked()
            && let Some(pointer) = whole.interact_pointer_pos()
        {
            let timestep = f64::from((pointer.x - track.left()) / track.width()) * count as f64;
            let upper = (timestep - ends[1] as f64).abs() < (timestep - ends[0] as f64).abs();
            ends = moved(ends, upper, timestep, count);
        }
        whole.on_hover_text(HINT);
        let (mut held, mut handles) = (false, Vec::new());
        let names = ["Guidance on from t", "Guidance on up to t"];
        for (upper, name) in [false, true].into_iter().zip(names) {
            let value = ends[usize::from(upper)] as f64;
            // Each handle stands on its own side of the end, so that both can be taken hold of when they meet.
            let size = vec2(theme.px(9.0), theme.px(24.0));
            let center = pos2(x_of(value) + if upper { 0.5 } else { -0.5 } * size.x, track.center().y);
            let grip = Rect::from_center_size(center, size);
            let (left, right) = if upper { (0.0, theme.px(8.0)) } else { (theme.px(8.0), 0.0) };
            let reach = Rect::from_min_max(grip.min - vec2(left, theme.px(4.0)), grip.max + vec2(right, theme.px(4.0)));
            let response = ui.interact(reach, ui.scope_id().with(name), Sense::click_and_drag());
            slider::declare(ui, &response, name, value, &(0.0..=count as f64), STEP);
            let (steps, set, place) = slider::asked(ui, &response, track);
            let asked = place.filter(|_| response.dragged()).map(|place| place * count as f64).or(set);
            if let Some(asked) = asked.or((steps != 0.0).then_some(value + steps * STEP)).filter(|asked| asked.is_finite()) {
                ends = moved(ends, upper, asked, count);
            }
            held |= response.is_pointer_button_down_on();
            handles.push((upper, grip, response));
        }
        if ends != before {
            cx.work.guidance.interval = (ends != [0, count]).then_some(ends);
        }

        let [low, high] = ends.map(|end| x_of(end as f64));
        let (on, off) = (p.symbol(Symbol::Guided), p.symbol(Symbol::Conditional));
        let painter = ui.painter();
        painter.hline(track.x_range(), track.center().y, Stroke::new(theme.px(3.0), off));
        painter.rect_filled(Rect::from_x_y_ranges(low..=high, track.y_range()), 0.0, on);
        let here = x_of(cx.clock.position());
        let middle = track.center().y;
        painter.vline(here, middle - theme.px(11.0)..=middle + theme.px(11.0), Stroke::new(theme.px(2.0), p.text));
        for (upper, grip, response) in handles {
            let over = response.hovered() || response.dragged();
            painter.rect_filled(grip.expand(theme.px(2.0)), theme.px(4.0), p.ground);
            painter.rect_filled(grip.expand(if over { 1.0 } else { 0.0 }), theme.px(3.0), p.accent);
            focus_ring(ui, theme, &response, grip, 4.0);
            let response = response.on_hover_cursor(CursorIcon::ResizeHorizontal);
            if !response.dragged() {
                response.on_hover_text(format!("t = {}. {HINT}", ends[usize::from(upper)]));
            }
        }
        let font = theme.font(Weight::Medium, 12.5);
        let parts = [
            (track.left(), low, "w = 1".to_owned(), off),
            (low, high, format!("w = {:.1}", Self::scale(cx)), on),
            (high, track.right(), "w = 1".to_owned(), off),
        ];
        for (left, right, text, color) in parts {
            let galley = painter.layout_no_wrap(text, font.clone(), color);
            if right - left > galley.size().x + theme.px(4.0) {
                let at = pos2((left + right - galley.size().x) * 0.5, middle + theme.px(22.0) - galley.size().y * 0.5);
                painter.galley(at, galley, color);
            }
        }
        let words = match ends {
            ends if ends == [0, count] => "at every t".to_owned(),
            [low, high] if low == high => "at no t".to_owned(),
            [low, high] => format!("{low} ≤ t < {high}"),
        };
        painter.text(pos2(rect.left(), middle - theme.px(3.0)), Align2::LEFT_CENTER, "guidance acts", theme.small(), p.dim);
        let font = theme.font(Weight::Medium, 14.5);
        painter.text(pos2(rect.left(), middle + theme.px(17.0)), Align2::LEFT_CENTER, words, font, p.text);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_stop_at_tens_at_the_ends_and_at_each_other() {
        assert_eq!(moved([200, 700], false, 314.0, 1000), [310, 700]);
        assert_eq!(moved([200, 700], false, 900.0, 1000), [700, 700]);
        assert_eq!(moved([200, 700], true, -5.0, 1000), [200, 200]);
        assert_eq!(moved([200, 700], true, 5000.0, 1000), [200, 1000]);
        assert_eq!(moved([0, 5], true, 4.9, 5), [0, 5]);
        assert_eq!(moved([0, 0], true, 998.0, 999), [0, 999]);
    }
}
