//! Marks built as letters are: a few strokes on a grid, set in words and lines.

use super::gradient;
use super::palette::Palette;
use super::strokes::{curve, ribbon};
use crate::world::canvas::Canvas;
use crate::world::dice::Dice;

/// Strokes of one mark: points with x in 0..0.7 and y in 0..1.
type Mark = Vec<Vec<[f32; 2]>>;

/// Paints a ground and lines of marks from an alphabet drawn for this picture.
pub(super) fn paint(dice: &mut Dice, canvas: &mut Canvas) {
    let palette = Palette::sample(dice);
    let [ground, first] = palette.pair(dice, 0.35);
    canvas.pixels(|_, _, _| ground);
    if dice.chance(0.25) {
        gradient::paint(dice, canvas);
    }
    let alphabet: Vec<Mark> = (0..12 + dice.below(12)).map(|_| mark(dice)).collect();
    let height = dice.weighted(&[(0.06, 0.25), (0.1, 0.3), (0.18, 0.25), (0.4, 0.2)]) * dice.range(0.8, 1.3);
    let (half, slant) = (height * dice.range(0.04, 0.11), if dice.chance(0.3) { dice.range(-0.3, 0.3) } else { 0.0 });
    let (lead, margin) = (height * dice.range(1.3, 1.9), dice.range(0.0, 0.1));
    let mut top = margin + dice.range(0.0, 0.5 * height);
    let mut rgb = first;
    while top < 1.0 - 0.5 * height {
        let mut left = margin;
        let end = 1.0 - margin - if dice.chance(0.3) { dice.range(0.0, 0.5) } else { 0.0 };
        if dice.chance(0.15) {
            rgb = palette.pair(dice, 0.3)[1];
        }
        while left < end - 0.5 * height {
            if dice.chance(0.17) {
                left += 0.6 * height;
                continue;
            }
            let mark = &alphabet[dice.below(alphabet.len())];
            canvas.fill(rgb, |outline| {
                for stroke in mark {
                    let placed: Vec<[f32; 2]> =
                        stroke.iter().map(|&[x, y]| [left + height * (x + slant * (1.0 - y)), top + height * y]).collect();
                    ribbon(outline, &placed, half, 0.0);
                }
            });
            left += height * dice.range(0.8, 0.9);
        }
        top += lead;
    }
}

/// One to four strokes between knots of a 3 by 4 grid, straight or bent.
fn mark(dice: &mut Dice) -> Mark {
    let knot = |dice: &mut Dice| [0.33 * dice.below(3) as f32, 0.33 * dice.below(4) as f32];
    (0..1 + dice.below(4))
        .map(|_| {
            let (a, mut b) = (knot(dice), knot(dice));
            if a == b {
                b = [0.66 - a[0], 0.99 - a[1]];
            }
            match dice.below(3) {
                // Upright or level.
                0 if dice.chance(0.5) => vec![[a[0], 0.0], [a[0], 1.0]],
                0 => vec![[0.0, a[1]], [0.66, a[1]]],
                1 => vec![a, b],
                _ => curve(&[a, knot(dice), b], 5),
            }
        })
        .collect()
}
