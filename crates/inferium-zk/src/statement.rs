//! What a proof is about.

use inferium_exact::{ACCUMULATOR_MAX, CONTRACT_VERSION};

use crate::channel::Demand;
use crate::circuit::Circuit;
use crate::oracle::{Root, SPARE, TERM_BITS};
use crate::outline::Outline;
use crate::transcript::PROTOCOL;

/// What is hidden of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hiding {
    /// Nothing: the proof is succinct, and says things about the input.
    Nothing,
    /// The input and all that was computed of it but the output. Weights are not hidden.
    Activations,
}

/// A public statement: this prover ran this model on the committed input for this task, and this is the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Commitment to the input: [`crate::InputCommitment::root`].
    pub input: [u8; 32],
    /// The model's output, all of it.
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

    /// Digest of a statement about this model; what the transcript begins with.
    #[must_use]
    pub fn digest(&self, statement: &Statement) -> [u8; 32] {
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
        *hasher.finalize().as_bytes()
    }

    /// The output as the last step's numbers, if it has its shape and is in the range that sums can have.
    pub(crate) fn output(&self, statement: &Statement) -> Option<Vec<i32>> {
        let dims = self.circuit.dims.last()?;
        let is_in_range = |value: &i32| i64::from(*value).abs() <= ACCUMULATOR_MAX;
        let fits = statement.output.len() == dims.real[0] && statement.output.iter().all(is_in_range);
        let mut padded = statement.output.clone();
        padded.resize(1 << dims.total(), 0);
        fits.then_some(padded)
    }
}
