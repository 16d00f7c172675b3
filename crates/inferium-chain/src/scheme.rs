//! How validators sign: a threshold signature for certificates and seeds, and an identity
//! signature for blame.
//!
//! A vote carries the partial threshold signatures of the engine's VRF scheme and an ed25519
//! signature of the voter over the same message. Certificates stay those of the VRF scheme (one
//! group key, 96 bytes). Threshold partials alone could be forged by any `t` colluders, so they
//! prove nobody's fault; with the identity signature a pair of conflicting votes does (SPEC S).

use crate::keys::EngineKey;
use commonware_codec::{Buf, Error as CodecError, FixedSize, Read, ReadExt as _, Write};
use commonware_consensus::{
    simplex::{
        elector,
        scheme::{Namespace, bls12381_threshold::vrf},
        types::Subject,
    },
    types::{Participant, Round},
};
use commonware_cryptography::{
    Digest, Sha256, Signer as _, Verifier as _,
    bls12381::primitives::variant::MinSig,
    certificate::{self, AssemblyError, Attestation, Membership, Subject as _, Verification},
    ed25519,
};
use commonware_parallel::Strategy;
use commonware_runtime::BufMut;
use commonware_utils::{N3f1, iter::NonEmpty, ordered::Set};
use rand_core::CryptoRng;
use std::collections::BTreeSet;

/// The engine's threshold scheme that ours wraps.
pub(crate) type Threshold = vrf::Scheme<EngineKey, MinSig>;
/// A certificate: the group's signatures over the subject and over the view's seed.
pub(crate) type GroupCertificate = vrf::Certificate<MinSig>;

/// A validator's signing and verifying scheme.
#[derive(Clone, Debug)]
pub struct Scheme {
    threshold: Threshold,
    identity: Option<ed25519::PrivateKey>,
    namespace: Namespace,
}

impl Scheme {
    /// Wraps a threshold scheme made for the same `namespace`; without `identity` it only verifies.
    pub(crate) fn new(namespace: &[u8], threshold: Threshold, identity: Option<ed25519::PrivateKey>) -> Self {
        Self { threshold, identity, namespace: Namespace::new(namespace) }
    }

    /// True when the vote's identity signature is its signer's.
    fn identity_signed<D: Digest>(&self, subject: Subject<'_, D>, vote: &Attestation<Self>) -> bool {
        let Some(signature) = vote.signature.get() else { return false };
        let Ok(position) = usize::try_from(vote.signer.get()) else { return false };
        let Some(key) = self.threshold.participants().get(position) else { return false };
        key.verify(subject.namespace(&self.namespace), &subject.message(), &signature.identity)
    }
}

/// One vote's signatures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VoteSignature {
    threshold: vrf::Signature<MinSig>,
    identity: ed25519::Signature,
}

impl VoteSignature {
    /// The voter's own signature.
    pub(crate) fn identity_bytes(&self) -> [u8; 64] {
        let mut bytes = [0u8; 64];
        bytes.copy_from_slice(self.identity.as_ref());
        bytes
    }
}

impl Write for VoteSignature {
    fn write(&self, buffer: &mut impl BufMut) {
        self.threshold.write(buffer);
        self.identity.write(buffer);
    }
}

impl Read for VoteSignature {
    type Cfg = ();

    fn read_cfg(buffer: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let threshold = vrf::Signature::read(buffer)?;
        let identity = ed25519::Signature::read(buffer)?;
        Ok(Self { threshold, identity })
    }
}

impl FixedSize for VoteSignature {
    const SIZE: usize = vrf::Signature::<MinSig>::SIZE + ed25519::Signature::SIZE;
}

/// The vote as the threshold scheme knows it.
fn threshold_vote(vote: &Attestation<Scheme>) -> Option<Attestation<Threshold>> {
    let signature = vote.signature.get()?.threshold.clone().into();
    Some(Attestation { signer: vote.signer, signature })
}

impl certificate::Verifier for Scheme {
    type Subject<'a, D: Digest> = Subject<'a, D>;
    type Faults = N3f1;
    type PublicKey = EngineKey;
    type Certificate = GroupCertificate;

    fn verify_certificate<R: CryptoRng, D: Digest>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        certificate: &Self::Certificate,
        strategy: &impl Strategy,
    ) -> bool {
        self.threshold.verify_certificate::<R, D>(rng, subject, certificate, strategy)
    }

    fn verify_certificates<'a, R: CryptoRng, D: Digest, I>(
        &self,
        rng: &mut R,
        certificates: NonEmpty<I>,
        strategy: &impl Strategy,
    ) -> bool
    where
        I: Iterator<Item = (Subject<'a, D>, &'a Self::Certificate)>,
    {
        self.threshold.verify_certificates::<R, D, I>(rng, certificates, strategy)
    }

    fn is_batchable() -> bool {
        true
    }

    fn max_certificate_size(participants: u32) -> usize {
        Threshold::max_certificate_size(participants)
    }

    fn certificate_codec_config(&self) {}

    fn certificate_codec_config_unbounded() {}
}

impl certificate::Scheme for Scheme {
    type Signature = VoteSignature;

    fn me(&self) -> Option<Membership> {
        self.threshold.me()
    }

    fn participants(&self) -> &Set<EngineKey> {
        self.threshold.participants()
    }

    fn sign<D: Digest>(&self, subject: Subject<'_, D>) -> Option<Attestation<Self>> {
        let identity = self.identity.as_ref()?.sign(subject.namespace(&self.namespace), &subject.message());
        let vote = certificate::Scheme::sign::<D>(&self.threshold, subject)?;
        let threshold = vote.signature.get()?.clone();
        Some(Attestation { signer: vote.signer, signature: VoteSignature { threshold, identity }.into() })
    }

    fn verify_attestation<R: CryptoRng, D: Digest>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        vote: &Attestation<Self>,
        strategy: &impl Strategy,
    ) -> bool {
        self.identity_signed(subject, vote)
            && threshold_vote(vote)
                .is_some_and(|vote| self.threshold.verify_attestation::<R, D>(rng, subject, &vote, strategy))
    }

    fn verify_attestations<R, D, I>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        votes: I,
        strategy: &impl Strategy,
    ) -> Verification<Self>
    where
        R: CryptoRng,
        D: Digest,
        I: IntoIterator<Item = Attestation<Self>>,
        I::IntoIter: Send,
    {
        let (signed, forged): (Vec<_>, Vec<_>) =
            votes.into_iter().partition(|vote| self.identity_signed(subject, vote));
        let mut invalid: BTreeSet<Participant> = forged.iter().map(|vote| vote.signer).collect();
        let partials: Vec<_> = signed.iter().filter_map(threshold_vote).collect();
        let checked = self.threshold.verify_attestations::<R, D, _>(rng, subject, partials, strategy);
        invalid.extend(checked.invalid);
        let verified = signed.into_iter().filter(|vote| !invalid.contains(&vote.signer)).collect();
        Verification::new(verified, invalid.into_iter().collect())
    }

    fn optimistic_assemble<'a, R, D, I, J>(
        &self,
        rng: &mut R,
        subject: Subject<'_, D>,
        pending: I,
        verified: J,
        strategy: &impl Strategy,
    ) -> Result<Self::Certificate, Verification<Self>>
    where
        R: CryptoRng,
        D: Digest,
        I: IntoIterator<Item = Attestation<Self>>,
        I::IntoIter: ExactSizeIterator + Send,
        J: IntoIterator<Item = &'a Attestation<Self>>,
        J::IntoIter: Send,
    {
        // Every counted vote is verified by itself first, so that each one is usable evidence.
        certificate::verify_then_assemble::<Self, R, D, I, J>(self, rng, subject, pending, verified, strategy)
    }

    fn assemble<I>(&self, votes: NonEmpty<I>, strategy: &impl Strategy) -> Result<Self::Certificate, AssemblyError>
    where
        I: Iterator<Item = Attestation<Self>> + Send,
    {
        let partials: Vec<_> = votes.into_iter().filter_map(|vote| threshold_vote(&vote)).collect();
        match NonEmpty::try_new(partials.into_iter()) {
            Some(partials) => self.threshold.assemble(partials, strategy),
            None => Err(AssemblyError::RecoveryFailed),
        }
    }

    fn is_attributable() -> bool {
        true
    }
}

/// Elects each view's leader by the seed of the view before. The engine's own random elector is
/// tied to the scheme that ours wraps.
#[derive(Clone, Debug)]
pub(crate) struct SeedElector {
    participants: u32,
}

impl SeedElector {
    /// An elector whose committee the engine fills in.
    pub(crate) const fn new() -> Self {
        Self { participants: 0 }
    }
}

impl elector::Config<Scheme> for SeedElector {
    type Elector = Self;

    fn build(self, participants: &Set<EngineKey>) -> Self {
        Self { participants: u32::try_from(participants.len()).unwrap_or(u32::MAX) }
    }
}

impl elector::Elector<Scheme> for SeedElector {
    type Mode = elector::Dynamic;

    fn terms(&self) -> elector::Terms {
        elector::Terms::rotating()
    }

    fn elect(&self, round: Round, certificate: Option<&GroupCertificate>) -> Participant {
        let seed = certificate.and_then(|certificate| certificate.get()).map(|pair| pair.seed_signature);
        elector::Random::<Sha256>::new(elector::RandomVersion::V1).select_leader::<MinSig>(
            round,
            self.participants,
            seed,
        )
    }
}

#[cfg(test)]
mod tests;
