//! Proofs: tasks of kind `validation`, from the pool to a proof that does not hold (SPEC V10).

use super::support::*;
use crate::{Opening, Rejection, SegmentState};
use inferium_types::{
    Amount, Digest, Event, JobFault, LeaseId, ModelProfile, Parameters, Ppm, Price, ProfileId, SlashRule, TaskKind,
    TaskTerms, Tier, TransactionBody, VerdictVote, VerificationMode,
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
fn every_proof_is_verified_by_two_and_paid_by_its_tokens() {
    let (mut chain, lease) = leased(Parameters { forced_share: Ppm::ONE, ..devnet(6) });
    chain.state.records.insert((id("w0"), proofs()), record_of(1_000_000, 1_000_000, 0));
    let segment = chain.commit(lease, totals(1, TOKENS, 1));
    assert_eq!(chain.state.segment(&segment).unwrap().opening, Opening::NotOwed);
    let members = chain.draw(segment);
    assert_eq!(members.len(), 2);
    let SegmentState::Judging { replay, .. } = chain.state.segment(&segment).unwrap().state else { panic!("judging") };
    assert_eq!(replay, Ppm::ONE);
    chain.vote(segment, &members, valid());
    let fee = 100 * TOKENS;
    let paid = chain.history.iter().any(|event| {
        matches!(event, Event::SegmentApproved(outcome) if outcome.segment == segment && outcome.fee.nano() == fee)
    });
    assert!(paid);
}

/// SPEC V10, S: a proof that does not hold costs its worker what a wrong result does.
#[test]
fn false_proof_is_slashed() {
    let (mut chain, lease) = leased(devnet(6));
    let segment = chain.commit(lease, totals(1, TOKENS, 1));
    let members = chain.draw(segment);
    let before = chain.stake("w0");
    let wrong = VerdictVote::Invalid { job: 0, fault: JobFault::Proof };
    chain.vote(segment, &members, wrong);
    chain.vote_rest(segment, wrong);
    let slash = chain.history.iter().find_map(|event| match event {
        Event::Slashed(slash) if slash.node == id("w0") => Some(slash.clone()),
        _ => None,
    });
    let slash = slash.unwrap();
    assert_eq!((slash.rule, slash.segment), (SlashRule::WrongResult, Some(segment)));
    let share = chain.parameters().slash_wrong_result;
    assert_eq!(before - chain.stake("w0"), Amount::from_nano(before).share(share).nano());
}
