//! Money: nano-IFR, checked (SPEC M1).

use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// Nano-IFR in one IFR.
pub const NANO_PER_IFR: u64 = 1_000_000_000;

/// Arithmetic on amounts left the range of `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("amount out of range")]
pub struct AmountOverflow;

/// An amount of money in nano-IFR (1 IFR = 10^9 nano-IFR).
///
/// There is no `+`: only checked operations compile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Amount(u64);

#[expect(clippy::should_implement_trait, reason = "`a + b` must not compile: sums of money are checked")]
impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// `nano` nano-IFR.
    #[must_use]
    pub const fn from_nano(nano: u64) -> Self {
        Self(nano)
    }

    /// Whole IFR; for constants. Saturates.
    #[must_use]
    pub const fn from_ifr(ifr: u64) -> Self {
        Self(ifr.saturating_mul(NANO_PER_IFR))
    }

    /// The number of nano-IFR.
    #[must_use]
    pub const fn nano(self) -> u64 {
        self.0
    }

    /// True for no money.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Sum.
    ///
    /// # Errors
    /// [`AmountOverflow`] past `u64::MAX`.
    pub fn add(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_add(other.0).map(Self).ok_or(AmountOverflow)
    }

    /// Difference.
    ///
    /// # Errors
    /// [`AmountOverflow`] below zero.
    pub fn sub(self, other: Self) -> Result<Self, AmountOverflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountOverflow)
    }

    /// Product with a count.
    ///
    /// # Errors
    /// [`AmountOverflow`] past `u64::MAX`.
    pub fn times(self, count: u64) -> Result<Self, AmountOverflow> {
        self.0.checked_mul(count).map(Self).ok_or(AmountOverflow)
    }

    /// The share `part` of this amount, rounded down. Never more than the amount.
    #[must_use]
    pub fn share(self, part: Ppm) -> Self {
        let wide = u128::from(self.0) * u128::from(part.get()) / 1_000_000;
        Self(u64::try_from(wide).unwrap_or(self.0))
    }

    /// An equal part for each of `count` receivers, rounded down; nothing for none.
    #[must_use]
    pub fn split(self, count: u64) -> Self {
        Self(self.0.checked_div(count).unwrap_or(0))
    }

    /// The smaller of the two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }
}

impl fmt::Display for Amount {
    /// Decimal IFR, exact, without trailing zeros: `1.5 IFR`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nano) = (self.0 / NANO_PER_IFR, self.0 % NANO_PER_IFR);
        if nano == 0 {
            return write!(f, "{whole} IFR");
        }
        let digits = format!("{nano:09}");
        write!(f, "{whole}.{} IFR", digits.trim_end_matches('0'))
    }
}

/// Parts per million, at most one whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, BorshSerialize)]
pub struct Ppm(u32);

impl BorshDeserialize for Ppm {
    fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
        let parts = u32::deserialize_reader(reader)?;
        if parts > Self::ONE.0 {
            return Err(borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, "more than one whole"));
        }
        Ok(Self(parts))
    }
}

impl Ppm {
    /// One whole.
    pub const ONE: Self = Self(1_000_000);

    /// `parts` per million; more than a million is a million.
    #[must_use]
    pub const fn new(parts: u32) -> Self {
        Self(if parts > 1_000_000 { 1_000_000 } else { parts })
    }

    /// The number of parts.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}
