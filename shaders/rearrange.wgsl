// Copies values from one place to another: an axis permuted, a part taken out, or a part put in.
//
// Shapes    x, y of any shape of up to four axes; `extents` is that of what is copied
// Layout    value [i, j, k, l] moves from x_offset + (i, j, k, l) . x_strides to y_offset + (i, j, k, l) . y_strides
// Dispatch  64 invocations a workgroup, each of them one value: ceil(count / 64), folded
// Reference src/compute/cpu/order.rs

struct Parameters {
    extents: vec4<u32>,
    x_strides: vec4<u32>,
    y_strides: vec4<u32>,
    x_offset: u32,
    y_offset: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> x: array<Value>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = workgroup_number(workgroup, workgroups) * 64u + local;
    if i < p.count {
        var rest = i;
        var x_at = p.x_offset;
        var y_at = p.y_offset;
        for (var axis = 4u; axis > 0u; axis--) {
            let index = rest % p.extents[axis - 1u];
            rest /= p.extents[axis - 1u];
            x_at += index * p.x_strides[axis - 1u];
            y_at += index * p.y_strides[axis - 1u];
        }
        y[y_at] = x[x_at];
    }
}
