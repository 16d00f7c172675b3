//! Who cheats on a devnet, to be watched being caught.

use inferium_engine::Deviation;
use inferium_validator::ValidatorCrime;
use inferium_worker::Crime;
use std::str::FromStr;

/// The names of [`Cheat::Validator`] on the command line.
const LAZY: &str = "lazy-validator";
const COMPLACENT: &str = "complacent-validator";
/// The name of [`Cheat::SkewedValidator`] on the command line.
const SKEWED: &str = "skewed-validator";
/// The first layer that a skewed validator computes otherwise.
const SKEWED_LAYER: usize = 15;

/// A cheat of `inferium up --crime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cheat {
    /// A worker that joins for it.
    Worker(Crime),
    /// The last validator gives verdicts that no replay gives.
    Validator(ValidatorCrime),
    /// The last validator's engine departs from the canonical arithmetic, so that it rejects what is right.
    SkewedValidator,
}

impl Cheat {
    /// The worker's crime, if it is one.
    pub(crate) const fn worker(self) -> Option<Crime> {
        match self {
            Self::Worker(crime) => Some(crime),
            Self::Validator(_) | Self::SkewedValidator => None,
        }
    }

    /// What the last validator says instead of what it finds.
    pub(crate) const fn validator(self) -> Option<ValidatorCrime> {
        match self {
            Self::Validator(crime) => Some(crime),
            Self::Worker(_) | Self::SkewedValidator => None,
        }
    }

    /// How the engine of a validator departs from the profile's, if it is one's.
    pub(crate) fn of_validator(self) -> Option<Deviation> {
        match self {
            Self::SkewedValidator => {
                Some(Deviation { coarse_activations: true, coarse_from_layer: SKEWED_LAYER, ..Deviation::default() })
            }
            Self::Worker(_) | Self::Validator(_) => None,
        }
    }
}

impl FromStr for Cheat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            LAZY => Ok(Self::Validator(ValidatorCrime::Lazy)),
            COMPLACENT => Ok(Self::Validator(ValidatorCrime::Complacent)),
            SKEWED => Ok(Self::SkewedValidator),
            name => {
                name.parse().map(Self::Worker).map_err(|error| format!("{error}, and {LAZY}, {COMPLACENT}, {SKEWED}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cheat_has_a_name_and_no_other_name_is_one() {
        let [lazy, complacent] = [ValidatorCrime::Lazy, ValidatorCrime::Complacent].map(Cheat::Validator);
        assert_eq!("lazy-validator".parse(), Ok(lazy));
        assert_eq!("complacent-validator".parse(), Ok(complacent));
        assert_eq!("skewed-validator".parse(), Ok(Cheat::SkewedValidator));
        for crime in Crime::ALL {
            assert_eq!(crime.name().parse(), Ok(Cheat::Worker(crime)));
        }
        for cheat in [lazy, complacent, Cheat::SkewedValidator] {
            assert_eq!(cheat.worker(), None);
            assert_eq!(cheat.validator().is_some(), cheat != Cheat::SkewedValidator);
            assert_eq!(cheat.of_validator().is_some(), cheat == Cheat::SkewedValidator);
        }
        let error = Cheat::from_str("lazy").unwrap_err();
        assert!(error.contains("\"lazy\"") && error.contains(LAZY) && error.ends_with(SKEWED), "{error}");
    }
}
