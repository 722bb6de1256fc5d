//! Where tensors live and are computed, as people choose it.

use super::Storage;

/// Where tensors live and are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeviceKind {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA card, in a build with the feature `cuda`.
    Cuda,
    /// Any graphics card, by our own kernels.
    Wgpu(Graphics),
}

/// A graphics card, and how tensors are stored on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Graphics {
    /// Its place in the list of adapters, of which the first is the likely fastest.
    pub adapter: u8,
    /// Whether tensors are stored in half precision rather than single.
    pub half: bool,
}

/// Names of adapters: in single and in half precision.
const ADAPTERS: [[&str; 2]; 4] = [["wgpu", "wgpu-f16"], ["wgpu:1", "wgpu-f16:1"], ["wgpu:2", "wgpu-f16:2"], ["wgpu:3", "wgpu-f16:3"]];

impl DeviceKind {
    /// All that have a name.
    pub const ALL: [Self; 10] = [
        Self::Cpu,
        Self::Cuda,
        Self::on(0, false),
        Self::on(0, true),
        Self::on(1, false),
        Self::on(1, true),
        Self::on(2, false),
        Self::on(2, true),
        Self::on(3, false),
        Self::on(3, true),
    ];

    /// Those that can take gradients, and so train.
    pub const TRAINING: [Self; 2] = [Self::Cpu, Self::Cuda];

    const fn on(adapter: u8, half: bool) -> Self {
        Self::Wgpu(Graphics { adapter, half })
    }

    /// Whether weights and samples lie there in half precision.
    pub const fn is_half(self) -> bool {
        matches!(self, Self::Wgpu(Graphics { half: true, .. }))
    }

    /// How tensors are stored there.
    pub const fn storage(self) -> Storage {
        if self.is_half() { Storage::F16 } else { Storage::F32 }
    }

    /// The name used on the command line and on screen.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Wgpu(Graphics { adapter, half }) => ADAPTERS[usize::from(adapter) % ADAPTERS.len()][usize::from(half)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_device_has_a_name_of_its_own() {
        let names: HashSet<&str> = DeviceKind::ALL.map(DeviceKind::label).into_iter().collect();
        assert_eq!(names.len(), DeviceKind::ALL.len());
    }
}
