//! Matrix products of strided views on one thread, in f32 over the `gemm` crate.
//!
//! Callers share work out between threads themselves, where they know what is independent.

#![allow(unsafe_code)] // the gemm crate takes raw pointers; bounds are asserted here first

/// A strided view of a matrix: element `(r, c)` is `data[r * row_stride + c * col_stride]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Rows one after the other, `stride` apart.
    pub fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, row_stride: stride, col_stride: 1 }
    }

    /// The transpose.
    pub fn t(self) -> Self {
        Self { data: self.data, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    fn covers(&self, rows: usize, cols: usize) -> bool {
        rows == 0 || cols == 0 || (rows - 1) * self.row_stride + (cols - 1) * self.col_stride < self.data.len()
    }
}

/// `c = scale * a b`, or `c += scale * a b` when `accumulate`. `a: [m, k]`, `b: [k, n]`, `c: [m, n]` with rows `ldc` apart.
#[allow(clippy::too_many_arguments)] // the arguments of every BLAS gemm
pub(crate) fn gemm(m: usize, n: usize, k: usize, scale: f32, a: Mat, b: Mat, c: &mut [f32], ldc: usize, accumulate: bool) {
    if m == 0 || n == 0 {
        return;
    }
    assert!(a.covers(m, k) && b.covers(k, n) && (m - 1) * ldc + n <= c.len(), "matrix product outside of its operands");
    let beta = scale;
    let alpha = if accumulate { 1.0 } else { 0.0 };
    // SAFETY: the assertion above keeps every index that a [m, k] x [k, n] product touches inside the three slices,
    // and `c` is borrowed mutably, so it overlaps neither operand.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            ldc as isize,
            accumulate,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            alpha,
            beta,
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}

/// Splits `total` rows into as many even ranges as there are threads, multiples of `grain` apart.
pub(crate) fn shares(total: usize, grain: usize) -> Vec<std::ops::Range<usize>> {
    let threads = rayon::current_num_threads().max(1);
    let each = total.div_ceil(threads).div_ceil(grain) * grain;
    (0..total).step_by(each.max(1)).map(|start| start..(start + each).min(total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_products_match_the_definition() {
        for (m, n, k) in [(1, 1, 1), (3, 5, 7), (16, 17, 33), (2, 64, 1)] {
            let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i as f32 * 0.91).cos()).collect();
            let expected: Vec<f32> =
                (0..m * n).map(|i| (0..k).map(|j| a[(i / n) * k + j] * b[j * n + i % n]).sum::<f32>() * 0.5 + 1.0).collect();
            let mut c = vec![1.0; m * n];
            gemm(m, n, k, 0.5, Mat::rows(&a, k), Mat::rows(&b, n), &mut c, n, true);
            for (x, y) in c.iter().zip(&expected) {
                assert!((x - y).abs() < 1e-4, "{x} {y}");
            }
            let bt: Vec<f32> = (0..n * k).map(|i| b[(i % k) * n + i / k]).collect();
            let mut d = vec![f32::NAN; m * n];
            gemm(m, n, k, 1.0, Mat::rows(&a, k), Mat::rows(&bt, k).t(), &mut d, n, false);
            for (x, y) in d.iter().zip(&expected) {
                assert!((x - (y - 1.0) * 2.0).abs() < 1e-4, "{x} {y}");
            }
        }
    }
}
