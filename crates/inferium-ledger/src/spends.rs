//! What an agent's account pays: orders of settled steps, within the policy (SPEC A3).
//!
//! Everything is checked before anything is written, here and while the block executes: who sends, that the step was
//! settled and ordered just this, that it was not spent before, and that the policy pinned by the run and the one in force
//! now both allow it.

use crate::Rejection;
use crate::entries::{Agent, Run};
use crate::execute::Block;
use inferium_types::{AccountId, AgentSpend, Amount, Event, NodeId, SpendOrder, TaskId};

impl Block {
    pub(crate) fn spend_as_agent(
        &mut self,
        id: TaskId,
        sender: NodeId,
        spend: &AgentSpend,
        position: u32,
    ) -> Result<(), Rejection> {
        let run = self.state.runs.get(&spend.run).cloned().ok_or(Rejection::Unknown { what: "run" })?;
        if sender != run.gateway && Some(sender) != run.host {
            return Err(Rejection::NotAllowed { expected: "the run's host or gateway" });
        }
        if run.over {
            return Err(Rejection::WrongState { what: "a spend of a run that is over" });
        }
        let settled = usize::try_from(spend.segment).ok().and_then(|index| run.settled.get(index));
        let root = settled.ok_or(Rejection::Unknown { what: "settled segment of the run" })?;
        if !spend.proves(root) {
            return Err(Rejection::Evidence { why: "no step of the segment ordered this" });
        }
        let citation = (spend.segment, spend.step_path.index, spend.call_path.index);
        let Err(place) = run.cited.binary_search(&citation) else {
            return Err(Rejection::Exists { what: "spend" });
        };
        if run.cited.len() >= usize::try_from(run.limits.tool_calls).unwrap_or(usize::MAX) {
            return Err(Rejection::OutOfBounds { field: "tool_calls" });
        }
        let agent = self.state.agents.get(&run.agent).ok_or(Rejection::Unknown { what: "agent" })?;
        let (account, to) = (run.agent.account(), spend.order.recipient());
        self.check_recipient(&run, agent, account, to)?;
        // A hired run's cost follows from its terms, so that it locks before it is known; a failed transaction is taken back.
        let (amount, hired) = match &spend.order {
            SpendOrder::Pay { to, amount } => {
                check_amount(*amount)?;
                self.state.transfer(account, *to, *amount)?;
                (*amount, None)
            }
            SpendOrder::Hire { run: terms } => {
                self.check_requester(run.gateway)?;
                let (hired, escrow) = self.begin_run(id, run.gateway, Some(run.agent), terms, position)?;
                (escrow, Some(hired))
            }
        };
        self.count_spend(spend, amount, (citation, place))?;
        let (run, agent) = (spend.run, run.agent);
        self.events.push(Event::AgentSpent { run, agent, citation, to, amount, hired });
        Ok(())
    }

    /// Whom both policies let it pay, and until when.
    fn check_recipient(&self, run: &Run, agent: &Agent, from: AccountId, to: AccountId) -> Result<(), Rejection> {
        if to == from {
            return Err(Rejection::OutOfBounds { field: "to" });
        }
        for policy in [&run.policy, agent.policy_at(self.now_ms)] {
            if self.now_ms >= policy.expires_at_ms {
                return Err(Rejection::Policy { what: "spends after it expired" });
            }
            if !policy.recipients.contains(&to) {
                return Err(Rejection::Policy { what: "this recipient" });
            }
        }
        Ok(())
    }

    /// Counts the amount against the caps of both policies. What a hired run gives back is not counted back.
    fn count_spend(
        &mut self,
        spend: &AgentSpend,
        amount: Amount,
        (citation, place): ((u32, u64, u64), usize),
    ) -> Result<(), Rejection> {
        // Read anew: hiring has counted a run.
        let mut run = self.state.runs.get(&spend.run).cloned().ok_or(Rejection::Unknown { what: "run" })?;
        let id = run.agent;
        let mut agent = self.state.agents.get(&id).cloned().ok_or(Rejection::Unknown { what: "agent" })?;
        let (day, today) = agent.spent_at(self.now_ms);
        let (of_run, of_day) = (run.spent.add(amount)?, today.add(amount)?);
        for policy in [&run.policy, agent.policy_at(self.now_ms)] {
            for (cap, limit, found) in [("run", policy.per_run, of_run), ("day", policy.per_day, of_day)] {
                if found > limit {
                    return Err(Rejection::PolicyCap { cap, limit, found });
                }
            }
        }
        run.spent = of_run;
        run.cited.insert(place, citation);
        agent.spent = (day, of_day);
        self.state.agents.insert(id, agent);
        self.state.set_run(spend.run, Some(run));
        Ok(())
    }
}

const fn check_amount(amount: Amount) -> Result<(), Rejection> {
    if amount.is_zero() {
        return Err(Rejection::OutOfBounds { field: "amount" });
    }
    Ok(())
}
