//! A schedule that is learned for the open model: what is asked, and how far it is.

use crate::diffusion::schedule::MonotoneNetwork;
use crate::diffusion::schedule::learned::Spread;

/// Ids of the schedules that a learned one is measured beside, between the same ends.
pub const BESIDE: [&str; 2] = ["linear", "squaredcos_cap_v2"];

/// A schedule to learn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LearnRequest {
    /// Seed of all noise and all times.
    pub seed: u64,
    /// Losses to measure along the schedule while it is learned.
    pub losses: usize,
}

impl LearnRequest {
    /// Losses that are usual: less than a minute's on two cores.
    pub const LOSSES: usize = 1536;
}

/// How far the learning is.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnStep {
    /// The network so far.
    pub network: MonotoneNetwork,
    /// Losses measured along it so far.
    pub losses: usize,
    /// The estimate of the loss along the schedule that is learned, from the newest losses.
    pub learned: Spread,
    /// The same along the schedules beside it, each with its id in the table, from all losses measured along it.
    pub beside: Vec<(&'static str, Spread)>,
    /// Wall time so far in milliseconds, measured, without the pictures that were prepared before.
    pub elapsed_ms: f64,
}
