//! Sampling runs with the exact denoiser of Gaussian data, evaluation by evaluation.

use super::Precision;
use super::fields::{Fields, list};
use super::schedules::{NUM_TRAIN_TIMESTEPS, read_schedule, read_spacing};
use crate::diffusion::ideal::GaussianData;
use crate::diffusion::plan::plan_flow;
use crate::diffusion::{
    Denoise, DenoiseError, Level, LevelSpacing, Plan, PredictionType, SAMPLERS, SampleOptions, SampleSpace, SamplerInfo, SolverType,
    Variance, sample_with,
};
use crate::host::HostTensor;
use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use std::cell::Cell;
use std::ops::ControlFlow;

/// Fills `trajectory` of every run, and `init_noise_sigma` and `space` where they are missing.
pub(super) fn fill(file: &mut Value, precision: Precision) -> Result<()> {
    for (index, value) in list(file, "runs")?.iter_mut().enumerate() {
        let run = Run::read(value, index, precision)?;
        let trajectory = run.trajectory().map_err(|error| anyhow!("run {} ({}): {error}", index + 1, run.sampler.id))?;
        value["init_noise_sigma"] = json!(run.init_noise_sigma);
        value["space"] = json!(space_id(run.sampler.space));
        value["trajectory"] = trajectory;
    }
    Ok(())
}

/// A run, read and planned.
pub(super) struct Run {
    pub sampler: &'static SamplerInfo,
    options: SampleOptions,
    pub plan: Plan,
    pub data: GaussianData,
    x_start: Vec<f64>,
    init_noise_sigma: f64,
    noise: Vec<HostTensor>,
}

impl Run {
    pub fn read(value: &Value, index: usize, precision: Precision) -> Result<Self> {
        let first = Fields::of(value, format!("run {}", index + 1))?;
        let ids: Vec<&str> = SAMPLERS.iter().map(|info| info.id).collect();
        let sampler = first.needed("sampler", first.choice("sampler", &ids, SamplerInfo::find)?)?;
        let fields = Fields::of(value, format!("run {} ({})", index + 1, sampler.id))?;
        fields.value("sampler");
        let steps = fields.needed("steps", fields.count("steps")?)?;
        // The exact denoiser's answer is the same clean sample in whichever form it is given, so the form only has to be known.
        fields.choice("prediction_type", &["epsilon", "sample", "v_prediction", "flow"], prediction)?;
        let spaces = SampleSpace::ALL.map(space_id);
        let space = fields.choice("space", &spaces, |id| SampleSpace::ALL.into_iter().find(|space| space_id(*space) == id))?;
        if let Some(space) = space.filter(|space| *space != sampler.space) {
            let own = space_id(sampler.space);
            return Err(fields.wrong(&format!("its samples are in the space {own}, not {}", space_id(space))));
        }
        let (plan, init) = plan(&fields, sampler, steps, precision)?;
        let options = options(&fields, sampler)?;
        let mu = fields.needed("mu", fields.numbers("mu")?)?;
        let s = fields.needed("s", fields.numbers("s")?)?;
        let x_start = fields.needed("x_start", fields.numbers("x_start")?)?;
        let noise = fields.rows("noise")?.unwrap_or_default();
        let init_noise_sigma = fields.number("init_noise_sigma")?.unwrap_or(init);
        fields.value("trajectory");
        let odd = |len: usize| len != mu.len();
        if mu.is_empty() || odd(s.len()) || odd(x_start.len()) || noise.iter().any(|row| odd(row.len())) {
            return Err(fields.wrong("mu, s, x_start and every row of noise need the same number of values, at least one"));
        }
        if s.iter().any(|s| *s < 0.0) {
            return Err(fields.wrong("s is a standard deviation and cannot be negative"));
        }
        if !(init_noise_sigma > 0.0 && init_noise_sigma.is_finite()) {
            return Err(fields.wrong(&format!("init_noise_sigma is {init_noise_sigma}, but it is positive")));
        }
        fields.finish()?;
        let data = GaussianData { mean: tensor(&mu), std: tensor(&s) };
        Ok(Self { sampler, options, plan, data, x_start, init_noise_sigma, noise: noise.iter().map(|row| tensor(row)).collect() })
    }

    /// For every evaluation its timestep, its alpha_bar where there is one, and x after it.
    fn trajectory(&self) -> Result<Value> {
        let entry = |Evaluation { level, x }: Evaluation| {
            let mut entry = json!({ "timestep": self.plan.timestep_of(level), "x": x });
            if self.sampler.space != SampleSpace::Flow {
                entry["alpha_bar"] = json!(level.alpha_bar());
            }
            entry
        };
        Ok(self.evaluations(&mut self.data.clone())?.into_iter().map(entry).collect())
    }

    /// Every evaluation of a run with this denoiser.
    pub fn evaluations(&self, denoise: &mut dyn Denoise) -> Result<Vec<Evaluation>> {
        let space = self.sampler.space;
        let scale = self.init_noise_sigma * space.divisor(self.plan.visits[0].level);
        let x_start = tensor(&self.x_start.iter().map(|x| x * scale).collect::<Vec<f64>>());
        // What each evaluation was asked is what the one before it led to.
        let mut seen: Vec<(HostTensor, Level)> = Vec::new();
        let mut recorded = |x: &HostTensor, level: Level| -> Result<HostTensor, DenoiseError> {
            seen.push((x.clone(), level));
            denoise.denoise(x, level)
        };
        let drawn = Cell::new(0);
        let mut noise = |shape: &[usize]| {
            drawn.set(drawn.get() + 1);
            self.noise.get(drawn.get() - 1).cloned().unwrap_or_else(|| HostTensor::full(shape, 0.0))
        };
        let mut go_on = |_: &crate::diffusion::Step<'_>| ControlFlow::Continue(());
        let Plan { visits, last } = &self.plan;
        let outcome = sample_with(self.sampler, &self.options, &mut recorded, visits, *last, &x_start, &mut noise, &mut go_on)?;
        let (drawn, given) = (drawn.get(), self.noise.len());
        ensure!(drawn <= given, "it draws noise {drawn} times, but \"noise\" lists {given}");
        let asked: Vec<Level> = seen.iter().map(|(_, level)| *level).collect();
        seen.push((outcome.x, *last));
        let in_space = |(level, (x, at)): (Level, &(HostTensor, Level))| {
            let divisor = space.divisor(*at);
            Evaluation { level, x: x.data().iter().map(|x| f64::from(*x) / divisor).collect() }
        };
        Ok(asked.into_iter().zip(&seen[1..]).map(in_space).collect())
    }
}

/// An evaluation of the denoiser.
pub(super) struct Evaluation {
    /// Where it was asked.
    pub level: Level,
    /// The sample that it led to, in the sampler's space.
    pub x: Vec<f64>,
}

/// The plan of a run, and what its unit Gaussian start is multiplied by in its space.
fn plan(fields: &Fields<'_>, sampler: &SamplerInfo, steps: usize, precision: Precision) -> Result<(Plan, f64)> {
    let wrong = |error: &dyn std::fmt::Display| fields.wrong(&error.to_string());
    if sampler.space == SampleSpace::Flow {
        let shift = fields.number("shift")?.unwrap_or(1.0);
        let count = fields.count("num_train_timesteps")?.unwrap_or(NUM_TRAIN_TIMESTEPS);
        if !(shift > 0.0 && shift.is_finite()) {
            return Err(wrong(&format!("shift is {shift}, but it is positive")));
        }
        return Ok((plan_flow(count, steps, shift).map_err(|error| wrong(&error))?, 1.0));
    }
    let schedule = read_schedule(fields, precision)?;
    let spacing = read_spacing(fields)?.unwrap_or(sampler.default_spacing);
    let offset = fields.count("steps_offset")?.unwrap_or(0);
    let set_alpha_to_one = fields.flag("set_alpha_to_one")?.unwrap_or(true);
    let levels = if fields.flag("karras_sigmas")?.unwrap_or(false) { LevelSpacing::Karras { rho: 7.0 } } else { sampler.levels };
    let plan = sampler.plan_with(&schedule, spacing, levels, steps, offset, set_alpha_to_one).map_err(|error| wrong(&error))?;
    let init = sampler.init_noise_sigma(spacing, &plan);
    Ok((plan, init))
}

/// The options of a run: those that concern its sampler, so that the others are refused.
fn options(fields: &Fields<'_>, sampler: &SamplerInfo) -> Result<SampleOptions> {
    let mut options = SampleOptions::default();
    match sampler.id {
        "ddim" => options.eta = fields.number("eta")?.unwrap_or(0.0),
        "ddpm" => {
            let known = Variance::ALL.map(Variance::id);
            options.variance = fields.choice("variance_type", &known, Variance::from_id)?.unwrap_or_default();
        }
        _ if sampler.history > 0 => {
            options.solver_order = fields.count("solver_order")?;
            options.solver_type = fields.choice("solver_type", &SolverType::ALL.map(SolverType::id), SolverType::from_id)?;
            options.lower_order_final = fields.flag("lower_order_final")?.unwrap_or(true);
        }
        _ => {}
    }
    Ok(options)
}

fn prediction(id: &str) -> Option<PredictionType> {
    PredictionType::from_id(if id == "flow" { PredictionType::Flow.id() } else { id })
}

fn space_id(space: SampleSpace) -> &'static str {
    match space {
        SampleSpace::VariancePreserving => "variance_preserving",
        SampleSpace::Sigma => "sigma",
        SampleSpace::Flow => "flow",
    }
}

fn tensor(values: &[f64]) -> HostTensor {
    HostTensor::from_fn([values.len()], |i| values[i] as f32)
}
