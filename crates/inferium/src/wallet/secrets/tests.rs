//! Secrets from files.

use super::{SECRET_SIZE_MAX, mnemonic, new_password, password, read};
use inferium_wallet::{Mnemonic, Password};
use std::fs;
use std::path::PathBuf;

/// A file of the test's own.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("inferium-secrets-{}-{name}", std::process::id()));
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_passwords_file_is_its_first_line() {
    let contents = ["a long password", "a long password\n", "a long password\r\n", "a long password\nmore\n"];
    for (index, content) in contents.into_iter().enumerate() {
        let path = file(&format!("password-{index}"), content.as_bytes());
        assert_eq!(password(Some(&path)).unwrap(), Password::new("a long password".into()));
        assert_eq!(new_password(Some(&path)).unwrap(), Password::new("a long password".into()));
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn short_and_missing_passwords_are_refused() {
    let short = file("short", b"1234567\n");
    assert_eq!(password(Some(&short)).unwrap(), Password::new("1234567".into()), "an old wallet may have one");
    let error = new_password(Some(&short)).unwrap_err().to_string();
    assert!(error.contains("too short") && !error.contains("1234567"), "{error}");
    let empty = file("empty", b"\nsecond line\n");
    assert!(password(Some(&empty)).unwrap_err().to_string().contains("no password"));
    assert!(password(Some(&PathBuf::from("/nowhere/at/all"))).is_err());
    fs::remove_file(short).unwrap();
    fs::remove_file(empty).unwrap();
}

#[test]
fn secrets_have_a_largest_size() {
    for (size, is_fine) in [(0, true), (SECRET_SIZE_MAX, true), (SECRET_SIZE_MAX + 1, false), (1 << 20, false)] {
        assert_eq!(read(&vec![b'x'; size][..]).is_ok(), is_fine, "{size} bytes");
    }
    assert!(read(&b"\xff"[..]).is_err());
}

#[test]
fn words_are_read_from_a_file_and_not_repeated() {
    let words: Vec<&str> = Mnemonic::from_entropy(&[5; 32]).words().collect();
    let path = file("words", words.join("\n").as_bytes());
    let read = mnemonic(Some(&path)).unwrap();
    assert!(read.words().eq(words.iter().copied()));
    fs::write(&path, words.join(" ").replace(words[0], "hunter2")).unwrap();
    assert!(!mnemonic(Some(&path)).unwrap_err().to_string().contains("hunter2"));
    fs::remove_file(path).unwrap();
}
