use super::load::{Prompts, Sample};
use super::report::{Report, Times};
use crate::cli::{BenchCommand, BenchServeArgs, Cli, Command};
use clap::Parser as _;
use std::time::Duration;

fn arguments(more: &[&str]) -> BenchServeArgs {
    let line = ["inferium", "bench", "serve"].iter().chain(more);
    match Cli::try_parse_from(line).unwrap().command {
        Command::Bench(BenchCommand::Serve(arguments)) => *arguments,
        other => panic!("{other:?}"),
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn prompts_are_the_seeds_and_begin_alike_as_far_as_they_should() {
    let prompts = Prompts::new(1, 20, 5);
    let [a, b] = [0, 1].map(|number| prompts.of(number));
    assert_eq!(a, Prompts::new(1, 20, 5).of(0));
    assert_ne!(a, Prompts::new(2, 20, 5).of(0));
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!((words(&a).len(), &words(&a)[..5]), (20, &words(&b)[..5]));
    assert_ne!(words(&a)[5..], words(&b)[5..]);
    assert_eq!(words(&Prompts::new(1, 3, 3).of(9)).len(), 3);
}

#[test]
fn a_report_counts_whole_answers_alone() {
    let answer = |total: u64| Sample {
        first: Some(ms(10)),
        gaps: vec![ms(4), ms(6)],
        total: ms(total),
        prompt_tokens: 7,
        answer_tokens: 6,
        ..Sample::default()
    };
    let failed = |error: &str| Sample { error: Some(error.to_owned()), total: ms(9_000), ..answer(0) };
    let samples = [answer(30), answer(40), failed("rate_limit_exceeded"), failed("rate_limit_exceeded")];
    let report = Report::new(&arguments(&["--requests", "4"]), &samples, Duration::from_secs(2));
    let json = report.json();
    assert_eq!(json["answers"], 2);
    assert_eq!(json["errors"]["rate_limit_exceeded"], 2);
    assert_eq!((&json["prompt_tokens"], &json["answer_tokens"]), (&14.into(), &12.into()));
    assert_eq!((&json["requests_per_second"], &json["answer_tokens_per_second"]), (&1.0.into(), &6.0.into()));
    assert_eq!((&json["end_to_end_ms"]["p50"], &json["end_to_end_ms"]["p99"]), (&30.0.into(), &40.0.into()));
    // Two gaps for the five tokens after the first.
    assert_eq!((&json["per_token_ms"]["p50"], &json["inter_token_ms"]["max"]), (&2.0.into(), &6.0.into()));
    assert!(report.table().contains("2 failed: rate_limit_exceeded"));
}

#[test]
fn percentiles_are_ranks() {
    let times = Times { name: "", label: "", sorted: (1..=200).map(f64::from).collect() };
    assert_eq!([1, 50, 99, 100].map(|percent| times.percentile(percent).unwrap()), [2.0, 100.0, 198.0, 200.0]);
    assert_eq!(Times { sorted: vec![5.0], ..times }.percentile(1), Some(5.0));
    assert_eq!(Times { name: "", label: "", sorted: Vec::new() }.percentile(50), None);
}

#[test]
fn a_picture_is_drawn_of_few_and_many() {
    for count in [1, 1_000] {
        let samples: Vec<Sample> =
            (1..=count).map(|n| Sample { first: Some(ms(n)), total: ms(2 * n), ..Sample::default() }).collect();
        let report = Report::new(&arguments(&[]), &samples, ms(count));
        let path = std::env::temp_dir().join(format!("inferium-bench-{}-{count}.svg", std::process::id()));
        super::plot::draw(&report, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(text.contains("first token") && text.contains("whole answer"));
    }
}

#[test]
fn a_load_that_makes_no_sense_is_refused() {
    let refused = |more: &[&str]| {
        let line = ["inferium", "bench", "serve"].iter().chain(more);
        Cli::try_parse_from(line).unwrap_err().to_string()
    };
    assert!(refused(&["--rate", "0"]).contains("is no rate"));
    assert!(refused(&["--rate", "5", "--concurrency", "2"]).contains("cannot be used with"));
    assert!(refused(&["--arrivals", "constant"]).contains("--rate"));
    assert!(refused(&["--requests", "0"]).contains("--requests"));
}
