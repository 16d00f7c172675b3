//! What hides a model's weights (SPEC V12): a secret in a file that only its owner reads, which counts how often they were opened.
//!
//! The count is on disk before anything is opened, and one process has the file at a time: weights that are opened more often than their key
//! hides may be given away.

use crate::cli::Failure;
use inferium_exact::{Model, model_id};
use inferium_types::Digest;
use inferium_zk::{ProvingKey, VerifyingKey};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

const HEAD: &str = "inferium private weights 1";
/// Bytes of a file at most: six lines.
const SIZE_MAX: u64 = 512;

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    /// For how many proofs the key was asked to be, at least.
    wanted: u32,
    spent: u32,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct SecretFile {
    path: PathBuf,
    model: Digest,
    /// Of the key that it made, so that software that would make another one says so, and counts nothing of it as this one's.
    key: Digest,
    secret: Zeroizing<[u8; 32]>,
    inner: Mutex<(File, Count)>,
}

/// Numbers are as wide as they can be, so that counting writes over digits alone.
fn text([model, key]: [&Digest; 2], secret: &[u8; 32], Count { wanted, spent }: Count) -> Zeroizing<String> {
    let secret = Zeroizing::new(hex::encode(secret));
    Zeroizing::new(format!(
        "{HEAD}\nmodel    {model}\nkey      {key}\nsecret   {}\nopenings {wanted:010}\nspent    {spent:010}\n",
        secret.as_str()
    ))
}

/// Reads what [`text`] writes, and nothing else.
fn parse(found: &str) -> Option<([Digest; 2], Zeroizing<[u8; 32]>, Count)> {
    let mut lines = found.lines();
    let mut field = |name: &str| lines.next()?.strip_prefix(name).map(str::trim_start);
    field(HEAD).filter(|rest| rest.is_empty())?;
    let mut digest = |name: &str| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(field(name)?, &mut bytes).ok()?;
        Some(Digest::from(bytes))
    };
    let (model, key) = (digest("model")?, digest("key")?);
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(field("secret")?, secret.as_mut_slice()).ok()?;
    let count = Count { wanted: field("openings")?.parse().ok()?, spent: field("spent")?.parse().ok()? };
    (text([&model, &key], &secret, count).as_str() == found).then_some(([model, key], secret, count))
}

impl SecretFile {
    /// Draws a secret for a model, and writes it under a name that is free.
    pub(crate) fn create(path: &Path, model: &Model, wanted: u32) -> Result<(Self, ProvingKey), Failure> {
        let secret = Zeroizing::new(rand::random::<[u8; 32]>());
        let made = ProvingKey::private(model.clone(), &secret, wanted, 0)
            .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
        let key = Digest::from(made.verifying_key().id());
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(path),
            _ => Failure::failed(format!("cannot write {}: {error}", path.display())),
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed)?;
        let (model, count) = (Digest::from(model_id(model)), Count { wanted, spent: 0 });
        file.write_all(text([&model, &key], &secret, count).as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        lock(path, &file)?;
        let file = Self { path: path.to_owned(), model, key, secret, inner: Mutex::new((file, count)) };
        Ok((file, made))
    }

    /// Opens a file, which nobody else has open as long as this lives.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::usage(format!("cannot open {}: {error}", path.display()));
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        lock(path, &file)?;
        let mut found = Zeroizing::new(String::new());
        let read = (&mut file).take(SIZE_MAX).read_to_string(&mut found);
        let parsed = read.ok().and_then(|_| parse(&found));
        let ([model, key], secret, count) =
            parsed.ok_or_else(|| Failure::refused(format!("{}: no secret of `inferium zk hide`", path.display())))?;
        Ok(Self { path: path.to_owned(), model, key, secret, inner: Mutex::new((file, count)) })
    }

    /// Refuses another key than the one that the file was written with.
    pub(crate) fn check(&self, key: &VerifyingKey) -> Result<(), Failure> {
        if Digest::from(key.id()) == self.key {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "{}: this version makes another key of it, and what was opened is counted for the first one: draw a new secret",
            self.path.display()
        )))
    }

    /// Counts one opening more, on disk before this returns.
    pub(crate) fn spend(&self) -> Result<(), String> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, count) = &mut *inner;
        let counted = Count { spent: count.spent.saturating_add(1), ..*count };
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(text([&self.model, &self.key], &self.secret, counted).as_bytes()))
            .and_then(|()| file.sync_all());
        written.map_err(|error| format!("cannot count an opening in {}: {error}", self.path.display()))?;
        *count = counted;
        Ok(())
    }

    /// What [`inferium_engine::Prover::private`] takes of the model that this is the secret of.
    pub(crate) fn parts(&self, model: &Model) -> Result<(Zeroizing<[u8; 32]>, u32, u32), Failure> {
        if Digest::from(model_id(model)) != self.model {
            return Err(Failure::refused(format!("{}: the secret of another model", self.path.display())));
        }
        let count = self.inner.lock().unwrap_or_else(PoisonError::into_inner).1;
        Ok((self.secret.clone(), count.wanted, count.spent))
    }

    /// The model's key.
    pub(crate) fn key(&self, model: Model) -> Result<ProvingKey, Failure> {
        let (secret, wanted, spent) = self.parts(&model)?;
        let key = ProvingKey::private(model, &secret, wanted, spent)
            .map_err(|error| Failure::refused(format!("{}: {error}", self.path.display())))?;
        self.check(key.verifying_key())?;
        Ok(key)
    }
}

/// No option writes over a secret.
fn taken(path: &Path) -> Failure {
    let path = path.display();
    Failure::refused(format!("{path} is there already; over a secret nothing is written, which counts what was opened"))
}

/// Refuses a name that is taken, before the work for it.
pub(crate) fn check_free(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok() { Err(taken(path)) } else { Ok(()) }
}

fn lock(path: &Path, file: &File) -> Result<(), Failure> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            Failure::usage(format!("{}: another process proves with this secret", path.display()))
        }
        TryLockError::Error(error) => Failure::failed(format!("cannot lock {}: {error}", path.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        inferium_exact::synthetic("mlp-tiny").unwrap().unwrap().0
    }

    #[test]
    fn what_is_spent_is_spent_after_a_restart_and_one_process_counts() {
        let path = std::env::temp_dir().join(format!("inferium-secret-{:032x}", rand::random::<u128>()));
        let (file, key) = SecretFile::create(&path, &model(), 3).unwrap();
        assert_eq!(file.key(model()).unwrap().verifying_key().id(), key.verifying_key().id());
        assert!(SecretFile::open(&path).is_err(), "it is open");
        assert!(SecretFile::create(&path, &model(), 3).is_err(), "it is there");
        file.spend().unwrap();
        file.spend().unwrap();
        drop(file);
        let again = SecretFile::open(&path).unwrap();
        let (secret, wanted, spent) = again.parts(&model()).unwrap();
        assert_eq!((wanted, spent), (3, 2));
        assert_ne!(*secret, [0; 32]);
        let after = again.key(model()).unwrap();
        assert_eq!(after.verifying_key().id(), key.verifying_key().id());
        assert_eq!(after.openings_left().unwrap() + 2, key.openings_left().unwrap());
        // As a version would do that asks for more queries.
        let other = ProvingKey::private(model(), &[1; 32], 3, 0).unwrap();
        assert!(again.check(other.verifying_key()).is_err());
        let (other, _) = inferium_exact::synthetic("cnn-tiny").unwrap().unwrap();
        assert!(again.key(other).is_err(), "the secret of another model");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
            assert_eq!(mode & 0o077, 0, "{mode:o}");
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let [model, key] = [b"model".as_slice(), b"key"].map(Digest::sha256);
        let whole = text([&model, &key], &[7; 32], Count { wanted: 50, spent: 9 });
        let (digests, secret, count) = parse(&whole).unwrap();
        assert_eq!((digests, *secret, count), ([model, key], [7; 32], Count { wanted: 50, spent: 9 }));
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_none(), "{length}");
        }
        for wrong in [whole.replace("private", "public"), whole.replace("0000000009", "9"), format!("{}\n", *whole)] {
            assert!(parse(&wrong).is_none(), "{wrong}");
        }
    }
}
