//! The private half of a job that folds results into a board (SPEC L2): what it is given.
//!
//! How it is folded is `inferium-eval`'s; the chain has only commitments to input and board.

use crate::{NetworkKey, limits};
use borsh::{BorshDeserialize, BorshSerialize};
use std::fmt;

/// What a board is folded from.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FoldInput {
    /// What the receipts in the files are checked against: the key of the network whose job it is.
    pub network: NetworkKey,
    /// Results of runs, each as `inferium eval run` wrote it: JSON Lines. 1 to [`limits::FOLD_FILES_MAX`] of them.
    pub files: Vec<String>,
}

impl FoldInput {
    /// True with as many files as a board may have. Their size is a payload's.
    #[must_use]
    pub const fn is_well_formed(&self) -> bool {
        !self.files.is_empty() && self.files.len() <= limits::FOLD_FILES_MAX
    }
}

/// Says nothing of the answers in the files: it may end up in a log (SPEC J2).
impl fmt::Debug for FoldInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.files.iter().fold(0usize, |sum, file| sum.saturating_add(file.len()));
        write!(f, "FoldInput({} files, {size} bytes)", self.files.len())
    }
}
