//! The palette of each time of day.

use super::attributes::{Ground, Time};
use super::canvas::{Rgb, hex, mix, scaled, times};

/// Colours of the sky and of the light that falls on things.
pub(super) struct Light {
    pub time: Time,
    /// Sky at the top, in the middle, at the horizon.
    pub sky: [Rgb; 3],
    /// Disc of the sun or moon.
    pub disc: Rgb,
    /// Halo around it.
    pub halo: Rgb,
    /// Clouds: lit upper side, shaded lower side.
    pub cloud: [Rgb; 2],
    /// Mountains: body lit, body shaded, cap lit, cap shaded.
    pub mountain: [Rgb; 4],
    /// Shadows on the ground.
    pub shadow: Rgb,
    /// Opacity of shadows.
    pub shadow_alpha: f32,
    /// Length of a shadow, in half widths of what casts it.
    pub shadow_length: f32,
    /// Window panes.
    pub window: Rgb,
    /// Whether lamps are on.
    pub lamps: bool,
    key: Rgb,
    ambient: Rgb,
}

impl Light {
    /// The light at `time`.
    pub fn of(time: Time) -> Self {
        match time {
            Time::Day => Self {
                time,
                sky: [hex(0x3f93e6), hex(0x86c6f4), hex(0xdcf2fb)],
                disc: hex(0xffe866),
                halo: hex(0xfff6c0),
                cloud: [hex(0xffffff), hex(0xdfeefa)],
                mountain: [hex(0x93add6), hex(0x7490c2), hex(0xffffff), hex(0xd7e4f5)],
                shadow: hex(0x24405e),
                shadow_alpha: 0.34,
                shadow_length: 1.15,
                window: hex(0xbfe6fa),
                lamps: false,
                key: [1.0, 1.0, 1.0],
                ambient: [0.78, 0.78, 0.85],
            },
            Time::Sunset => Self {
                time,
                sky: [hex(0x574797), hex(0xe77c8c), hex(0xffc56e)],
                disc: hex(0xfff0a0),
                halo: hex(0xffd884),
                cloud: [hex(0xffc9a8), hex(0xe0899c)],
                mountain: [hex(0x9a6a9c), hex(0x7c5590), hex(0xffd6bf), hex(0xd79bb0)],
                shadow: hex(0x4b2a5c),
                shadow_alpha: 0.40,
                shadow_length: 2.1,
                window: hex(0xffe08a),
                lamps: true,
                key: [1.03, 0.94, 0.87],
                ambient: [0.78, 0.66, 0.73],
            },
            Time::Night => Self {
                time,
                sky: [hex(0x0d1740), hex(0x1f3170), hex(0x4459a2)],
                disc: hex(0xfbf6dc),
                halo: hex(0xb9c6f2),
                cloud: [hex(0x6f7fb8), hex(0x4b5b99)],
                mountain: [hex(0x3a4c8c), hex(0x2b3a74), hex(0xa3b2e0), hex(0x7484bd)],
                shadow: hex(0x060b26),
                shadow_alpha: 0.42,
                shadow_length: 1.2,
                window: hex(0xffd95a),
                lamps: true,
                key: [0.92, 0.90, 0.98],
                ambient: [0.66, 0.65, 0.80],
            },
        }
    }

    /// A surface in the full light.
    pub fn lit(&self, rgb: Rgb) -> Rgb {
        times(rgb, self.key).map(|v| v.min(1.0))
    }

    /// The same surface turned away from it.
    pub fn shaded(&self, rgb: Rgb) -> Rgb {
        times(rgb, self.ambient)
    }

    /// Colour of the sky at height `y` above a horizon: three stops, 0, 0.55 and 1 of the way down.
    pub fn sky_at(&self, y: f32, horizon: f32) -> Rgb {
        let t = (y / horizon).clamp(0.0, 1.0);
        if t < 0.55 { mix(self.sky[0], self.sky[1], t / 0.55) } else { mix(self.sky[1], self.sky[2], (t - 0.55) / 0.45) }
    }

    /// The ground: far, near, and a layer between them in shade.
    pub fn ground(&self, ground: Ground) -> [Rgb; 3] {
        let [far, near] = match (ground, self.time) {
            (Ground::Meadow, Time::Day) => [hex(0xa6d95c), hex(0x57ad48)],
            (Ground::Meadow, Time::Sunset) => [hex(0xb9b254), hex(0x5f8a42)],
            (Ground::Meadow, Time::Night) => [hex(0x33745c), hex(0x1c4f48)],
            (Ground::Sea, Time::Day) => [hex(0x6ccbe8), hex(0x1f74c4)],
            (Ground::Sea, Time::Sunset) => [hex(0xf5a67c), hex(0x6c4c96)],
            (Ground::Sea, Time::Night) => [hex(0x3d5a9c), hex(0x152660)],
            (Ground::Desert, Time::Day) => [hex(0xf9e2a4), hex(0xe4b768)],
            (Ground::Desert, Time::Sunset) => [hex(0xf6b06c), hex(0xbf6850)],
            (Ground::Desert, Time::Night) => [hex(0x8a7a92), hex(0x584e70)],
            (Ground::Snow, Time::Day) => [hex(0xffffff), hex(0xd4e6f7)],
            (Ground::Snow, Time::Sunset) => [hex(0xfde0d6), hex(0xcfa8ca)],
            (Ground::Snow, Time::Night) => [hex(0x9fb0de), hex(0x6778b8)],
        };
        [far, near, scaled(mix(far, near, 0.6), 0.93)]
    }

    /// Mountains before a ground: warm rock behind the desert.
    pub fn mountains(&self, ground: Ground) -> [Rgb; 4] {
        let [lit, shade, cap, cap_shade] = self.mountain;
        if ground != Ground::Desert {
            return [lit, shade, cap, cap_shade];
        }
        let rock = self.lit(hex(0xd3936a));
        let dark = self.lit(hex(0xb5745a));
        [rock, dark, mix(rock, self.lit(hex(0xf3cfa0)), 0.8), mix(dark, self.lit(hex(0xe3b48a)), 0.6)]
    }
}
