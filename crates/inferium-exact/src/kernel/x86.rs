//! The loop in the instructions of x86-64: AVX2, and AVX-512 with VNNI.
//!
//! The only unsafe code of the crate: reads whose bounds were compared before the loop, and calls of functions that are compiled
//! for instructions of which a token says that this machine has them.
#![expect(unsafe_code, reason = "loads within compared bounds, and calls into functions of an instruction set")]
// Closures are not compiled for a function's instructions and keep sums in memory, so loops are over indices.
#![expect(clippy::needless_range_loop, clippy::indexing_slicing, reason = "arrays of constant length; see above")]

use std::arch::x86_64::{
    __m256i, __m512i, _mm_cvtsi32_si128, _mm256_add_epi32, _mm256_load_si256, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_min_epu32, _mm256_mullo_epi32, _mm256_set1_epi32, _mm256_setzero_si256, _mm256_sra_epi32,
    _mm256_storeu_si256, _mm256_sub_epi32, _mm512_add_epi32, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32,
    _mm512_load_si512, _mm512_loadu_si512, _mm512_min_epu32, _mm512_mullo_epi32, _mm512_set1_epi32,
    _mm512_setzero_si512, _mm512_sra_epi32, _mm512_storeu_si512, _mm512_sub_epi32,
};

use super::micro::{LANES, Look, Micro, Scalar, Sums, Walk};

/// Weights of a tile's outputs for two values that follow one another, pair by pair.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Pairs(pub(crate) [[i16; 2]; LANES]);

/// The same for four values, of weights that fit a byte.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Quads(pub(crate) [[i8; 4]; LANES]);

/// This machine has AVX2: [`Avx2::detect`] makes it and nothing else can.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

/// This machine has AVX-512 F, BW, VL and VNNI: [`Vnni::detect`] makes it and nothing else can. Sums of 16-bit products.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vnni(());

/// The same, for sums of products of unsigned with signed bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VnniBytes(Vnni);

impl Avx2 {
    pub(crate) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

impl Vnni {
    pub(crate) fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        has_all.then_some(Self(()))
    }

    pub(crate) const fn bytes(self) -> VnniBytes {
        VnniBytes(self)
    }
}

impl Micro for Avx2 {
    type Weights = Pairs;
    type Value = i16;
    const GROUP: usize = 2;
    const TILES: usize = 1;
    const ROWS: [usize; 3] = [4; 3];

    fn weights(of: impl Fn(usize, usize) -> i16) -> Pairs {
        Pairs(std::array::from_fn(|lane| std::array::from_fn(|index| of(lane, index))))
    }

    #[inline(always)]
    fn narrow(value: i32) -> i16 {
        Scalar::narrow(value)
    }

    #[inline(always)]
    fn with<R>(self, work: impl FnOnce() -> R) -> R {
        // SAFETY: the token is made by `detect` alone, so the machine has AVX2.
        unsafe { with_avx2(work) }
    }

    #[inline(always)]
    fn look(self, sums: &[i32; LANES], look: Look<'_>, places: &mut [i16]) {
        // SAFETY: the token is made by `detect` alone, so the machine has the features.
        unsafe { look_avx2(sums, look, places) }
    }

    #[inline(always)]
    fn sums<const ROWS: usize, const TILES: usize>(
        self,
        panel: &[Pairs],
        values: &[i16],
        starts: [usize; ROWS],
        walk: &Walk,
    ) -> Sums<ROWS, TILES> {
        if !walk.fits((panel.len(), TILES), values.len(), &starts) {
            return [[[0; LANES]; TILES]; ROWS];
        }
        // SAFETY: the token is made by `detect` alone, so the machine has AVX2; bounds were compared above.
        unsafe { avx2(panel, values, starts, walk) }
    }
}

#[target_feature(enable = "avx2")]
fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn with_vnni<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Entries at indices, of which none is beyond the table's last.
#[inline(always)]
fn entries(indices: &[u32; LANES], table: &[i16], places: &mut [i16]) {
    // In fours, which are unrolled, and what is left.
    let mut fours = places.chunks_exact_mut(4);
    let mut next = indices.chunks_exact(4);
    for (places, indices) in fours.by_ref().zip(next.by_ref()) {
        entries_of(indices, table, places);
    }
    let places = fours.into_remainder();
    entries_of(next.next().unwrap_or_default(), table, places);
}

#[inline(always)]
fn entries_of(indices: &[u32], table: &[i16], places: &mut [i16]) {
    for (index, place) in indices.iter().zip(places) {
        // SAFETY: the callers took the smaller of the index and of the last entry's, of a table that is not empty.
        *place = unsafe { *table.get_unchecked(*index as usize) };
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn look_avx2(sums: &[i32; LANES], look: Look<'_>, places: &mut [i16]) {
    // Of an empty table the number wraps and is none of 32 bits.
    let Ok(last) = i32::try_from(look.table.len().wrapping_sub(1)) else { return };
    let (last, first) = (_mm256_set1_epi32(last), _mm256_set1_epi32(look.first));
    let shift = _mm_cvtsi32_si128(i32::from(look.shift));
    let mut indices = [0_u32; LANES];
    for half in 0..2 {
        // SAFETY: eight of 16 numbers of 32 bits, from the first or the ninth on.
        let (sums, mantissas, biases) = unsafe {
            (
                _mm256_loadu_si256(sums.as_ptr().add(half * 8).cast()),
                _mm256_loadu_si256(look.mantissas.as_ptr().add(half * 8).cast()),
                _mm256_loadu_si256(look.biases.as_ptr().add(half * 8).cast()),
            )
        };
        let raised = _mm256_add_epi32(_mm256_mullo_epi32(sums, mantissas), biases);
        let index = _mm256_sub_epi32(_mm256_sra_epi32(raised, shift), first);
        let index = _mm256_min_epu32(index, last);
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(indices.as_mut_ptr().add(half * 8).cast(), index) }
    }
    entries(&indices, look.table, places);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[inline]
fn look_vnni(sums: &[i32; LANES], look: Look<'_>, places: &mut [i16]) {
    // Of an empty table the number wraps and is none of 32 bits.
    let Ok(last) = i32::try_from(look.table.len().wrapping_sub(1)) else { return };
    // SAFETY: 16 numbers of 32 bits each.
    let (sums, mantissas, biases) = unsafe {
        (
            _mm512_loadu_si512(sums.as_ptr().cast()),
            _mm512_loadu_si512(look.mantissas.as_ptr().cast()),
            _mm512_loadu_si512(look.biases.as_ptr().cast()),
        )
    };
    let raised = _mm512_add_epi32(_mm512_mullo_epi32(sums, mantissas), biases);
    let shifted = _mm512_sra_epi32(raised, _mm_cvtsi32_si128(i32::from(look.shift)));
    let index = _mm512_min_epu32(_mm512_sub_epi32(shifted, _mm512_set1_epi32(look.first)), _mm512_set1_epi32(last));
    let mut indices = [0_u32; LANES];
    // SAFETY: 16 numbers of 32 bits.
    unsafe { _mm512_storeu_si512(indices.as_mut_ptr().cast(), index) }
    entries(&indices, look.table, places);
}

/// # Safety
/// [`Walk::fits`] said that panel and rows are long enough.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn avx2<const ROWS: usize, const TILES: usize>(
    panel: &[Pairs],
    values: &[i16],
    starts: [usize; ROWS],
    walk: &Walk,
) -> Sums<ROWS, TILES> {
    let mut sums = [[[_mm256_setzero_si256(); 2]; TILES]; ROWS];
    let mut weights = panel.as_ptr().cast::<__m256i>();
    let mut rows = [values.as_ptr(); ROWS];
    for row in 0..ROWS {
        // SAFETY: the start of a row, whose reach the caller compared with the values' length.
        rows[row] = unsafe { rows[row].add(starts[row]) };
    }
    for at in walk.offsets() {
        for tile in 0..TILES {
            // SAFETY: `Pairs` is two such registers, aligned to 64 bytes; their number was compared before.
            let halves = unsafe { [_mm256_load_si256(weights), _mm256_load_si256(weights.add(1))] };
            // SAFETY: at most one past the end.
            weights = unsafe { weights.add(2) };
            for row in 0..ROWS {
                // SAFETY: the caller compared the row's reach with the values' length.
                let pair = unsafe { rows[row].add(*at).cast::<i32>().read_unaligned() };
                let pair = _mm256_set1_epi32(pair);
                for half in 0..2 {
                    let products = _mm256_madd_epi16(halves[half], pair);
                    sums[row][tile][half] = _mm256_add_epi32(sums[row][tile][half], products);
                }
            }
        }
    }
    let mut out = [[[0; LANES]; TILES]; ROWS];
    for row in 0..ROWS {
        for tile in 0..TILES {
            let place = out[row][tile].as_mut_ptr().cast::<__m256i>();
            // SAFETY: the place is 16 numbers of 32 bits, eight for each half.
            unsafe {
                _mm256_storeu_si256(place, sums[row][tile][0]);
                _mm256_storeu_si256(place.add(1), sums[row][tile][1]);
            }
        }
    }
    out
}

/// A form of AVX-512 VNNI: what it multiplies, and the instruction that does.
macro_rules! vnni {
    ($token:ident, $weights:ident, $value:ident, $group:literal, $function:ident, $instruction:ident) => {
        impl Micro for $token {
            type Weights = $weights;
            type Value = $value;
            const GROUP: usize = $group;
            const TILES: usize = 4;
            const ROWS: [usize; 3] = [8, 8, 6];

            #[allow(clippy::cast_possible_truncation, reason = "of one form; the caller knows that it fits")]
            fn weights(of: impl Fn(usize, usize) -> i16) -> $weights {
                $weights(std::array::from_fn(|lane| std::array::from_fn(|index| of(lane, index) as _)))
            }

            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the caller knows that it fits")]
            #[inline(always)]
            fn narrow(value: i32) -> $value {
                value as $value
            }

            #[inline(always)]
            fn with<R>(self, work: impl FnOnce() -> R) -> R {
                // SAFETY: the token is made by `detect` alone, so the machine has the features.
                unsafe { with_vnni(work) }
            }

            #[inline(always)]
            fn look(self, sums: &[i32; LANES], look: Look<'_>, places: &mut [i16]) {
                // SAFETY: the token is made by `detect` alone, so the machine has the features.
                unsafe { look_vnni(sums, look, places) }
            }

            #[inline(always)]
            fn sums<const ROWS: usize, const TILES: usize>(
                self,
                panel: &[$weights],
                values: &[$value],
                starts: [usize; ROWS],
                walk: &Walk,
            ) -> Sums<ROWS, TILES> {
                if !walk.fits((panel.len(), TILES), values.len(), &starts) {
                    return [[[0; LANES]; TILES]; ROWS];
                }
                // SAFETY: the token is made by `detect` alone, so the machine has the features; bounds were compared above.
                unsafe { $function(panel, values, starts, walk) }
            }
        }

        /// # Safety
        /// [`Walk::fits`] said that panel and rows are long enough.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        #[inline]
        unsafe fn $function<const ROWS: usize, const TILES: usize>(
            panel: &[$weights],
            values: &[$value],
            starts: [usize; ROWS],
            walk: &Walk,
        ) -> Sums<ROWS, TILES> {
            let mut sums = [[_mm512_setzero_si512(); TILES]; ROWS];
            let mut next = panel.as_ptr();
            let mut rows = [values.as_ptr(); ROWS];
            for row in 0..ROWS {
                // SAFETY: the start of a row, whose reach the caller compared with the values' length.
                rows[row] = unsafe { rows[row].add(starts[row]) };
            }
            for at in walk.offsets() {
                    let mut weights = [_mm512_setzero_si512(); TILES];
                    for tile in 0..TILES {
                        // SAFETY: 64 aligned bytes each; their number was compared before, so `next` ends one past the last.
                        unsafe {
                            weights[tile] = _mm512_load_si512(next.cast::<__m512i>());
                            next = next.add(1);
                        }
                    }
                    for row in 0..ROWS {
                        // SAFETY: the caller compared the row's reach with the values' length.
                        let four = unsafe { rows[row].add(*at).cast::<i32>().read_unaligned() };
                        let four = _mm512_set1_epi32(four);
                        for tile in 0..TILES {
                            sums[row][tile] = vnni!(@$instruction sums[row][tile], weights[tile], four);
                        }
                    }
            }
            let mut out = [[[0; LANES]; TILES]; ROWS];
            for row in 0..ROWS {
                for tile in 0..TILES {
                    // SAFETY: the place is 16 numbers of 32 bits.
                    unsafe { _mm512_storeu_si512(out[row][tile].as_mut_ptr().cast::<__m512i>(), sums[row][tile]) }
                }
            }
            out
        }
    };
    (@words $sum:expr, $weights:expr, $values:expr) => {
        _mm512_dpwssd_epi32($sum, $weights, $values)
    };
    // Its first factor is the unsigned one.
    (@bytes $sum:expr, $weights:expr, $values:expr) => {
        _mm512_dpbusd_epi32($sum, $values, $weights)
    };
}

vnni!(Vnni, Pairs, i16, 2, vnni_words, words);
vnni!(VnniBytes, Quads, u8, 4, vnni_bytes, bytes);
