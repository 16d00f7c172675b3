//! Tolerance profiles (SPEC T2, V6, V7): what approvals say, the test that they are steps of, and what follows.

use super::book::{Book, Page, purse, with};
use crate::entries::Conduct;
use crate::tests::statistics::{calibration, measured, statistics, tolerance};
use crate::tests::support::*;
use crate::{Segment, SegmentState, Stage, StateKey};
use inferium_types::{
    Calibration, ClippedSum, Digest, EngineClass, JobFault, KindCount, LeaseId, ModelProfile, OfferTerms,
    POSITION_KINDS, Ppm, ReplayStatistics, SegmentId, Suspicion, TaskKind, TaskTerms, Tier, TransactionBody,
    VerdictVote, VerificationMode, decode, encode,
};

/// One, in the numbers of a test.
const ONE: u128 = 1 << 64;

/// A worker's known, so that a committee has one member and a step is one transaction.
#[derive(Clone)]
struct World {
    leased: Chain,
    lease: LeaseId,
    /// The same, with a segment before its committee of one.
    chain: Chain,
    segment: SegmentId,
    member: String,
}

pub(super) fn write(book: &mut Book) {
    let mut chain = Chain::with(6, devnet(6));
    chain.model = tolerance();
    let mut chain = chain.furnished(2);
    chain.state.records.insert((id("w0"), chain.profile()), record_of(1_000, 1_000_000, 0));
    let lease = chain.lease();
    chain.blocks(1);
    let leased = chain.clone();
    let segment = chain.commit(lease, totals(1, 10, 10));
    let member = chain.draw(segment).remove(0);
    let drawn = chain.clone();
    // What makes a worker suspect is a court's to say.
    let chain = widened_stage(&chain, segment);
    let world = World { leased, lease, chain, segment, member };
    votes(book, &world);
    doubts(book, &World { chain: drawn, ..world.clone() });
    steps(book, &world);
    limits(book, &world);
    convictions(book, &world);
    suspects(book, &world);
    barred(book, &world);
}

fn says(statistics: ReplayStatistics) -> VerdictVote {
    VerdictVote::Measured { effort: Digest::ZERO, statistics }
}

/// A test as it is stored.
type Capitals = (u64, [u128; 6], [u128; 8], [u128; 8]);

/// Of a foreign profile: the bets on draws, and on tokens outside.
type Foreign = ([u128; 8], [u128; 2]);

fn conduct(capitals: &Capitals, suspicion: Suspicion) -> Conduct {
    let slash = (suspicion == Suspicion::Convicted).then_some(0);
    let of_other: Foreign = Default::default();
    Conduct { test: decode(&encode(&(*capitals, of_other))).unwrap(), suspicion, slash }
}

/// The chain in which `w0` has this test.
fn tested(chain: &Chain, conduct: Conduct) -> Chain {
    with(chain, |state| {
        state.conducts.insert((id("w0"), chain.profile()), conduct);
    })
}

/// A capital of only the first bet on flips, a third of which counts.
fn capital(of: u128, suspicion: Suspicion) -> Conduct {
    conduct(&(9, [of, 0, 0, 0, 0, 0], [0; 8], [0; 8]), suspicion)
}

fn edited(chain: &Chain, segment: SegmentId, change: impl FnOnce(&mut Segment)) -> Chain {
    with(chain, |state| {
        let mut entry = state.segment(&segment).unwrap().clone();
        change(&mut entry);
        state.set_segment(segment, Some(entry));
    })
}

/// The same segment before a court of the same members.
fn widened_stage(chain: &Chain, segment: SegmentId) -> Chain {
    edited(chain, segment, |segment| {
        if let SegmentState::Judging { stage, .. } = &mut segment.state {
            *stage = Stage::Widened;
        }
    })
}

/// V7: a drawn committee decides nothing about suspicion.
fn doubts(book: &mut Book, world: &World) {
    let page = &mut book.page("doubtful");
    let World { chain, segment, member, .. } = world;
    let more = ONE / 10 / 11;
    let body = verdict(*segment, says(ReplayStatistics::default()));
    for (name, before) in [
        ("a last bit below suspicion, a committee decides", capital(100 * 3 * ONE - more - 1, Suspicion::None)),
        ("what would make its worker suspect is a court's", capital(100 * 3 * ONE - more, Suspicion::None)),
        ("so is what would clear a suspect", capital(0, Suspicion::Suspect)),
    ] {
        let chain = tested(chain, before);
        page.valid(name, "V7", &chain, member, body.clone());
        page.numbers(name, &chain, member, &body);
    }
}

// V6.

fn votes(book: &mut Book, world: &World) {
    let page = &mut book.page("measured_verdict");
    let World { chain, segment, member, .. } = world;
    let say = |vote| verdict(*segment, vote);
    page.valid("a committee of one measured nothing wrong", "V6", chain, member, say(measured(0)));
    page.numbers("a committee of one", chain, member, &say(measured(0)));
    page.invalid("valid, on a tolerance profile", "V6", chain, member, say(valid()), "vote_form");
    let broken = |change: fn(&mut ReplayStatistics)| {
        let mut of = statistics(10);
        change(&mut of);
        say(says(of))
    };
    let refused = [
        ("more flips than positions of a kind", broken(|of| of.kinds[1].flips = 1)),
        ("more bad positions than flips", broken(|of| of.bad = 11)),
        ("a log probability too few", broken(|of| of.logprobs.count = 99)),
        ("a mean of log probabilities above its clip", broken(|of| of.logprobs.sum_ppm = 100_000_001)),
        ("a mean of sketches' errors above its clip", broken(|of| of.sketches.sum_ppm = 16_000_001)),
    ];
    for (name, body) in refused {
        page.invalid(name, "V6", chain, member, body, "out_of_bounds");
    }
    let most = broken(|of| {
        of.bad = 10;
        of.logprobs.sum_ppm = 100_000_000;
        of.sketches.sum_ppm = 16_000_000;
        (of.surprisal_micro, of.variance_micro) = (i64::MIN, u64::MAX);
    });
    page.valid("as much of everything as there can be", "V6", chain, member, most);
    page.numbers("as much as there can be", chain, member, &say(measured(100)));
    committees(page, world);
    modes(book, world);
}

/// Committees of several (SPEC V3, V6).
fn committees(page: &mut Page<'_>, world: &World) {
    let mut chain = with(&world.leased, |state| {
        state.records.remove(&(id("w0"), tolerance().id()));
    });
    let segment = chain.commit(world.lease, totals(1, 10, 10));
    let members = chain.draw(segment);
    let two = |votes: [VerdictVote; 2]| {
        let mut chain = chain.clone();
        let (name, body) = chain.last_reveal(segment, &[(&members[0], votes[0]), (&members[1], votes[1])]);
        (chain, name, body)
    };
    let other = VerdictVote::Measured { effort: Digest::of("effort", &[]), statistics: statistics(1) };
    let all = {
        let mut chain = chain.clone();
        chain.cast(segment, &[(&members[0], measured(1)), (&members[1], measured(2))]);
        chain
    };
    let widened = |same: usize, rest: VerdictVote| {
        let mut chain = all.clone();
        let silent = chain.silent_members(segment);
        let said = silent.iter().enumerate().map(|(at, name)| {
            let vote = if at + 1 < same { measured(1) } else { rest };
            (name.as_str(), vote)
        });
        let (name, body) = chain.last_reveal(segment, &said.collect::<Vec<_>>());
        (chain, name, body)
    };
    let gross = VerdictVote::Invalid { job: 0, fault: JobFault::GrossTokens };
    let wrong = {
        let mut chain = chain.clone();
        chain.cast(segment, &[(&members[0], measured(1)), (&members[1], gross)]);
        let silent = chain.silent_members(segment);
        let said: Vec<(&str, VerdictVote)> = silent.iter().map(|name| (name.as_str(), gross)).collect();
        let (name, body) = chain.last_reveal(segment, &said);
        (chain, name, body)
    };
    for (name, rule, (chain, last, body)) in [
        ("two measured the same", "V6", two([measured(1), measured(1)])),
        ("two measured the same by different replays: a doubt", "V2", two([measured(1), other])),
        ("two measured different things: a doubt", "V6", two([measured(1), measured(2)])),
        ("five of six seats measured the same, and the sixth loses nothing", "V6", widened(5, invalid())),
        ("four of six are no decision", "V6", widened(4, measured(3))),
        ("four of six, and one who found it wrong", "V6", widened(4, invalid())),
        ("a gross fault by five of six: a wrong result, and who approved it loses nothing", "V6", wrong),
    ] {
        page.valid(name, rule, &chain, &last, body.clone());
        page.numbers(name, &chain, &last, &body);
    }
    // Elsewhere nothing is measured.
    let mut canonical = Chain::with(6, devnet(6)).furnished(1);
    let lease = canonical.lease();
    let segment = canonical.commit(lease, totals(1, 10, 10));
    let members = canonical.draw(segment);
    canonical.bind(segment, &[(&members[0], valid())]);
    let body = verdict(segment, measured(0));
    page.invalid("measured, on a canonical profile", "V6", &canonical, &members[1], body, "vote_form");
}

// T2, V5, N2.

fn modes(book: &mut Book, world: &World) {
    let page = &mut book.page("tolerance_profile");
    let World { leased, lease, .. } = world;
    let open = |mode| TransactionBody::OpenTask { terms: TaskTerms { mode, ..leased.terms() } };
    let task = open(VerificationMode::Sampled);
    page.valid("a task that is verified as the profile is", "T2", leased, "g0", task.clone());
    page.doors(leased, "g0", &task);
    page.invalid("verified to the bit", "T2", leased, "g0", open(VerificationMode::Exact), "mode");
    page.numbers("a task", leased, "g0", &task);
    let ordering = with(leased, |state| state.meta_mut().parameters.forced_share = Ppm::new(200_000));
    let commit = TransactionBody::CommitSegment { commitment: ordering.segment(*lease, totals(1, 10, 10)) };
    page.valid("its segments owe no opening", "V5", &ordering, "w0", commit.clone());
    page.numbers("a segment", &ordering, "w0", &commit);
    let assess = TransactionBody::OpenAssessment { profile: leased.profile(), report: report(Tier::Mid) };
    page.valid("a capability task is verified as the profile is", "N2", leased, "w1", assess.clone());
    page.numbers("a capability task", leased, "w1", &assess);
    let alternatives = vec![[Ppm::new(200_000); POSITION_KINDS]; 2];
    let engine = EngineClass::Tolerance {
        verifier: Digest::of("build", &[]),
        calibration: Calibration { alternatives, ..calibration() },
    };
    let profile = ModelProfile { engine, ..model("another") };
    let body = TransactionBody::DeclareProfile { profile };
    let rich = purse(leased, "v0", IFR);
    page.valid("a profile is named by its calibration, too", "N4", &rich, "v0", body.clone());
    page.numbers("a profile", &rich, "v0", &body);
}

// V7: the test.

/// A step in a world with another calibration, and a test so far.
fn step(
    page: &mut Page<'_>,
    world: &World,
    name: &str,
    of: (Calibration, Option<Conduct>),
    measured: ReplayStatistics,
) {
    let World { chain, segment, member, .. } = world;
    let (calibration, before) = of;
    let chain = with(chain, |state| {
        let entry = state.profiles.get_mut(&chain.profile()).unwrap();
        if let EngineClass::Tolerance { calibration: of, .. } = &mut entry.profile.engine {
            *of = calibration;
        }
        if let Some(before) = before {
            state.conducts.insert((id("w0"), chain.profile()), before);
        }
    });
    let body = verdict(*segment, says(measured));
    page.valid(name, "V7", &chain, member, body.clone());
    page.numbers(name, &chain, member, &body);
}

/// Some of every kind of position, uneven.
fn uneven(by: u32) -> ReplayStatistics {
    let mut of = ReplayStatistics::default();
    for (index, kind) in (0..).zip(&mut of.kinds) {
        *kind = KindCount { positions: 7 * index + by, flips: (index * by) % 5 };
    }
    let positions = of.kinds.iter().map(|kind| kind.positions).sum();
    // Bets are what a validator says of them, of both signs.
    let bets = |scale: i64| std::array::from_fn(|index| scale * (i64::try_from(index).unwrap() - 3));
    let sum_ppm = u64::from(positions) * 123_457 + 11;
    of.logprobs = ClippedSum { count: positions, sum_ppm, bets: bets(1_234_567_891) };
    of.sketches = ClippedSum { count: 33, sum_ppm: 3_333_331, bets: bets(-9_876_543_210) };
    of
}

fn steps(book: &mut Book, world: &World) {
    let page = &mut book.page("sequential_test");
    let usual = calibration();
    let shares = |of: fn(u32) -> u32| std::array::from_fn(|index| Ppm::new(of(u32::try_from(index).unwrap())));
    let uneven_calibration = Calibration {
        flips: shares(|index| 1_000 + 777 * index),
        alternatives: vec![
            shares(|index| 30_000 + 1_111 * index),
            shares(|index| 900_000 + 4_321 * index),
            // Below the honest share, zero, and one whole: these tell nothing.
            shares(|index| [500, 0, 1_000_000, 400_000][usize::try_from(index % 4).unwrap()]),
        ],
        logprob_mean: Ppm::new(77_777),
        sketch_mean: Ppm::new(123),
        ..calibration()
    };
    let nothing = Calibration {
        flips: shares(|index| [0, 1_000_000][usize::try_from(index % 2).unwrap()]),
        logprob_mean: Ppm::new(0),
        sketch_mean: Ppm::new(0),
        ..calibration()
    };
    let many = Calibration {
        alternatives: (1..9).map(|of| [Ppm::new(20_000 * of); POSITION_KINDS]).collect(),
        ..calibration()
    };
    let old = |more: u128| {
        let capitals = (41, [ONE / 3, ONE, 2 * ONE, 5, 0, ONE * 7], [ONE / 7 + more; 8], [ONE * 3 / 11; 8]);
        Some(conduct(&capitals, Suspicion::None))
    };
    let full = (9, [u128::MAX, u128::MAX - 1, 0, 0, 0, 0], [u128::MAX; 8], [u128::MAX / 2; 8]);
    let cases = [
        ("the first step", (usual.clone(), None), statistics(2)),
        ("a later one", (usual.clone(), old(0)), statistics(3)),
        ("every kind of position has shares of its own", (uneven_calibration.clone(), old(1)), uneven(3)),
        ("other numbers of each", (uneven_calibration, None), uneven(17)),
        ("nothing was measured", (usual.clone(), old(2)), ReplayStatistics::default()),
        ("a calibration that bounds nothing makes no bets", (nothing, old(3)), uneven(5)),
        ("six alternatives count, and no more", (many, old(4)), statistics(4)),
        (
            "a capital ends at the largest number",
            (usual.clone(), Some(conduct(&full, Suspicion::Suspect))),
            statistics(9),
        ),
        (
            "after very many",
            (usual, Some(conduct(&(u64::MAX, [ONE; 6], [ONE; 8], [ONE; 8]), Suspicion::None))),
            statistics(1),
        ),
    ];
    for (name, of, measured) in cases {
        step(page, world, name, of, measured);
    }
}

/// What nothing measured adds to a capital: so the limits are exact.
fn limits(book: &mut Book, world: &World) {
    let page = &mut book.page("suspicion");
    // Before step 9, so much is put in.
    let more = ONE / 10 / 11;
    let nothing = ReplayStatistics::default();
    for (name, least, before) in [
        ("suspect", 100u128, Suspicion::None),
        ("convicted", 1_000_000, Suspicion::Suspect),
        ("convicted at once", 1_000_000, Suspicion::None),
    ] {
        let at = least * 3 * ONE - more;
        step(page, world, &format!("{name}, at the limit"), (calibration(), Some(capital(at, before))), nothing);
        let below = capital(at - 1, before);
        step(page, world, &format!("{name}, a last bit below it"), (calibration(), Some(below)), nothing);
    }
    let over = capital(100 * 3 * ONE - more - 1, Suspicion::Suspect);
    step(page, world, "suspect no more", (calibration(), Some(over)), nothing);
}

// V7: what follows.

/// Two more final segments of the worker: one that is due at this time, one that is held until then.
fn finals(world: &World, due_ms: impl Fn(&Chain) -> (u64, Option<u64>)) -> (Chain, [SegmentId; 2], SegmentId, String) {
    let mut chain = world.leased.clone();
    let mut finals = [world.segment; 2];
    for slot in &mut finals {
        let segment = chain.commit(world.lease, totals(1, 10, 10));
        let members = chain.draw(segment);
        chain.vote(segment, &members, measured(0));
        *slot = segment;
    }
    let last = chain.commit(world.lease, totals(1, 10, 10));
    let member = chain.draw(last).remove(0);
    let chain = widened_stage(&chain, last);
    let (at_ms, until_ms) = due_ms(&chain);
    let due = edited(&chain, finals[0], |segment| {
        if let SegmentState::Final { settles_at_ms, held_until_ms, .. } = &mut segment.state {
            (*settles_at_ms, *held_until_ms) = (at_ms, until_ms);
        }
    });
    (due, finals, last, member)
}

fn convictions(book: &mut Book, world: &World) {
    let page = &mut book.page("statistics");
    let nearly = |before| capital(3_000_000 * ONE, before);
    let nothing = says(ReplayStatistics::default());
    // The block that decides is a second later.
    let soon = |chain: &Chain| chain.now_ms + BLOCK_MS;
    for (name, before, late_ms, until_ms) in [
        ("what is not due is rejected", Suspicion::None, 1, None),
        ("of a suspect worker, what waits is", Suspicion::Suspect, 0, Some(1)),
        ("of a suspect worker, what is due is held", Suspicion::Suspect, 1, None),
    ] {
        let (chain, _, segment, member) =
            finals(world, |chain| (soon(chain) + late_ms, until_ms.map(|ms| soon(chain) + ms)));
        let chain = tested(&chain, nearly(before));
        let body = verdict(segment, nothing);
        page.valid(name, "V7", &chain, &member, body.clone());
        page.numbers(name, &chain, &member, &body);
    }
    let (chain, _, segment, member) = finals(world, |chain| (soon(chain) + 1, None));
    let body = verdict(segment, nothing);
    let gone = tested(&chain, conduct(&(9, [0; 6], [0; 8], [0; 8]), Suspicion::Convicted));
    page.valid("approved after its worker was convicted", "V7", &gone, &member, body.clone());
    page.numbers("approved after", &gone, &member, &body);
    let assessed =
        tested(&edited(&chain, segment, |segment| segment.kind = TaskKind::Benchmark), nearly(Suspicion::None));
    page.valid("a capability task convicts: no tier", "N2", &assessed, &member, body.clone());
    page.numbers("a capability task convicts", &assessed, &member, &body);
    let known =
        tested(&edited(&chain, segment, |segment| segment.kind = TaskKind::Benchmark), capital(0, Suspicion::None));
    page.valid("a capability task is a step", "N2", &known, &member, body.clone());
    page.numbers("a capability task is a step", &known, &member, &body);
    // Suspicion ends: what was held is paid in the same block.
    let (held, ..) = finals(world, |chain| (chain.now_ms, Some(chain.now_ms + 60_000)));
    let held = tested(&held, capital(0, Suspicion::Suspect));
    page.valid("what was held is paid when suspicion ends", "V7", &held, &member, body.clone());
    page.numbers("what was held", &held, &member, &body);
}

fn suspects(book: &mut Book, world: &World) {
    let page = &mut book.page("withheld_pay");
    let (chain, [segment, _], ..) = finals(world, |chain| (chain.now_ms + 9_000, None));
    let at_ms = chain.now_ms + 9_000;
    let key = StateKey::Conduct((id("w0"), chain.profile()));
    let about = [StateKey::Segment(segment), key];
    let suspect = tested(&chain, capital(0, Suspicion::Suspect));
    page.timed("a suspect worker's pay waits", "V7", &suspect, at_ms, &about);
    let held = edited(&suspect, segment, |segment| {
        if let SegmentState::Final { held_until_ms, .. } = &mut segment.state {
            *held_until_ms = Some(at_ms);
        }
    });
    page.timed("and comes when it has waited for long enough", "V7", &held, at_ms, &about);
    let short = with(&suspect, |state| state.meta_mut().parameters.suspicion_ms = 0);
    page.timed("that may be at once", "V7", &short, at_ms, &about);
    let convicted = tested(&chain, conduct(&(9, [0; 6], [0; 8], [0; 8]), Suspicion::Convicted));
    page.timed("of a convicted worker nothing is paid", "V7", &convicted, at_ms, &about);
    let known = tested(&chain, capital(0, Suspicion::None));
    page.timed("of one that is neither all is", "V7", &known, at_ms, &[StateKey::Segment(segment), key]);
    // Draws.
    let mut chain = world.leased.clone();
    let segment = chain.commit(world.lease, totals(1, 10, 10));
    chain.blocks(2);
    let seats = (0..6).map(|index| StateKey::Node(id(&format!("v{index}"))));
    let record = StateKey::Record((id("w0"), chain.profile()));
    let all: Vec<StateKey> = seats.chain([StateKey::Segment(segment), record]).collect();
    let suspect = tested(&chain, capital(0, Suspicion::Suspect));
    let assessed = edited(&suspect, segment, |segment| segment.kind = TaskKind::Benchmark);
    for (name, chain) in [
        ("a known worker's jobs are replayed in part", &chain),
        ("a suspect worker's all", &suspect),
        ("those of its capability task too", &assessed),
    ] {
        page.drawn(name, "R3", chain, &all);
        page.closed_doors(name, chain, chain.now_ms + BLOCK_MS, &all);
    }
}

fn barred(book: &mut Book, world: &World) {
    let page = &mut book.page("barred_from_profile");
    let World { leased, lease, .. } = world;
    let chain = &tested(leased, conduct(&(9, [0; 6], [0; 8], [0; 8]), Suspicion::Convicted));
    let terms = OfferTerms { slots: 1, price: PRICE, context_tokens: 4_096, batches: true };
    let offer = TransactionBody::SetOffer { profile: chain.profile(), terms };
    let assess = TransactionBody::OpenAssessment { profile: chain.profile(), report: report(Tier::Mid) };
    let commit = TransactionBody::CommitSegment { commitment: chain.segment(*lease, totals(1, 10, 10)) };
    for (name, body) in [("an offer", offer.clone()), ("a capability task", assess), ("a segment", commit)] {
        page.invalid(name, "V7", chain, "w0", body, "barred_from_profile");
    }
    page.valid("another worker offers on", "V7", chain, "w1", offer.clone());
    page.doors(chain, "w1", &offer);
    page.numbers("another worker", chain, "w1", &offer);
}
