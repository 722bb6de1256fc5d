//! Sun, moon, stars, clouds and mountains.

use crate::world::attributes::Time;
use crate::world::canvas::{Depth, Paint, Pen, ink, mix};
use crate::world::dice::Dice;
use crate::world::scene::Scene;

/// Sun or moon, stars, clouds.
pub(super) fn paint(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    let [x, y] = scene.sun;
    let light = pen.light;
    match scene.time {
        Time::Day => {
            halo(pen, x, y, 0.24, 0.75);
            pen.fill(light.disc, |o| {
                o.circle(x, y, 0.075);
            });
        }
        Time::Sunset => {
            halo(pen, x, y, 0.45, 0.9);
            pen.fill(light.disc, |o| {
                o.circle(x, y, 0.115);
            });
        }
        Time::Night => {
            stars(pen, scene, dice);
            halo(pen, x, y, 0.26, 0.5);
            moon(pen, x, y, dice);
        }
    }
    clouds(pen, scene, dice);
}

fn halo(pen: &mut Pen, x: f32, y: f32, r: f32, alpha: f32) {
    let (a, b) = (ink(pen.light.halo, alpha), ink(pen.light.halo, 0.0));
    pen.glaze(Paint::Radial { center: [x, y], rx: r, ry: r, core: 0.0, a, b }, |o| {
        o.circle(x, y, r);
    });
}

fn moon(pen: &mut Pen, x: f32, y: f32, dice: &mut Dice) {
    let disc = pen.light.disc;
    let r = 0.075;
    if dice.chance(0.5) {
        // A crescent: the outer edge is three quarters of a circle, the inner one a flatter arc back.
        let side = dice.sign();
        pen.fill(disc, |o| {
            o.start(x + side * 0.25 * r, y - r);
            o.cubic([x - side * 1.25 * r, y - 1.05 * r], [x - side * 1.25 * r, y + 1.05 * r], [x + side * 0.25 * r, y + r]);
            o.cubic([x + side * 1.0 * r, y + 0.85 * r], [x + side * 1.1 * r, y + 0.5 * r], [x + side * 1.05 * r, y + 0.35 * r]);
            o.cubic([x + side * 0.3 * r, y + 0.7 * r], [x - side * 0.4 * r, y - 0.2 * r], [x + side * 0.25 * r, y - r]).close();
        });
    } else {
        pen.fill(disc, |o| {
            o.circle(x, y, r);
        });
        let mare = mix(disc, pen.light.halo, 0.45);
        pen.fill(mare, |o| {
            o.circle(x - 0.30 * r, y - 0.25 * r, 0.24 * r);
        });
        pen.fill(mare, |o| {
            o.circle(x + 0.32 * r, y + 0.30 * r, 0.18 * r);
        });
    }
}

/// A few bold stars, one to a cell of a grid over the upper sky.
fn stars(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    for cell in 0..12 {
        let (column, row) = ((cell % 4) as f32, (cell / 4) as f32);
        let x = 0.25 * (column + dice.range(0.15, 0.85));
        let y = 0.26 * scene.horizon * (row + dice.range(0.15, 0.85)) + 0.02;
        let big = dice.chance(0.3);
        let near = (x - scene.sun[0]).abs() < 0.12 && (y - scene.sun[1]).abs() < 0.12;
        let kept = dice.chance(0.75) && !near;
        let r = if big { dice.range(0.020, 0.026) } else { dice.range(0.007, 0.010) };
        if !kept {
            continue;
        }
        let star = ink([1.0, 0.96, 0.80], if big { 1.0 } else { 0.85 });
        pen.glaze(star, |o| {
            if big {
                let q = 0.28 * r;
                o.polygon(&[
                    [x, y - r],
                    [x + q, y - q],
                    [x + r, y],
                    [x + q, y + q],
                    [x, y + r],
                    [x - q, y + q],
                    [x - r, y],
                    [x - q, y - q],
                ]);
            } else {
                o.circle(x, y, r);
            }
        });
    }
}

fn clouds(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    let count = usize::from(scene.clouds);
    let start = dice.unit();
    for i in 0..count {
        let x = 0.06 + 0.88 * ((start + (i as f32 + dice.range(0.1, 0.6)) / count as f32) % 1.0);
        let y = dice.range(0.10, 0.62 * scene.horizon);
        let w = dice.range(0.09, 0.14);
        // A cloud keeps clear of the disc, so that sun and moon are seen.
        let (dx, dy) = (x - scene.sun[0], y - scene.sun[1]);
        let x = if dx.abs() < 0.20 && dy.abs() < 0.14 { scene.sun[0] + if dx < 0.0 { -0.22 } else { 0.22 } } else { x };
        let h = 0.42 * w;
        let lean = dice.range(-0.25, 0.25) * w;
        let [lit, shade] = pen.light.cloud;
        let alpha = if scene.time == Time::Night { 0.85 } else { 0.96 };
        pen.fill(Paint::vertical(y - 0.9 * h, ink(lit, alpha), y + 0.9 * h, ink(shade, alpha)), |o| {
            o.circle(x - 0.62 * w, y + 0.28 * h, 0.62 * h);
            o.circle(x + lean, y - 0.25 * h, 1.05 * h);
            o.circle(x + lean + 0.5 * w, y + 0.12 * h, 0.78 * h);
            o.circle(x + 0.85 * w, y + 0.42 * h, 0.48 * h);
            o.rect(x - 0.62 * w, y + 0.3 * h, x + 0.85 * w, y + 0.9 * h);
        });
    }
}

/// Three or four peaks with lit and shaded flanks and bright caps.
pub(super) fn mountains(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    let [lit, shade, cap, cap_shade] = pen.light.mountains(scene.ground);
    let haze = pen.light.sky[2];
    let base = scene.horizon + 0.05;
    let count = 3 + dice.below(2);
    let mut peaks: Vec<[f32; 3]> = (0..count)
        .map(|i| {
            let x = (i as f32 + dice.range(0.15, 0.85)) / count as f32;
            let h = dice.range(0.15, 0.29);
            [x, h, h * dice.range(0.85, 1.15)]
        })
        .collect();
    dice.shuffle(&mut peaks);
    pen.at(Depth::At(0.97));
    for [x, h, w] in peaks {
        let top = base - h;
        // The ridge runs down the middle; the flank away from the sun is in shade.
        let side = if scene.sun[0] >= x { 1.0 } else { -1.0 };
        let ridge = [x - side * 0.12 * w, base];
        let faded = |c| Paint::vertical(top, c, base, mix(c, haze, 0.45));
        pen.fill(faded(lit), |o| {
            o.polygon(&[[x, top], [x + w, base], [x - w, base]]);
        });
        pen.fill(faded(shade), |o| {
            o.polygon(&[[x, top], [x - side * w, base], ridge]);
        });
        // The cap: the top third, its lower edge in three points.
        let f = 0.34;
        let (cx, cy) = (f * w, top + f * h);
        pen.fill(cap, |o| {
            o.polygon(&[
                [x, top],
                [x + cx, cy],
                [x + 0.45 * cx, cy - 0.20 * cx],
                [x, cy + 0.22 * cx],
                [x - 0.5 * cx, cy - 0.22 * cx],
                [x - cx, cy],
            ]);
        });
        let (mid, low) = ([x, cy + 0.22 * cx], [x - side * 0.5 * cx, cy - 0.22 * cx]);
        pen.fill(cap_shade, |o| {
            o.polygon(&[[x, top], [x - side * cx, cy], low, mid]);
        });
    }
    pen.at(Depth::Keep);
}
