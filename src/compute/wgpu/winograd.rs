//! 3x3 convolutions by Winograd's minimal filtering: fewer multiplications than the definition takes, more values moved.
//!
//! F(2x2, 3x3) of Lavin and Gray 2016 (arXiv 1509.09308), in four kernels: the weights transformed, once; the windows of the
//! input transformed; sixteen matrix products; and the way back, with bias and residual. It takes 16 multiplications where the
//! implicit product of `conv2d.wgsl` takes 36, and writes and reads sixteen values for every four of the input and of the result
//! in between. Which of the two is the faster is a matter of the card: `diffuscope bench --device wgpu` measures both.

use super::kernels::Kernel;
use super::operations::{constants, tiled};
use super::pool::Block;
use super::recorder::Dispatch;
use super::{WgpuTensor, folded};
use crate::compute::{Convolution, Result, dims};
use std::sync::Arc;

/// How 3x3 convolutions of stride 1 are computed on a graphics card; all others are implicit products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Convolving {
    /// As one matrix product with the windows of the input, which are put together as they are needed.
    #[default]
    ImplicitProduct,
    /// By Winograd's minimal filtering.
    Winograd,
}

impl Convolving {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ImplicitProduct, Self::Winograd];

    /// The name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::ImplicitProduct => "implicit product",
            Self::Winograd => "Winograd F(2x2, 3x3)",
        }
    }
}

/// Products, one for each place of a transformed window.
const PLACES: usize = 16;
/// Bytes of what the windows are transformed to in a kernel, and of the products, which are in f32 in any case.
const PRODUCT_BYTES: u64 = 4;

/// Tiles of two by two results in a picture: how many rows of them, and how many columns.
fn tiles(rows: usize, columns: usize) -> [usize; 2] {
    [rows.div_ceil(2), columns.div_ceil(2)]
}

/// Whether a convolution is to be computed here; `x` and `weight` with channels last. One whose transformed windows are more
/// than the device takes at once is not.
pub(super) fn fits(x: &WgpuTensor, weight: &WgpuTensor, c: &Convolution<'_, WgpuTensor>) -> bool {
    let device = &x.0.device;
    let (Ok([batch, outputs, rows, columns]), [_, channels, 3, 3]) = (c.output_shape(x), &weight.0.shape[..]) else { return false };
    let [tile_rows, tile_columns] = tiles(rows, columns);
    let count = PLACES * batch * tile_rows * tile_columns * outputs.max(*channels);
    device.convolving() == Convolving::Winograd && c.geometry.stride == 1 && count as u64 * PRODUCT_BYTES <= device.card().max_tensor_bytes
}

/// The transformed weight `[16, O, C]`, which is made once.
fn transformed(weight: &WgpuTensor) -> Result<Arc<Block>> {
    if let Some(known) = weight.0.transformed.get() {
        return Ok(Arc::clone(known));
    }
    let device = &weight.0.device;
    let [outputs, channels, ..] = dims::<4>("convolution", &weight.0.shape)?;
    let count = outputs * channels;
    let made = device.allocate(PLACES * count, device.storage().bytes())?;
    device.dispatch(&Dispatch {
        kernel: Kernel::WinogradWeight,
        constants: Vec::new(),
        parameters: &[count, channels].map(|v| v as u32),
        inputs: &[&weight.0.block],
        output: &made,
        workgroups: folded(count.div_ceil(64)),
        work: (PLACES * count) as u64,
    })?;
    // Somebody else may have been faster; either is right.
    Ok(Arc::clone(weight.0.transformed.get_or_init(|| made)))
}

/// The convolution into `y: [B, O, H', W']`, all with channels last; what does not go with [`fits`] must not come here.
pub(super) fn convolution(
    x: &WgpuTensor,
    weight: &WgpuTensor,
    c: &Convolution<'_, WgpuTensor>,
    residual: Option<&WgpuTensor>,
    y: &WgpuTensor,
) -> Result<()> {
    let [batch, outputs, rows, columns] = dims("convolution", &y.0.shape)?;
    let [_, channels, height, width] = dims("convolution", &x.0.shape)?;
    let [tile_rows, tile_columns] = tiles(rows, columns);
    let tiles = batch * tile_rows * tile_columns;
    let device = &x.0.device;
    let weight = transformed(weight)?;
    let windows = device.allocate(PLACES * tiles * channels, device.storage().bytes())?;
    device.dispatch(&Dispatch {
        kernel: Kernel::WinogradInput,
        constants: vec![("REPEAT", u32::from(c.repeat))],
        parameters: &[tiles * channels, channels, height, width, tile_rows, tile_columns, c.geometry.pad_before].map(|v| v as u32),
        inputs: &[&x.0.block],
        output: &windows,
        workgroups: folded((tiles * channels).div_ceil(64)),
        work: (PLACES * tiles * channels) as u64,
    })?;
    let products = device.allocate(PLACES * tiles * outputs, PRODUCT_BYTES)?;
    let (tile, [blocks, y_groups, z_groups]) = tiled(tiles, outputs);
    device.dispatch(&Dispatch {
        kernel: Kernel::WinogradProduct,
        constants: constants(tile, []),
        parameters: &[tiles, channels, outputs].map(|v| v as u32),
        inputs: &[&windows, &weight],
        output: &products,
        workgroups: [PLACES as u32 * blocks, y_groups, z_groups],
        work: (PLACES * tiles * channels * outputs) as u64,
    })?;
    let parts = [("HAS_BIAS", c.bias.is_some()), ("HAS_CHANNELS", c.channels.is_some()), ("HAS_RESIDUAL", residual.is_some())];
    device.dispatch(&Dispatch {
        kernel: Kernel::WinogradOutput,
        constants: parts.map(|(name, is)| (name, u32::from(is))).to_vec(),
        parameters: &[tiles * outputs, outputs, rows, columns, tile_rows, tile_columns].map(|v| v as u32),
        // What is not there is not read, but something has to be bound.
        inputs: &[&products, &c.bias.unwrap_or(x).0.block, &c.channels.unwrap_or(x).0.block, &residual.unwrap_or(x).0.block],
        output: &y.0.block,
        workgroups: folded((tiles * outputs).div_ceil(64)),
        work: (PLACES * tiles * outputs) as u64,
    })
}
