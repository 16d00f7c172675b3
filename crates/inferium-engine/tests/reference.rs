//! The engine against a second forward pass: textbook loops over dense f32 weights, nothing quantised but the file.
//!
//! The engine rounds activations to 8 bits, so logits differ by a few hundredths; the greedy choice must be the same almost
//! everywhere. 40 positions of English text, teacher-forced.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use candle_core::Device;
use candle_core::quantized::gguf_file::Content;
use common::{engine, model_path};
use inferium_engine::{Engine, LoadOptions, ReplayRequest};
use inferium_types::{SamplingParams, Shaping};
use std::fs::File;

const TEXT: &str = "The quick brown fox jumps over the lazy dog. Water boils at one hundred degrees, and the sun rises in \
    the east. Once upon a time there was a king who had three daughters.";
const WIDTH: usize = 576;
const HIDDEN: usize = 1536;
const HEADS: usize = 9;
const KV_HEADS: usize = 3;
const SIZE: usize = 64;
const LAYERS: usize = 30;

struct Dense {
    content: Content,
    file: File,
}

impl Dense {
    fn tensor(&mut self, name: &str) -> Vec<f32> {
        let tensor = self.content.tensor(&mut self.file, name, &Device::Cpu).unwrap();
        tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn part(&mut self, layer: usize, part: &str) -> Vec<f32> {
        self.tensor(&format!("blk.{layer}.{part}.weight"))
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

fn product(weights: &[f32], x: &[f32]) -> Vec<f32> {
    weights.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

fn norm(x: &[f32], weights: &[f32]) -> Vec<f32> {
    let scale = 1.0 / (dot(x, x) / x.len() as f32 + 1e-5).sqrt();
    x.iter().zip(weights).map(|(x, w)| x * scale * w).collect()
}

fn rotate(x: &mut [f32], position: usize) {
    for head in x.chunks_exact_mut(SIZE) {
        for (index, pair) in head.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let angle = position as f64 * 100_000_f64.powf(-(index as f64) * 2.0 / SIZE as f64);
            let (sin, cos) = (angle.sin() as f32, angle.cos() as f32);
            *pair = [pair[0] * cos - pair[1] * sin, pair[0] * sin + pair[1] * cos];
        }
    }
}

/// One head's answer for one position, from all positions up to it.
fn attend(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<f32> {
    let weights: Vec<f32> = keys.iter().map(|key| (dot(query, key) / 8.0).exp()).collect();
    let total: f32 = weights.iter().sum();
    (0..SIZE).map(|i| weights.iter().zip(values).map(|(w, value)| w * value[i]).sum::<f32>() / total).collect()
}

fn layer(dense: &mut Dense, index: usize, stream: &mut [Vec<f32>]) {
    let [q, k, v, o] = ["attn_q", "attn_k", "attn_v", "attn_output"].map(|part| dense.part(index, part));
    let [gate, up, down] = ["ffn_gate", "ffn_up", "ffn_down"].map(|part| dense.part(index, part));
    let [attention_norm, ffn_norm] = ["attn_norm", "ffn_norm"].map(|part| dense.part(index, part));
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (position, x) in stream.iter_mut().enumerate() {
        let normed = norm(x, &attention_norm);
        let (mut query, mut key) = (product(&q, &normed), product(&k, &normed));
        rotate(&mut query, position);
        rotate(&mut key, position);
        keys.push(key);
        values.push(product(&v, &normed));
        let mut attended = Vec::new();
        for (head, query) in query.chunks_exact(SIZE).enumerate() {
            let from = head / (HEADS / KV_HEADS) * SIZE;
            let part =
                |rows: &'_ [Vec<f32>]| rows.iter().map(|row| row[from..from + SIZE].to_vec()).collect::<Vec<_>>();
            let (keys, values) = (part(&keys), part(&values));
            let keys: Vec<&[f32]> = keys.iter().map(Vec::as_slice).collect();
            let values: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
            attended.extend(attend(query, &keys, &values));
        }
        x.iter_mut().zip(product(&o, &attended)).for_each(|(x, d)| *x += d);
        let normed = norm(x, &ffn_norm);
        let hidden: Vec<f32> = product(&gate, &normed)
            .iter()
            .zip(product(&up, &normed))
            .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
            .collect();
        assert_eq!(hidden.len(), HIDDEN);
        x.iter_mut().zip(product(&down, &hidden)).for_each(|(x, d)| *x += d);
    }
}

#[test]
fn greedy_choices_agree_with_a_textbook_forward_pass() {
    let engine = engine(LoadOptions::default());
    let tokens = engine.encode(TEXT).unwrap();
    let mut file = File::open(model_path()).unwrap();
    let content = Content::read(&mut file).unwrap();
    let mut dense = Dense { content, file };
    let embedding = dense.tensor("token_embd.weight");
    let mut stream: Vec<Vec<f32>> =
        tokens.iter().map(|&token| embedding[token as usize * WIDTH..][..WIDTH].to_vec()).collect();
    for index in 0..LAYERS {
        layer(&mut dense, index, &mut stream);
    }
    let output_norm = dense.tensor("output_norm.weight");
    let choices: Vec<u32> = stream
        .iter()
        .map(|x| {
            let logits = product(&embedding, &norm(x, &output_norm));
            (0..).zip(&logits).max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
        })
        .collect();

    let replay = ReplayRequest {
        prompt: tokens[..1].to_vec(),
        output: tokens[1..].to_vec(),
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        seed: [0; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: false,
    };
    let steps = engine.replay(replay).unwrap().blocking_recv().unwrap().unwrap();
    let agreed = steps.iter().zip(&choices).filter(|(step, choice)| step.token == **choice).count();
    let right = steps.iter().zip(&tokens[1..]).filter(|(step, token)| step.token == **token).count();
    assert!(agreed * 10 >= steps.len() * 9, "{agreed} of {} choices agree", steps.len());
    assert!(right * 4 >= steps.len(), "only {right} of {} tokens of plain English are predicted", steps.len());
}
