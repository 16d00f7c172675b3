//! Money: nano-IFR, checked (SPEC M1).

use borsh::{BorshDeserialize, BorshSerialize};
use std::{fmt, str::FromStr};

/// Nano-IFR in one IFR.
pub const NANO_PER_IFR: u64 = 1_000_000_000;
/// Decimals of an IFR.
const DECIMALS: usize = 9;

/// Arithmetic on amounts left the range of `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("amount out of range")]
pub struct AmountOverflow;

/// Text that is no amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Nothing at all.
    #[error("an amount is missing")]
    Empty,
    /// Below zero.
    #[error("an amount can't be negative")]
    Negative,
    /// Not digits with at most one point between them.
    #[error("not an amount: expected IFR in digits, such as 1.5")]
    Syntax,
    /// Finer than nano-IFR.
    #[error("an amount has at most {DECIMALS} decimals")]
    Decimals,
    /// More than an amount can hold.
    #[error("the amount is too large: at most {}", Amount::from_nano(u64::MAX))]
    TooLarge,
}

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

    /// The part `parts` of `whole` of this amount, rounded down; nothing of nothing, never more than
    /// the amount.
    #[must_use]
    pub fn by(self, parts: u128, whole: u128) -> Self {
        // Wide weights lose their lowest bits: the product must fit.
        let shift = 64u32.saturating_sub(whole.leading_zeros());
        let (parts, whole) = (parts >> shift, whole >> shift);
        let wide = u128::from(self.0).checked_mul(parts).and_then(|product| product.checked_div(whole)).unwrap_or(0);
        Self(u64::try_from(wide).unwrap_or(self.0).min(self.0))
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

impl FromStr for Amount {
    type Err = InvalidAmount;

    /// Decimal IFR, exact: `2`, `1.5`, `0.000000001`. What can't be held exactly is refused, never
    /// rounded; there are no signs, exponents, separators or units.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidAmount::Empty);
        }
        if text.starts_with('-') {
            return Err(InvalidAmount::Negative);
        }
        let (whole, decimals) = match text.split_once('.') {
            // `1.` may be a slip for `1.5`.
            Some((_, "")) => return Err(InvalidAmount::Syntax),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits_only(whole) || !digits_only(decimals) {
            return Err(InvalidAmount::Syntax);
        }
        if decimals.len() > DECIMALS {
            return Err(InvalidAmount::Decimals);
        }
        // Only digits are left, so that a failure to parse means too many of them.
        let whole: u64 = whole.parse().map_err(|_| InvalidAmount::TooLarge)?;
        let nano: u64 = format!("{decimals:0<DECIMALS$}").parse().map_err(|_| InvalidAmount::Syntax)?;
        let total = whole.checked_mul(NANO_PER_IFR).and_then(|whole| whole.checked_add(nano));
        total.map(Self).ok_or(InvalidAmount::TooLarge)
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
