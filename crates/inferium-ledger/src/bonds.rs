//! Stake: own and delegated, on its way in and out (SPEC M7).
//!
//! Delegated stake is a pool of shares, and so is stake on its way out: a slash or a reward moves
//! what a share is worth, for everyone at once, however many there are.

use crate::Rejection;
use crate::entries::{Delegation, Fresh, Node, Pool, ProposalState, Unbonding};
use crate::execute::Block;
use inferium_types::{AccountId, Amount, AmountOverflow, Event, NodeId, NodeRole, Ppm, ProfileId};

/// Validators that one account may delegate to.
const DELEGATIONS_MAX: usize = 16;
/// Shares of one pool: their product with the supply fits into 128 bits.
const SHARES_MAX: u128 = 1 << 70;
/// Epochs whose additions are told apart.
const FRESH_EPOCHS_MAX: usize = 8;
/// Steps of the grid that they are rounded to when there are more; with both ends that is two less
/// than the most.
const FRESH_GRID: u64 = 6;

impl Pool {
    /// What `shares` of it are worth, rounded down.
    #[must_use]
    pub fn value(&self, shares: u128) -> Amount {
        let worth = shares.checked_mul(self.tokens.nano().into()).and_then(|product| product.checked_div(self.shares));
        worth.and_then(|worth| u64::try_from(worth).ok()).map_or(Amount::ZERO, Amount::from_nano)
    }

    /// Adds `amount` at the present worth and says how many shares that makes. A pool that lost all
    /// takes no more.
    fn deposit(&mut self, amount: Amount) -> Result<u128, Rejection> {
        let shares = if self.shares == 0 {
            u128::from(amount.nano())
        } else {
            u128::from(amount.nano())
                .checked_mul(self.shares)
                .and_then(|product| product.checked_div(self.tokens.nano().into()))
                .ok_or(Rejection::WrongState { what: "adding to stake that was slashed to nothing" })?
        };
        let after = self.shares.checked_add(shares).filter(|after| *after <= SHARES_MAX).ok_or(Rejection::Overflow)?;
        if shares == 0 {
            return Err(Rejection::OutOfBounds { field: "amount" });
        }
        self.tokens = self.tokens.add(amount)?;
        self.shares = after;
        Ok(shares)
    }

    /// Takes `shares` out at their present worth.
    fn withdraw(&mut self, shares: u128) -> Amount {
        let taken = shares.min(self.shares);
        let amount = self.value(taken);
        self.shares = self.shares.saturating_sub(taken);
        self.tokens = self.tokens.sub(amount).unwrap_or(Amount::ZERO);
        amount
    }

    /// The least number of shares worth `amount`.
    fn shares_for(&self, amount: Amount) -> Option<u128> {
        let product = u128::from(amount.nano()).checked_mul(self.shares)?;
        let tokens = u128::from(self.tokens.nano());
        let whole = product.checked_div(tokens)?;
        let rest = product.checked_rem(tokens)?;
        whole.checked_add(u128::from(rest > 0))
    }

    /// Takes a share of what everyone has.
    pub(crate) fn cut(&mut self, part: Ppm) -> Amount {
        self.cut_amount(self.tokens.share(part))
    }

    /// Takes an amount, as far as there is so much, from everyone by their shares.
    pub(crate) fn cut_amount(&mut self, amount: Amount) -> Amount {
        let taken = self.tokens.min(amount);
        self.tokens = self.tokens.sub(taken).unwrap_or(Amount::ZERO);
        taken
    }

    /// Gives `amount` to everyone by their shares; `Err` gives it back when there is no one.
    pub(crate) fn give(&mut self, amount: Amount) -> Result<(), Amount> {
        match self.tokens.add(amount) {
            Ok(tokens) if self.shares > 0 => self.tokens = tokens,
            Ok(_) | Err(AmountOverflow) => return Err(amount),
        }
        Ok(())
    }
}

impl Fresh {
    /// What was added after `epoch`.
    #[must_use]
    pub fn after(&self, epoch: u64) -> u128 {
        let added = self.0.iter().filter(|(at, _)| *at > epoch).map(|(_, added)| *added);
        added.fold(0, u128::saturating_add)
    }

    /// Remembers what was added in `epoch`, and forgets what no open vote asks about.
    pub(crate) fn note(&mut self, epoch: u64, oldest: u64, added: u128) {
        self.forget(oldest);
        match self.0.last_mut() {
            Some((at, sum)) if *at == epoch => *sum = sum.saturating_add(added),
            _ => self.0.push((epoch, added)),
        }
        if self.0.len() > FRESH_EPOCHS_MAX {
            self.round(epoch, epoch.saturating_sub(oldest));
        }
    }

    /// Tells fewer epochs apart: some additions count as younger, and so vote less, never more. The
    /// grids nest, so that what is rounded again and again still ages.
    fn round(&mut self, epoch: u64, window: u64) {
        let width = window.div_ceil(FRESH_GRID).checked_next_power_of_two().unwrap_or(u64::MAX);
        let mut rounded: Vec<(u64, u128)> = Vec::new();
        for (at, added) in std::mem::take(&mut self.0) {
            let at = at.checked_next_multiple_of(width).unwrap_or(epoch).min(epoch);
            match rounded.last_mut() {
                Some((last, sum)) if *last == at => *sum = sum.saturating_add(added),
                _ => rounded.push((at, added)),
            }
        }
        self.0 = rounded;
    }

    /// Forgets what was there before all that is voted on.
    fn forget(&mut self, oldest: u64) {
        self.0.retain(|(at, _)| *at > oldest);
    }

    /// What leaves again was not added: the youngest goes first. Says what it took, by epoch.
    fn take(&mut self, oldest: u64, mut count: u128) -> Vec<(u64, u128)> {
        self.forget(oldest);
        let mut taken = Vec::new();
        while let Some((at, sum)) = self.0.pop() {
            let part = sum.min(count);
            count = count.saturating_sub(part);
            taken.push((at, part));
            if part < sum {
                self.0.push((at, sum.saturating_sub(part)));
                break;
            }
        }
        taken
    }

    /// Likewise of the sum of several: what one of them took.
    fn take_same(&mut self, oldest: u64, taken: Vec<(u64, u128)>) {
        self.forget(oldest);
        for (epoch, mut count) in taken {
            for (_, sum) in self.0.iter_mut().filter(|(at, _)| *at >= epoch) {
                let part = count.min(*sum);
                *sum = sum.saturating_sub(part);
                count = count.saturating_sub(part);
            }
        }
        self.0.retain(|(_, sum)| *sum > 0);
    }
}

impl Block {
    /// SPEC M7: own stake from the node or its operator, delegated stake from anyone else.
    pub(crate) fn bond(&mut self, sender: AccountId, id: NodeId, amount: Amount) -> Result<(), Rejection> {
        let mut node = self.state.nodes.get(&id).cloned().ok_or(Rejection::Unknown { what: "node" })?;
        if node.disqualified {
            return Err(Rejection::Disqualified);
        }
        if amount.is_zero() {
            return Err(Rejection::OutOfBounds { field: "amount" });
        }
        let (epoch, oldest) = (self.state.meta().epoch, self.oldest_snapshot());
        if is_owner(&node, id, sender) {
            self.state.debit(sender, amount)?;
            node.stake = node.stake.add(amount)?;
            node.fresh.note(epoch, oldest, amount.nano().into());
        } else {
            self.delegate(&mut node, id, sender, amount, epoch, oldest)?;
        }
        self.state.set_node(id, node);
        self.events.push(Event::Bonded { node: id, account: sender, amount });
        Ok(())
    }

    fn delegate(
        &mut self,
        node: &mut Node,
        id: NodeId,
        sender: AccountId,
        amount: Amount,
        epoch: u64,
        oldest: u64,
    ) -> Result<(), Rejection> {
        if !node.is_validator() {
            return Err(Rejection::NotAllowed {
                expected: "the node or its operator: only validators take delegations",
            });
        }
        let parameters = &self.state.meta().parameters;
        if amount < parameters.delegation_min {
            return Err(Rejection::Insufficient { needed: parameters.delegation_min, available: amount });
        }
        // What is held may come back to those who lost it, not to who came after.
        if node.holds > 0 {
            return Err(Rejection::WrongState { what: "delegating while slashed stake is held" });
        }
        let behind = node.delegated.tokens.add(amount)?;
        if !is_self_bonded(node.stake, behind, parameters.self_bond_min) {
            return Err(Rejection::OutOfBounds { field: "delegation: the validator's own stake is too small" });
        }
        let key = (sender, id);
        let is_new = !self.state.delegations.contains_key(&key);
        if is_new && self.state.delegations_of(sender).count() >= DELEGATIONS_MAX {
            return Err(Rejection::OutOfBounds { field: "delegations" });
        }
        self.state.debit(sender, amount)?;
        let shares = node.delegated.deposit(amount)?;
        node.fresh_shares.note(epoch, oldest, shares);
        let mut delegation = self.state.delegations.get(&key).cloned().unwrap_or_default();
        delegation.shares = delegation.shares.saturating_add(shares);
        delegation.fresh.note(epoch, oldest, shares);
        self.state.delegations.insert(key, delegation);
        Ok(())
    }

    /// SPEC M7: what leaves stays slashable until it is paid.
    pub(crate) fn unbond(&mut self, sender: AccountId, id: NodeId, amount: Amount) -> Result<(), Rejection> {
        let mut node = self.state.nodes.get(&id).cloned().ok_or(Rejection::Unknown { what: "node" })?;
        if amount.is_zero() {
            return Err(Rejection::OutOfBounds { field: "amount" });
        }
        let oldest = self.oldest_snapshot();
        let account = if is_owner(&node, id, sender) {
            self.check_leaving(&node, amount)?;
            node.stake = node.stake.sub(amount)?;
            node.fresh.take(oldest, amount.nano().into());
            // A node's key is at hand on its machine; its operator's need not be.
            node.operator
        } else {
            let key = (sender, id);
            let mut delegation =
                self.state.delegations.get(&key).cloned().ok_or(Rejection::Unknown { what: "delegation" })?;
            let available = node.delegated.value(delegation.shares);
            let shares = node
                .delegated
                .shares_for(amount)
                .filter(|shares| *shares <= delegation.shares)
                .ok_or(Rejection::Insufficient { needed: amount, available })?;
            // After a slash a share is worth less than the least amount: none stays behind alone.
            let rest = delegation.shares.saturating_sub(shares);
            let shares = if node.delegated.value(rest).is_zero() { delegation.shares } else { shares };
            delegation.shares = delegation.shares.saturating_sub(shares);
            let fresh = delegation.fresh.take(oldest, shares);
            node.fresh_shares.take_same(oldest, fresh);
            if delegation.shares == 0 {
                self.state.delegations.remove(&key);
            } else {
                self.state.delegations.insert(key, delegation);
            }
            let taken = node.delegated.withdraw(shares);
            return self.start_unbonding(id, node, sender, taken);
        };
        self.start_unbonding(id, node, account, amount)
    }

    /// A node keeps the least stake of its role, or leaves altogether.
    fn check_leaving(&self, node: &Node, amount: Amount) -> Result<(), Rejection> {
        let available = node.stake;
        let left = available.sub(amount).map_err(|_| Rejection::Insufficient { needed: amount, available })?;
        let meta = self.state.meta();
        let parameters = &meta.parameters;
        let (least, may_leave) = match node.role {
            NodeRole::Worker { .. } => (parameters.worker_stake_min, node.unsettled.is_zero()),
            NodeRole::Gateway { .. } => (parameters.gateway_bond_min, true),
            // SPEC C5: its seat is handed over first.
            NodeRole::Validator { .. } => (parameters.validator_stake_min, node.disqualified),
        };
        if left < least && !(left.is_zero() && may_leave) {
            return Err(Rejection::Insufficient { needed: least, available: left });
        }
        if !is_self_bonded(left, node.delegated.tokens, parameters.self_bond_min) {
            return Err(Rejection::OutOfBounds { field: "own stake: too small for what is delegated" });
        }
        Ok(())
    }

    fn start_unbonding(
        &mut self,
        id: NodeId,
        mut node: Node,
        account: AccountId,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let shares = node.unbonding.deposit(amount)?;
        let is_gone = node.stake.is_zero();
        self.state.set_node(id, node);
        if is_gone {
            self.lose_tier(id);
            self.dismiss(id);
        }
        let meta = self.state.meta_mut();
        let number = meta.unbondings;
        meta.unbondings = number.saturating_add(1);
        let matures_at_ms = self.now_ms.saturating_add(meta.parameters.unbond_ms);
        let unbonding = Unbonding { node: id, account, shares, matures_at_ms, waited: false };
        self.state.set_unbonding(number, Some(unbonding));
        self.events.push(Event::Unbonding { unbonding: number, node: id, account, amount, matures_at_ms });
        Ok(())
    }

    /// A withdrawal is due: it is paid, or waits once for slashes whose hold may still give back.
    pub(crate) fn mature(&mut self, number: u64) {
        let Some(mut unbonding) = self.state.unbondings.get(&number).copied() else { return };
        let Some(mut node) = self.state.nodes.get(&unbonding.node).cloned() else { return };
        if node.holds > 0 && !unbonding.waited {
            unbonding.waited = true;
            let hold_ms = self.state.meta().parameters.slash_hold_ms;
            unbonding.matures_at_ms = self.now_ms.saturating_add(hold_ms);
            self.state.set_unbonding(number, Some(unbonding));
            return;
        }
        let amount = node.unbonding.withdraw(unbonding.shares);
        self.state.set_node(unbonding.node, node);
        self.state.set_unbonding(number, None);
        self.state.pay(unbonding.account, amount);
        let Unbonding { node, account, .. } = unbonding;
        self.events.push(Event::Unbonded { unbonding: number, node, account, amount });
    }

    pub(crate) fn set_commission(&mut self, sender: NodeId, commission: Ppm) -> Result<(), Rejection> {
        let mut node = self.active_node(sender, "a validator", Node::is_validator)?.clone();
        // Who delegated at a low commission can't be charged a high one at once.
        let epoch = self.state.meta().epoch;
        if node.delegated.shares == 0 {
            node.commission_before = (epoch, commission);
        } else if node.commission_before.0 != epoch {
            node.commission_before = (epoch, node.commission);
        }
        let most = node.commission_before.1.get().saturating_add(COMMISSION_RISE_MAX);
        if node.delegated.shares > 0 && commission.get() > most {
            return Err(Rejection::OutOfBounds { field: "commission: it may rise by one percent an epoch" });
        }
        if commission > COMMISSION_MAX {
            return Err(Rejection::OutOfBounds { field: "commission" });
        }
        node.commission = commission;
        self.state.set_node(sender, node);
        Ok(())
    }

    /// Pays a validator what it earned: its own part and commission to its account, the rest to
    /// its delegators' pool (SPEC M7).
    pub(crate) fn pay_validator(&mut self, id: NodeId, amount: Amount) {
        let Some(mut node) = self.state.nodes.get(&id).cloned() else {
            self.state.pay(id, amount);
            return;
        };
        let behind = u128::from(node.delegated.tokens.nano());
        let all = behind.saturating_add(node.stake.nano().into());
        let part = u128::from(amount.nano()).checked_mul(behind).and_then(|product| product.checked_div(all));
        let part = part.and_then(|part| u64::try_from(part).ok()).map_or(Amount::ZERO, Amount::from_nano);
        let commission = part.share(node.commission);
        let shared = part.sub(commission).unwrap_or(Amount::ZERO);
        let own = amount.sub(shared).unwrap_or(Amount::ZERO);
        match node.delegated.give(shared) {
            Ok(()) => {
                self.state.set_node(id, node);
                self.state.pay(id, own);
            }
            Err(back) => {
                self.state.pay(id, own);
                self.state.pay(id, back);
            }
        }
    }

    /// SPEC G1: a vote takes a validator's seat and duties, not its money: that unbonds.
    pub(crate) fn remove_validator(&mut self, id: NodeId) -> Result<(), Rejection> {
        let mut node = self.state.nodes.get(&id).cloned().ok_or(Rejection::Unknown { what: "validator" })?;
        if !node.is_validator() {
            return Err(Rejection::Unknown { what: "validator" });
        }
        if node.disqualified {
            return Err(Rejection::Disqualified);
        }
        node.disqualified = true;
        node.removed = true;
        self.vacated.insert(id);
        let (stake, operator) = (node.stake, node.operator);
        node.stake = Amount::ZERO;
        if stake.is_zero() {
            self.state.set_node(id, node);
            return Ok(());
        }
        self.start_unbonding(id, node, operator, stake)
    }

    /// The oldest epoch whose stake an open vote asks about, or the next one could (SPEC G2).
    pub(crate) fn oldest_snapshot(&self) -> u64 {
        let next = self.state.meta().epoch.saturating_sub(1);
        let is_open =
            |state: &ProposalState| matches!(state, ProposalState::Voting { .. } | ProposalState::Counting { .. });
        let first = self.state.proposals.values().find(|proposal| is_open(&proposal.state));
        first.map_or(next, |proposal| proposal.snapshot_epoch.min(next))
    }

    /// Removes a profile from the pool of those that may be leased, when slashes about it took too
    /// much in one epoch: that is rather our bug than their fault (SPEC S5).
    pub(crate) fn count_slash(&mut self, profile: ProfileId, amount: Amount) {
        let meta = self.state.meta();
        let (epoch, limit) = (meta.epoch, meta.bonded.share(meta.parameters.profile_slash_max));
        let Some(mut entry) = self.state.profiles.get(&profile).cloned() else { return };
        let (of, sum) = entry.slashed;
        let before = if of == epoch { sum } else { Amount::ZERO };
        let sum = before.add(amount).unwrap_or(before);
        entry.slashed = (epoch, sum);
        if sum > limit && entry.listing < crate::entries::Listing::Paused {
            entry.listing = crate::entries::Listing::Paused;
            self.events.push(Event::ProfilePaused { profile });
        }
        self.state.profiles.insert(profile, entry);
    }
}

/// Highest commission, and by how much it may rise in an epoch while others' stake is at it.
const COMMISSION_MAX: Ppm = Ppm::new(500_000);
const COMMISSION_RISE_MAX: u32 = 10_000;

fn is_owner(node: &Node, id: NodeId, sender: AccountId) -> bool {
    sender == id || sender == node.operator
}

/// SPEC M7: own stake is at least `least` of all stake behind a validator.
fn is_self_bonded(own: Amount, delegated: Amount, least: Ppm) -> bool {
    let all = u128::from(own.nano()).saturating_add(delegated.nano().into());
    let needed = all.saturating_mul(least.get().into());
    delegated.is_zero() || u128::from(own.nano()).saturating_mul(u128::from(Ppm::ONE.get())) >= needed
}

impl crate::State {
    /// What an account delegated, by validator.
    pub fn delegations_of(&self, account: AccountId) -> impl Iterator<Item = (NodeId, &Delegation)> {
        self.delegations
            .range((account, NodeId::from_bytes([0; 32]))..)
            .take_while(move |((of, _), _)| *of == account)
            .map(|((_, validator), delegation)| (*validator, delegation))
    }
}
