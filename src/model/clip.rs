//! The text encoder (Radford et al. 2021, arXiv 2103.00020), as transformers' `CLIPTextModel` lays it out.

use super::ModelError;
use super::config::{ConfigReader, plausible};
use super::layers::{LayerNorm, Linear};
use super::params::{Init, Params, ShapeSource};
use crate::compute::{Activation, Mask, Tensor};
use serde_json::{Value, json};
use std::sync::Mutex;

/// The configuration of a text encoder, in transformers' terms.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipTextConfig {
    /// Number of tokens known.
    pub vocab_size: usize,
    /// Width of the embedding.
    pub hidden_size: usize,
    /// Width inside the feed-forward layers.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Number of tokens in a prompt, with those for its begin and end.
    pub max_position_embeddings: usize,
    /// The nonlinearity of the feed-forward layers.
    pub hidden_act: Activation,
    /// Added to variances.
    pub layer_norm_eps: f64,
    /// Token that ends a prompt.
    pub eos_token_id: u32,
    /// Token that fills the rest, where the configuration says so.
    pub pad_token_id: Option<u32>,
}

impl ClipTextConfig {
    /// The text encoder that this project trains, for a vocabulary of `vocab_size`.
    pub fn littleworld(vocab_size: usize) -> Self {
        Self {
            vocab_size,
            hidden_size: 128,
            intermediate_size: 512,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            max_position_embeddings: 32,
            hidden_act: Activation::QuickGelu,
            layer_norm_eps: 1e-5,
            eos_token_id: vocab_size as u32 - 1,
            pad_token_id: Some(vocab_size as u32 - 1),
        }
    }

    /// Reads a transformers `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key that is missing, contradictory or not supported.
    pub fn from_json(json: &[u8]) -> Result<Self, ModelError> {
        let mut r = ConfigReader::parse("the text encoder", json)?;
        r.only("model_type", &[json!("clip_text_model")])?;
        let hidden_act = match r.optional("hidden_act", "quick_gelu".to_owned())?.as_str() {
            "quick_gelu" => Activation::QuickGelu,
            "gelu" => Activation::Gelu,
            other => return Err(ModelError::config("hidden_act", format!("{other} is not supported (supported: quick_gelu, gelu)"))),
        };
        let config = Self {
            vocab_size: r.required("vocab_size")?,
            hidden_size: r.required("hidden_size")?,
            intermediate_size: r.required("intermediate_size")?,
            num_hidden_layers: r.required("num_hidden_layers")?,
            num_attention_heads: r.required("num_attention_heads")?,
            max_position_embeddings: r.optional("max_position_embeddings", 77)?,
            hidden_act,
            layer_norm_eps: r.optional("layer_norm_eps", 1e-5)?,
            eos_token_id: r.optional("eos_token_id", 49407)?,
            pad_token_id: r.optional("pad_token_id", None)?,
        };
        plausible("vocab_size", &[config.vocab_size], 1 << 20)?;
        plausible("hidden_size", &[config.hidden_size, config.intermediate_size], 1 << 15)?;
        plausible("num_hidden_layers", &[config.num_hidden_layers], 64)?;
        plausible("max_position_embeddings", &[config.max_position_embeddings], 4096)?;
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(ModelError::config(
                "num_attention_heads",
                format!("{} heads do not divide a width of {}", config.num_attention_heads, config.hidden_size),
            ));
        }
        // Everything else in these files concerns training, generation or another part of CLIP.
        Ok(config)
    }

    /// The transformers `config.json` of this configuration.
    pub fn to_json(&self) -> Value {
        json!({
            "architectures": ["CLIPTextModel"],
            "attention_dropout": 0.0,
            "bos_token_id": self.eos_token_id - 1,
            "dropout": 0.0,
            "eos_token_id": self.eos_token_id,
            "hidden_act": if self.hidden_act == Activation::Gelu { "gelu" } else { "quick_gelu" },
            "hidden_size": self.hidden_size,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "layer_norm_eps": self.layer_norm_eps,
            "max_position_embeddings": self.max_position_embeddings,
            "model_type": "clip_text_model",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "pad_token_id": self.pad_token_id,
            "projection_dim": self.hidden_size,
            "torch_dtype": "float16",
            "vocab_size": self.vocab_size,
        })
    }

    /// Number of parameters, counted by building the model of shapes alone.
    ///
    /// # Errors
    /// When the configuration cannot be built.
    pub fn parameter_count(&self) -> Result<usize, ModelError> {
        let source = Mutex::new(ShapeSource::default());
        ClipTextModel::new(self, &Params::root(&source))?;
        source.into_inner().map(|s| s.count()).map_err(|_| ModelError::Internal("poisoned".into()))
    }
}

struct Layer<T> {
    layer_norm1: LayerNorm<T>,
    q_proj: Linear<T>,
    k_proj: Linear<T>,
    v_proj: Linear<T>,
    out_proj: Linear<T>,
    layer_norm2: LayerNorm<T>,
    fc1: Linear<T>,
    fc2: Linear<T>,
}

/// The text encoder: token ids in, one vector for each token out.
pub struct ClipTextModel<T: Tensor> {
    config: ClipTextConfig,
    token_embedding: T,
    position_embedding: T,
    layers: Vec<Layer<T>>,
    final_layer_norm: LayerNorm<T>,
}

impl<T: Tensor> ClipTextModel<T> {
    /// Builds the network with weights from `p`, which may or may not have the prefix `text_model`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(config: &ClipTextConfig, p: &Params<T>) -> Result<Self, ModelError> {
        let prefixed = p.pp("text_model");
        let p = if prefixed.has("final_layer_norm.weight") { &prefixed } else { p };
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let embeddings = p.pp("embeddings");
        let token_embedding = embeddings.pp("token_embedding").get("weight", &[config.vocab_size, width], Init::Normal(0.02))?;
        let position_embedding =
            embeddings.pp("position_embedding").get("weight", &[config.max_position_embeddings, width], Init::Normal(0.01))?;
        let layers = (0..config.num_hidden_layers)
            .map(|i| {
                let p = p.pp("encoder.layers").pp(i);
                let attention = |name: &str| Linear::new(&p.pp("self_attn").pp(name), width, width, true);
                Ok(Layer {
                    layer_norm1: LayerNorm::new(&p.pp("layer_norm1"), width, eps)?,
                    q_proj: attention("q_proj")?,
                    k_proj: attention("k_proj")?,
                    v_proj: attention("v_proj")?,
                    out_proj: attention("out_proj")?,
                    layer_norm2: LayerNorm::new(&p.pp("layer_norm2"), width, eps)?,
                    fc1: Linear::new(&p.pp("mlp.fc1"), width, config.intermediate_size, true)?,
                    fc2: Linear::new(&p.pp("mlp.fc2"), config.intermediate_size, width, true)?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        let final_layer_norm = LayerNorm::new(&p.pp("final_layer_norm"), width, eps)?;
        Ok(Self { config: config.clone(), token_embedding, position_embedding, layers, final_layer_norm })
    }

    /// The configuration that it was built with.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// The last hidden state, after the final normalisation.
    ///
    /// # Shapes
    /// `ids`: `batch` prompts of L tokens one after the other, L at most `max_position_embeddings` -> `[batch, L, hidden_size]`.
    pub fn forward(&self, ids: &[u32], batch: usize) -> Result<T, ModelError> {
        let x = T::embedding(&self.token_embedding, ids, batch)?;
        let length = x.shape()[1];
        let mut x = x.add(&self.position_embedding.narrow(0, 0, length)?)?;
        for layer in &self.layers {
            let h = layer.layer_norm1.forward(&x)?;
            let (q, k, v) = (layer.q_proj.forward(&h)?, layer.k_proj.forward(&h)?, layer.v_proj.forward(&h)?);
            let (h, _) = T::attention(&q, &k, &v, self.config.num_attention_heads, Mask::Causal, false)?;
            x = x.add(&layer.out_proj.forward(&h)?)?;
            let h = layer.fc1.forward_activated(&layer.layer_norm2.forward(&x)?, self.config.hidden_act)?;
            x = x.add(&layer.fc2.forward(&h)?)?;
        }
        self.final_layer_norm.forward(&x)
    }
}
