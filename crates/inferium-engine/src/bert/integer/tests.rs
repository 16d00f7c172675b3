use crate::{
    Audited, AuditedInput, BertEmbedder, Embedder, EmbedderDeviation, EmbedderOptions, EngineError, LoadError,
    MockEmbedder, TextVector, model as served,
};
use inferium_exact::{Model, Node, Op, Shape, direction, encode, model_id};
use inferium_types::{Digest, Embedding, JobAnswer, JobInput, JobOutput, TraceRoot};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const TOKENIZER: &str = r###"{
    "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}}},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9,
        "vocab": {"[UNK]": 0, "[CLS]": 1, "sea": 2, "hill": 3, "void": 4}}}"###;

/// Sums rows of five tokens, in texts of four.
fn model() -> Model {
    let tokens = vec![1, 1, 0, 2, 30, 0, 0, 40, 0, -2];
    let embedding = Op::Embedding { outputs: 2, tokens, positions: vec![0; 8] };
    let nodes = vec![Node { op: embedding, input: 0 }, Node { op: Op::SumPositions, input: 1 }];
    Model { name: "sums".into(), input: Shape { channels: 1, height: 1, width: 4 }, input_min: 0, input_max: 4, nodes }
}

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("inferium-integer-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write(folder: &Path, model: &Model) {
    std::fs::write(folder.join("model.ifx"), encode(model).unwrap()).unwrap();
    std::fs::write(folder.join("tokenizer.json"), TOKENIZER).unwrap();
}

fn load(model: &Model, threads: usize) -> Result<BertEmbedder, LoadError> {
    let folder = Folder::new();
    assert!(!BertEmbedder::has_integers(&folder.0));
    write(&folder.0, model);
    assert!(BertEmbedder::has_integers(&folder.0));
    BertEmbedder::load_integers(&folder.0, &EmbedderOptions { threads, ..EmbedderOptions::default() })
}

async fn embed(embedder: &BertEmbedder, texts: &[&str]) -> Vec<Result<TextVector, EngineError>> {
    let tokens = texts.iter().map(|text| embedder.encode(text).unwrap()).collect();
    let mut vectors = embedder.embed(tokens).unwrap();
    let mut all = Vec::new();
    while let Some(vector) = vectors.recv().await {
        all.push(vector);
    }
    all
}

#[tokio::test]
async fn texts_become_the_direction_of_the_models_integers() {
    let embedder = load(&model(), 2).unwrap();
    let vectors: Vec<_> =
        embed(&embedder, &["sea", "hill sea", "sea hill"]).await.into_iter().map(Result::unwrap).collect();
    // Of [CLS] and the words: (30, 2), then twice (30, 42).
    assert_eq!(vectors[0].values, direction(&[30, 2]).unwrap());
    assert_eq!(vectors[1].values, direction(&[30, 42]).unwrap());
    assert_eq!(vectors[1].values, vectors[2].values);
    assert_ne!(vectors[1].states, vectors[2].states, "what was computed on the way differs");
    let info = embedder.model();
    assert_eq!((info.width, info.context_tokens, info.vocab_size), (2, 4, 5));
    assert_eq!(info.weights_root.as_bytes(), &model_id(&model()));
}

#[tokio::test]
async fn threads_do_not_show() {
    let texts = ["sea", "hill", "hill hill sea", "sea sea", "rock"];
    let (one, three) = (load(&model(), 1).unwrap(), load(&model(), 3).unwrap());
    let of = embed(&one, &texts).await;
    assert_eq!(of.len(), texts.len());
    assert_eq!(of, embed(&three, &texts).await);
}

#[tokio::test]
async fn a_text_without_a_direction_has_no_vector() {
    let embedder = load(&model(), 1).unwrap();
    // (0, 2) of [CLS], and (0, -2).
    assert_eq!(embed(&embedder, &["void"]).await, [Err(EngineError::NotFinite)]);
}

#[test]
fn texts_longer_than_the_models_longest_are_refused() {
    let embedder = load(&model(), 1).unwrap();
    assert!(embedder.embed(vec![vec![1, 2, 2, 2]]).is_ok());
    let refused = embedder.embed(vec![vec![1, 2, 2, 2, 2]]).unwrap_err();
    assert_eq!(refused, EngineError::TooLong { tokens: 5, context_tokens: 4 });
    assert_eq!(embedder.embed(vec![vec![5]]).unwrap_err(), EngineError::UnknownToken { token: 5, vocab_size: 5 });
}

#[test]
fn what_is_no_integer_model_of_texts_is_refused_by_its_reason() {
    let dense = Op::Dense { outputs: 1, weights: vec![1, 1] };
    let other = Model {
        name: "sum".into(),
        input: Shape::vector(2),
        input_min: 0,
        input_max: 4,
        nodes: vec![Node { op: dense, input: 0 }],
    };
    let reason = |model: &Model| load(model, 1).unwrap_err().to_string();
    assert!(reason(&other).contains("something else than sequences"), "{}", reason(&other));
    let mut fewer = model();
    fewer.input_max = 3;
    let Op::Embedding { tokens, .. } = &mut fewer.nodes[0].op else { unreachable!() };
    tokens.truncate(8);
    assert!(reason(&fewer).contains("5 tokens, the model 4"), "{}", reason(&fewer));
    let mut short = model();
    short.input.width = 1;
    let Op::Embedding { positions, .. } = &mut short.nodes[0].op else { unreachable!() };
    positions.truncate(2);
    assert!(reason(&short).contains("texts of 1 tokens"), "{}", reason(&short));
    let folder = Folder::new();
    write(&folder.0, &model());
    std::fs::write(folder.0.join("model.ifx"), b"IFX\x01rest").unwrap();
    let damaged = BertEmbedder::load_integers(&folder.0, &EmbedderOptions::default()).unwrap_err();
    assert!(matches!(damaged, LoadError::Damaged { .. }), "{damaged}");
}

fn texts(texts: &[&str], tokens: &[Vec<u32>]) -> JobInput {
    JobInput::Embed { texts: texts.iter().map(|text| (*text).to_owned()).collect(), tokens: tokens.to_vec() }
}

#[test]
fn jobs_of_integers_hold_the_tokens_of_their_texts() {
    let served = served::Model::Embedder(Arc::new(load(&model(), 1).unwrap()));
    let mut input = texts(&["sea", "hill sea"], &[]);
    let refused = served.read(&input).unwrap_err();
    assert!(matches!(refused, EngineError::Text { .. }), "{refused}");
    served.fill_tokens(&mut input).unwrap();
    let tokens = vec![vec![1, 2], vec![1, 3, 2]];
    assert_eq!(input, texts(&["sea", "hill sea"], &tokens));
    assert_eq!(served.read(&input), Ok(served::Prompt::Texts(tokens.clone())));
    let other = [tokens[0].clone(), vec![1, 2, 3]];
    assert!(matches!(served.read(&texts(&["sea", "hill sea"], &other)), Err(EngineError::Text { .. })));
    assert!(matches!(served.read(&texts(&["sea", "hill sea"], &tokens[..1])), Err(EngineError::Text { .. })));
}

/// What evidence holds of a run is what an audit opens; one of other weights says that it is the same model.
#[tokio::test]
async fn runs_of_integers_can_be_opened() {
    let embedder = load(&dense(), 1).unwrap();
    let vectors: Vec<_> = embed(&embedder, &["sea", "hill sea"]).await.into_iter().map(Result::unwrap).collect();
    let folder = Folder::new();
    write(&folder.0, &dense());
    let deviation = EmbedderDeviation { bent_weights: true, ..EmbedderDeviation::default() };
    let options = EmbedderOptions { threads: 1, deviation, ..EmbedderOptions::default() };
    let bent = BertEmbedder::load_integers(&folder.0, &options).unwrap();
    assert_eq!(bent.model().weights_root, embedder.model().weights_root);
    assert_ne!(embed(&bent, &["hill sea"]).await[0].as_ref().unwrap().states, vectors[1].states);
    let served = served::Model::Embedder(Arc::new(embedder));
    let mut input = texts(&["sea", "hill sea"], &[]);
    served.fill_tokens(&mut input).unwrap();
    let audited = Audited::of(&served).unwrap();
    let inputs = audited.inputs(&input).unwrap();
    let answer = JobAnswer::Embeddings(vectors.iter().map(|vector| Embedding::new(&vector.values)).collect());
    let said = JobOutput { salt: [0; 32], answer }.said();
    for ((input, vector), said) in inputs.into_iter().zip(&vectors).zip(said) {
        let AuditedInput::Tokens(tokens) = &input else { panic!("tokens") };
        let length = tokens.len();
        assert_eq!(audited.run(input.clone()).await, Ok((Some(said), vector.states)));
        let audit = audited.audit(input).await.unwrap();
        assert_eq!((audit.said(), audit.trace().digest()), (Some(said), vector.states));
        assert_eq!((audit.trace().length as usize, audit.trace().before), (length, Digest::ZERO));
        let longer = TraceRoot { length: audit.trace().length + 1, ..audit.trace() };
        assert!(audit.fits(&audit.trace()) && !audit.fits(&longer));
    }
    let mock = MockEmbedder::new(crate::MockEmbedderOptions::default());
    assert!(Audited::of(&served::Model::Embedder(Arc::new(mock))).is_none());
}

/// [`model`] with a dense layer behind the embedding.
fn dense() -> Model {
    let mut model = model();
    model.nodes.truncate(1);
    model
        .nodes
        .push(Node { op: Op::Conv2d { outputs: 2, kernel: 1, padding: 0, weights: vec![2, 1, -1, 3] }, input: 1 });
    model.nodes.push(Node { op: Op::SumPositions, input: 2 });
    model
}
