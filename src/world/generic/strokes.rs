//! Brush strokes: thick curves, some with the tracks of bristles, on a plain, graded or textured ground.

use super::gradient;
use super::palette::{Palette, centred};
use super::texture;
use crate::world::canvas::{Canvas, ink, scaled};
use crate::world::dice::Dice;
use crate::world::outline::Outline;

/// Paints a ground and 5 to 60 strokes.
pub(super) fn paint(dice: &mut Dice, canvas: &mut Canvas) {
    let palette = Palette::sample(dice);
    match dice.below(4) {
        0 => gradient::paint(dice, canvas),
        1 => texture::paint(dice, canvas),
        _ => {
            let ground = palette.color(dice);
            canvas.pixels(|_, _, _| ground);
        }
    }
    let count = 5 + dice.below(8) * dice.below(8);
    let thick = dice.range(0.01, 0.09);
    let opacity = if dice.chance(0.3) { dice.range(0.4, 0.9) } else { 1.0 };
    let bristles = dice.chance(0.4);
    for _ in 0..count {
        let rgb = palette.color(dice);
        let points = wander(dice, 4, 0.35);
        let half = thick * dice.range(0.4, 1.6);
        canvas.fill(ink(rgb, opacity), |outline| ribbon(outline, &points, half, 0.0));
        if bristles {
            for _ in 0..4 {
                let shade = scaled(rgb, dice.range(0.7, 1.25));
                let (aside, half) = (0.8 * half * centred(dice), 0.12 * half);
                canvas.fill(ink(shade, opacity), |outline| ribbon(outline, &points, half, aside));
            }
        }
    }
}

/// A smooth way of `knots` random steps of about `step`, as closely spaced points.
fn wander(dice: &mut Dice, knots: usize, step: f32) -> Vec<[f32; 2]> {
    let (mut at, mut by) = ([dice.range(-0.1, 1.1), dice.range(-0.1, 1.1)], [step * centred(dice), step * centred(dice)]);
    let mut way = vec![at];
    for _ in 0..knots {
        by = by.map(|v| 0.6 * v + 0.8 * step * centred(dice));
        at = [at[0] + by[0], at[1] + by[1]];
        way.push(at);
    }
    curve(&way, 6)
}

/// Points on the smooth curve through `knots` (Catmull and Rom), `fine` for each span.
pub(super) fn curve(knots: &[[f32; 2]], fine: usize) -> Vec<[f32; 2]> {
    let last = knots.len() - 1;
    let mut points = Vec::with_capacity(last * fine + 1);
    for i in 0..last {
        let [p0, p1, p2, p3] = [knots[i.saturating_sub(1)], knots[i], knots[i + 1], knots[(i + 2).min(last)]];
        for j in 0..fine {
            let t = j as f32 / fine as f32;
            points.push([0, 1].map(|axis| {
                let (a, b, c, d) = (p0[axis], p1[axis], p2[axis], p3[axis]);
                0.5 * (2.0 * b + t * ((c - a) + t * ((2.0 * a - 5.0 * b + 4.0 * c - d) + t * (3.0 * (b - c) + d - a))))
            }));
        }
    }
    points.push(knots[last]);
    points
}

/// The outline of a line of half-width `half` along `points`, moved sideways by `aside`.
pub(super) fn ribbon(outline: &mut Outline, points: &[[f32; 2]], half: f32, aside: f32) {
    let last = points.len() - 1;
    let offset = |i: usize, by: f32| {
        let (a, b) = (points[i.saturating_sub(1)], points[(i + 1).min(last)]);
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let length = (dx * dx + dy * dy).sqrt().max(1e-6);
        [points[i][0] - by * dy / length, points[i][1] + by * dx / length]
    };
    for i in 0..=last {
        let [x, y] = offset(i, aside - half);
        if i == 0 {
            outline.start(x, y)
        } else {
            outline.line(x, y)
        };
    }
    for i in (0..=last).rev() {
        let [x, y] = offset(i, aside + half);
        outline.line(x, y);
    }
    outline.close();
}
