//! What matrix products are computed in, chosen for a stretch of work on one thread.

use std::cell::Cell;

/// What matrix products inside convolutions and linear layers are computed in; everything else is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// f32 throughout.
    #[default]
    F32,
    /// f32 products from bf16 halves (three of the four, sums in f32), to about 2^-17 of each product, where the processor has
    /// units for it; f32 elsewhere. For inference; gradients are computed in f32.
    Split,
    /// Operands rounded to bf16, sums in f32, where the processor has units for it; f32 elsewhere. For training.
    Bf16,
}

impl Precision {
    /// What this thread computes in now.
    pub fn current() -> Self {
        PRECISION.get()
    }
}

thread_local! {
    static PRECISION: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `f`, in which this thread builds its convolutions and linear layers with `precision`, forward and backward.
pub fn with_precision<R>(precision: Precision, f: impl FnOnce() -> R) -> R {
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            PRECISION.set(self.0);
        }
    }
    let _restore = Restore(PRECISION.replace(precision));
    f()
}
