//! Keystores on disk.

use super::{key, keystore, password};
use crate::{FileError, KeystoreError, create_keystore, read_keystore};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of the test's own.
fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("inferium-wallet-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

#[test]
fn a_file_comes_back_and_is_its_owners_alone() {
    let folder = folder("back");
    let path = folder.join("deep/wallet.json");
    create_keystore(&path, &keystore()).expect("written");
    let read = read_keystore(&path).expect("reads");
    assert_eq!(read.open(&password()).expect("opens").to_bytes(), key().to_bytes());
    assert_eq!(fs::read_dir(folder.join("deep")).expect("a folder").count(), 1, "something is left over");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
    fs::remove_dir_all(folder).expect("tidy");
}

#[test]
fn what_exists_is_never_overwritten() {
    let folder = folder("exists");
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("wallet.json");
    for content in ["precious", ""] {
        fs::write(&path, content).expect("written");
        assert!(matches!(create_keystore(&path, &keystore()), Err(FileError::Exists)));
        assert_eq!(fs::read_to_string(&path).expect("there"), content);
    }
    #[cfg(unix)]
    {
        let link = folder.join("link.json");
        std::os::unix::fs::symlink(folder.join("elsewhere"), &link).expect("a link");
        assert!(matches!(create_keystore(&link, &keystore()), Err(FileError::Exists)));
        assert!(!folder.join("elsewhere").exists());
    }
    fs::remove_dir_all(folder).expect("tidy");
}

#[test]
fn what_a_crash_left_does_not_matter() {
    let folder = folder("crash");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("wallet.json.new"), "half").expect("written");
    create_keystore(&folder.join("wallet.json"), &keystore()).expect("written");
    assert_eq!(read_keystore(&folder.join("wallet.json")).expect("reads"), keystore());
    fs::remove_dir_all(folder).expect("tidy");
}

#[cfg(unix)]
fn allow(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("allowed");
}

#[cfg(not(unix))]
fn allow(_: &Path, _: u32) {}

#[cfg(unix)]
#[test]
fn what_others_can_get_at_is_refused() {
    let folder = folder("open");
    let path = folder.join("wallet.json");
    create_keystore(&path, &keystore()).expect("written");
    for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
        allow(&path, mode);
        assert!(matches!(read_keystore(&path), Err(FileError::Open { mode: found }) if found == mode));
    }
    for mode in [0o600, 0o400] {
        allow(&path, mode);
        assert_eq!(read_keystore(&path).expect("reads"), keystore());
    }
    fs::remove_dir_all(folder).expect("tidy");
}

#[test]
fn what_is_no_keystore_is_refused() {
    let folder = folder("refused");
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("wallet.json");
    assert!(matches!(read_keystore(&path), Err(FileError::Io(_))));
    let huge = format!("{}{}", keystore().to_json(), " ".repeat(1 << 20));
    // Past the maximum nothing is read, so that white space without end is only cut off.
    let cases: [(&[u8], bool); 5] = [
        (b"", false),
        (b"\xff\xfe", false),
        (b"{\"version\":1}", false),
        (&b"[".repeat(1 << 20), false),
        (huge.as_bytes(), true),
    ];
    for (bytes, is_fine) in cases {
        fs::write(&path, bytes).expect("written");
        allow(&path, 0o600);
        match read_keystore(&path) {
            Ok(_) => assert!(is_fine),
            Err(error) => assert!(matches!(error, FileError::Keystore(KeystoreError::Malformed)), "{error}"),
        }
    }
    fs::remove_dir_all(folder).expect("tidy");
}
