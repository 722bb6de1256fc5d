//! Training of the judge on renderings and on versions of them with the faults that drawn pictures have: blur, noise, the
//! autoencoder's own losses. It sees every pair of kind and colour, and never what the U-Net draws.
//!
//! Beside the questions that it is there for it is asked what is at each place of a grid, which it learns from sooner: an answer
//! about the whole picture does not say which part of it was misread.

use super::answers::Answers;
use super::augment::{Shift, spoil};
use super::losses;
use super::optimizer::AdamWConfig;
use super::record::Part;
use super::runner::{Objective, Share};
use super::scenes::{PicturePool, SIDE, below, divide, step_rng, unit};
use super::vars::{Leaves, Variable, start};
use super::{HELD_OUT, Result};
use crate::compute::{Differentiable, Precision, Tensor, with_precision};
use crate::host::HostTensor;
use crate::measure::{CELL_LOGITS, CELLS, Judge, LOGITS, Tally, Verdict, halve};
use crate::model::ModelError;
use crate::model::params::Params;
use crate::model::vae::AutoencoderKl;
use crate::noise::{self, Stream};
use crate::world::{Scene, SceneSpec};

/// AdamW as the judge is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.02, clip: 1.0, ema: 0.995 };
/// Scenes that it is trained on; other ones than those of the models that it measures.
const SCENES: u64 = 20_480;
/// The first of them.
const FIRST_SCENE: u64 = 1 << 32;
/// Of twenty scenes, so many have one object and so many two; the others have three. Two are what is hard to tell.
const OF_TWENTY: [u64; 2] = [5, 12];
/// Scenes of which it also sees what the autoencoder makes of them.
const RECONSTRUCTED: usize = 1536;
/// Weight of the answers about places.
const CELLS_WEIGHT: f32 = 0.5;
/// Side of the pictures.
const HALF: usize = SIDE / 2;

/// The judge in training.
pub struct JudgeObjective<T: Tensor> {
    pool: PicturePool,
    /// Reconstructions of the pool's first scenes, `[RECONSTRUCTED, 3, 64, 64]` in -1..1, where there is an autoencoder.
    reconstructed: Option<HostTensor>,
    seed: u64,
    batch: usize,
    device: T::Device,
    precision: Precision,
}

/// The data of a step.
#[derive(Debug)]
pub struct JudgeBatch {
    pictures: HostTensor,
    answers: Vec<Answers>,
}

impl<T: Differentiable> JudgeObjective<T> {
    /// The training of a judge, and its variables at the start. With `vae`, some of its pictures went through the autoencoder.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn new(
        vae: Option<&AutoencoderKl<T>>,
        seed: u64,
        batch: usize,
        device: &T::Device,
        precision: Precision,
    ) -> Result<(Self, Vec<Variable>)> {
        let reconstructed = vae.map(|vae| with_precision(precision, || reconstruct(vae, seed, device))).transpose()?;
        let pool = PicturePool::of((0..SCENES).map(scene).collect(), HALF);
        let objective = Self { pool, reconstructed, seed, batch, device: device.clone(), precision };
        let (_, variables) = start(seed ^ 0x6a75_6467, device, |p| objective.build(p))?;
        Ok((objective, variables))
    }
}

/// The training scene with this index.
fn scene(index: u64) -> Scene {
    let [one, two] = OF_TWENTY;
    let objects = match index % 20 {
        at if at < one => 1,
        at if at < one + two => 2,
        _ => 3,
    };
    match Scene::sample_with(FIRST_SCENE + index, SceneSpec { objects: Some(objects), ..SceneSpec::default() }) {
        Ok(scene) => scene,
        Err(error) => unreachable!("{error}"),
    }
}

/// What the autoencoder makes of the first scenes, from latents with a little noise.
fn reconstruct<T: Tensor>(vae: &AutoencoderKl<T>, seed: u64, device: &T::Device) -> Result<HostTensor> {
    let pool = PicturePool::of((0..RECONSTRUCTED as u64).map(scene).collect(), SIDE);
    let mut rng = noise::rng(seed, Stream::Train);
    let parts = (0..RECONSTRUCTED)
        .step_by(16)
        .map(|start| {
            let indices: Vec<usize> = (start..RECONSTRUCTED.min(start + 16)).collect();
            let (mean, _) = vae.encode(&T::from_host(&pool.batch(&indices), device)?)?;
            let mean = mean.to_host()?;
            let strength = 0.15 / vae.config().scaling_factor * unit(&mut rng);
            let latents = mean.lincomb(1.0, &noise::gaussian_from(&mut rng, mean.shape()), strength);
            let output = vae.decode(&T::from_host(&latents, device)?)?.to_host()?;
            Ok(halve(&output.map(|v| v.clamp(-1.0, 1.0))))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(HostTensor::cat_outer(&parts.iter().collect::<Vec<_>>()))
}

impl<T: Differentiable> Objective for JudgeObjective<T> {
    type Tensor = T;
    type Model = Judge<T>;
    type Batch = JudgeBatch;

    fn device(&self) -> &T::Device {
        &self.device
    }

    fn build(&self, p: &Params<'_, T>) -> std::result::Result<Judge<T>, ModelError> {
        Judge::new(p)
    }

    fn name(&self) -> &'static str {
        "judge"
    }

    fn fingerprint(&self) -> String {
        let (scenes, through) = (self.pool.len(), self.reconstructed.is_some());
        format!("judge, seed {}, batch {}, {LOGITS} logits and places, {scenes} scenes, reconstructions {through}", self.seed, self.batch)
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["loss", "places", "all_right"]
    }

    fn batch(&self, step: u64, _: usize) -> Result<Vec<JudgeBatch>> {
        let mut rng = step_rng(self.seed, "judge", step);
        // One in six has been through the autoencoder; the others are rendered, half of them blurred or noisy.
        let through = self.reconstructed.as_ref().map_or(0, |_| self.batch / 6);
        let indices: Vec<usize> =
            (0..self.batch).map(|at| below(&mut rng, if at < through { RECONSTRUCTED } else { self.pool.len() })).collect();
        let size = 3 * HALF * HALF;
        let mut values = Vec::with_capacity(self.batch * size);
        if let Some(reconstructed) = &self.reconstructed {
            for &index in &indices[..through] {
                values.extend_from_slice(&reconstructed.data()[index * size..(index + 1) * size]);
            }
        }
        values.extend_from_slice(self.pool.batch(&indices[through..]).data());
        let mut answers = Vec::with_capacity(self.batch);
        for (picture, &index) in values.chunks_mut(size).zip(&indices) {
            let shift = Shift::sample(&mut rng);
            shift.picture(picture, HALF);
            spoil(picture, HALF, &mut rng);
            answers.push(Answers::of(&shift.scene(self.pool.scene(index), HALF)));
        }
        let pictures = losses::tensor(&[self.batch, 3, HALF, HALF], values);
        let mut answers = answers.into_iter();
        let parts = divide(T::PARTS, &pictures).into_iter();
        Ok(parts.map(|pictures| JudgeBatch { answers: answers.by_ref().take(pictures.shape()[0]).collect(), pictures }).collect())
    }

    fn share(&self, leaves: &Leaves<T>, judge: &Judge<T>, part: JudgeBatch) -> Result<Share> {
        with_precision(self.precision, || {
            let JudgeBatch { pictures, answers } = part;
            let output = judge.forward(&T::from_host(&pictures, &self.device)?)?;
            let (logits, cells) = (output.logits.to_host()?, output.cells.to_host()?);
            let (mut by_logits, mut by_cells) = (vec![0.0; logits.len()], vec![0.0; cells.len()]);
            let share = 1.0 / answers.len() as f32;
            let (mut loss, mut of_cells) = (0.0, 0.0);
            let rows = logits.data().chunks(LOGITS).zip(by_logits.chunks_mut(LOGITS));
            let places = cells.data().chunks(CELL_LOGITS * CELLS).zip(by_cells.chunks_mut(CELL_LOGITS * CELLS));
            for (answers, ((row, by_row), (place, by_place))) in answers.iter().zip(rows.zip(places)) {
                loss += answers.cross_entropy(row, share, by_row);
                of_cells += answers.cells_cross_entropy(place, share * CELLS_WEIGHT, by_place);
            }
            let count = answers.len() as f64;
            let (loss, of_cells) = (loss / count, of_cells / count);
            let right = Verdict::read(&logits).iter().zip(&answers).filter(|(verdict, answers)| answers.are_met_by(verdict)).count();
            let by_logits = losses::tensor(logits.shape(), by_logits);
            let by_cells = losses::tensor(cells.shape(), by_cells);
            let total = loss + f64::from(CELLS_WEIGHT) * of_cells;
            let parts = [total, of_cells, right as f64 / count].map(Part::one).to_vec();
            Share::of(leaves, &[(&output.logits, &by_logits), (&output.cells, &by_cells)], parts, answers.len() as u64)
        })
    }
}

/// How often the judge is right about held-out scenes with their full captions, of one object and of two.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accuracy {
    /// About renderings of one object and of two.
    pub rendered: [Tally; 2],
    /// About what the autoencoder makes of them; nothing where there is none.
    pub reconstructed: [Tally; 2],
}

/// Measures `judge` on `count` held-out scenes of one object and as many of two.
///
/// # Errors
/// When a network fails.
pub fn accuracy<T: Tensor>(judge: &Judge<T>, vae: Option<&AutoencoderKl<T>>, count: usize, device: &T::Device) -> Result<Accuracy> {
    let mut accuracy = Accuracy::default();
    for objects in [1, 2] {
        let spec = SceneSpec { objects: Some(objects), ..SceneSpec::default() };
        let scenes: Vec<Scene> = (HELD_OUT..).filter_map(|seed| Scene::sample_with(seed, spec).ok()).take(count).collect();
        for scenes in scenes.chunks(32) {
            // A pool of its own for each batch, so that the pictures are not kept.
            let pool = PicturePool::of(scenes.to_vec(), SIDE);
            let pictures = pool.batch(&(0..scenes.len()).collect::<Vec<_>>());
            let mut versions = vec![(pictures.clone(), &mut accuracy.rendered[objects - 1])];
            if let Some(vae) = vae {
                let (mean, _) = vae.encode(&T::from_host(&pictures, device)?)?;
                let output = vae.decode(&mean)?.to_host()?.map(|v| v.clamp(-1.0, 1.0));
                versions.push((output, &mut accuracy.reconstructed[objects - 1]));
            }
            for (pictures, tally) in versions {
                let logits = judge.forward(&T::from_host(&halve(&pictures), device)?)?.logits.to_host()?;
                for (verdict, scene) in Verdict::read(&logits).iter().zip(scenes) {
                    tally.add(verdict, &scene.full_caption_with_facts().facts);
                }
            }
        }
    }
    Ok(accuracy)
}
