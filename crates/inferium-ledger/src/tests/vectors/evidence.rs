//! Proofs of fraud, and the end of a hold (SPEC S, S2).

use super::book::{Book, Page, near, with};
use super::nodes::{barred, operator_barred};
use crate::StateKey;
use crate::entries::{Hold, Lease, Offer, Pool, Task};
use crate::tests::forced::{block, equivocation, final_block};
use crate::tests::requests::{accuse, asked};
use crate::tests::slashing::proof;
use crate::tests::support::*;
use inferium_types::{
    Amount, ChainId, ConsensusVote, Digest, JobProof, LeaseId, OfferTerms, RequestProof, SegmentTerms, SignedTotals,
    SlashRule, TaskId, TaskTerms, Tier, TransactionBody, VoteSubject,
};

pub(super) fn write(book: &mut Book) {
    let mut chain = Chain::ready(2);
    chain.register("g1", gateway_role(), Amount::from_ifr(1_000));
    let lease = chain.lease();
    prove_conflict(book, &chain, lease);
    prove_double_signing(book, &chain, lease);
    prove_double_request(book, &chain, lease);
    prove_equivocation(book, &chain);
    slash_release(book, &chain);
}

fn conflict(worker: &str, first: JobProof, second: JobProof) -> TransactionBody {
    TransactionBody::ProveConflict { worker: id(worker), first, second }
}

fn prove_conflict(book: &mut Book, chain: &Chain, lease: LeaseId) {
    let page = &mut book.page("prove_conflict");
    let proofs = |name: &str| (proof(name, lease, 1), proof(name, lease, 2));
    let (first, second) = proofs("w0");
    let body = conflict("w0", first.clone(), second.clone());
    page.valid("all stake, for ever, key and operator; offers and leases end", "S", chain, "x0", body.clone());
    let poor = with(chain, |state| {
        let mut node = state.nodes.get(&id("w0")).unwrap().clone();
        node.unbonding = Pool { tokens: Amount::from_nano(777), shares: 777 };
        state.set_node(id("w0"), node);
        state.set_lease(lease, None);
    });
    page.valid("stake on its way out too, long after the lease", "S2", &poor, "v0", body.clone());
    let hand = with(chain, |state| {
        for name in ["w1", "g1"] {
            state.nodes.get_mut(&id(name)).unwrap().operator = id(&operator_of("w0"));
        }
        let terms = OfferTerms { slots: 2, price: PRICE, context_tokens: 4_096, batches: true };
        state.offers.insert((profile(), id("w1")), Offer { terms, slots_used: 2, waits_from: 0 });
        let escrow = Amount::from_nano(4_321);
        let expires_at_ms = state.meta().timestamp_ms + 60_000;
        let task = Task {
            requester: id("g1"),
            terms: TaskTerms { tier: Tier::High, ..task_terms() },
            escrow,
            opened: (1, 0),
            expires_at_ms,
        };
        state.set_task(TaskId::new(Digest::ZERO), Some(task));
        let old = *state.lease(&lease).unwrap();
        state.set_lease(LeaseId::new(Digest::ZERO), Some(Lease { worker: id("w1"), ..old }));
    });
    page.valid("the operator's other nodes end with it: tiers, offers, leases, tasks", "S3", &hand, "x0", body.clone());
    page.numbers("the operator's other nodes end with it", &hand, "x0", &body);
    page.doors(chain, "x0", &body);
    let unsigned = "evidence";
    page.invalid("of another worker's", "S1", chain, "x0", conflict("w1", first.clone(), second.clone()), unsigned);
    let mixed = conflict("w0", first.clone(), proof("w1", lease, 2));
    page.invalid("one signed by another worker", "S1", chain, "x0", mixed, unsigned);
    let mut elsewhere = second.clone();
    elsewhere.path.index = 1;
    page.invalid("a path from another place", "J3", chain, "x0", conflict("w0", first.clone(), elsewhere), unsigned);
    let mut outside = second.clone();
    outside.path.index = 2;
    page.invalid(
        "a path from outside of the tree",
        "J3",
        chain,
        "x0",
        conflict("w0", first.clone(), outside),
        unsigned,
    );
    let mut larger = second.clone();
    larger.path.count = 3;
    page.invalid("a path of a larger tree", "J3", chain, "x0", conflict("w0", first.clone(), larger), unsigned);
    let mut longer = second.clone();
    longer.path.siblings.push(Digest::ZERO);
    page.invalid("a path of one step too many", "J3", chain, "x0", conflict("w0", first.clone(), longer), unsigned);
    let mut edited = second.clone();
    edited.leaf.result.usage.completion_tokens += 1;
    page.invalid("a leaf that was changed", "J3", chain, "x0", conflict("w0", first.clone(), edited), unsigned);
    let other = proof("w0", LeaseId::new(Digest::ZERO), 2);
    page.invalid("about another job", "S", chain, "x0", conflict("w0", first.clone(), other), "evidence");
    let same = conflict("w0", first.clone(), first.clone());
    page.invalid("twice the same result", "S", chain, "x0", same, "evidence");
    page.invalid("of no node", "S", chain, "x0", conflict("x5", first, second), "unknown");
    let (first, second) = proofs("g0");
    page.invalid("of a gateway", "S", chain, "x0", conflict("g0", first, second), "unknown");
    page.invalid("of a worker that lost everything", "S", &barred(chain, "w0"), "x0", body, "disqualified");
}

fn signed(name: &str, lease: LeaseId, index: u32, jobs: u32) -> SignedTotals {
    let terms = SegmentTerms { lease, index, totals: totals(jobs, 10, 10), root: Digest::ZERO };
    SignedTotals { terms, gateway_signature: terms.sign_as_gateway(&key(name)) }
}

fn prove_double_signing(book: &mut Book, chain: &Chain, lease: LeaseId) {
    let page = &mut book.page("prove_double_signing");
    let prove =
        |gateway: &str, first, second| TransactionBody::ProveDoubleSigning { gateway: id(gateway), first, second };
    let (first, second) = (signed("g0", lease, 0, 1), signed("g0", lease, 0, 2));
    let body = prove("g0", first, second);
    page.valid("the bond, for ever; the worker is harmed", "S", chain, "w0", body.clone());
    let nowhere = LeaseId::new(Digest::ZERO);
    let old = prove("g0", signed("g0", nowhere, 7, 1), signed("g0", nowhere, 7, 2));
    page.valid("of a lease that is gone: nobody is harmed", "S2", chain, "x0", old);
    page.doors(chain, "x0", &body);
    page.invalid("of another gateway's", "S1", chain, "x0", prove("g1", first, second), "evidence");
    let mixed = prove("g0", first, signed("g1", lease, 0, 2));
    page.invalid("one signed by another gateway", "S1", chain, "x0", mixed, "evidence");
    let mut edited = second;
    edited.terms.totals.jobs += 1;
    page.invalid("sums that were changed", "S1", chain, "x0", prove("g0", first, edited), "evidence");
    let next = prove("g0", first, signed("g0", lease, 1, 2));
    page.invalid("of two segments", "S", chain, "x0", next, "evidence");
    let elsewhere = prove("g0", first, signed("g0", nowhere, 0, 2));
    page.invalid("of two leases", "S", chain, "x0", elsewhere, "evidence");
    page.invalid("twice the same sums", "S", chain, "x0", prove("g0", first, first), "evidence");
    page.invalid("of no node", "S", chain, "x0", prove("x5", first, second), "unknown");
    page.invalid("of a worker", "S", chain, "x0", prove("w0", first, second), "unknown");
    page.invalid("of a gateway that lost everything", "S", &barred(chain, "g0"), "x0", body.clone(), "disqualified");
    page.invalid(
        "by itself, twice the same",
        "S",
        &operator_barred(chain, "g0"),
        "g0",
        prove("g0", second, second),
        "evidence",
    );
}

fn prove_double_request(book: &mut Book, chain: &Chain, lease: LeaseId) {
    let page = &mut book.page("prove_double_request");
    let (first, second) = (asked("g0", lease, 0, 7, 1), asked("g0", lease, 1, 7, 2));
    let body = accuse("g0", &first, &second);
    page.valid("in two segments: the bond, for ever; the worker is harmed", "S", chain, "w0", body.clone());
    page.valid("in one segment", "S", chain, "x0", accuse("g0", &first, &asked("g0", lease, 0, 7, 2)));
    let nowhere = LeaseId::new(Digest::ZERO);
    let old = accuse("g0", &asked("g0", nowhere, 7, 0, 1), &asked("g0", nowhere, 8, 0, 2));
    page.valid("of a lease that is gone: nobody is harmed", "S2", chain, "x0", old);
    page.doors(chain, "x0", &body);
    page.numbers("two requests", chain, "x0", &body);
    let mut refuse = |name: &str, rule: &str, one: &RequestProof, other: &RequestProof| {
        page.invalid(name, rule, chain, "x0", accuse("g0", one, other), "evidence");
    };
    refuse("one signed by another gateway", "S1", &first, &asked("g1", lease, 1, 7, 2));
    refuse("one signed by the worker", "S1", &asked("w0", lease, 1, 7, 2), &first);
    refuse("the next sequence", "S", &first, &asked("g0", lease, 1, 8, 2));
    refuse("the sequence of another lease", "S", &first, &asked("g0", nowhere, 0, 7, 2));
    refuse("one job in two segments", "S", &first, &asked("g0", lease, 1, 7, 1));
    refuse("twice the same", "S", &first, &first);
    let changed = |change: &dyn Fn(&mut RequestProof)| {
        let mut proof = second.clone();
        change(&mut proof);
        proof
    };
    refuse("a path from another place", "J3", &first, &changed(&|proof| proof.path.index = 1));
    refuse("a path of a larger tree", "J3", &first, &changed(&|proof| proof.path.count = 3));
    refuse("a request that was changed", "S1", &first, &changed(&|proof| proof.leaf.request.attempt = 1));
    refuse("terms that were changed", "S1", &first, &changed(&|proof| proof.terms.totals.jobs += 1));
    let mut foreign = asked("g0", nowhere, 1, 7, 2);
    foreign.terms.lease = lease;
    foreign.gateway_signature = foreign.terms.sign_as_gateway(&key("g0"));
    refuse("a job of another lease in a segment of this one", "S", &first, &foreign);
    page.invalid("of another gateway's", "S1", chain, "x0", accuse("g1", &first, &second), "evidence");
    page.invalid("of no node", "S", chain, "x0", accuse("x5", &first, &second), "unknown");
    page.invalid("of a worker", "S", chain, "x0", accuse("w0", &first, &second), "unknown");
    page.invalid("of a gateway that lost everything", "S", &barred(chain, "g0"), "x0", body, "disqualified");
}

fn prove_equivocation(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("prove_equivocation");
    let of = chain.state.meta().chain;
    let signed = |name: &str, epoch, view, subject| ConsensusVote::sign(of, epoch, view, subject, &key(name));
    let nullify = VoteSubject::Nullify;
    let pairs = [
        ("two blocks notarised", block(4, "a"), block(4, "b")),
        ("one block notarised after two parents", block(3, "a"), block(4, "a")),
        ("two blocks finalised", final_block("a"), final_block("b")),
        ("a view skipped, and its block finalised", nullify, final_block("a")),
        ("a block finalised in a view that was skipped", final_block("a"), nullify),
    ];
    for (name, one, other) in pairs {
        let (first, second) = (signed("v2", 0, 5, one), signed("v2", 0, 5, other));
        page.valid(name, "S", chain, "x0", equivocation("v2", first, second));
        let mut refuse =
            |what: &str, body, error| page.invalid(&format!("{name}: {what}"), "S", chain, "x0", body, error);
        refuse("in two views", equivocation("v2", first, signed("v2", 0, 6, other)), "evidence");
        refuse("in two epochs", equivocation("v2", signed("v2", 1, 5, one), second), "evidence");
        refuse("twice the first", equivocation("v2", first, first), "evidence");
        refuse("of another validator", equivocation("v1", first, second), "evidence");
        refuse("the first signed by another", equivocation("v2", signed("v1", 0, 5, one), second), "evidence");
        refuse("the second signed by another", equivocation("v2", first, signed("v1", 0, 5, other)), "evidence");
        let foreign = ConsensusVote::sign(ChainId::new(Digest::ZERO), 0, 5, other, &key("v2"));
        refuse("the second on another chain", equivocation("v2", first, foreign), "evidence");
    }
    let vote = |subject| signed("v2", 0, 5, subject);
    let body = equivocation("v2", vote(block(4, "a")), vote(block(4, "b")));
    page.doors(chain, "x0", &body);
    for (name, other) in
        [("a block notarised, and the view skipped", nullify), ("one notarised, one finalised", final_block("b"))]
    {
        page.invalid(name, "S", chain, "x0", equivocation("v2", vote(block(4, "a")), vote(other)), "evidence");
    }
    for (name, accused) in [("of a worker", "w0"), ("of a gateway", "g0"), ("of no node", "x5")] {
        let body = equivocation(accused, vote(block(4, "a")), vote(block(4, "b")));
        page.invalid(name, "S", chain, "x0", body, "unknown");
    }
    page.invalid("of a validator that lost everything", "S", &barred(chain, "v2"), "x0", body, "disqualified");
}

/// The chain with this slash of `w0` held.
pub(super) fn held(chain: &Chain, provers: &[&str], harmed: Option<&str>, change: impl FnOnce(&mut Hold)) -> Chain {
    with(chain, |state| {
        let mut hold = Hold {
            node: id("w0"),
            rule: SlashRule::WrongResult,
            segment: None,
            job: None,
            own: Amount::from_nano(1_000_003),
            delegated: Amount::ZERO,
            unbonding: Amount::from_nano(501),
            disqualified: false,
            provers: provers.iter().map(|name| id(name)).collect(),
            harmed: harmed.map(id),
            harm: Amount::from_nano(1_000_000),
            taken_at_ms: state.meta().timestamp_ms - 1,
            releases_at_ms: state.meta().timestamp_ms + 600_000,
        };
        change(&mut hold);
        state.set_hold(0, Some(hold));
        state.meta_mut().slashes = 1;
        state.nodes.get_mut(&id("w0")).unwrap().holds += 1;
    })
}

fn slash_release(book: &mut Book, chain: &Chain) {
    let page = &mut book.page("slash_release");
    let at_ms = chain.now_ms + 600_000;
    let about = [StateKey::Hold(0), StateKey::Node(id("w0"))];
    let mut released = |name: &str, chain: &Chain| {
        let page: &mut Page<'_> = page;
        page.timed(name, "S2", &near(chain, at_ms), at_ms, &about);
    };
    released("three provers, one harmed: each part rounds down", &held(chain, &["v0", "v1", "v2"], Some("g0"), |_| {}));
    released("nobody proved it, nobody was harmed: all burns", &held(chain, &[], None, |_| {}));
    released(
        "only the own part is shared",
        &held(chain, &["x0"], Some("g0"), |hold| {
            hold.own = Amount::from_nano(9);
            hold.delegated = Amount::from_nano(1_000_000);
        }),
    );
    released(
        "who was harmed gets no more than the harm",
        &held(chain, &["x0"], Some("g0"), |hold| hold.harm = Amount::from_nano(200_000)),
    );
    released(
        "the last nano-IFR of the harm",
        &held(chain, &[], Some("g0"), |hold| hold.harm = Amount::from_nano(199_999)),
    );
    for (name, harm) in [
        ("who proved a wrong approval gets no more than the harm", 200_000),
        ("the last nano-IFR of the harm for who proved it", 299_999),
        ("a harm beyond the provers' part", 300_001),
    ] {
        let approved = held(chain, &["x0", "v1"], Some("g0"), |hold| {
            hold.rule = SlashRule::WrongApproval;
            hold.harm = Amount::from_nano(harm);
        });
        released(name, &approved);
    }
    let generous = with(&held(chain, &["x0"], Some("g0"), |_| {}), |state| {
        let parameters = &mut state.meta_mut().parameters;
        parameters.slash_provers_share = inferium_types::Ppm::new(500_000);
        parameters.slash_harmed_share = inferium_types::Ppm::new(500_000);
    });
    released("nothing of the own part is left to burn", &generous);
}
