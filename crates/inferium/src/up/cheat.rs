//! Who cheats on a devnet, to be watched being caught.

use inferium_worker::Crime;
use std::str::FromStr;

/// The name of [`Cheat::LazyValidator`] on the command line.
const LAZY: &str = "lazy-validator";

/// A cheat of `inferium up --crime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cheat {
    /// A worker that joins for it.
    Worker(Crime),
    /// The last validator approves everything and replays nothing.
    LazyValidator,
}

impl Cheat {
    /// The worker's crime, if it is one.
    pub(crate) const fn worker(self) -> Option<Crime> {
        match self {
            Self::Worker(crime) => Some(crime),
            Self::LazyValidator => None,
        }
    }
}

impl FromStr for Cheat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == LAZY {
            return Ok(Self::LazyValidator);
        }
        name.parse().map(Self::Worker).map_err(|error| format!("{error}, and {LAZY}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cheat_has_a_name_and_no_other_name_is_one() {
        assert_eq!("lazy-validator".parse(), Ok(Cheat::LazyValidator));
        for crime in Crime::ALL {
            assert_eq!(crime.name().parse(), Ok(Cheat::Worker(crime)));
        }
        let error = Cheat::from_str("lazy").unwrap_err();
        assert!(error.contains("\"lazy\"") && error.ends_with(LAZY), "{error}");
    }
}
