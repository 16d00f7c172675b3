//! Payments of clients: each transaction credits one key, once.
//!
//! A transaction is recorded as it was signed before it is sent, and credited when a final block holds it. Both are one write each, so a kill
//! between them loses nothing: it is sent again, and whoever follows the chain next meets the block, since the cursor never passes one whose
//! payments are not credited.

use super::{GatewayStore, KEYS, StoreError};
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_store::{Table, Transaction};
use inferium_types::{Amount, Digest, SignedTransaction, TransactionId};

const PAYMENTS: Table<TransactionId, PaymentRecord> = Table::new("payments");
/// Those that are recorded and not decided, as they were signed: to be sent again.
const PENDING: Table<TransactionId, SignedTransaction> = Table::new("pending-payments");
/// What was credited to a key in all: beside the budget that the operator's configuration says it has.
const CREDITS: Table<Digest, Amount> = Table::new("credits");

/// A transaction that a client showed as a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct PaymentRecord {
    /// Whose budget it adds to.
    pub(crate) payer: Digest,
    pub(crate) amount: Amount,
    pub(crate) state: PaymentState,
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum PaymentState {
    /// No block that was followed holds it.
    Recorded,
    Credited,
    /// A block holds it, but it moved no money.
    Failed,
}

impl GatewayStore {
    /// Records a payment before anything is done with it; what was recorded of it if it was there before.
    pub(crate) fn record_payment(
        &self,
        signed: &SignedTransaction,
        record: &PaymentRecord,
    ) -> Result<Option<PaymentRecord>, StoreError> {
        let id = signed.id();
        self.store.write(|tx| {
            let known = tx.get(PAYMENTS, &id)?;
            if known.is_none() {
                tx.put(PAYMENTS, &id, record)?;
                tx.put(PENDING, &id, signed)?;
            }
            Ok(known)
        })
    }

    /// Forgets a payment that no block will hold; false if it is decided, or was never there.
    pub(crate) fn forget_payment(&self, id: TransactionId) -> Result<bool, StoreError> {
        self.store.write(|tx| {
            let is_pending = tx.get(PAYMENTS, &id)?.is_some_and(|record| record.state == PaymentState::Recorded);
            if is_pending {
                tx.remove(PAYMENTS, &id)?;
                tx.remove(PENDING, &id)?;
            }
            Ok(is_pending)
        })
    }

    /// Records what a final block did with a payment; what was credited to whom by that, if anything.
    pub(crate) fn settle_payment(
        &self,
        id: TransactionId,
        moved_money: bool,
    ) -> Result<Option<(Digest, Amount)>, StoreError> {
        self.store.write(|tx| {
            let Some(record) = tx.get(PAYMENTS, &id)?.filter(|record| record.state == PaymentState::Recorded) else {
                return Ok(None);
            };
            let state = if moved_money { PaymentState::Credited } else { PaymentState::Failed };
            tx.put(PAYMENTS, &id, &PaymentRecord { state, ..record })?;
            tx.remove(PENDING, &id)?;
            if !moved_money {
                return Ok(None);
            }
            let credits = add(credited(tx, &record.payer)?, record.amount);
            tx.put(CREDITS, &record.payer, &credits)?;
            let mut key = tx.get(KEYS, &record.payer)?.unwrap_or_default();
            key.budget = add(key.budget, record.amount);
            tx.put(KEYS, &record.payer, &key)?;
            Ok(Some((record.payer, record.amount)))
        })
    }

    /// Payments whose block was not met yet, as they were signed.
    pub(crate) fn pending_payments(&self) -> Result<Vec<(SignedTransaction, PaymentRecord)>, StoreError> {
        let pending = self.store.values(PENDING)?;
        let with_record = |signed: SignedTransaction| {
            self.store.get(PAYMENTS, &signed.id()).map(|record| record.map(|record| (signed, record)))
        };
        pending.into_iter().filter_map(|signed| with_record(signed).transpose()).collect()
    }

    /// Payments that are remembered.
    #[cfg(test)]
    pub(crate) fn payments_count(&self) -> u64 {
        self.store.len(PAYMENTS).unwrap()
    }
}

/// What was credited to a key so far.
pub(super) fn credited(tx: &Transaction, payer: &Digest) -> Result<Amount, StoreError> {
    Ok(tx.get(CREDITS, payer)?.unwrap_or_default())
}

/// A budget has room for all there is: what is unlimited stays so.
pub(crate) const fn add(budget: Amount, more: Amount) -> Amount {
    Amount::from_nano(budget.nano().saturating_add(more.nano()))
}
