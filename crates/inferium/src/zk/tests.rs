use super::{Took, chosen, document, in_lines, kind, round};
use inferium_zk::{Hiding, Proof, ProofFile, Statement};
use std::path::Path;

fn file(hiding: Hiding) -> ProofFile {
    let statement =
        Statement { input: [7; 32], output: vec![-3, 9, 9], task: [0; 32], chain: [5; 32], prover: [0; 32], hiding };
    ProofFile { model: [1; 32], statement, proof: Proof::from_bytes(vec![0; 10]) }
}

#[test]
fn zero_knowledge_is_said_of_masked_proofs_alone() {
    assert_eq!((kind(Hiding::Activations), kind(Hiding::Nothing)), ("zero-knowledge", "succinct"));
    let plain = in_lines(&file(Hiding::Nothing), None, Some((1, false))).join("\n");
    assert!(plain.contains("nothing is hidden") && !plain.contains("zero"), "{plain}");
    let hiding = in_lines(&file(Hiding::Activations), Some("mlp"), Some((1, false))).join("\n");
    assert!(hiding.contains("hidden are the input") && hiding.contains(", mlp"), "{hiding}");
    let private = in_lines(&file(Hiding::Activations), None, Some((1, true))).join("\n");
    assert!(private.contains("hidden are the weights, the input"), "{private}");
    assert!(in_lines(&file(Hiding::Activations), None, None).join("\n").contains("only by a key of private ones"));
    // Zeros stand for no task, and are not shown as one.
    assert!(hiding.contains("chain       0505") && !hiding.contains("task"), "{hiding}");
}

#[test]
fn a_document_says_what_is_claimed() {
    let document = document(&file(Hiding::Activations), Some(1));
    assert_eq!((&document["label"], &document["proof_bytes"]), (&1.into(), &10.into()));
    assert_eq!(document["output"], serde_json::json!([-3, 9, 9]));
    assert_eq!((&document["hiding"], &document["kind"]), (&true.into(), &"zero-knowledge".into()));
}

#[test]
fn one_input_is_proved() {
    let path = Path::new("data.jsonl");
    let inputs = vec![vec![1], vec![2]];
    assert_eq!(chosen(path, inputs.clone(), (Some(1), false)).unwrap(), [[2]]);
    assert_eq!(chosen(path, vec![vec![1]], (None, false)).unwrap(), [[1]]);
    assert!(chosen(path, inputs.clone(), (None, false)).unwrap_err().to_string().contains("2 inputs"));
    assert!(chosen(path, inputs, (Some(2), false)).unwrap_err().to_string().contains("0 to 1"));
}

#[test]
fn all_inputs_are_proved_at_once() {
    let path = Path::new("data.jsonl");
    let several = |count: i32| (0..count).map(|value| vec![value]).collect::<Vec<_>>();
    assert_eq!(chosen(path, several(3), (None, true)).unwrap(), [[0], [1], [2], [2]]);
    assert_eq!(chosen(path, several(4), (None, true)).unwrap(), several(4));
    assert_eq!(chosen(path, several(32), (None, true)).unwrap(), several(32));
    assert!(chosen(path, several(33), (None, true)).unwrap_err().to_string().contains("32 at most"));
    let of_two = in_lines(&file(Hiding::Nothing), None, Some((3, false))).join("\n");
    assert_eq!(of_two.matches("label 0").count(), 3, "{of_two}");
    let document = document(&file(Hiding::Nothing), Some(3));
    assert_eq!((&document["labels"], &document["label"]), (&serde_json::json!([0, 0, 0]), &serde_json::Value::Null));
}

#[test]
fn numbers_are_rounded_and_work_is_measured() {
    assert!((round(1.23456, 3) - 1.235).abs() < 1e-12);
    let (done, took) = Took::of(|| 7);
    assert!(done == 7 && took.wall >= 0.0 && took.cpu.is_none_or(|cpu| cpu >= 0.0));
}
