//! SPEC C8: what was written is there after reopening, all of it or nothing.

use super::{Store, StoreError, Table};
use inferium_types::{Digest, LeaseId};
use std::path::PathBuf;

const NUMBERS: Table<u64, String> = Table::new("numbers");
const LEASES: Table<LeaseId, u32> = Table::new("leases");
const CURSOR: Table<(), u64> = Table::new("cursor");

/// A store in a file of its own, which goes with it.
struct Scratch {
    path: PathBuf,
    store: Option<Store>,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("inferium-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let store = Some(Store::open(&path).unwrap());
        Self { path, store }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Store::open(&self.path).unwrap());
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.store = None;
        let _ = std::fs::remove_file(&self.path);
    }
}

fn lease(byte: u8) -> LeaseId {
    LeaseId::new(Digest::from([byte; 32]))
}

fn with_numbers(name: &str, numbers: &[u64]) -> Scratch {
    let scratch = Scratch::new(name);
    for number in numbers {
        scratch.store().put(NUMBERS, number, &number.to_string()).unwrap();
    }
    scratch
}

#[test]
fn values_survive_reopening() {
    let mut scratch = Scratch::new("reopen");
    let store = scratch.store();
    assert_eq!(store.get(LEASES, &lease(1)).unwrap(), None, "nothing was put in any table");
    assert_eq!(store.all(LEASES).unwrap(), []);
    assert_eq!(store.keys(LEASES).unwrap(), []);
    assert_eq!(store.last(NUMBERS, None, 9).unwrap(), []);
    assert_eq!(store.len(LEASES).unwrap(), 0);
    store.remove(LEASES, &lease(1)).unwrap();
    for byte in 1..=3 {
        store.put(LEASES, &lease(byte), &u32::from(byte)).unwrap();
    }
    store.put(LEASES, &lease(2), &22).unwrap();
    store.remove(LEASES, &lease(3)).unwrap();
    store.put(CURSOR, &(), &41).unwrap();
    store.put(CURSOR, &(), &42).unwrap();

    scratch.reopen();
    let store = scratch.store();
    assert_eq!(store.all(LEASES).unwrap(), [(lease(1), 1), (lease(2), 22)]);
    assert_eq!(store.values(LEASES).unwrap(), [1, 22]);
    assert_eq!(store.keys(LEASES).unwrap(), [lease(1), lease(2)]);
    assert_eq!(store.len(LEASES).unwrap(), 2);
    assert_eq!(store.get(CURSOR, &()).unwrap(), Some(42));
    assert_eq!(store.get(LEASES, &lease(3)).unwrap(), None);
}

#[test]
fn pages_go_by_number_from_either_end() {
    let scratch = with_numbers("pages", &[256, 1, 255, 70_000, 2]);
    let store = scratch.store();
    let keys = |entries: Vec<(u64, String)>| entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(store.all(NUMBERS).unwrap()), [1, 2, 255, 256, 70_000]);
    assert_eq!(keys(store.first(NUMBERS, None, 2).unwrap()), [1, 2]);
    assert_eq!(keys(store.first(NUMBERS, Some(&255), 2).unwrap()), [255, 256]);
    assert_eq!(keys(store.first(NUMBERS, Some(&70_001), 2).unwrap()), [0u64; 0]);
    assert_eq!(store.last(NUMBERS, None, 1).unwrap(), [(70_000, "70000".to_owned())]);
    assert_eq!(keys(store.last(NUMBERS, Some(&256), 2).unwrap()), [255, 2]);
    assert_eq!(keys(store.last(NUMBERS, Some(&255), 99).unwrap()), [2, 1]);
    assert_eq!(keys(store.last(NUMBERS, None, 0).unwrap()), [0u64; 0]);
}

#[test]
fn a_look_ends_with_its_first_error() {
    let scratch = with_numbers("look", &[1, 2, 3]);
    let mut seen = Vec::new();
    let ended = scratch.store().for_each(NUMBERS, |key, _| {
        seen.push(key);
        if key == 2 { Err(StoreError::new("enough")) } else { Ok(()) }
    });
    assert_eq!(ended, Err(StoreError::new("enough")));
    assert_eq!(seen, [1, 2]);
}

#[test]
fn a_write_that_fails_writes_nothing() {
    let mut scratch = with_numbers("atomic", &[1]);
    let outcome: Result<(), StoreError> = scratch.store().write(|tx| {
        tx.put(LEASES, &lease(1), &1)?;
        tx.remove(NUMBERS, &1)?;
        assert_eq!(tx.get(LEASES, &lease(1))?, Some(1), "it sees its own changes");
        assert_eq!(tx.get(NUMBERS, &1)?, None);
        Err(StoreError::new("changed my mind"))
    });
    assert_eq!(outcome, Err(StoreError::new("changed my mind")));
    for _ in 0..2 {
        assert_eq!(scratch.store().get(LEASES, &lease(1)).unwrap(), None);
        assert_eq!(scratch.store().get(NUMBERS, &1).unwrap().as_deref(), Some("1"));
        scratch.reopen();
    }
}

#[test]
fn a_write_changes_several_tables_and_returns_its_value() {
    let scratch = with_numbers("several", &[1]);
    let value = scratch.store().write(|tx| {
        tx.remove(NUMBERS, &1)?;
        tx.put(CURSOR, &(), &7)?;
        Ok("done")
    });
    assert_eq!(value, Ok("done"));
    assert_eq!(scratch.store().get(CURSOR, &()).unwrap(), Some(7));
    assert_eq!(scratch.store().get(NUMBERS, &1).unwrap(), None);
}

#[test]
fn a_second_opener_is_told_why_not() {
    let scratch = Scratch::new("once");
    let error = Store::open(&scratch.path).unwrap_err().to_string();
    assert!(error.contains("is in use: another node runs on the same data"), "{error}");
    assert!(error.contains(&scratch.path.display().to_string()), "{error}");
}

#[test]
fn what_does_not_decode_is_an_error_that_names_the_table() {
    // The same name with other types: what a broken file would hold.
    const WRONG_VALUES: Table<u64, u64> = Table::new("numbers");
    const WRONG_KEYS: Table<LeaseId, String> = Table::new("numbers");
    let scratch = with_numbers("broken", &[1]);
    let store = scratch.store();
    let errors = [
        store.get(WRONG_VALUES, &1).unwrap_err(),
        store.all(WRONG_VALUES).unwrap_err(),
        store.last(WRONG_VALUES, None, 1).unwrap_err(),
        store.keys(WRONG_KEYS).unwrap_err(),
        store.write(|tx| tx.get(WRONG_VALUES, &1)).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("table numbers"), "{error}");
    }
}
