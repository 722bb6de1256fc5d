//! Elementary functions in plain f32 arithmetic that the compiler turns into vector code, with their derivatives.

use crate::compute::Activation;

/// `exp(x)` to about two units in the last place (range reduction by ln 2, Cephes' polynomial, S. Moshier 1992).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to an integer kept in the low bits
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * 0.693_359_4;
    let r = r + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    y * f32::from_bits(exponent)
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The standard normal distribution function, absolute error below 1e-7 (Abramowitz and Stegun 1964, 7.1.26 for erf), and
/// `exp(-x^2 / 2)`.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = ((((1.061_405_4 * t - 1.453_152_1) * t + 1.421_413_8) * t - 0.284_496_72) * t + 0.254_829_6) * t;
    let bell = exp(-z * z);
    let upper_tail = 0.5 * p * bell;
    (if x >= 0.0 { 1.0 - upper_tail } else { upper_tail }, bell)
}

/// `x Phi(x)`.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    x * normal(x).0
}

/// [`gelu`] and its derivative, `Phi(x) + x phi(x)`, of which the exponential is shared.
#[inline(always)]
pub(crate) fn gelu_and_slope(x: f32) -> (f32, f32) {
    const INV_SQRT_TAU: f32 = 0.398_942_3;
    let (cdf, bell) = normal(x);
    (x * cdf, cdf + x * INV_SQRT_TAU * bell)
}

/// Derivative of [`gelu`].
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    gelu_and_slope(x).1
}

/// The activation at `x`.
#[inline(always)]
pub(crate) fn activate(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Identity => x,
        Activation::Silu => x * sigmoid(x),
        Activation::Gelu => gelu(x),
        Activation::QuickGelu => x * sigmoid(1.702 * x),
    }
}

/// Its derivative at `x`.
#[inline(always)]
pub(crate) fn slope(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Identity => 1.0,
        Activation::Silu => {
            let s = sigmoid(x);
            s * (1.0 + x * (1.0 - s))
        }
        Activation::Gelu => gelu_slope(x),
        Activation::QuickGelu => {
            let s = sigmoid(1.702 * x);
            s * (1.0 + 1.702 * x * (1.0 - s))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_library_function() {
        for i in -8600..=8700 {
            let x = i as f32 * 0.01;
            let (a, b) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(((a - b) / b).abs() < 3e-7, "exp({x}) = {a}, expected {b}");
        }
        assert!(exp(-1000.0) < 1e-37 && exp(1000.0) > 1e38);
    }

    #[test]
    fn slopes_are_the_derivatives() {
        for activation in [Activation::Identity, Activation::Silu, Activation::Gelu, Activation::QuickGelu] {
            for i in -60..60 {
                let (x, h) = (i as f32 * 0.1, 1e-2);
                let numeric = (activate(activation, x + h) - activate(activation, x - h)) / (2.0 * h);
                assert!((numeric - slope(activation, x)).abs() < 1e-3, "{activation:?} at {x}");
            }
        }
    }

    #[test]
    fn gelu_reference_values() {
        // scipy.stats.norm.cdf(x) * x
        for (x, y) in [(-3.0, -0.004_049_694), (-1.0, -0.158_655_25), (0.5, 0.345_731_23), (2.0, 1.954_499_7)] {
            assert!((gelu(x) - y).abs() < 1e-6, "gelu({x}) = {}", gelu(x));
        }
    }
}
