//! How a committee's members stand: bound or not, and to what (SPEC V2).

use borsh::{BorshDeserialize, BorshSerialize};
use inferium_types::{Digest, NodeId, VerdictVote};

/// What a member has said.
#[expect(clippy::large_enum_variant, reason = "ballots are few, and copied instead of shared")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Ballot {
    /// Nothing.
    Blank,
    /// Bound to a vote that nobody sees yet.
    Committed {
        /// See [`VerdictVote::commitment`].
        commitment: Digest,
    },
    /// Its judgement.
    Given {
        /// The vote.
        vote: VerdictVote,
    },
}

impl Ballot {
    /// True when the member can't change its mind any more.
    #[must_use]
    pub const fn is_bound(&self) -> bool {
        !matches!(self, Self::Blank)
    }

    /// The vote, once it is public.
    #[must_use]
    pub const fn vote(&self) -> Option<VerdictVote> {
        match self {
            Self::Given { vote } => Some(*vote),
            Self::Blank | Self::Committed { .. } => None,
        }
    }
}

/// A committee member and its ballot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// Who.
    pub validator: NodeId,
    /// What it has said.
    pub ballot: Ballot,
}

/// What a committee's members may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum Phase {
    /// Bind themselves to a vote.
    Committing,
    /// Show what they are bound to.
    Revealing,
    /// Nothing: what they said is judged once the worker has answered a doubt (SPEC V5).
    Closed,
}
