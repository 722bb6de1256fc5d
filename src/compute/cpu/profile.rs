//! Where the time goes, by kind of operation.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

static ON: AtomicBool = AtomicBool::new(false);
static TABLE: Mutex<BTreeMap<&'static str, (Duration, u64)>> = Mutex::new(BTreeMap::new());

/// Time and calls of one kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The kind.
    pub kind: &'static str,
    /// Wall-clock time in it, summed over the threads that called it.
    pub time: Duration,
    /// How often it was called.
    pub calls: u64,
}

/// Runs `f` and tells how long each kind of operation took in it, the longest first. Operations that other threads run
/// meanwhile are counted too.
pub fn record<R>(f: impl FnOnce() -> R) -> (R, Vec<Row>) {
    let table = || TABLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    table().clear();
    ON.store(true, Ordering::SeqCst);
    let result = f();
    ON.store(false, Ordering::SeqCst);
    let mut rows: Vec<Row> = std::mem::take(&mut *table()).into_iter().map(|(kind, (time, calls))| Row { kind, time, calls }).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.time));
    (result, rows)
}

/// Counts `f` as an operation of this kind while a profile is recorded.
#[inline]
pub(crate) fn span<R>(kind: &'static str, f: impl FnOnce() -> R) -> R {
    if !ON.load(Ordering::Relaxed) {
        return f();
    }
    let start = Instant::now();
    let result = f();
    let took = start.elapsed();
    let mut table = TABLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (time, calls) = table.entry(kind).or_default();
    *time += took;
    *calls += 1;
    result
}
