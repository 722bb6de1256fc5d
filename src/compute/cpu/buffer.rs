//! Blocks of memory that are used again: a network asks for the same sizes at every evaluation.
//!
//! A block comes back with whatever was in it last, so whoever takes one writes all of it before reading. What is kept for later
//! is about what was in use at once not long ago: little after pictures, much during a training, whose steps hold every activation.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Sizes are rounded up to a multiple of this.
const GRAIN: usize = 1024;
/// Values that may be kept whatever was in use (64 MB).
const ALWAYS: usize = 1 << 24;
/// Blocks that are taken before an old peak of use is forgotten: more than one step of training takes.
const MEMORY: usize = 1 << 15;

/// Counts of values, over all threads.
struct Usage {
    in_use: AtomicUsize,
    kept: AtomicUsize,
    /// Blocks taken so far.
    taken: AtomicUsize,
    /// The most that was in use at once, since the last multiple of [`MEMORY`] blocks and between the two before.
    peaks: [AtomicUsize; 2],
}

static USAGE: Usage = Usage::new();

impl Usage {
    const fn new() -> Self {
        Self {
            in_use: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            peaks: [AtomicUsize::new(0), AtomicUsize::new(0)],
        }
    }

    /// A block of `size` is used.
    fn take(&self, size: usize) {
        let in_use = self.in_use.fetch_add(size, Relaxed) + size;
        let [now, before] = &self.peaks;
        if self.taken.fetch_add(1, Relaxed) % MEMORY == MEMORY - 1 {
            before.store(now.swap(in_use, Relaxed), Relaxed);
        }
        now.fetch_max(in_use, Relaxed);
    }

    /// A block of `size` is not used any more. Whether another one may be kept.
    fn leave(&self, size: usize) -> bool {
        self.in_use.fetch_sub(size, Relaxed);
        let peak = self.peaks.iter().map(|peak| peak.load(Relaxed)).max().unwrap_or_default();
        // Threads do not share what they keep, so a little more than the peak is.
        self.kept.load(Relaxed) + size <= peak + peak / 4 + ALWAYS
    }
}

/// What a thread keeps, by size.
struct Pool<'a> {
    usage: &'a Usage,
    free: HashMap<usize, Vec<Vec<f32>>>,
}

impl<'a> Pool<'a> {
    fn new(usage: &'a Usage) -> Self {
        Self { usage, free: HashMap::new() }
    }

    fn take(&mut self, size: usize) -> Option<Vec<f32>> {
        let block = self.free.get_mut(&size)?.pop()?;
        self.usage.kept.fetch_sub(size, Relaxed);
        Some(block)
    }

    fn keep(&mut self, block: Vec<f32>) {
        self.usage.kept.fetch_add(block.len(), Relaxed);
        self.free.entry(block.len()).or_default().push(block);
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        let kept = self.free.values().flatten().map(Vec::len).sum();
        self.usage.kept.fetch_sub(kept, Relaxed);
    }
}

thread_local! {
    static POOL: RefCell<Pool<'static>> = RefCell::new(Pool::new(&USAGE));
}

/// A block of values from the pool of the thread that takes it; it goes to the pool of the thread that drops it.
pub(crate) struct Buffer {
    block: Vec<f32>,
    len: usize,
}

impl Buffer {
    /// `len` values, of which nothing is known but that they are initialised.
    pub fn any(len: usize) -> Self {
        let size = len.div_ceil(GRAIN) * GRAIN;
        let reused = POOL.try_with(|pool| pool.borrow_mut().take(size)).ok().flatten();
        USAGE.take(size);
        Self { block: reused.unwrap_or_else(|| vec![0.0; size]), len }
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut buffer = Self::any(len);
        buffer.fill(0.0);
        buffer
    }

    /// A copy of `values`.
    pub fn copy(values: &[f32]) -> Self {
        let mut buffer = Self::any(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.block);
        if block.is_empty() {
            return;
        }
        let fits = USAGE.leave(block.len());
        // A thread that is ending has no pool any more; its blocks are freed.
        let _ = POOL.try_with(|pool| {
            let pool = &mut *pool.borrow_mut();
            if fits {
                pool.keep(block);
            } else {
                // What is kept is of sizes that are not asked for any more.
                *pool = Pool::new(&USAGE);
            }
        });
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.block[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.block[..self.len]
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer[{}]", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_used_again_and_zeros_are_zeros() {
        let mut first = Buffer::any(5000);
        first.fill(7.0);
        let at = first.as_ptr();
        drop(first);
        let second = Buffer::zeros(4500); // the same number of grains
        assert_eq!((second.as_ptr(), second.len()), (at, 4500));
        assert!(second.iter().all(|&v| v == 0.0));
    }

    #[test]
    fn all_that_was_in_use_at_once_is_kept() {
        // As in a step of training: more than is always kept, every block held to the end.
        let usage = Usage::new();
        let mut pool = Pool::new(&usage);
        let sizes: Vec<usize> = (0..3 * ALWAYS / 100_000).map(|i| (100 + i % 7) * GRAIN).collect();
        let mut step = || {
            let blocks: Vec<Vec<f32>> = sizes.iter().map(|&size| pool.take(size).unwrap_or_else(|| vec![0.0; size])).collect();
            sizes.iter().for_each(|&size| usage.take(size));
            let places: std::collections::HashSet<_> = blocks.iter().map(|block| block.as_ptr()).collect();
            for block in blocks {
                assert!(usage.leave(block.len()));
                pool.keep(block);
            }
            places
        };
        assert_eq!(step(), step());
        drop(pool);
        assert_eq!(usage.kept.into_inner(), 0);
    }

    #[test]
    fn an_old_peak_is_forgotten() {
        let usage = Usage::new();
        let use_and_leave = |size| {
            usage.take(size);
            usage.leave(size)
        };
        assert!(use_and_leave(10 * ALWAYS));
        usage.kept.store(10 * ALWAYS, Relaxed);
        assert!(use_and_leave(ALWAYS), "the peak was just now");
        let may_keep: Vec<bool> = (0..2 * MEMORY).map(|_| use_and_leave(GRAIN)).collect();
        assert!(may_keep[..MEMORY - 2].iter().all(|&may| may));
        assert!(!may_keep[2 * MEMORY - 1], "nothing of that size is used any more");
    }
}
