//! What keys may spend, and did: the store's records in memory, with what is reserved.

use crate::store::KeyRecord;
use inferium_types::{Amount, Digest};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Budget {
    record: KeyRecord,
    /// Cost at most of what runs, and cost of what waits for a segment.
    reserved: u64,
}

/// Budgets by payer.
#[derive(Debug, Default)]
pub(super) struct Budgets(BTreeMap<Digest, Budget>);

impl Budgets {
    pub(super) fn new(records: Vec<(Digest, KeyRecord)>) -> Self {
        Self(records.into_iter().map(|(payer, record)| (payer, Budget { record, reserved: 0 })).collect())
    }

    pub(super) fn record(&self, payer: Digest) -> Option<KeyRecord> {
        self.0.get(&payer).map(|budget| budget.record)
    }

    /// What is neither spent nor reserved.
    pub(super) fn left(&self, payer: Digest) -> Amount {
        let Some(Budget { record, reserved }) = self.0.get(&payer) else { return Amount::ZERO };
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

    /// What was spent comes back.
    pub(super) fn refund(&mut self, costs: &[(Digest, Amount)]) {
        for (payer, cost) in costs {
            let record = &mut self.0.entry(*payer).or_default().record;
            record.spent = Amount::from_nano(record.spent.nano().saturating_sub(cost.nano()));
        }
    }

    #[cfg(test)]
    pub(super) fn reserved(&self, payer: Digest) -> u64 {
        self.0.get(&payer).map_or(0, |budget| budget.reserved)
    }
}
