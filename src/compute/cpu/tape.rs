//! How a tensor was made, and the walk back along it.

use super::buffer::Buffer;
use super::{CpuTensor, vectorized};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Values in the order in which the tensor that they belong to is stored.
pub(super) type Gradient = Arc<Buffer>;

/// Takes the gradient of a result to those of what it was made of; none where none is wanted.
pub(super) type Backward = Box<dyn Fn(&Gradient) -> Vec<Option<Gradient>> + Send + Sync>;

/// A step of a computation. Numbers grow along it, so walking from large to small meets every result before its origins.
pub(super) struct Node {
    id: u64,
    parents: Vec<CpuTensor>,
    backward: Option<Backward>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Node {
    /// A variable.
    pub fn leaf() -> Self {
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), parents: Vec::new(), backward: None }
    }

    /// A result of `parents`.
    pub fn result(parents: Vec<CpuTensor>, backward: Backward) -> Self {
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), parents, backward: Some(backward) }
    }
}

/// Adds `more` to what is there.
fn accumulate(sums: &mut HashMap<u64, Gradient>, id: u64, more: Gradient) {
    match sums.entry(id) {
        std::collections::hash_map::Entry::Vacant(entry) => _ = entry.insert(more),
        std::collections::hash_map::Entry::Occupied(mut entry) => {
            let sum = entry.get_mut();
            // Whichever of the two nobody else holds takes the sum.
            if Arc::get_mut(sum).is_none() {
                let theirs = std::mem::replace(sum, more);
                let values = Arc::try_unwrap(std::mem::replace(sum, Arc::new(Buffer::any(0))));
                let mut values = values.unwrap_or_else(|shared| Buffer::copy(&shared));
                add_into(&mut values, &theirs);
                *sum = Arc::new(values);
            } else if let Some(values) = Arc::get_mut(sum) {
                add_into(values, &more);
            }
        }
    }
}

fn add_into(sum: &mut [f32], more: &[f32]) {
    vectorized(
        #[inline(always)]
        || sum.iter_mut().zip(more).for_each(|(s, m)| *s += m),
    );
}

/// Walks back from `outputs` with their gradients; what reaches each of `variables`.
pub(super) fn walk(outputs: Vec<(&CpuTensor, Gradient)>, variables: &[&CpuTensor]) -> Vec<Option<Gradient>> {
    let mut steps: Vec<&Node> = Vec::new();
    let mut known = std::collections::HashSet::new();
    let mut open: Vec<&Node> = outputs.iter().filter_map(|(tensor, _)| tensor.node()).collect();
    while let Some(node) = open.pop() {
        if known.insert(node.id) {
            steps.push(node);
            open.extend(node.parents.iter().filter_map(CpuTensor::node));
        }
    }
    steps.sort_by_key(|node| std::cmp::Reverse(node.id));
    let mut sums = HashMap::new();
    for (tensor, gradient) in outputs {
        if let Some(node) = tensor.node() {
            accumulate(&mut sums, node.id, gradient);
        }
    }
    for node in steps {
        let Some(backward) = &node.backward else { continue };
        let Some(gradient) = sums.remove(&node.id) else { continue };
        let gradients = backward(&gradient);
        drop(gradient);
        debug_assert_eq!(gradients.len(), node.parents.len());
        for (parent, gradient) in node.parents.iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent.node(), gradient) {
                accumulate(&mut sums, node.id, gradient);
            }
        }
    }
    variables.iter().map(|variable| variable.node().and_then(|node| sums.get(&node.id).cloned())).collect()
}
