//! What can be looked at inside a model: block outputs, skips, the time embedding, attention weights.
//!
//! Taps are asked for per call. A tap is named by the checkpoint's dotted path and a kind; what nobody asked for costs a
//! branch, and attention keeps its weights only when asked.

use crate::compute::Tensor;
use std::collections::BTreeMap;

/// What a tap shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TapKind {
    /// The output of the module at the path.
    Output,
    /// What a skip connection carries from the down path to the up path.
    Skip,
    /// Attention weights `[B, heads, queries, keys]`.
    Attention,
}

impl TapKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Output, Self::Skip, Self::Attention];

    /// A short name for screens and files.
    pub fn label(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Skip => "skip",
            Self::Attention => "attention",
        }
    }
}

/// Names a tap.
pub type TapKey = (String, TapKind);

enum Wanted {
    None,
    All,
    These(Vec<TapKey>),
}

/// Collects what was asked for during one forward pass.
pub struct Taps<T> {
    wanted: Wanted,
    taken: BTreeMap<TapKey, T>,
}

impl<T: Tensor> Taps<T> {
    /// Nothing is kept.
    pub fn none() -> Self {
        Self { wanted: Wanted::None, taken: BTreeMap::new() }
    }

    /// Everything is kept.
    pub fn all() -> Self {
        Self { wanted: Wanted::All, taken: BTreeMap::new() }
    }

    /// Only these are kept.
    pub fn of(keys: impl IntoIterator<Item = TapKey>) -> Self {
        Self { wanted: Wanted::These(keys.into_iter().collect()), taken: BTreeMap::new() }
    }

    /// Whether the tap was asked for.
    pub fn wants(&self, path: &str, kind: TapKind) -> bool {
        match &self.wanted {
            Wanted::None => false,
            Wanted::All => true,
            Wanted::These(keys) => keys.iter().any(|(p, k)| p == path && *k == kind),
        }
    }

    /// Keeps `tensor` if it was asked for.
    pub fn offer(&mut self, path: &str, kind: TapKind, tensor: &T) {
        if self.wants(path, kind) {
            self.taken.insert((path.to_owned(), kind), tensor.clone());
        }
    }

    /// What was kept, by name.
    pub fn taken(&self) -> &BTreeMap<TapKey, T> {
        &self.taken
    }

    /// What was kept, by name.
    pub fn into_taken(self) -> BTreeMap<TapKey, T> {
        self.taken
    }
}
