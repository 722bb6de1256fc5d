//! Attention over the places of a feature map and over the words of a prompt (Rombach et al. 2022, arXiv 2112.10752,
//! section 3.3; diffusers' `Transformer2DModel`).

use super::ModelError;
use super::layers::{Conv, GroupNorm, LayerNorm, Linear, to_picture, to_tokens};
use super::params::{Init, Params};
use super::taps::{TapKind, Taps};
use super::unet::UNet2DConditionConfig;
use crate::compute::{Activation, Conv2d, Convolution, Mask, Tensor};

/// Multi-head attention with its projections (diffusers' `Attention`).
#[derive(Debug, Clone)]
pub struct Attention<T> {
    path: String,
    heads: usize,
    to_q: Linear<T>,
    to_k: Linear<T>,
    to_v: Linear<T>,
    to_out: Linear<T>,
}

impl<T: Tensor> Attention<T> {
    /// `width` of the queries, `context` of what is attended to.
    pub fn new(p: &Params<T>, width: usize, context: usize, heads: usize) -> Result<Self, ModelError> {
        Ok(Self {
            path: p.path().to_owned(),
            heads,
            to_q: Linear::new(&p.pp("to_q"), width, width, false)?,
            to_k: Linear::new(&p.pp("to_k"), context, width, false)?,
            to_v: Linear::new(&p.pp("to_v"), context, width, false)?,
            to_out: Linear::new(&p.pp("to_out.0"), width, width, true)?,
        })
    }

    /// Keys and values of what is attended to: `[B, M, context]` -> two of `[B, M, width]`.
    pub fn keys(&self, context: &T) -> Result<KeysValues<T>, ModelError> {
        Ok(KeysValues { keys: self.to_k.forward(context)?, values: self.to_v.forward(context)? })
    }

    /// `x, residual: [B, N, width]` -> `[B, N, width]`, the residual added.
    pub fn forward(&self, x: &T, context: &KeysValues<T>, residual: &T, taps: &mut Taps<T>) -> Result<T, ModelError> {
        let keep = taps.wants(&self.path, TapKind::Attention);
        let q = self.to_q.forward(x)?;
        let (y, weights) = T::attention(&q, &context.keys, &context.values, self.heads, Mask::None, keep)?;
        if let Some(weights) = weights {
            taps.offer(&self.path, TapKind::Attention, &weights);
        }
        self.to_out.forward_add(&y, residual)
    }
}

/// What an attention attends to, as keys and values. Those of a prompt stay the same from step to step.
#[derive(Debug, Clone)]
pub struct KeysValues<T> {
    keys: T,
    values: T,
}

#[derive(Debug, Clone)]
struct TransformerBlock<T> {
    path: String,
    norm1: LayerNorm<T>,
    attn1: Attention<T>,
    norm2: LayerNorm<T>,
    attn2: Attention<T>,
    norm3: LayerNorm<T>,
    ff_in: Linear<T>,
    ff_out: Linear<T>,
}

impl<T: Tensor> TransformerBlock<T> {
    fn new(p: &Params<T>, width: usize, context: usize, heads: usize) -> Result<Self, ModelError> {
        const EPS: f64 = 1e-5;
        Ok(Self {
            path: p.path().to_owned(),
            norm1: LayerNorm::new(&p.pp("norm1"), width, EPS)?,
            attn1: Attention::new(&p.pp("attn1"), width, width, heads)?,
            norm2: LayerNorm::new(&p.pp("norm2"), width, EPS)?,
            attn2: Attention::new(&p.pp("attn2"), width, context, heads)?,
            norm3: LayerNorm::new(&p.pp("norm3"), width, EPS)?,
            ff_in: Linear::new(&p.pp("ff.net.0.proj"), width, 8 * width, true)?,
            ff_out: Linear::new(&p.pp("ff.net.2"), 4 * width, width, true)?,
        })
    }

    fn forward(&self, x: &T, text: &KeysValues<T>, taps: &mut Taps<T>) -> Result<T, ModelError> {
        let h = self.norm1.forward(x)?;
        let x = self.attn1.forward(&h, &self.attn1.keys(&h)?, x, taps)?;
        let x = self.attn2.forward(&self.norm2.forward(&x)?, text, &x, taps)?;
        let h = self.ff_in.forward(&self.norm3.forward(&x)?)?.geglu()?;
        let x = self.ff_out.forward_add(&h, &x)?;
        taps.offer(&self.path, TapKind::Output, &x);
        Ok(x)
    }
}

#[derive(Debug, Clone)]
enum Projection<T> {
    Linear { input: Linear<T>, output: Linear<T> },
    Pointwise { input: Conv<T>, output: Conv<T> },
}

/// Transformer blocks over the places of a feature map, around which the map is normalised and projected.
#[derive(Debug, Clone)]
pub struct SpatialTransformer<T> {
    path: String,
    norm: GroupNorm<T>,
    projection: Projection<T>,
    blocks: Vec<TransformerBlock<T>>,
}

impl<T: Tensor> SpatialTransformer<T> {
    /// `width` channels, `heads` heads, `layers` blocks.
    pub fn new(p: &Params<T>, config: &UNet2DConditionConfig, width: usize, heads: usize, layers: usize) -> Result<Self, ModelError> {
        let (input, output) = (p.pp("proj_in"), p.pp("proj_out"));
        let norm = GroupNorm::new(&p.pp("norm"), config.norm_num_groups, width, 1e-6, Activation::Identity)?;
        let projection_in = if config.use_linear_projection {
            let input = Linear::new(&input, width, width, true)?;
            Projection::Linear { input, output: Linear::with_init(&output, width, width, true, Init::Zeros)? }
        } else {
            let input = Conv::new(&input, width, width, 1, Conv2d::POINTWISE)?;
            Projection::Pointwise { input, output: Conv::with_init(&output, width, width, 1, Conv2d::POINTWISE, Init::Zeros)? }
        };
        let blocks = (0..layers)
            .map(|i| TransformerBlock::new(&p.pp("transformer_blocks").pp(i), width, config.cross_attention_dim, heads))
            .collect::<Result<_, _>>()?;
        Ok(Self { path: p.path().to_owned(), norm, projection: projection_in, blocks })
    }

    /// Keys and values of a prompt for each block: `text: [B, L, D]`.
    pub fn keys(&self, text: &T) -> Result<Vec<KeysValues<T>>, ModelError> {
        self.blocks.iter().map(|block| block.attn2.keys(text)).collect()
    }

    /// `x: [B, C, H, W]`, `text` of [`Self::keys`] -> `[B, C, H, W]`.
    pub fn forward(&self, x: &T, text: &[KeysValues<T>], taps: &mut Taps<T>) -> Result<T, ModelError> {
        let [_, _, height, width] = crate::compute::dims("transformer", x.shape())?;
        let mut tokens = match &self.projection {
            Projection::Linear { input, .. } => input.forward(&to_tokens(&self.norm.forward(x)?)?)?,
            Projection::Pointwise { input, .. } => to_tokens(&x.convolution(&input.after(&self.norm))?)?,
        };
        for (block, text) in self.blocks.iter().zip(text) {
            tokens = block.forward(&tokens, text, taps)?;
        }
        let y = match &self.projection {
            Projection::Linear { output, .. } => to_picture(&output.forward_add(&tokens, &to_tokens(x)?)?, height, width)?,
            Projection::Pointwise { output, .. } => {
                to_picture(&tokens, height, width)?.convolution(&Convolution { residual: Some(x), ..output.plain() })?
            }
        };
        taps.offer(&self.path, TapKind::Output, &y);
        Ok(y)
    }
}
