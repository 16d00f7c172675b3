use super::{Took, document, in_lines, kind, one, round};
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
    let plain = in_lines(&file(Hiding::Nothing), None).join("\n");
    assert!(plain.contains("nothing is hidden") && !plain.contains("zero"), "{plain}");
    let hiding = in_lines(&file(Hiding::Activations), Some("mlp")).join("\n");
    assert!(hiding.contains("hidden are the input") && hiding.contains(", mlp"), "{hiding}");
    // Zeros stand for no task, and are not shown as one.
    assert!(hiding.contains("chain       0505") && !hiding.contains("task"), "{hiding}");
}

#[test]
fn a_document_says_what_is_claimed() {
    let document = document(&file(Hiding::Activations));
    assert_eq!((&document["label"], &document["proof_bytes"]), (&1.into(), &10.into()));
    assert_eq!(document["output"], serde_json::json!([-3, 9, 9]));
    assert_eq!((&document["hiding"], &document["kind"]), (&true.into(), &"zero-knowledge".into()));
}

#[test]
fn one_input_is_proved() {
    let path = Path::new("data.jsonl");
    let inputs = vec![vec![1], vec![2]];
    assert_eq!(one(path, inputs.clone(), Some(1)).unwrap(), [2]);
    assert_eq!(one(path, vec![vec![1]], None).unwrap(), [1]);
    assert!(one(path, inputs.clone(), None).unwrap_err().to_string().contains("2 inputs"));
    assert!(one(path, inputs, Some(2)).unwrap_err().to_string().contains("0 to 1"));
}

#[test]
fn numbers_are_rounded_and_work_is_measured() {
    assert!((round(1.23456, 3) - 1.235).abs() < 1e-12);
    let (done, took) = Took::of(|| 7);
    assert!(done == 7 && took.wall >= 0.0 && took.cpu.is_none_or(|cpu| cpu >= 0.0));
}
