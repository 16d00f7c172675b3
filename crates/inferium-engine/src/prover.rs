//! Proves what a classifier of numbers said, and verifies such proofs (SPEC V10).

use crate::EngineError;
use inferium_exact::{Model, Shape};
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
/// The same where weights are private, and inputs of one proof then: what hides weights is another half of a megabyte and more, and a proof that
/// is larger than jobs hold would be an opening for nothing.
const PRIVATE_PARAMETERS_MAX: u64 = 1 << 22;
const PRIVATE_INPUTS_MAX: usize = 4;

/// Writes down that private weights are opened once more, before they are; why not, if that fails.
pub type Spend = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What somebody has of a model that is proved.
enum Party {
    /// All of it, as everybody.
    Public(Box<ProvingKey>),
    /// All of it, as nobody else.
    Owner(Box<ProvingKey>, Spend),
    /// Its shapes, with zeros for its weights, and what verifies.
    Verifier(Box<VerifyingKey>, Box<Model>),
}

/// An integer model, registered: who has it proves, and judges without computing anything again. Or one whose weights are private (SPEC
/// V12), at their owner or at who verifies.
pub struct Prover {
    party: Party,
    /// What clients call private weights.
    name: Option<String>,
    chain: ChainId,
    /// What every input of a proof counts as.
    input_tokens: u32,
    /// Inputs of one proof at most: a power of two.
    inputs_max: usize,
}

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = hex::encode(self.verifying_key().id());
        f.debug_struct("Prover").field("key", &key).field("name", &self.name).finish_non_exhaustive()
    }
}

/// The profile of proofs by this key (SPEC V10); where it is of private weights (V12), of the classifier that clients know by this name.
#[must_use]
pub fn prover_profile(key: &VerifyingKey, name: &str) -> ModelProfile {
    let id = Digest::from(key.id());
    key.openings().map_or_else(|| ModelProfile::prover(id), |openings| ModelProfile::private(name, id, openings))
}

fn failed(error: &dyn fmt::Display) -> EngineError {
    EngineError::Failed { reason: error.to_string() }
}

fn refused(reason: String) -> EngineError {
    EngineError::Tensor { reason }
}

/// What a worker proves in its time.
fn check_size(model: &Model) -> Result<(), ProveError> {
    if model.parameters() > PARAMETERS_MAX || model.multiplications()? > MULTIPLICATIONS_MAX {
        return Err(ProveError::Unsupported("it has more numbers or multiplications than a worker proves in its time"));
    }
    Ok(())
}

impl Prover {
    /// Registers a model on a chain; that takes seconds for a model of millions of weights.
    ///
    /// # Errors
    /// [`ProveError`]: the model is one of the contract and can't be proved, or not in a job's time, or none of it.
    pub fn new(model: Model, chain: ChainId) -> Result<Self, ProveError> {
        check_size(&model)?;
        Self::of(Party::Public(Box::new(ProvingKey::new(model)?)), None, chain)
    }

    /// A model of private weights, at their owner: under a secret, for at least so many proofs, some of which may have been made before.
    ///
    /// # Errors
    /// As of [`Prover::new`]; [`ProveError::Unsupported`] also when no key is for so many proofs.
    pub fn private(
        (name, model): (&str, Model),
        (secret, openings, spent): (&[u8; 32], u32, u32),
        spend: Spend,
        chain: ChainId,
    ) -> Result<Self, ProveError> {
        check_size(&model)?;
        let key = Box::new(ProvingKey::private(model, secret, openings, spent)?);
        Self::of(Party::Owner(key, spend), Some(name.to_owned()), chain)
    }

    /// A model of private weights, at who verifies; nothing of a key whose weights are public.
    ///
    /// # Errors
    /// As of [`Prover::new`].
    pub fn verifier(name: &str, key: VerifyingKey, chain: ChainId) -> Result<Option<Self>, ProveError> {
        if key.openings().is_none() {
            return Ok(None);
        }
        let blank = key.blank_model()?;
        check_size(&blank)?;
        Self::of(Party::Verifier(Box::new(key), Box::new(blank)), Some(name.to_owned()), chain).map(Some)
    }

    fn of(party: Party, name: Option<String>, chain: ChainId) -> Result<Self, ProveError> {
        let mut prover = Self { party, name, chain, input_tokens: 0, inputs_max: 1 };
        let (model, key) = (prover.model(), prover.verifying_key());
        if prover.is_private() && model.parameters() > PRIVATE_PARAMETERS_MAX {
            return Err(ProveError::Unsupported("private weights of more numbers than a proof has room to hide"));
        }
        let elements = u32::try_from(model.input.elements()).unwrap_or(u32::MAX);
        let work = model.multiplications()?;
        let input_tokens = u32::try_from(ClassifierInputs::tensor_tokens(elements, work)).unwrap_or(u32::MAX);
        let inputs_max = if prover.is_private() { PRIVATE_INPUTS_MAX } else { limits::PROOF_INPUTS_MAX };
        // As many as are proved in a job's time, and as one proof holds.
        let holds = |bits: &usize| {
            let in_time = work.saturating_mul(1 << bits) <= MULTIPLICATIONS_MAX;
            in_time && 1 << bits <= inputs_max && key.batched(*bits).is_ok()
        };
        let bits = (1..=BATCH_BITS_MAX).take_while(holds).last().unwrap_or(0);
        (prover.input_tokens, prover.inputs_max) = (input_tokens, 1 << bits);
        Ok(prover)
    }

    /// The model; where only its key is known, with zeros for weights.
    fn model(&self) -> &Model {
        match &self.party {
            Party::Public(key) | Party::Owner(key, _) => key.model(),
            Party::Verifier(_, blank) => blank,
        }
    }

    /// Shape and least and largest element of its inputs.
    #[must_use]
    pub fn inputs(&self) -> (Shape, i16, i16) {
        let model = self.model();
        (model.input, model.input_min, model.input_max)
    }

    /// Whether its weights are private.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.name.is_some()
    }

    /// How many more proofs its owner makes of private weights.
    #[must_use]
    pub fn openings_left(&self) -> Option<u32> {
        match &self.party {
            Party::Public(key) | Party::Owner(key, _) => key.openings_left(),
            Party::Verifier(..) => None,
        }
    }

    /// Its profile.
    #[must_use]
    pub fn profile(&self) -> ModelProfile {
        prover_profile(self.verifying_key(), self.name.as_deref().unwrap_or_default())
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
    pub fn verifying_key(&self) -> &VerifyingKey {
        match &self.party {
            Party::Public(key) | Party::Owner(key, _) => key.verifying_key(),
            Party::Verifier(key, _) => key,
        }
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
        if self.is_private() && !input.hides {
            return Err(refused("a proof by private weights hides what it is computed from".to_owned()));
        }
        let model = self.model();
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

    /// What is to be proved of inputs for a lease, but for the output, with the commitment that it names. A proof is of a power of two of
    /// them, so the last one stands there as often as it takes.
    fn claim(
        &self,
        input: &ProvingInput,
        lease: LeaseId,
    ) -> Result<(Statement, InputCommitment, Vec<Vec<i32>>), EngineError> {
        self.read(input)?;
        let wide = |tensor: &Vec<i16>| tensor.iter().map(|element| i32::from(*element)).collect::<Vec<i32>>();
        let mut inputs: Vec<Vec<i32>> = input.tensors.iter().map(wide).collect();
        let last = inputs.last().cloned().unwrap_or_default();
        inputs.resize(inputs.len().next_power_of_two(), last);
        let hiding = if input.hides { Hiding::Activations } else { Hiding::Nothing };
        let committed = self.verifying_key().commit_batch(&inputs, &input.seed, hiding);
        let committed = committed.map_err(|error| refused(error.to_string()))?;
        let statement = Statement {
            input: *committed.root(),
            output: Vec::new(),
            task: *input.job.digest().as_bytes(),
            chain: *self.chain.digest().as_bytes(),
            prover: *lease.digest().as_bytes(),
            hiding,
        };
        Ok((statement, committed, inputs))
    }

    /// What the model says of inputs, one behind the other.
    fn run(&self, inputs: &[Vec<i32>]) -> Result<Vec<i32>, EngineError> {
        let mut output = Vec::new();
        for input in inputs {
            let values = inferium_exact::infer(self.model(), input).map_err(|error| refused(error.to_string()))?;
            output.extend(values);
        }
        Ok(output)
    }

    /// Proves what the model says of inputs, under a lease; the proof with its statement, as files hold it.
    ///
    /// Takes tenths of a second to seconds of two cores.
    ///
    /// # Errors
    /// [`EngineError::Tensor`] of an input that the model does not read, [`EngineError::Failed`].
    pub fn prove(&self, input: &ProvingInput, lease: LeaseId) -> Result<Vec<u8>, EngineError> {
        let (mut statement, committed, inputs) = self.claim(input, lease)?;
        let key = match &self.party {
            Party::Public(key) => key,
            Party::Owner(key, spend) => {
                // Before anything is shown: one that is counted and not made costs less than one that is made and not counted.
                spend().map_err(|reason| failed(&reason))?;
                key
            }
            Party::Verifier(..) => return Err(failed(&"only their owner proves by private weights")),
        };
        statement.output = self.run(&inputs)?;
        let proof = key.prove(committed, &statement, &mut rand::rng()).map_err(|error| failed(&error))?;
        let file = ProofFile { model: *key.verifying_key().model(), statement, proof };
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

    /// Verifies a proof of inputs under a lease: that its statement is the one that the job asks for, to the bit, and that it holds; of
    /// private weights, whatever their output is. What verifying came to, which is in no evidence; none of a proof that is not one.
    ///
    /// # Errors
    /// As of [`Prover::prove`].
    pub fn check(&self, input: &ProvingInput, lease: LeaseId, proof: &[u8]) -> Result<Option<Digest>, EngineError> {
        let (mut statement, _, inputs) = self.claim(input, lease)?;
        if proof.len() > limits::PROOF_SIZE_MAX {
            return Ok(None);
        }
        let Ok(file) = ProofFile::from_bytes(proof) else { return Ok(None) };
        let key = self.verifying_key();
        statement.output = if self.is_private() { file.statement.output.clone() } else { self.run(&inputs)? };
        // How many inputs a proof is of is what its output's length says.
        let is_asked = key.inputs(&statement) == Some(inputs.len());
        if file.model != *key.model() || file.statement != statement || !is_asked {
            return Ok(None);
        }
        let traced = verify_traced(key, &statement, &file.proof);
        Ok(traced.ok().map(Digest::from))
    }

    /// What a proof of inputs says that private weights answer, for each of them: once it is verified under the lease that it names. None
    /// of a proof that is not one.
    ///
    /// # Errors
    /// As of [`Prover::check`].
    pub fn outputs(&self, input: &ProvingInput, proof: &[u8]) -> Result<Option<Vec<Vec<i32>>>, EngineError> {
        let Ok(file) = ProofFile::from_bytes(proof) else { return Ok(None) };
        let lease = LeaseId::new(Digest::from(file.statement.prover));
        if self.check(input, lease, proof)?.is_none() {
            return Ok(None);
        }
        let inputs = self.verifying_key().inputs(&file.statement).unwrap_or(1);
        let classes = file.statement.output.len() / inputs.max(1);
        let outputs = file.statement.output.chunks(classes.max(1)).map(<[i32]>::to_vec);
        Ok(Some(outputs.take(input.tensors.len()).collect()))
    }
}
