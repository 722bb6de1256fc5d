//! Outlines and the frames they are drawn in.

use tiny_skia::{Path, PathBuilder};

/// A map (x, y) -> (xx x + xy y + x0, yx x + yy y + y0).
#[derive(Debug, Clone, Copy)]
pub(super) struct Affine {
    xx: f32,
    xy: f32,
    yx: f32,
    yy: f32,
    x0: f32,
    y0: f32,
}

impl Affine {
    /// Leaves picture coordinates as they are.
    pub const IDENTITY: Self = Self { xx: 1.0, xy: 0.0, yx: 0.0, yy: 1.0, x0: 0.0, y0: 0.0 };

    /// Local coordinates with y up, unit `size`, origin at `(x, y)`, mirrored when `flip`, leaning by `tilt`:
    /// the angle 2 atan(tilt), so that its cosine and sine are rational.
    pub fn standing(x: f32, y: f32, size: f32, flip: bool, tilt: f32) -> Self {
        let (cos, sin) = rotation(tilt);
        let sx = if flip { -size } else { size };
        Self { xx: sx * cos, xy: size * sin, yx: sx * sin, yy: -size * cos, x0: x, y0: y }
    }

    /// The image of a point.
    pub fn apply(&self, x: f32, y: f32) -> [f32; 2] {
        [self.xx * x + self.xy * y + self.x0, self.yx * x + self.yy * y + self.y0]
    }

    /// The inverse map.
    pub fn inverse(&self) -> Self {
        let d = self.xx * self.yy - self.xy * self.yx;
        let (xx, xy, yx, yy) = (self.yy / d, -self.xy / d, -self.yx / d, self.xx / d);
        Self { xx, xy, yx, yy, x0: -(xx * self.x0 + xy * self.y0), y0: -(yx * self.x0 + yy * self.y0) }
    }
}

/// Cosine and sine of 2 atan(t), by rational arithmetic alone.
pub(super) fn rotation(t: f32) -> (f32, f32) {
    let d = 1.0 + t * t;
    ((1.0 - t * t) / d, 2.0 * t / d)
}

/// An outline being built in local coordinates. Closed shapes run the same way round, so that their union is filled.
pub(super) struct Outline {
    builder: PathBuilder,
    frame: Affine,
    scale: f32,
}

impl Outline {
    /// An empty outline in `frame`, on a picture of side `scale`.
    pub fn new(frame: Affine, scale: f32) -> Self {
        Self { builder: PathBuilder::new(), frame, scale }
    }

    /// What was drawn, in pixels; `None` when it is empty.
    pub fn finish(self) -> Option<Path> {
        self.builder.finish()
    }

    fn map(&self, x: f32, y: f32) -> (f32, f32) {
        let [x, y] = self.frame.apply(x, y);
        (x * self.scale, y * self.scale)
    }

    /// Starts at a point.
    pub fn start(&mut self, x: f32, y: f32) -> &mut Self {
        let (x, y) = self.map(x, y);
        self.builder.move_to(x, y);
        self
    }

    /// A straight line to a point.
    pub fn line(&mut self, x: f32, y: f32) -> &mut Self {
        let (x, y) = self.map(x, y);
        self.builder.line_to(x, y);
        self
    }

    /// A parabola with control point `(cx, cy)` to a point.
    pub fn quad(&mut self, cx: f32, cy: f32, x: f32, y: f32) -> &mut Self {
        let ((cx, cy), (x, y)) = (self.map(cx, cy), self.map(x, y));
        self.builder.quad_to(cx, cy, x, y);
        self
    }

    /// A cubic with two control points to a point.
    pub fn cubic(&mut self, a: [f32; 2], b: [f32; 2], end: [f32; 2]) -> &mut Self {
        let ((ax, ay), (bx, by), (x, y)) = (self.map(a[0], a[1]), self.map(b[0], b[1]), self.map(end[0], end[1]));
        self.builder.cubic_to(ax, ay, bx, by, x, y);
        self
    }

    /// Closes the contour.
    pub fn close(&mut self) -> &mut Self {
        self.builder.close();
        self
    }

    /// A closed polygon.
    pub fn polygon(&mut self, points: &[[f32; 2]]) -> &mut Self {
        for (i, p) in points.iter().enumerate() {
            if i == 0 {
                self.start(p[0], p[1])
            } else {
                self.line(p[0], p[1])
            };
        }
        self.close()
    }

    /// An axis-parallel rectangle.
    pub fn rect(&mut self, x0: f32, y0: f32, x1: f32, y1: f32) -> &mut Self {
        self.polygon(&[[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    }

    /// An ellipse.
    pub fn ellipse(&mut self, cx: f32, cy: f32, rx: f32, ry: f32) -> &mut Self {
        const K: f32 = 0.552_284_8;
        let (kx, ky) = (K * rx, K * ry);
        self.start(cx + rx, cy);
        self.cubic([cx + rx, cy + ky], [cx + kx, cy + ry], [cx, cy + ry]);
        self.cubic([cx - kx, cy + ry], [cx - rx, cy + ky], [cx - rx, cy]);
        self.cubic([cx - rx, cy - ky], [cx - kx, cy - ry], [cx, cy - ry]);
        self.cubic([cx + kx, cy - ry], [cx + rx, cy - ky], [cx + rx, cy]);
        self.close()
    }

    /// A circle.
    pub fn circle(&mut self, cx: f32, cy: f32, r: f32) -> &mut Self {
        self.ellipse(cx, cy, r, r)
    }

    /// A pointed lens: a wave, a glint.
    pub fn lens(&mut self, cx: f32, cy: f32, rx: f32, ry: f32) -> &mut Self {
        self.start(cx - rx, cy).quad(cx, cy - 2.0 * ry, cx + rx, cy).quad(cx, cy + 2.0 * ry, cx - rx, cy).close()
    }

    /// A doorway: a rectangle from `(cx - half, y0)` whose top is an arch reaching `y1`.
    pub fn arch(&mut self, cx: f32, y0: f32, half: f32, y1: f32) -> &mut Self {
        let shoulder = y1 - half;
        self.start(cx - half, y0).line(cx + half, y0).line(cx + half, shoulder);
        self.cubic([cx + half, shoulder + 0.55 * half], [cx + 0.55 * half, y1], [cx, y1]);
        self.cubic([cx - 0.55 * half, y1], [cx - half, shoulder + 0.55 * half], [cx - half, shoulder]);
        self.close()
    }

    /// Continues from the first of `points` (already reached) smoothly through the others (Catmull and Rom).
    pub fn through(&mut self, points: &[[f32; 2]]) -> &mut Self {
        for i in 1..points.len() {
            let (p0, p1, p2, p3) = (points[i.max(2) - 2], points[i - 1], points[i], points[(i + 1).min(points.len() - 1)]);
            let a = [p1[0] + (p2[0] - p0[0]) / 6.0, p1[1] + (p2[1] - p0[1]) / 6.0];
            let b = [p2[0] - (p3[0] - p1[0]) / 6.0, p2[1] - (p3[1] - p1[1]) / 6.0];
            self.cubic(a, b, p2);
        }
        self
    }
}
