//! Certified delivery (SPEC T6).

use super::book::{Book, near, with};
use super::nodes::{barred, jailed, operator_barred};
use crate::tests::stalls::{request, result};
use crate::tests::support::*;
use crate::{StallState, StateKey};
use inferium_types::{Amount, Digest, JobRequest, JobResult, LeaseId, SamplingParams, StallId, TransactionBody};

pub(super) fn write(book: &mut Book) {
    let mut chain = Chain::with(5, Chain::new().parameters().clone()).furnished(2);
    chain.register("g1", gateway_role(), Amount::from_ifr(1_000));
    let lease = chain.lease();
    report_stall(book, &chain, lease);
    let stall = StallId::of_job(lease, 0);
    chain.ok("g0", report(&request(lease, 0)));
    relays(book, &chain, stall);
    let claimed = chain.clone();
    chain.blocks(3);
    certify_delivery(book, &claimed, &chain, stall);
    answer_stall(book, &chain, stall, lease);
}

fn report(request: &JobRequest) -> TransactionBody {
    TransactionBody::ReportStall { request: request.clone() }
}

fn report_stall(book: &mut Book, chain: &Chain, lease: LeaseId) {
    let page = &mut book.page("report_stall");
    let usual = request(lease, 0);
    let body = report(&usual);
    page.valid("a request of the lease", "T6", chain, "g0", body.clone());
    let most = JobRequest {
        sequence: 1 << 62,
        prompt_tokens: 1_023,
        tokens_max: 1,
        client_seed: Some(u64::MAX),
        ..request(lease, 0)
    };
    page.valid("the last sequence, and all of the context", "J1", chain, "g0", report(&most));
    page.doors(chain, "g0", &body);
    for (name, prompt_tokens, tokens_max) in [
        ("one token more than the context", 1_023, 2),
        ("no prompt", 0, 10),
        ("no answer", 10, 0),
        ("tokens past the end of small numbers", u32::MAX, u32::MAX),
    ] {
        let impossible = JobRequest { prompt_tokens, tokens_max, ..usual.clone() };
        page.invalid(name, "T6", chain, "g0", report(&impossible), "out_of_bounds");
    }
    for (name, temperature_micro, top_p_ppm) in [
        ("a temperature above two", 2_000_001, 1_000_000),
        ("of no probability at all", 700_000, 0),
        ("of more than all of it", 700_000, 1_000_001),
    ] {
        let sampling = SamplingParams { temperature_micro, top_p_ppm, top_k: 0 };
        page.invalid(name, "T6", chain, "g0", report(&JobRequest { sampling, ..usual.clone() }), "out_of_bounds");
    }
    let late = JobRequest { sequence: (1 << 62) + 1, ..usual };
    page.invalid("a sequence after the last", "J1", chain, "g0", report(&late), "out_of_bounds");
    page.invalid("by another gateway", "T6", chain, "g1", body.clone(), "not_allowed");
    page.invalid("by the worker", "T6", chain, "w0", body.clone(), "not_allowed");
    let unknown = report(&request(LeaseId::new(Digest::ZERO), 0));
    page.invalid("of a lease that never was", "T6", chain, "g0", unknown, "unknown");
    let mut claimed = chain.clone();
    claimed.ok("g0", body.clone());
    page.invalid("again", "T6", &claimed, "g0", body.clone(), "exists");
    page.invalid("a second claim of one lease", "T6", &claimed, "g0", report(&request(lease, 1)), "exists");
    let mut closed = chain.clone();
    closed.ok("w0", TransactionBody::CloseLease { lease });
    page.invalid("of an ended lease", "T6", &closed, "g0", body.clone(), "wrong_state");
    page.invalid("by a disqualified gateway", "S3", &barred(chain, "g0"), "g0", body.clone(), "disqualified");
    page.invalid("by a gateway of a barred operator", "S3", &operator_barred(chain, "g0"), "g0", body, "disqualified");
}

fn relays(book: &mut Book, claimed: &Chain, stall: StallId) {
    let page = &mut book.page("relays");
    let about = [StateKey::Stall(stall)];
    let mut before = claimed.clone();
    before.blocks(2);
    page.drawn("three of neither side", "T6", &before, &about);
    page.closed_doors("three", &before, before.now_ms + BLOCK_MS, &about);
    let related = with(&before, |state| {
        for name in ["v0", "v1"] {
            state.nodes.get_mut(&id(name)).unwrap().operator = id(&operator_of("w0"));
        }
        for name in ["v2", "v3"] {
            state.nodes.get_mut(&id(name)).unwrap().operator = id(&operator_of("v4"));
        }
    });
    page.drawn("one of each operator that is no side's", "N6", &related, &about);
    page.closed_doors("one of each", &related, related.now_ms + BLOCK_MS, &about);
    let StallState::AwaitingSeed { until_ms, .. } = claimed.state.stall(&stall).unwrap().state else {
        panic!("awaits its seed")
    };
    page.timed("a claim without its seed lapses", "T6", &near(claimed, until_ms), until_ms, &about);
}

fn relays_of(chain: &Chain, stall: StallId) -> Vec<String> {
    match &chain.state.stall(&stall).unwrap().state {
        StallState::Relaying { relays, .. } => relays.iter().map(|(relay, _)| chain.name(relay)).collect(),
        _ => Vec::new(),
    }
}

fn certify_delivery(book: &mut Book, claimed: &Chain, chain: &Chain, stall: StallId) {
    let page = &mut book.page("certify_delivery");
    let body = TransactionBody::CertifyDelivery { stall };
    let drawn = relays_of(chain, stall);
    page.valid("the first of three", "T6", chain, &drawn[0], body.clone());
    let mut one = chain.clone();
    one.ok(&drawn[0], body.clone());
    page.valid("most of three: the worker's time runs", "T6", &one, &drawn[1], body.clone());
    let two = with(chain, |state| {
        let mut entry = state.stall(&stall).unwrap().clone();
        if let StallState::Relaying { relays, .. } = &mut entry.state {
            relays.truncate(2);
        }
        state.set_stall(stall, Some(entry));
    });
    page.valid("one of two is not most of them", "T6", &two, &drawn[0], body.clone());
    page.numbers("one of two", &two, &drawn[0], &body);
    page.doors(chain, &drawn[0], &body);
    page.invalid("again", "T6", &one, &drawn[0], body.clone(), "exists");
    let outsider = (0..5).map(|index| format!("v{index}")).find(|name| !drawn.contains(name)).unwrap();
    for (name, stranger) in [
        ("a validator that was not drawn", outsider.as_str()),
        ("the worker", "w0"),
        ("the gateway", "g0"),
        ("a stranger", "x0"),
    ] {
        page.invalid(name, "T6", chain, stranger, body.clone(), "not_allowed");
    }
    let unknown = TransactionBody::CertifyDelivery { stall: StallId::new(Digest::ZERO) };
    page.invalid("a claim that never was", "T6", chain, &drawn[0], unknown, "unknown");
    page.invalid("before the relays are drawn", "C4", claimed, &drawn[0], body.clone(), "wrong_state");
    let mut certified = one;
    certified.ok(&drawn[1], body.clone());
    page.invalid("after the worker's time began", "T6", &certified, &drawn[2], body, "wrong_state");
    deadline(book, &certified, stall);
}

fn deadline(book: &mut Book, certified: &Chain, stall: StallId) {
    let page = &mut book.page("missed_deadline");
    let StallState::Certified { due_at_ms, .. } = certified.state.stall(&stall).unwrap().state else {
        panic!("certified")
    };
    let lease = certified.state.stall(&stall).unwrap().lease;
    let about = [StateKey::Stall(stall), StateKey::Lease(lease), StateKey::Node(id("w0"))];
    let mut late = near(certified, due_at_ms);
    late.state.meta_mut().height += 10;
    page.timed("0.1 %, record reset, lease over", "S", &late, due_at_ms, &about);
    let paused = with(&late, |state| state.meta_mut().resumed_at_ms = due_at_ms - 5_000);
    page.timed("the window begins anew after a pause", "C3", &paused, due_at_ms, &about);
    let mut early = late.clone();
    let StallState::Certified { due_at_height, .. } = certified.state.stall(&stall).unwrap().state else {
        panic!("certified")
    };
    early.state.meta_mut().height = due_at_height - 1;
    page.timed("at its last block", "T6", &early, due_at_ms, &about);
    early.state.meta_mut().height = due_at_height - 2;
    page.timed("a window is also a number of blocks", "C3", &early, due_at_ms, &about);
}

fn answer_stall(book: &mut Book, chain: &Chain, stall: StallId, lease: LeaseId) {
    let page = &mut book.page("answer_stall");
    let answer = |result: JobResult| TransactionBody::AnswerStall { stall, result };
    let body = answer(result(&request(lease, 0)));
    page.valid("while relays are asked", "T6", chain, "w0", body.clone());
    let mut certified = chain.clone();
    for relay in &relays_of(chain, stall)[..2] {
        certified.ok(relay, TransactionBody::CertifyDelivery { stall });
    }
    page.valid("in time", "T6", &certified, "w0", body.clone());
    page.doors(&certified, "w0", &body);
    for (name, stranger) in [("another worker", "w1"), ("the gateway", "g0"), ("a relay", "v0"), ("a stranger", "x0")] {
        page.invalid(name, "T6", &certified, stranger, body.clone(), "not_allowed");
    }
    let other = answer(result(&request(lease, 1)));
    page.invalid("about another job", "T6", &certified, "w0", other, "evidence");
    let retry = JobRequest { attempt: 1, ..request(lease, 0) };
    page.invalid("about another attempt", "T6", &certified, "w0", answer(result(&retry)), "evidence");
    let nothing = answer(JobResult { request: Digest::ZERO, ..result(&request(lease, 0)) });
    page.invalid("about nothing", "T6", &certified, "w0", nothing, "evidence");
    let mut answered = certified.clone();
    answered.ok("w0", body.clone());
    page.invalid("again", "T6", &answered, "w0", body.clone(), "unknown");
    let result = result(&request(lease, 0));
    let unknown = TransactionBody::AnswerStall { stall: StallId::new(Digest::ZERO), result };
    page.invalid("a claim that never was", "T6", &certified, "w0", unknown, "unknown");
    page.valid("a jailed worker still answers", "T6", &jailed(&certified, "w0", 2), "w0", body.clone());
    for (name, stranger) in [
        ("the worker's operator", operator_of("w0")),
        ("the gateway's operator", operator_of("g0")),
        ("another gateway", "g1".into()),
        ("a relay's operator", operator_of("v0")),
    ] {
        page.invalid(name, "T6", &certified, &stranger, body.clone(), "not_allowed");
    }
}
