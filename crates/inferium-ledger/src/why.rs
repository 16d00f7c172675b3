//! Why a task waits, a node gets no work, or a segment is not final yet (SPEC T8).
//!
//! Matching asks the same question of each worker that a person would: what is in the way? So the
//! answer given here is the one that decided.

use crate::State;
use crate::entries::{Ballot, Node, Offer, Phase, SegmentState, Stage, Task};
use crate::state::Needs;
use inferium_types::{AccountId, Amount, NodeId, SegmentId, Suspicion, TaskId, Tier};
use std::fmt;

/// What keeps a worker from a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Too few of its slots are free.
    Slots {
        /// Free ones.
        free: u32,
        /// Those that the task takes.
        needed: u32,
    },
    /// It asks for more.
    Price,
    /// It takes no batches.
    NoBatches,
    /// Its stake leaves too little room for what the run puts at stake (SPEC A2).
    Cover {
        /// Room that is left.
        left: Amount,
        /// What is at stake.
        needed: Amount,
    },
    /// Its measured context is too short.
    Context {
        /// Tokens that it can hold.
        has: u32,
        /// Tokens that the task may need.
        needed: u32,
    },
    /// Barred for ever, itself or its operator.
    Barred,
    /// Jailed.
    Jailed {
        /// First epoch in which it may work again.
        until: u64,
    },
    /// It registered after the seed that would draw it (SPEC N1).
    TooYoung,
    /// Slashes left too little stake to answer with.
    Stake {
        /// What is left.
        left: Amount,
    },
    /// Its operator is the requester's, too (SPEC N6).
    SameOperator,
    /// Its statistics barred it from the profile for ever (SPEC V7).
    Convicted,
    /// Its machine was not measured (SPEC N2).
    Unmeasured,
    /// Its measured tier is too low.
    TierTooLow {
        /// Its tier.
        tier: Tier,
    },
    /// Its tier is higher, and the task not starving yet (SPEC N3).
    TierTooHigh {
        /// Its tier.
        tier: Tier,
    },
}

impl Obstacle {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Slots { .. } => "slots",
            Self::Price => "price",
            Self::NoBatches => "no_batches",
            Self::Cover { .. } => "cover",
            Self::Context { .. } => "context",
            Self::Barred => "barred",
            Self::Jailed { .. } => "jailed",
            Self::TooYoung => "too_young",
            Self::Stake { .. } => "stake",
            Self::SameOperator => "same_operator",
            Self::Convicted => "convicted",
            Self::Unmeasured => "unmeasured",
            Self::TierTooLow { .. } => "tier_too_low",
            Self::TierTooHigh { .. } => "tier_too_high",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slots { free, needed } => write!(f, "{free} of its slots are free, the task takes {needed}"),
            Self::NoBatches => f.write_str("it takes no batches"),
            Self::Cover { left, needed } => {
                write!(f, "its stake covers {left} more, and {needed} are at stake in the run")
            }
            Self::Price => f.write_str("it asks for more than the task pays"),
            Self::Context { has, needed } => write!(f, "it holds {has} tokens of context, the task needs {needed}"),
            Self::Barred => f.write_str("it or its operator is disqualified for ever"),
            Self::Jailed { until } => write!(f, "it is jailed until epoch {until}"),
            Self::TooYoung => f.write_str("it registered after the seed that would draw it"),
            Self::Stake { left } => write!(f, "slashes left it {left} of stake, less than half of the least"),
            Self::SameOperator => f.write_str("its operator is the requester's, too"),
            Self::Convicted => f.write_str("what replays of its work measured barred it from the profile for ever"),
            Self::Unmeasured => f.write_str("its machine is not measured"),
            Self::TierTooLow { tier } => write!(f, "its tier is {}, too low for the task", tier.name()),
            Self::TierTooHigh { tier } => write!(f, "its tier is {}, and the task is not starving yet", tier.name()),
        }
    }
}

/// A worker that offers the task's profile, and what keeps it from the task: nothing, if it is in
/// the next draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerWhy {
    /// Who.
    pub worker: NodeId,
    /// All that is in the way.
    pub obstacles: Vec<Obstacle>,
    /// Its weight in the draw; parts per million (SPEC R2).
    pub priority: u64,
    /// Draws in a row that passed it over (SPEC T5).
    pub passed_over: u64,
    /// What replays say of its work on the profile (SPEC V7).
    pub suspicion: Suspicion,
}

impl State {
    /// What keeps each worker that offers a task's profile from the task. `None` when no such task
    /// is open.
    #[must_use]
    pub fn why_task(&self, id: &TaskId) -> Option<Vec<WorkerWhy>> {
        let task = self.tasks.get(id)?;
        let profile = task.terms.profile;
        let of = |worker: NodeId, obstacles: Vec<Obstacle>| WorkerWhy {
            worker,
            obstacles,
            priority: self.priority(worker, profile),
            passed_over: self.passed_over(worker, profile),
            suspicion: self.suspicion(worker, profile),
        };
        let offering = crate::market::offers_of(self, profile);
        let needs = Needs::of(&task.terms, self.cover_of(*id));
        let offering =
            offering.map(|(worker, offer)| of(worker, self.obstacles(task, &needs, worker, offer).collect()));
        // Whoever was convicted offers nothing any more, and may wonder why.
        let convicted = self
            .conducts()
            .map(|(key, _)| *key)
            .filter(|(worker, of)| *of == profile && self.is_barred_from(*worker, profile));
        let convicted = convicted.map(|(worker, _)| of(worker, vec![Obstacle::Convicted]));
        Some(offering.chain(convicted).collect())
    }

    /// What is in the way of one worker's offer and a task: nothing, when it may be drawn.
    ///
    /// Matching asks the same in two steps: [`State::at_work`] once, the rest of each task.
    pub(crate) fn obstacles(
        &self,
        task: &Task,
        needs: &Needs,
        worker: NodeId,
        offer: Offer,
    ) -> impl Iterator<Item = Obstacle> {
        let requester = self.operator_of(&task.requester);
        let of_offer = offer_obstacles(needs, offer);
        let left = self.cover_left(worker);
        let cover = (left < needs.cover).then_some(Obstacle::Cover { left, needed: needs.cover });
        let (of_node, is_related) = match self.nodes.get(&worker) {
            Some(node) => (self.node_obstacles(node), Some(node.operator) == requester),
            None => ([Some(Obstacle::Barred), None, None, None], false),
        };
        // SPEC N6: never two nodes of one operator.
        let related = is_related.then_some(Obstacle::SameOperator);
        let convicted = self.is_barred_from(worker, task.terms.profile).then_some(Obstacle::Convicted);
        let of_tier = match self.tier_of(worker) {
            Some(tier) => self.tier_obstacle(task, tier),
            None => Some(Obstacle::Unmeasured),
        };
        of_offer.into_iter().chain(of_node).chain([cover, related, convicted, of_tier]).flatten()
    }

    /// Room that a worker's stake leaves for what runs put at stake (SPEC V4, A2).
    pub(crate) fn cover_left(&self, worker: NodeId) -> Amount {
        let share = self.meta().parameters.unsettled_max;
        self.nodes
            .get(&worker)
            .map_or(Amount::ZERO, |node| node.stake.share(share).sub(node.unsettled).unwrap_or(Amount::ZERO))
    }

    /// The operator, tier and score of a worker whom nothing keeps from working, whatever the task is.
    pub(crate) fn at_work(&self, worker: NodeId) -> Option<(AccountId, Tier, u64)> {
        let node = self.nodes.get(&worker)?;
        if self.node_obstacles(node).iter().any(Option::is_some) {
            return None;
        }
        let capability = self.capabilities.get(&worker)?;
        Some((node.operator, capability.tier?, capability.score))
    }

    /// True for a tier whose workers may serve the task now.
    pub(crate) fn serves(&self, tier: Tier, task: &Task) -> bool {
        self.tier_obstacle(task, tier).is_none()
    }

    fn tier_of(&self, worker: NodeId) -> Option<Tier> {
        self.capabilities.get(&worker).and_then(|capability| capability.tier)
    }

    fn node_obstacles(&self, node: &Node) -> [Option<Obstacle>; 4] {
        let meta = self.meta();
        let is_barred = node.disqualified || self.operators.get(&node.operator).is_none_or(|entry| entry.barred);
        let jailed = node.active_from_epoch > meta.epoch;
        // A worker that lost half of the least stake has too little left to answer with.
        let least = meta.parameters.worker_stake_min.split(2);
        [
            is_barred.then_some(Obstacle::Barred),
            jailed.then_some(Obstacle::Jailed { until: node.active_from_epoch }),
            (node.beacon_from_view > meta.beacon_view).then_some(Obstacle::TooYoung),
            (node.stake < least).then_some(Obstacle::Stake { left: node.stake }),
        ]
    }

    /// SPEC N3: below its tier a worker serves only what would starve, above it nothing.
    fn tier_obstacle(&self, task: &Task, tier: Tier) -> Option<Obstacle> {
        let meta = self.meta();
        let opened_ms = task.expires_at_ms.saturating_sub(task.terms.open_ms);
        let is_starving = meta.timestamp_ms.saturating_sub(opened_ms) >= meta.parameters.starving_ms;
        if tier < task.terms.tier {
            Some(Obstacle::TierTooLow { tier })
        } else if tier > task.terms.tier && !is_starving {
            Some(Obstacle::TierTooHigh { tier })
        } else {
            None
        }
    }

    /// What a segment waits for, in words; `None` when the ledger has none of this name: it was
    /// settled or rejected, or never committed.
    #[must_use]
    pub fn why_segment(&self, id: &SegmentId) -> Option<String> {
        let segment = self.segments.get(id)?;
        Some(match &segment.state {
            SegmentState::AwaitingSeed { view, .. } => {
                format!("committed; its committee is drawn with the seed of view {view}")
            }
            SegmentState::Judging { members, stage, phase, .. } => {
                let count = |wanted: fn(&Ballot) -> bool| members.iter().filter(|m| wanted(&m.ballot)).count();
                let (bound, shown) = (count(Ballot::is_bound), count(|ballot| ballot.vote().is_some()));
                let by = match stage {
                    Stage::Committee => "its committee",
                    Stage::Widened => "all eligible validators, after a doubt",
                    Stage::Court => "the court of a dispute",
                    Stage::FullCourt => "all eligible validators, after a court without a decision",
                };
                let seats = members.len();
                let said = match phase {
                    Phase::Committing => format!("{bound} of {seats} are bound to a verdict"),
                    Phase::Revealing => format!("{shown} of the {bound} verdicts are shown"),
                    Phase::Closed => format!(
                        "{shown} of {seats} have voted; a member found something wrong, and the worker is asked \
                         whether it was ordered to plant it"
                    ),
                };
                format!("being judged by {by}: {said}")
            }
            SegmentState::Final { .. } if segment.opening.is_asked() => {
                "final; not paid before its worker says whether it was ordered to plant a wrong job".to_owned()
            }
            SegmentState::Final { held_until_ms: Some(until_ms), .. } => {
                let left_ms = until_ms.saturating_sub(self.meta().timestamp_ms);
                format!(
                    "final; its worker is suspect by what replays measured: paid when that is over, or in {} s",
                    left_ms.div_ceil(1_000)
                )
            }
            SegmentState::Final { .. } if self.waits_for_steps(segment) => {
                "final; settled once the segments of its run that come before it are".to_owned()
            }
            SegmentState::Final { settles_at_ms, .. } => {
                let left_ms = settles_at_ms.saturating_sub(self.meta().timestamp_ms);
                format!("final; paid when its challenge window ends, in {} s", left_ms.div_ceil(1_000))
            }
        })
    }
}

fn offer_obstacles(needs: &Needs, offer: Offer) -> [Option<Obstacle>; 4] {
    let (free, needed) = (offer.slots_free(), needs.slots);
    let (has, context) = (offer.terms.context_tokens, needs.context_tokens);
    [
        (free < needed).then_some(Obstacle::Slots { free, needed }),
        (!offer.terms.price.within(&needs.price_max)).then_some(Obstacle::Price),
        (needs.is_batch && !offer.terms.batches).then_some(Obstacle::NoBatches),
        (has < context).then_some(Obstacle::Context { has, needed: context }),
    ]
}
