//! A mutable slice that several threads fill at once, each its own stretches.

#![allow(unsafe_code)] // a block of columns of a row-major matrix is no contiguous slice, so it cannot be split off safely

use std::marker::PhantomData;

/// A mutable slice shared between the tasks of one parallel loop.
pub(crate) struct SharedMut<'a> {
    data: *mut f32,
    len: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: access goes through `write` alone, whose callers write disjoint stretches and never read.
unsafe impl Sync for SharedMut<'_> {}

impl<'a> SharedMut<'a> {
    pub fn new(data: &'a mut [f32]) -> Self {
        Self { data: data.as_mut_ptr(), len: data.len(), lifetime: PhantomData }
    }

    /// Writes `f(v)` for each `v` of `values` from `start` on. The callers in this room partition their output by task, so
    /// that no two tasks which run at the same time write the same element.
    #[inline(always)]
    pub fn write(&self, start: usize, values: &[f32], f: impl Fn(f32) -> f32) {
        assert!(start <= self.len && values.len() <= self.len - start, "a stretch outside of the shared slice");
        // SAFETY: in bounds by the assertion; this stretch belongs to the calling task alone, so the slice is exclusive.
        let target = unsafe { std::slice::from_raw_parts_mut(self.data.add(start), values.len()) };
        for (t, &v) in target.iter_mut().zip(values) {
            *t = f(v);
        }
    }
}
