//! Tests of the crate, a file for each module.

#![expect(clippy::indexing_slicing, reason = "a test may fail by an index")]

mod files;
mod keystores;
mod mnemonics;
mod slip10;
mod transactions;

use crate::{KdfParameters, Keystore, M_KIB_MIN, Password, Sealing};
use inferium_types::SecretKey;

/// The lowest cost that is allowed: tests derive keys by the hundred.
const CHEAP: KdfParameters = KdfParameters { m_kib: M_KIB_MIN, t: 1, p: 1 };

fn password() -> Password {
    Password::new("correct horse battery".into())
}

fn key() -> SecretKey {
    SecretKey::from_bytes([7; 32]).expect("a key")
}

fn sealing() -> Sealing {
    Sealing { kdf: CHEAP, salt: [1; 32], nonce: [2; 24], created_ms: 1_700_000_000_000 }
}

fn keystore() -> Keystore {
    Keystore::seal(&key(), &password(), &sealing()).expect("sealed")
}
