//! Who works on what: tasks shared out among the threads, or one after the other where every thread has work of its own.

use crate::compute::{Precision, with_precision};
use rayon::prelude::*;
use std::cell::Cell;

thread_local! {
    /// Threads that work started on this thread may use; 0 until it is set: all.
    static WIDTH: Cell<usize> = const { Cell::new(0) };
}

/// Threads that work started here may use.
pub(crate) fn width() -> usize {
    match WIDTH.get() {
        0 => rayon::current_num_threads().max(1),
        width => width,
    }
}

/// Runs `f`, whose operations are divided for `width` threads; with 1 they stay on this one.
pub(crate) fn with_width<R>(width: usize, f: impl FnOnce() -> R) -> R {
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            WIDTH.set(self.0);
        }
    }
    let _restore = Restore(WIDTH.replace(width.max(1)));
    f()
}

/// Runs `work` on every task, at the same time where threads are free.
pub(crate) fn each<T: Send>(tasks: Vec<T>, work: impl Fn(T) + Sync + Send) {
    if width() == 1 || tasks.len() == 1 {
        tasks.into_iter().for_each(work);
    } else {
        tasks.into_par_iter().with_max_len(1).for_each(work);
    }
}

/// Runs `work` on every task and collects what it gives, in order; each task's own operations share the threads evenly.
pub(crate) fn parts<T: Send, R: Send>(tasks: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    let each = (width() / tasks.len().max(1)).max(1);
    if width() == 1 || tasks.len() == 1 {
        return tasks.into_iter().map(work).collect();
    }
    let precision = Precision::current();
    tasks.into_par_iter().with_max_len(1).map(|task| with_precision(precision, || with_width(each, || work(task)))).collect()
}

/// Divides `0..total` into ranges, as many as keep all threads busy when there are `among` of these totals, each a multiple of
/// `grain`.
pub(crate) fn ranges(total: usize, among: usize, grain: usize) -> Vec<std::ops::Range<usize>> {
    let pieces = width().div_ceil(among.max(1)).max(1);
    let size = total.div_ceil(pieces).div_ceil(grain).max(1) * grain;
    (0..total).step_by(size).map(|start| start..(start + size).min(total)).collect()
}
