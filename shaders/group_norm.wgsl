// The second half of a group normalisation: y = activation((x - mean) / sqrt(variance + eps) * weight + bias).
//
// Shapes    x [B, H W, C], moments [B, groups, parts] of group_norm_moments.wgsl, weight and bias [C] -> y [B, H W, C]
// Layout    channels last
// Dispatch  64 invocations a workgroup, each of them one channel of PLACES consecutive places: ceil(B H W / PLACES) * C, folded
// Reference GroupShape::affine and apply in src/compute/cpu/norm.rs; the parts' moments are joined by Chan, Golub and LeVeque
//           1979: mean of the means, and deviations of the parts' means added to the deviations within the parts

override ACTIVATION: u32 = 0u;

const PLACES: u32 = 4u;

struct Parameters {
    places: u32, // H W
    channels: u32,
    groups: u32,
    parts: u32,
    part_places: u32,
    batch: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read> moments: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<Value>;
@group(0) @binding(4) var<storage, read> bias: array<Value>;
@group(0) @binding(5) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = workgroup_number(workgroup, workgroups) * 64u + local;
    let runs = (p.places + PLACES - 1u) / PLACES;
    let channel = number % p.channels;
    let run = number / p.channels % runs;
    let picture = number / p.channels / runs;
    if picture >= p.batch {
        return;
    }
    let width = p.channels / p.groups;
    let first = (picture * p.groups + channel / width) * p.parts;
    var total = 0.0;
    for (var part = 0u; part < p.parts; part++) {
        let places = min(p.part_places, p.places - part * p.part_places);
        total += moments[first + part].x * f32(places);
    }
    let mean = total / f32(p.places);
    var squares = 0.0;
    for (var part = 0u; part < p.parts; part++) {
        let places = min(p.part_places, p.places - part * p.part_places);
        let apart = moments[first + part].x - mean;
        squares += moments[first + part].y + apart * apart * f32(places * width);
    }
    let scale = f32(weight[channel]) / sqrt(squares / f32(p.places * width) + p.eps);
    let shift = f32(bias[channel]);
    for (var place = run * PLACES; place < min((run + 1u) * PLACES, p.places); place++) {
        let at = (picture * p.places + place) * p.channels + channel;
        y[at] = Value(activated(ACTIVATION, (f32(x[at]) - mean) * scale + shift));
    }
}
