//! Boards: tasks of kind `leaderboard`, from the pool to a fold that is found wrong (SPEC L2).

use super::support::*;
use crate::Rejection;
use inferium_types::{
    Amount, JobFault, LeaseId, ModelProfile, Parameters, Ppm, Price, ProfileId, SegmentId, TaskKind, TaskTerms, Tier,
    TransactionBody,
};

/// What a worker asks for an item.
const ITEM: Price = Price { prompt_token: Amount::from_nano(10), completion_token: Amount::ZERO };

/// Six validators that fold, one worker of tier Low.
fn folding(parameters: Parameters) -> Chain {
    let mut chain = Chain::with(6, parameters);
    chain.model = ModelProfile::folder();
    let mut chain = chain.furnished(1);
    chain.set_measured("w0", Tier::Low, 50);
    chain
}

fn boards() -> ProfileId {
    ModelProfile::folder().id()
}

fn board_terms() -> TaskTerms {
    TaskTerms {
        kind: TaskKind::Leaderboard,
        tier: Tier::Low,
        profile: boards(),
        price_max: ITEM,
        jobs_max: 32,
        tokens_max: 1_000_000,
        context_tokens: 100_001,
        ..task_terms()
    }
}

fn offered(chain: &mut Chain) {
    let terms = inferium_types::OfferTerms { slots: 2, price: ITEM, context_tokens: 100_001, batches: false };
    chain.ok("w0", TransactionBody::SetOffer { profile: boards(), terms });
}

fn leased(parameters: Parameters) -> (Chain, LeaseId) {
    let mut chain = folding(parameters);
    offered(&mut chain);
    let lease = chain.lease_of(board_terms());
    (chain, lease)
}

/// One board of 220 items.
fn judged(parameters: Parameters) -> (Chain, SegmentId, Vec<String>) {
    let (mut chain, lease) = leased(parameters);
    let segment = chain.commit(lease, totals(1, 220, 1));
    let members = chain.draw(segment);
    (chain, segment, members)
}

/// SPEC T1, L2: boards on the profile of boards, nothing else there, and boards nowhere else.
#[test]
fn only_boards_are_opened_on_their_profile() {
    let mut chain = folding(devnet(6));
    let open = |terms| TransactionBody::OpenTask { terms };
    for kind in [TaskKind::Inference, TaskKind::Batch, TaskKind::Training] {
        let refused = Rejection::Profile { expected: "a model's" };
        chain.fails("g0", open(TaskTerms { kind, ..board_terms() }), &refused);
    }
    let mut with_model = folding(devnet(6));
    with_model.model = model("model");
    with_model.declare_all();
    let refused = Rejection::Profile { expected: "the one of boards" };
    with_model.fails("g0", open(TaskTerms { profile: profile(), ..board_terms() }), &refused);
    // The kind's deadline is an hour.
    let hour = 3_600_000;
    chain.state.meta_mut().parameters.lease_max_ms = 2 * hour;
    let late = Rejection::OutOfBounds { field: "lease_ms" };
    chain.fails("g0", open(TaskTerms { lease_ms: hour + 1, ..board_terms() }), &late);
    chain.open("g0", TaskTerms { lease_ms: hour, ..board_terms() });
    // Nobody is measured by folding.
    let assessment = TransactionBody::OpenAssessment { profile: boards(), report: report(Tier::Low) };
    chain.fails("w0", assessment, &Rejection::Profile { expected: "a model's" });
}

/// SPEC N3, T1: tier Low is enough, and the price is the worker's for an item.
#[test]
fn low_tiers_fold() {
    let (chain, lease) = leased(devnet(6));
    let lease = chain.state.lease(&lease).unwrap();
    assert_eq!((lease.worker, lease.price, lease.terms.tier), (id("w0"), ITEM, Tier::Low));
}

/// SPEC L2: whoever folded it and however often before, a board is looked at whole by two, and nothing is planted.
#[test]
fn every_board_is_folded_again_by_two() {
    let (mut chain, lease) = leased(Parameters { forced_share: Ppm::ONE, ..devnet(6) });
    assert_looked_at_whole_by_two(&mut chain, lease, boards(), totals(1, 220, 1));
}

/// SPEC M5: an item is what is paid for.
#[test]
fn right_board_is_final_and_paid_by_the_item() {
    let (mut chain, segment, members) = judged(devnet(6));
    chain.vote(segment, &members, valid());
    assert!(is_paid(&chain, segment, 2_200));
}

/// SPEC L2, S: a board that is not what its files fold to costs its worker what a wrong result does.
#[test]
fn inflated_board_is_slashed() {
    assert_wrong_result_is_slashed(judged(devnet(6)), JobFault::Board);
}
