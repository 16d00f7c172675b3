use super::*;
use inferium_engine::source;
use inferium_fuzz::{Form, Memory, Outcome, Target};
use inferium_types::{LOGPROB_STEPS, SKETCHES_PER_WINDOW, WINDOW_TOKENS};
use std::path::PathBuf;
use std::sync::OnceLock;

/// SmolLM2-135M: the file that `INFERIUM_TEST_MODEL` names, else fetched once into the target folder.
fn model() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("INFERIUM_TEST_MODEL") {
        Some(path) => path.into(),
        None => {
            let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tmp/models"));
            source::pull(source::find("smollm2").unwrap(), folder, &mut |_| ()).unwrap()
        }
    })
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("inferium-calibration-{}", std::process::id())).join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}

const CORPUS: Corpus = Corpus { jobs: 2, tokens_max: 40 };

fn measure(setting: &Setting) -> Vec<JobMeasures> {
    let canonical = LlamaEngine::load(model(), LoadOptions::default()).unwrap();
    let mut told = Vec::new();
    let jobs = measure_run(&canonical, model(), CORPUS, setting, &mut |done| told.push(done)).unwrap();
    assert_eq!(told, [1, 2]);
    assert_eq!(jobs.len(), 2);
    jobs
}

fn flips(jobs: &[JobMeasures]) -> usize {
    jobs.iter().flat_map(|job| &job.positions).filter(|position| !position.check.agrees()).count()
}

fn named(name: &str) -> Setting {
    honest_settings().into_iter().chain(controls()).find(|setting| setting.name == name).unwrap()
}

#[test]
fn settings_have_names_of_their_own_and_alternatives_are_controls() {
    let all: Vec<&str> = honest_settings().iter().chain(&controls()).map(|setting| setting.name).collect();
    let distinct: std::collections::BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len());
    for name in ALTERNATIVES {
        assert!(controls().iter().any(|setting| setting.name == name), "{name}");
    }
}

#[test]
fn a_canonical_worker_differs_in_nothing() {
    let jobs = measure(&named("canonical"));
    assert_eq!(flips(&jobs), 0);
    for job in &jobs {
        // But for the step that a log probability is rounded to.
        assert!(job.positions.iter().all(|position| position.logprob_difference <= 0.5 / LOGPROB_STEPS));
        assert!(job.sketch_errors.iter().all(|error| *error < 0.01));
        let (full, rest) = (job.positions.len() / WINDOW_TOKENS, job.positions.len() % WINDOW_TOKENS);
        assert_eq!(job.sketch_errors.len(), full * SKETCHES_PER_WINDOW + rest.min(SKETCHES_PER_WINDOW));
    }
}

#[test]
fn each_behaviour_shows_where_it_should() {
    // A seed of one's own flips tokens, and says nothing wrong about the model.
    let own_seed = measure(&named("own-seed"));
    assert!(flips(&own_seed) > 10, "{}", flips(&own_seed));
    assert!(own_seed.iter().flat_map(|job| &job.sketch_errors).all(|error| *error < 0.2));
    // Forged sketches are far away, forged log probabilities are perfect.
    let forged = measure(&named("forged-sketches"));
    assert!(forged.iter().all(|job| job.sketch_errors.iter().sum::<f64>() / job.sketch_errors.len() as f64 > 0.5));
    let forged = measure(&named("int4-weights-forged-logprobs"));
    assert!(
        forged.iter().flat_map(|job| &job.positions).all(|position| position.logprob_difference <= 0.5 / LOGPROB_STEPS)
    );
    assert!(flips(&forged) > 5);
    let dropped = measure(&named("no-system-prompt"));
    assert!(dropped.iter().flat_map(|job| &job.sketch_errors).any(|error| *error > 0.05));
}

#[test]
fn runs_are_kept_whole_or_not_at_all() {
    let path = folder("kept").join("one.run");
    assert_eq!(read_run(&path).unwrap(), None);
    let check = PositionCheck {
        choice: 7,
        gap: f64::INFINITY,
        margin: 0.5,
        reach: 0.5,
        surprisal: -0.25,
        variance: 2.0,
        draw: Draw::CERTAIN,
    };
    let position = PositionMeasures { check, context_tokens: 3, logprob_difference: f64::INFINITY };
    let jobs = vec![
        JobMeasures { positions: vec![position], sketch_errors: vec![0.5], is_covered: true },
        JobMeasures { is_covered: true, ..JobMeasures::default() },
    ];
    write_run(&path, &jobs).unwrap();
    assert_eq!(read_run(&path).unwrap(), Some(jobs));
    std::fs::write(&path, [1, 2, 3]).unwrap();
    assert!(matches!(read_run(&path), Err(CalibrationError::File { .. })));
}

#[test]
fn a_finished_run_is_not_repeated_and_too_little_is_refused() {
    let folder = folder("resume");
    let corpus = Corpus { jobs: 2, tokens_max: 4 };
    let mut told = 0;
    let refused = calibrate(model(), corpus, &folder, |_| told += 1).unwrap_err();
    assert!(matches!(refused, CalibrationError::Inadmissible(Inadmissible::TooFew { found: 32 })), "{refused}");
    assert_eq!(told, 2 * (honest_settings().len() + controls().len()));
    let mut again = 0;
    calibrate(model(), corpus, &folder, |_| again += 1).unwrap_err();
    assert_eq!(again, 0);
    // Other questions are another calibration.
    assert_ne!(corpus.digest(), CORPUS.digest());
}

/// What lies on a disk may be anything: it is fitted to, or refused, whatever numbers it has.
#[test]
fn damaged_runs_are_refused_or_fitted_to() {
    let check = PositionCheck {
        choice: 7,
        gap: 0.3,
        margin: 0.5,
        reach: 0.5,
        surprisal: -0.25,
        variance: 2.0,
        draw: Draw::CERTAIN,
    };
    let position = PositionMeasures { check, context_tokens: 3, logprob_difference: 0.01 };
    let job = JobMeasures { positions: vec![position; 300], sketch_errors: vec![0.5; 8], is_covered: true };
    let path = folder("damaged").join("one.run");
    write_run(&path, &vec![job; 8]).unwrap();
    let sample = std::fs::read(&path).unwrap();
    // Everything that is read is copied, and sorted, several times.
    let memory = Memory { fixed: 1 << 20, per_byte: 64 };
    let target = Target { name: "a kept run", form: Form::Binary, cases: 300, memory };
    let tally = target.run(&[sample], |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let Ok(Some(jobs)) = read_run(&path) else { return Outcome::Refused };
        let runs = [Run { name: "one".to_owned(), jobs }];
        if let Ok(calibration) = fit(Digest::ZERO, &runs, &runs, &["one"]) {
            let _ = inferium_sampling::confirm(&calibration, &runs, &runs);
        }
        write_run(&path, &runs[0].jobs).unwrap();
        Outcome::Encodes(std::fs::read(&path).unwrap())
    });
    let tally = tally.unwrap();
    assert!(tally.refused > 20 && tally.refused < tally.cases, "{tally:?}");
}
