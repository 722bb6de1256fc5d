//! The judge: an independent classifier of what is on a picture. It measures only; nothing is trained against it.

use super::adherence::Verdict;
use super::trunk::{DEEP, MAP_SIDE, Trunk};
use crate::compute::{Conv2d, Tensor};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::layers::{Conv, Linear};
use crate::model::params::Params;
use crate::world::{Color, Ground, Kind, MAX_OBJECTS, Time};

/// One question that the judge answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// How many objects there are, less one.
    Count,
    /// The kind of the leftmost object.
    LeftKind,
    /// The colour of the leftmost object.
    LeftColor,
    /// The kind of the rightmost object.
    RightKind,
    /// The colour of the rightmost object.
    RightColor,
    /// The ground.
    Ground,
    /// The time of day.
    Time,
}

impl Head {
    /// All heads, in the order of the logits.
    pub const ALL: [Self; 7] = [Self::Count, Self::LeftKind, Self::LeftColor, Self::RightKind, Self::RightColor, Self::Ground, Self::Time];

    /// Number of possible answers.
    pub fn classes(self) -> usize {
        match self {
            Self::Count => MAX_OBJECTS,
            Self::LeftKind | Self::RightKind => Kind::ALL.len(),
            Self::LeftColor | Self::RightColor => Color::ALL.len(),
            Self::Ground => Ground::ALL.len(),
            Self::Time => Time::ALL.len(),
        }
    }

    /// Where its logits lie.
    pub fn range(self) -> std::ops::Range<usize> {
        let start: usize = Self::ALL[..self as usize].iter().map(|head| head.classes()).sum();
        start..start + self.classes()
    }
}

/// Number of all logits.
pub const LOGITS: usize = MAX_OBJECTS + 2 * Kind::ALL.len() + 2 * Color::ALL.len() + Ground::ALL.len() + Time::ALL.len();

/// Places at which the judge is also asked in training: those of an 8x8 grid.
pub const CELLS: usize = MAP_SIDE * MAP_SIDE;

/// Logits of each place: nothing or one of the kinds, then the colours.
pub const CELL_LOGITS: usize = 1 + Kind::ALL.len() + Color::ALL.len();

/// What the judge says of a batch.
#[derive(Debug, Clone)]
pub struct JudgeOutput<T> {
    /// `[B, LOGITS]`, see [`Head::range`].
    pub logits: T,
    /// What the answers are read from: `[B, WIDTH]`.
    pub features: T,
    /// What is where, which only training asks: `[B, CELL_LOGITS, 8, 8]`.
    pub cells: T,
}

/// The classifier. Pictures are `[B, 3, 64, 64]` in -1..1.
#[derive(Debug, Clone)]
pub struct Judge<T> {
    trunk: Trunk<T>,
    heads: Linear<T>,
    cells: Conv<T>,
}

impl<T: Tensor> Judge<T> {
    /// Its weights at `p`: `trunk.*`, `heads.*` and `cells.*`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(p: &Params<T>) -> Result<Self, ModelError> {
        let trunk = Trunk::new(&p.pp("trunk"), DEEP)?;
        let heads = Linear::new(&p.pp("heads"), Trunk::<T>::WIDTH, LOGITS, true)?;
        let width = DEEP.last().map_or(3, |stage| stage.0);
        Ok(Self { trunk, heads, cells: Conv::new(&p.pp("cells"), width, CELL_LOGITS, 1, Conv2d::POINTWISE)? })
    }

    /// Answers and what they are read from.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn forward(&self, pictures: &T) -> Result<JudgeOutput<T>, ModelError> {
        let maps = self.trunk.maps(pictures)?;
        let features = self.trunk.join(&maps)?;
        Ok(JudgeOutput { logits: self.heads.forward(&features)?, features, cells: self.cells.forward(&maps)? })
    }
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0)
}

impl Verdict {
    /// The most likely answers, one verdict for each row of `logits: [B, LOGITS]`.
    ///
    /// A single object is both the leftmost and the rightmost one: its kind and colour are read from both heads' sum.
    pub fn read(logits: &HostTensor) -> Vec<Self> {
        logits
            .data()
            .chunks(LOGITS)
            .map(|row| {
                let answer = |head: Head| best(&row[head.range()]);
                let joint = |a: Head, b: Head| best(&row[a.range()].iter().zip(&row[b.range()]).map(|(a, b)| a + b).collect::<Vec<_>>());
                Self {
                    count: answer(Head::Count) + 1,
                    single: (Kind::ALL[joint(Head::LeftKind, Head::RightKind)], Color::ALL[joint(Head::LeftColor, Head::RightColor)]),
                    left: (Kind::ALL[answer(Head::LeftKind)], Color::ALL[answer(Head::LeftColor)]),
                    right: (Kind::ALL[answer(Head::RightKind)], Color::ALL[answer(Head::RightColor)]),
                    ground: Ground::ALL[answer(Head::Ground)],
                    time: Time::ALL[answer(Head::Time)],
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_lie_side_by_side() {
        let mut at = 0;
        for head in Head::ALL {
            assert_eq!(head.range().start, at);
            at = head.range().end;
        }
        assert_eq!(at, LOGITS);
    }

    #[test]
    fn verdicts_are_the_largest_logits() {
        let mut row = vec![0.0; LOGITS];
        row[Head::Count.range().start + 1] = 1.0;
        row[Head::LeftKind.range().start + 3] = 1.0;
        row[Head::RightKind.range().start + 4] = 2.0;
        row[Head::Time.range().start + 2] = 1.0;
        let verdicts = Verdict::read(&HostTensor::new([1, LOGITS], row).unwrap());
        assert_eq!(verdicts[0].count, 2);
        assert_eq!((verdicts[0].left.0, verdicts[0].right.0, verdicts[0].single.0), (Kind::ALL[3], Kind::ALL[4], Kind::ALL[4]));
        assert_eq!(verdicts[0].time, Time::ALL[2]);
    }
}
