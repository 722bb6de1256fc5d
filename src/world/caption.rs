//! Captions: sentences that name only what is in the scene, with a record of what they say.
//!
//! Grammar, with each choice drawn from a seed:
//!
//! ```text
//! caption  = [opening] (objects places | place "," objects [place] | place place "," objects)
//! objects  = thing | thing relation thing | thing "and" thing | thing "," thing "and" thing
//! thing    = article [size] [colour] kind
//! place    = ground | time | mountains
//! ```

use super::attributes::{Color, Ground, Relation, Size, Time};
use super::dice::Dice;
use super::kinds::{Habitat, Kind};
use super::scene::Scene;
use serde::{Deserialize, Serialize};

/// The most words and marks of a caption, so that it fits 32 byte-pair tokens with its start, its end and a split word or two.
pub const MAX_WORDS: usize = 26;

/// A sentence about a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Caption {
    /// The sentence, lower case.
    pub text: String,
    /// What it says.
    pub facts: Facts,
}

/// What a caption states; what it leaves open is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Every object, in the order in which they are named.
    pub objects: Vec<ObjectFacts>,
    /// Where the first named object is, seen from the second.
    pub relation: Option<Relation>,
    /// The ground.
    pub ground: Option<Ground>,
    /// The time of day.
    pub time: Option<Time>,
    /// Whether mountains are named.
    pub mountains: bool,
}

/// What a caption states of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFacts {
    /// Which of the scene's objects it is.
    pub index: usize,
    /// Its kind.
    pub kind: Kind,
    /// Its colour.
    pub color: Option<Color>,
    /// Its size.
    pub size: Option<Size>,
}

pub(super) fn color_words(color: Color) -> &'static [&'static str] {
    match color {
        Color::Red => &["crimson", "scarlet"],
        Color::Orange => &["orange"],
        Color::Yellow => &["golden"],
        Color::Green => &["green"],
        Color::Blue => &["blue"],
        Color::Purple => &["violet"],
        Color::Pink => &["rosy"],
        Color::White => &["white"],
    }
}

pub(super) fn size_words(size: Size) -> &'static [&'static str] {
    match size {
        Size::Small => &["small", "little", "tiny"],
        Size::Large => &["big", "large", "huge"],
    }
}

pub(super) fn relation_words(relation: Relation) -> &'static [&'static str] {
    match relation {
        Relation::Left => &["left of", "to the left of", "on the left of"],
        Relation::Right => &["right of", "to the right of", "on the right of"],
        Relation::Above => &["above", "over"],
        Relation::Below => &["below", "under", "beneath"],
    }
}

pub(super) fn time_words(time: Time) -> &'static [&'static str] {
    match time {
        Time::Day => &["by day", "during the day", "in the daytime", "on a sunny day"],
        Time::Sunset => &["at sunset", "at dusk", "in the evening"],
        Time::Night => &["at night", "by night", "in the moonlight", "under the moon"],
    }
}

/// Phrases for the ground: canonical first. `aloft`: everything named flies over it.
pub(super) fn ground_words(ground: Ground, aloft: bool) -> &'static [&'static str] {
    match (ground, aloft) {
        (Ground::Meadow, false) => &["in the meadow", "in a meadow", "on the grass", "in the fields"],
        (Ground::Meadow, true) => &["over the meadow", "above a meadow", "over the grass", "over the fields"],
        (Ground::Sea, false) => &["at sea", "on the sea", "in the sea", "on the ocean"],
        (Ground::Sea, true) => &["over the sea", "above the sea", "over the ocean"],
        (Ground::Desert, false) => &["in the desert", "in a desert", "on the sand", "among the dunes"],
        (Ground::Desert, true) => &["over the desert", "above a desert", "over the sand", "over the dunes"],
        (Ground::Snow, false) => &["in the snow", "on the snow", "in a snowy landscape", "in winter"],
        (Ground::Snow, true) => &["over the snow", "above a snowy landscape", "in winter"],
    }
}

pub(super) const MOUNTAINS: &[&str] = &["with mountains", "in front of mountains", "with mountains behind"];
pub(super) const OPENINGS: &[&str] = &["a picture of", "an illustration of", "a drawing of"];

fn with_article(words: &str) -> String {
    let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {words}")
}

impl Scene {
    /// One caption, chosen by `seed` among the many that are true.
    pub fn caption(&self, seed: u64) -> String {
        self.caption_with_facts(seed).text
    }

    /// `count` captions, chosen by `seed`; some may be equal.
    pub fn captions(&self, seed: u64, count: usize) -> Vec<String> {
        let mut dice = Dice::new(seed);
        (0..count).map(|_| self.caption(dice.bits())).collect()
    }

    /// One caption and what it states.
    pub fn caption_with_facts(&self, seed: u64) -> Caption {
        let mut dice = Dice::new(seed);
        for _ in 0..8 {
            let caption = self.compose(&mut dice);
            if pieces(&caption.text) <= MAX_WORDS {
                return caption;
            }
        }
        self.full_caption_with_facts()
    }

    /// The canonical caption: colours, kinds, relation (of two), ground and time, in canonical words.
    pub fn full_caption(&self) -> String {
        self.full_caption_with_facts().text
    }

    /// The canonical caption and what it states.
    pub fn full_caption_with_facts(&self) -> Caption {
        let objects: Vec<ObjectFacts> = self
            .objects
            .iter()
            .enumerate()
            .map(|(index, o)| ObjectFacts { index, kind: o.kind, color: Some(o.color), size: None })
            .collect();
        let relation = if objects.len() == 2 { self.relation(0, 1) } else { None };
        let things: Vec<String> = self.objects.iter().map(|o| with_article(&format!("{} {}", o.color.label(), o.kind.label()))).collect();
        let link = relation.map_or("and", Relation::label);
        let ground = ground_words(self.ground, self.aloft())[0];
        let text = format!("{} {ground} {}", join(&things, link), time_words(self.time)[0]);
        let facts = Facts { objects, relation, ground: Some(self.ground), time: Some(self.time), mountains: false };
        Caption { text, facts }
    }

    fn aloft(&self) -> bool {
        self.objects.iter().all(|o| o.kind.info().habitat == Habitat::Sky)
    }

    fn compose(&self, dice: &mut Dice) -> Caption {
        let count = self.objects.len();
        let mut order: Vec<usize> = (0..count).collect();
        dice.shuffle(&mut order);
        let colored = dice.chance(if count == 3 { 0.85 } else { 0.94 });
        let sized = dice.chance(if count == 3 { 0.0 } else { 0.3 });
        let (mut facts, mut things) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for &index in &order {
            let object = &self.objects[index];
            let info = object.kind.info();
            let mut words = String::new();
            if sized {
                words = format!("{} ", dice.pick(size_words(object.size)));
            }
            if colored {
                let plain = dice.chance(0.9);
                words += if plain { object.color.label() } else { dice.pick(color_words(object.color)) };
                words += " ";
            }
            let plain = info.synonyms.is_empty() || dice.chance(0.7);
            words += if plain { info.label } else { dice.pick(info.synonyms) };
            things.push(with_article(&words));
            let (color, size) = (colored.then_some(object.color), sized.then_some(object.size));
            facts.push(ObjectFacts { index, kind: object.kind, color, size });
        }

        let relation = if count == 2 && dice.chance(0.85) { self.relation(order[0], order[1]) } else { None };
        let link = match relation {
            Some(relation) if dice.chance(0.5) => relation.label(),
            Some(relation) => dice.pick(relation_words(relation)),
            None if count == 2 => dice.pick(&["and", "and", "with"]),
            None => "and",
        };
        let objects = join(&things, link);

        let ground = dice.chance(0.8).then_some(self.ground);
        let time = dice.chance(0.75).then_some(self.time);
        let mountains = self.mountains && dice.chance(0.2);
        let ground_words = ground.map(|g| choice(dice, ground_words(g, self.aloft()), 0.45));
        let time_words = time.map(|t| choice(dice, time_words(t), 0.5));
        let mountain_words = mountains.then(|| dice.pick(MOUNTAINS));
        let form = dice.unit();
        let tail = |parts: &[Option<&str>]| parts.iter().flatten().map(|p| format!(" {p}")).collect::<String>();
        let text = match (ground_words, time_words) {
            (g, Some(t)) if form < 0.22 => format!("{t}, {objects}{}", tail(&[g, mountain_words])),
            (Some(g), t) if form < 0.34 => format!("{g}, {objects}{}", tail(&[mountain_words, t])),
            (Some(g), Some(t)) if form < 0.42 => format!("{t} {g}, {objects}{}", tail(&[mountain_words])),
            (g, t) if form < 0.58 => format!("{objects}{}", tail(&[t, g, mountain_words])),
            (g, t) if form < 0.64 => format!("{} {objects}{}", dice.pick(OPENINGS), tail(&[g, t, mountain_words])),
            (g, t) => format!("{objects}{}", tail(&[g, mountain_words, t])),
        };
        Caption { text, facts: Facts { objects: facts, relation, ground, time, mountains } }
    }
}

/// The canonical phrase with probability `plain`, else any.
fn choice(dice: &mut Dice, phrases: &[&'static str], plain: f32) -> &'static str {
    if dice.chance(plain) { phrases[0] } else { dice.pick(phrases) }
}

/// Words and marks: each is at least one token.
fn pieces(text: &str) -> usize {
    text.split(' ').count() + 2 * text.matches('-').count() + text.matches(',').count()
}

fn join(things: &[String], link: &str) -> String {
    match things {
        [a, b] => format!("{a} {link} {b}"),
        [a, b, c] => format!("{a}, {b} and {c}"),
        _ => things.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What the words of a caption say of the kinds, each with its colour and size, in order.
    fn read_things(text: &str) -> Vec<(Kind, Option<Color>, Option<Size>)> {
        let words: Vec<&str> = text.split([' ', ',']).filter(|w| !w.is_empty()).collect();
        let mut things = Vec::new();
        let (mut color, mut size, mut i) = (None, None, 0);
        while i < words.len() {
            let here = |phrase: &str| {
                let parts: Vec<&str> = phrase.split(' ').collect();
                (words[i..].len() >= parts.len() && words[i..i + parts.len()] == parts[..]).then_some(parts.len())
            };
            let names = |kind: Kind| [kind.label()].into_iter().chain(kind.info().synonyms.iter().copied());
            let longest = Kind::ALL.iter().flat_map(|&k| names(k).filter_map(here).map(move |n| (n, k))).max_by_key(|(n, _)| *n);
            if let Some((n, kind)) = longest {
                things.push((kind, color.take(), size.take()));
                i += n;
                continue;
            }
            for &c in Color::ALL {
                if words[i] == c.label() || color_words(c).contains(&words[i]) {
                    color = Some(c);
                }
            }
            for &s in Size::ALL {
                if size_words(s).contains(&words[i]) {
                    size = Some(s);
                }
            }
            i += 1;
        }
        things
    }

    /// Whether ` phrase ` stands in the caption as whole words.
    fn says(text: &str, phrase: &str) -> bool {
        format!(" {} ", text.replace(',', "")).contains(&format!(" {phrase} "))
    }

    #[test]
    fn captions_read_back_to_their_facts_and_facts_hold() {
        for seed in 0..4000 {
            let scene = Scene::sample(seed);
            for caption in [scene.caption_with_facts(seed), scene.full_caption_with_facts()] {
                let (text, facts) = (&caption.text, &caption.facts);
                let read = read_things(text);
                let stated: Vec<_> = facts.objects.iter().map(|o| (o.kind, o.color, o.size)).collect();
                assert_eq!(read, stated, "{text}");
                let named: BTreeSet<usize> = facts.objects.iter().map(|o| o.index).collect();
                assert_eq!(named, (0..scene.objects.len()).collect(), "{text}");
                for o in &facts.objects {
                    let object = &scene.objects[o.index];
                    assert_eq!(o.kind, object.kind, "{text}");
                    assert!(o.color.is_none_or(|c| c == object.color), "{text}");
                    assert!(o.size.is_none_or(|s| s == object.size), "{text}");
                }
                for &time in Time::ALL {
                    let said = time_words(time).iter().any(|w| says(text, w));
                    assert_eq!(said, facts.time == Some(time), "{text}");
                    assert!(!said || scene.time == time, "{text}");
                }
                for &ground in Ground::ALL {
                    let said = [true, false].iter().any(|&aloft| ground_words(ground, aloft).iter().any(|w| says(text, w)));
                    assert_eq!(said, facts.ground == Some(ground), "{text}");
                    assert!(!said || scene.ground == ground, "{text}");
                }
                assert!(!text.contains("mountains") || (facts.mountains && scene.mountains), "{text}");
                if let Some(relation) = facts.relation {
                    let (a, b) = (facts.objects[0].index, facts.objects[1].index);
                    assert_eq!(scene.relation(a, b), Some(relation), "{text}");
                    assert!(relation_words(relation).iter().any(|w| says(text, w)), "{text}");
                } else {
                    assert!(![Relation::Left, Relation::Right].iter().any(|r| relation_words(*r).iter().any(|w| says(text, w))), "{text}");
                }
            }
        }
    }

    #[test]
    fn captions_are_short_plain_and_repeatable() {
        for seed in 0..2000 {
            let scene = Scene::sample(seed);
            for text in scene.captions(seed, 3).into_iter().chain([scene.full_caption()]) {
                assert!(pieces(&text) <= MAX_WORDS, "{text}");
                assert_eq!(text, text.to_lowercase());
                assert!(!text.contains("  ") && text.trim() == text && text.is_ascii(), "{text}");
                assert!(!says(&text, "a orange"), "{text}");
            }
            assert_eq!(scene.captions(seed, 3), scene.captions(seed, 3));
        }
    }

    #[test]
    fn the_grammar_reaches_every_word() {
        let all: String = (0..6000).map(|seed| format!(" {} ,", Scene::sample(seed).caption(seed ^ 9))).collect();
        let all = all.replace(',', "");
        let mut phrases: Vec<&str> = [MOUNTAINS, OPENINGS].concat();
        Kind::ALL.iter().for_each(|k| phrases.extend(k.info().synonyms.iter().chain([&k.info().label])));
        Color::ALL.iter().for_each(|&c| phrases.extend(color_words(c).iter().chain([&c.label()])));
        Size::ALL.iter().for_each(|&s| phrases.extend(size_words(s)));
        Relation::ALL.iter().for_each(|&r| phrases.extend(relation_words(r)));
        Time::ALL.iter().for_each(|&t| phrases.extend(time_words(t)));
        Ground::ALL.iter().for_each(|&g| phrases.extend(ground_words(g, true).iter().chain(ground_words(g, false))));
        for phrase in phrases {
            assert!(all.contains(&format!(" {phrase} ")), "never said: {phrase}");
        }
    }

    #[test]
    fn same_seed_same_caption_on_every_machine() {
        assert_eq!(Scene::sample(4).caption(7), "a purple whale and a red camping tent under the moon");
        assert_eq!(Scene::sample(5).caption(7), "a pink house and an orange boat on a sunny day");
    }

    #[test]
    fn a_known_caption() {
        let mut scene = Scene::sample(5);
        scene.objects.truncate(1);
        let o = &mut scene.objects[0];
        (o.kind, o.color, scene.ground, scene.time) = (Kind::House, Color::Orange, Ground::Meadow, Time::Night);
        assert_eq!(scene.full_caption(), "an orange house in the meadow at night");
    }
}
