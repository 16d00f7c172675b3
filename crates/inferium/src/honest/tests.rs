//! Settings take turns, and nothing rejected is overlooked.

use super::*;
use std::collections::BTreeSet;

fn judged(segment: u32, is_tolerance: bool) -> Judged {
    let statistics = is_tolerance.then(|| hex::encode(encode(&ReplayStatistics::default())));
    let (setting, jobs) = ("a setting".to_owned(), 3);
    Judged { segment, setting, is_tolerance, jobs, tokens: 90, rejected: None, statistics, milliseconds: 5 }
}

fn calibration() -> Calibration {
    known_calibration(crate::model::DEFAULT).unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("inferium-honest-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn every_setting_has_its_turn() {
    let tiers = [Tier::Avx2, Tier::Avx512Vnni];
    for (with_llamacpp, count) in [(false, 64), (true, 96)] {
        let computes = Computes::all(with_llamacpp);
        let all: BTreeSet<Setting> = (0..count).map(|segment| Setting::of(segment, computes, &tiers)).collect();
        // Two engines or three, two thread counts, two instruction sets, eight batches.
        assert_eq!(all.len(), count as usize);
        assert!(all.iter().all(|setting| (1..=8).contains(&setting.batch) && (1..=2).contains(&setting.threads)));
        assert_eq!(all.iter().filter(|setting| !setting.is_tolerance()).count(), 32);
        assert_eq!(all.iter().any(|setting| setting.computes == Computes::WithLlamaCpp), with_llamacpp);
        assert_eq!(Setting::of(count, computes, &tiers), Setting::of(0, computes, &tiers));
    }
    assert!(!tiers_of_this_machine().is_empty());
}

fn tiers_of_this_machine() -> Vec<Tier> {
    super::tiers()
}

#[test]
fn what_is_kept_goes_on_where_it_stopped() {
    let path = folder("kept").join("honest.jsonl");
    let mut kept = Kept::open(&path).unwrap();
    assert_eq!(kept.jobs(), 0);
    kept.add(judged(0, false)).unwrap();
    kept.add(judged(1, true)).unwrap();
    drop(kept);
    // The third was cut off.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{}", &text[..20])).unwrap();
    let mut kept = Kept::open(&path).unwrap();
    assert_eq!((kept.jobs(), kept.done.len()), (6, 2));
    kept.add(judged(2, true)).unwrap();
    assert_eq!(Kept::open(&path).unwrap().done, [judged(0, false), judged(1, true), judged(2, true)]);
    fs::write(&path, text.lines().nth(1).unwrap().to_owned() + "\n").unwrap();
    assert!(Kept::open(&path).err().unwrap().to_string().contains("missing"));
    fs::write(&path, "{}\n").unwrap();
    assert!(Kept::open(&path).is_err());
}

#[test]
fn a_rejected_segment_and_a_suspect_worker_are_failures() {
    let calibration = calibration();
    let good = [judged(0, false), judged(1, true)];
    report(&calibration, &good, true).unwrap();
    let found = figures(&calibration, &good, true).unwrap();
    assert_eq!((found.jobs, found.tokens, found.worst.unwrap().0), (3, 90, Suspicion::None));
    let bad = Judged { rejected: Some("job 1: Token".to_owned()), ..judged(2, false) };
    assert!(report(&calibration, &[judged(0, false), bad], true).is_err());

    // Each job as noisy as can be.
    let logprobs = inferium_types::ClippedSum { count: 1, sum_ppm: 1_000_000, bets: [4 << 32; 8] };
    let noisy = ReplayStatistics { logprobs, ..ReplayStatistics::default() };
    let noisy = |segment| Judged { statistics: Some(hex::encode(encode(&noisy))), ..judged(segment, true) };
    assert!(report(&calibration, &(0..8).map(noisy).collect::<Vec<_>>(), true).is_err());
    let damaged = Judged { statistics: Some("00".to_owned()), ..judged(0, true) };
    assert!(report(&calibration, &[damaged], true).is_err());
}
