//! The inner loop of everything in f32: a block of dot products held in registers.
//!
//! Rows of the left operand are places (pixels, tokens), columns of the right one are channels, side by side in vector
//! registers. Both operands are walked in `runs`, so that a convolution reads its windows where they lie: over pixels of
//! `[row, column, channel]` the taps `(kx, c)` of one kernel row are neighbours in memory.

#![allow(unsafe_code)] // measured: bounds checks in the inner loop halve its speed; every index is checked beforehand

use pulp::{Arch, Simd, WithSimd};

/// Columns of a panel of the right operand: two of the widest vectors.
pub(crate) const PANEL: usize = 32;
/// Rows of a block.
const ROWS: usize = 8;

/// `sum over groups g, runs r and i < len of a[row(m) + g a_group + r a_run + i a_step] b[panel(n) + g b_group + r b_run + i b_step +
/// n % PANEL]`, where `row(m) = m / line * a_line + m % line * a_row`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    /// The left operand.
    pub a: &'a [f32],
    /// From one row to the next within a line.
    pub a_row: usize,
    /// Rows of a line.
    pub line: usize,
    /// From one line to the next.
    pub a_line: usize,
    /// From one group of runs to the next.
    pub a_group: usize,
    /// From one run to the next.
    pub a_run: usize,
    /// Along a run.
    pub a_step: usize,
    /// The right operand: all columns of a panel are readable even where there are fewer.
    pub b: &'a [f32],
    /// From one panel of columns to the next.
    pub b_panel: usize,
    /// From one group of runs to the next.
    pub b_group: usize,
    /// From one run to the next.
    pub b_run: usize,
    /// Along a run.
    pub b_step: usize,
    /// Number of groups.
    pub groups: usize,
    /// Runs of a group.
    pub runs: usize,
    /// Length of a run.
    pub len: usize,
    /// Rows of the result.
    pub rows: usize,
    /// Columns of the result.
    pub cols: usize,
}

impl Product<'_> {
    /// Computes the product and hands it to `sink(row, col, values)`, up to [`PANEL`] columns at a time.
    ///
    /// # Panics
    /// When it would read outside of its operands.
    #[inline]
    pub fn run(&self, sink: impl FnMut(usize, usize, &[f32])) {
        if self.rows == 0 || self.cols == 0 {
            return;
        }
        assert!(self.groups > 0 && self.runs > 0 && self.len > 0 && self.line > 0, "an empty product");
        let (lines, in_line) = ((self.rows - 1) / self.line, (self.rows - 1).min(self.line - 1));
        let last_row = lines * self.a_line + in_line * self.a_row;
        let last_a = last_row + (self.groups - 1) * self.a_group + (self.runs - 1) * self.a_run + (self.len - 1) * self.a_step;
        let panels = self.cols.div_ceil(PANEL);
        let last_place = (self.groups - 1) * self.b_group + (self.runs - 1) * self.b_run + (self.len - 1) * self.b_step;
        let last_b = (panels - 1) * self.b_panel + last_place + PANEL - 1;
        assert!(last_a < self.a.len() && last_b < self.b.len(), "a product outside of its operands");
        Arch::new().dispatch(Run { product: *self, sink });
    }
}

struct Run<'a, F> {
    product: Product<'a>,
    sink: F,
}

impl<F: FnMut(usize, usize, &[f32])> WithSimd for Run<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { product: p, mut sink } = self;
        match S::F32_LANES {
            16 => panels::<S, F, ROWS, 2>(simd, &p, &mut sink),
            8 => panels::<S, F, 6, 2>(simd, &p, &mut sink),
            4 => panels::<S, F, ROWS, 2>(simd, &p, &mut sink),
            _ => panels::<S, F, 4, 4>(simd, &p, &mut sink),
        }
    }
}

/// All blocks: panels of columns outside, so that a panel stays in the cache over the rows.
#[inline(always)]
fn panels<S: Simd, F: FnMut(usize, usize, &[f32]), const M: usize, const N: usize>(simd: S, p: &Product<'_>, sink: &mut F) {
    let strip = N * S::F32_LANES;
    for panel in 0..p.cols.div_ceil(PANEL) {
        let col0 = panel * PANEL;
        let cols = (p.cols - col0).min(PANEL);
        let (mut row, mut line, mut in_line) = (0, 0, 0);
        while row < p.rows {
            let left = p.rows - row;
            let mut col = 0;
            let taken = match left {
                left if left >= M => M,
                left if left >= 4 => 4,
                left if left >= 2 => 2,
                _ => 1,
            };
            // Counted along: a division for every row would be felt in short products.
            let mut starts = [0; M];
            for start in &mut starts[..taken] {
                *start = line * p.a_line + in_line * p.a_row;
                in_line += 1;
                if in_line == p.line {
                    (line, in_line) = (line + 1, 0);
                }
            }
            while col < cols {
                let b = panel * p.b_panel + col;
                let width = (cols - col).min(strip);
                // SAFETY: `Product::run` has checked the furthest element of both operands; rows and columns stay below its.
                unsafe {
                    if taken == M {
                        block::<S, F, M, N>(simd, p, &starts, b, (row, col0 + col, width), sink);
                    } else if taken == 4 {
                        block::<S, F, 4, N>(simd, p, &starts, b, (row, col0 + col, width), sink);
                    } else if taken == 2 {
                        block::<S, F, 2, N>(simd, p, &starts, b, (row, col0 + col, width), sink);
                    } else {
                        block::<S, F, 1, N>(simd, p, &starts, b, (row, col0 + col, width), sink);
                    }
                }
                col += strip;
            }
            row += taken;
        }
    }
}

/// One block of `M` rows, which begin at `starts` of the left operand, by `N` vectors.
///
/// # Safety
/// Every element that the block's formula names lies inside `p.a` and `p.b`.
#[inline(always)]
unsafe fn block<S: Simd, F: FnMut(usize, usize, &[f32]), const M: usize, const N: usize>(
    simd: S,
    p: &Product<'_>,
    starts: &[usize],
    b: usize,
    (row, col, width): (usize, usize, usize),
    sink: &mut F,
) {
    let lanes = S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    // SAFETY: the caller's promise.
    let starts: [*const f32; M] = std::array::from_fn(|m| unsafe { p.a.as_ptr().add(starts[m]) });
    for group in 0..p.groups {
        for run in 0..p.runs {
            let mut at = group * p.a_group + run * p.a_run;
            // SAFETY: the caller's promise.
            let mut right = unsafe { p.b.as_ptr().add(b + group * p.b_group + run * p.b_run) };
            for _ in 0..p.len {
                // SAFETY: the caller's promise.
                unsafe {
                    let mut vectors = [simd.splat_f32s(0.0); N];
                    for (n, vector) in vectors.iter_mut().enumerate() {
                        *vector = right.add(n * lanes).cast::<S::f32s>().read_unaligned();
                    }
                    for (start, sums) in starts.iter().zip(&mut sums) {
                        let value = simd.splat_f32s(*start.add(at));
                        for (sum, &vector) in sums.iter_mut().zip(&vectors) {
                            *sum = simd.mul_add_e_f32s(value, vector, *sum);
                        }
                    }
                }
                at += p.a_step;
                right = right.wrapping_add(p.b_step);
            }
        }
    }
    let mut values = [0.0_f32; PANEL];
    for (m, sums) in sums.iter().enumerate() {
        for (n, sum) in sums.iter().enumerate() {
            // SAFETY: N vectors fill no more than a panel.
            unsafe { values.as_mut_ptr().add(n * lanes).cast::<S::f32s>().write_unaligned(*sum) };
        }
        sink(row + m, col, &values[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs a right operand `[k, cols]`, element `(i, n)` being `value(i, n)`, into panels of [`PANEL`] columns, zeros behind the
    /// last one: `[panel][k][PANEL]`.
    fn pack(k: usize, cols: usize, value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let mut packed = vec![0.0; cols.div_ceil(PANEL) * k * PANEL];
        for (panel, block) in packed.chunks_exact_mut((k * PANEL).max(1)).enumerate() {
            let cols = (cols - panel * PANEL).min(PANEL);
            for (i, row) in block.chunks_exact_mut(PANEL).enumerate() {
                for (n, packed) in row.iter_mut().take(cols).enumerate() {
                    *packed = value(i, panel * PANEL + n);
                }
            }
        }
        packed
    }

    /// Computes `product` and compares every value with what is `expected` of its row and column.
    fn check(product: &Product<'_>, expected: impl Fn(usize, usize) -> f32, name: &str) {
        let Product { rows, cols, .. } = *product;
        let mut c = vec![f32::NAN; rows * cols];
        product.run(
            #[inline(always)]
            |row, col, values| c[row * cols + col..][..values.len()].copy_from_slice(values),
        );
        for row in 0..rows {
            for col in 0..cols {
                assert!((c[row * cols + col] - expected(row, col)).abs() < 1e-5, "{name}: {row} {col}");
            }
        }
    }

    #[test]
    fn products_match_the_definition_at_every_remainder() {
        for (line, lines, cols, k) in [
            (1, 1, 1, 1),
            (3, 1, 5, 7),
            (8, 1, 32, 9),
            (13, 1, 40, 33),
            (16, 1, 64, 3),
            (7, 1, 70, 2),
            (16, 2, 64, 3),
            (7, 3, 70, 2),
            (1, 9, 33, 4),
        ] {
            // Something lies between the lines that does not belong to them.
            let (rows, a_line) = (line * lines, line * k + 3);
            let a: Vec<f32> = (0..lines * a_line).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..k * cols).map(|i| (i as f32 * 0.91).cos()).collect();
            let packed = pack(k, cols, |i, n| b[i * cols + n]);
            let product = Product {
                a: &a,
                a_row: k,
                line,
                a_line,
                a_group: 0,
                a_run: 0,
                a_step: 1,
                b: &packed,
                b_panel: k * PANEL,
                b_group: 0,
                b_run: 0,
                b_step: PANEL,
                groups: 1,
                runs: 1,
                len: k,
                rows,
                cols,
            };
            let expected = |row: usize, col: usize| {
                let start = row / line * a_line + row % line * k;
                (0..k).map(|i| a[start + i] * b[i * cols + col]).sum()
            };
            check(&product, expected, &format!("{line} x {lines} {cols} {k}"));
        }
    }

    #[test]
    fn groups_and_runs_are_summed() {
        let (rows, cols, groups, runs, len) = (7, 35, 3, 2, 5);
        let (a_group, a_run, a_step) = (101, 40, 7);
        let a: Vec<f32> = (0..groups * a_group).map(|i| (i as f32 * 0.37).sin()).collect();
        let (b_group, b_run) = (runs * len * PANEL, len * PANEL);
        let b: Vec<f32> = (0..2 * groups * b_group).map(|i| (i as f32 * 0.91).cos()).collect();
        let b_panel = groups * b_group;
        let product = Product {
            a: &a,
            a_row: 1,
            line: rows,
            a_line: 0,
            a_group,
            a_run,
            a_step,
            b: &b,
            b_panel,
            b_group,
            b_run,
            b_step: PANEL,
            groups,
            runs,
            len,
            rows,
            cols,
        };
        let expected = |row: usize, col: usize| {
            let mut sum = 0.0;
            for (group, run, i) in (0..groups).flat_map(|g| (0..runs).flat_map(move |r| (0..len).map(move |i| (g, r, i)))) {
                let right = b[col / PANEL * b_panel + group * b_group + run * b_run + i * PANEL + col % PANEL];
                sum += a[row + group * a_group + run * a_run + i * a_step] * right;
            }
            sum
        };
        check(&product, expected, "groups and runs");
    }
}
