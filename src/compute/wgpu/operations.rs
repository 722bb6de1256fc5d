//! The operations: what fits together, what a kernel is told, and how many workgroups it takes.

use super::kernels::{Constants, Kernel};
use super::recorder::Dispatch;
use super::{WgpuTensor, folded, layout, winograd};
use crate::compute::{Activation, Convolution, Mask, Result, dims, shape_error};

/// How the kernels number an activation, in `shaders/common/activation.wgsl`.
fn number(activation: Activation) -> u32 {
    match activation {
        Activation::Identity => 0,
        Activation::Silu => 1,
        Activation::Gelu => 2,
        Activation::QuickGelu => 3,
    }
}

/// Tiles of a matrix product: rows, columns and depth. Large ones fetch less, small ones leave fewer of the card's units idle.
const TILES: [[u32; 3]; 2] = [[64, 64, 16], [32, 32, 32]];

/// The tile for a product of `rows` by `columns`, and the workgroups that it takes.
pub(super) fn tiled(rows: usize, columns: usize) -> ([u32; 3], [u32; 3]) {
    const ENOUGH: usize = 128;
    let tile = if rows.div_ceil(64) * columns.div_ceil(64) >= ENOUGH { TILES[0] } else { TILES[1] };
    let [y, z, _] = folded(rows.div_ceil(tile[0] as usize));
    (tile, [columns.div_ceil(tile[1] as usize) as u32, y, z])
}

/// The constants of a kernel that works in tiles, and which parts it has.
pub(super) fn constants<const N: usize>([m, n, k]: [u32; 3], parts: [(&'static str, bool); N]) -> Constants {
    let mut constants = vec![
        ("TILE_M", m),
        ("TILE_N", n),
        ("TILE_K", k),
        ("TILE_INVOCATIONS", m / 4 * (n / 4)),
        ("TILE_A_VECTORS", k * (m / 4 + 1)),
        ("TILE_B_VECTORS", k * (n / 4 + 1)),
    ];
    constants.extend(parts.map(|(name, is)| (name, u32::from(is))));
    constants
}

fn linear_constants(tile: [u32; 3], bias: bool, activation: Activation, residual: bool) -> Constants {
    let mut constants = constants(tile, [("HAS_BIAS", bias), ("HAS_RESIDUAL", residual)]);
    constants.extend(activation_constants(activation));
    constants
}

fn convolution_constants(tile: [u32; 3], bias: bool, channels: bool, residual: bool, repeat: bool) -> Constants {
    constants(tile, [("HAS_BIAS", bias), ("HAS_CHANNELS", channels), ("HAS_RESIDUAL", residual), ("REPEAT", repeat)])
}

fn activation_constants(activation: Activation) -> Constants {
    vec![("ACTIVATION", number(activation))]
}

fn attention_constants(mask: Mask) -> Constants {
    vec![("CAUSAL", u32::from(mask == Mask::Causal))]
}

/// Workgroups that reduce: the moments of a group, and a row of tokens.
const GROUP_WIDTH: u32 = 256;
const ROW_WIDTH: u32 = 64;

fn reduction_constants(width: u32) -> Constants {
    vec![("REDUCE_WIDTH", width)]
}

/// The kernels that the models use, to be compiled before they are needed.
pub(super) fn usual() -> Vec<(Kernel, Constants)> {
    let mut all = Vec::new();
    for tile in TILES {
        for [bias, residual] in [[false, false], [true, false], [true, true]] {
            all.push((Kernel::Linear, linear_constants(tile, bias, Activation::Identity, residual)));
        }
        for [channels, residual, repeat] in [[false, false, false], [true, false, false], [false, true, false], [false, false, true]] {
            all.push((Kernel::Conv2d, convolution_constants(tile, true, channels, residual, repeat)));
        }
    }
    // Of the text encoder and of the time embedding, which are small.
    all.extend([Activation::Silu, Activation::QuickGelu].map(|a| (Kernel::Linear, linear_constants(TILES[1], true, a, false))));
    all.extend([Activation::Identity, Activation::Silu].map(|activation| (Kernel::GroupNorm, activation_constants(activation))));
    all.push((Kernel::Activate, activation_constants(Activation::Silu)));
    all.extend([Mask::None, Mask::Causal].map(|mask| (Kernel::Attention, attention_constants(mask))));
    all.push((Kernel::GroupNormMoments, reduction_constants(GROUP_WIDTH)));
    all.push((Kernel::LayerNorm, reduction_constants(ROW_WIDTH)));
    all.extend([Kernel::Add, Kernel::Embedding, Kernel::Geglu, Kernel::Rearrange].map(|kernel| (kernel, Vec::new())));
    all
}

/// Work of one invocation for each value.
fn elementwise(
    kernel: Kernel,
    constants: Constants,
    parameters: &[u32],
    inputs: &[&WgpuTensor],
    output: &WgpuTensor,
    count: usize,
) -> Result<()> {
    let inputs: Vec<_> = inputs.iter().map(|input| &*input.0.block).collect();
    let (workgroups, work) = (folded(count.div_ceil(64)), count as u64);
    output.0.device.dispatch(&Dispatch { kernel, constants, parameters, inputs: &inputs, output: &output.0.block, workgroups, work })
}

pub(super) fn linear(
    x: &WgpuTensor,
    weight: &WgpuTensor,
    bias: Option<&WgpuTensor>,
    activation: Activation,
    residual: Option<&WgpuTensor>,
) -> Result<WgpuTensor> {
    let [outputs, inputs] = dims("linear", &weight.0.shape)?;
    if x.0.shape.last() != Some(&inputs)
        || weight.elements() == 0
        || bias.is_some_and(|bias| bias.0.shape != [outputs])
        || x.elements() == 0
    {
        return shape_error("linear", format!("the weight {:?} does not fit the input {:?}", weight.0.shape, x.0.shape));
    }
    let mut shape = x.0.shape.clone();
    shape.pop();
    shape.push(outputs);
    if let Some(residual) = residual.filter(|residual| residual.0.shape != shape) {
        return shape_error("linear", format!("{:?} cannot be added to {shape:?}", residual.0.shape));
    }
    let (x, residual) = (layout::dense(x)?, residual.map(layout::dense).transpose()?);
    let rows = x.elements() / inputs;
    let y = x.empty(shape, false)?;
    let (tile, workgroups) = tiled(rows, outputs);
    y.0.device.dispatch(&Dispatch {
        kernel: Kernel::Linear,
        constants: linear_constants(tile, bias.is_some(), activation, residual.is_some()),
        parameters: &[rows as u32, inputs as u32, outputs as u32],
        // What is not there is not read, but something has to be bound.
        inputs: &[&x.0.block, &weight.0.block, &bias.unwrap_or(&x).0.block, &residual.as_ref().unwrap_or(&x).0.block],
        output: &y.0.block,
        workgroups,
        work: (rows * inputs * outputs) as u64,
    })?;
    Ok(y)
}

/// The convolution and what comes after it; the normalisation before it has been done.
pub(super) fn convolution(x: &WgpuTensor, c: &Convolution<'_, WgpuTensor>) -> Result<WgpuTensor> {
    let shape = c.output_shape(x)?;
    let [batch, outputs, rows, columns] = shape;
    let [_, channels, height, width] = dims("convolution", &x.0.shape)?;
    let kernel = c.weight.0.shape[2];
    let g = c.geometry;
    let (x, weight) = (layout::channels_last(x)?, layout::channels_last(c.weight)?);
    let residual = c.residual.map(layout::channels_last).transpose()?;
    let y = x.empty(shape.to_vec(), true)?;
    if winograd::fits(&x, &weight, c) {
        winograd::convolution(&x, &weight, c, residual.as_ref(), &y)?;
        return Ok(y);
    }
    let places = batch * rows * columns;
    let (tile, workgroups) = tiled(places, outputs);
    let parameters = [batch, height, width, channels, outputs, rows, columns, kernel, g.stride, g.pad_before].map(|v| v as u32);
    y.0.device.dispatch(&Dispatch {
        kernel: Kernel::Conv2d,
        constants: convolution_constants(tile, c.bias.is_some(), c.channels.is_some(), residual.is_some(), c.repeat),
        parameters: &parameters,
        inputs: &[
            &x.0.block,
            &weight.0.block,
            &c.bias.unwrap_or(&x).0.block,
            &c.channels.unwrap_or(&x).0.block,
            &residual.as_ref().unwrap_or(&x).0.block,
        ],
        output: &y.0.block,
        workgroups,
        work: (places * outputs * channels * kernel * kernel) as u64,
    })?;
    Ok(y)
}

/// Into how many parts the places of a group are divided, and how many places each has.
fn parts(places: usize, channels: usize) -> (usize, usize) {
    // Enough values for a workgroup to be worth it, and few enough parts to be joined by each invocation afterwards.
    const VALUES: usize = 4096;
    const MOST: usize = 16;
    let each = VALUES.div_ceil(channels).max(places.div_ceil(MOST)).min(places);
    (places.div_ceil(each), each)
}

pub(super) fn group_norm(
    x: &WgpuTensor,
    weight: &WgpuTensor,
    bias: &WgpuTensor,
    groups: usize,
    eps: f64,
    activation: Activation,
) -> Result<WgpuTensor> {
    let [batch, channels, height, width] = dims("group_norm", &x.0.shape)?;
    if groups == 0 || !channels.is_multiple_of(groups) || weight.0.shape != [channels] || bias.0.shape != [channels] {
        let detail = format!("{groups} groups and the weight {:?} do not fit the input {:?}", weight.0.shape, x.0.shape);
        return shape_error("group_norm", detail);
    }
    x.filled("group_norm")?;
    let x = layout::channels_last(x)?;
    let places = height * width;
    let (parts, part_places) = parts(places, channels / groups);
    let mut parameters = [places, channels, groups, parts, part_places, batch].map(|v| v as u32).to_vec();
    let device = &x.0.device;
    // Two f32 for each part, however tensors are stored.
    let moments = device.allocate(batch * groups * parts, 8)?;
    device.dispatch(&Dispatch {
        kernel: Kernel::GroupNormMoments,
        constants: reduction_constants(GROUP_WIDTH),
        parameters: &parameters,
        inputs: &[&x.0.block],
        output: &moments,
        workgroups: folded(batch * groups * parts),
        work: 2 * x.elements() as u64,
    })?;
    parameters.push((eps as f32).to_bits());
    const PLACES: usize = 4;
    let y = x.empty(x.0.shape.clone(), true)?;
    device.dispatch(&Dispatch {
        kernel: Kernel::GroupNorm,
        constants: activation_constants(activation),
        parameters: &parameters,
        inputs: &[&x.0.block, &moments, &weight.0.block, &bias.0.block],
        output: &y.0.block,
        workgroups: folded((batch * places.div_ceil(PLACES) * channels).div_ceil(64)),
        work: x.elements() as u64,
    })?;
    Ok(y)
}

pub(super) fn layer_norm(x: &WgpuTensor, weight: &WgpuTensor, bias: &WgpuTensor, eps: f64) -> Result<WgpuTensor> {
    if x.0.shape.last() != weight.0.shape.first() || weight.0.shape.len() != 1 || weight.0.shape != bias.0.shape {
        return shape_error("layer_norm", format!("the weight {:?} does not fit the input {:?}", weight.0.shape, x.0.shape));
    }
    x.filled("layer_norm")?;
    let x = layout::dense(x)?;
    let channels = weight.0.shape[0];
    let rows = x.elements() / channels;
    let y = x.empty(x.0.shape.clone(), false)?;
    y.0.device.dispatch(&Dispatch {
        kernel: Kernel::LayerNorm,
        constants: reduction_constants(ROW_WIDTH),
        parameters: &[rows as u32, channels as u32, (eps as f32).to_bits()],
        inputs: &[&x.0.block, &weight.0.block, &bias.0.block],
        output: &y.0.block,
        workgroups: folded(rows),
        work: 3 * x.elements() as u64,
    })?;
    Ok(y)
}

pub(super) fn attention(
    q: &WgpuTensor,
    k: &WgpuTensor,
    v: &WgpuTensor,
    heads: usize,
    mask: Mask,
    keep_weights: bool,
) -> Result<(WgpuTensor, Option<WgpuTensor>)> {
    let [batch, queries, channels] = dims("attention", &q.0.shape)?;
    let [_, keys, _] = dims("attention", &k.0.shape)?;
    if k.0.shape != [batch, keys, channels]
        || v.0.shape != k.0.shape
        || heads == 0
        || channels % heads != 0
        || [batch, queries, keys, channels].contains(&0)
    {
        let detail = format!("queries {:?}, keys {:?}, values {:?}, {heads} heads", q.0.shape, k.0.shape, v.0.shape);
        return shape_error("attention", detail);
    }
    // As in the kernel.
    const QUERIES: usize = 64;
    const COLUMNS: usize = 64;
    let depth = channels / heads;
    let blocks = depth.div_ceil(COLUMNS);
    let scale = (1.0 / (depth as f64).sqrt()) as f32;
    let shape = [queries, keys, channels, heads, batch].map(|v| v as u32);
    let device = &q.0.device;
    let y = q.empty(q.0.shape.clone(), false)?;
    let [rows, layers, _] = folded(batch * heads * blocks);
    device.dispatch(&Dispatch {
        kernel: Kernel::Attention,
        constants: attention_constants(mask),
        parameters: &[&shape[..], &[blocks as u32, scale.to_bits()]].concat(),
        inputs: &[&q.0.block, &k.0.block, &v.0.block],
        output: &y.0.block,
        workgroups: [queries.div_ceil(QUERIES) as u32, rows, layers],
        work: (batch * queries * keys * channels * (blocks + 1)) as u64,
    })?;
    let weights: Option<Result<WgpuTensor>> = keep_weights.then(|| {
        let weights = q.empty(vec![batch, heads, queries, keys], false)?;
        device.dispatch(&Dispatch {
            kernel: Kernel::AttentionWeights,
            constants: [attention_constants(mask), reduction_constants(ROW_WIDTH)].concat(),
            parameters: &[&shape[..], &[scale.to_bits()]].concat(),
            inputs: &[&q.0.block, &k.0.block],
            output: &weights.0.block,
            workgroups: folded(batch * heads * queries),
            work: (3 * batch * queries * keys * channels) as u64,
        })?;
        Ok(weights)
    });
    Ok((y, weights.transpose()?))
}

pub(super) fn activate(x: &WgpuTensor, activation: Activation) -> Result<WgpuTensor> {
    if activation == Activation::Identity || x.elements() == 0 {
        return Ok(x.clone());
    }
    let (y, count) = (x.empty(x.0.shape.clone(), x.0.last)?, x.elements());
    elementwise(Kernel::Activate, activation_constants(activation), &[count as u32], &[x], &y, count)?;
    Ok(y)
}

pub(super) fn geglu(x: &WgpuTensor) -> Result<WgpuTensor> {
    let mut shape = x.0.shape.clone();
    match shape.last_mut() {
        Some(width) if *width % 2 == 0 && *width > 0 => *width /= 2,
        _ => return shape_error("geglu", format!("the last axis of {:?} is not even", x.0.shape)),
    }
    x.filled("geglu")?;
    let x = layout::dense(x)?;
    let channels = shape[shape.len() - 1];
    let y = x.empty(shape, false)?;
    let count = y.elements();
    elementwise(Kernel::Geglu, Vec::new(), &[count as u32, channels as u32], &[&x], &y, count)?;
    Ok(y)
}

/// Of two tensors in the same order.
pub(super) fn add(x: &WgpuTensor, y: &WgpuTensor) -> Result<WgpuTensor> {
    let (z, count) = (x.empty(x.0.shape.clone(), x.0.last)?, x.elements());
    if count > 0 {
        elementwise(Kernel::Add, Vec::new(), &[count as u32, y.elements() as u32], &[x, y], &z, count)?;
    }
    Ok(z)
}

pub(super) fn add_channels(x: &WgpuTensor, y: &WgpuTensor) -> Result<WgpuTensor> {
    let [batch, channels, height, width] = dims("add_channels", &x.0.shape)?;
    if y.0.shape != [batch, channels] {
        return shape_error("add_channels", format!("{:?} to {:?}", y.0.shape, x.0.shape));
    }
    x.filled("add_channels")?;
    let x = layout::channels_last(x)?;
    let (z, count) = (x.empty(x.0.shape.clone(), true)?, x.elements());
    elementwise(Kernel::AddChannels, Vec::new(), &[count, height * width, channels].map(|v| v as u32), &[&x, y], &z, count)?;
    Ok(z)
}

pub(super) fn scale(x: &WgpuTensor, factor: f32) -> Result<WgpuTensor> {
    let (y, count) = (x.empty(x.0.shape.clone(), x.0.last)?, x.elements());
    if count > 0 {
        elementwise(Kernel::Scale, Vec::new(), &[count as u32, factor.to_bits()], &[x], &y, count)?;
    }
    Ok(y)
}

pub(super) fn upsample_nearest2x(x: &WgpuTensor) -> Result<WgpuTensor> {
    let [batch, channels, height, width] = dims("upsample_nearest2x", &x.0.shape)?;
    x.filled("upsample_nearest2x")?;
    let x = layout::channels_last(x)?;
    let y = x.empty(vec![batch, channels, 2 * height, 2 * width], true)?;
    let count = y.elements();
    elementwise(Kernel::UpsampleNearest2x, Vec::new(), &[count, height, width, channels].map(|v| v as u32), &[&x], &y, count)?;
    Ok(y)
}

/// Of indices that have been looked at.
pub(super) fn embedding(table: &WgpuTensor, ids: &[u32], batch: usize) -> Result<WgpuTensor> {
    let channels = table.0.shape[1];
    let y = table.empty(vec![batch, ids.len() / batch, channels], false)?;
    let count = y.elements();
    if count > 0 {
        let device = &table.0.device;
        let indices = device.upload_indices(ids)?;
        device.dispatch(&Dispatch {
            kernel: Kernel::Embedding,
            constants: Vec::new(),
            parameters: &[count as u32, channels as u32],
            inputs: &[&table.0.block, &indices],
            output: &y.0.block,
            workgroups: folded(count.div_ceil(64)),
            work: count as u64,
        })?;
    }
    Ok(y)
}

pub(super) fn mean_pool(x: &WgpuTensor) -> Result<WgpuTensor> {
    let [batch, channels, height, width] = dims("mean_pool", &x.0.shape)?;
    x.filled("mean_pool")?;
    let x = layout::channels_last(x)?;
    let y = x.empty(vec![batch, channels], false)?;
    let count = y.elements();
    elementwise(Kernel::MeanPool, Vec::new(), &[count, height * width, channels].map(|v| v as u32), &[&x], &y, count)?;
    Ok(y)
}
