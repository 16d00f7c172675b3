//! Random histories against a naive ledger (`model.rs`).

use super::model::Model;
use super::requests::asked;
use super::slashing::proof;
use super::stalls::{request, result};
use super::support::*;
use crate::{Phase, SegmentState, StallState, assemble};
use inferium_types::{
    Amount, Digest, Event, JobFault, LeaseId, OfferTerms, Parameters, Ppm, Price, SegmentTerms, SignedTotals, StallId,
    TaskTerms, Tier, TransactionBody, VerdictVote, VerifiedTransaction,
};
use proptest::{prelude::*, strategy::ValueTree as _};
use std::collections::BTreeMap;

/// One thing that someone tries; numbers choose who and what.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    kind: u8,
    who: u8,
    what: u8,
    much: u16,
}

fn nth<T>(items: impl IntoIterator<Item = T>, index: u8) -> Option<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    let count = items.len();
    (count > 0).then(|| items.swap_remove(usize::from(index) % count))
}

/// Turns an attempt into a transaction that has a chance.
#[expect(clippy::too_many_lines, reason = "one match over everything that happens")]
fn transaction(chain: &Chain, attempt: Attempt) -> Option<VerifiedTransaction> {
    let Attempt { kind, who, what, much } = attempt;
    let worker = format!("w{}", who % 3);
    let gateway = format!("g{}", who % 2);
    let state = &chain.state;
    let lease = || nth(state.leases().map(|(id, lease)| (*id, *lease)), what);
    let (sender, body) = match kind {
        0 => {
            let amount = Amount::from_nano(u64::from(much) << (what % 40));
            (format!("x{}", who % 3), TransactionBody::Transfer { to: id(&format!("x{}", what % 4)), amount })
        }
        1 | 2 => {
            let price = Price {
                prompt_token: Amount::from_nano(u64::from(what) * 4),
                completion_token: Amount::from_nano(u64::from(what) * 8),
            };
            let terms = OfferTerms { slots: u32::from(much % 5), price, context_tokens: 2_048 };
            (worker, TransactionBody::SetOffer { profile: profile(), terms })
        }
        3..=5 => {
            let terms = TaskTerms {
                jobs_max: u32::from(what % 7),
                tokens_max: u64::from(much) * 8,
                slots: 1 + u32::from(what % 3),
                open_ms: u64::from(what) * 200,
                lease_ms: u64::from(much),
                ..task_terms()
            };
            (gateway, TransactionBody::OpenTask { terms })
        }
        6 => {
            let (id, lease) = lease()?;
            let side = if who % 2 == 0 { lease.worker } else { lease.gateway };
            (chain.name(&side), TransactionBody::CloseLease { lease: id })
        }
        7..=10 => {
            let (id, lease) = lease()?;
            let totals = totals(1 + u32::from(who % 3), u64::from(much) / 16, u64::from(much) / 8);
            let commitment = chain.segment(id, totals);
            (chain.name(&lease.worker), TransactionBody::CommitSegment { commitment })
        }
        11..=18 | 41..=48 => {
            let (segment, entry) = nth(
                state.segments().filter(|(_, segment)| matches!(segment.state, SegmentState::Judging { .. })),
                what,
            )?;
            // Some segments are bad, some only when a court looks, some are left alone by one member,
            // and some votes are wrong.
            let kind = segment.digest().as_bytes()[0] % 8;
            let is_bad = kind == 0 || (kind < 4 && entry.dispute.is_some());
            let vote = |member: &str| {
                // What a member found it finds again when it shows it.
                let SegmentState::Judging { seed, .. } = &entry.state else { return valid() };
                match Digest::of("test-vote", &[seed.as_bytes(), member.as_bytes()]).as_bytes()[0] % 40 {
                    0 => VerdictVote::Unavailable,
                    1 | 2 if is_bad => valid(),
                    1..4 => VerdictVote::Invalid { job: 0, fault: JobFault::Logits },
                    _ if is_bad => invalid(),
                    _ => valid(),
                }
            };
            if chain.phase(*segment) == Some(Phase::Revealing) {
                let member = nth(chain.hidden_members(*segment), who)?;
                // At times another vote than what was committed to, and some are never shown.
                let is_another = much % 16 == 0;
                let shown = if is_another { VerdictVote::Unavailable } else { vote(&member) };
                if kind == 2 && member == "v1" {
                    return None;
                }
                let body = reveal(*segment, &member, shown);
                return Some(chain.tx(&member, body));
            }
            let member = nth(chain.silent_members(*segment), who)?;
            if kind == 1 && member == "v0" {
                return None;
            }
            let body = if much % 4 == 0 {
                verdict(*segment, vote(&member))
            } else {
                chain.commitment(*segment, &member, vote(&member))
            };
            (member, body)
        }
        19 => {
            let (id, lease) = lease()?;
            (chain.name(&lease.gateway), TransactionBody::ReportStall { request: request(id, 0) })
        }
        20 | 21 => {
            let (stall, entry) = nth(state.stalls(), what)?;
            let StallState::Relaying { relays, .. } = &entry.state else { return None };
            (chain.name(&nth(relays, who)?.0), TransactionBody::CertifyDelivery { stall: *stall })
        }
        22 if much % 2 == 0 => {
            let (stall, entry) = nth(state.stalls(), what)?;
            let answer = result(&request(entry.lease, 0));
            (chain.name(&entry.worker), TransactionBody::AnswerStall { stall: *stall, result: answer })
        }
        23 if much % 40 == 0 => {
            let (id, lease) = lease()?;
            let name = chain.name(&lease.worker);
            let (first, second) = (proof(&name, id, 1), proof(&name, id, 2));
            (format!("x{}", who % 3), TransactionBody::ProveConflict { worker: lease.worker, first, second })
        }
        24 => (
            format!("x{}", 3 + who % 3),
            TransactionBody::RegisterOperator { bond: Amount::from_ifr(90 + u64::from(what % 20)) },
        ),
        25 => {
            let name = format!("x{}", 6 + who % 3);
            let body =
                chain.registration(&name, &format!("x{}", 3 + what % 3), worker_role(&name), Amount::from_ifr(1_000));
            (name, body)
        }
        26 => (worker, TransactionBody::CloseLease { lease: LeaseId::new(Digest::from([what; 32])) }),
        27 => (worker, TransactionBody::CertifyDelivery { stall: StallId::new(Digest::from([what; 32])) }),
        28..=30 => {
            let names = ["x0", "x1", "x2", "v0", "w0", "g0"];
            let node = [worker, format!("v{}", what % 6), format!("v{}", what % 2)][usize::from(what) % 3].clone();
            let sender = if much % 8 == 0 { node.clone() } else { names[usize::from(who) % 6].into() };
            (sender, bond(&node, u64::from(much) << (what % 24)))
        }
        31..=33 => {
            let ((account, validator), delegation) = nth(state.delegations.iter(), what)?;
            let worth = state.node(validator)?.delegated.value(delegation.shares).nano();
            let nano = match much % 5 {
                0 => worth,
                1 => worth + 1,
                2 => worth / 3 + 1,
                3 => 1,
                _ => worth / 2,
            };
            (chain.name(account), unbond(&chain.name(validator), nano))
        }
        34 => {
            // Own stake: some of what is above the least, all of it, or more.
            let node = if what % 2 == 0 { worker } else { format!("v{}", what % 6) };
            let stake = chain.stake(&node);
            let nano = match much % 16 {
                0 => stake,
                1 => stake + 1,
                _ => u64::from(much),
            };
            let sender = if who % 2 == 0 { node.clone() } else { operator_of(&node) };
            (sender, unbond(&node, nano))
        }
        35 => {
            let commission = Ppm::new(u32::from(much) * 10);
            (format!("v{}", what % 6), TransactionBody::SetCommission { commission })
        }
        36 => (worker, TransactionBody::OpenAssessment { profile: profile(), report: report(Tier::Mid) }),
        37..=39 => {
            let (segment, entry) =
                nth(state.segments().filter(|(_, entry)| matches!(entry.state, SegmentState::Final { .. })), what)?;
            let sender = if much % 2 == 0 { chain.name(&entry.gateway) } else { format!("v{}", who % 6) };
            (sender, TransactionBody::OpenDispute { segment: *segment })
        }
        40 if much % 16 == 0 => {
            let (lease, _) = nth(state.leases().filter(|(_, lease)| lease.gateway == id("g1")), what)?;
            let signed = |jobs| {
                let terms = SegmentTerms { lease: *lease, index: 0, totals: totals(jobs, 1, 1), root: Digest::ZERO };
                SignedTotals { terms, gateway_signature: terms.sign_as_gateway(&key("g1")) }
            };
            let gateway = id("g1");
            let body = if who % 2 == 0 {
                let (first, second) = (signed(1), signed(2));
                TransactionBody::ProveDoubleSigning { gateway, first, second }
            } else {
                let (first, second) = (asked("g1", *lease, 0, 7, 1), asked("g1", *lease, 1, 7, 2));
                TransactionBody::ProveDoubleRequest { gateway, first, second }
            };
            (format!("x{}", who % 3), body)
        }
        _ => return None,
    };
    Some(chain.tx(&sender, body))
}

/// Runs a history; counts what happened in it.
fn run(history: &[(Vec<Attempt>, u16)]) -> BTreeMap<&'static str, u32> {
    // Whatever is slashed, work goes on (S5).
    let parameters = Parameters { profile_slash_max: Ppm::ONE, ..devnet(6) };
    let mut chain = Chain::with(6, parameters).furnished(3);
    chain.register("g1", gateway_role(), Amount::from_ifr(1_000));
    for index in 0..6 {
        for name in [format!("v{index}"), operator_of(&format!("v{index}"))] {
            chain.ok("x9", TransactionBody::Transfer { to: id(&name), amount: Amount::from_ifr(1_000) });
        }
    }
    while !chain.state.epoch_works.is_empty() {
        chain.blocks(1);
    }
    let mut model = Model::of(&chain);
    let mut met = BTreeMap::new();
    for (attempts, wait) in history {
        let candidates: Vec<VerifiedTransaction> =
            attempts.iter().filter_map(|attempt| transaction(&chain, *attempt)).collect();
        // Commissions are set between verdicts' blocks: the model pays for verdicts after all else.
        let is = |candidate: &VerifiedTransaction, wanted: fn(&TransactionBody) -> bool| {
            wanted(&candidate.transaction().body)
        };
        let judges =
            candidates.iter().any(|candidate| is(candidate, |b| matches!(b, TransactionBody::SubmitVerdict { .. })));
        let candidates = candidates
            .into_iter()
            .filter(|candidate| !judges || !is(candidate, |b| matches!(b, TransactionBody::SetCommission { .. })))
            .collect();
        let mut environment = chain.environment();
        // Mostly a second, at times a minute.
        environment.timestamp_ms =
            chain.now_ms + if wait % 16 == 0 { 1 + u64::from(*wait) } else { 1 + u64::from(wait % 2_000) };
        let assembled = assemble(&chain.state, &environment, candidates).unwrap();
        let events = chain.block_in(&environment, &assembled.transactions).unwrap();
        assert_eq!(events, assembled.executed.events);
        assert_eq!(chain.state, assembled.executed.state);
        model.block(&chain, &assembled.transactions, &events);
        for event in &events {
            *met.entry(kind(event)).or_default() += 1;
        }
    }
    // Left alone, everything ends by itself (SPEC T3) and every escrow is back or paid.
    for _ in 0..900 {
        let events = chain.block(&[]);
        model.block(&chain, &[], &events);
        for event in &events {
            *met.entry(kind(event)).or_default() += 1;
        }
    }
    assert_eq!((chain.state.unbondings().count(), chain.state.holds().count()), (0, 0));
    assert_eq!((chain.state.tasks().count(), chain.state.stalls().count()), (0, 0));
    assert_eq!((chain.state.leases().count(), chain.state.segments().count()), (0, 0));
    assert!(chain.state.nodes().all(|(_, node)| node.unsettled.is_zero()));
    met
}

const fn kind(event: &Event) -> &'static str {
    match event {
        Event::TaskExpired { .. } => "expired",
        Event::LeaseGranted { .. } => "granted",
        Event::LeaseClosed { .. } => "closed",
        Event::SegmentApproved(outcome) if outcome.settled => "settled",
        Event::SegmentRejected { .. } => "rejected",
        Event::Slashed(slash) => slash.rule.name(),
        Event::SlashReleased { .. } => "released",
        Event::Bonded { .. } => "bonded",
        Event::Unbonding { .. } => "unbonding",
        Event::Unbonded { .. } => "unbonded",
        Event::CapabilityMeasured { .. } => "measured",
        Event::TierLost { .. } => "tier lost",
        Event::DisputeClosed { upheld: true, .. } => "upheld",
        Event::DisputeClosed { returned, .. } if returned.is_zero() => "dismissed",
        Event::DisputeClosed { .. } => "undecided",
        Event::Rewarded { emission, .. } if !emission.is_zero() => "emission",
        Event::TransactionFailed { .. } => "failed",
        _ => "other",
    }
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (0u8..49, any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(kind, who, what, much)| Attempt {
        kind,
        who,
        what,
        much,
    })
}

fn history(blocks: usize) -> impl Strategy<Value = Vec<(Vec<Attempt>, u16)>> {
    prop::collection::vec((prop::collection::vec(attempt(), 0..6), any::<u16>()), blocks..=blocks)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn money_agrees_with_a_naive_ledger(history in history(150)) {
        run(&history);
    }
}

/// The histories are not idle: together they meet everything that moves money.
#[test]
fn histories_meet_every_way_money_moves() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met: BTreeMap<&'static str, u32> = BTreeMap::new();
    for _ in 0..16 {
        let history = history(200).new_tree(&mut runner).unwrap().current();
        for (kind, count) in run(&history) {
            *met.entry(kind).or_default() += count;
        }
    }
    for wanted in [
        "expired",
        "granted",
        "closed",
        "settled",
        "rejected",
        "released",
        "failed",
        "deadline_missed",
        "wrong_result",
        "conflicting_results",
        "wrong_approval",
        "wrong_rejection",
        "missed_duty",
        "double_signing",
        "bonded",
        "unbonding",
        "unbonded",
        "measured",
        "tier lost",
        "upheld",
        "dismissed",
        "undecided",
        "emission",
    ] {
        assert!(met.contains_key(wanted), "{wanted} is missing in {met:?}");
    }
}
