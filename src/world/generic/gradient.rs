//! Smooth changes of colour.

use super::field::{Field, wave};
use super::palette::Palette;
use crate::world::canvas::{Canvas, Rgb, mix, smoothstep};
use crate::world::dice::Dice;
use crate::world::outline::rotation;

/// Paints one gradient: along a line, around a point, or between smooth fields.
pub(super) fn paint(dice: &mut Dice, canvas: &mut Canvas) {
    let palette = Palette::sample(dice);
    let stops: Vec<Rgb> = (0..2 + dice.below(4)).map(|_| palette.color(dice)).collect();
    let side = canvas.side();
    let place = |i: usize| (i as f32 + 0.5) / side as f32;
    match dice.below(4) {
        0 => {
            let (dx, dy) = direction(dice);
            canvas.pixels(|x, y, _| ramp(&stops, 0.5 + 0.75 * (dx * (place(x) - 0.5) + dy * (place(y) - 0.5))));
        }
        1 => {
            let (cx, cy) = (dice.range(-0.2, 1.2), dice.range(-0.2, 1.2));
            let (rx, ry) = (dice.range(0.4, 1.3), dice.range(0.4, 1.3));
            canvas.pixels(|x, y, _| {
                let (dx, dy) = ((place(x) - cx) / rx, (place(y) - cy) / ry);
                ramp(&stops, (dx * dx + dy * dy).sqrt())
            });
        }
        2 => {
            let cells = 2 + dice.below(3);
            let fields: Vec<(Field, Rgb)> = stops.iter().map(|&rgb| (Field::smooth(dice, side, cells), rgb)).collect();
            canvas.pixels(|x, y, _| fields.iter().fold(stops[0], |rgb, (field, other)| mix(rgb, *other, smoothstep(0.5 + field.at(x, y)))));
        }
        _ => {
            let (dx, dy) = direction(dice);
            let (waves, bend) = (dice.range(0.6, 2.5), dice.range(0.1, 0.6));
            let field = Field::smooth(dice, side, 2);
            canvas.pixels(|x, y, _| {
                let phase = waves * (dx * place(x) + dy * place(y)) + bend * field.at(x, y);
                ramp(&stops, 0.5 + 0.5 * wave(phase))
            });
        }
    }
}

/// A direction, every one about equally likely.
pub(super) fn direction(dice: &mut Dice) -> (f32, f32) {
    let (a, b) = rotation(dice.range(-0.414_213_56, 0.414_213_56));
    let (a, b) = if dice.chance(0.5) { (a, b) } else { (b, a) };
    (a * dice.sign(), b)
}

/// The colour at `t` of 0..1 between evenly spaced `stops`.
pub(super) fn ramp(stops: &[Rgb], t: f32) -> Rgb {
    let last = stops.len() - 1;
    let at = t.clamp(0.0, 1.0) * last as f32;
    let before = (at.floor() as usize).min(last.saturating_sub(1));
    mix(stops[before], stops[(before + 1).min(last)], smoothstep(at - before as f32))
}
