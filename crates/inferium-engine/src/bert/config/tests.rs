use super::Config;
use crate::LoadError;
use std::fs;
use std::path::PathBuf;

const ENCODER: &str = r#"{"model_type": "bert", "hidden_act": "gelu", "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 100, "max_position_embeddings": 32,
    "type_vocab_size": 2, "layer_norm_eps": 1e-12, "unknown": "ignored"}"#;
const SENTENCE: &str = r#"{"max_seq_length": 24, "do_lower_case": false}"#;
const MODULES: &str = r#"[{"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}]"#;
const POOLING: &str = r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#;

/// Reads a folder of these files, in one of which `from` is replaced.
fn read(name: &str, from: &str, to: &str) -> Result<Config, LoadError> {
    let folder: PathBuf = std::env::temp_dir().join(format!("inferium-config-{name}-{}", std::process::id()));
    fs::create_dir_all(folder.join("1_Pooling")).unwrap();
    let files = [
        ("config.json", ENCODER),
        ("sentence_bert_config.json", SENTENCE),
        ("modules.json", MODULES),
        ("1_Pooling/config.json", POOLING),
    ];
    let mut replaced = 0;
    for (file, text) in files {
        replaced += text.matches(from).count();
        fs::write(folder.join(file), text.replace(from, to)).unwrap();
    }
    assert!(replaced > 0, "nothing to replace");
    let config = Config::read(&folder);
    fs::remove_dir_all(&folder).unwrap();
    config
}

#[test]
fn a_sound_folder_is_read() {
    let config = read("sound", "24", "24").unwrap();
    assert_eq!((config.width, config.head_size(), config.context), (64, 32, 24));
    assert_eq!(config.norm_epsilon, 1e-12);
    // No text is longer than there are positions.
    assert_eq!(read("positions", "24", "512").unwrap().context, 32);
    assert_eq!(
        read("cut", "\"hidden_act\"", "\"position_embedding_type\": \"absolute\", \"hidden_act\"").unwrap(),
        config
    );
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let cases = [
        ("\"bert\"", "\"roberta\"", "roberta"),
        ("\"gelu\"", "\"relu\"", "relu"),
        ("\"hidden_act\"", "\"position_embedding_type\": \"relative_key\", \"hidden_act\"", "relative_key"),
        ("\"do_lower_case\": false", "\"do_lower_case\": true", "lower case"),
        ("\"pooling_mode_mean_tokens\": true", "\"pooling_mode_mean_tokens\": false", "pooling"),
        ("\"pooling_mode_cls_token\": false", "\"pooling_mode_cls_token\": true", "pooling"),
        ("models.Normalize", "models.Dense", "Dense"),
        ("\"hidden_size\": 64", "\"hidden_size\": 72", "72"),
        ("\"intermediate_size\": 128", "\"intermediate_size\": 0", "multiples"),
        ("\"num_attention_heads\": 2", "\"num_attention_heads\": 0", "0 heads"),
        ("\"num_attention_heads\": 2", "\"num_attention_heads\": 3", "3 heads"),
        ("\"num_attention_heads\": 2", "\"num_attention_heads\": 8", "8 heads"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", "no layers"),
        ("1e-12", "0", "epsilon"),
        ("1e-12", "-1e-5", "epsilon"),
    ];
    for (index, (from, to, reason)) in cases.into_iter().enumerate() {
        let error = read(&format!("refused-{index}"), from, to).unwrap_err();
        assert!(matches!(error, LoadError::Unsupported { .. }), "{to}: {error}");
        assert!(error.to_string().contains(reason), "{to}: {error}");
    }
}

#[test]
fn damaged_files_are_named() {
    let cases = [
        ("\"hidden_size\": 64,", "", "config.json", "hidden_size"),
        ("\"hidden_size\": 64", "\"hidden_size\": -1", "config.json", "-1"),
        ("\"max_seq_length\": 24", "\"max_seq_length\": \"long\"", "sentence_bert_config.json", "long"),
        ("\"1_Pooling\"", "\"../../etc\"", "etc/config.json", "open"),
        ("}]", "", "modules.json", "EOF"),
    ];
    for (index, (from, to, file, reason)) in cases.into_iter().enumerate() {
        let error = read(&format!("damaged-{index}"), from, to).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(reason), "{error}");
        assert!(!error.contains(".."), "{error}");
    }
}
