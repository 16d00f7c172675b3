//! The prover's numbers: the run's values on padded tensors, their splits, and how often each row of a table is used.

use inferium_exact::{Model, Op, Table, Trace};
use p3_field::PrimeCharacteristicRing;

use crate::circuit::{Circuit, Dims, Split};
use crate::field::{F, Stream};
use crate::weight::Column;

/// The polynomial of the inputs, one behind the other: their numbers padded with zeros, behind those of a batch how
/// many there are, and random ones at the end.
pub(crate) fn input_polynomial<I: AsRef<[i32]>>(circuit: &Circuit, inputs: &[I], stream: &mut Stream) -> Vec<F> {
    let mut values = vec![F::ZERO; 1 << circuit.variables[1]];
    if let Some(dims) = circuit.dims.first() {
        for (values, input) in values.chunks_exact_mut(1 << dims.total()).zip(inputs) {
            for (at, value) in input.as_ref().iter().enumerate() {
                if let Some(place) = values.get_mut(dims.padded(at)) {
                    *place = F::from_i32(*value);
                }
            }
        }
    }
    if let Some((column, mark)) = circuit.mark()
        && let Some(place) = values.get_mut(column.offset)
    {
        *place = mark;
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

    /// Splits the values of one input behind an affine step, on the padded tensor.
    fn split(&mut self, circuit: &Circuit, (split, shift, table): (&Split, u8, &Table), item: usize, values: &[i64]) {
        let range = circuit.ranges.get(split.range).map_or(split.multiplicity, |(_, column)| *column);
        let [hi, lo, y] = split.columns;
        let start = item << split.dims.total();
        for (at, value) in values.iter().enumerate() {
            let raised = value + (1 << (shift - 1));
            let index = (raised >> shift) - i64::from(table.first);
            let rest = raised & ((1 << shift) - 1);
            let entry =
                usize::try_from(index).ok().and_then(|index| table.values.get(index)).map_or(0, |y| i64::from(*y));
            self.set(hi, start + at, index);
            self.set(lo, start + at, rest);
            self.set(y, start + at, entry);
            self.count(range, rest);
            self.count(split.multiplicity, index);
        }
    }
}

/// The polynomial of the trace: of the runs of all inputs of the circuit's batch.
pub(crate) fn trace_polynomial(circuit: &Circuit, model: &Model, traces: &[Trace], stream: &mut Stream) -> Vec<F> {
    let mut columns = Columns(vec![F::ZERO; 1 << circuit.variables[2]]);
    for split in &circuit.splits {
        let Some(Op::Requantise { shift, table }) = model.nodes.get(split.node).map(|node| &node.op) else { continue };
        for (item, trace) in traces.iter().enumerate() {
            let values = padded(model, trace, split.affine, split.dims);
            columns.split(circuit, (split, *shift, table), item, &values);
        }
    }
    let zero = -i64::from(model.input_min);
    let mut padding = 1_usize << circuit.input.bits;
    for trace in traces {
        let input = trace.values.first().map_or(&[][..], Vec::as_slice);
        for value in input {
            columns.count(circuit.input_multiplicity, i64::from(*value) + zero);
        }
        padding = padding.saturating_sub(input.len());
    }
    for _ in 0..padding {
        columns.count(circuit.input_multiplicity, zero);
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
