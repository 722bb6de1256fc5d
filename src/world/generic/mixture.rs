//! One picture over another one, through a mask.

use super::field::Field;
use super::gradient::direction;
use super::paint_simple;
use crate::world::canvas::Canvas;
use crate::world::dice::Dice;

/// Paints two pictures and joins them: along a line, around a point, by a blotch, or as a veil.
pub(super) fn paint(dice: &mut Dice, canvas: &mut Canvas) {
    let side = canvas.side();
    let mut over = Canvas::new(side, false);
    paint_simple(dice, canvas);
    paint_simple(dice, &mut over);
    let (over, _, _) = over.into_parts();
    let shape = dice.below(4);
    let (dx, dy) = direction(dice);
    let (cx, cy, radius) = (dice.range(0.2, 0.8), dice.range(0.2, 0.8), dice.range(0.2, 0.45));
    let field = Field::octaves(dice, side, [2.5; 2], 0.4);
    let (veil, soft) = (dice.range(0.25, 0.75), if dice.chance(0.6) { side as f32 } else { dice.range(3.0, 12.0) });
    let n = side * side;
    canvas.pixels(|x, y, rgb| {
        let (u, v) = ((x as f32 + 0.5) / side as f32, (y as f32 + 0.5) / side as f32);
        // How far inside of the upper picture the pixel is.
        let inside = match shape {
            0 => dx * (u - cx) + dy * (v - cy),
            1 => radius - ((u - cx) * (u - cx) + (v - cy) * (v - cy)).sqrt(),
            _ => 0.3 * field.at(x, y),
        };
        let t = if shape == 3 { veil } else { (0.5 + soft * inside).clamp(0.0, 1.0) };
        let i = y * side + x;
        [0, 1, 2].map(|c| rgb[c] + t * (over[c * n + i] - rgb[c]))
    });
}
