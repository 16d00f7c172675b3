//! The file, its tables, and transactions over them.

use crate::key::Key;
use borsh::{BorshDeserialize, BorshSerialize};
use inferium_seal::StorageKey;
use inferium_types::{decode, encode};
use redb::{
    AccessGuard, Database, DatabaseError, ReadOnlyTable, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, StorageError, TableDefinition, TableError, TableHandle as _, WriteTransaction,
};
use std::ops::{Bound, ControlFlow};
use std::{fmt, marker::PhantomData, path::Path};

type Bytes<'a> = AccessGuard<'a, &'static [u8]>;

/// Holds one entry: what tells the store's key from another.
const SEAL: Table<(), String> = Table::new("inferium-store/seal");
const SEAL_TEXT: &str = "sealed";

/// The node's own disk failed, or holds what this node never wrote; the node stops (SPEC C8).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {reason}")]
pub struct StoreError {
    /// What went wrong.
    pub reason: String,
}

impl StoreError {
    /// An error for `reason`. A [`Store::write`] that ends with it writes nothing.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// A table of a [`Store`]: its name, and what it holds.
pub struct Table<K, V> {
    name: &'static str,
    // A name, not a container: whatever K and V are, it may be copied and shared.
    holds: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    /// Names a table. It is there, and empty, until something is put in it.
    ///
    /// Requires: no other table of the store has the name, and it does not begin with `inferium-store/`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, holds: PhantomData }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    const fn definition(&self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.name)
    }

    fn failed(&self, error: impl fmt::Display) -> StoreError {
        StoreError::new(format_args!("table {}: {error}", self.name))
    }
}

impl<K: Key, V> Table<K, V> {
    fn key(&self, bytes: &[u8]) -> Result<K, StoreError> {
        K::read(bytes).ok_or_else(|| self.failed("a key that is none of its keys"))
    }

    /// What a value is sealed for: nobody moves it to another key or table.
    fn place(&self, key: &[u8]) -> Vec<u8> {
        encode(&(self.name.to_owned(), key.to_vec()))
    }
}

impl<K: Key, V: BorshSerialize> Table<K, V> {
    /// The bytes that are kept of a value.
    fn sealed(&self, seal: &StorageKey, key: &[u8], value: &V) -> Result<Vec<u8>, StoreError> {
        let sealed = seal.seal(&self.place(key), &encode(value), rand::random());
        sealed.map_err(|error| self.failed(error))
    }
}

impl<K: Key, V: BorshDeserialize> Table<K, V> {
    fn value(&self, seal: &StorageKey, key: &[u8], bytes: &[u8]) -> Result<V, StoreError> {
        let opened = seal.open(&self.place(key), bytes).map_err(|error| self.failed(error))?;
        decode(&opened).map_err(|error| self.failed(error))
    }

    fn found<'a>(
        &self,
        seal: &StorageKey,
        entry: Result<(Bytes<'a>, Bytes<'a>), StorageError>,
    ) -> Result<(K, V), StoreError> {
        let (key, value) = entry.map_err(|error| self.failed(error))?;
        Ok((self.key(key.value())?, self.value(seal, key.value(), value.value())?))
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}

/// Bytes of pages kept in memory. Entries are small, and most are read once; redb's own default is a gibibyte.
const CACHE_SIZE: usize = 8 * 1024 * 1024;

/// Tables in one file. One process has it open at a time.
#[derive(Debug)]
pub struct Store {
    database: Database,
    seal: StorageKey,
}

impl Store {
    /// Opens the file, or makes it; its values are sealed with `seal`.
    ///
    /// # Errors
    /// [`StoreError`], also when another process has it open, and when it is sealed with another key
    /// or not at all.
    pub fn open(path: &Path, seal: StorageKey) -> Result<Self, StoreError> {
        let database = Database::builder().set_cache_size(CACHE_SIZE).create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => {
                StoreError::new(format_args!("{} is in use: another node runs on the same data", path.display()))
            }
            error => StoreError::new(format_args!("{}: {error}", path.display())),
        })?;
        let store = Self { database, seal };
        store.check_seal().map_err(|reason| StoreError::new(format_args!("{}: {reason}", path.display())))?;
        Ok(store)
    }

    /// A store tells at once that it is of another key: half of a node that runs on what it can't
    /// read would be worse than none.
    fn check_seal(&self) -> Result<(), String> {
        if let Some(table) = self.read(SEAL).map_err(|error| error.reason)? {
            // A disk that fails is no other key.
            let kept = table.get([].as_slice()).map_err(|error| error.to_string())?;
            let opened = kept.and_then(|kept| SEAL.value(&self.seal, &[], kept.value()).ok());
            let is_ours = opened.is_some_and(|text| text == SEAL_TEXT);
            return is_ours.then_some(()).ok_or_else(|| "it is sealed with another key than this node's".into());
        }
        let read = self.database.begin_read().map_err(|error| error.to_string())?;
        let mut tables = read.list_tables().map_err(|error| error.to_string())?;
        if let Some(table) = tables.next() {
            return Err(format!(
                "its table {} is from before stores were sealed; start the network over, or move the file away",
                table.name()
            ));
        }
        self.put(SEAL, &(), &SEAL_TEXT.to_owned()).map_err(|error| error.reason)
    }

    /// One value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get<K: Key, V: BorshDeserialize>(&self, table: Table<K, V>, key: &K) -> Result<Option<V>, StoreError> {
        let Some(read) = self.read(table)? else { return Ok(None) };
        let key = key.to_bytes();
        let bytes = read.get(key.as_slice()).map_err(|error| table.failed(error))?;
        bytes.map(|bytes| table.value(&self.seal, &key, bytes.value())).transpose()
    }

    /// Every entry, by key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn all<K: Key, V: BorshDeserialize>(&self, table: Table<K, V>) -> Result<Vec<(K, V)>, StoreError> {
        let mut entries = Vec::new();
        self.for_each(table, |key, value| {
            entries.push((key, value));
            Ok(())
        })?;
        Ok(entries)
    }

    /// Every value, by key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn values<K: Key, V: BorshDeserialize>(&self, table: Table<K, V>) -> Result<Vec<V>, StoreError> {
        let mut values = Vec::new();
        self.for_each(table, |_, value| {
            values.push(value);
            Ok(())
        })?;
        Ok(values)
    }

    /// Every key in order; the values are not decoded.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keys<K: Key, V: BorshDeserialize>(&self, table: Table<K, V>) -> Result<Vec<K>, StoreError> {
        let Some(read) = self.read(table)? else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for entry in read.iter().map_err(|error| table.failed(error))? {
            let (key, _) = entry.map_err(|error| table.failed(error))?;
            keys.push(table.key(key.value())?);
        }
        Ok(keys)
    }

    /// Shows every entry by key, one at a time: only one of them is in memory. The first error
    /// ends it.
    ///
    /// # Errors
    /// [`StoreError`], also one of `look`.
    pub fn for_each<K: Key, V: BorshDeserialize>(
        &self,
        table: Table<K, V>,
        mut look: impl FnMut(K, V) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let Some(read) = self.read(table)? else { return Ok(()) };
        for entry in read.iter().map_err(|error| table.failed(error))? {
            let (key, value) = table.found(&self.seal, entry)?;
            look(key, value)?;
        }
        Ok(())
    }

    /// The first `count` entries whose keys are `from` or more, by key; from the least key if
    /// there is no `from`. Reads no others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn first<K: Key, V: BorshDeserialize>(
        &self,
        table: Table<K, V>,
        from: Option<&K>,
        count: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let from = from.map(Key::to_bytes);
        let range = (from.as_deref().map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded);
        let Some(read) = self.read(table)? else { return Ok(Vec::new()) };
        let range = read.range::<&[u8]>(range).map_err(|error| table.failed(error))?;
        range.take(count).map(|entry| table.found(&self.seal, entry)).collect()
    }

    /// Shows entries by key, from `from` on, one at a time, until `look` says that it is enough: reads no others.
    ///
    /// # Errors
    /// [`StoreError`], also one of `look`.
    pub fn look_from<K: Key, V: BorshDeserialize>(
        &self,
        table: Table<K, V>,
        from: &K,
        mut look: impl FnMut(K, V) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let Some(read) = self.read(table)? else { return Ok(()) };
        let range = read.range(from.to_bytes().as_slice()..).map_err(|error| table.failed(error))?;
        for entry in range {
            let (key, value) = table.found(&self.seal, entry)?;
            if look(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The keys from `first` to `last`, both included, in order; their values are not decoded.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keys_between<K: Key, V>(&self, table: Table<K, V>, first: &K, last: &K) -> Result<Vec<K>, StoreError> {
        let Some(read) = self.read(table)? else { return Ok(Vec::new()) };
        let (first, last) = (first.to_bytes(), last.to_bytes());
        let range = read.range(first.as_slice()..=last.as_slice()).map_err(|error| table.failed(error))?;
        let keys = range.map(|entry| {
            let (key, _) = entry.map_err(|error| table.failed(error))?;
            table.key(key.value())
        });
        keys.collect()
    }

    /// The last `count` entries whose keys are less than `before`, highest key first; from the
    /// highest key if there is no `before`. Reads no others: pages, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last<K: Key, V: BorshDeserialize>(
        &self,
        table: Table<K, V>,
        before: Option<&K>,
        count: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let before = before.map(Key::to_bytes);
        let range = (Bound::Unbounded, before.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        let Some(read) = self.read(table)? else { return Ok(Vec::new()) };
        let range = read.range::<&[u8]>(range).map_err(|error| table.failed(error))?;
        range.rev().take(count).map(|entry| table.found(&self.seal, entry)).collect()
    }

    /// How many entries a table has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn len<K, V>(&self, table: Table<K, V>) -> Result<u64, StoreError> {
        self.read(table)?.map_or(Ok(0), |read| read.len().map_err(|error| table.failed(error)))
    }

    /// Puts one value. Ensures: it is on disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put<K: Key, V: BorshSerialize>(&self, table: Table<K, V>, key: &K, value: &V) -> Result<(), StoreError> {
        self.write(|tx| tx.put(table, key, value))
    }

    /// Removes one value, if it is there. Ensures: it is gone from disk.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove<K: Key, V>(&self, table: Table<K, V>, key: &K) -> Result<(), StoreError> {
        self.write(|tx| tx.remove(table, key))
    }

    /// Changes several things at once. Ensures: all of it is on disk, or, after an error, nothing.
    ///
    /// # Errors
    /// [`StoreError`], also one of `change`.
    pub fn write<T>(&self, change: impl FnOnce(&Transaction) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let write = self.database.begin_write().map_err(StoreError::new)?;
        let transaction = Transaction { write, seal: self.seal.clone() };
        // Dropped without a commit, a transaction has never been.
        let value = change(&transaction)?;
        transaction.write.commit().map_err(StoreError::new)?;
        Ok(value)
    }

    /// A table as it is now; `None` while nothing was ever put in it.
    #[expect(clippy::type_complexity, reason = "redb's own name for a table of bytes")]
    fn read<K, V>(
        &self,
        table: Table<K, V>,
    ) -> Result<Option<ReadOnlyTable<&'static [u8], &'static [u8]>>, StoreError> {
        let read = self.database.begin_read().map_err(StoreError::new)?;
        match read.open_table(table.definition()) {
            Ok(open) => Ok(Some(open)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(table.failed(error)),
        }
    }
}

/// A change under way: it sees what it wrote itself, and no one else does until it is done.
pub struct Transaction {
    write: WriteTransaction,
    seal: StorageKey,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transaction")
    }
}

impl Transaction {
    /// One value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get<K: Key, V: BorshDeserialize>(&self, table: Table<K, V>, key: &K) -> Result<Option<V>, StoreError> {
        let (open, key) = (self.open(table)?, key.to_bytes());
        let bytes = open.get(key.as_slice()).map_err(|error| table.failed(error))?;
        bytes.map(|bytes| table.value(&self.seal, &key, bytes.value())).transpose()
    }

    /// Puts one value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put<K: Key, V: BorshSerialize>(&self, table: Table<K, V>, key: &K, value: &V) -> Result<(), StoreError> {
        let mut open = self.open(table)?;
        let key = key.to_bytes();
        let value = table.sealed(&self.seal, &key, value)?;
        open.insert(key.as_slice(), value.as_slice()).map_err(|error| table.failed(error))?;
        Ok(())
    }

    /// Removes one value, if it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove<K: Key, V>(&self, table: Table<K, V>, key: &K) -> Result<(), StoreError> {
        self.open(table)?.remove(key.to_bytes().as_slice()).map_err(|error| table.failed(error))?;
        Ok(())
    }

    fn open<K, V>(&self, table: Table<K, V>) -> Result<redb::Table<'_, &'static [u8], &'static [u8]>, StoreError> {
        self.write.open_table(table.definition()).map_err(|error| table.failed(error))
    }
}

#[cfg(test)]
mod tests;
