//! Why something is refused: always the sender's fault, never ours.

use inferium_types::{Amount, AmountOverflow, Digest, InvalidParameter};

/// Why a transaction has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Already used.
    #[error("nonce {found} is used; the next one is {expected}")]
    NonceTooLow {
        /// The account's next nonce.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// Ahead of the account's transactions.
    #[error("nonce {found} is ahead; the next one is {expected}")]
    NonceTooHigh {
        /// The account's next nonce.
        expected: u64,
        /// The transaction's.
        found: u64,
    },
    /// The sender can't pay the fee.
    #[error("the fee is {fee}, the balance {balance}")]
    FeeUnpayable {
        /// What it costs.
        fee: Amount,
        /// What there is.
        balance: Amount,
    },
    /// Larger than a transaction may be.
    #[error("{found} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The sender can't pay.
    #[error("{needed} needed, {available} available")]
    Insufficient {
        /// What it takes.
        needed: Amount,
        /// What there is.
        available: Amount,
    },
    /// An amount left the range of numbers.
    #[error("amount out of range")]
    Overflow,
    /// The thing named does not exist, or no longer.
    #[error("no such {what}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
    },
    /// The sender may not do this.
    #[error("the sender is not {expected}")]
    NotAllowed {
        /// Who may.
        expected: &'static str,
    },
    /// It exists already.
    #[error("this {what} exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
    },
    /// Key or operator was disqualified (SPEC S3).
    #[error("disqualified for ever")]
    Disqualified,
    /// Jailed for a while.
    #[error("jailed until epoch {until}")]
    Jailed {
        /// First epoch in which it may work again.
        until: u64,
    },
    /// A signature inside the transaction is wrong.
    #[error("the {whose} signature is wrong")]
    Signature {
        /// Whose.
        whose: &'static str,
    },
    /// A field is outside its bounds.
    #[error("{field} is out of bounds")]
    OutOfBounds {
        /// Which.
        field: &'static str,
    },
    /// Not in this state of things.
    #[error("{what} is not possible now")]
    WrongState {
        /// What.
        what: &'static str,
    },
    /// Too few operators can replay the profile (SPEC N4).
    #[error("{found} operators can replay the profile; {needed} are needed")]
    ProfileNotLeasable {
        /// Operators so far.
        found: u32,
        /// Operators needed.
        needed: u32,
    },
    /// The worker's unsettled pay is at its limit (SPEC V4).
    #[error("unsettled pay would be {found}, at most {limit} is allowed")]
    UnsettledLimit {
        /// With this segment.
        found: Amount,
        /// The limit.
        limit: Amount,
    },
    /// Nobody does such work yet (SPEC T1, T2).
    #[error("nobody serves {what} yet")]
    NotServed {
        /// What was asked for.
        what: &'static str,
    },
    /// No worker was measured to be good enough (SPEC N3).
    #[error("no worker serves tier {tier}")]
    NoWorkers {
        /// The tier asked for.
        tier: &'static str,
    },
    /// The profile was paused or delisted (SPEC S5, G1).
    #[error("the profile is {listing}")]
    ProfileClosed {
        /// How.
        listing: &'static str,
    },
    /// Private weights would be opened more often than their key hides them (SPEC V12).
    #[error("the profile's weights may be opened {left} times more, and the task is for {needed}")]
    Openings {
        /// Openings that are left.
        left: u32,
        /// Jobs of the task.
        needed: u32,
    },
    /// A parameter can't have that value (SPEC G3).
    #[error(transparent)]
    Parameter(#[from] InvalidParameter),
    /// The verdict and salt are not what the member committed to (SPEC V2).
    #[error("the verdict is not the one that was committed to")]
    Commitment,
    /// Another verification than the profile's class has (SPEC T2).
    #[error("results of the profile are verified {expected}, not {found}")]
    Mode {
        /// As of the profile.
        expected: &'static str,
        /// As asked for.
        found: &'static str,
    },
    /// An approval of another form than the profile's class has (SPEC V6).
    #[error("approvals on this profile are {expected}")]
    VoteForm {
        /// The form.
        expected: &'static str,
    },
    /// Statistics convicted the worker on this profile (SPEC V7).
    #[error("barred from the profile for ever by its statistics")]
    BarredFromProfile,
    /// A task of kind `agent` that names no agent (SPEC T1, A2).
    #[error("a run names its agent: it is opened by open_run")]
    NoAgent,
    /// A profile of another kind is needed (SPEC A1, A2).
    #[error("the profile is not {expected}")]
    Profile {
        /// Whose it has to be.
        expected: &'static str,
    },
    /// The agent is another by now, or not yet (SPEC A2).
    #[error("the agent is not the one that was seen: its version is {expected}, not {found}")]
    Version {
        /// The agent's.
        expected: Digest,
        /// As asked for.
        found: Digest,
    },
    /// The agent's policy forbids it (SPEC A3).
    #[error("the agent's policy does not allow {what}")]
    Policy {
        /// What.
        what: &'static str,
    },
    /// The agent's policy does not allow so much (SPEC A3).
    #[error("the agent's policy allows {limit} for each {cap}; it would be {found}")]
    PolicyCap {
        /// `run` or `day`.
        cap: &'static str,
        /// At most.
        limit: Amount,
        /// With this spend.
        found: Amount,
    },
    /// The evidence does not prove what it claims.
    #[error("the evidence proves nothing: {why}")]
    Evidence {
        /// Why not.
        why: &'static str,
    },
}

impl From<AmountOverflow> for Rejection {
    fn from(_: AmountOverflow) -> Self {
        Self::Overflow
    }
}

/// Why a block can't be valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// Not the next height.
    #[error("height {found}, expected {expected}")]
    Height {
        /// The parent's, plus one.
        expected: u64,
        /// The block's.
        found: u64,
    },
    /// Not after its parent (SPEC C3).
    #[error("timestamp {found} is not above the parent's {parent}")]
    Timestamp {
        /// The parent's.
        parent: u64,
        /// The block's.
        found: u64,
    },
    /// A transaction that no proposer may include.
    #[error("transaction {index}: {rejection}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
    /// Too many bytes or transactions.
    #[error("the block is too large")]
    TooLarge,
    /// The network moved on to a protocol that this software does not know (SPEC G1).
    #[error("the network decided on protocol version {needed}, this software knows {known}: install the new one")]
    Upgrade {
        /// What the network needs.
        needed: u32,
        /// What is known here.
        known: u32,
    },
}

/// Stored entries that are no state of this ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("corrupt state: {reason}")]
pub struct CorruptState {
    /// What was met.
    pub reason: String,
}
