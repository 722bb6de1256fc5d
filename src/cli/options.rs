//! Options that several commands share.

use crate::pipeline::{DeviceKind, ModelSource};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use std::path::PathBuf;

/// Which model, and where it runs.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModelArgs {
    /// A model folder as the diffusers library writes it; the built-in model by default
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Where to compute: the processor by default; in the window what was chosen last, at first the fastest that agrees with it
    #[arg(long = "device", value_name = "DEVICE", value_parser = device_parser())]
    pub chosen: Option<DeviceKind>,
}

impl ModelArgs {
    /// Where to compute.
    pub fn device(&self) -> DeviceKind {
        self.chosen.unwrap_or_default()
    }

    /// The model asked for.
    pub fn source(&self) -> ModelSource {
        self.model.clone().map_or(ModelSource::Embedded, ModelSource::Folder)
    }
}

/// Reads the label of a device.
pub fn device_parser() -> impl TypedValueParser<Value = DeviceKind> {
    // Those of second adapters are told by `diffuscope devices`.
    parser_of(DeviceKind::ALL.map(|kind| PossibleValue::new(kind.label()).hide(kind.label().contains(':'))))
}

/// The same of a device that can train.
pub fn training_device_parser() -> impl TypedValueParser<Value = DeviceKind> {
    parser_of(DeviceKind::TRAINING.map(|kind| PossibleValue::new(kind.label())))
}

fn parser_of(values: impl Into<PossibleValuesParser>) -> impl TypedValueParser<Value = DeviceKind> {
    values.into().map(|label| DeviceKind::ALL.into_iter().find(|kind| kind.label() == label).unwrap_or_default())
}

/// Dark or light.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Theme {
    /// Light on dark
    Dark,
    /// Dark on light
    Light,
}

/// How near a lab is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// The lab as a whole
    Overview,
    /// The one operation behind what it shows
    Operation,
    /// The numbers of that operation at one place
    Numbers,
}

/// How the window opens.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct WindowArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The lab to open with
    #[arg(long, value_name = "ID")]
    pub lab: Option<String>,
    /// Colours; as last time by default
    #[arg(long)]
    pub theme: Option<Theme>,
    /// Seed of the starting noise
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}
