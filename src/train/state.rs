//! Checkpoints of training: everything that a resumed run needs, written so that a kill at any moment leaves a whole file.

use super::vars::Weights;
use super::{Result, TrainError};
use crate::host::HostTensor;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where a run stands, beside its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// Steps made; the next one has this index.
    pub step: u64,
    /// Pictures (or captions) seen.
    pub samples: u64,
    /// Seconds of training, across resumes.
    pub seconds: f64,
    /// What the run was started with. Resuming with anything else would not be the same run.
    pub fingerprint: String,
}

/// A tensor on its way into a file.
struct Bytes {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The name beside `path` under which its next content is written.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Runs `write` on a file beside `path`, then puts it in `path`'s place in one step.
///
/// # Errors
/// Those of the file system, and those of `write`.
pub fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let partial = beside(path);
    let done = write(&partial).and_then(|()| File::open(&partial)?.sync_all()).and_then(|()| std::fs::rename(&partial, path));
    done.map_err(|source| {
        let _ = std::fs::remove_file(&partial);
        TrainError::file(path, source)
    })
}

/// Writes f32 tensors with string metadata as safetensors, atomically.
///
/// # Errors
/// Those of the file system.
pub fn save_tensors(path: &Path, tensors: &[(String, HostTensor)], metadata: HashMap<String, String>) -> Result<()> {
    let views: Vec<(String, Bytes)> = tensors
        .par_iter()
        .map(|(name, values)| {
            let bytes = values.data().iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.clone(), Bytes { shape: values.shape().to_vec(), bytes })
        })
        .collect();
    write_atomically(path, |partial| {
        safetensors::serialize_to_file(views, Some(metadata), partial).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(error) => error,
            other => std::io::Error::other(other.to_string()),
        })
    })
}

/// Reads what [`save_tensors`] wrote.
///
/// # Errors
/// When the file cannot be read or is not such a file.
pub fn load_tensors(path: &Path) -> Result<(Weights, HashMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(|error| TrainError::file(path, error))?;
    let content = |error: safetensors::SafeTensorError| TrainError::content(path, error);
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(content)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let file = SafeTensors::deserialize(&bytes).map_err(content)?;
    let mut list = Vec::with_capacity(file.len());
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(TrainError::content(path, format!("{name} is stored as {:?}, not as F32", view.dtype())));
        }
        let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
        let tensor = HostTensor::new(view.shape(), values).map_err(|error| TrainError::content(path, error))?;
        list.push((name, tensor));
    }
    Ok((Weights::new(list), metadata))
}

/// Writes a checkpoint.
///
/// # Errors
/// Those of the file system.
pub fn save(path: &Path, tensors: &[(String, HostTensor)], position: &Position) -> Result<()> {
    let Position { step, samples, seconds, fingerprint } = position;
    let metadata = [
        ("step", step.to_string()),
        ("samples", samples.to_string()),
        ("seconds", format!("{seconds:?}")),
        ("fingerprint", fingerprint.clone()),
    ];
    save_tensors(path, tensors, metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Reads a checkpoint.
///
/// # Errors
/// When the file cannot be read or is no checkpoint.
pub fn load(path: &Path) -> Result<(Weights, Position)> {
    let (weights, metadata) = load_tensors(path)?;
    let text =
        |key: &str| metadata.get(key).ok_or_else(|| TrainError::content(path, format!("it is no training checkpoint: {key} is missing")));
    let bad = |key: &str| TrainError::content(path, format!("its {key} cannot be read"));
    let position = Position {
        step: text("step")?.parse().map_err(|_| bad("step"))?,
        samples: text("samples")?.parse().map_err(|_| bad("samples"))?,
        seconds: text("seconds")?.parse().map_err(|_| bad("seconds"))?,
        fingerprint: text("fingerprint")?.clone(),
    };
    Ok((weights, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_comes_back_and_a_broken_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensors = vec![("ema.w".to_owned(), HostTensor::from_fn([2, 3], |i| i as f32 - 0.1))];
        let position = Position { step: 7, samples: 112, seconds: 1.25e-3, fingerprint: "batch 16".into() };
        save(&path, &tensors, &position).unwrap();
        let (weights, read) = load(&path).unwrap();
        assert_eq!(read, position);
        assert_eq!(weights.list, tensors);
        assert!(!beside(&path).exists());

        let bytes = std::fs::read(&path).unwrap();
        for end in [0, 7, 20, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(load(&path).is_err());
        }
    }
}
