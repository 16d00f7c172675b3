//! SPEC C8, J2: what was written is there after reopening, all of it or nothing, and readable for its
//! node only.

use super::{Store, StoreError, Table};
use inferium_seal::StorageKey;
use inferium_types::{Digest, LeaseId, SecretKey};
use std::ops::ControlFlow;
use std::path::PathBuf;

const NUMBERS: Table<u64, String> = Table::new("numbers");
const LEASES: Table<LeaseId, u32> = Table::new("leases");
const CURSOR: Table<(), u64> = Table::new("cursor");

fn seal(node: u8) -> StorageKey {
    StorageKey::derive(&SecretKey::from_bytes([node; 32]).unwrap(), "test")
}

/// A store in a file of its own, which goes with it.
struct Scratch {
    path: PathBuf,
    store: Option<Store>,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("inferium-store-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let store = Some(Store::open(&path, seal(1)).unwrap());
        Self { path, store }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Store::open(&self.path, seal(1)).unwrap());
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
    let error = Store::open(&scratch.path, seal(1)).unwrap_err().to_string();
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

#[test]
fn values_are_not_readable_in_the_file_and_names_are() {
    const TEXTS: Table<LeaseId, String> = Table::new("texts");
    let mut scratch = Scratch::new("unreadable");
    for round in 0..3 {
        let text = format!("quixotic zephyrs {round}");
        scratch.store().put(TEXTS, &lease(0xee), &text).unwrap();
        scratch.store().write(|tx| tx.put(TEXTS, &lease(round), &text)).unwrap();
    }
    scratch.store().remove(TEXTS, &lease(1)).unwrap();
    scratch.reopen();
    assert_eq!(scratch.store().get(TEXTS, &lease(0xee)).unwrap().as_deref(), Some("quixotic zephyrs 2"));
    let file = std::fs::read(&scratch.path).unwrap();
    let holds = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    assert!(!holds(b"quixotic") && !holds(b"zephyrs"));
    assert!(holds(&[0xee; 32]) && holds(b"texts"), "the same search finds what is there");
}

#[test]
fn a_store_of_another_key_says_so_before_anything_is_read() {
    let mut scratch = with_numbers("another", &[1]);
    scratch.store = None;
    for _ in 0..2 {
        let error = Store::open(&scratch.path, seal(2)).unwrap_err().to_string();
        assert!(error.contains("sealed with another key than this node's"), "{error}");
        assert!(error.contains(&scratch.path.display().to_string()), "{error}");
    }
    let other_store = StorageKey::derive(&SecretKey::from_bytes([1; 32]).unwrap(), "other");
    assert!(Store::open(&scratch.path, other_store).is_err());
    scratch.reopen();
    assert_eq!(scratch.store().get(NUMBERS, &1).unwrap().as_deref(), Some("1"), "and changes nothing");
}

#[test]
fn a_store_from_before_stores_were_sealed_says_so() {
    let mut scratch = Scratch::new("before");
    scratch.store = None;
    std::fs::remove_file(&scratch.path).unwrap();
    let old = redb::Database::create(&scratch.path).unwrap();
    let write = old.begin_write().unwrap();
    write.open_table(NUMBERS.definition()).unwrap().insert(&[0u8; 8][..], &[0u8; 4][..]).unwrap();
    write.commit().unwrap();
    drop(old);
    let error = Store::open(&scratch.path, seal(1)).unwrap_err().to_string();
    assert!(error.contains("its table numbers is from before stores were sealed"), "{error}");
}

/// Who can write the file can't pass one value off as another's.
#[test]
fn a_value_that_was_moved_is_an_error() {
    let mut scratch = with_numbers("moved", &[1, 2]);
    scratch.store = None;
    let file = redb::Database::create(&scratch.path).unwrap();
    let write = file.begin_write().unwrap();
    {
        use redb::ReadableTable as _;
        let mut table = write.open_table(NUMBERS.definition()).unwrap();
        let first = table.get(&1u64.to_be_bytes()[..]).unwrap().unwrap().value().to_vec();
        table.insert(&2u64.to_be_bytes()[..], first.as_slice()).unwrap();
    }
    write.commit().unwrap();
    drop(file);
    scratch.store = Some(Store::open(&scratch.path, seal(1)).unwrap());
    assert_eq!(scratch.store().get(NUMBERS, &1).unwrap().as_deref(), Some("1"));
    let error = scratch.store().get(NUMBERS, &2).unwrap_err().to_string();
    assert!(error.contains("table numbers") && error.contains("don't open"), "{error}");
}

#[test]
fn entries_are_looked_at_from_a_key_on_until_it_is_enough() {
    let scratch = with_numbers("look-from", &[1, 3, 5, 7]);
    let seen = |from: u64, last: u64| {
        let mut seen = Vec::new();
        let looked = scratch.store().look_from(NUMBERS, &from, |key, _| {
            seen.push(key);
            Ok(if key >= last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        looked.unwrap();
        seen
    };
    assert_eq!([seen(2, 5), seen(3, 3), seen(8, 9)], [vec![3, 5], vec![3], vec![]]);
    let failed = scratch.store().look_from(NUMBERS, &5, |_, _| Err(StoreError::new("enough")));
    assert_eq!(failed, Err(StoreError::new("enough")));
}

#[test]
fn keys_between_two_are_found_both_included() {
    let scratch = with_numbers("between", &[1, 3, 5, 7]);
    let between = |first: u64, last: u64| scratch.store().keys_between(NUMBERS, &first, &last).unwrap();
    assert_eq!([between(3, 5), between(4, 4), between(0, 9)], [vec![3, 5], vec![], vec![1, 3, 5, 7]]);
}
