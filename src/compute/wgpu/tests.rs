//! The kernels against those of the processor: every operation, over awkward shapes drawn at random from a fixed seed, in
//! single and, where the adapter has it, in half precision.

use super::kernels::{Dialect, Kernel};
use super::*;
use crate::compute::GroupNormalization;
use crate::compute::cpu::CpuTensor;
use crate::host::{f32_to_half, half_to_f32};
use crate::noise::{Stream, gaussian, rng};
use eframe::egui_wgpu::wgpu::naga;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::ops::RangeInclusive;
use std::sync::OnceLock;

/// The devices that the tests share: the adapter's own, in each precision that it has, without its subgroups, and with 3x3
/// convolutions by either way.
fn devices() -> &'static [WgpuDevice] {
    static DEVICES: OnceLock<Vec<WgpuDevice>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let single = WgpuDevice::open(0, Storage::F32).unwrap();
        let half = single.card().has_f16.then(|| WgpuDevice::open(0, Storage::F16).unwrap());
        let by_winograd = |storage, subgroups| {
            let device = WgpuDevice::open_anew(0, storage, subgroups).unwrap();
            device.convolve_by(Convolving::Winograd);
            device
        };
        let half_by_winograd = half.is_some().then(|| by_winograd(Storage::F16, true));
        [single, by_winograd(Storage::F32, false)].into_iter().chain(half).chain(half_by_winograd).collect()
    })
}

fn random(seed: u64, shape: &[usize]) -> HostTensor {
    gaussian(seed, Stream::Init, shape)
}

/// Awkward extents, the same ones in every run.
struct Dice(ChaCha8Rng);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(rng(seed, Stream::Eval))
    }

    fn of(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.random_range(range)
    }
}

fn relative_error(a: &HostTensor, b: &HostTensor) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.lincomb(1.0, b, -1.0).norm() / b.norm().max(1e-12)
}

/// What half precision may be off by, where single precision may be off by `single`.
fn tolerance(storage: Storage, single: f64) -> f64 {
    match storage {
        Storage::F32 => single,
        Storage::F16 => single.max(2e-3),
    }
}

/// Compares a function of the same inputs on both devices.
fn compare(
    name: &str,
    inputs: &[HostTensor],
    single: f64,
    on_cpu: impl Fn(&[CpuTensor]) -> CpuTensor,
    on_wgpu: impl Fn(&[WgpuTensor]) -> WgpuTensor,
) {
    for device in devices() {
        let storage = device.storage();
        let inputs: Vec<HostTensor> = match storage {
            Storage::F32 => inputs.to_vec(),
            // What is put in has no more digits than what is stored.
            Storage::F16 => inputs.iter().map(|input| input.map(|v| half_to_f32(f32_to_half(v)))).collect(),
        };
        let theirs: Vec<_> = inputs.iter().map(|input| CpuTensor::from_host(input, &()).unwrap()).collect();
        let ours: Vec<_> = inputs.iter().map(|input| WgpuTensor::from_host(input, device).unwrap()).collect();
        let (expected, got) = (on_cpu(&theirs).to_host().unwrap(), on_wgpu(&ours).to_host().unwrap());
        let error = relative_error(&got, &expected);
        let how = device.convolving();
        assert!(error < tolerance(storage, single), "{name}, {storage:?}, {how:?}: relative error {error:e}");
    }
}

/// Runs the same generic function on both.
macro_rules! both {
    ($name:expr, $inputs:expr, $tolerance:expr, |$v:ident| $body:expr) => {
        compare(&$name, $inputs, $tolerance, |$v: &[CpuTensor]| $body, |$v: &[WgpuTensor]| $body)
    };
}

/// What a kernel has to be before any driver sees it, in either precision; the driver is not asked.
#[test]
fn every_kernel_is_valid() {
    let capabilities = naga::valid::Capabilities::SHADER_FLOAT16
        | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32
        | naga::valid::Capabilities::SUBGROUP;
    for &kernel in Kernel::ALL {
        for (storage, subgroups) in [(Storage::F32, false), (Storage::F32, true), (Storage::F16, false), (Storage::F16, true)] {
            let dialect = Dialect { storage, subgroups };
            let source = kernel.source(dialect);
            let module = naga::front::wgsl::parse_str(&source)
                .unwrap_or_else(|e| panic!("{} in {dialect:?}: {}", kernel.name(), e.emit_to_string(&source)));
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
                .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
                .subgroup_operations(naga::valid::SubgroupOperationSet::all())
                .validate(&module)
                .unwrap_or_else(|e| panic!("{} in {dialect:?}: {}", kernel.name(), e.emit_to_string(&source)));
            // The table says how many buffers there are between the parameters and the result.
            let bound = module.global_variables.iter().filter(|(_, variable)| variable.binding.is_some()).count();
            assert_eq!(bound, kernel.inputs() + 2, "{}", kernel.name());
        }
    }
}

/// Each file says what it takes, how it lies in memory, how it is dispatched and what it is held against.
#[test]
fn every_kernel_has_its_header_and_every_file_is_in_the_table() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".wgsl").map(str::to_owned))
        .collect();
    files.sort();
    let mut names: Vec<&str> = Kernel::ALL.iter().map(|kernel| kernel.name()).collect();
    names.sort_unstable();
    assert_eq!(files, names);
    for name in names {
        let text = std::fs::read_to_string(folder.join(format!("{name}.wgsl"))).unwrap();
        for part in ["// Shapes ", "// Layout ", "// Dispatch ", "// Reference "] {
            assert!(text.contains(part), "{name}.wgsl does not state its {part}");
        }
    }
}

#[test]
fn linear_layers() {
    let mut dice = Dice::new(1);
    let drawn: Vec<_> = (0..6).map(|_| (dice.of(1..=70), dice.of(1..=70), dice.of(1..=70))).collect();
    // The last has enough tiles for large ones.
    for (rows, inputs, outputs) in [(1, 70, 96), (3, 5, 1), (40, 128, 130), (129, 33, 64)].into_iter().chain(drawn).chain([(1030, 19, 530)])
    {
        let operands = [random(1, &[rows, inputs]), random(2, &[outputs, inputs]), random(3, &[outputs]), random(4, &[rows, outputs])];
        let name = format!("linear {rows} {inputs} {outputs}");
        both!(name, &operands, 1e-5, |v| v[0].linear_add(&v[1], Some(&v[2]), &v[3]).unwrap());
        both!(name, &operands, 1e-5, |v| v[0].linear(&v[1], None).unwrap());
        both!(name, &operands, 1e-5, |v| v[0].linear_activate(&v[1], Some(&v[2]), Activation::QuickGelu).unwrap());
    }
    both!("linear of a picture", &[random(1, &[2, 3, 4, 5]), random(2, &[7, 5])], 1e-5, |v| v[0].linear(&v[1], None).unwrap());
}

const HALF: Conv2d = Conv2d { stride: 2, pad_before: 1, pad_after: 1 };
const HALF_AFTER: Conv2d = Conv2d { stride: 2, pad_before: 0, pad_after: 1 };

#[test]
fn convolutions() {
    let mut dice = Dice::new(2);
    let mut cases = vec![(2, 5, 7, 16, 16, 3, Conv2d::SAME_3X3), (1, 16, 32, 8, 9, 3, HALF), (2, 3, 4, 12, 7, 3, HALF_AFTER)];
    for geometry in [Conv2d::SAME_3X3, HALF, HALF_AFTER, Conv2d::SAME_3X3] {
        cases.push((dice.of(1..=3), dice.of(1..=20), dice.of(1..=40), dice.of(3..=13), dice.of(3..=13), 3, geometry));
    }
    cases.push((dice.of(1..=3), dice.of(1..=40), dice.of(1..=40), dice.of(1..=9), dice.of(1..=9), 1, Conv2d::POINTWISE));
    // Enough tiles for large ones.
    cases.push((1, 3, 70, 66, 63, 3, Conv2d::SAME_3X3));
    for (b, c, o, h, w, k, geometry) in cases {
        let inputs = [random(1, &[b, c, h, w]), random(2, &[o, c, k, k]), random(3, &[o])];
        let name = format!("conv2d {b} {c} {o} {h} {w} {k} {geometry:?}");
        both!(name, &inputs, 1e-5, |v| Tensor::conv2d(&v[0], &v[1], Some(&v[2]), geometry).unwrap());
    }
}

fn surrounded<T: Tensor>(v: &[T], groups: usize, geometry: Conv2d, repeat: bool, activation: Activation) -> T {
    let norm = GroupNormalization { weight: &v[3], bias: &v[4], groups, eps: 1e-5, activation };
    let c =
        Convolution { norm: Some(norm), repeat, weight: &v[1], bias: Some(&v[2]), geometry, channels: Some(&v[5]), residual: Some(&v[6]) };
    v[0].convolution(&c).unwrap()
}

#[test]
fn a_convolution_with_all_around_it_is_its_parts() {
    let mut dice = Dice::new(3);
    for (k, geometry, repeat, activation) in [
        (3, Conv2d::SAME_3X3, false, Activation::Silu),
        (3, Conv2d::SAME_3X3, true, Activation::Gelu),
        (1, Conv2d::POINTWISE, false, Activation::Identity),
        (1, Conv2d::POINTWISE, true, Activation::Silu),
        (3, HALF, false, Activation::QuickGelu),
    ] {
        let (groups, width) = (dice.of(1..=4), dice.of(1..=7));
        let (b, c, o, h, w) = (dice.of(1..=3), groups * width, dice.of(1..=35), dice.of(3..=11), dice.of(3..=11));
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
        let name = format!("convolution {b} {c} {o} {h} {w} {k} {groups} {repeat} {activation:?}");
        both!(name, &inputs, 1e-5, |v| surrounded(v, groups, geometry, repeat, activation));
    }
}

#[test]
fn group_normalisations() {
    let mut dice = Dice::new(4);
    let drawn: Vec<_> = (0..4).map(|_| (dice.of(1..=3), dice.of(1..=5), dice.of(1..=5), dice.of(1..=12), dice.of(1..=12))).collect();
    // The last two have several parts a group: full ones, and one that is not.
    for (b, groups, width, h, w) in drawn.into_iter().chain([(1, 1, 3, 60, 61), (2, 2, 4, 129, 129)]) {
        let c = groups * width;
        // Far from zero, where a variance in one pass would cancel, but not so far that half precision has no digits left.
        let x = random(1, &[b, c, h, w]).map(|v| v + 4.0);
        let inputs = [x, random(2, &[c]), random(3, &[c])];
        for activation in [Activation::Silu, Activation::Identity] {
            let name = format!("group norm {b} {groups} x {width} {h} {w}");
            both!(name, &inputs, 1e-5, |v| v[0].group_norm(&v[1], &v[2], groups, 1e-5, activation).unwrap());
        }
    }
    let far = [random(1, &[2, 6, 9, 5]).map(|v| v + 1000.0), random(2, &[6]), random(3, &[6])];
    let single = &devices()[..1];
    let theirs: Vec<_> = far.iter().map(|input| CpuTensor::from_host(input, &()).unwrap()).collect();
    let ours: Vec<_> = far.iter().map(|input| WgpuTensor::from_host(input, &single[0]).unwrap()).collect();
    let expected = theirs[0].group_norm(&theirs[1], &theirs[2], 3, 1e-5, Activation::Silu).unwrap().to_host().unwrap();
    let got = ours[0].group_norm(&ours[1], &ours[2], 3, 1e-5, Activation::Silu).unwrap().to_host().unwrap();
    assert!(relative_error(&got, &expected) < 2e-4, "the variance cancels");
}

#[test]
fn layer_normalisations() {
    let mut dice = Dice::new(5);
    for _ in 0..4 {
        let (rows, width) = (dice.of(1..=40), dice.of(2..=200));
        let inputs = [random(1, &[2, rows, width]).map(|v| v + 3.0), random(2, &[width]), random(3, &[width])];
        both!(format!("layer norm {rows} {width}"), &inputs, 1e-5, |v| v[0].layer_norm(&v[1], &v[2], 1e-5).unwrap());
    }
}

#[test]
fn attention_with_and_without_mask() {
    let mut dice = Dice::new(6);
    let mut cases = vec![(2, 64, 32, 4, 32, Mask::None), (1, 130, 130, 2, 5, Mask::Causal), (1, 70, 33, 1, 150, Mask::None)];
    for mask in [Mask::None, Mask::None, Mask::Causal] {
        let keys = dice.of(1..=90);
        let queries = if mask == Mask::Causal { keys } else { dice.of(1..=140) };
        cases.push((dice.of(1..=3), queries, keys, dice.of(1..=3), dice.of(1..=70), mask));
    }
    for (b, n, m, heads, depth, mask) in cases {
        let c = heads * depth;
        // Large scores, under which some keys are all that counts.
        let inputs = [random(1, &[b, n, c]).map(|v| 3.0 * v), random(2, &[b, m, c]), random(3, &[b, m, c])];
        let name = format!("attention {b} {n} {m} {heads} x {depth} {mask:?}");
        both!(name, &inputs, 1e-5, |v| Tensor::attention(&v[0], &v[1], &v[2], heads, mask, false).unwrap().0);
        both!(format!("weights of {name}"), &inputs, 1e-5, |v| {
            Tensor::attention(&v[0], &v[1], &v[2], heads, mask, true).unwrap().1.unwrap()
        });
    }
}

#[test]
fn pointwise_operations() {
    let mut dice = Dice::new(7);
    for _ in 0..3 {
        let (b, c, h, w) = (dice.of(1..=3), dice.of(1..=9), dice.of(1..=9), dice.of(1..=9));
        let inputs = [random(1, &[b, c, h, w]).map(|v| 3.0 * v), random(2, &[b, c]), random(3, &[b, c, h, w])];
        for activation in [Activation::Identity, Activation::Silu, Activation::Gelu, Activation::QuickGelu] {
            both!(format!("{activation:?}"), &inputs[..1], 2e-6, |v| v[0].activate(activation).unwrap());
        }
        both!("add channels", &inputs, 1e-6, |v| v[0].add_channels(&v[1]).unwrap());
        both!("add", &inputs, 1e-6, |v| Tensor::add(&v[0], &v[2]).unwrap());
        both!("scale", &inputs[..1], 1e-6, |v| v[0].scale(-0.3).unwrap());
        both!("mean pool", &inputs[..1], 1e-6, |v| v[0].mean_pool().unwrap());
        both!("upsample", &inputs[..1], 1e-6, |v| v[0].upsample_nearest2x().unwrap());
        both!("geglu", &[random(3, &[b, h, 2 * c])], 2e-6, |v| v[0].geglu().unwrap());
        both!("add the end", &[random(1, &[b, h, c]), random(2, &[h, c])], 1e-6, |v| Tensor::add(&v[0], &v[1]).unwrap());
    }
    // Where exp would leave the range of f32.
    let far = [HostTensor::new([6], vec![-1e4, -120.0, -90.0, 90.0, 120.0, 1e4]).unwrap()];
    for activation in [Activation::Silu, Activation::Gelu, Activation::QuickGelu] {
        both!(format!("{activation:?}, far out"), &far, 2e-6, |v| v[0].activate(activation).unwrap());
    }
    both!("embedding", &[random(1, &[11, 6])], 1e-6, |v| Tensor::embedding(&v[0], &[3, 0, 10, 3, 3, 7], 2).unwrap());
}

/// More workgroups than may stand in a row are folded, and each still knows its number.
#[test]
fn long_grids_are_folded() {
    let device = &devices()[0];
    let x = HostTensor::from_fn([65_536 * 64 + 77], |i| (i % 1001) as f32);
    let y = WgpuTensor::from_host(&x, device).unwrap().scale(2.0).unwrap().to_host().unwrap();
    assert!(y.data().iter().zip(x.data()).all(|(y, x)| *y == 2.0 * x));
}

/// Where there is next to no variance, what is added to it decides.
#[test]
fn what_is_added_to_variances_counts() {
    let flat = |shape: &[usize]| random(1, shape).map(|v| 1e-3 * v);
    let inputs = [flat(&[2, 6, 5, 7]), random(2, &[6]), random(3, &[6])];
    both!("group norm", &inputs, 1e-5, |v| v[0].group_norm(&v[1], &v[2], 2, 1e-5, Activation::Identity).unwrap());
    let inputs = [flat(&[9, 30]), random(2, &[30]), random(3, &[30])];
    both!("layer norm", &inputs, 1e-5, |v| v[0].layer_norm(&v[1], &v[2], 1e-5).unwrap());
}

/// A rearrangement between operations that store their results with channels last, and of tensors that are row-major.
#[test]
fn rearrangements() {
    let (a, b) = (random(1, &[2, 3, 4, 5]), random(2, &[2, 6, 4, 5]));
    let one = std::slice::from_ref(&a);
    let plain = |v: &HostTensor| v.reshape([24, 5]).unwrap();
    for axis in 0..4 {
        both!("narrow", one, 1e-6, |v| v[0].narrow(axis, 1, 1).unwrap());
        both!("narrow of a picture", one, 1e-6, |v| v[0].upsample_nearest2x().unwrap().narrow(axis, 1, 1).unwrap());
        both!("cat with itself", one, 1e-6, |v| Tensor::cat(&[&v[0], &v[0]], axis).unwrap());
        both!("narrow of a row-major tensor", &[plain(&a)], 1e-6, |v| {
            Tensor::reshape(&v[0], &[2, 3, 4, 5]).unwrap().narrow(axis, 1, 1).unwrap()
        });
        both!("cat of row-major tensors", &[plain(&a)], 1e-6, |v| {
            let x = Tensor::reshape(&v[0], &[2, 3, 4, 5]).unwrap();
            Tensor::cat(&[&x, &x], axis).unwrap()
        });
    }
    both!("narrow along the first of five axes", &[a.reshape([3, 2, 2, 2, 5]).unwrap()], 1e-6, |v| v[0].narrow(0, 1, 2).unwrap());
    both!("cat of two orders", &[a.clone(), b], 1e-6, |v| {
        let (x, y) = (v[0].upsample_nearest2x().unwrap(), v[1].upsample_nearest2x().unwrap());
        Tensor::cat(&[&x, &y, &x], 1).unwrap()
    });
    both!("tokens and back", one, 1e-6, |v| {
        let x = v[0].upsample_nearest2x().unwrap();
        let tokens = Tensor::reshape(&Tensor::permute(&x, &[0, 2, 3, 1]).unwrap(), &[2, 80, 3]).unwrap();
        let tokens = tokens.activate(Activation::Silu).unwrap();
        Tensor::permute(&Tensor::reshape(&tokens, &[2, 8, 10, 3]).unwrap(), &[0, 3, 1, 2]).unwrap()
    });
    both!("permute", one, 1e-6, |v| Tensor::permute(&v[0], &[3, 1, 0, 2]).unwrap());
    both!("permute of a row-major tensor", &[plain(&a)], 1e-6, |v| Tensor::permute(&v[0], &[1, 0]).unwrap());
    both!("reshape of a picture", one, 1e-6, |v| Tensor::reshape(&v[0].upsample_nearest2x().unwrap(), &[6, 80]).unwrap());
}

#[test]
fn misfits_are_errors() {
    let device = &devices()[0];
    let t = |shape: &[usize]| WgpuTensor::from_host(&random(1, shape), device).unwrap();
    let x = t(&[1, 4, 8, 8]);
    assert!(x.conv2d(&t(&[3, 5, 3, 3]), None, Conv2d::SAME_3X3).is_err());
    assert!(t(&[1, 4, 1, 1]).conv2d(&t(&[3, 4, 3, 3]), None, Conv2d::POINTWISE).is_err());
    assert!(x.linear(&t(&[3, 4]), None).is_err());
    assert!(x.conv2d(&t(&[3, 4, 1, 1]), None, Conv2d::SAME_3X3).is_err());
    assert!(x.conv2d(&t(&[3, 4, 3, 3]), None, Conv2d { stride: 0, ..Conv2d::SAME_3X3 }).is_err());
    assert!(WgpuTensor::attention(&t(&[1, 2, 8]), &t(&[1, 3, 8]), &t(&[1, 4, 8]), 2, Mask::None, true).is_err());
    assert!(WgpuTensor::attention(&t(&[1, 2, 8]), &t(&[1, 3, 8]), &t(&[1, 3, 8]), 3, Mask::None, true).is_err());
    assert!(x.narrow(1, 2, usize::MAX).is_err());
    assert!(x.group_norm(&t(&[4]), &t(&[4]), 3, 1e-5, Activation::Silu).is_err());
    assert!(x.reshape(&[3, 3]).is_err());
    assert!(x.permute(&[0, 1, 1, 2]).is_err());
    assert!(WgpuTensor::embedding(&t(&[5, 3]), &[5], 1).is_err());
    assert!(Tensor::add(&x, &t(&[4, 4])).is_err());
    assert!(t(&[2, 3]).geglu().is_err());
}

/// A buffer that is used again must not change what earlier work still reads, and results must not depend on what was in it.
#[test]
fn recycled_buffers_do_not_meddle() {
    let device = &devices()[0];
    let once = |seed: u64| {
        let x = WgpuTensor::from_host(&random(seed, &[3, 40]), device).unwrap();
        let w = WgpuTensor::from_host(&random(9, &[40, 40]), device).unwrap();
        // Temporaries come and go, and another upload follows before anything has been handed over.
        let y = x.linear(&w, None).unwrap().activate(Activation::Silu).unwrap();
        drop(x);
        let other = WgpuTensor::from_host(&random(seed + 100, &[3, 40]), device).unwrap();
        y.add(&other).unwrap()
    };
    let together: Vec<WgpuTensor> = (0..8).map(once).collect();
    for (seed, y) in together.iter().enumerate() {
        assert_eq!(y.to_host().unwrap(), once(seed as u64).to_host().unwrap(), "seed {seed}");
    }
    let (in_use, idle) = device.bytes();
    assert!(in_use > 0 && idle > 0);
}

#[test]
fn what_is_too_large_is_refused_with_its_numbers() {
    let device = &devices()[0];
    let most = device.card().max_tensor_bytes;
    let message = device.allocate(most as usize / 4 + 1, 4).err().unwrap().to_string();
    assert!(message.contains("MB") && message.contains(&device.card().name), "{message}");
    let message = WgpuDevice::open(99, Storage::F32).unwrap_err().to_string();
    assert!(message.contains("99"), "{message}");
}

/// A shelf in memory, and how often something was found on it.
struct InMemory(std::sync::Mutex<(std::collections::HashMap<String, Vec<u8>>, usize)>);

impl Shelf for &'static InMemory {
    fn take(&self, key: &str) -> Option<Vec<u8>> {
        let mut shelf = self.0.lock().unwrap();
        let found = shelf.0.get(key).cloned();
        shelf.1 += usize::from(found.is_some());
        found
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        self.0.lock().unwrap().0.insert(key.to_owned(), bytes.to_vec());
    }
}

#[test]
fn compiled_kernels_are_kept_and_are_right_when_they_are_taken_again() {
    static KEPT: OnceLock<InMemory> = OnceLock::new();
    let kept = KEPT.get_or_init(|| InMemory(Default::default()));
    keep_compiled(Box::new(kept));
    let doubled = |device: &WgpuDevice| {
        let x = random(5, &[3, 7]);
        let sum = WgpuTensor::from_host(&x, device).unwrap();
        (sum.add(&sum).unwrap().to_host().unwrap(), x.map(|v| 2.0 * v))
    };
    let open = || WgpuDevice::open_anew(0, Storage::F32, true).unwrap();
    let first = open();
    while first.compiling().is_some() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    if first.card().backend != "Vulkan" {
        println!("no driver but Vulkan's hands out what it has compiled");
        return;
    }
    let (got, expected) = doubled(&first);
    assert_eq!(got, expected);
    drop(first);
    let (count, found) = {
        let shelf = kept.0.lock().unwrap();
        (shelf.0.values().map(Vec::len).sum::<usize>(), shelf.1)
    };
    // A card in software may have nothing to hand out but the cache's header.
    assert!(count > 0, "nothing was kept");
    let (got, expected) = doubled(&open());
    assert_eq!(got, expected);
    assert!(kept.0.lock().unwrap().1 > found, "the second device looks onto the shelf, and finds them");
}
