//! How good a whole model is: what `diffuscope eval` measures.
//!
//! Captions are the full, canonical ones of held-out scenes: three quarters of scenes with one object, the others of two objects
//! side by side. Every guidance scale starts from the same noise. Diversity is that among samples of one caption from different
//! noise: the root-mean-square difference between two of them, averaged over pairs and captions, once in the judge's features
//! and once in pixels at half size.

use super::clip::{ClipPair, retrieval};
use super::runner::{StopFlag, at_once};
use super::sampling::Painter;
use super::scenes::SIDE;
use super::vae::{Fidelity, fidelity};
use super::{HELD_OUT, Result, sheet};
use crate::compute::Tensor;
use crate::host::HostTensor;
use crate::measure::{Judge, Proportion, Retrieval, Sample, Verdict, halve, mean_pairwise_distance, saturation, score};
use crate::noise::{self, Stream};
use crate::world::{Facts, Relation, Scene, SceneSpec, render_rgb};

/// Pictures drawn at a time.
const BATCH: usize = 32;
/// Held-out scenes for reconstruction and retrieval.
const HELD_OUT_PICTURES: usize = 256;
/// Where the scenes of the captions begin, beyond those for reconstruction.
const FIRST_CAPTION: u64 = HELD_OUT + 100_000;
/// Captions and samples of each for the diversity.
const DIVERSITY: (usize, usize) = (8, 8);

/// Everything that is measured.
pub struct Subject<'a, T: Tensor> {
    /// What draws.
    pub painter: Painter<'a, T>,
    /// Retrieval's two encoders.
    pub pair: &'a ClipPair<T>,
    /// What judges.
    pub judge: &'a Judge<T>,
    /// Where to compute.
    pub device: &'a T::Device,
    /// Ends the measuring early.
    pub stop: StopFlag,
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Captions for each guidance scale.
    pub captions: usize,
    /// The guidance scales.
    pub guidance: Vec<f64>,
    /// DDIM steps.
    pub steps: usize,
}

/// Shares of pictures that get an attribute right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// All named kinds.
    pub kind: Proportion,
    /// All named colours.
    pub color: Proportion,
    /// The ground.
    pub ground: Proportion,
    /// The time of day.
    pub time: Proportion,
    /// Left and right.
    pub left_right: Proportion,
    /// As many objects as named.
    pub count: Proportion,
    /// Everything.
    pub all: Proportion,
}

/// What is said of a set of pictures.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    /// Captions of one object.
    pub one: Tally,
    /// Captions of two objects side by side.
    pub two: Tally,
    /// Diversity in the judge's features, one value a caption.
    pub feature_diversity: Sample,
    /// Diversity in pixels, one value a caption.
    pub pixel_diversity: Sample,
    /// Share of channel values beyond the range, of each picture.
    pub clipped: Sample,
    /// Mean HSV saturation of each picture.
    pub hsv: Sample,
}

/// The whole result.
#[derive(Debug, Clone)]
pub struct Report {
    /// Reconstruction.
    pub fidelity: Fidelity,
    /// Retrieval in a batch.
    pub retrieval: Retrieval,
    /// Held-out scenes for the two above.
    pub held_out: usize,
    /// The judge on renderings: the ceiling.
    pub real: Scores,
    /// The judge on what the autoencoder makes of them.
    pub reconstructed: Scores,
    /// Drawn pictures by guidance scale.
    pub guided: Vec<(f64, Scores)>,
    /// The first captions and what was drawn for them at each guidance scale, row by row.
    pub samples: Vec<HostTensor>,
}

/// Columns of [`Report::samples`].
pub const SAMPLE_COLUMNS: usize = 8;

impl Tally {
    fn add(&mut self, verdict: &Verdict, facts: &Facts) {
        let score = score(verdict, facts);
        self.kind.add(score.kind);
        self.color.add(score.color);
        self.ground.add(score.ground);
        self.time.add(score.time);
        self.left_right.add(score.left_right);
        self.count.add(score.count);
        self.all.add(Some(score.all));
    }
}

/// A caption to draw, with the scene that it is of.
struct Task {
    scene: Scene,
    text: String,
    facts: Facts,
}

/// The first held-out scenes that fit: of one object, or of two with one left of the other.
fn tasks(count: usize, objects: usize) -> Vec<Task> {
    (FIRST_CAPTION..)
        .filter_map(|seed| Scene::sample_with(seed, SceneSpec { objects: Some(objects), ..SceneSpec::default() }).ok())
        .filter_map(|scene| {
            let caption = scene.full_caption_with_facts();
            let beside = matches!(caption.facts.relation, Some(Relation::Left | Relation::Right));
            (objects == 1 || beside).then_some(Task { scene, text: caption.text, facts: caption.facts })
        })
        .take(count)
        .collect()
}

impl<T: Tensor> Subject<'_, T> {
    /// Measures; `progress(done, total)` counts pictures. `None` when it was stopped.
    ///
    /// # Errors
    /// When a network fails.
    pub fn measure(&self, plan: &Plan, mut progress: impl FnMut(usize, usize)) -> Result<Option<Report>> {
        let two = plan.captions / 4;
        let mut all = tasks(plan.captions - two, 1);
        all.extend(tasks(two, 2));
        let (captions, repeats) = DIVERSITY;
        let total = 2 * HELD_OUT_PICTURES + 2 * all.len() + plan.guidance.len() * (all.len() + captions * repeats);
        let mut done = 0;
        let mut step = |count: usize| {
            done += count;
            progress(done, total);
        };
        step(0);
        let fidelity = fidelity(self.painter.vae, HELD_OUT_PICTURES, self.device)?;
        step(HELD_OUT_PICTURES);
        let retrieval = retrieval(self.pair, self.painter.tokenizer, HELD_OUT_PICTURES, self.device)?;
        step(HELD_OUT_PICTURES);
        let (mut real, mut reconstructed) = (Scores::default(), Scores::default());
        for tasks in all.chunks(BATCH) {
            if self.stop.is_set() {
                return Ok(None);
            }
            let rendered: Vec<HostTensor> = tasks.iter().map(|task| render_rgb(&task.scene, SIDE).map(|v| 2.0 * v - 1.0)).collect();
            let pictures = stack(&rendered);
            self.judge(&pictures, tasks, &mut real)?;
            let (mean, _) = self.painter.vae.encode(&T::from_host(&pictures, self.device)?)?;
            let decoded = self.painter.vae.decode(&mean)?.to_host()?;
            self.judge(&decoded, tasks, &mut reconstructed)?;
            step(2 * tasks.len());
        }
        self.real_diversity(&all[..captions.min(all.len())], repeats, &mut real)?;
        let (mut guided, mut samples) = (Vec::new(), Vec::new());
        for &scale in &plan.guidance {
            let mut scores = Scores::default();
            for (index, tasks) in all.chunks(BATCH).enumerate() {
                let prompts: Vec<&str> = tasks.iter().map(|task| task.text.as_str()).collect();
                let Some(pictures) = self.draw(&prompts, (index * BATCH) as u64, plan.steps, scale)? else { return Ok(None) };
                self.judge(&pictures, tasks, &mut scores)?;
                if index == 0 {
                    samples.extend(sheet::unbatch(&pictures).into_iter().take(SAMPLE_COLUMNS));
                }
                step(tasks.len());
            }
            for (index, task) in all.iter().take(captions).enumerate() {
                let prompts = vec![task.text.as_str(); repeats];
                let first = 1_000_000 + (index * repeats) as u64;
                let Some(pictures) = self.draw(&prompts, first, plan.steps, scale)? else { return Ok(None) };
                self.diversity(&pictures, &mut scores)?;
                step(repeats);
            }
            guided.push((scale, scores));
        }
        Ok(Some(Report { fidelity, retrieval, held_out: HELD_OUT_PICTURES, real, reconstructed, guided, samples }))
    }

    /// Pictures for `prompts` in -1..1, not clamped; the noise of each is a function of `first` and its place. The prompts are
    /// shared out among the threads, so that each works on its own without waiting for the others.
    fn draw(&self, prompts: &[&str], first: u64, steps: usize, scale: f64) -> Result<Option<HostTensor>> {
        let config = self.painter.unet.config();
        let shape = [1, config.in_channels, config.sample_size, config.sample_size];
        let each = prompts.len().div_ceil(rayon::current_num_threads().max(1)).max(1);
        let shares: Vec<(u64, &[&str])> = (first..).step_by(each).zip(prompts.chunks(each)).collect();
        let drawn = at_once::<T, _, _>(shares, |(first, prompts)| {
            let noise: Vec<HostTensor> = (0..prompts.len() as u64).map(|at| noise::gaussian(first + at, Stream::Eval, shape)).collect();
            let start = HostTensor::cat_outer(&noise.iter().collect::<Vec<_>>());
            let latents = self.painter.latents(prompts, &start, steps, scale)?;
            latents.map(|latents| self.painter.decode(&latents)).transpose()
        })?;
        let drawn: Option<Vec<HostTensor>> = drawn.into_iter().collect();
        Ok(drawn.map(|drawn| HostTensor::cat_outer(&drawn.iter().collect::<Vec<_>>())))
    }

    fn judge(&self, pictures: &HostTensor, tasks: &[Task], scores: &mut Scores) -> Result<()> {
        for picture in sheet::unbatch(pictures) {
            let saturation = saturation(&picture)?;
            scores.clipped.add(saturation.clipped);
            scores.hsv.add(saturation.hsv);
        }
        let (logits, _) = self.read(pictures)?;
        for (verdict, task) in Verdict::read(&logits).iter().zip(tasks) {
            let tally = if task.facts.objects.len() == 1 { &mut scores.one } else { &mut scores.two };
            tally.add(verdict, &task.facts);
        }
        Ok(())
    }

    /// The judge's logits and features.
    fn read(&self, pictures: &HostTensor) -> Result<(HostTensor, HostTensor)> {
        let small = halve(&pictures.map(|v| v.clamp(-1.0, 1.0)));
        let output = self.judge.forward(&T::from_host(&small, self.device)?)?;
        Ok((output.logits.to_host()?, output.features.to_host()?))
    }

    fn diversity(&self, pictures: &HostTensor, scores: &mut Scores) -> Result<()> {
        let (_, features) = self.read(pictures)?;
        scores.feature_diversity.add(mean_pairwise_distance(&features));
        scores.pixel_diversity.add(mean_pairwise_distance(&halve(&pictures.map(|v| 0.5 * (v.clamp(-1.0, 1.0) + 1.0)))));
        Ok(())
    }

    /// The diversity of rendered scenes that fit one caption: what there is to be learned.
    fn real_diversity(&self, tasks: &[Task], repeats: usize, scores: &mut Scores) -> Result<()> {
        for (index, task) in tasks.iter().enumerate() {
            let object = task.facts.objects.first();
            let spec = SceneSpec {
                objects: Some(1),
                time: task.facts.time,
                ground: task.facts.ground,
                kind: object.map(|object| object.kind),
                color: object.and_then(|object| object.color),
                size: None,
            };
            let rendered: Vec<HostTensor> = (0..repeats as u64)
                .filter_map(|at| Scene::sample_with(FIRST_CAPTION + 1_000_000 + index as u64 * 1000 + at, spec).ok())
                .map(|scene| render_rgb(&scene, SIDE).map(|v| 2.0 * v - 1.0))
                .collect();
            if rendered.len() == repeats {
                self.diversity(&stack(&rendered), scores)?;
            }
        }
        Ok(())
    }
}

/// `[3, H, W]` each -> `[B, 3, H, W]`.
fn stack(pictures: &[HostTensor]) -> HostTensor {
    let batched: Vec<HostTensor> = pictures
        .iter()
        .map(|picture| picture.reshape([&[1], picture.shape()].concat()).unwrap_or_else(|error| unreachable!("{error}")))
        .collect();
    HostTensor::cat_outer(&batched.iter().collect::<Vec<_>>())
}
