//! Scenes as plain data, and how they are sampled.

use super::attributes::{Color, Ground, Relation, Size, Time};
use super::dice::Dice;
use super::kinds::{Habitat, Kind};
use super::place::{choose, place, place_sun};
use super::{MAX_OBJECTS, WorldError};
use serde::{Deserialize, Serialize};

/// One object. Coordinates are fractions of the picture's side, x to the right and y down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneObject {
    /// What it is.
    pub kind: Kind,
    /// Colour of its main body.
    pub color: Color,
    /// Small or big.
    pub size: Size,
    /// Middle of its base.
    pub x: f32,
    /// Where it stands or floats; for what flies, its lowest point.
    pub y: f32,
    /// Mirrored.
    pub flip: bool,
    /// How it leans: the tangent of half the angle.
    pub tilt: f32,
}

/// A picture of Littleworld before it is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// Time of day.
    pub time: Time,
    /// What the land is.
    pub ground: Ground,
    /// Height of the horizon.
    pub horizon: f32,
    /// Whether mountains stand behind.
    pub mountains: bool,
    /// Number of clouds, 0 to 3.
    pub clouds: u8,
    /// Whether snow falls.
    pub snowfall: bool,
    /// Centre of the sun or moon.
    pub sun: [f32; 2],
    /// Seed of flowers, waves, stars and the like.
    pub detail: u64,
    /// One to three objects, in no particular order of place.
    pub objects: Vec<SceneObject>,
}

/// What a sampled scene must have; `None` leaves it to chance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SceneSpec {
    /// Number of objects, 1 to 3.
    pub objects: Option<usize>,
    /// Time of day.
    pub time: Option<Time>,
    /// Ground.
    pub ground: Option<Ground>,
    /// Kind of the first object.
    pub kind: Option<Kind>,
    /// Colour of the first object.
    pub color: Option<Color>,
    /// Size of the first object, kept where there is room (always when it is the only one).
    pub size: Option<Size>,
}

impl SceneObject {
    /// Height as a fraction of the picture's.
    pub fn height(&self) -> f32 {
        self.size.scale() * self.kind.info().height
    }

    /// Half of its width as a fraction of the picture's.
    pub fn half_width(&self) -> f32 {
        self.size.scale() * self.kind.info().half_width
    }

    /// The box around it: left, top, right, bottom.
    pub fn bounds(&self) -> [f32; 4] {
        [self.x - self.half_width(), self.y - self.height(), self.x + self.half_width(), self.y]
    }

    /// The middle of its box.
    pub fn center(&self) -> [f32; 2] {
        [self.x, self.y - 0.5 * self.height()]
    }

    /// Whether it is in the air.
    pub(super) fn flies(&self) -> bool {
        self.kind.info().habitat == Habitat::Sky
    }
}

/// Centres farther apart than this, across, are left and right of one another.
const APART: f32 = 0.28;
/// Centres nearer than this, across, are above and below one another.
const ALIGNED: f32 = 0.12;

impl Scene {
    /// The scene of a seed.
    pub fn sample(seed: u64) -> Self {
        match Self::sample_with(seed, SceneSpec::default()) {
            Ok(scene) => scene,
            Err(error) => unreachable!("nothing was asked for, yet {error}"),
        }
    }

    /// The scene of a seed among those that meet `spec`.
    ///
    /// # Errors
    /// [`WorldError`] when no scene meets it: no or too many objects, or a boat in the desert.
    pub fn sample_with(seed: u64, spec: SceneSpec) -> Result<Self, WorldError> {
        if let Some(n) = spec.objects
            && !(1..=MAX_OBJECTS).contains(&n)
        {
            return Err(WorldError::Objects(n));
        }
        let afloat = spec.kind.filter(|kind| kind.info().habitat == Habitat::Sea);
        if let (Some(kind), Some(ground)) = (afloat, spec.ground)
            && ground != Ground::Sea
        {
            return Err(WorldError::Habitat { kind, ground });
        }
        let mut dice = Dice::new(seed);
        let time = dice.pick(Time::ALL);
        let ground = dice.weighted(&[(Ground::Meadow, 0.26), (Ground::Sea, 0.27), (Ground::Desert, 0.235), (Ground::Snow, 0.235)]);
        let count = dice.weighted(&[(1, 0.55), (2, 0.38), (3, 0.07)]);
        let time = spec.time.unwrap_or(time);
        let ground = spec.ground.unwrap_or(if afloat.is_some() { Ground::Sea } else { ground });
        let count = spec.objects.unwrap_or(count);

        let horizon = match ground {
            Ground::Sea => dice.range(0.54, 0.62),
            _ => dice.range(0.56, 0.64),
        };
        let mountains = dice.chance(0.4);
        let clouds = dice.weighted(&[(0, 0.2), (1, 0.35), (2, 0.35), (3, 0.1)]);
        let snowfall = dice.chance(0.6) && ground == Ground::Snow;
        let detail = dice.bits();
        let mut objects = choose(&mut dice, ground, count, spec);
        place(&mut dice, &mut objects, horizon);
        dice.shuffle(&mut objects);
        let sun = place_sun(&mut dice, &objects, time, horizon);
        Ok(Self { time, ground, horizon, mountains, clouds, snowfall, sun, detail, objects })
    }

    /// Where object `i` is, seen from object `j`; `None` when it is plainly neither.
    ///
    /// Left and right: centres at least 0.28 of the width apart across. Above and below: centres within 0.12 across and
    /// boxes one over the other.
    pub fn relation(&self, i: usize, j: usize) -> Option<Relation> {
        let (a, b) = (self.objects.get(i)?, self.objects.get(j)?);
        let dx = a.x - b.x;
        let (box_a, box_b) = (a.bounds(), b.bounds());
        if dx <= -APART {
            Some(Relation::Left)
        } else if dx >= APART {
            Some(Relation::Right)
        } else if dx.abs() <= ALIGNED && box_a[3] <= box_b[1] + 0.05 {
            Some(Relation::Above)
        } else if dx.abs() <= ALIGNED && box_b[3] <= box_a[1] + 0.05 {
            Some(Relation::Below)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn objects_are_where_they_would_be_and_inside_of_the_picture() {
        for seed in 0..4000 {
            let scene = Scene::sample(seed);
            for o in &scene.objects {
                let [left, top, right, bottom] = o.bounds();
                assert!(left >= 0.0 && right <= 1.0 && top >= 0.0 && bottom <= 1.0, "seed {seed}: {o:?}");
                match o.kind.info().habitat {
                    Habitat::Sea => assert!(scene.ground == Ground::Sea && o.y > scene.horizon + 0.1, "seed {seed}"),
                    Habitat::Land => assert!(o.y > scene.horizon + 0.1, "seed {seed}"),
                    Habitat::Sky => assert!(top < scene.horizon, "seed {seed}"),
                }
            }
        }
    }

    #[test]
    fn objects_do_not_hide_one_another_and_pairs_are_related() {
        for seed in 0..4000 {
            let scene = Scene::sample(seed);
            for i in 0..scene.objects.len() {
                for j in 0..i {
                    let (a, b) = (&scene.objects[i], &scene.objects[j]);
                    assert!(a.kind != b.kind || a.color != b.color, "seed {seed}");
                    let ([l, t, r, d], [l2, t2, r2, d2]) = (a.bounds(), b.bounds());
                    let over = (r.min(r2) - l.max(l2)).max(0.0) * (d.min(d2) - t.max(t2)).max(0.0);
                    let least = ((r - l) * (d - t)).min((r2 - l2) * (d2 - t2));
                    assert!(over < 0.25 * least, "seed {seed}: {a:?} {b:?}");
                    assert_eq!(scene.relation(i, j), scene.relation(j, i).map(Relation::inverse));
                }
            }
            if scene.objects.len() == 2 {
                assert!(scene.relation(0, 1).is_some(), "seed {seed}");
            }
        }
    }

    #[test]
    fn attributes_are_balanced() {
        const N: usize = 20_000;
        let (mut left, mut sides, mut above, mut counts) = (0, 0, 0, [0_usize; 4]);
        let mut kinds = vec![0_usize; Kind::ALL.len()];
        let mut colors = vec![0_usize; Color::ALL.len()];
        let (mut times, mut grounds, mut sizes) = ([0_usize; 3], [0_usize; 4], [0_usize; 2]);
        for seed in 0..N as u64 {
            let scene = Scene::sample(seed);
            counts[scene.objects.len()] += 1;
            times[scene.time.index()] += 1;
            grounds[scene.ground.index()] += 1;
            for o in &scene.objects {
                kinds[o.kind.index()] += 1;
                colors[o.color.index()] += 1;
                sizes[o.size.index()] += 1;
            }
            match scene.objects.len() {
                2 => match scene.relation(0, 1) {
                    Some(Relation::Left) => (left, sides) = (left + 1, sides + 1),
                    Some(Relation::Right) => sides += 1,
                    _ => above += 1,
                },
                _ => continue,
            }
        }
        let share = |n: usize, of: usize| n as f64 / of as f64;
        assert!((share(left, sides) - 0.5).abs() < 0.02, "left {left} of {sides}");
        assert!(share(above, sides + above) > 0.1, "above or below {above} beside {sides}");
        for (n, expected) in [(1, 0.55), (2, 0.38), (3, 0.07)] {
            assert!((share(counts[n], N) - expected).abs() < 0.015, "{n} objects: {}", counts[n]);
        }
        let total: usize = kinds.iter().sum();
        for (kind, &n) in Kind::ALL.iter().zip(&kinds) {
            assert!((0.055..0.12).contains(&share(n, total)), "{kind:?}: {n} of {total}");
        }
        assert!(colors.iter().all(|&n| (share(n, total) - 0.125).abs() < 0.01), "{colors:?}");
        assert!(sizes.iter().all(|&n| share(n, total) > 0.4), "{sizes:?}");
        assert!(times.iter().all(|&n| (share(n, N) - 1.0 / 3.0).abs() < 0.02), "{times:?}");
        assert!(grounds.iter().all(|&n| (share(n, N) - 0.25).abs() < 0.03), "{grounds:?}");
    }

    #[test]
    fn the_side_of_an_object_says_nothing_of_its_kind_or_colour() {
        let mut kinds = vec![[0_i32; 2]; Kind::ALL.len()];
        let mut colors = vec![[0_i32; 2]; Color::ALL.len()];
        for seed in 0..20_000 {
            let scene = Scene::sample_with(seed, SceneSpec { objects: Some(2), ..Default::default() }).unwrap();
            if matches!(scene.relation(0, 1), Some(Relation::Left | Relation::Right)) {
                for o in &scene.objects {
                    let side = usize::from(o.x > 0.5);
                    kinds[o.kind.index()][side] += 1;
                    colors[o.color.index()][side] += 1;
                }
            }
        }
        for [l, r] in kinds.into_iter().chain(colors) {
            assert!(f64::from((l - r).abs()) < 0.08 * f64::from(l + r), "{l} left, {r} right");
        }
    }

    #[test]
    fn a_specification_is_met_or_refused() {
        let mut seen = BTreeSet::new();
        for (i, &kind) in Kind::ALL.iter().enumerate() {
            for (j, &color) in Color::ALL.iter().enumerate() {
                let spec = SceneSpec {
                    objects: Some(1),
                    time: Some(Time::ALL[(i + j) % 3]),
                    kind: Some(kind),
                    color: Some(color),
                    size: Some(Size::ALL[j % 2]),
                    ..Default::default()
                };
                let scene = Scene::sample_with((10 * i + j) as u64, spec).unwrap();
                let o = &scene.objects[0];
                assert_eq!((o.kind, o.color, Some(o.size), scene.objects.len()), (kind, color, spec.size, 1));
                assert_eq!(Some(scene.time), spec.time);
                seen.insert(scene.ground);
            }
        }
        assert_eq!(seen.len(), Ground::ALL.len());
        for objects in 1..=3 {
            let spec = SceneSpec { objects: Some(objects), ground: Some(Ground::Sea), ..Default::default() };
            let scene = Scene::sample_with(3, spec).unwrap();
            assert_eq!((scene.objects.len(), scene.ground), (objects, Ground::Sea));
        }
        let refused = |spec| Scene::sample_with(0, spec).unwrap_err();
        assert_eq!(refused(SceneSpec { objects: Some(0), ..Default::default() }), WorldError::Objects(0));
        assert_eq!(refused(SceneSpec { objects: Some(4), ..Default::default() }), WorldError::Objects(4));
        let boat = SceneSpec { kind: Some(Kind::Boat), ground: Some(Ground::Desert), ..Default::default() };
        assert_eq!(refused(boat), WorldError::Habitat { kind: Kind::Boat, ground: Ground::Desert });
    }

    #[test]
    fn a_scene_survives_json() {
        let scene = Scene::sample(11);
        let text = serde_json::to_string(&scene).unwrap();
        assert_eq!(serde_json::from_str::<Scene>(&text).unwrap(), scene);
    }
}
