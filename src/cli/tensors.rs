//! The tensors that commands compute with, by device.

use crate::compute::{DeviceKind, Tensor, candle, cpu};

/// The tensors on the processor.
pub(super) type OnCpu = cpu::CpuTensor;
/// The tensors on an NVIDIA card.
pub(super) type OnCuda = candle::CandleTensor;

/// Where [`OnCuda`] lives.
///
/// # Errors
/// When this build or machine does not have it.
pub(super) fn cuda() -> anyhow::Result<<OnCuda as Tensor>::Device> {
    Ok(candle::device(DeviceKind::Cuda)?)
}
