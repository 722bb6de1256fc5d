// y = a * gelu(g), where a and g are the halves of each row of x.
//
// Shapes    x [rows, 2 C] -> y [rows, C]
// Layout    row-major
// Dispatch  64 invocations a workgroup, each of them one value of y: ceil(rows * C / 64), folded
// Reference geglu in src/compute/cpu/pointwise.rs (Shazeer 2020, arXiv 2002.05202)

struct Parameters {
    count: u32, // of values of y
    channels: u32, // C
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
        let at = i / p.channels * 2u * p.channels + i % p.channels;
        y[i] = Value(f32(x[at]) * gelu(f32(x[at + p.channels])));
    }
}
