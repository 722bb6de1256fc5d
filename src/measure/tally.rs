//! How often pictures get right what their captions say, attribute by attribute.

use super::adherence::{Verdict, score};
use super::statistics::Proportion;
use crate::world::Facts;

/// Shares of pictures that get an attribute right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// All named kinds.
    pub kind: Proportion,
    /// All named colours, each on its kind.
    pub color: Proportion,
    /// As many objects as named: none missing, none twice.
    pub count: Proportion,
    /// Kinds, colours and count together.
    pub objects: Proportion,
    /// Left and right: the right kinds in the right order.
    pub left_right: Proportion,
    /// Left and right among the pictures on which both kinds are right.
    pub order: Proportion,
    /// The ground.
    pub ground: Proportion,
    /// The time of day.
    pub time: Proportion,
    /// Everything that the caption says.
    pub all: Proportion,
}

/// A share's name and where it is.
type Column = (&'static str, fn(&Tally) -> &Proportion);

/// What a table of tallies shows, in this order.
const COLUMNS: [Column; 9] = [
    ("kind", |tally| &tally.kind),
    ("colour", |tally| &tally.color),
    ("count", |tally| &tally.count),
    ("objects", |tally| &tally.objects),
    ("left/right", |tally| &tally.left_right),
    ("order", |tally| &tally.order),
    ("ground", |tally| &tally.ground),
    ("time", |tally| &tally.time),
    ("all", |tally| &tally.all),
];

impl Tally {
    /// What [`Self::columns`] are, in a sentence.
    pub const LEGEND: &'static str = "kind and colour: all that are named, each colour on its kind; count: no object missing or twice; \
        objects: kinds, colours and count together; left/right: the named kinds in the named order; order: the same among the pictures \
        with both kinds right; all: everything that the caption says";

    /// Counts one picture.
    pub fn add(&mut self, verdict: &Verdict, facts: &Facts) {
        let score = score(verdict, facts);
        self.kind.add(score.kind);
        self.color.add(score.color);
        self.count.add(score.count);
        self.objects.add(score.kind.map(|kind| kind && score.color != Some(false) && score.count == Some(true)));
        self.left_right.add(score.left_right);
        self.order.add(score.left_right.filter(|_| score.kind == Some(true)));
        self.ground.add(score.ground);
        self.time.add(score.time);
        self.all.add(Some(score.all));
    }

    /// Names and shares.
    pub fn columns(&self) -> impl Iterator<Item = (&'static str, Proportion)> {
        COLUMNS.map(|(name, share)| (name, *share(self))).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Color, Kind, Scene, SceneSpec};

    #[test]
    fn order_asks_only_where_the_kinds_are_right() {
        let scene = (0..)
            .filter_map(|seed| Scene::sample_with(seed, SceneSpec { objects: Some(2), ..Default::default() }).ok())
            .find(|scene| scene.full_caption().contains("left of") && scene.objects[0].kind != scene.objects[1].kind)
            .unwrap();
        let facts = scene.full_caption_with_facts().facts;
        let [a, b] = [0, 1].map(|i| (scene.objects[i].kind, scene.objects[i].color));
        let other = *Kind::ALL.iter().find(|&&kind| kind != a.0 && kind != b.0).unwrap();
        let verdict =
            |left: (Kind, Color), right, count| Verdict { count, single: left, left, right, ground: scene.ground, time: scene.time };
        let mut tally = Tally::default();
        for seen in [verdict(a, b, 2), verdict(b, a, 2), verdict(a, b, 3), verdict((other, a.1), b, 2)] {
            tally.add(&seen, &facts);
        }
        let hits = |share: Proportion| (share.hits, share.trials);
        assert_eq!((hits(tally.kind), hits(tally.left_right), hits(tally.order)), ((3, 4), (2, 4), (2, 3)));
        assert_eq!((hits(tally.count), hits(tally.objects), hits(tally.all)), ((3, 4), (2, 4), (1, 4)));
        assert_eq!(tally.columns().count(), COLUMNS.len());
    }
}
