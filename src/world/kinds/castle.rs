//! A castle: keep, two towers with pointed roofs, battlements, gate and flag.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Pen, hex, mix, scaled};

pub(super) const INFO: KindInfo =
    KindInfo { label: "castle", synonyms: &["fortress"], habitat: Habitat::Land, half_width: 0.58, height: 1.08, tilts: false, draw };

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    let roof = scaled(mix(hue, hex(0x3b3560), 0.45), 0.75);
    // Flag over the keep.
    pen.fill(pen.lit(hex(0x5b4636)), |o| {
        o.rect(-0.014, 0.70, 0.014, 1.06);
    });
    pen.fill(pen.lit(hex(0xf26b4f)), |o| {
        o.polygon(&[[0.014, 1.07], [0.21, 0.99], [0.014, 0.91]]);
    });
    // Keep behind the wall.
    pen.fill(pen.round(scaled(hue, 0.90), 0.0, 0.2), |o| {
        o.rect(-0.20, 0.3, 0.20, 0.70);
        for x in [-0.20, -0.055, 0.09] {
            o.rect(x, 0.69, x + 0.11, 0.78);
        }
    });
    // Wall.
    pen.fill(pen.round(hue, 0.0, 0.45), |o| {
        o.rect(-0.36, 0.0, 0.36, 0.42);
        for x in [-0.27, -0.055, 0.16] {
            o.rect(x, 0.41, x + 0.11, 0.50);
        }
    });
    for x in [-0.40, 0.40] {
        pen.fill(pen.round(hue, x, 0.17), |o| {
            o.rect(x - 0.15, 0.0, x + 0.15, 0.62);
            o.rect(x - 0.18, 0.56, x + 0.18, 0.66);
        });
        pen.fill(pen.round(roof, x, 0.20), |o| {
            o.polygon(&[[x - 0.20, 0.65], [x + 0.20, 0.65], [x, 1.0]]);
        });
        pen.fill(pen.window(), |o| {
            o.arch(x, 0.34, 0.045, 0.50);
        });
    }
    pen.fill(pen.lit(hex(0x4a3428)), |o| {
        o.arch(0.0, 0.0, 0.115, 0.31);
    });
    for x in [-0.09, 0.09] {
        pen.fill(pen.window(), |o| {
            o.arch(x, 0.55, 0.038, 0.665);
        });
    }
    if pen.snowy {
        let snow = pen.lit([0.97, 0.98, 1.0]);
        for x in [-0.40, 0.40] {
            pen.fill(snow, |o| {
                o.polygon(&[[x, 1.0], [x - 0.08, 0.86], [x - 0.03, 0.88], [x + 0.02, 0.84], [x + 0.08, 0.86]]);
            });
        }
    }
}
