//! Training: objectives, the order of the data, the optimizer, the running average of the weights, checkpoints.
//!
//! One loop ([`runner`]) trains every network. What differs is an [`runner::Objective`]: it makes the data of a step, which is
//! a pure function of the seed and the step, and turns it into a loss. Losses are computed on the host together with their
//! gradient ([`losses`]), so the tensors' gradients only walk through the network itself.
//!
//! Everything is generic over the tensors: whichever are [`crate::compute::Differentiable`] can be trained with. The weights
//! live on the host, where the optimizer changes them; each step makes leaves of them ([`vars::Leaves`]) and builds the network
//! on these.

pub mod adversary;
pub mod answers;
pub mod assemble;
pub mod augment;
pub mod bench;
pub mod budget;
pub mod clip;
pub mod decoder;
pub mod evaluate;
pub mod judge;
pub mod latents;
pub mod losses;
pub mod optimizer;
pub mod recipe;
pub mod record;
pub mod runner;
pub mod sampling;
pub mod scenes;
pub mod sheet;
pub mod state;
pub mod tasks;
pub mod unet;
pub mod vae;
pub mod vars;

use std::path::{Path, PathBuf};

/// What goes wrong in training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A tensor operation failed.
    #[error(transparent)]
    Compute(#[from] crate::compute::ComputeError),
    /// A model could not be built or run.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// A measurement failed.
    #[error(transparent)]
    Measure(#[from] crate::measure::MeasureError),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is there but not what it should be.
    #[error("{path}: {detail}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The loss or its gradient left the finite numbers.
    #[error("the loss is {loss} and the gradient's norm {norm} at step {step}: training has diverged; lower the learning rate with --lr")]
    Diverged {
        /// The step.
        step: u64,
        /// The loss there.
        loss: f64,
        /// The norm of the gradient there.
        norm: f64,
    },
    /// Something that must be trained first is not there.
    #[error("{0}")]
    Missing(String),
    /// The sampler failed.
    #[error("sampling: {0}")]
    Sampling(String),
}

impl TrainError {
    /// An error of the file system, with the file's name.
    pub fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// An error in a file's content, with the file's name.
    pub fn content(path: &Path, detail: impl std::fmt::Display) -> Self {
        Self::Content { path: path.to_owned(), detail: detail.to_string() }
    }
}

/// The result of a training operation.
pub type Result<T> = std::result::Result<T, TrainError>;

/// Scenes from this seed on are never trained on.
pub const HELD_OUT: u64 = 1 << 40;
