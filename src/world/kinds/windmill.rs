//! A windmill: tapered tower, cap, four broad sails.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Pen, hex, mix, scaled};
use crate::world::outline::rotation;

pub(super) const INFO: KindInfo =
    KindInfo { label: "windmill", synonyms: &["mill"], habitat: Habitat::Land, half_width: 0.46, height: 1.14, tilts: false, draw };

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    pen.fill(pen.round(hue, 0.0, 0.3), |o| {
        o.polygon(&[[-0.35, 0.0], [0.35, 0.0], [0.22, 0.70], [-0.22, 0.70]]);
    });
    let cap = scaled(mix(hue, hex(0x5a3b34), 0.25), 0.78);
    pen.fill(pen.round(cap, 0.0, 0.24), |o| {
        o.start(-0.26, 0.68)
            .line(0.26, 0.68)
            .cubic([0.24, 0.87], [0.09, 0.95], [0.0, 0.95])
            .cubic([-0.09, 0.95], [-0.24, 0.87], [-0.26, 0.68])
            .close();
    });
    pen.fill(pen.lit(hex(0x6b4226)), |o| {
        o.arch(0.0, 0.0, 0.09, 0.25);
    });
    pen.fill(pen.lit(hex(0xfff6e6)), |o| {
        o.circle(0.0, 0.42, 0.078);
    });
    pen.fill(pen.window(), |o| {
        o.circle(0.0, 0.42, 0.053);
    });
    // Sails: a brown arm with a cream cloth on one side of it.
    let (cloth, wood) = (pen.lit(hex(0xfbf1da)), pen.lit(hex(0x7a5233)));
    let (hub_x, hub_y) = (0.0, 0.72);
    for quarter in 0..4 {
        let (c, s) = rotation(0.24);
        let (c, s) = match quarter {
            0 => (c, s),
            1 => (-s, c),
            2 => (-c, -s),
            _ => (s, -c),
        };
        let at = |along: f32, across: f32| [hub_x + along * c - across * s, hub_y + along * s + across * c];
        pen.fill(cloth, |o| {
            o.polygon(&[at(0.12, 0.0), at(0.45, 0.0), at(0.45, 0.15), at(0.12, 0.11)]);
        });
        pen.fill(wood, |o| {
            o.polygon(&[at(0.0, -0.025), at(0.47, -0.02), at(0.47, 0.02), at(0.0, 0.025)]);
        });
    }
    pen.fill(pen.lit(hex(0x5a3b24)), |o| {
        o.circle(hub_x, hub_y, 0.055);
    });
}
