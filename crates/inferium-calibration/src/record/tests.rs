use super::*;
use crate::{CalibrationReport, controls, honest_settings};
use inferium_fuzz::{Form, Memory, Outcome, Target};
use inferium_sampling::{
    Bets, Draw, JobMeasures, PositionCheck, PositionMeasures, Run, SequentialTest, bad_limit, ends_wrongly, gross_fault,
};
use inferium_types::{Digest, POSITION_KINDS, Ppm, encode};

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

/// Figures of a worker that hands in what it likes.
fn job(figures: [f64; 4]) -> JobMeasures {
    let position = |index: u32| {
        let [gap, margin, logprob_difference, surprisal] = figures;
        let check =
            PositionCheck { choice: 1, gap, margin, reach: margin, surprisal, variance: gap, draw: Draw::CERTAIN };
        PositionMeasures { check, context_tokens: index.wrapping_mul(1_000), logprob_difference }
    };
    JobMeasures { positions: (0..40).map(position).collect(), sketch_errors: figures.repeat(3), is_covered: true }
}

/// Everything that a verdict makes of a calibration.
fn judge_with(calibration: &Calibration) {
    let bets = Bets::new(calibration);
    let mut test = SequentialTest::default();
    for figures in [
        [0.1, 0.2, 0.01, 3.0],
        [f64::NAN; 4],
        [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN],
        [5e-324, -5e-324, f64::MIN_POSITIVE, -0.0],
    ] {
        let job = job(figures);
        let statistics = job.statistics(calibration);
        assert!(statistics.is_well_formed(), "{statistics:?}");
        test.judge(&bets, &statistics.with(&statistics));
        let _ = (
            gross_fault(calibration, &statistics, &job.sketch_errors),
            test.suspicion(&bets),
            bad_limit(calibration, 1_000),
        );
        assert!(test.capital_log10(&bets).is_finite());
        assert!(!ends_wrongly(calibration, &job.positions[0].check, 1, |_| true), "the same token ends no other way");
    }
}

#[test]
fn damaged_records_are_refused_and_what_is_read_can_be_judged_with() {
    let samples: Vec<Vec<u8>> =
        KNOWN.iter().map(|(_, text)| text.as_bytes().to_vec()).chain([written(false).into_bytes()]).collect();
    // The record's bytes, from text that is twice as long; a claimed length is read a mebibyte at a time.
    let memory = Memory { fixed: 1_200_000, per_byte: 64 };
    let target = Target { name: "calibration.json", form: Form::Text, cases: 2_000, memory };
    let tally = target.run(&samples, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return Outcome::Refused };
        match read_calibration(text) {
            Ok(calibration) => {
                judge_with(&calibration);
                Outcome::Value
            }
            Err(_) => Outcome::Refused,
        }
    });
    assert!(tally.unwrap().refused > 0);

    // Whatever numbers a well-formed record has.
    let known = KNOWN.iter().filter_map(|(model, _)| known_calibration(model));
    let records: Vec<Vec<u8>> = known.chain([calibration()]).map(|value| encode(&value)).collect();
    let target = Target { name: "a calibration's record", form: Form::Binary, cases: 3_000, memory };
    let tally = target.run(&records, |bytes| {
        let text = serde_json::json!({"admissible": true, "record": hex::encode(bytes)}).to_string();
        match read_calibration(&text) {
            Ok(calibration) => {
                judge_with(&calibration);
                Outcome::Encodes(encode(&calibration))
            }
            Err(_) => Outcome::Refused,
        }
    });
    let tally = tally.unwrap();
    assert!(tally.refused > 100 && tally.refused < tally.cases, "{tally:?}");
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

/// The one for networks whose workers run llama.cpp: it allows what the other one allows, and more.
#[test]
fn the_calibration_with_llama_cpp_is_of_the_same_model_and_wider() {
    let with = read_calibration(include_str!("../../records/smollm2-135m-instruct-with-llamacpp.json")).unwrap();
    let without = known_calibration("smollm2-135m-instruct").unwrap();
    assert!(with.positions > without.positions);
    assert!(with.logprob_mean > without.logprob_mean && with.sketch_mean > without.sketch_mean);
    assert!(with.logprob_clip_micro > without.logprob_clip_micro && with.sketch_clip_micro > without.sketch_clip_micro);
    assert!(with.flips.iter().zip(&without.flips).all(|(with, without)| with >= without));
}
