//! The guidance slider: a wide track with marks that mean something, and both conventions beside it.

use super::math::{self, num_left, row, sym, word};
use super::meaning::{self, Meaning};
use super::slider;
use crate::ui::theme::{Palette, Symbol, Theme, Weight};
use egui::{Align2, Rect, Sense, Stroke, Ui, pos2, vec2};

/// Largest scale.
pub const MOST: f64 = 20.0;
const MARKS: [(f64, &str, &str); 3] = [(0.0, "0", "ignores the prompt"), (1.0, "1", "no guidance"), (7.5, "7.5", "widely used")];

/// Shows the slider over the whole width. Returns whether it changed and whether it is held.
pub fn show(ui: &mut Ui, theme: &Theme, scale: &mut f64) -> (bool, bool) {
    let p = theme.palette();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), theme.px(84.0)), Sense::click_and_drag());
    let before = *scale;
    slider::declare(ui, &response, "Guidance scale w", before, &(0.0..=MOST), 0.1);
    let numbers = theme.px(150.0);
    let track = Rect::from_min_max(
        pos2(rect.left() + numbers, rect.top() + theme.px(26.0)),
        pos2(rect.right() - theme.px(14.0), rect.top() + theme.px(36.0)),
    );
    let x_of = |w: f64| track.left() + (w / MOST) as f32 * track.width();

    let (steps, set, place) = slider::asked(ui, &response, track);
    let mut next = set.unwrap_or(before) + 0.1 * steps;
    if let Some(place) = place.filter(|place| *place > -0.05) {
        next = place * MOST;
        // The marks hold a little.
        let pointer = x_of(next);
        if let Some((mark, ..)) = MARKS.iter().find(|(m, ..)| (x_of(*m) - pointer).abs() < theme.px(4.0)) {
            next = *mark;
        }
    }
    if next.is_finite() {
        *scale = (next.clamp(0.0, MOST) * 10.0).round() / 10.0;
    }

    let painter = ui.painter();
    let baseline = rect.top() + theme.px(43.0);
    math::inline(
        painter,
        theme,
        &row([sym("w", Symbol::Guided), word(" = ", Symbol::Guided), num_left(*scale, 2, 1, Symbol::Guided)]).meaning(Meaning::Scale),
        32.0,
        pos2(rect.left(), baseline),
    );
    let prime = row([
        word("1 + ", Symbol::Quiet),
        sym("w′", Symbol::Quiet),
        word(",  ", Symbol::Quiet),
        sym("w′", Symbol::Quiet),
        word(" = ", Symbol::Quiet),
        num_left(*scale - 1.0, 2, 1, Symbol::Quiet),
    ]);
    math::inline(painter, theme, &prime, 15.0, pos2(rect.left(), baseline + theme.px(28.0)));

    let (uncond, cond, guided) = (p.symbol(Symbol::Unconditional), p.symbol(Symbol::Conditional), p.symbol(Symbol::Guided));
    slider::gradient(ui, track, |share| {
        let w = share * MOST as f32;
        if w < 1.0 { Palette::mix(uncond, cond, w) } else { Palette::mix(cond, guided, (w - 1.0) / 9.0) }
    });
    let painter = ui.painter();
    let radius = track.height() * 0.5;
    for (i, (mark, number, meaning)) in MARKS.iter().enumerate() {
        let x = x_of(*mark);
        painter.vline(x, track.bottom() + theme.px(5.0)..=track.bottom() + theme.px(13.0), Stroke::new(theme.px(2.0), p.dim));
        let y = track.bottom() + theme.px(24.0) + if i == 1 { theme.px(17.0) } else { 0.0 };
        let font = theme.font(Weight::Medium, 13.0);
        let align = if i == 2 { Align2::CENTER_CENTER } else { Align2::LEFT_CENTER };
        let left = if i == 2 { x } else { x - theme.px(3.0) };
        painter.text(pos2(left, y), align, format!("{number}  {meaning}"), font, p.dim);
    }
    painter.text(
        pos2(track.right() + radius, track.bottom() + theme.px(24.0)),
        Align2::RIGHT_CENTER,
        "20",
        theme.font(Weight::Medium, 13.0),
        p.dim,
    );
    let over = response.hovered() || response.dragged();
    let handle =
        Rect::from_center_size(pos2(x_of(*scale), track.center().y), vec2(theme.px(if over { 15.0 } else { 13.0 }), theme.px(34.0)));
    painter.rect_filled(handle.expand(theme.px(3.0)), handle.width(), p.ground);
    painter.rect_filled(handle, handle.width(), p.accent);
    super::controls::focus_ring(ui, theme, &response, rect, 6.0);
    meaning::ring(ui, theme, track.expand2(vec2(theme.px(8.0), theme.px(14.0))), Meaning::Scale);
    let held = response.is_pointer_button_down_on();
    let response = response.on_hover_cursor(egui::CursorIcon::ResizeHorizontal);
    if !held {
        // While the handle is dragged the tip would cover the picture that answers.
        response.on_hover_text("Convention: ε̃ = ε∅ + w (εc − ε∅). The paper writes w′ = w − 1.");
    }
    ((*scale - before).abs() > 1e-9, held)
}
