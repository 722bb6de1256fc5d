//! The trained variables of a network, named by their paths, from a seeded random start.

use super::Result;
use crate::compute::Tensor as _;
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::params::{Init, ParamSource};
use crate::noise::{self, Stream};
use candle_core::{Device, Tensor, Var};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::collections::HashMap;

/// A variable and its path.
#[derive(Debug, Clone)]
pub struct NamedVar {
    /// The dotted path, the checkpoint's name.
    pub path: String,
    /// The variable.
    pub var: Var,
}

/// Hands out fresh variables to a network that is being built and remembers them.
///
/// Each starts from a stream of its own, chosen by its path, so that a network's start does not depend on the order in which
/// it asks.
#[derive(Debug)]
pub struct VarStore {
    seed: u64,
    device: Device,
    vars: Vec<NamedVar>,
    known: HashMap<String, usize>,
}

impl VarStore {
    /// An empty store; the variables will be drawn from `seed`.
    pub fn new(seed: u64, device: &Device) -> Self {
        Self { seed, device: device.clone(), vars: Vec::new(), known: HashMap::new() }
    }

    /// The variables, in the order in which they were asked for.
    pub fn into_vars(self) -> Vec<NamedVar> {
        self.vars
    }
}

/// A 64-bit hash of `path` (Fowler, Noll and Vo, FNV-1a), the same everywhere.
pub(super) fn path_hash(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Draws `len` values from `init`.
fn draw(init: Init, len: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    match init {
        Init::Zeros => vec![0.0; len],
        Init::Ones => vec![1.0; len],
        Init::FanIn(fan_in) => {
            let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
            let unit = |rng: &mut ChaCha8Rng| f64::from(rng.next_u32() >> 8) / f64::from(1_u32 << 24);
            (0..len).map(|_| ((2.0 * unit(rng) - 1.0) * bound) as f32).collect()
        }
        Init::Normal(deviation) => (0..len)
            .map(|_| {
                let draw: f64 = StandardNormal.sample(rng);
                (draw * deviation) as f32
            })
            .collect(),
    }
}

impl ParamSource<Tensor> for VarStore {
    fn param(&mut self, path: &str, shape: &[usize], init: Init) -> std::result::Result<Tensor, ModelError> {
        if let Some(&index) = self.known.get(path) {
            return Ok(self.vars[index].var.as_tensor().clone());
        }
        let mut rng = noise::rng(self.seed ^ path_hash(path), Stream::Init);
        let values = draw(init, shape.iter().product(), &mut rng);
        let var = Var::from_vec(values, shape, &self.device).map_err(|error| ModelError::Internal(format!("{path}: {error}")))?;
        let tensor = var.as_tensor().clone();
        self.known.insert(path.to_owned(), self.vars.len());
        self.vars.push(NamedVar { path: path.to_owned(), var });
        Ok(tensor)
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}

/// Weights on the host by path: what a checkpoint holds, and what a network for sampling is built from.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Path and values, in the network's order.
    pub list: Vec<(String, HostTensor)>,
    index: HashMap<String, usize>,
    device: Device,
}

impl Weights {
    /// Wraps `list`; networks built from it live on `device`.
    pub fn new(list: Vec<(String, HostTensor)>, device: &Device) -> Self {
        let index = list.iter().enumerate().map(|(index, (path, _))| (path.clone(), index)).collect();
        Self { list, index, device: device.clone() }
    }

    /// Other weights on the same device.
    pub fn with_list(&self, list: Vec<(String, HostTensor)>) -> Self {
        Self::new(list, &self.device)
    }

    /// Those whose path begins with `prefix` and a dot, without it.
    pub fn below(&self, prefix: &str) -> Self {
        let dotted = format!("{prefix}.");
        let list = self.list.iter().filter_map(|(path, values)| Some((path.strip_prefix(&dotted)?.to_owned(), values.clone()))).collect();
        self.with_list(list)
    }

    /// The weight at `path`.
    pub fn get(&self, path: &str) -> Option<&HostTensor> {
        self.index.get(path).map(|&index| &self.list[index].1)
    }

    /// Number of values in all.
    pub fn count(&self) -> usize {
        self.list.iter().map(|(_, values)| values.len()).sum()
    }

    /// Builds a network from these weights.
    ///
    /// # Errors
    /// Whatever `build` fails with: a weight that is missing or of another shape.
    pub fn build<M>(
        &self,
        build: impl FnOnce(&crate::model::params::Params<'_, Tensor>) -> std::result::Result<M, ModelError>,
    ) -> Result<M> {
        let source = std::sync::Mutex::new(self.clone());
        Ok(build(&crate::model::params::Params::root(&source))?)
    }
}

impl ParamSource<Tensor> for Weights {
    fn param(&mut self, path: &str, shape: &[usize], _: Init) -> std::result::Result<Tensor, ModelError> {
        let values = self.get(path).ok_or_else(|| ModelError::Internal(format!("there is no weight {path}")))?;
        if values.shape() != shape {
            return Err(ModelError::Internal(format!("the weight {path} has the shape {:?}, expected {shape:?}", values.shape())));
        }
        Tensor::from_host(values, &self.device).map_err(|error| ModelError::Internal(format!("{path}: {error}")))
    }

    fn has(&self, path: &str) -> bool {
        self.index.contains_key(path)
    }
}
