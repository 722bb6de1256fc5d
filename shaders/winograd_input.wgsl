// The first part of a 3x3 convolution by Winograd's minimal filtering: the windows of the input, transformed.
//
// Shapes    x [B, H, W, C] -> v [16, tiles, C], where tiles = B ceil(H'/2) ceil(W'/2)
// Layout    channels last; the sixteen places of a transformed window are sixteen matrices, one after another
// Dispatch  an invocation for each tile and channel: (ceil(tiles C / 64) folded, 1)
// Reference CpuTensor::convolution in src/compute/cpu/mod.rs, by way of the whole convolution
//
// F(2x2, 3x3) of Lavin and Gray 2016 (arXiv 1509.09308): two by two results need a window d of four by four values, and
//     Y = A^T [(G g G^T) * (B^T d B)] A
// with * value by value, which takes 16 multiplications where the definition takes 36. This is V = B^T d B,
//     B^T = [ 1  0 -1  0 ]
//           [ 0  1  1  0 ]
//           [ 0 -1  1  0 ]
//           [ 0  1  0 -1 ]
// Summed over channels, each of the sixteen places is a matrix product of its own (winograd_product.wgsl).

// Whether x is repeated to twice its size before it is convolved.
override REPEAT: bool = false;

struct Parameters {
    count: u32, // tiles C
    channels: u32,
    height: u32, // of x
    width: u32,
    tile_rows: u32, // of a picture: ceil(H'/2)
    tile_columns: u32,
    pad_before: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;       // [B, H, W, C]
@group(0) @binding(2) var<storage, read_write> v: array<Value>; // [16, tiles, C]

// A value of x, zero in the padding.
fn fetch(picture: u32, row: i32, column: i32, channel: u32) -> f32 {
    let grown = select(1, 2, REPEAT);
    if row < 0 || row >= i32(p.height) * grown || column < 0 || column >= i32(p.width) * grown {
        return 0.0;
    }
    let place = (picture * p.height + u32(row / grown)) * p.width + u32(column / grown);
    return f32(x[place * p.channels + channel]);
}

// B^T d for a column d of the window.
fn transformed(d: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(d.x - d.z, d.y + d.z, d.z - d.y, d.y - d.w);
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
    let channel = i % p.channels;
    let tile = i / p.channels;
    let picture = tile / (p.tile_rows * p.tile_columns);
    let first_row = i32(2u * (tile / p.tile_columns % p.tile_rows)) - i32(p.pad_before);
    let first_column = i32(2u * (tile % p.tile_columns)) - i32(p.pad_before);
    // Each column of the window, then, by way of the transposed matrix, each row.
    var columns: mat4x4<f32>;
    for (var j = 0; j < 4; j++) {
        var d: vec4<f32>;
        for (var k = 0; k < 4; k++) {
            d[k] = fetch(picture, first_row + k, first_column + j, channel);
        }
        columns[j] = transformed(d);
    }
    let rows = transpose(columns);
    for (var k = 0u; k < 4u; k++) {
        let values = transformed(rows[k]);
        for (var j = 0u; j < 4u; j++) {
            v[(4u * k + j) * p.count + i] = Value(values[j]);
        }
    }
}
