//! Losses with their gradients, over plain slices on the host.
//!
//! Written in tensor operations a loss would be a dozen passes over memory. So each loss here returns its value and its
//! gradient with respect to the network's output in one parallel pass, and [`crate::compute::Differentiable::backward`] starts
//! from that gradient.

use crate::host::HostTensor;
use rayon::prelude::*;

/// The reconstruction loss `L1 + 2 MSE + L1 of the differences between neighbours / 2`, in means.
#[derive(Debug, Clone)]
pub struct Reconstruction {
    /// Mean absolute error.
    pub l1: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Mean absolute error of the differences between neighbouring pixels, across and down.
    pub edges: f64,
    /// The weighted sum.
    pub total: f64,
    /// Its gradient with respect to the output.
    pub gradient: HostTensor,
}

/// Weights of the parts of [`Reconstruction::total`].
const MSE_WEIGHT: f64 = 2.0;
const EDGES_WEIGHT: f64 = 0.5;

/// Compares a reconstruction with its target, both `[B, C, H, W]`.
///
/// # Panics
/// When the shapes differ.
pub fn reconstruction(output: &HostTensor, target: &HostTensor) -> Reconstruction {
    assert_eq!(output.shape(), target.shape(), "a reconstruction has its target's shape");
    let [.., height, width] = *output.shape() else { unreachable!("pictures have two axes of extent") };
    let plane = height * width;
    let count = output.len() as f64;
    let planes = output.len() / plane.max(1);
    let pairs = (planes * (height * width.saturating_sub(1) + height.saturating_sub(1) * width)).max(1) as f64;
    let (slope_l1, slope_mse, slope_edges) = ((1.0 / count) as f32, (2.0 * MSE_WEIGHT / count) as f32, (EDGES_WEIGHT / pairs) as f32);
    let mut gradient = vec![0.0_f32; output.len()];
    let sums: Vec<[f64; 3]> = gradient
        .par_chunks_mut(plane)
        .zip(output.data().par_chunks(plane).zip(target.data().par_chunks(plane)))
        .map(|(gradient, (output, target))| {
            let error: Vec<f32> = output.iter().zip(target).map(|(a, b)| a - b).collect();
            let mut sums = [0.0_f64; 3];
            for (row, gradient) in error.chunks(width).zip(gradient.chunks_mut(width)) {
                let (mut l1, mut mse, mut edges) = (0.0_f32, 0.0_f32, 0.0_f32);
                for (g, &e) in gradient.iter_mut().zip(row) {
                    l1 += e.abs();
                    mse += e * e;
                    *g = slope_l1 * sign(e) + slope_mse * e;
                }
                for x in 1..width {
                    let difference = row[x] - row[x - 1];
                    edges += difference.abs();
                    let slope = slope_edges * sign(difference);
                    gradient[x] += slope;
                    gradient[x - 1] -= slope;
                }
                for (sum, part) in sums.iter_mut().zip([l1, mse, edges]) {
                    *sum += f64::from(part);
                }
            }
            for y in 1..height {
                let (above, below) = (&error[(y - 1) * width..y * width], &error[y * width..(y + 1) * width]);
                let (gradient_above, gradient_below) = gradient[(y - 1) * width..(y + 1) * width].split_at_mut(width);
                let mut edges = 0.0_f32;
                for x in 0..width {
                    let difference = below[x] - above[x];
                    edges += difference.abs();
                    let slope = slope_edges * sign(difference);
                    gradient_below[x] += slope;
                    gradient_above[x] -= slope;
                }
                sums[2] += f64::from(edges);
            }
            sums
        })
        .collect();
    let total = |part: usize| sums.iter().map(|sums| sums[part]).sum::<f64>();
    let (l1, mse, edges) = (total(0) / count, total(1) / count, total(2) / pairs);
    let gradient = tensor(output.shape(), gradient);
    Reconstruction { l1, mse, edges, total: l1 + MSE_WEIGHT * mse + EDGES_WEIGHT * edges, gradient }
}

/// The Kullback-Leibler divergence of `N(mean, exp(logvar))` from `N(0, 1)`, the mean over all elements, times `weight`:
/// its value without the weight, and the gradients with respect to mean and log variance.
///
/// # Panics
/// When the shapes differ.
pub fn kl(mean: &HostTensor, logvar: &HostTensor, weight: f64) -> (f64, [HostTensor; 2]) {
    let scale = weight / mean.len().max(1) as f64;
    let value = mean
        .data()
        .iter()
        .zip(logvar.data())
        .map(|(&m, &l)| {
            let (m, l) = (f64::from(m), f64::from(l));
            0.5 * (m * m + l.exp() - 1.0 - l)
        })
        .sum::<f64>()
        / mean.len().max(1) as f64;
    let by_mean = mean.map(|m| (scale * f64::from(m)) as f32);
    let by_logvar = logvar.map(|l| (scale * 0.5 * (f64::from(l).exp() - 1.0)) as f32);
    (value, [by_mean, by_logvar])
}

/// The weighted squared error of each sample, and the gradient of their mean over the batch.
///
/// `(1 / B) sum_b weight_b mean((output_b - target_b)^2)`. Returns the unweighted errors `[B]`, the loss, the gradient.
///
/// # Panics
/// When the shapes differ.
pub fn weighted_mse(output: &HostTensor, target: &HostTensor, weights: &[f64]) -> (Vec<f64>, f64, HostTensor) {
    assert_eq!(output.shape(), target.shape(), "a prediction has its target's shape");
    let batch = weights.len();
    let size = output.len() / batch.max(1);
    let mut gradient = vec![0.0_f32; output.len()];
    let mut errors = Vec::with_capacity(batch);
    let mut loss = 0.0;
    for (index, &weight) in weights.iter().enumerate() {
        let range = index * size..(index + 1) * size;
        let slope = (2.0 * weight / (size * batch) as f64) as f32;
        let mut sum = 0.0_f64;
        for ((g, &a), &b) in gradient[range.clone()].iter_mut().zip(&output.data()[range.clone()]).zip(&target.data()[range]) {
            let error = a - b;
            sum += f64::from(error * error);
            *g = slope * error;
        }
        let error = sum / size as f64;
        loss += weight * error / batch as f64;
        errors.push(error);
    }
    (errors, loss, tensor(output.shape(), gradient))
}

/// The hinge loss of a critic whose `scores: [2 B, ..]` are those of B pictures and then of B reconstructions, and its gradient:
/// `mean(max(0, 1 - picture)) + mean(max(0, 1 + reconstruction))` (Lim and Ye 2017, arXiv 1705.02894, equation 2).
pub fn hinge(scores: &HostTensor) -> (f64, HostTensor) {
    let half = scores.len() / 2;
    let share = 1.0 / half.max(1) as f64;
    let mut gradient = vec![0.0_f32; scores.len()];
    let mut loss = 0.0;
    for (at, (g, &score)) in gradient.iter_mut().zip(scores.data()).enumerate() {
        let towards = if at < half { 1.0 } else { -1.0 };
        let missing = 1.0 - towards * f64::from(score);
        if missing > 0.0 {
            loss += share * missing;
            *g = (-towards * share) as f32;
        }
    }
    (loss, tensor(scores.shape(), gradient))
}

/// What the contrastive loss gives.
#[derive(Debug, Clone)]
pub struct Contrast {
    /// The loss.
    pub loss: f64,
    /// The share of pictures whose most similar text is theirs, or says the same.
    pub top1: f64,
    /// Gradients with respect to picture features, text features, and the logarithm of the scale.
    pub gradients: [HostTensor; 3],
}

/// The symmetric contrastive loss (Radford et al. 2021, arXiv 2103.00020, figure 3) of `pictures, texts: [B, D]`, which need
/// not have unit length: logits `exp(log_scale) cos(picture, text)`.
///
/// Items with the same `group` have equal captions: the target is spread evenly over them, so that none is pushed from its
/// own words.
///
/// # Panics
/// When the shapes differ.
pub fn contrast(pictures: &HostTensor, texts: &HostTensor, groups: &[usize], log_scale: f64) -> Contrast {
    assert_eq!(pictures.shape(), texts.shape(), "picture and text features have one shape");
    let batch = groups.len();
    let width = pictures.len() / batch.max(1);
    let (unit_pictures, picture_norms) = normalize(pictures.data(), width);
    let (unit_texts, text_norms) = normalize(texts.data(), width);
    let scale = log_scale.exp();
    let cosines: Vec<f64> = (0..batch * batch)
        .into_par_iter()
        .map(|at| dot(&unit_pictures[at / batch * width..][..width], &unit_texts[at % batch * width..][..width]))
        .collect();
    let sizes: Vec<f64> = groups.iter().map(|group| groups.iter().filter(|other| *other == group).count() as f64).collect();
    let target = |i: usize, j: usize| if groups[i] == groups[j] { 1.0 / sizes[i] } else { 0.0 };
    // Softmax over texts for each picture, and over pictures for each text.
    let log_sum = |value: &dyn Fn(usize) -> f64| {
        let top = (0..batch).map(value).fold(f64::NEG_INFINITY, f64::max);
        top + (0..batch).map(|index| (value(index) - top).exp()).sum::<f64>().ln()
    };
    let rows: Vec<f64> = (0..batch).map(|i| log_sum(&|j| scale * cosines[i * batch + j])).collect();
    let columns: Vec<f64> = (0..batch).map(|j| log_sum(&|i| scale * cosines[i * batch + j])).collect();
    let mut by_cosine = vec![0.0_f64; batch * batch];
    let (mut loss, mut by_scale) = (0.0, 0.0);
    let share = 0.5 / batch.max(1) as f64;
    for i in 0..batch {
        for j in 0..batch {
            let logit = scale * cosines[i * batch + j];
            let (row, column) = (logit - rows[i], logit - columns[j]);
            let target = target(i, j);
            loss -= share * target * (row + column);
            let slope = share * (row.exp() + column.exp() - 2.0 * target);
            by_cosine[i * batch + j] = slope * scale;
            by_scale += slope * logit;
        }
    }
    let best = |i: usize| (0..batch).max_by(|&a, &b| cosines[i * batch + a].total_cmp(&cosines[i * batch + b])).unwrap_or(i);
    let top1 = (0..batch).filter(|&i| groups[best(i)] == groups[i]).count() as f64 / batch.max(1) as f64;
    let by_pictures = unnormalize(&unit_pictures, &picture_norms, &unit_texts, width, |i, j| by_cosine[i * batch + j]);
    let by_texts = unnormalize(&unit_texts, &text_norms, &unit_pictures, width, |j, i| by_cosine[i * batch + j]);
    let gradients = [tensor(pictures.shape(), by_pictures), tensor(texts.shape(), by_texts), HostTensor::full([1], by_scale as f32)];
    Contrast { loss, top1, gradients }
}

/// The cross entropy of a softmax over `logits` at `class`, adding `weight (softmax - onehot)` to `gradient`.
pub fn cross_entropy(logits: &[f32], class: usize, weight: f32, gradient: &mut [f32]) -> f64 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - top).exp()).sum();
    for (index, (g, logit)) in gradient.iter_mut().zip(logits).enumerate() {
        let probability = (logit - top).exp() / sum;
        *g += weight * (probability - if index == class { 1.0 } else { 0.0 });
    }
    f64::from(sum.ln() + top - logits[class])
}

/// The slope of `|x|`, zero at zero.
fn sign(x: f32) -> f32 {
    if x > 0.0 {
        1.0
    } else if x < 0.0 {
        -1.0
    } else {
        0.0
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0_f32; 8];
    let ((a8, a_rest), (b8, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a8.iter().zip(b8) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(a * b)).sum::<f64>()
}

/// Rows of unit length, and their former lengths.
fn normalize(values: &[f32], width: usize) -> (Vec<f32>, Vec<f64>) {
    let norms: Vec<f64> = values.chunks(width).map(|row| dot(row, row).sqrt().max(1e-12)).collect();
    let unit = values.chunks(width).zip(&norms).flat_map(|(row, norm)| row.iter().map(move |&v| (f64::from(v) / norm) as f32)).collect();
    (unit, norms)
}

/// The gradient with respect to the rows before [`normalize`]: with `d_i = sum_j slope(i, j) other_j`,
/// `(d_i - (d_i . u_i) u_i) / norm_i`.
fn unnormalize(unit: &[f32], norms: &[f64], others: &[f32], width: usize, slope: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f32> {
    norms
        .par_iter()
        .enumerate()
        .flat_map_iter(|(i, norm)| {
            let own = &unit[i * width..][..width];
            let mut sum = vec![0.0_f32; width];
            for (j, other) in others.chunks(width).enumerate() {
                let slope = slope(i, j) as f32;
                for (sum, value) in sum.iter_mut().zip(other) {
                    *sum += slope * value;
                }
            }
            let along = dot(&sum, own) as f32;
            let norm = *norm as f32;
            sum.into_iter().zip(own).map(move |(sum, own)| (sum - along * own) / norm).collect::<Vec<_>>()
        })
        .collect()
}

pub(super) fn tensor(shape: &[usize], values: Vec<f32>) -> HostTensor {
    match HostTensor::new(shape, values) {
        Ok(tensor) => tensor,
        Err(error) => unreachable!("{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::{Stream, gaussian};

    /// Compares `gradient` with central differences of `f` at `x`, at every `stride`-th element.
    fn check(x: &HostTensor, gradient: &HostTensor, stride: usize, f: impl Fn(&HostTensor) -> f64) {
        let h = 1e-3_f32;
        for at in (0..x.len()).step_by(stride) {
            let moved = |delta: f32| {
                let mut values = x.data().to_vec();
                values[at] += delta;
                f(&tensor(x.shape(), values))
            };
            let slope = (moved(h) - moved(-h)) / f64::from(2.0 * h);
            let got = f64::from(gradient.data()[at]);
            assert!((slope - got).abs() < 2e-3 * got.abs().max(0.05), "at {at}: {slope} against {got}");
        }
    }

    #[test]
    fn reconstruction_gradient() {
        let (x, y) = (gaussian(1, Stream::Eval, [2, 3, 5, 7]), gaussian(2, Stream::Eval, [2, 3, 5, 7]));
        let loss = reconstruction(&x, &y);
        check(&x, &loss.gradient, 3, |x| reconstruction(x, &y).total);
        assert_eq!(reconstruction(&y, &y).total, 0.0);
    }

    #[test]
    fn kl_gradient_and_its_zero() {
        let (mean, logvar) = (gaussian(1, Stream::Eval, [2, 4, 3, 3]), gaussian(2, Stream::Eval, [2, 4, 3, 3]));
        let (_, [by_mean, by_logvar]) = kl(&mean, &logvar, 0.5);
        check(&mean, &by_mean, 5, |mean| 0.5 * kl(mean, &logvar, 0.5).0);
        check(&logvar, &by_logvar, 5, |logvar| 0.5 * kl(&mean, logvar, 0.5).0);
        assert_eq!(kl(&HostTensor::full([4], 0.0), &HostTensor::full([4], 0.0), 1.0).0, 0.0);
    }

    #[test]
    fn weighted_mse_gradient() {
        let (x, y) = (gaussian(1, Stream::Eval, [3, 4, 2, 2]), gaussian(2, Stream::Eval, [3, 4, 2, 2]));
        let weights = [1.0, 0.25, 0.5];
        let (_, _, gradient) = weighted_mse(&x, &y, &weights);
        check(&x, &gradient, 1, |x| weighted_mse(x, &y, &weights).1);
    }

    #[test]
    fn hinge_gradient() {
        let scores = gaussian(1, Stream::Eval, [6, 1, 3, 3]);
        let (_, gradient) = hinge(&scores);
        check(&scores, &gradient, 1, |x| hinge(x).0);
        let sure = HostTensor::from_fn([4], |at| if at < 2 { 1.5 } else { -1.5 });
        assert_eq!(hinge(&sure).0, 0.0);
        assert_eq!(hinge(&HostTensor::full([4], 0.0)).0, 2.0);
    }

    #[test]
    fn contrast_gradient() {
        let (p, t) = (gaussian(1, Stream::Eval, [5, 9]), gaussian(2, Stream::Eval, [5, 9]));
        let groups = [0, 1, 2, 1, 4];
        let Contrast { gradients: [by_pictures, by_texts, by_scale], .. } = contrast(&p, &t, &groups, 1.2);
        check(&p, &by_pictures, 1, |p| contrast(p, &t, &groups, 1.2).loss);
        check(&t, &by_texts, 1, |t| contrast(&p, t, &groups, 1.2).loss);
        let scale = HostTensor::full([1], 1.2);
        check(&scale, &by_scale, 1, |s| contrast(&p, &t, &groups, f64::from(s.data()[0])).loss);
    }

    #[test]
    fn contrast_of_matching_pairs_is_small() {
        let features = gaussian(3, Stream::Eval, [6, 32]);
        let matched = contrast(&features, &features, &[0, 1, 2, 3, 4, 5], 4.0);
        assert!(matched.loss < 1e-3 && matched.top1 == 1.0, "{} {}", matched.loss, matched.top1);
    }

    #[test]
    fn cross_entropy_gradient() {
        let logits = gaussian(4, Stream::Eval, [6]);
        let mut gradient = [0.0; 6];
        cross_entropy(logits.data(), 2, 0.7, &mut gradient);
        check(&logits, &tensor(&[6], gradient.to_vec()), 1, |x| 0.7 * cross_entropy(x.data(), 2, 0.0, &mut [0.0; 6]));
    }
}
