//! Measuring in turn: one run of ours, one of each rival's, and again, so that whatever the machine does meanwhile hits all alike.

use super::guest::{Guest, Rival};
use crate::cli::interrupt;
use anyhow::Result;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Runs before the measured ones.
const WARM_UP: u32 = 3;
/// Rest before a turn beside a rival, in which the threads of the one before fall asleep: GNU OpenMP's spin for some 15 ms where
/// they are not told otherwise.
const SETTLE: Duration = Duration::from_millis(25);

/// The middle of repeated measurements, and between what values their middle half lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The median.
    pub median: f64,
    /// The first and the third quartile.
    pub quartiles: [f64; 2],
}

impl Summary {
    /// Of unsorted values, by nearest ranks.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self { median: percentile(&sorted, 0.5), quartiles: [percentile(&sorted, 0.25), percentile(&sorted, 0.75)] }
    }

    /// As JSON.
    pub fn to_json(self) -> Value {
        json!({ "median": rounded(self.median), "q1": rounded(self.quartiles[0]), "q3": rounded(self.quartiles[1]) })
    }

    /// With as many decimals.
    pub fn show(self, decimals: usize) -> String {
        let [q1, q3] = self.quartiles;
        format!("{:.decimals$} ({q1:.decimals$} to {q3:.decimals$})", self.median)
    }
}

/// To a thousandth.
pub fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// The value below which a share of sorted values lies: the nearest rank.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// Times of one thing, in milliseconds and in the order taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// What was run.
    pub name: &'static str,
    /// Ours.
    pub ours: Vec<f64>,
    /// Those of each rival that can do it; one that failed on the way has fewer.
    pub theirs: Vec<(Rival, Vec<f64>)>,
}

impl Times {
    /// Those of a rival, if it ran.
    pub fn of(&self, rival: Rival) -> Option<&[f64]> {
        self.theirs.iter().find(|(who, _)| *who == rival).map(|(_, theirs)| theirs.as_slice())
    }

    /// The rival's time over ours, turn by turn: above 1 we are faster.
    pub fn ratio(&self, theirs: &[f64]) -> Summary {
        let ratios: Vec<f64> = self.ours.iter().zip(theirs).map(|(ours, theirs)| theirs / ours).collect();
        Summary::of(&ratios)
    }
}

/// How long `work` takes.
///
/// # Errors
/// Its own.
pub fn timed<R, E>(work: impl FnOnce() -> Result<R, E>) -> Result<Duration, E> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

/// Runs `ours`, which times itself, and, in turn with it, the same of each rival, after a warm-up of all.
///
/// # Errors
/// When `ours` fails, or at Ctrl-C; what fails on the other side is kept by `guest`.
pub fn measure<E>(
    name: &'static str,
    runs: u32,
    mut guest: Option<&mut Guest>,
    rivals: &[Rival],
    mut ours: impl FnMut() -> Result<Duration, E>,
) -> Result<Times>
where
    anyhow::Error: From<E>,
{
    let mut times = Times { name, ours: Vec::new(), theirs: rivals.iter().map(|&rival| (rival, Vec::new())).collect() };
    let warm_up = WARM_UP.min(runs);
    for run in 0..warm_up + runs {
        interrupt::check()?;
        if guest.is_some() {
            std::thread::sleep(SETTLE);
        }
        let elapsed = ours()?;
        // A run that Ctrl-C broke off is no measurement.
        interrupt::check()?;
        if run >= warm_up {
            times.ours.push(elapsed.as_secs_f64() * 1e3);
        }
        let Some(guest) = guest.as_deref_mut() else { continue };
        for (rival, theirs) in &mut times.theirs {
            std::thread::sleep(SETTLE);
            if run < warm_up {
                guest.warm(*rival, name)?;
            } else {
                theirs.extend(guest.run(*rival, name)?);
            }
        }
    }
    // A rival without a single run has nothing to compare.
    times.theirs.retain(|(_, theirs)| !theirs.is_empty());
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99), percentile(&values[..1], 0.99)), (50.0, 99.0, 1.0));
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert!(percentile(&[], 0.5).is_nan());
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!(summary, Summary { median: 2.0, quartiles: [1.0, 3.0] });
        assert_eq!(summary.show(1), "2.0 (1.0 to 3.0)");
    }

    #[test]
    fn ratios_are_taken_turn_by_turn() {
        // The machine became four times slower half way: both sides felt it, their ratio did not.
        let times = Times { name: "unet_guided", ours: vec![1.0, 1.0, 4.0, 4.0, 4.0], theirs: Vec::new() };
        assert_eq!(times.ratio(&[2.0, 2.0, 8.0, 8.0]).median, 2.0);
    }

    #[test]
    fn ours_alone_is_measured_as_often_as_asked() {
        let mut calls = 0;
        let times = measure("vae_decode", 5, None, &[], || {
            calls += 1;
            Ok::<_, anyhow::Error>(Duration::ZERO)
        });
        assert_eq!((times.unwrap().ours.len(), calls), (5, 5 + WARM_UP));
        let failed = measure("vae_decode", 5, None, &[], || Err(anyhow::anyhow!("out of memory")));
        assert!(failed.unwrap_err().to_string().contains("memory"));
    }
}
