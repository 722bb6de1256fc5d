//! The tensors that commands compute with, by device.

use crate::compute::{DeviceKind, Tensor, candle};

/// The tensors on the processor.
pub(super) type OnCpu = candle::CandleTensor;
/// The tensors on an NVIDIA card.
pub(super) type OnCuda = candle::CandleTensor;

/// Where [`OnCpu`] lives.
///
/// # Errors
/// When it cannot be used.
pub(super) fn cpu() -> anyhow::Result<<OnCpu as Tensor>::Device> {
    Ok(candle::device(DeviceKind::Cpu)?)
}

/// Where [`OnCuda`] lives.
///
/// # Errors
/// When this build or machine does not have it.
pub(super) fn cuda() -> anyhow::Result<<OnCuda as Tensor>::Device> {
    Ok(candle::device(DeviceKind::Cuda)?)
}
