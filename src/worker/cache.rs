//! Measurements on the disk: one folder for each model, prompt and way of sampling, with a versioned JSON file and the pictures as
//! PNG. What is damaged or of another version is not used, and said so in the log.

use crate::figure::{encode_tensor, write_atomic};
use crate::host::HostTensor;
use crate::pipeline::{FNV_START, fnv1a};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Of the files' layout; another one is not read.
const VERSION: u32 = 2;
/// Folders that are kept, up to about two megabytes each; those that were written to the longest ago go first.
const MOST: usize = 64;
const INDEX: &str = "sweep.json";

/// One sample as it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Whether everything that the prompt says is on it.
    pub hit: Option<bool>,
    /// CLIP's cosine.
    pub similarity: Option<f64>,
    /// Share of channel values beyond black and white.
    pub clipped: f64,
    /// Mean HSV saturation.
    pub saturation: f64,
    /// Wall time in milliseconds, with decoding.
    pub latency_ms: f64,
    /// What diversity is measured in; empty where that is the pixels.
    pub features: Vec<f32>,
    /// The picture, small, in steps of a 255th; a file of its own.
    #[serde(skip)]
    pub picture: Option<HostTensor>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    key: String,
    /// By run, in the order asked for.
    samples: Vec<Vec<Measured>>,
}

/// The folder of one sweep.
pub struct Entry {
    folder: PathBuf,
    key: String,
}

/// The person's folder for what can be computed again.
pub fn default_folder() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let system = if cfg!(windows) {
        named("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        named("HOME").map(|home| home.join("Library/Caches"))
    } else {
        named("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(|| named("HOME").map(|home| home.join(".cache")))
    };
    system.map(|folder| folder.join("diffuscope"))
}

impl Entry {
    /// The entry for `key`, which says everything that the measurements depend on, in the cache at `folder`.
    pub fn new(folder: &Path, key: String) -> Self {
        Self { folder: folder.join("sweeps").join(format!("{:016x}", fnv1a(FNV_START, key.as_bytes()))), key }
    }

    fn picture_path(&self, run: usize, sample: usize) -> PathBuf {
        self.folder.join(format!("{run}-{sample:02}.png"))
    }

    /// The samples of `runs` runs; empty where there are none or they cannot be used.
    pub fn read(&self, runs: usize) -> Vec<Vec<Measured>> {
        match self.try_read(runs) {
            Ok(samples) => samples,
            Err(problem) => {
                if self.folder.exists() {
                    log::warn!("the measurements in {} are not used and will be made again: {problem}", self.folder.display());
                }
                vec![Vec::new(); runs]
            }
        }
    }

    fn try_read(&self, runs: usize) -> Result<Vec<Vec<Measured>>, String> {
        let text = std::fs::read_to_string(self.folder.join(INDEX)).map_err(|error| error.to_string())?;
        let mut index: Index = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if index.version != VERSION || index.key != self.key || index.samples.len() != runs {
            return Err("they are of another version or of something else".into());
        }
        let mut side = None;
        for (run, samples) in index.samples.iter_mut().enumerate() {
            for (number, sample) in samples.iter_mut().enumerate() {
                let picture = read_picture(&self.picture_path(run, number))?;
                if side.get_or_insert_with(|| picture.shape().to_vec()) != picture.shape() {
                    return Err("their pictures differ in size".into());
                }
                let numbers = [sample.clipped, sample.saturation, sample.latency_ms, sample.similarity.unwrap_or(0.0)];
                if !numbers.iter().all(|value| value.is_finite()) || sample.features.iter().any(|value| !value.is_finite()) {
                    return Err("a number in them is none".into());
                }
                sample.picture = Some(picture);
            }
        }
        let widths = index.samples.iter().flatten().map(|sample| sample.features.len());
        let same = widths.clone().min() == widths.max();
        if same { Ok(index.samples) } else { Err("their features differ in length".into()) }
    }

    /// Writes the picture of a sample, then everything else with [`Self::write`].
    pub fn write_picture(&self, run: usize, sample: usize, picture: &HostTensor) -> Result<(), String> {
        std::fs::create_dir_all(&self.folder).map_err(|error| error.to_string())?;
        let bytes = encode_tensor(picture).map_err(|error| error.to_string())?;
        write_atomic(&self.picture_path(run, sample), &bytes).map_err(|error| crate::worker::explain(&error))
    }

    /// Writes the measurements; their pictures are there already.
    pub fn write(&self, samples: &[Vec<Measured>]) -> Result<(), String> {
        let index = Index { version: VERSION, key: self.key.clone(), samples: samples.to_vec() };
        let text = serde_json::to_vec(&index).map_err(|error| error.to_string())?;
        write_atomic(&self.folder.join(INDEX), &text).map_err(|error| crate::worker::explain(&error))
    }

    /// Removes the oldest entries beside this one, so that the cache stays small.
    pub fn tidy(&self) {
        let Some(all) = self.folder.parent().and_then(|parent| std::fs::read_dir(parent).ok()) else { return };
        let mut folders: Vec<(SystemTime, PathBuf)> = all
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && *path != self.folder)
            .map(|path| (path.join(INDEX).metadata().and_then(|about| about.modified()).unwrap_or(SystemTime::UNIX_EPOCH), path))
            .collect();
        folders.sort();
        let surplus = (folders.len() + 1).saturating_sub(MOST);
        for (_, folder) in folders.into_iter().take(surplus) {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                log::warn!("cannot remove the old measurements in {}: {error}", folder.display());
            }
        }
    }
}

fn read_picture(path: &Path) -> Result<HostTensor, String> {
    let said = |problem: String| format!("{}: {problem}", path.display());
    let picture = image::open(path).map_err(|error| said(error.to_string()))?.into_rgb8();
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width * height == 0 || width * height > 1 << 20 {
        return Err(said(format!("{width} x {height} pixels")));
    }
    let (bytes, plane) = (picture.into_raw(), width * height);
    Ok(HostTensor::from_fn([3, height, width], |i| f32::from(bytes[i % plane * 3 + i / plane]) / 255.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(value: f64) -> Measured {
        let picture = Some(HostTensor::from_fn([3, 4, 4], |i| (i % 7) as f32 * 20.0 / 255.0));
        Measured {
            hit: Some(true),
            similarity: None,
            clipped: value,
            saturation: 0.5,
            latency_ms: 80.0,
            features: vec![1.0, 0.25],
            picture,
        }
    }

    fn written(folder: &Path) -> (Entry, Vec<Vec<Measured>>) {
        let entry = Entry::new(folder, "a key".into());
        let samples = vec![vec![sample(0.1), sample(0.2)], vec![]];
        for (number, sample) in samples[0].iter().enumerate() {
            entry.write_picture(0, number, sample.picture.as_ref().unwrap()).unwrap();
        }
        entry.write(&samples).unwrap();
        (entry, samples)
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (entry, samples) = written(folder.path());
        assert_eq!(entry.read(2), samples);
        assert_eq!(Entry::new(folder.path(), "another".into()).read(2), vec![Vec::new(); 2]);
        assert_eq!(entry.read(3), vec![Vec::new(); 3], "of other runs");
    }

    #[test]
    fn what_is_damaged_is_not_used_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        for (file, content) in [(INDEX, &b"{\"version\": 1"[..]), (INDEX, b""), ("0-01.png", b"no picture"), ("0-00.png", b"")] {
            let (entry, samples) = written(folder.path());
            std::fs::write(entry.folder.join(file), content).unwrap();
            assert_eq!(entry.read(2), vec![Vec::new(); 2], "{file}");
            let (entry, _) = written(folder.path());
            assert_eq!(entry.read(2), samples);
        }
        let (entry, _) = written(folder.path());
        std::fs::remove_file(entry.folder.join("0-01.png")).unwrap();
        assert_eq!(entry.read(2), vec![Vec::new(); 2]);
    }

    #[test]
    fn the_cache_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST + 5 {
            std::fs::create_dir_all(folder.path().join("sweeps").join(format!("{number:016x}"))).unwrap();
        }
        let (entry, samples) = written(folder.path());
        entry.tidy();
        assert_eq!(std::fs::read_dir(folder.path().join("sweeps")).unwrap().count(), MOST);
        assert_eq!(entry.read(2), samples, "the newest stays");
    }
}
