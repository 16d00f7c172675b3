//! The `.ifx` file: magic, version, and the model in the canonical codec.

use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

use crate::model::{CONTRACT_VERSION, Model, ModelError};

/// Largest file that is read.
pub const FILE_BYTES_MAX: usize = 1 << 30;

const MAGIC: [u8; 4] = *b"IFX\x01";

/// Why bytes are not a model's file.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Not a file of this kind, or too large.
    #[error("not an .ifx file, or a larger one than is read")]
    Kind,
    /// A file of another version of the contract.
    #[error("contract version {0}; this reads version {CONTRACT_VERSION}")]
    Version(u16),
    /// The codec found it damaged.
    #[error("damaged file: {0}")]
    Codec(#[from] std::io::Error),
    /// It holds no model of the contract.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A model's file.
///
/// # Errors
/// [`ModelError`] when the model fails its check: what is written can be read.
pub fn encode(model: &Model) -> Result<Vec<u8>, ModelError> {
    model.check()?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(CONTRACT_VERSION.to_le_bytes());
    model.serialize(&mut bytes).map_err(|_| ModelError::Size("the file"))?;
    Ok(bytes)
}

/// The model of a file, checked. Memory stays within a small multiple of the bytes given, and one MiB: lengths are never believed
/// before their elements were read.
///
/// # Errors
/// [`DecodeError`]; never a panic.
pub fn decode(bytes: &[u8]) -> Result<Model, DecodeError> {
    let rest = bytes.strip_prefix(&MAGIC).filter(|_| bytes.len() <= FILE_BYTES_MAX).ok_or(DecodeError::Kind)?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or(DecodeError::Kind)?;
    let version = u16::from_le_bytes(*version);
    if version != CONTRACT_VERSION {
        return Err(DecodeError::Version(version));
    }
    let model = Model::try_from_slice(rest)?;
    model.check()?;
    Ok(model)
}

#[cfg(test)]
mod tests;
