//! The task pool: tasks, offers, leases (SPEC T, M4).

use crate::Rejection;
use crate::entries::{Lease, LeaseState, Listing, Node, Offer, Task};
use crate::execute::Block;
use inferium_types::{
    AccountId, Amount, AmountOverflow, Event, LeaseEnd, LeaseId, ModelTask, NodeId, OfferTerms, Parameters, Price,
    ProfileId, TaskId, TaskKind, TaskTerms, Tier, TransactionId,
};
use std::collections::BTreeSet;

/// Slots that one offer may have.
const SLOTS_MAX: u32 = 4_096;
/// Jobs that one lease may have.
pub const LEASE_JOBS_MAX: u32 = 1_000_000;

impl Block {
    /// SPEC M4: the cost at most is locked before anyone works.
    pub(crate) fn open_task(
        &mut self,
        transaction: TransactionId,
        sender: NodeId,
        terms: TaskTerms,
        position: u32,
    ) -> Result<(), Rejection> {
        self.check_requester(sender)?;
        if terms.kind == TaskKind::Agent {
            return Err(Rejection::NoAgent);
        }
        match (terms.kind, self.state.task_of(terms.profile)) {
            // SPEC L2: boards are folded on the one profile of boards, and nothing else is done there.
            (TaskKind::Leaderboard, ModelTask::Fold) => {}
            (TaskKind::Leaderboard, _) => return Err(Rejection::Profile { expected: "the one of boards" }),
            // SPEC X3: so it is with training.
            (TaskKind::Training, ModelTask::Train) => {}
            // SPEC V10, V12: and with proofs.
            (TaskKind::Validation, task) if task.is_proof() => {}
            (_, ModelTask::Host | ModelTask::Fold | ModelTask::Train) => {
                return Err(Rejection::Profile { expected: "a model's" });
            }
            (_, ModelTask::Prove | ModelTask::ProvePrivate { .. }) => {
                return Err(Rejection::Profile { expected: "a model's" });
            }
            (TaskKind::Training, _) => return Err(Rejection::Profile { expected: "one of training" }),
            (TaskKind::Validation, _) => return Err(Rejection::Profile { expected: "one of proofs" }),
            (_, ModelTask::Chat | ModelTask::Embed { .. } | ModelTask::Classify { .. }) => {}
        }
        let id = TaskId::new(transaction.digest());
        self.lock_task(id, sender, sender, terms, position).map(|_| ())
    }

    /// Who may ask for work: a gateway with its bond.
    pub(crate) fn check_requester(&self, sender: NodeId) -> Result<(), Rejection> {
        let bond = self.active_node(sender, "a gateway", Node::is_gateway)?.stake;
        let needed = self.state.meta().parameters.gateway_bond_min;
        // SPEC N5: one that took its bond back has nothing left to answer with.
        if bond < needed {
            return Err(Rejection::Insufficient { needed, available: bond });
        }
        Ok(())
    }

    /// Opens a task if somebody may serve it; what it costs at most is locked, and told.
    pub(crate) fn lock_task(
        &mut self,
        id: TaskId,
        requester: NodeId,
        payer: AccountId,
        terms: TaskTerms,
        position: u32,
    ) -> Result<Amount, Rejection> {
        let parameters = &self.state.meta().parameters;
        check_task(&terms, self.state.task_of(terms.profile), parameters)?;
        self.check_leasable(&[terms.profile])?;
        // SPEC T2: how results are verified follows from the profile.
        let mode = self.state.mode_of(terms.profile);
        if terms.mode != mode {
            return Err(Rejection::Mode { expected: mode.name(), found: terms.mode.name() });
        }
        self.check_workers(terms.tier)?;
        let escrow = escrow_for(&terms, parameters)?;
        // SPEC V12: a task is for one opening, so that none is spent by a lease for less.
        if let Some(left) = self.state.openings_left(terms.profile) {
            if terms.jobs_max != 1 {
                return Err(Rejection::OutOfBounds { field: "jobs_max" });
            }
            if left == 0 {
                return Err(Rejection::Openings { left, needed: 1 });
            }
        }
        self.state.debit(payer, escrow)?;
        let expires_at_ms = self.now_ms.saturating_add(terms.open_ms);
        let opened = (self.height, position);
        self.state.set_task(id, Some(Task { requester, terms, escrow, opened, expires_at_ms }));
        self.events.push(Event::TaskOpened { task: id, requester, profile: terms.profile });
        Ok(escrow)
    }

    /// SPEC N3: what no measured worker may serve is refused at once. A higher tier may, once the
    /// task is starving.
    fn check_workers(&self, tier: Tier) -> Result<(), Rejection> {
        if self.state.meta().workers_for(tier) == 0 {
            return Err(Rejection::NoWorkers { tier: tier.name() });
        }
        Ok(())
    }

    /// SPEC N4: what is judged by these profiles needs enough operators that can replay all of them, and nothing against any.
    pub(crate) fn check_leasable(&self, profiles: &[ProfileId]) -> Result<(), Rejection> {
        for profile in profiles {
            let entry = self.state.profiles.get(profile).ok_or(Rejection::Unknown { what: "profile" })?;
            match entry.listing {
                Listing::Declared | Listing::Approved => {}
                Listing::Paused => return Err(Rejection::ProfileClosed { listing: "paused" }),
                Listing::Delisted => return Err(Rejection::ProfileClosed { listing: "delisted" }),
            }
        }
        let epoch = self.state.meta().epoch;
        let declared = self.state.declared_all(profiles);
        let nodes = declared.iter().filter_map(|id| self.state.nodes.get(id)).filter(|node| node.is_active(epoch));
        let operators: BTreeSet<AccountId> = nodes.map(|node| node.operator).collect();
        let found = u32::try_from(operators.len()).unwrap_or(u32::MAX);
        let needed = self.state.meta().parameters.profile_operators_min;
        if found < needed {
            return Err(Rejection::ProfileNotLeasable { found, needed });
        }
        Ok(())
    }

    /// SPEC T4: an offer stands until it is changed.
    pub(crate) fn set_offer(&mut self, sender: NodeId, profile: ProfileId, terms: OfferTerms) -> Result<(), Rejection> {
        self.active_node(sender, "a worker", Node::is_worker)?;
        if !self.state.profiles.contains_key(&profile) {
            return Err(Rejection::Unknown { what: "profile" });
        }
        if self.state.is_barred_from(sender, profile) {
            return Err(Rejection::BarredFromProfile);
        }
        check_price("price", &terms.price)?;
        if terms.slots > SLOTS_MAX {
            return Err(Rejection::OutOfBounds { field: "slots" });
        }
        let key = (profile, sender);
        let old = self.state.offers.get(&key).copied();
        let slots_used = old.map_or(0, |offer| offer.slots_used);
        if terms.slots == 0 && slots_used == 0 {
            self.state.offers.remove(&key);
        } else {
            let waits_from = match old {
                Some(offer) if offer.slots_free() > 0 => offer.waits_from,
                Some(_) | None => self.state.draws_for(sender, profile),
            };
            self.state.offers.insert(key, Offer { terms, slots_used, waits_from });
        }
        Ok(())
    }

    pub(crate) fn expire_task(&mut self, id: TaskId) {
        if let Some(task) = self.state.set_task(id, None) {
            let run = LeaseId::of_task(id);
            self.state.pay(self.state.payer_of(run, task.requester), task.escrow);
            self.events.push(Event::TaskExpired { task: id, requester: task.requester });
            self.remove_run(run);
        }
    }

    /// A lease begins in this block, with the newest beacon; what it costs at most is locked.
    pub(crate) fn begin_lease(
        &mut self,
        task: TaskId,
        worker: NodeId,
        gateway: NodeId,
        terms: TaskTerms,
        price: Price,
        escrow: Amount,
    ) {
        let id = LeaseId::of_task(task);
        let beacon = self.state.meta().beacon;
        let expires_at_ms = self.now_ms.saturating_add(terms.lease_ms);
        let lease = Lease {
            task,
            worker,
            gateway,
            terms,
            price,
            beacon,
            escrow,
            reserved: Amount::ZERO,
            jobs: 0,
            tokens: 0,
            segments: 0,
            segments_pending: 0,
            spoiled: false,
            granted_height: self.height,
            granted_ms: self.now_ms,
            segment_height: self.height,
            expires_at_ms,
            state: LeaseState::Active,
        };
        self.state.set_lease(id, Some(lease));
        if let Some(run) = self.state.runs.get_mut(&id) {
            run.host = Some(worker);
            // SPEC A2: what it answers for, whatever segments there will be.
            let cover = run.cover();
            if let Some(node) = self.state.nodes.get_mut(&worker) {
                node.unsettled = node.unsettled.add(cover).unwrap_or(Amount::from_nano(u64::MAX));
            }
        }
        self.events.push(Event::LeaseGranted { lease: id, task, worker, gateway, terms, price, beacon, expires_at_ms });
    }

    /// SPEC T6: either side may close.
    pub(crate) fn close_lease(&mut self, sender: NodeId, id: LeaseId) -> Result<(), Rejection> {
        let lease = self.state.leases.get(&id).ok_or(Rejection::Unknown { what: "lease" })?;
        let end = if sender == lease.gateway {
            LeaseEnd::ClosedByGateway
        } else if sender == lease.worker {
            LeaseEnd::ClosedByWorker
        } else {
            return Err(Rejection::NotAllowed { expected: "a side of the lease" });
        };
        if lease.state != LeaseState::Active {
            return Err(Rejection::WrongState { what: "closing an ended lease" });
        }
        self.end_lease(id, end);
        Ok(())
    }

    /// The lease takes no more jobs; its slots are free again.
    pub(crate) fn end_lease(&mut self, id: LeaseId, end: LeaseEnd) {
        let Some(mut lease) = self.state.leases.get(&id).copied() else { return };
        if lease.state != LeaseState::Active {
            return;
        }
        let until_ms = self.now_ms.saturating_add(self.state.meta().parameters.lease_drain_ms);
        lease.state = LeaseState::Draining { end, until_ms, commits_until_ms: until_ms };
        self.state.set_lease(id, Some(lease));
        let key = (lease.terms.profile, lease.worker);
        // SPEC N2: a capability task took no slot of an offer.
        let has_slots = lease.terms.kind != TaskKind::Benchmark;
        if let Some(mut offer) = self.state.offers.get(&key).copied().filter(|_| has_slots) {
            if offer.slots_free() == 0 {
                // While it was full, nobody passed it over.
                offer.waits_from = self.state.draws_for(lease.worker, lease.terms.profile);
            }
            offer.slots_used = offer.slots_used.saturating_sub(lease.terms.slots);
            if offer.terms.slots == 0 && offer.slots_used == 0 {
                self.state.offers.remove(&key);
            } else {
                self.state.offers.insert(key, offer);
            }
        }
        self.events.push(Event::LeaseEnded { lease: id, worker: lease.worker, gateway: lease.gateway, end });
    }

    pub(crate) fn advance_lease(&mut self, id: LeaseId) {
        let Some(mut lease) = self.state.leases.get(&id).copied() else { return };
        match lease.state {
            LeaseState::Active => self.end_lease(id, LeaseEnd::Expired),
            LeaseState::Draining { end, commits_until_ms, .. } if lease.segments_pending > 0 || self.has_stall(id) => {
                // Its segments still hold fees in it, or a claim is open that closing must not
                // escape (SPEC T6): look again when they may be over.
                let until_ms = self.now_ms.saturating_add(1_000);
                lease.state = LeaseState::Draining { end, until_ms, commits_until_ms };
                self.state.set_lease(id, Some(lease));
            }
            // SPEC C3: what a lease had could not be committed while the chain stood still.
            LeaseState::Draining { end, until_ms, .. } if until_ms < self.drain_renewed_ms() => {
                let until_ms = self.drain_renewed_ms();
                lease.state = LeaseState::Draining { end, until_ms, commits_until_ms: until_ms };
                self.state.set_lease(id, Some(lease));
            }
            LeaseState::Draining { end, .. } => self.remove_lease(id, &lease, end),
        }
    }

    /// Until when a lease that drained while the chain stood still takes segments; milliseconds.
    pub(crate) fn drain_renewed_ms(&self) -> u64 {
        let meta = self.state.meta();
        meta.renewed_ms(meta.parameters.lease_drain_ms)
    }

    pub(crate) fn has_stall(&self, lease: LeaseId) -> bool {
        self.state.claims.contains_key(&lease)
    }

    /// SPEC M4: what was not earned goes back without anyone asking.
    fn remove_lease(&mut self, id: LeaseId, lease: &Lease, end: LeaseEnd) {
        // SPEC M4: squatting, and work that no one could check, earn nothing either.
        let reservation = match end {
            LeaseEnd::Fault | LeaseEnd::ClosedByWorker => Amount::ZERO,
            _ if lease.spoiled => Amount::ZERO,
            LeaseEnd::Exhausted | LeaseEnd::Expired | LeaseEnd::ClosedByGateway | LeaseEnd::Undecided => {
                let blocks = self.height.saturating_sub(lease.granted_height);
                reservation_for(&lease.terms, &self.state.meta().parameters, blocks)
                    .unwrap_or(Amount::ZERO)
                    .min(lease.escrow)
            }
        };
        self.state.set_lease(id, None);
        self.state.pay(lease.worker, reservation);
        let refund = lease.escrow.sub(reservation).unwrap_or(Amount::ZERO);
        self.state.pay(self.state.payer_of(id, lease.gateway), refund);
        self.events.push(Event::LeaseClosed { lease: id, worker: lease.worker, gateway: lease.gateway, refund });
        let cover = self.state.cover_of(lease.task);
        if let Some(node) = self.state.nodes.get_mut(&lease.worker) {
            node.unsettled = node.unsettled.sub(cover).unwrap_or(Amount::ZERO);
        }
        self.end_run(id);
    }
}

fn check_task(terms: &TaskTerms, model: ModelTask, parameters: &Parameters) -> Result<(), Rejection> {
    // SPEC T1, T2: what nobody can serve is refused at once, with the reason.
    let policy = terms.kind.policy();
    if !policy.is_served {
        return Err(Rejection::NotServed { what: policy.name });
    }
    if !terms.mode.is_served() {
        return Err(Rejection::NotServed { what: terms.mode.name() });
    }
    if terms.tier < model.least_tier(policy.tier) {
        return Err(Rejection::OutOfBounds { field: "tier" });
    }
    if terms.jobs_max == 0 || terms.jobs_max > LEASE_JOBS_MAX {
        return Err(Rejection::OutOfBounds { field: "jobs_max" });
    }
    if terms.tokens_max == 0 {
        return Err(Rejection::OutOfBounds { field: "tokens_max" });
    }
    if terms.slots == 0 || terms.slots > SLOTS_MAX {
        return Err(Rejection::OutOfBounds { field: "slots" });
    }
    // What is due is handled before what is matched: a task of no time would never be.
    if terms.open_ms == 0 || terms.open_ms > parameters.task_open_max_ms {
        return Err(Rejection::OutOfBounds { field: "open_ms" });
    }
    if terms.lease_ms == 0 || terms.lease_ms > parameters.lease_max_ms.min(policy.deadline_ms) {
        return Err(Rejection::OutOfBounds { field: "lease_ms" });
    }
    check_price("price_max", &terms.price_max)
}

/// SPEC M4: work that costs nothing would fill blocks for nothing.
const fn check_price(field: &'static str, price: &Price) -> Result<(), Rejection> {
    if price.prompt_token.is_zero() && price.completion_token.is_zero() {
        return Err(Rejection::OutOfBounds { field });
    }
    Ok(())
}

/// What a task may cost at most (SPEC M4).
pub(crate) fn escrow_for(terms: &TaskTerms, parameters: &Parameters) -> Result<Amount, AmountOverflow> {
    let dearer = terms.price_max.prompt_token.max(terms.price_max.completion_token);
    dearer.times(terms.tokens_max)?.add(reservation_for(terms, parameters, u64::MAX)?)
}

/// What a lease pays for its slots over `blocks`, at most what was locked for one block a second.
fn reservation_for(terms: &TaskTerms, parameters: &Parameters, blocks: u64) -> Result<Amount, AmountOverflow> {
    let seconds = terms.lease_ms.checked_div(1_000).unwrap_or(0);
    let by_time = parameters.reservation_per_block.times(blocks.min(seconds))?;
    by_time.max(parameters.reservation_min).times(u64::from(terms.slots))
}
