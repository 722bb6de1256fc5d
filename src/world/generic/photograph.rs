//! The look of a photograph: lit bodies with soft shadows before a blurred ground, then grain.

use super::field::Field;
use super::gradient::{direction, ramp};
use super::palette::{Palette, centred};
use crate::world::canvas::{Canvas, Paint, Rgb, ink, mix, scaled};
use crate::world::dice::Dice;
use crate::world::outline::rotation;

/// Paints a blurred ground, out-of-focus lights at times, one to nine lit bodies, and a little texture over all.
pub(super) fn paint(dice: &mut Dice, canvas: &mut Canvas) {
    let side = canvas.side();
    let palette = Palette::sample(dice);
    let stops: Vec<Rgb> = (0..3).map(|_| palette.color(dice)).collect();
    let (cells, persistence) = (dice.range(1.2, 4.0), dice.range(0.15, 0.45));
    let field = Field::octaves(dice, side, [cells; 2], persistence);
    let tilt = dice.range(-0.6, 0.6);
    canvas.pixels(|x, y, _| {
        let down = (y as f32 + 0.3 * x as f32) / side as f32 - 0.5;
        ramp(&stops, 0.5 + 0.9 * field.at(x, y) + tilt * down)
    });
    if dice.chance(0.3) {
        for _ in 0..4 + dice.below(14) {
            let (x, y, r, rgb) = (dice.unit(), dice.unit(), dice.range(0.02, 0.09), palette.color(dice));
            let bright = ink(scaled(rgb, 1.6), dice.range(0.2, 0.6));
            canvas.fill(Paint::Radial { center: [x, y], rx: r, ry: r, core: 0.7, a: bright, b: ink(rgb, 0.0) }, |o| _ = o.circle(x, y, r));
        }
    }
    let light = direction(dice);
    for _ in 0..1 + dice.below(4) * dice.below(3) {
        body(dice, canvas, &palette, light);
    }
    let texture = Field::octaves(dice, side, [8.0; 2], 0.7);
    let depth = dice.range(0.0, 0.2);
    canvas.pixels(|x, y, rgb| {
        let t = 1.0 + depth * texture.at(x, y);
        rgb.map(|v| v * t)
    });
}

/// A body with its shadow: round, or a slab with a bright edge, lit from `light`.
fn body(dice: &mut Dice, canvas: &mut Canvas, palette: &Palette, light: (f32, f32)) {
    let (x, y, r) = (dice.range(0.05, 0.95), dice.range(0.05, 0.95), dice.range(0.06, 0.4));
    let (rx, ry) = (r, r * dice.range(0.5, 1.3));
    let rgb = palette.color(dice);
    let (bright, dark) = (mix(scaled(rgb, 1.3), [1.0; 3], dice.range(0.0, 0.35)), scaled(rgb, dice.range(0.15, 0.5)));
    let cast = Paint::Radial {
        center: [x - 0.3 * light.0 * rx, y - 0.3 * light.1 * ry],
        rx: 1.25 * rx,
        ry: 1.25 * ry,
        core: 0.6,
        a: ink([0.0; 3], 0.4),
        b: ink([0.0; 3], 0.0),
    };
    canvas.fill(cast, |o| _ = o.ellipse(x - 0.3 * light.0 * rx, y - 0.3 * light.1 * ry, 1.25 * rx, 1.25 * ry));
    let at = [x + 0.4 * light.0 * rx, y + 0.4 * light.1 * ry];
    let shade = Paint::Radial { center: at, rx: 1.4 * rx, ry: 1.4 * ry, core: 0.05, a: bright.into(), b: dark.into() };
    if dice.chance(0.65) {
        canvas.fill(shade, |o| _ = o.ellipse(x, y, rx, ry));
        if dice.chance(0.4) {
            let glint = Paint::Radial { center: at, rx: 0.3 * rx, ry: 0.3 * ry, core: 0.1, a: ink([1.0; 3], 0.8), b: ink([1.0; 3], 0.0) };
            canvas.fill(glint, |o| _ = o.ellipse(at[0], at[1], 0.3 * rx, 0.3 * ry));
        }
    } else {
        let (cos, sin) = rotation(0.4 * centred(dice));
        let corner = |u: f32, v: f32| [x + cos * u * rx - sin * v * ry, y + sin * u * rx + cos * v * ry];
        let slab = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
        let side = [slab[1], [slab[1][0] + 0.2 * rx, slab[1][1] + 0.12 * ry], [slab[2][0] + 0.2 * rx, slab[2][1] + 0.12 * ry], slab[2]];
        canvas.fill(scaled(dark, 0.8), |o| _ = o.polygon(&side));
        canvas.fill(Paint::Linear { from: slab[0], to: slab[2], a: mix(rgb, bright, 0.5).into(), b: mix(rgb, dark, 0.5).into() }, |o| {
            o.polygon(&slab);
        });
    }
}
