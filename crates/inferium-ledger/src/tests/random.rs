//! Random histories against a naive ledger (`model.rs`).
//!
//! A history is a list of blocks; a failing one is told with as few of them as fail still.

use super::forced::opens;
use super::foreign;
use super::model::Model;
use super::planting::Planting;
use super::requests::asked;
use super::slashing::proof;
use super::stalls::{request, result};
use super::statistics::{measured, tolerance};
use super::support::*;
use crate::{Phase, Segment, SegmentState, StallState, assemble};
use inferium_types::{
    Amount, Digest, Event, ForcedKind, JobFault, LeaseId, OfferTerms, Parameters, Ppm, Price, RejectReason, SegmentId,
    SegmentTerms, SignedTotals, StallId, TaskTerms, Tier, TransactionBody, VerdictVote, VerifiedTransaction,
};
use proptest::{prelude::*, strategy::ValueTree as _};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
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

/// True in a world where jobs are planted (SPEC V5).
fn plants(chain: &Chain) -> bool {
    chain.parameters().forced_share.get() > 0 && !measures(chain)
}

/// True in a world whose profile is measured (SPEC V6, V9).
fn measures(chain: &Chain) -> bool {
    chain.model.engine.is_measured()
}

/// The approval of a segment. Where that says what was measured, one worker cheats a little, and a member errs at times.
fn approval_of(chain: &Chain, id: SegmentId, segment: &Segment, errs: bool) -> VerdictVote {
    if !measures(chain) {
        return if errs { unseen() } else { valid() };
    }
    let dice = u32::from(id.digest().as_bytes()[1]);
    let flips = if chain.name(&segment.worker) == "w2" && dice.is_multiple_of(2) { 8 + dice % 4 } else { dice % 3 };
    if foreign::is_foreign(chain) {
        foreign::measured(flips + u32::from(errs))
    } else {
        measured(flips + u32::from(errs))
    }
}

fn planting(chain: &Chain, segment: &Segment) -> Option<Planting> {
    let terms = segment.terms;
    plants(chain).then(|| Planting::of(chain, terms.lease, terms.index, terms.totals))
}

/// What the member finds: what it found once it finds again when it shows it.
///
/// Some segments are bad, some only when a court looks, some are left alone by one member, and some
/// votes are wrong.
fn vote_of(chain: &Chain, id: SegmentId, segment: &Segment, member: &str) -> VerdictVote {
    let SegmentState::Judging { seed, .. } = &segment.state else { return valid() };
    let dice = *Digest::of("test-vote", &[seed.as_bytes(), member.as_bytes()]).as_bytes();
    // A planted job is seen, unless nobody looks.
    let planting = planting(chain, segment).filter(|planting| planting.planted == Some(ForcedKind::Wrong));
    if let Some(planting) = planting.filter(|_| segment.opening.planted().is_none() && !dice[1].is_multiple_of(6)) {
        return VerdictVote::Invalid { job: u32::try_from(planting.job()).unwrap(), fault: JobFault::Logits };
    }
    let kind = id.digest().as_bytes()[0] % 8;
    let is_bad = kind == 0 || (kind < 4 && segment.dispute.is_some());
    match dice[0] % 40 {
        0 => VerdictVote::Unavailable,
        1 | 2 if is_bad => approval_of(chain, id, segment, false),
        1..4 => VerdictVote::Invalid { job: 0, fault: JobFault::Logits },
        _ if is_bad => invalid(),
        _ => approval_of(chain, id, segment, dice[2].is_multiple_of(40)),
    }
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
            let terms = OfferTerms { slots: u32::from(much % 5), price, context_tokens: 2_048, batches: true };
            (worker, TransactionBody::SetOffer { profile: chain.profile(), terms })
        }
        3..=5 => {
            // Where jobs are planted, most leases have room for them.
            let (jobs, tokens) = if plants(chain) && what % 8 > 0 { (64, 16_384) } else { (0, 0) };
            let terms = TaskTerms {
                jobs_max: jobs + u32::from(what % 7),
                tokens_max: tokens + u64::from(much) * 8,
                slots: 1 + u32::from(what % 3),
                open_ms: u64::from(what) * 200,
                lease_ms: u64::from(much),
                ..chain.terms()
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
            let commitment = if plants(chain) {
                chain.sign(Planting::of(chain, id, lease.segments, totals).terms(lease.segments))
            } else {
                chain.segment(id, totals)
            };
            (chain.name(&lease.worker), TransactionBody::CommitSegment { commitment })
        }
        11..=18 | 41..=48 => {
            let (segment, entry) = nth(
                state.segments().filter(|(_, segment)| matches!(segment.state, SegmentState::Judging { .. })),
                what,
            )?;
            let kind = segment.digest().as_bytes()[0] % 8;
            let vote = |member: &str| vote_of(chain, *segment, entry, member);
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
        36 => (worker, TransactionBody::OpenAssessment { profile: chain.profile(), report: report(Tier::Mid) }),
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
        49 if plants(chain) => {
            let (segment, entry) = nth(state.segments().filter(|(_, entry)| entry.opening.owed().is_some()), what)?;
            let planting = planting(chain, entry)?;
            // Some are never opened, and some by whom nobody asked, or not truly.
            if planting.dice[1].is_multiple_of(8) {
                return None;
            }
            let opening = match much {
                0..1_024 => planting.lie(*segment),
                1_024..4_096 => planting.forgery(chain, *segment),
                _ => planting.opening(*segment),
            };
            (chain.name(&entry.worker), opens([opening]))
        }
        _ => return None,
    };
    Some(chain.tx(&sender, body))
}

/// A block: what is tried in it, and how long it is waited for.
#[derive(Debug, Clone)]
struct Block {
    attempts: Vec<Attempt>,
    wait: u16,
}

/// Where a history happens. What it leads to only the chain knows, and `model.rs` knows how much money
/// moves by it.
/// How results are verified in a world.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Class {
    Canonical,
    Tolerance,
    Foreign,
}

#[derive(Debug, Clone, Copy)]
struct World {
    forced_share: u32,
    class: Class,
}

impl ReferenceStateMachine for World {
    type State = Self;
    type Transition = Block;

    fn init_state() -> BoxedStrategy<Self> {
        let worlds =
            [(0, Class::Canonical), (200_000, Class::Canonical), (200_000, Class::Tolerance), (0, Class::Foreign)];
        prop::sample::select(worlds.to_vec()).prop_map(|(forced_share, class)| Self { forced_share, class }).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Block> {
        (prop::collection::vec(attempt(), 0..9), any::<u16>())
            .prop_map(|(attempts, wait)| Block { attempts, wait })
            .boxed()
    }

    fn apply(world: Self, _: &Block) -> Self {
        world
    }
}

/// The chain and the naive ledger beside it.
struct Ledgers {
    chain: Chain,
    model: Model,
    /// What happened, and how often.
    met: BTreeMap<&'static str, u32>,
}

impl Ledgers {
    fn new(world: World) -> Self {
        let forced_share = Ppm::new(world.forced_share);
        // Whatever is slashed, work goes on (S5).
        let parameters = Parameters { profile_slash_max: Ppm::ONE, forced_share, ..devnet(6) };
        let mut chain = Chain::with(6, parameters);
        match world.class {
            Class::Canonical => {}
            Class::Tolerance => chain.model = tolerance(),
            Class::Foreign => chain.model = foreign::profile(),
        }
        let mut chain = chain.furnished(3);
        chain.register("g1", gateway_role(), Amount::from_ifr(1_000));
        for index in 0..6 {
            for name in [format!("v{index}"), operator_of(&format!("v{index}"))] {
                chain.ok("x9", TransactionBody::Transfer { to: id(&name), amount: Amount::from_ifr(1_000) });
            }
        }
        while !chain.state.epoch_works.is_empty() {
            chain.blocks(1);
        }
        // The treasury has something for jackpots.
        let meta = chain.state.meta_mut();
        meta.treasury = meta.treasury.add(IFR_FOR_JACKPOTS).unwrap();
        meta.reward_pool = meta.reward_pool.sub(IFR_FOR_JACKPOTS).unwrap();
        let model = Model::of(&chain);
        Self { chain, model, met: BTreeMap::new() }
    }

    fn block(&mut self, block: &Block) {
        let Self { chain, .. } = self;
        let candidates: Vec<VerifiedTransaction> =
            block.attempts.iter().filter_map(|attempt| transaction(chain, *attempt)).collect();
        // Commissions are set between verdicts' blocks: the model pays for verdicts after all else.
        let is = |candidate: &VerifiedTransaction, wanted: fn(&TransactionBody) -> bool| {
            wanted(&candidate.transaction().body)
        };
        let pays = |body: &TransactionBody| {
            matches!(body, TransactionBody::SubmitVerdict { .. } | TransactionBody::OpenSegments { .. })
        };
        let judges = candidates.iter().any(|candidate| is(candidate, pays));
        let candidates = candidates
            .into_iter()
            .filter(|candidate| !judges || !is(candidate, |b| matches!(b, TransactionBody::SetCommission { .. })))
            .collect();
        let mut environment = chain.environment();
        // Mostly a second, at times a minute.
        let wait = u64::from(block.wait);
        environment.timestamp_ms = chain.now_ms + 1 + if wait % 16 == 0 { wait } else { wait % 2_000 };
        let assembled = assemble(&chain.state, &environment, candidates).unwrap();
        let events = chain.block_in(&environment, &assembled.transactions).unwrap();
        assert_eq!(events, assembled.executed.events);
        assert_eq!(chain.state, assembled.executed.state);
        self.follow(&assembled.transactions, &events);
    }

    /// The naive ledger does what the chain did.
    fn follow(&mut self, transactions: &[VerifiedTransaction], events: &[Event]) {
        let blind_before = self.met.get("blind approval").copied().unwrap_or(0);
        let blind = self.model.block(&self.chain, transactions, events);
        if blind > 0 {
            self.met.insert("blind approval", blind_before + blind);
        }
        for event in events {
            *self.met.entry(kind(event)).or_default() += 1;
        }
    }

    fn check(&self) {
        self.chain.state.audit().unwrap();
        self.model.compare(&self.chain);
    }

    /// Left alone, everything ends by itself (SPEC T3) and every escrow is back or paid.
    fn end(&mut self) {
        for _ in 0..900 {
            let events = self.chain.block(&[]);
            self.follow(&[], &events);
            self.check();
        }
        let state = &self.chain.state;
        assert_eq!((state.unbondings().count(), state.holds().count()), (0, 0));
        assert_eq!((state.tasks().count(), state.stalls().count()), (0, 0));
        assert_eq!((state.leases().count(), state.segments().count()), (0, 0));
        assert!(state.nodes().all(|(_, node)| node.unsettled.is_zero()));
    }
}

const IFR_FOR_JACKPOTS: Amount = Amount::from_ifr(1_000);

/// Agrees with a naive ledger in whatever happens.
struct MoneyAgrees;

impl StateMachineTest for MoneyAgrees {
    type SystemUnderTest = Ledgers;
    type Reference = World;

    fn init_test(world: &World) -> Ledgers {
        Ledgers::new(*world)
    }

    fn apply(mut ledgers: Ledgers, _: &World, block: Block) -> Ledgers {
        ledgers.block(&block);
        ledgers
    }

    fn check_invariants(ledgers: &Ledgers, _: &World) {
        ledgers.check();
    }

    fn teardown(mut ledgers: Ledgers, _: World) {
        ledgers.end();
    }
}

const fn kind(event: &Event) -> &'static str {
    match event {
        Event::TaskExpired { .. } => "expired",
        Event::LeaseGranted { .. } => "granted",
        Event::LeaseClosed { .. } => "closed",
        Event::SegmentApproved(outcome) if outcome.settled => "settled",
        Event::SegmentRejected { reason: RejectReason::Unopened, .. } => "not opened",
        Event::SegmentRejected { .. } => "rejected",
        Event::Slashed(slash) => slash.rule.name(),
        Event::SlashReleased { .. } => "released",
        Event::Bonded { .. } => "bonded",
        Event::Unbonding { .. } => "unbonding",
        Event::Unbonded { .. } => "unbonded",
        Event::CapabilityMeasured { .. } => "measured",
        Event::TierLost { .. } => "tier lost",
        Event::SuspicionChanged { suspicion, .. } => suspicion.name(),
        Event::DisputeClosed { upheld: true, .. } => "upheld",
        Event::DisputeClosed { returned, .. } if returned.is_zero() => "dismissed",
        Event::DisputeClosed { .. } => "undecided",
        Event::Rewarded { emission, .. } if !emission.is_zero() => "emission",
        Event::TransactionFailed { .. } => "failed",
        Event::ForcedErrorOpened { jackpot, .. } if !jackpot.is_zero() => "jackpot",
        Event::ForcedErrorOpened { .. } => "opened",
        _ => "other",
    }
}

fn attempt() -> impl Strategy<Value = Attempt> {
    // Much is asked of members and of workers that have to open segments.
    let kind = prop_oneof![49 => 0u8..49, 16 => Just(11u8), 12 => Just(49u8)];
    (kind, any::<u8>(), any::<u8>(), any::<u16>()).prop_map(|(kind, who, what, much)| Attempt { kind, who, what, much })
}

prop_state_machine! {
    // Enough to leave out each block once.
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..ProptestConfig::default()
    })]

    #[test]
    fn money_agrees_with_a_naive_ledger(sequential 150 => MoneyAgrees);
}

/// The histories are not idle: together they meet everything that moves money.
#[test]
fn histories_meet_every_way_money_moves() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut met: BTreeMap<&'static str, u32> = BTreeMap::new();
    for _ in 0..160 {
        let (world, blocks, _) = World::sequential_strategy(200).new_tree(&mut runner).unwrap().current();
        let mut ledgers = MoneyAgrees::init_test(&world);
        for block in blocks {
            ledgers = MoneyAgrees::apply(ledgers, &world, block);
            MoneyAgrees::check_invariants(&ledgers, &world);
        }
        ledgers.end();
        for (kind, count) in ledgers.met {
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
        "false_replay",
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
        "opened",
        "jackpot",
        "blind approval",
        "not opened",
        "forged_proof",
        "suspect",
        "none",
        "convicted",
        "statistics",
    ] {
        assert!(met.contains_key(wanted), "{wanted} is missing in {met:?}");
    }
}
