//! What a step changes: weights, the optimiser's moments, and how many steps were taken.

use inferium_types::Digest;

#[cfg(test)]
mod tests;

/// A tensor that is trained: its name and shape.
#[derive(Debug, Clone, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct TensorShape {
    /// Its name.
    pub name: String,
    /// Its dimensions; numbers stand row-major.
    pub dimensions: Vec<u32>,
}

impl TensorShape {
    /// A tensor of that name and shape.
    #[must_use]
    pub fn new(name: impl Into<String>, dimensions: &[u32]) -> Self {
        Self { name: name.into(), dimensions: dimensions.to_vec() }
    }

    /// Numbers of the tensor.
    #[must_use]
    pub fn count(&self) -> usize {
        self.dimensions.iter().fold(1_usize, |count, size| count.saturating_mul(*size as usize))
    }
}

/// Numbers of all tensors.
#[must_use]
pub(crate) fn count(shapes: &[TensorShape]) -> usize {
    shapes.iter().fold(0, |sum, shape| sum.saturating_add(shape.count()))
}

/// Where a run is: after so many steps.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Steps taken.
    pub step: u64,
    /// The trained numbers, tensor by tensor.
    pub parameters: Vec<f32>,
    /// AdamW's mean of gradients, of each number.
    pub first_moment: Vec<f32>,
    /// AdamW's mean of their squares.
    pub second_moment: Vec<f32>,
}

/// Bytes that are no state of these tensors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a state of {expected} trained numbers has {bytes_expected} bytes; there are {bytes_found}")]
pub struct InvalidState {
    /// Trained numbers of the run.
    pub expected: usize,
    /// Bytes of such a state.
    pub bytes_expected: usize,
    /// Bytes that there are.
    pub bytes_found: usize,
}

impl State {
    /// The state before the first step.
    #[must_use]
    pub fn initial(parameters: Vec<f32>) -> Self {
        let zeros = vec![0.0; parameters.len()];
        Self { step: 0, first_moment: zeros.clone(), second_moment: zeros, parameters }
    }

    /// The canonical bytes: steps taken (u64), then the bits of weights, first and second moments; little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 12 * self.parameters.len());
        bytes.extend_from_slice(&self.step.to_le_bytes());
        for number in self.numbers() {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads [`State::to_bytes`] of so many trained numbers.
    ///
    /// # Errors
    /// [`InvalidState`] if there are more or fewer.
    pub fn from_bytes(bytes: &[u8], count: usize) -> Result<Self, InvalidState> {
        let bytes_expected = count.saturating_mul(12).saturating_add(8);
        let invalid = || InvalidState { expected: count, bytes_expected, bytes_found: bytes.len() };
        let (step, numbers) = bytes.split_first_chunk::<8>().ok_or_else(invalid)?;
        if bytes.len() != bytes_expected {
            return Err(invalid());
        }
        let mut numbers = numbers.as_chunks::<4>().0.iter().map(|bits| f32::from_le_bytes(*bits));
        let mut part = || -> Vec<f32> { numbers.by_ref().take(count).collect() };
        let (parameters, first_moment, second_moment) = (part(), part(), part());
        Ok(Self { step: u64::from_le_bytes(*step), parameters, first_moment, second_moment })
    }

    /// Names the state: BLAKE3 of its canonical bytes under a domain tag.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.under(b"inferium/training-state/1\0")
    }

    /// Another digest of the same: who has passed through a state knows it, and who was told its digest does not.
    #[must_use]
    pub(crate) fn trace(&self) -> Digest {
        self.under(b"inferium/training-trace/1\0")
    }

    fn under(&self, tag: &[u8]) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(tag);
        hasher.update(&self.to_bytes());
        Digest::from(*hasher.finalize().as_bytes())
    }

    /// True when every number is one.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.numbers().all(|number| number.is_finite())
    }

    fn numbers(&self) -> impl Iterator<Item = &f32> {
        self.parameters.iter().chain(&self.first_moment).chain(&self.second_moment)
    }
}
