use super::Kept;
use inferium_eval::{Answer, ItemRecord, Results, RunHead, builtin, summarise};
use std::path::PathBuf;

fn head(seed: u64) -> RunHead {
    let suite = builtin("forms").unwrap().unwrap();
    RunHead {
        version: 1,
        suite: suite.name().into(),
        suite_id: suite.id().to_string(),
        model: "m".into(),
        weights_root: None,
        model_profile: None,
        verification: None,
        seed,
        items: 2,
        command: "inferium eval run forms m".into(),
    }
}

fn item(id: &str) -> ItemRecord {
    ItemRecord {
        id: id.into(),
        answer: Answer::Text { text: "{}".into() },
        scores_ppm: Some(vec![0]),
        jobs: vec![id.into()],
        openings: Vec::new(),
        prompt_tokens: 1,
        completion_tokens: 1,
        cost_nano: 1,
        milliseconds: 1,
    }
}

/// A file of its own for each test.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("inferium-eval-{name}-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn a_run_goes_on_after_its_last_whole_line() {
    let path = path("goes-on");
    let mut kept = Kept::open(&path, head(0)).unwrap();
    kept.add_item(item("forms-001")).unwrap();
    drop(kept);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"record\":\"item\",\"id\":\"for")).unwrap();
    let mut kept = Kept::open(&path, head(0)).unwrap();
    assert_eq!(kept.results.items, [item("forms-001")]);
    kept.add_item(item("forms-002")).unwrap();
    let summary = summarise(&builtin("forms").unwrap().unwrap(), &kept.results).unwrap();
    kept.finish(summary.clone()).unwrap();
    drop(kept);
    let read = Results::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((read.items.len(), read.summary), (2, Some(summary.clone())));
    // Of a run that is done the summary is written anew.
    let mut kept = Kept::open(&path, head(0)).unwrap();
    assert_eq!((kept.results.items.len(), &kept.results.summary), (2, &None));
    kept.finish(summary).unwrap();
    drop(kept);
    assert_eq!(Results::parse(&std::fs::read_to_string(&path).unwrap()).unwrap().items.len(), 2);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_is_no_such_run_stays_as_it_is() {
    let path = path("stays");
    for (text, expected) in [("a letter\n", "is no run"), ("{\"no\": \"newline\"}", "is no run")] {
        std::fs::write(&path, text).unwrap();
        let said = Kept::open(&path, head(0)).err().unwrap().to_string();
        assert!(said.contains(expected), "{said}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    std::fs::remove_file(&path).unwrap();
    drop(Kept::open(&path, head(0)).unwrap());
    let said = Kept::open(&path, head(1)).err().unwrap().to_string();
    assert!(said.contains("with another seed"), "{said}");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn two_runs_do_not_write_to_one_file() {
    let path = path("locked");
    let first = Kept::open(&path, head(0)).unwrap();
    let said = Kept::open(&path, head(0)).err().unwrap().to_string();
    assert!(said.contains("another run writes to it"), "{said}");
    drop(first);
    assert!(Kept::open(&path, head(0)).is_ok());
    std::fs::remove_file(&path).unwrap();
}
