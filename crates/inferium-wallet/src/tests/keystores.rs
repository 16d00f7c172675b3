//! Keystores: what opens, and everything that must not.

use super::{CHEAP, key, keystore, password, sealing};
use crate::{
    KdfParameters, Keystore, KeystoreError, M_KIB_MAX, M_KIB_MIN, P_MAX, Password, Sealing, T_MAX, WeakPassword,
};
use serde_json::{Value, json};

/// The document with one field set to something else.
fn changed(pointer: &str, value: Value) -> String {
    let mut document: Value = serde_json::from_str(&keystore().to_json()).expect("JSON");
    *document.pointer_mut(pointer).expect("the field") = value;
    document.to_string()
}

#[test]
fn a_key_comes_back_by_its_password_alone() {
    let read = Keystore::from_json(&keystore().to_json()).expect("reads");
    assert_eq!(read, keystore());
    assert_eq!(read.address(), key().public_key());
    assert_eq!(read.created_ms(), 1_700_000_000_000);
    assert_eq!(read.open(&password()).expect("opens").to_bytes(), key().to_bytes());
    for wrong in ["", "correct horse batterz", "correct horse battery ", "Correct horse battery"] {
        assert_eq!(read.open(&Password::new(wrong.into())).err(), Some(KeystoreError::Password), "{wrong:?}");
    }
}

#[test]
fn the_default_cost_works_and_is_above_the_floor() {
    let kdf = KdfParameters::default();
    assert!(kdf.m_kib >= 64 * 1024 && kdf.t >= 3 && kdf.p == 1);
    let sealed = Keystore::seal(&key(), &password(), &Sealing { kdf, ..sealing() }).expect("sealed");
    let read = Keystore::from_json(&sealed.to_json()).expect("reads");
    assert_eq!(read.open(&password()).expect("opens").to_bytes(), key().to_bytes());
}

#[test]
fn salt_and_nonce_matter() {
    let other_salt = Keystore::seal(&key(), &password(), &Sealing { salt: [3; 32], ..sealing() }).expect("sealed");
    let other_nonce = Keystore::seal(&key(), &password(), &Sealing { nonce: [3; 24], ..sealing() }).expect("sealed");
    let ciphertext =
        |keystore: &Keystore| serde_json::from_str::<Value>(&keystore.to_json()).expect("JSON")["ciphertext"].clone();
    assert_ne!(ciphertext(&keystore()), ciphertext(&other_salt));
    assert_ne!(ciphertext(&keystore()), ciphertext(&other_nonce));
}

#[test]
fn the_document_holds_no_secret() {
    let text = keystore().to_json();
    assert!(!text.contains(&hex::encode(key().to_bytes())));
    assert!(!text.contains("correct horse"));
    assert!(!format!("{:?}", keystore()).contains(&hex::encode(key().to_bytes())));
    assert_eq!(format!("{:?}", password()), "Password(..)");
}

#[test]
fn every_flipped_bit_is_refused() {
    let text = keystore().to_json();
    for position in 0..text.len() {
        for bit in 0..8 {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1 << bit;
            // A file that is no UTF-8 is refused where it is read.
            let Ok(flipped) = String::from_utf8(bytes) else { continue };
            let opened = Keystore::from_json(&flipped).and_then(|keystore| keystore.open(&password()));
            assert!(opened.is_err(), "bit {bit} of byte {position} does not matter:\n{flipped}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let text = keystore().to_json();
    for length in 0..text.len() {
        assert_eq!(Keystore::from_json(&text[..length]).err(), Some(KeystoreError::Malformed), "{length} bytes");
    }
    for more in ["}", "0", "{}"] {
        assert_eq!(Keystore::from_json(&format!("{text}{more}")).err(), Some(KeystoreError::Malformed));
    }
}

#[test]
fn other_versions_and_algorithms_are_named() {
    for version in [0, 2, u64::MAX] {
        let error = Keystore::from_json(&changed("/version", json!(version))).err();
        assert_eq!(error, Some(KeystoreError::Version { found: version }));
    }
    // Another version may have other fields.
    assert_eq!(Keystore::from_json("{\"version\":2,\"crypto\":{}}").err(), Some(KeystoreError::Version { found: 2 }));
    let kdf = Keystore::from_json(&changed("/kdf/name", json!("argon2i"))).err();
    assert_eq!(kdf, Some(KeystoreError::Algorithm { what: "kdf" }));
    let cipher = Keystore::from_json(&changed("/cipher/name", json!("aes"))).err();
    assert_eq!(cipher, Some(KeystoreError::Algorithm { what: "cipher" }));
}

#[test]
fn costs_are_bounded_before_anything_is_derived() {
    let bounds = [("m_kib", M_KIB_MIN, M_KIB_MAX), ("t", 1, T_MAX), ("p", 1, P_MAX)];
    for (name, min, max) in bounds {
        let pointer = format!("/kdf/{name}");
        for allowed in [min, min + 1, max - 1, max] {
            assert!(Keystore::from_json(&changed(&pointer, json!(allowed))).is_ok(), "{name} {allowed}");
        }
        for found in [0, min - 1, max + 1, u32::MAX] {
            let error = Keystore::from_json(&changed(&pointer, json!(found))).err();
            assert_eq!(error, Some(KeystoreError::Parameter { name, found, min, max }));
        }
        for absurd in [json!(-1), json!(1.5), json!(1_u64 << 32), json!("3"), json!(null)] {
            assert_eq!(Keystore::from_json(&changed(&pointer, absurd)).err(), Some(KeystoreError::Malformed));
        }
    }
    let absurd = Sealing { kdf: KdfParameters { m_kib: u32::MAX, ..CHEAP }, ..sealing() };
    let error = Keystore::seal(&key(), &password(), &absurd).expect_err("refused");
    assert!(matches!(error, KeystoreError::Parameter { name: "m_kib", .. }));
}

#[test]
fn fields_have_one_spelling_and_one_size() {
    let mut fields = vec!["/address", "/kdf/salt", "/cipher/nonce", "/ciphertext"];
    let document: Value = serde_json::from_str(&keystore().to_json()).expect("JSON");
    for pointer in &fields {
        let text = document.pointer(pointer).and_then(Value::as_str).expect("text");
        for wrong in [String::new(), text[2..].to_owned(), format!("{text}00"), format!("zz{}", &text[2..])] {
            assert_eq!(Keystore::from_json(&changed(pointer, json!(wrong))).err(), Some(KeystoreError::Malformed));
        }
    }
    fields.retain(|pointer| {
        document.pointer(pointer).and_then(Value::as_str).is_some_and(|text| text.contains(char::is_alphabetic))
    });
    assert!(!fields.is_empty());
    for pointer in fields {
        let upper = document.pointer(pointer).and_then(Value::as_str).expect("text").to_uppercase();
        assert_eq!(Keystore::from_json(&changed(pointer, json!(upper))).err(), Some(KeystoreError::Malformed));
    }
    let more = keystore().to_json().replacen('{', "{\"note\":1,", 1);
    assert_eq!(Keystore::from_json(&more).err(), Some(KeystoreError::Malformed));
}

#[test]
fn another_accounts_address_is_refused_even_to_who_knows_the_password() {
    let other = inferium_types::SecretKey::from_bytes([8; 32]).expect("a key").public_key().to_string();
    let read = Keystore::from_json(&changed("/address", json!(other))).expect("well formed");
    assert_eq!(read.open(&password()).err(), Some(KeystoreError::Password));
}

#[test]
fn new_passwords_have_a_length() {
    let strength = |text: &str| Password::new(text.into()).check_strength();
    assert_eq!(strength(""), Err(WeakPassword));
    assert_eq!(strength("1234567"), Err(WeakPassword));
    assert_eq!(strength("12345678"), Ok(()));
    assert_eq!(strength("пароль-7"), Ok(()));
    assert_eq!(strength("пароль"), Err(WeakPassword));
    assert_eq!(Password::new("a".into()), Password::new("a".into()));
    assert_ne!(Password::new("a".into()), Password::new("b".into()));
}
