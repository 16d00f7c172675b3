//! For tests of the verifier: a prover that does as it is told, and the simulator. Nothing here weakens a verifier,
//! which has to reject whatever is sent to it.

use inferium_exact::{Trace, model_id};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField32};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::channel::{Deviation, Reader};
use crate::error::{ProveError, VerifyError};
use crate::field::{EF, F, Stream};
use crate::proof::{Parts, Proof};
use crate::prove::{InputCommitment, ProvingKey};
use crate::statement::{Hiding, Statement, VerifyingKey};
use crate::verify::replay;
use crate::witness::trace_polynomial;

/// A column of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The upper part of a split.
    Hi,
    /// Its remainder.
    Lo,
    /// What the table makes of the upper part.
    Activation,
    /// How often rows of the table are used.
    Multiplicity,
    /// How often remainders are used.
    RangeMultiplicity,
}

/// A number that is added to an element of the trace, in the field.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    /// Which requantisation, in order.
    pub split: usize,
    /// Which of its columns.
    pub part: Part,
    /// Which element.
    pub at: usize,
    /// What is added.
    pub add: i64,
}

/// What a dishonest prover does.
#[derive(Debug, Clone, Default)]
pub struct Crime {
    /// Falsifies these.
    pub edits: Vec<Edit>,
    /// Makes this message another one, and goes on from there.
    pub lie: Option<usize>,
    /// Leaves one look-up out of the sum.
    pub skip: Option<Skip>,
    /// Leaves this claim out when all claims become one.
    pub dropped: Option<usize>,
    /// Draws this challenge, and uses the one before it in its place.
    pub reused: Option<usize>,
}

/// A look-up that is not made.
#[derive(Debug, Clone, Copy)]
pub struct Skip {
    /// Which requantisation, in order.
    pub split: usize,
    /// Of its upper part, or of its remainder.
    pub part: Part,
    /// Of which element.
    pub at: usize,
}

/// What a proof's bytes are read as.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pieces(Parts);

/// Commits to anything.
///
/// # Errors
/// [`ProveError`] of the commitment.
pub fn commit(key: &ProvingKey, input: &[i32], seed: &[u8; 32], hiding: Hiding) -> Result<InputCommitment, ProveError> {
    key.key.commit_unchecked(&[input], seed, hiding)
}

/// Commits to a batch of anything.
///
/// # Errors
/// [`ProveError`] of the commitment.
pub fn commit_batch(
    key: &ProvingKey,
    inputs: &[Vec<i32>],
    seed: &[u8; 32],
    hiding: Hiding,
) -> Result<InputCommitment, ProveError> {
    key.key.commit_unchecked(inputs, seed, hiding)
}

/// Proves without looking at what.
///
/// # Errors
/// [`ProveError`] of the commitment.
pub fn prove(
    key: &ProvingKey,
    input: InputCommitment,
    (trace, statement): (&Trace, &Statement),
    crime: &Crime,
    rng: &mut impl CryptoRng,
) -> Result<Proof, ProveError> {
    prove_batch(key, input, (core::slice::from_ref(trace), statement), crime, rng)
}

/// Takes what was committed to as some number of inputs for a commitment to 2^`bits` of them.
///
/// # Errors
/// [`ProveError`] of the batch.
pub fn mistake(key: &ProvingKey, mut commitment: InputCommitment, bits: usize) -> Result<InputCommitment, ProveError> {
    commitment.batched = if bits > 0 { Some(Box::new(key.key.batched(bits)?)) } else { None };
    Ok(commitment)
}

/// Proves of a batch without looking at what: the traces of its inputs in order. Elements that are edited count from
/// the first input's first one, padding too.
///
/// # Errors
/// [`ProveError`] of the commitment.
pub fn prove_batch(
    key: &ProvingKey,
    input: InputCommitment,
    (traces, statement): (&[Trace], &Statement),
    crime: &Crime,
    rng: &mut impl CryptoRng,
) -> Result<Proof, ProveError> {
    let mut stream = Stream::seeded(rng, "proof");
    let batched = input.batched.clone();
    let circuit = &batched.as_deref().unwrap_or(&key.key).circuit;
    let mut values = trace_polynomial(circuit, &key.model, traces, &mut stream);
    for edit in &crime.edits {
        let Some(split) = circuit.splits.get(edit.split) else { continue };
        let [hi, lo, activation] = split.columns;
        let column = match edit.part {
            Part::Hi => hi,
            Part::Lo => lo,
            Part::Activation => activation,
            Part::Multiplicity => split.multiplicity,
            Part::RangeMultiplicity => circuit.ranges.get(split.range).map_or(lo, |(_, column)| *column),
        };
        if let Some(value) = values.get_mut(column.offset + edit.at) {
            *value += F::from_i64(edit.add);
        }
    }
    let skipped = crime.skip.and_then(|skip| {
        let [hi, lo, _] = circuit.splits.get(skip.split)?.columns;
        let column = if skip.part == Part::Hi { hi } else { lo };
        Some((circuit.lookups.block(column)?, skip.at))
    });
    let deviation = Deviation { lie: crime.lie, skipped, dropped: crime.dropped, reused: crime.reused };
    key.prove_witness(input, values, statement, (deviation, &mut |_| {}), &mut stream)
}

/// Makes a key prove under another model's name.
#[must_use]
pub fn disguise(mut key: ProvingKey, other: &VerifyingKey) -> ProvingKey {
    key.key = other.clone();
    key
}

/// Number of messages and products of a proof.
#[must_use]
pub const fn demand(key: &VerifyingKey) -> (usize, usize) {
    (key.demand.messages, key.demand.products)
}

/// What a proof's bytes are read as, for tests that give its lists other lengths.
///
/// # Errors
/// [`VerifyError`] when it has no parts.
pub fn parts(proof: &Proof) -> Result<Pieces, VerifyError> {
    proof.parts().map(Pieces)
}

/// A proof of these parts.
#[must_use]
pub fn assemble(pieces: &Pieces) -> Option<Proof> {
    Proof::new(&pieces.0)
}

/// The numbers of a proof's messages, limb by limb; of a hiding proof also those that sum up pads.
///
/// # Errors
/// [`VerifyError`] when it has no parts.
pub fn messages(proof: &Proof) -> Result<Vec<u32>, VerifyError> {
    let parts = proof.parts()?;
    Ok(limbs(&parts.messages))
}

fn limbs(elements: &[EF]) -> Vec<u32> {
    elements.iter().flat_map(|element| element.as_basis_coefficients_slice().iter().map(F::as_canonical_u32)).collect()
}

/// Runs the simulator on a statement: whether the verifier's relations hold of what it says, which it makes without any
/// witness; and its messages' limbs.
///
/// # Errors
/// [`VerifyError`] when the statement is about another model.
pub fn simulate(
    key: &VerifyingKey,
    statement: &Statement,
    rng: &mut impl CryptoRng,
) -> Result<(bool, Vec<u32>), VerifyError> {
    let mut stream = Stream::seeded(rng, "simulator");
    let fitting = key.fitting(statement).ok_or(VerifyError::Statement)?;
    let key = fitting.as_ref();
    let count = key.demand.messages + 2 * key.demand.products;
    let messages: Vec<EF> = (0..count)
        .map(|_| {
            let limbs: [F; 5] = core::array::from_fn(|_| stream.element());
            EF::from_basis_coefficients_fn(|limb| limbs.get(limb).copied().unwrap_or(F::ZERO))
        })
        .collect();
    let output = key.output(statement).ok_or(VerifyError::Statement)?;
    let mut transcript = crate::transcript::Transcript::new(&key.digest(statement));
    let mut reader = Reader::new(&mut transcript, &messages, Some(key.demand));
    replay(key, &output, &mut reader)?.close([EF::ZERO; 3], &mut reader);
    let zeros = reader.finish()?;
    let (holds, _) =
        crate::mask::simulate(key.demand, zeros, &mut stream).ok_or(VerifyError::Relation("a challenge is a node"))?;
    Ok((holds, limbs(&messages)))
}

/// Bits of security of a plain opening of this many variables, all error terms together.
#[must_use]
pub fn opening_bits(variables: usize) -> Option<f64> {
    crate::oracle::opening_bits(variables)
}

/// Variables of the smallest and the largest polynomial that is committed to.
#[must_use]
pub const fn variables() -> (usize, usize) {
    (crate::oracle::VARIABLES_MIN, crate::oracle::VARIABLES_MAX)
}

/// Variables of the largest polynomial that a hiding commitment is to.
#[must_use]
pub const fn hiding_variables() -> usize {
    crate::oracle::HIDING_VARIABLES_MAX
}

/// Whether a key is about this model.
#[must_use]
pub fn is_about(key: &VerifyingKey, model: &inferium_exact::Model) -> bool {
    key.model == model_id(model)
}

/// Bits of security of the base case of a hiding opening of this many variables, and what supports them.
#[must_use]
pub fn hiding_bits(variables: usize) -> Option<(f64, String)> {
    crate::oracle::hiding_bits(variables)
}

/// For how many openings a commitment to private weights hides, of so many variables of which `blinding` are for that.
///
/// # Errors
/// [`ProveError`] of a size that nothing is committed to.
pub fn private_openings(variables: usize, blinding: usize) -> Result<u32, ProveError> {
    crate::private::openings(variables, blinding)
}

/// Whether what so many openings of such a commitment show says nothing about its weights, at places and points that are
/// drawn from `rng`.
pub fn are_independent(variables: usize, blinding: usize, openings: usize, rng: &mut impl CryptoRng) -> Option<bool> {
    crate::private::are_independent(variables, blinding, openings, &mut Stream::seeded(rng, "openings"))
}
