//! What a graphics card can do at most, measured: the marks that every kernel on it is held against.

use super::kernels::Kernel;
use super::recorder::Dispatch;
use super::{WgpuDevice, WgpuTensor, folded, operations};
use crate::compute::{Result, Tensor};
use crate::host::HostTensor;
use std::time::{Duration, Instant};

/// The most that a card does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Operations a second in f32 in registers, in 10^9, a multiply-add as two. Every kernel here sums in f32, however tensors are
    /// stored.
    pub gflops: f64,
    /// Bytes a second, in 10^9, that the kernel `scale` reads from a tensor and writes to another, both larger than most caches: what
    /// kernels written as plainly as ours get out of the memory.
    pub gigabytes_per_s: f64,
}

/// Chains of an invocation, and how often a turn multiplies and adds in each, as in the kernel.
const CHAINS: usize = 32;
const ROUNDS: usize = 4;
/// Invocations: more than any card has at work at once.
const INVOCATIONS: usize = 1 << 18;
/// Bytes that are copied, where a tensor may be as large.
const BYTES: u64 = 1 << 28;
/// Long enough for what it takes to hand work over not to count, and far from what a driver takes for hung.
const ENOUGH: Duration = Duration::from_millis(40);
/// Measurements, of which the best one counts: one that was interrupted says nothing of the card.
const RUNS: usize = 5;

impl WgpuDevice {
    /// Measures the card; takes about a second.
    ///
    /// # Errors
    /// When the device fails.
    pub fn peak(&self) -> Result<Peak> {
        let x = WgpuTensor::from_host(&HostTensor::full([INVOCATIONS], 1.0), self)?;
        let multiplied = per_second(|turns| {
            let y = chains(&x, turns, 0.5, 0.5)?;
            self.wait_for(&y)
        })?;
        let count = (BYTES.min(self.card().max_tensor_bytes) / self.storage().bytes()) as usize;
        let x = WgpuTensor::from_host(&HostTensor::full([count], 1.0), self)?;
        let copied = per_second(|times| {
            for _ in 1..times {
                operations::scale(&x, 1.0)?;
            }
            self.wait_for(&operations::scale(&x, 1.0)?)
        })?;
        let bytes = 2 * count as u64 * self.storage().bytes();
        Ok(Peak { gflops: multiplied * (2 * CHAINS * ROUNDS * INVOCATIONS) as f64 / 1e9, gigabytes_per_s: copied * bytes as f64 / 1e9 })
    }

    /// Until everything recorded, `y` in the end, has been done.
    fn wait_for(&self, y: &WgpuTensor) -> Result<()> {
        self.download(&y.0.block, 1).map(drop)
    }
}

/// How often a second something can be done that `work` does a number of times.
fn per_second(mut work: impl FnMut(usize) -> Result<()>) -> Result<f64> {
    let mut time = |times: usize| -> Result<Duration> {
        let begun = Instant::now();
        work(times)?;
        Ok(begun.elapsed())
    };
    let mut times = 1;
    // The first one also compiles, and makes the buffers.
    time(times)?;
    while time(times)? < ENOUGH && times < 1 << 24 {
        times *= 2;
    }
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        best = best.min(time(times)?.as_secs_f64());
    }
    Ok(times as f64 / best)
}

/// The kernel on the values of `x`.
fn chains(x: &WgpuTensor, turns: usize, factor: f32, term: f32) -> Result<WgpuTensor> {
    let (y, count) = (x.empty(x.0.shape.clone(), false)?, x.elements());
    y.0.device.dispatch(&Dispatch {
        kernel: Kernel::Peak,
        constants: Vec::new(),
        parameters: &[count as u32, turns as u32, factor.to_bits(), term.to_bits()],
        inputs: &[&x.0.block],
        output: &y.0.block,
        workgroups: folded(count.div_ceil(64)),
        work: (count * CHAINS * ROUNDS * turns) as u64,
    })?;
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::Storage;

    #[test]
    fn every_multiply_add_of_every_chain_is_done() {
        let device = WgpuDevice::open(0, Storage::F32).unwrap();
        // No whole number of workgroups.
        let values = HostTensor::from_fn([3 * 64 + 5], |i| i as f32 / 10.0);
        let x = WgpuTensor::from_host(&values, &device).unwrap();
        for turns in [0, 1, 3] {
            let y = chains(&x, turns, 0.75, 0.5).unwrap().to_host().unwrap();
            let shrunk = 0.75_f64.powi((turns * ROUNDS) as i32);
            for (x, y) in values.data().iter().zip(y.data()) {
                let begin = f64::from(*x) + (0..CHAINS).map(|chain| chain as f64 / 4.0).sum::<f64>() / CHAINS as f64;
                let expected = shrunk * begin + 0.5 * (1.0 - shrunk) / 0.25;
                assert!((f64::from(*y) - expected).abs() < 1e-5, "{turns}: {y} {expected}");
            }
        }
    }

    #[test]
    fn there_is_a_peak() {
        let peak = WgpuDevice::open(0, Storage::F32).unwrap().peak().unwrap();
        assert!(peak.gflops.is_finite() && peak.gflops > 0.1 && peak.gigabytes_per_s > 0.1, "{peak:?}");
        println!("{peak:?}");
    }
}
