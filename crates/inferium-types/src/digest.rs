//! 32-byte digests and the domain-separated hash behind them.

use borsh::{BorshDeserialize, BorshSerialize};
use commonware_cryptography::{Hasher as _, Sha256};
use std::cmp::Ordering;
use std::fmt;

/// A 32-byte digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, BorshSerialize, BorshDeserialize)]
pub struct Digest([u8; 32]);

impl Ord for Digest {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for Digest {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of the bytes, found eight at a time: names are the keys of every table, and two that
/// differ do so in the first eight bytes.
#[inline]
pub(crate) fn compare<const SIZE: usize>(left: &[u8; SIZE], right: &[u8; SIZE]) -> Ordering {
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    for (left, right) in left.iter().zip(right) {
        let (left, right) = (u64::from_be_bytes(*left), u64::from_be_bytes(*right));
        if left != right {
            return left.cmp(&right);
        }
    }
    left_rest.cmp(right_rest)
}

impl Digest {
    /// All zero: the digest of nothing, used where a value has no predecessor.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 over a domain tag and parts, each prefixed with its length (u32, big-endian), so
    /// that no two different lists of parts hash alike.
    #[must_use]
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::with_capacity(4 + domain.len() + parts.iter().map(|p| p.len() + 4).sum::<usize>());
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self::sha256(&bytes)
    }

    /// The digest of a value's canonical encoding, under a domain tag.
    #[must_use]
    pub fn of_value<T: BorshSerialize>(domain: &str, value: &T) -> Self {
        Self::of(domain, &[&crate::encode(value)])
    }

    /// Plain SHA-256 of `bytes`: for formats that others define (files, block headers).
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        let mut out = [0u8; 32];
        out.copy_from_slice(Sha256::hash(&[bytes]).as_ref());
        Self(out)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight bytes as a big-endian number: a uniform draw when the digest is one.
    #[must_use]
    pub fn to_u64(&self) -> u64 {
        let mut word = [0u8; 8];
        word.copy_from_slice(self.0.get(..8).unwrap_or(&[0; 8]));
        u64::from_be_bytes(word)
    }

    /// A number in `0..bound` (0 when `bound` is 0), by multiply-shift over 64 bits of the digest.
    ///
    /// Bias: below `bound / 2^64`.
    #[must_use]
    pub fn draw(&self, bound: u64) -> u64 {
        let wide = u128::from(self.to_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Parses 64 hex digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut out = [0u8; 32];
        hex::decode_to_slice(text, &mut out).ok()?;
        Some(Self(out))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(hex::encode(self.0).get(..12).unwrap_or_default())
    }
}
