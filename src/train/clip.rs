//! Training of the text encoder by contrast with pictures (Radford et al. 2021, arXiv 2103.00020).

use super::losses::{self, Contrast};
use super::optimizer::AdamWConfig;
use super::record::Part;
use super::runner::{Evaluated, Loss, Objective, PARTS, at_once};
use super::scenes::{PicturePool, SIDE, below, divide, step_rng};
use super::vars::{VarStore, Weights};
use super::{HELD_OUT, Result, TrainError};
use crate::compute::Tensor as _;
use crate::compute::{Precision, with_precision};
use crate::host::HostTensor;
use crate::measure::{self, ImageEncoder, Retrieval, TextProjection};
use crate::model::ModelError;
use crate::model::clip::{ClipTextConfig, ClipTextModel};
use crate::model::params::{Init, Params};
use crate::model::tokenizer::{ClipTokenizer, train_bpe};
use crate::world::Scene;
use candle_core::{Device, Tensor};
use rand::Rng;
use std::collections::HashMap;
use std::sync::Mutex;

/// AdamW as CLIP is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.05, clip: 1.0, ema: 0.99 };
/// Where the logarithm of the scale starts, `ln(1 / 0.07)`, and its largest value, `ln 100`.
const LOG_SCALE: [f64; 2] = [2.659_26, 4.605_17];
/// Scenes that it is trained on.
const SCENES: usize = 12_288;
/// Captions that the vocabulary is learned from.
const CORPUS: u64 = 20_000;
/// Merged symbols of the vocabulary.
const MERGES: usize = 250;

/// Learns the vocabulary from captions of the training scenes: `vocab.json` and `merges.txt`.
pub fn learn_vocabulary() -> (String, String) {
    let captions: Vec<String> = (0..CORPUS).map(|index| Scene::sample(index).caption(index)).collect();
    train_bpe(captions.iter().map(String::as_str), MERGES)
}

/// The text encoder with what it is trained against.
pub struct ClipPair {
    /// Tokens to hidden states.
    pub text: ClipTextModel<Tensor>,
    /// Hidden states to features.
    pub text_projection: TextProjection<Tensor>,
    /// Pictures to features.
    pub image: ImageEncoder<Tensor>,
}

impl ClipPair {
    /// Weights under `text_encoder`, `text_projection` and `image_encoder`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(config: &ClipTextConfig, p: &Params<'_, Tensor>) -> std::result::Result<Self, ModelError> {
        Self::with_text(ClipTextModel::new(config, &p.pp("text_encoder"))?, p)
    }

    /// Goes with a text encoder that is there already; weights under `text_projection` and `image_encoder`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn with_text(text: ClipTextModel<Tensor>, p: &Params<'_, Tensor>) -> std::result::Result<Self, ModelError> {
        let text_projection = TextProjection::new(&p.pp("text_projection"), text.config().hidden_size)?;
        Ok(Self { text, text_projection, image: ImageEncoder::new(&p.pp("image_encoder"))? })
    }

    /// Features of captions, `[B, FEATURES]`. What follows the longest caption's end token is left out: no token sees those
    /// after it.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn text_features(&self, ids: &[Vec<u32>], ends: &[usize]) -> Result<Tensor> {
        let length = ends.iter().max().map_or(1, |end| end + 1);
        let cut: Vec<u32> = ids.iter().flat_map(|ids| ids[..length].iter().copied()).collect();
        Ok(self.text_projection.forward(&self.text.forward(&cut, ids.len())?, ends)?)
    }
}

/// CLIP in training.
pub struct ClipObjective {
    pair: ClipPair,
    log_scale: Tensor,
    tokenizer: ClipTokenizer,
    pool: PicturePool,
    config: ClipTextConfig,
    seed: u64,
    batch: usize,
    device: Device,
    precision: Precision,
}

/// The data of a step.
#[derive(Debug)]
pub struct ClipBatch {
    pictures: HostTensor,
    ids: Vec<Vec<u32>>,
    ends: Vec<usize>,
    groups: Vec<usize>,
}

impl ClipObjective {
    /// Fresh networks and their variables.
    ///
    /// # Errors
    /// When they cannot be built.
    pub fn new(tokenizer: ClipTokenizer, seed: u64, batch: usize, device: &Device, precision: Precision) -> Result<(Self, VarStore)> {
        let config = ClipTextConfig::littleworld(tokenizer.vocab_size());
        let store = Mutex::new(VarStore::new(seed, device));
        let root = Params::root(&store);
        let pair = ClipPair::new(&config, &root)?;
        // The variable is the logarithm of the scale as a multiple of where it starts.
        let log_scale = root.get("log_scale", &[1], Init::Ones)?;
        let pool = PicturePool::new(0, SCENES, SIDE / 2);
        let objective = Self { pair, log_scale, tokenizer, pool, config, seed, batch, device: device.clone(), precision };
        Ok((objective, store.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)))
    }

    /// The text encoder's configuration.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }
}

impl Objective for ClipObjective {
    type Batch = ClipBatch;

    fn name(&self) -> &'static str {
        "clip"
    }

    fn fingerprint(&self) -> String {
        format!("clip, seed {}, batch {}, {}", self.seed, self.batch, self.config.to_json())
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["loss", "top1", "scale"]
    }

    fn batch(&self, step: u64, _: usize) -> Result<Vec<ClipBatch>> {
        let mut rng = step_rng(self.seed, "clip", step);
        let indices: Vec<usize> = (0..self.batch).map(|_| below(&mut rng, self.pool.len())).collect();
        let captions: Vec<String> = indices
            .iter()
            .map(|&index| {
                let (scene, seed) = (self.pool.scene(index), rng.next_u64());
                // A quarter are the full, canonical sentence; the others say more or less, in their own words.
                if seed % 4 == 0 { scene.full_caption() } else { scene.caption(seed) }
            })
            .collect();
        let mut known = HashMap::new();
        let groups: Vec<usize> =
            captions.iter().enumerate().map(|(index, caption)| *known.entry(caption.as_str()).or_insert(index)).collect();
        let (ids, ends): (Vec<Vec<u32>>, Vec<usize>) = captions
            .iter()
            .map(|caption| {
                let encoding = self.tokenizer.encode(caption);
                (encoding.ids, encoding.end)
            })
            .unzip();
        let pictures = divide(PARTS, &self.pool.batch(&indices));
        let mut items: std::vec::IntoIter<(Vec<u32>, usize, usize)> = zip3(ids, ends, groups).into_iter();
        let part = |pictures: HostTensor| {
            let (mut ids, mut ends, mut groups) = (Vec::new(), Vec::new(), Vec::new());
            for (id, end, group) in items.by_ref().take(pictures.shape()[0]) {
                ids.push(id);
                ends.push(end);
                groups.push(group);
            }
            ClipBatch { pictures, ids, ends, groups }
        };
        Ok(pictures.into_iter().map(part).collect())
    }

    fn loss(&self, part: ClipBatch) -> Result<Loss> {
        let features = self.features(part)?;
        let (objectives, parts) = self.contrast(std::slice::from_ref(&features))?;
        let objective = objectives.into_iter().next().ok_or_else(|| TrainError::Missing("an empty batch".into()))?;
        Ok(Loss { objective, parts, samples: features.groups.len() as u64 })
    }

    /// Every item is compared with every other one, so the parts meet between their forward and backward passes.
    fn evaluate(&self, parts: Vec<ClipBatch>) -> Result<Evaluated> {
        let features = at_once(parts, |part| self.features(part))?;
        let (objectives, parts) = self.contrast(&features)?;
        let gradients = at_once(objectives, |objective| Ok(objective.backward()?))?;
        let samples = features.iter().map(|features| features.groups.len() as u64).sum();
        Ok(Evaluated { parts: vec![parts], samples, gradients })
    }
}

fn zip3<A, B, C>(a: Vec<A>, b: Vec<B>, c: Vec<C>) -> Vec<(A, B, C)> {
    a.into_iter().zip(b).zip(c).map(|((a, b), c)| (a, b, c)).collect()
}

/// What one part of a batch is turned into.
struct Features {
    pictures: Tensor,
    texts: Tensor,
    groups: Vec<usize>,
}

impl ClipObjective {
    fn features(&self, part: ClipBatch) -> Result<Features> {
        with_precision(self.precision, || {
            let ClipBatch { pictures, ids, ends, groups } = part;
            let pictures = self.pair.image.forward(&Tensor::from_host(&pictures, &self.device)?)?;
            Ok(Features { pictures, texts: self.pair.text_features(&ids, &ends)?, groups })
        })
    }

    /// The contrast over all parts: an objective for each, and the loss. The optimizer takes the mean over the parts, so each
    /// gradient counts as often as there are parts.
    fn contrast(&self, features: &[Features]) -> Result<(Vec<Tensor>, Vec<Part>)> {
        let host = |tensors: Vec<&Tensor>| -> Result<HostTensor> {
            let parts = tensors.into_iter().map(|tensor| Ok(tensor.to_host()?)).collect::<Result<Vec<_>>>()?;
            Ok(HostTensor::cat_outer(&parts.iter().collect::<Vec<_>>()))
        };
        let pictures = host(features.iter().map(|features| &features.pictures).collect())?;
        let texts = host(features.iter().map(|features| &features.texts).collect())?;
        let groups: Vec<usize> = features.iter().flat_map(|features| features.groups.iter().copied()).collect();
        let multiple = self.log_scale.to_host()?.data().first().copied().map_or(1.0, f64::from);
        let log_scale = (LOG_SCALE[0] * multiple).min(LOG_SCALE[1]);
        let Contrast { loss, top1, gradients: [by_pictures, by_texts, by_scale] } = losses::contrast(&pictures, &texts, &groups, log_scale);
        let count = features.len() as f32;
        let by_multiple = by_scale.map(|slope| (f64::from(slope) * LOG_SCALE[0]) as f32);
        let mut start = 0;
        let objectives = features
            .iter()
            .map(|features| {
                let rows = features.groups.len();
                let slice = |gradient: &HostTensor| {
                    let rows: Vec<HostTensor> = (start..start + rows).map(|row| gradient.outer(row).map(|v| v * count)).collect();
                    HostTensor::cat_outer(&rows.iter().collect::<Vec<_>>())
                };
                let (by_pictures, by_texts) = (slice(&by_pictures), slice(&by_texts));
                start += rows;
                let towards = (losses::objective(&features.pictures, &by_pictures)? + losses::objective(&features.texts, &by_texts)?)?;
                Ok((towards + losses::objective(&self.log_scale, &by_multiple)?)?)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((objectives, [loss, top1, log_scale.exp()].map(Part::one).to_vec()))
    }
}

/// Retrieval in one batch of `count` held-out scenes with their full captions; items with equal captions count as right.
///
/// # Errors
/// When a network fails.
pub fn retrieval(pair: &ClipPair, tokenizer: &ClipTokenizer, count: usize, device: &Device) -> Result<Retrieval> {
    let pool = PicturePool::new(HELD_OUT, count, SIDE / 2);
    let captions: Vec<String> = (0..count).map(|index| pool.scene(index).full_caption()).collect();
    let encodings: Vec<_> = captions.iter().map(|caption| tokenizer.encode(caption)).collect();
    let (mut pictures, mut texts) = (Vec::new(), Vec::new());
    for start in (0..count).step_by(64) {
        let range = start..count.min(start + 64);
        let (ids, ends): (Vec<_>, Vec<_>) = encodings[range.clone()].iter().map(|encoding| (encoding.ids.clone(), encoding.end)).unzip();
        texts.push(pair.text_features(&ids, &ends)?.to_host()?);
        let batch = pool.batch(&range.collect::<Vec<_>>());
        pictures.push(pair.image.forward(&Tensor::from_host(&batch, device)?)?.to_host()?);
    }
    let joined = |parts: &[HostTensor]| HostTensor::cat_outer(&parts.iter().collect::<Vec<_>>());
    Ok(measure::retrieve(&joined(&pictures), &joined(&texts), &captions)?)
}

/// The text encoder alone, and everything else.
pub fn split(weights: &Weights) -> (Weights, Weights) {
    let rest: Vec<_> = weights.list.iter().filter(|(path, _)| !path.starts_with("text_encoder.")).cloned().collect();
    (weights.below("text_encoder"), weights.with_list(rest))
}
