//! The `scheduler/scheduler_config.json` of a diffusers pipeline folder: what a model was trained for, as plain data.
//!
//! Values that change what a sampler computes are either understood or refused by name; what concerns only samplers that are
//! not here (solver orders and the like) is skipped. A missing value takes diffusers' default.

use crate::diffusion::prediction::PredictionType;
use crate::diffusion::sampler::SamplerInfo;
use crate::diffusion::schedule::{NoiseSchedule, Rule, SCHEDULES, ScheduleError, ScheduleInfo};
use crate::diffusion::spacing::TimestepSpacing;
use serde::{Deserialize, Serialize};

/// A scheduler configuration that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not the JSON of a scheduler configuration.
    #[error("scheduler_config.json cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A value that is not known here.
    #[error("scheduler_config.json: {field} {value:?} is not supported; known are {known}")]
    Unsupported {
        /// Which.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        known: String,
    },
    /// Values that contradict each other or lie out of range.
    #[error("scheduler_config.json: {0}")]
    Invalid(String),
    /// Values that lead to no schedule.
    #[error("scheduler_config.json: {0}")]
    Schedule(#[from] ScheduleError),
}

/// What a pipeline's scheduler configuration says, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct SchedulerConfig {
    /// Id of the schedule in [`crate::diffusion::SCHEDULES`], or `trained_betas`.
    pub schedule_id: String,
    /// First beta, where the schedule has one.
    pub beta_start: f64,
    /// Last beta, where the schedule has one.
    pub beta_end: f64,
    /// The betas themselves where the file lists them.
    pub trained_betas: Option<Vec<f64>>,
    /// Number of training timesteps.
    pub num_train_timesteps: usize,
    /// What the network answers.
    pub prediction: PredictionType,
    /// Which timesteps a run visits; where the file says nothing the sampler decides, see [`Self::spacing_for`].
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Shift of the visited timesteps towards noise with leading spacing.
    pub steps_offset: usize,
    /// Whether the last step arrives at clean data.
    pub set_alpha_to_one: bool,
    /// Whether the schedule is rescaled to zero terminal SNR.
    pub rescale_betas_zero_snr: bool,
    /// Range to which predicted clean samples are clamped, where the file asks for it.
    pub clip_sample_range: Option<f64>,
}

impl Default for SchedulerConfig {
    /// Cosine, 1000 timesteps, epsilon, leading spacing.
    fn default() -> Self {
        Self {
            schedule_id: "squaredcos_cap_v2".to_owned(),
            beta_start: 1e-4,
            beta_end: 0.02,
            trained_betas: None,
            num_train_timesteps: 1000,
            prediction: PredictionType::Epsilon,
            timestep_spacing: Some(TimestepSpacing::Leading),
            steps_offset: 0,
            set_alpha_to_one: true,
            rescale_betas_zero_snr: false,
            clip_sample_range: None,
        }
    }
}

/// The file as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Raw {
    #[serde(rename = "_class_name")]
    class_name: Option<String>,
    beta_end: Option<f64>,
    beta_schedule: Option<String>,
    beta_start: Option<f64>,
    clip_sample: Option<bool>,
    clip_sample_range: Option<f64>,
    num_train_timesteps: Option<usize>,
    prediction_type: Option<String>,
    rescale_betas_zero_snr: Option<bool>,
    set_alpha_to_one: Option<bool>,
    steps_offset: Option<usize>,
    timestep_spacing: Option<String>,
    trained_betas: Option<Vec<f64>>,
    // Read to refuse what is not done here; never written.
    #[serde(skip_serializing)]
    thresholding: Option<bool>,
    #[serde(skip_serializing)]
    use_karras_sigmas: Option<bool>,
    #[serde(skip_serializing)]
    use_exponential_sigmas: Option<bool>,
    #[serde(skip_serializing)]
    use_beta_sigmas: Option<bool>,
    #[serde(skip_serializing)]
    use_flow_sigmas: Option<bool>,
    #[serde(skip_serializing)]
    variance_type: Option<String>,
    #[serde(skip_serializing)]
    interpolation_type: Option<String>,
    #[serde(skip_serializing)]
    timestep_type: Option<String>,
    #[serde(skip_serializing)]
    final_sigmas_type: Option<String>,
}

impl SchedulerConfig {
    /// Reads `scheduler_config.json`.
    ///
    /// # Errors
    /// [`ConfigError`] when it is not such JSON, names something unknown, contradicts itself, or leads to no schedule.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        // By way of a map, since an array would do for a struct otherwise.
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json)?;
        let raw: Raw = serde_json::from_value(object.into())?;
        raw.refuse_unsupported()?;
        let defaults = Self::default();
        let spacing = |id: String| {
            TimestepSpacing::from_id(&id).ok_or_else(|| unsupported("timestep_spacing", id, &TimestepSpacing::ALL.map(TimestepSpacing::id)))
        };
        let config = Self {
            schedule_id: raw.schedule_id()?,
            beta_start: raw.beta_start.unwrap_or(defaults.beta_start),
            beta_end: raw.beta_end.unwrap_or(defaults.beta_end),
            num_train_timesteps: raw
                .num_train_timesteps
                .or(raw.trained_betas.as_ref().map(Vec::len))
                .unwrap_or(defaults.num_train_timesteps),
            trained_betas: raw.trained_betas,
            prediction: parse_prediction(raw.prediction_type.unwrap_or_else(|| "epsilon".to_owned()))?,
            timestep_spacing: raw.timestep_spacing.map(spacing).transpose()?,
            steps_offset: raw.steps_offset.unwrap_or(0),
            set_alpha_to_one: raw.set_alpha_to_one.unwrap_or(true),
            rescale_betas_zero_snr: raw.rescale_betas_zero_snr.unwrap_or(false),
            // diffusers' samplers clip unless told not to, but its latent pipelines always tell them.
            clip_sample_range: raw.clip_sample.unwrap_or(false).then(|| raw.clip_sample_range.unwrap_or(1.0)),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let invalid = |message: String| Err(ConfigError::Invalid(message));
        let given = self.trained_betas.as_ref().map_or(self.num_train_timesteps, Vec::len);
        if given != self.num_train_timesteps {
            return invalid(format!("num_train_timesteps is {}, but trained_betas lists {given}", self.num_train_timesteps));
        }
        self.schedule()?;
        if self.steps_offset >= self.num_train_timesteps {
            return invalid(format!("steps_offset {} is not below num_train_timesteps {}", self.steps_offset, self.num_train_timesteps));
        }
        if let Some(range) = self.clip_sample_range.filter(|range| range.is_nan() || *range <= 0.0) {
            return invalid(format!("clip_sample_range is {range}, but it is positive"));
        }
        if self.rescale_betas_zero_snr && self.prediction == PredictionType::Epsilon {
            return invalid("rescale_betas_zero_snr leaves no signal at the last timestep, where prediction_type \"epsilon\" says nothing about the picture; it needs \"v_prediction\" or \"sample\"".to_owned());
        }
        Ok(())
    }

    /// The schedule that this configuration describes.
    ///
    /// # Errors
    /// [`ConfigError`] when a value set by hand leads to none; what [`Self::from_json`] returned always does.
    pub fn schedule(&self) -> Result<NoiseSchedule, ConfigError> {
        let schedule = match (&self.trained_betas, named_schedule(&self.schedule_id)) {
            (Some(betas), _) => NoiseSchedule::from_betas(betas.as_slice())?,
            (None, Some(info)) => {
                let of_id = |param: &crate::diffusion::schedule::ParamInfo| match param.id {
                    "beta_start" => self.beta_start,
                    "beta_end" => self.beta_end,
                    _ => param.default,
                };
                info.build(&info.params.iter().map(of_id).collect::<Vec<f64>>(), self.num_train_timesteps)?
            }
            (None, None) => return Err(unknown_schedule(self.schedule_id.clone())),
        };
        Ok(if self.rescale_betas_zero_snr { schedule.rescaled_zero_terminal_snr()? } else { schedule })
    }

    /// The spacing for a sampler: the configured one, or where none is configured the sampler's own.
    pub fn spacing_for(&self, sampler: &SamplerInfo) -> TimestepSpacing {
        self.timestep_spacing.unwrap_or(sampler.default_spacing)
    }

    /// The file for this configuration, as diffusers' `DDIMScheduler` reads it.
    pub fn to_json(&self) -> String {
        let raw = Raw {
            class_name: Some("DDIMScheduler".to_owned()),
            beta_end: Some(self.beta_end),
            beta_schedule: self.trained_betas.is_none().then(|| self.schedule_id.clone()),
            beta_start: Some(self.beta_start),
            clip_sample: Some(self.clip_sample_range.is_some()),
            clip_sample_range: Some(self.clip_sample_range.unwrap_or(1.0)),
            num_train_timesteps: Some(self.num_train_timesteps),
            prediction_type: Some(self.prediction.id().to_owned()),
            rescale_betas_zero_snr: Some(self.rescale_betas_zero_snr),
            set_alpha_to_one: Some(self.set_alpha_to_one),
            steps_offset: Some(self.steps_offset),
            timestep_spacing: self.timestep_spacing.map(|spacing| spacing.id().to_owned()),
            trained_betas: self.trained_betas.clone(),
            ..Raw::default()
        };
        let mut value = serde_json::json!(raw);
        if let Some(object) = value.as_object_mut() {
            // What diffusers does not find takes its default, which a null would not.
            object.retain(|_, value| !value.is_null());
        }
        format!("{value:#}\n")
    }
}

impl Raw {
    fn schedule_id(&self) -> Result<String, ConfigError> {
        match (&self.beta_schedule, &self.trained_betas) {
            (_, Some(_)) => Ok("trained_betas".to_owned()),
            (None, None) => Ok("linear".to_owned()),
            (Some(id), None) if named_schedule(id).is_some() => Ok(id.clone()),
            (Some(id), None) => Err(unknown_schedule(id.clone())),
        }
    }

    /// Names what the samplers here would silently do otherwise.
    fn refuse_unsupported(&self) -> Result<(), ConfigError> {
        if let Some(class) = self.class_name.as_deref().filter(|class| class.contains("Flow") || class.contains("EDM")) {
            return Err(unsupported("_class_name", class.to_owned(), &["schedulers over betas, such as DDIMScheduler"]));
        }
        let switches = [
            ("thresholding", self.thresholding),
            ("use_karras_sigmas", self.use_karras_sigmas),
            ("use_exponential_sigmas", self.use_exponential_sigmas),
            ("use_beta_sigmas", self.use_beta_sigmas),
            ("use_flow_sigmas", self.use_flow_sigmas),
        ];
        if let Some(&(field, _)) = switches.iter().find(|(_, value)| *value == Some(true)) {
            return Err(unsupported(field, "true".to_owned(), &["false"]));
        }
        let choices = [
            ("variance_type", &self.variance_type, "fixed_small"),
            ("interpolation_type", &self.interpolation_type, "linear"),
            ("timestep_type", &self.timestep_type, "discrete"),
            ("final_sigmas_type", &self.final_sigmas_type, "zero"),
        ];
        for (field, value, known) in choices {
            if let Some(value) = value.as_ref().filter(|value| *value != known) {
                return Err(unsupported(field, value.clone(), &[known]));
            }
        }
        Ok(())
    }
}

fn parse_prediction(id: String) -> Result<PredictionType, ConfigError> {
    match PredictionType::from_id(&id) {
        // A flow model has no betas, so its configuration is of another kind.
        Some(PredictionType::Flow) | None => {
            let known = [PredictionType::Epsilon, PredictionType::Sample, PredictionType::VPrediction].map(PredictionType::id);
            Err(unsupported("prediction_type", id, &known))
        }
        Some(prediction) => Ok(prediction),
    }
}

/// The schedule that a configuration may name; all others are written as their betas.
fn named_schedule(id: &str) -> Option<&'static ScheduleInfo> {
    ScheduleInfo::find(id).filter(|info| matches!(info.rule, Rule::Betas(_)))
}

fn unknown_schedule(id: String) -> ConfigError {
    let known: Vec<&str> = SCHEDULES.iter().map(|info| info.id).filter(|id| named_schedule(id).is_some()).collect();
    unsupported("beta_schedule", id, &known)
}

fn unsupported(field: &'static str, value: String, known: &[&str]) -> ConfigError {
    ConfigError::Unsupported { field, value, known: known.join(", ") }
}
