//! The kernels: one readable file each in `shaders/`, and one line in the table here.

use super::Storage;

/// What every kernel may use; the alias of the stored type comes before it.
const COMMON: [&str; 3] = [
    include_str!("../../../shaders/common/grid.wgsl"),
    include_str!("../../../shaders/common/activation.wgsl"),
    include_str!("../../../shaders/common/tile.wgsl"),
];

macro_rules! kernels {
    ($($kernel:ident $file:literal $inputs:literal)*) => {
        /// A kernel.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum Kernel {
            $(#[doc = concat!("`shaders/", $file, ".wgsl`.")] $kernel),*
        }

        impl Kernel {
            /// All kernels.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$kernel),*];

            /// The name of its file.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kernel => $file),*
                }
            }

            /// How many buffers it reads, between its parameters and the one that it writes.
            pub fn inputs(self) -> usize {
                match self {
                    $(Self::$kernel => $inputs),*
                }
            }

            fn text(self) -> &'static str {
                match self {
                    $(Self::$kernel => include_str!(concat!("../../../shaders/", $file, ".wgsl"))),*
                }
            }
        }
    };
}

kernels! {
    Activate "activate" 1
    Add "add" 2
    AddChannels "add_channels" 2
    Attention "attention" 3
    AttentionWeights "attention_weights" 2
    Conv2d "conv2d" 5
    Embedding "embedding" 2
    Geglu "geglu" 1
    GroupNorm "group_norm" 4
    GroupNormMoments "group_norm_moments" 1
    LayerNorm "layer_norm" 3
    Linear "linear" 4
    MeanPool "mean_pool" 1
    Peak "peak" 1
    Rearrange "rearrange" 1
    Scale "scale" 1
    UpsampleNearest2x "upsample_nearest2x" 1
    WinogradInput "winograd_input" 1
    WinogradOutput "winograd_output" 4
    WinogradProduct "winograd_product" 2
    WinogradWeight "winograd_weight" 1
}

impl Kernel {
    /// The whole text of the kernel for an adapter.
    pub fn source(self, dialect: Dialect) -> String {
        let value = match dialect.storage {
            Storage::F32 => include_str!("../../../shaders/common/f32.wgsl"),
            Storage::F16 => include_str!("../../../shaders/common/f16.wgsl"),
        };
        let reduce = match dialect.subgroups {
            true => include_str!("../../../shaders/common/reduce_subgroups.wgsl"),
            false => include_str!("../../../shaders/common/reduce.wgsl"),
        };
        [value].into_iter().chain(COMMON).chain([reduce, self.text()]).collect::<Vec<_>>().join("\n")
    }
}

/// What kernels are written for: the files in `shaders/common/` of which an adapter takes one or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// How tensors are stored.
    pub storage: Storage,
    /// Whether sums within a subgroup are an instruction.
    pub subgroups: bool,
}

/// Values of a kernel's `override` constants.
pub(super) type Constants = Vec<(&'static str, u32)>;
