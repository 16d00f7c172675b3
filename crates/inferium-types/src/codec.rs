//! The one way between values and bytes.

use borsh::{BorshDeserialize, BorshSerialize};

/// Bytes that are no canonical encoding of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical encoding: {reason}")]
pub struct InvalidEncoding {
    /// What the decoder met.
    pub reason: String,
}

/// Encodes a value canonically.
///
/// Ensures: equal values give equal bytes, on every machine.
#[must_use]
pub fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "writing to a Vec can't fail, and no type here has a failing serialiser")]
    borsh::to_vec(value).expect("encoding to memory is infallible")
}

/// Decodes exactly `bytes`.
///
/// # Errors
/// [`InvalidEncoding`]: unknown tag, truncated, trailing bytes, over a named maximum.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, InvalidEncoding> {
    T::try_from_slice(bytes).map_err(|e| InvalidEncoding { reason: e.to_string() })
}
