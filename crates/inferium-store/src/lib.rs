//! Typed tables in one file: what a node must not forget (SPEC C8).
//!
//! ```
//! # use inferium_store::{Store, StoreError, Table};
//! # use inferium_types::{Digest, LeaseId};
//! const LEASES: Table<LeaseId, String> = Table::new("leases");
//! const CURSOR: Table<(), u64> = Table::new("cursor");
//! # fn main() -> Result<(), StoreError> {
//! # let path = std::env::temp_dir().join(format!("inferium-store-example-{}", std::process::id()));
//! let store = Store::open(&path)?;
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
//! Invariants: what a write returns from is on disk, synced; a write that ends with an error has
//! written nothing; tables are ordered by key, and numbers by their value; bytes that are no
//! canonical value are an error, never skipped.

#![forbid(unsafe_code)]

mod key;
mod store;

pub use key::Key;
pub use store::{Store, StoreError, Table, Transaction};
