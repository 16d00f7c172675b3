use super::{check_receipts, row_json};
use inferium_eval::{Board, ItemRecord, Results, RunHead, Summary, builtin, summarise};
use inferium_types::{ChainId, Digest, GroupKey, NetworkKey};
use serde_json::{Value, json};

fn head(model_profile: Option<&str>) -> RunHead {
    let suite = builtin("arithmetic").unwrap().unwrap();
    RunHead {
        version: 1,
        suite: suite.name().into(),
        suite_id: suite.id().to_string(),
        model: "m".into(),
        weights_root: Some("ab".into()),
        model_profile: model_profile.map(str::to_owned),
        verification: None,
        seed: 0,
        items: 1,
        command: "again".into(),
    }
}

/// One answered item whose receipt is an empty document.
fn made_up(model_profile: Option<&str>) -> (Results, Summary) {
    let suite = builtin("arithmetic").unwrap().unwrap();
    let mut results = Results::begin(head(model_profile));
    let item = json!({"id": suite.items()[0].id, "answer": inferium_eval::Answer::Text { text: "9".into() },
        "scores_ppm": [1_000_000], "jobs": ["ab"], "prompt_tokens": 1, "completion_tokens": 1, "cost_nano": 1,
        "milliseconds": 1});
    results.items.push(serde_json::from_value::<ItemRecord>(item).unwrap());
    results.receipts.insert("ab".into(), json!({}));
    let summary = summarise(&suite, &results).unwrap();
    (results, summary)
}

fn key() -> NetworkKey {
    NetworkKey { chain: ChainId::new(Digest::ZERO), group: GroupKey::from_bytes([7; 96]) }
}

#[test]
fn receipts_are_tied_to_a_model_by_its_profile_alone() {
    let suite = builtin("arithmetic").unwrap().unwrap();
    let refused = |profile| check_receipts(&suite, &made_up(profile).0, &key()).unwrap_err().to_string();
    assert!(refused(None).contains("names no model profile"), "{}", refused(None));
    assert!(refused(Some("cd")).contains("the receipt of job ab does not hold"), "{}", refused(Some("cd")));
    // A run of another server has neither receipts nor a profile.
    let mut foreign = made_up(None).0;
    foreign.receipts.clear();
    let open = check_receipts(&suite, &foreign, &key()).unwrap();
    assert_eq!((open.whole, open.answer, open.in_words(1)), (0, 0, None));
}

#[test]
fn a_board_says_whether_receipts_were_checked() {
    let suite = builtin("arithmetic").unwrap().unwrap();
    let (results, summary) = made_up(Some("cd"));
    let mut board = Board::default();
    board.add(&results.head, &summary);
    let row = (&suite, board.rows().remove(0));
    let (unchecked, checked) = (row_json(&row, false), row_json(&row, true));
    assert_eq!((&unchecked["receipts_unchecked_ppm"], &unchecked["model_profile"]), (&json!(1_000_000), &json!("cd")));
    assert_eq!((&unchecked["receipts_verified_ppm"], &unchecked["receipts_ppm"]), (&Value::Null, &Value::Null));
    assert_eq!(checked["receipts_verified_ppm"], json!(1_000_000));
}

#[test]
fn only_checked_receipts_are_called_final() {
    let suite = builtin("arithmetic").unwrap().unwrap();
    let (results, summary) = made_up(Some("cd"));
    let said = |is_checked| super::show::in_words(&suite, &results, &summary, is_checked).join("\n");
    assert!(said(true).contains("final for 100.0 %"), "{}", said(true));
    assert!(said(false).contains("in the file for 100.0 % of the items, unchecked") && !said(false).contains("final"));
}
