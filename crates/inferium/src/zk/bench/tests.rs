use super::{MODELS, measure, table};
use crate::cli::{Hides, ZkBenchArgs};
use inferium_exact::SYNTHETIC_NAMES;
use serde_json::json;

fn arguments(hiding: Hides, openings: Option<u32>) -> ZkBenchArgs {
    ZkBenchArgs { models: Vec::new(), hiding, openings, proofs: 1, alone: true }
}

#[test]
fn a_model_is_measured_in_all_its_numbers() {
    let row = measure("mlp-tiny", &arguments(Hides::None, None)).unwrap();
    let keys: Vec<&str> = row.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["model", "params", "prove_s", "prove_cpu_s", "verify_ms", "proof_bytes", "peak_rss_mb", "hiding"];
    expected.sort_unstable();
    let mut found = keys.clone();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!((&row["model"], &row["params"], &row["hiding"]), (&json!("mlp-tiny"), &json!(217), &json!(false)));
    assert!(row["proof_bytes"].as_u64().unwrap() > 10_000 && row["verify_ms"].as_f64().unwrap() > 0.0);
    assert!(measure("none", &arguments(Hides::None, None)).is_err());
}

#[test]
fn the_measured_models_are_known_and_the_table_says_zero_knowledge_only_where_it_is() {
    assert!(MODELS.iter().all(|name| SYNTHETIC_NAMES.contains(name)));
    let row = |hiding: bool| {
        json!({"model": "m", "params": 7, "prove_s": 1.25, "prove_cpu_s": null, "verify_ms": 3.0, "proof_bytes": 1000,
               "peak_rss_mb": 12.0, "hiding": hiding})
    };
    let hiding = table(&[row(true)]);
    assert!(hiding.contains("zero-knowledge") && hiding.contains("1.25 s") && hiding.contains("unknown"), "{hiding}");
    let plain = table(&[row(false)]);
    assert!(plain.contains("succinct") && !plain.contains("zero-knowledge"), "{plain}");
}

#[test]
fn private_weights_are_measured_by_a_key_for_as_many_proofs() {
    let row = measure("mlp-tiny", &arguments(Hides::Activations, Some(2))).unwrap();
    assert_eq!((&row["openings"], &row["hiding"]), (&json!(6), &json!(true)));
    assert!(measure("mlp-tiny", &arguments(Hides::None, Some(2))).is_err(), "nothing would be hidden");
}
