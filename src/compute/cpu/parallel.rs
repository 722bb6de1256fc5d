//! Who works on what: tasks shared out among the threads, or one after the other where every thread has work of its own.

use crate::compute::{Precision, with_precision};
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

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
        together(tasks, work);
    }
}

/// Runs `work` on every task and collects what it gives, in order; each task's own operations share the threads evenly, and
/// compute in the precision of this one.
pub(crate) fn parts<T: Send, R: Send>(tasks: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    let each = (width() / tasks.len().max(1)).max(1);
    if width() == 1 || tasks.len() == 1 {
        return tasks.into_iter().map(work).collect();
    }
    let precision = Precision::current();
    let results = Mutex::new(Vec::with_capacity(tasks.len()));
    together(tasks.into_iter().enumerate().collect(), |(at, task)| {
        let result = with_precision(precision, || with_width(each, || work(task)));
        results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Runs `work` on every task, on this thread and on as many of the pool as there are more tasks and cores. This one begins at once,
/// and the other core is idle when its thread is woken; two woken together may begin on the same core.
fn together<T: Send>(tasks: Vec<T>, work: impl Fn(T) + Sync + Send) {
    let helpers = width().min(tasks.len()) - 1;
    let left = Mutex::new(tasks.into_iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let share = || {
        while let Some(task) = next() {
            work(task);
        }
    };
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| share());
        }
        share();
    });
}

/// Divides `0..total` into ranges, as many as keep all threads busy when there are `among` of these totals, each a multiple of
/// `grain`.
pub(crate) fn ranges(total: usize, among: usize, grain: usize) -> Vec<std::ops::Range<usize>> {
    let pieces = width().div_ceil(among.max(1)).max(1);
    let size = total.div_ceil(pieces).div_ceil(grain).max(1) * grain;
    (0..total).step_by(size).map(|start| start..(start + size).min(total)).collect()
}
