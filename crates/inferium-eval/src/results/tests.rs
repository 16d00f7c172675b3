use super::{InvalidResults, ItemRecord, Line, Results, RunHead};
use crate::{Answer, PPM, Suite, score_item, summarise};
use proptest::prelude::*;

const DEFINITION: &str = "name = \"test\"\nversion = 1\nabout = \".\"\n[template]\nkind = \"chat\"\nprompt = \"{input}\"\ntokens_max = 4\n[scorer]\nkind = \"exact\"\n";

fn suite() -> Suite {
    let items: String =
        (0..20).map(|i| format!("{{\"id\": \"i{i}\", \"input\": \"{i}\", \"answer\": \"{i}\"}}\n")).collect();
    Suite::parse(DEFINITION, &items).unwrap()
}

/// A finished run of the first `count` items: every third answer is wrong.
fn finished(count: usize) -> Results {
    let suite = suite();
    let head = RunHead {
        version: 1,
        suite: "test".into(),
        suite_id: suite.id().to_string(),
        model: "m".into(),
        weights_root: Some("ab".into()),
        model_profile: None,
        verification: Some("exact".into()),
        seed: 5,
        items: count as u64,
        command: "inferium eval run test m --seed 5".into(),
    };
    let mut results = Results::begin(head);
    for (place, index) in suite.order(5).into_iter().take(count).enumerate() {
        let item = &suite.items()[index];
        let text = if place % 3 == 2 { "no".to_owned() } else { item.input.clone() };
        let answer = Answer::Text { text };
        results.items.push(ItemRecord {
            id: item.id.clone(),
            scores_ppm: score_item(&suite, item, &answer).unwrap(),
            answer,
            jobs: vec![format!("{place:064x}")],
            openings: Vec::new(),
            prompt_tokens: 10,
            completion_tokens: 2,
            cost_nano: 100,
            milliseconds: 30,
        });
    }
    results.receipts.insert(format!("{:064x}", 0), serde_json::json!({"status": "final"}));
    results.summary = Some(summarise(&suite, &results).unwrap());
    results
}

fn text(results: &Results) -> String {
    let mut lines = vec![Line::Run(Box::new(results.head.clone()))];
    lines.extend(results.items.iter().cloned().map(Line::Item));
    lines.extend(
        results.receipts.iter().map(|(job, document)| {
            Line::Receipt(super::ReceiptRecord { job: job.clone(), document: document.clone() })
        }),
    );
    lines.extend(results.summary.clone().map(Line::Summary));
    lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect()
}

#[test]
fn what_is_written_is_read_and_holds() {
    let results = finished(12);
    let read = Results::parse(&text(&results)).unwrap();
    assert_eq!(read, results);
    let summary = read.check(&suite()).unwrap();
    assert_eq!((summary.items, summary.suite_items, summary.scores[0].interval.mean), (12, 20, 666_666));
    assert_eq!((summary.cost_nano, summary.prompt_tokens, summary.receipts_ppm), (1_200, 120, 83_333));
    assert_eq!((summary.milliseconds_median, summary.tokens_per_second_milli), (30, 400_000));
}

/// A change of results, and a word of the refusal.
type Edit = (&'static str, fn(&mut Results));

#[test]
fn whatever_makes_a_score_better_is_found() {
    let edits: [Edit; 16] = [
        ("a run of 21 items", |results| results.head.items = 21),
        ("a run of 0 items", |results| {
            results.head.items = 0;
            results.items.clear();
            results.receipts.clear();
        }),
        ("is named twice", |results| results.items[2].jobs = results.items[0].jobs.clone()),
        ("belongs to no item", |results| results.items[0].jobs[0] = "00".into()),
        ("exact_match 666667 (", |results| results.summary.as_mut().unwrap().scores[0].interval.mean += 1),
        ("the summary's score is", |results| results.summary.as_mut().unwrap().scores[0].interval.low += 1),
        ("the summary's cost_nano is", |results| results.summary.as_mut().unwrap().cost_nano -= 1),
        ("the summary's milliseconds_median is", |results| results.summary.as_mut().unwrap().milliseconds_median = 1),
        ("the summary's receipts_ppm is", |results| results.summary.as_mut().unwrap().receipts_ppm = PPM),
        ("its scores", |results| results.items[2].scores_ppm = Some(vec![PPM])),
        ("its scores", |results| results.items[2].scores_ppm = None),
        ("its scores", |results| results.items[2].answer = Answer::Text { text: results.items[2].id[1..].into() }),
        ("has no answer", |results| drop(results.items.remove(2))),
        ("not one that the seed draws", |results| {
            let outside = suite().order(5).into_iter().nth(15).unwrap();
            results.items[2].id = format!("i{outside}");
        }),
        ("no answer here", |results| results.head.items = 13),
        ("not done", |results| results.summary = None),
    ];
    for (expected, edit) in edits {
        let mut results = finished(12);
        edit(&mut results);
        let said = results.check(&suite()).unwrap_err().to_string();
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn another_suite_is_refused() {
    let other = Suite::parse(
        &DEFINITION.replace("version = 1", "version = 2"),
        "{\"id\": \"i0\", \"input\": \"0\", \"answer\": \"0\"}",
    );
    assert!(matches!(finished(3).check(&other.unwrap()), Err(InvalidResults::Suite { .. })));
}

#[test]
fn files_are_refused_with_the_line() {
    let whole = text(&finished(2));
    let lines: Vec<&str> = whole.lines().collect();
    let cases = [
        (String::new(), "line 1: the file is empty"),
        (lines[1..].join("\n"), "line 1: the first line is not of what was run"),
        ([&lines[..], &[lines[1]]].concat().join("\n"), "line 6: something follows the summary"),
        ([lines[0], lines[0]].join("\n"), "line 2: what was run is said twice"),
        ([lines[0], lines[1], lines[1]].join("\n"), "line 3: item"),
        ([lines[0], lines[3], lines[3]].join("\n"), "line 3: the receipt of job"),
        (whole.replace("\"milliseconds\":30", "\"milliseconds\":30,\"bonus\":1"), "line 2: unknown field `bonus`"),
        (whole.replace("\"version\":1", "\"version\":2"), "line 1: version 2"),
        (whole.trim_end_matches(['\n', '}']).to_owned(), "line 5:"),
        (whole.replace("\"record\":\"item\"", "\"record\":\"thing\""), "line 2:"),
    ];
    for (text, expected) in cases {
        let said = Results::parse(&text).unwrap_err().to_string();
        assert!(said.starts_with(expected), "{expected}: {said}");
    }
    assert_eq!((Results::whole("a\nb"), Results::whole("a\n"), Results::whole("a")), (2, 2, 0));
}

proptest! {
    #[test]
    fn any_changed_byte_is_refused_or_says_the_same(at in 0_usize..8_000, byte in 32_u8..127) {
        let results = finished(12);
        let mut damaged = text(&results).into_bytes();
        let at = at % damaged.len();
        damaged[at] = byte;
        if let Ok(read) = Results::parse(&String::from_utf8(damaged).unwrap())
            && read.check(&suite()).is_ok()
        {
            prop_assert_eq!(read, results);
        }
    }
}

#[test]
fn runs_with_the_same_answers_have_the_same_digest_of_answers() {
    let first = finished(12);
    let mut second = first.clone();
    second.items.reverse();
    second.items[0].milliseconds += 1;
    let again = summarise(&suite(), &second).unwrap();
    let summary = first.summary.unwrap();
    assert_eq!(again.answers_digest, summary.answers_digest);
    assert_ne!(again.digest, summary.digest);
    second.items[0].answer = Answer::Text { text: "?".into() };
    assert_ne!(summarise(&suite(), &second).unwrap().answers_digest, summary.answers_digest);
}
