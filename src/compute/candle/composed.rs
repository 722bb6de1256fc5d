//! The layers as compositions of candle's differentiable operations, for devices without kernels of our own; and the
//! second opinion on those kernels in tests.

use super::attached::{self, normalise};
use super::{Activation, CandleTensor, Conv2d, Mask, Result};
use candle_core::{D, Tensor};

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, shape: &[usize]) -> Result<Tensor> {
    let inputs = weight.dim(1)?;
    let x = x.contiguous()?.reshape(((), inputs))?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(super::cuda::linear(&x, weight, bias)?.reshape(shape)?);
    }
    let y = x.matmul(&weight.t()?)?;
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    Ok(y.reshape(shape)?)
}

pub(super) fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, geometry: Conv2d) -> Result<Tensor> {
    let (before, after) = (geometry.pad_before, geometry.pad_after);
    let y = if before == after {
        x.conv2d(weight, before, geometry.stride, 1, 1)?
    } else {
        let x = x.pad_with_zeros(2, before, after)?.pad_with_zeros(3, before, after)?;
        x.conv2d(weight, 0, geometry.stride, 1, 1)?
    };
    Ok(match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?,
        None => y,
    })
}

pub(super) fn group_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, groups: usize, eps: f64, activation: Activation) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let y = normalise(&x.reshape((b, groups, c / groups * h * w))?, eps)?.reshape((b, c, h, w))?;
    let y = y.broadcast_mul(&weight.reshape((1, c, 1, 1))?)?.broadcast_add(&bias.reshape((1, c, 1, 1))?)?;
    activate(&y, activation)
}

pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    Ok(normalise(x, eps)?.broadcast_mul(weight)?.broadcast_add(bias)?)
}

pub(super) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    mask: Mask,
    keep_weights: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let (b, n, c) = q.dims3()?;
    let m = k.dim(1)?;
    let split = |x: &Tensor, length: usize| x.reshape((b, length, heads, c / heads))?.transpose(1, 2)?.contiguous();
    let scores = (split(q, n)?.matmul(&split(k, m)?.transpose(2, 3)?)? / ((c / heads) as f64).sqrt())?;
    let scores = match mask {
        Mask::None => scores,
        Mask::Causal => {
            let hidden: Vec<f32> = (0..n * m).map(|i| if i % m > i / m { f32::NEG_INFINITY } else { 0.0 }).collect();
            scores.broadcast_add(&Tensor::from_vec(hidden, (n, m), q.device())?)?
        }
    };
    let weights = attached::softmax(&scores)?;
    let y = weights.matmul(&split(v, m)?)?.transpose(1, 2)?.contiguous()?.reshape((b, n, c))?;
    Ok((y, keep_weights.then_some(weights)))
}

pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Identity => x.clone(),
        Activation::Silu => x.silu()?,
        Activation::Gelu => x.gelu_erf()?,
        Activation::QuickGelu => (x * ((x * -1.702)?.exp()? + 1.0)?.recip()?)?,
    })
}

pub(super) fn geglu(x: &CandleTensor) -> Result<CandleTensor> {
    let width = x.dim(D::Minus1)? / 2;
    let (value, gate) = (x.narrow(D::Minus1, 0, width)?.contiguous()?, x.narrow(D::Minus1, width, width)?.contiguous()?);
    Ok((value * gate.gelu_erf()?)?)
}

/// Every element twice along both axes, by a broadcast: the gradient of candle's own enlargement is a convolution per channel.
pub(super) fn upsample_nearest2x(x: &Tensor) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    Ok(x.reshape((b, c, h, 1, w, 1))?.broadcast_as((b, c, h, 2, w, 2))?.reshape((b, c, 2 * h, 2 * w))?)
}
