//! A cottage: gabled front, steep roof, chimney, lit windows.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Pen, hex, ink, mix, scaled};

pub(super) const INFO: KindInfo =
    KindInfo { label: "house", synonyms: &["cottage"], habitat: Habitat::Land, half_width: 0.52, height: 1.0, tilts: false, draw };

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    let brick = hex(0x9a5b4a);
    let smoke = ink(mix(pen.light.cloud[0], [1.0; 3], 0.2), 0.6);
    for (x, y, r) in [(0.30, 1.08, 0.055), (0.37, 1.19, 0.075)] {
        pen.glaze(smoke, |o| {
            o.circle(x, y, r);
        });
    }
    pen.fill(pen.round(brick, 0.27, 0.08), |o| {
        o.rect(0.20, 0.55, 0.34, 0.97);
    });
    pen.fill(pen.lit(scaled(brick, 0.7)), |o| {
        o.rect(0.18, 0.92, 0.36, 1.0);
    });
    // Wall with its gable.
    pen.fill(pen.round(hue, 0.0, 0.44), |o| {
        o.polygon(&[[-0.40, 0.0], [0.40, 0.0], [0.40, 0.50], [0.0, 0.90], [-0.40, 0.50]]);
    });
    // Roof: two bands over the gable.
    let roof = scaled(mix(hue, hex(0x6a4038), 0.35), 0.72);
    let (left, right) = if pen.sun > 0.0 { (pen.shade(roof), pen.lit(roof)) } else { (pen.lit(roof), pen.shade(roof)) };
    pen.fill(left, |o| {
        o.polygon(&[[0.0, 0.82], [0.0, 0.98], [-0.52, 0.46], [-0.47, 0.36]]);
    });
    pen.fill(right, |o| {
        o.polygon(&[[0.0, 0.98], [0.0, 0.82], [0.47, 0.36], [0.52, 0.46]]);
    });
    let frame = pen.lit(hex(0xfff6e6));
    pen.fill(pen.lit(hex(0x6b4226)), |o| {
        o.arch(-0.02, 0.0, 0.095, 0.34);
    });
    pen.fill(pen.lit(hex(0xf3c64a)), |o| {
        o.circle(0.03, 0.15, 0.018);
    });
    for x in [-0.24, 0.22] {
        pen.fill(frame, |o| {
            o.rect(x - 0.09, 0.17, x + 0.09, 0.39);
        });
        pen.fill(pen.window(), |o| {
            o.rect(x - 0.065, 0.195, x + 0.065, 0.365);
        });
    }
    pen.fill(frame, |o| {
        o.circle(0.0, 0.58, 0.088);
    });
    pen.fill(pen.window(), |o| {
        o.circle(0.0, 0.58, 0.060);
    });
    if pen.light.lamps {
        let (a, b) = (ink(pen.window(), 0.35), ink(pen.window(), 0.0));
        let glow = crate::world::canvas::Paint::Radial { center: [0.0, 0.25], rx: 0.5, ry: 0.32, core: 0.0, a, b };
        pen.glaze(glow, |o| {
            o.ellipse(0.0, 0.25, 0.5, 0.32);
        });
    }
    if pen.snowy {
        let snow = pen.lit([0.97, 0.98, 1.0]);
        pen.fill(snow, |o| {
            o.polygon(&[[0.0, 0.93], [0.0, 1.0], [-0.30, 0.70], [-0.25, 0.675]]);
            o.polygon(&[[0.0, 1.0], [0.0, 0.93], [0.25, 0.675], [0.30, 0.70]]);
        });
    }
}
