//! What the float model answers: the usual arithmetic, plainly, to calibrate with and to compare with.

use super::range::Range;
use super::{FloatBert, Layer, Linear, Norm};
use crate::compile::CompileError;

/// Magnitudes of the tensors of one layer.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerRanges {
    pub(super) query: Range,
    pub(super) key: Range,
    pub(super) value: Range,
    pub(super) mixed: Range,
    pub(super) attended: Range,
    pub(super) attended_norm: Range,
    pub(super) inner: Range,
    pub(super) down: Range,
    pub(super) norm: Range,
}

/// Magnitudes of all tensors that the integer model has a scale for.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges {
    pub(super) norm: Range,
    pub(super) layers: Vec<LayerRanges>,
}

impl FloatBert {
    /// The embedding of a text: the mean of the last layer's rows, of length 1.
    ///
    /// # Errors
    /// [`CompileError::Calibration`] for no tokens, more than the longest sequence has, or unknown ones.
    pub fn embed(&self, tokens: &[i32]) -> Result<Vec<f32>, CompileError> {
        let rows = self.rows(tokens, &mut self.ranges())?;
        let mut sums = vec![0.0_f32; self.width];
        for row in rows.chunks_exact(self.width) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let length = sums.iter().map(|sum| f64::from(*sum).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        #[expect(clippy::cast_possible_truncation, reason = "numbers of a unit vector")]
        let unit = sums.iter().map(|sum| (f64::from(*sum) / length) as f32).collect();
        Ok(unit)
    }

    pub(super) fn ranges(&self) -> Ranges {
        Ranges { norm: Range::default(), layers: vec![LayerRanges::default(); self.layers.len()] }
    }

    /// The last layer's rows, position by position; what is seen on the way goes into `ranges`.
    pub(super) fn rows(&self, tokens: &[i32], ranges: &mut Ranges) -> Result<Vec<f32>, CompileError> {
        let width = self.width;
        let refused = |what: &str| CompileError::Calibration(what.to_owned());
        if tokens.is_empty() || tokens.len() > self.config.length as usize {
            return Err(refused("a sequence of no tokens, or of more than the longest has"));
        }
        let mut rows = Vec::with_capacity(tokens.len() * width);
        for (token, position) in tokens.iter().zip(self.positions.chunks_exact(width)) {
            let at = usize::try_from(*token).map_err(|_| refused("a token below zero"))?;
            let word = self.words.chunks_exact(width).nth(at).ok_or_else(|| refused("an unknown token"))?;
            rows.extend(word.iter().zip(position).map(|(word, position)| word + position));
        }
        self.normalise(&mut rows, &self.norm);
        ranges.norm.see(&rows);
        for (layer, ranges) in self.layers.iter().zip(&mut ranges.layers) {
            rows = self.layer(layer, &rows, ranges);
        }
        Ok(rows)
    }

    fn layer(&self, layer: &Layer, rows: &[f32], ranges: &mut LayerRanges) -> Vec<f32> {
        let query = linear(&layer.query, rows, self.width);
        let key = linear(&layer.key, rows, self.width);
        let value = linear(&layer.value, rows, self.width);
        let mixed = self.attend(&query, &key, &value);
        let mut sum = linear(&layer.attended, &mixed, self.width);
        ranges.query.see(&query);
        ranges.key.see(&key);
        ranges.value.see(&value);
        ranges.mixed.see(&mixed);
        ranges.attended.see(&sum);
        sum.iter_mut().zip(rows).for_each(|(sum, row)| *sum += row);
        self.normalise(&mut sum, &layer.attended_norm);
        ranges.attended_norm.see(&sum);
        let mut inner = linear(&layer.up, &sum, self.width);
        inner.iter_mut().for_each(|value| *value = gelu(f64::from(*value)) as f32);
        ranges.inner.see(&inner);
        let mut next = linear(&layer.down, &inner, layer.up.biases.len());
        ranges.down.see(&next);
        next.iter_mut().zip(&sum).for_each(|(next, sum)| *next += sum);
        self.normalise(&mut next, &layer.norm);
        ranges.norm.see(&next);
        next
    }

    fn attend(&self, query: &[f32], key: &[f32], value: &[f32]) -> Vec<f32> {
        let (width, size) = (self.width, self.width / self.config.heads.max(1) as usize);
        let scale = 1.0 / (size as f32).sqrt();
        let mut mixed = vec![0.0; query.len()];
        for (query, mixed) in query.chunks_exact(width).zip(mixed.chunks_exact_mut(width)) {
            for (head, (query, mixed)) in query.chunks_exact(size).zip(mixed.chunks_exact_mut(size)).enumerate() {
                let of_head = |rows: &'_ [f32]| -> Vec<f32> {
                    rows.chunks_exact(width).flat_map(|row| row.iter().skip(head * size).take(size)).copied().collect()
                };
                let (key, value) = (of_head(key), of_head(value));
                let scores: Vec<f32> = key.chunks_exact(size).map(|key| dot(query, key) * scale).collect();
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
                let total: f32 = powers.iter().sum();
                for (power, value) in powers.iter().zip(value.chunks_exact(size)) {
                    mixed.iter_mut().zip(value).for_each(|(mixed, value)| *mixed += power / total * value);
                }
            }
        }
        mixed
    }

    fn normalise(&self, rows: &mut [f32], norm: &Norm) {
        for row in rows.chunks_exact_mut(self.width) {
            let count = row.len() as f64;
            let mean = row.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
            let variance = row.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
            let factor = 1.0 / (variance + self.config.norm_epsilon).sqrt();
            for (value, (gain, bias)) in row.iter_mut().zip(norm.gains.iter().zip(&norm.biases)) {
                *value = ((f64::from(*value) - mean) * factor) as f32 * gain + bias;
            }
        }
    }
}

fn linear(linear: &Linear, rows: &[f32], inputs: usize) -> Vec<f32> {
    let of = |row: &[f32]| {
        let outputs = linear.weights.chunks_exact(inputs).zip(&linear.biases);
        outputs.map(|(weights, bias)| dot(weights, row) + bias).collect::<Vec<_>>()
    };
    rows.chunks_exact(inputs).flat_map(of).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a, b) = (a.chunks_exact(16), b.chunks_exact(16));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// `x · Φ(x)`, with the exact distribution function.
pub(super) fn gelu(x: f64) -> f64 {
    x * 0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// By the series `2/√π · e^(−x²) · Σ 2^n x^(2n+1) / (2n+1)!!`, whose terms are all of one sign.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    let mut odd = 1.0;
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    sum * (-x * x).exp() * 2.0 / std::f64::consts::PI.sqrt()
}
