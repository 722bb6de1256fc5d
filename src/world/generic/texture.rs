//! Textures: noise, waves, stripes, checks, bricks, dots.

use super::field::{Field, wave};
use super::gradient::{direction, ramp};
use super::palette::{Palette, centred};
use crate::world::canvas::{Canvas, Rgb, mix, scaled};
use crate::world::dice::Dice;

/// Paints one texture.
pub(super) fn paint(dice: &mut Dice, canvas: &mut Canvas) {
    let pattern = dice.weighted(&[
        (noise as fn(&mut Dice, &mut Canvas), 0.3),
        (coloured_noise, 0.15),
        (waves, 0.15),
        (stripes, 0.12),
        (tiles, 0.16),
        (dots, 0.12),
    ]);
    pattern(dice, canvas);
}

fn stops(dice: &mut Dice, count: usize) -> Vec<Rgb> {
    let palette = Palette::sample(dice);
    let [a, b] = palette.pair(dice, 0.3);
    let mut stops = vec![a];
    stops.extend((2..count).map(|_| palette.color(dice)));
    stops.push(b);
    stops
}

/// Knots across and down of the coarsest octave, often stretched: wood, grass, water.
fn grain(dice: &mut Dice) -> [f32; 2] {
    let cells = dice.weighted(&[(1.5, 0.4), (3.0, 0.3), (7.0, 0.3)]);
    match dice.below(4) {
        0 => [cells * dice.range(3.0, 8.0), cells],
        1 => [cells, cells * dice.range(3.0, 8.0)],
        _ => [cells, cells],
    }
}

/// Several octaves along a ramp of colours.
fn noise(dice: &mut Dice, canvas: &mut Canvas) {
    let (count, first, persistence) = (2 + dice.below(3), grain(dice), dice.range(0.4, 0.75));
    let (stops, gain) = (stops(dice, count), dice.range(0.6, 1.6));
    let field = Field::octaves(dice, canvas.side(), first, persistence);
    // Ridges, as of marble and clouds, or the plain heights.
    let ridged = dice.chance(0.3);
    canvas.pixels(|x, y, _| {
        let v = gain * field.at(x, y);
        ramp(&stops, if ridged { 1.0 - 2.0 * v.abs() } else { 0.5 + v })
    });
}

/// Octaves of their own along lightness and both axes of colour.
fn coloured_noise(dice: &mut Dice, canvas: &mut Canvas) {
    let (first, persistence) = (grain(dice), dice.range(0.4, 0.65));
    let [light, yellow, red] = [(); 3].map(|()| Field::octaves(dice, canvas.side(), first, persistence));
    let (middle, gains) = (Palette::sample(dice).color(dice), [dice.range(0.4, 0.9), dice.range(0.1, 0.5), dice.range(0.05, 0.4)]);
    canvas.pixels(|x, y, _| {
        let [l, b, r] = [gains[0] * light.at(x, y), gains[1] * yellow.at(x, y), gains[2] * red.at(x, y)];
        [middle[0] + l + b / 3.0 + r / 2.0, middle[1] + l + b / 3.0 - r / 2.0, middle[2] + l - 2.0 * b / 3.0].map(|v| v.clamp(0.0, 1.0))
    });
}

/// A sum of waves in several directions whose amplitudes fall with their frequency.
fn waves(dice: &mut Dice, canvas: &mut Canvas) {
    let side = canvas.side() as f32;
    let count = 2 + dice.below(6);
    let stops = stops(dice, 3);
    let parts: Vec<[f32; 4]> = (0..count)
        .map(|_| {
            let (dx, dy) = direction(dice);
            let cycles = 1.5 + 22.0 * dice.unit() * dice.unit();
            [dx * cycles / side, dy * cycles / side, dice.unit(), 3.0 / (2.0 + cycles)]
        })
        .collect();
    let total: f32 = parts.iter().map(|part| part[3]).sum();
    canvas.pixels(|x, y, _| {
        let sum: f32 = parts.iter().map(|&[fx, fy, phase, amplitude]| amplitude * wave(fx * x as f32 + fy * y as f32 + phase)).sum();
        ramp(&stops, 0.5 + 0.6 * sum / total)
    });
}

/// Straight or bent stripes with soft or hard edges.
fn stripes(dice: &mut Dice, canvas: &mut Canvas) {
    let side = canvas.side();
    let palette = Palette::sample(dice);
    let [a, b] = palette.pair(dice, 0.25);
    let (dx, dy) = direction(dice);
    let cycles = 2.0 + 14.0 * dice.unit() * dice.unit();
    let hardness = dice.range(0.7, 1.0) * side as f32 / (3.0 * cycles);
    let hardness = if dice.chance(0.4) { 1.0 } else { hardness.max(1.0) };
    let bend = if dice.chance(0.4) { dice.range(0.2, 1.2) } else { 0.0 };
    let field = Field::smooth(dice, side, 2);
    let share = dice.range(-0.5, 0.5);
    canvas.pixels(|x, y, _| {
        let phase = cycles * (dx * x as f32 + dy * y as f32) / side as f32 + bend * field.at(x, y);
        mix(a, b, (0.5 + 0.5 * hardness * (wave(phase) - share)).clamp(0.0, 1.0))
    });
}

/// Checks and bricks: rows of tiles, shifted or not, with or without joints, each of a shade of its own.
fn tiles(dice: &mut Dice, canvas: &mut Canvas) {
    let palette = Palette::sample(dice);
    let [a, b] = palette.pair(dice, 0.2);
    let bricks = dice.chance(0.5);
    let (height, aspect) = (dice.range(0.06, 0.22), if bricks { dice.range(1.6, 3.0) } else { 1.0 });
    let (shift, joint) = if bricks { (0.5, dice.range(0.004, 0.02)) } else { (0.0, if dice.chance(0.3) { 0.01 } else { 0.0 }) };
    let uneven = dice.range(0.0, 0.25);
    let width = height * aspect;
    let (x0, y0) = (dice.range(-width, 0.0), dice.range(-height, 0.0));
    canvas.pixels(|_, _, _| a);
    let rows = ((1.0 - y0) / height) as usize + 1;
    let columns = ((1.0 - x0) / width) as usize + 2;
    for row in 0..rows {
        for column in 0..columns {
            let alternate = (row + column) % 2 == 0;
            let shade = scaled(if bricks || alternate { b } else { a }, 1.0 + uneven * centred(dice));
            let left = x0 + (column as f32 - shift * (row % 2) as f32) * width;
            let top = y0 + row as f32 * height;
            canvas.fill(shade, |o| _ = o.rect(left + joint, top + joint, left + width - joint, top + height - joint));
        }
    }
}

/// Rows of dots, straight or scattered.
fn dots(dice: &mut Dice, canvas: &mut Canvas) {
    let palette = Palette::sample(dice);
    let [a, b] = palette.pair(dice, 0.25);
    let pitch = dice.range(0.06, 0.2);
    let (radius, jitter) = (pitch * dice.range(0.15, 0.48), pitch * dice.weighted(&[(0.0, 0.5), (0.4, 0.5)]));
    let own = dice.chance(0.4);
    canvas.pixels(|_, _, _| a);
    let count = (1.0 / pitch) as usize + 2;
    for row in 0..count {
        for column in 0..count {
            let rgb = if own { palette.color(dice) } else { b };
            let (x, y) = (column as f32 + 0.5 * (row % 2) as f32, row as f32 * 0.87);
            let (x, y) = (pitch * x + jitter * centred(dice), pitch * y + jitter * centred(dice));
            canvas.fill(rgb, |o| _ = o.circle(x, y, radius));
        }
    }
}
