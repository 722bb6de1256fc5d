// The weights of a 3x3 convolution, transformed once for Winograd's minimal filtering (winograd_input.wgsl tells what it is).
//
// Shapes    weight [O, 3, 3, C] -> u [16, O, C]
// Layout    channels last
// Dispatch  an invocation for each output and channel: (ceil(O C / 64) folded, 1)
// Reference CpuTensor::convolution in src/compute/cpu/mod.rs, by way of the whole convolution
//
// U = G g G^T (Lavin and Gray 2016, arXiv 1509.09308),
//     G = [  1    0    0  ]
//         [ 1/2  1/2  1/2 ]
//         [ 1/2 -1/2  1/2 ]
//         [  0    0    1  ]

struct Parameters {
    count: u32, // O C
    channels: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> weight: array<Value>;  // [O, 3, 3, C]
@group(0) @binding(2) var<storage, read_write> u: array<Value>; // [16, O, C]

// G g for a column g of the filter.
fn transformed(g: vec3<f32>) -> vec4<f32> {
    let ends = 0.5 * (g.x + g.z);
    return vec4<f32>(g.x, ends + 0.5 * g.y, ends - 0.5 * g.y, g.z);
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
    let first = i / p.channels * 9u * p.channels + i % p.channels;
    var columns: mat3x4<f32>;
    for (var j = 0u; j < 3u; j++) {
        var g: vec3<f32>;
        for (var k = 0u; k < 3u; k++) {
            g[k] = f32(weight[first + (3u * k + j) * p.channels]);
        }
        columns[j] = transformed(g);
    }
    let rows = transpose(columns);
    for (var k = 0u; k < 4u; k++) {
        let values = transformed(rows[k]);
        for (var j = 0u; j < 4u; j++) {
            u[(4u * k + j) * p.count + i] = Value(values[j]);
        }
    }
}
