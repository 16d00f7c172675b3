//! Certified delivery: SPEC T6.

use super::support::*;
use crate::{LeaseState, Rejection, StallState};
use inferium_types::{
    Digest, Event, FinishReason, JobId, JobRequest, JobResult, LeaseEnd, LeaseId, SamplingParams, SlashRule, StallId,
    TransactionBody, Usage,
};

pub(super) fn request(lease: LeaseId, sequence: u64) -> JobRequest {
    JobRequest {
        job: JobId::new(Digest::of("job", &[lease.digest().as_bytes(), &sequence.to_be_bytes()])),
        lease,
        sequence,
        attempt: 0,
        input_commitment: Digest::ZERO,
        prompt_tokens: 5,
        tokens_max: 10,
        sampling: SamplingParams { temperature_micro: 0, top_p_ppm: 1_000_000, top_k: 0 },
        client_seed: None,
    }
}

pub(super) fn result(request: &JobRequest) -> JobResult {
    JobResult {
        request: request.digest(),
        output_commitment: Digest::ZERO,
        evidence_root: Digest::ZERO,
        usage: Usage { prompt_tokens: 5, completion_tokens: 10 },
        finish: FinishReason::Length,
    }
}

fn report(lease: LeaseId) -> TransactionBody {
    TransactionBody::ReportStall { request: request(lease, 0) }
}

fn certify(stall: StallId) -> TransactionBody {
    TransactionBody::CertifyDelivery { stall }
}

fn relays(chain: &Chain, stall: StallId) -> Vec<String> {
    match &chain.state.stall(&stall).unwrap().state {
        StallState::Relaying { relays, .. } => relays.iter().map(|(relay, _)| chain.name(relay)).collect(),
        _ => Vec::new(),
    }
}

/// A claim whose relays are drawn.
fn reported(mut chain: Chain, lease: LeaseId) -> (Chain, StallId, Vec<String>) {
    let stall = StallId::of_job(lease, 0);
    chain.ok("g0", report(lease));
    assert!(matches!(chain.state.stall(&stall).unwrap().state, StallState::AwaitingSeed { .. }));
    chain.blocks(3);
    let relays = relays(&chain, stall);
    assert_eq!(relays.len(), 3);
    (chain, stall, relays)
}

fn claim() -> (Chain, LeaseId, StallId, Vec<String>) {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let (chain, stall, relays) = reported(chain, lease);
    (chain, lease, stall, relays)
}

fn certified() -> (Chain, LeaseId, StallId) {
    let (mut chain, lease, stall, relays) = claim();
    for relay in &relays[..2] {
        chain.ok(relay, certify(stall));
    }
    assert!(matches!(chain.state.stall(&stall).unwrap().state, StallState::Certified { .. }));
    (chain, lease, stall)
}

#[test]
fn only_the_leases_gateway_claims_once_per_job() {
    let mut chain = Chain::ready(1);
    chain.register("g1", gateway_role(), inferium_types::Amount::from_ifr(1_000));
    let lease = chain.lease();
    chain.fails("w0", report(lease), &Rejection::NotAllowed { expected: "a gateway" });
    chain.fails("g1", report(lease), &Rejection::NotAllowed { expected: "the lease's gateway" });
    let unknown = report(LeaseId::new(Digest::ZERO));
    chain.fails("g0", unknown, &Rejection::Unknown { what: "lease" });
    chain.ok("g0", report(lease));
    chain.fails("g0", report(lease), &Rejection::Exists { what: "claim" });
    let other = chain.lease();
    chain.ok("g0", report(other));
}

/// SPEC C4: relays are drawn by the seed two views on, and are of neither side.
#[test]
fn relays_are_drawn_with_the_bound_seed() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.carries_seeds = false;
    chain.ok("g0", report(lease));
    let (view, stall) = (chain.view, StallId::of_job(lease, 0));
    assert_eq!(chain.state.wanted_views(), [view + 2]);
    let mut seen = std::collections::BTreeSet::new();
    for world in 0..32 {
        let mut chain = chain.clone();
        for (at, drawn) in [(view + 1, false), (view + 3, false), (view + 2, true)] {
            let mut environment = chain.environment();
            environment.seeds = vec![seed_of(at, &world.to_string())];
            chain.block_in(&environment, &[]).unwrap();
            assert_eq!(!relays(&chain, stall).is_empty(), drawn);
        }
        seen.insert(relays(&chain, stall));
    }
    assert_eq!(seen.len(), 4, "every three of four validators");
}

/// More than half of the relays: one of three is too few, two are enough.
#[test]
fn most_relays_certify_once_each() {
    let (mut chain, lease, stall, relays) = claim();
    chain.fails("w0", certify(stall), &Rejection::NotAllowed { expected: "a drawn relay" });
    let unknown = certify(StallId::new(Digest::ZERO));
    chain.fails("v0", unknown, &Rejection::Unknown { what: "claim" });
    chain.ok(&relays[0], certify(stall));
    assert!(matches!(chain.state.stall(&stall).unwrap().state, StallState::Relaying { .. }));
    chain.fails(&relays[0], certify(stall), &Rejection::Exists { what: "certification" });
    let events = chain.ok(&relays[2], certify(stall));
    let tokens = request(lease, 0).tokens();
    let due_at_ms = chain.now_ms + chain.parameters().stall_answer_ms + tokens * chain.parameters().stall_token_ms;
    let holders = vec![id(&relays[0]), id(&relays[2])];
    assert_eq!(events, [Event::StallCertified { stall, worker: id("w0"), relays: holders, due_at_ms }]);
    chain.fails(&relays[1], certify(stall), &Rejection::WrongState { what: "a certification" });
}

#[test]
fn certification_before_the_draw_is_refused() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.ok("g0", report(lease));
    let body = certify(StallId::of_job(lease, 0));
    chain.carries_seeds = false;
    chain.fails("v0", body, &Rejection::WrongState { what: "a certification" });
}

#[test]
fn answer_ends_a_claim_without_a_fault() {
    let (mut chain, lease, stall) = certified();
    let answer = |sequence| TransactionBody::AnswerStall { stall, result: result(&request(lease, sequence)) };
    chain.fails("g0", answer(0), &Rejection::NotAllowed { expected: "the claim's worker" });
    chain.fails("w0", answer(1), &Rejection::Evidence { why: "the result is for another request" });
    let stake = chain.stake("w0");
    let StallState::Certified { due_at_ms, .. } = chain.state.stall(&stall).unwrap().state else { panic!("certified") };
    chain.block_at(due_at_ms - BLOCK_MS - 1);
    let events = chain.ok("w0", answer(0));
    assert_eq!(events, [Event::StallAnswered { stall, gateway: id("g0") }]);
    chain.fails("w0", answer(0), &Rejection::Unknown { what: "claim" });
    chain.blocks(20);
    assert_eq!(chain.stake("w0"), stake);
    assert_eq!(chain.state.lease(&lease).unwrap().state, LeaseState::Active);
}

/// SPEC T6: a lease that ended, or a request that its context never held, binds no worker.
#[test]
fn claim_is_about_a_running_lease_and_what_it_can_hold() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let context = task_terms().context_tokens;
    let of = |prompt_tokens: u32, tokens_max: u32| TransactionBody::ReportStall {
        request: JobRequest { prompt_tokens, tokens_max, ..request(lease, 0) },
    };
    chain.fails("g0", of(context, 1), &Rejection::OutOfBounds { field: "tokens" });
    for (prompt_tokens, tokens_max) in [(1, u32::MAX), (0, 1), (1, 0)] {
        chain.fails("g0", of(prompt_tokens, tokens_max), &Rejection::OutOfBounds { field: "tokens" });
    }
    let endless = TransactionBody::ReportStall { request: request(lease, u64::MAX) };
    chain.fails("g0", endless, &Rejection::OutOfBounds { field: "sequence" });
    chain.clone().ok("g0", of(context - 1, 1));
    chain.ok("w0", TransactionBody::CloseLease { lease });
    let ended = Rejection::WrongState { what: "a claim about an ended lease" };
    chain.fails("g0", of(1, 1), &ended);
}

/// SPEC T6: one claim per lease at a time, and the next once that is over.
#[test]
fn lease_has_one_claim_at_a_time() {
    let (mut chain, lease, stall) = certified();
    let next = TransactionBody::ReportStall { request: request(lease, 1) };
    chain.fails("g0", next.clone(), &Rejection::Exists { what: "claim" });
    let reloaded = crate::State::from_entries(chain.state.entries()).unwrap();
    assert_eq!(reloaded, chain.state, "the index of claims is rebuilt");
    chain.ok("w0", TransactionBody::AnswerStall { stall, result: result(&request(lease, 0)) });
    chain.ok("g0", next);
}

/// SPEC T6, S: 0.1 % at the deadline, not before it; the lease ends; unpaid.
#[test]
fn missed_deadline_is_slashed_and_ends_the_lease() {
    let (mut chain, lease, stall) = certified();
    let StallState::Certified { due_at_ms, due_at_height } = chain.state.stall(&stall).unwrap().state else {
        panic!("certified")
    };
    while chain.state.height() + 1 < due_at_height {
        chain.block_at(chain.now_ms + 1);
    }
    let stake = chain.stake("w0");
    chain.block_at(due_at_ms - 1);
    assert!(chain.state.stall(&stall).is_some());
    let events = chain.block_at(due_at_ms);
    assert_eq!(chain.state.stall(&stall), None);
    assert_eq!(chain.stake("w0"), stake - stake / 1_000);
    let slashed = |event: &Event| {
        matches!(event, Event::Slashed(slash) if slash.rule == SlashRule::DeadlineMissed && slash.node == id("w0")
            && slash.job == Some(request(lease, 0).job) && !slash.disqualified)
    };
    assert!(events.iter().any(slashed));
    assert!(events.iter().any(|event| matches!(event, Event::LeaseEnded { end: LeaseEnd::Fault, .. })));
    assert_eq!(chain.record("w0").2, 1);
    let worker = chain.balance("w0");
    chain.blocks(12);
    assert_eq!(chain.state.lease(&lease), None);
    assert_eq!(chain.balance("w0"), worker, "no reservation after a fault");
}

/// SPEC C3: the deadline is a time and a least number of blocks.
#[test]
fn deadline_has_a_least_number_of_blocks() {
    let (mut chain, _, stall) = certified();
    let StallState::Certified { due_at_ms, .. } = chain.state.stall(&stall).unwrap().state else { panic!("certified") };
    chain.block_at(due_at_ms + 1_000);
    assert!(chain.state.stall(&stall).is_some(), "one block is too few");
    chain.block_at(due_at_ms + 1_001);
    assert_eq!(chain.state.stall(&stall), None);
    assert_eq!(chain.state.holds().count(), 1);
}

/// SPEC C3: a worker that could not put its answer on the chain missed no deadline.
#[test]
fn outage_costs_no_worker_its_stake() {
    let (mut chain, lease, stall) = certified();
    let StallState::Certified { due_at_ms, .. } = chain.state.stall(&stall).unwrap().state else { panic!("certified") };
    let window = due_at_ms - chain.now_ms;
    chain.blocks(4);
    chain.block_at(due_at_ms + chain.parameters().pause_ms);
    let resumed = chain.now_ms;
    chain.block_at(resumed + window - BLOCK_MS - 1);
    assert!(chain.state.stall(&stall).is_some());
    let mut silent = chain.clone();
    chain.ok("w0", TransactionBody::AnswerStall { stall, result: result(&request(lease, 0)) });
    assert_eq!(chain.state.holds().count(), 0);
    silent.block_at(resumed + window);
    assert_eq!(silent.state.holds().count(), 1, "the new window ends too");
}

/// SPEC T6, S: a gateway that claims what it gives to no relay has paid for the claim and gained nothing: a relay
/// certifies only a request that it holds, and the worker is not touched.
#[test]
fn claim_about_a_withheld_request_costs_only_its_gateway() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let worker = chain.state.node(&id("w0")).unwrap().clone();
    let (record, balance, granted) = (chain.record("w0"), chain.balance("g0"), *chain.state.lease(&lease).unwrap());
    let fee = fee_of(chain.parameters(), &chain.tx("g0", report(lease))).nano();
    let (mut chain, stall, _) = reported(chain, lease);
    let StallState::Relaying { until_ms, .. } = chain.state.stall(&stall).unwrap().state else { panic!("relaying") };
    chain.wait_until(until_ms - 1);
    assert!(chain.state.stall(&stall).is_some());
    chain.wait_until(until_ms);
    assert_eq!(chain.state.stall(&stall), None);
    assert_eq!((chain.state.node(&id("w0")).unwrap(), chain.record("w0")), (&worker, record));
    assert_eq!(*chain.state.lease(&lease).unwrap(), granted, "it goes on, and pays as before");
    assert_eq!((fee > 0, chain.balance("g0")), (true, balance - fee));
    assert_eq!((chain.state.holds().count(), chain.state.meta().slashes), (0, 0));
    // It may claim again, and pays again.
    chain.ok("g0", report(lease));
    assert_eq!(chain.balance("g0"), balance - 2 * fee);
}

#[test]
fn claim_that_no_one_certifies_lapses() {
    let (mut chain, lease, stall, relays) = claim();
    chain.ok(&relays[0], certify(stall));
    chain.blocks(21);
    assert_eq!(chain.state.stall(&stall), None);
    assert_eq!(chain.state.holds().count(), 0);
    assert_eq!(chain.state.lease(&lease).unwrap().state, LeaseState::Active);
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.carries_seeds = false;
    chain.ok("g0", report(lease));
    chain.blocks(21);
    assert_eq!(chain.state.stalls().count(), 0, "nor one without a seed");
}

/// SPEC T6: a worker does not escape a claim by closing its lease.
#[test]
fn closing_the_lease_does_not_escape_a_claim() {
    let (mut chain, lease, stall, relays) = claim();
    chain.ok("w0", TransactionBody::CloseLease { lease });
    chain.blocks(11);
    assert!(chain.state.lease(&lease).is_some(), "the lease waits for its claim");
    for relay in &relays[..2] {
        chain.ok(relay, certify(stall));
    }
    let stake = chain.stake("w0");
    chain.blocks(12);
    assert_eq!(chain.state.stall(&stall), None);
    assert_eq!(chain.stake("w0"), stake - stake / 1_000);
    chain.blocks(2);
    assert_eq!(chain.state.lease(&lease), None);
}

/// With no validator of a third operator there is no one to relay.
#[test]
fn claim_without_possible_relays_is_dropped() {
    let mut parameters = devnet(1);
    parameters.stall_relays = 0;
    let mut chain = Chain::with(1, parameters).furnished(1);
    let lease = chain.lease();
    chain.ok("g0", report(lease));
    chain.blocks(3);
    assert_eq!(chain.state.stalls().count(), 0);
    assert_eq!(chain.state.lease(&lease).unwrap().state, LeaseState::Active);
}
