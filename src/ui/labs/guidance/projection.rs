//! How the plane of the predictions lies on the screen.

use crate::diffusion::guidance::Plane;
use egui::{Pos2, Rect, vec2};

/// How far along the line the view reaches: to the first of these that is beyond the scale in use.
const REACHES: [f64; 3] = [8.5, 13.0, 20.5];

/// A part of the plane, along its [`Axes`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub min: [f64; 2],
    pub max: [f64; 2],
}

/// How the plane is turned: the scale grows to the right, as on the slider, and the origin lies below the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axes {
    pub right: [f64; 2],
    pub up: [f64; 2],
}

impl Axes {
    pub fn of(plane: &Plane) -> Self {
        let difference = plane.difference();
        let length = Plane::norm(difference);
        if length == 0.0 {
            return Self { right: [1.0, 0.0], up: [0.0, 1.0] };
        }
        let right = difference.map(|v| v / length);
        let up = [-right[1], right[0]];
        let below = up[0] * plane.uncond[0] + up[1] * plane.uncond[1] >= 0.0;
        Self { right, up: if below { up } else { up.map(|v| -v) } }
    }

    pub fn turn(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.right[0] * x + self.right[1] * y, self.up[0] * x + self.up[1] * y]
    }

    pub fn back(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.right[0] * x + self.up[0] * y, self.right[1] * x + self.up[1] * y]
    }
}

impl Bounds {
    /// What has to be seen: the origin, both predictions, and the line from a little below `w = 0` to beyond the scale in use.
    pub fn around(plane: &Plane, scale: f64) -> Self {
        let axes = Axes::of(plane);
        let reach = REACHES.into_iter().find(|reach| scale < *reach).unwrap_or(REACHES[2]);
        let mut bounds = Self { min: [0.0; 2], max: [0.0; 2] };
        for point in [plane.uncond, plane.cond, plane.at(-0.2), plane.at(reach)].map(|point| axes.turn(point)) {
            for (axis, value) in point.into_iter().enumerate() {
                bounds.min[axis] = bounds.min[axis].min(value);
                bounds.max[axis] = bounds.max[axis].max(value);
            }
        }
        bounds
    }
}

impl Bounds {
    /// The tips alone, for predictions that differ by so little that they cannot be told apart beside their lengths.
    pub fn of_tips(plane: &Plane, scale: f64) -> Self {
        let axes = Axes::of(plane);
        let reach = REACHES.into_iter().find(|reach| scale < *reach).unwrap_or(REACHES[2]);
        let [left, right] = [-0.3, reach].map(|w| axes.turn(plane.at(w)));
        Self { min: [left[0], left[1] - 0.4 * (right[0] - left[0])], max: right }
    }
}

/// From the plane to the screen: one scale for both axes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Projection {
    pub axes: Axes,
    pub origin: Pos2,
    pub points_per_unit: f64,
}

impl Projection {
    pub fn new(axes: Axes, bounds: Bounds, room: Rect) -> Self {
        let size = [0, 1].map(|axis| (bounds.max[axis] - bounds.min[axis]).max(1e-9));
        let points_per_unit = (f64::from(room.width()) / size[0]).min(f64::from(room.height()) / size[1]).max(1e-9);
        let middle = [0, 1].map(|axis| (points_per_unit * 0.5 * (bounds.min[axis] + bounds.max[axis])) as f32);
        Self { axes, origin: room.center() + vec2(-middle[0], middle[1]), points_per_unit }
    }

    pub fn place(&self, point: [f64; 2]) -> Pos2 {
        let [x, y] = self.axes.turn(point).map(|v| (v * self.points_per_unit) as f32);
        self.origin + vec2(x, -y)
    }

    pub fn back(&self, place: Pos2) -> [f64; 2] {
        let offset = place - self.origin;
        self.axes.back([offset.x, -offset.y].map(|v| f64::from(v) / self.points_per_unit))
    }
}

/// A round distance between two circles of equal norm that are at least `points` apart.
pub(super) fn ring_step(projection: &Projection, points: f64) -> f64 {
    let least = points / projection.points_per_unit;
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use egui::pos2;

    const PLANE: Plane = Plane { uncond: [50.0, 0.0], cond: [48.0, 5.0] };

    #[test]
    fn the_plane_is_shown_to_scale_and_points_lead_back() {
        let room = Rect::from_min_size(pos2(10.0, 20.0), vec2(300.0, 200.0));
        for scale in [0.0, 5.0, 9.0, 20.0] {
            let bounds = Bounds::around(&PLANE, scale);
            let projection = Projection::new(Axes::of(&PLANE), bounds, room);
            for point in [[0.0, 0.0], PLANE.uncond, PLANE.cond, PLANE.at(scale)] {
                let place = projection.place(point);
                assert!(room.expand(0.1).contains(place), "{scale}: {point:?} at {place}");
                let back = projection.back(place);
                assert!((back[0] - point[0]).hypot(back[1] - point[1]) < 1e-3, "{back:?}");
            }
            let [low, high] = [0.0, 20.0].map(|w| projection.place(PLANE.at(w)));
            assert!((low.y - high.y).abs() < 0.1 && low.x < high.x && projection.origin.y > low.y, "w grows to the right above the origin");
            let drawn = (projection.place(PLANE.cond) - projection.place(PLANE.uncond)).length();
            let length = Plane::norm(PLANE.difference()) * projection.points_per_unit;
            assert!((f64::from(drawn) / length - 1.0).abs() < 1e-4);
        }
        let nothing = Plane { uncond: [0.0; 2], cond: [0.0; 2] };
        assert!(Projection::new(Axes::of(&nothing), Bounds::around(&nothing, 5.0), room).place([0.0; 2]).x.is_finite());
    }

    #[test]
    fn circles_stand_at_round_norms() {
        for points_per_unit in [0.3, 1.0, 7.0, 130.0] {
            let step = ring_step(&Projection { axes: Axes::of(&PLANE), origin: Pos2::ZERO, points_per_unit }, 60.0);
            assert!((60.0..=150.1).contains(&(step * points_per_unit)), "{step}");
            let digit = step / 10_f64.powf(step.log10().floor() + 1e-9);
            assert!([1.0, 2.0, 5.0, 10.0].iter().any(|d| (d - digit).abs() < 1e-6), "{step}");
        }
    }

    #[test]
    fn the_tips_are_enlarged_to_scale() {
        let room = Rect::from_min_size(pos2(10.0, 20.0), vec2(300.0, 200.0));
        let near = Plane { uncond: [43.0, 0.0], cond: [43.0, 1.3] };
        let [whole, tips] = [Bounds::around(&near, 5.0), Bounds::of_tips(&near, 5.0)].map(|b| Projection::new(Axes::of(&near), b, room));
        assert!(tips.points_per_unit > 3.0 * whole.points_per_unit);
        for w in [0.0, 5.0, 8.0] {
            assert!(room.expand(0.1).contains(tips.place(near.at(w))), "{w}");
        }
        assert!(tips.origin.y > room.bottom(), "the origin is out of view below");
    }
}
