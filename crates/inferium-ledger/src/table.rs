//! Tables of the state that can take back what was written since a mark.
//!
//! A transaction that fails must leave no trace (SPEC M3). Keeping a clone of the state for that would make every
//! write copy the tree nodes that it touches; noting what a write replaced copies nothing.

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

/// How a table holds a value: as it is, or shared, so that nodes of the tree stay small.
pub(crate) trait Held<V>: Clone {
    /// Holds it.
    fn hold(value: V) -> Self;
    /// What is held.
    fn value(&self) -> &V;
    /// What is held, no longer shared.
    fn value_mut(&mut self) -> &mut V;
}

impl<V: Clone> Held<V> for V {
    fn hold(value: V) -> Self {
        value
    }

    fn value(&self) -> &V {
        self
    }

    fn value_mut(&mut self) -> &mut V {
        self
    }
}

impl<V: Clone> Held<V> for Arc<V> {
    fn hold(value: V) -> Self {
        Self::new(value)
    }

    fn value(&self) -> &V {
        self
    }

    fn value_mut(&mut self) -> &mut V {
        Self::make_mut(self)
    }
}

/// An ordered map whose writes since a mark can be taken back.
#[derive(Clone)]
pub(crate) struct Table<K, V, H = V> {
    map: OrdMap<K, H>,
    /// What each write since the mark replaced, in order.
    replaced: Vec<(K, Option<H>)>,
    is_marked: bool,
    of: std::marker::PhantomData<V>,
}

impl<K: Ord + Copy, V: Clone, H: Held<V>> Table<K, V, H> {
    pub(crate) fn new() -> Self {
        Self { map: OrdMap::new(), replaced: Vec::new(), is_marked: false, of: std::marker::PhantomData }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(H::value)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.map.contains_key(key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Writes an entry; what stood there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<H> {
        let old = self.map.insert(key, H::hold(value));
        if self.is_marked {
            self.replaced.push((key, old.clone()));
        }
        old
    }

    /// Removes an entry; what stood there.
    pub(crate) fn remove(&mut self, key: &K) -> Option<H> {
        let old = self.map.remove(key);
        if self.is_marked && old.is_some() {
            self.replaced.push((*key, old.clone()));
        }
        old
    }

    /// An entry to change in place.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let held = self.map.get_mut(key)?;
        if self.is_marked {
            self.replaced.push((*key, Some(held.clone())));
        }
        Some(held.value_mut())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter().map(|(key, held)| (key, held.value()))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.map.keys()
    }

    pub(crate) fn first_key(&self) -> Option<K> {
        self.map.get_min().map(|(key, _)| *key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.map.values().map(H::value)
    }

    pub(crate) fn range<R: RangeBounds<K>>(&self, range: R) -> impl Iterator<Item = (&K, &V)> {
        self.map.range(range).map(|(key, held)| (key, held.value()))
    }

    /// From now on, writes can be taken back.
    pub(crate) fn mark(&mut self) {
        self.is_marked = true;
    }

    /// Writes since the mark stay.
    pub(crate) fn keep(&mut self) {
        self.is_marked = false;
        self.replaced.clear();
    }

    /// The table is again what it was at the mark.
    pub(crate) fn take_back(&mut self) {
        self.is_marked = false;
        while let Some((key, old)) = self.replaced.pop() {
            match old {
                Some(old) => self.map.insert(key, old),
                None => self.map.remove(&key),
            };
        }
    }
}

impl<K: Ord + Copy, V: Clone, H: Held<V> + PartialEq> Table<K, V, H> {
    /// Keys with what `child` has there, where it differs.
    ///
    /// Cost: proportional to the difference.
    pub(crate) fn differences<'a>(&'a self, child: &'a Self) -> impl Iterator<Item = (&'a K, Option<&'a V>)> {
        self.map.diff(&child.map).map(|item| match item {
            DiffItem::Add(key, held) | DiffItem::Update { new: (key, held), .. } => (key, Some(held.value())),
            DiffItem::Remove(key, _) => (key, None),
        })
    }
}

impl<K: Ord + Copy, V: Clone, H: Held<V>> FromIterator<(K, V)> for Table<K, V, H> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut table = Self::new();
        table.map = entries.into_iter().map(|(key, value)| (key, H::hold(value))).collect();
        table
    }
}

/// Tables are what stands in them; what could be taken back is not part of that.
impl<K: Ord, V, H: PartialEq> PartialEq for Table<K, V, H> {
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

impl<K: Ord + fmt::Debug, V, H: fmt::Debug> fmt::Debug for Table<K, V, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.map.fmt(f)
    }
}

/// One value with a mark of its own.
#[derive(Debug, Clone)]
pub(crate) struct Single<T> {
    value: T,
    /// What it was at the mark, once it may have changed.
    replaced: Option<T>,
    is_marked: bool,
}

impl<T: Clone> Single<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value, replaced: None, is_marked: false }
    }

    pub(crate) const fn get(&self) -> &T {
        &self.value
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        if self.is_marked && self.replaced.is_none() {
            self.replaced = Some(self.value.clone());
        }
        &mut self.value
    }

    pub(crate) fn mark(&mut self) {
        self.is_marked = true;
    }

    pub(crate) fn keep(&mut self) {
        self.is_marked = false;
        self.replaced = None;
    }

    pub(crate) fn take_back(&mut self) {
        self.is_marked = false;
        if let Some(value) = self.replaced.take() {
            self.value = value;
        }
    }
}

impl<T: PartialEq> PartialEq for Single<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
