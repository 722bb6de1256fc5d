// z = x + y, where y is repeated over the outer axes of x.
//
// Shapes    x [outer, n], y [n] -> z [outer, n]
// Layout    both in the same order
// Dispatch  64 invocations a workgroup, each of them one value: ceil(outer * n / 64), folded
// Reference add in src/compute/cpu/pointwise.rs

struct Parameters {
    count: u32,
    repeated: u32, // n
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
        z[i] = Value(f32(x[i]) + f32(y[i % p.repeated]));
    }
}
