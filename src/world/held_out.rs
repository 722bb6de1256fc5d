//! Pairs of kind and colour that are kept from training, so that it can be asked whether a model puts together what it knows
//! apart: it has seen green things and houses, but no green house.

use super::attributes::Color;
use super::kinds::Kind;
use super::scene::Scene;

/// The pairs: six kinds of land, water and air, and six colours, each of which is seen in every other company.
///
/// What learns words from pictures (the text encoder, the denoiser) sees no scene that contains one, whatever else is in it, and
/// so no caption that names one. The autoencoder sees everything, as it is told no words; so does the judge, as it is the ruler.
pub const HELD_OUT_PAIRS: [(Kind, Color); 6] = [
    (Kind::House, Color::Green),
    (Kind::Castle, Color::Pink),
    (Kind::Tree, Color::Orange),
    (Kind::Mushroom, Color::Blue),
    (Kind::Boat, Color::Yellow),
    (Kind::Balloon, Color::Purple),
];

impl Scene {
    /// Whether one of its objects is of [`HELD_OUT_PAIRS`].
    pub fn has_held_out_pair(&self) -> bool {
        self.objects.iter().any(|object| HELD_OUT_PAIRS.contains(&(object.kind, object.color)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_spread_and_the_rest_is_seen_in_every_kind_and_colour() {
        for (i, (kind, color)) in HELD_OUT_PAIRS.iter().enumerate() {
            assert!(HELD_OUT_PAIRS[..i].iter().all(|(k, c)| k != kind && c != color), "{kind:?} {color:?}");
        }
        let scenes: Vec<Scene> = (0..6000).map(Scene::sample).collect();
        let kept: Vec<&Scene> = scenes.iter().filter(|scene| !scene.has_held_out_pair()).collect();
        let share = kept.len() as f64 / scenes.len() as f64;
        assert!((0.85..0.95).contains(&share), "{share}");
        for &kind in Kind::ALL {
            for &color in Color::ALL {
                let seen = kept.iter().any(|scene| scene.objects.iter().any(|o| (o.kind, o.color) == (kind, color)));
                assert_eq!(seen, !HELD_OUT_PAIRS.contains(&(kind, color)), "{kind:?} {color:?}");
            }
        }
    }
}
