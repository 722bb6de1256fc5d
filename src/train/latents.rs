//! The latents that the U-Net is trained on: the means of many scenes, encoded once and kept in a file.

use super::runner::StopFlag;
use super::scenes::{PicturePool, SIDE};
use super::state::{load_tensors, save_tensors};
use super::{Result, TrainError};
use crate::compute::{Precision, Tensor, with_precision};
use crate::host::HostTensor;
use crate::model::vae::AutoencoderKl;
use crate::world::Scene;
use std::collections::HashMap;
use std::path::Path;

/// Pictures encoded at a time.
const BATCH: usize = 32;

/// What an autoencoder is told by: the sum and the sum of squares of the first latents that it makes.
fn mark(first: &HostTensor) -> String {
    let sum: f64 = first.data().iter().map(|&v| f64::from(v)).sum();
    format!("{sum:.2} {:.2}", first.norm())
}

/// What a list of scenes is told by: how many they are, the first and the last, and a hash of all (FNV-1a), which differs
/// between lists that leave different scenes out.
fn told(seeds: &[u64]) -> String {
    let hash = seeds.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &seed| (hash ^ seed).wrapping_mul(0x0100_0000_01b3));
    let [first, last] = [seeds.first(), seeds.last()].map(|seed| seed.copied().unwrap_or_default());
    format!("{} scenes of {first} to {last}, listed {hash:016x}", seeds.len())
}

/// Scaled latents of the scenes of `seeds`: `[N, C, h, w]`, unit deviation. Read from `path` where
/// an earlier run left them, of the same scenes by the same autoencoder; otherwise encoded and written there. `None` when it
/// was stopped; `progress(done, total)` hears of each batch.
///
/// # Errors
/// When the encoder fails or the file cannot be written.
pub fn encode_scenes<T: Tensor>(
    vae: &AutoencoderKl<T>,
    seeds: &[u64],
    path: &Path,
    device: &T::Device,
    stop: &StopFlag,
    mut progress: impl FnMut(usize, usize),
) -> Result<Option<HostTensor>> {
    let count = seeds.len();
    let scale = vae.config().scaling_factor as f32;
    let mut part = |start: usize| -> Result<HostTensor> {
        // A pool of its own for each batch, so that the pictures are not kept.
        let scenes = seeds[start..count.min(start + BATCH)].iter().map(|&seed| Scene::sample(seed)).collect();
        let pool = PicturePool::of(scenes, SIDE);
        let pictures = T::from_host(&pool.batch(&(0..pool.len()).collect::<Vec<_>>()), device)?;
        let (mean, _) = with_precision(Precision::F32, || vae.encode(&pictures))?;
        progress(start + pool.len(), count);
        Ok(mean.to_host()?.map(|v| v * scale))
    };
    let first = part(0)?;
    let key = format!("{}, marked {}", told(seeds), mark(&first));
    if path.exists() {
        // A file that cannot be read is one that is made again.
        if let Ok((found, metadata)) = load_tensors(path)
            && metadata.get("key") == Some(&key)
            && let Some(latents) = found.get("latents")
        {
            return Ok(Some(latents.clone()));
        }
    }
    let mut parts = vec![first];
    for start in (BATCH..count).step_by(BATCH) {
        if stop.is_set() {
            return Ok(None);
        }
        parts.push(part(start)?);
    }
    let latents = HostTensor::cat_outer(&parts.iter().collect::<Vec<_>>());
    if !latents.is_finite() {
        return Err(TrainError::Missing("the autoencoder's latents are not finite".into()));
    }
    save_tensors(path, &[("latents".to_owned(), latents.clone())], HashMap::from([("key".to_owned(), key)]))?;
    Ok(Some(latents))
}
