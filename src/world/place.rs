//! What is in a scene and where: the draws behind [`Scene::sample`](super::Scene::sample).

use super::attributes::{Color, Ground, Size, Time};
use super::dice::Dice;
use super::kinds::{Habitat, Kind};
use super::scene::{SceneObject, SceneSpec};

/// Kinds, colours and sizes; places follow.
pub(super) fn choose(dice: &mut Dice, ground: Ground, count: usize, spec: SceneSpec) -> Vec<SceneObject> {
    let mut objects: Vec<SceneObject> = Vec::with_capacity(count);
    for i in 0..count {
        let first = i == 0;
        let (mut kind, mut color);
        loop {
            let habitat = match ground {
                Ground::Sea => dice.weighted(&[(Habitat::Sea, 0.53), (Habitat::Sky, 0.16), (Habitat::Land, 0.31)]),
                _ => dice.weighted(&[(Habitat::Sky, 0.18), (Habitat::Land, 0.82)]),
            };
            kind = dice.one_of(Kind::of(habitat)).unwrap_or(Kind::House);
            color = dice.pick(Color::ALL);
            if first {
                kind = spec.kind.unwrap_or(kind);
                color = spec.color.unwrap_or(color);
            }
            let repeated = objects.iter().any(|o| o.kind == kind);
            let twin = objects.iter().any(|o| o.kind == kind && o.color == color);
            let full = count == 3 && kind.info().habitat == Habitat::Sky && objects.iter().filter(|o| o.flies()).count() == 2;
            if first || !(twin || full || (repeated && dice.chance(0.7))) {
                break;
            }
        }
        let mut size = match count {
            1 => dice.weighted(&[(Size::Small, 0.4), (Size::Large, 0.6)]),
            2 => dice.pick(Size::ALL),
            _ => Size::Small,
        };
        if first && count < 3 {
            size = spec.size.unwrap_or(size);
        }
        let flip = dice.chance(0.5);
        let tilt = if kind.info().tilts { dice.range(-0.09, 0.09) } else { 0.0 };
        objects.push(SceneObject { kind, color, size, x: 0.5, y: 0.9, flip, tilt });
    }
    objects
}

/// Gives each object its place: none hides another, all are inside of the picture.
pub(super) fn place(dice: &mut Dice, objects: &mut [SceneObject], horizon: f32) {
    let flying = objects.iter().filter(|o| o.flies()).count();
    let mut across: Vec<f32>;
    match objects {
        [only] => {
            across = vec![dice.range(0.26, 0.74)];
            stand(dice, only, horizon, None);
        }
        [a, b] => {
            let upright = match flying {
                0 => 0.0,
                1 => 0.42,
                _ => 0.35,
            };
            if dice.chance(upright) {
                let middle = dice.range(0.28, 0.72);
                across = vec![middle + dice.range(-0.05, 0.05), middle + dice.range(-0.05, 0.05)];
                // The one above is among those that fly; `swap` says whether it is `b`.
                let swap = if flying == 2 { dice.chance(0.5) } else { b.flies() };
                let (upper, lower) = if swap { (b, a) } else { (a, b) };
                if flying == 2 || lower.size == Size::Large {
                    upper.size = Size::Small;
                }
                if flying == 2 {
                    lower.size = Size::Small;
                }
                upper.y = dice.range(0.03, 0.06) + upper.height();
                if lower.flies() {
                    lower.y = dice.range(0.42, 0.50) + lower.height();
                } else {
                    lower.y = dice.range(0.90, 0.95);
                }
            } else {
                across = vec![dice.range(0.24, 0.30), dice.range(0.70, 0.76)];
                dice.shuffle(&mut across);
                stand(dice, a, horizon, None);
                stand(dice, b, horizon, None);
            }
        }
        _ => {
            // The odd one out, the flier over two or what stands under two fliers, takes the middle.
            across = vec![dice.range(0.17, 0.20), dice.range(0.80, 0.83)];
            dice.shuffle(&mut across);
            let middle = match flying {
                1 => objects.iter().position(|o| o.flies()),
                2 => objects.iter().position(|o| !o.flies()),
                _ => None,
            };
            let middle = middle.unwrap_or_else(|| dice.below(3));
            across.insert(middle, dice.range(0.48, 0.52));
            for object in objects.iter_mut() {
                let row = match flying {
                    0 => None,
                    _ if object.flies() => Some(dice.range(0.04, 0.12) + object.height()),
                    _ => Some(dice.range(0.84, 0.94)),
                };
                stand(dice, object, horizon, row);
            }
        }
    }
    for (object, x) in objects.iter_mut().zip(across) {
        let margin = object.half_width() + 0.02 + object.tilt.abs() * object.height();
        object.x = x.clamp(margin, 1.0 - margin);
    }
}

/// Chooses the height of an object, or takes `row`.
fn stand(dice: &mut Dice, object: &mut SceneObject, horizon: f32, row: Option<f32>) {
    let y = if object.flies() {
        let lowest = (horizon + 0.06 - object.height()).max(0.08);
        dice.range(0.04, lowest) + object.height()
    } else {
        let far = (horizon + 0.12).max(object.height() + 0.05);
        dice.range(far, 0.93)
    };
    object.y = row.unwrap_or(y);
}

/// The sun or moon goes where the sky is free.
pub(super) fn place_sun(dice: &mut Dice, objects: &[SceneObject], time: Time, horizon: f32) -> [f32; 2] {
    let mut best = ([0.5, 0.2], -1.0_f32);
    for _ in 0..5 {
        let x = dice.range(0.12, 0.88);
        let y = match time {
            Time::Day => dice.range(0.12, 0.20),
            Time::Sunset => horizon - dice.range(0.02, 0.10),
            Time::Night => dice.range(0.13, 0.22),
        };
        let gap = |o: &SceneObject| {
            let [left, top, right, bottom] = o.bounds();
            let dx = (left - x).max(x - right).max(0.0);
            let dy = (top - y).max(y - bottom).max(0.0);
            dx * dx + dy * dy
        };
        let free = objects.iter().map(gap).fold(1.0, f32::min);
        if free > best.1 {
            best = ([x, y], free);
        }
    }
    best.0
}
