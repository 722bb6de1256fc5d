//! A pine: three tiers over a short trunk; snow on its branches in winter.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Pen, hex};

pub(super) const INFO: KindInfo = KindInfo {
    label: "pine",
    synonyms: &["pine tree", "fir tree"],
    habitat: Habitat::Land,
    half_width: 0.40,
    height: 1.14,
    tilts: false,
    draw,
};

fn draw(pen: &mut Pen) {
    pen.fill(pen.round(hex(0x7d5536), 0.0, 0.08), |o| {
        o.rect(-0.07, 0.0, 0.07, 0.24);
    });
    let hue = pen.hue;
    for (base, top, half) in [(0.16, 0.66, 0.40), (0.44, 0.90, 0.32), (0.70, 1.14, 0.23)] {
        let tier = |o: &mut crate::world::outline::Outline| {
            o.start(0.0, top).quad(-0.32 * half, base + 0.30 * (top - base), -half, base + 0.03);
            o.quad(-0.5 * half, base - 0.055, 0.0, base - 0.045).quad(0.5 * half, base - 0.055, half, base + 0.03);
            o.quad(0.32 * half, base + 0.30 * (top - base), 0.0, top).close();
        };
        pen.fill(pen.round(hue, 0.0, 0.9 * half), tier);
        if pen.snowy {
            let mid = base + 0.58 * (top - base);
            let w = 0.24 * half + 0.02;
            pen.fill(pen.lit([0.97, 0.98, 1.0]), |o| {
                o.polygon(&[[0.0, top], [-w, mid], [-0.35 * w, mid + 0.035], [0.1 * w, mid - 0.04], [0.5 * w, mid + 0.03], [w, mid]]);
            });
        } else {
            // The tier's own shadow on the next one below.
            let shade = pen.shade(hue);
            pen.fill(crate::world::canvas::ink(shade, 0.7), |o| {
                o.start(-half, base + 0.03).quad(-0.5 * half, base - 0.055, 0.0, base - 0.045);
                o.quad(0.5 * half, base - 0.055, half, base + 0.03).quad(0.0, base + 0.05, -half, base + 0.03).close();
            });
        }
    }
}
