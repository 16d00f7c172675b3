//! Validators that are away for a moment are no failure; ones that stay away are.

use super::{ATTEMPTS, patiently};
use crate::light::GetError;
use std::cell::Cell;

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
