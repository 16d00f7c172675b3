//! Training: tasks of kind `training`, from the pool to an interval that is found wrong (SPEC X3).

use super::support::*;
use crate::Rejection;
use inferium_types::{
    Amount, Digest, JobFault, LeaseId, ModelProfile, Parameters, Ppm, Price, ProfileId, SegmentId, TaskKind, TaskTerms,
    Tier, TransactionBody,
};

/// What a worker asks for an example, and for an interval.
const PRICE: Price = Price { prompt_token: Amount::from_nano(10), completion_token: Amount::from_nano(1_000) };

fn trainer() -> ModelProfile {
    ModelProfile::trainer(Digest::sha256(b"arithmetic"))
}

fn training() -> ProfileId {
    trainer().id()
}

/// Six validators that train, one worker of this tier.
fn with_trainer(parameters: Parameters, tier: Tier) -> Chain {
    let mut chain = Chain::with(6, parameters);
    chain.model = trainer();
    let mut chain = chain.furnished(1);
    chain.set_measured("w0", tier, 50);
    chain
}

fn terms() -> TaskTerms {
    TaskTerms {
        kind: TaskKind::Training,
        tier: Tier::High,
        profile: training(),
        price_max: PRICE,
        jobs_max: 32,
        tokens_max: 1_000_000,
        context_tokens: 100_001,
        ..task_terms()
    }
}

fn leased(parameters: Parameters) -> (Chain, LeaseId) {
    let mut chain = with_trainer(parameters, Tier::High);
    let offer = inferium_types::OfferTerms { slots: 2, price: PRICE, context_tokens: 100_001, batches: false };
    chain.ok("w0", TransactionBody::SetOffer { profile: training(), terms: offer });
    let lease = chain.lease_of(terms());
    (chain, lease)
}

/// One interval whose steps see 128 examples.
fn judged(parameters: Parameters) -> (Chain, SegmentId, Vec<String>) {
    let (mut chain, lease) = leased(parameters);
    let segment = chain.commit(lease, totals(1, 128, 1));
    let members = chain.draw(segment);
    (chain, segment, members)
}

/// SPEC T1, X3: intervals on a profile of training, nothing else there, and intervals nowhere else.
#[test]
fn only_training_is_opened_on_its_profile() {
    let chain = with_trainer(devnet(6), Tier::High);
    let open = |terms| TransactionBody::OpenTask { terms };
    for kind in [TaskKind::Inference, TaskKind::Batch] {
        let refused = Rejection::Profile { expected: "a model's" };
        chain.fails("g0", open(TaskTerms { kind, ..terms() }), &refused);
    }
    let board = Rejection::Profile { expected: "the one of boards" };
    chain.fails("g0", open(TaskTerms { kind: TaskKind::Leaderboard, ..terms() }), &board);
    let mut with_model = with_trainer(devnet(6), Tier::High);
    with_model.model = model("model");
    with_model.declare_all();
    let refused = Rejection::Profile { expected: "one of training" };
    with_model.fails("g0", open(TaskTerms { profile: profile(), ..terms() }), &refused);
    // Nobody is measured by training.
    let assessment = TransactionBody::OpenAssessment { profile: training(), report: report(Tier::High) };
    chain.fails("w0", assessment, &Rejection::Profile { expected: "a model's" });
}

/// SPEC N3, T1: tier High, and no less.
#[test]
fn high_tiers_train() {
    let (chain, lease) = leased(devnet(6));
    let lease = chain.state.lease(&lease).unwrap();
    assert_eq!((lease.worker, lease.price, lease.terms.tier), (id("w0"), PRICE, Tier::High));
    let chain = with_trainer(devnet(6), Tier::Mid);
    let open = |tier| TransactionBody::OpenTask { terms: TaskTerms { tier, ..terms() } };
    chain.fails("g0", open(Tier::High), &Rejection::NoWorkers { tier: "high" });
    chain.fails("g0", open(Tier::Mid), &Rejection::OutOfBounds { field: "tier" });
}

/// SPEC X3: whoever trained it and however often before, an interval is computed again whole by two, and nothing is planted.
#[test]
fn every_interval_is_trained_again_by_two() {
    let (mut chain, lease) = leased(Parameters { forced_share: Ppm::ONE, ..devnet(6) });
    assert_looked_at_whole_by_two(&mut chain, lease, training(), totals(1, 128, 1));
}

/// SPEC M5: what is paid for is an interval, and each example that its steps see.
#[test]
fn right_interval_is_final_and_paid() {
    let (mut chain, segment, members) = judged(devnet(6));
    chain.vote(segment, &members, valid());
    assert!(is_paid(&chain, segment, 2_280));
}

/// SPEC X3, S: an interval that is not what its steps come to costs its worker what a wrong result does.
#[test]
fn wrong_interval_is_slashed() {
    assert_wrong_result_is_slashed(judged(devnet(6)), JobFault::Interval);
}
