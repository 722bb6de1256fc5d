//! A whale: a great round back and tail above the water, pale belly, a spout.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Paint, Pen, hex, ink, mix};

pub(super) const INFO: KindInfo =
    KindInfo { label: "whale", synonyms: &[], habitat: Habitat::Sea, half_width: 0.58, height: 0.88, tilts: false, draw };

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    let water = mix(pen.light.shadow, pen.shade(hue), 0.5);
    pen.glaze(Paint::vertical(0.02, ink(water, 0.5), -0.13, ink(water, 0.0)), |o| {
        o.polygon(&[[-0.52, 0.03], [0.46, 0.03], [0.34, -0.13], [-0.40, -0.13]]);
    });
    // Spout: two plumes from the blowhole.
    let spray = ink(mix(pen.lit(hex(0xe8f7ff)), pen.light.sky[2], 0.1), 0.95);
    pen.fill(spray, |o| {
        o.start(-0.23, 0.54).line(-0.19, 0.54).cubic([-0.19, 0.72], [-0.16, 0.88], [0.0, 0.80]);
        o.cubic([-0.10, 0.92], [-0.19, 0.88], [-0.21, 0.80]).cubic([-0.23, 0.88], [-0.32, 0.92], [-0.42, 0.80]);
        o.cubic([-0.26, 0.88], [-0.23, 0.72], [-0.23, 0.54]).close();
    });
    // Tail and body in one sweep, cut off by the water.
    pen.fill(Paint::vertical(0.50, pen.lit(hue), 0.0, mix(pen.shade(hue), pen.lit(hue), 0.25)), |o| {
        o.start(-0.56, 0.0).cubic([-0.62, 0.34], [-0.44, 0.56], [-0.18, 0.56]);
        o.cubic([0.08, 0.56], [0.18, 0.24], [0.30, 0.24]).cubic([0.37, 0.24], [0.40, 0.34], [0.39, 0.44]);
        o.cubic([0.32, 0.44], [0.24, 0.50], [0.22, 0.62]).cubic([0.32, 0.64], [0.38, 0.58], [0.42, 0.53]);
        o.cubic([0.46, 0.60], [0.52, 0.64], [0.58, 0.62]).cubic([0.58, 0.52], [0.54, 0.45], [0.47, 0.43]);
        o.cubic([0.52, 0.18], [0.46, 0.04], [0.38, 0.0]).close();
    });
    // Belly with the smile's line over it.
    let pale = mix(hue, [1.0, 1.0, 1.0], 0.72);
    let pale = if hue[1] > 0.9 && hue[2] > 0.9 { hex(0xcfd9e6) } else { pale };
    pen.fill(pen.lit(pale), |o| {
        o.start(-0.56, 0.0).quad(-0.57, 0.12, -0.55, 0.20).cubic([-0.40, 0.10], [-0.16, 0.14], [0.0, 0.0]).close();
    });
    // Eye and cheek.
    pen.fill([1.0; 3], |o| {
        o.circle(-0.36, 0.285, 0.052);
    });
    pen.fill(hex(0x20243a), |o| {
        o.circle(-0.37, 0.285, 0.034);
    });
    let foam = ink(mix(pen.lit([1.0; 3]), pen.light.sky[2], 0.15), 0.9);
    pen.glaze(foam, |o| {
        o.start(-0.60, -0.005)
            .quad(-0.46, 0.055, -0.30, 0.0)
            .quad(-0.14, 0.05, 0.02, 0.0)
            .quad(0.16, 0.05, 0.28, 0.0)
            .quad(0.40, 0.05, 0.48, -0.005);
        o.quad(0.0, -0.06, -0.60, -0.005).close();
    });
}
