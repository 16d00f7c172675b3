//! What is known of the jobs that workers were ordered to plant (SPEC V5).

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{ForcedKind, Ppm, Usage};

/// What a segment's worker owes: its VRF's order (SPEC V5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct OwedOrder {
    /// Share of segments that hold a planted job, when this one was committed.
    pub share: Ppm,
    /// True when the lease had room for one more job.
    pub has_room: bool,
}

/// A job that the worker planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Planted {
    /// Position in the segment.
    pub job: u32,
    /// What it is.
    pub kind: ForcedKind,
    /// Its tokens, which nobody pays.
    pub usage: Usage,
}

/// How much the chain knows of what a segment's worker was ordered to plant (SPEC V5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Opening {
    /// Nothing was ordered.
    NotOwed,
    /// Nothing yet.
    Closed(OwedOrder),
    /// Nothing yet, and the worker was asked.
    Asked {
        /// What it owes.
        order: OwedOrder,
        /// Until when; milliseconds.
        until_ms: u64,
    },
    /// The worker did not answer in time.
    Late(OwedOrder),
    /// All.
    Opened {
        /// The planted job, if there is one.
        planted: Option<Planted>,
    },
}

impl Opening {
    /// What is still owed.
    #[must_use]
    pub const fn owed(&self) -> Option<OwedOrder> {
        match self {
            Self::Closed(order) | Self::Asked { order, .. } | Self::Late(order) => Some(*order),
            Self::NotOwed | Self::Opened { .. } => None,
        }
    }

    /// True while the worker has time to answer.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        matches!(self, Self::Asked { .. })
    }

    /// The planted job, once it is known.
    #[must_use]
    pub const fn planted(&self) -> Option<Planted> {
        match self {
            Self::Opened { planted } => *planted,
            Self::NotOwed | Self::Closed(_) | Self::Asked { .. } | Self::Late(_) => None,
        }
    }

    /// Position of a job that is known to be wrong: no one judges it again.
    #[must_use]
    pub fn known_wrong(&self) -> Option<u32> {
        self.planted().filter(|planted| planted.kind == ForcedKind::Wrong).map(|planted| planted.job)
    }
}
