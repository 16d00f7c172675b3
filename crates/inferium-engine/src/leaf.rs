//! The leaves of the Merkle tree over a model's weights.

use inferium_types::Digest;

/// BLAKE3 over a domain tag, the name, the type, the shape and the hash of the bytes; texts with their length before them.
pub(crate) fn leaf(name: &str, kind: &str, shape: &[usize], bytes: blake3::Hash) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"inferium/tensor/1\0");
    for text in [name, kind] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&(shape.len() as u64).to_le_bytes());
    for &size in shape {
        hasher.update(&(size as u64).to_le_bytes());
    }
    hasher.update(bytes.as_bytes());
    Digest::from(*hasher.finalize().as_bytes())
}
