//! Layers of weights: one product sumcheck for each matrix product (Thaler's), and one over output channels where
//! these have mantissas.
//!
//! Of a step with output z[c, p] = M[c] · Σ_j W[c, j] · A[p, j] + b[c], a random point (r_c, r_p) is drawn. Then
//! z(r) − b(r_c) = Σ_j A(r_p, j) · B(j) with B(j) = Σ_c eq(r_c, c) · M[c] · W[c, j]. A dense layer has no p, and its A is
//! the input. A convolution's A(r_p, (channel, dy, dx)) is a sum over the input with weights that factor by axis, so it
//! is proved by a claim on the input with such weights: no matrix of windows is committed or even made.
//!
//! Of a batch the point has coordinates r_b in front, and A(r_p, j) is Σ_b eq(r_b, b) · A_b(r_p, j): the inputs'
//! numbers become one input's, in the extension, and the rest is as it is for one. B and its claims do not know of
//! batches.

use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

use crate::batch::{GRAIN, fold, verify_product};
use crate::channel::{Lin, Reader, Writer};
use crate::circuit::{Circuit, Dims, End, Step, Sum, View};
use crate::error::VerifyError;
use crate::field::{EF, F, eq_table, evaluate, inner};
use crate::weight::{Axis, Claim, Column};

/// A point of a step's output and its parts by axis.
fn split(point: &[EF], dims: &Dims) -> [Vec<EF>; 3] {
    let (channels, rest) = point.split_at(dims.bits[0]);
    let (rows, columns) = rest.split_at(dims.bits[1]);
    [channels, rows, columns].map(<[EF]>::to_vec)
}

/// The weights of a claim on a step's input, by axis, when its sumcheck ended at `inner`.
fn axes(step: &Step, output: &[Vec<EF>; 3], inner_point: &[EF]) -> [Axis; 3] {
    match step.sum {
        Sum::Dense => split(inner_point, &step.input).map(Axis::Eq),
        Sum::Conv { kernel, padding, bits } => {
            let (channels, rest) = inner_point.split_at(step.input.bits[0]);
            let (rows, columns) = rest.split_at(bits);
            let along = |axis: usize, window: &[EF]| {
                let (outputs, window) = (eq_table(&output[axis]), eq_table(window));
                let mut weights = vec![EF::ZERO; 1 << step.input.bits[axis]];
                for (at, outer) in outputs.iter().enumerate().take(step.output.real[axis]) {
                    for (offset, inner) in window.iter().enumerate().take(kernel) {
                        let place = (at + offset).checked_sub(padding).filter(|place| *place < step.input.real[axis]);
                        if let Some(weight) = place.and_then(|place| weights.get_mut(place)) {
                            *weight += *outer * *inner;
                        }
                    }
                }
                Axis::Dense(weights)
            };
            [Axis::Eq(channels.to_vec()), along(1, rows), along(2, columns)]
        }
    }
}

/// A claim on a value, taken back to the column that the value is made of; of a batch at this point of its axis.
fn pull<V>(circuit: &Circuit, mut value: usize, batch: &[EF], mut axes: [Axis; 3], claimed: V) -> Option<Claim<V>> {
    loop {
        match circuit.views.get(value)? {
            View::Column(column) => {
                let first = (!batch.is_empty()).then(|| Axis::Eq(batch.to_vec()));
                return Some(Claim { column: *column, axes: first.into_iter().chain(axes).collect(), value: claimed });
            }
            View::Same(of) => value = *of,
            View::Pooled { of, size } => {
                let (inner, outer) = (circuit.dims.get(*of)?, circuit.dims.get(value)?);
                for (axis, place) in axes.iter_mut().enumerate().skip(1) {
                    let table = place.table();
                    let weight =
                        |at: usize| if at / size < outer.real[axis] { table.get(at / size).copied() } else { None };
                    let weights = (0..1 << inner.bits[axis]).map(|at| weight(at).unwrap_or(EF::ZERO));
                    *place = Axis::Dense(weights.collect());
                }
                value = *of;
            }
            View::Between => return None,
        }
    }
}

/// What a layer's input is made of: of one input numbers of the base field, which multiply faster; of a batch of the
/// extension.
trait Number: PrimeCharacteristicRing + Copy + Sync {
    fn times(self, weight: EF) -> EF;
}

impl Number for F {
    fn times(self, weight: EF) -> EF {
        weight * self
    }
}

impl Number for EF {
    fn times(self, weight: EF) -> EF {
        weight * self
    }
}

/// Σ_b eq(r_b, b) · column(b, ·): a column of a batch as one of a single input.
fn one_of_all(column: &[F], batch: &[EF]) -> Vec<EF> {
    let length = column.len() >> batch.len();
    let mut sums = vec![EF::ZERO; length];
    let weights = eq_table(batch);
    sums.par_chunks_mut(GRAIN).enumerate().for_each(|(task, sums)| {
        for (item, weight) in column.chunks_exact(length.max(1)).zip(&weights) {
            let part = item.get(task * GRAIN..).unwrap_or_default();
            sums.iter_mut().zip(part).for_each(|(sum, number)| *sum += *weight * *number);
        }
    });
    sums
}

/// The padded numbers of a value of one input, given those of columns. All is linear, so it may be a sum of inputs.
fn numbers<T: Number>(circuit: &Circuit, columns: &dyn Fn(Column) -> Vec<T>, value: usize) -> Vec<T> {
    match circuit.views.get(value) {
        Some(View::Column(column)) => columns(*column),
        Some(View::Same(of)) => numbers(circuit, columns, *of),
        Some(View::Pooled { of, size }) => {
            let before = numbers(circuit, columns, *of);
            let (Some(inner), Some(outer)) = (circuit.dims.get(*of), circuit.dims.get(value)) else {
                return Vec::new();
            };
            let mut sums = vec![T::ZERO; 1 << outer.total()];
            for channel in 0..1_usize << outer.bits[0] {
                for y in 0..outer.real[1] * size {
                    for x in 0..outer.real[2] * size {
                        let from = (((channel << inner.bits[1]) + y) << inner.bits[2]) + x;
                        let to = (((channel << outer.bits[1]) + y / size) << outer.bits[2]) + x / size;
                        if let (Some(sum), Some(number)) = (sums.get_mut(to), before.get(from)) {
                            *sum += *number;
                        }
                    }
                }
            }
            sums
        }
        Some(View::Between) | None => Vec::new(),
    }
}

/// A(r_p, ·).
fn left<T: Number>(step: &Step, numbers: &[T], output: &[Vec<EF>; 3]) -> Vec<EF> {
    let Sum::Conv { kernel, padding, bits } = step.sum else {
        return numbers.iter().map(|number| number.times(EF::ONE)).collect();
    };
    let (rows, columns) = (eq_table(&output[1]), eq_table(&output[2]));
    let Dims { real: [_, height, width], bits: [channel_bits, row_bits, column_bits] } = step.input;
    let channel = |channel: usize| {
        // First along the rows, for each offset of the window; then down the columns.
        let mut along = vec![EF::ZERO; height * kernel];
        for (y, row) in along.chunks_exact_mut(kernel).enumerate() {
            let start = ((channel << row_bits) + y) << column_bits;
            for (dx, sum) in row.iter_mut().enumerate() {
                for (x, weight) in columns.iter().enumerate().take(step.output.real[2]) {
                    let place = (x + dx).checked_sub(padding).filter(|place| *place < width);
                    if let Some(number) = place.and_then(|place| numbers.get(start + place)) {
                        *sum += number.times(*weight);
                    }
                }
            }
        }
        let mut sums = vec![EF::ZERO; 1 << (2 * bits)];
        for (dy, row) in sums.chunks_exact_mut(1 << bits).enumerate().take(kernel) {
            for (y, weight) in rows.iter().enumerate().take(step.output.real[1]) {
                let place = (y + dy).checked_sub(padding).filter(|place| *place < height);
                let from =
                    place.map_or(&[][..], |place| along.get(place * kernel..(place + 1) * kernel).unwrap_or_default());
                row.iter_mut().zip(from).for_each(|(sum, value)| *sum += *weight * *value);
            }
        }
        sums
    };
    (0..1_usize << channel_bits).into_par_iter().flat_map_iter(channel).collect()
}

/// B(·): rows of weights, folded.
fn right(step: &Step, weights: &[F], factors: &[EF]) -> Vec<EF> {
    let length = 1_usize << step.inner_bits();
    let rows = step.output.real[0];
    let task = GRAIN.min(length);
    let mut sums = vec![EF::ZERO; length];
    sums.par_chunks_mut(task).enumerate().for_each(|(task_index, sums)| {
        for (row, factor) in weights.chunks_exact(length).zip(factors).take(rows) {
            let part = row.get(task_index * task..).unwrap_or_default();
            for (sum, weight) in sums.iter_mut().zip(part) {
                *sum += *factor * *weight;
            }
        }
    });
    sums
}

/// Proves a step; appends claims.
pub(crate) fn prove<'a>(
    circuit: &Circuit,
    step: &Step,
    columns: &dyn Fn(Column) -> &'a [F],
    claims: &mut Vec<Claim<EF>>,
    writer: &mut Writer<'_>,
) {
    let point = writer.point(circuit.batch + step.output.total());
    let (batch, own) = point.split_at(circuit.batch);
    let output = split(own, &step.output);
    let mut ask = |column: Column, point: &[EF], writer: &mut Writer<'_>| {
        let value = evaluate(columns(column), point);
        writer.send(value);
        claims.push(Claim::at(column, point, value));
    };
    if let End::Table { hi, lo, .. } = step.end {
        ask(hi, &point, writer);
        ask(lo, &point, writer);
    }
    ask(step.biases, &output[0], writer);
    let mut factors = eq_table(&output[0]);
    if let Some(mantissas) = step.mantissas {
        factors.iter_mut().zip(columns(mantissas)).for_each(|(factor, mantissa)| *factor *= *mantissa);
    }
    let weights = columns(step.weights);
    let mut a = if batch.is_empty() {
        left(step, &numbers(circuit, &|column| columns(column).to_vec(), step.source), &output)
    } else {
        left(step, &numbers(circuit, &|column| one_of_all(columns(column), batch), step.source), &output)
    };
    let mut b = right(step, weights, &factors);
    let mut inner_point = Vec::new();
    while a.len() > 1 {
        let half = a.len() / 2;
        let ((a0, a1), (b0, b1)) = (a.split_at(half), b.split_at(half));
        writer.send(inner(a0, b0));
        let slopes = a0.iter().zip(a1).zip(b0.iter().zip(b1));
        writer.send(slopes.map(|((a0, a1), (b0, b1))| (*a1 - *a0) * (*b1 - *b0)).sum());
        let challenge = writer.challenge();
        fold(&mut a, challenge);
        fold(&mut b, challenge);
        inner_point.push(challenge);
    }
    let at = |values: &[EF]| values.first().copied().unwrap_or(EF::ZERO);
    let (a, b) = (at(&a), at(&b));
    writer.send(a);
    writer.send(b);
    writer.multiply(a, b);
    claims.extend(pull(circuit, step.source, batch, axes(step, &output, &inner_point), a));
    let Some(mantissas) = step.mantissas else {
        claims.push(Claim::at(step.weights, &[output[0].as_slice(), &inner_point].concat(), b));
        return;
    };
    let (channel_point, m, w) = prove_channels(step, [columns(mantissas), weights], &output[0], &inner_point, writer);
    claims.push(Claim::at(mantissas, &channel_point, m));
    claims.push(Claim::at(step.weights, &[channel_point.as_slice(), &inner_point].concat(), w));
}

/// B(ρ) = Σ_c eq(r_c, c) · M[c] · W[c, ρ]: the point of c, and both factors there.
fn prove_channels(
    step: &Step,
    [mantissas, weights]: [&[F]; 2],
    point: &[EF],
    inner_point: &[EF],
    writer: &mut Writer<'_>,
) -> (Vec<EF>, EF, EF) {
    let table = eq_table(inner_point);
    let length = 1_usize << step.inner_bits();
    let row = |row: &[F]| row.iter().zip(&table).map(|(weight, factor)| *factor * *weight).sum::<EF>();
    let mut w: Vec<EF> = weights.par_chunks_exact(length).map(row).collect();
    let mut m: Vec<EF> = mantissas.iter().map(|mantissa| EF::from(*mantissa)).collect();
    let mut bound = Vec::new();
    for round in 0..point.len() {
        let rest = eq_table(point.get(round + 1..).unwrap_or_default());
        let half = m.len() / 2;
        let ((m0, m1), (w0, w1)) = (m.split_at(half), w.split_at(half));
        let (mut zero, mut leading) = (EF::ZERO, EF::ZERO);
        for (((m0, m1), (w0, w1)), weight) in m0.iter().zip(m1).zip(w0.iter().zip(w1)).zip(&rest) {
            zero += *weight * *m0 * *w0;
            leading += *weight * (*m1 - *m0) * (*w1 - *w0);
        }
        writer.send(zero);
        writer.send(leading);
        let challenge = writer.challenge();
        fold(&mut m, challenge);
        fold(&mut w, challenge);
        bound.push(challenge);
    }
    let at = |values: &[EF]| values.first().copied().unwrap_or(EF::ZERO);
    let (m, w) = (at(&m), at(&w));
    writer.send(m);
    writer.send(w);
    writer.multiply(m, w);
    (bound, m, w)
}

/// Checks a step; appends claims. `public` are the public output's numbers, padded, of all inputs.
pub(crate) fn verify(
    circuit: &Circuit,
    step: &Step,
    public: &[F],
    claims: &mut Vec<Claim<Lin>>,
    reader: &mut Reader<'_>,
) -> Result<(), VerifyError> {
    let point = reader.point(circuit.batch + step.output.total());
    let (batch, own) = point.split_at(circuit.batch);
    let output = split(own, &step.output);
    let mut ask = |column: Column, point: &[EF], reader: &mut Reader<'_>| -> Result<Lin, VerifyError> {
        let value = reader.receive()?;
        claims.push(Claim::at(column, point, value.clone()));
        Ok(value)
    };
    let z = match step.end {
        End::Table { hi, lo, shift, first } => {
            let (hi, lo) = (ask(hi, &point, reader)?, ask(lo, &point, reader)?);
            let constant = (first << shift) - (1 << (shift - 1));
            hi.scale(EF::from(F::from_u32(1 << shift))).plus(&lo).shift(EF::from(F::from_i64(constant)))
        }
        End::Output => Lin::constant(evaluate(public, &point)),
    };
    let bias = ask(step.biases, &output[0], reader)?;
    let (inner_point, product) = verify_product(step.inner_bits(), z.minus(&bias), reader)?;
    let (a, b) = (reader.receive()?, reader.receive()?);
    let found = reader.multiply(a.clone(), b.clone())?;
    reader.zero(product.minus(&found));
    let claim = pull(circuit, step.source, batch, axes(step, &output, &inner_point), a);
    claims.push(claim.ok_or(VerifyError::Statement)?);
    let Some(mantissas) = step.mantissas else {
        claims.push(Claim::at(step.weights, &[output[0].as_slice(), &inner_point].concat(), b));
        return Ok(());
    };
    let mut claim = b;
    let mut bound = Vec::new();
    for coordinate in &output[0] {
        (claim, bound) = crate::lookup::verify_round(claim, bound, *coordinate, reader)?;
    }
    let (m, w) = (reader.receive()?, reader.receive()?);
    let found = reader.multiply(m.clone(), w.clone())?;
    reader.zero(claim.minus(&found));
    claims.push(Claim::at(mantissas, &bound, m));
    claims.push(Claim::at(step.weights, &[bound.as_slice(), &inner_point].concat(), w));
    Ok(())
}
