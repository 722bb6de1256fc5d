//! A sailing boat: wooden hull, mainsail and jib, pennant, bow wave.

use super::{Habitat, KindInfo};
use crate::world::canvas::{Paint, Pen, hex, ink, mix, scaled};

pub(super) const INFO: KindInfo = KindInfo {
    label: "boat",
    synonyms: &["sailing boat", "sailboat"],
    habitat: Habitat::Sea,
    half_width: 0.52,
    height: 1.12,
    tilts: false,
    draw,
};

fn draw(pen: &mut Pen) {
    let hue = pen.hue;
    let water = mix(pen.light.shadow, pen.shade(hue), 0.5);
    pen.glaze(Paint::vertical(0.02, ink(water, 0.5), -0.16, ink(water, 0.0)), |o| {
        o.polygon(&[[-0.46, 0.03], [0.46, 0.03], [0.26, -0.16], [-0.30, -0.16]]);
    });
    pen.fill(pen.lit(hex(0x6e4a30)), |o| {
        o.rect(-0.02, 0.2, 0.02, 1.10);
    });
    pen.fill(pen.lit(hex(0xf26b4f)), |o| {
        o.polygon(&[[0.02, 1.12], [-0.17, 1.07], [0.02, 1.02]]);
    });
    // Mainsail, bellied, and jib.
    let (lit, shade) = (pen.lit(hue), pen.shade(hue));
    let (a, b) = if pen.sun > 0.0 { (shade, lit) } else { (lit, shade) };
    pen.fill(Paint::horizontal(-0.40, mix(a, lit, 0.4), -0.02, mix(b, lit, 0.4)), |o| {
        o.start(-0.035, 1.0).quad(-0.34, 0.66, -0.44, 0.30).quad(-0.22, 0.25, -0.035, 0.30).close();
    });
    pen.fill(mix(shade, lit, 0.25), |o| {
        o.start(0.04, 0.90).quad(0.30, 0.60, 0.40, 0.30).quad(0.20, 0.27, 0.04, 0.30).close();
    });
    let hull = hex(0x8a5a3a);
    pen.fill(Paint::vertical(0.25, pen.lit(hull), 0.0, pen.shade(scaled(hull, 0.9))), |o| {
        o.start(-0.50, 0.24)
            .line(0.52, 0.24)
            .cubic([0.46, 0.10], [0.38, 0.02], [0.30, 0.0])
            .line(-0.34, 0.0)
            .quad(-0.46, 0.06, -0.50, 0.24)
            .close();
    });
    pen.fill(pen.lit(hex(0xfdf3df)), |o| {
        o.polygon(&[[-0.50, 0.24], [0.52, 0.24], [0.49, 0.175], [-0.485, 0.175]]);
    });
    let foam = ink(mix(pen.lit([1.0; 3]), pen.light.sky[2], 0.15), 0.9);
    pen.glaze(foam, |o| {
        o.start(-0.50, -0.005)
            .quad(-0.36, 0.05, -0.22, 0.0)
            .quad(-0.08, 0.05, 0.06, 0.0)
            .quad(0.20, 0.05, 0.32, 0.0)
            .quad(0.42, 0.05, 0.52, -0.005);
        o.quad(0.0, -0.055, -0.50, -0.005).close();
    });
}
