//! The commitment to one output position.

use inferium_types::Digest;

#[cfg(test)]
mod tests;

/// Separates these hashes from every other hash of the protocol; ends in the version.
const POSITION_DOMAIN: &[u8] = b"inferium/position/1\0";

/// Hashes what a worker claims for one output position: the token and every bit of every logit.
///
/// BLAKE3 over the domain tag, the token (u32, little-endian) and the logits' bits (u32 each, little-endian).
/// Two engines that agree on this digest have computed the same row, bit for bit.
#[must_use]
pub fn position_digest(token: u32, logits: &[f32]) -> Digest {
    /// Logits converted at a time: large enough for BLAKE3's widest SIMD path, small enough for the stack.
    const CHUNK: usize = 4096;
    let mut hasher = blake3::Hasher::new();
    hasher.update(POSITION_DOMAIN);
    hasher.update(&token.to_le_bytes());
    let mut bytes = [0_u8; CHUNK * 4];
    for chunk in logits.chunks(CHUNK) {
        for (four, logit) in bytes.chunks_exact_mut(4).zip(chunk) {
            four.copy_from_slice(&logit.to_bits().to_le_bytes());
        }
        hasher.update(&bytes[..chunk.len() * 4]);
    }
    Digest::from(*hasher.finalize().as_bytes())
}
