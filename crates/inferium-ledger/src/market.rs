//! Who may be drawn for the tasks of a profile: free offers in a tree of sums, so that a draw among
//! ten thousand looks at few of them (SPEC T5).

use crate::State;
use crate::entries::{Offer, Task};
use crate::state::Needs;
use inferium_types::{AccountId, Amount, Digest, NodeId, OfferTerms, Price, ProfileId, Tier};

/// Draws in a row, per eligible worker, after which one is served next. All others may be due at
/// once and are served one by one, so that 3 keeps everyone within the 4 of SPEC T5.
const PASSED_OVER_MAX: u64 = 3;
/// Share of draws that ignore priority, in percent (SPEC T5).
const UNIFORM_PERCENT: u64 = 5;

/// All tiers, ascending.
pub(crate) const TIERS: [Tier; 3] = [Tier::Low, Tier::Mid, Tier::High];

/// What offers have, or the best or worst that any of several has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    slots: u32,
    context_tokens: u32,
    price: Price,
    takes_batches: bool,
    /// Room for what runs put at stake (SPEC A2).
    cover: Amount,
}

impl Bounds {
    /// Of an offer, whatever its worker answers for already.
    pub(crate) const fn of(offer: &Offer) -> Self {
        let OfferTerms { price, context_tokens, batches, .. } = offer.terms;
        let cover = Amount::from_nano(u64::MAX);
        Self { slots: offer.slots_free(), context_tokens, price, takes_batches: batches, cover }
    }

    /// Whichever of both is better for a task, in each respect.
    pub(crate) fn best(self, other: Self) -> Self {
        Self {
            slots: self.slots.max(other.slots),
            context_tokens: self.context_tokens.max(other.context_tokens),
            price: Price {
                prompt_token: self.price.prompt_token.min(other.price.prompt_token),
                completion_token: self.price.completion_token.min(other.price.completion_token),
            },
            takes_batches: self.takes_batches || other.takes_batches,
            cover: self.cover.max(other.cover),
        }
    }

    fn worst(self, other: Self) -> Self {
        Self {
            slots: self.slots.min(other.slots),
            context_tokens: self.context_tokens.min(other.context_tokens),
            price: Price {
                prompt_token: self.price.prompt_token.max(other.price.prompt_token),
                completion_token: self.price.completion_token.max(other.price.completion_token),
            },
            takes_batches: self.takes_batches && other.takes_batches,
            cover: self.cover.min(other.cover),
        }
    }

    pub(crate) fn fits(&self, needs: &Needs) -> bool {
        let takes_kind = self.takes_batches || !needs.is_batch;
        let has_room = self.slots >= needs.slots && self.context_tokens >= needs.context_tokens;
        takes_kind && has_room && self.price.within(&needs.price_max) && self.cover >= needs.cover
    }
}

/// A worker whose offer has a free slot, and whom nothing keeps from working.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    worker: NodeId,
    operator: AccountId,
    /// Adaptive priority; parts per million.
    weight: u64,
    has: Bounds,
    /// Draws of its tier when it began to wait.
    waits_from: u64,
    /// Slots that it was given in this block.
    taken: u32,
}

/// Some candidates in sum.
#[derive(Debug, Clone, Copy)]
struct Sum {
    count: u64,
    weight: u64,
    best: Bounds,
    worst: Bounds,
    /// Who waits for longest: since when, and its place.
    oldest: (u64, usize),
}

impl Sum {
    const NONE: Self = {
        const NOTHING: Bounds = Bounds {
            slots: 0,
            context_tokens: 0,
            price: Price { prompt_token: Amount::ZERO, completion_token: Amount::ZERO },
            takes_batches: false,
            cover: Amount::ZERO,
        };
        Self { count: 0, weight: 0, best: NOTHING, worst: NOTHING, oldest: (u64::MAX, usize::MAX) }
    };

    const fn of(candidate: &Candidate, place: usize) -> Self {
        let (weight, has) = (candidate.weight, candidate.has);
        Self { count: 1, weight, best: has, worst: has, oldest: (candidate.waits_from, place) }
    }

    fn with(self, other: Self) -> Self {
        if self.count == 0 {
            return other;
        }
        if other.count == 0 {
            return self;
        }
        Self {
            count: self.count.saturating_add(other.count),
            weight: self.weight.saturating_add(other.weight),
            best: self.best.best(other.best),
            worst: self.worst.worst(other.worst),
            oldest: self.oldest.min(other.oldest),
        }
    }

    const fn measure(&self, is_uniform: bool) -> u64 {
        if is_uniform { self.count } else { self.weight }
    }
}

/// The candidates of one tier. Those alike are neighbours, so that what fits a task is few stretches.
#[derive(Debug, Clone, Default)]
struct Lot {
    candidates: Vec<Candidate>,
    /// A complete binary tree, its root at 1, the first leaf in the middle: what each node's leaves
    /// are in sum.
    sums: Vec<Sum>,
    /// Places by operator, ascending.
    operators: Vec<(AccountId, usize)>,
    /// Whose candidates are left out.
    without: Option<AccountId>,
}

impl Lot {
    fn new(mut candidates: Vec<Candidate>) -> Self {
        let alike = |of: &Candidate| {
            let Bounds { context_tokens, price, .. } = of.has;
            (context_tokens, price.completion_token, price.prompt_token, of.worker)
        };
        candidates.sort_unstable_by_key(alike);
        let width = candidates.len().next_power_of_two();
        let mut sums = vec![Sum::NONE; width];
        sums.extend(candidates.iter().enumerate().map(|(place, candidate)| Sum::of(candidate, place)));
        sums.resize(width.saturating_mul(2), Sum::NONE);
        let mut operators: Vec<_> = candidates.iter().enumerate().map(|(place, of)| (of.operator, place)).collect();
        operators.sort_unstable();
        let mut lot = Self { candidates, sums, operators, without: None };
        for at in (1..width).rev() {
            lot.add_up(at);
        }
        lot
    }

    fn sum(&self, at: usize) -> Sum {
        self.sums.get(at).copied().unwrap_or(Sum::NONE)
    }

    fn add_up(&mut self, at: usize) {
        let left = at.saturating_mul(2);
        let sum = self.sum(left).with(self.sum(left.saturating_add(1)));
        if let Some(slot) = self.sums.get_mut(at) {
            *slot = sum;
        }
    }

    /// Where the leaf of the first place is.
    const fn width(&self) -> usize {
        self.sums.len().div_ceil(2)
    }

    /// Sums up again what one candidate is part of.
    fn refresh(&mut self, place: usize) {
        let Some(candidate) = self.candidates.get(place) else { return };
        let is_in = candidate.has.slots > 0 && Some(candidate.operator) != self.without;
        let sum = if is_in { Sum::of(candidate, place) } else { Sum::NONE };
        let mut at = self.width().saturating_add(place);
        if let Some(slot) = self.sums.get_mut(at) {
            *slot = sum;
        }
        while at > 1 {
            at = at.div_euclid(2);
            self.add_up(at);
        }
    }

    /// Leaves out whom this operator answers for, and no one else (SPEC N6).
    fn leave_out(&mut self, operator: Option<AccountId>) {
        if operator == self.without {
            return;
        }
        let before = std::mem::replace(&mut self.without, operator);
        for operator in [before, operator].into_iter().flatten() {
            let from = self.operators.partition_point(|(of, _)| *of < operator);
            let places: Vec<usize> = self
                .operators
                .iter()
                .skip(from)
                .take_while(|(of, _)| *of == operator)
                .map(|(_, place)| *place)
                .collect();
            for place in places {
                self.refresh(place);
            }
        }
    }

    /// Candidates below a node that a task fits, in sum.
    fn fitting(&self, at: usize, needs: &Needs) -> Sum {
        let sum = self.sum(at);
        if sum.count == 0 || !sum.best.fits(needs) {
            return Sum::NONE;
        }
        // A leaf's best is its worst, so that this ends.
        if sum.worst.fits(needs) {
            return sum;
        }
        let left = at.saturating_mul(2);
        self.fitting(left, needs).with(self.fitting(left.saturating_add(1), needs))
    }

    /// The place at which the sum over fitting candidates passes `rest`.
    fn at_sum(&self, needs: &Needs, is_uniform: bool, mut rest: u64) -> Option<usize> {
        let (width, mut at) = (self.width(), 1usize);
        while at < width {
            at = at.saturating_mul(2);
            let left = self.fitting(at, needs).measure(is_uniform);
            if let Some(beyond) = rest.checked_sub(left) {
                rest = beyond;
                at = at.saturating_add(1);
            }
        }
        at.checked_sub(width)
    }
}

/// Where a candidate stands: its tier's index, and its place there.
type Place = (usize, usize);

/// The candidates of one profile, as the block goes on.
#[derive(Debug, Clone)]
pub(crate) struct Market {
    /// By tier.
    lots: [Lot; 3],
    /// Draws so far that workers of each tier took part in.
    draws: [u64; 3],
}

impl Market {
    /// Everyone with a free slot whom nothing keeps from working: what depends on the task is left to the draw.
    pub(crate) fn of(state: &State, profile: ProfileId) -> Self {
        let mut candidates: [Vec<Candidate>; 3] = Default::default();
        for (worker, offer) in offers_of(state, profile).filter(|(_, offer)| offer.slots_free() > 0) {
            let Some((operator, tier, score)) = state.at_work(worker) else { continue };
            if state.is_barred_from(worker, profile) {
                continue;
            }
            let weight = state.priority_at(state.percentile_of(score), worker, profile);
            let has = Bounds { cover: state.cover_left(worker), ..Bounds::of(&offer) };
            let candidate = Candidate { worker, operator, weight, has, waits_from: offer.waits_from, taken: 0 };
            if let Some(of_tier) = candidates.get_mut(tier_index(tier)) {
                of_tier.push(candidate);
            }
        }
        Self { lots: candidates.map(Lot::new), draws: state.draws_of(profile) }
    }

    pub(crate) const fn draws(&self) -> [u64; 3] {
        self.draws
    }

    /// SPEC T5: a weighted draw by priority, some of them uniform, and no one passed over for long.
    pub(crate) fn choose(
        &mut self,
        state: &State,
        task: &Task,
        needs: &Needs,
        draw: impl FnOnce() -> Digest,
    ) -> Option<Place> {
        let requester = state.operator_of(&task.requester);
        let mut eligible = Sum::NONE;
        let mut sums = [Sum::NONE; 3];
        let mut overdue: Option<(u64, Place)> = None;
        for (index, _) in TIERS.into_iter().enumerate().filter(|(_, tier)| state.serves(*tier, task)) {
            let (Some(lot), Some(draws)) = (self.lots.get_mut(index), self.draws.get(index)) else { continue };
            lot.leave_out(requester);
            let sum = lot.fitting(1, needs);
            let (from, place) = sum.oldest;
            let waited = draws.saturating_sub(from);
            if sum.count > 0 && overdue.is_none_or(|(longest, _)| waited > longest) {
                overdue = Some((waited, (index, place)));
            }
            eligible = eligible.with(sum);
            if let Some(slot) = sums.get_mut(index) {
                *slot = sum;
            }
        }
        let (waited, oldest) = overdue?;
        if waited >= eligible.count.saturating_mul(PASSED_OVER_MAX) {
            return Some(oldest);
        }
        let draw = draw();
        let lane = Digest::of("inferium/match-lane/1", &[draw.as_bytes()]);
        let is_uniform = lane.draw(100) < UNIFORM_PERCENT;
        let mut rest = draw.draw(eligible.measure(is_uniform));
        for (index, (lot, sum)) in self.lots.iter().zip(sums).enumerate() {
            match rest.checked_sub(sum.measure(is_uniform)) {
                Some(beyond) => rest = beyond,
                None => return lot.at_sum(needs, is_uniform, rest).map(|place| (index, place)),
            }
        }
        None
    }

    /// A draw among those who may serve the task is over, and one of them has it: who, and its price.
    pub(crate) fn serve(
        &mut self,
        state: &State,
        task: &Task,
        needs: &Needs,
        (index, place): Place,
    ) -> Option<(NodeId, Price)> {
        for (draws, tier) in self.draws.iter_mut().zip(TIERS) {
            if state.serves(tier, task) {
                *draws = draws.saturating_add(1);
            }
        }
        let waits_from = *self.draws.get(index)?;
        let lot = self.lots.get_mut(index)?;
        let candidate = lot.candidates.get_mut(place)?;
        candidate.has.slots = candidate.has.slots.saturating_sub(needs.slots);
        candidate.has.cover = candidate.has.cover.sub(needs.cover).unwrap_or(Amount::ZERO);
        candidate.taken = candidate.taken.saturating_add(needs.slots);
        candidate.waits_from = waits_from;
        let served = (candidate.worker, candidate.has.price);
        lot.refresh(place);
        Some(served)
    }

    /// Those who were served: the slots that they were given, and from where they wait.
    pub(crate) fn served(&self) -> impl Iterator<Item = (NodeId, u32, u64)> + '_ {
        let all = self.lots.iter().flat_map(|lot| &lot.candidates);
        all.filter(|of| of.taken > 0).map(|of| (of.worker, of.taken, of.waits_from))
    }
}

pub(crate) fn offers_of(state: &State, profile: ProfileId) -> impl Iterator<Item = (NodeId, Offer)> + '_ {
    state
        .offers
        .range((profile, NodeId::from_bytes([0; 32]))..)
        .take_while(move |((of, _), _)| *of == profile)
        .map(|((_, worker), offer)| (*worker, *offer))
}

pub(crate) const fn tier_index(tier: Tier) -> usize {
    match tier {
        Tier::Low => 0,
        Tier::Mid => 1,
        Tier::High => 2,
    }
}

impl State {
    /// Draws of a profile so far that workers of each tier took part in (SPEC T5).
    pub(crate) fn draws_of(&self, profile: ProfileId) -> [u64; 3] {
        self.profiles.get(&profile).map_or([0; 3], |entry| entry.draws)
    }

    /// Draws of a profile so far that workers of this one's tier took part in: from where one waits
    /// that begins to now.
    pub(crate) fn draws_for(&self, worker: NodeId, profile: ProfileId) -> u64 {
        let tier = self.capabilities.get(&worker).and_then(|capability| capability.tier);
        tier.and_then(|tier| self.draws_of(profile).get(tier_index(tier)).copied()).unwrap_or(0)
    }

    /// Draws in a row that passed a worker over: those of its tier since it was served last, or
    /// began to wait (SPEC T5).
    #[must_use]
    pub fn passed_over(&self, worker: NodeId, profile: ProfileId) -> u64 {
        let offer = self.offers.get(&(profile, worker)).filter(|offer| offer.slots_free() > 0);
        offer.map_or(0, |offer| self.draws_for(worker, profile).saturating_sub(offer.waits_from))
    }
}
