//! Rearrangements, as steps of a computation. Many cost nothing: pictures are stored with channels last, as tokens are.

use super::CpuTensor;
use super::buffer::Buffer;
use super::tape::Gradient;
use std::sync::Arc;

/// `axes` of `x: shape` in another order, in memory.
fn permuted(x: &[f32], shape: &[usize], axes: &[usize]) -> Buffer {
    let mut strides = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1];
    }
    let mut y = Buffer::any(x.len());
    if x.is_empty() {
        return y;
    }
    let extents: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    let steps: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
    let inner = extents.last().copied().unwrap_or(1);
    let step = steps.last().copied().unwrap_or(1);
    let mut index = vec![0; extents.len().saturating_sub(1)];
    let mut start = 0;
    for row in y.chunks_exact_mut(inner) {
        for (i, y) in row.iter_mut().enumerate() {
            *y = x[start + i * step];
        }
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            start += steps[axis];
            if index[axis] < extents[axis] {
                break;
            }
            start -= steps[axis] * extents[axis];
            index[axis] = 0;
        }
    }
    y
}

fn moved(x: &CpuTensor, stored: &[usize], axes: &[usize], shape: Vec<usize>, last: bool) -> CpuTensor {
    let y = permuted(x.values(), stored, axes);
    let there: Vec<usize> = axes.iter().map(|&axis| stored[axis]).collect();
    let mut back = vec![0; axes.len()];
    axes.iter().enumerate().for_each(|(i, &axis)| back[axis] = i);
    CpuTensor::result(shape, last, y, vec![x.clone()], || {
        Box::new(move |grad: &Gradient| vec![Some(Arc::new(permuted(grad, &there, &back)))])
    })
}

/// Row-major in its own shape.
pub(super) fn dense(x: &CpuTensor) -> CpuTensor {
    if !x.0.last {
        return x.clone();
    }
    let [b, c, h, w] = x.picture_shape();
    moved(x, &[b, h, w, c], &[0, 3, 1, 2], x.0.shape.clone(), false)
}

/// Stored with channels last; `x: [B, C, H, W]`.
pub(super) fn channels_last(x: &CpuTensor) -> CpuTensor {
    if x.0.last {
        return x.clone();
    }
    moved(x, &x.0.shape, &[0, 2, 3, 1], x.0.shape.clone(), true)
}

/// Axes in another order.
pub(super) fn permute(x: &CpuTensor, axes: &[usize]) -> CpuTensor {
    let shape: Vec<usize> = axes.iter().map(|&axis| x.0.shape[axis]).collect();
    match axes {
        [0, 2, 3, 1] if x.0.last => x.view(shape, false),
        [0, 3, 1, 2] if !x.0.last => x.view(shape, true),
        _ => {
            let x = dense(x);
            moved(&x, &x.0.shape, axes, shape, false)
        }
    }
}

/// Rows of `before` values each become rows of `after`, of which `at..at + before` (or the other way round) is copied.
fn rows(source: &[f32], source_row: usize, from: usize, target: &mut [f32], target_row: usize, to: usize, count: usize) {
    for (target, source) in target.chunks_exact_mut(target_row).zip(source.chunks_exact(source_row)) {
        target[to..to + count].copy_from_slice(&source[from..from + count]);
    }
}

/// The axis as stored, and values behind it.
fn stored_axis(x: &CpuTensor, axis: usize) -> (usize, usize) {
    let shape = &x.0.shape;
    if x.0.last {
        let [_, c, _, w] = x.picture_shape();
        // Stored as [B, H, W, C].
        return match axis {
            0 => (shape[0], shape[1..].iter().product()),
            1 => (c, 1),
            2 => (shape[2], w * c),
            _ => (w, c),
        };
    }
    (shape[axis], shape[axis + 1..].iter().product())
}

/// Joins along an axis; all in the same order.
pub(super) fn cat(parts: &[&CpuTensor], axis: usize) -> CpuTensor {
    let mut shape = parts[0].0.shape.clone();
    shape[axis] = parts.iter().map(|part| part.0.shape[axis]).sum();
    let widths: Vec<usize> = parts
        .iter()
        .map(|part| {
            let (extent, inner) = stored_axis(part, axis);
            extent * inner
        })
        .collect();
    let all: usize = widths.iter().sum();
    let mut y = Buffer::any(shape.iter().product());
    let mut at = 0;
    for (part, &width) in parts.iter().zip(&widths) {
        if width > 0 {
            rows(part.values(), width, 0, &mut y, all, at, width);
        }
        at += width;
    }
    let parents = parts.iter().map(|&part| part.clone()).collect();
    CpuTensor::result(shape, parts[0].0.last, y, parents, || {
        Box::new(move |grad: &Gradient| {
            let mut at = 0;
            let part = |&width: &usize| {
                let mut part = Buffer::any(grad.len() / all.max(1) * width);
                if width > 0 {
                    rows(grad, all, at, &mut part, width, 0, width);
                }
                at += width;
                Some(Arc::new(part))
            };
            widths.iter().map(part).collect()
        })
    })
}

/// `len` from `start` along an axis.
pub(super) fn narrow(x: &CpuTensor, axis: usize, start: usize, len: usize) -> CpuTensor {
    let (extent, inner) = stored_axis(x, axis);
    let mut shape = x.0.shape.clone();
    shape[axis] = len;
    let (width, from, count) = (extent * inner, start * inner, len * inner);
    let mut y = Buffer::any(shape.iter().product());
    if count > 0 {
        rows(x.values(), width, from, &mut y, count, 0, count);
    }
    let size = x.values().len();
    CpuTensor::result(shape, x.0.last, y, vec![x.clone()], || {
        Box::new(move |grad: &Gradient| {
            let mut dx = Buffer::zeros(size);
            if count > 0 {
                rows(grad, count, 0, &mut dx, width, from, count);
            }
            vec![Some(Arc::new(dx))]
        })
    })
}

/// Height and width doubled by repetition; stored with channels last.
pub(super) fn upsample(x: &CpuTensor) -> CpuTensor {
    let [b, c, h, w] = x.picture_shape();
    let mut y = Buffer::any(4 * x.values().len());
    for (pair, row) in y.chunks_exact_mut((4 * w * c).max(1)).zip(x.values().chunks_exact((w * c).max(1))) {
        let (first, second) = pair.split_at_mut(2 * w * c);
        for (two, place) in first.chunks_exact_mut(2 * c).zip(row.chunks_exact(c)) {
            two[..c].copy_from_slice(place);
            two[c..].copy_from_slice(place);
        }
        second.copy_from_slice(first);
    }
    let window = super::window::Window {
        height: h,
        width: w,
        channels: c,
        outputs: c,
        kernel: 1,
        stride: 1,
        before: 0,
        below: 0,
        right: 0,
        enlarge: super::window::Enlarge::Repeat,
    };
    CpuTensor::result(vec![b, c, 2 * h, 2 * w], true, y, vec![x.clone()], || {
        Box::new(move |grad: &Gradient| {
            let mut dx = Buffer::any(grad.len() / 4);
            super::conv::fold(&window, grad, &mut dx);
            vec![Some(Arc::new(dx))]
        })
    })
}
