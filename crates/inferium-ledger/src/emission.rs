//! Emission: what the reward pool adds to proven work (SPEC M6), and what validators share (M5).
//!
//! The schedule halves with time; work decides who gets its part of an epoch's increment, and a
//! part of the fees paid decides how much at most. So no work earns nothing, and buying from
//! oneself loses.

use crate::entries::{EpochReward, EpochWork};
use crate::execute::Block;
use inferium_types::{Amount, Event, NodeId, Ppm};

/// 2^(-1/2^k) in 64 binary places, for k = 1 to 32.
const ROOTS: [u64; 32] = roots();

/// What is left of `amount` after `elapsed_ms`, when half of it goes every `half_life_ms`; to the
/// nearest, in integers that are the same on every machine.
pub(crate) fn decayed(amount: u64, elapsed_ms: u64, half_life_ms: u64) -> u64 {
    if amount == 0 {
        return 0;
    }
    let Some(halvings) = elapsed_ms.checked_div(half_life_ms) else { return 0 };
    // The fraction of a half-life in 32 binary places; each set bit is one root.
    let rest = u128::from(elapsed_ms.checked_rem(half_life_ms).unwrap_or(0));
    let fraction = rest.checked_shl(32).and_then(|rest| rest.checked_div(half_life_ms.into())).unwrap_or(0);
    let mut factor = ONE;
    let mut bit = 1u128 << 31;
    for root in ROOTS {
        if fraction & bit != 0 {
            factor = factor.saturating_mul(root.into()) >> 64;
        }
        bit >>= 1;
    }
    let factor = u32::try_from(halvings).ok().and_then(|halvings| factor.checked_shr(halvings)).unwrap_or(0);
    let left = u128::from(amount).saturating_mul(factor).saturating_add(ONE >> 1) >> 64;
    u64::try_from(left).unwrap_or(amount).min(amount)
}

/// One in 64 binary places.
const ONE: u128 = 1 << 64;

/// Square roots of one half, each the root of the one before, by Newton's method on 128 bits.
#[expect(clippy::arithmetic_side_effects, clippy::as_conversions, reason = "constants: a fault would stop the build")]
const fn roots() -> [u64; 32] {
    let mut roots = [0u64; 32];
    let mut last = 1u64 << 63;
    let mut index = 0;
    while index < roots.len() {
        last = isqrt((last as u128) << 64);
        #[expect(clippy::indexing_slicing, reason = "the index is below the length")]
        {
            roots[index] = last;
        }
        index += 1;
    }
    roots
}

#[expect(clippy::as_conversions, reason = "constants: a fault would stop the build")]
const fn isqrt(number: u128) -> u64 {
    number.isqrt() as u64
}

impl Block {
    /// Starts a new ledger epoch when its time has come (SPEC C5), shares out what validators
    /// earned in common (M5), and fixes what the work of the last one emits at most (M6).
    pub(crate) fn turn_epoch(&mut self) {
        let meta = self.state.meta();
        let (epoch, started_ms, epoch_ms) = (meta.epoch, meta.epoch_started_ms, meta.parameters.epoch_ms);
        let elapsed = self.now_ms.saturating_sub(started_ms).checked_div(epoch_ms).unwrap_or(0);
        if elapsed == 0 {
            return;
        }
        let ended_ms = started_ms.saturating_add(elapsed.saturating_mul(epoch_ms));
        self.share_fees(epoch);
        self.fix_emission(epoch, started_ms, ended_ms);
        let meta = self.state.meta_mut();
        // Epochs are spans of time: none starts late because a block did.
        meta.epoch = epoch.saturating_add(elapsed);
        meta.epoch_started_ms = ended_ms;
    }

    fn share_fees(&mut self, epoch: u64) {
        let validators: Vec<NodeId> = self
            .state
            .nodes
            .iter()
            .filter(|(_, node)| node.is_validator() && node.is_active(epoch))
            .map(|(id, _)| *id)
            .collect();
        let pool = self.state.meta().validator_pool;
        let part = pool.split(u64::try_from(validators.len()).unwrap_or(u64::MAX));
        let mut left = pool;
        for validator in validators {
            if let Ok(rest) = left.sub(part) {
                left = rest;
                self.pay_validator(validator, part);
                if !part.is_zero() {
                    let emission = Amount::ZERO;
                    self.events.push(Event::Rewarded { node: validator, epoch, fees: part, emission });
                }
            }
        }
        self.state.meta_mut().validator_pool = left;
    }

    /// What the schedule sets free between two times, cut to what the epoch's fees allow.
    fn fix_emission(&mut self, epoch: u64, from_ms: u64, to_ms: u64) {
        let works = self.works_of(epoch);
        if works.is_empty() {
            return;
        }
        let meta = self.state.meta();
        let parameters = &meta.parameters;
        let (pool, began_ms) = meta.emission_from;
        let left_at = |at_ms: u64| decayed(pool.nano(), at_ms.saturating_sub(began_ms), parameters.emission_halving_ms);
        let increment = Amount::from_nano(left_at(from_ms).saturating_sub(left_at(to_ms))).min(meta.reward_pool);
        let workers = increment.share(parameters.emission_share_workers);
        let validators = increment.sub(workers).unwrap_or(Amount::ZERO);
        let fees = works.iter().fold(0u64, |sum, (_, work)| sum.saturating_add(work.fees.nano()));
        let by_fees = emission_limit(Amount::from_nano(fees), parameters.fee_share_worker, parameters.emission_fee_max);
        let for_workers = by_fees.share(parameters.emission_share_workers);
        let for_validators = by_fees.sub(for_workers).unwrap_or(Amount::ZERO);
        let reward = EpochReward {
            workers: workers.min(for_workers),
            validators: validators.min(for_validators),
            weight: works.iter().fold(0, |sum, (_, work)| sum.saturating_add(work.weight)),
            duties: works.iter().fold(0, |sum, (_, work)| sum.saturating_add(work.duties)),
        };
        self.state.epoch_rewards.insert(epoch, reward);
    }

    fn works_of(&self, epoch: u64) -> Vec<(NodeId, EpochWork)> {
        let first = (epoch, NodeId::from_bytes([0; 32]));
        let works = self.state.epoch_works.range(first..).take_while(|((of, _), _)| *of == epoch);
        works.map(|((_, node), work)| (*node, *work)).collect()
    }

    /// Pays what ended epochs emit, at most `budget` nodes in a block (SPEC C9).
    pub(crate) fn pay_emission(&mut self, budget: usize) {
        let epoch = self.state.meta().epoch;
        let due: Vec<(u64, NodeId)> =
            self.state.epoch_works.keys().take_while(|(of, _)| *of < epoch).take(budget).copied().collect();
        for (of, node) in due {
            let Some(work) = self.state.epoch_works.remove(&(of, node)) else { continue };
            if let Some(reward) = self.state.epoch_rewards.get(&of).copied() {
                self.emit(of, node, &work, &reward);
            }
        }
        let next = self.state.epoch_works.keys().next().map_or(epoch, |(of, _)| *of);
        while let Some(over) = self.state.epoch_rewards.first_key().filter(|of| *of < next) {
            self.state.epoch_rewards.remove(&over);
        }
    }

    fn emit(&mut self, epoch: u64, id: NodeId, work: &EpochWork, reward: &EpochReward) {
        let Some(node) = self.state.nodes.get(&id).filter(|node| !node.disqualified) else { return };
        let is_validator = node.is_validator();
        let meta = self.state.meta();
        let emission = if is_validator {
            reward.validators.by(work.duties.into(), reward.duties.into())
        } else {
            let parameters = &meta.parameters;
            let limit = emission_limit(work.fees, parameters.fee_share_worker, parameters.emission_fee_max);
            let of_worker = limit.share(parameters.emission_share_workers);
            reward.workers.by(work.weight, reward.weight).min(of_worker)
        };
        let emission = emission.min(meta.reward_pool);
        let Ok(left) = meta.reward_pool.sub(emission) else { return };
        if emission.is_zero() {
            return;
        }
        self.state.meta_mut().reward_pool = left;
        if is_validator {
            self.pay_validator(id, emission);
        } else {
            self.state.pay(id, emission);
        }
        self.events.push(Event::Rewarded { node: id, epoch, fees: Amount::ZERO, emission });
    }

    /// Notes a settled fee as the worker's work of this epoch.
    pub(crate) fn count_work(&mut self, worker: NodeId, fee: Amount, priority: u64) {
        let weight = u128::from(fee.nano()).saturating_mul(priority.into());
        self.add_work(worker, EpochWork { fees: fee, weight, duties: 0 });
    }

    /// Notes verdicts that agreed with the outcome.
    pub(crate) fn count_duty(&mut self, validator: NodeId) {
        self.add_work(validator, EpochWork { duties: 1, ..EpochWork::default() });
    }

    fn add_work(&mut self, node: NodeId, more: EpochWork) {
        let key = (self.state.meta().epoch, node);
        let mut work = self.state.epoch_works.get(&key).copied().unwrap_or_default();
        work.fees = work.fees.add(more.fees).unwrap_or(work.fees);
        work.weight = work.weight.saturating_add(more.weight);
        work.duties = work.duties.saturating_add(more.duties);
        self.state.epoch_works.insert(key, work);
    }
}

/// What fees may earn by emission at most: a share of the part that is not the worker's (SPEC M6).
fn emission_limit(fees: Amount, worker_share: Ppm, limit: Ppm) -> Amount {
    fees.sub(fees.share(worker_share)).unwrap_or(Amount::ZERO).share(limit)
}

#[cfg(test)]
mod tests;
