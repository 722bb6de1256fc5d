//! Training of the judge on renderings and on versions of them with the faults that drawn pictures have: blur, noise, the
//! autoencoder's own losses.

use super::losses;
use super::optimizer::AdamWConfig;
use super::record::Part;
use super::runner::{Objective, PARTS, Share};
use super::scenes::{PicturePool, SIDE, below, divide, step_rng, unit};
use super::vars::{Leaves, Variable, start};
use super::{HELD_OUT, Result};
use crate::compute::{Differentiable, Precision, Tensor, with_precision};
use crate::host::HostTensor;
use crate::measure::{Head, Judge, LOGITS, Proportion, Verdict, halve, score};
use crate::model::ModelError;
use crate::model::params::Params;
use crate::model::vae::AutoencoderKl;
use crate::noise::{self, Stream};
use crate::world::Scene;
use rand_distr::{Distribution, StandardNormal};

/// AdamW as the judge is trained.
pub const ADAMW: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.02, clip: 1.0, ema: 0.995 };
/// Scenes that it is trained on; other ones than those of the models that it measures.
const SCENES: usize = 10_240;
/// The first of them.
const FIRST_SCENE: u64 = 1 << 32;
/// Scenes of which it also sees what the autoencoder makes of them.
const RECONSTRUCTED: usize = 1024;
/// Objects whose middles are less than this apart across may be named in either order.
const TIE: f32 = 0.15;
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

/// The answers for one scene. `None`: not to be asked.
#[derive(Debug, Clone)]
struct Answers {
    count: usize,
    ground: usize,
    time: usize,
    /// Kind and colour of the leftmost and of the rightmost object.
    ends: [(usize, usize); 2],
    /// Whether these two may be told in either order.
    tied: bool,
}

impl Answers {
    fn of(scene: &Scene) -> Self {
        let mut order: Vec<usize> = (0..scene.objects.len()).collect();
        order.sort_by(|&a, &b| scene.objects[a].x.total_cmp(&scene.objects[b].x));
        let end = |at: Option<&usize>| at.map_or((0, 0), |&index| (scene.objects[index].kind.index(), scene.objects[index].color.index()));
        let across = |at: Option<&usize>| at.map_or(0.0, |&index| scene.objects[index].x);
        Self {
            count: scene.objects.len().saturating_sub(1),
            ground: scene.ground.index(),
            time: scene.time.index(),
            ends: [end(order.first()), end(order.last())],
            tied: across(order.last()) - across(order.first()) < TIE,
        }
    }

    /// Cross entropy over all heads, adding `weight` times its gradient to `gradient`.
    fn cross_entropy(&self, logits: &[f32], weight: f32, gradient: &mut [f32]) -> f64 {
        let ask = |head: Head, class: usize, gradient: &mut [f32]| {
            losses::cross_entropy(&logits[head.range()], class, weight, &mut gradient[head.range()])
        };
        let mut sum =
            ask(Head::Count, self.count, gradient) + ask(Head::Ground, self.ground, gradient) + ask(Head::Time, self.time, gradient);
        let ends = |[left, right]: [(usize, usize); 2], gradient: &mut [f32]| {
            ask(Head::LeftKind, left.0, gradient)
                + ask(Head::LeftColor, left.1, gradient)
                + ask(Head::RightKind, right.0, gradient)
                + ask(Head::RightColor, right.1, gradient)
        };
        let [left, right] = self.ends;
        let order = if self.tied {
            let mut scratch = vec![0.0; LOGITS];
            let [straight, crossed] = [[left, right], [right, left]].map(|order| ends(order, &mut scratch));
            if crossed < straight { [right, left] } else { [left, right] }
        } else {
            [left, right]
        };
        sum += ends(order, gradient);
        sum
    }
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
        let pool = PicturePool::new(FIRST_SCENE, SCENES, HALF);
        let objective = Self { pool, reconstructed, seed, batch, device: device.clone(), precision };
        let (_, variables) = start(seed ^ 0x6a75_6467, device, |p| objective.build(p))?;
        Ok((objective, variables))
    }
}

/// What the autoencoder makes of the first scenes, from latents with a little noise.
fn reconstruct<T: Tensor>(vae: &AutoencoderKl<T>, seed: u64, device: &T::Device) -> Result<HostTensor> {
    let pool = PicturePool::new(FIRST_SCENE, RECONSTRUCTED, SIDE);
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

/// Blurs with the kernel (s, 1 - 2 s, s) both ways, or not at all for s = 0. `[3, 64, 64]`.
fn blur(picture: &mut [f32], s: f32) {
    for plane in picture.chunks_mut(HALF * HALF) {
        for (step, stride) in [(1, HALF), (HALF, 1)] {
            for line in 0..HALF {
                let at = |i: usize| line * stride + i * step;
                let mut before = plane[at(0)];
                for i in 0..HALF {
                    let here = plane[at(i)];
                    let after = plane[at((i + 1).min(HALF - 1))];
                    plane[at(i)] = s * (before + after) + (1.0 - 2.0 * s) * here;
                    before = here;
                }
            }
        }
    }
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
        format!("judge, seed {}, batch {}, {} logits, reconstructions {}", self.seed, self.batch, LOGITS, self.reconstructed.is_some())
    }

    fn parts(&self) -> Vec<&'static str> {
        vec!["loss", "all_right"]
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
        for picture in values.chunks_mut(size) {
            if unit(&mut rng) < 0.35 {
                blur(picture, (unit(&mut rng) / 3.0) as f32);
            }
            if unit(&mut rng) < 0.35 {
                let strength = (0.12 * unit(&mut rng)) as f32;
                picture.iter_mut().for_each(|v| {
                    let draw: f32 = StandardNormal.sample(&mut rng);
                    *v = (*v + strength * draw).clamp(-1.0, 1.0);
                });
            }
        }
        let answers: Vec<Answers> = indices.iter().map(|&index| Answers::of(&self.pool.scene(index))).collect();
        let mut values = values.into_iter();
        let pictures = HostTensor::from_fn([self.batch, 3, HALF, HALF], |_| values.next().unwrap_or_default());
        let mut answers = answers.into_iter();
        let parts = divide(PARTS, &pictures).into_iter();
        Ok(parts.map(|pictures| JudgeBatch { answers: answers.by_ref().take(pictures.shape()[0]).collect(), pictures }).collect())
    }

    fn share(&self, leaves: &Leaves<T>, judge: &Judge<T>, part: JudgeBatch) -> Result<Share> {
        with_precision(self.precision, || {
            let JudgeBatch { pictures, answers } = part;
            let output = judge.forward(&T::from_host(&pictures, &self.device)?)?;
            let logits = output.logits.to_host()?;
            let mut gradient = vec![0.0; logits.len()];
            let share = 1.0 / answers.len() as f32;
            let mut loss = 0.0;
            for ((row, gradient), answers) in logits.data().chunks(LOGITS).zip(gradient.chunks_mut(LOGITS)).zip(&answers) {
                loss += answers.cross_entropy(row, share, gradient) / f64::from(1.0 / share);
            }
            let right = Verdict::read(&logits).iter().zip(&answers).filter(|(verdict, answers)| all_right(verdict, answers)).count();
            let gradient = losses::tensor(logits.shape(), gradient);
            let parts = [loss, right as f64 / answers.len() as f64].map(Part::one).to_vec();
            Share::of(leaves, &[(&output.logits, &gradient)], parts, answers.len() as u64)
        })
    }
}

fn all_right(verdict: &Verdict, answers: &Answers) -> bool {
    let end = |(kind, color): (crate::world::Kind, crate::world::Color)| (kind.index(), color.index());
    let seen = [end(verdict.left), end(verdict.right)];
    let ends = seen == answers.ends || (answers.tied && seen == [answers.ends[1], answers.ends[0]]);
    verdict.count == answers.count + 1 && verdict.ground.index() == answers.ground && verdict.time.index() == answers.time && ends
}

/// How often the judge is right about held-out renderings.
#[derive(Debug, Clone, Copy)]
pub struct Accuracy {
    /// Kinds, of scenes with one object.
    pub kind: Proportion,
    /// Colours, of scenes with one object.
    pub color: Proportion,
    /// Everything, of scenes with one object.
    pub one: Proportion,
    /// Everything, order included where the caption tells it, of scenes with two objects.
    pub two: Proportion,
}

/// Measures `judge` on `count` held-out scenes with their full captions.
///
/// # Errors
/// When it fails.
pub fn accuracy<T: Tensor>(judge: &Judge<T>, count: usize, device: &T::Device) -> Result<Accuracy> {
    let pool = PicturePool::new(HELD_OUT, count, HALF);
    let mut accuracy =
        Accuracy { kind: Proportion::default(), color: Proportion::default(), one: Proportion::default(), two: Proportion::default() };
    for start in (0..count).step_by(64) {
        let indices: Vec<usize> = (start..count.min(start + 64)).collect();
        let logits = judge.forward(&T::from_host(&pool.batch(&indices), device)?)?.logits.to_host()?;
        for (verdict, &index) in Verdict::read(&logits).iter().zip(&indices) {
            let facts = pool.scene(index).full_caption_with_facts().facts;
            let score = score(verdict, &facts);
            match facts.objects.len() {
                1 => {
                    accuracy.kind.add(score.kind);
                    accuracy.color.add(score.color);
                    accuracy.one.add(Some(score.all));
                }
                2 => accuracy.two.add(Some(score.all)),
                _ => {}
            }
        }
    }
    Ok(accuracy)
}
