//! 24 words that a person can write down, and the key that they stand for.

use crate::slip10;
use bip39::Language;
use inferium_types::SecretKey;
use std::fmt;
use zeroize::Zeroizing;

/// Words of a mnemonic.
pub const WORDS: usize = 24;
/// Bytes of entropy behind them.
pub const ENTROPY_SIZE: usize = 32;
/// Where the account's key is below the seed: SLIP-0010 over ed25519, with an empty BIP-39
/// passphrase. 4802130 is `IFR` in ASCII; it is not registered in SLIP-0044.
pub const DERIVATION_PATH: &str = "m/44'/4802130'/0'/0'";
/// [`DERIVATION_PATH`] as numbers.
const PATH: [u32; 4] = [44, 4_802_130, 0, 0];

/// Why words are no mnemonic of ours. Names positions, never words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    /// Not 24.
    #[error("{found} words; {WORDS} are expected")]
    Count {
        /// How many there were.
        found: usize,
    },
    /// Not on the list.
    #[error("word {position} is not one of the English BIP-39 words")]
    UnknownWord {
        /// Which, from 1.
        position: usize,
    },
    /// All words exist, but not together.
    #[error("the words' checksum is wrong: a word is mistaken, or two have changed places")]
    Checksum,
}

/// A 24-word mnemonic. Whoever has the words has the account.
pub struct Mnemonic(bip39::Mnemonic);

impl Mnemonic {
    /// The words for 32 uniformly random bytes.
    #[must_use]
    pub fn from_entropy(entropy: &[u8; ENTROPY_SIZE]) -> Self {
        #[expect(clippy::expect_used, reason = "32 bytes are a size that the standard has words for")]
        Self(bip39::Mnemonic::from_entropy_in(Language::English, entropy).expect("256 bits have words"))
    }

    /// Reads words: any white space between them, any case.
    ///
    /// # Errors
    /// [`MnemonicError`].
    pub fn parse(text: &str) -> Result<Self, MnemonicError> {
        let found = text.split_whitespace().count();
        if found != WORDS {
            return Err(MnemonicError::Count { found });
        }
        let text = Zeroizing::new(text.to_lowercase());
        bip39::Mnemonic::parse_in_normalized(Language::English, &text).map(Self).map_err(|error| match error {
            bip39::Error::UnknownWord(index) => MnemonicError::UnknownWord { position: index.saturating_add(1) },
            bip39::Error::BadWordCount(found) => MnemonicError::Count { found },
            bip39::Error::BadEntropyBitCount(_)
            | bip39::Error::InvalidChecksum
            | bip39::Error::AmbiguousLanguages(_) => MnemonicError::Checksum,
        })
    }

    /// The words in their order.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        self.0.words()
    }

    /// The account's key, at [`DERIVATION_PATH`].
    #[must_use]
    pub fn secret_key(&self) -> SecretKey {
        let derived = slip10::derive(&*self.seed(), &PATH);
        #[expect(clippy::expect_used, reason = "every 32 bytes are an ed25519 key")]
        SecretKey::from_bytes(*derived.key).expect("any 32 bytes")
    }

    pub(crate) fn seed(&self) -> Zeroizing<[u8; 64]> {
        Zeroizing::new(self.0.to_seed_normalized(""))
    }
}

impl fmt::Debug for Mnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mnemonic(..)")
    }
}
