//! The verifier. The prover runs most of it too: of a hiding proof it has to know what will be checked.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::join;

use crate::channel::{Demand, Lin, Reader};
use crate::error::VerifyError;
use crate::field::{EF, F};
use crate::mask::pad_variables;
use crate::oracle::{Opening, Root};
use crate::private::committed_point;
use crate::proof::Proof;
use crate::statement::{Hiding, Statement, VerifyingKey};
use crate::transcript::Transcript;
use crate::weight::{Claim, Oracle};
use crate::{batch, linear, lookup};

/// What was said before the first challenge.
pub(crate) struct Opened<'a> {
    pub(crate) input: &'a Root,
    /// Of the trace; of a hiding proof with the pads in its second half.
    pub(crate) trace: &'a Root,
    pub(crate) early: [EF; 2],
}

/// Begins the transcript: statement, commitments, a point of input and trace each, with the evaluations there.
pub(crate) fn begin(key: &VerifyingKey, statement: &Statement, opened: &Opened<'_>) -> (Transcript, [Vec<EF>; 2]) {
    let (mut transcript, points) = begin_points(key, statement, [opened.input, opened.trace]);
    opened.early.iter().for_each(|value| transcript.element(*value));
    (transcript, points)
}

/// As [`begin`], without the evaluations.
pub(crate) fn begin_points(
    key: &VerifyingKey,
    statement: &Statement,
    [input, trace]: [&Root; 2],
) -> (Transcript, [Vec<EF>; 2]) {
    let mut transcript = Transcript::new(&key.digest(statement));
    transcript.digest("weights", &key.weights);
    transcript.digest("input", input);
    transcript.digest("trace", trace);
    let [_, input, trace] = key.circuit.variables;
    let points = [input, trace].map(|variables| (0..variables).map(|_| transcript.challenge()).collect());
    (transcript, points)
}

/// Variables of what is committed to of the trace: of a hiding proof one more than the longer of trace and pads has, for which of them it is.
pub(crate) fn committed_variables(key: &VerifyingKey, is_hiding: bool) -> usize {
    let [_, _, trace] = key.circuit.variables;
    if is_hiding { trace.max(pad_variables(key.demand)) + 1 } else { trace }
}

/// A point of the trace, or of the pads behind it, as one of the polynomial of `variables` that is committed to.
pub(crate) fn embed(point: &[EF], variables: usize, is_pads: bool) -> Vec<EF> {
    let before = variables.saturating_sub(point.len());
    let bit = |at: usize| EF::from_bool(is_pads && at == 0);
    (0..before).map(bit).chain(point.iter().copied()).collect()
}

/// One evaluation of each polynomial is left, with the relation that it has to satisfy.
pub(crate) struct Left {
    /// Points of weights, input, trace.
    pub(crate) points: [Vec<EF>; 3],
    /// form = factor · evaluation.
    relations: [(Lin, EF); 3],
}

/// Reads all messages and makes their checks.
pub(crate) fn replay(key: &VerifyingKey, output: &[i32], reader: &mut Reader<'_>) -> Result<Left, VerifyError> {
    let circuit = &key.circuit;
    let mut claims = lookup::verify(&circuit.lookups, reader)?;
    let public: Vec<F> = output.iter().map(|value| F::from_i32(*value)).collect();
    for step in &circuit.steps {
        linear::verify(circuit, step, &public, &mut claims, reader)?;
    }
    claims.extend(circuit.mark().map(|(column, mark)| Claim::at(column, &[], Lin::constant(EF::from(mark)))));
    let mut batch = |oracle: Oracle, variables: usize| -> Result<_, VerifyError> {
        let own: Vec<Claim<Lin>> = claims.iter().filter(|claim| claim.column.oracle == oracle).cloned().collect();
        batch::verify(variables, &own, reader)
    };
    let [weights, input, trace] = circuit.variables;
    let (weights_point, weights_form, weights_factor) = batch(Oracle::Weights, weights)?;
    let (input_point, input_form, input_factor) = batch(Oracle::Input, input)?;
    let (trace_point, trace_form, trace_factor) = batch(Oracle::Trace, trace)?;
    let relations = [(weights_form, weights_factor), (input_form, input_factor), (trace_form, trace_factor)];
    Ok(Left { points: [weights_point, input_point, trace_point], relations })
}

impl Left {
    /// Binds the evaluations to what is left of the claims.
    pub(crate) fn close(self, late: [EF; 3], reader: &mut Reader<'_>) -> [Vec<EF>; 3] {
        for ((form, factor), value) in self.relations.into_iter().zip(late) {
            reader.transcript.element(value);
            reader.zero(form.shift(-(factor * value)));
        }
        self.points
    }
}

/// How many pads a proof about this key takes.
pub(crate) fn count(key: &VerifyingKey) -> Result<Demand, VerifyError> {
    let mut transcript = Transcript::new(&[0; 32]);
    let mut reader = Reader::counting(&mut transcript);
    let outputs = key.circuit.batch + key.circuit.dims.last().map_or(0, crate::circuit::Dims::total);
    replay(key, &vec![0; 1 << outputs], &mut reader)?;
    Ok(reader.demand())
}

/// Checks a proof of a statement, about one input or a batch: the length of the statement's output says which.
///
/// # Errors
/// [`VerifyError`] of the first thing that is not as it should be. Bytes of any kind are an error at worst, never a panic.
pub fn verify(key: &VerifyingKey, statement: &Statement, proof: &Proof) -> Result<(), VerifyError> {
    verify_traced(key, statement, proof).map(drop)
}

/// As [`verify`]; of a proof that holds a digest of the whole transcript, with every challenge that was drawn. It follows from statement and
/// proof, and nobody has it who has not made the checks.
///
/// # Errors
/// As [`verify`].
pub fn verify_traced(key: &VerifyingKey, statement: &Statement, proof: &Proof) -> Result<[u8; 32], VerifyError> {
    let fitting = key.fitting(statement).ok_or(VerifyError::Statement)?;
    let key = fitting.as_ref();
    let output = key.output(statement).ok_or(VerifyError::Statement)?;
    let parts = proof.parts()?;
    let is_hiding = statement.hiding == Hiding::Activations;
    if !key.allows(statement.hiding) {
        return Err(VerifyError::Statement);
    }
    let [of_weights, of_input, of_trace] = &parts.openings;
    let are_kinds = of_weights.is_hiding() == (key.blinding > 0)
        && of_input.is_hiding() == is_hiding
        && of_trace.is_hiding() == is_hiding;
    if !are_kinds || parts.mask.is_some() != is_hiding {
        return Err(VerifyError::Shape("kind of a commitment"));
    }
    let opened = Opened { input: &statement.input, trace: &parts.trace, early: parts.early };
    let (mut transcript, [early_input, early_trace]) = begin(key, statement, &opened);
    let mut reader = Reader::new(&mut transcript, &parts.messages, is_hiding.then_some(key.demand));
    let left = replay(key, &output, &mut reader)?;
    let [weights_point, input_point, trace_point] = left.close(parts.late, &mut reader);
    let zeros = reader.finish()?;
    let of_pads = match &parts.mask {
        Some(mask) => mask.verify(key.demand, zeros, &mut transcript)?,
        None if zeros.iter().any(|zero| zero.constant != EF::ZERO || !zero.terms.is_empty()) => {
            return Err(VerifyError::Relation("a check of messages"));
        }
        None => Vec::new(),
    };
    let [weights, input, _] = key.circuit.variables;
    let trace = committed_variables(key, is_hiding);
    let weights_point = committed_point(&weights_point, key.blinding);
    let [weights_value, input_value, trace_value] = parts.late;
    let [early_input_value, early_trace_value] = parts.early;
    let of_columns: Vec<_> = [(early_trace, early_trace_value), (trace_point, trace_value)]
        .into_iter()
        .map(|(point, value)| (embed(&point, trace, false), value))
        .chain(of_pads.into_iter().map(|(point, value)| (embed(&point, trace, true), value)))
        .collect();
    let opening =
        |opening: &Opening, (name, variables): (&'static str, usize), root: &Root, claims: &[(Vec<EF>, EF)]| {
            let mut end = transcript.fork(name);
            opening.verify(name, variables, root, claims, &mut end).map(|()| end)
        };
    // The trace's takes longest, and the other two together about as long.
    let ((weights_end, input_end), trace_end) = join(
        || {
            let of_input_claims = [(early_input, early_input_value), (input_point, input_value)];
            (
                opening(of_weights, ("weights", weights), &key.weights, &[(weights_point, weights_value)]),
                opening(of_input, ("input", input), &statement.input, &of_input_claims),
            )
        },
        || opening(of_trace, ("trace", trace), &parts.trace, &of_columns),
    );
    Ok(Transcript::seal([weights_end?, input_end?, trace_end?]))
}
