// The heart of every matrix product: C = A B^T in tiles.
//
// A workgroup computes TILE_M x TILE_N of the result with (TILE_M / 4) x (TILE_N / 4) invocations, each of them 4 x 4 values
// in registers. Slices of A and B that are TILE_K deep lie in workgroup memory, transposed: for each k, a row of TILE_M values
// of A and one of TILE_N values of B, as vectors of four. Each value fetched from a buffer is thus used TILE_N or TILE_M times,
// and each vector fetched from workgroup memory four times. One vector of padding a row spreads the stores over the banks.

override TILE_M: u32 = 32u;
override TILE_N: u32 = 32u;
override TILE_K: u32 = 32u;
// These follow from the three above, and are given beside them.
override TILE_INVOCATIONS: u32 = 64u; // (TILE_M / 4) * (TILE_N / 4)
override TILE_A_VECTORS: u32 = 288u;  // TILE_K * (TILE_M / 4 + 1)
override TILE_B_VECTORS: u32 = 288u;  // TILE_K * (TILE_N / 4 + 1)

var<workgroup> tile_a: array<vec4<f32>, TILE_A_VECTORS>;
var<workgroup> tile_b: array<vec4<f32>, TILE_B_VECTORS>;

// Four values of one row, from depth k on.
fn store_a(row: u32, k: u32, values: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        tile_a[(k + i) * (TILE_M / 4u + 1u) + row / 4u][row % 4u] = values[i];
    }
}

fn store_b(row: u32, k: u32, values: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        tile_b[(k + i) * (TILE_N / 4u + 1u) + row / 4u][row % 4u] = values[i];
    }
}

// Four rows of the result, four columns each.
struct Block {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
}

// The block of invocation `local`, with what the slice in workgroup memory adds to it.
fn multiplied(local: u32, block: Block) -> Block {
    let row = local / (TILE_N / 4u);
    let column = local % (TILE_N / 4u);
    var sum = block;
    for (var k = 0u; k < TILE_K; k++) {
        let a = tile_a[k * (TILE_M / 4u + 1u) + row];
        let b = tile_b[k * (TILE_N / 4u + 1u) + column];
        sum.r0 += a.x * b;
        sum.r1 += a.y * b;
        sum.r2 += a.z * b;
        sum.r3 += a.w * b;
    }
    return sum;
}

fn row_of(block: Block, row: u32) -> vec4<f32> {
    switch row {
        case 0u: { return block.r0; }
        case 1u: { return block.r1; }
        case 2u: { return block.r2; }
        default: { return block.r3; }
    }
}
