//! Where the time goes, by kind of operation.

use super::turns::rounded;
use crate::cli::{interrupt, output};
use crate::compute::cpu::profile::{Row, record};
use anyhow::Result;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// Runs before the recorded ones.
const WARM_UP: u32 = 3;

/// What a run of something is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What was run.
    name: &'static str,
    /// Recorded runs.
    runs: u32,
    /// Wall time of all of them.
    wall: Duration,
    /// The kinds of operation, the longest first.
    rows: Vec<Row>,
}

impl Profile {
    /// Of `runs` runs of `ours`, which times itself.
    ///
    /// # Errors
    /// When `ours` fails, or at Ctrl-C.
    pub fn of(name: &'static str, runs: u32, mut ours: impl FnMut() -> Result<Duration>) -> Result<Self> {
        let mut all = |runs: u32| {
            (0..runs).try_fold(Duration::ZERO, |sum, _| {
                interrupt::check()?;
                Ok::<_, anyhow::Error>(sum + ours()?)
            })
        };
        all(WARM_UP.min(runs))?;
        let (wall, rows) = record(|| all(runs));
        Ok(Self { name, runs, wall: wall?, rows })
    }

    /// Milliseconds of a run.
    fn per_run(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e3 / f64::from(self.runs)
    }

    /// All recorded operations together; more than the wall time where threads worked on several at once.
    fn recorded(&self) -> Duration {
        self.rows.iter().map(|row| row.time).sum()
    }

    /// As a table: milliseconds and calls of a run, and each kind's share of all.
    pub fn table(&self) -> String {
        let recorded = self.recorded();
        let whole = recorded.max(self.wall).as_secs_f64().max(f64::MIN_POSITIVE);
        let mut text = format!("{:20}  {:>8}  {:>6}  {:>8}", self.name, "ms", "share", "calls");
        let mut line = |kind: &str, time: Duration, calls: String| {
            write!(text, "\n{kind:20}  {:>8.3}  {:>4.0} %  {calls:>8}", self.per_run(time), 100.0 * time.as_secs_f64() / whole).ok();
        };
        for row in &self.rows {
            line(row.kind, row.time, format!("{:.0}", row.calls as f64 / f64::from(self.runs)));
        }
        if recorded < self.wall {
            line("between them", self.wall - recorded, String::new());
        }
        line("all", recorded.max(self.wall), String::new());
        if recorded > self.wall {
            write!(text, "\nin {:.3} ms of wall time: threads worked on several at once", self.per_run(self.wall)).ok();
        }
        text
    }

    /// The same as JSON, under its name.
    pub fn to_json(&self) -> (String, Value) {
        let one = |row: &Row| json!({ "kind": row.kind, "ms": rounded(self.per_run(row.time)), "calls": rounded(row.calls as f64 / f64::from(self.runs)) });
        let kinds: Vec<Value> = self.rows.iter().map(one).collect();
        (self.name.to_owned(), json!({ "runs": self.runs, "wall_ms": rounded(self.per_run(self.wall)), "kinds": kinds }))
    }
}

/// Prints profiles.
///
/// # Errors
/// When standard output cannot be written.
pub fn print(profiles: &[Profile], as_json: bool) -> Result<()> {
    if as_json {
        let all: Map<String, Value> = profiles.iter().map(Profile::to_json).collect();
        return output::print(&Value::Object(all).to_string());
    }
    let tables: Vec<String> = profiles.iter().map(Profile::table).collect();
    output::print(&tables.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &'static str, milliseconds: u64, calls: u64) -> Row {
        Row { kind, time: Duration::from_millis(milliseconds), calls }
    }

    #[test]
    fn what_is_between_the_operations_is_told_too() {
        let rows = vec![row("convolution", 60, 20), row("attention", 20, 4)];
        let profile = Profile { name: "unet_guided", runs: 2, wall: Duration::from_millis(100), rows };
        let table = profile.table();
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["convolution", "30.000", "60", "%", "10"], "{table}");
        assert_eq!(lines[3], ["between", "them", "10.000", "20", "%"], "{table}");
        assert_eq!(lines[4], ["all", "50.000", "100", "%"], "{table}");
        let (name, json) = profile.to_json();
        assert_eq!((name.as_str(), &json["wall_ms"], &json["kinds"][1]["calls"]), ("unet_guided", &json!(50.0), &json!(2.0)));
    }

    #[test]
    fn operations_at_the_same_time_are_shares_of_their_sum() {
        let rows = vec![row("convolution", 150, 1), row("convolution, back", 50, 1)];
        let table = Profile { name: "unet_f32", runs: 1, wall: Duration::from_millis(110), rows }.table();
        assert!(table.contains("75 %") && table.contains("110.000 ms of wall time") && !table.contains("between"), "{table}");
    }
}
