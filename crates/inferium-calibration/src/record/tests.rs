use super::*;
use crate::{CalibrationReport, controls, honest_settings};
use inferium_sampling::Run;
use inferium_types::{Digest, POSITION_KINDS, Ppm};

fn calibration() -> Calibration {
    Calibration {
        corpus: Digest::sha256(b"corpus"),
        positions: 5_000,
        flips: [Ppm::new(20_000); POSITION_KINDS],
        alternatives: vec![[Ppm::new(200_000); POSITION_KINDS]; 2],
        bad_margin_micro: 300_000,
        bad: Ppm::new(2_000),
        bad_correlation: Ppm::new(1_000),
        logprob_clip_micro: 1_000_000,
        logprob_mean: Ppm::new(40_000),
        sketch_clip_micro: 500_000,
        sketch_mean: Ppm::new(60_000),
        sketch_gross_micro: 400_000,
    }
}

fn written(refused: bool) -> String {
    let run = |name: &str| Run { name: name.to_owned(), jobs: Vec::new() };
    let honest: Vec<Run> = honest_settings().iter().map(|setting| run(setting.name)).collect();
    // Controls without jobs are never convicted.
    let cheats: Vec<Run> = controls().iter().filter(|_| refused).map(|setting| run(setting.name)).collect();
    CalibrationReport::new("a model".to_owned(), calibration(), &honest, &cheats).to_json().to_string()
}

#[test]
fn what_a_calibration_writes_is_read_again() {
    assert_eq!(read_calibration(&written(false)).unwrap(), calibration());
}

#[test]
fn a_refused_profile_is_not_read() {
    let InvalidRecord::NotAdmissible { reason } = read_calibration(&written(true)).unwrap_err() else {
        panic!("it is well-formed");
    };
    assert!(reason.contains("is not told from honest work"), "{reason}");
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let good = written(false);
    let record = hex::encode(inferium_types::encode(&calibration()));
    for bad in [
        String::new(),
        "{}".to_owned(),
        "[1, 2]".to_owned(),
        good.replace(&record, ""),
        good.replace(&record, &record[1..]),
        good.replace(&record, &record[2..]),
        good.replace(&record, &format!("{record}00")),
        good.replace(&record, "zz"),
    ] {
        assert!(matches!(read_calibration(&bad), Err(InvalidRecord::Format { .. })), "{bad}");
    }
}

#[test]
fn every_known_calibration_is_admissible() {
    for (model, text) in KNOWN {
        assert!(read_calibration(text).is_ok(), "{model}");
        assert!(known_calibration(model).is_some(), "{model}");
    }
    assert_eq!(known_calibration("no such model"), None);
}
