//! Where verdicts about one segment contradict each other by what their replays found (SPEC V8).

use inferium_types::{JobFault, VerdictVote};
use std::collections::BTreeSet;

/// What a verdict says of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// Nothing is wrong with it.
    Right,
    /// A check failed.
    Wrong(JobFault),
}

/// What a vote says of job `job`; `None` when it says nothing, since its replay stopped before, or measured.
///
/// Members look at jobs in their order and stop at the first fault: all jobs before that one were right.
#[must_use]
pub fn opinion_of(vote: &VerdictVote, job: u32) -> Option<Opinion> {
    match vote {
        VerdictVote::Valid { .. } => Some(Opinion::Right),
        VerdictVote::Invalid { job: named, fault } if *named == job => Some(Opinion::Wrong(*fault)),
        VerdictVote::Invalid { job: named, .. } if *named > job => Some(Opinion::Right),
        VerdictVote::Invalid { .. } | VerdictVote::Unavailable | VerdictVote::Measured { .. } => None,
    }
}

/// The jobs about which replays disagree: one vote names them for a fault that an engine finds, another says something else
/// of them.
///
/// At most one for each vote, which bounds what validators are asked to trace.
#[must_use]
pub fn doubted_jobs<'a>(votes: impl Iterator<Item = &'a VerdictVote> + Clone) -> BTreeSet<u32> {
    let named = votes.clone().filter_map(|vote| match vote {
        VerdictVote::Invalid { job, fault } if is_of_replay(*fault) => Some((*job, *fault)),
        _ => None,
    });
    let is_doubted = |(job, fault): &(u32, JobFault)| {
        votes.clone().filter_map(|vote| opinion_of(vote, *job)).any(|opinion| opinion != Opinion::Wrong(*fault))
    };
    named.filter(is_doubted).map(|(job, _)| job).collect()
}

/// True for faults that follow from what an engine read and computed.
const fn is_of_replay(fault: JobFault) -> bool {
    matches!(fault, JobFault::Prompt | JobFault::Token | JobFault::Logits)
}

#[cfg(test)]
mod tests;
