// The most that multiply-adds can do: chains of them in registers alone, so that neither memory nor latency holds them up.
//
// Shapes    x [n] -> y [n], the mean over 32 chains of v after 4 `turns` times v = factor v + term; chain c begins at x + c / 4
// Layout    one value for each invocation
// Dispatch  64 invocations a workgroup: ceil(n / 64), folded
// Reference the closed form v_r = factor^r v_0 + term (1 - factor^r) / (1 - factor), in src/compute/wgpu/peak.rs

struct Parameters {
    count: u32,
    turns: u32,
    factor: f32,
    term: f32,
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
    if i >= p.count {
        return;
    }
    // Eight that do not wait for each other, of four numbers each; they begin apart, or they would be computed once.
    let v = vec4<f32>(0.0, 0.25, 0.5, 0.75) + f32(x[i]);
    var a = v;
    var b = v + 1.0;
    var c = v + 2.0;
    var d = v + 3.0;
    var e = v + 4.0;
    var f = v + 5.0;
    var g = v + 6.0;
    var h = v + 7.0;
    let factor = vec4<f32>(p.factor);
    let term = vec4<f32>(p.term);
    // Four at a time, so that counting the turns does not show.
    for (var turn = 0u; turn < p.turns; turn++) {
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
        e = fma(e, factor, term);
        f = fma(f, factor, term);
        g = fma(g, factor, term);
        h = fma(h, factor, term);
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
        e = fma(e, factor, term);
        f = fma(f, factor, term);
        g = fma(g, factor, term);
        h = fma(h, factor, term);
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
        e = fma(e, factor, term);
        f = fma(f, factor, term);
        g = fma(g, factor, term);
        h = fma(h, factor, term);
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
        e = fma(e, factor, term);
        f = fma(f, factor, term);
        g = fma(g, factor, term);
        h = fma(h, factor, term);
    }
    y[i] = Value(dot(a + b + c + d + e + f + g + h, vec4<f32>(1.0 / 32.0)));
}
