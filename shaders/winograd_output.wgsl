// The last part of a 3x3 convolution by Winograd's minimal filtering (winograd_input.wgsl tells what it is): the products back
// to places of the result, and what comes after a convolution: a bias, one value for each picture and channel, and a residual
// (each optional).
//
// Shapes    m [16, tiles, O], bias [O], channels [B, O], residual [B, H', W', O] -> y [B, H', W', O]
// Layout    channels last; m in f32 however tensors are stored
// Dispatch  an invocation for each tile and output: (ceil(tiles O / 64) folded, 1)
// Reference CpuTensor::convolution in src/compute/cpu/mod.rs
//
// Y = A^T M A (Lavin and Gray 2016, arXiv 1509.09308),
//     A^T = [ 1  1  1  0 ]
//           [ 0  1 -1 -1 ]

override HAS_BIAS: bool = false;
override HAS_CHANNELS: bool = false;
override HAS_RESIDUAL: bool = false;

struct Parameters {
    count: u32, // tiles O
    outputs: u32,
    out_height: u32,
    out_width: u32,
    tile_rows: u32, // of a picture: ceil(H'/2)
    tile_columns: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> m: array<f32>;          // [16, tiles, O]
@group(0) @binding(2) var<storage, read> bias: array<Value>;     // [O]
@group(0) @binding(3) var<storage, read> added: array<Value>;    // [B, O]
@group(0) @binding(4) var<storage, read> residual: array<Value>; // [B, H', W', O]
@group(0) @binding(5) var<storage, read_write> y: array<Value>;  // [B, H', W', O]

// A^T m for a column m of the products.
fn transformed(m: vec4<f32>) -> vec2<f32> {
    return vec2<f32>(m.x + m.y + m.z, m.y - m.z - m.w);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_number(workgroup, workgroups) * 64u + local;
    if i >= p.count {
        return;
    }
    let output = i % p.outputs;
    let tile = i / p.outputs;
    let picture = tile / (p.tile_rows * p.tile_columns);
    let first_row = 2u * (tile / p.tile_columns % p.tile_rows);
    let first_column = 2u * (tile % p.tile_columns);
    var columns: mat4x2<f32>;
    for (var j = 0u; j < 4u; j++) {
        columns[j] = transformed(vec4<f32>(m[j * p.count + i], m[(4u + j) * p.count + i], m[(8u + j) * p.count + i], m[(12u + j) * p.count + i]));
    }
    let rows = transpose(columns);
    for (var k = 0u; k < 2u; k++) {
        let values = transformed(rows[k]);
        for (var j = 0u; j < 2u; j++) {
            // A side that is odd cuts its last tiles in half.
            if first_row + k < p.out_height && first_column + j < p.out_width {
                let at = ((picture * p.out_height + first_row + k) * p.out_width + first_column + j) * p.outputs + output;
                var value = values[j];
                if HAS_BIAS {
                    value += f32(bias[output]);
                }
                if HAS_CHANNELS {
                    value += f32(added[picture * p.outputs + output]);
                }
                if HAS_RESIDUAL {
                    value += f32(residual[at]);
                }
                y[at] = Value(value);
            }
        }
    }
}
