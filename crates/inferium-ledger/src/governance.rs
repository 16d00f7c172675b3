//! Proposals, votes, and what happens by itself once something has passed (SPEC G).
//!
//! Voting power is stake that was bonded one epoch before the proposal and still is when it is
//! counted. Counting may take several blocks while stake moves; each piece of it counts once all
//! the same: votes are final before it begins, stake that is added is younger than the proposal,
//! and what a validator votes for others is fixed before the first of them is counted.

use crate::entries::{Fresh, Listing, Node, Profile, Proposal, ProposalState};
use crate::execute::Block;
use crate::{Rejection, State, emission};
use inferium_types::{
    AccountId, Amount, Event, ModelProfile, NodeId, ParameterChange, Parameters, Ppm, ProfileId, ProposalAction,
    ProposalOutcome, ProposalTerms, VoteChoice, VoteTally, limits,
};
use std::collections::BTreeSet;

/// Votes of one proposal that a block counts at most (SPEC C9).
const COUNTED_MAX: usize = 256;

/// Validators met while counting, ascending: what each voted, if it did, and how much of what is
/// delegated to it no delegator has voted itself.
type Seats = Vec<(NodeId, Option<VoteChoice>, Amount)>;

impl Block {
    pub(crate) fn propose(&mut self, sender: AccountId, terms: &ProposalTerms) -> Result<(), Rejection> {
        if !terms.is_well_formed() {
            return Err(Rejection::OutOfBounds { field: "proposal" });
        }
        self.check_action(&terms.action)?;
        let meta = self.state.meta();
        let deposit = meta.parameters.proposal_deposit;
        let closes_at_ms = self.now_ms.saturating_add(meta.parameters.voting_ms);
        let snapshot_epoch = meta.epoch.saturating_sub(1);
        self.state.debit(sender, deposit)?;
        let meta = self.state.meta_mut();
        let number = meta.proposals;
        meta.proposals = number.saturating_add(1);
        let proposal = Proposal {
            terms: terms.clone(),
            proposer: sender,
            deposit,
            snapshot_epoch,
            state: ProposalState::Voting { closes_at_ms },
        };
        self.state.set_proposal(number, Some(proposal));
        self.events.push(Event::ProposalOpened { proposal: number, proposer: sender, closes_at_ms });
        Ok(())
    }

    /// SPEC G3: what could not be executed now can't be proposed.
    fn check_action(&self, action: &ProposalAction) -> Result<(), Rejection> {
        let meta = self.state.meta();
        match action {
            ProposalAction::ChangeParameters { changes } => self.changed_parameters(changes).map(|_| ()),
            ProposalAction::SpendTreasury { amount, .. } => {
                if amount.is_zero() {
                    return Err(Rejection::OutOfBounds { field: "amount" });
                }
                let available = meta.treasury.share(meta.parameters.treasury_spend_max);
                if *amount > available {
                    return Err(Rejection::Insufficient { needed: *amount, available });
                }
                Ok(())
            }
            ProposalAction::DelistProfile { profile } => {
                if !self.state.profiles.contains_key(profile) {
                    return Err(Rejection::Unknown { what: "profile" });
                }
                Ok(())
            }
            ProposalAction::Restitute { slash } => {
                let hold = self.state.holds.get(slash).ok_or(Rejection::Unknown { what: "held slash" })?;
                let parameters = &meta.parameters;
                let takes_ms = parameters.voting_ms.saturating_add(parameters.timelock_ms);
                if hold.releases_at_ms <= self.now_ms.saturating_add(takes_ms) {
                    return Err(Rejection::WrongState { what: "overturning a slash that is final before the vote" });
                }
                Ok(())
            }
            ProposalAction::RemoveValidator { validator } => {
                let node = self.state.nodes.get(validator).filter(|node| node.is_validator());
                if node.ok_or(Rejection::Unknown { what: "validator" })?.disqualified {
                    return Err(Rejection::Disqualified);
                }
                Ok(())
            }
            ProposalAction::Upgrade { height, version } => self.check_upgrade(*height, *version),
            ProposalAction::ApproveProfile { .. } | ProposalAction::Text => Ok(()),
        }
    }

    /// The parameters of now with all these changes.
    fn changed_parameters(&self, changes: &[ParameterChange]) -> Result<Parameters, Rejection> {
        let mut parameters = self.state.meta().parameters.clone();
        let mut names = BTreeSet::new();
        for change in changes {
            // The reason of a refusal repeats the name.
            if change.name.len() > limits::NAME_SIZE_MAX {
                return Err(Rejection::OutOfBounds { field: "parameter name" });
            }
            if !names.insert(change.name.as_str()) {
                return Err(Rejection::Exists { what: "parameter change" });
            }
            parameters = parameters.with(&change.name, change.value)?;
        }
        parameters.check()?;
        Ok(parameters)
    }

    fn check_upgrade(&self, height: u64, version: u32) -> Result<(), Rejection> {
        if height <= self.height {
            return Err(Rejection::OutOfBounds { field: "height" });
        }
        if version <= self.state.meta().protocol {
            return Err(Rejection::OutOfBounds { field: "version" });
        }
        Ok(())
    }

    /// SPEC G2: a node votes with its own stake, a validator also with what its delegators do not
    /// vote themselves. The last vote counts.
    pub(crate) fn vote(&mut self, sender: AccountId, proposal: u64, choice: VoteChoice) -> Result<(), Rejection> {
        let entry = self.state.proposals.get(&proposal).ok_or(Rejection::Unknown { what: "proposal" })?;
        // A block that had too much to do may count later than voting ended.
        let is_open = matches!(entry.state, ProposalState::Voting { closes_at_ms } if self.now_ms < closes_at_ms);
        if !is_open {
            return Err(Rejection::WrongState { what: "voting" });
        }
        let node = self.state.nodes.get(&sender);
        if node.is_some_and(|node| node.disqualified) {
            return Err(Rejection::Disqualified);
        }
        let has_stake = node.is_some_and(|node| !node.stake.is_zero());
        if !has_stake && self.state.delegations_of(sender).next().is_none() {
            return Err(Rejection::NotAllowed { expected: "someone with bonded stake" });
        }
        self.state.votes.insert((proposal, sender), choice);
        self.events.push(Event::Voted { proposal, voter: sender, choice });
        Ok(())
    }

    /// Takes a proposal on when its time has come.
    pub(crate) fn advance_proposal(&mut self, id: u64) {
        let Some(mut proposal) = self.state.proposals.get(&id).cloned() else { return };
        let next = match proposal.state {
            ProposalState::Voting { .. } => self.count(id, &mut proposal, VoteTally::default(), Seats::new()),
            ProposalState::Counting { tally, ref mut validators, .. } => {
                let seats = std::mem::take(validators);
                self.count(id, &mut proposal, tally, seats)
            }
            ProposalState::Passed { tally, .. } => self.carry_out(id, &proposal.terms.action, tally),
            ProposalState::Ended { .. } => {
                self.state.set_proposal(id, None);
                return;
            }
        };
        proposal.state = next;
        self.state.set_proposal(id, Some(proposal));
    }

    /// Counts some votes, and decides when there are no more.
    fn count(&mut self, id: u64, proposal: &mut Proposal, mut tally: VoteTally, mut seats: Seats) -> ProposalState {
        let budget = usize::try_from(self.state.meta().parameters.queue_work_max).unwrap_or(usize::MAX);
        let some = self.state.votes_on(id).take(COUNTED_MAX.min(budget).max(1));
        let some: Vec<(AccountId, VoteChoice)> = some.collect();
        for (voter, choice) in &some {
            self.state.votes.remove(&(id, *voter));
            let power = self.state.count_voter(*voter, *choice, proposal.snapshot_epoch, &mut seats);
            add_votes(&mut tally, *choice, power);
        }
        if self.state.votes_on(id).next().is_some() {
            let after = some.last().map(|(voter, _)| *voter);
            let at_ms = self.now_ms.saturating_add(1);
            return ProposalState::Counting { after, tally, validators: seats, at_ms };
        }
        self.state.count_seats(&seats, proposal.snapshot_epoch, &mut tally);
        self.decide_proposal(id, proposal, tally)
    }

    fn decide_proposal(&mut self, id: u64, proposal: &mut Proposal, tally: VoteTally) -> ProposalState {
        let meta = self.state.meta();
        let outcome = outcome_of(&tally, meta.bonded, &meta.parameters, proposal.terms.action.needs_supermajority());
        let executes_at_ms = self.now_ms.saturating_add(meta.parameters.timelock_ms);
        let deposit = std::mem::take(&mut proposal.deposit);
        if outcome == ProposalOutcome::Vetoed {
            let meta = self.state.meta_mut();
            meta.burned = plus(meta.burned, deposit);
        } else {
            self.state.pay(proposal.proposer, deposit);
        }
        if outcome == ProposalOutcome::Passed {
            self.events.push(Event::ProposalClosed { proposal: id, outcome, tally });
            return ProposalState::Passed { tally, executes_at_ms };
        }
        self.ended(id, outcome, tally)
    }

    fn ended(&mut self, id: u64, outcome: ProposalOutcome, tally: VoteTally) -> ProposalState {
        self.events.push(Event::ProposalClosed { proposal: id, outcome, tally });
        let until_ms = self.now_ms.saturating_add(self.state.meta().parameters.voting_ms);
        ProposalState::Ended { outcome, tally, until_ms }
    }

    /// SPEC G2: what passed executes itself, all of it or nothing.
    fn carry_out(&mut self, id: u64, action: &ProposalAction, tally: VoteTally) -> ProposalState {
        if self.must_wait(action) {
            let meta = self.state.meta();
            let next_ms = meta.epoch_started_ms.saturating_add(meta.parameters.epoch_ms);
            let executes_at_ms = next_ms.max(self.now_ms.saturating_add(1));
            return ProposalState::Passed { tally, executes_at_ms };
        }
        let (before, events) = (self.state.clone(), self.events.len());
        let outcome = match self.act(action) {
            Ok(()) => ProposalOutcome::Executed,
            Err(_) => {
                self.state = before;
                self.events.truncate(events);
                ProposalOutcome::Void
            }
        };
        self.ended(id, outcome, tally)
    }

    /// True when only what others of this epoch took is in the way (SPEC G1). Each epoch one of
    /// those that wait goes on, so none waits for longer than there were others before it.
    fn must_wait(&self, action: &ProposalAction) -> bool {
        let meta = self.state.meta();
        match action {
            ProposalAction::SpendTreasury { amount, .. } => {
                let fits_alone = *amount <= meta.treasury.share(meta.parameters.treasury_spend_max);
                fits_alone && self.check_spend(*amount).is_err()
            }
            ProposalAction::RemoveValidator { .. } => meta.removed_epoch == Some(meta.epoch),
            ProposalAction::ChangeParameters { .. }
            | ProposalAction::ApproveProfile { .. }
            | ProposalAction::DelistProfile { .. }
            | ProposalAction::Restitute { .. }
            | ProposalAction::Upgrade { .. }
            | ProposalAction::Text => false,
        }
    }

    fn act(&mut self, action: &ProposalAction) -> Result<(), Rejection> {
        match action {
            ProposalAction::ChangeParameters { changes } => self.change_parameters(changes),
            ProposalAction::SpendTreasury { to, amount } => self.spend(*to, *amount),
            ProposalAction::ApproveProfile { profile } => {
                self.approve_profile(profile);
                Ok(())
            }
            ProposalAction::DelistProfile { profile } => self.delist_profile(*profile),
            ProposalAction::Restitute { slash } => self.restitute(*slash),
            ProposalAction::RemoveValidator { validator } => {
                self.remove_validator(*validator)?;
                let meta = self.state.meta_mut();
                meta.removed_epoch = Some(meta.epoch);
                Ok(())
            }
            ProposalAction::Upgrade { height, version } => {
                self.check_upgrade(*height, *version)?;
                self.state.meta_mut().upgrade = Some((*height, *version));
                Ok(())
            }
            ProposalAction::Text => Ok(()),
        }
    }

    fn change_parameters(&mut self, changes: &[ParameterChange]) -> Result<(), Rejection> {
        let parameters = self.changed_parameters(changes)?;
        let meta = self.state.meta_mut();
        let (old, new) = (meta.parameters.emission_halving_ms, parameters.emission_halving_ms);
        if old != new {
            // SPEC M6: the new pace is for what the schedule has left, not for what it set free.
            let (pool, began_ms) = meta.emission_from;
            let elapsed_ms = meta.epoch_started_ms.saturating_sub(began_ms);
            let left = emission::decayed(pool.nano(), elapsed_ms, old);
            meta.emission_from = (Amount::from_nano(left), meta.epoch_started_ms);
        }
        meta.parameters = parameters;
        Ok(())
    }

    /// What this epoch's spends come to with this one, when they may (SPEC G1).
    fn check_spend(&self, amount: Amount) -> Result<Amount, Rejection> {
        let meta = self.state.meta();
        let (epoch, sum) = meta.spent;
        let spent = if epoch == meta.epoch { sum } else { Amount::ZERO };
        let needed = spent.add(amount)?;
        let available = meta.treasury.add(spent)?.share(meta.parameters.treasury_spend_max);
        if needed > available {
            return Err(Rejection::Insufficient { needed, available });
        }
        Ok(needed)
    }

    fn spend(&mut self, to: AccountId, amount: Amount) -> Result<(), Rejection> {
        let spent = self.check_spend(amount)?;
        let meta = self.state.meta_mut();
        meta.treasury = meta.treasury.sub(amount)?;
        meta.spent = (meta.epoch, spent);
        self.state.credit(to, amount)
    }

    fn approve_profile(&mut self, profile: &ModelProfile) {
        let id = profile.id();
        let known = self.state.profiles.get(&id).cloned();
        let mut entry = known.unwrap_or_else(|| Profile {
            profile: profile.clone(),
            validators: Vec::new(),
            listing: Listing::Approved,
            slashed: (0, Amount::ZERO),
            draws: [0; 3],
            openings_spent: 0,
        });
        entry.listing = Listing::Approved;
        self.state.profiles.insert(id, entry);
    }

    fn delist_profile(&mut self, id: ProfileId) -> Result<(), Rejection> {
        let mut entry = self.state.profiles.get(&id).cloned().ok_or(Rejection::Unknown { what: "profile" })?;
        entry.listing = Listing::Delisted;
        self.state.profiles.insert(id, entry);
        Ok(())
    }
}

// Counting.
impl State {
    /// The votes on a proposal that are not counted yet, ascending by voter.
    pub fn votes_on(&self, proposal: u64) -> impl Iterator<Item = (AccountId, VoteChoice)> {
        self.votes
            .range((proposal, AccountId::from_bytes([0; 32]))..)
            .take_while(move |((of, _), _)| *of == proposal)
            .map(|((_, voter), choice)| (*voter, *choice))
    }

    /// A proposal.
    #[must_use]
    pub fn proposal(&self, id: u64) -> Option<&Proposal> {
        self.proposals.get(&id)
    }

    /// Proposals that are open, or ended lately; ascending.
    pub fn proposals(&self) -> impl Iterator<Item = (&u64, &Proposal)> {
        self.proposals.iter()
    }

    /// What a voter has without what it votes as a validator: that is noted, to be counted last.
    fn count_voter(&self, voter: AccountId, choice: VoteChoice, snapshot: u64, seats: &mut Seats) -> Amount {
        let node = self.nodes.get(&voter);
        if node.is_some_and(|node| node.disqualified) {
            return Amount::ZERO;
        }
        let mut power = match node {
            Some(node) if node.is_validator() => {
                if let Some((_, voted, _)) = seat(seats, voter, node, snapshot) {
                    *voted = Some(choice);
                }
                Amount::ZERO
            }
            Some(node) => own_power(node, snapshot),
            None => Amount::ZERO,
        };
        for (validator, delegation) in self.delegations_of(voter) {
            let Some(node) = self.nodes.get(&validator) else { continue };
            let part = delegated_power(node, delegation.shares, &delegation.fresh, snapshot);
            // Its own vote overrides the validator's for its part.
            if let Some((_, _, left)) = seat(seats, validator, node, snapshot) {
                *left = left.sub(part).unwrap_or(Amount::ZERO);
            }
            power = plus(power, part);
        }
        power
    }

    /// Adds what validators vote: their own stake, and what their delegators left to them.
    fn count_seats(&self, seats: &Seats, snapshot: u64, tally: &mut VoteTally) {
        for (validator, choice, left) in seats {
            let Some(node) = self.nodes.get(validator).filter(|node| !node.disqualified) else { continue };
            let Some(choice) = choice else { continue };
            add_votes(tally, *choice, plus(own_power(node, snapshot), *left));
        }
    }
}

/// A validator's place among those met so far. What it votes for others is fixed at the first
/// sight of it, before any of them is counted.
fn seat<'a>(
    seats: &'a mut Seats,
    validator: NodeId,
    node: &Node,
    snapshot: u64,
) -> Option<&'a mut (NodeId, Option<VoteChoice>, Amount)> {
    let place = match seats.binary_search_by_key(&validator, |(id, _, _)| *id) {
        Ok(place) => place,
        Err(place) => {
            let behind = delegated_power(node, node.delegated.shares, &node.fresh_shares, snapshot);
            seats.insert(place, (validator, None, behind));
            place
        }
    };
    seats.get_mut(place)
}

/// Own stake that has a vote: all but what was added after the snapshot.
fn own_power(node: &Node, snapshot: u64) -> Amount {
    let old = u128::from(node.stake.nano()).saturating_sub(node.fresh.after(snapshot));
    u64::try_from(old).map_or(node.stake, Amount::from_nano)
}

/// Likewise of shares of what is delegated to a node. Nothing to one that is gone for ever.
fn delegated_power(node: &Node, shares: u128, fresh: &Fresh, snapshot: u64) -> Amount {
    if node.disqualified {
        return Amount::ZERO;
    }
    node.delegated.value(shares.saturating_sub(fresh.after(snapshot)))
}

/// Parts of the supply: their sum can't overflow.
const fn plus(one: Amount, other: Amount) -> Amount {
    Amount::from_nano(one.nano().saturating_add(other.nano()))
}

const fn add_votes(tally: &mut VoteTally, choice: VoteChoice, power: Amount) {
    let side = match choice {
        VoteChoice::Yes => &mut tally.yes,
        VoteChoice::No => &mut tally.no,
        VoteChoice::Abstain => &mut tally.abstain,
        VoteChoice::Veto => &mut tally.veto,
    };
    *side = plus(*side, power);
}

/// SPEC G2, compared without rounding.
pub(crate) fn outcome_of(
    tally: &VoteTally,
    bonded: Amount,
    parameters: &Parameters,
    needs_supermajority: bool,
) -> ProposalOutcome {
    let decided = plus(plus(tally.yes, tally.no), tally.veto);
    let cast = plus(decided, tally.abstain);
    let millionfold = |votes: Amount| u128::from(votes.nano()).saturating_mul(u128::from(Ppm::ONE.get()));
    let share = |part: Ppm, of: Amount| u128::from(part.get()).saturating_mul(of.nano().into());
    if cast.is_zero() || millionfold(cast) < share(parameters.quorum, bonded) {
        return ProposalOutcome::NoQuorum;
    }
    if millionfold(tally.veto) >= share(parameters.veto_share, cast) {
        return ProposalOutcome::Vetoed;
    }
    let has_passed = if needs_supermajority {
        millionfold(tally.yes) >= share(parameters.supermajority, bonded)
    } else {
        millionfold(tally.yes) > share(parameters.pass_share, decided)
    };
    if has_passed { ProposalOutcome::Passed } else { ProposalOutcome::Failed }
}
