//! One block: seeds, transactions, then what happens by itself.

use crate::entries::Meta;
use crate::error::{InvalidBlock, Rejection};
use crate::money::is_duty;
use crate::state::{Due, PROTOCOL_VERSION, State};
use inferium_types::{
    Event, NodeId, SeedSignature, TaskId, TransactionBody, TransactionId, VerifiedTransaction, limits,
};
use std::collections::BTreeSet;

/// Nonces that a transaction may be ahead of its account and still be admitted to a mempool.
const NONCES_AHEAD_MAX: u64 = 256;

/// What a block brings besides its transactions.
#[derive(Debug, Clone)]
pub struct BlockEnvironment {
    /// Its height: the parent's plus one.
    pub height: u64,
    /// Its consensus view.
    pub view: u64,
    /// Its time; milliseconds.
    pub timestamp_ms: u64,
    /// Who proposed it.
    pub proposer: NodeId,
    /// Seeds of earlier views, verified by the caller, ascending by view (SPEC C4).
    pub seeds: Vec<SeedSignature>,
}

/// A block's effect.
#[derive(Debug, Clone)]
pub struct Executed {
    /// The state after it.
    pub state: State,
    /// What it decided, in order.
    pub events: Vec<Event>,
}

/// A block in the making.
#[derive(Debug)]
pub struct Assembled {
    /// What goes in, in order.
    pub transactions: Vec<VerifiedTransaction>,
    /// The effect.
    pub executed: Executed,
    /// What does not, and why.
    pub rejected: Vec<(TransactionId, Rejection)>,
}

/// Executes a block that someone proposed.
///
/// # Errors
/// [`InvalidBlock`]: no honest proposer makes such a block.
pub fn execute(
    parent: &State,
    environment: &BlockEnvironment,
    transactions: &[VerifiedTransaction],
) -> Result<Executed, InvalidBlock> {
    let mut block = Block::begin(parent, environment)?;
    let size = transactions.iter().fold(0usize, |sum, transaction| sum.saturating_add(transaction.size()));
    if transactions.len() > limits::BLOCK_TRANSACTIONS_MAX || size > limits::BLOCK_TRANSACTIONS_SIZE_MAX {
        return Err(InvalidBlock::TooLarge);
    }
    for (index, transaction) in transactions.iter().enumerate() {
        block.include(transaction).map_err(|rejection| InvalidBlock::Transaction { index, rejection })?;
    }
    Ok(block.finish())
}

/// Makes a block of those candidates that may be included, in their order.
///
/// # Errors
/// [`InvalidBlock`] when the environment does not follow the parent.
pub fn assemble(
    parent: &State,
    environment: &BlockEnvironment,
    candidates: Vec<VerifiedTransaction>,
) -> Result<Assembled, InvalidBlock> {
    let mut block = Block::begin(parent, environment)?;
    let (mut transactions, mut rejected, mut size) = (Vec::new(), Vec::new(), 0usize);
    for transaction in candidates {
        let grown = size.saturating_add(transaction.size());
        if transactions.len() >= limits::BLOCK_TRANSACTIONS_MAX || grown > limits::BLOCK_TRANSACTIONS_SIZE_MAX {
            break;
        }
        match block.include(&transaction) {
            Ok(()) => {
                size = grown;
                transactions.push(transaction);
            }
            Err(rejection) => rejected.push((transaction.id(), rejection)),
        }
    }
    Ok(Assembled { transactions, executed: block.finish(), rejected })
}

/// Says whether a mempool should keep a transaction, judged by a possibly old state.
///
/// # Errors
/// [`Rejection`]: it can never be included as things are.
pub fn admit(state: &State, transaction: &VerifiedTransaction) -> Result<(), Rejection> {
    check_size(transaction)?;
    let inner = transaction.transaction();
    let account = state.account(&inner.sender);
    let expected = account.nonce;
    if inner.nonce < expected {
        return Err(Rejection::NonceTooLow { expected, found: inner.nonce });
    }
    if inner.nonce > expected.saturating_add(NONCES_AHEAD_MAX) {
        return Err(Rejection::NonceTooHigh { expected, found: inner.nonce });
    }
    let fee = state.fee(transaction)?;
    if account.balance < fee {
        return Err(Rejection::FeeUnpayable { fee, balance: account.balance });
    }
    // Only nodes have duties: strangers can't fill a mempool for free.
    if is_duty(&inner.body) && !state.nodes.contains_key(&inner.sender) {
        return Err(Rejection::NotAllowed { expected: "a node" });
    }
    Ok(())
}

const fn check_size(transaction: &VerifiedTransaction) -> Result<(), Rejection> {
    let limit = transaction.transaction().body.size_max();
    if transaction.size() > limit {
        return Err(Rejection::TooLarge { found: transaction.size(), limit });
    }
    Ok(())
}

impl Meta {
    /// Version of the protocol that the block at `height` needs (SPEC G1).
    const fn protocol_at(&self, height: u64) -> u32 {
        match self.upgrade {
            Some((from, version)) if from <= height => version,
            Some(_) | None => self.protocol,
        }
    }
}

impl State {
    /// Says that the next block needs software that knows another protocol (SPEC G1).
    ///
    /// # Errors
    /// [`InvalidBlock::Upgrade`]: a node that runs this one must stop.
    pub fn check_protocol(&self) -> Result<(), InvalidBlock> {
        let needed = self.meta().protocol_at(self.height().saturating_add(1));
        if needed > PROTOCOL_VERSION {
            return Err(InvalidBlock::Upgrade { needed, known: PROTOCOL_VERSION });
        }
        Ok(())
    }
}

/// A block while it executes.
pub(crate) struct Block {
    pub(crate) state: State,
    pub(crate) events: Vec<Event>,
    pub(crate) height: u64,
    pub(crate) view: u64,
    pub(crate) now_ms: u64,
    included: u32,
    /// Nodes that may have lost their seats in committees, and whom nobody needs to wait for then.
    pub(crate) vacated: BTreeSet<NodeId>,
}

impl Block {
    pub(crate) fn begin(parent: &State, environment: &BlockEnvironment) -> Result<Self, InvalidBlock> {
        let meta = parent.meta();
        let expected = meta.height.saturating_add(1);
        if environment.height != expected {
            return Err(InvalidBlock::Height { expected, found: environment.height });
        }
        // SPEC G1: this software does not know what the chain decided to be from now on.
        let needed = meta.protocol_at(environment.height);
        if needed > PROTOCOL_VERSION {
            return Err(InvalidBlock::Upgrade { needed, known: PROTOCOL_VERSION });
        }
        // SPEC C3
        if environment.timestamp_ms <= meta.timestamp_ms {
            return Err(InvalidBlock::Timestamp { parent: meta.timestamp_ms, found: environment.timestamp_ms });
        }
        let mut block = Self {
            state: parent.clone(),
            events: Vec::new(),
            height: environment.height,
            view: environment.view,
            now_ms: environment.timestamp_ms,
            included: 0,
            vacated: BTreeSet::new(),
        };
        let meta = block.state.meta_mut();
        meta.height = environment.height;
        meta.view = environment.view;
        if meta.upgrade.is_some_and(|(height, _)| height <= environment.height) {
            meta.upgrade = None;
            meta.protocol = needed;
        }
        if environment.timestamp_ms.saturating_sub(meta.timestamp_ms) > meta.parameters.pause_ms {
            meta.resumed_at_ms = environment.timestamp_ms;
        }
        meta.timestamp_ms = environment.timestamp_ms;
        block.turn_epoch();
        for seed in &environment.seeds {
            block.draw_with(seed);
        }
        Ok(block)
    }

    /// Includes one transaction. On `Err` nothing changed and no block may hold it here.
    pub(crate) fn include(&mut self, transaction: &VerifiedTransaction) -> Result<(), Rejection> {
        check_size(transaction)?;
        let inner = transaction.transaction();
        let mut account = self.state.account(&inner.sender);
        let expected = account.nonce;
        if inner.nonce < expected {
            return Err(Rejection::NonceTooLow { expected, found: inner.nonce });
        }
        if inner.nonce > expected {
            return Err(Rejection::NonceTooHigh { expected, found: inner.nonce });
        }
        let fee = self.state.fee(transaction)?;
        let balance = account.balance;
        account.balance = balance.sub(fee).map_err(|_| Rejection::FeeUnpayable { fee, balance })?;
        account.nonce = expected.checked_add(1).ok_or(Rejection::Overflow)?;

        let is_duty = is_duty(&inner.body);
        let pool = self.state.meta().validator_pool.add(fee)?;
        let events = self.events.len();
        // A duty that fails changes nothing; of anything else that does, fee and nonce stay (SPEC M3).
        if is_duty {
            self.state.mark();
        }
        self.state.accounts.insert(inner.sender, account);
        if !fee.is_zero() {
            self.state.meta_mut().validator_pool = pool;
        }
        if !is_duty {
            self.state.mark();
        }
        match self.apply(transaction) {
            Ok(()) => self.state.keep(),
            Err(rejection) => {
                self.state.take_back();
                self.events.truncate(events);
                if is_duty {
                    return Err(rejection);
                }
                let (transaction, reason) = (transaction.id(), rejection.to_string());
                self.events.push(Event::TransactionFailed { transaction, reason });
            }
        }
        self.included = self.included.saturating_add(1);
        Ok(())
    }

    pub(crate) fn apply(&mut self, transaction: &VerifiedTransaction) -> Result<(), Rejection> {
        let inner = transaction.transaction();
        let sender = inner.sender;
        match &inner.body {
            TransactionBody::Transfer { to, amount } => self.state.transfer(sender, *to, *amount),
            TransactionBody::RegisterOperator { bond } => self.register_operator(sender, *bond),
            TransactionBody::RegisterNode { role, operator, operator_signature, stake } => {
                self.register_node(sender, role, *operator, operator_signature, *stake)
            }
            TransactionBody::SetUrl { url } => self.set_url(sender, url),
            TransactionBody::DeclareProfile { profile } => self.declare_profile(sender, profile),
            TransactionBody::SetOffer { profile, terms } => self.set_offer(sender, *profile, *terms),
            TransactionBody::OpenTask { terms } => self.open_task(transaction.id(), sender, *terms, self.included),
            TransactionBody::CloseLease { lease } => self.close_lease(sender, *lease),
            TransactionBody::CommitSegment { commitment } => self.commit_segment(sender, commitment),
            TransactionBody::OpenSegments { openings } => self.open_segments(sender, openings),
            TransactionBody::CommitVerdict { segment, commitment } => {
                self.commit_verdict(sender, *segment, *commitment)
            }
            TransactionBody::SubmitVerdict { segment, vote, salt } => {
                self.submit_verdict(sender, *segment, *vote, *salt)
            }
            TransactionBody::ReportStall { request } => self.report_stall(sender, request),
            TransactionBody::CertifyDelivery { stall } => self.certify_delivery(sender, *stall),
            TransactionBody::AnswerStall { stall, result } => self.answer_stall(sender, *stall, result),
            TransactionBody::ProveConflict { worker, first, second } => {
                self.prove_conflict(sender, *worker, first, second)
            }
            TransactionBody::ProveDoubleSigning { gateway, first, second } => {
                self.prove_double_signing(sender, *gateway, first, second)
            }
            TransactionBody::ProveDoubleRequest { gateway, first, second } => {
                self.prove_double_request(sender, *gateway, first, second)
            }
            TransactionBody::ProveEquivocation { validator, first, second } => {
                self.prove_equivocation(sender, *validator, first, second)
            }
            TransactionBody::Bond { node, amount } => self.bond(sender, *node, *amount),
            TransactionBody::Unbond { node, amount } => self.unbond(sender, *node, *amount),
            TransactionBody::SetCommission { commission } => self.set_commission(sender, *commission),
            TransactionBody::OpenAssessment { profile, report } => {
                self.open_assessment(transaction.id(), sender, *profile, report)
            }
            TransactionBody::OpenDispute { segment } => self.open_dispute(sender, *segment),
            TransactionBody::Propose { proposal } => self.propose(sender, proposal),
            TransactionBody::Vote { proposal, choice } => self.vote(sender, *proposal, *choice),
            TransactionBody::PublishAgent { name, terms } => self.publish_agent(sender, name, terms),
            TransactionBody::UpdateAgent { agent, terms } => self.update_agent(sender, *agent, terms),
            TransactionBody::RetireAgent { agent, stop_spending } => self.retire_agent(sender, *agent, *stop_spending),
            TransactionBody::OpenRun { terms } => {
                self.open_run(TaskId::new(transaction.id().digest()), sender, terms, self.included)
            }
            TransactionBody::SpendAsAgent { spend } => {
                self.spend_as_agent(TaskId::new(transaction.id().digest()), sender, spend, self.included)
            }
            TransactionBody::OpenChallenge { terms } => self.open_challenge(sender, terms),
            TransactionBody::ShowTrace { segment, challenger, shown } => {
                self.show_trace(sender, (*segment, *challenger), shown)
            }
            TransactionBody::AskTrace { segment, index } => self.ask_trace(sender, *segment, *index),
            TransactionBody::RefuteTrace { segment, refutation } => self.refute_trace(sender, *segment, refutation),
        }
    }

    /// Handles what is due and matches tasks with offers, each within its budget (SPEC C9).
    fn finish(mut self) -> Executed {
        let budget = usize::try_from(self.state.meta().parameters.queue_work_max).unwrap_or(usize::MAX);
        let due: Vec<Due> = self
            .state
            .due
            .keys()
            .take_while(|(at_ms, _)| *at_ms <= self.now_ms)
            .take(budget)
            .map(|(_, item)| *item)
            .collect();
        for item in due {
            match item {
                Due::Task(id) => self.expire_task(id),
                Due::Lease(id) => self.advance_lease(id),
                Due::Segment(id) => self.advance_segment(id),
                Due::Stall(id) => self.advance_stall(id),
                Due::Hold(id) => self.release_hold(id),
                Due::Unbonding(id) => self.mature(id),
                Due::Capability(id) => self.advance_capability(id),
                Due::Proposal(id) => self.advance_proposal(id),
                Due::Run(id) => self.remove_run(id),
                Due::Challenge(key) => self.advance_challenge(key),
            }
        }
        self.go_on_without_vacated();
        self.pay_emission(budget);
        self.match_tasks(budget);
        Executed { state: self.state, events: self.events }
    }
}

#[cfg(test)]
impl Block {
    /// Why a transaction that was charged already is refused: the event says it in words only.
    pub(crate) fn refusal(
        charged: &State,
        environment: &BlockEnvironment,
        transaction: &VerifiedTransaction,
    ) -> Option<Rejection> {
        Self::begin(charged, environment).ok()?.apply(transaction).err()
    }
}
