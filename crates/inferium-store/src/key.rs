//! Keys as bytes whose order is that of the keys.

use inferium_types::{
    AgentId, Digest, JobId, LeaseId, ProfileId, PublicKey, SegmentId, StallId, TaskId, TransactionId, encode,
};

/// A key of a table.
///
/// Ensures: all keys of a type have [`SIZE`](Self::SIZE) bytes, so that a key may begin another,
/// and bytes compare as the keys do.
pub trait Key: Sized {
    /// Bytes of every such key.
    const SIZE: usize;

    /// Appends the key's bytes.
    fn write(&self, bytes: &mut Vec<u8>);

    /// The key of exactly these bytes.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// The key's bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::SIZE);
        self.write(&mut bytes);
        bytes
    }
}

/// The key of a table with one entry.
impl Key for () {
    const SIZE: usize = 0;

    fn write(&self, _: &mut Vec<u8>) {}

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

macro_rules! number_keys {
    ($($number:ty),+) => {$(
        impl Key for $number {
            const SIZE: usize = size_of::<Self>();

            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_be_bytes());
            }

            fn read(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_be_bytes(bytes.try_into().ok()?))
            }
        }
    )+};
}

number_keys!(u32, u64);

impl Key for Digest {
    const SIZE: usize = 32;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self::from(<[u8; 32]>::try_from(bytes).ok()?))
    }
}

impl Key for PublicKey {
    const SIZE: usize = 32;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&encode(self));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        inferium_types::decode(bytes).ok()
    }
}

macro_rules! id_keys {
    ($($id:ty),+) => {$(
        impl Key for $id {
            const SIZE: usize = Digest::SIZE;

            fn write(&self, bytes: &mut Vec<u8>) {
                self.digest().write(bytes);
            }

            fn read(bytes: &[u8]) -> Option<Self> {
                Digest::read(bytes).map(Self::new)
            }
        }
    )+};
}

id_keys!(AgentId, JobId, LeaseId, ProfileId, SegmentId, StallId, TaskId, TransactionId);

/// Ordered by the first, then the second.
impl<A: Key, B: Key> Key for (A, B) {
    const SIZE: usize = A::SIZE + B::SIZE;

    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (first, second) = bytes.split_at_checked(A::SIZE)?;
        Some((A::read(first)?, B::read(second)?))
    }
}

#[cfg(test)]
mod tests;
