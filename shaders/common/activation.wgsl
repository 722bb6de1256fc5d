// The elementwise nonlinearities, as src/compute/mod.rs defines them. Arguments of exp are bounded, so that it stays finite.

const IDENTITY: u32 = 0u;
const SILU: u32 = 1u;
const GELU: u32 = 2u;
const QUICK_GELU: u32 = 3u;

// 1 / (1 + exp(-x))
fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}

// x Phi(x), with Phi to 1e-7 (Abramowitz and Stegun 1964, 7.1.26 for the error function).
fn gelu(x: f32) -> f32 {
    let z = min(abs(x) * 0.70710678, 9.0);
    let t = 1.0 / (1.0 + 0.3275911 * z);
    let p = ((((1.0614054 * t - 1.4531521) * t + 1.4214138) * t - 0.28449672) * t + 0.2548296) * t;
    let upper_tail = 0.5 * p * exp(-z * z);
    return x * select(upper_tail, 1.0 - upper_tail, x >= 0.0);
}

fn activated(kind: u32, x: f32) -> f32 {
    switch kind {
        case SILU: { return x * sigmoid(x); }
        case GELU: { return gelu(x); }
        case QUICK_GELU: { return x * sigmoid(1.702 * x); }
        default: { return x; }
    }
}
