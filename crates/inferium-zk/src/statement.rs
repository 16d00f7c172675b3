//! What a proof is about.

use inferium_exact::{ACCUMULATOR_MAX, CONTRACT_VERSION, Model};

use std::borrow::Cow;

use crate::channel::Demand;
use crate::circuit::{BATCH_BITS_MAX, Circuit, build_batch};
use crate::error::ProveError;
use crate::oracle::{Root, SPARE, TERM_BITS};
use crate::outline::Outline;
use crate::private::{blind, openings};
use crate::prove::demand;
use crate::transcript::PROTOCOL;

/// What is hidden of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hiding {
    /// Nothing: the proof is succinct, and says things about the input.
    Nothing,
    /// The input and all that was computed of it but the output; and the weights, where the key is of private ones
    /// ([`crate::ProvingKey::private`]).
    Activations,
}

/// A public statement: this prover ran this model on the committed input for this task, and this is the output. Or on a
/// batch of 2^β committed inputs, and these are the outputs; which of both, the output's length says
/// ([`VerifyingKey::inputs`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Commitment to the input: [`crate::InputCommitment::root`].
    pub input: [u8; 32],
    /// The model's output, all of it; of a batch the outputs of all inputs in order, one behind the other.
    pub output: Vec<i32>,
    /// Which task: a proof for one is none for another.
    pub task: [u8; 32],
    /// Which chain.
    pub chain: [u8; 32],
    /// Who proved it.
    pub prover: [u8; 32],
    /// Whether the proof hides what it was computed from.
    pub hiding: Hiding,
}

/// What a statement is checked against: a model, with the commitment to its weights.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    pub(crate) circuit: Circuit,
    pub(crate) outline: Outline,
    pub(crate) model: [u8; 32],
    pub(crate) weights: Root,
    /// Bits by which the commitment to the weights is longer than they are, the rest of it random; 0 of a public one.
    pub(crate) blinding: usize,
    pub(crate) demand: Demand,
}

impl VerifyingKey {
    /// The model's id.
    #[must_use]
    pub const fn model(&self) -> &[u8; 32] {
        &self.model
    }

    /// The commitment to its weights and tables, as a registration on chain holds it. Whoever has the model can make
    /// it again and compare.
    #[must_use]
    pub const fn weights(&self) -> &[u8; 32] {
        &self.weights
    }

    /// For how many proofs the commitment hides the weights; none where they are public, and hidden by no proof.
    #[must_use]
    pub fn openings(&self) -> Option<u32> {
        let [weights, ..] = self.circuit.variables;
        (self.blinding > 0).then(|| openings(weights, self.blinding).unwrap_or(0))
    }

    /// A model of the key's shapes and operations, all of whose numbers are zero: what its inputs are and what running it
    /// takes.
    ///
    /// # Errors
    /// [`ProveError`]: none of a key that was read or made.
    pub fn blank_model(&self) -> Result<Model, ProveError> {
        self.outline.model()
    }

    /// Whether proofs by this key are of statements that hide so much: of private weights all hide activations too.
    pub(crate) fn allows(&self, hiding: Hiding) -> bool {
        self.blinding == 0 || hiding == Hiding::Activations
    }

    /// Digest of the key: of model, weights, contract and protocol. Two keys with one are equal.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("inferium zk key 2026-11");
        hasher.update(&(PROTOCOL.len() as u64).to_le_bytes()).update(PROTOCOL.as_bytes());
        hasher.update(&CONTRACT_VERSION.to_le_bytes()).update(&self.model).update(&self.weights);
        // The model's outline follows from its id only for whoever has the model.
        hasher.update(&self.to_bytes().unwrap_or_default());
        *hasher.finalize().as_bytes()
    }

    /// The key for statements about batches of 2^`bits` inputs: of the same model and weights, and with the same
    /// [`Self::id`] and file. [`crate::verify`] makes it where it is needed; whoever checks many batches of one size
    /// makes it once and has it take this one.
    ///
    /// # Errors
    /// [`ProveError::Unsupported`] when `bits` is above [`crate::BATCH_BITS_MAX`], or one proof does not hold so many
    /// inputs of this model.
    pub fn batched(&self, bits: usize) -> Result<Self, ProveError> {
        let circuit = blind(build_batch(&self.outline.model()?, bits)?, self.blinding)?;
        demand(Self { circuit, demand: Demand::NONE, ..self.clone() })
    }

    /// Of how many inputs a statement is, if its output has the length for a power of two of this model's outputs.
    #[must_use]
    pub fn inputs(&self, statement: &Statement) -> Option<usize> {
        let classes = self.circuit.dims.last().map(|dims| dims.real[0]).filter(|classes| *classes > 0)?;
        let inputs = statement.output.len() / classes;
        let is_whole = statement.output.len() == inputs * classes && inputs.is_power_of_two();
        (is_whole && inputs <= 1 << BATCH_BITS_MAX).then_some(inputs)
    }

    /// This key, or the one for batches of the size that the statement is about. None if it is about none that can be
    /// proved.
    pub(crate) fn fitting(&self, statement: &Statement) -> Option<Cow<'_, Self>> {
        let bits = self.inputs(statement)?.trailing_zeros() as usize;
        if bits == self.circuit.batch { Some(Cow::Borrowed(self)) } else { self.batched(bits).ok().map(Cow::Owned) }
    }

    /// Digest of a statement about this model; what the transcript begins with.
    #[must_use]
    pub fn digest(&self, statement: &Statement) -> [u8; 32] {
        // A statement that fits no batch has no proof, and a digest all the same.
        self.fitting(statement).as_deref().unwrap_or(self).own_digest(statement)
    }

    fn own_digest(&self, statement: &Statement) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("inferium zk statement 2026-11");
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(PROTOCOL.as_bytes());
        part(&CONTRACT_VERSION.to_le_bytes());
        part(&self.model);
        part(&self.weights);
        for part_of in [&statement.input, &statement.task, &statement.chain, &statement.prover] {
            part(part_of);
        }
        let output: Vec<u8> = statement.output.iter().flat_map(|value| value.to_le_bytes()).collect();
        part(&output);
        part(&[u8::from(statement.hiding == Hiding::Activations)]);
        let [weights, input, trace] = self.circuit.variables;
        let demand = [self.demand.messages, self.demand.products];
        let sizes = [weights, input, trace, self.circuit.lookups.bits, SPARE, TERM_BITS];
        let sizes = sizes.iter().chain(&demand).flat_map(|size| (*size as u64).to_le_bytes()).collect::<Vec<u8>>();
        part(&sizes);
        if self.blinding > 0 {
            part(&[u8::try_from(self.blinding).unwrap_or(u8::MAX)]);
        }
        *hasher.finalize().as_bytes()
    }

    /// The output as the last step's numbers, each input's padded, if it has the shape of this key's batch and is in
    /// the range that sums can have.
    pub(crate) fn output(&self, statement: &Statement) -> Option<Vec<i32>> {
        let dims = self.circuit.dims.last()?;
        let is_in_range = |value: &i32| i64::from(*value).abs() <= ACCUMULATOR_MAX;
        let is_own = self.inputs(statement)? == 1 << self.circuit.batch;
        if !is_own || !statement.output.iter().all(is_in_range) {
            return None;
        }
        let padded = statement.output.chunks(dims.real[0]).flat_map(|output| {
            let padding = (1_usize << dims.total()).saturating_sub(output.len());
            output.iter().copied().chain(core::iter::repeat_n(0, padding))
        });
        Some(padded.collect())
    }
}
