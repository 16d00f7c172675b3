//! Forced errors: jobs that a worker's own VRF orders it to plant, so that checking never stops
//! paying and not checking never pays, however honest everyone is (SPEC V5).
//!
//! For every segment the worker has one VRF output that it cannot choose and that nobody else knows
//! before it is opened. The output says whether the segment holds a planted job, and marks that job:
//! its [`JobId`] is the output's. A known-wrong one also carries an evidence root that is a hash of
//! the output and therefore no root over the digests of any replay, which takes a whole replay to
//! see; a known-right one is a job like any other, so that to know a planted job when one sees it
//! is not to know its verdict. Fixed by the root that both sides sign, opened after the verdict.

use crate::{
    Digest, JobId, JobLeaf, LeaseId, MerklePath, Ppm, SegmentId, SegmentTerms, TaskKind, TaskTerms, VerificationMode,
    VrfProof,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// Openings of one transaction.
pub const OPENINGS_MAX: usize = 64;
/// Tokens of a planted job at most, prompt and answer together.
pub const FORCED_TOKENS: u64 = 256;
/// Planted jobs for which a lease keeps room: an order is owed while there is room for so many.
pub const FORCED_ROOM: u32 = 8;

impl TaskTerms {
    /// True when leases of it are so large that planted jobs have room in them: what is kept for them
    /// is at most an eighth. Only where replay is equality can one be known to be wrong; boards, intervals
    /// of training and proofs are all looked at (SPEC L2, X3, V10).
    #[must_use]
    pub const fn holds_planted(&self) -> bool {
        matches!(self.mode, VerificationMode::Exact)
            && !matches!(self.kind, TaskKind::Leaderboard | TaskKind::Training | TaskKind::Validation)
            && self.jobs_max >= 8 * FORCED_ROOM
            && self.tokens_max >= 8 * FORCED_TOKENS * FORCED_ROOM as u64
    }

    /// Jobs that clients may have of a lease.
    #[must_use]
    pub const fn clients_jobs_max(&self) -> u32 {
        if self.holds_planted() { self.jobs_max - FORCED_ROOM } else { self.jobs_max }
    }

    /// Tokens that clients may have of a lease.
    #[must_use]
    pub const fn clients_tokens_max(&self) -> u64 {
        if self.holds_planted() { self.tokens_max - FORCED_TOKENS * FORCED_ROOM as u64 } else { self.tokens_max }
    }
}

/// What a VRF output orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum ForcedKind {
    /// A job whose evidence root no replay gives.
    Wrong,
    /// A job with an honest result.
    Right,
}

/// A VRF output for one segment, as an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForcedOrder(Digest);

impl ForcedOrder {
    /// The input of the worker's VRF for segment `index` of `lease`: nothing that it chooses.
    #[must_use]
    pub fn input(beacon: &Digest, lease: LeaseId, index: u32) -> Digest {
        Digest::of("inferium/forced-order/1", &[beacon.as_bytes(), lease.digest().as_bytes(), &index.to_be_bytes()])
    }

    /// The order behind a verified output.
    #[must_use]
    pub const fn of(output: Digest) -> Self {
        Self(output)
    }

    /// What is to be planted; `None` for all but a `share` of segments, half of them of each kind.
    #[must_use]
    pub fn kind(&self, share: Ppm) -> Option<ForcedKind> {
        let drawn = Digest::of("inferium/forced-draw/1", &[self.0.as_bytes()]).draw(2_000_000);
        let is_drawn = drawn / 2 < u64::from(share.get());
        is_drawn.then_some(if drawn.is_multiple_of(2) { ForcedKind::Wrong } else { ForcedKind::Right })
    }

    /// The planted job's name.
    #[must_use]
    pub fn job(&self) -> JobId {
        JobId::new(Digest::of("inferium/forced-job/1", &[self.0.as_bytes()]))
    }

    /// The evidence root of a known-wrong one.
    #[must_use]
    pub fn wrong_root(&self) -> Digest {
        Digest::of("inferium/forced-root/1", &[self.0.as_bytes()])
    }

    /// Uniform choices that planting takes, by name: the same whenever it is done again.
    #[must_use]
    pub fn choice(&self, name: &str) -> Digest {
        Digest::of("inferium/forced-choice/1", &[self.0.as_bytes(), name.as_bytes()])
    }

    /// True when `leaf` is what was ordered.
    #[must_use]
    pub fn is_met_by(&self, kind: ForcedKind, leaf: &JobLeaf) -> bool {
        let is_wrong = leaf.result.evidence_root == self.wrong_root();
        leaf.request.job == self.job() && is_wrong == (kind == ForcedKind::Wrong)
    }
}

/// A planted job and its place in the segment.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PlantedJob {
    /// Request and result.
    pub leaf: JobLeaf,
    /// From the leaf to the segment's root.
    pub path: MerklePath,
}

/// What a worker's VRF said of a segment, and what it planted: public once the verdict is there.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct SegmentOpening {
    /// The segment.
    pub segment: SegmentId,
    /// Proves the VRF output.
    pub proof: VrfProof,
    /// What was planted, if that was ordered.
    pub planted: Option<PlantedJob>,
}

impl PlantedJob {
    /// Its position in the segment with these terms; `None` when it is not in it.
    #[must_use]
    pub fn position(&self, terms: &SegmentTerms) -> Option<u32> {
        let is_in = self.path.root(self.leaf.hash()) == Some(terms.root) && self.leaf.request.lease == terms.lease;
        is_in.then(|| u32::try_from(self.path.index).ok()).flatten()
    }
}
