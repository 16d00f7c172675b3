//! The frozen decoder with adapters: forward, and back to the adapters.

use super::adapter::{Adapter, AdapterPlaces};
use super::parts::{self, Head};
use crate::trainer::ln;
use inferium_engine::exact::{Exact, ExactMatrix, exp};
use inferium_engine::{DecoderLayer, DecoderShape, DecoderWeights};
use std::ops::Range;

/// Rows of which the logits are there at once.
const LOGIT_ROWS: usize = 64;

/// A frozen decoder, ready to compute with.
#[derive(Debug)]
pub(super) struct Frozen {
    shape: DecoderShape,
    exact: Exact,
    embedding: Vec<f32>,
    layers: Vec<Block>,
    output_norm: Vec<f32>,
    head: ExactMatrix,
    head_back: ExactMatrix,
    angles: Vec<(f32, f32)>,
    /// The first block that has adapters.
    first_adapted: usize,
}

/// One block's matrices.
#[derive(Debug)]
struct Block {
    attention_norm: Vec<f32>,
    ffn_norm: Vec<f32>,
    query_key_value: ExactMatrix,
    attention_output: ExactMatrix,
    gate_up: ExactMatrix,
    down: ExactMatrix,
    /// The way back; `None` below the first block with adapters.
    back: Option<BlockBack>,
}

/// The transposes of a block's matrices.
#[derive(Debug)]
struct BlockBack {
    query_key_value: ExactMatrix,
    attention_output: ExactMatrix,
    gate_up: ExactMatrix,
    down: ExactMatrix,
}

/// What the way back through a block needs of the way forth. Shapes are `[tokens, …]`.
#[derive(Debug)]
struct Tape {
    input: Vec<f32>,
    normed: Vec<f32>,
    inverses: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    /// Of each sequence and head.
    weights: Vec<Vec<f32>>,
    low_query: Vec<f32>,
    low_value: Vec<f32>,
    middle: Vec<f32>,
    middle_inverses: Vec<f32>,
    gate_up: Vec<f32>,
}

/// Texts of one step, one after the other.
#[derive(Debug)]
struct Packed {
    tokens: Vec<u32>,
    /// Where each text's tokens are.
    texts: Vec<Range<usize>>,
    /// Rows that have to say the next token, and which.
    targets: Vec<(usize, u32)>,
}

impl Packed {
    fn new(texts: &[&[u32]]) -> Self {
        let mut packed = Self { tokens: Vec::new(), texts: Vec::new(), targets: Vec::new() };
        for text in texts {
            let first = packed.tokens.len();
            packed.tokens.extend_from_slice(text);
            packed.texts.push(first..packed.tokens.len());
            packed.targets.extend(text.iter().skip(1).enumerate().map(|(place, next)| (first + place, *next)));
        }
        packed
    }
}

impl Frozen {
    /// `adapted` blocks from the last one down have adapters.
    pub(super) fn new(weights: DecoderWeights, exact: Exact, adapted: usize) -> Self {
        let DecoderWeights { shape, embedding, layers, output_norm, head } = weights;
        let first_adapted = shape.layers.saturating_sub(adapted);
        let blocks = layers.into_iter().enumerate();
        let layers = blocks.map(|(index, layer)| Block::new(&shape, layer, index >= first_adapted)).collect();
        let (vocab, width) = (shape.vocab, shape.width);
        let table = head.as_ref().unwrap_or(&embedding);
        let head = ExactMatrix::from_fn(vocab, width, |token, place| table[token * width + place]);
        let head_back = ExactMatrix::from_fn(width, vocab, |place, token| table[token * width + place]);
        let angles = parts::angles(shape.context, shape.head_size, shape.rope_base);
        Self { shape, exact, embedding, layers, output_norm, head, head_back, angles, first_adapted }
    }

    /// Sum of the losses of all tokens but each text's first, and how many these are.
    pub(super) fn loss(&self, places: &AdapterPlaces, parameters: &[f32], texts: &[&[u32]]) -> (f64, usize) {
        let packed = Packed::new(texts);
        let mut stream = self.embed(&packed.tokens);
        for (index, block) in self.layers.iter().enumerate() {
            self.forward(block, places.adapter(parameters, index, self.first_adapted), &packed, &mut stream, false);
        }
        (self.head(&stream, &packed, false).0, packed.targets.len())
    }

    /// Mean loss of all tokens but each text's first, and its gradient with respect to the adapters.
    pub(super) fn gradient(&self, places: &AdapterPlaces, parameters: &[f32], texts: &[&[u32]]) -> (f32, Vec<f32>) {
        let packed = Packed::new(texts);
        let mut stream = self.embed(&packed.tokens);
        let mut tapes = Vec::new();
        for (index, block) in self.layers.iter().enumerate() {
            let adapter = places.adapter(parameters, index, self.first_adapted);
            let tape = self.forward(block, adapter, &packed, &mut stream, block.back.is_some());
            tapes.extend(tape.zip(block.back.as_ref()).map(|(tape, back)| (index, block, back, tape)));
        }
        let (loss, mut slopes) = self.head(&stream, &packed, true);
        let mut gradient = vec![0.0; parameters.len()];
        for (index, block, back, tape) in tapes.into_iter().rev() {
            let Some(adapter) = places.adapter(parameters, index, self.first_adapted) else { break };
            slopes = self.backward(block, back, &adapter, &tape, &packed, slopes, &mut gradient);
        }
        ((loss / packed.targets.len().max(1) as f64) as f32, gradient)
    }

    fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        let width = self.shape.width;
        tokens.iter().flat_map(|token| self.embedding[*token as usize * width..][..width].iter().copied()).collect()
    }

    fn query_width(&self) -> usize {
        self.shape.heads * self.shape.head_size
    }

    fn kv_width(&self) -> usize {
        self.shape.kv_heads * self.shape.head_size
    }

    /// One block; `stream` becomes its output.
    fn forward(
        &self,
        block: &Block,
        adapter: Option<Adapter<'_>>,
        packed: &Packed,
        stream: &mut Vec<f32>,
        is_taped: bool,
    ) -> Option<Tape> {
        let (query_width, kv_width, epsilon) = (self.query_width(), self.kv_width(), self.shape.norm_epsilon);
        let (normed, inverses) = parts::norm(stream, &block.attention_norm, epsilon);
        let product = self.exact.product(&block.query_key_value, &normed);
        let [mut queries, mut keys, mut values] = split_rows(&product, [query_width, kv_width, kv_width]);
        let (mut low_query, mut low_value) = (Vec::new(), Vec::new());
        if let Some(adapter) = &adapter {
            low_query = adapter.query.forward(&normed, &mut queries);
            low_value = adapter.value.forward(&normed, &mut values);
        }
        self.rotate(packed, &mut queries, query_width, 1.0);
        self.rotate(packed, &mut keys, kv_width, 1.0);
        let mut attended = vec![0.0; queries.len()];
        let mut weights = Vec::new();
        self.for_heads(packed, |text, head, kv_head| {
            let cut = self.cut(text, head, kv_head, [&queries, &keys, &values]);
            let (answers, looks) = cut.head().attend();
            self.put(&answers, text, head, query_width, &mut attended);
            if is_taped {
                weights.push(looks);
            }
        });
        let input = std::mem::take(stream);
        let mut middle = self.exact.product(&block.attention_output, &attended);
        parts::add(&mut middle, &input);
        let (middle_normed, middle_inverses) = parts::norm(&middle, &block.ffn_norm, epsilon);
        let gate_up = self.exact.product(&block.gate_up, &middle_normed);
        *stream = self.exact.product(&block.down, &parts::swiglu(&gate_up, self.shape.hidden));
        parts::add(stream, &middle);
        is_taped.then_some(Tape {
            input,
            normed,
            inverses,
            queries,
            keys,
            values,
            weights,
            low_query,
            low_value,
            middle,
            middle_inverses,
            gate_up,
        })
    }

    /// From the slopes of a block's output to those of its input; adds to the adapter's gradient.
    #[expect(clippy::too_many_arguments, reason = "what a block's way back is made of")]
    fn backward(
        &self,
        block: &Block,
        back: &BlockBack,
        adapter: &Adapter<'_>,
        tape: &Tape,
        packed: &Packed,
        slopes: Vec<f32>,
        gradient: &mut [f32],
    ) -> Vec<f32> {
        let (query_width, kv_width) = (self.query_width(), self.kv_width());
        let inner = self.exact.product(&back.down, &slopes);
        let inner = parts::swiglu_back(&tape.gate_up, &inner, self.shape.hidden);
        let inner = self.exact.product(&back.gate_up, &inner);
        let mut middle = slopes;
        parts::norm_back(&tape.middle, &tape.middle_inverses, &block.ffn_norm, &inner, &mut middle);

        let attended = self.exact.product(&back.attention_output, &middle);
        let [mut queries, mut keys, mut values] =
            [&tape.queries, &tape.keys, &tape.values].map(|part| vec![0.0_f32; part.len()]);
        let mut looks = tape.weights.iter();
        self.for_heads(packed, |text, head, kv_head| {
            let cut = self.cut(text, head, kv_head, [&tape.queries, &tape.keys, &tape.values]);
            let answers = columns(&attended, text, head, self.shape.head_size, query_width);
            let weights = looks.next().map_or(&[][..], Vec::as_slice);
            let [query, key, value] = cut.head().attend_back(weights, &answers);
            self.put(&query, text, head, query_width, &mut queries);
            self.put(&key, text, kv_head, kv_width, &mut keys);
            self.put(&value, text, kv_head, kv_width, &mut values);
        });
        self.rotate(packed, &mut queries, query_width, -1.0);
        self.rotate(packed, &mut keys, kv_width, -1.0);

        let joined = join_rows([(&queries, query_width), (&keys, kv_width), (&values, kv_width)]);
        let mut normed = self.exact.product(&back.query_key_value, &joined);
        adapter.query.backward(&tape.normed, &tape.low_query, &queries, &mut normed, gradient);
        adapter.value.backward(&tape.normed, &tape.low_value, &values, &mut normed, gradient);
        parts::norm_back(&tape.input, &tape.inverses, &block.attention_norm, &normed, &mut middle);
        middle
    }

    /// Sum of the losses, and with `is_back` the slopes of their mean with respect to the stream.
    fn head(&self, stream: &[f32], packed: &Packed, is_back: bool) -> (f64, Vec<f32>) {
        let (width, vocab) = (self.shape.width, self.shape.vocab);
        let mut loss = 0.0_f64;
        let mut slopes = vec![0.0_f32; if is_back { stream.len() } else { 0 }];
        let count = packed.targets.len() as f32;
        for targets in packed.targets.chunks(LOGIT_ROWS) {
            let rows: Vec<f32> =
                targets.iter().flat_map(|(row, _)| stream[row * width..][..width].iter().copied()).collect();
            let (normed, inverses) = parts::norm(&rows, &self.output_norm, self.shape.norm_epsilon);
            let mut logits = self.exact.product(&self.head, &normed);
            let mut losses = vec![0.0_f64; targets.len()];
            // Each row's numbers, and behind them the place of its loss: rows are independent of each other.
            let mut work: Vec<(&mut [f32], &mut f64)> = logits.chunks_exact_mut(vocab).zip(&mut losses).collect();
            self.exact.for_each(&mut work, 1, |index, row| {
                for (logits, loss) in row {
                    **loss = said(logits, targets[index].1 as usize, is_back, count);
                }
            });
            losses.iter().for_each(|nats| loss += nats);
            if is_back {
                let normed_slopes = self.exact.product(&self.head_back, &logits);
                let mut row_slopes = vec![0.0; rows.len()];
                parts::norm_back(&rows, &inverses, &self.output_norm, &normed_slopes, &mut row_slopes);
                for ((row, _), slope) in targets.iter().zip(row_slopes.chunks_exact(width)) {
                    slopes[row * width..][..width].copy_from_slice(slope);
                }
            }
        }
        (loss, slopes)
    }

    /// Rotates each row by the place of its token in its text.
    fn rotate(&self, packed: &Packed, rows: &mut [f32], width: usize, turn: f32) {
        let half = self.shape.head_size / 2;
        for text in &packed.texts {
            let rows = rows[text.start * width..text.end * width].chunks_exact_mut(width);
            for (row, angles) in rows.zip(self.angles.chunks_exact(half)) {
                parts::rope(row, angles, turn);
            }
        }
    }

    /// Every head of every text, in order.
    fn for_heads(&self, packed: &Packed, mut work: impl FnMut(&Range<usize>, usize, usize)) {
        let group = self.shape.heads / self.shape.kv_heads;
        for text in &packed.texts {
            for head in 0..self.shape.heads {
                work(text, head, head / group);
            }
        }
    }

    fn cut(&self, text: &Range<usize>, head: usize, kv_head: usize, parts: [&[f32]; 3]) -> Cut {
        let (size, query_width, kv_width) = (self.shape.head_size, self.query_width(), self.kv_width());
        let [queries, keys, values] = parts;
        Cut {
            queries: columns(queries, text, head, size, query_width),
            keys: columns(keys, text, kv_head, size, kv_width),
            values: columns(values, text, kv_head, size, kv_width),
            size,
        }
    }

    /// Adds a head's rows to its columns of all rows: heads that share keys add up, in their order.
    fn put(&self, from: &[f32], text: &Range<usize>, head: usize, width: usize, to: &mut [f32]) {
        let size = self.shape.head_size;
        for (row, from) in text.clone().zip(from.chunks_exact(size)) {
            parts::add(&mut to[row * width + head * size..][..size], from);
        }
    }
}

/// One head's numbers of one text.
struct Cut {
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    size: usize,
}

impl Cut {
    fn head(&self) -> Head<'_> {
        Head { queries: &self.queries, keys: &self.keys, values: &self.values, size: self.size }
    }
}

impl Block {
    fn new(shape: &DecoderShape, layer: DecoderLayer, has_back: bool) -> Self {
        let (width, hidden) = (shape.width, shape.hidden);
        let (query_width, kv_width) = (shape.heads * shape.head_size, shape.kv_heads * shape.head_size);
        let DecoderLayer { query, key, value, attention_output, gate, up, down, attention_norm, ffn_norm } = layer;
        let query_key_value = [query, key, value].concat();
        let gate_up = [gate, up].concat();
        let rows = query_width + 2 * kv_width;
        let back = has_back.then(|| BlockBack {
            query_key_value: transposed(&query_key_value, rows, width),
            attention_output: transposed(&attention_output, width, query_width),
            gate_up: transposed(&gate_up, hidden * 2, width),
            down: transposed(&down, width, hidden),
        });
        Self {
            attention_norm,
            ffn_norm,
            query_key_value: matrix(&query_key_value, rows, width),
            attention_output: matrix(&attention_output, width, query_width),
            gate_up: matrix(&gate_up, hidden * 2, width),
            down: matrix(&down, width, hidden),
            back,
        }
    }
}

fn matrix(values: &[f32], rows: usize, columns: usize) -> ExactMatrix {
    ExactMatrix::from_fn(rows, columns, |row, column| values[row * columns + column])
}

fn transposed(values: &[f32], rows: usize, columns: usize) -> ExactMatrix {
    ExactMatrix::from_fn(columns, rows, |column, row| values[row * columns + column])
}

/// Loss of one row of logits; with `is_back` they become the slopes of the mean over `count` rows.
fn said(logits: &mut [f32], target: usize, is_back: bool, count: f32) -> f64 {
    let max = logits.iter().fold(f32::NEG_INFINITY, |max, logit| if *logit > max { *logit } else { max });
    let said = logits.get(target).copied().unwrap_or(f32::NEG_INFINITY) - max;
    let mut sum = 0.0_f64;
    for logit in logits.iter_mut() {
        *logit = exp(*logit - max);
        sum += f64::from(*logit);
    }
    if is_back {
        let inverse = (1.0 / sum) as f32;
        for (token, logit) in logits.iter_mut().enumerate() {
            let share = *logit * inverse;
            *logit = (if token == target { share - 1.0 } else { share }) / count;
        }
    }
    ln(sum) - f64::from(said)
}

/// One head's columns of a text's rows.
fn columns(rows: &[f32], text: &Range<usize>, head: usize, size: usize, width: usize) -> Vec<f32> {
    text.clone().flat_map(|row| rows[row * width + head * size..][..size].iter().copied()).collect()
}

/// The parts of all rows, each part for itself.
fn split_rows(rows: &[f32], widths: [usize; 3]) -> [Vec<f32>; 3] {
    let whole: usize = widths.iter().sum();
    let [first, second, third] = widths;
    let part = |start: usize, width: usize| {
        rows.chunks_exact(whole).flat_map(|row| row[start..][..width].iter().copied()).collect()
    };
    [part(0, first), part(first, second), part(first + second, third)]
}

/// [`split_rows`] back.
fn join_rows(parts: [(&[f32], usize); 3]) -> Vec<f32> {
    let [(first, first_width), (second, second_width), (third, third_width)] = parts;
    let rows = first.chunks_exact(first_width).zip(second.chunks_exact(second_width));
    let mut joined = Vec::with_capacity(first.len() + second.len() + third.len());
    for ((first, second), third) in rows.zip(third.chunks_exact(third_width)) {
        joined.extend_from_slice(first);
        joined.extend_from_slice(second);
        joined.extend_from_slice(third);
    }
    joined
}
