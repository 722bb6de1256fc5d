// Sums and maxima over a workgroup of REDUCE_WIDTH invocations (a power of two), by halving; for adapters without subgroups.
// Where there are subgroups, reduce_subgroups.wgsl takes this file's place.

override REDUCE_WIDTH: u32 = 64u;

// Where an invocation stands.
struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
}

var<workgroup> reduce_scratch: array<f32, REDUCE_WIDTH>;

// The sum of everybody's value, given to everybody.
fn workgroup_sum(at: Invocation, value: f32) -> f32 {
    reduce_scratch[at.local] = value;
    workgroupBarrier();
    for (var half = REDUCE_WIDTH / 2u; half > 0u; half /= 2u) {
        if at.local < half {
            reduce_scratch[at.local] += reduce_scratch[at.local + half];
        }
        workgroupBarrier();
    }
    let total = reduce_scratch[0];
    workgroupBarrier();
    return total;
}

// The largest of everybody's values, given to everybody.
fn workgroup_max(at: Invocation, value: f32) -> f32 {
    reduce_scratch[at.local] = value;
    workgroupBarrier();
    for (var half = REDUCE_WIDTH / 2u; half > 0u; half /= 2u) {
        if at.local < half {
            reduce_scratch[at.local] = max(reduce_scratch[at.local], reduce_scratch[at.local + half]);
        }
        workgroupBarrier();
    }
    let largest = reduce_scratch[0];
    workgroupBarrier();
    return largest;
}
