//! What was measured, as tables and as JSON.

use super::guest::{Guest, Rival};
use super::turns::{Summary, Times, rounded};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The operations behind a thing, and how fast they were done.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// What was run.
    pub name: &'static str,
    /// Floating-point operations in 10^9, a multiply-add as two.
    pub gflop: f64,
    /// Median time in milliseconds.
    pub milliseconds: f64,
}

impl Speed {
    /// Operations a second, in 10^9.
    pub fn gflops(self) -> f64 {
        self.gflop / self.milliseconds * 1e3
    }
}

/// The table of operations, and the share of the processor's `peak` (10^9 operations a second in f32) that each reached.
pub fn speed_table(speeds: &[Speed], peak: Option<f64>) -> String {
    let mut text = format!("{:16}  {:>8}  {:>8}{}", "", "GFLOP", "GFLOP/s", if peak.is_some() { "  of the peak" } else { "" });
    for speed in speeds {
        let gflops = speed.gflops();
        let share = peak.map(|peak| format!("  {:>9.0} %", 100.0 * gflops / peak)).unwrap_or_default();
        write!(text, "\n{:16}  {:>8.3}  {gflops:>8.1}{share}", speed.name, speed.gflop).ok();
    }
    if let Some(peak) = peak {
        write!(text, "\nthe peak: {peak:.1} GFLOP/s of f32 multiply-adds, measured on all threads").ok();
    }
    text
}

/// The same as JSON, by name.
pub fn speed_json(speeds: &[Speed], peak: Option<f64>) -> Value {
    let one = |speed: &Speed| {
        let (gflops, share) = (rounded(speed.gflops()), peak.map(|peak| rounded(speed.gflops() / peak)));
        (speed.name.to_owned(), json!({ "gflop": rounded(speed.gflop), "gflop_per_s": gflops, "share_of_peak": share }))
    };
    Value::Object(speeds.iter().map(one).collect())
}

/// A table for each rival that ran anything: our time, its time, their ratio.
pub fn rival_tables<'a>(times: impl Iterator<Item = &'a Times> + Clone, guest: &Guest) -> Vec<String> {
    let table = |rival: Rival| {
        let rows = of_rival(times.clone(), rival);
        if rows.is_empty() {
            return None;
        }
        let version = guest.version(rival).unwrap_or_default();
        let mut text =
            format!("beside {} {version}, in turn: median ms and quartiles; a ratio above 1 says that we are faster", rival.label());
        write!(text, "\n{:16}  {:28}  {:28}  ratio", "", "ours", rival.label()).ok();
        for (name, ours, theirs, ratio) in rows {
            write!(text, "\n{name:16}  {:28}  {:28}  {}", ours.show(2), theirs.show(2), ratio.show(2)).ok();
        }
        Some(text)
    };
    Rival::ALL.into_iter().filter_map(table).collect()
}

/// The same as JSON, by rival and name.
pub fn rival_json<'a>(times: impl Iterator<Item = &'a Times> + Clone, guest: &Guest) -> Value {
    let mut object = Map::new();
    for rival in Rival::ALL {
        let Some(version) = guest.version(rival) else { continue };
        let mut about = Map::from_iter([("version".to_owned(), version.into())]);
        for (name, ours, theirs, ratio) in of_rival(times.clone(), rival) {
            about.insert(name.into(), json!({ "ours_ms": ours.to_json(), "theirs_ms": theirs.to_json(), "ratio": ratio.to_json() }));
        }
        object.insert(rival.id().into(), about.into());
    }
    object.into()
}

/// Name, our time, its time and their ratio of everything that a rival ran.
fn of_rival<'a>(times: impl Iterator<Item = &'a Times>, rival: Rival) -> Vec<(&'static str, Summary, Summary, Summary)> {
    let row = |times: &Times| {
        let theirs = times.of(rival)?;
        Some((times.name, Summary::of(&times.ours), Summary::of(theirs), times.ratio(theirs)))
    };
    times.filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_operations_over_time() {
        let speed = Speed { name: "unet_guided", gflop: 0.5, milliseconds: 10.0 };
        assert_eq!(speed.gflops(), 50.0);
        let table = speed_table(&[speed], Some(200.0));
        assert!(table.contains("50.0") && table.contains("25 %") && table.contains("200.0 GFLOP/s"), "{table}");
        assert_eq!(speed_json(&[speed], Some(200.0))["unet_guided"], json!({ "gflop": 0.5, "gflop_per_s": 50.0, "share_of_peak": 0.25 }));
    }

    #[test]
    fn without_a_peak_there_is_no_share() {
        let speed = Speed { name: "unet_guided", gflop: 0.5, milliseconds: 10.0 };
        assert!(!speed_table(&[speed], None).contains("peak"));
        assert!(speed_json(&[speed], None)["unet_guided"]["share_of_peak"].is_null());
    }

    #[test]
    fn only_what_a_rival_ran_is_compared() {
        let times = [
            Times { name: "unet_guided", ours: vec![1.0, 2.0], theirs: vec![(Rival::PyTorch, vec![2.0, 4.0])] },
            Times { name: "text_encode", ours: vec![1.0], theirs: vec![] },
        ];
        let rows = of_rival(times.iter(), Rival::PyTorch);
        assert_eq!(rows.iter().map(|(name, .., ratio)| (*name, ratio.median)).collect::<Vec<_>>(), [("unet_guided", 2.0)]);
        assert!(of_rival(times.iter(), Rival::OpenVino).is_empty());
    }
}
