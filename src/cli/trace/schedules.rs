//! Schedules and spacings: beta, alpha_bar and SNR at given timesteps, and which timesteps are visited.

use super::Precision;
use super::fields::{Fields, list};
use crate::diffusion::{NoiseSchedule, SCHEDULES, ScheduleInfo, TimestepSpacing};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// Training timesteps where a file does not say.
pub(super) const NUM_TRAIN_TIMESTEPS: usize = 1000;

/// Fills `beta`, `alphas_cumprod` and `snr` of every schedule, and `timesteps` of every spacing; either list may be missing.
pub(super) fn fill(file: &mut Value, precision: Precision) -> Result<()> {
    let has = |name: &str| file.get(name).is_some();
    ensure!(has("schedules") || has("spacings"), "there is neither a list \"schedules\" nor a list \"spacings\" in it");
    if has("schedules") {
        list(file, "schedules")?.iter_mut().enumerate().try_for_each(|(index, value)| fill_schedule(value, index, precision))?;
    }
    if file.get("spacings").is_some() {
        list(file, "spacings")?.iter_mut().enumerate().try_for_each(|(index, value)| fill_spacing(value, index))?;
    }
    Ok(())
}

fn fill_schedule(value: &mut Value, number: usize, precision: Precision) -> Result<()> {
    let fields = Fields::of(value, format!("schedule {}", number + 1))?;
    let schedule = read_schedule(&fields, precision)?;
    let indices = fields.needed("index", fields.counts("index")?)?;
    for output in ["beta", "alphas_cumprod", "snr"] {
        fields.value(output);
    }
    if let Some(index) = indices.iter().find(|index| **index >= schedule.len()) {
        return Err(fields.wrong(&format!("index {index} does not exist; the schedule has {} timesteps, counted from 0", schedule.len())));
    }
    fields.finish()?;
    value["beta"] = indices.iter().map(|index| schedule.betas()[*index]).collect();
    value["alphas_cumprod"] = indices.iter().map(|index| schedule.alphas_cumprod()[*index]).collect();
    value["snr"] = indices.iter().map(|index| schedule.level(*index).snr()).collect();
    Ok(())
}

/// The schedule that an object describes by `schedule`, `num_train_timesteps`, the parameters by their names, and
/// `zero_terminal_snr`.
pub(super) fn read_schedule(fields: &Fields<'_>, precision: Precision) -> Result<NoiseSchedule> {
    let mut known: Vec<&str> = SCHEDULES.iter().map(|info| info.id).collect();
    known.push(COSINE);
    let info = fields.needed("schedule", fields.choice("schedule", &known, find)?)?;
    let count = fields.count("num_train_timesteps")?.unwrap_or(NUM_TRAIN_TIMESTEPS);
    let params = info.params.iter().map(|param| Ok(fields.number(param.id)?.unwrap_or(param.default)));
    let mut schedule = info.build(&params.collect::<Result<Vec<f64>>>()?, count);
    if precision == Precision::Single {
        schedule = schedule.and_then(|schedule| schedule.in_single_precision());
    }
    if fields.flag("zero_terminal_snr")?.unwrap_or(false) {
        schedule = schedule.and_then(|schedule| schedule.rescaled_zero_terminal_snr());
    }
    schedule.map_err(|error| fields.wrong(&error.to_string()))
}

/// What the cosine schedule is called in papers; `squaredcos_cap_v2` is its name in diffusers.
const COSINE: &str = "cosine";

fn find(id: &str) -> Option<&'static ScheduleInfo> {
    ScheduleInfo::find(if id == COSINE { "squaredcos_cap_v2" } else { id })
}

fn fill_spacing(value: &mut Value, number: usize) -> Result<()> {
    let fields = Fields::of(value, format!("spacing {}", number + 1))?;
    let spacing = fields.needed("timestep_spacing", read_spacing(&fields)?)?;
    let steps = fields.needed("steps", fields.count("steps")?)?;
    let count = fields.count("num_train_timesteps")?.unwrap_or(NUM_TRAIN_TIMESTEPS);
    let offset = fields.count("steps_offset")?.unwrap_or(0);
    fields.value("timesteps");
    let timesteps = spacing.timesteps(count, steps, offset).map_err(|error| fields.wrong(&error.to_string()))?;
    fields.finish()?;
    value["timesteps"] = json!(timesteps);
    Ok(())
}

/// `timestep_spacing`, where it is there.
pub(super) fn read_spacing(fields: &Fields<'_>) -> Result<Option<TimestepSpacing>> {
    fields.choice("timestep_spacing", &TimestepSpacing::ALL.map(TimestepSpacing::id), TimestepSpacing::from_id)
}
