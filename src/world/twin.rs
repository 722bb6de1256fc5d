//! Scenes that differ from another one in a single thing: whose colour is whose, or who stands on which side.
//!
//! Side by side they show whether a model understands a sentence or only collects its words (Thrush et al. 2022, arXiv
//! 2204.03162); in training they make it understand (Yuksekgonul et al. 2023, arXiv 2210.01936).

use super::attributes::Relation;
use super::scene::Scene;

/// In what a twin differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twin {
    /// The two objects have exchanged their colours.
    Colors,
    /// The two objects have exchanged their places across the picture.
    Places,
}

impl Scene {
    /// The scene with its two objects' colours or places exchanged; `None` where there are not two objects, where nothing
    /// would differ, or where they do not stand side by side.
    pub fn twin(&self, twin: Twin) -> Option<Self> {
        let mut other = self.clone();
        let [a, b] = other.objects.as_mut_slice() else { return None };
        match twin {
            Twin::Colors => {
                if a.color == b.color {
                    return None;
                }
                (a.color, b.color) = (b.color, a.color);
            }
            Twin::Places => {
                (a.x, b.x) = (b.x, a.x);
                for object in [a, b] {
                    let margin = object.half_width() + 0.02 + object.tilt.abs() * object.height();
                    object.x = object.x.clamp(margin, 1.0 - margin);
                }
                // The sun moves along to where the sky is about as free as it was.
                other.sun[0] = 1.0 - other.sun[0];
            }
        }
        let beside = |relation| matches!(relation, Some(Relation::Left | Relation::Right));
        let (before, after) = (self.relation(0, 1), other.relation(0, 1));
        let expected = if twin == Twin::Places { before.map(Relation::inverse) } else { before };
        (beside(before) && after == expected).then_some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::SceneSpec;

    #[test]
    fn a_twin_differs_in_one_thing_and_its_twin_is_the_scene() {
        let mut found = [0, 0];
        for seed in 0..400 {
            let scene = Scene::sample_with(seed, SceneSpec { objects: Some(2), ..Default::default() }).unwrap();
            for (index, kind) in [Twin::Colors, Twin::Places].into_iter().enumerate() {
                let Some(twin) = scene.twin(kind) else { continue };
                found[index] += 1;
                assert_ne!(scene.full_caption(), twin.full_caption());
                assert!(twin.objects.iter().all(|o| o.bounds()[0] >= 0.0 && o.bounds()[2] <= 1.0), "seed {seed}");
                let back = twin.twin(kind).unwrap();
                assert_eq!(back.full_caption(), scene.full_caption());
                assert_eq!(scene.relation(0, 1) == twin.relation(0, 1), kind == Twin::Colors, "seed {seed}");
            }
            assert!(Scene::sample_with(seed, SceneSpec { objects: Some(1), ..Default::default() }).unwrap().twin(Twin::Places).is_none());
        }
        assert!(found.iter().all(|&n| n > 200), "{found:?}");
    }
}
