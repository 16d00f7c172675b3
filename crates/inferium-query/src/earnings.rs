//! What nodes earned, read from the chain's own events.

use inferium_types::{Amount, Event, NodeId, SegmentId};
use time::OffsetDateTime;

/// Where money came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A worker's share of a settled segment.
    Jobs,
    /// A committee member's share of a settled segment.
    Checks,
    /// What catching planted jobs paid.
    Jackpots,
    /// A validator's share of all fees.
    Fees,
    /// The reward pool.
    Emission,
    /// A creator's share of a settled run of its agent.
    Agents,
    /// What comes back of a run's fee to who paid it: the part of a host that was barred meanwhile.
    Refunds,
}

impl Source {
    /// Its name in words and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Checks => "checks",
            Self::Jackpots => "jackpots",
            Self::Fees => "validators' part of fees",
            Self::Emission => "emission",
            Self::Agents => "agents",
            Self::Refunds => "refunds",
        }
    }
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earning {
    /// The block's time; milliseconds.
    pub at_ms: u64,
    /// Where it came from.
    pub source: Source,
    /// The segment, where there is one.
    pub segment: Option<SegmentId>,
    /// How much; never nothing.
    pub amount: Amount,
}

/// Payments that one event tells of, and to whom; `at_ms` is the block's time in milliseconds.
#[must_use]
pub fn payments(event: &Event, at_ms: u64) -> Vec<(NodeId, Earning)> {
    let paid = |node: &NodeId, source, segment, amount| (*node, Earning { at_ms, source, segment, amount });
    let mut payments = match event {
        Event::SegmentApproved(outcome) if outcome.settled => {
            let segment = Some(outcome.segment);
            let check = |node| paid(node, Source::Checks, segment, outcome.to_each_approver);
            let mut payments: Vec<_> = outcome.approvers.iter().map(check).collect();
            // What a worker pays itself for being measured is no earning.
            if outcome.gateway != outcome.worker {
                payments.push(paid(&outcome.worker, Source::Jobs, segment, outcome.to_worker));
            }
            payments
        }
        Event::ForcedErrorOpened { segment, caught, jackpot, .. } => {
            caught.iter().map(|node| paid(node, Source::Jackpots, Some(*segment), *jackpot)).collect()
        }
        Event::Rewarded { node, fees, emission, .. } => {
            vec![paid(node, Source::Fees, None, *fees), paid(node, Source::Emission, None, *emission)]
        }
        Event::RunPaid { segment, creator, payer, to_creator, to_payer, .. } => vec![
            paid(creator, Source::Agents, Some(*segment), *to_creator),
            paid(payer, Source::Refunds, Some(*segment), *to_payer),
        ],
        _ => Vec::new(),
    };
    payments.retain(|(_, earning)| !earning.amount.is_zero());
    payments
}

/// The date of a time in milliseconds, UTC: `2026-11-21`.
#[must_use]
pub fn day(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "?".to_owned(), |time| time.date().to_string())
}

#[cfg(test)]
mod tests;
