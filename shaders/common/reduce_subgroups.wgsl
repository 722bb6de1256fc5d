// Sums and maxima over a workgroup of REDUCE_WIDTH invocations: within each subgroup by the card's own instruction, then over the
// subgroups, of which there are few. Takes the place of reduce.wgsl where the adapter has subgroups.

override REDUCE_WIDTH: u32 = 64u;

// Where an invocation stands.
struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) lane: u32,
}

var<workgroup> reduce_scratch: array<f32, REDUCE_WIDTH>;

// The sum of everybody's value, given to everybody.
fn workgroup_sum(at: Invocation, value: f32) -> f32 {
    let within = subgroupAdd(value);
    if at.lane == 0u {
        reduce_scratch[at.subgroup] = within;
    }
    workgroupBarrier();
    var total = 0.0;
    for (var i = 0u; i < at.subgroups; i++) {
        total += reduce_scratch[i];
    }
    workgroupBarrier();
    return total;
}

// The largest of everybody's values, given to everybody.
fn workgroup_max(at: Invocation, value: f32) -> f32 {
    let within = subgroupMax(value);
    if at.lane == 0u {
        reduce_scratch[at.subgroup] = within;
    }
    workgroupBarrier();
    var largest = reduce_scratch[0];
    for (var i = 1u; i < at.subgroups; i++) {
        largest = max(largest, reduce_scratch[i]);
    }
    workgroupBarrier();
    return largest;
}
