use super::Grammars;
use crate::EngineError;
use inferium_sampling::Allowed;
use std::collections::BTreeSet;

/// Bytes are tokens; two more end a text.
const VOCAB: usize = 258;
const EOS: [u32; 2] = [256, 257];

fn words() -> Vec<Vec<u8>> {
    let bytes = (0..=u8::MAX).map(|byte| vec![byte]);
    bytes.chain([Vec::new(), Vec::new()]).collect()
}

fn listed(allowed: &Allowed) -> BTreeSet<u32> {
    (0..VOCAB as u32).filter(|token| allowed.contains(*token)).collect()
}

fn end() -> BTreeSet<u32> {
    EOS.into()
}

/// What may follow a text, under a grammar.
fn after(grammar: &str, text: &str) -> BTreeSet<u32> {
    let mut state = Grammars::default().read(grammar, words, &EOS).unwrap();
    for byte in text.bytes() {
        let allowed = state.allowed(VOCAB);
        assert!(allowed.contains(byte.into()), "{text}: {}", char::from(byte));
        state.push(byte.into());
    }
    listed(&state.allowed(VOCAB))
}

fn bytes(text: &str) -> BTreeSet<u32> {
    text.bytes().map(u32::from).collect()
}

#[test]
fn only_what_the_grammar_allows_may_come_next() {
    let grammar = r#"start: "yes" | "no" | "note""#;
    assert_eq!(after(grammar, ""), bytes("yn"));
    assert_eq!(after(grammar, "ye"), bytes("s"));
    assert_eq!(after(grammar, "yes"), end());
    assert_eq!(after(grammar, "no"), bytes("t").union(&end()).copied().collect());
}

#[test]
fn a_schema_is_a_grammar() {
    let grammar = r#"start: %json {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
        "additionalProperties": false, "x-guidance": {"whitespace_flexible": false,
        "item_separator": ", ", "key_separator": ": "}}"#;
    assert_eq!(after(grammar, r#"{""#), bytes("a"));
    assert_eq!(
        after(grammar, r#"{"a": "#).intersection(&bytes("tfn1\"{[")).copied().collect::<BTreeSet<_>>(),
        bytes("tf")
    );
    assert_eq!(after(grammar, r#"{"a": true}"#), end());
}

#[test]
fn after_a_token_that_was_not_allowed_only_the_end_follows() {
    let mut state = Grammars::default().read(r#"start: "yes""#, words, &EOS).unwrap();
    state.push(u32::from(b'n'));
    assert_eq!(listed(&state.allowed(VOCAB)), end());
    state.push(u32::from(b'y'));
    assert_eq!(listed(&state.allowed(VOCAB)), end());
    state.push(EOS[1]);
    assert_eq!(listed(&state.allowed(VOCAB)), end());
}

#[test]
fn what_can_t_be_read_is_refused_in_one_line() {
    for grammar in [
        "",
        "start: nothing",
        r#"start: %json {"type": "nothing"}"#,
        r#"start: %json {"type": "string", "format": "no such"}"#,
    ] {
        let refused = Grammars::default().read(grammar, words, &EOS);
        let Err(EngineError::Grammar { reason }) = refused else { panic!("{grammar}") };
        assert!(!reason.is_empty() && !reason.contains('\n'), "{grammar}: {reason}");
    }
    let without_end = Grammars::default().read(r#"start: "a""#, words, &[]);
    assert!(matches!(without_end, Err(EngineError::Grammar { .. })));
}

#[test]
fn two_answers_share_nothing() {
    let grammars = Grammars::default();
    let grammar = r#"start: "ab" "cd""#;
    let mut one = grammars.read(grammar, words, &EOS).unwrap();
    let mut other = grammars.read(grammar, words, &EOS).unwrap();
    one.push(u32::from(b'a'));
    one.push(u32::from(b'b'));
    assert_eq!(listed(&one.allowed(VOCAB)), bytes("c"));
    assert_eq!(listed(&other.allowed(VOCAB)), bytes("a"));
}

/// The library follows rules by recursion: the longest chain that a job may have ends, whatever the caller's stack.
#[test]
fn rules_may_lead_to_rules_as_far_as_a_job_has_room_for() {
    let most = inferium_types::limits::GRAMMAR_LINES_MAX;
    let chain: String = (0..most - 2).map(|rule| format!("a{rule}: a{}\n", rule + 1)).collect();
    let grammar = format!("start: a0\n{chain}a{}: \"x\"\n", most - 2);
    assert_eq!(grammar.lines().count(), most);
    let state = std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(move || Grammars::default().read(&grammar, words, &EOS).map(|mut state| listed(&state.allowed(VOCAB))));
    assert_eq!(state.unwrap().join().unwrap().unwrap(), bytes("x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn grammars_are_read_within_a_runtime() {
    let mut state = Grammars::default().read(r#"start: "a""#, words, &EOS).unwrap();
    assert_eq!(listed(&state.allowed(VOCAB)), bytes("a"));
    let aside = tokio::task::spawn_blocking(|| Grammars::default().read(r#"start: "b""#, words, &EOS).map(|_| ()));
    assert_eq!(aside.await.unwrap(), Ok(()));
}
