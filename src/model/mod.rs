//! The networks of a latent diffusion model, written once over [`crate::compute::Tensor`], in diffusers' layout.

pub mod checkpoint;
pub mod clip;
pub(crate) mod config;
pub mod layers;
pub mod params;
pub mod taps;
pub mod tokenizer;
pub mod transformer;
pub mod unet;
pub mod vae;

use crate::compute::ComputeError;
use std::path::PathBuf;

/// What goes wrong in building, loading or running a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A configuration that is contradictory or not supported.
    #[error("the configuration value `{key}` cannot be used: {detail}")]
    Config {
        /// The key in `config.json`.
        key: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A configuration that is no JSON of the expected form.
    #[error("{what} is not a valid configuration: {detail}")]
    ConfigSyntax {
        /// The file.
        what: String,
        /// What the parser says.
        detail: String,
    },
    /// A weight that the model needs and the file does not have.
    #[error("the weight `{path}` is missing from {file}; the file belongs to another model or was cut short")]
    MissingWeight {
        /// The dotted path.
        path: String,
        /// The file.
        file: String,
    },
    /// A weight of another shape than the configuration says.
    #[error("the weight `{path}` in {file} has the shape {found:?}, but the configuration asks for {expected:?}")]
    WeightShape {
        /// The dotted path.
        path: String,
        /// The file.
        file: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration asks for.
        expected: Vec<usize>,
    },
    /// A weight of a number type that cannot be read.
    #[error("the weight `{path}` in {file} is stored as {dtype}; only F32, F16 and BF16 can be read")]
    WeightType {
        /// The dotted path.
        path: String,
        /// The file.
        file: String,
        /// The number type.
        dtype: String,
    },
    /// A file of weights that is broken.
    #[error("{file} is not a readable safetensors file: {detail}")]
    BadFile {
        /// The file.
        file: String,
        /// What is wrong.
        detail: String,
    },
    /// A file that cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The tokenizer's files cannot be used.
    #[error("the tokenizer cannot be used: {0}")]
    Tokenizer(String),
    /// Something that should not happen.
    #[error("internal error: {0}")]
    Internal(String),
}

impl ModelError {
    /// Shorthand for [`Self::Config`].
    pub(crate) fn config(key: &'static str, detail: impl Into<String>) -> Self {
        Self::Config { key, detail: detail.into() }
    }
}
