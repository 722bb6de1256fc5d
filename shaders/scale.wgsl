// y = factor * x.
//
// Shapes    x [n] -> y [n]
// Layout    whatever it is; the result has the same
// Dispatch  64 invocations a workgroup, each of them one value: ceil(n / 64), folded
// Reference scale in src/compute/cpu/pointwise.rs

struct Parameters {
    count: u32,
    factor: f32,
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
        y[i] = Value(p.factor * f32(x[i]));
    }
}
