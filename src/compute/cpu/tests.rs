//! Our kernels against candle's: values and gradients of every operation, over awkward shapes.

use super::*;
use crate::compute::candle::{self, CandleTensor};
use crate::compute::{DeviceKind, GroupNormalization, with_precision};
use crate::noise::{Stream, gaussian};
use candle_core::Device;

/// Where candle computes: on the card in a build for one, so that the same comparisons hold there.
fn theirs() -> Device {
    candle::device(if cfg!(feature = "cuda") { DeviceKind::Cuda } else { DeviceKind::Cpu }).unwrap()
}

fn relative_error(a: &HostTensor, b: &HostTensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.lincomb(1.0, b, -1.0).norm() / b.norm().max(1e-12)
}

fn value_and_gradients<T: Differentiable>(
    device: &T::Device,
    inputs: &[HostTensor],
    f: impl Fn(&[T]) -> T,
) -> (HostTensor, Vec<HostTensor>) {
    let vars: Vec<T> = inputs.iter().map(|input| T::variable(input, device).unwrap()).collect();
    let y = f(&vars);
    let value = y.to_host().unwrap();
    let weight = gaussian(99, Stream::Init, value.shape());
    let gradients = T::backward(&[(&y, &weight)], &vars.iter().collect::<Vec<_>>()).unwrap();
    let gradients = gradients.into_iter().zip(inputs).map(|(g, input)| HostTensor::new(input.shape(), g.expect("a gradient")).unwrap());
    (value, gradients.collect())
}

/// Compares a function of the same inputs in both libraries, and its gradients under a random projection.
fn compare(
    name: &str,
    inputs: &[HostTensor],
    tolerance: f64,
    ours: impl Fn(&[CpuTensor]) -> CpuTensor,
    theirs: impl Fn(&[CandleTensor]) -> CandleTensor,
) {
    let (a, ga) = value_and_gradients(&(), inputs, ours);
    let (b, gb) = value_and_gradients(&self::theirs(), inputs, theirs);
    let error = relative_error(&a, &b);
    assert!(error < tolerance, "{name}: relative error {error:e}");
    for (i, (a, b)) in ga.iter().zip(&gb).enumerate() {
        let error = relative_error(a, b);
        assert!(error < tolerance, "{name}: gradient of operand {i}: relative error {error:e}");
    }
}

fn random(seed: u64, shape: &[usize]) -> HostTensor {
    gaussian(seed, Stream::Init, shape)
}

/// Runs the same generic function on both.
macro_rules! both {
    ($name:expr, $inputs:expr, $tolerance:expr, |$v:ident| $body:expr) => {
        compare($name, $inputs, $tolerance, |$v: &[CpuTensor]| $body, |$v: &[CandleTensor]| $body)
    };
}

const HALF: Conv2d = Conv2d { stride: 2, pad_before: 1, pad_after: 1 };
const HALF_AFTER: Conv2d = Conv2d { stride: 2, pad_before: 0, pad_after: 1 };

fn convolutions(precision: Precision, tolerance: f64) {
    for (b, c, o, h, w, k, geometry) in [
        (2, 5, 7, 16, 16, 3, Conv2d::SAME_3X3),
        (1, 16, 32, 8, 8, 3, HALF),
        (2, 3, 4, 12, 12, 3, HALF_AFTER),
        (2, 3, 33, 11, 11, 3, HALF),
        (3, 6, 5, 9, 9, 1, Conv2d::POINTWISE),
        (2, 64, 64, 8, 8, 3, Conv2d::SAME_3X3),
        (1, 17, 40, 7, 13, 3, Conv2d::SAME_3X3),
        (1, 8, 64, 32, 16, 3, Conv2d::SAME_3X3),
        (4, 128, 8, 16, 16, 3, Conv2d::SAME_3X3),
        (3, 24, 40, 1, 20, 1, Conv2d::POINTWISE),
        (2, 40, 20, 16, 8, 1, Conv2d::POINTWISE),
    ] {
        let inputs = [random(1, &[b, c, h, w]), random(2, &[o, c, k, k]), random(3, &[o])];
        let name = format!("conv2d {b} {c} {o} {h} {w} {k} {geometry:?} {precision:?}");
        compare(
            &name,
            &inputs,
            tolerance,
            |v| with_precision(precision, || v[0].conv2d(&v[1], Some(&v[2]), geometry).unwrap()),
            |v| Tensor::conv2d(&v[0], &v[1], Some(&v[2]), geometry).unwrap(),
        );
    }
}

#[test]
fn convolutions_in_f32() {
    convolutions(Precision::F32, 1e-5);
}

#[test]
fn convolutions_in_halves() {
    convolutions(Precision::Split, 2e-5);
}

#[test]
fn convolutions_in_bf16() {
    convolutions(Precision::Bf16, 1e-2);
}

fn surrounded<T: Tensor>(v: &[T], geometry: Conv2d, repeat: bool, activation: Activation) -> T {
    let norm = GroupNormalization { weight: &v[3], bias: &v[4], groups: 4, eps: 1e-5, activation };
    let c =
        Convolution { norm: Some(norm), repeat, weight: &v[1], bias: Some(&v[2]), geometry, channels: Some(&v[5]), residual: Some(&v[6]) };
    v[0].convolution(&c).unwrap()
}

#[test]
fn a_convolution_with_all_around_it_is_its_parts() {
    for precision in [Precision::F32, Precision::Split, Precision::Bf16] {
        let tolerance = [1e-5, 3e-5, 1e-2][precision as usize];
        for (b, c, o, h, w, k, geometry, repeat, activation) in [
            (2, 16, 7, 16, 16, 3, Conv2d::SAME_3X3, false, Activation::Silu),
            (3, 64, 32, 8, 8, 3, Conv2d::SAME_3X3, false, Activation::Silu),
            (1, 16, 16, 6, 10, 3, Conv2d::SAME_3X3, true, Activation::Gelu),
            (2, 12, 64, 8, 8, 1, Conv2d::POINTWISE, false, Activation::Identity),
            (2, 12, 20, 1, 8, 1, Conv2d::POINTWISE, true, Activation::Identity),
            // A square: candle's own gradient of a strided convolution takes the height's remainder for the width.
            (1, 32, 33, 9, 9, 3, HALF, false, Activation::QuickGelu),
        ] {
            let side = |s: usize| geometry.output_extent(if repeat { 2 * s } else { s }, k).unwrap();
            let inputs = [
                random(1, &[b, c, h, w]),
                random(2, &[o, c, k, k]),
                random(3, &[o]),
                random(4, &[c]),
                random(5, &[c]),
                random(6, &[b, o]),
                random(7, &[b, o, side(h), side(w)]),
            ];
            compare(
                &format!("convolution {b} {c} {o} {h} {w} {k} {precision:?}"),
                &inputs,
                tolerance,
                |v| with_precision(precision, || surrounded(v, geometry, repeat, activation)),
                |v| surrounded(v, geometry, repeat, activation),
            );
        }
    }
}

/// A picture of one row is no linear layer when something is added to its channels.
#[test]
fn channels_are_added_to_pictures_of_one_row() {
    let inputs = [random(1, &[2, 6, 1, 9]), random(2, &[5, 6, 1, 1]), random(3, &[5]), random(4, &[2, 5])];
    both!("one row", &inputs, 1e-5, |v| {
        let plain = Convolution::plain(&v[1], Some(&v[2]), Conv2d::POINTWISE);
        v[0].convolution(&Convolution { channels: Some(&v[3]), ..plain }).unwrap()
    });
}

#[test]
fn linear_layers() {
    for precision in [Precision::F32, Precision::Split, Precision::Bf16] {
        let tolerance = [1e-5, 2e-5, 1e-2][precision as usize];
        for (rows, inputs, outputs) in [(1, 70, 96), (3, 5, 1), (40, 128, 1024), (700, 70, 33), (64, 512, 128)] {
            let operands = [random(1, &[rows, inputs]), random(2, &[outputs, inputs]), random(3, &[outputs]), random(4, &[rows, outputs])];
            compare(
                &format!("linear {rows} {inputs} {outputs} {precision:?}"),
                &operands,
                tolerance,
                |v| with_precision(precision, || v[0].linear_add(&v[1], Some(&v[2]), &v[3]).unwrap()),
                |v| v[0].linear_add(&v[1], Some(&v[2]), &v[3]).unwrap(),
            );
        }
    }
}

#[test]
fn normalisations() {
    for (b, c, h, w, groups) in [(2, 12, 5, 7, 3), (1, 64, 16, 16, 16), (3, 6, 9, 1, 6), (2, 8, 4, 4, 1)] {
        // Far from zero, where a variance in one pass would cancel.
        let x = random(1, &[b, c, h, w]).map(|v| v + 30.0);
        let inputs = [x, random(2, &[c]), random(3, &[c])];
        for activation in [Activation::Silu, Activation::Identity] {
            both!("group norm", &inputs, 3e-5, |v| v[0].group_norm(&v[1], &v[2], groups, 1e-5, activation).unwrap());
        }
    }
    for (rows, width) in [(5, 128), (1, 7), (33, 40)] {
        let inputs = [random(1, &[2, rows, width]), random(2, &[width]), random(3, &[width])];
        both!("layer norm", &inputs, 1e-5, |v| v[0].layer_norm(&v[1], &v[2], 1e-5).unwrap());
    }
}

#[test]
fn attention_with_and_without_mask() {
    for (b, n, m, c, heads, mask) in [
        (2, 64, 32, 128, 4, Mask::None),
        (1, 100, 70, 64, 1, Mask::None),
        (3, 9, 9, 48, 3, Mask::Causal),
        (1, 130, 130, 10, 2, Mask::Causal),
    ] {
        let inputs = [random(1, &[b, n, c]), random(2, &[b, m, c]), random(3, &[b, m, c])];
        both!("attention", &inputs, 2e-5, |v| Tensor::attention(&v[0], &v[1], &v[2], heads, mask, false).unwrap().0);
        let kept = |(_, weights): (CpuTensor, Option<CpuTensor>)| weights.unwrap().to_host().unwrap();
        let ours: Vec<CpuTensor> = inputs.iter().map(|x| CpuTensor::from_host(x, &()).unwrap()).collect();
        let theirs: Vec<CandleTensor> = inputs.iter().map(|x| CandleTensor::from_host(x, &self::theirs()).unwrap()).collect();
        let ours = kept(Tensor::attention(&ours[0], &ours[1], &ours[2], heads, mask, true).unwrap());
        let (_, theirs) = <CandleTensor as Tensor>::attention(&theirs[0], &theirs[1], &theirs[2], heads, mask, true).unwrap();
        assert!(relative_error(&ours, &theirs.unwrap().to_host().unwrap()) < 1e-5);
    }
}

#[test]
fn pointwise_operations() {
    let inputs = [random(1, &[3, 8, 5, 7]), random(2, &[3, 8])];
    for activation in [Activation::Silu, Activation::Gelu, Activation::QuickGelu] {
        both!("activation", &inputs[..1], 2e-6, |v| v[0].activate(activation).unwrap());
    }
    both!("geglu", &[random(3, &[2, 9, 20])], 2e-6, |v| v[0].geglu().unwrap());
    both!("add channels", &inputs, 1e-6, |v| v[0].add_channels(&v[1]).unwrap());
    both!("add to itself, twice", &inputs[..1], 1e-6, |v| {
        let twice = Tensor::add(&v[0], &v[0]).unwrap();
        Tensor::add(&twice, &v[0]).unwrap()
    });
    both!("add the end", &[random(1, &[4, 6, 5]), random(2, &[6, 5])], 1e-6, |v| Tensor::add(&v[0], &v[1]).unwrap());
    both!("scale", &inputs[..1], 1e-6, |v| v[0].scale(-0.3).unwrap());
    both!("mean pool", &inputs[..1], 1e-6, |v| v[0].mean_pool().unwrap());
    both!("upsample", &inputs[..1], 1e-6, |v| v[0].upsample_nearest2x().unwrap());
    both!("embedding", &[random(1, &[11, 6])], 1e-6, |v| Tensor::embedding(&v[0], &[3, 0, 10, 3, 3, 7], 2).unwrap());
}

/// A rearrangement between operations that store their results with channels last.
#[test]
fn rearrangements() {
    let (a, b) = (random(1, &[2, 3, 4, 5]), random(2, &[2, 6, 4, 5]));
    for axis in 0..4 {
        both!("narrow", std::slice::from_ref(&a), 1e-6, |v| v[0].narrow(axis, 1, 1).unwrap());
        both!("narrow after", std::slice::from_ref(&a), 1e-6, |v| v[0].upsample_nearest2x().unwrap().narrow(axis, 1, 1).unwrap());
        both!("cat with itself", std::slice::from_ref(&a), 1e-6, |v| Tensor::cat(&[&v[0], &v[0]], axis).unwrap());
    }
    both!("cat of two orders", &[a.clone(), b], 1e-6, |v| {
        let (x, y) = (v[0].upsample_nearest2x().unwrap(), v[1].upsample_nearest2x().unwrap());
        Tensor::cat(&[&x, &y, &x], 1).unwrap()
    });
    both!("tokens and back", std::slice::from_ref(&a), 1e-6, |v| {
        let x = v[0].upsample_nearest2x().unwrap();
        let tokens = Tensor::reshape(&Tensor::permute(&x, &[0, 2, 3, 1]).unwrap(), &[2, 80, 3]).unwrap();
        let tokens = tokens.activate(Activation::Silu).unwrap();
        Tensor::permute(&Tensor::reshape(&tokens, &[2, 8, 10, 3]).unwrap(), &[0, 3, 1, 2]).unwrap()
    });
    both!("permute", std::slice::from_ref(&a), 1e-6, |v| Tensor::permute(&v[0], &[3, 1, 0, 2]).unwrap());
    both!("reshape of a picture", &[a], 1e-6, |v| Tensor::reshape(&v[0].upsample_nearest2x().unwrap(), &[6, 80]).unwrap());
}

#[test]
fn misfits_are_errors() {
    let t = |shape: &[usize]| CpuTensor::from_host(&random(1, shape), &()).unwrap();
    let x = t(&[1, 4, 8, 8]);
    assert!(x.conv2d(&t(&[3, 5, 3, 3]), None, Conv2d::SAME_3X3).is_err());
    assert!(t(&[1, 4, 1, 1]).conv2d(&t(&[3, 4, 3, 3]), None, Conv2d::POINTWISE).is_err());
    assert!(x.linear(&t(&[3, 4]), None).is_err());
    assert!(t(&[2, 4]).linear(&t(&[0, 4]), None).is_err());
    assert!(x.conv2d(&t(&[3, 4, 0, 0]), None, Conv2d::POINTWISE).is_err());
    assert!(x.conv2d(&t(&[3, 4, 1, 1]), None, Conv2d::SAME_3X3).is_err());
    assert!(x.conv2d(&t(&[3, 4, 3, 3]), None, Conv2d { stride: 0, ..Conv2d::SAME_3X3 }).is_err());
    assert!(t(&[1, 4, 0, 8]).group_norm(&t(&[4]), &t(&[4]), 2, 1e-5, Activation::Silu).is_err());
    assert!(CpuTensor::attention(&t(&[1, 0, 8]), &t(&[1, 3, 8]), &t(&[1, 3, 8]), 2, Mask::None, true).is_err());
    assert!(x.narrow(1, 2, usize::MAX).is_err());
    assert!(x.group_norm(&t(&[4]), &t(&[4]), 3, 1e-5, Activation::Silu).is_err());
    assert!(x.reshape(&[3, 3]).is_err());
    assert!(x.permute(&[0, 1, 1, 2]).is_err());
    assert!(x.narrow(1, 3, 2).is_err());
    assert!(CpuTensor::embedding(&t(&[5, 3]), &[5], 1).is_err());
    assert!(Tensor::add(&x, &t(&[4, 4])).is_err());
}

#[test]
fn what_does_not_depend_has_no_gradient() {
    let (a, b) = (CpuTensor::variable(&random(1, &[3]), &()).unwrap(), CpuTensor::variable(&random(2, &[3]), &()).unwrap());
    let y = a.scale(2.0).unwrap();
    let gradients = CpuTensor::backward(&[(&y, &HostTensor::full([3], 1.0))], &[&a, &b]).unwrap();
    assert_eq!(gradients, [Some(vec![2.0; 3]), None]);
    assert!(a.detached().scale(2.0).unwrap().node().is_none());
}

/// No result depends on how work is shared out, to the bit. (Gradients do in their last bits: their sums are grouped by thread.)
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let inputs = [random(1, &[4, 16, 16, 16]), random(2, &[32, 16, 3, 3]), random(3, &[32])];
    let run = |width: usize| {
        parallel::with_width(width, || {
            let v: Vec<CpuTensor> = inputs.iter().map(|x| CpuTensor::from_host(x, &()).unwrap()).collect();
            v[0].conv2d(&v[1], Some(&v[2]), Conv2d::SAME_3X3).unwrap().to_host().unwrap()
        })
    };
    assert_eq!(run(1), run(3));
}
