//! Claims about bounds and ages, without HTTP.

use super::*;

fn digest(number: u8) -> Digest {
    Digest::from([number; 32])
}

fn named(name: &str) -> Asked {
    Asked::Named(name.to_owned())
}

/// Begins a request that must be new and keeps an answer of this many bytes.
fn answered(table: &Table, account: u8, asked: Asked, size: usize) {
    let Begun::New(number, ..) = table.begin(digest(account), digest(0), asked).unwrap() else { panic!("it is known") };
    table.keep(number, size);
}

fn is_known(table: &Table, account: u8, asked: Asked) -> bool {
    matches!(table.begin(digest(account), digest(0), asked).unwrap(), Begun::Known(_))
}

#[tokio::test(start_paused = true)]
async fn answers_are_kept_for_their_time_and_no_longer() {
    let table = Table::default();
    answered(&table, 1, named("a"), 1);
    answered(&table, 1, Asked::Attempt(0), 1);
    tokio::time::advance(ATTEMPTS_FOR - Duration::from_secs(1)).await;
    assert!(is_known(&table, 1, Asked::Attempt(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!is_known(&table, 1, Asked::Attempt(2)));
    tokio::time::advance(NAMED_FOR - ATTEMPTS_FOR - Duration::from_secs(1)).await;
    assert!(is_known(&table, 1, named("a")));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!is_known(&table, 1, named("a")));
}

#[tokio::test]
async fn a_name_is_its_accounts_own() {
    let table = Table::default();
    answered(&table, 1, named("a"), 1);
    assert!(!is_known(&table, 2, named("a")));
    assert!(is_known(&table, 1, named("a")));
}

#[tokio::test]
async fn bytes_and_numbers_are_bounded_by_account_and_in_all() {
    let table = Table::default();
    answered(&table, 1, named("too long"), ANSWER_BYTES_MAX + 1);
    assert!(!is_known(&table, 1, named("too long")));
    answered(&table, 2, named("other"), 1);
    let fits = ACCOUNT_BYTES_MAX / ANSWER_BYTES_MAX;
    for index in 0..=fits {
        answered(&table, 1, named(&index.to_string()), ANSWER_BYTES_MAX);
    }
    assert_eq!(table.lock().uses[&digest(1)].bytes, ACCOUNT_BYTES_MAX);
    assert!(!is_known(&table, 1, named("0")) && is_known(&table, 1, named(&fits.to_string())));
    assert!(is_known(&table, 2, named("other")), "one account makes no other one lose its answers");
    for index in 0..2 * ACCOUNT_COUNT_MAX {
        answered(&table, 3, named(&index.to_string()), 0);
    }
    assert_eq!(table.lock().uses[&digest(3)].count, ACCOUNT_COUNT_MAX);
    for account in 4..=255 {
        for index in 0..100 {
            answered(&table, account, named(&index.to_string()), ANSWER_BYTES_MAX / 100);
        }
    }
    let inner = table.lock();
    assert!(inner.entries.len() <= COUNT_MAX && inner.bytes <= BYTES_MAX);
    let sum: usize = inner.entries.values().map(|entry| entry.size).sum();
    assert_eq!((sum, inner.ends.len(), inner.named.len()), (inner.bytes, inner.entries.len(), inner.entries.len()));
    assert_eq!(inner.uses.values().map(|used| used.bytes).sum::<usize>(), inner.bytes);
}
