//! Words: the standard's vectors, and what is refused.

use crate::{DERIVATION_PATH, Mnemonic, MnemonicError, WORDS, slip10};

/// Entropy, words and seed (passphrase `TREZOR`) of BIP-39's own vectors with 24 words.
const VECTORS: [(&str, &str, &str); 4] = [
    (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art",
        "bda85446c68413707090a52022edd26a1c9462295029f2e60cd7c4f2bbd3097170af7a4d73245cafa9c3cca8d561a7c3de6f5d4a10be8ed2a5e608d68f92fcc8",
    ),
    (
        "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
        "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth title",
        "bc09fca1804f7e69da93c2f2028eb238c227f2e9dda30cd63699232578480a4021b146ad717fbb7e451ce9eb835f43620bf5c514db0f8add49f5d121449d3e87",
    ),
    (
        "8080808080808080808080808080808080808080808080808080808080808080",
        "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic bless",
        "c0c519bd0e91a2ed54357d9d1ebef6f5af218a153624cf4f2da911a0ed8f7a09e2ef61af0aca007096df430022f7a2b6fb91661a9589097069720d015e4e982f",
    ),
    (
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote",
        "dd48c104698c30cfe2b6142103248622fb7bb0ff692eebb00089b32d22484e1613912f0a5b694407be899ffd31ed3992c456cdf60f5d4564b8ba3f05a69890ad",
    ),
];

fn entropy(text: &str) -> [u8; 32] {
    hex::decode(text).expect("hex").try_into().expect("32 bytes")
}

#[test]
fn entropy_words_and_seed_are_the_standards() {
    for (bytes, words, seed) in VECTORS {
        let mnemonic = Mnemonic::from_entropy(&entropy(bytes));
        assert_eq!(mnemonic.words().collect::<Vec<_>>().join(" "), words);
        assert_eq!(mnemonic.words().count(), WORDS);
        let parsed = bip39::Mnemonic::parse_in_normalized(bip39::Language::English, words).expect("words");
        assert_eq!(hex::encode(parsed.to_seed_normalized("TREZOR")), seed);
        assert_eq!(parsed.to_seed_normalized(""), *Mnemonic::parse(words).expect("words").seed());
    }
}

#[test]
fn the_key_is_where_the_documented_path_says() {
    let path: Vec<u32> = DERIVATION_PATH
        .split('/')
        .skip(1)
        .map(|step| step.strip_suffix('\'').expect("hardened").parse().expect("a number"))
        .collect();
    assert_eq!(path[1], u32::from_be_bytes(*b"\0IFR"));
    let mnemonic = Mnemonic::from_entropy(&[9; 32]);
    assert_eq!(mnemonic.secret_key().to_bytes(), *slip10::derive(&*mnemonic.seed(), &path).key);
}

#[test]
fn words_give_the_same_key_however_they_are_spaced() {
    let mnemonic = Mnemonic::from_entropy(&[3; 32]);
    let words: Vec<&str> = mnemonic.words().collect();
    let key = mnemonic.secret_key().to_bytes();
    for text in [words.join(" "), format!("  {}\n", words.join("\n\t")), words.join(" ").to_uppercase()] {
        assert_eq!(Mnemonic::parse(&text).expect("words").secret_key().to_bytes(), key);
    }
    assert_ne!(Mnemonic::from_entropy(&[4; 32]).secret_key().to_bytes(), key);
}

#[test]
fn wrong_words_are_refused_by_their_kind_and_not_repeated() {
    let good = VECTORS[0].1;
    let words = |count: usize| vec!["abandon"; count].join(" ");
    for count in [0, 1, 12, 23, 25, 48] {
        assert_eq!(Mnemonic::parse(&words(count)).err(), Some(MnemonicError::Count { found: count }));
    }
    assert_eq!(Mnemonic::parse(&words(24)).err(), Some(MnemonicError::Checksum));
    let swapped = VECTORS[1].1.replacen("legal winner", "winner legal", 1);
    assert_eq!(Mnemonic::parse(&swapped).err(), Some(MnemonicError::Checksum));
    let unknown = good.replace("art", "secretword");
    let error = Mnemonic::parse(&unknown).expect_err("refused");
    assert_eq!(error, MnemonicError::UnknownWord { position: 24 });
    assert!(!error.to_string().contains("secretword"));
    let first = good.replacen("abandon", "abandom", 1);
    assert_eq!(Mnemonic::parse(&first).err(), Some(MnemonicError::UnknownWord { position: 1 }));
}

#[test]
fn debug_shows_no_word() {
    assert_eq!(format!("{:?}", Mnemonic::from_entropy(&[0; 32])), "Mnemonic(..)");
}
