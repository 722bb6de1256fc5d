//! The denoising U-Net (Ronneberger et al. 2015, arXiv 1505.04597; Rombach et al. 2022, arXiv 2112.10752, section 3.3), as
//! diffusers' `UNet2DConditionModel` lays it out.

use super::ModelError;
use super::config::{ConfigReader, plausible};
use super::layers::{Conv, GroupNorm, Linear, ResnetBlock};
use super::params::{Params, ShapeSource};
use super::taps::{TapKind, Taps};
use super::transformer::{KeysValues, SpatialTransformer};
use crate::compute::{Activation, Conv2d, Tensor};
use crate::host::HostTensor;
use serde_json::{Value, json};
use std::sync::Mutex;

/// The configuration of a U-Net, in diffusers' terms.
#[derive(Debug, Clone, PartialEq)]
pub struct UNet2DConditionConfig {
    /// Side of the latents that it was trained on.
    pub sample_size: usize,
    /// Channels of the noisy latents.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Width of each resolution, finest first.
    pub block_out_channels: Vec<usize>,
    /// Whether each resolution of the down path has cross-attention.
    pub down_attention: Vec<bool>,
    /// Whether each resolution of the up path has cross-attention, coarsest first.
    pub up_attention: Vec<bool>,
    /// Residual blocks at each resolution of the down path; the up path has one more.
    pub layers_per_block: Vec<usize>,
    /// Number of attention heads at each resolution (diffusers' `attention_head_dim`, which means the number of heads).
    pub heads: Vec<usize>,
    /// Transformer blocks in each attention.
    pub transformer_layers_per_block: Vec<usize>,
    /// Width of the text embedding.
    pub cross_attention_dim: usize,
    /// Groups of every group normalisation.
    pub norm_num_groups: usize,
    /// Added to variances.
    pub norm_eps: f64,
    /// Whether the projections around attention are linear layers rather than 1x1 convolutions.
    pub use_linear_projection: bool,
    /// Whether the time embedding is `[cos, sin]` rather than `[sin, cos]`.
    pub flip_sin_to_cos: bool,
    /// Offset in the exponent of the time frequencies.
    pub freq_shift: f64,
}

impl UNet2DConditionConfig {
    /// The U-Net that this project trains: 16x16 latents, cross-attention at 8x8 and in the middle.
    pub fn littleworld() -> Self {
        Self {
            sample_size: 16,
            in_channels: 8,
            out_channels: 8,
            block_out_channels: vec![64, 128],
            down_attention: vec![false, true],
            up_attention: vec![true, false],
            layers_per_block: vec![1, 2],
            heads: vec![4, 4],
            transformer_layers_per_block: vec![1, 1],
            cross_attention_dim: 128,
            norm_num_groups: 16,
            norm_eps: 1e-5,
            use_linear_projection: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
        }
    }

    /// Reads a diffusers `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key that is missing, contradictory or not supported.
    pub fn from_json(json: &[u8]) -> Result<Self, ModelError> {
        let mut r = ConfigReader::parse("the U-Net", json)?;
        r.only("_class_name", &[json!("UNet2DConditionModel")])?;
        let block_out_channels: Vec<usize> = r.required("block_out_channels")?;
        let count = block_out_channels.len();
        plausible("block_out_channels", &[count], 8)?;
        plausible("block_out_channels", &block_out_channels, 8192)?;
        let down: Vec<String> = r.required("down_block_types")?;
        let up: Vec<String> = r.required("up_block_types")?;
        let attention = |key, names: &[String], plain: &str, cross: &str| -> Result<Vec<bool>, ModelError> {
            if names.len() != count {
                return Err(ModelError::config(key, format!("it lists {} blocks, block_out_channels {count}", names.len())));
            }
            names
                .iter()
                .map(|name| match name.as_str() {
                    n if n == plain => Ok(false),
                    n if n == cross => Ok(true),
                    other => Err(ModelError::config(key, format!("the block type {other} is not supported (supported: {plain}, {cross})"))),
                })
                .collect()
        };
        let down_attention = attention("down_block_types", &down, "DownBlock2D", "CrossAttnDownBlock2D")?;
        let up_attention = attention("up_block_types", &up, "UpBlock2D", "CrossAttnUpBlock2D")?;
        let head_dim = r.per_block("attention_head_dim", count, 8)?;
        let heads = match r.has("num_attention_heads") {
            true => r.per_block("num_attention_heads", count, 8)?,
            false => head_dim,
        };
        let cross = r.per_block("cross_attention_dim", count, 1280)?;
        if cross.iter().any(|&d| d != cross[0]) {
            return Err(ModelError::config("cross_attention_dim", "a different width at each resolution is not supported"));
        }
        let config = Self {
            sample_size: r.optional("sample_size", 64)?,
            in_channels: r.optional("in_channels", 4)?,
            out_channels: r.optional("out_channels", 4)?,
            down_attention,
            up_attention,
            layers_per_block: r.per_block("layers_per_block", count, 2)?,
            heads,
            transformer_layers_per_block: r.per_block("transformer_layers_per_block", count, 1)?,
            cross_attention_dim: cross[0],
            norm_num_groups: r.optional("norm_num_groups", 32)?,
            norm_eps: r.optional("norm_eps", 1e-5)?,
            use_linear_projection: r.optional("use_linear_projection", false)?,
            flip_sin_to_cos: r.optional("flip_sin_to_cos", true)?,
            freq_shift: r.optional("freq_shift", 0.0)?,
            block_out_channels,
        };
        plausible("layers_per_block", &config.layers_per_block, 8)?;
        plausible("transformer_layers_per_block", &config.transformer_layers_per_block, 16)?;
        plausible("in_channels", &[config.in_channels, config.out_channels], 64)?;
        plausible("sample_size", &[config.sample_size], 1024)?;
        plausible("cross_attention_dim", &[config.cross_attention_dim], 8192)?;
        for (&width, &heads) in config.block_out_channels.iter().zip(&config.heads) {
            if width % heads != 0 {
                return Err(ModelError::config("attention_head_dim", format!("{heads} heads do not divide a width of {width}")));
            }
            if config.norm_num_groups == 0 || width % config.norm_num_groups != 0 {
                return Err(ModelError::config(
                    "norm_num_groups",
                    format!("{} groups do not divide a width of {width}", config.norm_num_groups),
                ));
            }
        }
        for (key, allowed) in [
            ("act_fn", vec![json!("silu"), json!("swish")]),
            ("mid_block_type", vec![json!("UNetMidBlock2DCrossAttn")]),
            ("time_embedding_type", vec![json!("positional")]),
            ("resnet_time_scale_shift", vec![json!("default")]),
            ("attention_type", vec![json!("default")]),
            ("conv_in_kernel", vec![json!(3)]),
            ("conv_out_kernel", vec![json!(3)]),
            ("downsample_padding", vec![json!(1)]),
            ("mid_block_scale_factor", vec![json!(1), json!(1.0)]),
            ("resnet_out_scale_factor", vec![json!(1), json!(1.0)]),
            ("dropout", vec![json!(0), json!(0.0)]),
            ("only_cross_attention", vec![json!(false), Value::Array(vec![json!(false); count])]),
        ] {
            r.only(key, &allowed)?;
        }
        // `upcast_attention` asks for f32 attention, which is what is computed here; the others matter only beside keys that are refused.
        r.ignore(&["upcast_attention", "addition_embed_type_num_heads", "attention_dropout"]);
        r.finish()?;
        Ok(config)
    }

    /// The diffusers `config.json` of this configuration.
    pub fn to_json(&self) -> Value {
        let blocks = |attention: &[bool], plain: &str, cross: &str| -> Vec<String> {
            attention.iter().map(|&a| if a { cross } else { plain }.to_owned()).collect()
        };
        json!({
            "_class_name": "UNet2DConditionModel",
            "act_fn": "silu",
            "attention_head_dim": uniform(&self.heads),
            "block_out_channels": self.block_out_channels,
            "center_input_sample": false,
            "cross_attention_dim": self.cross_attention_dim,
            "down_block_types": blocks(&self.down_attention, "DownBlock2D", "CrossAttnDownBlock2D"),
            "downsample_padding": 1,
            "flip_sin_to_cos": self.flip_sin_to_cos,
            "freq_shift": self.freq_shift as i64,
            "in_channels": self.in_channels,
            "layers_per_block": uniform(&self.layers_per_block),
            "mid_block_scale_factor": 1,
            "mid_block_type": "UNetMidBlock2DCrossAttn",
            "norm_eps": self.norm_eps,
            "norm_num_groups": self.norm_num_groups,
            "out_channels": self.out_channels,
            "sample_size": self.sample_size,
            "transformer_layers_per_block": uniform(&self.transformer_layers_per_block),
            "up_block_types": blocks(&self.up_attention, "UpBlock2D", "CrossAttnUpBlock2D"),
            "use_linear_projection": self.use_linear_projection,
        })
    }

    /// Number of parameters, counted by building the model of shapes alone.
    ///
    /// # Errors
    /// When the configuration cannot be built.
    pub fn parameter_count(&self) -> Result<usize, ModelError> {
        let source = Mutex::new(ShapeSource::default());
        UNet2DConditionModel::new(self, &Params::root(&source))?;
        source.into_inner().map(|s| s.count()).map_err(|_| ModelError::Internal("poisoned".into()))
    }

    /// The factor by which the coarsest resolution is smaller.
    pub fn downsampling(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }
}

/// One number where all are equal, as diffusers writes it.
fn uniform(values: &[usize]) -> Value {
    if values.iter().all(|v| *v == values[0]) { json!(values[0]) } else { json!(values) }
}

/// Sinusoidal time embedding (Vaswani et al. 2017, arXiv 1706.03762, section 3.5): for `i < width / 2`,
/// `cos` and `sin` of `timestep exp(-ln(10000) i / (width / 2 - freq_shift))`.
///
/// # Shapes
/// `timesteps: [B]` -> `[B, width]`.
pub fn timestep_embedding(timesteps: &[f64], width: usize, flip_sin_to_cos: bool, freq_shift: f64) -> HostTensor {
    let half = width / 2;
    HostTensor::from_fn([timesteps.len(), width], |i| {
        let (row, column) = (i / width, i % width);
        if column >= 2 * half {
            return 0.0; // an odd width is padded by a zero
        }
        let frequency = (-(10000f64.ln()) * (column % half) as f64 / (half as f64 - freq_shift)).exp();
        let phase = timesteps[row] * frequency;
        if (column < half) == flip_sin_to_cos { phase.cos() as f32 } else { phase.sin() as f32 }
    })
}

struct DownBlock<T> {
    path: String,
    resnets: Vec<ResnetBlock<T>>,
    attentions: Vec<SpatialTransformer<T>>,
    downsampler: Option<Conv<T>>,
}

struct UpBlock<T> {
    path: String,
    resnets: Vec<ResnetBlock<T>>,
    attentions: Vec<SpatialTransformer<T>>,
    upsampler: Option<Conv<T>>,
}

/// The conditional U-Net: noisy latents, timestep and text in, prediction out.
pub struct UNet2DConditionModel<T: Tensor> {
    config: UNet2DConditionConfig,
    conv_in: Conv<T>,
    time_linear_1: Linear<T>,
    time_linear_2: Linear<T>,
    down: Vec<DownBlock<T>>,
    mid_resnets: Vec<ResnetBlock<T>>,
    mid_attention: SpatialTransformer<T>,
    up: Vec<UpBlock<T>>,
    conv_norm_out: GroupNorm<T>,
    conv_out: Conv<T>,
}

impl<T: Tensor> UNet2DConditionModel<T> {
    /// Builds the network with weights from `p`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(config: &UNet2DConditionConfig, p: &Params<T>) -> Result<Self, ModelError> {
        let c = config;
        let widths = &c.block_out_channels;
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let time_width = first * 4;
        let resnet = |p: Params<T>, i, o| ResnetBlock::new(&p, i, o, Some(time_width), c.norm_num_groups, c.norm_eps);
        let transformer = |p: Params<T>, level: usize, width| {
            SpatialTransformer::new(&p, c, width, c.heads[level], c.transformer_layers_per_block[level])
        };
        let time = p.pp("time_embedding");
        let conv_in = Conv::same(&p.pp("conv_in"), c.in_channels, first)?;
        let time_linear_1 = Linear::new(&time.pp("linear_1"), first, time_width, true)?;
        let time_linear_2 = Linear::new(&time.pp("linear_2"), time_width, time_width, true)?;
        let mut down = Vec::new();
        let mut width = first;
        for (level, &out) in widths.iter().enumerate() {
            let p = p.pp("down_blocks").pp(level);
            let mut block = DownBlock { path: p.path().to_owned(), resnets: Vec::new(), attentions: Vec::new(), downsampler: None };
            for j in 0..c.layers_per_block[level] {
                block.resnets.push(resnet(p.pp("resnets").pp(j), if j == 0 { width } else { out }, out)?);
                if c.down_attention[level] {
                    block.attentions.push(transformer(p.pp("attentions").pp(j), level, out)?);
                }
            }
            if level + 1 < widths.len() {
                let half = Conv2d { stride: 2, pad_before: 1, pad_after: 1 };
                block.downsampler = Some(Conv::new(&p.pp("downsamplers.0.conv"), out, out, 3, half)?);
            }
            down.push(block);
            width = out;
        }
        let mid = p.pp("mid_block");
        let mid_resnets = vec![resnet(mid.pp("resnets.0"), last, last)?, resnet(mid.pp("resnets.1"), last, last)?];
        let mid_attention = transformer(mid.pp("attentions.0"), widths.len() - 1, last)?;
        let mut up = Vec::new();
        let mut previous = last;
        for i in 0..widths.len() {
            let level = widths.len() - 1 - i;
            let (out, skip_end) = (widths[level], widths[level.saturating_sub(1)]);
            let p = p.pp("up_blocks").pp(i);
            let mut block = UpBlock { path: p.path().to_owned(), resnets: Vec::new(), attentions: Vec::new(), upsampler: None };
            let layers = c.layers_per_block[level] + 1;
            for j in 0..layers {
                let skip = if j + 1 == layers { skip_end } else { out };
                let input = if j == 0 { previous } else { out };
                block.resnets.push(resnet(p.pp("resnets").pp(j), input + skip, out)?);
                if c.up_attention[i] {
                    block.attentions.push(transformer(p.pp("attentions").pp(j), level, out)?);
                }
            }
            if i + 1 < widths.len() {
                block.upsampler = Some(Conv::same(&p.pp("upsamplers.0.conv"), out, out)?);
            }
            up.push(block);
            previous = out;
        }
        Ok(Self {
            config: c.clone(),
            conv_in,
            time_linear_1,
            time_linear_2,
            down,
            mid_resnets,
            mid_attention,
            up,
            conv_norm_out: GroupNorm::new(&p.pp("conv_norm_out"), c.norm_num_groups, first, c.norm_eps, Activation::Silu)?,
            conv_out: Conv::same(&p.pp("conv_out"), first, c.out_channels)?,
        })
    }

    /// The configuration that it was built with.
    pub fn config(&self) -> &UNet2DConditionConfig {
        &self.config
    }

    /// All residual blocks, in the order of [`Self::forward`].
    fn resnets(&self) -> impl Iterator<Item = &ResnetBlock<T>> {
        let (down, up) = (self.down.iter().flat_map(|block| &block.resnets), self.up.iter().flat_map(|block| &block.resnets));
        down.chain(&self.mid_resnets).chain(up)
    }

    /// All transformers, in the order of [`Self::forward`].
    fn transformers(&self) -> impl Iterator<Item = &SpatialTransformer<T>> {
        let (down, up) = (self.down.iter().flat_map(|block| &block.attentions), self.up.iter().flat_map(|block| &block.attentions));
        down.chain([&self.mid_attention]).chain(up)
    }

    /// What the network makes of timesteps, whatever the latents and the text: one for each sample of a batch.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn time(&self, timesteps: &[f64], device: &T::Device) -> Result<TimeContext<T>, ModelError> {
        let c = &self.config;
        let waves = timestep_embedding(timesteps, c.block_out_channels[0], c.flip_sin_to_cos, c.freq_shift);
        let time = self.time_linear_1.forward_activated(&T::from_host(&waves, device)?, Activation::Silu)?;
        let embedding = self.time_linear_2.forward(&time)?;
        let time = embedding.activate(Activation::Silu)?;
        let added = self.resnets().map(|resnet| resnet.time(&time)).collect::<Result<_, _>>()?;
        Ok(TimeContext { embedding, added })
    }

    /// What the network makes of a prompt, whatever the latents and the timestep: `text: [B, L, cross_attention_dim]`.
    ///
    /// # Errors
    /// When the shape does not fit.
    pub fn text(&self, text: &T) -> Result<TextContext<T>, ModelError> {
        Ok(TextContext { keys: self.transformers().map(|transformer| transformer.keys(text)).collect::<Result<_, _>>()? })
    }

    /// Predicts from noisy latents.
    ///
    /// # Shapes
    /// `x: [B, in_channels, H, W]`, `timesteps: [B]`, `text: [B, L, cross_attention_dim]` -> `[B, out_channels, H, W]`;
    /// H and W must be multiples of [`UNet2DConditionConfig::downsampling`].
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn forward(&self, x: &T, timesteps: &[f64], text: &T, device: &T::Device, taps: &mut Taps<T>) -> Result<T, ModelError> {
        self.check(x, timesteps.len())?;
        self.predict(x, &self.time(timesteps, device)?, &self.text(text)?, taps)
    }

    fn check(&self, x: &T, batch: usize) -> Result<(), ModelError> {
        let factor = self.config.downsampling();
        match x.shape() {
            [b, _, h, w] if *b == batch && h.is_multiple_of(factor) && w.is_multiple_of(factor) => Ok(()),
            shape => Err(ModelError::Compute(crate::compute::ComputeError::Shape {
                operation: "unet",
                detail: format!("latents of shape {shape:?} with {batch} timesteps; sides must be multiples of {factor}"),
            })),
        }
    }

    /// [`Self::forward`] with what does not change from step to step made beforehand.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn predict(&self, x: &T, time: &TimeContext<T>, text: &TextContext<T>, taps: &mut Taps<T>) -> Result<T, ModelError> {
        self.check(x, time.embedding.shape()[0])?;
        taps.offer("time_embedding", TapKind::Output, &time.embedding);
        let mut times = time.added.iter().map(Option::as_ref);
        let mut words = text.keys.iter();
        let mut time = || times.next().ok_or_else(|| ModelError::Internal("fewer time projections than residual blocks".into()));
        let mut words = || words.next().ok_or_else(|| ModelError::Internal("fewer texts than transformers".into()));

        let mut h = self.conv_in.forward(x)?;
        taps.offer("conv_in", TapKind::Output, &h);
        let mut skips = vec![h.clone()];
        for block in &self.down {
            for (j, resnet) in block.resnets.iter().enumerate() {
                h = resnet.forward(&h, time()?)?;
                taps.offer(resnet.path(), TapKind::Output, &h);
                if let Some(attention) = block.attentions.get(j) {
                    h = attention.forward(&h, words()?, taps)?;
                }
                skips.push(h.clone());
            }
            if let Some(downsampler) = &block.downsampler {
                h = downsampler.forward(&h)?;
                if taps.wants(&format!("{}.downsamplers.0", block.path), TapKind::Output) {
                    taps.offer(&format!("{}.downsamplers.0", block.path), TapKind::Output, &h);
                }
                skips.push(h.clone());
            }
        }
        for (resnet, attention) in self.mid_resnets.iter().zip([Some(&self.mid_attention), None]) {
            h = resnet.forward(&h, time()?)?;
            taps.offer(resnet.path(), TapKind::Output, &h);
            if let Some(attention) = attention {
                h = attention.forward(&h, words()?, taps)?;
            }
        }
        taps.offer("mid_block", TapKind::Output, &h);
        for block in &self.up {
            for (j, resnet) in block.resnets.iter().enumerate() {
                let skip = skips.pop().ok_or_else(|| ModelError::Internal("the up path asks for more skips than there are".into()))?;
                taps.offer(resnet.path(), TapKind::Skip, &skip);
                h = resnet.forward(&T::cat(&[&h, &skip], 1)?, time()?)?;
                taps.offer(resnet.path(), TapKind::Output, &h);
                if let Some(attention) = block.attentions.get(j) {
                    h = attention.forward(&h, words()?, taps)?;
                }
            }
            if let Some(upsampler) = &block.upsampler {
                h = upsampler.forward_doubled(&h)?;
                if taps.wants(&format!("{}.upsamplers.0", block.path), TapKind::Output) {
                    taps.offer(&format!("{}.upsamplers.0", block.path), TapKind::Output, &h);
                }
            }
        }
        if taps.wants("conv_act", TapKind::Output) {
            taps.offer("conv_act", TapKind::Output, &self.conv_norm_out.forward(&h)?);
        }
        let out = h.convolution(&self.conv_out.after(&self.conv_norm_out))?;
        taps.offer("conv_out", TapKind::Output, &out);
        Ok(out)
    }
}

/// What the network makes of timesteps.
#[derive(Debug, Clone)]
pub struct TimeContext<T> {
    embedding: T,
    /// What each residual block adds.
    added: Vec<Option<T>>,
}

/// What the network makes of a prompt.
#[derive(Debug, Clone)]
pub struct TextContext<T> {
    /// Keys and values of each block of each transformer.
    keys: Vec<Vec<KeysValues<T>>>,
}
