//! The embedder on the real model: near a second implementation, and the same bits however it is computed.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use common::{embedder, embedder_path};
use inferium_engine::{
    BertEmbedder, Embedder, EmbedderDeviation, EmbedderOptions, EngineError, LoadError, Tier, VectorReceiver,
};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A case of `vectors/embeddings.py`: the text, its tokens, its vector in 64-bit floats, and the SHA-256 of its canonical bits.
#[derive(Debug, Deserialize)]
struct Case {
    text: String,
    tokens: Vec<u32>,
    vector: Vec<f64>,
    bits: String,
}

fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("../vectors/all-minilm-l6-v2.json")).unwrap()
}

fn one_thread() -> EmbedderOptions {
    EmbedderOptions { threads: 1, ..EmbedderOptions::default() }
}

fn collect(mut receiver: VectorReceiver) -> Vec<Result<Vec<f32>, EngineError>> {
    std::iter::from_fn(|| receiver.blocking_recv()).map(|found| found.map(|vector| vector.values)).collect()
}

fn vectors(embedder: &dyn Embedder, texts: Vec<Vec<u32>>) -> Vec<Vec<f32>> {
    collect(embedder.embed(texts).unwrap()).into_iter().map(Result::unwrap).collect()
}

fn bits(vectors: &[Vec<f32>]) -> Vec<Vec<u32>> {
    vectors.iter().map(|vector| vector.iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn tokens_and_vectors_are_those_of_a_second_implementation() {
    let embedder = embedder(one_thread());
    let cases = cases();
    for case in &cases {
        assert_eq!(embedder.encode(&case.text).unwrap(), case.tokens, "{:?}", case.text);
    }
    assert!(cases.iter().any(|case| case.tokens.len() == 256), "no text fills the context");
    let found = vectors(&embedder, cases.iter().map(|case| case.tokens.clone()).collect());
    assert_eq!(found.len(), cases.len());
    for (case, found) in cases.iter().zip(&found) {
        assert_eq!(found.len(), 384);
        let largest = found.iter().zip(&case.vector).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        let cosine: f64 = found.iter().zip(&case.vector).map(|(a, b)| f64::from(*a) * b).sum();
        assert!(largest <= 1e-5, "{:?} is off by {largest:e}", case.text);
        assert!(cosine >= 0.99999, "{:?}: {cosine}", case.text);
    }
}

/// What sentence-transformers' own documentation shows for this model.
#[test]
fn similarities_are_the_published_ones() {
    let embedder = embedder(one_thread());
    let texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."];
    let found = vectors(&embedder, texts.iter().map(|text| embedder.encode(text).unwrap()).collect());
    let similarity = |a: usize, b: usize| found[a].iter().zip(&found[b]).map(|(a, b)| a * b).sum::<f32>();
    for (a, b, published) in [(0, 1, 0.6660), (0, 2, 0.1046), (1, 2, 0.1411), (2, 2, 1.0)] {
        assert!((similarity(a, b) - published).abs() < 6e-5, "{a} and {b}: {}", similarity(a, b));
    }
}

/// Pins every bit of the arithmetic to a second implementation of its rules: a change here is a new version of it.
#[test]
fn vectors_have_the_bits_that_the_rules_say() {
    let cases = cases();
    let found = vectors(&embedder(one_thread()), cases.iter().map(|case| case.tokens.clone()).collect());
    for (case, vector) in cases.iter().zip(&found) {
        let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(inferium_types::Digest::sha256(&bytes).to_string(), case.bits, "{:?}", case.text);
    }
    assert_eq!(found.len(), 14);
}

#[test]
fn every_tier_thread_count_order_and_batch_gives_the_same_bits() {
    let texts: Vec<Vec<u32>> = cases().into_iter().map(|case| case.tokens).collect();
    let alone = embedder(one_thread());
    let expected: Vec<Vec<u32>> =
        texts.iter().flat_map(|tokens| bits(&vectors(&alone, vec![tokens.clone()]))).collect();
    for tier in Tier::available() {
        for threads in [1, 2, 3] {
            let options = EmbedderOptions { threads, tier: Some(tier), ..EmbedderOptions::default() };
            let embedder = embedder(options);
            assert_eq!(embedder.model().kernel_tier, tier.name());
            assert_eq!(bits(&vectors(&embedder, texts.clone())), expected, "{tier}, {threads} threads");
            // Backwards, in calls that run at the same time, one of which goes away.
            let backwards: Vec<Vec<u32>> = texts.iter().rev().cloned().collect();
            let gone = embedder.embed(texts.clone()).unwrap();
            let calls: Vec<_> = backwards.chunks(3).map(|texts| embedder.embed(texts.to_vec()).unwrap()).collect();
            drop(gone);
            let mut found: Vec<Vec<f32>> = calls.into_iter().flat_map(collect).map(Result::unwrap).collect();
            found.reverse();
            assert_eq!(bits(&found), expected, "{tier}, {threads} threads, backwards");
        }
    }
}

#[test]
fn identity_is_pinned_and_depends_on_what_is_computed_only() {
    let one = embedder(one_thread());
    let model = one.model();
    assert_eq!((model.width, model.context_tokens, model.vocab_size), (384, 256, 30_522));
    let identity = [model.weights_root.to_string(), model.tokenizer_hash.to_string()];
    assert_eq!(
        identity,
        [
            "96c35a927f02b9aff933c7c808d6a71c7a300943527b41b361e99c4e4f5af6f3",
            "f8a6cc60de3abe95ce093e3042ce383b17c7b475143c63eda090d759530ba94d",
        ]
    );
    let other = embedder(EmbedderOptions { threads: 2, tier: Some(Tier::Scalar), max_texts: 3, ..one_thread() });
    let info = inferium_engine::EmbedderInfo { kernel_tier: one.model().kernel_tier.clone(), ..other.model().clone() };
    assert_eq!(&info, one.model());
    assert_eq!(one.model().name, "all-minilm-l6-v2");
    // The file with the weights stands for its folder.
    let by_file = BertEmbedder::load(&embedder_path().join("model.safetensors"), one_thread()).unwrap();
    assert_eq!(by_file.model(), one.model());
}

#[test]
fn a_cheat_that_skips_a_layer_is_plausible_and_found() {
    let deviation = EmbedderDeviation { skipped_layers: 1, ..EmbedderDeviation::default() };
    let (honest, cheat) = (embedder(one_thread()), embedder(EmbedderOptions { deviation, ..one_thread() }));
    assert_ne!(cheat.model().engine_build, honest.model().engine_build);
    assert_eq!(cheat.model().weights_root, honest.model().weights_root);
    let texts: Vec<Vec<u32>> = cases().into_iter().map(|case| case.tokens).collect();
    for (a, b) in vectors(&honest, texts.clone()).iter().zip(&vectors(&cheat, texts.clone())) {
        let similarity: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        assert!(a != b && similarity > 0.3, "{similarity}");
    }
    // No layer at all is still a vector: the mean of the embeddings.
    let deviation = EmbedderDeviation { skipped_layers: 7, ..EmbedderDeviation::default() };
    assert_eq!(vectors(&embedder(EmbedderOptions { deviation, ..one_thread() }), texts).len(), 14);
}

/// SPEC J8: on every machine the same, of every text another, and not what a cheat has that computes less.
#[test]
fn states_are_those_of_the_whole_pass() {
    let states = |options: EmbedderOptions| -> Vec<String> {
        let embedder = embedder(options);
        let mut found = embedder.embed(cases().into_iter().map(|case| case.tokens).collect()).unwrap();
        std::iter::from_fn(|| found.blocking_recv()).map(|vector| vector.unwrap().states.to_string()).collect()
    };
    let canonical = states(one_thread());
    let texts: std::collections::BTreeSet<Vec<u32>> = cases().into_iter().map(|case| case.tokens).collect();
    assert_eq!(canonical.iter().collect::<std::collections::BTreeSet<_>>().len(), texts.len());
    for tier in Tier::available() {
        assert_eq!(states(EmbedderOptions { tier: Some(tier), threads: 2, ..one_thread() }), canonical, "{tier}");
    }
    let deviation = EmbedderDeviation { skipped_layers: 1, ..EmbedderDeviation::default() };
    assert!(states(EmbedderOptions { deviation, ..one_thread() }).iter().zip(&canonical).all(|(a, b)| a != b));
    assert_eq!(canonical[0], "60b93d9cc32bb2c0bc60553511d164e09fbc89d0695cfa3595534a84c7228e71");
}

#[test]
fn limits_are_kept() {
    let embedder = embedder(EmbedderOptions { max_active: 1, max_queue: 2, max_texts: 200, ..one_thread() });
    let tokens = |text: &str| embedder.encode(text).unwrap();
    assert_eq!(embedder.embed(vec![]).unwrap_err(), EngineError::EmptyPrompt);
    assert_eq!(embedder.embed(vec![tokens("a"), vec![]]).unwrap_err(), EngineError::EmptyPrompt);
    let long = embedder.embed(vec![tokens(&"hello ".repeat(255))]).unwrap_err();
    assert_eq!(long, EngineError::TooLong { tokens: 257, context_tokens: 256 });
    assert_eq!(vectors(&embedder, vec![tokens(&"hello ".repeat(254))]).len(), 1);
    let unknown = embedder.embed(vec![vec![30_522]]).unwrap_err();
    assert_eq!(unknown, EngineError::UnknownToken { token: 30_522, vocab_size: 30_522 });
    assert_eq!(vectors(&embedder, vec![vec![30_521]]).len(), 1);
    let many = embedder.embed(vec![tokens("a"); 201]).unwrap_err();
    assert_eq!(many, EngineError::TooManyTexts { texts: 201, texts_max: 200 });

    // The longest call there is, and two that wait for it.
    let mut running = embedder.embed(vec![tokens(&"hello ".repeat(254)); 200]).unwrap();
    running.blocking_recv().unwrap().unwrap();
    let waiting: Vec<_> = (0..2).map(|_| embedder.embed(vec![tokens("a"); 200]).unwrap()).collect();
    assert_eq!(embedder.embed(vec![tokens("a")]).unwrap_err(), EngineError::Busy { queued: 2 });
    assert_eq!((embedder.load().active, embedder.load().queued), (1, 2));
    drop(running);
    assert_eq!(waiting.into_iter().map(|receiver| collect(receiver).len()).collect::<Vec<_>>(), [200, 200]);
    drop(embedder);
}

/// A copy of the model's folder, without the weights until a test writes them; removed at the end.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("inferium-embedder-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("1_Pooling")).unwrap();
        for file in
            ["config.json", "tokenizer.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"]
        {
            std::fs::copy(embedder_path().join(file), folder.join(file)).unwrap();
        }
        Self(folder)
    }

    fn with_weights(self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = std::fs::read(embedder_path().join("model.safetensors")).unwrap();
        change(&mut bytes);
        std::fs::write(self.0.join("model.safetensors"), bytes).unwrap();
        self
    }

    fn with_text(self, file: &str, from: &str, to: &str) -> Self {
        let text = std::fs::read_to_string(self.0.join(file)).unwrap();
        assert!(text.contains(from), "nothing to replace in {file}");
        std::fs::write(self.0.join(file), text.replace(from, to)).unwrap();
        self
    }

    fn load(&self) -> Result<BertEmbedder, LoadError> {
        BertEmbedder::load(&self.0, one_thread())
    }

    fn refused(&self, reason: &str) {
        let error = self.load().unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Replaces a text of the header of a safetensors file by one of the same length.
fn rename(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}

/// The bytes of a tensor's first number.
fn first_number<'a>(bytes: &'a mut [u8], tensor: &str) -> &'a mut [u8; 4] {
    let header = usize::try_from(u64::from_le_bytes(*bytes.first_chunk().unwrap())).unwrap();
    let names: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let offset = usize::try_from(names[tensor]["data_offsets"][0].as_u64().unwrap()).unwrap();
    bytes[8 + header + offset..].first_chunk_mut().unwrap()
}

/// A tensor of the last layer.
const LAST: &str = "encoder.layer.5.output.LayerNorm.weight";

#[test]
fn missing_and_damaged_files_are_refused_with_a_reason() {
    let missing = BertEmbedder::load(Path::new("/nonexistent"), one_thread()).unwrap_err();
    assert!(matches!(missing, LoadError::Open { .. }), "{missing}");
    Copy::new("none").refused("cannot open");
    Copy::new("empty").with_weights(Vec::clear).refused("model.safetensors is damaged");
    Copy::new("cut").with_weights(|bytes| bytes.truncate(1_000_000)).refused("model.safetensors is damaged");
    Copy::new("header").with_weights(|bytes| bytes[7] = 0xFF).refused("model.safetensors is damaged");
    Copy::new("tensor")
        .with_weights(|bytes| rename(bytes, "encoder.layer.5.output.dense.bias", "encoder.layer.5.output.dense.bios"))
        .refused("no tensor `encoder.layer.5.output.dense.bias`");
    Copy::new("type")
        .with_weights(|bytes| rename(bytes, "\"F32\",\"shape\":[384]", "\"I32\",\"shape\":[384]"))
        .refused("is of type I32");
    Copy::new("nan").with_weights(|bytes| *first_number(bytes, LAST) = f32::NAN.to_le_bytes()).refused("not finite");
    Copy::new("layers")
        .with_weights(|_| ())
        .with_text("config.json", "\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7")
        .refused("no tensor `encoder.layer.6.");
    Copy::new("shape").with_weights(|_| ()).with_text("config.json", "1536", "3072").refused("has shape [1536, 384]");
    Copy::new("vocabulary").with_text("config.json", "30522", "30000").refused("30522 tokens, the model 30000");
    Copy::new("tokenizer").with_text("tokenizer.json", "\"WordPiece\",\"unk", "\"BPE\",\"unk").refused("`BPE`");
    Copy::new("context").with_text("sentence_bert_config.json", "256", "2").refused("texts of 2 tokens");
    Copy::new("json").with_text("config.json", "{", "").refused("config.json is damaged");
}

#[test]
fn a_changed_weight_or_setting_is_another_model() {
    let honest = embedder(one_thread());
    let changed = Copy::new("changed").with_weights(|bytes| first_number(bytes, LAST)[0] ^= 1);
    assert_ne!(changed.load().unwrap().model().weights_root, honest.model().weights_root);
    let pooler = Copy::new("pooler").with_weights(|bytes| first_number(bytes, "pooler.dense.weight")[0] ^= 1);
    // What is not computed with does not count.
    assert_eq!(pooler.load().unwrap().model().weights_root, honest.model().weights_root);
    let setting = Copy::new("setting").with_weights(|_| ()).with_text(
        "config.json",
        "\"num_attention_heads\": 12",
        "\"num_attention_heads\": 6",
    );
    assert_ne!(setting.load().unwrap().model().weights_root, honest.model().weights_root);
    let shorter = Copy::new("shorter").with_weights(|_| ()).with_text("sentence_bert_config.json", "256", "128");
    let shorter = shorter.load().unwrap();
    // Which texts have a vector at all belongs to the model: whoever reads fewer is another one.
    assert_eq!(shorter.model().context_tokens, 128);
    assert_ne!(shorter.model().weights_root, honest.model().weights_root);
}

#[test]
fn a_text_whose_numbers_leave_the_range_of_floats_is_an_error() {
    let copy = Copy::new("large").with_weights(|bytes| *first_number(bytes, LAST) = 1e30_f32.to_le_bytes());
    let embedder = copy.load().unwrap();
    let tokens = embedder.encode("a").unwrap();
    assert_eq!(collect(embedder.embed(vec![tokens; 2]).unwrap()), [Err(EngineError::NotFinite)]);
}

#[test]
fn a_dropped_receiver_cancels_and_a_dropped_embedder_ends() {
    let embedder = embedder(EmbedderOptions { max_active: 1, ..one_thread() });
    let long = vec![embedder.encode(&"hello ".repeat(254)).unwrap(); 2048];
    let mut cancelled = embedder.embed(long.clone()).unwrap();
    cancelled.blocking_recv().unwrap().unwrap();
    drop(cancelled);
    // A minute's work stood before this one.
    assert_eq!(vectors(&embedder, vec![vec![101, 102]]).len(), 1);
    let mut unfinished = embedder.embed(long).unwrap();
    unfinished.blocking_recv().unwrap().unwrap();
    drop(embedder);
    let rest = collect(unfinished);
    assert!(rest.len() < 2047 && rest.last() == Some(&Err(EngineError::Stopped)), "{} results", rest.len());
}

/// The sentences of pairs that `models/exact/minilm` has, none of which the model is fitted to.
fn sentences() -> Vec<String> {
    let pairs = include_str!("../../../models/exact/minilm/pairs.tsv").lines().filter(|line| !line.starts_with("# "));
    pairs.flat_map(|line| line.split('\t').skip(1).map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn nearest(vectors: &[Vec<f32>], of: usize) -> usize {
    let others = (0..vectors.len()).filter(|other| *other != of);
    others.max_by(|a, b| cosine(&vectors[of], &vectors[*a]).total_cmp(&cosine(&vectors[of], &vectors[*b]))).unwrap()
}

#[test]
fn integers_give_the_float_models_directions_and_neighbours() {
    let calibration = include_str!("../../../models/exact/minilm/calibration.txt").lines();
    let calibration: Vec<String> =
        calibration.filter(|line| !line.is_empty() && !line.starts_with("# ")).map(str::to_owned).collect();
    let path = embedder_path();
    let path = if path.is_dir() { path } else { path.parent().unwrap().to_owned() };
    let files = BertEmbedder::compile_integers(&path, "integers", &calibration).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("integers");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in &files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let float = embedder(one_thread());
    let [one, two] = [1, 2]
        .map(|threads| BertEmbedder::load_integers(&folder, &EmbedderOptions { threads, ..one_thread() }).unwrap());
    assert_eq!((one.model(), one.model().width, one.model().context_tokens), (two.model(), 384, 256));
    let texts = |texts: &[String]| texts.iter().map(|text| float.encode(text).unwrap()).collect::<Vec<_>>();
    let tested = texts(&sentences());
    assert_eq!(tested.len(), 120);
    let (exact, expected) = (vectors(&one, tested.clone()), vectors(&float, tested.clone()));
    assert_eq!(bits(&exact), bits(&vectors(&two, tested)), "threads don't show");
    let cosines: Vec<f64> = exact.iter().zip(&expected).map(|(exact, float)| cosine(exact, float)).collect();
    let mean = cosines.iter().sum::<f64>() / 120.0;
    assert!(mean >= 0.999 && cosines.iter().all(|cosine| *cosine >= 0.99), "{mean}: {cosines:?}");
    let same = (0..exact.len()).filter(|of| nearest(&exact, *of) == nearest(&expected, *of)).count();
    assert!(same >= 114, "of {same} of 120 sentences the nearest is the same");
    // Texts as long as the model reads, and of other kinds.
    let cases: Vec<Vec<u32>> = cases().into_iter().map(|case| case.tokens).collect();
    let found = vectors(&one, cases.clone()).into_iter().zip(vectors(&float, cases));
    for (exact, float) in found {
        let cosine = cosine(&exact, &float);
        assert!(cosine >= 0.99, "{cosine}");
    }
}
