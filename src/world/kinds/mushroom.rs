//! A toadstool: a domed, spotted cap on a pale stem.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Pen, hex, mix};

pub(super) const INFO: KindInfo =
    KindInfo { label: "mushroom", synonyms: &["toadstool"], habitat: Habitat::Land, half_width: 0.50, height: 0.92, tilts: false, draw };

fn draw(pen: &mut Pen) {
    let cream = hex(0xfbeed6);
    pen.fill(pen.round(cream, 0.0, 0.2), |o| {
        o.start(-0.19, 0.02).quad(0.0, -0.03, 0.19, 0.02).cubic([0.14, 0.16], [0.12, 0.30], [0.13, 0.46]);
        o.line(-0.13, 0.46).cubic([-0.12, 0.30], [-0.14, 0.16], [-0.19, 0.02]).close();
    });
    // Gills under the rim, then the cap.
    pen.fill(pen.shade(mix(cream, hex(0xc9a58a), 0.6)), |o| {
        o.ellipse(0.0, 0.42, 0.44, 0.085);
    });
    let hue = pen.hue;
    pen.fill(pen.ball(hue, 0.0, 0.52, 0.48), |o| {
        o.start(-0.50, 0.43).cubic([-0.50, 0.76], [-0.26, 0.92], [0.0, 0.92]).cubic([0.26, 0.92], [0.50, 0.76], [0.50, 0.43]);
        o.cubic([0.48, 0.37], [0.36, 0.38], [0.30, 0.40])
            .quad(0.0, 0.47, -0.30, 0.40)
            .cubic([-0.36, 0.38], [-0.48, 0.37], [-0.50, 0.43])
            .close();
    });
    let white = hue[2] > 0.9 && hue[1] > 0.9;
    let spot = if white { hex(0xc9b39c) } else { hex(0xfffaf0) };
    for (x, y, rx, ry) in [(0.03, 0.76, 0.10, 0.075), (-0.26, 0.59, 0.085, 0.075), (0.28, 0.56, 0.085, 0.08), (0.01, 0.54, 0.06, 0.05)] {
        pen.fill(pen.lit(spot), |o| {
            o.ellipse(x, y, rx, ry);
        });
    }
}
