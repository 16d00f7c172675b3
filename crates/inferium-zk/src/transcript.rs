//! The Fiat-Shamir transcript: BLAKE3 over everything that was said, in order.
//!
//! What is absorbed and when is a function of the statement, whose digest comes first and binds the model with all of
//! its shapes: so no message can be read as another one. Digests are made under a context of their own.

use p3_blake3::Blake3;
use p3_challenger::{CanObserve, FieldChallenger, HashChallenger, SerializingChallenger32};
use p3_field::{BasedVectorSpace, PrimeField32};
use p3_symmetric::Hash;

use crate::field::{EF, F};

/// What Plonky3's protocols draw their challenges from.
pub(crate) type Challenger = SerializingChallenger32<F, HashChallenger<u8, Blake3, 32>>;

/// Name and version of the protocol. Any change of what is absorbed, proved or checked is another version.
pub(crate) const PROTOCOL: &str = "inferium zk proof of inference 2026-12 v3";

#[derive(Clone)]
pub(crate) struct Transcript {
    pub(crate) challenger: Challenger,
}

impl Transcript {
    /// Begins with the statement's digest.
    pub(crate) fn new(statement: &[u8; 32]) -> Self {
        let mut transcript = Self { challenger: Challenger::from_hasher(PROTOCOL.as_bytes().to_vec(), Blake3) };
        transcript.digest("statement", statement);
        transcript
    }

    /// Absorbs a digest under its name.
    pub(crate) fn digest(&mut self, name: &str, digest: &[u8; 32]) {
        let mut hasher = blake3::Hasher::new_derive_key(PROTOCOL);
        let bound = *hasher
            .update(&(name.len() as u64).to_le_bytes())
            .update(name.as_bytes())
            .update(digest)
            .finalize()
            .as_bytes();
        self.challenger.observe(Hash::<F, u8, 32>::from(bound));
    }

    pub(crate) fn element(&mut self, element: EF) {
        self.challenger.observe_algebra_element(element);
    }

    /// The transcript of one opening, begun with everything before it. Openings are checked beside each other, so none of them is in
    /// another's transcript; all that they claim is in each.
    pub(crate) fn fork(&self, name: &str) -> Self {
        let mut fork = self.clone();
        fork.digest("opening", blake3::hash(name.as_bytes()).as_bytes());
        fork
    }

    /// A digest of all that was said and drawn, to the ends of these.
    pub(crate) fn seal(ends: impl IntoIterator<Item = Self>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("inferium zk transcript end 2026-12");
        for mut end in ends {
            for _ in 0..2 {
                let coefficients = end.challenge();
                for coefficient in coefficients.as_basis_coefficients_slice() {
                    let coefficient: &F = coefficient;
                    hasher.update(&coefficient.as_canonical_u32().to_le_bytes());
                }
            }
        }
        *hasher.finalize().as_bytes()
    }

    pub(crate) fn challenge(&mut self) -> EF {
        self.challenger.sample_algebra_element()
    }
}
