//! How good a whole model is: what `diffuscope eval` measures.
//!
//! Captions are the full, canonical ones of held-out scenes, in sets that are reported apart ([`Set`]): of one object, of two side
//! by side, of one whose pair of kind and colour was held out. Every guidance scale starts from the same noise. Diversity is that among samples of one caption from different
//! noise: the root-mean-square difference between two of them, averaged over pairs and captions, once in the judge's features
//! and once in pixels at half size.

use super::clip::{Binding, ClipPair, binding, retrieval};
use super::runner::{StopFlag, at_once};
use super::sampling::Painter;
use super::scenes::SIDE;
use super::tasks::{Set, Task};
use super::vae::{Fidelity, fidelity};
use super::{Result, sheet};
use crate::compute::Tensor;
use crate::host::HostTensor;
use crate::measure::{Judge, Retrieval, Sample, Tally, Verdict, halve, mean_pairwise_distance, saturation};
use crate::noise::{self, Stream};
use crate::world::render_rgb;
use std::collections::BTreeMap;

/// Pictures drawn at a time.
const BATCH: usize = 32;
/// Held-out scenes for reconstruction and retrieval.
const HELD_OUT_PICTURES: usize = 256;
/// Captions and samples of each for the diversity.
const DIVERSITY: (usize, usize) = (8, 8);
/// Of each set, the captions whose pictures are shown for every guidance scale: the columns of [`Report::sheet`].
const SHEET: [usize; 3] = [6, 4, 0];
/// Of each set, the captions whose pictures are shown for the best one: [`Report::samples`].
const SAMPLES: [usize; 3] = [60, 40, 0];

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
    /// Captions of each set for each guidance scale, in the order of [`Set::ALL`].
    pub captions: [usize; 3],
    /// The guidance scales.
    pub guidance: Vec<f64>,
    /// DDIM steps.
    pub steps: usize,
}

/// What is said of a set of pictures.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    /// Adherence by set, in the order of [`Set::ALL`].
    pub tallies: [Tally; 3],
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
    /// Telling scenes from their twins.
    pub binding: Binding,
    /// Held-out scenes for the three above.
    pub held_out: usize,
    /// The judge on renderings: the ceiling.
    pub real: Scores,
    /// The judge on what the autoencoder makes of them.
    pub reconstructed: Scores,
    /// Drawn pictures by guidance scale.
    pub guided: Vec<(f64, Scores)>,
    /// The first captions at each guidance scale, row by row, [`Self::sheet_columns`] in a row.
    pub sheet: Vec<HostTensor>,
    /// Pictures in a row of the sheet.
    pub sheet_columns: usize,
    /// The guidance scale at which most captions of one object and of two are met, the mean of both; of equal ones the smallest.
    pub best: f64,
    /// Unselected captions and what was drawn for them at that scale.
    pub samples: Vec<(String, HostTensor)>,
}

impl Scores {
    /// The tally of a set.
    pub fn tally(&self, set: Set) -> &Tally {
        &self.tallies[set as usize]
    }

    /// The mean share of captions of which everything is right, of one object and of two.
    fn adherence(&self) -> f64 {
        let shares: Vec<f64> = [Set::One, Set::Two].into_iter().map(|set| self.tally(set).all.value()).filter(|v| !v.is_nan()).collect();
        shares.iter().sum::<f64>() / shares.len().max(1) as f64
    }
}

/// Of each set the first so many of `tasks`.
fn firsts(tasks: &[Task], counts: [usize; 3]) -> Vec<usize> {
    let of = |set: Set| (0..tasks.len()).filter(move |&at| tasks[at].set == set).take(counts[set as usize]);
    Set::ALL.into_iter().flat_map(of).collect()
}

impl<T: Tensor> Subject<'_, T> {
    /// Measures; `progress(done, total)` counts pictures. `None` when it was stopped.
    ///
    /// # Errors
    /// When a network fails.
    pub fn measure(&self, plan: &Plan, mut progress: impl FnMut(usize, usize)) -> Result<Option<Report>> {
        let all: Vec<Task> = Set::ALL.into_iter().zip(plan.captions).flat_map(|(set, count)| set.tasks(count)).collect();
        let (in_sheet, in_samples) = (firsts(&all, SHEET), firsts(&all, SAMPLES));
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
        let binding = binding(self.pair, self.painter.tokenizer, HELD_OUT_PICTURES / 2, self.device)?;
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
        let (mut guided, mut sheet, mut samples): (Vec<(f64, Scores)>, _, _) = (Vec::new(), Vec::new(), Vec::new());
        let mut best = None;
        for &scale in &plan.guidance {
            let (mut scores, mut kept) = (Scores::default(), BTreeMap::new());
            for (start, tasks) in (0..).step_by(BATCH).zip(all.chunks(BATCH)) {
                let prompts: Vec<(&str, u64)> = tasks.iter().map(|task| (task.text.as_str(), task.seed)).collect();
                let Some(pictures) = self.draw(&prompts, plan.steps, scale)? else { return Ok(None) };
                self.judge(&pictures, tasks, &mut scores)?;
                let shown = (start..).zip(sheet::unbatch(&pictures)).filter(|(at, _)| in_sheet.contains(at) || in_samples.contains(at));
                kept.extend(shown);
                step(tasks.len());
            }
            for task in all.iter().take(captions) {
                let prompts: Vec<(&str, u64)> = task.repeats(repeats).map(|seed| (task.text.as_str(), seed)).collect();
                let Some(pictures) = self.draw(&prompts, plan.steps, scale)? else { return Ok(None) };
                self.diversity(&pictures, &mut scores)?;
                step(repeats);
            }
            sheet.extend(in_sheet.iter().filter_map(|at| kept.get(at).cloned()));
            let adherence = scores.adherence();
            if best.is_none_or(|(_, most)| adherence > most) {
                best = Some((scale, adherence));
                samples = in_samples.iter().filter_map(|&at| Some((all[at].text.clone(), kept.get(&at)?.clone()))).collect();
            }
            guided.push((scale, scores));
        }
        let (best, _) = best.unwrap_or_default();
        let (held_out, sheet_columns) = (HELD_OUT_PICTURES, in_sheet.len());
        Ok(Some(Report { fidelity, retrieval, binding, held_out, real, reconstructed, guided, sheet, sheet_columns, best, samples }))
    }

    /// Pictures for `prompts` in -1..1, not clamped, each from the noise of its seed. The prompts are shared out among the
    /// threads, so that each works on its own without waiting for the others.
    fn draw(&self, prompts: &[(&str, u64)], steps: usize, scale: f64) -> Result<Option<HostTensor>> {
        let config = self.painter.unet.config();
        let shape = [1, config.in_channels, config.sample_size, config.sample_size];
        let each = prompts.len().div_ceil(rayon::current_num_threads().max(1)).max(1);
        let drawn = at_once::<T, _, _>(prompts.chunks(each).collect(), |share: &[(&str, u64)]| {
            let noise: Vec<HostTensor> = share.iter().map(|(_, seed)| noise::gaussian(*seed, Stream::Eval, shape)).collect();
            let start = HostTensor::cat_outer(&noise.iter().collect::<Vec<_>>());
            let prompts: Vec<&str> = share.iter().map(|(prompt, _)| *prompt).collect();
            let latents = self.painter.latents(&prompts, &start, steps, scale)?;
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
            scores.tallies[task.set as usize].add(verdict, &task.facts);
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
        for task in tasks {
            let scenes = task.repeats(repeats).filter_map(|seed| task.rendering(seed));
            let rendered: Vec<HostTensor> = scenes.map(|scene| render_rgb(&scene, SIDE).map(|v| 2.0 * v - 1.0)).collect();
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
