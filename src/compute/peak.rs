//! What the processor's multiply-adds can do at most, measured: the mark that every kernel is held against.

use pulp::{Arch, Simd, WithSimd};
use std::hint::black_box;
use std::time::Instant;

/// Sums that do not wait for each other: two units with a latency of four need eight, and all of them, with their two
/// operands, fit into the sixteen registers of AVX2.
const CHAINS: usize = 12;
/// Multiply-adds in each chain of a pass, about a millisecond's worth: shorter than a turn of whatever else wants the processor.
const ROUNDS: usize = 1 << 19;
/// Passes, of which the best counts: whatever else runs on the machine only makes a pass slower.
const PASSES: usize = 200;

/// Independent multiply-adds in registers.
struct Chains {
    rounds: usize,
    factor: f32,
    term: f32,
}

impl WithSimd for Chains {
    /// Multiply-adds done, and a value that depends on each of them.
    type Output = (usize, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let (factor, term) = (simd.splat_f32s(self.factor), simd.splat_f32s(self.term));
        let mut sums = [simd.splat_f32s(0.0); CHAINS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        let value = sums.into_iter().map(|sum| simd.reduce_sum_f32s(sum)).sum();
        (self.rounds * CHAINS * S::F32_LANES, value)
    }
}

/// Operations a second in f32 of all threads of the pool together, in 10^9, a multiply-add as two: multiply-adds on the widest
/// vectors that the processor has, in registers alone, so that neither memory nor latency holds them up.
pub fn f32_peak_gflops() -> f64 {
    let arch = Arch::new();
    let pass = || {
        let done = rayon::broadcast(|_| {
            let started = Instant::now();
            // The sums settle at 1, far from numbers that are slow to compute with.
            let (count, _) = black_box(arch.dispatch(Chains { rounds: ROUNDS, factor: black_box(0.5), term: black_box(0.5) }));
            (count, started.elapsed())
        });
        // The threads set out together, but for the time that it takes to wake them.
        let slowest = done.iter().map(|(_, time)| *time).max().unwrap_or_default();
        2.0 * done.iter().map(|(count, _)| count).sum::<usize>() as f64 / slowest.as_secs_f64() / 1e9
    };
    (0..PASSES).map(|_| pass()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_multiply_add_is_counted_and_done() {
        let (done, value) = Arch::new().dispatch(Chains { rounds: 3, factor: 0.5, term: 0.5 });
        assert!(done >= 3 * CHAINS && done.is_multiple_of(3 * CHAINS));
        // From 0: 1/2, 3/4, 7/8, in every lane of every chain.
        assert_eq!(value, (done / 3) as f32 * 0.875);
    }
}
