//! The affine map of the last axis, with its backward pass.

use super::amx::{self, Packed};
use super::gemm::{Mat, gemm, shares};
use super::shared::SharedMut;
use crate::compute::Precision;
use rayon::prelude::*;

fn use_tiles(precision: Precision, rows: usize) -> bool {
    precision == Precision::Bf16 && rows >= 16 && amx::available()
}

/// `y[r, o] = sum_i x[r, i] w[o, i] + bias[o]`. `x: [rows, i]`, `weight: [o, i]`.
pub(crate) fn forward(rows: usize, i: usize, o: usize, x: &[f32], weight: &[f32], bias: Option<&[f32]>, precision: Precision) -> Vec<f32> {
    let mut y = vec![0.0; rows * o];
    let tiles = use_tiles(precision, rows);
    let mut right = Packed::default();
    if tiles {
        right.right_cols(i, o, |c| &weight[c * i..(c + 1) * i]);
    }
    // Few rows are shared out by columns, many by rows.
    if rows < 16 && o >= 64 {
        let out = SharedMut::new(&mut y);
        shares(o, 16).into_par_iter().for_each(|cols| {
            let n = cols.len();
            let mut product = vec![0.0; rows * n];
            gemm(rows, n, i, 1.0, Mat::rows(x, i), Mat::rows(&weight[cols.start * i..], i).t(), &mut product, n, false);
            for (r, row) in product.chunks_exact_mut(n).enumerate() {
                if let Some(bias) = bias {
                    row.iter_mut().zip(&bias[cols.clone()]).for_each(|(v, b)| *v += b);
                }
                out.write(r * o + cols.start, row, |v| v);
            }
        });
        return y;
    }
    let each = rows.div_ceil(rayon::current_num_threads().max(1)).next_multiple_of(16).min(512);
    y.par_chunks_mut(each * o).zip(x.par_chunks(each * i)).for_each_init(Packed::default, |left, (y, x)| {
        let m = y.len() / o;
        if tiles {
            left.left_rows(m, i, |r| &x[r * i..(r + 1) * i]);
            amx::gemm_packed(left, &right, y, o, false);
        } else {
            gemm(m, o, i, 1.0, Mat::rows(x, i), Mat::rows(weight, i).t(), y, o, false);
        }
        if let Some(bias) = bias {
            for row in y.chunks_exact_mut(o) {
                row.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
            }
        }
    });
    y
}

/// `dx = g w`.
pub(crate) fn backward_input(rows: usize, i: usize, o: usize, weight: &[f32], grad: &[f32], precision: Precision) -> Vec<f32> {
    let mut dx = vec![0.0; rows * i];
    let tiles = use_tiles(precision, rows);
    let mut right = Packed::default();
    if tiles {
        right.right_rows(o, i, |r| &weight[r * i..(r + 1) * i]);
    }
    let each = rows.div_ceil(rayon::current_num_threads().max(1)).next_multiple_of(16).min(512);
    dx.par_chunks_mut(each * i).zip(grad.par_chunks(each * o)).for_each_init(Packed::default, |left, (dx, g)| {
        let m = dx.len() / i;
        if tiles {
            left.left_rows(m, o, |r| &g[r * o..(r + 1) * o]);
            amx::gemm_packed(left, &right, dx, i, false);
        } else {
            gemm(m, i, o, 1.0, Mat::rows(g, o), Mat::rows(weight, i), dx, i, false);
        }
    });
    dx
}

/// `dw = g^T x` and `db = sum of g over the rows`.
pub(crate) fn backward_weight(rows: usize, i: usize, o: usize, x: &[f32], grad: &[f32], precision: Precision) -> (Vec<f32>, Vec<f32>) {
    let tiles = use_tiles(precision, rows);
    let parts: Vec<(Vec<f32>, Vec<f32>)> = shares(rows, 1)
        .into_par_iter()
        .map(|range| {
            let (mut dw, mut db) = (vec![0.0f32; o * i], vec![0.0f32; o]);
            let (mut left, mut right) = (Packed::default(), Packed::default());
            for start in range.clone().step_by(512) {
                let n = (range.end - start).min(512);
                let (x, g) = (&x[start * i..(start + n) * i], &grad[start * o..(start + n) * o]);
                if tiles {
                    left.left_cols(o, n, g, o);
                    right.right_rows(n, i, |r| &x[r * i..(r + 1) * i]);
                    amx::gemm_packed(&left, &right, &mut dw, i, true);
                } else {
                    gemm(o, i, n, 1.0, Mat::rows(g, o).t(), Mat::rows(x, i), &mut dw, i, true);
                }
                for row in g.chunks_exact(o) {
                    db.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
                }
            }
            (dw, db)
        })
        .collect();
    let mut parts = parts.into_iter();
    let (mut dw, mut db) = parts.next().unwrap_or_else(|| (vec![0.0; o * i], vec![0.0; o]));
    for (pw, pb) in parts {
        dw.iter_mut().zip(pw).for_each(|(a, b)| *a += b);
        db.iter_mut().zip(pb).for_each(|(a, b)| *a += b);
    }
    (dw, db)
}
