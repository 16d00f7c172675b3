//! Boards of workers, validators and agents: a fold over verified blocks that anyone makes again (SPEC L3).
//!
//! ```text
//! verified blocks ──take──► Fold ──workers, validators, agents──► Board ──encode──► bytes ──► digest
//! ```
//!
//! [`Fold`] counts what events say, block by block. A [`Board`] ranks what it counted up to some block, as JSON of whole
//! numbers and text in one form, so that two who folded the same blocks have the same [`Board::digest`].
//!
//! Invariants: the same blocks give the same bytes, on any machine; nothing here panics, and sums stay at their greatest
//! value instead of wrapping; memory is bounded by the constants of the fold, whatever the chain holds, and a board
//! from which something was left out for that says so ([`Board::complete`]).
//!
//! What this module is *not*: it believes its blocks. Whoever brings them has verified them, as the light client does.

mod fold;
mod rank;

pub use fold::{AGENTS_MAX, AgentRecord, AgentState, Fold, NODES_MAX, NodeRecord, PAYERS_MAX, Role};

use inferium_types::{Digest, NetworkKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version of the encoding, and of what is counted.
const VERSION: u32 = 1;

/// Which board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Who executes.
    Workers,
    /// Who replays and votes.
    Validators,
    /// What runs on top.
    Agents,
}

impl Kind {
    /// All boards.
    pub const ALL: [Self; 3] = [Self::Workers, Self::Validators, Self::Agents];

    /// Its name in commands and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Workers => "workers",
            Self::Validators => "validators",
            Self::Agents => "agents",
        }
    }
}

/// A board as it is published. Fields are in the order of the alphabet here and in rows, so that any JSON library that
/// sorts them writes these bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board<R> {
    /// Digest of the last block; hex.
    pub block: String,
    /// Whose board it is: [`Kind::name`].
    pub board: String,
    /// False when there were more nodes or agents than a fold keeps.
    pub complete: bool,
    /// The first block that was folded; 0 when there was none.
    pub first: u64,
    /// The last one.
    pub height: u64,
    /// The key that blocks are verified by.
    pub network: String,
    /// Best first.
    pub rows: Vec<R>,
    /// Of encoding and rules.
    pub version: u32,
}

/// A worker on its board. Shares are parts per million, amounts nano-IFR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerRow {
    /// Segments that a committee approved and no court took back.
    pub approved: u64,
    /// True while a slash that disqualifies it stands.
    pub barred: bool,
    /// What it earned, by all sources.
    pub earned_nano: u64,
    /// Upper end of the share's interval at 95 %.
    pub high_ppm: u32,
    /// Jobs of the approved segments.
    pub jobs: u64,
    /// Lower end of the share's interval at 95 %.
    pub low_ppm: u32,
    /// Who; hex.
    pub node: String,
    /// Slashes that a vote overturned.
    pub overturned: u64,
    /// One more than workers are surely better; none where nothing was judged.
    pub rank: Option<u64>,
    /// Segments that were rejected for what the worker did or failed to do.
    pub rejected: u64,
    /// What the slashes that stand took.
    pub slashed_nano: u64,
    /// Slashes that stand.
    pub slashes: u64,
    /// Tokens of the approved segments.
    pub tokens: u64,
    /// Segments that ended without a decision about them.
    pub undecided: u64,
    /// Approved segments, of those approved or rejected.
    pub verified_ppm: u32,
}

/// A validator on its board. Shares are parts per million, amounts nano-IFR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorRow {
    /// True while a slash that disqualifies it stands.
    pub barred: bool,
    /// What it earned, by all sources.
    pub earned_nano: u64,
    /// Upper end of the share's interval at 95 %.
    pub high_ppm: u32,
    /// Lower end of the share's interval at 95 %.
    pub low_ppm: u32,
    /// Who; hex.
    pub node: String,
    /// Slashes that a vote overturned.
    pub overturned: u64,
    /// Blocks that it proposed.
    pub proposed: u64,
    /// One more than validators are surely better; none where nothing was judged.
    pub rank: Option<u64>,
    /// Verdicts that no slash stands against, of these and all slashes that stand.
    pub share_ppm: u32,
    /// What the slashes that stand took.
    pub slashed_nano: u64,
    /// Slashes that stand.
    pub slashes: u64,
    /// Verdicts that it revealed.
    pub verdicts: u64,
}

/// An agent on its board. Amounts in nano-IFR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRow {
    /// Which; hex.
    pub agent: String,
    /// Who made it; hex.
    pub creator: String,
    /// What its runs paid its creator.
    pub earned_nano: u64,
    /// What its runs cost those who paid, in all.
    pub fees_nano: u64,
    /// Its name, one of the creator's own.
    pub name: String,
    /// Accounts that paid for runs; [`PAYERS_MAX`] stands for as many or more.
    pub payers: u64,
    /// Price of a run now.
    pub price_nano: u64,
    /// One more than agents were paid more; none without a paid run.
    pub rank: Option<u64>,
    /// Runs that were paid.
    pub runs: u64,
    /// `active`, `retired` or `closed`.
    pub state: String,
    /// Its version now, counted from 1 on.
    pub version: u32,
}

/// Bytes that are no board.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no board: {0}")]
pub struct NotABoard(String);

impl<R: Serialize> Board<R> {
    /// Its bytes: JSON without white space.
    #[must_use]
    pub fn encode(&self) -> String {
        // A type of ours with text and whole numbers alone always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What two boards are compared by: a hash over all of the bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of("inferium/leaderboard/1", &[self.encode().as_bytes()])
    }
}

impl<R: Serialize + DeserializeOwned> Board<R> {
    /// Reads a board's bytes.
    ///
    /// # Errors
    /// [`NotABoard`]: other bytes than [`Self::encode`] writes.
    pub fn parse(text: &str) -> Result<Self, NotABoard> {
        let board: Self = serde_json::from_str(text).map_err(|error| NotABoard(error.to_string()))?;
        match board.version == VERSION && board.encode() == text {
            true => Ok(board),
            false => Err(NotABoard("not in its one form".to_owned())),
        }
    }
}

/// The command that folds blocks `first` to `height` of `network` again, and refuses what has another digest.
#[must_use]
pub fn command(kind: Kind, (first, height): (u64, u64), network: &NetworkKey, digest: &Digest) -> String {
    let from = if first > 1 { format!(" --from {first}") } else { String::new() };
    format!("inferium leaderboard {}{from} --up-to {height} --network-key {network} --expect {digest}", kind.name())
}

#[cfg(test)]
mod tests;
