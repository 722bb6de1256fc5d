// Sums and maxima over a workgroup of REDUCE_WIDTH invocations (a power of two), by halving.

override REDUCE_WIDTH: u32 = 64u;

var<workgroup> reduce_scratch: array<f32, REDUCE_WIDTH>;

// The sum of everybody's value, given to everybody.
fn workgroup_sum(local: u32, value: f32) -> f32 {
    reduce_scratch[local] = value;
    workgroupBarrier();
    for (var half = REDUCE_WIDTH / 2u; half > 0u; half /= 2u) {
        if local < half {
            reduce_scratch[local] += reduce_scratch[local + half];
        }
        workgroupBarrier();
    }
    let total = reduce_scratch[0];
    workgroupBarrier();
    return total;
}

// The largest of everybody's values, given to everybody.
fn workgroup_max(local: u32, value: f32) -> f32 {
    reduce_scratch[local] = value;
    workgroupBarrier();
    for (var half = REDUCE_WIDTH / 2u; half > 0u; half /= 2u) {
        if local < half {
            reduce_scratch[local] = max(reduce_scratch[local], reduce_scratch[local + half]);
        }
        workgroupBarrier();
    }
    let largest = reduce_scratch[0];
    workgroupBarrier();
    return largest;
}
