// The first half of a group normalisation: mean and sum of squared deviations of each part of each group.
//
// Shapes    x [B, H W, C] -> moments [B, groups, parts] of (mean, sum of squared deviations), in f32
// Layout    channels last; a part is part_places consecutive places of one picture, all channels of one group
// Dispatch  a workgroup for each part: B * groups * parts, folded
// Reference GroupShape::moments in src/compute/cpu/norm.rs
//
// Two passes over the part: the mean first and then the deviations from it, which does not cancel where a mean is far from 0.

struct Parameters {
    places: u32, // H W
    channels: u32,
    groups: u32,
    parts: u32,
    part_places: u32,
    batch: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read_write> moments: array<vec2<f32>>;

@compute @workgroup_size(REDUCE_WIDTH)
fn main(at: Invocation) {
    let local = at.local;
    let number = workgroup_number(at.workgroup, at.workgroups);
    let part = number % p.parts;
    let group = number / p.parts % p.groups;
    let picture = number / p.parts / p.groups;
    let inside = picture < p.batch;
    let width = p.channels / p.groups;
    let first = part * p.part_places;
    let count = select(0u, min(p.part_places, p.places - first) * width, inside);
    let origin = (picture * p.places + first) * p.channels + group * width;

    var sum = 0.0;
    for (var i = local; i < count; i += REDUCE_WIDTH) {
        sum += f32(x[origin + i / width * p.channels + i % width]);
    }
    let mean = workgroup_sum(at, sum) / f32(max(count, 1u));
    var squares = 0.0;
    for (var i = local; i < count; i += REDUCE_WIDTH) {
        let deviation = f32(x[origin + i / width * p.channels + i % width]) - mean;
        squares += deviation * deviation;
    }
    let all_squares = workgroup_sum(at, squares);
    if local == 0u && inside {
        moments[number] = vec2(mean, all_squares);
    }
}
