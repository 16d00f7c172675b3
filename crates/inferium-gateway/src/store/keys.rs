//! API keys beyond their money: what each may be used for, and what it was used for.
//!
//! Only a hash of a key is here. What it may spend is in the table of budgets, whose records are older than these: a key
//! without terms has none of its restrictions.

use super::{GatewayStore, KEYS, KeyRecord, LEASES, SegmentRecord, StoreError};
use crate::clock::unix_day;
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::{Table, Transaction};
use inferium_types::{Amount, Digest, JobLeaf, ProfileId, SegmentId};
use std::collections::BTreeMap;

const KEY_LIMITS: Table<Digest, KeyLimits> = Table::new("key_limits");
const KEY_TERMS: Table<Digest, KeyTerms> = Table::new("key_terms");
/// What a key was used for, by key, day and profile.
const USAGE: Table<(Digest, (u32, ProfileId)), UsageRecord> = Table::new("usage");
/// Where the usage of a signed segment is counted: its lease is forgotten before the chain decides about it, perhaps.
const COUNTED: Table<SegmentId, (u32, ProfileId)> = Table::new("counted");

/// What a key may be used for.
#[derive(Debug, Clone, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct KeyTerms {
    /// What its owner calls it; not a secret.
    pub(crate) name: String,
    /// Milliseconds since 1970; zero for a key that is older than its terms.
    pub(crate) created_at_ms: u64,
    /// From then on it is refused.
    pub(crate) expires_at_ms: Option<u64>,
    /// Names of the models that it may use, in order; all of them if there is no list.
    pub(crate) models: Option<Vec<String>>,
    /// Since when it is refused, for ever.
    pub(crate) revoked_at_ms: Option<u64>,
    /// In a table of their own, which is younger than this one.
    #[borsh(skip)]
    pub(crate) limits: KeyLimits,
}

/// How much a key may ask for in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct KeyLimits {
    pub(crate) requests: Option<u32>,
    /// Of prompts and answers.
    pub(crate) tokens: Option<u32>,
}

impl KeyTerms {
    /// True if the key may use the model of this name.
    pub(crate) fn allows(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|models| models.iter().any(|allowed| allowed == model))
    }
}

/// What a key was used for on one day, with one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, BorshSerialize, BorshDeserialize)]
pub(crate) struct UsageRecord {
    /// Jobs in signed segments.
    pub(crate) jobs: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) completion_tokens: u64,
    /// What they cost, less what came back.
    pub(crate) cost: Amount,
    /// Of these jobs, those whose segment was not approved: they cost nothing.
    pub(crate) free_jobs: u64,
}

/// A row of [`UsageRecord`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UsageRow {
    pub(crate) payer: Digest,
    /// Days since 1970, UTC.
    pub(crate) day: u32,
    pub(crate) profile: ProfileId,
    pub(crate) usage: UsageRecord,
}

impl GatewayStore {
    /// The terms of all keys that have some.
    pub(crate) fn key_terms(&self) -> Result<Vec<(Digest, KeyTerms)>, StoreError> {
        let limits: BTreeMap<Digest, KeyLimits> = self.store.all(KEY_LIMITS)?.into_iter().collect();
        let mut terms = self.store.all(KEY_TERMS)?;
        for (key, terms) in &mut terms {
            terms.limits = limits.get(key).copied().unwrap_or_default();
        }
        Ok(terms)
    }

    /// Makes a new key known, with its budget.
    pub(crate) fn create_key(&self, hash: Digest, budget: Amount, terms: &KeyTerms) -> Result<(), StoreError> {
        self.store.write(|tx| {
            tx.put(KEYS, &hash, &KeyRecord { budget, spent: Amount::ZERO })?;
            tx.put(KEY_LIMITS, &hash, &terms.limits)?;
            tx.put(KEY_TERMS, &hash, terms)
        })
    }

    /// Replaces a key's terms.
    pub(crate) fn put_key_terms(&self, hash: Digest, terms: &KeyTerms) -> Result<(), StoreError> {
        self.store.put(KEY_TERMS, &hash, terms)
    }

    /// What keys were used for, or one of them, in the order of keys, days and profiles.
    pub(crate) fn usage(&self, payer: Option<Digest>) -> Result<Vec<UsageRow>, StoreError> {
        let mut rows = Vec::new();
        self.store.for_each(USAGE, |(found, (day, profile)), usage| {
            if payer.is_none_or(|payer| payer == found) {
                rows.push(UsageRow { payer: found, day, profile, usage });
            }
            Ok(())
        })?;
        Ok(rows)
    }
}

/// Counts a signed segment's jobs as usage of who pays for them, today.
pub(super) fn count(tx: &Transaction, record: &SegmentRecord) -> Result<(), StoreError> {
    let Some(lease) = tx.get(LEASES, &record.terms.lease)? else { return Ok(()) };
    let place = (unix_day(), lease.terms.profile);
    tx.put(COUNTED, &record.terms.id(), &place)?;
    for (leaf, payer, cost) in paid(record) {
        change(tx, payer, place, |row| {
            row.jobs = row.jobs.saturating_add(1);
            row.prompt_tokens = row.prompt_tokens.saturating_add(leaf.result.usage.prompt_tokens.into());
            row.completion_tokens = row.completion_tokens.saturating_add(leaf.result.usage.completion_tokens.into());
            row.cost = Amount::from_nano(row.cost.nano().saturating_add(cost.nano()));
        })?;
    }
    Ok(())
}

/// A segment that was counted costs nothing.
pub(super) fn free(tx: &Transaction, record: &SegmentRecord) -> Result<(), StoreError> {
    let Some(place) = tx.get(COUNTED, &record.terms.id())? else { return Ok(()) };
    for (_, payer, cost) in paid(record) {
        change(tx, payer, place, |row| {
            row.free_jobs = row.free_jobs.saturating_add(1);
            row.cost = Amount::from_nano(row.cost.nano().saturating_sub(cost.nano()));
        })?;
    }
    Ok(())
}

/// The jobs of clients in a segment, with who pays for each and what.
fn paid(record: &SegmentRecord) -> impl Iterator<Item = (&JobLeaf, Digest, Amount)> {
    let clients = (0u32..).zip(&record.leaves).filter(|(index, _)| record.planted != Some(*index));
    clients.zip(&record.payers).map(|((_, leaf), (payer, cost))| (leaf, *payer, *cost))
}

fn change(
    tx: &Transaction,
    payer: Digest,
    place: (u32, ProfileId),
    change: impl FnOnce(&mut UsageRecord),
) -> Result<(), StoreError> {
    let mut row = tx.get(USAGE, &(payer, place))?.unwrap_or_default();
    change(&mut row);
    tx.put(USAGE, &(payer, place), &row)
}
