//! Colours, type and measures: the one place where colours are made.
//!
//! Colour means something here: each symbol of the mathematics (signal, noise, conditional, unconditional, guided) has one
//! colour everywhere, and the chrome is neutral so that nothing competes with it. Text meets WCAG 2.1 contrast AA (4.5:1) on
//! every surface it is set on, which a test measures.

use egui::{Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke, TextStyle, Vec2};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Dark for the screen, light for bright rooms and print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeChoice {
    /// Light on dark.
    #[default]
    Dark,
    /// Dark on light.
    Light,
}

impl ThemeChoice {
    /// All choices.
    pub const ALL: [Self; 2] = [Self::Dark, Self::Light];

    /// Name on screen.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dark => "Dark",
            Self::Light => "Light",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Dark => Self::Light,
            Self::Light => Self::Dark,
        }
    }
}

/// What a symbol stands for; decides its colour in equations, plots, sliders and captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// No role of its own: operators, x_t.
    Plain,
    /// Numbers and remarks that stand back.
    Quiet,
    /// The clean picture x0 and its share.
    Signal,
    /// The noise eps and its share.
    Noise,
    /// The prediction under the prompt.
    Conditional,
    /// The prediction without (or against) the prompt.
    Unconditional,
    /// The guided combination.
    Guided,
}

impl Symbol {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Plain, Self::Quiet, Self::Signal, Self::Noise, Self::Conditional, Self::Unconditional, Self::Guided];
}

/// The colours of one theme.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Palette {
    /// Behind the pictures.
    pub ground: Color32,
    /// Bars and panels.
    pub panel: Color32,
    /// Controls at rest.
    pub raised: Color32,
    /// Controls under the pointer.
    pub hover: Color32,
    /// Hairlines.
    pub line: Color32,
    /// Text and symbols without a role.
    pub text: Color32,
    /// Captions and secondary text.
    pub dim: Color32,
    /// What is chosen or primary.
    pub accent: Color32,
    /// Text on `accent`.
    pub on_accent: Color32,
    /// Failures.
    pub danger: Color32,
    signal: Color32,
    noise: Color32,
    conditional: Color32,
    unconditional: Color32,
    guided: Color32,
    /// One hue for each noise schedule.
    pub schedules: [Color32; 8],
    /// The lanes of a race.
    pub lanes: [Color32; 6],
    /// Diverging scale: most negative, negative, zero, positive, most positive.
    diverging: [[f32; 3]; 5],
    shade: Color32,
}

const DARK: Palette = Palette {
    ground: Color32::from_rgb(11, 13, 17),
    panel: Color32::from_rgb(18, 21, 27),
    raised: Color32::from_rgb(31, 36, 44),
    hover: Color32::from_rgb(43, 50, 61),
    line: Color32::from_rgb(42, 48, 58),
    text: Color32::from_rgb(237, 240, 245),
    dim: Color32::from_rgb(160, 171, 186),
    accent: Color32::from_rgb(237, 240, 245),
    on_accent: Color32::from_rgb(15, 18, 23),
    danger: Color32::from_rgb(255, 128, 118),
    signal: Color32::from_rgb(214, 154, 33),
    noise: Color32::from_rgb(61, 151, 238),
    conditional: Color32::from_rgb(99, 228, 139),
    unconditional: Color32::from_rgb(253, 200, 245),
    guided: Color32::from_rgb(242, 88, 150),
    schedules: [
        Color32::from_rgb(112, 145, 166),
        Color32::from_rgb(214, 86, 255),
        Color32::from_rgb(55, 251, 153),
        Color32::from_rgb(168, 153, 0),
        Color32::from_rgb(213, 151, 89),
        Color32::from_rgb(90, 193, 248),
        Color32::from_rgb(255, 188, 220),
        Color32::from_rgb(247, 255, 226),
    ],
    lanes: [
        Color32::from_rgb(247, 178, 61),
        Color32::from_rgb(44, 169, 233),
        Color32::from_rgb(211, 106, 166),
        Color32::from_rgb(90, 231, 152),
        Color32::from_rgb(215, 205, 255),
        Color32::from_rgb(225, 110, 70),
    ],
    diverging: [[0.55, 0.80, 1.0], [0.16, 0.42, 0.78], [0.075, 0.085, 0.105], [0.80, 0.36, 0.10], [1.0, 0.80, 0.52]],
    shade: Color32::from_black_alpha(150),
};

const LIGHT: Palette = Palette {
    ground: Color32::from_rgb(243, 244, 246),
    panel: Color32::from_rgb(255, 255, 255),
    raised: Color32::from_rgb(233, 235, 239),
    hover: Color32::from_rgb(221, 225, 231),
    line: Color32::from_rgb(211, 215, 222),
    text: Color32::from_rgb(20, 24, 31),
    dim: Color32::from_rgb(82, 91, 105),
    accent: Color32::from_rgb(28, 33, 42),
    on_accent: Color32::from_rgb(255, 255, 255),
    danger: Color32::from_rgb(180, 32, 32),
    signal: Color32::from_rgb(132, 100, 0),
    noise: Color32::from_rgb(20, 54, 103),
    conditional: Color32::from_rgb(49, 115, 100),
    unconditional: Color32::from_rgb(139, 66, 202),
    guided: Color32::from_rgb(98, 6, 22),
    schedules: [
        Color32::from_rgb(0, 21, 35),
        Color32::from_rgb(54, 28, 134),
        Color32::from_rgb(14, 114, 73),
        Color32::from_rgb(78, 46, 0),
        Color32::from_rgb(177, 61, 0),
        Color32::from_rgb(100, 88, 196),
        Color32::from_rgb(176, 42, 140),
        Color32::from_rgb(75, 64, 76),
    ],
    lanes: [
        Color32::from_rgb(151, 85, 0),
        Color32::from_rgb(0, 97, 221),
        Color32::from_rgb(160, 17, 109),
        Color32::from_rgb(12, 110, 64),
        Color32::from_rgb(72, 33, 154),
        Color32::from_rgb(115, 18, 14),
    ],
    diverging: [[0.02, 0.19, 0.42], [0.30, 0.58, 0.82], [0.97, 0.97, 0.97], [0.93, 0.56, 0.32], [0.48, 0.12, 0.02]],
    shade: Color32::from_black_alpha(40),
};

impl Palette {
    /// The palette of a theme.
    pub const fn of(choice: ThemeChoice) -> &'static Self {
        match choice {
            ThemeChoice::Dark => &DARK,
            ThemeChoice::Light => &LIGHT,
        }
    }

    /// The colour of a symbol.
    pub const fn symbol(&self, symbol: Symbol) -> Color32 {
        match symbol {
            Symbol::Plain => self.text,
            Symbol::Quiet => self.dim,
            Symbol::Signal => self.signal,
            Symbol::Noise => self.noise,
            Symbol::Conditional => self.conditional,
            Symbol::Unconditional => self.unconditional,
            Symbol::Guided => self.guided,
        }
    }

    /// The diverging scale at `value` in -1..1 (clamped): blue below zero, the ground at zero, orange above.
    /// Not-a-number is shown as the failure colour, never hidden.
    pub fn diverging(&self, value: f32) -> Color32 {
        if value.is_nan() {
            return self.danger;
        }
        let position = (value.clamp(-1.0, 1.0) + 1.0) * 2.0;
        let low = (position.floor() as usize).min(3);
        let share = position - low as f32;
        let [a, b] = [self.diverging[low], self.diverging[low + 1]];
        let channel = |i: usize| ((a[i] + (b[i] - a[i]) * share) * 255.0).round() as u8;
        Color32::from_rgb(channel(0), channel(1), channel(2))
    }

    /// From signal at 0 to noise at 1, through a lighter middle so that it does not turn to mud.
    pub fn fade(&self, share: f32) -> Color32 {
        let middle = Self::mix(self.raised, self.dim, 0.45);
        Self::mix(Self::mix(self.signal, self.noise, share), middle, 1.6 * share * (1.0 - share))
    }

    /// The darker or the lighter ink, whichever stands out more on `ground`.
    pub fn over(&self, ground: Color32) -> Color32 {
        let luminance = |c: Color32| {
            let [r, g, b, _] = egui::Rgba::from(c).to_array();
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let contrast = |ink: Color32| {
            let (a, b) = (luminance(ink), luminance(ground));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        if contrast(self.accent) >= contrast(self.on_accent) { self.accent } else { self.on_accent }
    }

    /// `a` and `b` mixed, `share` of `b`.
    pub fn mix(a: Color32, b: Color32, share: f32) -> Color32 {
        let share = share.clamp(0.0, 1.0);
        let channel = |x: u8, y: u8| (f32::from(x) + (f32::from(y) - f32::from(x)) * share).round() as u8;
        Color32::from_rgb(channel(a.r(), b.r()), channel(a.g(), b.g()), channel(a.b(), b.b()))
    }

    /// `color` at a share of its opacity.
    pub fn faint(color: Color32, opacity: f32) -> Color32 {
        color.gamma_multiply(opacity)
    }
}

/// How long things take to appear, in seconds.
pub const FADE_SECS: f32 = 0.12;

/// Nothing.
pub const NO_INK: Color32 = Color32::TRANSPARENT;

/// White paper, behind figures.
pub const PAPER: Color32 = Color32::WHITE;

/// Multiplies a texture by one: shows it as it is.
pub const UNTINTED: Color32 = Color32::WHITE;

/// A share of a pixel that is covered by ink, to be multiplied by the ink's colour: a little more than its area, as text is drawn.
pub fn coverage(share: u8) -> Color32 {
    let share = f32::from(share) / 255.0;
    Color32::from_white_alpha(((2.0 * share - share * share) * 255.0).round() as u8)
}

/// Opaque grey-level or colour pixel of a picture, each channel in 0..1 (clamped).
pub fn pixel(r: f32, g: f32, b: f32) -> Color32 {
    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    Color32::from_rgb(byte(r), byte(g), byte(b))
}

/// Weight of the one typeface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Running text.
    Regular,
    /// Controls and numbers.
    Medium,
    /// Headings.
    SemiBold,
    /// Symbols in equations.
    Italic,
}

const FACES: [(&str, &[u8]); 4] = [
    ("regular", include_bytes!("../../assets/fonts/InterTabular-Regular.otf")),
    ("medium", include_bytes!("../../assets/fonts/InterTabular-Medium.otf")),
    ("semibold", include_bytes!("../../assets/fonts/InterTabular-SemiBold.otf")),
    ("italic", include_bytes!("../../assets/fonts/InterTabular-Italic.otf")),
];

impl Weight {
    fn family(self) -> FontFamily {
        match self {
            Self::Regular => FontFamily::Proportional,
            Self::Medium => FontFamily::Name("medium".into()),
            Self::SemiBold => FontFamily::Name("semibold".into()),
            Self::Italic => FontFamily::Name("italic".into()),
        }
    }
}

/// Registers the typeface; egui's own fonts stay behind it for glyphs that it lacks.
pub fn install_fonts(ctx: &egui::Context) {
    let mut fonts = FontDefinitions::default();
    let fallback = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    for (name, bytes) in FACES {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
        let family = if name == "regular" { FontFamily::Proportional } else { FontFamily::Name(name.into()) };
        let mut chain = vec![name.to_owned()];
        chain.extend(fallback.iter().cloned());
        fonts.families.insert(family, chain);
    }
    if let Some(chain) = fonts.families.get_mut(&FontFamily::Monospace) {
        chain.insert(0, "regular".to_owned());
    }
    ctx.set_fonts(fonts);
}

/// A palette and a scale: everything a widget needs to look right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Theme {
    /// Dark or light.
    pub choice: ThemeChoice,
    /// Size of one design unit in points; grows with the window.
    pub scale: f32,
}

impl Theme {
    /// The theme for a window of `size` points, enlarged by `zoom`. The design is drawn at 1400 x 860 and scales from 0.84 to 3.
    pub fn for_window(choice: ThemeChoice, size: Vec2, zoom: f32) -> Self {
        let raw = (size.x / 1400.0).min(size.y / 860.0);
        Self { choice, scale: ((raw * 50.0).round() / 50.0).clamp(0.84, 3.0) * zoom }
    }

    /// Its colours.
    pub const fn palette(&self) -> &'static Palette {
        Palette::of(self.choice)
    }

    /// `units` of the design in points, on whole points.
    pub fn px(&self, units: f32) -> f32 {
        (units * self.scale).round().max(units.signum())
    }

    /// A font of `size` design units.
    pub fn font(&self, weight: Weight, size: f32) -> FontId {
        FontId::new((size * self.scale * 4.0).round() / 4.0, weight.family())
    }

    /// Running text.
    pub fn body(&self) -> FontId {
        self.font(Weight::Regular, 15.0)
    }

    /// Captions.
    pub fn small(&self) -> FontId {
        self.font(Weight::Regular, 13.0)
    }

    /// Rounded corners of controls.
    pub fn radius(&self) -> CornerRadius {
        CornerRadius::same(self.px(7.0).min(255.0) as u8)
    }

    /// A hairline.
    pub fn hairline(&self) -> Stroke {
        Stroke::new(1.0, self.palette().line)
    }

    /// A margin of `units` all round.
    pub fn margin(&self, units: f32) -> Margin {
        Margin::same(self.px(units).min(127.0) as i8)
    }

    /// A margin of `x` at the sides and `y` above and below.
    pub fn margin_xy(&self, x: f32, y: f32) -> Margin {
        Margin::symmetric(self.px(x).min(127.0) as i8, self.px(y).min(127.0) as i8)
    }

    /// The egui style that follows from this theme.
    pub fn style(&self) -> egui::Style {
        let p = self.palette();
        let mut style = egui::Style {
            text_styles: [
                (TextStyle::Small, self.small()),
                (TextStyle::Body, self.body()),
                (TextStyle::Button, self.font(Weight::Medium, 14.0)),
                (TextStyle::Heading, self.font(Weight::SemiBold, 21.0)),
                (TextStyle::Monospace, self.body()),
            ]
            .into(),
            animation_time: FADE_SECS,
            ..Default::default()
        };
        style.spacing.item_spacing = Vec2::new(self.px(8.0), self.px(7.0));
        style.spacing.button_padding = Vec2::new(self.px(11.0), self.px(6.0));
        style.spacing.interact_size = Vec2::new(self.px(34.0), self.px(32.0));
        style.spacing.slider_width = self.px(160.0);
        style.spacing.slider_rail_height = self.px(5.0);
        style.spacing.icon_width = self.px(18.0);
        style.spacing.icon_width_inner = self.px(10.0);
        style.spacing.combo_width = self.px(120.0);
        style.spacing.tooltip_width = self.px(340.0);
        style.spacing.menu_margin = self.margin(8.0);
        style.spacing.window_margin = self.margin(12.0);
        // What scrolls shows that it does.
        style.spacing.scroll =
            egui::style::ScrollStyle { floating_width: 4.0, dormant_handle_opacity: 0.6, ..egui::style::ScrollStyle::floating() };
        style.interaction.selectable_labels = false;
        style.interaction.tooltip_delay = 0.35;

        let mut v = if self.choice == ThemeChoice::Dark { egui::Visuals::dark() } else { egui::Visuals::light() };
        v.panel_fill = p.panel;
        v.window_fill = p.panel;
        v.extreme_bg_color = p.ground;
        v.faint_bg_color = p.raised;
        v.code_bg_color = p.raised;
        v.text_edit_bg_color = Some(p.raised);
        v.window_stroke = self.hairline();
        v.window_corner_radius = self.radius();
        v.menu_corner_radius = self.radius();
        v.hyperlink_color = p.text;
        v.weak_text_color = Some(p.dim);
        v.warn_fg_color = p.danger;
        v.error_fg_color = p.danger;
        v.selection.bg_fill = Palette::mix(p.raised, p.accent, 0.28);
        v.selection.stroke = Stroke::new(1.5, p.text);
        v.text_cursor.stroke = Stroke::new(2.0, p.accent);
        v.text_cursor.blink = false;
        v.slider_trailing_fill = true;
        v.handle_shape = egui::style::HandleShape::Circle;
        let shadow = Shadow { offset: [0, self.px(4.0) as i8], blur: self.px(16.0).min(255.0) as u8, spread: 0, color: p.shade };
        v.popup_shadow = shadow;
        v.window_shadow = shadow;
        let widgets = &mut v.widgets;
        for (w, fill, stroke, ink) in [
            (&mut widgets.noninteractive, p.panel, self.hairline(), p.text),
            (&mut widgets.inactive, p.raised, Stroke::NONE, p.text),
            (&mut widgets.hovered, p.hover, Stroke::NONE, p.text),
            (&mut widgets.active, p.hover, Stroke::new(1.0, p.dim), p.text),
            (&mut widgets.open, p.hover, Stroke::NONE, p.text),
        ] {
            w.bg_fill = fill;
            w.weak_bg_fill = fill;
            w.bg_stroke = stroke;
            w.fg_stroke = Stroke::new(1.0, ink);
            w.corner_radius = self.radius();
            w.expansion = 0.0;
        }
        style.visuals = v;
        style
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(c: Color32) -> f64 {
        let f = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * f(c.r()) + 0.7152 * f(c.g()) + 0.0722 * f(c.b())
    }

    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn text_and_symbols_are_legible_on_every_surface() {
        use Symbol::{Conditional, Guided, Noise, Plain, Quiet, Signal, Unconditional};
        for choice in ThemeChoice::ALL {
            let p = Palette::of(choice);
            for surface in [p.ground, p.panel, p.raised] {
                for symbol in [Plain, Quiet, Signal, Noise, Conditional, Unconditional, Guided] {
                    let ratio = contrast(p.symbol(symbol), surface);
                    assert!(ratio >= 4.5, "{choice:?} {symbol:?} on {surface:?}: {ratio:.2}");
                }
                for hue in p.schedules.into_iter().chain(p.lanes) {
                    assert!(contrast(hue, surface) >= 4.5, "{choice:?} {hue:?} on {surface:?}: {:.2}", contrast(hue, surface));
                }
                assert!(contrast(p.danger, surface) >= 4.5, "{choice:?} danger on {surface:?}");
            }
            assert!(contrast(p.on_accent, p.accent) >= 4.5);
        }
    }

    /// Linear light to CIE 1976 L*a*b* under D65.
    fn lab(linear: [f64; 3]) -> [f64; 3] {
        const XYZ: [[f64; 3]; 3] = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]];
        let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let dot = |row: [f64; 3]| row.iter().zip(linear).map(|(a, b)| a * b.clamp(0.0, 1.0)).sum::<f64>();
        let [x, y, z] = [f(dot(XYZ[0]) / 0.9505), f(dot(XYZ[1])), f(dot(XYZ[2]) / 1.089)];
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// Symbols, schedules and the ends of the diverging scale stay apart for eyes with two kinds of cones (Machado, Oliveira and
    /// Fernandes 2009, severity 1), by the difference of CIE 1976; 2.3 is just noticeable.
    #[test]
    fn colours_are_told_apart_by_colour_blind_eyes() {
        const EYES: [(&str, [[f64; 3]; 3]); 3] = [
            ("protanopia", [[0.152_286, 1.052_583, -0.204_868], [0.114_503, 0.786_281, 0.099_216], [-0.003_882, -0.048_116, 1.051_998]]),
            ("deuteranopia", [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]]),
            ("tritanopia", [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_900]]),
        ];
        let linear = |v: u8| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        };
        for choice in ThemeChoice::ALL {
            let p = Palette::of(choice);
            let symbols = [Symbol::Signal, Symbol::Noise, Symbol::Conditional, Symbol::Unconditional, Symbol::Guided].map(|s| p.symbol(s));
            let ends = [p.diverging(-0.5), p.diverging(0.5)];
            for (eye, matrix) in EYES {
                let seen = |c: Color32| {
                    let light = [c.r(), c.g(), c.b()].map(linear);
                    lab(matrix.map(|row| row.iter().zip(light).map(|(a, b)| a * b).sum()))
                };
                for (what, colors) in [("symbols", symbols.as_slice()), ("schedules", &p.schedules), ("lanes", &p.lanes), ("ends", &ends)] {
                    for (i, a) in colors.iter().enumerate() {
                        for b in &colors[..i] {
                            let apart = seen(*a).iter().zip(seen(*b)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                            assert!(apart >= 20.0, "{choice:?}, {eye}, {what}: {a:?} and {b:?} are {apart:.1} apart");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn digits_are_tabular_and_the_glyphs_are_there() {
        let ctx = egui::Context::default();
        install_fonts(&ctx);
        let mut out = ctx.run_ui(egui::RawInput::default(), |ui| {
            for weight in [Weight::Regular, Weight::Medium, Weight::SemiBold, Weight::Italic] {
                let font = FontId::new(64.0, weight.family());
                ui.fonts_mut(|fonts| {
                    let widths: Vec<f32> = "0123456789".chars().map(|c| fonts.glyph_width(&font, c)).collect();
                    assert!(widths.iter().all(|w| (w - widths[0]).abs() < 1e-3), "{weight:?}: {widths:?}");
                    for c in "αβεσθᾱ√·−×≈→←…∅‖°≤≥ωΔ∞".chars() {
                        assert!(fonts.has_glyph(&font, c), "{weight:?} lacks {c}");
                    }
                });
            }
        });
        out.textures_delta.clear();
    }

    #[test]
    fn numbers_are_legible_on_every_colour() {
        for choice in ThemeChoice::ALL {
            let p = Palette::of(choice);
            for i in 0..512_u32 {
                let ground = Color32::from_rgb((i % 8 * 36) as u8, (i / 8 % 8 * 36) as u8, (i / 64 * 36) as u8);
                let ratio = contrast(p.over(ground), ground);
                assert!(ratio >= 4.0, "{choice:?} on {ground:?}: {ratio:.2}");
            }
        }
    }

    #[test]
    fn the_diverging_scale_is_centred_and_shows_not_a_number() {
        for choice in ThemeChoice::ALL {
            let p = Palette::of(choice);
            assert_eq!(p.diverging(f32::NAN), p.danger);
            assert_eq!(p.diverging(-7.0), p.diverging(-1.0));
            assert!(p.diverging(0.8).r() > p.diverging(0.8).b());
            assert!(p.diverging(-0.8).b() > p.diverging(-0.8).r());
        }
    }
}
