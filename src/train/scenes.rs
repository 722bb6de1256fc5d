//! Littleworld as training data: pictures by index, drawn once and kept, and the choices of each step.

use super::losses;
use crate::host::HostTensor;
use crate::measure::halve;
use crate::noise::{self, Stream};
use crate::world::{Scene, generic_rgb, render_rgb};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::sync::OnceLock;

/// Side of the pictures that our model draws.
pub const SIDE: usize = 128;

/// Seeds of the first `count` scenes from `first` on that contain no held-out pair of kind and colour
/// ([`crate::world::HELD_OUT_PAIRS`]): what learns words from pictures is trained on these.
pub fn training_seeds(first: u64, count: usize) -> Vec<u64> {
    (first..).filter(|&seed| !Scene::sample(seed).has_held_out_pair()).take(count).collect()
}

/// Pictures of scenes as bytes `[3, side, side]`, each drawn when it is first wanted.
#[derive(Debug)]
pub struct PicturePool {
    scenes: Vec<Scene>,
    side: usize,
    pictures: Vec<OnceLock<Box<[u8]>>>,
}

impl PicturePool {
    /// A pool of the `count` scenes from seed `first`. They are drawn with `SIDE` pixels a side; `side` is that or half of it,
    /// by averaging.
    ///
    /// # Panics
    /// When `side` is neither.
    pub fn new(first: u64, count: usize, side: usize) -> Self {
        Self::of((first..).take(count).map(Scene::sample).collect(), side)
    }

    /// A pool of these scenes, drawn and kept as by [`Self::new`].
    ///
    /// # Panics
    /// When `side` is neither.
    pub fn of(scenes: Vec<Scene>, side: usize) -> Self {
        assert!(side == SIDE || side == SIDE / 2, "pictures are kept whole or halved");
        Self { pictures: scenes.iter().map(|_| OnceLock::new()).collect(), scenes, side }
    }

    /// Number of scenes.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// The scene with this index.
    pub fn scene(&self, index: usize) -> &Scene {
        &self.scenes[index]
    }

    /// The picture with this index.
    pub fn bytes(&self, index: usize) -> &[u8] {
        self.pictures[index].get_or_init(|| {
            let whole = render_rgb(self.scene(index), SIDE);
            let picture = if self.side == SIDE { whole } else { halve(&whole) };
            picture.data().iter().map(|&v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect()
        })
    }

    /// The pictures at `indices` in -1..1, `[B, 3, side, side]`.
    pub fn batch(&self, indices: &[usize]) -> HostTensor {
        let parts: Vec<&[u8]> = indices.par_iter().map(|&index| self.bytes(index)).collect();
        let values: Vec<f32> = parts.iter().flat_map(|part| part.iter().map(|&byte| signed(byte))).collect();
        losses::tensor(&[indices.len(), 3, self.side, self.side], values)
    }

    /// Square cut-outs of `side` pixels: `(index, x, y)` of each. `[B, 3, side, side]` in -1..1.
    pub fn crops(&self, crops: &[(usize, usize, usize)], side: usize) -> HostTensor {
        let indices: Vec<usize> = crops.iter().map(|crop| crop.0).collect();
        indices.par_iter().for_each(|&index| _ = self.bytes(index));
        let mut values = Vec::with_capacity(crops.len() * 3 * side * side);
        for &(index, x, y) in crops {
            for plane in self.bytes(index).chunks(self.side * self.side) {
                for row in plane.chunks(self.side).skip(y).take(side) {
                    values.extend(row[x..x + side].iter().map(|&byte| signed(byte)));
                }
            }
        }
        losses::tensor(&[crops.len(), 3, side, side], values)
    }
}

/// The generic pictures of `seeds` in -1..1, `[B, 3, side, side]`.
///
/// A picture smaller than [`SIDE`] is a cut-out of its middle, so that what is in it keeps its size.
pub fn generic(seeds: &[u64], side: usize) -> HostTensor {
    let margin = (SIDE - side) / 2;
    let parts: Vec<Vec<f32>> = seeds
        .par_iter()
        .map(|&seed| {
            let whole = generic_rgb(seed, SIDE);
            let rows = whole.data().chunks(SIDE * SIDE).flat_map(|plane| plane.chunks(SIDE).skip(margin).take(side));
            rows.flat_map(|row| row[margin..margin + side].iter().map(|&v| 2.0 * v - 1.0)).collect()
        })
        .collect();
    losses::tensor(&[seeds.len(), 3, side, side], parts.concat())
}

/// A byte as -1..1.
fn signed(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

/// Divides a batch into `parts` nearly equal ones, fewer where it is smaller.
pub fn divide(parts: usize, batch: &HostTensor) -> Vec<HostTensor> {
    let count = batch.shape()[0];
    let size = count.div_ceil(parts.max(1)).max(1);
    let rows: Vec<HostTensor> = (0..count).map(|index| batch.outer(index)).collect();
    rows.chunks(size).map(|rows| HostTensor::cat_outer(&rows.iter().collect::<Vec<_>>())).collect()
}

/// The draws of one step: a stream of its own for each `(seed, purpose, step)`.
pub fn step_rng(seed: u64, purpose: &str, step: u64) -> ChaCha8Rng {
    let mixed = (seed ^ super::vars::path_hash(purpose)).wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    noise::rng(mixed, Stream::Train)
}

/// Uniform in `0..bound`.
pub fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    ((u64::from(rng.next_u32()) * bound as u64) >> 32) as usize
}

/// Uniform in [0, 1).
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32() >> 8) / f64::from(1_u32 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_cut_out_of_the_pictures() {
        let pool = PicturePool::new(5, 3, SIDE);
        let whole = pool.batch(&[2]);
        let crop = pool.crops(&[(2, 17, 40)], 64);
        assert_eq!(crop.shape(), [1, 3, 64, 64]);
        for (channel, y, x) in [(0, 0, 0), (1, 63, 0), (2, 10, 63)] {
            let expected = whole.data()[(channel * SIDE + 40 + y) * SIDE + 17 + x];
            assert_eq!(crop.data()[(channel * 64 + y) * 64 + x], expected);
        }
    }

    #[test]
    fn training_seeds_leave_the_held_out_pairs_out() {
        let seeds = training_seeds(10, 500);
        assert_eq!(seeds.len(), 500);
        assert!(seeds.is_sorted() && seeds[0] >= 10);
        assert!(seeds.iter().all(|&seed| !Scene::sample(seed).has_held_out_pair()));
        assert_eq!(training_seeds(10, 100), seeds[..100]);
    }

    #[test]
    fn generic_pictures_are_cut_out_of_their_middle() {
        let (whole, cut) = (generic(&[3, 4], SIDE), generic(&[3, 4], SIDE / 2));
        assert_eq!(cut.shape(), [2, 3, SIDE / 2, SIDE / 2]);
        let margin = SIDE / 4;
        assert_eq!(cut.data()[5], whole.data()[margin * SIDE + margin + 5]);
    }

    #[test]
    fn steps_draw_from_streams_of_their_own() {
        let mut draws: Vec<u32> = (0..100).map(|step| step_rng(1, "unet", step).next_u32()).collect();
        draws.push(step_rng(1, "vae", 0).next_u32());
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 101);
    }
}
