//! What the judge should say of a scene, and how far it is from saying it.

use super::losses;
use crate::measure::{CELL_LOGITS, CELLS, Head, LOGITS, Verdict};
use crate::world::{Kind, Scene};

/// Objects whose middles are less than this apart across may be named in either order.
const TIE: f32 = 0.15;

/// The answers for one scene.
#[derive(Debug, Clone)]
pub struct Answers {
    count: usize,
    ground: usize,
    time: usize,
    /// Kind and colour of the leftmost and of the rightmost object.
    ends: [(usize, usize); 2],
    /// Whether these two may be told in either order.
    tied: bool,
    /// Kind and colour of every object.
    objects: Vec<(usize, usize)>,
    /// Of each place of the grid, row by row, which object is there.
    cells: [Option<usize>; CELLS],
}

impl Answers {
    /// Those for `scene`.
    pub fn of(scene: &Scene) -> Self {
        let objects: Vec<(usize, usize)> = scene.objects.iter().map(|object| (object.kind.index(), object.color.index())).collect();
        let mut order: Vec<usize> = (0..objects.len()).collect();
        order.sort_by(|&a, &b| scene.objects[a].x.total_cmp(&scene.objects[b].x));
        let end = |at: Option<&usize>| at.map_or((0, 0), |&index| objects[index]);
        let across = |at: Option<&usize>| at.map_or(0.0, |&index| scene.objects[index].x);
        Self {
            count: objects.len().saturating_sub(1),
            ground: scene.ground.index(),
            time: scene.time.index(),
            ends: [end(order.first()), end(order.last())],
            tied: across(order.last()) - across(order.first()) < TIE,
            cells: cells(scene),
            objects,
        }
    }

    /// Cross entropy over all heads, adding `weight` times its gradient to `gradient`. Both slices are `[LOGITS]`.
    pub fn cross_entropy(&self, logits: &[f32], weight: f32, gradient: &mut [f32]) -> f64 {
        let ask = |head: Head, class: usize, gradient: &mut [f32]| {
            losses::cross_entropy(&logits[head.range()], class, weight, &mut gradient[head.range()])
        };
        let mut sum =
            ask(Head::Count, self.count, gradient) + ask(Head::Ground, self.ground, gradient) + ask(Head::Time, self.time, gradient);
        let ends = |[left, right]: [(usize, usize); 2], gradient: &mut [f32]| {
            ask(Head::LeftKind, left.0, gradient)
                + ask(Head::LeftColor, left.1, gradient)
                + ask(Head::RightKind, right.0, gradient)
                + ask(Head::RightColor, right.1, gradient)
        };
        let [left, right] = self.ends;
        let order = if self.tied {
            let mut scratch = vec![0.0; LOGITS];
            let [straight, crossed] = [[left, right], [right, left]].map(|order| ends(order, &mut scratch));
            if crossed < straight { [right, left] } else { [left, right] }
        } else {
            [left, right]
        };
        sum += ends(order, gradient);
        sum
    }

    /// Cross entropy over the places: the mean over those of the ground, and for each object that over its own, of kind and
    /// colour. Adds `weight` times its gradient to `gradient`. Both slices are `[CELL_LOGITS, CELLS]`.
    pub fn cells_cross_entropy(&self, logits: &[f32], weight: f32, gradient: &mut [f32]) -> f64 {
        const KINDS: usize = 1 + Kind::ALL.len();
        let mut sum = 0.0;
        for (place, &object) in self.cells.iter().enumerate() {
            let equal = self.cells.iter().filter(|other| **other == object).count();
            let share = weight / equal as f32;
            let here: [f32; CELL_LOGITS] = std::array::from_fn(|channel| logits[channel * CELLS + place]);
            let mut slopes = [0.0; CELL_LOGITS];
            let mut found = 0.0;
            match object {
                None => found += losses::cross_entropy(&here[..KINDS], 0, share, &mut slopes[..KINDS]),
                Some(index) => {
                    let (kind, color) = self.objects[index];
                    found += losses::cross_entropy(&here[..KINDS], 1 + kind, share, &mut slopes[..KINDS]);
                    found += losses::cross_entropy(&here[KINDS..], color, share, &mut slopes[KINDS..]);
                }
            }
            sum += found / equal as f64;
            slopes.iter().enumerate().for_each(|(channel, slope)| gradient[channel * CELLS + place] += slope);
        }
        sum
    }

    /// Whether a verdict says all of it.
    pub fn are_met_by(&self, verdict: &Verdict) -> bool {
        let seen = [verdict.left, verdict.right].map(|(kind, color)| (kind.index(), color.index()));
        let ends = seen == self.ends || (self.tied && seen == [self.ends[1], self.ends[0]]);
        verdict.count == self.count + 1 && verdict.ground.index() == self.ground && verdict.time.index() == self.time && ends
    }
}

/// Which object's box each place's middle lies in, the nearest one's where there are several; a small object has at least the
/// place of its own middle.
fn cells(scene: &Scene) -> [Option<usize>; CELLS] {
    let side = CELLS.isqrt();
    let place = |v: f32| ((v * side as f32) as usize).min(side - 1);
    let mut nearest: Vec<usize> = (0..scene.objects.len()).collect();
    nearest.sort_by(|&a, &b| scene.objects[b].y.total_cmp(&scene.objects[a].y));
    let mut cells = std::array::from_fn(|at| {
        let (x, y) = (((at % side) as f32 + 0.5) / side as f32, ((at / side) as f32 + 0.5) / side as f32);
        nearest.iter().copied().find(|&index| {
            let [left, top, right, bottom] = scene.objects[index].bounds();
            (left..right).contains(&x) && (top..bottom).contains(&y)
        })
    });
    for (index, object) in scene.objects.iter().enumerate() {
        let [x, y] = object.center();
        cells[place(y) * side + place(x)] = Some(index);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, gaussian};

    #[test]
    fn every_object_has_a_place() {
        for seed in 0..500 {
            let scene = Scene::sample(seed);
            let answers = Answers::of(&scene);
            for index in 0..scene.objects.len() {
                assert!(answers.cells.contains(&Some(index)), "seed {seed}");
            }
            assert!(answers.cells.contains(&None), "seed {seed}");
        }
    }

    #[test]
    fn the_gradient_over_the_places_is_that_of_the_loss() {
        let answers = Answers::of(&Scene::sample(4));
        let logits = gaussian(9, Stream::Eval, [CELL_LOGITS * CELLS]);
        let mut gradient = vec![0.0; logits.len()];
        answers.cells_cross_entropy(logits.data(), 0.7, &mut gradient);
        for at in (0..logits.len()).step_by(17) {
            let loss = |by: f32| {
                let mut moved = logits.data().to_vec();
                moved[at] += by;
                0.7 * answers.cells_cross_entropy(&moved, 0.0, &mut vec![0.0; logits.len()])
            };
            let slope = (loss(1e-2) - loss(-1e-2)) / 2e-2;
            assert!((slope - f64::from(gradient[at])).abs() < 1e-4, "{at}: {slope} {}", gradient[at]);
        }
    }
}
