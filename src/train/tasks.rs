//! The captions that a model is asked to draw when it is measured.

use super::HELD_OUT;
use crate::world::{Facts, HELD_OUT_PAIRS, Relation, Scene, SceneSpec};

/// Where the scenes of the captions begin, beyond those for reconstruction and retrieval.
const FIRST_CAPTION: u64 = HELD_OUT + 100_000;
/// Seeds between the captions of one set and of the next, and between one caption's noise and that of another use.
const APART: u64 = 10_000_000;

/// A set of captions that is reported by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Of one object, whose pair of kind and colour was trained on.
    One,
    /// Of two such objects side by side.
    Two,
    /// Of one object, of a held-out pair.
    Pairs,
}

impl Set {
    /// Every set, in the order of the reports.
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Pairs];

    /// What it holds, in words.
    pub fn label(self) -> &'static str {
        match self {
            Self::One => "captions of one object",
            Self::Two => "captions of two objects side by side",
            Self::Pairs => "captions of one object of a pair of kind and colour that was held out",
        }
    }

    /// Its name in a record.
    pub fn key(self) -> &'static str {
        match self {
            Self::One => "one_object",
            Self::Two => "two_objects",
            Self::Pairs => "held_out_pairs",
        }
    }

    /// The first `count` captions of the set: the full, canonical ones of held-out scenes. A longer list begins with a shorter.
    pub fn tasks(self, count: usize) -> Vec<Task> {
        let first = FIRST_CAPTION + APART * self as u64;
        (first..)
            .filter_map(|seed| Some((seed, Scene::sample_with(seed, self.spec(seed)).ok()?)))
            .filter_map(|(seed, scene)| {
                let caption = scene.full_caption_with_facts();
                let beside = matches!(caption.facts.relation, Some(Relation::Left | Relation::Right));
                let fits = scene.has_held_out_pair() == (self == Self::Pairs) && (self != Self::Two || beside);
                fits.then_some(Task { set: self, scene, text: caption.text, facts: caption.facts, seed })
            })
            .take(count)
            .collect()
    }

    fn spec(self, seed: u64) -> SceneSpec {
        let objects = Some(if self == Self::Two { 2 } else { 1 });
        match self {
            // The pairs take turns.
            Self::Pairs => {
                let (kind, color) = HELD_OUT_PAIRS[(seed % HELD_OUT_PAIRS.len() as u64) as usize];
                SceneSpec { objects, kind: Some(kind), color: Some(color), ..SceneSpec::default() }
            }
            _ => SceneSpec { objects, ..SceneSpec::default() },
        }
    }
}

/// A caption to draw, with the scene that it is of.
#[derive(Debug, Clone)]
pub struct Task {
    /// Where it belongs.
    pub set: Set,
    /// The scene.
    pub scene: Scene,
    /// Its full caption.
    pub text: String,
    /// What that says.
    pub facts: Facts,
    /// The scene's seed; the noise that a drawing starts from is of the same seed.
    pub seed: u64,
}

impl Task {
    /// Seeds for several samples of this one caption, and for several renderings.
    pub fn repeats(&self, count: usize) -> impl Iterator<Item = u64> + use<> {
        let first = self.seed + APART * Set::ALL.len() as u64 + 1000 * (self.seed - FIRST_CAPTION);
        (first..).take(count)
    }

    /// Another scene that its caption is true of, of one object; `None` where there is none.
    pub fn rendering(&self, seed: u64) -> Option<Scene> {
        let [object] = self.facts.objects.as_slice() else { return None };
        let spec = SceneSpec {
            objects: Some(1),
            time: self.facts.time,
            ground: self.facts.ground,
            kind: Some(object.kind),
            color: object.color,
            size: None,
        };
        Scene::sample_with(seed, spec).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn sets_hold_what_they_say_and_share_no_scene() {
        let mut seeds = BTreeSet::new();
        for set in Set::ALL {
            let tasks = set.tasks(60);
            assert_eq!(tasks.len(), 60);
            assert!(set.tasks(10).iter().zip(&tasks).all(|(a, b)| a.text == b.text && a.seed == b.seed));
            for task in &tasks {
                assert!(seeds.insert(task.seed) && task.seed >= HELD_OUT);
                assert_eq!(task.facts.objects.len(), if set == Set::Two { 2 } else { 1 });
                assert_eq!(task.scene.has_held_out_pair(), set == Set::Pairs);
                assert_eq!(task.facts.relation.is_some(), set == Set::Two);
            }
        }
        let pairs: BTreeSet<_> =
            Set::Pairs.tasks(60).iter().map(|task| (task.scene.objects[0].kind, task.scene.objects[0].color)).collect();
        assert_eq!(pairs, HELD_OUT_PAIRS.into_iter().collect());
    }

    #[test]
    fn repeats_differ_and_renderings_fit_the_caption() {
        let tasks = Set::One.tasks(8);
        let mut seeds = BTreeSet::new();
        for task in &tasks {
            for seed in task.repeats(8) {
                assert!(seeds.insert(seed));
                assert_eq!(task.rendering(seed).unwrap().full_caption(), task.text);
            }
        }
    }
}
