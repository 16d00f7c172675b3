//! Evidence gets to its members over failures of the chain's servers and of their own, within its time.

use super::{Undelivered, WINDOW, deliver};
use inferium_chain::GetError;
use std::cell::{Cell, RefCell};
use std::time::Duration;
use tokio::time::Instant;

fn unread() -> Undelivered {
    GetError { reason: "nobody answers".into() }.into()
}

#[tokio::test(start_paused = true)]
async fn failures_that_pass_are_waited_out() {
    let (reads, posts) = (Cell::new(0), RefCell::new(Vec::new()));
    let find = || {
        reads.set(reads.get() + 1);
        let read = reads.get();
        async move { if read < 5 { Err(unread()) } else { Ok("http://member".to_owned()) } }
    };
    let send = |url: String| {
        posts.borrow_mut().push(url);
        let outcome = match posts.borrow().len() {
            1 => Err(Undelivered::Status(404)),
            2 => Err(Undelivered::Http("refused".into())),
            _ => Ok(()),
        };
        async move { outcome }
    };
    assert_eq!(deliver(Instant::now() + WINDOW, find, send).await, Ok(()));
    assert_eq!((reads.get(), posts.into_inner()), (5, vec!["http://member".to_owned(); 3]));
}

/// Reads and deliveries share one window, which ends with the failure that was met last.
#[tokio::test(start_paused = true)]
async fn time_for_it_ends() {
    let (began, until) = (Instant::now(), Instant::now() + WINDOW);
    let never = deliver(until, || async { Err(unread()) }, |_| async { Ok(()) }).await;
    assert_eq!(never, Err(unread()));
    let elapsed = began.elapsed();
    assert!(elapsed <= WINDOW && elapsed + Duration::from_secs(5) >= WINDOW, "{elapsed:?}");

    let began = Instant::now();
    let find = || async {
        tokio::time::sleep(WINDOW / 2).await;
        Ok(String::new())
    };
    let refused = deliver(began + WINDOW, find, |_| async { Err(Undelivered::Status(503)) }).await;
    assert_eq!(refused, Err(Undelivered::Status(503)));
    assert!(began.elapsed() <= WINDOW);
}

#[tokio::test(start_paused = true)]
async fn what_the_chain_says_is_not_asked_again() {
    let began = Instant::now();
    for gone in [|| Undelivered::Member, || Undelivered::Lease] {
        let outcome = deliver(began + WINDOW, || async { Err(gone()) }, |_| async { Ok(()) }).await;
        assert_eq!(outcome, Err(gone()));
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}
