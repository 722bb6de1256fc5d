//! Reading a prompt as a caption: what it says, where every word of it is one that captions are made of.

use super::caption::{Facts, ObjectFacts, color_words, ground_words, relation_words, size_words, time_words};
use super::caption::{MOUNTAINS, OPENINGS};
use super::{Color, Ground, Kind, MAX_OBJECTS, Relation, Size, Time};

/// What a phrase means.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    Kind(Kind),
    Color(Color),
    Size(Size),
    Relation(Relation),
    Ground(Ground),
    Time(Time),
    Mountains,
    Nothing,
}

/// Every phrase of the captions' grammar.
fn phrases() -> Vec<(&'static str, Meaning)> {
    let mut all = Vec::new();
    for &kind in Kind::ALL {
        all.extend([kind.label()].iter().chain(kind.info().synonyms).map(|words| (*words, Meaning::Kind(kind))));
    }
    for &color in Color::ALL {
        all.extend([color.label()].iter().chain(color_words(color)).map(|words| (*words, Meaning::Color(color))));
    }
    for &size in Size::ALL {
        all.extend(size_words(size).iter().map(|words| (*words, Meaning::Size(size))));
    }
    for &relation in Relation::ALL {
        all.extend([relation.label()].iter().chain(relation_words(relation)).map(|words| (*words, Meaning::Relation(relation))));
    }
    for &ground in Ground::ALL {
        let words = [false, true].into_iter().flat_map(|aloft| ground_words(ground, aloft));
        all.extend(words.map(|words| (*words, Meaning::Ground(ground))));
    }
    for &time in Time::ALL {
        all.extend(time_words(time).iter().map(|words| (*words, Meaning::Time(time))));
    }
    all.extend(MOUNTAINS.iter().map(|words| (*words, Meaning::Mountains)));
    all.extend(OPENINGS.iter().chain(&["a", "an", "the", "and", "with"]).map(|words| (*words, Meaning::Nothing)));
    all
}

impl Facts {
    /// What a prompt states; none where it has a word that captions do not have, names no object or more than a scene holds, or
    /// says two things of the same (two grounds, a colour of nothing). "in winter" is snow, as in captions.
    pub fn read(prompt: &str) -> Option<Self> {
        let lower = prompt.to_lowercase();
        let words: Vec<&str> = lower.split([' ', ',', '.']).filter(|word| !word.is_empty()).collect();
        let phrases = phrases();
        let mut facts = Self { objects: Vec::new(), relation: None, ground: None, time: None, mountains: false };
        let (mut color, mut size) = (None, None);
        let mut rest = words.as_slice();
        while !rest.is_empty() {
            let fits = |phrase: &str| phrase.split(' ').count() <= rest.len() && phrase.split(' ').zip(rest).all(|(a, b)| a == *b);
            let (phrase, meaning) =
                phrases.iter().filter(|(phrase, _)| fits(phrase)).max_by_key(|(phrase, _)| phrase.split(' ').count())?;
            rest = &rest[phrase.split(' ').count()..];
            let twice = match *meaning {
                Meaning::Kind(kind) => {
                    let index = facts.objects.len();
                    facts.objects.push(ObjectFacts { index, kind, color: color.take(), size: size.take() });
                    false
                }
                Meaning::Color(named) => color.replace(named).is_some(),
                Meaning::Size(named) => size.replace(named).is_some(),
                Meaning::Relation(named) => facts.relation.replace(named).is_some(),
                Meaning::Ground(named) => facts.ground.replace(named).is_some(),
                Meaning::Time(named) => facts.time.replace(named).is_some(),
                Meaning::Mountains => std::mem::replace(&mut facts.mountains, true),
                Meaning::Nothing => false,
            };
            if twice {
                return None;
            }
        }
        let whole = color.is_none() && size.is_none() && (facts.relation.is_none() || facts.objects.len() == 2);
        (whole && (1..=MAX_OBJECTS).contains(&facts.objects.len())).then_some(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scene;
    use super::*;

    #[test]
    fn captions_are_read_as_what_they_say() {
        for seed in 0..4000 {
            let scene = Scene::sample(seed);
            for caption in [scene.caption_with_facts(seed), scene.full_caption_with_facts()] {
                let read = Facts::read(&caption.text);
                let mut said = caption.facts;
                said.objects.iter_mut().enumerate().for_each(|(index, object)| object.index = index);
                assert_eq!(read, Some(said), "{}", caption.text);
            }
        }
    }

    #[test]
    fn what_is_no_caption_is_not_read() {
        for prompt in ["", "a red", "a cat", "a red house in the snow at sea", "a red blue house", "a photograph of a house", "in the snow"]
        {
            assert_eq!(Facts::read(prompt), None, "{prompt:?}");
        }
        let facts = Facts::read("A Red House, at night.").expect("a caption");
        assert_eq!((facts.objects.len(), facts.objects[0].color, facts.time), (1, Some(Color::Red), Some(Time::Night)));
    }
}
