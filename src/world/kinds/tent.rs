//! A tent: a striped ridge with an open front, a lamp inside after dark.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Paint, Pen, hex, mix, scaled};

pub(super) const INFO: KindInfo =
    KindInfo { label: "tent", synonyms: &["camping tent"], habitat: Habitat::Land, half_width: 0.62, height: 0.80, tilts: false, draw };

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    let wood = pen.lit(hex(0x7a5233));
    // Long side, in the light or out of it.
    let long = if pen.sun > 0.0 { pen.lit(hue) } else { pen.shade(hue) };
    pen.fill(Paint::vertical(0.72, long, 0.0, scaled(long, 0.92)), |o| {
        o.polygon(&[[-0.16, 0.72], [0.24, 0.72], [0.60, 0.0], [0.22, 0.0]]);
    });
    // Front.
    let front = if pen.sun > 0.0 { mix(pen.lit(hue), pen.shade(hue), 0.45) } else { pen.lit(hue) };
    pen.fill(front, |o| {
        o.polygon(&[[-0.16, 0.72], [0.24, 0.0], [-0.60, 0.0]]);
    });
    let inside = if pen.light.lamps { Paint::vertical(0.0, hex(0xffdc6a), 0.5, hex(0xd98a3c)) } else { pen.lit(hex(0x4d3a3a)).into() };
    pen.fill(inside, |o| {
        o.polygon(&[[-0.165, 0.50], [0.02, 0.0], [-0.35, 0.0]]);
    });
    // The flap folded back.
    pen.fill(pen.lit(mix(hue, [1.0; 3], 0.45)), |o| {
        o.polygon(&[[-0.165, 0.50], [0.11, 0.0], [0.02, 0.0], [-0.05, 0.14]]);
    });
    pen.fill(wood, |o| {
        o.polygon(&[[-0.175, 0.70], [-0.145, 0.70], [-0.12, 0.80], [-0.15, 0.80]]);
        o.polygon(&[[0.225, 0.71], [0.25, 0.70], [0.28, 0.79], [0.25, 0.80]]);
    });
    if pen.snowy {
        pen.fill(pen.lit([0.97, 0.98, 1.0]), |o| {
            o.polygon(&[
                [-0.17, 0.74],
                [0.25, 0.74],
                [0.29, 0.62],
                [0.19, 0.66],
                [0.08, 0.60],
                [-0.02, 0.66],
                [-0.10, 0.61],
                [-0.21, 0.64],
            ]);
        });
    }
}
