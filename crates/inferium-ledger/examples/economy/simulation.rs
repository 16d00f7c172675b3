//! The run: agents read the events of each block and answer with transactions of the next.

use crate::agents::{CHEAP, GatewayStyle, PRICE, ValidatorStyle, WORK_COST, Worker, WorkerStyle};
use crate::cast::Cast;
use crate::planting::{Plant, Planted, opening_of, order_of, root_of, vrf_of};
use crate::world::{BLOCK_MS, Dice, Outcome, World};
use inferium_ledger::{Hold, LeaseState};
use inferium_types::{
    AccountId, Amount, CapabilityReport, Digest, Event, FORCED_TOKENS, JobFault, JobId, JobRequest, JobTotals, LeaseId,
    NANO_PER_IFR, NodeId, NodeRole, Ppm, SamplingParams, SegmentCommitment, SegmentId, SegmentOpening, SegmentTerms,
    SlashRule, SlashedNode, TaskKind, TaskTerms, Tier, Transaction, TransactionBody, Usage, VerdictVote,
    VerificationMode, limits,
};
use std::collections::BTreeMap;

/// Clients' jobs of one lease, and what it may have: so much more that planted jobs are owed.
pub(crate) const LEASE_JOBS: u32 = 76;
const LEASE_JOBS_MAX: u32 = 84;
const LEASE_TOKENS_MAX: u64 = 36_000;
/// Clients' jobs of one segment; less where a planted one would have no room.
pub(crate) const SEGMENT_JOBS: u32 = 38;
/// Slots that a lease takes: those of the shipped gateway.
pub(crate) const LEASE_SLOTS: u32 = 8;
/// Blocks after which workers open what is final.
const OPEN_BLOCKS: u64 = 20;
/// Blocks that one who would repeat others' votes waits for them, once they may be shown.
const COPY_BLOCKS: u64 = 3;
/// Blocks without an answer after which a gateway reports it.
const PATIENCE_BLOCKS: u64 = 6;
/// Windows that the chart's second half is made of.
pub(crate) const WINDOWS: usize = 20;
const SAMPLES: u64 = 100;

/// Something that an agent does later.
#[derive(Debug, Clone, Copy)]
enum Action {
    /// The worker has done so many jobs of the lease.
    Commit(LeaseId, u32),
    /// The worker has done its capability task.
    Measured(LeaseId),
    /// The gateway has waited long enough.
    Report(LeaseId),
    /// The gateway has what it wanted.
    Close(LeaseId),
    /// It has seen what others showed.
    Show(SegmentId, NodeId),
}

/// What really happened in a segment; only replay shows it.
#[derive(Debug)]
pub(crate) struct Truth {
    /// Worth of each job at market prices, and whether it is wrong.
    pub(crate) jobs: Vec<(f64, bool)>,
    pub(crate) fault: JobFault,
    pub(crate) is_kept_back: bool,
    pub(crate) draws: u32,
    pub(crate) plant: Option<Plant>,
    /// What its worker can say of it.
    pub(crate) opening: Option<SegmentOpening>,
    /// The planted job is among those to replay.
    pub(crate) is_drawn: bool,
    /// It is judged once more, since the planted job came to light.
    pub(crate) is_anew: bool,
    /// Share of its jobs that are to be replayed.
    pub(crate) replay: Ppm,
    /// Members that approved unseen.
    pub(crate) blind: Vec<NodeId>,
    /// What a replay shows, and what it costs.
    pub(crate) sight: (VerdictVote, f64),
}

impl Truth {
    fn of(jobs: Vec<(f64, bool)>, fault: JobFault) -> Self {
        Self {
            jobs,
            fault,
            is_kept_back: false,
            draws: 0,
            plant: None,
            opening: None,
            is_drawn: false,
            is_anew: false,
            replay: Ppm::new(0),
            blind: Vec::new(),
            sight: (VerdictVote::Unavailable, 0.0),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Simulation {
    pub(crate) world: World,
    pub(crate) cast: Cast,
    pub(crate) dice: Dice,
    later: BTreeMap<u64, Vec<Action>>,
    pub(crate) truths: BTreeMap<SegmentId, Truth>,
    pub(crate) planted: Planted,
    tasks: u64,
    opened: u64,
    /// Tasks so far and the net worth that each strategy added.
    pub(crate) history: Vec<(u64, Vec<f64>)>,
    /// Leases of honest gateways by window and strategy.
    pub(crate) shares: Vec<BTreeMap<usize, u64>>,
    /// Blocks and others' leases that each newcomer waited from its measurement to its first lease.
    pub(crate) waits: Vec<(u64, u64)>,
    measured_at: BTreeMap<NodeId, (u64, u64)>,
    granted: u64,
    holds: BTreeMap<u64, Hold>,
    /// Who upheld each disputed segment so far.
    courts: BTreeMap<SegmentId, Vec<NodeId>>,
    pub(crate) convictions: u64,
    /// What each validator keeps of its delegators' rewards.
    commission: Ppm,
}

pub(crate) fn ifr(amount: Amount) -> f64 {
    amount.nano() as f64 / NANO_PER_IFR as f64
}

impl Simulation {
    pub(crate) fn new(mut cast: Cast, seed: u64, tasks: u64, commission: Ppm) -> Self {
        let world = World::new(std::mem::take(&mut cast.beginning), seed);
        Self {
            world,
            cast,
            dice: Dice::new(seed),
            later: BTreeMap::new(),
            truths: BTreeMap::new(),
            planted: Planted::default(),
            tasks,
            opened: 0,
            history: Vec::new(),
            shares: vec![BTreeMap::new(); WINDOWS],
            waits: Vec::new(),
            measured_at: BTreeMap::new(),
            granted: 0,
            holds: BTreeMap::new(),
            courts: BTreeMap::new(),
            convictions: 0,
            commission,
        }
    }

    /// Registers everyone, runs all tasks, and waits until nothing is open or held any more.
    pub(crate) fn run(&mut self) -> Outcome<()> {
        for agent in 0..self.cast.agents.len() {
            let start = self.worth(agent);
            self.cast.agents[agent].start = start;
        }
        self.register()?;
        let sample_every = (self.tasks / SAMPLES).max(1);
        let mut sampled = 0;
        while self.opened < self.tasks {
            self.open_tasks();
            self.advance(BLOCK_MS)?;
            if self.opened >= sampled {
                self.sample();
                sampled += sample_every;
            }
            if self.world.height().is_multiple_of(60) {
                self.renew_offers();
            }
            if self.world.height().is_multiple_of(1_000) {
                self.world.state.audit()?;
            }
        }
        while self.world.state.leases().count() + self.world.state.segments().count() > 0 {
            self.advance(30_000)?;
        }
        // Slashed stake is released, the last epoch's emission paid.
        for _ in 0..3 {
            let wait_ms = self.world.state.meta().parameters.slash_hold_ms;
            let events = self.world.step(wait_ms)?;
            for event in &events {
                self.see(event)?;
            }
        }
        self.sample();
        self.world.state.audit()?;
        Ok(())
    }

    fn register(&mut self) -> Outcome<()> {
        let chain = self.world.state.meta().chain;
        let bond = self.world.state.meta().parameters.operator_bond_min;
        let validators: Vec<NodeId> = self.cast.validators.keys().copied().collect();
        for (node, operator) in &self.cast.operators {
            if !self.cast.validators.contains_key(node) {
                self.world.send(*operator, TransactionBody::RegisterOperator { bond });
            }
        }
        self.advance(BLOCK_MS)?;
        for (node, operator) in &self.cast.operators {
            let parameters = &self.world.state.meta().parameters;
            let (role, stake) = if self.cast.workers.contains_key(node) {
                (NodeRole::Worker { vrf: vrf_of(node)?.public_key() }, parameters.worker_stake_min)
            } else if self.cast.gateways.contains_key(node) {
                (NodeRole::Gateway { url: "http://gateway.example".into() }, parameters.gateway_bond_min)
            } else {
                continue;
            };
            let key = self.world.key(operator)?;
            let operator_signature = Transaction::sign_as_operator(chain, node, &role, key);
            self.world
                .send(*node, TransactionBody::RegisterNode { role, operator: *operator, operator_signature, stake });
        }
        for node in validators {
            let profile = self.world.profile.clone();
            self.world.send(node, TransactionBody::DeclareProfile { profile });
            self.world.send(node, TransactionBody::SetCommission { commission: self.commission });
        }
        for (account, node, amount) in self.cast.delegations.clone() {
            self.world.send(account, TransactionBody::Bond { node, amount });
        }
        self.advance(BLOCK_MS)?;
        self.join(0);
        // Capability tasks take two blocks of work and a committee.
        for _ in 0..10 {
            self.advance(BLOCK_MS)?;
        }
        Ok(())
    }

    /// Those whose time has come ask to be measured, and make their offer.
    fn join(&mut self, height: u64) {
        let joining: Vec<NodeId> =
            self.cast.workers.iter().filter(|(_, worker)| worker.joins_at == height).map(|(id, _)| *id).collect();
        for id in joining {
            self.assess(id);
            self.offer(id);
        }
    }

    fn assess(&mut self, id: NodeId) {
        let report = CapabilityReport {
            tier: Tier::High,
            cpu: "simulated".into(),
            features: Vec::new(),
            cores: 2,
            memory_mib: 8_192,
            accelerators: Vec::new(),
        };
        let profile = self.world.profile.id();
        self.world.send(id, TransactionBody::OpenAssessment { profile, report });
    }

    fn offer(&mut self, id: NodeId) {
        if let Some(worker) = self.cast.workers.get(&id) {
            let body = TransactionBody::SetOffer { profile: self.world.profile.id(), terms: worker.offer };
            self.world.send(id, body);
        }
    }

    /// Whoever was jailed and may work again offers again.
    fn renew_offers(&mut self) {
        let meta = self.world.state.meta();
        let (epoch, least, height) = (meta.epoch, meta.parameters.worker_stake_min.split(2), self.world.height());
        let profile = self.world.profile.id();
        let back: Vec<NodeId> = self
            .cast
            .workers
            .iter()
            .filter(|(id, worker)| {
                let may = self.world.state.node(id).is_some_and(|node| node.is_active(epoch) && node.stake >= least);
                may && worker.joins_at < height && self.world.state.offer(profile, **id).is_none()
            })
            .map(|(id, _)| *id)
            .collect();
        for id in back {
            self.offer(id);
        }
    }

    /// One block, and everyone's answers to it.
    fn advance(&mut self, wait_ms: u64) -> Outcome<()> {
        let height = self.world.height();
        if height > 10 {
            self.join(height);
        }
        let due = self.later.remove(&height).unwrap_or_default();
        for action in due {
            match action {
                Action::Commit(lease, jobs) => self.commit(lease, jobs)?,
                Action::Measured(lease) => self.commit_assessment(lease)?,
                Action::Report(lease) => self.report(lease),
                Action::Close(lease) => self.close(lease),
                Action::Show(segment, validator) => self.show_if_unopposed(segment, validator),
            }
        }
        if height.is_multiple_of(OPEN_BLOCKS) {
            self.open_final();
        }
        let events = self.world.step(wait_ms)?;
        for event in &events {
            self.see(event)?;
        }
        Ok(())
    }

    /// What is left of it is for planted jobs: the gateway has no use for that.
    fn close(&mut self, id: LeaseId) {
        if let Some(lease) = self.world.state.lease(&id).filter(|lease| lease.state == LeaseState::Active) {
            let gateway = lease.gateway;
            self.world.send(gateway, TransactionBody::CloseLease { lease: id });
        }
    }

    pub(crate) fn at_showing(&mut self, id: SegmentId, validator: NodeId) {
        self.at(COPY_BLOCKS, Action::Show(id, validator));
    }

    fn at(&mut self, blocks: u64, action: Action) {
        // What is sent after this block is in the next one.
        self.later.entry(self.world.height() + blocks.max(1) - 1).or_default().push(action);
    }

    fn open_tasks(&mut self) {
        let gateways: Vec<_> = self.cast.gateways.iter().map(|(id, gateway)| (*id, *gateway)).collect();
        for (id, gateway) in gateways {
            if self.opened >= self.tasks || self.dice.below(gateway.every) != 0 {
                continue;
            }
            let mut terms = TaskTerms {
                kind: TaskKind::Inference,
                mode: VerificationMode::Exact,
                tier: Tier::Mid,
                profile: self.world.profile.id(),
                price_max: PRICE,
                jobs_max: LEASE_JOBS_MAX,
                tokens_max: LEASE_TOKENS_MAX,
                slots: LEASE_SLOTS,
                context_tokens: 1_024,
                open_ms: 600_000,
                lease_ms: 3_600_000,
            };
            if let Some(own) = gateway.own.and_then(|own| self.cast.workers.get(&own)) {
                terms.price_max = own.offer.price;
                if gateway.style == GatewayStyle::SelfDeal {
                    terms.context_tokens = own.offer.context_tokens;
                }
            }
            self.world.send(id, TransactionBody::OpenTask { terms });
            self.opened += 1;
        }
    }

    fn see(&mut self, event: &Event) -> Outcome<()> {
        match event {
            Event::LeaseGranted { lease, worker, gateway, terms, .. } => {
                if terms.kind == TaskKind::Benchmark {
                    self.at(2, Action::Measured(*lease));
                } else {
                    self.take(*lease, *worker, *gateway);
                }
            }
            Event::CommitteeDrawn { segment, members, seed, replay, planted, .. } => {
                self.judge(*segment, members, (seed, *replay), *planted);
            }
            Event::RevealsOpened { segment, .. } => self.show_hidden(*segment),
            Event::OpeningAsked { segment, worker, .. } => self.open_asked(*segment, *worker),
            Event::ForcedErrorOpened { caught, jackpot, .. } => {
                self.planted.caught += u64::from(!caught.is_empty());
                self.planted.jackpots += ifr(*jackpot) * caught.len() as f64;
            }
            Event::SegmentApproved(outcome) if outcome.settled => {
                self.truths.remove(&outcome.segment);
                self.world.forget_hidden(outcome.segment);
                let agent = self.agent_of(&outcome.worker).filter(|_| outcome.gateway != outcome.worker);
                if let Some(agent) = agent {
                    let planted = u64::from(outcome.planted.is_some());
                    self.cast.agents[agent].jobs += u64::from(outcome.totals.jobs) - planted;
                }
            }
            Event::SegmentApproved(outcome) => self.dispute(outcome.segment, outcome.gateway == outcome.worker),
            Event::SegmentRejected { segment, .. } => {
                self.truths.remove(segment);
                self.world.forget_hidden(*segment);
            }
            Event::StallReported { stall, relays, .. } => {
                for relay in relays {
                    let style = self.cast.validators.get(relay).map(|validator| validator.style);
                    if style.is_some_and(|style| style != ValidatorStyle::Silent) {
                        self.world.send(*relay, TransactionBody::CertifyDelivery { stall: *stall });
                    }
                }
            }
            Event::AssessmentCalled { worker, .. } => self.assess(*worker),
            Event::CapabilityMeasured { worker, .. } => {
                let now = (self.world.height(), self.granted);
                self.measured_at.entry(*worker).or_insert(now);
            }
            Event::DisputeOpened { segment, .. } => {
                self.courts.insert(*segment, Vec::new());
            }
            Event::VerdictGiven { segment, validator, vote } => {
                if let Some(court) = self.courts.get_mut(segment).filter(|_| matches!(vote, VerdictVote::Valid { .. }))
                {
                    court.push(*validator);
                }
            }
            Event::DisputeClosed { segment, upheld, returned, .. } => {
                let court = self.courts.remove(segment).unwrap_or_default();
                if !upheld && returned.is_zero() {
                    self.share_bond(*segment, &court);
                }
            }
            Event::Slashed(slash) => self.note_slash(slash),
            Event::SlashReleased { slash, to_each_prover, to_harmed, .. } => {
                self.note_release(*slash, *to_each_prover, *to_harmed);
            }
            _ => {}
        }
        Ok(())
    }

    fn note_slash(&mut self, slash: &SlashedNode) {
        if slash.rule == SlashRule::WrongResult {
            self.convictions += 1;
        }
        let Some((_, hold)) = self.world.state.holds().find(|(number, _)| **number == slash.slash) else { return };
        let hold = hold.clone();
        // Nobody gains by what a planted job takes (SPEC V5).
        let is_forced = slash.rule == SlashRule::WrongApproval && hold.provers.is_empty();
        self.planted.barred += u64::from(is_forced);
        // A blind approval of a planted job that was kept back is counted by its chance, too.
        let is_kept_back = slash.rule == SlashRule::MissedDuty
            && self.cast.validators.get(&slash.node).is_some_and(|of| of.style == ValidatorStyle::Copy)
            && slash.segment.and_then(|id| self.truths.get(&id)).is_some_and(|truth| truth.is_drawn);
        if let Some(agent) = self.agent_of(&slash.node) {
            self.cast.agents[agent].slashed += ifr(hold.own);
            if is_forced || is_kept_back {
                self.cast.agents[agent].forced += ifr(hold.own);
            }
        }
        self.holds.insert(slash.slash, hold);
    }

    fn note_release(&mut self, slash: u64, to_each_prover: Amount, to_harmed: Amount) {
        let Some(hold) = self.holds.remove(&slash) else { return };
        let offender = self.agent_of(&hold.node);
        for prover in hold.provers {
            self.award(&prover, offender, ifr(to_each_prover));
        }
        if let Some(harmed) = hold.harmed {
            self.award(&harmed, offender, ifr(to_harmed));
        }
    }

    /// A lost dispute: half of the bond is the worker's, half the court's and its delegators'.
    fn share_bond(&mut self, id: SegmentId, court: &[NodeId]) {
        let half = ifr(self.world.state.meta().parameters.dispute_bond) / 2.0;
        if let Some(worker) = self.world.state.segment(&id).map(|segment| segment.worker) {
            self.award(&worker, None, half);
        }
        for member in court {
            let part = half / court.len() as f64;
            let Some(node) = self.world.state.node(member) else { continue };
            let (own, others) = (ifr(node.stake), ifr(node.delegated.tokens));
            let shared = part * others / (own + others) * (1.0 - f64::from(self.commission.get()) / 1e6);
            self.award(member, None, part - shared);
            let delegators: Vec<_> = self.cast.delegations.iter().filter(|(_, to, _)| to == member).copied().collect();
            for (delegator, _, _) in delegators {
                self.award(&delegator, None, shared);
            }
        }
    }

    pub(crate) fn agent_of(&self, node: &NodeId) -> Option<usize> {
        self.cast.agent_of.get(node).copied()
    }

    fn award(&mut self, to: &NodeId, offender: Option<usize>, amount: f64) {
        if let Some(agent) = self.agent_of(to) {
            let of = &mut self.cast.agents[agent];
            let sum = if offender == Some(agent) { &mut of.recovered } else { &mut of.windfall };
            *sum += amount;
        }
    }

    /// A worker got a lease.
    fn take(&mut self, lease: LeaseId, id: NodeId, gateway_id: NodeId) {
        self.granted += 1;
        let (height, granted) = (self.world.height(), self.granted);
        let Some(gateway) = self.cast.gateways.get(&gateway_id).copied() else { return };
        let Some(worker) = self.cast.workers.get_mut(&id) else { return };
        if worker.first_lease.is_none() {
            worker.first_lease = Some(height);
            if worker.joins_at > 0 {
                let (at, leases) = self.measured_at.get(&id).copied().unwrap_or((height, granted));
                self.waits.push((height - at, granted - leases - 1));
            }
        }
        let worker = *worker;
        self.cast.agents[worker.agent].leases += 1;
        if gateway.style == GatewayStyle::Honest {
            let window = usize::try_from(self.opened * WINDOWS as u64 / (self.tasks + 1)).unwrap_or(0);
            let strategy = self.cast.agents[worker.agent].strategy;
            if let Some(shares) = self.shares.get_mut(window) {
                *shares.entry(strategy).or_default() += 1;
            }
        }
        let is_closed = match worker.style {
            WorkerStyle::Grab => true,
            WorkerStyle::Reroll => self.dice.chance(750_000),
            _ => false,
        };
        if is_closed {
            self.world.send(id, TransactionBody::CloseLease { lease });
            return;
        }
        match gateway.style {
            GatewayStyle::Squat => return,
            GatewayStyle::Reroll if gateway.own != Some(id) => {
                self.world.send(gateway_id, TransactionBody::CloseLease { lease });
                return;
            }
            GatewayStyle::Honest | GatewayStyle::SelfDeal | GatewayStyle::Reroll => {}
        }
        if matches!(worker.style, WorkerStyle::Silent { ppm } if self.dice.chance(ppm)) {
            self.at(PATIENCE_BLOCKS, Action::Report(lease));
        } else {
            self.work(lease, id, &worker);
        }
    }

    fn work(&mut self, lease: LeaseId, id: NodeId, worker: &Worker) {
        let record = self.world.state.record(id, self.world.profile.id());
        if worker.style == WorkerStyle::Withhold && record.jobs() >= 500 {
            // One job a segment: what is drawn costs that one only.
            for job in 0..LEASE_JOBS {
                self.at(2 + u64::from(job), Action::Commit(lease, 1));
            }
            self.at(3 + u64::from(LEASE_JOBS), Action::Close(lease));
            return;
        }
        let tokens = u64::from(SEGMENT_JOBS) * 380;
        let seconds =
            if worker.style == WorkerStyle::Rubbish { 1 } else { tokens / (worker.speed * u64::from(LEASE_SLOTS)) };
        let blocks = (seconds * 1_000).div_ceil(BLOCK_MS);
        let segments = u64::from(LEASE_JOBS / SEGMENT_JOBS);
        for part in 1..=segments {
            self.at(1 + part * blocks, Action::Commit(lease, SEGMENT_JOBS));
        }
        self.at(2 + segments * blocks, Action::Close(lease));
    }

    /// A request that fits the lease got no answer.
    fn report(&mut self, id: LeaseId) {
        let Some(lease) = self.world.state.lease(&id).filter(|lease| lease.state == LeaseState::Active) else { return };
        let request = JobRequest {
            job: JobId::new(id.digest()),
            lease: id,
            sequence: 0,
            attempt: 0,
            input_commitment: Digest::ZERO,
            prompt_tokens: 190,
            tokens_max: 190,
            sampling: SamplingParams::GREEDY,
            client_seed: None,
        };
        self.world.send(lease.gateway, TransactionBody::ReportStall { request });
    }

    fn commit(&mut self, id: LeaseId, count: u32) -> Outcome<()> {
        let Some(lease) = self.world.state.lease(&id).copied().filter(|lease| lease.state == LeaseState::Active) else {
            return Ok(());
        };
        let Some(worker) = self.cast.workers.get(&lease.worker).copied() else { return Ok(()) };
        let record = self.world.state.record(lease.worker, self.world.profile.id());
        let wrong_ppm = match worker.style {
            WorkerStyle::Cheap { jobs_ppm, from_jobs } if record.jobs() >= from_jobs => jobs_ppm,
            WorkerStyle::Truncate => 200_000,
            WorkerStyle::Rubbish => 1_000_000,
            WorkerStyle::Withhold if count == 1 => 1_000_000,
            _ => 0,
        };
        let (mut totals, mut jobs, mut cost) = (JobTotals::default(), Vec::new(), 0.0);
        for _ in 0..count {
            let usage = Usage {
                prompt_tokens: 100 + u32::try_from(self.dice.below(181))?,
                completion_tokens: 90 + u32::try_from(self.dice.below(191))?,
            };
            if totals.tokens() + usage.tokens() + FORCED_TOKENS > limits::SEGMENT_TOKENS_MAX {
                break;
            }
            totals = totals.with(&usage).ok_or("too many tokens")?;
            let worth = ifr(PRICE.fee(&usage)?);
            let is_wrong = self.dice.chance(wrong_ppm);
            let share = match worker.style {
                WorkerStyle::Rubbish => 0.0,
                _ if is_wrong => CHEAP,
                _ => 1.0,
            };
            cost += worth * WORK_COST * share;
            jobs.push((worth, is_wrong));
        }
        let fault = if worker.style == WorkerStyle::Truncate { JobFault::Finish } else { JobFault::Token };
        let (proof, order) = order_of(id, &lease)?;
        let kind = order.kind(self.world.state.meta().parameters.forced_share);
        let is_deaf = matches!(worker.style, WorkerStyle::Disobey | WorkerStyle::Closed);
        let mut plant = None;
        self.planted.segments += u64::from(!is_deaf);
        if let Some(kind) = kind.filter(|_| !is_deaf) {
            let (planted, more) = self.plant(id, &order, kind, (&mut totals, &mut jobs))?;
            cost += more;
            plant = Some(planted);
        }
        self.cast.agents[worker.agent].cost += cost;
        let mut truth = Truth::of(jobs, fault);
        truth.plant = plant;
        let segment = self.lodge(id, totals, truth)?;
        // Who was ordered to plant and did not has nothing to say.
        let is_followed = kind.is_none() || !is_deaf;
        if let Some((terms, truth)) = segment.zip(segment.and_then(|terms| self.truths.get_mut(&terms.id()))) {
            let opening = opening_of(&terms, proof, truth.plant.as_ref())?;
            truth.opening = is_followed.then_some(opening);
        }
        Ok(())
    }

    fn commit_assessment(&mut self, id: LeaseId) -> Outcome<()> {
        let Some(lease) = self.world.state.lease(&id).copied() else { return Ok(()) };
        let speed = self.cast.workers.get(&lease.worker).map_or(0, |worker| worker.speed);
        // 16 work units a second for each token a second of one slot; the work takes 10 s.
        let completion_tokens = speed * 16;
        let totals =
            JobTotals { jobs: u32::try_from(completion_tokens / 16)?, prompt_tokens: speed * 32, completion_tokens };
        let jobs = vec![(0.0, false); usize::try_from(totals.jobs)?];
        self.lodge(id, totals, Truth::of(jobs, JobFault::Token))?;
        Ok(())
    }

    fn lodge(&mut self, id: LeaseId, totals: JobTotals, truth: Truth) -> Outcome<Option<SegmentTerms>> {
        let Some(lease) = self.world.state.lease(&id).copied() else { return Ok(None) };
        let root = root_of(id, lease.segments, totals.jobs, truth.plant.as_ref());
        let terms = SegmentTerms { lease: id, index: lease.segments, totals, root };
        let commitment = SegmentCommitment {
            terms,
            worker_signature: terms.sign_as_worker(self.world.key(&lease.worker)?),
            gateway_signature: terms.sign_as_gateway(self.world.key(&lease.gateway)?),
        };
        self.truths.insert(terms.id(), truth);
        self.world.send(lease.worker, TransactionBody::CommitSegment { commitment });
        Ok(Some(terms))
    }

    fn dispute(&mut self, segment: SegmentId, is_assessment: bool) {
        let disputer = self.cast.validators.iter().find(|(_, of)| of.style == ValidatorStyle::Dispute);
        let Some(disputer) = disputer.map(|(id, _)| *id) else { return };
        let is_right = self.truths.get(&segment).is_some_and(|truth| truth.jobs.iter().all(|(_, wrong)| !wrong));
        let affordable = self.world.state.account(&disputer).balance > Amount::from_ifr(11);
        if is_right && !is_assessment && affordable && self.dice.chance(10_000) {
            self.world.send(disputer, TransactionBody::OpenDispute { segment });
        }
    }

    /// All that an agent has on the chain; IFR.
    fn worth(&self, agent: usize) -> f64 {
        let state = &self.world.state;
        let of = |id: &AccountId| {
            let node = state.node(id);
            let stake = node.map_or(0.0, |node| ifr(node.stake) + ifr(node.unbonding.tokens));
            let bond = state.operator(id).map_or(0.0, |operator| ifr(operator.bond));
            let delegated: f64 = state
                .delegations_of(*id)
                .filter_map(|(to, delegation)| Some(ifr(state.node(&to)?.delegated.value(delegation.shares))))
                .sum();
            ifr(state.account(id).balance) + stake + bond + delegated
        };
        self.cast.agents[agent].accounts.iter().map(of).sum()
    }

    /// What the agent gained, compute and windfalls taken off; IFR.
    pub(crate) fn net(&self, agent: usize) -> f64 {
        let of = &self.cast.agents[agent];
        self.worth(agent) - of.start - of.cost - of.windfall
    }

    /// The same with planted jobs counted by their chance, not by their luck: what they take of validators in the mean.
    pub(crate) fn expected(&self, agent: usize) -> f64 {
        let of = &self.cast.agents[agent];
        self.net(agent) + of.forced - of.risk
    }

    fn sample(&mut self) {
        let mut locked: BTreeMap<NodeId, f64> = BTreeMap::new();
        for (_, task) in self.world.state.tasks() {
            *locked.entry(task.requester).or_default() += ifr(task.escrow);
        }
        for (_, lease) in self.world.state.leases() {
            *locked.entry(lease.gateway).or_default() += ifr(lease.escrow);
        }
        for (_, segment) in self.world.state.segments() {
            if let Some(dispute) = &segment.dispute {
                *locked.entry(dispute.challenger).or_default() += ifr(dispute.bond);
            }
        }
        let mut nets = vec![0.0; self.cast.strategies.len()];
        for agent in 0..self.cast.agents.len() {
            nets[self.cast.agents[agent].strategy] += self.net(agent);
        }
        for (id, amount) in locked {
            if let Some(agent) = self.agent_of(&id) {
                nets[self.cast.agents[agent].strategy] += amount;
            }
        }
        self.history.push((self.opened, nets));
    }
}
