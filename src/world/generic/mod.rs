//! Pictures that are not scenes, by seed: what an autoencoder must also have seen so that a photograph comes through it.
//!
//! Photographs have spectra that fall like 1/f, edges where things hide one another, and smooth shading between; dead leaves
//! have all three by themselves (Lee, Mumford and Huang 2001, Int. J. Comput. Vis. 41; as a training set, Baradad et al. 2021,
//! arXiv 2106.05963). Beside them: gradients, textures, brush strokes, lines of marks like writing, soft shading with grain,
//! and mixtures of all these. A new family is one file and one line of the table in this one.

mod field;
mod glyphs;
mod gradient;
mod leaves;
mod mixture;
mod palette;
mod photograph;
mod strokes;
mod texture;

use super::canvas::{Canvas, mix};
use super::dice::Dice;
use crate::host::HostTensor;
use field::Field;

/// A way of making a picture that is not a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Discs, lenses and polygons of every size that hide one another.
    Leaves,
    /// Smooth changes of colour: along a line, around a point, between the knots of a grid.
    Gradient,
    /// Noise with a 1/f spectrum, waves, stripes, checks, bricks, dots.
    Texture,
    /// Thick curves as of a brush.
    Strokes,
    /// Lines of marks built as letters are.
    Glyphs,
    /// Lit bodies before a blurred ground, with grain.
    Photograph,
    /// One of the others over another one.
    Mixture,
}

/// Paints over a whole canvas.
type Paint = fn(&mut Dice, &mut Canvas);

/// Families with their names, shares among [`generic_rgb`] and painters.
const FAMILIES: [(Family, &str, f32, Paint); 7] = [
    (Family::Leaves, "leaves", 0.2, leaves::paint),
    (Family::Gradient, "gradient", 0.08, gradient::paint),
    (Family::Texture, "texture", 0.18, texture::paint),
    (Family::Strokes, "strokes", 0.12, strokes::paint),
    (Family::Glyphs, "glyphs", 0.12, glyphs::paint),
    (Family::Photograph, "photograph", 0.14, photograph::paint),
    (Family::Mixture, "mixture", 0.16, mixture::paint),
];

impl Family {
    /// Every family.
    pub const ALL: [Self; FAMILIES.len()] = {
        let mut all = [Self::Leaves; FAMILIES.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = FAMILIES[i].0;
            i += 1;
        }
        all
    };

    /// Its name.
    pub fn label(self) -> &'static str {
        FAMILIES[self as usize].1
    }

    /// The picture of `seed` in this family: `[3, side, side]` in 0..1.
    ///
    /// # Panics
    /// When `side` is 0 or beyond [`super::MAX_SIDE`].
    pub fn rgb(self, seed: u64, side: usize) -> HostTensor {
        finished(self, &mut Dice::generic(seed), side)
    }
}

/// The generic picture of `seed`, of a family drawn by chance: `[3, side, side]` in 0..1.
///
/// # Panics
/// When `side` is 0 or beyond [`super::MAX_SIDE`].
pub fn generic_rgb(seed: u64, side: usize) -> HostTensor {
    let mut dice = Dice::generic(seed);
    let family = dice.weighted(&FAMILIES.map(|(family, _, share, _)| (family, share)));
    finished(family, &mut dice, side)
}

fn finished(family: Family, dice: &mut Dice, side: usize) -> HostTensor {
    let mut canvas = Canvas::new(side, false);
    (FAMILIES[family as usize].3)(dice, &mut canvas);
    develop(dice, &mut canvas);
    let (rgb, _, _) = canvas.into_parts();
    match HostTensor::new([3, side, side], rgb) {
        Ok(picture) => picture,
        Err(error) => unreachable!("{error}"),
    }
}

/// One of the families that paint by themselves, on a canvas.
fn paint_simple(dice: &mut Dice, canvas: &mut Canvas) {
    let simple = FAMILIES.map(|(family, _, share, paint)| (paint, if family == Family::Mixture { 0.0 } else { share }));
    dice.weighted(&simple)(dice, canvas);
}

/// What a camera does: exposure, contrast, strength of colour, uneven light, grain. Ends within 0..1.
fn develop(dice: &mut Dice, canvas: &mut Canvas) {
    let exposure = dice.range(0.75, 1.15);
    let contrast = dice.range(0.75, 1.25);
    let colour = if dice.chance(0.08) { 0.0 } else { dice.range(0.6, 1.25) };
    let side = canvas.side();
    let light = dice.chance(0.3).then(|| (Field::smooth(dice, side, 2), dice.range(0.1, 0.4)));
    let grain = if dice.chance(0.25) { dice.range(0.005, 0.04) } else { 0.0 };
    canvas.pixels(|x, y, rgb| {
        let grey = (rgb[0] + rgb[1] + rgb[2]) / 3.0;
        let lit = light.as_ref().map_or(1.0, |(field, depth)| 1.0 + depth * field.at(x, y));
        let noise = if grain > 0.0 { grain * (dice.unit() + dice.unit() - 1.0) } else { 0.0 };
        mix([grey; 3], rgb, colour).map(|v| (0.5 + contrast * (exposure * lit * v - 0.5) + noise).clamp(0.0, 1.0))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 64;

    #[test]
    fn pictures_are_finite_in_range_and_of_their_seed() {
        for family in Family::ALL {
            for seed in 0..40 {
                let picture = family.rgb(seed, SIDE);
                assert_eq!(picture.shape(), [3, SIDE, SIDE]);
                assert!(picture.data().iter().all(|v| (0.0..=1.0).contains(v)), "{} {seed}", family.label());
                assert_eq!(picture, family.rgb(seed, SIDE));
                assert_ne!(picture, family.rgb(seed + 1, SIDE), "{} {seed}", family.label());
            }
        }
        assert_eq!(generic_rgb(7, 33), generic_rgb(7, 33));
    }

    #[test]
    fn every_family_is_in_its_place_of_the_table() {
        for (index, family) in Family::ALL.into_iter().enumerate() {
            assert_eq!(family as usize, index);
        }
        let total: f32 = FAMILIES.iter().map(|(_, _, share, _)| share).sum();
        assert!((total - 1.0).abs() < 1e-6);
    }

    /// Mean absolute difference of neighbours across and down, over all pictures of a family, and their mean deviation.
    fn roughness(family: Family) -> (f32, f32) {
        let (mut steps, mut deviation) = (0.0, 0.0);
        for seed in 0..60 {
            let picture = family.rgb(seed, SIDE);
            let n = picture.len() as f32;
            let mean = picture.data().iter().sum::<f32>() / n;
            deviation += (picture.data().iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt() / 60.0;
            steps +=
                picture.data().chunks(SIDE).flat_map(|row| row.windows(2)).map(|pair| (pair[1] - pair[0]).abs()).sum::<f32>() / n / 60.0;
        }
        (steps, deviation)
    }

    #[test]
    fn families_differ_and_none_is_empty() {
        let found = Family::ALL.map(roughness);
        for (family, (steps, deviation)) in Family::ALL.iter().zip(found) {
            assert!(deviation > 0.05, "{}: deviation {deviation}, steps {steps}", family.label());
        }
        let steps = |family: Family| found[family as usize].0;
        assert!(steps(Family::Gradient) < 0.5 * steps(Family::Photograph).max(steps(Family::Leaves)), "{found:?}");
        assert!(steps(Family::Leaves) > 0.02 && steps(Family::Glyphs) > 0.02, "{found:?}");
    }
}
