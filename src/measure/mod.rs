//! What can be said of pictures in numbers: reconstruction, retrieval, adherence to a caption, diversity, saturation.

mod adherence;
mod image_encoder;
mod judge;
mod meter;
mod paths;
mod picture;
mod retrieval;
mod statistics;
mod tally;
mod trunk;

pub use adherence::{Score, Verdict, score};
pub use image_encoder::{FEATURES, ImageEncoder, TextProjection};
pub use judge::{CELL_LOGITS, CELLS, Head, Judge, JudgeOutput, LOGITS};
pub use meter::Meter;
pub use paths::{Path, PrincipalPlane, rms_distance};
pub use picture::{Saturation, halve, mean_pairwise_distance, mean_squared_error, psnr, saturation, ssim};
pub use retrieval::{Retrieval, retrieve};
pub use statistics::{Estimate, Proportion, Sample, pairwise_diversity};
pub use tally::Tally;
pub use trunk::{SIDE, Trunk};

/// What goes wrong in a measurement.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A network failed.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// A tensor operation failed.
    #[error(transparent)]
    Compute(#[from] crate::compute::ComputeError),
    /// Pictures that cannot be compared.
    #[error("{operation}: expected {expected}, got the shape {found:?}")]
    Shape {
        /// The measurement.
        operation: &'static str,
        /// What was expected.
        expected: String,
        /// What came.
        found: Vec<usize>,
    },
}

/// The result of a measurement.
pub type Result<T> = std::result::Result<T, MeasureError>;
