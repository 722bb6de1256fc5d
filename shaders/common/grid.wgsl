// Where an invocation stands in a grid of workgroups. A grid may have 65535 workgroups along an axis, so long ones are folded
// into rows: workgroup (x, y) is number x + y * columns.

fn workgroup_number(workgroup: vec3<u32>, count: vec3<u32>) -> u32 {
    return workgroup.x + workgroup.y * count.x;
}
