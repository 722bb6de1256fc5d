//! What was measured, as tables and as JSON.

use super::guest::{Guest, Rival};
use super::marks::Marks;
use super::turns::{Summary, Times, rounded};
use crate::compute::DeviceKind;
use crate::pipeline::Load;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The operations behind a thing, and how fast they were done.
#[derive(Debug, Clone, Copy)]
pub struct Speed {
    /// What was run.
    pub name: &'static str,
    /// Floating-point operations in 10^9, a multiply-add as two.
    pub gflop: f64,
    /// Bytes that have to be moved for them at least, in 10^9, where they were counted.
    pub gigabytes: Option<f64>,
    /// Median time in milliseconds.
    pub milliseconds: f64,
}

impl Speed {
    /// Of something that is so much work, on tensors as a device stores them.
    pub fn new(name: &'static str, load: Load, device: DeviceKind, milliseconds: f64) -> Self {
        let bytes = load.values * device.storage().bytes();
        Self { name, gflop: load.flops as f64 / 1e9, gigabytes: Some(bytes as f64 / 1e9), milliseconds }
    }

    /// Operations a second, in 10^9.
    pub fn gflops(self) -> f64 {
        self.gflop / self.milliseconds * 1e3
    }

    /// Bytes a second, in 10^9.
    pub fn gigabytes_per_s(self) -> Option<f64> {
        self.gigabytes.map(|gigabytes| gigabytes / self.milliseconds * 1e3)
    }
}

/// The table of operations and bytes, how fast each was, and the shares of what the device does at most.
pub fn speed_table(speeds: &[Speed], marks: &Marks) -> String {
    let share = |reached: f64, most: f64| format!("{:.0} %", 100.0 * reached / most);
    let moved = speeds.iter().any(|speed| speed.gigabytes.is_some());
    let (peak, memory) = (marks.gflops, marks.gigabytes_per_s.filter(|_| moved));
    let row = |cells: [String; 7]| {
        let shown = [true, true, true, peak.is_some(), moved, moved, memory.is_some()];
        let widths = [8, 8, 11, 8, 8, 13];
        let cells: Vec<String> = (0..7)
            .filter(|&i| shown[i])
            .map(|i| if i == 0 { format!("{:16}", cells[0]) } else { format!("{:>1$}", cells[i], widths[i - 1]) })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut text = row(["", "GFLOP", "GFLOP/s", "of the peak", "GB", "GB/s", "of the memory"].map(str::to_owned));
    for speed in speeds {
        let (gflops, rate) = (speed.gflops(), speed.gigabytes_per_s());
        let told = |value: Option<f64>, decimals: usize| value.map_or(String::new(), |value| format!("{value:.decimals$}"));
        text.push('\n');
        text += &row([
            speed.name.to_owned(),
            told(Some(speed.gflop), 3),
            told(Some(gflops), 1),
            peak.map_or(String::new(), |peak| share(gflops, peak)),
            told(speed.gigabytes, 3),
            told(rate, 1),
            rate.zip(memory).map_or(String::new(), |(rate, most)| share(rate, most)),
        ]);
    }
    marks.lines().iter().for_each(|line| text.extend(["\n", line]));
    text
}

/// The same as JSON, by name.
pub fn speed_json(speeds: &[Speed], marks: &Marks) -> Value {
    let one = |speed: &Speed| {
        let (gflops, rate) = (speed.gflops(), speed.gigabytes_per_s());
        let about = json!({
            "gflop": rounded(speed.gflop), "gflop_per_s": rounded(gflops), "share_of_peak": marks.gflops.map(|peak| rounded(gflops / peak)),
            "gigabytes": speed.gigabytes.map(rounded), "gigabytes_per_s": rate.map(rounded),
            "share_of_memory": rate.zip(marks.gigabytes_per_s).map(|(rate, most)| rounded(rate / most)),
        });
        (speed.name.to_owned(), about)
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
    fn speeds_are_operations_and_bytes_over_time() {
        let load = Load { flops: 500_000_000, values: 25_000_000 };
        let speed = Speed::new("unet_guided", load, DeviceKind::Cpu, 10.0);
        assert_eq!((speed.gflops(), speed.gigabytes_per_s()), (50.0, Some(10.0)));
        let marks = Marks { gflops: Some(200.0), gigabytes_per_s: Some(40.0), bytes: None };
        let table = speed_table(&[speed], &marks);
        assert!(table.contains("50.0") && table.matches("25 %").count() == 2 && table.contains("200.0 GFLOP/s"), "{table}");
        let expected = json!({ "gflop": 0.5, "gflop_per_s": 50.0, "share_of_peak": 0.25, "gigabytes": 0.1, "gigabytes_per_s": 10.0, "share_of_memory": 0.25 });
        assert_eq!(speed_json(&[speed], &marks)["unet_guided"], expected);
        let half = DeviceKind::ALL.into_iter().find(|kind| kind.is_half()).unwrap();
        assert_eq!(Speed::new("unet_guided", load, half, 10.0).gigabytes, Some(0.05));
    }

    #[test]
    fn without_a_mark_there_is_no_share() {
        let speed = Speed { name: "unet_guided", gflop: 0.5, gigabytes: None, milliseconds: 10.0 };
        let table = speed_table(&[speed], &Marks::default());
        assert!(!table.contains("peak") && !table.contains("memory") && !table.contains("GB"), "{table}");
        assert!(speed_json(&[speed], &Marks::default())["unet_guided"]["share_of_peak"].is_null());
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
