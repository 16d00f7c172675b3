//! The folder of a run, as built-in servers see it: nothing beside it, whatever a path says.

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use std::io::Read as _;
use std::path::Path;

/// Files that are listed at most.
const FILES_MAX: usize = 2_000;

/// How deep folders are looked into.
const DEPTH_MAX: usize = 8;

/// Where tools keep what the next run is to find.
pub(super) const STATE: &str = "state";

/// The folder of a run.
#[derive(Debug)]
pub(super) struct Folder {
    dir: Dir,
}

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// Its path in the folder, with `/`.
    pub(super) path: String,
    pub(super) bytes: u64,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let dir = Dir::open_ambient_dir(path, ambient_authority());
        Ok(Self { dir: dir.map_err(|error| format!("cannot open the folder: {error}"))? })
    }

    /// Its files in the order of their paths, without hidden ones, links, and what tools keep; and whether there are more.
    pub(super) fn files(&self) -> Result<(Vec<Entry>, bool), String> {
        let (mut found, mut waiting, mut more) = (Vec::new(), vec![(String::new(), 0)], false);
        while let Some((folder, depth)) = waiting.pop() {
            let path = if folder.is_empty() { "." } else { folder.as_str() };
            let entries = self.dir.read_dir(path).map_err(|error| format!("cannot list the folder: {error}"))?;
            for entry in entries.flatten() {
                // A name that is no text can't be asked for.
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with('.') || (folder.is_empty() && name == STATE) {
                    continue;
                }
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_dir() && depth < DEPTH_MAX {
                    waiting.push((path, depth + 1));
                } else if metadata.is_file() {
                    found.push(Entry { path, bytes: metadata.len() });
                }
            }
            more |= found.len() > FILES_MAX;
            if more {
                break;
            }
        }
        found.sort();
        found.truncate(FILES_MAX);
        Ok((found, more))
    }

    /// Reads a file of at most `max` bytes.
    pub(super) fn read(&self, path: &str, max: u64) -> Result<Vec<u8>, String> {
        let wrong = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no file {path:?}"),
            _ => format!("cannot read {path:?}: {error}"),
        };
        // A pipe would be waited for; asking first follows links only inside.
        let metadata = self.dir.metadata(path).map_err(wrong)?;
        if !metadata.is_file() {
            return Err(format!("{path:?} is no file"));
        }
        let mut bytes = Vec::new();
        let file = self.dir.open(path).map_err(wrong)?;
        file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(wrong)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
            return Err(format!("{path:?} has more than {max} bytes"));
        }
        Ok(bytes)
    }

    /// Reads a text.
    pub(super) fn text(&self, path: &str, max: u64) -> Result<String, String> {
        let text = String::from_utf8(self.read(path, max)?).map_err(|_| format!("{path:?} is no text in UTF-8"))?;
        if text.contains('\0') { Err(format!("{path:?} is no text")) } else { Ok(text) }
    }

    /// What a tool keeps as `name`, if there is anything.
    pub(super) fn kept(&self, name: &str, max: u64) -> Result<Option<String>, String> {
        let path = format!("{STATE}/{name}");
        match self.dir.try_exists(&path) {
            Ok(false) => Ok(None),
            Ok(true) => self.text(&path, max).map(Some),
            Err(error) => Err(format!("cannot read {path:?}: {error}")),
        }
    }

    /// Keeps a text for the next run: the whole of it, or what was there before.
    pub(super) fn keep(&self, name: &str, text: &str) -> Result<(), String> {
        let wrong = |error: std::io::Error| format!("cannot keep {name:?}: {error}");
        let (path, unfinished) = (format!("{STATE}/{name}"), format!("{STATE}/.{name}"));
        self.dir.create_dir_all(STATE).map_err(wrong)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        let mut file = self.dir.open_with(&unfinished, &options).map_err(wrong)?;
        std::io::Write::write_all(&mut file, text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
        self.dir.rename(&unfinished, &self.dir, &path).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::Folder;
    use crate::testing::Scratch;

    #[test]
    fn only_files_below_the_folder_are_read() {
        let scratch = Scratch::new("folder-inside");
        std::fs::create_dir_all(scratch.path().join("run/notes")).unwrap();
        std::fs::write(scratch.path().join("secret.txt"), "secret").unwrap();
        std::fs::write(scratch.path().join("run/notes/a.md"), "text").unwrap();
        std::os::unix::fs::symlink("../secret.txt", scratch.path().join("run/out.txt")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", scratch.path().join("run/far.txt")).unwrap();
        std::os::unix::fs::symlink("notes/a.md", scratch.path().join("run/in.txt")).unwrap();
        let folder = Folder::open(&scratch.path().join("run")).unwrap();
        assert_eq!(folder.text("notes/a.md", 99).unwrap(), "text");
        assert_eq!(folder.text("in.txt", 99).unwrap(), "text", "links inside are files");
        for path in
            ["../secret.txt", "out.txt", "far.txt", "/etc/hostname", "notes/../../secret.txt", "", "notes", "none"]
        {
            assert!(folder.text(path, 99).is_err(), "{path}");
        }
        let (files, more) = folder.files().unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!((names, more), (vec!["notes/a.md"], false), "links are not listed");
    }

    #[test]
    fn files_have_their_bounds() {
        let scratch = Scratch::new("folder-bounds");
        std::fs::write(scratch.path().join("a"), "12345").unwrap();
        std::fs::write(scratch.path().join("b"), [0xff, 0xfe]).unwrap();
        let folder = Folder::open(scratch.path()).unwrap();
        assert_eq!(folder.text("a", 5).unwrap(), "12345");
        assert!(folder.text("a", 4).unwrap_err().contains("more than 4 bytes"));
        assert!(folder.text("b", 5).unwrap_err().contains("no text"));
    }

    #[test]
    fn what_is_kept_is_there_the_next_time() {
        let scratch = Scratch::new("folder-state");
        let folder = Folder::open(scratch.path()).unwrap();
        assert_eq!(folder.kept("news", 99).unwrap(), None);
        folder.keep("news", "old").unwrap();
        folder.keep("news", "new").unwrap();
        let again = Folder::open(scratch.path()).unwrap();
        assert_eq!(again.kept("news", 99).unwrap().as_deref(), Some("new"));
        assert_eq!(again.files().unwrap(), (Vec::new(), false));
    }
}
