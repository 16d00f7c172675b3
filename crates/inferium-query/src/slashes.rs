//! Slashes with their evidence, what became of them, and how many were wrong.

use inferium_types::{Event, SlashedNode, VerdictVote};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.96;

/// A slash, and what became of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// As the chain recorded it.
    pub slash: SlashedNode,
    /// The block.
    pub height: u64,
    /// `held`, `burned` or `overturned`.
    pub state: &'static str,
    /// Verdicts on the segment that it is about, as the chain has them.
    pub verdicts: Vec<String>,
}

/// What the chain's events say about slashes.
#[derive(Debug, Default)]
pub struct Slashes {
    /// By number.
    pub slashes: BTreeMap<u64, Shown>,
    verdicts: BTreeMap<String, Vec<String>>,
    /// Segments approved: the honest majority against which slashes are counted.
    pub approved: u64,
}

impl Slashes {
    /// Takes note of an event of the block of `height`. Blocks come in their order.
    pub fn on_event(&mut self, event: &Event, height: u64) {
        match event {
            Event::VerdictGiven { segment, validator, vote } => {
                let said = match vote {
                    VerdictVote::Valid { .. } => "valid".to_owned(),
                    VerdictVote::Invalid { job, fault } => format!("invalid, job {job}: {fault:?}").to_lowercase(),
                    VerdictVote::Unavailable => "no evidence".to_owned(),
                    VerdictVote::Measured { statistics, .. } => {
                        format!("nothing wrong, {} of {} tokens differ", statistics.flips(), statistics.positions())
                    }
                };
                self.verdicts.entry(segment.to_string()).or_default().push(format!("{validator}: {said}"));
            }
            Event::SegmentApproved(outcome) => {
                self.approved = self.approved.saturating_add(u64::from(outcome.settled));
                if outcome.settled {
                    self.verdicts.remove(&outcome.segment.to_string());
                }
            }
            Event::Slashed(slash) => {
                let segment = slash.segment.map(|segment| segment.to_string());
                let verdicts = segment.and_then(|segment| self.verdicts.get(&segment).cloned()).unwrap_or_default();
                let shown = Shown { slash: slash.clone(), height, state: "held", verdicts };
                self.slashes.insert(slash.slash, shown);
            }
            Event::SlashReleased { slash, .. } => self.ended(*slash, "burned"),
            Event::SlashOverturned { slash, .. } => self.ended(*slash, "overturned"),
            _ => {}
        }
    }

    fn ended(&mut self, number: u64, state: &'static str) {
        if let Some(shown) = self.slashes.get_mut(&number) {
            shown.state = state;
        }
    }

    /// All slashes, and those that were overturned.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let overturned = self.slashes.values().filter(|shown| shown.state == "overturned").count();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        (count(self.slashes.len()), count(overturned))
    }
}

impl Shown {
    /// Its JSON.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let shown = self;
        let slash = &shown.slash;
        json!({
            "slash": slash.slash,
            "node": slash.node.to_string(),
            "role": slash.role,
            "operator": slash.operator.to_string(),
            "rule": slash.rule.name(),
            "segment": slash.segment.map(|segment| segment.to_string()),
            "job": slash.job.map(|job| job.to_string()),
            "amount_nano": slash.amount.nano(),
            "disqualified": slash.disqualified,
            "height": shown.height,
            "state": shown.state,
            "releases_at_ms": slash.releases_at_ms,
            "verdicts": shown.verdicts,
        })
    }
}

/// `part` of `all`; none of nothing.
#[must_use]
pub fn ratio(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// Wilson's interval for a proportion at 95 %: honest also for few and for none.
#[must_use]
pub fn wilson(part: u64, all: u64) -> (f64, f64) {
    let Some(rate) = ratio(part, all) else { return (0.0, 1.0) };
    let n = all as f64;
    let centre = rate + Z * Z / (2.0 * n);
    let spread = Z * (rate * (1.0 - rate) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests;
