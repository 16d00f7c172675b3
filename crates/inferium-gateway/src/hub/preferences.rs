//! Which workers a client wants, and which it will not have.

use inferium_types::{Amount, NodeId, Price};

/// Tokens that prices are quoted for.
const MILLION: u64 = 1_000_000;

/// Which workers a client wants, and which it will not have. By default any will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// These first, in this order.
    pub(crate) order: Vec<NodeId>,
    /// None but these.
    pub(crate) only: Option<Vec<NodeId>>,
    /// Never these.
    pub(crate) ignore: Vec<NodeId>,
    /// Others than those in `order`.
    pub(crate) allows_others: bool,
    /// The cheapest first, before the least busy.
    pub(crate) is_by_price: bool,
    /// Of a million tokens of prompt, at most.
    pub(crate) prompt_million_max: Option<Amount>,
    /// Of a million tokens of answer, at most.
    pub(crate) completion_million_max: Option<Amount>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            only: None,
            ignore: Vec::new(),
            allows_others: true,
            is_by_price: false,
            prompt_million_max: None,
            completion_million_max: None,
        }
    }
}

impl Preferences {
    /// Whether a worker at this price may have the job.
    pub(super) fn allow(&self, worker: NodeId, price: &Price) -> bool {
        let is_listed = self.order.is_empty() || self.allows_others || self.order.contains(&worker);
        let is_one = self.only.as_ref().is_none_or(|only| only.contains(&worker));
        let is_cheap = |price: Amount, most: Option<Amount>| {
            most.is_none_or(|most| price.nano().saturating_mul(MILLION) <= most.nano())
        };
        is_listed
            && is_one
            && !self.ignore.contains(&worker)
            && is_cheap(price.prompt_token, self.prompt_million_max)
            && is_cheap(price.completion_token, self.completion_million_max)
    }

    /// The lower, the rather.
    pub(super) fn rank(&self, worker: NodeId, price: &Price) -> (usize, u64) {
        let place = self.order.iter().position(|one| *one == worker).unwrap_or(self.order.len());
        let price = price.prompt_token.nano().saturating_add(price.completion_token.nano());
        (place, if self.is_by_price { price } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferium_types::SecretKey;

    fn node(byte: u8) -> NodeId {
        SecretKey::from_bytes([byte; 32]).unwrap().public_key()
    }

    fn price(prompt: u64, completion: u64) -> Price {
        Price { prompt_token: Amount::from_nano(prompt), completion_token: Amount::from_nano(completion) }
    }

    #[test]
    fn any_worker_will_do_by_default() {
        let any = Preferences::default();
        assert!(any.allow(node(1), &price(u64::MAX, u64::MAX)));
        assert_eq!(any.rank(node(1), &price(7, 8)), any.rank(node(2), &price(0, 0)));
    }

    #[test]
    fn lists_say_who_may_and_who_comes_first() {
        let wish = Preferences { order: vec![node(1), node(2)], ..Preferences::default() };
        assert!(wish.allow(node(3), &price(0, 0)));
        let ranks: Vec<_> = [1, 2, 3].map(|byte| wish.rank(node(byte), &price(0, 0))).into();
        assert!(ranks.is_sorted() && ranks[0] < ranks[1] && ranks[1] < ranks[2]);
        let strict = Preferences { allows_others: false, ..wish };
        assert!(strict.allow(node(2), &price(0, 0)) && !strict.allow(node(3), &price(0, 0)));
        let only = Preferences { only: Some(vec![node(4)]), ..Preferences::default() };
        assert!(only.allow(node(4), &price(0, 0)) && !only.allow(node(1), &price(0, 0)));
        let ignore = Preferences { ignore: vec![node(4)], ..Preferences::default() };
        assert!(!ignore.allow(node(4), &price(0, 0)) && ignore.allow(node(1), &price(0, 0)));
    }

    #[test]
    fn prices_are_held_to_their_limits_and_the_cheaper_comes_first() {
        let most = |prompt, completion| Preferences {
            prompt_million_max: Some(Amount::from_nano(prompt)),
            completion_million_max: Some(Amount::from_nano(completion)),
            ..Preferences::default()
        };
        assert!(most(2_000_000, 3_000_000).allow(node(1), &price(2, 3)));
        assert!(!most(1_999_999, 3_000_000).allow(node(1), &price(2, 3)));
        assert!(!most(2_000_000, 2_999_999).allow(node(1), &price(2, 3)));
        let cheap = Preferences { is_by_price: true, ..Preferences::default() };
        assert!(cheap.rank(node(1), &price(1, 1)) < cheap.rank(node(2), &price(1, 2)));
    }
}
