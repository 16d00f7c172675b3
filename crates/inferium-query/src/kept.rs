//! A table that forgets its oldest rows.

use std::collections::BTreeMap;

/// Rows by key, in the order in which they came, at most so many.
#[derive(Debug)]
pub struct Kept<K, V> {
    rows: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
    max: usize,
}

impl<K: Ord + Copy, V> Kept<K, V> {
    /// No rows yet, and never more than `max`.
    #[must_use]
    pub const fn new(max: usize) -> Self {
        Self { rows: BTreeMap::new(), order: BTreeMap::new(), next: 1, max }
    }

    /// A row.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key).map(|(_, row)| row)
    }

    /// A row, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.rows.get_mut(key).map(|(_, row)| row)
    }

    /// Puts a row in, at its old place when there was one.
    pub fn insert(&mut self, key: K, row: V) {
        if let Some(place) = self.rows.get_mut(&key) {
            place.1 = row;
            return;
        }
        self.rows.insert(key, (self.next, row));
        self.order.insert(self.next, key);
        self.next = self.next.saturating_add(1);
        while self.rows.len() > self.max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.rows.remove(&oldest);
        }
    }

    /// Takes a row out, and its place with it.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (place, row) = self.rows.remove(key)?;
        self.order.remove(&place);
        Some(row)
    }

    /// True when another key costs the oldest row its place.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows.len() >= self.max
    }

    /// Newest first, those that came before `before`: place, key and row.
    pub fn newest(&self, before: Option<u64>) -> impl Iterator<Item = (u64, &K, &V)> {
        let range = self.order.range(..before.unwrap_or(u64::MAX)).rev();
        range.filter_map(|(place, key)| self.rows.get(key).map(|(_, row)| (*place, key, row)))
    }
}

#[cfg(test)]
mod tests;
