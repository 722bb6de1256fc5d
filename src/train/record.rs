//! What training says while it runs: a progress bar on a terminal, plain lines elsewhere, and a table of values as CSV.

use super::budget::Budget;
use super::state::write_atomically;
use super::{Result, TrainError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a plain line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(20);

/// A part of the loss: a mean over `weight` items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Its value.
    pub value: f64,
    /// How many items it is the mean of; zero when there were none.
    pub weight: f64,
}

impl Part {
    /// A mean over one batch.
    pub fn one(value: f64) -> Self {
        Self { value, weight: 1.0 }
    }
}

/// Sums of parts, for the mean over several steps.
#[derive(Debug, Clone)]
pub struct Means {
    sums: Vec<(f64, f64)>,
}

impl Means {
    /// For `count` parts.
    pub fn new(count: usize) -> Self {
        Self { sums: vec![(0.0, 0.0); count] }
    }

    /// Adds the parts of one step.
    pub fn add(&mut self, parts: &[Part]) {
        for ((sum, weight), part) in self.sums.iter_mut().zip(parts) {
            if part.weight > 0.0 {
                *sum += part.value * part.weight;
                *weight += part.weight;
            }
        }
    }

    /// The means so far, `None` where nothing was added; starts over.
    pub fn take(&mut self) -> Vec<Option<f64>> {
        let means = self.sums.iter().map(|&(sum, weight)| (weight > 0.0).then(|| sum / weight)).collect();
        self.sums.fill((0.0, 0.0));
        means
    }
}

/// The table `step, seconds, samples, samples_per_second, learning_rate, gradient_norm, <parts>`.
#[derive(Debug)]
pub struct Table {
    file: File,
    path: std::path::PathBuf,
}

impl Table {
    /// Opens the table at `path` for a run that stands at `step`: rows beyond it, written after the checkpoint that the run
    /// resumes from, are dropped.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(path: &Path, parts: &[&str], step: u64) -> Result<Self> {
        let header = format!("step,seconds,samples,samples_per_second,learning_rate,gradient_norm,{}", parts.join(","));
        let kept: Vec<String> = match std::fs::read_to_string(path) {
            Ok(text) if step > 0 && text.lines().next() == Some(header.as_str()) => text
                .lines()
                .skip(1)
                .filter(|row| row.split(',').next().and_then(|first| first.parse::<u64>().ok()).is_some_and(|row| row <= step))
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        write_atomically(path, |partial| {
            let mut file = File::create(partial)?;
            writeln!(file, "{header}")?;
            kept.iter().try_for_each(|row| writeln!(file, "{row}"))
        })?;
        let file = OpenOptions::new().append(true).open(path).map_err(|error| TrainError::file(path, error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn row(&mut self, step: u64, seconds: f64, samples: u64, rate: [f64; 3], means: &[Option<f64>]) -> Result<()> {
        let [per_second, learning_rate, norm] = rate;
        let values: Vec<String> = means.iter().map(|mean| mean.map_or(String::new(), |mean| format!("{mean:.6}"))).collect();
        let row = format!("{step},{seconds:.2},{samples},{per_second:.2},{learning_rate:.3e},{norm:.4},{}\n", values.join(","));
        self.file.write_all(row.as_bytes()).map_err(|error| TrainError::file(&self.path, error))
    }
}

/// The progress bar or its plain stand-in.
#[derive(Debug)]
pub struct Progress {
    name: &'static str,
    bar: ProgressBar,
    on_terminal: bool,
    last_line: Option<Instant>,
}

/// The unit of the bar: thousandths of the budget.
const BAR: u64 = 1000;

impl Progress {
    /// Progress of the run `name` on stderr; silent unless `shown`.
    pub fn new(name: &'static str, shown: bool) -> Self {
        let on_terminal = shown && std::io::stderr().is_terminal();
        let target = if on_terminal { ProgressDrawTarget::stderr_with_hz(5) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(BAR), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix:>8} [{bar:32}] {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(name);
        Self { name, bar, on_terminal, last_line: (!shown).then(|| Instant::now() + Duration::from_secs(1 << 30)) }
    }

    /// Shows where the run stands.
    pub fn show(&mut self, budget: Budget, step: u64, elapsed: Duration, loss: f64, per_second: f64) {
        let left = budget.time_left(step, elapsed).map_or_else(|| "?".to_owned(), clock);
        let text = format!("step {step}  loss {loss:.4}  {per_second:.1} samples/s  {left} left");
        if self.on_terminal {
            self.bar.set_position((budget.fraction(step, elapsed) * BAR as f64) as u64);
            self.bar.set_message(text);
        } else if self.last_line.is_none_or(|last| Instant::now().checked_duration_since(last).is_some_and(|since| since >= LINE_EVERY)) {
            self.last_line = Some(Instant::now());
            eprintln!("{}: {text}", self.name);
        }
    }

    /// Prints a line without disturbing the bar.
    pub fn note(&self, text: &str) {
        if self.on_terminal {
            self.bar.println(format!("{}: {text}", self.name));
        } else if self.last_line.is_none_or(|last| last <= Instant::now()) {
            eprintln!("{}: {text}", self.name);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// `12:34` or `1:02:03`.
fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_after_the_checkpoint_are_dropped_on_resume() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let mut table = Table::open(&path, &["loss"], 0).unwrap();
        for step in [10, 20, 30] {
            table.row(step, 1.0, step * 2, [1.0, 1e-3, 0.5], &[Some(0.25)]).unwrap();
        }
        drop(table);
        Table::open(&path, &["loss"], 20).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().nth(2).unwrap().starts_with("20,"));
    }

    #[test]
    fn means_weigh_by_count() {
        let mut means = Means::new(2);
        means.add(&[Part { value: 1.0, weight: 1.0 }, Part { value: 0.0, weight: 0.0 }]);
        means.add(&[Part { value: 4.0, weight: 2.0 }, Part { value: 0.0, weight: 0.0 }]);
        assert_eq!(means.take(), [Some(3.0), None]);
        assert_eq!(means.take(), [None, None]);
    }
}
