// A convolution with what surrounds it: the input repeated to twice its size before it (optional), and after it a bias, one
// value for each picture and channel, and a residual (each optional).
//
// Shapes    x [B, H, W, C], weight [O, K, K, C], bias [O], channels [B, O], residual [B, H', W', O] -> y [B, H', W', O]
// Layout    channels last, so that the values under a window are runs of memory
// Dispatch  a workgroup for each tile of TILE_M places and TILE_N outputs: (ceil(O / TILE_N), ceil(B H' W' / TILE_M) folded, 1)
// Reference CpuTensor::convolution in src/compute/cpu/mod.rs
//
// Implicit matrix product (Chetlur et al. 2014, arXiv 1410.0759): row r of A is the window under place r of the result, laid
// out (row in the window, column in the window, channel), a matrix that is never stored; its tiles are put together from x.

override HAS_BIAS: bool = false;
override HAS_CHANNELS: bool = false;
override HAS_RESIDUAL: bool = false;
override REPEAT: bool = false;

struct Parameters {
    batch: u32,
    height: u32, // of x
    width: u32,
    channels: u32,
    outputs: u32,
    out_height: u32,
    out_width: u32,
    kernel: u32,
    stride: u32,
    pad_before: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;        // [B, H, W, C]
@group(0) @binding(2) var<storage, read> weight: array<Value>;   // [O, K, K, C]
@group(0) @binding(3) var<storage, read> bias: array<Value>;     // [O]
@group(0) @binding(4) var<storage, read> added: array<Value>;    // [B, O]
@group(0) @binding(5) var<storage, read> residual: array<Value>; // [B, H', W', O]
@group(0) @binding(6) var<storage, read_write> y: array<Value>;  // [B, H', W', O]

// Where a window begins: its picture, and the row and column of its first value, which may lie in the padding.
struct Window {
    inside: bool,
    picture: u32,
    row: i32,
    column: i32,
}

fn window_of(place: u32) -> Window {
    let size = p.out_height * p.out_width;
    let within = place % size;
    let row = i32(within / p.out_width * p.stride) - i32(p.pad_before);
    let column = i32(within % p.out_width * p.stride) - i32(p.pad_before);
    return Window(place < p.batch * size, place / size, row, column);
}

// Four values of a window from depth k on, zeros in the padding and beyond its end.
fn fetch_x(window: Window, k: u32) -> vec4<f32> {
    var values = vec4<f32>(0.0);
    if !window.inside {
        return values;
    }
    var tap = k / p.channels;
    var channel = k % p.channels;
    let grown = select(1, 2, REPEAT);
    for (var i = 0u; i < 4u; i++) {
        if tap < p.kernel * p.kernel {
            let row = window.row + i32(tap / p.kernel);
            let column = window.column + i32(tap % p.kernel);
            if row >= 0 && row < i32(p.height) * grown && column >= 0 && column < i32(p.width) * grown {
                let place = (window.picture * p.height + u32(row / grown)) * p.width + u32(column / grown);
                values[i] = f32(x[place * p.channels + channel]);
            }
        }
        channel++;
        if channel == p.channels {
            channel = 0u;
            tap++;
        }
    }
    return values;
}

fn fetch_weight(output: u32, k: u32) -> vec4<f32> {
    let depth = p.kernel * p.kernel * p.channels;
    var values = vec4<f32>(0.0);
    if output < p.outputs {
        for (var i = 0u; i < 4u; i++) {
            if k + i < depth {
                values[i] = f32(weight[output * depth + k + i]);
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
    let first_place = (workgroup.y + workgroup.z * workgroups.y) * TILE_M;
    let first_output = workgroup.x * TILE_N;
    let sharing_a = TILE_INVOCATIONS / TILE_M;
    let sharing_b = TILE_INVOCATIONS / TILE_N;
    let window = window_of(first_place + local / sharing_a);
    let depth = p.kernel * p.kernel * p.channels;
    var sum = Block();
    for (var start = 0u; start < depth; start += TILE_K) {
        for (var k = local % sharing_a * 4u; k < TILE_K; k += sharing_a * 4u) {
            store_a(local / sharing_a, k, fetch_x(window, start + k));
        }
        for (var k = local % sharing_b * 4u; k < TILE_K; k += sharing_b * 4u) {
            store_b(local / sharing_b, k, fetch_weight(first_output + local / sharing_b, start + k));
        }
        workgroupBarrier();
        sum = multiplied(local, sum);
        workgroupBarrier();
    }
    let size = p.out_height * p.out_width;
    for (var i = 0u; i < 4u; i++) {
        let place = first_place + local / (TILE_N / 4u) * 4u + i;
        let values = row_of(sum, i);
        for (var j = 0u; j < 4u; j++) {
            let output = first_output + local % (TILE_N / 4u) * 4u + j;
            if place < p.batch * size && output < p.outputs {
                var value = values[j];
                if HAS_BIAS {
                    value += f32(bias[output]);
                }
                if HAS_CHANNELS {
                    value += f32(added[place / size * p.outputs + output]);
                }
                if HAS_RESIDUAL {
                    value += f32(residual[place * p.outputs + output]);
                }
                y[place * p.outputs + output] = Value(value);
            }
        }
    }
}
