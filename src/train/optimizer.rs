//! AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101) with a clipped gradient and a running average of the weights.
//!
//! On the CPU one parallel pass over each variable updates the moments, the weight and its average in place.

use super::vars::{NamedVar, Weights};
use super::{Result, TrainError};
use crate::compute::Tensor as _;
use crate::host::HostTensor;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, Tensor};
use rayon::prelude::*;
use std::sync::Mutex;

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

/// A variable with its moments and its average.
#[derive(Debug)]
struct Slot {
    named: NamedVar,
    first: Vec<f32>,
    second: Vec<f32>,
    ema: Vec<f32>,
    decays: bool,
}

/// The optimizer and all that it keeps.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    step: u64,
}

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
}

/// The moments, the average and the gradient of one variable, for the in-place operation on the weight itself.
struct Inplace<'a> {
    update: Update,
    gradient: &'a [f32],
    state: Mutex<(&'a mut [f32], &'a mut [f32], &'a mut [f32])>,
}

impl InplaceOp1 for Inplace<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else { candle_core::bail!("adamw: variables are f32") };
        let Some((start, end)) = layout.contiguous_offsets() else { candle_core::bail!("adamw: variables are contiguous") };
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (first, second, ema) = &mut *state;
        self.update.apply(&mut values[start..end], self.gradient, first, second, ema);
        Ok(())
    }
}

/// The mean over `gradients` of the gradient of one variable.
fn mean_gradient(named: &NamedVar, gradients: &[GradStore]) -> Result<Vec<f32>> {
    let severed = || TrainError::Missing(format!("no gradient reaches {}", named.path));
    let share = 1.0 / gradients.len().max(1) as f32;
    let mut sum: Vec<f32> = Vec::new();
    for store in gradients {
        let gradient = store.get(named.var.as_tensor()).ok_or_else(severed)?.contiguous()?;
        let (storage, layout) = gradient.storage_and_layout();
        let copy;
        let values = match (&*storage, layout.contiguous_offsets()) {
            (Storage::Cpu(storage), Some((start, end))) => &storage.as_slice::<f32>()?[start..end],
            _ => {
                copy = gradient.to_host()?;
                copy.data()
            }
        };
        if sum.is_empty() {
            sum.extend(values.iter().map(|value| share * value));
        } else {
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += share * value);
        }
    }
    if sum.is_empty() { Err(severed()) } else { Ok(sum) }
}

impl AdamW {
    /// An optimizer of `vars` at step 0; the average starts at the weights.
    ///
    /// # Errors
    /// When the variables cannot be read.
    pub fn new(vars: Vec<NamedVar>, config: AdamWConfig) -> Result<Self> {
        let slots = vars
            .into_iter()
            .map(|named| {
                let ema = named.var.as_tensor().to_host()?.data().to_vec();
                let decays = named.var.rank() >= 2;
                Ok(Slot { first: vec![0.0; ema.len()], second: vec![0.0; ema.len()], ema, decays, named })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { config, slots, step: 0 })
    }

    /// Number of trained values.
    pub fn count(&self) -> usize {
        self.slots.iter().map(|slot| slot.ema.len()).sum()
    }

    /// Updates made so far.
    pub fn step_count(&self) -> u64 {
        self.step
    }

    /// The variables and their paths.
    pub fn vars(&self) -> impl Iterator<Item = &NamedVar> {
        self.slots.iter().map(|slot| &slot.named)
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
    pub fn update(&mut self, gradients: &[GradStore], rate: f64) -> Result<f64> {
        let means = self.slots.par_iter().map(|slot| mean_gradient(&slot.named, gradients)).collect::<Result<Vec<_>>>()?;
        let squares: Vec<f64> = means.par_iter().map(|gradient| sum_of_squares(gradient)).collect();
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
        self.slots.par_iter_mut().zip(&means).with_max_len(1).try_for_each(|(slot, gradient)| -> Result<()> {
            let update = Update { shrink: if slot.decays { (1.0 - rate * weight_decay) as f32 } else { 1.0 }, ..update };
            let Slot { named, first, second, ema, .. } = slot;
            if named.var.device().is_cpu() {
                Ok(named.var.inplace_op1(&Inplace { update, gradient, state: Mutex::new((first, second, ema)) })?)
            } else {
                let mut weight = named.var.as_tensor().to_host()?.data().to_vec();
                update.apply(&mut weight, gradient, first, second, ema);
                let shape = named.var.dims().to_vec();
                Ok(named.var.set(&Tensor::from_vec(weight, shape, named.var.device())?)?)
            }
        })?;
        Ok(norm)
    }

    /// The averaged weights.
    pub fn ema(&self) -> Weights {
        self.collect(|slot| Ok(slot.ema.clone())).unwrap_or_else(|_| unreachable!("copies of host vectors do not fail"))
    }

    /// All that a checkpoint needs: `weight.*`, `ema.*`, `first.*`, `second.*`.
    ///
    /// # Errors
    /// When the variables cannot be read.
    pub fn snapshot(&self) -> Result<Vec<(String, HostTensor)>> {
        let weights = self.collect(|slot| Ok(slot.named.var.as_tensor().to_host()?.data().to_vec()))?;
        let parts = [
            ("weight", weights),
            ("ema", self.ema()),
            ("first", self.collect(|slot| Ok(slot.first.clone()))?),
            ("second", self.collect(|slot| Ok(slot.second.clone()))?),
        ];
        Ok(parts
            .into_iter()
            .flat_map(|(kind, part)| part.list.into_iter().map(move |(path, values)| (format!("{kind}.{path}"), values)))
            .collect())
    }

    /// Puts a [`Self::snapshot`] taken after `step` updates back.
    ///
    /// # Errors
    /// When something is missing or has another shape.
    pub fn restore(&mut self, saved: &Weights, step: u64) -> Result<()> {
        for slot in &mut self.slots {
            let shape = slot.named.var.dims().to_vec();
            let part = |kind: &str| -> Result<&HostTensor> {
                let path = format!("{kind}.{}", slot.named.path);
                let values = saved.get(&path).ok_or_else(|| TrainError::Missing(format!("the checkpoint lacks {path}")))?;
                if values.shape() != shape {
                    return Err(TrainError::Missing(format!("{path} has the shape {:?} in the checkpoint, not {shape:?}", values.shape())));
                }
                Ok(values)
            };
            let weight = part("weight")?;
            let (ema, first, second) = (part("ema")?.data().to_vec(), part("first")?.data().to_vec(), part("second")?.data().to_vec());
            slot.named.var.set(&Tensor::from_host(weight, slot.named.var.device())?)?;
            (slot.ema, slot.first, slot.second) = (ema, first, second);
        }
        self.step = step;
        Ok(())
    }

    fn collect(&self, values: impl Fn(&Slot) -> Result<Vec<f32>>) -> Result<Weights> {
        let list = self
            .slots
            .iter()
            .map(|slot| {
                let mut values = values(slot)?.into_iter();
                let shape = slot.named.var.dims().to_vec();
                Ok((slot.named.path.clone(), HostTensor::from_fn(shape, |_| values.next().unwrap_or_default())))
            })
            .collect::<Result<Vec<_>>>()?;
        let device = self.slots.first().map_or(candle_core::Device::Cpu, |slot| slot.named.var.device().clone());
        Ok(Weights::new(list, &device))
    }
}

/// Sum of squares: f32 over short runs, f64 over the runs, in a fixed order.
fn sum_of_squares(values: &[f32]) -> f64 {
    values
        .chunks(512)
        .map(|chunk| {
            let mut lanes = [0.0_f32; 8];
            let (whole, rest) = chunk.as_chunks::<8>();
            for group in whole {
                for (lane, &value) in lanes.iter_mut().zip(group) {
                    *lane += value * value;
                }
            }
            rest.iter().map(|value| f64::from(value * value)).sum::<f64>() + lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    const CONFIG: AdamWConfig = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.1, clip: 1.0, ema: 0.5 };

    #[test]
    fn one_step_is_the_formula() {
        let var = Var::new(&[[1.0_f32, -2.0]], &Device::Cpu).unwrap();
        let named = NamedVar { path: "w".into(), var: var.clone() };
        let mut optimizer = AdamW::new(vec![named], CONFIG).unwrap();
        // loss = 0.3 w0 + 0.4 w1: the gradient (0.3, 0.4) has norm 0.5 and is not clipped; the first corrected step is its sign.
        let slope = Tensor::new(&[[0.3_f32, 0.4]], &Device::Cpu).unwrap();
        let loss = var.as_tensor().mul(&slope).unwrap().sum_all().unwrap();
        let norm = optimizer.update(&[loss.backward().unwrap()], 0.01).unwrap();
        assert!((norm - 0.5).abs() < 1e-6);
        let w = var.as_tensor().to_host().unwrap();
        for (got, want) in w.data().iter().zip([0.999 - 0.01, -2.0 * 0.999 - 0.01]) {
            assert!((f64::from(*got) - want).abs() < 1e-5, "{got} {want}");
        }
        // The first average keeps min(0.5, 2 / 11) of the start.
        let ema = optimizer.ema();
        let want = 2.0 / 11.0 * 1.0 + 9.0 / 11.0 * 0.989;
        assert!((f64::from(ema.list[0].1.data()[0]) - want).abs() < 1e-5);
    }

    #[test]
    fn a_severed_variable_is_an_error() {
        let var = Var::new(&[1.0_f32], &Device::Cpu).unwrap();
        let other = Var::new(&[1.0_f32], &Device::Cpu).unwrap();
        let mut optimizer = AdamW::new(vec![NamedVar { path: "w".into(), var }], CONFIG).unwrap();
        let loss = other.as_tensor().sum_all().unwrap();
        assert!(optimizer.update(&[loss.backward().unwrap()], 0.1).is_err());
    }
}
