//! The autoencoder between pictures and latents (Kingma and Welling 2013, arXiv 1312.6114; Rombach et al. 2022, arXiv
//! 2112.10752, section 3.1), as diffusers' `AutoencoderKL` lays it out.

use super::ModelError;
use super::config::{ConfigReader, plausible};
use super::layers::{Conv, GroupNorm, Linear, ResnetBlock, to_picture, to_tokens};
use super::params::{Init, Params, ShapeSource};
use crate::compute::{Activation, Conv2d, Mask, Tensor, dims};
use serde_json::{Value, json};
use std::sync::Mutex;

/// The configuration of an autoencoder, in diffusers' terms.
#[derive(Debug, Clone, PartialEq)]
pub struct AutoencoderKlConfig {
    /// Side of the pictures that it was trained on.
    pub sample_size: usize,
    /// Channels of the picture that is encoded.
    pub in_channels: usize,
    /// Channels of the picture that is decoded.
    pub out_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Width of each resolution, finest first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks at each resolution of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of every group normalisation.
    pub norm_num_groups: usize,
    /// Latents are multiplied by this before diffusion, to give them unit deviation.
    pub scaling_factor: f64,
    /// Whether the middle has self-attention.
    pub mid_block_add_attention: bool,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub use_post_quant_conv: bool,
}

impl AutoencoderKlConfig {
    /// The autoencoder that this project trains: 128x128 pictures to 16x16x8 latents.
    pub fn littleworld() -> Self {
        Self {
            sample_size: 128,
            in_channels: 3,
            out_channels: 3,
            latent_channels: 8,
            block_out_channels: vec![16, 32, 64, 64],
            layers_per_block: 1,
            norm_num_groups: 8,
            scaling_factor: 1.0,
            mid_block_add_attention: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
        }
    }

    /// Reads a diffusers `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key that is missing, contradictory or not supported.
    pub fn from_json(json: &[u8]) -> Result<Self, ModelError> {
        let mut r = ConfigReader::parse("the autoencoder", json)?;
        r.only("_class_name", &[json!("AutoencoderKL")])?;
        let block_out_channels: Vec<usize> = r.required("block_out_channels")?;
        let count = block_out_channels.len();
        plausible("block_out_channels", &[count], 8)?;
        plausible("block_out_channels", &block_out_channels, 4096)?;
        for (key, name) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
            let types: Vec<String> = r.required(key)?;
            if types.len() != count {
                return Err(ModelError::config(key, format!("it lists {} blocks, block_out_channels {count}", types.len())));
            }
            if let Some(other) = types.iter().find(|t| *t != name) {
                return Err(ModelError::config(key, format!("the block type {other} is not supported (supported: {name})")));
            }
        }
        let config = Self {
            sample_size: r.optional("sample_size", 512)?,
            in_channels: r.optional("in_channels", 3)?,
            out_channels: r.optional("out_channels", 3)?,
            latent_channels: r.optional("latent_channels", 4)?,
            layers_per_block: r.optional("layers_per_block", 1)?,
            norm_num_groups: r.optional("norm_num_groups", 32)?,
            scaling_factor: r.optional("scaling_factor", 0.18215)?,
            mid_block_add_attention: r.optional("mid_block_add_attention", true)?,
            use_quant_conv: r.optional("use_quant_conv", true)?,
            use_post_quant_conv: r.optional("use_post_quant_conv", true)?,
            block_out_channels,
        };
        plausible("layers_per_block", &[config.layers_per_block], 8)?;
        plausible("in_channels", &[config.in_channels, config.out_channels, config.latent_channels], 64)?;
        plausible("sample_size", &[config.sample_size], 8192)?;
        if config.in_channels != 3 || config.out_channels != 3 {
            return Err(ModelError::config("in_channels", "only pictures of three channels are supported"));
        }
        if !(config.scaling_factor.is_finite() && config.scaling_factor > 0.0) {
            return Err(ModelError::config("scaling_factor", format!("{} is not a positive number", config.scaling_factor)));
        }
        if let Some(width) = config.block_out_channels.iter().find(|w| config.norm_num_groups == 0 || **w % config.norm_num_groups != 0) {
            return Err(ModelError::config(
                "norm_num_groups",
                format!("{} groups do not divide a width of {width}", config.norm_num_groups),
            ));
        }
        r.only("act_fn", &[json!("silu"), json!("swish")])?;
        r.only("shift_factor", &[json!(0), json!(0.0)])?;
        r.only("latents_mean", &[])?;
        r.only("latents_std", &[])?;
        r.ignore(&["force_upcast"]); // asks for f32, which is what is computed here
        r.finish()?;
        Ok(config)
    }

    /// The diffusers `config.json` of this configuration.
    pub fn to_json(&self) -> Value {
        let count = self.block_out_channels.len();
        json!({
            "_class_name": "AutoencoderKL",
            "act_fn": "silu",
            "block_out_channels": self.block_out_channels,
            "down_block_types": vec!["DownEncoderBlock2D"; count],
            "force_upcast": true,
            "in_channels": self.in_channels,
            "latent_channels": self.latent_channels,
            "layers_per_block": self.layers_per_block,
            "mid_block_add_attention": self.mid_block_add_attention,
            "norm_num_groups": self.norm_num_groups,
            "out_channels": self.out_channels,
            "sample_size": self.sample_size,
            "scaling_factor": self.scaling_factor,
            "up_block_types": vec!["UpDecoderBlock2D"; count],
            "use_post_quant_conv": self.use_post_quant_conv,
            "use_quant_conv": self.use_quant_conv,
        })
    }

    /// How many times smaller the latents are than the picture.
    pub fn downsampling(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Number of parameters, counted by building the model of shapes alone.
    ///
    /// # Errors
    /// When the configuration cannot be built.
    pub fn parameter_count(&self) -> Result<usize, ModelError> {
        let source = Mutex::new(ShapeSource::default());
        AutoencoderKl::new(self, &Params::root(&source))?;
        source.into_inner().map(|s| s.count()).map_err(|_| ModelError::Internal("poisoned".into()))
    }
}

const EPS: f64 = 1e-6;

/// Self-attention of one head over all places.
struct MidAttention<T> {
    group_norm: GroupNorm<T>,
    to_q: Linear<T>,
    to_k: Linear<T>,
    to_v: Linear<T>,
    to_out: Linear<T>,
}

impl<T: Tensor> MidAttention<T> {
    fn new(p: &Params<T>, width: usize, groups: usize) -> Result<Self, ModelError> {
        // Checkpoints made before diffusers 0.12 use other names.
        let old = p.has("query.weight") && !p.has("to_q.weight");
        let names = if old { ["query", "key", "value", "proj_attn"] } else { ["to_q", "to_k", "to_v", "to_out.0"] };
        let linear = |name| Linear::new(&p.pp(name), width, width, true);
        Ok(Self {
            group_norm: GroupNorm::new(&p.pp("group_norm"), groups, width, EPS, Activation::Identity)?,
            to_q: linear(names[0])?,
            to_k: linear(names[1])?,
            to_v: linear(names[2])?,
            to_out: Linear::with_init(&p.pp(names[3]), width, width, true, Init::Zeros)?,
        })
    }

    fn forward(&self, x: &T) -> Result<T, ModelError> {
        let [_, _, height, width] = dims("attention", x.shape())?;
        let tokens = to_tokens(&self.group_norm.forward(x)?)?;
        let (q, k, v) = (self.to_q.forward(&tokens)?, self.to_k.forward(&tokens)?, self.to_v.forward(&tokens)?);
        let (y, _) = T::attention(&q, &k, &v, 1, Mask::None, false)?;
        to_picture(&self.to_out.forward_add(&y, &to_tokens(x)?)?, height, width)
    }
}

struct MidBlock<T> {
    first: ResnetBlock<T>,
    attention: Option<MidAttention<T>>,
    second: ResnetBlock<T>,
}

impl<T: Tensor> MidBlock<T> {
    fn new(p: &Params<T>, width: usize, c: &AutoencoderKlConfig) -> Result<Self, ModelError> {
        let resnet = |name| ResnetBlock::new(&p.pp(name), width, width, None, c.norm_num_groups, EPS);
        let attention = c.mid_block_add_attention.then(|| MidAttention::new(&p.pp("attentions.0"), width, c.norm_num_groups));
        Ok(Self { first: resnet("resnets.0")?, attention: attention.transpose()?, second: resnet("resnets.1")? })
    }

    fn forward(&self, x: &T) -> Result<T, ModelError> {
        let mut h = self.first.forward(x, None)?;
        if let Some(attention) = &self.attention {
            h = attention.forward(&h)?;
        }
        self.second.forward(&h, None)
    }
}

/// Residual blocks at one resolution and the convolution that leads to the next.
struct Level<T> {
    resnets: Vec<ResnetBlock<T>>,
    resample: Option<Conv<T>>,
}

/// The autoencoder.
pub struct AutoencoderKl<T: Tensor> {
    config: AutoencoderKlConfig,
    encoder_in: Conv<T>,
    encoder_levels: Vec<Level<T>>,
    encoder_mid: MidBlock<T>,
    encoder_norm: GroupNorm<T>,
    encoder_out: Conv<T>,
    quant_conv: Option<Conv<T>>,
    post_quant_conv: Option<Conv<T>>,
    decoder_in: Conv<T>,
    decoder_mid: MidBlock<T>,
    decoder_levels: Vec<Level<T>>,
    decoder_norm: GroupNorm<T>,
    decoder_out: Conv<T>,
}

impl<T: Tensor> AutoencoderKl<T> {
    /// Builds the network with weights from `p`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(config: &AutoencoderKlConfig, p: &Params<T>) -> Result<Self, ModelError> {
        let c = config;
        let widths = &c.block_out_channels;
        let (first, last, latent) = (widths[0], widths[widths.len() - 1], c.latent_channels);
        let resnet = |p: Params<T>, i, o| ResnetBlock::new(&p, i, o, None, c.norm_num_groups, EPS);
        let (e, d) = (p.pp("encoder"), p.pp("decoder"));

        let encoder_in = Conv::same(&e.pp("conv_in"), c.in_channels, first)?;
        let mut encoder_levels = Vec::new();
        let mut width = first;
        for (i, &out) in widths.iter().enumerate() {
            let p = e.pp("down_blocks").pp(i);
            let mut resnets = Vec::new();
            for j in 0..c.layers_per_block {
                resnets.push(resnet(p.pp("resnets").pp(j), if j == 0 { width } else { out }, out)?);
            }
            let half = Conv2d { stride: 2, pad_before: 0, pad_after: 1 };
            let resample = (i + 1 < widths.len()).then(|| Conv::new(&p.pp("downsamplers.0.conv"), out, out, 3, half)).transpose()?;
            encoder_levels.push(Level { resnets, resample });
            width = out;
        }
        let mut decoder_levels = Vec::new();
        let mut width = last;
        for (i, &out) in widths.iter().rev().enumerate() {
            let p = d.pp("up_blocks").pp(i);
            let mut resnets = Vec::new();
            for j in 0..=c.layers_per_block {
                resnets.push(resnet(p.pp("resnets").pp(j), if j == 0 { width } else { out }, out)?);
            }
            let resample = (i + 1 < widths.len()).then(|| Conv::same(&p.pp("upsamplers.0.conv"), out, out)).transpose()?;
            decoder_levels.push(Level { resnets, resample });
            width = out;
        }
        let pointwise = |name: &str, width| Conv::new(&p.pp(name), width, width, 1, Conv2d::POINTWISE);
        Ok(Self {
            config: c.clone(),
            encoder_in,
            encoder_levels,
            encoder_mid: MidBlock::new(&e.pp("mid_block"), last, c)?,
            encoder_norm: GroupNorm::new(&e.pp("conv_norm_out"), c.norm_num_groups, last, EPS, Activation::Silu)?,
            encoder_out: Conv::same(&e.pp("conv_out"), last, 2 * latent)?,
            quant_conv: c.use_quant_conv.then(|| pointwise("quant_conv", 2 * latent)).transpose()?,
            post_quant_conv: c.use_post_quant_conv.then(|| pointwise("post_quant_conv", latent)).transpose()?,
            decoder_in: Conv::same(&d.pp("conv_in"), latent, last)?,
            decoder_mid: MidBlock::new(&d.pp("mid_block"), last, c)?,
            decoder_levels,
            decoder_norm: GroupNorm::new(&d.pp("conv_norm_out"), c.norm_num_groups, first, EPS, Activation::Silu)?,
            decoder_out: Conv::same(&d.pp("conv_out"), first, c.out_channels)?,
        })
    }

    /// The configuration that it was built with.
    pub fn config(&self) -> &AutoencoderKlConfig {
        &self.config
    }

    /// Mean and logarithm of the variance of the latents' Gaussian, unscaled; the latter clamped to -30..20 by the caller
    /// where it samples.
    ///
    /// # Shapes
    /// `x: [B, 3, H, W]` in -1..1, sides multiples of [`AutoencoderKlConfig::downsampling`] -> two of `[B, C, H / f, W / f]`.
    pub fn encode(&self, x: &T) -> Result<(T, T), ModelError> {
        let mut h = self.encoder_in.forward(x)?;
        for level in &self.encoder_levels {
            for resnet in &level.resnets {
                h = resnet.forward(&h, None)?;
            }
            if let Some(downsampler) = &level.resample {
                h = downsampler.forward(&h)?;
            }
        }
        let h = self.encoder_mid.forward(&h)?.convolution(&self.encoder_out.after(&self.encoder_norm))?;
        let h = match &self.quant_conv {
            Some(conv) => conv.forward(&h)?,
            None => h,
        };
        let c = self.config.latent_channels;
        Ok((h.narrow(1, 0, c)?, h.narrow(1, c, c)?))
    }

    /// The picture of unscaled latents.
    ///
    /// # Shapes
    /// `z: [B, C, h, w]` -> `[B, 3, f h, f w]`, about -1..1, not clamped.
    pub fn decode(&self, z: &T) -> Result<T, ModelError> {
        let z = match &self.post_quant_conv {
            Some(conv) => conv.forward(z)?,
            None => z.clone(),
        };
        let mut h = self.decoder_mid.forward(&self.decoder_in.forward(&z)?)?;
        for level in &self.decoder_levels {
            for resnet in &level.resnets {
                h = resnet.forward(&h, None)?;
            }
            if let Some(upsampler) = &level.resample {
                h = upsampler.forward_doubled(&h)?;
            }
        }
        Ok(h.convolution(&self.decoder_out.after(&self.decoder_norm))?)
    }
}
