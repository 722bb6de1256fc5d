//! The devices of this machine, and how each does on one evaluation of the program's own U-Net.

use super::{DeviceKind, Graphics, ModelSource, Pipeline, PipelineError, Precision};
use crate::compute::{AdapterKind, adapters};
use crate::host::HostTensor;
use crate::noise::{Stream, gaussian};
use std::time::Instant;

/// A device, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCard {
    /// What to ask for.
    pub kind: DeviceKind,
    /// What it is called, with the interface that it is reached by.
    pub name: String,
    /// Whether it is a graphics card in name only: the processor does the work, by a detour.
    pub software: bool,
}

/// How a device did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Milliseconds of one guided evaluation of the program's own U-Net, the least of a few.
    pub step_ms: f64,
    /// How far its answer is from the processor's, relative to that.
    pub error: f64,
    /// How far it may be.
    pub tolerance: f64,
}

impl Trial {
    /// Whether its answer can be trusted.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// The devices of this machine: the processor first, then CUDA in a build for it, then graphics cards, the likely fastest first.
pub fn devices() -> Vec<DeviceCard> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = vec![DeviceCard { kind: DeviceKind::Cpu, name: format!("Processor, {threads} threads"), software: false }];
    if cfg!(feature = "cuda") {
        all.push(DeviceCard { kind: DeviceKind::Cuda, name: "NVIDIA card (CUDA)".into(), software: false });
    }
    let cards = adapters();
    for kind in DeviceKind::ALL {
        let DeviceKind::Wgpu(Graphics { adapter, half }) = kind else { continue };
        if let Some(card) = cards.get(usize::from(adapter)).filter(|card| card.has_f16 || !half) {
            let precision = if half { ", half precision" } else { "" };
            all.push(DeviceCard { kind, name: format!("{card}{precision}"), software: card.kind == AdapterKind::Software });
        }
    }
    all
}

/// Runs one guided evaluation of the program's own U-Net on a device, a few times, and holds the answer against the processor's.
///
/// # Errors
/// When the device cannot be used.
pub fn try_device(kind: DeviceKind) -> Result<Trial, PipelineError> {
    const RUNS: usize = 4;
    let evaluate = |pipeline: &Pipeline, runs: usize| -> Result<(f64, HostTensor), PipelineError> {
        let [channels, height, width] = pipeline.card().latent_shape;
        let x = gaussian(0, Stream::Start, [1, channels, height, width]);
        let [negative, positive] = [pipeline.encode_text("")?, pipeline.encode_text("a red house by the sea")?];
        let (mut least, mut answer) = (f64::INFINITY, None);
        // The first one pays for what is made once.
        for run in 0..=runs {
            let begun = Instant::now();
            let prediction = pipeline.predict(&x, 400.0, &negative, &positive)?;
            if run > 0 {
                least = least.min(begun.elapsed().as_secs_f64() * 1e3);
            }
            answer = Some(prediction.cond);
        }
        Ok((least, answer.ok_or(PipelineError::NotFinite("the U-Net"))?))
    };
    let (step_ms, answer) = evaluate(&Pipeline::load(&ModelSource::Embedded, kind)?, RUNS)?;
    let mut reference = Pipeline::load(&ModelSource::Embedded, DeviceKind::Cpu)?;
    reference.set_precision(Precision::F32);
    let (_, expected) = evaluate(&reference, 0)?;
    let error = answer.lincomb(1.0, &expected, -1.0).norm() / expected.norm();
    let tolerance = if kind.is_half() { 2e-2 } else { 1e-3 };
    Ok(Trial { step_ms, error, tolerance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_stands_first_and_passes() {
        let all = devices();
        assert_eq!((all[0].kind, all[0].software), (DeviceKind::Cpu, false));
        let trial = try_device(DeviceKind::Cpu).unwrap();
        assert!(trial.passes() && trial.step_ms > 0.0 && trial.step_ms.is_finite(), "{trial:?}");
    }
}
