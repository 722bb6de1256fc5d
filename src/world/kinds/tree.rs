//! A round tree: a full crown on a forked trunk.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Pen, hex, ink, mix};

pub(super) const INFO: KindInfo = KindInfo {
    label: "tree",
    synonyms: &["round tree", "leafy tree"],
    habitat: Habitat::Land,
    half_width: 0.44,
    height: 1.06,
    tilts: false,
    draw,
};

fn draw(pen: &mut Pen) {
    let bark = hex(0x80573a);
    pen.fill(pen.round(bark, 0.0, 0.1), |o| {
        o.start(-0.12, 0.0).quad(-0.06, 0.06, -0.06, 0.40).line(0.06, 0.40).quad(0.06, 0.06, 0.12, 0.0).close();
    });
    pen.fill(pen.lit(bark), |o| {
        o.polygon(&[[-0.05, 0.26], [-0.04, 0.19], [-0.24, 0.42], [-0.18, 0.45]]);
        o.polygon(&[[0.04, 0.16], [0.05, 0.24], [0.19, 0.45], [0.25, 0.41]]);
    });
    let hue = pen.hue;
    pen.fill(pen.ball(hue, 0.0, 0.66, 0.42), |o| {
        o.circle(0.0, 0.72, 0.34);
        o.circle(-0.22, 0.56, 0.22);
        o.circle(0.22, 0.56, 0.22);
        o.circle(0.0, 0.52, 0.22);
    });
    // Three tufts in the light.
    let tuft = ink(mix(pen.lit(hue), [1.0; 3], 0.28), 0.9);
    for (x, y, w) in [(0.04, 0.86, 0.10), (0.19, 0.70, 0.09), (-0.10, 0.70, 0.09)] {
        let x = pen.sun * x;
        pen.fill(tuft, |o| {
            o.start(x - w, y - 0.02).quad(x, y + 0.10, x + w, y - 0.02).quad(x, y + 0.045, x - w, y - 0.02).close();
        });
    }
    if pen.snowy {
        pen.fill(pen.lit([0.97, 0.98, 1.0]), |o| {
            o.start(-0.24, 0.95).cubic([-0.13, 1.09], [0.13, 1.09], [0.24, 0.95]);
            o.quad(0.16, 0.88, 0.10, 0.93).quad(0.02, 0.85, -0.06, 0.92).quad(-0.16, 0.87, -0.24, 0.95).close();
        });
    }
}
