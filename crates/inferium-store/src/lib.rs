//! Typed tables in one file: what a node must not forget (SPEC C8).
//!
//! ```
//! # use inferium_store::{StorageKey, Store, StoreError, Table};
//! # use inferium_types::{Digest, LeaseId, SecretKey};
//! const LEASES: Table<LeaseId, String> = Table::new("leases");
//! const CURSOR: Table<(), u64> = Table::new("cursor");
//! # fn main() -> Result<(), StoreError> {
//! # let path = std::env::temp_dir().join(format!("inferium-store-example-{}", std::process::id()));
//! # let node = SecretKey::from_bytes([1; 32]).map_err(StoreError::new)?;
//! let store = Store::open(&path, StorageKey::derive(&node, "example"))?;
//! let lease = LeaseId::new(Digest::ZERO);
//! store.put(LEASES, &lease, &"granted".to_owned())?;
//! // Several tables at once, all or nothing.
//! store.write(|tx| {
//!     tx.remove(LEASES, &lease)?;
//!     tx.put(CURSOR, &(), &42)
//! })?;
//! assert_eq!(store.get(CURSOR, &())?, Some(42));
//! # drop(store);
//! # let _ = std::fs::remove_file(path);
//! # Ok(())
//! # }
//! ```
//!
//! What this crate is *not*: it keeps nothing of consensus, which has its own storage
//! (`inferium-chain`), and knows no table by name.
//!
//! Every value of every table is sealed to the node's key (SPEC J2), so that no table can be left
//! out; keys of tables, which are names and numbers, are not.
//!
//! Invariants: what a write returns from is on disk, synced; a write that ends with an error has
//! written nothing; tables are ordered by key, and numbers by their value; bytes that are no
//! canonical value, or sealed with another key, are an error, never skipped.

#![forbid(unsafe_code)]

mod key;
mod store;

pub use inferium_seal::StorageKey;
pub use key::Key;
pub use store::{Store, StoreError, Table, Transaction};
