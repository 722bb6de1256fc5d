//! bf16 products with f32 sums on the matrix units of recent x86 processors (Intel AMX).
//!
//! A tile register holds 16 rows of 64 bytes; one `tdpbf16ps` adds a [16, 32] x [32, 16] product of bf16 values to a
//! [16, 16] tile of f32 (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS). The left
//! operand is loaded from rows that lie any distance apart, so the windows of a convolution are read where they are. The
//! right one is packed: 16 rows of 16 pairs, a pair being two neighbours along the contracted axis.
//!
//! A value may be split into a rounded part and a rounded rest; the three larger of the four products then give the f32
//! product to about 2^-17 of its size (the same idea as in Henry, Tang and Heinecke 2019, arXiv 1904.06376).
//!
//! Where the processor or the system has no such unit, [`available`] is false and callers use f32.

#![allow(unsafe_code)] // tile instructions exist only as assembly; measured: more than 10 times the f32 rate on one core

/// Rows of a block of results, and columns.
pub(crate) const BLOCK: usize = 32;
/// Values of the contracted axis in a tile.
pub(crate) const DEPTH: usize = 32;
/// Values in a tile of the right operand.
pub(crate) const TILE: usize = 512;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod unit {
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
    pub fn with_tiles<R>(f: impl FnOnce() -> R) -> R {
        assert!(available(), "matrix tiles on a processor without them");
        struct Release;
        impl Drop for Release {
            fn drop(&mut self) {
                // SAFETY: releases what was configured below.
                unsafe { asm!("tilerelease", options(nostack, nomem)) };
            }
        }
        // SAFETY: the processor has tiles (asserted) and the configuration is a valid 64-byte palette-1 description.
        unsafe { asm!("ldtilecfg [{}]", in(reg) CONFIG.0.as_ptr(), options(nostack, readonly)) };
        let _release = Release;
        f()
    }

    /// `c = a b`, or `c += a b` when `accumulate`, for a [32, 32] block: `runs` runs of `tiles` tiles along the contracted axis.
    ///
    /// # Safety
    /// Inside [`with_tiles`]; `a0` and `a1` point to 16 rows each, `a_row` bytes apart, of which every run reads `64 tiles`
    /// bytes, runs beginning `64 tiles + a_skip` bytes apart; `b0` and `b1` to `runs tiles` packed tiles; `c` to a block whose
    /// rows are `c_row` bytes apart.
    #[allow(clippy::too_many_arguments)] // the operands of one instruction sequence
    pub unsafe fn block(
        a0: *const u16,
        a1: *const u16,
        a_row: usize,
        a_skip: isize,
        b0: *const u16,
        b1: *const u16,
        runs: usize,
        tiles: usize,
        c: *mut f32,
        c_row: usize,
        accumulate: bool,
    ) {
        // SAFETY: upheld by the caller; only the named tiles and the block at `c` are touched. Tile registers keep their values
        // between the statements, since nothing else uses them.
        unsafe {
            let lower = c.cast::<u8>().add(16 * c_row);
            if accumulate {
                asm!(
                    "tileloadd tmm0, [{c} + {s} * 1]",
                    "tileloadd tmm1, [{c} + {s} * 1 + 64]",
                    "tileloadd tmm2, [{d} + {s} * 1]",
                    "tileloadd tmm3, [{d} + {s} * 1 + 64]",
                    c = in(reg) c, d = in(reg) lower, s = in(reg) c_row,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    options(nostack, readonly),
                );
            } else {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    options(nostack, nomem),
                );
            }
            asm!(
                "2:",
                "mov {k}, {tiles}",
                "3:",
                "tileloadd tmm4, [{a0} + {ar} * 1]",
                "tileloadd tmm6, [{b0} + {s} * 1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b1} + {s} * 1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a1} + {ar} * 1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a0}, 64",
                "add {a1}, 64",
                "add {b0}, 1024",
                "add {b1}, 1024",
                "dec {k}",
                "jnz 3b",
                "add {a0}, {skip}",
                "add {a1}, {skip}",
                "dec {runs}",
                "jnz 2b",
                a0 = inout(reg) a0 => _,
                a1 = inout(reg) a1 => _,
                b0 = inout(reg) b0 => _,
                b1 = inout(reg) b1 => _,
                k = out(reg) _,
                runs = inout(reg) runs => _,
                tiles = in(reg) tiles,
                ar = in(reg) a_row,
                skip = in(reg) a_skip,
                s = in(reg) 64usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, readonly),
            );
            asm!(
                "tilestored [{c} + {s} * 1], tmm0",
                "tilestored [{c} + {s} * 1 + 64], tmm1",
                "tilestored [{d} + {s} * 1], tmm2",
                "tilestored [{d} + {s} * 1 + 64], tmm3",
                c = in(reg) c, d = in(reg) lower, s = in(reg) c_row,
                options(nostack),
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod unit {
    /// No matrix tiles on this platform.
    pub fn available() -> bool {
        false
    }

    pub fn with_tiles<R>(_: impl FnOnce() -> R) -> R {
        unreachable!("matrix tiles on a platform without them")
    }

    /// # Safety
    /// Never called, since [`available`] is false.
    #[allow(clippy::too_many_arguments)] // the same as where there are tiles
    pub unsafe fn block(
        _: *const u16,
        _: *const u16,
        _: usize,
        _: isize,
        _: *const u16,
        _: *const u16,
        _: usize,
        _: usize,
        _: *mut f32,
        _: usize,
        _: bool,
    ) {
        unreachable!("matrix tiles on a platform without them")
    }
}

pub(crate) use unit::{available, with_tiles};

/// 16 rows of 16 words become 16 columns.
#[inline(always)]
pub(crate) fn transpose(rows: &[[u32; 16]; 16]) -> [[u32; 16]; 16] {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { wide_transpose(rows) };
    }
    std::array::from_fn(|i| std::array::from_fn(|j| rows[j][i]))
}

/// [`transpose`] by shuffles: pairs of words, of double words, then of quarters of a register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn wide_transpose(rows: &[[u32; 16]; 16]) -> [[u32; 16]; 16] {
    use std::arch::x86_64::{
        __m512i, _mm512_loadu_si512, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32,
        _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };
    let mut a = [_mm512_setzero_si512(); 16];
    for (a, row) in a.iter_mut().zip(rows) {
        // SAFETY: a row is 64 bytes.
        *a = unsafe { _mm512_loadu_si512(row.as_ptr().cast()) };
    }
    let mut b = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for i in 0..4 {
        a[4 * i] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
    // a[4 i + j] holds, in its quarter q, column 4 q + j of the rows 4 i..4 i + 4.
    let mut columns = [[0_u32; 16]; 16];
    let mut store = |column: usize, value: __m512i| {
        // SAFETY: a column is 64 bytes.
        unsafe { _mm512_storeu_si512(columns[column].as_mut_ptr().cast(), value) };
    };
    for j in 0..4 {
        let low = _mm512_shuffle_i32x4::<0b01_00_01_00>(a[j], a[4 + j]);
        let high = _mm512_shuffle_i32x4::<0b11_10_11_10>(a[j], a[4 + j]);
        let low_rest = _mm512_shuffle_i32x4::<0b01_00_01_00>(a[8 + j], a[12 + j]);
        let high_rest = _mm512_shuffle_i32x4::<0b11_10_11_10>(a[8 + j], a[12 + j]);
        store(j, _mm512_shuffle_i32x4::<0b10_00_10_00>(low, low_rest));
        store(4 + j, _mm512_shuffle_i32x4::<0b11_01_11_01>(low, low_rest));
        store(8 + j, _mm512_shuffle_i32x4::<0b10_00_10_00>(high, high_rest));
        store(12 + j, _mm512_shuffle_i32x4::<0b11_01_11_01>(high, high_rest));
    }
    columns
}

/// Rounds to nearest even, as bits in the lower half. What is no number stays none.
#[inline(always)]
pub(crate) fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() { bits >> 16 | 0x40 } else { (bits + 0x7fff + (bits >> 16 & 1)) >> 16 }
}

/// What is left of `x` after [`bf16`].
#[inline(always)]
pub(crate) fn rest(x: f32) -> f32 {
    x - f32::from_bits(bf16(x) << 16)
}

/// Two neighbours along the contracted axis in one word.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> u32 {
    bf16(first) | bf16(second) << 16
}

/// Rounds a row.
#[inline(always)]
pub(crate) fn round_row(into: &mut [u16], values: &[f32]) {
    for (b, &v) in into.iter_mut().zip(values) {
        *b = bf16(v) as u16;
    }
}

/// A right operand in packed tiles: `[columns / 16][runs * tiles][TILE]`, an even number of groups of columns.
#[derive(Debug, Default)]
pub(crate) struct Right {
    words: Vec<u32>,
    runs: usize,
    tiles: usize,
}

impl Right {
    /// Room for `runs` runs of `len` values along the contracted axis and `cols` columns, all zero.
    pub fn zeros(runs: usize, len: usize, cols: usize) -> Self {
        let mut right = Self::default();
        right.reset(runs, len, cols);
        right.words.fill(0);
        right
    }

    /// As [`Self::zeros`], but keeps what is there where the size stays.
    pub fn reset(&mut self, runs: usize, len: usize, cols: usize) {
        (self.runs, self.tiles) = (runs, len.div_ceil(DEPTH));
        let words = cols.div_ceil(BLOCK) * 2 * self.depth() * (TILE / 2);
        if self.words.len() != words {
            self.words.clear();
            self.words.resize(words, 0);
        }
    }

    /// Tiles along the contracted axis.
    fn depth(&self) -> usize {
        self.runs * self.tiles
    }

    /// The 16 words of the columns `16 group..` at the pair `(i, i + 1)` of a run, i even.
    #[inline(always)]
    pub fn line(&mut self, group: usize, run: usize, i: usize) -> &mut [u32; 16] {
        let tile = group * self.depth() + run * self.tiles + i / DEPTH;
        let start = tile * (TILE / 2) + i % DEPTH / 2 * 16;
        (&mut self.words[start..start + 16]).try_into().unwrap_or_else(|_| unreachable!("16 words"))
    }

    /// Groups of 16 columns.
    pub fn groups(&self) -> usize {
        self.words.len() / (self.depth() * (TILE / 2)).max(1)
    }

    fn group(&self, group: usize) -> &[u32] {
        &self.words[group * self.depth() * (TILE / 2)..][..self.depth() * (TILE / 2)]
    }
}

/// Rows of the left operand where they lie in memory, as bf16.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left<'a> {
    /// All of it; every run of every row reads whole tiles of [`DEPTH`] values inside.
    pub values: &'a [u16],
    /// From one row to the next.
    pub row: usize,
    /// From one run to the next.
    pub run: usize,
}

/// `block = left right`, or `block += left right` when `accumulate`, for 16 rows from each of `starts`, and columns `32 panel..`;
/// rows of the block are `stride` apart.
///
/// # Panics
/// Outside of [`with_tiles`] (undefined), or when an operand is too short.
#[inline(always)]
pub(crate) fn multiply(
    left: &Left<'_>,
    starts: [usize; 2],
    right: &Right,
    panel: usize,
    block: &mut [f32],
    stride: usize,
    accumulate: bool,
) {
    assert!(right.runs > 0 && right.tiles > 0, "an empty product");
    let reach = 15 * left.row + (right.runs - 1) * left.run + right.tiles * DEPTH;
    assert!(starts[0].max(starts[1]) + reach <= left.values.len(), "a block outside of its left operand");
    assert!(block.len() >= (BLOCK - 1) * stride + BLOCK, "a block outside of its result");
    let (b0, b1) = (right.group(2 * panel), right.group(2 * panel + 1));
    let skip = 2 * (left.run as isize - (right.tiles * DEPTH) as isize);
    // SAFETY: the assertions above bound every row of every run, and the block; the groups hold `runs tiles` tiles.
    unsafe {
        let a = left.values.as_ptr();
        unit::block(
            a.add(starts[0]),
            a.add(starts[1]),
            2 * left.row,
            skip,
            b0.as_ptr().cast(),
            b1.as_ptr().cast(),
            right.runs,
            right.tiles,
            block.as_mut_ptr(),
            4 * stride,
            accumulate,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_value_keeps_sixteen_bits() {
        for i in 1..2000 {
            let x = (i as f32 * 0.713).sin() * 10.0;
            let high = f32::from_bits(bf16(x) << 16);
            let low = f32::from_bits(bf16(rest(x)) << 16);
            assert!((x - high - low).abs() <= x.abs() * 2f32.powi(-16), "{x}");
        }
    }

    #[test]
    fn what_is_no_number_stays_none() {
        for bits in [0x7fc0_0000_u32, 0xffff_ffff, 0x7f80_0001, 0xff80_0001] {
            assert!(f32::from_bits(bf16(f32::from_bits(bits)) << 16).is_nan(), "{bits:x}");
        }
        assert_eq!(bf16(f32::INFINITY), 0x7f80);
    }

    #[test]
    fn transposing_exchanges_rows_and_columns() {
        let rows: [[u32; 16]; 16] = std::array::from_fn(|i| std::array::from_fn(|j| (100 * i + j) as u32));
        let columns = transpose(&rows);
        assert!((0..16).all(|i| (0..16).all(|j| columns[i][j] == rows[j][i])));
    }

    #[test]
    fn blocks_match_the_definition() {
        if !available() {
            return;
        }
        // Two runs of 40 values in rows 50 apart, runs 700 apart; whole numbers, which bf16 holds exactly.
        let (runs, len, cols) = (2, 40, 30);
        let value = |i: usize| ((i * 7919) % 17) as f32 - 8.0;
        let floats: Vec<f32> = (0..700 + 32 * 50 + 128).map(value).collect();
        let values: Vec<u16> = floats.iter().map(|&v| bf16(v) as u16).collect();
        let weight = |run: usize, i: usize, n: usize| value(run * 1000 + i * 31 + n * 3);
        let mut right = Right::zeros(runs, len, cols);
        for group in 0..right.groups() {
            for run in 0..runs {
                for i in (0..len).step_by(2) {
                    for (n, word) in right.line(group, run, i).iter_mut().enumerate() {
                        let n = group * 16 + n;
                        if n < cols {
                            *word = pair(weight(run, i, n), weight(run, i + 1, n));
                        }
                    }
                }
            }
        }
        let mut block = vec![1.0; BLOCK * BLOCK];
        let left = Left { values: &values, row: 50, run: 700 };
        with_tiles(|| multiply(&left, [0, 16 * 50], &right, 0, &mut block, BLOCK, true));
        for m in 0..32 {
            for n in 0..32 {
                let dot = |run: usize| (0..len).map(|i| floats[m * 50 + run * 700 + i] * weight(run, i, n)).sum::<f32>();
                let expected = if n < cols { 1.0 + dot(0) + dot(1) } else { 1.0 };
                assert_eq!(block[m * BLOCK + n], expected, "{m} {n}");
            }
        }
    }
}
