//! Claims about the text and the end of answers.

use super::Answer;
use crate::{Engine, MockEngine, MockOptions};
use inferium_types::FinishReason;

fn run(text: &str, stop: &[&str], tokens_max: u32) -> (Vec<String>, Answer) {
    let engine = MockEngine::new(MockOptions::default());
    let stop: Vec<String> = stop.iter().map(|s| (*s).to_owned()).collect();
    let mut answer = Answer::new(&stop, tokens_max);
    let pieces = engine.encode(text).unwrap().into_iter().map(|token| answer.push(&engine, token)).collect();
    (pieces, answer)
}

#[test]
fn pieces_concatenate_to_the_text() {
    for stop in [&[][..], &["zzz"], &["o w", "ld!x"]] {
        let (pieces, mut answer) = run("hello world! é", stop, 1000);
        let rest = answer.cancel();
        assert_eq!(pieces.concat() + &rest, answer.text());
    }
}

#[test]
fn a_stop_string_ends_the_answer_and_is_not_part_of_it() {
    let (pieces, answer) = run("one STOP two", &["STOP"], 1000);
    assert_eq!(answer.finish(), Some(FinishReason::StopString));
    assert_eq!(answer.text(), "one ");
    assert_eq!(pieces.concat(), "one ");
}

#[test]
fn the_beginning_of_a_stop_string_is_held_back_until_it_is_none() {
    let (pieces, answer) = run("STOX", &["STOP"], 1000);
    assert_eq!(pieces, ["", "", "", "STOX"]);
    assert_eq!(answer.finish(), None);
}

#[test]
fn the_limit_of_tokens_ends_the_answer_at_exactly_that_token() {
    let (_, short) = run("abc", &[], 4);
    assert_eq!(short.finish(), None);
    let (_, exact) = run("abc", &[], 3);
    assert_eq!(exact.finish(), Some(FinishReason::Length));
    let (_, over) = run("abcd", &[], 3);
    assert_eq!((over.tokens().len(), over.text()), (3, "abc"));
}

#[test]
fn an_end_token_ends_the_answer_and_has_no_text() {
    let engine = MockEngine::new(MockOptions::default());
    let mut answer = Answer::new(&[], 10);
    let eos = engine.model().eos_tokens[0];
    assert_eq!(answer.push(&engine, eos), "");
    assert_eq!(answer.finish(), Some(FinishReason::EndOfText));
}
