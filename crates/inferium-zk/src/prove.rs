//! The prover.

use inferium_exact::{Model, Trace, model_id, run};
use p3_maybe_rayon::prelude::*;
use rand_core::CryptoRng;

use crate::channel::{Demand, Deviation, Reader, Writer};
use crate::circuit::{BATCH_BITS_MAX, Circuit, build};
use crate::error::ProveError;
use crate::field::{EF, F, Stream, evaluate};
use crate::mask::{Pads, pad_variables};
use crate::oracle::{Committed, HIDING_VARIABLES_MAX};
use crate::outline::Outline;
use crate::private::{Blinded, Weights, blind, private_id};
use crate::proof::{Parts, Proof};
use crate::statement::{Hiding, Statement, VerifyingKey};
use crate::verify::{Opened, begin, begin_points, committed_variables, count, embed, replay};
use crate::weight::{Claim, Column, Oracle};
use crate::witness::{input_polynomial, trace_polynomial};
use crate::{batch, linear, lookup};
use core::sync::atomic::{AtomicU32, Ordering};

/// What a prover is at, in this order: told to whoever waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Runs the model.
    Run,
    /// Draws the pads of messages; of hiding proofs only.
    Pads,
    /// Commits to what the run computed, and to pads with it.
    Trace,
    /// Proves that rows are in their tables.
    Lookups,
    /// Proves a layer of weights.
    Layer {
        /// Which one, from 0.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// Makes one claim of all those on a commitment.
    Claims,
    /// Proves what the verifier checks of masked messages; of hiding proofs only.
    Masks,
    /// Opens the commitments.
    Openings,
}

/// Who is told what a prover is at.
type Watch<'a> = &'a mut dyn FnMut(Stage);

/// A model, registered: with its weights committed, to be proved from as often as wanted.
pub struct ProvingKey {
    pub(crate) model: Model,
    weights: Weights,
    pub(crate) key: VerifyingKey,
}

impl core::fmt::Debug for ProvingKey {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("ProvingKey").field("model", &self.model.name).finish_non_exhaustive()
    }
}

/// An input that was committed to, or a batch of them, at whoever knows it. It makes one proof: what opens it twice
/// could be put together.
pub struct InputCommitment {
    inputs: Vec<Vec<i32>>,
    /// The key of batches of this size, if it is a batch.
    pub(crate) batched: Option<Box<VerifyingKey>>,
    committed: Committed,
    hiding: Hiding,
}

impl core::fmt::Debug for InputCommitment {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("InputCommitment").field("root", &self.committed.root).finish_non_exhaustive()
    }
}

impl InputCommitment {
    /// The commitment, as statements hold it.
    #[must_use]
    pub const fn root(&self) -> &[u8; 32] {
        &self.committed.root
    }
}

impl VerifyingKey {
    /// As [`ProvingKey::commit_batch`], for whoever has the key alone.
    ///
    /// # Errors
    /// As [`ProvingKey::commit_batch`].
    pub fn commit_batch<I: AsRef<[i32]>>(
        &self,
        inputs: &[I],
        seed: &[u8; 32],
        hiding: Hiding,
    ) -> Result<InputCommitment, ProveError> {
        if !inputs.len().is_power_of_two() || inputs.len() > 1 << BATCH_BITS_MAX {
            return Err(ProveError::Unsupported("a batch of a number of inputs that is no power of two up to 32"));
        }
        for input in inputs {
            self.outline.check(input.as_ref())?;
        }
        self.commit_unchecked(inputs, seed, hiding)
    }

    /// As [`Self::commit_batch`], of a power of two of inputs which may be out of range.
    pub(crate) fn commit_unchecked<I: AsRef<[i32]>>(
        &self,
        inputs: &[I],
        seed: &[u8; 32],
        hiding: Hiding,
    ) -> Result<InputCommitment, ProveError> {
        let bits = inputs.len().trailing_zeros() as usize;
        let batched = (bits > 0).then(|| self.batched(bits).map(Box::new)).transpose()?;
        // A seed that serves for two sizes against all advice hides with other randomness in each.
        let purpose = |of: &str| if bits == 0 { of.to_owned() } else { format!("{of}, batch of {}", 1_u64 << bits) };
        let circuit = &batched.as_deref().unwrap_or(self).circuit;
        let values = input_polynomial(circuit, inputs, &mut Stream::new(seed, &purpose("input spare")));
        let stream = (hiding == Hiding::Activations).then(|| Stream::new(seed, &purpose("input")));
        let inputs = inputs.iter().map(|input| input.as_ref().to_vec()).collect();
        Ok(InputCommitment { inputs, batched, committed: Committed::new(values, stream)?, hiding })
    }
}

impl ProvingKey {
    /// Commits to a model's weights and tables. Deterministic: everyone who has the model gets the same key.
    ///
    /// # Errors
    /// [`ProveError::Unsupported`] says why a model of the contract can't be proved; others are of the model itself.
    pub fn new(model: Model) -> Result<Self, ProveError> {
        let (circuit, weights) = build(&model)?;
        let weights = Committed::new(weights, None)?;
        let (id, outline) = (model_id(&model), Outline::of(&model));
        let key =
            VerifyingKey { circuit, outline, model: id, weights: weights.root, blinding: 0, demand: Demand::NONE };
        Ok(Self { model, weights: Weights::Public(weights), key: demand(key)? })
    }

    /// Commits to a model's weights and tables so that proofs hide them: for at least as many proofs as `openings`, and
    /// as many as [`VerifyingKey::openings`] says then, of which `spent` were made before. The same model, secret and
    /// number give the same key. Whoever has the secret and the proofs can test guesses of weights; who makes more
    /// proofs, by several copies of the key or after a restart that forgot some, may give weights away.
    ///
    /// # Errors
    /// As [`ProvingKey::new`]; [`ProveError::Unsupported`] when no commitment of this model is for so many.
    pub fn private(model: Model, secret: &[u8; 32], openings: u32, spent: u32) -> Result<Self, ProveError> {
        let (circuit, values) = build(&model)?;
        let outline = Outline::of(&model);
        let (blinded, blinding) = Blinded::new(values, secret, &model_id(&model), openings)?;
        let key = VerifyingKey {
            model: private_id(&outline, blinded.root(), blinding),
            weights: *blinded.root(),
            circuit: blind(circuit, blinding)?,
            outline,
            blinding,
            demand: Demand::NONE,
        };
        let key = demand(key)?;
        let left = AtomicU32::new(key.openings().unwrap_or(0).saturating_sub(spent));
        Ok(Self { model, weights: Weights::Private(blinded, left), key })
    }

    /// How many more proofs this key makes, if it hides weights.
    #[must_use]
    pub fn openings_left(&self) -> Option<u32> {
        match &self.weights {
            Weights::Public(_) => None,
            Weights::Private(_, left) => Some(left.load(Ordering::Relaxed)),
        }
    }

    /// What verifiers need.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Commits to an input; the same seed and input give the same commitment, so a client can make it before it finds
    /// a prover, and show later what was in it by showing both. The seed is secret and never used again.
    ///
    /// # Errors
    /// [`ProveError`] when the input is not of the model's shape and range.
    pub fn commit(&self, input: &[i32], seed: &[u8; 32], hiding: Hiding) -> Result<InputCommitment, ProveError> {
        self.commit_batch(&[input], seed, hiding)
    }

    /// Commits to 2^β inputs, for one proof of all of them; of one it is [`Self::commit`]. All are under one seed, so
    /// whoever shows what is in the commitment shows all inputs.
    ///
    /// # Errors
    /// [`ProveError`] when an input is not of the model's shape and range; [`ProveError::Unsupported`] when their
    /// number is no power of two, is above 2^[`crate::BATCH_BITS_MAX`], or is more than one proof of this model holds.
    pub fn commit_batch<I: AsRef<[i32]>>(
        &self,
        inputs: &[I],
        seed: &[u8; 32],
        hiding: Hiding,
    ) -> Result<InputCommitment, ProveError> {
        self.key.commit_batch(inputs, seed, hiding)
    }

    /// Runs the model and proves that the statement's output is its output, of a batch that all of them are. `rng` has
    /// to be cryptographic where the proof hides.
    ///
    /// # Errors
    /// [`ProveError`] when the statement is about another input or output, or hides something else than the commitment.
    pub fn prove(
        &self,
        input: InputCommitment,
        statement: &Statement,
        rng: &mut impl CryptoRng,
    ) -> Result<Proof, ProveError> {
        self.prove_watched(input, statement, rng, &mut |_| {})
    }

    /// As [`ProvingKey::prove`], and tells `watch` of every stage when it begins.
    ///
    /// # Errors
    /// As [`ProvingKey::prove`].
    pub fn prove_watched(
        &self,
        input: InputCommitment,
        statement: &Statement,
        rng: &mut impl CryptoRng,
        watch: &mut dyn FnMut(Stage),
    ) -> Result<Proof, ProveError> {
        watch(Stage::Run);
        let traces = input.inputs.par_iter().map(|input| run(&self.model, input)).collect::<Result<Vec<Trace>, _>>()?;
        if !traces.iter().flat_map(Trace::output).eq(&statement.output) {
            return Err(ProveError::Statement("the model has another output"));
        }
        let key = input.batched.as_deref().unwrap_or(&self.key);
        if key.model != self.key.model || key.weights != self.key.weights {
            return Err(ProveError::Statement("the inputs are committed to for another model"));
        }
        if input.committed.root != statement.input || input.hiding != statement.hiding {
            return Err(ProveError::Statement("the input is committed to in another way"));
        }
        self.weights.spend(statement.hiding)?;
        let mut stream = Stream::seeded(rng, "proof");
        let values = trace_polynomial(&key.circuit, &self.model, &traces, &mut stream);
        self.prove_witness(input, values, statement, (Deviation::default(), watch), &mut stream)
    }

    /// Proves from columns as they are, which a test can have falsified, as it can have the prover deviate.
    pub(crate) fn prove_witness(
        &self,
        input: InputCommitment,
        values: Vec<F>,
        statement: &Statement,
        (deviation, watch): (Deviation, Watch<'_>),
        stream: &mut Stream,
    ) -> Result<Proof, ProveError> {
        let batched = input.batched;
        let key = batched.as_deref().unwrap_or(&self.key);
        let is_hiding = statement.hiding == Hiding::Activations;
        let pads = is_hiding.then(|| watch(Stage::Pads)).map(|()| Pads::draw(key.demand, stream)).transpose()?;
        watch(Stage::Trace);
        let of_trace = values.len();
        let values = beside(values, pads.as_ref().map(Pads::polynomial), committed_variables(key, is_hiding));
        let trace = Committed::new(values, is_hiding.then(|| Stream::seeded(stream, "trace")))?;
        let columns = trace.values.get(..of_trace).unwrap_or_default();
        let [early_input, early_trace] = begin_points(key, statement, [&statement.input, &trace.root]).1;
        let early = [evaluate(&input.committed.values, &early_input), evaluate(columns, &early_trace)];
        let root = trace.root;
        let opened = Opened { input: &statement.input, trace: &root, early };
        let (mut transcript, _) = begin(key, statement, &opened);
        let mut writer = Writer::new(&mut transcript, pads.as_ref(), deviation);
        let oracles = [self.weights.values(), &input.committed.values, columns];
        let points = messages(&key.circuit, oracles, &mut writer, watch);
        let messages = writer.messages;
        let [weights_point, input_point, trace_point] = points.clone();
        let mut late = [EF::default(); 3];
        for ((late, values), point) in late.iter_mut().zip(oracles).zip(&points) {
            *late = evaluate(values, point);
            transcript.element(*late);
        }
        let (mask, of_pads) = match pads {
            None => (None, Vec::new()),
            Some(pads) => {
                watch(Stage::Masks);
                let (mut again, _) = begin(key, statement, &opened);
                let mut reader = Reader::new(&mut again, &messages, Some(key.demand));
                let rejected = |_| ProveError::Statement("its own verifier rejects it");
                let output = key.output(statement).ok_or(ProveError::Statement("output"))?;
                replay(key, &output, &mut reader).map_err(rejected)?.close(late, &mut reader);
                let zeros = reader.finish().map_err(rejected)?;
                let behind = trace.values.get(trace.values.len() / 2..).unwrap_or_default();
                let length = 1 << pad_variables(key.demand);
                let (mask, points) = pads.prove(behind.get(..length).unwrap_or_default(), zeros, &mut transcript)?;
                (Some(mask), points)
            }
        };
        watch(Stage::Openings);
        let variables = committed_variables(key, is_hiding);
        let of_trace = [early_trace, trace_point].into_iter().map(|point| embed(&point, variables, false));
        let of_trace: Vec<_> = of_trace.chain(of_pads.iter().map(|point| embed(point, variables, true))).collect();
        let openings = [
            self.weights.open(key, &weights_point, &mut transcript.fork("weights"), stream)?,
            input.committed.open(&[early_input, input_point], &mut transcript.fork("input"))?,
            trace.open(&of_trace, &mut transcript.fork("trace"))?,
        ];
        let parts = Parts { trace: root, early, messages, late, mask, openings };
        Proof::new(&parts).ok_or(ProveError::Statement("a proof that can't be written"))
    }
}

/// Sends all messages; the points where the polynomials are left to be opened.
fn messages(circuit: &Circuit, oracles: [&[F]; 3], writer: &mut Writer<'_>, watch: Watch<'_>) -> [Vec<EF>; 3] {
    let [weights, input, trace] = oracles;
    let of = |oracle: Oracle| match oracle {
        Oracle::Weights => weights,
        Oracle::Input => input,
        Oracle::Trace => trace,
    };
    let columns = |column: Column| column.of(of(column.oracle));
    watch(Stage::Lookups);
    let mut claims = lookup::prove(&circuit.lookups, &columns, writer);
    for (index, step) in circuit.steps.iter().enumerate() {
        watch(Stage::Layer { index, count: circuit.steps.len() });
        linear::prove(circuit, step, &columns, &mut claims, writer);
    }
    claims.extend(circuit.mark().map(|(column, mark)| Claim::at(column, &[], EF::from(mark))));
    watch(Stage::Claims);
    if let Some(dropped) = writer.deviation.dropped.filter(|dropped| *dropped < claims.len()) {
        claims.remove(dropped);
    }
    [Oracle::Weights, Oracle::Input, Oracle::Trace].map(|oracle| {
        let own: Vec<Claim<EF>> = claims.iter().filter(|claim| claim.column.oracle == oracle).cloned().collect();
        batch::prove(of(oracle), &own, writer)
    })
}

/// The trace, and pads from the middle on.
fn beside(mut trace: Vec<F>, pads: Option<Vec<F>>, variables: usize) -> Vec<F> {
    if let Some(pads) = pads {
        trace.resize(1 << (variables - 1), F::default());
        trace.extend(pads);
        trace.resize(1 << variables, F::default());
    }
    trace
}

/// Counts the pads of a key's proofs.
///
/// # Errors
/// [`ProveError::Unsupported`] when its polynomials are larger than a hiding commitment holds.
pub(crate) fn demand(mut key: VerifyingKey) -> Result<VerifyingKey, ProveError> {
    key.demand = count(&key).map_err(|_| ProveError::Unsupported("a graph that its own verifier rejects"))?;
    let [weights, input, _] = key.circuit.variables;
    let is_too_long = key.blinding > 0 && weights > HIDING_VARIABLES_MAX;
    if is_too_long || input.max(committed_variables(&key, true)) > HIDING_VARIABLES_MAX {
        return Err(ProveError::Unsupported("more numbers than one hiding commitment holds"));
    }
    Ok(key)
}

/// The key of a model, for a verifier: commits to the weights and forgets them.
///
/// # Errors
/// As [`ProvingKey::new`].
pub fn register(model: Model) -> Result<VerifyingKey, ProveError> {
    Ok(ProvingKey::new(model)?.key)
}
