//! AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101) with a clipped gradient and a running average of the weights.
//!
//! The weights live on the host. One parallel pass over each variable updates the moments, the weight and its average in place.

use super::vars::{Index, Leaves, Variable, Weights, index_of};
use super::{Result, TrainError};
use crate::compute::Differentiable;
use crate::host::HostTensor;
use rayon::prelude::*;

/// The constants of the update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, on weights of two or more axes only.
    pub weight_decay: f64,
    /// The gradient's norm over all variables is cut to this.
    pub clip: f64,
    /// Decay of the running average of the weights.
    pub ema: f64,
}

/// Of each variable in turn its gradient, where one reaches it: what [`Differentiable::backward`] gives.
pub type Gradients = Vec<Option<Vec<f32>>>;

/// A variable with its moments and its average, all of one shape.
#[derive(Debug)]
struct Slot {
    path: String,
    weight: HostTensor,
    first: HostTensor,
    second: HostTensor,
    ema: HostTensor,
}

/// The optimizer and all that it keeps.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    index: Index,
    step: u64,
}

/// One of the tensors of a slot.
type Part = fn(&Slot) -> &HostTensor;

/// Values that are worked on at a time, so that what is made of them on the way stays in the nearest cache.
const RUN: usize = 512;

/// What one update needs to know, the same for all variables.
#[derive(Debug, Clone, Copy)]
struct Update {
    beta1: f32,
    beta2: f32,
    eps: f32,
    shrink: f32,
    rate: f32,
    root_correction: f32,
    gradient_scale: f32,
    ema: f32,
}

impl Update {
    #[inline(always)]
    fn apply(&self, weight: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], ema: &mut [f32]) {
        let Self { beta1, beta2, eps, shrink, rate, root_correction, gradient_scale, ema: keep } = *self;
        for ((((w, &g), m), v), e) in weight.iter_mut().zip(gradient).zip(first).zip(second).zip(ema) {
            let g = g * gradient_scale;
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *w = *w * shrink - rate * *m / (v.sqrt() * root_correction + eps);
            *e = keep * *e + (1.0 - keep) * *w;
        }
    }

    /// Updates one variable by the mean of `parts`.
    fn apply_all(&self, slot: &mut Slot, parts: &[&[f32]]) {
        let Slot { weight, first, second, ema, .. } = slot;
        let (weight, first, second, ema) = (weight.data_mut(), first.data_mut(), second.data_mut(), ema.data_mut());
        pulp::Arch::new().dispatch(|| {
            let mut mean = [0.0; RUN];
            let runs = weight.chunks_mut(RUN).zip(first.chunks_mut(RUN)).zip(second.chunks_mut(RUN)).zip(ema.chunks_mut(RUN));
            for (run, (((weight, first), second), ema)) in runs.enumerate() {
                self.apply(weight, mean_of(parts, run * RUN, weight.len(), &mut mean), first, second, ema);
            }
        });
    }
}

/// The mean over `parts` of the `len` values from `start`.
#[inline(always)]
fn mean_of<'a>(parts: &[&[f32]], start: usize, len: usize, mean: &'a mut [f32; RUN]) -> &'a [f32] {
    let share = 1.0 / parts.len().max(1) as f32;
    let mean = &mut mean[..len];
    mean.fill(0.0);
    for part in parts {
        mean.iter_mut().zip(&part[start..start + len]).for_each(|(mean, value)| *mean += share * value);
    }
    mean
}

/// Sum of the squares of the mean over `parts`: f32 over short runs, f64 over the runs, in a fixed order.
fn sum_of_squares(parts: &[&[f32]]) -> f64 {
    let len = parts.first().map_or(0, |part| part.len());
    pulp::Arch::new().dispatch(|| {
        let mut mean = [0.0; RUN];
        let run = |start: usize| {
            let mut lanes = [0.0_f32; 16];
            let (whole, rest) = mean_of(parts, start, RUN.min(len - start), &mut mean).as_chunks::<16>();
            for group in whole {
                for (lane, &value) in lanes.iter_mut().zip(group) {
                    *lane += value * value;
                }
            }
            rest.iter().map(|value| f64::from(value * value)).sum::<f64>() + lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
        };
        (0..len).step_by(RUN).map(run).sum()
    })
}

impl AdamW {
    /// An optimizer of `variables` at step 0; the average starts at the weights.
    pub fn new(variables: Vec<Variable>, config: AdamWConfig) -> Self {
        let index = index_of(variables.iter().map(|variable| &variable.path));
        let slots = variables.into_iter().map(|Variable { path, values }| {
            let zeros = HostTensor::full(values.shape(), 0.0);
            Slot { path, first: zeros.clone(), second: zeros, ema: values.clone(), weight: values }
        });
        Self { config, slots: slots.collect(), index, step: 0 }
    }

    /// Number of trained values.
    pub fn count(&self) -> usize {
        self.slots.iter().map(|slot| slot.weight.len()).sum()
    }

    /// Updates made so far.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// The weights as leaves that gradients are taken of, on `device`. They are to be dropped before [`Self::update`]: weights
    /// that are still shared then would be copied first.
    ///
    /// # Errors
    /// When the device refuses them.
    pub fn leaves<T: Differentiable>(&self, device: &T::Device) -> Result<Leaves<T>> {
        Leaves::indexed(self.index.clone(), self.slots.iter().map(|slot| &slot.weight), device)
    }

    /// One update with learning rate `rate` by the mean of `gradients`. Returns its norm before clipping.
    ///
    /// With moments `m, v` corrected for their start as in Adam (Kingma and Ba 2014, arXiv 1412.6980):
    /// `w <- (1 - rate * weight_decay) w - rate m / (sqrt(v) + eps)`. The average's decay is
    /// `min(ema, (1 + step) / (10 + step))`, so that the random start is soon forgotten. A gradient that is not finite changes
    /// nothing; its norm says so.
    ///
    /// # Errors
    /// When a variable has no gradient: nothing may be severed.
    pub fn update(&mut self, gradients: &[Gradients], rate: f64) -> Result<f64> {
        let parts = self.slots.iter().enumerate().map(|(at, slot)| parts_of(slot, at, gradients)).collect::<Result<Vec<_>>>()?;
        let squares: Vec<f64> = parts.par_iter().with_max_len(1).map(|parts| sum_of_squares(parts)).collect();
        let norm = squares.iter().sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        let AdamWConfig { beta1, beta2, eps, weight_decay, clip, ema } = self.config;
        self.step += 1;
        let step = self.step as f64;
        let (correction1, correction2) = (1.0 - beta1.powf(step), 1.0 - beta2.powf(step));
        let update = Update {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            eps: eps as f32,
            shrink: 1.0,
            rate: (rate / correction1) as f32,
            root_correction: (1.0 / correction2.sqrt()) as f32,
            gradient_scale: if norm > clip { (clip / norm) as f32 } else { 1.0 },
            ema: ema.min((1.0 + step) / (10.0 + step)) as f32,
        };
        let decayed = (1.0 - rate * weight_decay) as f32;
        self.slots.par_iter_mut().zip(&parts).with_max_len(1).for_each(|(slot, parts)| {
            let shrink = if slot.weight.shape().len() >= 2 { decayed } else { 1.0 };
            Update { shrink, ..update }.apply_all(slot, parts);
        });
        Ok(norm)
    }

    /// The averaged weights.
    pub fn ema(&self) -> Weights {
        Weights::new(self.slots.iter().map(|slot| (slot.path.clone(), slot.ema.clone())).collect())
    }

    /// All that a checkpoint needs: `weight.*`, `ema.*`, `first.*`, `second.*`. The values are shared, not copied: they are to
    /// be dropped before the next update.
    pub fn snapshot(&self) -> Vec<(String, HostTensor)> {
        let kinds: [(&str, Part); 4] =
            [("weight", |slot| &slot.weight), ("ema", |slot| &slot.ema), ("first", |slot| &slot.first), ("second", |slot| &slot.second)];
        let all = kinds.iter().flat_map(|(kind, part)| self.slots.iter().map(move |slot| (kind, part(slot), &slot.path)));
        all.map(|(kind, values, path)| (format!("{kind}.{path}"), values.clone())).collect()
    }

    /// Puts a [`Self::snapshot`] taken after `step` updates back.
    ///
    /// # Errors
    /// When something is missing or has another shape.
    pub fn restore(&mut self, saved: &Weights, step: u64) -> Result<()> {
        for slot in &mut self.slots {
            let part = |kind: &str| -> Result<HostTensor> {
                let path = format!("{kind}.{}", slot.path);
                let values = saved.get(&path).ok_or_else(|| TrainError::Missing(format!("the checkpoint lacks {path}")))?;
                let shape = slot.weight.shape();
                if values.shape() != shape {
                    return Err(TrainError::Missing(format!("{path} has the shape {:?} in the checkpoint, not {shape:?}", values.shape())));
                }
                Ok(values.clone())
            };
            let (weight, ema, first, second) = (part("weight")?, part("ema")?, part("first")?, part("second")?);
            (slot.weight, slot.ema, slot.first, slot.second) = (weight, ema, first, second);
        }
        self.step = step;
        Ok(())
    }
}

/// The gradients of the variable at `at` in each part.
fn parts_of<'a>(slot: &Slot, at: usize, gradients: &'a [Gradients]) -> Result<Vec<&'a [f32]>> {
    let severed = || TrainError::Missing(format!("no gradient reaches {}", slot.path));
    let part = |gradients: &'a Gradients| {
        let values = gradients.get(at).and_then(Option::as_ref).ok_or_else(severed)?;
        if values.len() != slot.weight.len() {
            return Err(TrainError::Missing(format!("the gradient of {} has {} values", slot.path, values.len())));
        }
        Ok(values.as_slice())
    };
    if gradients.is_empty() { Err(severed()) } else { gradients.iter().map(part).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, clip: 1.0, ema: 0.5 };

    fn optimizer() -> AdamW {
        let values = HostTensor::new([1, 2], vec![1.0, -2.0]).unwrap();
        AdamW::new(vec![Variable { path: "w".into(), values }], CONFIG)
    }

    #[test]
    fn one_step_is_the_formula() {
        let mut optimizer = optimizer();
        // The gradient (0.3, 0.4), the mean of two parts, has norm 0.5 and is not clipped; the first corrected step is its sign.
        let parts = [vec![Some(vec![0.1, 0.8])], vec![Some(vec![0.5, 0.0])]];
        let norm = optimizer.update(&parts, 0.01).unwrap();
        assert!((norm - 0.5).abs() < 1e-6);
        let snapshot = optimizer.snapshot();
        assert_eq!(snapshot[0].0, "weight.w");
        for (got, want) in snapshot[0].1.data().iter().zip([0.999 - 0.01, -2.0 * 0.999 - 0.01]) {
            assert!((f64::from(*got) - want).abs() < 1e-5, "{got} {want}");
        }
        // The first average keeps min(0.5, 2 / 11) of the start.
        let ema = optimizer.ema();
        let want = 2.0 / 11.0 * 1.0 + 9.0 / 11.0 * 0.989;
        assert!((f64::from(ema.list[0].1.data()[0]) - want).abs() < 1e-5);
    }

    #[test]
    fn long_variables_are_updated_to_their_end() {
        let values = HostTensor::full([3, RUN - 1], 1.0);
        let mut optimizer = AdamW::new(vec![Variable { path: "w".into(), values: values.clone() }], CONFIG);
        let norm = optimizer.update(&[vec![Some(vec![2.0; values.len()])]], 0.01).unwrap();
        assert!((norm - 2.0 * (values.len() as f64).sqrt()).abs() < 1e-3);
        assert!(optimizer.snapshot()[0].1.data().iter().all(|w| (w - 0.989).abs() < 1e-5));
    }

    #[test]
    fn weights_are_changed_where_they_are() {
        let mut optimizer = optimizer();
        let gradients = [vec![Some(vec![0.1, 0.8])]];
        optimizer.update(&gradients, 0.01).unwrap();
        let place = |optimizer: &AdamW| optimizer.slots[0].weight.data().as_ptr();
        let before = place(&optimizer);
        drop(optimizer.leaves::<crate::compute::cpu::CpuTensor>(&()).unwrap());
        optimizer.update(&gradients, 0.01).unwrap();
        assert_eq!(place(&optimizer), before);
    }

    #[test]
    fn a_severed_variable_is_an_error() {
        for gradients in [vec![], vec![vec![None]], vec![vec![Some(vec![1.0, 1.0])], vec![None]], vec![vec![Some(vec![1.0])]]] {
            assert!(optimizer().update(&gradients, 0.1).is_err());
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        let mut optimizer = optimizer();
        let before = optimizer.snapshot();
        assert!(!optimizer.update(&[vec![Some(vec![1.0, f32::NAN])]], 0.1).unwrap().is_finite());
        assert_eq!(optimizer.snapshot(), before);
    }
}
