//! What keys may spend, and did: the store's records in memory, with what is reserved.

use super::keyring::KeyView;
use crate::store::{KeyRecord, KeyTerms};
use inferium_types::{Amount, Digest};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Budget {
    record: KeyRecord,
    terms: KeyTerms,
    /// Cost at most of what runs, and cost of what waits for a segment.
    reserved: u64,
}

/// Budgets by payer.
#[derive(Debug, Default)]
pub(super) struct Budgets(BTreeMap<Digest, Budget>);

impl Budgets {
    pub(super) fn new(records: Vec<(Digest, KeyRecord)>, terms: Vec<(Digest, KeyTerms)>) -> Self {
        let mut budgets = Self::default();
        for (payer, record) in records {
            budgets.add(payer, record, KeyTerms::default());
        }
        for (payer, terms) in terms {
            budgets.set_terms(payer, terms);
        }
        budgets
    }

    pub(super) fn add(&mut self, payer: Digest, record: KeyRecord, terms: KeyTerms) {
        self.0.insert(payer, Budget { record, terms, reserved: 0 });
    }

    pub(super) fn set_terms(&mut self, payer: Digest, terms: KeyTerms) {
        if let Some(budget) = self.0.get_mut(&payer) {
            budget.terms = terms;
        }
    }

    /// The models that a payer may use; `None` when it may use all of them.
    pub(super) fn models(&self, payer: Digest) -> Option<&[String]> {
        self.0.get(&payer)?.terms.models.as_deref()
    }

    pub(super) fn view(&self, payer: Digest) -> Option<KeyView> {
        self.0.get(&payer).map(|budget| self.shown(payer, budget))
    }

    pub(super) fn views(&self) -> Vec<KeyView> {
        self.0.iter().map(|(payer, budget)| self.shown(*payer, budget)).collect()
    }

    fn shown(&self, hash: Digest, budget: &Budget) -> KeyView {
        KeyView { hash, record: budget.record, left: self.left(hash), terms: budget.terms.clone() }
    }

    /// What is neither spent nor reserved.
    pub(super) fn left(&self, payer: Digest) -> Amount {
        let Some(Budget { record, reserved, .. }) = self.0.get(&payer) else { return Amount::ZERO };
        Amount::from_nano(record.budget.nano().saturating_sub(record.spent.nano()).saturating_sub(*reserved))
    }

    pub(super) fn reserve(&mut self, payer: Digest, cost: Amount) {
        let budget = self.0.entry(payer).or_default();
        budget.reserved = budget.reserved.saturating_add(cost.nano());
    }

    pub(super) fn free(&mut self, payer: Digest, cost: Amount) {
        if let Some(budget) = self.0.get_mut(&payer) {
            budget.reserved = budget.reserved.saturating_sub(cost.nano());
        }
    }

    /// What was reserved is spent.
    pub(super) fn spend(&mut self, costs: &[(Digest, Amount)]) {
        for (payer, cost) in costs {
            self.free(*payer, *cost);
            let record = &mut self.0.entry(*payer).or_default().record;
            record.spent = Amount::from_nano(record.spent.nano().saturating_add(cost.nano()));
        }
    }

    /// A payment adds to what may be spent.
    pub(super) fn credit(&mut self, payer: Digest, amount: Amount) {
        let record = &mut self.0.entry(payer).or_default().record;
        record.budget = crate::store::add(record.budget, amount);
    }

    /// What was spent comes back.
    pub(super) fn refund(&mut self, costs: &[(Digest, Amount)]) {
        for (payer, cost) in costs {
            let record = &mut self.0.entry(*payer).or_default().record;
            record.spent = Amount::from_nano(record.spent.nano().saturating_sub(cost.nano()));
        }
    }

    pub(super) fn reserved(&self, payer: Digest) -> u64 {
        self.0.get(&payer).map_or(0, |budget| budget.reserved)
    }
}
