//! Proves what a classifier of numbers said, and verifies such proofs (SPEC V10).

use crate::EngineError;
use inferium_exact::Model;
use inferium_types::{ChainId, ClassifierInputs, Digest, LeaseId, ModelProfile, ProvingInput, limits};
use inferium_zk::{
    BATCH_BITS_MAX, Hiding, InputCommitment, ProofFile, ProveError, ProvingKey, Statement, VerifyingKey, verify_traced,
};
use std::fmt;

#[cfg(test)]
mod tests;

/// What a lease of proofs has room for in one job: a proof of as many of the largest inputs as one is of, and the one answer.
#[expect(clippy::cast_possible_truncation, clippy::as_conversions, reason = "32")]
pub const PROVE_CONTEXT_TOKENS: u32 =
    limits::PROOF_TOKENS + limits::PROOF_INPUTS_MAX as u32 * limits::INPUT_TOKENS_MAX + 1;

/// The largest model that is proved by networks: with this many numbers and multiplications a proof takes seconds of two cores, well within
/// what a worker has for it.
const PARAMETERS_MAX: u64 = 1 << 23;
const MULTIPLICATIONS_MAX: u64 = 1 << 25;

/// An integer model, registered: who has it proves, and judges without computing anything again.
pub struct Prover {
    key: ProvingKey,
    chain: ChainId,
    /// What every input of a proof counts as.
    input_tokens: u32,
    /// Inputs of one proof at most: a power of two.
    inputs_max: usize,
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prover").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The profile of proofs by this key (SPEC V10).
#[must_use]
pub fn prover_profile(key: &VerifyingKey) -> ModelProfile {
    ModelProfile::prover(Digest::from(key.id()))
}

fn failed(error: &dyn fmt::Display) -> EngineError {
    EngineError::Failed { reason: error.to_string() }
}

fn refused(reason: String) -> EngineError {
    EngineError::Tensor { reason }
}

impl Prover {
    /// Registers a model on a chain; that takes seconds for a model of millions of weights.
    ///
    /// # Errors
    /// [`ProveError`]: the model is one of the contract and can't be proved, or not in a job's time, or none of it.
    pub fn new(model: Model, chain: ChainId) -> Result<Self, ProveError> {
        let elements = u32::try_from(model.input.elements()).unwrap_or(u32::MAX);
        let work = model.multiplications()?;
        if model.parameters() > PARAMETERS_MAX || work > MULTIPLICATIONS_MAX {
            return Err(ProveError::Unsupported(
                "it has more numbers or multiplications than a worker proves in its time",
            ));
        }
        let key = ProvingKey::new(model)?;
        let input_tokens = u32::try_from(ClassifierInputs::tensor_tokens(elements, work)).unwrap_or(u32::MAX);
        // As many as are proved in a job's time, and as one proof holds.
        let holds = |bits: &usize| {
            let in_time = work.saturating_mul(1 << bits) <= MULTIPLICATIONS_MAX;
            in_time && 1 << bits <= limits::PROOF_INPUTS_MAX && key.verifying_key().batched(*bits).is_ok()
        };
        let bits = (1..=BATCH_BITS_MAX).take_while(holds).last().unwrap_or(0);
        Ok(Self { inputs_max: 1 << bits, key, chain, input_tokens })
    }

    /// Its profile.
    #[must_use]
    pub fn profile(&self) -> ModelProfile {
        prover_profile(self.key.verifying_key())
    }

    /// What a proof of so many inputs counts as in [`inferium_types::Usage::prompt_tokens`].
    #[must_use]
    pub fn tokens(&self, inputs: usize) -> u32 {
        let inputs = u32::try_from(inputs).unwrap_or(u32::MAX);
        limits::PROOF_TOKENS.saturating_add(self.input_tokens.saturating_mul(inputs))
    }

    /// Inputs of one proof at most: what its cost grows by with each is a fraction of the first one's.
    #[must_use]
    pub const fn inputs_max(&self) -> usize {
        self.inputs_max
    }

    /// What verifies its proofs.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    /// Checks that the inputs are of the model's shape and range, and not too many; what a proof of them counts as.
    ///
    /// # Errors
    /// [`EngineError::Tensor`].
    pub fn read(&self, input: &ProvingInput) -> Result<u32, EngineError> {
        let (count, most) = (input.tensors.len(), self.inputs_max);
        if count == 0 || count > most {
            return Err(refused(format!("{count} inputs; a proof of this model is of 1 to {most}")));
        }
        let model = self.key.model();
        let range = model.input_min..=model.input_max;
        for tensor in &input.tensors {
            let (expected, found) = (model.input.elements(), tensor.len());
            if found as u64 != expected {
                return Err(refused(format!("{found} elements; the model reads {expected}")));
            }
            if let Some(place) = tensor.iter().position(|element| !range.contains(element)) {
                let (least, most) = (range.start(), range.end());
                return Err(refused(format!("element {place} is not from {least} to {most}")));
            }
        }
        Ok(self.tokens(count))
    }

    /// What is to be proved of inputs for a lease, with the commitment that it names: the model is run. A proof is of a power of two of them, so
    /// the last one stands there as often as it takes.
    fn statement(&self, input: &ProvingInput, lease: LeaseId) -> Result<(Statement, InputCommitment), EngineError> {
        self.read(input)?;
        let wide = |tensor: &Vec<i16>| tensor.iter().map(|element| i32::from(*element)).collect::<Vec<i32>>();
        let mut inputs: Vec<Vec<i32>> = input.tensors.iter().map(wide).collect();
        let last = inputs.last().cloned().unwrap_or_default();
        inputs.resize(inputs.len().next_power_of_two(), last);
        let hiding = if input.hides { Hiding::Activations } else { Hiding::Nothing };
        let wrong = |error: &dyn fmt::Display| refused(error.to_string());
        let committed = self.key.commit_batch(&inputs, &input.seed, hiding).map_err(|error| wrong(&error))?;
        let mut output = Vec::new();
        for input in &inputs {
            output.extend(inferium_exact::infer(self.key.model(), input).map_err(|error| wrong(&error))?);
        }
        let statement = Statement {
            input: *committed.root(),
            output,
            task: *input.job.digest().as_bytes(),
            chain: *self.chain.digest().as_bytes(),
            prover: *lease.digest().as_bytes(),
            hiding,
        };
        Ok((statement, committed))
    }

    /// Proves what the model says of inputs, under a lease; the proof with its statement, as files hold it.
    ///
    /// Takes tenths of a second to seconds of two cores.
    ///
    /// # Errors
    /// [`EngineError::Tensor`] of an input that the model does not read, [`EngineError::Failed`].
    pub fn prove(&self, input: &ProvingInput, lease: LeaseId) -> Result<Vec<u8>, EngineError> {
        let (statement, committed) = self.statement(input, lease)?;
        let proof = self.key.prove(committed, &statement, &mut rand::rng()).map_err(|error| failed(&error))?;
        let file = ProofFile { model: *self.key.verifying_key().model(), statement, proof };
        let bytes = file.to_bytes().map_err(|error| failed(&error))?;
        if bytes.len() > limits::PROOF_SIZE_MAX {
            return Err(failed(&format_args!(
                "a proof of {} bytes; a job has {} at most",
                bytes.len(),
                limits::PROOF_SIZE_MAX
            )));
        }
        Ok(bytes)
    }

    /// Verifies a proof of inputs under a lease: that its statement is the one that the job asks for, to the bit, and that it holds. What
    /// verifying came to, which is in no evidence; none of a proof that is not one.
    ///
    /// # Errors
    /// As of [`Prover::prove`].
    pub fn check(&self, input: &ProvingInput, lease: LeaseId, proof: &[u8]) -> Result<Option<Digest>, EngineError> {
        let (statement, _) = self.statement(input, lease)?;
        if proof.len() > limits::PROOF_SIZE_MAX {
            return Ok(None);
        }
        let Ok(file) = ProofFile::from_bytes(proof) else { return Ok(None) };
        if file.model != *self.key.verifying_key().model() || file.statement != statement {
            return Ok(None);
        }
        let traced = verify_traced(self.key.verifying_key(), &statement, &file.proof);
        Ok(traced.ok().map(Digest::from))
    }
}
