//! In which order a tensor's values lie in its buffer, and moving them from one order into another.

use super::kernels::Kernel;
use super::recorder::Dispatch;
use super::{WgpuTensor, folded};
use crate::compute::{Result, shape_error};
use std::sync::Arc;

/// An axis along which values are moved.
#[derive(Debug, Clone, Copy)]
struct Axis {
    extent: usize,
    /// Distance between neighbours where they come from, and where they go to.
    from: usize,
    to: usize,
}

/// Distances between neighbours along each axis, of a tensor that is stored row-major, or with channels last.
fn strides(shape: &[usize], last: bool) -> Vec<usize> {
    if let ([_, c, h, w], true) = (shape, last) {
        return vec![h * w * c, 1, w * c, *c];
    }
    let mut strides = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1];
    }
    strides
}

/// Copies the values along `axes` from one tensor, beginning at an offset, into another.
fn moved(from: (&WgpuTensor, usize), to: (&WgpuTensor, usize), mut axes: Vec<Axis>) -> Result<()> {
    // In the order of the target, so that neighbours are written by neighbours.
    axes.sort_by_key(|axis| std::cmp::Reverse(axis.to));
    let mut parameters = [[1_u32; 4], [0; 4], [0; 4]];
    let count: usize = axes.iter().map(|axis| axis.extent).product();
    for (i, axis) in axes.iter().enumerate() {
        let at = i + 4 - axes.len();
        (parameters[0][at], parameters[1][at], parameters[2][at]) = (axis.extent as u32, axis.from as u32, axis.to as u32);
    }
    let mut parameters = parameters.concat();
    parameters.extend([from.1 as u32, to.1 as u32, count as u32]);
    from.0.0.device.dispatch(&Dispatch {
        kernel: Kernel::Rearrange,
        constants: Vec::new(),
        parameters: &parameters,
        inputs: &[&from.0.0.block],
        output: &to.0.0.block,
        workgroups: folded(count.div_ceil(64)),
        work: count as u64,
    })
}

/// The same values in another order in memory.
fn ordered(x: &WgpuTensor, last: bool) -> Result<WgpuTensor> {
    if x.0.last == last {
        return Ok(x.clone());
    }
    let shape = &x.0.shape;
    let y = x.empty(shape.clone(), last)?;
    let (from, to) = (strides(shape, x.0.last), strides(shape, last));
    let axes = (0..4).map(|i| Axis { extent: shape[i], from: from[i], to: to[i] }).collect();
    moved((x, 0), (&y, 0), axes)?;
    Ok(y)
}

/// Row-major in its own shape.
pub(super) fn dense(x: &WgpuTensor) -> Result<WgpuTensor> {
    ordered(x, false)
}

/// Stored with channels last; `x: [B, C, H, W]`.
pub(super) fn channels_last(x: &WgpuTensor) -> Result<WgpuTensor> {
    ordered(x, true)
}

/// Axes in another order.
pub(super) fn permute(x: &WgpuTensor, axes: &[usize]) -> Result<WgpuTensor> {
    let shape: Vec<usize> = axes.iter().map(|&axis| x.0.shape[axis]).collect();
    match axes {
        [0, 2, 3, 1] if x.0.last => return Ok(x.view(shape, false)),
        [0, 3, 1, 2] if !x.0.last => return Ok(x.view(shape, true)),
        _ if axes.iter().enumerate().all(|(i, &axis)| i == axis) => return Ok(x.clone()),
        _ if axes.len() > 4 => return shape_error("permute", format!("more than four axes: {:?}", x.0.shape)),
        _ => {}
    }
    let y = x.empty(shape.clone(), false)?;
    let (from, to) = (strides(&x.0.shape, x.0.last), strides(&shape, false));
    let axes = axes.iter().enumerate().map(|(i, &axis)| Axis { extent: shape[i], from: from[axis], to: to[i] }).collect();
    moved((x, 0), (&y, 0), axes)?;
    Ok(y)
}

/// The axes of a copy of `len` along `axis`, between a whole that has `x`'s other extents and `whole` along that axis, and a part.
fn part(part: &WgpuTensor, axis: usize, whole: usize) -> (Vec<Axis>, usize) {
    let shape = &part.0.shape;
    let mut full = shape.clone();
    full[axis] = whole;
    if part.0.last {
        let (part, whole) = (strides(shape, true), strides(&full, true));
        let axes = (0..4).map(|i| Axis { extent: shape[i], from: whole[i], to: part[i] }).collect();
        return (axes, whole[axis]);
    }
    let (outer, inner): (usize, usize) = (shape[..axis].iter().product(), shape[axis + 1..].iter().product());
    let along = shape[axis] * inner;
    (vec![Axis { extent: outer, from: whole * inner, to: along }, Axis { extent: along, from: 1, to: 1 }], inner)
}

/// `len` from `start` along an axis.
pub(super) fn narrow(x: &WgpuTensor, axis: usize, start: usize, len: usize) -> Result<WgpuTensor> {
    let mut shape = x.0.shape.clone();
    shape[axis] = len;
    let y = x.empty(shape, x.0.last)?;
    if y.elements() > 0 {
        let (axes, step) = part(&y, axis, x.0.shape[axis]);
        moved((x, start * step), (&y, 0), axes)?;
    }
    Ok(y)
}

/// Joins along an axis; all in the same order.
pub(super) fn cat(parts: &[WgpuTensor], axis: usize) -> Result<WgpuTensor> {
    let first = &parts[0];
    let mut shape = first.0.shape.clone();
    shape[axis] = parts.iter().map(|part| part.0.shape[axis]).sum();
    let whole = shape[axis];
    let y = first.empty(shape, first.0.last)?;
    let mut start = 0;
    for x in parts {
        if x.elements() > 0 {
            let (axes, step) = part(x, axis, whole);
            let axes = axes.into_iter().map(|Axis { extent, from, to }| Axis { extent, from: to, to: from }).collect();
            moved((x, 0), (&y, start * step), axes)?;
        }
        start += x.0.shape[axis];
    }
    Ok(y)
}

/// Values of `[B, C, H, W]` on the host from one order into the other.
pub(super) fn on_host(values: &[f32], [b, c, h, w]: [usize; 4], to_last: bool) -> Arc<[f32]> {
    let (channels, places) = (c, h * w);
    let picture = channels * places;
    let (rows, columns) = if to_last { (places, channels) } else { (channels, places) };
    (0..b * picture)
        .map(|i| {
            let (row, column) = (i % picture / columns, i % columns);
            values[i / picture * picture + column * rows + row]
        })
        .collect()
}
