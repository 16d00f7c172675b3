//! The vectors that a classifier is trained on: one for each line of a data set, under one root, so that whoever verifies embeds a
//! drawn few of them again and not all.

use inferium_types::{Digest, leaf_hash, merkle_root};

#[cfg(test)]
mod tests;

/// How the file begins.
const MAGIC: &[u8] = b"inferium-vectors/1\n";

/// Vectors of all lines of a data set, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    width: usize,
    /// Shape `[lines, width]`.
    numbers: Vec<f32>,
    root: Digest,
}

/// Why bytes are no vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidVectors {
    /// Not as long as so many whole vectors.
    #[error("{numbers} numbers are no vectors of {width}")]
    Width {
        /// Numbers that there are.
        numbers: usize,
        /// Numbers of a vector.
        width: usize,
    },
    /// It does not begin as a file of vectors.
    #[error("not a file of vectors, or one of another version")]
    Magic,
    /// Of other texts or another model.
    #[error("the vectors are of other texts or another model")]
    Source,
}

impl Vectors {
    /// Vectors of `width` numbers, one after the other.
    ///
    /// # Errors
    /// [`InvalidVectors::Width`] if they are not whole, or there are none.
    pub fn new(width: usize, numbers: Vec<f32>) -> Result<Self, InvalidVectors> {
        if width == 0 || numbers.is_empty() || !numbers.len().is_multiple_of(width) {
            return Err(InvalidVectors::Width { numbers: numbers.len(), width });
        }
        let leaf = |vector: &[f32]| {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            leaf_hash(&bytes)
        };
        let leaves: Vec<Digest> = numbers.chunks_exact(width).map(leaf).collect();
        Ok(Self { width, root: merkle_root(&leaves), numbers })
    }

    /// Merkle root over the vectors' bits.
    #[must_use]
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// Numbers of a vector.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Vectors that there are.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.numbers.len() / self.width
    }

    /// The vector of line `line`, from 0.
    #[must_use]
    pub fn line(&self, line: usize) -> Option<&[f32]> {
        let first = line.checked_mul(self.width)?;
        self.numbers.get(first..first.checked_add(self.width)?)
    }

    /// True when line `line` has exactly these bits.
    #[must_use]
    pub fn is(&self, line: usize, vector: &[f32]) -> bool {
        let bits = |vector: &[f32]| vector.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
        self.line(line).is_some_and(|kept| bits(kept) == bits(vector))
    }

    /// The file's bytes: magic, the digest of what they are made from, the width (u32), and the numbers; little-endian.
    #[must_use]
    pub fn to_bytes(&self, source: &Digest) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(source.as_bytes());
        bytes.extend_from_slice(&u32::try_from(self.width).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(self.bits());
        bytes
    }

    /// The numbers alone, little-endian.
    #[must_use]
    pub fn bits(&self) -> Vec<u8> {
        self.numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Reads [`Vectors::bits`].
    ///
    /// # Errors
    /// [`InvalidVectors::Width`].
    pub fn from_bits(width: usize, bytes: &[u8]) -> Result<Self, InvalidVectors> {
        let (numbers, cut) = bytes.as_chunks::<4>();
        if !cut.is_empty() {
            return Err(InvalidVectors::Width { numbers: numbers.len(), width });
        }
        Self::new(width, numbers.iter().map(|bits| f32::from_le_bytes(*bits)).collect())
    }

    /// Reads [`Vectors::to_bytes`]; `source` is what they must be made from. What is cut off or changed has another root.
    ///
    /// # Errors
    /// [`InvalidVectors`], one variant per cause.
    pub fn from_bytes(bytes: &[u8], source: &Digest) -> Result<Self, InvalidVectors> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(InvalidVectors::Magic)?;
        let (found, rest) = rest.split_first_chunk::<32>().ok_or(InvalidVectors::Magic)?;
        if found != source.as_bytes() {
            return Err(InvalidVectors::Source);
        }
        let (width, rest) = rest.split_first_chunk::<4>().ok_or(InvalidVectors::Magic)?;
        let width = u32::from_le_bytes(*width) as usize;
        Self::from_bits(width, rest)
    }
}
