//! Meadow, sea, desert and snow, with a few details each.

use crate::world::attributes::{Ground, Time};
use crate::world::canvas::{Depth, Paint, Pen, hex, ink, mix, scaled};
use crate::world::dice::Dice;
use crate::world::outline::Outline;
use crate::world::scene::Scene;

/// The ground of a scene.
pub(super) fn paint(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    pen.at(Depth::Plane { horizon: scene.horizon });
    match scene.ground {
        Ground::Meadow => meadow(pen, scene, dice),
        Ground::Sea => sea(pen, scene, dice),
        Ground::Desert => desert(pen, scene, dice),
        Ground::Snow => snow(pen, scene, dice),
    }
    pen.at(Depth::Keep);
}

/// A hill's contour across the picture at heights `ys`, closed along the lower edge.
fn hill(o: &mut Outline, ys: &[f32]) {
    let last = (ys.len() - 1) as f32;
    let points: Vec<[f32; 2]> = ys.iter().enumerate().map(|(i, &y)| [-0.05 + 1.1 * i as f32 / last, y]).collect();
    o.start(points[0][0], points[0][1]).through(&points);
    o.line(1.05, 1.05).line(-0.05, 1.05).close();
}

fn contour<const N: usize>(dice: &mut Dice, y: f32, swing: f32) -> [f32; N] {
    let sign = dice.sign();
    let mut up = sign;
    [(); N].map(|()| {
        up = -up;
        y + up * swing * dice.range(0.3, 1.0)
    })
}

/// Places for details: `count` cells across, at a random height on the near ground.
fn spots(dice: &mut Dice, count: usize, top: f32) -> Vec<[f32; 2]> {
    (0..count).map(|i| [(i as f32 + dice.range(0.15, 0.85)) / count as f32, dice.range(top, 0.97)]).collect()
}

fn meadow(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    let [far, near, between] = pen.light.ground(Ground::Meadow);
    let h = scene.horizon;
    let back: [f32; 4] = contour(dice, h - 0.005, 0.022);
    pen.fill(Paint::vertical(h, far, h + 0.16, between), |o| hill(o, &back));
    let middle: [f32; 4] = contour(dice, h + 0.10, 0.025);
    pen.fill(Paint::vertical(h + 0.08, mix(far, near, 0.45), 1.0, near), |o| hill(o, &middle));

    for [x, y] in spots(dice, 5, h + 0.16) {
        let s = 0.020 + 0.014 * (y - h);
        pen.fill(scaled(near, 0.82), |o| {
            o.polygon(&[[x - s, y - 0.9 * s], [x - 0.15 * s, y], [x - 0.5 * s, y]]);
            o.polygon(&[[x, y - 1.4 * s], [x + 0.35 * s, y], [x - 0.35 * s, y]]);
            o.polygon(&[[x + s, y - 0.9 * s], [x + 0.5 * s, y], [x + 0.15 * s, y]]);
        });
    }
    let petals = [hex(0xffffff), hex(0xffe45c), hex(0xff9cc4)];
    let bloom = pen.lit(dice.pick(&petals));
    let heart = pen.lit(hex(0xf2a93b));
    for [x, y] in spots(dice, 7, h + 0.18) {
        let r = 0.009 + 0.012 * (y - h);
        pen.fill(bloom, |o| {
            o.circle(x - r, y, r).circle(x + r, y, r).circle(x, y - r, r).circle(x, y + r, r);
        });
        pen.fill(heart, |o| {
            o.circle(x, y, 0.7 * r);
        });
    }
}

fn sea(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    let [far, near, _] = pen.light.ground(Ground::Sea);
    let h = scene.horizon;
    pen.fill(Paint::vertical(h, far, 1.0, near), |o| {
        o.rect(-0.05, h, 1.05, 1.05);
    });
    // The light's road on the water.
    let strength = match scene.time {
        Time::Day => 0.45,
        Time::Sunset => 0.85,
        Time::Night => 0.60,
    };
    let glint = ink(pen.light.disc, strength);
    let sun = scene.sun[0];
    for i in 0..5 {
        let t = i as f32 / 4.0;
        let y = h + 0.022 + (1.0 - h - 0.08) * t * (0.45 + 0.55 * t);
        let (x, w) = (sun + dice.range(-0.025, 0.025), (0.10 - 0.05 * t) * dice.range(0.75, 1.15));
        pen.glaze(glint, |o| {
            o.lens(x, y, w, 0.005 + 0.006 * t);
        });
    }
    let crest = ink(mix(far, [1.0; 3], if scene.time == Time::Day { 0.65 } else { 0.3 }), 0.75);
    for [x, y] in spots(dice, 6, h + 0.07) {
        let t = (y - h) / (1.0 - h);
        let (w, d) = (0.035 + 0.04 * t, 0.006 + 0.010 * t);
        // A wave: a crescent, humped and hollow below.
        pen.glaze(crest, |o| {
            o.start(x - w, y).quad(x, y - 2.4 * d, x + w, y).quad(x, y - 0.5 * d, x - w, y).close();
        });
    }
}

fn desert(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    let [far, near, between] = pen.light.ground(Ground::Desert);
    let h = scene.horizon;
    let back: [f32; 4] = contour(dice, h - 0.005, 0.020);
    pen.fill(Paint::vertical(h, far, h + 0.2, mix(far, near, 0.5)), |o| hill(o, &back));
    // A dune with a sharp crest: one lit flank, one shaded.
    let (cx, cy) = (dice.range(0.25, 0.75), h + dice.range(0.045, 0.075));
    let side = if scene.sun[0] >= cx { 1.0 } else { -1.0 };
    pen.fill(Paint::vertical(cy, between, 1.0, near), |o| {
        o.start(-0.05, cy + 0.10).quad(0.5 * cx, cy + 0.09, cx, cy).quad(0.5 + 0.5 * cx, cy + 0.09, 1.05, cy + 0.10);
        o.line(1.05, 1.05).line(-0.05, 1.05).close();
    });
    let edge = if side > 0.0 { 1.05 } else { -0.05 };
    pen.fill(Paint::vertical(cy, mix(far, near, 0.25), cy + 0.26, mix(far, near, 0.8)), |o| {
        o.start(cx, cy).quad(cx + 0.5 * (edge - cx), cy + 0.09, edge, cy + 0.10);
        o.line(edge, cy + 0.26).quad(cx + 0.3 * (edge - cx), cy + 0.22, cx, cy).close();
    });
    let front: [f32; 4] = contour(dice, h + 0.20, 0.022);
    pen.fill(Paint::vertical(h + 0.16, mix(far, near, 0.55), 1.0, near), |o| hill(o, &front));

    let stone = mix(near, pen.lit(hex(0x8a6a52)), 0.55);
    for [x, y] in spots(dice, 3, h + 0.24) {
        let r = dice.range(0.014, 0.022);
        pen.fill(Paint::vertical(y - r, scaled(stone, 1.15), y, scaled(stone, 0.85)), |o| {
            o.start(x - 1.4 * r, y).cubic([x - 1.2 * r, y - 1.3 * r], [x + 0.9 * r, y - 1.4 * r], [x + 1.4 * r, y]).close();
        });
    }
    let places = [dice.range(0.05, 0.14), dice.range(0.86, 0.95), dice.range(0.40, 0.60)];
    let count = 1 + dice.below(2);
    for &x in &places[..count] {
        let y = h + dice.range(0.10, 0.16);
        cactus(pen, x, y, dice.range(0.085, 0.11));
    }
}

fn cactus(pen: &mut Pen, x: f32, y: f32, s: f32) {
    let (lit, shade) = (pen.lit(hex(0x5aa35a)), pen.shade(hex(0x4a8f52)));
    pen.fill(Paint::horizontal(x - 0.1 * s, lit, x + 0.45 * s, shade), |o| {
        stem(o, x, y, y - s, 0.13 * s);
        stem(o, x - 0.34 * s, y - 0.38 * s, y - 0.72 * s, 0.095 * s);
        stem(o, x + 0.34 * s, y - 0.28 * s, y - 0.60 * s, 0.095 * s);
        o.rect(x - 0.42 * s, y - 0.46 * s, x, y - 0.30 * s);
        o.rect(x, y - 0.36 * s, x + 0.42 * s, y - 0.20 * s);
    });
}

fn stem(o: &mut Outline, x: f32, y0: f32, y1: f32, half: f32) {
    o.rect(x - half, y1, x + half, y0);
    o.circle(x, y1, half);
}

fn snow(pen: &mut Pen, scene: &Scene, dice: &mut Dice) {
    let [far, near, between] = pen.light.ground(Ground::Snow);
    let h = scene.horizon;
    let back: [f32; 4] = contour(dice, h - 0.005, 0.024);
    pen.fill(Paint::vertical(h - 0.02, far, h + 0.16, mix(far, between, 0.75)), |o| hill(o, &back));
    let middle: [f32; 4] = contour(dice, h + 0.10, 0.028);
    pen.fill(Paint::vertical(h + 0.08, mix(far, near, 0.15), 1.0, near), |o| hill(o, &middle));
    // Drifts: low mounds with a bluish lee.
    for [x, y] in spots(dice, 4, h + 0.18) {
        let w = dice.range(0.05, 0.08);
        pen.fill(Paint::vertical(y - 0.3 * w, far, y, mix(near, between, 0.6)), |o| {
            o.start(x - w, y).cubic([x - 0.6 * w, y - 0.45 * w], [x + 0.4 * w, y - 0.5 * w], [x + w, y]).close();
        });
    }
}

/// An islet under what stands at `(x, y)`: surf, sand, grass.
pub(in crate::world) fn islet(pen: &mut Pen, x: f32, y: f32, half: f32, scale: f32) {
    let (rx, ry) = (half + 0.07, 0.13 * scale);
    let foam = ink(mix(pen.lit([1.0; 3]), pen.light.sky[2], 0.2), 0.55);
    pen.glaze(foam, |o| {
        o.ellipse(x, y + 0.30 * ry, 1.12 * rx, 1.12 * ry);
    });
    let sand = hex(0xf0d48c);
    pen.fill(Paint::vertical(y - 0.5 * ry, pen.lit(sand), y + 1.2 * ry, pen.shade(sand)), |o| {
        o.ellipse(x, y + 0.20 * ry, rx, ry);
    });
    let grass = hex(0x7cba4e);
    pen.fill(Paint::vertical(y - ry, pen.lit(grass), y + 0.7 * ry, pen.shade(grass)), |o| {
        o.ellipse(x, y - 0.02 * ry, 0.86 * rx, 0.74 * ry);
    });
}
