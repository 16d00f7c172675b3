//! Ways of cheating that a devnet can watch being caught. An honest worker commits none.

use std::{fmt, str::FromStr};

/// A crime, named for what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crime {
    /// Serves cheaper weights under the profile's name.
    WrongWeights,
    /// Sends a text that its tokens don't say.
    EditedText,
    /// Stops early and says that the model ended the answer.
    Truncated,
    /// Samples with a seed of its own.
    OwnSeed,
    /// Takes leases and never answers.
    Silent,
}

impl Crime {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::WrongWeights, Self::EditedText, Self::Truncated, Self::OwnSeed, Self::Silent];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongWeights => "wrong-weights",
            Self::EditedText => "edited-text",
            Self::Truncated => "truncated",
            Self::OwnSeed => "own-seed",
            Self::Silent => "silent",
        }
    }
}

impl fmt::Display for Crime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no crime has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no crime is called {name:?}; there are wrong-weights, edited-text, truncated, own-seed and silent")]
pub struct UnknownCrime {
    name: String,
}

impl FromStr for Crime {
    type Err = UnknownCrime;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|crime| crime.name() == name).ok_or_else(|| UnknownCrime { name: name.to_owned() })
    }
}
