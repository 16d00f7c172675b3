//! Foreign profiles: what their approvals say, what they pay, how much is replayed, and what a conviction takes. SPEC V9.

use super::statistics::{judged, rejected, statistics, suspicion, tolerance};
use super::support::*;
use crate::{LeaseState, Opening, Rejection, SegmentState};
use inferium_types::{
    Amount, Digest, DrawCount, EngineClass, Event, ForeignBounds, JobFault, LeaseEnd, ModelProfile, NodeId, OfferTerms,
    Parameters, Ppm, Price, RejectReason, ReplayStatistics, SlashRule, Suspicion, TEMPERS, TaskKind, TaskTerms,
    TransactionBody, VerdictVote, VerificationMode,
};

/// Of 100 positions, 7 outside make an unknown worker suspect, and 13 convict it.
const SUSPECT: u32 = 7;
const CONVICTED: u32 = 13;

pub(super) fn profile() -> ModelProfile {
    let engine = EngineClass::Foreign { verifier: Digest::ZERO, bounds: ForeignBounds::USUAL };
    ModelProfile { engine, ..model("foreign") }
}

/// True in a world whose profile is a foreign one.
pub(super) fn is_foreign(chain: &Chain) -> bool {
    matches!(chain.model.engine, EngineClass::Foreign { .. })
}

/// For the naive model: what a lease that was just granted pays of its worker's offer, rounded up.
pub(super) fn check_price(chain: &Chain, (worker, terms): (NodeId, &TaskTerms), price: Price) {
    let offer = chain.state.offer(terms.profile, worker).filter(|_| terms.kind != TaskKind::Benchmark);
    let Some(offered) = offer.map(|offer| offer.terms.price) else { return };
    let share = if is_foreign(chain) { 600_000 } else { 1_000_000 };
    let part = |offered: Amount| (offered.nano() * share).div_ceil(1_000_000);
    let paid = [price.prompt_token, price.completion_token].map(Amount::nano);
    assert_eq!(paid, [part(offered.prompt_token), part(offered.completion_token)]);
}

/// What no slash is for on a profile of this class: verdicts where jobs are measured (V6), and statistics of a foreign one.
pub(super) fn spares(class: Option<&EngineClass>, rule: SlashRule) -> bool {
    let is_verdict = matches!(rule, SlashRule::WrongApproval | SlashRule::WrongRejection | SlashRule::FalseReplay);
    match class {
        None | Some(EngineClass::Canonical { .. }) => false,
        Some(EngineClass::Tolerance { .. }) => is_verdict,
        Some(EngineClass::Foreign { .. }) => is_verdict || rule == SlashRule::Statistics,
    }
}

/// What replays of 100 positions measured: so many tokens outside of the truncation, and draws that win nothing.
pub(super) fn draws(outside: u32) -> ReplayStatistics {
    let draws = DrawCount { positions: 100, outside, bets: [-(1 << 32); TEMPERS.len()] };
    ReplayStatistics { surprisal_micro: -1_000, variance_micro: 70_000_000, draws, ..ReplayStatistics::default() }
}

pub(super) fn measured(outside: u32) -> VerdictVote {
    VerdictVote::Measured { effort: Digest::ZERO, statistics: draws(outside) }
}

fn foreign(parameters: Parameters) -> Chain {
    let mut chain = Chain::with(6, parameters);
    chain.model = profile();
    chain.furnished(2)
}

fn quiet() -> Chain {
    foreign(Parameters { profile_slash_max: Ppm::new(333_333), ..devnet(6) })
}

fn slashes(chain: &Chain) -> Vec<SlashRule> {
    let slashed = chain.history.iter().filter_map(|event| match event {
        Event::Slashed(slash) => Some(slash.rule),
        _ => None,
    });
    slashed.collect()
}

#[test]
fn approvals_say_what_draws_measured_and_nothing_else() {
    let mut chain = quiet();
    assert_eq!(chain.terms().mode, VerificationMode::Sampled);
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.bind(segment, &[(&members[0], measured(0))]);
    chain.fails(&members[1], verdict(segment, valid()), &Rejection::VoteForm { expected: "measured" });
    let refused = Rejection::OutOfBounds { field: "statistics" };
    let say = |statistics| verdict(segment, VerdictVote::Measured { effort: Digest::ZERO, statistics });
    chain.fails(&members[1], say(statistics(0)), &refused);
    chain.fails(&members[1], say(ReplayStatistics { draws: draws(0).draws, ..statistics(0) }), &refused);
    chain.fails(&members[1], say(draws(101)), &refused);
    // All 100 outside: that fits together.
    chain.ok(&members[1], say(draws(100)));

    // Nor does a tolerance profile take draws.
    let mut chain = Chain::with(6, devnet(6));
    chain.model = tolerance();
    let mut chain = chain.furnished(2);
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    chain.bind(segment, &[(&members[0], measured(0))]);
    chain.fails(&members[1], verdict(segment, measured(0)), &refused);
}

/// SPEC V9, M4: the worker gets 0.6 of what it asked for, rounded up, and what it did not get returns.
#[test]
fn a_lease_pays_a_part_of_the_price_and_the_rest_goes_back() {
    for (share, completion, expected) in [(600_000, 2_000, 1_200), (600_000, 1, 1), (1_000_000, 2_000, 2_000)] {
        let mut chain = foreign(Parameters { foreign_price_share: Ppm::new(share), ..devnet(6) });
        let price = Price { prompt_token: Amount::ZERO, completion_token: Amount::from_nano(completion) };
        let terms = OfferTerms { slots: 1, price, context_tokens: 4_096, batches: true };
        chain.ok("w0", TransactionBody::SetOffer { profile: chain.profile(), terms });
        let before = chain.balance("g0");
        let lease = chain.lease();
        let entry = *chain.state.lease(&lease).unwrap();
        assert_eq!((entry.price.prompt_token, entry.price.completion_token.nano()), (Amount::ZERO, expected));
        let segment = judged(&mut chain, lease, measured(0));
        assert_eq!(chain.state.segment(&segment).unwrap().fee.nano(), 10 * expected);
        chain.ok("g0", TransactionBody::CloseLease { lease });
        while chain.state.lease(&lease).is_some() {
            chain.blocks(1);
        }
        let held = chain.history.iter().find_map(|event| match event {
            Event::LeaseClosed { lease: of, refund, .. } if *of == lease => Some(entry.escrow.nano() - refund.nano()),
            _ => None,
        });
        // Fees of its transactions and the reservation aside, the fee is all that it paid.
        let reserved = held.unwrap() - 10 * expected;
        assert!((10_000..20_000).contains(&reserved), "{reserved}");
        assert!(before - chain.balance("g0") < entry.escrow.nano());
    }
    let mut canonical = Chain::ready(1);
    let lease = canonical.lease();
    assert_eq!(canonical.state.lease(&lease).unwrap().price, PRICE);
}

/// SPEC V9, R3: a fifth at least, however long the record; of a newcomer all, as of any.
#[test]
fn a_fifth_of_the_jobs_is_replayed_at_least() {
    let share = |parameters: Parameters, record| {
        let mut chain = foreign(parameters);
        let lease = chain.lease();
        chain.state.records.insert((id("w0"), chain.profile()), record);
        let segment = chain.commit(lease, totals(1, 10, 10));
        chain.draw(segment);
        let SegmentState::Judging { replay, .. } = chain.state.segment(&segment).unwrap().state else { panic!() };
        replay.get()
    };
    let veteran = record_of(1_000_000, 1_000_000_000, 0);
    assert_eq!(share(devnet(6), veteran), 200_000);
    assert_eq!(share(Parameters { foreign_replay_min: Ppm::new(10_000), ..devnet(6) }, veteran), 10_000);
    assert_eq!(share(devnet(6), record_of(250, 1_000_000, 0)), 200_000, "50 in 250");
    assert_eq!(share(devnet(6), record_of(200, 1_000_000, 0)), 250_000, "50 in 200");
    assert_eq!(share(devnet(6), record_of(1, 1, 0)), 1_000_000);
}

#[test]
fn suspicion_begins_and_ends_at_its_limit() {
    for (outside, expected) in [
        (SUSPECT - 1, Suspicion::None),
        (SUSPECT, Suspicion::Suspect),
        (CONVICTED - 1, Suspicion::Suspect),
        (CONVICTED, Suspicion::Convicted),
    ] {
        let mut chain = quiet();
        let lease = chain.lease();
        judged(&mut chain, lease, measured(outside));
        assert_eq!(suspicion(&chain), expected, "{outside}");
    }
    let mut chain = quiet();
    let lease = chain.lease();
    judged(&mut chain, lease, measured(SUSPECT));
    judged(&mut chain, lease, measured(0));
    assert_eq!(suspicion(&chain), Suspicion::None);
}

/// One bet on draws that wins is enough: eight of them, and half of the capital.
#[test]
fn draws_alone_convict() {
    // The first step puts in a half; a sixteenth of half of the capital is one bet's part.
    for (log, expected) in [(24, Suspicion::Suspect), (25, Suspicion::Convicted)] {
        let mut chain = quiet();
        let lease = chain.lease();
        let mut found = draws(0);
        found.draws.bets[3] = log << 32;
        judged(&mut chain, lease, VerdictVote::Measured { effort: Digest::ZERO, statistics: found });
        assert_eq!(suspicion(&chain), expected, "{log}");
    }
}

/// SPEC V9: barred from the profile, what waits is not paid, and the stake is as it was.
#[test]
fn a_conviction_takes_the_profile_and_no_stake() {
    let mut chain = quiet();
    let lease = chain.lease();
    let first = judged(&mut chain, lease, measured(SUSPECT));
    let second = judged(&mut chain, lease, measured(CONVICTED));
    assert_eq!(suspicion(&chain), Suspicion::Convicted);
    assert_eq!((slashes(&chain), chain.stake("w0")), (vec![], 1_000 * IFR));
    assert_eq!(chain.state.conduct(id("w0"), chain.profile()).unwrap().slash, None);
    assert_eq!([first, second].map(|of| rejected(&chain, of)), [Some(RejectReason::Statistics); 2]);
    let entry = chain.state.lease(&lease).unwrap();
    assert!(matches!(entry.state, LeaseState::Draining { end: LeaseEnd::Fault, .. }));
    assert_eq!(chain.state.offer(chain.profile(), id("w0")), None);
    let node = chain.state.node(&id("w0")).unwrap();
    assert!(!node.disqualified && node.holds == 0 && node.unsettled.is_zero());
    let terms = OfferTerms { slots: 1, price: PRICE, context_tokens: 4_096, batches: true };
    let body = TransactionBody::SetOffer { profile: chain.profile(), terms };
    chain.fails("w0", body, &Rejection::BarredFromProfile);
    // Other bounds are another profile.
    let bounds = ForeignBounds { margin_micro: 2_000_000, ..ForeignBounds::USUAL };
    chain.model = ModelProfile { engine: EngineClass::Foreign { verifier: Digest::ZERO, bounds }, ..profile() };
    chain.declare_all();
    chain.lease();
}

/// SPEC V9: what the worker makes itself, text, counts and ends, costs as anywhere; and no validator pays for its vote.
#[test]
fn exact_faults_cost_stake_and_no_vote_does() {
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    let wrong = VerdictVote::Invalid { job: 0, fault: JobFault::Text };
    chain.cast(segment, &[(&members[0], measured(0)), (&members[1], wrong)]);
    chain.vote_rest(segment, wrong);
    assert_eq!((slashes(&chain), chain.stake("w0")), (vec![SlashRule::WrongResult], 900 * IFR));
    let mut chain = quiet();
    let lease = chain.lease();
    let segment = chain.commit(lease, totals(1, 10, 10));
    chain.draw(segment);
    let rejecter = chain.silent_members(segment)[0].clone();
    chain.dissent(segment, &rejecter, wrong, measured(0));
    assert!(matches!(chain.state.segment(&segment).unwrap().state, SegmentState::Final { .. }));
    assert_eq!(slashes(&chain), []);
}

#[test]
fn no_planted_jobs_are_ordered_on_a_foreign_profile() {
    let mut chain = foreign(Parameters { forced_share: Ppm::new(200_000), ..devnet(6) });
    let lease = chain.lease_of(TaskTerms { tokens_max: 20_000, ..chain.terms() });
    let segment = chain.commit(lease, totals(1, 10, 10));
    assert_eq!(chain.state.segment(&segment).unwrap().opening, Opening::NotOwed);
}
