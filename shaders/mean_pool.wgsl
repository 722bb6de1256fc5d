// The mean over all places of a picture.
//
// Shapes    x [B, H W, C] -> y [B, C]
// Layout    channels last
// Dispatch  64 invocations a workgroup, each of them one value of y: ceil(B * C / 64), folded
// Reference mean_pool in src/compute/cpu/pointwise.rs

struct Parameters {
    count: u32, // of values of y
    places: u32, // H W
    channels: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_number(workgroup, workgroups) * 64u + local;
    if i < p.count {
        let origin = i / p.channels * p.places * p.channels + i % p.channels;
        var sum = 0.0;
        for (var place = 0u; place < p.places; place++) {
            sum += f32(x[origin + place * p.channels]);
        }
        y[i] = Value(sum / f32(p.places));
    }
}
