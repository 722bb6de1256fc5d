//! The trained variables of a network, named by their paths: on the host between steps, tensors within one.

use super::Result;
use crate::compute::{Differentiable, Tensor};
use crate::host::HostTensor;
use crate::model::ModelError;
use crate::model::params::{Init, ParamSource, Params};
use crate::noise::{self, Stream};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A variable on the host.
#[derive(Debug, Clone)]
pub struct Variable {
    /// The dotted path, the checkpoint's name.
    pub path: String,
    /// The values.
    pub values: HostTensor,
}

/// Puts the values of `weights` in the place of those of `variables`; weights that no variable asks for are left aside.
///
/// # Errors
/// In words, when a variable is not among them or has another shape there; some variables may then be replaced already.
pub(super) fn begin_with(variables: &mut [Variable], weights: &Weights) -> std::result::Result<(), String> {
    for Variable { path, values } in variables {
        let found = weights.get(path).ok_or_else(|| format!("has no weight {path}"))?;
        if found.shape() != values.shape() {
            return Err(format!("{path} has the shape {:?}, the network that is trained has {:?}", found.shape(), values.shape()));
        }
        *values = found.clone();
    }
    Ok(())
}

/// Where each path stands in a list.
pub(super) type Index = Arc<HashMap<String, usize>>;

/// The index of `paths`.
pub(super) fn index_of<'a>(paths: impl Iterator<Item = &'a String>) -> Index {
    Arc::new(paths.enumerate().map(|(index, path)| (path.clone(), index)).collect())
}

/// Draws fresh variables for a network that is being built and remembers them.
///
/// Each starts from a stream of its own, chosen by its path, so that a network's start does not depend on the order in which
/// it asks.
struct Start<T: Tensor> {
    seed: u64,
    device: T::Device,
    variables: Vec<Variable>,
    known: HashMap<String, T>,
}

/// A network from a random start, and its variables in the order in which it asked for them. Its tensors are constants.
///
/// # Errors
/// When it cannot be built.
pub fn start<T: Tensor, M>(
    seed: u64,
    device: &T::Device,
    build: impl FnOnce(&Params<'_, T>) -> std::result::Result<M, ModelError>,
) -> Result<(M, Vec<Variable>)> {
    let source = Mutex::new(Start::<T> { seed, device: device.clone(), variables: Vec::new(), known: HashMap::new() });
    let model = build(&Params::root(&source))?;
    Ok((model, source.into_inner().unwrap_or_else(PoisonError::into_inner).variables))
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

impl<T: Tensor> ParamSource<T> for Start<T> {
    fn param(&mut self, path: &str, shape: &[usize], init: Init) -> std::result::Result<T, ModelError> {
        if let Some(tensor) = self.known.get(path) {
            return Ok(tensor.clone());
        }
        let mut rng = noise::rng(self.seed ^ path_hash(path), Stream::Init);
        let values = draw(init, shape.iter().product(), &mut rng);
        let values = HostTensor::new(shape, values).map_err(|error| ModelError::Internal(format!("{path}: {error}")))?;
        let tensor = T::from_host(&values, &self.device)?;
        self.known.insert(path.to_owned(), tensor.clone());
        self.variables.push(Variable { path: path.to_owned(), values });
        Ok(tensor)
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}

/// The variables of one step as leaves that gradients are taken of. They may share the host's memory, so they must be gone
/// before it is changed.
#[derive(Debug, Clone)]
pub struct Leaves<T> {
    index: Index,
    tensors: Vec<T>,
}

impl<T: Differentiable> Leaves<T> {
    /// Leaves of `variables`.
    ///
    /// # Errors
    /// When the device refuses them.
    pub fn new(variables: &[Variable], device: &T::Device) -> Result<Self> {
        let values = variables.iter().map(|variable| &variable.values);
        Self::indexed(index_of(variables.iter().map(|variable| &variable.path)), values, device)
    }

    /// The same where the index is at hand.
    pub(super) fn indexed<'a>(index: Index, values: impl Iterator<Item = &'a HostTensor>, device: &T::Device) -> Result<Self> {
        let tensors = values.map(|values| Ok(T::variable(values, device)?)).collect::<Result<Vec<_>>>()?;
        Ok(Self { index, tensors })
    }

    /// The leaves, in the order of the variables.
    pub fn tensors(&self) -> Vec<&T> {
        self.tensors.iter().collect()
    }

    /// Builds a network on these leaves.
    ///
    /// # Errors
    /// Whatever `build` fails with.
    pub fn build<M>(&self, build: impl FnOnce(&Params<'_, T>) -> std::result::Result<M, ModelError>) -> Result<M> {
        let source = Mutex::new(self.clone());
        Ok(build(&Params::root(&source))?)
    }
}

impl<T: Differentiable> ParamSource<T> for Leaves<T> {
    fn param(&mut self, path: &str, shape: &[usize], _: Init) -> std::result::Result<T, ModelError> {
        let tensor = self.index.get(path).map(|&index| &self.tensors[index]);
        let tensor = tensor.ok_or_else(|| ModelError::Internal(format!("there is no variable {path}")))?;
        if tensor.shape() != shape {
            return Err(ModelError::Internal(format!("the variable {path} has the shape {:?}, expected {shape:?}", tensor.shape())));
        }
        Ok(tensor.clone())
    }

    fn has(&self, path: &str) -> bool {
        self.index.contains_key(path)
    }
}

/// Weights on the host by path: what a checkpoint holds, and what a network for sampling is built from.
#[derive(Debug, Clone)]
pub struct Weights {
    /// Path and values, in the network's order.
    pub list: Vec<(String, HostTensor)>,
    index: Index,
}

impl Weights {
    /// Wraps `list`.
    pub fn new(list: Vec<(String, HostTensor)>) -> Self {
        let index = index_of(list.iter().map(|(path, _)| path));
        Self { list, index }
    }

    /// Those whose path begins with `prefix` and a dot, without it.
    pub fn below(&self, prefix: &str) -> Self {
        let dotted = format!("{prefix}.");
        let list = self.list.iter().filter_map(|(path, values)| Some((path.strip_prefix(&dotted)?.to_owned(), values.clone()))).collect();
        Self::new(list)
    }

    /// The weight at `path`.
    pub fn get(&self, path: &str) -> Option<&HostTensor> {
        self.index.get(path).map(|&index| &self.list[index].1)
    }

    /// Number of values in all.
    pub fn count(&self) -> usize {
        self.list.iter().map(|(_, values)| values.len()).sum()
    }

    /// Builds a network from these weights on `device`.
    ///
    /// # Errors
    /// Whatever `build` fails with: a weight that is missing or of another shape.
    pub fn build<T: Tensor, M>(
        &self,
        device: &T::Device,
        build: impl FnOnce(&Params<'_, T>) -> std::result::Result<M, ModelError>,
    ) -> Result<M> {
        let source = Mutex::new(WeightSource::<T> { weights: self, device: device.clone() });
        Ok(build(&Params::root(&source))?)
    }
}

/// Weights of the host on their way to a device.
struct WeightSource<'a, T: Tensor> {
    weights: &'a Weights,
    device: T::Device,
}

impl<T: Tensor> ParamSource<T> for WeightSource<'_, T> {
    fn param(&mut self, path: &str, shape: &[usize], _: Init) -> std::result::Result<T, ModelError> {
        let values = self.weights.get(path).ok_or_else(|| ModelError::Internal(format!("there is no weight {path}")))?;
        if values.shape() != shape {
            return Err(ModelError::Internal(format!("the weight {path} has the shape {:?}, expected {shape:?}", values.shape())));
        }
        Ok(T::from_host(values, &self.device)?)
    }

    fn has(&self, path: &str) -> bool {
        self.weights.index.contains_key(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_takes_what_fits_and_names_what_does_not() {
        let variable = |path: &str| Variable { path: path.into(), values: HostTensor::full([2, 3], 0.0) };
        let weights = |list: &[(&str, [usize; 2])]| {
            Weights::new(list.iter().map(|(path, shape)| ((*path).to_owned(), HostTensor::full(*shape, 7.0))).collect())
        };
        let mut variables = vec![variable("a"), variable("b")];
        begin_with(&mut variables, &weights(&[("b", [2, 3]), ("more", [1, 1]), ("a", [2, 3])])).unwrap();
        assert!(variables.iter().all(|v| v.values.data() == [7.0; 6]));
        let lacks = begin_with(&mut variables, &weights(&[("a", [2, 3])])).unwrap_err();
        assert!(lacks.contains("no weight b"), "{lacks}");
        let other = begin_with(&mut variables, &weights(&[("a", [3, 2]), ("b", [2, 3])])).unwrap_err();
        assert!(other.contains("[3, 2]") && other.contains("[2, 3]"), "{other}");
    }
}
