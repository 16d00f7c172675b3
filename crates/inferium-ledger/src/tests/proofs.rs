//! Proofs: tasks of kind `validation`, from the pool to a proof that does not hold (SPEC V10).

use super::stalls::request;
use super::support::*;
use crate::Rejection;
use inferium_types::{
    Amount, Digest, JobFault, LeaseId, ModelProfile, Parameters, Ppm, Price, ProfileId, SegmentId, TaskKind, TaskTerms,
    Tier, TransactionBody, VerificationMode,
};

/// What a worker asks for a token of a proof.
const PRICE: Price = Price { prompt_token: Amount::from_nano(100), completion_token: Amount::ZERO };
/// What a proof counts as.
const TOKENS: u64 = 4_097;

fn prover() -> ModelProfile {
    ModelProfile::prover(Digest::sha256(b"key"))
}

fn proofs() -> ProfileId {
    prover().id()
}

/// Six validators that verify, one worker of tier Low.
fn with_prover(parameters: Parameters) -> Chain {
    let mut chain = Chain::with(6, parameters);
    chain.model = prover();
    let mut chain = chain.furnished(1);
    chain.set_measured("w0", Tier::Low, 50);
    chain
}

fn terms() -> TaskTerms {
    TaskTerms {
        kind: TaskKind::Validation,
        mode: VerificationMode::Zk,
        tier: Tier::Low,
        profile: proofs(),
        price_max: PRICE,
        jobs_max: 32,
        tokens_max: 200_000,
        context_tokens: 4_352,
        ..task_terms()
    }
}

fn leased(parameters: Parameters) -> (Chain, LeaseId) {
    let mut chain = with_prover(parameters);
    let offer = inferium_types::OfferTerms { slots: 2, price: PRICE, context_tokens: 4_352, batches: false };
    chain.ok("w0", TransactionBody::SetOffer { profile: proofs(), terms: offer });
    let lease = chain.lease_of(terms());
    (chain, lease)
}

/// One proof.
fn judged(parameters: Parameters) -> (Chain, SegmentId, Vec<String>) {
    let (mut chain, lease) = leased(parameters);
    let segment = chain.commit(lease, totals(1, TOKENS, 1));
    let members = chain.draw(segment);
    (chain, segment, members)
}

/// SPEC T1, T2, V10: proofs on a profile of proofs and by its mode, nothing else there, and proofs nowhere else.
#[test]
fn only_proofs_are_opened_on_their_profile() {
    let chain = with_prover(devnet(6));
    let open = |terms| TransactionBody::OpenTask { terms };
    for kind in [TaskKind::Inference, TaskKind::Batch, TaskKind::Training] {
        let refused = Rejection::Profile { expected: "a model's" };
        chain.fails("g0", open(TaskTerms { kind, ..terms() }), &refused);
    }
    for mode in [VerificationMode::Exact, VerificationMode::Sampled] {
        let refused = Rejection::Mode { expected: "zk", found: mode.name() };
        chain.fails("g0", open(TaskTerms { mode, ..terms() }), &refused);
    }
    let mut with_model = with_prover(devnet(6));
    with_model.model = model("model");
    with_model.declare_all();
    let refused = Rejection::Profile { expected: "one of proofs" };
    with_model.fails("g0", open(TaskTerms { profile: profile(), ..terms() }), &refused);
    // Nobody is measured by proving.
    let assessment = TransactionBody::OpenAssessment { profile: proofs(), report: report(Tier::High) };
    chain.fails("w0", assessment, &Rejection::Profile { expected: "a model's" });
}

/// SPEC V10: whoever proved it and however often before, a proof is verified by two, and nothing is planted.
#[test]
fn every_proof_is_verified_by_two() {
    let (mut chain, lease) = leased(Parameters { forced_share: Ppm::ONE, ..devnet(6) });
    assert_looked_at_whole_by_two(&mut chain, lease, proofs(), totals(1, TOKENS, 1));
}

/// SPEC M4, V10: what is paid for are the tokens that a proof counts as.
#[test]
fn right_proof_is_final_and_paid_by_its_tokens() {
    let (mut chain, segment, members) = judged(devnet(6));
    chain.vote(segment, &members, valid());
    assert!(is_paid(&chain, segment, 100 * TOKENS));
}

/// SPEC V10, S: a proof that does not hold costs its worker what a wrong result does.
#[test]
fn false_proof_is_slashed() {
    assert_wrong_result_is_slashed(judged(devnet(6)), JobFault::Proof);
}

/// SPEC V12: a lease of private weights is for one opening, which does not come back, and there are no more leases than openings; a task
/// that nobody took spends none, nor can a claim ask for one more.
#[test]
fn private_weights_are_opened_for_so_many_leases_and_no_more() {
    let mut chain = with_prover(devnet(6));
    chain.model = ModelProfile::private("mlp", Digest::sha256(b"key"), 2);
    chain.declare_all();
    let id = chain.model.id();
    let one = TaskTerms { profile: id, jobs_max: 1, ..terms() };
    let open = || TransactionBody::OpenTask { terms: one };
    let spent = |chain: &Chain| chain.state.profile(&id).unwrap().openings_spent;
    let two = TransactionBody::OpenTask { terms: TaskTerms { jobs_max: 2, ..one } };
    chain.fails("g0", two, &Rejection::OutOfBounds { field: "jobs_max" });
    // Nobody takes them, however many there are: nothing is spent, and nobody kept from asking.
    for _ in 0..3 {
        chain.ok("g0", open());
    }
    assert_eq!(spent(&chain), 0);
    chain.wait_until(chain.now_ms + one.open_ms);
    assert_eq!(spent(&chain), 0);
    let offer = inferium_types::OfferTerms { slots: 4, price: PRICE, context_tokens: 4_352, batches: false };
    chain.ok("w0", TransactionBody::SetOffer { profile: id, terms: offer });
    let lease = chain.lease_of(one);
    assert_eq!(spent(&chain), 1);
    let claim = TransactionBody::ReportStall { request: request(lease, 0) };
    chain.fails("g0", claim, &Rejection::WrongState { what: "a claim about private weights" });
    chain.ok("g0", TransactionBody::CloseLease { lease });
    chain.wait_until(chain.now_ms + chain.parameters().lease_drain_ms);
    assert!(chain.state.lease(&lease).is_none());
    assert_eq!(spent(&chain), 1, "nobody knows whether it was used");
    chain.lease_of(one);
    assert_eq!(spent(&chain), 2);
    chain.fails("g0", open(), &Rejection::Openings { left: 0, needed: 1 });
}
