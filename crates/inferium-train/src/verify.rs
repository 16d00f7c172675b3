//! Who doubts a trainer: runs intervals again from their committed start, and searches for the first step that differs (SPEC X2).

use crate::record::{IntervalRecord, StepRecord};
use crate::trainer::{TrainError, Trainer, run_interval};
use crate::{Checkpoint, Order, State, TrainingSpec};
use inferium_types::{Digest, MerkleTree, TraceSearch};

/// Where a trainer's claim and a re-run first differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The interval, from 0.
    pub interval: u64,
    /// What differs.
    pub what: Mismatch,
}

/// What differs in an interval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The run does not begin in the state that its seed draws.
    #[error("the first state is not the one that the seed draws")]
    FirstState,
    /// The end does not name the start that it is claimed to come from.
    #[error("it is not chained to the checkpoint before it")]
    Chain,
    /// Another number of steps, or others.
    #[error("it claims {claimed} steps instead of {expected}, or others")]
    Steps {
        /// As the spec has them.
        expected: u64,
        /// As it is claimed.
        claimed: u64,
    },
    /// A finished run of another number of intervals.
    #[error("a finished run has {expected} intervals, and this one {claimed}")]
    Intervals {
        /// As the spec has them.
        expected: u64,
        /// As they are kept, or as it is claimed.
        claimed: u64,
    },
    /// The loss is another one.
    #[error("step {step} had the loss {found}, and not {claimed}")]
    Loss {
        /// Which step, from 0.
        step: u64,
        /// As it is claimed.
        claimed: LossBits,
        /// As it came out.
        found: LossBits,
    },
    /// The state after a step is another one.
    #[error("step {step} leads to state {found:?}, and not {claimed:?}")]
    State {
        /// Which step, from 0.
        step: u64,
        /// As it is claimed.
        claimed: Digest,
        /// As it came out.
        found: Digest,
    },
}

/// A float that is compared by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LossBits(
    /// The bits.
    pub u32,
);

impl std::fmt::Display for LossBits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f32::from_bits(self.0).fmt(f)
    }
}

/// Runs one interval again. `start` and `end` are the claimed checkpoints around it; `None`: equal to the bit.
///
/// # Errors
/// [`TrainError`] if it can't be run again: that says nothing about the trainer, unless it is [`TrainError::NotFinite`].
pub fn verify_interval(
    trainer: &dyn Trainer,
    start: &Checkpoint,
    end: &IntervalRecord,
    each: &mut dyn FnMut(&StepRecord),
) -> Result<Option<Difference>, TrainError> {
    let index = start.index();
    let differs = |what| Ok(Some(Difference { interval: index, what }));
    if start.record.is_none() && check_first(trainer, start).is_some() {
        return differs(Mismatch::FirstState);
    }
    if let Some(what) = check_record(trainer.spec(), start, end) {
        return differs(what);
    }
    let (_, found) = run_interval(trainer, end.job, start.state.clone(), each)?;
    let mismatch = end.steps.iter().zip(&found.steps).find_map(|(claimed, found)| mismatch(claimed, found));
    Ok(mismatch.map(|what| Difference { interval: index, what }))
}

/// Whether a run begins in the state that its seed draws, to the bit. It costs no step, so it is checked whatever is drawn.
#[must_use]
pub fn check_first(trainer: &dyn Trainer, first: &Checkpoint) -> Option<Mismatch> {
    let is_first = first.record.is_none() && first.state.digest() == trainer.initial().digest();
    (!is_first).then_some(Mismatch::FirstState)
}

/// Whether a record goes on from a checkpoint, with just the steps that the spec has there: what can be said of an interval without
/// running it again. So it is checked of all of them.
#[must_use]
pub fn check_record(spec: &TrainingSpec, start: &Checkpoint, end: &IntervalRecord) -> Option<Mismatch> {
    if end.job != start.next_job() {
        return Some(Mismatch::Chain);
    }
    let (first, after) = spec.steps_of(start.index());
    let has_its_steps = first < after && end.steps.iter().map(|step| step.step).eq(first..after);
    (!has_its_steps).then_some(Mismatch::Steps { expected: after - first, claimed: end.steps.len() as u64 })
}

/// Whether a run that says it is finished has all of its intervals: `claimed` is how many it says. An honest part of a run is not the run.
#[must_use]
pub fn check_end(spec: &TrainingSpec, last: &Checkpoint, claimed: u64) -> Option<Mismatch> {
    let expected = spec.intervals();
    let found = [last.index(), claimed].into_iter().find(|intervals| *intervals != expected);
    found.map(|claimed| Mismatch::Intervals { expected, claimed })
}

/// What one claimed step is not.
fn mismatch(claimed: &StepRecord, found: &StepRecord) -> Option<Mismatch> {
    let step = found.step;
    if claimed.loss_bits != found.loss_bits {
        return Some(Mismatch::Loss { step, claimed: LossBits(claimed.loss_bits), found: LossBits(found.loss_bits) });
    }
    (claimed.state != found.state).then_some(Mismatch::State { step, claimed: claimed.state, found: found.state })
}

/// What a search between two trainers found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bisection {
    /// The first step that differs, from 0.
    pub step: u64,
    /// What each side says of it.
    pub said: [StepRecord; 2],
    /// Pairs of hashes that each side had to show.
    pub exchanges: u32,
}

/// Searches for the first step of one interval that two trainers differ in, from their roots downwards: as SPEC V8 does in a
/// forward pass. `None`: they agree, or their jobs or numbers of steps do, so that there is nothing to search.
#[must_use]
pub fn bisect(first: &IntervalRecord, second: &IntervalRecord) -> Option<Bisection> {
    let sides = [first, second];
    if first.job != second.job || first.steps.len() != second.steps.len() {
        return None;
    }
    let roots = sides.map(IntervalRecord::steps_root);
    let found = |place: usize, exchanges| {
        let said = [*first.steps.get(place)?, *second.steps.get(place)?];
        Some(Bisection { step: said.first().map_or(0, |record| record.step), said, exchanges })
    };
    if first.steps.len() == 1 {
        return (roots.first() != roots.last()).then(|| found(0, 0)).flatten();
    }
    let trees = sides.map(|side| MerkleTree::new(side.leaves()));
    let mut search = TraceSearch::new(first.steps.len() as u64, roots)?;
    while let Some(node) = search.question() {
        let [left, right] = &trees;
        search.answer([left.children(node)?, right.children(node)?]).ok()?;
    }
    let (place, _) = search.found()?;
    found(usize::try_from(place).ok()?, search.exchanges())
}

/// Who of two trainers is right about a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The first.
    First,
    /// The second.
    Second,
    /// Neither.
    Neither,
}

/// Decides a bisected disagreement by taking that one step: `before` is the state before it, which both sides agreed on, and
/// `agreed` its digest.
///
/// # Errors
/// [`TrainError::AnotherJob`] if the state is not the agreed one or before another step; else as [`crate::step()`].
pub fn rule(
    trainer: &dyn Trainer,
    before: &State,
    agreed: Digest,
    bisection: &Bisection,
) -> Result<Ruling, TrainError> {
    if before.digest() != agreed || before.step != bisection.step {
        return Err(TrainError::AnotherJob { what: "state" });
    }
    let found = crate::step(trainer, &mut Order::new(trainer.spec()), &mut before.clone())?;
    let [first, second] = bisection.said;
    Ok(if first == found {
        Ruling::First
    } else if second == found {
        Ruling::Second
    } else {
        Ruling::Neither
    })
}
