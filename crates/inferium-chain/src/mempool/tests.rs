use super::*;
use crate::testing::{Group, key};
use inferium_types::{Digest, SecretKey, VerdictVote};

struct Fixture {
    group: Group,
    states: States,
    pool: Mempool,
    gossip: mpsc::Receiver<SignedTransaction>,
}

fn fixture() -> Fixture {
    let group = Group::new(4);
    let states = States::new();
    let (pool, gossip) = Mempool::new(group.genesis.chain(), states.clone());
    states.set_base(0, Digest::ZERO, State::genesis(&group.genesis));
    Fixture { group, states, pool, gossip }
}

impl Fixture {
    fn submit(&self, from: &SecretKey, nonce: u64) -> Result<TransactionId, SubmitError> {
        self.pool.submit(self.group.transfer(from, nonce, 1))
    }

    fn nonces(&self) -> Vec<u64> {
        let state = self.states.last().unwrap();
        self.pool.candidates(&state).iter().map(|transaction| transaction.transaction().nonce).collect()
    }
}

fn rich() -> SecretKey {
    key(100)
}

#[test]
fn nothing_is_taken_before_the_state_is_known() {
    let group = Group::new(4);
    let (pool, _gossip) = Mempool::new(group.genesis.chain(), States::new());
    assert_eq!(pool.submit(group.transfer(&rich(), 0, 1)), Err(SubmitError::NotReady));
}

#[test]
fn a_lane_is_offered_in_order_of_nonces_and_up_to_the_first_gap() {
    let fixture = fixture();
    for nonce in [3, 0, 1, 5] {
        fixture.submit(&rich(), nonce).unwrap();
    }
    assert_eq!(fixture.nonces(), [0, 1]);
    fixture.submit(&rich(), 2).unwrap();
    assert_eq!(fixture.nonces(), [0, 1, 2, 3]);
}

#[test]
fn the_same_transaction_again_is_no_error_and_not_passed_on_twice() {
    let mut fixture = fixture();
    let id = fixture.submit(&rich(), 0).unwrap();
    assert_eq!(fixture.submit(&rich(), 0), Ok(id));
    assert!(fixture.gossip.try_recv().is_ok());
    assert!(fixture.gossip.try_recv().is_err());
    assert_eq!(fixture.pool.len(), 1);
}

#[test]
fn another_transaction_with_a_waiting_nonce_is_refused() {
    let fixture = fixture();
    fixture.submit(&rich(), 0).unwrap();
    let other = fixture.group.transfer(&rich(), 0, 2);
    assert_eq!(fixture.pool.submit(other), Err(SubmitError::Occupied { nonce: 0 }));
}

#[test]
fn what_others_pass_on_is_not_passed_on_again() {
    let mut fixture = fixture();
    fixture.pool.receive(fixture.group.transfer(&rich(), 0, 1)).unwrap();
    assert!(fixture.gossip.try_recv().is_err());
    assert!(fixture.pool.unconfirmed(10).is_empty());
    assert_eq!(fixture.nonces(), [0]);
}

#[test]
fn forged_and_foreign_transactions_are_refused() {
    let fixture = fixture();
    let mut forged = fixture.group.transfer(&rich(), 0, 1);
    forged.transaction.nonce = 1;
    assert_eq!(fixture.pool.submit(forged), Err(SubmitError::Signature(InvalidSignature::Signature)));
    let foreign = Group::with_seed(4, 2).transfer(&rich(), 0, 1);
    assert_eq!(fixture.pool.submit(foreign), Err(SubmitError::Signature(InvalidSignature::Chain)));
}

#[test]
fn who_cannot_pay_is_refused() {
    let fixture = fixture();
    assert!(matches!(fixture.submit(&key(77), 0), Err(SubmitError::Rejected(Rejection::FeeUnpayable { .. }))));
}

#[test]
fn duties_of_strangers_are_refused_and_those_of_nodes_come_first() {
    let fixture = fixture();
    let duty = |from: &SecretKey| {
        let segment = inferium_types::SegmentId::new(Digest::ZERO);
        let body = TransactionBody::SubmitVerdict { segment, vote: VerdictVote::Unavailable, salt: None };
        let chain = fixture.group.genesis.chain();
        inferium_types::Transaction { chain, sender: from.public_key(), nonce: 0, body }.sign(from)
    };
    fixture.submit(&rich(), 0).unwrap();
    assert!(matches!(fixture.pool.submit(duty(&key(77))), Err(SubmitError::Rejected(_))));
    let id = fixture.pool.submit(duty(&key(1))).unwrap();
    let state = fixture.states.last().unwrap();
    assert_eq!(fixture.pool.candidates(&state).first().map(VerifiedTransaction::id), Some(id));
}

#[test]
fn a_lane_and_its_lead_are_bounded() {
    let fixture = fixture();
    for nonce in 0..u64::try_from(LANE_MAX).unwrap() {
        fixture.submit(&rich(), nonce).unwrap();
    }
    assert_eq!(fixture.submit(&rich(), 256), Err(SubmitError::Full));
    assert!(matches!(fixture.submit(&rich(), 257), Err(SubmitError::Rejected(Rejection::NonceTooHigh { .. }))));
}

#[test]
fn dropped_transactions_leave_their_reason_and_early_ones_stay() {
    let fixture = fixture();
    let (dropped, early) = (fixture.submit(&rich(), 0).unwrap(), fixture.submit(&rich(), 1).unwrap());
    let too_high = Rejection::NonceTooHigh { expected: 0, found: 1 };
    fixture.pool.reject(vec![(dropped, Rejection::Disqualified), (early, too_high)]);
    assert!(!fixture.pool.contains(dropped));
    assert_eq!(fixture.pool.rejection(dropped), Some(Rejection::Disqualified.to_string()));
    assert!(fixture.pool.contains(early));
    assert_eq!(fixture.pool.len(), 1);
}

#[test]
fn a_final_block_removes_what_it_used() {
    let fixture = fixture();
    for nonce in 0..3 {
        fixture.submit(&rich(), nonce).unwrap();
    }
    let state = fixture.states.last().unwrap();
    let environment = inferium_ledger::BlockEnvironment {
        height: 1,
        view: 1,
        timestamp_ms: 1_000,
        proposer: key(1).public_key(),
        seeds: Vec::new(),
    };
    let candidates = fixture.pool.candidates(&state).into_iter().take(2).collect();
    let child = inferium_ledger::assemble(&state, &environment, candidates).unwrap().executed.state;
    assert!(fixture.pool.has_candidates(&child));
    fixture.pool.finalized(&child);
    assert_eq!(fixture.pool.len(), 1);
    assert!(fixture.pool.has_candidates(&child));
    assert!(!fixture.pool.has_candidates(&state));
}

/// The ledger's word on what is a duty, and one more that must not wait behind a flood.
#[test]
fn duties_and_proofs_of_crimes_go_first_and_nothing_that_is_bought() {
    let (chain, rich, zero) = (fixture().group.genesis.chain(), rich(), Digest::ZERO);
    let lease = inferium_types::LeaseId::new(zero);
    let sampling = inferium_types::SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 };
    let request = inferium_types::JobRequest {
        job: inferium_types::JobId::new(chain.digest()),
        lease,
        sequence: 0,
        attempt: 0,
        input_commitment: zero,
        prompt_tokens: 1,
        tokens_max: 1,
        sampling,
        client_seed: None,
    };
    let result = inferium_types::JobResult {
        request: request.digest(),
        output_commitment: zero,
        evidence_root: zero,
        usage: inferium_types::Usage::default(),
        finish: inferium_types::FinishReason::EndOfText,
    };
    let leaf = inferium_types::JobLeaf { request: request.clone(), result };
    let terms = inferium_types::SegmentTerms {
        lease,
        index: 0,
        totals: inferium_types::JobTotals::default(),
        root: leaf.hash(),
    };
    let path = inferium_types::merkle_path(&[leaf.hash()], 0).unwrap();
    let proof = inferium_types::JobProof { terms, worker_signature: terms.sign_as_worker(&rich), leaf, path };
    let conflict = TransactionBody::ProveConflict { worker: rich.public_key(), first: proof.clone(), second: proof };
    assert!(!is_duty(&conflict) && goes_first(&conflict));
    let stall = inferium_types::StallId::of_job(lease, 0);
    assert!(goes_first(&TransactionBody::CertifyDelivery { stall }));
    assert!(!goes_first(&TransactionBody::ReportStall { request }));
    assert!(!goes_first(&TransactionBody::CloseLease { lease }));
}
