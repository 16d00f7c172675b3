use super::{check_free, read, write};
use std::fs;

/// A folder that is gone when the test is.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("inferium-files-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_is_written_once_and_over_another_only_when_asked() {
    let folder = Folder::new("write");
    let path = folder.0.join("a");
    check_free(&path, false).unwrap();
    write(&path, b"one", false).unwrap();
    assert!(check_free(&path, false).unwrap_err().to_string().contains("is there already"));
    assert!(write(&path, b"two", false).unwrap_err().to_string().contains("--force"));
    assert_eq!(fs::read(&path).unwrap(), b"one");
    check_free(&path, true).unwrap();
    write(&path, b"two", true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_link_to_nowhere_is_a_name_that_is_taken() {
    let folder = Folder::new("link");
    let path = folder.0.join("link");
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert!(check_free(&path, false).is_err());
    assert!(write(&path, b"x", false).is_err());
}

#[test]
fn what_is_missing_or_too_large_is_told_by_name() {
    let folder = Folder::new("read");
    let path = folder.0.join("b");
    assert!(read(&path, 8).unwrap_err().to_string().contains("cannot read"));
    fs::write(&path, [0; 9]).unwrap();
    let error = read(&path, 8).unwrap_err().to_string();
    assert!(error.contains("larger") && error.contains(&path.display().to_string()), "{error}");
    assert_eq!(read(&path, 9).unwrap().len(), 9);
    assert!(check_free(&folder.0.join("none").join("c"), false).unwrap_err().to_string().contains("no folder"));
}
