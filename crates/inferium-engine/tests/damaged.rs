//! Damaged model files are refused with a reason, or are models: never a panic, nor memory that no file of their size asks for.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use inferium_engine::{
    BertEmbedder, Embedder as _, EmbedderOptions, Engine as _, EngineError, GenerateRequest, LlamaEngine, LoadError,
    LoadOptions,
};
use inferium_fuzz::{Form, Memory, Outcome, Target};
use inferium_types::{ChatMessage, SamplingParams, Shaping};
use safetensors::tensor::{Dtype, TensorView};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// A reader has a buffer of a mebibyte and the tables of tokens; the engine holds the weights once more, unpacked.
const MEMORY: Memory = Memory { fixed: 4 << 20, per_byte: 256 };
/// The least that the engine's blocks and heads have room for.
const WIDTH: usize = 32;

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("inferium-damaged-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("1_Pooling")).unwrap();
        Self(folder)
    }

    fn write(&self, file: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(file);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Small numbers that are not all the same.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 37 % 101) as f32 - 50.0) / 100.0).collect()
}

/// Letters, a space, a line's end and two special tokens.
fn spellings() -> Vec<String> {
    let letters = ('a'..='z').map(String::from);
    letters.chain(["Ġ", "Ċ", "ab", "<|im_start|>", "<|im_end|>"].map(String::from)).collect()
}

/// A model of one layer, with weights of two formats. `extra` metadata may replace what it has.
fn gguf(extra: &[(&str, Value)]) -> Vec<u8> {
    let tokens = spellings();
    let last = u32::try_from(tokens.len()).unwrap() - 1;
    let types = tokens.iter().map(|token| Value::I32(if token.starts_with("<|") { 3 } else { 1 }));
    let number = |value: usize| Value::U32(u32::try_from(value).unwrap());
    let text = |value: &str| Value::String(value.to_owned());
    let mut metadata = vec![
        ("general.architecture", text("llama")),
        ("general.name", text("tiny")),
        ("llama.block_count", number(1)),
        ("llama.context_length", number(64)),
        ("llama.embedding_length", number(WIDTH)),
        ("llama.feed_forward_length", number(WIDTH)),
        ("llama.attention.head_count", number(1)),
        ("llama.attention.head_count_kv", number(1)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("llama.rope.freq_base", Value::F32(10_000.0)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("smollm")),
        ("tokenizer.ggml.token_type", Value::Array(types.collect())),
        ("tokenizer.ggml.merges", Value::Array(vec![text("a b")])),
        ("tokenizer.ggml.bos_token_id", Value::U32(last - 1)),
        ("tokenizer.ggml.eos_token_id", Value::U32(last)),
        ("tokenizer.chat_template", text("{% for m in messages %}{{ m['role'] + ' ' + m['content'] }}{% endfor %}")),
        ("tokenizer.ggml.tokens", Value::Array(tokens.iter().map(|token| text(token)).collect())),
    ];
    metadata.retain(|(name, _)| extra.iter().all(|(other, _)| other != name));
    metadata.extend(extra.iter().map(|(name, value)| (*name, value.clone())));
    let tensor = |rows: Option<usize>, kind| {
        let tensor = match rows {
            Some(rows) => Tensor::from_vec(numbers(rows * WIDTH), (rows, WIDTH), &Device::Cpu),
            None => Tensor::from_vec(numbers(WIDTH), WIDTH, &Device::Cpu),
        };
        QTensor::quantize(&tensor.unwrap(), kind).unwrap()
    };
    let square = |name| (format!("blk.0.{name}.weight"), tensor(Some(WIDTH), GgmlDType::Q8_0));
    let norm = |name: &str| (name.to_owned(), tensor(None, GgmlDType::F32));
    let mut tensors = vec![("token_embd.weight".to_owned(), tensor(Some(tokens.len()), GgmlDType::F32))];
    tensors.extend(["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"].map(square));
    tensors.extend(["output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"].map(norm));
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(name, value)| (*name, value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut bytes = Cursor::new(Vec::new());
    gguf_file::write(&mut bytes, &metadata, &tensors).unwrap();
    bytes.into_inner()
}

fn load(path: &Path) -> Result<LlamaEngine, LoadError> {
    LlamaEngine::load(path, LoadOptions { threads: 1, kv_tokens: 64, ..LoadOptions::default() })
}

/// Two tokens of an answer: what loads also computes, or says why not.
fn answer(engine: &LlamaEngine) -> Result<usize, EngineError> {
    let prompt = engine.render_chat(&[ChatMessage { role: "a".to_owned(), content: "abc".to_owned() }])?;
    let sampling = SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 };
    let request = GenerateRequest {
        prompt,
        max_tokens: 2,
        sampling,
        seed: [0; 32],
        shaping: Shaping::default(),
        prefix_scope: None,
        measure: true,
    };
    let mut steps = engine.generate(request)?;
    let mut count = 0;
    while let Some(step) = steps.blocking_recv() {
        step?;
        count += 1;
    }
    Ok(count)
}

#[test]
fn damaged_gguf_files_are_refused_or_are_models() {
    let folder = Folder::new("gguf");
    let sample = gguf(&[]);
    let count = answer(&load(&folder.write("model.gguf", &sample)).expect("the sample is a model")).unwrap();
    assert!((1..=2).contains(&count));
    // Without the weights, most changes are of what the file says of them.
    let head = sample[..sample.len().min(2_600)].to_vec();
    let target = Target { name: "a GGUF file", form: Form::Binary, cases: 600, memory: MEMORY };
    let tally = target.run(&[sample.clone(), sample, head], |bytes| match load(&folder.write("model.gguf", bytes)) {
        Ok(engine) => {
            // An engine whose thread is gone has panicked.
            assert_ne!(answer(&engine), Err(EngineError::Stopped));
            Outcome::Value
        }
        Err(error) => {
            // Whatever `RUST_BACKTRACE` says: people get the reason only.
            assert!(!error.to_string().contains("candle_core::"), "{error}");
            Outcome::Refused
        }
    });
    let tally = tally.unwrap();
    assert!(tally.refused > 100 && tally.refused < tally.cases, "{tally:?}");
}

/// What the library that reads these files would divide by.
#[test]
fn an_alignment_of_nothing_is_refused() {
    let folder = Folder::new("alignment");
    for (alignment, is_read) in [(Value::U32(0), false), (Value::U8(0), false), (Value::U32(32), true)] {
        let loaded = load(&folder.write("model.gguf", &gguf(&[("general.alignment", alignment.clone())])));
        match loaded {
            Ok(_) => assert!(is_read, "{alignment:?}"),
            Err(error) => assert!(!is_read && error.to_string().contains("alignment"), "{error}"),
        }
    }
}

/// The files of an encoder of one layer, smallest widths.
fn encoder() -> Vec<(&'static str, Vec<u8>)> {
    const SIZE: usize = 16;
    let mut tensors = vec![
        ("embeddings.word_embeddings.weight".to_owned(), vec![6, SIZE]),
        ("embeddings.position_embeddings.weight".to_owned(), vec![8, SIZE]),
        ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, SIZE]),
        ("embeddings.LayerNorm.weight".to_owned(), vec![SIZE]),
        ("embeddings.LayerNorm.bias".to_owned(), vec![SIZE]),
    ];
    for part in [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
        "attention.output.LayerNorm",
        "output.LayerNorm",
    ] {
        let shape = if part.ends_with("Norm") { vec![SIZE] } else { vec![SIZE, SIZE] };
        tensors.push((format!("encoder.layer.0.{part}.weight"), shape));
        tensors.push((format!("encoder.layer.0.{part}.bias"), vec![SIZE]));
    }
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape)| {
            let bytes = numbers(shape.iter().product()).iter().flat_map(|x| x.to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views =
        data.iter().map(|(name, shape, bytes)| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let weights = safetensors::serialize(views, None).unwrap();
    let text = |value: serde_json::Value| value.to_string().into_bytes();
    let config = serde_json::json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": SIZE, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": SIZE, "vocab_size": 6, "max_position_embeddings": 8, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    });
    let tokenizer = serde_json::json!({
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [0]}, "[SEP]": {"id": "[SEP]", "ids": [1]}}},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": {"[CLS]": 0, "[SEP]": 1, "[UNK]": 2, "a": 3, "##b": 4, "c": 5}},
    });
    let modules = serde_json::json!([
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]);
    vec![
        ("model.safetensors", weights),
        ("config.json", text(config)),
        ("tokenizer.json", text(tokenizer)),
        ("modules.json", text(modules)),
        ("sentence_bert_config.json", text(serde_json::json!({"max_seq_length": 8, "do_lower_case": false}))),
        ("1_Pooling/config.json", text(serde_json::json!({"pooling_mode_mean_tokens": true}))),
    ]
}

#[test]
fn damaged_files_of_an_embedder_are_refused_or_are_models() {
    let (folder, files) = (Folder::new("bert"), encoder());
    let options = EmbedderOptions { threads: 1, ..EmbedderOptions::default() };
    for (file, bytes) in &files {
        folder.write(file, bytes);
    }
    BertEmbedder::load(&folder.0, options.clone()).expect("the sample is a model");
    for (file, sample) in &files {
        let form = if file.ends_with("json") { Form::Text } else { Form::Binary };
        let target = Target { name: file, form, cases: 250, memory: MEMORY };
        let tally = target.run(std::slice::from_ref(sample), |bytes| {
            folder.write(file, bytes);
            let Ok(embedder) = BertEmbedder::load(&folder.0, options.clone()) else { return Outcome::Refused };
            let vectors = embedder.encode("ab c").and_then(|tokens| embedder.embed(vec![tokens]));
            if let Ok(mut vectors) = vectors {
                // An engine whose thread is gone has panicked, or sends nothing.
                assert!(vectors.blocking_recv().is_some_and(|vector| vector != Err(EngineError::Stopped)), "{file}");
            }
            Outcome::Value
        });
        assert!(tally.unwrap().refused > 20, "{file}");
        folder.write(file, sample);
    }
}
