//! The parts of a decoder's forward pass and their derivatives, all in single precision and in the order written.

use inferium_engine::exact::exp;

#[cfg(test)]
mod tests;

/// RMS norm of each row: `(x · (1 / √(Σx²/n + ε))) · w`, sums in order. Returns the rows and each row's inverse.
pub(super) fn norm(rows: &[f32], weight: &[f32], epsilon: f32) -> (Vec<f32>, Vec<f32>) {
    let width = weight.len();
    let mut out = Vec::with_capacity(rows.len());
    let mut inverses = Vec::with_capacity(rows.len() / width);
    for row in rows.chunks_exact(width) {
        let inverse = 1.0 / (dot(row, row) / width as f32 + epsilon).sqrt();
        out.extend(row.iter().zip(weight).map(|(x, w)| (x * inverse) * w));
        inverses.push(inverse);
    }
    (out, inverses)
}

/// Adds to `slopes` (of the rows) what `slopes_out` (of the normed rows) make of them.
pub(super) fn norm_back(rows: &[f32], inverses: &[f32], weight: &[f32], slopes_out: &[f32], slopes: &mut [f32]) {
    let width = weight.len();
    let all = rows.chunks_exact(width).zip(slopes_out.chunks_exact(width)).zip(slopes.chunks_exact_mut(width));
    for (((row, out), slopes), inverse) in all.zip(inverses) {
        let mut sum = 0.0_f32;
        for ((x, w), d) in row.iter().zip(weight).zip(out) {
            sum += (d * w) * x;
        }
        let pull = sum * (inverse * inverse * inverse) / width as f32;
        for (((slope, x), w), d) in slopes.iter_mut().zip(row).zip(weight).zip(out) {
            *slope += (d * w) * inverse - x * pull;
        }
    }
}

/// Scalar product in 16 lanes that are added at the end: lane `i mod 16` in order, then the lanes in order.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let mut sum = 0.0_f32;
    for lane in lanes {
        sum += lane;
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

/// `to = to + factor · from`.
pub(super) fn add_scaled(to: &mut [f32], factor: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// `to = to + from`.
pub(super) fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

/// `silu(gate) · up` of rows `[gate | up]`.
pub(super) fn swiglu(gate_up: &[f32], hidden: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(gate_up.len() / 2);
    for row in gate_up.chunks_exact(hidden * 2) {
        let (gate, up) = row.split_at(hidden);
        out.extend(gate.iter().zip(up).map(|(x, up)| (x / (1.0 + exp(-x))) * up));
    }
    out
}

/// Slopes of rows `[gate | up]` from those of [`swiglu`]'s rows.
pub(super) fn swiglu_back(gate_up: &[f32], slopes: &[f32], hidden: usize) -> Vec<f32> {
    let mut out = vec![0.0; gate_up.len()];
    let rows = gate_up.chunks_exact(hidden * 2).zip(slopes.chunks_exact(hidden)).zip(out.chunks_exact_mut(hidden * 2));
    for ((row, slopes), out) in rows {
        let (gate, up) = row.split_at(hidden);
        let (gate_out, up_out) = out.split_at_mut(hidden);
        let inputs = gate.iter().zip(up).zip(slopes);
        for ((gate_out, up_out), ((x, up), slope)) in gate_out.iter_mut().zip(up_out).zip(inputs) {
            let open = 1.0 / (1.0 + exp(-x));
            *gate_out = (slope * up) * (open * (1.0 + x * (1.0 - open)));
            *up_out = slope * (x * open);
        }
    }
    out
}

/// Cosine and sine of each position's angles, `head_size / 2` a position: in double precision, without the platform's library.
pub(super) fn angles(positions: usize, head_size: usize, base: f32) -> Vec<(f32, f32)> {
    let half = head_size / 2;
    let frequencies: Vec<f64> =
        (0..half).map(|i| libm::pow(f64::from(base), -2.0 * i as f64 / head_size as f64)).collect();
    (0..positions)
        .flat_map(|position| frequencies.iter().map(move |frequency| position as f64 * frequency))
        .map(|angle| (libm::cos(angle) as f32, libm::sin(angle) as f32))
        .collect()
}

/// Rotates the pairs `(2i, 2i+1)` of each head of a row; `turn` is 1, or −1 for back.
pub(super) fn rope(row: &mut [f32], angles: &[(f32, f32)], turn: f32) {
    for head in row.chunks_exact_mut(angles.len() * 2) {
        for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
            let ([a, b], sin) = (*pair, sin * turn);
            *pair = [a * cos - b * sin, a * sin + b * cos];
        }
    }
}

/// One head of one sequence: queries, keys, values, each `[tokens][size]`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) queries: &'a [f32],
    pub(super) keys: &'a [f32],
    pub(super) values: &'a [f32],
    pub(super) size: usize,
}

impl Head<'_> {
    fn factor(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    fn tokens(&self) -> usize {
        self.queries.len() / self.size
    }

    /// Answers `[tokens][size]`, and the weights `[tokens][tokens]` of each token's looks back.
    pub(super) fn attend(&self) -> (Vec<f32>, Vec<f32>) {
        let (tokens, factor) = (self.tokens(), self.factor());
        let mut weights = vec![0.0; tokens * tokens];
        let mut answers = vec![0.0; tokens * self.size];
        let rows = weights.chunks_exact_mut(tokens).zip(answers.chunks_exact_mut(self.size));
        for (token, ((weights, answer), query)) in rows.zip(self.queries.chunks_exact(self.size)).enumerate() {
            let mut max = f32::NEG_INFINITY;
            for (weight, key) in weights.iter_mut().zip(self.keys.chunks_exact(self.size)).take(token + 1) {
                *weight = dot(query, key) * factor;
                max = if *weight > max { *weight } else { max };
            }
            let mut sum = 0.0_f32;
            for weight in weights.iter_mut().take(token + 1) {
                *weight = exp(*weight - max);
                sum += *weight;
            }
            for (weight, value) in weights.iter_mut().zip(self.values.chunks_exact(self.size)).take(token + 1) {
                *weight /= sum;
                add_scaled(answer, *weight, value);
            }
        }
        (answers, weights)
    }

    /// Slopes of queries, keys and values from those of the answers.
    pub(super) fn attend_back(&self, weights: &[f32], slopes: &[f32]) -> [Vec<f32>; 3] {
        let (tokens, size, factor) = (self.tokens(), self.size, self.factor());
        let [mut queries, mut keys, mut values] = [0, 1, 2].map(|_| vec![0.0_f32; tokens * size]);
        let rows = weights.chunks_exact(tokens).zip(slopes.chunks_exact(size));
        let rows = rows.zip(self.queries.chunks_exact(size)).zip(queries.chunks_exact_mut(size));
        for (token, (((weights, slope), query), query_slope)) in rows.enumerate() {
            let weights = weights.get(..=token).unwrap_or_default();
            let mut pulls: Vec<f32> = Vec::with_capacity(weights.len());
            let mut mean = 0.0_f32;
            let backs = self.values.chunks_exact(size).zip(values.chunks_exact_mut(size));
            for (weight, (value, value_slope)) in weights.iter().zip(backs) {
                let pull = dot(slope, value);
                mean += weight * pull;
                pulls.push(pull);
                add_scaled(value_slope, *weight, slope);
            }
            let backs = self.keys.chunks_exact(size).zip(keys.chunks_exact_mut(size));
            for ((weight, pull), (key, key_slope)) in weights.iter().zip(&pulls).zip(backs) {
                let score = (weight * (pull - mean)) * factor;
                add_scaled(query_slope, score, key);
                add_scaled(key_slope, score, query);
            }
        }
        [queries, keys, values]
    }
}
