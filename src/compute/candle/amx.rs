//! bf16 matrix products with f32 accumulation on the matrix units of recent x86 processors (Intel AMX), for training.
//!
//! A tile register holds 16 rows of 64 bytes; one `tdpbf16ps` adds a [16, 32] x [32, 16] product of bf16 values to a
//! [16, 16] tile of f32 (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS). The left
//! operand is packed as rows of 32 values, the right one as 16 rows of 16 pairs, a pair being two neighbours along the
//! contracted axis. Where the processor or the system has no such unit, [`available`] is false and callers use f32.

#![allow(unsafe_code)] // tile instructions exist only as assembly; measured: more than 20 times the f32 rate on one core

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tiles {
    use std::arch::asm;
    use std::sync::OnceLock;

    /// Palette 1 with eight tiles of 16 rows by 64 bytes.
    #[repr(C, align(64))]
    struct TileConfig([u8; 64]);

    static CONFIG: TileConfig = {
        let mut bytes = [0u8; 64];
        bytes[0] = 1;
        let mut i = 0;
        while i < 8 {
            bytes[16 + 2 * i] = 64;
            bytes[48 + i] = 16;
            i += 1;
        }
        TileConfig(bytes)
    };

    /// Whether tiles with bf16 products exist and the system lets this process use them.
    pub fn available() -> bool {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        *AVAILABLE.get_or_init(|| {
            let leaf = std::arch::x86_64::__cpuid_count(7, 0);
            let (bf16, tile) = (leaf.edx >> 22 & 1 == 1, leaf.edx >> 24 & 1 == 1);
            if !(bf16 && tile && std::is_x86_feature_detected!("avx512f")) {
                return false;
            }
            const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
            const XFEATURE_XTILEDATA: libc::c_ulong = 18;
            // SAFETY: arch_prctl with ARCH_REQ_XCOMP_PERM takes two integers and changes only this process's permissions.
            unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
        })
    }

    /// Loads the tile configuration for the duration of `f` on this thread.
    pub fn with_tiles(f: impl FnOnce()) {
        assert!(available(), "matrix tiles on a processor without them");
        // SAFETY: the processor has tiles (asserted) and the configuration is a valid 64-byte palette-1 description.
        unsafe { asm!("ldtilecfg [{}]", in(reg) CONFIG.0.as_ptr(), options(nostack, readonly)) };
        f();
        // SAFETY: releases what was configured above.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }

    /// `c += a b` for 2 x 2 tiles. Operand tiles are 1024 bytes, those of one row (column) of tiles contiguous along k.
    ///
    /// # Safety
    /// `a0, a1, b0, b1` point to `k_tiles` tiles each; `c` to a [32, 32] f32 block with rows `ldc` values apart; called
    /// inside [`with_tiles`].
    pub unsafe fn block_2x2(a0: *const u16, a1: *const u16, b0: *const u16, b1: *const u16, k_tiles: usize, c: *mut f32, ldc: usize) {
        // SAFETY: upheld by the caller; only the named tiles and the block at `c` are touched.
        unsafe {
            let c2 = c.add(16 * ldc);
            asm!(
                "tileloadd tmm0, [{c} + {ldc} * 1]",
                "tileloadd tmm1, [{c1} + {ldc} * 1]",
                "tileloadd tmm2, [{c2} + {ldc} * 1]",
                "tileloadd tmm3, [{c3} + {ldc} * 1]",
                "2:",
                "tileloadd tmm4, [{a0} + {s} * 1]",
                "tileloadd tmm6, [{b0} + {s} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {s} * 1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {s} * 1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 1024",
                "add {a1}, 1024",
                "add {b0}, 1024",
                "add {b1}, 1024",
                "dec {k}",
                "jnz 2b",
                "tilestored [{c} + {ldc} * 1], tmm0",
                "tilestored [{c1} + {ldc} * 1], tmm1",
                "tilestored [{c2} + {ldc} * 1], tmm2",
                "tilestored [{c3} + {ldc} * 1], tmm3",
                a0 = inout(reg) a0 => _,
                a1 = inout(reg) a1 => _,
                b0 = inout(reg) b0 => _,
                b1 = inout(reg) b1 => _,
                k = inout(reg) k_tiles => _,
                c = in(reg) c,
                c1 = in(reg) c.add(16),
                c2 = in(reg) c2,
                c3 = in(reg) c2.add(16),
                ldc = in(reg) ldc * 4,
                s = in(reg) 64usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod tiles {
    /// No matrix tiles on this platform.
    pub fn available() -> bool {
        false
    }

    pub fn with_tiles(_: impl FnOnce()) {
        unreachable!("matrix tiles on a platform without them")
    }

    /// # Safety
    /// Never called, since [`available`] is false.
    pub unsafe fn block_2x2(_: *const u16, _: *const u16, _: *const u16, _: *const u16, _: usize, _: *mut f32, _: usize) {
        unreachable!("matrix tiles on a platform without them")
    }
}

pub(crate) use tiles::available;

/// Values in a tile of bf16.
const TILE: usize = 512;

/// Rounds to nearest even, as bits.
#[inline(always)]
fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}

/// Two neighbours along the contracted axis in one word.
#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    bf16(first) | bf16(second) << 16
}

/// A left operand `[m, k]` or a right operand `[k, n]`, packed into tiles, padded by zeros to multiples of 32.
#[derive(Debug, Default, Clone)]
pub(crate) struct Packed {
    words: Vec<u32>,
    /// Rows (left) or columns (right).
    outer: usize,
    k_tiles: usize,
}

impl Packed {
    fn reset(&mut self, outer: usize, k: usize) {
        self.outer = outer;
        self.k_tiles = k.div_ceil(32);
        let words = outer.div_ceil(32) * 2 * self.k_tiles * (TILE / 2);
        self.words.resize(words, 0);
        if !outer.is_multiple_of(32) || !k.is_multiple_of(32) {
            self.words.fill(0);
        }
    }

    #[inline(always)]
    fn tile(&mut self, outer_tile: usize, k_tile: usize) -> &mut [u32; TILE / 2] {
        let start = (outer_tile * self.k_tiles + k_tile) * (TILE / 2);
        (&mut self.words[start..start + TILE / 2]).try_into().expect("a tile has 256 words")
    }

    /// Left operand `[m, k]` from rows that are contiguous along k. `row(i)` is the i-th row, of length `k`.
    pub fn left_rows<'a>(&mut self, m: usize, k: usize, row: impl Fn(usize) -> &'a [f32]) {
        self.reset(m, k);
        crate::compute::candle::vectorized(|| {
            for i in 0..m {
                let source = &row(i)[..k];
                for (k_tile, chunk) in source.chunks(32).enumerate() {
                    let line = &mut self.tile(i / 16, k_tile)[i % 16 * 16..][..16];
                    pack_line(line, chunk);
                }
            }
        });
    }

    /// Left operand `[m, k]` whose columns are contiguous: element `(i, j)` is `data[j * stride + i]`.
    pub fn left_cols(&mut self, m: usize, k: usize, data: &[f32], stride: usize) {
        self.reset(m, k);
        crate::compute::candle::vectorized(|| {
            for j in (0..k).step_by(2) {
                let first = &data[j * stride..][..m];
                let second = if j + 1 < k { &data[(j + 1) * stride..][..m] } else { &[][..] };
                for (i, &x) in first.iter().enumerate() {
                    let word = pair(x, second.get(i).copied().unwrap_or(0.0));
                    self.tile(i / 16, j / 32)[i % 16 * 16 + j % 32 / 2] = word;
                }
            }
        });
    }

    /// Right operand `[k, n]` from rows that are contiguous along n. `row(j)` is the j-th row, of length `n`.
    pub fn right_rows<'a>(&mut self, k: usize, n: usize, row: impl Fn(usize) -> &'a [f32]) {
        self.reset(n, k);
        let zeros = [0.0f32; 16];
        crate::compute::candle::vectorized(|| {
            for j in (0..k).step_by(2) {
                let first = &row(j)[..n];
                let second = if j + 1 < k { &row(j + 1)[..n] } else { &[][..] };
                for (n_tile, chunk) in first.chunks(16).enumerate() {
                    let line = &mut self.tile(n_tile, j / 32)[j % 32 / 2 * 16..][..16];
                    let other = if second.is_empty() { &zeros[..chunk.len()] } else { &second[n_tile * 16..][..chunk.len()] };
                    for ((word, &x), &y) in line.iter_mut().zip(chunk).zip(other) {
                        *word = pair(x, y);
                    }
                }
            }
        });
    }

    /// Right operand `[k, n]` whose columns are contiguous along k. `col(i)` is the i-th column, of length `k`.
    pub fn right_cols<'a>(&mut self, k: usize, n: usize, col: impl Fn(usize) -> &'a [f32]) {
        self.reset(n, k);
        crate::compute::candle::vectorized(|| {
            for i in 0..n {
                let source = &col(i)[..k];
                for (k_tile, chunk) in source.chunks(32).enumerate() {
                    let mut line = [0u32; 16];
                    pack_line(&mut line, chunk);
                    let tile = self.tile(i / 16, k_tile);
                    for (r, word) in line.into_iter().enumerate() {
                        tile[r * 16 + i % 16] = word;
                    }
                }
            }
        });
    }

    /// Right operand `[taps, pixels]` of a convolution: `source[tap_offsets[j] + pixel_offsets[i]]`.
    pub fn right_gather(&mut self, source: &[f32], tap_offsets: &[usize], pixel_offsets: &[usize], run: usize) {
        let (k, n) = (tap_offsets.len(), pixel_offsets.len());
        self.reset(n, k);
        crate::compute::candle::vectorized(|| {
            let mut first = [0.0f32; 16];
            let mut second = [0.0f32; 16];
            for (n_tile, pixels) in pixel_offsets.chunks(16).enumerate() {
                for j in (0..k).step_by(2) {
                    gather(&mut first, source, tap_offsets[j], pixels, run);
                    if j + 1 < k {
                        gather(&mut second, source, tap_offsets[j + 1], pixels, run);
                    } else {
                        second = [0.0; 16];
                    }
                    let line: &mut [u32; 16] =
                        (&mut self.tile(n_tile, j / 32)[j % 32 / 2 * 16..][..16]).try_into().expect("a line has 16 words");
                    for ((word, &x), &y) in line.iter_mut().zip(&first).zip(&second) {
                        *word = pair(x, y);
                    }
                }
            }
        });
    }

    /// Left operand `[taps, pixels]` of a weight gradient, gathered as in [`Self::right_gather`].
    pub fn left_gather(&mut self, source: &[f32], tap_offsets: &[usize], pixel_offsets: &[usize], run: usize) {
        let (m, k) = (tap_offsets.len(), pixel_offsets.len());
        self.reset(m, k);
        crate::compute::candle::vectorized(|| {
            let mut values = [0.0f32; 32];
            for (i, &tap) in tap_offsets.iter().enumerate() {
                for (k_tile, pixels) in pixel_offsets.chunks(32).enumerate() {
                    let (low, high) = pixels.split_at(pixels.len().min(16));
                    gather(first_half(&mut values), source, tap, low, run);
                    gather(second_half(&mut values), source, tap, high, run);
                    let line: &mut [u32; 16] =
                        (&mut self.tile(i / 16, k_tile)[i % 16 * 16..][..16]).try_into().expect("a line has 16 words");
                    for (word, xy) in line.iter_mut().zip(values.as_chunks::<2>().0) {
                        *word = pair(xy[0], xy[1]);
                    }
                }
            }
        });
    }
}

#[inline(always)]
fn first_half(values: &mut [f32; 32]) -> &mut [f32; 16] {
    (&mut values[..16]).try_into().expect("half of 32")
}

#[inline(always)]
fn second_half(values: &mut [f32; 32]) -> &mut [f32; 16] {
    (&mut values[16..]).try_into().expect("half of 32")
}

#[inline(always)]
fn pack_line(line: &mut [u32], chunk: &[f32]) {
    let (pairs, rest) = chunk.as_chunks::<2>();
    for (word, xy) in line.iter_mut().zip(pairs) {
        *word = pair(xy[0], xy[1]);
    }
    if let [last] = rest {
        line[pairs.len()] = pair(*last, 0.0);
    }
}

/// Up to 16 values `source[tap + pixels[i]]`, where pixels come in contiguous runs of `run`; the rest zero.
#[inline(always)]
pub(crate) fn gather(into: &mut [f32; 16], source: &[f32], tap: usize, pixels: &[usize], run: usize) {
    if run >= 16 && pixels.len() == 16 {
        into.copy_from_slice(&source[tap + pixels[0]..][..16]);
    } else if run == 8 && pixels.len() == 16 {
        into[..8].copy_from_slice(&source[tap + pixels[0]..][..8]);
        into[8..].copy_from_slice(&source[tap + pixels[8]..][..8]);
    } else {
        *into = [0.0; 16];
        for (value, &pixel) in into.iter_mut().zip(pixels) {
            *value = source[tap + pixel];
        }
    }
}

/// `c = a b`, or `c += a b` when `accumulate`; `c: [m, n]` with rows `ldc` apart. Single-threaded.
pub(crate) fn gemm_packed(a: &Packed, b: &Packed, c: &mut [f32], ldc: usize, accumulate: bool) {
    assert_eq!(a.k_tiles, b.k_tiles, "packed operands of different depth");
    let (m, n, k_tiles) = (a.outer, b.outer, a.k_tiles);
    if m == 0 || n == 0 {
        return;
    }
    assert!((m - 1) * ldc + n <= c.len(), "packed product outside of its result");
    if !accumulate {
        for row in c.chunks_mut(ldc).take(m) {
            row[..n].fill(0.0);
        }
    }
    if k_tiles == 0 {
        return;
    }
    let mut edge = [0.0f32; 32 * 32];
    let tile_of =
        |p: &Packed, outer_tile: usize| p.words[outer_tile * k_tiles * (TILE / 2)..][..k_tiles * (TILE / 2)].as_ptr().cast::<u16>();
    tiles::with_tiles(|| {
        for n0 in (0..n).step_by(32) {
            for m0 in (0..m).step_by(32) {
                let (rows, cols) = ((m - m0).min(32), (n - n0).min(32));
                let (a0, a1) = (tile_of(a, m0 / 16), tile_of(a, m0 / 16 + 1));
                let (b0, b1) = (tile_of(b, n0 / 16), tile_of(b, n0 / 16 + 1));
                if rows == 32 && cols == 32 {
                    let block = &mut c[m0 * ldc + n0..][..31 * ldc + 32];
                    // SAFETY: the slices checked above hold `k_tiles` tiles each, `block` a [32, 32] block with rows `ldc` apart.
                    unsafe { tiles::block_2x2(a0, a1, b0, b1, k_tiles, block.as_mut_ptr(), ldc) };
                } else {
                    for r in 0..rows {
                        edge[r * 32..r * 32 + cols].copy_from_slice(&c[(m0 + r) * ldc + n0..][..cols]);
                    }
                    // SAFETY: as above, with a [32, 32] block of its own.
                    unsafe { tiles::block_2x2(a0, a1, b0, b1, k_tiles, edge.as_mut_ptr(), 32) };
                    for r in 0..rows {
                        c[(m0 + r) * ldc + n0..][..cols].copy_from_slice(&edge[r * 32..r * 32 + cols]);
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(x: f32) -> f32 {
        f32::from_bits(bf16(x) << 16)
    }

    #[test]
    fn bf16_rounds_to_nearest_even() {
        assert_eq!(round(1.0), 1.0);
        assert_eq!(round(1.0 + 1.0 / 256.0), 1.0); // half way, to even
        assert_eq!(round(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert_eq!(round(-2.718_281_7), -2.718_75);
    }

    #[test]
    fn packed_products_match_the_definition() {
        if !available() {
            eprintln!("no matrix tiles on this processor: nothing to compare");
            return;
        }
        for (m, n, k) in [(1, 1, 1), (16, 16, 32), (33, 31, 35), (64, 100, 144), (5, 64, 7)] {
            let a: Vec<f32> = (0..m * k).map(|i| round((i as f32 * 0.37).sin())).collect();
            let b: Vec<f32> = (0..k * n).map(|i| round((i as f32 * 0.91).cos())).collect();
            let at: Vec<f32> = (0..m * k).map(|i| a[(i % m) * k + i / m]).collect();
            let bt: Vec<f32> = (0..n * k).map(|i| b[(i % k) * n + i / k]).collect();
            let (mut a1, mut a2, mut b1, mut b2) = (Packed::default(), Packed::default(), Packed::default(), Packed::default());
            a1.left_rows(m, k, |i| &a[i * k..][..k]);
            a2.left_cols(m, k, &at, m);
            b1.right_rows(k, n, |j| &b[j * n..][..n]);
            b2.right_cols(k, n, |i| &bt[i * k..][..k]);
            for (pa, pb) in [(&a1, &b1), (&a2, &b2)] {
                let mut c = vec![1.0; m * n];
                gemm_packed(pa, pb, &mut c, n, true);
                for (i, &x) in c.iter().enumerate() {
                    let y = 1.0 + (0..k).map(|j| a[(i / n) * k + j] * b[j * n + i % n]).sum::<f32>();
                    assert!((x - y).abs() < 1e-3, "{m} {n} {k}: {x} {y}");
                }
            }
        }
    }
}
