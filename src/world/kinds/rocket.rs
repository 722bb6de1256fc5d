//! A rocket in flight: slender body, pale nose, fins, a porthole, a flame.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Paint, Pen, hex, ink, mix, scaled};

pub(super) const INFO: KindInfo = KindInfo {
    label: "rocket",
    synonyms: &["space rocket", "rocket ship"],
    habitat: Habitat::Sky,
    half_width: 0.32,
    height: 1.16,
    tilts: true,
    draw,
};

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    let (a, b) = (ink(hex(0xffc85a), 0.55), ink(hex(0xff9a3c), 0.0));
    pen.glaze(Paint::Radial { center: [0.0, 0.14], rx: 0.26, ry: 0.26, core: 0.0, a, b }, |o| {
        o.circle(0.0, 0.14, 0.26);
    });
    pen.fill(hex(0xff8a2c), |o| {
        o.start(-0.12, 0.28).line(0.12, 0.28).quad(0.15, 0.14, 0.0, 0.0).quad(-0.15, 0.14, -0.12, 0.28).close();
    });
    pen.fill(hex(0xffe57a), |o| {
        o.start(-0.07, 0.28).line(0.07, 0.28).quad(0.08, 0.18, 0.0, 0.09).quad(-0.08, 0.18, -0.07, 0.28).close();
    });
    let fin = scaled(mix(hue, hex(0x34345a), 0.30), 0.80);
    for s in [-1.0, 1.0] {
        let paint = if s == pen.sun { pen.lit(fin) } else { pen.shade(fin) };
        pen.fill(paint, |o| {
            o.start(0.15 * s, 0.60).quad(0.32 * s, 0.46, 0.31 * s, 0.20).quad(0.24 * s, 0.30, 0.12 * s, 0.32).close();
        });
    }
    pen.fill(pen.lit(hex(0x555a6e)), |o| {
        o.polygon(&[[-0.11, 0.24], [0.11, 0.24], [0.13, 0.33], [-0.13, 0.33]]);
    });
    pen.fill(pen.round(hue, 0.0, 0.22), |o| {
        o.start(-0.14, 0.30)
            .line(0.14, 0.30)
            .cubic([0.26, 0.56], [0.22, 0.92], [0.0, 1.16])
            .cubic([-0.22, 0.92], [-0.26, 0.56], [-0.14, 0.30])
            .close();
    });
    // Nose cone.
    let white = hue[1] > 0.9 && hue[2] > 0.9;
    let nose = if white { hex(0x8f9bb0) } else { hex(0xfaf3e6) };
    pen.fill(pen.round(nose, 0.0, 0.14), |o| {
        o.start(0.0, 1.16)
            .cubic([-0.068, 1.085], [-0.11, 1.01], [-0.142, 0.93])
            .quad(0.0, 0.885, 0.142, 0.93)
            .cubic([0.11, 1.01], [0.068, 1.085], [0.0, 1.16])
            .close();
    });
    pen.fill(pen.lit(hex(0xf4ead8)), |o| {
        o.circle(0.0, 0.70, 0.098);
    });
    pen.fill(if pen.light.lamps { pen.window() } else { pen.lit(hex(0x4aa6d8)) }, |o| {
        o.circle(0.0, 0.70, 0.068);
    });
    pen.fill(pen.shade(scaled(fin, 0.95)), |o| {
        o.start(-0.03, 0.20).line(0.03, 0.20).line(0.025, 0.50).line(-0.025, 0.50).close();
    });
}
