//! What the processor's multiply-adds can do at most, measured: the mark that every kernel is held against.

use pulp::{Arch, Simd, WithSimd};
use std::hint::black_box;
use std::time::Instant;

/// Sums that do not wait for each other: two units with a latency of four need eight, and all of them, with their two
/// operands, fit into the sixteen registers of AVX2.
const CHAINS: usize = 12;
/// Multiply-adds in each chain of a pass, about a millisecond's worth: shorter than a turn of whatever else wants the processor.
const ROUNDS: usize = 1 << 19;
/// Passes of each thread.
const PASSES: usize = 101;

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
        // They start apart: equal sums would be computed once.
        let mut sums: [_; CHAINS] = std::array::from_fn(|chain| simd.splat_f32s(chain as f32));
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
///
/// The threads run at the same time, and the median pass of each counts: one that was interrupted says nothing of the processor.
pub fn f32_peak_gflops() -> f64 {
    let arch = Arch::new();
    let pass = || {
        let started = Instant::now();
        // The sums settle at 1, far from numbers that are slow to compute with.
        let (count, _) = black_box(arch.dispatch(Chains { rounds: ROUNDS, factor: black_box(0.5), term: black_box(0.5) }));
        2.0 * count as f64 / started.elapsed().as_secs_f64() / 1e9
    };
    let medians = rayon::broadcast(|_| {
        let mut rates: Vec<f64> = (0..PASSES).map(|_| pass()).collect();
        rates.sort_by(f64::total_cmp);
        rates[PASSES / 2]
    });
    medians.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_multiply_add_is_counted_and_done() {
        let (done, value) = Arch::new().dispatch(Chains { rounds: 3, factor: 0.5, term: 0.5 });
        assert!(done >= 3 * CHAINS && done.is_multiple_of(3 * CHAINS));
        // Halved three times, and 1/2 + 1/4 + 1/8 added, in every lane of every chain.
        let lanes = (done / 3 / CHAINS) as f32;
        let starts = (CHAINS * (CHAINS - 1) / 2) as f32;
        assert_eq!(value, lanes * (starts / 8.0 + CHAINS as f32 * 0.875));
    }

    #[test]
    fn there_is_a_peak() {
        let peak = f32_peak_gflops();
        assert!(peak.is_finite() && peak > 0.0, "{peak}");
        println!("{peak:.1} GFLOP/s");
    }
}
