//! A lighthouse: banded tower, gallery, lamp room; at night its beams.

use super::{Habitat, KindInfo};
use crate::world::attributes::Time;
use crate::world::canvas::{Paint, Pen, hex, ink, mix, scaled};

pub(super) const INFO: KindInfo = KindInfo {
    label: "lighthouse",
    synonyms: &["light tower"],
    habitat: Habitat::Land,
    half_width: 0.30,
    height: 1.18,
    tilts: false,
    draw,
};

/// Half the tower's width at height `y`.
fn half(y: f32) -> f32 {
    0.235 - 0.115 * (y / 0.86)
}

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    if pen.light.time == Time::Night {
        let (a, b) = (ink(hex(0xfff0a8), 0.55), ink(hex(0xfff0a8), 0.0));
        pen.glaze(Paint::horizontal(0.0, a, -0.9, b), |o| {
            o.polygon(&[[0.0, 1.01], [-0.9, 1.16], [-0.9, 0.82], [0.0, 0.97]]);
        });
        pen.glaze(Paint::horizontal(0.0, a, 0.9, b), |o| {
            o.polygon(&[[0.0, 0.97], [0.9, 0.82], [0.9, 1.16], [0.0, 1.01]]);
        });
    }
    let stone = hex(0x8b8e99);
    pen.fill(pen.round(stone, 0.0, 0.3), |o| {
        o.polygon(&[[-0.28, 0.0], [0.28, 0.0], [0.25, 0.08], [-0.25, 0.08]]);
    });
    pen.fill(pen.round(hue, 0.0, 0.2), |o| {
        o.polygon(&[[-half(0.06), 0.06], [half(0.06), 0.06], [half(0.86), 0.86], [-half(0.86), 0.86]]);
    });
    // Two pale bands; grey ones on a white tower.
    let white = hue[2] > 0.9 && hue[1] > 0.9;
    let band = if white { hex(0x9aa6b8) } else { hex(0xfdf7ea) };
    for (y0, y1) in [(0.26, 0.38), (0.58, 0.68)] {
        pen.fill(pen.round(band, 0.0, 0.2), |o| {
            o.polygon(&[[-half(y0), y0], [half(y0), y0], [half(y1), y1], [-half(y1), y1]]);
        });
    }
    pen.fill(pen.lit(hex(0x5d4632)), |o| {
        o.arch(0.0, 0.06, 0.06, 0.21);
    });
    pen.fill(pen.window(), |o| {
        o.arch(0.0, 0.43, 0.042, 0.54);
    });
    // Lamp room between gallery and roof.
    pen.fill(if pen.light.lamps { hex(0xfff2a0) } else { pen.lit(hex(0xfff3b8)) }, |o| {
        o.rect(-0.10, 0.88, 0.10, 1.05);
    });
    let dark = pen.lit(hex(0x3d4254));
    pen.fill(dark, |o| {
        o.rect(-0.19, 0.85, 0.19, 0.905);
    });
    pen.fill(dark, |o| {
        o.rect(-0.022, 0.89, 0.022, 1.05);
    });
    pen.fill(pen.round(scaled(mix(hue, hex(0x3d4254), 0.3), 0.8), 0.0, 0.15), |o| {
        o.start(-0.15, 1.03)
            .line(0.15, 1.03)
            .cubic([0.13, 1.10], [0.05, 1.13], [0.0, 1.18])
            .cubic([-0.05, 1.13], [-0.13, 1.10], [-0.15, 1.03])
            .close();
    });
    if pen.light.lamps {
        let (a, b) = (ink(hex(0xfff4b8), 0.75), ink(hex(0xfff4b8), 0.0));
        pen.glaze(Paint::Radial { center: [0.0, 0.98], rx: 0.26, ry: 0.26, core: 0.1, a, b }, |o| {
            o.circle(0.0, 0.98, 0.26);
        });
    }
}
