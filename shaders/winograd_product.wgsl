// The middle of a 3x3 convolution by Winograd's minimal filtering (winograd_input.wgsl tells what it is): for each of the
// sixteen places of a transformed window, the product over all channels.
//
// Shapes    v [16, tiles, C], u [16, O, C] -> m [16, tiles, O], m_i = v_i u_i^T
// Layout    row-major; m in f32 however tensors are stored, since its sixteen parts are about to be added and subtracted
// Dispatch  a workgroup for each place, TILE_M tiles and TILE_N outputs: (16 ceil(O / TILE_N), ceil(tiles / TILE_M) folded, 1)
// Reference CpuTensor::convolution in src/compute/cpu/mod.rs, by way of the whole convolution

struct Parameters {
    tiles: u32,
    channels: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> v: array<Value>;     // [16, tiles, C]
@group(0) @binding(2) var<storage, read> u: array<Value>;     // [16, O, C]
@group(0) @binding(3) var<storage, read_write> m: array<f32>; // [16, tiles, O]

// Four values of row `tile` of v_place from channel k on, zeros beyond its ends.
fn fetch_v(place: u32, tile: u32, k: u32) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    if tile < p.tiles {
        for (var i = 0u; i < 4u; i++) {
            if k + i < p.channels {
                values[i] = f32(v[(place * p.tiles + tile) * p.channels + k + i]);
            }
        }
    }
    return values;
}

fn fetch_u(place: u32, output: u32, k: u32) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    if output < p.outputs {
        for (var i = 0u; i < 4u; i++) {
            if k + i < p.channels {
                values[i] = f32(u[(place * p.outputs + output) * p.channels + k + i]);
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
    let blocks = (p.outputs + TILE_N - 1u) / TILE_N;
    let place = workgroup.x / blocks;
    let first_output = workgroup.x % blocks * TILE_N;
    let first_tile = (workgroup.y + workgroup.z * workgroups.y) * TILE_M;
    let sharing_a = TILE_INVOCATIONS / TILE_M;
    let sharing_b = TILE_INVOCATIONS / TILE_N;
    var sum = Block();
    for (var start = 0u; start < p.channels; start += TILE_K) {
        for (var k = local % sharing_a * 4u; k < TILE_K; k += sharing_a * 4u) {
            store_a(local / sharing_a, k, fetch_v(place, first_tile + local / sharing_a, start + k));
        }
        for (var k = local % sharing_b * 4u; k < TILE_K; k += sharing_b * 4u) {
            store_b(local / sharing_b, k, fetch_u(place, first_output + local / sharing_b, start + k));
        }
        workgroupBarrier();
        sum = multiplied(local, sum);
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let tile = first_tile + local / (TILE_N / 4u) * 4u + i;
        let values = row_of(sum, i);
        for (var j = 0u; j < 4u; j++) {
            let output = first_output + local % (TILE_N / 4u) * 4u + j;
            if tile < p.tiles && output < p.outputs {
                m[(place * p.tiles + tile) * p.outputs + output] = values[j];
            }
        }
    }
}
