//! Dealing the group key's shares for a new network.
//!
//! One party deals, and could therefore forge until the first fresh key generation (SPEC C6):
//! right for a network that one machine starts, and the way in for a genesis ceremony elsewhere.

use crate::{
    keys::{EngineKey, to_engine_key},
    scheme::{Scheme, Threshold},
};
use commonware_codec::{Copying, Decode as _, DecodeExt as _, Encode as _};
use commonware_cryptography::{
    Signer as _,
    bls12381::{
        dkg::feldman_desmedt,
        primitives::{
            group::Share,
            sharing::{Mode, ModeVersion, Sharing},
            variant::MinSig,
        },
    },
    ed25519,
};
use commonware_utils::{
    N3f1, TryCollect as _,
    ordered::{Quorum as _, Set},
};
use inferium_types::{Genesis, GroupKey, NodeId, SecretKey};
use rand_core::CryptoRng;
use std::num::NonZeroU32;

/// Validators at most, a bound for decoding the public polynomial.
const VALIDATORS_MAX: NonZeroU32 = match NonZeroU32::new(1024) {
    Some(number) => number,
    None => NonZeroU32::MIN,
};

/// Why keys could not be dealt or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DealError {
    /// No validators, or one twice.
    #[error("validators must be at least one, and each of them once")]
    Validators,
    /// A validator's key is no ed25519 key.
    #[error("the key of validator {position} is not valid")]
    Key {
        /// Its position.
        position: usize,
    },
    /// The genesis holds no valid public polynomial for its validators.
    #[error("the genesis' sharing does not fit its validators and group key")]
    Sharing,
    /// The share is not this validator's.
    #[error("the threshold share does not belong to this validator and genesis")]
    Share,
}

/// A dealt group key.
#[derive(Clone)]
pub struct Dealing {
    /// The group key.
    pub group: GroupKey,
    /// The public polynomial, for [`Genesis::sharing`].
    pub sharing: Vec<u8>,
    /// One secret share per validator, in the order of the validators given.
    pub shares: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Dealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dealing").field("group", &self.group).field("shares", &self.shares.len()).finish()
    }
}

/// Deals a new group key to `validators`.
///
/// # Errors
/// [`DealError::Validators`], [`DealError::Key`].
pub fn deal(rng: impl CryptoRng, validators: &[NodeId]) -> Result<Dealing, DealError> {
    let set = committee(validators)?;
    let (output, shares) =
        feldman_desmedt::deal::<MinSig, _, N3f1>(rng, Mode::NonZeroCounter, set).map_err(|_| DealError::Validators)?;
    let mut group = [0u8; 96];
    group.copy_from_slice(&output.public().public().encode());
    let shares = validators
        .iter()
        .enumerate()
        .map(|(position, node)| {
            let key = to_engine_key(node).ok_or(DealError::Key { position })?;
            shares.get_value(&key).map(|share| share.encode().to_vec()).ok_or(DealError::Validators)
        })
        .collect::<Result<_, _>>()?;
    Ok(Dealing { group: GroupKey::from_bytes(group), sharing: output.public().encode().to_vec(), shares })
}

/// The engine's ordered set of validators.
pub(crate) fn committee(validators: &[NodeId]) -> Result<Set<EngineKey>, DealError> {
    let keys = validators
        .iter()
        .enumerate()
        .map(|(position, node)| to_engine_key(node).ok_or(DealError::Key { position }))
        .collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err(DealError::Validators);
    }
    keys.into_iter().try_collect().map_err(|_| DealError::Validators)
}

/// The genesis' validators and public polynomial, checked against each other and the group key.
fn polynomial(genesis: &Genesis) -> Result<(Set<EngineKey>, Sharing<MinSig>), DealError> {
    let nodes: Vec<NodeId> = genesis.validators.iter().map(|validator| validator.node).collect();
    let set = committee(&nodes)?;
    let sharing = Sharing::<MinSig>::decode_cfg(Copying(&genesis.sharing[..]), &(VALIDATORS_MAX, ModeVersion::v0()))
        .map_err(|_| DealError::Sharing)?;
    let members = usize::try_from(sharing.total().get()).unwrap_or(usize::MAX);
    // The engine asserts what is checked here; bytes from a file must not make it panic.
    if members != set.len()
        || sharing.required() != set.quorum::<N3f1>()
        || sharing.public().encode().as_ref() != genesis.group.as_bytes()
    {
        return Err(DealError::Sharing);
    }
    Ok((set, sharing))
}

/// The signing scheme of one validator, and its key for the network layer.
pub(crate) fn signer(
    genesis: &Genesis,
    secret: &SecretKey,
    share: &[u8],
) -> Result<(Scheme, ed25519::PrivateKey), DealError> {
    let (set, sharing) = polynomial(genesis)?;
    let identity =
        ed25519::PrivateKey::decode(Copying(&secret.to_bytes()[..])).map_err(|_| DealError::Key { position: 0 })?;
    let share = Share::decode(Copying(share)).map_err(|_| DealError::Share)?;
    let position = set.index(&identity.public_key()).ok_or(DealError::Share)?;
    if share.index != position {
        return Err(DealError::Share);
    }
    let namespace = genesis.network_key().consensus_namespace();
    let threshold = Threshold::signer(&namespace, set, sharing, share).ok_or(DealError::Share)?;
    Ok((Scheme::new(&namespace, threshold, Some(identity.clone())), identity))
}

#[cfg(test)]
mod tests;
