//! Balances, fees, and the conservation of money (SPEC M, C9).

use crate::{Rejection, State};
use inferium_types::{AccountId, Amount, Genesis, TransactionBody, VerifiedTransaction};

impl State {
    /// Adds free money to an account.
    pub(crate) fn credit(&mut self, id: AccountId, amount: Amount) -> Result<(), Rejection> {
        if amount.is_zero() {
            return Ok(());
        }
        let mut account = self.account(&id);
        account.balance = account.balance.add(amount)?;
        self.accounts.insert(id, account);
        Ok(())
    }

    /// Takes free money from an account.
    pub(crate) fn debit(&mut self, id: AccountId, amount: Amount) -> Result<(), Rejection> {
        let mut account = self.account(&id);
        let available = account.balance;
        account.balance = available.sub(amount).map_err(|_| Rejection::Insufficient { needed: amount, available })?;
        self.accounts.insert(id, account);
        Ok(())
    }

    pub(crate) fn transfer(&mut self, from: AccountId, to: AccountId, amount: Amount) -> Result<(), Rejection> {
        self.debit(from, amount)?;
        self.credit(to, amount)
    }

    /// Credits what is owed by a rule. Amounts are bounded by the supply, so this can't overflow.
    pub(crate) fn pay(&mut self, id: AccountId, amount: Amount) {
        #[expect(clippy::expect_used, reason = "all money together is the supply (M2), far below u64::MAX")]
        self.credit(id, amount).expect("the supply bounds every balance");
    }

    /// What a transaction costs: nothing for an assigned duty, else by its size (SPEC C9).
    pub(crate) fn fee(&self, transaction: &VerifiedTransaction) -> Result<Amount, Rejection> {
        if is_duty(&transaction.transaction().body) {
            return Ok(Amount::ZERO);
        }
        let parameters = &self.meta().parameters;
        let size = u64::try_from(transaction.size()).map_err(|_| Rejection::Overflow)?;
        Ok(parameters.fee_base.add(parameters.fee_per_byte.times(size)?)?)
    }

    /// Checks that money is conserved and every lock is backed (SPEC M2, M4).
    ///
    /// # Errors
    /// What does not add up, in words. An invariant that can't be evaluated counts as broken.
    pub fn audit(&self) -> Result<(), String> {
        let Some(meta) = &self.meta else { return Err("no meta entry".into()) };
        let tables = self
            .accounts
            .values()
            .map(|account| account.balance)
            .chain(self.operators.values().map(|operator| operator.bond))
            .chain(self.nodes.values().map(|node| node.stake))
            .chain(self.tasks.values().map(|task| task.escrow))
            .chain(self.leases.values().map(|lease| lease.escrow))
            .chain(self.holds.values().map(|hold| hold.amount))
            .chain([meta.reward_pool, meta.treasury, meta.validator_pool, meta.burned]);
        let mut total = Amount::ZERO;
        for amount in tables {
            total = total.add(amount).map_err(|_| "the sum of all money overflows".to_owned())?;
        }
        if total != Genesis::SUPPLY {
            return Err(format!("all money is {total}, the supply {}", Genesis::SUPPLY));
        }
        for (id, lease) in &self.leases {
            if lease.reserved > lease.escrow {
                return Err(format!("lease {id} owes {} and holds {}", lease.reserved, lease.escrow));
            }
        }
        Ok(())
    }
}

/// True for transactions that a node owes by an assignment. They cost nothing, so they are
/// included only when they have their effect.
#[must_use]
pub const fn is_duty(body: &TransactionBody) -> bool {
    match body {
        TransactionBody::CommitSegment { .. }
        | TransactionBody::SubmitVerdict { .. }
        | TransactionBody::CertifyDelivery { .. }
        | TransactionBody::AnswerStall { .. } => true,
        TransactionBody::Transfer { .. }
        | TransactionBody::RegisterOperator { .. }
        | TransactionBody::RegisterNode { .. }
        | TransactionBody::SetUrl { .. }
        | TransactionBody::DeclareProfile { .. }
        | TransactionBody::SetOffer { .. }
        | TransactionBody::OpenTask { .. }
        | TransactionBody::CloseLease { .. }
        | TransactionBody::ReportStall { .. }
        | TransactionBody::ProveConflict { .. } => false,
    }
}
