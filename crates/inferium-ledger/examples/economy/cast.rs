//! The cast: how many of each strategy, with what stake.

use crate::agents::{
    Agent, Gateway, GatewayStyle, Must, OWN_CONTEXT, PRICE, Strategy, Validator, ValidatorStyle, Worker, WorkerStyle,
};
use crate::world::{Beginning, Outcome};
use inferium_types::{AccountId, Amount, NodeId, OfferTerms, Parameters, Price};
use std::collections::BTreeMap;

/// Slots of an offer: two leases of the shipped gateway.
const OFFER_SLOTS: u32 = 16;
const CONTEXT: u32 = 4_096;
/// Delegated to each honest validator, and to the thin one: nine times its own stake.
const DELEGATED: Amount = Amount::from_ifr(300_000);
const DELEGATED_TO_THIN: Amount = Amount::from_ifr(450_000);
const PURSE: Amount = Amount::from_ifr(100);
/// What a self-dealer asks of itself, in market prices.
const OWN_PRICE: u64 = 100;

const FAST: u64 = 100;
const MID: u64 = 50;
const SLOW: u64 = 25;

/// Everyone, before the first block.
#[derive(Debug, Default)]
pub(crate) struct Cast {
    pub(crate) beginning: Beginning,
    pub(crate) strategies: Vec<Strategy>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) workers: BTreeMap<NodeId, Worker>,
    pub(crate) validators: BTreeMap<NodeId, Validator>,
    pub(crate) gateways: BTreeMap<NodeId, Gateway>,
    /// Who delegates how much to whom.
    pub(crate) delegations: Vec<(AccountId, NodeId, Amount)>,
    pub(crate) operators: BTreeMap<NodeId, AccountId>,
    pub(crate) agent_of: BTreeMap<NodeId, usize>,
}

impl Cast {
    fn strategy(&mut self, name: &'static str, must: Must) -> usize {
        self.strategies.push(Strategy { name, must });
        self.strategies.len() - 1
    }

    fn agent(&mut self, strategy: usize) -> usize {
        self.agents.push(Agent {
            strategy,
            accounts: Vec::new(),
            start: 0.0,
            cost: 0.0,
            slashed: 0.0,
            windfall: 0.0,
            recovered: 0.0,
            forced: 0.0,
            risk: 0.0,
            blind: 0,
            leases: 0,
            jobs: 0,
        });
        self.agents.len() - 1
    }

    /// A node with an operator of its own, both with money.
    fn node(&mut self, agent: usize, stake: Amount, purse: Amount) -> Outcome<NodeId> {
        let name = format!("{agent}/{}", self.operators.len());
        let node = self.beginning.account(&name, purse.add(stake)?)?;
        let operator = self.beginning.account(&format!("operator of {name}"), PURSE.add(PURSE)?)?;
        self.operators.insert(node, operator);
        self.agent_of.insert(node, agent);
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.accounts.extend([node, operator]);
        }
        Ok(node)
    }

    fn worker(&mut self, agent: usize, style: WorkerStyle, speed: u64, joins_at: u64) -> Outcome<NodeId> {
        let node = self.node(agent, Parameters::mainnet().worker_stake_min, PURSE)?;
        let offer = OfferTerms { slots: OFFER_SLOTS, price: PRICE, context_tokens: CONTEXT, batches: true };
        self.workers.insert(node, Worker { agent, style, speed, offer, joins_at, first_lease: None });
        Ok(node)
    }

    fn validator(&mut self, agent: usize, style: ValidatorStyle) -> Outcome<NodeId> {
        let stake = Parameters::mainnet().validator_stake_min;
        let node = self.node(agent, Amount::ZERO, PURSE)?;
        let operator = self.operators.get(&node).copied().ok_or("no operator")?;
        self.beginning.operators.insert(operator, Parameters::mainnet().operator_bond_min);
        self.beginning.seats.insert(node, (operator, stake));
        self.validators.insert(node, Validator { agent, style });
        Ok(node)
    }

    fn gateway(&mut self, agent: usize, style: GatewayStyle, own: Option<NodeId>, every: u64) -> Outcome<NodeId> {
        let node = self.node(agent, Parameters::mainnet().gateway_bond_min, Amount::from_ifr(5_000))?;
        self.gateways.insert(node, Gateway { style, own, every });
        Ok(node)
    }

    fn delegator(&mut self, strategy: usize, to: NodeId, amount: Amount) -> Outcome<()> {
        let agent = self.agent(strategy);
        let account = self.beginning.account(&format!("delegator {agent}"), PURSE.add(amount)?)?;
        self.agent_of.insert(account, agent);
        self.delegations.push((account, to, amount));
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.accounts.push(account);
        }
        Ok(())
    }

    fn workers_of(
        &mut self,
        (name, must): (&'static str, Must),
        count: usize,
        style: WorkerStyle,
        (speed, joins_at): (u64, u64),
    ) -> Outcome<()> {
        let strategy = self.strategy(name, must);
        for _ in 0..count {
            let agent = self.agent(strategy);
            self.worker(agent, style, speed, joins_at)?;
        }
        Ok(())
    }

    fn validators_of(
        &mut self,
        (name, must): (&'static str, Must),
        count: usize,
        style: ValidatorStyle,
    ) -> Outcome<()> {
        let strategy = self.strategy(name, must);
        for _ in 0..count {
            let agent = self.agent(strategy);
            self.validator(agent, style)?;
        }
        Ok(())
    }

    /// Everyone of the main run; newcomers join at block `late`.
    pub(crate) fn full(late: u64) -> Outcome<Self> {
        let mut cast = Self::honest(late)?;
        cast.cheating_workers()?;
        cast.hands()?;
        for (name, must, count, style) in [
            ("validator: lazy, approves everything unseen", Must::Lose, 2, ValidatorStyle::Lazy),
            ("validator: lazy until a segment is in doubt", Must::Lose, 2, ValidatorStyle::LazyAtFirst),
            ("validator: repeats others' votes", Must::EarnLess, 2, ValidatorStyle::Copy),
            ("validator: silent", Must::Lose, 1, ValidatorStyle::Silent),
            ("validator: rejects everything", Must::Lose, 1, ValidatorStyle::Reject),
            ("validator: disputes what is right", Must::Lose, 1, ValidatorStyle::Dispute),
        ] {
            cast.validators_of((name, must), count, style)?;
        }
        let thin = cast.strategy("validator: lazy, least self-bond, others' stake", Must::Lose);
        let agent = cast.agent(thin);
        let node = cast.validator(agent, ValidatorStyle::Lazy)?;
        let strategy = cast.strategy("delegator of that one", Must::Shown);
        cast.delegator(strategy, node, DELEGATED_TO_THIN)?;
        Ok(cast)
    }

    /// Nobody to catch: honest workers, honest and lazy validators.
    pub(crate) fn without_cheats() -> Outcome<Self> {
        let mut cast = Self::honest(0)?;
        for (name, must, count, style) in [
            ("validator: lazy, approves everything unseen", Must::Lose, 4, ValidatorStyle::Lazy),
            ("validator: lazy until a segment is in doubt", Must::Lose, 2, ValidatorStyle::LazyAtFirst),
            ("validator: repeats others' votes", Must::EarnLess, 2, ValidatorStyle::Copy),
        ] {
            cast.validators_of((name, must), count, style)?;
        }
        Ok(cast)
    }

    /// Nobody to catch, and nobody who approves unseen: whoever copies an honest vote is right.
    pub(crate) fn with_copiers() -> Outcome<Self> {
        let mut cast = Self::honest(0)?;
        cast.validators_of(("validator: repeats others' votes", Must::EarnLess), 2, ValidatorStyle::Copy)?;
        Ok(cast)
    }

    fn honest(late: u64) -> Outcome<Self> {
        let mut cast = Self::default();
        let kept = WorkerStyle::Honest { lost_ppm: 0 };
        let lossy = WorkerStyle::Honest { lost_ppm: 30_000 };
        cast.workers_of(("worker: honest, fast", Must::Earn), 8, kept, (FAST, 0))?;
        cast.workers_of(("worker: honest, medium", Must::Earn), 8, kept, (MID, 0))?;
        cast.workers_of(("worker: honest, slow", Must::Earn), 8, kept, (SLOW, 0))?;
        cast.workers_of(("worker: honest, medium, loses 3 % of evidence", Must::Earn), 4, lossy, (MID, 0))?;
        cast.workers_of(("worker: honest, medium, newcomer at half time", Must::Earn), 4, kept, (MID, late))?;
        let validators = cast.strategy("validator: honest", Must::Earn);
        let delegators = cast.strategy("delegator: honest", Must::Earn);
        for _ in 0..22 {
            let agent = cast.agent(validators);
            let node = cast.validator(agent, ValidatorStyle::Honest)?;
            cast.delegator(delegators, node, DELEGATED)?;
        }
        cast.validators_of(("validator: honest, nothing delegated", Must::Earn), 2, ValidatorStyle::Honest)?;
        let gateways = cast.strategy("gateway: honest (its clients pay it elsewhere)", Must::Shown);
        for _ in 0..4 {
            let agent = cast.agent(gateways);
            cast.gateway(agent, GatewayStyle::Honest, None, 4)?;
        }
        Ok(cast)
    }

    fn cheating_workers(&mut self) -> Outcome<()> {
        let cheap = |jobs_ppm, from_jobs| WorkerStyle::Cheap { jobs_ppm, from_jobs };
        for (name, must, count, style) in [
            ("worker: cheaper model, all jobs", Must::Lose, 3, cheap(1_000_000, 0)),
            ("worker: cheaper model, 5 % of jobs", Must::Lose, 3, cheap(50_000, 0)),
            ("worker: honest for 2,000 jobs, then cheaper model", Must::Lose, 3, cheap(1_000_000, 2_000)),
            ("worker: honest for 2,000 jobs, then 2 % cheaper", Must::Lose, 3, cheap(20_000, 2_000)),
            ("worker: cuts answers short", Must::Lose, 2, WorkerStyle::Truncate),
            ("worker: silent in half of its leases", Must::Lose, 2, WorkerStyle::Silent { ppm: 500_000 }),
            ("worker: squats, answers nothing", Must::Lose, 2, WorkerStyle::Silent { ppm: 1_000_000 }),
            ("worker: takes leases and closes them", Must::Lose, 2, WorkerStyle::Grab),
            ("worker: closes to re-roll the beacon", Must::EarnLess, 2, WorkerStyle::Reroll),
            ("worker: rubbish, keeps evidence back", Must::Lose, 2, WorkerStyle::Rubbish),
            ("worker: cheaper model, keeps drawn evidence back", Must::EarnLess, 2, WorkerStyle::Withhold),
            ("worker: plants nothing, opens what ordered nothing", Must::EarnLessALease, 4, WorkerStyle::Disobey),
            ("worker: plants nothing, opens nothing", Must::Lose, 1, WorkerStyle::Closed),
        ] {
            self.workers_of((name, must), count, style, (MID, 0))?;
        }
        Ok(())
    }

    /// Several nodes of one hand, each with an operator of its own: so they may meet.
    fn hands(&mut self) -> Outcome<()> {
        let kept = WorkerStyle::Honest { lost_ppm: 0 };
        // Each hand's context is out of reach of the others' workers, or its price too low for them.
        let own = |price: u64, context_tokens: u32| OfferTerms {
            slots: OFFER_SLOTS,
            price: Price {
                prompt_token: Amount::from_nano(PRICE.prompt_token.nano() * price),
                completion_token: Amount::from_nano(PRICE.completion_token.nano() * price),
            },
            context_tokens,
            batches: true,
        };
        let strategy = self.strategy("hand: gateway buys from its worker for emission", Must::Lose);
        let agent = self.agent(strategy);
        let worker = self.worker(agent, kept, MID, 0)?;
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.offer = own(OWN_PRICE, 2 * OWN_CONTEXT);
        }
        self.gateway(agent, GatewayStyle::SelfDeal, Some(worker), 25)?;

        let strategy = self.strategy("hand: gateway closes until its worker is drawn", Must::Lose);
        let agent = self.agent(strategy);
        let worker = self.worker(agent, kept, MID, 0)?;
        // A nano-IFR too dear for everyone else's tasks: it serves no one but its own hand.
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.offer.price.prompt_token = PRICE.prompt_token.add(Amount::from_nano(1))?;
        }
        self.gateway(agent, GatewayStyle::Reroll, Some(worker), 25)?;

        let strategy = self.strategy("hand: own worker cheats, own validator and gateway gain", Must::Lose);
        let agent = self.agent(strategy);
        let worker = self.worker(agent, WorkerStyle::Cheap { jobs_ppm: 1_000_000, from_jobs: 0 }, MID, 0)?;
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.offer = own(2, OWN_CONTEXT);
        }
        self.gateway(agent, GatewayStyle::SelfDeal, Some(worker), 25)?;
        self.validator(agent, ValidatorStyle::Honest)?;

        // Four times the hands' context, and a price above theirs: nobody else meets it.
        let strategy = self.strategy("hand: farms jackpots with gateway, worker, validator", Must::Lose);
        let agent = self.agent(strategy);
        let worker = self.worker(agent, kept, MID, 0)?;
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.offer = own(OWN_PRICE + 1, 4 * OWN_CONTEXT);
        }
        self.gateway(agent, GatewayStyle::SelfDeal, Some(worker), 25)?;
        self.validator(agent, ValidatorStyle::Farm)?;

        let strategy = self.strategy("hand: worker hides openings from its lazy validator", Must::Lose);
        let agent = self.agent(strategy);
        self.worker(agent, WorkerStyle::Shield, MID, 0)?;
        self.validator(agent, ValidatorStyle::Lazy)?;

        let strategy = self.strategy("gateway: squats, sends nothing", Must::Lose);
        let agent = self.agent(strategy);
        self.gateway(agent, GatewayStyle::Squat, None, 50)?;
        Ok(())
    }
}
