//! The files of a model: embedded in the program, or a folder in the layout of the diffusers library.

use super::PipelineError;
use serde_json::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ModelSource {
    /// The model that the program carries.
    #[default]
    Embedded,
    /// A diffusers pipeline folder.
    Folder(PathBuf),
}

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/littleworld/", $name)))),*]
    };
}

/// The program's own model.
const EMBEDDED: &[(&str, &[u8])] = embedded![
    "image_encoder/model.safetensors",
    "judge/model.safetensors",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "schedules/learned/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

/// A file that the program carries, by its path in the model's folder; beside the pipeline these are the networks that only
/// measure, `judge/model.safetensors` and `image_encoder/model.safetensors`.
pub fn embedded_file(name: &str) -> Option<&'static [u8]> {
    EMBEDDED.iter().find(|(n, _)| *n == name).map(|(_, bytes)| *bytes)
}

/// Writes the program's own model into `folder`, which becomes a diffusers pipeline folder.
///
/// # Errors
/// When a file cannot be written.
pub fn write_embedded(folder: &Path) -> Result<(), PipelineError> {
    for (name, bytes) in EMBEDDED {
        let path = folder.join(name);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, bytes));
        written.map_err(|source| PipelineError::Write { path, source })?;
    }
    Ok(())
}

/// FNV-1a of 64 bits (Fowler, Noll and Vo 1991), gone on with from `state`; begin with [`FNV_START`].
pub fn fnv1a(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Where [`fnv1a`] begins.
pub const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Read access to the files of a model.
pub(super) enum Files {
    Embedded,
    Folder(PathBuf),
}

impl Files {
    pub fn open(source: &ModelSource) -> Result<Self, PipelineError> {
        match source {
            ModelSource::Embedded => Ok(Self::Embedded),
            ModelSource::Folder(path) if path.is_dir() => Ok(Self::Folder(path.clone())),
            ModelSource::Folder(path) => Err(PipelineError::NoFolder(path.clone())),
        }
    }

    pub fn label(&self) -> String {
        match self {
            Self::Embedded => "embedded".to_owned(),
            Self::Folder(path) => path.display().to_string(),
        }
    }

    /// The content of a file that must be there.
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, PipelineError> {
        let missing = |folder: &Path| PipelineError::MissingFile { folder: folder.to_owned(), missing: name.to_owned() };
        match self {
            Self::Embedded => embedded_file(name).map(Cow::Borrowed).ok_or_else(|| missing(Path::new("the program"))),
            Self::Folder(folder) => {
                let path = folder.join(name);
                match std::fs::read(&path) {
                    Ok(bytes) => Ok(Cow::Owned(bytes)),
                    Err(source) if source.kind() == std::io::ErrorKind::NotFound => Err(missing(folder)),
                    Err(source) => Err(PipelineError::Io { path, source }),
                }
            }
        }
    }

    /// The content of a file that may be there.
    pub fn read_optional(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, PipelineError> {
        match self.read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(PipelineError::MissingFile { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The weights of a part: `stem.safetensors`, or the half-precision variant of the same.
    pub fn read_weights(&self, stem: &str) -> Result<(String, Cow<'static, [u8]>), PipelineError> {
        let names = [format!("{stem}.safetensors"), format!("{stem}.fp16.safetensors")];
        for name in &names {
            if let Some(bytes) = self.read_optional(name)? {
                return Ok((name.clone(), bytes));
            }
        }
        self.read(&names[0]).map(|bytes| (names[0].clone(), bytes))
    }

    /// Tells one model from another; see [`super::Pipeline::fingerprint`].
    pub fn fingerprint(&self) -> String {
        let digest = match self {
            Self::Embedded => EMBEDDED.iter().fold(FNV_START, |state, (name, bytes)| fnv1a(fnv1a(state, name.as_bytes()), bytes)),
            Self::Folder(folder) => EMBEDDED.iter().fold(fnv1a(FNV_START, folder.as_os_str().as_encoded_bytes()), |state, (name, _)| {
                let Ok(about) = std::fs::metadata(folder.join(name)) else { return state };
                let since = about.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
                let nanos = since.map_or(0, |since| since.as_nanos());
                fnv1a(fnv1a(state, &about.len().to_le_bytes()), &nanos.to_le_bytes())
            }),
        };
        format!("{digest:016x}")
    }

    /// Refuses folders that hold another kind of pipeline.
    pub fn check_index(&self) -> Result<(), PipelineError> {
        let bytes = self.read("model_index.json")?;
        let index: Value = serde_json::from_slice(&bytes)
            .map_err(|e| crate::model::ModelError::ConfigSyntax { what: "model_index.json".into(), detail: e.to_string() })?;
        match index.get("_class_name").and_then(Value::as_str) {
            Some("StableDiffusionPipeline") => Ok(()),
            Some(other) => Err(PipelineError::UnknownPipeline(other.to_owned())),
            None => Err(PipelineError::UnknownPipeline("pipeline without a _class_name".to_owned())),
        }
    }
}
