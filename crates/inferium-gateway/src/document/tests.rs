//! Documents: what is written verifies, and no field of it can say anything else.

use super::{InvalidDocument, receipt_document, verify_document};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::bls12381::primitives::{group::Private, ops, variant::MinSig};
use inferium_types::{
    Amount, Certificate, ChainId, Digest, Event, FinishReason, GroupKey, Header, JobId, JobLeaf, JobRequest, JobResult,
    JobTotals, LeaseId, NetworkKey, Ppm, Price, ProfileId, PublicKey, Receipt, SamplingParams, SegmentId,
    SegmentOutcome, Usage, merkle_path, merkle_root,
};
use serde_json::{Value, json};

fn leaf(lease: LeaseId) -> JobLeaf {
    let request = JobRequest {
        job: JobId::new(Digest::sha256(b"job")),
        lease,
        sequence: 0,
        attempt: 0,
        input_commitment: Digest::sha256(b"input"),
        prompt_tokens: 3,
        tokens_max: 4,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    };
    let result = JobResult {
        request: request.digest(),
        output_commitment: Digest::sha256(b"output"),
        evidence_root: Digest::sha256(b"evidence"),
        usage: Usage { prompt_tokens: 3, completion_tokens: 4 },
        finish: FinishReason::Length,
    };
    JobLeaf { request, result }
}

/// A receipt, certified by a group key that the test holds.
fn receipt(settled: bool) -> (NetworkKey, Receipt) {
    let secret = Private::decode(Copying(&[7u8; 32][..])).unwrap();
    let mut group = [0; 96];
    group.copy_from_slice(&ops::compute_public::<MinSig>(&secret).encode());
    let chain = ChainId::new(Digest::sha256(b"chain"));
    let key = NetworkKey { chain, group: GroupKey::from_bytes(group) };
    let lease = LeaseId::new(Digest::sha256(b"lease"));
    let job = leaf(lease);
    let outcome = SegmentOutcome {
        segment: SegmentId::of_lease(lease, 0),
        lease,
        worker: PublicKey::from_bytes([1; 32]),
        gateway: PublicKey::from_bytes([2; 32]),
        profile: ProfileId::new(Digest::sha256(b"profile")),
        root: merkle_root(&[job.hash()]),
        totals: JobTotals { jobs: 1, prompt_tokens: 3, completion_tokens: 4 },
        price: Price { prompt_token: Amount::from_nano(5), completion_token: Amount::from_nano(6) },
        fee: Amount::from_nano(39),
        approvers: vec![PublicKey::from_bytes([3; 32]), PublicKey::from_bytes([4; 32])],
        replayed: Ppm::ONE,
        planted: None,
        to_worker: Amount::ZERO,
        to_each_approver: Amount::ZERO,
        settled,
    };
    let event = Event::SegmentApproved(outcome.clone());
    let header = Header {
        chain,
        height: 9,
        timestamp_ms: 1_234,
        parent: Digest::ZERO,
        state_root: Digest::ZERO,
        receipts_root: Event::root(std::slice::from_ref(&event)),
        body_root: Digest::ZERO,
        epoch: 0,
        view: 11,
        parent_view: 10,
        proposer: PublicKey::from_bytes([3; 32]),
        operations_root: Digest::ZERO,
        operations_start: 0,
        operations_end: 0,
    };
    let message = [&[0u8, 11, 10], header.digest().as_bytes().as_slice()].concat();
    let namespace = [key.consensus_namespace().as_slice(), b"_FINALIZE"].concat();
    let mut signature = [0; 48];
    signature.copy_from_slice(&ops::sign_message::<MinSig>(&secret, &namespace, &message).encode());
    let receipt = Receipt {
        job_path: merkle_path(&[job.hash()], 0).unwrap(),
        outcome_path: merkle_path(&[event.hash()], 0).unwrap(),
        certificate: Certificate { epoch: 0, view: 11, parent_view: 10, signature },
        job,
        outcome,
        headers: vec![header],
    };
    (key, receipt)
}

fn document(settled: bool) -> (NetworkKey, Value) {
    let (key, receipt) = receipt(settled);
    let facts = receipt.verify(&key).unwrap();
    (key, receipt_document(&receipt, &facts))
}

fn check(document: &Value, key: &NetworkKey) -> Result<(), InvalidDocument> {
    verify_document(&serde_json::to_vec(document).unwrap(), key).map(|_| ())
}

#[test]
fn document_verifies_as_written() {
    for (settled, status) in [(false, "final"), (true, "settled")] {
        let (key, document) = document(settled);
        assert_eq!(document["status"], status);
        assert_eq!(document["fee_nano"], 39);
        assert_eq!(document["finish"], "length");
        check(&document, &key).unwrap();
        let pretty = serde_json::to_vec_pretty(&document).unwrap();
        assert_eq!(verify_document(&pretty, &key).unwrap().fee, Amount::from_nano(39));
    }
}

#[test]
fn document_with_any_field_changed_or_removed_is_refused() {
    let (key, document) = document(false);
    let names: Vec<String> = document.as_object().unwrap().keys().cloned().collect();
    assert!(names.len() > 20);
    for name in names.iter().filter(|name| *name != "proof") {
        for other in [json!(null), json!("x"), json!(1_000_001), json!([]), json!({})] {
            let mut changed = document.clone();
            changed[name] = other;
            match check(&changed, &key) {
                Err(InvalidDocument::Field { field }) => assert_eq!(&field, name),
                found => panic!("{name}: {found:?}"),
            }
        }
        let mut shorter = document.clone();
        shorter.as_object_mut().unwrap().remove(name);
        assert!(matches!(check(&shorter, &key), Err(InvalidDocument::Field { field }) if field == *name));
    }
    let mut longer = document;
    longer["verified"] = json!(true);
    assert!(matches!(check(&longer, &key), Err(InvalidDocument::Field { field }) if field == "verified"));
}

#[test]
fn nested_values_count_too() {
    let (key, document) = document(false);
    let mut usage = document.clone();
    usage["usage"]["completion_tokens"] = json!(5);
    assert!(matches!(check(&usage, &key), Err(InvalidDocument::Field { field }) if field == "usage"));
    let mut more = document.clone();
    more["usage"]["cached_tokens"] = json!(0);
    assert!(matches!(check(&more, &key), Err(InvalidDocument::Field { field }) if field == "usage"));
    let mut swapped = document;
    swapped["approved_by"].as_array_mut().unwrap().reverse();
    assert!(matches!(check(&swapped, &key), Err(InvalidDocument::Field { field }) if field == "approved_by"));
}

#[test]
fn document_without_a_sound_proof_is_refused() {
    let (key, document) = document(false);
    for proof in [json!(null), json!(1), json!("xyz"), json!("abc")] {
        let mut changed = document.clone();
        changed["proof"] = proof;
        assert!(matches!(check(&changed, &key), Err(InvalidDocument::NoProof)));
    }
    let mut missing = document.clone();
    missing.as_object_mut().unwrap().remove("proof");
    assert!(matches!(check(&missing, &key), Err(InvalidDocument::NoProof)));
    let proof = document["proof"].as_str().unwrap().to_owned();
    for changed in [String::new(), proof[2..].to_owned(), format!("{proof}00")] {
        let mut document = document.clone();
        document["proof"] = json!(changed);
        assert!(matches!(check(&document, &key), Err(InvalidDocument::Receipt(_))));
    }
    let mut upper = document.clone();
    upper["proof"] = json!(proof.to_uppercase());
    assert!(matches!(check(&upper, &key), Err(InvalidDocument::Field { field }) if field == "proof"));
    let other = NetworkKey { chain: ChainId::new(Digest::ZERO), ..key };
    assert!(matches!(check(&document, &other), Err(InvalidDocument::Receipt(_))));
}

#[test]
fn what_is_no_json_is_refused() {
    let (key, document) = document(false);
    let text = document.to_string();
    for bytes in [b"".as_slice(), b"{", &text.as_bytes()[1..], &[text.as_bytes(), b"x"].concat()] {
        assert!(matches!(verify_document(bytes, &key), Err(InvalidDocument::Json(_))));
    }
    assert!(matches!(verify_document(b"[]", &key), Err(InvalidDocument::NoProof)));
}

/// A receipt is handed around as a file: whatever becomes of it, it says what it said, or nothing.
#[test]
fn damaged_documents_are_refused_or_say_the_same() {
    use inferium_fuzz::{Form, Memory, Outcome, Target};
    let (key, settled) = document(true);
    let (_, approved) = document(false);
    let known: Vec<_> =
        [&settled, &approved].map(|d| verify_document(&serde_json::to_vec(d).unwrap(), &key).unwrap()).into();
    let samples = [
        serde_json::to_vec(&settled).unwrap(),
        serde_json::to_vec_pretty(&approved).unwrap(),
        serde_json::to_vec(&json!({"proof": settled["proof"]})).unwrap(),
    ];
    // A value of JSON is larger than its text, and a claimed length is read a mebibyte at a time.
    let memory = Memory { fixed: 1_300_000, per_byte: 256 };
    let target = Target { name: "a receipt's document", form: Form::Text, cases: 1_500, memory };
    let tally = target.run(&samples, |bytes| match verify_document(bytes, &key) {
        Ok(facts) => {
            assert!(known.iter().any(|known| format!("{known:?}") == format!("{facts:?}")), "other facts");
            Outcome::Value
        }
        Err(_) => Outcome::Refused,
    });
    assert!(tally.unwrap().refused > 500);

    // Documents whose proof is damaged, and everything else with it.
    let (_, receipt) = receipt(true);
    let target = Target { name: "a document's proof", form: Form::Binary, ..target };
    let tally = target.run(&[inferium_types::encode(&receipt)], |bytes| {
        let mut document = settled.clone();
        document["proof"] = json!(hex::encode(bytes));
        match verify_document(&serde_json::to_vec(&document).unwrap(), &key) {
            Ok(_) => Outcome::Encodes(inferium_types::encode(&receipt)),
            Err(_) => Outcome::Refused,
        }
    });
    assert!(tally.unwrap().refused > 500);
}
