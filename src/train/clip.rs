//! Training of the text encoder by contrast with pictures (Radford et al. 2021, arXiv 2103.00020).
//!
//! Among random scenes a bag of words is enough to find the right one, and nothing makes the encoder hear which colour is whose
//! or who stands on which side. So many scenes come with their [`Twin`], which differs in just that.

use super::losses::{self, Contrast};
use super::optimizer::AdamWConfig;
use super::record::Part;
use super::runner::{Objective, Share, at_once};
use super::scenes::{PicturePool, SIDE, below, divide, step_rng, training_seeds, unit};
use super::vars::{Leaves, Variable, Weights, start};
use super::{HELD_OUT, Result, TrainError};
use crate::compute::{Differentiable, Precision, Tensor, with_precision};
use crate::host::HostTensor;
use crate::measure::{self, ImageEncoder, Proportion, Retrieval, TextProjection};
use crate::model::ModelError;
use crate::model::clip::{ClipTextConfig, ClipTextModel};
use crate::model::params::{Init, Params};
use crate::model::tokenizer::{ClipTokenizer, train_bpe};
use crate::world::{Scene, SceneSpec, Twin};
use rand::Rng;
use std::collections::HashMap;

/// AdamW as CLIP is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.98, eps: 1e-8, weight_decay: 0.05, clip: 1.0, ema: 0.995 };
/// Where the logarithm of the scale starts, `ln(1 / 0.07)`, and its largest value, `ln 100`.
const LOG_SCALE: [f64; 2] = [2.659_26, 4.605_17];
/// Scenes that it is trained on, none of which has a held-out pair of kind and colour.
const SCENES: usize = 24_576;
/// Of the scenes drawn that have a twin, the share that comes with it.
const WITH_TWIN: f64 = 0.5;
/// Captions that the vocabulary is learned from.
const CORPUS: usize = 20_000;
/// Merged symbols of the vocabulary.
const MERGES: usize = 250;

/// Learns the vocabulary from captions of the training scenes: `vocab.json` and `merges.txt`.
pub fn learn_vocabulary() -> (String, String) {
    let captions: Vec<String> = training_seeds(0, CORPUS).into_iter().map(|seed| Scene::sample(seed).caption(seed)).collect();
    train_bpe(captions.iter().map(String::as_str), MERGES)
}

/// The text encoder with what it is trained against.
pub struct ClipPair<T: Tensor> {
    /// Tokens to hidden states.
    pub text: ClipTextModel<T>,
    /// Hidden states to features.
    pub text_projection: TextProjection<T>,
    /// Pictures to features.
    pub image: ImageEncoder<T>,
}

impl<T: Tensor> ClipPair<T> {
    /// Weights under `text_encoder`, `text_projection` and `image_encoder`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn new(config: &ClipTextConfig, p: &Params<'_, T>) -> std::result::Result<Self, ModelError> {
        Self::with_text(ClipTextModel::new(config, &p.pp("text_encoder"))?, p)
    }

    /// Goes with a text encoder that is there already; weights under `text_projection` and `image_encoder`.
    ///
    /// # Errors
    /// When a weight is missing or has another shape.
    pub fn with_text(text: ClipTextModel<T>, p: &Params<'_, T>) -> std::result::Result<Self, ModelError> {
        let text_projection = TextProjection::new(&p.pp("text_projection"), text.config().hidden_size)?;
        Ok(Self { text, text_projection, image: ImageEncoder::new(&p.pp("image_encoder"))? })
    }

    /// Features of captions, `[B, FEATURES]`. What follows the longest caption's end token is left out: no token sees those
    /// after it.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn text_features(&self, ids: &[Vec<u32>], ends: &[usize]) -> Result<T> {
        let length = ends.iter().max().map_or(1, |end| end + 1);
        let cut: Vec<u32> = ids.iter().flat_map(|ids| ids[..length].iter().copied()).collect();
        Ok(self.text_projection.forward(&self.text.forward(&cut, ids.len())?, ends)?)
    }
}

/// What is trained: the encoders and the scale of their comparison.
pub struct ClipModel<T: Tensor> {
    pair: ClipPair<T>,
    /// The logarithm of the scale as a multiple of where it starts, `[1]`.
    log_scale: T,
}

/// CLIP in training.
pub struct ClipObjective<T: Tensor> {
    tokenizer: ClipTokenizer,
    /// The scenes, then their twins.
    pool: PicturePool,
    /// Of each scene, where its twin is.
    twins: Vec<Option<usize>>,
    config: ClipTextConfig,
    seed: u64,
    batch: usize,
    device: T::Device,
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

impl<T: Differentiable> ClipObjective<T> {
    /// The training, and the variables at the start.
    ///
    /// # Errors
    /// When the networks cannot be built.
    pub fn new(
        tokenizer: ClipTokenizer,
        seed: u64,
        batch: usize,
        device: &T::Device,
        precision: Precision,
    ) -> Result<(Self, Vec<Variable>)> {
        let config = ClipTextConfig::littleworld(tokenizer.vocab_size());
        let (pool, twins) = scenes_and_twins(SCENES);
        let objective = Self { tokenizer, pool, twins, config, seed, batch, device: device.clone(), precision };
        let (_, variables) = start(seed, device, |p| objective.build(p))?;
        Ok((objective, variables))
    }

    /// The text encoder's configuration.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }
}

/// `count` training scenes, then one twin of each that has one: of every other scene by colours, of the rest by places. And
/// where the twin of each scene is.
fn scenes_and_twins(count: usize) -> (PicturePool, Vec<Option<usize>>) {
    let mut scenes: Vec<Scene> = training_seeds(0, count).into_iter().map(Scene::sample).collect();
    let twins = (0..count)
        .map(|index| {
            let twin = scenes[index].twin(if index % 2 == 0 { Twin::Colors } else { Twin::Places })?;
            (!twin.has_held_out_pair()).then(|| {
                scenes.push(twin);
                scenes.len() - 1
            })
        })
        .collect();
    (PicturePool::of(scenes, SIDE / 2), twins)
}

/// A caption chosen by `seed` that is not true of a scene's twin: it says all colours, and who stands where.
fn telling_caption(scene: &Scene, seed: u64) -> String {
    let caption = scene.caption_with_facts(seed);
    let colored = caption.facts.objects.iter().all(|object| object.color.is_some());
    if colored && caption.facts.relation.is_some() { caption.text } else { scene.full_caption() }
}

impl<T: Differentiable> Objective for ClipObjective<T> {
    type Tensor = T;
    type Model = ClipModel<T>;
    type Batch = ClipBatch;

    fn device(&self) -> &T::Device {
        &self.device
    }

    fn build(&self, p: &Params<'_, T>) -> std::result::Result<ClipModel<T>, ModelError> {
        Ok(ClipModel { pair: ClipPair::new(&self.config, p)?, log_scale: p.get("log_scale", &[1], Init::Ones)? })
    }

    fn name(&self) -> &'static str {
        "clip"
    }

    fn fingerprint(&self) -> String {
        let scenes = self.pool.len();
        format!("clip, seed {}, batch {}, {scenes} scenes with twins, {}", self.seed, self.batch, self.config.to_json())
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["loss", "top1", "scale"]
    }

    fn batch(&self, step: u64, _: usize) -> Result<Vec<ClipBatch>> {
        let mut rng = step_rng(self.seed, "clip", step);
        let mut indices = Vec::with_capacity(self.batch);
        let mut captions = Vec::with_capacity(self.batch);
        while indices.len() < self.batch {
            let index = below(&mut rng, self.twins.len());
            let room = indices.len() + 1 < self.batch;
            let twin = self.twins[index].filter(|_| room && unit(&mut rng) < WITH_TWIN);
            for shown in [Some(index), twin].into_iter().flatten() {
                let (scene, seed) = (self.pool.scene(shown), rng.next_u64());
                // A quarter are the full, canonical sentence; the others say more or less, in their own words.
                captions.push(match twin {
                    _ if seed % 4 == 0 => scene.full_caption(),
                    Some(_) => telling_caption(scene, seed),
                    None => scene.caption(seed),
                });
                indices.push(shown);
            }
        }
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
        let pictures = divide(T::PARTS, &self.pool.batch(&indices));
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

    fn share(&self, leaves: &Leaves<T>, model: &ClipModel<T>, part: ClipBatch) -> Result<Share> {
        let shares = self.shares(leaves, model, vec![part])?;
        shares.into_iter().next().ok_or_else(|| TrainError::Missing("an empty batch".into()))
    }

    /// Every item is compared with every other one, so the parts meet between their forward and backward passes.
    fn shares(&self, leaves: &Leaves<T>, model: &ClipModel<T>, parts: Vec<ClipBatch>) -> Result<Vec<Share>> {
        let features = at_once::<T, _, _>(parts, |part| self.features(&model.pair, part))?;
        let (slopes, parts) = contrast(&features, &model.log_scale.to_host()?)?;
        at_once::<T, _, _>(features.into_iter().zip(slopes).collect(), |(features, slopes)| {
            let Slopes { pictures, texts, log_scale } = slopes;
            let outputs = [(&features.pictures, &pictures), (&features.texts, &texts), (&model.log_scale, &log_scale)];
            with_precision(self.precision, || Share::of(leaves, &outputs, parts.clone(), features.groups.len() as u64))
        })
    }
}

fn zip3<A, B, C>(a: Vec<A>, b: Vec<B>, c: Vec<C>) -> Vec<(A, B, C)> {
    a.into_iter().zip(b).zip(c).map(|((a, b), c)| (a, b, c)).collect()
}

/// What one part of a batch is turned into.
struct Features<T> {
    pictures: T,
    texts: T,
    groups: Vec<usize>,
}

/// Gradients with respect to the features of one part of a batch, and to the logarithm of the scale.
struct Slopes {
    pictures: HostTensor,
    texts: HostTensor,
    log_scale: HostTensor,
}

impl<T: Differentiable> ClipObjective<T> {
    fn features(&self, pair: &ClipPair<T>, part: ClipBatch) -> Result<Features<T>> {
        with_precision(self.precision, || {
            let ClipBatch { pictures, ids, ends, groups } = part;
            let pictures = pair.image.forward(&T::from_host(&pictures, &self.device)?)?;
            Ok(Features { pictures, texts: pair.text_features(&ids, &ends)?, groups })
        })
    }
}

/// The contrast over all parts: the gradients of each, and the loss. The optimizer takes the mean over the parts, so each
/// gradient counts as often as there are parts.
fn contrast<T: Tensor>(features: &[Features<T>], multiple: &HostTensor) -> Result<(Vec<Slopes>, Vec<Part>)> {
    let host = |tensors: Vec<&T>| -> Result<HostTensor> {
        let parts = tensors.into_iter().map(|tensor| Ok(tensor.to_host()?)).collect::<Result<Vec<_>>>()?;
        Ok(HostTensor::cat_outer(&parts.iter().collect::<Vec<_>>()))
    };
    let pictures = host(features.iter().map(|features| &features.pictures).collect())?;
    let texts = host(features.iter().map(|features| &features.texts).collect())?;
    let groups: Vec<usize> = features.iter().flat_map(|features| features.groups.iter().copied()).collect();
    let multiple = multiple.data().first().copied().map_or(1.0, f64::from);
    let log_scale = (LOG_SCALE[0] * multiple).min(LOG_SCALE[1]);
    let Contrast { loss, top1, gradients: [by_pictures, by_texts, by_scale] } = losses::contrast(&pictures, &texts, &groups, log_scale);
    let count = features.len() as f32;
    let by_multiple = by_scale.map(|slope| (f64::from(slope) * LOG_SCALE[0]) as f32);
    let mut start = 0;
    let slopes = features.iter().map(|features| {
        let rows = start..start + features.groups.len();
        start = rows.end;
        let slice = |gradient: &HostTensor| {
            let rows: Vec<HostTensor> = rows.clone().map(|row| gradient.outer(row).map(|v| v * count)).collect();
            HostTensor::cat_outer(&rows.iter().collect::<Vec<_>>())
        };
        Slopes { pictures: slice(&by_pictures), texts: slice(&by_texts), log_scale: by_multiple.clone() }
    });
    Ok((slopes.collect(), [loss, top1, log_scale.exp()].map(Part::one).to_vec()))
}

/// Retrieval in one batch of `count` held-out scenes with their full captions; items with equal captions count as right.
///
/// # Errors
/// When a network fails.
pub fn retrieval<T: Tensor>(pair: &ClipPair<T>, tokenizer: &ClipTokenizer, count: usize, device: &T::Device) -> Result<Retrieval> {
    let pool = PicturePool::new(HELD_OUT, count, SIDE / 2);
    let captions: Vec<String> = (0..count).map(|index| pool.scene(index).full_caption()).collect();
    let (pictures, texts) = features(pair, tokenizer, &pool, &captions, device)?;
    Ok(measure::retrieve(&pictures, &texts, &captions)?)
}

/// How often, of a held-out scene and its twin, a picture is nearer to its own full caption than to the other's.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Where the twin's objects have exchanged their colours.
    pub colors: Proportion,
    /// Where they have exchanged their places.
    pub places: Proportion,
}

/// Measures [`Binding`] on `count` scenes of two objects for each kind of twin; chance is one half.
///
/// # Errors
/// When a network fails.
pub fn binding<T: Tensor>(pair: &ClipPair<T>, tokenizer: &ClipTokenizer, count: usize, device: &T::Device) -> Result<Binding> {
    let measured = |twin: Twin| -> Result<Proportion> {
        let scenes: Vec<Scene> = (HELD_OUT..)
            .filter_map(|seed| Scene::sample_with(seed, SceneSpec { objects: Some(2), ..SceneSpec::default() }).ok())
            .filter_map(|scene| scene.twin(twin).map(|twin| [scene, twin]))
            .filter(|scenes| !scenes.iter().any(Scene::has_held_out_pair))
            .take(count)
            .flatten()
            .collect();
        let captions: Vec<String> = scenes.iter().map(Scene::full_caption).collect();
        let (pictures, texts) = features(pair, tokenizer, &PicturePool::of(scenes, SIDE / 2), &captions, device)?;
        let cosine = |picture: usize, text: usize| {
            let (a, b) = (pictures.outer(picture), texts.outer(text));
            a.data().iter().zip(b.data()).map(|(a, b)| f64::from(a * b)).sum::<f64>() / (a.norm() * b.norm()).max(1e-12)
        };
        // Scenes and twins take turns, so the other one of a pair has the last bit turned.
        Ok(Proportion::of((0..captions.len()).map(|at| Some(cosine(at, at) > cosine(at, at ^ 1)))))
    };
    Ok(Binding { colors: measured(Twin::Colors)?, places: measured(Twin::Places)? })
}

/// Features of all pictures of `pool` and of their `captions`.
fn features<T: Tensor>(
    pair: &ClipPair<T>,
    tokenizer: &ClipTokenizer,
    pool: &PicturePool,
    captions: &[String],
    device: &T::Device,
) -> Result<(HostTensor, HostTensor)> {
    let (mut pictures, mut texts) = (Vec::new(), Vec::new());
    for start in (0..captions.len()).step_by(64) {
        let range = start..captions.len().min(start + 64);
        let encodings = captions[range.clone()].iter().map(|caption| tokenizer.encode(caption));
        let (ids, ends): (Vec<_>, Vec<_>) = encodings.map(|encoding| (encoding.ids, encoding.end)).unzip();
        texts.push(pair.text_features(&ids, &ends)?.to_host()?);
        let batch = pool.batch(&range.collect::<Vec<_>>());
        pictures.push(pair.image.forward(&T::from_host(&batch, device)?)?.to_host()?);
    }
    let joined = |parts: &[HostTensor]| HostTensor::cat_outer(&parts.iter().collect::<Vec<_>>());
    Ok((joined(&pictures), joined(&texts)))
}

/// The text encoder alone, and everything else.
pub fn split(weights: &Weights) -> (Weights, Weights) {
    let rest: Vec<_> = weights.list.iter().filter(|(path, _)| !path.starts_with("text_encoder.")).cloned().collect();
    (weights.below("text_encoder"), Weights::new(rest))
}
