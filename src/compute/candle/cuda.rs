//! Convolution and group normalisation on NVIDIA cards, by kernels of our own (`kernels.cu`) and candle's matrix products.

#![allow(unsafe_code)] // Launching a kernel is; each is given buffers of the extents that it reads and writes.

use super::super::{Activation, Conv2d};
use super::attached::{attach2, attach3};
use super::composed;
use candle_core::cuda::cudarc::driver::{CudaSlice, LaunchConfig, PushKernelArg};
use candle_core::cuda::{CudaDevice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Error, Result, Storage, Tensor};
use std::sync::OnceLock;

/// Threads of a block.
const BLOCK: u32 = 256;

/// The kernels as the driver's assembler takes them, compiled once.
fn assembled() -> Result<&'static str> {
    static PTX: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let compile = || candle_core::cuda::cudarc::nvrtc::compile_ptx(include_str!("kernels.cu"));
    match PTX.get_or_init(|| compile().map(|ptx| ptx.to_src()).map_err(|error| error.to_string())) {
        Ok(ptx) => Ok(ptx),
        Err(error) => Err(Error::Msg(format!("the kernels in kernels.cu do not compile: {error}"))),
    }
}

/// A tensor of `count` values that a kernel has written in full.
fn tensor(values: CudaSlice<f32>, device: &CudaDevice, shape: &[usize]) -> Tensor {
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(values, device.clone()));
    Tensor::from_storage(storage, shape, BackpropOp::none(), false)
}

/// Room for `count` values.
fn room(device: &CudaDevice, count: usize) -> Result<CudaSlice<f32>> {
    // SAFETY: every kernel here writes all of its results, and f32 has no invalid bits.
    unsafe { device.alloc::<f32>(count) }
}

/// Runs `$kernel` over `$grid` on tensors `$in`, which are whole and in order, and new buffers `$out`; the integers follow.
macro_rules! launch {
    ($device:expr, $kernel:literal, $grid:expr, [$($in:expr),*], [$($out:expr),*], [$($number:expr),*]) => {{
        let function = $device.get_or_load_custom_func($kernel, "diffuscope", assembled()?)?;
        let guards = [$($in.storage_and_layout()),*];
        let mut builder = function.builder();
        for (storage, layout) in &guards {
            match &**storage {
                Storage::Cuda(storage) if layout.is_contiguous() && layout.start_offset() == 0 => {
                    builder.arg(storage.as_cuda_slice::<f32>()?);
                }
                _ => return Err(Error::Msg(concat!($kernel, ": an operand is elsewhere or not in order").into())),
            }
        }
        $(builder.arg($out);)*
        $(builder.arg(&$number);)*
        let config = LaunchConfig { grid_dim: $grid, block_dim: (BLOCK, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the operands have the extents that the kernel is told of, and it stays within them.
        unsafe { builder.launch(config).w()? };
    }};
}

/// `x` as one block of values from the start of its buffer.
fn whole(x: &Tensor) -> Result<Tensor> {
    let x = x.detach();
    if x.is_contiguous() && x.layout().start_offset() == 0 { Ok(x) } else { x.force_contiguous() }
}

/// The extents of a convolution.
#[derive(Debug, Clone, Copy)]
struct Windows {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    side: usize,
    geometry: Conv2d,
    out: [usize; 2],
}

impl Windows {
    fn grid(self, pixels: usize) -> (u32, u32, u32) {
        ((pixels as u32).div_ceil(BLOCK), self.channels as u32, self.batch as u32)
    }

    fn pixels(self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Whether the columns are the picture itself.
    fn is_pointwise(self) -> bool {
        self.side == 1 && self.geometry == Conv2d::POINTWISE
    }

    fn numbers(self) -> [i32; 7] {
        let Self { height, width, side, geometry: Conv2d { stride, pad_before, .. }, out: [out_h, out_w], .. } = self;
        [height, width, side, stride, pad_before, out_h, out_w].map(|v| v as i32)
    }

    /// `[B, C side^2, P]` of `x`.
    fn columns(self, x: &Tensor) -> Result<Tensor> {
        let x = whole(x)?;
        if self.is_pointwise() {
            return x.flatten_from(2);
        }
        let shape = [self.batch, self.channels * self.side * self.side, self.pixels()];
        let device = x.device().as_cuda_device()?;
        let mut columns = room(device, shape.iter().product())?;
        let [a, b, c, d, e, f, g] = self.numbers();
        launch!(device, "im2col", self.grid(self.pixels()), [x], [&mut columns], [a, b, c, d, e, f, g]);
        Ok(tensor(columns, device, &shape))
    }

    /// The gradient of [`Self::columns`].
    fn picture(self, columns: &Tensor) -> Result<Tensor> {
        let shape = [self.batch, self.channels, self.height, self.width];
        if self.is_pointwise() {
            return columns.reshape(&shape);
        }
        let columns = whole(columns)?;
        let device = columns.device().as_cuda_device()?;
        let mut x = room(device, shape.iter().product())?;
        let [a, b, c, d, e, f, g] = self.numbers();
        launch!(device, "col2im", self.grid(self.height * self.width), [columns], [&mut x], [a, b, c, d, e, f, g]);
        Ok(tensor(x, device, &shape))
    }
}

/// A convolution as one matrix product a sample: `y = W columns(x) + b`, with the gradients `W^T g` put back into the picture,
/// `sum g columns(x)^T` and `sum g` (Chellapilla et al. 2006).
pub(super) fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, geometry: Conv2d) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let (outputs, _, side, _) = weight.dims4()?;
    let extent = |extent| geometry.output_extent(extent, side).ok_or_else(|| Error::Msg("conv2d: the kernel does not fit".into()));
    let windows = Windows { batch, channels, height, width, side, geometry, out: [extent(height)?, extent(width)?] };
    let columns = windows.columns(x)?;
    let kernel = weight.detach().reshape((1, outputs, channels * side * side))?.broadcast_as((batch, outputs, channels * side * side))?;
    let y = kernel.matmul(&columns)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(&bias.detach().reshape((1, outputs, 1))?)?,
        None => y,
    };
    let y = y.reshape((batch, outputs, windows.out[0], windows.out[1]))?;
    let tracked = [x.track_op(), weight.track_op(), bias.is_some_and(Tensor::track_op)];
    if tracked == [false; 3] {
        return Ok(y);
    }
    let shape = weight.shape().clone();
    let backward = move |g: &Tensor| -> Result<[Option<Tensor>; 3]> {
        let g = g.flatten_from(2)?;
        let by_x = if tracked[0] { Some(windows.picture(&kernel.transpose(1, 2)?.matmul(&g)?)?) } else { None };
        let by_weight = if tracked[1] { Some(sum_of_rows(&g.matmul(&columns.transpose(1, 2)?)?)?.reshape(&shape)?) } else { None };
        let by_bias = if tracked[2] { Some(g.sum(2)?.sum(0)?) } else { None };
        Ok([by_x, by_weight, by_bias])
    };
    match bias {
        Some(bias) => attach3("conv2d", [x, weight, bias], y, move |_, g| backward(g)),
        None => attach2("conv2d", [x, weight], y, move |_, g| backward(g).map(|[by_x, by_weight, _]| [by_x, by_weight])),
    }
}

/// The sum over the first axis, as a product with ones: candle's reduction walks strided memory.
fn sum_of_rows(x: &Tensor) -> Result<Tensor> {
    let rows = x.dim(0)?;
    let sum = Tensor::ones((1, rows), x.dtype(), x.device())?.matmul(&x.reshape((rows, ()))?)?;
    sum.reshape(&x.dims()[1..])
}

/// `y = x W^T + b`, with the gradients `g W`, `g^T x` and `sum g`. `x: [rows, I]`, `weight: [O, I]` -> `[rows, O]`.
pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (input, kernel) = (x.detach(), weight.detach());
    let y = input.matmul(&kernel.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(&bias.detach())?,
        None => y,
    };
    let tracked = [x.track_op(), weight.track_op(), bias.is_some_and(Tensor::track_op)];
    if tracked == [false; 3] {
        return Ok(y);
    }
    let backward = move |g: &Tensor| -> Result<[Option<Tensor>; 3]> {
        let by_x = if tracked[0] { Some(g.matmul(&kernel)?) } else { None };
        let by_weight = if tracked[1] { Some(g.t()?.matmul(&input)?) } else { None };
        let by_bias = if tracked[2] { Some(sum_of_rows(g)?) } else { None };
        Ok([by_x, by_weight, by_bias])
    };
    match bias {
        Some(bias) => attach3("linear", [x, weight, bias], y, move |_, g| backward(g)),
        None => attach2("linear", [x, weight], y, move |_, g| backward(g).map(|[by_x, by_weight, _]| [by_x, by_weight])),
    }
}

/// Group normalisation and an activation in one kernel, its gradient in another.
pub(super) fn group_norm(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    groups: usize,
    eps: f64,
    activation: Activation,
) -> super::Result<Tensor> {
    if !matches!(activation, Activation::Identity | Activation::Silu) {
        let y = fused_norm(x, weight, bias, groups, eps, false)?;
        return composed::activate(&y, activation);
    }
    Ok(fused_norm(x, weight, bias, groups, eps, activation == Activation::Silu)?)
}

fn fused_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, eps: f64, silu: bool) -> Result<Tensor> {
    let (batch, channels, height, width) = x.dims4()?;
    let [input, scale, shift] = [whole(x)?, whole(weight)?, whole(bias)?];
    let device = x.device().as_cuda_device()?.clone();
    let (of_a_group, pixels, with_silu, eps) = ((channels / groups) as i32, (height * width) as i32, i32::from(silu), eps as f32);
    let grid = (groups as u32, batch as u32, 1);
    let mut y = room(&device, x.elem_count())?;
    let mut moments = room(&device, 2 * batch * groups)?;
    launch!(device, "group_norm", grid, [input, scale, shift], [&mut y, &mut moments], [of_a_group, pixels, eps, with_silu]);
    let y = tensor(y, &device, x.dims());
    if !(x.track_op() || weight.track_op() || bias.track_op()) {
        return Ok(y);
    }
    let moments = tensor(moments, &device, &[batch, groups, 2]);
    attach3("group_norm", [x, weight, bias], y, move |_, g| {
        let g = whole(g)?;
        let mut by_x = room(&device, g.elem_count())?;
        let mut by_weight = room(&device, batch * channels)?;
        let mut by_bias = room(&device, batch * channels)?;
        launch!(
            device,
            "group_norm_backward",
            grid,
            [g, input, scale, shift, moments],
            [&mut by_x, &mut by_weight, &mut by_bias],
            [of_a_group, pixels, with_silu]
        );
        let [by_weight, by_bias] = [by_weight, by_bias].map(|sums| tensor(sums, &device, &[batch, channels]));
        Ok([Some(tensor(by_x, &device, g.dims())), Some(by_weight.sum(0)?), Some(by_bias.sum(0)?)])
    })
}
