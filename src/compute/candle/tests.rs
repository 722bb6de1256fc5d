//! Our kernels against compositions of candle's own operations: values and gradients.

use super::*;
use crate::compute::with_precision;
use crate::noise::{Stream, gaussian};
use candle_core::Var;

fn random(seed: u64, shape: &[usize]) -> Var {
    let t = <CandleTensor as Tensor>::from_host(&gaussian(seed, Stream::Init, shape), &Device::Cpu).unwrap();
    Var::from_tensor(&t).unwrap()
}

fn relative_error(a: &CandleTensor, b: &CandleTensor) -> f64 {
    let (a, b) = (a.to_host().unwrap(), b.to_host().unwrap());
    assert_eq!(a.shape(), b.shape());
    a.lincomb(1.0, &b, -1.0).norm() / b.norm().max(1e-12)
}

/// Compares two functions of the same variables: their values, and their gradients under a random projection.
fn compare(name: &str, vars: &[Var], tolerance: f64, ours: impl Fn(&[Var]) -> CandleTensor, theirs: impl Fn(&[Var]) -> CandleTensor) {
    let (a, b) = (ours(vars), theirs(vars));
    let error = relative_error(&a, &b);
    assert!(error < tolerance, "{name}: relative error {error:e}");
    let weight = random(99, a.dims());
    let loss = |y: &CandleTensor| (y * weight.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap();
    let (ga, gb) = (loss(&a), loss(&b));
    for (i, var) in vars.iter().enumerate() {
        let error = relative_error(ga.get(var).expect("our gradient"), gb.get(var).expect("their gradient"));
        assert!(error < tolerance, "{name}: gradient of operand {i}: relative error {error:e}");
    }
}

#[test]
fn convolutions() {
    for (b, c, o, side, k, geometry) in [
        (2, 5, 7, 16, 3, Conv2d::SAME_3X3),
        (1, 16, 32, 8, 3, Conv2d { stride: 2, pad_before: 1, pad_after: 1 }),
        (2, 3, 4, 12, 3, Conv2d { stride: 2, pad_before: 0, pad_after: 1 }),
        (3, 6, 5, 9, 1, Conv2d::POINTWISE),
    ] {
        let vars = [random(1, &[b, c, side, side]), random(2, &[o, c, k, k]), random(3, &[o])];
        compare(
            "conv2d",
            &vars,
            1e-5,
            |v| Tensor::conv2d(v[0].as_tensor(), v[1].as_tensor(), Some(v[2].as_tensor()), geometry).unwrap(),
            |v| composed::conv2d(&v[0], &v[1], Some(&v[2]), geometry).unwrap(),
        );
    }
}

#[test]
fn linear_layers() {
    for rows in [1, 3, 40, 700] {
        let vars = [random(1, &[rows, 70]), random(2, &[96, 70]), random(3, &[96])];
        compare(
            "linear",
            &vars,
            1e-5,
            |v| Tensor::linear(v[0].as_tensor(), &v[1], Some(&v[2])).unwrap(),
            |v| composed::linear(&v[0], &v[1], Some(&v[2]), &[rows, 96]).unwrap(),
        );
    }
}

#[test]
fn normalisations() {
    for activation in [Activation::Identity, Activation::Silu] {
        let vars = [random(1, &[2, 12, 5, 7]), random(2, &[12]), random(3, &[12])];
        compare(
            "group_norm",
            &vars,
            1e-4,
            |v| Tensor::group_norm(v[0].as_tensor(), &v[1], &v[2], 4, 1e-5, activation).unwrap(),
            |v| composed::group_norm(&v[0], &v[1], &v[2], 4, 1e-5, activation).unwrap(),
        );
    }
    let vars = [random(1, &[3, 50, 37]), random(2, &[37]), random(3, &[37])];
    compare(
        "layer_norm",
        &vars,
        1e-4,
        |v| Tensor::layer_norm(v[0].as_tensor(), &v[1], &v[2], 1e-5).unwrap(),
        |v| composed::layer_norm(&v[0], &v[1], &v[2], 1e-5).unwrap(),
    );
}

#[test]
fn attention_with_and_without_a_mask() {
    for (n, m, mask) in [(9, 9, Mask::Causal), (16, 5, Mask::None)] {
        let vars = [random(1, &[2, n, 24]), random(2, &[2, m, 24]), random(3, &[2, m, 24])];
        compare(
            "attention",
            &vars,
            1e-5,
            |v| Tensor::attention(v[0].as_tensor(), &v[1], &v[2], 3, mask, false).unwrap().0,
            |v| composed::attention(&v[0], &v[1], &v[2], 3, mask, false).unwrap().0,
        );
        let (_, ours) = Tensor::attention(vars[0].as_tensor(), &vars[1], &vars[2], 3, mask, true).unwrap();
        let (_, theirs) = composed::attention(&vars[0], &vars[1], &vars[2], 3, mask, true).unwrap();
        assert!(relative_error(&ours.unwrap(), &theirs.unwrap()) < 1e-5);
    }
}

#[test]
fn elementwise_operations() {
    for activation in [Activation::Silu, Activation::Gelu, Activation::QuickGelu] {
        compare(
            "activate",
            &[random(1, &[3, 1000])],
            1e-5,
            |v| Tensor::activate(v[0].as_tensor(), activation).unwrap(),
            |v| composed::activate(&v[0], activation).unwrap(),
        );
    }
    compare("geglu", &[random(1, &[3, 20, 64])], 1e-5, |v| v[0].geglu().unwrap(), |v| composed::geglu(&v[0]).unwrap());
    compare(
        "add",
        &[random(1, &[3, 20, 64]), random(2, &[20, 64])],
        1e-5,
        |v| Tensor::add(v[0].as_tensor(), &v[1]).unwrap(),
        |v| v[0].broadcast_add(&v[1]).unwrap(),
    );
    compare(
        "add_channels",
        &[random(1, &[3, 20, 4, 4]), random(2, &[3, 20])],
        1e-5,
        |v| v[0].add_channels(&v[1]).unwrap(),
        |v| v[0].broadcast_add(&CandleTensor::reshape(&v[1], (3, 20, 1, 1)).unwrap()).unwrap(),
    );
    compare(
        "upsample",
        &[random(1, &[2, 3, 5, 4])],
        1e-6,
        |v| v[0].upsample_nearest2x().unwrap(),
        |v| v[0].upsample_nearest2d(10, 8).unwrap(),
    );
    for axes in [[0, 2, 3, 1], [0, 3, 1, 2]] {
        compare(
            "permute",
            &[random(1, &[2, 3, 5, 4])],
            1e-6,
            |v| Tensor::permute(v[0].as_tensor(), &axes).unwrap(),
            |v| CandleTensor::permute(&v[0], axes).unwrap().contiguous().unwrap(),
        );
    }
}

#[test]
fn bf16_products_stay_close_and_keep_their_gradients() {
    let vars = [random(1, &[2, 16, 16, 16]), random(2, &[32, 16, 3, 3]), random(3, &[32])];
    compare(
        "conv2d in bf16",
        &vars,
        2e-2,
        |v| with_precision(Precision::Bf16, || Tensor::conv2d(v[0].as_tensor(), &v[1], Some(&v[2]), Conv2d::SAME_3X3).unwrap()),
        |v| composed::conv2d(&v[0], &v[1], Some(&v[2]), Conv2d::SAME_3X3).unwrap(),
    );
}

#[test]
fn misfits_are_errors_with_both_shapes() {
    let (x, w) = (random(1, &[1, 3, 8, 8]), random(2, &[4, 5, 3, 3]));
    let message = Tensor::conv2d(x.as_tensor(), &w, None, Conv2d::SAME_3X3).unwrap_err().to_string();
    assert!(message.contains("[4, 5, 3, 3]") && message.contains("[1, 3, 8, 8]"), "{message}");
    assert!(Tensor::group_norm(x.as_tensor(), &w, &w, 2, 1e-5, Activation::Silu).is_err());
    assert!(<CandleTensor as Tensor>::embedding(&random(1, &[4, 2]), &[9], 1).unwrap_err().to_string().contains("vocabulary"));
}
