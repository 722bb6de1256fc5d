// Rows of a table, by index.
//
// Shapes    table [V, C], ids [n], all below V -> y [n, C]
// Layout    row-major
// Dispatch  64 invocations a workgroup, each of them one value of y: ceil(n * C / 64), folded
// Reference embedding in src/compute/cpu/pointwise.rs

struct Parameters {
    count: u32, // of values of y
    channels: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> table: array<Value>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_number(workgroup, workgroups) * 64u + local;
    if i < p.count {
        y[i] = table[ids[i / p.channels] * p.channels + i % p.channels];
    }
}
