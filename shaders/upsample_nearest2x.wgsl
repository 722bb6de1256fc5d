// Every value twice along both axes of a picture.
//
// Shapes    x [B, H, W, C] -> y [B, 2 H, 2 W, C]
// Layout    channels last
// Dispatch  64 invocations a workgroup, each of them one value of y: ceil(4 B H W C / 64), folded
// Reference upsample in src/compute/cpu/order.rs

struct Parameters {
    count: u32, // of values of y
    height: u32, // of x
    width: u32,
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
        let channel = i % p.channels;
        let column = i / p.channels % (2u * p.width);
        let row = i / p.channels / (2u * p.width) % (2u * p.height);
        let picture = i / p.channels / (4u * p.width * p.height);
        y[i] = x[((picture * p.height + row / 2u) * p.width + column / 2u) * p.channels + channel];
    }
}
