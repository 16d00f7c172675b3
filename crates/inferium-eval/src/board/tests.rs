use super::{Board, BoardRow};
use crate::interval::wilson;
use crate::results::RunHead;
use crate::summary::{Score, Summary};
use proptest::prelude::*;

fn run(model: &str, right: u64, items: u64) -> (RunHead, Summary) {
    let head = RunHead {
        version: 1,
        suite: "test".into(),
        suite_id: "00".into(),
        model: model.into(),
        weights_root: None,
        model_profile: None,
        verification: None,
        seed: 0,
        items,
        command: format!("run {model} {items}"),
    };
    let summary = Summary {
        items,
        suite_items: items,
        scores: vec![Score { metric: "acc".into(), interval: wilson(right * 1_000_000, items) }],
        prompt_tokens: 10 * items,
        completion_tokens: items,
        cost_nano: 7 * items,
        milliseconds_median: 40 + right,
        tokens_per_second_milli: 1,
        receipts_ppm: 1_000_000,
        answers_digest: String::new(),
        digest: String::new(),
    };
    (head, summary)
}

fn rows(runs: &[(RunHead, Summary)]) -> Vec<BoardRow> {
    let mut board = Board::default();
    runs.iter().for_each(|(head, summary)| board.add(head, summary));
    board.rows()
}

#[test]
fn nobody_is_ranked_within_noise() {
    let found = rows(&[run("c", 30, 100), run("a", 90, 100), run("b", 85, 100), run("d", 33, 100)]);
    let ranks: Vec<(&str, u64)> = found.iter().map(|row| (row.model.as_str(), row.rank)).collect();
    assert_eq!(ranks, [("a", 1), ("b", 1), ("d", 3), ("c", 3)]);
}

#[test]
fn the_same_items_again_say_nothing_new() {
    let once = rows(&[run("a", 60, 100)]);
    let often = rows(&[run("a", 60, 100), run("a", 60, 100), run("a", 60, 100)]);
    assert_eq!((once[0].score, once[0].runs, often[0].score, often[0].runs), (often[0].score, 1, once[0].score, 3));
    // The mean is over all items, the command of the largest run.
    let mixed = rows(&[run("a", 10, 10), run("a", 40, 90)]);
    assert_eq!((mixed[0].score.mean, mixed[0].items, mixed[0].command.as_str()), (499_999, 90, "run a 90"));
    assert_eq!((mixed[0].cost_nano_per_thousand, mixed[0].receipts_ppm), (7_000, 1_000_000));
}

#[test]
fn models_are_told_apart_by_weights_and_then_by_name() {
    let with = |model: &str, weights: Option<&str>| {
        let (head, summary) = run(model, 5, 10);
        (RunHead { weights_root: weights.map(str::to_owned), ..head }, summary)
    };
    assert_eq!(rows(&[with("a", Some("1")), with("b", Some("1"))]).len(), 1);
    assert_eq!(rows(&[with("a", Some("1")), with("a", Some("2"))]).len(), 2);
    assert_eq!(rows(&[with("a", None), with("b", None), with("a", Some("1"))]).len(), 3);
}

#[test]
fn nothing_adds_nothing() {
    let (head, summary) = run("a", 0, 0);
    assert!(
        rows(&[(head.clone(), summary.clone()), (head, Summary { items: 1, scores: Vec::new(), ..summary })])
            .is_empty()
    );
}

proptest! {
    #[test]
    fn a_board_does_not_depend_on_the_order_of_runs(
        runs in proptest::collection::vec((0_u8..6, 0_u64..=20, 1_u64..4), 0..40), turn in 0_usize..40,
    ) {
        let runs: Vec<_> = runs.iter().map(|(model, right, size)| run(&format!("m{model}"), *right, 20 * size)).collect();
        let mut turned = runs.clone();
        turned.rotate_left(if runs.is_empty() { 0 } else { turn % runs.len() });
        turned.reverse();
        prop_assert_eq!(rows(&runs), rows(&turned));
    }

    #[test]
    fn ranks_follow_means_and_share_where_intervals_overlap(rights in proptest::collection::vec(0_u64..=50, 1..30)) {
        let runs: Vec<_> = rights.iter().enumerate().map(|(i, right)| run(&format!("m{i}"), *right, 50)).collect();
        let found = rows(&runs);
        for (row, next) in found.iter().zip(found.iter().skip(1)) {
            prop_assert!(row.score.mean >= next.score.mean && row.rank <= next.rank);
        }
        for row in &found {
            let better = found.iter().filter(|other| other.score.low > row.score.high).count();
            prop_assert_eq!(row.rank, better as u64 + 1);
            let leader = &found[0];
            prop_assert!(row.rank > 1 || row.score.overlaps(&leader.score));
        }
    }
}
