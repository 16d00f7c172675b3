//! Agents: published, changed, retired (SPEC A1), and their runs from opening to the end (A2, A4).

use crate::Rejection;
use crate::entries::{Agent, AgentEarnings, Lease, Run, Segment, SegmentState, Widening};
use crate::execute::Block;
use crate::state::State;
use inferium_types::{
    AccountId, AgentId, AgentTerms, Amount, Event, JobTotals, LeaseEnd, LeaseId, ModelProfile, ModelTask, NodeId,
    Price, ProfileId, RejectReason, RunTerms, SegmentId, SpendingPolicy, TaskId, TaskKind, TaskTerms, VerificationMode,
    is_agent_name,
};

/// How long a final segment of a run waits for those before it until it is looked at again; milliseconds.
const STEPS_WAIT_MS: u64 = 1_000;

/// How a run's fee was split (SPEC M5); what is left is the treasury's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunSplit {
    pub(crate) to_host: Amount,
    pub(crate) to_payer: Amount,
    pub(crate) to_creator: Amount,
    pub(crate) to_each_approver: Amount,
    pub(crate) to_committee: Amount,
    pub(crate) to_treasury: Amount,
}

impl Block {
    /// SPEC A1: a name is its creator's for as long as the agent is there.
    pub(crate) fn publish_agent(&mut self, sender: AccountId, name: &str, terms: &AgentTerms) -> Result<(), Rejection> {
        if !is_agent_name(name) {
            return Err(Rejection::OutOfBounds { field: "name" });
        }
        let id = AgentId::of_creator(&sender, name);
        if self.state.agents.contains_key(&id) {
            return Err(Rejection::Exists { what: "agent" });
        }
        self.check_agent(terms)?;
        let deposit = self.state.meta().parameters.agent_deposit;
        self.state.debit(sender, deposit)?;
        let agent = Agent {
            creator: sender,
            name: name.to_owned(),
            deposit,
            version: 1,
            terms: terms.clone(),
            widening: None,
            retired: false,
            open_runs: 0,
            spent: (0, Amount::ZERO),
            earned: AgentEarnings::default(),
        };
        let (creator, name, manifest, price) = (sender, agent.name.clone(), terms.manifest, terms.price);
        self.state.agents.insert(id, agent);
        self.events.push(Event::AgentPublished { agent: id, creator, name, manifest, price });
        Ok(())
    }

    fn check_agent(&self, terms: &AgentTerms) -> Result<(), Rejection> {
        if let Some(field) = terms.out_of_bounds() {
            return Err(Rejection::OutOfBounds { field });
        }
        if terms.limits.run_ms > self.lease_max_ms() {
            return Err(Rejection::OutOfBounds { field: "run_ms" });
        }
        let model = self.state.profiles.get(&terms.model).ok_or(Rejection::Unknown { what: "profile" })?;
        // SPEC A1, A2: its calls are replayed to equality, by hosts and judges.
        if model.profile.task != ModelTask::Chat || model.profile.engine.is_measured() {
            return Err(Rejection::Profile { expected: "of conversations, and canonical" });
        }
        Ok(())
    }

    /// How long a run may last; milliseconds.
    fn lease_max_ms(&self) -> u64 {
        self.state.meta().parameters.lease_max_ms.min(TaskKind::Agent.policy().deadline_ms)
    }

    /// SPEC A1: what narrows the policy is in force at once, for runs that are under way as well; what widens it waits.
    pub(crate) fn update_agent(&mut self, sender: AccountId, id: AgentId, terms: &AgentTerms) -> Result<(), Rejection> {
        let old = self.agent_of(sender, id)?.settled_at(self.now_ms);
        let in_force = &old.terms.policy;
        let widens = !terms.policy.within(in_force);
        let is_new = terms.version_digest() != old.terms.version_digest();
        if old.retired && (is_new || widens) {
            return Err(Rejection::WrongState {
                what: "changing more of a retired agent than its policy to a narrower one",
            });
        }
        if is_new || widens {
            self.check_agent(terms)?;
        } else if !terms.policy.recipients.is_well_formed() {
            // What only narrows is never refused for what became of parameters and profiles meanwhile.
            return Err(Rejection::OutOfBounds { field: "recipients" });
        }
        let from_ms = self.now_ms.saturating_add(self.state.meta().parameters.epoch_ms);
        let widening = widens.then(|| Widening { policy: terms.policy.clone(), from_ms });
        let mut agent = old.clone();
        agent.terms = AgentTerms { policy: in_force.meet(&terms.policy), ..terms.clone() };
        if is_new {
            agent.version = old.version.checked_add(1).ok_or(Rejection::Overflow)?;
        }
        agent.widening = widening;
        if agent == old {
            return Err(Rejection::WrongState { what: "an update that changes nothing" });
        }
        let version = agent.version;
        self.state.agents.insert(id, agent);
        let (manifest, price, widens_at_ms) = (terms.manifest, terms.price, widens.then_some(from_ms));
        self.events.push(Event::AgentUpdated { agent: id, version, manifest, price, widens_at_ms });
        Ok(())
    }

    /// SPEC A1: no new runs; what is under way goes on, and spends on if its creator lets it.
    pub(crate) fn retire_agent(
        &mut self,
        sender: AccountId,
        id: AgentId,
        stop_spending: bool,
    ) -> Result<(), Rejection> {
        let mut agent = self.agent_of(sender, id)?;
        if agent.retired {
            return Err(Rejection::WrongState { what: "retiring a retired agent" });
        }
        agent.retired = true;
        if stop_spending {
            (agent.terms.policy, agent.widening) = (SpendingPolicy::NOTHING, None);
        }
        self.state.agents.insert(id, agent);
        self.events.push(Event::AgentRetired { agent: id, stop_spending });
        self.close_if_over(id);
        Ok(())
    }

    /// The agent, if it is the sender's.
    fn agent_of(&self, sender: AccountId, id: AgentId) -> Result<Agent, Rejection> {
        let agent = self.state.agents.get(&id).ok_or(Rejection::Unknown { what: "agent" })?;
        if agent.creator != sender {
            return Err(Rejection::NotAllowed { expected: "the agent's creator" });
        }
        Ok(agent.clone())
    }

    /// Once no run of a retired agent is left, all that it has goes to its creator.
    fn close_if_over(&mut self, id: AgentId) {
        let Some(agent) = self.state.agents.get(&id).filter(|agent| agent.retired && agent.open_runs == 0) else {
            return;
        };
        let (creator, deposit) = (agent.creator, agent.deposit);
        let balance = self.state.account(&id.account()).balance;
        self.state.agents.remove(&id);
        self.state.accounts.remove(&id.account());
        self.state.pay(creator, deposit);
        self.state.pay(creator, balance);
        let returned = deposit.add(balance).unwrap_or(balance);
        self.events.push(Event::AgentClosed { agent: id, creator, returned });
    }

    /// SPEC A2: a gateway opens a run, and pays for it.
    pub(crate) fn open_run(
        &mut self,
        id: TaskId,
        sender: NodeId,
        terms: &RunTerms,
        position: u32,
    ) -> Result<(), Rejection> {
        self.check_requester(sender)?;
        self.begin_run(id, sender, None, terms, position).map(|_| ())
    }

    /// Pins the agent as it is, and locks what the run costs at most; the run, and how much that is.
    pub(crate) fn begin_run(
        &mut self,
        id: TaskId,
        gateway: NodeId,
        hirer: Option<AgentId>,
        terms: &RunTerms,
        position: u32,
    ) -> Result<(LeaseId, Amount), Rejection> {
        let agent = self.state.agents.get(&terms.agent).ok_or(Rejection::Unknown { what: "agent" })?;
        if agent.retired {
            return Err(Rejection::WrongState { what: "a run of a retired agent" });
        }
        let (seen, current) = (terms.version, agent.terms.version_digest());
        if seen != current {
            return Err(Rejection::Version { expected: current, found: seen });
        }
        let run = Run {
            agent: terms.agent,
            version: agent.version,
            manifest: agent.terms.manifest,
            model: agent.terms.model,
            limits: agent.terms.limits,
            policy: agent.policy_at(self.now_ms).clone(),
            price: agent.terms.price,
            input: terms.input,
            gateway,
            hirer,
            host: None,
            spent: Amount::ZERO,
            settled: Vec::new(),
            cited: Vec::new(),
            over: false,
            ends_at_ms: None,
        };
        // SPEC A2, N4: who judges a run has declared both.
        let hosts = ModelProfile::host().id();
        self.check_leasable(&[hosts, run.model])?;
        let (payer, version, lease) = (run.payer(), run.version, LeaseId::of_task(id));
        let task = run_task(&run, terms, hosts);
        // Before its task is queued, which asks what is at stake in it.
        self.state.set_run(lease, Some(run));
        let escrow = self.lock_task(id, gateway, payer, task, position)?;
        for of in [Some(terms.agent), hirer].into_iter().flatten() {
            let agent = self.state.agents.get_mut(&of).ok_or(Rejection::Unknown { what: "agent" })?;
            agent.open_runs = agent.open_runs.checked_add(1).ok_or(Rejection::Overflow)?;
        }
        let (agent, input) = (terms.agent, terms.input);
        self.events.push(Event::RunOpened { run: lease, task: id, agent, version, payer, input, escrow });
        Ok((lease, escrow))
    }

    /// Its lease is closed. Where segments of it are settled their orders may still be spent for a while (SPEC A3).
    pub(crate) fn end_run(&mut self, id: LeaseId) {
        let Some(mut run) = self.state.runs.get(&id).cloned() else { return };
        if run.over || run.settled.is_empty() || !run.may_spend() {
            self.remove_run(id);
        } else {
            run.ends_at_ms = Some(self.now_ms.saturating_add(self.state.meta().parameters.run_spend_ms));
            self.state.set_run(id, Some(run));
        }
    }

    /// Nothing of it can be spent any more.
    pub(crate) fn remove_run(&mut self, id: LeaseId) {
        let Some(run) = self.state.runs.get(&id).cloned() else { return };
        self.state.set_run(id, None);
        for of in [Some(run.agent), run.hirer].into_iter().flatten() {
            if let Some(agent) = self.state.agents.get_mut(&of) {
                agent.open_runs = agent.open_runs.saturating_sub(1);
            }
            self.close_if_over(of);
        }
    }

    /// SPEC A2: a segment of it was rejected, so nothing of it is committed, settled or spent any more.
    pub(crate) fn end_over(&mut self, id: LeaseId, end: LeaseEnd) {
        let Some(mut run) = self.state.runs.get(&id).filter(|run| !run.over).cloned() else { return };
        run.over = true;
        self.state.set_run(id, Some(run));
        self.end_lease(id, end);
    }

    /// SPEC A2: whether a run takes a segment with these totals.
    pub(crate) fn check_steps(&self, id: LeaseId, lease: &Lease, totals: &JobTotals) -> Result<(), Rejection> {
        let Some(run) = self.state.runs.get(&id) else { return Ok(()) };
        if run.over {
            return Err(Rejection::WrongState { what: "a segment of a run that is over" });
        }
        if lease.tokens >= lease.terms.tokens_max {
            return Err(Rejection::WrongState { what: "a segment after the run's answer" });
        }
        if totals.prompt_tokens > 0 {
            return Err(Rejection::OutOfBounds { field: "tokens" });
        }
        Ok(())
    }

    /// SPEC A2: true for a final segment of a run that is not settled now: never, since the run is over, or not before those
    /// that come before it.
    pub(crate) fn withholds_steps(&mut self, id: SegmentId, segment: &Segment) -> bool {
        let Some(run) = self.state.runs.get(&segment.terms.lease) else { return false };
        if run.over {
            self.reject(id, segment, RejectReason::RunOver);
            return true;
        }
        let waits = self.state.waits_for_steps(segment);
        if let (true, SegmentState::Final { approval, held_until_ms, .. }) = (waits, &segment.state) {
            let state = SegmentState::Final {
                approval: approval.clone(),
                settles_at_ms: self.now_ms.saturating_add(STEPS_WAIT_MS),
                held_until_ms: *held_until_ms,
            };
            self.state.set_segment(id, Some(Segment { state, ..segment.clone() }));
        }
        waits
    }

    /// SPEC A3: from now on the segment's orders may be spent.
    pub(crate) fn note_settled(&mut self, segment: &Segment) {
        let id = segment.terms.lease;
        let Some(mut run) = self.state.runs.get(&id).cloned() else { return };
        run.settled.push(segment.terms.root);
        self.state.set_run(id, Some(run));
    }

    /// SPEC A4: the agent's books, to the nano-IFR; a step without the answer costs nothing.
    pub(crate) fn note_paid(&mut self, id: SegmentId, segment: &Segment, run: &Run, split: RunSplit) {
        let fee = segment.fee;
        let Some(agent) = self.state.agents.get_mut(&run.agent).filter(|_| !fee.is_zero()) else { return };
        let RunSplit { to_host, to_payer, to_creator, to_each_approver, to_committee, to_treasury } = split;
        let earned = &mut agent.earned;
        earned.runs = earned.runs.saturating_add(1);
        for (sum, part) in [
            (&mut earned.fees, fee),
            (&mut earned.hosts, to_host),
            (&mut earned.creator, to_creator),
            (&mut earned.committees, to_committee),
            (&mut earned.treasury, to_treasury),
            (&mut earned.refunded, to_payer),
        ] {
            *sum = Amount::from_nano(sum.nano().saturating_add(part.nano()));
        }
        self.events.push(Event::RunPaid {
            run: segment.terms.lease,
            segment: id,
            agent: run.agent,
            host: segment.worker,
            creator: agent.creator,
            payer: run.payer(),
            fee,
            to_host,
            to_payer,
            to_creator,
            to_each_approver,
            to_treasury,
        });
    }
}

impl State {
    /// Who paid for a task or its lease: of a run that an agent hired that agent, else the gateway.
    pub(crate) fn payer_of(&self, lease: LeaseId, gateway: NodeId) -> AccountId {
        self.runs.get(&lease).map_or(gateway, Run::payer)
    }

    /// What a wrong verdict about a segment could cost: of a run's not its fee alone, but its price and what its policy
    /// lets it still spend (SPEC V1, A2).
    pub(crate) fn at_stake(&self, segment: &Segment) -> Amount {
        self.runs.get(&segment.terms.lease).map_or(segment.fee, |run| run.at_stake())
    }

    /// What who is granted this task answers for until the lease is closed; nothing if it is no run (SPEC A2).
    pub(crate) fn cover_of(&self, task: TaskId) -> Amount {
        self.runs.get(&LeaseId::of_task(task)).map_or(Amount::ZERO, |run| run.cover())
    }

    /// True for a segment of a run while one before it is not settled (SPEC A2).
    pub(crate) fn waits_for_steps(&self, segment: &Segment) -> bool {
        let run = self.runs.get(&segment.terms.lease);
        run.is_some_and(|run| u32::try_from(run.settled.len()) != Ok(segment.terms.index))
    }

    /// Validators that declared each of these profiles, ascending.
    pub(crate) fn declared_all(&self, profiles: &[ProfileId]) -> Vec<NodeId> {
        let mut declared = profiles.iter().map(|id| self.profiles.get(id).map_or(&[][..], |entry| &entry.validators));
        let mut all = declared.next().unwrap_or(&[]).to_vec();
        for others in declared {
            all.retain(|id| others.binary_search(id).is_ok());
        }
        all
    }

    /// Validators that can judge a segment, ascending: of a run those that declared both its hosts' profile and its model's
    /// (SPEC A2).
    pub(crate) fn judges_of(&self, segment: &Segment) -> Vec<NodeId> {
        let model = self.runs.get(&segment.terms.lease).map(|run| run.model);
        let profiles: Vec<ProfileId> = [Some(segment.profile), model].into_iter().flatten().collect();
        self.declared_all(&profiles)
    }

    /// An agent.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id)
    }

    /// All agents, ascending.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentId, &Agent)> {
        self.agents.iter()
    }

    /// A run that is not over.
    #[must_use]
    pub fn run(&self, id: &LeaseId) -> Option<&Run> {
        self.runs.get(id)
    }

    /// Checks that every agent counts its runs (SPEC A1).
    pub(crate) fn audit_agents(&self) -> Result<(), String> {
        let mut open: std::collections::BTreeMap<AgentId, u32> = self.agents.keys().map(|id| (*id, 0)).collect();
        for (id, run) in self.runs.iter() {
            for of in [Some(run.agent), run.hirer].into_iter().flatten() {
                let Some(count) = open.get_mut(&of) else { return Err(format!("run {id} is of no agent")) };
                *count = count.saturating_add(1);
            }
        }
        match self.agents.iter().find(|(id, agent)| open.get(*id) != Some(&agent.open_runs)) {
            Some((id, agent)) => Err(format!("agent {id} counts {} runs", agent.open_runs)),
            None => Ok(()),
        }
    }
}

/// The task that a run is: each step a job, and the answer the one thing that is paid for.
fn run_task(run: &Run, terms: &RunTerms, hosts: ProfileId) -> TaskTerms {
    TaskTerms {
        kind: TaskKind::Agent,
        mode: VerificationMode::Exact,
        tier: TaskKind::Agent.policy().tier,
        profile: hosts,
        price_max: Price { prompt_token: Amount::ZERO, completion_token: run.price },
        jobs_max: run.limits.steps,
        tokens_max: 1,
        slots: 1,
        context_tokens: 0,
        open_ms: terms.open_ms,
        lease_ms: run.limits.run_ms,
    }
}
