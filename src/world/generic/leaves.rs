//! Dead leaves: shapes of every size that hide one another, the larger the rarer.

use super::palette::Palette;
use crate::world::canvas::{Canvas, Paint, mix, scaled};
use crate::world::dice::Dice;
use crate::world::outline::{Outline, rotation};

/// Paints a ground and two to four hundred leaves, back to front.
pub(super) fn paint(dice: &mut Dice, canvas: &mut Canvas) {
    let palette = Palette::sample(dice);
    let ground = palette.color(dice);
    canvas.pixels(|_, _, _| ground);
    // Radii with density r^-3 between the limits: the picture looks alike at every scale.
    let limits = [dice.range(0.012, 0.05), dice.range(0.2, 0.5)];
    let count = dice.weighted(&[(60, 0.2), (150, 0.4), (350, 0.4)]);
    let only = dice.chance(0.5).then(|| dice.below(SHAPES));
    let shaded = dice.weighted(&[(0.0, 0.35), (0.5, 0.35), (1.0, 0.3)]);
    for _ in 0..count {
        let radius = power_law(dice, limits);
        let center = [dice.range(-0.1, 1.1), dice.range(-0.1, 1.1)];
        let shape = only.unwrap_or_else(|| dice.below(SHAPES));
        let rgb = palette.color(dice);
        let paint = if dice.chance(shaded) {
            let (cos, sin) = rotation(dice.range(-1.0, 1.0));
            let (dx, dy) = (radius * cos * dice.sign(), radius * sin);
            let other = if dice.chance(0.5) { scaled(rgb, dice.range(0.4, 0.8)) } else { mix(rgb, palette.color(dice), 0.5) };
            Paint::Linear { from: [center[0] - dx, center[1] - dy], to: [center[0] + dx, center[1] + dy], a: rgb.into(), b: other.into() }
        } else {
            rgb.into()
        };
        let corners = corners(dice, shape, center, radius);
        canvas.fill(paint, |outline| {
            match shape {
                0 => outline.circle(center[0], center[1], radius),
                1 => petal(outline, &corners),
                _ => outline.polygon(&corners),
            };
        });
    }
}

/// Discs, petals, polygons of three to seven corners, bars.
const SHAPES: usize = 4;

/// A radius with density r^-3 within `limits`.
fn power_law(dice: &mut Dice, [low, high]: [f32; 2]) -> f32 {
    let [a, b] = [1.0 / (low * low), 1.0 / (high * high)];
    1.0 / (b + (a - b) * dice.unit()).sqrt()
}

/// Corners of a leaf around `center`.
fn corners(dice: &mut Dice, shape: usize, center: [f32; 2], radius: f32) -> Vec<[f32; 2]> {
    let (cos, sin) = rotation(dice.range(-1.0, 1.0));
    let turned = |x: f32, y: f32| [center[0] + radius * (cos * x - sin * y), center[1] + radius * (sin * x + cos * y)];
    match shape {
        0 => Vec::new(),
        1 => {
            let half = dice.range(0.2, 0.6);
            vec![turned(-1.3, 0.0), turned(0.0, -2.0 * half), turned(1.3, 0.0), turned(0.0, 2.0 * half)]
        }
        2 => {
            let n = 3 + dice.below(5);
            // Directions that go round once: a quarter turn is t = tan(angle / 2) from 0 to 0.41.
            (0..n)
                .map(|i| {
                    let around = (i as f32 + dice.range(0.1, 0.9)) / n as f32;
                    let quarter = (4.0 * around).floor();
                    let (c, s) = rotation(0.414_213_56 * (4.0 * around - quarter));
                    let (c, s) = match quarter as usize {
                        0 => (c, s),
                        1 => (-s, c),
                        2 => (-c, -s),
                        _ => (s, -c),
                    };
                    turned(1.2 * c, 1.2 * s)
                })
                .collect()
        }
        _ => {
            let (half, long) = (dice.range(0.15, 0.8), dice.range(0.8, 2.0));
            vec![turned(-long, -half), turned(long, -half), turned(long, half), turned(-long, half)]
        }
    }
}

/// A pointed leaf: from the first corner to the third and back, bent by the others.
fn petal<'a>(outline: &'a mut Outline, corners: &[[f32; 2]]) -> &'a mut Outline {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| corners[i]);
    outline.start(a[0], a[1]).quad(b[0], b[1], c[0], c[1]).quad(d[0], d[1], a[0], a[1]).close()
}
