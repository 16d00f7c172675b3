//! What is told of a proof, and to whom.

use super::*;
use inferium_exact::synthetic;
use inferium_types::{ChainId, LeaseId};

fn job(name: &str) -> JobId {
    JobId::new(Digest::sha256(name.as_bytes()))
}

fn record(state: ProofState) -> ProofRecord {
    let tensor = synthetic("mlp-tiny").unwrap().unwrap().1;
    let tensor = tensor.into_iter().map(|element| i16::try_from(element).unwrap()).collect();
    ProofRecord {
        payer: Digest::ZERO,
        created_at_ms: 5_999,
        model: "digits".into(),
        prover: ProfileId::new(Digest::ZERO),
        input: ProvingInput { job: job("answer"), tensors: vec![tensor], seed: [7; 32], hides: true },
        inputs: 1,
        state,
        rejected: 1,
        waits: Some("a worker that proves".into()),
    }
}

fn proof_job() -> ProofJob {
    ProofJob { job: job("proof"), took_ms: 321, cost: Amount::from_nano(409_700), size: 9, digest: Digest::ZERO }
}

#[test]
fn a_proof_stands_where_its_job_does() {
    let of = |state, standing| status(&record(state), standing);
    assert_eq!(of(ProofState::Queued, None), "queued");
    assert_eq!(of(ProofState::Failed("why".into()), None), "failed");
    assert_eq!(of(ProofState::Claimed(proof_job()), Some(Standing::Provisional)), "provisional");
    assert_eq!(of(ProofState::Approved(proof_job()), Some(Standing::Final)), "final");
    assert_eq!(of(ProofState::Approved(proof_job()), Some(Standing::Settled)), "settled");
    // What was approved and found wrong later is not shown as approved.
    assert_eq!(of(ProofState::Approved(proof_job()), Some(Standing::Rejected)), "rejected");
}

/// SPEC J2: what opens the input, and what was answered, is for who pays.
#[test]
fn everybody_sees_that_something_was_proved_and_who_pays_what() {
    let record = record(ProofState::Approved(proof_job()));
    let prover = inferium_engine::Prover::new(synthetic("mlp-tiny").unwrap().unwrap().0, ChainId::new(Digest::ZERO));
    let proof = prover.unwrap().prove(&record.input, LeaseId::new(Digest::ZERO)).unwrap();
    let public = brief(false, record.input.job, &record, Some(Standing::Final));
    assert_eq!(
        (&public["hides"], &public["took_ms"], &public["created"]),
        (&json!("activations"), &json!(321), &json!(5))
    );
    assert_eq!(public["receipt_url"], json!(format!("/v1/receipts/{}", job("proof"))));
    for secret in ["seed", "statement", "waits", "error", "file_url"] {
        assert!(!public.contains_key(secret), "{secret}");
    }
    let own = details(record.input.job, &record, Some(&proof));
    assert_eq!(own["seed"], json!("07".repeat(32)));
    assert_eq!(own["statement"]["task"], json!(record.input.job.to_string()));
    assert_eq!(own["statement"]["output"].as_array().unwrap().len(), 3);
    let queued = details(record.input.job, &self::record(ProofState::Queued), None);
    assert_eq!((&queued["statement"], &queued["file_url"]), (&Value::Null, &Value::Null));
    let failed = details(record.input.job, &self::record(ProofState::Failed("no room".into())), None);
    assert_eq!(failed["error"], json!("no room"));
}

/// Of each classifier its own, and of others none.
#[test]
fn a_classifier_has_its_own_prover() {
    let prover = inferium_engine::Prover::new(synthetic("mlp-tiny").unwrap().unwrap().0, ChainId::new(Digest::ZERO));
    let classifier = ProfileId::new(Digest::sha256(b"classifier"));
    let price_max = inferium_types::Price { prompt_token: Amount::from_nano(1), completion_token: Amount::ZERO };
    let demand = crate::gateway::DemandTerms {
        price_max,
        jobs_max: 1,
        tokens_max: 5_000,
        slots: 1,
        context_tokens: 4_352,
        open_ms: 1,
        lease_ms: 1,
    };
    let provers = [Provers::new(&ServedProofs { classifier, prover: Arc::new(prover.unwrap()), demand })];
    let found = Provers::of(&provers, &classifier).unwrap();
    assert_eq!(
        (found.model.kind, found.model.profile.task),
        (inferium_types::TaskKind::Validation, inferium_types::ModelTask::Prove)
    );
    assert!(Provers::of(&provers, &ProfileId::new(Digest::ZERO)).is_none());
}
