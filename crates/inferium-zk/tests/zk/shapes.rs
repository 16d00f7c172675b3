//! Proofs whose lists have other lengths than they should: what a hostile prover can write, and no flipped byte finds.

use std::collections::BTreeSet;

use inferium_zk::{Hiding, Proof, adversary, verify};
use serde_json::Value;

use super::{Case, case};

/// Paths of all lists and options, each kind of list once: indices do not count.
fn lists(value: &Value, path: &str, kind: &str, seen: &mut BTreeSet<String>, found: &mut Vec<String>) {
    let children: Vec<(String, String, &Value)> = match value {
        Value::Array(items) => {
            if seen.insert(kind.to_owned()) {
                found.push(path.to_owned());
            }
            // The first and the last of a list; of numbers there is nothing to go into.
            let ends = [0, items.len().saturating_sub(1)];
            let ends: BTreeSet<usize> = ends.into_iter().filter(|at| *at < items.len()).collect();
            ends.into_iter().map(|at| (format!("{path}/{at}"), format!("{kind}/*"), &items[at])).collect()
        }
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (format!("{path}/{name}"), format!("{kind}/{name}"), field)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (path, kind, child) in children {
        lists(child, &path, &kind, seen, found);
    }
}

/// Another proof in which one list is shorter, empty, longer, or much longer.
fn reshape(value: &Value, path: &str, how: usize) -> Option<Proof> {
    let mut value = value.clone();
    let items = value.pointer_mut(path)?.as_array_mut()?;
    match how {
        0 => drop(items.pop()),
        1 => items.clear(),
        2 => items.push(items.last()?.clone()),
        _ => {
            let last = items.last()?.clone();
            items.extend(std::iter::repeat_n(last, 70));
        }
    }
    adversary::assemble(&serde_json::from_value(value).ok()?)
}

fn reject_all(case: &Case) -> usize {
    let proof = case.proof();
    let value = serde_json::to_value(adversary::parts(&proof).unwrap()).unwrap();
    let again = adversary::assemble(&serde_json::from_value(value.clone()).unwrap()).unwrap();
    assert_eq!(again, proof, "the parts are the proof");
    let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
    lists(&value, "", "", &mut seen, &mut found);
    let mut tried = 0;
    for path in &found {
        for how in 0..4 {
            let Some(other) = reshape(&value, path, how).filter(|other| *other != proof) else { continue };
            assert!(verify(case.key.verifying_key(), &case.statement, &other).is_err(), "{path}, {how}");
            tried += 1;
        }
    }
    tried
}

#[test]
fn lists_of_other_lengths_are_rejected_without_a_panic() {
    for (hiding, least) in [(Hiding::Nothing, 40), (Hiding::Activations, 80)] {
        let tried = reject_all(&case("mlp-tiny", hiding));
        assert!(tried >= least, "{tried} shapes were tried, {hiding:?}");
    }
}
