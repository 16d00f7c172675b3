//! Balances, fees, and the conservation of money (SPEC M, C9).

use crate::entries::{Hold, Meta};
use crate::{Rejection, State};
use inferium_types::{
    AccountId, Amount, AmountOverflow, Genesis, NodeId, Parameters, TransactionBody, VerifiedTransaction,
};
use std::collections::BTreeMap;

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

    pub(crate) fn fee(&self, transaction: &VerifiedTransaction) -> Result<Amount, Rejection> {
        Ok(fee_of(&transaction.transaction().body, transaction.size(), &self.meta().parameters)?)
    }

    /// Checks that money is conserved and every lock is backed (SPEC M2, M4).
    ///
    /// # Errors
    /// What does not add up, in words. An invariant that can't be evaluated counts as broken.
    pub fn audit(&self) -> Result<(), String> {
        let Some(meta) = self.meta_entry() else { return Err("no meta entry".into()) };
        let tables = self
            .accounts
            .values()
            .map(|account| account.balance)
            .chain(self.operators.values().map(|operator| operator.bond))
            .chain(self.nodes.values().flat_map(|node| [node.stake, node.delegated.tokens, node.unbonding.tokens]))
            .chain(self.tasks.values().map(|task| task.escrow))
            .chain(self.leases.values().map(|lease| lease.escrow))
            .chain(self.holds.values().map(Hold::amount))
            .chain(self.segments.values().filter_map(|segment| Some(segment.dispute.as_ref()?.bond)))
            .chain(self.challenges.values().map(|challenge| challenge.bond))
            .chain(self.proposals.values().map(|proposal| proposal.deposit))
            .chain(self.agents.values().map(|agent| agent.deposit))
            .chain([meta.reward_pool, meta.treasury, meta.validator_pool, meta.burned]);
        let mut total = Amount::ZERO;
        for amount in tables {
            total = total.add(amount).map_err(|_| "the sum of all money overflows".to_owned())?;
        }
        if total != Genesis::SUPPLY {
            return Err(format!("all money is {total}, the supply {}", Genesis::SUPPLY));
        }
        for (id, lease) in self.leases.iter() {
            if lease.reserved > lease.escrow {
                return Err(format!("lease {id} owes {} and holds {}", lease.reserved, lease.escrow));
            }
        }
        self.audit_agents()?;
        self.audit_stakes(meta)
    }

    /// Checks that every share of stake is somebody's, and that sums over nodes are kept (SPEC M7).
    fn audit_stakes(&self, meta: &Meta) -> Result<(), String> {
        let bonded = self.nodes.values().flat_map(|node| [node.stake, node.delegated.tokens]);
        let bonded = bonded.fold(0u64, |sum, amount| sum.saturating_add(amount.nano()));
        if bonded != meta.bonded.nano() {
            return Err(format!("{} is bonded, {bonded} nano-IFR are", meta.bonded));
        }
        let mut owned: BTreeMap<NodeId, (u128, u128, u32)> = BTreeMap::new();
        for ((_, validator), delegation) in self.delegations.iter() {
            let of = owned.entry(*validator).or_default();
            of.0 = of.0.saturating_add(delegation.shares);
        }
        for unbonding in self.unbondings.values() {
            let of = owned.entry(unbonding.node).or_default();
            of.1 = of.1.saturating_add(unbonding.shares);
        }
        for hold in self.holds.values() {
            let of = owned.entry(hold.node).or_default();
            of.2 = of.2.saturating_add(1);
        }
        for (id, node) in self.nodes.iter() {
            let owned = owned.get(id).copied().unwrap_or_default();
            if (node.delegated.shares, node.unbonding.shares, node.holds) != owned {
                return Err(format!("stake behind {id} is {owned:?}, by its pools {:?}", node.delegated));
            }
        }
        Ok(())
    }
}

/// What a transaction of `size` bytes costs: nothing for an assigned duty, else by its size (SPEC C9).
///
/// # Errors
/// [`AmountOverflow`].
pub fn fee_of(body: &TransactionBody, size: usize, parameters: &Parameters) -> Result<Amount, AmountOverflow> {
    if is_duty(body) {
        return Ok(Amount::ZERO);
    }
    let size = u64::try_from(size).map_err(|_| AmountOverflow)?;
    parameters.fee_base.add(parameters.fee_per_byte.times(size)?)
}

/// True for transactions that a node owes by an assignment. They cost nothing, so they are
/// included only when they have their effect.
#[must_use]
pub const fn is_duty(body: &TransactionBody) -> bool {
    match body {
        TransactionBody::CommitSegment { .. }
        | TransactionBody::OpenSegments { .. }
        | TransactionBody::CommitVerdict { .. }
        | TransactionBody::SubmitVerdict { .. }
        | TransactionBody::CertifyDelivery { .. }
        | TransactionBody::AnswerStall { .. }
        | TransactionBody::ShowTrace { .. } => true,
        TransactionBody::Transfer { .. }
        | TransactionBody::RegisterOperator { .. }
        | TransactionBody::RegisterNode { .. }
        | TransactionBody::SetUrl { .. }
        | TransactionBody::DeclareProfile { .. }
        | TransactionBody::SetOffer { .. }
        | TransactionBody::OpenTask { .. }
        | TransactionBody::CloseLease { .. }
        | TransactionBody::ReportStall { .. }
        | TransactionBody::ProveConflict { .. }
        | TransactionBody::ProveDoubleSigning { .. }
        | TransactionBody::ProveDoubleRequest { .. }
        | TransactionBody::ProveEquivocation { .. }
        | TransactionBody::Bond { .. }
        | TransactionBody::Unbond { .. }
        | TransactionBody::SetCommission { .. }
        | TransactionBody::OpenAssessment { .. }
        | TransactionBody::OpenDispute { .. }
        | TransactionBody::Propose { .. }
        | TransactionBody::Vote { .. }
        | TransactionBody::PublishAgent { .. }
        | TransactionBody::UpdateAgent { .. }
        | TransactionBody::RetireAgent { .. }
        | TransactionBody::OpenRun { .. }
        | TransactionBody::SpendAsAgent { .. }
        | TransactionBody::OpenChallenge { .. }
        | TransactionBody::AskTrace { .. }
        | TransactionBody::RefuteTrace { .. } => false,
    }
}
