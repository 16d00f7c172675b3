//! Products of a block of rows with a panel of outputs: the one loop that each instruction set has its own form of.
//!
//! # Why every form gives the same integers
//! Each computes `Σ w·x` modulo 2³², in some order, and nothing in them saturates:
//! - a product of two 16-bit numbers fits 32 bits, and so do the scalar form's;
//! - `pmaddwd` adds two such products. Their sum leaves 32 bits in one case alone, of four times −32768, where it is
//!   2³¹ and the instruction gives −2³¹: the same modulo 2³²;
//! - `vpdpwssd` adds two such products, and `vpdpbusd` four of an unsigned with a signed byte, to a 32-bit sum, modulo 2³². Their
//!   saturating twins end in `s` and are not used; nor is `pmaddubsw`, which saturates at 16 bits.
//!
//! Addition modulo 2³² is associative, so all orders agree, and the gate says that the sum itself is within
//! ±[`crate::ACCUMULATOR_MAX`] < 2³¹: the representative modulo 2³² is the sum. (It also says so of every partial sum, and
//! refuses the one case above: (−32768)² = 2³⁰ is beyond the bound. What is here does not depend on that.)

/// Outputs of a tile: the 32-bit lanes of a register of AVX-512.
pub(crate) const LANES: usize = 16;

/// Sums of each row and tile.
pub(crate) type Sums<const ROWS: usize, const TILES: usize> = [[[i32; LANES]; TILES]; ROWS];

/// How a row is read: where each group of values is, from the row's start on.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    offsets: Vec<usize>,
    /// From a row's start to the end of the farthest group; no offset is beyond, which the unchecked forms rest on.
    reach: usize,
}

impl Walk {
    /// Of groups of so many values.
    pub(crate) fn new(offsets: Vec<usize>, group: usize) -> Self {
        let reach = offsets.iter().max().map_or(0, |farthest| farthest.saturating_add(group));
        Self { offsets, reach }
    }

    pub(crate) fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Whether so many weights and values are as many as the walk reads beside so many tiles. What the unchecked forms rest on.
    #[inline(always)]
    pub(crate) fn fits<const ROWS: usize>(
        &self,
        (weights, tiles): (usize, usize),
        values: usize,
        starts: &[usize; ROWS],
    ) -> bool {
        let farthest = starts.iter().fold(0, |farthest, start| farthest.max(*start));
        let end = farthest.checked_add(self.reach);
        let needed = self.offsets.len().checked_mul(tiles);
        end.is_some_and(|end| end <= values) && needed.is_some_and(|needed| needed <= weights)
    }
}

/// What becomes of a tile's sums `z`: `table[((mantissa · z + bias) >> shift) − first]`, lane by lane.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) mantissas: &'a [i32; LANES],
    pub(crate) biases: &'a [i32; LANES],
    pub(crate) shift: u8,
    pub(crate) first: i32,
    pub(crate) table: &'a [i16],
}

/// The loop in one instruction set.
pub(crate) trait Micro: Copy {
    /// Weights of a tile for one group of values.
    type Weights: Copy;
    /// What values are narrowed to.
    type Value: Copy + Default;
    /// Values of a group.
    const GROUP: usize;
    /// Tiles of a panel at most, 1 or 4: registers are few.
    const TILES: usize;
    /// Rows of a block at most beside 1, 2 and 4 tiles: 1, 4, 6 or 8.
    const ROWS: [usize; 3];

    /// Weights of one tile for one group, from one array of [`Micro::GROUP`] weights for each lane.
    fn weights(of: impl Fn(usize, usize) -> i16) -> Self::Weights;

    /// A value that is known to fit.
    fn narrow(value: i32) -> Self::Value;

    /// Runs `work` compiled for the instruction set, as far as it is inlined: for the loops around the products.
    fn with<R>(self, work: impl FnOnce() -> R) -> R;

    /// Table entries of as many lanes as there are places. The gate keeps indices within the table; one that is not has
    /// some entry of it, or none is written.
    fn look(self, sums: &[i32; LANES], look: Look<'_>, places: &mut [i16]);

    /// Sums of `ROWS` rows, which begin at `starts` in `values`, and `TILES` tiles. The panel's weights are those of all tiles for
    /// the first group, then for the next. Zeros if a row or the panel is shorter than the walk: a defect of the caller.
    fn sums<const ROWS: usize, const TILES: usize>(
        self,
        panel: &[Self::Weights],
        values: &[Self::Value],
        starts: [usize; ROWS],
        walk: &Walk,
    ) -> Sums<ROWS, TILES>;
}

/// Weights of a tile's outputs for one value.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct Ones(pub(crate) [i16; LANES]);

/// Portable code, laid out so that a compiler puts lanes into whatever vector registers there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar;

impl Micro for Scalar {
    type Weights = Ones;
    type Value = i16;
    const GROUP: usize = 1;
    const TILES: usize = 1;
    // The accumulators of one row fill the registers of the narrowest machines.
    const ROWS: [usize; 3] = [1; 3];

    fn weights(of: impl Fn(usize, usize) -> i16) -> Ones {
        Ones(std::array::from_fn(|lane| of(lane, 0)))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the caller knows that it fits")]
    #[inline(always)]
    fn narrow(value: i32) -> i16 {
        value as i16
    }

    fn with<R>(self, work: impl FnOnce() -> R) -> R {
        work()
    }

    fn look(self, sums: &[i32; LANES], look: Look<'_>, places: &mut [i16]) {
        let lanes = sums.iter().zip(look.mantissas).zip(look.biases);
        for (((sum, mantissa), bias), place) in lanes.zip(places) {
            let raised = sum.wrapping_mul(*mantissa).wrapping_add(*bias);
            let index = (raised >> look.shift).wrapping_sub(look.first);
            let entry = usize::try_from(index).ok().and_then(|index| look.table.get(index));
            *place = entry.copied().unwrap_or(0);
        }
    }

    fn sums<const ROWS: usize, const TILES: usize>(
        self,
        panel: &[Ones],
        values: &[i16],
        starts: [usize; ROWS],
        walk: &Walk,
    ) -> Sums<ROWS, TILES> {
        let mut sums = [[[0_i32; LANES]; TILES]; ROWS];
        if !walk.fits((panel.len(), TILES), values.len(), &starts) {
            return sums;
        }
        for (sums, start) in sums.iter_mut().zip(starts) {
            let values = values.get(start..).unwrap_or_default();
            for (offset, weights) in walk.offsets().iter().zip(panel.chunks_exact(TILES)) {
                let value = i32::from(values.get(*offset).copied().unwrap_or(0));
                for (sums, Ones(weights)) in sums.iter_mut().zip(weights) {
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = sum.wrapping_add(i32::from(*weight).wrapping_mul(value));
                    }
                }
            }
        }
        sums
    }
}
