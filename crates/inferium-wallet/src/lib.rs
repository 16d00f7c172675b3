//! A wallet: 24 words, a key from them, a file that keeps the key, and transactions in words.
//!
//! - [`Mnemonic`]: BIP-39, English, 24 words. From words and by SLIP-0010 to the account's key, as
//!   [`DERIVATION_PATH`] says.
//! - [`Keystore`]: the key under a password, as JSON: argon2id, then XChaCha20-Poly1305 that
//!   authenticates every field of the document.
//! - [`describe`]: what a transaction does, for a person to read before signing it.
//!
//! What this crate is *not*: it talks to no network, reads no clock and draws no entropy; its caller
//! gives both. It reads and writes files in [`file`](crate::read_keystore) alone.
//!
//! Invariants: secrets ([`Mnemonic`], [`Password`], the opened key) are cleared when dropped, have
//! no `Display`, and their `Debug` shows none of them; no error holds a part of one.

#![forbid(unsafe_code)]

mod file;
mod keystore;
mod mnemonic;
mod password;
mod slip10;
mod words;

pub use file::{FileError, create_keystore, read_keystore};
pub use keystore::{
    KdfParameters, Keystore, KeystoreError, M_KIB_MAX, M_KIB_MIN, NONCE_SIZE, P_MAX, SALT_SIZE, Sealing, T_MAX,
};
pub use mnemonic::{DERIVATION_PATH, ENTROPY_SIZE, Mnemonic, MnemonicError, WORDS};
pub use password::{PASSWORD_CHARS_MIN, Password, WeakPassword};
pub use words::{Description, describe, describe_body, takes};

#[cfg(test)]
mod tests;
