// y = activation(x W^T + b) + residual, each part after the product optional.
//
// Shapes    x [rows, inputs], weight [outputs, inputs], bias [outputs], residual [rows, outputs] -> y [rows, outputs]
// Layout    row-major
// Dispatch  a workgroup for each tile of TILE_M rows and TILE_N outputs: (ceil(outputs / TILE_N), ceil(rows / TILE_M) folded, 1)
// Reference CpuTensor::linear_add in src/compute/cpu/mod.rs; the tiling is that of Volkov and Demmel 2008 (SC '08)

override HAS_BIAS: bool = false;
override HAS_RESIDUAL: bool = false;
override ACTIVATION: u32 = 0u;

struct Parameters {
    rows: u32,
    inputs: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;        // [rows, inputs]
@group(0) @binding(2) var<storage, read> weight: array<Value>;   // [outputs, inputs]
@group(0) @binding(3) var<storage, read> bias: array<Value>;     // [outputs]
@group(0) @binding(4) var<storage, read> residual: array<Value>; // [rows, outputs]
@group(0) @binding(5) var<storage, read_write> y: array<Value>;  // [rows, outputs]

// Four values of a row of x from depth k on, zeros beyond its ends.
fn fetch_x(row: u32, k: u32) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    if row < p.rows {
        for (var i = 0u; i < 4u; i++) {
            if k + i < p.inputs {
                values[i] = f32(x[row * p.inputs + k + i]);
            }
        }
    }
    return values;
}

fn fetch_weight(row: u32, k: u32) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    if row < p.outputs {
        for (var i = 0u; i < 4u; i++) {
            if k + i < p.inputs {
                values[i] = f32(weight[row * p.inputs + k + i]);
            }
        }
    }
    return values;
}

@compute @workgroup_size(TILE_INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first_row = (workgroup.y + workgroup.z * workgroups.y) * TILE_M;
    let first_output = workgroup.x * TILE_N;
    // Several invocations share the fetching of a row, each taking every so many groups of four.
    let sharing_a = TILE_INVOCATIONS / TILE_M;
    let sharing_b = TILE_INVOCATIONS / TILE_N;
    var sum = Block();
    for (var start = 0u; start < p.inputs; start += TILE_K) {
        for (var k = local % sharing_a * 4u; k < TILE_K; k += sharing_a * 4u) {
            store_a(local / sharing_a, k, fetch_x(first_row + local / sharing_a, start + k));
        }
        for (var k = local % sharing_b * 4u; k < TILE_K; k += sharing_b * 4u) {
            store_b(local / sharing_b, k, fetch_weight(first_output + local / sharing_b, start + k));
        }
        workgroupBarrier();
        sum = multiplied(local, sum);
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let row = first_row + local / (TILE_N / 4u) * 4u + i;
        let values = row_of(sum, i);
        for (var j = 0u; j < 4u; j++) {
            let output = first_output + local % (TILE_N / 4u) * 4u + j;
            if row < p.rows && output < p.outputs {
                var value = values[j];
                if HAS_BIAS {
                    value += f32(bias[output]);
                }
                value = activated(ACTIVATION, value);
                if HAS_RESIDUAL {
                    value += f32(residual[row * p.outputs + output]);
                }
                y[row * p.outputs + output] = Value(value);
            }
        }
    }
}
