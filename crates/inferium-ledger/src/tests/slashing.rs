//! The table of SPEC S, rule by rule.

use super::stalls::{request, result};
use super::support::*;
use crate::{LeaseState, Listing, Pool, Rejection, SegmentState};
use inferium_types::{
    Amount, Digest, Event, JobLeaf, JobProof, JobTotals, LeaseEnd, LeaseId, NodeRole, Parameters, Ppm, ProposalAction,
    ProposalOutcome, SegmentId, SegmentTerms, SignedTotals, SlashRule, SlashedNode, Tier, TransactionBody, VerdictVote,
    merkle_path, merkle_root,
};

pub(super) fn slashes(chain: &Chain) -> Vec<SlashedNode> {
    chain
        .history
        .iter()
        .filter_map(|event| match event {
            Event::Slashed(slash) => Some(slash.clone()),
            _ => None,
        })
        .collect()
}

/// A lease of `w0`, who offers again once its jail is over.
fn next_lease(chain: &mut Chain) -> LeaseId {
    while !chain.state.node(&id("w0")).unwrap().is_active(chain.state.meta().epoch) {
        chain.blocks(1);
    }
    chain.lease()
}

/// 10 %, then 50 %, then everything and for ever; each but the last with a jail of one epoch.
#[test]
fn wrong_results_cost_a_tenth_then_half_then_everything() {
    let mut chain = Chain::ready(0);
    chain.register("w0", worker_role("w0"), Amount::from_ifr(1_200));
    chain.blocks(2);
    let mut stake = chain.stake("w0");
    for (percent, disqualified) in [(10, false), (50, false), (100, true)] {
        let lease = next_lease(&mut chain);
        let other = chain.lease();
        let segment = chain.convict(lease, totals(1, 10, 10));
        let epoch = chain.state.meta().epoch;
        let amount = stake * percent / 100;
        stake -= amount;
        assert_eq!(chain.stake("w0"), stake);
        let slash = slashes(&chain).pop().unwrap();
        assert_eq!((slash.rule, slash.amount.nano(), slash.segment), (SlashRule::WrongResult, amount, Some(segment)));
        assert_eq!((slash.node, slash.disqualified, slash.role.as_str()), (id("w0"), disqualified, "worker"));
        let node = chain.state.node(&id("w0")).unwrap();
        assert_eq!(node.disqualified, disqualified);
        if !disqualified {
            assert_eq!(node.active_from_epoch, epoch + 2, "the running epoch and one more");
        }
        for lease in [lease, other] {
            let state = chain.state.lease(&lease).unwrap().state;
            assert!(matches!(state, LeaseState::Draining { end: LeaseEnd::Fault, .. }));
        }
        assert_eq!(chain.state.offer(profile(), id("w0")), None);
    }
    assert_eq!(chain.record("w0").2, 3);
}

/// Faults of more than thirty days ago are forgotten, to the millisecond.
#[test]
fn faults_are_forgotten_after_thirty_days() {
    const MONTH_MS: u64 = 30 * 24 * 3_600_000;
    for (wait, percent) in [(MONTH_MS - 1, 50), (MONTH_MS, 10)] {
        let mut chain = Chain::ready(1);
        let lease = chain.lease();
        chain.convict(lease, totals(1, 10, 10));
        let fault = chain.now_ms;
        chain.block_at(fault + 50_000);
        chain.block_at(fault + 100_000);
        // The stake after the first slash, hold long gone.
        let stake = chain.stake("w0");
        // Everything up to the last vote takes place shortly before.
        chain.block_at(fault + wait - 50_000);
        let lease = next_lease(&mut chain);
        let segment = chain.commit(lease, totals(1, 10, 10));
        let members = chain.draw(segment);
        chain.vote(segment, &members, invalid());
        let rest = chain.silent_members(segment);
        let (name, body) = chain.last_reveal(segment, &[(&rest[0], invalid()), (&rest[1], invalid())]);
        let last = chain.tx(&name, body);
        let mut environment = chain.environment();
        environment.timestamp_ms = fault + wait;
        chain.block_in(&environment, &[last]).unwrap();
        assert_eq!(chain.stake("w0"), stake - stake * percent / 100, "{wait}");
    }
}

#[test]
fn jailed_worker_does_nothing_until_its_epoch() {
    let mut chain = Chain::ready(1);
    let (lease, other) = (chain.lease(), chain.lease());
    chain.convict(lease, totals(1, 10, 10));
    let until = chain.state.node(&id("w0")).unwrap().active_from_epoch;
    let jailed = Rejection::Jailed { until };
    chain.fails("w0", offer(1), &jailed);
    let commitment = chain.segment(other, totals(1, 10, 10));
    chain.fails("w0", TransactionBody::CommitSegment { commitment }, &jailed);
    while chain.state.meta().epoch + 1 < until {
        chain.blocks(1);
    }
    chain.fails("w0", offer(1), &jailed);
    while chain.state.meta().epoch < until {
        chain.blocks(1);
    }
    chain.ok("w0", offer(1));
}

/// 100 % and for ever for whoever attested a replay that can't have been.
#[test]
fn wrong_approval_costs_everything() {
    // One seat in five is more than a tenth of all stake: that alone must not pause the profile (S5).
    let parameters = Parameters { profile_slash_max: Ppm::new(333_333), ..devnet(5) };
    let mut chain = Chain::with(5, parameters).furnished(1);
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    let stake = chain.stake(&members[0]);
    chain.dissent(segment, &members[0], valid(), invalid());
    assert_eq!(chain.stake(&members[0]), 0);
    let first = slashes(&chain).remove(0);
    assert_eq!((first.rule, first.amount.nano(), first.disqualified), (SlashRule::WrongApproval, stake, true));
    assert_eq!((first.node, first.role.as_str()), (id(&members[0]), "validator"));
    // Removed: it is not drawn again, and S3 holds for it too.
    let body = chain.registration("x0", &operator_of(&members[0]), gateway_role(), Amount::from_ifr(1_000));
    chain.fails("x0", body, &Rejection::Disqualified);
    let declare = TransactionBody::DeclareProfile { profile: model("another") };
    chain.fails(&members[0], declare, &Rejection::Disqualified);
    for _ in 0..3 {
        let lease = next_lease(&mut chain);
        let segment = chain.commit(lease, totals(1, 10, 10));
        let drawn = chain.draw(segment);
        chain.vote(segment, &drawn, VerdictVote::Unavailable);
        assert!(!chain.committee(segment).contains(&members[0]));
    }
}

/// 5 %, then 25 %; the segment is approved all the same. SPEC V2: so much for who approves without having replayed what was
/// drawn, too, and it has no part of the fee.
#[test]
fn a_wrong_verdict_costs_a_twentieth_then_a_quarter() {
    for (vote, rule) in [(invalid(), SlashRule::WrongRejection), (unseen(), SlashRule::FalseReplay)] {
        let mut chain = Chain::ready(1);
        let lease = chain.lease();
        let (mut wrong, mut stake) = (0, chain.stake("v0"));
        for _ in 0..20 {
            if wrong == 3 {
                break;
            }
            let segment = chain.commit(lease, totals(1, 10, 10));
            let members = chain.draw(segment);
            if !members.contains(&"v0".to_owned()) {
                chain.vote(segment, &members, valid());
                continue;
            }
            chain.dissent(segment, "v0", vote, valid());
            let amount = stake * if wrong == 0 { 50 } else { 250 } / 1_000;
            wrong += 1;
            stake -= amount;
            assert_eq!(chain.stake("v0"), stake);
            let slash = slashes(&chain).pop().unwrap();
            assert_eq!((slash.rule, slash.amount.nano(), slash.disqualified), (rule, amount, false));
            let (_, hold) = chain.state.holds().last().unwrap();
            assert_eq!((hold.harmed, hold.provers.len()), (Some(id("w0")), 3));
            let crate::SegmentState::Final { approval, .. } = &chain.state.segment(&segment).unwrap().state else {
                panic!("not final")
            };
            assert!(!approval.approvers.contains(&id("v0")) && approval.approvers.len() == 3);
        }
        assert_eq!(wrong, 3, "{rule:?}");
    }
}

/// SPEC V2, V3: two who approved by different replays are a doubt, and without more than two thirds of one mind there is no
/// decision and no slash: nobody is called a liar by a tie.
#[test]
fn different_replays_without_a_majority_decide_nothing() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.cast(segment, &[(&members[0], valid()), (&members[1], unseen())]);
    let rest = chain.silent_members(segment);
    assert_eq!(rest.len(), 2);
    chain.cast(segment, &[(&rest[0], valid()), (&rest[1], unseen())]);
    assert!(chain.state.segment(&segment).is_none());
    assert_eq!(slashes(&chain), []);
}

#[test]
fn missed_duty_costs_a_thousandth() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.vote(segment, &members[..1], valid());
    let stake = (chain.stake(&members[0]), chain.stake(&members[1]));
    chain.blocks(61);
    chain.reveal(segment);
    assert_eq!(chain.stake(&members[0]), stake.0);
    assert_eq!(chain.stake(&members[1]), stake.1 - stake.1 / 1_000);
    let slash = slashes(&chain).pop().unwrap();
    assert_eq!((slash.rule, slash.node, slash.disqualified), (SlashRule::MissedDuty, id(&members[1]), false));
}

/// A leaf in a segment of two that `name` signed.
pub(super) fn proof(name: &str, lease: LeaseId, salt: u8) -> JobProof {
    let request = request(lease, 0);
    let mut answer = result(&request);
    answer.output_commitment = Digest::from([salt; 32]);
    let leaf = JobLeaf { request, result: answer };
    let leaves = [leaf.hash(), Digest::sha256(&[salt])];
    let terms = SegmentTerms { lease, index: 0, totals: totals(2, 10, 10), root: merkle_root(&leaves) };
    JobProof { terms, worker_signature: terms.sign_as_worker(&key(name)), leaf, path: merkle_path(&leaves, 0).unwrap() }
}

fn conflict(worker: &str, first: JobProof, second: JobProof) -> TransactionBody {
    TransactionBody::ProveConflict { worker: id(worker), first, second }
}

/// 100 % and for ever for two results over one request, proven by anyone.
#[test]
fn two_results_for_one_request_cost_everything() {
    let mut chain = Chain::ready(2);
    let lease = chain.lease();
    let stake = chain.stake("w0");
    let body = || conflict("w0", proof("w0", lease, 1), proof("w0", lease, 2));
    chain.ok("x0", body());
    assert_eq!(chain.stake("w0"), 0);
    let slash = slashes(&chain).pop().unwrap();
    assert_eq!((slash.rule, slash.amount.nano()), (SlashRule::ConflictingResults, stake));
    assert!(slash.disqualified);
    assert_eq!(slash.job, Some(request(lease, 0).job));
    let (_, hold) = chain.state.holds().last().unwrap();
    assert_eq!((hold.provers.as_slice(), hold.harmed), ([id("x0")].as_slice(), Some(id("g0"))));
    chain.fails("x1", body(), &Rejection::Disqualified);
    chain.fails("w0", offer(1), &Rejection::Disqualified);
    let commitment = chain.segment(lease, totals(1, 10, 10));
    chain.fails("w0", TransactionBody::CommitSegment { commitment }, &Rejection::Disqualified);
}

#[test]
fn conflict_needs_two_signed_results_of_one_request() {
    let mut chain = Chain::ready(2);
    let lease = chain.lease();
    let good = || (proof("w0", lease, 1), proof("w0", lease, 2));
    let unsigned = Rejection::Evidence { why: "a leaf is not in a segment that the worker signed" };
    let (first, second) = good();
    chain.fails("x0", conflict("w1", first.clone(), second.clone()), &unsigned);
    chain.fails("x0", conflict("w0", first.clone(), proof("w1", lease, 2)), &unsigned);
    chain.fails("x0", conflict("w0", proof("g0", lease, 1), second.clone()), &unsigned);
    let mut elsewhere = second.clone();
    elsewhere.path.index = 1;
    chain.fails("x0", conflict("w0", first.clone(), elsewhere), &unsigned);
    let mut edited = second.clone();
    edited.leaf.result.usage.completion_tokens += 1;
    chain.fails("x0", conflict("w0", first.clone(), edited), &unsigned);
    let other = proof("w0", LeaseId::new(Digest::ZERO), 2);
    chain.fails("x0", conflict("w0", first.clone(), other), &Rejection::Evidence { why: "the requests differ" });
    let same = Rejection::Evidence { why: "the results are equal" };
    chain.fails("x0", conflict("w0", first.clone(), first.clone()), &same);
    let unknown = Rejection::Unknown { what: "worker" };
    chain.fails("x0", conflict("x5", first, second), &unknown);
    chain.fails("x0", conflict("g0", proof("g0", lease, 1), proof("g0", lease, 2)), &unknown);
}

/// SPEC S3: neither the key nor the operator comes back.
#[test]
fn disqualification_binds_key_and_operator() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.ok("x0", conflict("w0", proof("w0", lease, 1), proof("w0", lease, 2)));
    let stake = Amount::from_ifr(1_000);
    let again = |name: &str, operator: &str, role: NodeRole| chain.registration(name, operator, role, stake);
    chain.fails("w0", again("w0", &operator_of("w0"), worker_role("w0")), &Rejection::Disqualified);
    chain.fails("w9", again("w9", &operator_of("w0"), worker_role("w9")), &Rejection::Disqualified);
    chain.fails("g9", again("g9", &operator_of("w0"), gateway_role()), &Rejection::Disqualified);
    let mut fresh = chain.clone();
    fresh.ok("x9", TransactionBody::RegisterOperator { bond: Amount::from_ifr(100) });
    let body = fresh.registration("w0", "x9", worker_role("w0"), stake);
    fresh.fails("w0", body, &Rejection::Disqualified);
    let body = fresh.registration("w9", "x9", worker_role("w9"), stake);
    fresh.ok("w9", body);
    let bond = TransactionBody::RegisterOperator { bond: Amount::from_ifr(100) };
    chain.fails(&operator_of("w0"), bond, &Rejection::Exists { what: "operator" });
}

/// SPEC S2: held for its time; then at most 30 % to who proved it, 20 % to who was harmed, and the
/// rest is gone.
#[test]
fn slashed_stake_is_held_then_shared_and_burned() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    chain.convict(lease, totals(1, 10, 10));
    let (_, hold) = chain.state.holds().next().unwrap();
    let (amount, release, provers) = (hold.amount().nano(), hold.releases_at_ms, hold.provers.clone());
    assert_eq!(release, chain.now_ms + chain.parameters().slash_hold_ms);
    assert_eq!((hold.harmed, provers.len()), (Some(id("g0")), 4));
    chain.block_at(release - 1);
    assert_eq!(chain.state.holds().count(), 1);
    let names: Vec<String> = provers.iter().map(|prover| chain.name(prover)).collect();
    let before: Vec<u64> = names.iter().map(|name| chain.balance(name)).collect();
    let (gateway, burned) = (chain.balance("g0"), chain.state.meta().burned.nano());
    let pool = chain.state.meta().validator_pool;
    let events = chain.block_at(release);
    assert_eq!(chain.state.meta().validator_pool, pool, "no epoch turned in between");
    let part = amount * 30 / 100 / 4;
    for (name, old) in names.iter().zip(before) {
        assert_eq!(chain.balance(name) - old, part);
    }
    // SPEC S2: 20 %, and never more than the harm: here the segment's fee.
    let fee = 1_000 * 10 + 2_000 * 10;
    assert!(fee < amount * 20 / 100);
    assert_eq!(chain.balance("g0") - gateway, fee);
    let gone = amount - part * 4 - fee;
    assert_eq!(chain.state.meta().burned.nano() - burned, gone);
    let released = Event::SlashReleased {
        slash: 0,
        node: id("w0"),
        rule: SlashRule::WrongResult,
        burned: Amount::from_nano(gone),
        to_each_prover: Amount::from_nano(part),
        to_harmed: Amount::from_nano(fee),
    };
    assert!(events.contains(&released));
    assert_eq!(chain.state.holds().count(), 0);
}

#[test]
fn slash_that_no_one_proved_burns_whole() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.vote(segment, &members[..1], valid());
    chain.blocks(61);
    chain.reveal(segment);
    let (_, hold) = chain.state.holds().next().unwrap();
    let (amount, release) = (hold.amount(), hold.releases_at_ms);
    chain.block_at(release);
    assert_eq!(chain.state.meta().burned, amount);
}

/// SPEC S3, V4: what a barred worker had coming goes back to who paid it.
#[test]
fn barred_worker_is_not_paid() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let fee: JobTotals = totals(1, 10, 20);
    let segment = chain.approve(lease, fee);
    chain.ok("x0", conflict("w0", proof("w0", lease, 1), proof("w0", lease, 2)));
    let (worker, gateway) = (chain.balance("w0"), chain.balance("g0"));
    let escrow = chain.state.lease(&lease).unwrap().escrow.nano();
    chain.blocks(25);
    assert_eq!(chain.state.segment(&segment), None);
    assert_eq!(chain.state.lease(&lease), None);
    assert_eq!(chain.balance("w0"), worker);
    assert_eq!(chain.balance("g0") - gateway, escrow - 50_000 + 40_000, "the rest of the lock, and the worker's 80 %");
}

/// SPEC N1: below half of the least stake there is too little left to answer with.
#[test]
fn worker_with_half_of_the_least_stake_is_leased_and_with_less_is_not() {
    for (nano, is_leased) in [(500_000_000_000, true), (499_999_999_999, false)] {
        let mut chain = Chain::ready(1);
        let mut node = chain.state.node(&id("w0")).unwrap().clone();
        let gone = Amount::from_nano(node.stake.nano() - nano);
        node.stake = Amount::from_nano(nano);
        chain.state.set_node(id("w0"), node);
        chain.state.meta_mut().treasury = chain.state.meta().treasury.add(gone).unwrap();
        chain.ok("w0", offer(1));
        let (_, lease) = chain.open("g0", task_terms());
        assert_eq!(chain.state.lease(&lease).is_some(), is_leased, "{nano}");
    }
}

/// SPEC S3: an operator answers for all its nodes, not only for the one that was caught.
#[test]
fn barred_operators_other_nodes_get_no_work() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let body = chain.registration("w1", &operator_of("w0"), worker_role("w1"), Amount::from_ifr(1_000));
    chain.ok("w1", body);
    chain.set_measured("w1", Tier::Mid, 1_000);
    let body = chain.registration("g1", &operator_of("w0"), gateway_role(), Amount::from_ifr(1_000));
    chain.ok("g1", body);
    chain.ok("w1", offer(1));
    let (first, second) = (proof("w0", lease, 1), proof("w0", lease, 2));
    chain.ok("x0", TransactionBody::ProveConflict { worker: id("w0"), first, second });
    chain.fails("w1", offer(2), &Rejection::Disqualified);
    chain.fails("g1", TransactionBody::OpenTask { terms: task_terms() }, &Rejection::Disqualified);
    chain.blocks(3);
    let open = TransactionBody::OpenTask { terms: task_terms() };
    chain.fails("g0", open, &Rejection::NoWorkers { tier: "mid" });
    assert_eq!(chain.state.offers.len(), 0);
}

/// SPEC S3: what a barred gateway had opened is nobody's task any more; its escrow is.
#[test]
fn barred_gateways_open_tasks_end() {
    let mut chain = Chain::ready(1);
    let balance = chain.balance("g0");
    let fee = fee_of(chain.parameters(), &chain.tx("g0", TransactionBody::OpenTask { terms: task_terms() })).nano();
    let (task, _) = chain.open("g0", task_terms());
    assert!(chain.state.task(&task).is_some());
    let lease = LeaseId::new(Digest::ZERO);
    let events = chain.ok("x0", double("g0", signed(lease, 0, 10), signed(lease, 0, 11)));
    assert!(events.contains(&Event::TaskExpired { task, requester: id("g0") }));
    assert_eq!((chain.state.task(&task), chain.balance("g0")), (None, balance - fee));
}

// SPEC S: a gateway that signs two sums for one segment.

/// `g0` signs such totals for the first segment of a lease.
fn signed(lease: LeaseId, index: u32, tokens: u64) -> SignedTotals {
    let terms = SegmentTerms { lease, index, totals: totals(1, tokens, 10), root: Digest::ZERO };
    SignedTotals { terms, gateway_signature: terms.sign_as_gateway(&key("g0")) }
}

fn double(gateway: &str, first: SignedTotals, second: SignedTotals) -> TransactionBody {
    TransactionBody::ProveDoubleSigning { gateway: id(gateway), first, second }
}

/// 100 % and for ever, proven by anyone; the lease's worker was harmed.
#[test]
fn gateway_that_signs_two_sums_loses_its_bond() {
    let mut chain = Chain::ready(1);
    let lease = chain.lease();
    let stake = chain.stake("g0");
    chain.ok("x0", double("g0", signed(lease, 0, 10), signed(lease, 0, 11)));
    assert_eq!(chain.stake("g0"), 0);
    let slash = slashes(&chain).pop().unwrap();
    assert_eq!((slash.rule, slash.amount.nano(), slash.role.as_str()), (SlashRule::DoubleSigning, stake, "gateway"));
    assert_eq!((slash.disqualified, slash.segment), (true, Some(SegmentId::of_lease(lease, 0))));
    let (_, hold) = chain.state.holds().last().unwrap();
    assert_eq!((hold.provers.as_slice(), hold.harmed), ([id("x0")].as_slice(), Some(id("w0"))));
    assert!(chain.state.operator(&id(&operator_of("g0"))).unwrap().barred);
    let again = double("g0", signed(lease, 0, 10), signed(lease, 0, 12));
    chain.fails("x1", again, &Rejection::Disqualified);
    chain.fails("g0", TransactionBody::OpenTask { terms: task_terms() }, &Rejection::Disqualified);
}

/// Another root or count is another sum, too; a lease that is gone harmed no one that is known.
#[test]
fn any_difference_between_signed_sums_is_proof() {
    let chain = Chain::ready(1);
    let lease = LeaseId::new(Digest::ZERO);
    let first = signed(lease, 0, 10);
    let roots = SegmentTerms { root: Digest::sha256(b"another"), ..first.terms };
    let jobs = SegmentTerms { totals: totals(2, 10, 10), ..first.terms };
    for terms in [roots, jobs] {
        let mut chain = chain.clone();
        let second = SignedTotals { terms, gateway_signature: terms.sign_as_gateway(&key("g0")) };
        chain.ok("w0", double("g0", first, second));
        assert_eq!(chain.state.holds().last().unwrap().1.harmed, None);
    }
}

#[test]
fn double_signing_needs_two_sums_of_one_segment_by_one_gateway() {
    let mut chain = Chain::ready(1);
    chain.register("g1", gateway_role(), Amount::from_ifr(1_000));
    let lease = chain.lease();
    let (first, second) = (signed(lease, 0, 10), signed(lease, 0, 11));
    let unsigned = Rejection::Evidence { why: "the gateway did not sign both" };
    let as_worker =
        |signed: SignedTotals| SignedTotals { gateway_signature: signed.terms.sign_as_worker(&key("g0")), ..signed };
    chain.fails("x0", double("g1", first, second), &unsigned);
    chain.fails("x0", double("g0", as_worker(first), second), &unsigned);
    chain.fails("x0", double("g0", first, as_worker(second)), &unsigned);
    let swapped = SignedTotals { gateway_signature: first.gateway_signature, ..second };
    chain.fails("x0", double("g0", first, swapped), &unsigned);
    let differ = Rejection::Evidence { why: "the segments differ" };
    chain.fails("x0", double("g0", first, signed(lease, 1, 11)), &differ);
    chain.fails("x0", double("g0", first, signed(LeaseId::new(Digest::ZERO), 0, 11)), &differ);
    chain.fails("x0", double("g0", first, first), &Rejection::Evidence { why: "the sums are equal" });
    let unknown = Rejection::Unknown { what: "gateway" };
    for name in ["w0", "v0", "x5"] {
        chain.fails("x0", double(name, first, second), &unknown);
    }
    chain.ok("x0", double("g0", first, second));
}

// S5.

/// SPEC S5: slashes about a profile may take a tenth of all stake in an epoch, to the nano.
#[test]
fn profile_is_paused_beyond_its_limit_of_slashes() {
    for (more, is_paused) in [(-1i64, false), (0, false), (1, true)] {
        let mut chain = Chain::ready(2);
        chain.ok("w1", offer(1));
        let lease = chain.lease();
        let (worker, segment) = (chain.state.lease(&lease).unwrap().worker, chain.commit(lease, totals(1, 10, 10)));
        let members = chain.draw(segment);
        chain.vote(segment, &members, invalid());
        let rest = chain.silent_members(segment);
        let (name, last) = chain.last_reveal(segment, &[(&rest[0], invalid()), (&rest[1], invalid())]);
        // As if other slashes had taken the rest already, in the epoch of the last vote.
        let stake = chain.state.node(&worker).unwrap().stake.nano();
        let amount = stake / 10;
        let limit = (chain.state.meta().bonded.nano() - amount) / 10;
        let before = limit.checked_add_signed(more).unwrap() - amount;
        let next_ms = chain.now_ms + BLOCK_MS - chain.state.meta().epoch_started_ms;
        let epoch = chain.state.meta().epoch + next_ms / chain.parameters().epoch_ms;
        let mut entry = chain.state.profile(&profile()).unwrap().clone();
        entry.slashed = (epoch, Amount::from_nano(before));
        let mut last_epochs = entry.clone();
        chain.state.profiles.insert(profile(), entry);
        // What an earlier epoch took does not count.
        last_epochs.slashed.0 = epoch.wrapping_sub(1);
        let mut other = chain.clone();
        other.state.profiles.insert(profile(), last_epochs);
        for (chain, is_paused) in [(&mut chain, is_paused), (&mut other, false)] {
            chain.ok(&name, last.clone());
            assert_eq!(slashes(chain).pop().unwrap().amount.nano(), amount);
            assert_eq!(chain.history.contains(&Event::ProfilePaused { profile: profile() }), is_paused, "{more}");
            let listing = if is_paused { Listing::Paused } else { Listing::Declared };
            assert_eq!(chain.state.profile(&profile()).unwrap().listing, listing);
            let open = TransactionBody::OpenTask { terms: task_terms() };
            if is_paused {
                chain.fails("g0", open, &Rejection::ProfileClosed { listing: "paused" });
                let body = TransactionBody::OpenAssessment { profile: profile(), report: report(Tier::Mid) };
                let free = if worker == id("w1") { "w0" } else { "w1" };
                chain.fails(free, body, &Rejection::ProfileClosed { listing: "paused" });
            } else {
                chain.ok("g0", open);
            }
        }
        // Until a vote, which takes away nothing else.
        if is_paused {
            let action = ProposalAction::ApproveProfile { profile: model("model") };
            assert_eq!(chain.enact(action), ProposalOutcome::Executed);
            chain.ok("g0", TransactionBody::OpenTask { terms: task_terms() });
        }
    }
}

// S2.

/// A committee member of `chain` with own, delegated and leaving stake; its segment.
fn invested(chain: &mut Chain) -> (SegmentId, String) {
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let member = chain.draw(segment)[0].clone();
    chain.ok("x1", bond(&member, 1_001));
    chain.ok("x2", bond(&member, 2_002));
    chain.ok("x2", unbond(&member, 333));
    (segment, member)
}

fn unearning() -> Parameters {
    Parameters {
        fee_share_validators: Ppm::new(0),
        delegation_min: Amount::from_nano(1),
        profile_slash_max: Ppm::ONE,
        unbond_ms: 3_600_000,
        ..feeless(4)
    }
}

fn stakes(chain: &Chain, name: &str) -> (u64, Pool, Pool) {
    let node = chain.state.node(&id(name)).unwrap();
    (node.stake.nano(), node.delegated, node.unbonding)
}

/// SPEC S2: an appeal gives back exactly what was taken, to whom it was taken from.
#[test]
fn won_appeal_gives_everything_back() {
    let mut chain = Chain::with(4, unearning()).furnished(1);
    let (segment, member) = invested(&mut chain);
    let before = stakes(&chain, &member);
    chain.dissent(segment, &member, invalid(), valid());
    let (number, hold) = chain.state.holds().next().map(|(number, hold)| (*number, hold.clone())).unwrap();
    assert_eq!([hold.own.nano(), hold.delegated.nano(), hold.unbonding.nano()], [before.0 / 20, 133, 16]);
    assert_ne!(stakes(&chain, &member), before);
    let burned = chain.state.meta().burned;
    assert_eq!(chain.enact(ProposalAction::Restitute { slash: number }), ProposalOutcome::Executed);
    assert_eq!(stakes(&chain, &member), before, "shares, too");
    let overturned = Event::SlashOverturned { slash: number, node: id(&member), amount: hold.amount() };
    assert!(chain.events.contains(&overturned));
    assert_eq!((chain.state.node(&id(&member)).unwrap().holds, chain.state.holds().count()), (0, 0));
    assert_eq!((chain.state.meta().slashes_overturned, chain.state.meta().burned), (1, burned));
    // Nothing is left to be released.
    chain.wait_until(hold.releases_at_ms);
    assert_eq!(chain.state.meta().burned, burned);
    chain.ok("x3", bond(&member, 5));
}

/// Two slashes bar one validator: it comes back with the second appeal, not with the first.
#[test]
fn right_to_work_comes_back_when_no_slash_stands_against_it() {
    let mut chain = Chain::with(4, unearning()).furnished(1);
    let (first, second) = (chain.lease(), chain.lease());
    let segments = [chain.commit(first, totals(1, 10, 10)), chain.commit(second, totals(1, 10, 10))];
    let members = segments.map(|segment| chain.draw(segment));
    // Everyone is asked about both; the same one approves both.
    let liar = members[0][0].clone();
    let votes = |names: &[String]| -> Vec<(String, VerdictVote)> {
        let vote = |name: &String| if *name == liar { valid() } else { invalid() };
        // One of the others shows its vote last.
        let mut votes: Vec<_> = names.iter().map(|name| (name.clone(), vote(name))).collect();
        votes.sort_by_key(|(name, _)| *name == liar);
        votes
    };
    let stake = chain.stake(&liar);
    let mut last = Vec::new();
    for (segment, members) in segments.into_iter().zip(&members) {
        let first = votes(members);
        chain.cast(segment, &first.iter().map(|(name, vote)| (name.as_str(), *vote)).collect::<Vec<_>>());
        let rest = votes(&chain.silent_members(segment));
        last.push(
            chain.last_reveal(segment, &rest.iter().map(|(name, vote)| (name.as_str(), *vote)).collect::<Vec<_>>()),
        );
    }
    for (name, body) in last {
        chain.ok(&name, body);
    }
    let rules: Vec<_> = slashes(&chain).into_iter().map(|slash| (slash.slash, slash.node, slash.rule)).collect();
    let of_liar: Vec<u64> = rules.iter().filter(|(_, node, _)| *node == id(&liar)).map(|(slash, ..)| *slash).collect();
    assert_eq!((of_liar.len(), chain.state.node(&id(&liar)).unwrap().holds), (2, 2));
    let is_barred = |chain: &Chain| {
        let node = chain.state.node(&id(&liar)).unwrap();
        (node.disqualified, chain.state.operator(&node.operator).unwrap().barred)
    };
    for order in [[0, 1], [1, 0]] {
        let mut chain = chain.clone();
        assert_eq!(is_barred(&chain), (true, true));
        chain.enact(ProposalAction::Restitute { slash: of_liar[order[0]] });
        assert_eq!(is_barred(&chain), (true, true));
        chain.enact(ProposalAction::Restitute { slash: of_liar[order[1]] });
        assert_eq!((is_barred(&chain), chain.stake(&liar)), ((false, false), stake));
    }
}

/// SPEC G1: what a vote took, no appeal about something else gives back.
#[test]
fn removed_validator_does_not_come_back_by_an_appeal() {
    let parameters = Parameters { challenge_ms: 300_000, slash_hold_ms: 3_600_000, ..unearning() };
    let mut chain = Chain::with(5, parameters).furnished(1);
    chain.ok("x9", TransactionBody::Transfer { to: id("g0"), amount: Amount::from_ifr(100) });
    let lease = chain.lease();
    let segment = chain.approve(lease, totals(1, 10, 10));
    let SegmentState::Final { approval, .. } = chain.state.segment(&segment).unwrap().state.clone() else {
        panic!("final")
    };
    let removed = chain.name(&approval.approvers[0]);
    chain.enact(ProposalAction::RemoveValidator { validator: id(&removed) });
    assert!(chain.state.segment(&segment).is_some());
    chain.ok("g0", TransactionBody::OpenDispute { segment });
    let court = chain.draw(segment);
    assert!(!court.contains(&removed));
    chain.vote_rest(segment, invalid());
    let slash = slashes(&chain).into_iter().find(|slash| slash.node == id(&removed)).unwrap();
    assert_eq!(slash.rule, SlashRule::WrongApproval, "what is leaving still answers for it");
    assert_eq!(slash.amount.nano(), 50_000 * IFR);
    assert_eq!(chain.enact(ProposalAction::Restitute { slash: slash.slash }), ProposalOutcome::Executed);
    let node = chain.state.node(&id(&removed)).unwrap();
    assert_eq!((node.unbonding.tokens.nano(), node.disqualified), (50_000 * IFR, true));
}

/// SPEC S2, M7: provers and the harmed get their part of the offender's own stake; what was its
/// delegators' only burns.
#[test]
fn delegators_stake_only_burns() {
    let mut chain = Chain::with(4, unearning()).furnished(1);
    let (segment, member) = invested(&mut chain);
    chain.dissent(segment, &member, invalid(), valid());
    let (_, hold) = chain.state.holds().next().unwrap();
    let (own, others, release) = (hold.own.nano(), hold.delegated.nano() + hold.unbonding.nano(), hold.releases_at_ms);
    assert_eq!((hold.provers.len(), others), (3, 149));
    chain.wait_until(release - 1);
    let events = chain.wait_until(release);
    let to_each_prover = own * 3 / 10 / 3;
    let fee = chain.state.segment(&segment).map_or(30_000, |segment| segment.fee.nano());
    let released = Event::SlashReleased {
        slash: 0,
        node: id(&member),
        rule: SlashRule::WrongRejection,
        burned: Amount::from_nano(own - 3 * to_each_prover - fee + others),
        to_each_prover: Amount::from_nano(to_each_prover),
        to_harmed: Amount::from_nano(fee),
    };
    assert!(events.contains(&released), "{events:?}");
    assert_eq!(chain.state.node(&id(&member)).unwrap().holds, 0);
}

/// Each slash of a node is counted while it is held.
#[test]
fn holds_are_counted_until_their_end() {
    let mut chain = Chain::with(4, unearning()).furnished(1);
    let (first, second) = (chain.lease(), chain.lease());
    let segments = [chain.commit(first, totals(1, 10, 10)), chain.commit(second, totals(1, 10, 10))];
    for segment in segments {
        chain.draw(segment);
    }
    chain.blocks(62);
    let held: u32 = chain.state.nodes().map(|(_, node)| node.holds).sum();
    assert_eq!((usize::try_from(held).unwrap(), chain.state.holds().count()), (4, 4));
    // Their widened committees are late as well: four each.
    chain.blocks(61);
    assert_eq!(chain.state.holds().count(), 12);
    for _ in 0..620 {
        chain.blocks(1);
        let held: u32 = chain.state.nodes().map(|(_, node)| node.holds).sum();
        assert_eq!(usize::try_from(held).unwrap(), chain.state.holds().count());
    }
    assert_eq!(chain.state.holds().count(), 0);
}

/// SPEC N4: with less than half of the least stake a validator judges no more; with half it does.
#[test]
fn validator_with_too_little_stake_is_not_drawn() {
    for (missing, expected) in [(0, 4), (1, 3)] {
        let mut chain = Chain::ready(1);
        let mut node = chain.state.node(&id("v2")).unwrap().clone();
        let half = chain.parameters().validator_stake_min.nano() / 2 - missing;
        let rest = node.stake.sub(Amount::from_nano(half)).unwrap();
        node.stake = Amount::from_nano(half);
        chain.state.set_node(id("v2"), node);
        let treasury = chain.state.meta().treasury.add(rest).unwrap();
        chain.state.meta_mut().treasury = treasury;
        let lease = chain.lease();
        let segment = chain.commit(lease, totals(1, 10, 10));
        let members = chain.draw(segment);
        chain.vote(segment, &members, invalid());
        let all = chain.committee(segment);
        assert_eq!((all.len(), all.contains(&"v2".to_owned())), (expected, missing == 0));
    }
}

/// SPEC S2: a won appeal takes back the jail and the fault, but not those of another slash.
#[test]
fn won_appeal_frees_and_forgets_what_it_is_about() {
    let mut chain = Chain::with(4, unearning()).furnished(1);
    let (first, second) = (chain.lease(), chain.lease());
    let segments = [chain.commit(first, totals(1, 10, 10)), chain.commit(second, totals(1, 10, 10))];
    for segment in segments {
        chain.draw(segment);
        chain.vote_rest(segment, invalid());
    }
    let worker = |chain: &Chain| chain.state.node(&id("w0")).unwrap().clone();
    assert_eq!(worker(&chain).faults_ms.len(), 2);
    let numbers: Vec<u64> = chain.state.holds().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), 2);
    // As long as votes take, the jail would be over by itself.
    let jailed = worker(&chain).active_from_epoch + 1_000;
    let mut node = worker(&chain);
    node.active_from_epoch = jailed;
    chain.state.set_node(id("w0"), node);
    assert_eq!(chain.enact(ProposalAction::Restitute { slash: numbers[0] }), ProposalOutcome::Executed);
    assert_eq!((worker(&chain).faults_ms.len(), worker(&chain).active_from_epoch), (1, jailed));
    assert_eq!(chain.enact(ProposalAction::Restitute { slash: numbers[1] }), ProposalOutcome::Executed);
    assert!(worker(&chain).faults_ms.is_empty() && worker(&chain).is_active(chain.state.meta().epoch));
}
