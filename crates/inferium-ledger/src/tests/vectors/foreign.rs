//! Foreign profiles (SPEC V9): what approvals say, what a lease pays, how much is replayed, and what follows.

use super::book::{Book, Page, purse, with};
use crate::entries::Conduct;
use crate::tests::foreign::{draws, measured, profile};
use crate::tests::statistics::statistics;
use crate::tests::support::*;
use crate::{SegmentState, Stage, StateKey};
use inferium_types::{
    Amount, Digest, DrawCount, EngineClass, ForeignBounds, JobFault, LeaseId, ModelProfile, Ppm, ReplayStatistics,
    SegmentId, Suspicion, TaskKind, TransactionBody, VerdictVote, decode, encode,
};

/// One, in the numbers of a test.
const ONE: u128 = 1 << 64;

/// A worker that is known, so that a committee has one member and a step is one transaction.
struct World {
    leased: Chain,
    /// The same, with a segment before a court of one.
    chain: Chain,
    segment: SegmentId,
    member: String,
}

pub(super) fn write(book: &mut Book) {
    let mut chain = Chain::with(6, devnet(6));
    chain.model = profile();
    let mut chain = chain.furnished(2);
    chain.state.records.insert((id("w0"), chain.profile()), record_of(1_000_000, 1_000_000_000, 0));
    let lease = chain.lease();
    chain.blocks(1);
    let leased = chain.clone();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let member = chain.draw(segment).remove(0);
    let chain = with(&chain, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        if let SegmentState::Judging { stage, .. } = &mut entry.state {
            *stage = Stage::Widened;
        }
        state.set_segment(segment, Some(entry));
    });
    let world = World { leased, chain, segment, member };
    profiles(book, &world);
    votes(book, &world);
    steps(book, &world);
    convictions(book, &world);
    replays(&mut book.page("foreign_replay"), lease, &world);
}

fn says(statistics: ReplayStatistics) -> VerdictVote {
    VerdictVote::Measured { effort: Digest::ZERO, statistics }
}

/// A test of only these bets, as it is stored.
fn conduct(steps: u64, of_draws: [u128; 8], outside: [u128; 2], suspicion: Suspicion) -> Conduct {
    let stored = (steps, [0u128; 6], [0u128; 8], [0u128; 8], of_draws, outside);
    Conduct { test: decode(&encode(&stored)).unwrap(), suspicion, slash: None }
}

fn tested(chain: &Chain, conduct: Conduct) -> Chain {
    with(chain, |state| {
        state.conducts.insert((id("w0"), chain.profile()), conduct);
    })
}

fn profiles(book: &mut Book, world: &World) {
    let page = &mut book.page("foreign_profile");
    let leased = &world.leased;
    let declared = |drift, margin_micro, outside| {
        let bounds = ForeignBounds { drift: Ppm::new(drift), margin_micro, outside: Ppm::new(outside) };
        let engine = EngineClass::Foreign { verifier: Digest::of("build", &[]), bounds };
        TransactionBody::DeclareProfile { profile: ModelProfile { engine, ..model("another") } }
    };
    let body = declared(10_001, 500_002, 5_003);
    let rich = purse(leased, "v0", IFR);
    page.valid("a profile is named by its bounds, too", "N4", &rich, "v0", body.clone());
    page.valid("the tightest bounds", "V9", &rich, "v0", declared(10_000, 500_000, 5_000));
    page.valid("the widest bounds", "V9", &rich, "v0", declared(200_000, 4_000_000, 20_000));
    for (name, drift, margin, outside) in [
        ("too little room for arithmetic", 9_999, 1_000_000, 10_000),
        ("so much room that no bet wins", 200_001, 1_000_000, 10_000),
        ("a margin that honest noise crosses", 50_000, 499_999, 10_000),
        ("a margin that nothing crosses", 50_000, 4_000_001, 10_000),
        ("no token outside", 50_000, 1_000_000, 4_999),
        ("as many tokens outside as one likes", 50_000, 1_000_000, 20_001),
    ] {
        page.invalid(name, "V9", &rich, "v0", declared(drift, margin, outside), "out_of_bounds");
    }
    let widest = declared(200_000, 4_000_000, 20_000);
    page.numbers("the widest bounds", &rich, "v0", &widest);
    page.numbers("a profile", &rich, "v0", &body);
    let task = TransactionBody::OpenTask { terms: leased.terms() };
    page.valid("a lease pays a part of what was offered", "V9", leased, "g0", task.clone());
    page.numbers("a task", leased, "g0", &task);
    for (name, share) in [("of very little, rounded up", 333_333), ("all of it", 1_000_000)] {
        let chain = with(leased, |state| {
            state.meta_mut().parameters.foreign_price_share = Ppm::new(share);
            let offer = state.offers.get_mut(&(leased.profile(), id("w0"))).unwrap();
            offer.terms.price.prompt_token = Amount::from_nano(7);
        });
        page.valid(name, "V9", &chain, "g0", task.clone());
        page.numbers(name, &chain, "g0", &task);
    }
}

fn votes(book: &mut Book, world: &World) {
    let page = &mut book.page("foreign_verdict");
    let World { chain, segment, member, .. } = world;
    let say = |statistics| verdict(*segment, says(statistics));
    page.valid("nothing is wrong with these draws", "V9", chain, member, say(draws(0)));
    page.numbers("draws", chain, member, &say(draws(0)));
    page.invalid("valid, on a foreign profile", "V9", chain, member, verdict(*segment, valid()), "vote_form");
    let of_both = ReplayStatistics { draws: draws(1).draws, ..statistics(1) };
    for (name, found) in [
        ("more tokens outside than positions", draws(101)),
        ("what a tolerance profile measures", statistics(1)),
        ("what both classes measure", of_both),
        ("sketches", ReplayStatistics { sketches: statistics(1).sketches, ..draws(0) }),
    ] {
        page.invalid(name, "V9", chain, member, say(found), "out_of_bounds");
    }
    let most = DrawCount { positions: u32::MAX, outside: u32::MAX, bets: [i64::MIN; 8] };
    page.valid(
        "as much of everything as there can be",
        "V9",
        chain,
        member,
        say(ReplayStatistics { draws: most, ..draws(0) }),
    );
    let wrong = verdict(*segment, VerdictVote::Invalid { job: 0, fault: JobFault::Finish });
    page.valid("an exact fault costs stake", "V9", chain, member, wrong.clone());
    page.numbers("an exact fault", chain, member, &wrong);
}

fn steps(book: &mut Book, world: &World) {
    let page = &mut book.page("foreign_test");
    let World { chain, segment, member, .. } = world;
    let uneven = |outside| {
        let bets = std::array::from_fn(|index| 1_234_567_891 * (i64::try_from(index).unwrap() - 3));
        ReplayStatistics { draws: DrawCount { positions: 97, outside, bets }, ..draws(0) }
    };
    let old = |more: u128| Some(conduct(41, [ONE / 7 + more; 8], [ONE, 3], Suspicion::None));
    let bounded = |share| ForeignBounds { outside: Ppm::new(share), ..ForeignBounds::USUAL };
    // Before step 9, so much is put into each bet: half of the mean of eight counts, and of two.
    let more = ONE / 10 / 11;
    let rest = 4 * (more / 8) + more / 2;
    let at = |least: u128, below: u128, before| {
        Some(conduct(9, [16 * (least * ONE - rest - below), 0, 0, 0, 0, 0, 0, 0], [0; 2], before))
    };
    let nothing = ReplayStatistics::default();
    let usual = ForeignBounds::USUAL;
    for (name, bounds, before, found) in [
        ("the first step", usual, None, draws(2)),
        ("a later one", usual, old(0), uneven(3)),
        ("above the smaller alternative, one bet is left", bounded(60_000), old(1), uneven(9)),
        ("above both, none is", bounded(400_000), old(2), uneven(9)),
        ("a share of nothing bounds nothing", bounded(0), old(3), uneven(9)),
        ("a share of one whole neither", bounded(1_000_000), old(4), uneven(9)),
        ("nothing was measured", usual, old(5), nothing),
        (
            "a capital ends at the largest number",
            usual,
            Some(conduct(9, [u128::MAX; 8], [u128::MAX; 2], Suspicion::Suspect)),
            draws(9),
        ),
        ("suspect, at the limit", usual, at(100, 0, Suspicion::None), nothing),
        ("suspect, a last bit below it", usual, at(100, 1, Suspicion::None), nothing),
        ("convicted, at the limit", usual, at(1_000_000, 0, Suspicion::Suspect), nothing),
        ("convicted, a last bit below it", usual, at(1_000_000, 1, Suspicion::Suspect), nothing),
        ("suspect", usual, None, draws(7)),
        ("suspect no more", usual, Some(conduct(9, [0; 8], [0; 2], Suspicion::Suspect)), draws(0)),
    ] {
        let chain = with(chain, |state| {
            let entry = state.profiles.get_mut(&chain.profile()).unwrap();
            if let EngineClass::Foreign { bounds: of, .. } = &mut entry.profile.engine {
                *of = bounds;
            }
            if let Some(before) = before {
                state.conducts.insert((id("w0"), chain.profile()), before);
            }
        });
        let body = verdict(*segment, says(found));
        page.valid(name, "V9", &chain, member, body.clone());
        page.numbers(name, &chain, member, &body);
    }
}

fn convictions(book: &mut Book, world: &World) {
    let page = &mut book.page("foreign_conviction");
    let World { chain, segment, member, .. } = world;
    let body = verdict(*segment, measured(50));
    page.valid("a conviction takes no stake", "V9", chain, member, body.clone());
    page.numbers("a conviction", chain, member, &body);
    let known = tested(chain, conduct(9, [0; 8], [0; 2], Suspicion::Convicted));
    let late = verdict(*segment, measured(0));
    page.valid("what was under way is not paid", "V7", &known, member, late.clone());
    page.numbers("what was under way", &known, member, &late);
    let assessed = with(chain, |state| {
        let mut entry = state.segment(segment).unwrap().clone();
        entry.kind = TaskKind::Benchmark;
        state.set_segment(*segment, Some(entry));
    });
    page.valid("a capability task convicts: no tier", "N2", &assessed, member, body.clone());
    page.numbers("a capability task convicts", &assessed, member, &body);
}

/// R3, V9: how much is replayed of a worker with a long record.
fn replays(page: &mut Page<'_>, lease: LeaseId, world: &World) {
    let mut chain = world.leased.clone();
    let segment = chain.commit(lease, totals(1, 10, 10));
    chain.blocks(2);
    let seats = (0..6).map(|index| StateKey::Node(id(&format!("v{index}"))));
    let record = StateKey::Record((id("w0"), chain.profile()));
    let all: Vec<StateKey> = seats.chain([StateKey::Segment(segment), record]).collect();
    let more = with(&chain, |state| state.meta_mut().parameters.foreign_replay_min = Ppm::ONE);
    let less = with(&chain, |state| state.meta_mut().parameters.foreign_replay_min = Ppm::new(10_000));
    for (name, chain) in [("a fifth at least", &chain), ("all", &more), ("as of any profile", &less)] {
        page.drawn(name, "V9", chain, &all);
        page.closed_doors(name, chain, chain.now_ms + BLOCK_MS, &all);
    }
}
