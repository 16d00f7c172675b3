//! What replays within a tolerance measure, and which windows a draw opens: SPEC V6.

use super::sample::Gen;
use crate::*;

fn statistics(positions: u32, flips: u32, bad: u32) -> ReplayStatistics {
    let mut statistics = ReplayStatistics { bad, ..ReplayStatistics::default() };
    statistics.kinds[3] = KindCount { positions, flips };
    statistics.logprobs = ClippedSum {
        count: positions,
        sum_ppm: u64::from(positions) * 1_000_000,
        bets: [1, -2, 3, 0, 0, 0, 0, i64::MAX],
    };
    statistics
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    assert!(ReplayStatistics::default().is_well_formed());
    // At the boundary: all positions flips, all flips bad, every figure at its clip.
    assert!(statistics(5, 5, 5).is_well_formed());
    assert!(!statistics(5, 6, 0).is_well_formed(), "more flips than positions");
    assert!(!statistics(5, 4, 5).is_well_formed(), "more bad positions than flips");
    let mut counts = statistics(5, 0, 0);
    counts.logprobs.count = 4;
    counts.logprobs.sum_ppm = 0;
    assert!(!counts.is_well_formed(), "a position without a log probability");
    let mut above = statistics(5, 0, 0);
    above.logprobs.sum_ppm += 1;
    assert!(!above.is_well_formed(), "a mean above its clip");
    let mut sketches = statistics(5, 0, 0);
    sketches.sketches = ClippedSum { count: 1, sum_ppm: 1_000_001, ..ClippedSum::default() };
    assert!(!sketches.is_well_formed());
}

#[test]
fn a_sum_counts_every_part_once_and_stops_at_the_ends() {
    let mut g = Gen::new(3);
    let (a, b): (ReplayStatistics, ReplayStatistics) = (g.next(), g.next());
    assert_eq!(a.with(&b), b.with(&a));
    assert_eq!(a.with(&ReplayStatistics::default()), a);
    let two = statistics(5, 2, 1).with(&statistics(7, 3, 2));
    assert_eq!((two.positions(), two.flips(), two.bad), (12, 5, 3));
    let bets = [2, -4, 6, 0, 0, 0, 0, i64::MAX];
    assert_eq!(two.logprobs, ClippedSum { count: 12, sum_ppm: 12_000_000, bets });
    let most = ReplayStatistics { surprisal_micro: i64::MAX, variance_micro: u64::MAX, ..statistics(u32::MAX, 0, 0) };
    let sum = most.with(&most);
    assert_eq!((sum.kinds[3].positions, sum.surprisal_micro, sum.variance_micro), (u32::MAX, i64::MAX, u64::MAX));
}

#[test]
fn a_draw_opens_two_windows_or_all_that_there_are() {
    let mut g = Gen::new(4);
    let (segment, seed): (SegmentId, Digest) = (g.next(), g.digest());
    assert!(segment.opened_windows(&seed, 0, 0).is_empty());
    assert_eq!(segment.opened_windows(&seed, 0, 1), [0]);
    assert_eq!(segment.opened_windows(&seed, 0, 2), [0, 1]);
    let mut found = std::collections::BTreeSet::new();
    for index in 0..200 {
        let opened = segment.opened_windows(&seed, index, 10);
        assert!(opened.len() == OPENED_WINDOWS && opened[0] < opened[1] && opened[1] < 10);
        found.extend(opened);
    }
    assert_eq!(found.len(), 10, "every window is drawn sometimes");
    assert_ne!(
        (0..20).map(|index| segment.opened_windows(&seed, index, 10)).collect::<Vec<_>>(),
        (0..20).map(|index| segment.opened_windows(&g.digest(), index, 10)).collect::<Vec<_>>(),
    );
}

#[test]
fn the_root_binds_every_window_and_its_vectors() {
    let mut g = Gen::new(5);
    let windows: Vec<MeasuredWindow> = (0..3).map(|_| g.next()).collect();
    let evidence = MeasuredEvidence { windows, opened: Vec::new() };
    let mut others = std::collections::BTreeSet::from([evidence.root()]);
    for window in 0..3 {
        let mut changed = evidence.clone();
        changed.windows[window].hidden = g.digest();
        assert!(others.insert(changed.root()));
        let mut missing = evidence.clone();
        missing.windows.remove(window);
        assert!(others.insert(missing.root()));
    }
    let opened = OpenedWindow { window: 1, hidden: vec![1, 2, 3] };
    assert_ne!(opened.digest(), OpenedWindow { window: 2, ..opened.clone() }.digest());
    assert_ne!(opened.digest(), OpenedWindow { hidden: vec![1, 2, 4], ..opened }.digest());
}

#[test]
fn a_class_says_how_it_is_verified() {
    let mut g = Gen::new(6);
    let canonical = EngineClass::Canonical { build: g.digest(), tier: "all".into() };
    assert_eq!((canonical.mode(), canonical.calibration()), (VerificationMode::Exact, None));
    let calibration: Calibration = g.next();
    let tolerance = EngineClass::Tolerance { verifier: g.digest(), calibration: calibration.clone() };
    assert_eq!((tolerance.mode(), tolerance.calibration()), (VerificationMode::Sampled, Some(&calibration)));
    let foreign = EngineClass::Foreign { verifier: g.digest(), bounds: ForeignBounds::USUAL };
    assert_eq!((foreign.mode(), foreign.calibration()), (VerificationMode::Sampled, None));
    assert_eq!([&canonical, &tolerance, &foreign].map(EngineClass::is_measured), [false, true, true]);
    assert_eq!([&canonical, &tolerance, &foreign].map(EngineClass::name), ["canonical", "tolerance", "foreign"]);
}

/// SPEC V6, V9: what one class measures is nothing that another one's replay gives.
#[test]
fn statistics_belong_to_a_class() {
    let mut g = Gen::new(7);
    let tolerance = EngineClass::Tolerance { verifier: g.digest(), calibration: g.next() };
    let foreign = EngineClass::Foreign { verifier: g.digest(), bounds: ForeignBounds::USUAL };
    let canonical = EngineClass::Canonical { build: g.digest(), tier: "all".into() };
    let classes = [&canonical, &tolerance, &foreign];
    let given_by = |statistics: &ReplayStatistics| classes.map(|class| class.gives(statistics));
    let nothing = ReplayStatistics::default();
    assert_eq!(given_by(&nothing), [false, true, true], "a segment without tokens");
    let centred = ReplayStatistics { surprisal_micro: -7, variance_micro: 9, ..nothing };
    assert_eq!(given_by(&centred), [false, true, true]);
    let draws = |outside| DrawCount { positions: 3, outside, bets: [1; TEMPERS.len()] };
    assert_eq!(given_by(&ReplayStatistics { draws: draws(3), ..centred }), [false, false, true]);
    assert_eq!(given_by(&ReplayStatistics { draws: draws(4), ..centred }), [false; 3], "more than there are");
    let sketches = ClippedSum { count: 1, ..ClippedSum::default() };
    assert_eq!(given_by(&ReplayStatistics { sketches, ..centred }), [false, true, false]);
    assert_eq!(given_by(&ReplayStatistics { sketches, draws: draws(1), ..centred }), [false; 3], "of two classes");
    let of_one = |bets| DrawCount { positions: u32::MAX, outside: 1, bets };
    let sum = ReplayStatistics { draws: of_one([i64::MAX; 8]), ..nothing }
        .with(&ReplayStatistics { draws: of_one([1; 8]), ..nothing });
    assert_eq!(sum.draws, DrawCount { positions: u32::MAX, outside: 2, bets: [i64::MAX; 8] }, "sums end");
}

/// SPEC V9: rounded up, so that nothing becomes free.
#[test]
fn a_part_of_a_price_is_never_nothing() {
    let price =
        |nano: u64| Price { prompt_token: Amount::from_nano(nano), completion_token: Amount::from_nano(2 * nano) };
    let part = |nano, share| price(nano).part(Ppm::new(share)).prompt_token.nano();
    assert_eq!([part(100, 600_000), part(1, 600_000), part(2, 600_000), part(0, 600_000)], [60, 1, 2, 0]);
    assert_eq!([part(100, 1_000_000), part(100, 0), part(u64::MAX / 2, 1_000_000)], [100, 0, u64::MAX / 2]);
    assert_eq!(price(100).part(Ppm::new(600_000)).completion_token.nano(), 120);
}
