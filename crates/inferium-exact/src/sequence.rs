//! Operations on sequences: what a transformer needs beside the layers that images need too.
//!
//! A tensor of a sequence has one channel for each feature, height 1 and one column for each position, so an affine step, a
//! requantisation and a convolution of window 1 (a dense layer at every position) are what they are elsewhere. The
//! width is the sequence's length: whatever lies beyond it does not exist, and nothing has to be masked.

mod apply;
mod fast;
mod form;
mod gate;
mod inverse_root;

pub(crate) use apply::apply;
pub(crate) use fast::{apply_fast, at_positions};
pub(crate) use form::{Form, embedded, form};
pub(crate) use gate::{Channels, Reads, step};
pub(crate) use inverse_root::inverse_root;

/// Most channels that a normalisation runs over: with this many, the three sums that its squares are proved by (digits of
/// nine bits) stay within the bound of accumulators.
pub(crate) const NORMALISED_MAX: u32 = 1 << 11;
/// Values that a normalisation reads are within ± this, so differences from the mean have two digits of nine bits.
pub(crate) const NORMALISED_REACH: i64 = 1 << 16;
/// Reciprocals are of 2 to this many: the largest power of two within the bound of accumulators.
pub(crate) const RECIPROCAL_BITS: u8 = 29;
/// Most bits of the shares of a softmax.
pub(crate) const SHARE_BITS_MAX: u8 = 16;

/// A second tensor that an operation reads, with its shape.
pub(crate) type Second<'a> = Option<(&'a [i32], crate::model::Shape)>;

#[cfg(test)]
pub(crate) mod tests;
