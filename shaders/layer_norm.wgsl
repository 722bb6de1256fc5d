// y = (x - mean) / sqrt(variance + eps) * weight + bias over each row.
//
// Shapes    x [rows, C], weight and bias [C] -> y [rows, C]
// Layout    row-major
// Dispatch  a workgroup for each row: rows, folded
// Reference layer_norm in src/compute/cpu/pointwise.rs (Ba et al. 2016, arXiv 1607.06450)

struct Parameters {
    rows: u32,
    channels: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read> weight: array<Value>;
@group(0) @binding(3) var<storage, read> bias: array<Value>;
@group(0) @binding(4) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(REDUCE_WIDTH)
fn main(at: Invocation) {
    let local = at.local;
    let row = workgroup_number(at.workgroup, at.workgroups);
    let inside = row < p.rows;
    let count = select(0u, p.channels, inside);
    let origin = row * p.channels;
    var sum = 0.0;
    for (var i = local; i < count; i += REDUCE_WIDTH) {
        sum += f32(x[origin + i]);
    }
    let mean = workgroup_sum(at, sum) / f32(p.channels);
    var squares = 0.0;
    for (var i = local; i < count; i += REDUCE_WIDTH) {
        let deviation = f32(x[origin + i]) - mean;
        squares += deviation * deviation;
    }
    let scale = 1.0 / sqrt(workgroup_sum(at, squares) / f32(p.channels) + p.eps);
    for (var i = local; i < count; i += REDUCE_WIDTH) {
        y[origin + i] = Value((f32(x[origin + i]) - mean) * scale * f32(weight[i]) + f32(bias[i]));
    }
}
