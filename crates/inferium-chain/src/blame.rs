//! Evidence against validators that sign what contradicts itself (SPEC S).
//!
//! The consensus engine reports such pairs of votes as it meets them, verified or not. What is kept
//! here is the identity signatures over both, checked once more: enough for the ledger, and nothing
//! that colluding holders of threshold shares could forge.

use crate::keys::{EngineDigest, from_engine_key};
use crate::scheme::Scheme;
use commonware_actor::Feedback;
use commonware_codec::{Copying, Encode, ReadExt as _};
use commonware_consensus::{
    Reporter,
    simplex::types::{Activity, Finalize, Notarize, Nullify, Proposal},
    types::Round,
};
use commonware_cryptography::certificate::{Attestation, Scheme as _};
use inferium_types::{ChainId, ConsensusVote, Digest, NodeId, Signature, VoteSubject};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Two votes of one validator, of which an honest one signs at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Equivocation {
    /// Who signed both.
    pub validator: NodeId,
    /// One.
    pub first: ConsensusVote,
    /// The other.
    pub second: ConsensusVote,
}

/// What was found so far: the first pair of each validator. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Blame {
    found: Arc<Mutex<BTreeMap<NodeId, Equivocation>>>,
}

impl Blame {
    /// Everything found, by validator.
    pub(crate) fn found(&self) -> Vec<Equivocation> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }

    /// Listens to the engine of a network whose seats `scheme` knows.
    pub(crate) fn reporter(&self, chain: ChainId, scheme: &Scheme) -> BlameReporter {
        let seats = scheme.participants().iter().map(from_engine_key).collect();
        BlameReporter { blame: self.clone(), chain, seats }
    }
}

/// The engine's end of a [`Blame`].
#[derive(Debug, Clone)]
pub(crate) struct BlameReporter {
    blame: Blame,
    chain: ChainId,
    /// By the engine's number.
    seats: Arc<[NodeId]>,
}

type Pair = (NodeId, ConsensusVote, ConsensusVote);

impl BlameReporter {
    fn keep(&self, pair: Option<Pair>) {
        let Some((validator, first, second)) = pair else { return };
        let is_signed = |vote: &ConsensusVote| vote.signed_by(self.chain, &validator);
        if !first.contradicts(&second) || !is_signed(&first) || !is_signed(&second) {
            return;
        }
        tracing::error!(%validator, view = first.view, "a validator signed two votes that contradict each other");
        let mut found = self.blame.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.entry(validator).or_insert(Equivocation { validator, first, second });
    }

    /// The engine shows neither vote of a pair, but encodes them one after the other.
    fn pair<A, B>(&self, evidence: &impl Encode, read: impl FnOnce(&mut Copying<'_>) -> Option<(A, B)>) -> Option<Pair>
    where
        A: Vote,
        B: Vote,
    {
        let bytes = evidence.encode();
        let (first, second) = read(&mut Copying(&bytes[..]))?;
        let (validator, first) = self.vote(&first)?;
        let (_, second) = self.vote(&second)?;
        Some((validator, first, second))
    }

    fn vote(&self, vote: &impl Vote) -> Option<(NodeId, ConsensusVote)> {
        let attestation = vote.attestation();
        let validator = *self.seats.get(usize::try_from(attestation.signer.get()).ok()?)?;
        let signature = Signature::from_bytes(attestation.signature.get()?.identity_bytes());
        let round = vote.round();
        let vote =
            ConsensusVote { epoch: round.epoch().get(), view: round.view().get(), subject: vote.subject(), signature };
        Some((validator, vote))
    }
}

/// What all votes of the engine have.
trait Vote {
    fn round(&self) -> Round;
    fn subject(&self) -> VoteSubject;
    fn attestation(&self) -> &Attestation<Scheme>;
}

fn about(proposal: &Proposal<EngineDigest>) -> (u64, Digest) {
    (proposal.parent.get(), Digest::from(proposal.payload.0))
}

impl Vote for Notarize<Scheme, EngineDigest> {
    fn round(&self) -> Round {
        self.proposal.round
    }
    fn subject(&self) -> VoteSubject {
        let (parent_view, block) = about(&self.proposal);
        VoteSubject::Notarize { parent_view, block }
    }
    fn attestation(&self) -> &Attestation<Scheme> {
        &self.attestation
    }
}

impl Vote for Finalize<Scheme, EngineDigest> {
    fn round(&self) -> Round {
        self.proposal.round
    }
    fn subject(&self) -> VoteSubject {
        let (parent_view, block) = about(&self.proposal);
        VoteSubject::Finalize { parent_view, block }
    }
    fn attestation(&self) -> &Attestation<Scheme> {
        &self.attestation
    }
}

impl Vote for Nullify<Scheme> {
    fn round(&self) -> Round {
        self.round
    }
    fn subject(&self) -> VoteSubject {
        VoteSubject::Nullify
    }
    fn attestation(&self) -> &Attestation<Scheme> {
        &self.attestation
    }
}

impl Reporter for BlameReporter {
    type Activity = Activity<Scheme, EngineDigest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        type Notarized = Notarize<Scheme, EngineDigest>;
        type Finalized = Finalize<Scheme, EngineDigest>;
        match &activity {
            Activity::ConflictingNotarize(evidence) => self
                .keep(self.pair(evidence, |bytes| Some((Notarized::read(bytes).ok()?, Notarized::read(bytes).ok()?)))),
            Activity::ConflictingFinalize(evidence) => self
                .keep(self.pair(evidence, |bytes| Some((Finalized::read(bytes).ok()?, Finalized::read(bytes).ok()?)))),
            Activity::NullifyFinalize(evidence) => self.keep(
                self.pair(evidence, |bytes| Some((Nullify::<Scheme>::read(bytes).ok()?, Finalized::read(bytes).ok()?))),
            ),
            Activity::Notarize(_)
            | Activity::Nullify(_)
            | Activity::Finalize(_)
            | Activity::Notarization(_)
            | Activity::Certification(_)
            | Activity::Nullification(_)
            | Activity::Finalization(_) => {}
        }
        Feedback::Ok
    }
}

#[cfg(test)]
mod tests;
