//! Validators that are away for a moment are no failure; ones that stay away are.

use super::{ATTEMPTS, NEWEST_WAIT, newest, patiently};
use crate::light::GetError;
use futures::stream::{self, FuturesUnordered};
use std::cell::Cell;
use std::time::Duration;

fn away(attempt: u32) -> GetError {
    GetError { reason: format!("away {attempt}") }
}

#[tokio::test(start_paused = true)]
async fn a_moment_without_an_answer_is_waited_out() {
    let asked = Cell::new(0);
    let answer = patiently(|| {
        asked.set(asked.get() + 1);
        let attempt = asked.get();
        async move { if attempt < ATTEMPTS { Err(away(attempt)) } else { Ok(attempt) } }
    });
    assert_eq!(answer.await, Ok(ATTEMPTS));
}

#[tokio::test(start_paused = true)]
async fn patience_ends_with_what_was_met_last() {
    let asked = Cell::new(0);
    let answer = patiently(|| {
        asked.set(asked.get() + 1);
        std::future::ready(Err::<(), _>(away(asked.get())))
    });
    assert_eq!(answer.await, Err(away(ATTEMPTS)));
    assert_eq!(asked.get(), ATTEMPTS);
}

type Answer = Result<(u64, &'static str), GetError>;

/// Answers of validators, each after so much time.
fn answers(of: &[(Duration, Answer)]) -> impl stream::Stream<Item = Answer> {
    let one = |(after, answer): (Duration, Answer)| async move {
        tokio::time::sleep(after).await;
        answer
    };
    of.iter().cloned().map(one).collect::<FuturesUnordered<_>>()
}

#[tokio::test(start_paused = true)]
async fn the_newest_of_the_answers_counts_whoever_was_first() {
    let second = Duration::from_secs(1);
    let told = [(Duration::ZERO, Ok((7, "old"))), (second / 4, Err(away(0))), (second / 2, Ok((8, "new")))];
    assert_eq!(newest(answers(&told)).await, Ok("new"));
    let told = [(Duration::ZERO, Ok((8, "new"))), (second / 2, Ok((7, "old")))];
    assert_eq!(newest(answers(&told)).await, Ok("new"));
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_is_waited_for_and_the_others_a_moment_from_then_on() {
    let long = Duration::from_mins(1);
    let (in_time, late) =
        (long + NEWEST_WAIT - Duration::from_millis(1), long + NEWEST_WAIT + Duration::from_millis(1));
    assert_eq!(newest(answers(&[(long, Ok((7, "old"))), (in_time, Ok((8, "new")))])).await, Ok("new"));
    assert_eq!(newest(answers(&[(long, Ok((7, "old"))), (late, Ok((8, "new")))])).await, Ok("old"));
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_the_last_refusal_is_told() {
    let refusals = [(Duration::ZERO, Err(away(1))), (Duration::from_secs(1), Err(away(2)))];
    assert_eq!(newest(answers(&refusals)).await, Err(away(2)));
    assert!(newest(answers(&[])).await.is_err());
}
