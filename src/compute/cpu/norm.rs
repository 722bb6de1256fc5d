//! Group and layer normalisation with their gradients; pictures are `[row, column, channel]`.
//!
//! Means and variances are taken in two passes, so that a large mean does not cancel.

use super::vectorized;
use super::window::{Entry, repeated};

/// Rows whose values are summed in f32 before the sum goes on in f64.
const RUN: usize = 64;

/// For each channel the sum over places of the values, or of the squares of what is left after `centre` is taken away.
fn channel_sums(x: &[f32], channels: usize, centre: Option<&[f32]>) -> Vec<f64> {
    let long = long(channels, x.len());
    let mut rows = Vec::new();
    repeated(centre.unwrap_or(&[]), long / channels, &mut rows);
    let mut sums = vec![0.0_f32; long];
    let mut totals = vec![0.0_f64; channels];
    vectorized(
        #[inline(always)]
        || {
            for run in x.chunks(RUN * long) {
                sums.fill(0.0);
                for row in run.chunks(long) {
                    if centre.is_none() {
                        sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
                    } else {
                        sums.iter_mut().zip(row).zip(&rows).for_each(|((sum, v), mean)| *sum += (v - mean) * (v - mean));
                    }
                }
                for sums in sums.chunks_exact(channels) {
                    totals.iter_mut().zip(sums).for_each(|(t, &s)| *t += f64::from(s));
                }
            }
        },
    );
    totals
}

/// Values of a row of whole places that is long enough for a worthwhile loop.
fn long(channels: usize, len: usize) -> usize {
    (512 / channels).clamp(1, (len / channels).max(1)) * channels
}

/// A group normalisation of pictures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupShape {
    pub channels: usize,
    pub groups: usize,
    pub eps: f64,
}

/// Mean and reciprocal deviation of each group of one picture.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    pub mean: Vec<f32>,
    pub rstd: Vec<f32>,
}

impl GroupShape {
    fn group(&self, channel: usize) -> usize {
        channel / (self.channels / self.groups)
    }

    fn by_group(&self, sums: &[f64]) -> Vec<f64> {
        sums.chunks_exact(self.channels / self.groups).map(|group| group.iter().sum()).collect()
    }

    /// The moments of one picture.
    pub fn moments(&self, x: &[f32]) -> Moments {
        let n = (x.len() / self.groups) as f64;
        let mean: Vec<f32> = self.by_group(&channel_sums(x, self.channels, None)).iter().map(|sum| (sum / n) as f32).collect();
        let centre: Vec<f32> = (0..self.channels).map(|c| mean[self.group(c)]).collect();
        let squares = channel_sums(x, self.channels, Some(&centre));
        let rstd = self.by_group(&squares).iter().map(|sum| (1.0 / (sum / n + self.eps).sqrt()) as f32).collect();
        Moments { mean, rstd }
    }

    /// The normalisation of one picture as a scale and a shift of each channel.
    pub fn affine(&self, m: &Moments, weight: &[f32], bias: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let scale: Vec<f32> = weight.iter().enumerate().map(|(c, w)| w * m.rstd[self.group(c)]).collect();
        let shift = bias.iter().zip(&scale).enumerate().map(|(c, (b, s))| b - m.mean[self.group(c)] * s).collect();
        (scale, shift)
    }

    /// Turns `grad`, with respect to `act(scale x + shift)`, into the gradient with respect to `x`, and adds those of weight
    /// and bias to `sums`.
    pub fn pull_back(&self, x: &[f32], m: &Moments, entry: &Entry<'_>, weight: &[f32], grad: &mut [f32], sums: (&mut [f32], &mut [f32])) {
        let channels = self.channels;
        let long = long(channels, x.len());
        let times = long / channels;
        let (mut scale, mut shift) = (Vec::new(), Vec::new());
        repeated(entry.scale, times, &mut scale);
        repeated(entry.shift, times, &mut shift);
        let means: Vec<f32> = (0..channels).map(|c| m.mean[self.group(c)]).collect();
        let mut centre = Vec::new();
        repeated(&means, times, &mut centre);
        let (mut long_bias, mut long_weight) = (vec![0.0_f32; long], vec![0.0_f32; long]);
        let (mut by_bias, mut by_weight) = (vec![0.0_f32; channels], vec![0.0_f32; channels]);
        vectorized(
            #[inline(always)]
            || {
                for (x, g) in x.chunks(long).zip(grad.chunks_mut(long)) {
                    Entry::pull_back(entry.activation, &scale, &shift, x, g);
                    let sums = long_bias.iter_mut().zip(&mut long_weight);
                    for (((b, w), &g), (&x, &mean)) in sums.zip(&*g).zip(x.iter().zip(&centre)) {
                        *b += g;
                        *w += g * (x - mean);
                    }
                }
                for (short, long) in [(&mut by_bias, &long_bias), (&mut by_weight, &long_weight)] {
                    for part in long.chunks_exact(channels) {
                        short.iter_mut().zip(part).for_each(|(s, v)| *s += v);
                    }
                }
            },
        );
        for (c, sum) in by_weight.iter_mut().enumerate() {
            *sum *= m.rstd[self.group(c)];
        }
        let n = (x.len() / self.groups) as f64;
        let weighted = |sums: &[f32]| {
            let each: Vec<f64> = sums.iter().zip(weight).map(|(s, w)| f64::from(s * w)).collect();
            self.by_group(&each)
        };
        let (first, second) = (weighted(&by_bias), weighted(&by_weight));
        // dx = rstd (weight g - mean(weight g) - xhat mean(weight g xhat)), as `a g + b x + d` for each channel.
        let (mut a, mut b, mut d) = (Vec::new(), Vec::new(), Vec::new());
        for (c, w) in weight.iter().enumerate() {
            let group = self.group(c);
            let (mean, rstd) = (f64::from(m.mean[group]), f64::from(m.rstd[group]));
            let slope = -rstd * rstd * second[group] / n;
            a.push((rstd * f64::from(*w)) as f32);
            b.push(slope as f32);
            d.push((-rstd * first[group] / n - slope * mean) as f32);
        }
        let (mut rows_a, mut rows_b, mut rows_d) = (Vec::new(), Vec::new(), Vec::new());
        repeated(&a, times, &mut rows_a);
        repeated(&b, times, &mut rows_b);
        repeated(&d, times, &mut rows_d);
        vectorized(
            #[inline(always)]
            || {
                for (x, g) in x.chunks(long).zip(grad.chunks_mut(long)) {
                    for ((g, &x), ((a, b), d)) in g.iter_mut().zip(x).zip(rows_a.iter().zip(&rows_b).zip(&rows_d)) {
                        *g = a * *g + b * x + d;
                    }
                }
            },
        );
        sums.0.iter_mut().zip(&by_weight).for_each(|(s, v)| *s += v);
        sums.1.iter_mut().zip(&by_bias).for_each(|(s, v)| *s += v);
    }
}

/// `act(scale x + shift)` of one picture.
pub(crate) fn apply(x: &[f32], entry: &Entry<'_>, y: &mut [f32]) {
    let channels = entry.scale.len();
    let long = long(channels, x.len());
    let (mut scale, mut shift) = (Vec::new(), Vec::new());
    repeated(entry.scale, long / channels, &mut scale);
    repeated(entry.shift, long / channels, &mut shift);
    vectorized(
        #[inline(always)]
        || x.chunks(long).zip(y.chunks_mut(long)).for_each(|(x, y)| Entry::apply(entry.activation, &scale, &shift, x, y)),
    );
}

#[inline(always)]
fn row_sum(values: &[f32]) -> f32 {
    let (lanes, rest) = values.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for lane in lanes {
        sums.iter_mut().zip(lane).for_each(|(s, v)| *s += v);
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

#[inline(always)]
fn row_moments(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = row_sum(x) / n;
    let (lanes, rest) = x.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for lane in lanes {
        for (s, v) in sums.iter_mut().zip(lane) {
            *s += (v - mean) * (v - mean);
        }
    }
    let variance = (sums.iter().sum::<f32>()
        + rest
            .iter()
            .map(
                #[inline(always)]
                |v| (v - mean) * (v - mean),
            )
            .sum::<f32>())
        / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// Layer normalisation of rows.
pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
    let width = weight.len();
    vectorized(
        #[inline(always)]
        || {
            for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                let (mean, rstd) = row_moments(x, eps);
                for ((y, &x), (&w, &b)) in y.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
                    *y = (x - mean) * rstd * w + b;
                }
            }
        },
    );
}

/// The gradient of [`layer_norm`] with respect to `x`; those of weight and bias are added to `sums`.
pub(crate) fn layer_norm_back(
    x: &[f32],
    weight: &[f32],
    grad: &[f32],
    eps: f32,
    dx: &mut [f32],
    (by_weight, by_bias): (&mut [f32], &mut [f32]),
) {
    let width = weight.len();
    let (mut hat, mut scaled) = (vec![0.0_f32; width], vec![0.0_f32; width]);
    let mut products = vec![0.0_f32; width];
    vectorized(
        #[inline(always)]
        || {
            for ((x, g), dx) in x.chunks_exact(width).zip(grad.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
                let (mean, rstd) = row_moments(x, eps);
                for ((h, s), ((&x, &g), &w)) in hat.iter_mut().zip(&mut scaled).zip(x.iter().zip(g).zip(weight)) {
                    *h = (x - mean) * rstd;
                    *s = g * w;
                }
                products.iter_mut().zip(&hat).zip(&scaled).for_each(|((p, h), s)| *p = h * s);
                let n = width as f32;
                let (first, second) = (row_sum(&scaled) / n, row_sum(&products) / n);
                for ((dx, h), s) in dx.iter_mut().zip(&hat).zip(&scaled) {
                    *dx = rstd * (s - first - h * second);
                }
                for ((w, b), (h, &g)) in by_weight.iter_mut().zip(by_bias.iter_mut()).zip(hat.iter().zip(g)) {
                    *w += g * h;
                    *b += g;
                }
            }
        },
    );
}
