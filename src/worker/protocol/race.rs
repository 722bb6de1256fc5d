//! Several samplers on one noise: what is asked, and what comes of it.

use super::RunRequest;
use crate::host::HostTensor;
use crate::pipeline::OtherLevels;

/// A sampler in a race.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RaceLane {
    /// Id of the sampler in `diffusion::sampler::SAMPLERS`.
    pub sampler: String,
    /// Number of steps.
    pub steps: usize,
    /// Seed of the fresh noise that it adds on its way, where it does; the noise that it starts from is that of the race.
    pub seed: u64,
    /// The levels that it visits, where they are not those of the model's own schedule.
    pub levels: Option<OtherLevels>,
}

/// Several samplers on one noise, one prompt and one guidance, and the path that the differential equation itself takes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RaceRequest {
    /// What all lanes have in common; its own sampler and steps are not used.
    pub run: RunRequest,
    /// The lanes.
    pub lanes: Vec<RaceLane>,
    /// Steps of the dense reference (DDIM, which follows the probability flow).
    pub reference_steps: usize,
}

/// A step of a lane.
#[derive(Debug, Clone)]
pub struct RaceStep {
    /// Which, from 0.
    pub index: usize,
    /// Steps of the lane.
    pub count: usize,
    /// The timestep of [`Self::x`].
    pub timestep: f64,
    /// Coefficient of x0 there.
    pub alpha: f64,
    /// Coefficient of the noise there.
    pub sigma: f64,
    /// Evaluations of the model when the step was done.
    pub evaluations: usize,
    /// Wall time until then in milliseconds, measured, without what is decoded for the screen.
    pub elapsed_ms: f64,
    /// The sample before the step, `[1, C, h, w]`.
    pub x: HostTensor,
    /// The clean sample predicted from it.
    pub x0: HostTensor,
    /// That decoded, `[3, H, W]` in 0..1; left out at some steps of long lanes.
    pub x0_picture: Option<HostTensor>,
}

/// The end of a lane.
#[derive(Debug, Clone)]
pub struct RaceEnd {
    /// The last latents.
    pub latents: HostTensor,
    /// Those decoded, `[3, H, W]` in 0..1.
    pub picture: HostTensor,
    /// Evaluations of the model in all.
    pub evaluations: usize,
    /// Wall time in milliseconds, measured, without decoding.
    pub elapsed_ms: f64,
}

/// How the lanes lie to the reference and to each other.
#[derive(Debug, Clone, Default)]
pub struct RaceMap {
    /// For each lane that of its samples, in the order of its steps, and of the end.
    pub lanes: Vec<Vec<RacePlace>>,
    /// The reference in the plane, from noise to data.
    pub reference: Vec<[f64; 2]>,
    /// The share of the variance of all these samples that lies in the plane.
    pub explained: f64,
    /// The reference decoded at its end, `[3, H, W]` in 0..1.
    pub picture: Option<HostTensor>,
}

/// Where a sample of a lane lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RacePlace {
    /// Coordinates in the plane of the two leading principal components.
    pub place: [f64; 2],
    /// `sigma / alpha` of the sample.
    pub sigma_ratio: f64,
    /// Root-mean-square difference from the reference at the same level.
    pub distance: f64,
}
