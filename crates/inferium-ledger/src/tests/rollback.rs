//! What was written since a mark can be taken back (SPEC M3). That it is so for every transaction
//! of every other test, [`super::support`] checks.

use super::support::*;
use crate::State;
use crate::table::{Held, Single, Table};
use inferium_types::{Amount, TransactionBody};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, u16),
    Remove(u8),
    Change(u8, u16),
    Mark,
    Keep,
    TakeBack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (any::<u8>(), any::<u16>()).prop_map(|(key, value)| Step::Insert(key, value)),
        3 => any::<u8>().prop_map(Step::Remove),
        3 => (any::<u8>(), any::<u16>()).prop_map(|(key, value)| Step::Change(key, value)),
        1 => Just(Step::Mark),
        1 => Just(Step::Keep),
        1 => Just(Step::TakeBack),
    ]
}

/// A table does what a map does that is copied at each mark, and leaves clones of it alone.
fn agrees_with_copies<H: Held<u16> + PartialEq + std::fmt::Debug>(steps: Vec<Step>) {
    let mut table: Table<u8, u16, H> = Table::new();
    let mut model: BTreeMap<u8, u16> = BTreeMap::new();
    let mut copy: Option<BTreeMap<u8, u16>> = None;
    let mut clones = Vec::new();
    for step in steps {
        match step {
            Step::Insert(key, value) => {
                let old = table.insert(key, value);
                assert_eq!(old.map(|old| *old.value()), model.insert(key, value));
            }
            Step::Remove(key) => {
                let old = table.remove(&key);
                assert_eq!(old.map(|old| *old.value()), model.remove(&key));
            }
            Step::Change(key, value) => {
                let (found, expected) = (table.get_mut(&key), model.get_mut(&key));
                assert_eq!(found.is_some(), expected.is_some());
                found.into_iter().chain(expected).for_each(|number| *number = value);
            }
            Step::Mark if copy.is_none() => {
                table.mark();
                copy = Some(model.clone());
            }
            Step::Keep if copy.is_some() => {
                table.keep();
                copy = None;
            }
            Step::TakeBack => {
                if let Some(copy) = copy.take() {
                    table.take_back();
                    model = copy;
                }
            }
            Step::Mark | Step::Keep => clones.push((table.clone(), model.clone())),
        }
        assert!(table.iter().eq(model.iter()) && table.is_empty() == model.is_empty());
        assert_eq!(table.first_key(), model.keys().next().copied());
    }
    for (clone, model) in clones {
        assert!(clone.iter().eq(model.iter()));
        let back: BTreeMap<u8, Option<u16>> =
            clone.differences(&table).map(|(key, value)| (*key, value.copied())).collect();
        let mut restored = model.clone();
        for (key, value) in back {
            match value {
                Some(value) => restored.insert(key, value),
                None => restored.remove(&key),
            };
        }
        assert!(table.iter().eq(restored.iter()));
    }
}

proptest! {
    #[test]
    fn table_takes_back_what_was_written(steps in proptest::collection::vec(step(), 0..200)) {
        agrees_with_copies::<u16>(steps.clone());
        agrees_with_copies::<Arc<u16>>(steps);
    }
}

#[test]
fn single_value_is_taken_back_to_its_mark() {
    let mut single = Single::new(1);
    *single.get_mut() = 2;
    single.mark();
    *single.get_mut() = 3;
    *single.get_mut() = 4;
    single.take_back();
    assert_eq!(*single.get(), 2);
    single.mark();
    *single.get_mut() = 5;
    single.keep();
    single.take_back();
    assert_eq!(*single.get(), 5);
    single.mark();
    single.take_back();
    assert_eq!(*single.get(), 5);
}

/// SPEC M3: a refusal that comes after the first write.
#[test]
fn transaction_that_fails_late_leaves_only_fee_and_nonce() {
    let chain = Chain::ready(1);
    let mut other = chain.clone();
    let worker = chain.state.node(&id("w0")).cloned();
    let body = TransactionBody::SetUrl { url: "http://other.example".into() };
    chain.fails("w0", body.clone(), &crate::Rejection::NotAllowed { expected: "a validator or gateway" });
    let good = TransactionBody::Transfer { to: id("x0"), amount: Amount::from_nano(7) };
    let (x0, w0) = (other.balance("x0"), other.balance("w0"));
    let block = [other.tx("w0", body), other.tx_after("w0", 1, good)];
    other.block(&block);
    let fees: u64 = block.iter().map(|transaction| fee_of(chain.parameters(), transaction).nano()).sum();
    assert_eq!((other.balance("x0"), other.balance("w0")), (x0 + 7, w0 - 7 - fees));
    assert_eq!(other.state.node(&id("w0")).cloned(), worker);
    assert_eq!(State::from_entries(other.state.entries()).unwrap(), other.state);
}
