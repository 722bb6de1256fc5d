// z[b, h, w, c] = x[b, h, w, c] + y[b, c].
//
// Shapes    x [B, H W, C], y [B, C] -> z [B, H W, C]
// Layout    channels last
// Dispatch  64 invocations a workgroup, each of them one value: ceil(B H W C / 64), folded
// Reference add_channels in src/compute/cpu/pointwise.rs

struct Parameters {
    count: u32,
    places: u32, // H W
    channels: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read> y: array<Value>;
@group(0) @binding(3) var<storage, read_write> z: array<Value>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_number(workgroup, workgroups) * 64u + local;
    if i < p.count {
        let picture = i / (p.places * p.channels);
        z[i] = Value(f32(x[i]) + f32(y[picture * p.channels + i % p.channels]));
    }
}
