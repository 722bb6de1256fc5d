//! Painting: outlines covered by tiny-skia, colours mixed here in plain `f32` arithmetic.
//!
//! tiny-skia computes coverage only, from fixed-point edges and 8-bit integers; gradients and mixing use additions,
//! multiplications, divisions and square roots, each of which IEEE 754 rounds one way. So a picture is the same, bit for
//! bit, on every machine.

use super::light::Light;
use super::outline::{Affine, Outline};
use tiny_skia::{FillRule, Mask, Transform};

/// An sRGB-encoded colour in 0..1.
pub(super) type Rgb = [f32; 3];

/// `a + t (b - a)` per channel.
pub(super) fn mix(a: Rgb, b: Rgb, t: f32) -> Rgb {
    [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])]
}

/// `a b` per channel.
pub(super) fn times(a: Rgb, b: Rgb) -> Rgb {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

/// `s a` per channel, at most 1.
pub(super) fn scaled(a: Rgb, s: f32) -> Rgb {
    a.map(|v| (v * s).min(1.0))
}

/// The colour 0xRRGGBB.
pub(super) fn hex(code: u32) -> Rgb {
    [16, 8, 0].map(|shift| ((code >> shift) & 0xff) as f32 / 255.0)
}

/// 3 t² - 2 t³ of t clamped to 0..1.
pub(super) fn smoothstep(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A colour with opacity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    pub rgb: Rgb,
    pub alpha: f32,
}

impl From<Rgb> for Ink {
    fn from(rgb: Rgb) -> Self {
        Self { rgb, alpha: 1.0 }
    }
}

/// A colour with opacity `alpha`.
pub(super) fn ink(rgb: Rgb, alpha: f32) -> Ink {
    Ink { rgb, alpha }
}

fn blend(a: Ink, b: Ink, t: f32) -> Ink {
    Ink { rgb: mix(a.rgb, b.rgb, t), alpha: a.alpha + t * (b.alpha - a.alpha) }
}

/// What an outline is filled with, in the outline's own coordinates.
#[derive(Debug, Clone, Copy)]
pub(super) enum Paint {
    /// One colour.
    Flat(Ink),
    /// From `a` at `from` to `b` at `to`.
    Linear { from: [f32; 2], to: [f32; 2], a: Ink, b: Ink },
    /// From `a` in the centre to `b` on the ellipse of radii `rx`, `ry`; `core` of the radius is plain `a`.
    Radial { center: [f32; 2], rx: f32, ry: f32, core: f32, a: Ink, b: Ink },
}

impl From<Rgb> for Paint {
    fn from(rgb: Rgb) -> Self {
        Self::Flat(rgb.into())
    }
}

impl From<Ink> for Paint {
    fn from(ink: Ink) -> Self {
        Self::Flat(ink)
    }
}

impl Paint {
    /// A vertical gradient from `a` at `y0` to `b` at `y1`.
    pub fn vertical(y0: f32, a: impl Into<Ink>, y1: f32, b: impl Into<Ink>) -> Self {
        Self::Linear { from: [0.0, y0], to: [0.0, y1], a: a.into(), b: b.into() }
    }

    /// A horizontal gradient from `a` at `x0` to `b` at `x1`.
    pub fn horizontal(x0: f32, a: impl Into<Ink>, x1: f32, b: impl Into<Ink>) -> Self {
        Self::Linear { from: [x0, 0.0], to: [x1, 0.0], a: a.into(), b: b.into() }
    }
}

/// How deep what is painted lies; see [`super::Rendered::depth`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Depth {
    /// Leave depth and segmentation alone: glows, shadows, falling snow.
    Keep,
    /// One value throughout.
    At(f32),
    /// The plane of the ground, from the horizon (1) down to the lower edge (0).
    Plane { horizon: f32 },
}

/// A picture being painted. Coordinates are fractions of the side, x to the right and y down.
pub(super) struct Canvas {
    side: usize,
    rgb: Vec<f32>,
    segmentation: Vec<u8>,
    depth: Vec<f32>,
    mask: Mask,
    labelled: bool,
}

/// Depth of a point of the ground plane at height `y`.
pub(super) fn plane_depth(y: f32, horizon: f32) -> f32 {
    1.0 - ((y - horizon) / (1.0 - horizon)).clamp(0.0, 1.0)
}

impl Canvas {
    /// A black canvas. `labelled`: also keep segmentation and depth.
    ///
    /// # Panics
    /// When `side` is 0 or beyond [`super::MAX_SIDE`].
    pub fn new(side: usize, labelled: bool) -> Self {
        assert!((1..=super::MAX_SIDE).contains(&side), "a picture of side {side} is outside of 1..={}", super::MAX_SIDE);
        let Some(mask) = Mask::new(side as u32, side as u32) else { unreachable!("side was checked") };
        let labels = if labelled { side * side } else { 0 };
        Self { side, rgb: vec![0.0; 3 * side * side], segmentation: vec![0; labels], depth: vec![1.0; labels], mask, labelled }
    }

    /// Red, green and blue planes; segmentation; depth.
    pub fn into_parts(self) -> (Vec<f32>, Vec<u8>, Vec<f32>) {
        (self.rgb, self.segmentation, self.depth)
    }

    /// Its side in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Sets every pixel, given its column and row, from what it was.
    pub fn pixels(&mut self, mut color: impl FnMut(usize, usize, Rgb) -> Rgb) {
        let n = self.side * self.side;
        for y in 0..self.side {
            for x in 0..self.side {
                let i = y * self.side + x;
                let [r, g, b] = color(x, y, [self.rgb[i], self.rgb[n + i], self.rgb[2 * n + i]]);
                (self.rgb[i], self.rgb[n + i], self.rgb[2 * n + i]) = (r, g, b);
            }
        }
    }

    /// Fills an outline given in the coordinates of the picture.
    pub fn fill(&mut self, paint: impl Into<Paint>, outline: impl FnOnce(&mut Outline)) {
        self.fill_in(Affine::IDENTITY, &paint.into(), 0, Depth::Keep, outline);
    }

    /// Fills an outline given in the coordinates of `frame`, as paint is.
    fn fill_in(&mut self, frame: Affine, paint: &Paint, label: u8, depth: Depth, outline: impl FnOnce(&mut Outline)) {
        let side = self.side;
        let mut shape = Outline::new(frame, side as f32);
        outline(&mut shape);
        let Some(path) = shape.finish() else { return };
        let b = path.bounds();
        let clip = |v: f32| v.clamp(0.0, side as f32) as usize;
        let area = [clip(b.left() - 1.0), clip(b.top() - 1.0), clip(b.right() + 2.0), clip(b.bottom() + 2.0)];
        if area[0] >= area[2] || area[1] >= area[3] || b.width() < 1e-3 || b.height() < 1e-3 {
            return;
        }
        self.mask.fill_path(&path, FillRule::Winding, true, Transform::identity());
        self.compose(area, frame.inverse(), paint, label, depth);
    }

    /// Sets every pixel to a colour of its height alone.
    pub fn rows(&mut self, color: impl Fn(f32) -> Rgb) {
        let n = self.side * self.side;
        for y in 0..self.side {
            let c = color((y as f32 + 0.5) / self.side as f32);
            for (channel, &value) in c.iter().enumerate() {
                self.rgb[channel * n + y * self.side..][..self.side].fill(value);
            }
        }
    }

    /// Paints what `mask` covers inside of the pixel box and clears the mask there.
    fn compose(&mut self, area: [usize; 4], inverse: Affine, paint: &Paint, label: u8, depth: Depth) {
        let [x0, y0, x1, y1] = area;
        let (side, n) = (self.side, self.side * self.side);
        let labelled = self.labelled && depth != Depth::Keep;
        let unit = 1.0 / side as f32;
        let (red, rest) = self.rgb.split_at_mut(n);
        let (green, blue) = rest.split_at_mut(n);
        let mask = self.mask.data_mut();
        for y in y0..y1 {
            let v = (y as f32 + 0.5) * unit;
            for x in x0..x1 {
                let i = y * side + x;
                let covered = mask[i];
                if covered == 0 {
                    continue;
                }
                mask[i] = 0;
                let color = match *paint {
                    Paint::Flat(ink) => ink,
                    Paint::Linear { from, to, a, b } => {
                        let [px, py] = inverse.apply((x as f32 + 0.5) * unit, v);
                        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
                        let t = ((px - from[0]) * dx + (py - from[1]) * dy) / (dx * dx + dy * dy);
                        blend(a, b, t.clamp(0.0, 1.0))
                    }
                    Paint::Radial { center, rx, ry, core, a, b } => {
                        let [px, py] = inverse.apply((x as f32 + 0.5) * unit, v);
                        let (dx, dy) = ((px - center[0]) / rx, (py - center[1]) / ry);
                        let r = (dx * dx + dy * dy).sqrt();
                        blend(a, b, smoothstep((r - core) / (1.0 - core)))
                    }
                };
                let alpha = color.alpha * f32::from(covered) / 255.0;
                red[i] += alpha * (color.rgb[0] - red[i]);
                green[i] += alpha * (color.rgb[1] - green[i]);
                blue[i] += alpha * (color.rgb[2] - blue[i]);
                if labelled && covered >= 128 {
                    self.segmentation[i] = label;
                    self.depth[i] = match depth {
                        Depth::At(value) => value,
                        Depth::Plane { horizon } => plane_depth(v, horizon),
                        Depth::Keep => continue,
                    };
                }
            }
        }
    }
}

/// A brush with a place, a light and a label.
pub(super) struct Pen<'a> {
    canvas: &'a mut Canvas,
    frame: Affine,
    label: u8,
    depth: Depth,
    /// The light of the scene.
    pub light: &'a Light,
    /// The object's own colour, before the light.
    pub hue: Rgb,
    /// 1 when the light comes from positive local x, else -1.
    pub sun: f32,
    /// Whether snow lies on things.
    pub snowy: bool,
}

impl<'a> Pen<'a> {
    /// A pen for the backdrop, in picture coordinates.
    pub fn backdrop(canvas: &'a mut Canvas, light: &'a Light, depth: Depth) -> Self {
        Self { canvas, frame: Affine::IDENTITY, label: 0, depth, light, hue: [1.0; 3], sun: 1.0, snowy: false }
    }

    /// The same pen in the local coordinates of an object, with the object's label and depth.
    pub fn for_object(self, frame: Affine, label: u8, depth: f32) -> Self {
        Self { frame, label, depth: Depth::At(depth), ..self }
    }

    /// From here on paints at another depth.
    pub fn at(&mut self, depth: Depth) -> &mut Self {
        self.depth = depth;
        self
    }

    /// Fills an outline.
    pub fn fill(&mut self, paint: impl Into<Paint>, outline: impl FnOnce(&mut Outline)) {
        let depth = self.depth;
        self.fill_at(depth, paint.into(), outline);
    }

    /// Fills an outline that belongs to nothing: light, shadow, steam.
    pub fn glaze(&mut self, paint: impl Into<Paint>, outline: impl FnOnce(&mut Outline)) {
        self.fill_at(Depth::Keep, paint.into(), outline);
    }

    fn fill_at(&mut self, depth: Depth, paint: Paint, outline: impl FnOnce(&mut Outline)) {
        self.canvas.fill_in(self.frame, &paint, self.label, depth, outline);
    }

    /// A surface colour under the scene's light.
    pub fn lit(&self, rgb: Rgb) -> Rgb {
        self.light.lit(rgb)
    }

    /// The same surface in its own shade.
    pub fn shade(&self, rgb: Rgb) -> Rgb {
        self.light.shaded(rgb)
    }

    /// Softly modelled: lit towards the light, shaded away from it, across `cx - half` to `cx + half`.
    pub fn round(&self, rgb: Rgb, cx: f32, half: f32) -> Paint {
        let (a, b) = (self.lit(rgb), self.shade(rgb));
        Paint::horizontal(cx + self.sun * 0.35 * half, a, cx - self.sun * half, b)
    }

    /// A ball: a broad lit disc towards the light with a soft edge into the shade.
    pub fn ball(&self, rgb: Rgb, cx: f32, cy: f32, r: f32) -> Paint {
        let (a, b) = (self.lit(rgb).into(), self.shade(rgb).into());
        Paint::Radial { center: [cx + self.sun * 0.35 * r, cy + 0.35 * r], rx: 1.35 * r, ry: 1.35 * r, core: 0.55, a, b }
    }

    /// A window: warm and bright at night and in the evening, glass by day.
    pub fn window(&self) -> Rgb {
        self.light.window
    }
}
