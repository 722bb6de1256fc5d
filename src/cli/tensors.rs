//! The tensors that commands compute with, by device.

use crate::compute::{DeviceKind, Graphics, Storage, Tensor, WgpuDevice, WgpuTensor, candle, cpu};

/// The tensors on the processor.
pub(super) type OnCpu = cpu::CpuTensor;
/// The tensors on an NVIDIA card.
pub(super) type OnCuda = candle::CandleTensor;
/// The tensors on any graphics card.
pub(super) type OnGraphics = WgpuTensor;

/// Why nothing is trained on [`OnGraphics`].
pub(super) const NO_GRADIENTS: &str = "networks are trained on the processor or on CUDA: the kernels for other cards take no gradients";

/// Where [`OnCuda`] lives.
///
/// # Errors
/// When this build or machine does not have it.
pub(super) fn cuda() -> anyhow::Result<<OnCuda as Tensor>::Device> {
    Ok(candle::device(DeviceKind::Cuda)?)
}

/// Where [`OnGraphics`] lives.
///
/// # Errors
/// When this machine does not have it.
pub(super) fn graphics(choice: Graphics) -> anyhow::Result<<OnGraphics as Tensor>::Device> {
    Ok(WgpuDevice::open(choice.adapter.into(), if choice.half { Storage::F16 } else { Storage::F32 })?)
}
