use super::{BoardDocument, Folded, LeftOut, ReceiptFault, Refused, fold_board, suites_digest};
use crate::OpeningFault;
use crate::testing::{file, final_run, network, sealed};
use crate::{InvalidResults, Results};
use inferium_types::{Digest, EngineClass, FoldInput, ModelProfile, NetworkKey, limits};
use serde_json::json;

fn input(runs: &[Results]) -> FoldInput {
    FoldInput { network: network(), files: runs.iter().map(file).collect() }
}

fn fold(runs: &[Results]) -> Result<Folded, Refused> {
    fold_board(&input(runs), &network())
}

fn document(runs: &[Results]) -> BoardDocument {
    BoardDocument::parse(&fold(runs).unwrap().board).unwrap()
}

/// A change of a suite is another profile: its digest stands in `inferium-types`.
#[test]
fn profile_of_boards_names_these_suites() {
    let build = Digest::of("inferium/board-rules/2", &[suites_digest().to_string().as_bytes()]);
    let EngineClass::Canonical { build: known, .. } = ModelProfile::folder().engine else { panic!("canonical") };
    assert_eq!(known, build, "the digest of the suites is {}", suites_digest());
}

#[test]
fn models_are_ranked_from_final_runs() {
    let runs = [final_run("bad", 1, 2), final_run("good", 2, 0), final_run("good", 3, 0)];
    let folded = fold(&runs).unwrap();
    assert_eq!((folded.items, folded.steps.len()), (360, 3));
    let board = document(&runs);
    let rows: Vec<(u64, &str, u64, u32, u32)> = board
        .rows
        .iter()
        .map(|row| (row.rank, row.model.as_str(), row.runs, row.score_ppm, row.receipts_verified_ppm))
        .collect();
    assert_eq!(rows, [(1, "good", 2, 1_000_000, 1_000_000), (2, "bad", 1, 500_000, 1_000_000)]);
    assert_eq!(board.rows[1].command, "inferium eval run arithmetic bad --seed 1");
    assert_eq!(board.rows[1].cost_nano_per_thousand, 39_000);
    assert_eq!(board.files.len(), 3);
    assert_eq!(board.network, network().to_string());
}

/// Same bytes in, same bytes out; and the bytes have one form.
#[test]
fn a_board_has_one_encoding() {
    let runs = [final_run("bad", 1, 2), final_run("good", 2, 0)];
    let folded = fold(&runs).unwrap();
    assert_eq!(folded, fold(&runs).unwrap());
    let spaced = folded.board.replacen(':', ": ", 1);
    assert!(BoardDocument::parse(&spaced).is_err());
    let more = folded.board.replacen("{\"version\":1", "{\"version\":2", 1);
    assert!(BoardDocument::parse(&more).is_err());
    assert!(BoardDocument::parse("[]").is_err());
}

/// The order of files changes which is which, and no row.
#[test]
fn order_of_files_changes_no_row() {
    let (one, other) = (final_run("bad", 1, 2), final_run("good", 2, 0));
    let (ahead, behind) = (document(&[one.clone(), other.clone()]), document(&[other, one]));
    assert_eq!(ahead.rows, behind.rows);
    assert_ne!(ahead.files, behind.files);
}

/// A command that a run's maker wrote is no command to show others.
#[test]
fn commands_are_made_anew() {
    let mut run = final_run("good", 2, 0);
    run.head.command = "curl example.org | sh".into();
    assert_eq!(document(&[sealed(run)]).rows[0].command, "inferium eval run arithmetic good --seed 2");
}

#[test]
fn as_many_files_as_a_board_may_have() {
    let files = |count: usize| FoldInput { network: network(), files: vec![String::new(); count] };
    for count in [0, limits::FOLD_FILES_MAX + 1] {
        assert_eq!(fold_board(&files(count), &network()), Err(Refused::Files { found: count }));
    }
    let refused = fold_board(&files(limits::FOLD_FILES_MAX), &network());
    assert!(matches!(refused, Err(Refused::Results { file: 0, .. })), "{refused:?}");
}

#[test]
fn another_network_proves_nothing_here() {
    let other = NetworkKey { chain: inferium_types::ChainId::new(Digest::ZERO), ..network() };
    let input = input(&[final_run("good", 2, 0)]);
    assert_eq!(fold_board(&input, &other), Err(Refused::Network));
    let refused = fold_board(&FoldInput { network: other, ..input }, &other);
    assert!(matches!(refused, Err(Refused::Receipt { fault: ReceiptFault::Invalid(_), .. })), "{refused:?}");
}

/// Whatever was changed after the run is found.
#[test]
fn results_that_do_not_hold_are_refused() {
    let run = final_run("bad", 1, 2);
    let mut inflated = run.clone();
    inflated.items[0].scores_ppm = Some(vec![1_000_000]);
    let refused = fold(&[run.clone(), sealed(inflated)]);
    assert!(matches!(refused, Err(Refused::Results { file: 1, error: InvalidResults::Score { .. } })), "{refused:?}");
    let mut unfinished = run;
    unfinished.summary = None;
    assert!(matches!(fold(&[unfinished]), Err(Refused::Results { error: InvalidResults::Unfinished { .. }, .. })));
}

#[test]
fn receipts_are_of_the_job_the_profile_and_the_cost() {
    let run = final_run("good", 2, 0);
    let with = |change: &dyn Fn(&mut Results)| {
        let mut run = run.clone();
        change(&mut run);
        fold(&[sealed(run)])
    };
    let fault = |refused| match refused {
        Err(Refused::Receipt { fault, .. }) => Some(fault),
        _ => None,
    };
    let (first, second) = (run.items[0].jobs[0].clone(), run.items[1].jobs[0].clone());
    let other = run.receipts[&second].clone();
    assert_eq!(fault(with(&|run| drop(run.receipts.insert(first.clone(), other.clone())))), Some(ReceiptFault::Job));
    let profile = Digest::ZERO.to_string();
    assert_eq!(fault(with(&|run| run.head.model_profile = Some(profile.clone()))), Some(ReceiptFault::Profile));
    for document in [json!({}), json!({"proof": "xy"}), json!({"proof": 1}), json!(null)] {
        let found = with(&|run| drop(run.receipts.insert(first.clone(), document.clone())));
        assert_eq!(fault(found), Some(ReceiptFault::NoProof), "{document}");
    }
    // One bit of the certificate's signature.
    let bent = |proof: &str| {
        let last = if proof.ends_with('0') { "1" } else { "0" };
        format!("{}{last}", &proof[..proof.len() - 1])
    };
    let proof = bent(run.receipts[&first]["proof"].as_str().unwrap());
    let found = fault(with(&|run| drop(run.receipts.insert(first.clone(), json!({"proof": proof})))));
    assert!(matches!(found, Some(ReceiptFault::Invalid(_))), "{found:?}");
    assert_eq!(with(&|run| run.head.model_profile = None), Err(Refused::NoProfile { file: 0 }));
    assert!(matches!(with(&|run| run.items[0].cost_nano += 1), Err(Refused::Usage { .. })));
    assert!(matches!(with(&|run| run.items[0].prompt_tokens -= 1), Err(Refused::Usage { .. })));
}

/// A run whose answers nobody can hold against its jobs counts for nothing; one whose jobs gave other answers is no run.
#[test]
fn answers_are_opened_from_receipts() {
    let (whole, mut closed) = (final_run("good", 2, 0), final_run("bad", 1, 2));
    closed.items[7].openings.clear();
    let board = document(&[sealed(closed), whole.clone()]);
    let reason = "not all of its answers are open: who reads them has no proof that its jobs gave them".to_owned();
    assert_eq!(board.left_out, [LeftOut { file: 0, reason }]);
    assert_eq!(board.rows.len(), 1);
    // Better answers than the jobs gave, scored as they should be.
    let mut better = final_run("bad", 1, 2);
    let suite = crate::builtin("arithmetic").unwrap().unwrap();
    let wrong = better.items.iter().position(|item| item.scores_ppm == Some(vec![0])).unwrap();
    let item = suite.items().iter().find(|item| item.id == better.items[wrong].id).unwrap();
    let crate::Target::Text(right) = &item.target else { panic!("no text") };
    better.items[wrong].answer = crate::Answer::Text { text: right.clone() };
    better.items[wrong].scores_ppm = Some(vec![1_000_000]);
    let refused = fold(&[whole.clone(), sealed(better)]);
    assert!(
        matches!(&refused, Err(Refused::Opening { file: 1, item: found, fault: OpeningFault::Answer }) if *found == item.id),
        "{refused:?}"
    );
    // The opening of another item's job.
    let mut swapped = whole;
    swapped.items[0].openings = swapped.items[1].openings.clone();
    let refused = fold(&[sealed(swapped)]);
    assert!(matches!(refused, Err(Refused::Opening { fault: OpeningFault::Job, .. })), "{refused:?}");
}

/// One receipt that is missing leaves the run out; whether anything is left is another question.
#[test]
fn runs_that_are_not_final_are_left_out() {
    let whole = final_run("good", 2, 0);
    let mut missing = final_run("bad", 1, 2);
    let job = missing.items[7].jobs[0].clone();
    missing.receipts.remove(&job);
    let missing = sealed(missing);
    let board = document(&[missing.clone(), whole]);
    let reason = "not all of its items are final: receipts are missing".to_owned();
    assert_eq!(board.left_out, [LeftOut { file: 0, reason: reason.clone() }]);
    assert_eq!(board.rows.len(), 1);
    assert_eq!(fold(&[missing]), Err(Refused::Empty { reason }));
}

#[test]
fn parts_of_suites_are_left_out() {
    let mut part = final_run("good", 2, 0);
    let dropped = part.items.pop().unwrap();
    part.receipts.remove(&dropped.jobs[0]);
    part.head.items -= 1;
    let board = document(&[final_run("bad", 1, 2), sealed(part)]);
    assert_eq!(board.left_out, [LeftOut { file: 1, reason: "it is of a part of the suite".into() }]);
}

/// One job is one answer, in whichever file.
#[test]
fn a_job_counts_once() {
    let run = final_run("good", 2, 0);
    assert!(matches!(fold(&[run.clone(), run]), Err(Refused::Twice { file: 1, .. })));
}

#[test]
fn names_and_hashes_are_what_they_say() {
    let with = |change: &dyn Fn(&mut Results)| {
        let mut run = final_run("good", 2, 0);
        change(&mut run);
        fold(&[sealed(run)])
    };
    for name in ["", "a b", "-a", "a;b", "a\n", "$a", &"a".repeat(129)] {
        let refused = with(&|run| run.head.model = (*name).to_owned());
        assert_eq!(refused, Err(Refused::Head { file: 0, field: "model" }), "{name:?}");
    }
    for name in ["a/b-c_d.e:f@g+h", &"a".repeat(128)] {
        assert!(with(&|run| run.head.model = (*name).to_owned()).is_ok(), "{name:?}");
    }
    let refused = with(&|run| run.head.weights_root = Some("<b>".into()));
    assert_eq!(refused, Err(Refused::Head { file: 0, field: "weights_root" }));
}

#[test]
fn a_board_is_of_one_known_suite() {
    let mut unknown = final_run("good", 2, 0);
    unknown.head.suite = "mine".into();
    let known = final_run("bad", 1, 2);
    let found = |runs: &[Results]| fold(runs).unwrap_err();
    assert_eq!(found(&[unknown.clone()]), Refused::Suite { file: 0, suite: "mine".into() });
    assert_eq!(found(&[known.clone(), unknown]), Refused::Suite { file: 1, suite: "mine".into() });
    let mut other = final_run("good", 2, 0);
    other.head.suite = "forms".into();
    let mixed = Refused::Mixed { file: 1, expected: "arithmetic".into(), found: "forms".into() };
    assert_eq!(found(&[known, other]), mixed);
}

/// What a file came to on the way is known to who folded it: it changes with answers and receipts, and is no part of the board.
#[test]
fn steps_follow_from_what_was_folded() {
    let step = |run: &Results| fold(std::slice::from_ref(run)).unwrap().steps[0];
    let steps = [step(&final_run("a", 1, 2)), step(&final_run("a", 1, 3)), step(&final_run("b", 1, 2))];
    assert!(steps[0] != steps[1] && steps[0] != steps[2] && steps[1] != steps[2]);
    let folded = fold(&[final_run("a", 1, 2)]).unwrap();
    assert!(!folded.board.contains(&folded.steps[0].to_string()));
}
