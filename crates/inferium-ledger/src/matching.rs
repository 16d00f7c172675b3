//! Matching: open tasks meet standing offers at the end of every block (SPEC T4, T5).

use crate::entries::QueuePlace;
use crate::execute::Block;
use crate::market::{Bounds, Market};
use crate::state::{Needs, State, TaskRank};
use inferium_types::{Amount, Digest, ProfileId, TaskId, TaskKind};
use std::collections::BTreeMap;

/// The free offers of a profile.
struct Room {
    /// The best that any of them has: a task beyond it needs no closer look.
    best: Bounds,
    /// Made for the first task that may fit.
    market: Option<Market>,
}

impl Block {
    /// SPEC T4, T5: open tasks meet standing offers, best price first, then oldest.
    ///
    /// Looks at `budget` tasks (SPEC C9): half of them at the head of the queues, shared among the
    /// profiles that have room; the other half from where the last block stopped, so that tasks
    /// that nobody can serve keep no others from being looked at.
    pub(crate) fn match_tasks(&mut self, budget: usize) {
        let mut rooms = self.rooms();
        if rooms.is_empty() {
            return;
        }
        let half = budget.div_ceil(2);
        let per_profile = half.checked_div(rooms.len()).unwrap_or(0).max(1);
        let mut ends = Vec::new();
        for (profile, room) in &mut rooms {
            let head: Vec<(TaskRank, Needs)> = queue_of(&self.state, *profile).take(per_profile).collect();
            let is_whole = head.len() < per_profile;
            ends.extend(head.last().filter(|_| !is_whole).map(|(rank, _)| *rank));
            for (rank, needs) in head {
                self.match_task(&rank, &needs, room);
            }
        }
        let from = self.state.meta().match_from.map(TaskRank::from);
        // Without a place to go on from, all that the heads did not reach comes next.
        if let Some(from) = from.or_else(|| ends.first().copied()) {
            let rest = self.state.queue.range(from..).map(|(rank, needs)| (*rank, *needs));
            let rest: Vec<(TaskRank, Needs)> = rest.take(half.saturating_add(1)).collect();
            let next = rest.get(half).map(|(rank, _)| *rank);
            for (rank, needs) in rest.iter().take(half) {
                if let Some(room) = rooms.get_mut(&rank.0) {
                    self.match_task(rank, needs, room);
                }
            }
            self.state.meta_mut().match_from = next.map(QueuePlace::from);
        }
        self.write_draws(&rooms);
    }

    fn rooms(&self) -> BTreeMap<ProfileId, Room> {
        let mut rooms: BTreeMap<ProfileId, Room> = BTreeMap::new();
        for ((profile, _), offer) in self.state.offers.iter().filter(|(_, offer)| offer.slots_free() > 0) {
            let has = Bounds::of(offer);
            let room = rooms.entry(*profile).or_insert(Room { best: has, market: None });
            room.best = room.best.best(has);
        }
        rooms
    }

    fn match_task(&mut self, rank: &TaskRank, needs: &Needs, room: &mut Room) {
        if !room.best.fits(needs) {
            return;
        }
        let (profile, id) = (rank.0, rank.3);
        let Some(task) = self.state.tasks.get(&id).copied() else { return };
        // SPEC V12: several tasks may have waited for the last openings.
        if self.state.openings_left(profile) == Some(0) {
            return;
        }
        let market = room.market.get_or_insert_with(|| Market::of(&self.state, profile));
        let draw = || draw_of(&self.state, id);
        let Some(place) = market.choose(&self.state, &task, needs, draw) else { return };
        let Some((worker, offered)) = market.serve(&self.state, &task, needs, place) else { return };
        // SPEC A2: a host says for how much at least it runs agents; the price is the agent's.
        let price = match task.terms.kind {
            TaskKind::Agent => task.terms.price_max,
            kind => self.state.price_of(profile, kind, offered),
        };
        self.state.set_task(id, None);
        if self.state.openings_left(profile).is_some()
            && let Some(entry) = self.state.profiles.get_mut(&profile)
        {
            entry.openings_spent = entry.openings_spent.saturating_add(task.terms.jobs_max);
        }
        self.begin_lease(id, worker, task.requester, task.terms, price, task.escrow);
    }

    /// Writes what the draws did to offers, and how many there were: what waiting is measured by.
    fn write_draws(&mut self, rooms: &BTreeMap<ProfileId, Room>) {
        for (profile, room) in rooms {
            let Some(market) = &room.market else { continue };
            for (worker, taken, waits_from) in market.served() {
                if let Some(offer) = self.state.offers.get_mut(&(*profile, worker)) {
                    offer.slots_used = offer.slots_used.saturating_add(taken);
                    offer.waits_from = waits_from;
                }
            }
            if market.draws() != self.state.draws_of(*profile)
                && let Some(entry) = self.state.profiles.get_mut(profile)
            {
                entry.draws = market.draws();
            }
        }
    }
}

/// What decides who gets a task.
fn draw_of(state: &State, task: TaskId) -> Digest {
    Digest::of("inferium/match/1", &[state.meta().beacon.as_bytes(), task.digest().as_bytes()])
}

/// Open tasks of a profile, in the order in which they are served.
fn queue_of(state: &State, profile: ProfileId) -> impl Iterator<Item = (TaskRank, Needs)> + '_ {
    let first = (profile, std::cmp::Reverse(Amount::from_nano(u64::MAX)), (0, 0), TaskId::new(Digest::ZERO));
    state.queue.range(first..).map(|(rank, needs)| (*rank, *needs)).take_while(move |(rank, _)| rank.0 == profile)
}
