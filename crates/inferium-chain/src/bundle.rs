//! Final blocks and state proofs as they travel, and how a light client checks them.

use crate::{block::Body, store};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{Certificate, Digest, Event, Header, InvalidCertificate, NetworkKey, limits};

/// A certificate at or after a block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certified {
    /// Headers after the block in question, up to the certified one; empty when it is the block.
    pub descendants: Vec<Header>,
    /// Certificate of the last of them.
    pub certificate: Certificate,
}

/// A final block as the RPC gives it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlockBundle {
    /// The header.
    pub header: Header,
    /// What the block decided.
    pub events: Vec<Event>,
    /// Seeds and transactions, if asked for.
    pub body: Option<Body>,
    /// Why it is final. Blocks before another one of the same answer may go without.
    pub certified: Option<Certified>,
}

/// The value of one state entry, and the proof of it.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StateProof {
    /// The block after which it holds.
    pub header: Header,
    /// Why that block is final.
    pub certified: Certified,
    /// The value; `None` when there is no such entry.
    pub value: Option<Vec<u8>>,
    /// The store's proof.
    pub proof: Vec<u8>,
}

/// Why a list of blocks is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBundle {
    /// A header of another chain.
    #[error("a header is of another chain")]
    Chain,
    /// Not the block that follows.
    #[error("height {found}, expected {expected}")]
    Height {
        /// What was due.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A header does not name the one before as its parent.
    #[error("block {height} does not follow the one before")]
    Parent {
        /// Its height.
        height: u64,
    },
    /// The events are not those of the header.
    #[error("the events of block {height} do not give its receipts root")]
    Events {
        /// Its height.
        height: u64,
    },
    /// The body is not the header's.
    #[error("the body of block {height} does not give its body root")]
    Body {
        /// Its height.
        height: u64,
    },
    /// The last block has no certificate, or one too far away.
    #[error("block {height} is not certified")]
    Uncertified {
        /// Its height.
        height: u64,
    },
    /// The certificate is not the group's.
    #[error("certificate after block {height}: {error}")]
    Certificate {
        /// Height of the block.
        height: u64,
        /// What is wrong.
        error: InvalidCertificate,
    },
}

/// Why a state proof is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStateProof {
    /// The block is not final, or not of this chain.
    #[error("{0}")]
    Block(#[from] InvalidBundle),
    /// The proof does not show the value under the block's state root.
    #[error("the proof does not show this value in block {height}")]
    Proof {
        /// Its height.
        height: u64,
    },
    /// The block is older than one that is known.
    #[error("the proof is of block {found}; block {known} is final already")]
    Stale {
        /// The proof's block.
        found: u64,
        /// The highest known one.
        known: u64,
    },
}

impl Certified {
    /// Checks that `header` is final on the network with this key.
    ///
    /// Cost: one pairing check, and a hash per descendant.
    ///
    /// # Errors
    /// [`InvalidBundle`].
    pub fn verify(&self, network: &NetworkKey, header: &Header) -> Result<(), InvalidBundle> {
        let height = header.height;
        if header.chain != network.chain {
            return Err(InvalidBundle::Chain);
        }
        if self.descendants.len() >= limits::RECEIPT_HEADERS_MAX {
            return Err(InvalidBundle::Uncertified { height });
        }
        let mut digest = header.digest();
        for next in &self.descendants {
            if next.parent != digest {
                return Err(InvalidBundle::Parent { height: next.height });
            }
            digest = next.digest();
        }
        self.certificate
            .verify(network.chain, &network.group, digest)
            .map_err(|error| InvalidBundle::Certificate { height, error })
    }
}

/// What the blocks of one answer must continue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Continue {
    /// Height of the first block.
    pub(crate) height: u64,
    /// Its parent's digest, if the client knows it.
    pub(crate) parent: Option<Digest>,
}

/// Checks an answer's blocks and gives each a certificate to prove it with.
///
/// Only the last block's certificate is checked by a pairing; parent links carry it backwards.
/// A block keeps a certificate of its own only where that was checked.
pub(crate) fn verify_blocks(
    network: &NetworkKey,
    after: Continue,
    bundles: Vec<BlockBundle>,
) -> Result<Vec<(BlockBundle, Digest, Certified)>, InvalidBundle> {
    let Some(last) = bundles.last() else { return Ok(Vec::new()) };
    let Some(certified) = last.certified.clone() else {
        return Err(InvalidBundle::Uncertified { height: last.header.height });
    };
    if bundles.len() > limits::RECEIPT_HEADERS_MAX {
        return Err(InvalidBundle::Uncertified { height: last.header.height });
    }
    certified.verify(network, &last.header)?;
    let (mut expected, mut parent) = (after.height, after.parent);
    let mut digests = Vec::with_capacity(bundles.len());
    for bundle in &bundles {
        let height = bundle.header.height;
        check_contents(network, bundle, expected)?;
        if parent.is_some_and(|parent| parent != bundle.header.parent) {
            return Err(InvalidBundle::Parent { height });
        }
        let digest = bundle.header.digest();
        digests.push(digest);
        parent = Some(digest);
        expected = height.saturating_add(1);
    }
    let headers: Vec<Header> = bundles.iter().map(|bundle| bundle.header.clone()).collect();
    let verified = bundles.into_iter().zip(digests).enumerate().map(|(position, (bundle, digest))| {
        let between = headers.iter().skip(position.saturating_add(1)).chain(&certified.descendants);
        let proof = Certified { descendants: between.cloned().collect(), certificate: certified.certificate };
        (bundle, digest, proof)
    });
    Ok(verified.collect())
}

fn check_contents(network: &NetworkKey, bundle: &BlockBundle, expected: u64) -> Result<(), InvalidBundle> {
    let header = &bundle.header;
    let height = header.height;
    if header.chain != network.chain {
        return Err(InvalidBundle::Chain);
    }
    if height != expected {
        return Err(InvalidBundle::Height { expected, found: height });
    }
    if Event::root(&bundle.events) != header.receipts_root {
        return Err(InvalidBundle::Events { height });
    }
    if bundle.body.as_ref().is_some_and(|body| body.root() != header.body_root) {
        return Err(InvalidBundle::Body { height });
    }
    Ok(())
}

impl StateProof {
    /// Checks that the entry of `key` has this value in a final block not below `known`.
    ///
    /// # Errors
    /// [`InvalidStateProof`].
    pub fn verify(&self, network: &NetworkKey, key: &[u8], known: u64) -> Result<(), InvalidStateProof> {
        let height = self.header.height;
        if height < known {
            return Err(InvalidStateProof::Stale { found: height, known });
        }
        self.certified.verify(network, &self.header)?;
        if store::verify(self.header.state_root, key, self.value.as_deref(), &self.proof) {
            Ok(())
        } else {
            Err(InvalidStateProof::Proof { height })
        }
    }
}

#[cfg(test)]
mod tests;
