//! Names of things on the chain.

use crate::{Digest, Ppm, PublicKey};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

macro_rules! digest_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name(Digest);

        impl $name {
            /// Names a thing by its digest.
            #[must_use]
            pub const fn new(digest: Digest) -> Self {
                Self(digest)
            }

            /// The digest behind the name.
            #[must_use]
            pub const fn digest(&self) -> Digest {
                self.0
            }

            /// Parses 64 hex digits.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                Digest::from_hex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0)
            }
        }
    )+};
}

digest_ids! {
    /// A chain: the digest of its [`Genesis`](crate::Genesis).
    ChainId,
    /// A signed transaction: the digest of its encoding.
    TransactionId,
    /// A task: the digest of the transaction that opened it.
    TaskId,
    /// A lease: one task assigned to one worker.
    LeaseId,
    /// A segment: lease and index.
    SegmentId,
    /// A model profile: the digest of its contents.
    ProfileId,
    /// A job, chosen by the gateway at random, the same over all attempts.
    JobId,
    /// A claim that a worker stalled.
    StallId,
    /// An agent: the digest of its creator and name.
    AgentId,
}

/// An account: its public key.
pub type AccountId = PublicKey;

/// A node (worker, validator or gateway): its public key, which is also its account.
pub type NodeId = PublicKey;

impl LeaseId {
    /// The lease that `task` becomes.
    #[must_use]
    pub fn of_task(task: TaskId) -> Self {
        Self::new(Digest::of("inferium/lease/1", &[task.digest().as_bytes()]))
    }
}

impl SegmentId {
    /// True when the committee's `seed` draws job `index` for replay, which happens to a share
    /// `replay` of the jobs (SPEC R3, C4).
    #[must_use]
    pub fn draws_job(&self, seed: &Digest, index: u32, replay: Ppm) -> bool {
        let parts = [seed.as_bytes().as_slice(), self.0.as_bytes(), &index.to_be_bytes()];
        Digest::of("inferium/job-draw/1", &parts).draw(1_000_000) < u64::from(replay.get())
    }

    /// Segment `index` of `lease`.
    #[must_use]
    pub fn of_lease(lease: LeaseId, index: u32) -> Self {
        Self::new(Digest::of("inferium/segment/1", &[lease.digest().as_bytes(), &index.to_be_bytes()]))
    }
}

impl JobId {
    /// The job behind model call `call` of step `step` of a run (SPEC A2): named so, it can stand in one place of one run only.
    #[must_use]
    pub fn of_call(run: LeaseId, step: u32, call: u32) -> Self {
        let run = run.digest();
        Self::new(Digest::of("inferium/run-call/1", &[run.as_bytes(), &step.to_be_bytes(), &call.to_be_bytes()]))
    }
}

impl AgentId {
    /// The agent that `creator` calls `name` (SPEC A1).
    #[must_use]
    pub fn of_creator(creator: &AccountId, name: &str) -> Self {
        Self::new(Digest::of("inferium/agent/1", &[creator.as_bytes(), name.as_bytes()]))
    }

    /// Its account: a hash, so that nobody has a key for it, and only the ledger spends from it (SPEC A3).
    #[must_use]
    pub fn account(&self) -> AccountId {
        let account = Digest::of("inferium/agent-account/1", &[self.0.as_bytes()]);
        AccountId::from_bytes(*account.as_bytes())
    }
}

impl StallId {
    /// The claim about job `sequence` of `lease`.
    #[must_use]
    pub fn of_job(lease: LeaseId, sequence: u64) -> Self {
        Self::new(Digest::of("inferium/stall/1", &[lease.digest().as_bytes(), &sequence.to_be_bytes()]))
    }
}
