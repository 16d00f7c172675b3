//! The engine's key and digest types, and the way between them and ours.

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::{bls12381::primitives::group::G1, ed25519, sha256};
use inferium_types::{Digest, NodeId};

/// The engine's digest of a block: the same bytes as [`Digest`].
pub(crate) type EngineDigest = sha256::Digest;
/// The engine's key of a validator: the same bytes as [`NodeId`].
pub(crate) type EngineKey = ed25519::PublicKey;

/// Our digest as the engine's.
pub(crate) fn to_engine_digest(digest: Digest) -> EngineDigest {
    EngineDigest::from(*digest.as_bytes())
}

/// The engine's digest as ours.
pub(crate) fn from_engine_digest(digest: &EngineDigest) -> Digest {
    Digest::from(digest.0)
}

/// A node's key as the engine's; `None` when the bytes are no point of the curve.
pub(crate) fn to_engine_key(node: &NodeId) -> Option<EngineKey> {
    EngineKey::decode(Copying(&node.as_bytes()[..])).ok()
}

/// The engine's key as a node's.
pub(crate) fn from_engine_key(key: &EngineKey) -> NodeId {
    let mut bytes = [0u8; 32];
    bytes.copy_from_slice(key.as_ref());
    NodeId::from_bytes(bytes)
}

/// A group signature's bytes.
pub(crate) fn signature_bytes(signature: &G1) -> [u8; 48] {
    let mut bytes = [0u8; 48];
    bytes.copy_from_slice(&signature.encode());
    bytes
}
