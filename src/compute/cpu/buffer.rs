//! Blocks of memory that are used again: a network asks for the same sizes at every evaluation.
//!
//! A block comes back with whatever was in it last, so whoever takes one writes all of it before reading.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Values that all threads keep for later, at most (1 GB).
const KEPT: usize = 1 << 28;
/// Sizes are rounded up to a multiple of this.
const GRAIN: usize = 1024;

#[derive(Default)]
struct Pool {
    free: HashMap<usize, Vec<Vec<f32>>>,
    kept: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::new(Pool::default());
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
        let reused = POOL.try_with(|pool| {
            let pool = &mut *pool.borrow_mut();
            let block = pool.free.get_mut(&size)?.pop()?;
            pool.kept -= size;
            Some(block)
        });
        let block = reused.ok().flatten().unwrap_or_else(|| vec![0.0; size]);
        Self { block, len }
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
        // A thread that is ending has no pool any more; its blocks are freed.
        let _ = POOL.try_with(|pool| {
            let pool = &mut *pool.borrow_mut();
            let limit = KEPT / rayon::current_num_threads().max(1);
            if pool.kept + block.len() > limit {
                // What is kept is of sizes that are not asked for any more.
                *pool = Pool::default();
            }
            if block.len() <= limit {
                pool.kept += block.len();
                pool.free.entry(block.len()).or_default().push(block);
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
}
