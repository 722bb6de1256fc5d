//! A whole run: prompt and seed to latents, every step reported.

use super::{Pipeline, PipelineError, Tokens};
use crate::diffusion::{
    Denoise, DenoiseError, Guidance, GuidanceInterval, Level, NoiseSchedule, Plan, PlanError, SAMPLERS, SampleOptions, SamplerInfo, Step,
    TimestepSpacing, guide, sample_with,
};
use crate::host::HostTensor;
use crate::noise::{Stream, gaussian, gaussian_from, rng};
use std::cell::RefCell;
use std::ops::ControlFlow;

/// Where a run starts.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Start {
    /// Unit Gaussian noise from the seed.
    #[default]
    Noise,
    /// These unit Gaussian latents `[1, C, h, w]`.
    Latents(HostTensor),
    /// Clean latents, noised to a timestep with noise from the seed: what comes back is a restoration.
    Noised {
        /// Scaled clean latents `[1, C, h, w]`.
        x0: HostTensor,
        /// The timestep to start from.
        timestep: usize,
    },
    /// A sample at a timestep. The run goes from there down in its number of steps by trailing spacing, so that every sampler begins at
    /// this very level.
    At {
        /// The sample x_t `[1, C, h, w]` in variance-preserving form.
        x: HostTensor,
        /// The timestep.
        timestep: usize,
    },
    /// A sample in the middle of a run: the steps before it are not taken again, those after it are the same steps. With nothing
    /// else changed, what follows is bit for bit what followed in that run, fresh noise included; samplers that look back
    /// ([`SamplerInfo::history`]) begin there with a lower order, as at the beginning of a run, and come close to it.
    Continue {
        /// The sample x_t `[1, C, h, w]` in variance-preserving form, as [`GenerateStep::x`] reported it.
        x: HostTensor,
        /// The step that comes next, [`GenerateStep::index`] of that sample.
        index: usize,
    },
}

/// What the network is told of a level that is not on its own schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Told {
    /// The timestep of its own schedule that is as noisy: it hears what is true.
    #[default]
    SameNoise,
    /// The other schedule's timestep, as if it had been trained with that one: what comes of a wrong `scheduler_config.json`.
    SameTimestep,
}

/// Levels of a schedule that is not the model's own.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherLevels {
    /// The schedule, of as many timesteps as the model's own.
    pub schedule: NoiseSchedule,
    /// What the network is told.
    pub told: Told,
}

/// A run to make.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateRequest {
    /// The positive prompt.
    pub prompt: String,
    /// The negative prompt; empty is the unconditional one.
    pub negative: String,
    /// Seed of all noise.
    pub seed: u64,
    /// Number of steps.
    pub steps: usize,
    /// Guidance scale w in `uncond + w (cond - uncond)`.
    pub guidance_scale: f64,
    /// The timesteps at which that scale acts, where it is not all of them.
    pub guidance_interval: Option<GuidanceInterval>,
    /// By how much the guided answer is brought back to the contrast of the conditional one, from 0 to 1.
    pub guidance_rescale: f64,
    /// The sampler.
    pub sampler: &'static SamplerInfo,
    /// Where to start.
    pub start: Start,
    /// The levels to visit, where they are not those of the model's own schedule. Timesteps of [`Self::start`] are the other schedule's.
    pub levels: Option<OtherLevels>,
}

impl Default for GenerateRequest {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            negative: String::new(),
            seed: 0,
            steps: 20,
            guidance_scale: 5.0,
            guidance_interval: None,
            guidance_rescale: 0.0,
            sampler: &SAMPLERS[0],
            start: Start::Noise,
            levels: None,
        }
    }
}

/// One step of a run, on the host. Samples are in variance-preserving form.
#[derive(Debug, Clone)]
pub struct GenerateStep {
    /// Which, from 0.
    pub index: usize,
    /// Steps in the run.
    pub count: usize,
    /// The timestep that the network was told.
    pub timestep: f64,
    /// The level of [`Self::x`].
    pub level: Level,
    /// The level of [`Self::x_next`].
    pub next_level: Level,
    /// The sample before the step.
    pub x: HostTensor,
    /// The clean sample predicted from it.
    pub x0: HostTensor,
    /// The sample after the step.
    pub x_next: HostTensor,
    /// The answer to the negative prompt, as noise.
    pub eps_uncond: HostTensor,
    /// The answer to the prompt, as noise.
    pub eps_cond: HostTensor,
    /// The guided answer, as noise.
    pub eps: HostTensor,
    /// The answer to the negative prompt as the network gave it (noise or velocity).
    pub output_uncond: HostTensor,
    /// The answer to the prompt as the network gave it.
    pub output_cond: HostTensor,
}

/// The end of a run.
#[derive(Debug, Clone)]
pub struct Generated {
    /// The last latents, scaled, `[1, C, h, w]`.
    pub latents: HostTensor,
    /// Whether the run was broken off.
    pub cancelled: bool,
    /// How the negative and the positive prompt were read.
    pub token_ids: [Tokens; 2],
    /// Text embeddings of the negative and the positive prompt, `[2, L, D]`.
    pub text_embeddings: HostTensor,
    /// The sample that the run started from, in variance-preserving form.
    pub start: HostTensor,
}

/// What the network said in the evaluation of the current step; what was not needed is none.
struct Answer {
    uncond: Option<HostTensor>,
    cond: Option<HostTensor>,
}

/// The pipeline as a denoiser: two prompts, guided.
struct GuidedNetwork<'a> {
    pipeline: &'a Pipeline,
    plan: &'a Plan,
    /// Where the timestep of a level between those of the plan is read.
    timesteps: &'a NoiseSchedule,
    negative: HostTensor,
    positive: HostTensor,
    request: &'a GenerateRequest,
    /// Asks for both answers even where the scale leaves one of them out.
    both: bool,
    answer: &'a RefCell<Option<Answer>>,
}

impl GuidedNetwork<'_> {
    /// The guided output; `w = 1` is the answer to the prompt and, unless it is rescaled, `w = 0` the other, to the last bit.
    fn guided(&self, x: &HostTensor, timestep: f64) -> Result<HostTensor, PipelineError> {
        let guidance = self.request.guidance();
        let (guided, answer) = match guidance.needs(timestep) {
            (true, false) if !self.both => {
                let output = self.pipeline.output(x, timestep, &self.negative)?;
                (output.clone(), Answer { uncond: Some(output), cond: None })
            }
            (false, true) if !self.both => {
                let output = self.pipeline.output(x, timestep, &self.positive)?;
                (output.clone(), Answer { uncond: None, cond: Some(output) })
            }
            _ => {
                let (uncond, cond) = self.pipeline.outputs(x, timestep, &self.negative, &self.positive)?;
                (guidance.guide(&uncond, &cond, timestep), Answer { uncond: Some(uncond), cond: Some(cond) })
            }
        };
        // A step that asks twice is told with its first answer, which is the one to the sample before the step.
        self.answer.borrow_mut().get_or_insert(answer);
        Ok(guided)
    }
}

impl Denoise for GuidedNetwork<'_> {
    fn denoise(&mut self, x: &HostTensor, level: Level) -> Result<HostTensor, DenoiseError> {
        let timestep = self.plan.timestep_of(level).unwrap_or_else(|| self.timesteps.timestep_of(level));
        let guided = self.guided(x, timestep).map_err(|e| DenoiseError(Box::new(e)))?;
        Ok(self.pipeline.prediction().to_x0(x, &guided, level))
    }
}

impl GenerateRequest {
    /// The guidance scale that acts at a timestep.
    pub fn scale_at(&self, timestep: f64) -> f64 {
        self.guidance().scale_at(timestep)
    }

    fn guidance(&self) -> Guidance {
        Guidance { scale: self.guidance_scale, rescale: self.guidance_rescale, interval: self.guidance_interval }
    }
}

impl Pipeline {
    /// Makes a run, reporting every step; a step that answers `Break` ends it there.
    ///
    /// # Errors
    /// [`PipelineError`] when the request does not fit the model or a network fails.
    pub fn generate(
        &self,
        request: &GenerateRequest,
        on_step: &mut dyn FnMut(&GenerateStep) -> ControlFlow<()>,
    ) -> Result<Generated, PipelineError> {
        let prediction = self.config.prediction;
        self.run(request, true, &mut |step, answer| {
            let Answer { uncond: Some(uncond), cond: Some(cond) } = answer else { return ControlFlow::Continue(()) };
            let eps = |output: &HostTensor| prediction.to_eps(step.x, output, step.level);
            let (eps_uncond, eps_cond) = (eps(&uncond), eps(&cond));
            on_step(&GenerateStep {
                index: step.index,
                count: step.count,
                timestep: step.timestep,
                level: step.level,
                next_level: step.next_level,
                x: step.x.clone(),
                x0: step.x0.clone(),
                x_next: step.x_next.clone(),
                eps: if request.guidance_rescale == 0.0 {
                    guide(&eps_uncond, &eps_cond, request.scale_at(step.timestep))
                } else {
                    eps(&request.guidance().guide(&uncond, &cond, step.timestep))
                },
                eps_uncond,
                eps_cond,
                output_uncond: uncond,
                output_cond: cond,
            })
        })
    }

    /// The same run for its end alone: where the scale is 0 or 1, the network is asked once instead of twice. `on_step` hears
    /// how many steps are done, and of how many; where it breaks, the run ends. The latents are those of [`Self::generate`].
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn draw(
        &self,
        request: &GenerateRequest,
        on_step: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Generated, PipelineError> {
        self.run(request, false, &mut |step, _| on_step(step.index + 1, step.count))
    }

    fn run(
        &self,
        request: &GenerateRequest,
        both: bool,
        on_step: &mut dyn FnMut(&Step<'_>, Answer) -> ControlFlow<()>,
    ) -> Result<Generated, PipelineError> {
        if !request.guidance_scale.is_finite() {
            return Err(PipelineError::Mismatch(format!("the guidance scale {} is not a finite number", request.guidance_scale)));
        }
        if !(0.0..=1.0).contains(&request.guidance_rescale) {
            return Err(PipelineError::Mismatch(format!("the guidance rescale {} is not between 0 and 1", request.guidance_rescale)));
        }
        let config = &self.config;
        let own = request.levels.as_ref().map_or(&self.schedule, |levels| &levels.schedule);
        if own.len() != self.schedule.len() {
            let (other, own) = (own.len(), self.schedule.len());
            return Err(PipelineError::Mismatch(format!(
                "levels of a schedule of {other} timesteps were asked for, but the model has {own}"
            )));
        }
        let (schedule, spacing, offset) = match request.start {
            Start::At { timestep, .. } if timestep >= own.len() => {
                return Err(PlanError::Timestep { timestep, num_train: own.len() }.into());
            }
            Start::At { timestep, .. } => (&own.truncated(timestep + 1), TimestepSpacing::Trailing, 0),
            _ => (own, config.spacing_for(request.sampler), config.steps_offset),
        };
        let plan = request.sampler.plan(schedule, spacing, request.steps, offset, config.set_alpha_to_one)?;
        let [c, h, w] = self.card.latent_shape;
        let count = plan.visits.len();
        let (plan, start) = match &request.start {
            Start::Noise => {
                let unit = gaussian(request.seed, Stream::Start, [1, c, h, w]);
                let start = request.sampler.start(spacing, &plan, &unit);
                (plan, start)
            }
            Start::Latents(unit) => {
                self.check_latents(unit)?;
                let start = request.sampler.start(spacing, &plan, unit);
                (plan, start)
            }
            Start::Noised { x0, timestep } => {
                self.check_latents(x0)?;
                let plan = plan.starting_at(own, *timestep)?;
                let eps = gaussian(request.seed, Stream::Forward, x0.shape());
                let start = plan.visits[0].level.add_noise(x0, &eps);
                (plan, start)
            }
            Start::At { x, .. } => {
                self.check_latents(x)?;
                (plan, x.clone())
            }
            Start::Continue { x, index } => {
                self.check_latents(x)?;
                (plan.continued_at(*index)?, x.clone())
            }
        };
        let timesteps = match request.levels.as_ref().map(|levels| levels.told) {
            None | Some(Told::SameNoise) => &self.schedule,
            Some(Told::SameTimestep) => own,
        };
        let plan = if request.levels.is_some() { plan.told_by(timesteps) } else { plan };
        // Steps that a continued run does not take again; a restored one numbers its own.
        let (taken, count) = match request.start {
            Start::Continue { index, .. } => (index, count),
            _ => (0, plan.visits.len()),
        };
        let token_ids = [self.tokenize(&request.negative), self.tokenize(&request.prompt)];
        let ids: Vec<u32> = token_ids.iter().flat_map(|t| t.ids.iter().copied()).collect();
        let text_embeddings = self.engine.encode_text(&ids, 2)?;
        let answer = RefCell::new(None);
        let mut network = GuidedNetwork {
            pipeline: self,
            plan: &plan,
            timesteps,
            negative: text_embeddings.outer(0),
            positive: text_embeddings.outer(1),
            request,
            both,
            answer: &answer,
        };
        let mut noise_rng = rng(request.seed, Stream::Steps);
        if request.sampler.stochastic {
            // Every step before the last draws once; step k draws the same whether the run began at 0 or at k.
            (0..taken).for_each(|_| drop(gaussian_from(&mut noise_rng, [1, c, h, w])));
        }
        let options = SampleOptions { clip_sample_range: config.clip_sample_range, ..SampleOptions::default() };
        let outcome = sample_with(
            request.sampler,
            &options,
            &mut network,
            &plan.visits,
            plan.last,
            &start,
            &mut |shape| gaussian_from(&mut noise_rng, shape),
            &mut |step| {
                answer
                    .take()
                    .map_or(ControlFlow::Continue(()), |answer| on_step(&Step { index: taken + step.index, count, ..*step }, answer))
            },
        )?;
        Ok(Generated { latents: outcome.x, cancelled: outcome.cancelled, token_ids, text_embeddings, start })
    }
}
