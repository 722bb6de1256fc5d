//! Whether a picture shows what its caption says, by the judge's word.

use crate::world::{Color, Facts, Ground, Kind, Relation, Time};

/// What the judge sees on one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Number of objects.
    pub count: usize,
    /// Kind and colour of the object, where there is one.
    pub single: (Kind, Color),
    /// Kind and colour of the leftmost object.
    pub left: (Kind, Color),
    /// Kind and colour of the rightmost object.
    pub right: (Kind, Color),
    /// The ground.
    pub ground: Ground,
    /// The time of day.
    pub time: Time,
}

/// What of a caption a picture gets right; `None` where the caption does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Score {
    /// As many objects as named.
    pub count: Option<bool>,
    /// All named kinds are there.
    pub kind: Option<bool>,
    /// All named colours are there, each on the kind that it was said of.
    pub color: Option<bool>,
    /// The ground.
    pub ground: Option<bool>,
    /// The time of day.
    pub time: Option<bool>,
    /// The named object that should be left of the other is the leftmost, and the other the rightmost.
    pub left_right: Option<bool>,
    /// All of these that the caption says.
    pub all: bool,
}

/// Compares a verdict with a caption of one or two objects. Of three objects only count, ground and time are judged.
///
/// For one object, a colour counts by itself. For two, colours count when some assignment of the two seen objects to the two
/// named ones has both colours right and, where both kinds are there, the kinds too.
pub fn score(verdict: &Verdict, facts: &Facts) -> Score {
    let seen = [verdict.left, verdict.right];
    let (mut kind, mut color, mut left_right) = (None, None, None);
    match facts.objects.as_slice() {
        [only] => {
            kind = Some(verdict.single.0 == only.kind);
            color = only.color.map(|color| verdict.single.1 == color);
        }
        [first, second] => {
            let kinds = |order: [usize; 2]| seen[order[0]].0 == first.kind && seen[order[1]].0 == second.kind;
            let colors = |order: [usize; 2]| {
                first.color.is_none_or(|color| seen[order[0]].1 == color) && second.color.is_none_or(|color| seen[order[1]].1 == color)
            };
            let orders = [[0, 1], [1, 0]];
            let both_kinds = orders.into_iter().any(kinds);
            kind = Some(both_kinds);
            if first.color.is_some() || second.color.is_some() {
                color = Some(orders.into_iter().any(|order| colors(order) && (kinds(order) || !both_kinds)));
            }
            let order = match facts.relation {
                Some(Relation::Left) => Some([0, 1]),
                Some(Relation::Right) => Some([1, 0]),
                _ => None,
            };
            // Two of a kind are told apart by their colours.
            left_right = order.map(|order| if first.kind == second.kind { kinds(order) && colors(order) } else { kinds(order) });
        }
        _ => {}
    }
    let count = Some(verdict.count == facts.objects.len());
    let ground = facts.ground.map(|ground| verdict.ground == ground);
    let time = facts.time.map(|time| verdict.time == time);
    let all = [count, kind, color, ground, time, left_right].into_iter().all(|part| part != Some(false));
    Score { count, kind, color, ground, time, left_right, all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::ObjectFacts;

    fn facts(objects: &[(Kind, Option<Color>)], relation: Option<Relation>) -> Facts {
        let objects = objects.iter().enumerate().map(|(index, &(kind, color))| ObjectFacts { index, kind, color, size: None }).collect();
        Facts { objects, relation, ground: Some(Ground::Sea), time: None, mountains: false }
    }

    fn verdict(left: (Kind, Color), right: (Kind, Color)) -> Verdict {
        Verdict { count: if left == right { 1 } else { 2 }, single: left, left, right, ground: Ground::Sea, time: Time::Night }
    }

    #[test]
    fn one_object() {
        let (house, castle) = (Kind::ALL[0], Kind::ALL[1]);
        let said = facts(&[(house, Some(Color::Red))], None);
        let right = score(&verdict((house, Color::Red), (house, Color::Red)), &said);
        assert!(right.all && right.time.is_none() && right.left_right.is_none());
        let wrong = score(&verdict((castle, Color::Red), (castle, Color::Red)), &said);
        assert_eq!((wrong.kind, wrong.color, wrong.all), (Some(false), Some(true), false));
    }

    #[test]
    fn two_objects_in_order() {
        let (a, b) = (Kind::ALL[0], Kind::ALL[1]);
        let said = facts(&[(a, Some(Color::Red)), (b, Some(Color::Blue))], Some(Relation::Right));
        assert!(score(&verdict((b, Color::Blue), (a, Color::Red)), &said).all);
        let swapped = score(&verdict((a, Color::Red), (b, Color::Blue)), &said);
        assert_eq!((swapped.kind, swapped.color, swapped.left_right), (Some(true), Some(true), Some(false)));
        let mixed = score(&verdict((b, Color::Red), (a, Color::Blue)), &said);
        assert_eq!((mixed.kind, mixed.color, mixed.left_right), (Some(true), Some(false), Some(true)));
    }

    #[test]
    fn two_of_a_kind_are_told_apart_by_colour() {
        let a = Kind::ALL[0];
        let said = facts(&[(a, Some(Color::Red)), (a, Some(Color::Blue))], Some(Relation::Left));
        assert_eq!(score(&verdict((a, Color::Red), (a, Color::Blue)), &said).left_right, Some(true));
        assert_eq!(score(&verdict((a, Color::Blue), (a, Color::Red)), &said).left_right, Some(false));
    }
}
