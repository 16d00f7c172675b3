//! What a process may spend in all.

use crate::cli::Failure;
use inferium_types::Amount;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The limit, and what is gone of it.
#[derive(Debug)]
pub(super) struct Purse {
    most: Amount,
    /// Spent or set aside, in nano-IFR.
    gone: Mutex<u64>,
}

/// What one call may spend at most. Dropped, all of it counts as spent: nobody knows what became of a call that nobody waited for.
#[derive(Debug)]
pub(super) struct SetAside<'a> {
    purse: &'a Purse,
    nano: u64,
}

impl Purse {
    pub(super) fn new(most: Amount) -> Self {
        Self { most, gone: Mutex::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn most(&self) -> Amount {
        self.most
    }

    pub(super) fn left(&self) -> Amount {
        Amount::from_nano(self.most.nano().saturating_sub(*self.lock()))
    }

    /// Refuses what does not fit into the limit.
    pub(super) fn has_room_for(&self, bound: Amount) -> Result<(), Failure> {
        let left = self.left();
        if bound <= left {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "this may cost {bound}, and of the {} that this server may spend {left} are left: who started it can raise --spend-max",
            self.most
        )))
    }

    /// Sets aside what a call may cost at most.
    pub(super) fn set_aside(&self, bound: Amount) -> Result<SetAside<'_>, Failure> {
        let fits = {
            let mut gone = self.lock();
            let total = gone.checked_add(bound.nano()).filter(|total| *total <= self.most.nano());
            total.map(|total| *gone = total)
        };
        match fits {
            Some(()) => Ok(SetAside { purse: self, nano: bound.nano() }),
            None => Err(self
                .has_room_for(bound)
                .err()
                .unwrap_or_else(|| Failure::refused("another call took what was left"))),
        }
    }
}

impl SetAside<'_> {
    /// What it cost in the end.
    pub(super) fn settle(self, cost: Amount) {
        let mut gone = self.purse.lock();
        *gone = gone.saturating_sub(self.nano).saturating_add(cost.nano());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nano(nano: u64) -> Amount {
        Amount::from_nano(nano)
    }

    #[test]
    fn what_is_set_aside_is_gone_until_it_is_known_what_it_cost() {
        let purse = Purse::new(nano(10));
        let first = purse.set_aside(nano(6)).unwrap();
        assert_eq!(purse.left(), nano(4));
        assert!(purse.set_aside(nano(5)).is_err() && purse.has_room_for(nano(5)).is_err());
        assert!(purse.has_room_for(nano(4)).is_ok());
        first.settle(nano(2));
        assert_eq!(purse.left(), nano(8));
        purse.set_aside(nano(8)).unwrap().settle(nano(8));
        assert_eq!(purse.left(), Amount::ZERO);
        assert!(purse.set_aside(nano(1)).is_err());
        assert!(purse.set_aside(Amount::ZERO).is_ok());
    }

    #[test]
    fn a_call_that_nobody_waited_for_counts_as_if_it_cost_all() {
        let purse = Purse::new(nano(10));
        assert!(purse.set_aside(nano(7)).is_ok());
        assert_eq!(purse.left(), nano(3));
    }

    #[test]
    fn no_sum_is_too_large_to_be_refused() {
        let purse = Purse::new(nano(u64::MAX));
        purse.set_aside(nano(1)).unwrap().settle(nano(1));
        let refusal = purse.set_aside(nano(u64::MAX)).unwrap_err().to_string();
        assert!(refusal.contains("--spend-max"), "{refusal}");
    }

    #[test]
    fn a_cost_beyond_what_was_set_aside_counts() {
        let purse = Purse::new(nano(10));
        purse.set_aside(nano(1)).unwrap().settle(nano(20));
        assert_eq!(purse.left(), Amount::ZERO);
    }
}
