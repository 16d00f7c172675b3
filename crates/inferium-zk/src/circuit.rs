//! What is proved of a model: which numbers are committed, which relations hold between them, which rows are looked up.
//!
//! A pure function of the model, so that prover and verifier agree on it by agreeing on the model. Tensors are padded
//! along each axis to powers of two; every relation holds on padding too, where sums are empty.
//!
//! One proof can be about a batch of 2^β inputs. Which of them is the first axis of every column that depends on an
//! input; weights, tables and how often rows are used have no such axis, so the commitment to the model is the same for
//! all batches. Behind a batch's inputs their number is committed to, so that what was committed to as another number
//! of inputs, zeros behind them, is not taken for this one.

use inferium_exact::{Model, Node, Op, Shape};

use crate::error::ProveError;
use crate::field::{F, bits_of};
use crate::lookup::{Lookups, Rows};
use crate::oracle::{SPARE, VARIABLES_MAX, VARIABLES_MIN};
use crate::outline::SEQUENCE;
use crate::weight::{Column, Oracle};
use p3_field::PrimeCharacteristicRing;

/// Bits of the number of inputs of the largest batch.
pub const BATCH_BITS_MAX: usize = 5;
/// Bits of the number of outputs of all of a batch, padded: no more than the file of a proof holds.
const BATCH_OUTPUT_BITS_MAX: usize = 20;
/// Bits of the number of rows of a batch's look-ups: as many as the error budget counts.
const BATCH_LOOKUP_BITS_MAX: usize = 25;

/// What is committed to behind the inputs of a batch, and the bits of their number with it: in no input's range.
const MARK: usize = 1 << 20;

/// Why a batch is refused.
const BATCH: &str = "a batch of more inputs than one proof of this model holds";

/// A padded tensor: real lengths and bits of channels, rows, columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dims {
    pub(crate) real: [usize; 3],
    pub(crate) bits: [usize; 3],
}

impl Dims {
    fn of(shape: Shape) -> Self {
        let real = [shape.channels as usize, shape.height as usize, shape.width as usize];
        Self { real, bits: real.map(bits_of) }
    }

    pub(crate) fn total(&self) -> usize {
        self.bits.iter().sum()
    }

    /// Index among the padded ones of the element with this index among the real ones.
    pub(crate) fn padded(&self, index: usize) -> usize {
        let [_, height, width] = self.real;
        let (channel, y, x) = (index / (height * width), index / width % height, index % width);
        (((channel << self.bits[1]) + y) << self.bits[2]) + x
    }
}

/// What a value of the model is to the proof.
#[derive(Debug, Clone)]
pub(crate) enum View {
    /// Committed.
    Column(Column),
    /// Sums over blocks of another value.
    Pooled { of: usize, size: usize },
    /// Another value, flattened: the same padded numbers.
    Same(usize),
    /// Sums of products or their affine step: nowhere committed.
    Between,
}

/// How a step sums.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sum {
    Dense,
    Conv { kernel: usize, padding: usize, bits: usize },
}

/// What becomes of a step's sums.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    /// They are split and looked up.
    Table { hi: Column, lo: Column, shift: u8, first: i64 },
    /// They are the public output.
    Output,
}

/// A layer of weights: products, sums, affine step.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) source: usize,
    pub(crate) sum: Sum,
    pub(crate) input: Dims,
    pub(crate) output: Dims,
    /// By output, then by what is summed over.
    pub(crate) weights: Column,
    pub(crate) mantissas: Option<Column>,
    pub(crate) biases: Column,
    pub(crate) end: End,
}

impl Step {
    /// Bits of what is summed over.
    pub(crate) fn inner_bits(&self) -> usize {
        self.weights.bits - self.output.bits[0]
    }
}

/// A requantised value, and where its columns are.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    pub(crate) node: usize,
    pub(crate) affine: usize,
    pub(crate) columns: [Column; 3],
    pub(crate) multiplicity: Column,
    pub(crate) range: usize,
    pub(crate) dims: Dims,
}

#[derive(Debug, Clone)]
pub(crate) struct Circuit {
    /// Bits of the number of inputs.
    pub(crate) batch: usize,
    pub(crate) views: Vec<View>,
    pub(crate) dims: Vec<Dims>,
    pub(crate) steps: Vec<Step>,
    pub(crate) splits: Vec<Split>,
    /// Shifts, each with the multiplicities of its table of remainders.
    pub(crate) ranges: Vec<(u8, Column)>,
    pub(crate) input: Column,
    pub(crate) input_multiplicity: Column,
    pub(crate) lookups: Lookups,
    /// Variables of the polynomials of weights, input and trace.
    pub(crate) variables: [usize; 3],
}

impl Circuit {
    /// Where a batch's number of inputs is committed to, and the number that has to be there. One input has none.
    pub(crate) fn mark(&self) -> Option<(Column, F)> {
        let offset = 1 << self.input.bits;
        (self.batch > 0).then(|| (Column { offset, bits: 0, ..self.input }, F::from_usize(MARK + self.batch)))
    }
}

/// Blocks of a polynomial before they have places; the longest ones come first in it.
#[derive(Default)]
struct Plan(Vec<usize>);

impl Plan {
    fn add(&mut self, oracle: Oracle, bits: usize) -> Column {
        self.0.push(bits);
        Column { oracle, offset: self.0.len() - 1, bits }
    }

    /// Offsets by block, and the end.
    fn place(&self) -> (Vec<usize>, usize) {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by_key(|block| core::cmp::Reverse(self.0.get(*block).copied()));
        let mut offsets = vec![0; self.0.len()];
        let mut end = 0;
        for block in order {
            if let (Some(offset), Some(bits)) = (offsets.get_mut(block), self.0.get(block)) {
                *offset = end;
                end += 1 << bits;
            }
        }
        (offsets, end)
    }
}

struct Builder<'a> {
    model: &'a Model,
    batch: usize,
    dims: Vec<Dims>,
    views: Vec<View>,
    weights: Plan,
    trace: Plan,
    /// Blocks of weights and their numbers, if these are wanted.
    blocks: Vec<(Column, Vec<F>)>,
    with_numbers: bool,
    steps: Vec<Step>,
    splits: Vec<Split>,
    ranges: Vec<(u8, Column)>,
    /// Look-ups of splits: their tables' ids are given when all ranges are known.
    tables: Vec<Column>,
}

/// The circuit of a model and the polynomial of its weights.
pub(crate) fn build(model: &Model) -> Result<(Circuit, Vec<F>), ProveError> {
    model.check()?;
    build_with(model, 0, true)
}

/// The circuit alone, which reads no weight and no entry of a table.
pub(crate) fn build_circuit(model: &Model) -> Result<Circuit, ProveError> {
    model.check()?;
    Ok(build_with(model, 0, false)?.0)
}

/// The circuit of a batch of 2^`batch` inputs, of a model of which the circuit of one could be built: it is not checked
/// again.
///
/// # Errors
/// [`ProveError::Unsupported`] when one proof does not hold so many inputs.
pub(crate) fn build_batch(model: &Model, batch: usize) -> Result<Circuit, ProveError> {
    if batch > BATCH_BITS_MAX {
        return Err(ProveError::Unsupported(BATCH));
    }
    let (circuit, _) = build_with(model, batch, false)?;
    let outputs = batch + circuit.dims.last().map_or(0, Dims::total);
    if batch > 0 && (outputs > BATCH_OUTPUT_BITS_MAX || circuit.lookups.bits > BATCH_LOOKUP_BITS_MAX) {
        return Err(ProveError::Unsupported(BATCH));
    }
    Ok(circuit)
}

fn build_with(model: &Model, batch: usize, with_numbers: bool) -> Result<(Circuit, Vec<F>), ProveError> {
    if model.is_sequence() {
        return Err(ProveError::Unsupported(SEQUENCE));
    }
    let shapes = model.shapes()?;
    let mut builder = Builder {
        model,
        batch,
        dims: shapes.iter().map(|shape| Dims::of(*shape)).collect(),
        views: vec![View::Between; shapes.len()],
        weights: Plan::default(),
        trace: Plan::default(),
        blocks: Vec::new(),
        with_numbers,
        steps: Vec::new(),
        splits: Vec::new(),
        ranges: Vec::new(),
        tables: Vec::new(),
    };
    let range = i32::from(model.input_max) - i32::from(model.input_min) + 1;
    let is_bits = range.count_ones() == 1 && range > 1 && range <= 1 << 16;
    if !is_bits || model.input_min > 0 || model.input_max < 0 {
        return Err(ProveError::Unsupported("the input's range has to be a power of two, and to hold zero"));
    }
    let input_bits = batch + builder.dims.first().map_or(0, Dims::total);
    let input = Column { oracle: Oracle::Input, offset: 0, bits: input_bits };
    builder.view(0, View::Column(input));
    for (index, node) in model.nodes.iter().enumerate() {
        builder.node(index, node)?;
    }
    let input_multiplicity = builder.trace.add(Oracle::Trace, range.trailing_zeros() as usize);
    builder.finish(input, input_multiplicity)
}

impl Builder<'_> {
    fn view(&mut self, value: usize, view: View) {
        if let Some(place) = self.views.get_mut(value) {
            *place = view;
        }
    }

    fn dims(&self, value: usize) -> Dims {
        self.dims.get(value).copied().unwrap_or(Dims { real: [1; 3], bits: [0; 3] })
    }

    fn node(&mut self, index: usize, node: &Node) -> Result<(), ProveError> {
        let source = node.input as usize;
        match &node.op {
            Op::SumPool { size } => {
                self.committed(source)?;
                self.view(index + 1, View::Pooled { of: source, size: *size as usize });
            }
            Op::Flatten => {
                self.committed(source)?;
                // The axes stay, so that flattening moves nothing.
                let dims = self.dims(source);
                if let Some(place) = self.dims.get_mut(index + 1) {
                    *place = dims;
                }
                self.view(index + 1, View::Same(source));
            }
            Op::Dense { .. } | Op::Conv2d { .. } => self.committed(source)?,
            Op::Affine { .. } => self.affine(index, source)?,
            Op::Requantise { shift, table } => {
                let is_affine = self
                    .model
                    .nodes
                    .get(source.wrapping_sub(1))
                    .is_some_and(|node| matches!(node.op, Op::Affine { .. }));
                if !is_affine {
                    return Err(ProveError::Unsupported("a requantisation that is not behind an affine step"));
                }
                let dims = self.dims(index + 1);
                let columns = [(); 3].map(|()| self.trace.add(Oracle::Trace, self.batch + dims.total()));
                let bits = table.values.len().trailing_zeros() as usize;
                let multiplicity = self.trace.add(Oracle::Trace, bits);
                let values = self.block(bits, || table.values.iter().map(|value| F::from_i16(*value)).collect());
                self.tables.push(values);
                let range = self.range(*shift);
                self.splits.push(Split { node: index, affine: source, columns, multiplicity, range, dims });
                self.view(index + 1, View::Column(columns[2]));
            }
            Op::Embedding { .. } | Op::Scores { .. } | Op::Softmax { .. } | Op::Mix { .. } => {
                return Err(ProveError::Unsupported(SEQUENCE));
            }
            Op::Add { .. } | Op::Normalise { .. } | Op::Scale { .. } | Op::SumPositions => {
                return Err(ProveError::Unsupported(SEQUENCE));
            }
        }
        Ok(())
    }

    fn committed(&self, value: usize) -> Result<(), ProveError> {
        match self.views.get(value) {
            Some(View::Between) | None => {
                Err(ProveError::Unsupported("sums that are used before they are requantised"))
            }
            Some(_) => Ok(()),
        }
    }

    fn range(&mut self, shift: u8) -> usize {
        if let Some(found) = self.ranges.iter().position(|(known, _)| *known == shift) {
            return found;
        }
        let column = self.trace.add(Oracle::Trace, shift.into());
        self.ranges.push((shift, column));
        self.ranges.len() - 1
    }

    /// Nothing is committed yet: that depends on what the affine step is used for.
    fn affine(&mut self, index: usize, source: usize) -> Result<(), ProveError> {
        let behind = self.model.nodes.get(source.wrapping_sub(1)).map(|node| &node.op);
        if !matches!(behind, Some(Op::Dense { .. } | Op::Conv2d { .. })) {
            return Err(ProveError::Unsupported("an affine step that is not behind a layer of weights"));
        }
        let readers = self.model.nodes.iter().filter(|node| node.input as usize == index + 1);
        let is_output = index + 1 == self.model.nodes.len();
        if readers.count() != usize::from(!is_output) {
            return Err(ProveError::Unsupported("an affine step that is used more or less than once"));
        }
        Ok(())
    }

    fn finish(mut self, mut input: Column, mut input_multiplicity: Column) -> Result<(Circuit, Vec<F>), ProveError> {
        let ends: Vec<(usize, End)> = self
            .splits
            .iter()
            .map(|split| {
                let shift = self.ranges.get(split.range).map_or(1, |(shift, _)| *shift);
                let first = match self.model.nodes.get(split.node).map(|node| &node.op) {
                    Some(Op::Requantise { table, .. }) => i64::from(table.first),
                    _ => 0,
                };
                (split.affine, End::Table { hi: split.columns[0], lo: split.columns[1], shift, first })
            })
            .collect();
        for (affine, end) in ends {
            self.step(affine, end)?;
        }
        let last = self.model.nodes.len();
        let is_affine = self.model.nodes.last().is_some_and(|node| matches!(node.op, Op::Affine { .. }));
        let is_vector = self.dims(last).bits[1] + self.dims(last).bits[2] == 0;
        if !is_affine || !is_vector {
            return Err(ProveError::Unsupported("an output that is not a vector of sums with their affine step"));
        }
        self.step(last, End::Output)?;
        let mut rows = self.rows(input, input_multiplicity);
        let (offsets, end) = self.trace.place();
        let (weight_offsets, weights_end) = self.weights.place();
        let mut place = |column: &mut Column| {
            let offsets = match column.oracle {
                Oracle::Weights => &weight_offsets,
                Oracle::Trace => &offsets,
                Oracle::Input => return,
            };
            column.offset = offsets.get(column.offset).copied().unwrap_or(0);
        };
        place(&mut input);
        place(&mut input_multiplicity);
        self.place(&mut rows, &mut place);
        let variables = [
            bits_of(weights_end).max(VARIABLES_MIN),
            bits_of((1 << input.bits) + usize::from(self.batch > 0) + SPARE).max(VARIABLES_MIN),
            bits_of(end + SPARE).max(VARIABLES_MIN),
        ];
        if variables.iter().any(|variables| *variables > VARIABLES_MAX) {
            return Err(ProveError::Unsupported("more numbers than one commitment holds"));
        }
        let mut weights = if self.with_numbers { vec![F::ZERO; 1 << variables[0]] } else { Vec::new() };
        for (column, values) in &self.blocks {
            weights.iter_mut().skip(column.offset).zip(values).for_each(|(place, value)| *place = *value);
        }
        let Self { batch, views, dims, steps, splits, ranges, .. } = self;
        let lookups = Lookups::new(rows);
        let circuit =
            Circuit { batch, views, dims, steps, splits, ranges, input, input_multiplicity, lookups, variables };
        Ok((circuit, weights))
    }

    /// Gives every column its place.
    fn place(&mut self, rows: &mut [Rows], place: &mut dyn FnMut(&mut Column)) {
        for view in &mut self.views {
            if let View::Column(column) = view {
                place(column);
            }
        }
        for step in &mut self.steps {
            place(&mut step.weights);
            place(&mut step.biases);
            step.mantissas.iter_mut().for_each(&mut *place);
            if let End::Table { hi, lo, .. } = &mut step.end {
                place(hi);
                place(lo);
            }
        }
        for split in &mut self.splits {
            split.columns.iter_mut().for_each(&mut *place);
            place(&mut split.multiplicity);
        }
        self.ranges.iter_mut().for_each(|(_, column)| place(column));
        self.blocks.iter_mut().for_each(|(column, _)| place(column));
        for rows in rows {
            match rows {
                Rows::Looked { first, second, .. } => {
                    place(first);
                    second.iter_mut().for_each(&mut *place);
                }
                Rows::Table { multiplicity, second, .. } => {
                    place(multiplicity);
                    second.iter_mut().for_each(&mut *place);
                }
            }
        }
    }

    /// Ids of tables: 0 is the input's range, then ranges of remainders, then the tables of activations.
    fn rows(&self, input: Column, input_multiplicity: Column) -> Vec<Rows> {
        let plus = -i64::from(self.model.input_min);
        let mut rows = vec![
            Rows::Looked { table: 0, first: input, plus, second: None },
            Rows::Table { table: 0, multiplicity: input_multiplicity, second: None },
        ];
        for (range, (_, column)) in self.ranges.iter().enumerate() {
            rows.push(Rows::Table { table: 1 + range, multiplicity: *column, second: None });
        }
        for (split, values) in self.splits.iter().zip(&self.tables) {
            let [hi, lo, y] = split.columns;
            let table = 1 + self.ranges.len() + split.node;
            rows.push(Rows::Looked { table: 1 + split.range, first: lo, plus: 0, second: None });
            rows.push(Rows::Looked { table, first: hi, plus: 0, second: Some(y) });
            rows.push(Rows::Table { table, multiplicity: split.multiplicity, second: Some(*values) });
        }
        rows
    }

    /// The layer of weights behind an affine step, which is value `affine`.
    fn step(&mut self, affine: usize, end: End) -> Result<(), ProveError> {
        let wrong = ProveError::Unsupported("an affine step without a layer of weights");
        let node = self.model.nodes.get(affine.wrapping_sub(1)).ok_or(wrong)?;
        let Op::Affine { mantissas, biases } = &node.op else {
            return Err(ProveError::Unsupported("a requantisation that is not behind an affine step"));
        };
        let layer = self.model.nodes.get((node.input as usize).wrapping_sub(1));
        let layer = layer.ok_or(ProveError::Unsupported("an affine step without a layer of weights"))?;
        let source = layer.input as usize;
        let (input, output) = (self.dims(source), self.dims(affine));
        let (sum, weights) = match &layer.op {
            Op::Dense { weights, .. } => {
                let row = input.real.iter().product::<usize>().max(1);
                let index = |at: usize| ((at / row) << input.total()) + input.padded(at % row);
                let bits = output.bits[0] + input.total();
                (Sum::Dense, self.block(bits, || scatter(weights, bits, index)))
            }
            Op::Conv2d { kernel, padding, weights, .. } => {
                let (side, window) = (*kernel as usize, bits_of(*kernel as usize));
                let inner = input.bits[0] + 2 * window;
                let channels = input.real[0];
                let index = |at: usize| {
                    let (dx, dy, rest) = (at % side, at / side % side, at / (side * side));
                    ((rest / channels) << inner) + ((rest % channels) << (2 * window)) + (dy << window) + dx
                };
                let sum = Sum::Conv { kernel: side, padding: *padding as usize, bits: window };
                let bits = output.bits[0] + inner;
                (sum, self.block(bits, || scatter(weights, bits, index)))
            }
            _ => {
                return Err(ProveError::Unsupported("an affine step that is not behind a layer of weights"));
            }
        };
        let mantissas = (!mantissas.is_empty())
            .then(|| self.block(output.bits[0], || mantissas.iter().map(|mantissa| F::from_u8(*mantissa)).collect()));
        let biases = self.block(output.bits[0], || biases.iter().map(|bias| F::from_i32(*bias)).collect());
        self.steps.push(Step { source, sum, input, output, weights, mantissas, biases, end });
        Ok(())
    }

    fn block(&mut self, bits: usize, values: impl FnOnce() -> Vec<F>) -> Column {
        let column = self.weights.add(Oracle::Weights, bits);
        if self.with_numbers {
            self.blocks.push((column, values()));
        }
        column
    }
}

/// Weights at their padded places.
fn scatter(weights: &[i16], bits: usize, index: impl Fn(usize) -> usize) -> Vec<F> {
    let mut values = vec![F::ZERO; 1 << bits];
    for (at, weight) in weights.iter().enumerate() {
        if let Some(place) = values.get_mut(index(at)) {
            *place = F::from_i16(*weight);
        }
    }
    values
}
