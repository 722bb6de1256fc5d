//! What is done to the judge's pictures, so that drawn ones do not surprise it: mirrored and moved a little, together with what
//! is said of them; softer or stronger, blurred, noisy, of which nothing is to be said.

use super::scenes::{below, unit};
use crate::world::Scene;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Pixels that a picture is moved by at most.
const FARTHEST: usize = 2;
/// The share of pictures that each of the faults is given to.
const SPOILED: f64 = 0.35;

/// How a picture is mirrored and moved.
#[derive(Debug, Clone, Copy)]
pub struct Shift {
    mirror: bool,
    /// Pixels to the right and down.
    by: [isize; 2],
}

impl Shift {
    /// Draws one.
    pub fn sample(rng: &mut ChaCha8Rng) -> Self {
        let mirror = unit(rng) < 0.5;
        Self { mirror, by: [(); 2].map(|()| below(rng, 2 * FARTHEST + 1) as isize - FARTHEST as isize) }
    }

    /// The picture `[3, side, side]` after it; edges are drawn out.
    pub fn picture(&self, picture: &mut [f32], side: usize) {
        let last = side as isize - 1;
        let from = |at: usize, by: isize| (at as isize - by).clamp(0, last) as usize;
        for plane in picture.chunks_mut(side * side) {
            let before = plane.to_vec();
            for (at, value) in plane.iter_mut().enumerate() {
                let (x, y) = (from(at % side, self.by[0]), from(at / side, self.by[1]));
                *value = before[y * side + if self.mirror { side - 1 - x } else { x }];
            }
        }
    }

    /// The scene of a picture of that side after it, for what can be said of it.
    pub fn scene(&self, scene: &Scene, side: usize) -> Scene {
        let mut scene = scene.clone();
        let by = self.by.map(|by| by as f32 / side as f32);
        for object in &mut scene.objects {
            let x = if self.mirror { 1.0 - object.x } else { object.x };
            (object.x, object.y) = (x + by[0], object.y + by[1]);
        }
        scene
    }
}

/// Changes contrast and brightness, blurs and adds noise, each now and then. `picture: [3, side, side]` in -1..1.
pub fn spoil(picture: &mut [f32], side: usize, rng: &mut ChaCha8Rng) {
    if unit(rng) < SPOILED {
        let (gain, offset) = (0.85 + 0.35 * unit(rng), 0.1 * (unit(rng) - 0.5));
        picture.iter_mut().for_each(|v| *v = (gain as f32 * *v + offset as f32).clamp(-1.0, 1.0));
    }
    if unit(rng) < SPOILED {
        blur(picture, side, (unit(rng) / 3.0) as f32);
    }
    if unit(rng) < SPOILED {
        let strength = (0.12 * unit(rng)) as f32;
        picture.iter_mut().for_each(|v| {
            let draw: f32 = StandardNormal.sample(rng);
            *v = (*v + strength * draw).clamp(-1.0, 1.0);
        });
    }
}

/// Blurs with the kernel (s, 1 - 2 s, s) both ways, or not at all for s = 0.
fn blur(picture: &mut [f32], side: usize, s: f32) {
    for plane in picture.chunks_mut(side * side) {
        for (step, stride) in [(1, side), (side, 1)] {
            for line in 0..side {
                let at = |i: usize| line * stride + i * step;
                let mut before = plane[at(0)];
                for i in 0..side {
                    let here = plane[at(i)];
                    let after = plane[at((i + 1).min(side - 1))];
                    plane[at(i)] = s * (before + after) + (1.0 - 2.0 * s) * here;
                    before = here;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, rng};

    #[test]
    fn a_scene_moves_with_its_picture() {
        let side = 64;
        for seed in 0..50 {
            let shift = Shift::sample(&mut rng(seed, Stream::Eval));
            let scene = Scene::sample(seed);
            // A picture that is bright where the first object's middle is.
            let pixel = |scene: &Scene| {
                let [x, y] = scene.objects[0].center();
                ((y * side as f32) as usize * side) + (x * side as f32) as usize
            };
            let mut picture = vec![0.0; 3 * side * side];
            picture[pixel(&scene)] = 1.0;
            shift.picture(&mut picture, side);
            let found = picture.iter().position(|&v| v > 0.5).unwrap();
            let expected = pixel(&shift.scene(&scene, side));
            assert!(found.abs_diff(expected) <= 1, "seed {seed}: {found} {expected} {shift:?}");
        }
    }

    #[test]
    fn spoiled_pictures_stay_in_range() {
        for seed in 0..20 {
            let mut picture: Vec<f32> = (0..3 * 16 * 16).map(|i| if i % 3 == 0 { 1.0 } else { -0.9 }).collect();
            spoil(&mut picture, 16, &mut rng(seed, Stream::Eval));
            assert!(picture.iter().all(|v| (-1.0..=1.0).contains(v)));
        }
    }
}
