//! All claims on one polynomial become one: a sumcheck of Σ_x polynomial(x) · Σ_i γ^i weight_i(x).

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use crate::channel::{Lin, Reader, Writer};
use crate::error::VerifyError;
use crate::field::{EF, F};
use crate::weight::Claim;

/// Elements that one task works on at least.
pub(crate) const GRAIN: usize = 1 << 10;

/// Proves the claims; the point at which the polynomial is left to be opened.
pub(crate) fn prove(values: &[F], claims: &[Claim<EF>], writer: &mut Writer<'_>) -> Vec<EF> {
    let gamma = writer.challenge();
    let mut weights = vec![EF::ZERO; values.len()];
    let mut factor = EF::ONE;
    for claim in claims {
        claim.accumulate(factor, &mut weights);
        factor *= gamma;
    }
    let mut point = Vec::new();
    if values.len() < 2 {
        return point;
    }
    // The first round works on base-field values, the others on folded ones.
    let half = values.len() / 2;
    let (low, high) = values.split_at(half);
    let (weights_low, weights_high) = weights.split_at(half);
    let sums = (low.par_iter(), high, weights_low, weights_high)
        .into_par_iter()
        .with_min_len(GRAIN)
        .map(|(a, b, v, w)| (*v * *a, (*w - *v) * (*b - *a)))
        .reduce(|| (EF::ZERO, EF::ZERO), |x, y| (x.0 + y.0, x.1 + y.1));
    let challenge = round(sums, writer);
    point.push(challenge);
    let mut folded: Vec<EF> =
        low.par_iter().zip(high).with_min_len(GRAIN).map(|(a, b)| challenge * (*b - *a) + *a).collect();
    fold(&mut weights, challenge);
    while folded.len() > 1 {
        let half = folded.len() / 2;
        let ((a, b), (v, w)) = (folded.split_at(half), weights.split_at(half));
        let sums = (a.par_iter(), b, v, w)
            .into_par_iter()
            .with_min_len(GRAIN)
            .map(|(a, b, v, w)| (*a * *v, (*b - *a) * (*w - *v)))
            .reduce(|| (EF::ZERO, EF::ZERO), |x, y| (x.0 + y.0, x.1 + y.1));
        let challenge = round(sums, writer);
        point.push(challenge);
        fold(&mut folded, challenge);
        fold(&mut weights, challenge);
    }
    point
}

fn round(sums: (EF, EF), writer: &mut Writer<'_>) -> EF {
    writer.send(sums.0);
    writer.send(sums.1);
    writer.challenge()
}

/// Binds the first variable.
pub(crate) fn fold(values: &mut Vec<EF>, challenge: EF) {
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    low.par_iter_mut().zip(high.par_iter()).with_min_len(GRAIN).for_each(|(a, b)| *a += challenge * (*b - *a));
    values.truncate(half);
}

/// A sumcheck of a product of two multilinear factors, at the verifier: the point, and what the product there has to
/// be. `claim` is the sum.
pub(crate) fn verify_product(
    variables: usize,
    mut claim: Lin,
    reader: &mut Reader<'_>,
) -> Result<(Vec<EF>, Lin), VerifyError> {
    let mut point = Vec::with_capacity(variables);
    for _ in 0..variables {
        // s(X) = s(0) + X · (s(1) − s(0) − s∞) + X² · s∞, and s(1) is what is left of the claim.
        let (zero, leading) = (reader.receive()?, reader.receive()?);
        let challenge = reader.challenge();
        let linear = claim.minus(&zero).minus(&zero).minus(&leading);
        claim = zero.plus(&linear.scale(challenge)).plus(&leading.scale(challenge * challenge));
        point.push(challenge);
    }
    Ok((point, claim))
}

/// Checks the claims down to one evaluation: its point, and `form`, `factor` with form = factor · polynomial(point).
pub(crate) fn verify(
    variables: usize,
    claims: &[Claim<Lin>],
    reader: &mut Reader<'_>,
) -> Result<(Vec<EF>, Lin, EF), VerifyError> {
    let gamma = reader.challenge();
    let mut sum = Lin::constant(EF::ZERO);
    let mut factor = EF::ONE;
    for claim in claims {
        sum.add(factor, &claim.value);
        factor *= gamma;
    }
    let (point, form) = verify_product(variables, sum, reader)?;
    let (mut weight, mut factor) = (EF::ZERO, EF::ONE);
    for claim in claims {
        weight += factor * claim.evaluate(&point);
        factor *= gamma;
    }
    Ok((point, form, weight))
}
