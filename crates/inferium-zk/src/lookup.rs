//! LogUp by GKR: every looked-up row is a row of its table, all tables in one argument.
//!
//! A row (id, v₀, v₁) is the number id + β·v₀ + β²·v₁. Looked-up rows are fractions 1/(α − row), rows of tables
//! −m/(α − row) with their multiplicity m; they sum to zero just if every looked-up row is in its table, as long as there are
//! fewer look-ups than the prime. The sum is a binary tree of fractions, proved from its root to its leaves.
//! α and β are drawn after all columns, multiplicities included, are committed: then no denominator is zero but with
//! negligible probability, and neither is the root's.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use crate::batch::{GRAIN, fold};
use crate::channel::{Lin, Reader, Writer};
use crate::error::VerifyError;
use crate::field::{EF, F, eq_bits, eq_table, evaluate, evaluate_index};
use crate::weight::{Claim, Column};

/// Some rows of the argument: a power of two of them.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    /// Rows that are looked up: v₀ is the first column plus a constant, v₁ the second one or 0.
    Looked { table: usize, first: Column, plus: i64, second: Option<Column> },
    /// A table: v₀ counts from 0, v₁ is a column or 0.
    Table { table: usize, multiplicity: Column, second: Option<Column> },
}

impl Rows {
    pub(crate) const fn bits(&self) -> usize {
        match self {
            Self::Looked { first, .. } => first.bits,
            Self::Table { multiplicity, .. } => multiplicity.bits,
        }
    }
}

/// All rows, longest first, so that each block starts at a multiple of its own length.
#[derive(Debug, Clone)]
pub(crate) struct Lookups {
    blocks: Vec<(usize, Rows)>,
    pub(crate) bits: usize,
}

impl Lookups {
    pub(crate) fn new(mut rows: Vec<Rows>) -> Self {
        rows.sort_by_key(|rows| core::cmp::Reverse(rows.bits()));
        let mut offset = 0_usize;
        let mut blocks = Vec::with_capacity(rows.len());
        for rows in rows {
            let length = 1 << rows.bits();
            blocks.push((offset, rows));
            offset += length;
        }
        Self { blocks, bits: crate::field::bits_of(offset).max(1) }
    }

    /// Which block looks up rows that begin with this column.
    #[cfg(feature = "testing")]
    pub(crate) fn block(&self, column: Column) -> Option<usize> {
        self.blocks.iter().position(|(_, rows)| matches!(rows, Rows::Looked { first, .. } if *first == column))
    }
}

/// A level of the tree: numerators and denominators.
type Level = (Vec<EF>, Vec<EF>);

/// Proves the look-ups; claims on the columns.
pub(crate) fn prove<'a>(
    lookups: &Lookups,
    columns: &dyn Fn(Column) -> &'a [F],
    writer: &mut Writer<'_>,
) -> Vec<Claim<EF>> {
    let (alpha, beta) = (writer.challenge(), writer.challenge());
    let mut levels = vec![leaves(lookups, columns, alpha, beta)];
    if let Some((block, row)) = writer.deviation.skipped {
        skip(lookups, block, row, levels.first_mut());
    }
    while let Some((p, q)) = levels.last().filter(|(p, _)| p.len() > 1) {
        let half = p.len() / 2;
        let ((p0, p1), (q0, q1)) = (p.split_at(half), q.split_at(half));
        let above = (p0.par_iter(), p1, q0, q1).into_par_iter().with_min_len(GRAIN);
        let above = above.map(|(p0, p1, q0, q1)| (*p0 * *q1 + *p1 * *q0, *q0 * *q1)).unzip();
        levels.push(above);
    }
    let root = levels.pop().and_then(|(_, q)| q.first().copied()).unwrap_or(EF::ONE);
    writer.send(root);
    let mut point: Vec<EF> = Vec::new();
    while let Some((p, q)) = levels.pop() {
        point = prove_level(p, q, &point, writer);
    }
    let mut claims = Vec::new();
    for (_, rows) in &lookups.blocks {
        let own = point.get(point.len() - rows.bits()..).unwrap_or_default();
        let (one, two) = match rows {
            Rows::Looked { first, second, .. } => (*first, *second),
            Rows::Table { multiplicity, second, .. } => (*multiplicity, *second),
        };
        for column in [Some(one), two].into_iter().flatten() {
            let value = evaluate(columns(column), own);
            writer.send(value);
            claims.push(Claim::at(column, own, value));
        }
    }
    claims
}

fn leaves<'a>(lookups: &Lookups, columns: &dyn Fn(Column) -> &'a [F], alpha: EF, beta: EF) -> Level {
    let size = 1 << lookups.bits;
    // What is left over is 0/1, which adds nothing.
    let (mut p, mut q) = (vec![EF::ZERO; size], vec![EF::ONE; size]);
    let square = beta * beta;
    for (offset, rows) in &lookups.blocks {
        let length = 1 << rows.bits();
        let p = p.iter_mut().skip(*offset).take(length);
        let q = q.get_mut(*offset..*offset + length).unwrap_or_default().par_iter_mut().with_min_len(GRAIN).enumerate();
        match rows {
            Rows::Looked { table, first, plus, second } => {
                p.for_each(|p| *p = EF::ONE);
                let (first, second) = (columns(*first), second.map(columns));
                let start = alpha - EF::from(F::from_usize(*table)) - beta * F::from_i64(*plus);
                q.for_each(|(at, q)| {
                    let value = |column: &[F]| column.get(at).copied().unwrap_or(F::ZERO);
                    *q = start - beta * value(first) - second.map_or(EF::ZERO, |second| square * value(second));
                });
            }
            Rows::Table { table, multiplicity, second } => {
                p.zip(columns(*multiplicity)).for_each(|(p, m)| *p = EF::from(-*m));
                let second = second.map(columns);
                let start = alpha - EF::from(F::from_usize(*table));
                q.for_each(|(at, q)| {
                    let value = |column: &[F]| column.get(at).copied().unwrap_or(F::ZERO);
                    let second = second.map_or(EF::ZERO, |second| square * value(second));
                    *q = start - beta * F::from_usize(at) - second;
                });
            }
        }
    }
    (p, q)
}

/// Leaves a row out of the sum, which an honest prover never does.
fn skip(lookups: &Lookups, block: usize, row: usize, leaves: Option<&mut Level>) {
    let place = lookups.blocks.get(block).map(|(offset, _)| offset + row);
    if let (Some(place), Some((p, q))) = (place, leaves)
        && let (Some(p), Some(q)) = (p.get_mut(place), q.get_mut(place))
    {
        (*p, *q) = (EF::ZERO, EF::ONE);
    }
}

/// From a claim on the level above, at `point`, to one on this level: its point.
fn prove_level(mut p: Vec<EF>, mut q: Vec<EF>, point: &[EF], writer: &mut Writer<'_>) -> Vec<EF> {
    let lambda = writer.challenge();
    let half = p.len() / 2;
    let (mut p1, mut q1) = (p.split_off(half), q.split_off(half));
    let (mut p0, mut q0) = (p, q);
    let mut weights = point.get(1..).map(eq_table).unwrap_or_default();
    let mut bound = Vec::with_capacity(point.len() + 1);
    for _ in point {
        let half = p0.len() / 2;
        let sums = {
            let ((a, b), (c, d)) = (p0.split_at(half), p1.split_at(half));
            let ((e, f), (g, h)) = (q0.split_at(half), q1.split_at(half));
            let term = |p0: EF, p1: EF, q0: EF, q1: EF| p0 * q1 + q0 * (p1 + lambda * q1);
            (a.par_iter(), b, c, d, e, f, g, h, weights.as_slice())
                .into_par_iter()
                .with_min_len(GRAIN / 4)
                .map(|(a, b, c, d, e, f, g, h, weight)| {
                    let (zero, slope) = (term(*a, *c, *e, *g), term(*b - *a, *d - *c, *f - *e, *h - *g));
                    (*weight * zero, *weight * slope)
                })
                .reduce(|| (EF::ZERO, EF::ZERO), |x, y| (x.0 + y.0, x.1 + y.1))
        };
        writer.send(sums.0);
        writer.send(sums.1);
        let challenge = writer.challenge();
        bound.push(challenge);
        for values in [&mut p0, &mut p1, &mut q0, &mut q1] {
            fold(values, challenge);
        }
        // eq of the variables after the next one: the sum over that one.
        let half = weights.len() / 2;
        if half > 0 {
            let (low, high) = weights.split_at_mut(half);
            low.iter_mut().zip(high.iter()).for_each(|(a, b)| *a += *b);
            weights.truncate(half);
        }
    }
    let at = |values: &[EF]| values.first().copied().unwrap_or(EF::ZERO);
    let (p0, p1, q0, q1) = (at(&p0), at(&p1), at(&q0), at(&q1));
    for value in [p0, p1, q0, q1] {
        writer.send(value);
    }
    writer.multiply(p0, q1);
    writer.multiply(q0, p1 + lambda * q1);
    let mut next = vec![writer.challenge()];
    next.extend(bound);
    next
}

/// Checks the look-ups; claims on the columns.
pub(crate) fn verify(lookups: &Lookups, reader: &mut Reader<'_>) -> Result<Vec<Claim<Lin>>, VerifyError> {
    let (alpha, beta) = (reader.challenge(), reader.challenge());
    // The root is 0/Q: the sum is zero.
    let mut numerator = Lin::constant(EF::ZERO);
    let mut denominator = reader.receive()?;
    let mut point: Vec<EF> = Vec::new();
    for _ in 0..lookups.bits {
        let lambda = reader.challenge();
        let mut claim = numerator.plus(&denominator.scale(lambda));
        let mut bound = Vec::with_capacity(point.len() + 1);
        for coordinate in &point {
            (claim, bound) = verify_round(claim, bound, *coordinate, reader)?;
        }
        let (p0, p1, q0, q1) = (reader.receive()?, reader.receive()?, reader.receive()?, reader.receive()?);
        let left = reader.multiply(p0.clone(), q1.clone())?;
        let right = reader.multiply(q0.clone(), p1.clone().plus(&q1.clone().scale(lambda)))?;
        reader.zero(claim.minus(&left).minus(&right));
        let challenge = reader.challenge();
        let between = |a: Lin, b: &Lin| b.clone().minus(&a).scale(challenge).plus(&a);
        numerator = between(p0, &p1);
        denominator = between(q0, &q1);
        point = vec![challenge];
        point.extend(bound);
    }
    verify_leaves(lookups, &point, (alpha, beta), (numerator, denominator), reader)
}

/// One round, of which the factor eq(coordinate, ·) is left out of what is sent.
pub(crate) fn verify_round(
    claim: Lin,
    mut bound: Vec<EF>,
    coordinate: EF,
    reader: &mut Reader<'_>,
) -> Result<(Lin, Vec<EF>), VerifyError> {
    use p3_field::Field;
    let (zero, leading) = (reader.receive()?, reader.receive()?);
    let challenge = reader.challenge();
    // claim = (1 − r) t(0) + r t(1); a drawn r is zero with negligible probability.
    let inverse = coordinate.try_inverse().ok_or(VerifyError::Relation("a challenge is zero"))?;
    let one = claim.minus(&zero.clone().scale(EF::ONE - coordinate)).scale(inverse);
    let linear = one.minus(&zero).minus(&leading);
    bound.push(challenge);
    Ok((zero.plus(&linear.scale(challenge)).plus(&leading.scale(challenge * challenge)), bound))
}

fn verify_leaves(
    lookups: &Lookups,
    point: &[EF],
    (alpha, beta): (EF, EF),
    (mut numerator, mut denominator): (Lin, Lin),
    reader: &mut Reader<'_>,
) -> Result<Vec<Claim<Lin>>, VerifyError> {
    let square = beta * beta;
    let mut claims = Vec::new();
    let mut rest = EF::ONE;
    for (offset, rows) in &lookups.blocks {
        let (high, own) = point.split_at(point.len() - rows.bits());
        let weight = eq_bits(offset >> rows.bits(), high);
        rest -= weight;
        let mut column = |column: Column| -> Result<Lin, VerifyError> {
            let value = reader.receive()?;
            claims.push(Claim::at(column, own, value.clone()));
            Ok(value)
        };
        match rows {
            Rows::Looked { table, first, plus, second } => {
                let first = column(*first)?.shift(EF::from(F::from_i64(*plus)));
                let start = Lin::constant(alpha - EF::from(F::from_usize(*table)));
                let mut row = start.minus(&first.scale(beta));
                if let Some(second) = second {
                    row.add(-square, &column(*second)?);
                }
                numerator = numerator.shift(-weight);
                denominator.add(-weight, &row);
            }
            Rows::Table { table, multiplicity, second } => {
                let multiplicity = column(*multiplicity)?;
                let start = alpha - EF::from(F::from_usize(*table)) - beta * evaluate_index(own);
                let mut row = Lin::constant(start);
                if let Some(second) = second {
                    row.add(-square, &column(*second)?);
                }
                numerator.add(weight, &multiplicity);
                denominator.add(-weight, &row);
            }
        }
    }
    reader.zero(numerator);
    reader.zero(denominator.shift(-rest));
    Ok(claims)
}
