use super::*;
use inferium_sampling::{Draw, JobMeasures, PositionCheck, PositionMeasures, fit};
use inferium_types::{Digest, decode};

/// Jobs in which every `every`-th token differs, with this error of sketches.
fn run(name: &str, every: usize, error: f64) -> Run {
    let job = |index: usize| {
        let position = |at: usize| {
            let margin = if (at + index).is_multiple_of(every) { error } else { 0.0 };
            let check = PositionCheck {
                choice: 0,
                gap: 0.1 + at as f64 * 0.01,
                margin,
                reach: margin,
                surprisal: 0.0,
                variance: 1.0,
                draw: Draw::CERTAIN,
            };
            PositionMeasures { check, context_tokens: 100, logprob_difference: error * (1.0 + at as f64 / 100.0) }
        };
        JobMeasures { positions: (0..100).map(position).collect(), sketch_errors: vec![error; 12], is_covered: true }
    };
    Run { name: name.to_owned(), jobs: (0..40).map(job).collect() }
}

#[test]
fn an_admissible_profile_is_reported_with_its_record_and_pictures() {
    let (honest, controls) = ([run("honest", 50, 0.02)], [run("cheat", 3, 0.4)]);
    let calibration = fit(Digest::ZERO, &honest, &controls, &["cheat"]).unwrap();
    let report = CalibrationReport::new("a model".into(), calibration.clone(), &honest, &controls);
    assert_eq!(report.refused, None);
    let json = report.to_json();
    assert_eq!(json["admissible"], true);
    let record: Vec<u8> = json["record"]
        .as_str()
        .unwrap()
        .as_bytes()
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(decode::<Calibration>(&record).unwrap(), calibration, "the record is the calibration");
    assert_eq!(json["controls"][0]["name"], "cheat");
    assert!(json["controls"][0]["convicted_after_positions"].as_u64().unwrap() <= 400);
    assert_eq!(json["runs"].as_array().unwrap().len(), 2);

    let folder = std::env::temp_dir().join(format!("inferium-report-{}", std::process::id()));
    write_report(&report, &honest, &controls, &folder).unwrap();
    let markdown = std::fs::read_to_string(folder.join("report.md")).unwrap();
    assert!(markdown.contains("**Admissible.**") && markdown.contains("| cheat | 4000 |"), "{markdown}");
    for picture in ["distributions.svg", "detection.svg"] {
        let svg = std::fs::read_to_string(folder.join(picture)).unwrap();
        assert!(svg.contains("polyline") && svg.contains("cheat"), "{picture}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_refused_profile_says_why() {
    let (honest, twin) = ([run("honest", 50, 0.02)], [run("twin", 50, 0.02)]);
    let calibration = fit(Digest::ZERO, &honest, &twin, &["twin"]).unwrap();
    let report = CalibrationReport::new("a model".into(), calibration, &honest, &twin);
    assert!(report.to_markdown().contains("**Not admissible**: `twin`"));
    assert_eq!(report.to_json()["admissible"], false);
    assert!(report.to_markdown().contains("| twin | never | never |"));
    let nowhere = Path::new("/proc/nowhere/at all");
    assert!(matches!(write_report(&report, &honest, &twin, nowhere), Err(ReportError::File { .. })));
}
