//! Where a model's weights come from: a checkpoint, a random start, or nothing but their shapes.
//!
//! A model asks for each weight by its dotted path, shape and initial distribution; the path is the checkpoint's name.

use super::ModelError;
use crate::compute::Tensor;
use std::sync::Mutex;

/// The distribution that a weight starts from in training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Uniform in `+-1 / sqrt(fan_in)`, PyTorch's default for linear and convolution layers.
    FanIn(usize),
    /// Gaussian with this standard deviation.
    Normal(f64),
}

/// A place that weights come from.
pub trait ParamSource<T: Tensor> {
    /// The weight at `path`, which must have `shape`.
    ///
    /// # Errors
    /// When there is no such weight or its shape differs.
    fn param(&mut self, path: &str, shape: &[usize], init: Init) -> Result<T, ModelError>;

    /// Whether there is a weight at `path`. Random sources have all.
    fn has(&self, path: &str) -> bool;
}

/// A [`ParamSource`] seen from a dotted path, as candle's `VarBuilder::pp` does it.
pub struct Params<'a, T: Tensor> {
    source: &'a Mutex<dyn ParamSource<T> + 'a>,
    path: String,
}

impl<'a, T: Tensor> Params<'a, T> {
    /// The root of `source`.
    pub fn root(source: &'a Mutex<dyn ParamSource<T> + 'a>) -> Self {
        Self { source, path: String::new() }
    }

    /// The place `name` below this one.
    pub fn pp(&self, name: impl std::fmt::Display) -> Self {
        Self { source: self.source, path: self.join(&name.to_string()) }
    }

    /// The dotted path of this place.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The weight `name` here.
    ///
    /// # Errors
    /// As [`ParamSource::param`].
    pub fn get(&self, name: &str, shape: &[usize], init: Init) -> Result<T, ModelError> {
        let path = self.join(name);
        self.source.lock().map_err(|_| ModelError::Internal("the weight source was poisoned".into()))?.param(&path, shape, init)
    }

    /// Whether there is a weight `name` here.
    pub fn has(&self, name: &str) -> bool {
        self.source.lock().is_ok_and(|source| source.has(&self.join(name)))
    }
}

/// A source that hands out shape-only tensors and counts them.
#[derive(Debug, Default)]
pub struct ShapeSource {
    /// Paths and shapes, in the order asked for.
    pub asked: Vec<(String, Vec<usize>)>,
}

impl ShapeSource {
    /// The number of parameters handed out.
    pub fn count(&self) -> usize {
        self.asked.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }
}

impl ParamSource<crate::compute::meta::Meta> for ShapeSource {
    fn param(&mut self, path: &str, shape: &[usize], _: Init) -> Result<crate::compute::meta::Meta, ModelError> {
        self.asked.push((path.to_owned(), shape.to_vec()));
        Ok(crate::compute::meta::Meta::weight(shape))
    }

    fn has(&self, _: &str) -> bool {
        true
    }
}
