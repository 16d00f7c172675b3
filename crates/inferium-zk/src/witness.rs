//! The prover's numbers: the run's values on padded tensors, their splits, and how often each row of a table is used.

use inferium_exact::{Model, Op, Trace};
use p3_field::PrimeCharacteristicRing;

use crate::circuit::{Circuit, Dims};
use crate::field::{F, Stream};
use crate::weight::Column;

/// The polynomial of the input: its numbers padded with zeros, and random ones at the end.
pub(crate) fn input_polynomial(circuit: &Circuit, input: &[i32], stream: &mut Stream) -> Vec<F> {
    let mut values = vec![F::ZERO; 1 << circuit.variables[1]];
    if let Some(dims) = circuit.dims.first() {
        for (at, value) in input.iter().enumerate() {
            if let Some(place) = values.get_mut(dims.padded(at)) {
                *place = F::from_i32(*value);
            }
        }
    }
    spare(&mut values, stream);
    values
}

fn spare(values: &mut [F], stream: &mut Stream) {
    let start = values.len().saturating_sub(crate::oracle::SPARE);
    values.iter_mut().skip(start).for_each(|value| *value = stream.element());
}

struct Columns(Vec<F>);

impl Columns {
    fn set(&mut self, column: Column, at: usize, value: i64) {
        if let Some(place) = self.0.get_mut(column.offset + at) {
            *place = F::from_i64(value);
        }
    }

    fn count(&mut self, column: Column, row: i64) {
        let row = usize::try_from(row).ok().filter(|row| *row < 1 << column.bits);
        if let Some(place) = row.and_then(|row| self.0.get_mut(column.offset + row)) {
            *place += F::ONE;
        }
    }
}

/// The polynomial of the trace.
pub(crate) fn trace_polynomial(circuit: &Circuit, model: &Model, trace: &Trace, stream: &mut Stream) -> Vec<F> {
    let mut columns = Columns(vec![F::ZERO; 1 << circuit.variables[2]]);
    for split in &circuit.splits {
        let Some(Op::Requantise { shift, table }) = model.nodes.get(split.node).map(|node| &node.op) else { continue };
        let values = padded(model, trace, split.affine, split.dims);
        let range = circuit.ranges.get(split.range).map_or(split.multiplicity, |(_, column)| *column);
        let [hi, lo, y] = split.columns;
        for (at, value) in values.iter().enumerate() {
            let raised = value + (1 << (shift - 1));
            let index = (raised >> shift) - i64::from(table.first);
            let rest = raised & ((1 << shift) - 1);
            let entry =
                usize::try_from(index).ok().and_then(|index| table.values.get(index)).map_or(0, |y| i64::from(*y));
            columns.set(hi, at, index);
            columns.set(lo, at, rest);
            columns.set(y, at, entry);
            columns.count(range, rest);
            columns.count(split.multiplicity, index);
        }
    }
    let inputs = trace.values.first().map_or(&[][..], Vec::as_slice);
    for value in inputs {
        columns.count(circuit.input_multiplicity, i64::from(*value) - i64::from(model.input_min));
    }
    let padding = (1_usize << circuit.input.bits).saturating_sub(inputs.len());
    for _ in 0..padding {
        columns.count(circuit.input_multiplicity, -i64::from(model.input_min));
    }
    let mut values = columns.0;
    spare(&mut values, stream);
    values
}

/// Values behind an affine step on the padded tensor: where sums are empty, its channel's bias.
fn padded(model: &Model, trace: &Trace, affine: usize, dims: Dims) -> Vec<i64> {
    let biases = match model.nodes.get(affine.wrapping_sub(1)).map(|node| &node.op) {
        Some(Op::Affine { biases, .. }) => biases.as_slice(),
        _ => &[],
    };
    let area = dims.bits[1] + dims.bits[2];
    let bias = |at: usize| biases.get(at >> area).map_or(0, |bias| i64::from(*bias));
    let mut values: Vec<i64> = (0..1 << dims.total()).map(bias).collect();
    for (at, value) in trace.values.get(affine).map_or(&[][..], Vec::as_slice).iter().enumerate() {
        if let Some(place) = values.get_mut(dims.padded(at)) {
            *place = i64::from(*value);
        }
    }
    values
}
