//! Weights in safetensors files: read with every length checked, written whole or not at all.

use super::ModelError;
use super::params::{Init, ParamSource};
use crate::compute::Tensor;
use crate::host::{HostTensor, f32_to_half, half_to_f32};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

/// The number type that weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredType {
    /// 16-bit floating point (IEEE 754 binary16).
    F16,
    /// 32-bit floating point.
    F32,
}

/// The content of a safetensors file, checked when it was opened.
pub struct Checkpoint<'a> {
    file: String,
    tensors: SafeTensors<'a>,
}

impl<'a> Checkpoint<'a> {
    /// Checks `bytes` as a safetensors file called `file` in messages.
    ///
    /// # Errors
    /// [`ModelError::BadFile`] for a file that is cut short, whose header lies about lengths, or that is something else.
    pub fn from_bytes(file: impl Into<String>, bytes: &'a [u8]) -> Result<Self, ModelError> {
        let file = file.into();
        match SafeTensors::deserialize(bytes) {
            Ok(tensors) => Ok(Self { file, tensors }),
            Err(error) => {
                let hint = if bytes.starts_with(b"version https://git-lfs") {
                    "it is a Git LFS pointer, not the weights themselves; fetch them with `git lfs pull`".to_owned()
                } else if bytes.starts_with(b"PK") || bytes.starts_with(&[0x80, 0x02]) {
                    "it is a pickled PyTorch file, which could run code; convert it to safetensors".to_owned()
                } else {
                    format!("{error}; the file is damaged or was cut short, fetch it again")
                };
                Err(ModelError::BadFile { file, detail: hint })
            }
        }
    }

    /// Names of all tensors.
    pub fn names(&self) -> Vec<&str> {
        self.tensors.names().into_iter().map(|n| n as &str).collect()
    }

    /// The tensor `name` in f32.
    ///
    /// # Errors
    /// When there is none, or it is of another number type.
    pub fn get(&self, name: &str) -> Result<HostTensor, ModelError> {
        let missing = || ModelError::MissingWeight { path: name.to_owned(), file: self.file.clone() };
        let view = self.tensors.tensor(name).map_err(|_| missing())?;
        let bytes = view.data();
        let data: Vec<f32> = match view.dtype() {
            Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => bytes.as_chunks::<2>().0.iter().map(|b| half_to_f32(u16::from_le_bytes(*b))).collect(),
            Dtype::BF16 => bytes.as_chunks::<2>().0.iter().map(|b| f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16)).collect(),
            other => {
                return Err(ModelError::WeightType { path: name.to_owned(), file: self.file.clone(), dtype: format!("{other:?}") });
            }
        };
        HostTensor::new(view.shape(), data).map_err(|e| ModelError::BadFile { file: self.file.clone(), detail: e.to_string() })
    }

    /// The shape of the tensor `name`, if there is one.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.tensor(name).ok().map(|v| v.shape().to_vec())
    }
}

/// A checkpoint as the weights of a model on a device.
pub struct CheckpointSource<'a, T: Tensor> {
    checkpoint: &'a Checkpoint<'a>,
    device: T::Device,
}

impl<'a, T: Tensor> CheckpointSource<'a, T> {
    /// Weights from `checkpoint`, put on `device` as they are asked for.
    pub fn new(checkpoint: &'a Checkpoint<'a>, device: T::Device) -> Self {
        Self { checkpoint, device }
    }
}

impl<T: Tensor> ParamSource<T> for CheckpointSource<'_, T> {
    fn param(&mut self, path: &str, shape: &[usize], _: Init) -> Result<T, ModelError> {
        let file = || self.checkpoint.file.clone();
        let found = self.checkpoint.shape(path).ok_or_else(|| ModelError::MissingWeight { path: path.to_owned(), file: file() })?;
        // Attention projections were 1x1 convolutions in old checkpoints; the values are the same.
        let squeezed = found.len() == 4 && shape.len() == 2 && found[2..] == [1, 1] && found[..2] == *shape;
        if found != shape && !squeezed {
            return Err(ModelError::WeightShape { path: path.to_owned(), file: file(), found, expected: shape.to_vec() });
        }
        let host = self.checkpoint.get(path)?;
        if !host.is_finite() {
            return Err(ModelError::BadFile {
                file: file(),
                detail: format!("the weight `{path}` holds values that are not finite numbers"),
            });
        }
        let host = host.reshape(shape).map_err(|e| ModelError::Internal(e.to_string()))?;
        Ok(T::from_host(&host, &self.device)?)
    }

    fn has(&self, path: &str) -> bool {
        self.checkpoint.shape(path).is_some()
    }
}

/// Writes tensors as a safetensors file, through a temporary file in the same folder that is renamed at the end.
///
/// # Errors
/// [`ModelError::Io`] when the folder cannot be written or the disk is full; the old file, if any, is untouched.
pub fn save_safetensors(path: &Path, tensors: &[(String, HostTensor)], stored: StoredType) -> Result<(), ModelError> {
    let io = |source| ModelError::Io { action: "write", path: path.to_owned(), source };
    let bytes = to_bytes(tensors, stored)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    #[cfg(unix)]
    {
        // As any other new file, readable as the user's umask says; temporary files are private otherwise.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder).map_err(io)?;
    file.write_all(&bytes).and_then(|()| file.as_file().sync_all()).map_err(io)?;
    file.persist(path).map_err(|e| io(e.error))?;
    Ok(())
}

/// The bytes of a safetensors file.
///
/// # Errors
/// [`ModelError::Internal`] when the library refuses the tensors.
pub fn to_bytes(tensors: &[(String, HostTensor)], stored: StoredType) -> Result<Vec<u8>, ModelError> {
    let dtype = if stored == StoredType::F16 { Dtype::F16 } else { Dtype::F32 };
    let encoded: Vec<(&str, &[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, t)| {
            let bytes = match stored {
                StoredType::F16 => t.data().iter().flat_map(|&v| f32_to_half(v).to_le_bytes()).collect(),
                StoredType::F32 => t.data().iter().flat_map(|v| v.to_le_bytes()).collect(),
            };
            (name.as_str(), t.shape(), bytes)
        })
        .collect();
    let internal = |e: safetensors::SafeTensorError| ModelError::Internal(e.to_string());
    let views = encoded
        .iter()
        .map(|(name, shape, bytes)| Ok((*name, TensorView::new(dtype, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(internal)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_round_trip() {
        let tensors = vec![("a.b".to_owned(), HostTensor::from_fn([2, 3], |i| i as f32 - 2.5))];
        let bytes = to_bytes(&tensors, StoredType::F16).unwrap();
        let checkpoint = Checkpoint::from_bytes("test", &bytes).unwrap();
        assert_eq!(checkpoint.get("a.b").unwrap(), tensors[0].1);
        assert!(checkpoint.get("a.c").unwrap_err().to_string().contains("a.c"));
    }

    #[test]
    fn hostile_headers_are_refused() {
        for bytes in
            [&b""[..], &[0xff; 8], &[8, 0, 0, 0, 0, 0, 0, 0, b'{'], b"PK\x03\x04 a zip", b"version https://git-lfs.github.com/spec/v1"]
        {
            assert!(matches!(Checkpoint::from_bytes("test", bytes), Err(ModelError::BadFile { .. })));
        }
        let lie = br#"{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}"#;
        let mut bytes = (lie.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(lie);
        assert!(Checkpoint::from_bytes("test", &bytes).is_err());
    }
}
