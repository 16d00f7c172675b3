//! What the unit tests share: keys from small numbers, a dealt group, certified headers.

use crate::{
    deal::{self, deal},
    keys::{EngineDigest, signature_bytes, to_engine_digest},
    scheme::Scheme,
};
use commonware_consensus::{
    simplex::types::{Finalization, Finalize, Proposal},
    types::{Epoch, Round, View},
};
use commonware_parallel::Sequential;
use commonware_utils::{TestRng, non_empty};
use inferium_types::{
    Amount, Certificate, Digest, Event, Genesis, GenesisNode, Header, NodeId, Parameters, SecretKey, SignedTransaction,
    Transaction, TransactionBody,
};

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::from_bytes([number; 32]).unwrap()
}

/// A genesis of `validators` seats, and their signing schemes.
pub(crate) struct Group {
    pub(crate) genesis: Genesis,
    pub(crate) schemes: Vec<Scheme>,
}

impl Group {
    pub(crate) fn new(validators: u8) -> Self {
        Self::with_seed(validators, 1)
    }

    /// Another seed deals another group key to the same validators.
    pub(crate) fn with_seed(validators: u8, seed: u64) -> Self {
        let mut keys: Vec<SecretKey> = (1..=validators).map(key).collect();
        keys.sort_by_key(SecretKey::public_key);
        let nodes: Vec<NodeId> = keys.iter().map(SecretKey::public_key).collect();
        let dealing = deal(TestRng::new(seed), &nodes).unwrap();
        let genesis = Genesis {
            name: "test".into(),
            timestamp_ms: 1,
            group: dealing.group,
            sharing: dealing.sharing,
            parameters: Parameters::devnet(validators.into()),
            accounts: vec![(key(100).public_key(), Amount::from_ifr(1_000))],
            operators: vec![(key(50).public_key(), Amount::from_ifr(1_000))],
            validators: nodes
                .iter()
                .map(|node| GenesisNode {
                    node: *node,
                    operator: key(50).public_key(),
                    stake: Amount::from_ifr(50_000),
                    url: "http://localhost".into(),
                })
                .collect(),
        };
        let schemes = keys
            .iter()
            .zip(&dealing.shares)
            .map(|(key, share)| deal::signer(&genesis, key, share).unwrap().0)
            .collect();
        Self { genesis, schemes }
    }

    pub(crate) fn proposal(view: u64, parent_view: u64, digest: Digest) -> Proposal<EngineDigest> {
        let round = Round::new(Epoch::zero(), View::new(view));
        Proposal::new(round, View::new(parent_view), to_engine_digest(digest))
    }

    pub(crate) fn finalize(&self, proposal: &Proposal<EngineDigest>) -> Finalization<Scheme, EngineDigest> {
        let votes: Vec<_> =
            self.schemes.iter().take(3).map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap()).collect();
        Finalization::from_finalizes(&self.schemes[0], non_empty![@votes.iter()], &Sequential).unwrap()
    }

    pub(crate) fn certify(&self, header: &Header) -> Certificate {
        let proposal = Self::proposal(header.view, header.parent_view, header.digest());
        let finalization = self.finalize(&proposal);
        Certificate {
            epoch: 0,
            view: header.view,
            parent_view: header.parent_view,
            signature: signature_bytes(&finalization.certificate.get().unwrap().vote_signature),
        }
    }

    /// A header of `height` after `parent` whose block decided `events` and holds `body`.
    pub(crate) fn header(&self, height: u64, parent: Digest, events: &[Event], body: Digest) -> Header {
        Header {
            chain: self.genesis.chain(),
            height,
            timestamp_ms: 1_000 + height,
            parent,
            state_root: Digest::sha256(&height.to_be_bytes()),
            receipts_root: Event::root(events),
            body_root: body,
            epoch: 0,
            view: height,
            parent_view: height - 1,
            proposer: self.genesis.validators[0].node,
            operations_root: Digest::ZERO,
            operations_start: 0,
            operations_end: 1,
        }
    }

    pub(crate) fn transfer(&self, from: &SecretKey, nonce: u64, ifr: u64) -> SignedTransaction {
        let body = TransactionBody::Transfer { to: key(101).public_key(), amount: Amount::from_ifr(ifr) };
        Transaction { chain: self.genesis.chain(), sender: from.public_key(), nonce, body }.sign(from)
    }
}
