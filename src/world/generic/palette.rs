//! Colours that go together, as they do in photographs: mostly muted, spread along light and along yellow to blue.

use crate::world::canvas::Rgb;
use crate::world::dice::Dice;

/// Lightness, yellow against blue, red against green: the axes along which colours of natural pictures vary, in this order of
/// strength (Ruderman, Cronin and Chiao 1998, J. Opt. Soc. Am. A 15).
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    middle: [f32; 3],
    spread: [f32; 3],
}

impl Palette {
    /// Draws a palette: muted, strong or nearly grey.
    pub fn sample(dice: &mut Dice) -> Self {
        let strength = dice.weighted(&[(0.5, 0.22), (1.0, 0.36), (2.2, 0.3), (4.0, 0.12)]);
        let middle = [dice.range(0.25, 0.75), strength * 0.16 * centred(dice), strength * 0.08 * centred(dice)];
        let spread = [dice.range(0.25, 0.6), strength * dice.range(0.05, 0.35), strength * dice.range(0.03, 0.25)];
        Self { middle, spread }
    }

    /// A colour of it, in 0..1.
    pub fn color(&self, dice: &mut Dice) -> Rgb {
        let [light, yellow, red] = [0, 1, 2].map(|axis| self.middle[axis] + self.spread[axis] * centred(dice));
        rgb(light, yellow, red)
    }

    /// Two colours of it that differ in lightness by at least `apart`.
    pub fn pair(&self, dice: &mut Dice, apart: f32) -> [Rgb; 2] {
        let (a, b) = (self.color(dice), self.color(dice));
        let light = |c: Rgb| (c[0] + c[1] + c[2]) / 3.0;
        let missing = apart - (light(a) - light(b)).abs();
        if missing <= 0.0 {
            return [a, b];
        }
        let (towards, a_up) = (0.5 * missing + 0.02, light(a) > light(b));
        // Where one end is at the limit, the other one moves the whole way.
        let shifted = |c: Rgb, up: bool, by: f32| c.map(|v| (if up { v + by } else { v - by }).clamp(0.0, 1.0));
        let room = |c: Rgb, up: bool| if up { 1.0 - light(c) } else { light(c) };
        let (by_a, by_b) = if room(a, a_up) < towards {
            (0.0, 2.0 * towards)
        } else if room(b, !a_up) < towards {
            (2.0 * towards, 0.0)
        } else {
            (towards, towards)
        };
        [shifted(a, a_up, by_a), shifted(b, !a_up, by_b)]
    }
}

/// Between -1 and 1, mostly near 0: the sum of two uniform draws.
pub(super) fn centred(dice: &mut Dice) -> f32 {
    dice.unit() + dice.unit() - 1.0
}

/// From the three axes to red, green and blue in 0..1.
fn rgb(light: f32, yellow: f32, red: f32) -> Rgb {
    let warm = light + yellow / 3.0;
    [warm + 0.5 * red, warm - 0.5 * red, light - 2.0 * yellow / 3.0].map(|v| v.clamp(0.0, 1.0))
}
