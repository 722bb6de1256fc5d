//! A hot-air balloon: a striped envelope, ropes, a basket.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Paint, Pen, hex, ink, mix, scaled};

pub(super) const INFO: KindInfo = KindInfo {
    label: "balloon",
    synonyms: &["hot-air balloon", "air balloon"],
    habitat: Habitat::Sky,
    half_width: 0.40,
    height: 1.12,
    tilts: true,
    draw,
};

/// A gore of the envelope: the outline squeezed to `w` of its width.
fn envelope(o: &mut crate::world::outline::Outline, w: f32) {
    o.start(0.0, 1.12).cubic([-0.28 * w, 1.12], [-0.40 * w, 0.92], [-0.40 * w, 0.74]);
    o.cubic([-0.40 * w, 0.56], [-0.20 * w, 0.42], [-0.10 * w, 0.30]).line(0.10 * w, 0.30);
    o.cubic([0.20 * w, 0.42], [0.40 * w, 0.56], [0.40 * w, 0.74]).cubic([0.40 * w, 0.92], [0.28 * w, 1.12], [0.0, 1.12]).close();
}

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    let rope = pen.lit(hex(0x6e4f38));
    pen.fill(rope, |o| {
        o.polygon(&[[-0.095, 0.31], [-0.065, 0.31], [-0.075, 0.12], [-0.10, 0.12]]);
        o.polygon(&[[0.065, 0.31], [0.095, 0.31], [0.10, 0.12], [0.075, 0.12]]);
    });
    pen.fill(pen.ball(hue, 0.0, 0.74, 0.40), |o| envelope(o, 1.0));
    // Paler gores.
    let pale = if hue[1] > 0.9 && hue[2] > 0.9 { hex(0xc3cede) } else { mix(hue, [1.0; 3], 0.42) };
    let (lit, shade) = (ink(pen.lit(pale), 0.85), ink(pen.shade(pale), 0.85));
    let stripe = Paint::horizontal(pen.sun * 0.1, lit, -pen.sun * 0.4, shade);
    pen.fill(stripe, |o| envelope(o, 0.26));
    pen.fill(stripe, |o| {
        // Between 0.52 and 0.78 of the width, on both sides.
        for s in [-1.0, 1.0] {
            o.start(0.0, 1.12).cubic([0.28 * s * 0.78, 1.11], [0.40 * s * 0.78, 0.92], [0.40 * s * 0.78, 0.74]);
            o.cubic([0.40 * s * 0.78, 0.56], [0.20 * s * 0.78, 0.42], [0.10 * s * 0.78, 0.30]).line(0.10 * s * 0.52, 0.30);
            o.cubic([0.20 * s * 0.52, 0.42], [0.40 * s * 0.52, 0.56], [0.40 * s * 0.52, 0.74]);
            o.cubic([0.40 * s * 0.52, 0.92], [0.28 * s * 0.52, 1.10], [0.0, 1.12]).close();
        }
    });
    pen.fill(pen.shade(scaled(hue, 0.8)), |o| {
        o.rect(-0.105, 0.285, 0.105, 0.325);
    });
    let wicker = hex(0xa9713f);
    pen.fill(pen.round(wicker, 0.0, 0.13), |o| {
        o.start(-0.13, 0.15)
            .line(0.13, 0.15)
            .cubic([0.12, 0.05], [0.11, 0.0], [0.06, 0.0])
            .line(-0.06, 0.0)
            .cubic([-0.11, 0.0], [-0.12, 0.05], [-0.13, 0.15])
            .close();
    });
    pen.fill(pen.lit(hex(0x6e4a2c)), |o| {
        o.rect(-0.145, 0.125, 0.145, 0.165);
    });
    if pen.light.lamps {
        let (a, b) = (ink(hex(0xffe08a), 0.55), ink(hex(0xffb45a), 0.0));
        pen.glaze(Paint::Radial { center: [0.0, 0.36], rx: 0.26, ry: 0.26, core: 0.0, a, b }, |o| {
            o.circle(0.0, 0.36, 0.26);
        });
    }
}
