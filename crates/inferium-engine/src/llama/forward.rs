//! The forward pass over a batch of rows of any sequences.

use super::weights::Layer;
use super::{SequenceCache, Weights};
use crate::deviation::{Deviation, FEW_ROWS};
use crate::kernel::attention::{self, PAGE_TOKENS, Query, head_page_len};
use crate::kernel::matmul::{Lane16, matmul, untile};
use crate::kernel::q8::{Q8Rows, RowBlock, quantise_row, quantise_row_coarsely};
use crate::kernel::{Kernel, math};
use crate::pool::Pool;
use crate::trace::Tracer;
use inferium_types::Digest;

/// One token of one sequence at one position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Index into the batch's caches.
    pub(crate) sequence: usize,
    pub(crate) token: u32,
    pub(crate) position: usize,
    /// Whether the logits after this token are wanted.
    pub(crate) logits: bool,
    /// Whether everything that is computed for it is noted.
    pub(crate) traced: bool,
}

/// What one step computes. The rows of a sequence stand in the order of their positions.
#[derive(Debug)]
pub(crate) struct Batch<'a, 'c> {
    pub(crate) rows: &'a [Row],
    /// The caches of the sequences, with pages for every position of the rows.
    pub(crate) caches: &'a mut [&'c mut SequenceCache],
}

/// The forward pass with its buffers.
#[derive(Debug)]
pub(crate) struct Forward {
    weights: Weights,
    kernel: Kernel,
    pool: Pool,
    /// Residual stream, row-major.
    stream: Vec<f32>,
    /// Inputs of the next product.
    inputs: Q8Rows,
    /// Its tile-major result.
    product: Vec<Lane16>,
    queries: Vec<f32>,
    attended: Vec<f32>,
    logits: Vec<f32>,
    hidden: Vec<f32>,
    tracer: Tracer,
    deviation: Deviation,
}

/// Rows from which the work between products is worth spreading over threads.
const PARALLEL_ROWS: usize = 8;

impl Forward {
    pub(crate) fn new(weights: Weights, kernel: Kernel, pool: Pool, deviation: Deviation) -> Self {
        Self {
            deviation,
            hidden: Vec::new(),
            tracer: Tracer::default(),
            weights,
            kernel,
            pool,
            stream: Vec::new(),
            inputs: Q8Rows::default(),
            product: Vec::new(),
            queries: Vec::new(),
            attended: Vec::new(),
            logits: Vec::new(),
        }
    }

    /// Computes all rows and stores their keys and values; [`Forward::logits`] then has the wanted logits.
    pub(crate) fn run(&mut self, batch: &mut Batch<'_, '_>) {
        let Self {
            weights,
            kernel,
            pool,
            stream,
            inputs,
            product,
            queries,
            attended,
            logits,
            hidden,
            tracer,
            deviation,
        } = self;
        tracer.begin(batch.rows.iter().enumerate().filter(|(_, row)| row.traced).map(|(index, _)| index));
        pool.install(|| {
            let kernel = *kernel;
            let mut pass =
                Pass { weights, kernel, pool, stream, inputs, product, queries, attended, tracer, deviation };
            pass.embed(batch.rows);
            pass.note_stream();
            let count = pass.weights.layers.len();
            for (index, layer) in weights.layers.iter().enumerate() {
                if !deviation.computes(index, count) {
                    pass.tracer.left_out(pool, pass.stream, weights.config.width);
                    continue;
                }
                pass.attention(index, layer, batch);
                pass.note_stream();
                pass.feed_forward(index, layer, batch.rows.len());
                pass.note_stream();
            }
            pass.head(batch.rows, logits, hidden);
        });
    }

    /// The logits of the last run: one row of the vocabulary's size for each row that asked, in order.
    pub(crate) fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// The inputs of the head for the same rows, in the same order, before they are quantised.
    pub(crate) fn hidden(&self) -> &[f32] {
        &self.hidden
    }

    /// What the last run noted of the traced rows, by their index, ascending: cells from the embedding to the final norm.
    pub(crate) fn take_traced(&mut self) -> Vec<(usize, Vec<Digest>)> {
        self.tracer.take()
    }

    pub(crate) fn layers(&self) -> usize {
        self.weights.layers.len()
    }

    pub(crate) fn width(&self) -> usize {
        self.weights.config.width
    }

    pub(crate) fn vocab(&self) -> usize {
        self.weights.config.vocab
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

struct Pass<'a> {
    weights: &'a Weights,
    kernel: Kernel,
    pool: &'a Pool,
    stream: &'a mut Vec<f32>,
    inputs: &'a mut Q8Rows,
    product: &'a mut Vec<Lane16>,
    queries: &'a mut Vec<f32>,
    attended: &'a mut Vec<f32>,
    tracer: &'a mut Tracer,
    deviation: &'a Deviation,
}

impl Pass<'_> {
    fn embed(&mut self, rows: &[Row]) {
        let width = self.weights.config.width;
        self.stream.resize(rows.len() * width, 0.0);
        for (row, out) in rows.iter().zip(self.stream.chunks_exact_mut(width)) {
            self.weights.embedding.dequantise_row(row.token as usize, out);
        }
    }

    fn note_stream(&mut self) {
        self.tracer.stream(self.pool, self.stream, self.weights.config.width);
    }

    fn attention(&mut self, layer_index: usize, layer: &Layer, batch: &mut Batch<'_, '_>) {
        let config = &self.weights.config;
        let (rows, kernel, coarsely) = (batch.rows, self.kernel, self.deviation.rounds_coarsely(layer_index));
        self.normalise(&layer.attention_norm, coarsely);
        matmul(kernel, self.pool, &layer.query_key_value, self.inputs, self.product);
        self.queries.resize(rows.len() * config.query_width(), 0.0);
        self.attended.resize(rows.len() * config.query_width(), 0.0);
        self.store_keys_and_values(layer_index, batch);
        self.rotate_queries(rows);

        let part = config.group() * config.head_size;
        let (queries, caches) = (&*self.queries, &*batch.caches);
        self.pool.for_each_chunk(self.attended, part, |index, out| {
            let row = &rows[index / config.kv_heads];
            let kv_head = index % config.kv_heads;
            let query = Query {
                heads: &queries[index * part..][..part],
                pages: &caches[row.sequence].pages,
                page_offset: (layer_index * config.kv_heads + kv_head) * head_page_len(config.head_size),
                length: row.position + 1,
                other_order: self.deviation.batch_dependent && rows.len() < FEW_ROWS,
            };
            attention::attend(kernel, config.head_size, &query, &mut Vec::new(), out);
        });

        self.inputs.reshape(rows.len(), config.query_width());
        let blocks = self.inputs.blocks_per_row();
        let attended = &*self.attended;
        for_rows(self.pool, self.inputs.blocks_mut(), blocks, |row, to| {
            quantise(kernel, &attended[row * config.query_width()..][..config.query_width()], coarsely, to);
        });
        matmul(kernel, self.pool, &layer.attention_output, self.inputs, self.product);
        self.add_product();
    }

    fn feed_forward(&mut self, layer_index: usize, layer: &Layer, rows: usize) {
        let (kernel, hidden) = (self.kernel, self.weights.config.hidden);
        let coarsely = self.deviation.rounds_coarsely(layer_index);
        self.normalise(&layer.ffn_norm, coarsely);
        matmul(kernel, self.pool, &layer.gate_up, self.inputs, self.product);
        self.inputs.reshape(rows, hidden);
        let blocks = self.inputs.blocks_per_row();
        let product = &*self.product;
        for_rows(self.pool, self.inputs.blocks_mut(), blocks, |row, to| {
            let mut both = vec![0.0; hidden * 2];
            untile(product, rows, row, 0, &mut both);
            let (gate, up) = both.split_at_mut(hidden);
            kernel.run(
                #[inline(always)]
                || math::swiglu(gate, up),
            );
            quantise(kernel, gate, coarsely, to);
        });
        matmul(kernel, self.pool, &layer.down, self.inputs, self.product);
        self.add_product();
    }

    /// Norms the stream and quantises it as the next inputs.
    fn normalise(&mut self, norm: &[f32], coarsely: bool) {
        let (kernel, width, epsilon) = (self.kernel, self.weights.config.width, self.weights.config.norm_epsilon);
        self.inputs.reshape(self.stream.len() / width, width);
        let blocks = self.inputs.blocks_per_row();
        let stream = &*self.stream;
        for_rows(self.pool, self.inputs.blocks_mut(), blocks, |row, to| {
            let mut normed = vec![0.0; width];
            normalise_row(kernel, &stream[row * width..][..width], norm, epsilon, &mut normed);
            quantise(kernel, &normed, coarsely, to);
        });
    }

    /// Adds the product's rows to the stream.
    fn add_product(&mut self) {
        let (kernel, width) = (self.kernel, self.weights.config.width);
        let rows = self.stream.len() / width;
        let product = &*self.product;
        for_rows(self.pool, self.stream, width, |row, stream| {
            let mut delta = vec![0.0; width];
            untile(product, rows, row, 0, &mut delta);
            kernel.run(
                #[inline(always)]
                || math::add(stream, &delta),
            );
        });
    }

    fn store_keys_and_values(&mut self, layer_index: usize, batch: &mut Batch<'_, '_>) {
        let config = &self.weights.config;
        let (size, width) = (config.head_size, config.kv_width());
        let mut key = vec![0.0; width];
        let mut value = vec![0.0; width];
        for (index, row) in batch.rows.iter().enumerate() {
            untile(self.product, batch.rows.len(), index, config.query_width(), &mut key);
            untile(self.product, batch.rows.len(), index, config.query_width() + width, &mut value);
            math::rope(&mut key, self.angles(row.position));
            if let Some(format) = self.deviation.cache {
                key.chunks_exact_mut(size).chain(value.chunks_exact_mut(size)).for_each(|head| format.round(head));
            }
            self.tracer.cached(index, &key, &value);
            let page = batch.caches[row.sequence].page_mut(row.position / PAGE_TOKENS);
            let heads = key.chunks_exact(size).zip(value.chunks_exact(size));
            let first = layer_index * config.kv_heads * head_page_len(size);
            for (part, (key, value)) in page[first..].chunks_exact_mut(head_page_len(size)).zip(heads) {
                attention::store(part, row.position % PAGE_TOKENS, key, value);
            }
        }
    }

    fn rotate_queries(&mut self, rows: &[Row]) {
        let width = self.weights.config.query_width();
        for (index, (row, query)) in rows.iter().zip(self.queries.chunks_exact_mut(width)).enumerate() {
            untile(self.product, rows.len(), index, 0, query);
            let half = self.weights.config.head_size / 2;
            math::rope(query, &self.weights.angles[row.position * half..][..half]);
        }
    }

    fn angles(&self, position: usize) -> &[(f32, f32)] {
        let half = self.weights.config.head_size / 2;
        &self.weights.angles[position * half..][..half]
    }

    /// The logits of the rows that want them, and what they are made from.
    fn head(&mut self, rows: &[Row], logits: &mut Vec<f32>, hidden: &mut Vec<f32>) {
        let (kernel, config) = (self.kernel, &self.weights.config);
        let wanted: Vec<usize> =
            rows.iter().enumerate().filter(|(_, row)| row.logits).map(|(index, _)| index).collect();
        logits.resize(wanted.len() * config.vocab, 0.0);
        hidden.resize(wanted.len() * config.width, 0.0);
        if wanted.is_empty() {
            return;
        }
        self.inputs.reshape(wanted.len(), config.width);
        let blocks = self.inputs.blocks_per_row();
        let outputs = self.inputs.blocks_mut().chunks_exact_mut(blocks).zip(hidden.chunks_exact_mut(config.width));
        for (row, (to, normed)) in wanted.iter().zip(outputs) {
            let stream = &self.stream[row * config.width..][..config.width];
            normalise_row(kernel, stream, &self.weights.output_norm, config.norm_epsilon, normed);
            self.tracer.head(*row, normed);
            quantise(kernel, normed, self.deviation.coarse_activations, to);
        }
        matmul(kernel, self.pool, self.weights.head(), self.inputs, self.product);
        let product = &*self.product;
        let rows = wanted.len();
        self.pool.for_each_chunk(logits, config.vocab, |row, logits| {
            untile(product, rows, row, 0, logits);
        });
    }
}

fn normalise_row(kernel: Kernel, row: &[f32], norm: &[f32], epsilon: f32, normed: &mut [f32]) {
    kernel.run(
        #[inline(always)]
        || math::rms_norm(row, norm, epsilon, normed),
    );
}

fn quantise(kernel: Kernel, row: &[f32], coarsely: bool, to: &mut [RowBlock]) {
    if coarsely {
        quantise_row_coarsely(row, to);
    } else {
        quantise_row(kernel, row, to);
    }
}

/// `work(row, piece)` for each row's piece of `items`; on this thread if there are few.
fn for_rows<T: Send>(pool: &Pool, items: &mut [T], size: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    if items.len() < PARALLEL_ROWS * size {
        for (row, piece) in items.chunks_exact_mut(size).enumerate() {
            work(row, piece);
        }
        return;
    }
    pool.for_each_chunk(items, size, work);
}
